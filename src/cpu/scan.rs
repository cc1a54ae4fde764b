//! A scan walks tiles of one row, or of several rows side by side as columns, by the tree of `kernel/scan.rs`.
//!
//! A tile begins at a block. One row goes through the loop form `scan`, a block at a time; columns go row by row of the
//! tile, a vector of all columns at once. What stands before the next block is kept from tile to tile: the totals so far of a
//! [`Level`] for each level of blocks.

use super::strided;
use crate::dtype::Compute;
use crate::kernel::{Reduction, SCAN_BLOCK, SCAN_RUN};
use crate::simd::Loop;

/// Runs of a block.
const RUNS: usize = SCAN_BLOCK / SCAN_RUN;

/// A scan of a program: its loops, and its state in the arena.
#[derive(Clone, Copy)]
pub(super) struct ScanSpec {
    compute: Compute,
    map: Loop,
    accumulate: Loop,
    scan: Loop,
    /// Elements of a row.
    n: usize,
    /// The most rows that are scanned side by side, as columns.
    width: usize,
    /// Where its state lies in the arena.
    pub at: usize,
}

impl ScanSpec {
    /// None where the fold has no loops for this type.
    pub fn new(r: &Reduction, compute: Compute, n: usize, width: usize) -> Option<ScanSpec> {
        let forms = r.fold.function()?.forms[compute as usize]?;
        let (map, accumulate, scan) = (forms.map.get(), forms.accumulate?.get(), forms.scan?.get());
        Some(ScanSpec { compute, map, accumulate, scan, n, width, at: 0 })
    }

    /// Levels of blocks above the elements: one for the totals of blocks, one for those of blocks of them, and so on.
    fn levels(&self) -> usize {
        let mut blocks = self.n.div_ceil(SCAN_BLOCK);
        let mut levels = 1;
        while blocks > SCAN_BLOCK {
            (blocks, levels) = (blocks.div_ceil(SCAN_BLOCK), levels + 1);
        }
        levels
    }

    /// Bytes of a vector of one element a column.
    fn vector(&self) -> usize {
        (self.width * self.compute.size()).next_multiple_of(64)
    }

    /// Bytes behind the levels: the totals of a block's runs for columns, else a block of what stands before it.
    fn room(&self) -> usize {
        if self.width > 1 { RUNS * self.vector() } else { SCAN_BLOCK * self.compute.size() }
    }

    /// Bytes of the state: vectors of each level, what stands before the next block, a total on its way up, and [`Self::room`].
    pub fn bytes(&self) -> usize {
        self.vector() * (self.levels() * Level::VECTORS + 2) + self.room()
    }
}

/// A block of totals under way.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Totals so far.
    count: usize,
}

impl Level {
    /// The vectors of a level: the run under way, the runs before it, and for each bit of the number of runs a group of
    /// 2^k of them.
    const VECTORS: usize = Level::GROUPS + RUNS.trailing_zeros() as usize + 1;
    const RUN: usize = 0;
    const RUNS_BEFORE: usize = 1;
    const GROUPS: usize = 2;
}

/// A scan under way.
///
/// What its unsafe functions rely on, by name. *State*: `state` leads to `spec.bytes()` bytes that this scan alone uses,
/// vectors of `width` elements or more. *Data*: what is handed over are as many elements of the spec's type as the function
/// says, apart from the state, and nobody else uses them meanwhile.
pub(super) struct Scanner {
    spec: ScanSpec,
    state: *mut u8,
    width: usize,
    /// Whether no block has gone before: nothing is combined with its elements.
    is_first: bool,
    /// Each level's block of totals; 1,024^8 elements are more than there are.
    levels: [Level; 8],
}

impl Scanner {
    /// A scan with its state in `arena`.
    ///
    /// # Safety
    /// The arena has `spec.bytes()` bytes at `spec.at`, for this scan alone: that is its *state*.
    pub unsafe fn new(spec: ScanSpec, arena: *mut u8) -> Scanner {
        // SAFETY: the arena reaches beyond `spec.at`.
        let state = unsafe { arena.add(spec.at) };
        Scanner { spec, state, width: 1, is_first: true, levels: Default::default() }
    }

    /// Begins new rows, `width` of them: at most as many as the spec has.
    pub fn reset(&mut self, width: usize) {
        (self.width, self.is_first, self.levels) = (width, true, Default::default());
    }

    fn vector(&self, i: usize) -> *mut u8 {
        self.state.wrapping_add(i * self.spec.vector())
    }

    fn of_level(&self, level: usize, i: usize) -> *mut u8 {
        self.vector(level * Level::VECTORS + i)
    }

    /// What stands before the next block.
    fn carry(&self) -> *mut u8 {
        self.of_level(self.spec.levels(), 0)
    }

    /// A total on its way to the level above.
    fn total(&self) -> *mut u8 {
        self.of_level(self.spec.levels(), 1)
    }

    /// The total of run `i` of a block of columns; of one row, a block of what stands before it.
    fn run(&self, i: usize) -> *mut u8 {
        self.of_level(self.spec.levels(), 2 + i)
    }

    /// Combines a vector with another, element by element. Folds are commutative: which of the two comes first changes no bit.
    ///
    /// # Safety
    /// *State* or *data* ([`Scanner`]): two vectors of `width` elements, apart from each other.
    unsafe fn combine(&self, to: *mut u8, with: *const u8) {
        // SAFETY: as promised.
        unsafe { (self.spec.accumulate)(self.width, with, with, with, to) };
    }

    /// # Safety
    /// As [`Scanner::combine`].
    unsafe fn copy(&self, from: *const u8, to: *mut u8) {
        // SAFETY: as promised.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.width * self.spec.compute.size()) };
    }

    /// Scans the next `rows` elements of each column from `x` to `out`. All calls but the last for a row take whole blocks.
    ///
    /// # Safety
    /// *State* and *data* ([`Scanner`]): `rows × width` elements at `x`, and room for them at `out`, apart from each other.
    pub unsafe fn feed(&mut self, mut x: *const u8, mut out: *mut u8, mut rows: usize) {
        let row = self.width * self.spec.compute.size();
        while rows > 0 {
            let block = rows.min(SCAN_BLOCK);
            // SAFETY: *state* and *data*: both move on by the rows that were taken.
            unsafe {
                match self.spec.width {
                    1 => self.one_row(x, out, block),
                    _ => self.columns(x, out, block),
                }
                if block == SCAN_BLOCK {
                    self.end_block();
                }
                (x, out, rows) = (x.add(block * row), out.add(block * row), rows - block);
            }
        }
    }

    /// Scans a block of one row, and leaves its total.
    ///
    /// # Safety
    /// As [`Scanner::feed`], for a block or less.
    unsafe fn one_row(&self, x: *const u8, out: *mut u8, n: usize) {
        let size = self.spec.compute.size();
        // SAFETY: *state* and *data*: the total is the last of `n` elements, and a block of room is behind the levels.
        unsafe {
            (self.spec.scan)(n, x, x, x, out);
            self.copy(out.add((n - 1) * size), self.total());
            if !mutant!(scan_carry_dropped_in_a_row, true, self.is_first) {
                let before = self.run(0);
                strided::fill(size, strided::read(size, self.carry()), before, n);
                (self.spec.accumulate)(n, before, before, before, out);
            }
        }
    }

    /// Scans a block of several columns, and leaves their totals.
    ///
    /// # Safety
    /// As [`Scanner::feed`], for a block or less.
    unsafe fn columns(&self, x: *const u8, out: *mut u8, rows: usize) {
        let row = self.width * self.spec.compute.size();
        let runs = rows.div_ceil(SCAN_RUN);
        // SAFETY: *state* and *data*: rows are below `rows`, runs below [`RUNS`], and vectors apart from each other.
        unsafe {
            for r in 0..rows {
                let (from, to) = (x.add(r * row), out.add(r * row));
                match r % SCAN_RUN {
                    0 => self.copy(from, to),
                    _ => (self.spec.map)(self.width, out.add((r - 1) * row), from, from, to),
                }
                if r % SCAN_RUN == SCAN_RUN - 1 || r + 1 == rows {
                    self.copy(to, self.run(r / SCAN_RUN));
                }
            }
            let mut step = 1;
            while step < runs {
                for group in (step..runs).step_by(2 * step) {
                    (group..runs.min(group + step)).for_each(|run| self.combine(self.run(run), self.run(group - 1)));
                }
                step *= 2;
            }
            for r in 0..rows {
                let to = out.add(r * row);
                if r >= SCAN_RUN {
                    self.combine(to, self.run(r / SCAN_RUN - 1));
                }
                if r + 1 == rows {
                    self.copy(to, self.total());
                }
                if !mutant!(scan_carry_dropped, true, self.is_first) {
                    self.combine(to, self.carry());
                }
            }
        }
    }

    /// Takes the total into a level's block, and leaves there what all of that block's totals make.
    ///
    /// # Safety
    /// *State* ([`Scanner`]).
    unsafe fn push(&mut self, level: usize) {
        let (total, run) = (self.total(), self.of_level(level, Level::RUN));
        let count = self.levels[level].count;
        // SAFETY: *state*: vectors apart from each other, of a level that the spec has.
        unsafe {
            if count.is_multiple_of(SCAN_RUN) && count > 0 {
                self.end_run(level, count / SCAN_RUN);
            }
            match count % SCAN_RUN {
                0 => self.copy(total, run),
                _ => self.combine(run, total),
            }
            self.levels[level].count = count + 1;
            self.so_far(level);
        }
    }

    /// Combines the totals of a level's block so far.
    ///
    /// # Safety
    /// *State* ([`Scanner`]): the level has totals.
    unsafe fn so_far(&self, level: usize) {
        // SAFETY: *state*: vectors apart from each other.
        unsafe {
            self.copy(self.of_level(level, Level::RUN), self.total());
            if self.levels[level].count > SCAN_RUN {
                self.combine(self.total(), self.of_level(level, Level::RUNS_BEFORE));
            }
        }
    }

    /// Adds a level's run number `runs` to the groups of runs before it. Groups of equal size merge, as in a binary counter;
    /// those that are left make what stands before the next run.
    ///
    /// # Safety
    /// *State* ([`Scanner`]).
    unsafe fn end_run(&self, level: usize, runs: usize) {
        let group = |k: usize| self.of_level(level, Level::GROUPS + k);
        let (run, before) = (self.of_level(level, Level::RUN), self.of_level(level, Level::RUNS_BEFORE));
        let size = runs.trailing_zeros() as usize;
        // SAFETY: *state*: vectors apart from each other, of a level that the spec has; `runs` is less than [`RUNS`].
        unsafe {
            self.copy(run, before);
            (0..size).for_each(|k| self.combine(before, group(k)));
            self.copy(before, group(size));
            let larger = (size + 1..=RUNS.ilog2() as usize).filter(|k| runs >> k & 1 == 1);
            larger.for_each(|k| self.combine(before, group(k)));
        }
    }

    /// Takes the total of a block into the levels, and combines what stands before the next block: what is there of each level,
    /// the highest first.
    ///
    /// # Safety
    /// *State* ([`Scanner`]).
    unsafe fn end_block(&mut self) {
        let mut level = 0;
        // SAFETY: *state*: vectors apart from each other, of levels that the spec has.
        unsafe {
            self.push(0);
            while self.levels[level].count == SCAN_BLOCK && level + 1 < self.spec.levels() {
                // a level's whole block is a total of the next
                self.levels[level].count = 0;
                level += 1;
                self.push(level);
            }
            let mut found = false;
            for level in (0..self.spec.levels()).rev().filter(|level| self.levels[*level].count > 0) {
                self.so_far(level);
                match found {
                    true => self.combine(self.carry(), self.total()),
                    false => self.copy(self.total(), self.carry()),
                }
                found = true;
            }
        }
        self.is_first = false;
    }
}
