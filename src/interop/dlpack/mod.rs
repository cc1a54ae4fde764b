//! Shares CPU memory with libraries of other languages through DLPack. `dlpack/abi.rs` has the C structures.
//!
//! Arrays have value semantics: a write to one array never changes another. So an importer may write to exported memory
//! only if the array gave its memory away, and imported memory is never written in place.

pub mod abi;

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, NumberKind};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{Layout, Shape, Strides, c_strides, size_of_shape};
use abi::{DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned, DLTensor};
use std::ffi::c_void;
use std::panic::Location;
use std::ptr::NonNull;

/// An owned DLPack tensor: dropping it calls its deleter. [`Array::to_dlpack`] and [`Array::into_dlpack`] return one;
/// [`DlpackTensor::into_raw`] passes it to another library. (Feature `dlpack`.)
///
/// ```
/// use cupric::{Array, array};
/// let x = array![[1., 2.], [3., 4.]];
/// let tensor = x.t().eval()?.to_dlpack()?;          // shares the memory of `x`
/// let raw = tensor.into_raw();                      // another library takes it over, and frees it with its deleter
/// // here the same program imports it
/// // SAFETY: the tensor has just been exported, and nobody writes to it.
/// let y = unsafe { Array::from_dlpack(raw) }?;
/// assert_eq!(y.strides(), [1, 2]);
/// assert_eq!(y.to_vec::<f32>()?, [1., 3., 2., 4.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Debug)]
pub struct DlpackTensor(NonNull<DLManagedTensorVersioned>);

// SAFETY: a tensor is owned by its holder, and its deleter may be called on any thread: this holds for the deleters of
// this file, and callers of `Array::from_dlpack` promise it for other deleters.
unsafe impl Send for DlpackTensor {}
// SAFETY: a shared handle reads only data that does not change.
unsafe impl Sync for DlpackTensor {}

impl DlpackTensor {
    /// Returns a pointer to the tensor, and passes its ownership to the caller. The caller, or the library that gets
    /// the pointer, must call the deleter once. A Python capsule that holds the pointer must be named
    /// `dltensor_versioned`.
    ///
    /// ```
    /// let raw = cupric::array![1., 2.].to_dlpack()?.into_raw();
    /// // SAFETY: the tensor is the caller's, and is deleted once.
    /// unsafe {
    ///     assert_eq!(raw.as_ref().dl_tensor.ndim, 1);
    ///     raw.as_ref().deleter.map(|delete| delete(raw.as_ptr()));
    /// }
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn into_raw(self) -> NonNull<DLManagedTensorVersioned> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Returns true if nobody may write to the memory, because an array of this library shares it.
    ///
    /// ```
    /// let x = cupric::array![1., 2.];
    /// assert!(x.to_dlpack()?.is_read_only());
    /// assert!(!x.into_dlpack()?.is_read_only());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn is_read_only(&self) -> bool {
        // SAFETY: the tensor is owned, so the pointer is valid.
        unsafe { self.0.as_ref() }.flags & abi::READ_ONLY != 0
    }
}

impl Drop for DlpackTensor {
    fn drop(&mut self) {
        // SAFETY: the tensor is owned, and its deleter is called once.
        unsafe { delete_versioned(self.0) };
    }
}

/// Calls the deleter of a tensor.
///
/// # Safety
/// The caller owns the tensor, and nobody uses it after this call.
unsafe fn delete_versioned(tensor: NonNull<DLManagedTensorVersioned>) {
    // SAFETY: the caller owns the tensor, so the pointer is valid.
    if let Some(delete) = unsafe { tensor.as_ref() }.deleter {
        // SAFETY: the caller owns the tensor, so it may delete it, and nobody uses it afterwards.
        unsafe { delete(tensor.as_ptr()) };
    }
}

/// The data that an exported tensor points to. `_array` keeps the elements alive. The tensor's pointers to its shape
/// and strides point into `shape` and `strides`.
struct Exported<T> {
    tensor: T,
    shape: Vec<i64>,
    strides: Vec<i64>,
    _array: Array,
}

/// Returns the DLPack type of a dtype.
fn type_of(dtype: DType) -> DLDataType {
    let code = match dtype.facts().kind {
        NumberKind::Bool => abi::BOOL,
        NumberKind::Signed => abi::INT,
        NumberKind::Unsigned => abi::UINT,
        NumberKind::Float { .. } if dtype == DType::BF16 => abi::BFLOAT,
        NumberKind::Float { .. } => abi::FLOAT,
    };
    DLDataType { code, bits: dtype.size() as u8 * 8, lanes: 1 }
}

impl Array {
    /// Exports the array's memory as a DLPack tensor, without a copy and with the array's strides, for NumPy, PyTorch,
    /// JAX and others. The tensor is marked read-only. The array may be used and dropped as before; while the tensor
    /// exists, a write to the array allocates new memory. (Feature `dlpack`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::DeviceMismatch`] if the array is on a GPU (move it with
    /// [`to_device`](crate::Expr::to_device)), and [`ErrorKind::Unsupported`] if a bool array has a byte other than 0
    /// and 1 (kernels may store such bytes).
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// let tensor = x.to_dlpack()?.into_raw();
    /// // SAFETY: the tensor was exported above, and is deleted once.
    /// unsafe {
    ///     let t = tensor.as_ref().dl_tensor;
    ///     assert_eq!(std::slice::from_raw_parts(t.shape, t.ndim as usize), [2, 3]);
    ///     tensor.as_ref().deleter.map(|delete| delete(tensor.as_ptr()));
    /// }
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("__dlpack__"))]
    #[track_caller]
    pub fn to_dlpack(&self) -> Result<DlpackTensor> {
        export(self.clone(), true, "to_dlpack", Location::caller())
    }

    /// Exports the array like [`Array::to_dlpack`], and gives its memory away: the importer may write to it. The tensor
    /// is still marked read-only if another array or an expression shares the memory, or if several elements have the
    /// same address (as after [`broadcast_to`](crate::Expr::broadcast_to)). (Feature `dlpack`.)
    ///
    /// # Errors
    /// Returns the errors of [`Array::to_dlpack`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 2.];
    /// let other = x.clone();
    /// assert!(x.into_dlpack()?.is_read_only());
    /// assert!(!other.into_dlpack()?.is_read_only());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn into_dlpack(mut self) -> Result<DlpackTensor> {
        let is_shared = !self.is_alone() || self.layout().may_overlap_itself();
        export(self, is_shared, "into_dlpack", Location::caller())
    }

    /// Exports the array like [`Array::into_dlpack`], in the structure of DLPack versions before 1.0. That structure
    /// cannot mark a tensor as read-only, so an array is copied first if its memory is shared or several elements have
    /// the same address. A Python capsule that holds the returned pointer must be named `dltensor`. The caller or
    /// another library must call the deleter once. (Feature `dlpack`.)
    ///
    /// # Errors
    /// Returns the errors of [`Array::to_dlpack`], and an error if copying fails.
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let raw = array![1., 2.].into_dlpack_legacy()?;
    /// // SAFETY: the tensor has just been exported, and nobody writes to it.
    /// let x = unsafe { Array::from_dlpack_legacy(raw) }?;
    /// assert_eq!(x.to_vec::<f32>()?, [1., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn into_dlpack_legacy(mut self) -> Result<NonNull<DLManagedTensor>> {
        let at = Location::caller();
        let is_own = self.is_alone() && !self.layout().may_overlap_itself();
        let own = if is_own { self } else { self.compact(at)? };
        let make = |dl_tensor| DLManagedTensor {
            dl_tensor,
            manager_ctx: std::ptr::null_mut(),
            deleter: Some(delete_exported::<DLManagedTensor>),
        };
        let exported = exported(own, make, "into_dlpack_legacy", at)?;
        let tensor = NonNull::from(Box::leak(exported));
        // SAFETY: the box was leaked above, so the pointer is valid, and nobody else uses it. The deleter finds the box
        // by this pointer.
        unsafe {
            (*tensor.as_ptr()).tensor.manager_ctx = tensor.as_ptr().cast();
            let first = &raw mut (*tensor.as_ptr()).tensor;
            (*first).dl_tensor.shape = (*tensor.as_ptr()).shape.as_mut_ptr();
            (*first).dl_tensor.strides = (*tensor.as_ptr()).strides.as_mut_ptr();
            Ok(NonNull::new_unchecked(first))
        }
    }

    /// Imports a DLPack tensor, without a copy and with its strides. The elements are copied only if their address is
    /// not a multiple of their size. This function takes ownership of the tensor, even if it returns an error; the
    /// tensor's deleter is called as soon as no array uses the memory. A write to the array never changes the tensor,
    /// because it allocates new memory. (Feature `dlpack`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`] if the major version is not 1, the memory is not on the CPU, or cupric does
    /// not have the type. Returns [`ErrorKind::Format`] if the tensor is inconsistent, [`ErrorKind::Argument`] if a
    /// bool tensor has a byte other than 0 and 1, and [`ErrorKind::LimitExceeded`] if there are more than 64 axes.
    ///
    /// # Safety
    /// The tensor must be valid by the DLPack specification, and the caller must own it. All bytes from its first
    /// element in memory to its last must be initialised, including bytes between elements, and nobody may write to
    /// them until its deleter is called, which may happen on any thread.
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let tensor = array![1., 2., 3.].into_dlpack()?;
    /// // SAFETY: the tensor has just been exported, and nobody writes to it.
    /// let x = unsafe { Array::from_dlpack(tensor.into_raw()) }?;
    /// assert_eq!(x.to_vec::<f32>()?, [1., 2., 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub unsafe fn from_dlpack(tensor: NonNull<DLManagedTensorVersioned>) -> Result<Array> {
        const OP: &str = "from_dlpack";
        let at = Location::caller();
        let owner = DlpackTensor(tensor);
        // SAFETY: the version comes first in every version of the structure, and the tensor is valid.
        let version = unsafe { (&raw const (*tensor.as_ptr()).version).read() };
        if version.major != abi::VERSION.major {
            // the deleter has the same offset in all versions from 1 on, so `owner` can free the tensor
            let detail =
                format!("DLPack version {}.{} is not supported; only major version 1 is", version.major, version.minor);
            return Err(Error::with_line(ErrorKind::Unsupported, OP, detail, at));
        }
        // SAFETY: the tensor has this major version, and lives as long as `owner`.
        unsafe { import((&raw const (*tensor.as_ptr()).dl_tensor).read(), Box::new(owner), OP, at) }
    }

    /// Imports a tensor like [`Array::from_dlpack`], in the structure of DLPack versions before 1.0. (Feature
    /// `dlpack`.)
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_dlpack`].
    ///
    /// # Safety
    /// The tensor must meet the conditions of [`Array::from_dlpack`].
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let raw = array![[1, 2], [3, 4]].into_dlpack_legacy()?;
    /// // SAFETY: the tensor has just been exported, and nobody writes to it.
    /// let x = unsafe { Array::from_dlpack_legacy(raw) }?;
    /// assert_eq!(x.shape(), [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub unsafe fn from_dlpack_legacy(tensor: NonNull<DLManagedTensor>) -> Result<Array> {
        let owner = Legacy(tensor);
        // SAFETY: the tensor is valid, and lives as long as `owner`.
        unsafe { import(tensor.as_ref().dl_tensor, Box::new(owner), "from_dlpack_legacy", Location::caller()) }
    }
}

/// An imported tensor in the structure of DLPack versions before 1.0. Dropping it calls its deleter.
struct Legacy(NonNull<DLManagedTensor>);

// SAFETY: the tensor is owned by its holder, and its deleter may be called on any thread, as `from_dlpack` requires.
unsafe impl Send for Legacy {}
// SAFETY: the type has no method that reads through a shared reference, so threads can share a reference to it.
unsafe impl Sync for Legacy {}

impl Drop for Legacy {
    fn drop(&mut self) {
        // SAFETY: the tensor is owned, and its deleter is called once.
        unsafe {
            if let Some(delete) = self.0.as_ref().deleter {
                delete(self.0.as_ptr());
            }
        }
    }
}

/// A managed tensor of DLPack: a tensor, and a pointer (`context`) to data of the library that made it.
trait Managed {
    fn context(&self) -> *mut c_void;
}

impl Managed for DLManagedTensor {
    fn context(&self) -> *mut c_void {
        self.manager_ctx
    }
}

impl Managed for DLManagedTensorVersioned {
    fn context(&self) -> *mut c_void {
        self.manager_ctx
    }
}

/// Frees an exported tensor and its reference to the array.
///
/// # Safety
/// The tensor was exported by this file, and nobody uses it after this call.
unsafe extern "C" fn delete_exported<T: Managed>(tensor: *mut T) {
    if tensor.is_null() {
        return;
    }
    // SAFETY: the context is the leaked box that contains the tensor, and the caller promises that nobody uses the
    // tensor afterwards.
    let exported = unsafe { Box::from_raw((*tensor).context().cast::<Exported<T>>()) };
    // a panic must not unwind into another language
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(exported)));
}

/// Makes a tensor that uses an array's memory. The caller fills in the pointers to the shape, the strides and the
/// context once the tensor is at its final address.
fn exported<T>(array: Array, make: impl FnOnce(DLTensor) -> T, op: &'static str, at: Loc) -> Result<Box<Exported<T>>> {
    let data = array.host_pointer(op, at)?.cast();
    let tensor = DLTensor {
        data,
        device: DLDevice { device_type: abi::CPU, device_id: 0 },
        ndim: array.ndim() as i32,
        dtype: type_of(array.dtype()),
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        byte_offset: 0,
    };
    let shape = array.shape().iter().map(|n| *n as i64).collect();
    let strides = array.strides().iter().map(|s| *s as i64).collect();
    Ok(Box::new(Exported { tensor: make(tensor), shape, strides, _array: array }))
}

fn export(array: Array, is_read_only: bool, op: &'static str, at: Loc) -> Result<DlpackTensor> {
    let make = |dl_tensor| DLManagedTensorVersioned {
        version: abi::VERSION,
        manager_ctx: std::ptr::null_mut(),
        deleter: Some(delete_exported::<DLManagedTensorVersioned>),
        flags: if is_read_only { abi::READ_ONLY } else { 0 },
        dl_tensor,
    };
    let tensor = NonNull::from(Box::leak(exported(array, make, op, at)?));
    // SAFETY: the box was leaked above, so the pointer is valid, and nobody else uses it. The deleter finds the box by
    // this pointer.
    unsafe {
        let first = &raw mut (*tensor.as_ptr()).tensor;
        (*first).manager_ctx = tensor.as_ptr().cast();
        (*first).dl_tensor.shape = (*tensor.as_ptr()).shape.as_mut_ptr();
        (*first).dl_tensor.strides = (*tensor.as_ptr()).strides.as_mut_ptr();
        Ok(DlpackTensor(NonNull::new_unchecked(first)))
    }
}

/// Makes an array that uses a tensor's memory. `owner` keeps the memory alive.
///
/// # Safety
/// The conditions of [`Array::from_dlpack`] must hold until `owner` is dropped.
unsafe fn import(
    tensor: DLTensor,
    owner: Box<dyn std::any::Any + Send + Sync>,
    op: &'static str,
    at: Loc,
) -> Result<Array> {
    let error = |kind, detail: String| Error::with_line(kind, op, detail, at);
    let contradicts = |detail: &str| error(ErrorKind::Format, format!("the tensor is inconsistent: {detail}"));
    if tensor.device.device_type != abi::CPU {
        let detail = format!("the memory is on a device of type {}, not on the CPU (1)", tensor.device.device_type);
        return Err(error(ErrorKind::Unsupported, detail));
    }
    let dtype = DType::ALL.into_iter().find(|dtype| type_of(*dtype) == tensor.dtype).ok_or_else(|| {
        let DLDataType { code, bits, lanes } = tensor.dtype;
        error(ErrorKind::Unsupported, format!("no dtype has code {code}, {bits} bits and {lanes} lanes"))
    })?;
    let ndim = usize::try_from(tensor.ndim).map_err(|_| contradicts("a negative number of axes"))?;
    // SAFETY: if the pointer is not null, a valid tensor has one number for each axis at that address.
    let numbers = |ptr: *mut i64| (!ptr.is_null()).then(|| unsafe { std::slice::from_raw_parts(ptr, ndim) });
    let shape = match numbers(tensor.shape) {
        Some(lengths) => lengths.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<Shape>>(),
        None => (ndim == 0).then(Shape::new),
    };
    let shape = shape.ok_or_else(|| contradicts("a length is negative, or there are no lengths"))?;
    let count = size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    let strides = match numbers(tensor.strides) {
        // the stride of an axis of length 1 is not used, so it may be any number
        Some(steps) => {
            let stride = |(s, n): (&i64, &usize)| if *n == 1 { Some(0) } else { isize::try_from(*s).ok() };
            steps.iter().zip(&shape).map(stride).collect::<Option<Strides>>()
        }
        None => Some(c_strides(&shape)),
    };
    let strides = strides.ok_or_else(|| contradicts("a stride is out of range"))?;
    if count == 0 {
        let buffer = Device::cpu().backend().allocate(0).map_err(|e| e.or_at(at))?;
        return Ok(Array::new(buffer, Layout::c(&shape), dtype, at));
    }
    let offset = usize::try_from(tensor.byte_offset).map_err(|_| contradicts("an offset is out of range"))?;
    let first = tensor.data.cast::<u8>().wrapping_add(offset);
    let (low, high) = reach(&shape, &strides, dtype.size()).ok_or_else(|| contradicts("strides reach too far"))?;
    let (Some(start), false) = (NonNull::new(first.wrapping_offset(low)), tensor.data.is_null()) else {
        return Err(contradicts("elements without memory"));
    };
    let bytes = (high - low) as usize + dtype.size();
    if dtype == DType::Bool {
        // SAFETY: these bytes belong to elements of a valid tensor, so they are initialised. Bytes between elements are
        // not read.
        let is_wrong = |place: isize| unsafe { first.offset(place).read() } > 1;
        // all elements of an axis with stride 0 have the same address, so only the first is inspected
        let once: Shape = shape.iter().zip(&strides).map(|(n, s)| if *s == 0 { 1 } else { *n }).collect();
        if Places::new(&once, &strides).any(is_wrong) {
            return Err(error(ErrorKind::Argument, "a bool is a byte other than 0 and 1".to_string()));
        }
    }
    let offset = low.unsigned_abs() / dtype.size();
    if !(start.as_ptr() as usize).is_multiple_of(dtype.size()) {
        let mut copy = crate::base::error::room::<u8>(count.saturating_mul(dtype.size()), op, at)?;
        for place in Places::new(&shape, &strides) {
            // SAFETY: a valid tensor has an initialised element at each of the distances that `Places` returns.
            let element =
                unsafe { std::slice::from_raw_parts(first.offset(place * dtype.size() as isize), dtype.size()) };
            copy.extend_from_slice(element);
        }
        return Array::of_bytes(&copy, dtype, &shape, at).map_err(|e| e.named(op));
    }
    // SAFETY: the bytes are those from the tensor's first element in memory to its last, and `owner` keeps them alive.
    let buffer = unsafe { Device::lend((start, bytes), owner) };
    Ok(Array::new(buffer, Layout { shape, strides, offset }, dtype, at))
}

/// Returns the smallest and the largest distance, in bytes, of an element from the tensor's first element. The tensor
/// must have elements. Returns `None` if a distance overflows.
fn reach(shape: &[usize], strides: &[isize], size: usize) -> Option<(isize, isize)> {
    let (mut low, mut high) = (0isize, 0isize);
    for (n, s) in shape.iter().zip(strides) {
        let distance = isize::try_from(*n - 1).ok()?.checked_mul(*s)?.checked_mul(size as isize)?;
        low = low.checked_add(distance.min(0))?;
        high = high.checked_add(distance.max(0))?;
    }
    high.checked_sub(low)?.checked_add(size as isize)?;
    Some((low, high))
}

/// Iterates over a tensor's elements in C order. Each item is the distance of an element from the first element,
/// counted in elements. These distances do not overflow, because [`reach`] has checked the smallest and the largest.
struct Places<'a> {
    shape: &'a [usize],
    strides: &'a [isize],
    index: Shape,
    next: Option<isize>,
}

impl<'a> Places<'a> {
    /// Returns an iterator that starts at the first element. The tensor must have elements.
    fn new(shape: &'a [usize], strides: &'a [isize]) -> Places<'a> {
        Places { shape, strides, index: smallvec::smallvec![0; shape.len()], next: Some(0) }
    }
}

impl Iterator for Places<'_> {
    type Item = isize;
    fn next(&mut self) -> Option<isize> {
        let place = self.next.take()?;
        let mut next = place;
        for d in (0..self.shape.len()).rev() {
            self.index[d] += 1;
            next += self.strides[d];
            if self.index[d] < self.shape[d] {
                self.next = Some(next);
                break;
            }
            next -= self.strides[d] * self.shape[d] as isize;
            self.index[d] = 0;
        }
        Some(place)
    }
}
