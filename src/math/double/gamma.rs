//! The digamma function of f64.

use super::log::log;
use super::pi::tanpi;
use super::poly;
use std::f64::consts::PI;

/// The coefficients of p in ψ(z) = ln z - 1/(2z) - p(1/z²)/z², for z >= 8. The largest error is 2^-52.5, relative to
/// the last term, which is below 2^-9.
pub(super) const DIGAMMA: [f64; 7] = [
    0.08333333333333333,
    -0.008333333333278636,
    0.0039682539119537084,
    -0.0041666448230497,
    0.007571689620283902,
    -0.020697987372370493,
    0.06362150587634356,
];

/// Returns ψ(x): by its asymptotic series from 8 on, by the recurrence below 8, and by the reflection formula for
/// negative x.
#[inline(always)]
pub(crate) fn digamma(x: f64) -> f64 {
    let below = x < 0.0;
    let a = if below { 1.0 - x } else { x };
    let low = a < 8.0;
    // 1/a + 1/(a + 1) + … + 1/(a + 7): pairs of terms from both ends add up to (2a + 7) divided by b, b + 6, b + 10 and
    // b + 12
    let b = a * (a + 7.0);
    let sum = (2.0 * a + 7.0) * (((1.0 / (b + 12.0) + 1.0 / (b + 10.0)) + 1.0 / (b + 6.0)) + 1.0 / b);
    let z = if low { a + 8.0 } else { a };
    let v = 1.0 / z;
    let w = v * v;
    let r = log(z) - (0.5 * v + w * poly(w, DIGAMMA));
    let r = if low { r - sum } else { r };
    let reflected = r - PI / tanpi(x);
    let r = if below { reflected } else { r };
    let r = if x == 0.0 { f64::INFINITY.copysign(-x) } else { r };
    if below & (x == x.floor()) { f64::NAN } else { r }
}
