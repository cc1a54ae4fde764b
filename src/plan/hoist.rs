//! Moves the steps that compute the parts of a concatenation, so that fewer temporaries are in memory at once.
//!
//! The operands of a stored concatenation are computed directly into their parts of the result, by steps that are
//! planned together. If each of these steps reads a large temporary, such as the scores of one block of an attention,
//! all these temporaries would be in memory at once. So each step is moved directly after the last step that writes
//! what it reads. This is safe, because the steps over which it moves do not access the same part of the concatenation.

use super::Map;
use crate::plan::kernel::{BufferRef, Step};

/// Returns the steps in the new order. `is_part` tells for each step whether it computes a part of a concatenation.
pub(super) fn hoist(steps: Vec<Step>, is_part: &[bool]) -> Vec<Step> {
    if !is_part.contains(&true) {
        return steps;
    }
    // the sort key of each step: the index of the step that it follows, whether it was moved there, and its own index
    let mut places: Vec<(usize, bool, usize)> = Vec::with_capacity(steps.len());
    let mut written: Map<BufferRef, usize> = Map::default();
    for (i, step) in steps.iter().enumerate() {
        let own = (i, false, i);
        // the further passes of this step's kernel move with it, so what they read must be written before too
        let together = steps[i + 1..].iter().take_while(|next| next.continues());
        let reads = std::iter::once(step).chain(together).flat_map(Step::reads);
        let last = reads.filter_map(|buffer| written.get(&buffer).copied()).max();
        let place = match (last, places.last()) {
            (_, Some(before)) if step.continues() => (before.0, before.1, i),
            (Some(last), _) if is_part[i] && step.nest().is_some() => (last, true, i),
            _ => own,
        };
        for buffer in step.writes() {
            let last = written.entry(buffer).or_insert(0);
            *last = place.0.max(*last);
        }
        places.push(place);
    }
    let mut steps: Vec<(Step, (usize, bool, usize))> = steps.into_iter().zip(places).collect();
    steps.sort_by_key(|(_, place)| *place);
    steps.into_iter().map(|(step, _)| step).collect()
}
