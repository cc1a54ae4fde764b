//! Rotations of the rows of a strip. An iteration rotates rows 0 and 1, then 1 and 2, and so on: a *chain*. Several chains
//! move along a strip together, each some rows behind the one before, so that a row is loaded and stored once for all of
//! them. Every row takes part in its rotations in their order, so the bits are those of one rotation after another.

// a loop over lanes walks several arrays together
#![allow(clippy::needless_range_loop)]

use super::{StripRow as Row, WIDTH};
use crate::cpu::fft::FloatLanes;
use smallvec::SmallVec;

/// A rotation of two rows a and b of a strip: a becomes c·a + s·b, and b becomes c·b − s·a.
#[derive(Clone, Copy)]
struct Rotation {
    rows: [u32; 2],
    c: f64,
    s: f64,
}

/// Rotations in their order, divided into chains. In a chain, the first row of each rotation is the second row of the one
/// before, and all rotations go to the same side, by one row.
#[derive(Default)]
pub(in crate::cpu) struct Chains {
    list: SmallVec<[Rotation; 64]>,
    /// Where each chain ends in the list.
    ends: SmallVec<[usize; 16]>,
    /// All rows are below this number, and the two rows of a rotation differ.
    rows: usize,
}

/// How many chains move together.
const TOGETHER: usize = 4;

/// The fewest rotations of each chain for which it pays.
const LEAST: isize = 8;

impl Chains {
    /// Adds a rotation of two different rows.
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

    /// Returns the number of rotations.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns how many rows a strip needs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Removes all rotations.
    pub fn clear(&mut self) {
        *self = Chains { list: std::mem::take(&mut self.list), ..Chains::default() };
        self.list.clear();
    }

    /// Returns how the chains that begin with number `at` move together, if it pays.
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
        // positions count in the direction of the chains
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

/// Chains that move together: the last one begins at `row`, and each chain is one row ahead of the next.
struct Together<'a> {
    row: isize,
    step: isize,
    /// The rotations before, of which each chain's come after those of the chain before.
    before: [&'a [Rotation]; TOGETHER],
    with: [&'a [Rotation]; TOGETHER],
    after: [&'a [Rotation]; TOGETHER],
}

/// Applies all rotations to a strip.
///
/// # Safety
/// *Features* ([`StripRow`](crate::cpu::matmul::lanes::Lanes)), and the strip has [`Chains::rows`] rows.
#[inline(always)]
pub(super) unsafe fn rotate<S: FloatLanes<Element = f64>>(strip: &mut [Row], chains: &Chains) {
    for first in (0..WIDTH).step_by(2 * S::WIDTH) {
        // SAFETY: *features*; the lanes `first` to `first + 2 · WIDTH` of each row exist, and so do the rows.
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
/// *Features* ([`StripRow`](crate::cpu::matmul::lanes::Lanes)), and all rows exist.
#[inline(always)]
unsafe fn one_by_one<S: FloatLanes<Element = f64>>(rows: *mut f64, rotations: &[Rotation]) {
    // SAFETY: *features*, and the caller ensures that the rows exist.
    unsafe {
        // the row that the rotation before wrote last: most rotations begin with it
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

/// Applies rotations of chains that move together, to two vectors of each row.
///
/// # Safety
/// *Features* ([`StripRow`](crate::cpu::matmul::lanes::Lanes)), and all rows exist.
#[inline(always)]
unsafe fn together<S: FloatLanes<Element = f64>>(rows: *mut f64, chains: &Together<'_>) {
    let by = WIDTH as isize * chains.step;
    // SAFETY: *features*; chain k has rotations of the rows from `TOGETHER − 1 − k` steps after `row` on, and the caller
    // ensures that their rows exist.
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
