//! Reads squares of elements by columns.

// the loops run over the rows and columns of two squares
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// The number of rows and of columns of a square.
pub(super) const SIDE: usize = 4;

/// Returns the columns of a square in memory: the first [`SIDE`] elements of each of as many rows, which begin `step`
/// elements apart. They are transposed in SSE registers, which every x86-64 CPU has: the compiler would read the elements
/// one by one.
///
/// # Safety
/// The elements exist, and have 4 bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn columns_of<T: Copy>(at: *const T, step: usize) -> [[T; SIDE]; SIDE] {
    // SAFETY: the caller ensures that the elements exist, and that a row has as many bytes as a register.
    unsafe {
        let row = |r: usize| _mm_loadu_si128(at.add(r * step).cast());
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (low, high) = (
            [_mm_unpacklo_epi32(a, c), _mm_unpacklo_epi32(b, d)],
            [_mm_unpackhi_epi32(a, c), _mm_unpackhi_epi32(b, d)],
        );
        let columns = [
            _mm_unpacklo_epi32(low[0], low[1]),
            _mm_unpackhi_epi32(low[0], low[1]),
            _mm_unpacklo_epi32(high[0], high[1]),
            _mm_unpackhi_epi32(high[0], high[1]),
        ];
        std::mem::transmute_copy::<[__m128i; SIDE], [[T; SIDE]; SIDE]>(&columns)
    }
}

/// Returns the columns of a square in memory: the first [`SIDE`] elements of each of as many rows, which begin `step`
/// elements apart.
///
/// # Safety
/// The elements exist.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) unsafe fn columns_of<T: Copy>(at: *const T, step: usize) -> [[T; SIDE]; SIDE] {
    // SAFETY: the caller ensures that the elements exist.
    unsafe {
        let mut columns = [[*at; SIDE]; SIDE];
        for r in 0..SIDE {
            let row = at.add(r * step).cast::<[T; SIDE]>().read();
            for c in 0..SIDE {
                columns[c][r] = row[c];
            }
        }
        columns
    }
}

/// Multiplies the elements of two squares of f32, in SSE registers: the compiler would multiply the elements one by one,
/// because the squares have just been transposed.
///
/// # Safety
/// `T` is f32.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn multiplied<T: Copy>(x: [[T; SIDE]; SIDE], y: [[T; SIDE]; SIDE]) -> [[T; SIDE]; SIDE] {
    // SAFETY: the caller ensures that `T` is f32, so a column has as many bytes as a register.
    unsafe {
        let [x, y] = [x, y].map(|x| std::mem::transmute_copy::<_, [__m128; SIDE]>(&x));
        let z: [__m128; SIDE] = std::array::from_fn(|c| _mm_mul_ps(x[c], y[c]));
        std::mem::transmute_copy(&z)
    }
}
