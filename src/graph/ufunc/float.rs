//! The rows of the table of ufuncs for float functions: exponentials, logarithms, trigonometry, roots. Integer operands
//! are converted to f32.

use crate::math::{double, single};

/// Calls the macro `$m` with this file's rows: `define!` makes statics from them, and `methods!`
/// (`ops/functions/mod.rs`) makes methods.
macro_rules! rows {
    ($m:path) => {
        $m! {
            /// Returns e to the power of x.
            exp(x): Float {
                threaded: f32,
                cpu_float: [single::exp(x), double::exp(x)], wgsl_f32: "m_exp({a})", wgsl_f64: "d_exp({a})", exact: { x.exp() },
                domain: [-104.0, 89.0], is: [opaque],
                derivative(g, out): [{ g * out }],
            }
            /// Returns 2 to the power of x.
            exp2(x): Float {
                threaded: f32,
                cpu_float: [single::exp2(x), double::exp2(x)], wgsl_f32: "m_exp2({a})", wgsl_f64: "d_exp2({a})", exact: { x.exp2() },
                domain: [-150.0, 128.0],
                derivative(g, out): [{ g * (out * std::f64::consts::LN_2) }],
            }
            /// Returns exp(x) − 1, without cancellation near 0.
            #[doc(alias("exp_m1"))]
            expm1(x): Float {
                threaded: f32,
                cpu_float: [single::expm1(x), double::expm1(x)], wgsl_f32: "m_expm1({a})", wgsl_f64: "d_expm1({a})", exact: { x.exp_m1() },
                domain: [-20.0, 89.0],
                derivative(g, out): [{ g * x.exp() }],
            }
            /// Returns the natural logarithm.
            log(x): Float {
                threaded: pairs,
                cpu_float: [single::log(x), double::log(x)], wgsl_f32: "m_log({a})", wgsl_f64: "d_log({a})", exact: { x.ln() },
                domain: [0.0, 1e3],
                derivative(g, out): [{ g / x }],
            }
            /// Returns the logarithm to base 2.
            log2(x): Float {
                threaded: f32,
                cpu_float: [single::log2(x), double::log2(x)], wgsl_f32: "m_log2({a})", wgsl_f64: "d_log2({a})", exact: { x.log2() },
                domain: [0.0, 1e3],
                derivative(g, out): [{ g / (x * std::f64::consts::LN_2) }],
            }
            /// Returns the logarithm to base 10.
            log10(x): Float {
                threaded: f32,
                cpu_float: [single::log10(x), double::log10(x)], wgsl_f32: "m_log10({a})", wgsl_f64: "d_log10({a})", exact: { x.log10() },
                domain: [0.0, 1e3],
                derivative(g, out): [{ g / (x * std::f64::consts::LN_10) }],
            }
            /// Returns log(1 + x), without cancellation near 0.
            #[doc(alias("ln_1p"))]
            log1p(x): Float {
                threaded: f32,
                cpu_float: [single::log1p(x), double::log1p(x)], wgsl_f32: "m_log1p({a})", wgsl_f64: "d_log1p({a})", exact: { x.ln_1p() },
                domain: [-1.0, 1e3],
                derivative(g, out): [{ g / (x + 1.0) }],
            }
            /// Returns the square root.
            sqrt(x): Float {
                threaded: all_pairs,
                cpu_float: [x.sqrt(), x.sqrt()], wgsl_f32: "m_sqrt({a})", wgsl_f64: "d_sqrt({a})", exact: { x.sqrt() },
                domain: [0.0, 1e3],
                derivative(g, out): [{ g * 0.5 / out }],
            }
            /// Returns 1 / sqrt(x).
            #[doc(alias("inverse_sqrt"))]
            rsqrt(x): Float {
                threaded: f32,
                cpu_float: [single::rsqrt(x), double::rsqrt(x)], wgsl_f32: "m_rsqrt({a})", wgsl_f64: "d_rsqrt({a})", exact: { exact::rsqrt(x) },
                domain: [0.0, 1e3],
                derivative(g, out): [{ g * (out / x * -0.5) }],
            }
            /// Returns the cube root.
            cbrt(x): Float {
                cpu_float: [single::cbrt(x), double::cbrt(x)], wgsl_f32: "m_cbrt({a})", wgsl_f64: "d_cbrt({a})", exact: { x.cbrt() },
                cost: 14,
                derivative(g, out): [{ g / (out.square() * 3.0) }],
            }
            /// Returns 1 / x.
            #[doc(alias("recip"))]
            reciprocal(x): Float {
                threaded: all,
                cpu_float: [1.0 / x, 1.0 / x], wgsl_f32: "m_reciprocal({a})", wgsl_f64: "1.0lf / {a}",
                exact: { 1.0 / x },
                derivative(g, out): [{ -(g * out.square()) }],
            }
            /// Returns the sine of an angle in radians.
            sin(x): Float {
                threaded: f32,
                cpu_float: [single::sin(x), double::sin(x);
                            below single::NEAR => single::sin_near(x), double::NEAR => double::sin_near(x)],
                wgsl_f32: "m_sin({a})", wgsl_f64: "d_sin({a})", exact: { x.sin() },
                domain: [-1e5, 1e5], shader_cost: 32,
                derivative(g, out): [{ g * x.cos() }],
            }
            /// Returns the cosine of an angle in radians.
            cos(x): Float {
                threaded: f32,
                cpu_float: [single::cos(x), double::cos(x);
                            below single::NEAR => single::cos_near(x), double::NEAR => double::cos_near(x)],
                wgsl_f32: "m_cos({a})", wgsl_f64: "d_cos({a})", exact: { x.cos() },
                domain: [-1e5, 1e5], shader_cost: 32,
                derivative(g, out): [{ -(g * x.sin()) }],
            }
            /// Returns the tangent of an angle in radians.
            tan(x): Float {
                cpu_float: [single::tan(x), double::tan(x)], wgsl_f32: "m_tan({a})", wgsl_f64: "d_tan({a})", exact: { x.tan() },
                cost: 27, shader_cost: 32,
                derivative(g, out): [{ g * (out.square() + 1.0) }],
            }
            /// Returns the arc sine.
            #[doc(alias("arcsin"))]
            asin(x): Float {
                cpu_float: [single::asin(x), double::asin(x)], wgsl_f32: "m_asin({a})", wgsl_f64: "d_asin({a})", exact: { x.asin() },
                domain: [-1.0, 1.0],
                derivative(g, out): [{ g * (one_minus(x) * (x + 1.0)).rsqrt() }],
            }
            /// Returns the arc cosine.
            #[doc(alias("arccos"))]
            acos(x): Float {
                cpu_float: [single::acos(x), double::acos(x)], wgsl_f32: "m_acos({a})", wgsl_f64: "d_acos({a})", exact: { x.acos() },
                domain: [-1.0, 1.0],
                derivative(g, out): [{ -(g * (one_minus(x) * (x + 1.0)).rsqrt()) }],
            }
            /// Returns the arc tangent.
            #[doc(alias("arctan"))]
            atan(x): Float {
                cpu_float: [single::atan(x), double::atan(x)], wgsl_f32: "m_atan({a})", wgsl_f64: "d_atan({a})", exact: { x.atan() },
                derivative(g, out): [{ g / (x.square() + 1.0) }],
            }
            /// Returns the hyperbolic sine.
            sinh(x): Float {
                cpu_float: [single::sinh(x), double::sinh(x)], wgsl_f32: "m_sinh({a})", wgsl_f64: "d_sinh({a})", exact: { libm::sinh(x) },
                domain: [-89.0, 89.0],
                cost: 15,
                derivative(g, out): [{ g * x.cosh() }],
            }
            /// Returns the hyperbolic cosine.
            cosh(x): Float {
                cpu_float: [single::cosh(x), double::cosh(x)], wgsl_f32: "m_cosh({a})", wgsl_f64: "d_cosh({a})", exact: { libm::cosh(x) },
                domain: [-89.0, 89.0],
                cost: 11,
                derivative(g, out): [{ g * x.sinh() }],
            }
            /// Returns the hyperbolic tangent.
            tanh(x): Float {
                threaded: f32,
                cpu_float: [single::tanh(x), double::tanh(x)], wgsl_f32: "m_tanh({a})", wgsl_f64: "d_tanh({a})", exact: { libm::tanh(x) },
                domain: [-10.0, 10.0],
                derivative(g, out): [{ g * (one_minus(out) * (out + 1.0)) }],
            }
            /// Returns the inverse hyperbolic sine.
            #[doc(alias("arcsinh"))]
            asinh(x): Float {
                cpu_float: [single::asinh(x), double::asinh(x)], wgsl_f32: "m_asinh({a})", wgsl_f64: "d_asinh({a})", exact: { libm::asinh(x) },
                cost: 18,
                derivative(g, out): [{ g / x.hypot(1.0) }],
            }
            /// Returns the inverse hyperbolic cosine.
            #[doc(alias("arccosh"))]
            acosh(x): Float {
                cpu_float: [single::acosh(x), double::acosh(x)], wgsl_f32: "m_acosh({a})", wgsl_f64: "d_acosh({a})", exact: { exact::acosh(x) },
                domain: [1.0, 1e3],
                cost: 16,
                derivative(g, out): [{ g * ((x - 1.0).rsqrt() * (x + 1.0).rsqrt()) }],
            }
            /// Returns the inverse hyperbolic tangent.
            #[doc(alias("arctanh"))]
            atanh(x): Float {
                cpu_float: [single::atanh(x), double::atanh(x)], wgsl_f32: "m_atanh({a})", wgsl_f64: "d_atanh({a})", exact: { libm::atanh(x) },
                domain: [-1.0, 1.0],
                cost: 16,
                derivative(g, out): [{ g / (one_minus(x) * (x + 1.0)) }],
            }
            /// Returns the angle of the point (x, y) in radians, in all four quadrants (from −π to π). The first
            /// operand is y.
            #[doc(alias("arctan2"))]
            atan2(y, x): Float {
                cpu_float: [single::atan2(y, x), double::atan2(y, x)], wgsl_f32: "m_atan2({a}, {b})", wgsl_f64: "d_atan2({a}, {b})",
                exact: { y.atan2(x) }, cost: 15, shader_cost: 32,
                derivative(g, out): [{ g * (x / y.hypot(x) / y.hypot(x)) }, { -(g * (y / y.hypot(x) / y.hypot(x))) }],
            }
            /// Returns sqrt(x² + y²) without overflow.
            hypot(x, y): Float {
                cpu_float: [single::hypot(x, y), double::hypot(x, y)], wgsl_f32: "m_hypot({a}, {b})", wgsl_f64: "d_hypot({a}, {b})",
                exact: { libm::hypot(x, y) },
                derivative(g, out): [{ select(out.equal(0.0), 0.0, g * (x / out)) }, { select(out.equal(0.0), 0.0, g * (y / out)) }],
            }
            /// Returns log(exp(x) + exp(y)) without overflow.
            #[doc(alias("log_add_exp"))]
            logaddexp(x, y): Float {
                cpu_float: [single::logaddexp(x, y), double::logaddexp(x, y)], wgsl_f32: "m_logaddexp({a}, {b})", wgsl_f64: "d_logaddexp({a}, {b})",
                exact: { exact::logaddexp(x, y) },
                domain: [-80.0, 80.0],
                reduce: { method: logsumexp, neutral: Lowest, empty: refused, order: fixed, loops: plain },
                cost: 32,
                derivative(g, out): [{ g * select(x.equal(y), 0.5, (x - y).sigmoid()) }, { g * select(x.equal(y), 0.5, (y - x).sigmoid()) }],
            }
            /// Interpolates linearly: returns a + t · (b − a).
            #[doc(alias("mix"))]
            lerp(a, b, t): Float {
                cpu_float: [single::lerp(a, b, t), double::lerp(a, b, t)], wgsl_f32: "m_lerp({a}, {b}, {c})", wgsl_f64: "d_lerp({a}, {b}, {c})",
                exact: { exact::lerp(a, b, t) },
                domain: [-10.0, 10.0],
                derivative(g, out): [{ g * one_minus(t) }, { g * t }, { g * (b - a) }],
            }
            /// Returns the magnitude of the first operand with the sign of the second.
            #[doc(alias("copy_sign"))]
            copysign(x, y): Float {
                threaded: all,
                cpu_float: [x.copysign(y), x.copysign(y)],
                wgsl_f32: "m_copysign({a}, {b})", wgsl_f64: "d_copysign({a}, {b})", exact: { x.copysign(y) },
                is: [never_rounds],
                derivative(g, out): [{ g * (x.sign() * out.sign()) }, zero],
            }
            /// Returns the next number that the type can represent after the first operand, in the direction of the
            /// second.
            nextafter(x, y): FloatOnly {
                cpu_float: [single::nextafter(x, y), double::nextafter(x, y)], wgsl_f32: "m_nextafter({a}, {b})", wgsl_f64: "d_nextafter({a}, {b})",
                is: [never_rounds, rounds_first],
                half: [&nextafter_f16, &nextafter_bf16],
                derivative: unknown,
            }
            /// Converts degrees to radians.
            #[doc(alias("radians", "to_radians"))]
            deg2rad(x): Float {
                threaded: f32,
                cpu_float: [(x as f64 * (std::f64::consts::PI / 180.0)) as f32, x * (std::f64::consts::PI / 180.0)],
                wgsl_f32: "m_deg2rad({a})", wgsl_f64: "d_deg2rad({a})", exact: { x * (std::f64::consts::PI / 180.0) },
                derivative(g, out): [{ g * (std::f64::consts::PI / 180.0) }],
            }
            /// Converts radians to degrees.
            #[doc(alias("degrees", "to_degrees"))]
            rad2deg(x): Float {
                threaded: f32,
                cpu_float: [(x as f64 * (180.0 / std::f64::consts::PI)) as f32, x * (180.0 / std::f64::consts::PI)],
                wgsl_f32: "m_rad2deg({a})", wgsl_f64: "d_rad2deg({a})", exact: { x * (180.0 / std::f64::consts::PI) },
                derivative(g, out): [{ g * (180.0 / std::f64::consts::PI) }],
            }
        }
    };
}
pub(crate) use rows;

rows!(super::define);

/// The table rows that compute `nextafter` for f16 and bf16 (see its key `half`). These rows are outside `rows!`, so
/// they have no methods.
mod steps {
    use crate::math::single;
    crate::graph::ufunc::define! {
        /// `nextafter` of f16.
        nextafter_f16(x, y): FloatOnly {
            cpu_float: [single::nextafter_f16(x, y), x], wgsl_f32: "m_nextafter_f16({a}, {b})",
            is: [never_rounds, rounds_first],
        }
        /// `nextafter` of bf16.
        nextafter_bf16(x, y): FloatOnly {
            cpu_float: [single::nextafter_bf16(x, y), x], wgsl_f32: "m_nextafter_bf16({a}, {b})",
            is: [never_rounds, rounds_first],
        }
    }
}
pub(crate) use steps::{nextafter_bf16, nextafter_f16};

macro_rules! order {
    ($t:ty, $bits:ty, $min:ident, $max:ident, $fmin:ident, $fmax:ident, $sign:ident) => {
        /// Returns the smaller operand without a branch: NaN if either is NaN, and −0 is smaller than +0.
        #[inline(always)]
        pub(crate) fn $min(x: $t, y: $t) -> $t {
            // the two selections `one` and `other` differ only if the operands are equal, because then `one` is y and
            // `other` is x. Equal operands differ at most in the sign of 0, and the bitwise or yields −0 if either is
            // −0. So only the comparison for NaN needs a mask
            let (one, other) = (if x < y { x } else { y }, if y < x { y } else { x });
            let picked = <$t>::from_bits(one.to_bits() | other.to_bits());
            if x != x || y != y { mutant!(minimum_drops_nan, if x != x { y } else { x }, x + y) } else { picked }
        }
        /// Returns the larger operand without a branch: NaN if either is NaN, and +0 is larger than −0.
        #[inline(always)]
        pub(crate) fn $max(x: $t, y: $t) -> $t {
            // equal operands differ at most in the sign of 0, and the bitwise and of their bits yields +0 if either is
            // +0
            let (one, other) = (if x > y { x } else { y }, if y > x { y } else { x });
            let picked = <$t>::from_bits(one.to_bits() & other.to_bits());
            if x != x || y != y { x + y } else { picked }
        }
        #[inline(always)]
        pub(crate) fn $fmin(x: $t, y: $t) -> $t {
            let m = $min(x, y);
            let m = if y != y { x } else { m };
            if x != x { y } else { m }
        }
        #[inline(always)]
        pub(crate) fn $fmax(x: $t, y: $t) -> $t {
            let m = $max(x, y);
            let m = if y != y { x } else { m };
            if x != x { y } else { m }
        }
        #[inline(always)]
        pub(crate) fn $sign(x: $t) -> $t {
            let s = (1.0 as $t).copysign(x);
            let s = if x == 0.0 { 0.0 } else { s };
            if x != x { x } else { s }
        }
    };
}
order!(f32, u32, minimum32, maximum32, fmin32, fmax32, sign32);
order!(f64, u64, minimum64, maximum64, fmin64, fmax64, sign64);

/// The reference implementations (`Ufunc::exact`) that are functions here instead of expressions in the rows of this
/// file and of `arithmetic.rs`.
pub(crate) mod exact {
    pub fn minimum(x: f64, y: f64) -> f64 {
        match (x.is_nan(), y.is_nan()) {
            (true, _) => x,
            (_, true) => y,
            _ if x == 0.0 && y == 0.0 => {
                if x.is_sign_negative() {
                    x
                } else {
                    y
                }
            }
            _ => {
                if x < y {
                    x
                } else {
                    y
                }
            }
        }
    }
    pub fn maximum(x: f64, y: f64) -> f64 {
        -minimum(-x, -y)
    }
    pub fn fmin(x: f64, y: f64) -> f64 {
        if x.is_nan() {
            y
        } else if y.is_nan() {
            x
        } else {
            minimum(x, y)
        }
    }
    pub fn fmax(x: f64, y: f64) -> f64 {
        -fmin(-x, -y)
    }
    pub fn sign(x: f64) -> f64 {
        if x.is_nan() {
            x
        } else if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            0.0
        }
    }
    /// Computes NumPy's `%`: the remainder has the sign of the divisor, also if the remainder is 0.
    pub fn remainder(x: f64, y: f64) -> f64 {
        let r = x % y;
        if r == 0.0 {
            return if r.is_nan() { r } else { 0f64.copysign(y) };
        }
        if (r < 0.0) != (y < 0.0) { r + y } else { r }
    }
    pub fn floor_divide(x: f64, y: f64) -> f64 {
        if y == 0.0 {
            return x / y;
        }
        let r = x % y;
        let q = (x - r) / y;
        let q = if r != 0.0 && (r < 0.0) != (y < 0.0) { q - 1.0 } else { q };
        if q == 0.0 {
            return 0f64.copysign(x / y);
        }
        let floor = q.floor();
        if q - floor > 0.5 { floor + 1.0 } else { floor }
    }
    pub fn pow(x: f64, y: f64) -> f64 {
        x.powf(y)
    }
    pub fn rsqrt(x: f64) -> f64 {
        1.0 / x.sqrt()
    }
    pub fn acosh(x: f64) -> f64 {
        // below −1 libm's acosh returns a number instead of NaN
        if x < 1.0 { f64::NAN } else { libm::acosh(x) }
    }
    pub fn logaddexp(x: f64, y: f64) -> f64 {
        if x.is_nan() || y.is_nan() {
            return f64::NAN;
        }
        if x == y {
            return x + std::f64::consts::LN_2;
        }
        x.max(y) + (-(x - y).abs()).exp().ln_1p()
    }
    pub fn lerp(a: f64, b: f64, t: f64) -> f64 {
        let y = a + t * (b - a);
        if y.is_finite() || !(a.is_finite() && b.is_finite() && t.is_finite()) {
            return y;
        }
        // b − a overflows although the result may be finite, but the difference of the quarters does not
        (a / 4.0 + t * (b / 4.0 - a / 4.0)) * 4.0
    }
}
