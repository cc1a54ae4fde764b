//! Logarithms of f32.

use super::poly;
use crate::math::Fused;

/// ln 2 = `LN2_HI` + `LN2_LO`. `LN2_HI` has 9 bits, so that its product with an exponent is exact.
const LN2_HI: f32 = 0.693_359_375;
const LN2_LO: f32 = -2.121_944_4e-4;
/// The coefficients of p in ln(1 + f) = f - f²/2 + f³·p(f), for 2/3 <= 1 + f <= 4/3. The largest relative error is
/// 2^-27.3.
const LOG: [f32; 8] =
    [0.333_332_15, -0.249_997_85, 0.200_104_74, -0.166_811_32, 0.140_045_29, -0.121_742_69, 0.139_926_72, -0.129_412_8];
/// The coefficients of q in log2(1 + f) = f·log2(e) + f²·q(f), for 2/3 <= 1 + f <= 4/3. The largest relative error is
/// 2^-27.4.
const LOG2: [f32; 9] = [
    -0.721_347_5,
    0.480_896_3,
    -0.360_674_17,
    0.288_709_9,
    -0.240_499_6,
    0.201_716_69,
    -0.177_939_89,
    0.203_480_32,
    -0.176_137_69,
];
/// The coefficients of q in log10(1 + f) = f·log10(e) + f²·q(f), for 2/3 <= 1 + f <= 4/3. The largest relative error is
/// 2^-26.
const LOG10: [f32; 9] = [
    -0.217_147_25,
    0.144_764_29,
    -0.108_572_42,
    0.086_905_39,
    -0.072_449_36,
    0.060_802_84,
    -0.052_874_606,
    0.060_900_535,
    -0.056_028_537,
];
/// The bits of 2/3, the lower end of the interval into which `split` scales x.
const SPLIT: u32 = 0x3f2a_aaab;

/// Returns `(f, e)` with x = (1 + f)·2^e and 2/3 <= 1 + f < 4/3, for positive finite x.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    let small = x < f32::MIN_POSITIVE;
    // the factor 2^23 makes a subnormal x normal
    let x = if small { x * 8_388_608.0 } else { x };
    let i = x.to_bits().wrapping_sub(SPLIT);
    let e = ((i as i32) >> 23) as f32;
    let m = f32::from_bits((i & 0x007f_ffff).wrapping_add(SPLIT));
    (m - 1.0, if small { e - 23.0 } else { e })
}

/// Returns `r` if x is positive and finite, otherwise the logarithm's special value: -∞ for ±0, ∞ for ∞, NaN for NaN
/// and negative numbers.
#[inline(always)]
fn specials(x: f32, r: f32) -> f32 {
    let b = x.to_bits();
    // `other` is x itself for +∞ and NaN, and a NaN for negative numbers. The bits are compared, because LLVM would
    // compile comparisons of floats here to a dozen tests of float classes
    let other = f32::from_bits(b | (((b as i32) >> 31) as u32 & 0x7fc0_0000));
    let r = if b.wrapping_sub(1) < 0x7f7f_ffff { r } else { other };
    if b << 1 == 0 { f32::NEG_INFINITY } else { r }
}

/// Returns ln((1 + f)·2^e) + low.
#[inline(always)]
fn log_of(f: f32, e: f32, low: f32) -> f32 {
    let z = f * f;
    let t = (f * z).fused(poly(f, LOG), e.fused(LN2_LO, low));
    let t = z.fused(-0.5, t);
    e.fused(LN2_HI, f + t)
}

/// Returns the natural logarithm of x.
#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    let (f, e) = split(x);
    specials(x, log_of(f, e, -0.0))
}

/// Returns the binary logarithm of x, which is exact if x is a power of two.
#[inline(always)]
pub(crate) fn log2(x: f32) -> f32 {
    let (f, e) = split(x);
    // log2(e) is `LOG2_E` + `LOG2_E_LO`
    let t = f.fused(LOG2_E_LO, f * f * poly(f, LOG2));
    specials(x, add_product(e, f, std::f32::consts::LOG2_E, t))
}

/// Returns the decimal logarithm of x.
#[inline(always)]
pub(crate) fn log10(x: f32) -> f32 {
    let (f, e) = split(x);
    // log10(e) and log10(2) are each the sum of two constants. `LOG10_2_HI` has 11 bits, so its product with the
    // exponent `e` is exact
    let t = f.fused(LOG10_E_LO, f * f * poly(f, LOG10));
    let t = e.fused(LOG10_2_LO, t);
    specials(x, add_product(e * LOG10_2_HI, f, std::f32::consts::LOG10_E, t))
}

/// Returns e + f·c + t with an error slightly above half a unit in the last place. Requires that e is 0 or |e| > |f·c|,
/// and that |t| is much smaller than |e + f·c|.
#[inline(always)]
fn add_product(e: f32, f: f32, c: f32, t: f32) -> f32 {
    let h = f.fused(c, e);
    h + (f.fused(c, e - h) + t)
}

const LOG2_E_LO: f32 = (std::f64::consts::LOG2_E - std::f32::consts::LOG2_E as f64) as f32;
const LOG10_E_LO: f32 = (std::f64::consts::LOG10_E - std::f32::consts::LOG10_E as f64) as f32;
const LOG10_2_HI: f32 = 0.301_025_39;
const LOG10_2_LO: f32 = (std::f64::consts::LOG10_2 - LOG10_2_HI as f64) as f32;

/// Returns ln(1 + x) without cancellation near 0.
#[inline(always)]
pub(crate) fn log1p(x: f32) -> f32 {
    let i = (1.0 + x).to_bits().wrapping_sub(SPLIT);
    let e = (i as i32) >> 23;
    // 1 + f = (1 + x)·2^-e, rounded once. s is 4·2^-e, which is a normal number even for e = 128, unlike 2^-e
    let s = f32::from_bits(129u32.wrapping_sub(e as u32) << 23);
    let c = s.fused(0.25, -1.0);
    let f = (0.25 * x).fused(s, c);
    // `low` is the rounding error of f. It changes the logarithm by low/(1 + f), which is about low - low·f
    let low = (0.25 * x).fused(s, c - f);
    let r = log_of(f, e as f32, (-low).fused(f, low));
    let r = if x.abs() < 2.0e-10 { x } else { r };
    let r = if x < f32::INFINITY { r } else { x };
    let r = if x < -1.0 { f32::NAN } else { r };
    if x == -1.0 { f32::NEG_INFINITY } else { r }
}

/// Returns ln(1 + x) for 0 <= x <= 1.
#[inline(always)]
pub(super) fn log1p_tail(x: f32) -> f32 {
    // if x is at most 1/3, 1 + f is 1 + x; otherwise 1 + f is (1 + x)/2, which is in [2/3, 1]
    let high = x > 0.333_333_34;
    let f = if high { x.fused(0.5, -0.5) } else { x };
    log_of(f, if high { 1.0 } else { 0.0 }, -0.0)
}
