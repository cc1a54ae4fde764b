//! Scratch memory of products. Each thread keeps its block of memory between calls, so that later calls need not
//! allocate.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::mem::MaybeUninit;

/// The alignment of each piece of scratch, in bytes: the size of a cache line and of the widest vector.
pub(super) const ALIGN: usize = 64;

/// The size in bytes of the largest block that a thread keeps between calls.
const KEPT: usize = 4 << 20;

/// The size in bytes of the scratch memory on the stack, which is used if the allocation fails. It has room for the
/// panels of one tile over one chain of k, and for the tile itself, with elements of 8 bytes.
const LEAST: usize = 80 << 10;

/// A block of memory from which [`Scratch::take`] allocates pieces one after another.
pub(super) struct Scratch<'a> {
    memory: &'a mut [MaybeUninit<u8>],
    used: usize,
}

impl Scratch<'_> {
    /// Allocates `n` elements with undefined values.
    pub fn take<T>(&mut self, n: usize) -> *mut T {
        let start = self.used.next_multiple_of(ALIGN);
        let end = start + n * size_of::<T>();
        assert!(end <= self.memory.len(), "scratch of {} bytes for {end}", self.memory.len());
        self.used = end;
        self.memory[start..end].as_mut_ptr() as *mut T
    }

    /// Frees everything that was allocated from this block.
    pub fn clear(&mut self) {
        self.used = 0;
    }
}

/// An allocated block of memory, which is freed on drop.
struct Kept {
    ptr: *mut u8,
    layout: Layout,
}

impl Kept {
    fn new(bytes: usize) -> Option<Kept> {
        let layout = Layout::from_size_align(bytes.next_multiple_of(4096), 4096).ok()?;
        // SAFETY: the size of the layout is not 0, because a product packs at least one element.
        let ptr = unsafe { alloc(layout) };
        (!ptr.is_null()).then_some(Kept { ptr, layout })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: `new` has allocated the block with this layout.
        unsafe { dealloc(self.ptr, self.layout) };
    }
}

thread_local! {
    /// The block of this thread; `None` while a product uses it.
    static BLOCK: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Calls `f` with scratch memory of at least `wanted` bytes and `true`. If the allocation fails, calls `f` with scratch
/// memory of at least `least` bytes and `false`.
pub(super) fn with(wanted: usize, least: usize, f: impl FnOnce(&mut Scratch<'_>, bool)) {
    let kept = BLOCK.try_with(Cell::take).ok().flatten().filter(|block| block.layout.size() >= wanted);
    let Some(block) = kept.or_else(|| Kept::new(wanted.max(1))) else {
        #[repr(align(64))]
        struct Stack([MaybeUninit<u8>; LEAST]);
        let mut stack = Stack([MaybeUninit::uninit(); LEAST]);
        debug_assert!(least <= LEAST);
        return f(&mut Scratch { memory: &mut stack.0, used: 0 }, false);
    };
    // SAFETY: only this call uses the block while it is out of `BLOCK`, and its bytes need no value.
    let memory = unsafe { std::slice::from_raw_parts_mut(block.ptr.cast::<MaybeUninit<u8>>(), block.layout.size()) };
    f(&mut Scratch { memory, used: 0 }, true);
    if block.layout.size() <= KEPT {
        // while a thread ends, its thread-local storage is gone, and the block is freed instead
        let _ = BLOCK.try_with(|kept| kept.set(Some(block)));
    }
}
