//! The last part of planning: decides how each loop nest (kernel) of a finished plan uses the hardware. Tiles, lanes,
//! passes and kinds of stores are chosen only here, from the nest and the device's [`Caps`]. Backends follow this
//! schedule, and a printed plan shows it.
//!
//! Scheduling comes after kernels are merged, windows are cut and buffers are assigned, so that it sees the final
//! nests. `tile_sizes.rs` is for CPUs, where threads run tiles (parts) of a nest (`moves.rs` for nests that only move
//! data, `threaded.rs` for threaded code, `products.rs` for matrix products, `ordinary.rs`
//! for sums of squares). `groups.rs` is for GPUs, where workgroups share a nest. `passes.rs` is for both: a pass is a
//! loop over a nest's inner dimensions.

mod groups;
mod moves;
mod ordinary;
mod passes;
mod products;
mod threaded;
mod tile_sizes;

pub(super) use groups::is_simple;

use crate::base::error::Result;
use crate::plan::kernel::{Caps, Checks, Details, ExecutionPlan, Kernel, KernelKind, Passes, Step, WriteClass};
use passes::{Again, passes};
use smallvec::SmallVec;

/// Writes the schedule of each loop nest (kernel) of a plan.
pub(super) fn schedule(plan: &mut ExecutionPlan, caps: &Caps) -> Result<()> {
    for step in &mut plan.steps {
        match step {
            Step::Nest(kernel) => schedule_nest(kernel, caps)?,
            Step::Routine(_) | Step::Clear { .. } => {}
        }
    }
    products::hand_on(&mut plan.steps);
    if cfg!(feature = "gpu") && caps.workgroup > 0 && caps.skips_branches {
        groups::put_beside(&mut plan.steps, caps);
    }
    Ok(())
}

/// Writes the schedule of one loop nest (kernel). If its tiles need another order of the axes, reorders the axes.
pub(crate) fn schedule_nest(kernel: &mut Kernel, caps: &Caps) -> Result<()> {
    if kernel.outer_size() == 0 {
        return Ok(());
    }
    if caps.workgroup == 0 {
        tile_sizes::schedule(kernel, caps);
    } else {
        groups::schedule(kernel, caps)?;
    }
    // plans are kept
    kernel.values.shrink_to_fit();
    kernel.loads.shrink_to_fit();
    Ok(())
}

/// Returns the passes (loops over the inner dimensions) that compute the values that a kernel stores. Returns `None`
/// for an elementwise kernel or a product, which have no passes.
fn passes_of_stores(kernel: &Kernel, again: Again) -> Option<Passes> {
    let stored: Vec<usize> = kernel.stores.iter().map(|s| s.value).collect();
    passes_of(kernel, &stored, again)
}

/// Returns the passes (loops over the inner dimensions) that compute the values `sinks` of a kernel. Returns `None` for
/// an elementwise kernel or a product, which have no passes.
fn passes_of(kernel: &Kernel, sinks: &[usize], again: Again) -> Option<Passes> {
    match kernel.kind {
        KernelKind::Elementwise | KernelKind::Matmul => None,
        KernelKind::Reduce(_) | KernelKind::Row => Some(passes(kernel, sinks, again)),
    }
}

/// Returns the indices of the values that check whether an index is in bounds.
fn checks(kernel: &Kernel) -> Vec<usize> {
    let is_check = |v: &usize| kernel.values[*v].op.checks();
    (0..kernel.values.len()).filter(is_check).collect()
}

/// Sets the details of a schedule: how stores write, passes and checks. A kernel with plain stores and without passes
/// and checks has no details, so that a plan of a million such kernels stays small.
fn set_details(kernel: &mut Kernel, writes: SmallVec<[WriteClass; 4]>, passes: Option<Passes>, checks: Option<Checks>) {
    let writes = if writes.iter().all(|w| *w == WriteClass::Plain) { vec![] } else { writes.into_vec() };
    let is_plain = writes.is_empty() && passes.is_none() && checks.is_none();
    kernel.schedule.details = (!is_plain).then(|| Box::new(Details { writes, passes, checks, ordinary: None }));
}
