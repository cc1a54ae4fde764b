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
    /// Hashes of the dtypes and of the shapes in `of`, which may be cut. They tell the kind of an error.
    dtypes: u64,
    shapes: u64,
    line: &'static Location<'static>,
}

impl Call {
    #[track_caller]
    pub fn new(name: &'static str) -> Call {
        Call { name, what: name.into(), of: String::new(), dtypes: 0, shapes: 0, line: Location::caller() }
    }

    pub fn with(mut self, argument: impl std::fmt::Display) -> Call {
        let _ = write!(self.what, "({argument})");
        self
    }

    pub fn of(mut self, dtype: DType, shape: &[usize]) -> Call {
        self.of = format!("{dtype} {shape:?}");
        (self.dtypes, self.shapes) = (hash_of(dtype), hash_of(shape));
        self
    }

    /// Adds the dtypes and shapes of a list of arrays, and how many of them share each message. A long text is cut
    /// after an array and ends with hashes, because a report is short.
    pub fn of_list(mut self, arrays: &[Array], messages: &[usize]) -> Call {
        const MOST: usize = 200;
        let (dtypes, shapes): (Vec<DType>, Vec<&[usize]>) = arrays.iter().map(|x| (x.dtype(), x.shape())).unzip();
        (self.dtypes, self.shapes) = (hash_of(dtypes), hash_of(shapes));
        let each: Vec<String> = arrays.iter().map(|x| format!("{} {:?}", x.dtype(), x.shape())).collect();
        self.of = each.join(" and ");
        let _ = if arrays.is_empty() {
            Ok(())
        } else if self.of.len() <= MOST {
            write!(self.of, " in messages of {messages:?} arrays")
        } else {
            // the text is ASCII
            self.of.truncate(MOST);
            self.of.truncate(self.of.rfind(" and ").unwrap_or(MOST));
            let (dtypes, shapes, messages) = (self.dtypes, self.shapes, hash_of(messages));
            write!(self.of, " … (hashes: dtypes {dtypes:016x}, shapes {shapes:016x}, messages {messages:016x})")
        };
        self
    }

    /// Returns a hash of the call and of its position in the sequence of calls. It is equal on ranks that make the same
    /// call as their `number`-th call.
    pub fn hash(&self, number: u64) -> u64 {
        hash_of((number, &self.what, &self.of, self.dtypes, self.shapes))
    }

    /// Returns the call as text for an error message: `all_reduce(sum) of f32 [3, 4]`.
    fn text(&self) -> String {
        let of = if self.of.is_empty() { "" } else { " of " };
        [&self.what, of, &self.of].concat()
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The number of bytes in which a rank describes its call.
pub(crate) const REPORT: usize = 512;
/// The position of the text in a report.
const TEXT: usize = 18;

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
/// the hashes of the dtypes and of the shapes, and the text up to a 0.
pub(crate) fn report(call: &Call, failure: Option<&Fault>) -> [u8; REPORT] {
    let mut bytes = [0; REPORT];
    let text = match failure {
        None => format!("{} ({}:{})", call.text(), call.line.file(), call.line.line()),
        Some(fault) => fault.text(),
    };
    bytes[0] = failure.is_some().into();
    bytes[1] = failure.and_then(|f| KINDS.iter().position(|k| *k == f.kind())).unwrap_or(0) as u8;
    bytes[2..10].copy_from_slice(&call.dtypes.to_ne_bytes());
    bytes[10..TEXT].copy_from_slice(&call.shapes.to_ne_bytes());
    let mut end = text.len().min(REPORT - TEXT - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes[TEXT..TEXT + end].copy_from_slice(&text.as_bytes()[..end]);
    bytes
}

/// Makes the error that all ranks return, from the reports of all ranks.
pub(crate) fn verdict(call: &Call, reports: &[u8]) -> Fault {
    let all: Vec<(bool, ErrorKind, String)> = reports
        .chunks(REPORT)
        .map(|bytes| {
            let kind = KINDS.get(usize::from(bytes[1])).copied().unwrap_or(ErrorKind::Internal);
            let text = bytes[TEXT..].split(|b| *b == 0).next().unwrap_or_default();
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
    let what = |text: &str| {
        let call = call_of(text);
        call.split_once(" of ").map_or(call.clone(), |(what, _)| what.to_string())
    };
    // the bytes of the hashes of the dtypes and of the shapes
    let hashes = |rank: usize| reports[rank * REPORT..][2..TEXT].split_at(8);
    let ((dtypes, shapes), (other_dtypes, other_shapes)) = (hashes(0), hashes(rank));
    let kind = if what(&first) != what(text) {
        ErrorKind::Argument
    } else if dtypes != other_dtypes {
        ErrorKind::DType
    } else if shapes != other_shapes {
        ErrorKind::Shape
    } else {
        // the arrays of a list share messages in another way
        ErrorKind::Argument
    };
    own(kind, format!("the ranks differ: rank 0 calls {first}, rank {rank} calls {text}"))
}
