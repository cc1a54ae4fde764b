//! Floor 7: the registry of devices, and the only place that knows which backends there are.

use crate::backend::{Backend, Faults, MemoryInfo, Stats};
use crate::buffer::Buffer;
use crate::cpu::Cpu;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "gpu")]
use crate::gpu::Gpu;
use std::fmt;
use std::panic::Location;
use std::str::FromStr;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

/// Where arrays live and kernels run: the CPU, or a GPU.
///
/// ```
/// use cupric::{Device, array};
/// let cpu = Device::cpu();
/// let x = array![1., 2.].to_device(&cpu)?;
/// assert_eq!(x.device(), cpu);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    id: u32,
    name: String,
    gpu: bool,
    software: bool,
    engine: Engine,
    /// The adapter that a GPU was opened from.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    adapter: usize,
}

enum Engine {
    Cpu(Cpu),
    #[cfg(feature = "gpu")]
    Gpu(Gpu),
}

/// The caller's line, where it is known.
type At = Option<&'static Location<'static>>;

/// All devices ever opened; a device's id is its place + 1. They live as long as the process, so that an array's
/// device can always be found.
static DEVICES: RwLock<Vec<Device>> = RwLock::new(Vec::new());
static CPU: OnceLock<Device> = OnceLock::new();

/// Opens a device under the next number.
fn register(make: impl FnOnce(u32) -> Result<Inner>) -> Result<Device> {
    let mut devices = DEVICES.write().unwrap_or_else(|e| e.into_inner());
    let device = Device(Arc::new(make(devices.len() as u32 + 1)?));
    devices.push(device.clone());
    Ok(device)
}

fn open_cpu(limit: Option<usize>) -> Device {
    let open = |id| {
        Ok(Inner {
            id,
            name: "cpu".into(),
            gpu: false,
            software: true,
            engine: Engine::Cpu(Cpu::new(id, limit)),
            adapter: 0,
        })
    };
    // opening the CPU cannot fail
    register(open).unwrap_or_else(|_| Device::cpu())
}

/// For tests: a device whose limits are tight, so that small arrays need windows, split reductions and small kernels.
pub(crate) fn shrunk_cpu() -> Result<Device> {
    register(|id| {
        let engine = Engine::Cpu(Cpu::shrunk(id));
        Ok(Inner { id, name: "shrunk cpu".into(), gpu: false, software: true, engine, adapter: 0 })
    })
}

/// The same on the first GPU.
#[cfg(feature = "gpu")]
pub(crate) fn shrunk_gpu(max_binding: u64, max_groups: u32) -> Result<Device> {
    let first = Device::gpu()?;
    register(|id| {
        let gpu = Gpu::open_shrunk(id, first.0.adapter, None, crate::gpu::Shrink { max_binding, max_groups })?;
        let name = format!("shrunk {}", first.0.name);
        Ok(Inner {
            id,
            name,
            gpu: true,
            software: first.0.software,
            engine: Engine::Gpu(gpu),
            adapter: first.0.adapter,
        })
    })
}

impl Device {
    /// The CPU.
    pub fn cpu() -> Device {
        CPU.get_or_init(|| open_cpu(None)).clone()
    }

    /// The first GPU of [`Device::gpus`]: a hardware one if there is one, else a software driver.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotFound`] where there is none.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        Device::gpu_at(0, Some(Location::caller()))
    }

    /// As [`Device::gpu`], for code that must not block.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotFound`] where there is none.
    #[track_caller]
    pub fn gpu_async() -> impl Future<Output = Result<Device>> + Send {
        let at = Location::caller();
        async move { Device::gpu_at(0, Some(at)) }
    }

    /// All GPUs, hardware first, software drivers after them. One that cannot be opened is left out.
    pub fn gpus() -> Vec<Device> {
        (0..gpu_count()).filter_map(|i| Device::gpu_at(i, None).ok()).collect()
    }

    /// A hardware GPU if there is one, else the CPU. The environment variable `CUPRIC_DEVICE=cpu|gpu|gpu:N`
    /// decides instead where it is set.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotFound`] if `CUPRIC_DEVICE` names a device that is not there.
    #[track_caller]
    pub fn best() -> Result<Device> {
        let at = Location::caller();
        match std::env::var("CUPRIC_DEVICE") {
            Ok(name) if name == "best" => Ok(Device::hardware()),
            Ok(name) if !name.is_empty() => Device::named(&name, "Device::best (CUPRIC_DEVICE)", Some(at)),
            _ => Ok(Device::hardware()),
        }
    }

    fn hardware() -> Device {
        // adapters are sorted, so only the first can be a hardware one
        match Device::gpu_at(0, None) {
            Ok(d) if mutant!(software_counts_as_hardware, true, !d.is_software()) => d,
            _ => Device::cpu(),
        }
    }

    fn named(name: &str, op: &str, at: At) -> Result<Device> {
        match name {
            "cpu" => Ok(Device::cpu()),
            "gpu" => Device::gpu_at(0, at),
            "best" => Device::best(),
            _ => match name.strip_prefix("gpu:").and_then(|n| n.parse().ok()) {
                Some(n) => Device::gpu_at(mutant!(gpu_of_any_number, n * 0, n), at),
                None => Err(Error::new(
                    ErrorKind::DeviceNotFound,
                    op,
                    format!("unknown device '{name}'; known are cpu, gpu, gpu:N and best"),
                    at,
                )),
            },
        }
    }

    #[cfg(feature = "gpu")]
    fn gpu_at(index: usize, at: At) -> Result<Device> {
        use std::collections::HashMap;
        use std::sync::Mutex;
        if crate::gpu::is_inherited() {
            let fault = crate::gpu::inherited_fault();
            return Err(Error::new(fault.kind, "Device::gpu", fault.detail, at));
        }
        // one device per adapter; the lock makes two threads open it once
        static OPEN: Mutex<Option<HashMap<usize, Device>>> = Mutex::new(None);
        let mut open = OPEN.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(d) = open.get_or_insert_default().get(&index) {
            return Ok(d.clone());
        }
        let device = open_gpu(index, None).map_err(|e| match at {
            Some(at) => e.or_at(at),
            None => e,
        })?;
        open.get_or_insert_default().insert(index, device.clone());
        Ok(device)
    }

    #[cfg(not(feature = "gpu"))]
    fn gpu_at(_: usize, at: At) -> Result<Device> {
        Err(Error::new(ErrorKind::DeviceNotFound, "Device::gpu", "cupric was built without its feature `gpu`", at))
    }

    /// Another device on the same hardware, with a budget of bytes; a breach is an
    /// [`ErrorKind::OutOfMemory`] error. Arrays of the two devices do not mix.
    ///
    /// What arrays use and what is cached for reuse never pass the budget together, from any number of threads: cached
    /// memory is freed first, on a GPU with a wait until it is. [`MemoryInfo`] says what counts.
    ///
    /// # Errors
    /// What opening the device gives.
    ///
    /// ```
    /// use cupric::{DType, Device, ErrorKind, zeros};
    /// let small = Device::cpu().with_memory_limit(1 << 20)?;
    /// let e = zeros([1 << 20], DType::F32).to_device(&small).unwrap_err();
    /// assert_eq!(e.kind(), ErrorKind::OutOfMemory);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn with_memory_limit(&self, bytes: usize) -> Result<Device> {
        match &self.0.engine {
            Engine::Cpu(_) => Ok(open_cpu(Some(bytes))),
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => open_gpu(self.0.adapter, Some(bytes)).map_err(|e| e.or_at(Location::caller())),
        }
    }

    /// The device's name: `cpu`, or what the driver calls it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether this is a GPU (a software driver counts).
    pub fn is_gpu(&self) -> bool {
        self.0.gpu
    }

    /// Whether the work runs on the processor's cores: the CPU, or a software GPU driver.
    pub fn is_software(&self) -> bool {
        self.0.software
    }

    /// Waits until all work on the device is done.
    ///
    /// # Errors
    /// An error that a kernel found late; the loss of the device; no progress for `CUPRIC_TIMEOUT` seconds (10).
    #[track_caller]
    pub fn synchronize(&self) -> Result<()> {
        let at = Location::caller();
        pollster::block_on(self.backend().synchronize()).map_err(|e| e.or_at(at))
    }

    /// As [`Device::synchronize`], for code that must not block.
    ///
    /// # Errors
    /// As [`Device::synchronize`].
    #[track_caller]
    pub fn synchronize_async(&self) -> impl Future<Output = Result<()>> + Send {
        let (at, wait) = (Location::caller(), self.backend().synchronize());
        async move { wait.await.map_err(|e| e.or_at(at)) }
    }

    /// Runs `f` and waits for its end; gives its result, and how long the device was at the kernels enqueued meanwhile
    /// (by any thread), by its own clock. No time on the CPU, on a GPU without timestamps, and where timings overlap
    /// or more than 512 batches ran.
    ///
    /// ```
    /// use cupric::{DType, Device, ones};
    /// let device = Device::best()?;
    /// let x = ones([1000], DType::F32).to_device(&device)?;
    /// let (y, time) = device.time_kernels(|| x.exp().eval())?;
    /// assert_eq!(y.shape(), [1000]);
    /// assert!(device.is_gpu() || time.is_none());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// That of `f`, and those of [`Device::synchronize`].
    #[track_caller]
    pub fn time_kernels<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<(T, Option<Duration>)> {
        let at = Location::caller();
        let timed = match &self.0.engine {
            Engine::Cpu(_) => f().map(|value| (value, None)),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.timed(f),
        };
        let timed = timed.map_err(|e| e.or_at(at))?;
        self.synchronize().map(|()| timed)
    }

    /// Bytes in use, cached, and at the peak.
    pub fn memory(&self) -> MemoryInfo {
        self.backend().report().1
    }

    /// Counters since the device was opened.
    pub fn stats(&self) -> Stats {
        self.backend().report().0
    }

    /// Returns cached memory to the system.
    pub fn trim(&self) {
        self.backend().trim();
    }

    /// What a GPU's own arithmetic keeps of IEEE 754, found out by a small shader at the first call; `None` for the CPU.
    ///
    /// # Errors
    /// Those of the device.
    #[cfg(feature = "gpu")]
    #[track_caller]
    pub fn numerics(&self) -> Result<Option<crate::gpu::Numerics>> {
        match &self.0.engine {
            Engine::Cpu(_) => Ok(None),
            Engine::Gpu(g) => g.numerics().map(Some).map_err(|e| e.or_at(Location::caller())),
        }
    }

    /// The WGSL text of each kernel of a plan; nothing on the CPU.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn wgsl(&self, plan: &crate::kernel::Plan) -> Vec<String> {
        match &self.0.engine {
            Engine::Cpu(_) => vec![],
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => {
                let text = |k| crate::gpu::preview(k).unwrap_or_else(|e| format!("// {e}"));
                plan.kernels.iter().map(text).collect()
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        match &self.0.engine {
            Engine::Cpu(c) => c,
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g,
        }
    }

    /// Faults that tests plan.
    pub(crate) fn faults(&self) -> &Faults {
        match &self.0.engine {
            Engine::Cpu(c) => c.faults(),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.faults(),
        }
    }

    /// For tests: as good as new but for its pipelines.
    pub(crate) fn heal(&self) {
        match &self.0.engine {
            Engine::Cpu(_) => self.trim(),
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.heal(),
        }
    }

    /// For tests: a GPU's driver and its version.
    pub(crate) fn driver(&self) -> Option<String> {
        match &self.0.engine {
            Engine::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => Some(g.driver()),
        }
    }

    /// For tests: a GPU's connection ends, as when a driver resets it.
    pub(crate) fn destroy(&self) {
        match &self.0.engine {
            Engine::Cpu(_) => {}
            #[cfg(feature = "gpu")]
            Engine::Gpu(g) => g.destroy(),
        }
    }

    /// The device of an id that a buffer carries.
    pub(crate) fn of(id: u32) -> Device {
        match CPU.get() {
            Some(cpu) if id == 0 || id == cpu.0.id => return cpu.clone(),
            None if id == 0 => return Device::cpu(),
            _ => {}
        }
        let devices = DEVICES.read().unwrap_or_else(|e| e.into_inner());
        match devices.get(id as usize - 1) {
            Some(d) => d.clone(),
            None => {
                drop(devices);
                Device::cpu()
            }
        }
    }

    /// Memory that the caller holds becomes a buffer of the CPU, without a copy.
    pub(crate) fn adopt<T: crate::dtype::Element>(elements: Vec<T>) -> Buffer {
        match &Device::cpu().0.engine {
            Engine::Cpu(c) => c.adopt(elements),
            #[cfg(feature = "gpu")]
            Engine::Gpu(_) => unreachable_cpu(),
        }
    }
}

#[cfg(feature = "gpu")]
fn unreachable_cpu() -> Buffer {
    Cpu::new(0, None).adopt(Vec::<u8>::new())
}

#[cfg(feature = "gpu")]
fn gpu_count() -> usize {
    Gpu::adapters().len()
}

#[cfg(not(feature = "gpu"))]
fn gpu_count() -> usize {
    0
}

#[cfg(feature = "gpu")]
fn open_gpu(index: usize, limit: Option<usize>) -> Result<Device> {
    if crate::gpu::is_inherited() {
        let fault = crate::gpu::inherited_fault();
        return Err(Error::new(fault.kind, "Device::gpu", fault.detail, None));
    }
    let adapters = Gpu::adapters();
    let Some(info) = adapters.get(index) else {
        let detail = match adapters.len() {
            0 => "no GPU was found (no Vulkan, Metal or DX12 driver answered)".to_string(),
            n => format!(
                "gpu:{index} is not there; {n} found: {}",
                adapters.iter().map(|a| &a.name[..]).collect::<Vec<_>>().join(", ")
            ),
        };
        return Err(Error::new(ErrorKind::DeviceNotFound, "Device::gpu", detail, None));
    };
    register(|id| {
        let gpu = Gpu::open(id, index, limit)?;
        Ok(Inner {
            id,
            name: info.name.clone(),
            gpu: true,
            software: !info.hardware,
            engine: Engine::Gpu(gpu),
            adapter: index,
        })
    })
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`, `gpu`, `gpu:N` or `best`.
    fn from_str(name: &str) -> Result<Device> {
        // `parse` hides the caller's line
        Device::named(name, "Device", None)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}: {})", self.0.id, self.0.name)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}
