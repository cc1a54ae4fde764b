//! Scans on the CPU, for example cumulative sums. `plan/kernel/scan.rs` defines the order in which elements are
//! combined, with the terms block and run. This file scans one row, or several rows side by side: each row is then a
//! column of the tiles. The tiles of a row are scanned in order, and each begins at the start of a block.
//!
//! Each block is first scanned on its own. Then the *carry*, the combination of all blocks before this one, is combined
//! into each element. The carry is computed from the totals of the earlier blocks, which are kept in levels: level 0
//! receives the total of each block, level 1 the total of each 1,024 blocks, and so on ([`Level`]).

use super::strided;
use crate::base::dtype::Compute;
use crate::math::simd::Loop;
use crate::plan::kernel::{KernelReduction, SCAN_BLOCK, SCAN_RUN};

/// The number of runs in a block.
const RUNS: usize = SCAN_BLOCK / SCAN_RUN;

/// A scan that a program contains: its loops, its size, and the position of its state in the program's scratch memory.
#[derive(Clone, Copy)]
pub(super) struct ScanSpec {
    compute: Compute,
    map: Loop,
    accumulate: Loop,
    /// Scans a block, or computes only the last element of the scan of a whole block (see [`ScanSpec::only_total`]).
    scan: Loop,
    /// The number of elements of a row.
    n: usize,
    /// The maximum number of rows that are scanned side by side, as columns.
    width: usize,
    /// The byte of the program's scratch memory at which the state begins.
    pub at: usize,
}

impl ScanSpec {
    /// Describes a scan of rows of `n` elements, with up to `width` rows side by side. Returns `None` if the fold has
    /// no loops for this type.
    pub fn new(r: &KernelReduction, compute: Compute, n: usize, width: usize) -> Option<ScanSpec> {
        let forms = r.fold.function()?.forms[compute as usize]?;
        let (map, accumulate, scan) = (forms.map.get(), forms.accumulate?.get(), forms.scan?.get());
        Some(ScanSpec { compute, map, accumulate, scan, n, width, at: 0 })
    }

    /// Describes a scan of which only the last element of each row is used. The other elements of a row that is one block
    /// are not computed.
    pub fn only_total(mut self, r: &KernelReduction) -> ScanSpec {
        let total = r.fold.function().and_then(|f| f.forms[self.compute as usize]?.scan_total);
        if let Some(total) = total
            && (self.n, self.width) == (SCAN_BLOCK, 1)
        {
            self.scan = total.get();
        }
        self
    }

    /// Returns the number of levels. The lowest level is for the totals of blocks. Levels are added until the totals of
    /// the highest level fit into one block.
    fn levels(&self) -> usize {
        let mut blocks = self.n.div_ceil(SCAN_BLOCK);
        let mut levels = 1;
        while blocks > SCAN_BLOCK {
            (blocks, levels) = (blocks.div_ceil(SCAN_BLOCK), levels + 1);
        }
        levels
    }

    /// Returns the size in bytes of a vector, which has one element per column, padded to a multiple of a cache line.
    fn vector(&self) -> usize {
        (self.width * self.compute.size()).next_multiple_of(64)
    }

    /// Returns the size in bytes of the last part of the state, which is scratch. For columns, it holds the totals of a
    /// block's runs. For one row, it holds the carry, repeated for each element of a block.
    fn room(&self) -> usize {
        if self.width > 1 { RUNS * self.vector() } else { SCAN_BLOCK * self.compute.size() }
    }

    /// Returns the size of the state in bytes: the vectors of the levels, the vector of the carry, the vector of a
    /// total that is passed from a level to the next, and the scratch ([`Self::room`]).
    pub fn bytes(&self) -> usize {
        self.vector() * (self.levels() * Level::VECTORS + 2) + self.room()
    }
}

/// One level of totals. Level 0 collects the totals of blocks of elements, and each higher level the totals of full
/// blocks of the level below. Totals are combined in runs and groups of runs, like the elements of a block.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The number of totals in the block so far.
    count: usize,
}

impl Level {
    /// The number of vectors that a level has in the state. Vector `RUN` is the combination of the totals in the
    /// current run, and vector `RUNS_BEFORE` is the combination of all runs before it. Vector `GROUPS + k` is the
    /// combination of a group of 2^k runs, which exists if bit `k` of the number of complete runs is set.
    const VECTORS: usize = Level::GROUPS + RUNS.trailing_zeros() as usize + 1;
    const RUN: usize = 0;
    const RUNS_BEFORE: usize = 1;
    const GROUPS: usize = 2;
}

/// A scan in progress.
///
/// Its unsafe functions have two conditions. SAFETY comments refer to them by these names:
///
/// * *State*: `state` points to `spec.bytes()` bytes, aligned to 64, that only this scan uses. They hold disjoint
///   vectors, each with room for `width` elements.
/// * *Data*: each pointer argument points to as many aligned elements of the spec's type as the function states. These
///   elements do not overlap the state, and no other thread uses them during the call.
pub(super) struct Scanner {
    spec: ScanSpec,
    state: *mut u8,
    width: usize,
    /// Whether the next block is the first of its row, so that there is no carry.
    is_first: bool,
    /// The levels. Eight are enough for any row: with one level, a row may have 1,024^2 elements, and each further
    /// level allows 1,024 times as many.
    levels: [Level; 8],
}

impl Scanner {
    /// Creates a scan with its state in `arena`, the scratch memory of a task.
    ///
    /// # Safety
    /// The arena is aligned to 64 bytes, and its `spec.bytes()` bytes from `spec.at` on are used by this scan alone, as
    /// its state.
    pub unsafe fn new(spec: ScanSpec, arena: *mut u8) -> Scanner {
        // SAFETY: the state is in the arena, from `spec.at` on.
        let state = unsafe { arena.add(spec.at) };
        Scanner { spec, state, width: 1, is_first: true, levels: Default::default() }
    }

    /// Begins the scan of `width` new rows side by side. `width` is at most `spec.width`.
    pub fn reset(&mut self, width: usize) {
        (self.width, self.is_first, self.levels) = (width, true, Default::default());
    }

    fn vector(&self, i: usize) -> *mut u8 {
        self.state.wrapping_add(i * self.spec.vector())
    }

    fn of_level(&self, level: usize, i: usize) -> *mut u8 {
        self.vector(level * Level::VECTORS + i)
    }

    /// Returns the vector of the carry: the combination of all blocks of the row so far.
    fn carry(&self) -> *mut u8 {
        self.of_level(self.spec.levels(), 0)
    }

    /// Returns the vector of the current total: the total of a block, or of a level's block of totals, which is passed
    /// to the level above.
    fn total(&self) -> *mut u8 {
        self.of_level(self.spec.levels(), 1)
    }

    /// Returns a vector of the scratch, which is used in one of two ways. If columns are scanned, vector `i` holds the
    /// totals of run `i` of the current block, one for each column. If a single row is scanned, only `run(0)` is used:
    /// it holds the carry once for each element of a block, so that one loop can combine the carry into the block.
    fn run(&self, i: usize) -> *mut u8 {
        self.of_level(self.spec.levels(), 2 + i)
    }

    /// Combines the vector `with` into `to`, element by element. Folds are commutative, so the order of the operands
    /// changes no bit.
    ///
    /// # Safety
    /// Both pointers are vectors of `width` elements, in the state or in the data, and they do not overlap (*state* and
    /// *data*, see [`Scanner`]).
    unsafe fn combine(&self, to: *mut u8, with: *const u8) {
        // SAFETY: the caller ensures that the vectors are disjoint and have `width` elements, as the loop requires.
        unsafe { (self.spec.accumulate)(self.width, with, with, with, to) };
    }

    /// Copies a vector.
    ///
    /// # Safety
    /// Both pointers are vectors of `width` elements, in the state or in the data, and they do not overlap (*state* and
    /// *data*, see [`Scanner`]).
    unsafe fn copy(&self, from: *const u8, to: *mut u8) {
        // SAFETY: both are vectors of `width` elements, and they are disjoint.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.width * self.spec.compute.size()) };
    }

    /// Scans the next `rows` elements of each column from `x` to `out`. Only the last call for a row may end within a
    /// block.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]). `x` points to `rows × width` elements, and `out` has room for as
    /// many elements. The two do not overlap (*data*). All calls since [`Scanner::reset`] together pass at most
    /// `spec.n` rows.
    pub unsafe fn feed(&mut self, mut x: *const u8, mut out: *mut u8, mut rows: usize) {
        let row = self.width * self.spec.compute.size();
        while rows > 0 {
            let block = rows.min(SCAN_BLOCK);
            // SAFETY: `x` and `out` advance by the elements that were scanned, so they stay inside the caller's arrays.
            // The caller ensures the other conditions.
            unsafe {
                match self.spec.width {
                    1 => self.one_row(x, out, block),
                    _ => self.columns(x, out, block),
                }
                if block == SCAN_BLOCK && self.spec.n > SCAN_BLOCK {
                    self.end_block();
                }
                (x, out, rows) = (x.add(block * row), out.add(block * row), rows - block);
            }
        }
    }

    /// Scans a block of `n` elements of one row. Writes the total of this block alone, without the carry, to `total()`.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]). `x` points to `n` elements, at most one block, and `out` has room
    /// for as many elements. The two do not overlap (*data*).
    unsafe fn one_row(&self, x: *const u8, out: *mut u8, n: usize) {
        let size = self.spec.compute.size();
        // SAFETY: `x` and `out` have `n` elements, and the last one of `out` is the total. `run(0)` has room for a
        // block of elements (*data* and *state*, see [`Scanner`]).
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

    /// Scans a block of several columns. Writes the totals of this block alone, without the carries, to `total()`.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]). `x` points to `rows × width` elements, at most one block of each
    /// column, and `out` has room for as many elements. The two do not overlap (*data*).
    unsafe fn columns(&self, x: *const u8, out: *mut u8, rows: usize) {
        let row = self.width * self.spec.compute.size();
        let runs = rows.div_ceil(SCAN_RUN);
        // SAFETY: row numbers are below `rows` and run numbers below [`RUNS`], so all vectors exist. They do not
        // overlap (*data* and *state*, see [`Scanner`]).
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

    /// Adds the total in `total()` to the block of a level, and then writes the combination of all totals of that block
    /// to `total()`.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]), it has this level, and the block of the level is not full.
    unsafe fn push(&mut self, level: usize) {
        let (total, run) = (self.total(), self.of_level(level, Level::RUN));
        let count = self.levels[level].count;
        // SAFETY: the caller ensures that the state has this level, and its vectors do not overlap (*state*, see
        // [`Scanner`]).
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

    /// Combines all totals that the block of a level contains so far, and writes the result to `total()`.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]), it has this level, and the level has totals.
    unsafe fn so_far(&self, level: usize) {
        // SAFETY: the caller ensures that the state has this level, and its vectors do not overlap (*state*, see
        // [`Scanner`]).
        unsafe {
            self.copy(self.of_level(level, Level::RUN), self.total());
            if self.levels[level].count > SCAN_RUN {
                self.combine(self.total(), self.of_level(level, Level::RUNS_BEFORE));
            }
        }
    }

    /// Adds the complete current run of a level to the groups of runs. `runs` is the number of complete runs, including
    /// this one. Groups of equal size are combined, like the carries of a binary counter. Writes the combination of the
    /// remaining groups to `RUNS_BEFORE`, for the next run.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]), and it has this level. `runs` is at least 1 and below [`RUNS`].
    unsafe fn end_run(&self, level: usize, runs: usize) {
        let group = |k: usize| self.of_level(level, Level::GROUPS + k);
        let (run, before) = (self.of_level(level, Level::RUN), self.of_level(level, Level::RUNS_BEFORE));
        let size = runs.trailing_zeros() as usize;
        // SAFETY: the caller ensures that the state has this level. A level has a group for each bit of `runs`, and its
        // vectors do not overlap (*state*, see [`Scanner`]).
        unsafe {
            self.copy(run, before);
            (0..size).for_each(|k| self.combine(before, group(k)));
            self.copy(before, group(size));
            let larger = (size + 1..=RUNS.ilog2() as usize).filter(|k| runs >> k & 1 == 1);
            larger.for_each(|k| self.combine(before, group(k)));
        }
    }

    /// Adds the total of a block to level 0, and the total of each full block of totals to the level above. Then
    /// computes the carry: the combination of the totals of all levels, the highest level first.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Scanner`]).
    unsafe fn end_block(&mut self) {
        let mut level = 0;
        // SAFETY: all levels below `spec.levels()` exist, and their vectors do not overlap (*state*, see [`Scanner`]).
        unsafe {
            self.push(0);
            while self.levels[level].count == SCAN_BLOCK && level + 1 < self.spec.levels() {
                // the total of a full block is passed to the level above
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
