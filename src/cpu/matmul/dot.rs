//! Dot products of two contiguous vectors. Each lane sums a different chain, which is a block of [`CHAIN`] neighbouring
//! elements. Each addition of a chain must wait for the one before it, so several chains are summed in parallel.
//! `micro_kernel.rs` defines the order of additions.

use super::lanes::{ALL_ROWS, MOST_DEPTH, Register, line, prefetch};
use super::micro_kernel::CHAIN;

/// If the vectors of a task have at least this size in bytes, they are assumed to be in main memory, not in a cache. The
/// planner cuts larger products into tasks of about this size.
const FAR: usize = 4 << 20;

/// Arguments of [`chains`]: `count` whole chains of two contiguous vectors `a` and `b`, and where to write the chains'
/// sums.
///
/// [`chains`] has two conditions, cited by name. *Inside*: the `count` chains of `a` and of `b`, and the `count`
/// elements of `sums`, are in live memory; nobody writes the chains of `a` and `b`, and nobody else uses the elements
/// of `sums`. *Features*: the machine has the instruction set of the kernel.
pub(super) struct Chains<T> {
    pub count: usize,
    pub a: *const T,
    pub b: *const T,
    pub sums: *mut T,
    /// Whether the vectors are assumed to be in main memory, not in a cache.
    pub far: bool,
}

/// Computes the sums of chains. Returns false, and computes nothing, if there are too few chains to fill a vector.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
/// (*features*); see [`Chains`].
pub(super) type ChainsFn<T> = unsafe fn(&Chains<T>) -> bool;

/// Computes the sums of chains, one chain in each lane. Two vectors of chains are summed together if the operands are
/// in a cache. If the operands come from main memory, vectors are summed one by one, because no hardware prefetcher
/// follows that many short streams.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), and the CPU has the instruction set
/// (*features*); see [`Chains`].
#[inline(always)]
pub(super) unsafe fn chains<S: Register>(x: &Chains<S::Element>) -> bool {
    if x.count < S::WIDTH {
        return false;
    }
    let mut chain = 0;
    // SAFETY: all chains are below `count`, so they are in live memory (*inside*); the caller ensures that the CPU has
    // the instruction set (*features*). If the remaining chains do not fill a vector, some of the chains before them
    // are computed again.
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

/// Computes the sums of `G` vectors of chains, with one chain in each lane. The first is chain number `chain`.
///
/// # Safety
/// All elements are in live memory that nobody else changes (*inside*), the CPU has the instruction set (*features*,
/// see [`Chains`]), and `x` has this many chains from `chain` on.
#[inline(always)]
unsafe fn some_chains<S: Register, const G: usize>(x: &Chains<S::Element>, chain: usize) {
    let line = line::<S>();
    // SAFETY: every chain is below `count`, so its elements are in live memory (*inside*); the caller ensures that the
    // CPU has the instruction set (*features*).
    unsafe {
        let (a, b) = (x.a.add(chain * CHAIN), x.b.add(chain * CHAIN));
        let mut sums = [S::zero(); G];
        for k in (0..CHAIN).step_by(S::DEPTH) {
            if x.far && k % line == 0 {
                // prefetches the chains that are summed next, from end to end
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

/// Computes the part of the dot product of two vectors of `k` elements that consists of whole chains, if there are
/// enough chains. Returns how many elements this part covers (0 if there are too few chains), and its sum in every
/// lane.
///
/// # Safety
/// All elements of the whole chains are in live memory that nobody else changes (*inside*), and the CPU has the
/// instruction set of `S` and of the function `chains` (*features*); see [`Chains`].
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
    // SAFETY: every chain is below `count`, so its elements are in live memory (*inside*); the caller ensures that the
    // CPU has the instruction set (*features*).
    unsafe {
        let mut total = S::zero();
        let mut first = 0;
        while first < count {
            // the last group has up to twice as many chains, so that no group is too small to fill vectors
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
