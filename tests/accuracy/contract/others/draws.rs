//! Trials of random numbers computed by one logarithm of a uniform number, or by the inverse normal distribution.

use super::super::bound::Bound;
use super::super::dd::Dd;
use super::super::entry::Entry;
use super::{N, Wanted, words};
use crate::kit::number;
use cupric::{DType, Expr, Rng};

/// Computes an f64 from four random words.
type OfWords<'a> = Box<dyn Fn([u32; 4]) -> f64 + 'a>;

/// Draws numbers by one logarithm of a uniform number, or by the inverse of the normal distribution function Φ.
pub fn log_of_uniform(entry: &Entry, which: usize, rng: &mut Rng) -> (Expr, Wanted) {
    let d = entry.dtype;
    let wide = if d == DType::F64 { d } else { DType::F32 };
    let odd = |w: [u32; 4]| match d {
        DType::F64 => ((w[0] >> 5) as f64 * 2f64.powi(26) + (w[1] >> 6 | 1) as f64) * 2f64.powi(-53),
        _ => (w[0] >> 8 | 1) as f64 * 2f64.powi(-24),
    };
    let fine = |w: [u32; 4]| match d {
        DType::F64 => odd(w),
        _ => ((w[0] as f32 + 0.5) as f64 * 2f64.powi(-32)).min(1.0 - 2f64.powi(-24)),
    };
    let exponential = |w: [u32; 4]| -(-fine(w)).ln_1p();
    let (loc, scale) = [(0.0, 1.0), (3.0, 0.25), (-0.5, 40.0)][which];
    let (low, high) = [(-1.5, 2.5), (f64::NEG_INFINITY, f64::INFINITY), (3.0, 6.0)][which];
    let sign = |w: [u32; 4]| if w[if d == DType::F64 { 2 } else { 1 }] < 1 << 31 { -1.0 } else { 1.0 };
    let (e, exact, least): (Expr, OfWords<'_>, f64) = match entry.function.as_str() {
        "exponential" => (rng.exponential(scale, [N], d), Box::new(|w| scale * exponential(w)), 0.0),
        "gumbel" => (rng.gumbel(loc, scale, [N], d), Box::new(|w| loc - scale * exponential(w).ln()), scale),
        "laplace" => (rng.laplace(loc, scale, [N], d), Box::new(|w| loc + sign(w) * scale * exponential(w)), scale),
        _ => (rng.truncated_normal(low, high, [N], d), Box::new(|w| truncated(low, high, odd(w))), 1.0),
    };
    let factor = if entry.gpu() { 8.0 } else { 4.0 };
    let want = |w: [u32; 4]| {
        let x = exact(w);
        let largest = if least > 0.0 { x.abs().max(least).max(loc.abs()) } else { x.abs() };
        let step = if wide == d { 0.0 } else { number::ulp(d, x) };
        (x.into(), Bound::Exact, factor * number::ulp(wide, largest) + step)
    };
    (e, Wanted::Floats(words(which).map(want).collect()))
}

/// The x in (`low`, `high`) where the truncated normal distribution function is u, from the side with the small tail.
fn truncated(low: f64, high: f64, u: f64) -> f64 {
    let half = Dd::from(0.5);
    let (at_low, at_high) = (exact_tail(low.abs()), exact_tail(high.abs()));
    let (below, above) = (half - at_low, half - at_high);
    let (p, sign) = match low > 0.0 {
        true => (at_high + Dd::from(u) * (at_low - at_high), 1.0),
        false if u * (below + above).hi < below.hi => (at_low + Dd::from(u) * (below + above), -1.0),
        false => (at_high + Dd::from(1.0 - u) * (below + above), 1.0),
    };
    // solves tail(x) = p: Newton's method on the logarithm first, then on the tail itself
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let mut x = (-2.0 * p.hi.ln()).sqrt() * 0.5;
    for _ in 0..12 {
        let tail = normal_tail(x);
        x += (tail.ln() - p.hi.ln()) * tail / density(x);
    }
    for _ in 0..2 {
        x += (exact_tail(x) - p).hi / density(x);
    }
    sign * x
}

/// Like [`normal_tail`], but by the series alone in double-double numbers, because the series cancels.
fn exact_tail(x: f64) -> Dd {
    if x == f64::INFINITY {
        return Dd::from(0.0);
    }
    let square = Dd::from(x) * Dd::from(x);
    let (mut term, mut sum, mut n) = (Dd::from(x), Dd::from(x), 1.0);
    while term.hi > sum.hi * 1e-33 {
        n += 2.0;
        term = term * square / Dd::from(n);
        sum = sum + term;
    }
    // 1 / √(2π) as an f64, plus the part that an f64 cannot hold
    let unit = Dd::from(0.398_942_280_401_432_7) + Dd::from(-2.492_327_202_277_73e-17);
    Dd::from(0.5) - (square * Dd::from(-0.5)).exp() * unit * sum
}

/// The probability that a standard normal number exceeds x ≥ 0, by a series of positive terms or a continued fraction.
fn normal_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - normal_tail(-x);
    }
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x == f64::INFINITY {
        return 0.0;
    }
    if x < 2.0 {
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > sum * 1e-18 {
            n += 2.0;
            term *= x * x / n;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    density / (1..200).rev().fold(x, |below, k| x + k as f64 / below)
}
