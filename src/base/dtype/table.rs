//! The table of the properties of each dtype. A new dtype needs a row here, a variant of [`DType`](super::DType) and a
//! Rust type.

use super::Compute;

/// The kind of a dtype's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NumberKind {
    Bool,
    Unsigned,
    Signed,
    /// A float type. `digits` is the number of bits of the significand after the binary point, and `lowest` is the
    /// smallest exponent of a normal number.
    Float {
        digits: i32,
        lowest: i32,
    },
}

/// The properties of a dtype.
pub(crate) struct DTypeFacts {
    /// The name in Rust, and in WGSL if WGSL has the type.
    pub name: &'static str,
    pub kind: NumberKind,
    /// The size of an element in bytes.
    pub size: usize,
    /// The type in which kernels compute with elements of this dtype.
    pub compute: Compute,
    /// The name in a `.npy` file, without the byte order, or `None` for bf16, which NumPy does not have.
    pub npy: Option<&'static str>,
    /// The name in a safetensors file.
    #[cfg_attr(not(feature = "safetensors"), expect(dead_code))]
    pub safetensors: &'static str,
}

const fn row(
    name: &'static str,
    kind: NumberKind,
    size: usize,
    compute: Compute,
    npy: Option<&'static str>,
    safetensors: &'static str,
) -> DTypeFacts {
    DTypeFacts { name, kind, size, compute, npy, safetensors }
}

const fn float(digits: i32, lowest: i32) -> NumberKind {
    NumberKind::Float { digits, lowest }
}

/// The properties of each dtype, in the order of the variants of `DType`.
pub(super) static FACTS: [DTypeFacts; 13] = {
    use NumberKind::{Bool, Signed, Unsigned};
    [
        row("bool", Bool, 1, Compute::Bool, Some("b1"), "BOOL"),
        row("u8", Unsigned, 1, Compute::U32, Some("u1"), "U8"),
        row("i8", Signed, 1, Compute::I32, Some("i1"), "I8"),
        row("u16", Unsigned, 2, Compute::U32, Some("u2"), "U16"),
        row("i16", Signed, 2, Compute::I32, Some("i2"), "I16"),
        row("u32", Unsigned, 4, Compute::U32, Some("u4"), "U32"),
        row("i32", Signed, 4, Compute::I32, Some("i4"), "I32"),
        row("u64", Unsigned, 8, Compute::U64, Some("u8"), "U64"),
        row("i64", Signed, 8, Compute::I64, Some("i8"), "I64"),
        row("f16", float(10, -14), 2, Compute::F32, Some("f2"), "F16"),
        row("bf16", float(7, -126), 2, Compute::F32, None, "BF16"),
        row("f32", float(23, -126), 4, Compute::F32, Some("f4"), "F32"),
        row("f64", float(52, -1022), 8, Compute::F64, Some("f8"), "F64"),
    ]
};
