//! The scaled complementary error function, the inverse of the complementary error function, and the distribution
//! function of the standard normal with its logarithm and its inverse, in f64.

use super::exp::{exp, exp_sum, product, quotient, scale};
use super::log::{log, log1p};
use super::poly;
use super::special::{ERF, ERFCX, ERFINV, ERFINV_FAR, ERFINV_TAIL, MILLS, PHI};
use crate::math::Fused;
use std::f64::consts::SQRT_2;

/// 1/√π and 1/√(2π).
const FRAC_1_SQRT_PI: f64 = 0.5641895835477563;
const FRAC_1_SQRT_TAU: f64 = 0.3989422804014327;
/// The coefficients of the asymptotic series e^(t²)·erfc t = s(1/(2t²)) / (t·√π), which is s(v) = 1 - v + 3v² - 15v³ +
/// …. For t >= 27 the next term of the series is below 2^-54 (Abramowitz and Stegun, 7.1.23).
pub(super) const TAIL: [f64; 8] = [1.0, -1.0, 3.0, -15.0, 105.0, -945.0, 10_395.0, -135_135.0];
/// The coefficients of p in erfcinv(q)/(1 - q) = √w·p(1/√w - 1/11), where w = -ln(q·(2 - q)) and 6 <= √w <= 27.4. The
/// largest relative error is 2^-29.6.
pub(super) const ERFCINV_FAR: [f64; 10] = [
    0.9905678978361742,
    -0.16230763342958474,
    -0.3966972136319162,
    1.8061252265617898,
    -5.0650806862878035,
    21.37385186364189,
    -116.41333026774278,
    916.1747806118276,
    -7850.114263298868,
    32561.584807997493,
];

/// Returns e^(t²)·erfc t for t >= 1/2.
#[inline(always)]
fn erfcx_large(t: f64) -> f64 {
    let near = poly((t - 2.0) / (t + 2.0), ERFCX) / (t + 2.0);
    // for t > 1e8 the series is 1 in f64. It is not evaluated for these t, because t² may overflow
    let v = 0.5 / (t * t);
    let far = poly(if t > 1e8 { 0.0 } else { v }, TAIL) * (FRAC_1_SQRT_PI / t);
    if t > 27.3 { far } else { near }
}

/// Returns e^(x²)·erfc x, which is ∞ for x below -26.7.
#[inline(always)]
pub(crate) fn erfcx(x: f64) -> f64 {
    let a = x.abs();
    // e^(x²), including the rounding error of the square
    let t = if a > 27.0 { 27.0 } else { a };
    let z = t * t;
    let (p, p_low, k) = exp_sum(z, t.fused(t, -z));
    let square = scale(p + p_low, k);
    let small = square * (-x).fused(poly(z, ERF), 1.0 - x);
    let large = erfcx_large(a);
    let r = if x < 0.0 { 2.0 * square - large } else { large };
    if a < 0.49 { small } else { r }
}

/// Returns the inverse of erfc at q, for 0 < q <= 1; `rest` is 1 - q. One step of Halley's method improves an
/// approximation with a relative error of 2^-28.
#[inline(always)]
fn erfcinv_half(q: f64, rest: f64) -> f64 {
    let w = -log(q * (2.0 - q));
    let v = w.sqrt();
    let near = poly(w - 3.0, ERFINV);
    let tail = if w < 16.0 { poly(v - 3.2, ERFINV_TAIL) } else { poly(v - 5.0, ERFINV_FAR) };
    let far = v * poly(1.0 / v - 1.0 / 11.0, ERFCINV_FAR);
    let beyond = if w < 36.0 { tail } else { far };
    let y = rest * if w < 6.0 { near } else { beyond };
    let z = y * y;
    let low = y.fused(y, -z);
    // q·e^(y²). q is multiplied by 2^600, because q may be subnormal and e^(y²) may overflow
    let (p, p_low, k) = exp_sum(z, low);
    let grown = scale(q * super::power(600) * (p + p_low), k.wrapping_sub(600));
    // `error` is e^(y²)·(erf y - (1 - q)). For q > 0.48 it is computed from erf, because 1 - q is then exact
    let error = if q > 0.48 { y.fused(poly(z, ERF), y - rest) * exp(z) } else { grown - erfcx_large(y) };
    // 0.886… is √π/2; u is the error divided by erf's derivative
    let u = error * 0.886_226_925_452_758;
    y - u / y.fused(u, 1.0)
}

/// Returns the inverse of the complementary error function erfc at x, for x from 0 to 2.
#[inline(always)]
pub(crate) fn erfcinv(x: f64) -> f64 {
    let above = x > 1.0;
    let q = if above { 2.0 - x } else { x };
    let r = erfcinv_half(q, 1.0 - q);
    let r = if q == 0.0 { f64::INFINITY } else { r };
    let r = if q < 0.0 { f64::NAN } else { r };
    let r = if above { -r } else { r };
    if x == 1.0 { 0.0 } else { r }
}

/// Returns e^(t²/2)·Φ(-t) for t >= 1, where Φ is the distribution function of the standard normal.
#[inline(always)]
fn mills(t: f64) -> f64 {
    let near = poly((t - 5.0) / (t + 5.0), MILLS) / (t + 5.0);
    let v = 1.0 / (t * t);
    let far = poly(if t > 1e8 { 0.0 } else { v }, TAIL) * (FRAC_1_SQRT_TAU / t);
    if t > 38.6 { far } else { near }
}

/// Returns Φ(-t) for t >= 1, which is 0 in f64 from t = 38.7 on. Φ is the distribution function of the standard normal.
#[inline(always)]
fn ndtr_tail(t: f64) -> f64 {
    let t = if t > 38.7 { 38.7 } else { t };
    let z = t * t;
    let low = t.fused(t, -z);
    let (p, p_low, k) = exp_sum(-0.5 * z, -0.5 * low);
    let d = t + 5.0;
    let d_low = if t < 5.0 { (5.0 - d) + t } else { (t - d) + 5.0 };
    let g = poly((t - 5.0) / d, MILLS);
    scale(quotient(product(g, (p, p_low)), (d, d_low)), k)
}

/// Returns Φ(x), the distribution function of the standard normal.
#[inline(always)]
pub(crate) fn ndtr(x: f64) -> f64 {
    let a = x.abs();
    let tail = ndtr_tail(a);
    let r = if x > 0.0 { 1.0 - tail } else { tail };
    let small = x.fused(poly(x * x, PHI), 0.5);
    if a < 1.0 { small } else { r }
}

/// Returns ln Φ(x), where Φ is the distribution function of the standard normal. Nothing cancels for x far above or far
/// below 0.
#[inline(always)]
pub(crate) fn log_ndtr(x: f64) -> f64 {
    let a = x.abs();
    let z = a * a;
    // for x <= -1: -x²/2 + ln(e^(x²/2)·Φ(x)). `half` is x²/2, which may be finite although x² overflows, and `low` is
    // its rounding error
    let half = 0.5 * a * a;
    let low = if half < f64::INFINITY { (0.5 * a).fused(a, -half) } else { 0.0 };
    let below = (log(mills(a)) - low) - half;
    let inner = x.fused(poly(z, PHI), 0.5);
    let tail = if a < 1.0 { (-x).fused(poly(z, PHI), 0.5) } else { ndtr_tail(a) };
    let above = log1p(-tail);
    let r = if x < 0.0 { log(inner) } else { above };
    if x <= -1.0 { below } else { r }
}

/// Returns the inverse of Φ, the distribution function of the standard normal, at x, for x from 0 to 1.
#[inline(always)]
pub(crate) fn ndtri(x: f64) -> f64 {
    let above = x > 0.5;
    let p = if above { 1.0 - x } else { x };
    let r = SQRT_2 * erfcinv(2.0 * p);
    let r = if above { r } else { -r };
    if x == 0.5 { 0.0 } else { r }
}
