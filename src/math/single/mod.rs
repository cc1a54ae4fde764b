//! Functions of f32. Frequently used functions are computed in f32 with fused multiply-adds, rarer ones in f64
//! (`wide.rs` and `by_double.rs`).
//!
//! Polynomials are minimax fits by Remez exchange in 50 digits, with the coefficient of the lowest power first. Each
//! coefficient is rounded to f32 in turn, from the lowest, and the remaining ones are fitted again. The comment of a
//! polynomial states its largest relative error: the largest error on the interval, divided by the function's value.

mod by_double;
mod exp;
mod log;
mod narrow;
mod special;
mod trig;
mod wide;

pub(crate) use by_double::{
    beta, betaln, cospi, digamma, elu, entr, erfcinv, erfcx, gammainc, gammaincc, hard_sigmoid, hard_swish, i0, i0e,
    i1, i1e, log_ndtr, logit, ndtr, ndtri, selu, sinc, sinpi, tanpi, xlog1py, xlogy, zeta,
};
pub(crate) use exp::{cosh, sinh, tanh};
pub(crate) use exp::{exp, exp2, expm1, gelu_tanh, logaddexp, sigmoid, silu, softplus};
pub(crate) use log::{log, log1p, log2, log10};
pub(crate) use narrow::{nextafter_bf16, nextafter_f16};
pub(crate) use special::{erf, erfc, gelu};
pub(crate) use trig::{NEAR, acos, asin, atan, cos, cos_near, sin, sin_near, tan};
pub(crate) use wide::{acosh, asinh, atan2, atanh, cbrt, erfinv, hypot, lgamma, pow};

use crate::math::Fused;

/// 1.5·2^23. For |x| <= 2^22 the low bits of `x + ROUND` are the integer nearest to x (ties to even), and subtracting
/// `ROUND` again gives that integer as a float.
const ROUND: f32 = 12_582_912.0;

/// Evaluates the polynomial with these coefficients, lowest first, by Horner's rule.
#[inline(always)]
fn poly<const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut r = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        r = r.fused(x, c[i]);
    }
    r
}

/// Returns `1/√x`.
#[inline(always)]
pub(crate) fn rsqrt(x: f32) -> f32 {
    1.0 / x.sqrt()
}

/// C's `fmod`. Returns x - q·y exactly, where q is x / y truncated to an integer. The result has the sign of `x`.
#[inline(always)]
pub(crate) fn fmod(x: f32, y: f32) -> f32 {
    let (a, b) = ((x as f64).abs(), (y as f64).abs());
    let q = (a / b).floor();
    if (q < 4_503_599_627_370_496.0) & (b < f64::INFINITY) {
        // below 2^52, q is the integer part of a / b or one more, so the remainder a − q·b is an f64 and the fused
        // multiply-add is exact
        let r = (-q).fused(b, a);
        ((if r < 0.0 { r + b } else { r }) as f32).copysign(x)
    } else {
        x % y
    }
}

same_code!(f32, u32);

/// Returns a + t·(b − a), computed in f64 because b − a may overflow or be rounded in f32.
#[inline(always)]
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    (t as f64).fused(b as f64 - a as f64, a as f64) as f32
}
