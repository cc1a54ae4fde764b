//! What is worth storing: the nodes that kernels could compute where they read them, but that would be computed too often.
//!
//! Three cases are found. A node that several kernels compute ([`Planner::store_shared`]); a costly node that one kernel computes
//! more often than the node has elements, because it is broadcast or read through overlapping windows
//! ([`Planner::is_repeated`]); a product whose result a reduction of the same kernel needs as well ([`Planner::is_reduced_too`]).
//! The first two are estimates by the rates of the device. `fuse.rs` then compares the modelled time of the whole plan with that
//! of the plan without them, and takes the faster one.

use super::planner::Planner;
use super::price::cost;
use crate::base::layout;
use crate::graph::expr::Role;
use crate::plan::kernel::Choice;
use smallvec::{SmallVec, smallvec};

/// The most nodes of a graph whose choices are noted, and for which two plans are made and compared. A judgement: beyond, making a
/// plan takes some milliseconds and much memory, and the estimates for single nodes alone decide.
pub(super) const MOST_WEIGHED: usize = 4096;

/// The additions from which a repeated value counts as costly. A judgement: a kernel reads and writes some eight bytes for each
/// element, and what takes less time than that mostly runs beside it. The index of a `take`, which is compared with 0 and made
/// positive for each element of a row, stays below.
const COSTLY: f64 = 8.0;

impl Planner<'_> {
    /// For each node, the additions that an element of it costs with all that is computed for it, which is what is not stored.
    /// An operand counts once for each path to it, of which there may be exponentially many, so the numbers are capped.
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

    /// Number of elements of a node. The product saturates: what is beyond memory is refused when it is allocated.
    fn size(&self, node: usize) -> usize {
        layout::product(&self.arena.nodes[node].shape)
    }

    /// The modelled time of so many additions for each element of a node, and of writing the node and reading it `reads` times.
    fn times(&self, node: usize, additions: f64, reads: usize) -> (f64, f64) {
        let rates = &self.caps.rates;
        let elements = self.size(node).max(rates.least as usize) as f64;
        let arithmetic = elements * additions / rates.additions as f64;
        let memory = self.bytes(node) as f64 * (reads + 1) as f64 / rates.bytes as f64;
        (arithmetic, memory + rates.dispatch as f64)
    }

    /// Notes a choice, so that the plan prints it and is compared with the plan without it.
    fn choose(&self, node: usize, times: usize, stored: f64, computed: f64) {
        self.weighed.set(true);
        if self.count > MOST_WEIGHED {
            return;
        }
        let n = &self.arena.nodes[node];
        let choice = Choice { name: n.op.name(), shape: n.shape.clone(), times, stored, computed };
        self.choices.borrow_mut().push((node, choice));
    }

    /// Stores nodes that several kernels compute, where computing them again takes longer than writing and reading them by the
    /// modelled times. `computed` holds for each stage the nodes that its kernels compute. Returns for each node whether it was
    /// stored now; none if there was no such node.
    pub(super) fn store_shared<'a>(&mut self, computed: impl Iterator<Item = &'a [u32]>) -> Option<Vec<bool>> {
        const NONE: u32 = u32::MAX;
        let arena = self.arena.clone();
        let nodes = &arena.nodes;
        // for each node: the last stage that computes it, and how many do
        let mut computed_by = vec![(NONE, 0u32); nodes.len()];
        for (i, nodes) in computed.enumerate() {
            for c in nodes {
                let (last, stages) = &mut computed_by[*c as usize];
                *stages += (*last != i as u32) as u32;
                *last = i as u32;
            }
        }
        let weights = self.weights();
        // a node that is stored already, but computed by other stages too because they came first, costs nothing more to store
        let gain = |i: usize| {
            let (stages, again) = (computed_by[i].1 as usize, computed_by[i].1.saturating_sub(1) as f64);
            let (once, memory) = self.times(i, weights[i], stages);
            let stored = if self.stored[i] { 0.0 } else { memory };
            (again * once > stored).then_some((once, memory))
        };
        let shared: Vec<usize> = (0..nodes.len()).filter(|i| computed_by[*i].1 > 1 && gain(*i).is_some()).collect();
        // of a chain of shared nodes only the last is stored, because its readers then need none of the others
        let mut below = vec![false; nodes.len()];
        for i in &shared {
            for a in &nodes[*i].args {
                below[*a] = true;
            }
        }
        // a view is no node that a kernel computes, so what is below one is found through it
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

    /// Says whether a kernel that computes `node` `runs` times should load it instead, because it has fewer elements than that
    /// and costs more than to store them.
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

    /// The additions that an element of a node costs, with all that a kernel would compute for it, each node once. None if a
    /// reduction, scan or product is among that: where an index space repeats it, it is stored for that reason, with as much of
    /// what follows as can run in its kernel (`Planner::with_epilogue`).
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

    /// Says whether `node`, in the stage of `owner`, needs a product both by its elements and through a reduction or scan of
    /// them, as `y / y.sum(keep(-1))` does. The kernel of the product could not hold that reduction, so another kernel would
    /// compute the product again.
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
