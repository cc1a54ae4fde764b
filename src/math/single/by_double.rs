//! Functions of f32 that are computed in f64 and then rounded to f32. A vector holds half as many f64 as f32, but the
//! result is correctly rounded except for a few operands.

use crate::math::double;

macro_rules! rounded {
    ($($(#[doc = $doc:literal])+ $name:ident($($x:ident),+);)*) => { $(
        $(#[doc = $doc])+
        #[inline(always)]
        pub(crate) fn $name($($x: f32),+) -> f32 {
            double::$name($($x as f64),+) as f32
        }
    )* };
}

rounded! {
    /// sin(π·x).
    sinpi(x);
    /// cos(π·x).
    cospi(x);
    /// tan(π·x).
    tanpi(x);
    /// sin(π·x) / (π·x).
    sinc(x);
    /// ln(x / (1 - x)).
    logit(x);
    /// x·ln y.
    xlogy(x, y);
    /// x·ln(1 + y).
    xlog1py(x, y);
    /// -x·ln x.
    entr(x);
    /// x for x >= 0, alpha·(e^x - 1) below.
    elu(x, alpha);
    /// λ·x for x >= 0, λ·α·(e^x - 1) below.
    selu(x);
    /// x / 6 + 1/2 between -3 and 3, 0 below and 1 above.
    hard_sigmoid(x);
    /// x · hard_sigmoid(x).
    hard_swish(x);
    /// e^(x²)·erfc x.
    erfcx(x);
    /// The inverse of erfc.
    erfcinv(x);
    /// Φ(x), the distribution function of the standard normal.
    ndtr(x);
    /// The inverse of Φ, the distribution function of the standard normal.
    ndtri(x);
    /// ψ(x), the derivative of ln Γ(x).
    digamma(x);
    /// I₀(x), the modified Bessel function of order 0.
    i0(x);
    /// e^-|x|·I₀(x).
    i0e(x);
    /// e^-|x|·I₁(x).
    i1e(x);
    /// ζ(x, q), Hurwitz' zeta function.
    zeta(x, q);
    /// B(a, b), the beta function.
    beta(a, b);
    /// ln |B(a, b)|.
    betaln(a, b);
    /// P(a, x), the lower incomplete gamma function divided by Γ(a).
    gammainc(a, x);
    /// Q(a, x), the upper incomplete gamma function divided by Γ(a).
    gammaincc(a, x);
}

/// I₁(x), the modified Bessel function of order 1. For a small x it is slightly more than x/2, and the difference may
/// be too small for an f32. A caller may round the result to f16. If it is a subnormal f16, x/2 is often exactly
/// halfway between two f16, and this small excess decides the direction. Adding 1 to the bits of the f32 keeps the
/// information that there is an excess.
#[inline(always)]
pub(crate) fn i1(x: f32) -> f32 {
    let r = double::i1(x as f64) as f32;
    let a = x.abs();
    // true if r is x/2 and x/2 is a subnormal f16, that is, below 2^-14
    let dropped = (a > 1e-8) & (a < 1.25e-4) & (r == 0.5 * x);
    f32::from_bits(r.to_bits() + dropped as u32)
}

/// ln Φ(x), where Φ is the distribution function of the standard normal. For x far below 0 it is -x²/2 minus a
/// logarithm that an f32 may not be able to represent beside -x²/2. If x is a bf16, -x²/2 is often exactly halfway
/// between two bf16, and the logarithm decides the direction of rounding. Adding 1 to the bits of the f32 keeps the
/// information that there is such a remainder.
#[inline(always)]
pub(crate) fn log_ndtr(x: f32) -> f32 {
    let d = x as f64;
    let v = double::log_ndtr(d);
    let r = v as f32;
    let square = -0.5 * d * d;
    let dropped = (x < -16.0) & (r as f64 == square) & (v < square);
    f32::from_bits(r.to_bits() + dropped as u32)
}
