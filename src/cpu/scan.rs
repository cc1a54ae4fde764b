//! Scans on the CPU, of one row or of several rows side by side as columns, by the tree of `plan/kernel/scan.rs`.
//!
//! Tiles of a row come in order, and each begins at the start of a block. A block of one row is scanned by the loop
//! form `scan`, a block of columns by vectors that hold one element of each column. Then the *carry*, the combination
//! of all blocks before this one, is combined into each element. The carry is computed from one [`Level`] per level of
//! blocks, which is kept from tile to tile: level 0 receives the totals of blocks, level 1 the totals of 1,024 blocks
//! each, and so on.

use super::strided;
use crate::base::dtype::Compute;
use crate::math::simd::Loop;
use crate::plan::kernel::{KernelReduction, SCAN_BLOCK, SCAN_RUN};

/// The number of runs in a block.
const RUNS: usize = SCAN_BLOCK / SCAN_RUN;

/// A scan of a program: its loops, and the position of its state in the arena.
#[derive(Clone, Copy)]
pub(super) struct ScanSpec {
    compute: Compute,
    map: Loop,
    accumulate: Loop,
    scan: Loop,
    /// The number of elements of a row.
    n: usize,
    /// The maximum number of rows that are scanned side by side, as columns.
    width: usize,
    /// The byte of the program's scratch memory at which the state begins.
    pub at: usize,
}

impl ScanSpec {
    /// Describes a scan of `n` elements, in up to `width` columns. Returns `None` if the fold has no loops for this
    /// type.
    pub fn new(r: &KernelReduction, compute: Compute, n: usize, width: usize) -> Option<ScanSpec> {
        let forms = r.fold.function()?.forms[compute as usize]?;
        let (map, accumulate, scan) = (forms.map.get(), forms.accumulate?.get(), forms.scan?.get());
        Some(ScanSpec { compute, map, accumulate, scan, n, width, at: 0 })
    }

    /// Returns the number of levels: one for the totals of blocks, and one more whenever the totals of a level fill
    /// more than one block.
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

    /// Returns the size in bytes of the scratch after the other vectors. For columns, the scratch holds the totals of a
    /// block's runs; for one row, it holds the carry, repeated for each element of a block.
    fn room(&self) -> usize {
        if self.width > 1 { RUNS * self.vector() } else { SCAN_BLOCK * self.compute.size() }
    }

    /// Returns the size of the state in bytes: the vectors of the levels, the carry, a total that is passed upwards,
    /// and [`Self::room`].
    pub fn bytes(&self) -> usize {
        self.vector() * (self.levels() * Level::VECTORS + 2) + self.room()
    }
}

/// A block of totals that is being filled. Its totals are combined in runs and groups of runs, like the elements of a
/// block.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The number of totals in the block so far.
    count: usize,
}

impl Level {
    /// The number of a level's vectors: the current run (`RUN`), all runs before it combined (`RUNS_BEFORE`), and from
    /// `GROUPS` on one vector for each bit `k` of the number of runs, a group of 2^k runs combined.
    const VECTORS: usize = Level::GROUPS + RUNS.trailing_zeros() as usize + 1;
    const RUN: usize = 0;
    const RUNS_BEFORE: usize = 1;
    const GROUPS: usize = 2;
}

/// A scan in progress.
///
/// Its unsafe functions have two conditions, cited by name. *State*: `state` points to `spec.bytes()` bytes, aligned to
/// 64, that only this scan uses: disjoint vectors with room for `width` elements. *Data*: each pointer argument points
/// to as many aligned elements of the spec's type as the function states, disjoint from the state; no other thread uses
/// them meanwhile.
pub(super) struct Scanner {
    spec: ScanSpec,
    state: *mut u8,
    width: usize,
    /// Whether the next block is the first of its row, so that there is no carry.
    is_first: bool,
    /// The levels. Eight are enough for any row: one level covers 1,024^2 elements, and each further level covers 1,024
    /// times as many.
    levels: [Level; 8],
}

impl Scanner {
    /// Creates a scan with its state in `arena`, the scratch memory of a task.
    ///
    /// # Safety
    /// The arena is aligned to 64 and has `spec.bytes()` bytes at `spec.at` for this scan alone. They are its *state*.
    pub unsafe fn new(spec: ScanSpec, arena: *mut u8) -> Scanner {
        // SAFETY: the state is in the arena, from `spec.at` on.
        let state = unsafe { arena.add(spec.at) };
        Scanner { spec, state, width: 1, is_first: true, levels: Default::default() }
    }

    /// Begins `width` new rows, at most `spec.width`.
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

    /// Returns the vector of a total that is passed to the level above.
    fn total(&self) -> *mut u8 {
        self.of_level(self.spec.levels(), 1)
    }

    /// Returns the vector of the total of run `i` of a block of columns. For one row, `run(0)` has room for a block of
    /// carries.
    fn run(&self, i: usize) -> *mut u8 {
        self.of_level(self.spec.levels(), 2 + i)
    }

    /// Combines the vector `with` into `to`, element by element. Folds are commutative, so the order of the operands
    /// changes no bit.
    ///
    /// # Safety
    /// *State* or *data* ([`Scanner`]): two disjoint vectors of `width` elements.
    unsafe fn combine(&self, to: *mut u8, with: *const u8) {
        // SAFETY: the caller ensures that the vectors are disjoint and have `width` elements, as the loop requires.
        unsafe { (self.spec.accumulate)(self.width, with, with, with, to) };
    }

    /// Copies a vector.
    ///
    /// # Safety
    /// *State* or *data* ([`Scanner`]): two disjoint vectors of `width` elements.
    unsafe fn copy(&self, from: *const u8, to: *mut u8) {
        // SAFETY: both are vectors of `width` elements, and they are disjoint.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.width * self.spec.compute.size()) };
    }

    /// Scans the next `rows` elements of each column from `x` to `out`. Only the last call for a row may end within a
    /// block.
    ///
    /// # Safety
    /// *State* and *data* ([`Scanner`]): `rows × width` elements at `x`, and room for as many at `out`, which are
    /// disjoint; no more than `spec.n` rows in all since [`Scanner::reset`].
    pub unsafe fn feed(&mut self, mut x: *const u8, mut out: *mut u8, mut rows: usize) {
        let row = self.width * self.spec.compute.size();
        while rows > 0 {
            let block = rows.min(SCAN_BLOCK);
            // SAFETY: *state* and *data*: `x` and `out` advance by the elements that were scanned.
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

    /// Scans a block of one row, and writes the block's own total, without the carry, to `total()`.
    ///
    /// # Safety
    /// As for [`Scanner::feed`], for at most one block.
    unsafe fn one_row(&self, x: *const u8, out: *mut u8, n: usize) {
        let size = self.spec.compute.size();
        // SAFETY: *state* and *data*: the total is the last of `n` elements, and `run(0)` has room for a block of
        // elements.
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

    /// Scans a block of several columns, and writes the columns' own totals, without the carries, to `total()`.
    ///
    /// # Safety
    /// As for [`Scanner::feed`], for at most one block.
    unsafe fn columns(&self, x: *const u8, out: *mut u8, rows: usize) {
        let row = self.width * self.spec.compute.size();
        let runs = rows.div_ceil(SCAN_RUN);
        // SAFETY: *state* and *data*: row numbers are below `rows`, run numbers below [`RUNS`], and all vectors are
        // disjoint.
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

    /// Adds the total in `total()` to a level's block, and replaces it with the combination of all totals of that
    /// block.
    ///
    /// # Safety
    /// *State* ([`Scanner`]): the spec has the level, and its block is not full.
    unsafe fn push(&mut self, level: usize) {
        let (total, run) = (self.total(), self.of_level(level, Level::RUN));
        let count = self.levels[level].count;
        // SAFETY: *state*: these are disjoint vectors of a level that the spec has.
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

    /// Combines the totals of a level's block so far into `total()`.
    ///
    /// # Safety
    /// *State* ([`Scanner`]): the spec has the level, and the level has totals.
    unsafe fn so_far(&self, level: usize) {
        // SAFETY: *state*: these are disjoint vectors.
        unsafe {
            self.copy(self.of_level(level, Level::RUN), self.total());
            if self.levels[level].count > SCAN_RUN {
                self.combine(self.total(), self.of_level(level, Level::RUNS_BEFORE));
            }
        }
    }

    /// Adds a level's complete run to the groups of runs; `runs` includes it. Groups of equal size are combined, as a
    /// binary counter carries. The combination of the remaining groups is `RUNS_BEFORE` for the next run.
    ///
    /// # Safety
    /// *State* ([`Scanner`]): the spec has the level, and `runs` is at least 1 and below [`RUNS`].
    unsafe fn end_run(&self, level: usize, runs: usize) {
        let group = |k: usize| self.of_level(level, Level::GROUPS + k);
        let (run, before) = (self.of_level(level, Level::RUN), self.of_level(level, Level::RUNS_BEFORE));
        let size = runs.trailing_zeros() as usize;
        // SAFETY: *state*: these are disjoint vectors of a level that the spec has; it has a group for each bit of
        // `runs`.
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
    /// *State* ([`Scanner`]).
    unsafe fn end_block(&mut self) {
        let mut level = 0;
        // SAFETY: *state*: these are disjoint vectors of levels that the spec has.
        unsafe {
            self.push(0);
            while self.levels[level].count == SCAN_BLOCK && level + 1 < self.spec.levels() {
                // a full block of a level is one total of the level above
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
