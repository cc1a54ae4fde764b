//! The plans that a thread has used last, each with a description of the expression for which it was made. A
//! description has the same content as the plan's key, in a form that can be compared directly with an expression. If
//! the next expression from the same source line fits the description, the plan is used without computing a key, which
//! takes fewer instructions. Otherwise the caches in `mod.rs` look for the plan by its key.

use super::graph::{Walk, kind};
use super::{CachedPlan, Target};
use crate::base::buffer::Buffer;
use crate::base::error::Loc;
use crate::graph::expr::{Binding, Expr, Node, NodeOp};
use crate::plan::backend::{KeptLines, SourceLines};
use smallvec::SmallVec;
use std::sync::Arc;

/// The number of slots of a thread's table of recent plans. Chosen by hand; no benchmark compares other values.
pub(super) const SLOTS: usize = 64;
/// The maximum number of nodes of a description. A layer norm has 19. A power of two, so that a remainder takes one
/// instruction.
const MOST_NODES: usize = 32;
/// The maximum length of a description, in words of 8 bytes. 192 words are enough for 32 nodes with two operands and
/// three axes each.
const MOST_WORDS: usize = 192;
/// The maximum size in bytes of a plan in the table. The table keeps its plans even if the cache of all threads has
/// dropped them. This limit bounds their total size: 53 tables of 64 such plans have less than 54 MiB. Plans of softmax
/// and layer norm have 9 to 11 KiB.
const MOST_BYTES: usize = 16 << 10;
/// The maximum size of a description in bytes.
pub(super) const BYTES: usize = size_of::<Recent>() + 8 * MOST_WORDS + MOST_NODES * (size_of::<NodeOp>() + 80);

/// An array that a described expression reads: the number of its node, and its slot (index among the plan's inputs). If
/// the array is in the same buffer as the target of the write, also its offset relative to the target.
struct Input {
    node: u8,
    slot: u8,
    aliased: Option<isize>,
}

/// A number that a described expression uses: the number of its node, its index among the numbers of this node, and its
/// slot (index among the plan's run-time scalars).
struct Number {
    node: u8,
    index: u8,
    slot: u8,
}

/// A plan, and the description of its expression: everything that its key records.
pub(super) struct Recent {
    pub plan: Arc<CachedPlan>,
    /// For each node, the words that [`words_of`] returns. The nodes are in the order in which the walk numbered them.
    nodes: Vec<[u64; 2]>,
    /// First the words of [`head`] and the numbers of the roots. Then for each node, from the last to the first: its
    /// strides if it is an array in memory, its shape, and the numbers of its operands.
    words: Vec<u64>,
    /// The operations that the words do not describe completely, from the last node to the first.
    others: Vec<NodeOp>,
    inputs: Vec<Input>,
    numbers: Vec<Number>,
}

/// The bindings (arrays and numbers) of an expression that fits a recent plan. The search fills an empty `Found` in
/// place, because moving a value that was just written would have to wait for the writes.
pub(crate) struct Found<'a> {
    pub inputs: SmallVec<[(&'a Buffer, usize); 4]>,
    pub scalars: SmallVec<[u64; 4]>,
    nodes: [Option<&'a Node>; MOST_NODES],
}

impl SourceLines for Found<'_> {
    fn of(&self, node: usize) -> Option<Loc> {
        self.nodes.get(node).copied().flatten().map(|n| n.location)
    }

    fn call(&self, node: usize) -> Option<&'static str> {
        self.nodes.get(node).copied().flatten().and_then(|n| n.call)
    }
}

impl Found<'_> {
    #[inline]
    pub fn new() -> Self {
        Found { inputs: SmallVec::new(), scalars: SmallVec::new(), nodes: [None; MOST_NODES] }
    }

    /// Returns the caller's line and the call of each node, as [`Walk::lines`] does.
    pub fn lines(&self) -> KeptLines {
        let mut lines = KeptLines::default();
        for node in self.nodes.iter().map_while(|node| *node) {
            lines.push(node.location, node.call);
        }
        lines
    }
}

/// Returns the slot of the thread's table for an expression. The slot depends on the source line and the shape of the
/// first root.
pub(super) fn slot(roots: &[&Expr]) -> usize {
    let Some(root) = roots.first() else { return 0 };
    let mut hash = std::ptr::from_ref(root.0.location) as u64;
    for n in root.0.shape.as_slice() {
        hash = (hash.rotate_left(5) ^ *n as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % SLOTS
}

/// Passes the first words of a description to `put`: the number of the capabilities, the number of roots, and the
/// target's shape and strides. Stops if `put` returns false. Returns whether `put` always returned true.
#[inline]
fn head(target: Option<&Target<'_>>, caps: u32, roots: usize, mut put: impl FnMut(u64) -> bool) -> bool {
    let axes = target.map_or(0, |t| 1 + t.layout.shape.len());
    let is_same = put(caps as u64 | (roots as u64) << 32) && put(axes as u64);
    is_same
        && target.is_none_or(|t| {
            t.layout.shape.iter().all(|n| put(*n as u64)) && t.layout.strides.iter().all(|n| put(*n as u64))
        })
}

/// Returns the part of a node's description that is not a list: in the first word its kind, its dtype, and the numbers
/// of its axes and operands, and in the second the address of its row in the table of ufuncs, or 0.
#[inline(always)]
fn words_of(node: &Node, axes: usize, operands: usize) -> [u64; 2] {
    let counts = (axes as u64) << 16 | (operands as u64) << 32;
    let row = if let NodeOp::Ufunc(row) = &node.op { std::ptr::from_ref(*row) as u64 } else { 0 };
    [kind(&node.op) | (node.dtype as u64) << 8 | counts, row]
}

/// A length or a stride, as a word of a description.
trait Word: Copy {
    fn word(self) -> u64;
}

impl Word for usize {
    fn word(self) -> u64 {
        self as u64
    }
}

impl Word for isize {
    fn word(self) -> u64 {
        self as u64
    }
}

/// Returns whether the next words of a description are equal to `list`, and removes them from `words`.
#[inline(always)]
fn take(words: &mut &[u64], list: &[impl Word]) -> bool {
    let Some((own, rest)) = words.split_at_checked(list.len()) else { return false };
    *words = rest;
    // compare by a loop, because calling `memcmp` takes longer than comparing a few words
    (0..list.len()).all(|i| own[i] == list[i].word())
}

impl Recent {
    /// Returns the description of the expressions of a walk, for which `plan` was found. Returns `None` if the
    /// description would be too long, if the plan is too large, if the walk belongs to a compiled function, or if a
    /// node has an order (see `order.rs`).
    pub fn new(walk: &Walk<'_>, target: Option<&Target<'_>>, caps: u32, plan: &Arc<CachedPlan>) -> Option<Box<Recent>> {
        let nodes = walk.nodes();
        let is_large = plan.plan.kept.bytes() > MOST_BYTES;
        if is_large || walk.is_traced() || nodes.len() > MOST_NODES || nodes.iter().any(|n| n.order.is_some()) {
            return None;
        }
        let plan = plan.clone();
        let heads = nodes.iter().map(|n| words_of(n, n.shape.len(), n.args.len())).collect();
        let (words, others) = (vec![], vec![]);
        let mut recent = Recent { plan, nodes: heads, words, others, inputs: vec![], numbers: vec![] };
        let mut put = |word: u64| {
            recent.words.push(word);
            true
        };
        head(target, caps, walk.roots().len(), &mut put);
        for root in walk.roots() {
            put(*root as u64);
        }
        for node in nodes.iter().rev() {
            if let NodeOp::Stored(strides) = &node.op {
                strides.iter().for_each(|n| _ = put(*n as u64));
            }
            node.shape.iter().for_each(|n| _ = put(*n as u64));
            for operand in &node.args {
                put(walk.number(&*operand.0)? as u64);
            }
            if kind(&node.op) == 0 {
                recent.others.push(node.op.clone());
            }
        }
        let mut slots = walk.slots().iter();
        for (number, node) in nodes.iter().enumerate() {
            for index in 0..node.binding.slots() {
                let (node_number, slot) = (number as u8, *slots.next()?);
                match node.is_stored() {
                    true => recent.inputs.push(Input {
                        node: node_number,
                        slot: slot as u8,
                        aliased: walk.aliased(slot as usize),
                    }),
                    false => {
                        recent.numbers.push(Number { node: node_number, index: index as u8, slot: slot as u8 });
                    }
                }
            }
        }
        (recent.words.len() <= MOST_WORDS).then(|| Box::new(recent))
    }

    /// Fills `found` with the bindings of this evaluation if the description fits `roots`. Otherwise returns `None`,
    /// and `found` may be partly filled.
    pub fn find<'a>(
        &self,
        found: &mut Found<'a>,
        roots: &[&'a Expr],
        target: Option<&Target<'_>>,
        caps: u32,
    ) -> Option<()> {
        let mut words = self.words.as_slice();
        let is_next = |word: u64| words.split_off_first() == Some(&word);
        if !head(target, caps, roots.len(), is_next) {
            return None;
        }
        // the nodes by their numbers: each is set when the first root or node that reads it is compared
        let nodes = &mut found.nodes;
        let is_node = |number: u64, node: &'a Node, nodes: &mut [Option<&'a Node>; MOST_NODES]| {
            std::ptr::eq(*nodes[number as usize % MOST_NODES].get_or_insert(node), node)
        };
        for root in roots {
            if !is_node(*words.split_off_first()?, &root.0, nodes) {
                return None;
            }
        }
        let mut others = self.others.iter();
        for (number, own) in self.nodes.iter().enumerate().rev() {
            let node = nodes[number % MOST_NODES]?;
            let (shape, args) = (node.shape.as_slice(), node.args.as_slice());
            if *own != words_of(node, shape.len(), args.len()) || node.order.is_some() {
                return None;
            }
            let is_same = if let NodeOp::Stored(strides) = &node.op {
                take(&mut words, strides.as_slice())
            } else {
                kind(&node.op) != 0 || others.next() == Some(&node.op)
            };
            if !is_same || !take(&mut words, shape) {
                return None;
            }
            let (operands, rest) = words.split_at_checked(args.len())?;
            words = rest;
            for i in 0..args.len() {
                if !is_node(operands[i], &args[i].0, nodes) {
                    return None;
                }
            }
        }
        self.find_inputs(nodes, target, &mut found.inputs)?;
        self.find_scalars(nodes, &mut found.scalars)
    }

    /// Adds the arrays that the expression reads to `inputs`. Returns `None` unless the arrays that are equal here are
    /// exactly the ones that share a slot in the description.
    #[inline(always)]
    fn find_inputs<'a>(
        &self,
        nodes: &[Option<&'a Node>; MOST_NODES],
        target: Option<&Target<'_>>,
        inputs: &mut SmallVec<[(&'a Buffer, usize); 4]>,
    ) -> Option<()> {
        for input in &self.inputs {
            let Binding::Array { buffer, offset } = &nodes[input.node as usize]?.binding else { return None };
            let aliased = match target {
                Some(t) if t.buffer.same(buffer) => Some(*offset as isize - t.layout.offset as isize),
                _ => None,
            };
            if aliased != input.aliased || buffer.is_placeholder() {
                return None;
            }
            let is_known = |known: &(&Buffer, usize)| known.1 == *offset && known.0.same(buffer);
            let slot = inputs.as_slice().iter().position(is_known).unwrap_or(inputs.len());
            if slot != input.slot as usize {
                return None;
            }
            if slot == inputs.len() {
                inputs.push((buffer, *offset));
            }
        }
        Some(())
    }

    /// Adds the numbers of the expression to `scalars`. Returns `None` unless the numbers that are equal here are
    /// exactly the ones that share a slot in the description.
    #[inline(always)]
    fn find_scalars(&self, nodes: &[Option<&Node>; MOST_NODES], scalars: &mut SmallVec<[u64; 4]>) -> Option<()> {
        for number in &self.numbers {
            let node = nodes[number.node as usize]?;
            let bits = match &node.binding {
                Binding::Number(value) => value.bits(node.dtype),
                Binding::Random { seed, stream } => match number.index {
                    0 => *seed & 0xffff_ffff,
                    1 => *seed >> 32,
                    _ => *stream as u64,
                },
                Binding::None | Binding::Array { .. } | Binding::Failure(_) => return None,
            };
            // numbers of different dtypes have different slots even if their bits are equal: then this search fails,
            // and the plan is found by its key
            let slot = scalars.as_slice().iter().position(|known| *known == bits).unwrap_or(scalars.len());
            if slot != number.slot as usize {
                return None;
            }
            if slot == scalars.len() {
                scalars.push(bits);
            }
        }
        Some(())
    }
}
