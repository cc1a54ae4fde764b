//! Fused multiply-adds: `a · b + c`, rounded once.
//!
//! Processors have an instruction for this. WebAssembly has none, so `mul_add` calls a slow function there. A build
//! with `--cfg cupric_relaxed_simd` calls `cupric_f32x4_madd` and `cupric_f64x2_madd` instead. A tool
//! (`examples/web/serve`) replaces these calls in the finished module by an instruction of relaxed SIMD, an extension
//! of WebAssembly. LLVM 22 must not use this extension itself, because it would then compile minima and maxima to
//! instructions whose results depend on the engine.
//!
//! Some engines round the instruction's result twice. The CPU device then returns an error ([`rounds_once`]).

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

/// Returns `a · b + c` in each lane of f32, rounded once. A tool replaces calls of this function by an instruction, and
/// finds them by the function's name.
#[cfg(cupric_relaxed_simd)]
#[inline(never)]
#[unsafe(no_mangle)]
// these vectors are passed only by calls from Rust, so they need no C type
#[allow(improper_ctypes_definitions)]
pub(crate) extern "C" fn cupric_f32x4_madd(a: v128, b: v128, c: v128) -> v128 {
    macro_rules! lane {
        ($lane:literal) => {
            f32x4_extract_lane::<$lane>(a).mul_add(f32x4_extract_lane::<$lane>(b), f32x4_extract_lane::<$lane>(c))
        };
    }
    f32x4(lane!(0), lane!(1), lane!(2), lane!(3))
}

/// Returns `a · b + c` in each lane of f64, rounded once. A tool replaces calls of this function by an instruction, and
/// finds them by the function's name.
#[cfg(cupric_relaxed_simd)]
#[inline(never)]
#[unsafe(no_mangle)]
// these vectors are passed only by calls from Rust, so they need no C type
#[allow(improper_ctypes_definitions)]
pub(crate) extern "C" fn cupric_f64x2_madd(a: v128, b: v128, c: v128) -> v128 {
    macro_rules! lane {
        ($lane:literal) => {
            f64x2_extract_lane::<$lane>(a).mul_add(f64x2_extract_lane::<$lane>(b), f64x2_extract_lane::<$lane>(c))
        };
    }
    f64x2(lane!(0), lane!(1))
}

/// Returns whether [`Fused::fused`] rounds once. It rounds twice only if WebAssembly's relaxed SIMD is used and the
/// engine's instruction also rounds the product.
pub(crate) fn rounds_once() -> bool {
    if !cfg!(cupric_relaxed_simd) {
        return true;
    }
    // the square of 1 + ε is 1 + 2ε + ε², and rounding it loses ε². The compiler must not know the operands, because it
    // could otherwise compute the result itself
    let (single, double) = std::hint::black_box((f32::EPSILON, f64::EPSILON));
    let (a, b) = (1.0 + single, 1.0 + double);
    a.fused(a, -1.0 - 2.0 * single) == single * single && b.fused(b, -1.0 - 2.0 * double) == double * double
}
