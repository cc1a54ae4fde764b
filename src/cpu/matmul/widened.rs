//! Products with few columns or one row, of elements that are converted to the type of the product, such as f16. Packed
//! panels (`blocked.rs`) would take longer, because each converted element is used only once or a few times. Kernels for
//! f16 and bf16 convert the elements of the large operand as they read them. For other elements, and on instruction sets
//! without such kernels, a part of the operand at a time is converted to scratch memory.

use super::blocked::ProductBlock;
use super::instruction_sets::{HalfKernels, Kernels, ProductElement};
use super::micro_kernel::CHAIN;
use super::operands::{ProductOperand, ProductTarget};
use super::scratch;
use crate::cpu::caches::{LINE, prefetch};

/// The size in bytes of the rows that are converted at a time, unless more rows are needed to fill a vector. A
/// second-level cache holds it.
const PART: usize = 128 << 10;

/// The maximum size in bytes of the rows that are converted at a time. Panels are faster than longer rows, which no
/// second-level cache holds.
const MOST: usize = 1 << 20;

/// The number of columns that are converted at a time if the result has one row.
const COLUMNS: usize = 512;

/// How many rows ahead of the row that is converted memory is prefetched, because the processor does not predict where
/// the next part of a row begins.
const AHEAD: usize = 8;

impl ProductBlock<'_> {
    /// Returns whether the elements of an operand or of the result are converted.
    pub fn converts(&self) -> bool {
        self.a.widen.is_some() || self.b.widen.is_some() || self.c.narrow.is_some()
    }

    /// Computes the block a few columns at a time, like [`ProductBlock::dots`]. Returns false, and does nothing, if the
    /// converted elements would take too much memory.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that `Method::Dots` requires, and at least as many rows as a vector has lanes; `T` is the
    /// type of the product.
    pub unsafe fn widened_dots<T: ProductElement>(&self, kernels: &Kernels<T>) -> bool {
        let (m, n, k, size) = (self.m, self.n, self.k, size_of::<T>());
        let half = self.a.half_kernels(kernels);
        // with one more cache line, rows whose length is a power of two do not share few sets of a cache
        let row = k.next_multiple_of(LINE / size) + LINE / size;
        let (rows, left) = if self.a.widen.is_none() || half.is_some() {
            (m, 0)
        } else {
            let rows = PART / (row * size) / kernels.width * kernels.width;
            let rows = rows.clamp(kernels.width, m);
            (rows, rows * row)
        };
        let mut is_done = false;
        let bytes = (left + n * k + rows * n) * size + 3 * scratch::ALIGN;
        if left * size > MOST {
            return false;
        }
        scratch::with(bytes, 0, |scratch, is_wanted| {
            if !is_wanted {
                return;
            }
            let (wide, right) = (scratch.take::<T>(left), scratch.take::<T>(n * k));
            let result = scratch.take::<T>(rows * n);
            let c = ProductTarget { at: result.cast(), row: 1, col: rows as isize, size, narrow: None };
            // SAFETY: all parts lie inside the block, so the caller's conditions (*inside* and *apart*) hold for them.
            // The scratch memory has room for the converted elements and for the results.
            unsafe {
                let b = self.b.widened(n, k, k, right);
                for first in (0..m).step_by(rows) {
                    // the last part has as many rows as the others, and computes some of them again
                    let first = first.min(m - rows);
                    let part = ProductBlock { m: rows, a: self.a.from(first, 0), b, c, ..*self };
                    match half {
                        Some(half) => part.dots(half.dots),
                        None => ProductBlock { a: part.a.widened(rows, k, row, wide), ..part }.dots(kernels.dots),
                    }
                    self.c.from(first, 0).turned().store(result, rows, n, rows);
                }
            }
            scratch.clear();
            is_done = true;
        });
        is_done
    }

    /// Computes the block row by row, like [`ProductBlock::sums`]. Returns false, and does nothing, if there is no
    /// memory for the converted elements.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that `Method::Sums` requires; `T` is the type of the product.
    pub unsafe fn widened_sums<T: ProductElement>(&self, kernels: &Kernels<T>) -> bool {
        let (m, half) = (self.m, self.b.half_kernels(kernels));
        // the number of k, and of columns, of a part of the right operand
        let (depth, most) = match self.b.widen {
            Some(_) if half.is_none() => (self.k.min(CHAIN), COLUMNS.min(self.n)),
            _ => (self.k, self.n),
        };
        let right = if half.is_some() || self.b.widen.is_none() { 0 } else { depth * most };
        let mut is_done = false;
        let bytes = (right + m * depth + 2 * m * most) * size_of::<T>() + 4 * scratch::ALIGN;
        scratch::with(bytes, 0, |scratch, is_wanted| {
            if !is_wanted {
                return;
            }
            let (wide, left) = (scratch.take::<T>(right), scratch.take::<T>(m * depth));
            let (totals, sums) = (scratch.take::<T>(m * most), scratch.take::<T>(m * most));
            for col in (0..self.n).step_by(most) {
                let n = most.min(self.n - col);
                for first in (0..self.k).step_by(depth) {
                    let k = depth.min(self.k - first);
                    let to = if first == 0 { totals } else { sums };
                    let (row, size) = (most as isize, size_of::<T>());
                    let c = ProductTarget { at: to.cast(), row, col: 1, size, narrow: None };
                    // SAFETY: all parts lie inside the block, so the caller's conditions (*inside* and *apart*) hold
                    // for them. The scratch memory has room for the converted elements, the sums and the totals.
                    unsafe {
                        let a = self.a.from(0, first).widened(m, k, depth, left);
                        let part = ProductBlock { n, k, a, b: self.b.from(col, first), c, ..*self };
                        match half {
                            Some(half) => part.sums(half.sums),
                            None => {
                                ProductBlock { b: part.b.widened_rows(k, n, most, wide), ..part }.sums(kernels.sums)
                            }
                        }
                        for i in 0..if first == 0 { 0 } else { m * most } {
                            *totals.add(i) = T::plus(*totals.add(i), *sums.add(i));
                        }
                    }
                }
                // SAFETY: the result of these columns is inside the block, and the sums of all k are computed.
                unsafe { self.c.from(0, col).store(totals, most, m, n) };
            }
            scratch.clear();
            is_done = true;
        });
        is_done
    }
}

impl<'a> ProductOperand<'a> {
    /// Returns the kernels that convert the elements as they read them, if there are such kernels.
    fn half_kernels<T>(&self, kernels: &Kernels<T>) -> Option<&'static HalfKernels<T>> {
        kernels.halves.get(self.half?)
    }

    /// Converts `lines` lines of `k` elements to the type of the product, if they have another type. Returns where they
    /// are then: each line is contiguous, and they are `line` elements apart from `to` on.
    ///
    /// # Safety
    /// The elements are in live memory and nobody else changes them (*inside*, see `Lines`). `T` is the type of the
    /// product, and `to` has room for the converted elements.
    unsafe fn widened<T>(&self, lines: usize, k: usize, line: usize, to: *mut T) -> ProductOperand<'a> {
        let Some(widen) = self.widen else { return *self };
        for i in 0..lines {
            // SAFETY: the caller ensures that the elements exist and that there is room for them.
            unsafe { self.widen_run(widen, i, 0, self.step, k, to.add(i * line)) };
        }
        ProductOperand { at: to.cast(), line: line as isize, step: 1, size: size_of::<T>(), widen: None, ..*self }
    }

    /// Converts the elements of `lines` neighbouring lines at `k` indices to the type of the product, if they have
    /// another type. Returns where they are then: the lines are neighbours, and the indices are `step` elements apart
    /// from `to` on.
    ///
    /// # Safety
    /// The elements are in live memory and nobody else changes them (*inside*, see `Lines`). `T` is the type of the
    /// product, and `to` has room for the converted elements.
    unsafe fn widened_rows<T>(&self, k: usize, lines: usize, step: usize, to: *mut T) -> ProductOperand<'a> {
        let Some(widen) = self.widen else { return *self };
        for i in 0..k {
            let ahead = self.from(0, i + AHEAD).at;
            (0..lines * self.size).step_by(LINE).for_each(|line| prefetch(ahead.wrapping_add(line)));
            // SAFETY: the caller ensures that the elements exist and that there is room for them.
            unsafe { self.widen_run(widen, 0, i, 1, lines, to.add(i * step)) };
        }
        ProductOperand { at: to.cast(), line: 1, step: step as isize, size: size_of::<T>(), widen: None, ..*self }
    }
}
