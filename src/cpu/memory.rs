//! The CPU's memory: a pool that keeps the pages that the process has touched, since touching fresh ones costs five
//! times what a kernel does.

use crate::backend::{Faults, POISON};
use crate::buffer::Memory;
use crate::error::{Error, ErrorKind, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::any::Any;
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

/// From here on allocations come from the pool, below from the system's allocator.
const POOLED: usize = 64 << 10;
/// Blocks of at least this size are held against what the system has left.
const CHECKED: usize = 64 << 20;
/// Huge pages need this alignment.
const HUGE: usize = 2 << 20;
/// Up to here a buffer's bytes stand beside its header, in one allocation.
const INLINE: usize = 64;

/// A device's memory: budget, counters, and the blocks that wait for reuse.
pub(crate) struct Pool {
    id: u32,
    name: String,
    limit: Option<usize>,
    free: Mutex<BTreeMap<usize, Vec<Block>>>,
    used: AtomicUsize,
    cached: AtomicUsize,
    peak: AtomicUsize,
    allocations: AtomicU64,
    driver_allocations: AtomicU64,
    pub faults: Faults,
}

/// A block of the system's allocator that nobody uses.
struct Block(NonNull<u8>);
// SAFETY: a block is owned by whoever holds it, like a `Box<[u8]>`.
unsafe impl Send for Block {}

/// The next power of two, or the step halfway below it.
fn class(bytes: usize) -> usize {
    let up = bytes.next_power_of_two();
    if bytes <= up / 4 * 3 { up / 4 * 3 } else { up }
}

/// The layout of a block of `size` bytes: a function of the size alone, so that it is the same when it is freed.
fn layout(size: usize) -> Option<Layout> {
    let align = match size {
        HUGE.. => HUGE,
        // below, the system's allocator is fastest at its own alignment
        1024.. => 64,
        _ => 16,
    };
    Layout::from_size_align(size, align).ok()
}

/// Asks for huge pages: touching them costs less. Nothing depends on the answer.
#[cfg(all(target_os = "linux", not(miri)))]
fn advise_huge(ptr: NonNull<u8>, size: usize) {
    // the C library that `std` links
    unsafe extern "C" {
        fn madvise(addr: *mut std::ffi::c_void, length: usize, advice: std::ffi::c_int) -> std::ffi::c_int;
    }
    const MADV_HUGEPAGE: std::ffi::c_int = 14;
    // SAFETY: advice about whole pages of a block of our own; it changes no content.
    unsafe { madvise(ptr.as_ptr().cast(), size / HUGE * HUGE, MADV_HUGEPAGE) };
}

#[cfg(any(not(target_os = "linux"), miri))]
fn advise_huge(_: NonNull<u8>, _: usize) {}

impl Pool {
    pub fn new(id: u32, name: &str, limit: Option<usize>) -> Arc<Pool> {
        Arc::new(Pool {
            id,
            name: name.to_string(),
            limit,
            free: Mutex::default(),
            used: AtomicUsize::new(0),
            cached: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            allocations: AtomicU64::new(0),
            driver_allocations: AtomicU64::new(0),
            faults: Faults::new(),
        })
    }

    fn free(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<Block>>> {
        // the lists are whole at every step, also if a holder of the lock panicked
        self.free.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A buffer of at least `bytes` bytes.
    pub fn allocate(self: &Arc<Pool>, bytes: usize) -> Result<CpuMemory> {
        self.fault("allocate")?;
        self.count(bytes, self.limit)?;
        self.allocations.fetch_add(1, Relaxed);
        let place = if bytes <= INLINE {
            Place::Inline(Inline(UnsafeCell::new([const { MaybeUninit::uninit() }; INLINE])))
        } else {
            match self.block(bytes) {
                Some((ptr, size)) => Place::Block(ptr, size),
                None => {
                    self.used.fetch_sub(bytes, Relaxed);
                    return Err(self.out_of_memory(bytes, "the system has no more"));
                }
            }
        };
        // what was refused was never in use
        let used = self.used.load(Relaxed);
        if used > self.peak.load(Relaxed) {
            self.peak.fetch_max(used, Relaxed);
        }
        let memory = CpuMemory { place, bytes, pool: self.clone() };
        if self.faults.poisons() {
            // SAFETY: the block holds that many bytes and has no other user yet.
            unsafe { memory.ptr().write_bytes(POISON, bytes) };
        }
        Ok(memory)
    }

    /// The failure that a test planned for this call, if any.
    #[inline]
    pub fn fault(&self, site: &'static str) -> Result<()> {
        match self.faults.hit(site) {
            None => Ok(()),
            Some(kind) => Err(Error::new(kind, site, "a fault planned by a test", None)),
        }
    }

    /// Takes over memory that the caller already holds; counted, never refused.
    pub fn adopt<T: Send + Sync + 'static>(self: &Arc<Pool>, v: Vec<T>) -> CpuMemory {
        let bytes = size_of_val(v.as_slice());
        self.used.fetch_add(bytes, Relaxed);
        self.peak.fetch_max(self.used.load(Relaxed), Relaxed);
        self.allocations.fetch_add(1, Relaxed);
        let mut v = v;
        let ptr = NonNull::new(v.as_mut_ptr() as *mut u8).unwrap_or(NonNull::dangling());
        CpuMemory { place: Place::Foreign(ptr, Box::new(v)), bytes, pool: self.clone() }
    }

    /// Adds to the bytes in use, within the limit.
    fn count(&self, bytes: usize, limit: Option<usize>) -> Result<()> {
        let before = self.used.fetch_add(bytes, Relaxed);
        let used = before.saturating_add(bytes);
        if let Some(limit) = limit {
            if used > mutant!(limit_64_bytes_too_large, limit + 64, limit) {
                self.used.fetch_sub(mutant!(refused_memory_stays_counted, 0, bytes), Relaxed);
                return Err(self.out_of_memory(bytes, "the limit is reached"));
            }
            if used + self.cached.load(Relaxed) > limit {
                self.trim();
            }
        }
        Ok(())
    }

    #[cold]
    fn out_of_memory(&self, bytes: usize, why: &str) -> Error {
        let used = self.used.load(Relaxed);
        let limit = self.limit.map_or("no limit".to_string(), |l| format!("limit {l} bytes"));
        let detail = format!("{bytes} bytes asked of {} with {used} bytes in use ({limit}): {why}", self.name);
        Error::new(ErrorKind::OutOfMemory, "allocate", detail, None)
    }

    /// A block for `bytes`, with its size.
    fn block(&self, bytes: usize) -> Option<(NonNull<u8>, usize)> {
        if bytes > isize::MAX as usize / 2 {
            return None;
        }
        if bytes < POOLED {
            return Some((self.system(bytes)?, bytes));
        }
        let size = class(bytes);
        let pop = mutant!(pool_gives_live_buffer, |v: &mut Vec<Block>| v.last().map(|b| Block(b.0)), Vec::pop);
        if let Some(Block(ptr)) = self.free().get_mut(&size).and_then(pop) {
            self.cached.fetch_sub(size, Relaxed);
            return Some((ptr, size));
        }
        if size >= CHECKED && available().is_some_and(|a| size > a) {
            // what the pool keeps may be enough
            self.trim();
            if available().is_some_and(|a| size > a) {
                return None;
            }
        }
        let ptr = self.system(size).or_else(|| {
            self.trim();
            self.system(size)
        });
        Some((ptr?, size))
    }

    fn system(&self, size: usize) -> Option<NonNull<u8>> {
        self.driver_allocations.fetch_add(1, Relaxed);
        // SAFETY: the size is not 0 (smaller buffers are inline).
        let ptr = NonNull::new(unsafe { alloc(layout(size)?) })?;
        if size >= HUGE {
            advise_huge(ptr, size);
        }
        Some(ptr)
    }

    fn give_back(&self, ptr: NonNull<u8>, size: usize) {
        if size >= POOLED {
            self.free().entry(size).or_default().push(Block(ptr));
            self.cached.fetch_add(mutant!(cached_memory_miscounted, size + 64, size), Relaxed);
        } else if let Some(layout) = layout(size) {
            // SAFETY: `system` made the block with the same layout, and nobody uses it any more.
            unsafe { dealloc(ptr.as_ptr(), layout) };
        }
    }

    /// Returns unused blocks to the system.
    pub fn trim(&self) {
        let lists = std::mem::take(&mut *self.free());
        for (size, blocks) in lists {
            for Block(ptr) in blocks {
                self.cached.fetch_sub(size, Relaxed);
                if let Some(layout) = layout(size) {
                    // SAFETY: as in `give_back`.
                    unsafe { dealloc(ptr.as_ptr(), layout) };
                }
            }
        }
    }

    /// Bytes used, cached, peak, and the limit.
    pub fn info(&self) -> (usize, usize, usize, Option<usize>) {
        (self.used.load(Relaxed), self.cached.load(Relaxed), self.peak.load(Relaxed), self.limit)
    }

    /// Allocations of the pool and of the system.
    pub fn allocations(&self) -> (u64, u64) {
        (self.allocations.load(Relaxed), self.driver_allocations.load(Relaxed))
    }
}

/// Bytes that the system can give without taking them from somebody, where it says so. It would promise more and
/// kill a process that uses it.
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.trim();
    }
}

/// Bytes beside the header, aligned for every element type.
#[repr(align(16))]
struct Inline(UnsafeCell<[MaybeUninit<u8>; INLINE]>);

enum Place {
    Inline(Inline),
    Block(NonNull<u8>, usize),
    /// Somebody else's memory, freed by dropping its owner.
    Foreign(NonNull<u8>, #[allow(dead_code)] Box<dyn Any + Send + Sync>),
}

/// A buffer of a CPU device.
pub(crate) struct CpuMemory {
    place: Place,
    bytes: usize,
    pool: Arc<Pool>,
}

// SAFETY: the bytes are plain data; who writes them holds the only handle, or a result that nobody has seen yet.
unsafe impl Send for CpuMemory {}
// SAFETY: as above.
unsafe impl Sync for CpuMemory {}

impl CpuMemory {
    /// The first byte. The pointer stays valid while the buffer lives (it does not move: it is behind an `Arc`).
    pub fn ptr(&self) -> *mut u8 {
        match &self.place {
            Place::Inline(cell) => cell.0.get() as *mut u8,
            Place::Block(ptr, _) | Place::Foreign(ptr, _) => ptr.as_ptr(),
        }
    }

    /// The whole content, for the host. Nobody may write the buffer meanwhile.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the buffer holds that many bytes, wholly written by the kernel or upload that made it; writers
        // need the only handle on it.
        unsafe { std::slice::from_raw_parts(self.ptr(), self.bytes) }
    }
}

impl Memory for CpuMemory {
    fn device_id(&self) -> u32 {
        self.pool.id
    }

    fn device_name(&self) -> &str {
        &self.pool.name
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for CpuMemory {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(mutant!(leak, self.bytes / 2, self.bytes), Relaxed);
        if let Place::Block(ptr, size) = self.place {
            self.pool.give_back(ptr, size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_reused_and_counted() {
        let pool = Pool::new(0, "cpu", Some(10 << 20));
        let a = pool.allocate(3 << 20).unwrap();
        let first = a.ptr();
        assert_eq!(first as usize % HUGE, 0);
        drop(a);
        assert_eq!(pool.info(), (0, 3 << 20, 3 << 20, Some(10 << 20)));
        let b = pool.allocate((3 << 20) - 5).unwrap();
        assert_eq!(b.ptr(), first);
        let e = pool.allocate(8 << 20).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::OutOfMemory);
        drop(b);
        pool.allocate(9 << 20).unwrap();
        pool.trim();
        assert_eq!((pool.info().0, pool.info().1), (0, 0));
        for n in [0, 1, 64, 65, 1023, 1024, POOLED - 1, POOLED] {
            let m = pool.allocate(n).unwrap();
            // SAFETY: n bytes are there.
            unsafe { m.ptr().write_bytes(7, n) };
            assert_eq!(m.as_bytes().len(), n);
        }
        let v = pool.adopt(vec![1.5f32; 10]);
        assert_eq!((v.as_bytes().len(), pool.info().0), (40, 40));
        drop(v);
        let pool = Pool::new(0, "cpu", None);
        assert!(pool.allocate(usize::MAX).is_err() && pool.allocate(1 << 60).is_err());
        assert_eq!(pool.info(), (0, 0, 0, None));
    }
}
