//! Arrays as memory that MPI can use: contiguous, and on the CPU.

use crate::call::{Fallible, Fault};
use cupric::{Array, DType, Device, ErrorKind, Expr, bf16, f16, zeros};

/// Calls a macro-like block with `T` as the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool => {
                type $t = bool;
                $body
            }
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::U16 => {
                type $t = u16;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::U64 => {
                type $t = u64;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F16 => {
                type $t = f16;
                $body
            }
            DType::BF16 => {
                type $t = bf16;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            other => return Err(Fault::new(ErrorKind::Unsupported, format!("arrays of {other} cannot be sent"))),
        }
    };
}

/// The addresses of arrays without elements, that are sent and that receive. An empty slice may be at address 1, which
/// Open MPI takes for `MPI_IN_PLACE`, as it does two equal addresses.
static NOWHERE: [u64; 2] = [0; 2];

/// Returns the address of the first element of a contiguous array on the CPU.
pub(crate) fn address(x: &Array) -> Fallible<*const u8> {
    if x.size() == 0 {
        return Ok((&raw const NOWHERE[0]).cast());
    }
    Ok(with_type!(x.dtype(), T => x.as_slice::<T>()?.as_ptr().cast()))
}

/// Returns the address of the first element of a contiguous array on the CPU that nobody else has.
pub(crate) fn address_mut(x: &mut Array) -> Fallible<*mut u8> {
    if x.size() == 0 {
        return Ok((&raw const NOWHERE[1]).cast_mut().cast());
    }
    Ok(with_type!(x.dtype(), T => x.as_mut_slice::<T>()?.as_mut_ptr().cast()))
}

/// Returns the bytes of a contiguous array on the CPU.
pub(crate) fn bytes(x: &Array) -> Fallible<&[u8]> {
    let start = address(x)?;
    // SAFETY: `address` has checked that the elements are contiguous and initialised, and a bool is the byte 0 or 1.
    Ok(unsafe { std::slice::from_raw_parts(start, x.size() * x.dtype().size()) })
}

/// Evaluates an expression into contiguous memory of the CPU. An array that is there already is not copied.
#[track_caller]
pub(crate) fn host(x: &Expr) -> Fallible<Array> {
    let x = x.eval()?;
    let cpu = Device::cpu();
    let x = if x.device() == cpu { x } else { x.to_device(&cpu)? };
    if x.dtype() == DType::Bool && x.as_slice::<bool>().is_err() {
        // a kernel may store a bool as any byte
        return Ok(Array::from_bytes(&x.to_bytes()?, DType::Bool, x.shape())?);
    }
    Ok(x.contiguous().eval()?)
}

/// Makes memory that receives elements.
#[track_caller]
pub(crate) fn room(dtype: DType, shape: &[usize]) -> Fallible<Array> {
    Ok(zeros(shape, dtype).eval()?)
}
