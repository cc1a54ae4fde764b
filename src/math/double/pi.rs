//! Trigonometric functions of π·x in f64, and sinc. Their argument reduction is exact, because x minus the nearest
//! multiple of 1/2 is an f64.

use super::trig::{TAN, sine};
use super::{ROUND, poly};
use crate::math::Fused;
use std::f64::consts::PI;

/// π minus `PI`, the f64 nearest to π.
const PI_LO: f64 = 1.2246467991473532e-16;

/// Returns `(r, low, k)` with π·x = q·π/2 + r + low and |r| <= π/4, where q is the low two bits of k. For ±∞, r is NaN.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64, u64) {
    // from 2^53 on, every f64 is an even number, so x is replaced by 0, which has the same results. For ∞ the product
    // 0·∞ is NaN
    let x = if x.abs() >= 9_007_199_254_740_992.0 { 0.0 * x } else { x };
    let k = (2.0 * x).round_ties_even();
    let f = (-0.5f64).fused(k, x);
    let q = (-4.0f64).fused((0.25 * k).floor(), k);
    let r = f * PI;
    (r, f.fused(PI_LO, f.fused(PI, -r)), (q + ROUND).to_bits())
}

/// Returns sin(π·x). If x is an integer, the result is exactly 0 with the sign of x.
#[inline(always)]
pub(crate) fn sinpi(x: f64) -> f64 {
    let v = sine(reduce(x));
    if v == 0.0 { v.copysign(x) } else { v }
}

/// Returns cos(π·x), which is exactly +0 halfway between integers.
#[inline(always)]
pub(crate) fn cospi(x: f64) -> f64 {
    let (r, low, q) = reduce(x);
    let v = sine((r, low, q.wrapping_add(1)));
    if v == 0.0 { 0.0 } else { v }
}

/// Returns tan(π·x). The zeros at integers and the poles halfway between them have the signs that IEEE 754 requires.
#[inline(always)]
pub(crate) fn tanpi(x: f64) -> f64 {
    let (r, low, q) = reduce(x);
    let z = r * r;
    let t = r + (r * z).fused(poly(z, TAN), z.fused(low, low));
    let (odd, turned) = (q & 1 != 0, q & 2 != 0);
    let v = (if odd { -1.0 } else { t }) / (if odd { t } else { 1.0 });
    // at a zero, the result has the sign of sin(π·x) / cos(π·x); at a pole, it has the sign of the tangent just before
    // the pole
    let zero = if (x.to_bits() >> 63 != 0) != turned { -0.0 } else { 0.0 };
    let pole = if turned { f64::NEG_INFINITY } else { f64::INFINITY };
    let end = if odd { pole } else { zero };
    if r == 0.0 { end } else { v }
}

/// Returns sin(π·x) / (π·x), which is 1 in f64 for |x| below 1e-9.
#[inline(always)]
pub(crate) fn sinc(x: f64) -> f64 {
    let v = sinpi(x) / (PI * x);
    if x.abs() < 1e-9 { 1.0 } else { v }
}
