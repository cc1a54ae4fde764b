//! Runs expressions as one plan, into new memory.

use super::Array;
use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout;
use crate::graph::expr::{Binding, Expr, PublicCall};
use crate::plan::backend::{Bindings, SourceLines};
use crate::plan::kernel::{ExecutionPlan, Output, Step};
use crate::plan::{self, CachedPlan};
use smallvec::SmallVec;
use std::sync::Arc;

/// The arrays that an evaluation returns. A single array, the most frequent case, needs no heap allocation.
pub(super) type Results = SmallVec<[Array; 1]>;

/// Returns the only result of an evaluation, or an error that names the operation `op` if there is none.
#[inline]
pub(super) fn only(mut results: Results, op: &'static str, at: Loc) -> Result<Array> {
    results.pop().ok_or_else(|| no_result(op, at))
}

#[cold]
fn no_result(op: &'static str, at: Loc) -> Error {
    Error::with_line(ErrorKind::Internal, op, "no result", at)
}

/// Computes unevaluated expressions into new memory, by one plan. If a plan would store the operand of a view as a
/// whole anyway, the caller passes this operand instead of the view.
pub(super) fn execute(roots: &[&Expr], device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    let call = |i: usize| PublicCall::of(roots[i]);
    with_plan(roots, device, |planned, bindings| compute(planned, &call, bindings, device, at, at_once))
}

/// Computes a single expression like [`execute`], and returns its array directly instead of in a list.
#[inline]
pub(super) fn execute_one(root: &Expr, device: &Device, at: Loc) -> Result<Array> {
    with_plan(&[root], device, |planned, bindings| match &planned.plan.outputs[..] {
        [output] => compute_one(planned, output, &|_| PublicCall::of(root), bindings, device, at, false),
        _ => Err(no_result("eval", at)),
    })
}

/// Finds the plan of some expressions in the cache or makes it, and calls `run` with the plan and the buffers and
/// numbers that the plan reads. `run` must add the buffers of the outputs.
#[inline(always)]
fn with_plan<T>(roots: &[&Expr], device: &Device, run: impl Fn(&CachedPlan, Bindings<'_>) -> Result<T>) -> Result<T> {
    let on_recent = |planned: &Arc<CachedPlan>, found: &plan::Found<'_>| {
        let (inputs, scalars) = (found.inputs.as_slice(), found.scalars.as_slice());
        run(planned, Bindings { inputs, outputs: &[], scalars, lines: found, replaces: false })
    };
    let caps = device.backend().caps();
    plan::with_recent(roots, None, caps, on_recent).unwrap_or_else(|| with_new_plan(roots, device, &run))
}

#[inline(never)]
fn with_new_plan<T>(
    roots: &[&Expr],
    device: &Device,
    run: impl Fn(&CachedPlan, Bindings<'_>) -> Result<T>,
) -> Result<T> {
    let mut walk = plan::Walk::default();
    let planned = plan::plan(&mut walk, roots, None, device.backend().caps())?;
    let (inputs, scalars) = (walk.inputs(), walk.scalars());
    run(&planned, Bindings { inputs, outputs: &[], scalars, lines: &walk, replaces: false })
}

/// Runs a plan that has a single output, and returns it as an array.
#[inline(always)]
fn compute_one(
    planned: &CachedPlan,
    output: &Output,
    call: &dyn Fn(usize) -> PublicCall,
    bindings: Bindings<'_>,
    device: &Device,
    at: Loc,
    at_once: bool,
) -> Result<Array> {
    let result = array(output, device, at, || allocate(output, device, at, &|| call(0)))?;
    let outputs = [(result.buffer(), 0)];
    run(planned, Bindings { outputs: &outputs, ..bindings }, device, at, at_once)?;
    Ok(result)
}

#[inline]
fn run(planned: &CachedPlan, bindings: Bindings<'_>, device: &Device, at: Loc, at_once: bool) -> Result<()> {
    let (backend, plan, lines) = (device.backend(), &planned.plan, bindings.lines);
    let done = if at_once { backend.run_at_once(plan, bindings) } else { backend.run(plan, bindings) };
    done.map_err(|e| blame(e, plan, lines).or_at(at))
}

/// Adds a name and a line to the error of a run that had no memory for a temporary. They are those of the first routine
/// of the plan, because a routine needs its whole operands in memory, otherwise of the last kernel.
#[cold]
pub(super) fn blame(error: Error, plan: &ExecutionPlan, lines: &dyn SourceLines) -> Error {
    if !error.is_of_allocation() {
        return error;
    }
    let routine = plan.steps.iter().find(|step| matches!(step, Step::Routine(_)));
    let kernel = || plan.steps.iter().rev().find(|step| step.nest().is_some());
    match routine.or_else(kernel).and_then(Step::named) {
        Some((name, node)) => error.named(lines.call(node).unwrap_or(name)).or_at(lines.of(node)),
        None => error.named("eval"),
    }
}

/// Allocates the outputs of a plan, runs the plan, and returns the outputs as arrays. `call` returns the call that made
/// the expression with a given index.
pub(super) fn compute(
    planned: &CachedPlan,
    call: &dyn Fn(usize) -> PublicCall,
    bindings: Bindings<'_>,
    device: &Device,
    at: Loc,
    at_once: bool,
) -> Result<Results> {
    let plan = &planned.plan;
    if let ([output], [_]) = (&plan.outputs[..], &planned.output_of[..]) {
        let mut results = Results::new();
        results.push(compute_one(planned, output, call, bindings, device, at, at_once)?);
        return Ok(results);
    }
    let mut results = Results::new();
    for (i, output) in plan.outputs.iter().enumerate() {
        let call = || call(planned.output_of.iter().position(|n| *n == i).unwrap_or(0));
        results.push(array(output, device, at, || allocate(output, device, at, &call))?);
    }
    {
        let outputs: SmallVec<[(&Buffer, usize); 4]> = results.iter().map(|array| (array.buffer(), 0)).collect();
        run(planned, Bindings { outputs: &outputs, ..bindings }, device, at, at_once)?;
    }
    // Equal expressions share an output. If each expression has an output of its own, the output with index `n` belongs
    // to expression `n`.
    if planned.output_of.len() == results.len() {
        return Ok(results);
    }
    let of = |n: &usize| array(&plan.outputs[*n], device, at, || Ok(results[*n].buffer().clone()));
    planned.output_of.iter().map(of).collect()
}

/// Allocates the memory of an output. `call` returns the call that an error reports.
#[inline]
fn allocate(output: &Output, device: &Device, at: Loc, call: &dyn Fn() -> PublicCall) -> Result<Buffer> {
    let bytes = layout::product(output.shape.as_slice()).checked_mul(output.dtype.size()).ok_or_else(|| {
        let detail = format!("shape {:?} has too many bytes", output.shape);
        Error::with_line(ErrorKind::LimitExceeded, "eval", detail, at)
    })?;
    device.backend().allocate(bytes).map_err(|e| {
        let PublicCall { name, at } = call();
        e.of_result(name).or_at(at)
    })
}

/// Makes an array for an output of a plan. `allocate` returns the buffer. It is called when the rest of the array
/// exists, so that the buffer is moved only once.
#[inline(always)]
fn array(output: &Output, device: &Device, at: Loc, allocate: impl FnOnce() -> Result<Buffer>) -> Result<Array> {
    let mut node = Expr::unbound(&output.shape, &output.strides, output.dtype, device.id(), at);
    node.binding = Binding::Array { buffer: allocate()?, offset: 0 };
    Ok(Array(Expr(node.share())))
}
