//! The passes of a nest along its inner space: the values that each computes, and those that it keeps for a later one.

use crate::base::layout;
use crate::graph::ufunc::cast;
use crate::plan::kernel::{Kernel, Op, Pass, Passes};

/// The values that a pass computes again instead of reading values that an earlier pass kept, because that is as cheap.
#[derive(Clone, Copy)]
pub(super) enum Again {
    /// No values (GPU): a lane keeps them in registers, and loading them again from memory takes long.
    Nothing,
    /// Loads, indices, numbers, and conversions of these that change no bit (CPU): a row is still in a cache when it is
    /// read again. If rows are side by side in a tile (`across`), a load that must be transposed into the tile is too
    /// costly to repeat.
    Loads { across: bool },
}

/// Returns the passes that compute `sinks` and all values on which they depend.
pub(super) fn passes(kernel: &Kernel, sinks: &[usize], again: Again) -> Passes {
    let values = &kernel.values;
    let in_lanes = matches!(again, Again::Nothing);
    let mut after: Vec<u8> = Vec::with_capacity(values.len());
    for value in values {
        let operands = value.op.operands().iter().map(|a| after[*a]).max().unwrap_or(0);
        after.push(operands.saturating_add(value.ends_pass(in_lanes) as u8));
    }
    let needed = kernel.needed(sinks.iter().copied());
    let inner_sinks: Vec<usize> = sinks.iter().copied().filter(|v| values[*v].inner).collect();
    let reductions = (0..values.len()).filter(|v| needed[*v]).map(|v| after[v] as usize).max().unwrap_or(0);
    let count = reductions + !inner_sinks.is_empty() as usize;
    let cheap = cheap(kernel, again);
    let mut made = vec![false; values.len()];
    let mut list = Vec::with_capacity(count);
    for p in 0..count {
        let ends = |v: &usize| needed[*v] && values[*v].ends_pass(in_lanes) && after[*v] as usize == p + 1;
        let ends: Vec<usize> = (0..values.len()).filter(ends).collect();
        let mut wanted = vec![false; values.len()];
        let last = if p + 1 == count { &inner_sinks[..] } else { &[] };
        ends.iter().flat_map(|v| values[*v].op.operands()).chain(last.iter().copied()).for_each(|v| wanted[v] = true);
        let mut pass = Pass { ends: ends.iter().map(|v| *v as u16).collect(), ..Pass::default() };
        for v in (0..values.len()).rev().filter(|v| values[*v].inner) {
            if !wanted[v] {
                continue;
            }
            // an inner value that ends a pass is a scan in lanes, whose elements are known after that pass
            if made[v] || values[v].ends_pass(in_lanes) {
                pass.takes.push(v as u16);
                continue;
            }
            pass.computes.push(v as u16);
            values[v].op.operands().iter().for_each(|a| wanted[*a] = true);
        }
        pass.takes.reverse();
        pass.computes.reverse();
        pass.computes
            .iter()
            .filter(|v| mutant!(everything_is_kept, true, !cheap[**v as usize]))
            .for_each(|v| made[*v as usize] = true);
        list.push(pass);
    }
    Passes { after, list }
}

/// Returns for each value whether a later pass computes it again instead of keeping it.
fn cheap(kernel: &Kernel, again: Again) -> Vec<bool> {
    let values = &kernel.values;
    let Again::Loads { across } = again else { return vec![false; values.len()] };
    let mut cheap = Vec::with_capacity(values.len());
    for value in values {
        let is_cheap = match &value.op {
            Op::Load(load) => !(across && is_transposed(kernel, *load)),
            Op::Index { .. } | Op::Scalar(_) | Op::Constant(_) => true,
            // a conversion that changes no bit costs nothing
            Op::Cast(a) => {
                cheap[*a] && {
                    let (from, to) = (values[*a].dtype, value.dtype);
                    from == to || from.compute() == to.compute() && cast::round(to).is_none()
                }
            }
            Op::Round(a) => cheap[*a] && cast::round(value.dtype).is_none(),
            Op::Ufunc(..)
            | Op::Gather { .. }
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Reduce(..)
            | Op::Scan(..)
            | Op::Dot { .. } => false,
        };
        cheap.push(is_cheap);
    }
    cheap
}

/// Returns whether the elements of a load along `outer`, which are neighbours in a tile of rows side by side, are apart
/// in memory.
fn is_transposed(kernel: &Kernel, load: usize) -> bool {
    let strides = &kernel.loads[load].strides[..kernel.outer.len()];
    !matches!(layout::one_step(&kernel.outer, strides), Some(0 | 1))
}
