//! From an expression to the plan's key and to the planner's arena.
//!
//! One walk over the DAG, in topological order and without recursion, writes the key: everything that the plan
//! depends on, and nothing else. Offsets of inputs and values of scalars are bindings, not part of it (which scalars
//! are equal is). Only a key that was not seen before is made into an arena.

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
    /// What is bound to it: the number of an input, of a run-time scalar, or of the three scalars of a generator; 0 where
    /// there is none.
    pub slots: [u32; 3],
    pub shape: Shape,
    pub dtype: DType,
    /// Its number in the walk, and where it was written: of the first of the nodes that are equal.
    pub number: u32,
    pub location: &'static Location<'static>,
}

impl PlanNode {
    /// What makes two nodes equal.
    fn identity(&self) -> impl std::hash::Hash + PartialEq + '_ {
        let op = mutant!(equal_takes_without_mode, Cow::Owned(self.op.without_mode()), Cow::Borrowed(&self.op));
        let dtype = mutant!(equal_nodes_without_dtype, DType::F32, self.dtype);
        (op, dtype, &self.shape, &self.args, &self.slots)
    }
}

/// The call of a routine that a node is a result of.
#[derive(Clone)]
pub(super) struct Call {
    /// The first node of its results: the call stands where that one is stored, before all that reads any of them.
    pub first: usize,
    /// What it writes. A result that no node is has a temporary all the same.
    pub results: Rc<Vec<Whole>>,
}

/// The planner's input.
pub(super) struct Arena {
    pub nodes: Vec<PlanNode>,
    /// Distinct nodes to compute, one per output.
    pub roots: Vec<usize>,
    /// The output of each expression asked for.
    pub output_of: Vec<usize>,
    pub inputs: Vec<DType>,
    /// For each input that reads the target's buffer: its offset, counted from the target's.
    pub aliased: Vec<Option<isize>>,
    pub scalars: Vec<DType>,
}

/// The caller's line of each node of a walk.
pub(super) type Lines = SmallVec<[&'static Location<'static>; 8]>;

/// The buffer and offset of each input; no buffer where it is the target's.
pub(super) type Inputs = SmallVec<[(Option<Buffer>, usize); 4]>;

/// Which node a pointer is: a list for small graphs, a map for large ones.
#[derive(Default)]
struct Seen {
    list: SmallVec<[(*const Node, u32); 16]>,
    map: HashMap<*const Node, u32, BuildHasherDefault<DefaultHasher>>,
}

impl Seen {
    fn get(&self, p: *const Node) -> Option<u32> {
        if self.map.is_empty() {
            self.list.iter().find(|(q, _)| *q == p).map(|(_, n)| *n)
        } else {
            self.map.get(&p).copied()
        }
    }
    fn insert(&mut self, p: *const Node, n: u32) {
        if self.list.len() < 16 {
            self.list.push((p, n));
            return;
        }
        if self.map.is_empty() {
            self.map.extend(self.list.iter().copied());
        }
        self.map.insert(p, n);
    }
}

/// The words of a plan's key. As a hasher it keeps all that it is given, so that equal keys come from equal values alone:
/// the sequence of words of a value says where it ends.
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
        // the words are what is wanted
        0
    }
}

/// A stored array that a walk has met.
struct Input<'a> {
    buffer: &'a Buffer,
    shape: &'a Shape,
    strides: &'a Strides,
    offset: usize,
    /// Its offset counted from the target's, if the buffer is the target's.
    aliased: Option<isize>,
}

/// The walk over an expression.
pub(super) struct Walk<'a> {
    key: Key,
    nodes: SmallVec<[&'a Node; 8]>,
    /// Operand numbers of all nodes, one after another; where each node's end.
    args: SmallVec<[u32; 16]>,
    args_end: SmallVec<[u32; 8]>,
    /// The same for what is bound to them.
    slots: SmallVec<[u32; 8]>,
    slots_end: SmallVec<[u32; 8]>,
    inputs: SmallVec<[Input<'a>; 4]>,
    scalars: SmallVec<[(DType, u64); 4]>,
    roots: SmallVec<[u32; 2]>,
}

/// How many of the latest inputs and numbers are searched for an equal one. Two far apart may have slots of their own: that
/// costs a binding, and a search of all would cost the square of their number.
const RECENT_INPUTS: usize = 32;
const RECENT_SCALARS: usize = 64;

impl<'a> Walk<'a> {
    pub fn new(roots: &[&'a Expr], target: Option<&Target<'_>>, caps: u32) -> Result<Walk<'a>> {
        let mut w = Walk {
            key: Key::default(),
            nodes: SmallVec::new(),
            args: SmallVec::new(),
            args_end: SmallVec::new(),
            slots: SmallVec::new(),
            slots_end: SmallVec::new(),
            inputs: SmallVec::new(),
            scalars: SmallVec::new(),
            roots: SmallVec::new(),
        };
        w.key.write_u32(mutant!(plans_shared_between_devices, 0, caps));
        // the target's offset is bound, as those of inputs are
        target.map(|t| (&t.layout.shape, &t.layout.strides)).hash(&mut w.key);
        let mut seen = Seen::default();
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
                seen.insert(node, w.nodes.len() as u32);
                w.add(node, target, &seen)?;
            }
            let n = seen.get(&*root.0).unwrap_or(0);
            w.roots.push(n);
            w.key.write_u32(n);
        }
        Ok(w)
    }

    /// The slot of a number; equal ones of one dtype share it, and that they do is structure.
    fn scalar(&mut self, value: Scalar, dtype: DType) -> u32 {
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

    /// The slot of a stored array.
    fn input(&mut self, input: Input<'a>) -> u32 {
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

    fn add(&mut self, node: &'a Node, target: Option<&Target<'_>>, seen: &Seen) -> Result<()> {
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
                let slot = self.input(Input { buffer, shape: &node.shape, strides, offset: *offset, aliased });
                self.slots.push(slot);
                // where in the target an operand lies decides whether the write is in place
                mutant!(plan_cache_without_alias, (), aliased.hash(&mut self.key));
            }
            Binding::Number(value) => {
                let slot = self.scalar(*value, node.dtype);
                self.slots.push(slot);
            }
            Binding::Random { seed, stream } => {
                for word in [*seed & 0xffff_ffff, *seed >> 32, *stream as u64] {
                    let slot = self.scalar(Scalar::Int(word as i128), DType::U32);
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
        // these lists have a few elements: to push them one by one is quicker than to extend by an iterator
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

    /// The caller's line of each node, by its number. A plan names nodes and holds no line, so that whoever evaluates
    /// the same structure elsewhere reads errors with lines of its own.
    pub fn lines(&self) -> Lines {
        self.nodes.iter().map(|n| n.location).collect()
    }

    /// The key.
    pub fn key(&self) -> &[u64] {
        &self.key.0
    }

    /// Gives back the memory of a key that no plan is kept under.
    pub fn forget_key(&mut self) {
        self.key = Key::default();
    }

    /// What the plan runs on. The target's own buffer is left out: a write must not count as another handle on it.
    pub fn bindings(&self) -> (Inputs, SmallVec<[u64; 4]>) {
        let bind = |i: &Input<'_>| (i.aliased.is_none().then(|| i.buffer.clone()), i.offset);
        (self.inputs.iter().map(bind).collect(), self.scalars.iter().map(|s| s.1).collect())
    }

    /// The expression's nodes, in the order of their numbers.
    pub fn nodes(&self) -> &[&'a Node] {
        &self.nodes
    }

    /// The planner's arena, in which equal nodes are one, and where in it each node of the walk is.
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
                    // another node has this hash
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
