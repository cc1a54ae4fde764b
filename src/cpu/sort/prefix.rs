//! Positions of keys of 8 bytes, sorted by four bytes of the key, which fit one word with the position, and then, where those are
//! equal, by the whole key.

use super::{Order, Pair, Target, Word, chunks, scatter};
use crate::cpu::share::share;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The bytes of a key that are sorted by first.
pub(super) const DIGITS: usize = 4;
/// Where more than the length over this of the items equal the one before them in those bytes, as in groups of numbers that are
/// near one another, comparisons would take longer than a sort by all bytes.
const EQUAL: usize = 8;

/// Writes the positions of a row's elements in their order to the first target; the second has as much room. False if too many
/// keys agree in their upper bytes: nothing is sorted then. `top` is the highest byte in which keys differ, 4 or more.
pub(super) fn sort<W: Word>(
    elements: &[W],
    order: Order<W>,
    top: usize,
    [to, scratch]: [Target<u64>; 2],
    shared: bool,
) -> bool {
    let length = elements.len();
    let shift = 8 * (top + 1 - DIGITS);
    let pair = |i: usize| (elements[i].key(order).wide() >> shift) << 32 | i as u64;
    for byte in 0..DIGITS {
        // the last of an even number of moves is to the result
        let [from, into] = if byte % 2 == 0 { [to, scratch] } else { [scratch, to] };
        match byte {
            0 => scatter(length, shared, into, pair, |p: u64| Pair::digit(p, byte)),
            // SAFETY: the move before has written all pairs of the row, of which only this row's moves know.
            _ => scatter(length, shared, into, |i| unsafe { from.get(i) }, |p: u64| Pair::digit(p, byte)),
        }
    }
    // SAFETY: the last move has written the whole row of the result, and nothing writes it before the tasks below.
    let is_next = |i: usize| unsafe { to.get(i - 1) >> 32 == to.get(i) >> 32 };
    let tasks = chunks(length, shared);
    let mut ends: Vec<usize> = (0..=tasks).map(|task| length * task / tasks).collect();
    let equal = AtomicUsize::new(0);
    share(tasks, tasks == 1, |task| {
        equal.fetch_add((ends[task].max(1)..ends[task + 1]).filter(|i| is_next(*i)).count(), Relaxed);
    });
    if equal.into_inner() > length / EQUAL {
        return false;
    }
    // equal ones belong to one task
    for end in &mut ends[1..tasks] {
        while *end < length && is_next(*end) {
            *end += 1;
        }
    }
    share(tasks, tasks == 1, |task| {
        let (start, end) = (ends[task], ends[task + 1]);
        // SAFETY: each task has a part of the row of the result, which the moves have written.
        let pairs = unsafe { std::slice::from_raw_parts_mut(to.row(start, 1).0, end - start) };
        for group in pairs.chunk_by_mut(|a, b| a >> 32 == b >> 32) {
            if group.len() > 1 {
                // positions tell equal keys apart, so that this sort is stable too
                group.sort_unstable_by_key(|p| (elements[p.position() as usize].key(order), p.position()));
            }
            group.iter_mut().for_each(|p| *p = p.position() as u64);
        }
    });
    true
}
