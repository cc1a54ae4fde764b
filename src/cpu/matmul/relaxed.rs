//! Vector registers of WebAssembly for the kernels of products. They use the multiply-add of relaxed SIMD
//! (`math/fused.rs`).

use super::lanes::{MOST_DEPTH, Register};
use super::unmasked::unmasked;
use crate::math::{cupric_f32x4_madd, cupric_f64x2_madd};
use core::arch::wasm32::*;

/// # Safety
/// 16 bytes at `p` are in live memory, and nobody writes them.
#[inline(always)]
unsafe fn load<T>(p: *const T) -> v128 {
    // SAFETY: the caller ensures that the memory is live and not used by others; these instructions need no alignment.
    unsafe { v128_load(p.cast()) }
}

/// # Safety
/// 16 bytes at `p` are in live memory, and nobody else uses them.
#[inline(always)]
unsafe fn store<T>(p: *mut T, v: v128) {
    // SAFETY: the caller ensures that the memory is live and not used by others; these instructions need no alignment.
    unsafe { v128_store(p.cast(), v) }
}

/// Defines functions that load and store one lane.
macro_rules! lane {
    ($t:ty, $load:ident, $load_lane:ident, $store:ident, $store_lane:ident) => {
        /// # Safety
        /// The element at `p` is in live memory, and nobody writes it.
        #[inline(always)]
        unsafe fn $load<const LANE: usize>(p: *const $t, v: v128) -> v128 {
            // SAFETY: the caller ensures that the memory is live and not used by others; these instructions need no
            // alignment.
            unsafe { $load_lane::<LANE>(v, p.cast()) }
        }
        /// # Safety
        /// The element at `p` is in live memory, and nobody else uses it.
        #[inline(always)]
        unsafe fn $store<const LANE: usize>(p: *mut $t, v: v128) {
            // SAFETY: the caller ensures that the memory is live and not used by others; these instructions need no
            // alignment.
            unsafe { $store_lane::<LANE>(v, p.cast()) }
        }
    };
}
lane!(f32, load_32, v128_load32_lane, store_32, v128_store32_lane);
lane!(f64, load_64, v128_load64_lane, store_64, v128_store64_lane);

/// Transposes four rows of four words.
#[inline(always)]
fn transposed(v: [v128; 4]) -> [v128; 4] {
    // `low` interleaves elements 0 and 1 of two rows, and `high` elements 2 and 3
    let (low, high) = (i32x4_shuffle::<0, 4, 1, 5>(v[0], v[1]), i32x4_shuffle::<2, 6, 3, 7>(v[0], v[1]));
    let (low_below, high_below) = (i32x4_shuffle::<0, 4, 1, 5>(v[2], v[3]), i32x4_shuffle::<2, 6, 3, 7>(v[2], v[3]));
    let first = |above, below| i64x2_shuffle::<0, 2>(above, below);
    let last = |above, below| i64x2_shuffle::<1, 3>(above, below);
    [first(low, low_below), last(low, low_below), first(high, high_below), last(high, high_below)]
}

unmasked! {
    /// A vector of 4 f32 in one register of WebAssembly's SIMD.
    F32x4, f32, v128, width 4, splat f32x4_splat, load load, store store,
    lanes [0 1 2 3] load_32 store_32,
    multiply_add |a, b, c| cupric_f32x4_madd(a, b, c), add f32x4_add, transposed |rows| transposed(rows)
}
unmasked! {
    /// A vector of 2 f64 in one register of WebAssembly's SIMD.
    F64x2, f64, v128, width 2, splat f64x2_splat, load load, store store,
    lanes [0 1] load_64 store_64,
    multiply_add |a, b, c| cupric_f64x2_madd(a, b, c), add f64x2_add,
    transposed |rows| [i64x2_shuffle::<0, 2>(rows[0], rows[1]), i64x2_shuffle::<1, 3>(rows[0], rows[1])]
}
