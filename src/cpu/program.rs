//! From a kernel to a program of loops: which value lives where, in what order things run. Nothing here depends on
//! the data; a program is made for each run, so making one must be cheap.

use super::fold::FoldSpec;
use super::memory::{CpuMemory, Pool};
use super::strided::Axis;
use crate::backend::{Bindings, Faults};
use crate::buffer::Buffer;
use crate::dtype::{Compute, DType};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{BufferRef, IndexMode, Kernel};
use crate::simd::Loop;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// The buffers of a run.
pub(super) struct Bound<'a> {
    pub bindings: Bindings<'a>,
    pub temps: SmallVec<[Buffer; 2]>,
    pub pool: &'a Arc<Pool>,
    /// Whether kernels only ask for their scratch, and write nothing.
    pub rehearses: bool,
}

/// A buffer as memory.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub ptr: *mut u8,
    pub bytes: usize,
    /// In elements.
    pub offset: usize,
}

impl Memory {
    pub fn overlaps(&self, other: &Memory) -> bool {
        let (a, b) = (self.ptr as usize, other.ptr as usize);
        a < b + other.bytes && b < a + self.bytes
    }
}

pub(super) fn internal(kernel: &Kernel, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, kernel.name, detail, None)
}

/// The address of element `offset`, after a look that everything the strides reach lies in the memory.
pub(super) fn locate(
    kernel: &Kernel,
    memory: Memory,
    dtype: DType,
    dims: &[usize],
    strides: &[isize],
    offset: isize,
) -> Result<*mut u8> {
    let start = offset + memory.offset as isize;
    if dims.contains(&0) {
        return Ok(memory.ptr);
    }
    let (mut low, mut high) = (start, start);
    for (n, s) in dims.iter().zip(strides) {
        let span = (*n as isize - 1).saturating_mul(*s);
        low = low.saturating_add(span.min(0));
        high = high.saturating_add(span.max(0));
    }
    if low < 0 || (high as usize + 1).saturating_mul(dtype.size()) > memory.bytes {
        let detail = format!("elements {low}..={high} of {dtype} asked of a buffer of {} bytes", memory.bytes);
        return Err(internal(kernel, detail));
    }
    Ok(memory.ptr.wrapping_offset(start * dtype.size() as isize))
}

impl Bound<'_> {
    /// One more buffer for this run.
    pub fn temp(&mut self, bytes: usize) -> Result<BufferRef> {
        self.temps.push(Buffer::new(self.pool.allocate(bytes)?));
        Ok(BufferRef::Temp(self.temps.len() - 1))
    }

    pub fn memory(&self, kernel: &Kernel, buffer: BufferRef) -> Result<Memory> {
        let (found, offset) = match buffer {
            BufferRef::Input(i) => {
                let entry = self.bindings.inputs.get(i);
                (entry.map(|e| &e.0), entry.map_or(0, |e| e.1))
            }
            BufferRef::Temp(i) => (self.temps.get(i), 0),
            BufferRef::Output(i) => (self.bindings.outputs.get(i), 0),
        };
        match found.and_then(|b| b.memory::<CpuMemory>()) {
            Some(m) => Ok(Memory { ptr: m.ptr(), bytes: crate::buffer::Memory::bytes(m), offset }),
            None => Err(internal(kernel, format!("{buffer} is not a buffer of this device"))),
        }
    }
}

/// How a kernel's index space becomes rows and columns of tiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// No inner space: the last outer axis is the columns.
    Flat,
    /// A tile is a piece of one reduced row: columns along `inner`.
    Rows,
    /// A tile is some reduced elements of many rows: columns along `outer`.
    Cols,
}

/// The largest tile of a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub rows: usize,
    pub cols: usize,
    /// Whether every tile of several rows has exactly `cols` columns.
    pub fixed: bool,
}

impl Level {
    pub fn size(&self) -> usize {
        self.rows * self.cols
    }
}

/// What a program is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The kernel's stores.
    Stores,
    /// Finding an index out of range before anything is written.
    Checks,
}

/// A load or a store (or an affine index, without memory) over the axes of its level.
pub(super) struct Place<'a> {
    pub ptr: *mut u8,
    pub size: usize,
    /// Widens, or narrows.
    pub convert: Option<Loop>,
    pub rows: Axis<'a>,
    pub cols: Axis<'a>,
}

impl Place<'_> {
    /// Whether a tile of this shape is one run of memory.
    pub fn dense(&self, nr: usize, nc: usize) -> bool {
        (nc == 1 || self.cols.step == Some(1)) && (nr == 1 || self.rows.step == Some(nc as isize))
    }

    /// Whether every tile of a level is.
    pub fn always_dense(&self, level: Level) -> bool {
        self.cols.step == Some(1) && (level.rows == 1 || (level.fixed && self.rows.step == Some(level.cols as isize)))
    }
}

/// Where a step's result goes.
#[derive(Clone, Copy)]
pub(super) enum Dst {
    /// Scratch at this byte of the arena.
    Slot(usize),
    /// A row kept for a later pass: the tile's part of it.
    Keep(usize),
    /// Straight into the memory of a store.
    Out(usize),
}

pub(super) enum Run {
    Load(usize),
    Call(Loop),
    Index {
        place: usize,
        base: i64,
    },
    Gather {
        place: usize,
        stride: isize,
        extent: usize,
        mode: IndexMode,
        /// Where its line is found.
        node: usize,
        /// Whether the elements are wanted, and not only a verdict on the indices.
        reads: bool,
    },
    Philox {
        word: u8,
        key: [u32; 3],
    },
    /// A value that an earlier pass has kept.
    Recall,
}

/// One loop over a tile. `id`s index the frame's pointers: value `v` at its own level is `v`; as seen from the inner
/// level, an outer value `v` is `values.len() + v`.
pub(super) struct Step {
    pub run: Run,
    pub dst: Dst,
    pub id: usize,
    pub args: [usize; 3],
    /// Of the result, and of the first operand.
    pub compute: Compute,
    pub operand: Compute,
}

/// A register that holds the same value in every element, all the time.
pub(super) struct Fill {
    pub id: usize,
    pub slot: usize,
    pub count: usize,
    pub size: usize,
    /// Bits, or a place to read.
    pub value: Result<u64, usize>,
}

/// An outer value seen from the inner level.
pub(super) struct Spread {
    pub from: usize,
    pub to: usize,
    pub slot: usize,
    pub size: usize,
}

/// A reduction at work in a pass.
pub(super) struct Feed {
    pub arg: usize,
    /// The outer value that it gives, and its register.
    pub id: usize,
    pub slot: usize,
    pub spec: FoldSpec,
}

/// One walk along the inner space.
#[derive(Default)]
pub(super) struct Pass {
    pub spreads: SmallVec<[Spread; 2]>,
    pub steps: Range<usize>,
    pub feeds: SmallVec<[Feed; 1]>,
}

pub(super) struct Write {
    pub place: usize,
    pub id: usize,
    pub inner: bool,
    /// The value's step writes the memory itself.
    pub direct: bool,
    /// The result is too large to be found in a cache later: it goes past them.
    pub stream: bool,
}

/// An index out of range.
#[derive(Clone, Copy)]
pub(super) struct BadIndex {
    /// Where in the kernel's space.
    pub position: usize,
    pub index: i128,
    pub extent: usize,
    /// The gather's node.
    pub node: usize,
}

/// A kernel as loops over tiles.
///
/// What unsafe code that runs it relies on, by name. *Alive*: the buffers behind `places` live as long as the run.
/// *Inside*: every element that a place reaches over its level's space lies in its buffer; `locate` has looked.
/// *Room*: the arena has a slot for each register, of as many elements as a tile of its level may have, and operands
/// come before their users. *Disjoint*: tasks run disjoint tiles, so that no task writes what another reads or writes.
pub(super) struct Program<'a> {
    pub kernel: &'a Kernel,
    pub order: Order,
    pub goal: Goal,
    pub outer: Level,
    pub inner: Level,
    pub places: SmallVec<[Place<'a>; 4]>,
    pub steps: SmallVec<[Step; 6]>,
    pub fills: SmallVec<[Fill; 2]>,
    /// Outer steps before pass 0, before pass 1, …, after the last.
    pub stages: SmallVec<[Range<usize>; 2]>,
    pub passes: SmallVec<[Pass; 1]>,
    pub writes: SmallVec<[Write; 2]>,
    /// Bytes of scratch.
    pub arena: usize,
    pub faults: &'a Faults,
    /// The first index out of range.
    pub bad: Mutex<Option<BadIndex>>,
}

// SAFETY: *alive* and *disjoint*: its pointers stay valid, and no task writes what another uses.
unsafe impl Sync for Program<'_> {}

/// Addresses that are equal modulo this many bytes look the same to a CPU's store buffer.
pub(super) const PAGE: usize = 4096;

impl Program<'_> {
    /// Where only indices are looked at, what nobody reads need not be fetched.
    pub fn leave_unread(&mut self) {
        let feeds =
            self.passes.iter().flat_map(|p| p.feeds.iter().map(|f| f.arg).chain(p.spreads.iter().map(|s| s.from)));
        let read: Vec<usize> = self.steps.iter().flat_map(|s| s.args).chain(feeds).collect();
        for step in &mut self.steps {
            if let Run::Gather { reads, .. } = &mut step.run {
                *reads = read.contains(&step.id) || !matches!(step.dst, Dst::Slot(_));
            }
        }
    }
}
