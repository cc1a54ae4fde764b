//! Threaded code: a program whose values stay in registers. Each instruction is a function that receives eight vectors
//! by value, computes with them, and calls the function of the next instruction in tail position, which a release build
//! compiles to a single jump. Unlike loops over arrays, threaded code neither stores nor loads intermediate values.
//!
//! The eight vectors are the *accumulator*: one value for each element of a *block* of contiguous elements, each value
//! in a *word* of 4 or 8 bytes. A bool is a word of 0 or 1. The calling conventions `sysv64` (x86-64) and `C` (aarch64)
//! pass exactly eight vectors in registers. An instruction applies a function, compiled to vector code, to each word.
//!
//! The tail call is an optimisation, not a guarantee. Without it, each instruction takes a stack frame of some KiB
//! until the last one returns. So a program is cut into runs of at most [`LONGEST`] instructions. Without optimisation,
//! kernels of this length were measured to need less than 512 KiB, a quarter of a thread's stack.

mod codes;
mod lane;

use super::{Isa, Loops, ScalarFn, isa};
pub(crate) use codes::{Codes, InstructionCodes};
pub(crate) use lane::Lane;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use {super::philox, super::row_source::announce, lane::apply, lane::read};

/// The number of 4-byte words in a block: `N4` with NEON (vectors of 16 bytes) or AVX2 (32), `M4` with AVX-512 (64).
pub(crate) const N4: usize = if cfg!(target_arch = "aarch64") { 32 } else { 64 };
pub(crate) const M4: usize = 128;
/// The number of 8-byte words in a block: `N8` with NEON or AVX2, `M8` with AVX-512.
pub(crate) const N8: usize = N4 / 2;
pub(crate) const M8: usize = M4 / 2;

/// The maximum number of instructions of a run, the part of a program that may occupy the stack at once.
pub(crate) const LONGEST: usize = 64;

/// How many bytes ahead of a load memory is prefetched, because the hardware prefetcher loses the stream across
/// indirect jumps. Of 2, 4, 8 and 16 KiB, 8 KiB was measured to be the fastest.
pub(crate) const AHEAD: u32 = 8192;

/// The address of an instruction's function, whose true type depends on the instruction set that it is compiled for.
#[cfg(target_arch = "x86_64")]
type Address = unsafe extern "sysv64" fn();
#[cfg(not(target_arch = "x86_64"))]
type Address = unsafe extern "C" fn();

/// The location of an operand in memory: element 0, and the number of bytes from each element to the next. For random
/// numbers ([`Draw`]), `at` is instead the number of element 0, and `step` is the difference between numbers.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Base {
    pub at: *mut u8,
    /// The number of bytes between elements. It is 0 for scratch memory, which holds one block.
    pub step: isize,
}

/// An operand of an instruction.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct InstructionOperand {
    /// The index of the operand's [`Base`] in the bases of the program.
    pub base: u32,
    /// The number of bytes from one of the operand's eight vectors to the next; 0 if all eight are the same vector.
    pub width: u32,
    /// How many bytes ahead memory is prefetched. It is 0 for scratch memory.
    pub ahead: u32,
}

/// The random words that an instruction computes. Element i has the number `first + i · step`.
pub(crate) struct Draw {
    first: u32,
    step: isize,
    /// Selects one of the random words that belong to a number, as the field `word` of `Op::Philox` does.
    word: u8,
    key: [u32; 3],
}

impl Draw {
    /// Returns the operand that encodes a draw. `numbers` is the index of the base of the elements' numbers. `key` is
    /// the index of the first of three bases, which each point to one word of the key.
    pub fn operand(numbers: u32, word: u8, key: u32) -> InstructionOperand {
        InstructionOperand { base: numbers, width: word as u32, ahead: key }
    }

    /// # Safety
    /// The operand encodes a draw, and its bases are in `bases`.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    unsafe fn of(bases: *const Base, operand: InstructionOperand, index: usize) -> Draw {
        // SAFETY: the caller ensures that the operand's bases exist, and that each base of the key points to a word.
        unsafe {
            let Base { at, step } = *bases.add(operand.base as usize);
            let first = (at.addr() as isize).wrapping_add((index as isize).wrapping_mul(step)) as u32;
            let key = [0, 1, 2].map(|n| (*bases.add(operand.ahead as usize + n)).at.cast::<u32>().read());
            Draw { first, step, word: operand.width as u8, key }
        }
    }

    /// Returns whether the elements' numbers are 2k, 2k + 1, 2k + 2, …: then each two neighbours form a pair.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[inline(always)]
    fn is_of_pairs(&self) -> bool {
        self.step == 1 && self.first & 1 == 0
    }
}

/// An instruction. Its function reads one operand from the accumulator (the first or, for [`InstructionCodes::second`],
/// the second) and the other operands from memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Instr {
    pub run: Code,
    pub operands: [InstructionOperand; 2],
    /// If the instruction is a store, whether it bypasses the caches.
    pub streams: bool,
}

/// The function of an instruction on this machine.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Code(Address);

/// Returns the size of a block (eight vectors) in bytes, or `None` if this machine has no threaded code.
pub(crate) fn block_bytes() -> Option<usize> {
    match isa() {
        Isa::Portable => None,
        Isa::Neon | Isa::Avx2 => Some(4 * N4),
        Isa::Avx512 => Some(4 * M4),
    }
}

/// Runs a program over whole blocks, whose first elements are `from`, `from + block`, … below `to`. For each block it
/// runs each of the `runs`, which are given by the index of their first instruction.
///
/// # Safety
/// The instructions come from [`Codes::get`], and each run ends in [`Codes::end`]. *Bases* (SAFETY comments cite this
/// name): for each block, each base that an operand names has memory for the words or elements that the instruction
/// reads or writes. No other thread writes this memory meanwhile, or even reads it if the instruction is a store. The
/// memory is aligned for its elements. Scratch is written before it is read.
pub(crate) unsafe fn run(code: &[Instr], runs: &[u32], bases: &[Base], from: usize, to: usize, block: usize) {
    let _ = (code, runs, bases, from, to, block);
    // SAFETY: the caller ensures the conditions of `run`. `isa` has found that the machine has the instruction set.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    unsafe {
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::run(code, runs, bases, from, to, block),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512::run(code, runs, bases, from, to, block),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => neon::run(code, runs, bases, from, to, block),
            _ => {}
        }
    }
}

/// Defines the function of an instruction in the module of an instruction set. The body computes the new accumulator
/// from the old one; then the function of the next instruction is called.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instruction {
    (
        $abi:literal, $features:literal, $(#[$doc:meta])* $name:ident <$($g:ident),*; $($n:ident),*> where [$($bound:tt)*]
        |$pc:ident, $bases:ident, $index:ident, $acc:ident| $body:block
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// `pc` points to an instruction, and the bases at `bases` have memory for the block at `index` (*bases* of
        /// `run`).
        #[target_feature(enable = $features)]
        pub unsafe extern $abi fn $name<$($g,)* $(const $n: usize),*>(
            $pc: *const Instr, $bases: *const Base, $index: usize,
            v0: V, v1: V, v2: V, v3: V, v4: V, v5: V, v6: V, v7: V,
        ) where $($bound)* {
            let $acc: Acc = [v0, v1, v2, v3, v4, v5, v6, v7];
            // SAFETY: the operands have memory for the block (*bases* of `run`). A run ends in `end`, so `next` exists.
            unsafe {
                let [v0, v1, v2, v3, v4, v5, v6, v7]: Acc = $body;
                let next = $pc.add(1);
                let function: Function = std::mem::transmute::<Address, Function>((*next).run.0);
                function(next, $bases, $index, v0, v1, v2, v3, v4, v5, v6, v7)
            }
        }
    };
}

/// Defines the instructions of one instruction set, whose vectors have the type `$v`. `$stream` writes a vector
/// bypassing the caches, and `$blocks` returns random words.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($module:ident, $abi:literal, $features:literal, $v:ty, $stream:path, $blocks:path) => {
        // vectors are not C types, but the convention has registers for them, and both sides of calls are compiled here
        #[allow(improper_ctypes_definitions)]
        pub(super) mod $module {
            use super::*;

            pub type V = $v;
            type Acc = [V; 8];
            pub type Function = unsafe extern $abi fn(*const Instr, *const Base, usize, V, V, V, V, V, V, V, V);

            /// Runs a program over whole blocks.
            ///
            /// # Safety
            /// The bases have memory for each block (*bases* of [`super::run`]). The machine has the features that the
            /// attribute enables.
            #[target_feature(enable = $features)]
            pub unsafe fn run(code: &[Instr], runs: &[u32], bases: &[Base], from: usize, to: usize, block: usize) {
                // SAFETY: the caller ensures what the instructions require. Zeros are a valid vector of any type.
                unsafe {
                    let zero: V = std::mem::zeroed();
                    let mut index = from;
                    while index < to {
                        for start in runs {
                            let pc = code.as_ptr().add(*start as usize);
                            let function: Function = std::mem::transmute::<Address, Function>((*pc).run.0);
                            function(pc, bases.as_ptr(), index, zero, zero, zero, zero, zero, zero, zero, zero);
                        }
                        index += block;
                    }
                }
            }

            /// Ends a run of instructions.
            ///
            /// # Safety
            /// None: it does nothing.
            #[target_feature(enable = $features)]
            pub unsafe extern $abi fn end(
                _: *const Instr,
                _: *const Base,
                _: usize,
                _: V,
                _: V,
                _: V,
                _: V,
                _: V,
                _: V,
                _: V,
                _: V,
            ) {
            }

            /// Returns the block of words of an operand, and prefetches the words that a later block needs.
            ///
            /// # Safety
            /// The operand has memory for the block at `index` (*bases* of [`super::run`]).
            #[inline(always)]
            unsafe fn words<W, const N: usize>(bases: *const Base, operand: InstructionOperand, index: usize) -> [W; N] {
                // SAFETY: the operand has memory for eight vectors (*bases* of `run`), or for one if its width is 0.
                unsafe {
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step);
                    if operand.ahead != 0 {
                        announce(at.wrapping_add(operand.ahead as usize), size_of::<Acc>());
                    }
                    let mut block: Acc = [at.cast::<V>().read_unaligned(); 8];
                    // a loop, because the compiler did not inline a closure in each build
                    for i in 1..block.len() {
                        block[i] = at.add(i * operand.width as usize).cast::<V>().read_unaligned();
                    }
                    std::mem::transmute_copy::<Acc, [W; N]>(&block)
                }
            }

            /// Writes a block to memory, bypassing the caches if the instruction streams and the address allows it.
            ///
            /// # Safety
            /// Operand 0 has memory for the bytes of `block` (*bases* of [`super::run`]), which are whole vectors.
            #[inline(always)]
            pub unsafe fn write<T>(pc: *const Instr, bases: *const Base, index: usize, block: &T) {
                // SAFETY: the caller ensures that there is memory for `block`. A streamed store is aligned.
                unsafe {
                    let base = *bases.add((*pc).operands[0].base as usize);
                    let to = base.at.wrapping_offset(index as isize * base.step);
                    let from = (&raw const *block).cast::<V>();
                    let streams = (*pc).streams && base.step != 0 && (to as usize).is_multiple_of(size_of::<V>());
                    for i in 0..size_of::<T>() / size_of::<V>() {
                        let vector = from.add(i).read_unaligned();
                        let to = to.cast::<V>().add(i);
                        match streams {
                            true => $stream(to, vector),
                            false => to.write_unaligned(vector),
                        }
                    }
                }
            }

            instruction! { $abi, $features,
                /// Applies a function whose first operand is the accumulator. Up to two other operands are in memory.
                first<W, A, B, C, R, F; N, ARITY> where [
                    W: Copy, A: Lane<W>, B: Lane<W>, C: Lane<W>, R: Lane<W>, F: ScalarFn<A, B, C, R>
                ]
                |pc, bases, index, acc| {
                    let x: [W; N] = std::mem::transmute_copy(&acc);
                    let y = if ARITY > 1 { words(bases, (*pc).operands[0], index) } else { x };
                    let z = if ARITY > 2 { words(bases, (*pc).operands[1], index) } else { x };
                    std::mem::transmute_copy(&apply::<W, N, A, B, C, R, F>(&x, &y, &z))
                }
            }
            instruction! { $abi, $features,
                /// Applies a function to random words, once for each pair, because both words of a pair are equal.
                paired<A, R, F;> where [A: Lane<u32>, R: Lane<u32>, F: ScalarFn<A, A, A, R>]
                |pc, bases, index, acc| {
                    const LOWER: u64 = u32::MAX as u64;
                    const HALF: usize = size_of::<Acc>() / 16;
                    if Draw::of(bases, (*pc).operands[0], index).is_of_pairs() {
                        // takes the lower words of one half of the pairs and the upper words of the other half, so that
                        // no word has to move
                        let mut pairs: [u64; 2 * HALF] = std::mem::transmute_copy(&acc);
                        let mut each = [0u64; HALF];
                        for i in 0..HALF {
                            each[i] = pairs[i] & LOWER | pairs[i + HALF] & !LOWER;
                        }
                        let words: [u32; 2 * HALF] = std::mem::transmute_copy(&each);
                        let words = apply::<u32, { 2 * HALF }, A, A, A, R, F>(&words, &words, &words);
                        let each: [u64; HALF] = std::mem::transmute_copy(&words);
                        for i in 0..HALF {
                            pairs[i] = each[i] & LOWER | each[i] << 32;
                            pairs[i + HALF] = each[i] >> 32 | each[i] & !LOWER;
                        }
                        std::mem::transmute_copy(&pairs)
                    } else {
                        let words: [u32; 4 * HALF] = std::mem::transmute_copy(&acc);
                        std::mem::transmute_copy(&apply::<u32, { 4 * HALF }, A, A, A, R, F>(&words, &words, &words))
                    }
                }
            }
            instruction! { $abi, $features,
                /// Applies a function whose first operand is in memory and whose second operand is the accumulator.
                second<W, A, B, C, R, F; N> where [
                    W: Copy, A: Lane<W>, B: Lane<W>, C: Lane<W>, R: Lane<W>, F: ScalarFn<A, B, C, R>
                ]
                |pc, bases, index, acc| {
                    let y: [W; N] = std::mem::transmute_copy(&acc);
                    let x = words(bases, (*pc).operands[0], index);
                    std::mem::transmute_copy(&apply::<W, N, A, B, C, R, F>(&x, &y, &y))
                }
            }
            /// Returns the random words of the numbers `first`, `first + step`, …. Each word needs a random block of
            /// its own.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline(never)]
            unsafe fn each(first: u32, step: isize, word: u8, key: [u32; 3]) -> Acc {
                let mut out = [0u32; size_of::<Acc>() / 4];
                for i in 0..out.len() {
                    out[i] = philox::word(word, first.wrapping_add((i as u32).wrapping_mul(step as u32)), key);
                }
                // SAFETY: the array has as many words as the vectors.
                unsafe { std::mem::transmute::<[u32; size_of::<Acc>() / 4], Acc>(out) }
            }

            /// Returns the random words of consecutive numbers from `first` on.
            ///
            /// # Safety
            /// The machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            #[inline(never)]
            unsafe fn across(first: u32, word: u8, key: [u32; 3]) -> Acc {
                // SAFETY: the machine has the features; the words that are read are within `both`.
                unsafe {
                    let number = (first >> 2).wrapping_add((size_of::<Acc>() / 16) as u32);
                    let both: [Acc; 2] = [$blocks(first >> 2, word, key), $blocks(number, word, key)];
                    (&raw const both).cast::<u32>().add((first & 3) as usize).cast::<Acc>().read_unaligned()
                }
            }

            instruction! { $abi, $features,
                /// Computes a random word for each element, which the field `word` of the draw, modulo 4, selects.
                random<;> where []
                |pc, bases, index, _acc| {
                    let draw = Draw::of(bases, (*pc).operands[0], index);
                    match draw.step {
                        1 if draw.first & 3 == 0 => $blocks(draw.first >> 2, draw.word & 3, draw.key),
                        1 => across(draw.first, draw.word & 3, draw.key),
                        step => each(draw.first, step, draw.word & 3, draw.key),
                    }
                }
            }
            instruction! { $abi, $features,
                /// Computes the random words for pairs of normal numbers (`Op::Philox`) from random words.
                pairs<; ODD> where []
                |pc, bases, index, acc| {
                    let draw = Draw::of(bases, (*pc).operands[0], index);
                    if draw.is_of_pairs() {
                        let mut words: [u64; size_of::<Acc>() / 8] = std::mem::transmute_copy(&acc);
                        for w in &mut words {
                            let (even, odd) = (*w & u32::MAX as u64, *w >> 32);
                            *w = if ODD == 0 { even | *w << 32 } else { (odd | odd << 32).wrapping_add(1 << 62) };
                        }
                        std::mem::transmute_copy(&words)
                    } else {
                        each(draw.first, draw.step, draw.word, draw.key)
                    }
                }
            }
            instruction! { $abi, $features,
                /// Reads words of 4 or 8 bytes into the accumulator.
                load<;> where []
                |pc, bases, index, _acc| {
                    std::mem::transmute_copy(&words::<u32, { size_of::<Acc>() / 4 }>(bases, (*pc).operands[0], index))
                }
            }
            instruction! { $abi, $features,
                /// Reads elements of type `S` at any stride, and converts them to words by the function `F`.
                load_each<W, S, R, F; N> where [W: Copy + Default, S: Copy, R: Lane<W>, F: ScalarFn<S, S, S, R>]
                |pc, bases, index, _acc| {
                    let (operand, size) = ((*pc).operands[0], size_of::<S>() as isize);
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step).cast::<S>().cast_const();
                    let words: [W; N] = match base.step {
                        step if step == size => {
                            if operand.ahead != 0 {
                                announce(at.cast::<u8>().wrapping_add(operand.ahead as usize), N * size_of::<S>());
                            }
                            read::<W, N, S, R, F>(at, size)
                        }
                        // the compiler reads whole vectors if the step is a constant
                        step if step == 2 * size => read::<W, N, S, R, F>(at, 2 * size),
                        step if step == -size => read::<W, N, S, R, F>(at, -size),
                        step => {
                            let mut each = [*at; N];
                            for i in 0..N {
                                each[i] = *at.byte_offset(i as isize * step);
                            }
                            read::<W, N, S, R, F>(each.as_ptr(), size)
                        }
                    };
                    std::mem::transmute_copy(&words)
                }
            }
            instruction! { $abi, $features,
                /// Writes the words of the accumulator to memory. The accumulator keeps the words.
                store<;> where []
                |pc, bases, index, acc| {
                    write(pc, bases, index, &acc);
                    acc
                }
            }
            instruction! { $abi, $features,
                /// Converts the accumulator's words to another type and writes them. The accumulator keeps the words.
                store_each<W, A, S, F; N> where [W: Copy, A: Lane<W>, S: Copy, F: ScalarFn<A, A, A, S>]
                |pc, bases, index, acc| {
                    let x: [W; N] = std::mem::transmute_copy(&acc);
                    let one = A::of(x[0]);
                    let mut out = [F::call(one, one, one); N];
                    for i in 0..N {
                        let x = A::of(x[i]);
                        out[i] = F::call(x, x, x);
                    }
                    write(pc, bases, index, &out);
                    acc
                }
            }
        }
    };
}
/// Returns the words of consecutive random blocks in eight vectors, which have 4·[`N4`] bytes together.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn vectors<V: Copy>(first: u32, number: u8, key: [u32; 3]) -> [V; 8] {
    const { assert!(size_of::<[V; 8]>() == 4 * N4) };
    let blocks = philox::blocks::<{ N4 / 4 }>(first, number, key);
    // SAFETY: `blocks` and the result have the same number of bytes, and any bytes are a valid vector.
    unsafe { std::mem::transmute_copy(&blocks) }
}

/// Returns the words of consecutive random blocks in eight vectors of AVX-512.
///
/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
unsafe fn vectors_avx512(first: u32, number: u8, key: [u32; 3]) -> [__m512i; 8] {
    let [a, b, c, d] = philox::blocks_avx512(first, number, key);
    let [e, f, g, h] = philox::blocks_avx512(first.wrapping_add(16), number, key);
    [a, b, c, d, e, f, g, h]
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256i, __m512i, _mm256_stream_si256, _mm512_stream_si512};
#[cfg(target_arch = "x86_64")]
instructions!(avx2, "sysv64", "avx2,fma,bmi1,bmi2,lzcnt,popcnt", __m256i, _mm256_stream_si256, vectors);
#[cfg(target_arch = "x86_64")]
instructions!(
    avx512,
    "sysv64",
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt",
    __m512i,
    _mm512_stream_si512,
    vectors_avx512
);
#[cfg(target_arch = "aarch64")]
use std::{arch::aarch64::uint32x4_t, ptr::write_unaligned};
// aarch64 cores detect writes of whole cache lines and keep them out of their caches, so stores are plain
#[cfg(target_arch = "aarch64")]
instructions!(neon, "C", "neon", uint32x4_t, write_unaligned, vectors);
// this module must come after the macro that it uses
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod f16;
