//! Lists the GPUs that the drivers offer (wgpu calls them adapters; software drivers are among them), opens one, and says
//! what it can do: as `Caps` for the planner, as `DispatchLimits` for the recording of dispatches.

use crate::base::caps::tiles::Tiles;
use crate::base::caps::{Cooperative, MOST_HELD, Shrink};
use crate::base::error::{Error, ErrorKind, Fault, Result};
use crate::plan::kernel::{Caps, Rates};
#[cfg(feature = "wgpu")]
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Holds the limits that the recording of dispatches keeps. The planner does not know them; it keeps those in [`Caps`].
#[derive(Clone, Copy)]
pub(super) struct DispatchLimits {
    /// The most workgroups along one of a grid's three dimensions.
    pub max_groups: u32,
    /// Each storage binding starts at a multiple of so many bytes, at or before its operand's first element. The planner
    /// leaves room for that: it lets operands span less than a binding (`most_bytes` in `plan/planner.rs`).
    pub storage_alignment: u64,
    /// The parameters of each dispatch start at a multiple of so many bytes of their uniform buffer.
    pub uniform_alignment: usize,
}

/// Holds what opening an adapter gives: wgpu's device and queue, and what they can do.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub limits: DispatchLimits,
    /// Whether the driver computes on the CPU.
    pub software: bool,
    /// The bytes of the adapter's own memory, where its driver tells them.
    pub memory: Option<u64>,
}

/// An adapter that a program has lent, and what the device on it was opened with.
#[cfg(feature = "wgpu")]
pub(super) struct Lent {
    pub adapter: wgpu::Adapter,
    pub features: wgpu::Features,
    pub limits: wgpu::Limits,
}

/// Where a device's adapter is from.
#[derive(Clone)]
pub(super) enum Origin {
    /// The adapter of this number in the list of [`names`].
    Listed(usize),
    /// One that a program has lent, with a device of its own on it.
    #[cfg(feature = "wgpu")]
    Lent(Arc<Lent>),
}

impl Origin {
    /// The number of the adapter in the list, under which is kept what self-tests find. None of one that a program has lent: its devices
    /// may have features that those of ours have not.
    pub fn number(&self) -> Option<usize> {
        match self {
            Origin::Listed(number) => Some(*number),
            #[cfg(feature = "wgpu")]
            Origin::Lent(_) => None,
        }
    }
}

/// The id of the process that has loaded the drivers; 0 as long as none has.
static LOADED_BY: AtomicU32 = AtomicU32::new(0);

/// Whether a parent process loaded the drivers and this one was made from it by `fork`. The driver's threads do not exist
/// here, so a call of the driver may wait for ever.
pub(super) fn is_inherited() -> bool {
    let loaded_by = LOADED_BY.load(Relaxed);
    loaded_by != 0 && loaded_by != std::process::id()
}

/// Notes that this process has loaded drivers, those of a program that calls wgpu itself.
#[cfg(feature = "wgpu")]
pub(super) fn has_loaded() {
    let _ = LOADED_BY.compare_exchange(0, std::process::id(), Relaxed, Relaxed);
}

/// The error of every use of a GPU in a process that inherited the drivers ([`is_inherited`]).
pub(super) fn inherited_fault() -> Fault {
    let detail = "a process made by fork cannot use a GPU that its parent process has used; use the GPU in one of the \
                  two only";
    Fault::new(ErrorKind::DeviceLost, detail)
}

/// The one instance of wgpu in the process. There is one, because making it loads and asks every driver.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        LOADED_BY.store(std::process::id(), Relaxed);
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        // by default wgpu validates indirect calls, which cupric never makes, and limits buffers to less than 4 GiB for that;
        // a debug build keeps all of wgpu's validation
        if !cfg!(debug_assertions) {
            descriptor.flags = wgpu::InstanceFlags::empty();
        }
        wgpu::Instance::new(descriptor)
    })
}

/// The interfaces of drivers whose adapters count: Vulkan, Metal, DX12 and a browser's WebGPU, and OpenGL where the feature `gles`
/// asks for it.
const BACKENDS: wgpu::Backends = match cfg!(feature = "gles") {
    true => wgpu::Backends::PRIMARY.union(wgpu::Backends::GL),
    false => wgpu::Backends::PRIMARY,
};

/// Lists the adapters, hardware first. They are sorted by [`rank`], so that a number means the same adapter at each call.
async fn enumerate() -> Vec<wgpu::Adapter> {
    let all = instance().enumerate_adapters(BACKENDS).await;
    let mut all: Vec<_> = all.into_iter().map(|a| (rank(&a.get_info()), a)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|a| a.1).collect()
}

/// Returns the sort key of an adapter: its class, whether it is one of OpenGL, which can do less and is often the same GPU as another
/// adapter, its PCI address (empty where the driver tells none), the ids of its vendor and device. Adapters of equal keys stay in the order in which the drivers list them.
fn rank(info: &wgpu::AdapterInfo) -> (u8, bool, String, u32, u32) {
    let class = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    let is_gl = info.backend == wgpu::Backend::Gl;
    (class, is_gl, info.device_pci_bus_id.clone(), info.vendor, info.device)
}

/// Returns the names of all adapters, software drivers included, by their numbers. None is opened, so opening one may fail.
pub(super) async fn names() -> Vec<String> {
    enumerate().await.iter().map(|adapter| adapter.get_info().name).collect()
}

/// Returns the name of a vendor by its number in PCI's list, or in Khronos's of those who make no cards; the number itself of any other.
pub(super) fn vendor_name(number: u32) -> String {
    let name = match number {
        0x1002 => "AMD",
        0x1010 => "Imagination",
        0x10de => "NVIDIA",
        0x106b => "Apple",
        0x13b5 => "Arm",
        0x1414 => "Microsoft",
        0x14e4 => "Broadcom",
        0x5143 => "Qualcomm",
        0x8086 => "Intel",
        0x10005 => "Mesa",
        _ => return format!("{number:#x}"),
    };
    name.to_string()
}

/// Opens an adapter with all its limits, and all its features except mappable storage buffers and experimental ones; of these it takes
/// cooperative matrices, if `with_matrices` says so. Of an adapter that a program has lent, it takes the features and limits of the device
/// that was lent with it.
pub(super) async fn open(origin: &Origin, shrink: Option<Shrink>, with_matrices: bool) -> Result<Opened> {
    let fail = |detail: String| Error::with_line(ErrorKind::DeviceNotFound, "open", detail, None);
    let (adapter, most) = match origin {
        Origin::Listed(index) => match enumerate().await.into_iter().nth(*index) {
            Some(adapter) => (adapter, None),
            None => return Err(fail(format!("there is no GPU number {index}"))),
        },
        #[cfg(feature = "wgpu")]
        Origin::Lent(lent) => (lent.adapter.clone(), Some((lent.features, lent.limits.clone()))),
    };
    let info = adapter.get_info();
    // mappable storage buffers are left out: on many cards they lie in host memory, which kernels read slowly, and
    // `Connection::raise` relies on wgpu refusing one
    let mut features =
        adapter.features() - wgpu::Features::MAPPABLE_PRIMARY_BUFFERS - wgpu::Features::all_experimental_mask();
    if shrink.is_some_and(|s| !s.clock) {
        use wgpu::Features as F;
        features.remove(F::TIMESTAMP_QUERY | F::TIMESTAMP_QUERY_INSIDE_ENCODERS | F::TIMESTAMP_QUERY_INSIDE_PASSES);
    }
    let mut limits = adapter.limits();
    if let Some((most, its_limits)) = most {
        (features, limits) = (features & most, its_limits);
    }
    let is_least = shrink.is_some_and(|s| s.webgpu);
    if is_least {
        (features, limits) = (wgpu::Features::empty(), wgpu::Limits::default());
    }
    let mut cooperative = if with_matrices && !is_least { cooperative_matrices(&adapter, &info) } else { vec![] };
    let requested = match request_with_matrices(&adapter, features, &limits, !cooperative.is_empty()) {
        Some(opened) => Ok(opened),
        None => {
            cooperative.clear();
            adapter.request_device(&descriptor(features, &limits)).await
        }
    };
    let (device, queue) = requested.map_err(|e| fail(format!("{} cannot be opened: {e}", info.name)))?;
    let mut opened = described(&adapter, device, queue, (features, &limits), shrink);
    opened.caps.cooperative = cooperative;
    Ok(opened)
}

/// Returns a device of an adapter that was opened with these features and limits, with what it can do.
pub(super) fn described(
    adapter: &wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    (features, limits): (wgpu::Features, &wgpu::Limits),
    shrink: Option<Shrink>,
) -> Opened {
    let info = adapter.get_info();
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let (mut caps, limits) = capabilities(info.name, features, limits, shrink);
    if features.contains(wgpu::Features::SUBGROUP) {
        caps.subgroup = [info.subgroup_min_size, info.subgroup_max_size];
    }
    caps.tiles = Tiles::of_adapter(info.vendor, software);
    Opened { device, queue, caps, limits, software, memory: memory_of(adapter) }
}

/// Returns the bytes of the memory that is the adapter's own, where its driver is one of Vulkan, which tells them.
#[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn memory_of(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: nothing of the adapter is destroyed or changed; its handle and that of its instance live as long as this guard.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = vulkan.shared_instance().raw_instance();
    // SAFETY: the physical device is one of this instance.
    let memory = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
    // the first flag of a heap is VK_MEMORY_HEAP_DEVICE_LOCAL_BIT
    let is_own = |flags: u32| flags & 1 != 0;
    let heaps = memory.memory_heaps_as_slice();
    Some(heaps.iter().filter(|heap| is_own(heap.flags.as_raw())).map(|heap| heap.size).sum())
}

#[cfg(not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn memory_of(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// What is asked of an adapter that is opened.
fn descriptor(features: wgpu::Features, limits: &wgpu::Limits) -> wgpu::DeviceDescriptor<'static> {
    wgpu::DeviceDescriptor {
        label: Some("cupric"),
        required_features: features,
        required_limits: limits.clone(),
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
        memory_hints: wgpu::MemoryHints::Performance,
        trace: wgpu::Trace::Off,
    }
}

/// Opens an adapter with cooperative matrices, the only experimental feature that is ever asked for. None if it does not open so, or
/// `wanted` is false. wgpu asks whether a driver lists products of small matrices, not whether it has the feature, and panics where a
/// driver that lists them refuses the device.
fn request_with_matrices(
    adapter: &wgpu::Adapter,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    wanted: bool,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wgpu::DeviceDescriptor {
        // SAFETY: this allows what the next line adds. Only kernels of ours use it; they load and store small matrices within arrays of
        // constant lengths in workgroup memory, and run once `cooperative.rs` has found their results right.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..descriptor(features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, limits)
    };
    // the future is ready at once where there is such a feature, which is not in a browser
    let request = || pollster::block_on(adapter.request_device(&descriptor));
    // after a panic the caller asks again, without matrices
    let opened = wanted.then(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(request)));
    opened?.ok()?.ok()
}

/// Returns the products of small matrices that the adapter has, if kernels can use one of them: of f16, with sums in f32.
fn cooperative_matrices(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Vec<Cooperative> {
    use wgpu::Features as F;
    let needs = F::EXPERIMENTAL_COOPERATIVE_MATRIX | F::SHADER_F16 | F::SHADER_I16 | F::SUBGROUP;
    // with four lanes (vectors of 128 bits) Mesa 26's llvmpipe lists matrices, but refuses a device that has them
    if !adapter.features().contains(needs) || info.subgroup_min_size < 8 {
        return vec![];
    }
    let found: Vec<_> = adapter.cooperative_matrix_properties().iter().map(cooperative).collect();
    let is_used = |c: &Cooperative| [8, 16].map(|side| [side; 3]).contains(&c.shape) && c.types == ["f16", "f32"];
    if found.iter().any(is_used) { found } else { vec![] }
}

/// Translates wgpu's record of a small matrix product, which a subgroup computes as one instruction, to the planner's.
fn cooperative(found: &wgpu::CooperativeMatrixProperties) -> Cooperative {
    let name = |scalar: wgpu::CooperativeScalarType| match scalar {
        wgpu::CooperativeScalarType::F32 => "f32",
        wgpu::CooperativeScalarType::F16 => "f16",
        wgpu::CooperativeScalarType::I32 => "i32",
        wgpu::CooperativeScalarType::U32 => "u32",
    };
    Cooperative {
        shape: [found.m_size, found.n_size, found.k_size],
        types: [found.ab_type, found.cr_type].map(|t| name(t).to_string()),
    }
}

/// Returns the capabilities that the planner decides by (`open` adds those of subgroups), and the limits for dispatches.
fn capabilities(
    name: String,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    shrink: Option<Shrink>,
) -> (Caps, DispatchLimits) {
    let int64 = features.contains(wgpu::Features::SHADER_INT64) && shrink.is_none_or(|s| s.int64);
    // wgpu reports at most 2^31 − 1 bytes for Vulkan and DX12; `min` holds Metal, which reports more, to the same. A binding
    // ends with a whole word, so the limit is rounded down; to 256, the alignment of its start, though 4 would do
    let mut max_binding = limits.max_storage_buffer_binding_size.min((1 << 31) - 1) & !255;
    let mut max_groups = limits.max_compute_workgroups_per_dimension;
    let workgroup = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) as usize;
    let group = Caps::group_within(workgroup);
    // shaders index with u32. Half its range leaves room for a grid that is rounded up to whole workgroups
    let mut max_indices = 1u64 << 31;
    let mut name = name;
    if let Some(shrink) = shrink {
        if shrink.is_below() {
            name = format!("shrunk {name}");
        }
        max_binding = max_binding.min(shrink.max_binding);
        max_groups = max_groups.min(shrink.max_groups);
        // one grid, of three dimensions of workgroups, then holds all indices of a window, at one index an invocation
        let groups = (shrink.max_groups as u64).saturating_pow(3);
        max_indices = max_indices.min(groups.saturating_mul(group as u64));
    }
    let caps = Caps {
        name,
        wgsl: true,
        int64,
        // the shaders' functions of f64 work on its bits as a u64, so f64 needs 64-bit integers too
        float64: int64 && features.contains(wgpu::Features::SHADER_F64),
        max_binding,
        max_buffer: limits.max_buffer_size,
        // a kernel or a routine's pass binds 16 buffers at most (a judgement); one of them is kept for the error notes
        max_bindings: (limits.max_storage_buffers_per_shader_stage.min(16) as usize).saturating_sub(1),
        max_values: 256,
        // a software driver compiles this much in a few tenths of a second
        max_cost: 256,
        max_row: group * MOST_HELD,
        // longer reductions become partial results. Inner lanes: a workgroup shares a reduction, and each invocation folds 16
        // elements. Outer lanes: one invocation folds all 256. Both are judgements
        max_reduce: [group * 16, 256],
        max_indices,
        fuses_product: true,
        reports_late: true,
        workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size as usize,
        subgroup: [1, 1],
        // bytes that one instruction loads at most: a vector of four words
        vector: 16,
        threaded: false,
        cooperative: vec![],
        tiles: Tiles::DEFAULT,
        // wgpu does not tell the sizes of caches
        caches: [0; 3],
        rates: Rates::CARD,
    };
    let limits = DispatchLimits {
        max_groups,
        // WebGPU lets no device ask for more than 256. It is used on all: the planner leaves that much room before an operand,
        // and the dispatches of a routine's pass begin at multiples of 256 items (`plan/routines.rs`)
        storage_alignment: (limits.min_storage_buffer_offset_alignment as u64).max(256),
        // parameters are declared as vectors of four words, which WGSL aligns to 16 bytes
        uniform_alignment: (limits.min_uniform_buffer_offset_alignment as usize).max(16),
    };
    (caps, limits)
}
