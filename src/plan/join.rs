//! Kernels over one space that read the same memory become one kernel with several stores: results that are asked for
//! together, and stored parts of a graph, read what they share once.

use super::planner::Planner;
use crate::kernel::{BufferRef, Kernel, KernelKind, Load, Op, Step, Store};

/// How many of the kernels before one are tried as its host. A limit keeps planning linear in the graph; 16 is a judgement,
/// since kernels that read the same array mostly stand near each other.
const LOOK_BACK: usize = 16;

/// Joins kernels where no bit changes by it and no limit is passed.
pub(super) fn join(p: &Planner<'_>, steps: Vec<Step>) -> Vec<Step> {
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

/// The number of the earlier step into whose kernel this one can be joined. It must stand after every step that writes what
/// this one reads.
fn host(p: &Planner<'_>, before: &[Step], kernel: &Kernel) -> Option<usize> {
    if !is_joinable(kernel) {
        return None;
    }
    let first = before.len().saturating_sub(LOOK_BACK);
    let reads = |buffer: &BufferRef| kernel.loads.iter().any(|l| l.buffer == *buffer);
    let writer = before[first..].iter().rposition(|step| step.writes().iter().any(reads));
    let after = writer.map_or(first, |w| first + w + 1);
    // a kernel whose further pass follows must keep its stores, which are that pass's loads
    let has_passes = |i: usize| before.get(i + 1).is_some_and(Step::continues);
    (after..before.len()).find(|i| {
        p.took(1);
        let Some(host) = before[*i].nest() else { return false };
        is_joinable(host)
            && !has_passes(*i)
            && have_one_space(host, kernel)
            && share_a_load(host, kernel)
            && fits(p, host, kernel)
    })
}

/// Whether a kernel may be joined. Row kernels may not: two would hold two rows at once. A kernel that checks indices may not:
/// if one fails, it must not keep another result from being written. One whose stores write only some elements may not: it
/// must stay where it is among the kernels that write the same buffer.
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

fn share_a_load(a: &Kernel, b: &Kernel) -> bool {
    a.loads.iter().any(|l| b.loads.contains(l) && moves(l))
}

/// Whether a load reads more than one element: to share a single one saves nothing.
fn moves(load: &Load) -> bool {
    load.strides.iter().any(|s| *s != 0)
}

/// Whether a kernel of both keeps the limits that `limit_sizes` keeps for one.
fn fits(p: &Planner<'_>, a: &Kernel, b: &Kernel) -> bool {
    let mut buffers: Vec<BufferRef> = vec![];
    for buffer in [a, b].iter().flat_map(|k| k.loads.iter().map(|l| l.buffer).chain(k.stores.iter().map(|s| s.buffer)))
    {
        if !buffers.contains(&buffer) {
            buffers.push(buffer);
        }
    }
    // a GPU binds a buffer twice where it is read as two kinds of word, and a range of a large one by itself
    let operands = a.loads.len() + b.loads.len() + a.stores.len() + b.stores.len();
    buffers.len() <= p.caps.max_bindings
        && operands <= p.caps.max_bindings.max(8)
        && a.values.len() + b.values.len() <= p.caps.max_values
        && a.compile_cost().saturating_add(b.compile_cost()) <= p.caps.max_cost
}

/// Moves a kernel's loads, values and stores into its host, where equal loads and equal values become one.
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
        if let Op::Load(n) | Op::Gather { load: n, .. } = &mut value.op {
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
