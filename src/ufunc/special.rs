//! The rows of special functions and of activations.

use crate::math::{double, single};

/// Calls the macro `$m` with this file's rows: `define!` makes statics of them, `methods!` (`ops.rs`) makes methods.
macro_rules! rows {
    ($m:path) => { $m! {
        /// The error function.
        erf(x): Float {
            threaded: f32,
            cpu_float: [single::erf(x), double::erf(x)], wgsl_f32: "m_erf({a})", exact: { libm::erf(x) },
            domain: [-5.0, 5.0], shader_cost: 32,
        }
        /// 1 − erf(x), without cancellation in the tail.
        erfc(x): Float {
            cpu_float: [single::erfc(x), double::erfc(x)], wgsl_f32: "m_erfc({a})", exact: { libm::erfc(x) },
            domain: [-5.0, 11.0],
            cost: 20,
        }
        /// The inverse of the error function.
        erfinv(x): Float {
            cpu_float: [single::erfinv(x), double::erfinv(x)], wgsl_f32: "m_erfinv({a})",
            exact: { exact::erfinv(x) },
            domain: [-1.0, 1.0], cost: 37, shader_cost: 32,
        }
        /// log(|Γ(x)|).
        lgamma(x): Float {
            cpu_float: [single::lgamma(x), double::lgamma(x)], wgsl_f32: "m_lgamma({a})", exact: { libm::lgamma(x) },
            domain: [-20.0, 100.0],
            cost: 81, shader_cost: 32,
        }
        /// 1 / (1 + exp(−x)).
        sigmoid(x): Float {
            threaded: f32,
            cpu_float: [single::sigmoid(x), double::sigmoid(x)], wgsl_f32: "m_sigmoid({a})",
            exact: { exact::sigmoid(x) },
            domain: [-100.0, 100.0],
            cost: 15,
        }
        /// log(1 + exp(x)) without overflow.
        softplus(x): Float {
            threaded: f32,
            cpu_float: [single::softplus(x), double::softplus(x)], wgsl_f32: "m_softplus({a})",
            exact: { exact::softplus(x) }, domain: [-100.0, 100.0],
            cost: 28,
        }
        /// max(x, 0); NaN stays NaN.
        relu(x): Numeric {
            cpu_float: [super::float::maximum32(x, 0.0), super::float::maximum64(x, 0.0)],
            cpu_int: { if x.is_negative_value() != 0 { 0 } else { x } },
            wgsl_f32: "m_max({a}, 0.0)", wgsl_f64: "d_max({a}, 0.0lf)", wgsl_int: "max({a}, {T}(0))",
            exact: { if x.is_nan() { x } else if x > 0.0 { x } else { 0.0 } }, exact_int: { x.max(0) },
            domain: [-10.0, 10.0], is: [never_rounds, keeps_range, opaque],
        }
        /// x · sigmoid(x).
        silu(x): Float {
            threaded: f32,
            cpu_float: [single::silu(x), double::silu(x)], wgsl_f32: "m_silu({a})", exact: { exact::silu(x) },
            domain: [-100.0, 100.0],
            cost: 13,
        }
        /// x · Φ(x), exactly (the erfc form).
        gelu(x): Float {
            threaded: f32,
            cpu_float: [single::gelu(x), double::gelu(x)], wgsl_f32: "m_gelu({a})", exact: { exact::gelu(x) },
            domain: [-20.0, 20.0],
            cost: 22,
        }
        /// x · Φ(x), by the tanh approximation.
        gelu_tanh(x): Float {
            threaded: f32,
            cpu_float: [single::gelu_tanh(x), double::gelu_tanh(x)], wgsl_f32: "m_gelu_tanh({a})",
            exact: { exact::gelu_tanh(x) },
            domain: [-20.0, 20.0],
            cost: 25,
        }
    } };
}
pub(crate) use rows;

use super::integer::Int;
rows!(super::define);

/// The references (`Ufunc::exact`) of these rows, in f64.
pub(crate) mod exact {
    /// Solves erf(y) = |x| by Halley's method; above 1/2 solves erfc(y) = 1 − |x|, which is exact there, while erf is flat.
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
        // starts from Winitzki's approximation, whose constant is 0.147
        let a = x.abs();
        let l = (-a).ln_1p() + a.ln_1p();
        let t = 2.0 / (std::f64::consts::PI * 0.147) + l / 2.0;
        let mut y = ((t * t - l / 0.147).sqrt() - t).sqrt().max(1e-300);
        // here Winitzki's difference cancels, and the first term of erfinv's series is better
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
        // 0.5 · (1 + tanh(u)) is sigmoid(2u), which does not cancel for negative u
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
        x * sigmoid(2.0 * u)
    }
}
