//! The registry of devices. This is the only module that knows which backends exist.
//!
//! An expression stores the number of its device, and the registry finds the device with that number. A device ends
//! when the last handle to it and the last buffer on it are dropped; the registry does not keep it alive. The devices
//! of [`Device::cpu`] and [`Device::gpu`] live as long as the process, because opening a GPU takes long.

mod checks;
mod choice;
mod facts;
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
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::platform::Instant;
use crate::cpu::Cpu;
use crate::plan;
#[cfg(feature = "testing")]
use crate::plan::backend::FaultInjector;
use crate::plan::backend::{Backend, Detail, MemoryInfo, Numerics, Pending, Provider, Recording, Shader, Stats, wait};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, LazyLock, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

/// The backend that finds and opens GPUs. Only this constant depends on the feature `gpu`.
#[cfg(feature = "gpu")]
const GPUS: Option<&dyn Provider> = Some(&crate::gpu::Gpus);
#[cfg(not(feature = "gpu"))]
const GPUS: Option<&dyn Provider> = None;

/// A device that holds arrays and runs kernels: the CPU or a GPU.
///
/// ```
/// use cupric::{Device, array};
/// let cpu = Device::cpu();
/// let x = array![1., 2.].to_device(&cpu)?;
/// assert_eq!(x.device(), cpu);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// Cloning returns another handle to the same device. A device made by [`Device::with_memory_limit`] ends, and releases
/// its memory, when the last handle to it and the last array on it are dropped. The devices of [`Device::cpu`] and
/// [`Device::gpu`] live as long as the process.
#[derive(Clone)]
pub struct Device(Arc<dyn Backend>);

/// The message about an expression that outlives its device.
const ENDED: &str = "the device of the expression has ended, because no handle to it and no array on it is left; keep the \
                     Device until the expression is evaluated, or call eval_on with another device";

/// The caller's source line, if it is known.
type At = Option<&'static Location<'static>>;

/// The devices that have not ended, by number, and the last number assigned. A number is never reused, so that an
/// expression of an ended device cannot find another device.
struct Registry {
    devices: HashMap<u32, Weak<dyn Backend>>,
    last: u32,
}

static REGISTRY: LazyLock<RwLock<Registry>> =
    LazyLock::new(|| RwLock::new(Registry { devices: HashMap::new(), last: 0 }));

/// The CPU device that lives as long as the process, as a [`Device`] and as a `Cpu`. Only `Cpu` has a method that takes
/// over memory of the caller.
static CPU: OnceLock<(Device, Arc<Cpu>)> = OnceLock::new();

/// Opens a device, and registers it under the next unused number.
fn register(open: impl FnOnce(u32) -> Result<Arc<dyn Backend>>) -> Result<Device> {
    // the registry is not locked while the device opens, because that may take long and other threads look up devices
    let id = next_number()?;
    Ok(registered(id, open(id)?))
}

/// Opens and registers a device in a browser, where opening is asynchronous.
async fn register_here(open: impl FnOnce(u32) -> Pending<Arc<dyn Backend>>) -> Result<Device> {
    let id = next_number()?;
    Ok(registered(id, open(id).await?))
}

/// Returns the next unused device number.
fn next_number() -> Result<u32> {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    if registry.last == u32::MAX {
        let detail = format!("{} devices have been opened, and no number is left for another", registry.last);
        return Err(Error::with_line(ErrorKind::LimitExceeded, "Device", detail, None));
    }
    registry.last += 1;
    Ok(registry.last)
}

/// Adds an open device to the registry.
fn registered(id: u32, device: Arc<dyn Backend>) -> Device {
    let mut registry = REGISTRY.write().unwrap_or_else(PoisonError::into_inner);
    registry.devices.retain(|_, device| device.strong_count() > 0);
    registry.devices.insert(id, Arc::downgrade(&device));
    Device(device)
}

/// Returns the CPU device that lives as long as the process.
#[inline]
fn cpu() -> &'static (Device, Arc<Cpu>) {
    CPU.get_or_init(|| {
        let mut own = None;
        let open = |id| {
            let cpu = own.insert(Cpu::new(id, None)).clone();
            Ok(cpu as Arc<dyn Backend>)
        };
        // registering the CPU fails only if all numbers are used; the CPU then gets number 0, which no other device has
        let device = register(open);
        let cpu = own.unwrap_or_else(|| Cpu::new(0, None));
        cpu.stay();
        (device.unwrap_or_else(|_| Device(cpu.clone())), cpu)
    })
}

impl Device {
    /// Returns the CPU. Each call returns a handle to the same device, which lives as long as the process.
    pub fn cpu() -> Device {
        cpu().0.clone()
    }

    /// Opens another device on the same hardware with a memory budget in bytes. An allocation beyond the budget returns
    /// an [`ErrorKind::OutOfMemory`] error. Arrays of the new device cannot be combined with arrays of this one. The
    /// new device closes, and returns its memory to the system or the driver, when the last handle to it and the last
    /// array on it are dropped.
    /// Arrays and memory cached for reuse together never exceed the budget, however many threads allocate (see
    /// [`MemoryInfo`]). If an allocation does not fit, cached memory is freed first.
    ///
    /// # Errors
    /// Returns [`ErrorKind::LimitExceeded`] after 2^32 − 1 devices in one process, or the driver's error if the device
    /// cannot be opened again.
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

    /// Returns the device's name: `cpu`, or the name that the driver reports. The name of a device with a limit
    /// contains its number and the limit: `cpu #3 (limit 1 MiB)`.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns whether this is a GPU, including a software driver.
    pub fn is_gpu(&self) -> bool {
        self.0.is_gpu()
    }

    /// Returns whether kernels run on the processor's cores: on the CPU, or through a software GPU driver.
    pub fn is_software(&self) -> bool {
        self.0.is_software()
    }

    /// Returns whether the device can compute with arrays of this dtype. The CPU supports every dtype. A GPU supports
    /// all except f64, which requires an adapter with wgpu's features `SHADER_F64` and `SHADER_INT64`. Without them,
    /// computing in f64 returns an [`ErrorKind::Unsupported`] error.
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

    /// Waits until the device has finished all submitted kernels and copies.
    ///
    /// # Errors
    /// Returns an error if the device is lost, or if it makes no progress for `CUPRIC_TIMEOUT` seconds (default 10), or
    /// longer if much work was submitted.
    /// Also returns the errors that GPU kernels have found since the last read or wait, such as an index out of range.
    #[doc(alias("device_synchronize"))]
    #[track_caller]
    pub fn synchronize(&self) -> Result<()> {
        let at = Location::caller();
        wait("synchronize", "synchronize_async", self.backend().synchronize()).map_err(|e| e.or_at(at))
    }

    /// The asynchronous form of [`Device::synchronize`], for code that must not block. The call itself submits the
    /// recorded commands, and the future completes when the device has finished them. Commands that are enqueued after
    /// the call are not waited for.
    ///
    /// # Errors
    /// Returns the errors of [`Device::synchronize`].
    #[track_caller]
    pub fn synchronize_async(&self) -> impl Future<Output = Result<()>> + Send + use<> {
        let (at, wait) = (Location::caller(), self.backend().synchronize());
        async move { wait.await.map_err(|e| e.or_at(at)) }
    }

    /// Runs `f`, waits for the device, and returns the result of `f` and the time that the device was busy with
    /// kernels. The device's own clock measures the time, which includes kernels of other threads. The time is `None`
    /// on the CPU, on a GPU without timestamp queries, and if another `time_kernels` or [`Device::profile`] of the
    /// device began meanwhile.
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
    /// Returns the error of `f`, or the errors of [`Device::synchronize`].
    #[track_caller]
    pub fn time_kernels<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<(T, Option<Duration>)> {
        let (value, recording, _) = self.recorded("time_kernels", Detail::Busy, f, Location::caller())?;
        Ok((value, recording.busy))
    }

    /// Runs `f` and waits for the device. Returns the result of `f`, a record of what the device ran meanwhile, and the
    /// total time.
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
            wait(operation, "", self.backend().synchronize())?;
            elapsed = begin.elapsed();
            Ok(())
        };
        let recording = self.backend().record(detail, &mut work).map_err(|e| e.or_at(at))?;
        let value =
            value.ok_or_else(|| Error::with_line(ErrorKind::Internal, operation, "nothing was recorded", at))?;
        Ok((value, recording, elapsed))
    }

    /// Returns how many bytes of memory this device has in use now and had in use at the peak, and how many it caches
    /// for reuse.
    #[doc(alias("memory_allocated"))]
    pub fn memory(&self) -> MemoryInfo {
        self.backend().report().1
    }

    /// Returns counters of the device's work since it was opened, such as the number of kernels run.
    pub fn stats(&self) -> Stats {
        self.backend().report().0
    }

    /// Returns cached memory to the system or the driver. On a GPU, also drops cached objects that run plans, such as
    /// bind groups.
    #[doc(alias("empty_cache", "free_all_blocks"))]
    pub fn trim(&self) {
        self.backend().trim();
    }

    /// Returns which properties of IEEE 754 a GPU's arithmetic has, or `None` for the CPU. A small shader measures the
    /// properties when this method is first called, or earlier.
    ///
    /// # Errors
    /// Returns an error if the measurement fails, for example because the device is lost.
    #[track_caller]
    pub fn numerics(&self) -> Result<Option<Numerics>> {
        self.backend().numerics().map_err(|e| e.or_at(Location::caller()))
    }

    /// Returns the shader source of each kernel of a plan. Returns an empty list if the device does not compile kernels
    /// from shader source.
    pub(crate) fn shaders(&self, plan: &crate::plan::kernel::ExecutionPlan) -> Vec<String> {
        let text = |shader: Result<Shader>| shader.map_or_else(|e| format!("// {e}"), |shader| shader.text);
        self.backend().shaders(plan).into_iter().map(text).collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.0
    }

    /// Returns the device with the number that an expression stores. Number 0 means an expression without arrays, which
    /// uses the device of the current [`Device::scope`], or the CPU outside of every scope. The CPU also replaces a
    /// device that has ended, which only an expression without arrays can outlive. An evaluation calls
    /// [`Device::running`] instead, which returns an error then.
    pub(crate) fn of(id: u32) -> Device {
        Device::with(id, Device::clone)
    }

    /// Calls a function with the device that [`Device::of`] finds for a number. The handle of the process's CPU is not
    /// cloned, which saves small evaluations an atomic increment.
    #[inline]
    pub(crate) fn with<T>(id: u32, f: impl FnOnce(&Device) -> T) -> T {
        let (cpu, own) = cpu();
        if id == own.id() { f(cpu) } else { Device::with_other(cpu, id, f) }
    }

    /// The rest of [`Device::with`], for a number that is not the number of the process's CPU. Number 0 means no
    /// device.
    #[inline(never)]
    fn with_other<T>(cpu: &Device, id: u32, f: impl FnOnce(&Device) -> T) -> T {
        if id == 0 {
            return scope::with_current(cpu, f);
        }
        f(&Device::alive(id).unwrap_or_else(|| cpu.clone()))
    }

    /// Returns the device with a number, or `None` if it has ended.
    fn alive(id: u32) -> Option<Device> {
        // the lock is released before the caller uses the device, because it may register a device itself
        REGISTRY.read().unwrap_or_else(PoisonError::into_inner).devices.get(&id).and_then(Weak::upgrade).map(Device)
    }

    /// Evaluates an expression on the device whose number it stores, as [`Device::with`] does. Returns an error if the
    /// device has ended. `op` is the operation that the error names.
    #[inline]
    pub(crate) fn running<T>(id: u32, op: &str, at: Loc, run: impl FnOnce(&Device) -> Result<T>) -> Result<T> {
        let (cpu, own) = cpu();
        if id == own.id() { run(cpu) } else { Device::running_other(cpu, id, (op, at), run) }
    }

    /// The rest of [`Device::running`], for a number that is not the number of the process's CPU.
    #[inline(never)]
    fn running_other<T>(
        cpu: &Device,
        id: u32,
        (op, at): (&str, Loc),
        run: impl FnOnce(&Device) -> Result<T>,
    ) -> Result<T> {
        if id == 0 {
            return scope::with_current(cpu, run);
        }
        match Device::alive(id) {
            Some(device) => run(&device),
            None => Err(Error::with_line(ErrorKind::DeviceNotFound, op, ENDED, at)),
        }
    }

    /// Returns the device of the thread's current [`Device::scope`], or `None` outside of every scope.
    pub(crate) fn of_scope() -> Option<Device> {
        scope::current()
    }

    /// Makes a CPU buffer from a vector, without copying its elements.
    pub(crate) fn adopt<T: crate::base::dtype::Element>(elements: Vec<T>) -> Buffer {
        cpu().1.adopt(elements)
    }
}

/// Methods for tests only.
#[cfg(feature = "testing")]
impl Device {
    /// Opens a CPU device that plans its kernels for the given capabilities.
    pub(crate) fn cpu_within(caps: &crate::plan::kernel::Caps) -> Result<Device> {
        register(|id| Ok(Cpu::with(id, caps.clone(), None)))
    }

    /// Opens another device on the same hardware, with limits so low that even small arrays are split into parts.
    pub(crate) fn shrunk(&self, limits: Shrink) -> Result<Device> {
        register(|id| self.0.test_doors().shrunk(id, limits))
    }

    /// Returns the faults that tests make the device report.
    pub(crate) fn faults(&self) -> &FaultInjector {
        self.0.test_doors().faults()
    }

    /// Returns how many shaders the device has parsed, or `None` if it does not store shaders on disk.
    pub(crate) fn parsed(&self) -> Option<u64> {
        self.0.test_doors().parsed()
    }

    /// Makes the device usable again after a test has simulated its loss, and trims its memory.
    pub(crate) fn heal(&self) {
        self.0.test_doors().heal();
    }

    /// Closes the connection to a GPU permanently, as a driver reset would.
    pub(crate) fn destroy(&self) {
        self.0.test_doors().destroy();
    }

    /// Returns the number of devices that have not ended.
    pub(crate) fn living() -> usize {
        let registry = REGISTRY.read().unwrap_or_else(PoisonError::into_inner);
        registry.devices.values().filter(|device| device.strong_count() > 0).count()
    }

    /// Returns the shader of each kernel of a plan, for a GPU with these capabilities, which this machine need not
    /// have. Returns an empty list in a build without GPUs.
    pub(crate) fn shaders_of_a_gpu(
        plan: &crate::plan::kernel::ExecutionPlan,
        caps: &crate::plan::kernel::Caps,
    ) -> Result<Vec<Shader>> {
        GPUS.map_or(Ok(vec![]), |gpus| gpus.shaders(plan, caps).into_iter().collect())
    }

    /// Returns the backend that opens GPUs and knows GPUs that this machine need not have, or `None` in a build without
    /// GPUs.
    pub(crate) fn gpu_provider() -> Option<&'static dyn Provider> {
        GPUS
    }

    /// Returns whether GPUs have a shader for a routine; true in a build without GPUs.
    pub(crate) fn gpus_have_routine(row: &crate::graph::routine::Routine) -> bool {
        GPUS.is_none_or(|gpus| gpus.has_routine(row))
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
