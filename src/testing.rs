//! Functions that only the tests in `tests/` need: the table of functions as plain data, a function by its name, and the
//! scalar interpreter of expressions.

// a contract file that cannot be read is a mistake in the tests, for which a panic is right
#[allow(clippy::panic)]
mod contract;
mod faults;
mod folds;
mod interpret;
mod number;
mod plans;

/// The faults of `src/mutants.rs`: name, stage, test and filter, words.
#[cfg(cupric_mutants)]
pub const FAULTS: &[[&str; 4]] = crate::mutants::LIST;

pub use contract::{Bound, Promise, contract, promised};
pub use faults::*;
pub use folds::*;
pub use interpret::{Elements, Interpreted, Interpreter, Real, interpret};
pub use plans::*;

use crate::device::Device;
use crate::dtype::DType;
use crate::expr::{Expr, Operand, ufunc};
use crate::ufunc::{Class, Ufunc, arithmetic, float, logic, special};
use std::panic::Location;

/// The exact function of floats; operands that a function does not have are ignored.
pub type Exact = fn(f64, f64, f64) -> f64;
/// The exact function of integers before it wraps; the last argument is the width in bits.
pub type ExactInt = fn(i128, i128, i128, u32) -> i128;

/// One row of the table of elementwise functions.
#[derive(Clone, Copy)]
pub struct Row(&'static Ufunc, &'static str);

impl Row {
    /// The function's name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// What it computes, in a line or two.
    pub fn doc(&self) -> &'static str {
        self.0.doc
    }

    /// The table's file that it stands in.
    pub fn family(&self) -> &'static str {
        self.1
    }

    /// How many operands it takes.
    pub fn arity(&self) -> usize {
        self.0.arity
    }

    /// Which types it takes and gives, by name.
    pub fn class(&self) -> String {
        format!("{:?}", self.0.class)
    }

    /// Whether it keeps the bits of a NaN.
    pub fn keeps_nan(&self) -> bool {
        self.0.properties.moves_bits
    }

    /// The type to which operands of a type are cast first.
    pub fn operand(&self, dtype: DType) -> DType {
        self.0.class.operand(dtype)
    }

    /// The type of the result for operands of a type.
    pub fn result(&self, dtype: DType) -> DType {
        self.0.class.result(dtype)
    }

    /// Whether operands of this type are taken, on a GPU that has the type or on the CPU.
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

    /// Whether it converts integers to f32 first. Tests then try a few integer types instead of all.
    pub fn floats_integers(&self) -> bool {
        matches!(self.0.class, Class::Float | Class::Test)
    }

    /// The exact function of floats.
    pub fn exact(&self) -> Option<Exact> {
        self.0.exact
    }

    /// The exact function of integers and bool.
    pub fn exact_int(&self) -> Option<ExactInt> {
        self.0.exact_int
    }

    /// The range from which operands are drawn.
    pub fn domain(&self) -> [f64; 2] {
        self.0.domain
    }

    /// The function of operands.
    #[track_caller]
    pub fn apply(&self, operands: &[Expr]) -> Expr {
        ufunc(self.0, operands.iter().map(Operand::into_arg).collect(), Location::caller())
    }
}

/// The instruction set that the CPU's loops use.
pub fn instruction_set() -> &'static str {
    match crate::simd::isa() {
        crate::simd::Isa::Portable => "portable",
        crate::simd::Isa::Avx2 => "avx2",
        crate::simd::Isa::Avx512 => "avx512",
    }
}

/// The driver of a GPU with its version; none on the CPU.
pub fn driver(device: &Device) -> Option<String> {
    device.backend().driver()
}

/// Every row of the table.
pub fn rows() -> Vec<Row> {
    let family = |rows: &'static [&'static Ufunc], name| rows.iter().map(move |r| Row(r, name));
    family(arithmetic::ROWS, "arithmetic")
        .chain(family(float::ROWS, "float"))
        .chain(family(special::ROWS, "special"))
        .chain(family(logic::ROWS, "logic"))
        .chain(std::iter::once(Row(&logic::SELECT, "logic")))
        .collect()
}

/// One row of the table of routines, and whether each backend's list has a line for it.
#[derive(Clone, Copy, Debug)]
pub struct RoutineRow {
    /// The routine's name.
    pub name: &'static str,
    /// What it computes, in a line.
    pub doc: &'static str,
    /// The CPU has a function for it.
    pub on_cpu: bool,
    /// A GPU has a shader for it; true where the crate has no GPU.
    pub on_gpu: bool,
}

/// Every row of the table of routines.
pub fn routines() -> Vec<RoutineRow> {
    let row = |r: &&'static crate::routine::Routine| RoutineRow {
        name: r.name,
        doc: r.doc,
        on_cpu: crate::cpu::has_routine(r),
        on_gpu: Device::gpus_have_routine(r),
    };
    crate::routine::ROWS.iter().map(row).collect()
}

/// The row of a name.
pub fn row(name: &str) -> Option<Row> {
    rows().into_iter().find(|r| r.name() == name)
}

/// The axes that an argument names; none where it means all.
#[must_use]
pub fn axes(of: &crate::AxesArg) -> Option<Vec<isize>> {
    of.axes.as_ref().map(|axes| axes.to_vec())
}
