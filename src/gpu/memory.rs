//! The pool of a device: buffers of the driver that are free for reuse, staging buffers for reading back, and the
//! number of bytes that count against the device's memory limit. `device.rs` decides when bytes are free, because
//! recorded or running work may still use them.

use super::connection::{Connection, lock};
use crate::base::error::Result;
use crate::base::platform::CAN_WAIT;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A GPU buffer that the driver has allocated, of `size` bytes.
pub(super) struct DriverBuffer {
    pub buffer: wgpu::Buffer,
    /// A number that is never reused on this device, because the bind group cache uses it in its keys.
    pub id: u64,
    pub size: u64,
    /// The number of the batch that last used this buffer. The host may write to the buffer only when that batch has
    /// been submitted.
    pub last_batch: AtomicU64,
}

/// Holds the free buffers by size, and counts the bytes requested from the driver.
pub(super) struct BufferPool {
    free: BTreeMap<u64, Vec<DriverBuffer>>,
    staging: BTreeMap<u64, Vec<wgpu::Buffer>>,
    /// The device's limit in bytes, if it has one.
    limit: Option<u64>,
    /// Bytes of buffers that arrays and temporaries hold, or that are about to be allocated.
    pub used: u64,
    /// Bytes of free buffers and staging buffers that are kept for reuse.
    pub cached: u64,
    /// Bytes of buffers that have left the pool, but that the driver may not have freed yet.
    pub leaving: u64,
    pub peak: u64,
    last_id: u64,
}

/// The answer to a request for bytes that count against the device's memory limit.
pub(super) enum Reservation {
    /// The bytes now belong to the caller.
    Granted,
    /// Freeing all cached buffers would not make room, because arrays hold too much of the limit.
    Refused,
    /// There will be room when cached buffers are freed; then the caller must try again. The value has the buffers to
    /// free. It is empty if another thread is already freeing them.
    AfterFreeing(Freed),
}

/// Buffers that go back to the driver when this value is dropped.
pub(super) struct Freed {
    pub bytes: u64,
    buffers: Vec<DriverBuffer>,
    staging: Vec<wgpu::Buffer>,
}

impl Drop for Freed {
    fn drop(&mut self) {
        if !CAN_WAIT {
            // In a browser, a dropped `wgpu::Buffer` keeps its GPU memory until the garbage collector frees it, and the
            // collector does not know how much GPU memory that is. So the memory is freed here.
            self.buffers.iter().for_each(|buffer| buffer.buffer.destroy());
            self.staging.iter().for_each(wgpu::Buffer::destroy);
        }
    }
}

/// Returns the size of the buffer to allocate for a request: a multiple of 256 bytes or of 1/16 of the next power of
/// two, whichever is larger. So requests of similar sizes can reuse each other's buffers, and large requests waste an
/// eighth at most.
fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(1);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step) * step
}

/// Returns the two buffer sizes to try for a request, on a device whose buffers have at most `max` bytes: the size
/// class, then the smallest possible size, in case the device's memory limit has no room for the size class.
pub(super) fn sizes(bytes: u64, max: u64) -> [u64; 2] {
    let exact = bytes.max(1).next_multiple_of(4);
    [size_class(bytes).min(max & !3).max(exact), exact]
}

impl BufferPool {
    pub fn new(limit: Option<u64>) -> BufferPool {
        BufferPool {
            free: BTreeMap::new(),
            staging: BTreeMap::new(),
            limit,
            used: 0,
            cached: 0,
            leaving: 0,
            peak: 0,
            last_id: 0,
        }
    }

    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Wraps a driver buffer, for which `size` bytes are reserved, and assigns the next id to it.
    pub fn numbered(&mut self, buffer: wgpu::Buffer, size: u64) -> DriverBuffer {
        self.last_id += 1;
        DriverBuffer { buffer, id: self.last_id, size, last_batch: AtomicU64::new(0) }
    }

    /// Returns a free buffer of one of the sizes, and counts it as used.
    pub fn reuse(&mut self, sizes: &[u64]) -> Option<DriverBuffer> {
        let buffer = sizes.iter().find_map(|size| self.free.get_mut(size)?.pop())?;
        self.cached -= buffer.size;
        self.used += buffer.size;
        Some(buffer)
    }

    /// Reserves bytes, which count against the device's memory limit. If too few bytes are free, takes cached buffers
    /// out of the pool to make room.
    pub fn reserve(&mut self, size: u64) -> Reservation {
        let asked = self.limit.unwrap_or(u64::MAX);
        let limit = mutant!(limit_64_bytes_too_large_on_gpu, asked.saturating_add(64), asked);
        if self.used.saturating_add(size) > limit {
            return Reservation::Refused;
        }
        if self.used + self.cached + self.leaving + size <= limit {
            self.used += size;
            return Reservation::Granted;
        }
        let room = limit - self.used - size;
        Reservation::AfterFreeing(self.free_down_to(room))
    }

    /// Releases reserved bytes, because no buffer could be allocated for them, or because they belonged to a buffer
    /// that a program had lent.
    pub fn release(&mut self, size: u64) {
        self.used -= size;
    }

    /// Puts a buffer that no array holds any more into the pool.
    pub fn give_back(&mut self, buffer: DriverBuffer) {
        self.used -= buffer.size;
        self.cached += buffer.size;
        self.free.entry(buffer.size).or_default().push(buffer);
    }

    /// Takes cached buffers out of the pool until at most `kept` bytes are cached. It takes staging buffers first, then
    /// free buffers, each kind from the largest down, so that few buffers are freed. Their bytes count as leaving until
    /// [`BufferPool::has_left`] is called.
    pub fn free_down_to(&mut self, kept: u64) -> Freed {
        let (mut buffers, mut staging, mut bytes) = (vec![], vec![], 0);
        while self.cached > kept {
            let size = if let Some((size, buffer)) = take_largest(&mut self.staging) {
                staging.push(buffer);
                size
            } else if let Some((size, buffer)) = take_largest(&mut self.free) {
                buffers.push(buffer);
                size
            } else {
                break;
            };
            self.cached -= size;
            bytes += size;
        }
        self.leaving += bytes;
        Freed { bytes, buffers, staging }
    }

    /// Must be called when the driver has freed the bytes that [`BufferPool::free_down_to`] took out.
    pub fn has_left(&mut self, bytes: u64) {
        self.leaving -= bytes;
    }

    /// Raises the peak to the number of bytes in use, if that number is larger.
    pub fn note_peak(&mut self) {
        self.peak = self.peak.max(self.used);
    }

    /// Puts an unmapped staging buffer back. If the limit has room, the pool keeps two of each size, because a long
    /// read uses two at a time. No benchmark compares other counts for threads that read concurrently.
    pub fn return_staging(&mut self, buffer: wgpu::Buffer) {
        let size = buffer.size();
        let room = self.limit.is_none_or(|limit| self.used + self.cached + self.leaving + size <= limit);
        let kept = self.staging.entry(size).or_default();
        if room && kept.len() < 2 {
            kept.push(buffer);
            self.cached += size;
        }
    }

    fn take_staging(&mut self, size: u64) -> Option<wgpu::Buffer> {
        let pooled = self.staging.get_mut(&size).and_then(Vec::pop);
        self.cached -= pooled.as_ref().map_or(0, |_| size);
        pooled
    }
}

/// Allocates a new storage buffer from the driver.
pub(super) fn create(connection: &Connection, pool: &Mutex<BufferPool>, size: u64) -> Result<DriverBuffer> {
    let mut usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    if cfg!(feature = "wgpu") {
        // a program may draw with arrays as vertex or index buffers
        usage |= wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::INDEX;
    }
    let buffer = connection.scoped("allocate", || {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        connection.device.create_buffer(&descriptor)
    })?;
    connection.counters.driver_allocations.fetch_add(1, Relaxed);
    Ok(lock(pool).numbered(buffer, size))
}

/// Returns a mappable buffer for reading back, from the pool or newly allocated.
pub(super) fn staging(connection: &Connection, pool: &Mutex<BufferPool>, bytes: u64) -> Result<wgpu::Buffer> {
    let size = size_class(bytes);
    if let Some(buffer) = lock(pool).take_staging(size) {
        return Ok(buffer);
    }
    connection.scoped("staging", || {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        connection.device.create_buffer(&descriptor)
    })
}

/// Removes one of the largest buffers from `lists`, which has a list for each size. Returns it with its size.
fn take_largest<T>(lists: &mut BTreeMap<u64, Vec<T>>) -> Option<(u64, T)> {
    loop {
        let mut last = lists.last_entry()?;
        match last.get_mut().pop() {
            Some(found) => return Some((*last.key(), found)),
            None => drop(last.remove()),
        }
    }
}
