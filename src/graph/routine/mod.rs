//! The table of routines, beside that of elementwise functions. A routine is an operation that no loop nest
//! expresses: its values decide where it writes, or it takes several passes over scratch memory of its own.
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
mod compress;
mod sort;
mod sums;

pub(crate) use bincount::BINCOUNT;
pub(crate) use compress::{CHUNK as COMPRESS_CHUNK, COMPRESS, NONZERO};
pub(crate) use sort::{ARGSORT, ARGTOPK, SELECT, SELECT_COPIES, SELECTED, SHORT as SHORT_SORT, SORT};
pub(crate) use sums::{Plan as SumsPlan, REDUCE_AT, SUM_BY_KEY};

use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Fault;
use crate::base::layout::{self, Shape};
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Every routine.
pub(crate) static ROWS: [&Routine; 9] =
    [&BINCOUNT, &SORT, &ARGSORT, &ARGTOPK, &SELECT, &NONZERO, &COMPRESS, &SUM_BY_KEY, &REDUCE_AT];

/// Integers on which the structure of a call depends, such as the length of a result. They are part of a plan's key.
pub(crate) type Params = SmallVec<[u64; 2]>;

/// The shape and dtype of an operand or a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Meta {
    pub shape: Shape,
    pub dtype: DType,
}

impl Meta {
    /// Returns the number of elements.
    pub fn size(&self) -> usize {
        layout::product(&self.shape)
    }

    /// Returns the bytes of all elements. The product saturates: so many bytes are refused when they are allocated.
    pub fn bytes(&self) -> usize {
        self.size().saturating_mul(self.dtype.size())
    }
}

/// The shapes and dtypes of a routine's results; or an error, where the operands do not fit.
pub(crate) type Inferred = Result<SmallVec<[Meta; 1]>, Fault>;

/// The elements of each result, in C order; or an error.
pub(crate) type Meaning = Result<Vec<Vec<Scalar>>, Fault>;

/// One piece of scratch memory that a routine asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Temp {
    pub bytes: usize,
    /// Whether the plan fills it with zeros before the call.
    pub zeroed: bool,
}

/// An operand, a result or a piece of scratch memory, by its number among those of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Operand(usize),
    Result(usize),
    /// Scratch that a shader sees as plain words, of which each invocation writes its own.
    Scratch(usize),
    /// The same scratch, as words that invocations share and access by atomic operations.
    Shared(usize),
}

/// A pass on a GPU: one invocation for each item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pass {
    /// The name of the pass's entry point in the routine's shader file, and of the block of that file that holds it.
    pub name: &'static str,
    pub items: usize,
    /// The operands and results of which item `i` reads or writes element `i` alone. If one of them spans more than a binding,
    /// the pass takes several dispatches.
    pub along: &'static [Place],
    /// All other memory of the pass. Each piece must fit a binding, because any item may read or write any of its elements. The
    /// text calls scratch by its place in this list (`scratch0` is the first), so that passes which differ in the memory alone
    /// share a text.
    pub whole: &'static [Place],
    /// A number that the text reads as `params.number`: what passes of one text differ in.
    pub number: u32,
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
    /// Infers the shapes and dtypes of the results.
    pub infer: fn(&[Meta], &Params) -> Inferred,
    /// Says which scratch and passes operands of these shapes and dtypes need on a device.
    pub needs: fn(&[Meta], &Params, &Caps) -> Result<Needs, Fault>,
    /// Makes the error for an integer element of the first operand that the routine refuses while it runs; none if the routine
    /// takes every value.
    pub refuses: Option<fn(i128, &Params) -> Fault>,
    /// Computes, for tests, the elements of the results from those of the operands, all in C order.
    pub reference: fn(&[Vec<Scalar>], &Params) -> Meaning,
}

impl Routine {
    /// Returns the row's identity: its name, which no other row has. Its address would not do, because one static may have
    /// several addresses.
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
