//! Quicksort of keys that partitions a vector of keys at a time. It needs AVX-512, which has an instruction that moves
//! the selected elements of a vector together (compress). Short pieces are sorted by the sorting network
//! (`network.rs`).

use super::decode::decode;
use super::network::{LANES, Room};
use super::task::{Task, run};
use super::{Order, SharedTarget, Word, each_range, part, shares_rows};
use crate::cpu::thread_count::threads;
use crate::cpu::work_sharing::share;
use crate::graph::routine::SHORT_SORT;

/// Reorders keys so that those less than a pivot come before the others, and returns how many come before. The
/// arguments are the keys, their number, the pivot, and whether keys that equal the pivot also come before.
///
/// # Safety
/// The pointer is valid for the given number of keys, at least 64, that nothing else uses. The machine has AVX-512.
pub(super) type Partition<W> = unsafe fn(*mut W, usize, W, bool) -> usize;

/// The number of keys that a task partitions. This many keys fit in a second-level cache.
const BLOCK: usize = 1 << 17;
/// The approximate number of keys of a bucket, which is all keys of a row between two neighbouring pivots. One task
/// sorts a bucket, and this many keys fit in a second-level cache.
const BUCKET: usize = 50_000;
/// The maximum number of buckets (see [`BUCKET`]). With this many, the keys of one block that belong to one bucket
/// still fill several cache lines.
const BUCKETS: usize = 512;
/// The pivots are chosen from a sample of this many keys for each bucket.
const SAMPLES: usize = 16;

/// Sorts rows of `length` elements. Writes the elements of each row, in order, to the first target. The second target
/// is scratch memory. Both targets have as many elements as `elements`.
pub(super) fn rows<W: Word>(
    elements: &[W],
    length: usize,
    order: Order<W>,
    partition: Partition<W>,
    [to, spare]: [SharedTarget<W>; 2],
) {
    let rows = elements.len() / length;
    if shares_rows(rows, length) && threads() > 1 {
        return (0..rows).for_each(|row| {
            let elements = &elements[row * length..][..length];
            shared(elements, order, partition, to.row(row, length), spare.row(row, length));
        });
    }
    each_range(rows, length, |range| {
        let size = range.len() * length;
        let elements = &elements[range.start * length..][..size];
        // SAFETY: the result has as many elements as the operand, and these rows of it belong to this task; any bits
        // are a value of `W`.
        let keys = unsafe { std::slice::from_raw_parts_mut(to.row(range.start, length).0, size) };
        run(Encode { elements, keys: &mut *keys, order });
        // short parts of several rows are sorted side by side
        sort_keys(keys, length, partition);
        for (x, keys) in elements.chunks_exact(length).zip(keys.chunks_exact_mut(length)) {
            decode(x, keys, order, false);
        }
    });
}

/// Sorts a long row with several threads, and writes its elements, in order, to `to`. `spare` is scratch memory. Both
/// have as many elements as the row.
fn shared<W: Word>(
    elements: &[W],
    order: Order<W>,
    partition: Partition<W>,
    to: SharedTarget<W>,
    spare: SharedTarget<W>,
) {
    let n = elements.len();
    let buckets = (n / BUCKET).clamp(2, BUCKETS);
    // the positions of the samples depend only on the length. Multiples of this constant, modulo 2^32, are spread
    // evenly
    let place = |i: usize| ((((i as u64 * 0x9e37_79b9) & 0xffff_ffff) * n as u64) >> 32) as usize;
    let mut samples: Vec<W> = (0..buckets * SAMPLES).map(|i| elements[place(i)].key(order)).collect();
    samples.sort_unstable();
    let mut pivots: Vec<W> = (1..buckets).map(|i| samples[i * SAMPLES]).collect();
    pivots.dedup();
    let buckets = pivots.len() + 1;
    let blocks = n.div_ceil(BLOCK);
    // for each block, the positions at which the keys of each bucket end
    let mut ends = vec![0u32; blocks * buckets];
    let target = SharedTarget(ends.as_mut_ptr());
    share(blocks, false, |block| {
        let range = part(n, blocks, block);
        // SAFETY: each block has its own part of `spare`, which is as long as the row and belongs to this call, and of
        // `ends`.
        let (keys, ends) = unsafe {
            let keys = std::slice::from_raw_parts_mut(spare.row(range.start, 1).0, range.len());
            (keys, std::slice::from_raw_parts_mut(target.row(block, buckets).0, buckets))
        };
        run(Encode { elements: &elements[range], keys, order });
        ends[buckets - 1] = keys.len() as u32;
        divide(keys, 0, &pivots, ends, partition);
    });
    let begin = |block: usize, bucket: usize| match bucket {
        0 => 0,
        _ => ends[block * buckets + bucket - 1] as usize,
    };
    let piece = |block: usize, bucket: usize| begin(block, bucket)..ends[block * buckets + bucket] as usize;
    let mut starts = vec![0];
    for bucket in 0..buckets {
        let size: usize = (0..blocks).map(|block| piece(block, bucket).len()).sum();
        starts.push(starts[bucket] + size);
    }
    share(buckets, false, |bucket| {
        let range = starts[bucket]..starts[bucket + 1];
        // SAFETY: each bucket has its own part of the row of the result, which belongs to this call.
        let keys = unsafe { std::slice::from_raw_parts_mut(to.row(range.start, 1).0, range.len()) };
        let mut rest = &mut *keys;
        for block in 0..blocks {
            let (at, piece) = (part(n, blocks, block).start, piece(block, bucket));
            let (here, after) = rest.split_at_mut(piece.len());
            // SAFETY: the tasks above have written all keys of `spare`, and nothing writes to it any more.
            here.copy_from_slice(unsafe { std::slice::from_raw_parts(spare.row(at + piece.start, 1).0, piece.len()) });
            rest = after;
        }
        let length = keys.len();
        sort_keys(keys, length, partition);
    });
    // SAFETY: the buckets have written the whole row.
    decode(elements, unsafe { std::slice::from_raw_parts_mut(to.0, n) }, order, true);
}

/// Converts elements to their keys (`Word::key`), and writes the keys to `keys`.
struct Encode<'a, W> {
    elements: &'a [W],
    keys: &'a mut [W],
    order: Order<W>,
}

impl<W: Word> Task for Encode<'_, W> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        self.keys.iter_mut().zip(self.elements).for_each(|(key, x)| *key = x.key(self.order));
    }
}

/// Reorders keys so that those less than a pivot (or equal to it, if `or_equal`) come before the others, and returns
/// how many come before. Also works for fewer keys than [`Partition`] accepts.
fn before<W: Word>(keys: &mut [W], pivot: W, or_equal: bool, partition: Partition<W>) -> usize {
    if keys.len() < 64 {
        keys.sort_unstable();
        return keys.partition_point(|key| *key < pivot || or_equal && *key == pivot);
    }
    // SAFETY: the keys are borrowed mutably, and a `Partition` exists only if the machine has AVX-512
    // (`Word::partition`).
    unsafe { partition(keys.as_mut_ptr(), keys.len(), pivot, or_equal) }
}

/// Partitions keys by ascending pivots: first by the middle pivot, then each half by the pivots on its side. Writes the
/// end of each part except the last to `ends`, counted from the start of the block. `first` is the number of keys of
/// the block before `keys`.
fn divide<W: Word>(keys: &mut [W], first: usize, pivots: &[W], ends: &mut [u32], partition: Partition<W>) {
    let middle = pivots.len() / 2;
    let Some(pivot) = pivots.get(middle) else { return };
    let count = before(keys, *pivot, false, partition);
    ends[middle] = (first + count) as u32;
    let (low, high) = keys.split_at_mut(count);
    let (low_ends, high_ends) = ends.split_at_mut(middle);
    divide(low, first, &pivots[..middle], low_ends, partition);
    divide(high, first + count, &pivots[middle + 1..], &mut high_ends[1..], partition);
}

/// Sorts the keys of each row in place.
fn sort_keys<W: Word>(keys: &mut [W], length: usize, partition: Partition<W>) {
    let mut short = Short { at: vec![], room: Room::new() };
    // the limit of nested partitions is twice what halving needs; a row that needs more has a pattern for which the
    // chosen pivots are bad, and is sorted by the standard library
    let steps = 2 * length.max(2).ilog2();
    for row in keys.chunks_mut(length.max(1)) {
        quick(row, steps, partition, &mut short);
    }
    run(Flush(&mut short));
}

fn quick<'a, W: Word>(mut keys: &'a mut [W], mut steps: u32, partition: Partition<W>, short: &mut Short<'a, W>) {
    while keys.len() > SHORT_SORT {
        if steps == 0 {
            return keys.sort_unstable();
        }
        steps -= 1;
        let pivot = pivot(keys);
        let count = before(keys, pivot, false, partition);
        if count == 0 {
            // the pivot is the smallest key, so the keys that are equal to it are already in their places
            let count = before(keys, pivot, true, partition);
            keys = &mut keys[count..];
            continue;
        }
        let (low, high) = keys.split_at_mut(count);
        quick(low, steps, partition, short);
        keys = high;
    }
    if keys.len() > 1 {
        short.at.push(keys);
    }
    if short.at.len() == LANES {
        run(Flush(short));
    }
}

/// Returns a key that is likely to be near the middle: the median of medians of medians of three, from 27 keys.
fn pivot<W: Word>(keys: &[W]) -> W {
    let median = |[a, b, c]: [W; 3]| a.max(b).min(a.min(b).max(c));
    let at = |i: usize| keys[(keys.len() - 1) * i / 26];
    let three = |i: usize| median([0, 1, 2].map(|j| at(3 * i + j)));
    let nine = |i: usize| median([0, 1, 2].map(|j| three(3 * i + j)));
    median([0, 1, 2].map(nine))
}

/// Short parts of rows that wait until there are enough of them to be sorted side by side by the network.
struct Short<'a, W> {
    at: Vec<&'a mut [W]>,
    room: Room<W>,
}

/// Sorts the parts of rows that wait in a [`Short`].
struct Flush<'a, 'b, W>(&'a mut Short<'b, W>);

impl<W: Word> Task for Flush<'_, '_, W> {
    type Result = ();

    #[inline(always)]
    fn run(self) {
        let Short { at, room } = self.0;
        let longest = at.iter().map(|keys| keys.len()).max().unwrap_or(0);
        let step = longest.next_multiple_of(LANES).max(LANES);
        for (to, keys) in room.keys.chunks_exact_mut(step).zip(&*at) {
            to[..keys.len()].copy_from_slice(keys);
            // the padding sorts after all keys, because it is the largest key
            to[keys.len()..].fill(W::NAN_KEY);
        }
        room.sort(step, longest);
        for (from, keys) in room.keys.chunks_exact(step).zip(&mut *at) {
            keys.copy_from_slice(&from[..keys.len()]);
        }
        at.clear();
    }
}

/// Implements [`Partition`] for a type. `$lanes` is the number of elements of this type in a vector.
#[cfg(target_arch = "x86_64")]
macro_rules! partition {
    ($name:ident $inner:ident $t:ty: $lanes:literal $mask:ty, $set:ident $signed:ty, $less:ident $not_greater:ident,
        $load:ident $compress:ident $store:ident) => {
        /// Partitions keys as [`Partition`] describes.
        ///
        /// # Safety
        /// The pointer is valid for `n` keys, at least 64, that nothing else uses. The machine has AVX-512.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        pub(super) unsafe fn $name(keys: *mut $t, n: usize, pivot: $t, or_equal: bool) -> usize {
            // SAFETY: the caller ensures the conditions of `Partition`. There are at least `2 K` vectors: for `K` = 1
            // there are at least 64 keys, and 2 vectors have at most 32; for `K` = 4 there are at least 128, and 8
            // vectors have at most 128.
            unsafe {
                match (n >= 128, or_equal) {
                    (true, false) => $inner::<4, false>(keys, n, pivot),
                    (true, true) => $inner::<4, true>(keys, n, pivot),
                    (false, false) => $inner::<1, false>(keys, n, pivot),
                    (false, true) => $inner::<1, true>(keys, n, pivot),
                }
            }
        }

        /// Partitions in place. The first and the last `K` vectors are held in registers, so that there is always room
        /// to write `K` vectors at both ends. The next `K` vectors are read at the end that has less room. The keys of
        /// each vector that come before the pivot are written to the low end, and the others to the high end.
        ///
        /// # Safety
        /// The pointer is valid for `n` keys that nothing else uses. These keys fill at least `2 K` vectors. The
        /// machine has AVX-512.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt")]
        unsafe fn $inner<const K: usize, const OR_EQUAL: bool>(keys: *mut $t, n: usize, pivot: $t) -> usize {
            use std::arch::x86_64::*;
            const LANES: usize = $lanes;
            const ALL: $mask = <$mask>::MAX;
            let step = LANES * K;
            let pivot = $set(pivot as $signed);
            // SAFETY: every vector is read from the part of the `n` keys that has not been read, and every key is
            // written where a key has been read, because the number of keys read is the number held in registers plus
            // the number written.
            unsafe {
                let read = |at: usize| -> [__m512i; K] {
                    std::array::from_fn(|k| $load(ALL, keys.add(at + LANES * k).cast()))
                };
                let (first, last) = (read(0), read(n - step));
                // keys before `low` and from `high` on are written; keys from `left` to `right` are not read yet
                let (mut low, mut high, mut left, mut right) = (0, n, step, n - step);
                let mut write = |x: __m512i, valid: $mask, count: usize| {
                    let is_low = if OR_EQUAL { $not_greater(x, pivot) } else { $less(x, pivot) } & valid;
                    let lows = is_low.count_ones() as usize;
                    high -= count - lows;
                    let mask = |count: usize| ((1u32 << count) - 1) as $mask;
                    $store(keys.add(low).cast(), mask(lows), $compress(is_low, x));
                    $store(keys.add(high).cast(), mask(count - lows), $compress(!is_low & valid, x));
                    low += lows;
                    (low, high)
                };
                let mut ends = (0, n);
                while right - left >= step {
                    let from_left = left - ends.0 <= ends.1 - right;
                    if !from_left {
                        right -= step;
                    }
                    let all = read(if from_left { left } else { right });
                    if from_left {
                        left += step;
                    }
                    for x in all {
                        ends = write(x, ALL, LANES);
                    }
                }
                // less than one step (`K` vectors) is left to read: some whole vectors and perhaps a partial one
                while left < right {
                    let count = LANES.min(right - left);
                    let from_left = count < LANES || left - ends.0 <= ends.1 - right;
                    if !from_left {
                        right -= count;
                    }
                    let valid = ((1u32 << count) - 1) as $mask;
                    let x = $load(valid, keys.add(if from_left { left } else { right }).cast());
                    if from_left {
                        left += count;
                    }
                    ends = write(x, valid, count);
                }
                for x in first.into_iter().chain(last) {
                    ends = write(x, ALL, LANES);
                }
                ends.0
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
partition! {
    words_of_4 words_of_4_by u32: 16 u16, _mm512_set1_epi32 i32, _mm512_cmplt_epu32_mask _mm512_cmple_epu32_mask,
    _mm512_maskz_loadu_epi32 _mm512_maskz_compress_epi32 _mm512_mask_storeu_epi32
}
#[cfg(target_arch = "x86_64")]
partition! {
    words_of_8 words_of_8_by u64: 8 u8, _mm512_set1_epi64 i64, _mm512_cmplt_epu64_mask _mm512_cmple_epu64_mask,
    _mm512_maskz_loadu_epi64 _mm512_maskz_compress_epi64 _mm512_mask_storeu_epi64
}
