//! A write of a kernel: what it writes, where, and under which condition.

use super::BufferRef;
use crate::base::dtype::DType;
pub(crate) use crate::base::layout::Combine;
use crate::base::layout::Strides;
use smallvec::SmallVec;

/// A write of a value, narrowed to `dtype`, a type that has the value's compute type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Store {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// One stride for each dimension of `outer`, then of `inner`, in elements; those of `outer` alone count for an outer value.
    pub strides: Strides,
    pub offset: isize,
    pub value: usize,
    /// What decides which elements are written; none if each index of the value's level writes one. It is boxed to keep stores
    /// small, because a plan may have a million of them, and few have this.
    pub chosen: Option<Box<Chosen>>,
}

/// Decides which elements a store writes: by a condition, by a computed index, or by both.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Chosen {
    /// A bool value. Where it is false nothing is written, and neighbours in a packed word stay as they are.
    pub condition: Option<usize>,
    /// The computed index at which the element is written, if there is one.
    pub scattered: Option<Scattered>,
}

/// A computed place: `stride · index` is added to the place that the store's own strides and offset give.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Scattered {
    /// A value that computes in i32. Where it is outside `0..extent` nothing is written, so that a store to one window of an
    /// axis leaves out what belongs to other windows. An [`Op::Position`](super::Op::Position) gives a checked index.
    pub index: usize,
    pub stride: isize,
    pub extent: usize,
    pub combine: Combine,
}

heap! { Store: strides, chosen; Chosen: ; }

impl Store {
    pub fn condition(&self) -> Option<usize> {
        self.chosen.as_ref()?.condition
    }

    pub fn scattered(&self) -> Option<&Scattered> {
        self.chosen.as_ref()?.scattered.as_ref()
    }

    pub fn scattered_mut(&mut self) -> Option<&mut Scattered> {
        self.chosen.as_mut()?.scattered.as_mut()
    }

    /// Makes the store write only where the bool value `condition` is true.
    pub fn only_if(&mut self, condition: usize) {
        self.chosen.get_or_insert_default().condition = Some(condition);
    }

    /// Says whether each index of the value's level writes one element, unconditionally and at a place of its own.
    pub fn is_plain(&self) -> bool {
        self.chosen.is_none()
    }

    /// Says whether the store combines its value with the element in memory, and so reads that element.
    pub fn updates(&self) -> bool {
        self.scattered().is_some_and(|s| s.combine.reads())
    }

    /// Returns how far a computed index can lead from the place that strides and offset give, in elements: negative for a
    /// negative stride, 0 without a computed index.
    pub fn reach(&self) -> isize {
        self.scattered().map_or(0, |s| (s.extent.saturating_sub(1) as isize).saturating_mul(s.stride))
    }

    /// Returns the values that the store reads: the stored one, the condition and the index.
    pub fn operands(&self) -> SmallVec<[usize; 3]> {
        std::iter::once(self.value).chain(self.condition()).chain(self.scattered().map(|s| s.index)).collect()
    }

    /// Renumbers the values that the store reads.
    pub fn map_operands(&mut self, number: impl Fn(usize) -> usize) {
        self.value = number(self.value);
        if let Some(chosen) = &mut self.chosen {
            chosen.condition = chosen.condition.map(&number);
            chosen.scattered.iter_mut().for_each(|s| s.index = number(s.index));
        }
    }
}
