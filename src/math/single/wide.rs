//! The rarer functions of f32, computed in f64. This takes longer, because a vector holds half as many f64 as f32, but
//! f64's rounding errors do not change the f32 result noticeably.

use crate::math::Fused;
use crate::math::double::{self, ERFINV, ERFINV_TAIL, poly};
use std::f64::consts::{FRAC_PI_2, LN_2, LOG2_E, PI};

/// 1.5·2^52. Adding it to an f64 and subtracting it again rounds the f64 to an integer, like `ROUND` of
/// `double/mod.rs`.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// The coefficients of p in ln((1+s)/(1-s)) = 2s + s³·p(s²), for |s| <= 0.172. The largest relative error is 2^-44.5.
const LOG: [f64; 5] = [
    0.666_666_666_757_682_5,
    0.399_999_956_329_667_2,
    0.285_721_079_839_017_1,
    0.221_762_374_299_524_33,
    0.195_834_555_402_543_76,
];
/// The coefficients of q in 2^r = 1 + r·q(r), for |r| <= 1/2. The largest relative error is 2^-32.
const EXP2: [f64; 7] = [
    0.693_147_183_815_983_8,
    0.240_226_509_207_279_8,
    0.055_504_003_769_779_76,
    0.009_618_056_926_765_707,
    0.001_334_195_031_194_997_1,
    0.000_154_613_657_407_931_43,
    1.335_990_917_603_081e-5,
];
/// The coefficients of a in atan r = r + r³·a(r²), for |r| <= 1. The largest relative error is 2^-28.5.
const ATAN: [f64; 9] = [
    -0.333_332_990_854_481_9,
    0.199_985_480_980_418_2,
    -0.142_642_397_048_314_2,
    0.109_521_766_709_199_51,
    -0.084_034_281_008_159_8,
    0.057_957_285_457_642_255,
    -0.031_177_603_811_219_92,
    0.010_914_506_414_567_583,
    -0.001_793_605_462_612_796_6,
];

/// The coefficients of s in ln Γ(z) = (z - 1/2)·ln z - z + ln √(2π) + s(1/z²)/z, for z >= 8. The largest relative error
/// is 2^-58.
const STIRLING: [f64; 6] = [
    0.0833333333333331,
    -0.0027777777773585746,
    0.0007936505764708971,
    -0.0005951896832105539,
    0.000836458620326814,
    -0.001633432801017776,
];
/// The coefficients of s in sin(πf) = f·s(f²), for |f| <= 1/2. The largest relative error is 2^-43.9.
const SIN_PI: [f64; 7] = [
    3.1415926535895973,
    -5.1677127799773235,
    2.55016403541946,
    -0.5992644257350732,
    0.0821447320969919,
    -0.007363784930367969,
    0.0004472001327415046,
];

/// Returns `(e, l)` with ln x = e·ln 2 + l, for a positive, normal and finite x.
#[inline(always)]
fn ln_parts(x: f64) -> (f64, f64) {
    // subtracting the bits of √½ puts the significand m between √½ and √2
    let i = x.to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd);
    let e = (((i >> 32) as i32) >> 20) as f64;
    let m = f64::from_bits((i & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    (e, (s * z).fused(poly(z, LOG), 2.0 * s))
}

/// Returns ln x for positive normal finite x, with a relative error of about 2^-44.
#[inline(always)]
fn ln(x: f64) -> f64 {
    let (e, l) = ln_parts(x);
    e.fused(LN_2, l)
}

/// Returns 2^t for -1000 <= t <= 1000, with a relative error of 2^-32.
#[inline(always)]
fn exp2(t: f64) -> f64 {
    let k = t + ROUND;
    let r = t - (k - ROUND);
    let p = r.fused(poly(r, EXP2), 1.0);
    p * f64::from_bits(k.to_bits().wrapping_add(1023) << 52)
}

/// Returns x to the power y, with the special cases of IEEE 754.
#[inline(always)]
pub(crate) fn pow(x: f32, y: f32) -> f32 {
    let (xd, yd) = (x as f64, y as f64);
    let a = xd.abs();
    let (e, l) = ln_parts(a);
    let l = l.fused(LOG2_E, e);
    let l = if a == 0.0 { f64::NEG_INFINITY } else { l };
    let l = if a < f64::INFINITY { l } else { a };
    let t = yd * l;
    // for t below −160 or above 140 the result is 0 or ∞ in f32, and `exp2` needs a bounded exponent
    let t = if t < -160.0 { -160.0 } else { t };
    let t = if t > 140.0 { 140.0 } else { t };
    let r = exp2(t) as f32;
    let r = if a == 1.0 { if y.is_nan() { y } else { 1.0 } } else { r };
    // for a finite negative x, the result is negative if y is odd, and NaN if y is not an integer
    let whole = y == y.floor();
    let half = 0.5 * y;
    let odd = whole & (half != half.floor());
    let r = if odd { r.copysign(x) } else { r };
    let r = if (x < 0.0) & (a < f64::INFINITY) & !whole { f32::NAN } else { r };
    if (y == 0.0) | (x == 1.0) { 1.0 } else { r }
}

/// Returns the angle between the positive x axis and the direction of the point (x, y).
#[inline(always)]
pub(crate) fn atan2(y: f32, x: f32) -> f32 {
    let (v, u) = ((y as f64).abs(), (x as f64).abs());
    let steep = v > u;
    let (n, d) = if steep { (u, v) } else { (v, u) };
    let t = n / d;
    // the slope is 1 for ∞/∞ and 0 for 0/0, as IEEE 754 defines atan2
    let t = if mutant!(atan2_of_infinities, n == d && d < f64::INFINITY, n == d) { 1.0 } else { t };
    let t = if n + d == 0.0 { 0.0 } else { t };
    let z = t * t;
    let r = (t * z).fused(poly(z, ATAN), t);
    let r = if steep { FRAC_PI_2 - r } else { r };
    let r = if x.is_sign_negative() { PI - r } else { r };
    (r as f32).copysign(y)
}

/// Returns √(x² + y²). In f64 the squares of f32 neither overflow nor become 0.
#[inline(always)]
pub(crate) fn hypot(x: f32, y: f32) -> f32 {
    let (u, v) = (x as f64, y as f64);
    let r = u.fused(u, v * v).sqrt() as f32;
    if (x.abs() == f32::INFINITY) | (y.abs() == f32::INFINITY) { f32::INFINITY } else { r }
}

/// Returns asinh x.
#[inline(always)]
pub(crate) fn asinh(x: f32) -> f32 {
    let a = (x as f64).abs();
    let r = ln(a + a.fused(a, 1.0).sqrt());
    // near 0 the logarithm loses digits by cancellation, and two terms of the series are accurate enough
    let small = (a * a * a).fused(-1.0 / 6.0, a);
    let r = if a < 1e-3 { small } else { r };
    (if a < f64::INFINITY { r } else { a } as f32).copysign(x)
}

/// Returns acosh x.
#[inline(always)]
pub(crate) fn acosh(x: f32) -> f32 {
    let a = x as f64;
    let r = ln(a + a.fused(a, -1.0).sqrt()) as f32;
    let r = if a < f64::INFINITY { r } else { x };
    if x < 1.0 { f32::NAN } else { r }
}

/// Returns atanh x.
#[inline(always)]
pub(crate) fn atanh(x: f32) -> f32 {
    let a = (x as f64).abs();
    let r = 0.5 * ln((1.0 + a) / (1.0 - a));
    // near 0 the logarithm loses digits by cancellation, and two terms of the series are accurate enough
    let small = (a * a * a).fused(1.0 / 3.0, a);
    let r = if a < 1e-3 { small } else { r };
    let r = if a < 1.0 { r } else { f64::NAN };
    (if a == 1.0 { f64::INFINITY } else { r } as f32).copysign(x)
}

/// Returns the cube root of x.
#[inline(always)]
pub(crate) fn cbrt(x: f32) -> f32 {
    let a = (x as f64).abs();
    // dividing the upper word of the bits by 3 gives 5 correct bits of the root (as in FreeBSD's cbrt; the constant
    // corrects the exponent's bias). Each of the two steps of Halley's method triples the number of correct bits
    let t = f64::from_bits((((a.to_bits() >> 32) as u32 / 3 + 715_094_163) as u64) << 32);
    let r = t * t * t;
    let t = t * (a + a + r) / (a + r + r);
    let r = t * t * t;
    let t = t * (a + a + r) / (a + r + r);
    let t = if (a > 0.0) & (a < f64::INFINITY) { t } else { a };
    (t as f32).copysign(x)
}

/// Returns the inverse of the error function at x.
#[inline(always)]
pub(crate) fn erfinv(x: f32) -> f32 {
    let a = (x as f64).abs();
    let w = -ln((-a).fused(a, 1.0));
    let near = poly(w - 3.0, ERFINV);
    let tail = poly(w.sqrt() - 3.2, ERFINV_TAIL);
    let r = a * if w < 6.0 { near } else { tail };
    let r = if a < 1.0 { r } else { f64::NAN };
    (if a == 1.0 { f64::INFINITY } else { r } as f32).copysign(x)
}

/// Returns ln |Γ(x)|: by Stirling's series for x >= 8, by the recurrence for smaller x, and by the reflection formula
/// for negative x.
#[inline(always)]
pub(crate) fn lgamma(x: f32) -> f32 {
    let a = (x as f64).abs();
    // Γ(a + 8) is Γ(a)·a·(a + 1)…(a + 7). With b = a·(a + 7), this product is (b + 12)·(b + 10)·(b + 6)·b
    let b = a * (a + 7.0);
    let low = a < 8.0;
    let product = if low { (b + 12.0) * (b + 10.0) * ((b + 6.0) * b) } else { 1.0 };
    let z = if low { a + 8.0 } else { a };
    let w = 1.0 / z;
    // 0.9189… is ln √(2π)
    let series = w.fused(poly(w * w, STIRLING), 0.918_938_533_204_672_8);
    let stirling = (z - 0.5).fused(double::log(z), series - z);
    let f = a - a.round_ties_even();
    let sine = (f * poly(f * f, SIN_PI)).abs();
    let below = x < 0.0;
    let l = double::log(if below { product * PI / (a * sine) } else { product });
    let r = if below { l - stirling } else { stirling - l };
    let r = if (x == 1.0) | (x == 2.0) { 0.0 } else { r };
    (if a < f64::INFINITY { r } else { a * a }) as f32
}
