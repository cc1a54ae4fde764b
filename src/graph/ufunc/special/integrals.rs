//! The reference implementations (`Ufunc::exact`) of Euler's integrals: the beta function and the incomplete gamma
//! functions, in f64. They are tested against golden values from mpmath.

use super::reference::sinpi;
use std::f64::consts::{LN_2, PI};

/// Returns ln Γ(a) - (a - 1/2)·ln a + a - ln √(2π), for a >= 20 (DLMF 5.11.1).
fn stirling_rest(a: f64) -> f64 {
    let w = 1.0 / (a * a);
    [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0].iter().rev().fold(0.0, |r, c| r * w + c) / a
}

/// Returns ln(1 + b/a), also where b/a overflows.
fn log1p_of_ratio(b: f64, a: f64) -> f64 {
    if b / a > 1e17 { b.ln() - a.ln() } else { (b / a).ln_1p() }
}

/// Returns ln B(a, b) for positive finite numbers. The recurrence of Γ raises both operands to at least 20, where
/// Stirling's formula holds.
fn log_of_positive(a: f64, b: f64) -> f64 {
    let (mut a, mut b) = (a.min(b), a.max(b));
    if a == 1.0 || b == 1.0 {
        // one operand is 1, and then B is the reciprocal of the other operand
        return 0.0 - (a * b).ln();
    }
    if a > 0.01 && b < 40.0 {
        return (libm::tgamma(a) * (libm::tgamma(b) / libm::tgamma(a + b))).ln();
    }
    let mut raised = 0.0;
    while a < 20.0 {
        raised += log1p_of_ratio(b, a);
        a += 1.0;
    }
    while b < 20.0 {
        raised += log1p_of_ratio(a, b);
        b += 1.0;
    }
    let (a, b) = (a.min(b), a.max(b));
    let rest = stirling_rest(a) + stirling_rest(b) - stirling_rest(a + b);
    // 0.918… is ln √(2π)
    raised + 0.9189385332046727 - 0.5 * b.ln() + rest - (a - 0.5) * log1p_of_ratio(b, a) - b * (a / b).ln_1p()
}

/// Returns ln |B(a, b)| and the sign of B, by the reflection formula of Γ if an operand is negative.
fn log_and_sign(a: f64, b: f64) -> (f64, f64) {
    let pole = |x: f64| x <= 0.0 && x == x.floor();
    let (a, b) = (a.min(b), a.max(b));
    let s = a + b;
    match () {
        _ if pole(a) || pole(b) => {
            let whole = b > 0.0 && b == b.floor() && b <= -a && a.is_finite();
            let sign = if b % 2.0 == 0.0 { 1.0 } else { -1.0 };
            if whole { (log_of_positive(1.0 - s, b), sign) } else { (f64::INFINITY, 1.0) }
        }
        _ if b == f64::INFINITY => match a {
            _ if a == f64::INFINITY => (f64::NAN, f64::NAN),
            _ if a > 0.0 => (f64::NEG_INFINITY, 1.0),
            _ => (f64::INFINITY, 1f64.copysign(sinpi(a))),
        },
        _ if a > 0.0 => (log_of_positive(a, b), 1.0),
        _ => {
            let (sa, sb, ss) = (sinpi(a), sinpi(b), sinpi(s));
            if s <= 0.0 && ss == 0.0 {
                return (f64::NEG_INFINITY, 1.0);
            }
            let (log, factor) = if b < 0.0 {
                (-log_of_positive(1.0 - a, 1.0 - b), PI * ss / (sa * sb * (1.0 - s)))
            } else if s <= 0.0 {
                (log_of_positive(1.0 - s, b), ss / sa)
            } else {
                (-log_of_positive(1.0 - a, s), PI / (sa * b))
            };
            (log + factor.abs().ln(), 1f64.copysign(factor))
        }
    }
}

/// Returns B(a, b) divided by 2^600, so that the result does not overflow, if one operand is below 1e-18 in magnitude
/// and the other is not a pole of Γ. Otherwise returns `None`. B is (a + b)/(a·b) if both operands are small, and the
/// reciprocal of the tiny operand otherwise.
fn of_tiny(a: f64, b: f64) -> Option<f64> {
    let (x, y) = if a.abs() < b.abs() { (a, b) } else { (b, a) };
    let is_pole = y <= 0.0 && y == y.floor();
    if x == 0.0 || x.abs() >= 1e-18 || is_pole || !y.is_finite() {
        return None;
    }
    let k = 2f64.powi(600);
    Some(if y.abs() < 1e-3 { (x * k + y * k) / (x * k) / (y * k) } else { 1.0 / (x * k) })
}

pub fn beta(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    // for a tiny operand, B is not computed as the exponential of its logarithm, because the logarithm is large, and
    // the exponential would multiply its error
    if let Some(v) = of_tiny(a, b) {
        return v * 2f64.powi(600) + 0.0;
    }
    let (low, high) = (a.min(b), a.max(b));
    if 0.0 < low && low < 20.0 && 1e60 < high && high < f64::INFINITY {
        return libm::tgamma(low) * high.powf(-low);
    }
    let (log, sign) = log_and_sign(a, b);
    sign * log.exp()
}

pub fn betaln(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    of_tiny(a, b).map_or_else(|| log_and_sign(a, b).0, |v| v.abs().ln() + 600.0 * LN_2)
}

/// Returns e^y - 1 - y.
fn beyond_line(y: f64) -> f64 {
    if y.abs() < 0.01 {
        y * y / 2.0 * (1.0 + y / 3.0 * (1.0 + y / 4.0 * (1.0 + y / 5.0 * (1.0 + y / 6.0))))
    } else {
        y.exp_m1() - y
    }
}

/// Returns x^a·e^-x / Γ(a).
fn term(a: f64, x: f64) -> f64 {
    if a < 20.0 {
        return (a * x.ln() - x - libm::lgamma(a + 1.0)).exp() * a;
    }
    // μ - ln(1 + μ), where x = a·(1 + μ)
    let m = (x - a) / a;
    let rest = match m.abs() < 0.1 {
        true => m * m * (2..30).rev().fold(0.0, |r, k| 1.0 / f64::from(k) - m * r),
        false => m - m.ln_1p(),
    };
    let rest = if m > 1e10 { m } else { rest };
    (a / (2.0 * PI)).sqrt() * (-a * rest - stirling_rest(a)).exp()
}

/// Returns the smaller of P and Q, divided by [`term`]: the integral of e^(-|a - x|·z - x·(e^±z - 1 ∓ z)) over z > 0,
/// by the trapezoidal rule after the substitution z = w·e^(t - e^-t) (Takahasi and Mori, 1974).
fn integral(a: f64, x: f64) -> f64 {
    let (rate, sign) = ((a - x).abs(), if x >= a { 1.0 } else { -1.0 });
    let width = 1.0 / (rate + x.sqrt());
    let point = |i: i32| {
        let t = f64::from(i) / 16.0;
        let z = width * (t - (-t).exp()).exp();
        (-rate * z - x * beyond_line(sign * z)).exp() * z * (1.0 + (-t).exp())
    };
    (-72..=80).map(point).sum::<f64>() / 16.0
}

/// Returns Q(a, x) for x < 1.2, from the power series of the integrand (DLMF 8.7.1).
fn upper_of_small(a: f64, x: f64) -> f64 {
    let gamma = match a < 0.01 {
        // the power series of ln Γ(1 + a), with coefficients from Euler's constant and ζ(2), ζ(3), …
        true => {
            [-0.5772156649015329, 0.8224670334241132, -0.40068563438653143, 0.27058080842778454, -0.207385551028674]
                .iter()
                .rev()
                .fold(0.0, |r, c| (r + c) * a)
        }
        false => libm::lgamma(1.0 + a),
    };
    let log = a * x.ln() - gamma;
    let (mut power, mut sum) = (1.0, 0.0);
    for k in 1..30 {
        power *= -x / f64::from(k);
        sum += power / (a + f64::from(k));
    }
    -log.exp_m1() - log.exp() * a * sum
}

/// Returns P(a, x) and Q(a, x), the lower and the upper incomplete gamma function divided by Γ(a).
fn both(a: f64, x: f64) -> (f64, f64) {
    match () {
        _ if !(a >= 0.0 && x >= 0.0) || a == x && (a == 0.0 || a == f64::INFINITY) => (f64::NAN, f64::NAN),
        _ if a == 0.0 || x == f64::INFINITY => (1.0, 0.0),
        _ if x == 0.0 || a == f64::INFINITY => (0.0, 1.0),
        _ if x < a && a >= 1000.0 => {
            let p = term(a, x) * integral(a, x);
            (p, 1.0 - p)
        }
        _ if x >= 1.2 && x >= a => {
            let q = term(a, x) * integral(a, x);
            (1.0 - q, q)
        }
        _ => {
            let (mut sum, mut next, mut n) = (0.0, 1.0 / a, 0.0);
            while sum + next != sum {
                sum += next;
                n += 1.0;
                next *= x / (a + n);
            }
            // 1/a may be infinite; then P is 1
            let p = if sum < f64::INFINITY { term(a, x) * sum } else { 1.0 };
            (p, if x < 1.2 && a < 1.4 { upper_of_small(a, x) } else { 1.0 - p })
        }
    }
}

pub fn gammainc(a: f64, x: f64) -> f64 {
    both(a, x).0
}

pub fn gammaincc(a: f64, x: f64) -> f64 {
    both(a, x).1
}
