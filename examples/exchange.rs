//! A shared library that exchanges arrays with Python through DLPack, without copies. NumPy, PyTorch and JAX support
//! DLPack too. `examples/exchange.py` is the Python side; it needs only Python and one of these libraries.
//!
//!     cargo build --release --features dlpack --example exchange
//!     python3 examples/exchange.py target/release/examples/libexchange.so
//!
//! A tensor is passed as a pointer to DLPack's structure, and every call transfers its ownership. A function that fails
//! returns null, and `exchange_error` returns the reason.

use cupric::dlpack_abi::{DLManagedTensor, DLManagedTensorVersioned};
use cupric::{Array, DType, Error, ErrorKind, Result, arange, keep};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr::{NonNull, null_mut};

thread_local! {
    /// The message of the last call that failed on this thread.
    static ERROR: RefCell<CString> = RefCell::default();
}

/// Returns the pointer that `work` returns. If `work` fails or panics, stores the error in `ERROR` and returns null.
fn or_null<T>(work: impl FnOnce() -> Result<NonNull<T>>) -> *mut T {
    // a panic must not unwind into Python
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let done =
        done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "exchange", "a panic, which should not be")));
    done.map_or_else(
        |e| {
            ERROR.set(CString::new(e.to_string()).unwrap_or_default());
            null_mut()
        },
        NonNull::as_ptr,
    )
}

fn there<T>(tensor: *mut T) -> Result<NonNull<T>> {
    NonNull::new(tensor).ok_or_else(|| Error::new(ErrorKind::Argument, "exchange", "the tensor is a null pointer"))
}

fn softmax(x: &Array) -> Result<Array> {
    let e = (x - x.max(keep(-1))).exp();
    (&e / e.sum(keep(-1))).eval()
}

/// Returns the message of the last call that failed on this thread. The text is valid until the thread's next call.
#[unsafe(no_mangle)]
pub extern "C" fn exchange_error() -> *const c_char {
    ERROR.with_borrow(|text| text.as_ptr())
}

/// Returns a new tensor of f32 with the numbers 0, 1, 2 and so on, in rows and columns.
#[unsafe(no_mangle)]
pub extern "C" fn exchange_range(rows: usize, columns: usize) -> *mut DLManagedTensorVersioned {
    or_null(|| {
        let count = i64::try_from(rows.saturating_mul(columns)).unwrap_or(i64::MAX);
        let numbers = arange(0, count, 1, DType::F32).reshape([rows, columns]).eval()?;
        Ok(numbers.into_dlpack()?.into_raw())
    })
}

/// Converts a tensor to an array and back. The memory is not copied.
///
/// # Safety
/// The caller owns the tensor and gives it away, and nobody writes to it until its deleter is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_same(tensor: *mut DLManagedTensorVersioned) -> *mut DLManagedTensorVersioned {
    // SAFETY: the caller gives the tensor away, and nobody writes to it until its deleter is called.
    or_null(|| Ok(unsafe { Array::from_dlpack(there(tensor)?) }?.into_dlpack()?.into_raw()))
}

/// Returns the softmax of each row of a tensor.
///
/// # Safety
/// The caller owns the tensor and gives it away, and nobody writes to it until its deleter is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_softmax(tensor: *mut DLManagedTensorVersioned) -> *mut DLManagedTensorVersioned {
    // SAFETY: the caller gives the tensor away, and nobody writes to it until its deleter is called.
    or_null(|| Ok(softmax(&unsafe { Array::from_dlpack(there(tensor)?) }?)?.into_dlpack()?.into_raw()))
}

/// Returns the softmax of each row, in the structure of DLPack before version 1.0, which older libraries need.
///
/// # Safety
/// The caller owns the tensor and gives it away, and nobody writes to it until its deleter is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_softmax_legacy(tensor: *mut DLManagedTensor) -> *mut DLManagedTensor {
    // SAFETY: the caller gives the tensor away, and nobody writes to it until its deleter is called.
    or_null(|| softmax(&unsafe { Array::from_dlpack_legacy(there(tensor)?) }?)?.into_dlpack_legacy())
}

/// Converts a tensor to an array and back, in the structure of DLPack before version 1.0. The result is a copy, because
/// this structure cannot mark memory as read-only.
///
/// # Safety
/// The caller owns the tensor and gives it away, and nobody writes to it until its deleter is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_same_legacy(tensor: *mut DLManagedTensor) -> *mut DLManagedTensor {
    // SAFETY: the caller gives the tensor away, and nobody writes to it until its deleter is called.
    or_null(|| unsafe { Array::from_dlpack_legacy(there(tensor)?) }?.into_dlpack_legacy())
}
