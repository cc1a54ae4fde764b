//! [`checkpoint`]: builds an expression whose derivative repeats the computation, so that the intermediate results need
//! not be kept in memory.
//!
//! The derivative is first built like any other, and refers to nodes of the first computation. Those nodes, and the
//! nodes computed from them, are then replaced by copies. A number in the copies (`Order::repetition`) keeps the
//! planner from merging them with the first computation. The copies also name the cotangent, the derivative with
//! respect to the result, in `Order::after`, so that they are computed after it and not long before they are used.

use super::adjoint::mask_of;
use super::reverse::above;
use crate::base::error::{Loc, Result};
use crate::base::shared::Shared;
use crate::graph::expr::{Args, Back, Expr, Node, NodeOp, Reach, Rule, carry, number, scoped, strong};
use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::Arc;

/// Returns the result of `build`. Its derivative repeats the computation that `build` describes, instead of keeping the
/// intermediate results. So a chain of checkpoints needs memory for the result of each checkpoint, and for the
/// intermediate results of one checkpoint at a time. The price is that the derivative computes these intermediate
/// results a second time.
///
/// `build` may read any arrays and expressions, such as inputs and parameters. The arrays and expressions that `build`
/// did not make are the operands of the checkpoint: they stay in memory, and derivatives with respect to them are
/// available. Random numbers are drawn again from the same seed, so a [`dropout`](Expr::dropout) inside has the same
/// mask.
///
/// Checkpoints may be nested, and differentiated any number of times. In f32 and f64 the value has the same bits as
/// without the checkpoint, and so have a gradient and a [`jvp`](crate::jvp) if no expression outside reads an operand of
/// the checkpoint. Otherwise the terms of a gradient may be added in another order: those from inside are added up first.
/// In f16 and bf16, and in higher derivatives, a result may be rounded in other places.
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
/// While a checkpoint is differentiated, all values inside it are in memory. So a network of n equal layers needs the
/// least memory with a checkpoint around each group of about √n layers (Chen, Xu, Zhang and Guestrin 2016, "Training
/// Deep Nets with Sublinear Memory Cost").
///
/// # Errors
/// The expression carries the error of the result of `build`. If an operation inside has no derivative, only the
/// derivative carries an error, as in [`grad`](crate::grad).
#[doc(alias("remat", "rematerialize", "recompute", "gradient_checkpointing"))]
#[track_caller]
pub fn checkpoint(build: impl FnOnce() -> Expr) -> Expr {
    let at = Location::caller();
    let (result, scope) = scoped(build);
    carry(at, || {
        let result = strong(result, at);
        result.checked()?;
        let inside = Inside::of(result.clone(), scope);
        // without nodes made by `build` there is nothing to repeat
        if inside.nodes.is_empty() {
            return Ok(result);
        }
        let operands = inside.outside.clone();
        let inside = Arc::new(inside);
        let reach = Reach::Parts { has_rule: result.0.rule.is_some() };
        Ok(result.with_rule_of(operands, Some(derivatives(inside)), reach))
    })
}

/// The part of a graph that a checkpoint covers: its result, the nodes that `build` made (`nodes`), and the operands
/// that `build` read but did not make (`outside`).
struct Inside {
    result: Expr,
    /// The addresses of the nodes that were made in the checkpoint's scope, except arrays and numbers. The result keeps
    /// them alive.
    nodes: HashSet<usize>,
    outside: Vec<Expr>,
}

impl Inside {
    fn of(result: Expr, scope: u64) -> Inside {
        let mut inside = Inside { result: result.clone(), nodes: HashSet::new(), outside: vec![] };
        // The first walk goes the way of the derivatives, so it finds the operands in the order in which the walk of a
        // derivative finds them without the checkpoint. Then the derivatives with respect to parts of one array are added
        // in the same order. The second walk adds the operands that only values depend on.
        let mut known = HashSet::new();
        if inside.walk(&result, scope, false, &mut known) {
            inside.walk(&result, scope, true, &mut known);
        }
        inside
    }

    /// Lists the nodes and the operands that are not in `known`, which has the addresses of the listed operands. The walk
    /// goes from a node to its sources, and with `values` also to the operands from which the value of a node with a
    /// derivative rule is computed. Returns whether there is such a node.
    fn walk(&mut self, result: &Expr, scope: u64, values: bool, known: &mut HashSet<usize>) -> bool {
        let (mut stack, mut seen, mut has_rules) = (vec![result], HashSet::new(), false);
        while let Some(e) = stack.pop() {
            let key = Shared::as_ptr(&e.0).addr();
            if !seen.insert(key) {
                continue;
            }
            let is_random = matches!(e.0.op, NodeOp::Philox { .. });
            if e.0.scope < scope || e.0.args.is_empty() && !is_random {
                // numbers and ranges are not operands, because it costs nothing to compute them again
                let is_read = e.0.is_stored() || !e.0.args.is_empty() || e.0.rule.is_some();
                if is_read && known.insert(key) {
                    self.outside.push(e.clone());
                }
                continue;
            }
            self.nodes.insert(key);
            has_rules |= e.0.rule.is_some();
            if values && e.0.rule.is_some() {
                stack.extend(e.0.args.iter().rev());
            }
            stack.extend(e.0.sources().iter().rev());
        }
        has_rules
    }
}

/// Returns the derivative rule of a checkpoint.
fn derivatives(inside: Arc<Inside>) -> Back {
    Box::new(move |g, at| {
        let floats: Vec<&Expr> = inside.outside.iter().filter(|e| e.0.dtype.is_float()).collect();
        let wanted = |of: &[&Expr]| above("checkpoint", &inside.result, g, of, &floats, at);
        let repetition = Arc::new(Repetition { inside: inside.clone(), number: number(), cotangent: g.clone() });
        let (list, scope) = scoped(|| {
            // If the derivative with respect to one operand fails, each operand is tried alone. Then only the
            // derivatives that fail carry an error, and a caller that asks for the others gets no error.
            wanted(&floats).unwrap_or_else(|_| {
                let one = |e: &&Expr| wanted(&[*e]).ok().and_then(|mut list| list.pop());
                let failed = |e: &&Expr| match wanted(&[*e]) {
                    Ok(_) => g.clone(),
                    Err(error) => Expr::failed(error, at),
                };
                floats.iter().map(|e| one(e).unwrap_or_else(|| failed(e))).collect()
            })
        });
        let mut list = repetition.grouped(&list, g, scope).into_iter();
        // an operand of integers or bools gets `g` as a placeholder, because its derivative is not read
        let next = |e: &Expr| if e.0.dtype.is_float() { list.next().unwrap_or_else(|| g.clone()) } else { g.clone() };
        Ok(inside.outside.iter().map(next).collect())
    })
}

/// The repetition of a checkpoint's computation for one derivative. `number` is the `Order::repetition` of the copies,
/// and `cotangent` is the derivative with respect to the checkpoint's result.
struct Repetition {
    inside: Arc<Inside>,
    number: u64,
    cotangent: Expr,
}

impl Repetition {
    /// Returns the expressions of `list` with copies as [`Repetition::replaced`] makes them. The copies of the expressions
    /// themselves belong to one group: the planner computes them together (`Order::groups`). In place of a view, its
    /// operand belongs to the group, because later views of this view read that operand.
    ///
    /// Only nodes that were made in `scope`, for this derivative, are copied into the group. An older node, such as the
    /// cotangent or an operand, is computed earlier, and a derivative with respect to it must find it.
    fn grouped(self: &Arc<Self>, list: &[Expr], g: &Expr, scope: u64) -> Vec<Expr> {
        let key = |e: &Expr| Shared::as_ptr(&e.0);
        let is_new = |e: &&Expr| {
            let is_older = mutant!(old_nodes_join_groups, false, e.0.scope < scope);
            !e.0.args.is_empty() && (!is_older || self.inside.nodes.contains(&key(e).addr()))
        };
        let shown = list.iter().filter_map(|e| std::iter::successors(Some(e), |e| below(e)).last());
        let group = shown.filter(is_new).map(key).collect();
        self.copies(list, g, &group)
    }

    /// Returns the expressions of `list` with copies in place of the nodes of the first computation. A derivative rule
    /// of a node is replaced by a rule that makes the same replacement in its derivatives. The copies are computed
    /// after the cotangent `g`.
    fn replaced(self: &Arc<Self>, list: &[Expr], g: &Expr) -> Vec<Expr> {
        self.copies(list, g, &HashSet::new())
    }

    /// Makes the copies of [`Repetition::grouped`]. `group` has the nodes whose copies belong to the group.
    fn copies(self: &Arc<Self>, list: &[Expr], g: &Expr, group: &HashSet<*const Node>) -> Vec<Expr> {
        let cotangents = [&self.cotangent, g].into_iter().flat_map(|e| std::iter::successors(Some(e), |e| below(e)));
        // the derivatives may read the operands and the mask of a cotangent, see `Adjoint::of`
        let read = [&self.cotangent, g].into_iter().flat_map(|e| e.0.args.iter().chain(mask_of(e)));
        let ends = self.inside.outside.iter().chain(cotangents).chain(read);
        let mut known: HashMap<*const Node, Expr> = ends.map(|e| (Shared::as_ptr(&e.0), e.clone())).collect();
        let mut stack: Vec<(Expr, bool)> = list.iter().map(|e| (e.clone(), false)).collect();
        while let Some((e, is_ready)) = stack.pop() {
            let key = Shared::as_ptr(&e.0);
            if known.contains_key(&key) {
                continue;
            }
            if is_ready {
                let copy = self.copy(&e, g, &known, group.contains(&key));
                known.insert(key, copy);
                continue;
            }
            let after = e.0.order.as_ref().and_then(|order| order.after.as_ref());
            let operands = e.0.rule.iter().flat_map(|rule| &rule.operands);
            let below: Vec<Expr> = e.0.args.iter().chain(operands).chain(after).cloned().collect();
            stack.push((e, true));
            stack.extend(below.into_iter().filter(|a| !known.contains_key(&Shared::as_ptr(&a.0))).map(|a| (a, false)));
        }
        list.iter().map(|e| known.get(&Shared::as_ptr(&e.0)).unwrap_or(e).clone()).collect()
    }

    /// Returns the copy that replaces a node, or the node itself if no copy is needed. `known` contains the
    /// replacements of the node's operands, and `is_grouped` tells whether the copy belongs to the group.
    fn copy(self: &Arc<Self>, e: &Expr, g: &Expr, known: &HashMap<*const Node, Expr>, is_grouped: bool) -> Expr {
        let replaced = |a: &Expr| known.get(&Shared::as_ptr(&a.0)).unwrap_or(a).clone();
        let is_same = |a: &Expr| Shared::ptr_eq(&a.0, &replaced(a).0);
        let is_inside = self.inside.nodes.contains(&Shared::as_ptr(&e.0).addr());
        let has_rule = e.0.rule.as_ref().is_some_and(|rule| rule.operands.iter().any(|a| !is_same(a)));
        if !is_inside && !has_rule && !is_grouped && e.0.args.iter().all(is_same) {
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
            let reach = match &rule.reach {
                Reach::Picked(picks) => {
                    let (of, picks) = (self.clone(), picks.clone());
                    Reach::Picked(Arc::new(move |mask, at| {
                        let picked: Vec<Expr> = picks(mask, at)?.into_iter().collect();
                        Ok(of.replaced(&picked, &of.cotangent).pop())
                    }))
                }
                Reach::Anything | Reach::Parts { .. } | Reach::Masked | Reach::SameElement | Reach::Along(_) => {
                    rule.reach.clone()
                }
            };
            Arc::new(Rule { operands: rule.operands.iter().map(replaced).collect(), back, reach })
        });
        let mut order = e.0.order.clone();
        if is_inside {
            let own = order.get_or_insert_default();
            own.after = Some(own.after.as_ref().map_or_else(|| g.clone(), replaced));
            own.repetition = mixed(self.number, own.repetition);
        } else if rule.is_some() {
            // The new rule holds the cotangent. Because `after` holds it too, the drop of the node releases the
            // cotangent in a loop and not by recursion.
            order.get_or_insert_default().after.get_or_insert_with(|| g.clone());
        }
        if is_grouped {
            order.get_or_insert_default().groups.push(self.number);
        }
        e.copied(args, rule, order)
    }
}

/// Returns the repetition number of the copy of a node. `inner` is the node's own repetition number, which is 0 unless
/// the node is itself a copy. The result depends only on these two numbers, so copies of the same nodes that are made
/// at different times have the same number.
fn mixed(number: u64, inner: u64) -> u64 {
    if mutant!(repetitions_of_repetitions_are_one, true, inner == 0) {
        number
    } else {
        (number ^ inner.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 << 63
    }
}

/// Returns the operand of a view, or `None` for a node that is not a view. A view of a view is built as a view of the
/// first view's operand, so the result for it is this operand.
fn below(e: &Expr) -> Option<&Expr> {
    let is_view = matches!(e.0.op, NodeOp::View(_) | NodeOp::Reshape);
    e.0.args.first().filter(|_| is_view && (e.0.rule.is_none() || mask_of(e).is_some()))
}
