//! The beta function of f64 and its logarithm.

use super::exp::{pow2_sum, scale};
use super::incomplete::{LOG2_E_SUM, stirling_rest, two_product, two_sum};
use super::log::{log, log1p};
use super::pi::{cospi, sinpi};
use super::pow::log2_sum;
use crate::math::Fused;
use std::f64::consts::{LOG2_E, PI};

/// The smallest number for which Stirling's formula is used for ln Γ.
const LARGE: f64 = 8.0;

/// Returns ln B(a, b) of positive finite numbers. For a large b, Stirling's formula is used, and the terms of ln Γ(b)
/// and ln Γ(a + b) that nearly cancel are combined (Didonato and Morris, ACM Transactions on Mathematical Software 18,
/// 1992, algorithm 708).
#[inline(always)]
fn log_of_positive(a: f64, b: f64) -> f64 {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    if b < LARGE {
        return libm::lgamma(a) + (libm::lgamma(b) - libm::lgamma(a + b));
    }
    let rest = stirling_rest(b) - stirling_rest(a + b);
    let h = a / b;
    if a < LARGE {
        return libm::lgamma(a) + (((a - (a + b - 0.5) * log1p(h)) - a * log(b)) + rest);
    }
    // 0.918… is ln √(2π)
    let small = -0.5 * log(b) + 0.9189385332046728 + (stirling_rest(a) + rest);
    (small + (a - 0.5) * log(h / (1.0 + h))) - b * log1p(h)
}

/// Returns c·log2(n/s) as a sum of two f64. c and s are also sums of two f64.
#[inline(always)]
fn power(c: (f64, f64), n: f64, (s, s_low): (f64, f64)) -> (f64, f64) {
    let r = n / s;
    let r_low = ((-r).fused(s, n) - r * s_low) / s;
    let (h, low) = log2_sum(r);
    two_product(c, (h, low + r_low / r * LOG2_E))
}

/// Returns `(m, t, low)` with B(a, b) = m·2^(t + low), for positive finite numbers. The power of two is separate,
/// because B may be below the smallest f64 although its product with another factor is not. Its exponent has a low
/// part, because a rounding error would become a relative error of the power.
#[inline(always)]
fn of_positive(a: f64, b: f64) -> (f64, f64, f64) {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    if b < LARGE {
        return (libm::tgamma(a) * (libm::tgamma(b) / libm::tgamma(a + b)), 0.0, 0.0);
    }
    // for a >= 8 and such a large b, B(a, b) is below the smallest f64
    if (a >= LARGE) & (b > 1e100) {
        return (0.0, 0.0, 0.0);
    }
    let s = two_sum(a, b);
    let rest = stirling_rest(b) - stirling_rest(s.0);
    let (second, first, factor) = if a < LARGE {
        // (b/s)^(s - 1/2)·b^-a·e^a
        let (c, c_low) = two_sum(s.0, -0.5);
        let ratio = power((c, c_low + s.1), b, s);
        let (e, e_low) = two_product((a, 0.0), LOG2_E_SUM);
        let (sum, low) = two_sum(ratio.0, e);
        ((sum, low + (ratio.1 + e_low)), two_product((-a, 0.0), log2_sum(b)), libm::tgamma(a))
    } else {
        let factor = 2.5066282746310002 * (s.0 / b / a).sqrt();
        (power((b, 0.0), b, s), power((a, 0.0), a, s), factor)
    };
    let rest = if a < LARGE { rest } else { rest + stirling_rest(a) };
    let (t, low) = two_sum(first.0, second.0);
    // if a ratio rounds to 1, the high part of its logarithm is 0, so the low part may be larger than the high part
    let (t, low) = two_sum(t, low + (first.1 + second.1) + rest * LOG2_E);
    (factor, t, low)
}

/// Returns v·2^(t + low), which may be in the range of f64 although 2^(t + low) is not.
#[inline(always)]
fn times_power(v: f64, t: f64, low: f64) -> f64 {
    let far = t.abs() > 4000.0;
    let (p, k) = pow2_sum(if far { 4000f64.copysign(t) } else { t }, if far { 0.0 } else { low });
    let half = k >> 1;
    scale(scale(v * p, half), k.wrapping_sub(half))
}

/// Returns sin(π·(a + b)), including the rounding error of a + b.
#[inline(always)]
fn sine_of_sum(a: f64, b: f64) -> f64 {
    let (s, low) = two_sum(a, b);
    low.fused(PI * cospi(s), sinpi(s))
}

/// How B(a, b) is computed for a pair of operands, which may be negative, infinite or poles of Γ.
enum Case {
    /// B(a, b) is this value.
    Value(f64),
    /// The numbers (x, y, z) with B(a, b) = z·B(x, y), where x and y are positive.
    Times(f64, f64, f64),
    /// The numbers (x, y, z, w) with B(a, b) = z / (w·B(x, y)), where x and y are positive.
    Over(f64, f64, f64, f64),
}

/// Returns whether Γ has a pole at x: at 0, -1, -2, …
#[inline(always)]
fn is_pole(x: f64) -> bool {
    (x <= 0.0) & (x == x.floor())
}

/// Reduces B(a, b) to B of two positive numbers by the reflection formula of Γ, with the values of `scipy.special` at
/// poles and infinities.
#[inline(always)]
fn reduced(a: f64, b: f64) -> Case {
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    if a.is_nan() | b.is_nan() {
        return Case::Value(f64::NAN);
    }
    if is_pole(a) | is_pole(b) {
        // two poles of Γ cancel, so the value is finite: (-1)^b·B(1 - a - b, b)
        let whole = (b > 0.0) & (b == b.floor()) & (b <= -a) & (a > f64::NEG_INFINITY);
        let half = 0.5 * b;
        let sign = if half == half.floor() { 1.0 } else { -1.0 };
        return if whole { Case::Times(1.0 - (a + b), b, sign) } else { Case::Value(f64::INFINITY) };
    }
    if b == f64::INFINITY {
        let gamma = if a > 0.0 { 0.0 } else { f64::INFINITY.copysign(sinpi(a)) };
        return Case::Value(if a == f64::INFINITY { f64::NAN } else { gamma });
    }
    if a > 0.0 {
        return Case::Times(a, b, 1.0);
    }
    let (s, sine) = (a + b, sinpi(a));
    // π/sin(π·x) overflows for the smallest x. So the last two numbers of `Over` are divided by 2^100 if an operand is
    // that small
    let small = if (a.abs() < 1e-288) | (b.abs() < 1e-288) { 7.888609052210118e-31 } else { 1.0 };
    if b < 0.0 {
        let sines = small * PI * (sine_of_sum(a, b) / sine) / sinpi(b);
        return Case::Over(1.0 - a, 1.0 - b, sines, small * (1.0 - s));
    }
    if s <= 0.0 {
        return Case::Times(1.0 - s, b, sine_of_sum(a, b) / sine);
    }
    Case::Over(1.0 - a, s, small * PI / sine, small * b)
}

/// Returns B(a, b) divided by 2^600 if a and b are close to 0, where B is (a + b)/(a·b). Returns `None` if a or b is 0
/// or is not close to 0.
#[inline(always)]
fn near_zero(a: f64, b: f64) -> Option<f64> {
    let near = (a.abs() < 1e-17) & (b.abs() < 1e-17) & (a != 0.0) & (b != 0.0);
    let (a, b) = (a * super::power(600), b * super::power(600));
    // adding 0.0 turns a result of -0 into +0. If a + b is 0, B is 0, because Γ(a + b) is a divisor of B and has a pole
    // there
    if near { Some((a + b) / a / b + 0.0) } else { None }
}

/// Returns B(a, b), the beta function.
#[inline(always)]
pub(crate) fn beta(a: f64, b: f64) -> f64 {
    if let Some(v) = near_zero(a, b) {
        return v * super::power(600);
    }
    match reduced(a, b) {
        Case::Value(v) => v,
        // the factor is 0 if Γ(a + b), which is a divisor of B, has a pole, so B is 0
        Case::Times(_, _, factor) | Case::Over(_, _, factor, _) if factor == 0.0 => 0.0,
        Case::Times(p, q, factor) => {
            let (m, t, low) = of_positive(p, q);
            times_power(factor * m, t, low)
        }
        Case::Over(p, q, factor, with) => {
            let (m, t, low) = of_positive(p, q);
            let quotient = if with < 1.0 { factor / (with * m) } else { factor / with / m };
            times_power(quotient, -t, -low)
        }
    }
}

/// Returns ln |B(a, b)|.
#[inline(always)]
pub(crate) fn betaln(a: f64, b: f64) -> f64 {
    if let Some(v) = near_zero(a, b) {
        // 415.8… is 600·ln 2
        return log(v.abs()) + 415.88830833596717;
    }
    match reduced(a, b) {
        Case::Value(v) => log(v.abs()),
        Case::Times(p, q, factor) => {
            let r = log_of_positive(p, q);
            if factor == 1.0 { r } else { log(factor.abs()) + r }
        }
        Case::Over(p, q, factor, with) => log(factor.abs()) - (log(with) + log_of_positive(p, q)),
    }
}
