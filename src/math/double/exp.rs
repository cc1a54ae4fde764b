//! Functions of f64 that are computed from e^x: exponentials, sigmoid and its relatives, softplus, hyperbolic
//! functions.

use super::{ROUND, log::log1p_tail, poly};
use crate::math::Fused;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 = `LN2_HI` + `LN2_LO`: the nearest f64, and the remainder.
pub(super) const LN2_HI: f64 = std::f64::consts::LN_2;
pub(super) const LN2_LO: f64 = 2.3190468138462996e-17;
/// The coefficients of q in e^r = 1 + r + r²·q(r), for |r| <= 0.347. The largest relative error is 2^-56.3.
pub(super) const EXP: [f64; 10] = [
    0.5000000000000011,
    0.16666666666666408,
    0.04166666666652925,
    0.00833333333349636,
    0.0013888888943933315,
    0.00019841269503787716,
    2.4801492737387508e-05,
    2.7557587781739413e-06,
    2.763039060667198e-07,
    2.4999936834828657e-08,
];

/// Returns the larger of x and `lo`, or NaN if x is NaN.
#[inline(always)]
fn at_least(x: f64, lo: f64) -> f64 {
    if x < lo { lo } else { x }
}

/// Returns the smaller of x and `hi`, or NaN if x is NaN.
#[inline(always)]
fn at_most(x: f64, hi: f64) -> f64 {
    if x > hi { hi } else { x }
}

/// Returns `(r, low, k)` with x = n·ln 2 + r + low and |r| <= 0.347. The low bits of k are the integer n.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64, u64) {
    let k = x.fused(LOG2_E, ROUND);
    let n = k - ROUND;
    // this step is exact: unless n is 0, x and n·`LN2_HI` are multiples of 2^-54. Their difference is below 1/2, so it
    // has at most 53 bits and fits into an f64
    let h = (-n).fused(LN2_HI, x);
    let r = (-n).fused(LN2_LO, h);
    (r, (-n).fused(LN2_LO, h - r), k.to_bits())
}

/// Returns `(p, k)` with e^x = p·2^n and p in [0.7, 1.42]. The low bits of k are the integer n.
#[inline(always)]
pub(super) fn exp_parts(x: f64) -> (f64, u64) {
    let (r, _, k) = reduce(x);
    (1.0 + (r * r).fused(poly(r, EXP), r), k)
}

/// Returns `(p, low, k)` with e^(x + l) = (p + low)·2^n, for |l| far below 1. The low bits of k are the integer n.
#[inline(always)]
pub(super) fn exp_sum(x: f64, l: f64) -> (f64, f64, u64) {
    let k = x.fused(LOG2_E, ROUND);
    let n = k - ROUND;
    let h = (-n).fused(LN2_HI, x);
    let l = (-n).fused(LN2_LO, l);
    let r = h + l;
    let s = (r * r).fused(poly(r, EXP), (h - r) + l);
    let t = r + s;
    let p = 1.0 + t;
    (p, ((1.0 - p) + t) + ((r - t) + s), k.to_bits())
}

/// Returns (n + n_low) / (d + d_low), with an error slightly above half a unit in the last place.
#[inline(always)]
pub(super) fn quotient((n, n_low): (f64, f64), (d, d_low): (f64, f64)) -> f64 {
    let i = 1.0 / d;
    let q = n * i;
    let rest = (-q).fused(d, n) + (-q).fused(d_low, n_low);
    rest.fused(i, q)
}

/// Returns x·(p + low) as a sum of two f64, of which the first is x·p, rounded.
#[inline(always)]
pub(super) fn product(x: f64, (p, low): (f64, f64)) -> (f64, f64) {
    let n = x * p;
    (n, x.fused(low, x.fused(p, -n)))
}

/// Returns 2^n, where the low bits of k are n, for -1022 <= n <= 1023. For n = -1023 it returns 0.
#[inline(always)]
fn power(k: u64) -> f64 {
    f64::from_bits(k.wrapping_add(1023) << 52)
}

/// Returns x·2^n, where the low bits of k are n, for |n| <= 2044. It multiplies by two powers, because 2^n may be out
/// of range although the result is not. The first product is exact, so the result is rounded once.
#[inline(always)]
pub(super) fn scale(x: f64, k: u64) -> f64 {
    let half = k >> 1;
    x * power(half) * power(k.wrapping_sub(half))
}

/// Returns e^x, which is 0 for x below -746 and ∞ for x above 710.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let (p, k) = exp_parts(at_most(at_least(x, -746.0), 710.0));
    scale(p, k)
}

/// Returns `(p, k)` with 2^(x + low) = p·2^n and p in [0.7, 1.42], for |low| far below 1. The low bits of k are the
/// integer n.
#[inline(always)]
pub(super) fn pow2_sum(x: f64, low: f64) -> (f64, u64) {
    let k = x + ROUND;
    let h = x - (k - ROUND);
    let t = h + low;
    let low = (h - t) + low;
    let r = t * LN2_HI;
    let low = low.fused(LN2_HI, t.fused(LN2_LO, t.fused(LN2_HI, -r)));
    ((r * r).fused(poly(r, EXP), low) + r + 1.0, k.to_bits())
}

/// Returns 2^x, which is 0 for x below -1076 and ∞ from x = 1024 on.
#[inline(always)]
pub(crate) fn exp2(x: f64) -> f64 {
    let (p, k) = pow2_sum(at_most(at_least(x, -1076.0), 1025.0), 0.0);
    scale(p, k)
}

/// Returns e^x - 1 without cancellation near 0. It rounds to -1 for x below -40, and is ∞ for x above 710.
#[inline(always)]
pub(crate) fn expm1(x: f64) -> f64 {
    let (r, low, k) = reduce(at_most(at_least(x, -40.0), 710.0));
    let t = (r * r).fused(poly(r, EXP), low);
    // computes half the result first, because for n = 1024, 2^n overflows but the result may not
    let s = power(k.wrapping_sub(1));
    let v = (2.0 * s.fused(t, s.fused(r, s - 0.5))).copysign(x);
    if x.abs() < 1.0e-16 { x } else { v }
}

/// Returns x / (1 + e^-z). `below` states whether z < 0. In this case the result is (x·p / (1 + e^z))·2^n, where e^z is
/// p·2^n. The multiplication by 2^n comes last, so that a subnormal result is rounded only once.
#[inline(always)]
fn logistic(x: f64, z: f64, below: bool) -> f64 {
    let a = at_most(z.abs(), 800.0);
    let (p, low, k) = exp_sum(-a, 0.0);
    // a subnormal e^-a is replaced by 0, because 1 + e^-a is 1 in either case
    let s = power(if a > 708.0 { 0u64.wrapping_sub(1023) } else { k });
    let e = p * s;
    let d = 1.0 + e;
    let (n, n_low) = product(x, (p, low));
    let n = if below { (n, n_low) } else { (x, 0.0) };
    let q = quotient(n, (d, low.fused(s, (1.0 - d) + e)));
    // `quotient` returns NaN for x = ∞ and loses the sign of x = -0, so these two cases are corrected here
    let q = (if x < f64::INFINITY { q } else { x }).copysign(x);
    let half = k >> 1;
    let (s, t) = (power(half), power(k.wrapping_sub(half)));
    if below { q * s * t } else { q }
}

/// Returns 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    logistic(1.0, x, x < 0.0)
}

/// Returns x · sigmoid(x).
#[inline(always)]
pub(crate) fn silu(x: f64) -> f64 {
    let x = at_least(x, -800.0);
    logistic(x, x, x < 0.0)
}

/// Returns the approximation of gelu by tanh, which equals x · sigmoid(√(8/π)·(x + 0.044715·x³)).
#[inline(always)]
pub(crate) fn gelu_tanh(x: f64) -> f64 {
    let x = at_least(x, -40.0);
    // 1.5957… is √(8/π), 0.07135… is 0.044715·√(8/π)
    let z = x * (x * x).fused(0.07135481627260025, 1.5957691216057308);
    logistic(x, z, x < 0.0)
}

/// Returns ln(1 + e^x).
#[inline(always)]
pub(crate) fn softplus(x: f64) -> f64 {
    let tail = log1p_tail(exp(-x.abs()));
    if x > 0.0 { x + tail } else { tail }
}

/// Returns ln(e^a + e^b).
#[inline(always)]
pub(crate) fn logaddexp(a: f64, b: f64) -> f64 {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    // ∞ - ∞ would be NaN
    let d = if hi == lo { 0.0 } else { lo - hi };
    hi + log1p_tail(exp(d))
}

/// Returns sinh x.
#[inline(always)]
pub(crate) fn sinh(x: f64) -> f64 {
    let a = x.abs();
    let t = expm1(at_most(a, 1.0));
    let small = 0.5 * (t + t / (t + 1.0));
    let small = if a < 1e-9 { a } else { small };
    let h = half_exp(a);
    let large = h - 0.25 / h;
    (if a > 1.0 { large } else { small }).copysign(x)
}

/// Returns cosh x.
#[inline(always)]
pub(crate) fn cosh(x: f64) -> f64 {
    let h = half_exp(x.abs());
    h + 0.25 / h
}

/// Returns e^a / 2 for a >= 0. e^a itself may overflow although sinh a and cosh a, which are close to e^a / 2, do not.
#[inline(always)]
fn half_exp(a: f64) -> f64 {
    let (p, k) = exp_parts(at_most(a, 712.0));
    scale(p, k.wrapping_sub(1))
}

/// Returns tanh x.
#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    let a = x.abs();
    let t = expm1(2.0 * at_most(a, 22.0));
    let r = t / (t + 2.0);
    (if a < 1e-9 { a } else { r }).copysign(x)
}
