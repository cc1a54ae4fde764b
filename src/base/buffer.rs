//! Handles to device memory. Only the backend of a device knows the concrete memory type behind a handle.

use super::error::Error;
use super::shared::Shared;
use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Memory of one device. Each backend implements this trait for its own type, and gets that type back through
/// [`Buffer::memory`].
pub(crate) trait Memory: Any + Send + Sync {
    /// The number of the device, unique in the process.
    fn device_id(&self) -> u32;
    /// The name of the device, for messages.
    fn device_name(&self) -> &str;
    /// The number of bytes that were requested. The allocation may be larger.
    fn bytes(&self) -> usize;
    /// Returns the memory as `Any`, for a downcast to the backend's own type.
    fn as_any(&self) -> &dyn Any;
    /// Returns the address of the first byte and the number of bytes, if a CPU can access the memory.
    fn host(&self) -> Option<(*mut u8, usize)> {
        None
    }
    /// Returns whether another library also uses the memory, so that the memory must never be written in place.
    fn is_lent(&self) -> bool {
        false
    }
    /// Returns the `Vec` that a caller handed over as this memory, or `None` for other memory. Only the last user of
    /// the buffer may take the `Vec` out.
    fn adopted(&mut self) -> Option<&mut dyn Any> {
        None
    }
}

/// A shared handle to a buffer. A write to one array never changes another array, because memory is written only before
/// its array is returned, or if a single handle to it is left.
///
/// The second field is a number that tells arrays apart. Equal expressions are computed once, so their arrays share
/// memory, but each array's handles have a different number ([`Buffer::another`]).
#[derive(Clone)]
pub(crate) struct Buffer(Shared<dyn Memory>, u32);

/// Stands for the memory of an array that has none. In expressions that are planned before they get their arrays, the
/// memory is not known yet; otherwise `error` states why the elements could not be copied to the device. Backends cannot
/// read it.
struct Placeholder {
    device: (u32, String),
    bytes: usize,
    error: Option<Error>,
}

impl Memory for Placeholder {
    fn device_id(&self) -> u32 {
        self.device.0
    }
    fn device_name(&self) -> &str {
        &self.device.1
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn is_lent(&self) -> bool {
        true
    }
}

/// The second field of every [`Buffer`] without memory.
const PLACEHOLDER: u32 = u32::MAX;

impl Buffer {
    /// Returns a handle to the memory that `make` returns, which the compiler can construct in its place.
    #[inline(always)]
    pub fn new<M: Memory>(make: impl FnOnce() -> M) -> Buffer {
        // SAFETY: the conversion returns the same pointer.
        Buffer(unsafe { Shared::new(make).coerced(|memory| memory) }, 0)
    }

    /// Returns a buffer without memory, with the number and the name of its device.
    fn without_memory(device: (u32, &str), bytes: usize, error: Option<Error>) -> Buffer {
        let device = (device.0, device.1.to_string());
        Buffer(Buffer::new(|| Placeholder { device, bytes, error }).0, PLACEHOLDER)
    }

    /// Returns a placeholder with the size and device of this buffer, for planning expressions before the array is
    /// known.
    pub fn placeholder(&self) -> Buffer {
        Buffer::without_memory((self.device_id(), self.device_name()), self.bytes(), None)
    }

    /// Returns a buffer for an array whose elements could not be copied to its device, of which the number and the name
    /// are given. An evaluation that reads it returns the error.
    pub fn missing(device: (u32, &str), bytes: usize, error: Error) -> Buffer {
        Buffer::without_memory(device, bytes, Some(error))
    }

    /// Returns the error that left the buffer without memory, if one did.
    pub fn error(&self) -> Option<&Error> {
        self.memory::<Placeholder>().and_then(|memory| memory.error.as_ref())
    }

    /// Returns whether no plan can read the buffer. A plan of a traced expression, whose arrays are not known yet, can
    /// read a placeholder.
    pub fn cannot_be_planned(&self, is_traced: bool) -> bool {
        self.is_placeholder() && (!is_traced || self.error().is_some())
    }

    /// Returns whether the buffer has no memory, so that it cannot be read.
    pub fn is_placeholder(&self) -> bool {
        self.1 == PLACEHOLDER
    }

    #[inline]
    pub fn device_id(&self) -> u32 {
        self.0.device_id()
    }

    pub fn device_name(&self) -> &str {
        self.0.device_name()
    }

    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Returns the memory as the backend's own type `M`, or `None` if it belongs to another backend.
    pub fn memory<M: Memory>(&self) -> Option<&M> {
        self.0.as_any().downcast_ref()
    }

    /// Returns the address of the first byte and the number of bytes, if a CPU can access the memory.
    #[inline]
    pub fn host(&self) -> Option<(*mut u8, usize)> {
        self.0.host()
    }

    /// Takes out the `Vec` of `n` elements that a caller handed over as the memory. Returns `None` if the memory is not
    /// such a `Vec` or if another handle exists. After `Some`, the buffer must not be used.
    pub fn take_vec<T: 'static>(&mut self, n: usize) -> Option<Vec<T>> {
        let adopted = Shared::get_mut(&mut self.0)?.adopted()?.downcast_mut::<Vec<T>>()?;
        (adopted.len() == n).then(|| std::mem::take(adopted))
    }

    /// Returns whether this is the only handle and no other library holds the memory, so that it may be written in
    /// place.
    pub fn is_unique(&mut self) -> bool {
        Shared::get_mut(&mut self.0).is_some_and(|memory| !memory.is_lent())
    }

    /// Returns a handle to the same memory for another array, which has the same elements because an equal expression
    /// computed them.
    pub fn another(&self) -> Buffer {
        static LAST: AtomicU32 = AtomicU32::new(0);
        if self.is_placeholder() {
            return self.clone();
        }
        // Numbers repeat after 2^32 calls. That does harm only if two arrays with the same memory and the same number
        // occur in one derivative.
        Buffer(self.0.clone(), LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % PLACEHOLDER)
    }

    /// Returns whether both handles refer to the memory of the same array, or of views of it.
    pub fn is_of_one_array(&self, other: &Buffer) -> bool {
        self.same(other) && self.1 == other.1
    }

    /// Returns a hash of the array: all handles of one array have the same hash, and handles of other arrays usually
    /// have another one.
    pub fn hash_of_array(&self) -> u64 {
        (Shared::as_ptr(&self.0) as *const u8 as u64) ^ (u64::from(self.1) << 40)
    }

    /// Returns an address that identifies the memory as long as a handle to it exists.
    pub fn address(&self) -> *const () {
        Shared::as_ptr(&self.0) as *const ()
    }

    /// Returns whether both handles refer to the same memory.
    pub fn same(&self, other: &Buffer) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes on {})", self.bytes(), self.device_name())
    }
}
