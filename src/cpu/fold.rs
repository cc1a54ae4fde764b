//! Reductions: one tree for each shape, whatever the strides, threads and instruction sets.
//!
//! The `n` elements go to `L` virtual lanes in blocks of `16 · L`: at most 16 elements serially in a lane of a block,
//! then the blocks pairwise over their number (a binary counter), then the lanes pairwise. `L` is 1 where the
//! elements of one reduction do not lie next to each other. A fold handles `width` reductions at once, element `i` of
//! all of them as one vector.
//!
//! The tree is the same for every fold. What it combines is a *state*: the element itself, combined by a function's own
//! loops, or a few components, each a vector of its own, combined by formulas (`fold/formulas.rs`). Folds that look for
//! the position of one element have no tree (`fold/first.rs`).

mod first;
mod formulas;

use super::strided::{self, Block};
use crate::dtype::Compute;
use crate::kernel::{Gives, KernelKind, Lanes, Reduction, Source};
use crate::simd::{LANES, Loop};
use crate::ufunc::{Form, Neutral, Ufunc};
use first::First;
use formulas::Formulas;

/// Elements that a lane takes serially. Part of the tree, so another number gives other bits; 16 bound the rounding error.
pub(super) const SERIAL: usize = 16;

/// The inputs of a fold: its elements, or the components of states. Those that it does not have repeat the first.
pub(super) type Inputs = [*const u8; 3];

/// A reduction of a program: its loops and the sizes of its tree.
pub(super) struct FoldSpec {
    combines: Combines,
    /// The type of the elements, or of the first component.
    compute: Compute,
    /// The number of elements of one reduction, which decides how many lanes and levels its tree has.
    n: usize,
    lanes: usize,
    /// The most reductions that are folded side by side, as columns.
    width: usize,
    /// Where its state lies in the arena.
    pub at: usize,
}

/// What a fold combines, and by what.
enum Combines {
    Function(Function),
    Formulas(Box<Formulas>),
    First(First),
}

/// The loops of a reduction by a function.
#[derive(Clone, Copy)]
struct Function {
    fold: Loop,
    accumulate: Loop,
    identity: u64,
    /// What a reduction of no elements gives: 0 for a sum, whose identity is −0.
    empty: u64,
}

impl Function {
    fn new(row: &Ufunc, compute: Compute) -> Option<Function> {
        let neutral = row.reduce.as_ref()?.neutral;
        let forms = row.forms[compute as usize]?;
        let identity = neutral.bits(compute);
        let empty = if neutral == Neutral::Zero { 0 } else { identity };
        Some(Function { fold: forms.fold?.get(), accumulate: forms.accumulate?.get(), identity, empty })
    }
}

impl FoldSpec {
    /// The fold of a reduction over `n` elements of a kernel, of which the first input has this type.
    pub fn new(r: &Reduction, compute: Compute, kind: KernelKind, n: usize, width: usize) -> Option<FoldSpec> {
        let lanes = match kind {
            KernelKind::Reduce(Lanes::Outer) => 1,
            _ if n >= SERIAL * LANES => LANES,
            KernelKind::Elementwise | KernelKind::Reduce(_) | KernelKind::Row | KernelKind::Matmul => {
                n.div_ceil(SERIAL).max(1).next_power_of_two().min(LANES)
            }
        };
        let combines = match r.fold.form {
            Form::Function(row) => Combines::Function(Function::new(row, compute)?),
            Form::FirstOf(row) => Combines::First(First::new(row, compute, matches!(r.source, Source::States(_)))?),
            Form::Formulas => Combines::Formulas(Box::new(Formulas::new(r)?)),
        };
        Some(FoldSpec { combines, compute, n, lanes, width, at: 0 })
    }

    /// Elements of a block: the unit by which a reduction may be cut without changing its tree.
    pub fn block(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) => SERIAL * self.lanes,
            Combines::First(_) => SERIAL * LANES,
        }
    }

    /// Bytes of the states of all lanes and columns.
    fn vector(&self) -> usize {
        let states = self.lanes * self.width;
        match &self.combines {
            Combines::Function(_) | Combines::First(_) => (states * self.compute.size()).next_multiple_of(64),
            Combines::Formulas(f) => f.sizes().map(|size| (states * size).next_multiple_of(64)).sum(),
        }
    }

    /// How many blocks [`Folder::feed_blocks`] takes at once: with few columns a single block gives loops of that few elements,
    /// too short for SIMD. The numbers keep a loop at 64 to 500 elements. 0: the columns alone are enough.
    fn blocks_at_once(&self) -> usize {
        match (self.width, &self.combines) {
            _ if self.lanes > 1 => 0,
            (0..=4, Combines::Function(_)) => 64,
            (5..=8, Combines::Function(_)) => 32,
            (9..=31, Combines::Function(_)) => 16,
            (_, Combines::Function(_) | Combines::Formulas(_) | Combines::First(_)) => 0,
        }
    }

    fn levels(&self) -> usize {
        (usize::BITS - self.n.div_ceil(self.block()).leading_zeros()) as usize + 1
    }

    /// Where scratch memory follows the vectors of the tree.
    fn scratch(&self) -> usize {
        self.vector() * (self.levels() + 1)
    }

    /// Bytes of a folder's state, which the program reserves in its arena.
    pub fn bytes(&self) -> usize {
        match &self.combines {
            Combines::Function(_) => self.scratch() + self.blocks_at_once() * (SERIAL + 1) * self.width * 8,
            Combines::Formulas(f) => self.scratch() + f.scratch(),
            Combines::First(_) => self.partial(),
        }
    }

    /// Bytes of a partial result: lane vectors, or best elements and their positions.
    pub fn partial(&self) -> usize {
        match self.combines {
            Combines::Function(_) | Combines::Formulas(_) => self.vector(),
            Combines::First(_) => first::bytes(self.width),
        }
    }
}

/// The vector of each level of the counter at first; levels and the current block swap vectors instead of copying them.
const FIRST: [u8; 64] = {
    let mut levels = [0; 64];
    let mut i = 0;
    while i < 64 {
        levels[i] = i as u8 + 1;
        i += 1;
    }
    levels
};

/// A reduction under way.
///
/// What its unsafe functions rely on, by name. *State*: `state` leads to `spec.bytes()` bytes that this folder alone
/// uses: the vectors of `here` and `level`, each of `lanes × width` states or more, apart from each other, and scratch
/// after them; of a fold that looks for one element, `width` best elements and their positions. *Data*: the inputs that
/// are handed over are as many elements of the spec's types as the function says, apart from the state, and nobody
/// writes them meanwhile.
pub(super) struct Folder<'a> {
    spec: &'a FoldSpec,
    width: usize,
    /// The vectors of the state.
    state: *mut u8,
    vector: usize,
    /// Which vector is the current block, and which holds the subtree of `1 << i` blocks that waits for its neighbour.
    current: u8,
    levels: [u8; 64],
    /// Whole blocks so far. Its bits say which levels hold a subtree.
    blocks: usize,
    /// Elements of the current block so far.
    filled: usize,
    /// Elements that are still to come: a last block shorter than the lanes must be filled with the identity.
    left: usize,
    /// Where the positions of each column begin; null where all begin at 0.
    base: *const i32,
}

impl<'a> Folder<'a> {
    /// A reduction of `n` elements (of the spec's, or a part that starts at a block) over `width` columns, with its
    /// state in `arena`.
    ///
    /// # Safety
    /// The arena has `spec.bytes()` bytes at `spec.at`, for this folder alone: that is its *state*.
    pub unsafe fn new(spec: &'a FoldSpec, arena: *mut u8, width: usize, n: usize) -> Folder<'a> {
        // SAFETY: the arena reaches beyond `spec.at`, so the sum stays inside it, and the scratch is part of the state.
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

    /// The vector of the current block.
    fn here(&self) -> *mut u8 {
        self.state.wrapping_add(self.current as usize * self.vector)
    }

    fn level(&self, i: usize) -> *mut u8 {
        self.state.wrapping_add(self.levels[i] as usize * self.vector)
    }

    fn scratch(&self) -> *mut u8 {
        self.state.wrapping_add(self.spec.scratch())
    }

    /// States of a vector, those of all lanes and columns.
    fn states(&self) -> usize {
        self.spec.lanes * self.width
    }

    /// Starts a new reduction, of `n` elements, whose positions begin at those of `base` (or at 0 where that is null).
    pub fn reset(&mut self, n: usize, base: *const i32) {
        (self.blocks, self.filled, self.left, self.base) = (0, 0, n, base);
    }

    /// Folds the next `rows` elements of each column; `at` is the number of the first, which positions are counted from.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `rows × width` elements in each input. `base` has a position for each column.
    pub unsafe fn feed(&mut self, at: usize, data: Inputs, rows: usize) {
        let (w, lanes, size) = (self.width, self.spec.lanes, self.spec.compute.size());
        let mut done = 0;
        // SAFETY: *state* and *data*: rows go to lanes below `lanes`, and `done` counts the rows that were taken.
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.feed_first(first, at, data, rows);
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

    /// Takes whole blocks in one call of a loop, where there are some, with the same bits. Gives how many rows it took.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `rows × width` elements.
    unsafe fn feed_whole_blocks(&mut self, function: Function, data: *const u8, rows: usize) -> Option<usize> {
        let (count, size) = (self.spec.blocks_at_once(), self.spec.compute.size());
        // SAFETY: *state* and *data*: there are as many rows as each case takes.
        unsafe {
            if count > 0 && self.filled == 0 && rows >= count * SERIAL && self.blocks.is_multiple_of(count) {
                self.feed_blocks(function, data, count);
                return Some(count * SERIAL);
            }
            if self.filled == 0 && self.width == 1 && self.spec.lanes == LANES && rows >= SERIAL * LANES {
                let one = LANES * size;
                std::ptr::copy_nonoverlapping(data, self.here(), one);
                (function.fold)((SERIAL - 1) * LANES, data.add(one), data, data, self.here());
                self.left -= SERIAL * LANES;
                self.push(0);
                return Some(SERIAL * LANES);
            }
        }
        None
    }

    /// Takes `count` blocks of few columns together, so that each loop is `count` times as long: element by element over all
    /// blocks, then the tree over the blocks by halves.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `count` blocks of `SERIAL × width` elements.
    unsafe fn feed_blocks(&mut self, function: Function, data: *const u8, count: usize) {
        let (w, size) = (self.width, self.spec.compute.size());
        let scratch = self.scratch();
        // SAFETY: *state* and *data*: the scratch has room for `SERIAL + 1` times `count × width` elements.
        unsafe {
            // transpose element (block, serial, column) to (serial, column, block), so that loops run over blocks
            let from = Block { ptr: data as *mut u8, rows: 1, cols: (SERIAL * w) as isize };
            let to = Block { ptr: scratch, rows: count as isize, cols: 1 };
            strided::copy(size, from, to, SERIAL * w, count);
            for j in 1..SERIAL {
                let x = scratch.add(j * w * count * size);
                (function.accumulate)(w * count, x, x, x, scratch);
            }
            // a block goes to its number with the bits reversed, so that adding halves adds neighbours, as `push` would
            let turned = scratch.add(SERIAL * w * count * size);
            let shift = usize::BITS - count.trailing_zeros();
            for block in 0..count {
                let from = Block { ptr: scratch.add(block * size), rows: 0, cols: count as isize };
                let at = mutant!(blocks_of_a_bunch_in_order, block, block.reverse_bits() >> shift);
                let to = Block { ptr: turned.add(at * w * size), rows: 0, cols: 1 };
                strided::copy(size, from, to, 1, w);
            }
            let mut half = count / 2;
            while half > 0 {
                let upper = turned.add(half * w * size);
                (function.accumulate)(half * w, upper, upper, upper, turned);
                half /= 2;
            }
            std::ptr::copy_nonoverlapping(turned, self.here(), w * size);
            self.left -= count * SERIAL;
            self.push(count.trailing_zeros() as usize);
        }
    }

    /// Fills the current vector with states that change none.
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

    /// Combines `n` states of the vector `from`, from number `at` on, into as many of the vector `to`, from its first on.
    /// Those of `from` come later.
    ///
    /// # Safety
    /// *State* ([`Folder`]): both are vectors of it, and the two runs of states share none.
    unsafe fn combine(&mut self, n: usize, from: *const u8, at: usize, to: *mut u8) {
        // SAFETY: *state*: `n` states from `at` on are inside a vector.
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

    /// Ends the current block, or a subtree of `1 << level` blocks, and merges it with its neighbours of equal size.
    ///
    /// # Safety
    /// *State* ([`Folder`]): the current vector is a whole block's.
    unsafe fn push(&mut self, mut level: usize) {
        let count = 1 << level;
        while self.blocks >> level & 1 == 1 {
            // SAFETY: *state*: the two are different vectors of it.
            unsafe { self.combine(self.states(), self.here(), 0, self.level(level)) };
            std::mem::swap(&mut self.current, &mut self.levels[level]);
            level += 1;
        }
        std::mem::swap(&mut self.current, &mut self.levels[level]);
        self.blocks += count;
        self.filled = 0;
    }

    /// Merges the partial result of the next part. All parts but the last have the same number of blocks, a power of two, so
    /// that each is a whole subtree and the bits are those of a single part.
    ///
    /// # Safety
    /// `partial` holds `spec.partial()` bytes of a folder of this spec and width.
    pub unsafe fn merge(&mut self, partial: *const u8) {
        // SAFETY: *state*, and `partial` is as long as its first vector.
        unsafe {
            if let Combines::First(first) = &self.spec.combines {
                return self.merge_first(first, partial);
            }
            std::ptr::copy_nonoverlapping(partial, self.here(), self.vector);
            self.left = self.left.max(1);
            self.push(0);
        }
    }

    /// Merges the subtrees that are left, the shortest first, to one vector of lanes.
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

    /// Ends the reduction: what [`Folder::write`] gives is complete.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    pub unsafe fn end(&mut self) {
        if let Combines::First(_) = self.spec.combines {
            return;
        }
        // SAFETY: *state*: its vectors have `lanes × width` states, and the halves of one are apart.
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

    /// Writes what a reduction that has ended gives, one for each column, into `out`.
    ///
    /// # Safety
    /// `out` has room for `width` elements, apart from the state.
    pub unsafe fn write(&mut self, gives: Gives, out: *mut u8) {
        let (w, size) = (self.width, self.spec.compute.size());
        // SAFETY: *state*: its vectors have `lanes × width` states; `out` has room for `width`.
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
