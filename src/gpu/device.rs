//! An open GPU: its connection, pool and open batch, and the memory of its arrays. Recorded and running work may still use
//! memory that no array holds, so this file decides when bytes count as free and when the host may write to a buffer.

use super::adapter::{self, DispatchLimits, Opened, Origin, inherited_fault, is_inherited};
use super::batch::Batch;
use super::connection::{Clock, Connection, lock};
use super::disk::DiskCache;
use super::memory::{self, DriverBuffer, Freed, Pool, Reservation};
use super::notes::Notes;
use super::prepared::PreparedPlans;
use super::waiting::Watch;
use crate::base::buffer::{Buffer, Memory};
use crate::base::caps::Shrink;
use crate::base::error::{Error, ErrorKind, Result};
use crate::plan::backend::{Numerics, name_within};
use crate::plan::kernel::NumberedCaps;
use std::any::Any;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// An open GPU. It lives as long as a handle on it, an array of it, or a read that is under way.
pub(crate) struct Gpu {
    /// A handle on this device itself, to be cloned into its buffers and futures, which keep it alive.
    this: Weak<Gpu>,
    /// The number of the device in the process.
    pub(super) id: u32,
    /// The adapter's name, and what `name_within` adds for a budget.
    pub(super) name: String,
    /// Its adapter, as `adapter::open` takes it.
    pub(super) origin: Origin,
    /// A test's tighter limits, which a device with a budget on the same hardware keeps.
    pub(super) shrink: Option<Shrink>,
    pub(super) caps: NumberedCaps,
    pub(super) checks: AtomicU8,
    pub(super) limits: DispatchLimits,
    /// The bytes of the adapter's own memory, where its driver tells them.
    pub(super) memory: Option<u64>,
    pub(super) connection: Arc<Connection>,
    pub(super) watch: Arc<Watch>,
    /// A thread that locks both `batch` and this locks `batch` first, so that no two threads wait for each other.
    pub(super) pool: Arc<Mutex<Pool>>,
    pub(super) batch: Arc<Mutex<Batch>>,
    pub(super) notes: Arc<Notes>,
    /// Here too, a thread that locks both locks `batch` first.
    pub(super) prepared: Mutex<PreparedPlans>,
    /// The findings of the probe of the device's arithmetic, once a caller has asked for them.
    pub(super) numerics: OnceLock<Numerics>,
    pub(super) disk: Option<Arc<DiskCache>>,
}

/// The memory behind a [`Buffer`] of a GPU. Dropping it returns the driver's buffer to the pool at once, even while enqueued
/// work uses it: the work that uses it next runs later, because there is one queue.
pub(super) struct GpuMemory {
    /// None only while this value is dropped: `drop` moves the buffer to the pool.
    buffer: Option<DriverBuffer>,
    bytes: usize,
    gpu: Arc<Gpu>,
    /// Whether the program that lent the buffer may hold it as well: then it is never written in place, and does not go to the pool.
    is_lent: bool,
}

impl GpuMemory {
    /// Memory that a program has lent; its bytes are reserved.
    #[cfg(feature = "wgpu")]
    pub fn lent(buffer: DriverBuffer, bytes: usize, gpu: Arc<Gpu>) -> GpuMemory {
        GpuMemory { buffer: Some(buffer), bytes, gpu, is_lent: true }
    }
}

impl Memory for GpuMemory {
    fn device_id(&self) -> u32 {
        self.gpu.id
    }

    fn device_name(&self) -> &str {
        &self.gpu.name
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_lent(&self) -> bool {
        self.is_lent
    }
}

impl Drop for GpuMemory {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let mut pool = lock(&self.gpu.pool);
            match self.is_lent {
                true => pool.release(buffer.size),
                false => pool.give_back(buffer),
            }
        }
    }
}

/// The driver's buffer behind a handle, if the handle is on a buffer of a GPU.
pub(super) fn driver_buffer(buffer: &Buffer) -> Option<&DriverBuffer> {
    buffer.memory::<GpuMemory>()?.buffer.as_ref()
}

/// Opens an adapter. `id` is the device's number in the process, `limit` a budget in bytes, `shrink` a test's
/// tighter limits, and `with_matrices` whether its capabilities have the cooperative matrices that the adapter reports. A device
/// `for_trials` keeps nothing on disk and prints no shaders, because what it runs is none of the caller's.
pub(super) async fn open(
    id: u32,
    origin: Origin,
    limit: Option<usize>,
    shrink: Option<Shrink>,
    with_matrices: bool,
    for_trials: bool,
) -> Result<Arc<Gpu>> {
    if is_inherited() {
        let fault = inherited_fault();
        return Err(Error::with_line(fault.kind, "Device::gpu", fault.detail, None));
    }
    let opened = adapter::open(&origin, shrink, with_matrices).await?;
    let name = opened.caps.name.clone();
    let connection = Connection::new(name, opened.device.clone(), opened.queue.clone(), opened.software);
    connection.report_errors();
    connected(id, origin, opened, connection, limit, shrink, for_trials)
}

/// Makes the device of a connection; see [`open`].
pub(super) fn connected(
    id: u32,
    origin: Origin,
    opened: Opened,
    mut connection: Connection,
    limit: Option<usize>,
    shrink: Option<Shrink>,
    for_trials: bool,
) -> Result<Arc<Gpu>> {
    connection.prints_shaders &= !for_trials;
    let connection = Arc::new(connection);
    let notes = Arc::<Notes>::default();
    let disk = if for_trials { None } else { DiskCache::open(&connection) };
    let mut caps = opened.caps;
    caps.tiles = shrink.and_then(|s| s.tiles).unwrap_or(caps.tiles);
    let alignment = opened.limits.uniform_alignment;
    let batch = connection.scoped("open", || Batch::new(&connection, alignment, notes.clone(), disk.clone()))?;
    Ok(Arc::new_cyclic(|this| Gpu {
        this: this.clone(),
        id,
        name: name_within(&caps.name, id, limit),
        origin,
        shrink,
        caps: NumberedCaps::new(caps),
        checks: AtomicU8::new(0),
        limits: opened.limits,
        memory: opened.memory,
        watch: Watch::new(&connection),
        connection,
        pool: Arc::new(Mutex::new(Pool::new(limit.map(|l| l as u64)))),
        batch: Arc::new(Mutex::new(batch)),
        notes,
        prepared: Mutex::default(),
        numerics: OnceLock::new(),
        disk,
    }))
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // The driver waits for its work when it is closed. In a process made by fork the threads that do the work are
        // missing, and a device that hangs never finishes: both would wait for ever, so such a device stays open.
        if !self.connection.is_inherited() {
            self.connection.settle();
            if self.connection.in_flight() == 0 || self.connection.check().is_err() {
                self.disk.iter().for_each(|disk| disk.write());
                return;
            }
        }
        std::mem::forget((self.connection.clone(), self.pool.clone(), self.batch.clone()));
    }
}

impl Gpu {
    /// A handle that keeps the device alive.
    pub(super) fn handle(&self) -> Result<Arc<Gpu>> {
        // a caller holds a handle on the device, except while its last handle is being dropped
        let gone = || Error::with_line(ErrorKind::Internal, "open", "the device is being closed", None);
        self.this.upgrade().ok_or_else(gone)
    }

    /// A buffer from the pool, or a new one.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.connection.check()?;
        let gpu = self.handle()?;
        let fail = |kind, detail: String| Error::with_line(kind, "allocate", detail, None);
        let max = self.caps.max_buffer;
        if bytes as u64 > max {
            let detail = format!("{bytes} bytes asked for; a buffer on {} has at most {max}", self.caps.name);
            return Err(fail(ErrorKind::LimitExceeded, detail));
        }
        let sizes = memory::sizes(bytes as u64, max);
        let pooled = lock(&self.pool).reuse(&sizes);
        let buffer = match pooled {
            Some(buffer) => buffer,
            None => {
                // where the limit has no room for the size class, the request rounded up to whole words may still fit
                let Some(size) = sizes.into_iter().find(|size| self.reserve(*size)) else {
                    let pool = lock(&self.pool);
                    let (used, limit) = (pool.used, pool.limit().unwrap_or(u64::MAX));
                    let detail =
                        format!("{bytes} bytes on {}: {used} bytes of the limit of {limit} are in use", self.caps.name);
                    return Err(fail(ErrorKind::OutOfMemory, detail));
                };
                self.create(size).inspect_err(|_| lock(&self.pool).release(size))?
            }
        };
        // made before `poison`, which may fail: dropping `memory` gives the buffer back to the pool
        let memory = GpuMemory { buffer: Some(buffer), bytes, gpu, is_lent: false };
        #[cfg(feature = "testing")]
        self.poison(&memory)?;
        self.connection.counters.allocations.fetch_add(1, Relaxed);
        lock(&self.pool).note_peak();
        Ok(Buffer::new(memory))
    }

    /// Makes a buffer of the driver, whose bytes the caller has reserved. If the driver lacks memory, frees the pool's buffers
    /// and tries once more.
    fn create(&self, size: u64) -> Result<DriverBuffer> {
        memory::create(&self.connection, &self.pool, size).or_else(|error| {
            // the memory that the driver lacks may be in our cached buffers
            if error.kind() != ErrorKind::OutOfMemory || lock(&self.pool).cached == 0 {
                return Err(error);
            }
            self.trim();
            self.connection.settle();
            memory::create(&self.connection, &self.pool, size)
        })
    }

    /// Reserves bytes of the device's limit; returns whether there were enough. Cached buffers make room, and this waits until
    /// the driver has freed them, also where another thread is freeing them.
    pub(super) fn reserve(&self, size: u64) -> bool {
        let (clock, mut waited) = (Clock::new(&self.connection), false);
        loop {
            let reservation = lock(&self.pool).reserve(size);
            match reservation {
                Reservation::Granted => return true,
                Reservation::Refused => return false,
                Reservation::AfterFreeing(freed) if freed.bytes > 0 => self.free(freed),
                Reservation::AfterFreeing(_) => {
                    waited = true;
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            if waited && clock.expired(&self.connection) {
                return false;
            }
        }
    }

    /// Frees buffers, and waits until the driver has freed them: work that runs or is recorded may still use them.
    fn free(&self, freed: Freed) {
        let bytes = freed.bytes;
        {
            let mut batch = lock(&self.batch);
            batch.forget_groups();
            // an error of this submission marks the device as failed, so the next call returns it
            let _ = batch.submit(&self.connection);
        }
        drop(freed);
        self.connection.settle();
        self.connection.poll_once();
        lock(&self.pool).has_left(bytes);
    }

    /// Gives cached buffers back to the driver, and forgets prepared plans and the bind groups that hold buffers. Only a
    /// device with a limit waits until the driver has freed them, because only there an allocation counts on the bytes.
    pub(super) fn trim(&self) {
        lock(&self.prepared).clear();
        let (freed, limited) = {
            let mut pool = lock(&self.pool);
            (pool.free_down_to(0), pool.limit().is_some())
        };
        if limited {
            return self.free(freed);
        }
        lock(&self.batch).forget_groups();
        let bytes = freed.bytes;
        drop(freed);
        self.connection.poll_once();
        lock(&self.pool).has_left(bytes);
    }

    /// Submits the open batch if it uses the buffer. The host may write to it then: the queue does the write after that work.
    pub(super) fn submit_uses_of(&self, buffer: &DriverBuffer) -> Result<()> {
        let mut batch = lock(&self.batch);
        if batch.is_open(buffer.last_batch.load(Relaxed)) { batch.submit(&self.connection) } else { Ok(()) }
    }

    /// Fills a new buffer with a pattern, if a test has asked for that.
    #[cfg(feature = "testing")]
    fn poison(&self, memory: &GpuMemory) -> Result<()> {
        if let (true, Some(buffer)) = (self.connection.faults.poisons(), &memory.buffer) {
            let mut batch = lock(&self.batch);
            batch.fill(&self.connection, &buffer.buffer, crate::plan::backend::POISON)?;
            buffer.last_batch.store(batch.serial(), Relaxed);
        }
        Ok(())
    }
}
