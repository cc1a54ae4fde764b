//! Chooses the passes of a kernel. A pass is a loop over all inner indices (the elements of a row). A kernel needs
//! several passes if a value depends on a reduction, which is known only after the loop that computes it. This file
//! decides which values each pass computes, and which it keeps for a later pass.

use crate::base::dtype::DType;
use crate::base::layout;
use crate::graph::ufunc::cast;
use crate::plan::kernel::{Kernel, Op, Pass, Passes};

/// The maximum number of elements of a row whose f16 or bf16 elements are kept as f32 for later passes. In a longer row,
/// the kept values would not stay in the cache that is nearest to the core, and converting the elements again takes less
/// time. Measured with layer norm and softmax of f16 on Zen 4: rows of 771 take 0.78 and 0.93 of the time if they are
/// kept, rows of 2,000 0.86, of 5,000 0.93, of 7,000 1.01, of 10,000 1.05.
const MOST_WIDENED: usize = 6 << 10;

/// Which values a pass computes again, although an earlier pass has computed them and could have kept them.
#[derive(Clone, Copy)]
pub(super) enum Again {
    /// A pass computes no value again (GPU): a lane keeps all values in registers, because loading their operands again
    /// from memory takes long.
    Nothing,
    /// A pass repeats loads, indices, numbers, and conversions of these that change no bit (CPU). Repeating them is as
    /// cheap as keeping them, because a row is still in a cache when it is read again. Two kinds of loads are too costly
    /// to repeat: a load of f16 or bf16, whose elements are converted, and, if rows are side by side in a tile
    /// (`across`), a load that must be transposed into the tile.
    Loads { across: bool },
}

/// Returns the passes that compute the values `sinks` and all values on which these depend.
pub(super) fn passes(kernel: &Kernel, sinks: &[usize], again: Again) -> Passes {
    let values = &kernel.values;
    let in_lanes = matches!(again, Again::Nothing);
    let mut after: Vec<u8> = Vec::with_capacity(values.len());
    for value in values {
        let operands = value.op.operands().iter().map(|a| after[*a]).max().unwrap_or(0);
        after.push(operands.saturating_add(value.ends_pass(in_lanes) as u8));
    }
    let needed = kernel.needed(sinks.iter().copied());
    let inner_sinks = || sinks.iter().copied().filter(|v| values[*v].inner);
    let reductions = (0..values.len()).filter(|v| needed[*v]).map(|v| after[v] as usize).max().unwrap_or(0);
    let count = reductions + inner_sinks().next().is_some() as usize;
    let cheap = cheap(kernel, again);
    let (mut made, mut wanted) = (vec![false; values.len()], vec![false; values.len()]);
    let mut list = Vec::with_capacity(count);
    for p in 0..count {
        let ends = |v: &usize| needed[*v] && values[*v].ends_pass(in_lanes) && after[*v] as usize == p + 1;
        let ends: Vec<u16> = (0..values.len()).filter(ends).map(|v| v as u16).collect();
        wanted.fill(false);
        ends.iter().flat_map(|v| values[*v as usize].op.operands()).for_each(|v| wanted[v] = true);
        if p + 1 == count {
            inner_sinks().for_each(|v| wanted[v] = true);
        }
        let mut pass = Pass { ends, ..Pass::default() };
        for v in (0..values.len()).rev().filter(|v| values[*v].inner) {
            if !wanted[v] {
                continue;
            }
            // a value that has one element per inner index, and is known only at the end of a pass, is a scan whose row
            // is shared by lanes; a later pass reads the scan's elements
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

/// Returns for each value whether a later pass computes it again, so that it need not be kept.
fn cheap(kernel: &Kernel, again: Again) -> Vec<bool> {
    let values = &kernel.values;
    let Again::Loads { across } = again else { return vec![false; values.len()] };
    let mut cheap = Vec::with_capacity(values.len());
    for value in values {
        let is_cheap = match &value.op {
            Op::Load(load) => {
                let widens = matches!(kernel.loads[*load].dtype, DType::F16 | DType::BF16);
                match across {
                    true => !is_transposed(kernel, *load),
                    false => !(widens && kernel.inner_size() <= MOST_WIDENED),
                }
            }
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

/// Returns whether a load must be transposed into a tile in which rows are side by side. In such a tile, elements with
/// neighbouring outer indices are neighbours. So the load must be transposed if these elements are not neighbours in
/// memory.
fn is_transposed(kernel: &Kernel, load: usize) -> bool {
    let strides = &kernel.loads[load].strides[..kernel.outer.len()];
    !matches!(layout::one_step(&kernel.outer, strides), Some(0 | 1))
}
