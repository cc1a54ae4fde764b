//! Reductions: one tree for each shape, whatever the strides, threads and instruction sets.
//!
//! The `n` elements go to `L` virtual lanes in blocks of `16 · L`: at most 16 elements serially in a lane of a block,
//! then the blocks pairwise over their number (a binary counter), then the lanes pairwise. `L` is 1 where the
//! elements of one reduction do not lie next to each other. A fold handles `width` reductions at once, element `i` of
//! all of them as one vector.

mod position;

use super::strided::{self, Block};
use crate::dtype::{Compute, DType};
use crate::kernel::{Fold, KernelKind, Lanes};
use crate::simd::{LANES, Loop};
use crate::ufunc::{Extreme, Gives, Neutral, arithmetic};

/// Elements that a lane takes serially. Part of the tree, so another number gives other bits; 16 bound the rounding error.
pub(super) const SERIAL: usize = 16;

/// A reduction of a program: its loops and the sizes of its tree.
#[derive(Clone, Copy)]
pub(super) struct FoldSpec {
    pub compute: Compute,
    /// The loops that combine values; none for argmin and argmax, which compare element by element.
    pub tree: Option<Tree>,
    /// Whether an argmax; else an argmin.
    pub largest: bool,
    /// The number of elements of one reduction, which decides how many lanes and levels its tree has.
    pub n: usize,
    pub lanes: usize,
    /// The most reductions that are folded side by side, as columns.
    pub width: usize,
    /// Where its state lies in the arena.
    pub at: usize,
}

/// The loops of a reduction by a ufunc.
#[derive(Clone, Copy)]
pub(super) struct Tree {
    fold: Loop,
    accumulate: Loop,
    identity: u64,
    /// What a reduction of no elements gives: 0 for a sum, whose identity is −0.
    empty: u64,
}

impl FoldSpec {
    pub fn new(fold: &Fold, compute: Compute, kind: KernelKind, n: usize, width: usize) -> Option<FoldSpec> {
        let lanes = match kind {
            KernelKind::Reduce(Lanes::Outer) => 1,
            _ if n >= SERIAL * LANES => LANES,
            _ => n.div_ceil(SERIAL).max(1).next_power_of_two().min(LANES),
        };
        let spec = |row: &'static crate::ufunc::Ufunc| {
            let neutral = row.reduce.as_ref()?.neutral;
            let forms = row.forms[compute as usize]?;
            let identity = neutral.bits(compute);
            let empty = if neutral == Neutral::Zero { 0 } else { identity };
            Some(Tree { fold: forms.fold?.get(), accumulate: forms.accumulate?.get(), identity, empty })
        };
        let tree = match fold.gives {
            Gives::Value => Some(spec(fold.row)?),
            Gives::Position => None,
        };
        let largest = fold.picks() == Some(Extreme::Largest);
        Some(FoldSpec { compute, tree, largest, n, lanes, width, at: 0 })
    }

    /// Elements of a block: the unit by which a reduction may be cut without changing its tree.
    pub fn block(&self) -> usize {
        match self.tree {
            Some(_) => SERIAL * self.lanes,
            None => SERIAL * LANES,
        }
    }

    fn vector(&self) -> usize {
        (self.lanes * self.width * self.compute.size()).next_multiple_of(64)
    }

    /// How many blocks [`Folder::feed_blocks`] takes at once: with few columns a single block gives loops of that few elements,
    /// too short for SIMD. The numbers keep a loop at 64 to 500 elements. 0: the columns alone are enough.
    pub fn blocks_at_once(&self) -> usize {
        match self.width {
            _ if self.lanes > 1 || self.tree.is_none() => 0,
            0..=4 => 64,
            5..=8 => 32,
            9..=31 => 16,
            _ => 0,
        }
    }

    fn levels(&self) -> usize {
        (usize::BITS - self.n.div_ceil(self.block()).leading_zeros()) as usize + 1
    }

    /// Bytes of a folder's state, which the program reserves in its arena.
    pub fn bytes(&self) -> usize {
        match self.tree {
            Some(_) => self.vector() * (self.levels() + 1) + self.blocks_at_once() * (SERIAL + 1) * self.width * 8,
            None => self.partial(),
        }
    }

    /// Bytes of a partial result: lane vectors, or best elements and their positions.
    pub fn partial(&self) -> usize {
        match self.tree {
            Some(_) => self.vector(),
            None => (self.width * 8).next_multiple_of(64) + (self.width * 4).next_multiple_of(64),
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
/// uses: the vectors of `here`, `level` and the scratch of `feed_blocks`, each of `lanes × width` elements or more, apart
/// from each other; for argmin and argmax `width` best elements and their positions. *Data*: what is handed over are
/// as many elements of the spec's type as the function says, apart from the state, and nobody writes them meanwhile.
pub(super) struct Folder {
    spec: FoldSpec,
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
}

impl Folder {
    /// A reduction of `n` elements (of the spec's, or a part that starts at a block) over `width` columns, with its
    /// state in `arena`.
    ///
    /// # Safety
    /// The arena has `spec.bytes()` bytes at `spec.at`, for this folder alone: that is its *state*.
    pub unsafe fn new(spec: FoldSpec, arena: *mut u8, width: usize, n: usize) -> Folder {
        // SAFETY: the arena reaches beyond `spec.at`, so the sum stays inside it.
        unsafe {
            let state = arena.add(spec.at);
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

    /// Starts a new reduction, of `n` elements.
    pub fn reset(&mut self, n: usize) {
        (self.blocks, self.filled, self.left) = (0, 0, n);
    }

    /// Folds the next `rows` elements of each column; `at` is the number of the first, which positions are counted from.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `rows × width` elements.
    pub unsafe fn feed(&mut self, at: usize, mut data: *const u8, mut rows: usize) {
        let (w, lanes, size) = (self.width, self.spec.lanes, self.spec.compute.size());
        // SAFETY: *state* and *data*: rows go to lanes below `lanes`, and `data` moves on by the rows that were taken.
        unsafe {
            let Some(tree) = self.spec.tree else {
                return self.feed_arg(at, data, rows);
            };
            while rows > 0 {
                let count = self.spec.blocks_at_once();
                if count > 0 && self.filled == 0 && rows >= count * SERIAL && self.blocks.is_multiple_of(count) {
                    self.feed_blocks(tree, data, count);
                    rows -= count * SERIAL;
                    data = data.add(count * SERIAL * w * size);
                    continue;
                }
                if self.filled == 0 && self.left < lanes {
                    strided::fill(size, tree.identity, self.here(), lanes * w);
                }
                if self.filled == 0 && w == 1 && lanes == LANES && rows >= SERIAL * LANES {
                    // long rows: a whole block in one call of the loop, with the same bits
                    let one = LANES * size;
                    std::ptr::copy_nonoverlapping(data, self.here(), one);
                    (tree.fold)((SERIAL - 1) * LANES, data.add(one), data, data, self.here());
                    self.filled = SERIAL * LANES;
                    self.left -= SERIAL * LANES;
                    rows -= SERIAL * LANES;
                    data = data.add(SERIAL * one);
                } else {
                    let lane = self.filled % lanes;
                    let take = rows.min(lanes - lane);
                    let (n, to) = (take * w, self.here().add(lane * w * size));
                    if self.filled < lanes {
                        std::ptr::copy_nonoverlapping(data, to, n * size);
                    } else {
                        (tree.accumulate)(n, data, data, data, to);
                    }
                    self.filled += take;
                    self.left -= take;
                    rows -= take;
                    data = data.add(n * size);
                }
                if self.filled == SERIAL * lanes {
                    self.push(0);
                }
            }
        }
    }

    /// Takes `count` blocks of few columns together, so that each loop is `count` times as long: element by element over all
    /// blocks, then the tree over the blocks by halves.
    ///
    /// # Safety
    /// *Data* ([`Folder`]): `count` blocks of `SERIAL × width` elements.
    unsafe fn feed_blocks(&mut self, tree: Tree, data: *const u8, count: usize) {
        let (w, size) = (self.width, self.spec.compute.size());
        let scratch = self.state.wrapping_add(self.spec.vector() * (self.spec.levels() + 1));
        // SAFETY: *state* and *data*: the scratch has room for `SERIAL + 1` times `count × width` elements.
        unsafe {
            // transpose element (block, serial, column) to (serial, column, block), so that loops run over blocks
            let from = Block { ptr: data as *mut u8, rows: 1, cols: (SERIAL * w) as isize };
            let to = Block { ptr: scratch, rows: count as isize, cols: 1 };
            strided::copy(size, from, to, SERIAL * w, count);
            for j in 1..SERIAL {
                let x = scratch.add(j * w * count * size);
                (tree.accumulate)(w * count, x, x, x, scratch);
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
                (tree.accumulate)(half * w, upper, upper, upper, turned);
                half /= 2;
            }
            std::ptr::copy_nonoverlapping(turned, self.here(), w * size);
            self.left -= count * SERIAL;
            self.push(count.trailing_zeros() as usize);
        }
    }

    /// Ends the current block, or a subtree of `1 << level` blocks, and merges it with its neighbours of equal size.
    ///
    /// # Safety
    /// *State* ([`Folder`]): the current vector is a whole block's.
    unsafe fn push(&mut self, mut level: usize) {
        let Some(tree) = self.spec.tree else { return };
        let n = self.spec.lanes * self.width;
        let count = 1 << level;
        while self.blocks >> level & 1 == 1 {
            // SAFETY: *state*: the two are different vectors of it.
            unsafe { (tree.accumulate)(n, self.here(), self.here(), self.here(), self.level(level)) };
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
            if self.spec.tree.is_some() {
                std::ptr::copy_nonoverlapping(partial, self.here(), self.spec.vector());
                self.left = self.left.max(1);
                self.push(0);
            } else {
                self.merge_arg(partial);
            }
        }
    }

    /// Merges the subtrees that are left, the shortest first, to one vector of lanes.
    ///
    /// # Safety
    /// *State* ([`Folder`]).
    pub unsafe fn collapse(&mut self) -> *const u8 {
        // SAFETY: *state*: the current vector and a level's are different vectors of it.
        unsafe {
            let Some(tree) = self.spec.tree else { return self.state };
            if self.filled > 0 {
                self.push(0);
            }
            let n = self.spec.lanes * self.width;
            let mut found = false;
            for level in 0..self.levels.len() {
                if self.blocks >> level == 0 {
                    break;
                }
                if self.blocks >> level & 1 == 1 {
                    if found {
                        (tree.accumulate)(n, self.here(), self.here(), self.here(), self.level(level));
                    }
                    std::mem::swap(&mut self.current, &mut self.levels[level]);
                    found = true;
                }
            }
            self.blocks = 0;
            self.here()
        }
    }

    /// The results, one for each column, into `out`.
    ///
    /// # Safety
    /// `out` has room for `width` elements, apart from the state.
    pub unsafe fn write_results(&mut self, out: *mut u8) {
        let (w, size) = (self.width, self.spec.compute.size());
        // SAFETY: *state*: its vectors have `lanes × width` elements; `out` has room for `width`.
        unsafe {
            let Some(tree) = self.spec.tree else {
                let positions = self.positions();
                return std::ptr::copy_nonoverlapping(positions as *const u8, out, w * 4);
            };
            if self.spec.n == 0 {
                return strided::fill(size, tree.empty, out, w);
            }
            self.collapse();
            let mut half = self.spec.lanes / 2;
            while half > 0 {
                let upper = self.here().add(half * w * size);
                (tree.accumulate)(half * w, upper, upper, upper, self.here());
                half /= 2;
            }
            std::ptr::copy_nonoverlapping(self.here(), out, w * size);
        }
    }

    /// Bytes of one result: a position is an i32.
    pub fn result_size(spec: &FoldSpec) -> usize {
        if spec.tree.is_some() { spec.compute.size() } else { DType::I32.size() }
    }
}
