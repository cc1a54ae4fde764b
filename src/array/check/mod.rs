//! Checks of results, which a user requests with `CUPRIC_CHECK` or [`Device::check`](crate::Device::check). The first
//! operation whose result contains a NaN, an infinity or a wrapped integer, although its operands contain none, becomes
//! an error. A check is an additional result of the checked evaluation, built from the same nodes as user expressions.
//!
//! Each pair of a node and a kind of fault has a *code*, a positive number; earlier nodes have higher codes. Each node
//! gets an i32 expression of its shape with the highest code of all faults that an element depends on, or 0.

mod fault;
mod wanted;

pub use wanted::Check;
pub(crate) use wanted::{WantedChecks, of_device, set};

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{AxesArg, View, product};
use crate::base::shared::Shared;
use crate::graph::expr::{Arg, Args, Expr, Node, NodeOp, cast, cast_always, reduce, scan, ufunc, view};
use crate::graph::ufunc::{Class, Fold, Ufunc, arithmetic, logic};
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, HashSet};

/// Maps the address of each node to an i32 expression of the node's shape. Each element of the expression is the
/// highest code of all faults that the node's element depends on, or 0 if there are none.
type Numbers = HashMap<*const Node, Expr>;

/// The check of one evaluation: an expression that finds faults, and the graph nodes that error messages describe.
pub(crate) struct Checked {
    /// A 0-d i32 expression: 0 if there is no fault, otherwise the code of the first operation that has one.
    pub code: Expr,
    /// The nodes of the graph, each after its operands.
    nodes: Vec<Expr>,
}

/// Returns the nodes of the graph below some expressions, each once and after its operands. The function does not
/// recurse, because a chain of a million nodes would overflow the stack.
fn nodes_below(roots: &[&Expr]) -> Vec<Expr> {
    let (mut nodes, mut seen) = (vec![], HashSet::new());
    // each node is visited twice: when its operands are pushed on the stack, and when they are done
    let mut stack: Vec<(&Expr, bool)> = roots.iter().rev().map(|root| (*root, false)).collect();
    while let Some((expr, operands_are_done)) = stack.pop() {
        if operands_are_done {
            nodes.push(expr.clone());
        } else if seen.insert(Shared::as_ptr(&expr.0)) {
            stack.push((expr, true));
            stack.extend(expr.0.args.iter().rev().map(|operand| (operand, false)));
        }
    }
    nodes
}

/// Returns the nodes whose results an evaluation of `roots` stores. If a root is a view, this is the node whose result
/// the view reads.
fn stored_nodes(roots: &[&Expr]) -> HashSet<*const Node> {
    let below = |root: &Expr| {
        let mut node = root.clone();
        while let (NodeOp::View(_), [operand]) = (&node.0.op, &node.0.args[..]) {
            node = operand.clone();
        }
        Shared::as_ptr(&node.0)
    };
    roots.iter().map(|root| below(root)).collect()
}

/// The maximum number of nodes that one check covers. A check adds about ten nodes for each of them, and planning needs
/// a few KiB for each added node. So a check needs at most about 1 GiB.
const MOST: usize = 1 << 16;

impl Checked {
    /// Builds the check of an evaluation of these expressions, or returns `None` if no result can have a fault.
    pub fn of(roots: &[&Expr], wanted: WantedChecks, at: Loc) -> Result<Option<Checked>> {
        let nodes = nodes_below(roots);
        if nodes.len() > MOST {
            let detail = format!(
                "{} operations are too many for one check, which covers at most {MOST}; evaluate the expression in parts",
                nodes.len()
            );
            return Err(Error::with_line(ErrorKind::LimitExceeded, "check", detail, at));
        }
        let stored = stored_nodes(roots);
        let (mut codes, mut before) = (Numbers::new(), [Check::Nan, Check::Inf].map(|check| (check, Numbers::new())));
        let total = nodes.len();
        for (number, node) in nodes.iter().enumerate() {
            if node.0.inner {
                for (check, before) in before.iter_mut().filter(|(check, _)| wanted.has(*check)) {
                    let faults = |operand: &Expr| fault::of_operand(operand, *check, before);
                    if let Some(all) = carried(node, &|operand| faults(operand).map(|e| cast(e, DType::I32, at)), false)
                    {
                        before.insert(Shared::as_ptr(&node.0), fit(all, node));
                    }
                }
            }
            let own = wanted.checks().filter(|_| mutant!(inner_operations_checked, true, !node.0.inner)).filter_map(
                |check| {
                    let before = before.iter().find(|(of, _)| *of == check).map(|(_, before)| before);
                    let mut faulty = fault::of(node, check, before);
                    if node.0.dtype.is_half() && stored.contains(&Shared::as_ptr(&node.0)) {
                        // a kernel keeps 16-bit floats as f32 until it stores them, so the rounded value is checked too
                        let rounded = cast_always(node.clone(), node.0.dtype, node.0.location);
                        let of_rounded = fault::of(&rounded, check, before);
                        faulty = faulty.into_iter().chain(of_rounded).reduce(|a, b| call(&logic::logical_or, [a, b]));
                    }
                    let turn = mutant!(checks_blame_the_last, number, total - 1 - number);
                    let code = turn * Check::ALL.len() + check as usize + 1;
                    let [code, none] =
                        [code, 0].map(|n| Expr::fill(Scalar::Int(n as i128), smallvec![], DType::I32, at));
                    Some(call(&logic::SELECT, [faulty?, code, none]))
                },
            );
            let of = |operand: &Expr| codes.get(&Shared::as_ptr(&operand.0)).cloned();
            let carried = carried(node, &of, wanted.has(Check::Overflow));
            if let Some(all) = carried.into_iter().chain(own).reduce(|a, b| call(&arithmetic::maximum, [a, b])) {
                codes.insert(Shared::as_ptr(&node.0), fit(all, node));
            }
        }
        let ends = roots.iter().filter_map(|root| codes.get(&Shared::as_ptr(&root.0)));
        let code = ends.map(highest).reduce(|a, b| call(&arithmetic::maximum, [a, b]));
        Ok(code.map(|code| Checked { code, nodes }))
    }

    /// Returns the error for the code of a fault, or `None` for code 0, which means that there is no fault.
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

/// Applies an elementwise function to expressions, with the source line of the first expression.
fn call<const N: usize>(row: &'static Ufunc, operands: [Expr; N]) -> Expr {
    let at = operands[0].0.location;
    ufunc(row, operands.into_iter().map(Arg::Expr).collect(), at)
}

/// Returns the maximum of an expression of fault codes, as a 0-d expression.
fn highest(codes: &Expr) -> Expr {
    let at = codes.0.location;
    reduce("check", Fold::of(&arithmetic::maximum), codes, &AxesArg { axes: None, keep: false }, at)
}

/// Broadcasts an expression of fault codes to the shape of its node.
fn fit(codes: Expr, node: &Expr) -> Expr {
    view("check", &codes, node.0.location, |from| View::broadcast_to(from, &node.0.shape))
}

/// Returns the fault codes (i32) that a node's elements inherit from its operands, or `None` if no operand has any.
/// `of` returns the codes of an operand. A program that calls `isnan`, `isinf` or `isfinite` can handle NaNs and
/// infinities itself. So the results of these functions inherit only codes of overflow, and only if `with_overflow` is
/// set.
fn carried(node: &Expr, of: &dyn Fn(&Expr) -> Option<Expr>, with_overflow: bool) -> Option<Expr> {
    let Node { op, args, shape, location, .. } = &*node.0;
    let numbers: SmallVec<[Option<Expr>; 4]> = args.iter().map(of).collect();
    if product(shape) == 0 || numbers.iter().all(Option::is_none) {
        return None;
    }
    let number = |n: usize| Expr::fill(Scalar::Int(n as i128), smallvec![], DType::I32, location);
    if let NodeOp::Ufunc(row) = op
        && [&logic::isnan, &logic::isinf, &logic::isfinite].contains(row)
    {
        let numbers = numbers.into_iter().flatten().next().filter(|_| with_overflow)?;
        let [each, of_overflow] = [Check::ALL.len(), (Check::Overflow as usize + 1) % Check::ALL.len()].map(number);
        let is_of_overflow = call(&logic::equal, [call(&arithmetic::remainder, [numbers.clone(), each]), of_overflow]);
        return Some(call(&logic::SELECT, [is_of_overflow, numbers, number(0)]));
    }
    if matches!(op, NodeOp::Ufunc(row) if mutant!(discarded_faults_count, false, row.class == Class::Select)) {
        let [yes, no] = [1, 2].map(|n| numbers[n].clone().unwrap_or_else(|| number(0)));
        let taken = call(&logic::SELECT, [args[0].clone(), yes, no]);
        return Some(match &numbers[0] {
            Some(of_condition) => call(&arithmetic::maximum, [taken, of_condition.clone()]),
            None => taken,
        });
    }
    if matches!(op, NodeOp::Concat { .. }) {
        let none = |a: &Expr| Expr::fill(Scalar::Int(0), a.0.shape.clone(), DType::I32, location);
        let parts: Args = args.iter().zip(numbers).map(|(a, numbers)| numbers.unwrap_or_else(|| none(a))).collect();
        return Some(Expr::node(op.clone(), parts, shape.clone(), DType::I32, node.0.device, location));
    }
    let spread = numbers.iter().enumerate().filter_map(|(n, numbers)| Some(spread(node, n, numbers.as_ref()?)));
    spread.reduce(|a, b| call(&arithmetic::maximum, [a, b]))
}

/// Returns, for each element of a node, the highest fault code of the operand elements that it depends on. `numbers`
/// has the codes of operand number `operand`, as i32, or as bool for an elementwise node. The shape of the result
/// broadcasts to the node's shape.
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
        // each result element depends on a row of the first matrix and a column of the second
        NodeOp::Matmul => folded(Some(smallvec![if operand == 0 { -1 } else { -2 }]), true),
        NodeOp::Scatter { .. } if operand == 0 => numbers.clone(),
        // this function cannot tell which operand elements a result element depends on, so it assumes all of them
        NodeOp::Take { .. } | NodeOp::Scatter { .. } | NodeOp::Routine { .. } => folded(None, false),
        // `concat` is handled by `carried`; the other nodes have no operands
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::Concat { .. }
        | NodeOp::Failed => folded(None, false),
    }
}

/// Returns, for each element of a node, whether `property` is true for any element of operand number `operand` that it
/// depends on.
fn has_any(node: &Expr, operand: usize, property: Expr) -> Expr {
    let at = node.0.location;
    if matches!(node.0.op, NodeOp::Ufunc(_) | NodeOp::Cast) {
        return cast(spread(node, operand, &property), DType::Bool, at);
    }
    cast(spread(node, operand, &cast(property, DType::I32, at)), DType::Bool, at)
}
