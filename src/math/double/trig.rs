//! Trigonometric functions of f64 and their inverses.

use super::{ROUND, poly};
use crate::math::Fused;
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2, FRAC_PI_4, PI};

/// The coefficients of s in sin r = r + r³·s(r²), for |r| <= π/4. The largest relative error is 2^-56.
pub(super) const SIN: [f64; 6] = [
    -0.1666666666666663,
    0.00833333333332211,
    -0.0001984126982958165,
    2.755731361850255e-06,
    -2.5050747288891736e-08,
    1.5896201416013438e-10,
];
/// The coefficients of c in cos r = 1 - r²/2 + r⁴·c(r²), for |r| <= π/4. The largest relative error is 2^-59.
pub(super) const COS: [f64; 6] = [
    0.041666666666666595,
    -0.0013888888888873043,
    2.480158728884212e-05,
    -2.755731417641512e-07,
    2.0875700436194254e-09,
    -1.1358514829825755e-11,
];
/// The coefficients of t in tan r = r + r³·t(r²), for |r| <= π/4. The largest relative error is 2^-55.6.
pub(super) const TAN: [f64; 14] = [
    0.33333333333332776,
    0.13333333333414552,
    0.05396825392670309,
    0.021869489608146067,
    0.008863219176314937,
    0.0035922889712951553,
    0.001454758604708507,
    0.0005950621401831469,
    0.00022238728792753056,
    0.00013651039399778235,
    -2.6365017335912378e-05,
    8.943300494694667e-05,
    -4.486615760028143e-05,
    2.0860763017780415e-05,
];
/// The coefficients of a in atan r = r + r³·a(r²), for |r| <= tan(π/8). The largest relative error is 2^-57.4.
pub(super) const ATAN: [f64; 11] = [
    -0.3333333333333319,
    0.1999999999995283,
    -0.14285714280122128,
    0.11111110779835577,
    -0.09090897656085442,
    0.07692058447326436,
    -0.06663084350398628,
    0.05847748383036808,
    -0.050386789098048945,
    0.038048860352293205,
    -0.01789020384526294,
];
/// π/2 = `FRAC_PI_2` + `PIO2_MID` + `PIO2_LO`. Each constant is the f64 nearest to what the constants before it leave.
const PIO2_MID: f64 = 6.123233995736766e-17;
const PIO2_LO: f64 = -1.4973849048591698e-33;

/// The largest |x| that `reduce` accepts. Larger |x| are computed by `libm`, one element at a time, without SIMD.
pub(crate) const NEAR: f64 = 1_000_000.0;

/// Returns `(r, low, k)` with x = q·π/2 + r + low and |r| <= π/4, for |x| <= `NEAR`. The low bits of k are the low bits
/// of the integer q.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64, u64) {
    let k = x.fused(FRAC_2_PI, ROUND);
    let n = k - ROUND;
    // r is exact: it is x itself if n is 0, and otherwise a multiple of 2^-53 below 1, which fits into an f64
    let r = (-n).fused(FRAC_PI_2, x);
    let p = n * PIO2_MID;
    let e = n.fused(PIO2_MID, -p);
    let hi = r - p;
    let low = ((r - hi) - p) - e;
    (hi, (-n).fused(PIO2_LO, low), k.to_bits())
}

/// Returns sin(q·π/2 + r + low).
#[inline(always)]
pub(super) fn sine((r, low, q): (f64, f64, u64)) -> f64 {
    let z = r * r;
    let s = r + (r * z).fused(poly(z, SIN), low);
    let h = 0.5 * z;
    let w = 1.0 - h;
    let c = w + (((1.0 - w) - h) + (z * z).fused(poly(z, COS), -(r * low)));
    // the result is s for even q and c for odd q. A mask selects it, because the compiler would turn an `if` into a
    // branch in each lane
    let (s, c) = (s.to_bits(), c.to_bits());
    let v = s ^ ((s ^ c) & (q & 1).wrapping_neg());
    f64::from_bits(v ^ ((q & 2) << 62))
}

/// Returns sin x for |x| <= `NEAR`, with the same bits as [`sin`] but without branches.
#[inline(always)]
pub(crate) fn sin_near(x: f64) -> f64 {
    let r = sine(reduce(x));
    if x == 0.0 { x } else { r }
}

/// Returns cos x for |x| <= `NEAR`, with the same bits as [`cos`] but without branches.
#[inline(always)]
pub(crate) fn cos_near(x: f64) -> f64 {
    let (r, low, q) = reduce(x);
    sine((r, low, q.wrapping_add(1)))
}

/// Returns sin x.
#[inline(always)]
pub(crate) fn sin(x: f64) -> f64 {
    if x.abs() <= NEAR { sin_near(x) } else { libm::sin(x) }
}

/// Returns cos x.
#[inline(always)]
pub(crate) fn cos(x: f64) -> f64 {
    if x.abs() <= NEAR { cos_near(x) } else { libm::cos(x) }
}

/// Returns tan x for |x| <= `NEAR`, with the same bits as [`tan`] but without branches.
#[inline(always)]
pub(crate) fn tan_near(x: f64) -> f64 {
    let (r, low, q) = reduce(x);
    let z = r * r;
    let t = r + (r * z).fused(poly(z, TAN), z.fused(low, low));
    let odd = q & 1 != 0;
    let v = (if odd { -1.0 } else { t }) / (if odd { t } else { 1.0 });
    if x == 0.0 { x } else { v }
}

/// Returns tan x.
#[inline(always)]
pub(crate) fn tan(x: f64) -> f64 {
    if x.abs() <= NEAR { tan_near(x) } else { libm::tan(x) }
}

/// Returns asin x.
#[inline(always)]
pub(crate) fn asin(x: f64) -> f64 {
    libm::asin(x)
}

/// Returns acos x.
#[inline(always)]
pub(crate) fn acos(x: f64) -> f64 {
    libm::acos(x)
}

/// Returns atan(n/d) for 0 <= n <= d and d > 0.
#[inline(always)]
fn angle(n: f64, d: f64) -> f64 {
    // a slope q above tan(π/8) is reduced by an angle of π/4: atan q = π/4 + atan((q - 1)/(q + 1))
    let q = n / d;
    let turned = q > 0.414_213_562_373_095_03;
    let sum = q + 1.0;
    let back = (q - 1.0) / sum;
    // the rounding errors of `sum` and of the quotient `back`
    let lost = ((-back).fused(sum, q - 1.0) - back * (q - (sum - 1.0))) / sum;
    let t = if turned { back } else { q };
    let z = t * t;
    let p = (t * z).fused(poly(z, ATAN), t);
    // an error `lost` of t changes atan t by `lost`/(1 + t²), which is about `lost`·(1 - t² + t⁴). 0.5·PIO2_MID is the
    // low part of π/4
    if turned { FRAC_PI_4 + (p + (0.5 * PIO2_MID + lost * z.fused(z - 1.0, 1.0))) } else { p }
}

/// Returns atan x.
#[inline(always)]
pub(crate) fn atan(x: f64) -> f64 {
    let a = x.abs();
    let steep = a > 1.0;
    let r = angle(if steep { 1.0 } else { a }, if steep { a } else { 1.0 });
    (if steep { FRAC_PI_2 - (r - PIO2_MID) } else { r }).copysign(x)
}

/// Returns the angle between the positive x axis and the direction of the point (x, y).
#[inline(always)]
pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    let (v, u) = (y.abs(), x.abs());
    let steep = v > u;
    let (n, d) = if steep { (u, v) } else { (v, u) };
    // the slope is 0 for 0/0 and 1 for ∞/∞, as IEEE 754 defines atan2
    let same = n == d;
    let none = n + d == 0.0;
    let n = if same { if none { 0.0 } else { 1.0 } } else { n };
    let r = angle(n, if same { 1.0 } else { d });
    let r = if steep { FRAC_PI_2 - (r - PIO2_MID) } else { r };
    let r = if x.is_sign_negative() { PI - (r - 2.0 * PIO2_MID) } else { r };
    r.copysign(y)
}
