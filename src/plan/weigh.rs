//! Decides which nodes are worth storing: nodes that kernels could compute where they read them, but would compute too
//! often.
//!
//! There are three cases: a node that several kernels compute ([`Planner::store_shared`]); a costly node that one
//! kernel computes more often than the node has elements, because it is broadcast or read through overlapping windows
//! ([`Planner::is_repeated`]); and a product that a reduction in the same kernel needs as well
//! ([`Planner::is_reduced_too`]). The first two are estimates from the rates of the device. `fuse.rs` then compares the
//! modelled times of the whole plan with and without these stores, and takes the faster plan.

use super::lower::Draft;
use super::planner::Planner;
use super::price::cost;
use crate::base::layout::{self, View};
use crate::graph::expr::Role;
use crate::plan::kernel::{Choice, Load};
use smallvec::{SmallVec, smallvec};

/// The maximum number of nodes of a graph whose choices are recorded, and for which two plans are made and compared.
/// Beyond this, making a plan takes several milliseconds and much memory, so the estimates for single nodes decide
/// alone.
pub(super) const MOST_WEIGHED: usize = 4096;

/// The cost, in additions, from which a repeated value counts as costly. A kernel reads and writes about eight bytes
/// per element, and cheaper computation is mostly hidden behind that. The index of a `take`, which is compared with 0
/// and made positive for each element of a row, stays below this cost. Chosen by hand; no benchmark compares other
/// values.
const COSTLY: f64 = 8.0;

impl Planner<'_> {
    /// Returns for each node the cost of one element in additions, including everything that is computed for it because
    /// it is not stored. An operand counts once for each path to it. There may be exponentially many paths, so the
    /// numbers are capped.
    fn weights(&self) -> Vec<f64> {
        const MOST: f64 = 1e15;
        let mut weights = vec![0.0f64; self.arena.nodes.len()];
        for (i, n) in self.arena.nodes.iter().enumerate() {
            let own = cost(&self.arena, n, &self.caps.rates);
            let operands = || n.args.iter().filter(|a| !self.stored[**a]);
            let below: f64 = match n.op.role() {
                // both operands are in memory
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

    /// Returns the modelled time of `additions` additions for each element of a node, and the modelled time of writing
    /// the node and reading it `reads` times.
    fn times(&self, node: usize, additions: f64, reads: usize) -> (f64, f64) {
        let rates = &self.caps.rates;
        let elements = self.size(node).max(rates.least as usize) as f64;
        let arithmetic = elements * additions / rates.additions as f64;
        let memory = self.bytes(node) as f64 * (reads + 1) as f64 / rates.bytes as f64;
        (arithmetic, memory + rates.dispatch as f64)
    }

    /// Records a choice, so that the plan prints it and is compared with the plan without it.
    fn choose(&self, node: usize, times: usize, stored: f64, computed: f64) {
        self.weighed.set(true);
        if self.count > MOST_WEIGHED {
            return;
        }
        let n = &self.arena.nodes[node];
        let choice = Choice { name: n.op.name(), shape: n.shape.clone(), times, stored, computed };
        self.choices.borrow_mut().push((node, choice));
    }

    /// Selects nodes that several kernels compute, if computing them again takes longer than writing and reading them,
    /// according to the modelled times. `computed` holds for each stage the nodes that its kernels compute. Returns for
    /// each node whether it was selected, or `None` if no node was.
    pub(super) fn store_shared<'a>(&mut self, computed: impl Iterator<Item = &'a [u32]>) -> Option<Vec<bool>> {
        const NONE: u32 = u32::MAX;
        let arena = self.arena.clone();
        let nodes = &arena.nodes;
        // for each node: the last stage that computes it, and the number of such stages
        let mut computed_by = vec![(NONE, 0u32); nodes.len()];
        for (i, nodes) in computed.enumerate() {
            for c in nodes {
                let (last, stages) = &mut computed_by[*c as usize];
                *stages += (*last != i as u32) as u32;
                *last = i as u32;
            }
        }
        let weights = self.weights();
        // a node may be stored already although earlier stages still compute it: storing it costs nothing more
        let gain = |i: usize| {
            let (stages, again) = (computed_by[i].1 as usize, computed_by[i].1.saturating_sub(1) as f64);
            let (once, memory) = self.times(i, weights[i], stages);
            let stored = if self.stored[i] { 0.0 } else { memory };
            (again * once > stored).then_some((once, memory))
        };
        let shared: Vec<usize> = (0..nodes.len()).filter(|i| computed_by[*i].1 > 1 && gain(*i).is_some()).collect();
        // only the last node of a chain of shared nodes is stored, because its readers then do not need the others
        let mut below = vec![false; nodes.len()];
        for i in &shared {
            for a in &nodes[*i].args {
                below[*a] = true;
            }
        }
        // a kernel does not compute views, so a view passes the mark on to the node below it
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

    /// Returns the number of bindings of a kernel's loads, if that may be too many: one for each buffer and type of its
    /// words.
    fn bindings(&self, draft: &Draft) -> usize {
        if draft.loads.len() < self.caps.max_bindings {
            return 0;
        }
        let is_first = |(i, l): &(usize, &Load)| {
            draft.loads[..*i].iter().all(|other| (other.buffer, other.dtype) != (l.buffer, l.dtype))
        };
        draft.loads.iter().enumerate().filter(is_first).count()
    }

    /// Returns `Ok` if a kernel in the making has no more values than the device allows and binds no more operands, and
    /// otherwise the node to store first: that of which the kernel computes the most values. `limit_sizes` counts each
    /// node once, but a node that is read through several views is computed for each of them. `memo` has the nodes and
    /// maps of the kernel's values.
    pub(super) fn within_limit(&self, draft: &Draft, memo: &[(usize, View, usize)]) -> Result<(), usize> {
        // while nodes are also stored for speed, `Planner::kernels` makes the kernel again without these instead
        let binds = !self.weighs.get() && self.bindings(draft) >= self.caps.max_bindings;
        if draft.values.len() <= self.caps.max_values && !binds {
            return Ok(());
        }
        let keep = [draft.owner, draft.node];
        let may_be_stored = |node: &usize| {
            let role = self.arena.nodes[*node].op.role();
            matches!(role, Role::Elementwise | Role::Gather) && !self.stored[*node] && !keep.contains(node)
        };
        let mut nodes: Vec<usize> = memo.iter().map(|(node, ..)| *node).filter(may_be_stored).collect();
        nodes.sort_unstable();
        // of nodes with as many values the last one, which has the most below it
        let most = nodes.chunk_by(|a, b| a == b).max_by_key(|same| (same.len(), same[0]));
        most.map_or(Ok(()), |same| Err(same[0]))
    }

    /// Returns whether a kernel that computes `node` `runs` times should load it instead, because the node has fewer
    /// than `runs` elements and computing them repeatedly costs more than storing them.
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

    /// Returns the cost of an element of a node in additions, including everything that a kernel would compute for it,
    /// each node once. Returns `None` if these nodes include a reduction, scan or product: where an index space repeats
    /// such a node, it is stored for that reason, together with as much of its epilogue as fits in its kernel
    /// (`Planner::with_epilogue`).
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

    /// Returns whether `node`, in the stage of `owner`, needs a product both elementwise and through a reduction or
    /// scan of it, as `y / y.sum(keep(-1))` does. The kernel of the product could not contain that reduction, so
    /// another kernel would compute the product again.
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
