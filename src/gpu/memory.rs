//! Buffers: the handle's memory, the pool of buffers that are free, and staging buffers for reading back.

use super::device::{Clock, Shared};
use crate::backend::POISON;
use crate::buffer::{Buffer, Memory};
use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock that a panic elsewhere does not poison for us: what it guards is kept whole at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer of the driver.
pub(super) struct Raw {
    pub buffer: wgpu::Buffer,
    /// Unique on the device, for the bind group cache.
    pub id: u64,
    pub size: u64,
    /// The batch that last used it: host writes must wait for its submission.
    pub batch: AtomicU64,
}

/// What a [`Buffer`] of a GPU holds. Dropping it returns the buffer to the pool; work enqueued earlier runs before
/// whatever uses it next, since there is one queue.
pub(super) struct GpuMemory {
    raw: Option<Raw>,
    bytes: usize,
    shared: Arc<Shared>,
}

impl GpuMemory {
    pub fn raw(&self) -> Option<&Raw> {
        self.raw.as_ref()
    }
}

impl Memory for GpuMemory {
    fn device_id(&self) -> u32 {
        self.shared.id
    }

    fn device_name(&self) -> &str {
        &self.shared.caps.name
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for GpuMemory {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let mut pool = lock(&self.shared.pool);
            pool.used -= raw.size;
            pool.cached += raw.size;
            pool.free.entry(raw.size).or_default().push(raw);
        }
    }
}

/// Free buffers by size, and the account: all bytes that the driver was asked for.
#[derive(Default)]
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<Raw>>,
    staging: BTreeMap<u64, Vec<wgpu::Buffer>>,
    /// Bytes of buffers, or of buffers about to be made.
    pub used: u64,
    /// Bytes of what is kept for reuse.
    pub cached: u64,
    /// Bytes of what is kept no longer, while the driver may not have freed it yet.
    pub leaving: u64,
    pub peak: u64,
    next_id: u64,
}

/// The size that is made for a request: multiples of 256 bytes, later an eighth of the power of two below, so that at
/// most an eighth is wasted and sizes recur.
pub(super) fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(1);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step) * step
}

impl Shared {
    /// A buffer from the pool, or a new one.
    pub(super) fn allocate(self: &Arc<Shared>, bytes: usize) -> Result<Buffer> {
        self.check()?;
        let fail = |kind, detail: String| Error::new(kind, "allocate", detail, None);
        let max = self.caps.max_buffer;
        if bytes as u64 > max {
            let detail = format!("{bytes} bytes; a buffer on {} has at most {max}", self.caps.name);
            return Err(fail(ErrorKind::LimitExceeded, detail));
        }
        let exact = (bytes as u64).max(1).next_multiple_of(4);
        let size = size_class(bytes as u64).min(max & !3).max(exact);
        let pooled = lock(&self.pool).reuse(&[size, exact]);
        let raw = match pooled {
            Some(raw) => raw,
            None => {
                // the last bytes of a limit are given out as they are asked for
                let fits = [size, exact].into_iter().find(|size| self.reserve(*size));
                let Some(size) = fits else {
                    let used = lock(&self.pool).used;
                    let limit = self.limit.unwrap_or(u64::MAX);
                    let detail =
                        format!("{bytes} bytes on {}: {used} bytes of the limit of {limit} are in use", self.caps.name);
                    return Err(fail(ErrorKind::OutOfMemory, detail));
                };
                let made = self.create(size).or_else(|error| {
                    // what is cached may be what is missing
                    if error.kind() != ErrorKind::OutOfMemory || lock(&self.pool).cached == 0 {
                        return Err(error);
                    }
                    self.trim();
                    self.settle();
                    self.create(size)
                });
                made.inspect_err(|_| lock(&self.pool).used -= size)?
            }
        };
        // from here on its end gives it back
        let memory = GpuMemory { raw: Some(raw), bytes, shared: self.clone() };
        if let (true, Some(raw)) = (self.faults.poisons(), memory.raw()) {
            self.poison(raw)?;
        }
        self.counters.allocations.fetch_add(1, Relaxed);
        let mut pool = lock(&self.pool);
        pool.peak = pool.peak.max(pool.used);
        drop(pool);
        Ok(Buffer::new(memory))
    }

    /// Takes bytes of the limit. What is cached makes room, and is gone before they are given out.
    fn reserve(&self, size: u64) -> bool {
        let (clock, mut tries) = (Clock::new(self), 0);
        loop {
            let leaving = {
                let mut pool = lock(&self.pool);
                let asked = self.limit.unwrap_or(u64::MAX);
                let limit = mutant!(limit_64_bytes_too_large_on_gpu, asked.saturating_add(64), asked);
                if pool.used.saturating_add(size) > limit {
                    return false;
                }
                if pool.used + pool.cached + pool.leaving + size <= limit {
                    pool.used += size;
                    return true;
                }
                let room = limit - pool.used - size;
                pool.leave(room)
            };
            let bytes = leaving.bytes;
            if bytes > 0 {
                self.let_go(leaving);
            } else {
                // another thread's are on their way
                tries += 1;
                std::thread::sleep(Duration::from_micros(50));
            }
            if tries > 0 && clock.expired(self) {
                return false;
            }
        }
    }

    /// Frees buffers, and waits until the driver has: what runs or is recorded may still use them.
    fn let_go(&self, leaving: Leaving) {
        let bytes = leaving.bytes;
        {
            let mut batch = lock(&self.batch);
            batch.forget_groups();
            // an error here is the next call's
            let _ = batch.submit(self);
        }
        drop(leaving);
        self.settle();
        self.poll_once();
        lock(&self.pool).leaving -= bytes;
    }

    /// Fills a buffer that nobody has read yet.
    #[cold]
    fn poison(&self, raw: &Raw) -> Result<()> {
        let mut batch = lock(&self.batch);
        batch.fill(self, &raw.buffer, POISON)?;
        raw.batch.store(batch.serial(), Relaxed);
        Ok(())
    }

    fn create(&self, size: u64) -> Result<Raw> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let buffer = self.scoped("allocate", || {
            self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        })?;
        self.counters.driver_allocations.fetch_add(1, Relaxed);
        let mut pool = lock(&self.pool);
        pool.next_id += 1;
        Ok(Raw { buffer, id: pool.next_id, size, batch: AtomicU64::new(0) })
    }

    /// Gives cached buffers back to the driver, and the bind groups that hold them.
    pub(super) fn trim(&self) {
        let freed = lock(&self.pool).leave(0);
        if self.limit.is_some() {
            return self.let_go(freed);
        }
        lock(&self.batch).forget_groups();
        let bytes = freed.bytes;
        drop(freed);
        self.poll_once();
        lock(&self.pool).leaving -= bytes;
    }

    /// A mappable buffer for reading back.
    pub(super) fn staging(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = size_class(bytes);
        let pooled = {
            let mut pool = lock(&self.pool);
            let pooled = pool.staging.get_mut(&size).and_then(Vec::pop);
            pool.cached -= pooled.as_ref().map_or(0, |_| size);
            pooled
        };
        match pooled {
            Some(buffer) => Ok(buffer),
            None => self.scoped("staging", || {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            }),
        }
    }

    /// Takes an unmapped staging buffer back; a few of each size are kept, where the limit has room for them.
    pub(super) fn return_staging(&self, buffer: wgpu::Buffer) {
        let size = buffer.size();
        let mut pool = lock(&self.pool);
        let room = self.limit.is_none_or(|limit| pool.used + pool.cached + pool.leaving + size <= limit);
        let kept = pool.staging.entry(size).or_default();
        if room && kept.len() < 2 {
            kept.push(buffer);
            pool.cached += size;
        }
    }
}

/// What goes back to the driver when this is dropped.
struct Leaving {
    bytes: u64,
    _buffers: Vec<Raw>,
    _staging: Vec<wgpu::Buffer>,
}

impl Pool {
    /// A free buffer of one of the sizes, in use from now on.
    fn reuse(&mut self, sizes: &[u64]) -> Option<Raw> {
        let raw = sizes.iter().find_map(|size| self.free.get_mut(size)?.pop())?;
        self.cached -= raw.size;
        self.used += raw.size;
        Some(raw)
    }

    /// Takes out what is cached until no more than `room` bytes are, the largest first, so that few go.
    fn leave(&mut self, room: u64) -> Leaving {
        let (mut buffers, mut staging, mut bytes) = (vec![], vec![], 0);
        while self.cached > room {
            let size = if let Some((size, buffer)) = largest(&mut self.staging) {
                staging.push(buffer);
                size
            } else if let Some((size, raw)) = largest(&mut self.free) {
                buffers.push(raw);
                size
            } else {
                break;
            };
            self.cached -= size;
            bytes += size;
        }
        self.leaving += bytes;
        Leaving { bytes, _buffers: buffers, _staging: staging }
    }
}

/// Takes one of the largest out of lists by size.
fn largest<T>(lists: &mut BTreeMap<u64, Vec<T>>) -> Option<(u64, T)> {
    loop {
        let mut last = lists.last_entry()?;
        match last.get_mut().pop() {
            Some(found) => return Some((*last.key(), found)),
            None => drop(last.remove()),
        }
    }
}
