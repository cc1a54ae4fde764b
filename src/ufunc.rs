//! Floor 2: the table of elementwise functions.
//!
//! A [`Ufunc`] is one row: name, operands, type signature, one scalar Rust function for each compute type, WGSL text,
//! an exact reference, a test domain and properties. Planner, methods, shader text, CPU loops, tests and docs read the
//! row; code asks for its properties, and for its name only to print it. The rows stand in `ufunc/arithmetic.rs`,
//! `ufunc/float.rs`, `ufunc/special.rs` and `ufunc/logic.rs`; **a new function is one new row there**.
//! `ufunc/define.rs` lists the columns, `ufunc/intern.rs` says when two rows are equal, and `ufunc/cast.rs` holds the
//! conversions between types.

pub(crate) mod arithmetic;
pub(crate) mod cast;
mod define;
pub(crate) mod float;
mod fold;
pub(crate) mod integer;
pub(crate) mod intern;
pub(crate) mod logic;
pub(crate) mod special;

pub(crate) use define::define;
pub(crate) use fold::{ARGMAX, ARGMIN, Component, Fold, Form, MOST_COMPONENTS, Operand, Order, Program, Step};
#[cfg(any(test, feature = "testing"))]
pub(crate) use fold::{Definition, Kind, Term};

use crate::dtype::{Compute, DType};
use crate::simd::{Forms, Loops};
use std::cmp::Ordering;
use std::sync::OnceLock;

/// Which types a function takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Class {
    /// Takes any number; computes in its float type (f32 for integers and bool), and gives that type.
    Float,
    /// Takes floats only; gives the promoted type of its operands.
    FloatOnly,
    /// Takes any number; gives the promoted type of its operands.
    Numeric,
    /// Takes bool and integers; gives the promoted type of its operands.
    Integer,
    /// Compares two operands by value; gives bool.
    Compare,
    /// Tests a property of each element, such as being NaN; gives bool.
    Test,
    /// Takes each operand as a truth value; gives bool.
    Logical,
    /// Takes a bool and two operands of one type; gives one of the two.
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
            Class::FloatOnly | Class::Numeric | Class::Integer | Class::Compare | Class::Test | Class::Select => dtype,
        }
    }
}

/// Which of its two operands a row such as `minimum` picks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extreme {
    Smallest,
    Largest,
}

/// The neutral element of a reduction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Neutral {
    /// 0; for floats −0, because x + −0 is x for every x, and +0 would turn −0 into +0.
    Zero,
    One,
    Lowest,
    Highest,
}

impl Neutral {
    /// As bits of a compute type.
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

/// What makes a reduction of a binary function.
#[derive(Clone, Copy)]
pub(crate) struct Reduction {
    /// The method that users call.
    pub method: &'static str,
    /// The method of the scan that users call, such as `cumulative_sum`.
    pub cumulative: &'static str,
    pub neutral: Neutral,
    /// What a reduction of no elements gives; none where it is refused. A sum gives 0, though −0 is its neutral element.
    pub empty: Option<f64>,
    /// Whether a reduction of floats gives the same bits in any order, as that of a minimum does. Where it does not, a
    /// plan keeps the order of a reduction's tree, whatever it is fused with. Of integers and bool any order will do.
    pub reorders_floats: bool,
    /// Which of its operands the row picks; none where it computes a new value. Where it picks one, a reduction can
    /// give its position.
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
    /// The answer for two operands, of which `order` says how the first compares with the second.
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

/// The properties by which the planner and the backends treat a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Properties {
    /// The relation that the row tests, if it is a comparison.
    pub compares: Option<Comparison>,
    /// What one evaluation costs, in additions. The planner stores costly values instead of computing them twice.
    pub cost: u32,
    /// What it costs a driver to compile the row's text of floats, in additions: a software driver takes up to a millisecond
    /// for 1. Sine, for example, is hundreds of instructions, because it reduces large arguments.
    pub shader_cost: u32,
    /// f16 and bf16 operands are rounded to their own width first (comparisons, tests, steps).
    pub rounds_first: bool,
    /// For floats: the exact result is always a number of the operands' type, so that nothing is rounded.
    pub never_rounds: bool,
    /// The result has the bits of one of the operands, so that a kernel of such rows alone may move words instead of numbers.
    pub moves_bits: bool,
    /// For integers: operands in the range of a narrow type give a result in that range, so that no wrap is needed.
    pub keeps_range: bool,
    /// For floats: the WGSL text picks an operand or works on bits, so that no compiler folds it with the code around it.
    pub opaque: bool,
    /// For floats: a compiler that sees that both operands are the same value cannot change a bit by simplifying. It may make
    /// `2·x` of `x + x`, which is right; but of `x − x` it makes 0 and of `x / x` it makes 1, which is wrong for NaN and ∞.
    pub simplifies_exactly: bool,
    /// Raises the first operand to the power of the second. For integers, a negative number as the second is refused.
    pub power: bool,
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
    /// By compute type of the operands: the CPU's loops.
    pub forms: [Option<Forms>; Compute::COUNT],
    /// By compute type of the operands: an expression in which `{a}`, `{b}`, `{c}` are the operands and `{T}` the
    /// type; functions are those of `shaders/lib`.
    pub wgsl: [Option<&'static str>; Compute::COUNT],
    /// The exact function of floats, in f64 and without `crate::math`.
    pub exact: Option<fn(f64, f64, f64) -> f64>,
    /// The exact function of integers and bool before it wraps; the last argument is the type's width in bits.
    pub exact_int: Option<ExactInt>,
    /// The range from which tests draw operands: there the function is neither constant nor infinite.
    pub domain: [f64; 2],
    pub reduce: Option<Reduction>,
    pub properties: Properties,
    /// The rows that f16 and bf16 take instead.
    pub half: Option<[&'static Ufunc; 2]>,
    /// The fold that combines by it ([`Fold::of`]), once somebody has asked.
    pub fold: OnceLock<Fold>,
}

impl Ufunc {
    /// A row without functions, with the properties that most rows of its class have.
    pub const fn new(name: &'static str, doc: &'static str, arity: usize, class: Class) -> Ufunc {
        // most functions of floats are a polynomial and a few steps around it: some eight operations
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
            },
            half: None,
            fold: OnceLock::new(),
        }
    }

    /// The CPU's loop over elements of this compute type.
    pub fn map(&self, compute: Compute) -> Option<Loops> {
        Some(self.forms[compute as usize]?.map)
    }

    /// Whether a GPU has text for this compute type.
    pub fn on_gpu(&self, compute: Compute) -> bool {
        self.wgsl[compute as usize].is_some()
    }

    /// What compiling it costs a driver, in additions.
    pub fn compile_cost(&self, compute: Compute) -> u32 {
        match compute {
            Compute::F32 | Compute::F64 => self.properties.shader_cost,
            Compute::Bool | Compute::I32 | Compute::U32 | Compute::I64 | Compute::U64 => 1,
        }
    }

    /// Whether the CPU has a loop for this compute type.
    pub fn on_cpu(&self, compute: Compute) -> bool {
        self.forms[compute as usize].is_some()
    }
}

impl std::fmt::Debug for Ufunc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(any(test, feature = "testing"))]
/// Every row but `select`, in the order of the table's files.
pub(crate) fn all() -> impl Iterator<Item = &'static Ufunc> {
    arithmetic::ROWS.iter().chain(float::ROWS).chain(special::ROWS).chain(logic::ROWS).copied()
}

#[cfg(test)]
mod tests {
    use super::{Fold, Ufunc, all, arithmetic};
    use crate::expr::{Expr, reduce};
    use crate::layout::IntoAxes;
    use crate::{DType, Device, Result, create};
    use std::panic::Location;

    crate::ufunc::define! {
        /// A row that no product code knows: what a reduction of it keeps, it keeps for its properties.
        stranger(x, y): Float {
            cpu_float: [(x * x + y * y).sqrt(), (x * x + y * y).sqrt()], wgsl_f32: "sqrt({a} * {a} + {b} * {b})",
            reduce: { method: norm, neutral: Zero, empty: 0.0, order: fixed },
        }
    }

    fn folded(row: &'static Ufunc, e: &Expr, axis: isize) -> Expr {
        reduce("folded", Fold::of(row), e, &axis.into_axes(), Location::caller())
    }

    /// Reductions that could share a kernel but for the order of their trees.
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

    /// The plans of the expressions, with the row's name left out.
    fn plans(row: &'static Ufunc) -> Result<Vec<String>> {
        let text = |e: &Expr| Ok(e.plan()?.to_string().replace(&format!("reduce {row:?}"), "reduce row"));
        expressions(row)?.iter().map(text).collect()
    }

    #[test]
    fn a_reduction_of_any_row_keeps_the_order_that_its_properties_ask_for() {
        let (sum, other) = (plans(&arithmetic::add).unwrap(), plans(&stranger).unwrap());
        assert_eq!(sum, other, "a reduction with a fixed order is planned as a sum is");
        let free = plans(&arithmetic::minimum).unwrap();
        assert_ne!(sum, free, "nothing here depends on the order");
    }

    #[test]
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

    #[test]
    fn costs_and_domains_are_sensible() {
        for row in all() {
            assert!(row.domain[0] < row.domain[1], "{row:?}");
            assert!(row.properties.cost > 0 && row.properties.shader_cost >= row.properties.cost, "{row:?}");
            assert_eq!(row.properties.compares.is_some(), row.class == super::Class::Compare, "{row:?}");
        }
    }
}
