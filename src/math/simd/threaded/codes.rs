//! The functions that implement each instruction of threaded code, for each instruction set of the processor's
//! architecture.

use super::*;

/// The number of instruction sets of an architecture that have threaded code: AVX2 and AVX-512, or NEON.
const SETS: usize = if cfg!(target_arch = "x86_64") { 2 } else { 1 };

/// The functions of one instruction, for AVX2 and for AVX-512, or for NEON.
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

/// The functions of an instruction `$name` with these types, and these numbers for the shorter and the longer vectors;
/// or the functions of the modules of [`f16`].
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

/// Constructors of the functions that are compiled for one type or several. `N` and `M` are the words of a block:
/// [`N4`] and [`M4`], or [`N8`] and [`M8`].
impl Codes {
    /// Ends a run.
    pub const fn end() -> Option<Codes> {
        codes!(end)
    }

    /// Reads words.
    pub const fn load() -> Option<Codes> {
        codes!(load)
    }

    /// Writes words.
    pub const fn store() -> Option<Codes> {
        codes!(store)
    }

    /// Computes random words.
    pub const fn random() -> Option<Codes> {
        codes!(random)
    }

    /// Computes the words of pairs of elements from random words: the words for their radius, or for their angle.
    // targets without vector instructions of their own have no codes, so there both branches are `None`
    #[allow(clippy::if_same_then_else)]
    pub const fn pairs(angle: bool) -> Option<Codes> {
        if angle { codes!(pairs < > 1, 1) } else { codes!(pairs < > 0, 0) }
    }

    /// Reads elements of `S`, at any step, and converts them by `F`.
    pub const fn load_each<W, const N: usize, const M: usize, S, R, F>() -> Option<Codes>
    where
        W: Copy + Default,
        S: Copy,
        R: Lane<W>,
        F: ScalarFn<S, S, S, R>,
    {
        codes!(load_each < W, S, R, F > N, M)
    }

    /// Reads f16 (`S`), at any step, as words of f32, with the conversion of `F`.
    pub const fn load_f16<S: Copy, R: Lane<u32>, F: ScalarFn<S, S, S, R>>() -> Option<Codes> {
        codes!(of f16: load_f16 < S, R, F >)
    }

    /// Writes words of f32 as f16 (`S`), with the conversion of `F`.
    pub const fn store_f16<A: Lane<u32>, S: Copy, F: ScalarFn<A, A, A, S>>() -> Option<Codes> {
        codes!(of f16: store_f16 < A, S, F >)
    }

    /// Rounds words of f32 (`A`) to f16, as `F` does.
    pub const fn round_f16<A: Lane<u32>, F: ScalarFn<A, A, A, A>>() -> Option<Codes> {
        codes!(of f16: round_f16 < A, F >)
    }

    /// Converts words by `F` and writes elements of `S`.
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

/// The instructions of a function of at least one operand, for words of one size.
#[derive(Clone, Copy)]
pub(crate) struct InstructionCodes {
    /// Reads the first operand from the accumulator.
    pub first: Option<Codes>,
    /// Reads the second of two operands from the accumulator.
    pub second: Option<Codes>,
    /// Reads one of two operands from the accumulator; the other one is the product of two operands in memory. The
    /// first instruction has the product as its second operand, the second instruction has it as its first operand.
    pub products: Option<[Codes; 2]>,
    /// Reads its only operand from the accumulator, whose words are equal in each pair of elements of a draw.
    pub paired: Option<Codes>,
}

/// The function `F` of the first operand and the product of the other two. If `LEADS`, the product comes first: `F` of
/// the product and the first operand. The product is rounded before `F` reads it, like the product of the row
/// `multiply`.
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
    /// Builds the instructions of `F`, or returns `None` if the rule excludes the type of the operands. `name` is the
    /// name of that type, and `rule` is the rule `threaded` of a ufunc's row (`graph/ufunc/define.rs`).
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

    /// Builds the instructions of `F`, which has `arity` operands. If `second`, also builds the instruction that reads
    /// the second operand from the accumulator. `N` and `M` are as in [`Codes`].
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

    /// Adds the instruction of `F` for words that are equal in each pair, if the `rule` of a row requests it.
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

    /// Adds the instructions of `F` with a product as one operand, if the `rule` of a row requests them.
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

/// The loops that convert f16: `$name` of the modules of [`f16`], and `F` for
/// [`Isa::Portable`](crate::math::simd::Isa::Portable) on x86-64.
macro_rules! f16_loops {
    ($name:ident <$a:ty, $r:ty, $f:ty> $($t:ty),*) => {{
        #[cfg(target_arch = "x86_64")]
        let Loops([portable, ..]) = Loops::unary::<$a, $a, $a, $r, $f>();
        #[cfg(target_arch = "x86_64")]
        return Loops([portable, f16::of_avx2::$name::<$($t),*>, f16::of_avx512::$name::<$($t),*>]);
        #[cfg(target_arch = "aarch64")]
        return Loops([f16::of_neon::$name::<$($t),*>]);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return Loops::unary::<$a, $a, $a, $r, $f>();
    }};
}

impl Loops {
    /// Converts f16 (`S`) to f32 as `F` does.
    pub const fn widen_f16<S: Copy, R: Copy, F: ScalarFn<S, S, S, R>>() -> Loops {
        f16_loops!(widen_all < S, R, F > S, R, F)
    }

    /// Converts f32 (`A`) to f16 (`S`) as `F` does.
    pub const fn narrow_f16<A: Copy, S: Copy, F: ScalarFn<A, A, A, S>>() -> Loops {
        f16_loops!(narrow_all < A, S, F > A, S, F)
    }

    /// Rounds f32 (`A`) to f16 as `F` does, and leaves it as f32.
    pub const fn round_f16<A: Copy, F: ScalarFn<A, A, A, A>>() -> Loops {
        f16_loops!(round_all < A, A, F > A, F)
    }
}
