//! Functions of f32 that are computed from e^x: exponentials, sigmoid and its relatives, softplus, hyperbolic
//! functions.

use super::{ROUND, log::log1p_tail, poly};
use crate::math::Fused;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 = `LN2_HI` + `LN2_LO`: the nearest f32, and the remainder.
const LN2_HI: f32 = std::f32::consts::LN_2;
const LN2_LO: f32 = -1.904_654_2e-9;
/// The coefficients of q in e^r = 1 + r + r²·q(r), for |r| <= 0.35. The largest relative error is 2^-28.1.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_09, 0.041_668_01, 0.008_370_002, 0.001_384_744_2];
/// The coefficients of q in 2^r = 1 + r·q(r), for |r| <= 1/2. The largest relative error is 2^-26.2.
const EXP2: [f32; 6] = [0.693_147_2, 0.240_225_94, 0.055_503_663, 0.009_625_328, 0.001_338_737_4, 0.000_133_863_02];
/// The coefficients of q in sinh r = r + r³·q(r²), for |r| <= 1. The largest relative error is 2^-31.6.
const SINH: [f32; 4] = [0.166_666_67, 0.008_333_310_5, 0.000_198_428_96, 2.782_222_3e-6];
/// The coefficients of q in tanh r = r + r³·q(r²), for |r| <= 0.6. The largest relative error is 2^-28.4.
const TANH: [f32; 5] = [-0.333_333, 0.133_319_35, -0.053_784_482, 0.020_797_52, -0.005_896_357];

/// Returns the larger of x and `lo`, or NaN if x is NaN.
#[inline(always)]
fn at_least(x: f32, lo: f32) -> f32 {
    if x < lo { lo } else { x }
}

/// Returns the smaller of x and `hi`, or NaN if x is NaN.
#[inline(always)]
fn at_most(x: f32, hi: f32) -> f32 {
    if x > hi { hi } else { x }
}

/// Returns `(p, k)` with e^x = p·2^n and p in [0.7, 1.42]. The low bits of k are the integer n.
#[inline(always)]
pub(super) fn exp_parts(x: f32) -> (f32, u32) {
    let k = x.fused(LOG2_E, ROUND);
    let n = k - ROUND;
    // x = n·ln 2 + r. The first step is exact: unless n is 0, x and n·`LN2_HI` are multiples of 2^-25. Their difference
    // is below 1/2, so it has at most 24 bits and fits into an f32
    let r = (-n).fused(LN2_HI, x);
    let r = (-n).fused(LN2_LO, r);
    ((r * r).fused(poly(r, EXP), r) + 1.0, k.to_bits())
}

/// Returns `(p, k)` with e^(x + low) = p·2^n and p in [0.7, 1.42], for |low| far below 1. The low bits of k are the
/// integer n.
#[inline(always)]
pub(super) fn exp_parts_sum(x: f32, low: f32) -> (f32, u32) {
    let k = x.fused(LOG2_E, ROUND);
    let n = k - ROUND;
    let h = (-n).fused(LN2_HI, x);
    let low = (-n).fused(LN2_LO, low);
    let r = h + low;
    ((r * r).fused(poly(r, EXP), (h - r) + low) + r + 1.0, k.to_bits())
}

/// Returns 2^n, where the low bits of k are n, for -126 <= n <= 127. For n = -127 it returns 0.
#[inline(always)]
pub(super) fn power(k: u32) -> f32 {
    f32::from_bits(k.wrapping_add(127) << 23)
}

/// Returns x·2^n, where the low bits of k are n, for |n| <= 252. It multiplies by two powers, because 2^n may be out of
/// range although the result is not. The first product is exact, so the result is rounded once.
#[inline(always)]
pub(super) fn scale(x: f32, k: u32) -> f32 {
    let half = ((k as i32) >> 1) as u32;
    x * power(half) * power(k.wrapping_sub(half))
}

/// Returns e^x, which is 0 for x below -104 and ∞ for x above 89.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let (p, k) = exp_parts(at_most(at_least(x, -104.0), 89.0));
    scale(p, k)
}

/// Returns 2^x, which is 0 for x below -151 and ∞ from x = 128 on.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    let x = at_most(at_least(x, -151.0), 129.0);
    let k = x + ROUND;
    let r = x - (k - ROUND);
    scale(r.fused(poly(r, EXP2), 1.0), k.to_bits())
}

/// Returns e^x - 1 without cancellation near 0. It rounds to -1 for x below -20, and is ∞ for x above 89.
#[inline(always)]
pub(crate) fn expm1(x: f32) -> f32 {
    let v = at_most(at_least(x, -20.0), 89.0);
    // reduces v as `exp_parts` does; `low` is the rounding error of r
    let k = v.fused(LOG2_E, ROUND);
    let n = k - ROUND;
    let h = (-n).fused(LN2_HI, v);
    let r = (-n).fused(LN2_LO, h);
    let low = (-n).fused(LN2_LO, h - r);
    let t = (r * r).fused(poly(r, EXP), low);
    // computes half the result first, because for n = 128, 2^n overflows but the result may not
    let s = power(k.to_bits().wrapping_sub(1));
    let v = (2.0 * s.fused(t, s.fused(r, s - 0.5))).copysign(x);
    if x.abs() < 2.0e-8 { x } else { v }
}

/// Returns x / (1 + e^-z). `below` states whether z < 0. In this case the result is (x·p / (1 + e^z))·2^n, where e^z is
/// p·2^n. The multiplication by 2^n comes last, so that a subnormal result is rounded only once.
#[inline(always)]
fn logistic(x: f32, z: f32, below: bool) -> f32 {
    let a = at_most(z.abs(), 120.0);
    let (p, k) = exp_parts(-a);
    // a subnormal e^-a is replaced by 0, because 1 + e^-a is 1 in either case
    let e = p * power(if a > 87.0 { 0u32.wrapping_sub(127) } else { k });
    let q = (if below { x * p } else { x }) / (1.0 + e);
    let half = ((k as i32) >> 1) as u32;
    let (s, t) = (power(half), power(k.wrapping_sub(half)));
    if below { q * s * t } else { q }
}

/// Returns 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    logistic(1.0, x, x < 0.0)
}

/// Returns x · sigmoid(x).
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    let x = at_least(x, -120.0);
    logistic(x, x, x < 0.0)
}

/// Returns the approximation of gelu by tanh, which equals x · sigmoid(√(8/π)·(x + 0.044715·x³)).
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    let x = at_least(x, -20.0);
    // 1.5957… is √(8/π), 0.07135… is 0.044715·√(8/π)
    let z = x * (x * x).fused(0.071_354_814, 1.595_769_1);
    logistic(x, z, x < 0.0)
}

/// Returns ln(1 + e^x).
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let tail = log1p_tail(exp(-x.abs()));
    if x > 0.0 { x + tail } else { tail }
}

/// Returns ln(e^a + e^b).
#[inline(always)]
pub(crate) fn logaddexp(a: f32, b: f32) -> f32 {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    // ∞ - ∞ would be NaN
    let d = if hi == lo { 0.0 } else { lo - hi };
    hi + log1p_tail(exp(d))
}

/// Returns sinh x.
#[inline(always)]
pub(crate) fn sinh(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let small = (z * a).fused(poly(z, SINH), a);
    let h = half_exp(a);
    let large = h - 0.25 / h;
    (if a < 1.0 { small } else { large }).copysign(x)
}

/// Returns cosh x.
#[inline(always)]
pub(crate) fn cosh(x: f32) -> f32 {
    let h = half_exp(x.abs());
    h + 0.25 / h
}

/// Returns e^a / 2 for a >= 0. e^a itself may overflow although sinh a and cosh a, which are close to e^a / 2, do not.
#[inline(always)]
fn half_exp(a: f32) -> f32 {
    let (p, k) = exp_parts(at_most(a, 90.0));
    scale(p, k.wrapping_sub(1))
}

/// Returns tanh x.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = at_most(x.abs(), 10.0);
    let z = a * a;
    let small = (z * a).fused(poly(z, TANH), a);
    let (p, k) = exp_parts(2.0 * a);
    let large = 1.0 - 2.0 / p.fused(power(k), 1.0);
    (if a < 0.6 { small } else { large }).copysign(x)
}
