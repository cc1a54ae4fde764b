//! Products with a small result and a long summed axis k. The tasks compute the sums of chains (blocks of [`CHAIN`]
//! neighbouring positions along k), and one thread adds these sums in order, as `micro_kernel.rs` requires.

use super::blocked::ProductBlock;
use super::dot::Chains;
use super::instruction_sets::ProductElement;
use super::micro_kernel::CHAIN;
use super::operands::ProductTarget;
use super::scratch;
use crate::cpu::work_sharing::share;
use crate::plan::kernel::Method;
use std::ops::Range;

/// The size in bytes of the memory for the sums of chains, before they are added. A second-level cache holds it, and it
/// is enough for a dot product of 16 million f32.
const KEPT: usize = 1 << 18;

impl ProductBlock<'_> {
    /// Computes the block in tasks, each of which sums `chains` chains (blocks of [`CHAIN`] neighbouring positions
    /// along k).
    ///
    /// # Safety
    /// All elements are in live memory (*inside*) and nobody else changes them (*apart*, see [`ProductBlock`]); the
    /// block has the strides that `method` requires, and at most `MOST_OF_CHAINS` elements; `T` is the type of the
    /// product.
    pub unsafe fn share_chains<T: ProductElement>(&self, method: Method, chains: usize) {
        let (each, count) = (self.m * self.n, self.k.div_ceil(CHAIN));
        let some = (KEPT / (each * size_of::<T>())).clamp(1, count);
        let bytes = |some: usize| (some + 1) * each * size_of::<T>() + 2 * scratch::ALIGN;
        scratch::with(bytes(some), bytes(1), |scratch, is_wanted| {
            let some = if is_wanted { some } else { 1 };
            let (total, sums) = (scratch.take::<T>(each), scratch.take::<T>(some * each));
            let of_first =
                ProductTarget { at: sums as *mut u8, row: self.n as isize, col: 1, size: size_of::<T>(), narrow: None };
            for first in (0..count).step_by(some) {
                let some = some.min(count - first);
                share(some.div_ceil(chains), false, |task| {
                    let begin = task * chains;
                    let range = first + begin..first + some.min(begin + chains);
                    let to = of_first.shifted((begin * each) as isize);
                    // SAFETY: the caller ensures the conditions for the operands (*inside* and *apart*, see
                    // `ProductBlock`), and each chain has its own part of the scratch memory for its sums.
                    unsafe { self.sums_of_chains::<T>(method, range, to) };
                });
                for chain in 0..some {
                    for i in 0..each {
                        // SAFETY: the tasks have written the sums; the sums of the first chain become the totals.
                        unsafe {
                            let (total, sum) = (total.add(i), *sums.add(chain * each + i));
                            *total = if mutant!(shared_chains_forgotten, true, first + chain == 0) {
                                sum
                            } else {
                                T::plus(*total, sum)
                            };
                        }
                    }
                }
            }
            // SAFETY: the totals are in the scratch memory, and the caller ensures that the result is in live memory
            // that nobody else uses (*inside* and *apart*, see `ProductBlock`).
            unsafe { self.c.store(total, self.n, self.m, self.n) };
        });
    }

    /// Computes the sum of each chain for each element of the block. Each chain gives a matrix of sums, and these
    /// matrices follow each other in `to`.
    ///
    /// # Safety
    /// The elements of these chains and of the result `to` are in live memory (*inside*), and nobody else changes them
    /// (*apart*, see [`ProductBlock`]); the block has the strides that `method` requires; `T` is the type of the
    /// product.
    unsafe fn sums_of_chains<T: ProductElement>(&self, method: Method, mut chains: Range<usize>, to: ProductTarget) {
        let each = self.m * self.n;
        let first = chains.start;
        let of = |chain: usize| {
            let k = chain * CHAIN;
            ProductBlock {
                k: CHAIN.min(self.k - k),
                a: self.a.from(0, k),
                b: self.b.from(0, k),
                c: to.shifted(((chain - first) * each) as isize),
                ..*self
            }
        };
        // SAFETY: the chains are parts of the block, so the caller's conditions (*inside* and *apart*, see
        // `ProductBlock`) hold for them.
        unsafe {
            if method == Method::Sums
                && each == 1
                && (self.a.step, self.b.step) == (1, 1)
                && self.a.widen.is_none()
                && self.b.widen.is_none()
            {
                let whole = chains.end.min(self.k / CHAIN) - first;
                let x = of(first);
                let (a, b, sums) = (x.a.at as *const T, x.b.at as *const T, to.at as *mut T);
                if (T::kernels().chains)(&Chains { count: whole, a, b, sums, far: true }) {
                    chains.start += whole;
                }
            }
            for chain in chains {
                of(chain).compute::<T>(method, &mut |_| {});
            }
        }
    }
}
