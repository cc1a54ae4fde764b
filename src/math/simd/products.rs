//! Sums of products of two operands. The order of additions is that of sums (`cpu/fold/mod.rs`), so the sum of the
//! products of `a` and `b` has the bits of the sum of `a * b`.

// the loops run over the lanes of several arrays
#![allow(clippy::needless_range_loop)]

use super::row_source::{RowSource, announce};
use super::rows::{in_all_lanes, long_rows};
use super::short_rows::short_rows;
#[cfg(target_arch = "x86_64")]
use super::squares::multiplied;
use super::squares::{SIDE, columns_of};
use super::{FEW, Loops, ScalarFn, slice_mut};

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

/// Adds the product of the first two operands, rounded, to the third.
struct MultiplyAdd;

impl<F: Factor> ScalarFn<F, F, F, F> for MultiplyAdd {
    #[inline(always)]
    fn call(x: F, y: F, z: F) -> F {
        x.times(y).plus(z)
    }
}

impl Loops {
    /// Returns the loop that adds products to elements. The products are rounded, so the bits are those of two loops.
    pub const fn multiply_add<F: Factor>() -> Loops {
        Loops::ternary::<F, F, F, F, MultiplyAdd>()
    }
}

/// The products of the elements of two operands. `SHARED` states whether all rows of the second operand are the same one,
/// which is then known when the loops are compiled.
#[derive(Clone, Copy)]
struct Products<F, const SHARED: bool> {
    factors: [*const F; 2],
    /// The number of elements of a row.
    n: usize,
    /// For each operand, the number of elements from the start of a row to the start of the next.
    steps: [usize; 2],
    /// Whether the elements after a row of each operand are prefetched.
    far: [bool; 2],
}

impl<F: Factor, const SHARED: bool> RowSource for Products<F, SHARED> {
    type Element = F;

    #[inline(always)]
    fn row(self, row: usize) -> Self {
        let ([a, b], [to_a, to_b]) = (self.factors, self.steps);
        let b = if SHARED { b } else { b.wrapping_add(row * to_b) };
        Products { factors: [a.wrapping_add(row * to_a), b], ..self }
    }

    #[inline(always)]
    unsafe fn read(self, i: usize) -> F {
        // SAFETY: the caller ensures that the elements exist.
        unsafe { (*self.factors[0].add(i)).times(*self.factors[1].add(i)) }
    }

    #[inline(always)]
    unsafe fn columns(self, first: usize) -> [[F; SIDE]; SIDE] {
        let ([a, b], [to_a, to_b]) = (self.factors, self.steps);
        // SAFETY: the caller ensures the same conditions.
        unsafe {
            let x = columns_of(a.add(first), to_a);
            let y = match SHARED {
                true => {
                    let [y, z, v, w] = *b.add(first).cast::<[F; SIDE]>();
                    [[y; SIDE], [z; SIDE], [v; SIDE], [w; SIDE]]
                }
                false => columns_of(b.add(first), to_b),
            };
            // of the types of factors, only f32 has 4 bytes
            #[cfg(target_arch = "x86_64")]
            let products = multiplied(x, y);
            #[cfg(not(target_arch = "x86_64"))]
            let products = std::array::from_fn(|c| std::array::from_fn(|r| x[c][r].times(y[c][r])));
            products
        }
    }

    #[inline(always)]
    fn combine(x: F, y: F) -> F {
        x.plus(y)
    }

    #[inline(always)]
    fn prefetch<const IN_ORDER: bool>(self, i: usize, count: usize) {
        for o in 0..2 {
            if !IN_ORDER && self.far[o] {
                announce(self.factors[o].wrapping_add(self.n + i).cast(), count * size_of::<F>());
            }
        }
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
    /// elements, 1 to [`SERIAL`](super::SERIAL) · [`LANES`]. `c` points to a [`ProductArgs`].
    product_rows, sum_product_rows, Factor<>, |n, a, b, c, out| {
        let ProductArgs { count, steps, far } = *(c as *const ProductArgs);
        let factors = [a as *const F, b as *const F];
        let rows = Products::<F, false> { factors, n, steps, far };
        match n {
            0..FEW if steps[1] == 0 => {
                short_rows(n, Products::<F, true> { factors, n, steps, far }, slice_mut::<F>(out, count))
            }
            0..FEW => short_rows(n, rows, slice_mut::<F>(out, count)),
            _ => long_rows::<REGISTER, _>(n, rows, slice_mut::<F>(out, count)),
        }
    }
}
loop_form! {
    /// Sets the [`LANES`] elements of `out` to the sums of the products of a block of `n` elements: lane `l` adds the
    /// products whose index has the remainder `l` divided by [`LANES`]. `n` is at least [`LANES`]. `c` points to
    /// [`ProductArgs::far`].
    product_block, sum_product_block, Factor<>, |n, a, b, c, out| {
        let far = *(c as *const [bool; 2]);
        let block = Products::<F, false> { factors: [a as *const F, b as *const F], n, steps: [0; 2], far };
        in_all_lanes::<REGISTER, _>(n, block, out as *mut F)
    }
}

/// A type of 2 bytes whose elements are factors: f16 or bf16.
pub(crate) trait HalfFactor: Copy {
    /// Whether a processor's conversion of f16 applies.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    const IS_F16: bool;
    fn widen(self) -> f32;
}

/// The products of f16 or bf16, which are converted to f32, and f32. `REGISTER` is the size of a vector register in bytes.
#[derive(Clone, Copy)]
struct HalfProducts<F, const REGISTER: usize> {
    halves: *const F,
    others: *const f32,
    n: usize,
    steps: [usize; 2],
    /// Whether the elements after a row of `halves` are prefetched. Those of `others` are not.
    far: bool,
}

impl<F: HalfFactor, const REGISTER: usize> HalfProducts<F, REGISTER> {
    /// Converts `W` elements.
    ///
    /// # Safety
    /// The elements exist. The machine has the features of the loops for this size of registers.
    #[inline(always)]
    unsafe fn widened<const W: usize>(from: *const F) -> [f32; W] {
        let mut wide = [0f32; W];
        // SAFETY: the caller ensures that the elements exist and that the machine has the instructions. Where
        // there are vectors, `W` is a multiple of 16, so whole vectors fill `wide`.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::*;
                if F::IS_F16 && REGISTER == 64 {
                    for l in (0..W).step_by(16) {
                        let x = _mm512_cvtph_ps(_mm256_loadu_si256(from.add(l).cast()));
                        wide.as_mut_ptr().add(l).cast::<__m512>().write_unaligned(x);
                    }
                    return wide;
                }
                if F::IS_F16 && REGISTER == 32 {
                    for l in (0..W).step_by(8) {
                        let x = _mm256_cvtph_ps(_mm_loadu_si128(from.add(l).cast()));
                        wide.as_mut_ptr().add(l).cast::<__m256>().write_unaligned(x);
                    }
                    return wide;
                }
            }
            for l in 0..W {
                wide[l] = (*from.add(l)).widen();
            }
        }
        wide
    }
}

impl<F: HalfFactor, const REGISTER: usize> RowSource for HalfProducts<F, REGISTER> {
    type Element = f32;
    const READS_ALL: bool = true;

    #[inline(always)]
    fn row(self, row: usize) -> Self {
        let [to_halves, to_others] = self.steps;
        let (halves, others) = (self.halves.wrapping_add(row * to_halves), self.others.wrapping_add(row * to_others));
        HalfProducts { halves, others, ..self }
    }

    #[inline(always)]
    unsafe fn read(self, i: usize) -> f32 {
        // SAFETY: the caller ensures that the elements exist.
        unsafe { (*self.halves.add(i)).widen() * *self.others.add(i) }
    }

    #[inline(always)]
    unsafe fn read_all<const W: usize>(self, i: usize) -> [f32; W] {
        // SAFETY: the caller ensures that the elements exist. The loops of an instruction set run only on machines that
        // have it.
        unsafe {
            let mut all = Self::widened::<W>(self.halves.add(i));
            for l in 0..W {
                all[l] *= *self.others.add(i + l);
            }
            all
        }
    }

    #[inline(always)]
    unsafe fn columns(self, first: usize) -> [[f32; SIDE]; SIDE] {
        let mut columns = [[0f32; SIDE]; SIDE];
        for c in 0..SIDE {
            for r in 0..SIDE {
                // SAFETY: the caller ensures that the elements exist.
                columns[c][r] = unsafe { self.row(r).read(first + c) };
            }
        }
        columns
    }

    #[inline(always)]
    fn combine(x: f32, y: f32) -> f32 {
        x + y
    }

    #[inline(always)]
    fn prefetch<const IN_ORDER: bool>(self, i: usize, count: usize) {
        if !IN_ORDER && self.far {
            announce(self.halves.wrapping_add(self.n + i).cast(), count * size_of::<F>());
        }
    }
}

loop_form! {
    /// As [`Loops::product_rows`], but the elements of `a` are f16 or bf16, and those of `b` and `out` f32. The rows have
    /// [`FEW`] elements or more.
    product_rows_of_halves, sum_product_rows_of_halves, HalfFactor<>, |n, a, b, c, out| {
        let ProductArgs { count, steps, far: [far, _] } = *(c as *const ProductArgs);
        let rows = HalfProducts::<F, REGISTER> { halves: a as *const F, others: b as *const f32, n, steps, far };
        long_rows::<REGISTER, _>(n, rows, slice_mut::<f32>(out, count))
    }
}
loop_form! {
    /// As [`Loops::product_block`], but the elements of `a` are f16 or bf16, and those of `b` and `out` f32.
    product_block_of_halves, sum_product_block_of_halves, HalfFactor<>, |n, a, b, c, out| {
        let [far, _] = *(c as *const [bool; 2]);
        let (halves, others) = (a as *const F, b as *const f32);
        let block = HalfProducts::<F, REGISTER> { halves, others, n, steps: [0; 2], far };
        in_all_lanes::<REGISTER, _>(n, block, out as *mut f32)
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
