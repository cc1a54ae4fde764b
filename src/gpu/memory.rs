//! The pool: free buffers of the driver, staging buffers for reading back, and the bytes that count against the device's
//! limit. `device.rs` decides what must wait for recorded or running work before bytes are free.

use super::connection::{Connection, lock};
use crate::base::error::Result;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A buffer of the driver.
pub(super) struct DriverBuffer {
    pub buffer: wgpu::Buffer,
    /// A number that no other buffer of the device has or had, because the bind group cache finds its entries by it.
    pub id: u64,
    pub size: u64,
    /// The number of the batch that last used it. The host may write to it only once that batch is submitted.
    pub last_batch: AtomicU64,
}

/// Holds the free buffers by size, and counts the bytes that the driver was asked for.
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<DriverBuffer>>,
    staging: BTreeMap<u64, Vec<wgpu::Buffer>>,
    /// The device's limit in bytes, if it has one.
    limit: Option<u64>,
    /// Bytes of buffers that arrays and temporaries hold, or that are about to be made.
    pub used: u64,
    /// Bytes of free buffers and staging buffers that are kept for reuse.
    pub cached: u64,
    /// Bytes of buffers that have left the pool, but that the driver may not have freed yet.
    pub leaving: u64,
    pub peak: u64,
    last_id: u64,
}

/// The answer to a request for bytes of the limit.
pub(super) enum Reservation {
    /// The bytes now belong to the caller.
    Granted,
    /// Arrays hold so much of the limit that freeing cached buffers would not make room.
    Refused,
    /// There is room once these cached buffers (none, if another thread is freeing them) are gone: try again then.
    AfterFreeing(Freed),
}

/// Buffers that go back to the driver when this value is dropped.
pub(super) struct Freed {
    pub bytes: u64,
    _buffers: Vec<DriverBuffer>,
    _staging: Vec<wgpu::Buffer>,
}

/// The size of the buffer that is made for a request: a multiple of 256 bytes, or of a sixteenth of the next power of two if
/// that is more. So requests of nearly equal sizes can reuse each other's buffers, and large ones waste an eighth at most.
fn size_class(bytes: u64) -> u64 {
    let bytes = bytes.max(1);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step) * step
}

/// The sizes that serve a request, on a device whose buffers have at most `max` bytes: first that of its size class, then the
/// smallest possible one, for a device whose limit has no room for the first.
pub(super) fn sizes(bytes: u64, max: u64) -> [u64; 2] {
    let exact = bytes.max(1).next_multiple_of(4);
    [size_class(bytes).min(max & !3).max(exact), exact]
}

impl Pool {
    pub fn new(limit: Option<u64>) -> Pool {
        Pool {
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

    /// Gives a buffer of the driver, of which `size` bytes are reserved, the next number.
    pub fn numbered(&mut self, buffer: wgpu::Buffer, size: u64) -> DriverBuffer {
        self.last_id += 1;
        DriverBuffer { buffer, id: self.last_id, size, last_batch: AtomicU64::new(0) }
    }

    /// A free buffer of one of the sizes, in use from now on.
    pub fn reuse(&mut self, sizes: &[u64]) -> Option<DriverBuffer> {
        let buffer = sizes.iter().find_map(|size| self.free.get_mut(size)?.pop())?;
        self.cached -= buffer.size;
        self.used += buffer.size;
        Some(buffer)
    }

    /// Reserves bytes of the limit. Where free bytes do not suffice, cached buffers leave to make room.
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

    /// Gives back reserved bytes: those for which no buffer could be made, or of a buffer that a program had lent.
    pub fn release(&mut self, size: u64) {
        self.used -= size;
    }

    /// Keeps a buffer that no array holds any more.
    pub fn give_back(&mut self, buffer: DriverBuffer) {
        self.used -= buffer.size;
        self.cached += buffer.size;
        self.free.entry(buffer.size).or_default().push(buffer);
    }

    /// Takes cached buffers out until at most `kept` bytes are cached: staging buffers first, then the others, of both the
    /// largest first, so that few go. Their bytes count as leaving until [`Pool::has_left`].
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
        Freed { bytes, _buffers: buffers, _staging: staging }
    }

    /// To be called when the driver has freed the bytes that [`Pool::free_down_to`] took out.
    pub fn has_left(&mut self, bytes: u64) {
        self.leaving -= bytes;
    }

    /// Raises the peak to what is in use.
    pub fn note_peak(&mut self) {
        self.peak = self.peak.max(self.used);
    }

    /// Takes an unmapped staging buffer back. Where the limit has room, two of each size are kept: a long read uses two
    /// at a time, and for threads that read at once two are a judgement.
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

/// A new storage buffer of the driver.
pub(super) fn create(connection: &Connection, pool: &Mutex<Pool>, size: u64) -> Result<DriverBuffer> {
    let mut usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    if cfg!(feature = "wgpu") {
        // a program that draws takes vertices from arrays
        usage |= wgpu::BufferUsages::VERTEX | wgpu::BufferUsages::INDEX;
    }
    let buffer = connection.scoped("allocate", || {
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        connection.device.create_buffer(&descriptor)
    })?;
    connection.counters.driver_allocations.fetch_add(1, Relaxed);
    Ok(lock(pool).numbered(buffer, size))
}

/// A mappable buffer for reading back, from the pool or new.
pub(super) fn staging(connection: &Connection, pool: &Mutex<Pool>, bytes: u64) -> Result<wgpu::Buffer> {
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

/// Takes out one of the largest buffers of `lists`, which have a list for each size; returns its size with it.
fn take_largest<T>(lists: &mut BTreeMap<u64, Vec<T>>) -> Option<(u64, T)> {
    loop {
        let mut last = lists.last_entry()?;
        match last.get_mut().pop() {
            Some(found) => return Some((*last.key(), found)),
            None => drop(last.remove()),
        }
    }
}
