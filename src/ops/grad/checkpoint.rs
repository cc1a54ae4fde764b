//! A computation whose derivative repeats it, instead of keeping what it computed.
//!
//! The derivative is built as that of any other expression, from the nodes of the first computation. Then all nodes of the
//! first computation in it are replaced by copies, and so are the nodes that are computed from them. The copies have a
//! number by which the planner tells them from the first computation, and are computed after the cotangent,
//! which the plan knows last.

use super::reverse::above;
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Args, Back, Expr, Node, NodeOp, Rule, carry, number, scoped, strong};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

/// Returns the result of `build`, whose derivative computes again what `build` made. Of the results within, nothing is
/// kept for the derivative, so a chain of checkpoints needs memory for one result each, and for the inside of one
/// checkpoint at a time. This costs one more computation of what is inside, in the derivative only.
///
/// `build` may read any arrays and expressions, such as inputs and parameters. Those that it did not make itself are the
/// operands of the checkpoint: they are kept, and get their derivatives. Random numbers are drawn again from the same
/// seed, so a [`dropout`](Expr::dropout) inside has the same mask. Checkpoints may be nested, and differentiated any
/// number of times. The value and the first derivatives have the same bits as without the checkpoint in f32 and f64. In
/// f16 and bf16, and in higher derivatives, a result may be rounded in other places.
///
/// ```
/// use cupric::{array, checkpoint, grad};
/// let (x, w) = (array![[1., 2.]], array![[0.5, -1.], [2., 1.]]);
/// let mut h = cupric::Expr::from(&x);
/// for _ in 0..4 {
///     h = checkpoint(|| (&h + h.matmul(&w).tanh()).sin());
/// }
/// let [dw] = grad(&h.sum(..), [&w]);
/// assert_eq!(dw.shape()?, [2, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// While a checkpoint is differentiated, all values inside it are alive. So a network of n equal layers needs the least
/// memory with a checkpoint around each group of about √n layers (Chen, Xu, Zhang and Guestrin 2016, "Training Deep Nets
/// with Sublinear Memory Cost").
///
/// # Errors
/// The error that the result of `build` carries. An operation inside that has no derivative is an error of the
/// derivative, as in [`grad`](crate::grad).
#[doc(alias("remat", "rematerialize", "recompute", "gradient_checkpointing"))]
#[track_caller]
pub fn checkpoint(build: impl FnOnce() -> Expr) -> Expr {
    let at = Location::caller();
    let (result, scope) = scoped(build);
    carry(at, || {
        let result = strong(result, at);
        result.checked()?;
        let inside = Inside::of(result.clone(), scope);
        // what was made elsewhere is not computed by `build`
        if inside.nodes.is_empty() {
            return Ok(result);
        }
        let operands = inside.outside.clone();
        let inside = Arc::new(inside);
        Ok(result.with_rule(operands, Some(derivatives(inside))))
    })
}

/// The nodes that a checkpoint made, and those that it read.
struct Inside {
    result: Expr,
    /// The addresses of the nodes that were made in the checkpoint's scope, except arrays and numbers. The result keeps
    /// them alive.
    nodes: HashSet<usize>,
    outside: Vec<Expr>,
}

impl Inside {
    fn of(result: Expr, scope: u64) -> Inside {
        let (mut nodes, mut outside, mut seen) = (HashSet::new(), vec![], HashSet::new());
        let mut stack = vec![&result];
        while let Some(e) = stack.pop() {
            let key = Arc::as_ptr(&e.0).addr();
            if !seen.insert(key) {
                continue;
            }
            let is_random = matches!(e.0.op, NodeOp::Philox { .. });
            if e.0.scope < scope || e.0.args.is_empty() && !is_random {
                // numbers and ranges cost nothing
                let is_read = e.0.is_stored() || !e.0.args.is_empty() || e.0.rule.is_some();
                outside.extend(is_read.then(|| e.clone()));
                continue;
            }
            nodes.insert(key);
            stack.extend(e.0.args.iter());
            stack.extend(e.0.sources());
        }
        Inside { result: result.clone(), nodes, outside }
    }
}

/// Returns the rule of a checkpoint.
fn derivatives(inside: Arc<Inside>) -> Back {
    Box::new(move |g, at| {
        let floats: Vec<&Expr> = inside.outside.iter().filter(|e| e.0.dtype.is_float()).collect();
        let wanted = |of: &[&Expr]| above("checkpoint", &inside.result, g, of, &floats, at);
        // an operand without a derivative matters only if its derivative is wanted
        let list = wanted(&floats).unwrap_or_else(|_| {
            let one = |e: &&Expr| wanted(&[*e]).ok().and_then(|mut list| list.pop());
            let failed = |e: &&Expr| match wanted(&[*e]) {
                Ok(_) => g.clone(),
                Err(error) => Expr::failed(error, at),
            };
            floats.iter().map(|e| one(e).unwrap_or_else(|| failed(e))).collect()
        });
        let repetition = Arc::new(Repetition { inside: inside.clone(), number: number(), cotangent: g.clone() });
        let mut list = repetition.replaced(&list, g).into_iter().map(|e| grouped(e, repetition.number));
        // the derivatives of integers and bools are not read
        let next = |e: &Expr| if e.0.dtype.is_float() { list.next().unwrap_or_else(|| g.clone()) } else { g.clone() };
        Ok(inside.outside.iter().map(next).collect())
    })
}

/// Returns a node as one of a group. Of a view, the node below it is the one of the group, because later views of the view
/// read that node.
fn grouped(e: Expr, number: u64) -> Expr {
    if let Some(shown) = below(&e).filter(|shown| !shown.0.args.is_empty()) {
        let args = [grouped(shown.clone(), number)].into_iter().collect();
        return e.copied(args, None, e.0.order.clone());
    }
    if e.0.args.is_empty() {
        return e;
    }
    let mut order = e.0.order.clone().unwrap_or_default();
    order.groups.push(number);
    e.copied(e.0.args.clone(), e.0.rule.clone(), Some(order))
}

/// One derivative of a checkpoint.
struct Repetition {
    inside: Arc<Inside>,
    number: u64,
    cotangent: Expr,
}

impl Repetition {
    /// Returns expressions in which copies replace the nodes of the first computation. The rules of nodes are replaced by
    /// rules that do the same with their results. Expressions that make no copies necessary are returned unchanged. The
    /// copies for `g` are computed after it.
    fn replaced(self: &Arc<Self>, list: &[Expr], g: &Expr) -> Vec<Expr> {
        let cotangents = [&self.cotangent, g].into_iter().flat_map(|e| std::iter::successors(Some(e), |e| below(e)));
        let ends = self.inside.outside.iter().chain(cotangents);
        let mut known: HashMap<*const Node, Expr> = ends.map(|e| (Arc::as_ptr(&e.0), e.clone())).collect();
        let mut stack: Vec<(Expr, bool)> = list.iter().map(|e| (e.clone(), false)).collect();
        while let Some((e, is_ready)) = stack.pop() {
            let key = Arc::as_ptr(&e.0);
            if known.contains_key(&key) {
                continue;
            }
            if is_ready {
                let copy = self.copy(&e, g, &known);
                known.insert(key, copy);
                continue;
            }
            let after = e.0.order.as_ref().and_then(|order| order.after.as_ref());
            let operands = e.0.rule.iter().flat_map(|rule| &rule.operands);
            let below: Vec<Expr> = e.0.args.iter().chain(operands).chain(after).cloned().collect();
            stack.push((e, true));
            stack.extend(below.into_iter().filter(|a| !known.contains_key(&Arc::as_ptr(&a.0))).map(|a| (a, false)));
        }
        list.iter().map(|e| known.get(&Arc::as_ptr(&e.0)).unwrap_or(e).clone()).collect()
    }

    /// Returns the node that replaces a node, whose operands have been replaced.
    fn copy(self: &Arc<Self>, e: &Expr, g: &Expr, known: &HashMap<*const Node, Expr>) -> Expr {
        let replaced = |a: &Expr| known.get(&Arc::as_ptr(&a.0)).unwrap_or(a).clone();
        let is_same = |a: &Expr| Arc::ptr_eq(&a.0, &replaced(a).0);
        let is_inside = self.inside.nodes.contains(&Arc::as_ptr(&e.0).addr());
        let has_rule = e.0.rule.as_ref().is_some_and(|rule| rule.operands.iter().any(|a| !is_same(a)));
        if !is_inside && !has_rule && e.0.args.iter().all(is_same) {
            return e.clone();
        }
        let args: Args = e.0.args.iter().map(replaced).collect();
        let rule = e.0.rule.as_ref().map(|rule| {
            let (of, first) = (self.clone(), rule.clone());
            let back = move |g: &Expr, at: Loc| -> Result<Vec<Expr>> {
                let list = first.back.as_ref().map(|back| back(g, at)).transpose()?.unwrap_or_default();
                Ok(of.replaced(&list, g))
            };
            let back = rule.back.is_some().then(|| -> Back { Box::new(back) });
            Arc::new(Rule { operands: rule.operands.iter().map(replaced).collect(), back })
        });
        let mut order = e.0.order.clone();
        if is_inside {
            let own = order.get_or_insert_default();
            own.after = Some(own.after.as_ref().map_or_else(|| g.clone(), replaced));
            own.repetition = mixed(self.number, own.repetition);
        } else if rule.is_some() {
            // the rule holds the cotangent: this releases both in a loop when the node is dropped
            order.get_or_insert_default().after.get_or_insert_with(|| g.clone());
        }
        e.copied(args, rule, order)
    }
}

/// Returns the number of a repetition of what is itself a repetition. Copies that are made at different times for the same
/// nodes have the same number.
fn mixed(number: u64, inner: u64) -> u64 {
    if inner == 0 { number } else { (number ^ inner.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63 }
}

/// Returns what a view shows. A view of a view is one of what is below both, so it does not have the first view below it.
fn below(e: &Expr) -> Option<&Expr> {
    e.0.args.first().filter(|_| e.0.rule.is_none() && matches!(e.0.op, NodeOp::View(_) | NodeOp::Reshape))
}
