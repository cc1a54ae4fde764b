//! Functions of f32 that are computed in f64 and then rounded to f32. The result is correctly rounded except for a few
//! operands, but a vector holds only half as many f64 as f32.

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
    /// Returns sin(π·x).
    sinpi(x);
    /// Returns cos(π·x).
    cospi(x);
    /// Returns tan(π·x).
    tanpi(x);
    /// Returns sin(π·x) / (π·x).
    sinc(x);
    /// Returns ln(x / (1 - x)), the logit of x.
    logit(x);
    /// Returns x·ln y.
    xlogy(x, y);
    /// Returns x·ln(1 + y).
    xlog1py(x, y);
    /// Returns -x·ln x.
    entr(x);
    /// Returns x for x >= 0, and alpha·(e^x - 1) for x < 0.
    elu(x, alpha);
    /// Returns λ·x for x >= 0, and λ·α·(e^x - 1) for x < 0.
    selu(x);
    /// Returns x / 6 + 1/2 for x between -3 and 3, 0 for smaller x, and 1 for larger x.
    hard_sigmoid(x);
    /// Returns x · hard_sigmoid(x).
    hard_swish(x);
    /// Returns e^(x²)·erfc x.
    erfcx(x);
    /// Returns the inverse of the complementary error function erfc at x.
    erfcinv(x);
    /// Returns Φ(x), the distribution function of the standard normal.
    ndtr(x);
    /// Returns the inverse of Φ, the distribution function of the standard normal, at x.
    ndtri(x);
    /// Returns ψ(x), the derivative of ln Γ(x).
    digamma(x);
    /// Returns I₀(x), the modified Bessel function of order 0.
    i0(x);
    /// Returns e^-|x|·I₀(x).
    i0e(x);
    /// Returns e^-|x|·I₁(x).
    i1e(x);
    /// Returns ζ(x, q), Hurwitz' zeta function.
    zeta(x, q);
    /// Returns B(a, b), the beta function.
    beta(a, b);
    /// Returns ln |B(a, b)|.
    betaln(a, b);
    /// Returns P(a, x), the lower incomplete gamma function divided by Γ(a).
    gammainc(a, x);
    /// Returns Q(a, x), the upper incomplete gamma function divided by Γ(a).
    gammaincc(a, x);
}

/// Returns I₁(x), the modified Bessel function of order 1. If an f32 cannot represent the difference between I₁(x) and
/// x/2 for a small x, 1 is added to the bits of the f32. So a caller that rounds the result to f16 sees that it is
/// above x/2, which may be exactly halfway between two f16.
#[inline(always)]
pub(crate) fn i1(x: f32) -> f32 {
    let r = double::i1(x as f64) as f32;
    let a = x.abs();
    // true if r is x/2 and x/2 is a subnormal f16, that is, below 2^-14
    let dropped = (a > 1e-8) & (a < 1.25e-4) & (r == 0.5 * x);
    f32::from_bits(r.to_bits() + dropped as u32)
}

/// Returns ln Φ(x), where Φ is the distribution function of the standard normal. For x far below 0 the result is
/// slightly below -x²/2. If an f32 cannot represent the difference, 1 is added to the bits of the f32. So a caller that
/// rounds the result to bf16 sees the difference, even if -x²/2 is exactly halfway between two bf16.
#[inline(always)]
pub(crate) fn log_ndtr(x: f32) -> f32 {
    let d = x as f64;
    let v = double::log_ndtr(d);
    let r = v as f32;
    let square = -0.5 * d * d;
    let dropped = (x < -16.0) & (r as f64 == square) & (v < square);
    f32::from_bits(r.to_bits() + dropped as u32)
}
