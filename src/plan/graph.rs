//! Turns an expression into the key of its plan, and into the planner's arena: a list of the nodes without duplicates,
//! in which operands are indices.
//!
//! One walk over the graph, without recursion, writes the key: everything that the plan depends on, and nothing else.
//! Arrays with their offsets, and the values of scalars, may differ between two runs of one plan. The walk collects
//! them as *bindings*. Each binding has a *slot*, its index in the list of inputs or of scalars, and the key records
//! the slots. Equal scalars share a slot. The arena is made only if no plan is cached under the key.

use super::key::PlanKey;
use super::merge::Merged;
use super::order::NodeOrder;
use super::traced::{Seeds, without_elements};
use super::{Map, Target};
use crate::base::buffer::Buffer;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Result;
use crate::base::layout::{Shape, copied};
use crate::graph::expr::{Binding, Expr, Node, NodeOp};
use crate::plan::kernel::Whole;
use smallvec::{SmallVec, smallvec};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::rc::Rc;

/// A node in the planner's arena. `args` has the arena indices of its operands, which come before it. Equal nodes of
/// the expression are merged into one.
#[derive(Clone, Debug)]
pub(super) struct PlanNode {
    pub op: NodeOp,
    pub args: SmallVec<[usize; 3]>,
    /// Where a run finds the node's array or numbers: the index of a plan input, the index of a run-time scalar, or
    /// three such indices for random numbers (low word of the seed, high word of the seed, stream). Unused entries are
    /// 0.
    pub slots: [u32; 3],
    pub shape: Shape,
    pub dtype: DType,
    /// If the node repeats a computation in the derivative of a checkpoint, the number of the repetition, from 1 on;
    /// otherwise 0. Nodes of different repetitions are never merged.
    pub repetition: u32,
    /// The node's number in the walk over the graph, by which a run finds the caller's source line. `location` is the
    /// source line in the expression for which the plan was made. If nodes were merged, `number` and `location` belong
    /// to the first of them.
    pub number: u32,
    pub location: &'static Location<'static>,
}

impl PlanNode {
    /// Returns everything that two nodes must have in common to be computed only once.
    fn identity(&self) -> impl std::hash::Hash + PartialEq + '_ {
        let op = mutant!(equal_takes_without_mode, Cow::Owned(self.op.without_mode()), Cow::Borrowed(&self.op));
        let dtype = mutant!(equal_nodes_without_dtype, DType::F32, self.dtype);
        (op, dtype, &self.shape, &self.args, &self.slots, self.repetition)
    }
}

/// The call of a routine, shared by all nodes that are its results.
#[derive(Clone)]
pub(super) struct RoutineNode {
    /// The result node with the smallest index. The call is among the steps that compute this node, so it runs before
    /// all readers of any result.
    pub first: usize,
    /// The memory of each result. A result that no node of the graph needs also has a temporary, because the routine
    /// writes it anyway.
    pub results: Rc<Vec<Whole>>,
}

/// The planner's arena: the nodes of all requested expressions in topological order, without duplicates.
#[derive(Clone)]
pub(super) struct Graph {
    pub nodes: Vec<PlanNode>,
    /// The nodes whose values are the outputs of the plan, in the order of outputs.
    pub roots: Vec<usize>,
    /// For each requested expression, the index of its output.
    pub output_of: Vec<usize>,
    pub inputs: Vec<DType>,
    /// For each input that is in the same buffer as the target of the write: its offset relative to the target, in
    /// elements. `None` for other inputs.
    pub aliased: Vec<Option<isize>>,
    pub scalars: Vec<DType>,
}

/// If there are at most this many nodes, the walk finds a node by searching its list of nodes, and otherwise by a hash
/// map. 16 pointers fill two cache lines, and searching them is faster than computing a hash.
pub(super) const LISTED: usize = 16;

/// Returns the number that identifies the kind of operation in the first word of a node in the key. The most frequent
/// kinds have numbers of their own, and [`Walk::add`] writes their data to the key. All other kinds have number 0, and
/// their data is written by the `Hash` of `NodeOp`.
#[inline]
pub(super) fn kind(op: &NodeOp) -> u64 {
    match op {
        NodeOp::Stored(_) => 1,
        NodeOp::Ufunc(_) => 2,
        NodeOp::Cast => 3,
        NodeOp::Fill => 4,
        NodeOp::Number
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::View(_)
        | NodeOp::Reshape
        | NodeOp::Reduce(..)
        | NodeOp::Scan { .. }
        | NodeOp::Matmul
        | NodeOp::Take { .. }
        | NodeOp::Concat { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Failed => 0,
    }
}

/// One walk over the nodes of an expression. It writes the key of the expression's plan, and collects the bindings of
/// this evaluation: the arrays and numbers on which the plan runs.
#[derive(Default)]
pub(crate) struct Walk<'a> {
    key: PlanKey,
    nodes: SmallVec<[&'a Node; LISTED]>,
    /// The number of each node by its address, so that the walk takes linear time. The map is empty as long as there
    /// are at most [`LISTED`] nodes.
    numbers: Map<*const Node, u32>,
    /// The slots (indices in the list of inputs or of scalars) of the bindings of all nodes, one node after another.
    slots: SmallVec<[u32; 8]>,
    /// The arrays that the walk has found, each with its buffer and its offset. The index of an array is its slot.
    /// `sources` has the node of each array and, if the array is in the target's buffer, its offset relative to the
    /// target.
    inputs: SmallVec<[(&'a Buffer, usize); 4]>,
    sources: SmallVec<[(&'a Node, Option<isize>); 4]>,
    /// The numbers that the walk has found, as bits. The index of a number is its slot. `types` has the dtype of each.
    scalars: SmallVec<[u64; 4]>,
    types: SmallVec<[DType; 4]>,
    roots: SmallVec<[u32; 2]>,
    /// The order in which to visit the nodes, or `None` if the graph has no checkpoints.
    order: Option<Box<NodeOrder<'a>>>,
    /// Whether the expressions belong to a compiled function, whose plan runs again on other arrays and with other
    /// random numbers.
    is_traced: bool,
    seeds: Seeds,
}

/// Each array or number that the walk finds is compared with at most this many of the latest ones, because equal ones
/// can share a slot. Comparing with all of them would take quadratic time. Chosen by hand; no benchmark compares other
/// values.
const RECENT_INPUTS: usize = 32;
const RECENT_SCALARS: usize = 64;

impl<'a> Walk<'a> {
    /// Returns a walk over the expressions of a compiled function, whose plan runs again on other arrays and with other
    /// random numbers.
    pub fn of_traced() -> Walk<'a> {
        Walk { is_traced: true, ..Walk::default() }
    }

    pub fn take_seeds(&mut self) -> Seeds {
        std::mem::take(&mut self.seeds)
    }

    /// Visits all nodes from which the requested expressions `roots` are computed, and writes the key. This method
    /// fills an existing walk, because returning a walk would copy its lists, which hold a small graph inline.
    pub(super) fn take(&mut self, roots: &[&'a Expr], target: Option<&Target<'_>>, caps: u32) -> Result<()> {
        self.key.write_u32(mutant!(plans_shared_between_devices, 0, caps));
        // the key leaves out the target's offset in its buffer, because a binding passes it to the plan; so writes to
        // different rows of an array share one plan
        target.map(|t| (&t.layout.shape, &t.layout.strides)).hash(&mut self.key);
        for root in roots {
            if self.number(&*root.0).is_none() {
                self.add_all(&root.0, roots, target)?;
            }
            let n = self.number(&*root.0).unwrap_or(0);
            self.roots.push(n);
            self.key.write_u32(n);
        }
        Ok(())
    }

    /// Adds `root` to the walk, after all nodes from which it is computed.
    fn add_all(&mut self, root: &'a Node, roots: &[&'a Expr], target: Option<&Target<'_>>) -> Result<()> {
        let mut stack: SmallVec<[(&'a Node, bool); 16]> = smallvec![(root, false)];
        while let Some((node, mut ready)) = stack.pop() {
            if !ready {
                if self.number(node).is_some() {
                    continue;
                }
                if node.order.is_some() {
                    let order = self.order.get_or_insert_with(|| Box::new(NodeOrder::of(roots)));
                    if let Some(before) = order.before(node) {
                        stack.push((node, false));
                        stack.extend(before.into_iter().map(|n| (n, false)));
                        continue;
                    }
                }
                // if no operand has operands of its own, add them directly, without the stack
                if node.args.iter().all(|c| c.0.args.is_empty()) {
                    for operand in &node.args {
                        if self.number(&*operand.0).is_none() {
                            self.add(&operand.0, target)?;
                        }
                    }
                    ready = true;
                }
            }
            if ready {
                // if the graph has checkpoints, which set an order, a node may be on the stack twice
                if self.order.is_none() || self.number(node).is_none() {
                    self.add(node, target)?;
                    self.add_sums(node, target)?;
                }
                continue;
            }
            stack.push((node, true));
            stack.extend(node.args.iter().rev().map(|c| (&*c.0, false)));
        }
        Ok(())
    }

    /// If `node`, which was added last, is a derivative with respect to an operand of a checkpoint, adds the nodes that
    /// sum it with other derivatives. Stops at a sum whose other operand is not in the walk yet.
    fn add_sums(&mut self, mut node: &'a Node, target: Option<&Target<'_>>) -> Result<()> {
        if node.order.as_ref().is_none_or(|order| order.groups.is_empty()) {
            return Ok(());
        }
        while let Some(sum) = self.order.as_ref().and_then(|order| order.addition(node))
            && self.number(sum).is_none()
            && sum.args.iter().all(|a| self.number(&*a.0).is_some())
        {
            self.add(sum, target)?;
            node = sum;
        }
        Ok(())
    }

    /// Returns the number of a node in the walk, or `None` if the walk has not visited it yet.
    #[inline]
    pub(super) fn number(&self, node: *const Node) -> Option<u32> {
        if self.nodes.len() <= LISTED {
            self.nodes.iter().position(|n| std::ptr::eq(*n, node)).map(|n| n as u32)
        } else {
            self.numbers.get(&node).copied()
        }
    }

    /// Returns the slot of a number: its index in the list of scalars. Equal numbers of one dtype share a slot, so that
    /// the planner knows that they are equal.
    fn scalar_slot(&mut self, value: Scalar, dtype: DType) -> u32 {
        let (bits, count) = (value.bits(dtype), self.scalars.len());
        for slot in (count.saturating_sub(RECENT_SCALARS)..count).rev() {
            if self.scalars[slot] == bits
                && self.types[slot] == dtype
                && !mutant!(seeds_share_slots_with_numbers, false, self.seeds.has(slot as u32))
            {
                return slot as u32;
            }
        }
        self.scalars.push(bits);
        self.types.push(dtype);
        count as u32
    }

    /// Returns the slot of a stored array: its index in the list of inputs. If the same array occurs again, it shares
    /// the slot and is read only once.
    fn input_slot(&mut self, node: &'a Node, (buffer, offset): (&'a Buffer, usize), aliased: Option<isize>) -> u32 {
        let count = self.inputs.len();
        for slot in (count.saturating_sub(RECENT_INPUTS)..count).rev() {
            let known = self.inputs[slot];
            if known.1 == offset && known.0.same(buffer) {
                let other = self.sources[slot].0;
                if node.op == other.op && node.shape == other.shape {
                    return slot as u32;
                }
            }
        }
        self.inputs.push((buffer, offset));
        self.sources.push((node, aliased));
        count as u32
    }

    /// Adds a node to the walk: gives it the next number, writes it to the key, and collects its bindings. Its operands
    /// must have been added before.
    fn add(&mut self, node: &'a Node, target: Option<&Target<'_>>) -> Result<()> {
        let slots = self.slots.len();
        match &node.binding {
            Binding::None => {}
            Binding::Array { buffer, .. } if buffer.cannot_be_planned(self.is_traced) => {
                return Err(without_elements(buffer, node.location));
            }
            Binding::Array { buffer, offset } => {
                let target = target.filter(|t| t.buffer.same(buffer));
                let aliased = target.map(|t| *offset as isize - t.layout.offset as isize);
                let slot = self.input_slot(node, (buffer, *offset), aliased);
                self.slots.push(slot);
                // whether a write may be in place depends on the position of this array relative to the target, so the
                // position is part of the key
                mutant!(plan_cache_without_alias, (), aliased.hash(&mut self.key));
            }
            Binding::Number(value) => {
                let slot = self.scalar_slot(*value, node.dtype);
                self.slots.push(slot);
            }
            Binding::Random { seed, stream } if self.is_traced => {
                let seed = self.seeds.slots(*seed, &mut self.scalars, &mut self.types);
                let stream = self.scalar_slot(Scalar::Int(*stream as i128), DType::U32);
                self.slots.extend([seed[0], seed[1], stream]);
            }
            Binding::Random { seed, stream } => {
                for word in [*seed & 0xffff_ffff, *seed >> 32, *stream as u64] {
                    let slot = self.scalar_slot(Scalar::Int(word as i128), DType::U32);
                    self.slots.push(slot);
                }
            }
            Binding::Failure(e) => return Err(e.clone()),
        }
        // the number of operands occupies the upper half of the word, because `concat` may have any number of them
        let dtype = mutant!(plan_cache_without_dtype, 0, node.dtype as u64);
        let lengths = (node.shape.len() as u64) << 16 | ((self.slots.len() - slots) as u64) << 24;
        let kind = kind(&node.op);
        let repetition = self.repetition(node);
        let is_repeated = (repetition > 0) as u64;
        self.key.push(kind | is_repeated << 7 | dtype << 8 | lengths | (node.args.len() as u64) << 32);
        if repetition > 0 {
            self.key.push(repetition as u64);
        }
        if let NodeOp::Stored(strides) = &node.op {
            // a stored array has a stride for each axis
            for n in strides {
                self.key.push(mutant!(plan_cache_without_strides, 0, *n as u64));
            }
        } else if let NodeOp::Ufunc(row) = &node.op {
            row.hash(&mut self.key);
        } else if kind == 0 {
            node.op.hash(&mut self.key);
        }
        for n in &node.shape {
            self.key.push(*n as u64);
        }
        for operand in &node.args {
            let n = self.number(&*operand.0).unwrap_or(0);
            self.key.push(n as u64);
        }
        for n in &self.slots[slots..] {
            self.key.push(mutant!(plan_cache_without_equal_numbers, 0, *n as u64));
        }
        self.nodes.push(node);
        if self.nodes.len() > LISTED {
            self.number_last();
        }
        Ok(())
    }

    /// Returns the number, within this walk, of the checkpoint's repetition to which a node belongs, or 0 if the node
    /// belongs to no repetition.
    fn repetition(&mut self, node: &Node) -> u32 {
        let own = node.order.as_ref().map_or(0, |order| order.repetition);
        self.order.as_mut().filter(|_| own > 0).map_or(0, |order| order.repetition(own))
    }

    /// Adds the last node to the map `numbers`. The first call adds all nodes.
    fn number_last(&mut self) {
        let known = if self.numbers.is_empty() { 0 } else { self.nodes.len() - 1 };
        for (n, node) in self.nodes.iter().enumerate().skip(known) {
            self.numbers.insert(std::ptr::from_ref(*node), n as u32);
        }
    }

    pub(super) fn key(&self) -> &[u64] {
        self.key.words()
    }

    /// Frees the words of a key that is too long for the cache, because planning such a large graph needs much memory.
    pub(super) fn forget_key(&mut self) {
        self.key = PlanKey::default();
    }

    /// Returns the buffers on which the plan runs, with the offsets of the arrays in them.
    pub fn inputs(&self) -> &[(&'a Buffer, usize)] {
        &self.inputs
    }

    /// Returns the inputs for a write to an existing array. The list owns the buffers, because the write runs after the
    /// expression was dropped. The buffer of the target is given as `None`, because a write happens in place only if
    /// the writer has the only reference to that buffer.
    pub fn inputs_of_write(&self) -> SmallVec<[(Option<Buffer>, usize); 4]> {
        let mut inputs = SmallVec::new();
        for ((buffer, offset), source) in self.inputs.iter().zip(&self.sources) {
            inputs.push((source.1.is_none().then(|| (*buffer).clone()), *offset));
        }
        inputs
    }

    /// Returns the numbers (run-time scalars) on which the plan runs, each as the bits of its type.
    pub fn scalars(&self) -> &[u64] {
        &self.scalars
    }

    /// Returns the nodes of the expression, in the order of their numbers.
    pub(super) fn nodes(&self) -> &[&'a Node] {
        &self.nodes
    }

    /// Returns the numbers of the requested expressions' nodes.
    pub(super) fn roots(&self) -> &[u32] {
        &self.roots
    }

    /// Returns the slots (indices of inputs or of scalars) of the bindings of all nodes, one node after another.
    pub(super) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Returns the offset of the input with number `slot` relative to the target of the write, or `None` if it is not
    /// in the target's buffer.
    pub(super) fn aliased(&self, slot: usize) -> Option<isize> {
        self.sources[slot].1
    }

    pub(super) fn is_traced(&self) -> bool {
        self.is_traced
    }

    /// Makes the planner's arena, in which equal nodes are merged. Also returns, for each node of the walk, its index
    /// in the arena.
    pub(super) fn arena(&mut self) -> (Graph, Vec<usize>) {
        let mut merged = Merged::new(self.nodes.len() <= LISTED);
        let mut arena = Graph {
            nodes: Vec::with_capacity(self.nodes.len()),
            roots: Vec::new(),
            output_of: Vec::new(),
            inputs: vec![DType::F32; self.inputs.len()],
            aliased: self.sources.iter().map(|s| s.1).collect(),
            scalars: self.types.to_vec(),
        };
        let mut number: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let mut slot = 0;
        let repetitions: Vec<u32> = match self.order.is_some() {
            true => self.nodes.clone().iter().map(|n| self.repetition(n)).collect(),
            false => vec![],
        };
        for (i, node) in self.nodes.iter().enumerate() {
            let repetition = repetitions.get(i).copied().unwrap_or(0);
            let mut args = SmallVec::new();
            for a in &node.args {
                args.push(number[self.number(&*a.0).unwrap_or(0) as usize]);
            }
            let mut slots = [0; 3];
            let bound = &self.slots[slot..slot + node.binding.slots()];
            slots[..bound.len()].copy_from_slice(bound);
            slot += bound.len();
            let op = if let NodeOp::Stored(s) = &node.op { NodeOp::Stored(copied(s)) } else { node.op.clone() };
            if node.is_stored() {
                arena.inputs[slots[0] as usize] = node.dtype;
            }
            let (shape, dtype, location) = (copied(&node.shape), node.dtype, node.location);
            let made = PlanNode { op, args, slots, shape, dtype, repetition, location, number: i as u32 };
            let count = arena.nodes.len();
            let found = merged.find(count, made.identity(), |n| {
                // different nodes mostly differ in their first operand or slot, which takes less time to compare
                let other = &arena.nodes[n];
                let is_like = other.slots[0] == made.slots[0] && other.args.first() == made.args.first();
                is_like.then(|| other.identity())
            });
            if found == count {
                arena.nodes.push(made);
            }
            number.push(found);
        }
        // the walk is finished; its map and its order are freed, because planning a large graph needs the memory
        self.numbers = Map::default();
        self.order = None;
        let mut outputs: Map<usize, usize> = Map::default();
        for r in &self.roots {
            let node = number[*r as usize];
            let output = match self.roots.len() <= LISTED {
                true => arena.roots.iter().position(|n| *n == node).unwrap_or(arena.roots.len()),
                false => *outputs.entry(node).or_insert(arena.roots.len()),
            };
            let shown = mutant!(equal_results_take_the_last, output.max(arena.roots.len().saturating_sub(1)), output);
            arena.output_of.push(shown);
            if output == arena.roots.len() {
                arena.roots.push(node);
            }
        }
        (arena, number)
    }
}
