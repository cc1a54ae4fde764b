//! Elementwise kernels: tiles over the outer space, and how work is shared between threads.

use super::compile::{compile, operands};
use super::program::{BadIndex, Bound, Goal, Level, Order, Program, internal};
use super::threads::threads;
use super::tile::{Frames, TILE, Tile};
use crate::backend::index_out_of_range;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Kernel, Load, Op, Store};
use crate::layout::{Shape, Strides};
use rayon::prelude::*;

/// Work below this many bytes is not worth waking another thread.
pub(super) const ALONE: usize = 128 << 10;
/// Sides of a tile that transposes.
const BLOCK: [usize; 2] = [32, 64];

/// Calls `f` for each task; in the caller's pool where there is enough to do.
pub(super) fn share(tasks: usize, bytes: usize, f: impl Fn(usize) + Sync + Send) {
    if tasks <= 1 || bytes <= ALONE || threads() == 1 {
        (0..tasks).for_each(f);
    } else {
        (0..tasks).into_par_iter().with_max_len(1).for_each(f);
    }
}

/// Bytes that a kernel's values make for each index, about: a measure of its work.
pub(super) fn weight(kernel: &Kernel) -> usize {
    4 * kernel.values.len()
}

pub(super) fn out_of_memory(kernel: &Kernel) -> Error {
    Error::new(ErrorKind::OutOfMemory, kernel.name, "no memory for the kernel's scratch", None)
}

/// The error of a program that has met one.
pub(super) fn verdict(program: &Program<'_>, bound: &Bound<'_>) -> Result<()> {
    let bad = program.bad.lock().map_or(None, |b| *b);
    match bad {
        None => Ok(()),
        Some(BadIndex { index, extent, node, .. }) => Err(index_out_of_range(index, extent, bound.bindings.line(node))),
    }
}

/// How the tiles cover the space.
#[derive(Clone, Copy)]
enum Tiling {
    /// Pieces of a row.
    Pieces { each: usize, per_row: usize },
    /// Whole rows, as they follow each other.
    Whole { rows: usize },
    /// Rectangles of the last two axes.
    Blocks { down: usize, across: usize },
}

pub(super) fn run(kernel: &Kernel, bound: &Bound<'_>) -> Result<()> {
    let n = kernel.outer_size();
    if n == 0 {
        return Ok(());
    }
    if kernel.values.iter().any(|v| v.inner) {
        return Err(internal(kernel, "an inner value in an elementwise kernel"));
    }
    if !bound.rehearses
        && let Some(done) = super::small::run(kernel, bound)
    {
        return done;
    }
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
    if kernel.checks() {
        execute(&without_repeats(kernel), bound, Goal::Checks, false)?;
    }
    execute(kernel, bound, Goal::Stores, transposes)
}

fn execute(kernel: &Kernel, bound: &Bound<'_>, goal: Goal, transposes: bool) -> Result<()> {
    let n = kernel.outer_size();
    let cols = kernel.outer.last().copied().unwrap_or(1);
    let rows = n / cols;
    let (tiling, level, tiles);
    if transposes {
        let (a, b) = (kernel.outer[kernel.outer.len() - 2], cols);
        let (down, across) = (a.div_ceil(BLOCK[0]), b.div_ceil(BLOCK[1]));
        tiling = Tiling::Blocks { down, across };
        level = Level { rows: BLOCK[0].min(a), cols: BLOCK[1].min(b), fixed: b.is_multiple_of(BLOCK[1]) };
        tiles = rows / a * down * across;
    } else if cols >= TILE / 4 || rows == 1 {
        let tile = TILE;
        let per_row = cols.div_ceil(tile);
        // pieces of nearly equal length, in whole cache lines
        let each = cols.div_ceil(per_row).next_multiple_of(64).min(tile);
        tiling = Tiling::Pieces { each, per_row };
        level = Level { rows: 1, cols: each.min(cols), fixed: true };
        tiles = rows * per_row;
    } else {
        let each = (TILE / cols).min(rows);
        tiling = Tiling::Whole { rows: each };
        level = Level { rows: each, cols, fixed: true };
        tiles = rows.div_ceil(each);
    }
    let program = compile(kernel, bound, Order::Flat, level, Level { rows: 0, cols: 0, fixed: true }, goal)?;
    let tile = |t: usize| match tiling {
        Tiling::Pieces { each, per_row } => {
            let (r, c0) = if per_row == 1 { (t, 0) } else { (t / per_row, t % per_row * each) };
            Tile { r0: r, nr: 1, c0, nc: each.min(cols.saturating_sub(c0)), start: 0 }
        }
        Tiling::Whole { rows: each } => {
            let r0 = t * each;
            Tile { r0, nr: each.min(rows - r0), c0: 0, nc: cols, start: 0 }
        }
        Tiling::Blocks { down, across } => {
            let a = kernel.outer[kernel.outer.len() - 2];
            // down the columns first: the lines of the transposed side are used up at once
            let (d, c, rest) = (t % down, t / down % across, t / (down * across));
            let (r, c0) = (d * BLOCK[0], c * BLOCK[1]);
            Tile { r0: rest * a + r, nr: BLOCK[0].min(a - r), c0, nc: BLOCK[1].min(cols - c0), start: 0 }
        }
    };
    let Some(frames) = Frames::new(&program) else { return Err(out_of_memory(kernel)) };
    if bound.rehearses {
        frames.end();
        return Ok(());
    }
    let body = |from: usize, to: usize| {
        frames.with(|frame| {
            for tile in (from..to).map(tile).filter(|t| t.nc > 0) {
                // SAFETY: the tiles of all tasks are apart from each other; the program was compiled for this size.
                unsafe {
                    frame.run(&program, program.stages[0].clone(), tile);
                    for w in &program.writes {
                        if !w.direct {
                            frame.write(&program.places[w.place], frame.at[w.id], tile, w.stream);
                        }
                    }
                }
            }
            if program.writes.iter().any(|w| w.stream) {
                super::strided::fence();
            }
        })
    };
    let bytes = n.saturating_mul(weight(kernel));
    if bytes <= ALONE || tiles == 1 {
        body(0, tiles);
    } else {
        let tasks = tiles.min(threads() * 8);
        share(tasks, bytes, |i| body(i * tiles / tasks, (i + 1) * tiles / tasks));
    }
    frames.end();
    verdict(&program, bound)
}

/// The kernel with length 1 along axes on which no index depends, for a look at the indices alone.
fn without_repeats(kernel: &Kernel) -> Kernel {
    let mut checked = kernel.clone();
    if kernel.values.len() > 128 {
        // more than a program has
        return checked;
    }
    checked.outer.iter_mut().enumerate().for_each(|(axis, n)| {
        let still = |strides: &Strides| strides[axis] == 0;
        // values that an index is made of
        let mut looked = 0u128;
        let repeats = kernel.values.iter().enumerate().rev().all(|(v, value)| {
            let is_read = looked >> v & 1 == 1;
            if is_read || matches!(value.op, Op::Gather { .. }) {
                operands(&value.op).iter().for_each(|a| looked |= 1 << a);
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

/// An axis along which some operand is contiguous while it is not along the last, so that rectangles of both axes use
/// whole cache lines.
fn transposed_axis(kernel: &Kernel) -> Option<usize> {
    let rank = kernel.outer.len();
    if rank < 2 || kernel.outer[rank - 1] < 8 || kernel.outer_size() < 4096 {
        return None;
    }
    let strides = kernel.loads.iter().map(|l| &l.strides).chain(kernel.stores.iter().map(|s| &s.strides));
    strides.filter(|s| s[rank - 1].unsigned_abs() > 1).find_map(|s| {
        let axis = (0..rank - 1).rev().find(|&d| s[d] == 1 && kernel.outer[d] >= 8);
        // a short step wastes little
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
