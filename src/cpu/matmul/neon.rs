//! Vector registers of NEON for the kernels of products. NEON does not multiply integers of 64 bits, so products of
//! these integers, and of bools, use plain arrays (`plain.rs`).

use super::lanes::{MOST_DEPTH, Register};
use super::unmasked::unmasked;
use core::arch::aarch64::*;

/// Transposes four rows of four words.
///
/// # Safety
/// The machine has NEON, and the function is inlined into one that enables it.
#[inline(always)]
unsafe fn transposed(v: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: the caller ensures that the machine has NEON.
    unsafe {
        // `even` interleaves elements 0 and 2 of two rows, and `odd` elements 1 and 3
        let (even, odd) = (vtrn1q_f32(v[0], v[1]), vtrn2q_f32(v[0], v[1]));
        let (even_below, odd_below) = (vtrn1q_f32(v[2], v[3]), vtrn2q_f32(v[2], v[3]));
        let wide = |x: float32x4_t| vreinterpretq_f64_f32(x);
        let low = |above, below| vreinterpretq_f32_f64(vtrn1q_f64(wide(above), wide(below)));
        let high = |above, below| vreinterpretq_f32_f64(vtrn2q_f64(wide(above), wide(below)));
        [low(even, even_below), low(odd, odd_below), high(even, even_below), high(odd, odd_below)]
    }
}

unmasked! {
    /// A vector of 4 f32 in one register of NEON.
    F32x4, f32, float32x4_t, width 4, splat vdupq_n_f32, load vld1q_f32, store vst1q_f32,
    lanes [0 1 2 3] vld1q_lane_f32 vst1q_lane_f32,
    multiply_add |a, b, c| vfmaq_f32(c, a, b), add vaddq_f32, transposed |rows| transposed(rows)
}
unmasked! {
    /// A vector of 2 f64 in one register of NEON.
    F64x2, f64, float64x2_t, width 2, splat vdupq_n_f64, load vld1q_f64, store vst1q_f64,
    lanes [0 1] vld1q_lane_f64 vst1q_lane_f64,
    multiply_add |a, b, c| vfmaq_f64(c, a, b), add vaddq_f64,
    transposed |rows| [vtrn1q_f64(rows[0], rows[1]), vtrn2q_f64(rows[0], rows[1])]
}
unmasked! {
    /// A vector of 4 integers of 32 bits in one register of NEON. Wrapping sums and products have the same bits for
    /// signed and unsigned integers.
    U32x4, u32, uint32x4_t, width 4, splat vdupq_n_u32, load vld1q_u32, store vst1q_u32,
    lanes [0 1 2 3] vld1q_lane_u32 vst1q_lane_u32,
    multiply_add |a, b, c| vmlaq_u32(c, a, b), add vaddq_u32,
    transposed |rows| transposed(rows.map(|row| vreinterpretq_f32_u32(row))).map(|row| vreinterpretq_u32_f32(row))
}
