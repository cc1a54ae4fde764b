//! The description of a collective, which all ranks compare before data moves, and the errors if the ranks differ.

use cupric::{Array, DType, Error, ErrorKind, Result};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::Location;

/// How [`Comm::all_reduce`](crate::Comm::all_reduce) combines elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reduce {
    /// The sum. Integers wrap; the sum of bools is true if any bool is true.
    Sum,
    /// The product. Integers wrap; the product of bools is true if all bools are true.
    Prod,
    /// The smallest element, or NaN if there is one.
    Min,
    /// The largest element, or NaN if there is one.
    Max,
}

impl Reduce {
    pub(crate) fn name(self) -> &'static str {
        ["sum", "prod", "min", "max"][self as usize]
    }
}

pub(crate) type Fallible<T> = Result<T, Fault>;

/// An error: `Own` comes from this crate, and does not have the caller's line yet; `Other` comes from cupric.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Own { kind: ErrorKind, operation: String, detail: String },
    Other(Error),
}

impl Fault {
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Fault {
        Fault::Own { kind, operation: String::new(), detail: detail.into() }
    }

    /// Returns the fault with the name of the operation that failed, unless it has one.
    pub fn of(self, name: &str) -> Fault {
        match self {
            Fault::Own { kind, operation, detail } if operation.is_empty() => {
                Fault::Own { kind, operation: name.into(), detail }
            }
            other => other,
        }
    }

    pub fn kind(&self) -> ErrorKind {
        match self {
            Fault::Own { kind, .. } => *kind,
            Fault::Other(error) => error.kind(),
        }
    }

    fn text(&self) -> String {
        match self {
            Fault::Own { operation, detail, .. } if operation.is_empty() => detail.clone(),
            Fault::Own { operation, detail, .. } => format!("{operation}: {detail}"),
            Fault::Other(error) => error.to_string(),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Other(error)
    }
}

/// Turns a fault into an error with the caller's line.
#[track_caller]
pub(crate) fn settle<T>(result: Fallible<T>) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(Fault::Own { kind, operation, detail }) => Err(Error::new(kind, operation, detail)),
        Err(Fault::Other(error)) => Err(error),
    }
}

/// A rank's call of a collective, to be compared with the calls of the other ranks.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The name of the method, for errors.
    pub name: &'static str,
    /// The name with the arguments that must be equal on all ranks.
    what: String,
    /// The dtype and the lengths that must be equal on all ranks, as text, or those of each array of a list.
    of: String,
    line: &'static Location<'static>,
}

impl Call {
    #[track_caller]
    pub fn new(name: &'static str) -> Call {
        Call { name, what: name.into(), of: String::new(), line: Location::caller() }
    }

    pub fn with(mut self, argument: impl std::fmt::Display) -> Call {
        let _ = write!(self.what, "({argument})");
        self
    }

    pub fn of(mut self, dtype: DType, shape: &[usize]) -> Call {
        self.of = format!("{dtype} {shape:?}");
        self
    }

    /// Adds the dtypes and shapes of a list of arrays. A long text ends with a hash, because a report is short.
    pub fn of_list(mut self, arrays: &[Array]) -> Call {
        const MOST: usize = 200;
        let each: Vec<String> = arrays.iter().map(|x| format!("{} {:?}", x.dtype(), x.shape())).collect();
        self.of = each.join(" and ");
        if self.of.len() > MOST {
            let mut hasher = DefaultHasher::new();
            self.of.hash(&mut hasher);
            self.of.truncate(MOST);
            let _ = write!(self.of, "… ({:016x})", hasher.finish());
        }
        self
    }

    /// Returns a hash of the call and of its position in the sequence of calls. It is equal on ranks that make the same
    /// call as their `number`-th call.
    pub fn hash(&self, number: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (number, &self.what, &self.of).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns the call as text for an error message: `all_reduce(sum) of f32 [3, 4]`.
    fn text(&self) -> String {
        let of = if self.of.is_empty() { "" } else { " of " };
        [&self.what, of, &self.of].concat()
    }
}

/// The number of bytes in which a rank describes its call.
pub(crate) const REPORT: usize = 512;

/// The kinds of errors that a rank can report to the others. A report contains the index in this list.
const KINDS: [ErrorKind; 17] = [
    ErrorKind::Internal,
    ErrorKind::Shape,
    ErrorKind::DType,
    ErrorKind::Axis,
    ErrorKind::Index,
    ErrorKind::Argument,
    ErrorKind::Singular,
    ErrorKind::DeviceMismatch,
    ErrorKind::DeviceNotFound,
    ErrorKind::Unsupported,
    ErrorKind::OutOfMemory,
    ErrorKind::LimitExceeded,
    ErrorKind::DeviceLost,
    ErrorKind::Timeout,
    ErrorKind::Check,
    ErrorKind::Io,
    ErrorKind::Format,
];

/// Describes a rank's call, or why it failed, in a fixed number of bytes: a digit for success, the kind of the error,
/// and the text up to a 0.
pub(crate) fn report(call: &Call, failure: Option<&Fault>) -> [u8; REPORT] {
    let mut bytes = [0; REPORT];
    let text = match failure {
        None => format!("{} ({}:{})", call.text(), call.line.file(), call.line.line()),
        Some(fault) => fault.text(),
    };
    bytes[0] = failure.is_some().into();
    bytes[1] = failure.and_then(|f| KINDS.iter().position(|k| *k == f.kind())).unwrap_or(0) as u8;
    let mut end = text.len().min(REPORT - 3);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes[2..2 + end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// Makes the error that all ranks return, from the reports of all ranks.
pub(crate) fn verdict(call: &Call, reports: &[u8]) -> Fault {
    let all: Vec<(bool, ErrorKind, String)> = reports
        .chunks(REPORT)
        .map(|bytes| {
            let kind = KINDS.get(usize::from(bytes[1])).copied().unwrap_or(ErrorKind::Internal);
            let text = bytes[2..].split(|b| *b == 0).next().unwrap_or_default();
            (bytes[0] != 0, kind, String::from_utf8_lossy(text).into_owned())
        })
        .collect();
    // the name of rank 0's call, so that all ranks have the same text
    let of_first = |text: &str| text.split([' ', '(']).next().unwrap_or_default().to_string();
    let name = match all.first() {
        Some((false, _, text)) => of_first(text),
        _ => call.name.to_string(),
    };
    let own = |kind, detail| Fault::Own { kind, operation: name.clone(), detail };
    if let Some((rank, (_, kind, text))) = all.iter().enumerate().find(|(_, (failed, ..))| *failed) {
        return own(*kind, format!("rank {rank} failed: {text}"));
    }
    // compare calls without their source lines, which may differ between ranks
    let call_of = |text: &str| text.rsplit_once(" (").map_or(text, |(call, _)| call).to_string();
    let first = all.first().map(|(.., text)| text.clone()).unwrap_or_default();
    let other = all.iter().enumerate().find(|(_, (.., text))| call_of(text) != call_of(&first));
    let Some((rank, (.., text))) = other else {
        return own(ErrorKind::Internal, "the ranks have made different numbers of calls".into());
    };
    let parts = |text: &str| {
        let call = call_of(text);
        let (what, of) = call.split_once(" of ").unwrap_or((&call, ""));
        let dtypes = of.split(' ').filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
        (what.to_string(), dtypes.map(str::to_string).collect::<Vec<_>>())
    };
    let (a, b) = (parts(&first), parts(text));
    let kind = if a.0 != b.0 {
        ErrorKind::Argument
    } else if a.1 != b.1 {
        ErrorKind::DType
    } else {
        ErrorKind::Shape
    };
    own(kind, format!("the ranks differ: rank 0 calls {first}, rank {rank} calls {text}"))
}
