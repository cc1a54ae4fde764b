//! cupric: n-d arrays whose operations run as WGSL compute shaders on any GPU, or with SIMD and threads on the CPU.
#![allow(dead_code)]
#![deny(unsafe_op_in_unsafe_fn)]

mod array;
mod backend;
mod buffer;
mod cpu;
mod create;
mod device;
mod dtype;
mod error;
mod expr;
mod fmt;
#[cfg(feature = "gpu")]
mod gpu;
mod index;
mod io;
mod kernel;
mod layout;
mod math;
mod ops;
mod plan;
mod random;
mod simd;
#[doc(hidden)]
pub mod testing;
mod ufunc;

pub use array::{Array, Plan, SliceMut, array_equal, eval_all};
pub use backend::{MemoryInfo, Stats};
pub use create::{
    Elements, Literal, LiteralArray, arange, empty, empty_like, eye, full, full_like, linspace, literal, ones,
    ones_like, zeros, zeros_like,
};
pub use device::Device;
pub use dtype::{DType, Element, Scalar};
pub use error::{Error, ErrorKind, Result};
pub use expr::{Arg, Expr, Operand};
pub use half::{bf16, f16};
pub use layout::{AxesArg, IntoAxes, IntoShape, NewAxis, SliceItem, keep};
pub use ops::*;
pub use random::Rng;
