//! Nests that only move words. Each store writes, unchanged, an element that a load reads, or a number.

use super::{Kernel, KernelKind, Op, Position, Store};
use crate::base::dtype::DType;
use smallvec::SmallVec;

/// The source of a store's words in a nest that computes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// The load with this index, whose words have the size of the store's.
    Load(usize),
    /// The value with this index, a scalar or a constant.
    Number(usize),
    /// The value with this index, a gather of whole rows. Its index is a load that is constant along the last axis.
    Rows(usize),
}

impl Kernel {
    /// Returns the source of each store's words if the nest only moves words, and `None` otherwise. A move needs no
    /// registers, and preserves every bit, including those of NaNs.
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

    /// Returns whether a gather reads a whole row at each index. Then its index is a load that is constant along the
    /// last axis, along which the gathered elements are contiguous.
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
                // a loaded value of this type, and casts of it that keep its words, are already rounded
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
