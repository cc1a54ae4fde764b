//! Indices that count from the end if they are negative. A kernel contains such an index `i` of an axis of length `n`
//! as `select(less(i, 0), add(i, n), i)`. This module makes a gather read `i` itself and add `n` if it is negative,
//! which saves three loops over a tile and a register.

use crate::base::dtype::DType;
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::{Kernel, Op};

/// If the index of a gather is `select(less(i, 0), add(i, n), i)`, replaces it by `i`, the index that the caller
/// passed. Returns the changed kernel, or `None` if no gather has such an index.
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

/// Matches an index against `select(less(i, 0), add(i, n), i)`. Returns the value `i` and the scalars 0 and `n`, or
/// `None` if the index has another form.
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
