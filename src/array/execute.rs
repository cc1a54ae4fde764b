//! Runs expressions as one plan, into new memory.

use super::Array;
use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Layout};
use crate::graph::expr::Expr;
use crate::plan::backend::Bindings;
use crate::plan::kernel::Output;
use crate::plan::{self, CachedPlan};
use smallvec::SmallVec;

/// The results of an evaluation. Most evaluations have one, which needs no allocation here.
pub(super) type Results = SmallVec<[Array; 1]>;

/// Computes expressions that are neither stored nor views of an expression that is stored whole.
pub(super) fn execute(roots: &[&Expr], device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    let caps = device.backend().caps();
    let mut found = plan::Found::new();
    if let Some(planned) = plan::recent(&mut found, roots, None, caps) {
        let (inputs, scalars) = (found.inputs.as_slice(), found.scalars.as_slice());
        let bindings = Bindings { inputs, outputs: &[], scalars, lines: &found, replaces: false };
        return compute(&planned, &|i| roots[i].0.location, bindings, device, at, at_once);
    }
    let mut walk = plan::Walk::default();
    let planned = plan::plan(&mut walk, roots, None, caps)?;
    let (inputs, scalars) = (walk.inputs(), walk.scalars());
    let bindings = Bindings { inputs, outputs: &[], scalars, lines: &walk, replaces: false };
    compute(&planned, &|i| roots[i].0.location, bindings, device, at, at_once)
}

/// Runs a plan. `line` returns the line of each expression, and `bindings` has no outputs yet.
#[inline]
pub(super) fn compute(
    planned: &CachedPlan,
    line: &dyn Fn(usize) -> Loc,
    bindings: Bindings<'_>,
    device: &Device,
    at: Loc,
    at_once: bool,
) -> Result<Results> {
    let (backend, plan) = (device.backend(), &planned.plan);
    let run = |bindings: Bindings<'_>| {
        let done = if at_once { backend.run_at_once(plan, bindings) } else { backend.run(plan, bindings) };
        done.map_err(|e| e.or_at(at))
    };
    if let ([output], [_]) = (&plan.outputs[..], &planned.output_of[..]) {
        // most plans have one result; lists of results would take a tenth of the time of a small operation
        let outputs = [(allocate(output, device, at, &|| line(0))?, 0)];
        run(Bindings { outputs: &outputs, ..bindings })?;
        let [(buffer, _)] = outputs;
        let mut results = Results::new();
        results.push(array(output, buffer, at));
        return Ok(results);
    }
    let mut outputs: SmallVec<[(Buffer, usize); 1]> = SmallVec::new();
    for (i, o) in plan.outputs.iter().enumerate() {
        let line = || line(planned.output_of.iter().position(|n| *n == i).unwrap_or(0));
        outputs.push((allocate(o, device, at, &line)?, 0));
    }
    run(Bindings { outputs: &outputs, ..bindings })?;
    let array = |(buffer, n): (Buffer, usize)| array(&plan.outputs[n], buffer, at);
    let output_of = &planned.output_of;
    if output_of.len() == outputs.len() {
        // no two expressions share an output, so each output has the same index as its expression
        let mut results = Results::new();
        for (n, (buffer, _)) in outputs.into_iter().enumerate() {
            results.push(array((buffer, n)));
        }
        return Ok(results);
    }
    Ok(output_of.iter().map(|n| array((outputs[*n].0.clone(), *n))).collect())
}

/// Allocates the memory of an output. `line` returns the line of its expression, which an error has.
#[inline]
fn allocate(output: &Output, device: &Device, at: Loc, line: &dyn Fn() -> Loc) -> Result<Buffer> {
    let bytes = layout::product(output.shape.as_slice()).checked_mul(output.dtype.size()).ok_or_else(|| {
        let detail = format!("shape {:?} has too many bytes", output.shape);
        Error::with_line(ErrorKind::LimitExceeded, "eval", detail, at)
    })?;
    device.backend().allocate(bytes).map_err(|e| e.or_at(line()))
}

/// Returns an output as an array.
#[inline]
fn array(output: &Output, buffer: Buffer, at: Loc) -> Array {
    let (shape, strides) = (layout::copied(&output.shape), layout::copied(&output.strides));
    Array::new(buffer, Layout { shape, strides, offset: 0 }, output.dtype, at)
}
