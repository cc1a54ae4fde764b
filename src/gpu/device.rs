//! An open GPU: its connection, its pool of buffers, its open batch, and the memory of its arrays. Recorded and running
//! work may still use memory that no array holds any more, so this file decides when bytes count as free and when the
//! host may write to a buffer.

use super::adapter::{self, DispatchLimits, Opened, Origin, inherited_fault, is_inherited};
use super::batch::Batch;
use super::connection::{Connection, IdleClock, lock};
use super::disk::DiskCache;
use super::memory::{self, BufferPool, DriverBuffer, Freed, Reservation};
use super::notes::ErrorNotes;
use super::numerics;
use super::prepared::PreparedPlans;
use super::waiting::Watch;
use crate::base::buffer::{Buffer, Memory};
use crate::base::caps::{MultiplyAdd, Shrink};
use crate::base::error::{ALLOCATE, Error, ErrorKind, Result, beyond_memory};
use crate::base::platform::{self, CAN_WAIT};
use crate::plan::backend::{Numerics, name_within, wait};
use crate::plan::kernel::NumberedCaps;
use std::any::Any;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

/// The most bytes of free buffers that a web page keeps. Outside a browser, all free buffers are freed when an
/// allocation fails, but a browser reports the failure too late to try again. 256 MiB are the largest buffer that every
/// adapter of WebGPU offers.
const MOST_CACHED_IN_A_PAGE: u64 = 256 << 20;

/// An open GPU. It lives as long as there is a handle to it, an array on it, or an unfinished read.
pub(crate) struct Gpu {
    /// A weak handle to this device itself. Buffers and futures of the device get a strong handle from it, which keeps
    /// the device alive.
    this: Weak<Gpu>,
    /// The number of the device in the process.
    pub(super) id: u32,
    /// The adapter's name. If the device has a memory limit, `name_within` adds the device's number and the limit.
    pub(super) name: String,
    /// The device's adapter, on which `adapter::open` can open another device.
    pub(super) origin: Origin,
    /// Tighter limits that a test has set. A device with a memory limit that is opened from this one gets the same
    /// limits.
    pub(super) shrink: Option<Shrink>,
    pub(super) caps: NumberedCaps,
    pub(super) checks: AtomicU8,
    pub(super) limits: DispatchLimits,
    /// The size of the adapter's own memory in bytes, if its driver reports it.
    pub(super) memory: Option<u64>,
    pub(super) connection: Arc<Connection>,
    pub(super) watch: Arc<Watch>,
    /// To avoid deadlocks, a thread that needs the locks of both `batch` and `pool` takes the lock of `batch` first.
    pub(super) pool: Arc<Mutex<BufferPool>>,
    pub(super) batch: Arc<Mutex<Batch>>,
    pub(super) notes: Arc<ErrorNotes>,
    /// To avoid deadlocks, a thread that needs the locks of both `batch` and `prepared` takes the lock of `batch`
    /// first.
    pub(super) prepared: Mutex<PreparedPlans>,
    /// The findings of the probe of the device's arithmetic. They are missing if the probe failed when the device was
    /// opened.
    pub(super) numerics: OnceLock<Numerics>,
    pub(super) disk: Option<Arc<DiskCache>>,
}

/// The memory behind a [`Buffer`] of a GPU. Dropping it returns the driver's buffer to the pool immediately, even while
/// enqueued work uses it. This is safe because all work goes through one queue, so the next work that uses the buffer
/// runs after the enqueued work.
pub(super) struct GpuMemory {
    /// The driver's buffer. It is `None` only while this value is being dropped, because `drop` moves the buffer to the
    /// pool.
    buffer: Option<DriverBuffer>,
    bytes: usize,
    gpu: Arc<Gpu>,
    /// Whether a program has lent the buffer, and may use it as well. If so, it is never written in place, and does not
    /// go to the pool.
    is_lent: bool,
}

impl GpuMemory {
    /// Wraps a buffer that a program has lent, and whose bytes the caller has reserved.
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

/// Returns the driver's buffer behind a handle, or `None` if the handle does not refer to a buffer of a GPU.
pub(super) fn driver_buffer(buffer: &Buffer) -> Option<&DriverBuffer> {
    buffer.memory::<GpuMemory>()?.buffer.as_ref()
}

/// Opens an adapter. `id` is the device's number in the process, `limit` a memory limit in bytes, and `shrink` a test's
/// tighter limits. `with_matrices` states whether the device offers the cooperative matrices that the adapter reports.
/// `for_trials` is true for the device of a self-test. Such a device keeps nothing on disk and prints no shaders,
/// because its kernels are not the caller's.
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
    connected(id, origin, opened, connection, limit, shrink, for_trials).await
}

/// Creates the device of a connection; see [`open`] for the parameters.
pub(super) async fn connected(
    id: u32,
    origin: Origin,
    opened: Opened,
    mut connection: Connection,
    limit: Option<usize>,
    shrink: Option<Shrink>,
    for_trials: bool,
) -> Result<Arc<Gpu>> {
    connection.prints_shaders &= !for_trials;
    if for_trials {
        connection.time_out.be_patient();
    }
    let connection = Arc::new(connection);
    let notes = Arc::<ErrorNotes>::default();
    let disk = if for_trials { None } else { DiskCache::open(&connection) };
    let watch = Watch::new(&connection);
    let found = numerics::find(&connection, &watch, disk.as_ref(), &origin, shrink).await;
    let mut caps = opened.caps;
    // if the probe failed, f16 is converted by integer operations, and the caller's next operation returns the error of
    // the probe
    caps.half = found.as_ref().map_or(caps.half, |found| numerics::conversions(*found, shrink));
    caps.fma = match shrink {
        Some(shrink) if shrink.fma_in_f64 => MultiplyAdd::InF64,
        _ if found.as_ref().is_ok_and(|found| found.fma) && shrink.is_none_or(|s| s.half.is_none()) => {
            MultiplyAdd::Fused
        }
        _ => MultiplyAdd::Separate,
    };
    caps.tiles = shrink.and_then(|s| s.tiles).unwrap_or(caps.tiles);
    caps.skips_branches |= shrink.is_some_and(|s| s.skips_branches);
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
        watch,
        connection,
        pool: Arc::new(Mutex::new(BufferPool::new(limit.map(|l| l as u64)))),
        batch: Arc::new(Mutex::new(batch)),
        notes,
        prepared: Mutex::default(),
        numerics: found.map_or_else(|_| OnceLock::new(), OnceLock::from),
        disk,
    }))
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // Closing a device waits for its work. In a process made by fork, the wait would never end, because the threads
        // that do the work do not exist there. On a device that hangs, the wait would not end either. The device is
        // left open in both cases.
        if !CAN_WAIT {
            // a browser finishes the submitted work before it destroys the device
            return self.connection.device.destroy();
        }
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
    /// Returns a handle that keeps the device alive.
    pub(super) fn handle(&self) -> Result<Arc<Gpu>> {
        // this fails only while the last handle to the device is being dropped; otherwise the caller holds a handle
        let gone = || Error::with_line(ErrorKind::Internal, "open", "the device is being closed", None);
        self.this.upgrade().ok_or_else(gone)
    }

    /// Returns how the device's arithmetic behaves. If the probe failed when the device was opened, probes again.
    pub(super) fn known_numerics(&self) -> Result<Numerics> {
        if let Some(known) = self.numerics.get() {
            return Ok(*known);
        }
        let probe = numerics::Probe::begin(&self.connection, &self.watch)?;
        let found = wait("numerics", "", probe.finish())?;
        Ok(*self.numerics.get_or_init(|| found))
    }

    /// Returns a buffer from the pool, or a newly allocated one.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.connection.check()?;
        let gpu = self.handle()?;
        let max = self.caps.max_buffer;
        if bytes as u64 > max {
            let detail = format!("{bytes} bytes asked for; a buffer on {} has at most {max}", self.caps.name);
            return Err(Error::with_line(ErrorKind::LimitExceeded, ALLOCATE, detail, None));
        }
        let sizes = memory::sizes(bytes as u64, max);
        let (pooled, cached) = {
            let mut pool = lock(&self.pool);
            (pool.reuse(&sizes), pool.cached)
        };
        if !CAN_WAIT && pooled.is_none() && cached > MOST_CACHED_IN_A_PAGE {
            self.trim();
        }
        let buffer = match pooled {
            Some(buffer) => buffer,
            None => {
                // if the memory limit has no room for the size class (a size that similar requests share), the request
                // rounded up to whole words may still fit
                let Some(size) = sizes.into_iter().find(|size| self.reserve(*size)) else {
                    let pool = lock(&self.pool);
                    let (used, limit) = (pool.used, pool.limit().unwrap_or(u64::MAX));
                    let why = format_args!("{used} in use, limit {limit} bytes");
                    return Err(beyond_memory(bytes, &self.caps.name, Some(limit.saturating_sub(used) as usize), why));
                };
                self.create(size).inspect_err(|_| lock(&self.pool).release(size))?
            }
        };
        // `memory` is created before the call of `poison`, which may fail: then `memory` is dropped, which returns the
        // buffer to the pool
        let memory = GpuMemory { buffer: Some(buffer), bytes, gpu, is_lent: false };
        #[cfg(feature = "testing")]
        self.poison(&memory)?;
        self.connection.counters.allocations.fetch_add(1, Relaxed);
        lock(&self.pool).note_peak();
        Ok(Buffer::new(|| memory))
    }

    /// Allocates a buffer from the driver. The caller has reserved its bytes. If the driver is out of memory, frees the
    /// pool's buffers and tries once more.
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

    /// Reserves bytes of the device's limit. Returns whether enough bytes were available. To make room, frees cached
    /// buffers and waits until the driver has freed them, even if another thread is freeing them.
    pub(super) fn reserve(&self, size: u64) -> bool {
        let (clock, mut waited) = (IdleClock::new(&self.connection), false);
        loop {
            let reservation = lock(&self.pool).reserve(size);
            match reservation {
                Reservation::Granted => return true,
                Reservation::Refused => return false,
                Reservation::AfterFreeing(freed) if freed.bytes > 0 => self.free(freed),
                Reservation::AfterFreeing(_) => {
                    waited = true;
                    platform::sleep(Duration::from_micros(50));
                }
            }
            if waited && clock.expired(&self.connection) {
                return false;
            }
        }
    }

    /// Frees buffers, and waits until the driver has freed them, because running or recorded work may still use them.
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

    /// Returns cached buffers to the driver, and forgets prepared plans and the bind groups that hold buffers. Waits
    /// until the driver has freed the buffers only if the device has a limit, because only then do allocations depend
    /// on these bytes.
    pub(super) fn trim(&self) {
        lock(&self.prepared).clear();
        let (freed, limited) = {
            let mut pool = lock(&self.pool);
            (pool.free_down_to(0), pool.limit().is_some())
        };
        if limited {
            return self.free(freed);
        }
        {
            let mut batch = lock(&self.batch);
            batch.forget_groups();
            if !CAN_WAIT {
                // the open batch is submitted first, because it may still use the buffers that are destroyed when
                // `freed` is dropped. An error of this submission marks the device as failed, so the next call returns
                // it
                let _ = batch.submit(&self.connection);
            }
        }
        let bytes = freed.bytes;
        drop(freed);
        self.connection.poll_once();
        lock(&self.pool).has_left(bytes);
    }

    /// Submits the open batch if it uses the buffer. After that the host may write to the buffer, because the queue
    /// performs the write after the batch.
    pub(super) fn submit_uses_of(&self, buffer: &DriverBuffer) -> Result<()> {
        let mut batch = lock(&self.batch);
        if batch.is_open(buffer.last_batch.load(Relaxed)) { batch.submit(&self.connection) } else { Ok(()) }
    }

    /// Fills a new buffer with a pattern, if a test has asked for it.
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
