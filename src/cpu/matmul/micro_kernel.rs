//! The micro-kernels of products. Each computes one small tile of the result in registers (`lanes.rs`), over one chain of
//! k (defined below). This module also defines the order of additions, which is the same for every method of computing a
//! product:
//!
//! An element of a product is the sum of *chains*. A chain covers [`CHAIN`] neighbouring indices k of the summed axis;
//! the last chain covers the rest. The sum of a chain starts from +0, and each product is added to it by one fused
//! multiply-add, in the order of k. Then the sums of the chains are added in order. So the bits of an element depend
//! only on its row, its column and the element type.

use super::lanes::{Register, prefetch};

pub(super) use crate::plan::kernel::CHAIN;

/// A tile of the result, and the parts of the operands that it is computed from, over one chain. Strides are in
/// elements.
///
/// The kernels that compute a tile have three conditions, cited by name. *Inside*: the rows × `k` elements of `a`, the
/// `k` × `cols` elements of `b` (full vectors for a kernel without a mask) and the rows × `cols` elements of `c` are in
/// live memory; nobody writes the elements of `a` and `b`, and nobody else uses the elements of `c`. *Features*: the
/// machine has the instruction set of the kernel. *Size*: the `cols` columns need all vectors of the kernel, and fill
/// the last one completely if the kernel has no mask.
pub(super) struct ProductTile<T> {
    pub k: usize,
    pub a: *const T,
    pub a_row: isize,
    pub a_step: isize,
    pub b: *const T,
    pub b_step: isize,
    pub c: *mut T,
    pub c_row: isize,
    pub cols: usize,
    /// Whether this is not the first chain, so that its sums are added to the values in `c`.
    pub adds: bool,
}

/// Computes one tile.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*),
/// and the columns fill the kernel's vectors (*size*); see [`ProductTile`].
pub(super) type TileFn<T> = unsafe fn(&ProductTile<T>);

/// For one k, adds the product of each row's element and each column's element to the tile's sums.
///
/// # Safety
/// At this k, all elements of the tile are in live memory that nobody else changes (*inside*), the CPU has the
/// instruction set (*features*), and the columns fill the kernel's vectors (*size*); see [`ProductTile`].
#[inline(always)]
unsafe fn step<S: Register, const R: usize, const V: usize, const MASKED: bool>(
    a: *const S::Element,
    a_row: isize,
    b: *const S::Element,
    mask: S::Mask,
    sums: &mut [[S::Vector; V]; R],
) {
    // SAFETY: rows are below `R` and columns below `cols`, so all elements are in live memory (*inside*); the caller
    // ensures that the CPU has the instruction set (*features*).
    unsafe {
        let mut right = [S::zero(); V];
        for j in 0..V {
            let p = b.add(j * S::WIDTH);
            right[j] = if MASKED && j + 1 == V { S::load_masked(p, mask) } else { S::load(p) };
        }
        // computed this way, the addresses of the rows need few registers: one for every four rows, and one each for
        // the stride times 1, 2 and 3
        let (twice, thrice) = (2 * a_row, 3 * a_row);
        for i in 0..R {
            let four = a.wrapping_offset((i / 4) as isize * 4 * a_row);
            let p = match i % 4 {
                0 => four,
                1 => four.wrapping_offset(a_row),
                2 => four.wrapping_offset(twice),
                _ => four.wrapping_offset(thrice),
            };
            let left = S::splat(*p);
            for j in 0..V {
                sums[i][j] = S::multiply_add(left, right[j], sums[i][j]);
            }
        }
    }
}

/// Computes a tile of `R` rows and `V` vectors, the last of which is masked if `MASKED`.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*),
/// and the columns fill the kernel's vectors (*size*); see [`ProductTile`].
#[inline(always)]
pub(super) unsafe fn tile<S: Register, const R: usize, const V: usize, const MASKED: bool>(
    x: &ProductTile<S::Element>,
) {
    // SAFETY: every index is below `R`, `cols` and `k`, so all elements are in live memory (*inside*); the caller
    // ensures that the CPU has the instruction set (*features*) and that `cols` fits the vectors (*size*).
    unsafe {
        let mask = S::mask(x.cols - (V - 1) * S::WIDTH);
        if x.k >= 64 {
            // prefetches the result, which is needed only at the end; by then it is in the first-level cache
            for i in 0..R {
                let row = x.c.wrapping_offset(i as isize * x.c_row);
                for j in 0..V {
                    prefetch(row.wrapping_add(j * S::WIDTH));
                }
            }
        }
        let mut sums = [[S::zero(); V]; R];
        let (mut a, mut b) = (x.a, x.b);
        for _ in 0..x.k {
            step::<S, R, V, MASKED>(a, x.a_row, b, mask, &mut sums);
            a = a.wrapping_offset(x.a_step);
            b = b.wrapping_offset(x.b_step);
        }
        for i in 0..R {
            let row = x.c.offset(i as isize * x.c_row);
            for j in 0..V {
                let p = row.add(j * S::WIDTH);
                let is_masked = MASKED && j + 1 == V;
                if x.adds {
                    let before = if is_masked { S::load_masked(p, mask) } else { S::load(p) };
                    sums[i][j] = S::add(before, sums[i][j]);
                }
                if is_masked { S::store_masked(p, mask, sums[i][j]) } else { S::store(p, sums[i][j]) }
            }
        }
    }
}
