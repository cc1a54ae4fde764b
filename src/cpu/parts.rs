//! What programs of loops (`program.rs`) and threaded code (`threaded.rs`) are both made of.

use crate::base::error::{Error, ErrorKind};

/// The error of a kernel that breaks what the planner promises.
pub(super) fn internal(name: &'static str, detail: impl Into<String>) -> Error {
    Error::with_line(ErrorKind::Internal, name, detail, None)
}

/// Where the number comes from that is repeated along a register or a vector.
#[derive(Clone, Copy)]
pub(super) enum FillValue {
    Bits(u64),
    /// A run-time scalar.
    Scalar(usize),
    /// The only element of the load at this place.
    Element(usize),
}
