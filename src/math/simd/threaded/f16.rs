//! Loops and instructions that convert f16 with instructions of the processor: F16C (with AVX2), AVX-512 and NEON. A
//! block that contains a NaN is converted by the scalar function, because the processor returns other bits for a NaN.
//! These conversions are functions of their own, so that the compiler inlines the rest.

use super::*;

/// Defines the loops and the instructions of one instruction set, whose own module is `$from`. A block has `$n` words
/// of f32 in eight vectors of type `$float`; `$half` is a vector of as many f16. `has_nan` returns whether a block of
/// f32 contains a NaN.
macro_rules! conversions {
    (
        $module:ident, $from:ident, $abi:literal, $features:literal, words $n:literal, $float:ty, $half:ty,
        |$wide:ident| $widen:expr, |$x:ident| $narrow:expr, |$p:ident, $q:ident| $plus:expr,
        |$block:ident| $has_nan:expr
    ) => {
        // vectors are not C types, but the calling convention passes them in registers
        #[allow(improper_ctypes_definitions)]
        pub(super) mod $module {
            use super::$from::{Function, V, announce, write};
            use super::*;
            use crate::math::simd::LANES;

            /// The number of words of a block.
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
            /// Adds two vectors of f32.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn plus($p: $float, $q: $float) -> $float {
                $plus
            }
            /// Returns whether a block of f32 contains a NaN.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn has_nan($block: &[$float; 8]) -> bool {
                $has_nan
            }

            /// Converts a block of f16 without a NaN to f32.
            ///
            /// # Safety
            /// `from` points to eight vectors. The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn widened(from: *const $half) -> [$float; 8] {
                // SAFETY: the caller ensures that the vectors exist.
                let converted = |i: usize| widen(unsafe { from.add(i).read_unaligned() });
                [
                    converted(0),
                    converted(1),
                    converted(2),
                    converted(3),
                    converted(4),
                    converted(5),
                    converted(6),
                    converted(7),
                ]
            }

            /// Converts a block of f16 (`S`) to f32, as `F` does.
            ///
            /// # Safety
            /// `from` points to `N` elements of `S`, which has 2 bytes; `R` has 4 bytes. The machine has the features
            /// that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn widen_block<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>(from: *const S) -> Acc {
                // SAFETY: the caller ensures that `from` points to a block of `S`. A block of `R` has as many bytes as
                // the accumulator.
                unsafe {
                    let x = widened(from.cast());
                    if !has_nan(&x) {
                        return std::mem::transmute::<[$float; 8], Acc>(x);
                    }
                    widen_each::<S, R, F>(from)
                }
            }

            /// Converts each f16 (`S`) of a block to f32 by `F`.
            ///
            /// # Safety
            /// `from` points to `N` elements of `S`; `R` has 4 bytes. The machine has the features that the attribute
            /// enables.
            #[cold]
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn widen_each<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>(from: *const S) -> Acc {
                // SAFETY: the caller ensures that `from` points to a block of `S`. A block of `R` has as many bytes as
                // the accumulator.
                unsafe {
                    let one = *from;
                    let mut out = [F::call(one, one, one); N];
                    for (i, out) in out.iter_mut().enumerate() {
                        let x = *from.add(i);
                        *out = F::call(x, x, x);
                    }
                    std::mem::transmute_copy::<[R; N], Acc>(&out)
                }
            }

            /// Converts a block of f32 (`A`) to f16 (`S`), as `F` does, and writes it to `to`. No result passes through
            /// the stack: a read of two vectors that were written one by one waits for the cache.
            ///
            /// # Safety
            /// `A` has 4 bytes and `S` has 2. `to` points to memory for eight vectors. The machine has the features
            /// that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn narrow_block<A: Copy, S: Copy, F: ScalarFn<A, A, A, S>>(acc: Acc, to: *mut $half) {
                // SAFETY: a block of `A` has as many bytes as the accumulator, because the caller ensures that `A` has
                // 4 bytes, and that there is memory for the result.
                unsafe {
                    let x = std::mem::transmute::<Acc, [$float; 8]>(acc);
                    if has_nan(&x) {
                        // a pointer to `x` itself would keep it in memory in the other case, too
                        let copy = x;
                        let each = narrow_each::<A, S, F>((&raw const copy).cast());
                        return to.cast::<[$half; 8]>().write_unaligned(each);
                    }
                    for i in 0..8 {
                        to.add(i).write_unaligned(narrow(x[i]));
                    }
                }
            }

            /// Converts each f32 (`A`) of a block to f16 (`S`) by `F`.
            ///
            /// # Safety
            /// `from` points to a block. `A` has 4 bytes and `S` has 2. The machine has the features that the attribute
            /// enables.
            #[cold]
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn narrow_each<A: Copy, S: Copy, F: ScalarFn<A, A, A, S>>(from: *const A) -> [$half; 8] {
                // SAFETY: the caller ensures that `from` points to a block. A block of `S` has as many bytes as the
                // result, because the caller ensures the size of `S`.
                unsafe {
                    let one = *from;
                    let mut out = [F::call(one, one, one); N];
                    for (i, out) in out.iter_mut().enumerate() {
                        let x = *from.add(i);
                        *out = F::call(x, x, x);
                    }
                    std::mem::transmute_copy::<[S; N], [$half; 8]>(&out)
                }
            }

            /// Rounds each f32 (`A`) of a block to f16, as `F` does. The result is f32 again.
            ///
            /// # Safety
            /// `A` has 4 bytes. The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn round_block<A: Copy, F: ScalarFn<A, A, A, A>>(acc: Acc) -> Acc {
                // SAFETY: a block of `A` has as many bytes as the accumulator, because the caller ensures that `A` has
                // 4 bytes.
                unsafe {
                    let x = std::mem::transmute::<Acc, [$float; 8]>(acc);
                    if !has_nan(&x) {
                        let rounded = |i: usize| widen(narrow(x[i]));
                        return std::mem::transmute::<[$float; 8], Acc>([
                            rounded(0),
                            rounded(1),
                            rounded(2),
                            rounded(3),
                            rounded(4),
                            rounded(5),
                            rounded(6),
                            rounded(7),
                        ]);
                    }
                    // a reference to `acc` itself would keep it in memory in the other case, too
                    round_each::<A, F>(&{ acc })
                }
            }

            /// Rounds each f32 (`A`) of a block to f16 by `F`.
            ///
            /// # Safety
            /// `A` has 4 bytes. The machine has the features that the attribute enables.
            #[cold]
            #[inline(never)]
            #[target_feature(enable = $features)]
            unsafe fn round_each<A: Copy, F: ScalarFn<A, A, A, A>>(acc: &Acc) -> Acc {
                // SAFETY: a block of `A` has as many bytes as the accumulator, because the caller ensures that `A` has
                // 4 bytes.
                unsafe {
                    let mut each = std::mem::transmute_copy::<Acc, [A; N]>(acc);
                    for x in &mut each {
                        *x = F::call(*x, *x, *x);
                    }
                    std::mem::transmute_copy::<[A; N], Acc>(&each)
                }
            }

            /// Converts f16 (`S`) to f32, as `F` does.
            ///
            /// # Safety
            /// The operand points to as many aligned elements as [`Loop`](crate::math::simd::Loop) requires, which no
            /// other thread writes meanwhile (its condition *operands*). `out` points to as many aligned elements,
            /// which nothing else uses (its condition *result*). `S` has 2 bytes and `R` has 4.
            #[target_feature(enable = $features)]
            pub unsafe fn widen_all<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>(
                n: usize,
                a: *const u8,
                _: *const u8,
                _: *const u8,
                out: *mut u8,
            ) {
                let (a, out, whole) = (a.cast::<S>(), out.cast::<R>(), n / N * N);
                // SAFETY: the caller ensures the sizes of the types, and that `a` and `out` point to `n` elements each.
                unsafe {
                    for i in (0..whole).step_by(N) {
                        let x = widened(a.add(i).cast());
                        if has_nan(&x) {
                            out.add(i).cast::<Acc>().write_unaligned(widen_each::<S, R, F>(a.add(i)));
                            continue;
                        }
                        let to = out.add(i).cast::<$float>();
                        for j in 0..8 {
                            to.add(j).write_unaligned(x[j]);
                        }
                    }
                    for i in whole..n {
                        let x = *a.add(i);
                        *out.add(i) = F::call(x, x, x);
                    }
                }
            }

            /// Converts f32 (`A`) to f16 (`S`), as `F` does.
            ///
            /// # Safety
            /// The operand points to as many aligned elements as [`Loop`](crate::math::simd::Loop) requires, which no
            /// other thread writes meanwhile (its condition *operands*). `out` points to as many aligned elements,
            /// which nothing else uses (its condition *result*). `A` has 4 bytes and `S` has 2.
            #[target_feature(enable = $features)]
            pub unsafe fn narrow_all<A: Copy, S: Copy, F: ScalarFn<A, A, A, S>>(
                n: usize,
                a: *const u8,
                _: *const u8,
                _: *const u8,
                out: *mut u8,
            ) {
                let (a, out, whole) = (a.cast::<A>(), out.cast::<S>(), n / N * N);
                // SAFETY: the caller ensures the sizes of the types, and that `a` and `out` point to `n` elements each.
                unsafe {
                    for i in (0..whole).step_by(N) {
                        let to = out.add(i).cast::<$half>();
                        let from = a.add(i).cast::<$float>();
                        let read = |j: usize| from.add(j).read_unaligned();
                        let x = [read(0), read(1), read(2), read(3), read(4), read(5), read(6), read(7)];
                        if has_nan(&x) {
                            to.cast::<[$half; 8]>().write_unaligned(narrow_each::<A, S, F>(a.add(i)));
                            continue;
                        }
                        for j in 0..8 {
                            to.add(j).write_unaligned(narrow(x[j]));
                        }
                    }
                    for i in whole..n {
                        let x = *a.add(i);
                        *out.add(i) = F::call(x, x, x);
                    }
                }
            }

            /// Rounds each f32 (`A`) to f16, as `F` does. The result is f32 again.
            ///
            /// # Safety
            /// The operand points to as many aligned elements as [`Loop`](crate::math::simd::Loop) requires, which no
            /// other thread writes meanwhile (its condition *operands*). `out` points to as many aligned elements,
            /// which nothing else uses (its condition *result*). `A` has 4 bytes.
            #[target_feature(enable = $features)]
            pub unsafe fn round_all<A: Copy, F: ScalarFn<A, A, A, A>>(
                n: usize,
                a: *const u8,
                _: *const u8,
                _: *const u8,
                out: *mut u8,
            ) {
                let (a, out, whole) = (a.cast::<A>(), out.cast::<A>(), n / N * N);
                // SAFETY: the caller ensures the size of the type, and that `a` and `out` point to `n` elements each.
                unsafe {
                    for i in (0..whole).step_by(N) {
                        let block = round_block::<A, F>(a.add(i).cast::<Acc>().read_unaligned());
                        out.add(i).cast::<Acc>().write_unaligned(block);
                    }
                    for i in whole..n {
                        let x = *a.add(i);
                        *out.add(i) = F::call(x, x, x);
                    }
                }
            }

            /// Sums f16 (`S`) in [`LANES`] lanes, as [`Loops::widened_sum`] does with `F`.
            ///
            /// # Safety
            /// `a` points to `n` elements, which no other thread writes meanwhile (*operands*, see
            /// [`Loop`](crate::math::simd::Loop)). `out` points to [`LANES`] f32, which nothing else uses (*result*).
            /// `n` is a multiple of [`LANES`] and not 0. `S` has 2 bytes and `R` is f32.
            #[target_feature(enable = $features)]
            pub unsafe fn sum_all<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>(
                n: usize,
                a: *const u8,
                b: *const u8,
                c: *const u8,
                out: *mut u8,
            ) {
                let mut found = false;
                // SAFETY: the caller ensures that `a` has `n / LANES` rows of `LANES` elements, which are whole blocks,
                // and that `out` has space for one row.
                unsafe {
                    for first in (0..LANES).step_by(N) {
                        let from = a.cast::<S>().add(first);
                        let row_at = |row: usize| from.add(row * LANES).cast::<$half>();
                        let mut lanes = widened(row_at(0));
                        for row in 1..n / LANES {
                            let x = widened(row_at(row));
                            for i in 0..8 {
                                lanes[i] = plus(lanes[i], x[i]);
                            }
                        }
                        // a sum with a NaN is a NaN
                        found |= has_nan(&lanes);
                        out.cast::<f32>().add(first).cast::<[$float; 8]>().write_unaligned(lanes);
                    }
                    if found {
                        sum_each::<S, R, F>(n, a, b, c, out);
                    }
                }
            }

            /// Sums f16 (`S`), which `F` converts one by one, in [`LANES`] lanes.
            ///
            /// # Safety
            /// The conditions are the same as those of `sum_all`.
            #[cold]
            #[inline(never)]
            unsafe fn sum_each<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>(
                n: usize,
                a: *const u8,
                b: *const u8,
                c: *const u8,
                out: *mut u8,
            ) {
                let Loops([sum, ..]) = const { Loops::widened_sum::<S, S, S, R, F>() };
                // SAFETY: the caller ensures the conditions of the loop. The first loop of the list runs on every
                // processor of the architecture.
                unsafe { sum(n, a, b, c, out) }
            }

            instruction! { $abi, $features,
                /// Reads f16 elements at any stride, and converts them to f32.
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
                    widen_block::<S, R, F>(from)
                }
            }

            instruction! { $abi, $features,
                /// Converts the accumulator's f32 to f16, and writes the f16 contiguously. The accumulator keeps the
                /// f32.
                store_f16<A, S, F;> where [A: Lane<u32>, S: Copy, F: ScalarFn<A, A, A, S>]
                |pc, bases, index, acc| {
                    let base = *bases.add((*pc).operands[0].base as usize);
                    if (*pc).streams {
                        let mut block = std::mem::MaybeUninit::<[$half; 8]>::uninit();
                        narrow_block::<A, S, F>(acc, block.as_mut_ptr().cast());
                        write(pc, bases, index, &block.assume_init());
                    } else {
                        let to = base.at.wrapping_offset(index as isize * base.step);
                        narrow_block::<A, S, F>(acc, to.cast());
                    }
                    acc
                }
            }

            instruction! { $abi, $features,
                /// Rounds each f32 of the accumulator to f16. The result is f32 again.
                round_f16<A, F;> where [A: Lane<u32>, F: ScalarFn<A, A, A, A>]
                |_pc, _bases, _index, acc| { round_block::<A, F>(acc) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
#[cfg(target_arch = "x86_64")]
conversions! {
    of_avx2, avx2, "sysv64", "avx2,f16c,fma,bmi1,bmi2,lzcnt,popcnt", words 64, __m256, __m128i,
    |x| _mm256_cvtph_ps(x),
    |x| _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x),
    |p, q| _mm256_add_ps(p, q),
    |block| {
        // compares two vectors at a time: two numbers are unordered if either is a NaN
        let pairs = block.as_chunks::<2>().0.iter().map(|[x, y]| _mm256_cmp_ps::<_CMP_UNORD_Q>(*x, *y));
        _mm256_movemask_ps(pairs.fold(_mm256_setzero_ps(), |found, pair| _mm256_or_ps(found, pair))) != 0
    }
}
#[cfg(target_arch = "x86_64")]
conversions! {
    of_avx512, avx512, "sysv64", "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt", words 128, __m512, __m256i,
    |x| _mm512_cvtph_ps(x),
    |x| _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x),
    |p, q| _mm512_add_ps(p, q),
    |block| block.iter().fold(0, |found, x| found | _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(*x, *x)) != 0
}
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "aarch64")]
conversions! {
    of_neon, neon, "C", "neon", words 32, float32x4_t, uint16x4_t,
    |x| vcvt_f32_f16(vreinterpret_f16_u16(x)),
    |x| vreinterpret_u16_f16(vcvt_f16_f32(x)),
    |p, q| vaddq_f32(p, q),
    |block| block.iter().fold(0, |found, x| found | !vminvq_u32(vceqq_f32(*x, *x))) != 0
}
