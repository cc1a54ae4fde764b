//! Checks that a plan has the properties on which backends rely. A backend calls [`validate`] when it prepares a plan,
//! so that the rest of the backend need not check them again. Properties that depend on the buffers of a run are
//! checked when the buffers are bound.

mod schedule;

use super::{
    BufferRef, ExecutionPlan, Gives, Kernel, KernelKind, KernelReduction, Load, Op, PartOfK, Source, Step, Store,
    Value, Window,
};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{Error, ErrorKind};

/// The maximum number of windows of a kernel that are compared with each other for overlap. Each pair is compared, so
/// with more windows only the sum of their sizes is checked. Chosen by hand; no benchmark compares other values.
const COMPARED_WINDOWS: usize = 64;

/// Returns an error if a plan is not well formed, which is a bug in the planner. The error comes with the number of the
/// faulty step's node, by which the caller's source line is found.
pub(crate) fn validate(plan: &ExecutionPlan) -> Result<(), (Error, usize)> {
    let fail = |name: &'static str, detail| Error::with_line(ErrorKind::Internal, name, detail, None);
    if plan.aliased.len() != plan.inputs.len() {
        return Err((fail("eval", format!("{} inputs, {} aliases", plan.inputs.len(), plan.aliased.len())), 0));
    }
    // the temporaries that the steps so far have written; no other temporary may be read
    let mut written = vec![false; plan.temps.len()];
    let mut follows = false;
    for (number, step) in plan.steps.iter().enumerate() {
        let (name, node) = match step {
            Step::Nest(kernel) => (kernel.name, kernel.node),
            Step::Routine(call) => (call.row.name, call.node),
            Step::Clear { .. } => ("clear", 0),
        };
        let done = match step {
            Step::Nest(kernel) => {
                let next = plan.steps.get(number + 1).and_then(Step::nest);
                nest(plan, kernel, follows, &mut written).and_then(|()| schedule::hands_on(kernel, next))
            }
            Step::Routine(_) | Step::Clear { .. } => buffers(plan, step, &mut written),
        };
        done.map_err(|detail| (fail(name, detail), node))?;
        follows = matches!(step, Step::Nest(_));
    }
    Ok(())
}

/// Checks a kernel. `follows` is true if the step before it in the plan is also a kernel. `written` marks the
/// temporaries written so far.
fn nest(plan: &ExecutionPlan, kernel: &Kernel, follows: bool, written: &mut [bool]) -> Check {
    ensure(follows || !kernel.continues, || "a further pass without a kernel before it".to_string())?;
    space(kernel)?;
    for (n, load) in kernel.loads.iter().enumerate() {
        operand(plan, kernel, n, load)?;
        if let BufferRef::Temp(t) = load.buffer {
            let is_read = kernel.reads(n) && kernel.outer_size() > 0;
            ensure(written[t] || !is_read, || format!("load {n} reads {} before it is written", load.buffer))?;
        }
    }
    for (n, value) in kernel.values.iter().enumerate() {
        values(plan, kernel, n, value)?;
    }
    for (n, store) in kernel.stores.iter().enumerate() {
        target(plan, kernel, n, store)?;
        if let BufferRef::Temp(t) = store.buffer {
            let is_there = written[t] || !store.updates();
            ensure(is_there, || format!("store {n} updates {} before it is written", store.buffer))?;
            written[t] = true;
        }
    }
    if kernel.outer_size() == 0 {
        return Ok(());
    }
    schedule::schedule(kernel)?;
    let Some(ordinary) = kernel.schedule.ordinary() else { return Ok(()) };
    let is_alike = ordinary.outer == kernel.outer && ordinary.inner == kernel.inner;
    ensure(is_alike && ordinary.stores.len() == kernel.stores.len(), || "an ordinary kernel of another shape".into())?;
    ensure(ordinary.schedule.ordinary().is_none(), || "an ordinary kernel of an ordinary kernel".into())?;
    nest(plan, ordinary, follows, written)
}

/// Checks a routine or a clear: its buffers exist, it writes no input of the plan, and earlier steps have written the
/// temporaries that it reads. Scratch temporaries are an exception, because the routine itself writes them.
fn buffers(plan: &ExecutionPlan, step: &Step, written: &mut [bool]) -> Check {
    let is_there = |buffer: &BufferRef| match *buffer {
        BufferRef::Input(i) => i < plan.inputs.len(),
        BufferRef::Temp(i) => i < plan.temps.len(),
        BufferRef::Output(i) => i < plan.outputs.len(),
    };
    let (reads, writes) = (step.reads(), step.writes());
    for buffer in reads.iter().chain(&writes) {
        ensure(is_there(buffer), || format!("{buffer} does not exist"))?;
    }
    for buffer in &writes {
        ensure(!matches!(buffer, BufferRef::Input(_)), || format!("a write to {buffer}"))?;
        if let BufferRef::Temp(t) = buffer {
            written[*t] = true;
        }
    }
    for buffer in &reads {
        if let BufferRef::Temp(t) = buffer {
            // an operand without elements is never written, although it has a temporary
            let is_empty = match step {
                Step::Routine(call) => call.operands.iter().any(|o| o.buffer == *buffer && o.meta.size() == 0),
                Step::Nest(_) | Step::Clear { .. } => false,
            };
            ensure(written[*t] || is_empty, || format!("{buffer} is read before it is written"))?;
        }
    }
    Ok(())
}

type Check = Result<(), String>;

/// Returns an error with the message `detail` if `holds` is false.
fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(detail()) }
}

/// Checks the kernel's index space, its windows, and the shape that its kind requires.
fn space(k: &Kernel) -> Check {
    let rank = k.outer.len();
    match k.kind {
        KernelKind::Elementwise => {
            ensure(k.inner.is_empty(), || "an elementwise kernel with an inner space".to_string())?
        }
        KernelKind::Reduce(_) | KernelKind::Row => {}
        KernelKind::Matmul => {
            let starts_with_a_product = k.values.first().is_some_and(|v| matches!(v.op, Op::Dot { .. }));
            ensure(starts_with_a_product, || "a matmul kernel that does not start with its product".to_string())?;
            ensure(rank >= 2 && k.loads.len() >= 2, || "a product without two matrices".to_string())?;
            // the first factor does not depend on the column n, and the second does not depend on the row m
            for (load, axis) in [(0, rank - 1), (1, rank - 2)] {
                let stride = k.loads[load].strides.get(axis).copied();
                ensure(k.outer[axis] == 1 || stride == Some(0), || format!("factor {load} moves along axis {axis}"))?;
            }
        }
    }
    let size = |w: &Window| w.shape.iter().fold(1usize, |size, n| size.saturating_mul(*n));
    for w in &k.windows {
        let ranks = w.start.len() == rank && w.shape.len() == rank;
        let ends = || w.start.iter().zip(&w.shape).map(|(start, n)| start.checked_add(*n));
        let inside = ranks && ends().zip(&k.outer).all(|(end, n)| end.is_some_and(|end| end <= *n));
        ensure(inside, || format!("a window {:?} + {:?} of {:?}", w.start, w.shape, k.outer))?;
        ensure(size(w) > 0 || k.outer_size() == 0, || "an empty window".to_string())?;
    }
    let covered = k.windows.iter().fold(0usize, |sum, w| sum.saturating_add(size(w)));
    ensure(covered == k.outer_size(), || format!("windows of {covered} of {} indices", k.outer_size()))?;
    if covered > 0 && k.windows.len() <= COMPARED_WINDOWS {
        let apart = |a: &Window, b: &Window| {
            (0..rank).any(|d| a.start[d] + a.shape[d] <= b.start[d] || b.start[d] + b.shape[d] <= a.start[d])
        };
        let all = k.windows.iter().enumerate().all(|(i, a)| k.windows[..i].iter().all(|b| apart(a, b)));
        ensure(all, || "windows that overlap".to_string())?;
    }
    Ok(())
}

/// Checks a load: its buffer, its element size and the number of its strides.
fn operand(plan: &ExecutionPlan, k: &Kernel, n: usize, load: &Load) -> Check {
    let (there, size) = match load.buffer {
        BufferRef::Input(i) => (i < plan.inputs.len(), plan.inputs.get(i).map(|d| d.size())),
        BufferRef::Temp(i) => (i < plan.temps.len(), None),
        BufferRef::Output(i) => (i < plan.outputs.len(), plan.outputs.get(i).map(|o| o.dtype.size())),
    };
    ensure(there, || format!("load {n} of {}, which does not exist", load.buffer))?;
    ensure(size.is_none_or(|s| s == load.dtype.size()), || format!("load {n} of {} as {}", load.buffer, load.dtype))?;
    let rank = k.outer.len() + k.inner.len();
    ensure(load.strides.len() == rank, || format!("load {n} has {} strides for {rank} axes", load.strides.len()))
}

/// Checks a value: its operands precede it, and the loads and scalars that it uses exist. An outer value (one element
/// per index of `outer`) reads inner values (one element per index of `outer × inner`) only by a reduction or scan.
fn values(plan: &ExecutionPlan, k: &Kernel, n: usize, value: &Value) -> Check {
    let operands = value.op.operands();
    for a in &operands {
        ensure(*a < n, || format!("value {n} reads value {a}"))?;
    }
    let has_levels = matches!(k.kind, KernelKind::Reduce(_) | KernelKind::Row);
    ensure(has_levels || !value.inner, || format!("value {n} is at the inner level of a kernel that has none"))?;
    let reduces = matches!(value.op, Op::Reduce(..) | Op::Scan(..));
    let level = value.inner || reduces || operands.iter().all(|a| !k.values[*a].inner);
    ensure(level, || format!("value {n} is at the outer level and reads an inner value"))?;
    let scalars = value.op.scalars();
    ensure(scalars <= plan.scalars.len(), || format!("value {n} reads scalar {}", scalars - 1))?;
    let load = |l: usize| ensure(l < k.loads.len(), || format!("value {n} reads load {l} of {}", k.loads.len()));
    match &value.op {
        Op::Load(l) => load(*l),
        Op::Gather { load: l, position, .. } => {
            load(*l)?;
            let dtype = k.values[position.index].dtype;
            ensure(dtype.is_integer(), || format!("value {n} gathers by {dtype}"))
        }
        Op::Position(position) => {
            let (dtype, extent) = (k.values[position.index].dtype, position.extent);
            ensure(dtype.is_integer() && value.dtype == DType::I32, || format!("value {n} is a position by {dtype}"))?;
            ensure(extent <= i32::MAX as usize, || format!("value {n} is one of {extent} positions"))
        }
        Op::Index { strides, .. } => {
            let rank = k.outer.len() + if value.inner { k.inner.len() } else { 0 };
            ensure(strides.len() >= rank, || format!("value {n} has {} strides for {rank} axes", strides.len()))
        }
        Op::Ufunc(row, args) => {
            ensure(args.len() == row.arity, || format!("value {n} passes {} {} operands", row.name, args.len()))
        }
        Op::Philox { word, .. } => ensure(*word < 12, || format!("value {n} is word {word} of twelve")),
        Op::Reduce(r) => {
            ensure(has_levels && !value.inner, || format!("value {n} reduces where nothing is to be reduced"))?;
            reduction(k, n, r)
        }
        Op::Scan(r) => {
            ensure(k.kind == KernelKind::Row, || format!("value {n} scans outside a row kernel"))?;
            ensure(r.fold.function().is_some(), || {
                format!("value {n} scans by {}, which is not a function", r.fold.name)
            })?;
            let outer = r.inputs().into_iter().find(|a| !k.values[*a].inner);
            outer.map_or(Ok(()), |a| Err(format!("value {n} scans value {a}, which is at the outer level")))
        }
        Op::Dot { from, part } => {
            ensure(k.kind == KernelKind::Matmul && n == 0, || format!("value {n} is a product"))?;
            let end = |p: &PartOfK| {
                let chains = if p.of_chains { k.outer.first().map_or(0, |n| n.saturating_sub(1)) } else { 0 };
                chains.saturating_mul(super::CHAIN).saturating_add(p.first).saturating_add(p.length)
            };
            ensure(part.as_ref().is_none_or(|p| end(p) <= k.inner_size()), || format!("value {n} sums {part:?}"))?;
            // the sum with which the product starts has an element for each element of the result, in the type in which
            // the product is computed
            let fits = |l: &Load| {
                l.dtype == value.compute().dtype() && l.strides.iter().skip(k.outer.len()).all(|stride| *stride == 0)
            };
            let goes_on = from.is_none_or(|n| n >= 2 && k.loads.get(n).is_some_and(fits));
            ensure(goes_on, || format!("value {n} continues from load {from:?}"))
        }
        Op::Scalar(_) | Op::Constant(_) | Op::Cast(_) | Op::Round(_) => Ok(()),
    }
}

/// Checks the reduction `r` that is value number `n`: its operands vary along `inner`, and the components of the state
/// that it reads or gives exist in its fold.
fn reduction(k: &Kernel, n: usize, r: &KernelReduction) -> Check {
    for a in r.inputs() {
        ensure(k.values[a].inner, || format!("value {n} reduces value {a}, which is at the outer level"))?;
        let chained = k.kind != KernelKind::Row && follows_a_reduction(k, a);
        ensure(!chained, || format!("value {n} reduces what follows a reduction, outside a row kernel"))?;
    }
    if let Some(base) = r.base() {
        let counts = !k.values[base].inner && k.values[base].dtype == DType::I32;
        ensure(counts, || format!("value {n} counts from value {base}, which is not a position"))?;
    }
    let components = r.fold.state.len();
    if let Source::States(states) = &r.source {
        ensure(states.len() == components, || {
            format!("value {n} reduces {} of {components} components", states.len())
        })?;
    }
    match r.gives {
        Gives::Result => Ok(()),
        Gives::Component(c) => ensure(c < components, || format!("value {n} is component {c} of {components}")),
    }
}

/// Returns whether a value is, or depends on, a reduction or scan of the kernel. This function relies on the check that
/// operands have smaller indices than the values that read them.
fn follows_a_reduction(k: &Kernel, value: usize) -> bool {
    let mut follows = vec![false; value + 1];
    for v in 0..=value {
        let op = &k.values[v].op;
        follows[v] = matches!(op, Op::Reduce(..) | Op::Scan(..)) || op.operands().iter().any(|a| follows[*a]);
    }
    follows[value]
}

/// Checks a store. Its buffer must exist and not be an input. Its value must exist and have a suitable type, as must
/// its condition and its computed index if it has them. It must have a stride for each dimension of its value.
fn target(plan: &ExecutionPlan, k: &Kernel, n: usize, store: &Store) -> Check {
    let there = match store.buffer {
        BufferRef::Input(_) => false,
        BufferRef::Temp(i) => i < plan.temps.len(),
        BufferRef::Output(i) => plan.outputs.get(i).is_some_and(|o| o.dtype.size() == store.dtype.size()),
    };
    ensure(there, || format!("store {n} of {} to {}", store.dtype, store.buffer))?;
    let Some(value) = k.values.get(store.value) else {
        return Err(format!("store {n} of value {}", store.value));
    };
    // only the compute types must agree: an f16 product, for example, may be kept as f32 for its epilogue
    ensure(value.compute() == store.dtype.compute(), || format!("store {n} of {} as {}", value.dtype, store.dtype))?;
    let level = !value.inner || k.kind == KernelKind::Row;
    ensure(level, || format!("store {n} of an inner value outside a row kernel"))?;
    let rank = k.outer.len() + if value.inner { k.inner.len() } else { 0 };
    ensure(store.strides.len() >= rank, || format!("store {n} has {} strides for {rank} axes", store.strides.len()))?;
    // for kernels that are not elementwise, backends only support stores of whole rows or tiles
    let plain = store.is_plain() || k.kind == KernelKind::Elementwise;
    ensure(plain, || format!("store {n} is conditional or scattered, and its kernel is not elementwise"))?;
    if let Some(condition) = store.condition() {
        let is_bool = k.values.get(condition).is_some_and(|v| v.dtype == DType::Bool);
        ensure(is_bool, || format!("store {n} under a condition, value {condition}, that is not a bool"))?;
    }
    let Some(scattered) = store.scattered() else { return Ok(()) };
    let is_position = k.values.get(scattered.index).is_some_and(|v| v.compute() == Compute::I32);
    ensure(is_position, || format!("store {n} at value {}, which is not an i32", scattered.index))?;
    let extent = scattered.extent;
    ensure(extent <= i32::MAX as usize, || format!("store {n} writes at one of {extent} positions"))?;
    let combines = !store.updates() || store.dtype.is_integer();
    ensure(combines, || format!("store {n} combines {}, whose order would decide bits", store.dtype))
}

#[cfg(feature = "testing")]
mod tests;
