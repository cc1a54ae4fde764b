//! Fusion: which nodes are stored, and which run inside a kernel that reads them.
//!
//! These are stored: results, operands of matmul, sources of `take`, parts of `concat`, reductions and scans that do not fit the
//! index space of the kernel that reads them, and what would make a kernel too large. Kernels are found from the results down:
//! each says which nodes it needs stored, and those get kernels of their own. A costly node that two kernels would both
//! compute is stored, and the search begins again.

use super::graph::Arena;
use super::join::join;
use super::lower::Draft;
use super::planner::{Making, Planner};
use super::price::{check_types, cost};
use super::schedule::schedule;
use super::shape;
use super::space::Space;
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{NodeOp, Role};
use crate::kernel::{BufferRef, Caps, KernelKind, Plan, Step, Store};
use crate::layout::{self, Layout};
use std::collections::HashMap;
use std::rc::Rc;

/// A stored node with the kernels that compute it. An elementwise kernel is only kept once it is decided which nodes are
/// stored, because until then the search makes many in vain, and they may be large.
struct Stage {
    node: u32,
    /// The steps, if one of them is no elementwise kernel; else none, and they are made at the end.
    steps: Vec<Step>,
    /// First `computed` nodes whose values the kernels compute, then those that they load.
    nodes: Box<[u32]>,
    computed: u32,
}

impl Stage {
    fn computes(&self) -> &[u32] {
        &self.nodes[..self.computed as usize]
    }

    fn reads(&self) -> &[u32] {
        &self.nodes[self.computed as usize..]
    }
}

/// The plan, whether its target may be written in place, and the steps that making it took.
pub(super) fn build(arena: Arena, target: Option<&Layout>, caps: &Caps) -> Result<(Plan, bool, u64)> {
    check_types(&arena, caps)?;
    let mut planner = Planner::new(Rc::new(arena), caps);
    let stages = planner.all_stages(target)?;
    let outputs = planner.results(target);
    let mut bytes = HashMap::with_capacity(stages.len());
    let mut steps = Vec::with_capacity(stages.iter().map(|s| s.steps.len().max(1)).sum());
    let mut making = Making { decided: true, ..Making::default() };
    for stage in stages {
        let node = stage.node as usize;
        bytes.insert(node, planner.bytes(node));
        match stage.steps.is_empty() {
            true => planner.stage(node, target, &mut making)?,
            false => making.steps = stage.steps,
        }
        // the list is built from its end: results first, and the first step of a stage last
        steps.extend(making.steps.drain(..).rev());
        making.computes.clear();
        making.reads.clear();
        planner.forget(node);
    }
    // now what is read is computed before its readers
    steps.reverse();
    // kernels that write into a target stay apart: the check for writing in place asks that the last one alone does it
    if target.is_none() {
        steps = join(&planner, steps);
    }
    let (mut plan, in_place) = planner.finish(steps, &bytes, outputs)?;
    schedule(&mut plan, caps)?;
    Ok((plan, in_place, planner.work.get()))
}

/// Which readers of a stored node load it from memory: only for those is an f16 rounded, so the interpreter must know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    /// All of them.
    Always,
    /// Some: another kernel computes it again, unrounded.
    ForSome,
}

/// For each node of the arena, whether its value is stored.
pub(super) fn stored(arena: Arena, caps: &Caps) -> Result<Vec<Option<Stored>>> {
    check_types(&arena, caps)?;
    let mut planner = Planner::new(Rc::new(arena), caps);
    let stages = planner.all_stages(None)?;
    let again = |n: usize| stages.iter().any(|s| s.node as usize != n && s.computes().contains(&(n as u32)));
    let one = |n: usize| match planner.stored[n] {
        true if again(n) => Some(Stored::ForSome),
        true => Some(Stored::Always),
        false => None,
    };
    Ok((0..planner.count).map(one).collect())
}

impl<'a> Planner<'a> {
    /// The stages of all stored nodes, results first. Nodes that several kernels would compute at a cost are stored, and the
    /// search repeats. Four times is a judgement: chains settle in one or two, and what is left is computed twice, not wrong.
    fn all_stages(&mut self, target: Option<&Layout>) -> Result<Vec<Stage>> {
        self.calls = self.find_calls(target.is_some())?;
        let mut stages = self.stages(target, vec![])?;
        for _ in 0..4 {
            if !self.store_shared(&stages) {
                break;
            }
            stages = self.stages(target, stages)?;
        }
        Ok(stages)
    }

    /// The stages of the nodes stored so far, results first; those of `before` whose nodes are still as they were are kept.
    fn stages(&mut self, target: Option<&Layout>, before: Vec<Stage>) -> Result<Vec<Stage>> {
        let mut before = before.into_iter().peekable();
        let mut wanted = vec![false; self.count];
        self.arena.roots.iter().for_each(|r| wanted[*r] = true);
        let mut stages = Vec::new();
        let mut making = Making::default();
        self.took(self.count);
        for node in (0..self.count).rev() {
            // `before` is in descending order of nodes, as this loop is
            let old = before.next_if(|s| s.node as usize == node);
            let input = self.arena.nodes[node].op.role() == Role::Memory;
            if !wanted[node] || input && !self.outputs.contains_key(&node) {
                continue;
            }
            let holds = |s: &Stage| s.computes().iter().all(|c| *c as usize == node || !self.stored[*c as usize]);
            let stage = match old.filter(holds) {
                Some(stage) => stage,
                None => {
                    self.stage(node, target, &mut making)?;
                    let computed = making.computes.len() as u32;
                    making.computes.append(&mut making.reads);
                    let nodes = making.computes.as_slice().into();
                    making.computes.clear();
                    Stage { node: node as u32, steps: std::mem::take(&mut making.steps), nodes, computed }
                }
            };
            stage.reads().iter().for_each(|n| wanted[*n as usize] = true);
            stages.push(stage);
        }
        // the order also holds for a result that another kernel reads: its node has the smaller number
        Ok(stages)
    }

    /// Frees a node whose kernels are made, and those after it. Shrinking by a sixteenth at least keeps the copying linear.
    fn forget(&mut self, node: usize) {
        let Some(arena) = Rc::get_mut(&mut self.arena) else { return };
        arena.nodes.truncate(node);
        self.strides.truncate(node);
        if node + node / 16 + 1024 < arena.nodes.capacity() {
            arena.nodes.shrink_to_fit();
            self.strides.shrink_to_fit();
        }
    }

    fn stage(&mut self, node: usize, layout: Option<&Layout>, making: &mut Making) -> Result<()> {
        let layout = layout.filter(|_| self.outputs.contains_key(&node));
        // offset 0: where in its buffer a target begins is a binding
        let strides = layout.map_or_else(|| self.stored_strides(node), |t| t.strides.clone());
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        // a result that is an input is written as a copy: `buffer` would name the input itself
        let buffer = match self.outputs.get(&node) {
            Some(i) => BufferRef::Output(*i),
            None => self.buffer(node),
        };
        let to = Store { buffer, dtype: n.dtype, strides, offset: 0, value: 0, chosen: None };
        if let NodeOp::Concat { axis } = n.op {
            return self.joined(node, axis, &to, making);
        }
        if n.op == NodeOp::Reshape {
            return self.reshaped(node, to, making);
        }
        if matches!(n.op, NodeOp::Scatter { .. }) {
            return self.scattered(node, to, making);
        }
        if matches!(n.op, NodeOp::Routine { .. }) {
            return self.routine(node, layout.map(|_| to), making);
        }
        self.kernels(node, node, to, making)
    }

    /// The kernels that compute `node` (for the stored node `owner`) into `to`.
    pub fn kernels(&mut self, node: usize, owner: usize, to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        if n.shape.contains(&0) {
            return Ok(());
        }
        // the steps of one `concat`, and those that store a routine's operands, are kept or made again together
        let whole = !matches!(arena.nodes[owner].op.role(), Role::Whole);
        // try with the index space of a reduction or product that fuses; what does not fit it is stored, and tried again
        let mut rows = true;
        loop {
            let space = Space::find(self, node, owner, rows)?;
            match Draft::build(self, node, owner, &space, to.clone()) {
                Ok(mut draft) => {
                    let is_row = draft.kind == KernelKind::Row;
                    let computes = std::mem::take(&mut draft.computes);
                    let reads = making.reads.len();
                    making.reads.extend(draft.reads());
                    if draft.kind == KernelKind::Elementwise && whole && !making.decided {
                        draft.discard(self);
                    } else {
                        match shape::finish(self, draft) {
                            // a row kernel whose row spans more than a binding cannot be cut, but separate reductions can
                            Err(e) if is_row && rows && e.kind() == ErrorKind::LimitExceeded => {
                                making.reads.truncate(reads);
                                rows = false;
                                continue;
                            }
                            // moved, not appended, so that a million stages have lists without room to spare
                            kernels if making.steps.is_empty() && !making.decided => {
                                making.steps = kernels?.into_iter().map(Step::Nest).collect();
                            }
                            kernels => making.steps.extend(kernels?.into_iter().map(Step::Nest)),
                        }
                    }
                    making.computes.extend(computes.iter().map(|c| *c as u32));
                    return Ok(());
                }
                Err(store) => self.store_first(store, owner, making)?,
            }
        }
    }

    /// Stores a node that does not fit the kernel of `owner`, such as a reduction over another index space, by a kernel of
    /// its own.
    pub fn store_first(&mut self, node: usize, owner: usize, making: &Making) -> Result<()> {
        let store = self.with_epilogue(node, owner);
        if std::mem::replace(&mut self.stored[store], true) || making.decided {
            let (n, detail) = (&self.arena.nodes[owner], "the planner makes no progress");
            return Err(Error::new(ErrorKind::Internal, n.op.name(), detail, n.location));
        }
        Ok(())
    }

    /// Whether a kernel has the node's value without computing it: a number, or memory.
    fn is_at_hand(&self, node: usize) -> bool {
        match self.arena.nodes[node].op.role() {
            Role::Constant | Role::Memory => true,
            Role::View => self.is_at_hand(self.arena.nodes[node].args[0]),
            Role::Generator
            | Role::Elementwise
            | Role::Gather
            | Role::Reduction
            | Role::Scan
            | Role::Product
            | Role::Whole => self.stored[node],
        }
    }

    /// Whether the node needs nothing but reductions that can run in the kernel of `reduction`: over the same axes of operands
    /// of the same shape. Looks `steps` operations down, which bounds the search.
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

    /// Elementwise nodes that follow a reduction or product and have its size run as its epilogue. Gives the last of them, which
    /// is stored instead. They may read reductions beside it up to 8 operations away: a judgement, twice what a norm needs.
    fn with_epilogue(&self, reduction: usize, owner: usize) -> usize {
        let size = |n: usize| layout::product(&self.arena.nodes[n].shape);
        let mut node = reduction;
        while self.uses[node] == 1 {
            let next = self.consumer[node];
            let n = &self.arena.nodes[next];
            let simple = n.op.role() == Role::Elementwise && size(next) == size(reduction);
            let alone = n.args.iter().all(|a| *a == node || self.is_at_hand(*a) || self.is_beside(*a, reduction, 8));
            if next == owner || !simple || !alone {
                break;
            }
            node = next;
        }
        node
    }

    /// Stores nodes that several kernels would compute at a cost of 8 additions (one `exp`) or more, about what it costs to
    /// write an element and read it twice: a judgement. Gives whether there was one.
    fn store_shared(&mut self, stages: &[Stage]) -> bool {
        const NONE: u32 = u32::MAX;
        let arena = self.arena.clone();
        let nodes = &arena.nodes;
        // for each node: a stage that computes it, and whether another one does too
        let mut by = vec![(NONE, false); nodes.len()];
        for (i, s) in stages.iter().enumerate() {
            for c in s.computes() {
                let (first, again) = &mut by[*c as usize];
                *again |= *first != NONE && *first != i as u32;
                *first = i as u32;
            }
        }
        // the cost of computing a node again with all that fuses into it; limited, because shared operands count again each time
        let mut weight = vec![0u32; nodes.len()];
        for (i, n) in nodes.iter().enumerate() {
            if by[i].0 != NONE {
                let below: u32 = n.args.iter().filter(|a| !self.stored[**a]).map(|a| weight[*a]).sum();
                weight[i] = (cost(n) + below).min(1 << 20);
            }
        }
        let shared = |i: &usize| by[*i].1 && weight[*i] >= 8;
        // of a chain of shared nodes, storing the last spares all readers the rest
        let mut below = vec![false; nodes.len()];
        for i in (0..nodes.len()).filter(shared) {
            for a in &nodes[i].args {
                below[*a] = true;
            }
        }
        let offenders: Vec<usize> = (0..nodes.len()).filter(shared).filter(|i| !below[*i]).collect();
        for i in &offenders {
            self.stored[*i] = true;
        }
        !offenders.is_empty()
    }
}
