//! The last stage of planning: how each nest of a finished plan uses the hardware. Only here are tiles, lanes, passes and
//! access classes chosen, from the nest and the device's [`Caps`]; backends carry out what is written and printed.
//!
//! It comes after joining, windows and buffers, so that it sees the nests that run. `tiles.rs` is for devices whose threads
//! walk tiles, `groups.rs` for those that have workgroups; `passes.rs` is for both.

mod groups;
mod passes;
mod tiles;

use crate::error::Result;
use crate::kernel::{AccessClass, Caps, Kernel, KernelKind, Op, Passes, Plan, Step, Tiling, Work};
use passes::{Again, passes};

/// Writes the schedule of each nest of a plan.
pub(super) fn schedule(plan: &mut Plan, caps: &Caps) -> Result<()> {
    for step in &mut plan.steps {
        match step {
            Step::Nest(kernel) => schedule_nest(kernel, caps)?,
            Step::Routine(_) | Step::Clear { .. } => {}
        }
    }
    Ok(())
}

/// Writes the schedule of one nest. The axes of a nest that is to be walked in another order are put in that order.
pub(crate) fn schedule_nest(kernel: &mut Kernel, caps: &Caps) -> Result<()> {
    if kernel.outer_size() == 0 {
        return Ok(());
    }
    if caps.workgroup == 0 {
        tiles::schedule(kernel, caps);
    } else {
        groups::schedule(kernel, caps)?;
    }
    kernel.schedule.reads = (0..kernel.loads.len()).map(|load| access(kernel, load)).collect();
    Ok(())
}

/// The passes that compute the stores of a kernel; none without an inner space.
fn passes_of_stores(kernel: &Kernel, again: Again) -> Option<Box<Passes>> {
    let stored: Vec<usize> = kernel.stores.iter().map(|s| s.value).collect();
    passes_of(kernel, &stored, again)
}

/// The passes that compute some values of a kernel; none without an inner space.
fn passes_of(kernel: &Kernel, sinks: &[usize], again: Again) -> Option<Box<Passes>> {
    match kernel.kind {
        KernelKind::Elementwise | KernelKind::Matmul => None,
        KernelKind::Reduce(_) | KernelKind::Row => Some(Box::new(passes(kernel, sinks, again))),
    }
}

/// The values that look whether an index is in range.
fn checks(kernel: &Kernel) -> Vec<usize> {
    let is_check = |v: &usize| kernel.values[*v].op.checks();
    (0..kernel.values.len()).filter(is_check).collect()
}

/// How the elements of a load lie along the axis that neighbours walk.
fn access(kernel: &Kernel, load: usize) -> AccessClass {
    if kernel.values.iter().any(|v| matches!(v.op, Op::Gather { load: l, .. } if l == load)) {
        return AccessClass::Gathered;
    }
    let (outer, strides) = (kernel.outer.len(), &kernel.loads[load].strides);
    let extent = |axis: usize| if axis < outer { kernel.outer[axis] } else { kernel.inner[axis - outer] };
    let all = outer + kernel.inner.len();
    let moves = |axis: &usize| extent(*axis) > 1 && strides[*axis] != 0;
    if !(0..all).any(|axis| moves(&axis)) {
        return AccessClass::Single;
    }
    // the last axis of some extent, of those that neighbours walk first
    let last = |range: std::ops::Range<usize>| range.rev().find(|axis| extent(*axis) > 1);
    let along = match (kernel.kind, load) {
        // a product reads its first factor by rows along k, its second by rows along n
        (KernelKind::Matmul, 0) => last(outer..all),
        _ if walks_inner(kernel) => last(outer..all).or_else(|| last(0..outer)),
        _ => last(0..outer).or_else(|| last(outer..all)),
    };
    let step = along.map_or(0, |axis| strides[axis].unsigned_abs());
    match step {
        0 => AccessClass::Broadcast,
        1 => AccessClass::Contiguous,
        _ if (0..all).filter(moves).any(|axis| strides[axis].unsigned_abs() == 1) => AccessClass::Transposed,
        _ => AccessClass::Strided,
    }
}

/// Whether neighbours in a tile, or neighbouring lanes, walk the inner space.
fn walks_inner(kernel: &Kernel) -> bool {
    match kernel.schedule.work {
        Work::Tiles(tiles) => match tiles.tiling {
            Tiling::Along { .. } => true,
            Tiling::Pieces { .. } | Tiling::Rows { .. } | Tiling::Blocks { .. } | Tiling::Across { .. } => false,
        },
        Work::Groups(groups) => groups.lanes > 1,
        Work::Product(_) | Work::Undecided => false,
    }
}

/// The step of several axes that are walked in C order as one, if one step serves all. Axes of length 1 are left out.
fn one_step<'a>(axes: &mut dyn DoubleEndedIterator<Item = (&'a usize, &'a isize)>) -> Option<isize> {
    let mut found: Option<(isize, usize)> = None;
    for (n, s) in axes.rev() {
        found = match found {
            None => Some((*s, *n)),
            Some((step, span)) if *s == step * span as isize => Some((step, span * n)),
            Some(_) => return None,
        };
    }
    Some(found.map_or(0, |(step, _)| step))
}

/// Whether strides are those of a C-ordered whole.
fn is_contiguous(shape: &[usize], strides: &[isize]) -> bool {
    let mut axes = shape.iter().zip(strides).filter(|(n, _)| **n != 1);
    matches!(one_step(&mut axes), Some(1)) || shape.iter().all(|n| *n == 1)
}
