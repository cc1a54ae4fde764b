//! `segment_sum` (sums of the rows that have the same key) and `reduce_at` (sums of ranges of rows) on the CPU. Sums
//! are accumulated with more digits than the result has: sums of f16, bf16 and f32 in f64, and sums of f64 together
//! with the sum of their rounding errors. So the terms may simply be added one after another, in the order of their
//! rows.
//!
//! If `segment_sum` computes few sums, each task adds a part of the rows into its own table of sums, and then the
//! tables are added up. If it computes many sums, the keys are cut into ranges: the rows are first sorted by the ranges
//! of their keys, and then each task computes the sums of one range.

use super::operands::{BitPattern, Refused, RoutineMemory, SharedTarget};
use super::work_sharing::share;
use crate::base::dtype::{DType, Element};
use crate::graph::routine::SumsPlan;
use half::{bf16, f16};

/// The number of terms that a task of `reduce_at` adds up, and the number of sums that a task of `segment_sum` computes
/// from the tables. Such a task takes some tens of microseconds.
const TASK: usize = 1 << 14;
/// The number of independent sums that `reduce_at` accumulates together: up to `COLUMNS` sums of neighbouring columns.
/// If rows have one element, `reduce_at` cuts a sum into `LANES` sums of every eighth element each.
const COLUMNS: usize = 256;
const LANES: usize = 8;

/// A sum in progress: the accumulator for the terms of one element type.
trait State: Copy + Send + Sync {
    type Word: BitPattern;
    /// The empty sum: −0, because adding it to a value does not change the value.
    const NONE: Self;
    fn merge(self, other: Self) -> Self;
    /// Returns the bits of the result.
    fn word(self) -> Self::Word;
}

impl State for f64 {
    type Word = u32;
    const NONE: f64 = -0.0;
    #[inline(always)]
    fn merge(self, other: f64) -> f64 {
        self + other
    }
    #[inline(always)]
    fn word(self) -> u32 {
        (self as f32).to_bits()
    }
}

/// A sum of f64 and the sum of its rounding errors.
#[derive(Clone, Copy)]
struct Compensated {
    sum: f64,
    error: f64,
}

impl Compensated {
    /// Adds a term by Knuth's two-sum, which computes the rounding error of the addition exactly.
    #[inline(always)]
    fn plus(self, x: f64) -> Compensated {
        let sum = self.sum + x;
        let of_x = sum - self.sum;
        let error = (self.sum - (sum - of_x)) + (x - of_x);
        Compensated { sum, error: self.error + error }
    }
}

impl State for Compensated {
    type Word = u64;
    const NONE: Compensated = Compensated { sum: -0.0, error: 0.0 };
    #[inline(always)]
    fn merge(self, other: Compensated) -> Compensated {
        let both = self.plus(other.sum);
        Compensated { error: both.error + other.error, ..both }
    }
    #[inline(always)]
    fn word(self) -> u64 {
        // an error of 0 is not added, so that a sum of −0 keeps its sign. The error of an infinite sum is not added
        // either, because it is NaN
        let corrected = self.sum + self.error;
        let sum = if self.error == 0.0 || !corrected.is_finite() { self.sum } else { corrected };
        sum.to_bits()
    }
}

/// An element type whose values are added up.
trait Term: Element {
    type State: State;
    fn add_to(self, sum: &mut Self::State);
}

macro_rules! terms {
    ($($t:ident: $state:ident, |$x:ident, $sum:ident| $new:expr;)*) => { $(
        impl Term for $t {
            type State = $state;
            #[inline(always)]
            fn add_to(self, to: &mut $state) {
                let ($x, $sum) = (self, *to);
                *to = $new;
            }
        }
    )* };
}

terms! {
    f16: f64, |x, sum| sum + x.to_f64();
    bf16: f64, |x, sum| sum + x.to_f64();
    f32: f64, |x, sum| sum + f64::from(x);
    f64: Compensated, |x, sum| sum.plus(x);
}

/// Runs `segment_sum`.
pub(super) fn by_key(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    of_floats(call, [sums::<f16>, sums::<bf16>, sums::<f32>, sums::<f64>])
}

/// Runs one of four functions, which are for f16, bf16, f32 and f64 in this order, according to the dtype of the call's
/// second operand.
fn of_floats(call: &mut RoutineMemory<'_>, functions: [fn(&mut RoutineMemory<'_>); 4]) -> Result<(), Refused> {
    let dtype = call.call.operands[1].meta.dtype;
    // the dtype is always a float type
    let known =
        [DType::F16, DType::BF16, DType::F32, DType::F64].into_iter().zip(functions).find(|(of, _)| *of == dtype);
    if let Some((_, run)) = known {
        run(call);
    }
    Ok(())
}

fn sums<T: Term>(call: &mut RoutineMemory<'_>) {
    let [segments, length] = [0, 1].map(|i| call.call.params[i] as usize);
    let plan =
        SumsPlan::of(&[call.call.operands[0].meta.clone(), call.call.operands[1].meta.clone()], &call.call.params);
    let rows = Rows { keys: call.operand::<u32>(0), values: call.operand::<T>(1), segments, length };
    // `values` must have `length` elements for each key
    if rows.values.len() != rows.keys.len() * length {
        return;
    }
    if plan.tables > 1 {
        let Some((result, tables)) = call.target::<<T::State as State>::Word, T::State>() else { return };
        return rows.in_tables(&plan, SharedTarget(result), SharedTarget(tables));
    }
    match length {
        1 => {
            let Some((result, entries)) = call.target::<_, Entry<T>>() else { return };
            rows.in_ranges(&plan, SharedTarget(result), SharedTarget(entries), |i| rows.values[i], |x, _| x);
        }
        _ => {
            let Some((result, entries)) = call.target::<_, Entry<u32>>() else { return };
            let value = |row: u32, column: usize| rows.values[row as usize * length + column];
            rows.in_ranges(&plan, SharedTarget(result), SharedTarget(entries), |i| i as u32, value);
        }
    }
}

/// A row of the operand, in the list of the rows of one range of keys. `key` is the row's key, counted from the start
/// of the range. `of` is the row's element if rows have one element, and otherwise the row's index.
#[derive(Clone, Copy)]
#[repr(C)]
struct Entry<P> {
    key: u32,
    of: P,
}

/// The operands of a call of `segment_sum`: a key for each row, and the rows of `length` values. Keys from `segments`
/// on have no sum.
struct Rows<'a, T> {
    keys: &'a [u32],
    values: &'a [T],
    segments: usize,
    length: usize,
}

impl<T: Term> Rows<'_, T> {
    /// Cuts the rows into parts. A task for each part adds its rows into a table of sums of its own. Then the tables
    /// are added up, in the order of the parts.
    fn in_tables(&self, plan: &SumsPlan, to: SharedTarget<<T::State as State>::Word>, tables: SharedTarget<T::State>) {
        let (count, length) = (self.keys.len(), self.length);
        let each = count.div_ceil(plan.tables);
        share(plan.tables, false, |task| {
            // SAFETY: the routine's table entry requests scratch for `tables` tables of `sums` states
            // (`SumsPlan::bytes`), and only this task uses its own table. All states are written before the slice is
            // created.
            let table = unsafe {
                let first = tables.at(task * plan.sums);
                (0..plan.sums).for_each(|i| first.add(i).write(T::State::NONE));
                std::slice::from_raw_parts_mut(first, plan.sums)
            };
            let part = (task * each).min(count)..((task + 1) * each).min(count);
            if length == 1 {
                for (key, x) in self.keys[part.clone()].iter().zip(&self.values[part]) {
                    if let Some(sum) = table.get_mut(*key as usize) {
                        x.add_to(sum);
                    }
                }
                return;
            }
            for (key, row) in self.keys[part.clone()].iter().zip(self.values[part.start * length..].chunks(length)) {
                if (*key as usize) < self.segments {
                    let sums = &mut table[*key as usize * length..][..length];
                    sums.iter_mut().zip(row).for_each(|(sum, x)| x.add_to(sum));
                }
            }
        });
        let tasks = plan.sums.div_ceil(TASK);
        share(tasks, tasks == 1, |task| {
            for i in task * TASK..plan.sums.min((task + 1) * TASK) {
                // SAFETY: the tasks above have written all tables, and nothing writes them now.
                let all = (0..plan.tables).map(|t| unsafe { tables.at(t * plan.sums + i).read() });
                let sum = all.reduce(State::merge).unwrap_or(T::State::NONE);
                // SAFETY: the result has as many elements as a table, and only this task writes element `i`.
                unsafe { to.at(i).write(sum.word()) };
            }
        });
    }

    /// Sorts the rows by ranges of keys, and then adds up the rows of each range in a task. In the sorted list, a row
    /// is represented by `entry(row)`, and `value(entry, column)` returns its element in a column.
    fn in_ranges<P: Copy + Send + Sync>(
        &self,
        plan: &SumsPlan,
        to: SharedTarget<<T::State as State>::Word>,
        entries: SharedTarget<Entry<P>>,
        entry: impl Fn(usize) -> P + Sync,
        value: impl Fn(P, usize) -> T + Sync,
    ) {
        debug_assert!(size_of::<Entry<P>>() <= plan.entry_bytes);
        let begins = self.distribute(plan, entries, entry);
        let (keys, length) = (1usize << plan.shift, self.length);
        let blocks = length.div_ceil(plan.columns);
        let alone = (self.keys.len() + self.segments).saturating_mul(length) <= TASK;
        share(plan.ranges * blocks, alone, |task| {
            let (range, block) = (task / blocks, task % blocks);
            let columns = block * plan.columns..length.min((block + 1) * plan.columns);
            let own = keys.min(self.segments - range * keys);
            let mut sums = vec![T::State::NONE; own * columns.len()];
            // SAFETY: `begins` contains the position where the entries of each range begin, followed by the number of
            // entries. All entries have been written, and nothing writes them now.
            let part = unsafe {
                let (first, end) = (begins.at(range * plan.chunks).read(), begins.at((range + 1) * plan.chunks).read());
                std::slice::from_raw_parts(entries.at(first as usize), (end - first) as usize)
            };
            if length == 1 {
                part.iter().for_each(|e| value(e.of, 0).add_to(&mut sums[e.key as usize]));
            } else {
                for e in part {
                    let sums = &mut sums[e.key as usize * columns.len()..][..columns.len()];
                    sums.iter_mut().zip(columns.clone()).for_each(|(sum, c)| value(e.of, c).add_to(sum));
                }
            }
            for (i, sums) in sums.chunks(columns.len()).enumerate() {
                let place = (range * keys + i) * length + columns.start;
                for (c, sum) in sums.iter().enumerate() {
                    // SAFETY: the row of the key `range * keys + i` has `length` elements, and the elements in
                    // `columns` belong to this task.
                    unsafe { to.at(place + c).write(sum.word()) };
                }
            }
        });
    }

    /// Writes to `entries` an entry for each row whose key has a sum. The entries are sorted by the ranges of the keys,
    /// and within a range they are in the order of the rows. The rows are cut into chunks, which tasks distribute in
    /// parallel. Returns the position where the entries of each chunk in each range begin, at index
    /// `range * chunks + chunk`, followed by the number of all entries.
    fn distribute<P: Copy + Send + Sync>(
        &self,
        plan: &SumsPlan,
        entries: SharedTarget<Entry<P>>,
        entry: impl Fn(usize) -> P + Sync,
    ) -> SharedTarget<u64> {
        let (count, shift, chunks) = (self.keys.len(), plan.shift, plan.chunks);
        let counters = plan.ranges * chunks;
        // SAFETY: the scratch has room for one entry of `entry_bytes` bytes per row, followed by these counters.
        // `entry_bytes` is a multiple of 8, so the counters are aligned.
        let begins = SharedTarget(unsafe { entries.0.cast::<u8>().add(count * plan.entry_bytes) }.cast::<u64>());
        let each = count.div_ceil(chunks);
        let part = |chunk: usize| (chunk * each).min(count)..((chunk + 1) * each).min(count);
        share(chunks, chunks == 1, |chunk| {
            let mut counts = vec![0u64; plan.ranges];
            for key in &self.keys[part(chunk)] {
                if (*key as usize) < self.segments {
                    counts[(*key >> shift) as usize] += 1;
                }
            }
            for (range, count) in counts.iter().enumerate() {
                // SAFETY: there are `ranges * chunks` counters, and only this task writes the counters of its chunk.
                unsafe { begins.at(range * chunks + chunk).write(*count) };
            }
        });
        let mut before = 0;
        for i in 0..counters {
            // SAFETY: the tasks above have written this counter, and no task runs now.
            unsafe { before += std::mem::replace(&mut *begins.at(i), before) };
        }
        // SAFETY: the scratch has room for one more counter.
        unsafe { begins.at(counters).write(before) };
        share(chunks, chunks == 1, |chunk| {
            // SAFETY: the loop above has written these counters, and nothing writes them now.
            let mut places: Vec<u64> =
                (0..plan.ranges).map(|range| unsafe { begins.at(range * chunks + chunk).read() }).collect();
            for i in part(chunk) {
                let key = self.keys[i];
                if (key as usize) < self.segments {
                    let place = &mut places[(key >> shift) as usize];
                    let of = Entry { key: key & ((1 << shift) - 1), of: entry(i) };
                    // SAFETY: this chunk has as many positions in a range as entries were counted for it above, and no
                    // other task writes these positions. All chunks together have at most one position for each row, so
                    // all are in the scratch.
                    unsafe { entries.at(*place as usize).write(of) };
                    *place += 1;
                }
            }
        });
        begins
    }
}

/// Runs `reduce_at`.
pub(super) fn ranges(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    of_floats(call, [sums_of_ranges::<f16>, sums_of_ranges::<bf16>, sums_of_ranges::<f32>, sums_of_ranges::<f64>])
}

fn sums_of_ranges<T: Term>(call: &mut RoutineMemory<'_>) {
    let [segments, length, rows] = [0, 1, 2].map(|i| call.call.params[i] as usize);
    let (begins, values) = (call.operand::<u32>(0), call.operand::<T>(1));
    let Some((result, _)) = call.target::<<T::State as State>::Word, u8>() else { return };
    let to = SharedTarget(result);
    if begins.len() != segments || values.len() != rows * length {
        return;
    }
    // the number of sums that a task computes, chosen as if all ranges had the same length
    let each = (TASK * segments / values.len().max(1)).clamp(1, TASK);
    let tasks = segments.div_ceil(each);
    share(tasks, values.len() <= TASK, |task| {
        for s in task * each..segments.min((task + 1) * each) {
            let first = (begins[s] as usize).min(rows.saturating_sub(1));
            let end = begins.get(s + 1).map_or(rows, |end| (*end as usize).min(rows)).max(first + 1);
            let rows = &values[first * length..end * length];
            let store = |column: usize, sum: T::State| {
                // SAFETY: row `s` of the result has `length` elements, and it belongs to this task.
                unsafe { to.at(s * length + column).write(sum.word()) };
            };
            if length == 1 {
                store(0, sum_of(rows));
                continue;
            }
            for first in (0..length).step_by(COLUMNS) {
                let count = COLUMNS.min(length - first);
                let mut sums = [T::State::NONE; COLUMNS];
                for row in rows.chunks(length) {
                    sums.iter_mut().zip(&row[first..first + count]).for_each(|(sum, x)| x.add_to(sum));
                }
                sums[..count].iter().enumerate().for_each(|(c, sum)| store(first + c, *sum));
            }
        }
    });
}

/// Returns the sum of all elements of `x`. It first computes eight sums, each of every eighth element, so that
/// successive additions do not wait for one another.
fn sum_of<T: Term>(x: &[T]) -> T::State {
    let mut sums = [T::State::NONE; LANES];
    for x in x.chunks(LANES) {
        sums.iter_mut().zip(x).for_each(|(sum, x)| x.add_to(sum));
    }
    sums.into_iter().reduce(State::merge).unwrap_or(T::State::NONE)
}
