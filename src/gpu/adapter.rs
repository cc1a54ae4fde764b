//! Lists the adapters, opens one of them, and reports what it supports: as `Caps` for the planner, and as
//! `DispatchLimits` for the recording of dispatches. *Adapter* is wgpu's word for a GPU that a driver offers, or for a
//! software driver.

#[cfg(feature = "testing")]
use crate::base::caps::Card;
use crate::base::caps::product_tiles::Tiles;
use crate::base::caps::{Cooperative, Half, MOST_HELD, MultiplyAdd, Shrink};
use crate::base::error::{Error, ErrorKind, Fault, Result};
use crate::base::platform;
use crate::plan::kernel::{Caps, Rates};
#[cfg(feature = "wgpu")]
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The limits that matter only when dispatches are recorded. The planner does not know them; its own limits are in
/// [`Caps`].
#[derive(Clone, Copy)]
pub(super) struct DispatchLimits {
    /// The maximum number of workgroups along each of a grid's three dimensions.
    pub max_groups: u32,
    /// Each storage binding starts at a multiple of this many bytes, at or before the first element of the operand that
    /// it binds. The planner leaves room for the bytes before that element: it limits operands to less than a binding
    /// (`most_bytes` in `plan/planner.rs`).
    pub storage_alignment: u64,
    /// The parameters of each dispatch start at a multiple of this many bytes of their uniform buffer.
    pub uniform_alignment: usize,
}

/// An adapter that was opened: wgpu's device and queue, and what they support.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub limits: DispatchLimits,
    /// Whether the driver computes on the CPU.
    pub software: bool,
    /// The size of the adapter's own memory in bytes, if its driver reports it.
    pub memory: Option<u64>,
}

/// An adapter that a program has lent, with the features and limits of the device that the program opened on it.
#[cfg(feature = "wgpu")]
pub(super) struct Lent {
    pub adapter: wgpu::Adapter,
    pub features: wgpu::Features,
    pub limits: wgpu::Limits,
}

/// The origin of a device's adapter.
#[derive(Clone)]
pub(super) enum Origin {
    /// The adapter with this number in the list of [`names`].
    Listed(usize),
    /// An adapter that a program has lent, together with a device on it.
    #[cfg(feature = "wgpu")]
    Lent(Arc<Lent>),
}

impl Origin {
    /// Returns the adapter's number in the list, under which the results of self-tests are kept. Returns `None` for an
    /// adapter that a program has lent, because its devices may have features that our devices do not have.
    pub fn number(&self) -> Option<usize> {
        match self {
            Origin::Listed(number) => Some(*number),
            #[cfg(feature = "wgpu")]
            Origin::Lent(_) => None,
        }
    }
}

/// The id of the process that has loaded the drivers, or 0 if no process has loaded them.
static LOADED_BY: AtomicU32 = AtomicU32::new(0);

/// Returns whether a parent process loaded the drivers, and this process was made from it by `fork`. The driver's
/// threads do not exist in this process, so a call of the driver may wait forever.
pub(super) fn is_inherited() -> bool {
    let loaded_by = LOADED_BY.load(Relaxed);
    loaded_by != 0 && loaded_by != crate::base::platform::process_id()
}

/// Records that this process has loaded drivers, because its program calls wgpu itself.
#[cfg(feature = "wgpu")]
pub(super) fn has_loaded() {
    let _ = LOADED_BY.compare_exchange(0, crate::base::platform::process_id(), Relaxed, Relaxed);
}

/// Returns the error for every use of a GPU in a process that inherited the drivers ([`is_inherited`]).
pub(super) fn inherited_fault() -> Fault {
    let detail = "a process made by fork cannot use a GPU that its parent process has used; use the GPU in one of the \
                  two only";
    Fault::new(ErrorKind::DeviceLost, detail)
}

/// Returns the only instance of wgpu in the process. There is only one, because creating one loads and queries every
/// driver.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        LOADED_BY.store(crate::base::platform::process_id(), Relaxed);
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        // by default wgpu validates indirect calls, and limits buffers to less than 4 GiB for that purpose. cupric
        // never makes such calls. A debug build keeps all of wgpu's validation
        if !cfg!(debug_assertions) {
            descriptor.flags = wgpu::InstanceFlags::empty();
        }
        wgpu::Instance::new(descriptor)
    })
}

/// The driver interfaces that are searched for adapters: Vulkan, Metal, DX12 and a browser's WebGPU. OpenGL is searched
/// only with the feature `gles`.
const BACKENDS: wgpu::Backends = match cfg!(feature = "gles") {
    true => wgpu::Backends::PRIMARY.union(wgpu::Backends::GL),
    false => wgpu::Backends::PRIMARY,
};

/// Lists the adapters, hardware first. They are sorted by [`rank`], so that a number means the same adapter in each
/// call.
async fn enumerate() -> Vec<wgpu::Adapter> {
    let all = instance().enumerate_adapters(BACKENDS).await;
    let mut all: Vec<_> = all.into_iter().map(|a| (rank(&a.get_info()), a)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|a| a.1).collect()
}

/// Returns the sort key of an adapter: its class; whether it belongs to OpenGL, which can do less and is often the same
/// GPU as another adapter; its PCI address, which is empty if the driver does not report it; and the ids of its vendor
/// and device. Adapters with equal keys stay in the order in which the drivers list them.
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

/// Returns the names of all adapters, including software drivers, in the order of their numbers. Opens none of them, so
/// an adapter in the list may still fail to open.
pub(super) async fn names() -> Vec<String> {
    enumerate().await.iter().map(|adapter| adapter.get_info().name).collect()
}

/// Returns the name of a vendor. `number` is its PCI vendor id, or the id that Khronos assigned if the vendor makes no
/// cards. Returns the number itself for any other vendor.
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

/// Opens an adapter with all its limits, and all its features except mappable storage buffers and experimental
/// features. Uses one experimental feature, cooperative matrices, if `with_matrices` is true. For an adapter that a
/// program has lent, uses only the features and limits of the device that was lent with it.
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
    // `Connection::raise` needs wgpu to reject such a buffer, to cause an error for a test
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

/// Returns the device that was opened on an adapter with these features and limits, and what it supports.
pub(super) fn described(
    adapter: &wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    (features, limits): (wgpu::Features, &wgpu::Limits),
    shrink: Option<Shrink>,
) -> Opened {
    let info = adapter.get_info();
    let software = info.device_type == wgpu::DeviceType::Cpu;
    // a browser may report no name, so that pages cannot tell users apart
    let name = if info.name.is_empty() { format!("a GPU of {:?}", info.backend) } else { info.name };
    let (mut caps, limits) = capabilities(name, features, limits, shrink);
    // shaders do not use subgroups in a web page, because the browser needs `enable subgroups;`, which naga does not
    // know
    if features.contains(wgpu::Features::SUBGROUP) && platform::CAN_WAIT {
        caps.subgroup = [info.subgroup_min_size, info.subgroup_max_size];
    }
    caps.tiles = Tiles::of_adapter(info.vendor, software);
    caps.skips_branches = !software;
    Opened { device, queue, caps, limits, software, memory: memory_of(adapter) }
}

/// Returns the size of the adapter's own memory in bytes, if its driver is a Vulkan driver. Other drivers do not report
/// it.
#[cfg(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn memory_of(adapter: &wgpu::Adapter) -> Option<u64> {
    // SAFETY: nothing of the adapter is destroyed or changed. Its handle and the handle of its instance live as long as
    // this guard.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = vulkan.shared_instance().raw_instance();
    // SAFETY: the physical device belongs to this instance.
    let memory = unsafe { instance.get_physical_device_memory_properties(vulkan.raw_physical_device()) };
    // bit 0 of a heap's flags is VK_MEMORY_HEAP_DEVICE_LOCAL_BIT, which marks the card's own memory
    let is_own = |flags: u32| flags & 1 != 0;
    let heaps = memory.memory_heaps_as_slice();
    Some(heaps.iter().filter(|heap| is_own(heap.flags.as_raw())).map(|heap| heap.size).sum())
}

#[cfg(not(any(windows, target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn memory_of(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// Returns wgpu's description of the device to request from an adapter: its features and its limits.
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

/// Opens an adapter with cooperative matrices, the only experimental feature that is ever requested. Returns `None` if
/// `wanted` is false, or if the device cannot be opened. wgpu only checks whether a driver lists products of small
/// matrices. A driver that lists some but lacks the feature rejects the device, and then wgpu panics.
fn request_with_matrices(
    adapter: &wgpu::Adapter,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    wanted: bool,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let descriptor = wgpu::DeviceDescriptor {
        // SAFETY: this allows the feature that the next line adds. Only our own kernels use it. They load and store
        // small matrices within arrays of constant lengths in workgroup memory, and run only after `cooperative.rs` has
        // found their results correct.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..descriptor(features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, limits)
    };
    // the future is ready immediately, except in a browser, where this feature does not exist
    let request = || platform::block_on(adapter.request_device(&descriptor));
    // after a panic, the caller requests a device again, without cooperative matrices
    let opened = wanted.then(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(request)));
    opened?.ok()??.ok()
}

/// Returns the products of small matrices that the adapter supports. Returns an empty list if kernels can use none of
/// these products. Kernels need products of f16 factors with sums in f32.
fn cooperative_matrices(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Vec<Cooperative> {
    use wgpu::Features as F;
    let needs = F::EXPERIMENTAL_COOPERATIVE_MATRIX | F::SHADER_F16 | F::SHADER_I16 | F::SUBGROUP;
    // with four lanes (vectors of 128 bits) Mesa 26's llvmpipe lists matrices, but rejects a device that requests them
    if !adapter.features().contains(needs) || info.subgroup_min_size < 8 {
        return vec![];
    }
    let found: Vec<_> = adapter.cooperative_matrix_properties().iter().map(cooperative).collect();
    let is_used = |c: &Cooperative| [8, 16].map(|side| [side; 3]).contains(&c.shape) && c.types == ["f16", "f32"];
    if found.iter().any(is_used) { found } else { vec![] }
}

/// Translates wgpu's description of a small matrix product, which a subgroup computes in one instruction, into the
/// planner's description.
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

/// Returns the capabilities on which the planner bases its decisions, and the limits of dispatches. `described` and
/// `open` add the subgroup sizes, the tiles and the cooperative matrices.
fn capabilities(
    name: String,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    shrink: Option<Shrink>,
) -> (Caps, DispatchLimits) {
    let int64 = features.contains(wgpu::Features::SHADER_INT64) && shrink.is_none_or(|s| s.int64);
    // wgpu reports at most 2^31 − 1 bytes for Vulkan and DX12, and `min` applies this limit to Metal, which reports
    // more. The limit is rounded down to a multiple of 256 bytes, the alignment of a binding's start
    let mut max_binding = limits.max_storage_buffer_binding_size.min((1 << 31) - 1) & !255;
    let mut max_groups = limits.max_compute_workgroups_per_dimension;
    let workgroup = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) as usize;
    let group = Caps::group_within(workgroup);
    // shaders use u32 indices. Allowing only half of their range leaves room for a grid that is rounded up to whole
    // workgroups
    let mut max_indices = 1u64 << 31;
    let mut name = name;
    if let Some(shrink) = shrink {
        if shrink.is_below() {
            name = format!("shrunk {name}");
        }
        max_binding = max_binding.min(shrink.max_binding);
        max_groups = max_groups.min(shrink.max_groups);
        // limits a window (the part of a kernel's index space that one dispatch covers) to the number of invocations of
        // one three-dimensional grid of workgroups
        let groups = (shrink.max_groups as u64).saturating_pow(3);
        max_indices = max_indices.min(groups.saturating_mul(group as u64));
    }
    let caps = Caps {
        name,
        wgsl: true,
        int64,
        // the shaders' f64 functions use the bits of a number as a u64, so f64 needs 64-bit integers too
        float64: int64 && features.contains(wgpu::Features::SHADER_F64),
        // the next two fields are replaced once the probe of the device's arithmetic has run
        half: Half::INTEGERS,
        fma: MultiplyAdd::Separate,
        max_binding,
        max_buffer: limits.max_buffer_size,
        // a kernel, or a pass of a routine, binds at most 16 buffers. One of them is reserved for the error notes. 16
        // was chosen by hand; no benchmark compares other values.
        max_bindings: (limits.max_storage_buffers_per_shader_stage.min(16) as usize).saturating_sub(1),
        max_values: 256,
        // a software driver compiles a kernel of this cost in a few tenths of a second
        max_cost: 256,
        max_row: group * MOST_HELD,
        // the most elements that a kernel reduces at once; longer reductions compute partial results first. The first
        // number is for `Lanes::Inner`: the invocations of a workgroup share a reduction, and each folds 16 elements.
        // The second is for `Lanes::Outer`, where one invocation folds all 64 elements: on an H100 sums of the columns
        // of 4,096 × 4,096 took 38 µs with 64, 45 with 128 and with 32, and 52 with 256
        max_reduce: [group * 16, 64],
        max_indices,
        fuses_product: true,
        reports_late: true,
        skips_branches: true,
        workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size as usize,
        subgroup: [1, 1],
        // the most bytes that one instruction loads: a vector of four words
        vector: 16,
        threaded: false,
        cooperative: vec![],
        tiles: Tiles::DEFAULT,
        // wgpu does not report the sizes of caches
        caches: [0; 3],
        rates: Rates::CARD,
    };
    let limits = DispatchLimits {
        max_groups,
        // WebGPU allows at most 256. All devices use 256, because the planner leaves this much room before an operand,
        // and the dispatches of a routine's pass begin at multiples of 256 items (`plan/routines.rs`)
        storage_alignment: (limits.min_storage_buffer_offset_alignment as u64).max(256),
        // parameters are declared as vectors of four words, which WGSL aligns to 16 bytes
        uniform_alignment: (limits.min_uniform_buffer_offset_alignment as usize).max(16),
    };
    (caps, limits)
}

/// Returns the capabilities that a device on the described card would have. The machine need not have the card.
#[cfg(feature = "testing")]
pub(super) fn caps_of(card: &Card) -> Result<Caps> {
    let unknown = |name: &String| Error::with_line(ErrorKind::Argument, "caps_of", format!("what is {name}?"), None);
    let mut features = wgpu::Features::empty();
    for name in &card.features {
        features |= wgpu::Features::from_name(name).ok_or_else(|| unknown(name))?;
    }
    let mut limits = wgpu::Limits::default();
    for (name, limit) in &card.limits {
        let small = u32::try_from(*limit).unwrap_or(u32::MAX);
        match name.as_str() {
            "max_buffer_size" => limits.max_buffer_size = *limit,
            "max_storage_buffer_binding_size" => limits.max_storage_buffer_binding_size = *limit,
            "max_storage_buffers_per_shader_stage" => limits.max_storage_buffers_per_shader_stage = small,
            "max_compute_invocations_per_workgroup" => limits.max_compute_invocations_per_workgroup = small,
            "max_compute_workgroup_size_x" => limits.max_compute_workgroup_size_x = small,
            "max_compute_workgroup_storage_size" => limits.max_compute_workgroup_storage_size = small,
            _ => return Err(unknown(name)),
        }
    }
    let (mut caps, _) = capabilities(card.name.clone(), features, &limits, None);
    if features.contains(wgpu::Features::SUBGROUP) {
        caps.subgroup = card.subgroup;
    }
    // the probe that tests a device's arithmetic cannot run here, so we assume that cards with the type f16 convert it
    // correctly, and that every card has multiply-adds
    caps.fma = MultiplyAdd::Fused;
    caps.half = if features.contains(wgpu::Features::SHADER_F16) { Half::HARDWARE } else { Half::INTEGERS };
    caps.tiles = Tiles::of_adapter(card.vendor, false);
    caps.cooperative = card.cooperative.clone();
    Ok(caps)
}
