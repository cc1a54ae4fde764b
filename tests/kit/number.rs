//! Elements as bits: their values, correct rounding, and units in the last place (ULP). This code does not use the
//! library's conversions, because tests compare the library with it.

use cupric::DType;

/// The number of significant bits, and the smallest and largest exponent, of a float type.
fn format(dtype: DType) -> (i32, i32, i32) {
    match dtype {
        DType::F16 => (11, -14, 15),
        DType::BF16 => (8, -126, 127),
        DType::F32 => (24, -126, 127),
        _ => (53, -1022, 1023),
    }
}

/// The value of a float, or of an integer rounded to f64.
pub fn real(dtype: DType, bits: u64) -> f64 {
    match dtype {
        DType::F16 => {
            let (sign, e, m) = (bits >> 15, (bits >> 10 & 31) as i32, (bits & 1023) as f64);
            let x = match e {
                0 => m * 2f64.powi(-24),
                31 if m == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (m + 1024.0) * 2f64.powi(e - 25),
            };
            if sign == 1 { -x } else { x }
        }
        DType::BF16 => f32::from_bits((bits as u32) << 16) as f64,
        DType::F32 => f32::from_bits(bits as u32) as f64,
        DType::F64 => f64::from_bits(bits),
        _ => integer(dtype, bits) as f64,
    }
}

/// The value of an integer or bool.
pub fn integer(dtype: DType, bits: u64) -> i128 {
    match dtype {
        DType::Bool => (bits & 0xff != 0) as i128,
        DType::U8 => bits as u8 as i128,
        DType::I8 => bits as i8 as i128,
        DType::U16 => bits as u16 as i128,
        DType::I16 => bits as i16 as i128,
        DType::U32 => bits as u32 as i128,
        DType::I32 => bits as i32 as i128,
        DType::U64 => bits as i128,
        _ => bits as i64 as i128,
    }
}

/// The smallest and largest integer of a type.
pub fn range(dtype: DType) -> (i128, i128) {
    match (dtype, width(dtype)) {
        (DType::Bool, _) => (0, 1),
        (d, w) if d.is_unsigned_integer() => (0, (1 << w) - 1),
        (_, w) => (-(1 << (w - 1)), (1 << (w - 1)) - 1),
    }
}

/// The number of bits of an integer type; 1 for bool.
pub fn width(dtype: DType) -> u32 {
    if dtype == DType::Bool { 1 } else { dtype.size() as u32 * 8 }
}

/// A mask of the bits that an element has.
fn mask(dtype: DType) -> u64 {
    u64::MAX >> (64 - 8 * dtype.size())
}

/// An integer wrapped to an integer type, as bits; for bool anything but 0 is true.
pub fn wrap(dtype: DType, x: i128) -> u64 {
    if dtype == DType::Bool { (x != 0) as u64 } else { x as u64 & mask(dtype) }
}

/// The exponent e with 2^e ≤ |x| < 2^(e+1), for a positive x, which may be subnormal.
fn exponent(x: f64) -> i32 {
    let e = (x.to_bits() >> 52 & 0x7ff) as i32;
    if e == 0 { (x * 2f64.powi(64)).to_bits().wrapping_shr(52) as i32 % 2048 - 1023 - 64 } else { e - 1023 }
}

/// 2^n, including subnormal results.
fn power(n: i32) -> f64 {
    if n < -1022 { 2f64.powi(n + 64) * 2f64.powi(-64) } else { 2f64.powi(n) }
}

/// The spacing of a float type at a value, never less than its smallest subnormal.
pub fn ulp(dtype: DType, x: f64) -> f64 {
    let (p, lo, hi) = format(dtype);
    let e = if x == 0.0 { lo } else { exponent(x.abs()).clamp(lo, hi) };
    power(e - p + 1)
}

/// The largest finite number of a float type.
pub fn largest(dtype: DType) -> f64 {
    let (p, _, hi) = format(dtype);
    (2.0 - 2f64.powi(1 - p)) * 2f64.powi(hi)
}

/// The smallest normal number of a float type.
pub fn smallest_normal(dtype: DType) -> f64 {
    2f64.powi(format(dtype).1)
}

/// The nearest float of a type, ties to even, as bits.
pub fn round(dtype: DType, x: f64) -> u64 {
    match dtype {
        DType::F64 => x.to_bits(),
        DType::F32 => (x as f32).to_bits() as u64,
        _ => {
            let r = if x == 0.0 || !x.is_finite() {
                x
            } else {
                let unit = ulp(dtype, x);
                let r = (x / unit).round_ties_even() * unit;
                if r.abs() > largest(dtype) { f64::INFINITY.copysign(x) } else { r.copysign(x) }
            };
            // r is a value of the dtype, so the conversions below are exact
            match dtype {
                DType::F16 => half_bits(r),
                _ => ((r as f32).to_bits() >> 16) as u64 | if r.is_nan() { 0x40 } else { 0 },
            }
        }
    }
}

/// The f16 bits of a value that is exactly representable in f16.
fn half_bits(r: f64) -> u64 {
    let sign = (r.is_sign_negative() as u64) << 15;
    let a = r.abs();
    sign | if a.is_nan() {
        0x7e00
    } else if a.is_infinite() {
        0x7c00
    } else if a < 2f64.powi(-14) {
        (a * 2f64.powi(24)) as u64
    } else {
        let e = exponent(a);
        ((e + 15) as u64) << 10 | ((a / 2f64.powi(e) - 1.0) * 1024.0) as u64
    }
}

/// The float nearest to an integer, rounded once, as bits.
pub fn round_integer(dtype: DType, x: i128) -> u64 {
    match dtype {
        DType::F64 => (x as f64).to_bits(),
        DType::F32 => (x as f32).to_bits() as u64,
        // an f64 rounded to odd (toward 0, with the last bit set if inexact) can be rounded again without an error
        _ => {
            let mut y = x as f64;
            if y as i128 != x {
                let toward = if (y as i128 > x) == (y > 0.0) { y.to_bits() - 1 } else { y.to_bits() };
                y = f64::from_bits(toward | 1);
            }
            round(dtype, y)
        }
    }
}

/// Whether float bits are a NaN.
pub fn is_nan(dtype: DType, bits: u64) -> bool {
    dtype.is_float() && real(dtype, bits).is_nan()
}

/// The number of a float in the order of all floats of its type: neighbours differ by 1, and both −0 and +0 are 0.
pub fn place(dtype: DType, bits: u64) -> i64 {
    let top = 1u64 << (8 * dtype.size() - 1);
    let magnitude = (bits & (top - 1)) as i64;
    if bits & top != 0 { -magnitude } else { magnitude }
}

/// The bits of the float with this number in the order of [`place`].
pub fn at_place(dtype: DType, place: i64) -> u64 {
    let top = 1u64 << (8 * dtype.size() - 1);
    place.unsigned_abs() | if place < 0 { top } else { 0 }
}

/// An element's bits and value, for messages.
pub fn show(dtype: DType, bits: u64) -> String {
    let digits = dtype.size() * 2;
    if dtype.is_float() {
        format!("0x{bits:0digits$x} ({:e})", real(dtype, bits))
    } else {
        format!("0x{bits:0digits$x} ({})", integer(dtype, bits))
    }
}
