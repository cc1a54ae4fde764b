//! Reads concatenations directly from their operands, so that the concatenation need not be stored. An elementwise
//! kernel that reads a concatenation is cut into boxes: rectangular parts of its index space, in each of which it needs
//! elements of only one operand. There is one kernel for each box. For example, a rolled array is a concatenation of
//! two slices: `x.roll(1, 0) + &x` reads and writes memory once, and counts as one kernel with two passes.

use super::lower::Draft;
use super::making::Making;
use super::planner::{Planner, broadcast_map};
use super::shape;
use super::space::Space;
use crate::base::error::Result;
use crate::base::layout::View;
use crate::graph::expr::{NodeOp, Role};
use crate::plan::kernel::{Kernel, KernelKind, Step, Store};
use smallvec::{SmallVec, smallvec};

/// The maximum number of operands of a concatenation that is not stored, because its readers read its operands
/// directly. A roll has two operands, and one more is allowed.
const MOST_PARTS: usize = 3;

/// The maximum number of boxes (parts with a kernel each) into which a kernel is cut: three along each of two axes, as
/// for a formula that adds the eight neighbours of each cell of a grid. An estimate; no benchmark compares other
/// values.
const MOST_BOXES: usize = 9;

/// The maximum nesting depth of concatenations whose operands are read directly, enough for a roll along four axes.
const DEEPEST: u8 = 4;

/// The maximum number of nodes that the search for boxes (parts of a kernel that each read one operand of a
/// concatenation) visits. If a kernel has more nodes, it reads stored concatenations.
const MOST_STEPS: usize = 256;

/// For each axis of a kernel's index space, the indices at which a box (a part with a kernel of its own) begins, except
/// 0.
type Cuts = SmallVec<[SmallVec<[usize; 4]>; 6]>;

impl Planner<'_> {
    /// Finds the nodes that have readers other than elementwise functions (`NodeFacts::has_other_readers`).
    pub(super) fn find_readers(&mut self) {
        for (i, n) in self.arena.nodes.iter().enumerate().rev() {
            let passes_on = n.op.role() == Role::View || matches!(n.op, NodeOp::Concat { .. });
            if n.op.role() != Role::Elementwise && !(passes_on && self.facts[i].is_read_elementwise()) {
                n.args.iter().for_each(|a| self.facts[*a].has_other_readers = true);
            }
        }
    }

    /// Returns whether a node is a concatenation whose readers can read its operands directly, by a kernel for each box
    /// (rectangular part of their index space). Each operand, or the array of which it is a view, must be in memory
    /// anyway: an input, a stored node, or a node with other readers, which is then marked as stored. If the node is
    /// such a concatenation, records it in `joins`.
    pub(super) fn is_read_in_parts(&mut self, node: usize) -> bool {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        if !matches!(n.op, NodeOp::Concat { .. }) || n.args.len() > MOST_PARTS || n.shape.contains(&0) {
            return false;
        }
        let base = |mut node: usize| {
            while arena.nodes[node].op.role() == Role::View {
                node = arena.nodes[node].args[0];
            }
            node
        };
        let bases: SmallVec<[usize; MOST_PARTS]> = n.args.iter().map(|a| base(*a)).collect();
        let has_others = |node: usize| self.facts[node].uses as usize > bases.iter().filter(|b| **b == node).count();
        // a constant operand does not fit: it is not read from memory, so the kernel of its box would need another
        // shader than the kernels of the other boxes
        let fits = |node: usize| match arena.nodes[node].op.role() {
            Role::Memory => true,
            Role::Constant | Role::Generator => false,
            Role::View
            | Role::Elementwise
            | Role::Gather
            | Role::Reduction
            | Role::Scan
            | Role::Product
            | Role::Whole => self.stored[node] || self.is_joined(node) || has_others(node),
        };
        let depth = bases.iter().filter(|b| self.is_joined(**b)).map(|b| self.facts[*b].joins).max().unwrap_or(0) + 1;
        if depth > DEEPEST || !bases.iter().all(|b| fits(*b)) {
            return false;
        }
        for b in bases {
            self.stored[b] |= !self.is_joined(b);
        }
        self.facts[node].joins = depth;
        true
    }

    /// Returns whether a node is a concatenation that is not stored, because its readers read its operands directly.
    pub(super) fn is_joined(&self, node: usize) -> bool {
        self.facts[node].joins > 0 && matches!(self.arena.nodes[node].op, NodeOp::Concat { .. })
    }

    /// Returns the boxes of the kernel that computes `node` as a part of the stored node `owner`: the parts of the
    /// index space in which only one operand of a concatenation is read. A box is a map from its own indices, which
    /// begin at 0, to the node's indices. Returns `None` if one box is enough, or if there would be too many.
    fn boxes(&self, node: usize, owner: usize) -> Option<Vec<View>> {
        let shape = &self.arena.nodes[node].shape;
        let mut cuts: Cuts = smallvec![smallvec![]; shape.len()];
        let (mut stack, mut steps) = (vec![(node, View::identity(shape))], 0);
        while let Some((n, map)) = stack.pop() {
            steps += 1;
            if steps > MOST_STEPS {
                return None;
            }
            if self.facts[n].joins == 0 || self.stored[n] && n != owner {
                continue;
            }
            let a = &self.arena.nodes[n];
            if let NodeOp::Concat { axis } = &a.op {
                let mut begin = 0;
                for part in &a.args {
                    if begin > 0 {
                        cut(&mut cuts, &map, *axis, begin)?;
                    }
                    stack.push((*part, map.shifted(*axis, begin)));
                    begin += self.arena.nodes[*part].shape[*axis] as isize;
                }
            } else if let Some(v) = a.op.view() {
                stack.push((a.args[0], map.after(v)));
            } else {
                let maps = a.args.iter().map(|c| (*c, broadcast_map(&map, &self.arena.nodes[*c].shape, &a.shape)));
                stack.extend(maps);
            }
            self.took(1);
        }
        let count = cuts.iter().fold(1usize, |all, c| all.saturating_mul(c.len() + 1));
        if !(2..=MOST_BOXES).contains(&count) {
            return None;
        }
        let mut boxes = vec![View::identity(shape)];
        for (axis, cuts) in cuts.iter_mut().enumerate() {
            cuts.sort_unstable();
            let ends = || cuts.iter().copied().chain([shape[axis]]);
            let parts = std::iter::once(0).chain(cuts.iter().copied()).zip(ends());
            let parts: SmallVec<[(usize, usize); 4]> = parts.collect();
            boxes = (boxes.iter())
                .flat_map(|of| {
                    parts.iter().map(|(begin, end)| {
                        let mut part = of.clone();
                        part.offset[axis] = *begin as isize;
                        part.shape[axis] = end - begin;
                        part
                    })
                })
                .collect();
        }
        Some(boxes)
    }

    /// Makes the kernels that compute `node`, one for each box (part that reads only one operand of a concatenation),
    /// and returns true. Returns false if `node` is not computed in boxes. In this case, nodes that did not fit into
    /// the kernel of a box may have been marked as stored.
    pub(super) fn in_boxes(&mut self, node: usize, owner: usize, to: &Store, making: &mut Making) -> Result<bool> {
        if self.facts[node].joins == 0 || self.facts[node].loops {
            return Ok(false);
        }
        let keeps = making.decided || matches!(self.arena.nodes[owner].op.role(), Role::Whole);
        loop {
            // after it is decided which nodes are stored, use the boxes found earlier: a new search could find others,
            // because more nodes may have been stored since
            let boxes = match (making.decided, owner == node) {
                (true, true) => self.boxes_of.remove(&node),
                (false, true) => {
                    self.boxes_of.remove(&node);
                    self.boxes(node, owner)
                }
                (_, false) => self.boxes(node, owner),
            };
            let Some(boxes) = boxes else { return Ok(false) };
            let (mut computes, mut reads, mut kernels): (Vec<u32>, Vec<u32>, Vec<Kernel>) = (vec![], vec![], vec![]);
            let mut unfit = None;
            for map in &boxes {
                let space = Space { map: map.clone(), ..Space::of_shape(&map.shape) };
                match Draft::build(self, node, owner, &space, to.clone()) {
                    Ok(draft)
                        if draft.kind != KernelKind::Elementwise
                            || self.weighs.get() && self.binds_too_much(&draft) =>
                    {
                        draft.discard(self);
                        return Ok(false);
                    }
                    Ok(mut draft) => {
                        computes.extend(std::mem::take(&mut draft.computes).iter().map(|c| *c as u32));
                        reads.extend(draft.reads());
                        match keeps {
                            true => kernels.extend(shape::finish(self, draft)?),
                            false => draft.discard(self),
                        }
                    }
                    Err(store) => {
                        unfit = Some(store);
                        break;
                    }
                }
            }
            if let Some(store) = unfit {
                self.store_first(store, owner, making)?;
                continue;
            }
            for list in [&mut computes, &mut reads] {
                list.sort_unstable();
                list.dedup();
            }
            making.computes.extend(computes);
            making.reads.extend(reads);
            if owner == node {
                self.boxes_of.insert(node, boxes);
            }
            for (i, mut kernel) in kernels.into_iter().enumerate() {
                kernel.continues = i > 0;
                making.steps.push(Step::Nest(kernel));
            }
            return Ok(true);
        }
    }
}

/// Adds a cut of the index space to `cuts`. `map` maps indices of the space to positions along the concatenated axis
/// `axis`, and the cut separates the positions before `begin` from the others. Returns `None` if the position depends
/// on more than one axis of the space, so that no single cut separates them.
fn cut(cuts: &mut Cuts, map: &View, axis: usize, begin: isize) -> Option<()> {
    let n = map.shape.len();
    let mut steps = (0..n).filter(|d| map.coef[axis * n + d] != 0 && map.shape[*d] > 1);
    let Some(d) = steps.next() else { return Some(()) };
    if steps.next().is_some() {
        return None;
    }
    let (step, room) = (map.coef[axis * n + d], begin - map.offset[axis]);
    // the first index along `d` that the cut separates from index 0
    let at = match step > 0 {
        true => room.div_euclid(step) + (room.rem_euclid(step) > 0) as isize,
        false => (-room).div_euclid(-step) + 1,
    };
    let is_inside = at > 0 && at < map.shape[d] as isize;
    if is_inside && !cuts[d].contains(&(at as usize)) {
        cuts[d].push(at as usize);
    }
    Some(())
}
