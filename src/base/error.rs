//! The one error type.
//!
//! [`Error`] is opaque and pointer-sized; it is cloned with the [`Expr`](crate::Expr) that carries it. Its text
//! names the operation, what did not fit, and the caller's line. A [`Fault`] lacks operation and line, which the floors above
//! add with [`Fault::at`].

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// `std::result::Result` with cupric's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for code that reacts differently to different errors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not broadcast, or do not fit the operation.
    Shape,
    /// An element type that the operation does not take, or a cast that is not allowed.
    DType,
    /// An axis that the array does not have, or that is named twice.
    Axis,
    /// An index outside its axis, or a value outside the range that [`bincount`](crate::Expr::bincount) counts.
    Index,
    /// An argument with a value that the operation does not take: a number outside the dtype's range, an empty list.
    Argument,
    /// Operands on different devices.
    DeviceMismatch,
    /// A device that was asked for is not there.
    DeviceNotFound,
    /// The device lacks a feature that the operation needs; or its driver computes such operations wrongly, as a self-test has found.
    Unsupported,
    /// The memory of the device, or the limit set for it, is used up.
    OutOfMemory,
    /// An array or a kernel larger than the device can take.
    LimitExceeded,
    /// The device does not work any more, and its arrays cannot be read.
    DeviceLost,
    /// The device made no progress for `CUPRIC_TIMEOUT` seconds.
    Timeout,
    /// A check that the caller asked for ([`Device::check`](crate::Device::check)) has found a NaN, an infinity or an overflow.
    Check,
    /// A file could not be read or written.
    Io,
    /// A file whose content is not in its format, or contradicts its header.
    Format,
    /// A fault of cupric or of a driver. Please report it.
    Internal,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: String,
    detail: String,
    location: Option<&'static Location<'static>>,
}

/// An error: a kind, the operation, the facts, and the line of the caller.
///
/// ```
/// let a = cupric::Array::from([1.0f32, 2.0, 3.0]);
/// let b = cupric::Array::from([1.0f32, 2.0]);
/// let e = (&a + &b).eval().unwrap_err();
/// assert_eq!(e.kind(), cupric::ErrorKind::Shape);
/// assert!(e.to_string().starts_with("add: shapes [3] and [2] do not broadcast"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    pub(crate) fn with_line(
        kind: ErrorKind,
        operation: impl Into<String>,
        detail: impl Into<String>,
        location: impl Into<Option<&'static Location<'static>>>,
    ) -> Error {
        Error(Arc::new(Inner { kind, operation: operation.into(), detail: detail.into(), location: location.into() }))
    }

    /// The error of a function of your own: its name, what did not fit, and the line of the caller. In a function with
    /// `#[track_caller]` that is the line of *its* caller. As an [`Expr`](crate::Expr) it is carried to `eval`, as the errors of cupric's
    /// operations are.
    ///
    /// ```
    /// use cupric::{Error, ErrorKind, Expr, Result, array};
    /// #[track_caller]
    /// fn try_trace(x: &Expr) -> Result<Expr> {
    ///     let [rows, columns] = x.dims()?;
    ///     if rows != columns {
    ///         return Err(Error::new(ErrorKind::Shape, "trace", format!("{rows} rows, but {columns} columns")));
    ///     }
    ///     Ok(x.diagonal(0).sum(..))
    /// }
    /// #[track_caller]
    /// fn trace(x: &Expr) -> Expr {
    ///     try_trace(x).into()
    /// }
    /// let e = (trace(&array![[1., 2.]]) * 2.0).eval().unwrap_err();
    /// assert!(e.to_string().starts_with("trace: 1 rows, but 2 columns"));
    /// ```
    #[doc(alias("custom", "bail"))]
    #[track_caller]
    pub fn new(kind: ErrorKind, operation: impl Into<String>, detail: impl Into<String>) -> Error {
        Error::with_line(kind, operation, detail, Location::caller())
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The name of the operation that failed: `add` (for the operator `+` too), `to_vec`, …
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The message without the operation and the line.
    #[cfg(any(feature = "gpu", feature = "kernels"))]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The caller's file and line; `None` where no caller's line is known (in [`str::parse`], for one).
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// Returns the error as one of another operation: of the function that a caller called, where what it is made of failed.
    pub(crate) fn named(self, operation: &str) -> Error {
        Error::with_line(self.0.kind, operation, self.0.detail.clone(), self.0.location)
    }

    /// Returns the error as one of the kernel that `kernel` names, if it is about what was made for that kernel alone; what failed
    /// stays in the detail. A submission or a wait may fail for the kernels before it.
    #[cfg(feature = "gpu")]
    pub(crate) fn of_kernel(self, kernel: &str) -> Error {
        let Error(inner) = &self;
        match inner.operation.as_ref() {
            "bind" | "compile" | "layout" => {
                Error::with_line(inner.kind, kernel, format!("{}: {}", inner.operation, inner.detail), inner.location)
            }
            _ => self,
        }
    }

    /// Returns the error with `location` as its line, unless it has one already.
    pub(crate) fn or_at(self, location: impl Into<Option<&'static Location<'static>>>) -> Error {
        match self.0.location {
            Some(_) if mutant!(errors_take_the_last_line, false, true) => self,
            _ => Error::with_line(self.0.kind, self.0.operation.clone(), self.0.detail.clone(), location),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.detail)?;
        match self.0.location {
            Some(at) => write!(f, " ({}:{}:{})", at.file(), at.line(), at.column()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

/// An error that has no operation and no line yet. Lower floors return it, because they know neither.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub kind: ErrorKind,
    pub detail: String,
}

impl Fault {
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Fault {
        Fault { kind, detail: detail.into() }
    }

    /// Says which operation failed, and where the caller asked for it.
    pub fn at(self, operation: impl Into<String>, location: &'static Location<'static>) -> Error {
        Error::with_line(self.kind, operation, self.detail, location)
    }
}

/// Makes the error that the host has no memory for so many bytes.
#[cold]
pub(crate) fn no_room(
    bytes: usize,
    operation: &'static str,
    at: impl Into<Option<&'static Location<'static>>>,
) -> Error {
    Error::with_line(ErrorKind::OutOfMemory, operation, format!("no memory for {bytes} bytes"), at)
}

/// Returns an empty vector with room for `n` elements, or an error where `Vec::with_capacity` would abort.
pub(crate) fn room<T>(
    n: usize,
    operation: &'static str,
    at: impl Into<Option<&'static Location<'static>>>,
) -> Result<Vec<T>> {
    let mut elements = vec![];
    match elements.try_reserve_exact(n) {
        Ok(()) => Ok(elements),
        Err(_) => Err(no_room(n.saturating_mul(size_of::<T>()), operation, at)),
    }
}

/// The most entries of a list on the host that is as long as a number of the caller, or an axis, says: expressions of parts take some 8 GB
/// at 2^24.
const MOST_LISTED: usize = 1 << 24;

/// Returns an empty vector with room for `n` entries, as many as a number of the caller or an axis says. Fails if they are more than
/// [`MOST_LISTED`], or if there is no memory for them. A law (`tests/laws/lists.rs`) demands it, because an array of 2^60 elements
/// may be one element in memory.
pub(crate) fn listed<T>(
    n: usize,
    what: &str,
    operation: &'static str,
    at: impl Into<Option<&'static Location<'static>>>,
) -> Result<Vec<T>> {
    if n > mutant!(lists_of_any_length, usize::MAX, MOST_LISTED) {
        let detail = format!("{n} {what} are too many; at most {MOST_LISTED} are listed");
        return Err(Error::with_line(ErrorKind::LimitExceeded, operation, detail, at));
    }
    room(n, operation, at)
}
