//! Direct access to the memory of arrays on the CPU: slices of elements, and pointers for other libraries.

use super::Array;
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::span_of;
use std::panic::Location;

impl Array {
    /// Returns the elements of an array on the CPU as a slice in C order, without a copy.
    ///
    /// # Errors
    /// * [`ErrorKind::DType`] if `T` is not the array's type.
    /// * [`ErrorKind::DeviceMismatch`] if the array is on a GPU.
    /// * [`ErrorKind::Argument`] if the array is not contiguous in C order; [`contiguous`](crate::Expr::contiguous)
    ///   makes a contiguous copy.
    /// * [`ErrorKind::Unsupported`] if a bool array has a byte other than 0 and 1 (kernels may store such bytes).
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.as_slice::<f32>()?, [1., 2., 3., 4.]);
    /// let columns = x.t().eval()?; // a view of the same memory
    /// assert!(columns.as_slice::<f32>().is_err());
    /// assert_eq!(columns.contiguous().eval()?.as_slice::<f32>()?, [1., 3., 2., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("data", "as_ptr", "memoryview"))]
    #[track_caller]
    pub fn as_slice<T: crate::Element>(&self) -> Result<&[T]> {
        self.contiguous_elements("as_slice", Location::caller())
    }

    /// Returns the elements of an array on the CPU as a mutable slice in C order. Fails if another array, view or
    /// expression uses the same memory, because a write to one array never changes another.
    ///
    /// # Errors
    /// Returns the errors of [`Array::as_slice`], and [`ErrorKind::Argument`] if something else uses the memory, such
    /// as a clone of the array, an expression of it, or another library or a mapped file that owns it.
    ///
    /// ```
    /// let mut x = cupric::array![1., 2., 3.];
    /// x.as_mut_slice::<f32>()?[1] = 20.;
    /// assert_eq!(x.to_vec::<f32>()?, [1., 20., 3.]);
    /// let copy = x.clone(); // shares the memory
    /// assert!(x.as_mut_slice::<f32>().is_err());
    /// # drop(copy);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn as_mut_slice<T: crate::Element>(&mut self) -> Result<&mut [T]> {
        const OP: &str = "as_mut_slice";
        let at = Location::caller();
        let count = self.contiguous_elements::<T>(OP, at)?.len();
        if count == 0 {
            return Ok(&mut []);
        }
        if !mutant!(slice_of_shared_memory, true, self.is_alone()) {
            let detail = "another array, view or expression uses the memory, or another library owns it; write with \
                          assign or set, or copy the array";
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        let first = self.host_pointer(OP, at)?.cast::<T>();
        // SAFETY: `contiguous_elements` has checked that `count` aligned and initialised elements of `T` follow
        // `first`. `is_alone` has checked that no other handle to the memory exists, and the slice borrows this one
        // mutably.
        Ok(unsafe { std::slice::from_raw_parts_mut(first, count) })
    }

    /// Returns all elements as a slice, or an error if they are not contiguous in C order, not on the CPU, or not of
    /// type `T`.
    fn contiguous_elements<T: crate::Element>(&self, op: &'static str, at: Loc) -> Result<&[T]> {
        let elements = self.host_elements(op, at)?;
        if self.is_contiguous() {
            return Ok(elements);
        }
        let (shape, strides) = (self.shape(), self.strides());
        let detail = format!("shape {shape:?} with strides {strides:?} is not contiguous; use contiguous");
        Err(Error::with_line(ErrorKind::Argument, op, detail, at))
    }

    /// Returns the bytes of an array on the CPU, from its first element in memory to its last. Returns no bytes for an
    /// array without elements. Fails for an array on a GPU, and for bools with a byte other than 0 and 1. (A kernel may
    /// store `true` as any byte except 0, but other libraries do not expect that.)
    fn host_memory(&self, op: &'static str, at: Loc) -> Result<&[u8]> {
        let (buffer, strides, offset) = self.stored();
        let Some(bytes) = Device::host_bytes(buffer) else {
            let detail = format!("the array is on {}, not in the host's memory; move it with to_device", self.device());
            return Err(Error::with_line(ErrorKind::DeviceMismatch, op, detail, at));
        };
        let Some((low, high)) = span_of(self.shape(), strides) else { return Ok(&[]) };
        let size = self.dtype().size();
        let place = |distance: isize| offset.checked_add_signed(distance)?.checked_mul(size);
        let range = place(low).zip(place(high)).map(|(low, high)| low..high + size);
        let bytes = range.and_then(|range| bytes.get(range)).ok_or_else(|| {
            Error::with_line(ErrorKind::Internal, op, "the array's elements are outside of its buffer", at)
        })?;
        if self.dtype() == crate::DType::Bool && bytes.iter().any(|byte| *byte > 1) {
            let detail =
                "a bool is stored as a byte other than 0 and 1, so the memory cannot be shared; copy the array";
            return Err(Error::with_line(ErrorKind::Unsupported, op, detail, at));
        }
        Ok(bytes)
    }

    /// Returns the address of the element whose index is 0 along every axis, or null for an array without elements.
    /// Fails for an array on a GPU, and for bools with a byte other than 0 and 1.
    pub(crate) fn host_pointer(&self, op: &'static str, at: Loc) -> Result<*mut u8> {
        let bytes = self.host_memory(op, at)?;
        let (buffer, _, offset) = self.stored();
        match Device::host_pointer(buffer) {
            // `host_memory` has returned an error if the element is outside the buffer
            Some(memory) if !bytes.is_empty() => Ok(memory.wrapping_add(offset * self.dtype().size())),
            _ => Ok(std::ptr::null_mut()),
        }
    }

    /// Returns the elements of an array on the CPU, from the first to the last in memory. Fails for an array on a GPU
    /// or with another dtype than `T`, and for bools with a byte other than 0 and 1.
    pub(crate) fn host_elements<T: crate::Element>(&self, op: &'static str, at: Loc) -> Result<&[T]> {
        if self.dtype() != T::DTYPE {
            let detail = format!("the array has dtype {}, not {}; use astype", self.dtype(), T::DTYPE);
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
        let bytes = self.host_memory(op, at)?;
        // SAFETY: the bytes are initialised, any bits are a valid number, and `host_memory` has checked that every bool
        // is 0 or 1.
        let (before, elements, after) = unsafe { bytes.align_to::<T>() };
        if before.is_empty() && after.is_empty() {
            return Ok(elements);
        }
        // cannot happen, because buffers and every `Vec` are aligned for their elements
        Err(Error::with_line(ErrorKind::Internal, op, "the elements are not aligned", at))
    }
}
