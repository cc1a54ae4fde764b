//! Stores that do not write an element for each index of a tile: under a condition, or at a computed position, where
//! what is written may be combined with what is there.
//!
//! Tasks may combine into one element, so they do it atomically. Additions, minima and maxima of integers do not depend on
//! their order: the result is the same for any number of threads.

use super::strided::Block;
use crate::dtype::DType;
use crate::kernel::Combine;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// A row of elements to write, in their storage type, with the condition and index that say which and where.
///
/// *Present*: the pointers lead to as many elements as the functions are asked to write. *In range*: an index below
/// `extent` means an element of live memory, counted from where an element's own place is.
pub(super) struct Row {
    pub from: *const u8,
    /// One byte each; not 0 is true.
    pub condition: Option<*const u8>,
    /// One i32 each.
    pub index: Option<*const i32>,
    pub stride: isize,
    pub extent: usize,
}

impl Row {
    /// Calls `write` with each element that is written: its number, and where it goes in elements from `to`, whose
    /// columns are `step` apart.
    ///
    /// # Safety
    /// *Present* ([`Row`]) for `n` elements.
    #[inline(always)]
    unsafe fn each(&self, step: isize, n: usize, mut write: impl FnMut(usize, isize)) {
        for i in 0..n {
            // SAFETY: *present*.
            unsafe {
                if let Some(condition) = self.condition
                    && mutant!(condition_ignored, false, *condition.add(i) == 0)
                {
                    continue;
                }
                let mut at = i as isize * step;
                if let Some(index) = self.index {
                    let position = *index.add(i);
                    // what is below 0 becomes a large number
                    if position as u32 as usize >= self.extent {
                        continue;
                    }
                    at += position as isize * self.stride;
                }
                write(i, at);
            }
        }
    }

    /// Replaces elements of `size` bytes.
    ///
    /// # Safety
    /// *Present* and *in range* ([`Row`]) for `n` elements; nobody else writes or reads what is written.
    pub unsafe fn set(&self, size: usize, to: Block, n: usize) {
        // SAFETY: *present* and *in range* are what each asks for, of words of this size.
        unsafe {
            match size {
                1 => self.set_words::<u8>(to, n),
                2 => self.set_words::<u16>(to, n),
                4 => self.set_words::<u32>(to, n),
                _ => self.set_words::<u64>(to, n),
            }
        }
    }

    /// # Safety
    /// As [`Row::set`], for words of `T`.
    unsafe fn set_words<T: Copy>(&self, to: Block, n: usize) {
        // SAFETY: *present* and *in range*: `each` gives only numbers below `n` and places in range.
        unsafe {
            let (from, ptr) = (self.from as *const T, to.ptr as *mut T);
            self.each(to.cols, n, |i, at| *ptr.offset(at) = *from.add(i));
        }
    }

    /// Combines elements of an integer type with those that are there.
    ///
    /// # Safety
    /// *Present* and *in range* ([`Row`]) for `n` elements; whoever else writes or reads what is written does it atomically.
    pub unsafe fn combine(&self, dtype: DType, combine: Combine, to: Block, n: usize) {
        macro_rules! fetch {
            ($t:ty, $atomic:ty, $fetch:ident) => {{
                let (from, ptr) = (self.from as *const $t, to.ptr as *mut $t);
                // SAFETY: *present* and *in range*: `each` gives only numbers below `n` and places in range, which are
                // aligned as elements are.
                unsafe {
                    self.each(to.cols, n, |i, at| {
                        <$atomic>::from_ptr(ptr.offset(at)).$fetch(*from.add(i), Relaxed);
                    })
                }
            }};
        }
        macro_rules! by_combine {
            ($t:ty, $atomic:ty) => {
                match combine {
                    Combine::Set => {}
                    Combine::Add => fetch!($t, $atomic, fetch_add),
                    Combine::Min => fetch!($t, $atomic, fetch_min),
                    Combine::Max => fetch!($t, $atomic, fetch_max),
                }
            };
        }
        match dtype {
            DType::U8 => by_combine!(u8, AtomicU8),
            DType::I8 => by_combine!(i8, AtomicI8),
            DType::U16 => by_combine!(u16, AtomicU16),
            DType::I16 => by_combine!(i16, AtomicI16),
            DType::U32 => by_combine!(u32, AtomicU32),
            DType::I32 => by_combine!(i32, AtomicI32),
            DType::U64 => by_combine!(u64, AtomicU64),
            DType::I64 => by_combine!(i64, AtomicI64),
            // `validate` refuses them
            DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {}
        }
    }
}
