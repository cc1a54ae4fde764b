//! The registry of devices, and the only place that knows which backends there are.
//!
//! An expression carries the number of its device, and the registry finds the device of a number. A device lives as long as a
//! handle on it or a buffer of it; the registry does not keep it alive. The devices of [`Device::cpu`] and [`Device::gpu`]
//! stay for the process, because opening a GPU takes long and its compiled kernels would be lost (`array/device/opening.rs`).

mod checks;
mod facts;
#[cfg(any(feature = "ndarray", feature = "serde", feature = "dlpack", feature = "mmap"))]
mod host;
#[cfg(all(feature = "gpu", feature = "wgpu"))]
mod native;
mod opening;
mod scope;

pub use facts::Limits;

use crate::base::buffer::Buffer;
#[cfg(feature = "testing")]
use crate::base::caps::Shrink;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::cpu::Cpu;
use crate::plan;
#[cfg(feature = "testing")]
use crate::plan::backend::FaultInjector;
use crate::plan::backend::{Backend, Detail, MemoryInfo, Numerics, Provider, Recording, Stats, wait};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

/// Finds and opens GPUs. Only this constant depends on the feature `gpu`.
#[cfg(feature = "gpu")]
const GPUS: Option<&dyn Provider> = Some(&crate::gpu::Gpus);
#[cfg(not(feature = "gpu"))]
const GPUS: Option<&dyn Provider> = None;

/// Where arrays live and kernels run: the CPU, or a GPU.
///
/// ```
/// use cupric::{Device, array};
/// let cpu = Device::cpu();
/// let x = array![1., 2.].to_device(&cpu)?;
/// assert_eq!(x.device(), cpu);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// Cloning gives another handle on the same device. A device that [`Device::with_memory_limit`] made ends, and gives its
/// memory back, with the last handle on it and the last array of it; the others stay for the process.
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

/// The caller's line, where it is known.
type At = Option<&'static Location<'static>>;

/// The living devices by number, and the last number given out. No number is given out twice: else an expression of a device
/// that has ended would find another device.
struct Registry {
    devices: HashMap<u32, Weak<dyn Backend>>,
    last: u32,
}

static REGISTRY: LazyLock<RwLock<Registry>> =
    LazyLock::new(|| RwLock::new(Registry { devices: HashMap::new(), last: 0 }));

/// The CPU that stays for the process, as a device and as the type `Cpu`: only the latter can take over memory of the caller.
static CPU: OnceLock<(Device, Arc<Cpu>)> = OnceLock::new();

/// Opens a device under the next number.
fn register(open: impl FnOnce(u32) -> Result<Arc<dyn Backend>>) -> Result<Device> {
    let id = {
        let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
        if registry.last == u32::MAX {
            let detail = format!("{} devices have been opened, and no number is left for another", registry.last);
            return Err(Error::with_line(ErrorKind::LimitExceeded, "Device", detail, None));
        }
        registry.last += 1;
        registry.last
    };
    // the registry is not locked here, because opening may take long and other threads look up their devices meanwhile
    let device = open(id)?;
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.devices.retain(|_, device| device.strong_count() > 0);
    registry.devices.insert(id, Arc::downgrade(&device));
    Ok(Device(device))
}

/// The CPU that stays for the process.
fn cpu() -> &'static (Device, Arc<Cpu>) {
    CPU.get_or_init(|| {
        let mut own = None;
        let open = |id| {
            let cpu = own.insert(Cpu::new(id, None)).clone();
            Ok(cpu as Arc<dyn Backend>)
        };
        // opening the CPU fails only if all numbers are used up; it then gets 0, which no other device has
        let device = register(open);
        let cpu = own.unwrap_or_else(|| Cpu::new(0, None));
        cpu.stay();
        (device.unwrap_or_else(|_| Device(cpu.clone())), cpu)
    })
}

impl Device {
    /// The CPU.
    pub fn cpu() -> Device {
        cpu().0.clone()
    }

    /// The first GPU of [`Device::gpus`]: a hardware one if there is one, else a software driver.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotFound`] where there is none; those of the driver, if the GPU cannot be opened.
    #[track_caller]
    pub fn gpu() -> Result<Device> {
        Device::gpu_at(0, Some(Location::caller()))
    }

    /// As [`Device::gpu`], for code that must not block. If the GPU is not open yet, the first poll starts a thread that opens it,
    /// and the future is woken when that has ended. The device stays for the process even if the future is dropped meanwhile.
    ///
    /// # Errors
    /// As [`Device::gpu`].
    #[track_caller]
    pub fn gpu_async() -> impl Future<Output = Result<Device>> + Send {
        let at = Location::caller();
        async move {
            let gpus = Device::provider().map_err(|e| e.or_at(at))?;
            opening::open_async(gpus, 0).await.map_err(|e| e.or_at(at))
        }
    }

    /// All GPUs, hardware first, software drivers after them. One that cannot be opened is left out.
    pub fn gpus() -> Vec<Device> {
        let count = GPUS.map_or(0, Provider::count);
        (0..count).filter_map(|i| Device::gpu_at(i, None).ok()).collect()
    }

    /// A hardware GPU if there is one, else the CPU. The environment variable `CUPRIC_DEVICE=cpu|gpu|gpu:N`
    /// decides instead where it is set (`best` is as if it were not).
    ///
    /// # Errors
    /// [`ErrorKind::DeviceNotFound`] if `CUPRIC_DEVICE` names a device that is not there; those of opening that device.
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
        // adapters are sorted, hardware first, so if the first is a software driver all are
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
                None => Err(Error::with_line(
                    ErrorKind::DeviceNotFound,
                    op,
                    format!("unknown device '{name}'; known are cpu, gpu, gpu:N and best"),
                    at,
                )),
            },
        }
    }

    /// The device of the GPU with this index, opened at the first call and kept for the process.
    fn gpu_at(index: usize, at: At) -> Result<Device> {
        Device::provider().and_then(|gpus| opening::open(gpus, index)).map_err(|e| e.or_at(at))
    }

    /// What opens GPUs, where they can be used at all.
    fn provider() -> Result<&'static dyn Provider> {
        let Some(gpus) = GPUS else {
            let detail = "cupric was built without its feature `gpu`";
            return Err(Error::with_line(ErrorKind::DeviceNotFound, "Device::gpu", detail, None));
        };
        gpus.check()?;
        Ok(gpus)
    }

    /// Another device on the same hardware, with a budget of bytes; an allocation beyond it is an
    /// [`ErrorKind::OutOfMemory`] error. Arrays of the two devices do not mix. The device ends, and its memory goes back
    /// to the system or the driver, with the last handle on it and the last array of it.
    ///
    /// What arrays use and what is cached for reuse never pass the budget together, from any number of threads: cached
    /// memory is freed first, on a GPU with a wait until it is. [`MemoryInfo`] says what counts.
    ///
    /// # Errors
    /// Those of opening the device anew; [`ErrorKind::LimitExceeded`] after 2^32 − 1 devices in one process.
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
        register(|id| self.0.with_limit(id, bytes)).map_err(|e| e.or_at(Location::caller()))
    }

    /// The device's name: `cpu`, or what the driver calls it. One with a limit has its number and the limit in its name:
    /// `cpu #3 (limit 1 MiB)`.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Whether this is a GPU (a software driver counts).
    pub fn is_gpu(&self) -> bool {
        self.0.is_gpu()
    }

    /// Whether the work runs on the processor's cores: the CPU, or a software GPU driver.
    pub fn is_software(&self) -> bool {
        self.0.is_software()
    }

    /// Whether arrays of this dtype can be computed with on the device. The CPU has every dtype; a GPU has all but f64, and f64 if
    /// its adapter does (wgpu's `SHADER_F64` and `SHADER_INT64`). Where it does not, what would compute in f64 is an
    /// [`ErrorKind::Unsupported`] error that names what is missing.
    ///
    /// ```
    /// use cupric::{DType, Device, ones};
    /// let device = Device::best()?;
    /// let wide = if device.supports(DType::F64) { DType::F64 } else { DType::F32 };
    /// let x = ones([3], wide).to_device(&device)?;
    /// assert_eq!(x.exp().sum(..).dtype()?, wide);
    /// assert!(Device::cpu().supports(DType::F64));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("supported_dtypes", "has_fp64"))]
    pub fn supports(&self, dtype: DType) -> bool {
        plan::lacking_type(dtype.compute(), self.0.caps()).is_none()
    }

    /// Waits until all work on the device is done.
    ///
    /// # Errors
    /// An index out of range, or a refused value, that a kernel of a GPU met since the last read or wait; the loss of the
    /// device; no progress for `CUPRIC_TIMEOUT` seconds (10).
    #[doc(alias("device_synchronize"))]
    #[track_caller]
    pub fn synchronize(&self) -> Result<()> {
        let at = Location::caller();
        wait(self.backend().synchronize()).map_err(|e| e.or_at(at))
    }

    /// As [`Device::synchronize`], for code that must not block: the call itself submits the work that is recorded, and the future
    /// is woken when the device has done it. What is enqueued after the call is not waited for.
    ///
    /// # Errors
    /// As [`Device::synchronize`].
    #[track_caller]
    pub fn synchronize_async(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (at, wait) = (Location::caller(), self.backend().synchronize());
        async move { wait.await.map_err(|e| e.or_at(at)) }
    }

    /// Runs `f` and waits for the device; returns the result of `f`, and how long the device was busy, by its own clock, with
    /// the kernels that any thread enqueued meanwhile. The time is `None` on the CPU, on a GPU without timestamps, and if another
    /// `time_kernels` or [`Device::profile`] of the device began meanwhile.
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
        let (value, recording, _) = self.recorded("time_kernels", Detail::Busy, f, Location::caller())?;
        Ok((value, recording.busy))
    }

    /// Runs `f` and waits for the device; returns the result of `f`, what the device ran meanwhile, and how long it all took.
    pub(crate) fn recorded<T>(
        &self,
        operation: &'static str,
        detail: Detail,
        f: impl FnOnce() -> Result<T>,
        at: &'static Location<'static>,
    ) -> Result<(T, Recording, Duration)> {
        let (mut f, mut value, mut elapsed) = (Some(f), None, Duration::ZERO);
        let begin = Instant::now();
        let mut work = || {
            value = f.take().map(|f| f()).transpose()?;
            wait(self.backend().synchronize())?;
            elapsed = begin.elapsed();
            Ok(())
        };
        let recording = self.backend().record(detail, &mut work).map_err(|e| e.or_at(at))?;
        let value =
            value.ok_or_else(|| Error::with_line(ErrorKind::Internal, operation, "nothing was recorded", at))?;
        Ok((value, recording, elapsed))
    }

    /// Bytes in use, cached, and at the peak.
    #[doc(alias("memory_allocated"))]
    pub fn memory(&self) -> MemoryInfo {
        self.backend().report().1
    }

    /// Counters since the device was opened.
    pub fn stats(&self) -> Stats {
        self.backend().report().0
    }

    /// Returns cached memory to the system or the driver; a GPU also forgets what it has prepared for plans.
    #[doc(alias("empty_cache", "free_all_blocks"))]
    pub fn trim(&self) {
        self.backend().trim();
    }

    /// What a GPU's own arithmetic keeps of IEEE 754, found out by a small shader at the first call or before; `None` for the
    /// CPU.
    ///
    /// # Errors
    /// Those of the device.
    #[track_caller]
    pub fn numerics(&self) -> Result<Option<Numerics>> {
        self.backend().numerics().map_err(|e| e.or_at(Location::caller()))
    }

    /// The text of each kernel of a plan; empty if the device's kernels are not compiled from text.
    pub(crate) fn shaders(&self, plan: &crate::plan::kernel::Plan) -> Vec<String> {
        let text = |shader: Result<String>| shader.unwrap_or_else(|e| format!("// {e}"));
        self.backend().shaders(plan).into_iter().map(text).collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    /// The device of a number that an expression carries; of 0, which one without arrays carries, that of [`Device::scope`], else the CPU. The expression's buffers keep the device alive; an expression that
    /// was folded to a constant has none, and runs on the CPU if its device has ended, as constants without a device do.
    pub(crate) fn of(id: u32) -> Device {
        Device::with(id, Device::clone)
    }

    /// Calls a function with the device of a number, as [`Device::of`] finds it. The CPU of the process is lent without cloning
    /// its handle, since it never ends; that saves small evaluations an atomic count.
    pub(crate) fn with<T>(id: u32, f: impl FnOnce(&Device) -> T) -> T {
        let (cpu, own) = cpu();
        if id == own.id() {
            return f(cpu);
        }
        if id == 0 {
            return scope::with_current(cpu, f);
        }
        // the lock is released before the function runs, which may register a device itself
        let found = REGISTRY.read().unwrap_or_else(PoisonError::into_inner).devices.get(&id).and_then(Weak::upgrade);
        f(&found.map_or_else(|| cpu.clone(), Device))
    }

    /// Makes a buffer of the CPU of elements, without a copy.
    pub(crate) fn adopt<T: crate::base::dtype::Element>(elements: Vec<T>) -> Buffer {
        cpu().1.adopt(elements)
    }
}

/// Methods for tests only.
#[cfg(feature = "testing")]
impl Device {
    /// Opens a CPU whose planner keeps to the given capabilities.
    pub(crate) fn cpu_within(caps: &crate::plan::kernel::Caps) -> Result<Device> {
        register(|id| Ok(Cpu::with(id, caps.clone(), None)))
    }

    /// Opens another device on the same hardware, with limits so tight that small arrays are cut as large ones are.
    pub(crate) fn shrunk(&self, limits: Shrink) -> Result<Device> {
        register(|id| self.0.test_doors().shrunk(id, limits))
    }

    /// The faults that tests plan for the device.
    pub(crate) fn faults(&self) -> &FaultInjector {
        self.0.test_doors().faults()
    }

    /// How many shaders the device has parsed, where it keeps them on disk.
    pub(crate) fn parsed(&self) -> Option<u64> {
        self.0.test_doors().parsed()
    }

    /// Forgets a loss of the device that a test caused, and trims its memory.
    pub(crate) fn heal(&self) {
        self.0.test_doors().heal();
    }

    /// Ends a GPU's connection for good, as when a driver resets it.
    pub(crate) fn destroy(&self) {
        self.0.test_doors().destroy();
    }

    /// The number of devices that have not ended.
    pub(crate) fn living() -> usize {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        registry.devices.values().filter(|device| device.strong_count() > 0).count()
    }

    /// The text of each kernel of a plan for a GPU with these capabilities, which need not exist here; no texts in a build
    /// without GPUs.
    pub(crate) fn shaders_of_a_gpu(
        plan: &crate::plan::kernel::Plan,
        caps: &crate::plan::kernel::Caps,
    ) -> Result<Vec<String>> {
        GPUS.map_or(Ok(vec![]), |gpus| gpus.shaders(plan, caps).into_iter().collect())
    }

    /// Whether GPUs have a shader for a routine; true in a build without GPUs.
    pub(crate) fn gpus_have_routine(row: &crate::graph::routine::Routine) -> bool {
        GPUS.is_none_or(|gpus| gpus.has_routine(row))
    }
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`, `gpu`, `gpu:N` or `best`.
    fn from_str(name: &str) -> Result<Device> {
        // the error has no line, because `str::parse`, which calls this, does not pass its caller's on
        Device::named(name, "Device", None)
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}: {})", self.id(), self.name())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
