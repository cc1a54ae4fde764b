//! `argtopk` and `select` on the CPU. They find a few elements of the sorted order along an axis without sorting, in
//! time linear in the number of elements.

use super::task::{Task, run};
use super::{Order, Pair, SharedTarget, Word, chunks, each_row, part};
use crate::cpu::operands::{Refused, RoutineMemory};
use crate::cpu::work_sharing::share;
use crate::graph::routine::{SELECT_COPIES, SELECTED};

/// How many elements (a few vectors) are checked at a time. If none of them comes before the last of the elements that
/// are kept, all of them are skipped.
const GROUP: usize = 64;
/// `select` counts the keys in up to 2^`BITS` ranges. With this many, a task's table of counts fits in a first-level
/// cache.
const BITS: u32 = 12;

pub(in crate::cpu) fn argtopk(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype.size() {
        1 => first_positions::<u8>(call),
        2 => first_positions::<u16>(call),
        4 => first_positions::<u32>(call),
        _ => first_positions::<u64>(call),
    }
    Ok(())
}

pub(in crate::cpu) fn select(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype.size() {
        1 => selected::<u8>(call),
        2 => selected::<u16>(call),
        4 => selected::<u32>(call),
        _ => selected::<u64>(call),
    }
    Ok(())
}

fn first_positions<W: Word>(call: &mut RoutineMemory<'_>) {
    let (length, k) = (call.call.params[0] as usize, call.call.params[3] as usize);
    let order = W::order(call.call.operands[0].meta.dtype, call.call.params[1] != 0);
    let elements = call.words::<W>(0);
    let Some((result, _)) = call.target::<u64, u8>() else { return };
    let result = SharedTarget(result);
    each_row(elements.len() / length, length, |row, shared| {
        let elements = &elements[row * length..][..length];
        // limits the number of tasks, so that each one reads at least 8 times as many elements as it keeps
        let tasks = chunks(length, shared).min(length / (8 * k)).max(1);
        let mut kept: Vec<Vec<W::Pair>> = vec![vec![]; tasks];
        let target = SharedTarget(kept.as_mut_ptr());
        share(tasks, tasks == 1, |task| {
            let range = part(length, tasks, task);
            let first = range.start;
            let own = run(First { elements: &elements[range], first, k, order });
            // SAFETY: each task has its own element of `kept`, which nothing else uses meanwhile. The empty vector that
            // it overwrites needs no drop.
            unsafe { target.set(task, own) };
        });
        let mut all = kept.concat();
        if all.len() > k {
            all.select_nth_unstable(k - 1);
            all.truncate(k);
        }
        // no two pairs are equal, so this unstable sort gives the same order as a stable one
        all.sort_unstable();
        let to = result.row(row, k);
        for (i, pair) in all.iter().enumerate() {
            // SAFETY: the row of the result has `k` elements, which belong to this task; the tasks keep at least `k`
            // pairs of a row, because a row has at least `k` elements.
            unsafe { to.set(i, pair.position() as u64) };
        }
    });
}

/// Finds the first `k` of `elements` in sorted order, and returns them as pairs of key and position, in any order.
/// `first` is the position of `elements[0]` in the row.
struct First<'a, W> {
    elements: &'a [W],
    first: usize,
    k: usize,
    order: Order<W>,
}

impl<W: Word> Task for First<'_, W> {
    type Result = Vec<W::Pair>;

    #[inline(always)]
    fn run(self) -> Vec<W::Pair> {
        let First { elements, first, k, order } = self;
        let most = (2 * k).min(elements.len());
        let (start, rest) = elements.split_at(most);
        let mut kept: Vec<W::Pair> = Vec::with_capacity(most);
        kept.extend(start.iter().enumerate().map(|(i, x)| W::pair(x.key(order), first + i)));
        let mut last = trim::<W>(&mut kept, k, W::NAN_KEY);
        for (n, group) in rest.chunks(GROUP).enumerate() {
            // an element that equals the last kept element is not needed, because its position is higher
            if !group.iter().fold(false, |any, x| any | (x.key(order) < last)) {
                continue;
            }
            for (i, x) in group.iter().enumerate() {
                let key = x.key(order);
                if key < last {
                    kept.push(W::pair(key, first + most + n * GROUP + i));
                    if kept.len() == most {
                        last = trim::<W>(&mut kept, k, last);
                    }
                }
            }
        }
        trim::<W>(&mut kept, k, last);
        kept
    }
}

/// If there are more than `k` pairs, keeps only the first `k` in order, and returns the key of the last pair that is
/// kept. Otherwise returns `last`.
fn trim<W: Word>(kept: &mut Vec<W::Pair>, k: usize, last: W) -> W {
    if kept.len() <= k {
        return last;
    }
    let (_, pair, _) = mutant!(
        ties_of_topk_in_any_order,
        kept.select_nth_unstable_by_key(k - 1, |pair| W::key_of(*pair)),
        kept.select_nth_unstable(k - 1)
    );
    let last = W::key_of(*pair);
    kept.truncate(k);
    last
}

fn selected<W: Word>(call: &mut RoutineMemory<'_>) {
    let params = &call.call.params;
    let (length, low, high) = (params[0] as usize, params[3] as usize, params[4] as usize);
    let order = W::order(call.call.operands[0].meta.dtype, false);
    let elements = call.words::<W>(0);
    let Some((result, scratch)) = call.target::<W, W>() else { return };
    let (result, scratch) = (SharedTarget(result), SharedTarget(scratch));
    each_row(elements.len() / length, length, |row, shared| {
        let elements = &elements[row * length..][..length];
        let keys = match length > SELECT_COPIES {
            true => long(elements, order, [low, high], shared, scratch.row(row, length)),
            false => {
                let mut keys: Vec<W> = elements.iter().map(|x| x.key(order)).collect();
                let [low, high] = pick(&mut keys, [low, high]);
                [low, high, keys.iter().copied().max().unwrap_or(high)]
            }
        };
        let to = result.row(row, SELECTED);
        for (i, key) in keys.into_iter().enumerate() {
            let place = [low, high, length - 1][i];
            // SAFETY: the row of the result has three elements, which belong to this task.
            unsafe { to.set(i, element_at(elements, key, place, order)) };
        }
    });
}

/// Returns the element at index `place` of the sorted order, if `key` is the key there. Zeros of both signs share a
/// key, and are in their original order; if the element is a NaN, returns any NaN.
fn element_at<W: Word>(elements: &[W], key: W, place: usize, order: Order<W>) -> W {
    if order.infinity.is_none() || key != W::default().key(order) {
        return W::element(key, order);
    }
    let before = elements.iter().filter(|x| x.key(order) < key).count();
    let zero = elements.iter().filter(|x| x.is_zero()).nth(place.saturating_sub(before));
    zero.copied().unwrap_or_default()
}

/// Returns the keys at indices `low` and `high` of the sorted order. `high` is `low` or `low + 1`.
fn pick<W: Word>(keys: &mut [W], [low, high]: [usize; 2]) -> [W; 2] {
    let (_, first, after) = keys.select_nth_unstable(low);
    let first = *first;
    let second = if high > low { after.iter().copied().min() } else { None };
    [first, second.unwrap_or(first)]
}

/// Returns the keys at two indices of the sorted order of a long row, and the last key. It counts the keys in each of
/// up to 4,096 ranges between the smallest and the largest key. Then it collects and searches only the keys of the
/// ranges that contain the two indices. `room` has space for as many keys as the row has elements.
fn long<W: Word>(elements: &[W], order: Order<W>, places: [usize; 2], shared: bool, room: SharedTarget<W>) -> [W; 3] {
    let length = elements.len();
    let tasks = chunks(length, shared);
    let mut ends = vec![[W::NAN_KEY; 2]; tasks];
    let target = SharedTarget(ends.as_mut_ptr());
    share(tasks, tasks == 1, |task| {
        let ends = run(Ends { elements: &elements[part(length, tasks, task)], order });
        // SAFETY: each task has its own element of `ends`, which nothing else uses meanwhile.
        unsafe { target.set(task, ends) };
    });
    let ends = ends.into_iter().reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]);
    let [least, greatest] = ends.unwrap_or([W::NAN_KEY; 2]);
    let shift = (u64::BITS - (greatest.wide() - least.wide()).leading_zeros()).saturating_sub(BITS);
    let range_of = |key: W| ((key.wide() - least.wide()) >> shift) as usize & ((1 << BITS) - 1);
    let mut tables = vec![[0u32; 1 << BITS]; tasks];
    let target = SharedTarget(tables.as_mut_ptr());
    share(tasks, tasks == 1, |task| {
        // SAFETY: each task has its own element of `tables`, which nothing else uses meanwhile.
        let table = unsafe { &mut *{ target }.0.add(task) };
        elements[part(length, tasks, task)].iter().for_each(|x| table[range_of(x.key(order))] += 1);
    });
    // finds the two ranges that contain the two indices, and the number of keys before the first range (`skipped`); all
    // ranges between the two are empty
    let mut ranges = [0; 2];
    let (mut before, mut skipped) = (0, 0);
    for range in 0..1 << BITS {
        let count: usize = tables.iter().map(|t| t[range] as usize).sum();
        for (place, found) in places.iter().zip(&mut ranges) {
            if (before..before + count).contains(place) {
                *found = range;
                skipped = if *place == places[0] { before } else { skipped };
            }
        }
        before += count;
    }
    if shift == 0 {
        let [low, high] = ranges.map(|range| W::narrow(least.wide() + range as u64));
        return [low, high, greatest];
    }
    let mut starts = Vec::with_capacity(tasks);
    let mut total = 0;
    for table in &tables {
        starts.push(total);
        let both = if ranges[0] == ranges[1] { &ranges[..1] } else { &ranges[..] };
        total += both.iter().map(|range| table[*range] as usize).sum::<usize>();
    }
    share(tasks, tasks == 1, |task| {
        let mut at = starts[task];
        for key in elements[part(length, tasks, task)].iter().map(|x| x.key(order)) {
            let range = range_of(key);
            if range == ranges[0] || range == ranges[1] {
                // SAFETY: the table of the task has counted the keys of the two ranges, and all tasks together have at
                // most as many as the row has elements; each task has its own part of `room`, which belongs to this
                // call.
                unsafe { room.set(at, key) };
                at += 1;
            }
        }
    });
    // SAFETY: the tasks have written `total` keys, and nothing else uses this row's part of `room`.
    let keys = unsafe { std::slice::from_raw_parts_mut(room.0, total) };
    let [low, high] = pick(keys, places.map(|place| place - skipped));
    [low, high, greatest]
}

/// Finds the smallest and the largest key of `elements`.
struct Ends<'a, W> {
    elements: &'a [W],
    order: Order<W>,
}

impl<W: Word> Task for Ends<'_, W> {
    type Result = [W; 2];

    #[inline(always)]
    fn run(self) -> [W; 2] {
        let (mut least, mut greatest) = ([W::NAN_KEY; GROUP], [W::default(); GROUP]);
        let (groups, rest) = self.elements.as_chunks::<GROUP>();
        for group in groups {
            for (i, x) in group.iter().enumerate() {
                let key = x.key(self.order);
                least[i] = least[i].min(key);
                greatest[i] = greatest[i].max(key);
            }
        }
        for (i, x) in rest.iter().enumerate() {
            let key = x.key(self.order);
            least[i] = least[i].min(key);
            greatest[i] = greatest[i].max(key);
        }
        let least = least.into_iter().reduce(W::min);
        let greatest = greatest.into_iter().reduce(W::max);
        [least.unwrap_or_default(), greatest.unwrap_or_default()]
    }
}
