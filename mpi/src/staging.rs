//! Arrays as memory that MPI can use: contiguous, and on the CPU.

use crate::call::{Fallible, Fault};
use cupric::{Array, DType, Device, ErrorKind, Expr, bf16, f16, zeros};

/// Evaluates `$body` with `$t` as an alias of the Rust type of a dtype.
macro_rules! with_type {
    ($dtype:expr, $t:ident => $body:expr) => {
        with_type!($dtype, $t => $body, Bool bool, U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64,
            F16 f16, BF16 bf16, F32 f32, F64 f64)
    };
    ($dtype:expr, $t:ident => $body:expr, $($variant:ident $type:ty),*) => {
        match $dtype {
            $(DType::$variant => {
                type $t = $type;
                $body
            })*
            other => return Err(Fault::new(ErrorKind::Unsupported, format!("arrays of {other} cannot be sent"))),
        }
    };
}

/// The addresses that MPI gets for arrays without elements: the first for sending, the second for receiving. An empty
/// slice may be at address 1, which Open MPI takes for `MPI_IN_PLACE`; it does the same with two equal addresses.
static NOWHERE: [u64; 2] = [0; 2];

/// Returns the address of the first element of a contiguous array on the CPU.
pub(crate) fn address(x: &Array) -> Fallible<*const u8> {
    if x.size() == 0 {
        return Ok((&raw const NOWHERE[0]).cast());
    }
    Ok(with_type!(x.dtype(), T => x.as_slice::<T>()?.as_ptr().cast()))
}

/// Returns the address of the first element of a contiguous array on the CPU whose memory no other array shares.
pub(crate) fn address_mut(x: &mut Array) -> Fallible<*mut u8> {
    if x.size() == 0 {
        return Ok((&raw const NOWHERE[1]).cast_mut().cast());
    }
    Ok(with_type!(x.dtype(), T => x.as_mut_slice::<T>()?.as_mut_ptr().cast()))
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

/// Allocates an array that will receive elements.
#[track_caller]
pub(crate) fn room(dtype: DType, shape: &[usize]) -> Fallible<Array> {
    Ok(zeros(shape, dtype).eval()?)
}
