//! Indices that count from the end where they are negative. The planner writes `select(less(i, 0), add(i, n), i)`; a gather
//! that reads `i` itself saves three loops over a tile, and needs no register for the index.

use crate::base::dtype::DType;
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::{Kernel, Op};

/// Returns the kernel with its gathers reading the indices that callers gave, where they are such a select; none if no gather
/// does. Nothing else of the kernel changes, so what only those gathers have read is no longer computed.
pub(super) fn with_given_indices(kernel: &Kernel) -> Option<Kernel> {
    let given = |v: usize| {
        let Op::Gather { position, .. } = &kernel.values[v].op else { return None };
        from_end(kernel, position.index)
    };
    let mut changed: Option<Kernel> = None;
    for v in 0..kernel.values.len() {
        if let Some((index, slots)) = given(v)
            && let Op::Gather { position, .. } = &mut changed.get_or_insert_with(|| kernel.clone()).values[v].op
        {
            (position.index, position.from_end) = (index, Some(slots));
        }
    }
    changed
}

/// Takes an index apart: returns the value that counts from the end, and the run-time scalars below which it does so and that
/// are added to it then.
fn from_end(kernel: &Kernel, index: usize) -> Option<(usize, [usize; 2])> {
    let ufunc = |v: usize, row| {
        let Op::Ufunc(found, args) = &kernel.values[v].op else { return None };
        (*found == row).then_some(args)
    };
    let scalar = |v: usize| {
        let Op::Scalar(n) = kernel.values[v].op else { return None };
        Some(n)
    };
    let [is_below, moved, given] = ufunc(index, &logic::SELECT)?[..] else { return None };
    let [compared, zero] = ufunc(is_below, &logic::less)?[..] else { return None };
    let [added, length] = ufunc(moved, &arithmetic::add)?[..] else { return None };
    let dtype = kernel.values[given].dtype;
    let is_same = mutant!(index_selected_by_another, true, compared == given)
        && added == given
        && [zero, length, moved].iter().all(|v| kernel.values[*v].dtype == dtype);
    (is_same && matches!(dtype, DType::I32 | DType::I64)).then_some((given, [scalar(zero)?, scalar(length)?]))
}
