//! Numbers as decimal digits: the shortest digits that read back as the same number.

use crate::base::dtype::DType;
use half::{bf16, f16};

/// Splits a formatted number into the digits before and after the point. Trailing zeros after the point are dropped.
pub(super) fn split(text: &str) -> (String, String) {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (whole.into(), fraction.trim_end_matches('0').into())
}

/// A positive decimal number in scientific notation. `digits` has no trailing zeros, and `exponent` is the power of ten
/// of the first digit.
pub(super) struct Decimal {
    pub digits: String,
    pub exponent: i32,
}

impl Decimal {
    /// Parses a number that Rust's `{:e}` has formatted.
    pub fn parse(text: &str) -> Decimal {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut digits = mantissa.replace('.', "");
        digits.truncate(digits.trim_end_matches('0').len().max(1));
        Decimal { digits, exponent: exponent.parse().unwrap_or(0) }
    }

    /// Returns the next larger decimal with `count` digits.
    fn above(&self, count: usize) -> Decimal {
        let padded = format!("{:0<count$}", self.digits);
        let digits = (padded.parse::<u64>().unwrap_or(0) + 1).to_string();
        let exponent = self.exponent + (digits.len() - padded.len()) as i32;
        Decimal { digits: digits.trim_end_matches('0').into(), exponent }
    }

    /// Returns the digits before and after the point, without an exponent.
    pub fn plain(&self) -> (String, String) {
        let before = self.exponent + 1;
        if before <= 0 {
            return ("0".into(), "0".repeat(before.unsigned_abs() as usize) + &self.digits);
        }
        let before = before as usize;
        if self.digits.len() > before {
            (self.digits[..before].into(), self.digits[before..].into())
        } else {
            (format!("{:0<before$}", self.digits), String::new())
        }
    }

    /// Returns the first digit and the remaining digits, between which scientific notation puts the point.
    pub fn scientific(&self) -> (String, String) {
        (self.digits[..1].into(), self.digits[1..].into())
    }

    /// Returns whether the decimal, rounded to `dtype`, equals `v`.
    fn reads_back(&self, v: f64, dtype: DType) -> bool {
        let text = format!("{}e{}", self.digits, self.exponent - (self.digits.len() as i32 - 1));
        if dtype.is_half() {
            // Parsing the decimal as f64 first is safe. f64 represents the midpoints between neighbours of a half type
            // exactly. A decimal of a few digits is never so close to a midpoint that rounding to f64 would move it
            // there.
            return text.parse().is_ok_and(|d: f64| half_rounds_to(d, v, dtype));
        }
        if dtype == DType::F32 { text.parse() == Ok(v as f32) } else { text.parse() == Ok(v) }
    }
}

/// Returns whether `d`, rounded to a half-precision type, equals `v`, a non-negative value of that type.
fn half_rounds_to(d: f64, v: f64, dtype: DType) -> bool {
    let bits = if dtype == DType::F16 { f16::from_f64(v).to_bits() } else { bf16::from_f64(v).to_bits() };
    let value =
        |bits: u16| if dtype == DType::F16 { f16::from_bits(bits).to_f64() } else { bf16::from_bits(bits).to_f64() };
    let below = value(bits.saturating_sub(1));
    let above = match value(bits.saturating_add(1)) {
        next if next.is_finite() => next,
        _ => v + (v - below),
    };
    let (low, high) = ((below + v) / 2.0, (v + above) / 2.0);
    // a midpoint rounds to the neighbour with even bits
    low < d && d < high || bits % 2 == 0 && (d == low || d == high)
}

/// Returns the shortest decimal that reads back as `v` (not negative) in `dtype`. Of several equally short decimals,
/// returns the nearest to `v`. Of two equally near ones, returns the one with an even last digit, as NumPy does (Rust's
/// `{}` prints the larger one).
pub(super) fn shortest(v: f64, dtype: DType) -> Decimal {
    if v == 0.0 {
        return Decimal { digits: "0".into(), exponent: 0 };
    }
    // Rust's `{:e}` prints an f32 or f64 with the fewest digits that read back as the same number, so the search begins
    // with that number of digits. For a half type, it begins with one digit.
    let known = |text: String| Decimal::parse(&text).digits.len();
    let least = if dtype.is_half() {
        1
    } else if dtype == DType::F32 {
        known(format!("{:e}", v as f32))
    } else {
        known(format!("{v:e}"))
    };
    for count in least..=17 {
        let near = Decimal::parse(&format!("{v:.*e}", count - 1));
        if near.reads_back(v, dtype) {
            return near;
        }
        // Above a power of two, the spacing of floats is twice the spacing below. So the nearest decimal may not read
        // back as the same float although the next larger decimal does.
        let above = near.above(count);
        if above.reads_back(v, dtype) {
            return above;
        }
    }
    Decimal::parse(&format!("{v:.16e}"))
}
