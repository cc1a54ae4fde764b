//! Devices with small limits, and plans for devices that this machine does not have.

use crate::array::device::Device;
use crate::base::caps::Shrink;
pub use crate::base::caps::product_tiles::{Tile, Tiles, VENDORS};
pub use crate::base::caps::{Card, Cooperative, Half, MultiplyAdd, NarrowHalf, WidenHalf};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::heap::Heap;
use crate::graph::expr::Expr;
pub use crate::plan::backend::ShaderChecks;
pub use crate::plan::kernel::Caps;
use crate::plan::kernel::{Kernel, Load, NumberedCaps, Step, Store, Value, Window};
use crate::plan::{self, CachedPlan, Walk};
use std::sync::Arc;

/// Opens a CPU with limits so small that reductions of small arrays are split and take several kernels.
///
/// # Errors
/// Does not fail in tests.
pub fn shrunk_cpu() -> Result<Device> {
    Device::cpu().shrunk(Shrink { max_binding: 0, max_groups: 0, ..Shrink::NONE })
}

/// Opens a CPU with these limits.
///
/// # Errors
/// Does not fail in tests.
pub fn cpu_within(caps: &Caps) -> Result<Device> {
    Device::cpu_within(caps)
}

/// Opens the first GPU with bindings of at most `max_binding` bytes and at most `max_groups` workgroups along each of a
/// grid's dimensions.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn shrunk_gpu(max_binding: u64, max_groups: u32) -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { max_binding, max_groups, ..Shrink::NONE })
}

/// Opens the first GPU without native 64-bit integers and without f64, so that kernels compute with pairs of words.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn gpu_without_int64() -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { int64: false, ..Shrink::NONE })
}

/// Opens the first GPU, and sets how its kernels convert f16.
///
/// # Errors
/// Returns the errors of [`Device::gpu`].
pub fn gpu_with_halves(half: Half) -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { half: Some(half), ..Shrink::NONE })
}

/// Opens the first GPU as a device on which `fma` of f32 rounds once because kernels compute it by operations on f64.
///
/// # Errors
/// Returns an error if there is no GPU with f64, or if it cannot be opened.
pub fn gpu_with_fma_in_f64() -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { fma_in_f64: true, ..Shrink::NONE })
}

/// Opens the first GPU without its clock, so that timings use the host's clock.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn gpu_without_clock() -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { clock: false, ..Shrink::NONE })
}

/// Opens the first GPU with the limits that WebGPU guarantees on every device, and without optional features: 8
/// bindings per kernel, 16 KiB of workgroup memory, no f16, no 64-bit integers, no subgroups, no clock. wgpu rejects
/// kernels that exceed these limits.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn gpu_of_webgpu() -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { webgpu: true, ..Shrink::NONE })
}

/// Opens the first GPU with these tile sizes for wide matrix products.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn gpu_with_tiles(tiles: Tiles) -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { tiles: Some(tiles), ..Shrink::NONE })
}

/// Opens the first GPU as a device whose workgroups skip a branch that none of their invocations takes, also if it is a
/// software driver, which computes all branches.
///
/// # Errors
/// Returns an error if there is no GPU, or if it cannot be opened.
pub fn gpu_that_skips_branches() -> Result<Device> {
    Device::gpu()?.shrunk(Shrink { skips_branches: true, ..Shrink::NONE })
}

/// The names of the devices for whose limits tests make plans: the CPU, a GPU card, and a GPU with about the minimum
/// limits of WebGPU.
pub const NAMED_CAPS: [&str; 3] = ["cpu", "card", "weak"];

/// Returns the limits for a name of [`NAMED_CAPS`], or `None` for any other name.
pub fn named_caps(name: &str) -> Option<Caps> {
    match name {
        "cpu" => Some(Caps {
            // the vectors and caches of a common server core, so that schedules are the same on every machine that runs
            // the tests
            vector: 64,
            threaded: true,
            caches: [48 << 10, 2 << 20, 32 << 20],
            ..Caps::clone(Device::cpu().backend().caps())
        }),
        "card" => Some(card(name)),
        "weak" => Some(Caps {
            int64: false,
            float64: false,
            half: Half::INTEGERS,
            fma: MultiplyAdd::Separate,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_bindings: 6,
            workgroup: 256,
            // like a card on DX12, which reserves 32 bytes of the 16 KiB that WebGPU guarantees
            workgroup_memory: 16_352,
            subgroup: [1, 1],
            ..card(name)
        }),
        _ => None,
    }
}

/// Returns the limits of a typical GPU card, under the given name. The machine does not need a GPU.
pub fn card(name: &str) -> Caps {
    Caps::card(name)
}

/// Plans an expression for a device with the named limits, which the machine need not have. Returns the plan as text,
/// and the WGSL of its kernels if the device is a GPU.
///
/// # Errors
/// Returns the errors of planning.
pub fn plan_for(expression: &Expr, caps: &str) -> Result<(String, Vec<String>)> {
    let caps =
        named_caps(caps).ok_or_else(|| Error::with_line(ErrorKind::Argument, "plan_for", "unknown caps", None))?;
    planned(expression, caps)
}

/// Does the same as [`plan_for`], but for a device with any limits.
///
/// # Errors
/// Returns the errors of planning.
pub fn plan_within(expression: &Expr, caps: &Caps) -> Result<(String, Vec<String>)> {
    planned(expression, caps.clone())
}

/// Returns the memory in bytes that the CPU's plan of an expression uses for its list of steps, its kernels and the
/// sizes of its temporary arrays.
///
/// # Errors
/// Returns the errors of planning.
pub fn plan_bytes(expression: &Expr) -> Result<usize> {
    let planned = plan_on(expression, Caps::clone(Device::cpu().backend().caps()))?;
    let plan = &planned.plan;
    let list = |k: &Kernel| {
        k.loads.capacity() * size_of::<Load>()
            + k.values.capacity() * size_of::<Value>()
            + k.stores.capacity() * size_of::<Store>()
            + k.windows.capacity() * size_of::<Window>()
            + k.schedule.heap()
    };
    let kernels: usize = plan.nests().map(list).sum();
    Ok(kernels + plan.steps.capacity() * size_of::<Step>() + plan.temps.capacity() * size_of::<usize>())
}

/// Returns the cost of making the CPU's plan of an expression: the number of nodes visited and values searched.
///
/// # Errors
/// Returns the errors of planning.
pub fn plan_steps(expression: &Expr) -> Result<u64> {
    Ok(plan_on(expression, Caps::clone(Device::cpu().backend().caps()))?.work)
}

/// Returns two times in nanoseconds, as modelled for a device with these limits: the time of the plan of an expression,
/// and the time of the plan that stores as few intermediate results as possible.
///
/// # Errors
/// Returns the errors of planning.
pub fn modelled_times(expression: &Expr, caps: &Caps) -> Result<[f64; 2]> {
    expression.checked()?;
    plan::modelled_times(expression, &NumberedCaps::new(caps.clone()))
}

/// Returns the key under which the plan cache stores the plan of expressions that are evaluated together. Evaluations
/// that differ only in their bindings (buffers, offsets, numbers, seeds) have equal keys.
///
/// # Errors
/// Returns the error that an expression carries.
pub fn plan_key(expressions: &[&Expr]) -> Result<Vec<u64>> {
    plan::key(expressions)
}

/// Estimates the cost of compiling each kernel of the plan for a device, in units of one addition.
///
/// # Errors
/// Returns the errors of planning.
pub fn compile_costs(expression: &Expr, caps: &Caps) -> Result<Vec<u32>> {
    Ok(plan_on(expression, caps.clone())?.plan.nests().map(Kernel::compile_cost).collect())
}

fn plan_on(expression: &Expr, caps: Caps) -> Result<Arc<CachedPlan>> {
    plan_all_on(&[expression], caps)
}

fn plan_all_on(expressions: &[&Expr], caps: Caps) -> Result<Arc<CachedPlan>> {
    expressions.iter().try_for_each(|e| e.checked().map(drop))?;
    let computed: Vec<&Expr> = expressions.iter().map(|e| plan::computed(e).0).collect();
    plan::plan(&mut Walk::default(), &computed, None, &NumberedCaps::new(caps))
}

fn planned(expression: &Expr, caps: Caps) -> Result<(String, Vec<String>)> {
    let planned = plan_on(expression, caps.clone())?;
    let plan = &planned.plan;
    let shaders = if caps.wgsl { Device::shaders_of_a_gpu(plan, &caps)? } else { vec![] };
    Ok((plan.to_string(), shaders.into_iter().map(|shader| shader.text).collect()))
}

/// A kernel of a plan for a GPU, or a pass of a routine: its amount of work, and its shader.
#[derive(Clone, Debug)]
pub struct PlannedKernel {
    /// The kind of the kernel, or the name of the routine.
    pub kind: &'static str,
    /// The last operation of the kernel, or the name of the pass.
    pub name: &'static str,
    /// The number of indices of the kernel's outer loop, and of its inner loop (1 if it has none). For a routine, the
    /// number of items of the pass, and 1.
    pub size: [usize; 2],
    /// The bytes that the kernel reads and writes if each element moves once. For a pass of a routine, the bytes of the
    /// whole routine.
    pub bytes: u64,
    /// The bytes that the kernel loads and the bytes that it stores for one index of the inner loop (or of the outer
    /// loop if there is no inner loop).
    pub element_bytes: [usize; 2],
    /// The number of invocations of the kernel's first dispatch.
    pub invocations: u64,
    /// The number of the kernel's dispatches.
    pub dispatches: usize,
    /// The kernel's WGSL source.
    pub wgsl: String,
}

/// Returns the capabilities that a device on this card would have. The machine does not need the card. Plans for these
/// capabilities are the plans that the card would run.
///
/// # Errors
/// Returns an error for an unknown feature or limit, or in a build without GPUs.
pub fn caps_of(card: &Card) -> Result<Caps> {
    let none = || Error::with_line(ErrorKind::Unsupported, "caps_of", "this build has no GPUs", None);
    Device::gpu_provider().ok_or_else(none)?.caps_of(card)
}

/// Returns which of wgpu's checks are compiled into the generated shaders in addition to their source, or `None` in a
/// build without GPUs.
#[must_use]
pub fn shader_checks() -> Option<ShaderChecks> {
    Device::gpu_provider().map(|gpus| gpus.checks())
}

/// Plans expressions that are evaluated together, for a GPU with these limits. Returns the plan as text, and its
/// kernels.
///
/// # Errors
/// Returns the errors of planning.
pub fn kernels_within(expressions: &[&Expr], caps: &Caps) -> Result<(String, Vec<PlannedKernel>)> {
    let planned = plan_all_on(expressions, caps.clone())?;
    let plan = &planned.plan;
    let mut shaders = Device::shaders_of_a_gpu(plan, caps)?.into_iter();
    let mut kernels = vec![];
    let mut add = |kind, name, size, bytes: (u64, u64), element_bytes, dispatches| {
        let Some(shader) = shaders.next() else { return };
        let (invocations, bytes, wgsl) = (shader.invocations, bytes.0 + bytes.1, shader.text);
        kernels.push(PlannedKernel { kind, name, size, bytes, element_bytes, invocations, dispatches, wgsl });
    };
    for step in &plan.steps {
        match step {
            Step::Nest(k) => {
                let size = [k.outer_size(), k.inner_size()];
                let axes = if k.inner.is_empty() { 0 } else { k.outer.len() };
                let moves = |strides: &[isize]| strides[axes..].iter().any(|s| *s != 0);
                let loads = k.loads.iter().filter(|l| moves(&l.strides)).map(|l| l.dtype.size()).sum();
                let stores = k.stores.iter().filter(|s| moves(&s.strides)).map(|s| s.dtype.size()).sum();
                add(k.kind.name(), k.name, size, k.bytes(), [loads, stores], k.windows.len());
            }
            Step::Routine(call) => {
                for p in &call.passes {
                    add(call.row.name, p.pass.name, [p.pass.items, 1], call.bytes(), [0, 0], p.windows.len());
                }
            }
            Step::Clear { .. } => {}
        }
    }
    Ok((plan.to_string(), kernels))
}
