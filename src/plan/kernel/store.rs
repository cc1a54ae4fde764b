//! A store of a kernel: the value, the destination, and the condition.

use super::BufferRef;
use crate::base::dtype::DType;
pub(crate) use crate::base::layout::Combine;
use crate::base::layout::Strides;
use smallvec::SmallVec;

/// A write of a value, narrowed to `dtype`, which has the value's compute type.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Store {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// One stride for each dimension of `outer`, then of `inner`, in elements. For an outer value, only the strides of
    /// `outer` count.
    pub strides: Strides,
    pub offset: isize,
    pub value: usize,
    /// Selects the elements that are written. `None` if each index of the value's level writes one element. It is boxed
    /// to keep stores small, because a plan may have a million of them, and few have this.
    pub chosen: Option<Box<Chosen>>,
}

/// Selects the elements that a store writes: by a condition, by a computed index, or by both.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Chosen {
    /// A bool value. If it is false, nothing is written, and neighbours in a packed word do not change.
    pub condition: Option<usize>,
    /// The computed index at which the element is written, if there is one.
    pub scattered: Option<Scattered>,
}

/// A computed position: `stride · index` is added to the position from the store's own strides and offset.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Scattered {
    /// A value that computes in i32. If it is outside `0..extent`, nothing is written, so that a store to one window of
    /// an axis skips elements of other windows. An [`Op::Position`](super::Op::Position) provides a checked index.
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

    /// Restricts the store to indices at which the bool value `condition` is true.
    pub fn only_if(&mut self, condition: usize) {
        self.chosen.get_or_insert_default().condition = Some(condition);
    }

    /// Returns whether each index of the value's level writes one element, unconditionally and at its own position.
    pub fn is_plain(&self) -> bool {
        self.chosen.is_none()
    }

    /// Returns whether the store combines its value with the element in memory, and so reads that element.
    pub fn updates(&self) -> bool {
        self.scattered().is_some_and(|s| s.combine.reads())
    }

    /// Returns the distance, in elements, from the position by strides and offset to the farthest computed position. It
    /// is negative for a negative stride, and 0 without a computed index.
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
