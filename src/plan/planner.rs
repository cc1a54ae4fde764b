//! What the planner knows about each node of a graph while it makes a plan: whether it is stored (written to memory,
//! from which other kernels load it), its memory layout, and which nodes use it. Also holds the lists that all drafts
//! of kernels share.

use super::Map;
use super::graph::{Graph, PlanNode, RoutineNode};
use super::price::compile_cost;
use crate::base::dtype::DType;
use crate::base::layout::{self, AxisList, Strides, View, copied, zeros};
use crate::graph::expr::{NodeOp, Role};
use crate::plan::kernel::{BufferRef, Caps, Choice, Load, Store, Value};
use smallvec::{SmallVec, smallvec};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The planner's state while it makes one plan: facts and decisions about each node of the graph.
pub(super) struct Planner<'a> {
    /// The nodes of the graph. While the final kernels are made, from the last node to the first, nodes whose kernels
    /// are made are dropped from the end, to save memory.
    pub arena: Rc<Graph>,
    /// The initial number of nodes of the arena. The temporary of a stored node has the same number as the node, and
    /// temporaries that belong to no node have numbers from `count` on.
    pub count: usize,
    /// The size in bytes of each temporary that belongs to no stored node, such as a temporary for partial results.
    pub temps: RefCell<Vec<usize>>,
    pub caps: &'a Caps,
    /// For each node, its natural strides. These strides give the order of axes in which the node is stored if it is
    /// stored (`stored_strides`). An input has the strides of its array, a view has the strides that follow from its
    /// operand's strides, an elementwise node has dense strides in the axis order that its operands have in common, and
    /// any other node has the strides of C order.
    pub strides: Vec<Strides>,
    /// For each node, whether it is stored: its value is written to memory, and other kernels load it.
    pub stored: Vec<bool>,
    /// How often `stored` has changed since the search for stages began.
    pub changes: u32,
    /// For each node, what else the planner knows about it.
    pub facts: Vec<NodeFacts>,
    /// For each node that is a result of a routine, the call of the routine, which may have several results.
    pub calls: Map<usize, RoutineNode>,
    /// The lists in which a draft of a kernel collects loads and values. Each draft passes them on to the next, to save
    /// allocations.
    pub scratch: Cell<DraftLists>,
    /// For each stored node whose kernel is cut into boxes (parts that each read one operand of a concatenation,
    /// `boxes.rs`), the boxes.
    pub boxes_of: Map<usize, Vec<View>>,
    /// Whether costly nodes that a kernel would compute repeatedly are stored instead (`weigh.rs`).
    pub weighs: Cell<bool>,
    /// Whether some node is stored only because that is estimated to be faster. Then a second plan without such nodes
    /// is made for comparison.
    pub weighed: Cell<bool>,
    /// The nodes that `weigh.rs` chose to store, with the reasons. A node may be in the list twice, or may later be
    /// unmarked as stored.
    pub choices: RefCell<Vec<(usize, Choice)>>,
    /// Whether the plan updates only some elements of its target and keeps the others (see `scatter.rs`).
    pub keeps: Cell<bool>,
    /// The number of nodes and values looked at so far. Tests check that it grows linearly with the graph.
    pub work: Cell<u64>,
}

/// What the planner knows about a node, besides whether it is stored and its strides.
#[derive(Clone, Default)]
pub(super) struct NodeFacts {
    /// The number of times that other nodes use the node as an operand.
    pub uses: u32,
    /// The index of the node's output, if the node is a result.
    pub output: Option<u32>,
    /// The last node that uses the node. If the node has one use, this is its only user.
    pub consumer: u32,
    /// Whether the node is a reduction, scan or product, or reads one directly or through elementwise nodes and views.
    /// Then its kernel may have inner dimensions.
    pub loops: bool,
    /// For a concatenation whose readers read its operands directly (`boxes.rs`), how many levels of such
    /// concatenations are nested, including this one. For any other node, 1 if it reads such a concatenation directly
    /// or through elementwise nodes and views, else 0.
    pub joins: u8,
    /// Whether the node is a stored reshape that has no memory of its own, because its stored operand has the same
    /// elements in the same order (`copies.rs`).
    pub aliases: bool,
    /// Whether the node has a reader that is not an elementwise function, directly or through views and concatenations.
    pub has_other_readers: bool,
    /// How deeply concatenations and reshapes without memory of their own are nested, up to and including the node.
    nested: u8,
}

impl NodeFacts {
    /// Returns whether the node is not a result, and all its readers are elementwise functions, directly or through views
    /// and concatenations.
    pub fn is_read_elementwise(&self) -> bool {
        self.output.is_none() && !self.has_other_readers
    }
}

/// Lists that grow while a draft of a kernel is made. The finished kernel gets copies without unused capacity, because
/// a plan may have a million kernels. The next draft reuses the lists.
#[derive(Default)]
pub(super) struct DraftLists {
    pub loads: Vec<Load>,
    pub values: Vec<Value>,
    pub memo: Vec<(u32, View, u32)>,
    pub reduced: Vec<bool>,
}

impl DraftLists {
    /// Replaces a draft's lists by copies without unused capacity, and keeps the original lists for the next draft.
    pub fn keep(p: &Planner<'_>, loads: &mut Vec<Load>, values: &mut Vec<Value>) {
        let (all_loads, all_values) = (std::mem::take(loads), std::mem::take(values));
        let mut scratch = p.scratch.take();
        (scratch.loads, scratch.values) = (all_loads, all_values);
        *loads = scratch.loads.drain(..).collect();
        *values = scratch.values.drain(..).collect();
        p.scratch.set(scratch);
    }
}

impl<'a> Planner<'a> {
    pub fn new(arena: Rc<Graph>, caps: &'a Caps) -> Planner<'a> {
        let n = arena.nodes.len();
        let mut p = Planner {
            arena: arena.clone(),
            count: n,
            temps: RefCell::default(),
            caps,
            strides: Vec::with_capacity(n),
            stored: vec![false; n],
            changes: 0,
            facts: vec![NodeFacts::default(); n],
            scratch: Cell::default(),
            boxes_of: Map::default(),
            weighs: Cell::new(true),
            weighed: Cell::new(false),
            choices: RefCell::default(),
            keeps: Cell::new(false),
            work: Cell::new(0),
            calls: Map::default(),
        };
        for (i, node) in arena.nodes.iter().enumerate() {
            for a in &node.args {
                p.facts[*a].uses += 1;
                p.facts[*a].consumer = i as u32;
            }
            let s = p.natural_strides(node);
            p.strides.push(s);
            let role = node.op.role();
            let loops = |a: &usize| p.facts[*a].loops;
            p.facts[i].loops = role.has_inner_space() || role.is_transparent() && node.args.iter().any(loops);
        }
        for (i, r) in arena.roots.iter().enumerate() {
            p.stored[*r] = true;
            p.facts[*r].output = Some(i as u32);
        }
        p.find_readers();
        for (i, node) in arena.nodes.iter().enumerate() {
            let role = node.op.role();
            if let Some(depth) = p.nests(i) {
                p.facts[i].nested = depth;
                if p.facts[i].is_read_elementwise() {
                    p.is_read_in_parts(i);
                }
                continue;
            }
            for (k, a) in node.args.iter().enumerate() {
                if role.reads_from_memory(k) && !(role == Role::Product && p.is_merged(*a)) {
                    p.store_operand(*a);
                }
            }
            if p.is_read_by_axes(i) {
                p.store_operand(node.args[0]);
                continue;
            }
            if p.facts[i].is_read_elementwise() && p.is_read_in_parts(i) {
                continue;
            }
            let passes_on = matches!(role, Role::Elementwise | Role::View);
            p.facts[i].joins = (passes_on && node.args.iter().any(|a| p.facts[*a].joins > 0)) as u8;
            p.stored[i] |= matches!(role, Role::Memory | Role::Whole) || role == Role::Product && p.facts[i].uses > 1;
            p.stored[i] |= role == Role::Gather && p.is_cut(i);
        }
        p.alias_reshapes();
        p.limit_sizes();
        p
    }

    /// Returns how deeply `concat` and reshape nodes without memory of their own are nested, up to and including
    /// `node`. A `concat` or reshape needs no memory of its own if its only reader is also one, because its operands
    /// can be written directly to the reader's memory. Returns `None` for any other node. Also returns `None` if the
    /// nodes are nested too deeply, because the functions that make their kernels call each other recursively.
    fn nests(&self, node: usize) -> Option<u8> {
        const DEEPEST: u8 = 16;
        let is_copy = |n: usize| matches!(self.arena.nodes[n].op, NodeOp::Concat { .. } | NodeOp::Reshape);
        if !is_copy(node)
            || self.stored[node]
            || self.facts[node].uses != 1
            || !is_copy(self.facts[node].consumer as usize)
        {
            return None;
        }
        let below = self.arena.nodes[node].args.iter().map(|a| self.facts[*a].nested).max().unwrap_or(0);
        (below < DEEPEST).then_some(below + 1)
    }

    /// Marks a node that a kernel must load from memory as stored. If the node is a view, marks the node that it views
    /// instead, because the kernel can load that node through the view's map.
    fn store_operand(&mut self, mut node: usize) {
        while self.arena.nodes[node].op.role() == Role::View {
            node = self.arena.nodes[node].args[0];
        }
        self.stored[node] = true;
    }

    /// Returns the maximum number of bytes that one operand of a dispatch may span: the size of a binding less 512
    /// bytes. This is enough, because a binding starts up to 256 bytes before its operand (`storage_alignment` in
    /// `gpu/`), and ends with a whole vector of 16 bytes.
    pub fn most_bytes(&self) -> u64 {
        self.caps.max_binding.saturating_sub(mutant!(max_binding_used_whole, 0, 512))
    }

    /// Returns whether the node is a `take` whose source spans more than a binding along the taken axis. Such a `take`
    /// is stored by kernels of its own, which compute nothing else but its indices (`indexed.rs`).
    fn is_cut(&self, node: usize) -> bool {
        let n = &self.arena.nodes[node];
        let NodeOp::Take { axis, .. } = n.op else { return false };
        let mut source = n.args[1];
        let shape = &self.arena.nodes[source].shape;
        let mut map = View::identity(shape);
        while let NodeOp::View(v) = &self.arena.nodes[source].op
            && !self.stored[source]
        {
            map = map.after(v);
            source = self.arena.nodes[source].args[0];
        }
        let (strides, _) = map.apply(&self.stored_strides(source), 0);
        span(shape[axis], strides[axis], n.dtype) > self.most_bytes()
    }

    /// Returns the natural strides of a node, as described at [`Planner::strides`].
    fn natural_strides(&self, node: &PlanNode) -> Strides {
        if let NodeOp::Stored(strides) = &node.op {
            return copied(strides);
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
        layout::common_strides(&node.shape, operands.iter().map(|s| &s[..]))
    }

    /// Returns the strides of a node in memory. For an input, these are the strides of its array. For any other node,
    /// they are dense strides, with the axes in the order of the natural strides.
    pub fn stored_strides(&self, node: usize) -> Strides {
        let n = &self.arena.nodes[node];
        if let NodeOp::Stored(strides) = &n.op {
            return copied(strides);
        }
        if n.shape.len() == 1 {
            return smallvec![1];
        }
        layout::common_strides(&n.shape, std::iter::once(&self.strides[node][..]))
    }

    /// Returns a store that writes a whole array of shape `shape` to a buffer, in C order. `Draft::build` fills in
    /// which value is stored.
    pub fn whole_store(&self, buffer: BufferRef, dtype: DType, shape: &[usize]) -> Store {
        Store { buffer, dtype, strides: layout::c_strides(shape), offset: 0, value: 0, chosen: None }
    }

    pub fn buffer(&self, node: usize) -> BufferRef {
        let n = &self.arena.nodes[node];
        if n.op.role() == Role::Memory {
            return BufferRef::Input(n.slots[0] as usize);
        }
        match self.facts[node].output {
            Some(i) => BufferRef::Output(i as usize),
            None if self.facts[node].aliases => self.buffer(n.args[0]),
            // the node's number identifies the temporary until `buffers.rs` assigns buffers to temporaries
            None => BufferRef::Temp(node),
        }
    }

    /// Marks nodes as stored where a kernel would otherwise be too large for the device. A node adds at most three
    /// values to a kernel: its own, and the rounding of each of two operands. At least two bindings are left for
    /// stores, one of them spare. More are left if a fold's state has more components, because a split reduction stores
    /// each component separately.
    fn limit_sizes(&mut self) {
        let components = |n: &PlanNode| if let NodeOp::Reduce(fold, _) = &n.op { fold.state.len() } else { 0 };
        let stores = self.arena.nodes.iter().map(components).fold(2, usize::max);
        let (most_values, most_loads) =
            (self.caps.max_values / 3, self.caps.max_bindings.saturating_sub(stores).max(1));
        // a kernel of a small graph cannot reach a limit
        if self.caps.max_cost == u32::MAX && self.count <= most_values.min(most_loads) {
            return;
        }
        type Set = Vec<u32>;
        type Kept = Option<(Box<[u32]>, Box<[u32]>)>;
        let mut sets: Vec<Kept> = vec![None; self.arena.nodes.len()];
        let mut left: Vec<u32> = self.facts.iter().map(|f| f.uses).collect();
        // a driver may take longer to compile a few costly functions than many additions, so compile costs are limited
        // too, except on the CPU, which compiles nothing
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
            // a concatenation whose operands are read directly (`boxes.rs`) counts as one load, because each kernel
            // reads only one of its operands
            let is_fused = |a: &usize| !self.stored[*a] && !self.is_joined(*a);
            let mut fused: SmallVec<[usize; 3]> = args.iter().copied().filter(is_fused).collect();
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
                // store the operand that contributes most nodes and loads. A GPU kernel may have 13 loads and 85 nodes,
                // so a load uses as much of the limit as 6.5 nodes; 8 is close to that
                let size = |a: &usize| sets[*a].as_ref().map_or(0, |s| s.0.len() + s.1.len() * 8);
                let Some(largest) = fused.iter().copied().max_by_key(size) else { break };
                self.stored[largest] = true;
                sets[largest] = None;
                fused.retain(|a| *a != largest);
            }
            unite(&mut values, &[i as u32]);
            // the readers of a stored node only load it, so their kernels do not contain the nodes that it computes
            sets[i] = (!self.stored[i]).then(|| (values.as_slice().into(), loads.as_slice().into()));
            for a in &args {
                left[*a] -= 1;
                if left[*a] == 0 {
                    sets[*a] = None;
                }
            }
        }
    }

    /// Adds `steps` to the work counter.
    pub fn took(&self, steps: usize) {
        self.work.set(self.work.get() + steps as u64);
    }

    /// Returns the size of a node's result in bytes. The product saturates: a size beyond memory is an error at
    /// allocation.
    pub fn bytes(&self, node: usize) -> usize {
        let n = &self.arena.nodes[node];
        let (count, size) = (layout::product(&n.shape), n.dtype.size());
        mutant!(temporary_of_2_to_the_64, count.wrapping_mul(size), count.saturating_mul(size))
    }
}

/// Returns how many bytes `extent` elements with stride `stride` span in memory, from the beginning of the first to the
/// end of the last.
pub(super) fn span(extent: usize, stride: isize, dtype: DType) -> u64 {
    let reach = (extent.saturating_sub(1) as u64).saturating_mul(stride.unsigned_abs() as u64);
    reach.saturating_add(1).saturating_mul(dtype.size() as u64)
}

/// Returns the strides of an operand of shape `shape` when it is broadcast to the shape `to`: 0 along axes that the
/// operand does not have, or has with length 1.
pub(super) fn broadcast_strides(shape: &[usize], strides: &[isize], to: &[usize]) -> Strides {
    let shift = to.len() - shape.len();
    let mut list: Strides = zeros(to.len());
    let out = list.as_mut_slice();
    for (d, n) in shape.iter().enumerate() {
        out[d + shift] = if *n == 1 { 0 } else { strides[d] };
    }
    list
}

/// Returns the map from a kernel's index to the index of an operand of shape `shape` that broadcasts to a result of
/// shape `to`. `map` gives the index of the result.
pub(super) fn broadcast_map(map: &View, shape: &[usize], to: &[usize]) -> View {
    let n = map.shape.len();
    let shift = to.len() - shape.len();
    let mut out = View { shape: copied(&map.shape), offset: zeros(shape.len()), coef: zeros(shape.len() * n) };
    // use slices, because indexing a `SmallVec` directly is a function call
    let (offset, coef) = (out.offset.as_mut_slice(), out.coef.as_mut_slice());
    let (from, rows) = (map.offset.as_slice(), map.coef.as_slice());
    for (d, length) in shape.iter().enumerate() {
        if *length != mutant!(stride_of_length_1, 0, 1) {
            offset[d] = from[d + shift];
            coef[d * n..(d + 1) * n].copy_from_slice(&rows[(d + shift) * n..(d + shift + 1) * n]);
        }
    }
    out
}

/// Returns the axes of a reduction's operand that are not reduced.
pub(super) fn kept_axes(ndim: usize, axes: &[usize]) -> AxisList {
    (0..ndim).filter(|d| !axes.contains(d)).collect()
}

/// Returns whether a copy of this dtype must move its bits as integers, because a NaN could lose its payload in float
/// arithmetic.
pub(super) fn moves_raw(dtype: DType) -> bool {
    dtype.is_float()
}
