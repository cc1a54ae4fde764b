//! Floor 6: the GPU executor. A plan's kernels become WGSL text (`gpu/wgsl.rs`), pipelines and dispatches
//! (`gpu/dispatch.rs`), which are collected and submitted in batches (`gpu/batch.rs`).

mod batch;
mod device;
mod dispatch;
mod exit;
mod memory;
mod numerics;
mod timer;
mod variant;
mod wgsl;

pub(crate) use device::{AdapterInfo, Shrink, inherited_fault, is_inherited};
pub use numerics::Numerics;
pub(crate) use variant::preview;

use crate::backend::{Backend, Bindings, Faults, MemoryInfo, Pending, Stats};
use crate::buffer::Buffer;
use crate::error::{Error, ErrorKind, Result, room};
use crate::kernel::{BufferRef, Caps, Kernel, Plan};
use batch::{Batch, ERROR_BYTES};
use device::Shared;
use dispatch::Resources;
use memory::{GpuMemory, Raw, lock};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bytes read back or written in one piece; more would need as much staging memory again.
const PIECE: usize = 64 << 20;

/// An open GPU.
pub(crate) struct Gpu {
    shared: Arc<Shared>,
}

impl Gpu {
    /// The GPUs there are, hardware first, in an order that does not change between calls.
    pub fn adapters() -> Vec<AdapterInfo> {
        if is_inherited() {
            return vec![];
        }
        pollster::block_on(device::adapters())
    }

    /// Opens adapter number `adapter_index`; `id` is the device's number in the process, `limit` a budget in bytes.
    pub fn open(id: u32, adapter_index: usize, limit: Option<usize>) -> Result<Gpu> {
        pollster::block_on(Gpu::open_async(id, adapter_index, limit))
    }

    pub async fn open_async(id: u32, adapter_index: usize, limit: Option<usize>) -> Result<Gpu> {
        Ok(Gpu { shared: device::open(id, adapter_index, limit, None).await? })
    }

    /// For tests: the same GPU with tight limits, so that small arrays need windows and folded grids.
    pub fn open_shrunk(id: u32, adapter_index: usize, limit: Option<usize>, shrink: Shrink) -> Result<Gpu> {
        Ok(Gpu { shared: pollster::block_on(device::open(id, adapter_index, limit, Some(shrink)))? })
    }

    /// Faults that tests plan.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// For tests: forgets planned losses, and what is kept for reuse but pipelines.
    pub fn heal(&self) {
        self.shared.heal();
        self.shared.trim();
    }

    /// For tests: the device is gone from now on.
    pub fn destroy(&self) {
        self.shared.device.destroy();
    }

    /// For tests: the driver and its version.
    pub fn driver(&self) -> String {
        let info = self.shared.device.adapter_info();
        format!("{} {}", info.driver, info.driver_info)
    }

    /// What the device's arithmetic does; found out at the first call.
    pub fn numerics(&self) -> Result<Numerics> {
        if let Some(known) = self.shared.numerics.get() {
            return Ok(*known);
        }
        let found = numerics::probe(&self.shared)?;
        Ok(*self.shared.numerics.get_or_init(|| found))
    }

    /// Runs `f` and gives the time of the kernels that it enqueued by the device's clock, where it has one.
    pub fn timed<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<(T, Option<Duration>)> {
        self.shared.check()?;
        let Some(id) = timer::start(&self.shared)? else { return Ok((f()?, None)) };
        match f() {
            Ok(value) => Ok((value, pollster::block_on(timer::stop(&self.shared, id))?)),
            Err(error) => {
                timer::drop_timer(&self.shared, id);
                Err(error)
            }
        }
    }
}

/// The raw buffer behind a handle.
fn raw_of(buffer: &Buffer) -> Result<&Raw> {
    let raw = buffer.memory::<GpuMemory>().and_then(GpuMemory::raw);
    raw.ok_or_else(|| Error::new(ErrorKind::Internal, "transfer", "a buffer of another device", None))
}

impl Backend for Gpu {
    fn caps(&self) -> &Caps {
        &self.shared.caps
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        self.shared.allocate(bytes)
    }

    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return self.shared.check();
        }
        self.shared.check()?;
        let raw = raw_of(buffer)?;
        let end = offset + bytes.len();
        if end > buffer.bytes() {
            let detail = format!("bytes {offset}..{end} of a buffer of {}", buffer.bytes());
            return Err(Error::new(ErrorKind::Internal, "upload", detail, None));
        }
        self.shared.counters.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        // kernels that are recorded but not submitted still mean the old content
        mutant!(upload_overtakes_kernels, (), self.shared.flush_use(raw.batch.load(Relaxed))?);
        let (head, tail) = (offset % 4, if end == buffer.bytes() { 0 } else { end % 4 });
        if head == 0 && tail == 0 {
            return self.write(raw, offset, bytes);
        }
        // words only partly written keep their other bytes
        let (first, last) = (offset - head, end.next_multiple_of(4).min(buffer.bytes()));
        let mut words = vec![0; last - first];
        if head != 0 {
            let old = pollster::block_on(self.download(buffer, first, head))?;
            words[..head].copy_from_slice(&old);
        }
        if tail != 0 {
            let old = pollster::block_on(self.download(buffer, end, last - end))?;
            words[end - first..].copy_from_slice(&old);
        }
        words[head..head + bytes.len()].copy_from_slice(bytes);
        self.write(raw, first, &words)
    }

    fn download(&self, buffer: &Buffer, offset: usize, len: usize) -> Pending<Vec<u8>> {
        let (shared, buffer) = (self.shared.clone(), buffer.clone());
        Box::pin(async move {
            shared.check()?;
            let mut out = room::<u8>(len, "download", None)?;
            // no bytes are a synchronization all the same: late errors come out
            loop {
                let piece = (len - out.len()).min(PIECE);
                let source = raw_of(&buffer)?;
                read(&shared, Some((&source.buffer, offset + out.len())), piece, &mut out).await?;
                if out.len() == len {
                    break;
                }
            }
            shared.counters.bytes_out.fetch_add(len as u64, Relaxed);
            shared.counters.syncs.fetch_add(1, Relaxed);
            Ok(out)
        })
    }

    fn run(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()> {
        self.shared.check()?;
        let temps = self.temps(plan)?;
        self.record(&mut lock(&self.shared.batch), plan, bindings, &temps)
    }

    fn run_at_once(&self, plan: &Plan, bindings: Bindings<'_>) -> Result<()> {
        if !plan.kernels.iter().any(Kernel::checks) {
            return self.run(plan, bindings);
        }
        let shared = &self.shared;
        shared.check()?;
        let temps = self.temps(plan)?;
        // a place of its own for a bad index: another thread's read would take it out of the common one
        let own = shared.scoped("allocate", || batch::error_notes(&shared.device))?;
        {
            let mut batch = lock(&shared.batch);
            let unread = batch.unread_errors;
            let common = batch.swap_errors(own.clone());
            let recorded = self.record(&mut batch, plan, bindings, &temps);
            batch.swap_errors(common);
            batch.unread_errors = unread;
            recorded?;
        }
        let mut notes = Vec::new();
        pollster::block_on(read(shared, Some((&own, 0)), ERROR_BYTES as usize, &mut notes))?;
        shared.counters.syncs.fetch_add(1, Relaxed);
        lock(&shared.batch).index_error(&notes).map_or(Ok(()), Err)
    }

    fn synchronize(&self) -> Pending<()> {
        let shared = self.shared.clone();
        Box::pin(async move {
            shared.check()?;
            shared.counters.syncs.fetch_add(1, Relaxed);
            if mutant!(synchronize_forgets_errors, false, lock(&shared.batch).unread_errors) {
                return read(&shared, None, 0, &mut Vec::new()).await;
            }
            // an empty submission also carries pending uploads
            let last = {
                let mut batch = lock(&shared.batch);
                batch.submit_with(&shared, |_| {})?;
                batch.submitted()
            };
            let completed = shared.completed.clone();
            let done = move || (completed.load(Relaxed) >= last).then_some(());
            device::wait(shared.clone(), "synchronize", done).await?;
            // work on a lost device is "done" too
            shared.check()
        })
    }

    fn report(&self) -> (Stats, MemoryInfo) {
        let c = &self.shared.counters;
        let stats = Stats {
            prepares: 0,
            kernels: c.kernels.load(Relaxed),
            dispatches: c.dispatches.load(Relaxed),
            compiles: c.compiles.load(Relaxed),
            syncs: c.syncs.load(Relaxed),
            allocations: c.allocations.load(Relaxed),
            driver_allocations: c.driver_allocations.load(Relaxed),
            bytes_in: c.bytes_in.load(Relaxed),
            bytes_out: c.bytes_out.load(Relaxed),
        };
        let pool = lock(&self.shared.pool);
        let memory = MemoryInfo {
            used: pool.used as usize,
            cached: (pool.cached + pool.leaving) as usize,
            peak: pool.peak as usize,
            limit: self.shared.limit.map(|l| l as usize),
        };
        (stats, memory)
    }

    fn trim(&self) {
        if !self.shared.is_inherited() {
            self.shared.trim();
        }
    }
}

impl Gpu {
    /// A temporary goes back to the pool when the plan is recorded: what uses it next comes later in the queue.
    fn temps(&self, plan: &Plan) -> Result<Vec<Buffer>> {
        plan.temps.iter().map(|bytes| self.shared.allocate(*bytes)).collect()
    }

    /// Records a plan's kernels.
    fn record(&self, batch: &mut Batch, plan: &Plan, bindings: Bindings<'_>, temps: &[Buffer]) -> Result<()> {
        let Bindings { inputs, outputs, scalars, lines, .. } = bindings;
        let resources = Resources { inputs, temps, outputs, scalars, lines };
        let stores = |k: &&Kernel| k.stores.iter().any(|s| matches!(s.buffer, BufferRef::Output(_)));
        if plan.kernels.iter().filter(stores).count() > 1 {
            // what may fail comes before the first kernel that writes, so that a write in place is done whole or not
            plan.kernels.iter().try_for_each(|kernel| self.shared.prepare(batch, kernel, &resources))?;
        }
        plan.kernels.iter().try_for_each(|kernel| self.shared.record(batch, kernel, &resources))
    }

    /// Writes bytes at an offset that is a multiple of 4; a last word that is not full is the buffer's last.
    fn write(&self, raw: &Raw, offset: usize, bytes: &[u8]) -> Result<()> {
        let whole = bytes.len() / 4 * 4;
        self.shared.scoped("upload", || {
            let queue = &self.shared.queue;
            for (n, piece) in bytes[..whole].chunks(PIECE).enumerate() {
                queue.write_buffer(&raw.buffer, (offset + n * PIECE) as u64, piece);
                if whole > PIECE {
                    // lets go of the driver's staging memory piece by piece
                    queue.submit([]);
                }
            }
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                queue.write_buffer(&raw.buffer, (offset + whole) as u64, &word);
            }
        })
    }
}

/// Appends `len` bytes of a buffer, as they are after all work enqueued so far, and looks for a gather's bad index.
async fn read(
    shared: &Arc<Shared>,
    source: Option<(&wgpu::Buffer, usize)>,
    len: usize,
    out: &mut Vec<u8>,
) -> Result<()> {
    // copies are of whole words
    let (start, skip) = source.map_or((0, 0), |(_, offset)| (offset / 4 * 4, offset % 4));
    let span = (skip + len).next_multiple_of(4) as u64;
    let staging = shared.staging(span + ERROR_BYTES)?;
    let (errors, submitted) = {
        let mut batch = lock(&shared.batch);
        let errors = std::mem::take(&mut batch.unread_errors);
        let notes = batch.errors.clone();
        let submitted = batch.submit_with(shared, |encoder| {
            if let Some((buffer, _)) = source
                && len > 0
            {
                encoder.copy_buffer_to_buffer(buffer, start as u64, &staging, 0, span);
            }
            if errors {
                encoder.copy_buffer_to_buffer(&notes, 0, &staging, span, ERROR_BYTES);
                encoder.clear_buffer(&notes, 0, None);
            }
        });
        (errors, submitted)
    };
    let lost = |error: Error| {
        // a bad index may have been noted in what cannot be read
        if mutant!(late_error_forgotten, false, errors) {
            shared.fail(&error);
        }
        error
    };
    submitted.map_err(lost)?;
    let mapped: Arc<OnceLock<bool>> = Arc::default();
    let signal = mapped.clone();
    let requested = shared.scoped("download", || {
        staging.map_async(wgpu::MapMode::Read, 0..span + ERROR_BYTES, move |result| {
            let _ = signal.set(result.is_ok());
        });
    });
    requested.map_err(lost)?;
    let waiting = device::wait(shared.clone(), "download", move || mapped.get().copied());
    let fine = waiting.await.map_err(lost)?;
    if !fine {
        shared.drain();
    }
    shared.check()?;
    let fail = |detail: &str| Error::new(ErrorKind::Internal, "download", detail, None);
    if !fine {
        return Err(lost(fail("the driver did not map the buffer")));
    }
    let mut bad = None;
    {
        let view = staging.get_mapped_range(0..span + ERROR_BYTES).map_err(|e| lost(fail(&e.to_string())))?;
        out.extend_from_slice(&view[skip..skip + len]);
        if errors {
            bad = lock(&shared.batch).index_error(&view[span as usize..]);
        }
    }
    staging.unmap();
    shared.return_staging(staging);
    bad.map_or(Ok(()), Err)
}
