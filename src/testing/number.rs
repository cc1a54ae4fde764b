//! Arithmetic for the tests' reference implementation, which shares no code with the library: rounding to an element
//! type, the spacing of floats, the wrapping of integers, and floats with an error bound.

use crate::base::dtype::{DType, Scalar};

/// A float with an error bound: the result of an evaluation is at most `error` away from `value`. If the error is
/// infinite, any result is allowed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BoundedReal {
    /// The result of the formula in exact arithmetic, but rounded wherever every evaluation rounds in the same way.
    pub value: f64,
    /// The maximum distance of an evaluation's result from `value`.
    pub error: f64,
}

/// Returns the number of significant bits of a float type, and the exponents of its smallest and largest normal
/// numbers.
fn format(dtype: DType) -> (i32, i32, i32) {
    if dtype == DType::F16 {
        (11, -14, 15)
    } else if dtype == DType::BF16 {
        (8, -126, 127)
    } else if dtype == DType::F64 {
        (53, -1022, 1023)
    } else {
        (24, -126, 127)
    }
}

fn power(n: i32) -> f64 {
    if n < -1022 { 2f64.powi(n + 64) * 2f64.powi(-64) } else { 2f64.powi(n) }
}

fn exponent(x: f64) -> i32 {
    (x.to_bits() >> 52 & 0x7ff) as i32 - 1023
}

/// Returns the distance between neighbouring floats of a type at `x`, at least the smallest subnormal number.
pub(super) fn spacing(dtype: DType, x: f64) -> f64 {
    let (bits, low, high) = format(dtype);
    power(exponent(x).clamp(low, high) - bits + 1)
}

/// Returns the largest finite number of a float type.
pub(super) fn largest(dtype: DType) -> f64 {
    let (bits, _, high) = format(dtype);
    (2.0 - 2f64.powi(1 - bits)) * 2f64.powi(high)
}

/// Returns the smallest positive normal number of a float type.
pub(super) fn smallest_normal(dtype: DType) -> f64 {
    2f64.powi(format(dtype).1)
}

/// Rounds to the nearest number of a float type, ties to even.
pub(super) fn nearest(dtype: DType, x: f64) -> f64 {
    if dtype == DType::F64 || x == 0.0 || !x.is_finite() {
        return x;
    }
    if dtype == DType::F32 {
        return x as f32 as f64;
    }
    let unit = spacing(dtype, x);
    let rounded = (x / unit).round_ties_even() * unit;
    if rounded.abs() > largest(dtype) { f64::INFINITY.copysign(x) } else { rounded.copysign(x) }
}

/// Rounds an integer to the nearest number of a float type, with a single rounding.
pub(super) fn nearest_to_integer(dtype: DType, x: i128) -> f64 {
    if dtype == DType::F32 {
        return x as f32 as f64;
    }
    let near = x as f64;
    if dtype == DType::F64 || near as i128 == x {
        return nearest(dtype, near);
    }
    // truncate to f64 and set the last bit (round to odd). This bit shows that bits were lost, so the second rounding
    // does not take the value for a tie
    let beyond = (near as i128).unsigned_abs() > x.unsigned_abs();
    nearest(dtype, f64::from_bits((near.to_bits() - beyond as u64) | 1))
}

/// Returns the width of an integer type in bits; 1 for bool.
pub(super) fn width(dtype: DType) -> u32 {
    if dtype == DType::Bool { 1 } else { dtype.size() as u32 * 8 }
}

/// Wraps an integer to a type. For bool, anything except 0 is true.
pub(super) fn wrap(dtype: DType, x: i128) -> i128 {
    let w = width(dtype);
    if dtype == DType::Bool {
        (x != 0) as i128
    } else if dtype.is_unsigned_integer() {
        x & ((1 << w) - 1)
    } else {
        x << (128 - w) >> (128 - w)
    }
}

/// Converts a float to an integer type as Rust's `as` does: truncated and saturated, NaN to 0.
pub(super) fn saturate(dtype: DType, x: f64) -> i128 {
    let (low, high) = match (dtype, width(dtype)) {
        (d, w) if d.is_unsigned_integer() => (0, (1 << w) - 1),
        (_, w) => (-(1i128 << (w - 1)), (1i128 << (w - 1)) - 1),
    };
    (x as i128).clamp(low, high)
}

/// Decodes an element from little-endian bytes. The first result is the value of an integer or bool, the second the
/// value of a float.
pub(super) fn decode(dtype: DType, bytes: &[u8]) -> (i128, f64) {
    let word = bytes.iter().rev().fold(0u64, |w, b| w << 8 | *b as u64);
    match dtype {
        DType::F64 => (0, f64::from_bits(word)),
        DType::F32 => (0, f32::from_bits(word as u32) as f64),
        DType::BF16 => (0, f32::from_bits((word as u32) << 16) as f64),
        DType::F16 => {
            let (e, m) = ((word >> 10 & 31) as i32, (word & 1023) as f64);
            let x = match e {
                0 => m * 2f64.powi(-24),
                31 if m == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (m + 1024.0) * 2f64.powi(e - 25),
            };
            (0, if word >> 15 == 1 { -x } else { x })
        }
        DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 => (wrap(dtype, word as i128), 0.0),
        DType::U32 | DType::I32 | DType::U64 | DType::I64 => (wrap(dtype, word as i128), 0.0),
    }
}

/// Converts a Rust number to an element of an integer type or bool.
pub(super) fn scalar_integer(s: Scalar, dtype: DType) -> i128 {
    match s {
        Scalar::Bool(v) => v as i128,
        Scalar::Int(v) => wrap(dtype, v),
        Scalar::Float(v) if dtype == DType::Bool => (v != 0.0) as i128,
        Scalar::Float(v) => saturate(dtype, v),
    }
}

/// Converts a Rust number to an element of a float type.
pub(super) fn scalar_real(s: Scalar, dtype: DType) -> f64 {
    match s {
        Scalar::Bool(v) => v as i128 as f64,
        Scalar::Int(v) => nearest_to_integer(dtype, v),
        Scalar::Float(v) => nearest(dtype, v),
    }
}

impl BoundedReal {
    /// Makes an exactly known number.
    pub fn exact(value: f64) -> BoundedReal {
        BoundedReal { value, error: 0.0 }
    }

    /// Makes an unknown number, which allows any result.
    pub fn unknown() -> BoundedReal {
        BoundedReal { value: f64::NAN, error: f64::INFINITY }
    }

    /// Returns true if the number is unknown.
    pub fn is_unknown(self) -> bool {
        self.error == f64::INFINITY
    }

    /// Returns true if an evaluation may return `got`.
    pub fn allows(self, got: f64) -> bool {
        let equal = got == self.value || got.is_nan() && self.value.is_nan();
        self.is_unknown() || equal || (got - self.value).abs() <= self.error
    }

    pub(super) fn low(self) -> f64 {
        self.value - self.error
    }

    pub(super) fn high(self) -> f64 {
        self.value + self.error
    }

    /// Rounds the number to a type. If all numbers within the error round to the same number, the result is exact.
    /// Otherwise its error grows.
    pub(super) fn rounded(self, dtype: DType) -> BoundedReal {
        if self.is_unknown() || !self.value.is_finite() {
            return self;
        }
        if self.error == 0.0 {
            return BoundedReal::exact(nearest(dtype, self.value));
        }
        let (low, middle, high) = (nearest(dtype, self.low()), nearest(dtype, self.value), nearest(dtype, self.high()));
        if low == high && low.is_sign_negative() == high.is_sign_negative() {
            return BoundedReal::exact(middle);
        }
        if low.is_infinite() || high.is_infinite() {
            return BoundedReal::unknown();
        }
        // the error is at least the smallest subnormal number, because all numbers may round to zero with either sign
        BoundedReal { value: middle, error: (high - middle).max(middle - low).max(spacing(dtype, 0.0)) }
    }

    /// Returns a number that allows both this number and its rounding to a type, because an evaluation may return
    /// either.
    pub(super) fn perhaps_rounded(self, dtype: DType) -> BoundedReal {
        let r = self.rounded(dtype);
        if r.is_unknown() || self.is_unknown() || !self.value.is_finite() {
            return if self.value == r.value || self.value.is_nan() { self } else { BoundedReal::unknown() };
        }
        BoundedReal { value: self.value, error: self.error.max((r.value - self.value).abs() + r.error) }
    }

    /// Returns a number that allows both this number and another, because an evaluation may return either.
    pub(super) fn either(self, other: BoundedReal) -> BoundedReal {
        if self.allows(other.value) && other.error == 0.0 {
            return self;
        }
        let error = (other.value - self.value).abs() + other.error;
        if error.is_nan() {
            BoundedReal::unknown()
        } else {
            BoundedReal { value: self.value, error: error.max(self.error) }
        }
    }
}
