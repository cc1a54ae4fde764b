//! A reference-counted pointer without weak references.
//!
//! When its last pointer is dropped, the standard library's `Arc` executes two atomic read-modify-write instructions,
//! and `Arc::get_mut` executes one. [`Shared`] executes none in these two cases, which saves a small evaluation six
//! instructions of about 5 ns each.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// A value and the number of pointers to it.
#[repr(C)]
pub(crate) struct Counted<T: ?Sized> {
    count: AtomicUsize,
    value: T,
}

/// The size in bytes of the memory blocks that a thread keeps for reuse. A node of an expression or a small buffer fits
/// into a block.
const BLOCK: usize = 320;
/// The layout of a memory block that a thread keeps for reuse.
const LAYOUT: Layout = match Layout::from_size_align(BLOCK, 16) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};
/// The maximum number of freed blocks that a thread keeps for reuse.
const KEPT: usize = 32;

/// The blocks that a thread has freed and keeps for reuse. Evaluating a small expression frees about as many blocks as
/// it allocates, and the general allocator takes five times as many instructions.
struct Free {
    blocks: [*mut u8; KEPT],
    len: usize,
}

impl Drop for Free {
    fn drop(&mut self) {
        for block in &self.blocks[..self.len] {
            // SAFETY: the block was allocated with this layout, and nobody else has it.
            unsafe { dealloc(*block, LAYOUT) };
        }
    }
}

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new(Free { blocks: [std::ptr::null_mut(); KEPT], len: 0 }) };
}

/// Returns the layout with which memory is allocated for a value of this layout: a block's layout if the value fits.
#[inline]
fn allocated(layout: Layout) -> Layout {
    if layout.size() <= BLOCK && layout.align() <= LAYOUT.align() { LAYOUT } else { layout }
}

/// Allocates memory for a value of this layout.
#[inline]
fn allocate(layout: Layout) -> NonNull<u8> {
    let layout = allocated(layout);
    if layout == LAYOUT {
        let block = FREE.try_with(|free| {
            let free = &mut *free.borrow_mut();
            free.len = free.len.checked_sub(1)?;
            NonNull::new(*free.blocks.get(free.len)?)
        });
        if let Ok(Some(block)) = block {
            return block;
        }
    }
    // SAFETY: the size is not 0, because every value has a count beside it.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Frees memory that [`allocate`] returned for the same layout.
///
/// # Safety
/// Nobody uses the memory any more.
#[inline]
unsafe fn free(block: *mut u8, layout: Layout) {
    let layout = allocated(layout);
    if layout == LAYOUT {
        // `try_with` fails if the thread is ending, and then the block is freed
        let is_kept = FREE.try_with(|free| {
            let free = &mut *free.borrow_mut();
            let Some(place) = free.blocks.get_mut(free.len) else { return false };
            *place = block;
            free.len += 1;
            true
        });
        if is_kept == Ok(true) {
            return;
        }
    }
    // SAFETY: `allocate` has allocated the memory with this layout, and the caller ensures that nobody uses it.
    unsafe { dealloc(block, layout) };
}

/// A pointer to a reference-counted value. The value is freed with its last pointer.
pub(crate) struct Shared<T: ?Sized>(NonNull<Counted<T>>, PhantomData<Counted<T>>);

// SAFETY: the pointers of several threads give shared access to the value, and any of them may drop it.
unsafe impl<T: ?Sized + Send + Sync> Send for Shared<T> {}
// SAFETY: see `Send`. A thread can also clone a pointer that it borrows.
unsafe impl<T: ?Sized + Send + Sync> Sync for Shared<T> {}

impl<T: ?Sized> Shared<T> {
    #[inline]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: the allocation lives as long as a pointer to it. Nobody has exclusive access to it, because `get_mut`
        // borrows this pointer.
        unsafe { self.0.as_ref() }
    }

    /// Returns whether this is the only pointer to the value. Because `self` is borrowed mutably, it stays the only
    /// one. Other threads' accesses through dropped pointers have happened before.
    #[inline]
    fn is_only(&mut self) -> bool {
        self.counted().count.load(Ordering::Acquire) == 1
    }

    /// Returns mutable access to the value, or `None` if other pointers to it exist.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if mutant!(shared_value_given_for_writing, false, !self.is_only()) {
            return None;
        }
        // SAFETY: no other pointer exists, and this one is borrowed exclusively.
        Some(unsafe { &mut self.0.as_mut().value })
    }

    /// Returns the address of the value.
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        &raw const self.counted().value
    }

    /// Returns whether both pointers point to the same value.
    #[inline]
    pub fn ptr_eq(&self, other: &Shared<T>) -> bool {
        std::ptr::addr_eq(self.0.as_ptr(), other.0.as_ptr())
    }

    /// Gives up this pointer, which must not be used afterwards. Returns whether it was the last pointer to the value.
    #[inline]
    fn is_last(&mut self) -> bool {
        if !self.is_only() {
            if self.counted().count.fetch_sub(1, Ordering::Release) != 1 {
                return false;
            }
            // other threads' accesses before they gave up their pointers must happen before the value is dropped
            fence(Ordering::Acquire);
        }
        true
    }
}

impl<T> Shared<T> {
    /// Returns a pointer to the value that `make` returns. The memory is allocated before `make` is called, so that the
    /// compiler can construct a large value in place.
    #[inline(always)]
    pub fn new(make: impl FnOnce() -> T) -> Shared<T> {
        Unique::new(make).share()
    }

    /// Converts the pointer to a pointer to an unsized type. `convert` performs the coercion.
    ///
    /// # Safety
    /// `convert` must return the pointer that it was given.
    #[inline]
    pub unsafe fn coerced<U: ?Sized>(self, convert: fn(*mut Counted<T>) -> *mut Counted<U>) -> Shared<U> {
        let counted = convert(ManuallyDrop::new(self).0.as_ptr());
        // SAFETY: the caller ensures that this is the same pointer, which is not null. It is not dropped twice, because
        // `self` is not dropped.
        Shared(unsafe { NonNull::new_unchecked(counted) }, PhantomData)
    }
}

/// The only pointer to a value. A part of the value that is set through this pointer is written in its final place. A
/// move of what was just written would take long, because it reads more bytes at once than were written at once: the
/// processor waits until the writes have reached the cache.
pub(crate) struct Unique<T>(Shared<T>);

impl<T> Unique<T> {
    /// Returns a pointer to the value that `make` returns. The memory is allocated before `make` is called, so that the
    /// compiler can construct the value in its place.
    #[inline(always)]
    pub fn new(make: impl FnOnce() -> T) -> Unique<T> {
        let counted = allocate(Layout::new::<Counted<T>>()).cast();
        // SAFETY: the memory has the layout of the value, and nobody else has it. If `make` panics, it is never freed.
        unsafe { counted.write(Counted { count: AtomicUsize::new(1), value: make() }) };
        Unique(Shared(counted, PhantomData))
    }

    /// Returns the pointer as one that can be cloned.
    #[inline(always)]
    pub fn share(self) -> Shared<T> {
        self.0
    }
}

impl<T> Deref for Unique<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Unique<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: `new` has made the only pointer, and no method clones it.
        unsafe { &mut self.0.0.as_mut().value }
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // so many pointers exist only if a program leaks them; abort before the count overflows, as `Arc` does
        if self.counted().count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            std::process::abort();
        }
        Shared(self.0, PhantomData)
    }
}

impl<T: ?Sized> Shared<T> {
    /// Gives up this pointer. If it was the last one, calls `prepare` with the value, and then drops the value. If
    /// `prepare` panics, the value is leaked.
    #[inline]
    pub fn give_up(self, prepare: impl FnOnce(&mut T)) {
        let mut own = ManuallyDrop::new(self);
        if own.is_last() {
            // SAFETY: `own` was the last pointer, and is not dropped. Nobody else has the value.
            unsafe {
                prepare(&mut own.0.as_mut().value);
                own.destroy();
            }
        }
    }

    /// Drops the value and frees its memory.
    ///
    /// # Safety
    /// This was the last pointer to the value, and it is not used any more.
    #[inline]
    unsafe fn destroy(&mut self) {
        // SAFETY: the caller ensures that nobody has the value. Its memory is freed after the value was dropped, with
        // the layout that it was allocated with.
        unsafe {
            let layout = Layout::for_value(self.0.as_ref());
            std::ptr::drop_in_place(self.0.as_ptr());
            free(self.0.as_ptr().cast(), layout);
        }
    }
}

impl<T: ?Sized> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_last() {
            // SAFETY: this was the last pointer, and it is being dropped.
            unsafe { self.destroy() };
        }
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(base_shared: the_last_pointer_drops_the_value, threads_share_a_value, blocks_are_reused);

    /// A value that counts in `self.0` how often it is dropped.
    struct Noted<'a, const N: usize>(&'a AtomicUsize, [u64; N]);

    impl<const N: usize> Drop for Noted<'_, N> {
        fn drop(&mut self) {
            assert!(self.1.iter().all(|n| *n == 7));
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn the_last_pointer_drops_the_value() {
        let drops = AtomicUsize::new(0);
        let dropped = || drops.load(Ordering::Relaxed);
        let mut a = Shared::new(|| Noted(&drops, [7; 4]));
        assert!(a.get_mut().is_some());
        let b = a.clone();
        assert!(a.get_mut().is_none() && a.ptr_eq(&b) && a.as_ptr() == b.as_ptr() && (*b).1 == [7; 4]);
        b.give_up(|_| unreachable!());
        assert!(a.get_mut().is_some());
        assert_eq!(dropped(), 0);
        let mut given = vec![];
        a.give_up(|Noted(_, numbers)| given.push((*numbers, dropped())));
        assert_eq!((given, dropped()), (vec![([7; 4], 0)], 1));
        // a value that is larger than a block, behind a pointer to an unsized type
        let large = Shared::new(|| Noted(&drops, [7; 99]));
        // SAFETY: the conversion returns the same pointer.
        let large: Shared<dyn Send + '_> = unsafe { large.coerced(|p| p) };
        let other = large.clone();
        drop(large);
        assert_eq!(dropped(), 1);
        drop(other);
        assert_eq!(dropped(), 2);
    }

    fn threads_share_a_value() {
        let drops = AtomicUsize::new(0);
        let rounds = if cfg!(miri) { 4 } else { 200 };
        for _ in 0..rounds {
            let value = Shared::new(|| Noted(&drops, [7; 4]));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    let own = value.clone();
                    scope.spawn(move || (0..20).for_each(|_| drop(own.clone())));
                }
                drop(value);
            });
        }
        assert_eq!(drops.load(Ordering::Relaxed), rounds);
    }

    fn blocks_are_reused() {
        let address = |a: &Shared<[u64; 4]>| a.as_ptr().addr();
        let a = Shared::new(|| [1; 4]);
        let first = address(&a);
        drop(a);
        let b = Shared::new(|| [2; 4]);
        assert_eq!(address(&b), first);
        // allocate more blocks than a thread keeps, and free them on another thread
        let many: Vec<_> = (0..3 * KEPT as u64).map(|n| Shared::new(|| [n; 4])).collect();
        assert!(many.iter().enumerate().all(|(n, a)| **a == [n as u64; 4] && address(a) != first));
        std::thread::spawn(move || drop(many)).join().unwrap();
        assert_eq!(*b, [2; 4]);
    }
}
