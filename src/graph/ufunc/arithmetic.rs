//! The rows of the table of ufuncs for arithmetic, most of which also support integers, and for rounding to whole
//! numbers.

use super::integer::{Int, exact as int};
use crate::math::{double, single};

/// Calls the macro `$m` with this file's rows: `define!` makes statics from them, and `methods!`
/// (`ops/functions/mod.rs`) makes methods.
macro_rules! rows {
    ($m:path) => {
        $m! {
            /// Returns the sum of the operands. For bool, returns the logical or.
            add(x, y): Numeric {
                threaded: products,
                cpu_float: [x + y, x + y], cpu_int: { x.wrapping_add(y) }, cpu_bool: { x | y },
                wgsl_f32: "{a} + {b}", wgsl_f64: "{a} + {b}", wgsl_int: "{a} + {b}", wgsl_long: "add_{T}({a}, {b})", wgsl_bool: "{a} || {b}",
                exact: { x + y }, exact_int: { x + y },
                reduce: { method: sum, neutral: Zero, empty: 0.0, order: fixed }, is: [simplifies_exactly],
                derivative(g, out): [{ g.into() }, { g.into() }],
            }
            /// Returns the first operand minus the second. Does not support bool.
            #[doc(alias("sub"))]
            subtract(x, y): Numeric {
                threaded: products,
                cpu_float: [x - y, x - y], cpu_int: { x.wrapping_sub(y) },
                wgsl_f32: "{a} - {b}", wgsl_f64: "{a} - {b}", wgsl_int: "{a} - {b}", wgsl_long: "sub_{T}({a}, {b})",
                exact: { x - y }, exact_int: { x - y },
                derivative(g, out): [{ g.into() }, { -g }],
            }
            /// Returns the product of the operands. For bool, returns the logical and.
            #[doc(alias("mul"))]
            multiply(x, y): Numeric {
                threaded: both,
                cpu_float: [x * y, x * y], cpu_int: { x.wrapping_mul(y) }, cpu_bool: { x & y },
                wgsl_f32: "{a} * {b}", wgsl_f64: "{a} * {b}", wgsl_int: "{a} * {b}", wgsl_long: "mul_{T}({a}, {b})", wgsl_bool: "{a} && {b}",
                exact: { x * y }, exact_int: { x.wrapping_mul(y) },
                reduce: { method: prod, neutral: One, empty: 1.0, order: fixed, loops: plain }, is: [simplifies_exactly, multiplies],
                derivative(g, out): [{ g * y }, { g * x }],
            }
            /// Returns the first operand divided by the second. For integers and bool, the result is f32.
            #[doc(alias("true_divide", "div"))]
            divide(x, y): Float {
                threaded: both,
                cpu_float: [x / y, x / y], wgsl_f32: "m_div({a}, {b})", wgsl_f64: "{a} / {b}", exact: { x / y },
                cost: 1,
                derivative(g, out): [{ g / y }, { -(g * out / y) }],
            }
            /// Returns the quotient of the operands, rounded down, as NumPy's `//` does. For integers, `x // 0` is 0.
            #[doc(alias("floordiv"))]
            floor_divide(x, y): Numeric {
                threaded: none,
                cpu_float: [single::floor_divide(x, y), double::floor_divide(x, y)], cpu_int: { x.floor_div(y) },
                wgsl_f32: "m_floor_divide({a}, {b})", wgsl_f64: "d_floor_divide({a}, {b})", wgsl_int: "idiv_{T}({a}, {b})",
                exact: { super::float::exact::floor_divide(x, y) }, exact_int: { int::floor_div(x, y) },
                cost: 64, shader_cost: 32,
                derivative: zero,
            }
            /// Returns the remainder with the sign of the divisor, as Python's `%` does. For integers, `x % 0` is 0.
            #[doc(alias("mod", "rem"))]
            remainder(x, y): Numeric {
                threaded: none,
                cpu_float: [single::remainder(x, y), double::remainder(x, y)], cpu_int: { x.floor_mod(y) },
                wgsl_f32: "m_remainder({a}, {b})", wgsl_f64: "d_remainder({a}, {b})", wgsl_int: "imod_{T}({a}, {b})",
                exact: { super::float::exact::remainder(x, y) }, exact_int: { int::floor_mod(x, y) },
                cost: 64, shader_cost: 32, is: [keeps_range],
                derivative(g, out): [{ g.into() }, { -(g * x.floor_divide(y)) }],
            }
            /// Returns the exact remainder with the sign of the dividend. For integers, the remainder of a division by
            /// 0 is 0.
            fmod(x, y): Numeric {
                threaded: none,
                cpu_float: [single::fmod(x, y), double::fmod(x, y)], cpu_int: { x.trunc_mod(y) },
                wgsl_f32: "m_fmod({a}, {b})", wgsl_f64: "d_fmod({a}, {b})", wgsl_int: "fmod_{T}({a}, {b})",
                exact: { x % y }, exact_int: { if y == 0 { 0 } else { x % y } },
                cost: 64, shader_cost: 32, is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ g.into() }, { -(g * ((x - out) / y).round()) }],
            }
            /// Raises x to the power of y, with the special cases of IEEE 754. Integers wrap. For integers, a negative
            /// Rust number as the exponent is an error; for a negative exponent in an array, the result is 1/x^|y|,
            /// truncated to an integer (0 if x is 0).
            #[doc(alias("power"))]
            pow(x, y): Numeric {
                threaded: none,
                cpu_float: [single::pow(x, y), double::pow(x, y)], cpu_int: { x.power(y) },
                wgsl_f32: "m_pow({a}, {b})", wgsl_f64: "d_pow({a}, {b})", wgsl_int: "ipow_{T}({a}, {b})",
                exact: { super::float::exact::pow(x, y) }, exact_int: { int::pow(x, y) },
                domain: [-20.0, 20.0], cost: 34, shader_cost: 32,
                is: [power],
                derivative(g, out): [{ select(y.equal(0.0), 0.0, g * (y * x.pow(y - 1.0))) }, { select(x.equal(0.0), 0.0, g * (out * x.log())) }],
            }
            /// Returns the greatest common divisor of the operands' magnitudes. The result for two zeros is 0. A result
            /// that does not fit the type wraps, which only happens for the most negative number.
            gcd(x, y): Integer {
                threaded: none,
                cpu_int: { x.gcd(y) }, wgsl_int: "gcd_{T}({a}, {b})", exact_int: { int::gcd(x, y) },
                cost: 128, shader_cost: 64,
            }
            /// Returns the least common multiple of the operands' magnitudes, or 0 if one of them is 0. A result that
            /// does not fit the type wraps.
            lcm(x, y): Integer {
                threaded: none,
                cpu_int: { x.lcm(y) }, wgsl_int: "lcm_{T}({a}, {b})", exact_int: { int::lcm(x, y) },
                cost: 144, shader_cost: 64,
            }
            /// Returns the smaller operand, or NaN if either is NaN. −0 is smaller than +0.
            minimum(x, y): Numeric {
                cpu_float: [super::float::minimum32(x, y), super::float::minimum64(x, y)], cpu_int: { x.min(y) },
                cpu_bool: { x & y },
                wgsl_f32: "m_min({a}, {b})", wgsl_f64: "d_min({a}, {b})", wgsl_int: "min_{T}({a}, {b})",
                wgsl_bool: "{a} && {b}",
                exact: { super::float::exact::minimum(x, y) }, exact_int: { x.min(y) },
                reduce: { method: min, neutral: Highest, empty: refused, order: free, loops: narrow, picks: Smallest, scan: cummin },
                is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ shared(x.less_equal(y), x.equal(y), g) }, { shared(y.less_equal(x), x.equal(y), g) }],
            }
            /// Returns the larger operand, or NaN if either is NaN. +0 is larger than −0.
            maximum(x, y): Numeric {
                cpu_float: [super::float::maximum32(x, y), super::float::maximum64(x, y)], cpu_int: { x.max(y) },
                cpu_bool: { x | y },
                wgsl_f32: "m_max({a}, {b})", wgsl_f64: "d_max({a}, {b})", wgsl_int: "max_{T}({a}, {b})",
                wgsl_bool: "{a} || {b}",
                exact: { super::float::exact::maximum(x, y) }, exact_int: { x.max(y) },
                reduce: { method: max, neutral: Lowest, empty: refused, order: free, loops: narrow, picks: Largest, scan: cummax },
                is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ shared(x.greater_equal(y), x.equal(y), g) }, { shared(y.greater_equal(x), x.equal(y), g) }],
            }
            /// Returns the smaller operand. If only one is NaN, returns the other.
            fmin(x, y): Numeric {
                cpu_float: [super::float::fmin32(x, y), super::float::fmin64(x, y)], cpu_int: { x.min(y) },
                wgsl_f32: "m_fmin({a}, {b})", wgsl_f64: "d_fmin({a}, {b})", wgsl_int: "min_{T}({a}, {b})",
                exact: { super::float::exact::fmin(x, y) }, exact_int: { x.min(y) },
                is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ shared(out.equal(x), x.equal(y), g) }, { shared(out.equal(y), x.equal(y), g) }],
            }
            /// Returns the larger operand. If only one is NaN, returns the other.
            fmax(x, y): Numeric {
                cpu_float: [super::float::fmax32(x, y), super::float::fmax64(x, y)], cpu_int: { x.max(y) },
                wgsl_f32: "m_fmax({a}, {b})", wgsl_f64: "d_fmax({a}, {b})", wgsl_int: "max_{T}({a}, {b})",
                exact: { super::float::exact::fmax(x, y) }, exact_int: { x.max(y) },
                is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ shared(out.equal(x), x.equal(y), g) }, { shared(out.equal(y), x.equal(y), g) }],
            }
            /// Limits the value to `lo..=hi`. Returns `hi` if `lo > hi`, and NaN if any operand is NaN.
            #[doc(alias("relu6"))]
            clip(x, lo, hi): Numeric {
                cpu_float: [super::float::minimum32(super::float::maximum32(x, lo), hi),
                            super::float::minimum64(super::float::maximum64(x, lo), hi)],
                cpu_int: { mutant!(clip_upper_bound_first, x.min(hi).max(lo), x.max(lo).min(hi)) },
                wgsl_f32: "m_min(m_max({a}, {b}), {c})", wgsl_f64: "d_min(d_max({a}, {b}), {c})",
                wgsl_int: "min_{T}(max_{T}({a}, {b}), {c})",
                exact: { super::float::exact::minimum(super::float::exact::maximum(x, lo), hi) },
                exact_int: { x.max(lo).min(hi) },
                is: [never_rounds, keeps_range, opaque],
                derivative(g, out): [{ select(x.greater_equal(lo).logical_and(x.less_equal(hi)), g, 0.0) }, { select(x.less(lo).logical_and(lo.less_equal(hi)), g, 0.0) }, { select(x.maximum(lo).greater(hi), g, 0.0) }],
            }
            /// Changes the sign of each element. Integers wrap. Does not support bool.
            #[doc(alias("neg"))]
            negative(x): Numeric {
                cpu_float: [-x, -x], cpu_int: { x.wrapping_neg() },
                wgsl_f32: "m_neg({a})", wgsl_f64: "d_neg({a})", wgsl_int: "({T}(0) - {a})", wgsl_long: "neg_{T}({a})",
                exact: { -x }, exact_int: { -x }, is: [never_rounds],
                derivative(g, out): [{ -g }],
            }
            /// Returns the value unchanged.
            #[doc(alias("pos"))]
            positive(x): Numeric {
                cpu_float: [x, x], cpu_int: { x }, cpu_bool: { x },
                wgsl_f32: "{a}", wgsl_f64: "{a}", wgsl_int: "{a}", wgsl_bool: "{a}", exact: { x }, exact_int: { x },
                is: [never_rounds, keeps_range, opaque, moves_bits],
                derivative(g, out): [{ g.into() }],
            }
            /// Returns the magnitude (absolute value). The most negative integer is returned unchanged, because its
            /// magnitude does not fit the type.
            #[doc(alias("absolute", "fabs"))]
            abs(x): Numeric {
                cpu_float: [x.abs(), x.abs()], cpu_int: { x.magnitude() },
                wgsl_f32: "m_abs({a})", wgsl_f64: "d_abs({a})", wgsl_int: "abs_{T}({a})",
                exact: { x.abs() }, exact_int: { x.abs() }, is: [never_rounds],
                derivative(g, out): [{ g * x.sign() }],
            }
            /// Returns the square.
            #[doc(alias("sqr"))]
            square(x): Numeric {
                cpu_float: [x * x, x * x], cpu_int: { x.wrapping_mul(x) },
                wgsl_f32: "{a} * {a}", wgsl_f64: "{a} * {a}", wgsl_int: "square_{T}({a})",
                exact: { x * x }, exact_int: { x.wrapping_mul(x) },
                is: [multiplies],
                derivative(g, out): [{ g * (x * 2.0) }],
            }
            /// Returns the sign: −1, 0 or 1, or NaN for NaN.
            #[doc(alias("signum", "sgn"))]
            sign(x): Numeric {
                cpu_float: [super::float::sign32(x), super::float::sign64(x)], cpu_int: { x.signum_of() },
                wgsl_f32: "m_sign({a})", wgsl_f64: "d_sign({a})", wgsl_int: "sign_{T}({a})",
                exact: { super::float::exact::sign(x) }, exact_int: { x.signum() },
                is: [never_rounds, keeps_range, opaque],
                derivative: zero,
            }
            /// Rounds down to a whole number.
            floor(x): Numeric {
                cpu_float: [x.floor(), x.floor()], cpu_int: { x },
                wgsl_f32: "m_floor({a})", wgsl_f64: "d_floor({a})", wgsl_int: "{a}",
                exact: { x.floor() }, exact_int: { x },
                is: [never_rounds, keeps_range, opaque],
                derivative: zero,
            }
            /// Rounds up to a whole number.
            ceil(x): Numeric {
                cpu_float: [x.ceil(), x.ceil()], cpu_int: { x },
                wgsl_f32: "m_ceil({a})", wgsl_f64: "d_ceil({a})", wgsl_int: "{a}",
                exact: { x.ceil() }, exact_int: { x },
                is: [never_rounds, keeps_range, opaque],
                derivative: zero,
            }
            /// Rounds toward 0 to a whole number.
            #[doc(alias("fix"))]
            trunc(x): Numeric {
                cpu_float: [x.trunc(), x.trunc()], cpu_int: { x },
                wgsl_f32: "m_trunc({a})", wgsl_f64: "d_trunc({a})", wgsl_int: "{a}",
                exact: { x.trunc() }, exact_int: { x },
                is: [never_rounds, keeps_range, opaque],
                derivative: zero,
            }
            /// Rounds to the nearest whole number. A number halfway between two is rounded to the even one.
            #[doc(alias("rint", "around"))]
            round(x): Numeric {
                cpu_float: [x.round_ties_even(), x.round_ties_even()], cpu_int: { x },
                wgsl_f32: "m_round({a})", wgsl_f64: "d_round({a})", wgsl_int: "{a}",
                exact: { x.round_ties_even() }, exact_int: { x },
                is: [never_rounds, keeps_range, opaque],
                derivative: zero,
            }
        }
    };
}
pub(crate) use rows;

rows!(super::define);
