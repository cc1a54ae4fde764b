//! Prepares and runs elementwise kernels. Their index space (`Kernel::outer`) is divided into tiles, which threads
//! share.

use super::assign::assign;
use super::bind::{BoundProgram, Run};
use super::blocks;
use super::direct::{self, Direct};
use super::parts::internal;
use super::program::{Goal, Level, Program, Request, TileOrder};
use super::thread_count::threads;
use super::threaded::{self, Threaded};
use super::tiles::{EVERYWHERE, Frame, Frames, TileBounds};
use super::work_sharing::share;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::heap::Heap;
use crate::plan::kernel::{Kernel, TileSchedule, Tiling};

/// Returns tile number `t` of an index space, which is regarded as `all` rows of `columns` columns. `columns` is the
/// length of the last axis, `height` the length of the axis before it, and `all` the product of all lengths but the
/// last.
pub(super) fn tile_at(tiling: Tiling, [all, columns, height]: [usize; 3], t: usize) -> TileBounds {
    match tiling {
        Tiling::Rows { each } => {
            let r0 = t * each as usize;
            TileBounds { r0, nr: (each as usize).min(all - r0), c0: 0, nc: columns, start: 0 }
        }
        Tiling::Blocks { rows, cols } => {
            let (rows, cols) = (rows as usize, cols as usize);
            let (down, across) = (height.div_ceil(rows), columns.div_ceil(cols));
            // Consecutive tiles are neighbours along the last axis but one. This tiling is used if an operand is
            // contiguous along that axis. Then the next tile uses the rest of the cache lines that this tile has read.
            let (d, c, rest) = (t % down, t / down % across, t / (down * across));
            let (r, c0) = (d * rows, c * cols);
            let (nr, nc) = (rows.min(height - r), cols.min(columns - c0));
            TileBounds { r0: rest * height + r, nr, c0, nc, start: 0 }
        }
        Tiling::Pieces { each: cols } | Tiling::Along { cols, .. } | Tiling::Across { cols, .. } => {
            let each = cols as usize;
            let per_row = columns.div_ceil(each);
            let (r, c0) = if per_row == 1 { (t, 0) } else { (t / per_row, t % per_row * each) };
            TileBounds { r0: r, nr: 1, c0, nc: each.min(columns.saturating_sub(c0)), start: 0 }
        }
    }
}

/// Returns how the schedule of a kernel divides the index space into tiles, or an error if the schedule has no tiles.
pub(super) fn tiles_of(kernel: &Kernel) -> Result<TileSchedule> {
    kernel.schedule.tiles().ok_or_else(|| internal(kernel.name, "a kernel without tiles"))
}

pub(super) fn out_of_memory(name: &'static str) -> Error {
    Error::with_line(ErrorKind::OutOfMemory, name, "no memory for the kernel's scratch", None)
}

/// The maximum number of tasks of a kernel that stores elements at computed positions. Each task computes all values,
/// and writes those whose positions are in its part of the axis, so more tasks repeat more computation. A value takes
/// about 1 ns to compute, and 18 ns to write to a random position of a large array.
const MOST_PARTS: usize = 8;

/// The compiled form of an elementwise kernel.
enum Code {
    /// A program (`program.rs`): each operation is a loop over a tile.
    Loops(Box<Program>),
    /// Threaded code (`threaded/`): values stay in processor registers between operations.
    Threaded(Box<Threaded>),
}

heap! { Elementwise: code, direct, checks; }

impl Heap for Code {
    fn heap(&self) -> usize {
        match self {
            Code::Loops(program) => program.heap(),
            Code::Threaded(program) => program.heap(),
        }
    }
}

/// An elementwise kernel that is ready to be bound to the buffers of a run.
pub(super) struct Elementwise {
    code: Code,
    schedule: TileSchedule,
    tiles: usize,
    rows: usize,
    cols: usize,
    /// The length of the axis before the last one, or 1 if there is only one axis.
    height: usize,
    /// The kernel as calls of its loops (`direct/`), if its index space is one tile or one row, and no step needs the
    /// tile interpreter.
    direct: Option<Box<Direct>>,
    /// A kernel that checks all indices of gathers and scatters before the first write, so that a run with an
    /// out-of-bounds index writes nothing. `None` if there are no indices to check.
    checks: Option<Box<Elementwise>>,
}

/// Compiles an elementwise kernel whose index space is not empty.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Elementwise> {
    let checks = checks(kernel, aliased)?;
    Elementwise::new(kernel, tiles_of(kernel)?, aliased, Goal::Stores, checks)
}

/// Compiles the kernel that only checks the indices of `kernel`. Returns `None` if there are no indices to check.
pub(super) fn checks(kernel: &Kernel, aliased: &[bool]) -> Result<Option<Box<Elementwise>>> {
    let Some(checks) = kernel.schedule.checks() else { return Ok(None) };
    let looked = Kernel { outer: checks.outer.clone(), ..kernel.clone() };
    Ok(Some(Box::new(Elementwise::new(&looked, checks.tiles, aliased, Goal::CheckIndices, None)?)))
}

impl Elementwise {
    fn new(
        kernel: &Kernel,
        schedule: TileSchedule,
        aliased: &[bool],
        goal: Goal,
        checks: Option<Box<Elementwise>>,
    ) -> Result<Elementwise> {
        let cols = kernel.outer.last().copied().unwrap_or(1);
        let rows = kernel.outer_size() / cols;
        let height = kernel.outer.iter().rev().nth(1).copied().unwrap_or(1);
        let (level, tiles) = match schedule.tiling {
            Tiling::Pieces { each } => {
                let each = each as usize;
                (Level { rows: 1, cols: each.min(cols), fixed: true }, rows * cols.div_ceil(each))
            }
            Tiling::Rows { each } => {
                let each = (each as usize).min(rows);
                (Level { rows: each, cols, fixed: true }, rows.div_ceil(each))
            }
            Tiling::Blocks { rows: down, cols: across } => {
                let (down, across) = (down as usize, across as usize);
                let level =
                    Level { rows: down.min(height), cols: across.min(cols), fixed: cols.is_multiple_of(across) };
                (level, rows / height * height.div_ceil(down) * cols.div_ceil(across))
            }
            Tiling::Along { .. } | Tiling::Across { .. } => {
                return Err(internal(kernel.name, "a kernel that is not a reduction has the tiles of a reduction"));
            }
        };
        if schedule.threaded
            && goal == Goal::Stores
            && let Some(code) = threaded::prepare(kernel, aliased)?
        {
            return Ok(Elementwise {
                code: Code::Threaded(Box::new(code)),
                schedule,
                tiles,
                rows,
                cols,
                height,
                direct: None,
                checks,
            });
        }
        let wanted = Request { order: TileOrder::Flat, outer: level, inner: Level::NONE, goal, passes: None, aliased };
        let program = assign(kernel, wanted)?;
        let tile = tile_at(schedule.tiling, [rows, cols, height], 0);
        let is_row = rows == 1 && matches!(schedule.tiling, Tiling::Pieces { .. });
        let is_simple = (tiles == 1 || is_row) && goal == Goal::Stores && checks.is_none();
        let direct = if is_simple { direct::compile(&program, tile, rows * cols).map(Box::new) } else { None };
        Ok(Elementwise { code: Code::Loops(Box::new(program)), schedule, tiles, rows, cols, height, direct, checks })
    }

    fn tile(&self, t: usize) -> TileBounds {
        tile_at(self.schedule.tiling, [self.rows, self.cols, self.height], t)
    }

    /// Runs the kernel on the buffers of a run.
    #[inline]
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        match (&self.direct, &self.code) {
            (Some(direct), Code::Loops(program)) if self.schedule.alone => direct.run(program, run).map(|_| ()),
            (Some(direct), Code::Loops(program)) => direct.run_shared(program, run, |task| self.share(task)),
            _ => self.run_tiles(run),
        }
    }

    #[inline(never)]
    fn run_tiles(&self, run: &Run<'_>) -> Result<()> {
        if let Some(checks) = &self.checks {
            checks.run(run)?;
        }
        match &self.code {
            Code::Loops(program) => self.run_loops(program, run),
            Code::Threaded(code) => self.run_threaded(code, run),
        }
    }

    fn run_threaded(&self, code: &Threaded, run: &Run<'_>) -> Result<()> {
        let bound = &code.bind(run)?;
        if run.rehearses {
            return Ok(());
        }
        self.share(|from, to| {
            // SAFETY: the tiles are in the kernel's index space, and each tile is run by only one task.
            unsafe { bound.run(self.joined(from, to)) }
        });
        Ok(())
    }

    /// Returns tiles that cover the same elements as the tiles `from..to`. Neighbouring tiles of one row are joined to
    /// one tile.
    fn joined(&self, from: usize, to: usize) -> impl Iterator<Item = TileBounds> {
        let pieces = match self.schedule.tiling {
            Tiling::Pieces { each } => self.cols.div_ceil(each as usize),
            Tiling::Rows { .. } | Tiling::Blocks { .. } | Tiling::Along { .. } | Tiling::Across { .. } => 1,
        };
        (from / pieces..to.div_ceil(pieces)).map(move |group| {
            let first = self.tile(from.max(group * pieces));
            let last = self.tile(to.min((group + 1) * pieces) - 1);
            TileBounds { nc: last.c0 + last.nc - first.c0, ..first }
        })
    }

    /// Distributes the tiles among tasks. Calls `body` for each task with the index of its first tile and the index
    /// after its last tile.
    fn share(&self, body: impl Fn(usize, usize) + Sync + Send) {
        let tiles = self.tiles;
        if self.schedule.alone {
            return body(0, tiles);
        }
        // Eight tasks per thread, so that other threads can take over tasks if one thread is interrupted. Chosen by
        // hand; no benchmark compares other values.
        let tasks = tiles.min(threads() * 8);
        share(tasks, false, |i| body(i * tiles / tasks, (i + 1) * tiles / tasks));
    }

    /// Binds the kernel to the buffers of a run, and calls `body` with the bound kernel, which the caller then computes
    /// part by part. In a rehearsal (a run that only allocates scratch memory), does not call `body`.
    pub fn in_parts(&self, run: &Run<'_>, body: impl FnOnce(&BoundParts<'_>)) -> Result<()> {
        if let Some(checks) = &self.checks {
            checks.run(run)?;
        }
        match &self.code {
            Code::Loops(program) => {
                let bound = &BoundProgram::new(program, run)?;
                let Some(frames) = Frames::new(bound) else { return Err(out_of_memory(program.name)) };
                if !run.rehearses {
                    body(&BoundParts::Loops(bound, &frames));
                }
                frames.end();
                bound.verdict()
            }
            Code::Threaded(code) => {
                let bound = &code.bind(run)?;
                if !run.rehearses {
                    body(&BoundParts::Threaded(bound));
                }
                Ok(())
            }
        }
    }

    fn run_loops(&self, program: &Program, run: &Run<'_>) -> Result<()> {
        let bound = &BoundProgram::new(program, run)?;
        let Some(mut frames) = Frames::new(bound) else { return Err(out_of_memory(program.name)) };
        if run.rehearses {
            frames.end();
            return Ok(());
        }
        let body = |frame: &mut Frame, from: usize, to: usize| {
            for tile in (from..to).map(|t| self.tile(t)).filter(|t| t.nc > 0) {
                // SAFETY: the frame and the tiles belong to this program (*made for it*, see [`Frame`]). No two tasks
                // run the same tile, or if they do, they write different positions (*disjoint*, see [`Program`]).
                unsafe { run_tile(frame, bound, tile) };
            }
            if program.writes.iter().any(|w| w.stream) {
                super::strided::fence();
            }
        };
        if self.schedule.alone {
            body(frames.alone(), 0, self.tiles);
        } else if let Some(positions) = program.in_order() {
            let tasks = positions.min(threads()).clamp(1, MOST_PARTS);
            share(tasks, false, |i| {
                frames.with(|frame| {
                    frame.part = i * positions / tasks..(i + 1) * positions / tasks;
                    body(frame, 0, self.tiles);
                    frame.part = EVERYWHERE;
                })
            });
        } else {
            self.share(|from, to| frames.with(|frame| body(frame, from, to)));
        }
        frames.end();
        bound.verdict()
    }
}

/// Computes a tile and writes its results.
///
/// # Safety
/// The frame was created for the bound program, and the tile is in the program's index space and no larger than the
/// tile's level allows (*made for it*, see [`Frame`]). No other task writes an element that this tile writes
/// (*disjoint*, see [`Program`]).
unsafe fn run_tile(frame: &mut Frame, bound: &BoundProgram<'_>, tile: TileBounds) {
    // SAFETY: the called functions have the same conditions as this one, and the caller ensures them.
    unsafe {
        frame.run(bound, bound.program.stages[0].clone(), tile);
        for w in bound.program.writes.iter().filter(|w| !w.direct) {
            frame.write(bound, w, tile);
        }
    }
}

/// An elementwise kernel that reads the result of a matrix product, bound to the buffers of a run. The tasks of the
/// product also compute this kernel, part by part.
pub(super) enum BoundParts<'a> {
    Loops(&'a BoundProgram<'a>, &'a Frames<'a>),
    Threaded(&'a blocks::BoundBlocks<'a>),
}

impl BoundParts<'_> {
    /// Calls `task` with a function that computes one part of this kernel. A part is a rectangle of the kernel's index
    /// space, with columns along the last axis and rows along the others. `task` must not share work between threads.
    ///
    /// # Safety
    /// The parts are in the kernel's index space, and no other task computes them.
    pub unsafe fn task(&self, task: impl FnOnce(&mut dyn FnMut(TileBounds))) {
        match self {
            BoundParts::Loops(bound, frames) => frames.with(|frame| {
                let level = bound.program.outer;
                task(&mut |part| {
                    // a tile of several rows must consist of whole rows of the index space
                    let most = if part.nc == level.cols { level.rows } else { 1 };
                    for row in (0..part.nr).step_by(most) {
                        for col in (0..part.nc).step_by(level.cols) {
                            let (nr, nc) = (most.min(part.nr - row), level.cols.min(part.nc - col));
                            let tile = TileBounds { r0: part.r0 + row, nr, c0: part.c0 + col, nc, start: 0 };
                            // SAFETY: the tile is no larger than the level allows (*made for it*, see [`Frame`]). The
                            // caller ensures that no other task computes the part.
                            unsafe { run_tile(frame, bound, tile) };
                        }
                    }
                });
                if bound.program.writes.iter().any(|w| w.stream) {
                    super::strided::fence();
                }
            }),
            // SAFETY: the caller ensures that the part is in the index space and that no other task computes it.
            BoundParts::Threaded(bound) => task(&mut |part| unsafe { bound.run(std::iter::once(part)) }),
        }
    }
}
