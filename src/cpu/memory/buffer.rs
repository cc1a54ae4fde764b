//! Buffers of CPU devices: where their bytes are, and how a buffer keeps its device alive.

use super::{INLINE, MemoryPool, inline_bytes};
use crate::base::buffer::Memory;
use std::any::Any;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A CPU device, which owns a memory pool.
pub(in crate::cpu) trait Owner: Send + Sync {
    /// Returns the pool to which the device's buffers return their memory.
    fn pool(&self) -> &MemoryPool;
}

/// A buffer's reference to its device.
pub(in crate::cpu) enum Holder {
    /// The CPU device that exists as long as the process. Most buffers belong to this device, and they need not count
    /// references to it.
    Process(&'static dyn Owner),
    /// A device that the buffer keeps alive.
    Counted(Arc<dyn Owner>),
}

impl Holder {
    /// Returns whether the device exists as long as the process.
    pub fn stays(&self) -> bool {
        matches!(self, Holder::Process(_))
    }

    fn pool(&self) -> &MemoryPool {
        match self {
            Holder::Process(owner) => owner.pool(),
            Holder::Counted(owner) => owner.pool(),
        }
    }
}

/// The content of a small buffer, inside its header. It is aligned for every element type.
#[repr(align(16))]
pub(super) struct Inline(UnsafeCell<[MaybeUninit<u8>; INLINE]>);

impl Inline {
    pub fn new() -> Inline {
        Inline(UnsafeCell::new([const { MaybeUninit::uninit() }; INLINE]))
    }
}

pub(super) enum Storage {
    Inline(Inline),
    Block(NonNull<u8>, usize),
    /// Memory that a caller handed over, with its owner (a `Vec`), which frees the memory when dropped.
    Foreign(NonNull<u8>, Box<dyn Any + Send + Sync>),
    /// Memory that another library lends, with an object that returns the memory when dropped. Nobody writes to the
    /// memory.
    #[cfg_attr(
        not(any(feature = "dlpack", feature = "mmap")),
        allow(dead_code, reason = "only DLPack and mapped files lend memory")
    )]
    Lent(NonNull<u8>, #[allow(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>),
}

/// A buffer of a CPU device.
pub(crate) struct CpuMemory {
    pub(super) storage: Storage,
    pub(super) bytes: usize,
    pub(super) owner: Holder,
}

// SAFETY: the bytes are plain data, which any thread may read, write and free. The owner and an adopted `Vec` are
// `Send` by their types.
unsafe impl Send for CpuMemory {}
// SAFETY: shared handles only read. A writer holds the only handle, or writes an output that has not been handed out
// yet.
unsafe impl Sync for CpuMemory {}

impl CpuMemory {
    /// Returns the address of the first byte. It stays valid while the buffer lives. Content in the header does not
    /// move, because the buffer is behind a [`Shared`](crate::base::shared::Shared).
    pub fn ptr(&self) -> *mut u8 {
        match &self.storage {
            Storage::Inline(cell) => cell.0.get() as *mut u8,
            Storage::Block(ptr, _) | Storage::Foreign(ptr, _) | Storage::Lent(ptr, _) => ptr.as_ptr(),
        }
    }

    /// Returns the number of bytes that were actually allocated for the buffer. The pool counts this number.
    pub(super) fn size(&self) -> usize {
        match self.storage {
            Storage::Inline(_) => inline_bytes(self.bytes),
            Storage::Block(_, size) => size,
            Storage::Foreign(..) | Storage::Lent(..) => self.bytes,
        }
    }

    /// Returns the whole content, for the host to read.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the buffer has `bytes` bytes, and the kernel or upload that filled it has written all of them. No
        // writer runs meanwhile, because it would need the only handle to the buffer.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.bytes) }
    }
}

impl Memory for CpuMemory {
    fn device_id(&self) -> u32 {
        self.owner.pool().id
    }

    fn device_name(&self) -> &str {
        &self.owner.pool().name
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn host(&self) -> Option<(*mut u8, usize)> {
        Some((self.ptr(), self.bytes))
    }

    fn is_lent(&self) -> bool {
        matches!(self.storage, Storage::Lent(..))
    }

    fn adopted(&mut self) -> Option<&mut dyn Any> {
        match &mut self.storage {
            Storage::Foreign(_, owner) => Some(&mut **owner),
            Storage::Inline(_) | Storage::Block(..) | Storage::Lent(..) => None,
        }
    }
}

impl Drop for CpuMemory {
    fn drop(&mut self) {
        let (size, pool) = (self.size(), self.owner.pool());
        pool.used.fetch_sub(mutant!(leak, size / 2, size), Relaxed);
        match self.storage {
            Storage::Inline(_) => pool.release(size),
            Storage::Block(ptr, size) => pool.give_back(ptr, size),
            Storage::Foreign(..) => drop(pool.adopted.fetch_sub(size, Relaxed)),
            Storage::Lent(..) => {
                pool.adopted.fetch_sub(size, Relaxed);
                pool.lent.fetch_sub(size, Relaxed);
            }
        }
    }
}
