//! The tile interpreter: runs a program's steps over one tile (`program.rs` defines the terms). Each step is a plain
//! loop over values that fit in the L1 cache.

use super::bind::BoundProgram;
use super::gather::{Indices, index_run, index_value};
use super::program::{Dst, Goal, PAGE, StepKind, TileLoop, TileOrder, Write, bits_of};
use super::scan::Scanner;
use super::strided::{self, StridedBlock};
use crate::base::dtype::Compute;
use crate::plan::kernel::Position;
use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// How many rows ahead a gather prefetches. Copying eight rows, at some 10 ns each, takes about as long as main memory
/// takes to answer.
const AHEAD: usize = 8;

/// A rectangle of a level's index space: first row, number of rows, first column, number of columns. `start` is the
/// number of elements of the same row in earlier tiles (of the same rows, if several are processed side by side). It is
/// the tile's offset in a kept row. If it is 0, a scan begins with this tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct TileBounds {
    pub r0: usize,
    pub nr: usize,
    pub c0: usize,
    pub nc: usize,
    pub start: usize,
}

impl TileBounds {
    pub fn len(&self) -> usize {
        self.nr * self.nc
    }
}

/// The scratch memory of one task: the program's registers, and the address of each value for the current tile.
///
/// Its unsafe functions rely on the conditions of [`Program`](super::program::Program) (*alive*, *inside*, *room*,
/// *disjoint*) and on one more.
/// *Made for it*: the frame was created for the program that it runs, and the tile is in the level's index space and no
/// larger than the program was compiled for.
pub(super) struct Frame {
    arena: NonNull<u8>,
    /// The size of the arena in bytes.
    size: usize,
    /// The address of each value for the current tile, in the arena or a buffer. The index is an `id` of [`TileLoop`].
    pub at: Vec<*mut u8>,
    /// Scratch for a tile of elements in their storage type, before widening or after narrowing.
    raw: Vec<u64>,
    /// The program's scans, each with its state after the tiles that have been run.
    scans: Vec<Scanner>,
    /// The range of positions at which this task may perform a scattered store; other tasks may have other ranges.
    pub part: Range<usize>,
}

/// The range of all positions, for a task that may write at every position.
pub(super) const EVERYWHERE: Range<usize> = 0..usize::MAX;

// SAFETY: a frame owns its arena. Only the task that holds it uses its addresses, which each kernel sets before use.
unsafe impl Send for Frame {}

impl Drop for Frame {
    fn drop(&mut self) {
        if let (true, Ok(layout)) = (self.size > 0, Layout::from_size_align(self.size, PAGE)) {
            // SAFETY: `Frame::begin` has allocated the arena with this layout.
            unsafe { dealloc(self.arena.as_ptr(), layout) };
        }
    }
}

thread_local! {
    /// The frame that the thread's last task has left. A task takes it out, because rayon may run another task on this
    /// thread before the first one ends.
    static FRAME: Cell<Option<Box<Frame>>> = const { Cell::new(None) };
}

/// The maximum number of bytes of scratch that a thread keeps between kernels. 64 threads keep at most 1 GiB.
const KEPT: usize = 16 << 20;

/// The frames of a kernel's tasks. The first frame is allocated before any task begins. If there is no memory for a
/// task's own frame, the task waits for the first one. So a lack of memory makes a kernel fail before it writes
/// anything, or not at all.
pub(super) struct Frames<'a> {
    bound: &'a BoundProgram<'a>,
    first: Mutex<Box<Frame>>,
}

impl<'a> Frames<'a> {
    /// Creates the first frame. Returns `None` if there is no memory for it.
    pub fn new(bound: &'a BoundProgram<'a>) -> Option<Frames<'a>> {
        Some(Frames { bound, first: Mutex::new(Frame::begin(bound)?) })
    }

    /// Returns the first frame, for a kernel that runs as one task.
    pub fn alone(&mut self) -> &mut Frame {
        self.first.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task with the first frame if it is free, or else with another one. The task must not share work: rayon
    /// could then run a second task on this thread, which might wait for the frame that the first task holds.
    pub fn with(&self, task: impl FnOnce(&mut Frame)) {
        if let Ok(mut frame) = self.first.try_lock() {
            return task(&mut frame);
        }
        match Frame::begin(self.bound) {
            Some(mut frame) => {
                task(&mut frame);
                frame.end();
            }
            None => task(&mut self.first.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    /// Keeps the first frame for the thread's next kernel.
    pub fn end(self) {
        self.first.into_inner().unwrap_or_else(PoisonError::into_inner).end();
    }
}

impl Frame {
    /// Creates a frame for a program, and fills the registers whose elements are all equal. Returns `None` if there is
    /// no memory.
    fn begin(bound: &BoundProgram<'_>) -> Option<Box<Frame>> {
        let program = bound.program;
        let mut frame = FRAME.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
            Box::new(Frame {
                arena: NonNull::dangling(),
                size: 0,
                at: Vec::new(),
                raw: Vec::new(),
                scans: Vec::new(),
                part: EVERYWHERE,
            })
        });
        if frame.size < program.arena {
            if bound.run.pool.faults.hit_alone("scratch") {
                return None;
            }
            let size = program.arena.next_power_of_two().max(64 << 10);
            let layout = Layout::from_size_align(size, PAGE).ok()?;
            // SAFETY: the size is not 0.
            let arena = NonNull::new(unsafe { alloc(layout) })?;
            drop(std::mem::replace(
                &mut *frame,
                Frame { arena, size, at: Vec::new(), raw: Vec::new(), scans: Vec::new(), part: EVERYWHERE },
            ));
        }
        if program.places.iter().any(|p| p.convert.is_some()) {
            let room = program.outer.size().max(program.inner.size());
            frame.raw.try_reserve_exact(room.saturating_sub(frame.raw.len())).ok()?;
            let room = room.max(frame.raw.len());
            frame.raw.resize(room, 0);
        }
        frame.at.clear();
        frame.at.resize(2 * program.values, std::ptr::null_mut());
        for pass in &program.passes {
            for result in pass.reductions.iter().flat_map(|r| &r.results) {
                frame.at[result.id] = frame.slot(result.slot);
            }
            for total in &pass.totals {
                frame.at[total.id] = frame.slot(total.slot);
            }
        }
        // SAFETY: the arena contains each scan's state (*room*, see `Program`), and only this task uses the frame.
        let scan = |spec: &_| unsafe { Scanner::new(*spec, frame.arena.as_ptr()) };
        frame.scans.clear();
        frame.scans.extend(program.scans.iter().map(scan));
        for fill in &program.fills {
            let to = frame.slot(fill.slot);
            frame.at[fill.id] = to;
            // SAFETY: the slot has room for `count` elements, and a load has an element in its buffer (see `Program`).
            unsafe {
                let bits = bits_of(fill.value, program, |place| bound.at(place), bound.run.bindings.scalars);
                strided::fill(fill.size, bits, to, fill.count);
            }
        }
        for row in &program.repeated {
            let tile = TileBounds { r0: 0, nr: program.inner.rows, c0: 0, nc: program.inner.cols, start: 0 };
            // SAFETY: the slot has room for the largest tile (*room*), whose rows are all the same row of the buffer.
            frame.at[row.id] = unsafe { frame.load(bound, row.place, frame.slot(row.slot), tile) };
        }
        Some(frame)
    }

    /// Keeps the frame for the thread's next task, or frees it if it is large.
    fn end(self: Box<Frame>) {
        if self.size <= KEPT {
            // a thread that is ending keeps nothing
            let _ = FRAME.try_with(|frame| frame.set(Some(self)));
        }
    }

    /// Returns the address of a byte of the arena.
    #[inline]
    pub fn slot(&self, at: usize) -> *mut u8 {
        self.arena.as_ptr().wrapping_add(at)
    }

    /// Returns scratch for `n` elements in their storage type. `n` is at most the size of a tile.
    fn raw(&mut self, n: usize) -> *mut u8 {
        self.raw[..n].as_mut_ptr() as *mut u8
    }

    /// Runs steps over a tile.
    ///
    /// # Safety
    /// The frame and the tile belong to this program (*made for it*, see [`Frame`]), and no other task runs the tile.
    pub unsafe fn run(&mut self, bound: &BoundProgram<'_>, steps: Range<usize>, tile: TileBounds) {
        let (program, n) = (bound.program, tile.len());
        for step in &program.steps[steps] {
            // SAFETY: a step writes its register, which has room for a tile (*room*), or the tile of a store, which is
            // inside its buffer (*inside*, see `Program`).
            unsafe {
                let to = match step.dst {
                    Dst::Nowhere => std::ptr::null_mut(),
                    Dst::Register(at) => self.slot(at),
                    Dst::KeepRow(at) => self.slot(at).add(tile.start * step.compute.size()),
                    Dst::Out(place) => {
                        let p = &program.places[place];
                        bound.at(place).offset((p.rows.offset(tile.r0) + p.cols.offset(tile.c0)) * p.size as isize)
                    }
                };
                match step.kind {
                    StepKind::Call(f) => {
                        let [a, b, c] = step.args.map(|a| self.at[a] as *const u8);
                        f(n, a, b, c, to);
                        self.at[step.id] = to;
                    }
                    StepKind::CallRows(f) => {
                        let [a, b, _] = step.args.map(|a| self.at[a] as *const u8);
                        f(tile.nc, a, b, (&raw const tile.nr).cast(), to);
                        self.at[step.id] = to;
                    }
                    StepKind::Load(place) => {
                        let mut at = self.load(bound, place, to, tile);
                        if let (Dst::KeepRow(_), true) = (step.dst, at != to) {
                            // a later pass reads these elements from a kept row in the arena, so they are copied there
                            std::ptr::copy_nonoverlapping(at, to, n * step.compute.size());
                            at = to;
                        }
                        self.at[step.id] = at;
                    }
                    StepKind::ReuseRow => self.at[step.id] = to,
                    StepKind::Scan(scan) => {
                        let (width, rows) = if program.order == TileOrder::Cols { (tile.nc, tile.nr) } else { (1, n) };
                        let scan = &mut self.scans[scan];
                        if tile.start == 0 {
                            scan.reset(width);
                        }
                        scan.feed(self.at[step.args[0]], to, rows);
                        self.at[step.id] = to;
                    }
                    StepKind::Index { .. }
                    | StepKind::Gather { .. }
                    | StepKind::Position { .. }
                    | StepKind::Philox { .. } => {
                        self.generate(bound, step, to, tile);
                        self.at[step.id] = to;
                    }
                }
            }
        }
    }

    /// Returns the address of a load's tile as contiguous elements of the compute type. If the tile has that form in
    /// the buffer, returns its address there. Otherwise copies the tile to `to`, widens it, and returns `to`.
    ///
    /// # Safety
    /// The frame and the tile belong to this program (*made for it*, see [`Frame`]), and `to` has room for the tile.
    #[inline]
    unsafe fn load(&mut self, bound: &BoundProgram<'_>, place: usize, to: *mut u8, tile: TileBounds) -> *mut u8 {
        let (p, n) = (&bound.program.places[place], tile.len());
        // SAFETY: every element of the tile is inside the buffer, and `to` and the raw scratch hold a tile (*inside*
        // and *room*, see `Program`).
        unsafe {
            // without `to`, the tile is contiguous, or all its rows are the same one in memory
            if to.is_null() || p.dense(tile.nr, tile.nc) {
                let from = bound.at(place).offset((p.rows.offset(tile.r0) + p.cols.offset(tile.c0)) * p.size as isize);
                return match p.convert {
                    Some(widen) => {
                        widen(n, from, from, from, to);
                        to
                    }
                    None => from,
                };
            }
            match p.convert {
                Some(widen) => {
                    let raw = self.raw(n);
                    pack_tile(bound, place, raw, tile);
                    widen(n, raw, raw, raw, to);
                }
                None => pack_tile(bound, place, to, tile),
            }
            to
        }
    }

    /// Writes a value's tile to the memory of a store, after narrowing it to the stored dtype.
    ///
    /// # Safety
    /// The frame and the tile belong to this program (*made for it*, see [`Frame`]), no other task runs the tile, and
    /// the tile's values have been computed.
    pub unsafe fn write(&mut self, bound: &BoundProgram<'_>, w: &Write, tile: TileBounds) {
        let (place, from) = (w.place, self.at[w.id] as *const u8);
        let (p, n) = (&bound.program.places[place], tile.len());
        // SAFETY: the buffer and the raw scratch have room for the tile (see `Program`). The value may lie in the
        // memory that is written, for example if a load is stored in place, so this uses `copy`, which allows overlap.
        unsafe {
            let is_plain = w.condition.is_none() && w.scattered.is_none();
            if is_plain && p.dense(tile.nr, tile.nc) {
                let to = bound.at(place).offset((p.rows.offset(tile.r0) + p.cols.offset(tile.c0)) * p.size as isize);
                match p.convert {
                    Some(narrow) => narrow(n, from, from, from, to),
                    None if w.stream => strided::stream(from, to, n * p.size),
                    None => std::ptr::copy(from, to, n * p.size),
                }
                return;
            }
            let from = match p.convert {
                Some(narrow) => {
                    let raw = self.raw(n);
                    narrow(n, from, from, from, raw);
                    raw as *const u8
                }
                None => from,
            };
            match is_plain {
                true => unpack_tile(bound, place, from, tile),
                false => self.write_some(bound, w, from, tile),
            }
        }
    }

    /// Runs a step that is not a loop of a function: an affine index, a gather, the computation of positions, or random
    /// numbers.
    ///
    /// # Safety
    /// The frame and the tile belong to this program (*made for it*, see [`Frame`]), and `to` has room for the tile.
    unsafe fn generate(&mut self, bound: &BoundProgram<'_>, step: &TileLoop, to: *mut u8, tile: TileBounds) {
        let program = bound.program;
        // SAFETY: `to`, the raw scratch and the operand's register have room for a tile (*room*, see `Program`). The
        // elements of all positions along a gather's axis are inside its buffer (*inside*).
        unsafe {
            match step.kind {
                StepKind::Index { place, base } => {
                    let p = &program.places[place];
                    p.rows.runs(tile.r0, tile.nr, |rd, ro, rn, rs| {
                        p.cols.runs(tile.c0, tile.nc, |cd, co, cn, cs| {
                            for r in 0..rn {
                                let start = base + (ro + co + r as isize * rs) as i64;
                                let at = (rd + r) * tile.nc + cd;
                                index_run(step.compute, start, cs as i64, to, at, cn);
                            }
                        });
                    });
                }
                StepKind::Gather { place, stride, position, reads } => {
                    let (index, p) = (self.at[step.args[0]] as *const u8, &program.places[place]);
                    let raw = if p.convert.is_some() { self.raw(tile.len()) } else { to };
                    let Position { extent, mode, from_end, .. } = program.positions[position];
                    let indices = Indices::of(index, step.operand, extent, mode);
                    let indices = Indices { stride, from_end: bound.run.numbers(from_end), ..indices };
                    if !reads {
                        if let Some((i, want)) = indices.take(p.size, StridedBlock::NONE, None, 0, tile.len()) {
                            bound.report(position, want, (tile.r0 + i / tile.nc, tile.c0 + i % tile.nc));
                        }
                        return;
                    }
                    p.rows.runs(tile.r0, tile.nr, |rd, ro, rn, rs| {
                        p.cols.runs(tile.c0, tile.nc, |cd, co, cn, cs| {
                            let at = |r: usize| (rd + r) * tile.nc + cd;
                            let from = |r: usize| bound.at(place).offset((ro + co + r as isize * rs) * p.size as isize);
                            let announce = |r: usize| {
                                if cs == 1 && r < rn {
                                    indices.announce(p.size, from(r), at(r), cn);
                                }
                            };
                            (0..AHEAD).for_each(announce);
                            for r in 0..rn {
                                announce(r + AHEAD);
                                let (at, src) = (at(r), StridedBlock { ptr: from(r), rows: 0, cols: cs });
                                let bad = indices.take(p.size, src, Some(raw.add(at * p.size)), at, cn);
                                if program.goal == Goal::CheckIndices
                                    && let Some((i, want)) = bad
                                {
                                    bound.report(position, want, (tile.r0 + rd + r, tile.c0 + cd + i));
                                }
                            }
                        });
                    });
                    if let Some(widen) = p.convert {
                        widen(tile.len(), raw, raw, raw, to);
                    }
                }
                StepKind::Position(position) => {
                    let index = self.at[step.args[0]] as *const u8;
                    let Position { extent, mode, .. } = program.positions[position];
                    let indices = Indices::of(index, step.operand, extent, mode);
                    let bad = indices.positions(std::slice::from_raw_parts_mut(to as *mut i32, tile.len()));
                    if program.goal == Goal::CheckIndices
                        && let Some((i, want)) = bad
                    {
                        bound.report(position, want, (tile.r0 + i / tile.nc, tile.c0 + i % tile.nc));
                    }
                }
                StepKind::Philox { word, key } => {
                    // `BoundProgram::new` has checked that the run binds these scalars
                    let key = key.map(|n| bound.run.bindings.scalars.get(n).copied().unwrap_or(0) as u32);
                    let index = self.at[step.args[0]] as *const u8;
                    let out = std::slice::from_raw_parts_mut(to as *mut u32, tile.len());
                    random_words(word, key, step.operand, index, out);
                }
                StepKind::Call(_)
                | StepKind::CallRows(_)
                | StepKind::Load(_)
                | StepKind::Scan(_)
                | StepKind::ReuseRow => {}
            }
        }
    }
}

/// Computes random words, each from its number. `index` points to a number, of type `operand`, for each word.
///
/// # Safety
/// `index` points to as many elements as `out` has, which no other thread writes.
unsafe fn random_words(word: u8, key: [u32; 3], operand: Compute, index: *const u8, out: &mut [u32]) {
    // SAFETY: the caller ensures that `index` has an element for each of `out`.
    unsafe {
        if operand.size() == 4 {
            let index = std::slice::from_raw_parts(index as *const u32, out.len());
            return super::philox::run(word, key, index, out);
        }
        for (i, o) in out.iter_mut().enumerate() {
            *o = super::philox::word(word, index_value(operand, index, i) as u32, key);
        }
    }
}

/// Copies a tile of a load from its buffer to `to`, as contiguous rows.
///
/// # Safety
/// The tile is in the level's index space, so it is inside the buffer (see [`Program`](super::program::Program)). `to`
/// has room for it.
unsafe fn pack_tile(bound: &BoundProgram<'_>, place: usize, to: *mut u8, tile: TileBounds) {
    let size = bound.program.places[place].size;
    // SAFETY: each block is a part of the tile, whose elements are in the buffer.
    blocks(bound, place, to, tile, |memory, packed, nr, nc| unsafe { strided::copy(size, memory, packed, nr, nc) });
}

/// Copies a tile of a store from contiguous rows at `from` to its buffer.
///
/// # Safety
/// The tile is in the level's index space, `from` points to its elements, and no other task runs the tile.
unsafe fn unpack_tile(bound: &BoundProgram<'_>, place: usize, from: *const u8, tile: TileBounds) {
    let size = bound.program.places[place].size;
    // SAFETY: each block is a part of the tile, whose elements are in the buffer.
    blocks(bound, place, from.cast_mut(), tile, |memory, packed, nr, nc| unsafe {
        strided::copy(size, packed, memory, nr, nc)
    });
}

/// Cuts a tile into blocks, and calls `f(memory, packed, rows, columns)` for each: `memory` is the block in the buffer
/// of the operand `place`, and `packed` is the same block in the contiguous rows at `at`.
#[inline(always)]
fn blocks(
    bound: &BoundProgram<'_>,
    place: usize,
    at: *mut u8,
    tile: TileBounds,
    f: impl Fn(StridedBlock, StridedBlock, usize, usize),
) {
    let (p, memory) = (&bound.program.places[place], bound.at(place));
    p.rows.runs(tile.r0, tile.nr, |rd, ro, rn, rs| {
        p.cols.blocks(tile.c0, tile.nc, |cd, co, [runs, cn], [apart, cs]| {
            // the rows of a block are rows of the tile, or parts of one row whose elements are equally far apart
            let (times, nr, step, width) = if runs == 1 { (1, rn, rs, tile.nc) } else { (rn, runs, apart, cn) };
            for r in 0..times {
                let from = memory.wrapping_offset((ro + r as isize * rs + co) * p.size as isize);
                let packed = at.wrapping_add(((rd + r) * tile.nc + cd) * p.size);
                f(
                    StridedBlock { ptr: from, rows: step, cols: cs },
                    StridedBlock { ptr: packed, rows: width as isize, cols: 1 },
                    nr,
                    cn,
                );
            }
        });
    });
}
