//! Floor 0: the one error type.
//!
//! [`Error`] is opaque and pointer-sized; it is cloned with the [`Expr`](crate::Expr) that carries it. Its text
//! names the operation, the facts and the caller's line. A [`Fault`] is the same before anybody has said where.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// `std::result::Result` with cupric's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for code that has to choose what to do next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not broadcast, or do not fit the operation.
    Shape,
    /// An element type that the operation does not take, or a cast that is not allowed.
    DType,
    /// An axis that the array does not have, or that is named twice.
    Axis,
    /// An index outside its axis.
    Index,
    /// An argument with a value that makes no sense here.
    Argument,
    /// Operands on different devices.
    DeviceMismatch,
    /// A device that was asked for is not there.
    DeviceNotFound,
    /// The device lacks a feature that the operation needs.
    Unsupported,
    /// The memory of the device, or the limit set for it, is used up.
    OutOfMemory,
    /// An array or a kernel larger than the device can take.
    LimitExceeded,
    /// The device is gone; its arrays cannot be read any more.
    DeviceLost,
    /// The device made no progress for the time allowed.
    Timeout,
    /// A file could not be read or written.
    Io,
    /// A file whose content is not what it says.
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
    pub(crate) fn new(
        kind: ErrorKind,
        operation: impl Into<String>,
        detail: impl Into<String>,
        location: impl Into<Option<&'static Location<'static>>>,
    ) -> Error {
        Error(Arc::new(Inner { kind, operation: operation.into(), detail: detail.into(), location: location.into() }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, as the caller spelled it: `add`, `to_vec`, …
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The facts.
    #[cfg(feature = "gpu")]
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The caller's file and line, where there is one.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }

    /// The same error with a place, when it had none.
    pub(crate) fn or_at(self, location: impl Into<Option<&'static Location<'static>>>) -> Error {
        match self.0.location {
            Some(_) if mutant!(errors_take_the_last_line, false, true) => self,
            _ => Error::new(self.0.kind, self.0.operation.clone(), self.0.detail.clone(), location),
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

/// An error that does not know its operation and place yet: what the lower floors return.
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
        Error::new(self.kind, operation, self.detail, location)
    }
}

/// There is no memory on the host for so many bytes.
#[cold]
pub(crate) fn no_room(
    bytes: usize,
    operation: &'static str,
    at: impl Into<Option<&'static Location<'static>>>,
) -> Error {
    Error::new(ErrorKind::OutOfMemory, operation, format!("no memory for {bytes} bytes"), at)
}

/// An empty vector with room for `n` elements.
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
