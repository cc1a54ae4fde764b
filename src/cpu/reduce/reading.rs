//! Reductions that fold elements directly from the operand's memory, without tiles, because the kernel computes nothing
//! before it folds them.

use super::{Folders, Job};
use crate::cpu::caches::{LINE, prefetch};
use crate::cpu::fold::ColumnFactors;
use crate::cpu::program::{
    Dst, Level, PassReduction, Program, StepKind, StridedOperand, TileLoop, TileOrder, TilePass,
};
use crate::cpu::tiles::TileBounds;
use std::ops::Range;

/// The minimum length, in bytes, of the contiguous runs of a row that are folded directly from memory. Shorter runs are
/// first copied to a tile, because a fold of several elements costs more than a copy of them.
const LEAST_RUN: usize = 256;

/// How many runs are prefetched before they are folded, and at most how many bytes of each. The processor prefetches the
/// rest of a long run by itself, but does not predict where the next run begins.
const RUNS_AHEAD: usize = 4;
const BYTES_AHEAD: usize = 1 << 10;

/// Returns whether the program has a single pass (a loop along the reduced axes), which only folds elements that can be
/// read directly from memory.
pub(super) fn folds_in_place(program: &Program) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let steps = &program.steps[pass.steps.clone()];
    let multiplies = pass.reductions.iter().any(|f| f.spec.multiplies());
    let is_read = |s: &TileLoop| {
        place_of(s).map(|place| &program.places[place]).is_some_and(|p| {
            let lies = match program.order {
                TileOrder::Cols => p.rows.step.is_some(),
                // the runs of two factors may end at different elements
                TileOrder::Rows | TileOrder::Flat if multiplies => p.cols.step == Some(1),
                TileOrder::Rows | TileOrder::Flat => has_long_runs(p),
            };
            p.convert.is_none() && lies
        })
    };
    steps.iter().all(is_read) && feeds(program, |f| f.spec.takes_any_length())
}

/// Returns whether all rows of a block, `each` rows of `n` elements, can be folded together from memory: every fold has a
/// loop for whole rows, and the rows are neighbours in memory, or the same row in an operand for which the fold accepts
/// this.
pub(super) fn folds_blocks(program: &Program, each: usize, n: usize) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let steps = &program.steps[pass.steps.clone()];
    let is_whole = |f: &PassReduction, input: usize| {
        let place = load_of(steps, f.args[input]).map(|place| &program.places[place]);
        let level = Level { rows: each, cols: n, fixed: true };
        place.is_some_and(|p| f.spec.repeats_row(input) || p.always_dense(level))
    };
    program.order == TileOrder::Rows
        && folds_in_place(program)
        && steps.iter().all(|s| matches!(s.dst, Dst::Nowhere))
        && pass.reductions.iter().all(|f| f.takes_whole_rows() && (0..f.args.len()).all(|input| is_whole(f, input)))
}

/// Returns whether the program has a single pass, along rows, which only sums f16 or bf16 that are read directly from
/// memory.
pub(super) fn folds_halves(program: &Program) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let is_read = |s: &TileLoop| place_of(s).is_some_and(|place| has_long_runs(&program.places[place]));
    program.order == TileOrder::Rows
        && program.steps[pass.steps.clone()].iter().all(is_read)
        && feeds(program, |f| f.spec.reads_halves())
}

/// Returns whether the only pass of a program does nothing but fold operands in memory, by folds that `accepts`
/// accepts.
fn feeds(program: &Program, accepts: impl Fn(&PassReduction) -> bool) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let steps = &program.steps[pass.steps.clone()];
    pass.reductions.iter().all(|f| accepts(f) && f.args.iter().all(|a| load_of(steps, *a).is_some()))
        && pass.totals.is_empty()
        && program.writes.iter().all(|w| !w.inner)
}

/// Returns whether the contiguous runs of a row are long enough to be folded directly from memory.
fn has_long_runs(p: &StridedOperand) -> bool {
    p.cols.contiguous().saturating_mul(p.size) >= LEAST_RUN
}

/// Returns the index in `Program::places` of the operand that a step loads, if it is a load.
fn place_of(step: &TileLoop) -> Option<usize> {
    if let StepKind::Load(place) = step.kind { Some(place) } else { None }
}

/// Returns the index in `Program::places` of the operand that the step with the given `id` loads, if it is a load.
fn load_of(steps: &[TileLoop], id: usize) -> Option<usize> {
    steps.iter().find(|s| s.id == id).and_then(place_of)
}

impl Job<'_> {
    /// If neighbouring columns of a block are contiguous in memory, passes the rows `part`, side by side, directly from
    /// memory to the folders, and returns true. Otherwise does nothing and returns false.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see `Frame`); the outer values of the block that this
    /// pass reads are computed; no other task processes this part of the block; the folders are reset.
    pub(super) unsafe fn feed_where_they_lie(
        &self,
        pass: &TilePass,
        block: TileBounds,
        part: &Range<usize>,
        folders: &mut Folders<'_>,
    ) -> bool {
        let program = self.bound.program;
        // the address of the first row of the columns, and the number of elements from a row to the next
        let columns_of = |id: usize| {
            let place = load_of(&program.steps[pass.steps.clone()], id)?;
            let p = &program.places[place];
            let (step, mut first) = (p.rows.step?, None);
            p.cols.runs(block.c0, block.nc, |_, offset, count, step| {
                if count == block.nc && (step == 1 || count == 1) {
                    first = Some(offset);
                }
            });
            let first = first.or(p.cols.is_still().then(|| p.cols.offset(block.c0)))? + p.rows.offset(part.start);
            let at = self.bound.at(place).wrapping_offset(first * p.size as isize);
            Some((at.cast_const(), step, p.cols.is_still()))
        };
        let lies = |f: &PassReduction| {
            let (at, step, is_shared) = columns_of(f.args[0])?;
            if !f.spec.multiplies() {
                let is_read = !is_shared && f.spec.takes_rows_apart(block.nc, step);
                return is_read.then_some(ColumnFactors { data: [at; 2], steps: [step; 2], is_shared });
            }
            let (of_other, step_of_other, is_other_shared) = columns_of(f.args[1])?;
            // the loop shares the second factor
            match (is_shared, is_other_shared) {
                (true, true) => None,
                (true, false) => {
                    Some(ColumnFactors { data: [of_other, at], steps: [step_of_other, step], is_shared: true })
                }
                (false, is_shared) => {
                    Some(ColumnFactors { data: [at, of_other], steps: [step, step_of_other], is_shared })
                }
            }
        };
        if !pass.reductions.iter().all(|f| lies(f).is_some()) {
            return false;
        }
        for (f, folder) in pass.reductions.iter().zip(folders) {
            let Some(factors) = lies(f) else { continue };
            // SAFETY: the rows of the part and the columns of the block are in the operands' spans, which are inside
            // their buffers (*inside*, see `Program`).
            unsafe {
                match f.spec.multiplies() {
                    true => folder.feed_product_columns(&factors, part.len()),
                    false => folder.feed_where_they_lie(factors.data[0], part.len(), factors.steps[0]),
                }
            }
        }
        true
    }

    /// Passes the elements `part` of a row to the folders, run by run, directly from memory.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see `Frame`), which folds in place and along rows; no other
    /// task processes this part of the row; the folders are reset.
    pub(super) unsafe fn feed_runs(&self, pass: &TilePass, row: usize, part: &Range<usize>, folders: &mut Folders<'_>) {
        let program = self.bound.program;
        for (f, folder) in pass.reductions.iter().zip(folders) {
            let Some(place) = load_of(&program.steps[pass.steps.clone()], f.args[0]) else { continue };
            let p = &program.places[place];
            if f.spec.multiplies() {
                let data = f.args.map(|id| {
                    let place = load_of(&program.steps[pass.steps.clone()], id).unwrap_or(place);
                    let p = &program.places[place];
                    let offset = p.rows.offset(row) + p.cols.offset(part.start);
                    self.bound.at(place).wrapping_offset(offset * p.size as isize).cast_const()
                });
                // SAFETY: the rows of both factors are in their buffers (*inside*, see `Program`), and `folds_in_place`
                // has checked that they are contiguous.
                unsafe { folder.feed(part.start, data, part.len()) };
                continue;
            }
            let first = self.bound.at(place).wrapping_offset(p.rows.offset(row) * p.size as isize);
            // SAFETY: the runs are in the operand's span, which is inside its buffer (*inside*, see `Program`).
            let mut feed = |(at, data, count): (usize, *const u8, usize)| unsafe {
                match f.spec.reads_halves() {
                    true => folder.feed_halves(at, data, count),
                    false => folder.feed(at, [data; 3], count),
                }
            };
            // the runs that are prefetched, but not folded yet. Before the first ones, there are runs of 0 elements
            let (mut waiting, mut next) = ([(0, first.cast_const(), 0); RUNS_AHEAD], 0);
            p.cols.runs(part.start, part.len(), |done, offset, count, _| {
                let data = first.wrapping_offset(offset * p.size as isize).cast_const();
                let bytes = (count * p.size).min(BYTES_AHEAD);
                (0..bytes).step_by(LINE).for_each(|line| prefetch(data.wrapping_add(line)));
                feed(std::mem::replace(&mut waiting[next], (part.start + done, data, count)));
                next = (next + 1) % RUNS_AHEAD;
            });
            (0..RUNS_AHEAD).for_each(|i| feed(waiting[(next + i) % RUNS_AHEAD]));
        }
    }
}
