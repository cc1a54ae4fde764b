//! Scans a block of elements of 4 bytes with AVX2. The results have the same bits as those of `scans.rs`.
//!
//! Groups of eight runs are transposed, so that one instruction combines elements of all of them.

// the loops run over the elements of several arrays
#![allow(clippy::needless_range_loop)]

use super::row_source::combine;
use super::{SCAN_BLOCK, SCAN_RUN, ScalarFn};
use std::arch::x86_64::*;

/// The number of runs of a group.
const WIDE: usize = 8;
/// The number of elements of a group.
const GROUP: usize = WIDE * SCAN_RUN;
/// The number of groups of a whole block.
const GROUPS: usize = SCAN_BLOCK / GROUP;
/// The places of the runs 0, 1, 2, … in a transposed group (see [`transposed`] and [`permuted`]).
const IN_ORDER: u32 = 0x0415_2637;
/// The runs in the order of a transposed group.
const TRANSPOSED: u32 = 0x0246_1357;

/// One element of each run of a group.
type Wide<A> = [A; WIDE];

/// Returns `x` unchanged, through an empty assembly statement that holds it in a vector register. Without it, the compiler
/// splits the vector into eight elements, because the steps before and after permute them, and combines them one by one.
///
/// # Safety
/// The elements have 4 bytes, and the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn in_register<A: Copy>(x: Wide<A>) -> Wide<A> {
    // SAFETY: the caller ensures that eight elements have as many bytes as a register. No instruction is added.
    unsafe {
        let mut x: __m256i = std::mem::transmute_copy(&x);
        std::arch::asm!("/* {0} */", inout(ymm_reg) x, options(pure, nomem, nostack, preserves_flags));
        std::mem::transmute_copy(&x)
    }
}

/// Returns the elements of `x` at eight places, which are the hexadecimal digits of `PLACES`.
///
/// # Safety
/// The elements have 4 bytes, and the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn permuted<A: Copy, const PLACES: u32>(x: Wide<A>) -> Wide<A> {
    // SAFETY: the caller ensures that eight elements have as many bytes as a register.
    unsafe {
        let p = |i: u32| (PLACES >> (28 - 4 * i) & 7) as i32;
        let places = _mm256_setr_epi32(p(0), p(1), p(2), p(3), p(4), p(5), p(6), p(7));
        std::mem::transmute_copy(&_mm256_permutevar8x32_epi32(std::mem::transmute_copy(&x), places))
    }
}

/// Returns the elements of `y` whose bits are set in `MASK`, and the other elements of `x`.
///
/// # Safety
/// The elements have 4 bytes, and the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn blended<A: Copy, const MASK: i32>(x: Wide<A>, y: Wide<A>) -> Wide<A> {
    // SAFETY: the caller ensures that eight elements have as many bytes as a register.
    unsafe {
        let z = _mm256_blend_epi32::<MASK>(std::mem::transmute_copy(&x), std::mem::transmute_copy(&y));
        std::mem::transmute_copy(&z)
    }
}

/// Transposes a group. In order, each of the four arrays has two whole runs. Transposed, array `i` has element `i` of the runs
/// 0, 2, 4, 6, 1, 3, 5 and 7: instructions that unpack elements give this order, because they work in each half of a register.
/// A second call transposes the group back.
///
/// # Safety
/// The elements have 4 bytes, and the machine has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transposed<A: Copy>(group: [Wide<A>; SCAN_RUN]) -> [Wide<A>; SCAN_RUN] {
    // SAFETY: the caller ensures that eight elements have as many bytes as a register.
    unsafe {
        let [a, b, c, d]: [__m256i; SCAN_RUN] = [
            std::mem::transmute_copy(&group[0]),
            std::mem::transmute_copy(&group[1]),
            std::mem::transmute_copy(&group[2]),
            std::mem::transmute_copy(&group[3]),
        ];
        let (low, high) = (
            [_mm256_unpacklo_epi32(a, c), _mm256_unpacklo_epi32(b, d)],
            [_mm256_unpackhi_epi32(a, c), _mm256_unpackhi_epi32(b, d)],
        );
        let columns = [
            _mm256_unpacklo_epi32(low[0], low[1]),
            _mm256_unpackhi_epi32(low[0], low[1]),
            _mm256_unpacklo_epi32(high[0], high[1]),
            _mm256_unpackhi_epi32(high[0], high[1]),
        ];
        [
            std::mem::transmute_copy(&columns[0]),
            std::mem::transmute_copy(&columns[1]),
            std::mem::transmute_copy(&columns[2]),
            std::mem::transmute_copy(&columns[3]),
        ]
    }
}

/// Combines eight pairs of elements.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2.
#[inline(always)]
unsafe fn combined<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(x: Wide<A>, y: Wide<A>) -> Wide<A> {
    // SAFETY: the caller ensures the conditions.
    unsafe {
        let (x, mut y) = (in_register(x), in_register(y));
        for l in 0..WIDE {
            y[l] = combine::<A, B, C, R, F>(x[l], y[l]);
        }
        in_register(y)
    }
}

/// Reads a group, transposes it, and scans its runs.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2. `group` points to the group's elements.
#[inline(always)]
unsafe fn scanned_runs<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    group: *const A,
) -> [Wide<A>; SCAN_RUN] {
    // SAFETY: the caller ensures the conditions. A group has as many elements as four arrays of eight.
    unsafe {
        let group = group.cast::<Wide<A>>();
        let mut x = transposed([group.read(), group.add(1).read(), group.add(2).read(), group.add(3).read()]);
        for i in 1..SCAN_RUN {
            x[i] = combined::<A, B, C, R, F>(x[i - 1], x[i]);
        }
        x
    }
}

/// Computes the total of each run of a block.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2.
#[inline(always)]
pub(super) unsafe fn totals_of_runs<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    block: &[A; SCAN_BLOCK],
    totals: &mut [A; SCAN_BLOCK / SCAN_RUN],
) {
    for (group, totals) in block.as_chunks::<GROUP>().0.iter().zip(totals.as_chunks_mut::<WIDE>().0) {
        // SAFETY: the caller ensures the conditions.
        unsafe {
            let x = scanned_runs::<A, B, C, R, F>(group.as_ptr());
            *totals = in_register(permuted::<A, IN_ORDER>(x[SCAN_RUN - 1]));
        }
    }
}

/// Scans the runs of a group, and their totals, which are written to `totals`. The scanned runs are written to `columns`,
/// transposed.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2. `group` points to the group's elements, and
/// `columns` to room for as many; they may be the same.
#[inline(always)]
unsafe fn begin<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    group: *const A,
    columns: *mut A,
    totals: &mut Wide<A>,
) {
    // SAFETY: the caller ensures the conditions. A group has as many elements as four arrays of eight.
    unsafe {
        let x = scanned_runs::<A, B, C, R, F>(group);
        for i in 0..SCAN_RUN {
            columns.cast::<Wide<A>>().add(i).write(x[i]);
        }
        // steps 1, 2 and 4 of the network
        let mut t = permuted::<A, IN_ORDER>(x[SCAN_RUN - 1]);
        t = blended::<A, 0b1010_1010>(t, combined::<A, B, C, R, F>(permuted::<A, 0x0022_4466>(t), t));
        t = blended::<A, 0b1100_1100>(t, combined::<A, B, C, R, F>(permuted::<A, 0x1111_5555>(t), t));
        t = blended::<A, 0b1111_0000>(t, combined::<A, B, C, R, F>(permuted::<A, 0x3333_3333>(t), t));
        *totals = t;
    }
}

/// Computes a step of the network: combines the last total of the first `HALF` groups into each total of the `HALF` groups
/// after them, and so on.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2.
#[inline(always)]
unsafe fn step<const HALF: usize, A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(totals: &mut [Wide<A>]) {
    for both in totals.chunks_exact_mut(2 * HALF) {
        // SAFETY: the caller ensures the conditions.
        unsafe {
            let left = permuted::<A, 0x7777_7777>(both[HALF - 1]);
            for i in HALF..2 * HALF {
                both[i] = combined::<A, B, C, R, F>(left, both[i]);
            }
        }
    }
}

/// Combines the total before each run of a group, an element of `before`, with the elements of the run. The group is transposed
/// before the call, and in order after it.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2. `group` points to the group's elements.
#[inline(always)]
unsafe fn finish<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(group: *mut A, before: Wide<A>) {
    // SAFETY: the caller ensures the conditions. A group has as many elements as four arrays of eight.
    unsafe {
        let group = group.cast::<Wide<A>>();
        let before = permuted::<A, TRANSPOSED>(before);
        let mut x = [group.read(), group.add(1).read(), group.add(2).read(), group.add(3).read()];
        for i in 0..SCAN_RUN {
            x[i] = combined::<A, B, C, R, F>(before, x[i]);
        }
        let x = transposed(x);
        for i in 0..SCAN_RUN {
            group.add(i).write(x[i]);
        }
    }
}

/// Scans at most [`SCAN_BLOCK`] elements of `a` into `out`, which has as many elements.
///
/// # Safety
/// A, B and R are the same type, which has 4 bytes, and the machine has AVX2.
#[inline(always)]
pub(super) unsafe fn block_by_columns<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    a: &[A],
    out: &mut [A],
) {
    let Some(first) = a.first() else { return };
    let (groups, rest) = a.as_chunks::<GROUP>();
    let (columns, rest_of_out) = out.as_chunks_mut::<GROUP>();
    // `totals[1 + g]` has the totals of group `g`. So the total before each run is the element before its own total.
    // `totals[0]` is a filler before the first run, whose results are replaced at the end
    let mut totals = [[*first; WIDE]; 1 + GROUPS];
    let mut last = [*first; GROUP];
    let mut first_run = [*first; SCAN_RUN];
    // SAFETY: the caller ensures the conditions. `before(g)` reads eight elements from index 8 g + 7 on. They are in `totals`,
    // because `g` is below `GROUPS`.
    unsafe {
        for ((group, columns), totals) in groups.iter().zip(&mut *columns).zip(&mut totals[1..]) {
            begin::<A, B, C, R, F>(group.as_ptr(), columns.as_mut_ptr(), totals);
        }
        if !rest.is_empty() {
            last[..rest.len()].copy_from_slice(rest);
            let last = last.as_mut_ptr();
            begin::<A, B, C, R, F>(last, last, &mut totals[1 + groups.len()]);
        }
        let first_group = columns.first().unwrap_or(&last);
        (0..SCAN_RUN).for_each(|i| first_run[i] = first_group[i * WIDE]);
        // totals after the last run get values without a meaning
        let count = a.len().div_ceil(GROUP);
        if count > 1 {
            step::<1, A, B, C, R, F>(&mut totals[1..=count.next_multiple_of(2)]);
        }
        if count > 2 {
            step::<2, A, B, C, R, F>(&mut totals[1..=count.next_multiple_of(4)]);
        }
        if count > 4 {
            step::<4, A, B, C, R, F>(&mut totals[1..=count.next_multiple_of(8)]);
        }
        if count > 8 {
            step::<8, A, B, C, R, F>(&mut totals[1..=count.next_multiple_of(16)]);
        }
        if count > 16 {
            step::<16, A, B, C, R, F>(&mut totals[1..=GROUPS]);
        }
        let before = |g: usize| totals.as_ptr().cast::<A>().add((g + 1) * WIDE - 1).cast::<Wide<A>>().read();
        for (g, group) in columns.iter_mut().enumerate() {
            finish::<A, B, C, R, F>(group.as_mut_ptr(), before(g));
        }
        if !rest.is_empty() {
            finish::<A, B, C, R, F>(last.as_mut_ptr(), before(groups.len()));
            rest_of_out.copy_from_slice(&last[..rest.len()]);
        }
    }
    // the results of the first run, which were combined with the filler, are replaced by the scanned run
    let run = mutant!(scan_first_run_combined, 0, a.len().min(SCAN_RUN));
    out[..run].copy_from_slice(&first_run[..run]);
}
