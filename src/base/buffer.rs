//! The handle on a device's memory. Only the device's own backend knows the type behind it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Memory of one device. A backend implements it, and gets its own type back by [`Buffer::memory`].
pub(crate) trait Memory: Any + Send + Sync {
    /// The device's number, unique in the process.
    fn device_id(&self) -> u32;
    /// The device's name, for messages.
    fn device_name(&self) -> &str;
    /// The bytes asked for at the allocation, of which the memory may have more.
    fn bytes(&self) -> usize;
    /// The memory as `Any`, for a downcast to the backend's own type.
    fn as_any(&self) -> &dyn Any;
    /// Whether another library holds the memory as well, so that no write may ever be in place.
    fn is_lent(&self) -> bool {
        false
    }
    /// The `Vec` that a caller handed over, if it is the memory. Who takes it out must be the last to use the buffer.
    fn adopted(&mut self) -> Option<&mut dyn Any> {
        None
    }
}

/// A shared handle on a buffer. The memory is written either before the caller gets the array that it belongs to, or in place
/// through the only handle that is left. So no array ever sees another's write.
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

    /// The memory as the backend's own type `M`; `None` if it is another backend's.
    pub fn memory<M: Memory>(&self) -> Option<&M> {
        self.0.as_any().downcast_ref()
    }

    /// Takes the memory out as the `Vec` of `n` elements that a caller handed over, if it is one and this is the only handle.
    /// The buffer must not be used any more.
    pub fn take_vec<T: 'static>(&mut self, n: usize) -> Option<Vec<T>> {
        let adopted = Arc::get_mut(&mut self.0)?.adopted()?.downcast_mut::<Vec<T>>()?;
        (adopted.len() == n).then(|| std::mem::take(adopted))
    }

    /// Whether this is the only handle, and nobody else holds the memory: then it may be written in place.
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.0).is_some_and(|memory| !memory.is_lent())
    }

    /// Whether both handles lead to one memory.
    pub fn same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes on {})", self.bytes(), self.device_name())
    }
}
