//! Rows: arithmetic that integers have too.

use super::integer::{Int, exact as int};
use crate::math::{double, single};

/// Gives the table of this family to `$m`.
macro_rules! rows {
    ($m:path) => {
        $m! {
            /// Sum; bool: or.
            add(x, y): Numeric {
                f: [x + y, x + y], i: x.wrapping_add(y), b: x | y,
                wf: "{a} + {b}", wd: "{a} + {b}", wi: "{a} + {b}", wb: "{a} || {b}",
                exact: x + y, exact_int(w): x + y,
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(1.0), Ulp(0.5), Ulp(0.5)], reduce: Zero,
            }
            /// Difference; not for bool.
            subtract(x, y): Numeric {
                f: [x - y, x - y], i: x.wrapping_sub(y),
                wf: "{a} - {b}", wd: "{a} - {b}", wi: "{a} - {b}",
                exact: x - y, exact_int(w): x - y,
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(1.0), Ulp(0.5), Ulp(0.5)],
            }
            /// Product; bool: and.
            multiply(x, y): Numeric {
                f: [x * y, x * y], i: x.wrapping_mul(y), b: x & y,
                wf: "{a} * {b}", wd: "{a} * {b}", wi: "{a} * {b}", wb: "{a} && {b}",
                exact: x * y, exact_int(w): x.wrapping_mul(y),
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(1.0), Ulp(0.5), Ulp(0.5)], reduce: One,
            }
            /// Quotient; integers and bool give f32.
            divide(x, y): Float {
                f: [x / y, x / y],
                wf: "m_div({a}, {b})", wd: "{a} / {b}",
                exact: x / y,
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(2.5), Ulp(0.5), Ulp(0.5)],
            }
            /// Quotient rounded down, as NumPy's `//`; integers: `x // 0 = 0`.
            floor_divide(x, y): Numeric {
                f: [single::floor_divide(x, y), double::floor_divide(x, y)], i: x.floor_div(y),
                wf: "m_floor_divide({a}, {b})", wi: "idiv_{T}({a}, {b})",
                exact: super::float::exact::floor_divide(x, y), exact_int(w): int::floor_div(x, y),
                domain: [-1e3, 1e3], bound: [Ulp(2.0), Ulp(8.0), Ulp(2.0), Ulp(1.0)], flags: [dear],
            }
            /// Remainder with the sign of the divisor (Python's `%`); integers: `x % 0 = 0`.
            remainder(x, y): Numeric {
                f: [single::remainder(x, y), double::remainder(x, y)], i: x.floor_mod(y),
                wf: "m_remainder({a}, {b})", wi: "imod_{T}({a}, {b})",
                exact: super::float::exact::remainder(x, y), exact_int(w): int::floor_mod(x, y),
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(1.0), Ulp(0.5), Ulp(0.5)], flags: [dear],
            }
            /// Remainder with the sign of the dividend, exact; integers: 0 for a divisor of 0.
            fmod(x, y): Numeric {
                f: [single::fmod(x, y), double::fmod(x, y)], i: x.trunc_mod(y),
                wf: "m_fmod({a}, {b})", wi: "fmod_{T}({a}, {b})",
                exact: x % y, exact_int(w): if y == 0 { 0 } else { x % y },
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [dear, closed],
            }
            /// Power, with IEEE 754's special cases; integers wrap, and a negative exponent gives 1/x truncated.
            pow(x, y): Numeric {
                f: [single::pow(x, y), double::pow(x, y)], i: x.power(y),
                wf: "m_pow({a}, {b})", wi: "ipow_{T}({a}, {b})",
                exact: super::float::exact::pow(x, y), exact_int(w): int::pow(x, y),
                domain: [-20.0, 20.0], bound: [Ulp(2.0), Ulp(16.0), Ulp(4.0), Ulp(1.0)], flags: [dear],
            }
            /// The smaller; NaN if either is NaN, and −0 is smaller than +0.
            minimum(x, y): Numeric {
                f: [super::float::minimum32(x, y), super::float::minimum64(x, y)], i: x.min(y), b: x & y,
                wf: "m_min({a}, {b})", wd: "d_min({a}, {b})", wi: "min({a}, {b})", wb: "{a} && {b}",
                exact: super::float::exact::minimum(x, y), exact_int(w): x.min(y),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], reduce: Highest, flags: [closed],
            }
            /// The larger; NaN if either is NaN, and +0 is larger than −0.
            maximum(x, y): Numeric {
                f: [super::float::maximum32(x, y), super::float::maximum64(x, y)], i: x.max(y), b: x | y,
                wf: "m_max({a}, {b})", wd: "d_max({a}, {b})", wi: "max({a}, {b})", wb: "{a} || {b}",
                exact: super::float::exact::maximum(x, y), exact_int(w): x.max(y),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], reduce: Lowest, flags: [closed],
            }
            /// The smaller; a NaN is ignored where the other is a number.
            fmin(x, y): Numeric {
                f: [super::float::fmin32(x, y), super::float::fmin64(x, y)], i: x.min(y),
                wf: "m_fmin({a}, {b})", wd: "d_fmin({a}, {b})", wi: "min({a}, {b})",
                exact: super::float::exact::fmin(x, y), exact_int(w): x.min(y),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// The larger; a NaN is ignored where the other is a number.
            fmax(x, y): Numeric {
                f: [super::float::fmax32(x, y), super::float::fmax64(x, y)], i: x.max(y),
                wf: "m_fmax({a}, {b})", wd: "d_fmax({a}, {b})", wi: "max({a}, {b})",
                exact: super::float::exact::fmax(x, y), exact_int(w): x.max(y),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// The value limited to `lo..=hi`; `hi` where `lo > hi`, NaN where any is NaN.
            clip(x, lo, hi): Numeric {
                f: [super::float::minimum32(super::float::maximum32(x, lo), hi),
                    super::float::minimum64(super::float::maximum64(x, lo), hi)],
                i: mutant!(clip_upper_bound_first, x.min(hi).max(lo), x.max(lo).min(hi)),
                wf: "m_min(m_max({a}, {b}), {c})", wd: "d_min(d_max({a}, {b}), {c})", wi: "min(max({a}, {b}), {c})",
                exact: super::float::exact::minimum(super::float::exact::maximum(x, lo), hi),
                exact_int(w): x.max(lo).min(hi),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// The value with its sign changed; integers wrap; not for bool.
            negative(x): Numeric {
                f: [-x, -x], i: x.wrapping_neg(),
                wf: "m_neg({a})", wd: "d_neg({a})", wi: "({T}(0) - {a})",
                exact: -x, exact_int(w): -x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// The value itself.
            positive(x): Numeric {
                f: [x, x], i: x, b: x,
                wf: "{a}", wd: "{a}", wi: "{a}", wb: "{a}",
                exact: x, exact_int(w): x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// The magnitude; the most negative integer stays as it is.
            abs(x): Numeric {
                f: [x.abs(), x.abs()], i: x.magnitude(),
                wf: "m_abs({a})", wd: "d_abs({a})", wi: "abs_{T}({a})",
                exact: x.abs(), exact_int(w): x.abs(),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// The square.
            square(x): Numeric {
                f: [x * x, x * x], i: x.wrapping_mul(x),
                wf: "{a} * {a}", wd: "{a} * {a}", wi: "{a} * {a}",
                exact: x * x, exact_int(w): x.wrapping_mul(x),
                domain: [-1e3, 1e3], bound: [Ulp(0.5), Ulp(1.0), Ulp(0.5), Ulp(0.5)],
            }
            /// −1, 0 or 1; NaN for NaN.
            sign(x): Numeric {
                f: [super::float::sign32(x), super::float::sign64(x)], i: x.signum_of(),
                wf: "m_sign({a})", wd: "d_sign({a})", wi: "sign_{T}({a})",
                exact: super::float::exact::sign(x), exact_int(w): x.signum(),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Rounded down.
            floor(x): Numeric {
                f: [x.floor(), x.floor()], i: x,
                wf: "m_floor({a})", wd: "d_floor({a})", wi: "{a}",
                exact: x.floor(), exact_int(w): x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Rounded up.
            ceil(x): Numeric {
                f: [x.ceil(), x.ceil()], i: x,
                wf: "m_ceil({a})", wd: "d_ceil({a})", wi: "{a}",
                exact: x.ceil(), exact_int(w): x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Rounded toward 0.
            trunc(x): Numeric {
                f: [x.trunc(), x.trunc()], i: x,
                wf: "m_trunc({a})", wd: "d_trunc({a})", wi: "{a}",
                exact: x.trunc(), exact_int(w): x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Rounded to the nearest integer, halves to even.
            round(x): Numeric {
                f: [x.round_ties_even(), x.round_ties_even()], i: x,
                wf: "m_round({a})", wd: "d_round({a})", wi: "{a}",
                exact: x.round_ties_even(), exact_int(w): x,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
        }
    };
}
pub(crate) use rows;

rows!(super::define);
