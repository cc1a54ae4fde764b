//! Checks of results, which a user asks for by `CUPRIC_CHECK` or [`Device::check`](crate::Device::check): the first operation
//! whose result has a NaN, an infinity or a wrapped integer, where its operands had none, is an error with the user's line.
//!
//! A check is one more result of the evaluation that it checks, made of the same nodes as users' expressions are: so it runs on every
//! backend, is fused with what it checks, and costs nothing where it is off. `array/check/wanted.rs` says what is checked, `array/check/fault.rs`
//! where a single node has a fault of its own; this file carries the faults through the graph to the results.
//!
//! Each node whose result can have a fault gets a *code* for each check, the higher the earlier the node comes. For each node there is an
//! expression of i32 that holds, for each element, the highest code of the faults that the element depends on, 0 if there is none. A
//! `select` takes the codes of the operand that it takes, so what it discards does not count.

mod fault;
mod wanted;

pub use wanted::Check;
pub(crate) use wanted::{Wanted, of_device, set};

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{AxesArg, View, product};
use crate::graph::expr::{Arg, Args, Expr, Node, NodeOp, cast, cast_always, reduce, scan, ufunc, view};
use crate::graph::ufunc::{Class, Fold, Ufunc, arithmetic, logic};
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

type Loc = &'static Location<'static>;

/// For each node, by its place in memory, numbers of i32 of its shape.
type Numbers = HashMap<*const Node, Expr>;

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

/// The operations that compute what an evaluation stores: the results, or what they are views of.
fn stored_nodes(roots: &[&Expr]) -> HashSet<*const Node> {
    let below = |root: &Expr| {
        let mut node = root.clone();
        while let (NodeOp::View(_), [operand]) = (&node.0.op, &node.0.args[..]) {
            node = operand.clone();
        }
        Arc::as_ptr(&node.0)
    };
    roots.iter().map(|root| below(root)).collect()
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
        let stored = stored_nodes(roots);
        let (mut codes, mut before) = (Numbers::new(), [Check::Nan, Check::Inf].map(|check| (check, Numbers::new())));
        let total = nodes.len();
        for (number, node) in nodes.iter().enumerate() {
            if node.0.inner {
                for (check, before) in before.iter_mut().filter(|(check, _)| wanted.has(*check)) {
                    let faults = |operand: &Expr| fault::of_operand(operand, *check, before);
                    if let Some(all) = carried(node, &|operand| faults(operand).map(|e| cast(e, DType::I32, at)), false)
                    {
                        before.insert(Arc::as_ptr(&node.0), fit(all, node));
                    }
                }
            }
            let own = wanted.checks().filter(|_| mutant!(inner_operations_checked, true, !node.0.inner)).filter_map(
                |check| {
                    let before = before.iter().find(|(of, _)| *of == check).map(|(_, before)| before);
                    let mut faulty = fault::of(node, check, before);
                    if node.0.dtype.is_half() && stored.contains(&Arc::as_ptr(&node.0)) {
                        // a kernel keeps values of 16 bits as f32, until they are stored
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
            let of = |operand: &Expr| codes.get(&Arc::as_ptr(&operand.0)).cloned();
            let carried = carried(node, &of, wanted.has(Check::Overflow));
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

/// The numbers of i32 that a node's elements have from those of its operands; none where no operand has any. `of` gives those of an
/// operand. Who asks whether an element is NaN or infinite will do without it: then only codes of overflow are kept, where there are any.
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
    let at = node.0.location;
    if matches!(node.0.op, NodeOp::Ufunc(_) | NodeOp::Cast) {
        return cast(spread(node, operand, &property), DType::Bool, at);
    }
    cast(spread(node, operand, &cast(property, DType::I32, at)), DType::Bool, at)
}
