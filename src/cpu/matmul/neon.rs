//! Vector registers of NEON, as the kernels of products see them. NEON has no masked loads or stores, so masked
//! accesses go lane by lane. It does not multiply integers of 64 bits, so these integers and bools use plain arrays
//! (`plain.rs`).

use super::lanes::{Lanes, MOST_DEPTH};
use core::arch::aarch64::*;

/// Implements the operations of a vector type by its intrinsics. `transposed` receives the rows as vectors, and returns
/// as many vectors.
macro_rules! lanes {
    (
        $(#[$doc:meta])* $name:ident, $element:ty, $vector:ty, width $width:literal, splat $splat:path, load $load:path, store $store:path,
        lanes [$($lane:literal)*] $load_lane:ident $store_lane:ident,
        multiply_add |$a:ident, $b:ident, $c:ident| $fma:expr, add $add:path, transposed |$rows:ident| $transposed:expr
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(in crate::cpu) struct $name;
        // SAFETY (of each function): *features* holds for the intrinsics, *inside* for what they read and write.
        impl Lanes for $name {
            type Element = $element;
            type Vector = $vector;
            type Mask = usize;
            const WIDTH: usize = $width;
            const DEPTH: usize = $width;
            #[inline(always)]
            unsafe fn zero() -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $splat(<$element>::default()) }
            }
            #[inline(always)]
            unsafe fn splat(x: $element) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $splat(x) }
            }
            #[inline(always)]
            unsafe fn load(p: *const $element) -> $vector {
                // SAFETY: *features*: the machine has the instruction set. *Inside*: the elements are in live memory.
                unsafe { $load(p) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut $element, v: $vector) {
                // SAFETY: *features*: the machine has the instruction set. *Inside*: the elements are in live memory.
                unsafe { $store(p, v) }
            }
            #[inline(always)]
            unsafe fn mask(n: usize) -> usize {
                n
            }
            #[inline(always)]
            unsafe fn load_masked(p: *const $element, mask: usize) -> $vector {
                // SAFETY: *features* and *inside*: only lanes of the mask are read.
                unsafe {
                    let mut v = Self::zero();
                    $(if $lane < mask {
                        v = $load_lane::<$lane>(p.add($lane), v);
                    })*
                    v
                }
            }
            #[inline(always)]
            unsafe fn store_masked(p: *mut $element, mask: usize, v: $vector) {
                // SAFETY: *features* and *inside*: only lanes of the mask are written.
                unsafe {
                    $(if $lane < mask {
                        $store_lane::<$lane>(p.add($lane), v);
                    })*
                }
            }
            #[inline(always)]
            unsafe fn multiply_add($a: $vector, $b: $vector, $c: $vector) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $fma }
            }
            #[inline(always)]
            unsafe fn add(a: $vector, b: $vector) -> $vector {
                // SAFETY: *features*: the machine has the instruction set.
                unsafe { $add(a, b) }
            }
            #[inline(always)]
            unsafe fn transposed<const ROWS: usize>(
                p: *const $element, step: isize, _part: [usize; 2], out: &mut [$vector; MOST_DEPTH],
            ) {
                // SAFETY: *features* and *inside*: only the rows below `ROWS` are read, `DEPTH` elements of each.
                unsafe {
                    let mut $rows = [Self::zero(); $width];
                    for i in 0..$width {
                        if i < ROWS {
                            $rows[i] = $load(p.wrapping_offset(i as isize * step));
                        }
                    }
                    out[..$width].copy_from_slice(&$transposed);
                }
            }
        }
    };
}

/// Transposes four rows of four words.
///
/// # Safety
/// The machine has NEON, and the function is inlined into one that enables it.
#[inline(always)]
unsafe fn transposed(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: the caller's condition.
    unsafe {
        // elements 0 and 2 of two rows in turn, then elements 1 and 3
        let (even, odd) = (vtrn1q_f32(v[0], v[1]), vtrn2q_f32(v[0], v[1]));
        let (even_below, odd_below) = (vtrn1q_f32(v[2], v[3]), vtrn2q_f32(v[2], v[3]));
        let wide = |x: float32x4_t| vreinterpretq_f64_f32(x);
        let low = |above, below| vreinterpretq_f32_f64(vtrn1q_f64(wide(above), wide(below)));
        let high = |above, below| vreinterpretq_f32_f64(vtrn2q_f64(wide(above), wide(below)));
        [low(even, even_below), low(odd, odd_below), high(even, even_below), high(odd, odd_below)]
    }
}

lanes! {
    /// 4 f32.
    F32x4, f32, float32x4_t, width 4, splat vdupq_n_f32, load vld1q_f32, store vst1q_f32,
    lanes [0 1 2 3] vld1q_lane_f32 vst1q_lane_f32,
    multiply_add |a, b, c| vfmaq_f32(c, a, b), add vaddq_f32, transposed |rows| transposed(rows)
}
lanes! {
    /// 2 f64.
    F64x2, f64, float64x2_t, width 2, splat vdupq_n_f64, load vld1q_f64, store vst1q_f64,
    lanes [0 1] vld1q_lane_f64 vst1q_lane_f64,
    multiply_add |a, b, c| vfmaq_f64(c, a, b), add vaddq_f64,
    transposed |rows| [vtrn1q_f64(rows[0], rows[1]), vtrn2q_f64(rows[0], rows[1])]
}
lanes! {
    /// 4 integers of 32 bits. Wrapping sums and products have the same bits for signed and unsigned integers.
    U32x4, u32, uint32x4_t, width 4, splat vdupq_n_u32, load vld1q_u32, store vst1q_u32,
    lanes [0 1 2 3] vld1q_lane_u32 vst1q_lane_u32,
    multiply_add |a, b, c| vmlaq_u32(c, a, b), add vaddq_u32,
    transposed |rows| transposed(rows.map(|row| vreinterpretq_f32_u32(row))).map(|row| vreinterpretq_u32_f32(row))
}
