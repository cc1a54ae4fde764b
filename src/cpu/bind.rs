//! Binds programs, products and routines to the buffers, scalars and source lines of one run of a plan. Every pointer
//! to a buffer comes from [`Run::locate`] or [`Run::find`], which check that the accessed elements are in the buffer.

use super::memory::MemoryPool;
use super::parts::internal;
use super::program::Program;
use crate::base::buffer::Buffer;
use crate::base::error::{Error, Result};
use crate::plan::backend::{Bindings, index_out_of_range};
use crate::plan::kernel::{BufferRef, ExecutionPlan, Position};
use smallvec::SmallVec;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One run of a plan, with the arrays and scalars that the caller passed, the temporary buffers, and the device's
/// memory pool.
pub(super) struct Run<'a> {
    pub plan: &'a ExecutionPlan,
    pub bindings: &'a Bindings<'a>,
    pub temps: &'a [Buffer],
    pub pool: &'a MemoryPool,
    /// Whether this run is a rehearsal, in which steps only allocate their scratch memory. If an allocation fails in
    /// the rehearsal, no array has been overwritten yet.
    pub rehearses: bool,
}

/// The memory of a buffer, and where an array begins in it.
#[derive(Clone, Copy)]
struct Memory {
    ptr: *mut u8,
    bytes: usize,
    /// The position in the buffer, in elements, of the array's element whose index is 0 along every axis.
    offset: usize,
}

impl Run<'_> {
    /// Returns the memory of a buffer that the plan refers to, or `None` if the run has no such buffer or the buffer is
    /// not on a CPU.
    #[inline(always)]
    fn memory(&self, buffer: BufferRef) -> Option<Memory> {
        let (found, offset) = match buffer {
            BufferRef::Input(i) => self.bindings.inputs.get(i).copied(),
            BufferRef::Temp(i) => self.temps.get(i).map(|buffer| (buffer, 0)),
            BufferRef::Output(i) => self.bindings.outputs.get(i).copied(),
        }?;
        found.host().map(|(ptr, bytes)| Memory { ptr, bytes, offset })
    }

    /// Returns an error if the run has fewer scalars than a program reads.
    #[inline]
    pub fn has_scalars(&self, name: &'static str, needs: usize) -> Result<()> {
        let has = self.bindings.scalars.len();
        if has >= needs {
            return Ok(());
        }
        Err(internal(name, format!("the program needs {needs} scalars; the run binds {has}")))
    }

    /// Returns the values of the two scalars with these numbers: 0, and the length of an axis. The length is added to
    /// an index that is less than 0, which counts from the end of the axis (see `Position::from_end`).
    pub fn numbers(&self, from_end: Option<[usize; 2]>) -> Option<[u64; 2]> {
        // A missing scalar gets a value that is not the length of any axis, so that no fast path is taken and each
        // index is checked.
        from_end.map(|slots| slots.map(|n| self.bindings.scalars.get(n).copied().unwrap_or(u64::MAX)))
    }

    /// Returns the address of element `first` of a buffer, counted from element 0 of the array. Returns an error unless
    /// all elements from `span.0` to `span.1`, counted from `first`, are in the buffer. If `span` is `None`, no element
    /// will be accessed, and the address is the start of the buffer.
    #[inline]
    pub fn locate(
        &self,
        name: &'static str,
        buffer: BufferRef,
        size: usize,
        first: isize,
        span: Option<(isize, isize)>,
    ) -> Result<*mut u8> {
        self.find(buffer, size, first, span).ok_or_else(|| self.missing(name, buffer, size, first, span))
    }

    /// Returns the same address as [`Run::locate`], or `None` if elements are outside the buffer.
    #[inline(always)]
    pub fn find(&self, buffer: BufferRef, size: usize, first: isize, span: Option<(isize, isize)>) -> Option<*mut u8> {
        let memory = self.memory(buffer)?;
        let Some((low, high)) = span else { return Some(memory.ptr) };
        let start = first.checked_add_unsigned(memory.offset)?;
        let end = (start.checked_add(high)? as usize).checked_add(1)?.checked_mul(size)?;
        let is_inside = start.checked_add(low)? >= 0 && end <= memory.bytes;
        is_inside.then(|| memory.ptr.wrapping_offset(start * size as isize))
    }

    /// Returns the error for a step that would access elements outside a buffer.
    #[cold]
    pub fn missing(
        &self,
        name: &'static str,
        buffer: BufferRef,
        size: usize,
        first: isize,
        span: Option<(isize, isize)>,
    ) -> Error {
        let Some(memory) = self.memory(buffer) else {
            return internal(name, format!("the run binds no CPU buffer as {buffer}"));
        };
        let start = first.saturating_add_unsigned(memory.offset);
        let (low, high) = span.map_or((0, 0), |(low, high)| (start.saturating_add(low), start.saturating_add(high)));
        internal(
            name,
            format!("elements {low}..={high} of {size} bytes lie outside of {buffer} ({} bytes)", memory.bytes),
        )
    }
}

/// An out-of-bounds index in a gather or scatter.
#[derive(Clone, Copy)]
struct BadIndex {
    /// The row and column of the element at which the bad index was found. Only the bad index with the smallest row and
    /// column is reported, so that the error does not depend on the number of threads.
    at: (usize, usize),
    index: i128,
    /// The index in `Program::positions` of the position that the gather or scatter computes from the bad index.
    position: usize,
}

/// A program bound to the memory of a run. Invariant: `at[i]` is the address of element 0 of the operand
/// `program.places[i]` (null for an affine index, which has no memory). Every element that the operand accesses is in a
/// buffer that lives as long as `run`.
pub(super) struct BoundProgram<'a> {
    pub program: &'a Program,
    pub run: &'a Run<'a>,
    at: SmallVec<[*mut u8; 6]>,
    /// The out-of-bounds index found so far that has the smallest row and column.
    bad: Mutex<Option<BadIndex>>,
    /// Whether `bad` contains an index. Most runs have none, and this flag saves them locking the mutex.
    is_bad: AtomicBool,
}

// SAFETY: nothing changes the pointers. The buffers live as long as the run, and tasks access disjoint tiles of them
// (*alive* and *disjoint*, see [`Program`]).
unsafe impl Sync for BoundProgram<'_> {}

impl<'a> BoundProgram<'a> {
    pub fn new(program: &'a Program, run: &'a Run<'a>) -> Result<BoundProgram<'a>> {
        run.has_scalars(program.name, program.scalars)?;
        let mut at = SmallVec::with_capacity(program.places.len());
        for place in &program.places {
            at.push(match place.memory {
                Some((buffer, first)) => run.locate(program.name, buffer, place.size, first, place.span)?,
                None => std::ptr::null_mut(),
            });
        }
        Ok(BoundProgram { program, run, at, bad: Mutex::new(None), is_bad: AtomicBool::new(false) })
    }

    /// Returns the address of element 0 of the operand with this index in `Program::places`. The operand's strides
    /// count from this element.
    #[inline]
    pub fn at(&self, place: usize) -> *mut u8 {
        self.at[place]
    }

    /// Records an out-of-bounds `index` that was found at row and column `at`, for entry `position` of
    /// `Program::positions`. Only the bad index with the smallest row and column is kept. If two have the same row and
    /// column, the index whose operation comes first in the expression is kept.
    #[cold]
    pub fn report(&self, position: usize, index: i128, at: (usize, usize)) {
        let node = |position: usize| self.program.positions[position].node;
        let mut bad = self.bad.lock().unwrap_or_else(|e| e.into_inner());
        if bad.is_none_or(|b| (at, node(position)) < (b.at, node(b.position))) {
            *bad = Some(BadIndex { at, index, position });
            self.is_bad.store(true, Relaxed);
        }
    }

    /// Returns an error if an out-of-bounds index was recorded. Must be called after all tasks have ended.
    pub fn verdict(&self) -> Result<()> {
        // a relaxed load is enough, because waiting for the tasks has made all their stores visible to this thread
        if !self.is_bad.load(Relaxed) {
            return Ok(());
        }
        match *self.bad.lock().unwrap_or_else(|e| e.into_inner()) {
            None => Ok(()),
            Some(BadIndex { index, position, .. }) => {
                let Position { extent, name, mode, node, .. } = self.program.positions[position];
                Err(index_out_of_range(name, mode, index, extent, self.run.bindings.line(node)))
            }
        }
    }
}
