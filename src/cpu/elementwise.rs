//! Elementwise kernels: tiles over the outer space, and how work is shared between threads.

use super::assign::assign;
use super::bind::{Bound, Run};
use super::program::{Goal, Level, Order, Program, Tiles};
use super::threads::threads;
use super::tiles::{Frames, TILE, Tile};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Kernel, Load, Op, Store};
use crate::layout::{Shape, Strides};
use rayon::prelude::*;

/// Bytes of work below which one thread does it: they take some 10 µs, about what it costs to wake another.
pub(super) const ALONE: usize = 128 << 10;
/// Rows and columns of a tile of a transposing kernel: together 2,048 elements, so that both sides of it stay in L1; a side of
/// 32 4-byte words is two whole cache lines.
const BLOCK: [usize; 2] = [32, 64];

/// Calls `f` for each task; in the caller's pool where there is enough to do.
pub(super) fn share(tasks: usize, bytes: usize, f: impl Fn(usize) + Sync + Send) {
    if tasks <= 1 || bytes <= ALONE || threads() == 1 {
        (0..tasks).for_each(f);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// A measure of a kernel's work for each index: bytes of its values at four each, to be compared with [`ALONE`].
pub(super) fn weight(kernel: &Kernel) -> usize {
    4 * kernel.values.len()
}

pub(super) fn out_of_memory(name: &'static str) -> Error {
    Error::new(ErrorKind::OutOfMemory, name, "no memory for the kernel's scratch", None)
}

/// How tiles cover the index space. No bit depends on it.
#[derive(Clone, Copy)]
enum Tiling {
    /// Pieces of a row that is longer than a tile.
    Pieces { each: usize, per_row: usize },
    /// Several whole rows, of which one alone would make loops too short.
    Whole { each: usize },
    /// Rectangles of the last two axes, the last but one of length `length`.
    Blocks { down: usize, across: usize, length: usize },
}

/// An elementwise kernel that is ready to be bound.
pub(super) struct Elementwise {
    program: Program,
    tiling: Tiling,
    tiles: usize,
    rows: usize,
    cols: usize,
    /// The work of the kernel, by [`weight`].
    bytes: usize,
    /// The program that looks for an index out of range before the first write, so that a failed run writes nothing.
    checks: Option<Box<Elementwise>>,
}

/// Prepares a kernel over at least one index.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Elementwise> {
    let turned;
    let mut kernel = kernel;
    let transposes = match transposed_axis(kernel) {
        Some(axis) => {
            turned = turn(kernel, axis);
            kernel = &turned;
            true
        }
        None => false,
    };
    let checks = match kernel.checks() {
        true => Some(Box::new(Elementwise::new(&without_repeats(kernel), aliased, Goal::CheckIndices, false, None)?)),
        false => None,
    };
    Elementwise::new(kernel, aliased, Goal::Stores, transposes, checks)
}

impl Elementwise {
    fn new(
        kernel: &Kernel,
        aliased: &[bool],
        goal: Goal,
        transposes: bool,
        checks: Option<Box<Elementwise>>,
    ) -> Result<Elementwise> {
        let n = kernel.outer_size();
        let cols = kernel.outer.last().copied().unwrap_or(1);
        let rows = n / cols;
        let (tiling, level, tiles);
        if transposes {
            let (a, b) = (kernel.outer[kernel.outer.len() - 2], cols);
            let (down, across) = (a.div_ceil(BLOCK[0]), b.div_ceil(BLOCK[1]));
            tiling = Tiling::Blocks { down, across, length: a };
            level = Level { rows: BLOCK[0].min(a), cols: BLOCK[1].min(b), fixed: b.is_multiple_of(BLOCK[1]) };
            tiles = rows / a * down * across;
        } else if cols >= TILE / 4 || rows == 1 {
            let per_row = cols.div_ceil(TILE);
            // pieces of nearly equal length, so that no last piece is short; 64 elements of any type are whole cache lines
            let each = cols.div_ceil(per_row).next_multiple_of(64).min(TILE);
            tiling = Tiling::Pieces { each, per_row };
            level = Level { rows: 1, cols: each.min(cols), fixed: true };
            tiles = rows * per_row;
        } else {
            let each = (TILE / cols).min(rows);
            tiling = Tiling::Whole { each };
            level = Level { rows: each, cols, fixed: true };
            tiles = rows.div_ceil(each);
        }
        let program = assign(kernel, Tiles { order: Order::Flat, outer: level, inner: Level::NONE, goal, aliased })?;
        Ok(Elementwise { program, tiling, tiles, rows, cols, bytes: n.saturating_mul(weight(kernel)), checks })
    }

    fn tile(&self, t: usize) -> Tile {
        match self.tiling {
            Tiling::Pieces { each, per_row } => {
                let (r, c0) = if per_row == 1 { (t, 0) } else { (t / per_row, t % per_row * each) };
                Tile { r0: r, nr: 1, c0, nc: each.min(self.cols.saturating_sub(c0)), start: 0 }
            }
            Tiling::Whole { each } => {
                let r0 = t * each;
                Tile { r0, nr: each.min(self.rows - r0), c0: 0, nc: self.cols, start: 0 }
            }
            Tiling::Blocks { down, across, length } => {
                // tiles go down the columns first, so that the next one uses the rest of the cache lines of the transposed side
                let (d, c, rest) = (t % down, t / down % across, t / (down * across));
                let (r, c0) = (d * BLOCK[0], c * BLOCK[1]);
                let (nr, nc) = (BLOCK[0].min(length - r), BLOCK[1].min(self.cols - c0));
                Tile { r0: rest * length + r, nr, c0, nc, start: 0 }
            }
        }
    }

    /// Runs the kernel on the buffers of a run.
    pub fn run(&self, run: &Run<'_>) -> Result<()> {
        if let Some(checks) = &self.checks {
            checks.run(run)?;
        }
        let bound = &Bound::new(&self.program, run)?;
        let Some(frames) = Frames::new(bound) else { return Err(out_of_memory(self.program.name)) };
        if run.rehearses {
            frames.end();
            return Ok(());
        }
        let (program, tiles) = (&self.program, self.tiles);
        let body = |from: usize, to: usize| {
            frames.with(|frame| {
                for tile in (from..to).map(|t| self.tile(t)).filter(|t| t.nc > 0) {
                    // SAFETY: the tiles of all tasks are apart from each other; the program was made for this size.
                    unsafe {
                        frame.run(bound, program.stages[0].clone(), tile);
                        for w in program.writes.iter().filter(|w| !w.direct) {
                            frame.write(bound, w, tile);
                        }
                    }
                }
                if program.writes.iter().any(|w| w.stream) {
                    super::strided::fence();
                }
            })
        };
        if self.bytes <= ALONE || tiles == 1 {
            body(0, tiles);
        } else {
            let tasks = tiles.min(threads() * 8);
            share(tasks, self.bytes, |i| body(i * tiles / tasks, (i + 1) * tiles / tasks));
        }
        frames.end();
        bound.verdict()
    }
}

/// The kernel with length 1 along axes on which no index of a gather depends: each index is then checked once.
fn without_repeats(kernel: &Kernel) -> Kernel {
    let mut checked = kernel.clone();
    if kernel.values.len() > 128 {
        // more values than a set of bits has; the program of it will be refused
        return checked;
    }
    checked.outer.iter_mut().enumerate().for_each(|(axis, n)| {
        let still = |strides: &Strides| strides[axis] == 0;
        // the values that indices are computed from
        let mut looked = 0u128;
        let repeats = kernel.values.iter().enumerate().rev().all(|(v, value)| {
            let is_read = looked >> v & 1 == 1;
            if is_read || matches!(value.op, Op::Gather { .. } | Op::Position { .. }) {
                value.op.operands().iter().for_each(|a| looked |= 1 << a);
            }
            !is_read
                || match &value.op {
                    Op::Load(load) | Op::Gather { load, .. } => still(&kernel.loads[*load].strides),
                    Op::Index { strides, .. } => still(strides),
                    _ => true,
                }
        });
        if repeats {
            *n = 1;
        }
    });
    checked
}

/// An axis along which an operand is contiguous that is not along the last. Tiles over both axes then use whole cache lines of
/// it. Axes under 8 and kernels under 4,096 elements (in L1 as a whole) are not worth it.
fn transposed_axis(kernel: &Kernel) -> Option<usize> {
    let rank = kernel.outer.len();
    if rank < 2 || kernel.outer[rank - 1] < 8 || kernel.outer_size() < 4096 {
        return None;
    }
    let strides = kernel.loads.iter().map(|l| &l.strides).chain(kernel.stores.iter().map(|s| &s.strides));
    strides.filter(|s| s[rank - 1].unsigned_abs() > 1).find_map(|s| {
        let axis = (0..rank - 1).rev().find(|&d| s[d] == 1 && kernel.outer[d] >= 8);
        // with a step under 8 elements most of each cache line is used anyway
        axis.filter(|_| s[rank - 1].unsigned_abs() >= 8)
    })
}

/// The same kernel with `axis` as the last but one.
fn turn(kernel: &Kernel, axis: usize) -> Kernel {
    let rank = kernel.outer.len();
    let order: Vec<usize> = (0..rank - 1).filter(|d| *d != axis).chain([axis, rank - 1]).collect();
    let shape: Shape = order.iter().map(|d| kernel.outer[*d]).collect();
    let move_strides = |s: &Strides| -> Strides { order.iter().map(|d| s[*d]).collect() };
    let mut turned = kernel.clone();
    turned.outer = shape;
    turned.loads = kernel.loads.iter().map(|l| Load { strides: move_strides(&l.strides), ..l.clone() }).collect();
    turned.stores = kernel.stores.iter().map(|s| Store { strides: move_strides(&s.strides), ..s.clone() }).collect();
    for v in &mut turned.values {
        if let Op::Index { strides, .. } = &mut v.op {
            **strides = move_strides(strides);
        }
    }
    turned
}
