//! Loops that run as fast as the machine lets them: what the limits are measured with.

/// Copies with stores that go past the caches, where the machine has them.
pub fn copy_streaming(to: &mut [u64], from: &[u64]) {
    #[cfg(target_arch = "x86_64")]
    {
        let skip = to.as_ptr().align_offset(64).min(to.len());
        let (head, body) = to.split_at_mut(skip);
        head.copy_from_slice(&from[..skip]);
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512 is there; `body` begins at a multiple of 64 bytes and is as long as the rest of `from`.
            return unsafe { x86::stream_512(body, &from[skip..]) };
        }
        if is_x86_feature_detected!("avx") {
            // SAFETY: AVX is there; `body` begins at a multiple of 64 bytes and is as long as the rest of `from`.
            return unsafe { x86::stream_256(body, &from[skip..]) };
        }
        body.copy_from_slice(&from[skip..]);
    }
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Reads everything.
pub fn read(from: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: AVX-512 is there.
            return unsafe { x86::read_512(from) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 is there.
            return unsafe { x86::read_256(from) };
        }
    }
    fold(from)
}

/// Compiled for the caller's instruction set.
#[inline(always)]
fn fold(from: &[u64]) -> u64 {
    from.iter().fold(0, |a, b| a ^ b)
}

/// Chains of multiply-adds that run side by side: enough to fill every unit.
const CHAINS: usize = 24;

/// `steps` multiply-adds of each lane of 24 vectors.
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
        /// Runs the chains; the result keeps them alive.
        pub fn $name(steps: usize) -> $t {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: AVX-512 is there.
                    return unsafe { x86::$wide(steps) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: AVX2 and FMA are there.
                    return unsafe { x86::$narrow(steps) };
                }
            }
            // NEON has a fused multiply-add on every machine; elsewhere it would be a call
            let step = |x: $t| if cfg!(target_arch = "aarch64") { x.mul_add(0.5, 1.0) } else { x * 0.5 + 1.0 };
            fma::<$t, { $lanes / 4 }>(steps, [1.5; $lanes / 4], step).as_flattened().iter().sum()
        }

        /// Operations of one such call.
        pub fn $ops(steps: usize) -> f64 {
            // 24 chains of 64 bytes, or as much work as 24 of 16 bytes
            #[cfg(target_arch = "x86_64")]
            let lanes = if is_x86_feature_detected!("avx512f") { $lanes } else { $lanes / 4 };
            #[cfg(not(target_arch = "x86_64"))]
            let lanes = $lanes / 4;
            2.0 * (steps * lanes * CHAINS) as f64
        }
    };
}
fma_of!(fma_f32, fma_f32_ops, f32, 16, fma_f32_512, fma_f32_256);
fma_of!(fma_f64, fma_f64_ops, f64, 8, fma_f64_512, fma_f64_256);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    macro_rules! stream {
        ($name:ident, $feature:literal, $words:literal, $vector:ty, $load:ident, $store:ident) => {
            /// # Safety
            /// The feature is there; `to` is aligned to 64 bytes and as long as `from`.
            #[target_feature(enable = $feature)]
            pub unsafe fn $name(to: &mut [u64], from: &[u64]) {
                let whole = to.len().min(from.len()) / $words * $words;
                for i in (0..whole).step_by($words) {
                    // SAFETY: `i + $words` stays within both; the store is aligned since `to` is.
                    unsafe {
                        let v = $load(from.as_ptr().add(i) as *const $vector);
                        $store(to.as_mut_ptr().add(i) as *mut $vector, v);
                    }
                }
                _mm_sfence();
                to[whole..].copy_from_slice(&from[whole..]);
            }
        };
    }
    stream!(stream_512, "avx512f", 8, __m512i, _mm512_loadu_si512, _mm512_stream_si512);
    stream!(stream_256, "avx", 4, __m256i, _mm256_loadu_si256, _mm256_stream_si256);

    /// # Safety
    /// The feature is there.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn read_512(from: &[u64]) -> u64 {
        super::fold(from)
    }

    /// # Safety
    /// The feature is there.
    #[target_feature(enable = "avx2")]
    pub unsafe fn read_256(from: &[u64]) -> u64 {
        super::fold(from)
    }

    macro_rules! fma {
        ($name:ident, $feature:literal, $t:ty, $chains:literal, $set:ident, $fma:ident, $lanes:literal) => {
            /// # Safety
            /// The feature is there.
            #[target_feature(enable = $feature)]
            pub unsafe fn $name(steps: usize) -> $t {
                let (half, one) = ($set(0.5), $set(1.0));
                let mut chains = [$set(1.5); $chains];
                for _ in 0..steps {
                    for chain in &mut chains {
                        *chain = $fma(*chain, half, one);
                    }
                }
                // SAFETY: a vector is as many plain numbers.
                let lanes = chains.map(|c| unsafe { std::mem::transmute::<_, [$t; $lanes]>(c) });
                lanes.as_flattened().iter().sum()
            }
        };
    }
    fma!(fma_f32_512, "avx512f", f32, 24, _mm512_set1_ps, _mm512_fmadd_ps, 16);
    fma!(fma_f64_512, "avx512f", f64, 24, _mm512_set1_pd, _mm512_fmadd_pd, 8);
    // there are 16 registers
    fma!(fma_f32_256, "avx2,fma", f32, 12, _mm256_set1_ps, _mm256_fmadd_ps, 8);
    fma!(fma_f64_256, "avx2,fma", f64, 12, _mm256_set1_pd, _mm256_fmadd_pd, 4);
}
