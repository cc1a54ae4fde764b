//! Reductions on the CPU. A fold is the rule by which a reduction combines elements, for example a sum. Each element
//! becomes a *state* (an intermediate result), and states are combined two at a time. The order depends only on the
//! number of elements `n` and the kernel's kind, so strides, threads and instruction sets change no bit.
//!
//! The elements are cut into blocks of `16 · L` elements, and element `i` belongs to lane `i % L`. In a block, each
//! lane combines its elements (at most 16) one after another, which gives a vector of `L` states. The vectors of the
//! blocks are combined pairwise, like the carries of a binary counter. In the last vector, the upper half of the lanes
//! is combined into the lower half until one lane is left. `L` is 1 in kernels of kind `Reduce(Lanes::Outer)`, and in
//! other kernels the result of `lanes_of_row`: 1 for fewer than 16 elements, or else `n / 16`, rounded up to a power of
//! two, at least 16 and at most `LANES`. Up to `width` reductions run side by side, as columns: row `i` of the input
//! holds element `i` of each reduction.
//!
//! States are combined by the loops of a function such as `add` (`function.rs`), or by formulas if a state has several
//! components (`formulas.rs`, `threaded.rs`). Folds that look for the position of one element, such as argmax, need no
//! fixed order (`first.rs`), and neither do sums of narrow integers (`narrow.rs`).

mod blocks;
#[cfg(target_arch = "x86_64")]
mod extremes;
mod first;
mod formulas;
mod function;
mod halves;
mod narrow;
mod products;
mod spec;
mod threaded;

use super::strided;
use crate::base::dtype::Compute;
use crate::base::heap::Heap;
use crate::graph::ufunc::Form;
use crate::math::simd::{BlockArgs, Columns, LANES, NARROW, RowArgs, SERIAL, lanes_of_row};
use crate::plan::kernel::{Gives, KernelKind, KernelReduction, Lanes, Source};
use first::First;
use formulas::Formulas;
use function::CombineLoops;
use halves::HalfSum;
use narrow::NarrowSum;
use products::ProductLoops;
pub(super) use products::{ColumnFactors, ProductFactors};
use spec::Combines;
pub(super) use spec::FoldSpec;

/// The arrays that a fold reads: one array of elements, or one array for each component of states. Unused entries
/// repeat the first one or are null, and nothing reads them.
pub(super) type Inputs = [*const u8; 3];

/// The initial value of `Folder::levels`: the vector of level i has number i + 1, because vector 0 belongs to the
/// current block. Later, these numbers are swapped, so that vectors need not be copied.
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
/// Its unsafe functions have two conditions, to which SAFETY comments refer by name. *State*: `state` points to
/// `spec.bytes()` bytes, aligned to 64, that only this folder uses. These bytes hold one vector for the current block
/// and one for each level, each with space for `lanes × width` states, followed by scratch memory. If the fold looks
/// for one element, they hold the best element of each column, followed by the positions of these elements. *Data*:
/// each input of the fold has as many aligned elements of its type as the function states. The inputs do not overlap
/// the state, and no other thread writes them during the call.
pub(super) struct Folder<'a> {
    spec: &'a FoldSpec,
    width: usize,
    /// The state's first byte, and the size of each vector in bytes.
    state: *mut u8,
    vector: usize,
    /// `current` is the number of the current block's vector. `levels[i]` is the number of the vector of level `i`,
    /// which holds the result of `1 << i` blocks until it is merged with an equally large result.
    current: u8,
    levels: [u8; 64],
    /// The number of whole blocks so far. Bit `i` is set if level `i` holds the result of `1 << i` blocks. In a search
    /// for one element and in a sum of narrow elements, this is 0 before the first element and 1 afterwards.
    blocks: usize,
    /// The number of elements of each column in the current block so far.
    filled: usize,
    /// The number of elements of each column still to come. If the last block has fewer elements than lanes, its vector
    /// is first filled with the identity.
    left: usize,
    /// The position of element 0 of each column, or null if it is 0 for all columns.
    base: *const i32,
}

impl<'a> Folder<'a> {
    /// Creates a folder for a reduction over at most `spec.width` columns. `n` is the number of all elements of the
    /// spec, or of a part that begins at a block boundary. The state is in `arena`, the scratch memory of a task.
    ///
    /// # Safety
    /// The arena is aligned to 64 bytes. Only this folder uses its `spec.bytes()` bytes from `spec.at` on, which are
    /// its state.
    pub unsafe fn new(spec: &'a FoldSpec, arena: *mut u8, width: usize, n: usize) -> Folder<'a> {
        // SAFETY: both addresses are inside the arena, because the state begins at `spec.at` and ends with the scratch.
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

    /// Returns the vector that holds the states of the current block.
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

    /// Starts a reduction of `n` elements, or the part of a reduction that a task computes. `base` contains, for each
    /// column, the position of the kernel's element 0. This position is not 0 if the planner has split a longer
    /// reduction. A null `base` means zeros.
    pub fn reset(&mut self, n: usize, base: *const i32) {
        (self.blocks, self.filled, self.left, self.base) = (0, 0, n, base);
    }

    /// Folds the next `rows` elements of each column. The first of them is element `at` of its column, and its position
    /// is `base + at`.
    ///
    /// # Safety
    /// The state is valid, and each input has `rows × width` elements (*state* and *data*, see [`Folder`]). `rows` is
    /// at most the number of elements still to come. `base` is null or has a position for each column.
    pub unsafe fn feed(&mut self, at: usize, data: Inputs, rows: usize) {
        // SAFETY: the caller ensures the same conditions.
        unsafe {
            match &self.spec.products {
                Some(products) => self.feed_products(products, data, rows),
                None if self.spec.stored => self.feed_halves(at, data[0], rows),
                None => self.feed_elements(at, data, rows),
            }
        }
    }

    /// Implements [`Folder::feed`] for folds of elements.
    ///
    /// # Safety
    /// As for [`Folder::feed`].
    unsafe fn feed_elements(&mut self, at: usize, data: Inputs, rows: usize) {
        let (w, lanes, size) = (self.width, self.spec.lanes, self.spec.compute.size());
        let mut done = 0;
        // SAFETY: `from` is the first element that is not folded yet, and the `take` rows from there on exist (*data*,
        // see [`Folder`]). The vector has space for them from `lane` on (*state*).
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.feed_first(first, at, data, rows);
            }
            if let Combines::Narrow(sum) = &self.spec.combines {
                return self.feed_narrow(sum, data[0], rows, w as isize);
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
                    Combines::First(_) | Combines::Narrow(_) => {}
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
    /// The state is valid (*state*, see [`Folder`]).
    unsafe fn fill_identity(&mut self) {
        // SAFETY: the current vector has space for a state for each lane and column (*state*, see [`Folder`]).
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) => {
                    strided::fill(self.spec.compute.size(), f.identity, self.here(), self.states())
                }
                Combines::Formulas(f) => self.fill_states(f),
                Combines::Narrow(_) => self.begin_narrow(),
                Combines::First(_) => {}
            }
        }
    }

    /// Combines states `at..at + n` of the vector `from` into states `0..n` of the vector `to`. The states of `to`
    /// belong to earlier elements.
    ///
    /// # Safety
    /// Both are vectors of a valid state (*state*, see [`Folder`]). `at + n` is at most [`Folder::states`], and the two
    /// ranges do not overlap.
    unsafe fn combine(&mut self, n: usize, from: *const u8, at: usize, to: *mut u8) {
        // SAFETY: the caller ensures that both ranges lie inside a vector and do not overlap.
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) => {
                    let from = from.add(at * self.spec.compute.size());
                    (f.accumulate)(n, from, from, from, to)
                }
                Combines::Formulas(f) => self.combine_states(f, n, from, at, to),
                Combines::First(_) | Combines::Narrow(_) => {}
            }
        }
    }

    /// Adds the current vector, the result of `1 << level` blocks, to the results that wait at the levels. As long as a
    /// waiting result covers equally many blocks, the two are merged. The merged vector is then stored at the first
    /// free level.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]), and the current vector has a state for each lane and column.
    unsafe fn push(&mut self, mut level: usize) {
        let count = 1 << level;
        while self.blocks >> level & 1 == 1 {
            // SAFETY: the current vector and the vector of a level are two different vectors of the state.
            unsafe { self.combine(self.states(), self.here(), 0, self.level(level)) };
            std::mem::swap(&mut self.current, &mut self.levels[level]);
            level += 1;
        }
        std::mem::swap(&mut self.current, &mut self.levels[level]);
        self.blocks += count;
        self.filled = 0;
    }

    /// Merges the partial result of the next part of a reduction that tasks share. All parts except the last have the
    /// same number of blocks, a power of two, so the bits are the same as without parts.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]). `partial` is a copy, aligned to 8, of what [`Folder::collapse`]
    /// returned for this spec and width.
    pub unsafe fn merge(&mut self, partial: *const u8) {
        // SAFETY: a partial result is as long as one vector of the state.
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.merge_first(first, partial);
            }
            if let Combines::Narrow(sum) = &self.spec.combines {
                return self.merge_narrow(sum, partial);
            }
            std::ptr::copy_nonoverlapping(partial, self.here(), self.vector);
            self.left = self.left.max(1);
            self.push(0);
        }
    }

    /// Merges the vectors that wait at the levels, smallest number of blocks first, and returns the partial result of
    /// `spec.partial()` bytes.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]).
    pub unsafe fn collapse(&mut self) -> *const u8 {
        if let Combines::First(_) = self.spec.combines {
            return self.state;
        }
        // SAFETY: the current vector and the vector of a level are two different vectors of the state.
        unsafe {
            if let Combines::Narrow(_) = self.spec.combines {
                self.begin_narrow();
                return self.state;
            }
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

    /// Ends the reduction: merges the vectors of all levels, and then all lanes. After this, [`Folder::write`] may be
    /// called.
    ///
    /// # Safety
    /// The state is valid (*state*, see [`Folder`]).
    pub unsafe fn end(&mut self) {
        if let Combines::First(_) = self.spec.combines {
            return;
        }
        // SAFETY: a vector has `lanes × width` states (*state*, see [`Folder`]), and its two halves do not overlap.
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

    /// Writes the result of an ended reduction, or a component of its state, to `out`: one element for each column.
    ///
    /// # Safety
    /// The state is valid (see [`Folder`]). `out` has space for `width` aligned elements, which are not in the state.
    pub unsafe fn write(&mut self, gives: Gives, out: *mut u8) {
        let (w, size) = (self.width, self.spec.compute.size());
        // SAFETY: the current vector has a state for each column, and `out` has space for as many elements.
        unsafe {
            match &self.spec.combines {
                Combines::Function(f) if self.spec.n == 0 => strided::fill(size, f.empty, out, w),
                Combines::Function(_) | Combines::Narrow(_) => {
                    std::ptr::copy_nonoverlapping(self.here(), out, w * size)
                }
                Combines::Formulas(f) => self.write_states(f, gives, out),
                Combines::First(_) => self.write_first(gives, out),
            }
        }
    }
}
