//! `sort` and `argsort` on the CPU. Each element is converted to a *key*: an unsigned integer, so that keys have the
//! same order as the elements. The sorting method depends on the row:
//!
//! * Short rows of values are sorted side by side by a network (`sort/network.rs`).
//! * On machines with AVX-512, long rows of 4 or 8 bytes per element are sorted by a quicksort that partitions a vector
//!   at a time (`sort/quick.rs`).
//! * All other rows, and the positions for `argsort`, are sorted byte by byte from the lowest byte of the key (radix
//!   sort). If keys differ in many bytes, positions are first sorted by the highest bytes (`sort/prefix.rs`).
//!
//! `sort/decode.rs` converts sorted keys back to elements, with zeros and NaNs in their original order. `sort/some.rs`
//! finds a few elements of the sorted order without sorting.

mod decode;
mod network;
mod prefix;
mod quick;
mod some;
mod task;

pub(super) use some::{argtopk, select};

use super::operands::{BitPattern, Refused, RoutineMemory, SharedTarget};
use super::thread_count::threads;
use super::work_sharing::share;
use crate::base::dtype::DType;
use crate::graph::routine::SHORT_SORT;
use decode::decode;
use quick::Partition;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The minimum number of elements of a row that one task sorts. With fewer elements, the task's tables of counts would
/// take too much of the time.
const CHUNK: usize = 1 << 15;
/// The maximum number of tasks for a row. Each task has a table of 256 counts, and one thread computes prefix sums over
/// all tables.
const CHUNKS: usize = 64;
/// The number of elements of short rows that one task sorts. This takes some tenths of a millisecond.
const TASK: usize = 1 << 14;
/// The number of values of a digit, which is a byte of the key.
const DIGITS: usize = 256;

/// How the bits of an element are converted to its key.
#[derive(Clone, Copy)]
struct Order<W> {
    /// The bit of the sign; 0 for unsigned types.
    sign: W,
    /// For floats, the bits of ∞; a larger magnitude is a NaN.
    infinity: Option<W>,
    descending: bool,
}

/// An unsigned integer type, for the bits of elements and for their keys.
trait Word: BitPattern + Ord {
    const BYTES: usize;
    /// The items that `argsort` sorts: each has an element's key in the high bits and its position in the low bits.
    type Pair: Pair;
    /// Returns the key of an element. −0 has the key of +0, and every NaN has the largest key.
    fn key(self, order: Order<Self>) -> Self;
    /// Returns the element that has this key. A key of zeros gives +0, because −0 has the same key.
    fn element(key: Self, order: Order<Self>) -> Self;
    fn digit(self, byte: usize) -> usize;
    fn order(dtype: DType, descending: bool) -> Order<Self>;
    fn pair(key: Self, position: usize) -> Self::Pair;
    fn key_of(pair: Self::Pair) -> Self;
    /// Converts the number to an integer of 64 bits; `narrow` converts it back.
    fn wide(self) -> u64;
    fn narrow(wide: u64) -> Self;
    /// Returns whether a float is a zero or a NaN. Zeros share a key, and NaNs share a key, but sorting keeps their
    /// bits.
    fn shares_key(self, infinity: Self) -> bool;
    fn is_zero(self) -> bool;
    /// Returns the function that partitions keys of this type for the quicksort, or `None` if the CPU lacks AVX-512.
    fn partition() -> Option<Partition<Self>>;
    const NAN_KEY: Self;
}

/// An integer with a key in its high bits and a position in its low bits.
trait Pair: Copy + Ord + Send + Sync {
    /// Returns byte `byte` of the key.
    fn digit(self, byte: usize) -> usize;
    fn position(self) -> i64;
}

impl Pair for u64 {
    #[inline(always)]
    fn digit(self, byte: usize) -> usize {
        (self >> (32 + 8 * byte)) as usize & (DIGITS - 1)
    }
    #[inline(always)]
    fn position(self) -> i64 {
        (self & 0xffff_ffff) as i64
    }
}

impl Pair for u128 {
    #[inline(always)]
    fn digit(self, byte: usize) -> usize {
        (self >> (64 + 8 * byte)) as usize & (DIGITS - 1)
    }
    #[inline(always)]
    fn position(self) -> i64 {
        self as u64 as i64
    }
}

macro_rules! words {
    ($($t:ident $signed:ident $pair:ident $shift:literal $partition:expr;)*) => { $(
        impl Word for $t {
            const BYTES: usize = size_of::<$t>();
            type Pair = $pair;
            #[inline(always)]
            fn key(self, order: Order<$t>) -> $t {
                let Some(infinity) = order.infinity else {
                    let key = self ^ order.sign;
                    return if order.descending { !key } else { key };
                };
                let magnitude = self & !order.sign;
                let x = if magnitude == 0 { 0 } else { self };
                // inverts all bits of a negative number, because negative numbers of larger magnitude come first
                let negative = (x as $signed >> ($t::BITS - 1)) as $t;
                let key = x ^ (negative | order.sign);
                let key = if order.descending { !key } else { key };
                if magnitude > infinity { $t::MAX } else { key }
            }
            #[inline(always)]
            fn element(key: $t, order: Order<$t>) -> $t {
                let key = if order.descending { !key } else { key };
                match order.infinity {
                    None => key ^ order.sign,
                    Some(_) if key & order.sign != 0 => key ^ order.sign,
                    Some(_) => !key,
                }
            }
            #[inline(always)]
            fn digit(self, byte: usize) -> usize {
                (self >> (8 * byte)) as usize & (DIGITS - 1)
            }
            fn order(dtype: DType, descending: bool) -> Order<$t> {
                let top = 1 << ($t::BITS - 1);
                let infinity = match dtype {
                    DType::F16 => Some(0x7c00u64),
                    DType::BF16 => Some(0x7f80),
                    DType::F32 => Some(f32::INFINITY.to_bits().into()),
                    DType::F64 => Some(f64::INFINITY.to_bits()),
                    DType::Bool
                    | DType::U8
                    | DType::I8
                    | DType::U16
                    | DType::I16
                    | DType::U32
                    | DType::I32
                    | DType::U64
                    | DType::I64 => None,
                };
                let is_signed = dtype.is_float() || dtype.is_integer() && !dtype.is_unsigned_integer();
                Order { sign: if is_signed { top } else { 0 }, infinity: infinity.map(|bits| bits as $t), descending }
            }
            #[inline(always)]
            fn pair(key: $t, position: usize) -> $pair {
                (key as $pair) << $shift | position as $pair
            }
            #[inline(always)]
            fn key_of(pair: $pair) -> $t {
                (pair >> $shift) as $t
            }
            #[inline(always)]
            fn wide(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn narrow(wide: u64) -> $t {
                wide as $t
            }
            #[inline(always)]
            fn shares_key(self, infinity: $t) -> bool {
                let magnitude = self & !(1 << ($t::BITS - 1));
                magnitude == 0 || magnitude > infinity
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self & !(1 << ($t::BITS - 1)) == 0
            }
            fn partition() -> Option<Partition<$t>> {
                $partition
            }
            const NAN_KEY: $t = $t::MAX;
        }
    )* };
}

/// Evaluates to `Some(function)` if the CPU has AVX-512, and otherwise to `None`.
macro_rules! on_avx512 {
    ($function:expr) => {{
        #[cfg(target_arch = "x86_64")]
        let found = (crate::math::simd::isa() == crate::math::simd::Isa::Avx512).then_some($function as Partition<_>);
        #[cfg(not(target_arch = "x86_64"))]
        let found = None;
        found
    }};
}

words! {
    u8 i8 u64 32 None;
    u16 i16 u64 32 None;
    u32 i32 u64 32 on_avx512!(quick::words_of_4);
    u64 i64 u128 64 on_avx512!(quick::words_of_8);
}

pub(super) fn sort(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype.size() {
        1 => values::<u8>(call),
        2 => values::<u16>(call),
        4 => values::<u32>(call),
        _ => values::<u64>(call),
    }
    Ok(())
}

pub(super) fn argsort(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype.size() {
        1 => positions::<u8>(call),
        2 => positions::<u16>(call),
        4 => positions::<u32>(call),
        _ => positions::<u64>(call),
    }
    Ok(())
}

/// Returns whether threads share the elements of each row. They do so if there are few rows and the rows are long.
/// Otherwise they share the rows.
fn shares_rows(rows: usize, length: usize) -> bool {
    length >= 2 * CHUNK && rows < 4 * threads()
}

/// Calls `f` for each row, and tells it whether threads may share the row's elements.
fn each_row(rows: usize, length: usize, f: impl Fn(usize, bool) + Sync) {
    if shares_rows(rows, length) {
        return (0..rows).for_each(|row| f(row, true));
    }
    each_range(rows, length, |range| range.for_each(|row| f(row, false)));
}

/// Calls `f` with the range of rows of each task. Each task takes a tenth of a millisecond or more.
fn each_range(rows: usize, length: usize, f: impl Fn(std::ops::Range<usize>) + Sync) {
    let each = (TASK / length.max(1)).max(1);
    share(rows.div_ceil(each), rows * length <= TASK, |task| f(task * each..rows.min((task + 1) * each)));
}

fn values<W: Word>(call: &mut RoutineMemory<'_>) {
    let (length, descending) = (call.call.params[0] as usize, call.call.params[1] != 0);
    let order = W::order(call.call.operands[0].meta.dtype, descending);
    let elements = call.words::<W>(0);
    let Some((result, scratch)) = call.target::<W, W>() else { return };
    let (result, scratch) = (SharedTarget(result), SharedTarget(scratch));
    if length <= SHORT_SORT {
        return network::rows(elements, length, order, result);
    }
    if let Some(partition) = W::partition() {
        return quick::rows(elements, length, order, partition, [result, scratch]);
    }
    each_row(elements.len() / length, length, |row, shared| {
        let elements = &elements[row * length..][..length];
        let to = result.row(row, length);
        let key = |i: usize| elements[i].key(order);
        let digits = digits(length, W::BYTES, shared, |i, byte| key(i).digit(byte));
        // each digit moves all keys from one array to the other; the last move must write to the result
        let [mut from, mut into] = match digits.len() % 2 {
            0 => [to, scratch.row(row, length)],
            _ => [scratch.row(row, length), to],
        };
        for (n, byte) in digits.iter().enumerate() {
            match n {
                0 => scatter(length, shared, into, key, |k| k.digit(*byte)),
                // SAFETY: the previous move has written all elements of the row, which only this row's moves access.
                _ => scatter(length, shared, into, |i| unsafe { from.get(i) }, |k| k.digit(*byte)),
            }
            std::mem::swap(&mut from, &mut into);
        }
        // SAFETY: the last move has written all keys of the row to the result.
        let keys = unsafe { std::slice::from_raw_parts_mut(to.0, length) };
        decode(elements, keys, order, shared);
    });
}

fn positions<W: Word>(call: &mut RoutineMemory<'_>) {
    let (length, descending) = (call.call.params[0] as usize, call.call.params[1] != 0);
    let order = W::order(call.call.operands[0].meta.dtype, descending);
    let elements = call.words::<W>(0);
    let Some((result, scratch)) = call.target::<u64, W::Pair>() else { return };
    let (result, scratch) = (SharedTarget(result), SharedTarget(scratch));
    // pairs of 8 bytes fit in the result; for wider pairs the scratch memory holds two arrays
    let fits = size_of::<W::Pair>() == 8;
    each_row(elements.len() / length, length, |row, shared| {
        let elements = &elements[row * length..][..length];
        let to = result.row(row, length);
        let pair = |i: usize| W::pair(elements[i].key(order), i);
        if length <= SHORT_SORT {
            let mut pairs: Vec<W::Pair> = (0..length).map(pair).collect();
            // no two pairs are equal, so this unstable sort gives the same order as a stable one
            pairs.sort_unstable();
            for (i, pair) in pairs.iter().enumerate() {
                // SAFETY: the row of the result has `length` elements, which belong to this task.
                unsafe { to.set(i, pair.position() as u64) };
            }
            return;
        }
        let digits = digits(length, W::BYTES, shared, |i, byte| elements[i].key(order).digit(byte));
        // with this many digits (bytes in which keys differ), moving wide pairs by every digit takes longer than moving
        // them by the highest digits and then sorting groups whose highest digits are equal
        let wide = digits.len() > prefix::DIGITS + 1 && length <= u32::MAX as usize;
        let row_scratch = SharedTarget(scratch.row(row, 2 * length).0.cast::<u64>());
        if wide && prefix::sort(elements, order, digits[digits.len() - 1], [to, row_scratch], shared) {
            return;
        }
        let other = match fits {
            true => SharedTarget(to.0.cast::<W::Pair>()),
            false => scratch.row(row, 2 * length).row(1, length),
        };
        let own = if fits { scratch.row(row, length) } else { scratch.row(row, 2 * length) };
        let [mut from, mut into] = if digits.len() % 2 == 0 { [other, own] } else { [own, other] };
        for (n, byte) in digits.iter().enumerate() {
            match n {
                0 => scatter(length, shared, into, pair, |p| p.digit(*byte)),
                // SAFETY: the previous move has written all pairs of the row, which only this row's moves access.
                _ => scatter(length, shared, into, |i| unsafe { from.get(i) }, |p| p.digit(*byte)),
            }
            std::mem::swap(&mut from, &mut into);
        }
        let chunks = chunks(length, shared);
        let each = length.div_ceil(chunks);
        share(chunks, chunks == 1, |chunk| {
            for i in chunk * each..length.min((chunk + 1) * each) {
                // SAFETY: the last move has written all pairs to `other`. If `other` is the result itself, a task reads
                // each pair before it overwrites the pair with the position.
                unsafe { to.set(i, other.get(i).position() as u64) };
            }
        });
    });
}

/// Returns the number of tasks that share a row.
fn chunks(length: usize, shared: bool) -> usize {
    if shared { (length / CHUNK).clamp(1, CHUNKS) } else { 1 }
}

/// Returns the range of elements of task number `task`, if `tasks` tasks share a row of `length` elements.
fn part(length: usize, tasks: usize, task: usize) -> std::ops::Range<usize> {
    let each = length.div_ceil(tasks);
    (task * each).min(length)..((task + 1) * each).min(length)
}

/// Returns which bytes of the keys differ between elements of the row, the lowest byte first. If all keys are equal,
/// returns byte 0.
fn digits(length: usize, bytes: usize, shared: bool, digit: impl Fn(usize, usize) -> usize + Sync) -> Vec<usize> {
    let differs = |byte: usize| {
        let first = digit(0, byte);
        let chunks = chunks(length, shared);
        let each = length.div_ceil(chunks);
        let found = AtomicBool::new(false);
        share(chunks, chunks == 1, |chunk| {
            let mut range = chunk * each..length.min((chunk + 1) * each);
            if range.any(|i| digit(i, byte) != first) {
                found.store(true, Relaxed);
            }
        });
        found.into_inner()
    };
    let mut digits: Vec<usize> = (0..bytes).filter(|byte| differs(*byte)).collect();
    if digits.is_empty() {
        digits.push(0);
    }
    digits
}

/// Writes the items of a row to `to`, sorted by the digit that `digit` returns. Items with equal digits keep their
/// order.
fn scatter<P: Copy + Send + Sync>(
    length: usize,
    shared: bool,
    to: SharedTarget<P>,
    item: impl Fn(usize) -> P + Sync,
    digit: impl Fn(P) -> usize + Sync,
) {
    let chunks = chunks(length, shared);
    let each = length.div_ceil(chunks);
    let range = |chunk: usize| chunk * each..length.min((chunk + 1) * each);
    let mut tables = vec![[0usize; DIGITS]; chunks];
    let target = SharedTarget(tables.as_mut_ptr());
    share(chunks, chunks == 1, |chunk| {
        // SAFETY: each task has a table of its own in `tables`, which nothing else uses meanwhile.
        let table = unsafe { &mut *{ target }.0.add(chunk) };
        range(chunk).for_each(|i| table[digit(item(i))] += 1);
    });
    // replaces each count by the index where the chunk's first item with this digit goes
    let mut place = 0;
    for d in 0..DIGITS {
        for table in &mut tables {
            place += std::mem::replace(&mut table[d], place);
        }
    }
    let target = SharedTarget(tables.as_mut_ptr());
    share(chunks, chunks == 1, |chunk| {
        // SAFETY: each task has a table of its own in `tables`, which nothing else uses meanwhile.
        let table = unsafe { &mut *{ target }.0.add(chunk) };
        for i in range(chunk) {
            let x = item(i);
            let place = &mut table[mutant!(sort_by_seven_bits, digit(x) & 0x7f, digit(x))];
            // SAFETY: all chunks together have counted `length` items, so every index is inside the row, and no two
            // items have the same index.
            unsafe { to.set(*place, x) };
            *place += 1;
        }
    });
}
