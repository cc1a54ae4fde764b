//! Instructions that read and write f16 by the conversions of AVX-512. A block with a NaN takes the scalar function, which gives
//! a NaN other bits than the processor does; for every other number both give the same. AVX2 alone does not promise a conversion.

use super::avx512::{Function, announce, write};
use super::*;
use std::arch::x86_64::*;

/// Words of a block.
const N: usize = 128;

type V = __m512i;
type Acc = [V; 8];

/// Says whether a block of f32 has a NaN.
///
/// # Safety
/// The machine has AVX-512.
#[target_feature(enable = "avx512f")]
#[inline]
fn has_nan(x: &[__m512; 8]) -> bool {
    x.iter().fold(0, |found, x| found | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(*x, *x)) != 0
}

instruction! { "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt",
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
        let converted = |i: usize| _mm512_cvtph_ps(from.cast::<__m256i>().add(i).read_unaligned());
        let x: [__m512; 8] = [
            converted(0), converted(1), converted(2), converted(3), converted(4), converted(5), converted(6), converted(7),
        ];
        if has_nan(&x) {
            let mut out = [0u32; N];
            for (i, out) in out.iter_mut().enumerate() {
                let x = *from.add(i);
                *out = F::call(x, x, x).word();
            }
            std::mem::transmute::<[u32; N], Acc>(out)
        } else {
            std::mem::transmute::<[__m512; 8], Acc>(x)
        }
    }
}

instruction! { "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt",
    /// Writes f16, each after the other; the words stay in the accumulator.
    store_f16<A, S, F;> where [A: Lane<u32>, S: Copy, F: ScalarFn<A, A, A, S>]
    |pc, bases, index, acc| {
        let x = std::mem::transmute::<Acc, [__m512; 8]>(acc);
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
            let converted = |i: usize| _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x[i]);
            let out: [__m256i; 8] = [
                converted(0), converted(1), converted(2), converted(3), converted(4), converted(5), converted(6), converted(7),
            ];
            write(pc, bases, index, &out);
        }
        acc
    }
}
