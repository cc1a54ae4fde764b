//! Dot products of two contiguous vectors. Each lane sums a different chain. The additions of one chain wait for each
//! other, so the additions of several chains run in parallel. `tile.rs` defines the order of additions.

use super::lanes::{ALL_ROWS, MOST_DEPTH, Register, line, prefetch};
use super::tile::CHAIN;

/// If the rows or vectors of a task have at least this size in bytes, they are assumed to be in main memory, not in a
/// cache. The planner cuts larger products into tasks of about this size.
pub(super) const FAR: usize = 4 << 20;

/// Whole chains of a dot product of two contiguous vectors.
///
/// The conditions of [`chains`], cited by name. *Inside*: the `count` chains of `a` and of `b`, and the `count`
/// elements of `sums`, are in live memory; nobody writes the chains of `a` and `b`, and nobody else uses the elements
/// of `sums`. *Features*: the machine has the instruction set of the kernel.
pub(super) struct Chains<T> {
    pub count: usize,
    pub a: *const T,
    pub b: *const T,
    pub sums: *mut T,
    /// Whether the vectors are assumed to be in memory, not in a cache.
    pub far: bool,
}

/// Computes the sums of chains. Returns false, and computes nothing, if there are too few chains to fill a vector.
///
/// # Safety
/// *Inside* and *features* ([`Chains`]).
pub(super) type ChainsFn<T> = unsafe fn(&Chains<T>) -> bool;

/// Computes the sums of chains, one chain in each lane. If the operands are in a cache, two vectors of chains are
/// summed together; if they come from main memory, only one, because no hardware prefetcher follows that many short
/// streams.
///
/// # Safety
/// *Inside* and *features* ([`Chains`]).
#[inline(always)]
pub(super) unsafe fn chains<S: Register>(x: &Chains<S::Element>) -> bool {
    if x.count < S::WIDTH {
        return false;
    }
    let mut chain = 0;
    // SAFETY: *inside* and *features*. If the remaining chains do not fill a vector, some of the chains before them are
    // computed again.
    unsafe {
        while chain < x.count {
            let left = x.count - chain;
            if left >= 2 * S::WIDTH && !x.far {
                some_chains::<S, 2>(x, chain);
                chain += 2 * S::WIDTH;
            } else {
                some_chains::<S, 1>(x, chain.min(x.count - S::WIDTH));
                chain += left.min(S::WIDTH);
            }
        }
    }
    true
}

/// Computes the sums of `G` vectors of chains, starting at `chain`.
///
/// # Safety
/// *Inside* and *features* ([`Chains`]), and there are this many chains.
#[inline(always)]
unsafe fn some_chains<S: Register, const G: usize>(x: &Chains<S::Element>, chain: usize) {
    let line = line::<S>();
    // SAFETY: *inside* and *features*: every index is below `count` chains.
    unsafe {
        let (a, b) = (x.a.add(chain * CHAIN), x.b.add(chain * CHAIN));
        let mut sums = [S::zero(); G];
        for k in (0..CHAIN).step_by(S::DEPTH) {
            if x.far && k % line == 0 {
                // the memory of the next chains is prefetched from end to end
                for i in 0..S::WIDTH {
                    let ahead = S::WIDTH * (CHAIN + k) + i * line;
                    prefetch(a.wrapping_add(ahead));
                    prefetch(b.wrapping_add(ahead));
                }
            }
            for g in 0..G {
                let (mut left, mut right) = ([S::zero(); MOST_DEPTH], [S::zero(); MOST_DEPTH]);
                let first = g * S::WIDTH * CHAIN + k;
                S::transposed::<ALL_ROWS>(a.add(first), CHAIN as isize, [0, S::DEPTH], &mut left);
                S::transposed::<ALL_ROWS>(b.add(first), CHAIN as isize, [0, S::DEPTH], &mut right);
                for d in 0..S::DEPTH {
                    sums[g] = S::multiply_add(left[d], right[d], sums[g]);
                }
            }
        }
        for g in 0..G {
            S::store(x.sums.add(chain + g * S::WIDTH), sums[g]);
        }
    }
}

/// Computes the sum of the whole chains of two vectors of `k` elements, if there are enough. Returns the number of k
/// that the sum covers, and the sum, for which the sums of the chains are added in order.
///
/// # Safety
/// *Inside* and *features* ([`Chains`]), for the whole chains and the function `chains`.
#[inline(always)]
pub(super) unsafe fn sum_of_chains<S: Register>(
    k: usize,
    a: *const S::Element,
    b: *const S::Element,
    chains: ChainsFn<S::Element>,
) -> (usize, S::Vector) {
    /// The number of chains whose sums are kept before they are added.
    const SOME: usize = 64;
    let count = k / CHAIN;
    // SAFETY: *inside* and *features*: every chain is below `count`.
    unsafe {
        let mut total = S::zero();
        let mut first = 0;
        while first < count {
            // the last group has up to twice as many chains, so that they fill vectors
            let some = if count - first < 2 * SOME { count - first } else { SOME };
            let mut sums = [S::Element::default(); 2 * SOME];
            let (a, b) = (a.add(first * CHAIN), b.add(first * CHAIN));
            let far = 2 * k * size_of::<S::Element>() >= FAR;
            if !chains(&Chains { count: some, a, b, sums: sums.as_mut_ptr(), far }) {
                break;
            }
            for (i, sum) in sums[..some].iter().enumerate() {
                total = if first + i == 0 { S::splat(*sum) } else { S::add(total, S::splat(*sum)) };
            }
            first += some;
        }
        (first * CHAIN, total)
    }
}
