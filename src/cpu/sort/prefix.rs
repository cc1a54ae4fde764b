//! Sorts positions by keys of 8 bytes, for `argsort`. Positions are first sorted by the four highest bytes in which
//! keys differ, because these four bytes and a position fit into one u64. Where those bytes are equal, positions are
//! then sorted by the whole key.

use super::{Order, Pair, SharedTarget, Word, chunks, scatter};
use crate::cpu::work_sharing::share;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The number of bytes of the key by which positions are sorted first.
pub(super) const DIGITS: usize = 4;
/// [`sort`] gives up if more than `length / EQUAL` items have the same four bytes as the item before them, because
/// sorting groups of such items by comparisons would take longer than a radix sort by all bytes.
const EQUAL: usize = 8;

/// Writes the positions of a row's elements, in sorted order, to the first target. The second target has the same
/// length, and is scratch. Returns false, with both targets overwritten, if too many keys have equal upper bytes. `top`
/// is the index of the highest byte in which keys differ, 4 or more.
pub(super) fn sort<W: Word>(
    elements: &[W],
    order: Order<W>,
    top: usize,
    [to, scratch]: [SharedTarget<u64>; 2],
    shared: bool,
) -> bool {
    let length = elements.len();
    let shift = 8 * (top + 1 - DIGITS);
    let pair = |i: usize| (elements[i].key(order).wide() >> shift) << 32 | i as u64;
    for byte in 0..DIGITS {
        // the number of moves is even, so the last move writes to the result
        let [from, into] = if byte % 2 == 0 { [to, scratch] } else { [scratch, to] };
        match byte {
            0 => scatter(length, shared, into, pair, |p: u64| Pair::digit(p, byte)),
            // SAFETY: the previous move has written all pairs of the row, which only this row's moves access.
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
    // moves the end of each task's range behind the group of items with the same four bytes, because one task must sort
    // a whole group
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
                // keys that are equal are compared by position, so this sort is stable too
                group.sort_unstable_by_key(|p| (elements[p.position() as usize].key(order), p.position()));
            }
            group.iter_mut().for_each(|p| *p = p.position() as u64);
        }
    });
    true
}
