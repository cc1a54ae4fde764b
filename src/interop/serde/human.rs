//! Serialises elements as numbers, for human-readable formats.

use crate::base::dtype::{DType, Element, to_odd};
use crate::base::error::room;
use ::serde::de::{self, Deserializer, Visitor};
use ::serde::ser::{SerializeSeq, Serializer};
use ::serde::{Deserialize, Serialize};
use half::{bf16, f16};
use std::fmt;

/// The elements of an array, serialised as a list of numbers.
pub(super) struct NumberList<'a> {
    pub dtype: DType,
    /// The elements in native byte order.
    pub bytes: &'a [u8],
}

/// A float. It is serialised as a number if it is finite, otherwise as a string, because some formats cannot represent
/// infinities and NaN.
struct Float(f64);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            v if v.is_finite() => serializer.serialize_f64(v),
            v if v.is_nan() => serializer.serialize_str("NaN"),
            v => serializer.serialize_str(if v > 0.0 { "inf" } else { "-inf" }),
        }
    }
}

impl NumberList<'_> {
    fn list<S: Serializer, const N: usize, T: Serialize>(
        &self,
        serializer: S,
        read: impl Fn([u8; N]) -> T,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.bytes.len() / N))?;
        for element in self.bytes.chunks_exact(N) {
            let mut bytes = [0; N];
            bytes.copy_from_slice(element);
            list.serialize_element(&read(bytes))?;
        }
        list.end()
    }
}

impl Serialize for NumberList<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.dtype {
            DType::Bool => self.list(s, |[byte]| byte != 0),
            DType::U8 => self.list(s, u8::from_ne_bytes),
            DType::I8 => self.list(s, i8::from_ne_bytes),
            DType::U16 => self.list(s, u16::from_ne_bytes),
            DType::I16 => self.list(s, i16::from_ne_bytes),
            DType::U32 => self.list(s, u32::from_ne_bytes),
            DType::I32 => self.list(s, i32::from_ne_bytes),
            DType::U64 => self.list(s, u64::from_ne_bytes),
            DType::I64 => self.list(s, i64::from_ne_bytes),
            DType::F16 => self.list(s, |b| Float(f16::from_ne_bytes(b).to_f64())),
            DType::BF16 => self.list(s, |b| Float(bf16::from_ne_bytes(b).to_f64())),
            DType::F32 => self.list(s, |b| Float(f32::from_ne_bytes(b) as f64)),
            DType::F64 => self.list(s, |b| Float(f64::from_ne_bytes(b))),
        }
    }
}

/// A number that was read from a human-readable format, before it is converted to the array's dtype.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum HumanNumber {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

struct AnyNumber;

impl Visitor<'_> for AnyNumber {
    type Value = HumanNumber;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a bool, \"NaN\", \"inf\" or \"-inf\"")
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<HumanNumber, E> {
        Ok(HumanNumber::Bool(v))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<HumanNumber, E> {
        Ok(HumanNumber::Unsigned(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<HumanNumber, E> {
        Ok(HumanNumber::Signed(v))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<HumanNumber, E> {
        Ok(HumanNumber::Float(v))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<HumanNumber, E> {
        match text {
            "NaN" => Ok(HumanNumber::Float(f64::NAN)),
            "inf" => Ok(HumanNumber::Float(f64::INFINITY)),
            "-inf" => Ok(HumanNumber::Float(f64::NEG_INFINITY)),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for HumanNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HumanNumber, D::Error> {
        deserializer.deserialize_any(AnyNumber)
    }
}

impl HumanNumber {
    /// Converts the number to an integer type. Returns `None` if it is not an integer or is out of range.
    fn integer<T: TryFrom<u64> + TryFrom<i64>>(self) -> Option<T> {
        match self {
            HumanNumber::Unsigned(v) => v.try_into().ok(),
            HumanNumber::Signed(v) => v.try_into().ok(),
            HumanNumber::Bool(_) | HumanNumber::Float(_) => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            HumanNumber::Unsigned(v) => Some(v as f64),
            HumanNumber::Signed(v) => Some(v as f64),
            HumanNumber::Float(v) => Some(v),
            HumanNumber::Bool(_) => None,
        }
    }

    fn boolean(self) -> Option<bool> {
        match self {
            HumanNumber::Bool(v) => Some(v),
            HumanNumber::Unsigned(_) | HumanNumber::Signed(_) | HumanNumber::Float(_) => None,
        }
    }
}

/// Converts numbers to the bytes of elements of `dtype`. If a number does not fit the dtype, the error describes the
/// first such number.
pub(super) fn to_bytes(numbers: &[HumanNumber], dtype: DType) -> Result<Vec<u8>, String> {
    fn of<T: Element>(numbers: &[HumanNumber], read: impl Fn(HumanNumber) -> Option<T>) -> Result<Vec<u8>, String> {
        let mut elements = vec![];
        elements.try_reserve_exact(numbers.len()).map_err(|e| e.to_string())?;
        for (n, number) in numbers.iter().enumerate() {
            let wrong = || format!("element {n} is not a valid {}: {number:?}", T::DTYPE);
            elements.push(read(*number).ok_or_else(wrong)?);
        }
        let bytes = T::bytes(&elements);
        let mut copy = room(bytes.len(), "deserialize", None).map_err(|e| e.to_string())?;
        copy.extend_from_slice(bytes);
        Ok(copy)
    }
    // A finite number `v` that becomes an infinity in the dtype is rejected. It is rounded before this check, because
    // some parsers return the f64 next to a type's largest value instead of that value.
    fn narrow<T>(v: f64, rounded: T, is_finite: bool) -> Option<T> {
        (is_finite || !v.is_finite()).then_some(rounded)
    }
    let f16s = |v: f64| narrow(v, f16::from_f32(to_odd(v)), f16::from_f32(to_odd(v)).is_finite());
    let bf16s = |v: f64| narrow(v, bf16::from_f32(to_odd(v)), bf16::from_f32(to_odd(v)).is_finite());
    let f32s = |v: f64| narrow(v, v as f32, (v as f32).is_finite());
    match dtype {
        DType::Bool => of(numbers, HumanNumber::boolean),
        DType::U8 => of(numbers, HumanNumber::integer::<u8>),
        DType::I8 => of(numbers, HumanNumber::integer::<i8>),
        DType::U16 => of(numbers, HumanNumber::integer::<u16>),
        DType::I16 => of(numbers, HumanNumber::integer::<i16>),
        DType::U32 => of(numbers, HumanNumber::integer::<u32>),
        DType::I32 => of(numbers, HumanNumber::integer::<i32>),
        DType::U64 => of(numbers, HumanNumber::integer::<u64>),
        DType::I64 => of(numbers, HumanNumber::integer::<i64>),
        DType::F16 => of(numbers, |n| n.float().and_then(f16s)),
        DType::BF16 => of(numbers, |n| n.float().and_then(bf16s)),
        DType::F32 => of(numbers, |n| n.float().and_then(f32s)),
        DType::F64 => of(numbers, HumanNumber::float),
    }
}
