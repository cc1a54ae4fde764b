//! Fused multiply-adds: `a · b + c`, rounded once.
//!
//! Processors have an instruction for them, and WebAssembly does not: there `mul_add` calls a function, which is
//! slow. The extension relaxed SIMD has an instruction, which each engine may round once or twice. But in a
//! module with this target feature LLVM 22 also selects minima and maxima by instructions whose result for NaN and zeros
//! is the engine's choice. So a build with `--cfg cupric_relaxed_simd` calls two functions, and a tool replaces these calls
//! in the finished module by the instruction (`examples/web/serve`). Then the CPU returns an error if the engine rounds
//! twice ([`rounds_once`]).

#[cfg(cupric_relaxed_simd)]
use std::arch::wasm32::*;

/// A float that scalar functions compute with.
pub(crate) trait Fused: Sized {
    /// Returns `self · b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;
}

macro_rules! fused {
    ($t:ty, $madd:ident, $splat:ident, $extract:ident) => {
        impl Fused for $t {
            #[inline(always)]
            fn fused(self, b: $t, c: $t) -> $t {
                #[cfg(cupric_relaxed_simd)]
                return $extract::<0>($madd($splat(self), $splat(b), $splat(c)));
                #[cfg(not(cupric_relaxed_simd))]
                self.mul_add(b, c)
            }
        }
    };
}
fused!(f32, cupric_f32x4_madd, f32x4_splat, f32x4_extract_lane);
fused!(f64, cupric_f64x2_madd, f64x2_splat, f64x2_extract_lane);

/// Returns `a · b + c` in each lane of f32, rounded once. The tool finds this function by its name.
#[cfg(cupric_relaxed_simd)]
#[inline(never)]
#[unsafe(no_mangle)]
// only a call from Rust, or the instruction in its place, passes these vectors
#[allow(improper_ctypes_definitions)]
pub(crate) extern "C" fn cupric_f32x4_madd(a: v128, b: v128, c: v128) -> v128 {
    macro_rules! lane {
        ($lane:literal) => {
            f32x4_extract_lane::<$lane>(a).mul_add(f32x4_extract_lane::<$lane>(b), f32x4_extract_lane::<$lane>(c))
        };
    }
    f32x4(lane!(0), lane!(1), lane!(2), lane!(3))
}

/// Returns `a · b + c` in each lane of f64, rounded once. The tool finds this function by its name.
#[cfg(cupric_relaxed_simd)]
#[inline(never)]
#[unsafe(no_mangle)]
// only a call from Rust, or the instruction in its place, passes these vectors
#[allow(improper_ctypes_definitions)]
pub(crate) extern "C" fn cupric_f64x2_madd(a: v128, b: v128, c: v128) -> v128 {
    macro_rules! lane {
        ($lane:literal) => {
            f64x2_extract_lane::<$lane>(a).mul_add(f64x2_extract_lane::<$lane>(b), f64x2_extract_lane::<$lane>(c))
        };
    }
    f64x2(lane!(0), lane!(1))
}

/// Returns whether [`Fused::fused`] rounds once. It does, except in an engine that rounds the products of relaxed SIMD.
pub(crate) fn rounds_once() -> bool {
    if !cfg!(cupric_relaxed_simd) {
        return true;
    }
    // the square of 1 + ε is 1 + 2ε + ε², of which a rounded product loses the last term; the compiler must not know
    // the operands, or it could compute the sum itself
    let (single, double) = std::hint::black_box((f32::EPSILON, f64::EPSILON));
    let (a, b) = (1.0 + single, 1.0 + double);
    a.fused(a, -1.0 - 2.0 * single) == single * single && b.fused(b, -1.0 - 2.0 * double) == double * double
}
