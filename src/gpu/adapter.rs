//! Adapters: which GPUs the drivers offer, what each can do, and opening one with all its features and limits.

use crate::caps::Cooperative;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::kernel::Caps;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Limits that only the recording of dispatches must keep. The planner knows those in [`Caps`].
#[derive(Clone, Copy)]
pub(super) struct DispatchLimits {
    /// The most workgroups along one dimension of a dispatch.
    pub max_groups: u32,
    /// Alignment in bytes of the first byte of a storage binding. A binding starts at such a place at or before its first
    /// element, so the planner lets operands span a little less than a binding.
    pub storage_alignment: u64,
    /// Alignment in bytes of the parameters of a dispatch in their uniform buffer.
    pub uniform_alignment: usize,
}

/// Limits that a test makes tighter than those of the adapter.
#[derive(Clone, Copy)]
pub(crate) struct Shrink {
    pub max_binding: u64,
    pub max_groups: u32,
}

/// An adapter that has been opened.
pub(super) struct Opened {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub limits: DispatchLimits,
    /// Whether the driver computes on the CPU.
    pub software: bool,
}

/// The id of the process that has loaded the drivers; 0 as long as none has.
static LOADED_BY: AtomicU32 = AtomicU32::new(0);

/// Whether a parent process loaded the drivers and this one was made from it by `fork`. The driver's threads do not exist
/// here, so a call of the driver may wait for ever.
pub(super) fn is_inherited() -> bool {
    let loaded_by = LOADED_BY.load(Relaxed);
    loaded_by != 0 && loaded_by != std::process::id()
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
        // wgpu's default flags limit buffers to less than 4 GiB and slow down every call
        if !cfg!(debug_assertions) {
            descriptor.flags = wgpu::InstanceFlags::empty();
        }
        wgpu::Instance::new(descriptor)
    })
}

/// The adapters, hardware first, in an order that does not change between calls.
async fn enumerate() -> Vec<wgpu::Adapter> {
    let all = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let mut all: Vec<_> = all.into_iter().map(|a| (rank(&a.get_info()), a)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|a| a.1).collect()
}

/// The sort key of an adapter: its class, then where it is plugged in.
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

/// The names of the GPUs that could be opened, hardware first.
pub(super) async fn names() -> Vec<String> {
    enumerate().await.iter().map(|adapter| adapter.get_info().name).collect()
}

/// Opens adapter number `index` of [`names`] with all its limits, and with all its features that wgpu calls stable.
pub(super) async fn open(index: usize, shrink: Option<Shrink>) -> Result<Opened> {
    let fail = |detail: String| Error::new(ErrorKind::DeviceNotFound, "open", detail, None);
    let Some(adapter) = enumerate().await.into_iter().nth(index) else {
        return Err(fail(format!("there is no GPU number {index}")));
    };
    let info = adapter.get_info();
    // on many cards a storage buffer that the host can map lies in host memory, which kernels read slowly; a request for
    // an experimental feature fails
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
    let requested = adapter.request_device(&descriptor).await;
    let (device, queue) = requested.map_err(|e| fail(format!("{} cannot be opened: {e}", info.name)))?;
    let software = info.device_type == wgpu::DeviceType::Cpu;
    let (mut caps, limits) = capabilities(info.name, features, &limits, shrink);
    if features.contains(wgpu::Features::SUBGROUP) {
        caps.subgroup = [info.subgroup_min_size, info.subgroup_max_size];
    }
    if features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        caps.cooperative = adapter.cooperative_matrix_properties().iter().map(cooperative).collect();
    }
    Ok(Opened { device, queue, caps, limits, software })
}

/// A matrix product that a subgroup computes by one instruction, from wgpu's terms to the planner's.
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

/// The capabilities that the planner decides by, and the limits that recording dispatches must keep.
fn capabilities(
    name: String,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    shrink: Option<Shrink>,
) -> (Caps, DispatchLimits) {
    let int64 = features.contains(wgpu::Features::SHADER_INT64);
    // Vulkan and DX12 bind at most 2^31 − 1 bytes, whatever a card reports; windows start at multiples of 256 bytes
    let mut max_binding = limits.max_storage_buffer_binding_size.min((1 << 31) - 1) & !255;
    let mut max_groups = limits.max_compute_workgroups_per_dimension;
    let workgroup = limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x) as usize;
    let group = Caps::group_within(workgroup);
    // shaders index with u32. Half its range leaves room for a grid that is rounded up to whole workgroups
    let mut max_indices = 1u64 << 31;
    let mut name = name;
    if let Some(shrink) = shrink {
        name = format!("shrunk {name}");
        max_binding = max_binding.min(shrink.max_binding);
        max_groups = max_groups.min(shrink.max_groups);
        // a dispatch has three dimensions of workgroups
        max_indices = (shrink.max_groups as u64).pow(3) * group as u64;
    }
    let caps = Caps {
        name,
        wgsl: true,
        int64,
        // the shaders' functions of f64 work on its bits as a u64, so f64 needs 64-bit integers too
        float64: int64 && features.contains(wgpu::Features::SHADER_F64),
        max_binding,
        max_buffer: limits.max_buffer_size,
        // kernels bind 16 buffers at most, one of which is the error notes of gathers
        max_bindings: (limits.max_storage_buffers_per_shader_stage.min(16) as usize).saturating_sub(1),
        max_values: 256,
        // a software driver compiles this much in a few tenths of a second
        max_cost: 256,
        // each invocation of a row kernel holds at most 64 elements in registers
        max_row: group * 64,
        // inner lanes: an invocation folds 16 elements; outer lanes: one invocation folds 256
        max_reduce: [group * 16, 256],
        max_indices,
        fuses_product: true,
        reports_late: true,
        workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size as usize,
        subgroup: [1, 1],
        // bytes that one instruction loads at most: a vector of four words
        vector: 16,
        cooperative: vec![],
        // wgpu does not tell the sizes of caches
        caches: [0; 3],
    };
    let limits = DispatchLimits {
        max_groups,
        // 256 is WebGPU's default, and what the planner's windows are aligned to
        storage_alignment: (limits.min_storage_buffer_offset_alignment as u64).max(256),
        // parameters are declared as vectors of four words, which WGSL aligns to 16 bytes
        uniform_alignment: (limits.min_uniform_buffer_offset_alignment as usize).max(16),
    };
    (caps, limits)
}
