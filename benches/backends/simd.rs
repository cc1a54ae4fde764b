//! The loops that measure the limit of operations. They run as fast as the machine can with the instruction set that
//! the library uses.

use crate::isa::{Isa, isa};

/// The number of chains of multiply-adds that run side by side. Two units with a latency of four cycles need 8 vectors
/// in flight; 24 are enough for other machines too, and fit into the 32 registers of AVX-512.
const CHAINS: usize = 24;

/// Computes `steps` multiply-adds in each lane of `CHAINS` vectors, in plain Rust.
#[inline(always)]
fn fma<T: Copy, const LANES: usize>(steps: usize, start: [T; LANES], step: impl Fn(T) -> T) -> [[T; LANES]; CHAINS] {
    let mut chains = [start; CHAINS];
    for _ in 0..steps {
        for chain in &mut chains {
            for x in chain {
                *x = step(*x);
            }
        }
    }
    chains
}

macro_rules! fma_of {
    ($name:ident, $ops:ident, $t:ty, $lanes:literal, $wide:ident, $narrow:ident) => {
        /// Runs the chains. The result keeps the compiler from removing them.
        pub fn $name(steps: usize) -> $t {
            #[cfg(target_arch = "x86_64")]
            match isa() {
                // SAFETY: `isa` has found AVX-512 on this machine.
                Isa::Avx512 => return unsafe { x86::$wide(steps) },
                // SAFETY: `isa` has found AVX2 and FMA on this machine.
                Isa::Avx2 => return unsafe { x86::$narrow(steps) },
                Isa::Portable | Isa::Neon => {}
            }
            // every aarch64 has a fused multiply-add; on other machines `mul_add` may be a slow library call
            let step = |x: $t| if cfg!(target_arch = "aarch64") { x.mul_add(0.5, 1.0) } else { x * 0.5 + 1.0 };
            fma::<$t, { $lanes / 4 }>(steps, [1.5; $lanes / 4], step).as_flattened().iter().sum()
        }

        /// Returns the number of operations of one call of the function above.
        pub fn $ops(steps: usize) -> f64 {
            // AVX-512 runs 24 chains of 64 bytes. AVX2 runs 12 of 32 bytes and plain code 24 of 16, which is as much
            // work
            let lanes = if isa() == Isa::Avx512 { $lanes } else { $lanes / 4 };
            2.0 * (steps * lanes * CHAINS) as f64
        }
    };
}
fma_of!(fma_f32, fma_f32_ops, f32, 16, fma_f32_512, fma_f32_256);
fma_of!(fma_f64, fma_f64_ops, f64, 8, fma_f64_512, fma_f64_256);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    macro_rules! fma {
        ($name:ident, $feature:literal, $t:ty, $chains:literal, $set:ident, $fma:ident, $lanes:literal) => {
            /// # Safety
            /// The machine must have the feature.
            #[target_feature(enable = $feature)]
            pub unsafe fn $name(steps: usize) -> $t {
                let (half, one) = ($set(0.5), $set(1.0));
                let mut chains = [$set(1.5); $chains];
                for _ in 0..steps {
                    for chain in &mut chains {
                        *chain = $fma(*chain, half, one);
                    }
                }
                // SAFETY: a vector register's type has the size of `$lanes` numbers, and every pattern of bits is a
                // number.
                let lanes = chains.map(|c| unsafe { std::mem::transmute::<_, [$t; $lanes]>(c) });
                lanes.as_flattened().iter().sum()
            }
        };
    }
    fma!(fma_f32_512, "avx512f", f32, 24, _mm512_set1_ps, _mm512_fmadd_ps, 16);
    fma!(fma_f64_512, "avx512f", f64, 24, _mm512_set1_pd, _mm512_fmadd_pd, 8);
    // 12 chains, because AVX2 has 16 registers, two of which hold the constants
    fma!(fma_f32_256, "avx2,fma", f32, 12, _mm256_set1_ps, _mm256_fmadd_ps, 8);
    fma!(fma_f64_256, "avx2,fma", f64, 12, _mm256_set1_pd, _mm256_fmadd_pd, 4);
}
