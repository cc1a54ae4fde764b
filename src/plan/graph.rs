//! From an expression to the plan's key and to the planner's arena.
//!
//! One walk over the DAG, in topological order and without recursion, writes the key: everything that the plan
//! depends on, and nothing else. Offsets of inputs and values of scalars are bindings, not part of it (which scalars
//! are equal is). Only a key that was not seen before is made into an arena.

use super::{Identity, Target};
use crate::buffer::Buffer;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::expr::{Expr, Kind, Node};
use crate::kernel::{Fold, IndexMode};
use crate::layout::{Axes, Shape, Strides, View};
use crate::ufunc::Ufunc;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::Location;

/// A node as the planner sees it. Operands are numbers of earlier nodes; equal nodes are one.
#[derive(Clone, Debug)]
pub(super) struct ANode {
    pub op: AOp,
    pub args: SmallVec<[usize; 3]>,
    pub shape: Shape,
    pub dtype: DType,
    /// Where it was written, and its number in the walk, of the first of the nodes that are equal.
    pub location: &'static Location<'static>,
    pub number: usize,
}

#[derive(Clone, Debug)]
pub(super) enum AOp {
    Input { index: usize, strides: Strides },
    Scalar(usize),
    Iota(usize),
    Philox { word: u8, slots: [usize; 3] },
    Ufunc(&'static Ufunc),
    Cast,
    View(Box<View>),
    Reshape,
    Reduce(Fold, Axes),
    Matmul,
    Take(usize, IndexMode),
    Concat(usize),
}

impl AOp {
    /// What the operation is called, for errors and printed plans.
    pub fn name(&self) -> &'static str {
        match self {
            AOp::Input { .. } => "copy",
            AOp::Scalar(_) => "full",
            AOp::Iota(_) => "arange",
            AOp::Philox { .. } => "random",
            AOp::Ufunc(row) => row.name,
            AOp::Cast => "astype",
            AOp::View(_) => "view",
            AOp::Reshape => "reshape",
            AOp::Reduce(fold, _) => fold.name(),
            AOp::Matmul => "matmul",
            AOp::Take(..) => "take",
            AOp::Concat(_) => "concat",
        }
    }
}

/// The planner's input.
pub(super) struct Arena {
    pub nodes: Vec<ANode>,
    /// Distinct nodes to compute, one per output.
    pub roots: Vec<usize>,
    /// The output of each expression asked for.
    pub output_of: Vec<usize>,
    pub inputs: Vec<DType>,
    /// For each input: its offset, if it reads the target's buffer.
    pub aliased: Vec<Option<usize>>,
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

/// The walk over an expression.
pub(super) struct Walk<'a> {
    key: SmallVec<[u64; 96]>,
    nodes: SmallVec<[&'a Node; 8]>,
    /// Operand numbers of all nodes, one after another; where each node's begin.
    args: SmallVec<[u32; 16]>,
    starts: SmallVec<[u32; 8]>,
    inputs: SmallVec<[(&'a Buffer, &'a crate::layout::Layout); 4]>,
    input_of: SmallVec<[u32; 8]>,
    aliased: SmallVec<[Option<usize>; 4]>,
    scalars: SmallVec<[(DType, u64); 4]>,
    slot_of: SmallVec<[u32; 8]>,
    roots: SmallVec<[u32; 2]>,
}

impl<'a> Walk<'a> {
    pub fn new(roots: &[&'a Expr], target: Option<&Target<'_>>, device: u32) -> Result<Walk<'a>> {
        let mut w = Walk {
            key: SmallVec::new(),
            nodes: SmallVec::new(),
            args: SmallVec::new(),
            starts: SmallVec::new(),
            inputs: SmallVec::new(),
            input_of: SmallVec::new(),
            aliased: SmallVec::new(),
            scalars: SmallVec::new(),
            slot_of: SmallVec::new(),
            roots: SmallVec::new(),
        };
        w.key.push(mutant!(plans_shared_between_devices, 0, device as u64));
        if let Some(t) = target {
            w.key.push(1);
            w.numbers(t.layout.shape.iter().map(|n| *n as u64));
            w.numbers(t.layout.strides.iter().map(|n| *n as u64));
            w.key.push(t.layout.offset as u64);
        } else {
            w.key.push(0);
        }
        let mut seen = Seen::default();
        let mut stack: SmallVec<[(&'a Node, bool); 16]> = SmallVec::new();
        for root in roots {
            stack.push((&root.0, false));
            while let Some((node, ready)) = stack.pop() {
                if seen.get(node).is_some() {
                    continue;
                }
                if !ready && node.children().next().is_some() {
                    stack.push((node, true));
                    let at = stack.len();
                    stack.extend(node.children().map(|c| (&*c.0, false)));
                    stack[at..].reverse();
                    continue;
                }
                seen.insert(node, w.nodes.len() as u32);
                w.add(node, target, &seen)?;
            }
            let n = seen.get(&*root.0).unwrap_or(0);
            w.roots.push(n);
            w.key.push(n as u64);
        }
        Ok(w)
    }

    fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.key.push(numbers.len() as u64);
        self.key.extend(numbers);
    }

    fn scalar(&mut self, value: Scalar, dtype: DType) -> u32 {
        let entry = (dtype, value.bits(dtype));
        let recent = self.scalars.iter().rev().take(64).position(|s| *s == entry);
        match recent {
            Some(back) => (self.scalars.len() - 1 - back) as u32,
            None => {
                self.scalars.push(entry);
                self.scalars.len() as u32 - 1
            }
        }
    }

    fn add(&mut self, node: &'a Node, target: Option<&Target<'_>>, seen: &Seen) -> Result<()> {
        self.starts.push(self.args.len() as u32);
        self.nodes.push(node);
        let kind = match &node.kind {
            Kind::Leaf(..) => 0,
            Kind::Fill(_) => 1,
            Kind::Iota(_) => 2,
            Kind::Philox { .. } => 3,
            Kind::Ufunc(..) => 4,
            Kind::Cast(_) => 5,
            Kind::View(..) => 6,
            Kind::Reshape(_) => 7,
            Kind::Reduce(..) => 8,
            Kind::Matmul(..) => 9,
            Kind::Take { .. } => 10,
            Kind::Concat(..) => 11,
            Kind::Weak(_) => 12,
            Kind::Failed(e) => return Err(e.clone()),
        };
        self.key.push(
            kind | mutant!(plan_cache_without_dtype, 0, (node.dtype as u64) << 8) | (node.shape.len() as u64) << 16,
        );
        self.key.extend(node.shape.iter().map(|n| *n as u64));
        let first = self.args.len();
        for child in node.children() {
            self.args.push(seen.get(&*child.0).unwrap_or(0));
        }
        for i in first..self.args.len() {
            self.key.push(self.args[i] as u64);
        }
        match &node.kind {
            Kind::Leaf(buffer, layout) => {
                let same = |(b, l): &(&Buffer, &crate::layout::Layout)| b.same(buffer) && **l == **layout;
                let recent = self.inputs.iter().rev().take(32).position(same);
                let index = match recent {
                    Some(back) => self.inputs.len() - 1 - back,
                    None => {
                        let alias = target.filter(|t| t.buffer.same(buffer)).map(|_| layout.offset);
                        self.inputs.push((buffer, layout));
                        self.aliased.push(alias);
                        self.inputs.len() - 1
                    }
                };
                self.input_of.push(index as u32);
                self.key.push(index as u64);
                self.key.extend(layout.strides.iter().map(|n| mutant!(plan_cache_without_strides, 0, *n as u64)));
                self.key.push(
                    self.aliased[index].map_or(u64::MAX, |o| mutant!(plan_cache_without_alias, u64::MAX, o as u64)),
                );
            }
            Kind::Fill(value) | Kind::Weak(value) => {
                let slot = self.scalar(*value, node.dtype);
                self.slot_of.push(slot);
                self.key.push(mutant!(plan_cache_without_equal_numbers, 0, slot as u64));
            }
            Kind::Iota(axis) => self.key.push(*axis as u64),
            Kind::Philox { word, seed, stream } => {
                for v in [*seed & 0xffff_ffff, *seed >> 32, *stream as u64] {
                    let slot = self.scalar(Scalar::Int(v as i128), DType::U32);
                    self.slot_of.push(slot);
                    self.key.push(slot as u64);
                }
                self.key.push(*word as u64);
            }
            Kind::Ufunc(row, _) => self.key.push(std::ptr::from_ref(*row) as u64),
            Kind::Cast(_) | Kind::Reshape(_) | Kind::Matmul(..) | Kind::Failed(_) => {}
            Kind::View(v, _) => {
                self.numbers(v.offset.iter().map(|n| *n as u64));
                self.key.extend(v.coef.iter().map(|n| *n as u64));
            }
            Kind::Reduce(fold, axes, _) => {
                self.key.push(match fold {
                    Fold::Ufunc(row) => std::ptr::from_ref(*row) as u64,
                    Fold::ArgMin => 1,
                    Fold::ArgMax => 2,
                });
                self.numbers(axes.iter().map(|n| *n as u64));
            }
            Kind::Take { axis, mode, .. } => self.key.push((*axis as u64) << 8 | *mode as u64),
            Kind::Concat(axis, args) => self.key.extend([*axis as u64, args.len() as u64]),
        }
        Ok(())
    }

    /// The caller's line of each node, by its number. A plan names nodes and holds no line, so that whoever evaluates
    /// the same structure elsewhere reads errors with lines of its own.
    pub fn lines(&self) -> Lines {
        self.nodes.iter().map(|n| n.location).collect()
    }

    /// The key and its hash.
    pub fn key(&self) -> (&[u64], u64) {
        // multiply and rotate: quick, and the whole key is compared anyway
        let hash = self.key.iter().fold(0u64, |h, k| (h.rotate_left(5) ^ k).wrapping_mul(0x517c_c1b7_2722_0a95));
        (&self.key, hash)
    }

    /// Gives back the memory of a key that no plan is kept under.
    pub fn forget_key(&mut self) {
        self.key = SmallVec::new();
    }

    /// What the plan runs on. The target's own buffer is left out: a write must not count as another handle on it.
    pub fn bindings(&self) -> (Inputs, SmallVec<[u64; 4]>) {
        let bind = |((b, l), alias): ((&&Buffer, &&crate::layout::Layout), &Option<usize>)| {
            (alias.is_none().then(|| (*b).clone()), l.offset)
        };
        let inputs = self.inputs.iter().map(|(b, l)| (b, l)).zip(&self.aliased).map(bind).collect();
        (inputs, self.scalars.iter().map(|s| s.1).collect())
    }

    /// The expression's nodes, in the order of their numbers.
    pub fn nodes(&self) -> &[&'a Node] {
        &self.nodes
    }

    /// The planner's arena, in which equal nodes are one, and where in it each node of the walk is.
    pub fn arena(&self) -> (Arena, Vec<usize>) {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut known: HashMap<u64, u32, BuildHasherDefault<Identity>> = HashMap::default();
        let mut arena = Arena {
            nodes: Vec::with_capacity(self.nodes.len()),
            roots: Vec::new(),
            output_of: Vec::new(),
            inputs: vec![DType::F32; self.inputs.len()],
            aliased: self.aliased.to_vec(),
            scalars: self.scalars.iter().map(|s| s.0).collect(),
        };
        let mut number: Vec<usize> = Vec::with_capacity(self.nodes.len());
        let (mut leaf, mut slot) = (0, 0);
        let mut next_slot = || {
            slot += 1;
            self.slot_of[slot - 1] as usize
        };
        for (i, node) in self.nodes.iter().enumerate() {
            let end = self.starts.get(i + 1).map_or(self.args.len(), |n| *n as usize);
            let args: SmallVec<[usize; 3]> =
                self.args[self.starts[i] as usize..end].iter().map(|a| number[*a as usize]).collect();
            let op = match &node.kind {
                Kind::Leaf(_, layout) => {
                    let index = self.input_of[leaf] as usize;
                    leaf += 1;
                    arena.inputs[index] = node.dtype;
                    AOp::Input { index, strides: layout.strides.clone() }
                }
                Kind::Fill(_) | Kind::Weak(_) | Kind::Failed(_) => AOp::Scalar(next_slot()),
                Kind::Iota(axis) => AOp::Iota(*axis),
                Kind::Philox { word, .. } => {
                    AOp::Philox { word: *word, slots: [next_slot(), next_slot(), next_slot()] }
                }
                Kind::Ufunc(row, _) => AOp::Ufunc(row),
                Kind::Cast(_) => AOp::Cast,
                Kind::View(v, _) => AOp::View(v.clone()),
                Kind::Reshape(_) => AOp::Reshape,
                Kind::Reduce(fold, axes, _) => AOp::Reduce(*fold, axes.clone()),
                Kind::Matmul(..) => AOp::Matmul,
                Kind::Take { axis, mode, .. } => AOp::Take(*axis, *mode),
                Kind::Concat(axis, _) => AOp::Concat(*axis),
            };
            let (shape, dtype, location) = (node.shape.clone(), node.dtype, node.location);
            let made = ANode { op, args, shape, dtype, location, number: i };
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

impl ANode {
    /// What makes two nodes equal.
    fn identity(&self) -> impl std::hash::Hash + PartialEq + '_ {
        let mut extra: SmallVec<[u64; 16]> = SmallVec::new();
        let kind = match &self.op {
            AOp::Input { index, strides } => {
                extra.push(*index as u64);
                extra.extend(strides.iter().map(|s| *s as u64));
                0u8
            }
            AOp::Scalar(slot) => {
                extra.push(*slot as u64);
                1
            }
            AOp::Iota(axis) => {
                extra.push(*axis as u64);
                2
            }
            AOp::Philox { word, slots } => {
                extra.extend([*word as u64, slots[0] as u64, slots[1] as u64, slots[2] as u64]);
                3
            }
            AOp::Ufunc(row) => {
                extra.push(std::ptr::from_ref(*row) as u64);
                4
            }
            AOp::Cast => 5,
            AOp::View(v) => {
                extra.extend(v.offset.iter().chain(&v.coef).map(|s| *s as u64));
                6
            }
            AOp::Reshape => 7,
            AOp::Reduce(fold, axes) => {
                extra.push(match fold {
                    Fold::Ufunc(row) => std::ptr::from_ref(*row) as u64,
                    Fold::ArgMin => 1,
                    Fold::ArgMax => 2,
                });
                extra.extend(axes.iter().map(|a| *a as u64));
                8
            }
            AOp::Matmul => 9,
            AOp::Take(axis, mode) => {
                extra.extend([*axis as u64, mutant!(equal_takes_without_mode, 0, *mode as u64)]);
                10
            }
            AOp::Concat(axis) => {
                extra.push(*axis as u64);
                11
            }
        };
        (kind, mutant!(equal_nodes_without_dtype, DType::F32, self.dtype), &self.shape, &self.args, extra)
    }
}
