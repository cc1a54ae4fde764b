//! Sums of bools and of 8- and 16-bit integers, which are read without widening them first. The state has one lane.
//! Integers are added exactly and in any order, so it is the same state as if the elements were widened before.

use super::*;
use crate::base::dtype::DType;
use crate::graph::ufunc::Ufunc;
use crate::math::simd::{Loop, Loops, Narrow, NarrowArgs, StoredBool};

/// A sum of narrow integers in 32- or 64-bit states.
pub(super) struct NarrowSum {
    /// Add the elements of rows, or of columns, to states.
    rows: Loop,
    columns: Loop,
    /// Adds states to states.
    accumulate: Loop,
    /// The size of a state in bytes.
    size: usize,
}

impl NarrowSum {
    /// Returns the sum, by the function `row`, of elements of this dtype in states of a compute type. Returns `None` if
    /// the dtype is not narrow.
    pub fn new(row: &Ufunc, compute: Compute, dtype: DType) -> Option<NarrowSum> {
        let accumulate = row.forms[compute as usize]?.accumulate?.get();
        let [rows, columns] = match dtype {
            DType::Bool => loops::<StoredBool>(),
            DType::U8 => loops::<u8>(),
            DType::I8 => loops::<i8>(),
            DType::U16 => loops::<u16>(),
            DType::I16 => loops::<i16>(),
            DType::U32 | DType::I32 | DType::U64 | DType::I64 => return None,
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => return None,
        };
        Some(NarrowSum { rows, columns, accumulate, size: compute.size() })
    }

    /// Sums each of several contiguous rows of `n` elements.
    ///
    /// # Safety
    /// `data` points to `rows × n` aligned elements, which no other thread writes (*data*, see [`Folder`]). `out` has
    /// space for `rows` aligned states, and does not overlap `data`.
    pub unsafe fn whole_rows(&self, n: usize, data: *const u8, rows: usize, out: *mut u8) {
        let args = NarrowArgs { rows, step: n as isize, wide: self.size == 8 };
        // SAFETY: the caller ensures that the elements and the space exist.
        unsafe {
            strided::fill(self.size, 0, out, rows);
            (self.rows)(n, data, (&raw const args).cast(), data, out);
        }
    }
}

fn loops<T: Narrow>() -> [Loop; 2] {
    [const { Loops::narrow_rows::<T>() }.get(), const { Loops::narrow_columns::<T>() }.get()]
}

impl Folder<'_> {
    /// Sets the states to 0 before the first element.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]).
    pub(super) unsafe fn begin_narrow(&mut self) {
        if self.blocks == 0 {
            // SAFETY: the state has a sum for each column (*state*, see [`Folder`]).
            unsafe { strided::fill(self.spec.compute.size(), 0, self.state, self.width) };
            self.blocks = 1;
        }
    }

    /// Adds the next `rows` narrow elements of each column, whose rows are `step` elements apart.
    ///
    /// # Safety
    /// The state is valid, and `data` has `rows` rows of `width` elements at this step (*state* and *data*, see
    /// [`Folder`]).
    pub(super) unsafe fn feed_narrow(&mut self, sum: &NarrowSum, data: *const u8, rows: usize, step: isize) {
        let wide = sum.size == 8;
        // SAFETY: the caller ensures that the elements exist, and the state has a sum for each column.
        unsafe {
            self.begin_narrow();
            if self.width == 1 && step == 1 {
                let args = NarrowArgs { rows: 1, step, wide };
                (sum.rows)(rows, data, (&raw const args).cast(), data, self.state);
            } else {
                let args = NarrowArgs { rows, step, wide };
                (sum.columns)(self.width, data, (&raw const args).cast(), data, self.state);
            }
        }
    }

    /// Implements [`Folder::merge`] for sums of narrow elements.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]). `partial` is a copy, aligned to 8, of what [`Folder::collapse`]
    /// returned for this spec and width.
    pub(super) unsafe fn merge_narrow(&mut self, sum: &NarrowSum, partial: *const u8) {
        // SAFETY: both the state and `partial` have a sum for each column (*state*, see [`Folder`]).
        unsafe {
            self.begin_narrow();
            (sum.accumulate)(self.width, partial, partial, partial, self.state);
        }
    }
}
