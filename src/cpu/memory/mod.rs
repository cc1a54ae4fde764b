//! The CPU's memory: a pool that keeps freed blocks, because the process has already touched their pages. If a kernel
//! writes to fresh pages, the system takes five times as long to map them as the kernel takes for its own work.

mod buffer;
mod system;

use super::tally::{self, Event};
use crate::base::buffer::Buffer;
use crate::base::error::{ALLOCATE, Error, Result, beyond_memory};
use crate::plan::backend::FaultInjector;
pub(crate) use buffer::CpuMemory;
pub(super) use buffer::{Holder, Owner};
use buffer::{Inline, Storage};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
pub(super) use system::advise_huge;
use system::available;

/// Freed blocks of at least this many bytes are pooled. Smaller blocks go back to the system's allocator, which keeps
/// their pages itself.
const POOLED: usize = 64 << 10;
/// Allocations of at least this many bytes are compared with the memory that the system has left. Asking the system
/// takes about 20 µs, which is little compared with the time to touch that much memory.
const CHECKED: usize = 64 << 20;
/// The number of bytes that the pool leaves to the rest of the process, such as the plans of later runs. A process ends if
/// it cannot allocate a small object, even if the pool has free blocks. Chosen by hand; no benchmark compares other values.
const ROOM: usize = 8 << 20;
/// The content of a buffer of at most this size is stored in the buffer's own header, so that a small array needs only
/// one allocation.
const INLINE: usize = 64;

/// The two reasons why an allocation fails.
const LIMIT: &str = "the limit is reached";
const SYSTEM: &str = "the system has no more memory";

/// A device's memory: its limit, counters, and free blocks.
pub(crate) struct MemoryPool {
    id: u32,
    name: String,
    limit: Option<usize>,
    free: Mutex<BTreeMap<usize, Vec<Block>>>,
    /// The size of all buffers in bytes: the memory that was actually allocated, and the memory that callers handed
    /// over.
    used: AtomicUsize,
    /// The size in bytes of the part of `used` that callers handed over.
    adopted: AtomicUsize,
    /// The size in bytes of the part of `adopted` that others lend, such as the system, which maps files.
    lent: AtomicUsize,
    /// The size of the blocks in `free`, in bytes. Changed only while `free` is locked.
    cached: AtomicUsize,
    /// The number of bytes that count against the limit: in use (but not adopted), free, or about to be allocated. This
    /// number is never above the limit, and is not kept if there is no limit.
    held: AtomicUsize,
    peak: AtomicUsize,
    /// The number of buffers that were handed out, except those that `tally.rs` counts.
    allocations: AtomicU64,
    driver_allocations: AtomicU64,
    /// Whether the last new block of at least [`POOLED`] bytes left less than [`ROOM`], although no block was free. Then
    /// freed blocks go back to the system.
    is_tight: AtomicBool,
    pub faults: FaultInjector,
}

/// A block of the system's allocator that no buffer uses.
struct Block(NonNull<u8>);
// SAFETY: a block is owned by its holder, like a `Box<[u8]>`.
unsafe impl Send for Block {}

/// Returns the size of the block to allocate for `bytes`: a power of two, or three quarters of one. So later requests
/// of similar sizes can reuse the block. At most a third of the block is unused.
fn size_class(bytes: usize) -> usize {
    let up = bytes.next_power_of_two();
    if bytes <= up / 4 * 3 { up / 4 * 3 } else { up }
}

/// Returns the number of bytes to count for a buffer of `bytes` bytes whose content is in its header.
fn inline_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { INLINE }
}

/// Removes the largest free block from the lists, and returns it.
fn largest(free: &mut BTreeMap<usize, Vec<Block>>) -> Option<(usize, Block)> {
    loop {
        let mut last = free.last_entry()?;
        match last.get_mut().pop() {
            Some(block) => return Some((*last.key(), block)),
            None => drop(last.remove()),
        }
    }
}

impl MemoryPool {
    pub fn new(id: u32, name: &str, limit: Option<usize>) -> MemoryPool {
        MemoryPool {
            id,
            name: name.to_string(),
            limit,
            free: Mutex::default(),
            used: AtomicUsize::new(0),
            adopted: AtomicUsize::new(0),
            lent: AtomicUsize::new(0),
            cached: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            allocations: AtomicU64::new(0),
            driver_allocations: AtomicU64::new(0),
            is_tight: AtomicBool::new(false),
            faults: FaultInjector::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Allocates a buffer of `bytes` bytes on the device that the result of `owner` refers to. `stays` tells whether
    /// that device exists as long as the process. `owner` is called last: a holder that existed earlier would be moved.
    #[inline(always)]
    pub fn buffer(&self, bytes: usize, stays: bool, owner: impl FnOnce() -> Holder) -> Result<Buffer> {
        self.fault(ALLOCATE)?;
        let buffer = if bytes <= INLINE {
            let size = inline_bytes(bytes);
            if !self.reserve(size) {
                return Err(self.out_of_memory(bytes, LIMIT));
            }
            self.count(stays, size);
            Buffer::new(|| CpuMemory { storage: Storage::Inline(Inline::new()), bytes, owner: owner() })
        } else {
            let (ptr, size) = self.block(bytes).map_err(|why| self.out_of_memory(bytes, why))?;
            self.count(stays, size);
            Buffer::new(|| CpuMemory { storage: Storage::Block(ptr, size), bytes, owner: owner() })
        };
        #[cfg(feature = "testing")]
        if let Some((ptr, bytes)) = buffer.host()
            && self.faults.poisons()
        {
            // SAFETY: the memory has that many bytes and no other user yet.
            unsafe { ptr.write_bytes(crate::plan::backend::POISON, bytes) };
        }
        Ok(buffer)
    }

    /// Makes a buffer of memory that the caller already holds. It counts as used, but it cannot exceed the limit,
    /// because it exists already.
    pub fn adopted<T: Send + Sync + 'static>(&self, owner: Holder, v: Vec<T>) -> Buffer {
        let bytes = size_of_val(v.as_slice());
        self.adopted.fetch_add(bytes, Relaxed);
        self.count(owner.stays(), bytes);
        let mut v = v;
        let ptr = NonNull::new(v.as_mut_ptr() as *mut u8).unwrap_or(NonNull::dangling());
        Buffer::new(|| CpuMemory { storage: Storage::Foreign(ptr, Box::new(v)), bytes, owner })
    }

    /// Makes a buffer of memory that another library lends. It counts as used, but the limit does not apply to it.
    ///
    /// # Safety
    /// The bytes are initialised. Until `lender` is dropped, they are not moved, and nobody writes to them.
    #[cfg(any(feature = "dlpack", feature = "mmap"))]
    pub unsafe fn lent(
        &self,
        owner: Holder,
        (ptr, bytes): (NonNull<u8>, usize),
        lender: Box<dyn std::any::Any + Send + Sync>,
    ) -> Buffer {
        self.adopted.fetch_add(bytes, Relaxed);
        self.lent.fetch_add(bytes, Relaxed);
        self.count(owner.stays(), bytes);
        Buffer::new(|| CpuMemory { storage: Storage::Lent(ptr, lender), bytes, owner })
    }

    fn free(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<Block>>> {
        // the lists are usable even if a thread panicked while it held the lock, because no step leaves them in an
        // inconsistent state
        self.free.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts memory of `size` bytes that was handed out. Call it when nothing can fail any more, because memory of a
    /// failed allocation was never in use. `stays` is whether the memory's device exists as long as the process.
    #[inline]
    fn count(&self, stays: bool, size: usize) {
        match stays {
            true => tally::count(Event::Allocation),
            false => _ = self.allocations.fetch_add(1, Relaxed),
        }
        let used = self.used.fetch_add(size, Relaxed) + size;
        if used > self.peak.load(Relaxed) {
            self.peak.fetch_max(used, Relaxed);
        }
    }

    /// Fails if a test has planned a fault for this call of `site`.
    #[inline]
    pub fn fault(&self, site: &'static str) -> Result<()> {
        match self.faults.hit(site) {
            None => Ok(()),
            Some(kind) => Err(Error::with_line(kind, site, "a fault planned by a test", None)),
        }
    }

    /// Reserves `size` bytes of the limit until `release`, and returns whether enough were left. If too few are left,
    /// but the pool's free blocks would make up for it, gives free blocks back to the system first.
    #[inline]
    fn reserve(&self, size: usize) -> bool {
        match self.limit {
            None => true,
            Some(limit) => self.reserve_within(size, mutant!(limit_64_bytes_too_large, limit + 64, limit)),
        }
    }

    fn reserve_within(&self, size: usize, limit: usize) -> bool {
        let more = |held: usize| held.checked_add(size).filter(|sum| *sum <= limit);
        if self.held.fetch_update(Relaxed, Relaxed, more).is_ok() {
            return true;
        }
        let mut free = self.free();
        let in_use = self.held.load(Relaxed).saturating_sub(self.cached.load(Relaxed));
        if in_use.saturating_add(size) > limit {
            // the free blocks are kept, because freeing all of them would not make enough room
            return false;
        }
        while self.held.fetch_update(Relaxed, Relaxed, more).is_err() {
            // the largest blocks are freed first, so that few blocks are freed; the lock is held until their bytes are
            // free
            let Some((size, Block(ptr))) = largest(&mut free) else { return false };
            self.cached.fetch_sub(size, Relaxed);
            self.to_system(ptr, size);
        }
        true
    }

    /// Gives `size` reserved bytes back to the limit. Called once their memory is free.
    fn release(&self, size: usize) {
        if self.limit.is_some() {
            self.held.fetch_sub(size, Relaxed);
        }
    }

    /// Returns the error for an allocation that failed because of `why`.
    #[cold]
    fn out_of_memory(&self, bytes: usize, why: &str) -> Error {
        let (used, _, _, limit) = self.info();
        // memory that callers handed over does not count against the limit, and mapped files need no memory
        let held = used.saturating_sub(self.adopted.load(Relaxed));
        let within = limit.map(|limit| limit.saturating_sub(held));
        let fits = [within, system::left()].into_iter().flatten().min();
        let limit = limit.map_or("the device has no limit".to_string(), |l| format!("limit {l} bytes"));
        let others = match self.adopted.load(Relaxed) {
            0 => String::new(),
            bytes => format!(" and {bytes} in mapped files and in memory of the caller"),
        };
        beyond_memory(bytes, &self.name, fits, format_args!("{held} in use{others}, {limit}: {why}"))
    }

    /// Returns a block for `bytes` bytes, from the pool or newly allocated, and the block's size. If no block can be
    /// allocated, returns the reason.
    fn block(&self, bytes: usize) -> Result<(NonNull<u8>, usize), &'static str> {
        if bytes > isize::MAX as usize / 2 {
            return Err(SYSTEM);
        }
        let size = if bytes < POOLED { bytes } else { size_class(bytes) };
        if bytes >= POOLED
            && let Some(found) = self.reuse(size).or_else(|| self.reuse(bytes))
        {
            return Ok(found);
        }
        // the limit or the system may allow the requested size, but not the rounded size
        self.reserved(size).or_else(|why| if size == bytes { Err(why) } else { self.reserved(bytes) })
    }

    /// Allocates a new block of this size within the limit. If this is not possible, returns the reason.
    fn reserved(&self, size: usize) -> Result<(NonNull<u8>, usize), &'static str> {
        if !self.reserve(size) {
            return Err(LIMIT);
        }
        self.fresh(size).map(|ptr| (ptr, size)).ok_or_else(|| {
            self.release(mutant!(refused_memory_stays_counted, 0, size));
            SYSTEM
        })
    }

    /// Takes a free block of exactly this size, if there is one.
    fn reuse(&self, size: usize) -> Option<(NonNull<u8>, usize)> {
        let mut free = self.free();
        let list = free.get_mut(&size)?;
        let Block(ptr) = mutant!(pool_gives_live_buffer, list.last().map(|b| Block(b.0)), list.pop())?;
        if list.is_empty() && size_class(size) != size {
            // drops the empty list of a size that is not a size class, because there may be any number of such sizes
            free.remove(&size);
        }
        self.cached.fetch_sub(size, Relaxed);
        Some((ptr, size))
    }

    /// Allocates a new block from the system, if need be after freeing all free blocks. Returns `None` if the system
    /// rejects the request or has too little memory left. In the second case Linux would grant a large block
    /// nevertheless, and kill a process when the block is written.
    fn fresh(&self, size: usize) -> Option<NonNull<u8>> {
        if size >= POOLED {
            let lacks_room = || !system::has_room(size.saturating_add(ROOM));
            let is_tight = lacks_room() && {
                self.trim();
                lacks_room()
            };
            self.is_tight.store(is_tight, Relaxed);
        }
        if size >= CHECKED && available().is_some_and(|a| size > a) {
            // returning the pool's free blocks to the system may make enough available
            self.trim();
            if available().is_some_and(|a| size > a) {
                return None;
            }
        }
        self.system(size).or_else(|| {
            self.trim();
            self.system(size)
        })
    }

    /// Allocates a block from the system, and counts the attempt. Returns `None` if the system rejects the request.
    fn system(&self, size: usize) -> Option<NonNull<u8>> {
        self.driver_allocations.fetch_add(1, Relaxed);
        system::allocate(size)
    }

    /// Takes back the block of a dropped buffer: keeps it for reuse, or frees it if it is too small to be pooled or if the
    /// process has little memory left.
    fn give_back(&self, ptr: NonNull<u8>, size: usize) {
        if size >= POOLED && !self.is_tight.load(Relaxed) {
            let mut free = self.free();
            free.entry(size).or_default().push(Block(ptr));
            self.cached.fetch_add(mutant!(cached_memory_miscounted, size + 64, size), Relaxed);
        } else {
            self.to_system(ptr, size);
        }
    }

    /// Frees a block that no buffer uses, and gives its bytes of the limit back.
    fn to_system(&self, ptr: NonNull<u8>, size: usize) {
        // SAFETY: `MemoryPool::system` allocated the block with the same size, and no buffer uses it any more.
        unsafe { system::free(ptr, size) };
        self.release(size);
    }

    /// Returns unused blocks to the system.
    pub fn trim(&self) {
        let mut free = self.free();
        for (size, blocks) in std::mem::take(&mut *free) {
            for Block(ptr) in blocks {
                self.cached.fetch_sub(size, Relaxed);
                self.to_system(ptr, size);
            }
        }
    }

    /// Returns the used bytes, the cached bytes, the peak of the used bytes, and the limit.
    pub fn info(&self) -> (usize, usize, usize, Option<usize>) {
        // the lock is held, so that no block enters or leaves `free` between the reads of `cached` and `held`
        let _free = self.free();
        let cached = self.cached.load(Relaxed);
        let used = match self.limit {
            None => self.used.load(Relaxed),
            Some(_) => self.held.load(Relaxed).saturating_sub(cached) + self.adopted.load(Relaxed),
        };
        (used, cached, self.peak.load(Relaxed), self.limit)
    }

    /// Returns how many buffers were handed out, except those that `tally.rs` counts, and how many blocks were
    /// requested from the system.
    pub fn allocations(&self) -> (u64, u64) {
        (self.allocations.load(Relaxed), self.driver_allocations.load(Relaxed))
    }
}

impl Drop for MemoryPool {
    fn drop(&mut self) {
        self.trim();
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::super::caches::LINE;
    use super::system::HUGE;
    use super::*;

    crate::testing::unit_tests!(cpu_memory: blocks_are_reused_and_counted);

    fn blocks_are_reused_and_counted() {
        let cpu = crate::cpu::Cpu::new(0, Some(10 << 20));
        let pool = &cpu.pool;
        let a = cpu.buffer(3 << 20).unwrap();
        let address = |buffer: &Buffer| buffer.host().unwrap().0;
        let first = address(&a);
        assert_eq!(first as usize % HUGE, 0);
        drop(a);
        assert_eq!(pool.info(), (0, 3 << 20, 3 << 20, Some(10 << 20)));
        let b = cpu.buffer((3 << 20) - 5).unwrap();
        assert_eq!(address(&b), first);
        let e = cpu.buffer(8 << 20).err().unwrap();
        assert_eq!(e.kind(), crate::ErrorKind::OutOfMemory);
        drop(b);
        cpu.buffer(9 << 20).unwrap();
        pool.trim();
        assert_eq!((pool.info().0, pool.info().1), (0, 0));
        for n in [0, 1, 64, 65, 1023, 1024, POOLED - 1, POOLED] {
            let m = cpu.buffer(n).unwrap();
            // SAFETY: the memory has `n` bytes.
            unsafe { address(&m).write_bytes(7, n) };
            assert_eq!(m.bytes(), n);
            assert!(n < 1024 || (address(&m) as usize).is_multiple_of(LINE), "{n} bytes at {:p}", address(&m));
        }
        let v = pool.adopted(Holder::Counted(cpu.clone()), vec![1.5f32; 10]);
        assert_eq!((v.bytes(), pool.info().0), (40, 40));
        drop(v);
        let cpu = crate::cpu::Cpu::new(0, None);
        let pool = &cpu.pool;
        assert!(cpu.buffer(usize::MAX).is_err() && cpu.buffer(usize::MAX >> 4).is_err());
        assert_eq!(pool.info(), (0, 0, 0, None));
    }
}
