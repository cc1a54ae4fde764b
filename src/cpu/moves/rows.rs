//! Copies whole rows of a table from positions that are read from memory.

use super::super::caches::{LINE, prefetch};
use super::super::gather::Indices;
use super::super::program::StridedOperand;
use super::super::strided;
use super::super::tiles::TileBounds;
use crate::base::dtype::Compute;
use crate::plan::kernel::IndexMode;

/// Rows are prefetched up to this many bytes ahead of the row that is copied. On Zen 4, of 1 to 16 KiB, 2 KiB was fastest
/// for rows of 64 to 400 bytes (0.63 to 0.92 of the time with 8 KiB); longer rows take the same time with each.
const AHEAD: usize = 2 << 10;

/// The maximum number of cache lines of a row that are prefetched (chosen by hand). More are not needed, because the
/// processor's own prefetcher follows a row that is being read.
const LINES: usize = 8;

/// The rows of a table that a move copies. An index selects the table's row for each row of the target.
pub(super) struct MovedRows {
    pub table: StridedOperand,
    /// The index of each row of the target. It is constant along the columns.
    pub index: StridedOperand,
    pub compute: Compute,
    /// The stride, in elements, and the length of the table's axis along which the index selects.
    pub stride: isize,
    pub extent: usize,
    pub mode: IndexMode,
    /// Set if negative indices count from the end: the indices of the run-time scalars that hold 0 and `extent`. An
    /// index less than 0 gets `extent` added to it.
    pub from_end: Option<[usize; 2]>,
}

heap! { MovedRows: table, index; }

/// Consecutive rows of a tile for which each operand has a single stride. For each operand: the address of its first
/// row, and the number of elements from one row to the next.
struct Run {
    /// Set if negative indices count from the end: the values of the two run-time scalars of [`MovedRows::from_end`].
    from_end: Option<[u64; 2]>,
    index: (*const u8, isize),
    table: (*mut u8, isize),
    to: (*mut u8, isize),
}

impl MovedRows {
    /// Copies the rows of a tile.
    ///
    /// # Safety
    /// `table`, `index` and `to` are the addresses of element 0 of their operands, whose spans are in live memory; the
    /// target shares no byte with the others, its columns and the columns of the table have step 1, and no other task
    /// copies the tile.
    pub unsafe fn copy(
        &self,
        ([table, index], from_end): ([*mut u8; 2], Option<[u64; 2]>),
        (target, to): (&StridedOperand, *mut u8),
        tile: TileBounds,
        stream: bool,
    ) {
        let at = |ptr: *mut u8, size: usize, offset: isize| ptr.wrapping_offset(offset * size as isize);
        let (size, c0) = (target.size, tile.c0 as isize);
        self.index.rows.runs(tile.r0, tile.nr, |i, from, n, of_index| {
            self.table.rows.runs(tile.r0 + i, n, |t, row, n, of_table| {
                target.rows.runs(tile.r0 + i + t, n, |o, to_row, n, of_target| {
                    let run = Run {
                        from_end,
                        index: (at(index, self.index.size, from + (t + o) as isize * of_index), of_index),
                        table: (at(table, size, row + o as isize * of_table + c0), of_table),
                        to: (at(to, size, to_row + c0), of_target),
                    };
                    // SAFETY: the caller ensures the conditions for the whole tile, and these rows are a part of it.
                    unsafe { self.run(&run, size, n, tile.nc * size, stream) };
                });
            });
        });
    }

    /// Copies `n` rows of `bytes` bytes.
    ///
    /// # Safety
    /// The `n` rows at the addresses in `run` are in live memory; the target shares no byte with the table and the
    /// indices; the columns of the target and of the table have step 1; no other task copies these rows.
    unsafe fn run(&self, run: &Run, size: usize, n: usize, bytes: usize, stream: bool) {
        let MovedRows { compute, stride, extent, mode, .. } = *self;
        let indices = Indices { at: run.index.0, compute, stride, extent, mode, from_end: run.from_end };
        let ahead = (AHEAD / bytes.max(1)).clamp(2, 128);
        // SAFETY: the index operand has an index for each row below `n`.
        let row = |r: usize| unsafe {
            let k = indices.position(r as isize * run.index.1)?;
            Some(run.table.0.wrapping_offset((k as isize * stride + r as isize * run.table.1) * size as isize))
        };
        let announce = |r: usize| {
            if let Some(row) = (r < n).then(|| row(r)).flatten() {
                let skip = row as usize % LINE;
                let lines = (skip + bytes).div_ceil(LINE).min(LINES);
                (0..lines).for_each(|line| prefetch(row.wrapping_add(line * LINE)));
            }
        };
        (0..ahead).for_each(announce);
        for r in 0..n {
            announce(r + ahead);
            let to = run.to.0.wrapping_offset(r as isize * run.to.1 * size as isize);
            // SAFETY: the row of each position below the extent is in the table, and `to` has room for a row.
            unsafe {
                match row(r) {
                    Some(from) if stream => strided::stream(from, to, bytes),
                    Some(from) => copy_row(from, to, bytes),
                    // in the mode `Check`, no index reaches this arm, because all indices were checked before the first
                    // write
                    None => to.write_bytes(0, bytes),
                }
            }
        }
    }
}

/// Copies a row of any number of bytes. A row that has the length of a vector is copied without a function call.
///
/// # Safety
/// `bytes` bytes at both addresses are valid, and they do not overlap.
#[inline(always)]
unsafe fn copy_row(from: *const u8, to: *mut u8, bytes: usize) {
    // SAFETY: the caller ensures that both ranges are valid and do not overlap; an array of bytes needs no alignment.
    unsafe {
        match bytes {
            8 => *(to as *mut [u8; 8]) = *(from as *const [u8; 8]),
            16 => *(to as *mut [u8; 16]) = *(from as *const [u8; 16]),
            32 => *(to as *mut [u8; 32]) = *(from as *const [u8; 32]),
            64 => *(to as *mut [u8; 64]) = *(from as *const [u8; 64]),
            _ => std::ptr::copy_nonoverlapping(from, to, bytes),
        }
    }
}
