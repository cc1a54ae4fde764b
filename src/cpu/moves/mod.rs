//! Runs kernels that only move elements, without computing: copies (strided, transposed or repeated), fills, and copies
//! of table rows at computed positions. They write directly from memory to memory, without the scratch memory of the
//! tile interpreter (`tiles.rs`).

mod rows;

use super::bind::Run;
use super::caches::LINE;
use super::elementwise::{self, Elementwise, tile_at, tiles_of};
use super::parts::internal;
use super::program::StridedOperand;
use super::strided::{self, Axis, StridedBlock};
use super::thread_count::threads;
use super::tiles::TileBounds;
use super::work_sharing::share;
use crate::base::error::Result;
use crate::base::heap::Heap;
use crate::base::layout::span_of;
use crate::graph::ufunc::cast;
use crate::math::simd::Loop;
use crate::plan::kernel::{BufferRef, Kernel, Moved, Op, Tiling, WriteClass};
use rows::MovedRows;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The size in bytes of a *stage*: a small array in which a thread arranges elements before it streams them (writes
/// them past the caches). This size is half of the first-level cache on most processors.
const STAGE: usize = 32 << 10;

/// Returns the maximum number of columns of a transposed block that are arranged in the stage at a time, for elements
/// of `size` bytes. These columns fill 2 KiB of each target row, or 1 KiB if elements have 1 byte, because the stage
/// then holds more rows. With half as many columns, transposes were measured to be 3 to 20 % slower, and with twice as
/// many some were slower.
fn transposed_columns(size: usize) -> usize {
    (2048 / size).min(1024)
}

/// The number of cache lines of a stage (see [`STAGE`]). The rows of a stage are separated by gaps of one line, so that
/// they do not map to the same sets of the cache.
const LINES: usize = STAGE / LINE + LINE;

/// The number of cache lines of a stage (see [`STAGE`]) for transposed elements of 1 or 2 bytes. Such a stage has more
/// rows: as many as a cache line has elements.
const LINES_OF_NARROW: usize = 1024 + LINE;

/// Where a move takes its elements from.
enum MoveSource {
    Memory(Box<StridedOperand>),
    /// Rows of a table, at positions that are read from memory.
    Rows(Box<MovedRows>),
    /// The same number for all elements: the bits of a constant, or for `Scalar` the index of a run-time scalar. The
    /// loop, if there is one, narrows the number to the element type.
    Constant(u64, Option<Loop>),
    Scalar(usize, Option<Loop>),
}

heap! { Move: source, target; Moves: list, checks; }

impl Heap for MoveSource {
    fn heap(&self) -> usize {
        match self {
            MoveSource::Memory(operand) => operand.heap(),
            MoveSource::Rows(rows) => rows.heap(),
            MoveSource::Constant(..) | MoveSource::Scalar(..) => 0,
        }
    }
}

struct Move {
    source: MoveSource,
    target: StridedOperand,
    /// Whether to write past the caches (with streaming stores).
    stream: bool,
}

/// A prepared kernel that only moves elements. Each run binds it to buffers.
pub(super) struct Moves {
    name: &'static str,
    list: SmallVec<[Move; 1]>,
    tiling: Tiling,
    alone: bool,
    tiles: usize,
    /// A kernel that fails if an index is out of bounds. It runs before the first write, so that a failed run writes
    /// nothing.
    checks: Option<Box<Elementwise>>,
    /// The number of rows and of columns of the index space, and the length of its last axis but one.
    sizes: [usize; 3],
}

/// The source of a move in one run: addresses, or the bits of an element.
#[derive(Clone, Copy)]
enum From {
    Memory(*mut u8),
    /// The addresses of the table and of the row indices. If negative indices count from the end, the second field
    /// holds the numbers 0 and the table's number of rows.
    Rows([*mut u8; 2], Option<[u64; 2]>),
    Bits(u64),
}

/// The moves of a kernel with their memory in one run. Invariant: each address points to element 0 of a move's source
/// or target, and the spans of sources and targets are in buffers that live as long as the run.
struct Bound<'a>(&'a Moves, SmallVec<[(From, *mut u8); 1]>);
// SAFETY: nothing changes the pointers, and no two tasks write the same part of the memory behind them.
unsafe impl Sync for Bound<'_> {}

/// Prepares a kernel that only moves words. Returns `None` for any other kernel, and for a kernel that may read memory
/// that it writes.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Option<Moves>> {
    let Some(moved) = kernel.moves() else { return Ok(None) };
    let shared = |stored: BufferRef| {
        kernel.loads.iter().any(|l| match (stored, l.buffer) {
            (BufferRef::Output(0), BufferRef::Input(n)) => aliased.get(n).is_some_and(|aliased| *aliased),
            (stored, read) => stored == read,
        })
    };
    if kernel.stores.iter().any(|s| shared(s.buffer)) {
        return Ok(None);
    }
    let operand = |buffer, dtype: crate::base::dtype::DType, strides: &[isize], offset| {
        let split = kernel.outer.len().saturating_sub(1);
        let axis = |part: std::ops::Range<usize>| Axis::new(&kernel.outer[part.clone()], &strides[part]);
        StridedOperand {
            memory: Some((buffer, offset)),
            span: span_of(&kernel.outer, strides),
            size: dtype.size(),
            convert: None,
            rows: axis(0..split),
            cols: axis(split..kernel.outer.len()),
            is_inner: false,
        }
    };
    let mut list = SmallVec::new();
    for (n, (store, moved)) in kernel.stores.iter().zip(moved).enumerate() {
        let narrow = cast::narrow(store.dtype).map(|l| l.get());
        let load = |l: usize| {
            let load = &kernel.loads[l];
            operand(load.buffer, load.dtype, &load.strides, load.offset)
        };
        let source = match (moved, moved_value(kernel, moved)) {
            (Moved::Load(l), _) => MoveSource::Memory(Box::new(load(l))),
            (_, Some(Op::Gather { load: table, stride, position })) => {
                let (index, &stride) = (&kernel.values[position.index], stride);
                let Op::Load(l) = index.op else { return Err(internal(kernel.name, "an index that is not a load")) };
                let reach = (position.extent.saturating_sub(1) as isize).saturating_mul(stride);
                let mut table = load(*table);
                table.span =
                    table.span.map(|(low, high)| (low.saturating_add(reach.min(0)), high.saturating_add(reach.max(0))));
                let (extent, mode, from_end) = (position.extent, position.mode, position.from_end);
                MoveSource::Rows(Box::new(MovedRows {
                    table,
                    index: load(l),
                    compute: index.compute(),
                    stride,
                    extent,
                    mode,
                    from_end,
                }))
            }
            (_, Some(Op::Constant(bits))) => MoveSource::Constant(*bits, narrow),
            (_, Some(Op::Scalar(n))) => MoveSource::Scalar(*n, narrow),
            _ => return Err(internal(kernel.name, "a move of a computed value")),
        };
        let target = operand(store.buffer, store.dtype, &store.strides, store.offset);
        list.push(Move { source, target, stream: kernel.schedule.write(n) == WriteClass::Streamed });
    }
    let schedule = tiles_of(kernel)?;
    let cols = kernel.outer.last().copied().unwrap_or(1);
    let rows = kernel.outer_size() / cols;
    let height = kernel.outer.iter().rev().nth(1).copied().unwrap_or(1);
    let tiles = match schedule.tiling {
        Tiling::Pieces { each } => rows * cols.div_ceil(each as usize),
        Tiling::Rows { each } => {
            mutant!(last_rows_left, (rows / each as usize).max(1), rows.div_ceil(each as usize))
        }
        Tiling::Blocks { rows: down, cols: across } => {
            rows / height * height.div_ceil(down as usize) * cols.div_ceil(across as usize)
        }
        Tiling::Along { .. } | Tiling::Across { .. } => {
            return Err(internal(kernel.name, "a kernel that is not a reduction has the tiles of a reduction"));
        }
    };
    let (tiling, alone, sizes) = (schedule.tiling, schedule.alone, [rows, cols, height]);
    let checks = elementwise::checks(kernel, aliased)?;
    Ok(Some(Moves { name: kernel.name, list, tiling, alone, tiles, checks, sizes }))
}

fn moved_value(kernel: &Kernel, moved: Moved) -> Option<&Op> {
    match moved {
        Moved::Number(v) | Moved::Rows(v) => Some(&kernel.values[v].op),
        Moved::Load(_) => None,
    }
}

impl Moves {
    /// Runs the kernel on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        if let Some(checks) = &self.checks {
            checks.run(run)?;
        }
        let locate = |p: &StridedOperand| match p.memory {
            Some((buffer, first)) => run.locate(self.name, buffer, p.size, first, p.span),
            None => Err(internal(self.name, "a move without memory")),
        };
        let mut at = SmallVec::new();
        for m in &self.list {
            let from = match &m.source {
                MoveSource::Memory(place) => From::Memory(locate(place)?),
                MoveSource::Rows(rows) => {
                    From::Rows([locate(&rows.table)?, locate(&rows.index)?], run.numbers(rows.from_end))
                }
                MoveSource::Constant(bits, narrow) => From::Bits(narrowed(*bits, *narrow)),
                MoveSource::Scalar(n, narrow) => match run.bindings.scalars.get(*n) {
                    Some(bits) => From::Bits(narrowed(*bits, *narrow)),
                    None => return Err(internal(self.name, format!("the run binds no scalar {n}"))),
                },
            };
            at.push((from, locate(&m.target)?));
        }
        if run.rehearses {
            return Ok(());
        }
        let bound = Bound(self, at);
        // SAFETY: `locate` has checked that all accessed elements are in live buffers (the invariant of `Bound`), and
        // no two tasks share a tile.
        let body = |from: usize, to: usize| unsafe { bound.run(from, to) };
        if self.alone {
            body(0, self.tiles);
        } else {
            // eight tasks per thread (chosen by hand), so that other threads take over the tasks of a thread that is
            // held up
            let tasks = self.tiles.min(threads() * 8);
            share(tasks, false, |i| body(i * self.tiles / tasks, (i + 1) * self.tiles / tasks));
        }
        Ok(())
    }
}

/// Converts a number from its compute type to the element type by the loop `narrow`, and returns the element's bits.
fn narrowed(bits: u64, narrow: Option<Loop>) -> u64 {
    let Some(narrow) = narrow else { return bits };
    let (wide, mut element) = ([bits], [0u64]);
    let from = wide.as_ptr().cast();
    // SAFETY: the loop reads one element of at most 8 bytes, and writes one.
    unsafe { narrow(1, from, from, from, element.as_mut_ptr().cast()) };
    element[0]
}

impl Bound<'_> {
    /// Moves the tiles `from..to`.
    ///
    /// # Safety
    /// The addresses point to element 0 of operands whose spans are in live buffers (the invariant of [`Bound`]), and
    /// no other task moves one of these tiles.
    unsafe fn run(&self, from: usize, to: usize) {
        let Bound(moves, at) = self;
        for t in from..to {
            let tile = tile_at(moves.tiling, moves.sizes, t);
            for (m, (from, to)) in moves.list.iter().zip(at) {
                // SAFETY: the spans of all operands are in live buffers (the invariant of `Bound`), and the tile is in
                // the index space.
                unsafe { m.tile(*from, *to, tile) };
            }
        }
        if moves.list.iter().any(|m| m.stream) {
            strided::fence();
        }
    }
}

impl Move {
    /// Moves one tile.
    ///
    /// # Safety
    /// `from` and `to` point to element 0 of the source and the target, whose spans are in live buffers (the invariant
    /// of [`Bound`]), and no other task moves the tile.
    unsafe fn tile(&self, from: From, to: *mut u8, tile: TileBounds) {
        let (size, target) = (self.target.size, &self.target);
        let columns = target.cols.step.unwrap_or(1);
        // SAFETY: every element of the tile is in the spans, which are in live buffers (the invariant of `Bound`).
        unsafe {
            match (&self.source, from) {
                (MoveSource::Memory(source), From::Memory(from)) => {
                    let first = [source, target].map(|p| p.cols.offset(tile.c0));
                    let across = source.cols.step.unwrap_or(1);
                    source.rows.runs(tile.r0, tile.nr, |done, row, n, step| {
                        target.rows.runs(tile.r0 + done, n, |skip, to_row, n, to_step| {
                            let at = row + skip as isize * step + first[0];
                            let src = StridedBlock { ptr: from.offset(at * size as isize), rows: step, cols: across };
                            let at = to_row + first[1];
                            let dst = StridedBlock { ptr: to.offset(at * size as isize), rows: to_step, cols: columns };
                            self.block(src, dst, n, tile.nc);
                        });
                    });
                }
                (_, From::Bits(bits)) => target.rows.runs(tile.r0, tile.nr, |_, row, n, step| {
                    let at = row + target.cols.offset(tile.c0);
                    let dst = StridedBlock { ptr: to.offset(at * size as isize), rows: step, cols: columns };
                    self.fill(bits, dst, n, tile.nc);
                }),
                (MoveSource::Rows(rows), From::Rows(from, ends)) => {
                    rows.copy((from, ends), (target, to), tile, self.stream)
                }
                (_, From::Memory(_) | From::Rows(..)) => {}
            }
        }
    }

    /// Copies a block of `nr` rows and `nc` columns. If `stream` is set, writes past the caches where this is possible.
    ///
    /// # Safety
    /// All elements of both blocks are in live memory, with no conflicting access by other threads (*inside*), and the
    /// blocks share no byte (*apart*); see [`StridedBlock`].
    unsafe fn block(&self, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
        let size = self.target.size;
        // SAFETY: the caller ensures that both blocks are in live memory (*inside*) and share no byte (*apart*).
        unsafe {
            if !self.stream || dst.cols != 1 {
                return strided::copy(size, src, dst, nr, nc);
            }
            let is_run = |b: StridedBlock| b.cols == 1 && (nr == 1 || b.rows == nc as isize);
            if is_run(src) && is_run(dst) {
                return strided::stream(src.ptr, dst.ptr, nr * nc * size);
            }
            if src.cols == 1 {
                for r in 0..nr as isize {
                    let (from, to) = (src.at(size, r, 0), dst.at(size, r, 0));
                    strided::stream(from, to, nc * size);
                }
                return;
            }
            match (size, src.rows) {
                (1 | 2, 1) => staged::<LINES_OF_NARROW>(size, src, dst, nr, nc),
                _ => staged::<LINES>(size, src, dst, nr, nc),
            }
        }
    }

    /// Fills a block of `nr` rows and `nc` columns with an element, whose bits are the low bytes of `bits`.
    ///
    /// # Safety
    /// All elements of the block are in live memory that no other thread uses meanwhile (*inside*, see
    /// [`StridedBlock`]).
    unsafe fn fill(&self, bits: u64, dst: StridedBlock, nr: usize, nc: usize) {
        let size = self.target.size;
        let write = if self.stream { strided::stream_fill } else { strided::fill };
        // SAFETY: the caller ensures that the block is in live memory (*inside*). The local variable `element` shares
        // no byte with it (*apart*), and its low bytes are the element.
        unsafe {
            if dst.cols == 1 && (nr == 1 || dst.rows == nc as isize) {
                write(size, bits, dst.ptr, nr * nc);
            } else if dst.cols == 1 {
                (0..nr as isize).for_each(|r| write(size, bits, dst.at(size, r, 0), nc));
            } else {
                let mut element = 0u64;
                let src = StridedBlock { ptr: (&raw mut element).cast(), rows: 0, cols: 0 };
                strided::fill(size, bits, src.ptr, 1);
                strided::copy(size, src, dst, nr, nc);
            }
        }
    }
}

/// Copies a block to rows of contiguous elements. The elements are first arranged in a stage in the first-level cache,
/// from which whole cache lines are streamed.
///
/// # Safety
/// All elements of both blocks are in live memory, with no conflicting access by other threads (*inside*), and the
/// blocks share no byte (*apart*); see [`StridedBlock`]. The target's columns have step 1. `ROOM` is [`LINES`], or
/// [`LINES_OF_NARROW`] for transposed elements of 1 or 2 bytes.
unsafe fn staged<const ROOM: usize>(size: usize, src: StridedBlock, dst: StridedBlock, nr: usize, nc: usize) {
    let mut stage = [const { MaybeUninit::<[u64; LINE / 8]>::uninit() }; ROOM];
    let to_stage = stage.as_mut_ptr().cast::<u8>();
    // if the target is contiguous, whole rows are streamed together. Otherwise the stage holds a piece of one row at a
    // time; in a transposed block it holds pieces of several rows, as many as a cache line of the source has elements
    let dense = dst.rows == nc as isize && nc * size <= STAGE / 2;
    let (rows, cols) = match (dense, src.rows) {
        (true, 1) if STAGE / (nc * size) > LINE / size => (STAGE / (nc * size) / (LINE / size) * (LINE / size), nc),
        (true, _) => (STAGE / (nc * size), nc),
        (false, 1) => (LINE / size, transposed_columns(size)),
        (false, _) => (1, STAGE / size),
    };
    let pitch = if dense { nc } else { cols + if rows > 1 { LINE / size } else { 0 } };
    for r in (0..nr).step_by(rows) {
        for c in (0..nc).step_by(cols) {
            let (h, w) = (rows.min(nr - r), cols.min(nc - c));
            // SAFETY: the piece is a part of the block, so it is in live memory (*inside*) and shares no byte with the
            // stage (*apart*, see `StridedBlock`). The stage has room for the piece's rows, which begin `pitch`
            // elements apart.
            unsafe {
                let from = StridedBlock { ptr: src.at(size, r as isize, c as isize), ..src };
                let staged = StridedBlock { ptr: to_stage, rows: pitch as isize, cols: 1 };
                strided::copy(size, from, staged, h, w);
                if dense {
                    strided::stream(to_stage, dst.at(size, r as isize, 0), h * w * size);
                    continue;
                }
                for k in 0..h {
                    let line = staged.at(size, k as isize, 0);
                    strided::stream(line, dst.at(size, (r + k) as isize, c as isize), w * size);
                }
            }
        }
    }
}
