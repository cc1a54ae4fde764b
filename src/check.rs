//! Floor 4: checks of results, which a user asks for by `CUPRIC_CHECK` or [`Device::check`](crate::Device::check): the first operation
//! whose result has a NaN, an infinity or a wrapped integer, where its operands had none, is an error with the user's line.
//!
//! A check is one more result of the evaluation that it checks, made of the same nodes as users' expressions are: so it runs on every
//! backend, is fused with what it checks, and costs nothing where it is off. `check/wanted.rs` says what is checked, `check/fault.rs`
//! where a single node has a fault of its own; this file carries the faults through the graph to the results.
//!
//! Each node whose result can have a fault gets a *code* for each check, the higher the earlier the node comes. For each node there is an
//! expression of i32 that holds, for each element, the highest code of the faults that the element depends on, 0 if there is none. A
//! `select` takes the codes of the operand that it takes, so what it discards does not count.

mod fault;
mod wanted;

pub use wanted::Check;
pub(crate) use wanted::{Wanted, of_device, set};

use crate::dtype::{DType, Scalar};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{Arg, Args, Expr, Node, NodeOp, cast, cast_always, reduce, scan, ufunc, view};
use crate::layout::{AxesArg, View, product};
use crate::ufunc::{Class, Fold, Ufunc, arithmetic, logic};
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

type Loc = &'static Location<'static>;

/// The check of one evaluation.
pub(crate) struct Checked {
    /// A 0-d expression of i32: 0 if there is no fault, else the code of the first operation that has one.
    pub code: Expr,
    /// The nodes of the graph, each after its operands.
    nodes: Vec<Expr>,
}

/// The nodes below some expressions, each once and after its operands. There is no recursion, because chains of a million nodes are
/// allowed.
fn nodes_below(roots: &[&Expr]) -> Vec<Expr> {
    let (mut nodes, mut seen) = (vec![], HashSet::new());
    // a node is looked at twice: when its operands are put on the stack, and when they are done
    let mut stack: Vec<(&Expr, bool)> = roots.iter().rev().map(|root| (*root, false)).collect();
    while let Some((expr, operands_are_done)) = stack.pop() {
        if operands_are_done {
            nodes.push(expr.clone());
        } else if seen.insert(Arc::as_ptr(&expr.0)) {
            stack.push((expr, true));
            stack.extend(expr.0.args.iter().rev().map(|operand| (operand, false)));
        }
    }
    nodes
}

/// The nodes that a call has made for its result, which is another node ([`Node::composed`]). They have the line of the result.
fn inner_nodes(nodes: &[Expr]) -> HashSet<*const Node> {
    let mut inner = HashSet::new();
    // a node comes before its operands
    for node in nodes.iter().rev() {
        if node.0.composed || inner.contains(&Arc::as_ptr(&node.0)) {
            let own = node.0.args.iter().filter(|operand| operand.0.location == node.0.location);
            inner.extend(own.map(|operand| Arc::as_ptr(&operand.0)));
        }
    }
    inner
}

/// The most nodes that are checked together. The check takes some ten nodes for each, and a plan some KiB for each of those: at most a
/// GiB.
const MOST: usize = 1 << 16;

impl Checked {
    /// The check of an evaluation of these expressions; none where no result can have a fault.
    pub fn of(roots: &[&Expr], wanted: Wanted, at: Loc) -> Result<Option<Checked>> {
        let nodes = nodes_below(roots);
        if nodes.len() > MOST {
            let detail = format!(
                "{} operations are to be checked, but at most {MOST} at once; evaluate parts of it",
                nodes.len()
            );
            return Err(Error::with_line(ErrorKind::LimitExceeded, "check", detail, at));
        }
        let inner = inner_nodes(&nodes);
        let mut codes: HashMap<*const Node, Expr> = HashMap::new();
        let total = nodes.len();
        for (number, node) in nodes.iter().enumerate() {
            let carried = carried(node, &codes);
            let is_stored_rounded = node.0.dtype.is_half() && roots.iter().any(|root| Arc::ptr_eq(&root.0, &node.0));
            let is_inner = inner.contains(&Arc::as_ptr(&node.0));
            let own =
                wanted.checks().filter(|_| mutant!(inner_operations_checked, true, !is_inner)).filter_map(|check| {
                    let mut faulty = fault::of(node, check, &inner);
                    if is_stored_rounded {
                        // a kernel keeps values of 16 bits as f32, until they are stored
                        let rounded = cast_always(node.clone(), node.0.dtype, node.0.location);
                        faulty = faulty
                            .into_iter()
                            .chain(fault::of(&rounded, check, &inner))
                            .reduce(|a, b| call(&logic::logical_or, [a, b]));
                    }
                    let before = mutant!(checks_blame_the_last, number, total - 1 - number);
                    let code = before * Check::ALL.len() + check as usize + 1;
                    let [code, none] =
                        [code, 0].map(|n| Expr::fill(Scalar::Int(n as i128), smallvec![], DType::I32, at));
                    Some(call(&logic::SELECT, [faulty?, code, none]))
                });
            if let Some(all) = carried.into_iter().chain(own).reduce(|a, b| call(&arithmetic::maximum, [a, b])) {
                codes.insert(Arc::as_ptr(&node.0), fit(all, node));
            }
        }
        let ends = roots.iter().filter_map(|root| codes.get(&Arc::as_ptr(&root.0)));
        let code = ends.map(highest).reduce(|a, b| call(&arithmetic::maximum, [a, b]));
        Ok(code.map(|code| Checked { code, nodes }))
    }

    /// The error of a code; none of 0.
    pub fn error(&self, code: i32) -> Option<Error> {
        let code = usize::try_from(code).ok()?.checked_sub(1)?;
        let check = *Check::ALL.get(code % Check::ALL.len())?;
        let node = self.nodes.get(self.nodes.len().checked_sub(code / Check::ALL.len() + 1)?)?;
        let Node { shape, dtype, location, .. } = &*node.0;
        let detail = format!("{} (shape {:?}, dtype {dtype}; found by {check})", check.finding(), shape.as_slice());
        let name = if let NodeOp::Reduce(fold, _) = &node.0.op { fold.method } else { node.0.op.name() };
        Some(Error::with_line(ErrorKind::Check, name, detail, *location))
    }
}

/// A function of expressions, at the line of the first one.
fn call<const N: usize>(row: &'static Ufunc, operands: [Expr; N]) -> Expr {
    let at = operands[0].0.location;
    ufunc(row, operands.into_iter().map(Arg::Expr).collect(), at)
}

/// The highest of all codes.
fn highest(codes: &Expr) -> Expr {
    let at = codes.0.location;
    reduce("check", Fold::of(&arithmetic::maximum), codes, &AxesArg { axes: None, keep: false }, at)
}

/// Codes in the shape of the node that they are of.
fn fit(codes: Expr, node: &Expr) -> Expr {
    view("check", &codes, node.0.location, |from| View::broadcast_to(from, &node.0.shape))
}

/// The codes that a node's elements have from its operands; none where no operand has any.
fn carried(node: &Expr, codes: &HashMap<*const Node, Expr>) -> Option<Expr> {
    let of = |operand: &Expr| codes.get(&Arc::as_ptr(&operand.0));
    let Node { op, args, shape, location, .. } = &*node.0;
    if product(shape) == 0 || args.iter().all(|a| of(a).is_none()) {
        return None;
    }
    let none = |shape| Expr::fill(Scalar::Int(0), shape, DType::I32, location);
    match op {
        // who asks whether an element is NaN or infinite will do without it
        NodeOp::Ufunc(row) if row.class == Class::Test => None,
        NodeOp::Ufunc(row) if mutant!(discarded_faults_count, false, row.class == Class::Select) => {
            let [yes, no] = [1, 2].map(|n| of(&args[n]).cloned().unwrap_or_else(|| none(smallvec![])));
            let taken = call(&logic::SELECT, [args[0].clone(), yes, no]);
            Some(
                of(&args[0])
                    .map_or(taken.clone(), |of_condition| call(&arithmetic::maximum, [taken, of_condition.clone()])),
            )
        }
        NodeOp::Concat { .. } => {
            let parts: Args = args.iter().map(|a| of(a).cloned().unwrap_or_else(|| none(a.0.shape.clone()))).collect();
            Some(Expr::node(op.clone(), parts, shape.clone(), DType::I32, node.0.device, location))
        }
        NodeOp::Ufunc(_)
        | NodeOp::Cast
        | NodeOp::View(_)
        | NodeOp::Reshape
        | NodeOp::Reduce(..)
        | NodeOp::Scan { .. }
        | NodeOp::Matmul
        | NodeOp::Take { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::Failed => {
            let spread = args.iter().enumerate().filter_map(|(n, a)| Some(spread(node, n, of(a)?)));
            spread.reduce(|a, b| call(&arithmetic::maximum, [a, b]))
        }
    }
}

/// The numbers (i32, or bool of an elementwise node) that an operand's elements have, for the elements of the node that depend on them:
/// the highest one, where they depend on several. The result's shape broadcasts to that of the node.
fn spread(node: &Expr, operand: usize, numbers: &Expr) -> Expr {
    let Node { op, args, shape, location: at, device, .. } = &*node.0;
    let maximum = Fold::of(&arithmetic::maximum);
    let folded =
        |axes: Option<SmallVec<[isize; 6]>>, keep| reduce("check", maximum, numbers, &AxesArg { axes, keep }, at);
    let moved = |args| Expr::node(op.clone(), args, shape.clone(), numbers.0.dtype, *device, at);
    match op {
        NodeOp::Ufunc(_) | NodeOp::Cast => numbers.clone(),
        NodeOp::View(v) => view("check", numbers, at, |_| Ok((**v).clone())),
        NodeOp::Reshape => moved(smallvec![numbers.clone()]),
        NodeOp::Take { .. } if operand == 1 => moved(smallvec![args[0].clone(), numbers.clone()]),
        NodeOp::Reduce(_, axes) => folded(Some(axes.iter().map(|d| *d as isize).collect()), false),
        NodeOp::Scan { axis, .. } => scan(maximum, numbers, *axis, at),
        // an element depends on a row of the first matrix and a column of the second
        NodeOp::Matmul => folded(Some(smallvec![if operand == 0 { -1 } else { -2 }]), true),
        NodeOp::Scatter { .. } if operand == 0 => numbers.clone(),
        // which element depends on which is not known without the positions: all on all
        NodeOp::Take { .. } | NodeOp::Scatter { .. } | NodeOp::Routine { .. } => folded(None, false),
        // these have no operands, but for `concat`, of which `carried` takes care: its result has no fault of its own
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::Concat { .. }
        | NodeOp::Failed => folded(None, false),
    }
}

/// Whether an operand's elements have a property, for the elements of the node that depend on them.
fn has_any(node: &Expr, operand: usize, property: Expr) -> Expr {
    if matches!(node.0.op, NodeOp::Ufunc(_) | NodeOp::Cast) {
        return spread(node, operand, &property);
    }
    let at = node.0.location;
    cast(spread(node, operand, &cast(property, DType::I32, at)), DType::Bool, at)
}
