//! The rows of the table of ufuncs for comparisons, tests of single elements, logic and bit operations, and the row
//! `select`.

use super::integer::{Int, exact as int};

/// Calls the macro `$m` with this file's rows: `define!` makes statics from them, and `methods!`
/// (`ops/functions/mod.rs`) makes methods.
macro_rules! rows {
    ($m:path) => {
        $m! {
            /// Returns whether the operands are equal. −0 equals +0, and NaN equals nothing.
            #[doc(alias("eq"))]
            equal(x, y): Compare {
                cpu_float: [(x == y) as u8, (x == y) as u8], cpu_int: { (x == y) as u8 },
                cpu_bool: { (x == y) as u8 },
                wgsl_f32: "m_eq({a}, {b})", wgsl_f64: "d_eq({a}, {b})", wgsl_int: "{a} == {b}", wgsl_long: "eq_{T}({a}, {b})",
                wgsl_bool: "{a} == {b}",
                exact: { (x == y) as u8 as f64 }, exact_int: { (x == y) as i128 },
                domain: [-3.0, 3.0], compares: Equal,
            }
            /// Returns whether the operands differ.
            #[doc(alias("ne"))]
            not_equal(x, y): Compare {
                cpu_float: [(x != y) as u8, (x != y) as u8], cpu_int: { (x != y) as u8 },
                cpu_bool: { (x != y) as u8 },
                wgsl_f32: "!m_eq({a}, {b})", wgsl_f64: "!d_eq({a}, {b})", wgsl_int: "{a} != {b}", wgsl_long: "!eq_{T}({a}, {b})",
                wgsl_bool: "{a} != {b}",
                exact: { (x != y) as u8 as f64 }, exact_int: { (x != y) as i128 },
                domain: [-3.0, 3.0], compares: NotEqual,
            }
            /// Returns whether the first operand is smaller than the second.
            #[doc(alias("lt"))]
            less(x, y): Compare {
                cpu_float: [(x < y) as u8, (x < y) as u8], cpu_int: { (x < y) as u8 }, cpu_bool: { (x < y) as u8 },
                wgsl_f32: "m_lt({a}, {b})", wgsl_f64: "d_lt({a}, {b})", wgsl_int: "{a} < {b}", wgsl_long: "lt_{T}({a}, {b})",
                wgsl_bool: "(!{a} && {b})",
                exact: { (x < y) as u8 as f64 }, exact_int: { (x < y) as i128 },
                domain: [-3.0, 3.0], compares: Less,
            }
            /// Returns whether the first operand is smaller than or equal to the second.
            #[doc(alias("le"))]
            less_equal(x, y): Compare {
                cpu_float: [(x <= y) as u8, (x <= y) as u8], cpu_int: { (x <= y) as u8 },
                cpu_bool: { (x <= y) as u8 },
                wgsl_f32: "m_le({a}, {b})", wgsl_f64: "d_le({a}, {b})", wgsl_int: "{a} <= {b}", wgsl_long: "!lt_{T}({b}, {a})",
                wgsl_bool: "(!{a} || {b})",
                exact: { (x <= y) as u8 as f64 }, exact_int: { (x <= y) as i128 },
                domain: [-3.0, 3.0], compares: LessEqual,
            }
            /// Returns whether the first operand is larger than the second.
            #[doc(alias("gt"))]
            greater(x, y): Compare {
                cpu_float: [(x > y) as u8, (x > y) as u8], cpu_int: { (x > y) as u8 }, cpu_bool: { (x > y) as u8 },
                wgsl_f32: "m_lt({b}, {a})", wgsl_f64: "d_lt({b}, {a})", wgsl_int: "{a} > {b}", wgsl_long: "lt_{T}({b}, {a})",
                wgsl_bool: "({a} && !{b})",
                exact: { (x > y) as u8 as f64 }, exact_int: { (x > y) as i128 },
                domain: [-3.0, 3.0], compares: Greater,
            }
            /// Returns whether the first operand is larger than or equal to the second.
            #[doc(alias("ge"))]
            greater_equal(x, y): Compare {
                cpu_float: [(x >= y) as u8, (x >= y) as u8], cpu_int: { (x >= y) as u8 },
                cpu_bool: { (x >= y) as u8 },
                wgsl_f32: "m_le({b}, {a})", wgsl_f64: "d_le({b}, {a})", wgsl_int: "{a} >= {b}", wgsl_long: "!lt_{T}({a}, {b})",
                wgsl_bool: "({a} || !{b})",
                exact: { (x >= y) as u8 as f64 }, exact_int: { (x >= y) as i128 },
                domain: [-3.0, 3.0], compares: GreaterEqual,
            }
            /// Returns whether the element is NaN.
            #[doc(alias("is_nan"))]
            isnan(x): Test {
                cpu_float: [x.is_nan() as u8, x.is_nan() as u8], cpu_int: { 0 }, cpu_bool: { 0 },
                wgsl_f32: "m_isnan({a})", wgsl_f64: "d_isnan({a})", wgsl_int: "({a} != {a})", wgsl_long: "!eq_{T}({a}, {a})",
                wgsl_bool: "({a} && !{a})",
                exact: { x.is_nan() as u8 as f64 }, exact_int: { 0 },
                domain: [-3.0, 3.0],
            }
            /// Returns whether the element is +∞ or −∞.
            #[doc(alias("is_inf", "is_infinite"))]
            isinf(x): Test {
                cpu_float: [x.is_infinite() as u8, x.is_infinite() as u8], cpu_int: { 0 }, cpu_bool: { 0 },
                wgsl_f32: "m_isinf({a})", wgsl_f64: "d_isinf({a})", wgsl_int: "({a} != {a})", wgsl_long: "!eq_{T}({a}, {a})",
                wgsl_bool: "({a} && !{a})",
                exact: { x.is_infinite() as u8 as f64 }, exact_int: { 0 },
                domain: [-3.0, 3.0],
            }
            /// Returns whether the element is neither NaN nor infinite.
            #[doc(alias("is_finite"))]
            isfinite(x): Test {
                cpu_float: [x.is_finite() as u8, x.is_finite() as u8], cpu_int: { 1 }, cpu_bool: { 1 },
                wgsl_f32: "m_isfinite({a})", wgsl_f64: "d_isfinite({a})", wgsl_int: "({a} == {a})", wgsl_long: "eq_{T}({a}, {a})",
                wgsl_bool: "({a} || !{a})",
                exact: { x.is_finite() as u8 as f64 }, exact_int: { 1 },
                domain: [-3.0, 3.0],
            }
            /// Returns whether the sign is negative, also for −0 and NaN.
            #[doc(alias("is_sign_negative"))]
            signbit(x): Test {
                cpu_float: [x.is_sign_negative() as u8, x.is_sign_negative() as u8],
                cpu_int: { x.is_negative_value() }, cpu_bool: { 0 },
                wgsl_f32: "m_signbit({a})", wgsl_f64: "d_signbit({a})", wgsl_int: "({a} < {T}(0))", wgsl_long: "lt_{T}({a}, bool_to_{T}(false))",
                wgsl_bool: "({a} && !{a})",
                exact: { x.is_sign_negative() as u8 as f64 }, exact_int: { (x < 0) as i128 },
                domain: [-3.0, 3.0],
            }
            /// Returns whether both operands are true (not 0).
            logical_and(x, y): Logical {
                cpu_bool: { ((x != 0) & (y != 0)) as u8 }, wgsl_bool: "{a} && {b}",
                exact: { (x != 0.0 && y != 0.0) as u8 as f64 }, exact_int: { (x != 0 && y != 0) as i128 },
                domain: [0.0, 1.0], is: [takes_any_byte],
                reduce: { method: all, neutral: One, empty: 1.0, order: free },
            }
            /// Returns whether at least one operand is true (not 0).
            logical_or(x, y): Logical {
                cpu_bool: { ((x != 0) | (y != 0)) as u8 }, wgsl_bool: "{a} || {b}",
                exact: { (x != 0.0 || y != 0.0) as u8 as f64 }, exact_int: { (x != 0 || y != 0) as i128 },
                domain: [0.0, 1.0], is: [takes_any_byte],
                reduce: { method: any, neutral: Zero, empty: 0.0, order: free },
            }
            /// Returns whether exactly one operand is true (not 0).
            logical_xor(x, y): Logical {
                cpu_bool: { ((x != 0) ^ (y != 0)) as u8 }, wgsl_bool: "{a} != {b}",
                exact: { ((x != 0.0) != (y != 0.0)) as u8 as f64 }, exact_int: { ((x != 0) != (y != 0)) as i128 },
                domain: [0.0, 1.0], is: [takes_any_byte],
            }
            /// Returns whether the element is 0.
            #[doc(alias("not"))]
            logical_not(x): Logical {
                cpu_bool: { (x == 0) as u8 }, wgsl_bool: "!{a}",
                exact: { (x == 0.0) as u8 as f64 }, exact_int: { (x == 0) as i128 },
                domain: [0.0, 1.0], is: [takes_any_byte],
            }
            /// Returns the bitwise and of the operands.
            bitwise_and(x, y): Integer {
                cpu_int: { x & y }, cpu_bool: { ((x != 0) & (y != 0)) as u8 }, wgsl_int: "{a} & {b}", wgsl_long: "and_{T}({a}, {b})", wgsl_bool: "{a} && {b}",
                exact_int: { x & y }, is: [keeps_range, takes_any_byte],
            }
            /// Returns the bitwise or of the operands.
            bitwise_or(x, y): Integer {
                cpu_int: { x | y }, cpu_bool: { ((x != 0) | (y != 0)) as u8 }, wgsl_int: "{a} | {b}", wgsl_long: "or_{T}({a}, {b})", wgsl_bool: "{a} || {b}",
                exact_int: { x | y }, is: [keeps_range, takes_any_byte],
            }
            /// Returns the bitwise exclusive or of the operands.
            bitwise_xor(x, y): Integer {
                cpu_int: { x ^ y }, cpu_bool: { ((x != 0) ^ (y != 0)) as u8 }, wgsl_int: "{a} ^ {b}", wgsl_long: "xor_{T}({a}, {b})", wgsl_bool: "{a} != {b}",
                exact_int: { x ^ y }, is: [keeps_range, takes_any_byte],
            }
            /// Inverts each bit of each element. For bool, returns the logical not.
            #[doc(alias("invert", "bitwise_not"))]
            bitwise_invert(x): Integer {
                cpu_int: { !x }, cpu_bool: { (x == 0) as u8 }, wgsl_int: "~{a}", wgsl_long: "not_{T}({a})", wgsl_bool: "!{a}",
                exact_int(w): { if w == 1 { x ^ 1 } else { !x } }, is: [takes_any_byte],
            }
            /// Shifts the bits left. A shift by the width of the type (in bits) or more, or by a negative number,
            /// returns 0. Does not support bool.
            #[doc(alias("left_shift", "shl"))]
            bitwise_left_shift(x, y): Integer {
                cpu_int: { x.shift_left(y) }, wgsl_int: "shl_{T}({a}, {b})",
                exact_int(w): { int::shift_left(x, y, w) },
            }
            /// Shifts the bits right. A shift by the width of the type (in bits) or more, or by a negative number,
            /// returns 0 (−1 for a negative element).
            #[doc(alias("right_shift", "shr"))]
            bitwise_right_shift(x, y): Integer {
                cpu_int: { x.shift_right(y) }, wgsl_int: "shr_{T}({a}, {b})",
                exact_int(w): { int::shift_right(x, y, w) },
                is: [keeps_range],
            }
        }
    };
}
pub(crate) use rows;

mod table {
    use super::*;
    rows!(crate::graph::ufunc::define);
}
pub(crate) use table::*;

use super::formula::select;
use super::{Class, Formula, Partial, Ufunc};
use crate::base::dtype::Compute;
use crate::math::simd::threaded::{InstructionCodes, M4, M8, N4, N8};
use crate::math::simd::{Forms, ScalarFn};

struct Choose;
macro_rules! choose {
    ($($t:ty)*) => { $(
        impl ScalarFn<u8, $t, $t, $t> for Choose {
            #[inline(always)]
            fn call(c: u8, a: $t, b: $t) -> $t {
                if c != 0 { a } else { b }
            }
        }
    )* };
}
choose! { u8 u32 u64 }

fn of_chosen([condition, ..]: [&Formula; 3], _: &Formula, g: &Formula) -> Formula {
    select(condition, g, 0.0)
}

fn of_other([condition, ..]: [&Formula; 3], _: &Formula, g: &Formula) -> Formula {
    select(condition, 0.0, g)
}

/// The row of `select`: the second operand where the first is true, otherwise the third. It is outside `rows!`, because
/// its loops move words of the size of the last two operands' compute type, which no key of `define!` can express.
pub(crate) static SELECT: Ufunc = {
    let bool4 = Some(InstructionCodes::of::<u32, N4, M4, u8, u8, u8, u8, Choose>(3, false));
    let bool8 = Some(InstructionCodes::of::<u64, N8, M8, u8, u8, u8, u8, Choose>(3, false));
    let words4 = Some(InstructionCodes::of::<u32, N4, M4, u8, u32, u32, u32, Choose>(3, false));
    let words8 = Some(InstructionCodes::of::<u64, N8, M8, u8, u64, u64, u64, Choose>(3, false));
    let bits8 = Some(Forms::of::<u8, u8, u8, u8, Choose>(3, None).with_threaded([bool4, bool8]));
    let bits32 = Some(Forms::of::<u8, u32, u32, u32, Choose>(3, None).with_threaded([words4, None]));
    let bits64 = Some(Forms::of::<u8, u64, u64, u64, Choose>(3, None).with_threaded([None, words8]));
    let mut forms = [bits32; Compute::COUNT];
    forms[Compute::Bool as usize] = bits8;
    forms[Compute::I64 as usize] = bits64;
    forms[Compute::U64 as usize] = bits64;
    forms[Compute::F64 as usize] = bits64;
    let doc = "The second operand where the first is true, else the third.";
    let mut row = Ufunc::new("select", doc, 3, Class::Select);
    row.forms = forms;
    row.wgsl = [Some("select({c}, {b}, {a})"); Compute::COUNT];
    row.wgsl[Compute::I64 as usize] = Some("select_{T}({c}, {b}, {a})");
    row.wgsl[Compute::U64 as usize] = Some("select_{T}({c}, {b}, {a})");
    row.exact = Some(|c, a, b| if c != 0.0 { a } else { b });
    row.exact_int = Some(|c, a, b, _| if c != 0 { a } else { b });
    row.derivative = Some(&[Partial::Zero, Partial::Is(of_chosen), Partial::Is(of_other)]);
    row.properties.never_rounds = true;
    row.properties.moves_bits = true;
    row.properties.keeps_range = true;
    row.properties.opaque = true;
    row
};
