//! Sums of bools and of 8- and 16-bit integers, in states of 32 or 64 bits. The elements are not widened one by one:
//! short sums are accumulated in lanes that are narrower than a state. Sums of integers that wrap are exact in every
//! order, so the bits do not depend on the lanes.
//!
//! Also sums of f16 and bf16, which are widened while they are added.

use super::{LANES, Loops, ScalarFn, slice, slice_mut};

/// A type of narrow elements in memory.
pub(crate) trait Narrow: Copy {
    /// The type of a lane, in which at most [`Narrow::ROUNDS`] elements are summed.
    type Lane: Copy;
    const ROUNDS: usize;
    const ZERO: Self::Lane;
    fn plus(lane: Self::Lane, x: Self) -> Self::Lane;
    /// Returns a lane in 64 bits, with its sign.
    fn wide(lane: Self::Lane) -> u64;
    /// Returns the sum of lanes in 64 bits, with its sign.
    fn total(lanes: &[Self::Lane; LANES]) -> u64;
}

/// A bool in memory. Any byte except 0 is true.
#[derive(Clone, Copy)]
pub(crate) struct StoredBool(u8);

macro_rules! narrow {
    ($($t:ty, $lane:ty, $total:ty, $rounds:literal: |$x:ident| $number:expr;)*) => { $(
        impl Narrow for $t {
            type Lane = $lane;
            const ROUNDS: usize = $rounds;
            const ZERO: $lane = 0;
            #[inline(always)]
            fn plus(lane: $lane, $x: $t) -> $lane {
                lane.wrapping_add($number)
            }
            #[inline(always)]
            fn wide(lane: $lane) -> u64 {
                lane as i64 as u64
            }
            #[inline(always)]
            fn total(lanes: &[$lane; LANES]) -> u64 {
                let mut total: $total = 0;
                for l in 0..LANES {
                    total = total.wrapping_add(lanes[l] as $total);
                }
                total as i64 as u64
            }
        }
    )* };
}
// the largest sums in these lanes are 255 · 1, 257 · 255 = 2^16 − 1 and −256 · 128 = −2^15, and the same for 16 bits
narrow! {
    StoredBool, u8, u32, 255: |x| (x.0 != 0) as u8;
    u8, u16, u32, 257: |x| x as u16;
    i8, i16, i32, 256: |x| x as i16;
    u16, u32, u64, 65537: |x| x as u32;
    i16, i32, i64, 65536: |x| x as i32;
}

/// The arguments of the loops over narrow elements other than the elements.
#[repr(C)]
pub(crate) struct NarrowArgs {
    pub rows: usize,
    /// The number of elements from the start of a row to the start of the next.
    pub step: isize,
    /// Whether states have 64 bits instead of 32.
    pub wide: bool,
}

/// Adds `f(c)`, for each `c` below `n`, to state `c` of `out`.
///
/// # Safety
/// `out` points to `n` aligned states.
#[inline(always)]
unsafe fn add_each(out: *mut u8, n: usize, wide: bool, f: impl Fn(usize) -> u64) {
    // SAFETY: the caller ensures that the states exist.
    unsafe {
        if wide {
            let out = std::slice::from_raw_parts_mut(out as *mut u64, n);
            for (c, state) in out.iter_mut().enumerate() {
                *state = state.wrapping_add(f(c));
            }
        } else {
            let out = std::slice::from_raw_parts_mut(out as *mut u32, n);
            for (c, state) in out.iter_mut().enumerate() {
                *state = state.wrapping_add(f(c) as u32);
            }
        }
    }
}

/// Returns the sum of the elements.
#[inline(always)]
fn sum<T: Narrow>(a: &[T]) -> u64 {
    let (chunks, rest) = a.as_chunks::<LANES>();
    let mut sum = 0u64;
    for chunks in chunks.chunks(mutant!(narrow_lanes_overflow, usize::MAX, T::ROUNDS)) {
        let mut lanes = [T::ZERO; LANES];
        for x in chunks {
            for l in 0..LANES {
                lanes[l] = T::plus(lanes[l], x[l]);
            }
        }
        sum = sum.wrapping_add(T::total(&lanes));
    }
    // the rest has fewer elements than a lane can hold
    let mut lane = T::ZERO;
    for x in rest {
        lane = T::plus(lane, *x);
    }
    sum.wrapping_add(T::wide(lane))
}

/// The number of columns that are summed side by side. Their lanes fit in the L1 cache beside the elements.
const STRIP: usize = 512;

/// Adds `rows` rows of `width` elements, column by column, to the lanes.
///
/// # Safety
/// `a` points to the first row; consecutive rows are `step` elements apart.
#[inline(always)]
unsafe fn add_rows<T: Narrow>(a: *const T, width: usize, rows: usize, step: isize, lanes: &mut [T::Lane]) {
    /// The number of rows that are combined each time the lanes are read and written.
    const TOGETHER: usize = 4;
    let lanes = &mut lanes[..width];
    // SAFETY: the caller ensures that these rows exist.
    unsafe {
        let row = |r: usize| std::slice::from_raw_parts(a.offset(r as isize * step), width);
        let whole = rows / TOGETHER * TOGETHER;
        for r in (0..whole).step_by(TOGETHER) {
            let (x, y, z, w) = (row(r), row(r + 1), row(r + 2), row(r + 3));
            for c in 0..width {
                lanes[c] = T::plus(T::plus(T::plus(T::plus(lanes[c], x[c]), y[c]), z[c]), w[c]);
            }
        }
        for r in whole..rows {
            let x = row(r);
            for c in 0..width {
                lanes[c] = T::plus(lanes[c], x[c]);
            }
        }
    }
}

/// Adds the elements of each column to the column's state in `out`.
///
/// # Safety
/// `a` points to `args.rows` rows of `n` elements, and `out` to `n` aligned states.
#[inline(always)]
unsafe fn columns<T: Narrow>(n: usize, a: *const T, args: &NarrowArgs, out: *mut u8) {
    let size = if args.wide { 8 } else { 4 };
    // several adjacent short rows are summed as one row, whose columns are then added up
    let together = if args.step == n as isize && n > 0 { (STRIP / n).max(1) } else { 1 };
    let (width, long) = (n * together, args.rows / together);
    let step = args.step * together as isize;
    // SAFETY: the caller ensures that these rows and the states exist.
    unsafe {
        for first in (0..width).step_by(STRIP) {
            let count = STRIP.min(width - first);
            for from in (0..long).step_by(T::ROUNDS) {
                let mut lanes = [T::ZERO; STRIP];
                let a = a.offset(from as isize * step).add(first);
                add_rows(a, count, T::ROUNDS.min(long - from), step, &mut lanes);
                if together == 1 {
                    add_each(out.add(first * size), count, args.wide, |c| T::wide(lanes[c]));
                } else {
                    for row in lanes[..width].chunks_exact(n) {
                        add_each(out, n, args.wide, |c| T::wide(row[c]));
                    }
                }
            }
        }
        for r in long * together..args.rows {
            let row = std::slice::from_raw_parts(a.offset(r as isize * args.step), n);
            add_each(out, n, args.wide, |c| T::wide(T::plus(T::ZERO, row[c])));
        }
    }
}

loop_form! {
    /// Adds the sum of each row of `n` narrow elements to the row's state in `out`. The rows are contiguous in `a`, and
    /// `b` points to a [`NarrowArgs`].
    narrow_rows, sum_narrow_rows, Narrow<>, |n, a, b, c, out| {
        let args = &*(b as *const NarrowArgs);
        let all = slice::<F>(a, n * args.rows);
        let (out32, out64) = (out as *mut u32, out as *mut u64);
        for r in 0..args.rows {
            let sum = sum(&all[r * n..(r + 1) * n]);
            if args.wide {
                *out64.add(r) = (*out64.add(r)).wrapping_add(sum);
            } else {
                *out32.add(r) = (*out32.add(r)).wrapping_add(sum as u32);
            }
        }
    }
}
loop_form! {
    /// Adds the sum of each of `n` columns of narrow elements to the column's state in `out`. `b` points to a
    /// [`NarrowArgs`].
    narrow_columns, sum_narrow_columns, Narrow<>, |n, a, b, c, out| {
        columns::<F>(n, a as *const F, &*(b as *const NarrowArgs), out)
    }
}
loop_form! {
    /// Sums elements of f16 or bf16, which the function converts to f32: sets `out[l]` to `f(a[l]) + f(a[l + LANES]) +
    /// …`, added in this order, for each `l` below [`LANES`]. `n` is a multiple of [`LANES`] and not 0.
    widened_sum, sum_widened, ScalarFn<A, B, C, R>, |n, a, b, c, out| {
        /// The number of lanes that are summed together, so that they stay in registers.
        const PIECE: usize = 64;
        let (a, out) = (slice::<A>(a, n), slice_mut::<f32>(out, LANES));
        let (b, c): (B, C) = (std::mem::zeroed(), std::mem::zeroed());
        // R is f32
        let widen = |x: A| std::mem::transmute_copy::<R, f32>(&F::call(x, b, c));
        let (pieces, _) = a.as_chunks::<PIECE>();
        for (p, out) in out.as_chunks_mut::<PIECE>().0.iter_mut().enumerate() {
            let mut mine = pieces.iter().skip(p).step_by(LANES / PIECE);
            let Some(first) = mine.next() else { return };
            let mut lanes = first.map(widen);
            for piece in mine {
                for l in 0..PIECE {
                    lanes[l] += widen(piece[l]);
                }
            }
            *out = lanes;
        }
    }
}
