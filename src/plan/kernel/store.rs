//! A store of a kernel: which value it writes, where, and under which condition.

use super::{BufferRef, Kernel, KernelKind};
use crate::base::dtype::DType;
pub(crate) use crate::base::layout::Combine;
use crate::base::layout::{self, Strides};
use smallvec::SmallVec;

/// A write of a value to a buffer, one element per index. The value is converted to `dtype` first, for example from f32
/// to f16.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Store {
    pub buffer: BufferRef,
    pub dtype: DType,
    /// One stride for each dimension of `outer`, then of `inner`, in elements. If the value has only one element per
    /// outer index, only the strides of `outer` count.
    pub strides: Strides,
    pub offset: isize,
    pub value: usize,
    /// Selects the elements that are written. `None` if one element is written for each index of the value. The
    /// selection is boxed to keep stores small, because a plan may have a million stores, and few have a selection.
    pub chosen: Option<Box<Chosen>>,
}

/// Selects the elements that a store writes: by a condition, by a computed index, or by both.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Chosen {
    /// The index of a bool value of the kernel. Where this value is false, nothing is written, and the other elements
    /// of a packed word do not change.
    pub condition: Option<usize>,
    /// The computed index at which the element is written, if the store is a scatter.
    pub scattered: Option<Scattered>,
}

/// The computed position of a scatter: `stride · index` is added to the position that follows from the store's own
/// strides and offset.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Scattered {
    /// The position in the kernel's `values` of the value that is the index, computed as i32. If this value is outside
    /// `0..extent`, nothing is written. If out-of-bounds indices are errors, the value is an
    /// [`Op::Position`](super::Op::Position), which returns these errors.
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

    /// Returns whether the store writes one element for each index of its value, unconditionally and at a position that
    /// follows from the index alone.
    pub fn is_plain(&self) -> bool {
        self.chosen.is_none()
    }

    /// Returns whether the store combines its value with the element in memory, and so reads that element.
    pub fn updates(&self) -> bool {
        self.scattered().is_some_and(|s| s.combine.reads())
    }

    /// Returns how far, in elements, a computed index can move a store's position: `stride · (extent − 1)`. It is
    /// negative for a negative stride, and 0 without a computed index.
    pub fn reach(&self) -> isize {
        self.scattered().map_or(0, |s| (s.extent.saturating_sub(1) as isize).saturating_mul(s.stride))
    }

    /// Returns whether the elements that the store writes are contiguous and begin at a 32-bit word, where `outer` has
    /// the lengths of the outer dimensions. If so, only the last word may also hold other elements.
    pub fn fills_words(&self, outer: &[usize]) -> bool {
        self.dtype.size() >= 4 || self.offset % 4 == 0 && layout::is_c_contiguous(outer, &self.strides)
    }

    /// Returns the indices of the values that the store reads: the value that it writes, its condition and its index.
    pub fn operands(&self) -> SmallVec<[usize; 3]> {
        std::iter::once(self.value).chain(self.condition()).chain(self.scattered().map(|s| s.index)).collect()
    }

    /// Replaces the index `n` of each value that the store reads by `number(n)`.
    pub fn map_operands(&mut self, number: impl Fn(usize) -> usize) {
        self.value = number(self.value);
        if let Some(chosen) = &mut self.chosen {
            chosen.condition = chosen.condition.map(&number);
            chosen.scattered.iter_mut().for_each(|s| s.index = number(s.index));
        }
    }
}

impl Kernel {
    /// Returns how many consecutive stores in the kernel's list a GPU invocation can write together, as one word or
    /// vector, because their elements lie side by side in memory: 4 or 2, or 1 if each store writes alone. For example,
    /// the stores of `stack([x, y], -1)` write elements 2i and 2i + 1 at index i.
    pub fn woven(&self) -> usize {
        [4, 2].into_iter().find(|n| self.weaves(*n)).unwrap_or(1)
    }

    fn weaves(&self, count: usize) -> bool {
        let Some(first) = self.stores.first() else { return false };
        let is_multiple = |n: isize| n.unsigned_abs().is_multiple_of(count);
        let steps = self.outer.iter().zip(&first.strides).filter(|(extent, _)| **extent > 1);
        let alike = |s: &Store| {
            s.is_plain()
                && (s.buffer, s.dtype.size()) == (first.buffer, first.dtype.size())
                && s.strides == first.strides
        };
        let in_order = |chunk: &[Store]| {
            let is_aligned = mutant!(woven_at_any_place, true, is_multiple(chunk[0].offset));
            is_aligned && chunk.iter().zip(chunk[0].offset..).all(|(s, at)| s.offset == at)
        };
        self.kind == KernelKind::Elementwise
            && self.stores.len().is_multiple_of(count)
            && first.dtype.size() <= 4
            && first.dtype.size() * count >= 4
            && !self.checks()
            && { steps }.all(|(_, stride)| is_multiple(*stride))
            && self.stores.iter().all(alike)
            && self.stores.chunks(count).all(in_order)
    }

    /// Returns whether a GPU may run this kernel in the same dispatch as `before`, the kernel before it. Both kernels
    /// must write parts of the memory of the same node and must not read that memory. A kernel that continues `before`
    /// stays separate, because the two kernels then share one shader, which takes less time to compile.
    pub fn runs_beside(&self, before: &Kernel) -> bool {
        let Some(to) = self.stores.first().map(|s| s.buffer).filter(|_| !self.continues) else { return false };
        // if the elements of both kernels begin at a 32-bit word, no word belongs to both kernels
        [before, self].into_iter().all(|k| {
            k.kind == KernelKind::Elementwise
                && k.windows.len() == 1
                && k.node == self.node
                && k.outer_size() > 0
                && !k.checks()
                && k.stores.iter().all(|s| s.is_plain() && s.buffer == to && s.fills_words(&k.outer))
                && k.loads.iter().all(|l| l.buffer != to)
        })
    }
}
