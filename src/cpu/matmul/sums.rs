//! Products of one row with a matrix. They keep the order of additions that `micro_kernel.rs` defines. The lanes of a
//! vector hold different columns.

use super::dot::{ChainsFn, sum_of_chains};
use super::lanes::{Register, prefetch};
use super::micro_kernel::CHAIN;
use super::stored::StoredElement;

/// The arguments of [`sums`]: the row `x`, the matrix `b`, whose rows are contiguous, and the product `y`. Strides are
/// in elements.
///
/// [`sums`] has two conditions, cited by name. *Inside*: the `k` elements of `x`, the `k × cols` elements of `b` and
/// the `cols` elements of `y` are in live memory; nobody writes the elements of `x` and `b`, and nobody else uses the
/// elements of `y`. *Features*: the machine has the instruction set of the kernel.
pub(super) struct Sums<T, B = T> {
    pub cols: usize,
    pub k: usize,
    pub x: *const T,
    pub x_step: isize,
    pub b: *const B,
    pub b_step: isize,
    pub y: *mut T,
}

/// Computes the product of a row with a matrix. The sums of up to 8 vectors of columns stay in registers. With few
/// columns, several chains are summed together, because additions that wait for each other would leave the processor
/// idle. `chains` is the CPU's function for chains of a dot product.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
/// (*features*); see [`Sums`].
#[inline(always)]
pub(super) unsafe fn sums<S: Register, B: StoredElement<S>>(
    x: &Sums<S::Element, B::Element>,
    chains: ChainsFn<S::Element>,
) {
    let mut col = 0;
    // SAFETY: blocks begin at a column below `cols` and have at most the remaining columns, so their elements are in
    // live memory (*inside*); the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        while col < x.cols {
            let left = x.cols - col;
            match left.div_ceil(S::WIDTH) {
                1 if x.cols == 1 && (x.x_step, x.b_step) == (1, 1) && !B::CONVERTS => {
                    let (from, total) = sum_of_chains::<S>(x.k, x.x, x.b.cast(), chains);
                    sums_of_columns::<S, B, 1, 8>(x, (col, left), from, [total]);
                }
                1 => sums_of_columns::<S, B, 1, 8>(x, (col, left), 0, [S::zero(); 1]),
                2 => sums_of_columns::<S, B, 2, 4>(x, (col, left), 0, [S::zero(); 2]),
                3 | 4 => sums_of_columns::<S, B, 2, 4>(x, (col, 2 * S::WIDTH), 0, [S::zero(); 2]),
                5..=7 => sums_of_columns::<S, B, 4, 2>(x, (col, 4 * S::WIDTH), 0, [S::zero(); 4]),
                8 => sums_of_columns::<S, B, 8, 1>(x, (col, 8 * S::WIDTH), 0, [S::zero(); 8]),
                _ => sums_of_many::<S, B>(x, col, left.min(MANY)),
            }
            col += match left.div_ceil(S::WIDTH) {
                1 | 2 => left,
                3 | 4 => 2 * S::WIDTH,
                5..=7 => 4 * S::WIDTH,
                8 => left,
                _ => left.min(MANY),
            };
        }
    }
}

/// Computes at most `cols` columns of the product, from `col` on, in `V` vectors. `G` chains are summed at a time.
/// `total` holds the sums over all k before `start`.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), and the columns occupy all `V` vectors.
#[inline(always)]
unsafe fn sums_of_columns<S: Register, B: StoredElement<S>, const V: usize, const G: usize>(
    x: &Sums<S::Element, B::Element>,
    (col, cols): (usize, usize),
    mut start: usize,
    mut total: [S::Vector; V],
) {
    // SAFETY: every index is below `k` and `cols`, so the elements are in live memory (*inside*); the caller ensures
    // that the CPU has the instruction set (*features*).
    unsafe {
        let cols = cols.min(x.cols - col);
        let mask = S::mask(cols - (V - 1) * S::WIDTH);
        while start < x.k {
            let together = if start + G * CHAIN <= x.k { G } else { 1 };
            let len = CHAIN.min(x.k - start);
            let mut sums = [[S::zero(); V]; G];
            for k in start..start + len {
                if together == G {
                    for g in 0..G {
                        add_row::<S, B, V>(x, col, k + g * CHAIN, mask, &mut sums[g]);
                    }
                } else {
                    add_row::<S, B, V>(x, col, k, mask, &mut sums[0]);
                }
            }
            for (g, sums) in sums.iter().enumerate().take(together) {
                for v in 0..V {
                    total[v] = if start + g == 0 { sums[v] } else { S::add(total[v], sums[v]) };
                }
            }
            start += if together == G { G * CHAIN } else { len };
        }
        for v in 0..V {
            let y = x.y.add(col + v * S::WIDTH);
            if v + 1 == V { S::store_masked(y, mask, total[v]) } else { S::store(y, total[v]) }
        }
    }
}

/// Multiplies row `k` of the matrix by element `k` of the row `x.x`, and adds the products to the sums.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), the columns occupy all `V` vectors, and `k` is below `x.k`.
#[inline(always)]
unsafe fn add_row<S: Register, B: StoredElement<S>, const V: usize>(
    x: &Sums<S::Element, B::Element>,
    col: usize,
    k: usize,
    mask: S::Mask,
    sums: &mut [S::Vector; V],
) {
    // SAFETY: `k` is below `x.k`, and lanes outside the mask are not accessed (*inside*); the caller ensures that the
    // CPU has the instruction set (*features*).
    unsafe {
        let left = S::splat(*x.x.wrapping_offset(k as isize * x.x_step));
        let row = x.b.wrapping_offset(k as isize * x.b_step).wrapping_add(col);
        for v in 0..V {
            let p = row.add(v * S::WIDTH);
            let right = if v + 1 == V { B::load_masked(p, mask) } else { B::load(p) };
            sums[v] = S::multiply_add(left, right, sums[v]);
        }
    }
}

/// The maximum number of columns whose sums are kept in memory: with f64, two arrays of 8 KiB in the L1 cache.
const MANY: usize = 1024;

/// Computes `cols` columns, at most [`MANY`], from column `col` on. Rows of the matrix are read from end to end, 8 rows
/// at a time, and the sums are kept in memory.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), and there are this many columns.
#[inline(always)]
unsafe fn sums_of_many<S: Register, B: StoredElement<S>>(x: &Sums<S::Element, B::Element>, col: usize, cols: usize) {
    const ROWS: usize = 8;
    // a partial vector may exceed the last column, but not the arrays, because `MANY` is a multiple of every width
    let mut chain = [S::Element::default(); MANY];
    let mut total = [S::Element::default(); MANY];
    let (chain, total) = (chain.as_mut_ptr(), total.as_mut_ptr());
    // SAFETY: the caller ensures that all elements are in live memory (*inside*), and that the CPU has the instruction
    // set (*features*). For all columns, the first rows of a chain write its sums before they are read, and the first
    // chain writes the totals.
    unsafe {
        for start in (0..x.k).step_by(CHAIN) {
            let end = x.k.min(start + CHAIN);
            let mut k = start;
            while k < end {
                if k + ROWS <= end {
                    add_rows::<S, B, ROWS>(x, col, cols, k, chain, k == start);
                    k += ROWS;
                } else {
                    add_rows::<S, B, 1>(x, col, cols, k, chain, k == start);
                    k += 1;
                }
            }
            if start == 0 {
                std::ptr::copy_nonoverlapping(chain, total, cols);
                continue;
            }
            let mut i = 0;
            while i < cols {
                // there is room for a vector beyond the columns, and nothing reads the sums there
                S::store(total.add(i), S::add(S::load(total.add(i)), S::load(chain.add(i))));
                i += S::WIDTH;
            }
        }
        std::ptr::copy_nonoverlapping(total, x.y.add(col), cols);
    }
}

/// Multiplies `R` rows of the matrix, from row `k` on, by their elements of the row `x.x`, and adds the products to the
/// sums in `chain`. If `first` is true, the sums start from zeros instead.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), there are this many rows, and only this call uses `chain`, which has room for the columns.
#[inline(always)]
unsafe fn add_rows<S: Register, B: StoredElement<S>, const R: usize>(
    x: &Sums<S::Element, B::Element>,
    col: usize,
    cols: usize,
    k: usize,
    chain: *mut S::Element,
    first: bool,
) {
    // SAFETY: every index is below `cols` and `k`, so the elements are in live memory (*inside*); the caller ensures
    // that the CPU has the instruction set (*features*).
    unsafe {
        let mut left = [S::zero(); R];
        for r in 0..R {
            left[r] = S::splat(*x.x.wrapping_offset((k + r) as isize * x.x_step));
        }
        let b = x.b.wrapping_offset(k as isize * x.b_step).wrapping_add(col);
        let mut i = 0;
        while i + S::WIDTH <= cols {
            let mut sum = if first { S::zero() } else { S::load(chain.add(i)) };
            for r in 0..R {
                let p = b.wrapping_offset(r as isize * x.b_step).wrapping_add(i);
                prefetch(p.wrapping_offset(R as isize * x.b_step));
                sum = S::multiply_add(left[r], B::load(p), sum);
            }
            S::store(chain.add(i), sum);
            i += S::WIDTH;
        }
        if i < cols {
            let mask = S::mask(cols - i);
            let mut sum = if first { S::zero() } else { S::load_masked(chain.add(i), mask) };
            for r in 0..R {
                let p = b.wrapping_offset(r as isize * x.b_step).wrapping_add(i);
                sum = S::multiply_add(left[r], B::load_masked(p, mask), sum);
            }
            S::store_masked(chain.add(i), mask, sum);
        }
    }
}
