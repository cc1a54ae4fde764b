//! Folds whose state is the element itself, combined by a function's own loops.

use crate::base::dtype::Compute;
use crate::graph::ufunc::{Neutral, Ufunc};
use crate::math::simd::Loop;

/// The loops of a fold whose state is the element itself, combined by a function.
#[derive(Clone, Copy)]
pub(super) struct CombineLoops {
    /// Folds whole rows, each of at most one block.
    pub rows: Loop,
    /// Folds a block's elements into the lanes.
    pub fold: Loop,
    /// Folds blocks of a few columns.
    pub blocks: Loop,
    /// Combines rows into one row.
    pub columns: Loop,
    /// Combines vectors.
    pub accumulate: Loop,
    pub identity: u64,
    /// The bits of the result of a reduction of no elements: the bits of the identity, except for a sum, where they are
    /// +0 although the identity is −0.
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
