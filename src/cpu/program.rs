//! The program of a kernel: steps over registers, with everything that does not depend on buffers. It is made once for a plan
//! and kept; each run binds pointers and numbers to it (`bind.rs`).

use super::fold::FoldSpec;
use super::scan::ScanSpec;
use super::strided::Axis;
use crate::dtype::{Compute, DType};
use crate::error::{Error, ErrorKind};
use crate::kernel::{BufferRef, Combine, Gives, IndexMode, Kernel, Passes};
use crate::simd::Loop;
use smallvec::SmallVec;
use std::ops::Range;

pub(super) fn internal(name: &'static str, detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, name, detail, None)
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

/// The rows and columns of the largest tile of a level, for which registers have room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub rows: usize,
    pub cols: usize,
    /// Whether every tile of several rows has exactly `cols` columns, so that rows that follow each other in memory are one run.
    pub fixed: bool,
}

impl Level {
    /// The level of a program that has no inner space.
    pub const NONE: Level = Level { rows: 0, cols: 0, fixed: true };

    pub fn size(&self) -> usize {
        self.rows * self.cols
    }
}

/// Whether a program computes results or only checks indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// The kernel's stores.
    Stores,
    /// Finding an index out of range before anything is written.
    CheckIndices,
}

/// What a program depends on beside its kernel.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub order: Order,
    pub outer: Level,
    pub inner: Level,
    pub goal: Goal,
    /// The passes over the inner space that the planner has made for the goal; none without an inner space.
    pub passes: Option<&'a Passes>,
    /// For each input of the plan, whether it is the memory that the plan's first output is written to.
    pub aliased: &'a [bool],
}

/// A load or a store (or an affine index, without memory) over the axes of its level.
pub(super) struct StridedOperand {
    /// Whose memory it is, and its element 0 within it, before the offset that a run binds; none for an index.
    pub memory: Option<(BufferRef, isize)>,
    /// The lowest and the highest element that is reached, counted from element 0; none where there is no index.
    pub span: Option<(isize, isize)>,
    pub size: usize,
    /// The loop that widens a load to its compute type, or narrows a store; none where the bits are the same.
    pub convert: Option<Loop>,
    pub rows: Axis,
    pub cols: Axis,
}

impl StridedOperand {
    /// Whether a tile of this shape is one run of memory.
    pub fn dense(&self, nr: usize, nc: usize) -> bool {
        (nc == 1 || self.cols.step == Some(1)) && (nr == 1 || self.rows.step == Some(nc as isize))
    }

    /// Whether every tile of a level is one run of memory, so that steps can use the memory itself.
    pub fn always_dense(&self, level: Level) -> bool {
        self.cols.step == Some(1) && (level.rows == 1 || (level.fixed && self.rows.step == Some(level.cols as isize)))
    }
}

/// Where a step's result goes.
#[derive(Clone, Copy)]
pub(super) enum Dst {
    /// Nowhere: a load is read where it lies.
    Nowhere,
    /// Scratch at this byte of the arena.
    Register(usize),
    /// A row kept for a later pass: the tile's part of it.
    KeepRow(usize),
    /// Straight into the result's memory, which saves a copy from a register.
    Out(usize),
}

pub(super) enum StepKind {
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
        /// The node whose line an index error names.
        node: usize,
        /// Whether to read the elements; else only the indices are checked.
        reads: bool,
    },
    Position {
        extent: usize,
        mode: IndexMode,
        /// The operation and the node that an index error names.
        name: &'static str,
        node: usize,
    },
    Philox {
        word: u8,
        /// The run-time scalars that are its key.
        key: [usize; 3],
    },
    /// This scan of the program. The tiles of a row come to it in order.
    Scan(usize),
    /// Points at the row that an earlier pass has kept, and computes nothing.
    ReuseRow,
}

/// One loop over a tile. `id`s index the frame's pointers: value `v` at its own level is `v`; as seen from the inner
/// level, an outer value `v` is `values + v`.
pub(super) struct Step {
    pub kind: StepKind,
    pub dst: Dst,
    pub id: usize,
    pub args: [usize; 3],
    /// The compute types of the result and of the first operand.
    pub compute: Compute,
    pub operand: Compute,
}

/// A register that holds one number in every element, filled before the first tile.
pub(super) struct Fill {
    pub id: usize,
    pub slot: usize,
    pub count: usize,
    pub size: usize,
    pub value: FillValue,
}

/// Where the value of a [`Fill`] comes from.
#[derive(Clone, Copy)]
pub(super) enum FillValue {
    Bits(u64),
    /// A run-time scalar.
    Scalar(usize),
    /// The only element of a load.
    Element(usize),
}

/// An outer value that inner steps read: before each row its element is repeated along a register.
pub(super) struct RowBroadcast {
    pub from: usize,
    pub to: usize,
    pub slot: usize,
    pub size: usize,
}

/// A fold of a pass, with the values that are fed to it; where it takes fewer than three, the first stands for the rest.
pub(super) struct PassReduction {
    pub args: [usize; 3],
    /// The outer value from which its positions are counted.
    pub base: Option<usize>,
    pub results: SmallVec<[ReductionResult; 1]>,
    pub spec: FoldSpec,
}

/// An outer value that a fold gives, its register, and the bytes of an element.
pub(super) struct ReductionResult {
    pub gives: Gives,
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// The total of a scan: the last element that a row's tiles give.
pub(super) struct Total {
    /// The scan's elements, at the inner level.
    pub from: usize,
    /// The outer value that it gives, and its register.
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// One walk along the inner space: its steps, and the reductions that they feed. A row kernel has several.
#[derive(Default)]
pub(super) struct Pass {
    pub broadcasts: SmallVec<[RowBroadcast; 2]>,
    pub steps: Range<usize>,
    pub reductions: SmallVec<[PassReduction; 1]>,
    pub totals: SmallVec<[Total; 1]>,
}

pub(super) struct Write {
    pub place: usize,
    pub id: usize,
    pub inner: bool,
    /// Whether the value's step has written the memory itself, so that nothing is left to do.
    pub direct: bool,
    /// The result is too large to be found in a cache later: it goes past them.
    pub stream: bool,
    /// The register of the condition.
    pub condition: Option<usize>,
    pub scattered: Option<ScatteredWrite>,
}

/// Where a scattered store writes, counted from its place, and how.
pub(super) struct ScatteredWrite {
    /// The register of the index.
    pub index: usize,
    pub stride: isize,
    pub extent: usize,
    pub dtype: DType,
    pub combine: Combine,
}

/// The steps of a kernel, as loops over tiles.
///
/// What unsafe code that runs it relies on, by name. *Alive*: the buffers that a run binds live as long as the run.
/// *Inside*: every element that a place reaches over its level's space (its `span`) lies in its buffer;
/// [`Run::locate`](super::bind::Run::locate) has looked. *Room*: the arena has a slot for each register, of as many elements
/// as a tile of its level may have, nothing else uses it while its value is needed, and operands come before their users.
/// *Disjoint*: tasks run disjoint tiles, so that no task writes what another reads or
/// writes; where scattered stores combine, tasks write the same elements, atomically, and none reads them.
pub(super) struct Program {
    pub name: &'static str,
    /// Values of the kernel.
    pub values: usize,
    /// Run-time scalars that it needs: those of the plan below this number.
    pub scalars: usize,
    pub order: Order,
    pub goal: Goal,
    pub outer: Level,
    pub inner: Level,
    pub places: Vec<StridedOperand>,
    pub steps: Vec<Step>,
    pub fills: Vec<Fill>,
    /// Outer steps before pass 0, before pass 1, …, after the last.
    pub stages: SmallVec<[Range<usize>; 2]>,
    pub passes: SmallVec<[Pass; 1]>,
    pub scans: SmallVec<[ScanSpec; 1]>,
    pub writes: SmallVec<[Write; 2]>,
    /// Bytes of scratch memory that a task needs for its registers.
    pub arena: usize,
}

/// Bytes of a page. A CPU compares the addresses of loads and earlier stores modulo this, and delays a load that seems to
/// follow a store to the same place.
pub(super) const PAGE: usize = 4096;

impl Program {
    pub fn new(kernel: &Kernel, wanted: &Request<'_>) -> Program {
        Program {
            name: kernel.name,
            values: kernel.values.len(),
            scalars: kernel.values.iter().map(|v| v.op.scalars()).max().unwrap_or(0),
            order: wanted.order,
            goal: wanted.goal,
            outer: wanted.outer,
            inner: wanted.inner,
            places: Vec::new(),
            steps: Vec::new(),
            fills: Vec::new(),
            stages: SmallVec::new(),
            passes: SmallVec::new(),
            scans: SmallVec::new(),
            writes: SmallVec::new(),
            arena: 0,
        }
    }

    /// Spares a program that only checks indices from reading the elements that no further index is computed from.
    pub fn leave_unread(&mut self) {
        let inputs = self
            .passes
            .iter()
            .flat_map(|p| p.reductions.iter().flat_map(|f| f.args).chain(p.broadcasts.iter().map(|s| s.from)));
        let read: Vec<usize> = self.steps.iter().flat_map(|s| s.args).chain(inputs).collect();
        for step in &mut self.steps {
            if let StepKind::Gather { reads, .. } = &mut step.kind {
                *reads = read.contains(&step.id) || !matches!(step.dst, Dst::Register(_));
            }
        }
    }
}
