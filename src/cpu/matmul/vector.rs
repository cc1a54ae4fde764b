//! Products of a matrix with one column or a few, and of one row with a matrix. They keep the order of additions that
//! `micro_kernel.rs` defines. The lanes of a vector hold different rows, columns or chains (blocks of [`CHAIN`]
//! neighbouring k), whichever are many in the given product.

use super::dot::{ChainsFn, FAR, sum_of_chains};
use super::lanes::{ALL_ROWS, MOST_DEPTH, Register, line, prefetch};
use super::micro_kernel::CHAIN;
use super::plain::Number;

/// How many bytes ahead of the additions rows are prefetched from memory. With matrices of 32 and 64 MiB, products then
/// take about 0.85 of the time without prefetching, and 0.75 to 0.88 of the time with prefetching of the next rows
/// (measured). Half as many bytes are as fast.
const AHEAD: usize = 1024;

/// The arguments of [`dots`]: the rows of `a`, which are contiguous along k, the `N` columns of `x`, and the products
/// `y`. Strides are in elements.
///
/// [`dots`] has three conditions, cited by name. *Inside*: the `rows × k` elements of `a`, the `k × N` elements of `x`
/// and the `rows × N` elements of `y` are in live memory; nobody writes the elements of `a` and `x`, and nobody else
/// uses the elements of `y`. *Features*: the machine has the instruction set of the kernel. *Enough*: there are at
/// least as many rows as a vector has lanes.
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
    /// Returns whether the rows are assumed to be in main memory, not in a cache.
    #[inline(always)]
    fn is_far(&self) -> bool {
        self.rows.saturating_mul(self.k).saturating_mul(size_of::<T>()) >= FAR
    }

    /// Returns how many elements after the start of a cache line each row begins, or 0 if this number differs between
    /// rows.
    #[inline(always)]
    fn skew(&self) -> usize {
        let line = 64 / size_of::<T>();
        let skew = self.a.addr() % 64 / size_of::<T>();
        if self.a_row.unsigned_abs().is_multiple_of(line) { skew } else { 0 }
    }

    /// Prefetches `width` cache lines that are needed after the lines at `k`. If at least 16 rows are summed together,
    /// these are the lines of the same rows [`AHEAD`] bytes later; with fewer rows, they are lines of the rows that
    /// follow in memory.
    #[inline(always)]
    fn call_ahead(&self, row: usize, k: usize, width: usize) {
        let line = 64 / size_of::<T>();
        if width < 16 {
            let per_row = self.k.div_ceil(line);
            let first = k / line * width;
            let next = row + width + first / per_row;
            let p = self.a.wrapping_offset(next as isize * self.a_row).wrapping_add(first % per_row * line);
            for i in 0..width {
                prefetch(p.wrapping_add(i * line));
            }
            return;
        }
        let ahead = k + AHEAD / size_of::<T>();
        let (row, k) = if ahead < self.k { (row, ahead) } else { (row + width, ahead - self.k) };
        for i in row..row + width {
            prefetch(self.a.wrapping_offset(i as isize * self.a_row).wrapping_add(k));
        }
    }
}

/// Computes the dot products of rows with `N` columns.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*),
/// and the rows fill at least one vector (*enough*); see [`Dots`].
#[inline(always)]
pub(super) unsafe fn dots<S: Register<Element: Number>, const N: usize>(x: &Dots<S::Element>) {
    let mut row = 0;
    // SAFETY: all rows are below `rows`, so their elements are in live memory (*inside*); the caller ensures that the
    // CPU has the instruction set (*features*). If the remaining rows do not fill a vector, some of the rows before
    // them are computed again; they exist, because there are enough rows for a vector (*enough*).
    unsafe {
        while row < x.rows {
            let first = row.min(x.rows - S::WIDTH);
            dots_of_rows::<S, N>(x, first);
            row = first + S::WIDTH;
        }
    }
}

/// Computes the dot products of as many rows as a vector has lanes, from row `row` on. With one column, two chains
/// (blocks of [`CHAIN`] neighbouring k) are summed together, because additions that wait for each other would leave the
/// processor idle. If the rows come from main memory, one chain is summed at a time, because reading from fewer places
/// is faster.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and there are this many rows.
#[inline(always)]
unsafe fn dots_of_rows<S: Register<Element: Number>, const N: usize>(x: &Dots<S::Element>, row: usize) {
    // SAFETY: every index is below `rows`, `k` and `N`, so the elements are in live memory (*inside*); the caller
    // ensures that the CPU has the instruction set (*features*).
    unsafe {
        let line = line::<S>();
        // the number of elements of a chain before the first whole cache line of its rows; every chain begins at the
        // same offset in a line
        let head = (line - if S::PARTS { x.skew() } else { 0 }) % line;
        let mut total = [S::zero(); N];
        let mut start = 0;
        while start < x.k {
            let len = CHAIN.min(x.k - start);
            // the length of the second chain, which may be the last and shorter one; 0 if chains are summed one at a
            // time
            let second = if N == 1 && !x.is_far() { CHAIN.min(x.k - start - len) } else { 0 };
            let (mut sums, mut next) = ([S::zero(); N], [S::zero(); N]);
            let mut k = 0;
            if head + line <= second {
                if head > 0 {
                    add_part::<S, N>(x, row, start, [line - head, line], &mut sums);
                    add_part::<S, N>(x, row, start + CHAIN, [line - head, line], &mut next);
                }
                k = head;
                while k + line <= second {
                    add_line::<S, N>(x, row, start + k, &mut sums);
                    add_line::<S, N>(x, row, start + CHAIN + k, &mut next);
                    k += line;
                }
            }
            add_chain::<S, N>(x, row, [start, k, len], head, &mut sums);
            for j in 0..N {
                total[j] = if start == 0 { sums[j] } else { S::add(total[j], sums[j]) };
            }
            if second > 0 {
                add_chain::<S, N>(x, row, [start + CHAIN, k, second], head, &mut next);
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

/// Adds the products `k` up to `len` of a chain to the sums. The chain begins at index `start` of the rows. Each lane
/// of a sum belongs to another row, and each of the `N` sums to another column. The first whole cache line of the rows
/// begins at element `head` of the chain.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and these rows and indices k exist.
#[inline(always)]
unsafe fn add_chain<S: Register<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    [start, mut k, len]: [usize; 3],
    head: usize,
    sums: &mut [S::Vector; N],
) {
    let line = line::<S>();
    let far = N == 1 && x.is_far();
    // SAFETY: the caller ensures the conditions of `dots_of_rows`, and that there are this many k.
    unsafe {
        while k < len {
            if far {
                x.call_ahead(row, start + k, S::WIDTH);
            }
            let left = len - k;
            let depth = match k < head {
                true => head.min(left),
                false => line.min(left),
            };
            if depth == line {
                add_line::<S, N>(x, row, start + k, sums);
            } else if S::PARTS {
                let first = if k < head { line - head } else { 0 };
                add_part::<S, N>(x, row, start + k, [first, first + depth], sums);
            } else {
                let mut done = 0;
                while done + S::DEPTH <= depth {
                    add_part::<S, N>(x, row, start + k + done, [0, S::DEPTH], sums);
                    done += S::DEPTH;
                }
                for k in start + k + done..start + k + depth {
                    add_one::<S, N>(x, row, k, sums);
                }
            }
            k += depth;
        }
    }
}

/// Adds the products of a cache line of each row, from `k` on, to the sums of the rows.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and these rows and indices k exist.
#[inline(always)]
unsafe fn add_line<S: Register<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    k: usize,
    sums: &mut [S::Vector; N],
) {
    for d in (0..line::<S>()).step_by(S::DEPTH) {
        // SAFETY: the caller ensures the conditions of `dots_of_rows`, and that there are this many k.
        unsafe { add_part::<S, N>(x, row, k + d, [0, S::DEPTH], sums) };
    }
}

/// Adds the products of up to `DEPTH` elements of each row to the sums of the rows. These are elements `first` up to
/// `end` of a group of `DEPTH` elements. Element `first` of the group is at index `k` of its row.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and these rows and indices k exist; if [`Register::PARTS`] is false, the range is `0..DEPTH`.
#[inline(always)]
unsafe fn add_part<S: Register<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    k: usize,
    [first, end]: [usize; 2],
    sums: &mut [S::Vector; N],
) {
    let a = x.a.wrapping_offset(row as isize * x.a_row).wrapping_add(k).wrapping_sub(first);
    let right = x.x.wrapping_offset(k as isize * x.x_step);
    // SAFETY: every index is below `rows`, `k` and `N`, so the elements are in live memory (*inside*); the caller
    // ensures that the CPU has the instruction set (*features*).
    unsafe {
        let mut left = [S::zero(); MOST_DEPTH];
        S::transposed::<ALL_ROWS>(a, x.a_row, [first, end], &mut left);
        for (d, left) in left[first..end].iter().enumerate() {
            for j in 0..N {
                let p = right.wrapping_offset(d as isize * x.x_step + j as isize * x.x_col);
                sums[j] = S::multiply_add(*left, S::splat(*p), sums[j]);
            }
        }
    }
}

/// Adds the product of element `k` of each row to the sums of the rows.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and `k` is below `x.k`.
#[inline(always)]
unsafe fn add_one<S: Register<Element: Number>, const N: usize>(
    x: &Dots<S::Element>,
    row: usize,
    k: usize,
    sums: &mut [S::Vector; N],
) {
    let a = x.a.wrapping_offset(row as isize * x.a_row).wrapping_add(k);
    // SAFETY: every index is below `rows`, `k` and `N`, so the elements are in live memory (*inside*); the caller
    // ensures that the CPU has the instruction set (*features*).
    unsafe {
        let mut lanes = [S::Element::default(); 64];
        for (i, lane) in lanes.iter_mut().enumerate().take(S::WIDTH) {
            *lane = *a.wrapping_offset(i as isize * x.a_row);
        }
        let left = S::load(lanes.as_ptr());
        for j in 0..N {
            let right = x.x.wrapping_offset(k as isize * x.x_step + j as isize * x.x_col);
            sums[j] = S::multiply_add(left, S::splat(*right), sums[j]);
        }
    }
}

/// The arguments of [`sums`]: the row `x`, the matrix `b`, whose rows are contiguous, and the product `y`. Strides are
/// in elements.
///
/// [`sums`] has two conditions, cited by name. *Inside*: the `k` elements of `x`, the `k × cols` elements of `b` and
/// the `cols` elements of `y` are in live memory; nobody writes the elements of `x` and `b`, and nobody else uses the
/// elements of `y`. *Features*: the machine has the instruction set of the kernel.
pub(super) struct Sums<T> {
    pub cols: usize,
    pub k: usize,
    pub x: *const T,
    pub x_step: isize,
    pub b: *const T,
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
pub(super) unsafe fn sums<S: Register>(x: &Sums<S::Element>, chains: ChainsFn<S::Element>) {
    let mut col = 0;
    // SAFETY: blocks begin at a column below `cols` and have at most the remaining columns, so their elements are in
    // live memory (*inside*); the caller ensures that the CPU has the instruction set (*features*).
    unsafe {
        while col < x.cols {
            let left = x.cols - col;
            match left.div_ceil(S::WIDTH) {
                1 if x.cols == 1 && (x.x_step, x.b_step) == (1, 1) => {
                    let (from, total) = sum_of_chains::<S>(x.k, x.x, x.b, chains);
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

/// Computes at most `cols` columns of the product, from `col` on, in `V` vectors. `G` chains are summed at a time.
/// `total` holds the sums over all k before `start`.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), and the columns occupy all `V` vectors.
#[inline(always)]
unsafe fn sums_of_columns<S: Register, const V: usize, const G: usize>(
    x: &Sums<S::Element>,
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

/// Multiplies row `k` of the matrix by element `k` of the row `x.x`, and adds the products to the sums.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Sums`]), the columns occupy all `V` vectors, and `k` is below `x.k`.
#[inline(always)]
unsafe fn add_row<S: Register, const V: usize>(
    x: &Sums<S::Element>,
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
            let right = if v + 1 == V { S::load_masked(p, mask) } else { S::load(p) };
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
unsafe fn sums_of_many<S: Register>(x: &Sums<S::Element>, col: usize, cols: usize) {
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
unsafe fn add_rows<S: Register, const R: usize>(
    x: &Sums<S::Element>,
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
