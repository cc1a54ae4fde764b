//! Finds kernels that only move data: each of their stores writes, with unchanged bits, an element that the kernel
//! reads, or a number.

use super::{Kernel, KernelKind, Op, Position, Store};
use crate::base::dtype::DType;
use smallvec::SmallVec;

/// Where the bits that a store writes come from, in a kernel that only moves data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// The load with this index, whose elements have the same size as the store's elements.
    Load(usize),
    /// The value with this index, a scalar or a constant.
    Number(usize),
    /// The value with this index, which is a gather of whole rows: for all elements along the last axis, the gather
    /// uses the same index, and it reads this index from memory.
    Rows(usize),
}

impl Kernel {
    /// Returns for each store where its bits come from, or `None` if the kernel does not only move data. Moving needs
    /// no arithmetic, so it preserves every bit, even the payload of a NaN.
    pub fn moves(&self) -> Option<SmallVec<[Moved; 1]>> {
        if self.kind != KernelKind::Elementwise || !self.stores.iter().all(Store::is_plain) {
            return None;
        }
        let moved: SmallVec<[Moved; 1]> = self.stores.iter().map(|store| self.moved(store)).collect::<Option<_>>()?;
        // every gather must be the source of a store, because the indices of any other gather would not be checked
        let is_stored = |v: usize| moved.contains(&Moved::Rows(v));
        let all = (0..self.values.len()).all(|v| is_stored(v) || self.values[v].op.position().is_none());
        all.then_some(moved)
    }

    /// Returns whether a gather reads whole rows: along the last axis, the index does not change and is read from
    /// memory, and the gathered elements are contiguous.
    fn gathers_rows(&self, load: usize, position: &Position) -> bool {
        let index = &self.values[position.index];
        let (Op::Load(n), Some(last)) = (&index.op, self.outer.len().checked_sub(1)) else { return false };
        let index_load = &self.loads[*n];
        self.outer[last] > 1
            && position.extent > 0
            && index_load.dtype == index.dtype
            && index.dtype.is_integer()
            && index.dtype.size() >= 4
            && index_load.strides[last] == 0
            && self.loads[load].strides[last] == 1
    }

    fn moved(&self, store: &Store) -> Option<Moved> {
        if matches!(self.values[store.value].op, Op::Scalar(_) | Op::Constant(_)) {
            return Some(Moved::Number(store.value));
        }
        let (mut v, mut dtype) = (store.value, store.dtype);
        loop {
            let value = &self.values[v];
            if !same_words(value.dtype, dtype) {
                return None;
            }
            dtype = value.dtype;
            match value.op {
                // neither changes the value, because the operand has a dtype with the same words; the next turn of the
                // loop checks this
                Op::Cast(a) | Op::Round(a) => v = a,
                Op::Load(n) => return same_words(self.loads[n].dtype, dtype).then_some(Moved::Load(n)),
                Op::Gather { load, ref position, .. } => {
                    let is_row = store.strides.last() == Some(&1) && self.gathers_rows(load, position);
                    return (is_row && same_words(self.loads[load].dtype, dtype)).then_some(Moved::Rows(v));
                }
                Op::Scalar(_)
                | Op::Constant(_)
                | Op::Index { .. }
                | Op::Ufunc(..)
                | Op::Position(_)
                | Op::Philox { .. }
                | Op::Reduce(_)
                | Op::Scan(_)
                | Op::Dot { .. } => return None,
            }
        }
    }
}

/// Returns whether a cast from one type to the other keeps the bits of an element in memory. Casts between integers
/// wrap.
fn same_words(a: DType, b: DType) -> bool {
    a == b || a.is_integer() && b.is_integer() && a.size() == b.size()
}
