//! Computes how much heap memory a value owns, for a cache that limits the memory of its entries.

use smallvec::{Array, SmallVec};
use std::ops::Range;

/// A type that may own memory on the heap.
pub(crate) trait Heap {
    /// Returns how many bytes the value owns on the heap, not counting the value itself (`size_of`).
    fn heap(&self) -> usize;
}

/// How many bytes an allocator uses for each block in addition to the requested bytes, for its header and for rounding
/// up. Allocators differ, so this is an estimate, chosen by hand.
const BESIDE: usize = 16;

/// Returns how many bytes of memory an allocation of `bytes` bytes occupies, including the allocator's overhead.
pub(crate) const fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + BESIDE }
}

fn all<T: Heap>(list: &[T]) -> usize {
    list.iter().map(Heap::heap).sum()
}

impl<T: Heap> Heap for Vec<T> {
    fn heap(&self) -> usize {
        block(self.capacity() * size_of::<T>()) + all(self)
    }
}

impl<A: Array<Item: Heap>> Heap for SmallVec<A> {
    fn heap(&self) -> usize {
        (if self.spilled() { block(self.capacity() * size_of::<A::Item>()) } else { 0 }) + all(self)
    }
}

impl<T: Heap> Heap for Box<T> {
    fn heap(&self) -> usize {
        block(size_of::<T>()) + (**self).heap()
    }
}

impl<T: Heap> Heap for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, T::heap)
    }
}

impl<T: Heap, const N: usize> Heap for [T; N] {
    fn heap(&self) -> usize {
        all(self)
    }
}

impl<T> Heap for Range<T> {
    fn heap(&self) -> usize {
        0
    }
}

/// Implements [`Heap`] for types: `heap! { Type: field, field; }` lists all fields that may own memory on the heap.
macro_rules! heap {
    ($($type:ty: $($field:ident),*;)*) => {
        $(impl $crate::base::heap::Heap for $type {
            fn heap(&self) -> usize {
                0 $(+ $crate::base::heap::Heap::heap(&self.$field))*
            }
        })*
    };
}

heap! { u8: ; u16: ; u32: ; usize: ; isize: ; u64: ; bool: ; }
