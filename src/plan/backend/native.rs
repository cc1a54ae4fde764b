//! What a GPU gives programs that call wgpu themselves, and takes from them.

use crate::base::buffer::Buffer;
use crate::base::error::Result;

/// The parts of a GPU as wgpu has them.
pub(crate) trait Native {
    /// The device and its queue, after all work that is recorded has been submitted to it.
    fn handles(&self) -> Result<(wgpu::Device, wgpu::Queue)>;
    /// The driver's buffer of an array, after all recorded work that uses it has been submitted.
    fn native_buffer(&self, buffer: &Buffer) -> Result<wgpu::Buffer>;
    /// Makes a handle on the first `bytes` bytes of a program's own buffer, which is never written in place.
    fn borrow(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Buffer>;
}
