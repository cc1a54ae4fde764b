//! The largest and the smallest of f32 elements, for searches for a position. These loops do not distinguish −0 from +0,
//! and they only detect NaN. So they need three instructions for a vector of elements besides its load, while the loops of
//! `maximum` and `minimum` need five.

use crate::math::simd::{Isa, isa, prefetch};

/// The number of lanes. Each keeps its extreme element, and the largest bits of an element without its sign, which are
/// above those of infinity if an element is NaN.
const WIDTH: usize = 64;
/// How many elements ahead memory is prefetched: 8 KiB, as in the other loops over rows (`math/simd/row_source.rs`).
const AHEAD: usize = 2048;

macro_rules! extreme {
    ($name:ident, $lanes:ident, $beyond:tt) => {
        /// Returns the extreme element of a slice. Returns `None` if an element is NaN, or if this processor has no AVX2.
        pub(super) fn $name(all: &[f32], prefetches: bool) -> Option<f32> {
            #[inline(always)]
            fn $lanes(all: &[f32], prefetches: bool) -> Option<f32> {
                let (mut best, mut bits) = ([*all.first()?; WIDTH], [0; WIDTH]);
                let (chunks, rest) = all.as_chunks::<WIDTH>();
                for chunk in chunks {
                    if prefetches {
                        (0..WIDTH).step_by(16).for_each(|l| prefetch(chunk.as_ptr().wrapping_add(AHEAD + l)));
                    }
                    for l in 0..WIDTH {
                        best[l] = if chunk[l] $beyond best[l] { chunk[l] } else { best[l] };
                        bits[l] = u32::max(bits[l], chunk[l].to_bits() << 1);
                    }
                }
                let mut half = WIDTH / 2;
                while half > 0 {
                    for l in 0..half {
                        best[l] = if best[l + half] $beyond best[l] { best[l + half] } else { best[l] };
                        bits[l] = u32::max(bits[l], bits[l + half]);
                    }
                    half /= 2;
                }
                let (mut x, mut most) = (best[0], bits[0]);
                for y in rest {
                    x = if *y $beyond x { *y } else { x };
                    most = u32::max(most, y.to_bits() << 1);
                }
                (most <= f32::INFINITY.to_bits() << 1).then_some(x)
            }
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2")]
            unsafe fn avx512(all: &[f32], prefetches: bool) -> Option<f32> {
                $lanes(all, prefetches)
            }
            /// # Safety
            /// The machine has AVX2.
            #[target_feature(enable = "avx2")]
            unsafe fn avx2(all: &[f32], prefetches: bool) -> Option<f32> {
                $lanes(all, prefetches)
            }
            match isa() {
                // SAFETY: `isa` has found the features on this machine.
                Isa::Avx512 => unsafe { avx512(all, prefetches) },
                // SAFETY: `isa` has found AVX2 on this machine.
                Isa::Avx2 => unsafe { avx2(all, prefetches) },
                Isa::Portable | Isa::Neon => None,
            }
        }
    };
}

extreme!(largest, largest_in_lanes, >);
extreme!(smallest, smallest_in_lanes, <);
