//! Fusion: which nodes are stored, and which run inside a kernel that reads them.
//!
//! These are stored: results, operands of matmul, sources of `take`, parts of `concat`, reductions that do not fit the index
//! space of the kernel that reads them, and what would make a kernel too large. Kernels are found from the results down:
//! each says which nodes it needs stored, and those get kernels of their own. A costly node that two kernels would both
//! compute is stored, and the search begins again.

use super::graph::{Arena, Call, PlanNode};
use super::join::join;
use super::lower::{Draft, Scratch, Space};
use super::price::{check_types, compile_cost, cost};
use super::shape;
use crate::dtype::DType;
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{NodeOp, Role};
use crate::kernel::{BufferRef, Caps, KernelKind, Plan, Step, Store};
use crate::layout::{self, Axes, Layout, Strides, View};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// What the planner knows and has decided of each node of a graph.
pub(super) struct Planner<'a> {
    /// The graph. While kernels are made, nodes that no later one reads are dropped from its end, to save memory.
    pub arena: Rc<Arena>,
    /// Nodes that the arena had at first. A stored node's temporary has the node's number, further ones begin here.
    pub count: usize,
    /// Bytes of each temporary that belongs to no stored node, such as partial results.
    pub temps: RefCell<Vec<usize>>,
    pub caps: &'a Caps,
    /// The strides that a node would have: those of a stored input, of a view of its operand, or dense in the common
    /// order of its operands.
    pub strides: Vec<Strides>,
    /// For each node, whether its value is written to memory, where other kernels load it.
    pub stored: Vec<bool>,
    pub uses: Vec<u32>,
    /// The last of the nodes that use it: with one use, the only one.
    consumer: Vec<usize>,
    /// Which of the plan's outputs a node is.
    pub outputs: HashMap<usize, usize>,
    /// The call of each result of a routine.
    pub calls: HashMap<usize, Call>,
    /// Lists that each draft grows and hands to the next.
    pub scratch: Cell<Scratch>,
    /// Whether a matmul or a reduction is below a node, with nothing between them that is always stored.
    pub loops: Vec<bool>,
    /// Steps of the search so far. Tests hold that they grow linearly with the graph.
    pub work: Cell<u64>,
}

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

/// A stage in the making.
#[derive(Default)]
pub(super) struct Making {
    /// Whether it is decided which nodes are stored, so that elementwise kernels are kept too.
    decided: bool,
    pub steps: Vec<Step>,
    computes: Vec<u32>,
    pub reads: Vec<u32>,
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
    let (plan, in_place) = planner.finish(steps, &bytes, outputs)?;
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
    fn new(arena: Rc<Arena>, caps: &'a Caps) -> Planner<'a> {
        let n = arena.nodes.len();
        let mut p = Planner {
            arena: arena.clone(),
            count: n,
            temps: RefCell::default(),
            caps,
            strides: Vec::with_capacity(n),
            stored: vec![false; n],
            uses: vec![0; n],
            consumer: vec![usize::MAX; n],
            scratch: Cell::default(),
            loops: vec![false; n],
            work: Cell::new(0),
            calls: HashMap::new(),
            outputs: arena.roots.iter().enumerate().map(|(i, r)| (*r, i)).collect(),
        };
        for (i, node) in arena.nodes.iter().enumerate() {
            for a in &node.args {
                p.uses[*a] += 1;
                p.consumer[*a] = i;
            }
            let s = p.natural_strides(node);
            p.strides.push(s);
            let role = node.op.role();
            p.loops[i] = role.has_inner_space() || role.is_transparent() && node.args.iter().any(|a| p.loops[*a]);
        }
        for r in &arena.roots {
            p.stored[*r] = true;
        }
        for (i, node) in arena.nodes.iter().enumerate() {
            let role = node.op.role();
            for (_, a) in node.args.iter().enumerate().filter(|(k, _)| role.reads_from_memory(*k)) {
                p.store_operand(*a);
            }
            p.stored[i] |= matches!(role, Role::Memory | Role::Whole) || role == Role::Product && p.uses[i] > 1;
        }
        p.limit_sizes();
        p
    }

    /// Stores an operand that must be in memory. Of a view, what it is a view of: the reader applies the map.
    fn store_operand(&mut self, mut node: usize) {
        while self.arena.nodes[node].op.role() == Role::View {
            node = self.arena.nodes[node].args[0];
        }
        self.stored[node] = true;
    }

    fn natural_strides(&self, node: &PlanNode) -> Strides {
        if let NodeOp::Stored(strides) = &node.op {
            return strides.clone();
        }
        if let Some(v) = node.op.view() {
            return v.apply(&self.strides[node.args[0]], 0).0;
        }
        if node.op.role() != Role::Elementwise {
            return layout::c_strides(&node.shape);
        }
        let operands: SmallVec<[Strides; 3]> = (node.args.iter())
            .map(|a| broadcast_strides(&self.arena.nodes[*a].shape, &self.strides[*a], &node.shape))
            .collect();
        let order = layout::common_order(&node.shape, operands.iter().map(|s| &s[..]));
        Layout::ordered(&node.shape, &order).strides
    }

    /// The dense layout that a node has when it is stored.
    pub fn stored_strides(&self, node: usize) -> Strides {
        let n = &self.arena.nodes[node];
        if let NodeOp::Stored(strides) = &n.op {
            return strides.clone();
        }
        if n.shape.len() == 1 {
            return smallvec![1];
        }
        let order = layout::common_order(&n.shape, std::iter::once(&self.strides[node][..]));
        Layout::ordered(&n.shape, &order).strides
    }

    pub fn buffer(&self, node: usize) -> BufferRef {
        let n = &self.arena.nodes[node];
        if n.op.role() == Role::Memory {
            return BufferRef::Input(n.slots[0] as usize);
        }
        match self.outputs.get(&node) {
            Some(i) => BufferRef::Output(*i),
            // the node's number stands for the temporary until `buffers.rs` gives temporaries their buffers
            None => BufferRef::Temp(node),
        }
    }

    /// Stores nodes where a kernel would else be too large. A node lowers to three values at most (its own, a rounding for each
    /// of two operands), hence `max_values / 3`. Two bindings are left for stores: a partial argmin has a value and a position.
    fn limit_sizes(&mut self) {
        let (most_values, most_loads) = (self.caps.max_values / 3, self.caps.max_bindings.saturating_sub(2).max(1));
        type Set = Vec<u32>;
        type Kept = Option<(Box<[u32]>, Box<[u32]>)>;
        let mut sets: Vec<Kept> = vec![None; self.arena.nodes.len()];
        let mut left = self.uses.clone();
        // a few costly functions can take a driver's compiler longer than many sums; the CPU compiles nothing
        let costs: Vec<u32> = match self.caps.max_cost {
            u32::MAX => vec![],
            _ => self.arena.nodes.iter().map(|n| compile_cost(&self.arena, n)).collect(),
        };
        let cost = |node: u32| costs.get(node as usize).copied().unwrap_or(0);
        fn unite(into: &mut Set, other: &[u32]) {
            if into.is_empty() {
                into.extend_from_slice(other);
                return;
            }
            into.extend_from_slice(other);
            into.sort_unstable();
            into.dedup();
        }
        let (mut values, mut loads): (Set, Set) = (vec![], vec![]);
        for i in 0..self.arena.nodes.len() {
            let args = self.arena.nodes[i].args.clone();
            if matches!(self.arena.nodes[i].op, NodeOp::Concat { .. } | NodeOp::Stored(_)) {
                continue;
            }
            let mut fused: SmallVec<[usize; 3]> = args.iter().copied().filter(|a| !self.stored[*a]).collect();
            loop {
                values.clear();
                loads.clear();
                for a in &args {
                    if !fused.contains(a) {
                        unite(&mut loads, &[*a as u32]);
                    } else if let Some((v, l)) = &sets[*a] {
                        unite(&mut values, v);
                        unite(&mut loads, l);
                    }
                }
                let cost = values.iter().fold(cost(i as u32), |all, v| all.saturating_add(cost(*v)));
                if values.len() < most_values && loads.len() <= most_loads && cost <= self.caps.max_cost {
                    break;
                }
                // a GPU has room for 13 loads and 85 nodes, so a load is worth six or more nodes; 8 is near that
                let size = |a: &usize| sets[*a].as_ref().map_or(0, |s| s.0.len() + s.1.len() * 8);
                let Some(largest) = fused.iter().copied().max_by_key(size) else { break };
                self.stored[largest] = true;
                sets[largest] = None;
                fused.retain(|a| *a != largest);
            }
            unite(&mut values, &[i as u32]);
            // of a stored node only its load counts in kernels above it
            sets[i] = (!self.stored[i]).then(|| (values.as_slice().into(), loads.as_slice().into()));
            for a in &args {
                left[*a] -= 1;
                if left[*a] == 0 {
                    sets[*a] = None;
                }
            }
        }
    }

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

    /// Counts steps of the search.
    pub fn took(&self, steps: usize) {
        self.work.set(self.work.get() + steps as u64);
    }

    /// Bytes of a node's result, saturating: an impossible number is refused where the memory is allocated.
    pub fn bytes(&self, node: usize) -> usize {
        let n = &self.arena.nodes[node];
        let (count, size) = (layout::product(&n.shape), n.dtype.size());
        mutant!(temporary_of_2_to_the_64, count.wrapping_mul(size), count.saturating_mul(size))
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

    fn stage(&mut self, node: usize, target: Option<&Layout>, making: &mut Making) -> Result<()> {
        let target = target.filter(|_| self.outputs.contains_key(&node));
        // offset 0: where in its buffer a target begins is a binding
        let strides = target.map_or_else(|| self.stored_strides(node), |t| t.strides.clone());
        let arena = self.arena.clone();
        let n = &arena.nodes[node];
        // a result that is an input is written as a copy: `buffer` would name the input itself
        let buffer = match self.outputs.get(&node) {
            Some(i) => BufferRef::Output(*i),
            None => self.buffer(node),
        };
        let to = Store { buffer, dtype: n.dtype, strides, offset: 0, value: 0 };
        if let NodeOp::Concat { axis } = n.op {
            return self.joined(node, axis, &to, making);
        }
        if n.op == NodeOp::Reshape {
            return self.reshaped(node, to, making);
        }
        if matches!(n.op, NodeOp::Routine { .. }) {
            return self.routine(node, target.map(|_| to), making);
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
                    making.reads.extend(draft.loads.iter().filter_map(|l| match l.buffer {
                        BufferRef::Temp(n) => Some(n as u32),
                        BufferRef::Input(_) | BufferRef::Output(_) => None,
                    }));
                    if draft.kind == KernelKind::Elementwise && whole && !making.decided {
                        draft.discard(self);
                    } else {
                        match shape::finish(self, draft) {
                            // a row kernel whose row spans more than a binding cannot be cut, but separate reductions can
                            Err(e) if is_row && e.kind() == ErrorKind::LimitExceeded => {
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
                // a reduction that does not fit this kernel's index space is stored by a kernel of its own
                Err(store) => {
                    let store = self.with_epilogue(store, owner);
                    if std::mem::replace(&mut self.stored[store], true) || making.decided {
                        let detail = "the planner makes no progress";
                        return Err(Error::new(ErrorKind::Internal, n.op.name(), detail, n.location));
                    }
                }
            }
        }
    }

    /// Whether a kernel has the node's value without computing it: a number, or memory.
    fn is_at_hand(&self, node: usize) -> bool {
        match self.arena.nodes[node].op.role() {
            Role::Constant | Role::Memory => true,
            Role::View => self.is_at_hand(self.arena.nodes[node].args[0]),
            Role::Generator | Role::Elementwise | Role::Gather | Role::Reduction | Role::Product | Role::Whole => {
                self.stored[node]
            }
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

/// Strides of an operand over the shape that it broadcasts to: 0 along axes that it lacks or has with length 1.
pub(super) fn broadcast_strides(shape: &[usize], strides: &[isize], to: &[usize]) -> Strides {
    let shift = to.len() - shape.len();
    let mut out: Strides = smallvec![0; to.len()];
    for (d, n) in shape.iter().enumerate() {
        out[d + shift] = if *n == 1 { 0 } else { strides[d] };
    }
    out
}

/// The map from a result's index to the index of an operand that broadcasts to it.
pub(super) fn broadcast_map(map: &View, shape: &[usize], to: &[usize]) -> View {
    let n = map.shape.len();
    let shift = to.len() - shape.len();
    let mut out =
        View { shape: map.shape.clone(), offset: smallvec![0; shape.len()], coef: smallvec![0; shape.len() * n] };
    for (d, length) in shape.iter().enumerate() {
        if *length != mutant!(stride_of_length_1, 0, 1) {
            out.offset[d] = map.offset[d + shift];
            out.coef[d * n..(d + 1) * n].copy_from_slice(&map.coef[(d + shift) * n..(d + shift + 1) * n]);
        }
    }
    out
}

/// The axes of a reduction's operand that are not reduced.
pub(super) fn kept_axes(ndim: usize, axes: &[usize]) -> Axes {
    (0..ndim).filter(|d| !axes.contains(d)).collect()
}

/// Whether a copy of this dtype must move words instead of values: a float's NaN would lose its payload in arithmetic.
pub(super) fn moves_raw(dtype: DType) -> bool {
    dtype.is_float()
}
