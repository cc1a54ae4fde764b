//! The plan and its kernels, as plain data. They record what the planner decides before a backend sees them: types,
//! broadcasting, collapsed dimensions, fusion, windows, schedules. A plan holds no buffer; it can be printed and read
//! without a device.
//!
//! A plan is a list of [`Step`]s: loop nests, calls of routines (operations that are no loop nest), and clears of temporaries.
//!
//! A [`Kernel`] is one loop nest. Its index space is `outer × inner`, both collapsed, row-major. For each index it
//! runs `values`, straight-line code in single-assignment form: value `i` is `values[i]`. A value is at the inner
//! level (one per index of `outer × inner`) or at the outer level (one per index of `outer`). A [`Op::Reduce`] makes an outer
//! value of an inner one, a [`Op::Scan`] another inner one (or an outer one, its total), a [`Op::Dot`] an outer value of two
//! loads; an outer value used at the inner level is broadcast. `stores` say which values are written where.

mod moves;
mod plan;
mod print;
mod product;
mod reduction;
mod scan;
mod schedule;
mod store;
mod validate;

pub(crate) use moves::Moved;
pub(crate) use plan::{Choice, Kept, Model, Output, Plan, RoutineCall, RoutinePass, Step, Whole};
pub(crate) use product::{CHAIN, MOST_OF_CHAINS, Matrices, Method, Product, is_narrow, takes};
pub(crate) use reduction::{Gives, Reduction, Source};
pub(crate) use scan::{SCAN_BLOCK, SCAN_RUN};
pub(crate) use schedule::{
    Axes, Checks, Details, Groups, Pass, Passes, Schedule, Tiles, Tiling, Work, WriteClass, takes_parts,
};
pub(crate) use store::{Chosen, Combine, Scattered, Store};
pub(crate) use validate::validate;

pub use crate::base::caps::Caps;
pub(crate) use crate::base::caps::tiles::Tile;
pub(crate) use crate::base::caps::{NumberedCaps, Rates};
use crate::base::dtype::{Compute, DType};
use crate::base::heap::Heap;
pub(crate) use crate::base::layout::IndexMode;
use crate::base::layout::{self, Shape, Strides};
pub(crate) use crate::graph::ufunc::Fold;
use crate::graph::ufunc::{Order, Ufunc};
use smallvec::SmallVec;

/// A buffer, by its number in the plan's `inputs`, `temps` or `outputs`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum BufferRef {
    /// A stored array that the expression reads. A run binds it with an offset in elements, which is added to each load's own.
    Input(usize),
    /// A temporary.
    Temp(usize),
    /// A result, or the target of a write.
    Output(usize),
}

/// A read: element `offset + Σ strides[d] · index[d]` of a buffer of `dtype`, widened to its compute type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Load {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// One stride for each dimension of `outer`, then of `inner`, in elements.
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

/// What computes a value of a kernel. A `usize` is the number of another value, unless its comment says otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    /// Reads `loads[n]`.
    Load(usize),
    /// Run-time scalar `n` of the plan, already in the value's compute type.
    Scalar(usize),
    /// A constant, as bits of the value's compute type. Only tests make these: the planner makes every number a run-time
    /// scalar, so that expressions that differ in numbers alone share a plan.
    Constant(u64),
    /// `offset + Σ strides[d] · index[d]`, wrapping in the value's type (i32, u32 or i64).
    Index { strides: Box<Strides>, offset: i64 },
    /// Calls a row of the table of ufuncs. Its operands already have the types that the row's class asks for.
    Ufunc(&'static Ufunc, SmallVec<[usize; 3]>),
    /// Converts the operand from its dtype to the value's, as Rust's `as` does (floats saturate); to bool, all but 0 is true.
    Cast(usize),
    /// Rounds an f32 to the value's dtype, f16 or bf16, or wraps a 32-bit integer to the value's narrower integer type.
    Round(usize),
    /// Reads one element of `loads[load]` at a computed position: `stride` times the position is added to the load's own place.
    Gather { load: usize, stride: isize, position: Box<Position> },
    /// Computes a position, as i32.
    Position(Box<Position>),
    /// Computes a random word, u32. The block of four words that Philox4x32-10 makes of the counter (index / 4, 0, stream,
    /// `word` % 4) and the seed as its key serves four indices. `word` / 4 is 0 for the word index % 4 of the block; 1 for the
    /// radius of a pair of normal numbers, which is the word of the even one of indices 2k and 2k + 1; 2 for the angle, which
    /// is the word of the odd one, and for that one a quarter turn (2^30) more, modulo 2^32. `slots` are the run-time scalars
    /// that hold the seed's low word, its high word, and the stream.
    Philox { index: usize, word: u8, slots: [usize; 3] },
    /// Reduces inner values along `inner`.
    Reduce(Box<Reduction>),
    /// Combines, for each index of `inner`, the elements of an inner value up to and with that index, by the tree of
    /// `plan/kernel/scan.rs`. If this value is at the outer level, it is the total: all elements, combined by the same tree.
    Scan(Box<Reduction>),
    /// Σ over `inner` of `loads[0] · loads[1]`: the product of a matmul kernel, in the value's compute type. The sum goes on from
    /// that in `loads[from]`, if there is one: `plan/chains.rs` computes a long product by several kernels.
    Dot { from: Option<usize> },
}

/// A position along an axis of `extent` elements that is computed from an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    /// The value that is the index.
    pub index: usize,
    pub extent: usize,
    /// How the index is brought into `0..extent`.
    pub mode: IndexMode,
    /// The run-time scalars 0 and `extent`, where an index below the first means the position that is larger by the second.
    /// The CPU sets it where the planner has written the same as values (`cpu/ends.rs`); in a plan it is none.
    pub from_end: Option<[usize; 2]>,
    /// The operation that an error of an index out of range names.
    pub name: &'static str,
    /// The node of that operation, by which the error finds the caller's line.
    pub node: usize,
}

impl Op {
    /// Makes the operation that reduces value `x`, of type `element`, by `fold`.
    pub fn reduce(fold: Fold, x: usize, element: DType) -> Op {
        Op::Reduce(Box::new(Reduction::of(fold, x, element)))
    }

    /// Makes the operation that scans value `x`, of type `element`, by `fold`.
    pub fn scan(fold: Fold, x: usize, element: DType) -> Op {
        Op::Scan(Box::new(Reduction::of(fold, x, element)))
    }

    /// Returns the values that the operation reads.
    pub fn operands(&self) -> SmallVec<[usize; 3]> {
        match self {
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Dot { .. } => SmallVec::new(),
            Op::Ufunc(_, args) => args.clone(),
            Op::Cast(a) | Op::Round(a) => SmallVec::from_slice(&[*a]),
            Op::Reduce(r) | Op::Scan(r) => r.inputs().into_iter().chain(r.base()).collect(),
            Op::Gather { position, .. } | Op::Position(position) => SmallVec::from_slice(&[position.index]),
            Op::Philox { index, .. } => SmallVec::from_slice(&[*index]),
        }
    }

    /// Renumbers the values that the operation reads.
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

    /// Returns the strides of an [`Op::Index`]. Those of loads and stores are in [`Load`] and [`Store`].
    pub fn strides(&self) -> Option<&Strides> {
        if let Op::Index { strides, .. } = self { Some(strides) } else { None }
    }

    /// Returns the strides of an [`Op::Index`], to be changed.
    pub fn strides_mut(&mut self) -> Option<&mut Strides> {
        if let Op::Index { strides, .. } = self { Some(strides) } else { None }
    }

    /// Returns the position that the operation computes from an index.
    pub fn position(&self) -> Option<&Position> {
        match self {
            Op::Gather { position, .. } | Op::Position(position) => Some(position),
            Op::Load(_)
            | Op::Scalar(_)
            | Op::Constant(_)
            | Op::Index { .. }
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Philox { .. }
            | Op::Reduce(..)
            | Op::Scan(..)
            | Op::Dot { .. } => None,
        }
    }

    /// Returns the number of the load that the operation reads an element of.
    pub fn load(&self) -> Option<usize> {
        if let Op::Load(load) | Op::Gather { load, .. } | Op::Dot { from: Some(load) } = self {
            Some(*load)
        } else {
            None
        }
    }

    /// Returns the number of the load that the operation reads an element of, to be renumbered.
    pub fn load_mut(&mut self) -> Option<&mut usize> {
        if let Op::Load(load) | Op::Gather { load, .. } | Op::Dot { from: Some(load) } = self {
            Some(load)
        } else {
            None
        }
    }

    /// Says whether the operation can meet an index out of range. Along an extent of 0 it can in every mode, because there is
    /// no position to clamp or wrap to.
    pub fn checks(&self) -> bool {
        self.position().is_some_and(|p| p.mode == IndexMode::Check || p.extent == 0)
    }

    /// Returns how many run-time scalars the plan must have for this operation: the highest number that it reads, plus 1.
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
    /// The value's type. An f16 or bf16 value is an f32 that need not be rounded; a narrow integer is in its type's range.
    pub dtype: DType,
    /// Whether there is one per index of `outer × inner` (else one per index of `outer`). Without an inner space
    /// (elementwise) every value is at the outer level.
    pub inner: bool,
}

impl Value {
    pub fn compute(&self) -> Compute {
        self.dtype.compute()
    }

    /// Says whether the value is known only at the end of a pass over the whole inner space. A reduction and the total of a
    /// scan are; the elements of a scan are too where lanes share a row (`in_lanes`), but not where a row is scanned in order.
    pub fn ends_pass(&self, in_lanes: bool) -> bool {
        match self.op {
            Op::Reduce(..) => true,
            Op::Scan(..) => !self.inner || in_lanes,
            Op::Load(_)
            | Op::Scalar(_)
            | Op::Constant(_)
            | Op::Index { .. }
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Gather { .. }
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Dot { .. } => false,
        }
    }
}

/// The kinds of loop nest. Each has one file in `src/cpu/` and one in `shaders/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum KernelKind {
    /// No inner space: values, then stores.
    Elementwise,
    /// Reductions of inner values, none of which depends on another; stores at the outer level only.
    Reduce(Lanes),
    /// Reductions that depend on one another, scans, or stores at the inner level: a row (all of `inner`) is held at once.
    Row,
    /// `values[0]` is [`Op::Dot`]; `outer` ends in m, n and `inner` is k; `loads[0]` has stride 0 along n,
    /// `loads[1]` along m. The rest is an epilogue at the outer level.
    Matmul,
}

impl KernelKind {
    /// Returns the words by which plans and profiles call the kind.
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

/// Along which axes elements that are neighbours in memory lie. The order of a reduction's tree follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Lanes {
    /// Along the reduced axes.
    Inner,
    /// Along the kept axes.
    Outer,
}

/// A part of `outer` that one dispatch covers. Most nests have up to three axes once axes are merged, so there is room for
/// three without an allocation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Window {
    pub start: SmallVec<[usize; 3]>,
    pub shape: SmallVec<[usize; 3]>,
}

/// One loop nest.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub kind: KernelKind,
    pub outer: Shape,
    pub inner: Shape,
    pub loads: Vec<Load>,
    pub values: Vec<Value>,
    pub stores: Vec<Store>,
    /// The parts of `outer`, which cover it without overlap: one, unless an operand spans more than a binding or `outer` has
    /// more indices than one dispatch takes.
    pub windows: Vec<Window>,
    /// How the kernel uses the hardware: the last thing that the planner decides.
    pub schedule: Schedule,
    /// Whether this is a further pass of the kernel before it, over its partial results or over the next window of an indexed
    /// axis. A plan counts all passes as one kernel.
    pub continues: bool,
    /// The operation that the kernel ends in, for errors.
    pub name: &'static str,
    /// The number of its node in an evaluation. A plan is shared by every place that evaluates the same structure,
    /// so the caller's line is looked up by this number in the lines that the evaluation binds.
    pub node: usize,
}

impl Kernel {
    /// Adds a value; returns its number.
    pub fn push(&mut self, op: Op, dtype: DType, inner: bool) -> usize {
        self.values.push(Value { op, dtype, inner });
        self.values.len() - 1
    }

    /// Says whether the kernel has a reduction that combines elements one after another.
    pub fn combines_in_sequence(&self) -> bool {
        self.values.iter().any(|v| matches!(&v.op, Op::Reduce(r) if r.fold.order(r.element) == Order::Sequence))
    }

    /// Says for each value whether it is one of `sinks`, or one of them depends on it.
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

    /// Estimates what compiling the kernel costs a driver, in units of one addition.
    pub fn compile_cost(&self) -> u32 {
        let one = |v: &Value| match &v.op {
            Op::Ufunc(row, args) => row.typed_operand(args).map_or(1, |a| row.compile_cost(self.values[*a].compute())),
            Op::Philox { .. } => 8,
            Op::Reduce(r) | Op::Scan(r) => r.fold.compile_cost(r.element),
            Op::Cast(_) | Op::Gather { .. } | Op::Position(_) | Op::Dot { .. } => 1,
            Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Index { .. } | Op::Round(_) => 0,
        };
        self.values.iter().map(one).sum()
    }

    /// Returns the number of indices of `outer`.
    pub fn outer_size(&self) -> usize {
        layout::product(&self.outer)
    }

    pub fn inner_size(&self) -> usize {
        layout::product(&self.inner)
    }

    /// Says whether a load reads anything. If the inner space is empty, only loads and gathers of outer values do.
    pub fn reads(&self, load: usize) -> bool {
        let outer = |v: &Value| !v.inner && v.op.load() == Some(load);
        self.inner_size() > 0 || self.values.iter().any(outer)
    }

    /// Says whether a value of the kernel is a scan.
    pub fn scans(&self) -> bool {
        self.values.iter().any(|v| matches!(v.op, Op::Scan(..)))
    }

    /// Says whether a value of the kernel can meet an index out of range.
    pub fn checks(&self) -> bool {
        self.values.iter().any(|v| v.op.checks())
    }

    /// Returns the bytes that the kernel reads and writes by its definition. An element of a load or store counts once, even
    /// if it is broadcast or lies in several windows; a gather or scatter counts one element for each index, and a store that combines counts as a read
    /// too. If an indexed axis is cut into windows, gathers and stores count in the kernel of the first window alone.
    pub fn bytes(&self) -> (u64, u64) {
        let extents = || self.outer.iter().chain(&self.inner);
        let touched = |strides: &[isize]| -> u64 {
            let walked = || extents().zip(strides).filter(|(_, s)| **s != 0);
            let indices = walked().fold(1u64, |all, (n, _)| all.saturating_mul(*n as u64));
            // where windows overlap, there are more indices than elements from the first to the last
            let reach = |(n, s): (&usize, &isize)| (n.saturating_sub(1) as u64).saturating_mul(s.unsigned_abs() as u64);
            let span = walked().map(reach).fold(1, u64::saturating_add);
            indices.min(span)
        };
        // sums saturate: a plan of 2^64 bytes or more cannot run, but it can be printed
        let add = |sum: u64, n: u64, dtype: DType| sum.saturating_add(n.saturating_mul(dtype.size() as u64));
        let mut seen: Vec<(BufferRef, &Strides, isize)> = Vec::new();
        let mut read = 0;
        let in_the_first = self.continues && self.stores.iter().all(|s| !s.is_plain());
        for (i, l) in self.loads.iter().enumerate() {
            // a gather reads one element for each of its indices
            let gathers = |v: &&Value| matches!(v.op, Op::Gather { load, .. } if load == i);
            if let Some(v) = self.values.iter().find(gathers) {
                if in_the_first {
                    continue;
                }
                let indices = self.outer_size().saturating_mul(if v.inner { self.inner_size() } else { 1 });
                read = add(read, indices as u64, l.dtype);
                continue;
            }
            if !seen.contains(&(l.buffer, &l.strides, l.offset)) {
                seen.push((l.buffer, &l.strides, l.offset));
                read = add(read, touched(&l.strides), l.dtype);
            }
        }
        let mut written = 0;
        for s in self.stores.iter().filter(|_| !in_the_first) {
            let elements = if s.scattered().is_some() { self.outer_size() as u64 } else { touched(&s.strides) };
            written = add(written, elements, s.dtype);
            read = if s.updates() { add(read, elements, s.dtype) } else { read };
        }
        (read, written)
    }
}
