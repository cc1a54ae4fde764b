//! The macro `array!`, and the rule that decides the dtype of its elements.

use super::Elements;
use crate::array::Array;
use std::panic::Location;

/// Creates an array from nested elements: `array![[1., 2.], [3., 4.]]`. It is on the CPU, or on the device of the current
/// [`Device::scope`](crate::Device::scope). If every element is a float literal
/// without a suffix (with or without a minus sign), the dtype is f32. Otherwise the elements keep their Rust type: a
/// variable of type f64 or a literal `1.0f64` makes the array f64, and integer literals are i32.
///
/// ```
/// use cupric::{DType, array};
/// let x = 0.1;
/// assert_eq!(array![[1., -2.], [3., 4.]].dtype(), DType::F32);
/// assert_eq!(array![1.0, x].dtype(), DType::F64);
/// assert_eq!(array![1, 2, 3].dtype(), DType::I32);
/// assert_eq!(array![true, false].shape(), [2]);
/// ```
///
/// ```compile_fail,E0277
/// let words = cupric::array!["one", "two"]; // an array cannot hold strings
/// ```
#[macro_export]
macro_rules! array {
    ($($items:tt)*) => {
        $crate::literal::<
            {
                // for a long list, the evaluation of this constant takes more steps than this lint allows
                #[allow(long_running_const_eval)]
                const ALL: bool = $crate::all_float_literals(stringify!($($items)*));
                ALL
            },
            _,
        >([$($items)*])
    };
}

/// A type of elements that [`array!`](crate::array) accepts. If `FLOAT_LITERALS` is true, all elements are float
/// literals without a suffix, which become f32.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`array!` does not accept `{Self}`",
    label = "bool, integers up to 64 bits, f16, bf16, f32, f64 and nested `[..]` of one of them can be elements"
)]
pub trait LiteralArray<const FLOAT_LITERALS: bool>: Elements {}
impl<T: Elements> LiteralArray<false> for T {}
// With `FLOAT_LITERALS` only f32 implements the trait, so the compiler infers f32 for the literals.
impl LiteralArray<true> for f32 {}
impl<T: LiteralArray<true>, const N: usize> LiteralArray<true> for [T; N] {}

/// Implements [`array!`](crate::array).
#[doc(hidden)]
#[track_caller]
pub fn literal<const FLOAT_LITERALS: bool, T: LiteralArray<FLOAT_LITERALS>>(items: T) -> Array {
    let (mut shape, mut elements) = (vec![], vec![]);
    T::lengths(&mut shape);
    items.gather(&mut elements);
    Array::given(elements, &shape, "array!", Location::caller())
}

/// Returns whether each element of a list is a float literal without a suffix. `tokens` is the list as the compiler
/// prints it. A float literal has digits with a point or an exponent. Minus signs may precede it, and brackets may
/// enclose it to any depth. In `[value; count]`, the count is skipped.
#[doc(hidden)]
pub const fn all_float_literals(tokens: &str) -> bool {
    let text = tokens.as_bytes();
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            b'0'..=b'9' => {
                let mut float = false;
                while i < text.len() {
                    match text[i] {
                        b'0'..=b'9' | b'_' => {}
                        b'.' => float = true,
                        b'e' | b'E' => {
                            float = true;
                            if i + 1 < text.len() && (text[i + 1] == b'-' || text[i + 1] == b'+') {
                                i += 1;
                            }
                        }
                        // the literal has a suffix, a prefix as in 0x1e, or a method call
                        b'a'..=b'z' | b'A'..=b'Z' => return false,
                        _ => break,
                    }
                    i += 1;
                }
                // A literal must be followed by `,` (before the next element), `]` or `;` (before a count). Otherwise
                // it is part of a formula.
                while i < text.len() && text[i].is_ascii_whitespace() {
                    i += 1;
                }
                if !float || i < text.len() && !matches!(text[i], b',' | b']' | b';') {
                    return false;
                }
            }
            b'[' | b']' | b',' | b'-' | b' ' | b'\n' | b'\t' | b'\r' => i += 1,
            // the count of `[value; count]` may be any expression, so it is skipped up to the bracket that ends it
            b';' => {
                let mut depth = 0;
                while i < text.len() && (depth > 0 || text[i] != b']') {
                    match text[i] {
                        b'[' | b'(' | b'{' => depth += 1,
                        b']' | b')' | b'}' => depth -= 1,
                        _ => {}
                    }
                    i += 1;
                }
            }
            _ => return false,
        }
    }
    true
}
