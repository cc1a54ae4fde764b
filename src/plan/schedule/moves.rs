//! Tiles of nests that only move words (`plan/kernel/moves.rs`) on a CPU.

use crate::base::layout;
use crate::plan::kernel::{Kernel, Op, Store, Tiles, Tiling, WriteClass};

/// Bytes of a tile: some microseconds of work, so that its set-up does not count.
const TILE: usize = 32 << 10;

/// Bytes of a row of a tile of a transposing nest, and the most elements. Transposed blocks are put in order by as much at once
/// (`transposed_columns` in `cpu/moves/mod.rs`).
const COLUMNS: (usize, usize) = (2048, 1024);

/// Rows of such a tile, in bytes along the source's contiguous axis: some cache lines, each of which is used up at once.
const ROWS: usize = 256;

/// Bytes read and written up to which one thread does it all. They take some 5 µs. Twice as many took two threads that
/// were awake 0.6 to 1.1 of the time of one, and half as many 0.8 to 1.
const ALONE: usize = 512 << 10;

/// Returns the tiles of a nest of moves; of a transposing one, its axes are in order.
pub(super) fn tiles(kernel: &Kernel, transposes: bool) -> Tiles {
    let size = kernel.stores.iter().map(|s| s.dtype.size()).max().unwrap_or(1);
    let n = kernel.outer_size();
    let cols = kernel.outer.last().copied().unwrap_or(1);
    let rows = n / cols.max(1);
    let tile = TILE / size;
    let tiling = if transposes {
        Tiling::Blocks { rows: (ROWS / size) as u16, cols: (COLUMNS.0 / size).min(COLUMNS.1) as u16 }
    } else if cols >= tile / 4 || rows == 1 {
        // pieces of nearly equal length, so that no last piece is short; 64 elements of any type are whole cache lines
        let each = cols.div_ceil(cols.div_ceil(tile).max(1)).next_multiple_of(64).min(tile);
        Tiling::Pieces { each: each as u16 }
    } else {
        // so many rows of any length are whole cache lines, so that no two tiles of contiguous rows write to one
        let (each, whole) = ((tile / cols.max(1)).min(rows), 64 / size);
        Tiling::Rows { each: if each < 4 * whole { each } else { each / whole * whole } as u16 }
    };
    let bytes = n.saturating_mul(size).saturating_mul(kernel.loads.len() + kernel.stores.len());
    Tiles { tiling, alone: bytes <= ALONE, shares_rows: false, threaded: false }
}

/// Bytes of a row of a target from which it is streamed: the lines at its two ends, of which other rows have a part, are then
/// few.
const LONG: usize = 1 << 10;

/// Says how a store of a nest of moves writes: past the caches where its contiguous runs are long, and the result has at least
/// `least` bytes.
pub(super) fn write_class(kernel: &Kernel, store: &Store, least: usize) -> WriteClass {
    let Some(cols) = kernel.outer.last() else { return WriteClass::Plain };
    let size = store.dtype.size();
    let long = store.strides[kernel.outer.len() - 1] == 1 && cols.saturating_mul(size) >= LONG;
    // short rows of a table are copied one by one, so none is a run of its own
    let gathers = kernel.values.iter().any(|v| matches!(v.op, Op::Gather { .. }));
    let is_run = long || !gathers && layout::is_c_contiguous(&kernel.outer, &store.strides);
    let streams = is_run && kernel.outer_size().saturating_mul(size) >= least;
    if streams { WriteClass::Streamed } else { WriteClass::Plain }
}
