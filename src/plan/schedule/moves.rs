//! Chooses, for a CPU, the tiles of kernels that only move data (`plan/kernel/moves.rs`).

use crate::base::layout;
use crate::plan::kernel::{Kernel, Op, Store, TileSchedule, Tiling, WriteClass};

/// The size of a tile in bytes. Moving it takes several microseconds, so that the setup of a tile is negligible.
const TILE: usize = 32 << 10;

/// The length of the rows of a tile in a kernel that transposes: the number of bytes, and the maximum number of
/// elements. `transposed_columns` in `cpu/moves/mod.rs` has the same limits.
const COLUMNS: (usize, usize) = (2048, 1024);

/// The number of rows of a tile in a kernel that transposes, times the size of an element in bytes. A column of the
/// tile is contiguous in the source of the transpose, so for each column the tile reads 256 contiguous bytes, several
/// whole cache lines.
const ROWS: usize = 256;

/// The number of bytes read and written up to which one thread does all the work. Moving these bytes takes about 5 µs.
/// For twice as many bytes, two threads that were already awake took 0.6 to 1.1 times as long as one thread; for half
/// as many bytes, 0.8 to 1 times.
const ALONE: usize = 512 << 10;

/// Returns the tiles of a kernel that only moves data. If the kernel transposes, its axes must already be in the order
/// that tiles need.
pub(super) fn tiles(kernel: &Kernel, transposes: bool) -> TileSchedule {
    let size = kernel.stores.iter().map(|s| s.dtype.size()).max().unwrap_or(1);
    let n = kernel.outer_size();
    let cols = kernel.outer.last().copied().unwrap_or(1);
    let rows = n / cols.max(1);
    let tile = TILE / size;
    let tiling = if transposes {
        Tiling::Blocks { rows: (ROWS / size) as u16, cols: (COLUMNS.0 / size).min(COLUMNS.1) as u16 }
    } else if cols >= tile / 4 || rows == 1 {
        // cut pieces of nearly equal length, so that no last piece is short; 64 elements of any type are whole cache
        // lines
        let each = cols.div_ceil(cols.div_ceil(tile).max(1)).next_multiple_of(64).min(tile);
        Tiling::Pieces { each: each as u16 }
    } else {
        // `whole` rows of any length together fill whole cache lines (64 bytes), so with a multiple of `whole` rows, no
        // two tiles of contiguous rows write to the same line
        let (each, whole) = ((tile / cols.max(1)).min(rows), 64 / size);
        Tiling::Rows { each: if each < 4 * whole { each } else { each / whole * whole } as u16 }
    };
    let bytes = n.saturating_mul(size).saturating_mul(kernel.loads.len() + kernel.stores.len());
    TileSchedule { tiling, alone: bytes <= ALONE, shares_rows: false, threaded: false }
}

/// The minimum size in bytes of a row of the result that is written past the caches. In longer rows, the cache lines at
/// the two ends, which a row shares with other rows, are few in comparison.
const LONG: usize = 1 << 10;

/// Returns how a store of a kernel that only moves data writes. The store bypasses the caches if it writes long
/// contiguous runs and the result has at least `least` bytes.
pub(super) fn write_class(kernel: &Kernel, store: &Store, least: usize) -> WriteClass {
    let Some(cols) = kernel.outer.last() else { return WriteClass::Plain };
    let size = store.dtype.size();
    let long = store.strides[kernel.outer.len() - 1] == 1 && cols.saturating_mul(size) >= LONG;
    // a gather of rows copies one row at a time, so each row is a run of its own
    let gathers = kernel.values.iter().any(|v| matches!(v.op, Op::Gather { .. }));
    let is_run = long || !gathers && layout::is_c_contiguous(&kernel.outer, &store.strides);
    let streams = is_run && kernel.outer_size().saturating_mul(size) >= least;
    if streams { WriteClass::Streamed } else { WriteClass::Plain }
}
