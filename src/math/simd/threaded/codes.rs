//! The functions that implement each instruction of threaded code, for each instruction set of the processor's
//! architecture.

use super::*;
use std::marker::PhantomData;

/// The number of instruction sets of an architecture that have threaded code: AVX2 and AVX-512, or NEON.
const SETS: usize = if cfg!(target_arch = "x86_64") { 2 } else { 1 };

/// The functions that implement one instruction: on x86-64 one for AVX2 and one for AVX-512, on aarch64 one for NEON.
#[derive(Clone, Copy)]
pub(crate) struct Codes([Address; SETS]);

impl Codes {
    /// Returns the function for this machine, or `None` if it has no threaded code.
    pub fn get(&self) -> Option<Code> {
        let set = match isa() {
            Isa::Portable => return None,
            Isa::Avx2 | Isa::Neon => 0,
            Isa::Avx512 => 1,
        };
        self.0.get(set).map(|address| Code(*address))
    }
}

/// Makes the [`Codes`] of the instruction `$name` with the types `$t`. The instruction's const parameters are `$n` for
/// AVX2 and NEON, and `$m` for AVX-512. With `of f16`, the functions are from the modules of [`mod@f16`].
#[cfg(target_arch = "x86_64")]
macro_rules! codes {
    (of f16: $name:ident <$($t:ty),*>) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe {
            Some(Codes([
                std::mem::transmute::<avx2::Function, Address>(f16::of_avx2::$name::<$($t),*>),
                std::mem::transmute::<avx512::Function, Address>(f16::of_avx512::$name::<$($t),*>),
            ]))
        }
    };
    ($name:ident) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe {
            Some(Codes([
                std::mem::transmute::<avx2::Function, Address>(avx2::$name),
                std::mem::transmute::<avx512::Function, Address>(avx512::$name),
            ]))
        }
    };
    ($name:ident <$($t:ty),*> $($n:expr, $m:expr);*) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe {
            Some(Codes([
                std::mem::transmute::<avx2::Function, Address>(avx2::$name::<$($t,)* $($n),*>),
                std::mem::transmute::<avx512::Function, Address>(avx512::$name::<$($t,)* $($m),*>),
            ]))
        }
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! codes {
    (of f16: $name:ident <$($t:ty),*>) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe { Some(Codes([std::mem::transmute::<neon::Function, Address>(f16::of_neon::$name::<$($t),*>)])) }
    };
    ($name:ident) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe { Some(Codes([std::mem::transmute::<neon::Function, Address>(neon::$name)])) }
    };
    ($name:ident <$($t:ty),*> $($n:expr, $m:expr);*) => {
        // SAFETY: the function is only called with its real type, through the type `Function` of its instruction set.
        unsafe { Some(Codes([std::mem::transmute::<neon::Function, Address>(neon::$name::<$($t,)* $($n),*>)])) }
    };
}
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
macro_rules! codes {
    ($($any:tt)*) => {
        None
    };
}

/// The constructors of all instructions. The const parameters `N` and `M` are the numbers of words in a block: `N` for
/// AVX2 or NEON, `M` for AVX-512.
impl Codes {
    /// Returns the instruction that ends a run of instructions.
    pub const fn end() -> Option<Codes> {
        codes!(end)
    }

    /// Returns the instruction that reads a block of words from memory into the accumulator (eight vector registers).
    pub const fn load() -> Option<Codes> {
        codes!(load)
    }

    /// Returns the instruction that writes the words of the accumulator (eight vector registers) to memory.
    pub const fn store() -> Option<Codes> {
        codes!(store)
    }

    /// Returns the instruction that computes a block of random words in the accumulator.
    pub const fn random() -> Option<Codes> {
        codes!(random)
    }

    /// Returns the instruction that computes random words for pairs of normal numbers (`Op::Philox`) from plain random
    /// words. If `angle` is true, these are the words for the pairs' angles, else the words for their radii.
    // targets without threaded code have no codes, so there both branches are `None`
    #[allow(clippy::if_same_then_else)]
    pub const fn pairs(angle: bool) -> Option<Codes> {
        if angle { codes!(pairs < > 1, 1) } else { codes!(pairs < > 0, 0) }
    }

    /// Returns the instruction that reads elements of type `S` at any stride, and converts them to words by the
    /// function `F`.
    pub const fn load_each<W, const N: usize, const M: usize, S, R, F>() -> Option<Codes>
    where
        W: Copy + Default,
        S: Copy,
        R: Lane<W>,
        F: ScalarFn<S, S, S, R>,
    {
        codes!(load_each < W, S, R, F > N, M)
    }

    /// Returns the instruction that reads f16 elements at any stride, and converts them to words of f32.
    pub const fn load_f16() -> Option<Codes> {
        codes!(of f16: load_f16 < >)
    }

    /// Returns the instruction that converts words of f32 to f16, and writes them.
    pub const fn store_f16() -> Option<Codes> {
        codes!(of f16: store_f16 < >)
    }

    /// Returns the instruction that rounds words of f32 to f16. The rounded values stay f32.
    pub const fn round_f16() -> Option<Codes> {
        codes!(of f16: round_f16 < >)
    }

    /// Returns the instruction that converts words by the function `F`, and writes them as elements of type `S`.
    pub const fn store_each<W, const N: usize, const M: usize, A, S, F>() -> Option<Codes>
    where
        W: Copy,
        A: Lane<W>,
        S: Copy,
        F: ScalarFn<A, A, A, S>,
    {
        codes!(store_each < W, A, S, F > N, M)
    }
}

/// The instructions that apply a function of one or more operands, for words of one size. They differ in which operand
/// they read from the accumulator (eight vector registers); the others are in memory.
#[derive(Clone, Copy)]
pub(crate) struct InstructionCodes {
    /// The instruction that reads the first operand from the accumulator, and the others from memory.
    pub first: Option<Codes>,
    /// The instruction that reads the second of two operands from the accumulator, and the first from memory.
    pub second: Option<Codes>,
    /// Two instructions that read one of two operands from the accumulator and compute the other as a product of two
    /// operands in memory. The product is the second operand in the first instruction, and the first operand in the
    /// second instruction.
    pub products: Option<[Codes; 2]>,
    /// The instruction that reads its only operand from the accumulator, which contains pairs of equal random words.
    pub paired: Option<Codes>,
}

/// The function `F` of two operands, of which one is the product of two others. If `LEADS`, the product is the first
/// operand of `F`. The product is rounded before `F` reads it.
struct OfProduct<F, const LEADS: bool>(std::marker::PhantomData<F>);

impl<T, R, F, const LEADS: bool> ScalarFn<T, T, T, R> for OfProduct<F, LEADS>
where
    T: Copy + std::ops::Mul<Output = T>,
    F: ScalarFn<T, T, T, R>,
{
    #[inline(always)]
    fn call(x: T, y: T, z: T) -> R {
        let product = y * z;
        if LEADS { F::call(product, x, x) } else { F::call(x, product, product) }
    }
}

impl InstructionCodes {
    /// Builds the instructions of `F`, or returns `None` if `rule` excludes the operands' type, which is called `name`.
    /// `rule` is the entry `threaded` in the function's row of the function table (`graph/ufunc/define.rs`).
    pub const fn by<W, const N: usize, const M: usize, A, B, C, R, F>(
        rule: &str,
        name: &str,
        arity: usize,
    ) -> Option<InstructionCodes>
    where
        W: Copy,
        A: Lane<W>,
        B: Lane<W>,
        C: Lane<W>,
        R: Lane<W>,
        F: ScalarFn<A, B, C, R>,
    {
        match (rule.as_bytes(), name.as_bytes()) {
            (b"both" | b"products", _) => Some(InstructionCodes::of::<W, N, M, A, B, C, R, F>(arity, true)),
            (b"all" | b"all_pairs", _) | (b"f32" | b"pairs", b"f32") => {
                Some(InstructionCodes::of::<W, N, M, A, B, C, R, F>(arity, false))
            }
            _ => None,
        }
    }

    /// Builds the instructions of `F`, which has `arity` operands. If `second` is true, also builds the instruction
    /// that reads the second operand from the accumulator. A block has `N` words for AVX2 or NEON, and `M` words for
    /// AVX-512.
    pub const fn of<W, const N: usize, const M: usize, A, B, C, R, F>(arity: usize, second: bool) -> InstructionCodes
    where
        W: Copy,
        A: Lane<W>,
        B: Lane<W>,
        C: Lane<W>,
        R: Lane<W>,
        F: ScalarFn<A, B, C, R>,
    {
        InstructionCodes {
            first: match arity {
                1 => codes!(first<W, A, B, C, R, F> N, M; 1, 1),
                2 => codes!(first<W, A, B, C, R, F> N, M; 2, 2),
                _ => codes!(first<W, A, B, C, R, F> N, M; 3, 3),
            },
            second: if second { codes!(second < W, A, B, C, R, F > N, M) } else { None },
            products: None,
            paired: None,
        }
    }

    /// Adds the instruction of `F` that computes each pair of equal words once, if the `rule` of the function's row
    /// requests it.
    pub const fn with_pairs<A, R, F>(threaded: Option<InstructionCodes>, rule: &str) -> Option<InstructionCodes>
    where
        A: Lane<u32>,
        R: Lane<u32>,
        F: ScalarFn<A, A, A, R>,
    {
        match (threaded, rule.as_bytes()) {
            (Some(threaded), b"pairs" | b"all_pairs") => {
                Some(InstructionCodes { paired: codes!(paired < A, R, F >), ..threaded })
            }
            _ => threaded,
        }
    }

    /// Adds the instructions of `F` in which one operand is a product, if the `rule` of the function's row requests
    /// them.
    pub const fn with_products<W, const N: usize, const M: usize, T, R, F>(
        threaded: Option<InstructionCodes>,
        rule: &str,
    ) -> Option<InstructionCodes>
    where
        W: Copy,
        T: Lane<W> + std::ops::Mul<Output = T>,
        R: Lane<W>,
        F: ScalarFn<T, T, T, R>,
    {
        match (threaded, rule.as_bytes()) {
            (Some(threaded), b"products") => {
                let last = codes!(first<W, T, T, T, R, OfProduct<F, false>> N, M; 3, 3);
                let leads = codes!(first<W, T, T, T, R, OfProduct<F, true>> N, M; 3, 3);
                let products = match (last, leads) {
                    (Some(last), Some(leads)) => Some([last, leads]),
                    _ => None,
                };
                Some(InstructionCodes { products, ..threaded })
            }
            _ => threaded,
        }
    }
}

/// Makes loops that convert f16. They call the function `$name` of each module of [`mod@f16`]. On other processors, and on
/// x86-64 as the loop for [`Isa::Portable`](crate::math::simd::Isa::Portable), the first of `$plain` is used.
macro_rules! f16_loops {
    ($plain:expr, $name:ident <$($t:ty),*>) => {{
        #[cfg(target_arch = "x86_64")]
        let Loops([portable, ..]) = $plain;
        #[cfg(target_arch = "x86_64")]
        return Loops([portable, f16::of_avx2::$name::<$($t),*>, f16::of_avx512::$name::<$($t),*>]);
        #[cfg(target_arch = "aarch64")]
        return Loops([f16::of_neon::$name::<$($t),*>]);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return $plain;
    }};
}

/// The function `F` of an operand that `K` converts first.
pub struct OfConverted<F, K>(PhantomData<(F, K)>);

impl<S: Copy, F: ScalarFn<f32, f32, f32, f32>, K: ScalarFn<S, S, S, f32>> ScalarFn<S, f32, f32, f32>
    for OfConverted<F, K>
{
    #[inline(always)]
    fn call(a: S, b: f32, c: f32) -> f32 {
        F::call(K::call(a, a, a), b, c)
    }
}

/// The function `F`, whose result `K` converts.
pub struct Converted<F, K>(PhantomData<(F, K)>);

impl<S: Copy, F: ScalarFn<f32, f32, f32, f32>, K: ScalarFn<f32, f32, f32, S>> ScalarFn<f32, f32, f32, S>
    for Converted<F, K>
{
    #[inline(always)]
    fn call(a: f32, b: f32, c: f32) -> S {
        let r = F::call(a, b, c);
        K::call(r, r, r)
    }
}

impl Loops {
    /// Returns the loops that convert f16 (of type `S`) to f32. They give the same results as the function `F`.
    pub const fn widen_f16<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>() -> Loops {
        f16_loops!(Loops::unary::<S, S, S, R, F>(), widen_all<S, R, F>)
    }

    /// Returns the loops that convert f32 (of type `A`) to f16 (of type `S`). They give the same results as the
    /// function `F`.
    pub const fn narrow_f16<A: Copy, S: Copy, F: ScalarFn<A, A, A, S>>() -> Loops {
        f16_loops!(Loops::unary::<A, A, A, S, F>(), narrow_all<A, S, F>)
    }

    /// Returns the loops that round f32 (of type `A`) to f16. They give the same results as the function `F`. The
    /// rounded values stay f32.
    pub const fn round_f16<A: Copy, F: ScalarFn<A, A, A, A>>() -> Loops {
        f16_loops!(Loops::unary::<A, A, A, A, F>(), round_all<A, F>)
    }

    /// Returns the loops that sum f16 (of type `S`), which `F` converts to f32 (of type `R`), in lanes. They give the
    /// same results as [`Loops::widened_sum`].
    pub const fn sum_f16<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>() -> Loops {
        f16_loops!(Loops::widened_sum::<S, S, S, R, F>(), sum_all<S>)
    }

    /// Returns the loops of `F` by rows ([`Loops::by_row`]) whose first operand is f16 (of type `S`), which `K` converts
    /// to f32.
    pub const fn by_row_of_f16<S: Copy, K: ScalarFn<S, S, S, f32>, F: ScalarFn<f32, f32, f32, f32>>() -> Loops {
        f16_loops!(Loops::by_row::<S, f32, f32, f32, OfConverted<F, K>>(), rows_of_f16<F>)
    }

    /// Returns the loops of `F` by rows ([`Loops::by_row`]) whose results `K` converts to f16 (of type `S`).
    pub const fn by_row_to_f16<S: Copy, K: ScalarFn<f32, f32, f32, S>, F: ScalarFn<f32, f32, f32, f32>>() -> Loops {
        f16_loops!(Loops::by_row::<f32, f32, f32, S, Converted<F, K>>(), rows_to_f16<F>)
    }
}
