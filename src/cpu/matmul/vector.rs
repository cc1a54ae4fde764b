//! Products of a matrix with one column, or a few, and of one row with a matrix. They keep the order of additions that
//! `tile.rs` defines, but lanes run over rows, over columns or over chains, whichever there are many of.

use super::lanes::{Lanes, MOST_DEPTH, prefetch};
use super::plain::Number;
use super::tile::CHAIN;

/// Asks `Lanes::transposed` for as many rows as a vector has lanes.
const ALL_ROWS: usize = usize::MAX;

/// Bytes of a task's rows from which they are taken to lie in memory, not in a cache. The planner cuts larger products into
/// tasks of about this size.
const FAR: usize = 4 << 20;

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

impl<T> Dots<T> {
    /// Says whether the rows are taken to lie in memory.
    #[inline(always)]
    fn is_far(&self) -> bool {
        self.rows.saturating_mul(self.k).saturating_mul(size_of::<T>()) >= FAR
    }

    /// Asks for `width` cache lines of the rows that come after the `width` rows from `row` on, while these are at `k`: in the
    /// order in which they lie in memory, so that one stream of addresses brings them all by the time that they are wanted.
    #[inline(always)]
    fn call_next_rows(&self, row: usize, k: usize, width: usize) {
        let line = 64 / size_of::<T>();
        let per_row = self.k.div_ceil(line);
        let first = k / line * width;
        let next = row + width + first / per_row;
        let p = self.a.wrapping_offset(next as isize * self.a_row).wrapping_add(first % per_row * line);
        for i in 0..width {
            prefetch(p.wrapping_add(i * line));
        }
    }
}

/// Computes the dot products of rows with `N` columns.
///
/// # Safety
/// *Inside*, *features* and *enough* ([`Dots`]).
#[inline(always)]
pub(super) unsafe fn dots<S: Lanes<Element: Number>, const N: usize>(x: &Dots<S::Element>) {
    let mut row = 0;
    // SAFETY: *inside*, *features* and *enough*. Where rows are left that fill no vector, the last rows are computed once more.
    unsafe {
        while row < x.rows {
            let first = row.min(x.rows - S::WIDTH);
            dots_of_rows::<S, N>(x, first);
            row = first + S::WIDTH;
        }
    }
}

/// Computes a vector of rows from row `row` on. With one column two chains run at once, because additions that wait for each
/// other would leave the processor idle. More rows at once would do the same, but rows that lie a power of two apart push each
/// other out of the first-level cache. Rows that come from memory take one chain at a time: it is the better the fewer places
/// are read in turn, and the additions wait less than the loads.
///
/// # Safety
/// *Inside* and *features* ([`Dots`]), and there are so many rows.
#[inline(always)]
unsafe fn dots_of_rows<S: Lanes<Element: Number>, const N: usize>(x: &Dots<S::Element>, row: usize) {
    // SAFETY: *inside* and *features*: every index is below `rows`, `k` and `N`.
    unsafe {
        let line = (64 / size_of::<S::Element>()).max(S::DEPTH);
        let mut total = [S::zero(); N];
        let mut start = 0;
        while start < x.k {
            let len = CHAIN.min(x.k - start);
            // the second chain has as many k, or fewer if it is the last
            let second = if N == 1 && !x.is_far() { CHAIN.min(x.k - start - len) } else { 0 };
            let (mut sums, mut next) = ([S::zero(); N], [S::zero(); N]);
            let mut k = 0;
            while k + line <= second {
                add_depth::<S, N>(x, row, start + k, line, &mut sums);
                add_depth::<S, N>(x, row, start + CHAIN + k, line, &mut next);
                k += line;
            }
            add_chain::<S, N>(x, row, start + k, len - k, &mut sums);
            for j in 0..N {
                total[j] = if start == 0 { sums[j] } else { S::add(total[j], sums[j]) };
            }
            if second > 0 {
                add_chain::<S, N>(x, row, start + CHAIN + k, second - k, &mut next);
                for j in 0..N {
                    total[j] = S::add(total[j], next[j]);
                }
            }
            start += len + second;
        }
        for j in 0..N {
            let y = x.y.wrapping_offset(row as isize * x.y_row + j as isize * x.y_col);
            if x.y_row == 1 {
                S::store(y, total[j]);
                continue;
            }
            let mut lanes = [S::Element::default(); 64];
            S::store(lanes.as_mut_ptr(), total[j]);
            for (i, lane) in lanes.iter().enumerate().take(S::WIDTH) {
                *y.wrapping_offset(i as isize * x.y_row) = *lane;
            }
        }
    }
}

/// Adds `len` products from `k` on to each of the sums of a vector of rows.
///
/// # Safety
/// As of [`dots_of_rows`], and there are so many k.
#[inline(always)]
unsafe fn add_chain<S: Lanes<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    mut k: usize,
    len: usize,
    sums: &mut [S::Vector; N],
) {
    let line = (64 / size_of::<S::Element>()).max(S::DEPTH);
    let end = k + len;
    let far = N == 1 && x.is_far();
    while k < end {
        if far {
            x.call_next_rows(row, k, S::WIDTH);
        }
        // a cache line of each row; what is left of a chain in smaller steps
        let depth = match end - k {
            left if left >= line => line,
            left if left >= S::SHORT => S::SHORT,
            _ => 1,
        };
        // SAFETY: the caller's conditions.
        unsafe { add_depth::<S, N>(x, row, k, depth, sums) };
        k += depth;
    }
}

/// Adds `depth` products to each of the sums of a vector of rows: a cache line of each row, `SHORT` elements, or one.
///
/// # Safety
/// As of [`dots_of_rows`], and there are so many k.
#[inline(always)]
unsafe fn add_depth<S: Lanes<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    k: usize,
    depth: usize,
    sums: &mut [S::Vector; N],
) {
    let a = x.a.wrapping_offset(row as isize * x.a_row).wrapping_add(k);
    let right = x.x.wrapping_offset(k as isize * x.x_step);
    // SAFETY: *inside* and *features*: every index is below `rows`, `k` and `N`.
    unsafe {
        if depth == 1 {
            let mut lanes = [S::Element::default(); 64];
            for (i, lane) in lanes.iter_mut().enumerate().take(S::WIDTH) {
                *lane = *a.wrapping_offset(i as isize * x.a_row);
            }
            let left = S::load(lanes.as_ptr());
            for j in 0..N {
                sums[j] = S::multiply_add(left, S::splat(*right.wrapping_offset(j as isize * x.x_col)), sums[j]);
            }
            return;
        }
        let mut left = [S::zero(); MOST_DEPTH];
        if depth < S::DEPTH {
            S::transposed::<ALL_ROWS, false>(a, x.a_row, &mut left);
            return add_lanes::<S, N>(x, right, &left, S::SHORT, sums);
        }
        let mut d = 0;
        while d < depth {
            S::transposed::<ALL_ROWS, true>(a.wrapping_add(d), x.a_row, &mut left);
            add_lanes::<S, N>(x, right.wrapping_offset(d as isize * x.x_step), &left, S::DEPTH, sums);
            d += S::DEPTH;
        }
    }
}

/// Adds the products of `depth` vectors of rows to the sums.
///
/// # Safety
/// As of [`dots_of_rows`], and `right` is that of the first of so many k.
#[inline(always)]
unsafe fn add_lanes<S: Lanes<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    right: *const S::Element,
    left: &[S::Vector; MOST_DEPTH],
    depth: usize,
    sums: &mut [S::Vector; N],
) {
    // SAFETY: *inside* and *features*.
    unsafe {
        for d in 0..depth {
            for j in 0..N {
                let p = right.wrapping_offset(d as isize * x.x_step + j as isize * x.x_col);
                sums[j] = S::multiply_add(left[d], S::splat(*p), sums[j]);
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
                1 if x.cols == 1 && (x.x_step, x.b_step) == (1, 1) => {
                    let (from, total) = sum_of_chains::<S>(x);
                    sums_of_columns::<S, 1, 8>(x, (col, left), from, [total]);
                }
                1 => sums_of_columns::<S, 1, 8>(x, (col, left), 0, [S::zero(); 1]),
                2 => sums_of_columns::<S, 2, 4>(x, (col, left), 0, [S::zero(); 2]),
                3 | 4 => sums_of_columns::<S, 2, 4>(x, (col, 2 * S::WIDTH), 0, [S::zero(); 2]),
                5..=7 => sums_of_columns::<S, 4, 2>(x, (col, 4 * S::WIDTH), 0, [S::zero(); 4]),
                8 => sums_of_columns::<S, 8, 1>(x, (col, 8 * S::WIDTH), 0, [S::zero(); 8]),
                _ => sums_of_many::<S>(x, col, left.min(MANY)),
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

/// Computes the sums of the first chains of one column, lanes over chains: as many chains as fill vectors. Returns the number of
/// their k, and their sums added in order. The row and the column are contiguous.
///
/// # Safety
/// *Inside* and *features* ([`Sums`]).
#[inline(always)]
unsafe fn sum_of_chains<S: Lanes>(x: &Sums<S::Element>) -> (usize, S::Vector) {
    let together = S::WIDTH * CHAIN;
    let line = 64 / size_of::<S::Element>();
    // SAFETY: *inside* and *features*: every index is below `k`.
    unsafe {
        let mut total = S::zero();
        let mut start = 0;
        while start + together <= x.k {
            let (a, b) = (x.x.add(start), x.b.add(start));
            let mut sum = S::zero();
            for k in (0..CHAIN).step_by(S::DEPTH) {
                if k % line == 0 {
                    // no processor sees so many short streams, so the same line of each of the next chains is asked for
                    for i in 0..S::WIDTH {
                        prefetch(a.wrapping_add(together + i * CHAIN + k));
                        prefetch(b.wrapping_add(together + i * CHAIN + k));
                    }
                }
                let (mut left, mut right) = ([S::zero(); MOST_DEPTH], [S::zero(); MOST_DEPTH]);
                S::transposed::<ALL_ROWS, true>(a.add(k), CHAIN as isize, &mut left);
                S::transposed::<ALL_ROWS, true>(b.add(k), CHAIN as isize, &mut right);
                for d in 0..S::DEPTH {
                    sum = S::multiply_add(left[d], right[d], sum);
                }
            }
            let mut lanes = [S::Element::default(); 64];
            S::store(lanes.as_mut_ptr(), sum);
            for (i, lane) in lanes.iter().enumerate().take(S::WIDTH) {
                total = if start + i == 0 { S::splat(*lane) } else { S::add(total, S::splat(*lane)) };
            }
            start += together;
        }
        (start, total)
    }
}

/// Computes `V` vectors of columns: of the columns (from, how many at most), `G` chains at a time. `total` has the sums of the k
/// before `start`.
///
/// # Safety
/// *Inside* and *features* ([`Sums`]), and the columns need all `V` vectors.
#[inline(always)]
unsafe fn sums_of_columns<S: Lanes, const V: usize, const G: usize>(
    x: &Sums<S::Element>,
    (col, cols): (usize, usize),
    mut start: usize,
    mut total: [S::Vector; V],
) {
    // SAFETY: *inside* and *features*: every index is below `k` and `cols`.
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

/// The most columns whose sums are kept in memory: two times 8 KiB of f64, which a first-level cache holds.
const MANY: usize = 1024;

/// Computes many columns, at most [`MANY`], from column `col` on: rows of the matrix are read from end to end, some at a time,
/// and the sums are kept in memory.
///
/// # Safety
/// *Inside* and *features* ([`Sums`]), and there are so many columns.
#[inline(always)]
unsafe fn sums_of_many<S: Lanes>(x: &Sums<S::Element>, col: usize, cols: usize) {
    const ROWS: usize = 8;
    // a vector that is not full may lie beyond the last column; `MANY` is a multiple of every width
    let mut chain = [S::Element::default(); MANY];
    let mut total = [S::Element::default(); MANY];
    let (chain, total) = (chain.as_mut_ptr(), total.as_mut_ptr());
    // SAFETY: *inside* and *features*. The first rows of a chain write its sums, the first chain the totals, for all columns.
    unsafe {
        for start in (0..x.k).step_by(CHAIN) {
            let end = x.k.min(start + CHAIN);
            let mut k = start;
            while k < end {
                if k + ROWS <= end {
                    add_rows::<S, ROWS>(x, col, cols, k, chain, k == start);
                    k += ROWS;
                } else {
                    add_rows::<S, 1>(x, col, cols, k, chain, k == start);
                    k += 1;
                }
            }
            if start == 0 {
                std::ptr::copy_nonoverlapping(chain, total, cols);
                continue;
            }
            let mut i = 0;
            while i < cols {
                // beyond the columns there is room for a vector, and nobody reads the sums there
                S::store(total.add(i), S::add(S::load(total.add(i)), S::load(chain.add(i))));
                i += S::WIDTH;
            }
        }
        std::ptr::copy_nonoverlapping(total, x.y.add(col), cols);
    }
}

/// Adds `R` rows of the matrix from row `k` on, times their elements of the row, to the sums of a chain; to zeros, if they are
/// its first.
///
/// # Safety
/// As of [`sums_of_many`], there are so many rows, and `chain` has room for the columns and is this call's alone.
#[inline(always)]
unsafe fn add_rows<S: Lanes, const R: usize>(
    x: &Sums<S::Element>,
    col: usize,
    cols: usize,
    k: usize,
    chain: *mut S::Element,
    first: bool,
) {
    // SAFETY: *inside* and *features*: every index is below `cols` and `k`.
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
                sum = S::multiply_add(left[r], S::load(p), sum);
            }
            S::store(chain.add(i), sum);
            i += S::WIDTH;
        }
        if i < cols {
            let mask = S::mask(cols - i);
            let mut sum = if first { S::zero() } else { S::load_masked(chain.add(i), mask) };
            for r in 0..R {
                let p = b.wrapping_offset(r as isize * x.b_step).wrapping_add(i);
                sum = S::multiply_add(left[r], S::load_masked(p, mask), sum);
            }
            S::store_masked(chain.add(i), mask, sum);
        }
    }
}
