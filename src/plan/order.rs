//! The order in which the planner visits the nodes of a graph with checkpoints. (The derivative of a checkpoint
//! computes the checkpoint's intermediate results again instead of keeping them.)
//!
//! The [`Walk`](super::Walk) numbers operands before the nodes that read them, and a plan computes stored nodes in the
//! order of their numbers. This file chooses among the possible orders, so that a derivative that repeats a computation
//! needs little memory. A node's [`Order`](crate::graph::expr::Order) states what is required:
//!
//! * Each repetition is computed only when the derivative with respect to its result is known.
//! * All derivatives of one checkpoint are computed together.
//! * Derivatives with respect to the same operand are added up as soon as they are known.

use crate::graph::expr::{Expr, Node, NodeOp};
use crate::graph::ufunc::arithmetic;
use std::collections::{HashMap, HashSet};

/// What the walk must know about all nodes below the requested results, to visit them in a good order.
#[derive(Default)]
pub(super) struct NodeOrder<'a> {
    reached: HashSet<*const Node>,
    /// The nodes of each group that the walk has not begun. The nodes of a group are to be computed together.
    groups: HashMap<u64, Vec<&'a Node>>,
    /// For each node that is an operand of an addition of the same shape, the addition (the first one found).
    additions: HashMap<*const Node, &'a Node>,
    entered: HashSet<*const Node>,
    /// For each repetition of a checkpoint's computation ([`Order::repetition`](crate::graph::expr::Order)) found so
    /// far, its number within this walk: 1 for the first that the walk has found.
    repetitions: HashMap<u64, u32>,
}

impl<'a> NodeOrder<'a> {
    pub fn of(roots: &[&'a Expr]) -> NodeOrder<'a> {
        let mut order = NodeOrder::default();
        let mut stack: Vec<&'a Node> = roots.iter().map(|e| &*e.0).collect();
        while let Some(node) = stack.pop() {
            if !order.reached.insert(node) {
                continue;
            }
            for group in node.order.iter().flat_map(|own| &own.groups) {
                order.groups.entry(*group).or_default().push(node);
            }
            if let NodeOp::Ufunc(row) = &node.op
                && std::ptr::eq(*row, &arithmetic::add)
                && node.args.iter().all(|a| a.0.shape == node.shape)
            {
                for a in &node.args {
                    order.additions.entry(std::ptr::from_ref(&*a.0)).or_insert(node);
                }
            }
            stack.extend(node.args.iter().map(|a| &*a.0));
        }
        order
    }

    /// Returns the nodes that the walk must visit before `node`, in reverse order. Returns `None` if the node has no
    /// order, or if this function was called for the node before. So each node delays the walk only once, and the walk
    /// ends even if a returned node depends on `node`.
    pub fn before(&mut self, node: &'a Node) -> Option<Vec<&'a Node>> {
        let own = node.order.as_ref()?;
        if !self.entered.insert(node) {
            return None;
        }
        let mut list: Vec<&'a Node> = vec![];
        for group in &own.groups {
            list.extend(self.groups.remove(group).unwrap_or_default());
        }
        let after = own.after.iter().map(|e| &*e.0).filter(|n| self.reached.contains(&std::ptr::from_ref(*n)));
        // the nodes in `list` are summed with other operands; visit these operands first, so that one partial sum is in
        // memory at a time, not several addends
        let sums: Vec<&'a Node> = list.iter().filter_map(|n| self.addition(n)).collect();
        let members: HashSet<*const Node> = list.iter().map(|n| std::ptr::from_ref(*n)).collect();
        list.extend(after);
        let others = sums.into_iter().flat_map(|sum| &sum.args).map(|a| &*a.0);
        list.extend(others.filter(|a| !members.contains(&std::ptr::from_ref(*a))));
        Some(list)
    }

    /// Returns an addition that has `node` as an operand of the same shape, if there is one.
    pub fn addition(&self, node: &'a Node) -> Option<&'a Node> {
        self.additions.get(&std::ptr::from_ref(node)).copied()
    }

    /// Returns the number within this walk of the checkpoint's repetition that has number `number` in the graph. The
    /// first that the walk finds gets 1.
    pub fn repetition(&mut self, number: u64) -> u32 {
        let next = self.repetitions.len() as u32 + 1;
        *self.repetitions.entry(number).or_insert(next)
    }
}
