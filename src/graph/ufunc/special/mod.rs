//! The rows of the table of ufuncs for special functions and for activation functions.

mod integrals;
mod reference;
mod slopes;

use crate::math::{double, single};

/// Calls the macro `$m` with this file's rows: `define!` makes statics from them, and `methods!`
/// (`ops/functions/mod.rs`) makes methods.
macro_rules! rows {
    ($m:path) => { $m! {
        /// Returns erf(x), the error function.
        erf(x): Float {
            threaded: f32,
            cpu_float: [single::erf(x), double::erf(x)], wgsl_f32: "m_erf({a})", wgsl_f64: "d_erf({a})", exact: { libm::erf(x) },
            domain: [-5.0, 5.0], shader_cost: 32,
            derivative(g, out): [{ g * ((-x.square()).exp() * std::f64::consts::FRAC_2_SQRT_PI) }],
        }
        /// Returns 1 − erf(x), without cancellation in the tail.
        erfc(x): Float {
            cpu_float: [single::erfc(x), double::erfc(x)], wgsl_f32: "m_erfc({a})", wgsl_f64: "d_erfc({a})", exact: { libm::erfc(x) },
            domain: [-5.0, 11.0],
            cost: 20,
            derivative(g, out): [{ -(g * ((-x.square()).exp() * std::f64::consts::FRAC_2_SQRT_PI)) }],
        }
        /// Returns the inverse of the error function `erf`.
        #[doc(alias("inverse_erf"))]
        erfinv(x): Float {
            cpu_float: [single::erfinv(x), double::erfinv(x)], wgsl_f32: "m_erfinv({a})", wgsl_f64: "d_erfinv({a})",
            exact: { exact::erfinv(x) },
            domain: [-1.0, 1.0], cost: 37, shader_cost: 32,
            derivative(g, out): [{ g * (out.square().exp() * (1.0 / std::f64::consts::FRAC_2_SQRT_PI)) }],
        }
        /// Returns log(|Γ(x)|).
        #[doc(alias("gammaln", "loggamma"))]
        lgamma(x): Float {
            cpu_float: [single::lgamma(x), double::lgamma(x)], wgsl_f32: "m_lgamma({a})", wgsl_f64: "d_lgamma({a})", exact: { libm::lgamma(x) },
            domain: [-20.0, 100.0],
            cost: 81, shader_cost: 32,
            derivative(g, out): [{ g * x.digamma() }],
        }
        /// Returns 1 / (1 + exp(−x)).
        #[doc(alias("expit", "logistic"))]
        sigmoid(x): Float {
            threaded: f32,
            cpu_float: [single::sigmoid(x), double::sigmoid(x)], wgsl_f32: "m_sigmoid({a})", wgsl_f64: "d_sigmoid({a})",
            exact: { exact::sigmoid(x) },
            domain: [-100.0, 100.0],
            cost: 15,
            derivative(g, out): [{ g * (out * one_minus(out)) }],
        }
        /// Returns log(1 + exp(x)) without overflow.
        softplus(x): Float {
            threaded: f32,
            cpu_float: [single::softplus(x), double::softplus(x)], wgsl_f32: "m_softplus({a})", wgsl_f64: "d_softplus({a})",
            exact: { exact::softplus(x) }, domain: [-100.0, 100.0],
            cost: 28,
            derivative(g, out): [{ g * x.sigmoid() }],
        }
        /// Returns max(x, 0), and NaN for NaN.
        relu(x): Numeric {
            cpu_float: [super::float::maximum32(x, 0.0), super::float::maximum64(x, 0.0)],
            cpu_int: { if x.is_negative_value() != 0 { 0 } else { x } },
            wgsl_f32: "m_max({a}, 0.0)", wgsl_f64: "d_max({a}, 0.0lf)", wgsl_int: "max({a}, {T}(0))", wgsl_long: "max_{T}({a}, bool_to_{T}(false))",
            exact: { if x.is_nan() { x } else if x > 0.0 { x } else { 0.0 } }, exact_int: { x.max(0) },
            domain: [-10.0, 10.0], is: [never_rounds, keeps_range, opaque],
            derivative(g, out): [{ select(out.greater(0.0), g, 0.0) }],
        }
        /// Returns x · sigmoid(x).
        #[doc(alias("swish"))]
        silu(x): Float {
            threaded: f32,
            cpu_float: [single::silu(x), double::silu(x)], wgsl_f32: "m_silu({a})", wgsl_f64: "d_silu({a})", exact: { exact::silu(x) },
            domain: [-100.0, 100.0],
            cost: 13,
            derivative(g, out): [{ g * silu_slope(x, out) }],
        }
        /// Returns x · Φ(x), where Φ is the distribution function of the standard normal distribution, in the exact
        /// form (by erfc).
        gelu(x): Float {
            threaded: f32,
            cpu_float: [single::gelu(x), double::gelu(x)], wgsl_f32: "m_gelu({a})", wgsl_f64: "d_gelu({a})", exact: { exact::gelu(x) },
            domain: [-20.0, 20.0],
            cost: 22,
            derivative(g, out): [{ g * gelu_slope(x) }],
        }
        /// Returns x · Φ(x) like `gelu`, but with the tanh approximation of Φ.
        #[doc(alias("gelu_new", "gelu_fast"))]
        gelu_tanh(x): Float {
            threaded: f32,
            cpu_float: [single::gelu_tanh(x), double::gelu_tanh(x)], wgsl_f32: "m_gelu_tanh({a})", wgsl_f64: "d_gelu_tanh({a})",
            exact: { exact::gelu_tanh(x) },
            domain: [-20.0, 20.0],
            cost: 25,
            derivative(g, out): [{ g * tanh_gelu_slope(x, out) }],
        }
        /// Returns sin(π·x): exactly 0 (with the sign of x) if x is an integer, and NaN at ±∞.
        sinpi(x): Float {
            cpu_float: [single::sinpi(x), double::sinpi(x)], wgsl_f32: "m_sinpi({a})", wgsl_f64: "d_sinpi({a})", exact: { reference::sinpi(x) },
            domain: [-100.0, 100.0],
            derivative(g, out): [{ g * (x.cospi() * std::f64::consts::PI) }],
        }
        /// Returns cos(π·x): exactly 0 halfway between integers, and NaN at ±∞.
        cospi(x): Float {
            cpu_float: [single::cospi(x), double::cospi(x)], wgsl_f32: "m_cospi({a})", wgsl_f64: "d_cospi({a})", exact: { reference::cospi(x) },
            domain: [-100.0, 100.0],
            derivative(g, out): [{ -(g * (x.sinpi() * std::f64::consts::PI)) }],
        }
        /// Returns tan(π·x). As in IEEE 754, the result is ±0 at integers and ±∞ halfway between them. For an even
        /// integer n, tanpi(n) is 0 with the sign of n, and tanpi(n + 1/2) is ∞; for an odd n, both have the opposite
        /// sign. The result at ±∞ is NaN.
        tanpi(x): Float {
            cpu_float: [single::tanpi(x), double::tanpi(x)], wgsl_f32: "m_tanpi({a})", wgsl_f64: "d_tanpi({a})", exact: { reference::tanpi(x) },
            domain: [-100.0, 100.0], shader_cost: 16,
            derivative(g, out): [{ g * ((out.square() + 1.0) * std::f64::consts::PI) }],
        }
        /// Returns sin(π·x) / (π·x), NumPy's normalised sinc: 1 at 0, exactly 0 at all other integers, and NaN at ±∞,
        /// as in NumPy.
        sinc(x): Float {
            cpu_float: [single::sinc(x), double::sinc(x)], wgsl_f32: "m_sinc({a})", wgsl_f64: "d_sinc({a})", exact: { reference::sinc(x) },
            domain: [-100.0, 100.0], shader_cost: 16,
            derivative(g, out): [{ g * sinc_slope(x, out) }],
        }
        /// Returns log(x / (1 − x)), the inverse of `sigmoid`: −∞ at 0, ∞ at 1, and NaN outside 0..=1.
        logit(x): Float {
            cpu_float: [single::logit(x), double::logit(x)], wgsl_f32: "m_logit({a})", wgsl_f64: "d_logit({a})", exact: { reference::logit(x) },
            domain: [0.0, 1.0], cost: 16, shader_cost: 24,
            derivative(g, out): [{ g / (x * one_minus(x)) }],
        }
        /// Returns x · log(y), and 0 where x is 0, unless y is NaN.
        xlogy(x, y): Float {
            cpu_float: [single::xlogy(x, y), double::xlogy(x, y)], wgsl_f32: "m_xlogy({a}, {b})", wgsl_f64: "d_xlogy({a}, {b})",
            exact: { reference::xlogy(x, y) }, domain: [-5.0, 100.0], shader_cost: 16,
            derivative(g, out): [{ g * y.log() }, { g * (x / y) }],
        }
        /// Returns x · log(1 + y), and 0 where x is 0, unless y is NaN.
        xlog1py(x, y): Float {
            cpu_float: [single::xlog1py(x, y), double::xlog1py(x, y)], wgsl_f32: "m_xlog1py({a}, {b})", wgsl_f64: "d_xlog1py({a}, {b})",
            exact: { reference::xlog1py(x, y) }, domain: [-1.0, 100.0], shader_cost: 16,
            derivative(g, out): [{ g * y.log1p() }, { g * (x / (y + 1.0)) }],
        }
        /// Returns −x · log(x), a term of the entropy: 0 at 0, and −∞ for negative x.
        #[doc(alias("entropy"))]
        entr(x): Float {
            cpu_float: [single::entr(x), double::entr(x)], wgsl_f32: "m_entr({a})", wgsl_f64: "d_entr({a})", exact: { reference::entr(x) },
            domain: [0.0, 10.0], shader_cost: 16,
            derivative(g, out): [{ -(g * (x.log() + 1.0)) }],
        }
        /// Returns x / 6 + 1/2 for x between −3 and 3, 0 for smaller x, 1 for larger x, and NaN for NaN.
        #[doc(alias("hardsigmoid"))]
        hard_sigmoid(x): Float {
            cpu_float: [single::hard_sigmoid(x), double::hard_sigmoid(x)], wgsl_f32: "m_hard_sigmoid({a})", wgsl_f64: "d_hard_sigmoid({a})",
            exact: { reference::hard_sigmoid(x) }, domain: [-4.0, 4.0],
            derivative(g, out): [{ select(x.abs().less(3.0), g * (1.0 / 6.0), 0.0) }],
        }
        /// Returns x · hard_sigmoid(x): x for x ≥ 3, −0 for x ≤ −3 (including −∞), and NaN for NaN.
        #[doc(alias("hardswish"))]
        hard_swish(x): Float {
            cpu_float: [single::hard_swish(x), double::hard_swish(x)], wgsl_f32: "m_hard_swish({a})", wgsl_f64: "d_hard_swish({a})",
            exact: { reference::hard_swish(x) }, domain: [-4.0, 4.0],
            derivative(g, out): [{ select(x.less(-3.0), 0.0, select(x.greater(3.0), g, g * (x * (1.0 / 3.0) + 0.5))) }],
        }
        /// Limits x to −1..=1, and returns NaN for NaN.
        #[doc(alias("hardtanh"))]
        hard_tanh(x): Float {
            cpu_float: [if x < -1.0 { -1.0 } else if x > 1.0 { 1.0 } else { x },
                        if x < -1.0 { -1.0 } else if x > 1.0 { 1.0 } else { x }],
            wgsl_f32: "m_hard_tanh({a})", wgsl_f64: "d_hard_tanh({a})",
            exact: { if x.is_nan() { x } else { x.clamp(-1.0, 1.0) } }, domain: [-2.0, 2.0], cost: 2,
            is: [never_rounds, opaque],
            derivative(g, out): [{ select(x.abs().less(1.0), g, 0.0) }],
        }
        /// Returns x for x ≥ 0, and slope · x for x < 0.
        leaky_relu(x, slope): Float {
            cpu_float: [if x >= 0.0 { x } else { x * slope }, if x >= 0.0 { x } else { x * slope }],
            wgsl_f32: "m_leaky_relu({a}, {b})", wgsl_f64: "d_leaky_relu({a}, {b})", exact: { if x >= 0.0 { x } else { x * slope } },
            domain: [-10.0, 10.0], cost: 2,
            derivative(g, out): [{ select(x.greater_equal(0.0), g, g * slope) }, { select(x.greater_equal(0.0), 0.0, g * x) }],
        }
        /// Returns x for x ≥ 0, and alpha · (exp(x) − 1) for x < 0, which is −alpha at −∞.
        elu(x, alpha): Float {
            cpu_float: [single::elu(x, alpha), double::elu(x, alpha)], wgsl_f32: "m_elu({a}, {b})", wgsl_f64: "d_elu({a}, {b})",
            exact: { reference::elu(x, alpha) }, domain: [-10.0, 10.0],
            derivative(g, out): [{ select(x.greater_equal(0.0), g, g * (alpha * x.exp())) }, { select(x.greater_equal(0.0), 0.0, g * x.expm1()) }],
        }
        /// Returns λ · x for x ≥ 0, and λ · α · (exp(x) − 1) for x < 0, with the λ = 1.0507… and α = 1.6732… of
        /// self-normalizing networks.
        selu(x): Float {
            cpu_float: [single::selu(x), double::selu(x)], wgsl_f32: "m_selu({a})", wgsl_f64: "d_selu({a})", exact: { reference::selu(x) },
            domain: [-20.0, 10.0],
            derivative(g, out): [{ select(x.greater_equal(0.0), g * 1.050_700_987_355_480_5, g * (x.exp() * (1.050_700_987_355_480_5 * 1.673_263_242_354_377_2))) }],
        }
        /// Returns Φ(x), the distribution function of the standard normal distribution, without cancellation in the
        /// lower tail.
        #[doc(alias("normal_cdf"))]
        ndtr(x): Float {
            cpu_float: [single::ndtr(x), double::ndtr(x)], wgsl_f32: "m_ndtr({a})", wgsl_f64: "d_ndtr({a})", exact: { reference::ndtr(x) },
            domain: [-15.0, 6.0], cost: 22, shader_cost: 24,
            derivative(g, out): [{ g * normal_density(x) }],
        }
        /// Returns log(Φ(x)), also where Φ(x) itself would underflow to 0: −x²/2 to leading order at −∞, and −0 at ∞.
        log_ndtr(x): Float {
            cpu_float: [single::log_ndtr(x), double::log_ndtr(x)], wgsl_f32: "m_log_ndtr({a})", wgsl_f64: "d_log_ndtr({a})",
            exact: { reference::log_ndtr(x) }, domain: [-100.0, 15.0], cost: 60, shader_cost: 40,
            derivative(g, out): [{ g * slopes::log_ndtr_slope(x) }],
        }
        /// Returns exp(x²) · erfc(x), the scaled complementary error function: 0 at ∞, and ∞ at −∞ and where it
        /// overflows.
        erfcx(x): Float {
            cpu_float: [single::erfcx(x), double::erfcx(x)], wgsl_f32: "m_erfcx({a})", wgsl_f64: "d_erfcx({a})", exact: { reference::erfcx(x) },
            domain: [-9.5, 50.0], cost: 40, shader_cost: 32,
            derivative(g, out): [{ g * slopes::erfcx_slope(x, out) }],
        }
        /// Returns the inverse of `erfc`: ∞ at 0, −∞ at 2, and NaN outside 0..=2.
        erfcinv(x): Float {
            cpu_float: [single::erfcinv(x), double::erfcinv(x)], wgsl_f32: "m_erfcinv({a})", wgsl_f64: "d_erfcinv({a})",
            exact: { reference::erfcinv(x) }, domain: [0.0, 2.0], cost: 60, shader_cost: 32,
            derivative(g, out): [{ -(g * (out.square().exp() * (1.0 / std::f64::consts::FRAC_2_SQRT_PI))) }],
        }
        /// Returns the inverse of `ndtr`, the quantile of the standard normal distribution: −∞ at 0, ∞ at 1, and NaN
        /// outside 0..=1.
        #[doc(alias("normal_quantile", "probit"))]
        ndtri(x): Float {
            cpu_float: [single::ndtri(x), double::ndtri(x)], wgsl_f32: "m_ndtri({a})", wgsl_f64: "d_ndtri({a})", exact: { reference::ndtri(x) },
            domain: [0.0, 1.0], cost: 60, shader_cost: 32,
            derivative(g, out): [{ g * ((out.square() * 0.5).exp() * 2.506_628_274_631_000_5) }],
        }
        /// Returns ψ(x), the derivative of log(Γ(x)): −∞ at 0, ∞ at −0, and NaN at the negative integers and −∞.
        #[doc(alias("psi"))]
        digamma(x): Float {
            cpu_float: [single::digamma(x), double::digamma(x)], wgsl_f32: "m_digamma({a})", wgsl_f64: "d_digamma({a})",
            exact: { reference::digamma(x) }, domain: [-20.0, 100.0], cost: 60, shader_cost: 40,
            derivative(g, out): [{ g * Formula::from(2.0).zeta(x) }],
        }
        /// Returns I₀(x), the modified Bessel function of order 0: ∞ at ±∞ and where it overflows.
        #[doc(alias("modified_bessel_i0"))]
        i0(x): Float {
            cpu_float: [single::i0(x), double::i0(x)], wgsl_f32: "m_i0({a})", wgsl_f64: "d_i0({a})", exact: { reference::bessel(0, x) },
            domain: [-92.0, 92.0], cost: 40, shader_cost: 24,
            derivative(g, out): [{ g * x.i1() }],
        }
        /// Returns exp(−|x|) · I₀(x), which does not overflow: 0 at ±∞.
        #[doc(alias("scaled_modified_bessel_i0"))]
        i0e(x): Float {
            cpu_float: [single::i0e(x), double::i0e(x)], wgsl_f32: "m_i0e({a})", wgsl_f64: "d_i0e({a})", exact: { reference::scaled_bessel(0, x) },
            domain: [-100.0, 100.0], cost: 40, shader_cost: 24,
            derivative(g, out): [{ g * slopes::i0e_slope(x, out) }],
        }
        /// Returns I₁(x), the modified Bessel function of order 1: ±∞ at ±∞ and where it overflows.
        #[doc(alias("modified_bessel_i1"))]
        i1(x): Float {
            cpu_float: [single::i1(x), double::i1(x)], wgsl_f32: "m_i1({a})", wgsl_f64: "d_i1({a})", exact: { reference::bessel(1, x) },
            domain: [-92.0, 92.0], cost: 40, shader_cost: 24,
            derivative(g, out): [{ g * (x.i0() - select(x.equal(0.0), 0.5, out / x)) }],
        }
        /// Returns exp(−|x|) · I₁(x), which does not overflow: ±0 at ±∞.
        #[doc(alias("scaled_modified_bessel_i1"))]
        i1e(x): Float {
            cpu_float: [single::i1e(x), double::i1e(x)], wgsl_f32: "m_i1e({a})", wgsl_f64: "d_i1e({a})", exact: { reference::scaled_bessel(1, x) },
            domain: [-100.0, 100.0], cost: 40, shader_cost: 24,
            derivative(g, out): [{ g * slopes::i1e_slope(x, out) }],
        }
        /// Returns ζ(x, q), the Hurwitz zeta function: the sum of (q + k)^−x for k = 0, 1, …. ζ(x, 1) is the Riemann
        /// zeta function. Returns NaN for x < 1, and for q < 0 if x is not an integer. Returns ∞ at x = 1 and at q = 0,
        /// −1, −2, …. At x = ∞, returns the limit: 0 for q > 1, 1 for q = 1, and ∞ for q < 1.
        zeta(x, q): Float {
            cpu_float: [single::zeta(x, q), double::zeta(x, q)], wgsl_f32: "m_zeta({a}, {b})", wgsl_f64: "d_zeta({a}, {b})",
            exact: { reference::zeta(x, q) }, domain: [1.0, 30.0], cost: 600, shader_cost: 300,
            derivative(g, out): [unknown, { -(g * (x * (x + 1.0).zeta(q))) }],
        }
        /// Returns B(a, b) = Γ(a)·Γ(b) / Γ(a + b). The result is ∞ if a or b is 0 or a negative integer, with one
        /// exception: if the other operand is a positive integer and a + b ≤ 0, the numerator and the denominator both
        /// have a pole, and the result is finite. The result is 0 if only a + b is 0 or a negative integer, and NaN for
        /// (∞, ∞).
        beta(a, b): Float {
            cpu_float: [single::beta(a, b), double::beta(a, b)], wgsl_f32: "m_beta({a}, {b})", wgsl_f64: "d_beta({a}, {b})",
            exact: { integrals::beta(a, b) }, domain: [-5.0, 40.0], cost: 200, shader_cost: 300,
            derivative(g, out): [{ g * (out * (a.digamma() - (a + b).digamma())) }, { g * (out * (b.digamma() - (a + b).digamma())) }],
        }
        /// Returns log(|B(a, b)|), also where B itself would underflow or overflow; see `beta`.
        betaln(a, b): Float {
            cpu_float: [single::betaln(a, b), double::betaln(a, b)], wgsl_f32: "m_betaln({a}, {b})", wgsl_f64: "d_betaln({a}, {b})",
            exact: { integrals::betaln(a, b) }, domain: [-5.0, 100.0], cost: 200, shader_cost: 300,
            derivative(g, out): [{ g * (a.digamma() - (a + b).digamma()) }, { g * (b.digamma() - (a + b).digamma()) }],
        }
        /// Returns P(a, x), the lower incomplete gamma function divided by Γ(a): 0 at x = 0 and 1 at ∞. Returns NaN for
        /// negative operands, and if both are 0 or both are ∞.
        #[doc(alias("igamma"))]
        gammainc(a, x): Float {
            cpu_float: [single::gammainc(a, x), double::gammainc(a, x)], wgsl_f32: "m_gammainc({a}, {b})", wgsl_f64: "d_gammainc({a}, {b})",
            exact: { integrals::gammainc(a, x) }, domain: [0.0, 60.0], cost: 400, shader_cost: 400,
            derivative(g, out): [unknown, { g * slopes::gamma_density(a, x) }],
        }
        /// Returns Q(a, x) = 1 − P(a, x), the upper incomplete gamma function divided by Γ(a), without cancellation
        /// where it is small; see `gammainc`.
        #[doc(alias("igammac"))]
        gammaincc(a, x): Float {
            cpu_float: [single::gammaincc(a, x), double::gammaincc(a, x)], wgsl_f32: "m_gammaincc({a}, {b})", wgsl_f64: "d_gammaincc({a}, {b})",
            exact: { integrals::gammaincc(a, x) }, domain: [0.0, 60.0], cost: 400, shader_cost: 400,
            derivative(g, out): [unknown, { -(g * slopes::gamma_density(a, x)) }],
        }
    } };
}
pub(crate) use rows;

use super::Formula;
use super::formula::{one_minus, select};
use super::integer::Int;
rows!(super::define);

/// Returns the derivative of `silu`, whose result is `out`.
fn silu_slope(x: &Formula, out: &Formula) -> Formula {
    let s = x.sigmoid();
    let rest = one_minus(&s);
    // at ∞ the product is ∞ · 0; its limit is 0
    select(rest.equal(0.0), &s, &s + out * rest)
}

/// Returns the derivative of `gelu`.
fn gelu_slope(x: &Formula) -> Formula {
    // Φ(x) is erfc(w) / 2. A CPU computes `ndtr` of f32 in f64, which takes 3.5 times as long as `erfc`.
    let w = &(x * -std::f64::consts::FRAC_1_SQRT_2);
    // at ±∞ the product is ∞ · 0; its limit is 0
    let product = w * (-w.square()).exp() * std::f64::consts::FRAC_2_SQRT_PI;
    (w.erfc() - select(w.square().equal(f64::INFINITY), 0.0, product)) * 0.5
}

/// Returns the derivative of `gelu_tanh`, whose result is `out`.
fn tanh_gelu_slope(x: &Formula, out: &Formula) -> Formula {
    let k = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    let square = x.square();
    let s = ((x + x * &square * 0.044715) * k).sigmoid();
    let inner = (square * (3.0 * 0.044715) + 1.0) * k;
    // far from 0, the sigmoid is 0 or 1, and the polynomial overflows
    let is_flat = (&s * one_minus(&s)).equal(0.0);
    select(is_flat, &s, &s + out * one_minus(&s) * inner)
}

/// Returns the derivative of `sinc`, whose result is `out`: (cos πx − sinc x) / x. Near 0, where the difference
/// cancels, returns the derivative's power series in πx (DLMF 10.49.3 with 10.51.2: −j₁).
fn sinc_slope(x: &Formula, out: &Formula) -> Formula {
    let square = x.square() * (std::f64::consts::PI * std::f64::consts::PI);
    // the series of sin(t)/t has the coefficients (−1)^k / (2k + 1)!; the coefficients of this series are 2k times as
    // large
    let mut coefficients = [0.0; 9];
    let mut factorial = 1.0;
    for (i, c) in coefficients.iter_mut().enumerate() {
        let k = (i + 1) as f64;
        factorial *= 2.0 * k * (2.0 * k + 1.0);
        *c = 2.0 * k / factorial * if i % 2 == 0 { -1.0 } else { 1.0 };
    }
    let series = coefficients
        .iter()
        .rev()
        .fold(None, |sum: Option<Formula>, c| Some(sum.map_or(Formula::from(*c), |sum| sum * &square + *c)));
    let near = series.unwrap_or(Formula::Number(0.0)) * x * (std::f64::consts::PI * std::f64::consts::PI);
    select(x.abs().less(0.25), near, (x.cospi() - out) / x)
}

/// The reference implementations (`Ufunc::exact`) of this file's functions, in f64.
pub(crate) mod exact {
    /// Solves erf(y) = |x| by Halley's method. Above 1/2, solves erfc(y) = 1 − |x| instead, because there 1 − |x| is
    /// exact, and erf is flat.
    pub fn erfinv(x: f64) -> f64 {
        if x.is_nan() || x.abs() > 1.0 {
            return f64::NAN;
        }
        if x.abs() == 1.0 {
            return f64::INFINITY.copysign(x);
        }
        if x == 0.0 {
            return x;
        }
        // start from Winitzki's approximation, whose constant is 0.147
        let a = x.abs();
        let l = (-a).ln_1p() + a.ln_1p();
        let t = 2.0 / (std::f64::consts::PI * 0.147) + l / 2.0;
        let mut y = ((t * t - l / 0.147).sqrt() - t).sqrt().max(1e-300);
        // for values below 1e-5 the difference in Winitzki's formula cancels, and the first term of erfinv's series is
        // better
        if a < 1e-5 {
            y = a * std::f64::consts::PI.sqrt() / 2.0;
        }
        for _ in 0..60 {
            let f = if a > 0.5 { (1.0 - a) - libm::erfc(y) } else { libm::erf(y) - a };
            let d = std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp();
            let step = f / d;
            // Newton's step with Halley's correction
            let next = y - step / (1.0 + y * step);
            if (next - y).abs() <= 1e-16 * y {
                break;
            }
            y = next;
        }
        y.copysign(x)
    }
    pub fn sigmoid(x: f64) -> f64 {
        if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
    }
    pub fn softplus(x: f64) -> f64 {
        if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
    }
    pub fn silu(x: f64) -> f64 {
        if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(x) }
    }
    pub fn gelu(x: f64) -> f64 {
        if x == f64::NEG_INFINITY { -0.0 } else { 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) }
    }
    pub fn gelu_tanh(x: f64) -> f64 {
        if x == f64::NEG_INFINITY {
            return -0.0;
        }
        // 0.5 · (1 + tanh(u)) equals sigmoid(2u), which does not cancel for negative u
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        x * sigmoid(2.0 * u)
    }
}
