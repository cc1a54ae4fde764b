//! Threaded code: a program whose values stay in registers. Each instruction is a function that takes eight vectors by value,
//! does its work on them, and calls the function of the next instruction in tail position, which a release build turns into
//! one jump. A tile's loop pays a load and a store in L1 for every operation; here only the operands in memory are loaded.
//!
//! The eight vectors are the *accumulator*: one value of a *block* of neighbouring elements, each in a *word* of 4 or 8 bytes.
//! A bool is a word of 0 or 1. The calling convention `sysv64` passes just so many vectors in registers. An instruction's
//! function is a row's scalar function applied word by word, which LLVM turns into plain vector code.
//!
//! The tail call is an optimisation, not a guarantee: without it, each instruction of a run takes a stack frame of some KiB
//! until the run ends. So whoever makes a program cuts it into runs of at most [`LONGEST`] instructions: built without optimisation,
//! kernels of that length were measured to need less than 512 KiB, a quarter of the stack that a thread has.

mod lane;

use super::{Isa, ScalarFn, isa};
pub(crate) use lane::Lane;
#[cfg(target_arch = "x86_64")]
use lane::apply;

/// The most instructions of one run.
pub(crate) const LONGEST: usize = 64;

/// Bytes ahead of a load that it asks the caches for: over indirect jumps the hardware's prefetcher loses the stream. Of 2, 4, 8
/// and 16 KiB, 8 were measured to be the fastest.
pub(crate) const AHEAD: u32 = 8192;

/// The address of an instruction's function, whose true type depends on the instruction set that it is compiled for.
#[cfg(target_arch = "x86_64")]
type Address = unsafe extern "sysv64" fn();
#[cfg(not(target_arch = "x86_64"))]
type Address = unsafe extern "C" fn();

/// Where an operand lies in memory: element 0, and the bytes from each element to the next.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Base {
    pub at: *mut u8,
    /// 0 for scratch that holds one block.
    pub step: isize,
}

/// An operand of an instruction.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Operand {
    /// The number of its [`Base`].
    pub base: u32,
    /// Bytes from one of the block's eight vectors to the next; 0 where one vector, of equal words, stands for all.
    pub width: u32,
    /// Bytes ahead of which the caches are asked for; 0 for scratch.
    pub ahead: u32,
}

/// An instruction. Its function reads the accumulator as the first operand (or the second: [`Threaded::second`]), and the
/// others from memory.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Instr {
    pub run: Code,
    pub operands: [Operand; 2],
    /// Of a store: whether it writes past the caches.
    pub streams: bool,
}

/// The function of an instruction on this machine.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Code(Address);

/// The functions of one instruction, for AVX2 and for AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Codes([Address; 2]);

impl Codes {
    /// Returns the function for this machine; none where it has no threaded code.
    pub fn get(&self) -> Option<Code> {
        match isa() {
            Isa::Portable => None,
            Isa::Avx2 => Some(Code(self.0[0])),
            Isa::Avx512 => Some(Code(self.0[1])),
        }
    }
}

/// The functions of an instruction `$name`, with these types and, for each instruction set, these numbers.
#[cfg(target_arch = "x86_64")]
macro_rules! codes {
    ($name:ident) => {
        Some(Codes([
            std::mem::transmute::<avx2::Function, Address>(avx2::$name),
            std::mem::transmute::<avx512::Function, Address>(avx512::$name),
        ]))
    };
    ($name:ident <$($t:ty),*> $($n:expr, $m:expr);*) => {
        Some(Codes([
            std::mem::transmute::<avx2::Function, Address>(avx2::$name::<$($t,)* $($n),*>),
            std::mem::transmute::<avx512::Function, Address>(avx512::$name::<$($t,)* $($m),*>),
        ]))
    };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! codes {
    ($($any:tt)*) => {
        None
    };
}

/// Makes the functions that are compiled for one type or several. `N` and `M` are the words of a block of AVX2 and of AVX-512.
// SAFETY: the functions are only called as what they are, through the type `Function` of their instruction set.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Codes {
    /// Ends a run.
    pub const fn end() -> Option<Codes> {
        unsafe { codes!(end) }
    }

    /// Reads words.
    pub const fn load() -> Option<Codes> {
        unsafe { codes!(load) }
    }

    /// Writes words.
    pub const fn store() -> Option<Codes> {
        unsafe { codes!(store) }
    }

    /// Reads elements of `S`, at any step, and converts them by `F`.
    pub const fn load_each<W, const N: usize, const M: usize, S, R, F>() -> Option<Codes>
    where
        W: Copy + Default,
        S: Copy,
        R: Lane<W>,
        F: ScalarFn<S, S, S, R>,
    {
        unsafe { codes!(load_each < W, S, R, F > N, M) }
    }

    /// Reads f16 (`S`), at any step, as words of f32, by `F` or by the processor's conversion.
    pub const fn load_f16<S: Copy, R: Lane<u32>, F: ScalarFn<S, S, S, R>>() -> Option<Codes> {
        #[cfg(target_arch = "x86_64")]
        return unsafe {
            Some(Codes([
                std::mem::transmute::<avx2::Function, Address>(avx2::load_each::<u32, S, R, F, 64>),
                std::mem::transmute::<avx512::Function, Address>(f16::load_f16::<S, R, F>),
            ]))
        };
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }

    /// Writes words of f32 as f16 (`S`), by `F` or by the processor's conversion.
    pub const fn store_f16<A: Lane<u32>, S: Copy, F: ScalarFn<A, A, A, S>>() -> Option<Codes> {
        #[cfg(target_arch = "x86_64")]
        return unsafe {
            Some(Codes([
                std::mem::transmute::<avx2::Function, Address>(avx2::store_each::<u32, A, S, F, 64>),
                std::mem::transmute::<avx512::Function, Address>(f16::store_f16::<A, S, F>),
            ]))
        };
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }

    /// Converts words by `F` and writes elements of `S`.
    pub const fn store_each<W, const N: usize, const M: usize, A, S, F>() -> Option<Codes>
    where
        W: Copy,
        A: Lane<W>,
        S: Copy,
        F: ScalarFn<A, A, A, S>,
    {
        unsafe { codes!(store_each < W, A, S, F > N, M) }
    }
}

/// The instructions of a function of one operand or more, for words of one size.
#[derive(Clone, Copy)]
pub(crate) struct Threaded {
    /// Takes the first operand from the accumulator.
    pub first: Option<Codes>,
    /// Takes the second operand of two from the accumulator.
    pub second: Option<Codes>,
}

impl Threaded {
    /// Makes the instructions of `F`, whose operands have the type `name`, as the `rule` of a row says (`ufunc/define.rs`).
    pub const fn by<W, const N: usize, const M: usize, A, B, C, R, F>(
        rule: &str,
        name: &str,
        arity: usize,
    ) -> Option<Threaded>
    where
        W: Copy,
        A: Lane<W>,
        B: Lane<W>,
        C: Lane<W>,
        R: Lane<W>,
        F: ScalarFn<A, B, C, R>,
    {
        match (rule.as_bytes(), name.as_bytes()) {
            (b"both", _) => Some(Threaded::of::<W, N, M, A, B, C, R, F>(arity, true)),
            (b"all", _) | (b"f32", b"f32") => Some(Threaded::of::<W, N, M, A, B, C, R, F>(arity, false)),
            _ => None,
        }
    }

    /// Makes the instructions of `F`, which has `arity` operands, and if it is wanted that which takes the `second` operand from
    /// the accumulator. `N` and `M` are the words of a block of AVX2 and of AVX-512.
    pub const fn of<W, const N: usize, const M: usize, A, B, C, R, F>(arity: usize, second: bool) -> Threaded
    where
        W: Copy,
        A: Lane<W>,
        B: Lane<W>,
        C: Lane<W>,
        R: Lane<W>,
        F: ScalarFn<A, B, C, R>,
    {
        // SAFETY: as in `Codes`: the functions are only called as what they are.
        unsafe {
            Threaded {
                first: match arity {
                    1 => codes!(first<W, A, B, C, R, F> N, M; 1, 1),
                    2 => codes!(first<W, A, B, C, R, F> N, M; 2, 2),
                    _ => codes!(first<W, A, B, C, R, F> N, M; 3, 3),
                },
                second: if second { codes!(second < W, A, B, C, R, F > N, M) } else { None },
            }
        }
    }
}

/// Returns the bytes of a block's words, eight vectors; none if this machine has no threaded code.
pub(crate) fn block_bytes() -> Option<usize> {
    match isa() {
        Isa::Avx512 if cfg!(target_arch = "x86_64") => Some(512),
        Isa::Avx2 if cfg!(target_arch = "x86_64") => Some(256),
        Isa::Portable | Isa::Avx2 | Isa::Avx512 => None,
    }
}

/// Runs a program over whole blocks: those whose first elements are `from`, `from + block`, … below `to`. For each block it
/// runs each of the `runs`, which are given by their first instructions.
///
/// # Safety
/// The instructions come from [`Codes::get`]; each run ends in [`Codes::end`]. *Bases*: each base that an operand names has, for each
/// block, memory for the words or the elements that the instruction reads or writes there, which no other thread writes (or,
/// for a store, uses) meanwhile; it is aligned for its elements. Scratch is written before it is read.
pub(crate) unsafe fn run(code: &[Instr], runs: &[u32], bases: &[Base], from: usize, to: usize, block: usize) {
    let _ = (code, runs, bases, from, to, block);
    // SAFETY: the caller's conditions; `isa` has found the features on this machine.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match isa() {
            Isa::Portable => {}
            Isa::Avx2 => avx2::run(code, runs, bases, from, to, block),
            Isa::Avx512 => avx512::run(code, runs, bases, from, to, block),
        }
    }
}

/// Writes the function of an instruction, in the module of an instruction set, which has the types `V`, `Function` and `Acc`. The
/// body makes the new accumulator of the old one; then the function of the next instruction is called.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction {
    (
        $features:literal, $(#[$doc:meta])* $name:ident <$($g:ident),*; $($n:ident),*> where [$($bound:tt)*]
        |$pc:ident, $bases:ident, $index:ident, $acc:ident| $body:block
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As [`super::run`]: `pc` points to an instruction of a run, `bases` to the program's, and `index` to a block.
        #[target_feature(enable = $features)]
        pub unsafe extern "sysv64" fn $name<$($g,)* $(const $n: usize),*>(
            $pc: *const Instr, $bases: *const Base, $index: usize,
            v0: V, v1: V, v2: V, v3: V, v4: V, v5: V, v6: V, v7: V,
        ) where $($bound)* {
            let $acc: Acc = [v0, v1, v2, v3, v4, v5, v6, v7];
            // SAFETY: *bases*, for the block at `index`; the instruction `end` is a run's last, so there is a next one.
            unsafe {
                let [v0, v1, v2, v3, v4, v5, v6, v7]: Acc = $body;
                let next = $pc.add(1);
                let function: Function = std::mem::transmute::<Address, Function>((*next).run.0);
                function(next, $bases, $index, v0, v1, v2, v3, v4, v5, v6, v7)
            }
        }
    };
}

/// Writes the instructions of one instruction set, whose vectors have the type `$v`.
#[cfg(target_arch = "x86_64")]
macro_rules! instructions {
    ($module:ident, $features:literal, $v:ty, $stream:ident) => {
        // vectors are no types of C, but the convention has registers for them, and both sides of each call are compiled here
        #[allow(improper_ctypes_definitions)]
        pub(super) mod $module {
            use super::*;
            use std::arch::x86_64::*;

            type V = $v;
            type Acc = [V; 8];
            pub type Function = unsafe extern "sysv64" fn(*const Instr, *const Base, usize, V, V, V, V, V, V, V, V);

            /// Runs a program over whole blocks.
            ///
            /// # Safety
            /// As [`super::run`]; the machine has the features that the attribute enables.
            #[target_feature(enable = $features)]
            pub unsafe fn run(code: &[Instr], runs: &[u32], bases: &[Base], from: usize, to: usize, block: usize) {
                // SAFETY: the caller's conditions. Zeros are a value of every vector.
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

            /// Ends a run.
            ///
            /// # Safety
            /// None: it does nothing.
            #[target_feature(enable = $features)]
            pub unsafe extern "sysv64" fn end(
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

            /// Returns the block of words of an operand, and asks for those that a later block needs.
            ///
            /// # Safety
            /// *Bases* ([`super::run`]).
            #[inline(always)]
            unsafe fn words<W, const N: usize>(bases: *const Base, operand: Operand, index: usize) -> [W; N] {
                // SAFETY: *bases*: the operand has eight vectors here, or one if its width is 0. A prefetch reads nothing.
                unsafe {
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step);
                    if operand.ahead != 0 {
                        announce(at.wrapping_add(operand.ahead as usize), size_of::<Acc>());
                    }
                    let vector = |i: usize| at.add(i * operand.width as usize).cast::<V>().read_unaligned();
                    std::mem::transmute_copy::<Acc, [W; N]>(&std::array::from_fn(vector))
                }
            }

            /// Asks the caches for memory that will be read soon. It need not be memory at all.
            #[inline(always)]
            pub fn announce(at: *const u8, bytes: usize) {
                for line in (0..bytes).step_by(64) {
                    // SAFETY: a prefetch does not touch memory.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(line).cast()) };
                }
            }

            /// Writes a block to memory, past the caches if that is asked for and the address allows it.
            ///
            /// # Safety
            /// *Bases* ([`super::run`]), for the bytes of `block`, which are whole vectors.
            #[inline(always)]
            pub unsafe fn write<T>(pc: *const Instr, bases: *const Base, index: usize, block: &T) {
                // SAFETY: the caller's condition. A streamed store is aligned.
                unsafe {
                    let base = *bases.add((*pc).operands[0].base as usize);
                    let to = base.at.wrapping_offset(index as isize * base.step);
                    let from = (&raw const *block).cast::<V>();
                    let streams = (*pc).streams && base.step != 0 && (to as usize).is_multiple_of(size_of::<V>());
                    for i in 0..size_of::<T>() / size_of::<V>() {
                        let vector = from.add(i).read_unaligned();
                        let to = to.cast::<V>().add(i);
                        match streams {
                            true => $stream(to.cast(), vector),
                            false => to.write_unaligned(vector),
                        }
                    }
                }
            }

            instruction! { $features,
                /// Applies a function to the accumulator and to up to two operands in memory.
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
            instruction! { $features,
                /// Applies a function to an operand in memory and to the accumulator, which is the second operand.
                second<W, A, B, C, R, F; N> where [
                    W: Copy, A: Lane<W>, B: Lane<W>, C: Lane<W>, R: Lane<W>, F: ScalarFn<A, B, C, R>
                ]
                |pc, bases, index, acc| {
                    let y: [W; N] = std::mem::transmute_copy(&acc);
                    let x = words(bases, (*pc).operands[0], index);
                    std::mem::transmute_copy(&apply::<W, N, A, B, C, R, F>(&x, &y, &y))
                }
            }
            instruction! { $features,
                /// Reads words of 4 bytes or of 8.
                load<;> where []
                |pc, bases, index, _acc| {
                    std::mem::transmute_copy(&words::<u32, { size_of::<Acc>() / 4 }>(bases, (*pc).operands[0], index))
                }
            }
            instruction! { $features,
                /// Reads elements at a stride, or in another type than that of a word.
                load_each<W, S, R, F; N> where [W: Copy + Default, S: Copy, R: Lane<W>, F: ScalarFn<S, S, S, R>]
                |pc, bases, index, _acc| {
                    let operand = (*pc).operands[0];
                    let base = *bases.add(operand.base as usize);
                    let at = base.at.wrapping_offset(index as isize * base.step).cast::<S>().cast_const();
                    let mut out = [W::default(); N];
                    if base.step == size_of::<S>() as isize {
                        if operand.ahead != 0 {
                            announce(at.cast::<u8>().wrapping_add(operand.ahead as usize), N * size_of::<S>());
                        }
                        for i in 0..N {
                            let x = *at.add(i);
                            out[i] = F::call(x, x, x).word();
                        }
                    } else {
                        let mut each = [*at; N];
                        for i in 0..N {
                            each[i] = *at.byte_offset(i as isize * base.step);
                        }
                        for i in 0..N {
                            out[i] = F::call(each[i], each[i], each[i]).word();
                        }
                    }
                    std::mem::transmute_copy(&out)
                }
            }
            instruction! { $features,
                /// Writes words, and keeps them in the accumulator.
                store<;> where []
                |pc, bases, index, acc| {
                    write(pc, bases, index, &acc);
                    acc
                }
            }
            instruction! { $features,
                /// Writes elements of another type than that of a word; the words stay in the accumulator.
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
#[cfg(target_arch = "x86_64")]
instructions!(avx2, "avx2,fma,bmi1,bmi2,lzcnt,popcnt", __m256i, _mm256_stream_si256);
#[cfg(target_arch = "x86_64")]
instructions!(
    avx512,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2,lzcnt,popcnt",
    __m512i,
    _mm512_stream_si512
);
// it stands after the macro that it uses; vectors in its functions are no types of C either
#[cfg(target_arch = "x86_64")]
#[allow(improper_ctypes_definitions)]
mod f16;
