//! Scans a block of elements, in the order that `plan/kernel/scan.rs` defines.

// the loops run over the elements of several arrays
#![allow(clippy::needless_range_loop)]

use super::row_source::combine;
#[cfg(target_arch = "x86_64")]
use super::transposed_scans::{block_by_columns, totals_of_runs};
use super::{Loops, SCAN_BLOCK, SCAN_RUN, ScalarFn, slice, slice_mut};
use std::hint::black_box;

/// The maximum number of runs in a block.
const RUNS: usize = SCAN_BLOCK / SCAN_RUN;

/// Scans the runs of at most [`SCAN_BLOCK`] elements of `a`, each on its own, into `out`, which has as many elements. Sets
/// the first elements of `totals` to the totals of the whole runs, and returns their number.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
unsafe fn scan_runs<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    a: &[A],
    out: &mut [A],
    totals: &mut [A; RUNS],
) -> usize {
    let (runs, rest) = a.as_chunks::<SCAN_RUN>();
    let (scanned, rest_of_out) = out.as_chunks_mut::<SCAN_RUN>();
    // SAFETY: the caller ensures that the types are the same.
    unsafe {
        for ((x, y), total) in runs.iter().zip(scanned).zip(totals) {
            y[0] = x[0];
            for i in 1..SCAN_RUN {
                y[i] = combine::<A, B, C, R, F>(y[i - 1], x[i]);
            }
            *total = y[SCAN_RUN - 1];
        }
        let mut last = None;
        for (x, y) in rest.iter().zip(rest_of_out) {
            *y = match last {
                Some(last) => combine::<A, B, C, R, F>(last, *x),
                None => *x,
            };
            last = Some(*y);
        }
    }
    runs.len()
}

/// Computes the same as [`block`], with less code. This function defines the order in which elements are combined.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
unsafe fn plain_block<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(a: &[A], out: &mut [A]) {
    let Some(first) = a.first() else { return };
    let mut totals = [*first; RUNS];
    // SAFETY: the caller ensures that the types are the same.
    unsafe {
        let runs = scan_runs::<A, B, C, R, F>(a, out, &mut totals);
        // Steps 1 and 2 take four totals at once, because groups of one or two totals are too short for a loop. The totals
        // after the last run get values without a meaning
        for four in totals[..runs.next_multiple_of(4)].as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *four;
            let (b, d) = (combine::<A, B, C, R, F>(a, b), combine::<A, B, C, R, F>(c, d));
            *four = [a, b, combine::<A, B, C, R, F>(b, c), combine::<A, B, C, R, F>(b, d)];
        }
        let totals = &mut totals[..runs];
        let mut step = 4;
        while step < runs {
            for group in (step..runs).step_by(2 * step) {
                let (before, group) = totals.split_at_mut(group);
                let left = before[before.len() - 1];
                group.iter_mut().take(step).for_each(|total| *total = combine::<A, B, C, R, F>(left, *total));
            }
            step *= 2;
        }
        for (before, run) in totals.iter().zip(out.chunks_mut(SCAN_RUN).skip(1)) {
            run.iter_mut().for_each(|x| *x = combine::<A, B, C, R, F>(*before, *x));
        }
    }
}

/// Scans at most [`SCAN_BLOCK`] elements of `a` into `out`, which has as many elements.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
unsafe fn block<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(a: &[A], out: &mut [A]) {
    /// How many runs are combined at a time with the totals before them, so that they fill SIMD registers.
    const TOGETHER: usize = 4;
    let Some(first) = a.first() else { return };
    let mut totals = [*first; RUNS];
    // SAFETY: the caller ensures that the types are the same.
    unsafe {
        let runs = scan_runs::<A, B, C, R, F>(a, out, &mut totals);
        scan_totals::<A, B, C, R, F>(&mut totals, runs);
        // `totals[r]` is combined with run `r + 1`
        let Some(after) = out.get_mut(SCAN_RUN..) else { return };
        let (groups, rest) = after.as_chunks_mut::<{ TOGETHER * SCAN_RUN }>();
        let (before, rest_of_totals) = (totals.as_chunks::<TOGETHER>().0, &totals[TOGETHER * groups.len()..]);
        for (before, group) in before.iter().zip(groups) {
            let group = black_box(group);
            let mut elements = *group;
            for i in 0..TOGETHER * SCAN_RUN {
                elements[i] = combine::<A, B, C, R, F>(before[i / SCAN_RUN], elements[i]);
            }
            *group = elements;
        }
        for (before, run) in rest_of_totals.iter().zip(rest.chunks_mut(SCAN_RUN)) {
            run.iter_mut().for_each(|x| *x = combine::<A, B, C, R, F>(*before, *x));
        }
    }
}

/// Scans the totals of `runs` runs. The elements of `all` after them get values without a meaning.
///
/// Without `black_box`, here, in [`block`] and in [`second_halves`], the compiler would process several groups with one
/// instruction, and gather their elements one by one.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
unsafe fn scan_totals<A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(all: &mut [A; RUNS], runs: usize) {
    // SAFETY: the caller ensures that the types are the same.
    unsafe {
        let both = |x: A, y: A| combine::<A, B, C, R, F>(x, y);
        // steps 1, 2 and 4
        for eight in all[..runs.next_multiple_of(8)].as_chunks_mut::<8>().0 {
            let eight = black_box(eight);
            let [a, b, c, d, e, f, g, h] = *eight;
            let (b, d, f, h) = (both(a, b), both(c, d), both(e, f), both(g, h));
            let (c, d, g, h) = (both(b, c), both(b, d), both(f, g), both(f, h));
            *eight = [a, b, c, d, both(d, e), both(d, f), both(d, g), both(d, h)];
        }
        if runs > 8 {
            second_halves::<8, 16, A, B, C, R, F>(&mut all[..runs.next_multiple_of(16)]);
        }
        if runs > 16 {
            second_halves::<16, 32, A, B, C, R, F>(&mut all[..runs.next_multiple_of(32)]);
        }
        if runs > 32 {
            second_halves::<32, 64, A, B, C, R, F>(&mut all[..runs.next_multiple_of(64)]);
        }
        if runs > 64 {
            second_halves::<64, 128, A, B, C, R, F>(&mut all[..runs.next_multiple_of(128)]);
        }
        if runs > 128 {
            second_halves::<128, RUNS, A, B, C, R, F>(all);
        }
    }
}

/// Combines the last total of the first half of each group of `BOTH` totals into each total of the second half: one step
/// of the network.
///
/// # Safety
/// A, B and R are the same type.
#[inline(always)]
unsafe fn second_halves<
    const HALF: usize,
    const BOTH: usize,
    A: Copy,
    B: Copy,
    C: Copy,
    R: Copy,
    F: ScalarFn<A, B, C, R>,
>(
    totals: &mut [A],
) {
    for group in totals.as_chunks_mut::<BOTH>().0 {
        let left = black_box(group[HALF - 1]);
        for total in &mut group[HALF..] {
            // SAFETY: the caller ensures that the types are the same.
            *total = unsafe { combine::<A, B, C, R, F>(left, *total) };
        }
    }
}

/// Returns the last element of the scan of a whole block, which is the block's total. `REGISTER` is the size of a vector
/// register in bytes. Only loops for AVX2 have 32.
///
/// # Safety
/// A, B and R are the same type. If `REGISTER` is 32, the machine has AVX2.
#[inline(always)]
unsafe fn total<const REGISTER: usize, A: Copy, B: Copy, C: Copy, R: Copy, F: ScalarFn<A, B, C, R>>(
    block: &[A; SCAN_BLOCK],
) -> A {
    let mut totals = [block[0]; RUNS];
    // SAFETY: the caller ensures that the types are the same, and that the machine has AVX2 if `REGISTER` is 32.
    unsafe {
        if cfg!(target_arch = "x86_64") && REGISTER == 32 && size_of::<A>() == 4 {
            #[cfg(target_arch = "x86_64")]
            totals_of_runs::<A, B, C, R, F>(block, &mut totals);
        } else {
            for (run, total) in block.as_chunks::<SCAN_RUN>().0.iter().zip(&mut totals) {
                *total = run[0];
                for i in 1..SCAN_RUN {
                    *total = combine::<A, B, C, R, F>(*total, run[i]);
                }
            }
        }
        // the network combines the last total but one with the last group of 2 neighbours before it, then with the last
        // group of 4 before these, and so on. Each round computes groups of twice the size
        let [.., mut before, last] = totals;
        let mut groups = RUNS;
        while groups > 2 {
            groups /= 2;
            for i in 0..groups {
                totals[i] = combine::<A, B, C, R, F>(totals[2 * i], totals[2 * i + 1]);
            }
            let group = mutant!(scan_total_skips_groups, groups - 1, groups - 2);
            before = combine::<A, B, C, R, F>(totals[group], before);
        }
        combine::<A, B, C, R, F>(before, last)
    }
}

loop_form! {
    /// Sets each `out[i]` to the combination of `a[0]`, …, `a[i]`, in the order that `plan/kernel/scan.rs` defines for
    /// a block. `n` is at most [`SCAN_BLOCK`].
    scan, scan_block, <A, B, C, R>, |n, a, b, c, out| {
        // A, B and R are the same type in every scan, and only loops for AVX2 have registers of 32 bytes
        #[cfg(target_arch = "x86_64")]
        if REGISTER == 32 && size_of::<A>() == 4 {
            return block_by_columns::<A, B, C, R, F>(slice::<A>(a, n), slice_mut::<A>(out, n));
        }
        block::<A, B, C, R, F>(slice::<A>(a, n), slice_mut::<A>(out, n))
    }
}
loop_form! {
    /// Computes the same as [`Loops::scan`], with the same bits, with less code.
    plain_scan, scan_block_plainly, <A, B, C, R>, |n, a, b, c, out| {
        // A, B and R are the same type in every scan
        plain_block::<A, B, C, R, F>(slice::<A>(a, n), slice_mut::<A>(out, n))
    }
}
loop_form! {
    /// Sets the last element of `out` to the value that [`Loops::scan`] computes. The other elements may stay unset. `n` is
    /// [`SCAN_BLOCK`].
    scan_total, total_of_block, <A, B, C, R>, |n, a, b, c, out| {
        // A, B and R are the same type in every scan
        let block = &*(a as *const [A; SCAN_BLOCK]);
        *(out as *mut A).add(n - 1) = total::<REGISTER, A, B, C, R, F>(block);
    }
}
