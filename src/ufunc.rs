//! Floor 2: the table of elementwise functions.
//!
//! A [`Ufunc`] is one row: name, operands, type signature, one scalar Rust function for each compute type, WGSL text,
//! an exact reference, a test domain and error bounds. Planner, methods, shader text, CPU loops, tests and docs are
//! read from it. The rows stand in `ufunc/float.rs`, `ufunc/arithmetic.rs` and `ufunc/logic.rs`; **a new function is
//! one new row there**. `ufunc/cast.rs` holds the conversions between types.

pub(crate) mod arithmetic;
pub(crate) mod cast;
pub(crate) mod float;
pub(crate) mod integer;
pub(crate) mod intern;
pub(crate) mod logic;
pub(crate) mod special;

use crate::dtype::{Compute, DType};
use crate::simd::Loops;

/// What types a function takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Class {
    /// Any number; works in and gives its float type (f32 for integers and bool).
    Float,
    /// Floats only.
    FloatOnly,
    /// The promoted type of its operands.
    Numeric,
    /// bool and integers; gives the promoted type.
    Integer,
    /// Compares by value; gives bool.
    Compare,
    /// Asks something of each element; gives bool.
    Test,
    /// Takes each operand as a truth value; gives bool.
    Logical,
    /// A bool and two operands of one type, of which it gives one.
    Select,
}

impl Class {
    /// The result's type for operands promoted to `dtype`.
    pub fn result(self, dtype: DType) -> DType {
        match self {
            Class::Compare | Class::Test | Class::Logical => DType::Bool,
            Class::Float => dtype.float(),
            Class::FloatOnly | Class::Numeric | Class::Integer | Class::Select => dtype,
        }
    }

    /// The type to which operands promoted to `dtype` are cast before the function.
    pub fn operand(self, dtype: DType) -> DType {
        match self {
            Class::Logical => DType::Bool,
            Class::Float => dtype.float(),
            _ => dtype,
        }
    }
}

/// How far a result may be from the exact one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Bound {
    /// Units in the last place of the result.
    Ulp(f64),
    /// ULP, or an absolute distance.
    UlpOr(f64, f64),
    /// ULP, or a distance relative to `max(|x|, 1)`.
    UlpOrScaled(f64, f64),
    /// ULP of the larger of the result and the largest operand.
    UlpOfLargest(f64),
    /// ULP, or an absolute distance where −11 < x < −2.
    Lgamma(f64, f64),
}

/// The neutral element of a reduction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Identity {
    /// 0; for floats −0, which leaves every sum as it is.
    Zero,
    One,
    Lowest,
    Highest,
}

impl Identity {
    /// As bits of a compute type.
    pub fn bits(self, compute: Compute) -> u64 {
        use Compute::*;
        match (mutant!(max_starts_at_0, if self == Identity::Lowest { Identity::Zero } else { self }, self), compute) {
            (Identity::Zero, F32) => (-0.0f32).to_bits() as u64,
            (Identity::Zero, F64) => (-0.0f64).to_bits(),
            (Identity::Zero, _) => 0,
            (Identity::One, F32) => 1f32.to_bits() as u64,
            (Identity::One, F64) => 1f64.to_bits(),
            (Identity::One, _) => 1,
            (Identity::Lowest, F32) => f32::NEG_INFINITY.to_bits() as u64,
            (Identity::Lowest, F64) => f64::NEG_INFINITY.to_bits(),
            (Identity::Lowest, I32) => i32::MIN as u32 as u64,
            (Identity::Lowest, I64) => i64::MIN as u64,
            (Identity::Lowest, _) => 0,
            (Identity::Highest, F32) => f32::INFINITY.to_bits() as u64,
            (Identity::Highest, F64) => f64::INFINITY.to_bits(),
            (Identity::Highest, I32) => i32::MAX as u64,
            (Identity::Highest, U32) => u32::MAX as u64,
            (Identity::Highest, I64) => i64::MAX as u64,
            (Identity::Highest, U64) => u64::MAX,
            (Identity::Highest, Bool) => 1,
        }
    }
}

/// A binary function as a reduction: its neutral element and loops.
#[derive(Clone, Copy)]
pub(crate) struct Reduction {
    pub identity: Identity,
    /// By compute type: lanes of one run of elements.
    pub fold: [Option<Loops>; Compute::COUNT],
    /// By compute type: `acc[i] = f(acc[i], x[i])`.
    pub accumulate: [Option<Loops>; Compute::COUNT],
}

/// An exact function of integers; the last argument is the type's width in bits.
pub(crate) type ExactInt = fn(i128, i128, i128, u32) -> i128;

/// One row of the table. Rows are equal where their text and types are (see [`intern`]).
pub(crate) struct Ufunc {
    pub id: intern::RowId,
    pub name: &'static str,
    pub doc: &'static str,
    pub arity: usize,
    pub class: Class,
    /// By compute type of the operands.
    pub loops: [Option<Loops>; Compute::COUNT],
    /// By compute type of the operands: an expression in which `{a}`, `{b}`, `{c}` are the operands and `{T}` the
    /// type; functions are those of `shaders/lib`.
    pub wgsl: [Option<&'static str>; Compute::COUNT],
    /// The exact function of floats, in f64 and without `crate::math`.
    pub exact: Option<fn(f64, f64, f64) -> f64>,
    /// The exact function of integers and bool before it wraps; the last argument is the type's width in bits.
    pub exact_int: Option<ExactInt>,
    /// Where the function is interesting.
    pub domain: [f64; 2],
    /// f32 on the CPU, f32 on a GPU, f64 on the CPU, f16 and bf16 on the CPU.
    pub bounds: [Bound; 4],
    pub reduce: Option<Reduction>,
    /// f16 and bf16 are rounded to their own width before (comparisons, tests, steps).
    pub rounds_first: bool,
    /// Gives one of its operands or keeps a narrow integer in range: no wrap is needed after it.
    pub closed: bool,
    /// Of floats its text on a GPU is hundreds of instructions: sine with its reduction of large arguments, for one.
    pub dear: bool,
    /// The rows that f16 and bf16 take instead.
    pub half: Option<[&'static Ufunc; 2]>,
}

impl Ufunc {
    /// Whether a GPU has text for this compute type.
    pub fn on_gpu(&self, compute: Compute) -> bool {
        self.wgsl[compute as usize].is_some()
    }

    /// What a driver's compiler has to do for it, in additions. A software driver takes up to a millisecond for 1.
    pub fn compile_cost(&self, compute: Compute) -> u32 {
        match compute {
            Compute::F32 | Compute::F64 if self.dear => 32,
            Compute::F32 | Compute::F64 if self.class == Class::Float => 8,
            _ => 1,
        }
    }

    /// Whether the CPU has a loop for this compute type.
    pub fn on_cpu(&self, compute: Compute) -> bool {
        self.loops[compute as usize].is_some()
    }
}

/// How a reduction combines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fold {
    /// A binary function with a neutral element.
    Ufunc(&'static Ufunc),
    /// The position (row-major in `inner`) of the first smallest element, or of the first NaN; i32.
    ArgMin,
    /// The same for the largest.
    ArgMax,
}

impl Fold {
    pub fn name(&self) -> &'static str {
        match self {
            Fold::Ufunc(row) => row.name,
            Fold::ArgMin => "argmin",
            Fold::ArgMax => "argmax",
        }
    }
}

impl std::fmt::Debug for Ufunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
/// Every row but `select`, in the order of the table's files.
pub(crate) fn all() -> impl Iterator<Item = &'static Ufunc> {
    arithmetic::ROWS.iter().chain(float::ROWS).chain(special::ROWS).chain(logic::ROWS).copied()
}

/// Makes the loops of one compute type from an expression.
macro_rules! loops {
    (@call $form:ident $t:ty, $r:ty, ($($x:ident),+), $e:expr) => {
        Some(const {
            struct K;
            loops!(@impl $t, $r, ($($x),+), $e);
            $crate::simd::Loops::$form::<$t, $t, $t, $r, K>()
        })
    };
    (@near $t:ty, ($x:ident), $e:expr, $limit:expr, $near:expr) => {
        Some(const {
            struct K;
            impl $crate::simd::Call<$t, $t, $t, $t> for K {
                #[inline(always)]
                fn call($x: $t, _: $t, _: $t) -> $t { $e }
                const HAS_NEAR: bool = true;
                #[inline(always)]
                fn is_near(x: $t) -> bool { x.abs() <= $limit }
                #[inline(always)]
                fn near($x: $t, _: $t, _: $t) -> $t { $near }
            }
            $crate::simd::Loops::unary::<$t, $t, $t, $t, K>()
        })
    };
    (@impl $t:ty, $r:ty, ($x:ident), $e:expr) => {
        impl $crate::simd::Call<$t, $t, $t, $r> for K {
            #[inline(always)]
            #[allow(unused_variables)]
            fn call($x: $t, _: $t, _: $t) -> $r { $e }
        }
    };
    (@impl $t:ty, $r:ty, ($x:ident, $y:ident), $e:expr) => {
        impl $crate::simd::Call<$t, $t, $t, $r> for K {
            #[inline(always)]
            #[allow(unused_variables)]
            fn call($x: $t, $y: $t, _: $t) -> $r { $e }
        }
    };
    (@impl $t:ty, $r:ty, ($x:ident, $y:ident, $z:ident), $e:expr) => {
        impl $crate::simd::Call<$t, $t, $t, $r> for K {
            #[inline(always)]
            #[allow(unused_variables)]
            fn call($x: $t, $y: $t, $z: $t) -> $r { $e }
        }
    };
    ($t:ty, $r:ty, ($x:ident), $e:expr) => { loops!(@call unary $t, $r, ($x), $e) };
    ($t:ty, $r:ty, ($x:ident, $y:ident), $e:expr) => { loops!(@call binary $t, $r, ($x, $y), $e) };
    ($t:ty, $r:ty, ($x:ident, $y:ident, $z:ident), $e:expr) => { loops!(@call ternary $t, $r, ($x, $y, $z), $e) };
}
pub(crate) use loops;

/// Writes the rows of one family as statics, from the table that `methods!` (in `ops.rs`) reads too.
///
/// A row is `name(operands): Class { … }` with, in this order and each where it has it: `f` the f32 and f64
/// functions, `fnear` the same with cheaper ones below limits, `ft` the same giving bool (as u8), `i` the function of i32, u32, i64 and u64, `it` giving bool, `b` of
/// bool (as u8); `wf wd wi wb` the WGSL text for f32, f64, integers, bool; `exact`, `exact_int` (with `w`, the
/// width); `domain`; `bound` (f32 CPU, f32 GPU, f64 CPU, half CPU); `reduce` the neutral element; flags.
macro_rules! define {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $args:tt : $class:ident {
            $(f: [$f32:expr, $f64:expr],)?
            $(fnear: [$n32:expr, $n64:expr; $g32:expr, $g64:expr; $l32:expr, $l64:expr],)?
            $(ft: [$ft32:expr, $ft64:expr],)?
            $(i: $i:expr,)?
            $(it: $it:expr,)?
            $(b: $b:expr,)?
            $(wf: $wf:literal,)?
            $(wd: $wd:literal,)?
            $(wi: $wi:literal,)?
            $(wb: $wb:literal,)?
            $(exact: $exact:expr,)?
            $(exact_int($w:ident): $exact_int:expr,)?
            domain: $domain:expr,
            bound: $bounds:expr,
            $(reduce: $identity:ident,)?
            $(flags: [$($flag:ident),*],)?
            $(half: $half:expr,)?
        }
    )*) => {
        $(
            #[allow(unused_mut, unused_variables, unused_assignments, non_upper_case_globals)]
            pub(crate) static $name: $crate::ufunc::Ufunc = {
                #[allow(unused_imports)]
                use $crate::dtype::Compute;
                #[allow(unused_imports)]
                use $crate::ufunc::{Bound::*, Class, loops};
                // loops that are only named in a branch not taken are not compiled
                #[allow(dead_code)]
                const REDUCES: bool = $crate::ufunc::define!(@present $($identity)?);
                let mut fold: [Option<$crate::simd::Loops>; Compute::COUNT] = [None; Compute::COUNT];
                let mut accumulate = fold;
                let mut row = $crate::ufunc::Ufunc {
                    id: $crate::ufunc::intern::RowId::new(),
                    name: stringify!($name),
                    doc: concat!($($doc, " "),+),
                    arity: $crate::ufunc::define!(@arity $args),
                    class: Class::$class,
                    loops: [None; Compute::COUNT],
                    wgsl: [None; Compute::COUNT],
                    exact: None,
                    exact_int: None,
                    domain: $domain,
                    bounds: $bounds,
                    reduce: None,
                    rounds_first: matches!(Class::$class, Class::Compare | Class::Test | Class::Logical),
                    closed: false,
                    dear: false,
                    half: None,
                };
                $(
                    row.loops[Compute::F32 as usize] = loops!(f32, f32, $args, $f32);
                    row.loops[Compute::F64 as usize] = loops!(f64, f64, $args, $f64);
                    if REDUCES {
                        fold[Compute::F32 as usize] = loops!(@call fold f32, f32, $args, $f32);
                        accumulate[Compute::F32 as usize] = loops!(@call accumulate f32, f32, $args, $f32);
                        fold[Compute::F64 as usize] = loops!(@call fold f64, f64, $args, $f64);
                        accumulate[Compute::F64 as usize] = loops!(@call accumulate f64, f64, $args, $f64);
                    }
                )?
                $(
                    row.loops[Compute::F32 as usize] = loops!(@near f32, $args, $n32, $l32, $g32);
                    row.loops[Compute::F64 as usize] = loops!(@near f64, $args, $n64, $l64, $g64);
                )?
                $(
                    row.loops[Compute::F32 as usize] = loops!(f32, u8, $args, $ft32);
                    row.loops[Compute::F64 as usize] = loops!(f64, u8, $args, $ft64);
                )?
                $(
                    row.loops[Compute::I32 as usize] = loops!(i32, i32, $args, $i);
                    row.loops[Compute::U32 as usize] = loops!(u32, u32, $args, $i);
                    row.loops[Compute::I64 as usize] = loops!(i64, i64, $args, $i);
                    row.loops[Compute::U64 as usize] = loops!(u64, u64, $args, $i);
                    if REDUCES {
                        fold[Compute::I32 as usize] = loops!(@call fold i32, i32, $args, $i);
                        accumulate[Compute::I32 as usize] = loops!(@call accumulate i32, i32, $args, $i);
                        fold[Compute::U32 as usize] = loops!(@call fold u32, u32, $args, $i);
                        accumulate[Compute::U32 as usize] = loops!(@call accumulate u32, u32, $args, $i);
                        fold[Compute::I64 as usize] = loops!(@call fold i64, i64, $args, $i);
                        accumulate[Compute::I64 as usize] = loops!(@call accumulate i64, i64, $args, $i);
                        fold[Compute::U64 as usize] = loops!(@call fold u64, u64, $args, $i);
                        accumulate[Compute::U64 as usize] = loops!(@call accumulate u64, u64, $args, $i);
                    }
                )?
                $(
                    row.loops[Compute::I32 as usize] = loops!(i32, u8, $args, $it);
                    row.loops[Compute::U32 as usize] = loops!(u32, u8, $args, $it);
                    row.loops[Compute::I64 as usize] = loops!(i64, u8, $args, $it);
                    row.loops[Compute::U64 as usize] = loops!(u64, u8, $args, $it);
                )?
                $(
                    row.loops[Compute::Bool as usize] = loops!(u8, u8, $args, $b);
                    if REDUCES {
                        fold[Compute::Bool as usize] = loops!(@call fold u8, u8, $args, $b);
                        accumulate[Compute::Bool as usize] = loops!(@call accumulate u8, u8, $args, $b);
                    }
                )?
                $( row.wgsl[Compute::F32 as usize] = Some($wf); )?
                $( row.wgsl[Compute::F64 as usize] = Some($wd); )?
                $(
                    row.wgsl[Compute::I32 as usize] = Some($wi);
                    row.wgsl[Compute::U32 as usize] = Some($wi);
                    row.wgsl[Compute::I64 as usize] = Some($wi);
                    row.wgsl[Compute::U64 as usize] = Some($wi);
                )?
                $( row.wgsl[Compute::Bool as usize] = Some($wb); )?
                $( row.exact = Some($crate::ufunc::define!(@exact $args, $exact)); )?
                $( row.exact_int = Some($crate::ufunc::define!(@exact_int $args, $w, $exact_int)); )?
                $( row.reduce = Some($crate::ufunc::Reduction {
                    identity: $crate::ufunc::Identity::$identity,
                    fold,
                    accumulate,
                }); )?
                $( $( row.$flag = true; )* )?
                $( row.half = Some($half); )?
                row
            };
        )*
        #[allow(dead_code)]
        pub(crate) static ROWS: &[&$crate::ufunc::Ufunc] = &[$(&$name),*];
    };
    (@present) => { false };
    (@present $identity:ident) => { true };
    (@arity ($a:ident)) => { 1 };
    (@arity ($a:ident, $b:ident)) => { 2 };
    (@arity ($a:ident, $b:ident, $c:ident)) => { 3 };
    (@exact ($a:ident), $e:expr) => {{ #[allow(unused_variables)] fn exact($a: f64, _: f64, _: f64) -> f64 { $e } exact }};
    (@exact ($a:ident, $b:ident), $e:expr) => {{ #[allow(unused_variables)] fn exact($a: f64, $b: f64, _: f64) -> f64 { $e } exact }};
    (@exact ($a:ident, $b:ident, $c:ident), $e:expr) => {{ fn exact($a: f64, $b: f64, $c: f64) -> f64 { $e } exact }};
    (@exact_int ($a:ident), $w:ident, $e:expr) => {{
        #[allow(unused_variables)] fn exact($a: i128, _: i128, _: i128, $w: u32) -> i128 { $e } exact
    }};
    (@exact_int ($a:ident, $b:ident), $w:ident, $e:expr) => {{
        #[allow(unused_variables)] fn exact($a: i128, $b: i128, _: i128, $w: u32) -> i128 { $e } exact
    }};
    (@exact_int ($a:ident, $b:ident, $c:ident), $w:ident, $e:expr) => {{
        #[allow(unused_variables)] fn exact($a: i128, $b: i128, $c: i128, $w: u32) -> i128 { $e } exact
    }};
}
pub(crate) use define;
