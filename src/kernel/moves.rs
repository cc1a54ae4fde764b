//! Nests that only move words: each store writes, unchanged, what a load reads or what a number is.

use super::{Kernel, KernelKind, Op, Store};
use crate::dtype::DType;
use smallvec::SmallVec;

/// Where the words of a store come from in a nest that computes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// The load of this number, whose words have the store's size.
    Load(usize),
    /// The value of this number, a scalar or a constant.
    Number(usize),
}

impl Kernel {
    /// Returns where the words of each store come from, if the nest only moves words; else none. A move needs no registers, and
    /// keeps every bit, also those of NaNs.
    pub fn moves(&self) -> Option<SmallVec<[Moved; 1]>> {
        let is_still =
            |op: &Op| matches!(op, Op::Load(_) | Op::Scalar(_) | Op::Constant(_) | Op::Cast(_) | Op::Round(_));
        let plain = self.kind == KernelKind::Elementwise && self.stores.iter().all(Store::is_plain);
        if !plain || !self.values.iter().all(|v| is_still(&v.op)) {
            return None;
        }
        self.stores.iter().map(|store| self.moved(store)).collect()
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
                // what a load of this type gives, and casts of it that keep its words, is rounded already
                Op::Cast(a) | Op::Round(a) => v = a,
                Op::Load(n) => return same_words(self.loads[n].dtype, dtype).then_some(Moved::Load(n)),
                _ => return None,
            }
        }
    }
}

/// Says whether an element of one type that is cast to another keeps its bits in memory: casts between integers wrap.
fn same_words(a: DType, b: DType) -> bool {
    a == b || a.is_integer() && b.is_integer() && a.size() == b.size()
}
