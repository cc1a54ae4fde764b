//! The table of routines. A routine is an operation that a kernel, which consists of nested loops, cannot express: its
//! values decide where it writes, or it needs several passes over its own scratch memory.
//!
//! An entry describes a routine: the shapes and dtypes of its results, the scratch memory and passes that it needs on a
//! device, the values that it rejects, and a reference implementation for tests. `src/cpu/NAME.rs` is the function for
//! the CPU, and `shaders/NAME.wgsl` contains the passes for a GPU.
//!
//! Operands are whole arrays in memory, dense and in C order. Numbers that vary from run to run (all floats) are
//! operands too; integers that decide shapes are [`Params`]. Results share no memory with operands.

mod bincount;
mod cholesky;
mod compress;
mod eig;
mod factor;
mod fft;
mod lu;
mod solve;
mod sort;
mod sums;
mod triangular;

pub(crate) use bincount::BINCOUNT;
pub(crate) use cholesky::{CHOLESKY, MOST_ROWS as MOST_ROWS_OF_CHOLESKY};
pub(crate) use compress::{CHUNK as COMPRESS_CHUNK, COMPRESS, NONZERO};
pub(crate) use eig::{EIG, eig_work};
pub(crate) use factor::{
    EIGH, MOST_ON_GPU as MOST_ROWS_OF_SVD, OF_A_TASK as FACTORS_OF_A_TASK, QR, SVD, eigh_work, qr_params, qr_work,
    spectrum_params, svd_work,
};
pub(crate) use fft::{
    FFT, INVERSE, REAL, ROW_OF_A_TASK, SCALE_BY_LENGTH, SCALE_BY_ROOT, axis_before, is_smooth, params as fft_params,
    root as root_of_unity, scale as fft_scale,
};
pub(crate) use lu::{LU, MOST_COLUMNS as MOST_COLUMNS_OF_LU};
pub(crate) use solve::{MOST_IN_LANES, SOLVE, solves};
pub(crate) use sort::{ARGSORT, ARGTOPK, SELECT, SELECT_COPIES, SELECTED, SHORT as SHORT_SORT, SORT};
#[cfg(feature = "gpu")]
pub(crate) use sort::{key_bits, slot_words};
pub(crate) use sums::{KeyedSumPlan as SumsPlan, REDUCE_AT, SUM_BY_KEY};
pub(crate) use triangular::{SOLVE_TRIANGULAR, UNIT, UPPER, called};

use crate::base::caps::Caps;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Fault;
use crate::base::layout::{self, Shape};
use smallvec::SmallVec;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Every routine.
pub(crate) static ROWS: [&Routine; 18] = [
    &BINCOUNT,
    &SORT,
    &ARGSORT,
    &ARGTOPK,
    &SELECT,
    &NONZERO,
    &COMPRESS,
    &SUM_BY_KEY,
    &REDUCE_AT,
    &FFT,
    &CHOLESKY,
    &SOLVE_TRIANGULAR,
    &LU,
    &SOLVE,
    &EIGH,
    &SVD,
    &QR,
    &EIG,
];

/// The routines that only a CPU can run. Their function `needs` returns an error for a GPU.
pub(crate) static ONLY_ON_CPU: [&Routine; 1] = [&EIG];

/// Integers that determine the structure of a call, such as the length of a result. They are part of a plan's key.
pub(crate) type Params = SmallVec<[u64; 2]>;

/// Returns the number of a function in a list of the functions that call a routine. The number is a parameter of the
/// call, because errors name the function that the user called.
fn number_of_caller(callers: &[&str], op: &str) -> u64 {
    callers.iter().position(|caller| *caller == op).unwrap_or_default() as u64
}

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

    /// Returns the size of all elements in bytes. The product saturates; an allocation of that size fails with an
    /// error.
    pub fn bytes(&self) -> usize {
        self.size().saturating_mul(self.dtype.size())
    }
}

/// The shapes and dtypes of a routine's results, or an error if the operands do not fit.
pub(crate) type Inferred = Result<SmallVec<[Meta; 1]>, Fault>;

/// The elements of each result, in C order, or an error.
pub(crate) type Meaning = Result<Vec<Vec<Scalar>>, Fault>;

/// A function that returns the name of the function that the user called, and the error for a value that a routine
/// rejects.
pub(crate) type Refuses = fn(i128, &Params) -> (&'static str, Fault);

/// One block of scratch memory that a routine asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Temp {
    pub bytes: usize,
    /// Whether the plan fills the block with zeros before the call.
    pub zeroed: bool,
}

/// An operand, a result or a block of scratch memory, identified by its index among the operands, results or blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RoutineOperand {
    Operand(usize),
    Result(usize),
    /// Scratch memory that a shader sees as plain words. Each invocation writes only its own words.
    Scratch(usize),
    /// Scratch memory that a shader sees as words that invocations share and access by atomic operations.
    Shared(usize),
}

/// One pass of a routine on a GPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct GpuPass {
    /// The name of the pass's entry point in the routine's shader file, and of the block of that file that contains it.
    pub name: &'static str,
    pub items: usize,
    /// The number of items that each invocation handles. A workgroup handles a run of consecutive items.
    pub each: usize,
    /// The operands and results that the pass accesses element by element: item `i` reads or writes only element `i`.
    /// If one of these operands or results is larger than a binding, the pass is split into several dispatches.
    pub along: &'static [RoutineOperand],
    /// All other memory of the pass. Each operand, result or block here must fit into one binding, because any item may
    /// access any element of it. The shader source names scratch memory by its position in this list (`scratch0` is the
    /// first), so passes that differ only in their memory share the same source.
    pub whole: &'static [RoutineOperand],
    /// A number that the shader source reads as `params.number`. It distinguishes passes that share the same source.
    pub number: u32,
}

/// The scratch memory and passes that a routine needs on a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    pub scratch: SmallVec<[Temp; 2]>,
    /// The passes on a GPU. The list is empty on a CPU, where a routine is a single function.
    pub passes: Vec<GpuPass>,
}

/// How a call of a routine is divided along an axis: the results for a range of indices need only this range of each
/// operand.
pub(crate) struct Apart {
    /// Returns the number of leading axes of an operand along which a call can be divided.
    pub axes: fn(&[usize], &Params) -> usize,
    /// The index of the parameter that counts the elements (or the matrices) of the whole call.
    pub count: usize,
}

/// An entry of the table of routines.
pub(crate) struct Routine {
    /// The name of the method; it is unique in the table.
    pub name: &'static str,
    pub doc: &'static str,
    /// Infers the shapes and dtypes of the results.
    pub infer: fn(&[Meta], &Params) -> Inferred,
    /// Returns the scratch memory and passes that operands of these shapes and dtypes need on a device.
    pub needs: fn(&[Meta], &Params, &Caps) -> Result<Needs, Fault>,
    /// Builds the error for something that the routine rejects while it runs. The first argument, which fits in 64
    /// bits, tells what was rejected: an integer element of the first operand, or a position in the operands, whose
    /// meaning the entry defines. The error names the function that the user called. The field is `None` if the routine
    /// accepts every value.
    pub refuses: Option<Refuses>,
    /// How a call is divided into calls on parts of the operands, or `None` if every result needs whole operands.
    pub apart: Option<Apart>,
    /// Computes the elements of the results from the elements of the operands, all in C order. Tests use it as the
    /// reference.
    pub reference: fn(&[Vec<Scalar>], &Params) -> Meaning,
}

impl Routine {
    /// Returns the identity of the entry: its name, which is unique. The address cannot be the identity, because one
    /// static may have several addresses.
    fn key(&self) -> &'static str {
        self.name
    }

    /// Returns whether a call with an operand of this shape can be divided along an axis.
    pub fn is_apart(&self, axis: usize, shape: &[usize], params: &Params) -> bool {
        self.apart.as_ref().is_some_and(|apart| axis < (apart.axes)(shape, params))
    }

    /// Returns the parameters of a call on `part` of the `length` indices along an axis.
    pub fn part_params(&self, params: &Params, length: usize, part: usize) -> Params {
        let mut params = params.clone();
        if let Some(count) = self.apart.as_ref().and_then(|apart| params.get_mut(apart.count)) {
            // the count is a multiple of the length of each axis along which a call can be divided
            *count = *count / length as u64 * part as u64;
        }
        params
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
