//! Loops and instructions that convert f16 with instructions of the processor: F16C (with AVX2), AVX-512 and NEON.
//! Their results have the same bits as those of the scalar functions, NaNs included.

use super::*;

/// Defines the loops and the instructions of one instruction set, whose own module is `$from`. A block has `$n` words
/// of f32 in eight vectors of type `$float`; `$half` is a vector of as many f16.
macro_rules! conversions {
    (
        $module:ident, $from:ident, $abi:literal, $features:literal, words $n:literal, $float:ty, $half:ty,
        |$wide:ident| $widen:expr, |$x:ident| $narrow:expr, |$p:ident, $q:ident| $plus:expr
    ) => {
        // vectors are not C types, but the calling convention passes them in registers
        #[allow(improper_ctypes_definitions)]
        pub(super) mod $module {
            use super::$from::{Function, V, write};
            use super::*;
            use crate::math::simd::LANES;

            /// The number of words of a block, and of a vector.
            const N: usize = $n;
            const W: usize = N / 8;

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
            /// Converts a block of f16 to f32.
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

            /// Converts a block of f32 to f16, and writes it to `to`. No result passes through the stack: a read of two
            /// vectors that were written one by one waits for the cache.
            ///
            /// # Safety
            /// `to` points to memory for eight vectors. The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            unsafe fn narrow_block(x: [$float; 8], to: *mut $half) {
                for i in 0..8 {
                    // SAFETY: the caller ensures that there is memory for the result.
                    unsafe { to.add(i).write_unaligned(narrow(x[i])) };
                }
            }

            /// Rounds a block of f32 to f16. The result is f32 again.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline]
            fn round_block(x: [$float; 8]) -> [$float; 8] {
                let rounded = |i: usize| widen(narrow(x[i]));
                [rounded(0), rounded(1), rounded(2), rounded(3), rounded(4), rounded(5), rounded(6), rounded(7)]
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
                let (a, out, mut i) = (a.cast::<S>(), out.cast::<R>(), 0);
                // SAFETY: the caller ensures the sizes of the types, and that `a` and `out` point to `n` elements each.
                unsafe {
                    while i + N <= n {
                        let (x, to) = (widened(a.add(i).cast()), out.add(i).cast::<$float>());
                        for j in 0..8 {
                            to.add(j).write_unaligned(x[j]);
                        }
                        i += N;
                    }
                    while i + W <= n {
                        let x = widen(a.add(i).cast::<$half>().read_unaligned());
                        out.add(i).cast::<$float>().write_unaligned(x);
                        i += W;
                    }
                    for i in i..n {
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
                let (a, out, mut i) = (a.cast::<A>(), out.cast::<S>(), 0);
                // SAFETY: the caller ensures the sizes of the types, and that `a` and `out` point to `n` elements each.
                unsafe {
                    while i + N <= n {
                        narrow_block(a.add(i).cast::<[$float; 8]>().read_unaligned(), out.add(i).cast());
                        i += N;
                    }
                    while i + W <= n {
                        let x = narrow(a.add(i).cast::<$float>().read_unaligned());
                        out.add(i).cast::<$half>().write_unaligned(x);
                        i += W;
                    }
                    for i in i..n {
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
                        let block = round_block(a.add(i).cast::<[$float; 8]>().read_unaligned());
                        out.add(i).cast::<[$float; 8]>().write_unaligned(block);
                    }
                    for i in whole..n {
                        let x = *a.add(i);
                        *out.add(i) = F::call(x, x, x);
                    }
                }
            }

            /// Applies `F` to rows of f16; see [`Loops::by_row_of_f16`].
            ///
            /// # Safety
            /// The conditions are those of [`Loops::by_row`].
            #[target_feature(enable = $features)]
            pub unsafe fn rows_of_f16<F: ScalarFn<f32, f32, f32, f32>>(
                n: usize,
                a: *const u8,
                b: *const u8,
                rows: *const u8,
                out: *mut u8,
            ) {
                // SAFETY: the caller ensures that `a` and `out` point to `rows × n` elements, and `b` to one for each
                // row. `padded` has a vector.
                unsafe {
                    for row in 0..*rows.cast::<usize>() {
                        let (a, out) = (a.cast::<u16>().add(row * n), out.cast::<f32>().add(row * n));
                        let by = *b.cast::<f32>().add(row);
                        let vector = |from: *const u16| {
                            let mut x =
                                std::mem::transmute::<$float, [f32; W]>(widen(from.cast::<$half>().read_unaligned()));
                            for x in &mut x {
                                *x = F::call(*x, by, by);
                            }
                            x
                        };
                        if n < W {
                            let mut padded = [0; W];
                            std::ptr::copy_nonoverlapping(a, padded.as_mut_ptr(), n);
                            std::ptr::copy_nonoverlapping(vector(padded.as_ptr()).as_ptr(), out, n);
                            continue;
                        }
                        for i in (0..n).step_by(W) {
                            // the last vector computes some elements of the one before it again
                            let i = i.min(n - W);
                            out.add(i).cast::<[f32; W]>().write(vector(a.add(i)));
                        }
                    }
                }
            }

            /// Applies `F` to rows, and converts the results to f16; see [`Loops::by_row_to_f16`].
            ///
            /// # Safety
            /// The conditions are those of [`Loops::by_row`].
            #[target_feature(enable = $features)]
            pub unsafe fn rows_to_f16<F: ScalarFn<f32, f32, f32, f32>>(
                n: usize,
                a: *const u8,
                b: *const u8,
                rows: *const u8,
                out: *mut u8,
            ) {
                // SAFETY: the caller ensures that `a` and `out` point to `rows × n` elements, and `b` to one for each
                // row. `padded` has a vector.
                unsafe {
                    for row in 0..*rows.cast::<usize>() {
                        let (a, out) = (a.cast::<f32>().add(row * n), out.cast::<u16>().add(row * n));
                        let by = *b.cast::<f32>().add(row);
                        let vector = |from: *const f32| {
                            let mut x = from.cast::<[f32; W]>().read();
                            for x in &mut x {
                                *x = F::call(*x, by, by);
                            }
                            narrow(std::mem::transmute::<[f32; W], $float>(x))
                        };
                        if n < W {
                            let mut padded = [0.0; W];
                            std::ptr::copy_nonoverlapping(a, padded.as_mut_ptr(), n);
                            let x = vector(padded.as_ptr());
                            std::ptr::copy_nonoverlapping((&raw const x).cast(), out, n);
                            continue;
                        }
                        for i in (0..n).step_by(W) {
                            // the last vector computes some elements of the one before it again
                            let i = i.min(n - W);
                            out.add(i).cast::<$half>().write_unaligned(vector(a.add(i)));
                        }
                    }
                }
            }

            /// Sums f16 (`S`) in [`LANES`] lanes, as [`Loops::widened_sum`] does.
            ///
            /// # Safety
            /// `a` points to `n` elements, which no other thread writes meanwhile (*operands*, see
            /// [`Loop`](crate::math::simd::Loop)). `out` points to [`LANES`] f32, which nothing else uses (*result*).
            /// `n` is a multiple of [`LANES`] and not 0. `S` has 2 bytes.
            #[target_feature(enable = $features)]
            pub unsafe fn sum_all<S: Copy>(n: usize, a: *const u8, _: *const u8, _: *const u8, out: *mut u8) {
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
                        out.cast::<f32>().add(first).cast::<[$float; 8]>().write_unaligned(lanes);
                    }
                }
            }

            instruction! { $abi, $features,
                /// Reads f16 elements at any stride, and converts them to f32.
                load_f16<;> where []
                |pc, bases, index, _acc| {
                    let operand = (*pc).operands[0];
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step).cast::<u16>().cast_const();
                    let mut each = std::mem::MaybeUninit::<[u16; N]>::uninit();
                    let mut from = at;
                    if base.step == size_of::<u16>() as isize {
                        if operand.ahead != 0 {
                            announce(at.cast::<u8>().wrapping_add(operand.ahead as usize), N * size_of::<u16>());
                        }
                    } else {
                        for i in 0..N {
                            each.as_mut_ptr().cast::<u16>().add(i).write(*at.byte_offset(i as isize * base.step));
                        }
                        from = each.as_ptr().cast();
                    }
                    std::mem::transmute::<[$float; 8], Acc>(widened(from.cast()))
                }
            }

            instruction! { $abi, $features,
                /// Converts the accumulator's f32 to f16, and writes the f16 contiguously. The accumulator keeps the
                /// f32.
                store_f16<;> where []
                |pc, bases, index, acc| {
                    let base = *bases.add((*pc).operands[0].base as usize);
                    let x = std::mem::transmute::<Acc, [$float; 8]>(acc);
                    if (*pc).streams {
                        let mut block = std::mem::MaybeUninit::<[$half; 8]>::uninit();
                        narrow_block(x, block.as_mut_ptr().cast());
                        write(pc, bases, index, &block.assume_init());
                    } else {
                        let to = base.at.wrapping_offset(index as isize * base.step);
                        narrow_block(x, to.cast());
                    }
                    acc
                }
            }

            instruction! { $abi, $features,
                /// Rounds each f32 of the accumulator to f16. The result is f32 again.
                round_f16<;> where []
                |_pc, _bases, _index, acc| {
                    let x = std::mem::transmute::<Acc, [$float; 8]>(acc);
                    std::mem::transmute::<[$float; 8], Acc>(round_block(x))
                }
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
    |p, q| _mm256_add_ps(p, q)
}
#[cfg(target_arch = "x86_64")]
conversions! {
    of_avx512, avx512, "sysv64", "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt", words 128, __m512, __m256i,
    |x| _mm512_cvtph_ps(x),
    |x| _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x),
    |p, q| _mm512_add_ps(p, q)
}
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "aarch64")]
conversions! {
    of_neon, neon, "C", "neon", words 32, float32x4_t, uint16x4_t,
    |x| vcvt_f32_f16(vreinterpret_f16_u16(x)),
    |x| vreinterpret_u16_f16(vcvt_f16_f32(x)),
    |p, q| vaddq_f32(p, q)
}
