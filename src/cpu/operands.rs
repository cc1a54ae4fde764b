//! What the function of a routine is given: its operands, results and scratch as slices, and how it shares work.

use super::bind::Run;
use super::threads::threads;
use crate::dtype::Element;
use crate::error::Result;
use crate::kernel::{BufferRef, RoutineCall, Whole};
use rayon::prelude::*;

/// Why a routine ended early: an element of an operand that its row refuses.
pub(super) struct Refused(pub i128);

/// Memory of an operand, a result or scratch.
struct Memory {
    ptr: *mut u8,
    bytes: usize,
}

/// What a routine reads and writes. Invariant: each memory lies in a buffer that lives as long as `'a` and begins where
/// an element of its dtype may begin; results and scratch share no memory with each other or with operands.
pub(super) struct Operands<'a> {
    pub call: &'a RoutineCall,
    operands: Vec<Memory>,
    results: Vec<Memory>,
    scratch: Vec<Memory>,
}

impl<'a> Operands<'a> {
    /// The memory of a call, checked.
    pub fn find(call: &'a RoutineCall, run: &'a Run<'_>) -> Result<Operands<'a>> {
        let name = call.row.name;
        let find = |buffer: BufferRef, size: usize, count: usize| -> Result<Memory> {
            let span = count.checked_sub(1).map(|last| (0, last as isize));
            Ok(Memory { ptr: run.locate(name, buffer, size, 0, span)?, bytes: size * count })
        };
        let whole = |w: &Whole| find(w.buffer, w.meta.dtype.size(), w.meta.size());
        Ok(Operands {
            call,
            operands: call.operands.iter().map(whole).collect::<Result<_>>()?,
            results: call.results.iter().map(whole).collect::<Result<_>>()?,
            scratch: call.scratch.iter().map(|(buffer, bytes)| find(*buffer, 1, *bytes)).collect::<Result<_>>()?,
        })
    }

    /// The elements of an operand; none if they are of another type.
    pub fn operand<T: Element>(&self, number: usize) -> &'a [T] {
        match (self.operands.get(number), self.call.operands.get(number)) {
            (Some(m), Some(w)) if m.bytes > 0 && w.meta.dtype == T::DTYPE => {
                // SAFETY: by the invariant of `Operands`; an operand was written before it is read, as `T`.
                unsafe { std::slice::from_raw_parts(m.ptr.cast(), m.bytes / size_of::<T>()) }
            }
            _ => &[],
        }
    }

    /// Calls `f` with the elements of a result, which are zeros at first, and of a scratch memory that the plan has
    /// cleared; with none where there is no such memory.
    pub fn with_result<T: Element, S: Element, R>(
        &mut self,
        result: usize,
        scratch: usize,
        f: impl FnOnce(&mut [T], &mut [S]) -> R,
    ) -> R {
        let (mut no_result, mut no_scratch): ([T; 0], [S; 0]) = ([], []);
        let is_of_type = self.call.results.get(result).is_some_and(|w| w.meta.dtype == T::DTYPE);
        let result: &mut [T] = match self.results.get(result).filter(|m| m.bytes > 0 && is_of_type) {
            // SAFETY: by the invariant of `Operands`, which is borrowed whole while `f` runs; the bytes are written first,
            // and zeros are a value of every element type.
            Some(m) => unsafe {
                m.ptr.write_bytes(0, m.bytes);
                std::slice::from_raw_parts_mut(m.ptr.cast(), m.bytes / size_of::<T>())
            },
            None => &mut no_result,
        };
        let scratch: &mut [S] = match self.scratch.get(scratch).filter(|m| m.bytes > 0) {
            // SAFETY: as above; temporaries begin at multiples of 16 bytes, and the plan has cleared this one.
            Some(m) => unsafe { std::slice::from_raw_parts_mut(m.ptr.cast(), m.bytes / size_of::<S>()) },
            None => &mut no_scratch,
        };
        f(result, scratch)
    }
}

/// Bytes of a routine's work up to which one thread does it: they take some 10 µs, about what it costs to wake another.
const ALONE: usize = 128 << 10;

/// Calls `f` for each chunk of `length` elements, with its number; in the caller's pool where the work is worth it.
/// Gives what `f` gives for the first chunk for which that is something.
pub(super) fn each_chunk<T: Send, R: Send>(
    elements: &mut [T],
    length: usize,
    bytes: usize,
    f: impl Fn(usize, &mut [T]) -> Option<R> + Sync,
) -> Option<R> {
    if elements.len() <= length || bytes <= ALONE || threads() == 1 {
        return elements.chunks_mut(length).enumerate().find_map(|(i, chunk)| f(i, chunk));
    }
    elements.par_chunks_mut(length).with_max_len(1).enumerate().find_map_first(|(i, chunk)| f(i, chunk))
}
