//! A node of an expression's graph: what it computes, its operands, and its binding.
//!
//! [`NodeOp`] describes only what is computed. Expressions, keys of plans and the planner's arena all use it.
//! Everything that varies between two evaluations of the same structure is in the node's [`Binding`]: the buffer and
//! offset of a stored array, the value of a number, or the seed of a generator.

use super::Expr;
use crate::base::buffer::Buffer;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, Result};
use crate::base::layout::{AxesArg, AxisList, Combine, IndexMode, Layout, Shape, Strides, View, copied};
use crate::graph::routine::{Params, Routine};
use crate::graph::ufunc::{Fold, Ufunc};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// The operands of a node: three at most, except for `concat`.
pub(crate) type Args = SmallVec<[Expr; 3]>;

/// The operation by which a node is computed from its operands. The planner merges two nodes if their `NodeOp`s,
/// operands, shapes, dtypes and slots (the numbers of the plan's inputs and scalars) are equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum NodeOp {
    /// An array in memory with these strides. Its [`Binding`] holds the buffer and the offset.
    Stored(Strides),
    /// A Rust number, or the result of a function of such numbers, that has no dtype of its own yet. Its [`Binding`]
    /// holds the number.
    Number,
    /// An array whose elements all equal one number. Its [`Binding`] holds the number.
    Fill,
    /// An array whose elements equal their index along an axis, as i32.
    Iota(usize),
    /// A random u32 per element, which Philox4x32-10 computes from the element's index in C order, and from the seed
    /// and the stream in the [`Binding`]. `word` selects one of several values (see `Op::Philox`): 0 to 3 are
    /// independent random words; 4 to 7 and 8 to 11 are the radii and the angles from which pairs of normal numbers are
    /// made.
    Philox {
        word: u8,
    },
    /// An elementwise function from the table of ufuncs. The operands have the dtypes that the function's class
    /// requires, and they broadcast.
    Ufunc(&'static Ufunc),
    /// A conversion to the node's dtype.
    Cast,
    View(Box<View>),
    /// The operand's elements, taken in C order, in another shape that no view can express.
    Reshape,
    /// A reduction along these sorted axes, which are absent from the result.
    Reduce(Fold, AxisList),
    /// An inclusive scan along an axis: each element combines the operand's elements up to and including its own. The
    /// axis has at least two elements, and no axis has length 0. Otherwise `expr::scan` makes no node, because the
    /// result is the operand.
    Scan {
        fold: Fold,
        axis: usize,
    },
    /// The product of matrices, [.., m, k] × [.., k, n]. Both operands have the same dtype, and their leading (batch)
    /// axes broadcast.
    Matmul,
    /// Elements of the second operand along `axis`, at the positions in the first operand (i32 or i64). If `along` is
    /// false, the axes of the first operand replace `axis` in the result, as in NumPy's `take`. If `along` is true,
    /// each position selects an element with the same index along the other axes, as in NumPy's `take_along_axis`.
    /// `name` is the operation that errors name for an index out of range.
    Take {
        axis: usize,
        mode: IndexMode,
        along: bool,
        name: &'static str,
    },
    /// The operands, concatenated along an axis.
    Concat {
        axis: usize,
    },
    /// The first operand, with elements of the third operand combined into it along an axis, at the positions in the
    /// second operand (1-d, i32 or i64). The third operand has the shape of the first, except for one element per
    /// position along the axis. An optional fourth operand has a bool per position: where it is false, nothing is
    /// combined. `name` is the operation that errors name for an index out of range.
    Scatter {
        axis: usize,
        mode: IndexMode,
        combine: Combine,
        name: &'static str,
    },
    /// Result number `part` of a routine (a whole-array algorithm such as a sort). Nodes that differ only in `part` are
    /// results of the same call.
    Routine {
        row: &'static Routine,
        params: Params,
        part: u8,
    },
    /// An operation that could not be built. Its [`Binding`] holds the error.
    Failed,
}

impl NodeOp {
    /// Returns the operation's name for errors and printed plans.
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
            NodeOp::Take { name, .. } | NodeOp::Scatter { name, .. } => name,
            NodeOp::Concat { .. } => "concat",
            NodeOp::Routine { row, .. } => row.name,
            NodeOp::Failed => "failed",
        }
    }

    /// Returns the operation's role: how it takes part in kernels. The planner decides by roles where it can, so that a
    /// new operation needs no case of its own there.
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

    /// Returns the affine map of a view, or `None` for any other operation.
    pub fn view(&self) -> Option<&View> {
        if let NodeOp::View(v) = self { Some(v) } else { None }
    }

    /// Returns the operation, with one fixed index mode for every `take`. Only the planted fault
    /// `equal_takes_without_mode` uses it, to merge takes that differ in their modes.
    #[cfg(cupric_mutants)]
    pub fn without_mode(&self) -> NodeOp {
        match self {
            NodeOp::Take { axis, along, name, .. } => {
                NodeOp::Take { axis: *axis, mode: IndexMode::Clip, along: *along, name }
            }
            other => other.clone(),
        }
    }
}

/// How a node takes part in kernels. A kernel loops over an index space `outer × inner`; its inner space consists of
/// the axes along which it reduces, scans or sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// The node is already in memory.
    Memory,
    /// All elements equal one number that is known when the plan runs. A node that carries an error also has this role.
    Constant,
    /// Each element is computed only from its index: a range, or random numbers.
    Generator,
    /// Each element is computed from one element of each operand; the operands broadcast.
    Elementwise,
    /// The node has its operand's elements at other indices, through an affine map that costs a kernel nothing.
    View,
    /// Elements are read at computed indices from the second operand, which must be in memory.
    Gather,
    /// Elements are combined along axes. These axes are the inner index space of the kernel (its inner loops).
    Reduction,
    /// Each element combines all elements along an axis up to and including its own. The axis is the inner index space
    /// of the kernel (its inner loop), and the node has one value per index along it.
    Scan,
    /// The node is a matrix product of operands in memory. The summed axis k is the kernel's inner index space.
    Product,
    /// The node is always computed whole, into memory: by copies, by the two kernels of a scatter, or by a routine.
    Whole,
}

impl Role {
    /// Returns whether the node adds an inner space to the kernel that computes it: the axes that the node reduces,
    /// scans or sums.
    pub fn has_inner_space(self) -> bool {
        matches!(self, Role::Reduction | Role::Scan | Role::Product)
    }

    /// Returns whether the node may run in the kernel of the reduction, scan or product that it reads, as part of that
    /// kernel's epilogue (elementwise work on the result).
    pub fn is_transparent(self) -> bool {
        matches!(self, Role::Elementwise | Role::View)
    }

    /// Returns whether the node's kernel must load operand number `operand` from memory, so that the planner stores
    /// that operand.
    pub fn reads_from_memory(self, operand: usize) -> bool {
        self == Role::Product || self == Role::Gather && operand == 1
    }
}

/// The part of a node that may differ between evaluations of the same structure. Evaluations that differ only in their
/// bindings share a plan.
pub(crate) enum Binding {
    None,
    /// The binding of [`NodeOp::Stored`]. The offset is the position in the buffer, counted in elements, of the element
    /// whose index is 0 along every axis.
    Array {
        buffer: Buffer,
        offset: usize,
    },
    /// The number that belongs to [`NodeOp::Fill`] or [`NodeOp::Number`].
    Number(Scalar),
    /// The seed and the stream of the random generator [`NodeOp::Philox`].
    Random {
        seed: u64,
        stream: u32,
    },
    /// The error that belongs to [`NodeOp::Failed`].
    Failure(Error),
}

impl Binding {
    /// Returns how many slots (numbered inputs and scalars of a plan) the binding occupies.
    pub fn slots(&self) -> usize {
        match self {
            Binding::None | Binding::Failure(_) => 0,
            Binding::Array { .. } | Binding::Number(_) => 1,
            Binding::Random { .. } => 3,
        }
    }
}

/// One node of an expression's graph.
pub(crate) struct Node {
    pub op: NodeOp,
    pub args: Args,
    pub binding: Binding,
    pub shape: Shape,
    pub dtype: DType,
    /// The number of the device whose stored arrays the node reads, or on which a fill was made; 0 if there is no such
    /// device.
    pub device: u32,
    /// Whether the operation is an inner operation of a call that consists of several operations, rather than its
    /// result. Checks for NaN and overflow skip inner operations: see [`composed`](super::composed).
    pub inner: bool,
    /// Whether the integer operation overflows (wraps) by design, so that overflow checks skip it.
    pub wraps: bool,
    /// The derivative rule that replaces the derivatives of the operation. The planner ignores it: nodes that differ
    /// only in their rules are computed once.
    pub rule: Option<Arc<Rule>>,
    /// The number of the scope in which the node was made: see [`scoped`](super::scoped).
    pub scope: u64,
    /// Constraints on when the node is computed. Only nodes of graphs with checkpoints have any.
    pub order: Option<Box<Order>>,
    /// The public function whose call made the node, if the node is one of several operations of the call: see
    /// [`called`](super::called).
    pub call: Option<&'static str>,
    /// The line of the caller of the public function that made the node.
    pub location: &'static Location<'static>,
}

/// When a node is computed. The derivative of a checkpoint repeats a computation. The repeated nodes must not be merged
/// with equal nodes of the first computation, and must not be computed long before they are used.
#[derive(Clone, Default)]
pub(crate) struct Order {
    /// The number of the repetition of a checkpoint to which the node belongs, or 0 if there is none. Nodes of
    /// different repetitions are never merged. Each time a graph is built, its repetitions have new numbers, so the key
    /// of a plan counts the repetitions instead of containing these numbers.
    pub repetition: u64,
    /// An expression that is computed before the node, if the plan computes that expression at all.
    pub after: Option<Expr>,
    /// The numbers of groups to which the node belongs. The nodes of a group are computed together.
    pub groups: SmallVec<[u64; 1]>,
}

/// A derivative that replaces the derivative of the node's own operation. A node with a rule is the result of a call of
/// several operations or of a user's function, or an expression at which derivatives stop.
pub(crate) struct Rule {
    /// The operands of the call that returned the node.
    pub operands: Vec<Expr>,
    /// Computes the derivatives with respect to the operands from the derivative with respect to the node. `None` means
    /// that the derivatives with respect to the operands are 0.
    pub back: Option<Back>,
    /// Which elements of the operands an element of the result depends on.
    pub reach: Reach,
}

/// Which elements of the operands of a derivative rule an element of the result depends on. Derivatives need it to know
/// which elements of the operands belong to a branch that was not taken, such as the branch of a `select`.
#[derive(Clone)]
pub(crate) enum Reach {
    /// Each element of the result may depend on all elements.
    Anything,
    /// Each element may depend on all elements, and the derivative is that of the node without this rule, as for a
    /// checkpoint. `has_rule` tells whether the node without this rule has another one. If not, the derivative is that of
    /// the operation.
    Parts { has_rule: bool },
    /// The result is the first operand, and is known to be 0 where the second operand, of bools, is false.
    Masked,
    /// Each element depends on the elements at the same index. The operands have the shape of the result, or are broadcast
    /// to it.
    SameElement,
    /// Each element depends on the elements that have the same indices along all other axes than these axes of the only
    /// operand. The result has the shape of the operand, or a shape without these axes.
    Along(AxesArg),
    /// The function returns which elements of the only operand the result depends on; the rule computes the derivative
    /// of all others as 0. The argument is true for the elements of the result that count. `None` stands for all
    /// elements.
    Picked(Picks),
}

/// See [`Reach::Picked`].
pub(crate) type Picks = Arc<dyn Fn(Option<&Expr>, &'static Location<'static>) -> Result<Option<Expr>> + Send + Sync>;

/// Returns the derivatives with respect to the operands of a call. The first argument is the derivative with respect to
/// the call's result; the returned derivatives are linear in it.
pub(crate) type Back = Box<dyn Fn(&Expr, &'static Location<'static>) -> Result<Vec<Expr>> + Send + Sync>;

impl Node {
    /// Returns whether the node is an array in memory.
    pub fn is_stored(&self) -> bool {
        matches!(self.op, NodeOp::Stored(_))
    }

    /// Returns the name of the public function that errors about the node name.
    pub fn called(&self) -> &'static str {
        self.call.unwrap_or_else(|| self.op.name())
    }

    /// Returns whether all elements equal one number that the node is bound to, so that nothing has to be computed or
    /// read.
    pub fn is_constant(&self) -> bool {
        matches!(self.op, NodeOp::Number | NodeOp::Fill)
    }

    /// Returns the number of a node that has no dtype of its own yet, or `None` for any other node.
    pub fn untyped(&self) -> Option<Scalar> {
        self.number().filter(|_| matches!(self.op, NodeOp::Number))
    }

    /// Returns the number that all elements equal, or `None` if the node is not constant.
    pub fn number(&self) -> Option<Scalar> {
        match self.binding {
            Binding::Number(s) => Some(s),
            Binding::None | Binding::Array { .. } | Binding::Random { .. } | Binding::Failure(_) => None,
        }
    }

    /// Returns the buffer of a stored array, its strides, and the offset of the element whose index is 0 along every
    /// axis.
    pub fn stored(&self) -> Option<(&Buffer, &Strides, usize)> {
        match (&self.op, &self.binding) {
            (NodeOp::Stored(strides), Binding::Array { buffer, offset }) => Some((buffer, strides, *offset)),
            _ => None,
        }
    }

    /// Returns the expressions through which derivatives pass: the operands of the derivative rule, or the operands of
    /// the operation if the node has no rule.
    pub fn sources(&self) -> &[Expr] {
        self.rule.as_ref().map_or(&self.args[..], |rule| &rule.operands)
    }

    /// Drops operands in a loop, because dropping a chain of a million nodes recursively would overflow the stack.
    #[inline(never)]
    fn drop_operands(&mut self) {
        let mut stack = Args::new();
        self.release(&mut stack);
        while let Some(expr) = stack.pop() {
            // a node without operands is dropped here directly, because its drop does not recurse
            if is_flat(&expr.0) {
                continue;
            }
            expr.0.give_up(|node| node.release(&mut stack));
        }
    }

    /// Moves the operands of the operation and of the rule onto a stack, to be dropped there.
    fn release(&mut self, stack: &mut Args) {
        if stack.is_empty() {
            std::mem::swap(stack, &mut self.args);
        } else {
            while let Some(operand) = self.args.pop() {
                stack.push(operand);
            }
        }
        if let Some(rule) = self.rule.take().and_then(Arc::into_inner) {
            stack.extend(rule.operands);
        }
        if let Some(after) = self.order.take().and_then(|order| order.after) {
            stack.push(after);
        }
    }

    /// Returns the layout of a stored array.
    pub fn layout(&self) -> Option<Layout> {
        let (_, strides, offset) = self.stored()?;
        Some(Layout { shape: copied(&self.shape), strides: copied(strides), offset })
    }
}

/// Returns whether a node holds no other nodes.
#[inline]
fn is_flat(n: &Node) -> bool {
    n.args.is_empty() && n.rule.is_none() && n.order.is_none()
}

impl Drop for Node {
    #[inline]
    fn drop(&mut self) {
        // if no operand has operands itself, the default drop does not recurse further
        if self.rule.is_some() || self.order.is_some() || !self.args.as_slice().iter().all(|a| is_flat(&a.0)) {
            self.drop_operands();
        }
    }
}
