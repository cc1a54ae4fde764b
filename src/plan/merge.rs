//! Merges equal nodes of a graph: finds the node of the arena that is equal to a new one.

use super::{KeyHasher, Map};
use std::hash::{BuildHasher, BuildHasherDefault, Hash};

/// Finds equal nodes: in a small graph (`is_listed`) by comparing with all of them, which takes less time than
/// computing hashes, and in a larger graph by a hash map.
pub(super) struct Merged {
    is_listed: bool,
    /// The index of each node by the hash of its identity. Empty if `is_listed` is true.
    known: Map<u64, u32>,
}

impl Merged {
    pub fn new(is_listed: bool) -> Merged {
        Merged { is_listed, known: Map::default() }
    }

    /// Returns the index of the node, of `count` nodes, whose identity is `made`. If there is none, returns `count`, and
    /// the caller must add a node with this identity. `of` returns the identity of a node, or `None` if it differs from
    /// `made`.
    pub fn find<I: Hash + PartialEq>(&mut self, count: usize, made: I, of: impl Fn(usize) -> Option<I>) -> usize {
        let is_equal = |n: usize| of(n).is_some_and(|other| other == made);
        if self.is_listed {
            return (0..count).find(|n| is_equal(*n)).unwrap_or(count);
        }
        let mut hash = BuildHasherDefault::<KeyHasher>::default().hash_one(&made);
        loop {
            match self.known.get(&hash) {
                Some(n) if is_equal(*n as usize) => return *n as usize,
                // a different node has this hash: try the next hash, as in open addressing
                Some(_) => hash = hash.wrapping_add(1),
                None => {
                    self.known.insert(hash, count as u32);
                    return count;
                }
            }
        }
    }
}
