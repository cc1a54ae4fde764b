//! Sums of products of two operands. The order of additions is that of sums (`cpu/fold/mod.rs`), so the sum of the
//! products of `a` and `b` has the bits of the sum of `a * b`.

// the loops run over the lanes of several arrays
#![allow(clippy::needless_range_loop)]

use super::rows::announce;
use super::{LANES, Loops, lanes_of_row, slice_mut};

/// A type of factors.
pub(crate) trait Factor: Copy {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

macro_rules! factor {
    ($($t:ty: |$x:ident, $y:ident| $plus:expr, $times:expr;)*) => { $(
        impl Factor for $t {
            #[inline(always)]
            fn plus(self, $y: $t) -> $t {
                let $x = self;
                $plus
            }
            #[inline(always)]
            fn times(self, $y: $t) -> $t {
                let $x = self;
                $times
            }
        }
    )* };
}
factor! {
    f32: |x, y| x + y, x * y;
    f64: |x, y| x + y, x * y;
}

/// Adds the products of `n` elements in `L` lanes, one after another in each lane, `W` lanes at a time. `n` is at least
/// `L`. Prefetches the `n` elements after those of an operand if its element of `far` is true.
///
/// # Safety
/// `a` and `b` have `n` elements.
#[inline(always)]
unsafe fn lanes<const L: usize, const W: usize, F: Factor>(
    n: usize,
    [a, b]: [*const F; 2],
    far: [bool; 2],
    out: &mut [F; L],
) {
    let (whole, rest) = (n / L, n % L);
    // Each iteration prefetches as many bytes as it reads. They are a part of each row of `L` elements, which
    // hardware prefetchers probably do not recognise as a stream
    let mut ahead = [a, b].map(|x| x.cast::<u8>().wrapping_add(n * size_of::<F>()));
    for first in (0..L).step_by(W) {
        // SAFETY: the first `whole · L` elements exist, and so do the `rest` elements after them.
        unsafe {
            let (a, b) = (a.add(first), b.add(first));
            let mut sums = [*a; W];
            for l in 0..W {
                sums[l] = (*a.add(l)).times(*b.add(l));
            }
            for chunk in 0..whole {
                for o in 0..2 {
                    if L > W && far[o] {
                        announce(ahead[o], W * size_of::<F>());
                        ahead[o] = ahead[o].wrapping_add(W * size_of::<F>());
                    }
                }
                let (a, b) = (a.add(chunk * L), b.add(chunk * L));
                if chunk > 0 {
                    for l in 0..W {
                        sums[l] = sums[l].plus((*a.add(l)).times(*b.add(l)));
                    }
                }
            }
            let (a, b) = (a.add(whole * L), b.add(whole * L));
            for l in 0..rest.saturating_sub(first).min(W) {
                sums[l] = sums[l].plus((*a.add(l)).times(*b.add(l)));
            }
            out[first..first + W].copy_from_slice(&sums);
        }
    }
}

/// Returns the sum of the products of a row in `L` lanes. `far` is as in [`lanes`].
///
/// # Safety
/// Both factors have `n` elements, and `n` is at least `L`.
#[inline(always)]
unsafe fn row<const L: usize, const W: usize, F: Factor>(n: usize, factors: [*const F; 2], far: [bool; 2]) -> F {
    // SAFETY: the caller ensures that the elements exist.
    unsafe {
        let mut all = [*factors[0]; L];
        lanes::<L, W, F>(n, factors, far, &mut all);
        // the barrier keeps the compiler from reading the elements in parts of two, in the order of the sums below
        let mut all = std::hint::black_box(all);
        let mut half = L / 2;
        while half > 0 {
            for l in 0..half {
                all[l] = all[l].plus(all[l + half]);
            }
            half /= 2;
        }
        all[0]
    }
}

/// The arguments of [`Loops::product_rows`] other than the elements.
#[repr(C)]
pub(crate) struct ProductArgs {
    /// The number of rows.
    pub count: usize,
    /// For each operand, the number of elements from the start of a row to the start of the next: `n`, or 0 if all rows
    /// are the same.
    pub steps: [usize; 2],
    /// Whether the elements after a row of each operand are prefetched.
    pub far: [bool; 2],
}

loop_form! {
    /// Sets `out[r]` to the sum of the products of the elements of row `r` of `a` and of `b`. The rows have `n`
    /// elements, [`FEW`](super::FEW) to [`SERIAL`](super::SERIAL) · [`LANES`]. `c` points to a [`ProductArgs`].
    product_rows, sum_product_rows, Factor<>, |n, a, b, c, out| {
        let ProductArgs { count, steps, far } = *(c as *const ProductArgs);
        let (a, b) = (a as *const F, b as *const F);
        // registers of AVX2 hold 64 lanes of 4 bytes, or 32 of 8 bytes, in half of all registers
        let is_wide = size_of::<F>() > 4;
        for (r, to) in slice_mut::<F>(out, count).iter_mut().enumerate() {
            let factors = [a.add(r * steps[0]), b.add(r * steps[1])];
            *to = match lanes_of_row(n) {
                16 => row::<16, 16, F>(n, factors, far),
                32 => row::<32, 32, F>(n, factors, far),
                64 if is_wide => row::<64, 32, F>(n, factors, far),
                64 => row::<64, 64, F>(n, factors, far),
                _ if is_wide => row::<LANES, 32, F>(n, factors, far),
                _ => row::<LANES, 64, F>(n, factors, far),
            };
        }
    }
}
loop_form! {
    /// Sets the [`LANES`] elements of `out` to the sums of the products of a block of `n` elements: lane `l` adds the
    /// products whose index has the remainder `l` divided by [`LANES`]. `n` is at least [`LANES`]. `c` points to
    /// [`ProductArgs::far`].
    product_block, sum_product_block, Factor<>, |n, a, b, c, out| {
        let out = &mut *(out as *mut [F; LANES]);
        let (factors, far) = ([a as *const F, b as *const F], *(c as *const [bool; 2]));
        match size_of::<F>() {
            ..=4 => lanes::<LANES, 64, F>(n, factors, far, out),
            _ => lanes::<LANES, 32, F>(n, factors, far, out),
        }
    }
}

/// The arguments of [`Loops::product_columns`] other than the elements.
#[repr(C)]
pub(crate) struct ProductColumns {
    /// The number of rows, at least 1.
    pub rows: usize,
    /// For each operand, the number of elements from the start of a row to the start of the next.
    pub steps: [isize; 2],
    /// Whether the second operand has one element for each row, which all columns share.
    pub is_shared: bool,
    /// Whether `out` has no sums yet.
    pub begins: bool,
}

/// Adds the products of each column's elements, from row `first` to the last, to the column's element of `out`.
/// `SHARED` is [`ProductColumns::is_shared`].
///
/// # Safety
/// `a` and `b` point to the first row. Each row has as many elements as `out`, or one in a shared operand, and does not
/// overlap it.
#[inline(always)]
unsafe fn columns<const SHARED: bool, F: Factor>(
    (a, b): (*const F, *const F),
    columns: &ProductColumns,
    first: usize,
    out: &mut [F],
) {
    /// The number of rows that are added each time `out` is read and written.
    const TOGETHER: usize = 4;
    let n = out.len();
    // SAFETY: the caller ensures that the rows exist and do not overlap `out`.
    unsafe {
        let left = |r: usize| std::slice::from_raw_parts(a.offset(r as isize * columns.steps[0]), n);
        let right = |r: usize| {
            let length = if SHARED { 1 } else { n };
            std::slice::from_raw_parts(b.offset(r as isize * columns.steps[1]), length)
        };
        let at = |row: &[F], c: usize| row[if SHARED { 0 } else { c }];
        let mut r = first;
        while r + TOGETHER <= columns.rows {
            let (x, y, z, w) = (left(r), left(r + 1), left(r + 2), left(r + 3));
            let (x2, y2, z2, w2) = (right(r), right(r + 1), right(r + 2), right(r + 3));
            for c in 0..n {
                let two = out[c].plus(x[c].times(at(x2, c))).plus(y[c].times(at(y2, c)));
                out[c] = two.plus(z[c].times(at(z2, c))).plus(w[c].times(at(w2, c)));
            }
            r += TOGETHER;
        }
        for r in r..columns.rows {
            let (x, x2) = (left(r), right(r));
            for c in 0..n {
                out[c] = out[c].plus(x[c].times(at(x2, c)));
            }
        }
    }
}

loop_form! {
    /// Sets each of the `n` elements of `out` to the sum of the products of its column, or adds them to it. `c` points to
    /// a [`ProductColumns`].
    product_columns, sum_product_columns, Factor<>, |n, a, b, c, out| {
        let args = &*(c as *const ProductColumns);
        let (a, b, out) = (a as *const F, b as *const F, slice_mut::<F>(out, n));
        if args.begins {
            let step = if args.is_shared { 0 } else { 1 };
            for i in 0..n {
                out[i] = (*a.add(i)).times(*b.add(i * step));
            }
        }
        match args.is_shared {
            true => columns::<true, F>((a, b), args, args.begins as usize, out),
            false => columns::<false, F>((a, b), args, args.begins as usize, out),
        }
    }
}
