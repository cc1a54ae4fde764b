//! Copies bytes between arrays and the host's own memory. All threads share a large copy.

use super::operands::SharedTarget;
use super::strided;
use super::thread_count::threads;
use super::work_sharing::share;
use std::mem::MaybeUninit;

/// If a copy has at most this number of bytes, one thread does it alone. Such a copy takes at most some 10 µs, about as
/// long as waking another thread.
const ALONE: usize = 512 << 10;

/// The maximum size in bytes of the part that a task copies. This is the size of a huge page, so that only one thread
/// makes the first access to each page.
const PART: usize = 2 << 20;

/// The number of bytes from which a copy is written past the caches, because the caches would not hold it until it is
/// read. Equal to `STREAM` in `plan/schedule/tile_sizes.rs`.
const STREAM: usize = 32 << 20;

/// Copies bytes to memory of the same length, and initialises all of it.
pub(super) fn copy(from: &[u8], to: &mut [MaybeUninit<u8>]) {
    let n = from.len().min(to.len());
    let target = SharedTarget::<u8>(to.as_mut_ptr().cast());
    // SAFETY: `first..end` is in both slices, which do not overlap, because `to` is borrowed mutably. The parts of the
    // tasks are disjoint.
    let part = |first: usize, end: usize| unsafe {
        let (from, to) = (from.as_ptr().add(first), target.at(first));
        if n >= STREAM {
            strided::stream(from, to, end - first);
            strided::fence();
        } else {
            std::ptr::copy_nonoverlapping(from, to, end - first);
        }
    };
    if n <= ALONE || threads() == 1 {
        return part(0, n);
    }
    // parts begin at target addresses that are multiples of the part size. A small copy has one part per thread
    let each = (n / threads()).next_multiple_of(4096).min(PART);
    let before = target.0 as usize % each;
    share((before + n).div_ceil(each), false, |i| {
        part((i * each).saturating_sub(before), ((i + 1) * each - before).min(n));
    });
}
