//! The error type of the crate.
//!
//! [`Error`] has the size of a pointer and is cheap to clone. Its message names the operation, the mismatch, and the
//! caller's source line. A [`Fault`] is an error without operation and line, to which [`Fault::at`] adds both.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A line of the caller's source, as `#[track_caller]` passes it on.
pub(crate) type Loc = &'static Location<'static>;

/// `std::result::Result` with cupric's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The category of an error, for code that handles some errors differently from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The shapes do not broadcast, or do not fit the operation.
    Shape,
    /// The operation does not accept an operand's element type, or a cast is not allowed.
    DType,
    /// An array does not have the given axis, or an axis is named twice.
    Axis,
    /// An index is out of bounds, or an element is outside the range that [`bincount`](crate::Expr::bincount) counts.
    Index,
    /// The operation does not accept the value of an argument, such as a number outside the dtype's range or an empty
    /// list.
    Argument,
    /// A matrix has no inverse because it is singular, or no Cholesky factor because it is not positive definite.
    Singular,
    /// The operands are on different devices.
    DeviceMismatch,
    /// The requested device does not exist.
    DeviceNotFound,
    /// The device lacks a feature that the operation needs, or a self-test has found that its driver computes the
    /// operation incorrectly.
    Unsupported,
    /// The memory of the device, or the limit set for it, is exhausted.
    OutOfMemory,
    /// An array or a kernel is larger than the device supports.
    LimitExceeded,
    /// The device has stopped working, and its arrays cannot be read any more.
    DeviceLost,
    /// The device made no progress for `CUPRIC_TIMEOUT` seconds.
    Timeout,
    /// The call would have to wait for a GPU, which is impossible in a browser page. The message names the asynchronous
    /// function to use instead, if there is one.
    WouldBlock,
    /// A check that the caller requested ([`Device::check`](crate::Device::check)) found a NaN, an infinity or an
    /// overflow.
    Check,
    /// A file could not be read or written.
    Io,
    /// The content of a file is not in the expected format, or contradicts the file's header.
    Format,
    /// A bug in cupric or in a driver. Please report it.
    Internal,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: String,
    detail: String,
    location: Option<Loc>,
}

/// An error: its kind, the operation, the details, and the line of the caller.
///
/// ```
/// let a = cupric::Array::from([1.0f32, 2.0, 3.0]);
/// let b = cupric::Array::from([1.0f32, 2.0]);
/// let e = (&a + &b).eval().unwrap_err();
/// assert_eq!(e.kind(), cupric::ErrorKind::Shape);
/// assert!(e.to_string().starts_with("add: cannot broadcast shapes [3] and [2]"));
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

impl Error {
    pub(crate) fn with_line(
        kind: ErrorKind,
        operation: impl Into<String>,
        detail: impl Into<String>,
        location: impl Into<Option<Loc>>,
    ) -> Error {
        Error(Arc::new(Inner { kind, operation: operation.into(), detail: detail.into(), location: location.into() }))
    }

    /// Creates an error for a function of your own, with the name of the function, the details, and the line of the
    /// caller. If your function has `#[track_caller]`, this is the line that calls your function. You can convert the
    /// error to an [`Expr`](crate::Expr); evaluating an expression that contains it returns the error.
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

    /// Returns the category of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the name of the operation that failed: `add` (also for the operator `+`), `to_vec`, …
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Returns the message without the operation and the line.
    #[cfg(any(feature = "gpu", feature = "kernels"))]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Returns the caller's file and line, or `None` if they are not known (for example in [`str::parse`]).
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// Returns the same error with the name of another operation. A function that consists of several operations uses
    /// this to report its own name.
    pub(crate) fn named(self, operation: &str) -> Error {
        Error::with_line(self.0.kind, operation, self.0.detail.clone(), self.0.location)
    }

    /// If the error says that memory could not be allocated, returns it with the name of `operation`, whose result
    /// needs the memory. Returns any other error unchanged.
    pub(crate) fn of_result(self, operation: &str) -> Error {
        if self.is_of_allocation() { self.named(operation) } else { self }
    }

    /// Returns whether the error says that memory could not be allocated, and does not name the operation whose result
    /// needs the memory yet.
    pub(crate) fn is_of_allocation(&self) -> bool {
        self.0.operation == ALLOCATE
    }

    /// If creating an object for the kernel `kernel` has failed, returns the error with the kernel's name as its
    /// operation, and the original operation in the detail. Other errors are returned unchanged, because an earlier
    /// kernel may have caused them.
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

    /// Returns whether the error's line is in the source of this library. A user cannot do anything with such a line.
    pub(crate) fn is_inside(&self) -> bool {
        let this = file!();
        let root = this.strip_suffix("base/error.rs").or_else(|| this.strip_suffix("base\\error.rs")).unwrap_or(this);
        self.0.location.is_some_and(|at| at.file().starts_with(root))
    }

    /// Returns the same error with the name of another operation, and the line of its caller.
    pub(crate) fn of_call(self, operation: &str, at: Loc) -> Error {
        Error::with_line(self.0.kind, operation, self.0.detail.clone(), at)
    }

    /// Returns the error with `location` as its line, unless it has one already.
    pub(crate) fn or_at(self, location: impl Into<Option<Loc>>) -> Error {
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

/// An error without a source line, and usually without an operation. Lower modules return it, because they know neither
/// of these.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub kind: ErrorKind,
    pub detail: String,
    /// The name of the function that the user called, or `None` to use the name that is passed to [`Fault::at`].
    operation: Option<&'static str>,
}

impl Fault {
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Fault {
        Fault { kind, detail: detail.into(), operation: None }
    }

    /// Returns the fault with the name of the function that the user called. An operation that several functions share,
    /// such as a factorisation, calls this so that the message does not name the operation.
    pub fn of(self, operation: &'static str) -> Fault {
        Fault { operation: Some(operation), ..self }
    }

    /// Converts the fault to an error, with the name of the operation that failed and the source line of its caller.
    pub fn at(self, operation: impl Into<String>, location: &'static Location<'static>) -> Error {
        let operation = self.operation.map_or_else(|| operation.into(), String::from);
        Error::with_line(self.kind, operation, self.detail, location)
    }
}

/// Drops the operation and the line of an error, for a function that returns faults.
impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::new(error.0.kind, error.0.detail.clone())
    }
}

/// The operation that errors about device memory name, until the operation that needs the memory is known.
pub(crate) const ALLOCATE: &str = "allocate";

/// Returns the error for an allocation of `bytes` bytes that failed on a device because of `why`. `fits` is the
/// approximate number of bytes that the device can still allocate, if this is known.
#[cold]
pub(crate) fn beyond_memory(bytes: usize, device: &str, fits: Option<usize>, why: impl fmt::Display) -> Error {
    let fits = fits.map_or(String::new(), |fits| format!(", where about {fits} bytes fit"));
    let detail = format!(
        "cannot allocate {bytes} bytes on {device}{fits} ({why}); what can be computed by blocks of rows (chunks) needs \
         less"
    );
    Error::with_line(ErrorKind::OutOfMemory, ALLOCATE, detail, None)
}

/// Returns the error for a failed host allocation of `bytes` bytes.
#[cold]
pub(crate) fn no_room(bytes: usize, operation: &'static str, at: impl Into<Option<Loc>>) -> Error {
    Error::with_line(ErrorKind::OutOfMemory, operation, format!("no memory for {bytes} bytes"), at)
}

/// Returns an empty vector with capacity for `n` elements, or an error where `Vec::with_capacity` would abort.
pub(crate) fn room<T>(n: usize, operation: &'static str, at: impl Into<Option<Loc>>) -> Result<Vec<T>> {
    let mut elements = vec![];
    match elements.try_reserve_exact(n) {
        Ok(()) => Ok(elements),
        Err(_) => Err(no_room(n.saturating_mul(size_of::<T>()), operation, at)),
    }
}

/// The maximum length of a list on the host whose length depends on an argument or on the length of an axis. A list of
/// 2^24 expressions occupies about 8 GB.
const MOST_LISTED: usize = 1 << 24;

/// Returns an empty vector with capacity for `n` entries, where `n` depends on an argument or on the length of an axis.
/// Fails if `n` exceeds [`MOST_LISTED`] or if there is not enough memory. The limit is needed because a broadcast axis
/// can have a length of 2^60 but occupies only one element in memory.
pub(crate) fn listed<T>(n: usize, what: &str, operation: &'static str, at: impl Into<Option<Loc>>) -> Result<Vec<T>> {
    if n > mutant!(lists_of_any_length, usize::MAX, MOST_LISTED) {
        let detail = format!("{n} {what} are too many; the limit is {MOST_LISTED}");
        return Err(Error::with_line(ErrorKind::LimitExceeded, operation, detail, at));
    }
    room(n, operation, at)
}
