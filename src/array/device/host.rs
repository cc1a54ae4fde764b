//! Access to buffers in host memory, and device names, for the code that exchanges arrays with other libraries.

use super::Device;
use crate::base::buffer::Buffer;
use crate::cpu::CpuMemory;

impl Device {
    /// Returns the device's name if [`str::parse`] turns it into the same device in another process: `cpu` or `gpu:N`.
    /// Returns `None` for any other device, such as one with a memory limit.
    #[cfg(feature = "serde")]
    pub(crate) fn parsed_name(&self) -> Option<String> {
        if *self == super::cpu().0 {
            Some("cpu".to_string())
        } else {
            super::opening::index_of(self).map(|n| format!("gpu:{n}"))
        }
    }

    /// Returns the bytes of a buffer, if they are in host memory.
    pub(crate) fn host_bytes(buffer: &Buffer) -> Option<&[u8]> {
        buffer.memory::<CpuMemory>().map(CpuMemory::as_bytes)
    }

    /// Returns the address of a buffer's bytes, if they are in host memory.
    pub(crate) fn host_pointer(buffer: &Buffer) -> Option<*mut u8> {
        buffer.memory::<CpuMemory>().map(CpuMemory::ptr)
    }

    /// Makes a CPU buffer that uses memory of another library without copying.
    ///
    /// # Safety
    /// The bytes must be initialised, must not move, and must not be written by anybody until `lender` is dropped.
    #[cfg(any(feature = "dlpack", feature = "mmap"))]
    pub(crate) unsafe fn lend(
        memory: (std::ptr::NonNull<u8>, usize),
        lender: Box<dyn std::any::Any + Send + Sync>,
    ) -> Buffer {
        // SAFETY: the caller promises that the bytes are initialised, do not move, and are not written until `lender`
        // is dropped.
        unsafe { super::cpu().1.lend(memory, lender) }
    }
}
