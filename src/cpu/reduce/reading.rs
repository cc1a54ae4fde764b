//! Reductions that fold elements directly from the operand's memory, without tiles, because the kernel computes nothing
//! before it folds them.

use super::{Folders, Job};
use crate::cpu::program::{Dst, PassReduction, Program, StepKind, TileLoop, TileOrder, TilePass};
use crate::cpu::tiles::TileBounds;
use std::ops::Range;

/// Returns whether the program has a single pass (a loop along the reduced axes), which only folds elements that can be
/// read directly from memory.
pub(super) fn folds_in_place(program: &Program) -> bool {
    let [pass] = &program.passes[..] else { return false };
    let steps = &program.steps[pass.steps.clone()];
    let is_read = |s: &TileLoop| match s.kind {
        StepKind::Load(place) if program.order == TileOrder::Cols => {
            let p = &program.places[place];
            p.convert.is_none() && p.rows.step.is_some()
        }
        StepKind::Load(_) => matches!(s.dst, Dst::Nowhere),
        StepKind::Call(_)
        | StepKind::Index { .. }
        | StepKind::Gather { .. }
        | StepKind::Position(_)
        | StepKind::Philox { .. }
        | StepKind::Scan(_)
        | StepKind::ReuseRow => false,
    };
    steps.iter().all(is_read)
        && pass
            .reductions
            .iter()
            .all(|f| f.spec.takes_any_length() && f.args.iter().all(|a| load_of(steps, *a).is_some()))
        && pass.totals.is_empty()
        && program.writes.iter().all(|w| !w.inner)
}

/// Returns the index in `Program::places` of the operand that the step with the given `id` loads, if it is a load.
fn load_of(steps: &[TileLoop], id: usize) -> Option<usize> {
    let step = steps.iter().find(|s| s.id == id)?;
    if let StepKind::Load(place) = step.kind { Some(place) } else { None }
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
                // SAFETY: the rows of the part and the columns of the block are in the operand's span, which is inside
                // its buffer (*inside*, see `Program`).
                unsafe { folder.feed_where_they_lie(at, part.len(), step) };
            }
        }
        true
    }
}
