//! Fusion: decides which nodes are stored (computed by kernels of their own and written to memory), and which are
//! computed inside the kernels that read them.
//!
//! A node must be stored if it is a result, an operand of a matmul, the source of a `take`, or a node of `Role::Whole`
//! (`concat`, scatters, routines, reshapes that are not views). So must a product that several nodes use, a `take`
//! whose source spans more than a binding along the taken axis, and a node that does not fit the kernel of its reader.
//!
//! The search starts at the results. For each stored node, the planner tries to make a kernel, and then also stores the
//! nodes that this kernel needs in memory. Afterwards, nodes that would be computed too often are stored if that is
//! faster (`weigh.rs`), and the search is repeated.

use super::Map;
use super::axes::arrange_epilogues;
use super::graph::Graph;
use super::hoist::hoist;
use super::join::join;
use super::lower::Draft;
use super::making::Making;
use super::planner::Planner;
use super::price::{check_types, modelled_time};
use super::product::write_to_results;
use super::schedule::schedule;
use super::shape;
use super::space::Space;
use super::weigh::MOST_WEIGHED;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::Layout;
use crate::graph::expr::{NodeOp, Role};
use crate::plan::kernel::{BufferRef, Caps, ExecutionPlan, KernelKind, Model, Step, Store};
use std::rc::Rc;

/// A stored node with the steps that compute it. While the planner decides which nodes are stored, it drops elementwise
/// kernels, which may be large and many, and makes them again at the end. Other steps are kept.
struct Stage {
    node: u32,
    /// The steps that compute the node. The list is empty if the only step is an elementwise kernel, because this
    /// kernel is made at the end.
    steps: Vec<Step>,
    /// The draft of this elementwise kernel, if it is kept ([`MOST_KEPT`]).
    draft: Option<(u32, Box<Draft>)>,
    /// Three lists of nodes, one after another: the nodes that the kernels compute (the first `computed` entries), the
    /// nodes that the kernels load (up to index `read`), and the nodes that were marked as stored because of this
    /// stage.
    nodes: Box<[u32]>,
    computed: u32,
    read: u32,
}

/// The maximum number of nodes of a graph whose elementwise kernels need not be made again at the end, because their
/// drafts are kept if no node is stored after them. This many drafts take less than 100 KiB.
const MOST_KEPT: usize = 64;

impl Stage {
    fn computes(&self) -> &[u32] {
        &self.nodes[..self.computed as usize]
    }

    fn reads(&self) -> &[u32] {
        &self.nodes[self.computed as usize..self.read as usize]
    }

    fn marks(&self) -> &[u32] {
        &self.nodes[self.read as usize..]
    }
}

/// A plan, and what the planner decided and learned while making it.
struct Made {
    plan: ExecutionPlan,
    in_place: bool,
    keeps: bool,
    work: u64,
    /// For each node, whether it is stored, and whether the kernel of another node computes it.
    stored: Vec<bool>,
    again: Vec<bool>,
}

/// What a write to an existing array (the target) must know about its plan.
#[derive(Clone, Copy)]
pub(crate) struct Writing {
    /// Whether the target may be written while its old content is read.
    pub in_place: bool,
    /// Whether the plan writes only some elements of the target, so that the target must hold its old content before.
    pub keeps: bool,
}

/// Makes the plan of a graph. `target` is the layout of the existing array to which the plan writes, if there is one.
/// Also returns how the plan may write to it, and the planner's work counter (`Planner::work`).
pub(super) fn build(arena: Graph, target: Option<&Layout>, caps: &Caps) -> Result<(ExecutionPlan, Writing, u64)> {
    let Made { plan, in_place, keeps, work, .. } = made(arena, target, caps)?;
    Ok((plan, Writing { in_place, keeps }, work))
}

/// Makes a plan that stores more nodes than it must, where this is estimated to be faster. If there are such nodes,
/// also makes the plan that stores only what must be stored, and returns the plan with the shorter modelled time.
fn made(arena: Graph, target: Option<&Layout>, caps: &Caps) -> Result<Made> {
    check_types(&arena, caps)?;
    let mut planner = Planner::new(Rc::new(arena), caps);
    let stages = planner.all_stages(target)?;
    let plain = (planner.weighed.get() && planner.count <= MOST_WEIGHED).then(|| {
        let mut plain = Planner::new(planner.arena.clone(), caps);
        plain.weighs.set(false);
        let stages = plain.all_stages(target)?;
        plain.make(stages, target)
    });
    let mut made = planner.make(stages, target)?;
    let Some(Ok(mut plain)) = plain else { return Ok(made) };
    let work = made.work + plain.work;
    let (with, without) = (made.plan.model.time, plain.plan.model.time);
    made.plan.model.other = Some(without);
    if without < with {
        let choices = std::mem::take(&mut made.plan.model.choices);
        plain.plan.model = Model { time: without, other: Some(with), taken: false, choices };
        made = plain;
    }
    Ok(Made { work, ..made })
}

/// Whether all readers of a stored node load it from memory, or only some. A reader that loads an f16 or bf16 node gets
/// rounded values, so the interpreter with which tests compare (`testing/interpret/mod.rs`) needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    /// Every reader loads the node from memory.
    Always,
    /// Some readers load the node from memory. Another kernel computes it again, unrounded.
    ForSome,
}

/// Returns the modelled times of the plan, and of the plan that stores only what must be stored.
#[cfg(feature = "testing")]
pub(super) fn modelled_times(arena: Graph, caps: &Caps) -> Result<[f64; 2]> {
    let mut plain = Planner::new(Rc::new(arena.clone()), caps);
    plain.weighs.set(false);
    let stages = plain.all_stages(None)?;
    Ok([made(arena, None, caps)?.plan.model.time, plain.make(stages, None)?.plan.model.time])
}

/// Returns for each node of the arena whether it is stored, and whether all its readers load it or only some. `None`
/// means that it is not stored.
pub(super) fn stored(arena: Graph, caps: &Caps) -> Result<Vec<Option<Stored>>> {
    let Made { stored, again, .. } = made(arena, None, caps)?;
    let how = |(stored, again): (bool, bool)| match (stored, again) {
        (true, true) => Some(Stored::ForSome),
        (true, false) => Some(Stored::Always),
        (false, _) => None,
    };
    Ok(stored.into_iter().zip(again).map(how).collect())
}

impl<'a> Planner<'a> {
    /// Makes the plan from the stages of all stored nodes (a stage has the steps that compute one stored node). The
    /// stages of results come first in the list.
    fn make(mut self, stages: Vec<Stage>, target: Option<&Layout>) -> Result<Made> {
        let mut again = vec![false; self.count];
        for s in &stages {
            s.computes().iter().filter(|c| **c != s.node).for_each(|c| again[*c as usize] = true);
        }
        let outputs = self.results(target);
        let mut bytes = Map::default();
        let mut steps = Vec::with_capacity(stages.iter().map(|s| s.steps.len().max(1)).sum());
        let mut making = Making { decided: true, ..Making::default() };
        let mut parts = Vec::with_capacity(steps.capacity());
        self.weighs.set(false);
        for stage in stages {
            let node = stage.node as usize;
            if self.facts[node].output.is_none() {
                bytes.insert(node, self.bytes(node));
            }
            match stage.draft {
                _ if !stage.steps.is_empty() => making.steps = stage.steps,
                Some((changes, draft)) if changes == self.changes => {
                    making.steps.extend(shape::finish(&self, *draft)?.into_iter().map(Step::Nest));
                }
                _ => self.stage(node, target, &mut making)?,
            }
            let is_part = matches!(self.arena.nodes[node].op, NodeOp::Concat { .. });
            parts.extend(making.steps.iter().map(|_| is_part));
            // build the list of steps backwards: a stage (the steps of one stored node) adds its last step first, and
            // the stages of results come before all others
            steps.extend(making.steps.drain(..).rev());
            making.computes.clear();
            making.reads.clear();
            self.forget(node);
        }
        // now reverse the list, so that each stage precedes the stages that read its node
        steps.reverse();
        parts.reverse();
        // steps are not moved or merged if there is a target: a write in place is safe only if the last kernel alone
        // writes results, and moving or merging steps may violate that
        if target.is_none() {
            steps = join(&self, hoist(steps, &parts));
            write_to_results(&mut steps);
        }
        arrange_epilogues(&mut steps);
        let (mut plan, in_place) = self.finish(steps, &bytes, outputs)?;
        let time = plan.steps.iter().map(|s| modelled_time(s, &self.caps.rates)).sum();
        let mut choices = self.choices.take();
        choices.retain(|(node, _)| self.stored[*node]);
        choices.sort_by_key(|(node, _)| *node);
        choices.dedup_by_key(|(node, _)| *node);
        let choices = choices.into_iter().map(|(_, choice)| choice).collect();
        plan.model = Model { time, other: None, taken: true, choices };
        schedule(&mut plan, self.caps)?;
        Ok(Made { plan, in_place, keeps: self.keeps.get(), work: self.work.get(), stored: self.stored, again })
    }

    /// Decides which nodes are stored, and returns the stages (the steps that compute each of these nodes), with the
    /// stages of results first. After a first search, nodes that several kernels would compute are stored if that is
    /// faster, and the search repeats, at most four times. Nodes that several kernels still compute after that are
    /// computed more than once.
    fn all_stages(&mut self, target: Option<&Layout>) -> Result<Vec<Stage>> {
        self.calls = self.find_calls(target.is_some())?;
        let kept = self.stored.clone();
        let mut stages = self.stages(target, vec![])?;
        for _ in 0..4 {
            if !self.weighs.get() {
                break;
            }
            let Some(now) = self.store_shared(stages.iter().map(Stage::computes)) else { break };
            self.weighed.set(true);
            self.undo(&stages, &kept, &now);
            stages = self.stages(target, stages)?;
        }
        Ok(stages)
    }

    /// Marks the nodes for which `now` is true as stored. A stage (the steps of one stored node) whose kernels compute
    /// such a node must be made again. Nodes that were stored only because of such a stage are unmarked, because its
    /// new kernels may not need them. `kept` tells which nodes are stored in any case.
    fn undo(&mut self, stages: &[Stage], kept: &[bool], now: &[bool]) {
        self.changes += 1;
        let holds = |s: &Stage| s.computes().iter().all(|c| *c == s.node || !now[*c as usize]);
        let mut needed: Vec<bool> = kept.iter().zip(now).map(|(a, b)| *a || *b).collect();
        for s in stages.iter().filter(|s| holds(s)) {
            s.reads().iter().chain(s.marks()).for_each(|n| needed[*n as usize] = true);
        }
        for s in stages.iter().filter(|s| !holds(s)) {
            s.marks().iter().filter(|n| !needed[**n as usize]).for_each(|n| self.stored[*n as usize] = false);
        }
        now.iter().enumerate().filter(|(_, now)| **now).for_each(|(n, _)| self.stored[n] = true);
    }

    /// Returns the stages (the steps that compute each stored node) of all nodes that are needed in memory, with the
    /// stages of results first. Reuses a stage of the previous search (`before`), unless a node that its kernels
    /// compute has been stored since then.
    fn stages(&mut self, target: Option<&Layout>, before: Vec<Stage>) -> Result<Vec<Stage>> {
        let mut before = before.into_iter().peekable();
        let mut wanted = vec![false; self.count];
        self.arena.roots.iter().for_each(|r| wanted[*r] = true);
        let mut stages = Vec::new();
        let mut making = Making::default();
        self.took(self.count);
        for node in (0..self.count).rev() {
            // `before` is sorted by descending node numbers, and this loop visits nodes in the same order
            let old = before.next_if(|s| s.node as usize == node);
            let input = self.arena.nodes[node].op.role() == Role::Memory;
            if !wanted[node] || input && self.facts[node].output.is_none() {
                continue;
            }
            let holds = |s: &Stage| s.computes().iter().all(|c| *c as usize == node || !self.stored[*c as usize]);
            let stage = match old.filter(holds) {
                Some(stage) => stage,
                None => {
                    self.stage(node, target, &mut making)?;
                    let computed = making.computes.len() as u32;
                    making.computes.append(&mut making.reads);
                    let read = making.computes.len() as u32;
                    making.computes.append(&mut making.marks);
                    let nodes = making.computes.as_slice().into();
                    making.computes.clear();
                    let (steps, draft) = (std::mem::take(&mut making.steps), making.draft.take());
                    Stage { node: node as u32, steps, draft, nodes, computed, read }
                }
            };
            stage.reads().iter().for_each(|n| wanted[*n as usize] = true);
            stages.push(stage);
        }
        // the list begins with the stages of the largest node numbers, and operands have smaller numbers than the nodes
        // that read them. So each stage comes after the stages that read its node, also if the node is a result
        Ok(stages)
    }

    /// Removes `node`, whose kernels are made, and all nodes after it from the arena, to save memory. The lists are
    /// reallocated only if much of their capacity is unused, so that the total copying stays linear in the size of the
    /// graph.
    fn forget(&mut self, node: usize) {
        let Some(arena) = Rc::get_mut(&mut self.arena) else { return };
        arena.nodes.truncate(node);
        self.strides.truncate(node);
        if node + node / 16 + 1024 < arena.nodes.capacity() {
            arena.nodes.shrink_to_fit();
            self.strides.shrink_to_fit();
        }
    }

    /// Makes the steps that compute one stored node. The steps write to the node's temporary or, if it is a result, to
    /// its output. `layout` is the layout of the existing array to which the result is written, if there is one.
    fn stage(&mut self, node: usize, layout: Option<&Layout>, making: &mut Making) -> Result<()> {
        let layout = layout.filter(|_| self.facts[node].output.is_some());
        // the offset is 0 even for an existing array, because each run passes the array's position in its buffer
        let strides = layout.map_or_else(|| self.stored_strides(node), |t| t.strides.clone());
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        // an input that is itself requested as a result is copied to the output; `self.buffer` would return the input's
        // own buffer
        let buffer = match self.facts[node].output {
            Some(i) => BufferRef::Output(i as usize),
            None => self.buffer(node),
        };
        let to = Store { buffer, dtype: n.dtype, strides, offset: 0, value: 0, chosen: None };
        if let NodeOp::Concat { axis } = n.op {
            return self.joined((node, node), axis, &to, making);
        }
        if n.op == NodeOp::Reshape {
            return self.reshaped((node, node), to, making);
        }
        if matches!(n.op, NodeOp::Scatter { .. }) {
            return self.scattered(node, to, making);
        }
        if matches!(n.op, NodeOp::Routine { .. }) {
            return self.routine(node, layout.map(|_| to), making);
        }
        self.kernels(node, node, to, making)
    }

    /// Makes the kernels that compute `node` into `to`, as part of the steps of the stored node `owner`. The owner is
    /// either `node` itself or a `Role::Whole` node, such as a concatenation, of whose memory `to` is a part.
    pub fn kernels(&mut self, node: usize, owner: usize, to: Store, making: &mut Making) -> Result<()> {
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        if n.shape.contains(&0) {
            return Ok(());
        }
        // a `Role::Whole` node may need several steps, which are kept together; elementwise kernels among them are kept
        // too, instead of being made again at the end
        let is_only_kernel = !matches!(arena.nodes[owner].op.role(), Role::Whole);
        // each iteration tries to make one kernel; a node that does not fit the kernel is marked as stored, and the
        // next iteration loads this node instead of computing it
        if self.in_boxes(node, owner, &to, making)? {
            return Ok(());
        }
        let mut rows = true;
        let marks = making.marks.len();
        loop {
            let space = Space::find(self, node, owner, rows)?;
            if let Some(product) = space.matmul
                && self.is_reduced_too(node, owner, product)
            {
                self.store_first(product, owner, making)?;
                continue;
            }
            match Draft::build(self, node, owner, &space, to.clone()) {
                // a node that is stored to avoid repeated computation needs a binding; if a dispatch does not have
                // enough bindings, make the kernel again without storing such nodes
                Ok(draft) if self.weighs.get() && self.binds_too_much(&draft) => {
                    draft.discard(self);
                    self.unmark(marks, making);
                    self.weighs.set(false);
                    let made = self.kernels(node, owner, to, making);
                    self.weighs.set(true);
                    return made;
                }
                Ok(mut draft) => {
                    let is_row = draft.kind == KernelKind::Row;
                    let computes = std::mem::take(&mut draft.computes);
                    let reads = making.reads.len();
                    making.reads.extend(draft.reads());
                    if draft.kind == KernelKind::Elementwise && is_only_kernel && !making.decided {
                        match self.count <= MOST_KEPT && node == owner {
                            true => making.draft = Some((self.changes, Box::new(draft))),
                            false => draft.discard(self),
                        }
                    } else {
                        match shape::finish(self, draft) {
                            // a row kernel cannot be split if one row spans more than a binding; so make a kernel for
                            // each reduction instead, because these can be split
                            Err(e) if is_row && rows && e.kind() == ErrorKind::LimitExceeded => {
                                making.reads.truncate(reads);
                                self.unmark(marks, making);
                                rows = false;
                                continue;
                            }
                            // `collect` makes a list without unused capacity, while `extend` would leave some in each
                            // of perhaps a million lists
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

    /// Returns whether the draft of a kernel has more loads and stores than a dispatch on the device can bind.
    pub(super) fn binds_too_much(&self, draft: &Draft) -> bool {
        draft.loads.len() + draft.stores.len() > self.caps.max_bindings
    }

    /// Unmarks the nodes that were marked as stored for a kernel that is not made after all. The first `kept` entries
    /// of `making.marks` are for other kernels and stay.
    fn unmark(&mut self, kept: usize, making: &mut Making) {
        self.changes += 1;
        for node in making.marks.drain(kept..) {
            self.stored[node as usize] = false;
        }
    }

    /// Marks `node` as stored, so that other kernels compute it. The node does not fit the kernel of `owner` (such as a
    /// reduction over other indices), or this kernel would compute it too often. If `node` is a reduction or product
    /// followed by elementwise nodes that can run in its kernel, marks the last of these nodes instead.
    pub fn store_first(&mut self, node: usize, owner: usize, making: &mut Making) -> Result<()> {
        let store = self.with_epilogue(node, owner);
        self.changes += 1;
        if std::mem::replace(&mut self.stored[store], true) || making.decided {
            let (n, detail) = (&self.arena.nodes[owner], "the planner asks to store a node that is stored already");
            return Err(Error::with_line(ErrorKind::Internal, n.op.name(), detail, n.location));
        }
        making.marks.push(store as u32);
        if let Some((chosen, _)) = self.choices.get_mut().last_mut().filter(|(chosen, _)| *chosen == node) {
            *chosen = store;
        }
        Ok(())
    }

    /// Returns whether a kernel need not compute the node, because the node is a number or in memory.
    pub(super) fn is_at_hand(&self, node: usize) -> bool {
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
}
