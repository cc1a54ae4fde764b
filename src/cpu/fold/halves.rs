//! Sums of f16 and bf16 that are read directly from a buffer. Whole blocks are widened to f32 while they are added, in
//! the same order as elements that are widened before, so the bits are the same.

use super::*;
use crate::base::dtype::DType;
use crate::graph::ufunc::{arithmetic, cast};
use crate::math::simd::Loop;

/// The loops of a sum of f16 or bf16 in f32.
#[derive(Clone, Copy)]
pub(super) struct HalfSum {
    /// Sums the elements of a block to one state for each lane.
    block: Loop,
    widen: Loop,
}

/// The size of an f16 and of a bf16 in bytes.
const SIZE: usize = 2;

impl HalfSum {
    /// Returns the loops of a reduction of elements that are loaded as this dtype. Returns `None` if it is not a sum of
    /// f16 or bf16.
    pub fn new(r: &KernelReduction, dtype: DType) -> Option<HalfSum> {
        match r.fold.form {
            Form::Function(row) if std::ptr::eq(row, &arithmetic::add) => {
                Some(HalfSum { block: cast::widened_sum(dtype)?, widen: cast::widen(dtype)?.get() })
            }
            Form::Function(_) | Form::FirstOf(_) | Form::SumOf { .. } | Form::Formulas => None,
        }
    }
}

impl FoldSpec {
    /// Lets the fold read the elements as they are stored, as this dtype, if it has loops for that
    /// ([`FoldSpec::reads_halves`]).
    pub fn with_stored(mut self, r: &KernelReduction, dtype: DType) -> FoldSpec {
        if self.width == 1 && self.lanes == LANES && self.compute == Compute::F32 {
            self.halves = HalfSum::new(r, dtype);
        }
        self
    }

    /// Returns whether [`Folder::feed_halves`] accepts the elements of this fold.
    pub fn reads_halves(&self) -> bool {
        self.halves.is_some()
    }
}

impl Folder<'_> {
    /// Adds the next `count` elements of the only column, f16 or bf16. The first of them is element `at`.
    ///
    /// # Safety
    /// The state is valid, and `data` has `count` elements of the stored dtype (*state* and *data*, see [`Folder`]).
    /// `count` is at most the number of elements still to come.
    pub unsafe fn feed_halves(&mut self, at: usize, data: *const u8, count: usize) {
        /// The number of elements that are widened at a time where there is no whole block.
        const PART: usize = 512;
        let Some(sum) = self.spec.halves else { return };
        let mut done = 0;
        while done < count {
            let (from, left) = (data.wrapping_add(done * SIZE), count - done);
            // SAFETY: the caller ensures that `left` elements follow `from`. The current vector has a state for each
            // lane (*state*), and `wide` has space for `take` elements.
            unsafe {
                if self.filled == 0 && left >= SERIAL * LANES {
                    (sum.block)(SERIAL * LANES, from, from, from, self.here());
                    self.left -= SERIAL * LANES;
                    self.push(0);
                    done += SERIAL * LANES;
                } else {
                    let take = left.min(PART).min(SERIAL * LANES - self.filled);
                    let mut wide = [0f32; PART];
                    (sum.widen)(take, from, from, from, wide.as_mut_ptr().cast());
                    self.feed_elements(at + done, [wide.as_ptr().cast(); 3], take);
                    done += take;
                }
            }
        }
    }
}
