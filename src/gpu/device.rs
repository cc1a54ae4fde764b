//! The device: adapters, opening one, errors that come late, waiting.

use super::batch::Batch;
use super::memory::{Pool, lock};
use crate::backend::Faults;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Caps;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::time::{Duration, Instant};

/// How long a waiting thread polls before it lets others in: a runtime's thread is not held longer.
const SLICE: Duration = Duration::from_millis(2);
/// How long a wait polls without sleeping; short work is done by then.
const EAGER: Duration = Duration::from_micros(100);
const LONGEST_NAP: Duration = Duration::from_micros(500);
/// How long a driver may take to compile a pipeline: the planner keeps kernels to a second on an idle machine.
const FIRST_RUN: Duration = Duration::from_secs(20);
/// How long an error waits for the word that the device is lost.
const DRAIN: Duration = Duration::from_millis(200);
/// … and from when the queue is empty.
const GRACE: Duration = Duration::from_millis(5);

/// A GPU that could be opened.
#[derive(Clone, Debug)]
pub(crate) struct AdapterInfo {
    pub name: String,
    /// A GPU, not a driver that computes on the CPU.
    pub hardware: bool,
}

/// Counters, see [`crate::backend::Stats`].
#[derive(Default)]
pub(super) struct Counters {
    pub kernels: AtomicU64,
    pub dispatches: AtomicU64,
    pub compiles: AtomicU64,
    pub syncs: AtomicU64,
    pub allocations: AtomicU64,
    pub driver_allocations: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

/// Errors that no call was there to return: filled by the driver's callbacks.
#[derive(Default)]
pub(super) struct Late {
    any: AtomicBool,
    error: Mutex<Option<(ErrorKind, String)>>,
}

impl Late {
    fn set(&self, kind: ErrorKind, detail: String) {
        let mut error = lock(&self.error);
        // a loss outweighs what led to it
        if error.is_none() || kind == ErrorKind::DeviceLost {
            *error = Some((kind, detail));
        }
        self.any.store(true, Relaxed);
    }

    fn clear(&self) {
        *lock(&self.error) = None;
        self.any.store(false, Relaxed);
    }
}

/// Everything behind an open device; buffers and futures hold it.
pub(super) struct Shared {
    pub id: u32,
    pub caps: Caps,
    /// Workgroups along one dimension of a dispatch.
    pub max_groups: u32,
    /// Bytes of one binding, which the planner's figure is a little below.
    pub max_binding: u64,
    pub offset_alignment: u64,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub pool: Mutex<Pool>,
    pub batch: Mutex<Batch>,
    pub counters: Counters,
    pub limit: Option<u64>,
    /// Submissions under way up to which another one is made early. A software driver waits in the submission for the
    /// one before.
    pub eager: u64,
    /// Computes on the CPU.
    pub software: bool,
    /// Pipelines that run for the first time in submissions under way: a driver may compile them only then.
    pub first_runs: Arc<AtomicU64>,
    /// Submissions that have finished.
    pub completed: Arc<AtomicU64>,
    pub numerics: OnceLock<super::Numerics>,
    pub faults: Faults,
    late: Arc<Late>,
    /// wgpu 30.0.1 may panic when two threads poll.
    poller: Mutex<()>,
    pub timeout: Duration,
    pub debug_wgsl: bool,
}

/// A tighter device for tests.
#[derive(Clone, Copy)]
pub(crate) struct Shrink {
    pub max_binding: u64,
    pub max_groups: u32,
}

/// One for the process: making it loads and asks every driver.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        // the default flags clamp buffers below 4 GiB and slow every call
        if !cfg!(debug_assertions) {
            descriptor.flags = wgpu::InstanceFlags::empty();
        }
        wgpu::Instance::new(descriptor)
    })
}

/// Adapters, hardware first, in an order that does not change between calls.
async fn enumerate() -> Vec<wgpu::Adapter> {
    let all = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let mut all: Vec<_> = all.into_iter().map(|a| (rank(&a.get_info()), a)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|a| a.1).collect()
}

fn rank(info: &wgpu::AdapterInfo) -> (u8, String, u32, u32) {
    let class = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (class, info.device_pci_bus_id.clone(), info.vendor, info.device)
}

pub(super) async fn adapters() -> Vec<AdapterInfo> {
    let list = enumerate().await;
    let describe = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        let hardware = info.device_type != wgpu::DeviceType::Cpu;
        AdapterInfo { name: info.name, hardware }
    };
    list.iter().map(describe).collect()
}

/// What the planner may count on.
fn caps(name: String, features: wgpu::Features, limits: &wgpu::Limits, shrink: Option<Shrink>) -> (Caps, u64, u32) {
    let int64 = features.contains(wgpu::Features::SHADER_INT64);
    let mut max_binding = limits.max_storage_buffer_binding_size.min((1 << 31) - 1) & !255;
    let mut max_groups = limits.max_compute_workgroups_per_dimension;
    let mut max_indices = 1u64 << 31;
    if let Some(s) = shrink {
        max_binding = max_binding.min(s.max_binding);
        max_groups = max_groups.min(s.max_groups);
        max_indices = (s.max_groups as u64).pow(3) * 256;
    }
    let caps = Caps {
        name,
        gpu: true,
        int64,
        // our functions of f64 work on its bits
        float64: int64 && features.contains(wgpu::Features::SHADER_F64),
        // a window starts at an aligned place at or before its first element
        max_binding: max_binding - 256,
        max_buffer: limits.max_buffer_size,
        // one is the error word of gathers
        max_bindings: (limits.max_storage_buffers_per_shader_stage.min(16) as usize).saturating_sub(1),
        max_values: 256,
        // a few tenths of a second on a software driver
        max_cost: 256,
        max_row: 256 * 64,
        max_reduce: [256 * 16, 256],
        max_indices,
        packs_words: true,
    };
    (caps, max_binding, max_groups)
}

pub(super) async fn open(
    id: u32,
    adapter_index: usize,
    limit: Option<usize>,
    shrink: Option<Shrink>,
) -> Result<Arc<Shared>> {
    let fail = |kind, detail: String| Error::new(kind, "open", detail, None);
    let adapter = enumerate().await.into_iter().nth(adapter_index);
    let Some(adapter) = adapter else {
        return Err(fail(ErrorKind::DeviceNotFound, format!("there is no GPU number {adapter_index}")));
    };
    let info = adapter.get_info();
    let features =
        adapter.features() - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS - wgpu::Features::all_experimental_mask();
    let limits = adapter.limits();
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("cupric"),
        required_features: features,
        required_limits: limits.clone(),
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
        memory_hints: wgpu::MemoryHints::Performance,
        trace: wgpu::Trace::Off,
    };
    let (device, queue) = adapter
        .request_device(&descriptor)
        .await
        .map_err(|e| fail(ErrorKind::DeviceNotFound, format!("{} cannot be opened: {e}", info.name)))?;
    let late = Arc::new(Late::default());
    let on_error = late.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        let (kind, detail) = describe(&error);
        on_error.set(kind, detail);
    }));
    let on_loss = late.clone();
    device.set_device_lost_callback(move |_, message| {
        let message = if message.is_empty() { "the device is gone".to_string() } else { message };
        on_loss.set(ErrorKind::DeviceLost, message);
    });
    let (caps, max_binding, max_groups) = caps(info.name, features, &limits, shrink);
    let seconds = std::env::var("CUPRIC_TIMEOUT").ok().and_then(|v| v.trim().parse::<f64>().ok());
    let timeout = seconds.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
    let debug = std::env::var("CUPRIC_DEBUG").unwrap_or_default();
    let batch = Batch::new(&device, &limits);
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let shared = Arc::new(Shared {
        id,
        caps,
        max_groups,
        max_binding,
        offset_alignment: (limits.min_storage_buffer_offset_alignment as u64).max(256),
        device,
        queue,
        pool: Mutex::default(),
        batch: Mutex::new(batch),
        counters: Counters::default(),
        limit: limit.map(|l| l as u64),
        eager: if software { 0 } else { 2 },
        software,
        first_runs: Arc::default(),
        completed: Arc::default(),
        numerics: OnceLock::new(),
        faults: Faults::new(),
        late,
        poller: Mutex::new(()),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        debug_wgsl: debug.split(',').any(|w| w.trim() == "wgsl"),
    });
    if software {
        super::exit::wait_for(&shared);
    }
    Ok(shared)
}

fn describe(error: &wgpu::Error) -> (ErrorKind, String) {
    match error {
        wgpu::Error::OutOfMemory { .. } => (ErrorKind::OutOfMemory, "the device's memory is used up".to_string()),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            (ErrorKind::Internal, description.clone())
        }
    }
}

impl Shared {
    /// Whether the device is still usable.
    pub fn check(&self) -> Result<()> {
        if !self.late.any.load(Relaxed) {
            return Ok(());
        }
        match &*lock(&self.late.error) {
            Some((kind, detail)) => Err(Error::new(*kind, self.caps.name.clone(), detail.clone(), None)),
            None => Ok(()),
        }
    }

    /// Runs something that creates or submits, and turns the errors that it raises into one of ours.
    pub fn scoped<T>(&self, operation: &'static str, f: impl FnOnce() -> T) -> Result<T> {
        use wgpu::ErrorFilter::*;
        let scopes = [OutOfMemory, Validation, Internal].map(|filter| self.device.push_error_scope(filter));
        let (value, mut error) = match self.faults.hit(operation) {
            None => (Some(f()), None),
            Some(kind) => (None, self.raise(kind)),
        };
        for scope in scopes.into_iter().rev() {
            // ready at once on native backends
            error = pollster::block_on(scope.pop()).or(error);
        }
        if error.is_some() {
            self.drain();
        }
        self.check()?;
        let (kind, detail) = match (value, error) {
            (Some(value), None) => return Ok(value),
            (_, Some(e)) => describe(&e),
            (None, None) => (ErrorKind::Internal, "a fault planned by a test".to_string()),
        };
        Err(Error::new(kind, operation, format!("{}: {detail}", self.caps.name), None))
    }

    /// A fault that a test planned: a call that wgpu refuses, the loss of the device, or what wgpu would say.
    #[cold]
    fn raise(&self, kind: ErrorKind) -> Option<wgpu::Error> {
        match kind {
            ErrorKind::OutOfMemory => {
                let source = Box::new(std::io::Error::from(std::io::ErrorKind::OutOfMemory));
                return Some(wgpu::Error::OutOfMemory { source });
            }
            ErrorKind::DeviceLost => self.late.set(kind, "a loss planned by a test".to_string()),
            _ => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
                let (label, mapped_at_creation) = (Some("refused"), false);
                drop(self.device.create_buffer(&wgpu::BufferDescriptor { label, size: 4, usage, mapped_at_creation }));
            }
        }
        None
    }

    /// Makes an error the device's last word: work that was taken for done is lost.
    pub fn fail(&self, error: &Error) {
        self.late.set(error.kind(), error.detail().to_string());
    }

    /// For tests: forgets losses that were only planned.
    pub fn heal(&self) {
        self.late.clear();
    }

    /// Lets the driver clean up and call back, unless another thread is at it.
    pub fn poll_once(&self) {
        match self.poller.try_lock() {
            Ok(_guard) => drop(self.device.poll(wgpu::PollType::Poll)),
            Err(TryLockError::Poisoned(_)) | Err(TryLockError::WouldBlock) => {}
        }
    }

    /// After an error: a lost device makes other errors first, and says that it is lost when its queue is empty.
    pub fn drain(&self) {
        let mut end = Instant::now() + DRAIN;
        while Instant::now() < end && !self.late.any.load(Relaxed) {
            let polled = {
                let _guard = lock(&self.poller);
                self.device.poll(wgpu::PollType::Poll)
            };
            if !polled.is_ok_and(|status| !status.is_queue_empty()) {
                // another thread may be about to say it
                end = end.min(Instant::now() + GRACE);
            }
            std::thread::sleep(LONGEST_NAP);
        }
    }

    /// Polls until `done`, for a moment at most: eagerly at first, then with naps that grow with the time since
    /// `since`. Not by a wait with a time-out, which panics in wgpu 30.0.1 when another thread submits meanwhile.
    pub fn poll_until(&self, since: Instant, mut done: impl FnMut() -> bool) {
        let start = Instant::now();
        loop {
            {
                let _guard = lock(&self.poller);
                let _ = self.device.poll(wgpu::PollType::Poll);
            }
            if done() || start.elapsed() >= SLICE {
                return;
            }
            match since.elapsed() {
                waited if waited < EAGER => std::thread::yield_now(),
                waited => std::thread::sleep((waited / 8).min(LONGEST_NAP)),
            }
        }
    }

    /// Waits until all that was submitted is done, or nothing more comes of it.
    pub fn settle(&self) {
        let submitted = lock(&self.batch).submitted();
        let (clock, since) = (Clock::new(self), Instant::now());
        let done = || self.completed.load(Relaxed) >= submitted;
        while !done() && !clock.expired(self) && self.check().is_ok() {
            self.poll_until(since, done);
        }
    }

    pub fn timed_out(&self, operation: &str) -> Error {
        let detail = format!("{} made no progress for {:?} (CUPRIC_TIMEOUT)", self.caps.name, self.timeout);
        Error::new(ErrorKind::Timeout, operation, detail, None)
    }
}

/// Measures the time without progress.
pub(super) struct Clock {
    since: std::cell::Cell<Instant>,
    seen: std::cell::Cell<u64>,
}

impl Clock {
    pub fn new(shared: &Shared) -> Clock {
        Clock { since: Instant::now().into(), seen: shared.completed.load(Relaxed).into() }
    }

    pub fn expired(&self, shared: &Shared) -> bool {
        let completed = shared.completed.load(Relaxed);
        if completed != self.seen.get() {
            self.seen.set(completed);
            self.since.set(Instant::now());
        }
        // compiling is progress that nobody reports
        let first_runs = shared.first_runs.load(Relaxed).min(u32::MAX as u64) as u32;
        self.since.get().elapsed() > shared.timeout.saturating_add(FIRST_RUN.saturating_mul(first_runs))
    }
}

/// Polls `ready` until it gives a value: each turn waits for the device for a moment at most, so that a runtime's
/// thread is not held, and a blocking caller does not spin.
pub(super) fn wait<T>(
    shared: Arc<Shared>,
    operation: &'static str,
    mut ready: impl FnMut() -> Option<T> + Send,
) -> impl Future<Output = Result<T>> + Send {
    let (clock, since) = (Clock::new(&shared), Instant::now());
    std::future::poll_fn(move |context| {
        use std::task::Poll;
        let mut value = ready();
        if value.is_none() {
            shared.poll_until(since, || {
                value = ready();
                value.is_some()
            });
        }
        if let Some(value) = value {
            return Poll::Ready(Ok(value));
        }
        if let Err(error) = shared.check() {
            return Poll::Ready(Err(error));
        }
        if clock.expired(&shared) {
            return Poll::Ready(Err(shared.timed_out(operation)));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
