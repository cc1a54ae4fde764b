//! The program of a kernel: steps over registers, and all other data that does not depend on buffers. It is compiled
//! once and kept in the plan. Each run binds pointers and numbers to it (`bind.rs`).

use super::fold::FoldSpec;
use super::parts::FillValue;
use super::scan::ScanSpec;
use super::strided::Axis;
use crate::base::dtype::{Compute, DType};
use crate::math::simd::Loop;
use crate::plan::kernel::{BufferRef, Combine, Gives, Kernel, Passes, Position};
use smallvec::SmallVec;
use std::ops::Range;

/// How the index space of a kernel is divided into rows and columns of tiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TileOrder {
    /// The kernel has no inner space. Columns are along the last outer axis, rows along the others.
    Flat,
    /// Columns are along `inner`, rows along `outer`. A tile is a piece of one row that is reduced or scanned.
    Rows,
    /// Columns are along `outer`, rows along `inner`. A tile has a few elements each of many rows that are reduced or
    /// scanned.
    Cols,
}

/// The number of rows and columns of the largest tile of a level (outer or inner). The level's registers have room for
/// such a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub rows: usize,
    pub cols: usize,
    /// Whether every tile of several rows has exactly `cols` columns. Then a tile of contiguous rows is contiguous in
    /// memory.
    pub fixed: bool,
}

impl Level {
    /// The inner level of a program that has no inner space.
    pub const NONE: Level = Level { rows: 0, cols: 0, fixed: true };

    pub fn size(&self) -> usize {
        self.rows * self.cols
    }
}

/// Whether a program computes results or only checks indices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// Computes the values that the kernel stores, and writes them.
    Stores,
    /// Looks for out-of-bounds indices and writes nothing. Such a program runs before the program with the goal
    /// `Stores`, so that a kernel that fails has written nothing.
    CheckIndices,
}

/// The choices on which a program depends in addition to its kernel.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub order: TileOrder,
    pub outer: Level,
    pub inner: Level,
    pub goal: Goal,
    /// The passes over the inner space that the planner has scheduled for the goal. `None` if there is no inner space.
    pub passes: Option<&'a Passes>,
    /// For each input of the plan, whether it is the memory that the plan's first output is written to.
    pub aliased: &'a [bool],
}

/// An operand that has strides over the axes of its level: a load, a store, or an affine index, which has no memory. In
/// the CPU backend the *place* of an operand is its index in [`Program::places`].
pub(super) struct StridedOperand {
    /// The buffer, and the position of the operand's element 0 in it, to which a run adds its offset. `None` for an
    /// affine index.
    pub memory: Option<(BufferRef, isize)>,
    /// The lowest and the highest element that is accessed, counted from element 0. `None` if the index space is empty.
    pub span: Option<(isize, isize)>,
    /// The size of an element in memory, in bytes.
    pub size: usize,
    /// The loop that widens a load to its compute type, or narrows a store. `None` if the bits stay the same.
    pub convert: Option<Loop>,
    pub rows: Axis,
    pub cols: Axis,
}

impl StridedOperand {
    /// Returns whether a tile of this shape is contiguous in memory, row after row.
    pub fn dense(&self, nr: usize, nc: usize) -> bool {
        (nc == 1 || self.cols.step == Some(1)) && (nr == 1 || self.rows.step == Some(nc as isize))
    }

    /// Returns whether every tile of a level is contiguous in memory, so that steps can use the memory itself.
    pub fn always_dense(&self, level: Level) -> bool {
        self.cols.step == Some(1) && (level.rows == 1 || (level.fixed && self.rows.step == Some(level.cols as isize)))
    }
}

/// The destination of a step's result.
#[derive(Clone, Copy)]
pub(super) enum Dst {
    /// No destination: the step is a load, and later steps read the memory that it loads from.
    Nowhere,
    /// The register at this byte of the arena. The arena is the scratch memory of a task, and belongs to its frame
    /// (`tiles.rs`).
    Register(usize),
    /// The tile's part of a row that is kept for a later pass. The row begins at this byte of the arena.
    KeepRow(usize),
    /// The memory of the store with this place. The step writes the result there itself, which saves a copy from a
    /// register.
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
        /// The index of its position in [`Program::positions`].
        position: usize,
        /// Whether to read the elements. Otherwise the indices are only checked.
        reads: bool,
    },
    /// Computes the position with this index in [`Program::positions`].
    Position(usize),
    Philox {
        word: u8,
        /// The run-time scalars that form its key.
        key: [usize; 3],
    },
    /// Runs the scan with this index in [`Program::scans`]. The tiles of a row come in order.
    Scan(usize),
    /// Computes nothing. Later steps read the row that an earlier pass has kept.
    ReuseRow,
}

/// One loop over a tile. An `id` is the index of a pointer in the frame. Value `v` of the kernel has the id `v`. The
/// copy of an outer value `v` that is repeated for the inner level has the id `values + v`.
pub(super) struct TileLoop {
    pub kind: StepKind,
    pub dst: Dst,
    pub id: usize,
    pub args: [usize; 3],
    /// The compute types of the result and of the first operand.
    pub compute: Compute,
    pub operand: Compute,
}

/// A register with the same number in every element. A frame (the scratch memory of a task) fills it before its first
/// tile. Here and below, `id` is the index of a pointer (as in [`TileLoop`]), `slot` the first byte in the arena, and
/// `size` the size of an element in bytes.
pub(super) struct Fill {
    pub id: usize,
    pub slot: usize,
    pub count: usize,
    pub size: usize,
    pub value: FillValue,
}

/// An outer value that inner steps read. Before a pass processes a row, the row's element is repeated along a register.
/// If rows are processed side by side (`TileOrder::Cols`), the elements of all these rows are repeated once for each row of
/// a tile.
pub(super) struct RowBroadcast {
    pub from: usize,
    pub to: usize,
    pub slot: usize,
    pub size: usize,
}

/// A reduction of a pass, and the ids of the pointers whose elements it combines. If there are fewer than three, the
/// first is repeated.
pub(super) struct PassReduction {
    pub args: [usize; 3],
    /// The outer value from which argmin and argmax count positions. If it is `None`, they count from 0.
    pub base: Option<usize>,
    pub results: SmallVec<[ReductionResult; 1]>,
    pub spec: FoldSpec,
}

impl PassReduction {
    /// Returns whether this reduction can process several whole rows at once. If so, it has no `base`, and counts
    /// positions from 0.
    pub fn takes_whole_rows(&self) -> bool {
        self.base.is_none() && self.spec.takes_whole_rows()
    }
}

/// An outer value that is a result of a reduction, and its register.
pub(super) struct ReductionResult {
    pub gives: Gives,
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// The total of a scan of a row, which is the last element of the row's last tile.
pub(super) struct Total {
    /// The id of the scan's elements, at the inner level.
    pub from: usize,
    /// The outer value that is the total, and its register.
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// One loop along the inner space: its steps, and the reductions whose elements they compute. Row kernels may have
/// several passes.
#[derive(Default)]
pub(super) struct TilePass {
    pub broadcasts: SmallVec<[RowBroadcast; 2]>,
    pub steps: Range<usize>,
    pub reductions: SmallVec<[PassReduction; 1]>,
    pub totals: SmallVec<[Total; 1]>,
}

/// A store of the kernel: it writes value `id` to the place `place`.
pub(super) struct Write {
    pub place: usize,
    pub id: usize,
    pub inner: bool,
    /// Whether the value's step has written the memory itself, so that nothing remains to be done.
    pub direct: bool,
    /// Whether to write past the caches, because the result is too large to stay in them until it is read.
    pub stream: bool,
    /// The id of the condition's pointer, if the store has a condition.
    pub condition: Option<usize>,
    pub scattered: Option<ScatteredWrite>,
}

/// How a scattered store finds its elements along the indexed axis of its place, and how it combines values with them.
pub(super) struct ScatteredWrite {
    /// The id of the index's pointer.
    pub index: usize,
    pub stride: isize,
    pub extent: usize,
    pub dtype: DType,
    pub combine: Combine,
}

/// The steps of a kernel, as loops over tiles.
///
/// The unsafe code that runs it relies on four invariants, cited by name. *Alive*: the buffers that a run binds live as
/// long as the run. *Inside*: every element that a place accesses over its level's index space (its `span`) is in its
/// buffer; [`Run::locate`](super::bind::Run::locate) has checked this. *Room*: each register has room in the arena for
/// as many elements as a tile of its level may have; no other value uses that memory while the register's value is
/// needed; operands are computed before their users. *Disjoint*: tasks run disjoint tiles, so no task writes memory
/// that another reads or writes. Only scattered stores that combine may write the same elements; they do it atomically,
/// and no task reads those elements. If stores of a program replace elements at computed positions
/// ([`Program::in_order`]), several tasks may run all tiles, and each task has its own part of the positions.
pub(super) struct Program {
    pub name: &'static str,
    /// The number of values of the kernel.
    pub values: usize,
    /// One more than the largest index of a run-time scalar that the program reads, or 0 if it reads none.
    pub scalars: usize,
    pub order: TileOrder,
    pub goal: Goal,
    pub outer: Level,
    pub inner: Level,
    pub places: Vec<StridedOperand>,
    /// The positions that gathers and scatters compute from indices.
    pub positions: Vec<Position>,
    pub steps: Vec<TileLoop>,
    pub fills: Vec<Fill>,
    /// The steps of the outer level, in parts: the steps before pass 0, the steps before pass 1, …, the steps after the
    /// last pass.
    pub stages: SmallVec<[Range<usize>; 2]>,
    pub passes: SmallVec<[TilePass; 1]>,
    pub scans: SmallVec<[ScanSpec; 1]>,
    pub writes: SmallVec<[Write; 2]>,
    /// The size in bytes of the scratch memory that a task needs for its registers.
    pub arena: usize,
}

heap! {
    StridedOperand: rows, cols;
    TileLoop: ;
    Fill: ;
    RowBroadcast: ;
    PassReduction: results, spec;
    ReductionResult: ;
    Total: ;
    TilePass: broadcasts, reductions, totals;
    Write: ;
    ScanSpec: ;
    Program: places, positions, steps, fills, stages, passes, scans, writes;
}

/// The size of a page in bytes. A CPU compares the addresses of loads and earlier stores only modulo a page, and delays
/// a load if its address appears to be the address of an unfinished store.
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
            positions: Vec::new(),
            steps: Vec::new(),
            fills: Vec::new(),
            stages: SmallVec::new(),
            passes: SmallVec::new(),
            scans: SmallVec::new(),
            writes: SmallVec::new(),
            arena: 0,
        }
    }

    /// Returns the number of positions along the indexed axis if a store replaces elements at computed positions.
    /// Otherwise returns `None`. Several values may be written to one position, and the last one in C order must win,
    /// so tiles are written in order.
    pub fn in_order(&self) -> Option<usize> {
        let scattered = self.writes.iter().filter_map(|w| w.scattered.as_ref());
        let sets = |s: &&ScatteredWrite| mutant!(writes_in_any_order, false, !s.combine.reads());
        scattered.filter(sets).map(|s| s.extent).next()
    }

    /// In a program that only checks indices, marks the gathers whose elements no other step needs, so that they read
    /// no elements.
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
