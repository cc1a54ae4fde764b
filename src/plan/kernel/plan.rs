//! The plan: its steps in order, and the buffers that they need.

use super::{BufferRef, Kept, Kernel, Load};
use crate::base::dtype::DType;
use crate::base::heap::Heap;
use crate::base::layout::{Shape, Strides};
use crate::graph::routine::{GpuPass, Meta, Params, Routine};
use smallvec::SmallVec;
use std::fmt;
use std::panic::Location;

/// An operand or a result of a routine: a whole array, dense and in C order, that begins at element 0 of its buffer.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub buffer: BufferRef,
    pub meta: Meta,
    /// Whether the plan reads the array, which is always true for an operand. A routine on the CPU may leave a result
    /// unwritten that is not read; a GPU writes every result.
    pub is_read: bool,
}

/// One of the GPU passes (shader runs) of a routine, with the dispatches into which its items are divided.
#[derive(Clone, Debug)]
pub(crate) struct RoutinePass {
    pub pass: GpuPass,
    /// For each dispatch, the range of items that it handles: the first item, and the first item after the range. There
    /// is one dispatch, unless an operand of [`GpuPass::along`] spans more than a binding or there are more items than
    /// one dispatch supports.
    pub windows: Vec<[usize; 2]>,
    /// The number of invocations of a workgroup. Each invocation handles [`GpuPass::each`] items.
    pub group: u32,
}

/// A call of a routine (an operation that is not a loop nest, such as a sort) with its buffers. Its results and scratch
/// buffers share no memory with each other or with operands. Two operands may be the same buffer.
#[derive(Clone, Debug)]
pub(crate) struct RoutineCall {
    pub row: &'static Routine,
    pub params: Params,
    pub operands: Vec<Whole>,
    pub results: Vec<Whole>,
    /// The temporaries that the routine uses as scratch memory, each with its size in bytes.
    pub scratch: Vec<(BufferRef, usize)>,
    /// The passes that a GPU dispatches. A CPU runs the routine by one function.
    pub passes: Vec<RoutinePass>,
    /// The number of the routine's node, by which an evaluation finds the caller's source line (see [`Kernel::node`]).
    pub node: usize,
}

/// A step of a plan. Steps run one after another.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Nest(Kernel),
    Routine(RoutineCall),
    /// Fills a temporary with zeros.
    Clear {
        temp: usize,
    },
}

/// A result of a plan. It begins at the start of its buffer and is dense. Its axes are in C order, or in the memory
/// order that the operands of its operation have in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Output {
    pub dtype: DType,
    pub shape: Shape,
    pub strides: Strides,
}

/// The times by which the planner decided which nodes the plan stores. They are in nanoseconds, computed from the
/// speeds in [`Rates`](super::Rates). They only serve to compare two plans for one device, and do not predict an actual
/// time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// The modelled time of the plan.
    pub time: f64,
    /// The modelled time of the rejected plan, if the planner compared a plan that stores the nodes in `choices` with a
    /// plan that does not store them.
    pub other: Option<f64>,
    /// Whether this plan stores the nodes in `choices`.
    pub taken: bool,
    /// The nodes that are worth storing, according to the estimate for each node alone.
    pub choices: Vec<Choice>,
}

/// A node that the planner stores although a kernel could compute it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Choice {
    /// The name of the operation, followed by the shape of its result.
    pub name: &'static str,
    pub shape: Shape,
    /// How often one or several kernels would compute each element if the node were not stored.
    pub times: usize,
    /// The modelled time of storing the node and reading it back, and the modelled time of computing the node wherever
    /// it is read.
    pub stored: f64,
    pub computed: f64,
}

/// A plan that evaluates an expression: steps in order, and the buffers that they need.
#[derive(Clone, Debug)]
pub(crate) struct ExecutionPlan {
    pub inputs: Vec<DType>,
    /// For each input, whether it is in the same buffer as the target of the write. A write in place reads and writes
    /// this buffer.
    pub aliased: Vec<bool>,
    /// The number of the plan, in the order of creation. Numbers are never reused, so backends use them as cache keys.
    #[cfg_attr(not(feature = "gpu"), allow(dead_code))]
    pub id: u64,
    /// Whether the plan stays in a cache for later evaluations. If so, a backend should keep the data that it prepares.
    pub is_kept: bool,
    /// The type of each run-time scalar.
    pub scalars: Vec<DType>,
    /// The size of each temporary buffer in bytes.
    pub temps: Vec<usize>,
    pub outputs: Vec<Output>,
    pub steps: Vec<Step>,
    pub model: Model,
    pub kept: Kept,
}

heap! {
    DType: ;
    Output: shape, strides;
    Choice: shape;
    Model: choices;
    Whole: meta;
    Meta: shape;
    (BufferRef, usize): ;
    RoutinePass: windows;
    RoutineCall: params, operands, results, scratch, passes;
    ExecutionPlan: inputs, aliased, scalars, temps, outputs, steps, model;
}

impl Heap for Step {
    fn heap(&self) -> usize {
        match self {
            Step::Nest(kernel) => kernel.heap(),
            Step::Routine(call) => call.heap(),
            Step::Clear { .. } => 0,
        }
    }
}

impl RoutineCall {
    /// Returns whether the routine rejects some values of its operands, which only a run can detect.
    pub fn checks(&self) -> bool {
        self.row.refuses.is_some()
    }

    /// Returns how many bytes of operands are read and how many bytes of results are written, each element once.
    pub fn bytes(&self) -> (u64, u64) {
        let sum = |list: &[Whole]| list.iter().fold(0u64, |sum, w| sum.saturating_add(w.meta.bytes() as u64));
        (sum(&self.operands), sum(&self.results))
    }

    fn dispatches(&self) -> usize {
        // a routine without GPU passes is one call of a function on the CPU
        if self.passes.is_empty() { 1 } else { self.passes.iter().map(|p| p.windows.len()).sum() }
    }
}

impl Step {
    /// Returns the loop nest, if the step is one.
    pub fn nest(&self) -> Option<&Kernel> {
        match self {
            Step::Nest(kernel) => Some(kernel),
            Step::Routine(_) | Step::Clear { .. } => None,
        }
    }

    /// Returns the name of the kernel or routine and the number of its node, for errors, or `None` for a clear.
    pub fn named(&self) -> Option<(&'static str, usize)> {
        match self {
            Step::Nest(kernel) => Some((kernel.name, kernel.node)),
            Step::Routine(call) => Some((call.row.name, call.node)),
            Step::Clear { .. } => None,
        }
    }

    /// Returns the number of the step's node, by which the caller's source line is found, or `None` for a clear.
    pub fn node(&self) -> Option<usize> {
        self.named().map(|(_, node)| node)
    }

    /// Returns whether the step continues the kernel before it, so that both count as one kernel
    /// ([`Kernel::continues`]).
    pub fn continues(&self) -> bool {
        self.nest().is_some_and(|kernel| kernel.continues)
    }

    /// Returns whether a run of the step can meet an out-of-bounds index, or a value that a routine rejects.
    pub fn checks(&self) -> bool {
        match self {
            Step::Nest(kernel) => kernel.checks(),
            Step::Routine(call) => call.checks(),
            Step::Clear { .. } => false,
        }
    }

    /// Returns the buffers that the step reads. A routine's scratch buffers count as both read and written. The target
    /// of a store that combines its value with the element in memory does not count as read.
    pub fn reads(&self) -> SmallVec<[BufferRef; 8]> {
        match self {
            Step::Nest(kernel) => kernel.loads.iter().map(|l| l.buffer).collect(),
            Step::Routine(call) => {
                call.operands.iter().map(|w| w.buffer).chain(call.scratch.iter().map(|s| s.0)).collect()
            }
            Step::Clear { .. } => SmallVec::new(),
        }
    }

    /// Returns the buffers that the step writes.
    pub fn writes(&self) -> SmallVec<[BufferRef; 4]> {
        match self {
            Step::Nest(kernel) => kernel.stores.iter().map(|s| s.buffer).collect(),
            Step::Routine(call) => {
                call.results.iter().map(|w| w.buffer).chain(call.scratch.iter().map(|s| s.0)).collect()
            }
            Step::Clear { temp } => SmallVec::from_slice(&[BufferRef::Temp(*temp)]),
        }
    }

    /// Returns whether the step writes a buffer from which one of the loads reads. A kernel may have many stores, so their
    /// buffers are not collected.
    pub fn writes_any(&self, loads: &[Load]) -> bool {
        let is_read = |buffer: &BufferRef| loads.iter().any(|l| l.buffer == *buffer);
        match self {
            Step::Nest(kernel) => kernel.stores.iter().any(|s| is_read(&s.buffer)),
            Step::Routine(_) | Step::Clear { .. } => self.writes().iter().any(is_read),
        }
    }

    /// Returns the results of a routine, or an empty list for any other step.
    pub fn results(&self) -> &[Whole] {
        match self {
            Step::Routine(call) => &call.results,
            Step::Nest(_) | Step::Clear { .. } => &[],
        }
    }

    /// Renumbers the temporaries of the step by `number`, which is called first for the temporaries that the step
    /// writes, then for those that it reads.
    pub fn map_temps(&mut self, mut number: impl FnMut(usize) -> usize) {
        let mut place = |buffer: &mut BufferRef| {
            if let BufferRef::Temp(temp) = buffer {
                *temp = number(*temp);
            }
        };
        match self {
            Step::Nest(kernel) => {
                kernel.stores.iter_mut().for_each(|s| place(&mut s.buffer));
                kernel.loads.iter_mut().for_each(|l| place(&mut l.buffer));
            }
            Step::Routine(call) => {
                call.results.iter_mut().for_each(|w| place(&mut w.buffer));
                call.scratch.iter_mut().for_each(|s| place(&mut s.0));
                call.operands.iter_mut().for_each(|w| place(&mut w.buffer));
            }
            Step::Clear { temp } => *temp = number(*temp),
        }
    }

    /// Returns whether the step writes an output of the plan.
    pub fn writes_output(&self) -> bool {
        self.writes().iter().any(|b| matches!(b, BufferRef::Output(_)))
    }

    /// Returns whether the step counts as a kernel. Neither a clear nor a kernel that continues the one before it does.
    pub fn is_kernel(&self) -> bool {
        match self {
            Step::Nest(kernel) => !kernel.continues,
            Step::Routine(_) => true,
            Step::Clear { .. } => false,
        }
    }

    pub fn bytes(&self) -> (u64, u64) {
        match self {
            Step::Nest(kernel) => kernel.bytes(),
            Step::Routine(call) => call.bytes(),
            Step::Clear { .. } => (0, 0),
        }
    }

    pub fn dispatches(&self) -> usize {
        match self {
            Step::Nest(kernel) if kernel.schedule.is_beside() => 0,
            Step::Nest(kernel) => kernel.windows.len(),
            Step::Routine(call) => call.dispatches(),
            Step::Clear { .. } => 0,
        }
    }
}

impl ExecutionPlan {
    /// Returns the loop nests, in order.
    pub fn nests(&self) -> impl Iterator<Item = &Kernel> {
        self.steps.iter().filter_map(Step::nest)
    }

    /// Returns the number of the node of step `n`, by which the caller's source line is found. For a clear, this is the
    /// node of the routine after it.
    pub fn node_of(&self, n: usize) -> Option<usize> {
        self.steps.iter().skip(mutant!(kernels_with_the_line_of_the_first, 0, n)).find_map(Step::node)
    }

    /// Returns a value that prints the plan with the caller's source line of each step. `line` returns the line of step
    /// `n`. The plan itself holds no lines, because expressions with the same structure share it.
    pub fn with_lines<'a>(&'a self, line: &'a dyn Fn(usize) -> Option<&'static Location<'static>>) -> WithLines<'a> {
        WithLines { plan: self, line }
    }

    /// Returns the number of kernels and routines. A kernel counts once, with all its passes.
    pub fn kernel_count(&self) -> usize {
        self.steps.iter().filter(|s| s.is_kernel()).count()
    }

    /// Returns how many bytes all kernels and routines read and write.
    pub fn bytes(&self) -> (u64, u64) {
        let both = |a: (u64, u64), b: (u64, u64)| (a.0.saturating_add(b.0), a.1.saturating_add(b.1));
        self.steps.iter().map(Step::bytes).fold((0, 0), both)
    }

    /// Returns the number of dispatches of all kernels and routines.
    pub fn dispatches(&self) -> usize {
        self.steps.iter().map(Step::dispatches).sum()
    }
}

/// A modelled time, printed in microseconds with three digits.
struct Micros(f64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0 / 1000.0;
        let digits = if us < 10.0 { 2 } else { (us < 100.0) as usize };
        write!(f, "{us:.digits$} µs")
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  modelled time: {}", Micros(self.time))?;
        match (self.other, self.taken) {
            (None, _) => writeln!(f)?,
            (Some(other), true) => writeln!(f, "; {} if only the required nodes were stored", Micros(other))?,
            (Some(other), false) => writeln!(f, "; {} if more nodes were stored", Micros(other))?,
        }
        let verb = if self.taken { "stored" } else { "not stored" };
        for Choice { name, shape, times, stored, computed } in &self.choices {
            let (stored, computed, shape) = (Micros(*stored), Micros(*computed), shape.as_slice());
            writeln!(f, "    {verb}: {name} {shape:?}, {stored}; computed {times} times, {computed}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RoutineCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (read, written) = self.bytes();
        let n = self.dispatches();
        write!(f, "{}", self.row.name)?;
        if !self.params.is_empty() {
            write!(f, " {:?}", self.params.as_slice())?;
        }
        writeln!(f, "  {n} dispatch{}, reads {read} B, writes {written} B", if n == 1 { "" } else { "es" })?;
        let whole = |w: &Whole| format!("{} {} {:?}", w.buffer, w.meta.dtype, w.meta.shape.as_slice());
        for operand in &self.operands {
            writeln!(f, "    operand {}", whole(operand))?;
        }
        for (buffer, bytes) in &self.scratch {
            writeln!(f, "    scratch {buffer} {bytes} B")?;
        }
        for RoutinePass { pass, windows, group } in &self.passes {
            let (n, each) = (windows.len(), pass.each);
            write!(f, "    pass {} over {} items, ", pass.name, pass.items)?;
            if each > 1 {
                write!(f, "{each} per invocation, ")?;
            }
            writeln!(f, "groups of {group}, {n} dispatch{}", if n == 1 { "" } else { "es" })?;
        }
        for result in &self.results {
            writeln!(f, "    result {}", whole(result))?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Nest(kernel) => kernel.fmt(f),
            Step::Routine(call) => call.fmt(f),
            Step::Clear { temp } => writeln!(f, "clear {}", BufferRef::Temp(*temp)),
        }
    }
}

/// A plan together with the source lines of an evaluation.
pub(crate) struct WithLines<'a> {
    plan: &'a ExecutionPlan,
    line: &'a dyn Fn(usize) -> Option<&'static Location<'static>>,
}

impl fmt::Display for WithLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.print(f, self.line)
    }
}

impl fmt::Display for ExecutionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, &|_| None)
    }
}

impl ExecutionPlan {
    fn print(
        &self,
        f: &mut fmt::Formatter<'_>,
        line: &dyn Fn(usize) -> Option<&'static Location<'static>>,
    ) -> fmt::Result {
        let (k, d) = (self.kernel_count(), self.dispatches());
        let (read, written) = self.bytes();
        writeln!(
            f,
            "plan: {k} kernel{}, {d} dispatch{}, reads {read} B, writes {written} B, {} temporaries",
            if k == 1 { "" } else { "s" },
            if d == 1 { "" } else { "es" },
            self.temps.len(),
        )?;
        for (i, dtype) in self.inputs.iter().enumerate() {
            write!(f, "{}in{i} {dtype}", if i == 0 { "  inputs: " } else { ", " })?;
        }
        for (i, dtype) in self.scalars.iter().enumerate() {
            let first = if self.inputs.is_empty() { "  scalars: " } else { "; scalars: " };
            write!(f, "{}s{i} {dtype}", if i == 0 { first } else { ", " })?;
        }
        if !(self.inputs.is_empty() && self.scalars.is_empty()) {
            writeln!(f)?;
        }
        for (i, bytes) in self.temps.iter().enumerate() {
            write!(f, "{}temp{i} {bytes} B", if i == 0 { "  temporaries: " } else { ", " })?;
        }
        if !self.temps.is_empty() {
            writeln!(f)?;
        }
        write!(f, "{}", self.model)?;
        let mut i = 0;
        for (n, step) in self.steps.iter().enumerate() {
            match step.continues() {
                true => write!(f, "     ")?,
                false => write!(f, "  {i}: ")?,
            }
            // the source line is printed at the end of the step's first line
            match (line(n), step.to_string().split_once('\n')) {
                (Some(at), Some((head, rest))) => write!(f, "{head}  ({}:{})\n{rest}", at.file(), at.line())?,
                (None, _) | (_, None) => write!(f, "{step}")?,
            }
            i += !step.continues() as usize;
        }
        Ok(())
    }
}
