//! Folds (reductions such as sums) whose intermediate results, called states, are elements themselves. The loops of a
//! function such as `add` combine the states.

use crate::base::dtype::Compute;
use crate::graph::ufunc::{Neutral, Ufunc};
use crate::math::simd::Loop;

/// The loops of a fold (a reduction such as a sum) whose intermediate results, called states, are elements themselves.
/// `fold/mod.rs` explains blocks, lanes and columns.
#[derive(Clone, Copy)]
pub(super) struct CombineLoops {
    /// Folds several whole rows, each to one element. A row has at most as many elements as one block.
    pub rows: Loop,
    /// Combines the elements of a block into a vector that holds one state for each lane.
    pub fold: Loop,
    /// Folds several blocks together, in reductions over a few columns.
    pub blocks: Loop,
    /// Combines several rows, element by element, into one row.
    pub columns: Loop,
    /// Combines one vector into another, element by element.
    pub accumulate: Loop,
    pub identity: u64,
    /// The bits of the result of a reduction of no elements. They are the bits of the identity, except for a sum: its
    /// identity is −0, but the sum of no elements is +0.
    pub empty: u64,
}

impl CombineLoops {
    pub fn new(row: &Ufunc, compute: Compute) -> Option<CombineLoops> {
        let neutral = row.reduce.as_ref()?.neutral;
        let forms = row.forms[compute as usize]?;
        let identity = neutral.bits(compute);
        let empty = if neutral == Neutral::Zero { 0 } else { identity };
        Some(CombineLoops {
            rows: forms.rows?.get(),
            fold: forms.fold?.get(),
            blocks: forms.blocks?.get(),
            columns: forms.columns?.get(),
            accumulate: forms.accumulate?.get(),
            identity,
            empty,
        })
    }
}
