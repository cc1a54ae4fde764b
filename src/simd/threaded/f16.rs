//! Instructions that read and write f16 by the processor's conversions, those of AVX-512 and of NEON. A block with a NaN takes the
//! scalar function, which gives a NaN other bits than the processor does; for every other number both give the same. AVX2 alone
//! does not promise a conversion.

use super::*;

/// Writes both instructions of one instruction set, in whose module `$from` they are: a block of `$n` words is eight vectors of type
/// `$float`, and `$half` is the f16 of one of them. `has_nan` says whether there is a NaN in a block of f32.
macro_rules! conversions {
    (
        $module:ident, $from:ident, $abi:literal, $features:literal, words $n:literal, $float:ty, $half:ty,
        |$wide:ident| $widen:expr, |$x:ident| $narrow:expr, |$block:ident| $has_nan:expr
    ) => {
        // vectors are no types of C, but the convention has registers for them
        #[allow(improper_ctypes_definitions)]
        pub(super) mod $module {
            use super::$from::{Function, V, announce, write};
            use super::*;

            /// Words of a block.
            const N: usize = $n;

            type Acc = [V; 8];

            /// Converts a vector of f16 to f32.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn widen($wide: $half) -> $float {
                $widen
            }
            /// Converts a vector of f32 to f16, rounded to nearest (ties to even).
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn narrow($x: $float) -> $half {
                $narrow
            }
            /// Says whether a block of f32 has a NaN.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn has_nan($block: &[$float; 8]) -> bool {
                $has_nan
            }

            instruction! { $abi, $features,
                /// Reads f16, at any step.
                load_f16<S, R, F;> where [S: Copy, R: Lane<u32>, F: ScalarFn<S, S, S, R>]
                |pc, bases, index, _acc| {
                    let operand = (*pc).operands[0];
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step).cast::<S>().cast_const();
                    let mut each = std::mem::MaybeUninit::<[S; N]>::uninit();
                    let mut from = at;
                    if base.step == size_of::<S>() as isize {
                        if operand.ahead != 0 {
                            announce(at.cast::<u8>().wrapping_add(operand.ahead as usize), N * size_of::<S>());
                        }
                    } else {
                        for i in 0..N {
                            each.as_mut_ptr().cast::<S>().add(i).write(*at.byte_offset(i as isize * base.step));
                        }
                        from = each.as_ptr().cast();
                    }
                    let converted = |i: usize| widen(from.cast::<$half>().add(i).read_unaligned());
                    let x: [$float; 8] = [
                        converted(0), converted(1), converted(2), converted(3),
                        converted(4), converted(5), converted(6), converted(7),
                    ];
                    if has_nan(&x) {
                        let mut out = [0u32; N];
                        for (i, out) in out.iter_mut().enumerate() {
                            let x = *from.add(i);
                            *out = F::call(x, x, x).word();
                        }
                        std::mem::transmute::<[u32; N], Acc>(out)
                    } else {
                        std::mem::transmute::<[$float; 8], Acc>(x)
                    }
                }
            }

            instruction! { $abi, $features,
                /// Writes f16, each after the other; the words stay in the accumulator.
                store_f16<A, S, F;> where [A: Lane<u32>, S: Copy, F: ScalarFn<A, A, A, S>]
                |pc, bases, index, acc| {
                    let x = std::mem::transmute::<Acc, [$float; 8]>(acc);
                    if has_nan(&x) {
                        let words = std::mem::transmute::<Acc, [u32; N]>(acc);
                        let one = A::of(words[0]);
                        let mut out = [F::call(one, one, one); N];
                        for i in 0..N {
                            let x = A::of(words[i]);
                            out[i] = F::call(x, x, x);
                        }
                        write(pc, bases, index, &out);
                    } else {
                        let out: [$half; 8] = [
                            narrow(x[0]), narrow(x[1]), narrow(x[2]), narrow(x[3]),
                            narrow(x[4]), narrow(x[5]), narrow(x[6]), narrow(x[7]),
                        ];
                        write(pc, bases, index, &out);
                    }
                    acc
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
conversions! {
    of_avx512, avx512, "sysv64", "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt", words 128, __m512, __m256i,
    |x| _mm512_cvtph_ps(x),
    |x| _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x),
    |block| block.iter().fold(0, |found, x| found | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(*x, *x)) != 0
}
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "aarch64")]
conversions! {
    of_neon, neon, "C", "neon", words 32, float32x4_t, uint16x4_t,
    |x| vcvt_f32_f16(vreinterpret_f16_u16(x)),
    |x| vreinterpret_u16_f16(vcvt_f16_f32(x)),
    |block| block.iter().fold(0, |found, x| found | !vminvq_u32(vceqq_f32(*x, *x))) != 0
}
