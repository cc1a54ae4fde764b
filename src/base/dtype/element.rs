//! The Rust types of elements.

use super::{DType, Scalar, sealed};
use half::{bf16, f16};
use std::fmt;

/// A Rust type that can be the element type of an array: bool, the integers of up to 64 bits, f16, bf16, f32 and f64.
/// The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an element type",
    label = "an element type is needed here: bool, an integer of 8 to 64 bits, f16, bf16, f32 or f64; write the type \
             of a read, as in `x.item::<f32>()?`"
)]
pub trait Element: Copy + Send + Sync + Default + PartialEq + fmt::Debug + sealed::Sealed + 'static {
    /// The [`DType`] of this Rust type.
    const DTYPE: DType;
    /// Returns the elements as the bytes that an array stores, in the native byte order.
    #[doc(hidden)]
    fn bytes(elements: &[Self]) -> &[u8];
    /// Returns the elements that an array's bytes represent, or `None` if there is not enough memory for them. A bool
    /// is true if its byte is not 0.
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Option<Vec<Self>>;
    /// Converts an array's bytes to elements, and appends the elements to the list `to`.
    #[doc(hidden)]
    fn append(bytes: &[u8], to: &mut Vec<Self>);
    /// Returns the element as a number.
    #[doc(hidden)]
    fn scalar(self) -> Scalar;
}

macro_rules! elements {
    ($($t:ty, $dtype:ident, |$v:ident| $scalar:expr;)*) => { $(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            fn bytes(elements: &[Self]) -> &[u8] {
                bytemuck::cast_slice(elements)
            }
            fn from_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
                let n = bytes.len() / size_of::<Self>();
                let mut elements = bytemuck::allocation::try_zeroed_slice_box::<Self>(n).ok()?;
                bytemuck::cast_slice_mut(&mut elements).copy_from_slice(&bytes[..n * size_of::<Self>()]);
                Some(elements.into_vec())
            }
            fn append(bytes: &[u8], to: &mut Vec<Self>) {
                match bytemuck::try_cast_slice(bytes) {
                    Ok(elements) => to.extend_from_slice(elements),
                    // the bytes are not aligned for the element type, so read them one element at a time
                    Err(_) => to.extend(bytes.chunks_exact(size_of::<Self>()).map(bytemuck::pod_read_unaligned::<Self>)),
                }
            }
            fn scalar(self) -> Scalar {
                let $v = self;
                $scalar
            }
        }
    )* };
}

elements! {
    u8, U8, |v| Scalar::Int(v as i128);
    i8, I8, |v| Scalar::Int(v as i128);
    u16, U16, |v| Scalar::Int(v as i128);
    i16, I16, |v| Scalar::Int(v as i128);
    u32, U32, |v| Scalar::Int(v as i128);
    i32, I32, |v| Scalar::Int(v as i128);
    u64, U64, |v| Scalar::Int(v as i128);
    i64, I64, |v| Scalar::Int(v as i128);
    f16, F16, |v| Scalar::Float(v.to_f64());
    bf16, BF16, |v| Scalar::Float(v.to_f64());
    f32, F32, |v| Scalar::Float(v as f64);
    f64, F64, |v| Scalar::Float(v);
}

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn bytes(elements: &[Self]) -> &[u8] {
        bytemuck::cast_slice(elements)
    }
    fn from_bytes(bytes: &[u8]) -> Option<Vec<Self>> {
        let mut elements = vec![];
        elements.try_reserve_exact(bytes.len()).ok()?;
        Self::append(bytes, &mut elements);
        Some(elements)
    }
    fn append(bytes: &[u8], to: &mut Vec<Self>) {
        to.extend(bytes.iter().map(|b| *b != 0));
    }
    fn scalar(self) -> Scalar {
        Scalar::Bool(self)
    }
}
