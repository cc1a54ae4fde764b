//! Decides which nodes are worth storing: kernels could compute them wherever they are read, but would then compute
//! them too often. There are three cases:
//!
//! * A node that several kernels compute ([`Planner::store_shared`]).
//! * A costly node of which one kernel computes elements repeatedly, because the node is broadcast or read through
//!   overlapping windows ([`Planner::is_repeated`]).
//! * A matrix product that a kernel needs both elementwise and through a reduction ([`Planner::is_reduced_too`]).
//!
//! The first two cases are decided by estimates from the rates of the device. `fuse.rs` then compares the modelled
//! times of the whole plan with and without these stores, and takes the faster plan.

use super::lower::Draft;
use super::planner::Planner;
use super::price::cost;
use crate::base::layout::{self, View};
use crate::graph::expr::Role;
use crate::plan::kernel::{Choice, Load};
use smallvec::{SmallVec, smallvec};

/// The maximum number of nodes of a graph for which two plans, with and without the nodes chosen here, are made and
/// compared. For larger graphs, making a plan takes several milliseconds and much memory, so only the estimates for
/// single nodes decide, and the choices are not recorded.
pub(super) const MOST_WEIGHED: usize = 4096;

/// The cost of an element, in units of one addition, from which computing it repeatedly counts as costly. A kernel
/// reads and writes about eight bytes per element, and cheaper computation is mostly hidden behind these accesses.
/// Chosen by hand; no benchmark compares other values.
const COSTLY: f64 = 8.0;

impl Planner<'_> {
    /// Returns for each node the cost of computing one element, in units of one addition, including all operands that
    /// are not stored and so are computed with it. An operand that is reached by several paths counts once for each
    /// path. There may be exponentially many paths, so the costs are capped.
    fn weights(&self) -> Vec<f64> {
        const MOST: f64 = 1e15;
        let mut weights = vec![0.0f64; self.arena.nodes.len()];
        for (i, n) in self.arena.nodes.iter().enumerate() {
            let own = cost(&self.arena, n, &self.caps.rates);
            let operands = || n.args.iter().filter(|a| !self.stored[**a]);
            let below: f64 = match n.op.role() {
                // a product loads both operands from memory, so its operands are not computed with it
                Role::Product | Role::Memory => 0.0,
                Role::Constant
                | Role::Generator
                | Role::Elementwise
                | Role::View
                | Role::Gather
                | Role::Reduction
                | Role::Scan
                | Role::Whole => operands().map(|a| weights[*a]).sum(),
            };
            let combined = match n.op.role() {
                Role::Reduction => self.size(n.args[0]) as f64 / (self.size(i) as f64).max(1.0),
                Role::Memory
                | Role::Constant
                | Role::Generator
                | Role::Elementwise
                | Role::View
                | Role::Gather
                | Role::Scan
                | Role::Product
                | Role::Whole => 1.0,
            };
            weights[i] = ((own + below) * combined).min(MOST);
        }
        weights
    }

    /// Returns the number of elements of a node. The product saturates: a size beyond memory is an error at allocation.
    fn size(&self, node: usize) -> usize {
        layout::product(&self.arena.nodes[node].shape)
    }

    /// Returns two modelled times: of computing every element of a node once, at `additions` additions each, and of
    /// writing the node to memory and reading it `reads` times.
    fn times(&self, node: usize, additions: f64, reads: usize) -> (f64, f64) {
        let rates = &self.caps.rates;
        let elements = self.size(node).max(rates.least as usize) as f64;
        let arithmetic = elements * additions / rates.additions as f64;
        let memory = self.bytes(node) as f64 * (reads + 1) as f64 / rates.bytes as f64;
        (arithmetic, memory + rates.dispatch as f64)
    }

    /// Records that a node is stored for speed, so that the printed plan shows it, and the plan is compared with one
    /// that does not store such nodes.
    fn choose(&self, node: usize, times: usize, stored: f64, computed: f64) {
        self.weighed.set(true);
        if self.count > MOST_WEIGHED {
            return;
        }
        let n = &self.arena.nodes[node];
        let choice = Choice { name: n.op.name(), shape: n.shape.clone(), times, stored, computed };
        self.choices.borrow_mut().push((node, choice));
    }

    /// Selects nodes that the kernels of several stages compute, if this takes longer, according to the modelled times,
    /// than computing them once, writing them and reading them. `computed` has for each stage (the steps of one stored
    /// node) the nodes that its kernels compute. Returns for each node whether it is selected, or `None` if no node is.
    pub(super) fn store_shared<'a>(&mut self, computed: impl ExactSizeIterator<Item = &'a [u32]>) -> Option<Vec<bool>> {
        const NONE: u32 = u32::MAX;
        let arena = self.arena.clone();
        let nodes = &arena.nodes;
        if computed.len() < 2 {
            return None;
        }
        // for each node: the last stage (steps of one stored node) whose kernels compute it, and the number of such
        // stages
        let mut computed_by = vec![(NONE, 0u32); nodes.len()];
        for (i, nodes) in computed.enumerate() {
            for c in nodes {
                let (last, stages) = &mut computed_by[*c as usize];
                *stages += (*last != i as u32) as u32;
                *last = i as u32;
            }
        }
        if computed_by.iter().all(|(_, stages)| *stages < 2) {
            return None;
        }
        let weights = self.weights();
        // If a node is already stored, selecting it adds no time for memory. Kernels that were made before it was
        // stored may still compute it.
        let gain = |i: usize| {
            let (stages, again) = (computed_by[i].1 as usize, computed_by[i].1.saturating_sub(1) as f64);
            let (once, memory) = self.times(i, weights[i], stages);
            let stored = if self.stored[i] { 0.0 } else { memory };
            (again * once > stored).then_some((once, memory))
        };
        let shared: Vec<usize> = (0..nodes.len()).filter(|i| computed_by[*i].1 > 1 && gain(*i).is_some()).collect();
        // if selected nodes form a chain, store only the last one, because its readers then do not need the others
        let mut below = vec![false; nodes.len()];
        for i in &shared {
            for a in &nodes[*i].args {
                below[*a] = true;
            }
        }
        // views are not computed, so the node of which a marked view is a view is marked instead
        for i in (0..nodes.len()).rev() {
            if below[i] && nodes[i].op.role() == Role::View {
                below[nodes[i].args[0]] = true;
            }
        }
        let mut now = vec![false; nodes.len()];
        let mut any = false;
        for i in shared.into_iter().filter(|i| !below[*i]) {
            if let Some((once, memory)) = gain(i)
                && !self.stored[i]
            {
                let stages = computed_by[i].1 as usize;
                self.choose(i, stages, once + memory, once * stages as f64);
            }
            now[i] = true;
            any = true;
        }
        any.then_some(now)
    }

    /// Returns how many bindings the loads of a kernel need, one for each combination of a buffer and a type. Returns 0
    /// if there are so few loads that the number need not be counted.
    fn bindings(&self, draft: &Draft) -> usize {
        if draft.loads.len() < self.caps.max_bindings {
            return 0;
        }
        let is_first = |(i, l): &(usize, &Load)| {
            draft.loads[..*i].iter().all(|other| (other.buffer, other.dtype) != (l.buffer, l.dtype))
        };
        draft.loads.iter().enumerate().filter(is_first).count()
    }

    /// Returns `Err` with the node to store first if a kernel that is being made has more values or bindings than the
    /// device allows. This is the node for which the kernel computes the most values: one for each view through which
    /// the node is read. `memo` has the node and the map of each value.
    pub(super) fn within_limit(&self, draft: &Draft, memo: &[(u32, View, u32)]) -> Result<(), usize> {
        // while nodes are also stored for speed, bindings are not limited here: `Planner::kernels` makes the kernel
        // again without storing such nodes
        let binds = !self.weighs.get() && self.bindings(draft) >= self.caps.max_bindings;
        if draft.values.len() <= self.caps.max_values && !binds {
            return Ok(());
        }
        let keep = [draft.owner, draft.node];
        let may_be_stored = |node: &usize| {
            let role = self.arena.nodes[*node].op.role();
            matches!(role, Role::Elementwise | Role::Gather) && !self.stored[*node] && !keep.contains(node)
        };
        let mut nodes: Vec<usize> = memo.iter().map(|(node, ..)| *node as usize).filter(may_be_stored).collect();
        nodes.sort_unstable();
        // among nodes with equally many values, take the last one, because it needs the most other nodes
        let most = nodes.chunk_by(|a, b| a == b).max_by_key(|same| (same.len(), same[0]));
        most.map_or(Ok(()), |same| Err(same[0]))
    }

    /// Returns whether a kernel that would compute elements of `node` `runs` times should load them instead, because
    /// the node has fewer than `runs` elements, and computing them repeatedly costs more than storing them.
    pub(super) fn is_repeated(&self, node: usize, runs: usize) -> bool {
        let n = &self.arena.nodes[node];
        let costly = match n.op.role() {
            Role::Elementwise | Role::Gather | Role::Generator => true,
            Role::Memory | Role::Constant | Role::View | Role::Reduction | Role::Scan | Role::Product | Role::Whole => {
                false
            }
        };
        let size = self.size(node);
        if !costly || !self.weighs.get() || runs <= size || self.stored[node] {
            return false;
        }
        let Some(weight) = self.weight(node).filter(|w| *w >= COSTLY) else { return false };
        let (once, memory) = self.times(node, weight, 1);
        let least = size.max(self.caps.rates.least as usize);
        let repeated = once * (runs as f64 / least as f64).max(1.0);
        let pays = once + memory < repeated;
        if pays {
            self.choose(node, runs / size.max(1), once + memory, repeated);
        }
        pays
    }

    /// Returns the cost of an element of a node, in units of one addition, including all nodes that a kernel would
    /// compute for it. Each of these nodes counts once. Returns `None` if they include a reduction, scan or product,
    /// because such a node is stored anyway if a kernel would compute it repeatedly.
    fn weight(&self, node: usize) -> Option<f64> {
        let mut stack: SmallVec<[usize; 32]> = smallvec![node];
        let mut seen: SmallVec<[usize; 32]> = smallvec![];
        let mut weight = 0.0;
        while let Some(n) = stack.pop() {
            self.took(seen.len() + 1);
            if self.stored[n] || seen.contains(&n) {
                continue;
            }
            if self.arena.nodes[n].op.role().has_inner_space() {
                return None;
            }
            seen.push(n);
            weight += cost(&self.arena, &self.arena.nodes[n], &self.caps.rates);
            stack.extend(self.arena.nodes[n].args.iter().copied());
        }
        Some(weight)
    }

    /// Returns whether `node`, which is computed for the stored node `owner`, needs a product both elementwise and
    /// through a reduction or scan of it, as `y / y.sum(keep(-1))` needs the product `y`. The kernel of the product
    /// could not contain that reduction, so another kernel would compute the product again.
    pub(super) fn is_reduced_too(&self, node: usize, owner: usize, product: usize) -> bool {
        let mut stack: SmallVec<[(usize, bool); 32]> = smallvec![(node, false)];
        let mut seen: SmallVec<[(usize, bool); 32]> = smallvec![];
        while let Some((n, below)) = stack.pop() {
            self.took(seen.len() + 1);
            if self.stored[n] && n != owner || seen.contains(&(n, below)) {
                continue;
            }
            if n == product {
                if below {
                    return true;
                }
                continue;
            }
            seen.push((n, below));
            let op = &self.arena.nodes[n];
            let below = below || matches!(op.op.role(), Role::Reduction | Role::Scan);
            stack.extend(op.args.iter().map(|a| (*a, below)));
        }
        false
    }
}
