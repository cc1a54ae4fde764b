//! x to the power y in f64: 2^(y·log2 x), with log2 x as a sum of two f64 with an error of 2^-64.

use super::exp::{pow2_sum, scale};
use super::log::split;
use super::poly;
use crate::math::Fused;
use std::f64::consts::LOG2_E;

/// log2(e) minus `LOG2_E`, the f64 nearest to log2(e).
const LOG2_E_LO: f64 = super::log::LOG2_E_LO;
/// 2/3 = `C_HI` + `C_LO`.
const C_HI: f64 = 2.0 / 3.0;
const C_LO: f64 = 3.700743415417188e-17;
/// The coefficients of q in 2·atanh s = 2s + s³·(2/3 + s²·q(s²)), for |s| <= 0.172. The largest relative error is
/// 2^-64.6.
pub(super) const ATANH: [f64; 7] = [
    0.40000000000002256,
    0.2857142857010036,
    0.22222222519775925,
    0.181817843805091,
    0.153867566936111,
    0.13256833024611145,
    0.1319618334734081,
];

/// Returns log2 x as a sum of two f64, for positive finite x. Below, each variable with the suffix `_low` is the
/// rounding error of the variable without it.
#[inline(always)]
pub(super) fn log2_sum(x: f64) -> (f64, f64) {
    let (f, e) = split(x);
    // s = f/(2 + f)
    let d = 2.0 + f;
    let inv = 1.0 / d;
    let s = f * inv;
    let s_low = ((-s).fused(d, f) - s * ((2.0 - d) + f)) * inv;
    // z = s²
    let z = s * s;
    let z_low = s.fused(s, -z) + 2.0 * (s * s_low);
    // u = 2/3 + z·q(z), w = z·u, v = 2 + w
    let t = z * poly(z, ATANH);
    let u = C_HI + t;
    let u_low = ((C_HI - u) + t) + C_LO;
    let w = z * u;
    let w_low = z.fused(u, -w) + z.fused(u_low, z_low * u);
    let v = 2.0 + w;
    let v_low = ((2.0 - v) + w) + w_low;
    // ln = s·v
    let l = s * v;
    let l_low = s.fused(v, -l) + s.fused(v_low, s_low * v);
    // log2 = e + ln·log2(e)
    let g = l * LOG2_E;
    let g_low = l.fused(LOG2_E, -g) + l.fused(LOG2_E_LO, l_low * LOG2_E);
    let h = e + g;
    (h, ((e - h) + g) + g_low)
}

/// Returns x to the power y, with the special cases of IEEE 754.
#[inline(always)]
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    let a = x.abs();
    let (h, low) = log2_sum(a);
    let h = if a == 0.0 { f64::NEG_INFINITY } else { h };
    let h = if a < f64::INFINITY { h } else { a };
    let t = y * h;
    let t_low = y.fused(h, -t) + y * low;
    let t_low = if t.abs() < 1100.0 { t_low } else { 0.0 };
    // for an exponent outside of these bounds the result is 0 or ∞, and `pow2_sum` needs a bounded exponent
    let t = if t < -1100.0 { -1100.0 } else { t };
    let t = if t > 1030.0 { 1030.0 } else { t };
    let (p, k) = pow2_sum(t, t_low);
    let r = scale(p, k);
    let r = if a == 1.0 { if y.is_nan() { y } else { 1.0 } } else { r };
    // for a finite negative x, the result is negative if y is odd, and NaN if y is not an integer
    let whole = y == y.floor();
    let half = 0.5 * y;
    let odd = whole & (half != half.floor());
    let r = if odd { r.copysign(x) } else { r };
    let r = if (x < 0.0) & (a < f64::INFINITY) & !whole { f64::NAN } else { r };
    if (y == 0.0) | (x == 1.0) { 1.0 } else { r }
}
