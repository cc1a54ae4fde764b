//! Finds the epilogue of a reduction, scan or product that is stored: the elementwise nodes that run in its kernel.

use super::planner::Planner;
use crate::base::layout;
use crate::graph::expr::{NodeOp, Role};

impl Planner<'_> {
    /// Returns whether `node` can be computed in the kernel of `reduction` from memory, numbers and other reductions
    /// alone. These other reductions must have the same axes and operands of the same shape. Looks at most `steps`
    /// operations down, which bounds the search.
    fn is_beside(&self, node: usize, reduction: usize, steps: usize) -> bool {
        let (n, r) = (&self.arena.nodes[node], &self.arena.nodes[reduction]);
        match (&n.op, &r.op) {
            (NodeOp::Reduce(_, a), NodeOp::Reduce(_, b)) => {
                a == b && self.arena.nodes[n.args[0]].shape == self.arena.nodes[r.args[0]].shape
            }
            (op, _) if op.role() == Role::Elementwise && steps > 0 && n.shape == r.shape => {
                n.args.iter().all(|a| self.is_at_hand(*a) || self.is_beside(*a, reduction, steps - 1))
            }
            _ => false,
        }
    }

    /// Returns the node to store instead of `reduction` (a reduction, scan or product). This is the last of the
    /// elementwise nodes that can run in the kernel of `reduction` on its result, or `reduction` itself if there is
    /// none. These nodes have the same size, and each is the only user of the one before. They may also read other
    /// reductions over the same indices, at most 8 operations below: twice the depth that a norm needs.
    pub(super) fn with_epilogue(&self, reduction: usize, owner: usize) -> usize {
        let mut node = reduction;
        while self.facts[node].uses == 1 {
            let next = self.facts[node].consumer as usize;
            if next == owner || !self.continues(next, reduction, node) {
                break;
            }
            node = next;
        }
        node
    }

    /// Returns whether `next` is an elementwise node that can run in the kernel of `reduction`, if this kernel computes
    /// the node `known`.
    fn continues(&self, next: usize, reduction: usize, known: usize) -> bool {
        let size = |n: usize| layout::product(&self.arena.nodes[n].shape);
        let n = &self.arena.nodes[next];
        n.op.role() == Role::Elementwise
            && size(next) == size(reduction)
            && n.args.iter().all(|a| known == *a || self.is_at_hand(*a) || self.is_beside(*a, reduction, 8))
    }
}
