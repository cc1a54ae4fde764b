//! The table of elementwise functions.
//!
//! A [`Ufunc`] is one row of the table: name, operands, type signature, one scalar Rust function per compute type, WGSL
//! source, an exact reference, a test domain and properties. The planner and the backends decide by the properties,
//! never by the name. **A new function is one new row** in `arithmetic.rs`, `float.rs`, `special/mod.rs` or `logic.rs`;
//! `define.rs` lists the columns.

pub(crate) mod arithmetic;
pub(crate) mod cast;
mod define;
pub(crate) mod float;
mod fold;
mod formula;
pub(crate) mod integer;
pub(crate) mod intern;
pub(crate) mod logic;
pub(crate) mod special;

pub(crate) use define::define;
pub(crate) use fold::{
    ARGMAX, ARGMIN, Component, Fold, FoldOperation, FoldOrder, FoldProgram, FoldStep, Form, MOST_COMPONENTS, OfSquares,
    Programs, SUM_OF_CHAINS, Term, scales, squares,
};
#[cfg(any(feature = "testing", feature = "kernels"))]
pub(crate) use fold::{ComputeKind, Definition};
pub(crate) use formula::{CalledFunction, Formula, Partial};

use crate::base::dtype::{Compute, DType};
use crate::math::simd::threaded::InstructionCodes;
use crate::math::simd::{Forms, Loops, RowLoops};
use std::cmp::Ordering;
use std::sync::OnceLock;

/// The types that a function accepts and returns. The class sets a rule; a type that the rule allows is accepted if the
/// table has an implementation of the function for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Class {
    /// Accepts any type. Casts integers and bool to f32 first, and returns the float type.
    Float,
    /// Accepts only floats. Returns the promoted type of its operands.
    FloatOnly,
    /// Accepts any type. Returns the promoted type of its operands.
    Numeric,
    /// Accepts bool and integers. Returns the promoted type of its operands.
    Integer,
    /// Compares two operands of one type. Returns bool.
    Compare,
    /// Tests a property of each element, such as being NaN. Returns bool.
    Test,
    /// Interprets each operand as a truth value. Returns bool.
    Logical,
    /// Accepts a bool and two operands of one type. Returns one of the two.
    Select,
}

impl Class {
    /// Returns the result's type for operands promoted to `dtype`.
    pub fn result(self, dtype: DType) -> DType {
        match self {
            Class::Compare | Class::Test | Class::Logical => DType::Bool,
            Class::Float => dtype.float(),
            Class::FloatOnly | Class::Numeric | Class::Integer | Class::Select => dtype,
        }
    }

    /// Returns the type to which operands promoted to `dtype` are cast before the function is called.
    pub fn operand(self, dtype: DType) -> DType {
        match self {
            Class::Logical => DType::Bool,
            Class::Float => dtype.float(),
            Class::FloatOnly | Class::Numeric | Class::Integer | Class::Compare | Class::Test | Class::Select => dtype,
        }
    }
}

/// Which of its two operands a function such as `minimum` picks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extreme {
    Smallest,
    Largest,
}

/// The neutral element of a reduction: combining it with any x results in x.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Neutral {
    /// 0; for floats −0, because x + −0 is x for every x, and +0 would turn −0 into +0.
    Zero,
    One,
    /// The least value of the type: −∞ for floats, 0 for unsigned integers and bool.
    Lowest,
    /// The greatest value of the type: ∞ for floats, 1 for bool.
    Highest,
}

impl Neutral {
    /// Returns the neutral element of a compute type, as bits in the low end of the word.
    pub fn bits(self, compute: Compute) -> u64 {
        use Compute::*;
        match (mutant!(max_starts_at_0, if self == Neutral::Lowest { Neutral::Zero } else { self }, self), compute) {
            (Neutral::Zero, F32) => (-0.0f32).to_bits() as u64,
            (Neutral::Zero, F64) => (-0.0f64).to_bits(),
            (Neutral::Zero, _) => 0,
            (Neutral::One, F32) => 1f32.to_bits() as u64,
            (Neutral::One, F64) => 1f64.to_bits(),
            (Neutral::One, _) => 1,
            (Neutral::Lowest, F32) => f32::NEG_INFINITY.to_bits() as u64,
            (Neutral::Lowest, F64) => f64::NEG_INFINITY.to_bits(),
            (Neutral::Lowest, I32) => i32::MIN as u32 as u64,
            (Neutral::Lowest, I64) => i64::MIN as u64,
            (Neutral::Lowest, _) => 0,
            (Neutral::Highest, F32) => f32::INFINITY.to_bits() as u64,
            (Neutral::Highest, F64) => f64::INFINITY.to_bits(),
            (Neutral::Highest, I32) => i32::MAX as u64,
            (Neutral::Highest, U32) => u32::MAX as u64,
            (Neutral::Highest, I64) => i64::MAX as u64,
            (Neutral::Highest, U64) => u64::MAX,
            (Neutral::Highest, Bool) => 1,
        }
    }
}

/// How a binary function reduces, declared by the key `reduce:` of its row.
#[derive(Clone, Copy)]
pub(crate) struct UfuncReduction {
    /// The name of the reduction's method, such as `sum`.
    pub method: &'static str,
    /// The name of the scan's method, such as `cumulative_sum`. Not every function's scan has a method.
    pub cumulative: &'static str,
    pub neutral: Neutral,
    /// The result of a reduction of no elements; `None` if that is an error. A sum returns 0, although its `neutral` is
    /// −0.
    pub empty: Option<f64>,
    /// Whether a reduction of floats returns the same bits in any order, as a minimum does. If not, the planner keeps
    /// the fixed order in which a reduction combines elements and partial results (its *tree*), whatever is fused with
    /// it. For integers and bool, every order returns the same bits.
    pub reorders_floats: bool,
    /// Which operand the function picks; `None` if it computes a new value. For a function that picks an operand, a
    /// reduction can also return the position of the picked element: `argmin` and `argmax`.
    pub picks: Option<Extreme>,
}

/// The relation that a comparison tests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// Returns whether the relation holds for two operands; `order` is how the first compares to the second.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterEqual => order.is_ge(),
        }
    }
}

/// The properties that determine how the planner and the backends treat an elementwise function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Properties {
    /// The relation that the function tests, if it is a comparison.
    pub compares: Option<Comparison>,
    /// The cost of one evaluation, in additions. The planner stores costly values instead of computing them twice.
    /// Costs above 8 are measured: the time of the f32 function per element, less the time of an addition (200,000
    /// elements in cache), divided by the time of an addition in registers (two threads do 30 per nanosecond).
    /// `floor_divide`, `remainder` and `fmod` cost 205 for floats and about 10 for integers; their cost is set to 64,
    /// in between.
    pub cost: u32,
    /// The cost of compiling the function's WGSL source for floats in a GPU driver, in additions. A software driver
    /// takes up to a millisecond per addition. Sine costs 32, because the reduction of large arguments takes hundreds
    /// of instructions.
    pub shader_cost: u32,
    /// Whether operands of f16 and bf16, which fused kernels hold as f32, are rounded to their own type before the
    /// function runs. Comparisons, tests, logic and `nextafter` need this, because they depend on the exact value,
    /// which must not depend on what is fused.
    pub rounds_first: bool,
    /// For floats: whether the exact result is always representable in the operands' type, so that nothing is rounded.
    pub never_rounds: bool,
    /// Whether the result has the bits of one of the operands. A kernel with only such functions may move floats as
    /// integers, which keeps the payload of a NaN.
    pub moves_bits: bool,
    /// For integers: whether the result always lies in the range of the operands' type, so that it never wraps. 8- and
    /// 16-bit operands are computed in 32 bits, and the result does not need to be wrapped. Checks for overflow skip
    /// the function.
    pub keeps_range: bool,
    /// For floats: whether the WGSL source picks an operand or works on its bits. A driver's compiler cannot fold,
    /// reassociate or contract such source with the code around it, so the shader needs no guard against such
    /// optimisations.
    pub opaque: bool,
    /// For floats: whether a simplification changes no bit if a driver's compiler sees that both operands are the same
    /// value. `x + x` may become `2·x`, which has the same bits. But `x − x` becomes 0 and `x / x` becomes 1, which is
    /// wrong for NaN and ∞.
    pub simplifies_exactly: bool,
    /// Whether the function raises its first operand to the power of the second. For integers, a negative number (not
    /// an array) as the second operand is an error.
    pub power: bool,
    /// Whether the function is the product of its operands, or the square of its single operand.
    pub multiplies: bool,
    /// For bool: whether the CPU function accepts any byte except 0 as true, so that the bytes of an array, which may
    /// have been written by a kernel or by another library, need not be converted to 0 or 1 first. The result is 0 or 1.
    pub takes_any_byte: bool,
}

/// An integer function that does not wrap. The last argument is the width of the operands' type in bits.
pub(crate) type ExactInt = fn(i128, i128, i128, u32) -> i128;

/// One row of the table: the definition of an elementwise function. Rows with equal names, types, WGSL source and
/// properties are equal, whatever their addresses ([`intern`]).
pub(crate) struct Ufunc {
    pub id: intern::RowId,
    pub name: &'static str,
    pub doc: &'static str,
    pub arity: usize,
    pub class: Class,
    /// The CPU loops, indexed by the compute type of the operands (for `select`, of the last two operands).
    pub forms: [Option<Forms>; Compute::COUNT],
    /// The WGSL expressions, indexed by the compute type of the operands. `{a}`, `{b}` and `{c}` are replaced by the
    /// operands, and `{T}` by the name of the type. An expression may call WGSL's built-in functions and the functions
    /// of `shaders/lib`.
    pub wgsl: [Option<&'static str>; Compute::COUNT],
    /// The reference implementation for floats with which tests compare, in f64 and without `crate::math`.
    pub exact: Option<fn(f64, f64, f64) -> f64>,
    /// The reference implementation for integers and bool: it returns the exact result, which is not wrapped to the
    /// type.
    pub exact_int: Option<ExactInt>,
    /// The range from which tests draw most operands. Within it the function is neither constant nor infinite.
    pub domain: [f64; 2],
    pub reduce: Option<UfuncReduction>,
    pub properties: Properties,
    /// The derivatives with respect to the operands, for floats. `None` for functions that do not return floats.
    pub derivative: Option<&'static [Partial]>,
    /// The rows of the table that f16 and bf16 operands use instead of this one.
    pub half: Option<[&'static Ufunc; 2]>,
    /// The fold (the description of a reduction) that combines elements by this function. The first call of
    /// [`Fold::of`] creates it.
    pub fold: OnceLock<Fold>,
}

impl Ufunc {
    /// Makes a row of the table that has no scalar functions and no WGSL source yet, with the default properties of its
    /// class.
    pub const fn new(name: &'static str, doc: &'static str, arity: usize, class: Class) -> Ufunc {
        // most functions of floats are a polynomial with a few steps around it, about eight additions. Chosen by hand;
        // no benchmark compares other values
        let cost = if matches!(class, Class::Float) { 8 } else { 1 };
        Ufunc {
            id: intern::RowId::new(),
            name,
            doc,
            arity,
            class,
            forms: [None; Compute::COUNT],
            wgsl: [None; Compute::COUNT],
            exact: None,
            exact_int: None,
            domain: [-1e3, 1e3],
            reduce: None,
            properties: Properties {
                compares: None,
                cost,
                shader_cost: cost,
                rounds_first: matches!(class, Class::Compare | Class::Test | Class::Logical),
                never_rounds: false,
                moves_bits: false,
                keeps_range: false,
                opaque: false,
                simplifies_exactly: false,
                power: false,
                multiplies: false,
                takes_any_byte: false,
            },
            derivative: None,
            half: None,
            fold: OnceLock::new(),
        }
    }

    /// Returns the CPU's elementwise loops for this compute type, or `None` if the function does not support it.
    pub fn map(&self, compute: Compute) -> Option<Loops> {
        Some(self.forms[compute as usize]?.map)
    }

    /// Returns the CPU's loops over rows whose second operand is one element per row, or `None` if the function has none
    /// for this compute type.
    pub fn by_row(&self, compute: Compute) -> Option<RowLoops> {
        self.forms[compute as usize]?.by_row
    }

    /// Returns the function's threaded-code instructions for this compute type, for words of 4 or 8 bytes, or `None` if
    /// it has none.
    pub fn threaded(&self, compute: Compute, word: usize) -> Option<InstructionCodes> {
        self.forms[compute as usize]?.threaded[word / 8]
    }

    /// Returns whether the function has WGSL source for this compute type.
    pub fn on_gpu(&self, compute: Compute) -> bool {
        self.wgsl[compute as usize].is_some()
    }

    /// Returns the operand whose type selects the function's implementation. All operands have the same type, except
    /// that the first operand of `select` is a bool.
    pub fn typed_operand<'a, T>(&self, operands: &'a [T]) -> Option<&'a T> {
        operands.last()
    }

    /// Returns the cost of compiling the function's WGSL source in a GPU driver, in additions. The source for integers
    /// and bool is short.
    pub fn compile_cost(&self, compute: Compute) -> u32 {
        match compute {
            Compute::F32 | Compute::F64 => self.properties.shader_cost,
            Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 => 1,
        }
    }

    /// Returns whether the function has a CPU loop for this compute type.
    pub fn on_cpu(&self, compute: Compute) -> bool {
        self.forms[compute as usize].is_some()
    }
}

impl std::fmt::Debug for Ufunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl CalledFunction {
    /// Returns the row of the table that this name stands for.
    pub fn row(self) -> &'static Ufunc {
        macro_rules! rows {
            ($($module:ident: [$($unary:ident)*] [$($binary:ident)*];)*) => {
                match self {
                    CalledFunction::select => &logic::SELECT,
                    $($(CalledFunction::$unary => &$module::$unary,)* $(CalledFunction::$binary => &$module::$binary,)*)*
                }
            };
        }
        formula::functions!(rows)
    }
}

#[cfg(any(feature = "testing", feature = "kernels"))]
/// Returns the rows of the table that have a method, in the order of the table's files: all except `select` and the
/// rows of `nextafter` for f16 and bf16.
pub(crate) fn all() -> impl Iterator<Item = &'static Ufunc> {
    arithmetic::ROWS.iter().chain(float::ROWS).chain(special::ROWS).chain(logic::ROWS).copied()
}

#[cfg(feature = "testing")]
mod tests {
    use super::{Fold, Ufunc, all, arithmetic};
    use crate::base::dtype::Compute;
    use crate::base::layout::IntoAxes;
    use crate::graph::expr::{Expr, reduce};
    use crate::{DType, Device, Result, ops::create};
    use std::panic::Location;

    crate::testing::unit_tests! {
        ufunc: a_reduction_of_any_row_keeps_the_order_that_its_properties_ask_for,
        a_reduction_of_no_elements_gives_what_its_row_says, costs_and_domains_are_sensible,
        functions_of_bools_take_any_byte
    }

    fn functions_of_bools_take_any_byte() {
        let every: Vec<u8> = (0..=255).collect();
        let truths: Vec<u8> = every.iter().map(|x| (*x != 0) as u8).collect();
        let mut count = 0;
        for row in all().filter(|row| row.properties.takes_any_byte) {
            let f = row.map(Compute::Bool).unwrap().get();
            let computed = |x: &[u8], y: u8| {
                let (y, mut out) = ([y; 256], [2u8; 256]);
                // SAFETY: the operands and the result have 256 elements of one byte each, and do not overlap.
                unsafe { f(256, x.as_ptr(), y.as_ptr(), y.as_ptr(), out.as_mut_ptr()) };
                out
            };
            for y in &every {
                let got = computed(&every, *y);
                assert_eq!(got, computed(&truths, (*y != 0) as u8), "{} of {y}", row.name);
                assert!(got.iter().all(|x| *x < 2), "{} of {y}", row.name);
            }
            count += 1;
        }
        assert!(count >= 8, "{count} functions");
    }

    crate::graph::ufunc::define! {
        /// An elementwise function that only this test uses, so no other code can treat it by its name instead of its
        /// properties.
        stranger(x, y): Float {
            cpu_float: [(x * x + y * y).sqrt(), (x * x + y * y).sqrt()], wgsl_f32: "sqrt({a} * {a} + {b} * {b})",
            reduce: { method: norm, neutral: Zero, empty: 0.0, order: fixed },
        }
    }

    fn folded(row: &'static Ufunc, e: &Expr, axis: isize) -> Expr {
        reduce("folded", Fold::of(row), e, &axis.into_axes(), Location::caller())
    }

    /// Returns expressions that need fewer kernels if a reduction may combine its elements in any order.
    fn expressions(row: &'static Ufunc) -> Result<Vec<Expr>> {
        let x = create::ones([40, 30], DType::F32).to_device(&Device::cpu())?;
        let y = create::ones([30, 40], DType::F32).to_device(&Device::cpu())?;
        Ok(vec![
            folded(row, &x, 0) + folded(row, &y.t(), 0),
            folded(row, &(&x * 2.0), 1) + folded(row, &y.t(), 1),
            &x - folded(row, &x, 1).reshape([40, 1]),
            folded(row, &(&x + folded(row, &y, 0).reshape([40, 1])), 1),
            folded(row, &folded(row, &x, 0), 0),
        ])
    }

    /// Returns the plans of `expressions` as text, with the row's name replaced by `row`, so that plans of different
    /// rows can be compared.
    fn plans(row: &'static Ufunc) -> Result<Vec<String>> {
        let text = |e: &Expr| Ok(e.plan()?.to_string().replace(&format!("reduce {row:?}"), "reduce row"));
        expressions(row)?.iter().map(text).collect()
    }

    fn a_reduction_of_any_row_keeps_the_order_that_its_properties_ask_for() {
        let (sum, other) = (plans(&arithmetic::add).unwrap(), plans(&stranger).unwrap());
        assert_eq!(sum, other, "a reduction with a fixed order is planned as a sum is");
        let free = plans(&arithmetic::minimum).unwrap();
        assert_ne!(sum, free, "nothing here depends on the order");
    }

    fn a_reduction_of_no_elements_gives_what_its_row_says() {
        let x = create::ones([0, 3], DType::F32);
        for row in all().chain([&stranger]) {
            let Some(reduction) = row.reduce else { continue };
            let got = folded(row, &x.astype(row.class.operand(DType::F32)), 0).astype(DType::F64).to_vec::<f64>();
            match reduction.empty {
                Some(number) => assert_eq!(got.unwrap(), [number; 3], "{row:?}"),
                None => assert!(got.is_err(), "{row:?}"),
            }
        }
    }

    fn costs_and_domains_are_sensible() {
        for row in all() {
            assert!(row.domain[0] < row.domain[1], "{row:?}");
            assert!(row.properties.cost > 0 && row.properties.shader_cost > 0, "{row:?}");
            assert_eq!(row.properties.compares.is_some(), row.class == super::Class::Compare, "{row:?}");
        }
    }
}
