//! Rotations of the rows of a matrix strip. An iteration rotates rows 0 and 1, then rows 1 and 2, and so on; such a
//! sequence is called a *chain*. Several chains are applied together, each some rows behind the previous one, so that a
//! row is loaded and stored only once for all of them. The results have the same bits as if all rotations were applied
//! one after another.

// one index addresses several arrays in a loop over lanes, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

use super::{StripRow as Row, WIDTH};
use crate::cpu::fft::FloatLanes;
use smallvec::SmallVec;

/// A rotation of two rows a and b: a becomes c·a + s·b, and b becomes c·b − s·a.
#[derive(Clone, Copy)]
struct Rotation {
    rows: [u32; 2],
    c: f64,
    s: f64,
}

/// A list of rotations in the order in which they are applied, divided into chains. In a chain, each rotation begins
/// with the row with which the previous one ended, and all rotations move by one row in the same direction.
#[derive(Default)]
pub(in crate::cpu) struct RotationChains {
    list: SmallVec<[Rotation; 64]>,
    /// For each chain, the index in `list` after its last rotation.
    ends: SmallVec<[usize; 16]>,
    /// The number of rows that the rotated matrix must have: one more than the largest row number of the rotations.
    rows: usize,
}

/// The number of chains that are applied together.
const TOGETHER: usize = 4;

/// The minimum number of rotations of each chain that are worth applying together. Shorter chains are faster one after
/// another.
const LEAST: isize = 8;

impl RotationChains {
    /// Adds a rotation of two different rows. A rotation of a row with itself is ignored.
    pub fn push(&mut self, rows: [usize; 2], c: f64, s: f64) {
        let [first, second] = rows;
        if first == second {
            return;
        }
        let continues = self.list.last().is_some_and(|last| {
            let [before, end] = last.rows.map(|row| row as isize);
            end == first as isize && end - before == second as isize - end && end.abs_diff(before) == 1
        });
        self.list.push(Rotation { rows: rows.map(|row| row as u32), c, s });
        let end = self.list.len();
        match self.ends.last_mut() {
            Some(last) if continues => *last = end,
            _ => self.ends.push(end),
        }
        self.rows = self.rows.max(first.max(second) + 1);
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns how many rows the rotated matrix must have.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn clear(&mut self) {
        *self = RotationChains { list: std::mem::take(&mut self.list), ..RotationChains::default() };
        self.list.clear();
    }

    /// Plans how to apply [`TOGETHER`] chains together, beginning with chain number `at`. Returns `None` if there are
    /// too few chains, if they have different directions, or if too few of their rotations can be applied together.
    fn together(&self, at: usize) -> Option<Together<'_>> {
        let ends = self.ends.get(at..at + TOGETHER)?;
        let mut chains: [&[Rotation]; TOGETHER] = [&[]; TOGETHER];
        let mut first = if at == 0 { 0 } else { self.ends[at - 1] };
        for (chain, end) in chains.iter_mut().zip(ends) {
            *chain = &self.list[first..*end];
            first = *end;
        }
        let side = |r: &Rotation| r.rows[1] as isize - r.rows[0] as isize;
        let step = side(&chains[0][0]);
        if chains.iter().any(|chain| (chain.len() as isize) < LEAST || side(&chain[0]) != step) {
            return None;
        }
        // for both directions, the product of row number and `step` increases along a chain
        let starts = chains.map(|chain| chain[0].rows[0] as isize * step);
        let start = starts.into_iter().max()?;
        let ahead = |k: usize| start + (TOGETHER - 1 - k) as isize;
        let count = (0..TOGETHER).map(|k| starts[k] + chains[k].len() as isize - ahead(k)).min()?;
        if count < LEAST {
            return None;
        }
        let mut found = Together { row: start * step, step, before: chains, with: chains, after: chains };
        for k in 0..TOGETHER {
            let (before, rest) = chains[k].split_at((ahead(k) - starts[k]) as usize);
            let (with, after) = rest.split_at(count as usize);
            (found.before[k], found.with[k]) = (before, with);
            found.after[k] = mutant!(rest_of_a_chain_lost, &[], after);
        }
        Some(found)
    }
}

/// Chains that are applied together. The last chain begins at row `row`, and each other chain is one row ahead of the
/// chain after it.
struct Together<'a> {
    row: isize,
    step: isize,
    /// For each chain: the rotations that are applied first and alone (`before`), the rotations that are applied
    /// together with the other chains (`with`), and the remaining rotations, which are applied last and alone
    /// (`after`).
    before: [&'a [Rotation]; TOGETHER],
    with: [&'a [Rotation]; TOGETHER],
    after: [&'a [Rotation]; TOGETHER],
}

/// Applies all rotations to a strip.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)), and the
/// strip has at least [`RotationChains::rows`] rows.
#[inline(always)]
pub(super) unsafe fn rotate<S: FloatLanes<Element = f64>>(strip: &mut [Row], chains: &RotationChains) {
    for first in (0..WIDTH).step_by(2 * S::WIDTH) {
        // SAFETY: the caller ensures that the CPU has the instruction set (*features*) and that the rows exist; each
        // row has the lanes `first` to `first + 2 · WIDTH`.
        unsafe {
            let rows = strip.as_mut_ptr().cast::<f64>().add(first);
            let (mut chain, mut done) = (0, 0);
            while chain < chains.ends.len() {
                match chains.together(chain) {
                    None => {
                        one_by_one::<S>(rows, &chains.list[done..chains.ends[chain]]);
                        chain += 1;
                    }
                    Some(several) => {
                        for part in several.before {
                            one_by_one::<S>(rows, part);
                        }
                        together::<S>(rows, &several);
                        for part in several.after {
                            one_by_one::<S>(rows, part);
                        }
                        chain += TOGETHER;
                    }
                }
                done = chains.ends[chain - 1];
            }
        }
    }
}

/// Applies rotations one after another, to two vectors of each row.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)), and all
/// rows that the rotations name exist.
#[inline(always)]
unsafe fn one_by_one<S: FloatLanes<Element = f64>>(rows: *mut f64, rotations: &[Rotation]) {
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*) and that the rows exist.
    unsafe {
        // The number and the content of the row that was rotated last. Most rotations begin with that row, so it need
        // not be loaded again.
        let (mut held, mut kept) = (u32::MAX, [S::zero(); 2]);
        for r in rotations {
            let [a, b] = r.rows.map(|row| rows.add(WIDTH * row as usize));
            let (c, s) = (S::splat(r.c), S::splat(r.s));
            if r.rows[0] != held {
                kept = [S::load(a), S::load(a.add(S::WIDTH))];
            }
            for h in 0..2 {
                let (x, y) = (kept[h], S::load(b.add(h * S::WIDTH)));
                S::store(a.add(h * S::WIDTH), S::add(S::multiply(c, x), S::multiply(s, y)));
                kept[h] = S::subtract(S::multiply(c, y), S::multiply(s, x));
                S::store(b.add(h * S::WIDTH), kept[h]);
            }
            held = r.rows[1];
        }
    }
}

/// Applies the rotations `chains.with` of chains that are applied together, to two vectors of each row.
///
/// # Safety
/// The CPU has the instruction set of `S` (*features*, see [`Register`](crate::cpu::matmul::lanes::Register)), and all
/// rows that the rotations name exist.
#[inline(always)]
unsafe fn together<S: FloatLanes<Element = f64>>(rows: *mut f64, chains: &Together<'_>) {
    let by = WIDTH as isize * chains.step;
    // SAFETY: the caller ensures that the CPU has the instruction set (*features*) and that the rows exist. Chain k
    // begins `TOGETHER − 1 − k` steps after `row`, so only rows of its rotations are accessed.
    unsafe {
        let mut at = rows.offset(WIDTH as isize * chains.row);
        let mut kept = [[S::zero(); 2]; TOGETHER];
        for k in 0..TOGETHER {
            let p = at.offset(by * (TOGETHER - 1 - k) as isize);
            kept[k] = [S::load(p), S::load(p.add(S::WIDTH))];
        }
        for t in 0..chains.with[0].len() {
            let next = at.offset(by * TOGETHER as isize);
            let mut y = [S::load(next), S::load(next.add(S::WIDTH))];
            for k in 0..TOGETHER {
                let r = &chains.with[k][t];
                let (c, s) = (S::splat(r.c), S::splat(r.s));
                for h in 0..2 {
                    let x = kept[k][h];
                    kept[k][h] = S::subtract(S::multiply(c, y[h]), S::multiply(s, x));
                    y[h] = S::add(S::multiply(c, x), S::multiply(s, y[h]));
                }
            }
            S::store(at, y[0]);
            S::store(at.add(S::WIDTH), y[1]);
            at = at.offset(by);
        }
        for k in 0..TOGETHER {
            let p = at.offset(by * (TOGETHER - 1 - k) as isize);
            S::store(p, kept[k][0]);
            S::store(p.add(S::WIDTH), kept[k][1]);
        }
    }
}
