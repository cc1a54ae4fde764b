//! Buffers: the handle's memory, the pool of buffers that are free, and staging buffers for reading back.

use super::device::Shared;
use crate::backend::POISON;
use crate::buffer::{Buffer, Memory};
use crate::error::{Error, ErrorKind, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Free buffers by size, and the account.
#[derive(Default)]
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<Raw>>,
    staging: BTreeMap<u64, Vec<wgpu::Buffer>>,
    pub used: u64,
    pub cached: u64,
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
        let size = size_class(bytes as u64).min(max & !3).max((bytes as u64).next_multiple_of(4));
        let (pooled, over) = {
            let mut pool = lock(&self.pool);
            if let Some(limit) = self.limit
                && pool.used + size > mutant!(limit_64_bytes_too_large_on_gpu, limit + 64, limit)
            {
                let detail = format!(
                    "{bytes} bytes on {}: {} bytes of the limit of {limit} are in use",
                    self.caps.name, pool.used
                );
                return Err(fail(ErrorKind::OutOfMemory, detail));
            }
            let pooled = pool.take(size);
            let over = pooled.is_none() && self.limit.is_some_and(|limit| pool.used + pool.cached + size > limit);
            (pooled, over)
        };
        let raw = match pooled {
            Some(raw) => raw,
            None => {
                if over {
                    self.trim();
                }
                self.create(size).or_else(|error| {
                    // what is cached may be what is missing
                    if error.kind() != ErrorKind::OutOfMemory || lock(&self.pool).cached == 0 {
                        return Err(error);
                    }
                    self.trim();
                    self.settle();
                    self.create(size)
                })?
            }
        };
        if self.faults.poisons() {
            self.poison(&raw)?;
        }
        self.counters.allocations.fetch_add(1, Relaxed);
        let mut pool = lock(&self.pool);
        pool.used += size;
        pool.peak = pool.peak.max(pool.used);
        Ok(Buffer::new(GpuMemory { raw: Some(raw), bytes, shared: self.clone() }))
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
        let freed = {
            let mut pool = lock(&self.pool);
            pool.cached = 0;
            (std::mem::take(&mut pool.free), std::mem::take(&mut pool.staging))
        };
        lock(&self.batch).forget_groups();
        drop(freed);
        self.poll_once();
    }

    /// A mappable buffer for reading back.
    pub(super) fn staging(&self, bytes: u64) -> Result<wgpu::Buffer> {
        let size = size_class(bytes);
        let pooled = lock(&self.pool).staging.get_mut(&size).and_then(Vec::pop);
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

    /// Takes an unmapped staging buffer back; a few of each size are kept.
    pub(super) fn return_staging(&self, buffer: wgpu::Buffer) {
        let mut pool = lock(&self.pool);
        let kept = pool.staging.entry(buffer.size()).or_default();
        if kept.len() < 2 {
            kept.push(buffer);
        }
    }
}

impl Pool {
    fn take(&mut self, size: u64) -> Option<Raw> {
        let raw = self.free.get_mut(&size)?.pop()?;
        self.cached -= size;
        Some(raw)
    }
}
