//! CPU loops for conversions between dtypes and compute types (the types in which kernels calculate; f16, for example,
//! computes in f32). `widen` converts from a stored type to its compute type, `narrow` converts back, and `convert`
//! converts between compute types. `round` and `saturate` compute a value of a narrow type, but leave it in the compute
//! type.

use crate::base::dtype::{Compute, DType};
use crate::math::simd::threaded::{Codes, InstructionCodes, M4, M8, N4, N8};
use crate::math::simd::{HalfFactor, Loop, Loops, RowLoops, ScalarFn};

/// A conversion: its loop, and its threaded-code instruction for words of 4 and of 8 bytes. A conversion between types
/// of different sizes has no instruction.
#[derive(Clone, Copy)]
pub(crate) struct Conversion {
    loops: Loops,
    threaded: [Option<InstructionCodes>; 2],
}

impl Conversion {
    pub const fn new(loops: Loops, threaded: [Option<InstructionCodes>; 2]) -> Conversion {
        Conversion { loops, threaded }
    }

    /// Returns the loop for the instruction set of this machine.
    pub fn get(&self) -> Loop {
        self.loops.get()
    }

    /// Returns the threaded-code instruction for words of 4 or 8 bytes.
    pub fn threaded(&self, word: usize) -> Option<InstructionCodes> {
        self.threaded[word / 8]
    }
}

/// The conversions that are determined by their source type and target type alone.
struct K;

macro_rules! casts {
    ($($from:ty => $to:ty: |$x:ident| $e:expr;)*) => { $(
        impl ScalarFn<$from, $from, $from, $to> for K {
            #[inline(always)]
            fn call($x: $from, _: $from, _: $from) -> $to { $e }
        }
    )* };
}

/// Converts f16 to f32 with bit operations and without branches, so that loops vectorise. The functions of the crate
/// `half` would test CPU features at each call. A NaN keeps its payload and becomes quiet, as in a processor's
/// conversion.
#[inline(always)]
fn f16_to_f32(h: u16) -> f32 {
    let magnitude = (h & 0x7fff) as u32;
    // the factor is 2^112, because the exponent biases differ by 127 − 15. The multiplication also normalises
    // subnormals
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000);
    let quiet = if magnitude > 0x7c00 { 1 << 22 } else { 0 };
    let special = f32::from_bits((magnitude << 13) | 0x7f80_0000 | quiet);
    let value = if magnitude >= 0x7c00 { special } else { scaled };
    f32::from_bits(value.to_bits() | ((h & 0x8000) as u32) << 16)
}

/// Converts f32 to f16, rounded to nearest (ties to even), without branches. A NaN is truncated and made quiet, as in a
/// processor's conversion.
#[inline(always)]
fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // f16 has 13 fewer significand bits, and its exponent bias is smaller by 112
    let normal = magnitude.wrapping_add(0xfff + ((magnitude >> 13) & 1)).wrapping_sub(112 << 23) >> 13;
    // below 2^-14, adding 0.5 rounds to multiples of 2^-24, the spacing of subnormal f16 numbers
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let finite = if magnitude < 0x3880_0000 { subnormal } else { normal };
    // from 65520 on (halfway between the largest f16 and 2^16), the result is ∞
    let limited = if magnitude >= 0x477f_f000 { 0x7c00 } else { finite };
    let value = if magnitude > 0x7f80_0000 { 0x7e00 | (magnitude >> 13 & 0x3ff) } else { limited };
    (value | (bits >> 16 & 0x8000)) as u16
}

#[inline(always)]
fn bf16_to_f32(b: u16) -> f32 {
    f32::from_bits((b as u32) << 16)
}

/// Converts f32 to bf16, rounded to nearest (ties to even), without branches. A NaN is truncated and made quiet.
#[inline(always)]
fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(mutant!(bf16_ties_away, 0x8000, 0x7fff + ((bits >> 16) & 1))) >> 16;
    let value = if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) | 0x40 } else { rounded };
    value as u16
}

/// An f16 in memory. It is a separate type, so that `K` can distinguish it from u16 and bf16.
#[derive(Clone, Copy)]
struct H(u16);
/// A bf16 in memory.
#[derive(Clone, Copy)]
struct B(u16);
/// A bool in memory. Any byte except 0 is true.
#[derive(Clone, Copy)]
struct T(u8);

casts! {
    // widen: from a stored type to its compute type
    T => u8: |x| (x.0 != 0) as u8;
    u8 => u32: |x| x as u32;
    i8 => i32: |x| x as i32;
    u16 => u32: |x| x as u32;
    i16 => i32: |x| x as i32;
    H => f32: |x| f16_to_f32(x.0);
    B => f32: |x| bf16_to_f32(x.0);
    // narrow: from a compute type to a stored type
    u32 => u8: |x| x as u8;
    i32 => i8: |x| x as i8;
    u32 => u16: |x| x as u16;
    i32 => i16: |x| x as i16;
    f32 => H: |x| H(f32_to_f16(x));
    f32 => B: |x| B(f32_to_bf16(x));
    // copies between equal types
    u8 => u8: |x| x;
    u32 => u32: |x| x;
    u64 => u64: |x| x;
    // between compute types, like Rust's `as`
    i32 => f32: |x| x as f32;
    i32 => i64: |x| x as i64;
    i32 => f64: |x| x as f64;
    u32 => f32: |x| x as f32;
    u32 => u64: |x| x as u64;
    u32 => f64: |x| x as f64;
    i64 => u32: |x| x as u32;
    i64 => f32: |x| x as f32;
    i64 => f64: |x| x as f64;
    u64 => f32: |x| x as f32;
    u64 => f64: |x| x as f64;
    f32 => i32: |x| x as i32;
    f32 => u32: |x| x as u32;
    f32 => i64: |x| x as i64;
    f32 => u64: |x| x as u64;
    f32 => f64: |x| x as f64;
    f64 => i32: |x| x as i32;
    f64 => u32: |x| x as u32;
    f64 => i64: |x| x as i64;
    f64 => u64: |x| x as u64;
    f64 => f32: |x| x as f32;
}

/// The conversions from a number to bool (any number except 0 is true) and from bool to 0 or 1.
struct Truth;
macro_rules! truth {
    ($($t:ty)*) => { $(
        impl ScalarFn<$t, $t, $t, u8> for Truth {
            #[inline(always)]
            fn call(x: $t, _: $t, _: $t) -> u8 { (x != (0 as $t)) as u8 }
        }
        impl ScalarFn<u8, u8, u8, $t> for Truth {
            #[inline(always)]
            fn call(x: u8, _: u8, _: u8) -> $t { x as $t }
        }
    )* };
}
truth! { i32 u32 i64 u64 f32 f64 }

/// Rounds a compute value to the element type with the discriminant `D` in `DType` and leaves it in the compute type,
/// as a store followed by a load would. Integers wrap.
struct ToNarrow<const D: u8>;
macro_rules! round {
    ($($t:ty, $d:ident: |$x:ident| $e:expr;)*) => { $(
        impl ScalarFn<$t, $t, $t, $t> for ToNarrow<{ DType::$d as u8 }> {
            #[inline(always)]
            fn call($x: $t, _: $t, _: $t) -> $t { $e }
        }
    )* };
}
round! {
    i32, I8: |x| x as i8 as i32;
    i32, I16: |x| x as i16 as i32;
    u32, U8: |x| x as u8 as u32;
    u32, U16: |x| x as u16 as u32;
    f32, F16: |x| f16_to_f32(f32_to_f16(x));
    f32, BF16: |x| bf16_to_f32(f32_to_bf16(x));
}

/// Converts a float to the narrow integer type with the discriminant `D` in `DType`, with saturation, and leaves the
/// result in the compute type.
struct Saturate<const D: u8>;
macro_rules! saturate {
    ($($f:ty { $($d:ident $n:ty, $c:ty;)* })*) => { $( $(
        impl ScalarFn<$f, $f, $f, $c> for Saturate<{ DType::$d as u8 }> {
            #[inline(always)]
            fn call(x: $f, _: $f, _: $f) -> $c { (x as $n) as $c }
        }
    )* )* };
}
saturate! {
    f32 { I8 i8, i32; I16 i16, i32; U8 u8, u32; U16 u16, u32; }
    f64 { I8 i8, i32; I16 i16, i32; U8 u8, u32; U16 u16, u32; }
}

/// Makes a conversion. `@4` and `@8` before the types name the word sizes for which it has threaded-code instructions.
/// The conversion is evaluated at compile time, because otherwise the compiler would also generate code for the
/// instructions that the conversion does not have.
macro_rules! unary {
    ($(@$word:tt)* $from:ty, $to:ty) => {
        unary!($(@$word)* $from, $to, K)
    };
    ($from:ty, $to:ty, $k:ty) => {
        const { Conversion::new(Loops::unary::<$from, $from, $from, $to, $k>(), [None; 2]) }
    };
    (@4 $from:ty, $to:ty, $k:ty) => {
        const {
            let threaded = InstructionCodes::of::<u32, N4, M4, $from, $from, $from, $to, $k>(1, false);
            Conversion::new(Loops::unary::<$from, $from, $from, $to, $k>(), [Some(threaded), None])
        }
    };
    (@8 $from:ty, $to:ty, $k:ty) => {
        const {
            let threaded = InstructionCodes::of::<u64, N8, M8, $from, $from, $from, $to, $k>(1, false);
            Conversion::new(Loops::unary::<$from, $from, $from, $to, $k>(), [None, Some(threaded)])
        }
    };
}
pub(crate) use unary as conversion;

/// Returns the loop from stored elements of `dtype` to its compute type, or `None` if both have the same bits.
pub(crate) fn widen(dtype: DType) -> Option<Conversion> {
    Some(match dtype {
        DType::Bool => unary!(T, u8),
        DType::U8 => unary!(u8, u32),
        DType::I8 => unary!(i8, i32),
        DType::U16 => unary!(u16, u32),
        DType::I16 => unary!(i16, i32),
        DType::F16 => const { Conversion::new(Loops::widen_f16::<H, f32, K>(), [None; 2]) },
        DType::BF16 => unary!(B, f32),
        DType::U32 | DType::I32 | DType::U64 | DType::I64 | DType::F32 | DType::F64 => return None,
    })
}

/// Returns the loop from the compute type to stored elements of `dtype`, or `None` if both have the same bits.
pub(crate) fn narrow(dtype: DType) -> Option<Conversion> {
    Some(match dtype {
        DType::U8 => unary!(u32, u8),
        DType::I8 => unary!(i32, i8),
        DType::U16 => unary!(u32, u16),
        DType::I16 => unary!(i32, i16),
        DType::F16 => const { Conversion::new(Loops::narrow_f16::<f32, H, K>(), [None; 2]) },
        DType::BF16 => unary!(f32, B),
        DType::Bool | DType::U32 | DType::I32 | DType::U64 | DType::I64 | DType::F32 | DType::F64 => return None,
    })
}

impl HalfFactor for H {
    const IS_F16: bool = true;
    #[inline(always)]
    fn widen(self) -> f32 {
        f16_to_f32(self.0)
    }
}

impl HalfFactor for B {
    const IS_F16: bool = false;
    #[inline(always)]
    fn widen(self) -> f32 {
        bf16_to_f32(self.0)
    }
}

/// Returns the loops that sum the products of stored elements of `dtype` and of f32: of whole rows
/// ([`Loops::product_rows_of_halves`]) and of a block. Returns `None` for other dtypes than f16 and bf16.
pub(crate) fn half_products(dtype: DType) -> Option<[Loop; 2]> {
    let [rows, block] = match dtype {
        DType::F16 => const { [Loops::product_rows_of_halves::<H>(), Loops::product_block_of_halves::<H>()] },
        DType::BF16 => const { [Loops::product_rows_of_halves::<B>(), Loops::product_block_of_halves::<B>()] },
        DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::U32 | DType::I32 => return None,
        DType::U64 | DType::I64 | DType::F32 | DType::F64 => return None,
    };
    Some([rows.get(), block.get()])
}

/// Returns the loops of a function of f32 by rows.
pub(super) const fn by_row<F: ScalarFn<f32, f32, f32, f32>>() -> RowLoops {
    RowLoops {
        plain: Loops::by_row::<f32, f32, f32, f32, F>(),
        of_f16: Some(Loops::by_row_of_f16::<H, K, F>()),
        to_f16: Some(Loops::by_row_to_f16::<H, K, F>()),
    }
}

/// Returns the loop that sums stored elements of `dtype` in lanes ([`Loops::widened_sum`]), or `None` if they are not
/// widened to f32.
pub(crate) fn widened_sum(dtype: DType) -> Option<Loop> {
    match dtype {
        DType::F16 => Some(const { Loops::sum_f16::<H, f32, K>() }.get()),
        DType::BF16 => Some(const { Loops::widened_sum::<B, B, B, f32, K>() }.get()),
        DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::U32 | DType::I32 => None,
        DType::U64 | DType::I64 | DType::F32 | DType::F64 => None,
    }
}

/// Returns the loop that rounds compute values to `dtype` and leaves them in the compute type, or `None` if rounding
/// changes nothing.
pub(crate) fn round(dtype: DType) -> Option<Conversion> {
    macro_rules! to {
        ($t:ty, $d:ident) => {
            unary!(@4 $t, $t, ToNarrow<{ DType::$d as u8 }>)
        };
    }
    Some(match dtype {
        DType::I8 => to!(i32, I8),
        DType::I16 => to!(i32, I16),
        DType::U8 => to!(u32, U8),
        DType::U16 => to!(u32, U16),
        DType::F16 => {
            const {
                type Round = ToNarrow<{ DType::F16 as u8 }>;
                let threaded =
                    InstructionCodes { first: Codes::round_f16(), second: None, products: None, paired: None };
                Conversion::new(Loops::round_f16::<f32, Round>(), [Some(threaded), None])
            }
        }
        DType::BF16 => to!(f32, BF16),
        DType::Bool | DType::U32 | DType::I32 | DType::U64 | DType::I64 | DType::F32 | DType::F64 => return None,
    })
}

/// Returns the loop from one compute type to another, or `None` if the bits stay the same. The loop converts as Rust's
/// `as` does. A conversion to bool tests whether the number is not 0.
pub(crate) fn convert(from: Compute, to: Compute) -> Option<Conversion> {
    use Compute::*;
    Some(match (from, to) {
        (a, b) if a == b => return None,
        (I32, U32) | (U32, I32) | (I64, U64) | (U64, I64) => return None,
        (Bool, I32) => unary!(@4 u8, i32, Truth),
        (Bool, U32) => unary!(@4 u8, u32, Truth),
        (Bool, I64) => unary!(@8 u8, i64, Truth),
        (Bool, U64) => unary!(@8 u8, u64, Truth),
        (Bool, F32) => unary!(@4 u8, f32, Truth),
        (Bool, F64) => unary!(@8 u8, f64, Truth),
        (I32, Bool) => unary!(@4 i32, u8, Truth),
        (U32, Bool) => unary!(@4 u32, u8, Truth),
        (I64, Bool) => unary!(@8 i64, u8, Truth),
        (U64, Bool) => unary!(@8 u64, u8, Truth),
        (F32, Bool) => unary!(@4 f32, u8, Truth),
        (F64, Bool) => unary!(@8 f64, u8, Truth),
        (I32, F32) => unary!(@4 i32, f32),
        (I32, I64 | U64) => unary!(i32, i64),
        (I32, F64) => unary!(i32, f64),
        (U32, F32) => unary!(@4 u32, f32),
        (U32, I64 | U64) => unary!(u32, u64),
        (U32, F64) => unary!(u32, f64),
        (I64 | U64, I32 | U32) => unary!(i64, u32),
        (I64, F32) => unary!(i64, f32),
        (I64, F64) => unary!(@8 i64, f64),
        (U64, F32) => unary!(u64, f32),
        (U64, F64) => unary!(@8 u64, f64),
        (F32, I32) => unary!(@4 f32, i32),
        (F32, U32) => unary!(@4 f32, u32),
        (F32, I64) => unary!(f32, i64),
        (F32, U64) => unary!(f32, u64),
        (F32, F64) => unary!(f32, f64),
        (F64, I32) => unary!(f64, i32),
        (F64, U32) => unary!(f64, u32),
        (F64, I64) => unary!(@8 f64, i64),
        (F64, U64) => unary!(@8 f64, u64),
        (F64, F32) => unary!(f64, f32),
        // unreachable, because all pairs of different types are listed. The compiler requires this arm, because it does
        // not count the first arm, which has a guard
        _ => return None,
    })
}

/// Returns the loop from a float compute type to an 8- or 16-bit integer type, with saturation, or `None` for other
/// types.
pub(crate) fn saturate(from: Compute, to: DType) -> Option<Conversion> {
    macro_rules! to {
        ($d:ident, $c:ty) => {
            match from {
                Compute::F32 => unary!(@4 f32, $c, Saturate<{ DType::$d as u8 }>),
                Compute::F64 => unary!(f64, $c, Saturate<{ DType::$d as u8 }>),
                Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 => return None,
            }
        };
    }
    Some(match to {
        DType::I8 => to!(I8, i32),
        DType::I16 => to!(I16, i32),
        DType::U8 => to!(U8, u32),
        DType::U16 => to!(U16, u32),
        DType::Bool | DType::U32 | DType::I32 | DType::U64 | DType::I64 => return None,
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => return None,
    })
}

/// Returns the threaded-code instruction that reads stored elements of `dtype` at any stride into words of 4 or 8 bytes
/// of their compute type, or `None` if the elements do not fit the words.
pub(crate) fn load_each(dtype: DType, word: usize) -> Option<Codes> {
    macro_rules! load {
        ($s:ty, $r:ty) => {
            Codes::load_each::<u32, N4, M4, $s, $r, K>()
        };
        (8: $s:ty, $r:ty) => {
            Codes::load_each::<u64, N8, M8, $s, $r, K>()
        };
    }
    match (dtype, word) {
        (DType::Bool, 4) => load!(T, u8),
        (DType::U8, 4) => load!(u8, u32),
        (DType::I8, 4) => load!(i8, i32),
        (DType::U16, 4) => load!(u16, u32),
        (DType::I16, 4) => load!(i16, i32),
        (DType::F16, 4) => Codes::load_f16(),
        (DType::BF16, 4) => load!(B, f32),
        (DType::U32 | DType::I32 | DType::F32, 4) => load!(u32, u32),
        (DType::Bool, _) => load!(8: T, u8),
        (DType::U64 | DType::I64 | DType::F64, 8) => load!(8: u64, u64),
        _ => None,
    }
}

/// Returns the threaded-code instruction that stores words of 4 or 8 bytes as consecutive elements of `dtype`, or
/// `None` if the words have another compute type.
pub(crate) fn store_each(dtype: DType, word: usize) -> Option<Codes> {
    macro_rules! store {
        ($a:ty, $s:ty) => {
            Codes::store_each::<u32, N4, M4, $a, $s, K>()
        };
    }
    match (dtype, word) {
        (DType::Bool | DType::U8 | DType::I8, 4) => store!(u32, u8),
        (DType::U16 | DType::I16, 4) => store!(u32, u16),
        (DType::F16, 4) => Codes::store_f16(),
        (DType::BF16, 4) => store!(f32, B),
        (DType::U32 | DType::I32 | DType::F32, 4) | (DType::U64 | DType::I64 | DType::F64, 8) => Codes::store(),
        (DType::Bool, 8) => Codes::store_each::<u64, N8, M8, u8, u8, K>(),
        _ => None,
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use half::{bf16, f16};

    crate::testing::unit_tests!(ufunc_cast: halves_agree_with_the_half_crate);

    fn halves_agree_with_the_half_crate() {
        for b in 0..=u16::MAX {
            let (h, g) = (f16::from_bits(b), bf16::from_bits(b));
            assert!(f16_to_f32(b).to_bits() == h.to_f32().to_bits() || h.is_nan());
            assert!(f32_to_f16(h.to_f32()) == b || h.is_nan());
            assert!(f32_to_bf16(g.to_f32()) == b || g.is_nan());
        }
        let mut bits = 1u32;
        for _ in 0..2_000_000 {
            bits = bits.wrapping_mul(1664525).wrapping_add(1013904223);
            let x = f32::from_bits(bits);
            if x.is_nan() {
                assert!(f16::from_bits(f32_to_f16(x)).is_nan() && bf16::from_bits(f32_to_bf16(x)).is_nan());
            } else {
                assert_eq!(f32_to_f16(x), f16::from_f32(x).to_bits(), "{x:e}");
                assert_eq!(f32_to_bf16(x), bf16::from_f32(x).to_bits(), "{x:e}");
            }
        }
    }
}
