//! The order of a walk over a graph with checkpoints.
//!
//! A walk numbers operands before the nodes that read them, and a plan computes stored nodes in the order of their numbers.
//! A derivative that repeats a computation needs little memory only if each repetition is computed when its cotangent is
//! known, if all derivatives of a checkpoint are computed together, and if derivatives with respect to the same operand
//! are added up as soon as they are known. Nodes say so by their [`NodeOrder`](crate::graph::expr::Order); this file
//! finds which of them a walk follows.

use crate::graph::expr::{Expr, Node, NodeOp};
use crate::graph::ufunc::arithmetic;
use std::collections::{HashMap, HashSet};

/// The order of the nodes of some results.
#[derive(Default)]
pub(super) struct NodeOrder<'a> {
    reached: HashSet<*const Node>,
    /// The nodes of each group that is not entered yet.
    groups: HashMap<u64, Vec<&'a Node>>,
    /// For each operand of an addition, the addition.
    additions: HashMap<*const Node, &'a Node>,
    entered: HashSet<*const Node>,
    /// The numbers of repetitions in the order in which the walk has found them.
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

    /// Returns the nodes that are computed before a node that the walk meets, the first one last, or nothing if it has
    /// met the node before. The walk meets each of them at most twice, so it ends even if they depend on the node.
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
        // a sum of derivatives is added up in its own order, so that only one of them is kept
        let sums: Vec<&'a Node> = list.iter().filter_map(|n| self.addition(n)).collect();
        let members: HashSet<*const Node> = list.iter().map(|n| std::ptr::from_ref(*n)).collect();
        list.extend(after);
        let others = sums.into_iter().flat_map(|sum| &sum.args).map(|a| &*a.0);
        list.extend(others.filter(|a| !members.contains(&std::ptr::from_ref(*a))));
        Some(list)
    }

    /// Returns the addition that reads a node of a group, or an earlier addition.
    pub fn addition(&self, node: &'a Node) -> Option<&'a Node> {
        self.additions.get(&std::ptr::from_ref(node)).copied()
    }

    /// Returns the number of a repetition within the walk, from 1 on.
    pub fn repetition(&mut self, number: u64) -> u32 {
        let next = self.repetitions.len() as u32 + 1;
        *self.repetitions.entry(number).or_insert(next)
    }
}
