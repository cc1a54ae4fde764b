//! Merges equal nodes of a graph: finds the node of the arena that is equal to a new one.

use super::graph::{LISTED, PlanNode};
use super::{KeyHasher, Map};
use std::borrow::Cow;
use std::hash::{BuildHasher, BuildHasherDefault};

impl PlanNode {
    /// Returns everything that two nodes must have in common to be computed only once.
    fn identity(&self) -> impl std::hash::Hash + PartialEq + '_ {
        let op = mutant!(equal_takes_without_mode, Cow::Owned(self.op.without_mode()), Cow::Borrowed(&self.op));
        let dtype = mutant!(equal_nodes_without_dtype, crate::base::dtype::DType::F32, self.dtype);
        (op, dtype, &self.shape, &self.args, &self.slots, self.repetition)
    }
}

/// Finds equal nodes: in a graph of at most [`LISTED`] nodes by comparing with all of them, which takes less time than
/// computing hashes, and in a larger graph by a hash map.
pub(super) struct Merged {
    is_listed: bool,
    /// The index of each node by the hash of its identity. Empty if `is_listed` is true.
    known: Map<u64, u32>,
}

impl Merged {
    pub fn new(nodes: usize) -> Merged {
        Merged { is_listed: nodes <= LISTED, known: Map::default() }
    }

    /// Returns the index of the node of `nodes` that is equal to `made`. If there is none, returns the number of nodes,
    /// and the caller must add `made` to `nodes`.
    pub fn find(&mut self, nodes: &[PlanNode], made: &PlanNode) -> usize {
        let identity = made.identity();
        if self.is_listed {
            return nodes.iter().position(|n| n.identity() == identity).unwrap_or(nodes.len());
        }
        let mut hash = BuildHasherDefault::<KeyHasher>::default().hash_one(&identity);
        loop {
            match self.known.get(&hash) {
                Some(n) if nodes[*n as usize].identity() == identity => return *n as usize,
                // a different node has this hash: try the next hash, as in open addressing
                Some(_) => hash = hash.wrapping_add(1),
                None => {
                    self.known.insert(hash, nodes.len() as u32);
                    return nodes.len();
                }
            }
        }
    }
}
