//! From an expression to the key of its plan, and to the planner's arena.
//!
//! One walk over the graph, operands first and without recursion, writes the key: everything that the plan depends on, and
//! nothing else. The offsets of inputs and the values of scalars are bindings, which the key leaves out; which scalars are
//! equal is part of it, because equal ones share a slot. The arena is made only if no plan is cached under the key.

use super::Target;
use crate::buffer::Buffer;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::expr::{Binding, Expr, Node, NodeOp};
use crate::kernel::Whole;
use crate::layout::{Shape, Strides};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::panic::Location;
use std::rc::Rc;

/// A node as the planner sees it. Operands are numbers of earlier nodes; equal nodes are one.
#[derive(Clone, Debug)]
pub(super) struct PlanNode {
    pub op: NodeOp,
    pub args: SmallVec<[usize; 3]>,
    /// The slots that are bound to it: that of an input, that of a run-time scalar, or those of a generator's three scalars
    /// (seed low, seed high, stream). Unused ones are 0.
    pub slots: [u32; 3],
    pub shape: Shape,
    pub dtype: DType,
    /// Its number in the walk, by which a run finds the caller's line, and the line in the expression that was planned. If
    /// equal nodes became one, both are those of the first.
    pub number: u32,
    pub location: &'static Location<'static>,
}

impl PlanNode {
    /// Everything that two nodes must have in common to be computed once.
    fn identity(&self) -> impl std::hash::Hash + PartialEq + '_ {
        let op = mutant!(equal_takes_without_mode, Cow::Owned(self.op.without_mode()), Cow::Borrowed(&self.op));
        let dtype = mutant!(equal_nodes_without_dtype, DType::F32, self.dtype);
        (op, dtype, &self.shape, &self.args, &self.slots)
    }
}

/// The call of a routine, which all nodes that are its results share.
#[derive(Clone)]
pub(super) struct Call {
    /// The first node of its results. The call is a step of this node's stage, which comes before all readers of any result.
    pub first: usize,
    /// The memory of each result. A result that no node asks for has a temporary, because the routine writes it anyway.
    pub results: Rc<Vec<Whole>>,
}

/// The graph as the planner takes it: nodes in topological order, of which no two are equal.
#[derive(Clone)]
pub(super) struct Arena {
    pub nodes: Vec<PlanNode>,
    /// The nodes that are results, one for each output.
    pub roots: Vec<usize>,
    /// For each expression asked for, the number of its output.
    pub output_of: Vec<usize>,
    pub inputs: Vec<DType>,
    /// For each input that reads the target's buffer: its offset, counted from the target's.
    pub aliased: Vec<Option<isize>>,
    pub scalars: Vec<DType>,
}

/// The caller's line of each node of a walk.
pub(crate) type Lines = SmallVec<[&'static Location<'static>; 8]>;

/// The buffer and offset of each input. The buffer is `None` where it is the target's, which the writer holds.
pub(super) type Inputs<'a> = SmallVec<[(Option<&'a Buffer>, usize); 4]>;

/// The most nodes that are searched in a list: 16 pairs of 16 bytes fill four cache lines, and searching those takes less time
/// than computing a hash.
const LISTED: usize = 16;

/// The number of each node that the walk has met: in a list, or in a map for a larger graph, so that the walk stays linear.
#[derive(Default)]
struct NodeNumbers {
    list: SmallVec<[(*const Node, u32); LISTED]>,
    map: HashMap<*const Node, u32, BuildHasherDefault<DefaultHasher>>,
}

impl NodeNumbers {
    fn get(&self, p: *const Node) -> Option<u32> {
        if self.map.is_empty() {
            self.list.iter().find(|(q, _)| *q == p).map(|(_, n)| *n)
        } else {
            self.map.get(&p).copied()
        }
    }
    fn insert(&mut self, p: *const Node, n: u32) {
        if self.list.len() < LISTED {
            self.list.push((p, n));
            return;
        }
        if self.map.is_empty() {
            self.map.extend(self.list.iter().copied());
        }
        self.map.insert(p, n);
    }
}

/// The words of a plan's key. It is a `Hasher` that keeps all words instead of mixing them, so that any type that derives
/// `Hash` can be written to it. Two expressions never have equal words, because each value's words say where it ends.
/// 96 words are a graph of some eight nodes, which then needs no allocation.
#[derive(Default)]
struct Key(SmallVec<[u64; 96]>);

impl Hasher for Key {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.0.push(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        if !words.remainder().is_empty() {
            self.0.push(words.remainder().iter().rev().fold(0, |word, byte| word << 8 | *byte as u64));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.0.push(n as u64);
    }
    fn write_u32(&mut self, n: u32) {
        self.0.push(n as u64);
    }
    fn write_u64(&mut self, n: u64) {
        self.0.push(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.0.push(n as u64);
    }
    fn finish(&self) -> u64 {
        // nobody asks this hasher for a hash: the cache reads the words
        0
    }
}

/// A stored array that the walk has met.
struct Input<'a> {
    buffer: &'a Buffer,
    shape: &'a Shape,
    strides: &'a Strides,
    offset: usize,
    /// Its offset counted from the target's, if the buffer is the target's.
    aliased: Option<isize>,
}

/// The walk that writes the key of an expression and collects its bindings.
#[derive(Default)]
pub(super) struct KeyWriter<'a> {
    key: Key,
    nodes: SmallVec<[&'a Node; 8]>,
    /// The operand numbers of all nodes in one list, and where those of each node end in it.
    args: SmallVec<[u32; 16]>,
    args_end: SmallVec<[u32; 8]>,
    /// The slots of all nodes' bindings in one list, and where those of each node end in it.
    slots: SmallVec<[u32; 8]>,
    slots_end: SmallVec<[u32; 8]>,
    inputs: SmallVec<[Input<'a>; 4]>,
    scalars: SmallVec<[(DType, u64); 4]>,
    roots: SmallVec<[u32; 2]>,
}

/// How many of the latest inputs and numbers are searched for an equal one (a judgement). Searching all would cost the square
/// of their number; missing an equal one that is far away costs only a binding more.
const RECENT_INPUTS: usize = 32;
const RECENT_SCALARS: usize = 64;

impl<'a> KeyWriter<'a> {
    /// Walks over all nodes that the roots are computed from. It fills a writer that the caller has made instead of returning
    /// one, because the writer's lists hold a small graph in themselves, and returning them would copy them.
    pub fn write(&mut self, roots: &[&'a Expr], target: Option<&Target<'_>>, caps: u32) -> Result<()> {
        self.key.write_u32(mutant!(plans_shared_between_devices, 0, caps));
        // where the target begins in its buffer is a binding, so that writing each row of an array takes one plan
        target.map(|t| (&t.layout.shape, &t.layout.strides)).hash(&mut self.key);
        let mut seen = NodeNumbers::default();
        let mut stack: SmallVec<[(&'a Node, bool); 16]> = SmallVec::new();
        for root in roots {
            stack.push((&root.0, false));
            while let Some((node, ready)) = stack.pop() {
                if seen.get(node).is_some() {
                    continue;
                }
                if !ready && !node.args.is_empty() {
                    stack.push((node, true));
                    stack.extend(node.args.iter().rev().map(|c| (&*c.0, false)));
                    continue;
                }
                seen.insert(node, self.nodes.len() as u32);
                self.add_node(node, target, &seen)?;
            }
            let n = seen.get(&*root.0).unwrap_or(0);
            self.roots.push(n);
            self.key.write_u32(n);
        }
        Ok(())
    }

    /// The slot of a number. Equal numbers of one dtype share a slot, so that the planner sees that they are equal.
    fn scalar_slot(&mut self, value: Scalar, dtype: DType) -> u32 {
        let entry = (dtype, value.bits(dtype));
        let recent = self.scalars.iter().rev().take(RECENT_SCALARS).position(|s| *s == entry);
        match recent {
            Some(back) => (self.scalars.len() - 1 - back) as u32,
            None => {
                self.scalars.push(entry);
                self.scalars.len() as u32 - 1
            }
        }
    }

    /// The slot of a stored array. The same array met again shares the slot, and is then read once.
    fn input_slot(&mut self, input: Input<'a>) -> u32 {
        let same = |i: &Input<'_>| {
            i.buffer.same(input.buffer) && (i.offset, i.strides, i.shape) == (input.offset, input.strides, input.shape)
        };
        let recent = self.inputs.iter().rev().take(RECENT_INPUTS).position(same);
        match recent {
            Some(back) => (self.inputs.len() - 1 - back) as u32,
            None => {
                self.inputs.push(input);
                self.inputs.len() as u32 - 1
            }
        }
    }

    /// Writes a node, whose operands the walk has met, to the key and collects its bindings.
    fn add_node(&mut self, node: &'a Node, target: Option<&Target<'_>>, seen: &NodeNumbers) -> Result<()> {
        self.nodes.push(node);
        let (args, slots) = (self.args.len(), self.slots.len());
        for child in &node.args {
            self.args.push(seen.get(&*child.0).unwrap_or(0));
        }
        match &node.binding {
            Binding::None => {}
            Binding::Array { buffer, offset } => {
                let Some((_, strides, _)) = node.stored() else { return Ok(()) };
                let target = target.filter(|t| t.buffer.same(buffer));
                let aliased = target.map(|t| *offset as isize - t.layout.offset as isize);
                let slot = self.input_slot(Input { buffer, shape: &node.shape, strides, offset: *offset, aliased });
                self.slots.push(slot);
                // whether a write may be in place depends on where in the target the operand lies, so the key has it
                mutant!(plan_cache_without_alias, (), aliased.hash(&mut self.key));
            }
            Binding::Number(value) => {
                let slot = self.scalar_slot(*value, node.dtype);
                self.slots.push(slot);
            }
            Binding::Random { seed, stream } => {
                for word in [*seed & 0xffff_ffff, *seed >> 32, *stream as u64] {
                    let slot = self.scalar_slot(Scalar::Int(word as i128), DType::U32);
                    self.slots.push(slot);
                }
            }
            Binding::Failure(e) => return Err(e.clone()),
        }
        mutant!(
            plan_cache_without_strides,
            std::mem::discriminant(&node.op).hash(&mut self.key),
            node.op.hash(&mut self.key)
        );
        let counts = [node.shape.len(), self.args.len() - args, self.slots.len() - slots];
        let dtype = mutant!(plan_cache_without_dtype, 0, node.dtype as u64);
        self.key.write_u64(counts.iter().fold(dtype, |word, n| word << 16 | *n as u64));
        // pushed one by one, because `extend` by an iterator is slower for the few elements that these lists have
        for n in &node.shape {
            self.key.write_usize(*n);
        }
        for n in &self.args[args..] {
            self.key.write_u32(*n);
        }
        for n in &self.slots[slots..] {
            self.key.write_u32(mutant!(plan_cache_without_equal_numbers, 0, *n));
        }
        self.args_end.push(self.args.len() as u32);
        self.slots_end.push(self.slots.len() as u32);
        Ok(())
    }

    /// The caller's line of each node, by its number. A plan is shared between callers, so it names nodes and holds no line;
    /// each evaluation reports errors with its own lines.
    pub fn lines(&self) -> Lines {
        self.nodes.iter().map(|n| n.location).collect()
    }

    pub fn key(&self) -> &[u64] {
        &self.key.0
    }

    /// Frees the words of a key that is too long for the cache, because the planner of so large a graph needs much memory.
    pub fn forget_key(&mut self) {
        self.key = Key::default();
    }

    /// Returns the inputs and scalars that the plan runs on. The target's own buffer is `None`: the plan's run must hold no
    /// further reference to it, because the write is in place only if the writer's handle is the last.
    pub fn bindings(&self) -> (Inputs<'a>, SmallVec<[u64; 4]>) {
        let bind = |i: &Input<'a>| (i.aliased.is_none().then_some(i.buffer), i.offset);
        (self.inputs.iter().map(bind).collect(), self.scalars.iter().map(|s| s.1).collect())
    }

    /// The expression's nodes, in the order of their numbers.
    pub fn nodes(&self) -> &[&'a Node] {
        &self.nodes
    }

    /// Makes the planner's arena, in which equal nodes are one. Also returns, for each node of the walk, its number in the
    /// arena.
    pub fn arena(&self) -> (Arena, Vec<usize>) {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut known: HashMap<u64, u32> = HashMap::default();
        let mut arena = Arena {
            nodes: Vec::with_capacity(self.nodes.len()),
            roots: Vec::new(),
            output_of: Vec::new(),
            inputs: vec![DType::F32; self.inputs.len()],
            aliased: self.inputs.iter().map(|i| i.aliased).collect(),
            scalars: self.scalars.iter().map(|s| s.0).collect(),
        };
        let mut number: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let (mut arg, mut slot) = (0, 0);
        for (i, node) in self.nodes.iter().enumerate() {
            let args = self.args[arg..self.args_end[i] as usize].iter().map(|a| number[*a as usize]).collect();
            let mut slots = [0; 3];
            let bound = &self.slots[slot..self.slots_end[i] as usize];
            slots[..bound.len()].copy_from_slice(bound);
            (arg, slot) = (self.args_end[i] as usize, self.slots_end[i] as usize);
            let op = node.op.clone();
            if node.is_stored() {
                arena.inputs[slots[0] as usize] = node.dtype;
            }
            let (shape, dtype, location) = (node.shape.clone(), node.dtype, node.location);
            let made = PlanNode { op, args, slots, shape, dtype, location, number: i as u32 };
            let mut hash = hasher.hash_one(made.identity());
            let found = loop {
                match known.get(&hash) {
                    Some(n) if arena.nodes[*n as usize].identity() == made.identity() => break *n as usize,
                    // a different node has this hash: try the next, as open addressing does
                    Some(_) => hash = hash.wrapping_add(1),
                    None => {
                        known.insert(hash, arena.nodes.len() as u32);
                        arena.nodes.push(made);
                        break arena.nodes.len() - 1;
                    }
                }
            };
            number.push(found);
        }
        let mut outputs: HashMap<usize, usize> = HashMap::new();
        for r in &self.roots {
            let node = number[*r as usize];
            let output = *outputs.entry(node).or_insert(arena.roots.len());
            let shown = mutant!(equal_results_take_the_last, output.max(arena.roots.len().saturating_sub(1)), output);
            arena.output_of.push(shown);
            if output == arena.roots.len() {
                arena.roots.push(node);
            }
        }
        (arena, number)
    }
}
