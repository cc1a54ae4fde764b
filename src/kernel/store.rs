//! A write of a kernel: what it writes, where, and under which condition.

use super::BufferRef;
use crate::dtype::DType;
pub(crate) use crate::layout::Combine;
use crate::layout::Strides;
use smallvec::SmallVec;

/// A write of a value, narrowed to `dtype` (the value's own).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Store {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// Over `outer`, then `inner`; for a value at the outer level over `outer` alone.
    pub strides: Strides,
    pub offset: isize,
    pub value: usize,
    /// What chooses the elements that it writes; none where it writes one for each index of its level. Boxed, because a plan
    /// may have a million stores, and few choose.
    pub chosen: Option<Box<Chosen>>,
}

/// What chooses the elements that a store writes.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Chosen {
    /// A bool value. Where it is false nothing is written, and neighbours in a packed word stay as they are.
    pub condition: Option<usize>,
    /// Where an element goes, if that is computed too.
    pub scattered: Option<Scattered>,
}

/// The element that strides and offset name, plus `stride · index`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Scattered {
    /// An integer value, in the range of i32. Outside `0..extent` nothing is written: so a store to one window of an axis
    /// leaves out what belongs to the others. [`Op::Position`](super::Op::Position) gives one that was checked.
    pub index: usize,
    pub stride: isize,
    pub extent: usize,
    pub combine: Combine,
}

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

    /// Writes only where a bool value is true.
    pub fn only_if(&mut self, condition: usize) {
        self.chosen.get_or_insert_default().condition = Some(condition);
    }

    /// Whether it writes an element for each index of its level, which no other index writes too.
    pub fn is_plain(&self) -> bool {
        self.chosen.is_none()
    }

    /// Whether what it writes depends on what is there.
    pub fn updates(&self) -> bool {
        self.scattered().is_some_and(|s| s.combine.reads())
    }

    /// How far a computed index leads from the element that strides and offset name, in elements.
    pub fn reach(&self) -> isize {
        self.scattered().map_or(0, |s| (s.extent.saturating_sub(1) as isize).saturating_mul(s.stride))
    }

    /// The values that it reads: the stored one, the condition and the index.
    pub fn operands(&self) -> SmallVec<[usize; 3]> {
        std::iter::once(self.value).chain(self.condition()).chain(self.scattered().map(|s| s.index)).collect()
    }

    /// Gives the values that it reads other numbers.
    pub fn map_operands(&mut self, number: impl Fn(usize) -> usize) {
        self.value = number(self.value);
        if let Some(chosen) = &mut self.chosen {
            chosen.condition = chosen.condition.map(&number);
            chosen.scattered.iter_mut().for_each(|s| s.index = number(s.index));
        }
    }
}
