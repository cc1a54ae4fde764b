//! Direct access to the memory of arrays on the CPU, for other libraries.

use super::Array;
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::span_of;

impl Array {
    /// Returns the bytes of an array on the CPU, from its first element in memory to its last; empty for an array
    /// without elements. Fails for an array on another device, and for bools with a byte that is neither 0 nor 1: a
    /// kernel may store true as any byte except 0, but other libraries do not expect that.
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
    /// Fails as [`Array::host_memory`] does.
    #[cfg(feature = "dlpack")]
    pub(crate) fn host_pointer(&self, op: &'static str, at: Loc) -> Result<*mut u8> {
        let bytes = self.host_memory(op, at)?;
        let (buffer, _, offset) = self.stored();
        match Device::host_pointer(buffer) {
            // `host_memory` has checked that the element is inside the memory
            Some(memory) if !bytes.is_empty() => Ok(memory.wrapping_add(offset * self.dtype().size())),
            _ => Ok(std::ptr::null_mut()),
        }
    }

    /// Returns the elements from the first to the last in memory, like [`Array::host_memory`]. Also fails if the array
    /// has another dtype than `T`.
    #[cfg(feature = "ndarray")]
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
        // cannot happen, because memory of the pool and of every `Vec` is aligned for its elements
        Err(Error::with_line(ErrorKind::Internal, op, "the elements are not aligned", at))
    }
}
