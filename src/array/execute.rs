//! Runs expressions as one plan, into new memory.

use super::Array;
use crate::array::device::Device;
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Layout};
use crate::graph::expr::Expr;
use crate::plan::backend::Bindings;
use crate::plan::{self, CachedPlan};
use smallvec::SmallVec;

/// The results of an evaluation. Most evaluations have one, which needs no allocation here.
pub(super) type Results = SmallVec<[Array; 1]>;

/// Computes expressions that are neither stored nor views of an expression that is stored whole.
pub(super) fn execute(roots: &[&Expr], device: &Device, at: Loc, at_once: bool) -> Result<Results> {
    let mut walk = plan::Walk::default();
    let planned = plan::plan(&mut walk, roots, None, device.backend().caps())?;
    let (inputs, scalars) = (walk.inputs(), walk.scalars());
    let bindings = Bindings { inputs, outputs: &[], scalars, lines: &walk, replaces: false };
    compute(&planned, &|i| roots[i].0.location, bindings, device, at, at_once)
}

/// Runs a plan. `line` returns the line of each expression, and `bindings` has no outputs yet.
pub(super) fn compute(
    planned: &CachedPlan,
    line: &dyn Fn(usize) -> Loc,
    bindings: Bindings<'_>,
    device: &Device,
    at: Loc,
    at_once: bool,
) -> Result<Results> {
    let (backend, plan) = (device.backend(), &planned.plan);
    let mut outputs: SmallVec<[(Buffer, usize); 1]> = SmallVec::new();
    for (i, o) in plan.outputs.iter().enumerate() {
        let first = || planned.output_of.iter().position(|n| *n == i).unwrap_or(0);
        let bytes = layout::product(&o.shape).checked_mul(o.dtype.size()).ok_or_else(|| {
            Error::with_line(ErrorKind::LimitExceeded, "eval", format!("shape {:?} has too many bytes", o.shape), at)
        })?;
        outputs.push((backend.allocate(bytes).map_err(|e| e.or_at(line(first())))?, 0));
    }
    let bindings = Bindings { outputs: &outputs, ..bindings };
    let done = if at_once { backend.run_at_once(plan, bindings) } else { backend.run(plan, bindings) };
    done.map_err(|e| e.or_at(at))?;
    let array = |(buffer, n): (Buffer, usize)| {
        let o = &plan.outputs[n];
        let (shape, strides) = (SmallVec::from_slice(&o.shape), SmallVec::from_slice(&o.strides));
        Array::new(buffer, Layout { shape, strides, offset: 0 }, o.dtype, at)
    };
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
