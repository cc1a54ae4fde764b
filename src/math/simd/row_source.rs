//! The elements of rows that loops fold, and how they are combined.

// the loops run over the lanes of several arrays
#![allow(clippy::needless_range_loop)]

use super::ScalarFn;
use super::squares::{SIDE, columns_of};
use std::marker::PhantomData;

/// Calls a reducing function, whose operands and result have one type.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
pub(super) unsafe fn combine<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(x: A, y: A) -> A {
    // SAFETY: the types are the same; a function of two operands ignores the third.
    unsafe {
        let r = F::call(x, std::mem::transmute_copy::<A, B>(&y), std::mem::zeroed());
        std::mem::transmute_copy::<R, A>(&r)
    }
}

/// Prefetches bytes that are read later.
#[inline(always)]
pub(super) fn announce(at: *const u8, bytes: usize) {
    (0..bytes).step_by(64).for_each(|line| super::prefetch(at.wrapping_add(line)));
}

/// How many bytes ahead memory is prefetched. Hardware prefetchers probably do not recognise the order of reads as a stream
/// if a row is read in several parts. If it is read in order, prefetching takes 0.69 of the time for `argmax` of 10 million
/// elements, and 0.91 to 1.03 for sums. Of 4 and 8 KiB, 8 KiB was measured to be faster.
const AHEAD: usize = 8 << 10;

/// The elements of contiguous rows, and how they are combined. The methods are always inlined, so that they are compiled
/// for the instruction set of their caller, which would not apply to closures.
pub(super) trait RowSource: Copy {
    type Element: Copy;
    /// Returns the same elements, beginning with those of a later row.
    fn row(self, row: usize) -> Self;
    /// Returns the element with an index.
    ///
    /// # Safety
    /// The element exists.
    unsafe fn read(self, i: usize) -> Self::Element;
    /// Returns the elements from index `first` on of this row and of the rows after it, a square, by columns.
    ///
    /// # Safety
    /// The elements exist, and have 4 bytes.
    unsafe fn columns(self, first: usize) -> [[Self::Element; SIDE]; SIDE];
    /// Whether [`RowSource::read_all`] is faster than reading one element after another. Such sources have fast loops only
    /// for rows of 64 lanes and more, which keeps the code small; `half_row` in `cpu/assign/products.rs` selects such rows.
    const READS_ALL: bool = false;
    /// Returns the `W` elements from index `i` on.
    ///
    /// # Safety
    /// The elements exist.
    #[inline(always)]
    unsafe fn read_all<const W: usize>(self, i: usize) -> [Self::Element; W] {
        // SAFETY: the caller ensures that the elements exist.
        unsafe {
            let mut all = [self.read(i); W];
            for l in 0..W {
                all[l] = self.read(i + l);
            }
            all
        }
    }
    /// Combines two elements.
    fn combine(x: Self::Element, y: Self::Element) -> Self::Element;
    /// Prefetches `count` elements while the elements from index `i` on are read. `IN_ORDER` states whether all elements
    /// of a row are read in order.
    fn prefetch<const IN_ORDER: bool>(self, i: usize, count: usize);
}

/// Rows of `n` elements in memory, which a function combines. If `prefetches` is true, the elements after these rows are
/// prefetched.
pub(super) struct StoredRows<A, B, C, R, F> {
    at: *const A,
    n: usize,
    prefetches: bool,
    function: PhantomData<(B, C, R, F)>,
}

impl<A, B, C, R, F> StoredRows<A, B, C, R, F> {
    #[inline(always)]
    pub fn new(n: usize, at: *const A, prefetches: bool) -> Self {
        StoredRows { at, n, prefetches, function: PhantomData }
    }
}

impl<A: Copy, B, C, R, F> Clone for StoredRows<A, B, C, R, F> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Copy, B, C, R, F> Copy for StoredRows<A, B, C, R, F> {}

impl<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>> RowSource for StoredRows<A, B, C, R, F> {
    type Element = A;

    #[inline(always)]
    fn row(self, row: usize) -> Self {
        StoredRows { at: self.at.wrapping_add(row * self.n), ..self }
    }

    #[inline(always)]
    unsafe fn read(self, i: usize) -> A {
        // SAFETY: the caller ensures that the element exists.
        unsafe { *self.at.add(i) }
    }

    #[inline(always)]
    unsafe fn columns(self, first: usize) -> [[A; SIDE]; SIDE] {
        // SAFETY: the caller ensures the same conditions.
        unsafe { columns_of(self.at.add(first), self.n) }
    }

    #[inline(always)]
    fn combine(x: A, y: A) -> A {
        // SAFETY: A, B and R are the same type in every fold.
        unsafe { combine::<A, B, C, R, F>(x, y) }
    }

    #[inline(always)]
    fn prefetch<const IN_ORDER: bool>(self, i: usize, count: usize) {
        if self.prefetches {
            announce(self.at.wrapping_add(i).cast::<u8>().wrapping_add(AHEAD), count * size_of::<A>());
        }
    }
}
