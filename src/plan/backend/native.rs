//! Access to a GPU's wgpu objects, for programs that call wgpu themselves.

use crate::base::buffer::Buffer;
use crate::base::error::Result;

/// The wgpu objects of a GPU.
pub(crate) trait Native {
    /// Returns the device and its queue, after submitting all recorded work.
    fn handles(&self) -> Result<(wgpu::Device, wgpu::Queue)>;
    /// Returns the driver's buffer of an array, after submitting all recorded work that uses it.
    fn native_buffer(&self, buffer: &Buffer) -> Result<wgpu::Buffer>;
    /// Returns a buffer handle for the first `bytes` bytes of a wgpu buffer that belongs to the user's program. cupric
    /// never writes to it in place.
    fn borrow(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Buffer>;
}
