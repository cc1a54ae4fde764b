//! Rows: comparisons, tests, logic, bits and the choice between two operands.

use super::integer::{Int, exact as int};

/// Gives the table of this family to `$m`.
macro_rules! rows {
    ($m:path) => {
        $m! {
            /// Whether the operands are equal; −0 equals +0, NaN nothing.
            equal(x, y): Compare {
                ft: [(x == y) as u8, (x == y) as u8], it: (x == y) as u8, b: (x == y) as u8,
                wf: "m_eq({a}, {b})", wd: "d_eq({a}, {b})", wi: "{a} == {b}", wb: "{a} == {b}",
                exact: (x == y) as u8 as f64, exact_int(w): (x == y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the operands differ.
            not_equal(x, y): Compare {
                ft: [(x != y) as u8, (x != y) as u8], it: (x != y) as u8, b: (x != y) as u8,
                wf: "!m_eq({a}, {b})", wd: "!d_eq({a}, {b})", wi: "{a} != {b}", wb: "{a} != {b}",
                exact: (x != y) as u8 as f64, exact_int(w): (x != y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the first is smaller.
            less(x, y): Compare {
                ft: [(x < y) as u8, (x < y) as u8], it: (x < y) as u8, b: (x < y) as u8,
                wf: "m_lt({a}, {b})", wd: "d_lt({a}, {b})", wi: "{a} < {b}", wb: "(!{a} && {b})",
                exact: (x < y) as u8 as f64, exact_int(w): (x < y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the first is smaller or equal.
            less_equal(x, y): Compare {
                ft: [(x <= y) as u8, (x <= y) as u8], it: (x <= y) as u8, b: (x <= y) as u8,
                wf: "m_le({a}, {b})", wd: "d_le({a}, {b})", wi: "{a} <= {b}", wb: "(!{a} || {b})",
                exact: (x <= y) as u8 as f64, exact_int(w): (x <= y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the first is larger.
            greater(x, y): Compare {
                ft: [(x > y) as u8, (x > y) as u8], it: (x > y) as u8, b: (x > y) as u8,
                wf: "m_lt({b}, {a})", wd: "d_lt({b}, {a})", wi: "{a} > {b}", wb: "({a} && !{b})",
                exact: (x > y) as u8 as f64, exact_int(w): (x > y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the first is larger or equal.
            greater_equal(x, y): Compare {
                ft: [(x >= y) as u8, (x >= y) as u8], it: (x >= y) as u8, b: (x >= y) as u8,
                wf: "m_le({b}, {a})", wd: "d_le({b}, {a})", wi: "{a} >= {b}", wb: "({a} || !{b})",
                exact: (x >= y) as u8 as f64, exact_int(w): (x >= y) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the element is NaN.
            isnan(x): Test {
                ft: [x.is_nan() as u8, x.is_nan() as u8], it: 0, b: 0,
                wf: "m_isnan({a})", wd: "d_isnan({a})", wi: "({a} != {a})", wb: "({a} && !{a})",
                exact: x.is_nan() as u8 as f64, exact_int(w): 0,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the element is +∞ or −∞.
            isinf(x): Test {
                ft: [x.is_infinite() as u8, x.is_infinite() as u8], it: 0, b: 0,
                wf: "m_isinf({a})", wd: "d_isinf({a})", wi: "({a} != {a})", wb: "({a} && !{a})",
                exact: x.is_infinite() as u8 as f64, exact_int(w): 0,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the element is neither NaN nor infinite.
            isfinite(x): Test {
                ft: [x.is_finite() as u8, x.is_finite() as u8], it: 1, b: 1,
                wf: "m_isfinite({a})", wd: "d_isfinite({a})", wi: "({a} == {a})", wb: "({a} || !{a})",
                exact: x.is_finite() as u8 as f64, exact_int(w): 1,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the sign is minus, also of −0 and of a NaN.
            signbit(x): Test {
                ft: [x.is_sign_negative() as u8, x.is_sign_negative() as u8], it: x.is_negative_value(), b: 0,
                wf: "m_signbit({a})", wd: "d_signbit({a})", wi: "({a} < {T}(0))", wb: "({a} && !{a})",
                exact: x.is_sign_negative() as u8 as f64, exact_int(w): (x < 0) as i128,
                domain: [-3.0, 3.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether both are true (not 0).
            logical_and(x, y): Logical {
                b: x & y, wb: "{a} && {b}",
                exact: (x != 0.0 && y != 0.0) as u8 as f64, exact_int(w): (x != 0 && y != 0) as i128,
                domain: [0.0, 1.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], reduce: One,
            }
            /// Whether either is true (not 0).
            logical_or(x, y): Logical {
                b: x | y, wb: "{a} || {b}",
                exact: (x != 0.0 || y != 0.0) as u8 as f64, exact_int(w): (x != 0 || y != 0) as i128,
                domain: [0.0, 1.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], reduce: Zero,
            }
            /// Whether exactly one is true (not 0).
            logical_xor(x, y): Logical {
                b: x ^ y, wb: "{a} != {b}",
                exact: ((x != 0.0) != (y != 0.0)) as u8 as f64, exact_int(w): ((x != 0) != (y != 0)) as i128,
                domain: [0.0, 1.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Whether the element is 0.
            logical_not(x): Logical {
                b: x ^ 1, wb: "!{a}", exact: (x == 0.0) as u8 as f64, exact_int(w): (x == 0) as i128,
                domain: [0.0, 1.0], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// And of each bit.
            bitwise_and(x, y): Integer {
                i: x & y, b: x & y, wi: "{a} & {b}", wb: "{a} && {b}", exact_int(w): x & y,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Or of each bit.
            bitwise_or(x, y): Integer {
                i: x | y, b: x | y, wi: "{a} | {b}", wb: "{a} || {b}", exact_int(w): x | y,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Exclusive or of each bit.
            bitwise_xor(x, y): Integer {
                i: x ^ y, b: x ^ y, wi: "{a} ^ {b}", wb: "{a} != {b}", exact_int(w): x ^ y,
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
            /// Each bit inverted; bool: not.
            bitwise_invert(x): Integer {
                i: !x, b: x ^ 1, wi: "~{a}", wb: "!{a}", exact_int(w): if w == 1 { x ^ 1 } else { !x },
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Bits moved left; a shift by the width or more, or a negative one, gives 0. Not for bool.
            bitwise_left_shift(x, y): Integer {
                i: x.shift_left(y), wi: "shl_{T}({a}, {b})", exact_int(w): int::shift_left(x, y, w),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)],
            }
            /// Bits moved right; a shift by the width or more, or a negative one, gives 0 (−1 for a negative number).
            bitwise_right_shift(x, y): Integer {
                i: x.shift_right(y), wi: "shr_{T}({a}, {b})", exact_int(w): int::shift_right(x, y, w),
                domain: [-1e3, 1e3], bound: [Ulp(0.0), Ulp(0.0), Ulp(0.0), Ulp(0.0)], flags: [closed],
            }
        }
    };
}
pub(crate) use rows;

mod table {
    use super::*;
    rows!(crate::ufunc::define);
}
pub(crate) use table::*;

use super::{Bound, Class, Ufunc};
use crate::dtype::Compute;
use crate::simd::{Call, Loops};

struct Choose;
macro_rules! choose {
    ($($t:ty)*) => { $(
        impl Call<u8, $t, $t, $t> for Choose {
            #[inline(always)]
            fn call(c: u8, a: $t, b: $t) -> $t {
                if c != 0 { a } else { b }
            }
        }
    )* };
}
choose! { u8 u32 u64 }

/// The second operand where the first is true, else the third. Its loops move bits, by the compute type of the last two.
pub(crate) static SELECT: Ufunc = {
    let bits8 = Some(Loops::ternary::<u8, u8, u8, u8, Choose>());
    let bits32 = Some(Loops::ternary::<u8, u32, u32, u32, Choose>());
    let bits64 = Some(Loops::ternary::<u8, u64, u64, u64, Choose>());
    let mut loops = [bits32; Compute::COUNT];
    loops[Compute::Bool as usize] = bits8;
    loops[Compute::I64 as usize] = bits64;
    loops[Compute::U64 as usize] = bits64;
    loops[Compute::F64 as usize] = bits64;
    Ufunc {
        id: super::intern::RowId::new(),
        name: "select",
        doc: "The second operand where the first is true, else the third.",
        arity: 3,
        class: Class::Select,
        loops,
        wgsl: [Some("select({c}, {b}, {a})"); Compute::COUNT],
        exact: Some(|c, a, b| if c != 0.0 { a } else { b }),
        exact_int: Some(|c, a, b, _| if c != 0 { a } else { b }),
        domain: [-1e3, 1e3],
        bounds: [Bound::Ulp(0.0); 4],
        reduce: None,
        rounds_first: false,
        dear: false,
        closed: true,
        half: None,
    }
};
