//! Floor 2: the handle on a device's memory. What is behind it only the device's own backend knows.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Memory of one device. A backend implements it, and gets its own type back by [`Buffer::memory`].
pub(crate) trait Memory: Any + Send + Sync {
    /// The device's number, unique in the process.
    fn device_id(&self) -> u32;
    /// The device's name, for messages.
    fn device_name(&self) -> &str;
    /// Bytes that the buffer was asked for.
    fn bytes(&self) -> usize;
    /// For a downcast to the backend's own type.
    fn as_any(&self) -> &dyn Any;
}

/// A shared handle on a buffer. Its memory is written only where a single handle is left, or while no result that it
/// belongs to has been handed out.
#[derive(Clone)]
pub(crate) struct Buffer(Arc<dyn Memory>);

impl Buffer {
    pub fn new(memory: impl Memory) -> Buffer {
        Buffer(Arc::new(memory))
    }

    pub fn device_id(&self) -> u32 {
        self.0.device_id()
    }

    pub fn device_name(&self) -> &str {
        self.0.device_name()
    }

    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The backend's own type behind the handle.
    pub fn memory<M: Memory>(&self) -> Option<&M> {
        self.0.as_any().downcast_ref()
    }

    /// Whether this is the only handle.
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some()
    }

    pub fn same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes on {})", self.bytes(), self.device_name())
    }
}
