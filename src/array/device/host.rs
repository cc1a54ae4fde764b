//! What other libraries need of the host: its memory, and names of devices.

use super::Device;
#[cfg(any(feature = "ndarray", feature = "dlpack", feature = "mmap"))]
use crate::base::buffer::Buffer;
#[cfg(any(feature = "ndarray", feature = "dlpack"))]
use crate::cpu::CpuMemory;

impl Device {
    /// The name by which [`str::parse`] finds the device in another process: `cpu` or `gpu:N`. None of one with limits of its own.
    #[cfg(feature = "serde")]
    pub(crate) fn parsed_name(&self) -> Option<String> {
        if *self == super::cpu().0 {
            Some("cpu".to_string())
        } else {
            super::opening::index_of(self).map(|n| format!("gpu:{n}"))
        }
    }

    /// The bytes of a buffer, if they are memory of the host.
    #[cfg(any(feature = "ndarray", feature = "dlpack"))]
    pub(crate) fn host_bytes(buffer: &Buffer) -> Option<&[u8]> {
        buffer.memory::<CpuMemory>().map(CpuMemory::as_bytes)
    }

    /// Where the bytes of a buffer begin, if they are memory of the host.
    #[cfg(feature = "dlpack")]
    pub(crate) fn host_pointer(buffer: &Buffer) -> Option<*mut u8> {
        buffer.memory::<CpuMemory>().map(CpuMemory::ptr)
    }

    /// Makes a buffer of the CPU of memory that another library lends.
    ///
    /// # Safety
    /// The bytes are initialised and stay where they are, and nobody writes to them, until `lender` is dropped.
    #[cfg(any(feature = "dlpack", feature = "mmap"))]
    pub(crate) unsafe fn lend(
        memory: (std::ptr::NonNull<u8>, usize),
        lender: Box<dyn std::any::Any + Send + Sync>,
    ) -> Buffer {
        // SAFETY: as the caller promises.
        unsafe { super::cpu().1.lend(memory, lender) }
    }
}
