//! Element types. [`DType`] is an element type as a value, and [`Element`] is the trait of the corresponding Rust
//! types. [`Scalar`] is a Rust number in an expression. [`Compute`] is the type in which a kernel calculates.

mod element;
#[cfg(any(feature = "text", feature = "serde"))]
mod halves;
mod info;
mod table;

pub use element::Element;
use half::{bf16, f16};
#[cfg(any(feature = "text", feature = "serde"))]
pub(crate) use halves::to_odd;
pub use info::{FloatInfo, IntegerInfo};
use std::fmt;
pub(crate) use table::NumberKind;
use table::{DTypeFacts, FACTS};

/// The element type of an array.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
#[non_exhaustive]
pub enum DType {
    Bool,
    #[doc(alias = "byte")]
    U8,
    #[doc(alias = "char")]
    I8,
    U16,
    #[doc(alias = "short")]
    I16,
    U32,
    I32,
    U64,
    #[doc(alias = "long")]
    I64,
    F16,
    #[doc(alias = "bfloat16")]
    BF16,
    F32,
    #[doc(alias = "double")]
    F64,
}

/// The type in which a kernel calculates. Loads convert elements to this type, and stores convert results back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Compute {
    Bool,
    I32,
    U32,
    I64,
    U64,
    F32,
    F64,
}

impl Compute {
    pub const COUNT: usize = 7;

    /// Returns the size in bytes of one value in a CPU kernel.
    pub fn size(self) -> usize {
        match self {
            Compute::Bool => 1,
            Compute::I32 | Compute::U32 | Compute::F32 => 4,
            Compute::I64 | Compute::U64 | Compute::F64 => 8,
        }
    }

    /// Returns the element type with the same values.
    pub fn dtype(self) -> DType {
        [Bool, I32, U32, I64, U64, F32, F64][self as usize]
    }

    /// Returns the name of the type, which is the same in WGSL and in Rust.
    pub fn name(self) -> &'static str {
        ["bool", "i32", "u32", "i64", "u64", "f32", "f64"][self as usize]
    }
}

use DType::*;

impl DType {
    /// All thirteen element types, in the order in which [`DType`] declares them.
    pub const ALL: [DType; 13] = [Bool, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32, F64];

    /// Returns the name of the element type: `f32`, `u8`, `bool`, …
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    pub(crate) fn facts(self) -> &'static DTypeFacts {
        &FACTS[self as usize]
    }

    /// Returns the size of one element in bytes.
    #[doc(alias = "element_size")]
    pub fn size(self) -> usize {
        self.facts().size
    }

    /// Returns whether this is f16, bf16, f32 or f64.
    #[doc(alias("isdtype", "is_floating_point", "issubdtype"))]
    pub fn is_float(self) -> bool {
        matches!(self.facts().kind, NumberKind::Float { .. })
    }

    /// Returns whether this is an integer type (bool is not).
    pub fn is_integer(self) -> bool {
        self.is_signed_integer() || self.is_unsigned_integer()
    }

    /// Returns whether this is a signed integer type.
    pub fn is_signed_integer(self) -> bool {
        self.facts().kind == NumberKind::Signed
    }

    /// Returns whether this is an unsigned integer type.
    pub fn is_unsigned_integer(self) -> bool {
        self.facts().kind == NumberKind::Unsigned
    }

    /// Returns whether this is f16 or bf16, with which kernels compute in f32.
    pub(crate) fn is_half(self) -> bool {
        self.is_float() && self.size() < 4
    }

    /// Returns whether this is an integer of 8 or 16 bits, with which kernels compute in 32 bits.
    pub(crate) fn is_narrow_integer(self) -> bool {
        self.is_integer() && self.size() < 4
    }

    pub(crate) fn compute(self) -> Compute {
        self.facts().compute
    }

    /// Returns the unsigned type of the same size, or bool for bool. A copy moves elements as this type, which
    /// preserves every bit of a NaN.
    pub(crate) fn raw(self) -> DType {
        match self.size() {
            1 if self == Bool => Bool,
            1 => U8,
            2 => U16,
            4 => U32,
            _ => U64,
        }
    }

    /// Returns the result type of a float function for this type: the type itself, or f32 for integers and bool.
    pub(crate) fn float(self) -> DType {
        if self.is_float() { self } else { F32 }
    }

    /// Returns the type of a sum or a product: integers and bool widen to 64 bits.
    pub(crate) fn sum(self) -> DType {
        match self.facts().kind {
            NumberKind::Bool | NumberKind::Signed => I64,
            NumberKind::Unsigned => U64,
            NumberKind::Float { .. } => self,
        }
    }

    /// Returns the type in which matrices of this type are multiplied: 32-bit integers for narrow integers and bool,
    /// which are cast back afterwards, and this type otherwise. (Kernels sum f16 and bf16 in f32 anyway.)
    pub(crate) fn dot(self) -> DType {
        if self == Bool {
            I32
        } else if self.is_half() {
            self
        } else {
            self.compute().dtype()
        }
    }

    /// Returns whether this is an integer type or bool, and `to` is an integer type that can represent all its values.
    pub(crate) fn widens_to(self, to: DType) -> bool {
        let (from, range) = (self.integer_range(), to.integer_range());
        !self.is_float() && to.is_integer() && range.0 <= from.0 && from.1 <= range.1
    }

    /// Returns the smallest and the largest value of an integer type, or 0 and 1 for bool. For a float type, the result
    /// has no meaning.
    pub(crate) fn integer_range(self) -> (i128, i128) {
        let bits = 8 * self.size();
        match self.facts().kind {
            NumberKind::Bool => (0, 1),
            NumberKind::Unsigned => (0, (1 << bits) - 1),
            NumberKind::Signed | NumberKind::Float { .. } => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        }
    }

    /// Returns the result type for operands of these two types, like NumPy's `promote_types`. The result is according
    /// to the promotion table of the Array API, with these additions: an integer and a float promote to the float, f16
    /// and bf16 to f32, and bool and any other type to the other type. Returns `None` for u64 and a signed integer
    /// type, which have no common type.
    ///
    /// ```
    /// use cupric::DType::*;
    /// assert_eq!(F16.promote(BF16), Some(F32));
    /// assert_eq!(U8.promote(I8), Some(I16));
    /// assert_eq!(U64.promote(I64), None);
    /// ```
    #[doc(alias("result_type", "promote_types"))]
    pub fn promote(self, other: DType) -> Option<DType> {
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        if a == b {
            return Some(a);
        }
        match (a, b) {
            (Bool, b) => Some(b),
            (F16, BF16) => Some(F32),
            (_, b) if b.is_float() => Some(b),
            (a, b) if a.is_signed_integer() == b.is_signed_integer() => Some(b),
            // one type is signed and the other is not: the result is the smallest signed type that represents both
            (a, b) => {
                let (signed, unsigned) = if a.is_signed_integer() { (a, b) } else { (b, a) };
                if signed.size() > unsigned.size() {
                    return Some(signed);
                }
                // for u64 this size is 16 bytes, which no type has, so there is no common type
                let size = mutant!(promotion_row, 2 * unsigned.size().max(2), unsigned.size() + 1);
                DType::ALL.into_iter().find(|dtype| dtype.is_signed_integer() && dtype.size() >= size)
            }
        }
    }

    /// Returns whether NumPy's `same_kind` rule allows writing values of this type to an array of dtype `to` without
    /// `astype`. It allows bool to every type, integers to floats and other integers (but not signed to unsigned), and
    /// floats to floats.
    pub(crate) fn casts_same_kind(self, to: DType) -> bool {
        match (self, to) {
            (a, b) if a == b => true,
            (Bool, _) => true,
            (_, Bool) => false,
            (a, b) if a.is_float() => mutant!(floats_written_to_integers, true, b.is_float()),
            (a, b) if b.is_float() => a.is_integer(),
            (a, b) if a.is_signed_integer() => b.is_signed_integer(),
            (_, b) => b.is_integer(),
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A Rust number in an expression. It has no dtype and keeps its exact value until it is combined with an array. The
/// result usually has the array's dtype, but a float and an integer array result in f32.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Scalar {
    /// A `bool`.
    Bool(bool),
    /// Any Rust integer.
    Int(i128),
    /// Any Rust float.
    Float(f64),
}

impl Scalar {
    /// Returns the dtype of an array made from this number alone: bool, i32 (or i64 or u64 if i32 is too small), or
    /// f32.
    pub(crate) fn default_dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => Bool,
            Scalar::Int(v) if i32::try_from(v).is_ok() => I32,
            Scalar::Int(v) if i64::try_from(v).is_ok() => I64,
            Scalar::Int(_) => U64,
            Scalar::Float(_) => F32,
        }
    }

    /// Returns the common dtype of this number and an array of dtype `array`, by NumPy 2's rule for Python numbers. The
    /// result is the array's dtype, with two exceptions: a float and an array of integers or bools result in f32, and
    /// an integer and an array of bools result in the integer's default dtype. Returns `None` for an integer that the
    /// array's integer dtype cannot represent.
    pub(crate) fn promote_with(self, array: DType) -> Option<DType> {
        match self {
            Scalar::Bool(_) => Some(array),
            Scalar::Int(v) if array == Bool => Some(Scalar::Int(v).default_dtype()),
            Scalar::Int(v) if array.is_integer() => {
                let (lo, hi) = array.integer_range();
                (lo..=hi).contains(&v).then_some(array)
            }
            Scalar::Int(_) => Some(array),
            Scalar::Float(_) => Some(array.float()),
        }
    }

    /// Returns the number as f64. A large integer is rounded.
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Scalar::Bool(v) => v as u8 as f64,
            Scalar::Int(v) => v as f64,
            Scalar::Float(v) => v,
        }
    }

    /// Returns the number as an integer. A float is truncated toward 0 and saturates, and NaN becomes 0.
    pub(crate) fn as_i128(self) -> i128 {
        match self {
            Scalar::Bool(v) => v as i128,
            Scalar::Int(v) => v,
            Scalar::Float(v) => v as i128,
        }
    }

    /// Converts the number to `dtype` by the rules of Rust's `as`, and returns the bits of the result in the type in
    /// which kernels compute with `dtype`.
    pub(crate) fn bits(self, dtype: DType) -> u64 {
        let integer = || match self {
            Scalar::Float(_) => {
                let (lo, hi) = dtype.integer_range();
                self.as_i128().clamp(lo, hi)
            }
            Scalar::Bool(_) | Scalar::Int(_) => self.as_i128(),
        };
        match dtype {
            Bool => match self {
                Scalar::Bool(v) => v as u64,
                Scalar::Int(v) => (v != 0) as u64,
                Scalar::Float(v) => (v != 0.0) as u64,
            },
            U8 => integer() as u8 as u64,
            I8 => integer() as i8 as i32 as u32 as u64,
            U16 => integer() as u16 as u64,
            I16 => integer() as i16 as i32 as u32 as u64,
            U32 | I32 => integer() as u32 as u64,
            U64 | I64 => integer() as u64,
            F16 => f16::from_f32(self.odd_f32()).to_f32().to_bits() as u64,
            BF16 => bf16::from_f32(self.odd_f32()).to_f32().to_bits() as u64,
            // convert an integer directly, because a conversion through f64 would round twice
            F32 => match self {
                Scalar::Int(v) => (v as f32).to_bits() as u64,
                Scalar::Bool(_) | Scalar::Float(_) => (self.as_f64() as f32).to_bits() as u64,
            },
            F64 => self.as_f64().to_bits(),
        }
    }

    /// Returns the number as f32, rounded to odd: toward zero, with the last bit set if the value is not exact.
    /// Rounding this f32 to f16 or bf16 gives the same result as rounding the number directly, because the set bit
    /// keeps the f32 away from the midpoints between 16-bit floats.
    fn odd_f32(self) -> f32 {
        let (near, exact, beyond) = match self {
            Scalar::Int(v) => {
                let f = v as f32;
                (f, f as i128 == v, (f as i128).unsigned_abs() > v.unsigned_abs())
            }
            Scalar::Bool(_) | Scalar::Float(_) => {
                let (v, f) = (self.as_f64(), self.as_f64() as f32);
                (f, f as f64 == v || v.is_nan(), (f as f64).abs() > v.abs())
            }
        };
        if exact {
            return near;
        }
        mutant!(scalar_rounded_twice, near, f32::from_bits((near.to_bits() - beyond as u32) | 1))
    }

    /// Returns the number that these bits represent in a compute type. This is the inverse of [`Scalar::bits`].
    pub(crate) fn from_bits(bits: u64, compute: Compute) -> Scalar {
        match compute {
            Compute::Bool => Scalar::Bool(bits & 0xff != 0),
            Compute::I32 => Scalar::Int(bits as u32 as i32 as i128),
            Compute::U32 => Scalar::Int(bits as u32 as i128),
            Compute::I64 => Scalar::Int(bits as i64 as i128),
            Compute::U64 => Scalar::Int(bits as i128),
            Compute::F32 => Scalar::Float(f32::from_bits(bits as u32) as f64),
            Compute::F64 => Scalar::Float(f64::from_bits(bits)),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(v) => write!(f, "{v}"),
            Scalar::Int(v) => write!(f, "{v}"),
            Scalar::Float(v) => write!(f, "{v:?}"),
        }
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(dtype: promotion_is_symmetric_and_never_loses_integers, scalars_keep_all_bits);

    fn promotion_is_symmetric_and_never_loses_integers() {
        for a in DType::ALL {
            for b in DType::ALL {
                assert_eq!(a.promote(b), b.promote(a));
                if let Some(c) = a.promote(b)
                    && !c.is_float()
                {
                    let (lo, hi) = c.integer_range();
                    assert!(lo <= a.integer_range().0 && b.integer_range().1 <= hi, "{a} {b} {c}");
                }
            }
        }
    }

    fn scalars_keep_all_bits() {
        assert_eq!(Scalar::Int(u64::MAX as i128).bits(U64), u64::MAX);
        assert_eq!(Scalar::Int(300).promote_with(U8), None);
        assert_eq!(Scalar::Float(0.5).promote_with(I32), Some(F32));
        assert_eq!(Scalar::Float(-1e30).bits(I8) as u32 as i32, -128);
    }
}
