//! Matrix products that read an array of windows (overlapping slices, as in a convolution) directly from the array's
//! source, without a copy.
//!
//! A reshape makes a matrix of the windows by merging axes, such as the rows and the columns of an image. No single
//! stride describes a merged axis, and a copy would be several times larger than the source. So the product's kernel
//! has a separate dimension for each axis before the merge.

use super::planner::Planner;
use super::shape;
use crate::base::layout::{self, Shape, View};
use crate::graph::expr::NodeOp;
use crate::plan::kernel::{KernelKind, Step};
use smallvec::{SmallVec, smallvec};

/// For each axis of a reshape's result, the lengths of the operand's axes that are merged into it, slowest first.
type Groups = SmallVec<[Shape; 6]>;

impl Planner<'_> {
    /// Returns whether a product should read its operand `node`, a reshape of another array, directly from that array
    /// (the source) instead of from a copy. This is so if the reshape only merges axes, only the product reads it, and
    /// the source takes less than half of the memory of a copy.
    pub fn is_read_by_axes(&self, node: usize) -> bool {
        let arena = &self.arena;
        let n = &arena.nodes[node];
        if n.op != NodeOp::Reshape || self.stored[node] || self.facts[node].uses != 1 {
            return false;
        }
        let product = self.facts[node].consumer as usize;
        if arena.nodes[product].op != NodeOp::Matmul || n.shape.contains(&0) {
            return false;
        }
        let mut source = n.args[0];
        let shape = &arena.nodes[source].shape;
        let mut map = View::identity(shape);
        while let NodeOp::View(v) = &arena.nodes[source].op {
            map = map.after(v);
            source = arena.nodes[source].args[0];
        }
        let (strides, _) = map.apply(&self.stored_strides(source), 0);
        let reach = |(n, s): (&usize, &isize)| (n - 1).saturating_mul(s.unsigned_abs());
        let span = shape.iter().zip(&strides).map(reach).fold(1, usize::saturating_add);
        if span.saturating_mul(2) > layout::product(shape) || groups(shape, &n.shape).is_none() {
            return false;
        }
        // if the summed axis k has several dimensions, the kernel is not cut along k, so each operand must fit one
        // binding
        let fits = |a: usize, elements: usize| {
            let bytes = elements.saturating_mul(arena.nodes[a].dtype.size()) as u64;
            !self.caps.fuses_product || bytes <= self.most_bytes()
        };
        let is_held = |a: &usize| *a == node || fits(*a, layout::product(&arena.nodes[*a].shape));
        if !fits(node, span) || !arena.nodes[product].args.iter().all(is_held) {
            return false;
        }
        // operand 0 is decided before operand 1; the dimensions of both operands must match along k and along the batch
        // axes
        let mut parts: Groups = arena.nodes[product].shape.iter().map(|n| smallvec![*n]).collect();
        parts.push(smallvec![arena.nodes[arena.nodes[product].args[0]].shape.last().copied().unwrap_or(1)]);
        self.divide(product, &mut parts, |a| a == node || self.is_merged(a)).is_some()
    }

    /// Returns whether a product reads the source of its operand `node` (a reshape that merges axes) instead of a
    /// stored copy.
    pub fn is_merged(&self, node: usize) -> bool {
        self.arena.nodes[node].op == NodeOp::Reshape && !self.stored[node]
    }

    /// Divides each axis of a product, and the summed axis k, into dimensions that each lie within one axis of each
    /// operand's source. `parts` holds one list of dimensions for each axis of the product and then one for k, each
    /// slowest first. This function updates the lists. Returns `None` if the axes of the two sources do not fit
    /// together. `is_merged` tells for which operands the product reads the source.
    pub fn divide(&self, product: usize, parts: &mut [Shape], is_merged: impl Fn(usize) -> bool) -> Option<()> {
        let arena = &self.arena;
        let ndim = arena.nodes[product].shape.len();
        for (operand, a) in arena.nodes[product].args.iter().enumerate().filter(|(_, a)| is_merged(**a)) {
            let n = &arena.nodes[*a];
            let groups = groups(&arena.nodes[n.args[0]].shape, &n.shape)?;
            let batch = groups.len() - 2;
            for (d, lengths) in groups.iter().enumerate().filter(|(_, lengths)| !lengths.is_empty()) {
                let axis = match d.checked_sub(batch) {
                    None => ndim - 2 - batch + d,
                    Some(side) if side == operand => ndim - 2 + side,
                    Some(_) => ndim,
                };
                parts[axis] = divided(&parts[axis], lengths)?;
            }
        }
        Some(())
    }

    /// Returns the node that a product reads from memory for its operand `operand`, and the map from the kernel's index
    /// to that node's index. The node is the source of the operand if [`Planner::is_merged`] is true for the operand,
    /// and otherwise the operand itself.
    pub fn source_of(&self, operand: usize, map: View) -> Option<(usize, View)> {
        if !self.is_merged(operand) {
            return Some((operand, map));
        }
        let n = &self.arena.nodes[operand];
        Some((n.args[0], through(&map, &self.arena.nodes[n.args[0]].shape, &n.shape)?))
    }
}

/// Orders and merges the dimensions of the elementwise kernels that follow a product of sliding windows. Such a product
/// has several dimensions along its rows, columns or k, in another order than its result has in memory.
pub(super) fn arrange_epilogues(steps: &mut [Step]) {
    for i in 1..steps.len() {
        let (before, next) = steps.split_at_mut(i);
        let (Step::Nest(product), Step::Nest(next)) = (&before[i - 1], &mut next[0]) else { continue };
        if product.kind == KernelKind::Matmul && product.inner.len() > 1 && next.continues {
            shape::arrange(next);
        }
    }
}

/// Returns for each axis of shape `to` the lengths of the axes of shape `from` that are merged into it, without axes of
/// length 1. Returns `None` if the reshape from `from` to `to` splits an axis.
fn groups(from: &[usize], to: &[usize]) -> Option<Groups> {
    let mut from = from.iter().copied().filter(|n| *n != 1);
    let group = |n: &usize| {
        let (mut lengths, mut size) = (Shape::new(), 1usize);
        while size < *n {
            let length = from.next()?;
            size = size.saturating_mul(length);
            lengths.push(length);
        }
        (size == *n).then_some(lengths)
    };
    to.iter().map(group).collect()
}

/// Returns the coarsest division of an axis that refines both divisions `a` and `b`, or `None` if there is none. A
/// division is a list of lengths, slowest first, whose product is the length of the axis.
fn divided(a: &[usize], b: &[usize]) -> Option<Shape> {
    let long = |list: &'_ [usize]| list.iter().rev().copied().filter(|n| *n != 1).collect::<Shape>().into_iter();
    let (mut a, mut b) = (long(a), long(b));
    let (mut x, mut y) = (a.next().unwrap_or(1), b.next().unwrap_or(1));
    let mut out = Shape::new();
    while x != 1 || y != 1 {
        let length = x.min(y);
        if length <= 1 || x % length != 0 || y % length != 0 {
            return None;
        }
        out.insert(0, length);
        (x, y) = (x / length, y / length);
        x = if x == 1 { a.next().unwrap_or(1) } else { x };
        y = if y == 1 { b.next().unwrap_or(1) } else { y };
    }
    Some(out)
}

/// Converts `map`, which gives an index of a reshape's result (of shape `to`), to the map that gives the corresponding
/// index of the reshape's operand (of shape `from`). Returns `None` if no strides describe that map.
fn through(map: &View, from: &[usize], to: &[usize]) -> Option<View> {
    let n = map.shape.len();
    let mut out =
        View { shape: map.shape.clone(), offset: smallvec![0; from.len()], coef: smallvec![0; from.len() * n] };
    let mut axes = (0..from.len()).filter(|d| from[*d] != 1);
    for (j, lengths) in groups(from, to)?.iter().enumerate() {
        let list: SmallVec<[usize; 6]> = axes.by_ref().take(lengths.len()).collect();
        let ends: isize = lengths.iter().product::<usize>() as isize;
        let used = |k: &usize| map.shape[*k] != 1 && map.coef[j * n + k] != 0;
        if map.offset[j] != 0 || (0..n).filter(used).any(|k| !(1..ends).contains(&map.coef[j * n + k])) {
            return None;
        }
        let mut step = 1;
        for axis in list.iter().rev() {
            let end = step * from[*axis] as isize;
            for k in (0..n).filter(used) {
                let c = map.coef[j * n + k];
                if !(step..end).contains(&c) {
                    continue;
                }
                if c % step != 0 || c.saturating_mul(map.shape[k] as isize) > end {
                    return None;
                }
                out.coef[axis * n + k] = c / step;
            }
            step = end;
        }
    }
    Some(out)
}
