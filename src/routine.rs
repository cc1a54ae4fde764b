//! Floor 2: the table of routines, beside that of elementwise functions. A routine is an operation that no loop nest can
//! express: it writes where its values tell it to, or takes several passes over scratch memory of its own.
//!
//! A row says what a routine is: the shapes and dtypes of its results, the memory and the passes that it needs on a
//! device, what it refuses, and its meaning for tests. What runs is in the backends: `src/cpu/NAME.rs` is its function
//! on the CPU, `shaders/NAME.wgsl` has its passes on a GPU, and each backend's list of routines
//! (`src/cpu/routines.rs`, `src/gpu/routines.rs`) has a line for it. A method of [`Expr`](crate::Expr) builds its node.
//!
//! Operands are whole arrays in memory, dense and in C order; the planner stores or copies those that are not. Numbers that
//! vary from run to run (all floats) are operands too; integers that decide shapes are [`Params`]. Results share no memory
//! with operands.

mod bincount;

pub(crate) use bincount::BINCOUNT;

use crate::caps::Caps;
use crate::dtype::{DType, Scalar};
use crate::error::Fault;
use crate::layout::{self, Shape};
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Every routine.
pub(crate) static ROWS: [&Routine; 1] = [&BINCOUNT];

/// Integers that are part of a routine's structure, as the length of a result is.
pub(crate) type Params = SmallVec<[u64; 2]>;

/// Shape and dtype of an operand or a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub shape: Shape,
    pub dtype: DType,
}

impl Meta {
    /// The number of elements.
    pub fn size(&self) -> usize {
        layout::product(&self.shape)
    }

    /// Bytes of all elements. The product saturates: a number beyond memory is refused when it is allocated.
    pub fn bytes(&self) -> usize {
        self.size().saturating_mul(self.dtype.size())
    }
}

/// The results of a routine, or why there are none.
pub(crate) type Inferred = Result<SmallVec<[Meta; 1]>, Fault>;

/// The elements of each result, in C order, or why there are none.
pub(crate) type Meaning = Result<Vec<Vec<Scalar>>, Fault>;

/// A scratch memory that a routine asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Temp {
    pub bytes: usize,
    /// Whether the plan clears it first.
    pub zeroed: bool,
}

/// An operand, a result or a scratch memory, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Operand(usize),
    Result(usize),
    Scratch(usize),
}

/// A pass on a GPU: one invocation for each item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pass {
    /// The entry point in the routine's shader file, and the block that it stands in.
    pub name: &'static str,
    pub items: usize,
    /// The operands and results of which item `i` touches element `i` alone. If one of them spans more than a binding, the
    /// pass takes several dispatches.
    pub along: &'static [Place],
    /// All else that the pass touches. Each must fit a binding, because any item may touch any of its elements.
    pub whole: &'static [Place],
}

/// What a routine needs on a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub scratch: SmallVec<[Temp; 2]>,
    /// Empty on a CPU, where a routine is one function.
    pub passes: Vec<Pass>,
}

/// A row of the table.
pub(crate) struct Routine {
    /// The method's name; no other row has it.
    pub name: &'static str,
    pub doc: &'static str,
    /// Shapes and dtypes of the results.
    pub infer: fn(&[Meta], &Params) -> Inferred,
    /// Scratch and passes for operands of these shapes and dtypes.
    pub needs: fn(&[Meta], &Params, &Caps) -> Result<Needs, Fault>,
    /// The error of an integer element of the first operand that the routine refuses while it runs; none if the routine
    /// takes every value.
    pub refuses: Option<fn(i128, &Params) -> Fault>,
    /// The meaning, for tests: the elements of the results from those of the operands, all in C order.
    pub reference: fn(&[Vec<Scalar>], &Params) -> Meaning,
}

impl Routine {
    /// The row's identity: its name, which no other row has. Its address would not do, because the compiler may give one
    /// static several.
    fn key(&self) -> &'static str {
        self.name
    }
}

impl PartialEq for Routine {
    fn eq(&self, other: &Routine) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Routine {}

impl Hash for Routine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl fmt::Debug for Routine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
