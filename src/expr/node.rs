//! The node of a graph: what it computes, its operands, and what is bound to it.
//!
//! [`NodeOp`] says what is computed and nothing else. The expression, the plan's key and the planner's arena all hold the
//! same one. What varies between two evaluations of one structure (the buffer and offset of a stored array, the value of
//! a number, the seed of a generator) is the node's [`Binding`].

use super::Expr;
use crate::buffer::Buffer;
use crate::dtype::{DType, Scalar};
use crate::error::Error;
use crate::layout::{Axes, Combine, IndexMode, Layout, Shape, Strides, View};
use crate::routine::{Params, Routine};
use crate::ufunc::{Fold, Ufunc};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// The operands of a node: three at most, except for `concat`.
pub(crate) type Args = SmallVec<[Expr; 3]>;

/// What a node computes from its operands. Two nodes are equal when this, their operands, shapes, dtypes and the slots of
/// their bindings are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum NodeOp {
    /// A stored array with these strides; bound to a buffer and an offset.
    Stored(Strides),
    /// A Rust number, or an expression of such numbers, that has no dtype of its own yet; bound to the number.
    Number,
    /// Every element is the number that is bound.
    Fill,
    /// The index along an axis, as i32.
    Iota(usize),
    /// A random word for each element, as u32: word `word` of the Philox block that the element's index in C order counts.
    /// Bound to a seed and a stream.
    Philox {
        word: u8,
    },
    /// A row of the table; operands have the dtypes that its class asks for, and broadcast.
    Ufunc(&'static Ufunc),
    /// `astype`.
    Cast,
    View(Box<View>),
    /// The elements in C order under another shape, if no view can express that.
    Reshape,
    /// A reduction along these sorted axes, which go away.
    Reduce(Fold, Axes),
    /// A scan along an axis: each element combines the operand's elements up to it. The axis has at least two elements, and
    /// the operand has no axis of length 0.
    Scan {
        fold: Fold,
        axis: usize,
    },
    /// Operands of one dtype with the batch axes broadcast: [.., m, k] × [.., k, n].
    Matmul,
    /// Elements of the second operand along `axis`, at the positions that the first operand holds (i32 or i64). The axes of
    /// the first operand take the place of `axis`.
    Take {
        axis: usize,
        mode: IndexMode,
    },
    /// The operands one after another along an axis.
    Concat {
        axis: usize,
    },
    /// The first operand, in which elements along an axis are combined with those of the third, at the positions of the
    /// second (1-d, i32 or i64). The third has the first one's shape, with as many elements along the axis as there are
    /// positions.
    Scatter {
        axis: usize,
        mode: IndexMode,
        combine: Combine,
    },
    /// Result `part` of a routine. Nodes that differ in the part alone are results of one call.
    Routine {
        row: &'static Routine,
        params: Params,
        part: u8,
    },
    /// An operation that could not be built; bound to its error.
    Failed,
}

impl NodeOp {
    /// The operation's name in errors and printed plans.
    pub fn name(&self) -> &'static str {
        match self {
            NodeOp::Stored(_) => "copy",
            NodeOp::Number | NodeOp::Fill => "full",
            NodeOp::Iota(_) => "arange",
            NodeOp::Philox { .. } => "random",
            NodeOp::Ufunc(row) => row.name,
            NodeOp::Cast => "astype",
            NodeOp::View(_) => "view",
            NodeOp::Reshape => "reshape",
            NodeOp::Reduce(fold, _) => fold.name,
            NodeOp::Scan { fold, .. } => fold.cumulative(),
            NodeOp::Matmul => "matmul",
            NodeOp::Take { .. } => "take",
            NodeOp::Concat { .. } => "concat",
            NodeOp::Scatter { combine, .. } => match combine {
                Combine::Set => "index_set",
                Combine::Add => "index_add",
                Combine::Min => "index_min",
                Combine::Max => "index_max",
            },
            NodeOp::Routine { row, .. } => row.name,
            NodeOp::Failed => "failed",
        }
    }

    /// How the operation takes part in kernels. The planner, except for lowering, asks for this instead of listing
    /// operations, so that a new operation needs an arm here only.
    pub fn role(&self) -> Role {
        match self {
            NodeOp::Stored(_) => Role::Memory,
            NodeOp::Number | NodeOp::Fill | NodeOp::Failed => Role::Constant,
            NodeOp::Iota(_) | NodeOp::Philox { .. } => Role::Generator,
            NodeOp::Ufunc(_) | NodeOp::Cast => Role::Elementwise,
            NodeOp::View(_) => Role::View,
            NodeOp::Take { .. } => Role::Gather,
            NodeOp::Reduce(..) => Role::Reduction,
            NodeOp::Scan { .. } => Role::Scan,
            NodeOp::Matmul => Role::Product,
            NodeOp::Reshape | NodeOp::Concat { .. } | NodeOp::Scatter { .. } | NodeOp::Routine { .. } => Role::Whole,
        }
    }

    /// The affine map, if the operation is a view.
    pub fn view(&self) -> Option<&View> {
        match self {
            NodeOp::View(v) => Some(v),
            NodeOp::Stored(_)
            | NodeOp::Number
            | NodeOp::Fill
            | NodeOp::Iota(_)
            | NodeOp::Philox { .. }
            | NodeOp::Ufunc(_)
            | NodeOp::Cast
            | NodeOp::Reshape
            | NodeOp::Reduce(..)
            | NodeOp::Scan { .. }
            | NodeOp::Matmul
            | NodeOp::Take { .. }
            | NodeOp::Concat { .. }
            | NodeOp::Scatter { .. }
            | NodeOp::Routine { .. }
            | NodeOp::Failed => None,
        }
    }

    /// The operation with the same index mode for every `take`, for a planted fault.
    #[cfg(cupric_mutants)]
    pub fn without_mode(&self) -> NodeOp {
        match self {
            NodeOp::Take { axis, .. } => NodeOp::Take { axis: *axis, mode: IndexMode::Clip },
            other => other.clone(),
        }
    }
}

/// How a node takes part in kernels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The node is in memory already.
    Memory,
    /// The node is a number: all its elements are the same.
    Constant,
    /// Each element is computed from its index alone: a range, or random numbers.
    Generator,
    /// Each element is computed from one element of each operand, which broadcast.
    Elementwise,
    /// Its operand's elements under other indices: an affine map, which costs a kernel nothing.
    View,
    /// Elements are read at computed indices from the second operand, which must be in memory.
    Gather,
    /// Elements are combined along axes, which are the inner space of the kernel.
    Reduction,
    /// For each element along an axis, all elements up to it are combined. The axis is the inner space of the kernel, and
    /// each index of it has a value.
    Scan,
    /// The node is a matrix product of operands in memory; the axis k is the inner space of the kernel.
    Product,
    /// The node is always computed whole, into memory: by copies, or by a routine.
    Whole,
}

impl Role {
    /// Whether a kernel that ends in this node takes its inner space from it.
    pub fn has_inner_space(self) -> bool {
        matches!(self, Role::Reduction | Role::Scan | Role::Product)
    }

    /// Whether a reduction or product below the node may give the node's kernel its index space.
    pub fn is_transparent(self) -> bool {
        matches!(self, Role::Elementwise | Role::View)
    }

    /// Whether an operand must be in memory.
    pub fn reads_from_memory(self, operand: usize) -> bool {
        match self {
            Role::Product => true,
            Role::Gather => operand == 1,
            Role::Memory
            | Role::Constant
            | Role::Generator
            | Role::Elementwise
            | Role::View
            | Role::Reduction
            | Role::Scan
            | Role::Whole => false,
        }
    }
}

/// The part of a node that is not structure. All evaluations that differ only in bindings share a plan.
pub(crate) enum Binding {
    None,
    /// The binding of [`NodeOp::Stored`]. The offset is that of the element with index 0 everywhere.
    Array {
        buffer: Buffer,
        offset: usize,
    },
    /// The binding of [`NodeOp::Fill`] and [`NodeOp::Number`].
    Number(Scalar),
    /// The binding of [`NodeOp::Philox`].
    Random {
        seed: u64,
        stream: u32,
    },
    /// The binding of [`NodeOp::Failed`].
    Failure(Error),
}

/// One node of the DAG.
pub(crate) struct Node {
    pub op: NodeOp,
    pub args: Args,
    pub binding: Binding,
    pub shape: Shape,
    pub dtype: DType,
    /// The number of the device whose stored arrays the node reads; 0 if it reads none.
    pub device: u32,
    pub location: &'static Location<'static>,
}

impl Node {
    /// Whether this is an array in memory.
    pub fn is_stored(&self) -> bool {
        matches!(self.op, NodeOp::Stored(_))
    }

    /// Whether every element is a number that the expression knows, so that nothing has to be computed or read.
    pub fn is_constant(&self) -> bool {
        matches!(self.op, NodeOp::Number | NodeOp::Fill)
    }

    /// The number of a node that has no dtype of its own yet.
    pub fn untyped(&self) -> Option<Scalar> {
        self.number().filter(|_| matches!(self.op, NodeOp::Number))
    }

    /// The number that every element is.
    pub fn number(&self) -> Option<Scalar> {
        match self.binding {
            Binding::Number(s) => Some(s),
            Binding::None | Binding::Array { .. } | Binding::Random { .. } | Binding::Failure(_) => None,
        }
    }

    /// The buffer of a stored array, its strides, and the offset of its first element.
    pub fn stored(&self) -> Option<(&Buffer, &Strides, usize)> {
        match (&self.op, &self.binding) {
            (NodeOp::Stored(strides), Binding::Array { buffer, offset }) => Some((buffer, strides, *offset)),
            _ => None,
        }
    }

    /// The layout of a stored array.
    pub fn layout(&self) -> Option<Layout> {
        let (_, strides, offset) = self.stored()?;
        Some(Layout { shape: self.shape.clone(), strides: strides.clone(), offset })
    }
}

impl Drop for Node {
    // A loop, because dropping a chain of a million nodes by recursion would overflow the stack.
    fn drop(&mut self) {
        if self.args.is_empty() {
            return;
        }
        let mut stack = std::mem::take(&mut self.args);
        while let Some(expr) = stack.pop() {
            if let Some(mut node) = Arc::into_inner(expr.0) {
                stack.extend(node.args.drain(..));
            }
        }
    }
}
