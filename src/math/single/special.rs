//! The error function and its relatives.

use super::exp::{exp_parts, power, scale};
use super::poly;

/// erf x = x + x·e(x²), |x| <= 1: 2^-29.4.
const ERF: [f32; 7] =
    [0.128_379_17, -0.376_126_26, 0.112_835_79, -0.026_853_347, 0.005_187_162, -0.000_799_785_2, 7.806_89e-5];
/// erf t = 1 - e^-(t + t·r(t)), 1 <= t <= 4.1: 2^-31.
const ERF_TAIL: [f32; 7] =
    [0.128_682_84, 0.635_014_3, 0.106_459_74, -0.023_951_065, 0.003_730_546_5, -0.000_344_184_02, 1.334_176_25e-5];
/// (t + 2)·e^(t²)·erfc t = g((t - 2)/(t + 2)), 0 <= t <= 10.2: 2^-25.
const ERFCX: [f32; 10] = [
    1.021_582_7, -0.687_160_97, 0.279_470_95, -0.036_435_146, -0.021_496_94, 0.006_433_437, 0.003_023_191_1,
    -0.000_731_438_3, -0.000_507_943_7, -3.384_598e-5,
];
/// (t + 4)·e^(t²/2)·Φ(-t) = g((t - 4)/(t + 4)), 0 <= t <= 15: 2^-24.9.
const MILLS: [f32; 10] = [
    0.755_285_14, -0.607_896_57, 0.387_136_25, -0.186_523_77, 0.060_411_17, -0.007_522_335_7, -0.003_538_807_6,
    0.001_555_545_5, 0.000_209_787_44, -0.000_109_356_944,
];

/// The error function.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 4.1 { 4.1 } else { a };
    let z = t * t;
    let small = t.mul_add(poly(z, ERF), t);
    let (p, k) = exp_parts(-t.mul_add(poly(t, ERF_TAIL), t));
    let large = (-p).mul_add(power(k), 1.0);
    (if a < 1.0 { small } else { large }).copysign(x)
}

/// 1 - erf x without cancellation.
#[inline(always)]
pub(crate) fn erfc(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 10.2 { 10.2 } else { a };
    // e^-t² from t² in two parts
    let z = t * t;
    let low = t.mul_add(t, -z);
    let (p, k) = exp_parts(-z);
    let p = p.mul_add(-low, p);
    let i = 1.0 / (t + 2.0);
    let r = scale(p * i * poly((t - 2.0) * i, ERFCX), k);
    let r = if x < 0.0 { 2.0 - r } else { r };
    let small = (-x).mul_add(poly(z, ERF), 1.0 - x);
    if a < 0.5 { small } else { r }
}

/// x·Φ(x), Φ the normal distribution's integral: the exact gelu.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let a = x.abs();
    let t = if a > 15.0 { 15.0 } else { a };
    let z = t * t;
    let low = t.mul_add(t, -z);
    let (p, k) = exp_parts(-0.5 * z);
    let p = p.mul_add(-0.5 * low, p);
    let i = 1.0 / (t + 4.0);
    // |x|·Φ(-|x|)
    let tail = scale(t * p * i * poly((t - 4.0) * i, MILLS), k);
    ((if x < 0.0 { 0.0 } else { x }) - tail).copysign(x)
}
