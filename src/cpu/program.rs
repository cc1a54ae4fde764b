//! The program of a kernel: the compiled form of a loop nest, with everything that does not depend on buffers. It is
//! compiled once and kept in the plan. Each run binds pointers and numbers to it (`bind.rs`).
//!
//! The files that compile and run programs use these terms:
//!
//! * A *value* is the result of one operation of the kernel, `kernel.values[v]`. A *step* is a loop that computes a
//!   value for all elements of a tile. A *register* is scratch memory that holds a value for one tile; it is not a
//!   register of the processor.
//! * The *outer level* has one element for each index of `kernel.outer`, and the *inner level* one for each index of
//!   `outer × inner` (the *inner space* is `kernel.inner`; only reductions and scans have it). A *pass* is one loop
//!   along the inner space, and a *stage* is the outer steps between two passes.
//! * A *tile* is a rectangle of rows and columns of a level's index space ([`TileOrder`]). A *task* is the part of a
//!   run's tiles that one thread computes, with a *frame* (`tiles.rs`) as its scratch memory.
//! * A *place* is the index in [`Program::places`] of an operand in memory, which is a load or a store.

use super::fold::FoldSpec;
use super::parts::FillValue;
use super::scan::ScanSpec;
use super::strided::{self, Axis};
use crate::base::dtype::{Compute, DType};
use crate::math::simd::Loop;
use crate::plan::kernel::{BufferRef, Combine, Gives, Kernel, Passes, Position};
use smallvec::SmallVec;
use std::ops::Range;

/// How the index space of a kernel is divided into rows and columns of tiles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TileOrder {
    /// The kernel has no inner space. The columns of a tile are along the last outer axis, its rows along the other
    /// axes.
    Flat,
    /// The columns of a tile are along `inner`, its rows along `outer`. Each row of a tile is one of the rows that the
    /// kernel reduces or scans, or a piece of it.
    Rows,
    /// The columns of a tile are along `outer`, its rows along `inner`. Each column of a tile is a piece of one of the
    /// rows that the kernel reduces or scans.
    Cols,
}

/// The number of rows and columns of the largest tile of the outer or of the inner level. The level's registers have
/// room for such a tile.
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

/// The inputs of the compilation of a program, in addition to its kernel.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub order: TileOrder,
    pub outer: Level,
    pub inner: Level,
    pub goal: Goal,
    /// The passes (loops along the inner space) that the planner has scheduled for the goal. `None` if there is no
    /// inner space.
    pub passes: Option<&'a Passes>,
    /// For each input of the plan, whether the plan's first output is written to the memory of that input.
    pub aliased: &'a [bool],
}

/// An operand that has strides along the rows and columns of tiles: a load, a store, or an affine index
/// ([`Op::Index`](crate::plan::kernel::Op::Index)), which has no memory. Steps refer to it by its *place*, which is its
/// index in [`Program::places`].
pub(super) struct StridedOperand {
    /// The buffer, and the position in it of the operand's element 0. A run adds the offset of its array to this
    /// position. `None` for an affine index.
    pub memory: Option<(BufferRef, isize)>,
    /// The lowest and the highest element that is accessed, counted from element 0. `None` if the index space is empty.
    pub span: Option<(isize, isize)>,
    /// The size of an element in memory, in bytes.
    pub size: usize,
    /// The loop that widens a load to its compute type, or narrows a store. `None` if the bits stay the same.
    pub convert: Option<Loop>,
    pub rows: Axis,
    pub cols: Axis,
    /// Whether the operand belongs to the inner level.
    pub is_inner: bool,
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
    /// No destination: the step is a load, and later steps read the memory that it loads from. If all rows of the tile are
    /// the same, this is the memory of one row.
    Nowhere,
    /// The register at this byte of the arena. The arena is the scratch memory of a task, and belongs to its frame
    /// (`tiles.rs`).
    Register(usize),
    /// The tile's part of a whole row that is kept in the arena (a task's scratch memory) for a later pass. The row
    /// begins at this byte of the arena.
    KeepRow(usize),
    /// The memory of the store with this place (an index in [`Program::places`]). The step writes the result there
    /// itself, which saves a copy from a register.
    Out(usize),
}

pub(super) enum StepKind {
    /// Loads the tile from the operand with this place (its index in [`Program::places`]).
    Load(usize),
    /// Calls a loop with up to three values (`TileLoop::args`) as its arguments.
    Call(Loop),
    /// Calls a loop over the rows of a tile. The first argument has an element for each row and column, and the second has
    /// one for each row (a [`RowBroadcast`] without a copy).
    CallRows(Loop),
    /// Computes an affine index: `base` plus the offset of each element of the tile at the strides of the operand
    /// `place`.
    Index { place: usize, base: i64 },
    Gather {
        place: usize,
        stride: isize,
        /// The index in [`Program::positions`] of the position that the gather reads from.
        position: usize,
        /// Whether to read the elements. If false, the step only checks the indices.
        reads: bool,
    },
    /// Computes the position with this index in [`Program::positions`].
    Position(usize),
    Philox {
        word: u8,
        /// The indices of the three run-time scalars that form the key of the random generator.
        key: [usize; 3],
    },
    /// Runs the scan with this index in [`Program::scans`]. The tiles of a row must be run in order.
    Scan(usize),
    /// Computes nothing. Later steps read the row that an earlier pass has kept.
    ReuseRow,
}

/// A step: one loop over a tile. An `id` is the index of a value's pointer in `Frame::at` (`tiles.rs`). Value `v` of
/// the kernel has the id `v`. If inner steps read an outer value `v`, they use the id `values + v`. It is that of a copy
/// that is repeated along the row or, for [`StepKind::CallRows`], of the value's elements for the rows of the tile.
pub(super) struct TileLoop {
    pub kind: StepKind,
    pub dst: Dst,
    pub id: usize,
    pub args: [usize; 3],
    /// The compute types of the result and of the first operand.
    pub compute: Compute,
    pub operand: Compute,
}

/// A register with the same number in every element. It is filled when a task creates its frame (its scratch memory),
/// before the first tile. Here and below, `id` is the index of a pointer (as in [`TileLoop`]), `slot` the register's
/// first byte in the arena, and `size` the size of an element in bytes.
pub(super) struct FilledRegister {
    pub id: usize,
    pub slot: usize,
    pub count: usize,
    pub size: usize,
    pub value: FillValue,
}

/// A register for a load of the inner level whose elements are the same in every row, in a program whose tiles have
/// several whole rows. Like a [`FilledRegister`], it is filled when a task creates its frame.
pub(super) struct RepeatedRow {
    pub id: usize,
    pub slot: usize,
    pub place: usize,
}

/// How the inner steps of a pass read an outer value. Before the pass processes a row, the row's element is usually
/// repeated along a register. If several rows are processed side by side ([`TileOrder::Cols`]), the elements of all
/// these rows are repeated once for each row of a tile. `from` and `to` are the ids of the value and of its copy. If all
/// steps that read the value take one element per row, nothing is copied (`slot` is `None`), and the pointer `to` is that
/// of the elements of the tile's rows.
pub(super) struct RowBroadcast {
    pub from: usize,
    pub to: usize,
    pub slot: Option<usize>,
    pub size: usize,
}

/// A reduction that a pass computes. `args` are the ids of the pointers to the elements that the reduction combines, or
/// to the factors of these elements. If the reduction reads fewer than three arrays, the first id is repeated.
pub(super) struct PassReduction {
    pub args: [usize; 3],
    /// The id of the value that holds the position of the row's first element, for argmin and argmax. If it is `None`,
    /// positions count from 0.
    pub base: Option<usize>,
    pub results: SmallVec<[ReductionResult; 1]>,
    pub spec: FoldSpec,
    /// The range in which all results must be. Otherwise the block is computed again by another kernel.
    pub bounds: Option<[f64; 2]>,
}

impl PassReduction {
    /// Returns whether `n` results of this reduction are in its bounds. A NaN is not.
    ///
    /// # Safety
    /// `results` points to `n` aligned elements of the reduction's type, which is f32 or f64 if it has bounds.
    pub unsafe fn holds(&self, results: *const u8, n: usize) -> bool {
        let Some([low, high]) = mutant!(bounds_of_sums_unchecked, None, self.bounds) else { return true };
        // SAFETY: the caller ensures that the elements exist.
        unsafe {
            match self.results.first().map_or(0, |r| r.size) {
                4 => {
                    let (low, high) = (low as f32, high as f32);
                    let list = std::slice::from_raw_parts(results.cast::<f32>(), n);
                    list.iter().fold(true, |all, x| all & (low <= *x) & (*x <= high))
                }
                _ => {
                    let list = std::slice::from_raw_parts(results.cast::<f64>(), n);
                    list.iter().fold(true, |all, x| all & (low <= *x) & (*x <= high))
                }
            }
        }
    }

    /// Returns whether this reduction can process several whole rows at once. Such a reduction has no `base`, so its
    /// positions count from 0.
    pub fn takes_whole_rows(&self) -> bool {
        self.base.is_none() && self.spec.takes_whole_rows()
    }
}

/// A result of a reduction: the value of the outer level that holds the result, and the value's register.
pub(super) struct ReductionResult {
    pub gives: Gives,
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// The total of a scan along a row: the last element of the row's scan, which is in the last tile of the row.
pub(super) struct Total {
    /// The id of the inner value that holds the scan's results.
    pub from: usize,
    /// The id of the outer value that holds the total, and the value's register.
    pub id: usize,
    pub slot: usize,
    pub size: usize,
}

/// One pass (a loop along the inner space): its steps, and the reductions that combine the elements that these steps
/// compute. Row kernels may have several passes.
#[derive(Default)]
pub(super) struct TilePass {
    pub broadcasts: SmallVec<[RowBroadcast; 2]>,
    pub steps: Range<usize>,
    pub reductions: SmallVec<[PassReduction; 1]>,
    pub totals: SmallVec<[Total; 1]>,
}

/// A store of the kernel. `id` is the id of the stored value, and `place` the index in [`Program::places`] of the
/// memory that it is written to.
pub(super) struct Write {
    pub place: usize,
    pub id: usize,
    pub inner: bool,
    /// Whether the step that computes the value writes it directly to the store's memory (`Dst::Out`), without a copy.
    pub direct: bool,
    /// Whether to write past the caches, because the result is too large to stay in them until it is read.
    pub stream: bool,
    /// The id of the condition, if the store has one. The store then writes only the elements whose condition is true.
    pub condition: Option<usize>,
    pub scattered: Option<ScatteredWrite>,
}

/// A scattered store: along one axis it writes to positions that an index defines. `stride` and `extent` are the stride
/// and the length of that axis. `combine` defines whether a value replaces the element there or is combined with it.
pub(super) struct ScatteredWrite {
    /// The id of the value that holds the positions along the axis.
    pub index: usize,
    pub stride: isize,
    pub extent: usize,
    pub dtype: DType,
    pub combine: Combine,
}

/// A kernel as steps, which are loops over tiles. The head of this file defines the terms.
///
/// The unsafe code that runs a program relies on four invariants. SAFETY comments refer to them by these names:
///
/// * *Alive*: the buffers that a run binds live as long as the run.
/// * *Inside*: every element that an operand accesses over its level's index space (its `span`) is in its buffer.
///   [`Run::locate`](super::bind::Run::locate) has checked this.
/// * *Room*: each register has room in the arena for as many elements as a tile of its level may have. No other value
///   uses that memory while the register's value is needed. Operands are computed before the steps that read them.
/// * *Disjoint*: tasks run disjoint tiles, so no task writes memory that another task reads or writes. There are two
///   exceptions. Scattered stores that combine may write the same elements; they do it atomically, and no task reads
///   those elements. If the stores of a program replace elements at computed positions ([`Program::in_order`]), several
///   tasks may run all tiles, and each task writes only its own part of the positions.
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
    pub fills: Vec<FilledRegister>,
    pub repeated: Vec<RepeatedRow>,
    /// The stages: ranges of the steps of the outer level. Stage 0 is the steps before pass 0, stage 1 the steps before
    /// pass 1, and so on. The last stage is the steps after the last pass.
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
    FilledRegister: ;
    RepeatedRow: ;
    RowBroadcast: ;
    PassReduction: results, spec;
    ReductionResult: ;
    Total: ;
    TilePass: broadcasts, reductions, totals;
    Write: ;
    ScanSpec: ;
    Program: places, positions, steps, fills, repeated, stages, passes, scans, writes;
}

/// The size of a page in bytes. A CPU compares the addresses of loads and earlier stores only modulo a page. It delays
/// a load if the load's address appears to be the address of an unfinished store.
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
            // each load and store is usually one place
            places: Vec::with_capacity(kernel.loads.len() + kernel.stores.len()),
            positions: Vec::new(),
            steps: Vec::new(),
            fills: Vec::new(),
            repeated: Vec::new(),
            stages: SmallVec::new(),
            passes: SmallVec::new(),
            scans: SmallVec::new(),
            writes: SmallVec::new(),
            arena: 0,
        }
    }

    /// If a store replaces elements at computed positions, returns the length of the axis along which the positions
    /// count. Otherwise returns `None`. Several values may be written to one position, and the last one in C order must
    /// win, so each task must write tiles in order.
    pub fn in_order(&self) -> Option<usize> {
        let scattered = self.writes.iter().filter_map(|w| w.scattered.as_ref());
        let sets = |s: &&ScatteredWrite| mutant!(writes_in_any_order, false, !s.combine.reads());
        scattered.filter(sets).map(|s| s.extent).next()
    }

    /// In a program that only checks indices, sets `reads` to false for the gathers whose elements no other step needs,
    /// so that these gathers read no elements.
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

/// Returns the bits that a register is filled with. `at` returns the address of element 0 of an operand in memory.
///
/// # Safety
/// If `value` is a load, the load has an element in its buffer (*inside*, see [`Program`]).
#[inline]
pub(super) unsafe fn bits_of(
    value: FillValue,
    program: &Program,
    at: impl Fn(usize) -> *mut u8,
    scalars: &[u64],
) -> u64 {
    match value {
        FillValue::Bits(bits) => bits,
        // binding the program has checked that the run has this scalar
        FillValue::Scalar(n) => scalars.get(n).copied().unwrap_or(0),
        // SAFETY: the caller ensures that the element exists. It has at most 8 bytes.
        FillValue::Element(n) => unsafe {
            match program.places[n].convert {
                Some(widen) => {
                    let (mut wide, p) = (0u64, at(n).cast_const());
                    widen(1, p, p, p, (&raw mut wide) as *mut u8);
                    wide
                }
                None => strided::read(program.places[n].size, at(n)),
            }
        },
    }
}
