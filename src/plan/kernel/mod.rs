//! The plan and its kernels, as plain data. They record what the planner decides before a backend uses them: types,
//! broadcasting, collapsed dimensions, fusion, windows and schedules. A plan holds no buffer, and can be printed and
//! read without a device.
//!
//! A plan is a list of [`Step`]s: loop nests, calls of routines (operations that are not loop nests), and clears of
//! temporaries.
//!
//! A [`Kernel`] is one loop nest. The set of indices over which it loops is its index space `outer × inner`, where
//! `outer` and `inner` are lists of lengths in row-major order. For each index it computes `values`: value `i` is the
//! result of the operation `values[i]` on earlier values. `stores` define which values are written, and where.
//!
//! A value is at the inner level (it has an element for each index of `outer × inner`) or at the outer level (it has an
//! element for each index of `outer`). An outer value used at the inner level is broadcast.
//!
//! * An [`Op::Reduce`] computes an outer value from an inner one, and an [`Op::Dot`] from two loads.
//! * An [`Op::Scan`] at the inner level computes an inner value from an inner one. At the outer level it computes the
//!   total of such a scan.

mod bytes;
mod kept;
mod moves;
mod plan;
mod print;
mod product;
mod reduction;
mod scan;
mod schedule;
mod store;
mod validate;

pub(crate) use kept::Kept;
pub(crate) use moves::Moved;
pub(crate) use plan::{Choice, ExecutionPlan, Model, Output, RoutineCall, RoutinePass, Step, Whole};
pub(crate) use product::{CHAIN, MOST_OF_CHAINS, Matrices, Method, Product, is_narrow, takes};
pub(crate) use reduction::{Gives, KernelReduction, Source};
pub(crate) use scan::{SCAN_BLOCK, SCAN_RUN};
pub(crate) use schedule::{
    AxisIndexing, Checks, Details, Groups, Pass, Passes, Schedule, TileSchedule, Tiling, Work, WriteClass, takes_parts,
};
pub(crate) use store::{Chosen, Combine, Scattered, Store};
pub(crate) use validate::validate;

pub use crate::base::caps::Caps;
pub(crate) use crate::base::caps::product_tiles::Tile;
pub(crate) use crate::base::caps::{NumberedCaps, Rates};
use crate::base::dtype::{Compute, DType};
use crate::base::heap::Heap;
pub(crate) use crate::base::layout::IndexMode;
use crate::base::layout::{self, Shape, Strides};
pub(crate) use crate::graph::ufunc::Fold;
use crate::graph::ufunc::{FoldOrder, Ufunc};
use smallvec::SmallVec;

/// Identifies a buffer by its index in one of the plan's lists `inputs`, `temps` or `outputs`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum BufferRef {
    /// An array in memory that the expression reads. A run of the plan supplies its buffer and its offset in that
    /// buffer, in elements. This offset is added to the offset of each load.
    Input(usize),
    /// A buffer that holds an intermediate result during a run.
    Temp(usize),
    /// A result of the plan, or the existing array to which the plan writes.
    Output(usize),
}

/// A read of one element per index: element `offset + Σ strides[d] · index[d]` of a buffer of `dtype`, converted to the
/// type in which values of that dtype are computed (f32 for f16, for example).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Load {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// One stride for each dimension of the kernel's `outer`, then of its `inner`, in elements.
    pub strides: Strides,
    pub offset: isize,
}

heap! { Load: strides; Value: op; Position: ; Window: start, shape; Kernel: outer, inner, loads, values, stores, windows, schedule; }

impl Heap for Op {
    fn heap(&self) -> usize {
        match self {
            Op::Index { strides, .. } => strides.heap(),
            Op::Ufunc(_, args) => args.heap(),
            Op::Gather { position, .. } | Op::Position(position) => position.heap(),
            Op::Reduce(r) | Op::Scan(r) => r.heap(),
            Op::Load(_)
            | Op::Scalar(_)
            | Op::Constant(_)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Philox { .. }
            | Op::Dot { .. } => 0,
        }
    }
}

/// The operation that computes a value of a kernel. A `usize` is the index of another value, unless the comment of the
/// variant states otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Reads the element of `loads[n]` at the current index.
    Load(usize),
    /// Returns the run-time scalar `n` of the plan, a number that each run supplies, already converted to the value's
    /// compute type.
    Scalar(usize),
    /// A constant, as bits of the value's compute type. Only tests create these: the planner makes every number a
    /// run-time scalar, so that expressions that differ only in numbers share a plan.
    Constant(u64),
    /// Computes `offset + Σ strides[d] · index[d]`, wrapping in the value's type (i32, u32 or i64).
    Index { strides: Box<Strides>, offset: i64 },
    /// Calls a function from the table of ufuncs. Its operands already have the types that the function requires.
    Ufunc(&'static Ufunc, SmallVec<[usize; 3]>),
    /// Converts the operand from its dtype to the value's dtype, like Rust's `as` (floats saturate). Conversion to bool
    /// returns true for all values but 0.
    Cast(usize),
    /// Rounds an f32 to the value's dtype, f16 or bf16, or wraps a 32-bit integer to the value's narrower integer type.
    Round(usize),
    /// Reads one element of `loads[load]` at a computed position along an axis. The element's index in the buffer is
    /// the load's `offset + Σ strides[d] · index[d]`, plus `stride` times the computed position.
    Gather { load: usize, stride: isize, position: Box<Position> },
    /// Computes a position along an axis from an index, and checks it as the position's mode says. The result is an
    /// i32.
    Position(Box<Position>),
    /// Computes a random word as u32. Philox4x32-10 computes a block of four words, for four indices, from the counter
    /// (index / 4, 0, stream, `word` % 4) and with the seed as its key. `slots` are the run-time scalars that hold the
    /// seed's low word, its high word, and the stream. `word` / 4 selects the result. For 1 and 2, the indices 2k and
    /// 2k + 1 are a pair of normal numbers with the same radius and angle.
    ///
    /// * 0: word (index % 4) of the block.
    /// * 1: the word for the radius, which is the word of index 2k.
    /// * 2: the word for the angle, which is the word of index 2k + 1. At index 2k + 1, a quarter turn (2^30) is added,
    ///   modulo 2^32.
    Philox { index: usize, word: u8, slots: [usize; 3] },
    /// Reduces the elements of inner values (one per index of `outer × inner`) along `inner` to one element of an outer
    /// value (one per index of `outer`).
    Reduce(Box<KernelReduction>),
    /// Combines, for each index of `inner`, the elements of an inner value up to and including that index, in the order
    /// that `plan/kernel/scan.rs` defines. If the scan is an outer value (one element per index of `outer`), it is the
    /// total: all elements, combined in the same order.
    Scan(Box<KernelReduction>),
    /// Computes Σ over `inner` of `loads[0] · loads[1]`, the product of a matmul kernel, in the value's compute type.
    /// If there is a `from`, the sum starts with the value of `loads[from]`: the sum that the previous kernel of the
    /// same product stored (`plan/chains.rs`). If there is a `part`, the sum covers only that part of `inner`.
    Dot { from: Option<usize>, part: Option<PartOfK> },
}

/// A range of indices along k, the axis over which a matrix product sums. Such a range is used if `inner` has several
/// dimensions. (With one dimension, the planner instead adds to the offsets of the loads.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PartOfK {
    pub first: usize,
    pub length: usize,
    /// Whether the first dimension of `outer` counts chains (blocks of [`CHAIN`] elements along k). If so, at index i
    /// of that dimension the range begins i chains later.
    pub of_chains: bool,
}

/// How a position along an axis of `extent` elements is computed from an index, as a gather or scatter needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// The position in the kernel's `values` of the value that holds the index.
    pub index: usize,
    pub extent: usize,
    /// How an index outside `0..extent` is handled.
    pub mode: IndexMode,
    /// The positions in the plan's `scalars` of two run-time scalars, whose values are 0 and `extent`. If an index `i`
    /// is less than the first scalar, the second scalar is added to it, so that negative indices count from the end.
    /// The planner always writes `None`: it expresses the same addition by `index`, which is then the value
    /// `select(less(i, 0), add(i, n), i)`. For a gather, the CPU backend replaces this value by `i` and sets this field
    /// (`cpu/ends.rs`).
    pub from_end: Option<[usize; 2]>,
    /// The name of the operation for the error message about an out-of-bounds index.
    pub name: &'static str,
    /// The number of the operation's node. The error message finds the caller's source line by this number.
    pub node: usize,
}

impl Op {
    /// Returns the operation that reduces value number `x`, whose elements have type `element`, by `fold`.
    pub fn reduce(fold: Fold, x: usize, element: DType) -> Op {
        Op::Reduce(Box::new(KernelReduction::of(fold, x, element)))
    }

    /// Returns the operation that scans value number `x`, whose elements have type `element`, by `fold`.
    pub fn scan(fold: Fold, x: usize, element: DType) -> Op {
        Op::Scan(Box::new(KernelReduction::of(fold, x, element)))
    }

    /// Returns the indices of the values that the operation reads.
    pub fn operands(&self) -> SmallVec<[usize; 3]> {
        let only = |a| SmallVec::from_buf_and_len([a, 0, 0], 1);
        match self {
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Dot { .. } => SmallVec::new(),
            Op::Ufunc(_, args) => match *args.as_slice() {
                [a] => only(a),
                [a, b] => SmallVec::from_buf_and_len([a, b, 0], 2),
                _ => SmallVec::from_slice(args),
            },
            Op::Cast(a) | Op::Round(a) => only(*a),
            Op::Reduce(r) | Op::Scan(r) => match r.source {
                Source::Elements { x, base: None } => only(x),
                Source::Elements { .. } | Source::States(_) => r.inputs().into_iter().chain(r.base()).collect(),
            },
            Op::Gather { position, .. } | Op::Position(position) => only(position.index),
            Op::Philox { index, .. } => only(*index),
        }
    }

    /// Replaces the index `n` of each value that the operation reads by `number(n)`.
    pub fn map_operands(&mut self, mut number: impl FnMut(usize) -> usize) {
        match self {
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Dot { .. } => {}
            Op::Ufunc(_, args) => args.iter_mut().for_each(|a| *a = number(*a)),
            Op::Cast(a) | Op::Round(a) => *a = number(*a),
            Op::Reduce(r) | Op::Scan(r) => r.map_operands(number),
            Op::Gather { position, .. } | Op::Position(position) => position.index = number(position.index),
            Op::Philox { index, .. } => *index = number(*index),
        }
    }

    /// Returns the strides of an [`Op::Index`]. The strides of loads and stores are in [`Load`] and [`Store`].
    pub fn strides(&self) -> Option<&Strides> {
        if let Op::Index { strides, .. } = self { Some(strides) } else { None }
    }

    /// Returns the strides of an [`Op::Index`], mutably.
    pub fn strides_mut(&mut self) -> Option<&mut Strides> {
        if let Op::Index { strides, .. } = self { Some(strides) } else { None }
    }

    /// Returns the [`Position`] of a gather or position operation, which tells how it computes a position from an
    /// index.
    pub fn position(&self) -> Option<&Position> {
        if let Op::Gather { position, .. } | Op::Position(position) = self { Some(position) } else { None }
    }

    /// Returns the index of the load from which the operation reads an element.
    pub fn load(&self) -> Option<usize> {
        if let Op::Load(load) | Op::Gather { load, .. } | Op::Dot { from: Some(load), .. } = self {
            Some(*load)
        } else {
            None
        }
    }

    /// Returns the index of the load from which the operation reads an element, mutably.
    pub fn load_mut(&mut self) -> Option<&mut usize> {
        if let Op::Load(load) | Op::Gather { load, .. } | Op::Dot { from: Some(load), .. } = self {
            Some(load)
        } else {
            None
        }
    }

    /// Returns the part of k over which a product sums, or `None` if it sums over all of k or the operation is not a
    /// product.
    pub fn part_of_k(&self) -> Option<PartOfK> {
        if let Op::Dot { part, .. } = self { *part } else { None }
    }

    /// Returns whether the operation can meet an out-of-bounds index. Along an axis of extent 0, every index is out of
    /// bounds in every mode, because there is no position to clamp or wrap to.
    pub fn checks(&self) -> bool {
        self.position().is_some_and(|p| p.mode.checks() || p.extent == 0)
    }

    /// Returns the number of run-time scalars that the plan must have for this operation: the highest index that it
    /// reads, plus 1.
    pub fn scalars(&self) -> usize {
        match self {
            Op::Scalar(n) => n + 1,
            Op::Philox { slots, .. } => slots.iter().max().map_or(0, |n| n + 1),
            Op::Load(_)
            | Op::Constant(_)
            | Op::Index { .. }
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Gather { .. }
            | Op::Position(_)
            | Op::Reduce(..)
            | Op::Scan(..)
            | Op::Dot { .. } => 0,
        }
    }
}

/// A value of a kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    pub op: Op,
    /// The value's type. An f16 or bf16 value is held as an f32, which need not be rounded to the narrower type. An
    /// integer of 8 or 16 bits is held in 32 bits, but is always in the range of its type.
    pub dtype: DType,
    /// Whether the value has an element for each index of `outer × inner` (inner level), not for each index of `outer`
    /// (outer level). In an elementwise kernel, which has no inner dimensions, every value is at the outer level.
    pub inner: bool,
}

impl Value {
    pub fn compute(&self) -> Compute {
        self.dtype.compute()
    }

    /// Returns whether the value is known only after a loop over all inner indices has ended. This is so for a
    /// reduction and for the total of a scan. It is also so for the elements of a scan if several lanes share a row
    /// (`in_lanes`), but not if one thread scans a row in order.
    pub fn ends_pass(&self, in_lanes: bool) -> bool {
        matches!(self.op, Op::Reduce(..)) || matches!(self.op, Op::Scan(..)) && (!self.inner || in_lanes)
    }
}

/// The kinds of loop nest (kernel). For each, there is one file in `src/cpu/` and one in `shaders/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum KernelKind {
    /// Computes its values and stores them, without inner dimensions.
    Elementwise,
    /// Reduces values along `inner`, and stores only values that do not vary along `inner`. No reduction depends on
    /// another.
    Reduce(Lanes),
    /// Has reductions that depend on each other, scans, or stores of values that vary along `inner`. The kernel holds a
    /// whole row (the elements of all inner indices) at a time.
    Row,
    /// A matrix product: `values[0]` is [`Op::Dot`], the last two dimensions of `outer` are m and n, and `inner` is k.
    /// `loads[0]` has stride 0 along n, and `loads[1]` has stride 0 along m. The other values are computed from the
    /// product, and have one element per index of `outer`. If `inner` has several dimensions, the rows and the columns
    /// may have further dimensions in `outer` ([`Kernel::sides`]).
    Matmul,
}

impl KernelKind {
    /// Returns the name of the kind in plans and profiles.
    pub fn name(self) -> &'static str {
        match self {
            KernelKind::Elementwise => "elementwise",
            KernelKind::Reduce(Lanes::Inner) => "reduce inner",
            KernelKind::Reduce(Lanes::Outer) => "reduce outer",
            KernelKind::Row => "row",
            KernelKind::Matmul => "matmul",
        }
    }
}

/// The axes of a reduction's operand along which elements are neighbours in memory. This determines in which order the
/// reduction combines elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Lanes {
    /// Elements are neighbours along the reduced axes, so the lanes (invocations or SIMD lanes) of a reduction share a
    /// row.
    Inner,
    /// Elements are neighbours along the axes that are not reduced, so neighbouring lanes reduce neighbouring rows.
    Outer,
}

/// A part of a kernel's outer indices that one dispatch covers: a box with its first index and its lengths. Most
/// kernels have at most three outer dimensions after merging, so three need no heap allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Window {
    pub start: SmallVec<[usize; 3]>,
    pub shape: SmallVec<[usize; 3]>,
}

/// One loop nest: the values that it computes for each index of `outer × inner`, and where it stores them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kernel {
    pub kind: KernelKind,
    pub outer: Shape,
    pub inner: Shape,
    pub loads: Vec<Load>,
    pub values: Vec<Value>,
    pub stores: Vec<Store>,
    /// The parts of `outer` that the dispatches of the kernel cover, without overlap. There is one part, unless an
    /// operand spans more memory than one dispatch can bind or `outer` has more indices than one dispatch supports.
    pub windows: Vec<Window>,
    /// How the kernel uses the hardware. The planner decides this last.
    pub schedule: Schedule,
    /// Whether this kernel only continues the work of the kernel before it in the plan, for example because it combines
    /// that kernel's partial results, or works on the next window of an axis. A plan counts the two kernels as one
    /// kernel with several passes.
    pub continues: bool,
    /// The name of the last operation that the kernel computes, for error messages.
    pub name: &'static str,
    /// The number of the node that the kernel stores. It is the index of the caller's source line in the list of lines
    /// that each evaluation has. A plan holds no lines, because different callers share it.
    pub node: usize,
}

impl Kernel {
    /// Adds a value, and returns its index.
    pub fn push(&mut self, op: Op, dtype: DType, inner: bool) -> usize {
        self.values.push(Value { op, dtype, inner });
        self.values.len() - 1
    }

    /// Returns whether the kernel has a reduction that must combine its elements one after another, not as a tree.
    pub fn combines_in_sequence(&self) -> bool {
        self.values.iter().any(|v| matches!(&v.op, Op::Reduce(r) if r.fold.order(r.element) == FoldOrder::Sequence))
    }

    /// Returns for each value of the kernel whether it is needed to compute the values `sinks` (which are themselves
    /// needed).
    pub fn needed(&self, sinks: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut needed = vec![false; self.values.len()];
        sinks.into_iter().for_each(|v| needed[v] = true);
        for (v, value) in self.values.iter().enumerate().rev() {
            if needed[v] {
                value.op.operands().iter().for_each(|a| needed[*a] = true);
            }
        }
        needed
    }

    /// Returns an estimate of the driver's cost of compiling the kernel, in units of one addition.
    pub fn compile_cost(&self) -> u32 {
        self.compile_cost_of(|_| true)
    }

    /// Returns the cost of compiling the values for which `counts` is true, like [`compile_cost`](Kernel::compile_cost).
    pub fn compile_cost_of(&self, counts: impl Fn(&Value) -> bool) -> u32 {
        let one = |v: &Value| match &v.op {
            Op::Ufunc(row, args) => row.typed_operand(args).map_or(1, |a| row.compile_cost(self.values[*a].compute())),
            Op::Philox { .. } => 8,
            Op::Reduce(r) | Op::Scan(r) => r.fold.compile_cost(r.element),
            Op::Cast(_) | Op::Gather { .. } | Op::Position(_) | Op::Dot { .. } => 1,
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Round(_) => 0,
        };
        self.values.iter().filter(|v| counts(v)).map(one).sum()
    }

    /// Returns the number of indices of `outer`.
    pub fn outer_size(&self) -> usize {
        layout::product(&self.outer)
    }

    pub fn inner_size(&self) -> usize {
        layout::product(&self.inner)
    }

    /// Returns whether load number `load` reads any element. If `inner` has no indices, only the loads with one element
    /// per index of `outer` run.
    pub fn reads(&self, load: usize) -> bool {
        let outer = |v: &Value| !v.inner && v.op.load() == Some(load);
        self.inner_size() > 0 || self.values.iter().any(outer)
    }

    /// Returns whether a value of the kernel is a scan.
    pub fn scans(&self) -> bool {
        self.values.iter().any(|v| matches!(v.op, Op::Scan(..)))
    }

    /// Returns whether a value of the kernel can meet an out-of-bounds index.
    pub fn checks(&self) -> bool {
        self.values.iter().any(|v| v.op.checks())
    }
}
