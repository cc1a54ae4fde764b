//! Products of f16 and bf16 with few columns or one row. Packed panels (`blocked.rs`) would take longer, because each
//! converted element is used only once or a few times. With AVX2 and AVX-512, kernels convert the elements of the large
//! operand as they read them. Elsewhere, a part of the operand at a time is converted to scratch memory.

use super::blocked::ProductBlock;
use super::instruction_sets::{HalfKernels, Kernels, ProductElement};
use super::micro_kernel::CHAIN;
use super::operands::{ProductOperand, ProductTarget};
use super::scratch;
use crate::cpu::caches::{LINE, prefetch};

/// The size in bytes of the rows that are read for all columns, or converted, before the next rows are. A second-level
/// cache holds it. Chosen by hand; no benchmark compares other values.
const PART: usize = 128 << 10;

/// The number of columns that are converted at a time if the result has one row. Chosen by hand; no benchmark compares
/// other values.
const COLUMNS: usize = 256;

/// How many rows ahead of the row that is converted memory is prefetched, because the processor does not predict where
/// the next part of a row begins. Chosen by hand; no benchmark compares other values.
const AHEAD: usize = 8;

impl ProductBlock<'_> {
    /// Returns whether the elements of an operand or of the result are converted.
    pub fn converts(&self) -> bool {
        self.a.widen.is_some() || self.b.widen.is_some() || self.c.narrow.is_some()
    }

    /// Computes the block a few columns at a time, like [`ProductBlock::dots`]. Returns false, and does nothing, if
    /// there is no memory for the converted elements.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that `Method::Dots` requires, and at least as many rows as a vector has lanes; `T` is the
    /// type of the product.
    pub unsafe fn widened_dots<T: ProductElement>(&self, kernels: &Kernels<T>) -> bool {
        let (m, n, size, half) = (self.m, self.n, size_of::<T>(), self.a.half_kernels(kernels));
        let converts = self.a.widen.is_some() && half.is_none();
        // the number of k that are summed at a time, and of elements from a converted row to the next
        let (depth, step) = if converts { (self.k.min(CHAIN), CHAIN + LINE / size) } else { (self.k, 0) };
        let bytes_of_row = if converts { step * size } else { depth * self.a.size };
        let rows = (PART / bytes_of_row / kernels.width * kernels.width).max(kernels.width).min(m);
        let mut is_done = false;
        let bytes = (rows * step + n * depth + 2 * rows * n) * size + 4 * scratch::ALIGN;
        scratch::with(bytes, 0, |scratch, is_wanted| {
            if !is_wanted {
                return;
            }
            let (wide, right) = (scratch.take::<T>(rows * step), scratch.take::<T>(n * depth));
            let (totals, sums) = (scratch.take::<T>(rows * n), scratch.take::<T>(rows * n));
            for row in (0..m).step_by(rows) {
                // the last part has as many rows as the others, and computes some of them again
                let row = row.min(m - rows);
                for first in (0..self.k).step_by(depth) {
                    let k = depth.min(self.k - first);
                    let to = if first == 0 { totals } else { sums };
                    let c = ProductTarget { at: to.cast(), row: 1, col: rows as isize, size, narrow: None };
                    // SAFETY: all parts lie inside the block, so the caller's conditions (*inside* and *apart*) hold
                    // for them. The scratch memory has room for the converted elements, the sums and the totals.
                    unsafe {
                        let b = self.b.from(0, first).widened(n, k, depth, right);
                        let part = ProductBlock { m: rows, k, a: self.a.from(row, first), b, c, ..*self };
                        match half {
                            Some(half) => part.dots(half.dots),
                            None => ProductBlock { a: part.a.widened(rows, k, step, wide), ..part }.dots(kernels.dots),
                        }
                        add_chain(totals, sums, if first == 0 { 0 } else { rows * n });
                    }
                }
                // SAFETY: the result of these rows is inside the block, and the sums of all k are computed.
                unsafe { self.c.from(row, 0).turned().store(totals, rows, n, rows) };
            }
            scratch.clear();
            is_done = true;
        });
        is_done
    }

    /// Computes the block row by row, like [`ProductBlock::sums`], by the function `plain` if no kernel converts the
    /// elements as it reads them. Returns false, and does nothing, if there is no memory for the converted elements.
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that `Method::Sums` requires; `T` is the type of the product.
    pub unsafe fn widened_sums<T: ProductElement>(&self, kernels: &Kernels<T>, plain: SumsFn<T>) -> bool {
        let (m, size, half) = (self.m, size_of::<T>(), self.b.half_kernels(kernels));
        let converts = self.b.widen.is_some() && half.is_none();
        // the numbers of k and of columns that are summed at a time
        let (depth, most) = if converts { (self.k.min(CHAIN), COLUMNS.min(self.n)) } else { (self.k, self.n) };
        let room = if converts { depth * most } else { 0 };
        let mut is_done = false;
        let bytes = (room + m * depth + 2 * m * most) * size + 4 * scratch::ALIGN;
        scratch::with(bytes, 0, |scratch, is_wanted| {
            if !is_wanted {
                return;
            }
            let (wide, left) = (scratch.take::<T>(room), scratch.take::<T>(m * depth));
            let (totals, sums) = (scratch.take::<T>(m * most), scratch.take::<T>(m * most));
            for col in (0..self.n).step_by(most) {
                let n = most.min(self.n - col);
                for first in (0..self.k).step_by(depth) {
                    let k = depth.min(self.k - first);
                    let to = if first == 0 { totals } else { sums };
                    let c = ProductTarget { at: to.cast(), row: most as isize, col: 1, size, narrow: None };
                    // SAFETY: all parts lie inside the block, so the caller's conditions (*inside* and *apart*) hold
                    // for them. The scratch memory has room for the converted elements, the sums and the totals.
                    unsafe {
                        let a = self.a.from(0, first).widened(m, k, depth, left);
                        let part = ProductBlock { n, k, a, b: self.b.from(col, first), c, ..*self };
                        match half {
                            Some(half) => part.sums(half.sums),
                            None => ProductBlock { b: part.b.widened_rows(k, n, most, wide), ..part }.sums(plain),
                        }
                        for row in 0..if first == 0 { 0 } else { m } {
                            add_chain(totals.add(row * most), sums.add(row * most), n);
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

/// A function of [`Kernels::sums`].
pub(super) type SumsFn<T> = unsafe fn(&super::sums::Sums<T>);

/// Adds the `n` sums of a chain to the totals of the chains before it.
///
/// # Safety
/// Both pointers are valid for `n` elements, which do not overlap.
unsafe fn add_chain<T: ProductElement>(totals: *mut T, sums: *const T, n: usize) {
    for i in 0..n {
        // SAFETY: the caller ensures that the elements exist.
        unsafe { *totals.add(i) = T::plus(*totals.add(i), *sums.add(i)) };
    }
}

impl<'a> ProductOperand<'a> {
    /// Returns the kernels that convert the elements as they read them, if there are such kernels.
    fn half_kernels<T>(&self, kernels: &Kernels<T>) -> Option<&'static HalfKernels<T>> {
        kernels.halves.get(self.half?)
    }

    /// Returns the operand whose converted elements begin at `to`, with these strides.
    fn converted<T>(&self, to: *mut T, [line, step]: [usize; 2]) -> ProductOperand<'a> {
        let (line, step, size) = (line as isize, step as isize, size_of::<T>());
        ProductOperand { at: to.cast(), line, step, size, widen: None, half: None, far: false, nested: None }
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
        self.converted(to, [line, 1])
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
        self.converted(to, [1, step])
    }
}
