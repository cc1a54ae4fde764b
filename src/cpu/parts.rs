//! Items that both forms of compiled kernels use: programs of loops (`program.rs`) and threaded code (`threaded/`).

use crate::base::error::{Error, ErrorKind};

/// Returns the error for a kernel that violates an invariant of the planner.
pub(super) fn internal(name: &'static str, detail: impl Into<String>) -> Error {
    Error::with_line(ErrorKind::Internal, name, detail, None)
}

/// The source of a number that is repeated along a register or a vector.
#[derive(Clone, Copy)]
pub(super) enum FillValue {
    Bits(u64),
    /// The run-time scalar with this index.
    Scalar(usize),
    /// The one element that a load reads for the whole register. The number is the index of the load's operand in the
    /// program's `places`.
    Element(usize),
}
