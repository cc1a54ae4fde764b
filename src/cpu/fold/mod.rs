//! Reductions on the CPU. This module defines the order in which a fold combines elements. The order is a tree that
//! depends only on the number of elements `n` and on the kernel's kind, so strides, threads and instruction sets change
//! no bit of the result.
//!
//! The elements form blocks of `16 · L`, and element `i` goes to lane `i % L`. In a block, each lane combines its
//! elements (at most 16) one after another, which gives a vector of `L` states. The vectors of blocks are combined
//! pairwise, as a binary counter carries; in the last vector, the upper half of the lanes is combined into the lower
//! half until one lane is left. `L` is 1 in kernels of kind `Reduce(Lanes::Outer)`, else `n / 16` rounded up to a power
//! of two, at most `LANES`. Up to `width` reductions run side by side, as columns: a row of the input holds element `i`
//! of each of them.
//!
//! The tree is the same for every fold. In some folds the states are the elements themselves, which a function's own
//! loops combine. In others a state has one to three components, each in a vector of its own, which formulas combine
//! (`fold/formulas.rs`, as threaded code `fold/threaded.rs`). Folds that look for the position of one element have no
//! tree (`fold/first.rs`).

mod blocks;
mod first;
mod formulas;
mod function;
mod threaded;

use super::strided;
use crate::base::dtype::Compute;
use crate::base::heap::Heap;
use crate::graph::ufunc::Form;
use crate::math::simd::{BlockArgs, Columns, LANES, NARROW, SERIAL, lanes_of_row};
use crate::plan::kernel::{Gives, KernelKind, KernelReduction, Lanes, Source};
use first::First;
use formulas::Formulas;
use function::CombineLoops;

/// The arrays that a fold reads: its elements (one array), or an array for each component of its states. Unused entries
/// repeat the first or are null; nothing reads them.
pub(super) type Inputs = [*const u8; 3];

/// Describes a reduction of a program: how it combines states, and the sizes of its tree.
pub(super) struct FoldSpec {
    combines: Combines,
    /// The compute type of the elements, or of the first component where the inputs are states.
    compute: Compute,
    /// The number of elements of one reduction.
    n: usize,
    lanes: usize,
    /// The maximum number of reductions that are folded side by side, as columns.
    width: usize,
    /// The byte of the program's scratch memory at which the state of its `Folder` begins.
    pub at: usize,
}

/// How a fold combines states: by a function's loops, by formulas, or by keeping the first of the best elements.
enum Combines {
    Function(CombineLoops),
    Formulas(Box<Formulas>),
    First(First),
}

heap! { FoldSpec: combines; }

impl Heap for Combines {
    fn heap(&self) -> usize {
        if let Combines::Formulas(formulas) = self { formulas.heap() } else { 0 }
    }
}

impl FoldSpec {
    /// Describes a reduction over `n` elements in a kernel of this kind. `compute` is the type of its first input.
    /// Returns `None` if a function has no loops for its type.
    pub fn new(r: &KernelReduction, compute: Compute, kind: KernelKind, n: usize, width: usize) -> Option<FoldSpec> {
        let lanes = match kind {
            KernelKind::Reduce(Lanes::Outer) => 1,
            KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => lanes_of_row(n),
        };
        let combines = match r.fold.form {
            Form::Function(row) => Combines::Function(CombineLoops::new(row, compute)?),
            Form::FirstOf(row) => Combines::First(First::new(row, compute, matches!(r.source, Source::States(_)))?),
            Form::Formulas => Combines::Formulas(Box::new(Formulas::new(r)?)),
        };
        Some(FoldSpec { combines, compute, n, lanes, width, at: 0 })
    }

    /// Returns the number of elements of a block. Threads share a reduction in parts of 2^k blocks, because such parts
    /// are whole subtrees. A fold that looks for one element may be cut anywhere; its blocks are as long as the longest
    /// block of a tree.
    pub fn block(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) => SERIAL * self.lanes,
            Combines::First(_) => SERIAL * LANES,
        }
    }

    /// Folds contiguous rows of `n` elements, each row to one element of `out`: the component or result that `gives`
    /// names. The bits are the same as the bits that a [`Folder`] computes. Returns false if the fold has no loop for
    /// this ([`FoldSpec::takes_whole_rows`]).
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `rows × n` elements. `out` has space for `rows` aligned elements, apart from them.
    pub unsafe fn whole_rows(&self, data: *const u8, rows: usize, gives: Gives, out: *mut u8) -> bool {
        if !self.takes_whole_rows() {
            return false;
        }
        // SAFETY: *data*, and `out` has the space; the loop accepts rows of 1 element up to a block.
        unsafe {
            match &self.combines {
                Combines::Function(f) => (f.rows)(self.n, data, (&raw const rows).cast(), data, out),
                Combines::First(first) => first.whole_rows(self.n, data, rows, gives, out),
                Combines::Formulas(_) => return false,
            }
        }
        true
    }

    /// Returns whether [`FoldSpec::whole_rows`] has a loop for these rows, which must be no longer than a block.
    pub fn takes_whole_rows(&self) -> bool {
        match &self.combines {
            Combines::Function(_) => (1..=SERIAL * self.lanes).contains(&self.n),
            Combines::First(first) => first.takes_whole_rows(self.n),
            Combines::Formulas(_) => false,
        }
    }

    /// Returns whether [`Folder::feed_where_they_lie`] accepts `width` columns of rows that are `step` elements apart.
    pub fn takes_rows_apart(&self, width: usize, step: isize) -> bool {
        let is_function = matches!(self.combines, Combines::Function(_));
        is_function && self.lanes == 1 && (width >= NARROW || step == width as isize)
    }

    /// Returns whether the folder accepts elements in pieces of any length. A search for one element is faster tile by
    /// tile.
    pub fn takes_any_length(&self) -> bool {
        matches!(self.combines, Combines::Function(_))
    }

    /// Returns the size of a vector in bytes: a state for each lane and column, with each component padded to whole
    /// cache lines.
    fn vector(&self) -> usize {
        let states = self.lanes * self.width;
        match &self.combines {
            Combines::Function(_) | Combines::First(_) => (states * self.compute.size()).next_multiple_of(64),
            Combines::Formulas(f) => f.sizes().map(|size| (states * size).next_multiple_of(64)).sum(),
        }
    }

    /// Returns how many blocks [`Folder::feed_blocks`] combines together, or 0 where blocks are folded one by one. With
    /// one lane, the loop over a block is as long as there are columns, and fewer than 32 columns are too few for SIMD.
    /// Formulas, several lanes and the search for one element always fold one block at a time.
    fn blocks_at_once(&self) -> usize {
        match (self.width, &self.combines) {
            _ if self.lanes > 1 => 0,
            (0..=4, Combines::Function(_)) => 64,
            (5..=8, Combines::Function(_)) => 32,
            (9..NARROW, Combines::Function(_)) => 16,
            (_, Combines::Function(_) | Combines::Formulas(_) | Combines::First(_)) => 0,
        }
    }

    /// Returns the number of levels that the binary counter of blocks needs, plus one spare.
    fn levels(&self) -> usize {
        (usize::BITS - self.n.div_ceil(self.block()).leading_zeros()) as usize + 1
    }

    /// Returns the offset of the scratch memory in the state: it comes after the vectors of the tree.
    fn scratch(&self) -> usize {
        self.vector() * (self.levels() + 1)
    }

    /// Returns the size in bytes of a folder's state, which the program reserves in its scratch memory.
    pub fn bytes(&self) -> usize {
        match &self.combines {
            Combines::Function(_) => self.scratch() + self.blocks_at_once() * self.width * 8,
            Combines::Formulas(f) => self.scratch() + f.scratch(),
            Combines::First(_) => self.partial(),
        }
    }

    /// Returns the size in bytes of a partial result: one vector, or the best elements and their positions.
    pub fn partial(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) => self.vector(),
            Combines::First(_) => first::bytes(self.width),
        }
    }
}

/// The number of each level's vector at the start. Vector 0 belongs to the current block. Later, blocks and levels swap
/// these numbers instead of copying vectors.
const FIRST: [u8; 64] = {
    let mut levels = [0; 64];
    let mut i = 0;
    while i < 64 {
        levels[i] = i as u8 + 1;
        i += 1;
    }
    levels
};

/// A reduction in progress over `width` columns.
///
/// Its unsafe functions have two conditions, cited by name. *State*: `state` points to `spec.bytes()` bytes, aligned to
/// 64, that only this folder uses. They hold the numbered vectors of the current block and of each level, each with
/// space for `lanes × width` states, followed by scratch memory. For a fold that looks for one element they hold the
/// best element of each column, followed by the positions of these elements. *Data*: each input of the fold holds as
/// many aligned elements of its type as the function states. These elements share no byte with the state, and no other
/// thread writes them meanwhile.
pub(super) struct Folder<'a> {
    spec: &'a FoldSpec,
    width: usize,
    /// The state's first byte, and the size of each vector in bytes.
    state: *mut u8,
    vector: usize,
    /// The number of the current block's vector. `levels[i]` is the number of the vector of level `i`, in which a
    /// subtree of `1 << i` blocks waits for its neighbour of equal size.
    current: u8,
    levels: [u8; 64],
    /// The number of whole blocks so far; bit `i` is set if level `i` holds a subtree. In a search for one element: 1
    /// once there is any element.
    blocks: usize,
    /// The number of elements of each column in the current block so far.
    filled: usize,
    /// The number of elements of each column still to come. If the last block has fewer elements than lanes, its vector
    /// is first filled with the identity.
    left: usize,
    /// The position of element 0 of each column; null if that is 0 for all columns.
    base: *const i32,
}

impl<'a> Folder<'a> {
    /// Creates a folder for a reduction of `n` elements over at most `spec.width` columns. These are all of the spec's
    /// elements, or a part that begins at a block boundary. Its state is in `arena`, the scratch memory of a task.
    ///
    /// # Safety
    /// The arena is aligned to 64 and has `spec.bytes()` bytes at `spec.at` that only this folder uses: its *state*.
    pub unsafe fn new(spec: &'a FoldSpec, arena: *mut u8, width: usize, n: usize) -> Folder<'a> {
        // SAFETY: both sums stay inside the arena, because the state begins at `spec.at` and ends with the scratch.
        unsafe {
            let state = arena.add(spec.at);
            if let Combines::Formulas(f) = &spec.combines {
                f.begin(state.add(spec.scratch()));
            }
            Folder {
                spec,
                width,
                state,
                vector: spec.vector(),
                current: 0,
                levels: FIRST,
                blocks: 0,
                filled: 0,
                left: n,
                base: std::ptr::null(),
            }
        }
    }

    /// Returns the vector of the current block.
    fn here(&self) -> *mut u8 {
        self.state.wrapping_add(self.current as usize * self.vector)
    }

    fn level(&self, i: usize) -> *mut u8 {
        self.state.wrapping_add(self.levels[i] as usize * self.vector)
    }

    fn scratch(&self) -> *mut u8 {
        self.state.wrapping_add(self.spec.scratch())
    }

    /// Returns how many states a vector holds: one for each lane and column.
    fn states(&self) -> usize {
        self.spec.lanes * self.width
    }

    /// Starts a reduction of `n` elements, or the part of one that a task computes. `base` holds for each column the
    /// position of the kernel's element 0, which is not 0 where the planner has split a longer reduction. A null `base`
    /// means zeros.
    pub fn reset(&mut self, n: usize, base: *const i32) {
        (self.blocks, self.filled, self.left, self.base) = (0, 0, n, base);
    }

    /// Folds the next `rows` elements of each column. The first of them is element number `at`; its position is `base +
    /// at`.
    ///
    /// # Safety
    /// *State* and *data* ([`Folder`]): `rows × width` elements in each input, where `rows` is at most the number of
    /// elements still to come. `base` is null or has a position for each column.
    pub unsafe fn feed(&mut self, at: usize, data: Inputs, rows: usize) {
        let (w, lanes, size) = (self.width, self.spec.lanes, self.spec.compute.size());
        let mut done = 0;
        // SAFETY: *state* and *data*: `take` rows fit into the lanes from `lane` on, and `from` is past the rows taken
        // so far.
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.feed_first(first, at, data, rows);
            }
            if self.spec.takes_rows_apart(w, w as isize) && w >= NARROW {
                return self.feed_where_they_lie(data[0], rows, w as isize);
            }
            while done < rows {
                let (from, rows) = (data[0].add(done * w * size), rows - done);
                if let Combines::Function(function) = self.spec.combines
                    && let Some(taken) = self.feed_whole_blocks(function, from, rows)
                {
                    done += taken;
                    continue;
                }
                if self.filled == 0 && self.left < lanes {
                    self.fill_identity();
                }
                if let Combines::Formulas(f) = &self.spec.combines
                    && self.filled >= lanes
                    && self.filled.is_multiple_of(lanes)
                    && rows >= lanes
                {
                    let whole = (rows / lanes).min(SERIAL - self.filled / lanes);
                    if self.feed_rows(f, done, data, whole) {
                        self.filled += whole * lanes;
                        self.left -= whole * lanes;
                        done += whole * lanes;
                        if self.filled == SERIAL * lanes {
                            self.push(0);
                        }
                        continue;
                    }
                }
                let lane = self.filled % lanes;
                let take = rows.min(lanes - lane);
                let begins = self.filled < lanes;
                match &self.spec.combines {
                    Combines::Function(function) => {
                        let to = self.here().add(lane * w * size);
                        match begins {
                            true => std::ptr::copy_nonoverlapping(from, to, take * w * size),
                            false => (function.accumulate)(take * w, from, from, from, to),
                        }
                    }
                    Combines::Formulas(f) => self.feed_states(f, (at, done), data, lane * w, take * w, begins),
                    Combines::First(_) => {}
                }
                self.filled += take;
                self.left -= take;
                done += take;
                if self.filled == SERIAL * lanes {
                    self.push(0);
                }
            }
        }
    }

    /// Fills the current vector with the identity, which changes no state when the two are combined.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    unsafe fn fill_identity(&mut self) {
        // SAFETY: *state*: a vector has a state for each lane and column.
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) => {
                    strided::fill(self.spec.compute.size(), f.identity, self.here(), self.states())
                }
                Combines::Formulas(f) => self.fill_states(f),
                Combines::First(_) => {}
            }
        }
    }

    /// Combines states `at..at + n` of the vector `from` into states `0..n` of the vector `to`, whose elements come
    /// earlier.
    ///
    /// # Safety
    /// *State* ([`Folder`]): both are vectors of the state; `at + n` is at most [`Folder::states`]; the two ranges
    /// share no state.
    unsafe fn combine(&mut self, n: usize, from: *const u8, at: usize, to: *mut u8) {
        // SAFETY: *state*: both ranges lie inside a vector and are apart.
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) => {
                    let from = from.add(at * self.spec.compute.size());
                    (f.accumulate)(n, from, from, from, to)
                }
                Combines::Formulas(f) => self.combine_states(f, n, from, at, to),
                Combines::First(_) => {}
            }
        }
    }

    /// Adds the current vector, the result of `1 << level` blocks, to the counter: merges it with the waiting subtree
    /// of equal size as long as there is one, then stores it at the first free level.
    ///
    /// # Safety
    /// *State* ([`Folder`]): the current vector has a state for each lane and column.
    unsafe fn push(&mut self, mut level: usize) {
        let count = 1 << level;
        while self.blocks >> level & 1 == 1 {
            // SAFETY: *state*: the current vector and a level's vector are different.
            unsafe { self.combine(self.states(), self.here(), 0, self.level(level)) };
            std::mem::swap(&mut self.current, &mut self.levels[level]);
            level += 1;
        }
        std::mem::swap(&mut self.current, &mut self.levels[level]);
        self.blocks += count;
        self.filled = 0;
    }

    /// Merges the partial result of the next part. All parts but the last have the same number of blocks, a power of
    /// two, so each is a whole subtree, and the bits are the same as without parts.
    ///
    /// # Safety
    /// *State* ([`Folder`]). `partial` is a copy, aligned to 8, of what [`Folder::collapse`] returned for this spec and
    /// width.
    pub unsafe fn merge(&mut self, partial: *const u8) {
        // SAFETY: *state*: a partial result is as long as one vector.
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.merge_first(first, partial);
            }
            std::ptr::copy_nonoverlapping(partial, self.here(), self.vector);
            self.left = self.left.max(1);
            self.push(0);
        }
    }

    /// Merges the remaining subtrees, smallest first, and returns the partial result of `spec.partial()` bytes.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    pub unsafe fn collapse(&mut self) -> *const u8 {
        if let Combines::First(_) = self.spec.combines {
            return self.state;
        }
        // SAFETY: *state*: the current vector and a level's are different vectors of it.
        unsafe {
            if self.filled > 0 {
                self.push(0);
            }
            let mut found = false;
            for level in 0..self.levels.len() {
                if self.blocks >> level == 0 {
                    break;
                }
                if self.blocks >> level & 1 == 1 {
                    if found {
                        self.combine(self.states(), self.here(), 0, self.level(level));
                    }
                    std::mem::swap(&mut self.current, &mut self.levels[level]);
                    found = true;
                }
            }
            self.blocks = 0;
            self.here()
        }
    }

    /// Ends the reduction: merges all subtrees, then all lanes, so that [`Folder::write`] may follow.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    pub unsafe fn end(&mut self) {
        if let Combines::First(_) = self.spec.combines {
            return;
        }
        // SAFETY: *state*: a vector has `lanes × width` states, and its halves are apart.
        unsafe {
            if self.spec.n == 0 {
                return self.fill_identity();
            }
            self.collapse();
            let mut half = self.spec.lanes / 2;
            while half > 0 {
                let n = half * self.width;
                self.combine(n, self.here(), n, self.here());
                half /= 2;
            }
        }
    }

    /// Writes the result or a component of an ended reduction to `out`, one element for each column.
    ///
    /// # Safety
    /// *State* ([`Folder`]). `out` has space for `width` aligned elements, apart from the state.
    pub unsafe fn write(&mut self, gives: Gives, out: *mut u8) {
        let (w, size) = (self.width, self.spec.compute.size());
        // SAFETY: *state*: the current vector has a state for each column, and `out` has space for as many elements.
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) if self.spec.n == 0 => strided::fill(size, f.empty, out, w),
                Combines::Function(_) => std::ptr::copy_nonoverlapping(self.here(), out, w * size),
                Combines::Formulas(f) => self.write_states(f, gives, out),
                Combines::First(_) => self.write_first(gives, out),
            }
        }
    }
}
