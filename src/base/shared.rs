//! A reference-counted pointer without weak references.
//!
//! The standard library's `Arc` counts weak references too. When the last pointer is dropped, `Arc` executes two atomic
//! read-modify-write instructions, and its `get_mut` executes one. [`Shared`] needs none for either. A small evaluation
//! drops three values whose pointers are not shared, so this saves six such instructions of about 5 ns each.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// A value with the number of its pointers.
#[repr(C)]
pub(crate) struct Counted<T: ?Sized> {
    count: AtomicUsize,
    value: T,
}

impl<T> Counted<T> {
    /// Puts a value and its count into one allocation. The box may be converted to one of an unsized type.
    #[inline]
    pub fn new(value: T) -> Box<Counted<T>> {
        Box::new(Counted { count: AtomicUsize::new(1), value })
    }
}

/// A pointer to a value that other pointers may share. The last pointer frees the value.
pub(crate) struct Shared<T: ?Sized>(NonNull<Counted<T>>, PhantomData<Counted<T>>);

// SAFETY: the pointers of several threads give shared access to the value, and any of them may drop it.
unsafe impl<T: ?Sized + Send + Sync> Send for Shared<T> {}
// SAFETY: see `Send`. A thread can also clone a pointer that it borrows.
unsafe impl<T: ?Sized + Send + Sync> Sync for Shared<T> {}

impl<T: ?Sized> Shared<T> {
    #[inline]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: the allocation lives as long as a pointer to it. Nobody has exclusive access to it, because
        // `value_mut` borrows this pointer.
        unsafe { self.0.as_ref() }
    }

    /// Returns whether this is the only pointer. Then it stays the only one, because another pointer can be made only
    /// from this one. What other threads did with their pointers has happened before.
    #[inline]
    fn is_only(&mut self) -> bool {
        self.counted().count.load(Ordering::Acquire) == 1
    }

    /// Returns the value for writing if this is the only pointer.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if !self.is_only() {
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

    /// Returns whether both pointers have the same value.
    #[inline]
    pub fn ptr_eq(&self, other: &Shared<T>) -> bool {
        std::ptr::addr_eq(self.0.as_ptr(), other.0.as_ptr())
    }

    /// Gives up this pointer. Returns the box of the value if it was the last one.
    #[inline]
    fn last(&mut self) -> Option<Box<Counted<T>>> {
        if !self.is_only() {
            if self.counted().count.fetch_sub(1, Ordering::Release) != 1 {
                return None;
            }
            // what other threads did before they gave up their pointers must happen before the value is dropped
            fence(Ordering::Acquire);
        }
        // SAFETY: the allocation was a box (`From<Box<_>>`), and the caller does not use this pointer, which was the
        // last one, again.
        Some(unsafe { Box::from_raw(self.0.as_ptr()) })
    }
}

impl<T> Shared<T> {
    #[inline]
    pub fn new(value: T) -> Shared<T> {
        Counted::new(value).into()
    }

    /// Returns the value if this was the last pointer.
    pub fn into_inner(self) -> Option<T> {
        std::mem::ManuallyDrop::new(self).last().map(|counted| counted.value)
    }
}

impl<T: ?Sized> From<Box<Counted<T>>> for Shared<T> {
    #[inline]
    fn from(counted: Box<Counted<T>>) -> Shared<T> {
        Shared(NonNull::from(Box::leak(counted)), PhantomData)
    }
}

impl<T: ?Sized> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // more pointers than that can exist only if a program forgets them, and then the count could overflow
        if self.counted().count.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            std::process::abort();
        }
        Shared(self.0, PhantomData)
    }
}

impl<T: ?Sized> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        drop(self.last());
    }
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}
