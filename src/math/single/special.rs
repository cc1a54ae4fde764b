//! The error function of f32, its complement, and gelu.

use super::exp::{exp_parts, exp_parts_sum, power, scale};
use super::poly;
use crate::math::Fused;

/// The coefficients of e in erf x = x + x·e(x²), for |x| <= 1. The largest relative error is 2^-29.4.
const ERF: [f32; 7] =
    [0.128_379_17, -0.376_126_26, 0.112_835_79, -0.026_853_347, 0.005_187_162, -0.000_799_785_2, 7.806_89e-5];
/// The coefficients of r in erf t = 1 - e^-(t + t·r(t)), for 1 <= t <= 4.1. The largest relative error is 2^-31.
const ERF_TAIL: [f32; 7] =
    [0.128_682_84, 0.635_014_3, 0.106_459_74, -0.023_951_065, 0.003_730_546_5, -0.000_344_184_02, 1.334_176_25e-5];
/// The coefficients of g in (t + 2)·e^(t²)·erfc t = g((t - 2)/(t + 2)), for 0.85 <= t <= 10.2. The largest relative
/// error is 2^-25.6.
const ERFCX: [f32; 9] = [
    1.0215827,
    -0.6871608,
    0.27947024,
    -0.036436982,
    -0.021482179,
    0.006409986,
    0.0029842134,
    -0.00056805124,
    -0.00066454185,
];
/// The coefficients of g in (t + 4)·e^(t²/2)·Φ(-t) = g((t - 4)/(t + 4)), for 0.95 <= t <= 15. The largest relative
/// error is 2^-25.2.
const MILLS: [f32; 9] = [
    0.75528514,
    -0.60789645,
    0.387136,
    -0.18652754,
    0.060417097,
    -0.0074910764,
    -0.0035733469,
    0.0014566024,
    0.00026521215,
];
/// The coefficients of p in Φ(x) = 1/2 + x·p(x²), for |x| <= 1. The largest relative error is 2^-28.4.
const PHI: [f32; 6] = [0.3989423, -0.06649054, 0.009974163, -0.0011880193, 0.00011501705, -8.168446e-06];

/// Returns the error function of x, which is 1 in f32 from x = 4.1 on.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 4.1 { 4.1 } else { a };
    let z = t * t;
    let small = t.fused(poly(z, ERF), t);
    let (p, k) = exp_parts(-t.fused(poly(t, ERF_TAIL), t));
    let large = (-p).fused(power(k), 1.0);
    (if a < 1.0 { small } else { large }).copysign(x)
}

/// Returns 1 - erf x, computed without cancellation. For x >= 10.2 the value is below 2^-150, which f32 rounds to 0.
#[inline(always)]
pub(crate) fn erfc(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 10.2 { 10.2 } else { a };
    // t² is computed exactly as z + low, because an error of t² would become a relative error of e^-t²
    let z = t * t;
    let low = t.fused(t, -z);
    let (p, k) = exp_parts_sum(-z, -low);
    let d = t + 2.0;
    let i = 1.0 / d;
    let v = p * poly((t - 2.0) * i, ERFCX);
    // v / (t + 2) is the approximate quotient q plus two corrections: for the remainder of the division, and for the
    // rounding error of d = t + 2
    let q = v * i;
    let rest = (-q).fused(d, v) - q * (t - (d - 2.0));
    let r = scale(mutant!(erfc_quotient_uncorrected, p * i * poly((t - 2.0) * i, ERFCX), rest.fused(i, q)), k);
    let r = if x < 0.0 { 2.0 - r } else { r };
    let small = (-x).fused(poly(z, ERF), 1.0 - x);
    if a < 0.875 { small } else { r }
}

/// Returns x·Φ(x), the exact gelu: Φ is the distribution function of the standard normal. |x|·Φ(-|x|) is 0 in f32 for
/// |x| >= 15.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 15.0 { 15.0 } else { a };
    let z = t * t;
    let low = t.fused(t, -z);
    let (p, k) = exp_parts_sum(-0.5 * z, -0.5 * low);
    let i = 1.0 / (t + 4.0);
    // x·Φ(x) is max(x, 0) minus the tail |x|·Φ(-|x|)
    let tail = scale(t * p * i * poly((t - 4.0) * i, MILLS), k);
    let r = (if x < 0.0 { 0.0 } else { x }) - tail;
    let small = x * x.fused(poly(x * x, PHI), 0.5);
    (if a < 1.0 { small } else { r }).copysign(x)
}
