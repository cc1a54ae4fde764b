//! Functions of f64.
//!
//! Polynomials are minimax fits (Remez exchange in 60 digits, rounded to f64), with the coefficient of the lowest power
//! first. The comment of a polynomial states its largest relative error: the largest error on the interval, divided by
//! the function's value.

mod activation;
mod bessel;
mod beta;
mod exp;
mod gamma;
mod incomplete;
mod lgamma;
mod log;
mod normal;
mod pi;
mod pow;
mod special;
mod trig;
mod zeta;

pub(crate) use activation::{elu, entr, hard_sigmoid, hard_swish, logit, selu, xlog1py, xlogy};
pub(crate) use bessel::{i0, i0e, i1, i1e};
pub(crate) use beta::{beta, betaln};
pub(crate) use exp::{cosh, sinh, tanh};
pub(crate) use exp::{exp, exp2, expm1, gelu_tanh, logaddexp, sigmoid, silu, softplus};
pub(crate) use gamma::digamma;
pub(crate) use incomplete::{gammainc, gammaincc};
pub(crate) use lgamma::lgamma;
pub(crate) use log::{LOG, acosh, asinh, atanh, log, log1p, log2, log10};
pub(crate) use normal::{erfcinv, erfcx, log_ndtr, ndtr, ndtri};
pub(crate) use pi::{cospi, sinc, sinpi, tanpi};
pub(crate) use pow::pow;
pub(in crate::math) use special::{ERFINV, ERFINV_TAIL};
pub(crate) use special::{cbrt, erf, erfc, erfinv, gelu, hypot};
pub(crate) use trig::{NEAR, cos_near, sin_near};
pub(crate) use trig::{acos, asin, atan, atan2, cos, sin, tan};
pub(crate) use zeta::zeta;

/// The polynomials that the f64 functions of a GPU share with the functions here: the name of each in WGSL (`cd_poly_`
/// followed by this name) and its coefficients, lowest first.
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "only shaders are generated from it"))]
pub(crate) const POLYNOMIALS: [(&str, &[f64]); 36] = [
    ("exp", &exp::EXP),
    ("log", &log::LOG),
    ("log2", &pow::ATANH),
    ("sin", &trig::SIN),
    ("cos", &trig::COS),
    ("tan", &trig::TAN),
    ("atan", &trig::ATAN),
    ("cbrt", &special::CBRT),
    ("erf", &special::ERF),
    ("erfcx", &special::ERFCX),
    ("mills", &special::MILLS),
    ("phi", &special::PHI),
    ("erfinv", &special::ERFINV),
    ("erfinv_tail", &special::ERFINV_TAIL),
    ("erfinv_far", &special::ERFINV_FAR),
    ("erfcinv_far", &normal::ERFCINV_FAR),
    ("tail", &normal::TAIL),
    ("digamma", &gamma::DIGAMMA),
    ("i0", &bessel::I0),
    ("i1", &bessel::I1),
    ("i0_far", &bessel::I0_FAR),
    ("i1_far", &bessel::I1_FAR),
    ("lgamma1p", &incomplete::LGAMMA1P),
    ("stirling", &incomplete::STIRLING),
    ("temme0", &incomplete::TEMME[0]),
    ("temme1", &incomplete::TEMME[1]),
    ("temme2", &incomplete::TEMME[2]),
    ("temme3", &incomplete::TEMME[3]),
    ("temme4", &incomplete::TEMME[4]),
    ("temme5", &incomplete::TEMME[5]),
    ("temme6", &incomplete::TEMME[6]),
    ("temme7", &incomplete::TEMME[7]),
    ("temme8", &incomplete::TEMME[8]),
    ("temme9", &incomplete::TEMME[9]),
    ("temme10", &incomplete::TEMME[10]),
    ("temme11", &incomplete::TEMME[11]),
];

use crate::math::Fused;

/// 1.5·2^52. For |x| <= 2^51 the low bits of `x + ROUND` are the integer nearest to x (ties to even), and subtracting
/// `ROUND` again gives that integer as a float.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Evaluates the polynomial with these coefficients, lowest first, by Horner's rule.
#[inline(always)]
pub(in crate::math) fn poly<const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut r = c[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        r = r.fused(x, c[i]);
    }
    r
}

/// Returns `1/√x`.
#[inline(always)]
pub(crate) fn rsqrt(x: f64) -> f64 {
    1.0 / x.sqrt()
}

/// C's `fmod`: returns x - q·y exactly, where q is x / y truncated to an integer. The result has the sign of `x`.
#[inline(always)]
pub(crate) fn fmod(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let q = (a / b).floor();
    if (q < 4_503_599_627_370_496.0) & (b < f64::INFINITY) {
        // below 2^52, q is the quotient's integer part or one more, so the remainder is an f64 and the fused
        // multiply-add is exact
        let r = (-q).fused(b, a);
        (if r < 0.0 { r + b } else { r }).copysign(x)
    } else {
        x % y
    }
}

same_code!(f64, u64);

/// Returns a + t·(b − a), the linear interpolation between a and b.
#[inline(always)]
pub(crate) fn lerp(a: f64, b: f64, t: f64) -> f64 {
    t.fused(b - a, a)
}

/// The three parts `TURN_HI`, `TURN_MID` and `TURN_LO` add up to 2/π·2^b modulo 4, for b = 0, 27, 54 and 81, with an
/// error of 2^-115. `TURN_HI` and `TURN_MID` have at most 29 bits, so their products with an f32 are exact in f64.
const TURN_HI: [f64; 4] = [0.6366197727620602, -0.552946051582694, 1.2910009510815144, -1.313905093818903];
const TURN_MID: [f64; 4] =
    [-3.9447882200366324e-10, 3.054809009916948e-10, 1.3865150867709009e-09, -1.4592781601152627e-09];
const TURN_LO: [f64; 4] =
    [-3.260751408868143e-19, -7.799845648143895e-20, -4.641286873209999e-19, 2.801978957814423e-19];

/// Returns `(f, q)` with x·2/π = q + f modulo 4 and |f| <= 1/2, for x of at most 24 significant bits (an f32). Only the
/// low two bits of q are correct: the number of quarter turns, modulo 4.
///
/// For |x| >= 2^50, x is scaled by 2^-b and 2/π by 2^b, so that x is an integer in [2^23, 2^50). The constants are the
/// scaled 2/π modulo 4, because a multiple of 4 adds only whole turns.
#[inline(always)]
pub(crate) fn quarter_turns(x: f64) -> (f64, u32) {
    let a = x.abs();
    let band = (a >= power(50), a >= power(77), a >= power(104));
    let x = x * pick(band, [1.0, power(-27), power(-54), power(-81)]);
    let t = x * pick(band, TURN_HI);
    let k = t + ROUND;
    let f = t - (k - ROUND);
    let mid = pick(band, TURN_MID);
    let l = x.fused(mid, f) + ROUND;
    let f = x.fused(mid, f - (l - ROUND));
    (x.fused(pick(band, TURN_LO), f), (k.to_bits() as u32).wrapping_add(l.to_bits() as u32))
}

/// Returns `c[0]` if no condition is true, else the element of c for the last true condition. If a condition is true,
/// the conditions before it are true too. Comparisons replace a table in memory, which would need a gather instruction.
#[inline(always)]
fn pick((p, q, r): (bool, bool, bool), c: [f64; 4]) -> f64 {
    let v = if p { c[1] } else { c[0] };
    let v = if q { c[2] } else { v };
    if r { c[3] } else { v }
}

/// Returns 2^n.
const fn power(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}
