//! Logarithms of f64, and the inverse hyperbolic functions that use them.

use super::poly;
use crate::math::Fused;
use std::f64::consts::{LN_2, LOG2_E, LOG10_E};

/// ln 2 = `LN2_HI` + `LN2_LO`. `LN2_HI` has at most 33 bits, so that its product with an exponent is exact.
const LN2_HI: f64 = 0.6931471806019545;
const LN2_LO: f64 = -4.2009150726810846e-11;
/// `LOG2_E_LO` is log2(e) minus `LOG2_E`, the f64 nearest to log2(e). `LOG10_E_LO` is log10(e) minus `LOG10_E`.
pub(super) const LOG2_E_LO: f64 = 2.0355273740931033e-17;
const LOG10_E_LO: f64 = 1.098319650216765e-17;
/// log10(2) = `LOG10_2_HI` + `LOG10_2_LO`. `LOG10_2_HI` has at most 39 bits, so that its product with an exponent is
/// exact.
const LOG10_2_HI: f64 = 0.3010299956640665;
const LOG10_2_LO: f64 = -8.532344317057107e-14;
/// The coefficients of p in ln((1+s)/(1-s)) = 2s + s³·p(s²), for |s| <= 0.1716. The largest relative error is 2^-59.3.
pub(crate) const LOG: [f64; 7] = [
    0.6666666666666734,
    0.39999999999416447,
    0.2857142874200074,
    0.22222198612099708,
    0.18183562347124152,
    0.15314100065729194,
    0.14795465193976873,
];
/// The bits of √½. `split` scales x into the interval from √½ to √2.
const SPLIT: u64 = 0x3fe6_a09e_667f_3bcd;

/// Returns `(f, e)` with x = (1 + f)·2^e and √½ <= 1 + f < √2, for positive finite x.
#[inline(always)]
pub(super) fn split(x: f64) -> (f64, f64) {
    let small = x < f64::MIN_POSITIVE;
    // the factor 2^54 makes a subnormal x normal
    let x = if small { x * 18_014_398_509_481_984.0 } else { x };
    let i = x.to_bits().wrapping_sub(SPLIT);
    let e = (((i >> 32) as i32) >> 20) as f64;
    let m = f64::from_bits((i & 0x000f_ffff_ffff_ffff).wrapping_add(SPLIT));
    (m - 1.0, if small { e - 54.0 } else { e })
}

/// Returns `r` if x is positive and finite, otherwise the logarithm's special value: -∞ for ±0, ∞ for ∞, NaN for NaN
/// and negative numbers.
#[inline(always)]
fn specials(x: f64, r: f64) -> f64 {
    let b = x.to_bits();
    // `other` is x itself for +∞ and NaN, and a NaN for negative numbers
    let other = f64::from_bits(b | ((((b >> 32) as i32) >> 31) as i64 as u64 & 0x7ff8_0000_0000_0000));
    let r = if b.wrapping_sub(1) < 0x7fef_ffff_ffff_ffff { r } else { other };
    if b << 1 == 0 { f64::NEG_INFINITY } else { r }
}

/// Returns `(h, t)` with ln(1 + f) = f - h + t and h = f²/2. As in fdlibm, ln(1 + f) is 2·atanh s with s = f/(2 + f).
#[inline(always)]
fn log_parts(f: f64) -> (f64, f64) {
    let s = f / (2.0 + f);
    let z = s * s;
    let h = 0.5 * f * f;
    (h, s * z.fused(poly(z, LOG), h))
}

/// Returns ln((1 + f)·2^e) + low.
#[inline(always)]
fn log_of(f: f64, e: f64, low: f64) -> f64 {
    let (h, t) = log_parts(f);
    let t = t + e.fused(LN2_LO, low);
    e.fused(LN2_HI, f - (h - t))
}

/// Returns the natural logarithm of x.
#[inline(always)]
pub(crate) fn log(x: f64) -> f64 {
    let (f, e) = split(x);
    specials(x, log_of(f, e, -0.0))
}

/// Returns e + tail + (c + low)·ln(1 + f).
#[inline(always)]
fn scaled(e: f64, tail: f64, f: f64, c: f64, low: f64) -> f64 {
    let (h, t) = log_parts(f);
    // ln(1 + f) as the sum a + b
    let a = f - h;
    let b = ((f - a) - h) + t;
    let t = b.fused(c, a.fused(low, tail));
    let h = a.fused(c, e);
    h + (a.fused(c, e - h) + t)
}

/// Returns the binary logarithm of x, which is exact if x is a power of two.
#[inline(always)]
pub(crate) fn log2(x: f64) -> f64 {
    let (f, e) = split(x);
    specials(x, scaled(e, 0.0, f, LOG2_E, LOG2_E_LO))
}

/// Returns the decimal logarithm of x.
#[inline(always)]
pub(crate) fn log10(x: f64) -> f64 {
    let (f, e) = split(x);
    specials(x, scaled(e * LOG10_2_HI, e * LOG10_2_LO, f, LOG10_E, LOG10_E_LO))
}

/// Returns ln(1 + x) without cancellation near 0.
#[inline(always)]
pub(crate) fn log1p(x: f64) -> f64 {
    let i = (1.0 + x).to_bits().wrapping_sub(SPLIT);
    let e = ((i >> 32) as i32) >> 20;
    // 1 + f = (1 + x)·2^-e, rounded once. s is 4·2^-e, which is a normal number even for e = 1024, unlike 2^-e
    let s = f64::from_bits(((1025 - e) as u32 as u64) << 52);
    let c = s.fused(0.25, -1.0);
    let f = (0.25 * x).fused(s, c);
    // `low` is the rounding error of f. It changes the logarithm by low/(1 + f), which is about low - low·f
    let low = (0.25 * x).fused(s, c - f);
    let r = log_of(f, e as f64, (-low).fused(f, low));
    let r = if x.abs() < 1.0e-19 { x } else { r };
    let r = if x < f64::INFINITY { r } else { x };
    let r = if x < -1.0 { f64::NAN } else { r };
    if x == -1.0 { f64::NEG_INFINITY } else { r }
}

/// Returns ln(1 + x) for 0 <= x <= 1.
#[inline(always)]
pub(super) fn log1p_tail(x: f64) -> f64 {
    // if 1 + x is at most √2, f is x; otherwise 1 + f is (1 + x)/2, which is in [√½, 1]
    let high = x > 0.414_213_562_373_095_1;
    let f = if high { x.fused(0.5, -0.5) } else { x };
    // if x is below 1/2, (x - 1)/2 has one bit more than f can hold; `low` is this bit
    let low = if high { x.fused(0.5, -0.5 - f) } else { 0.0 };
    log_of(f, if high { 1.0 } else { 0.0 }, low)
}

/// Returns asinh x. For |x| > 1e9 the result is ±(ln |x| + ln 2), because √(1 + x²) is |x| in f64.
#[inline(always)]
pub(crate) fn asinh(x: f64) -> f64 {
    let a = x.abs();
    let z = a * a;
    let near = log1p(a + z / (1.0 + (1.0 + z).sqrt()));
    let far = log(a) + LN_2;
    (if a > 1e9 { far } else { near }).copysign(x)
}

/// Returns acosh x. For x > 1e9 the result is ln x + ln 2, because √(x² - 1) is x in f64.
#[inline(always)]
pub(crate) fn acosh(x: f64) -> f64 {
    let t = x - 1.0;
    let near = log1p(t + t.fused(t, 2.0 * t).sqrt());
    let far = log(x) + LN_2;
    // for x far below -1, the argument of log1p should be a little below -1, but it may be rounded to -1 or more. Then
    // log1p does not return NaN
    let near = if x < 1.0 { f64::NAN } else { near };
    if x > 1e9 { far } else { near }
}

/// Returns atanh x.
#[inline(always)]
pub(crate) fn atanh(x: f64) -> f64 {
    let a = x.abs();
    let r = 0.5 * log1p(2.0 * (a / (1.0 - a)));
    (if a < 1e-9 { a } else { r }).copysign(x)
}
