//! The tile interpreter: runs a program's steps over one tile. Each step is a plain loop over values that fit in the L1
//! cache.

use super::bind::BoundProgram;
use super::gather::{Indices, index_run, index_value};
use super::parts::FillValue;
use super::program::{Dst, Goal, PAGE, Program, StepKind, TileLoop, TileOrder, Write};
use super::scan::Scanner;
use super::strided::{self, StridedBlock};
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
/// number of elements of the same row (or of the same rows side by side) in earlier tiles. It is the tile's offset in a
/// kept row. If it is 0, a scan begins with this tile.
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
/// Its unsafe functions rely on *alive*, *inside*, *room* and *disjoint* of [`Program`](super::program::Program), and
/// on one more condition. *Made for it*: the frame was created for the program that it runs, and the tile is in the
/// level's index space and no larger than the program was compiled for.
pub(super) struct Frame {
    arena: NonNull<u8>,
    /// The size of the arena in bytes.
    size: usize,
    /// The address of each value, by the `id` of its step. It is in the arena or in a buffer.
    pub at: Vec<*mut u8>,
    /// Scratch for a tile of elements in their storage type, before widening or after narrowing.
    raw: Vec<u64>,
    /// The program's scans, with their state from the tiles of a row so far.
    scans: Vec<Scanner>,
    /// The range of positions along its axis at which a scattered store writes: all positions, unless the task has only
    /// a part of them.
    pub part: Range<usize>,
}

/// All positions.
pub(super) const EVERYWHERE: Range<usize> = 0..usize::MAX;

// SAFETY: a frame owns its arena, and only the task that holds the frame uses its addresses; a kernel sets them before
// use.
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
    /// The thread's last frame. A task takes it out, because rayon may run another task on this thread before it ends.
    static FRAME: Cell<Option<Box<Frame>>> = const { Cell::new(None) };
}

/// The maximum bytes of scratch that a thread keeps between kernels, so that 64 threads keep at most 1 GiB.
const KEPT: usize = 16 << 20;

/// The frames of a kernel's tasks. The first one is allocated before any task begins, and a task that finds no memory
/// for a frame of its own waits for the first one. So if memory is lacking, a kernel fails before it writes anything,
/// or not at all.
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
            for broadcast in &pass.broadcasts {
                frame.at[broadcast.to] = frame.slot(broadcast.slot);
            }
        }
        // SAFETY: *room* (`Program`): the arena contains each scan's state, and only this task uses the frame.
        let scan = |spec: &_| unsafe { Scanner::new(*spec, frame.arena.as_ptr()) };
        let scans = program.scans.iter().map(scan);
        frame.scans.clear();
        frame.scans.extend(scans);
        for fill in &program.fills {
            let to = frame.slot(fill.slot);
            frame.at[fill.id] = to;
            // SAFETY: *room*: the slot has `count` elements. *Inside*: a place to read contains an element.
            unsafe {
                let bits = bits_of(fill.value, program, |place| bound.at(place), bound.run.bindings.scalars);
                strided::fill(fill.size, bits, to, fill.count);
            }
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

    /// Returns scratch for `n` elements in their storage type, at most a tile.
    fn raw(&mut self, n: usize) -> *mut u8 {
        self.raw[..n].as_mut_ptr() as *mut u8
    }

    /// Runs steps over a tile.
    ///
    /// # Safety
    /// *Made for it* ([`Frame`]), and the task's part of *disjoint* (`Program`): no other task runs the tile.
    pub unsafe fn run(&mut self, bound: &BoundProgram<'_>, steps: Range<usize>, tile: TileBounds) {
        let (program, n) = (bound.program, tile.len());
        for step in &program.steps[steps] {
            // SAFETY: *room* and *inside* (`Program`): a step writes its register, or its tile of a store.
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
                    StepKind::Load(place) => {
                        let mut at = self.load(bound, place, to, tile);
                        if let (Dst::KeepRow(_), true) = (step.dst, at != to) {
                            // the elements are read from the buffer, but a later pass expects them in the kept row
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
    /// the buffer, this is its address there; otherwise the tile is copied to `to` and widened.
    ///
    /// # Safety
    /// *Made for it* ([`Frame`]); `to` has *room* for the tile.
    #[inline]
    unsafe fn load(&mut self, bound: &BoundProgram<'_>, place: usize, to: *mut u8, tile: TileBounds) -> *mut u8 {
        let (p, n) = (&bound.program.places[place], tile.len());
        // SAFETY: *inside* (`Program`): the span contains every element of the tile. *Room*: `to` and the raw scratch
        // hold a tile.
        unsafe {
            if p.dense(tile.nr, tile.nc) {
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

    /// Writes a value's tile to the memory of a store: narrowed to the stored dtype, and at the store's strides.
    ///
    /// # Safety
    /// *Made for it* ([`Frame`]); the tile's values are computed; no other task runs the tile.
    pub unsafe fn write(&mut self, bound: &BoundProgram<'_>, w: &Write, tile: TileBounds) {
        let (place, from) = (w.place, self.at[w.id] as *const u8);
        let (p, n) = (&bound.program.places[place], tile.len());
        // SAFETY: *inside* and *room* (`Program`). The value may lie in the memory that is written, for example if a
        // load is stored in place, so this uses `copy`, which allows overlap.
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
    /// *Made for it* ([`Frame`]); `to` has *room* for the tile.
    unsafe fn generate(&mut self, bound: &BoundProgram<'_>, step: &TileLoop, to: *mut u8, tile: TileBounds) {
        let program = bound.program;
        // SAFETY: *room*: `to`, the raw scratch and the operand's register have room for a tile. *Inside*: the span of
        // a gather's place includes every element that an index in range refers to.
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
                    // `BoundProgram::new` has checked that there are that many scalars
                    let key = key.map(|n| bound.run.bindings.scalars.get(n).copied().unwrap_or(0) as u32);
                    let index = self.at[step.args[0]] as *const u8;
                    let out = std::slice::from_raw_parts_mut(to as *mut u32, tile.len());
                    if step.operand.size() == 4 {
                        let index = std::slice::from_raw_parts(index as *const u32, tile.len());
                        super::philox::run(word, key, index, out);
                    } else {
                        for (i, o) in out.iter_mut().enumerate() {
                            *o = super::philox::word(word, index_value(step.operand, index, i) as u32, key);
                        }
                    }
                }
                StepKind::Call(_) | StepKind::Load(_) | StepKind::Scan(_) | StepKind::ReuseRow => {}
            }
        }
    }
}

/// Returns the number that a register is filled with. `at` returns the address of element 0 of a place.
///
/// # Safety
/// *Inside* ([`Program`]): a place to read contains an element.
#[inline]
pub(super) unsafe fn bits_of(
    value: FillValue,
    program: &Program,
    at: impl Fn(usize) -> *mut u8,
    scalars: &[u64],
) -> u64 {
    match value {
        FillValue::Bits(bits) => bits,
        // the run has that many scalars, because binding the program has checked it
        FillValue::Scalar(n) => scalars.get(n).copied().unwrap_or(0),
        // SAFETY: the caller's condition; an element has at most 8 bytes.
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

/// Copies a tile of a load from its buffer to `to`, as contiguous rows.
///
/// # Safety
/// *Inside* (`Program`); the tile is in the level's index space, and `to` has room for it.
unsafe fn pack_tile(bound: &BoundProgram<'_>, place: usize, to: *mut u8, tile: TileBounds) {
    let size = bound.program.places[place].size;
    // SAFETY: *inside*, and a block is a part of the tile.
    blocks(bound, place, to, tile, |memory, packed, nr, nc| unsafe { strided::copy(size, memory, packed, nr, nc) });
}

/// Copies contiguous rows from `from` to a tile of a store's buffer.
///
/// # Safety
/// *Inside* (`Program`); the tile is in the level's index space, `from` points to its elements, and no other task runs
/// it.
unsafe fn unpack_tile(bound: &BoundProgram<'_>, place: usize, from: *const u8, tile: TileBounds) {
    let size = bound.program.places[place].size;
    // SAFETY: *inside*, and a block is a part of the tile.
    blocks(bound, place, from.cast_mut(), tile, |memory, packed, nr, nc| unsafe {
        strided::copy(size, packed, memory, nr, nc)
    });
}

/// Calls `f(memory, packed, rows, columns)` for blocks of a tile, where each is in the buffer of a place and in the
/// contiguous rows at `at`.
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
            // the rows of a block are those of the tile, or the runs of one row
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
