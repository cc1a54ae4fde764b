//! Schedules a kernel for the threads of a CPU: chooses the shapes of tiles (the parts of a kernel's indices that a
//! thread processes at a time), the order of axes, and the stores that bypass the caches. None of this changes a bit of
//! a result. A row is all inner indices (the reduced or scanned elements) of one outer index.

use super::{Again, checks, moves, ordinary, passes_of, passes_of_stores, products, set_details, threaded};
use crate::base::layout::{self, Shape, Strides};
use crate::graph::ufunc::{Form, cast};
use crate::math::simd::{LANES, NARROW};
use crate::plan::kernel::{
    Caps, Checks, Kernel, KernelKind, KernelReduction, Lanes, Load, Op, SCAN_BLOCK, Source, Store, TileSchedule,
    Tiling, Value, Work, WriteClass,
};
use crate::plan::sums::by_sums;
use smallvec::SmallVec;

/// The amount of work, in the bytes that [`weight`] counts, up to which one thread does all of it. This work takes
/// about 10 µs, about the cost of waking another thread.
const ALONE: usize = 128 << 10;

/// The row length, in elements, below which rows are reduced side by side, each as a column of a tile. In a shorter
/// row, each of the virtual lanes among which a fold divides it has fewer than 4 elements, so loops are too short for
/// SIMD.
const SHORT: usize = 4 * LANES;

/// The row length, in elements, from which a tile may hold several whole rows. Loops over shorter rows are too short
/// for SIMD.
const SHORTEST: usize = 16;

/// The row length, in elements, from which a tile may hold several whole rows if the kernel only folds rows, or elementwise
/// functions of rows that follow one another in memory. Such a kernel folds eight rows together.
const SHORTEST_FOLDED: usize = 4;

/// The maximum number of rows in a block of long rows that are side by side, each as a column. This many are enough
/// work for a task, and more could leave threads idle. Chosen by hand; no benchmark compares other values.
const MOST_COLUMNS: usize = 512;

/// The minimum number of columns of a tile in which rows are side by side, each as a column: 64 bytes of f32, which are
/// a cache line and the widest vector.
const COLUMNS: usize = 16;

/// The amount of work, in the bytes that [`weight`] counts, of one task in which rows are reduced one after the other.
/// Smaller tasks would cost more to set up than they save, and larger ones would leave threads idle. Of 64 and 256 KiB,
/// 256 KiB was measured to be faster for products of a matrix and a vector.
const TASK_OF_ROWS: usize = 256 << 10;

/// The maximum number of rows of a task with short rows. The setup is per row, so more rows per task would save
/// nothing. Chosen by hand; no benchmark compares other values.
const MOST_ROWS: usize = 64;

/// The maximum number of rows of a task if one thread reduces all rows. If they are one task, the CPU needs no tiles for
/// rows that it reads directly from memory. The results of the rows are in registers of 8 KiB in total
/// (`cpu/direct/`).
const MOST_ROWS_ALONE: usize = 512;

/// The amount of work, in the bytes that [`weight`] counts, from which a block of rows may be cut into parts for
/// several threads. 256 KiB take about 20 µs, about the cost of dividing the block and combining the parts.
const SHARED_BLOCK: usize = 256 << 10;

/// The length of the columns of narrow tiles in which rows are side by side. An entry (c, n) means that the columns
/// have n elements if a tile has at most c of them. A fold processes the 64, 32 or 16 blocks of 16 elements of such a
/// column together (`blocks_at_once` in `cpu/fold/mod.rs`), in loops of 64 to 500 elements.
const TALL: [(usize, usize); 3] = [(4, 1024), (8, 512), (31, 256)];

/// The number of rows of a tile of a kernel that transposes: 32 elements of 4 bytes are two whole cache lines.
const BLOCK_ROWS: usize = 32;

/// The minimum length of both axes, and the minimum stride, in elements, from which transposing an operand in tiles is
/// worthwhile. A transposition moves squares of 8 × 8 elements, and with a stride under 8 elements much of each cache
/// line is used anyway.
const SQUARE: usize = 8;

/// The size of a result, in bytes, from which it is written past the caches, if the last-level cache is larger than
/// this or of unknown size. A larger cache is shared by many cores, and none was measured.
const STREAM: usize = 32 << 20;

/// Returns the number of elements of a tile. Four arrays of this many f32, as loops
/// over a tile use them, fit the L1 cache. More than 2,048 elements were measured to be no faster, and fewer than 512
/// make loops too short. A cache of unknown size counts as large enough.
fn tile(caps: &Caps) -> usize {
    let fits = caps.caches[0] / 4 / 4;
    if fits == 0 { 2048 } else { (1 << fits.ilog2()).clamp(512usize, 2048) }
}

/// Returns the number of elements of a block of rows that are side by side and that several passes (loops over all
/// rows) read. As f32 they fill a quarter of the L2 cache. The maximum is 65,536, because more were not measured.
fn kept_rows(caps: &Caps) -> usize {
    let fits = caps.caches[1] / 4 / 4;
    if fits == 0 { 1 << 16 } else { fits.clamp(2 * tile(caps), 1 << 16) }
}

/// Returns the size of a result, in bytes, from which it is written past the caches, because the caches would not hold
/// it until it is read.
fn stream(caps: &Caps) -> usize {
    if caps.caches[2] == 0 { STREAM } else { caps.caches[2].min(STREAM) }
}

/// Returns the amount of work for one index of a kernel, a rough measure of time: four bytes for each value, whatever
/// its type.
fn weight(kernel: &Kernel) -> usize {
    4 * kernel.values.len()
}

/// Chooses the schedule of a kernel for a CPU, and writes it to `kernel.schedule`.
pub(super) fn schedule(kernel: &mut Kernel, caps: &Caps) {
    match kernel.kind {
        KernelKind::Elementwise => elementwise(kernel, caps),
        KernelKind::Reduce(_) | KernelKind::Row => reduce(kernel, caps),
        KernelKind::Matmul => {
            kernel.schedule.work = products::product(kernel, caps).map_or(Work::Undecided, Work::Product);
            set_details(kernel, SmallVec::new(), None, None);
        }
    }
}

fn elementwise(kernel: &mut Kernel, caps: &Caps) {
    let checked = checks(kernel);
    // if several values of a scatter replace the same element, they must be written in order, so that the last one
    // remains
    let in_order = kernel.stores.iter().any(|s| s.scattered().is_some_and(|to| !to.combine.reads()));
    let transposed = (!in_order).then(|| transposed_axis(kernel, caps)).flatten();
    if let Some(axis) = transposed {
        turn(kernel, axis);
    }
    let is_transposed = transposed.is_some();
    let tiles = if kernel.moves().is_some() {
        moves::tiles(kernel, is_transposed)
    } else {
        let tiles = tiles_of_flat(kernel, &kernel.outer, is_transposed, caps);
        match threaded::is_threaded(kernel, &tiles, caps, stream(caps)) {
            true => TileSchedule { threaded: true, alone: tiles.alone || threaded::is_alone(kernel), ..tiles },
            false => tiles,
        }
    };
    // if several tasks share a scatter that replaces elements in order, each computes all values, which is worthwhile
    // only if the writes miss the L2 cache
    let tiles = TileSchedule { alone: tiles.alone || in_order && reached(kernel) <= caps.caches[1], ..tiles };
    kernel.schedule.work = Work::Tiles(tiles);
    let writes = kernel.stores.iter().map(|store| write_class(kernel, store, &tiles, caps)).collect();
    let checks = (!checked.is_empty()).then(|| {
        let outer = without_repeats(kernel, &checked);
        let tiles = tiles_of_flat(kernel, &outer, false, caps);
        Checks { outer, tiles, passes: None }
    });
    set_details(kernel, writes, None, checks);
}

/// Returns the number of bytes from the first to the last element that the stores of a kernel may write, at any of its
/// indices and computed indices.
fn reached(kernel: &Kernel) -> usize {
    let reach = |s: &Store| {
        let axes = kernel.outer.iter().zip(&s.strides).map(|(n, s)| (n - 1).saturating_mul(s.unsigned_abs()));
        let elements = axes.fold(s.reach().unsigned_abs(), usize::saturating_add).saturating_add(1);
        elements.saturating_mul(s.dtype.size())
    };
    kernel.stores.iter().map(reach).fold(0, usize::saturating_add)
}

/// Returns the tiles of a kernel without inner dimensions. `outer` has the lengths of the dimensions to cover.
fn tiles_of_flat(kernel: &Kernel, outer: &[usize], transposes: bool, caps: &Caps) -> TileSchedule {
    let tile = tile(caps);
    let n: usize = outer.iter().product();
    let cols = outer.last().copied().unwrap_or(1);
    let rows = n / cols.max(1);
    let (tiling, elements) = if transposes {
        let (height, width) = (BLOCK_ROWS, tile / BLOCK_ROWS);
        (Tiling::Blocks { rows: height as u16, cols: width as u16 }, height * width)
    } else if cols >= tile / 4 || rows == 1 {
        // cut pieces of nearly equal length, so that no last piece is short; 128 elements of any type are whole cache
        // lines, and whole blocks of threaded code
        let each = cols.div_ceil(cols.div_ceil(tile).max(1)).next_multiple_of(128).min(tile);
        (Tiling::Pieces { each: each as u16 }, each.min(cols))
    } else {
        let each = (tile / cols.max(1)).min(rows);
        (Tiling::Rows { each: each as u16 }, each * cols)
    };
    let alone = n.saturating_mul(weight(kernel)) <= ALONE || elements >= n;
    TileSchedule { tiling, alone, shares_rows: false, threaded: false }
}

/// Returns the lengths of a kernel's outer dimensions. A dimension on which no computed index depends gets length 1, so
/// that each index is checked only once.
fn without_repeats(kernel: &Kernel, checked: &[usize]) -> Shape {
    let mut outer = kernel.outer.clone();
    // the values from which the indices of gathers and scatters are computed
    let mut looked = vec![false; kernel.values.len()];
    for (v, value) in kernel.values.iter().enumerate().rev() {
        if looked[v] || checked.contains(&v) || value.op.position().is_some() {
            value.op.operands().iter().for_each(|a| looked[*a] = true);
        }
    }
    for (axis, n) in outer.iter_mut().enumerate() {
        let still = |strides: &Strides| strides[axis] == 0;
        let depends = |v: usize| match &kernel.values[v].op {
            Op::Load(load) | Op::Gather { load, .. } => !still(&kernel.loads[*load].strides),
            Op::Index { strides, .. } => !still(strides),
            Op::Scalar(_)
            | Op::Constant(_)
            | Op::Ufunc(..)
            | Op::Cast(_)
            | Op::Round(_)
            | Op::Position(_)
            | Op::Philox { .. }
            | Op::Reduce(..)
            | Op::Scan(..)
            | Op::Dot { .. } => false,
        };
        if !(0..kernel.values.len()).any(|v| looked[v] && depends(v)) {
            *n = 1;
        }
    }
    outer
}

/// Returns how a store of a kernel that runs as tiles writes.
fn write_class(kernel: &Kernel, store: &Store, tiles: &TileSchedule, caps: &Caps) -> WriteClass {
    if kernel.moves().is_some() {
        return moves::write_class(kernel, store, stream(caps));
    }
    let outer = &kernel.outer[..];
    let is_inner = kernel.values[store.value].inner;
    let Some(cols) = outer.last() else { return WriteClass::Plain };
    // only a store that writes each tile contiguously may bypass the caches
    let is_run = match tiles.tiling {
        Tiling::Pieces { .. } => store.strides[outer.len() - 1] == 1,
        Tiling::Rows { .. } => layout::is_c_contiguous(outer, &store.strides),
        Tiling::Blocks { cols: width, .. } => *cols == width as usize && layout::is_c_contiguous(outer, &store.strides),
        Tiling::Along { .. } => {
            let all: Shape = outer.iter().chain(&kernel.inner).copied().collect();
            is_inner && layout::is_c_contiguous(&all, &store.strides)
        }
        Tiling::Across { .. } => false,
    };
    let elements = kernel.outer_size().saturating_mul(if is_inner { kernel.inner_size() } else { 1 });
    // the operands of a row kernel also take part of the caches, because the kernel reads each of them several times
    let operands: usize = match kernel.kind {
        KernelKind::Row => kernel.loads.iter().map(|l| bytes_read(kernel, l)).fold(0, usize::saturating_add),
        KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Matmul => 0,
    };
    let bytes = elements.saturating_mul(store.dtype.size()).saturating_add(operands);
    let converts = cast::narrow(store.dtype).is_some();
    // a store to memory that the kernel also reads does not bypass the caches, because the caches hold this memory
    // already
    let in_place = kernel.loads.iter().any(|l| l.buffer == store.buffer);
    let streams = is_run && !in_place && store.is_plain() && (tiles.threaded || !converts) && bytes >= stream(caps);
    if streams { WriteClass::Streamed } else { WriteClass::Plain }
}

/// Returns how many bytes a kernel reads of an operand. An axis with stride 0 counts once; overlapping windows count in
/// full.
fn bytes_read(kernel: &Kernel, load: &Load) -> usize {
    let axes = kernel.outer.iter().chain(&kernel.inner).zip(&load.strides);
    let moving = axes.filter(|(_, step)| **step != 0).map(|(n, _)| *n);
    moving.fold(load.dtype.size(), usize::saturating_mul)
}

/// Returns an axis along which an operand is contiguous, if the operand's stride along the last axis is at least
/// `SQUARE`. With tiles over both axes, the kernel uses whole cache lines of this operand. Returns `None` for a kernel
/// smaller than two tiles, because it fits the L1 cache anyway.
fn transposed_axis(kernel: &Kernel, caps: &Caps) -> Option<usize> {
    let rank = kernel.outer.len();
    if rank < 2 || kernel.outer[rank - 1] < SQUARE || kernel.outer_size() < 2 * tile(caps) {
        return None;
    }
    let strides = kernel.loads.iter().map(|l| &l.strides).chain(kernel.stores.iter().map(|s| &s.strides));
    strides.filter(|s| s[rank - 1].unsigned_abs() > 1).find_map(|s| {
        let axis = (0..rank - 1).rev().find(|&d| s[d] == 1 && kernel.outer[d] >= SQUARE);
        axis.filter(|_| s[rank - 1].unsigned_abs() >= SQUARE)
    })
}

/// Moves the outer dimension `axis` to the second-last position in the kernel, its windows and all strides.
fn turn(kernel: &mut Kernel, axis: usize) {
    let rank = kernel.outer.len();
    let order: Vec<usize> = (0..rank - 1).filter(|d| *d != axis).chain([axis, rank - 1]).collect();
    let strides = |s: &Strides| -> Strides { order.iter().map(|d| s[*d]).collect() };
    kernel.outer = order.iter().map(|d| kernel.outer[*d]).collect();
    for Load { strides: s, .. } in &mut kernel.loads {
        *s = strides(s);
    }
    for Store { strides: s, .. } in &mut kernel.stores {
        *s = mutant!(stores_not_turned, s.clone(), strides(s));
    }
    for value in &mut kernel.values {
        if let Some(s) = value.op.strides_mut() {
            *s = strides(s);
        }
    }
    for window in &mut kernel.windows {
        window.start = order.iter().map(|d| window.start[*d]).collect();
        window.shape = order.iter().map(|d| window.shape[*d]).collect();
    }
}

fn reduce(kernel: &mut Kernel, caps: &Caps) {
    let ordinary = ordinary::ordinary(kernel).map(|mut ordinary| {
        reduce(&mut ordinary, caps);
        ordinary.values.shrink_to_fit();
        Box::new(ordinary)
    });
    by_sums(kernel);
    let (across, tiles) = match ordinary.as_ref().and_then(|o| o.schedule.tiles()) {
        Some(tiles) => {
            let tiling = ordinary::tiling(tiles.tiling);
            (matches!(tiling, Tiling::Across { .. }), TileSchedule { tiling, shares_rows: false, ..tiles })
        }
        None => {
            let across = is_across(kernel);
            (across, tiles_of_rows(kernel, caps, across))
        }
    };
    let again = Again::Loads { across };
    let passes = passes_of_stores(kernel, again);
    let checked = checks(kernel);
    let checks = (!checked.is_empty()).then(|| {
        let passes = passes_of(kernel, &checked, again);
        Checks { outer: kernel.outer.clone(), tiles: TileSchedule { shares_rows: false, ..tiles }, passes }
    });
    let is_single = passes.as_ref().is_some_and(|p| p.list.len() == 1);
    let shares_rows = tiles.shares_rows && is_single && kernel.stores.iter().all(|s| !kernel.values[s.value].inner);
    let tiles = TileSchedule { shares_rows, ..tiles };
    kernel.schedule.work = Work::Tiles(tiles);
    let writes = kernel.stores.iter().map(|store| write_class(kernel, store, &tiles, caps)).collect();
    set_details(kernel, writes, passes, checks);
    if let Some(details) = &mut kernel.schedule.details {
        details.ordinary = ordinary;
    }
}

/// Returns whether a tile holds elements of many rows side by side, with each row as a column, instead of elements of
/// one row or a few whole rows. This is so in two cases:
///
/// * For a reduction with `Lanes::Outer` (neighbours in memory are neighbours along an axis that is not reduced).
/// * If there are at least `COLUMNS` rows, and either rows are short and a tile cannot hold several whole rows, or
///   operands are contiguous across rows and not along them.
fn is_across(kernel: &Kernel) -> bool {
    let (outer, n) = (kernel.outer_size(), kernel.inner_size());
    if kernel.kind == KernelKind::Reduce(Lanes::Outer) {
        return true;
    }
    let (o, last) = (kernel.outer.len(), kernel.outer.len() + kernel.inner.len());
    if outer < COLUMNS {
        return false;
    }
    let unit = |axis: usize| kernel.loads.iter().any(|l| l.strides.get(axis).is_some_and(|s| s.unsigned_abs() == 1));
    let lies_across = o > 0 && last > o && !unit(last - 1) && unit(o - 1);
    lies_across || n < SHORT && !takes_whole_rows(kernel)
}

/// Returns whether a tile may hold several whole rows. The result is true for a fold by a function and for a search for
/// one element (such as argmin), because their loops process one row after another. It is false for a scan or a fold by
/// formulas, because each of their loops would be only as long as a row.
fn takes_whole_rows(kernel: &Kernel) -> bool {
    let last = kernel.outer.len() + kernel.inner.len();
    let has_loop = |r: &KernelReduction| match r.fold.form {
        Form::Function(_) => true,
        Form::FirstOf(_) => r.base().is_none() && !matches!(r.source, Source::States(_)),
        Form::SumOf { .. } | Form::Formulas => false,
    };
    let takes_rows = |v: &Value| !matches!(&v.op, Op::Reduce(r) if !has_loop(r));
    // an operand that is not contiguous along rows, such as a transposed one, is better loaded with rows side by side
    // as columns
    let lies_along = |l: &Load| l.strides.get(last - 1).is_none_or(|s| s.unsigned_abs() <= 1);
    let is_function = |r: &KernelReduction| matches!(r.fold.form, Form::Function(_));
    let is_elementwise =
        |v: &Value| !v.inner || matches!(v.op, Op::Load(_) | Op::Ufunc(..) | Op::Scalar(_) | Op::Constant(_));
    // elementwise functions need their operands one row after another, and copies of short rows would take longer than a
    // tile with rows side by side
    let computes = kernel.values.iter().any(|v| v.inner && matches!(v.op, Op::Ufunc(..)));
    let dims: Shape = kernel.outer.iter().chain(&kernel.inner).copied().collect();
    let o = kernel.outer.len();
    let lies_together = |v: &Value| {
        let Op::Load(n) = v.op else { return true };
        let strides = &kernel.loads[n].strides;
        !v.inner || strides[..o].iter().all(|s| *s == 0) || layout::is_c_contiguous(&dims, strides)
    };
    let only_folds = matches!(kernel.kind, KernelKind::Reduce(_))
        && kernel.values.iter().all(|v| is_elementwise(v) && (!computes || lies_together(v)))
        && kernel.values.iter().all(|v| !matches!(&v.op, Op::Reduce(r) if !is_function(r)))
        && kernel.loads.iter().all(|l| cast::widen(l.dtype).is_none());
    last > kernel.outer.len()
        && kernel.inner_size() >= if only_folds { SHORTEST_FOLDED } else { SHORTEST }
        && !kernel.scans()
        && kernel.values.iter().all(takes_rows)
        && kernel.loads.iter().all(lies_along)
}

/// The maximum number of divisors that are tried to cut an axis into equal parts: enough for an axis of about eight
/// million elements. If none of these numbers divides a longer axis, the last part of the axis is smaller. So an axis
/// of any length is planned in a few microseconds.
const MOST_TRIED: usize = 4096;

/// Returns the number of rows in a block, if an operand is contiguous across the rows along the last outer axis, but
/// not across all rows of the kernel. A block has all rows along that axis or, if there are more than `most`, an equal
/// part of them. Returns `None` if there is no such operand or the blocks would be small.
fn neighbours(kernel: &Kernel, most: usize) -> Option<usize> {
    let (o, last) = (kernel.outer.len(), *kernel.outer.last()?);
    let lies_apart = |l: &Load| {
        let strides = l.strides.get(..o).unwrap_or(&[]);
        strides.last() == Some(&1) && layout::one_step(&kernel.outer, strides).is_none()
    };
    if !kernel.loads.iter().any(lies_apart) {
        return None;
    }
    let parts = last.div_ceil(most).max(1);
    let each = last / (parts..=2 * parts).take(MOST_TRIED).find(|parts| last.is_multiple_of(*parts))?;
    let is_large = each >= NARROW && each.saturating_mul(kernel.inner_size()) >= 2 * most;
    is_large.then_some(each)
}

/// Returns the tiles of a kernel with inner dimensions. If `across` is true, a tile has many rows side by side as
/// columns. Otherwise it has elements of one row or a few whole rows. The tiles of a scan begin where the blocks of the
/// scan begin.
fn tiles_of_rows(kernel: &Kernel, caps: &Caps, across: bool) -> TileSchedule {
    let tile = tile(caps);
    let (outer, n) = (kernel.outer_size(), kernel.inner_size());
    let row_bytes = n.max(1).saturating_mul(weight(kernel));
    let is_row = kernel.kind == KernelKind::Row;
    let lies_outer = kernel.kind == KernelKind::Reduce(Lanes::Outer);
    let bytes = outer.saturating_mul(row_bytes);
    let alone = bytes <= ALONE || threaded::is_alone_reducing(kernel);
    let (tiling, each) = if across {
        // the number of columns is a multiple of the f32 in a cache line, and of the f32 in a vector
        let columns = COLUMNS.max(caps.vector / 4);
        let each = if is_row || n < SHORT && !lies_outer {
            let most = if n < SHORT { (tile / n.max(1)).max(columns) } else { MOST_COLUMNS.max(columns) };
            // without a reduction, no row is kept for a later pass: a scan alone holds only the block that its tile
            // covers
            let reduces = kernel.values.iter().any(|v| matches!(v.op, Op::Reduce(..)));
            let held = if kernel.scans() && !reduces { n.min(SCAN_BLOCK) } else { n };
            (kept_rows(caps) / held.max(1)).clamp(columns, most)
        } else {
            outer.div_ceil(outer.div_ceil(tile))
        };
        let each = match neighbours(kernel, tile) {
            Some(neighbours) if lies_outer && !is_row => neighbours,
            _ => each.next_multiple_of(columns).min(outer),
        };
        let tall = TALL.iter().find(|(most, _)| lies_outer && each <= *most).map(|(_, rows)| *rows);
        let rows = if kernel.scans() { SCAN_BLOCK } else { tall.unwrap_or(tile / each) }.clamp(1, n.max(1));
        (Tiling::Across { rows: rows as u16, cols: each as u16 }, each)
    } else {
        let together = if takes_whole_rows(kernel) { (tile / n).clamp(1, outer) } else { 1 };
        let each = match alone {
            // in a row kernel, a task is one tile, whose rows are kept for a later pass
            _ if is_row => together,
            true => outer.min(MOST_ROWS_ALONE).max(together),
            false => (TASK_OF_ROWS / row_bytes).clamp(1, MOST_ROWS).max(together).min(outer),
        };
        let cols = if kernel.scans() { tile.max(SCAN_BLOCK) } else { tile };
        (Tiling::Along { rows: each as u16, together: together as u16, cols: n.clamp(1, cols) as u16 }, each)
    };
    let blocks = outer.div_ceil(each);
    // rows of a scan are not cut for several threads, because each tile needs the total of the tiles before it; tiles
    // of several whole rows cannot be cut either, because they contain no parts of rows
    let several = matches!(tiling, Tiling::Along { together: 2.., .. });
    let shares_rows = bytes / blocks > SHARED_BLOCK && !kernel.scans() && !several;
    TileSchedule { tiling, alone, shares_rows, threaded: false }
}
