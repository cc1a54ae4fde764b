//! Merges kernels that loop over the same indices and read the same memory into one kernel with several stores. An
//! array from which several results or stored nodes are computed is then read only once. On a GPU, also merges kernels
//! whose results are neighbours in memory, such as the parts of a `stack` along the last axis, because a GPU writes
//! neighbouring elements as one vector ([`Kernel::woven`]).

use super::planner::Planner;
use super::schedule::is_simple;
use crate::plan::kernel::{Kernel, KernelKind, Load, Step, Store};

/// The number of preceding steps that are searched for a host of a kernel: an earlier kernel into which it can be
/// merged. The limit keeps planning linear in the graph. 16 is enough because kernels that read the same array are
/// mostly near each other.
const LOOK_BACK: usize = 16;

/// The smallest part of the bytes of a kernel, as a divisor, that two kernels must both read to be merged. Merging saves at
/// most this part of the reads. But then the operands and results of both kernels must be in memory at the same time, such as
/// those of two blocks of a file that only share the edges of a histogram. Chosen by hand; no benchmark compares other values.
const SHARED: u64 = 16;

/// The size of a cache line of most GPUs, in bytes.
const LINE: usize = 128;

/// Returns the steps with kernels merged wherever this changes no bit of a result and exceeds no limit of the device.
pub(super) fn join(p: &Planner<'_>, steps: Vec<Step>) -> Vec<Step> {
    if steps.iter().filter_map(Step::nest).filter(|k| is_joinable(k)).nth(1).is_none() {
        return steps;
    }
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        let has_passes = steps.peek().is_some_and(Step::continues);
        let kernel = match step {
            Step::Nest(kernel) => kernel,
            Step::Routine(_) | Step::Clear { .. } => {
                joined.push(step);
                continue;
            }
        };
        match host(p, &joined, &kernel).filter(|_| !has_passes) {
            Some(host) => absorb(&mut joined, host, kernel),
            None => joined.push(Step::Nest(kernel)),
        }
    }
    joined
}

/// Returns the index of the step in `before` into whose kernel `kernel` can be merged, if there is one. The step must
/// come after all steps that write a buffer that `kernel` reads.
fn host(p: &Planner<'_>, before: &[Step], kernel: &Kernel) -> Option<usize> {
    if !is_joinable(kernel) {
        return None;
    }
    let first = before.len().saturating_sub(LOOK_BACK);
    let writer = before[first..].iter().rposition(|step| step.writes_any(&kernel.loads));
    let after = writer.map_or(first, |w| first + w + 1);
    // no kernel is merged into one that the next step continues, because that step loads exactly what the kernel stores
    let has_passes = |i: usize| before.get(i + 1).is_some_and(Step::continues);
    (after..before.len()).find(|i| {
        p.took(1);
        let Some(host) = before[*i].nest() else { return false };
        // if many kernels were merged into `host`, it takes longest to find out whether it is joinable
        have_one_space(host, kernel)
            && !has_passes(*i)
            && (share_loads(host, kernel)
                || cfg!(feature = "gpu") && p.caps.workgroup > 0 && are_neighbours(host, kernel))
            && fits(p, host, kernel)
            && is_joinable(host)
    })
}

/// Returns whether a kernel may be merged with another. Row kernels may not, because the merged kernel would hold a row
/// of each at a time. Kernels that check indices may not, because an error must not prevent another result from being
/// written. Kernels that store only some elements may not, because the order of writes to a buffer must not change.
fn is_joinable(k: &Kernel) -> bool {
    matches!(k.kind, KernelKind::Elementwise | KernelKind::Reduce(_))
        && !k.continues
        && !k.checks()
        && k.stores.iter().all(Store::is_plain)
        && !k.outer.contains(&0)
}

fn have_one_space(a: &Kernel, b: &Kernel) -> bool {
    a.kind == b.kind && a.outer == b.outer && a.inner == b.inner && a.windows == b.windows
}

/// Returns whether a large part of what one of the kernels reads is also read by the other.
fn share_loads(a: &Kernel, b: &Kernel) -> bool {
    let shared = b.loads.iter().filter(|l| a.loads.contains(l) && reads_many(l)).map(|l| b.bytes_of(l));
    let shared = shared.fold(0, u64::saturating_add);
    shared > 0 && shared.saturating_mul(SHARED) >= a.bytes().0.min(b.bytes().0)
}

/// Returns whether two elementwise kernels write to the same cache lines, and are together so small that each
/// invocation of the merged kernel can still have several loads in flight. The order of their writes does not matter,
/// because joinable kernels never write the same element.
fn are_neighbours(a: &Kernel, b: &Kernel) -> bool {
    let first = &a.stores[0];
    let is_near = |s: &Store| s.offset.abs_diff(first.offset).saturating_mul(s.dtype.size()) < LINE;
    let values = a.values.len() + b.values.len();
    a.kind == KernelKind::Elementwise
        && a.stores.iter().chain(&b.stores).all(|s| s.buffer == first.buffer && is_near(s))
        && is_simple(values, a.compile_cost().saturating_add(b.compile_cost()))
}

/// Returns whether a load reads more than one element. Sharing the load of a single element would save nothing.
fn reads_many(load: &Load) -> bool {
    load.strides.iter().any(|s| *s != 0)
}

/// Returns whether the merged kernel stays within the device's limits. `limit_sizes` in `planner.rs` guarantees this
/// for each kernel alone.
fn fits(p: &Planner<'_>, a: &Kernel, b: &Kernel) -> bool {
    // a GPU may need more bindings than buffers, for example for the ranges of a large buffer, but at most one for each
    // load or store, so the number of loads and stores is limited
    let shared = || b.loads.iter().filter(|l| a.loads.contains(l)).count();
    let operands = || a.loads.len() + b.loads.len() - shared() + a.stores.len() + b.stores.len();
    a.values.len() + b.values.len() <= p.caps.max_values
        && operands() <= p.caps.max_bindings
        && a.compile_cost().saturating_add(b.compile_cost()) <= p.caps.max_cost
}

/// Moves the loads, values and stores of `kernel` into the kernel of step `host`, and merges equal loads and equal
/// values.
fn absorb(steps: &mut [Step], host: usize, kernel: Kernel) {
    let Step::Nest(host) = &mut steps[host] else { return };
    let load_number: Vec<usize> = (kernel.loads.into_iter())
        .map(|load| {
            host.loads.iter().position(|l| *l == load).unwrap_or_else(|| {
                host.loads.push(load);
                host.loads.len() - 1
            })
        })
        .collect();
    let mut number: Vec<usize> = Vec::with_capacity(kernel.values.len());
    for mut value in kernel.values {
        value.op.map_operands(|v| number[v]);
        if let Some(n) = value.op.load_mut() {
            *n = load_number[*n];
        }
        let known = host.values.iter().position(|v| *v == value);
        number.push(known.unwrap_or_else(|| {
            host.values.push(value);
            host.values.len() - 1
        }));
    }
    for mut store in kernel.stores {
        store.map_operands(|v| number[v]);
        host.stores.push(store);
    }
}
