//! Floor 7: functions that only the tests in `tests/` need: the table of functions as plain data, lookup of a function
//! by its name, the scalar interpreter of expressions, and the list of the unit tests in `src/`.

mod contract;
mod faults;
mod folds;
mod interpret;
mod number;
mod plans;
pub(crate) mod unit;

/// The faults that `src/base/mutants.rs` lists. Each can be planted in the code, to show that a test then fails. The
/// columns are name, stage, test program with filter, and a description of the fault.
#[cfg(cupric_mutants)]
pub const FAULTS: &[[&str; 4]] = crate::base::mutants::LIST;

pub use contract::{Bound, Promise, contract, planned_contract, promised};
pub use faults::*;
pub use folds::*;
pub use interpret::{BoundedReal, ElementList, Interpreted, Interpreter, interpret, reference_bound};
pub use plans::*;
pub use unit::all_unit_tests;
pub(crate) use unit::unit_tests;

use crate::array::device::Device;
use crate::base::dtype::DType;
use crate::graph::expr::{Expr, Operand, ufunc};
use crate::graph::ufunc::{Class, Partial, Ufunc, arithmetic, float, logic, special};
use std::panic::Location;

/// An exact function of floats. A function with fewer than three operands ignores the other arguments.
pub type Exact = fn(f64, f64, f64) -> f64;
/// An exact function of integers. The caller wraps the result to the type; the last argument is the type's width in
/// bits.
pub type ExactInteger = fn(i128, i128, i128, u32) -> i128;

/// One row of the table of elementwise functions.
#[derive(Clone, Copy)]
pub struct Row(&'static Ufunc, &'static str);

impl Row {
    /// Returns the function's name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns a description of the function in one or two lines.
    pub fn doc(&self) -> &'static str {
        self.0.doc
    }

    /// Returns the name of the file of `src/graph/ufunc/` that holds the row.
    pub fn family(&self) -> &'static str {
        self.1
    }

    /// Returns the number of operands.
    pub fn arity(&self) -> usize {
        self.0.arity
    }

    /// Returns the name of the row's class, which determines the types of its operands and result.
    pub fn class(&self) -> String {
        format!("{:?}", self.0.class)
    }

    /// Returns true if the function does not change the bits of a NaN.
    pub fn keeps_nan(&self) -> bool {
        self.0.properties.moves_bits
    }

    /// Returns the type to which operands of type `dtype` are cast first.
    pub fn operand(&self, dtype: DType) -> DType {
        self.0.class.operand(dtype)
    }

    /// Returns the type of the result for operands of type `dtype`.
    pub fn result(&self, dtype: DType) -> DType {
        self.0.class.result(dtype)
    }

    /// Returns true if the function accepts operands of type `dtype`, on the CPU or, with `gpu`, on a GPU that supports
    /// the type.
    pub fn takes(&self, dtype: DType, gpu: bool) -> bool {
        let compute = self.operand(dtype).compute();
        let fits = match self.0.class {
            Class::FloatOnly => dtype.is_float(),
            Class::Integer => !dtype.is_float(),
            Class::Float | Class::Numeric | Class::Compare | Class::Test | Class::Select => true,
            // every type has a truth value
            Class::Logical => true,
        };
        fits && if gpu { self.0.on_gpu(compute) } else { self.0.on_cpu(compute) }
    }

    /// Returns true if the function converts integers to f32 first. Tests then try a few integer types instead of all.
    pub fn floats_integers(&self) -> bool {
        matches!(self.0.class, Class::Float | Class::Test)
    }

    /// Returns the exact function of floats, if the row has one.
    pub fn exact(&self) -> Option<Exact> {
        self.0.exact
    }

    /// Returns the exact function of integers and bool, if the row has one.
    pub fn exact_int(&self) -> Option<ExactInteger> {
        self.0.exact_int
    }

    /// Returns the range from which tests draw operands.
    pub fn domain(&self) -> [f64; 2] {
        self.0.domain
    }

    /// Returns what the row states about the derivative with respect to each operand: `formula`, `zero` or `unknown`;
    /// `None` if it states nothing.
    pub fn derivatives(&self) -> Option<Vec<&'static str>> {
        let name = |p: &Partial| match p {
            Partial::Unknown => "unknown",
            Partial::Zero => "zero",
            Partial::Is(_) => "formula",
        };
        self.0.derivative.map(|list| list.iter().map(name).collect())
    }

    /// Builds the expression of the function with these operands.
    #[track_caller]
    pub fn apply(&self, operands: &[Expr]) -> Expr {
        ufunc(self.0, operands.iter().map(Operand::into_arg).collect(), Location::caller())
    }
}

/// Returns the name of the instruction set that the CPU backend uses.
pub fn instruction_set() -> &'static str {
    match crate::math::simd::isa() {
        crate::math::simd::Isa::Portable => "portable",
        crate::math::simd::Isa::Avx2 => "avx2",
        crate::math::simd::Isa::Avx512 => "avx512",
        crate::math::simd::Isa::Neon => "neon",
    }
}

/// Returns the name and version of a GPU's driver, or `None` for the CPU.
pub fn driver(device: &Device) -> Option<String> {
    device.backend().driver()
}

/// Returns every row of the table of elementwise functions.
pub fn rows() -> Vec<Row> {
    let family = |rows: &'static [&'static Ufunc], name| rows.iter().map(move |r| Row(r, name));
    family(arithmetic::ROWS, "arithmetic")
        .chain(family(float::ROWS, "float"))
        .chain(family(special::ROWS, "special"))
        .chain(family(logic::ROWS, "logic"))
        .chain(std::iter::once(Row(&logic::SELECT, "logic")))
        .collect()
}

/// One row of the table of routines, with the backends that implement it.
#[derive(Clone, Copy, Debug)]
pub struct RoutineRow {
    /// The routine's name.
    pub name: &'static str,
    /// A description of the routine in one line.
    pub doc: &'static str,
    /// Whether the CPU has a function for the routine.
    pub on_cpu: bool,
    /// Whether GPUs have a shader for the routine; true if the crate is built without GPUs.
    pub on_gpu: bool,
    /// Whether the routine is meant to run only on the CPU, so that GPUs have no shader for it.
    pub is_only_on_cpu: bool,
}

/// Returns every row of the table of routines.
pub fn routines() -> Vec<RoutineRow> {
    let row = |r: &&'static crate::graph::routine::Routine| RoutineRow {
        name: r.name,
        doc: r.doc,
        on_cpu: crate::cpu::has_routine(r),
        on_gpu: Device::gpus_have_routine(r),
        is_only_on_cpu: crate::graph::routine::ONLY_ON_CPU.contains(r),
    };
    crate::graph::routine::ROWS.iter().map(row).collect()
}

/// Returns the row of the elementwise function with this name.
pub fn row(name: &str) -> Option<Row> {
    rows().into_iter().find(|r| r.name() == name)
}

/// Returns the axes that an argument lists, or `None` if the argument means all axes.
#[must_use]
pub fn axes(of: &crate::AxesArg) -> Option<Vec<isize>> {
    of.axes.as_ref().map(|axes| axes.to_vec())
}
