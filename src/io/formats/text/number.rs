//! Reads and writes the numbers of a table as text. A number is rounded only once when it is read, and it is written
//! with enough digits to read back as the same number.

use crate::base::dtype::to_odd;
use std::cmp::Ordering;
use std::fmt::{Debug, Write};
use std::str::FromStr;

/// Appends a number to a string, with the fewest digits that read back as the same number. Very large and very small
/// numbers get an exponent.
pub fn plain<T: Debug>(value: T, to: &mut String) {
    // writing to a string does not fail
    let _ = write!(to, "{value:?}");
}

pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Reads a float, correctly rounded by the standard library. Returns `None` for a number with digits that rounds to an
/// infinity.
pub fn float<T: FromStr + Copy>(text: &str, is_finite: impl Fn(T) -> bool) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    (is_finite(value) || !is_number(text)).then_some(value)
}

/// Returns whether the text of a float has digits. Infinities and NaN have none.
fn is_number(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// Reads a 16-bit float, correctly rounded. The text is first read as an f64. If this f64 lies exactly in the middle of
/// two 16-bit numbers, the digits of the text decide whether the number is above, below or in the middle.
pub fn narrow<T: Copy + PartialEq>(text: &str, round: impl Fn(f32) -> T, is_finite: impl Fn(T) -> bool) -> Option<T> {
    let round = |value: f64| round(to_odd(value));
    let value = float(text, f64::is_finite)?;
    let (below, above) = (round(value.next_down()), round(value.next_up()));
    // the middle of two 16-bit numbers is an f32, so an f64 that is not an f32 cannot be such a middle
    let is_middle = f64::from(value as f32) == value && below != above;
    let rounded = match value.is_nan() || !is_middle {
        true => round(value),
        false => match Digits::of(text).cmp(&Digits::of(&format!("{:.1100}", value.abs()))) {
            Ordering::Equal => round(value),
            // the comparison ignores signs
            Ordering::Greater => {
                if value > 0.0 {
                    above
                } else {
                    below
                }
            }
            Ordering::Less => {
                if value > 0.0 {
                    below
                } else {
                    above
                }
            }
        },
    };
    (is_finite(rounded) || !is_number(text)).then_some(rounded)
}

/// A positive decimal number: the power of ten of its first digit, and its digits without zeros at either end. The
/// derived order is the order of the numbers, except for zero, which has no digits.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Digits {
    exponent: i64,
    digits: Vec<u8>,
}

impl Digits {
    /// Reads a number in the syntax that `f64` accepts, and ignores its sign.
    fn of(text: &str) -> Digits {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mantissa = mantissa.trim_start_matches(['+', '-']);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|d| **d == b'0').count();
        digits.drain(..zeros);
        digits.truncate(digits.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1));
        // an exponent that does not fit belongs to an infinity or to zero, and neither lies in the middle of two
        // numbers
        let exponent = exponent.parse::<i64>().unwrap_or(0);
        Digits { exponent: exponent.saturating_add(whole.len() as i64 - zeros as i64), digits }
    }
}
