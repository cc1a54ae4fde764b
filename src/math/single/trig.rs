//! Trigonometric functions of f32 and their inverses.

use super::{ROUND, poly};
use crate::math::Fused;
use crate::math::double::{self, quarter_turns};
use std::f32::consts::{FRAC_2_PI, FRAC_PI_2, PI};

/// The coefficients of s in sin r = r + r³·s(r²), for |r| <= 0.79. The largest relative error is 2^-27.8.
const SIN: [f32; 3] = [-0.166_666_54, 0.008_332_105, -0.000_195_076_51];
/// The coefficients of c in cos r = 1 - r²/2 + r⁴·c(r²), for |r| <= 0.79. The largest relative error is 2^-32.8.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_73, 2.443_053e-5];
/// The coefficients of t in tan r = r + r³·t(r²), for |r| <= 0.787. The largest relative error is 2^-33.3.
const TAN: [f64; 8] = [
    0.333_333_317_935_700_6,
    0.133_334_129_852_542_06,
    0.053_954_261_758_021_59,
    0.021_987_330_174_878_247,
    0.008_321_212_243_948_566,
    0.005_014_032_917_761_904,
    -0.000_618_838_460_935_617_2,
    0.002_051_177_837_005_233,
];
/// The coefficients of a in asin r = r + r³·a(r²), for |r| <= 1/2. The largest relative error is 2^-27.6.
const ASIN: [f32; 5] = [0.166_667_52, 0.074_953_094, 0.045_469_33, 0.024_182_865, 0.042_163_275];
/// The coefficients of a in atan r = r + r³·a(r²), for |r| <= 1. The largest relative error is 2^-28.5.
const ATAN: [f32; 9] = [
    -0.333_333,
    0.199_985_3,
    -0.142_640_43,
    0.109_511_89,
    -0.084_006_935,
    0.057_912_987,
    -0.031_135_757,
    0.010_893_143,
    -0.001_789_048_9,
];
/// π/2 = `FRAC_PI_2` + `PIO2_MID` + `PIO2_LO`. Each constant is the f32 nearest to what the constants before it leave.
const PIO2_MID: f32 = -4.371_139e-8;
const PIO2_LO: f32 = -1.715_124_9e-15;

/// The largest |x| that `reduce_near` accepts, 2^17. Larger numbers need more bits of π, which `quarter_turns` has.
pub(crate) const NEAR: f32 = 131_072.0;

/// Returns `(r, low, k)` with x = q·π/2 + r + low and |r| <= 0.79, for |x| <= `NEAR`. The low bits of k are the low
/// bits of q; callers use two of these bits.
#[inline(always)]
fn reduce_near(x: f32) -> (f32, f32, u32) {
    let k = x.fused(FRAC_2_PI, ROUND);
    let n = k - ROUND;
    // r is exact: it is x itself if n is 0, and otherwise a multiple of 2^-24 below 1, which fits into an f32
    let r = (-n).fused(FRAC_PI_2, x);
    let p = n * PIO2_MID;
    let e = n.fused(PIO2_MID, -p);
    let hi = r - p;
    let low = ((r - hi) - p) - e;
    (hi, (-n).fused(PIO2_LO, low), k.to_bits())
}

/// Returns `(r, low, k)` with x = q·π/2 + r + low for any finite x. It computes both `reduce_near` and `quarter_turns`,
/// and selects one of the two results, because a branch would not vectorise.
#[inline(always)]
fn reduce(x: f32) -> (f32, f32, u32) {
    let (r, low, q) = reduce_near(x);
    let (f, far) = quarter_turns(x as f64);
    let wide = f * std::f64::consts::FRAC_PI_2;
    let near = x.abs() <= NEAR;
    // `rest` is the rounding error of the angle in f32; without it, results near 1/4 would be less accurate
    let rest = (wide - wide as f32 as f64) as f32;
    (
        if near { r } else { wide as f32 },
        if near { low } else { mutant!(far_angle_loses_its_low_part, 0.0, rest) },
        if near { q } else { far },
    )
}

/// Returns sin(q·π/2 + r + low).
#[inline(always)]
fn sine((r, low, q): (f32, f32, u32)) -> f32 {
    let z = r * r;
    let s = r + (r * z).fused(poly(z, SIN), low);
    // w is 1 - z/2; its rounding error is added with the small terms
    let w = z.fused(-0.5, 1.0);
    let c = w + (z * z).fused(poly(z, COS), z.fused(-0.5, 1.0 - w) - r * low);
    let v = if q & 1 == 0 { s } else { c };
    f32::from_bits(v.to_bits() ^ ((q & 2) << 30))
}

/// Returns sin x.
#[inline(always)]
pub(crate) fn sin(x: f32) -> f32 {
    let r = sine(reduce(x));
    if x == 0.0 { x } else { r }
}

/// Returns cos x.
#[inline(always)]
pub(crate) fn cos(x: f32) -> f32 {
    let (r, low, q) = reduce(x);
    sine((r, low, q.wrapping_add(1)))
}

/// Returns sin x for |x| <= `NEAR`, with the same bits as [`sin`]. It is faster, because it omits the reduction for
/// larger x in f64, which takes most of the time.
#[inline(always)]
pub(crate) fn sin_near(x: f32) -> f32 {
    let r = sine(reduce_near(x));
    if x == 0.0 { x } else { r }
}

/// Returns cos x for |x| <= `NEAR`, with the same bits as [`cos`]. It is faster, because it omits the reduction for
/// larger x in f64, which takes most of the time.
#[inline(always)]
pub(crate) fn cos_near(x: f32) -> f32 {
    let (r, low, q) = reduce_near(x);
    sine((r, low, q.wrapping_add(1)))
}

/// Returns tan x, computed in f64.
#[inline(always)]
pub(crate) fn tan(x: f32) -> f32 {
    let (f, q) = quarter_turns(x as f64);
    let r = f * std::f64::consts::FRAC_PI_2;
    let z = r * r;
    let t = (r * z).fused(double::poly(z, TAN), r);
    let odd = q & 1 != 0;
    let v = (if odd { -1.0 } else { t }) / (if odd { t } else { 1.0 });
    if x == 0.0 { x } else { v as f32 }
}

/// Returns `(large, s, t)` for 0 <= a <= 1, where `large` states whether a > 1/2. asin a is π/2 - 2·(s + t) if `large`
/// is true, and s + t otherwise.
#[inline(always)]
fn asin_parts(a: f32) -> (bool, f32, f32) {
    let large = a > 0.5;
    let h = a.fused(-0.5, 0.5);
    let s = if large { h.sqrt() } else { a };
    let z = if large { h } else { a * a };
    (large, s, s * z * poly(z, ASIN))
}

/// Returns asin x.
#[inline(always)]
pub(crate) fn asin(x: f32) -> f32 {
    let (large, s, t) = asin_parts(x.abs());
    // h is π/2 - 2s. `end` adds what h lacks: its rounding error, -2t, and the low part of π/2
    let h = (-2f32).fused(s, FRAC_PI_2);
    let end = h + ((-2f32).fused(s, FRAC_PI_2 - h) - 2f32.fused(t, -PIO2_MID));
    (if large { end } else { s + t }).copysign(x)
}

/// Returns acos x.
#[inline(always)]
pub(crate) fn acos(x: f32) -> f32 {
    let (large, s, t) = asin_parts(x.abs());
    let p = (s + t).copysign(x);
    let middle = FRAC_PI_2 - (p - PIO2_MID);
    let end = if x < 0.0 { PI } else { 0.0 };
    if large { 2f32.fused(p, end) } else { middle }
}

/// Returns atan x.
#[inline(always)]
pub(crate) fn atan(x: f32) -> f32 {
    let a = x.abs();
    let large = a > 1.0;
    let t = if large { 1.0 / a } else { a };
    let z = t * t;
    let p = (t * z)
        .fused(poly(z, mutant!(atan_coefficient, ATAN.map(|c| if c == ATAN[0] { -0.333_033 } else { c }), ATAN)), t);
    (if large { FRAC_PI_2 - (p - PIO2_MID) } else { p }).copysign(x)
}
