//! The C structures of DLPack 1.x, as in `dlpack.h`. The
//! [specification](https://dmlc.github.io/dlpack/latest/) documents the fields.
//!
//! ```
//! use cupric::dlpack_abi::{DLManagedTensorVersioned, DLTensor};
//! // the sizes on a machine of 64 bits
//! # #[cfg(target_pointer_width = "64")]
//! assert_eq!((size_of::<DLTensor>(), size_of::<DLManagedTensorVersioned>()), (48, 80));
//! ```

use std::ffi::c_void;

/// A version of DLPack's structures.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLPackVersion {
    /// The major version. Structures of another major version have other fields.
    pub major: u32,
    /// The minor version. A new minor version adds meanings, such as types, but no fields.
    pub minor: u32,
}

/// The DLPack version of the tensors that cupric exports.
pub const VERSION: DLPackVersion = DLPackVersion { major: 1, minor: 1 };

/// The device that holds a tensor's memory.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLDevice {
    /// The kind of device: [`CPU`], or the number of another kind.
    pub device_type: i32,
    /// The index among devices of this kind; 0 for the CPU.
    pub device_id: i32,
}

/// The [`DLDevice::device_type`] of the CPU's memory.
pub const CPU: i32 = 1;

/// The type of a tensor's elements.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DLDataType {
    /// The kind of number: [`INT`], [`UINT`], [`FLOAT`], [`BFLOAT`], [`BOOL`], or another code of DLPack.
    pub code: u8,
    /// The number of bits of one number.
    pub bits: u8,
    /// How many numbers one element consists of; 1 except for vectors.
    pub lanes: u16,
}

/// The [`DLDataType::code`] of signed integers.
pub const INT: u8 = 0;
/// The [`DLDataType::code`] of unsigned integers.
pub const UINT: u8 = 1;
/// The [`DLDataType::code`] of IEEE floats.
pub const FLOAT: u8 = 2;
/// The [`DLDataType::code`] of bfloat16.
pub const BFLOAT: u8 = 4;
/// The [`DLDataType::code`] of bools, which have 8 bits.
pub const BOOL: u8 = 6;

/// A tensor in memory. This structure does not own the memory.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DLTensor {
    /// The address of the tensor's memory.
    pub data: *mut c_void,
    /// The device that holds the memory.
    pub device: DLDevice,
    /// The number of axes.
    pub ndim: i32,
    /// The type of the elements.
    pub dtype: DLDataType,
    /// The lengths of the `ndim` axes. May be null if `ndim` is 0.
    pub shape: *mut i64,
    /// The strides along the axes in elements; null if the elements are in C order.
    pub strides: *mut i64,
    /// The offset in bytes of the first element from `data`.
    pub byte_offset: u64,
}

/// A tensor and its deleter, in the structure of DLPack versions before 1.0 (`dltensor` in Python).
#[repr(C)]
#[derive(Debug)]
pub struct DLManagedTensor {
    /// The tensor.
    pub dl_tensor: DLTensor,
    /// Data of the library that made the tensor, for its own use.
    pub manager_ctx: *mut c_void,
    /// Frees the tensor and this structure. The consumer that took the tensor must call it once.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensor)>,
}

/// A tensor and its deleter, in the structure of DLPack 1.x (`dltensor_versioned` in Python).
#[repr(C)]
#[derive(Debug)]
pub struct DLManagedTensorVersioned {
    /// The version of this structure.
    pub version: DLPackVersion,
    /// Data of the library that made the tensor, for its own use.
    pub manager_ctx: *mut c_void,
    /// Frees the tensor and this structure. The consumer that took the tensor must call it once.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    /// Flags, one bit each, such as [`READ_ONLY`].
    pub flags: u64,
    /// The tensor.
    pub dl_tensor: DLTensor,
}

/// The bit of [`DLManagedTensorVersioned::flags`] for memory that nobody may write to.
pub const READ_ONLY: u64 = 1;
