//! A program bound to the buffers, numbers and lines of one run. This is the only place of the backend where a pointer into
//! a buffer is born, and each is checked here.

use super::memory::{CpuMemory, Pool};
use super::program::{Program, internal};
use crate::backend::{Bindings, index_out_of_range};
use crate::buffer::{Buffer, Memory as _};
use crate::error::Result;
use crate::kernel::BufferRef;
use smallvec::SmallVec;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The buffers of a run.
pub(super) struct Run<'a> {
    pub bindings: Bindings<'a>,
    pub temps: SmallVec<[Buffer; 2]>,
    pub pool: &'a Pool,
    /// Whether kernels only ask for their scratch and write nothing, so that missing memory is found before a write in place.
    pub rehearses: bool,
}

/// The memory of a buffer of this device: first byte, length, and the offset that the run binds to it.
#[derive(Clone, Copy)]
struct Memory {
    ptr: *mut u8,
    bytes: usize,
    /// In elements.
    offset: usize,
}

impl Run<'_> {
    fn memory(&self, name: &'static str, buffer: BufferRef) -> Result<Memory> {
        let (found, offset) = match buffer {
            BufferRef::Input(i) => (self.bindings.inputs.get(i).map(|e| e.0), self.bindings.inputs.get(i).map(|e| e.1)),
            BufferRef::Temp(i) => (self.temps.get(i), None),
            BufferRef::Output(i) => {
                (self.bindings.outputs.get(i).map(|e| &e.0), self.bindings.outputs.get(i).map(|e| e.1))
            }
        };
        match found.and_then(|b| b.memory::<CpuMemory>()) {
            Some(m) => Ok(Memory { ptr: m.ptr(), bytes: m.bytes(), offset: offset.unwrap_or(0) }),
            None => Err(internal(name, format!("{buffer} is not a buffer of this device"))),
        }
    }

    /// The address of element `first` of a buffer, after a look that the elements from `span.0` to `span.1` counted from
    /// there lie in it. `None` asks for no element: any address of the buffer will do.
    pub fn locate(
        &self,
        name: &'static str,
        buffer: BufferRef,
        size: usize,
        first: isize,
        span: Option<(isize, isize)>,
    ) -> Result<*mut u8> {
        let memory = self.memory(name, buffer)?;
        let Some((low, high)) = span else { return Ok(memory.ptr) };
        let start = first.saturating_add_unsigned(memory.offset);
        let (low, high) = (start.saturating_add(low), start.saturating_add(high));
        if low < 0 || (high as usize).saturating_add(1).saturating_mul(size) > memory.bytes {
            let detail =
                format!("elements {low}..={high} of {size} bytes asked of {buffer}, which has {}", memory.bytes);
            return Err(internal(name, detail));
        }
        Ok(memory.ptr.wrapping_offset(start * size as isize))
    }
}

/// An index out of range that a gather has met, with what its error message needs.
#[derive(Clone, Copy)]
pub(super) struct BadIndex {
    /// The index of the kernel's space at which it was found: of several errors the first is reported, for any threads.
    pub position: usize,
    pub index: i128,
    pub extent: usize,
    /// The operation and the node whose index it is.
    pub name: &'static str,
    pub node: usize,
}

/// A program with what it runs on. Invariant: `at[i]` is the address of element 0 of `program.places[i]`, and every element
/// of its span lies in a buffer that lives as long as `run`.
pub(super) struct Bound<'a> {
    pub program: &'a Program,
    pub run: &'a Run<'a>,
    at: SmallVec<[*mut u8; 6]>,
    /// The first index out of range.
    bad: Mutex<Option<BadIndex>>,
    /// Whether there is one: most runs need not take the lock to know.
    is_bad: AtomicBool,
}

// SAFETY: the pointers are into buffers that live for the run; tasks write disjoint tiles.
unsafe impl Sync for Bound<'_> {}

impl<'a> Bound<'a> {
    pub fn new(program: &'a Program, run: &'a Run<'a>) -> Result<Bound<'a>> {
        if run.bindings.scalars.len() < program.scalars {
            return Err(internal(program.name, format!("fewer than {} scalars", program.scalars)));
        }
        let mut at = SmallVec::with_capacity(program.places.len());
        for place in &program.places {
            at.push(match place.memory {
                Some((buffer, first)) => run.locate(program.name, buffer, place.size, first, place.span)?,
                None => std::ptr::null_mut(),
            });
        }
        Ok(Bound { program, run, at, bad: Mutex::new(None), is_bad: AtomicBool::new(false) })
    }

    /// The address of element 0 of one of the program's operands, from which its strides count.
    #[inline]
    pub fn at(&self, place: usize) -> *mut u8 {
        self.at[place]
    }

    /// Notes an index out of range; of several, the first by position.
    #[cold]
    pub fn report(&self, found: BadIndex) {
        let mut bad = self.bad.lock().unwrap_or_else(|e| e.into_inner());
        if bad.is_none_or(|b| (found.position, found.node) < (b.position, b.node)) {
            *bad = Some(found);
            self.is_bad.store(true, Relaxed);
        }
    }

    /// The error of the first index that was out of range, once all tasks are done.
    pub fn verdict(&self) -> Result<()> {
        // all tasks have ended, so what they stored is seen
        if !self.is_bad.load(Relaxed) {
            return Ok(());
        }
        match *self.bad.lock().unwrap_or_else(|e| e.into_inner()) {
            None => Ok(()),
            Some(BadIndex { index, extent, name, node, .. }) => {
                Err(index_out_of_range(name, index, extent, self.run.bindings.line(node)))
            }
        }
    }
}
