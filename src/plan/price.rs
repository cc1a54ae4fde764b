//! Checks that a device supports the types and functions of a graph, and estimates costs: of running and of compiling a
//! node, and the time of each step of a plan.

use super::graph::{Graph, PlanNode};
use crate::base::dtype::{Compute, DType};
use crate::base::error::{Error, ErrorKind, Result};
use crate::graph::expr::NodeOp;
use crate::graph::ufunc::Ufunc;
use crate::plan::kernel::{Caps, Fold, Kernel, Op, Rates, Step, Value};
use std::panic::Location;

/// Returns an error if the graph uses a type or a function that the device does not support.
pub(super) fn check_types(arena: &Graph, caps: &Caps) -> Result<()> {
    for n in &arena.nodes {
        if let NodeOp::Scatter { combine, .. } = n.op
            && caps.wgsl
            && combine.lacks_wgsl_atomic(n.dtype.size())
        {
            return Err(lacks(caps, n.op.name(), n.dtype, "atomic minima and maxima of 64 bits", n.location));
        }
        let feature = match lacking_type(n.dtype.compute(), caps) {
            Some(feature) => feature,
            None => {
                if let NodeOp::Ufunc(row) = n.op
                    && caps.wgsl
                    && !row.on_gpu(operand_dtype(arena, n, row).compute())
                {
                    let dtype = operand_dtype(arena, n, row);
                    return Err(lacks(caps, n.op.name(), dtype, "a WGSL function for this type", n.location));
                }
                if let NodeOp::Reduce(fold, _) | NodeOp::Scan { fold, .. } = n.op
                    && let Some(feature) = lacking(fold, arena.nodes[n.args[0]].dtype, caps)
                {
                    let dtype = arena.nodes[n.args[0]].dtype;
                    return Err(lacks(caps, named(&n.op), dtype, feature, n.location));
                }
                continue;
            }
        };
        return Err(lacks(caps, named(&n.op), n.dtype, feature, n.location));
    }
    Ok(())
}

/// Returns the name of the feature that a device would need to compute in this type, or `None` if it can.
pub(crate) fn lacking_type(compute: Compute, caps: &Caps) -> Option<&'static str> {
    match compute {
        Compute::F64 => (!caps.float64).then_some("SHADER_F64"),
        // a device without 64-bit integers computes with pairs of 32-bit words, so these types need no feature
        Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 | Compute::F32 => None,
    }
}

/// Returns the name of the feature that a device would need for a fold (a reduction or scan) of elements of this type,
/// because of a type in the fold's state or of a function that it uses. Returns `None` if the device lacks nothing.
fn lacking(fold: Fold, element: DType, caps: &Caps) -> Option<&'static str> {
    if let Some(feature) = fold.state.iter().find_map(|c| lacking_type(c.kind.compute(element), caps)) {
        return Some(feature);
    }
    let written = || fold.functions(element).iter().all(|(row, compute)| row.on_gpu(*compute));
    (caps.wgsl && !written()).then_some("a WGSL function for this type")
}

/// Returns the error of an operation whose dtype needs a feature that the device does not have.
fn lacks(caps: &Caps, op: &str, dtype: DType, feature: &str, at: &'static Location<'static>) -> Error {
    let detail = format!("dtype {dtype} on {} needs {feature}, which it does not have", caps.name);
    Error::with_line(ErrorKind::Unsupported, op, detail, at)
}

/// Returns the name of an operation for an error. A reduction is named by its method, as the user wrote it.
fn named(op: &NodeOp) -> &'static str {
    if let NodeOp::Reduce(fold, _) = op { fold.method } else { op.name() }
}

/// Returns the dtype of the operand that decides for which type the node's function is compiled.
fn operand_dtype(arena: &Graph, n: &PlanNode, row: &Ufunc) -> DType {
    row.typed_operand(&n.args).map_or(n.dtype, |a| arena.nodes[*a].dtype)
}

/// Returns the cost of computing one element of the node, in units of one addition, without the cost of its operands.
/// For a reduction or scan, it is the cost of combining one element, which `Planner::weights` multiplies by the number
/// of elements. The costs are estimates; no benchmark compares other values.
pub(super) fn cost(arena: &Graph, n: &PlanNode, rates: &Rates) -> f64 {
    match &n.op {
        NodeOp::Ufunc(row) => row.properties.cost as f64,
        NodeOp::Cast => 1.0,
        NodeOp::Take { .. } => GATHER,
        NodeOp::Philox { .. } => PHILOX,
        NodeOp::Reduce(fold, _) => fold.cost(),
        NodeOp::Scan { fold, .. } => SCAN * fold.state.len() as f64,
        NodeOp::Matmul => {
            let k = arena.nodes[n.args[0]].shape.last().copied().unwrap_or(1);
            k as f64 * rates.additions as f64 / rates.multiply_adds as f64
        }
        // nodes of these kinds are in memory, or cost almost nothing
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::View(_)
        | NodeOp::Reshape
        | NodeOp::Concat { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Failed => 0.0,
    }
}

/// Costs per element, in units of one addition, of a gather (it reads at a random position), of a random word (Philox
/// has ten rounds), and of a scan (it combines each element about three times). Chosen by hand; no benchmark compares
/// other values.
const GATHER: f64 = 8.0;
const PHILOX: f64 = 8.0;
const SCAN: f64 = 3.0;

/// Returns the modelled time of a step, in nanoseconds. It is the sum of three terms: the step's bytes divided by the
/// rate of memory, its additions and multiply-adds divided by their rates, and the overhead of its dispatches. Each
/// value counts as often as the kernel computes it.
pub(super) fn modelled_time(step: &Step, rates: &Rates) -> f64 {
    let (read, written) = step.bytes();
    let work = match step {
        Step::Nest(kernel) => arithmetic_time(kernel, rates),
        // a routine does the same work in every plan of an expression, so its time does not affect which plan is faster
        Step::Routine(_) | Step::Clear { .. } => 0.0,
    };
    (read as f64 + written as f64) / rates.bytes as f64 + work + step.dispatches() as f64 * rates.dispatch as f64
}

fn arithmetic_time(k: &Kernel, rates: &Rates) -> f64 {
    let (outer, inner) = (k.outer_size() as f64, k.inner_size() as f64);
    // computing a value fewer than `least` times takes as long as computing it `least` times
    let least = rates.least as f64;
    let time = |v: &Value| {
        let (additions, runs) = match &v.op {
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) => (0.0, 0.0),
            Op::Index { .. } | Op::Cast(_) | Op::Round(_) | Op::Position(_) => (1.0, outer),
            Op::Ufunc(row, _) => (row.properties.cost as f64, outer),
            Op::Gather { .. } => (GATHER, outer),
            Op::Philox { .. } => (PHILOX, outer),
            // a reduction has one element per outer index, but combines an element for each inner index
            Op::Reduce(r) => (r.fold.cost(), outer * inner),
            Op::Scan(r) if v.inner => (SCAN * r.fold.state.len() as f64, outer),
            Op::Scan(r) => (SCAN * r.fold.state.len() as f64, outer * inner),
            Op::Dot { .. } => return outer * inner / rates.multiply_adds as f64,
        };
        let runs = runs * if v.inner { inner } else { 1.0 };
        additions * runs.max(least) / rates.additions as f64
    };
    k.values.iter().map(time).sum()
}

/// Returns how much the node adds to the driver's cost of compiling its kernel, in units of one addition. Philox's ten
/// rounds cost as much as a polynomial.
pub(super) fn compile_cost(arena: &Graph, n: &PlanNode) -> u32 {
    match &n.op {
        NodeOp::Ufunc(row) => row.compile_cost(operand_dtype(arena, n, row).compute()),
        NodeOp::Philox { .. } => 8,
        NodeOp::Reduce(fold, _) | NodeOp::Scan { fold, .. } => fold.compile_cost(arena.nodes[n.args[0]].dtype),
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Cast
        | NodeOp::View(_)
        | NodeOp::Reshape
        | NodeOp::Matmul
        | NodeOp::Take { .. }
        | NodeOp::Concat { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Failed => 1,
    }
}
