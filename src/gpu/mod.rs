//! Floor 3: the GPU executor (a module imports only from modules of lower floors). It turns the kernels of a plan into
//! WGSL source, compiled pipelines and dispatches, records the dispatches, and submits them in batches.
//!
//! Terms: a plan is a list of steps, and most steps are kernels (`plan/kernel/mod.rs`). A *window* is the part of a
//! kernel's index space that one dispatch covers. A *routine* is an operation that is not a loop nest, such as a sort;
//! it runs in one or several passes, each with its own shader. A *gather* accesses elements at computed indices. An
//! *error note* is a record that a shader writes to a buffer when an index is out of range, or when a routine rejects
//! an element.
//!
//! A file of this module imports only from files below it in this list:
//!
//! | file | contents |
//! |---|---|
//! | `cooperative.rs` | the self-test of cooperative matrices |
//! | `routines.rs`, `raw.rs` | the shader files of the routines, and their dispatches; user-defined shaders |
//! | `dispatch.rs` | binds a prepared plan to the buffers of a run, and records its dispatches |
//! | `prepare.rs`, `params.rs` | prepares a plan once for many runs: pipelines, bindings, parameter words |
//! | `lent.rs` | devices and buffers of programs that call wgpu themselves |
//! | `transfer.rs` | copies to and from the host |
//! | `device.rs` | the open device; decides when memory that recorded or running work uses may be written or freed |
//! | `numerics.rs` | the probe of a device's arithmetic |
//! | `batch.rs` | recording and submission |
//! | `prepared.rs` | prepared plans, and their cache |
//! | `pipelines.rs`, `timer.rs` | compiled kernels and the layouts of their bindings; measured times of steps |
//! | `variant.rs`, `wgsl/` | write the WGSL source of a kernel or of a routine's pass; these files need no device |
//! | `fetches.rs` | which kernels process four neighbouring elements in an invocation, and how they load them |
//! | `memory.rs` | the pool of free buffers, and the bytes that count against the device's limit |
//! | `notes.rs` | the meaning of error notes, and the notes whose read was dropped before it looked at them |
//! | `waiting.rs` | waits for the device: blocking callers, futures, and the thread that polls the device for futures |
//! | `disk/` | the cache on disk for the next process: shaders, pipelines, results of the probe and the self-test |
//! | `fingerprint.rs` | a hash of the source files on which the contents of that cache depend |
//! | `at_exit.rs` | the end of the process: waits for software drivers, and keeps our threads out of drivers |
//! | `connection.rs` | wgpu's device and queue, errors, polling, counters |
//! | `time_out.rs` | how long a wait goes on without progress |
//! | `adapter.rs` | which GPUs the machine has, and what they support |

mod adapter;
mod at_exit;
mod batch;
mod connection;
mod cooperative;
mod device;
// a web page has no files, and naga and the code for the file format would be half of the page's WebAssembly module
#[cfg_attr(all(target_family = "wasm", target_os = "unknown"), path = "disk/none.rs")]
mod disk;
mod dispatch;
mod fetches;
mod fingerprint;
#[cfg(feature = "wgpu")]
mod lent;
mod memory;
mod notes;
mod numerics;
mod params;
mod pipelines;
mod prepare;
mod prepared;
#[cfg(feature = "kernels")]
mod raw;
mod routines;
mod shader_file;
mod time_out;
mod timer;
mod transfer;
mod variant;
mod waiting;
mod wgsl;

use crate::base::buffer::Buffer;
use crate::base::caps::Shrink;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::platform;
use crate::plan::backend::{
    Backend, Bindings, Clock, Detail, MemoryInfo, Numerics, Pending, Provider, Receive, Recording, Shader, Stats, wait,
};
#[cfg(feature = "testing")]
use crate::plan::backend::{FaultInjector, ShaderChecks, TestDoors};
use crate::plan::kernel::{Caps, ExecutionPlan, NumberedCaps, Step};

use adapter::Origin;
use batch::{Batch, error_notes};
use connection::lock;
use device::{Gpu, driver_buffer};
use dispatch::StepRecorder;
use notes::ERROR_BYTES;
use prepare::Preparer;
use prepared::{PreparedPlan, RunBuffer, RunBuffers, facts};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Once};
use timer::{Timer, has_clock};
use wgsl::Dialect;

#[cfg(feature = "wgpu")]
pub(crate) use lent::of_program;

/// Finds and opens the GPUs of the machine, software drivers included.
pub(crate) struct Gpus;

impl Provider for Gpus {
    fn count(&self) -> usize {
        // a process made by fork cannot use the drivers that its parent loaded
        if adapter::is_inherited() { 0 } else { names().len() }
    }

    fn check(&self) -> Result<()> {
        if !adapter::is_inherited() {
            return Ok(());
        }
        let fault = adapter::inherited_fault();
        Err(Error::with_line(fault.kind, "Device::gpu", fault.detail, None))
    }

    fn open(&self, id: u32, index: usize) -> Result<Arc<dyn Backend>> {
        static BEFORE: Once = Once::new();
        static AFTER: Once = Once::new();
        self.check()?;
        // the exit function makes the end of the process wait while a device is being opened, because a thread that
        // nobody joins may be opening it. The exit function is registered both before and after the drivers are loaded;
        // `names` loads them at the first opening
        at_exit::stop_threads(&BEFORE);
        let Some(_inside) = at_exit::enter() else {
            return Err(Error::with_line(ErrorKind::DeviceLost, "Device::gpu", "the process is ending", None));
        };
        let names = names();
        at_exit::stop_threads(&AFTER);
        if index >= names.len() {
            let detail = match names.len() {
                0 if cfg!(feature = "gles") => {
                    "no GPU was found (no Vulkan, Metal, DX12 or OpenGL driver answered)".to_string()
                }
                0 => "no GPU was found (no Vulkan, Metal or DX12 driver answered)".to_string(),
                n => format!("gpu:{index} does not exist; {n} found: {}", names.join(", ")),
            };
            return Err(Error::with_line(ErrorKind::DeviceNotFound, "Device::gpu", detail, None));
        }
        open(id, Origin::Listed(index), None, None)
    }

    fn open_here(&'static self, id: u32, index: usize) -> Pending<Arc<dyn Backend>> {
        Box::pin(async move {
            let gpu = device::open(id, Origin::Listed(index), None, None, false, false).await?;
            Ok(gpu as Arc<dyn Backend>)
        })
    }

    fn shaders(&self, plan: &ExecutionPlan, caps: &Caps) -> Vec<Result<Shader>> {
        let texts = |step: &Step| match step {
            Step::Nest(kernel) => vec![variant::preview(kernel, Dialect::of(caps))],
            Step::Routine(call) => routines::previews(call, Dialect::of(caps)),
            Step::Clear { .. } => vec![],
        };
        plan.steps.iter().flat_map(texts).collect()
    }

    #[cfg(feature = "testing")]
    fn has_routine(&self, row: &crate::graph::routine::Routine) -> bool {
        routines::has(row)
    }

    #[cfg(feature = "testing")]
    fn caps_of(&self, card: &crate::base::caps::Card) -> Result<Caps> {
        adapter::caps_of(card)
    }

    #[cfg(feature = "testing")]
    fn checks(&self) -> ShaderChecks {
        ShaderChecks {
            bounds: pipelines::CHECKS.bounds_checks,
            loops: pipelines::CHECKS.force_loop_bounding,
            divisors: pipelines::CHECKS.int_div_checks,
            zeroes_workgroup_memory: pipelines::ZEROES_WORKGROUP_MEMORY,
        }
    }
}

/// Returns the names of all adapters. In a browser it returns none, because a browser lists adapters only
/// asynchronously.
fn names() -> Vec<String> {
    platform::block_on(adapter::names()).unwrap_or_default()
}

fn open(id: u32, origin: Origin, limit: Option<usize>, shrink: Option<Shrink>) -> Result<Arc<dyn Backend>> {
    let opened = |limit, shrink, with_matrices, for_trials| {
        let opening = device::open(id, origin.clone(), limit, shrink, with_matrices, for_trials);
        wait("Device::gpu", "Device::gpu_async", opening)
    };
    let open = |with_matrices| opened(limit, shrink, with_matrices, false);
    // a forked process does not read the results of the self-test, because another thread of its parent may have held
    // their lock during the fork
    let with_matrices = !adapter::is_inherited() && !cooperative::are_wrong(&origin);
    let mut gpu = open(with_matrices)?;
    let trial = || opened(None, None, with_matrices, true);
    if gpu.caps.has_blocks() && !cooperative::are_right(&gpu, trial) {
        gpu = open(false)?;
    }
    if gpu.connection.software {
        // `wait_for` requires that the driver has run a shader, and the probe of the device's arithmetic was such a
        // shader
        at_exit::wait_for(&gpu.connection);
    }
    Ok(gpu)
}

impl Backend for Gpu {
    fn id(&self) -> u32 {
        self.id
    }

    fn caps(&self) -> &NumberedCaps {
        &self.caps
    }

    fn checks(&self) -> &AtomicU8 {
        &self.checks
    }

    fn is_gpu(&self) -> bool {
        true
    }

    fn is_software(&self) -> bool {
        self.connection.software
    }

    fn with_limit(&self, id: u32, limit: usize) -> Result<Arc<dyn Backend>> {
        open(id, self.origin.clone(), Some(limit), self.shrink)
    }

    fn allocate(&self, bytes: usize) -> Result<Buffer> {
        Gpu::allocate(self, bytes)
    }

    fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        self.write(buffer, offset, bytes)
    }

    fn download_to(&self, buffer: &Buffer, offset: usize, len: usize, receive: Receive) -> Pending<()> {
        let buffer = buffer.clone();
        match self.handle() {
            Ok(gpu) => Box::pin(gpu.read(buffer, offset, len, receive)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn run(&self, plan: &ExecutionPlan, bindings: Bindings<'_>) -> Result<()> {
        self.connection.check()?;
        let temps = self.temps(plan)?;
        self.record(&mut lock(&self.batch), plan, &bindings, &temps)
    }

    #[cfg(feature = "kernels")]
    fn run_raw(&self, call: &crate::plan::backend::RawCall<'_>) -> Result<()> {
        self.record_raw(call)
    }

    fn run_at_once(&self, plan: &ExecutionPlan, bindings: Bindings<'_>) -> Result<()> {
        if !plan.steps.iter().any(Step::checks) {
            return self.run(plan, bindings);
        }
        self.connection.check()?;
        let temps = self.temps(plan)?;
        // this run uses its own buffer of error notes, because a read by another thread could fetch and clear the notes
        // in the device's buffer
        let own_notes = self.connection.scoped("allocate", || error_notes(&self.connection))?;
        {
            let mut batch = lock(&self.batch);
            let unread = batch.unread_errors;
            let shared_notes = batch.swap_errors(own_notes.clone());
            let recorded = self.record(&mut batch, plan, &bindings, &temps);
            batch.swap_errors(shared_notes);
            batch.unread_errors = unread;
            recorded?;
        }
        let mut notes = Vec::new();
        self.read_now(&own_notes, ERROR_BYTES as usize, &mut notes)?;
        self.connection.counters.syncs.fetch_add(1, Relaxed);
        self.notes.first_error(&notes).map_or(Ok(()), Err)
    }

    fn synchronize(&self) -> Pending<()> {
        match self.handle() {
            Ok(gpu) => Box::pin(gpu.settled()),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn report(&self) -> (Stats, MemoryInfo) {
        let pool = lock(&self.pool);
        let memory = MemoryInfo {
            used: pool.used as usize,
            cached: (pool.cached + pool.leaving) as usize,
            peak: pool.peak as usize,
            limit: pool.limit().map(|l| l as usize),
        };
        (self.connection.counters.stats(), memory)
    }

    fn trim(&self) {
        if !self.connection.is_inherited() {
            Gpu::trim(self);
        }
    }

    fn record(&self, detail: Detail, work: &mut dyn FnMut() -> Result<()>) -> Result<Recording> {
        self.connection.check()?;
        let clock = if has_clock(&self.connection) { Clock::Device } else { Clock::HostWithWaits };
        if detail == Detail::Busy && clock == Clock::HostWithWaits {
            return work().map(|()| Recording::nothing(clock, true));
        }
        let timer = Timer::new(clock, detail);
        let id = {
            let mut batch = lock(&self.batch);
            // submit first, because kernels recorded before now must not be timed
            batch.submit(&self.connection)?;
            batch.start_timer(timer)
        };
        let on = TimerOn { gpu: self, id };
        work()?;
        let timer = {
            let mut batch = lock(&self.batch);
            // another thread may have started a timer meanwhile, which replaced this one
            let Some(timer) = batch.take_timer(on.id) else {
                return Ok(Recording::nothing(clock, false));
            };
            batch.submit_with(&self.connection, |encoder| timer.resolve(encoder))?;
            timer
        };
        let mut ticks = vec![];
        for (buffer, bytes) in timer.buffers() {
            self.read_now(buffer, bytes, &mut ticks)?;
        }
        Ok(timer.finish(&ticks, self.connection.queue.get_timestamp_period()))
    }

    fn is_recording(&self) -> bool {
        lock(&self.batch).has_timer()
    }

    fn numerics(&self) -> Result<Option<Numerics>> {
        self.known_numerics().map(Some)
    }

    fn shaders(&self, plan: &ExecutionPlan) -> Vec<Result<Shader>> {
        Gpus.shaders(plan, &self.caps)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn own_memory(&self) -> Option<u64> {
        self.memory
    }

    fn vendor(&self) -> Option<String> {
        Some(adapter::vendor_name(self.connection.device.adapter_info().vendor))
    }

    #[cfg(feature = "wgpu")]
    fn native(&self) -> Option<&dyn crate::plan::backend::Native> {
        Some(self)
    }

    fn api(&self) -> Option<String> {
        Some(format!("{:?}", self.connection.device.adapter_info().backend))
    }

    fn driver(&self) -> Option<String> {
        let info = self.connection.device.adapter_info();
        Some(format!("{} {}", info.driver, info.driver_info))
    }

    #[cfg(feature = "testing")]
    fn test_doors(&self) -> &dyn TestDoors {
        self
    }
}

#[cfg(feature = "testing")]
impl TestDoors for Gpu {
    fn faults(&self) -> &FaultInjector {
        &self.connection.faults
    }

    fn heal(&self) {
        self.connection.forget_losses();
        Gpu::trim(self);
    }

    fn destroy(&self) {
        self.connection.device.destroy();
    }

    fn shrunk(&self, id: u32, limits: Shrink) -> Result<Arc<dyn Backend>> {
        open(id, self.origin.clone(), None, Some(limits))
    }

    fn parsed(&self) -> Option<u64> {
        self.disk.as_ref().map(|disk| disk.parsed())
    }
}

/// Removes a timer from the batch when dropped, even if the caller's closure fails or panics.
struct TimerOn<'a> {
    gpu: &'a Gpu,
    id: u64,
}

impl Drop for TimerOn<'_> {
    fn drop(&mut self) {
        lock(&self.gpu.batch).take_timer(self.id);
    }
}

impl Gpu {
    /// Allocates the temporaries of a plan. They return to the pool as soon as the plan is recorded, because kernels
    /// that reuse their memory come later in the same queue.
    fn temps(&self, plan: &ExecutionPlan) -> Result<Vec<Buffer>> {
        plan.temps.iter().map(|bytes| Gpu::allocate(self, *bytes)).collect()
    }

    /// Prepares a plan for the buffers of a run, and records its steps into the batch.
    fn record(&self, batch: &mut Batch, plan: &ExecutionPlan, bindings: &Bindings<'_>, temps: &[Buffer]) -> Result<()> {
        let buffers = &run_buffers(plan, bindings, temps)?;
        let prepared = self.prepared(batch, plan, buffers).map_err(|(e, node)| e.or_at(bindings.line(node)))?;
        let (connection, caps, limits) = (&*self.connection, &self.caps, &self.limits);
        StepRecorder { connection, caps, limits, batch, plan, buffers, bindings }.record(&prepared)
    }

    /// Returns the plan prepared for these buffers, from the cache or newly prepared. An error includes the number of
    /// the node whose kernel failed.
    fn prepared(
        &self,
        batch: &mut Batch,
        plan: &ExecutionPlan,
        buffers: &[RunBuffer<'_>],
    ) -> Result<Arc<PreparedPlan>, (Error, usize)> {
        // a kernel binds only a range of a buffer that is larger than the largest binding. The range depends on the
        // offsets of the run, so such a prepared plan is not kept
        let is_kept = plan.is_kept && buffers.iter().all(|b| b.buffer.size <= self.caps.max_binding);
        let facts = facts(plan, buffers);
        if let Some(found) = is_kept.then(|| lock(&self.prepared).find(&facts)).flatten() {
            return Ok(found);
        }
        let pipelines = &mut batch.pipelines;
        let mut preparer = Preparer { connection: &self.connection, caps: &self.caps, pipelines, plan, buffers };
        let prepared = Arc::new(preparer.prepare()?);
        self.connection.counters.prepares.fetch_add(1, Relaxed);
        if is_kept {
            lock(&self.prepared).keep(facts, &prepared);
        }
        Ok(prepared)
    }
}

/// Returns the driver's buffers of a run: inputs, temporaries, then outputs. Returns an error if the run binds a
/// different number of buffers or scalars than the plan has.
fn run_buffers<'a>(plan: &ExecutionPlan, bindings: &Bindings<'a>, temps: &'a [Buffer]) -> Result<RunBuffers<'a>> {
    let fail = |detail: String| Error::with_line(ErrorKind::Internal, "eval", detail, None);
    let want = [plan.inputs.len(), plan.outputs.len(), plan.scalars.len()];
    let have = [bindings.inputs.len(), bindings.outputs.len(), bindings.scalars.len()];
    if have != want {
        return Err(fail(format!("the run binds {have:?} inputs, outputs and scalars; the plan has {want:?}")));
    }
    let temps = temps.iter().map(|b| (b, 0));
    let all = bindings.inputs.iter().copied().chain(temps).chain(bindings.outputs.iter().copied());
    let run_buffer = |(n, (buffer, offset)): (usize, (&'a Buffer, usize))| {
        let found = driver_buffer(buffer).ok_or_else(|| fail(format!("buffer {n} does not belong to a GPU")))?;
        Ok(RunBuffer { buffer: found, offset: offset as i64 })
    };
    all.enumerate().map(run_buffer).collect()
}
