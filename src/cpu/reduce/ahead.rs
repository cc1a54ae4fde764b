//! Prefetches the operands of a row kernel's next tile while the passes over the current tile compute. The prefetches
//! are spread over all steps, because the processor accepts only a few at a time: after that, it waits for memory.

use super::Job;
use crate::cpu::program::StepKind;
use crate::cpu::tiles::TileBounds;
use crate::math::simd::prefetch;
use smallvec::SmallVec;
use std::ops::Range;

/// The size of a cache line in bytes.
const LINE: usize = 64;

/// The memory that the first pass over the next tile reads.
pub(super) struct Ahead {
    /// The memory that is not prefetched yet: addresses with numbers of bytes.
    left: SmallVec<[(*const u8, usize); 2]>,
    /// The number of bytes that each step prefetches, a multiple of [`LINE`].
    each: usize,
}

impl Ahead {
    /// Prefetches the part of one step.
    #[inline]
    pub fn prefetch_some(&mut self) {
        let Some((at, bytes)) = self.left.last_mut() else { return };
        let now = self.each.min(*bytes);
        (0..now).step_by(LINE).for_each(|line| prefetch(at.wrapping_add(line)));
        (*at, *bytes) = (at.wrapping_add(now), *bytes - now);
        if *bytes == 0 {
            self.left.pop();
        }
    }
}

impl Job<'_> {
    /// Returns what to prefetch for the first of the blocks `next`, while the block before it is computed. Returns
    /// nothing to prefetch if there is no such block, or if the kernel is not a row kernel whose tiles hold whole rows.
    pub(super) fn ahead(&self, next: Range<usize>) -> Ahead {
        let (program, mut left) = (self.bound.program, SmallVec::new());
        if next.is_empty() || program.passes.len() < 2 || !self.has_whole_rows() {
            return Ahead { left, each: 0 };
        }
        let block = self.block(next.start);
        let tile = TileBounds { r0: block.c0, nr: block.nc, c0: 0, nc: self.reduce.n, start: 0 };
        for step in &program.steps[program.passes[0].steps.clone()] {
            let StepKind::Load(n) = step.kind else { continue };
            let place = &program.places[n];
            if place.dense(tile.nr, tile.nc) {
                let first = (place.rows.offset(tile.r0) + place.cols.offset(tile.c0)) * place.size as isize;
                left.push((self.bound.at(n).wrapping_offset(first).cast_const(), tile.len() * place.size));
            }
        }
        let bytes: usize = left.iter().map(|(_, bytes)| bytes).sum();
        let steps: usize = program.passes.iter().map(|pass| pass.steps.len() + pass.reductions.len()).sum();
        Ahead { left, each: bytes.div_ceil(steps.max(1)).next_multiple_of(LINE) }
    }
}
