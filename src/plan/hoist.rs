//! The order of the steps that make the parts of a concatenation.
//!
//! A part is written where the concatenation has it, so all of its parts are steps of one stage, and this stage follows
//! the stages of everything that they read. If each part reads a large temporary, such as the scores of a block of an
//! attention, all these temporaries would be alive at once. So each such step is moved to directly after the last step
//! that writes what it reads. No step between reads or writes the same part of the concatenation.

use crate::plan::kernel::{BufferRef, Step};
use std::collections::HashMap;

/// Moves steps. `is_part` tells which steps are parts of a concatenation.
pub(super) fn hoist(steps: Vec<Step>, is_part: &[bool]) -> Vec<Step> {
    if !is_part.contains(&true) {
        return steps;
    }
    // a moved step has the place of the step that it follows; the others have their own
    let mut places: Vec<(usize, bool, usize)> = Vec::with_capacity(steps.len());
    let mut written: HashMap<BufferRef, usize> = HashMap::new();
    for (i, step) in steps.iter().enumerate() {
        let own = (i, false, i);
        // a step that continues this one moves with it, so what it reads must be written too
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
