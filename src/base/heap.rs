//! How much memory a value keeps on the heap, for a cache that is bounded by what it keeps.

use smallvec::{Array, SmallVec};
use std::ops::Range;

/// What may keep memory on the heap.
pub(crate) trait Heap {
    /// The bytes that it keeps there, beside its own.
    fn heap(&self) -> usize;
}

/// What an allocator takes beside the bytes of a block: its header, and what it rounds up. A judgement.
const BESIDE: usize = 16;

/// What a block of so many bytes takes.
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

/// `heap! { Type: field, field; }` names all fields of a type that may keep memory on the heap.
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
