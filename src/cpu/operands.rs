//! Passes operands, results and scratch memory to the function that implements a routine, as slices, and shares the
//! work of such a function between threads.

use super::bind::Run;
use super::pool;
use super::thread_count::threads;
use crate::base::dtype::Element;
use crate::base::error::Result;
use crate::plan::kernel::{BufferRef, RoutineCall, Whole};

/// The reason why a routine stopped: an element of an operand that the routine rejects, or the position of that
/// element. The routine's table entry (`Routine::refuses`) defines which elements these are.
pub(super) struct Refused(pub i128);

/// An unsigned integer type, through which elements of the same size are accessed as bits.
pub(super) trait BitPattern: Copy + Default + Send + Sync + 'static {}
impl BitPattern for u8 {}
impl BitPattern for u16 {}
impl BitPattern for u32 {}
impl BitPattern for u64 {}

/// The address of memory that several tasks write in parallel, each at its own positions.
pub(super) struct SharedTarget<T>(pub *mut T);

impl<T> Clone for SharedTarget<T> {
    fn clone(&self) -> SharedTarget<T> {
        *self
    }
}

impl<T> Copy for SharedTarget<T> {}

// SAFETY: a `SharedTarget` is only an address. The code that writes through it justifies why no two tasks write to one
// position.
unsafe impl<T: Send> Send for SharedTarget<T> {}
// SAFETY: a reference to a `SharedTarget` gives access only to the address too, so the same reason applies.
unsafe impl<T: Send> Sync for SharedTarget<T> {}

impl<T> SharedTarget<T> {
    /// Returns the address of element `place`. The element need not exist.
    #[inline(always)]
    pub fn at(self, place: usize) -> *mut T {
        self.0.wrapping_add(place)
    }

    /// Returns the memory from row `row` on, for rows of `length` elements.
    pub fn row(self, row: usize, length: usize) -> SharedTarget<T> {
        SharedTarget(self.at(row * length))
    }

    /// # Safety
    /// Element `place` exists, and nothing else uses it meanwhile.
    #[inline(always)]
    pub unsafe fn set(self, place: usize, x: T) {
        // SAFETY: the caller ensures that the element exists, and that nothing else uses it meanwhile.
        unsafe { self.0.add(place).write(x) }
    }

    /// # Safety
    /// Element `place` exists and has been written, and nothing writes it meanwhile.
    #[inline(always)]
    pub unsafe fn get(self, place: usize) -> T {
        // SAFETY: the caller ensures that the element exists and has been written, and that nothing writes it now.
        unsafe { self.0.add(place).read() }
    }
}

/// The memory of an operand, a result or a scratch buffer: its first byte, and its length.
struct Memory {
    ptr: *mut u8,
    bytes: usize,
}

/// The memory that a routine reads and writes. Invariant: each operand, result and scratch buffer is in memory that
/// lives as long as `'a`, and its first byte is aligned for its dtype. Results and scratch share no memory with each
/// other or with operands.
pub(super) struct RoutineMemory<'a> {
    pub call: &'a RoutineCall,
    operands: Vec<Memory>,
    results: Vec<Memory>,
    scratch: Vec<Memory>,
}

impl<'a> RoutineMemory<'a> {
    /// Finds the memory of a call, and checks that it is in the buffers of the run.
    pub fn find(call: &'a RoutineCall, run: &'a Run<'_>) -> Result<RoutineMemory<'a>> {
        let name = call.row.name;
        let find = |buffer: BufferRef, size: usize, count: usize| -> Result<Memory> {
            let span = count.checked_sub(1).map(|last| (0, last as isize));
            Ok(Memory { ptr: run.locate(name, buffer, size, 0, span)?, bytes: size * count })
        };
        let whole = |w: &Whole| find(w.buffer, w.meta.dtype.size(), w.meta.size());
        Ok(RoutineMemory {
            call,
            operands: call.operands.iter().map(whole).collect::<Result<_>>()?,
            results: call.results.iter().map(whole).collect::<Result<_>>()?,
            scratch: call.scratch.iter().map(|(buffer, bytes)| find(*buffer, 1, *bytes)).collect::<Result<_>>()?,
        })
    }

    /// Returns the elements of operand `number`. The slice is empty if they are not of type `T`.
    pub fn operand<T: Element>(&self, number: usize) -> &'a [T] {
        match (self.operands.get(number), self.call.operands.get(number)) {
            (Some(m), Some(w)) if m.bytes > 0 && w.meta.dtype == T::DTYPE => {
                // SAFETY: the memory is aligned and in a buffer that lives as long as the slice (the invariant of
                // `RoutineMemory`). An earlier step, or an upload, has written all elements as `T`.
                unsafe { std::slice::from_raw_parts(m.ptr.cast(), m.bytes / size_of::<T>()) }
            }
            _ => &[],
        }
    }

    /// Returns the bits of the elements of operand `number`. The slice is empty if the elements do not have the size of
    /// `W`.
    pub fn words<W: BitPattern>(&self, number: usize) -> &'a [W] {
        match (self.operands.get(number), self.call.operands.get(number)) {
            (Some(m), Some(w)) if m.bytes > 0 && w.meta.dtype.size() == size_of::<W>() => {
                // SAFETY: the memory is aligned and in a buffer that lives as long as the slice (the invariant of
                // `RoutineMemory`). An earlier step, or an upload, has written all elements. Any bits are a value of
                // `W`, which has the same alignment as elements of its size.
                unsafe { std::slice::from_raw_parts(m.ptr.cast(), m.bytes / size_of::<W>()) }
            }
            _ => &[],
        }
    }

    /// Returns the addresses of the first result, whose elements have the size of `T`, and of the first scratch buffer.
    /// The second address is null if there is no scratch. The memory at both is uninitialised. Returns `None` if the
    /// result has no elements or elements of another size.
    pub fn target<T: BitPattern, S>(&mut self) -> Option<(*mut T, *mut S)> {
        let of_size = self.call.results.first().is_some_and(|w| w.meta.dtype.size() == size_of::<T>());
        let result = self.results.first().filter(|m| m.bytes > 0 && of_size)?;
        let scratch = self.scratch.first().map_or(std::ptr::null_mut(), |m| m.ptr);
        Some((result.ptr.cast(), scratch.cast()))
    }

    /// Returns the addresses of the first elements of two results, and of the first scratch buffer. The last address is
    /// null if there is no scratch. The memory at all of them is uninitialised. Returns `None` if the results have no
    /// elements or are not of type `T`.
    pub fn two_targets<T: Element>(&mut self) -> Option<([*mut T; 2], *mut T)> {
        let is_of_type = self.call.results.iter().all(|w| w.meta.dtype == T::DTYPE);
        let [first, second] = &self.results[..] else { return None };
        let scratch = self.scratch.first().map_or(std::ptr::null_mut(), |m| m.ptr);
        (is_of_type && first.bytes > 0).then(|| ([first.ptr.cast(), second.ptr.cast()], scratch.cast()))
    }

    /// Returns the address of the first element of a result, which is uninitialised. Returns `None` if the result has
    /// no elements or is not of type `T`.
    pub fn result<T: Element>(&self, number: usize) -> Option<*mut T> {
        let is_of_type = self.call.results.get(number).is_some_and(|w| w.meta.dtype == T::DTYPE);
        self.results.get(number).filter(|m| m.bytes > 0 && is_of_type).map(|m| m.ptr.cast())
    }

    /// Calls `f` with the first scratch memory, filled with zeros, or with an empty slice if there is none.
    pub fn with_scratch<R>(&mut self, f: impl FnOnce(&mut [f64]) -> R) -> R {
        match self.scratch.first().filter(|m| m.bytes > 0) {
            // SAFETY: the scratch shares no memory with results or operands (the invariant of `RoutineMemory`, which is
            // borrowed mutably while `f` runs). Temporaries begin at multiples of 16 bytes. Zeros are valid numbers.
            Some(m) => f(unsafe {
                m.ptr.write_bytes(0, m.bytes);
                std::slice::from_raw_parts_mut(m.ptr.cast(), m.bytes / size_of::<f64>())
            }),
            None => f(&mut []),
        }
    }

    /// Calls `f` with the elements of result `result`, initialised to 0, and with the elements of scratch buffer
    /// `scratch`. The scratch is not initialised here, so the routine's table entry must request scratch that the plan
    /// clears (`Temp::zeroed`). A slice is empty if it does not exist, or if the result has another type.
    pub fn with_result<T: Element, S: Element, R>(
        &mut self,
        result: usize,
        scratch: usize,
        f: impl FnOnce(&mut [T], &mut [S]) -> R,
    ) -> R {
        let (mut no_result, mut no_scratch): ([T; 0], [S; 0]) = ([], []);
        let is_of_type = self.call.results.get(result).is_some_and(|w| w.meta.dtype == T::DTYPE);
        let result: &mut [T] = match self.results.get(result).filter(|m| m.bytes > 0 && is_of_type) {
            // SAFETY: the memory is aligned and shared with no other operand (the invariant of `RoutineMemory`, which
            // is borrowed mutably while `f` runs). The zeros that are written first are a valid value of every element
            // type.
            Some(m) => unsafe {
                m.ptr.write_bytes(0, m.bytes);
                std::slice::from_raw_parts_mut(m.ptr.cast(), m.bytes / size_of::<T>())
            },
            None => &mut no_result,
        };
        let scratch: &mut [S] = match self.scratch.get(scratch).filter(|m| m.bytes > 0) {
            // SAFETY: the scratch shares no memory with results or operands (the invariant of `RoutineMemory`).
            // Temporaries begin at multiples of 16 bytes (`layout` in `memory/system.rs`), and the plan has cleared
            // this one, because the table entry requests that.
            Some(m) => unsafe { std::slice::from_raw_parts_mut(m.ptr.cast(), m.bytes / size_of::<S>()) },
            None => &mut no_scratch,
        };
        f(result, scratch)
    }
}

/// If a routine reads at most this number of bytes, one thread does all the work. Reading them takes about 10 µs, about
/// as long as waking another thread.
const ALONE: usize = 128 << 10;

/// Cuts `elements` into chunks of `length` elements, and calls `f` with the index and the elements of each chunk. If
/// all calls together read more than `ALONE` bytes (`bytes` is the number), the threads of the caller's pool share the
/// calls. Returns the result of the first chunk for which `f` returns one. Later chunks may then be skipped.
pub(super) fn each_chunk<T: Send, R: Send>(
    elements: &mut [T],
    length: usize,
    bytes: usize,
    f: impl Fn(usize, &mut [T]) -> Option<R> + Sync,
) -> Option<R> {
    if elements.len() <= length || bytes <= ALONE || threads() == 1 {
        return elements.chunks_mut(length).enumerate().find_map(|(i, chunk)| f(i, chunk));
    }
    pool::first_of_chunks(elements, length, f)
}
