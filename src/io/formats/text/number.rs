//! Numbers of a table: read and rounded once, and written so that they read back.

use crate::base::dtype::to_odd;
use std::cmp::Ordering;
use std::fmt::{Debug, Write};
use std::str::FromStr;

/// Writes a number with the fewest digits that read back as the same one; with an exponent where it would be long.
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

/// Reads a float, correctly rounded by the standard library. None where a finite number becomes an infinity.
pub fn float<T: FromStr + Copy>(text: &str, is_finite: impl Fn(T) -> bool) -> Option<T> {
    let value = text.parse::<T>().ok()?;
    (is_finite(value) || !is_number(text)).then_some(value)
}

/// Whether a text that has been read as a float is one of digits, not an infinity or NaN.
fn is_number(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

/// Reads a float of 16 bits, correctly rounded. Rounding the f64 would be rounding twice, which is wrong where that f64 lies in the middle of two
/// numbers of 16 bits and the text does not: there the text decides.
pub fn narrow<T: Copy + PartialEq>(text: &str, round: impl Fn(f32) -> T, is_finite: impl Fn(T) -> bool) -> Option<T> {
    let round = |value: f64| round(to_odd(value));
    let value = float(text, f64::is_finite)?;
    let (below, above) = (round(value.next_down()), round(value.next_up()));
    // the middle of two numbers of 16 bits is a number of 32
    let is_middle = f64::from(value as f32) == value && below != above;
    let rounded = match value.is_nan() || !is_middle {
        true => round(value),
        false => match Digits::of(text).cmp(&Digits::of(&format!("{:.1100}", value.abs()))) {
            Ordering::Equal => round(value),
            // numbers are compared without their signs
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

/// A positive decimal number: the power of ten of its first digit, and its digits without zeros at either end. So the derived order is that of
/// the numbers, but for zero, which has no digits.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Digits {
    exponent: i64,
    digits: Vec<u8>,
}

impl Digits {
    /// Reads a number as `f64` does, without its sign.
    fn of(text: &str) -> Digits {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mantissa = mantissa.trim_start_matches(['+', '-']);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|d| **d == b'0').count();
        digits.drain(..zeros);
        digits.truncate(digits.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1));
        // an exponent that does not fit is that of an infinity or of zero, neither of which lies in the middle of two numbers
        let exponent = exponent.parse::<i64>().unwrap_or(0);
        Digits { exponent: exponent.saturating_add(whole.len() as i64 - zeros as i64), digits }
    }
}
