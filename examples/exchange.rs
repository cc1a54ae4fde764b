//! A shared library that exchanges arrays with Python without a copy, by DLPack: NumPy, PyTorch and JAX take tensors so, and
//! give them. `examples/exchange.py` is the other side; it needs nothing but Python and one of these libraries.
//!
//!     cargo build --release --features dlpack --example exchange
//!     python3 examples/exchange.py target/release/examples/libexchange.so
//!
//! A tensor is passed as a pointer to DLPack's structure and changes its owner with every call. A function that fails returns null,
//! and `exchange_error` says why.

use cupric::dlpack_abi::{DLManagedTensor, DLManagedTensorVersioned};
use cupric::{Array, DType, Error, ErrorKind, Result, arange, keep};
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr::{NonNull, null_mut};

thread_local! {
    /// Why the last call of this thread failed.
    static ERROR: RefCell<CString> = RefCell::default();
}

/// Returns what `work` gives, or null.
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

/// Why the last call of this thread failed; the text stays until the next call.
#[unsafe(no_mangle)]
pub extern "C" fn exchange_error() -> *const c_char {
    ERROR.with_borrow(|text| text.as_ptr())
}

/// A new tensor of the numbers from 0 on, in rows and columns.
#[unsafe(no_mangle)]
pub extern "C" fn exchange_range(rows: usize, columns: usize) -> *mut DLManagedTensorVersioned {
    or_null(|| {
        let count = i64::try_from(rows.saturating_mul(columns)).unwrap_or(i64::MAX);
        let numbers = arange(0, count, 1, DType::F32).reshape([rows, columns]).eval()?;
        Ok(numbers.into_dlpack()?.into_raw())
    })
}

/// The tensor itself, once around: its memory stays where it is.
///
/// # Safety
/// The tensor is the caller's to give away, and nobody writes to it until its deleter is called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_same(tensor: *mut DLManagedTensorVersioned) -> *mut DLManagedTensorVersioned {
    // SAFETY: the caller promises it.
    or_null(|| Ok(unsafe { Array::from_dlpack(there(tensor)?) }?.into_dlpack()?.into_raw()))
}

/// The softmax of each row of a tensor.
///
/// # Safety
/// As `exchange_same`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_softmax(tensor: *mut DLManagedTensorVersioned) -> *mut DLManagedTensorVersioned {
    // SAFETY: the caller promises it.
    or_null(|| Ok(softmax(&unsafe { Array::from_dlpack(there(tensor)?) }?)?.into_dlpack()?.into_raw()))
}

/// As `exchange_softmax`, in the structure of DLPack before 1.0, which older libraries know.
///
/// # Safety
/// As `exchange_same`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_softmax_legacy(tensor: *mut DLManagedTensor) -> *mut DLManagedTensor {
    // SAFETY: the caller promises it.
    or_null(|| softmax(&unsafe { Array::from_dlpack_legacy(there(tensor)?) }?)?.into_dlpack_legacy())
}

/// As `exchange_same`, in the structure of DLPack before 1.0, which cannot say that nobody may write: so this is a copy.
///
/// # Safety
/// As `exchange_same`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn exchange_same_legacy(tensor: *mut DLManagedTensor) -> *mut DLManagedTensor {
    // SAFETY: the caller promises it.
    or_null(|| unsafe { Array::from_dlpack_legacy(there(tensor)?) }?.into_dlpack_legacy())
}
