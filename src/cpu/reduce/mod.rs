//! Runs reduce kernels and row kernels. Their index space is an outer space times an inner space, and they reduce along
//! the inner space (`program.rs` defines the terms). A *block* is a range of neighbouring outer indices, each of which
//! is one row to reduce. A task processes several blocks or, if there are few blocks, a part of each row of one block.

mod beyond;
mod reading;
mod shared;

use super::assign::assign;
use super::bind::{BoundProgram, Run};
use super::direct::{self, Direct};
use super::elementwise::{out_of_memory, tiles_of};
use super::fold::{Folder, Inputs};
use super::parts::internal;
use super::program::{Goal, Level, PassReduction, Program, ReductionResult, Request, RowBroadcast, TileOrder};
use super::strided::{self, StridedBlock};
use super::thread_count::threads;
use super::tiles::{Frame, Frames, TileBounds};
use super::work_sharing::share;
use crate::base::error::Result;
use crate::plan::kernel::{Kernel, Passes, TileSchedule, Tiling};
use beyond::{Beyond, Lazy};
use reading::{folds_blocks, folds_halves, folds_in_place};
use shared::PartialResults;
use smallvec::SmallVec;
use std::ops::Range;

/// If partial results have at most this size in bytes, one thread merges them. This takes about 10 µs, about as long as
/// waking another thread.
const MERGED_ALONE: usize = 128 << 10;

/// A prepared reduce or row kernel, which each run binds to buffers. Its outer indices are cut into blocks.
pub(super) struct Reduce {
    program: Program,
    outer: usize,
    n: usize,
    /// The number of outer indices of a block.
    each: usize,
    /// The number of rows of a tile, if tiles hold whole rows; 1 if a tile is a part of a row.
    together: usize,
    /// Whether the kernel only folds elements that are read directly from memory, so that it needs no tiles.
    in_place: bool,
    /// Whether whole rows are folded from memory without registers, so that all rows of a block are folded together.
    is_stepless: bool,
    schedule: TileSchedule,
    /// The kernel as calls of its loops (`direct/`), if all rows are in one tile, or one row or block is read directly
    /// from memory, and no step needs the tile interpreter.
    direct: Option<Box<Direct>>,
    /// The kernel as calls of its loops, if a block is one tile of whole rows, and no step needs the tile interpreter.
    tiles: Option<Box<Direct>>,
    /// The program that checks for indices out of bounds before the first write, so that a failed run writes nothing.
    checks: Option<Box<Reduce>>,
    /// The kernel that computes the blocks with a sum out of bounds (`beyond.rs`).
    beyond: Option<Box<Lazy>>,
}

/// Prepares the kernel of step `number` of a plan, which has at least one outer index. `aliased` states for each input
/// whether it is the memory of the plan's first output.
pub(super) fn prepare(number: usize, kernel: &Kernel, aliased: &[bool]) -> Result<Reduce> {
    let Some(ordinary) = kernel.schedule.ordinary() else { return of_kernel(kernel, aliased) };
    let made = of_kernel(ordinary, aliased)?;
    if aliased.contains(&true) && made.stores_before_a_sum() {
        return of_kernel(kernel, aliased);
    }
    Ok(Reduce { beyond: Some(Box::new(Lazy::new(number, aliased))), ..made })
}

fn of_kernel(kernel: &Kernel, aliased: &[bool]) -> Result<Reduce> {
    let schedule = &kernel.schedule;
    let checks = match schedule.checks() {
        Some(c) => {
            Some(Box::new(Reduce::new(kernel, c.tiles, c.passes.as_ref(), (aliased, Goal::CheckIndices), None)?))
        }
        None => None,
    };
    Reduce::new(kernel, tiles_of(kernel)?, schedule.passes(), (aliased, Goal::Stores), checks)
}

heap! { Reduce: program, direct, tiles, checks, beyond; }

/// The data that the tasks of a run share. A task processes blocks, or a part of the inner space of a block.
struct Job<'a> {
    bound: &'a BoundProgram<'a>,
    frames: &'a Frames<'a>,
    reduce: &'a Reduce,
    /// The number of inner elements in the part of a block that one task processes.
    part: usize,
    /// The blocks that are not stored, because a sum is not in its bounds.
    beyond: Beyond,
}

impl Reduce {
    fn new(
        kernel: &Kernel,
        schedule: TileSchedule,
        passes: Option<&Passes>,
        (aliased, goal): (&[bool], Goal),
        checks: Option<Box<Reduce>>,
    ) -> Result<Reduce> {
        let (outer, n) = (kernel.outer_size(), kernel.inner_size());
        let (order, each, inner) = match schedule.tiling {
            Tiling::Along { rows, together, cols } => {
                let level = Level { rows: together as usize, cols: cols as usize, fixed: true };
                (TileOrder::Rows, rows as usize, level)
            }
            Tiling::Across { rows, cols } => {
                let (rows, cols) = (rows as usize, cols as usize);
                (TileOrder::Cols, cols, Level { rows, cols, fixed: outer.is_multiple_of(cols) })
            }
            Tiling::Pieces { .. } | Tiling::Rows { .. } | Tiling::Blocks { .. } => {
                return Err(internal(kernel.name, "a reduction with tiles of another kind of kernel"));
            }
        };
        let level = Level { rows: 1, cols: each, fixed: true };
        let program = assign(kernel, Request { order, outer: level, inner, goal, passes, aliased })?;
        let together = if order == TileOrder::Rows { inner.rows } else { 1 };
        let mut folds = program.passes.iter().flat_map(|p| &p.reductions);
        if together > 1 && (inner.cols != n || !program.scans.is_empty() || folds.any(|f| !f.takes_whole_rows())) {
            return Err(internal(kernel.name, "tiles of whole rows in a kernel that needs parts of rows"));
        }
        let in_place = folds_in_place(&program);
        let is_stepless = folds_blocks(&program, each, n);
        let is_one_tile = outer <= each.min(together) && inner.cols == n;
        let is_read_at_once = schedule.alone && (is_stepless && outer <= each || in_place && outer == 1);
        let is_one_call = (is_one_tile || is_read_at_once) && order == TileOrder::Rows;
        let is_simple = is_one_call && n > 0 && goal == Goal::Stores && checks.is_none();
        let direct = if is_simple { direct::compile_rows(&program, [outer; 2], n).map(Box::new) } else { None };
        let has_whole_rows = order == TileOrder::Rows && inner.cols == n && n > 0;
        let is_tiled = has_whole_rows && each == together && outer > each && goal == Goal::Stores;
        let tiles = if is_tiled { direct::compile_rows(&program, [outer, each], n).map(Box::new) } else { None };
        let in_place = in_place || folds_halves(&program);
        let beyond = None;
        Ok(Reduce { program, outer, n, each, together, in_place, is_stepless, schedule, direct, tiles, checks, beyond })
    }

    /// Runs the kernel on the buffers of a run.
    #[inline]
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        if run.rehearses && self.beyond.is_some() {
            self.run_beyond(run, vec![])?;
        }
        match &self.direct {
            Some(direct) => match direct.run(&self.program, run)? {
                true => Ok(()),
                false => self.run_beyond(run, vec![0]),
            },
            None => self.run_tiles(run),
        }
    }

    #[inline(never)]
    fn run_tiles(&self, run: &Run<'_>) -> Result<()> {
        if let Some(checks) = &self.checks {
            checks.run(run)?;
        }
        let (program, n, blocks) = (&self.program, self.n, self.outer.div_ceil(self.each));
        let threads = if self.schedule.alone { 1 } else { threads() };
        let mut part = self.part(threads);
        let mut partial: Vec<u64> = vec![];
        if part < n {
            let width: usize = program.passes[0].reductions.iter().map(|f| f.spec.partial()).sum();
            let words = blocks * n.div_ceil(part) * width / 8;
            match partial.try_reserve_exact(words) {
                _ if run.pool.faults.hit_alone("partial results") => part = n,
                Ok(()) => partial.resize(words, 0),
                // without memory for partial results, one task reduces a whole block, with the same bits
                Err(_) => part = n,
            }
        }
        let bound = &BoundProgram::new(program, run)?;
        let Some(frames) = Frames::new(bound) else { return Err(out_of_memory(program.name)) };
        if run.rehearses {
            frames.end();
            return Ok(());
        }
        let job = Job { bound, frames: &frames, reduce: self, part, beyond: Beyond::default() };
        let parts = n.div_ceil(part).max(1);
        if parts == 1 {
            // a task prepares its frame once for several neighbouring blocks. There are 16 tasks per thread, so that a
            // thread that is held up runs fewer of them
            let tasks = blocks.min(threads * 16);
            let body = |i: usize| job.blocks(i * blocks / tasks..(i + 1) * blocks / tasks);
            if tasks == 1 { body(0) } else { share(tasks, self.schedule.alone, body) }
        } else {
            let width = partial.len() * 8 / (blocks * parts);
            let all = PartialResults { ptr: partial.as_mut_ptr() as *mut u8, width };
            share(blocks * parts, self.schedule.alone, |i| job.part(i / parts, i % parts, all.slot(i)));
            share(blocks, blocks * parts * width <= MERGED_ALONE, |b| job.merge(b, parts, all.slot(b * parts), width));
        }
        let beyond = job.beyond.blocks();
        frames.end();
        bound.verdict()?;
        if beyond.is_empty() { Ok(()) } else { self.run_beyond(run, beyond) }
    }
}

/// Sets the pointer through which the steps of a pass read an outer value, for row `row` of the block and those after it.
/// Returns the register in which the value must be repeated, or `None` if the steps read the value itself.
///
/// # Safety
/// The frame was created for the program of `s` (*made for it*, see [`Frame`]), and the block has the row.
unsafe fn place_broadcast(frame: &mut Frame, s: &RowBroadcast, row: usize) -> Option<*mut u8> {
    let to = s.slot.map(|slot| frame.slot(slot));
    let element = mutant!(first_element_for_all_rows, 0, row);
    // SAFETY: the register of the value has an element for each row of a block (*room*, see [`Program`]).
    frame.at[s.to] = to.unwrap_or_else(|| unsafe { frame.at[s.from].add(element * s.size) });
    to
}

type Folders<'a> = SmallVec<[Folder<'a>; 1]>;

impl<'a> Job<'a> {
    /// Returns block `b` as a tile of the outer index space.
    fn block(&self, b: usize) -> TileBounds {
        let Reduce { each, outer, .. } = *self.reduce;
        let c0 = b * each;
        TileBounds { r0: 0, nr: 1, c0, nc: each.min(outer - c0), start: 0 }
    }

    /// Returns how many rows of a block are reduced side by side: all, if they are the columns of tiles, or else one.
    fn width(&self, block: TileBounds) -> usize {
        if self.bound.program.order == TileOrder::Cols { block.nc } else { 1 }
    }

    /// Creates a folder for each reduction of a pass. A folder holds the state of its reduction.
    fn folders(&self, frame: &Frame, pass: usize, block: TileBounds) -> Folders<'a> {
        let width = self.width(block);
        // SAFETY: the arena, which begins at a page, has room for each fold's state (*room*, see [`Program`]); only
        // this task uses the frame.
        self.bound.program.passes[pass]
            .reductions
            .iter()
            .map(|f| unsafe { Folder::new(&f.spec, frame.slot(0), width, self.reduce.n) })
            .collect()
    }

    /// Returns how many rows of a block are reduced one after another; rows that are the columns of tiles count
    /// together as one.
    fn rows(&self, block: TileBounds) -> usize {
        if self.bound.program.order == TileOrder::Cols { 1 } else { block.nc }
    }

    /// Runs all passes, and the outer steps and stores after the last pass, for each block of a range.
    fn blocks(&self, range: Range<usize>) {
        self.frames.with(|frame| {
            if let Some(tiles) = &self.reduce.tiles {
                let Reduce { each, outer, .. } = *self.reduce;
                let rows = range.start * each..outer.min(range.end * each);
                // SAFETY: the frame is made for this program (*made for it*, see [`Frame`]); blocks are disjoint.
                unsafe { tiles.run_rows(self.bound, frame.slot(0), rows, |row| self.beyond.add(row / each)) };
                if self.bound.program.writes.iter().any(|w| w.stream) {
                    strided::fence();
                }
                return;
            }
            'blocks: for b in range.clone() {
                let block = self.block(b);
                // SAFETY: the frame is made for this program (*made for it*, see [`Frame`]); blocks are disjoint.
                unsafe {
                    for p in 0..self.bound.program.passes.len() {
                        frame.run(self.bound, self.bound.program.stages[p].clone(), block);
                        let mut folders = match self.is_whole(p) {
                            true => Folders::new(),
                            false => self.folders(frame, p, block),
                        };
                        self.rows_of(frame, p, block, &mut folders);
                        if !self.holds(frame, p, block) {
                            self.beyond.add(b);
                            continue 'blocks;
                        }
                    }
                    self.close(frame, block);
                }
            }
            if self.bound.program.writes.iter().any(|w| w.stream) {
                strided::fence();
            }
        })
    }

    /// Returns whether the tiles of pass `p` hold whole rows, and all reductions of the pass have loops for whole rows.
    /// The pass then needs no folders.
    fn is_whole(&self, p: usize) -> bool {
        let program = self.bound.program;
        self.has_whole_rows() && program.passes[p].reductions.iter().all(PassReduction::takes_whole_rows)
    }

    /// Returns whether tiles hold whole rows.
    fn has_whole_rows(&self) -> bool {
        let (program, n) = (self.bound.program, self.reduce.n);
        program.order == TileOrder::Rows && program.inner.cols == n && n > 0 && program.scans.is_empty()
    }

    /// Runs pass `p` over all rows of a block: several rows at once if tiles hold whole rows, or else tile by tile.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]); the outer values of the block that this
    /// pass reads are computed; no other task processes the block.
    unsafe fn rows_of(&self, frame: &mut Frame, p: usize, block: TileBounds, folders: &mut Folders<'_>) {
        let n = self.reduce.n;
        let rows = self.rows(block);
        let whole = self.has_whole_rows();
        let mut row = 0;
        while row < rows {
            // SAFETY: the caller ensures the conditions of `walk` for all rows. A tile of whole rows has at most
            // `together` rows, for which the program's registers have room, unless it needs no registers.
            unsafe {
                if whole {
                    let together = if self.reduce.is_stepless { rows } else { self.reduce.together };
                    let count = together.min(rows - row);
                    self.whole_rows(frame, p, block, (row, count), folders);
                    row += count;
                } else {
                    self.walk(frame, p, block, row, 0..n, folders);
                    self.write_results(frame, p, row, folders);
                    row += 1;
                }
            }
        }
    }

    /// Runs pass `p` over `count` whole rows of a block as one tile, beginning with row `row` of the block.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]), whose tiles have space for the rows; the
    /// outer values of the block that this pass reads are computed; no other task processes these rows.
    unsafe fn whole_rows(
        &self,
        frame: &mut Frame,
        p: usize,
        block: TileBounds,
        (row, count): (usize, usize),
        folders: &mut Folders<'_>,
    ) {
        let (bound, program, n) = (self.bound, self.bound.program, self.reduce.n);
        let pass = &program.passes[p];
        let tile = TileBounds { r0: block.c0 + row, nr: count, c0: 0, nc: n, start: 0 };
        // SAFETY: the caller ensures that the frame is made for this program (*made for it*); registers have room for
        // the tile and for the results of all rows of a block (*room*, see [`Program`]).
        unsafe {
            for s in &pass.broadcasts {
                let Some(to) = place_broadcast(frame, s, row) else { continue };
                let from = StridedBlock { ptr: frame.at[s.from].add(row * s.size), rows: 1, cols: 0 };
                strided::copy(s.size, from, StridedBlock { ptr: to, rows: n as isize, cols: 1 }, count, n);
            }
            frame.run(bound, pass.steps.clone(), tile);
            for (i, f) in pass.reductions.iter().enumerate() {
                let data: Inputs = f.args.map(|a| frame.at[a] as *const u8);
                let to = |r: &ReductionResult| frame.at[r.id].add(row * r.size);
                if f.takes_whole_rows() && f.results.iter().all(|r| f.spec.whole_rows(data, count, r.gives, to(r))) {
                    continue;
                }
                let folder = &mut folders[i];
                // several rows (`count`) are always handled above, which `Reduce::new` and `folds_blocks` have checked, so
                // this is one row
                folder.reset(n, f.base.map_or(std::ptr::null(), |b| (frame.at[b] as *const i32).add(row)));
                folder.feed(0, data, n);
                folder.end();
                f.results.iter().for_each(|r| folder.write(r.gives, to(r)));
            }
            if p + 1 == program.passes.len() {
                for w in program.writes.iter().filter(|w| w.inner && !w.direct) {
                    frame.write(bound, w, tile);
                }
            }
        }
    }

    /// Ends the reductions of a pass and writes their results to registers, where the outer steps after the pass read
    /// them. If rows are reduced one after another, `row` is the row's index in the block; otherwise `row` is 0.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]); the folders belong to this pass, and the
    /// block has the row.
    unsafe fn write_results(&self, frame: &Frame, pass: usize, row: usize, folders: &mut Folders<'_>) {
        for (f, folder) in self.bound.program.passes[pass].reductions.iter().zip(folders) {
            // SAFETY: each register has room for the results of all rows of a block (*room*, see [`Program`]).
            unsafe {
                folder.end();
                for r in &f.results {
                    folder.write(r.gives, frame.at[r.id].add(row * r.size));
                }
            }
        }
    }

    /// Runs the outer steps after the last pass and the stores of outer values: the epilogue.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]); all passes of the block have ended, and
    /// no other task processes the block.
    unsafe fn close(&self, frame: &mut Frame, block: TileBounds) {
        let (bound, program) = (self.bound, self.bound.program);
        // SAFETY: the frame is made for this program (*made for it*), the block is a tile of the outer index space, and
        // no other task processes it.
        unsafe {
            frame.run(bound, program.stages[program.passes.len()].clone(), block);
            for w in &program.writes {
                if !w.inner && !w.direct {
                    frame.write(bound, w, block);
                }
            }
        }
    }

    /// Runs pass `p` over a part of the inner space, tile by tile: its steps, its reductions, and in the last pass the
    /// stores of inner values.
    ///
    /// # Safety
    /// The frame was created for this program (*made for it*, see [`Frame`]); the outer values of the block that this
    /// pass reads are computed; no other task processes this part of the block.
    unsafe fn walk(
        &self,
        frame: &mut Frame,
        p: usize,
        block: TileBounds,
        row: usize,
        part: Range<usize>,
        folders: &mut Folders<'_>,
    ) {
        let (bound, program) = (self.bound, self.bound.program);
        let pass = &program.passes[p];
        let last = p + 1 == program.passes.len();
        let cols = program.order == TileOrder::Cols;
        let step = if cols { program.inner.rows } else { program.inner.cols };
        // SAFETY: tiles are cut from the part, and are no larger than the program was compiled for (*made for it*, see
        // [`Frame`]); each register has room for a tile (*room*, see [`Program`]).
        unsafe {
            for s in &pass.broadcasts {
                let Some(to) = place_broadcast(frame, s, row) else { continue };
                let from = frame.at[s.from];
                if cols {
                    for r in 0..step.min(part.len()) {
                        std::ptr::copy_nonoverlapping(from, to.add(r * block.nc * s.size), block.nc * s.size);
                    }
                } else {
                    let from = StridedBlock { ptr: from.add(row * s.size), rows: 0, cols: 0 };
                    strided::copy(s.size, from, StridedBlock { ptr: to, rows: 0, cols: 1 }, 1, part.len().min(step));
                }
            }
            for (input, folder) in pass.reductions.iter().zip(folders.iter_mut()) {
                let base = input.base.map_or(std::ptr::null(), |b| (frame.at[b] as *const i32).add(row));
                folder.reset(part.len(), base);
            }
            let mut i = part.start;
            if self.reduce.in_place && !cols {
                self.feed_runs(pass, block.c0 + row, &part, folders);
                i = part.end;
            } else if self.reduce.in_place && self.feed_where_they_lie(pass, block, &part, folders) {
                i = part.end;
            }
            while i < part.end {
                let count = step.min(part.end - i);
                let tile = match cols {
                    true => TileBounds { r0: i, nr: count, c0: block.c0, nc: block.nc, start: i * block.nc },
                    false => TileBounds { r0: block.c0 + row, nr: 1, c0: i, nc: count, start: i },
                };
                frame.run(bound, pass.steps.clone(), tile);
                for (input, folder) in pass.reductions.iter().zip(folders.iter_mut()) {
                    let data: Inputs = input.args.map(|a| frame.at[a] as *const u8);
                    folder.feed(i, data, count);
                }
                if last {
                    for w in &program.writes {
                        if w.inner && !w.direct {
                            frame.write(bound, w, tile);
                        }
                    }
                }
                i += count;
                if i == part.end {
                    for total in &pass.totals {
                        // the total of a scan is its last element, in the last row of the last tile
                        let (width, to) = if cols { (block.nc, 0) } else { (1, row) };
                        let from = frame.at[total.from].add((count - 1) * width * total.size);
                        let to = frame.at[total.id].add(to * total.size);
                        std::ptr::copy_nonoverlapping(from, to, width * total.size);
                    }
                }
            }
        }
    }
}
