//! Prepares plans: compiles each step of a plan to a form that can be bound to the buffers of a run, and keeps it in
//! the plan. A step is a kernel, a routine call or the clearing of a temporary.

use super::bind::Run;
use super::{elementwise, ends, matmul, moves, reduce, routines, row};
use crate::base::buffer::Buffer;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::heap::Heap;
use crate::math::rounds_once;
use crate::plan::backend::Bindings;
use crate::plan::kernel::{ExecutionPlan, Kernel, KernelKind, Step, validate};
use crate::plan::make_room;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A step that is ready to be bound to the buffers of a run.
pub(super) enum Ready {
    /// Nothing to run: the kernel has an empty result, or the preceding step is a matrix product that also executes
    /// this step, on each part of the product's result.
    Nothing,
    Elementwise(elementwise::Elementwise),
    Moves(Box<moves::Moves>),
    Reduce(Box<reduce::Reduce>),
    Matmul(Box<matmul::Matmul>),
    Routine(routines::PreparedCall),
    /// Fills the temporary with this index with zeros.
    Clear(usize),
}

impl Ready {
    /// Prepares the steps of a plan.
    fn steps(steps: &[Step], aliased: &[bool]) -> Result<Vec<Ready>, (Error, usize)> {
        // returns whether a step is a matrix product that also executes the next step. If the plan writes in place
        // (`aliased` is not empty), the next step must wait until the whole product has been computed
        let hands_on = |step: &Step| aliased.is_empty() && hands_on(step);
        let ready = |i: usize| {
            if i > 0 && hands_on(&steps[i - 1]) {
                // the matrix product in the preceding step also executes this step
                return Ok(Ready::Nothing);
            }
            if let Step::Nest(kernel) = &steps[i]
                && hands_on(&steps[i])
                && kernel.outer_size() > 0
            {
                let next = steps.get(i + 1).and_then(Step::nest);
                return matmul::prepare(kernel, next).map(|product| Ready::Matmul(Box::new(product)));
            }
            Ready::new(i, &steps[i], aliased)
        };
        let of = |i: usize| ready(i).map_err(|e| (e, steps[i].node().unwrap_or(0)));
        (0..steps.len()).map(of).collect()
    }

    fn new(number: usize, step: &Step, aliased: &[bool]) -> Result<Ready> {
        match step {
            Step::Nest(kernel) => Ready::of_nest(number, kernel, aliased),
            Step::Routine(call) => routines::prepare(call).map(Ready::Routine),
            Step::Clear { temp } => Ok(Ready::Clear(*temp)),
        }
    }

    fn of_nest(number: usize, kernel: &Kernel, aliased: &[bool]) -> Result<Ready> {
        if kernel.outer_size() == 0 {
            return Ok(Ready::Nothing);
        }
        Ok(match kernel.kind {
            KernelKind::Elementwise => {
                let given = ends::with_given_indices(kernel);
                let kernel = given.as_ref().unwrap_or(kernel);
                match moves::prepare(kernel, aliased)? {
                    Some(moves) => Ready::Moves(Box::new(moves)),
                    None => Ready::Elementwise(elementwise::prepare(kernel, aliased)?),
                }
            }
            KernelKind::Reduce(_) => Ready::Reduce(Box::new(reduce::prepare(number, kernel, aliased)?)),
            KernelKind::Row => Ready::Reduce(Box::new(row::prepare(number, kernel, aliased)?)),
            KernelKind::Matmul => Ready::Matmul(Box::new(matmul::prepare(kernel, None)?)),
        })
    }

    /// Runs the step on the buffers of a run.
    #[inline]
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        if let Ready::Elementwise(kernel) = self { kernel.run(run) } else { self.run_other(run) }
    }

    fn run_other(&self, run: &Run<'_>) -> Result<()> {
        match self {
            Ready::Nothing => Ok(()),
            Ready::Elementwise(kernel) => kernel.run(run),
            Ready::Moves(kernel) => kernel.run(run),
            Ready::Reduce(kernel) => kernel.run(run),
            Ready::Matmul(kernel) => kernel.run(run),
            Ready::Routine(call) => call.run(run),
            Ready::Clear(temp) => routines::clear(*temp, run),
        }
    }
}

/// Returns whether a step is a matrix product that also executes the next step of the plan, on each part of its result.
fn hands_on(step: &Step) -> bool {
    step.nest().and_then(|kernel| kernel.schedule.product()).is_some_and(|product| product.hands_on)
}

/// The steps of a plan, ready to be bound, and the numbers of kernels and dispatches that each run adds to the device's
/// counters.
pub(super) struct Prepared {
    pub steps: Vec<Ready>,
    pub kernels: u64,
    pub dispatches: u64,
}

impl Heap for Ready {
    fn heap(&self) -> usize {
        match self {
            Ready::Nothing | Ready::Clear(_) => 0,
            Ready::Elementwise(kernel) => kernel.heap(),
            Ready::Moves(kernel) => kernel.heap(),
            Ready::Reduce(kernel) => kernel.heap(),
            Ready::Matmul(kernel) => kernel.heap(),
            Ready::Routine(call) => call.heap(),
        }
    }
}

/// Returns the prepared steps of a plan. If the plan has no prepared steps yet, prepares them, keeps them in the plan,
/// and increments `made`. An error is returned together with the node (of the expression) whose step could not be
/// prepared, or with 0 if no single step is the cause.
#[inline]
pub(super) fn of<'a>(
    plan: &'a ExecutionPlan,
    bindings: &Bindings<'_>,
    made: &AtomicU64,
) -> Result<&'a Prepared, (Error, usize)> {
    let replaces = replaces(plan, bindings).map_err(|e| (e, 0))?;
    match plan.kept.prepared(replaces) {
        Some(prepared) => Ok(prepared),
        None => prepare(plan, replaces, made),
    }
}

#[cold]
fn prepare<'a>(plan: &'a ExecutionPlan, replaces: bool, made: &AtomicU64) -> Result<&'a Prepared, (Error, usize)> {
    validate(plan)?;
    if !rounds_once() {
        let detail = "this engine rounds the products of relaxed SIMD: load a module without them";
        return Err((Error::with_line(ErrorKind::Unsupported, "eval", detail, None), 0));
    }
    let aliased: &[bool] = if replaces { &plan.aliased } else { &[] };
    let steps = Ready::steps(&plan.steps, aliased)?;
    made.fetch_add(1, Relaxed);
    let bytes = steps.heap();
    let dispatches = plan.steps.iter().filter(|s| s.node().is_some()).count() as u64;
    let prepared = Box::new(Prepared { steps, kernels: plan.kernel_count() as u64, dispatches });
    if plan.kept.prepare(replaces, prepared) && plan.is_kept {
        plan.kept.count(bytes);
        make_room();
    }
    let lost = || Error::with_line(ErrorKind::Internal, "eval", "the prepared steps of a plan are missing", None);
    plan.kept.prepared(replaces).ok_or_else(|| (lost(), 0))
}

/// Returns whether the first output is the same memory as an input. Returns an error if the plan does not allow this
/// for the input (`ExecutionPlan::aliased`), or if another output is the same memory as an input.
#[inline]
fn replaces(plan: &ExecutionPlan, bindings: &Bindings<'_>) -> Result<bool> {
    let mut replaces = false;
    for (i, input) in bindings.inputs.iter().enumerate() {
        for (o, output) in bindings.outputs.iter().enumerate() {
            if !output.0.same(input.0) {
                continue;
            }
            if o > 0 || !plan.aliased.get(i).is_some_and(|aliased| *aliased) {
                return Err(shares(i, o, output.0));
            }
            replaces = true;
        }
    }
    Ok(replaces)
}

#[cold]
fn shares(input: usize, output: usize, buffer: &Buffer) -> Error {
    let detail = format!("input {input} and output {output} share {buffer:?}, which the plan does not expect");
    Error::with_line(ErrorKind::Internal, "eval", detail, None)
}
