//! Casts between dtypes on the CPU, as lists of loops. The result of a cast is rounded only once, even if the cast
//! consists of several loops.

use crate::base::dtype::{Compute, DType};
use crate::graph::ufunc::cast::{self, Conversion, conversion};
use crate::math::simd::threaded::{InstructionCodes, M4, N4};
use crate::math::simd::{Loops, ScalarFn};
use smallvec::SmallVec;

/// Converts an f64 to f32 by rounding to odd: rounds towards 0, and sets the last bit if the result is inexact.
/// Rounding this f32 to f16 or bf16 gives the same result as rounding the f64 directly, while rounding to nearest twice
/// could round a tie to the wrong side.
#[inline(always)]
fn odd(x: f64) -> f32 {
    let near = x as f32;
    let bits = near.to_bits();
    let exact = near as f64 == x || x.is_nan();
    let towards_zero = bits - ((near as f64).abs() > x.abs()) as u32;
    f32::from_bits(if exact { bits } else { towards_zero | 1 })
}

/// Converts an unsigned integer to f32 by rounding to odd (see [`odd`]). An integer of more than 48 bits is first
/// shortened so that f64 represents it exactly: one bit replaces its low 16 bits, and is set if any of them is set.
#[inline(always)]
fn odd_u64(x: u64) -> f32 {
    let high = (x >> 16) | (x & 0xffff != 0) as u64;
    odd(if x >> 48 == 0 { x as f64 } else { high as f64 * 65536.0 })
}

struct Odd;
impl ScalarFn<f64, f64, f64, f32> for Odd {
    #[inline(always)]
    fn call(x: f64, _: f64, _: f64) -> f32 {
        odd(x)
    }
}
impl ScalarFn<u64, u64, u64, f32> for Odd {
    #[inline(always)]
    fn call(x: u64, _: u64, _: u64) -> f32 {
        odd_u64(x)
    }
}
impl ScalarFn<i64, i64, i64, f32> for Odd {
    #[inline(always)]
    fn call(x: i64, _: i64, _: i64) -> f32 {
        let magnitude = odd_u64(x.unsigned_abs());
        if x < 0 { -magnitude } else { magnitude }
    }
}
impl ScalarFn<i32, i32, i32, f32> for Odd {
    #[inline(always)]
    fn call(x: i32, _: i32, _: i32) -> f32 {
        odd(x as f64)
    }
}
impl ScalarFn<u32, u32, u32, f32> for Odd {
    #[inline(always)]
    fn call(x: u32, _: u32, _: u32) -> f32 {
        odd(x as f64)
    }
}

struct Same;
macro_rules! same {
    ($($t:ty)*) => { $(
        impl ScalarFn<$t, $t, $t, $t> for Same {
            #[inline(always)]
            fn call(x: $t, _: $t, _: $t) -> $t {
                x
            }
        }
    )* };
}
same! { u8 u32 u64 }

/// Returns the loop that copies values of a compute type. A cast that changes no bit uses this loop if its result needs
/// a register of its own.
pub(super) fn copy(compute: Compute) -> Loops {
    match compute.size() {
        1 => Loops::unary::<u8, u8, u8, u8, Same>(),
        4 => Loops::unary::<u32, u32, u32, u32, Same>(),
        _ => Loops::unary::<u64, u64, u64, u64, Same>(),
    }
}

/// Returns the loops that convert values from dtype `from` to dtype `to`, in the order in which they run. Operand and
/// result are in the compute types of these dtypes. Returns an empty list if the cast changes no bit.
pub(super) fn cast(from: DType, to: DType) -> SmallVec<[Conversion; 2]> {
    let (cf, ct) = (from.compute(), to.compute());
    let mut chain = SmallVec::new();
    if from == to {
        return chain;
    }
    if to.is_half() && !from.is_float() && cf != Compute::Bool || to.is_half() && cf == Compute::F64 {
        chain.push(match cf {
            Compute::I32 => conversion!(@4 i32, f32, Odd),
            Compute::U32 => conversion!(@4 u32, f32, Odd),
            Compute::I64 => conversion!(i64, f32, Odd),
            Compute::U64 => conversion!(u64, f32, Odd),
            // only f64 gets here, because the condition above excludes f32 and bool
            Compute::F64 | Compute::F32 | Compute::Bool => conversion!(f64, f32, Odd),
        });
        chain.extend(cast::round(to));
    } else if from.is_float() && to.is_narrow_integer() {
        chain.extend(cast::saturate(cf, to));
    } else {
        chain.extend(cast::convert(cf, ct));
        if cf != Compute::Bool {
            chain.extend(cast::round(to));
        }
    }
    chain
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use half::bf16;

    crate::testing::unit_tests!(cpu_convert: one_rounding);

    fn one_rounding() {
        // rounded to f32 first, this number is halfway between two bf16 values, so rounding to nearest twice gives the
        // wrong value
        let x = (1i64 << 40) + (1 << 32) + 1;
        assert_eq!(bf16::from_f32(odd_u64(x as u64)).to_f64(), (1u64 << 40) as f64 * (1.0 + 1.0 / 128.0));
        assert_eq!(odd(1.0 + 2f64.powi(-40)), 1.0 + f32::EPSILON);
        assert_eq!(odd(-2.5), -2.5);
        assert_eq!(odd(1e300), f32::MAX);
        assert!(odd(f64::NAN).is_nan());
        assert_eq!(odd(f64::INFINITY), f32::INFINITY);
        assert_eq!(odd_u64(u64::MAX), f32::from_bits((2f32.powi(64)).to_bits() - 1));
    }
}
