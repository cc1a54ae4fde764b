//! Hurwitz' zeta function of f64.

use super::pow::pow;
use crate::math::Fused;

/// B₂/2!, B₄/4!, … B₂₀/20!, where Bₙ are the Bernoulli numbers.
const BERNOULLI: [f64; 10] = [
    0.08333333333333333,
    -0.001388888888888889,
    3.306878306878307e-05,
    -8.267195767195768e-07,
    2.08767569878681e-08,
    -5.284190138687493e-10,
    1.3382536530684679e-11,
    -3.3896802963225827e-13,
    8.586062056277845e-15,
    -2.174868698558062e-16,
];
/// The number of terms that are summed one by one. The Euler-Maclaurin formula computes the rest, with an error of
/// 2^-59.
const TERMS: usize = 8;

/// Returns the sum of (q + k)^-x for k = 0, 1, …, where x > 1 and q > 0 (DLMF 25.11.28).
#[inline(always)]
fn hurwitz(x: f64, q: f64) -> f64 {
    let mut sum = 0.0;
    let mut k = TERMS;
    while k > 0 {
        k -= 1;
        let n = k as f64;
        let s = q + n;
        // `low` is the rounding error of q + k. From q = 1e16 on, this formula would return k itself, so `low` is set
        // to 0
        let low = if q < n { q - (s - n) } else { n - (s - q) };
        let low = if q < 1e16 { low } else { 0.0 };
        let term = pow(s, -x);
        // a term that is infinite or 0 needs no correction
        let change = term * (x * (low / s));
        sum += if change.abs() < 1e300 { term - change } else { term };
    }
    let a = q + TERMS as f64;
    // for x > 400, the power a^(1 - x) below is 0
    let x = if x > 400.0 { 400.0 } else { x };
    let v = 1.0 / a;
    let mut factor = x * v * v;
    let mut rest = 0.5 * v;
    let mut j = 0;
    while j < BERNOULLI.len() {
        rest = BERNOULLI[j].fused(factor, rest);
        let n = x + (2 * j) as f64;
        factor *= ((n + 1.0) * v) * ((n + 2.0) * v);
        j += 1;
    }
    sum + pow(a, 1.0 - x) * (1.0 / (x - 1.0) + rest)
}

/// Computes the sum of (q + k)^-x like [`hurwitz`], but for an integer x and a negative q that is not an integer.
#[inline(always)]
fn reflected(x: f64, q: f64) -> f64 {
    // the bases q + k grow with k. The last negative base is exactly -g, and the first positive base is 1 - g
    let g = -q - (-q).floor();
    let (above, below) = (hurwitz(x, 1.0 - g), hurwitz(x, g));
    let passed = hurwitz(x, 1.0 - q);
    let half = 0.5 * x;
    let even = half == half.floor();
    let odd = (above - below) + passed;
    // if `above` and `below` are both infinite, the larger one decides the sign
    let larger = if g > 0.5 { f64::INFINITY } else { f64::NEG_INFINITY };
    let odd = if above + below < f64::INFINITY { odd } else { larger };
    let odd = if g == 0.5 { passed } else { odd };
    if even { above + (below - passed) } else { odd }
}

/// Returns Hurwitz' zeta function ζ(x, q), the sum of (q + k)^-x for k = 0, 1, ….
#[inline(always)]
pub(crate) fn zeta(x: f64, q: f64) -> f64 {
    let valid = (x >= 1.0) & !q.is_nan();
    if !valid {
        return f64::NAN;
    }
    if (x == 1.0) | ((q <= 0.0) & (q == q.floor())) {
        return f64::INFINITY;
    }
    if x == f64::INFINITY {
        // for x = ∞, returns the limit of q^-x
        return if q > 1.0 {
            0.0
        } else if q == 1.0 {
            1.0
        } else if q > 0.0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
    }
    if q > 0.0 {
        return hurwitz(x, q);
    }
    if x == x.floor() { reflected(x, q) } else { f64::NAN }
}
