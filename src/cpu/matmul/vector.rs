//! Products of a matrix with one column, or a few, and of one row with a matrix. They keep the order of additions that
//! `tile.rs` defines, but lanes run over rows, over columns or over chains, whichever there are many of.

use super::lanes::{Lanes, MOST_DEPTH, Number};
use super::tile::CHAIN;

/// Asks `Lanes::transposed` for as many rows as a vector has lanes.
const ALL_ROWS: usize = usize::MAX;

/// Rows that are contiguous along k, times `N` columns. Strides are in elements.
///
/// The conditions of [`dots`], cited by name. *Inside*: the `rows × k` elements of `a`, the `k × N` of `x` and the `rows × N` of
/// `y` lie in live memory; nobody writes those of `a` and `x`, and nobody else uses those of `y`. *Features*: the machine has
/// the instruction set of the kernel. *Enough*: there are at least as many rows as a vector has lanes.
pub(super) struct Dots<T> {
    pub rows: usize,
    pub k: usize,
    pub a: *const T,
    pub a_row: isize,
    pub x: *const T,
    pub x_step: isize,
    pub x_col: isize,
    pub y: *mut T,
    pub y_row: isize,
    pub y_col: isize,
}

/// Computes the dot products of rows with `N` columns.
///
/// # Safety
/// *Inside*, *features* and *enough* ([`Dots`]).
#[inline(always)]
pub(super) unsafe fn dots<S: Lanes<Element: Number>, const N: usize>(x: &Dots<S::Element>) {
    // with one column, two blocks of rows at once keep two chains of dependent additions going
    let mut row = 0;
    // SAFETY: *inside*, *features* and *enough*. Where rows are left that fill no vector, the last rows are computed once more.
    unsafe {
        if N == 1 {
            while row + 2 * S::WIDTH <= x.rows {
                dots_of_rows::<S, N, 2>(x, row);
                row += 2 * S::WIDTH;
            }
        }
        while row < x.rows {
            let first = row.min(x.rows - S::WIDTH);
            dots_of_rows::<S, N, 1>(x, first);
            row = first + S::WIDTH;
        }
    }
}

/// Computes `B` vectors of rows from row `row` on.
///
/// # Safety
/// *Inside* and *features* ([`Dots`]), and there are so many rows.
#[inline(always)]
unsafe fn dots_of_rows<S: Lanes<Element: Number>, const N: usize, const B: usize>(x: &Dots<S::Element>, row: usize) {
    // SAFETY: *inside* and *features*: every index is below `rows`, `k` and `N`.
    unsafe {
        let mut total = [[S::zero(); N]; B];
        let mut start = 0;
        while start < x.k {
            let end = x.k.min(start + CHAIN);
            let mut sums = [[S::zero(); N]; B];
            let mut k = start;
            let mut right = x.x.wrapping_offset(start as isize * x.x_step);
            while k < end {
                let depth = if k + S::DEPTH <= end { S::DEPTH } else { 1 };
                for b in 0..B {
                    let a = x.a.wrapping_offset((row + b * S::WIDTH) as isize * x.a_row).wrapping_add(k);
                    if depth == S::DEPTH {
                        let mut left = [S::zero(); MOST_DEPTH];
                        S::transposed::<ALL_ROWS>(a, x.a_row, &mut left);
                        for d in 0..S::DEPTH {
                            for j in 0..N {
                                let p = right.wrapping_offset(d as isize * x.x_step + j as isize * x.x_col);
                                sums[b][j] = S::multiply_add(left[d], S::splat(*p), sums[b][j]);
                            }
                        }
                    } else {
                        let mut lanes = [S::Element::default(); 64];
                        for (i, lane) in lanes.iter_mut().enumerate().take(S::WIDTH) {
                            *lane = *a.wrapping_offset(i as isize * x.a_row);
                        }
                        let left = S::load(lanes.as_ptr());
                        for j in 0..N {
                            let p = right.wrapping_offset(j as isize * x.x_col);
                            sums[b][j] = S::multiply_add(left, S::splat(*p), sums[b][j]);
                        }
                    }
                }
                k += depth;
                right = right.wrapping_offset(depth as isize * x.x_step);
            }
            for b in 0..B {
                for j in 0..N {
                    total[b][j] = if start == 0 { sums[b][j] } else { S::add(total[b][j], sums[b][j]) };
                }
            }
            start = end;
        }
        for b in 0..B {
            for j in 0..N {
                let y = x.y.wrapping_offset((row + b * S::WIDTH) as isize * x.y_row + j as isize * x.y_col);
                if x.y_row == 1 {
                    S::store(y, total[b][j]);
                    continue;
                }
                let mut lanes = [S::Element::default(); 64];
                S::store(lanes.as_mut_ptr(), total[b][j]);
                for (i, lane) in lanes.iter().enumerate().take(S::WIDTH) {
                    *y.wrapping_offset(i as isize * x.y_row) = *lane;
                }
            }
        }
    }
}

/// One row times a matrix whose rows are contiguous. Strides are in elements.
///
/// The conditions of [`sums`], cited by name. *Inside*: the `k` elements of `x`, the `k × cols` of `b` and the `cols` of `y` lie
/// in live memory; nobody writes those of `x` and `b`, and nobody else uses those of `y`. *Features*: the machine has the
/// instruction set of the kernel.
pub(super) struct Sums<T> {
    pub cols: usize,
    pub k: usize,
    pub x: *const T,
    pub x_step: isize,
    pub b: *const T,
    pub b_step: isize,
    pub y: *mut T,
}

/// Computes the product of a row with a matrix: 8 vectors of columns at a time, or with fewer columns several chains at once,
/// because additions that wait for each other would leave the processor idle.
///
/// # Safety
/// *Inside* and *features* ([`Sums`]).
#[inline(always)]
pub(super) unsafe fn sums<S: Lanes>(x: &Sums<S::Element>) {
    let mut col = 0;
    // SAFETY: *inside* and *features*: blocks begin at a column below `cols`, and take at most the columns that are left.
    unsafe {
        while col < x.cols {
            let left = x.cols - col;
            match left.div_ceil(S::WIDTH) {
                1 => sums_of_columns::<S, 1, 8>(x, col, left),
                2 => sums_of_columns::<S, 2, 4>(x, col, left),
                3 | 4 => sums_of_columns::<S, 2, 4>(x, col, 2 * S::WIDTH),
                5..=7 => sums_of_columns::<S, 4, 2>(x, col, 4 * S::WIDTH),
                _ => sums_of_columns::<S, 8, 1>(x, col, 8 * S::WIDTH),
            }
            col += match left.div_ceil(S::WIDTH) {
                1 | 2 => left,
                3 | 4 => 2 * S::WIDTH,
                5..=7 => 4 * S::WIDTH,
                _ => left.min(8 * S::WIDTH),
            };
        }
    }
}

/// Computes `V` vectors of columns from column `col` on, `cols` of them at most, `G` chains at a time.
///
/// # Safety
/// *Inside* and *features* ([`Sums`]), and the columns need all `V` vectors.
#[inline(always)]
unsafe fn sums_of_columns<S: Lanes, const V: usize, const G: usize>(x: &Sums<S::Element>, col: usize, cols: usize) {
    // SAFETY: *inside* and *features*: every index is below `k` and `cols`.
    unsafe {
        let cols = cols.min(x.cols - col);
        let mask = S::mask(cols - (V - 1) * S::WIDTH);
        let mut total = [S::zero(); V];
        let mut start = 0;
        while start < x.k {
            let together = if start + G * CHAIN <= x.k { G } else { 1 };
            let len = CHAIN.min(x.k - start);
            let mut sums = [[S::zero(); V]; G];
            for k in start..start + len {
                if together == G {
                    for g in 0..G {
                        add_row::<S, V>(x, col, k + g * CHAIN, mask, &mut sums[g]);
                    }
                } else {
                    add_row::<S, V>(x, col, k, mask, &mut sums[0]);
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

/// Adds row `k` of the matrix, times the element `k` of the row, to sums.
///
/// # Safety
/// As of [`sums_of_columns`], and `k` is below `x.k`.
#[inline(always)]
unsafe fn add_row<S: Lanes, const V: usize>(
    x: &Sums<S::Element>,
    col: usize,
    k: usize,
    mask: S::Mask,
    sums: &mut [S::Vector; V],
) {
    // SAFETY: *inside* and *features*.
    unsafe {
        let left = S::splat(*x.x.wrapping_offset(k as isize * x.x_step));
        let row = x.b.wrapping_offset(k as isize * x.b_step).wrapping_add(col);
        for v in 0..V {
            let p = row.add(v * S::WIDTH);
            let right = if v + 1 == V { S::load_masked(p, mask) } else { S::load(p) };
            sums[v] = S::multiply_add(left, right, sums[v]);
        }
    }
}
