//! Dot products of many rows with one column or a few. They keep the order of additions that `micro_kernel.rs` defines.
//! The lanes of a vector hold different rows.

use super::lanes::{ALL_ROWS, MOST_DEPTH, Register, line, prefetch};
use super::micro_kernel::CHAIN;
use super::plain::Number;
use super::stored::StoredElement;

/// How many bytes ahead of the additions rows are prefetched from memory. With matrices of 32 and 64 MiB, products then
/// take about 0.85 of the time without prefetching, and 0.75 to 0.88 of the time with prefetching of the next rows
/// (measured). Half as many bytes are as fast.
const AHEAD: usize = 1024;

/// The arguments of [`dots`]: the rows of `a`, which are contiguous along k, the `N` columns of `x`, and the products
/// `y`. Strides are in elements. If the elements of `a` have 2 bytes, "cache line" below means half of one, except where lines
/// are prefetched.
///
/// [`dots`] has three conditions, cited by name. *Inside*: the `rows × k` elements of `a`, the `k × N` elements of `x`
/// and the `rows × N` elements of `y` are in live memory; nobody writes the elements of `a` and `x`, and nobody else
/// uses the elements of `y`. *Features*: the machine has the instruction set of the kernel. *Enough*: there are at
/// least as many rows as a vector has lanes.
pub(super) struct Dots<T, A = T> {
    pub rows: usize,
    pub k: usize,
    pub a: *const A,
    pub a_row: isize,
    pub x: *const T,
    pub x_step: isize,
    pub x_col: isize,
    pub y: *mut T,
    pub y_row: isize,
    pub y_col: isize,
    /// Whether the rows are probably in main memory, not in a cache.
    pub far: bool,
}

impl<T, A> Dots<T, A> {
    /// Returns how many elements after the start of a cache line each row begins, or 0 if this number differs between
    /// rows.
    #[inline(always)]
    fn skew(&self) -> usize {
        let line = 64 / size_of::<T>();
        let skew = self.a.addr() / size_of::<A>() % line;
        if self.a_row.unsigned_abs().is_multiple_of(line) { skew } else { 0 }
    }

    /// Prefetches `width` cache lines that are needed after the lines at `k`. If at least 16 rows are summed together,
    /// these are the lines of the same rows [`AHEAD`] bytes later; with fewer rows, they are lines of the rows that
    /// follow in memory.
    #[inline(always)]
    fn call_ahead(&self, row: usize, k: usize, width: usize) {
        let line = 64 / size_of::<A>();
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
        let ahead = k + AHEAD / size_of::<A>();
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
pub(super) unsafe fn dots<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
) {
    let mut row = 0;
    // SAFETY: all rows are below `rows`, so their elements are in live memory (*inside*); the caller ensures that the
    // CPU has the instruction set (*features*). If the remaining rows do not fill a vector, some of the rows before
    // them are computed again; they exist, because there are enough rows for a vector (*enough*).
    unsafe {
        while row < x.rows {
            let first = row.min(x.rows - S::WIDTH);
            dots_of_rows::<S, A, N>(x, first);
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
unsafe fn dots_of_rows<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
    row: usize,
) {
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
            let second = if N == 1 && !x.far { CHAIN.min(x.k - start - len) } else { 0 };
            let (mut sums, mut next) = ([S::zero(); N], [S::zero(); N]);
            let mut k = 0;
            if head + line <= second {
                if head > 0 {
                    add_part::<S, A, N>(x, row, start, [line - head, line], &mut sums);
                    add_part::<S, A, N>(x, row, start + CHAIN, [line - head, line], &mut next);
                }
                k = head;
                while k + line <= second {
                    add_line::<S, A, N>(x, row, start + k, &mut sums);
                    add_line::<S, A, N>(x, row, start + CHAIN + k, &mut next);
                    k += line;
                }
            }
            add_chain::<S, A, N>(x, row, [start, k, len], head, &mut sums);
            for j in 0..N {
                total[j] = if start == 0 { sums[j] } else { S::add(total[j], sums[j]) };
            }
            if second > 0 {
                add_chain::<S, A, N>(x, row, [start + CHAIN, k, second], head, &mut next);
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
unsafe fn add_chain<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
    row: usize,
    [start, mut k, len]: [usize; 3],
    head: usize,
    sums: &mut [S::Vector; N],
) {
    let line = line::<S>();
    let far = N == 1 && x.far;
    // SAFETY: the caller ensures the conditions of `dots_of_rows`, and that there are this many k.
    unsafe {
        while k < len {
            // once for each 64 bytes of a row, which are two steps of `line` elements if an element has 2 bytes
            if far && (start + k) % (64 / size_of::<A::Element>()) < line {
                x.call_ahead(row, start + k, S::WIDTH);
            }
            let left = len - k;
            let depth = match k < head {
                true => head.min(left),
                false => line.min(left),
            };
            if depth == line {
                add_line::<S, A, N>(x, row, start + k, sums);
            } else if S::PARTS {
                let first = if k < head { line - head } else { 0 };
                add_part::<S, A, N>(x, row, start + k, [first, first + depth], sums);
            } else {
                let mut done = 0;
                while done + S::DEPTH <= depth {
                    add_part::<S, A, N>(x, row, start + k + done, [0, S::DEPTH], sums);
                    done += S::DEPTH;
                }
                for k in start + k + done..start + k + depth {
                    add_one::<S, A, N>(x, row, k, sums);
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
unsafe fn add_line<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
    row: usize,
    k: usize,
    sums: &mut [S::Vector; N],
) {
    for d in (0..line::<S>()).step_by(S::DEPTH) {
        // SAFETY: the caller ensures the conditions of `dots_of_rows`, and that there are this many k.
        unsafe { add_part::<S, A, N>(x, row, k + d, [0, S::DEPTH], sums) };
    }
}

/// Adds the products of up to `DEPTH` elements of each row to the sums of the rows. These are elements `first` up to
/// `end` of a group of `DEPTH` elements. Element `first` of the group is at index `k` of its row.
///
/// # Safety
/// The elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Dots`]), and these rows and indices k exist; if [`Register::PARTS`] is false, the range is `0..DEPTH`.
#[inline(always)]
unsafe fn add_part<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
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
        A::transposed::<ALL_ROWS>(a, x.a_row, [first, end], &mut left);
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
unsafe fn add_one<S: Register<Element: Number>, A: StoredElement<S>, const N: usize>(
    x: &Dots<S::Element, A::Element>,
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
            *lane = A::convert(*a.wrapping_offset(i as isize * x.a_row));
        }
        let left = S::load(lanes.as_ptr());
        for j in 0..N {
            let right = x.x.wrapping_offset(k as isize * x.x_step + j as isize * x.x_col);
            sums[j] = S::multiply_add(left, S::splat(*right), sums[j]);
        }
    }
}
