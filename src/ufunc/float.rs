//! Rows: functions of floats (integers become f32): exponentials, logarithms, trigonometry, roots.

use crate::math::{double, single};

/// Gives the table of this family to `$m`.
macro_rules! rows {
    ($m:path) => { $m! {
        /// e to the power of x.
        exp(x): Float {
            f: [single::exp(x), double::exp(x)], wf: "m_exp({a})", exact: x.exp(),
            domain: [-104.0, 89.0], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// 2 to the power of x.
        exp2(x): Float {
            f: [single::exp2(x), double::exp2(x)], wf: "m_exp2({a})", exact: x.exp2(),
            domain: [-150.0, 128.0], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// exp(x) − 1, exact near 0.
        expm1(x): Float {
            f: [single::expm1(x), double::expm1(x)], wf: "m_expm1({a})", exact: x.exp_m1(),
            domain: [-20.0, 89.0], bound: [Ulp(2.0), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Natural logarithm.
        log(x): Float {
            f: [single::log(x), double::log(x)], wf: "m_log({a})", exact: x.ln(),
            domain: [0.0, 1e3], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Logarithm to base 2.
        log2(x): Float {
            f: [single::log2(x), double::log2(x)], wf: "m_log2({a})", exact: x.log2(),
            domain: [0.0, 1e3], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Logarithm to base 10.
        log10(x): Float {
            f: [single::log10(x), double::log10(x)], wf: "m_log10({a})", exact: x.log10(),
            domain: [0.0, 1e3], bound: [Ulp(2.0), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// log(1 + x), exact near 0.
        log1p(x): Float {
            f: [single::log1p(x), double::log1p(x)], wf: "m_log1p({a})", exact: x.ln_1p(),
            domain: [-1.0, 1e3], bound: [Ulp(2.0), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Square root.
        sqrt(x): Float {
            f: [x.sqrt(), x.sqrt()], wf: "m_sqrt({a})", wd: "d_sqrt({a})", exact: x.sqrt(),
            domain: [0.0, 1e3], bound: [Ulp(0.5), Ulp(2.5), Ulp(0.5), Ulp(0.5)],
        }
        /// 1 / sqrt(x).
        rsqrt(x): Float {
            f: [single::rsqrt(x), double::rsqrt(x)], wf: "m_rsqrt({a})", exact: exact::rsqrt(x),
            domain: [0.0, 1e3], bound: [Ulp(1.5), Ulp(3.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Cube root.
        cbrt(x): Float {
            f: [single::cbrt(x), double::cbrt(x)], wf: "m_cbrt({a})", exact: x.cbrt(),
            domain: [-1e3, 1e3], bound: [Ulp(2.0), Ulp(4.0), Ulp(2.0), Ulp(1.0)],
        }
        /// 1 / x.
        reciprocal(x): Float {
            f: [1.0 / x, 1.0 / x], wf: "m_reciprocal({a})", wd: "1.0lf / {a}", exact: 1.0 / x,
            domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(2.5), Ulp(0.5), Ulp(0.5)],
        }
        /// Sine of radians.
        sin(x): Float {
            fnear: [single::sin(x), double::sin(x); single::sin_near(x), double::sin_near(x); single::NEAR, double::NEAR],
            wf: "m_sin({a})", exact: x.sin(),
            domain: [-1e5, 1e5], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)], flags: [dear],
        }
        /// Cosine of radians.
        cos(x): Float {
            fnear: [single::cos(x), double::cos(x); single::cos_near(x), double::cos_near(x); single::NEAR, double::NEAR],
            wf: "m_cos({a})", exact: x.cos(),
            domain: [-1e5, 1e5], bound: [Ulp(1.5), Ulp(4.0), Ulp(2.0), Ulp(1.0)], flags: [dear],
        }
        /// Tangent of radians.
        tan(x): Float {
            f: [single::tan(x), double::tan(x)], wf: "m_tan({a})", exact: x.tan(),
            domain: [-1e3, 1e3], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)], flags: [dear],
        }
        /// Arc sine.
        asin(x): Float {
            f: [single::asin(x), double::asin(x)], wf: "m_asin({a})", exact: x.asin(),
            domain: [-1.0, 1.0], bound: [Ulp(3.0), Ulp(5.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Arc cosine.
        acos(x): Float {
            f: [single::acos(x), double::acos(x)], wf: "m_acos({a})", exact: x.acos(),
            domain: [-1.0, 1.0], bound: [Ulp(3.0), Ulp(5.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Arc tangent.
        atan(x): Float {
            f: [single::atan(x), double::atan(x)], wf: "m_atan({a})", exact: x.atan(),
            domain: [-1e3, 1e3], bound: [Ulp(3.0), Ulp(5.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Hyperbolic sine.
        sinh(x): Float {
            f: [single::sinh(x), double::sinh(x)], wf: "m_sinh({a})", exact: libm::sinh(x),
            domain: [-89.0, 89.0], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// Hyperbolic cosine.
        cosh(x): Float {
            f: [single::cosh(x), double::cosh(x)], wf: "m_cosh({a})", exact: libm::cosh(x),
            domain: [-89.0, 89.0], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// Hyperbolic tangent.
        tanh(x): Float {
            f: [single::tanh(x), double::tanh(x)], wf: "m_tanh({a})", exact: libm::tanh(x),
            domain: [-10.0, 10.0], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// Inverse hyperbolic sine.
        asinh(x): Float {
            f: [single::asinh(x), double::asinh(x)], wf: "m_asinh({a})", exact: libm::asinh(x),
            domain: [-1e3, 1e3], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// Inverse hyperbolic cosine.
        acosh(x): Float {
            f: [single::acosh(x), double::acosh(x)], wf: "m_acosh({a})", exact: exact::acosh(x),
            domain: [1.0, 1e3], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// Inverse hyperbolic tangent.
        atanh(x): Float {
            f: [single::atanh(x), double::atanh(x)], wf: "m_atanh({a})", exact: libm::atanh(x),
            domain: [-1.0, 1.0], bound: [Ulp(3.0), Ulp(6.0), Ulp(4.0), Ulp(1.0)],
        }
        /// The angle of the point (x, y), over all four quadrants; the first operand is y.
        atan2(y, x): Float {
            f: [single::atan2(y, x), double::atan2(y, x)], wf: "m_atan2({a}, {b})", exact: y.atan2(x),
            domain: [-1e3, 1e3], bound: [Ulp(3.0), Ulp(6.0), Ulp(2.0), Ulp(1.0)], flags: [dear],
        }
        /// sqrt(x² + y²) without overflow.
        hypot(x, y): Float {
            f: [single::hypot(x, y), double::hypot(x, y)], wf: "m_hypot({a}, {b})", exact: libm::hypot(x, y),
            domain: [-1e3, 1e3], bound: [Ulp(3.0), Ulp(6.0), Ulp(2.0), Ulp(1.0)],
        }
        /// log(exp(x) + exp(y)) without overflow.
        logaddexp(x, y): Float {
            f: [single::logaddexp(x, y), double::logaddexp(x, y)], wf: "m_logaddexp({a}, {b})",
            exact: exact::logaddexp(x, y),
            domain: [-80.0, 80.0], bound: [UlpOfLargest(4.0), UlpOfLargest(8.0), UlpOfLargest(2.0), UlpOfLargest(1.0)],
        }
        /// a + t · (b − a).
        lerp(a, b, t): Float {
            f: [single::lerp(a, b, t), double::lerp(a, b, t)], wf: "m_lerp({a}, {b}, {c})",
            exact: exact::lerp(a, b, t),
            domain: [-10.0, 10.0], bound: [UlpOfLargest(4.0), UlpOfLargest(8.0), UlpOfLargest(2.0), UlpOfLargest(1.0)],
        }
        /// The magnitude of the first with the sign of the second.
        copysign(x, y): Float {
            f: [x.copysign(y), x.copysign(y)], wf: "m_copysign({a}, {b})", wd: "d_copysign({a}, {b})",
            exact: x.copysign(y),
            domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
        }
        /// The next number of the type from the first toward the second.
        nextafter(x, y): FloatOnly {
            f: [single::nextafter(x, y), double::nextafter(x, y)], wf: "m_nextafter({a}, {b})",
            domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            flags: [rounds_first], half: [&super::special::nextafter_f16, &super::special::nextafter_bf16],
        }
        /// Degrees to radians.
        deg2rad(x): Float {
            f: [(x as f64 * (std::f64::consts::PI / 180.0)) as f32, x * (std::f64::consts::PI / 180.0)],
            wf: "m_deg2rad({a})", exact: x * (std::f64::consts::PI / 180.0),
            domain: [-1e3, 1e3], bound: [Ulp(4.0), Ulp(8.0), Ulp(2.0), Ulp(1.0)],
        }
        /// Radians to degrees.
        rad2deg(x): Float {
            f: [(x as f64 * (180.0 / std::f64::consts::PI)) as f32, x * (180.0 / std::f64::consts::PI)],
            wf: "m_rad2deg({a})", exact: x * (180.0 / std::f64::consts::PI),
            domain: [-1e3, 1e3], bound: [Ulp(4.0), Ulp(8.0), Ulp(2.0), Ulp(1.0)],
        }
    } };
}
pub(crate) use rows;

rows!(super::define);

macro_rules! order {
    ($t:ty, $bits:ty, $min:ident, $max:ident, $fmin:ident, $fmax:ident, $sign:ident) => {
        /// NaN if either is NaN, and −0 below +0; branch-free.
        #[inline(always)]
        pub(crate) fn $min(x: $t, y: $t) -> $t {
            // equal operands differ at most in the sign of 0: or-ing the bits keeps a minus
            let tie = <$t>::from_bits(x.to_bits() | y.to_bits());
            let less = if x < y { x } else { y };
            let picked = if x == y { tie } else { less };
            if x != x { x } else { picked }
        }
        /// NaN if either is NaN, and +0 above −0; branch-free.
        #[inline(always)]
        pub(crate) fn $max(x: $t, y: $t) -> $t {
            let tie = <$t>::from_bits(x.to_bits() & y.to_bits());
            let more = if x > y { x } else { y };
            let picked = if x == y { tie } else { more };
            if x != x { x } else { picked }
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

/// Exact functions in f64 where the standard library has none.
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
    /// NumPy's `divmod`: the remainder takes the divisor's sign, a zero too.
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
        // libm's answers below −1 with a number
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
        // a step that overflows need not end beyond the largest number
        (a / 4.0 + t * (b / 4.0 - a / 4.0)) * 4.0
    }
}
