//! How reductions read memory: in place where nothing is computed before elements are folded, and early, so that memory does
//! not rest while a tile is computed.

use super::{Folders, Job};
use crate::cpu::caches::announce;
use crate::cpu::program::{Dst, Order, Pass, PassReduction, Program, Step, StepKind};
use crate::cpu::tiles::Tile;
use smallvec::SmallVec;
use std::ops::Range;

/// Whether the program has one pass, which only folds loads that need no register: along rows, all of a row at once; across
/// rows, as many as a task has of them (`Job::lies`).
pub(super) fn folds_in_place(program: &Program) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let steps = &program.steps[pass.steps.clone()];
    let is_read = |s: &Step| match s.kind {
        StepKind::Load(place) if program.order == Order::Cols => {
            let p = &program.places[place];
            p.convert.is_none() && p.rows.step.is_some()
        }
        StepKind::Load(_) => matches!(s.dst, Dst::Nowhere),
        _ => false,
    };
    steps.iter().all(is_read)
        && pass
            .reductions
            .iter()
            .all(|f| f.spec.takes_any_length() && f.args.iter().all(|a| load_of(steps, *a).is_some()))
        && pass.totals.is_empty()
        && program.writes.iter().all(|w| !w.inner)
}

/// Returns the places whose next tile the caches are asked for: those that the first pass reads from end to end, where that pass
/// or a second one computes something meanwhile. There are `outer` rows of `n` elements, and `each` in a block.
pub(super) fn announced(program: &Program, outer: usize, n: usize, each: usize) -> SmallVec<[usize; 2]> {
    /// Bytes of a row up to which the second-level cache has room for the next one beside it (a judgement).
    const MOST: usize = 128 << 10;
    let mut places = SmallVec::new();
    let Some(first) = program.passes.first() else { return places };
    let steps = &program.steps[first.steps.clone()];
    let several = program.passes.len() > 1;
    let computes = steps.iter().any(|s| matches!(s.kind, StepKind::Call(_)));
    if !program.scans.is_empty() || !(several && program.order == Order::Rows || !several && computes) {
        return places;
    }
    for step in steps {
        if let StepKind::Load(place) = step.kind {
            let p = &program.places[place];
            let row = if program.order == Order::Rows { n } else { outer };
            let is_all = program.order == Order::Rows || each == outer;
            let follow = is_all && p.cols.step == Some(1) && p.rows.step == Some(row as isize);
            if follow && (!several || n.saturating_mul(p.size) <= MOST) {
                places.push(place);
            }
        }
    }
    places
}

/// Returns the place that a load with the number `id` reads.
fn load_of(steps: &[Step], id: usize) -> Option<usize> {
    let step = steps.iter().find(|s| s.id == id)?;
    if let StepKind::Load(place) = step.kind { Some(place) } else { None }
}

impl Job<'_> {
    /// Asks the caches for what a later tile reads: in the only pass the next tile, in the second of several passes the same
    /// columns of the next rows.
    pub(super) fn announce(&self, p: usize, tile: Tile) {
        let several = self.bound.program.passes.len() > 1;
        if p != several as usize {
            return;
        }
        for place in &self.reduce.announced {
            let p = &self.bound.program.places[*place];
            // tiles of the only pass follow one another in memory
            let row = if several { tile.r0 + tile.nr } else { tile.r0 };
            let first = p.rows.offset(row) + p.cols.offset(tile.c0) + if several { 0 } else { tile.len() as isize };
            announce(self.bound.at(*place).wrapping_offset(first * p.size as isize), tile.len() * p.size);
        }
    }

    /// Feeds a part of rows side by side to the folders where the rows lie in memory, if a block's columns are neighbours there.
    /// Returns whether it has.
    ///
    /// # Safety
    /// As [`Job::walk`]; the folders are reset.
    pub(super) unsafe fn feed_where_they_lie(
        &self,
        pass: &Pass,
        block: Tile,
        part: &Range<usize>,
        folders: &mut Folders<'_>,
    ) -> bool {
        let program = self.bound.program;
        let lies = |f: &PassReduction| {
            let place = load_of(&program.steps[pass.steps.clone()], f.args[0])?;
            let p = &program.places[place];
            let (step, mut first) = (p.rows.step?, None);
            p.cols.runs(block.c0, block.nc, |_, offset, count, step| {
                if count == block.nc && (step == 1 || count == 1) {
                    first = Some(offset);
                }
            });
            let first = first? + p.rows.offset(part.start);
            let at = self.bound.at(place).wrapping_offset(first * p.size as isize);
            f.spec.takes_rows_apart(block.nc, step).then_some((at, step))
        };
        if !pass.reductions.iter().all(|f| lies(f).is_some()) {
            return false;
        }
        for (f, folder) in pass.reductions.iter().zip(folders) {
            if let Some((at, step)) = lies(f) {
                // SAFETY: *inside* (`Program`): the rows of the part, and the columns of the block, are in the place's span.
                unsafe { folder.feed_where_they_lie(at, part.len(), step) };
            }
        }
        true
    }
}
