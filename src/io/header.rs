//! The header of a `.npy` file: a Python dictionary literal with the dtype, the order and the shape.

use crate::base::dtype::DType;
use crate::base::error::{ErrorKind, Fault, Result};
use crate::base::layout::{MAX_NDIM, Shape};

type Fallible<T> = Result<T, Fault>;

pub const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy starts the data at a multiple of this many bytes.
const ALIGN: usize = 64;
/// NumPy reserves space for the first length of the shape to grow to this many digits, so that rows can be appended to
/// a file.
const GROWTH_DIGITS: usize = 21;

pub fn format_fault(detail: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Format, detail)
}

/// Whether the numbers in a file are real or complex. Bools and integers count as real numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Real,
    Complex,
}

/// The content of the header.
pub struct Header {
    /// The dtype of the elements, or of both parts of each complex number.
    pub dtype: DType,
    pub field: Field,
    /// Whether the byte order of the elements is the opposite of this machine's byte order.
    pub swap: bool,
    pub fortran: bool,
    pub shape: Shape,
}

impl Header {
    /// Parses the dictionary of a header. `version` is the major version of the file's format, and `field` states
    /// whether the elements must be real or complex.
    pub fn parse(text: &[u8], version: u8, field: Field) -> Fallible<Header> {
        Parser { rest: text, python2: version < 3, field }.header()
    }

    /// Returns the number of elements, or an error if their size in bytes exceeds `isize`. A complex number counts as
    /// two elements. In this check a length of 0 counts as 1, because the strides of an array without elements are
    /// products of its other lengths.
    pub fn size(&self) -> Fallible<usize> {
        let parts = if self.field == Field::Complex { 2 } else { 1 };
        let mut lengths = self.shape.iter().map(|n| (*n).max(1));
        let bytes = lengths.try_fold(self.dtype.size() * parts, |product, n| product.checked_mul(n));
        match bytes {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(self.shape.iter().product::<usize>() * parts),
            _ => Err(format_fault(format!("shape {:?} of {} has too many bytes", self.shape, self.dtype))),
        }
    }
}

/// A parser of the dictionary in a header. The dictionary has three keys in any order, each with its own kind of value.
struct Parser<'a> {
    rest: &'a [u8],
    /// Whether a length may end in `L`, as in `3L`. Python 2 wrote long integers like this, in files of version 1 or 2.
    python2: bool,
    /// Whether the elements must be real or complex numbers.
    field: Field,
}

impl Parser<'_> {
    fn header(mut self) -> Fallible<Header> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.need(b'{')?;
        while !self.take(b'}') {
            let key = self.string()?;
            self.need(b':')?;
            let new = match key {
                b"descr" => descr.replace(self.descr()?).is_none(),
                b"fortran_order" => fortran.replace(self.boolean()?).is_none(),
                b"shape" => shape.replace(self.shape()?).is_none(),
                _ => return Err(self.wrong(&format!("the unknown key {}", printable(key)))),
            };
            if !new {
                return Err(self.wrong(&format!("the key {} twice", printable(key))));
            }
            if !self.take(b',') {
                self.need(b'}')?;
                break;
            }
        }
        self.skip_space();
        if !self.rest.is_empty() {
            return Err(self.wrong("more data after the dictionary"));
        }
        match (descr, fortran, shape) {
            (Some((dtype, swap)), Some(fortran), Some(shape)) => {
                Ok(Header { dtype, field: self.field, swap, fortran, shape })
            }
            (descr, fortran, _) => {
                let missing = match (descr, fortran) {
                    (None, _) => "descr",
                    (_, None) => "fortran_order",
                    _ => "shape",
                };
                Err(self.wrong(&format!("no key {missing}")))
            }
        }
    }

    fn wrong(&self, what: &str) -> Fault {
        format_fault(format!("the header has {what}"))
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Skips white space, and then `byte` if it is the next byte. Returns whether `byte` was skipped.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        match self.rest {
            [b, rest @ ..] if *b == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn need(&mut self, byte: u8) -> Fallible<()> {
        if self.take(byte) { Ok(()) } else { Err(self.found(&format!("'{}'", byte as char))) }
    }

    /// Returns the error for a header that has something else where `wanted` should be.
    fn found(&self, wanted: &str) -> Fault {
        match self.rest {
            [] => self.wrong(&format!("its end where {wanted} should be")),
            rest => self.wrong(&format!("{} where {wanted} should be", printable(rest))),
        }
    }
}

impl<'a> Parser<'a> {
    /// Parses a string in either kind of quotes, without escapes.
    fn string(&mut self) -> Fallible<&'a [u8]> {
        self.skip_space();
        let [quote @ (b'\'' | b'"'), rest @ ..] = self.rest else { return Err(self.found("a string")) };
        let rest: &'a [u8] = rest;
        match rest.iter().position(|b| b == quote || matches!(b, b'\\' | b'\n')) {
            Some(end) if rest[end] == *quote => {
                self.rest = &rest[end + 1..];
                Ok(&rest[..end])
            }
            _ => Err(self.found("a string without escapes")),
        }
    }

    fn boolean(&mut self) -> Fallible<bool> {
        self.skip_space();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.found("True or False"))
    }

    /// Parses a tuple of lengths: `()`, `(3,)`, `(3, 4)`.
    fn shape(&mut self) -> Fallible<Shape> {
        let mut shape = Shape::new();
        self.need(b'(')?;
        while !self.take(b')') {
            if shape.len() == MAX_NDIM {
                return Err(self.wrong(&format!("more than {MAX_NDIM} axes")));
            }
            shape.push(self.length()?);
            if !self.take(b',') {
                // a tuple with one element needs a comma, because Python reads (3) as a number
                if shape.len() == 1 {
                    return Err(self.found("','"));
                }
                self.need(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn length(&mut self) -> Fallible<usize> {
        self.skip_space();
        if self.rest.starts_with(b"-") {
            return Err(self.found("a length that is not negative"));
        }
        let end = self.rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        if digits.is_empty() || digits.len() > 1 && digits[0] == b'0' {
            return Err(self.found("a length"));
        }
        let value = digits.iter().try_fold(0usize, |n, d| n.checked_mul(10)?.checked_add((d - b'0') as usize));
        let length = value.filter(|n| isize::try_from(*n).is_ok()).ok_or_else(|| self.found("a length below 2^63"))?;
        self.rest = match rest {
            [b'L', rest @ ..] if mutant!(long_integer_of_python_3, true, self.python2) => rest,
            _ => rest,
        };
        Ok(length)
    }

    /// Parses a dtype such as `<f4`. Returns the dtype, and whether the byte order of the elements is the opposite of
    /// this machine's byte order.
    fn descr(&mut self) -> Fallible<(DType, bool)> {
        self.skip_space();
        let field = self.field;
        let unsupported = |name: &[u8]| {
            let which = match (field, name.ends_with(b"c8") || name.ends_with(b"c16")) {
                (Field::Complex, _) => "c8 and c16; Array::from_npy and Npz::read read real numbers",
                (Field::Real, true) => "real numbers; Complex::from_npy and Npz::read_complex read complex ones",
                (Field::Real, false) => "b1, i1 to i8, u1 to u8, f2, f4 and f8",
            };
            format_fault(format!("dtype {} is not supported; supported are {which}", printable(name)))
        };
        if let [b'[' | b'(', ..] = self.rest {
            return Err(unsupported(self.rest));
        }
        let name = self.string()?;
        let dtype = match name {
            [b'<' | b'>' | b'|' | b'=', code @ ..] => {
                DType::ALL.into_iter().find(|d| name_of(*d, field).is_some_and(|name| name.as_bytes() == code))
            }
            _ => None,
        };
        let dtype = dtype.ok_or_else(|| unsupported(name))?;
        // NumPy's `|` and `=` mean this machine's order
        let other = if cfg!(target_endian = "little") { b'>' } else { b'<' };
        Ok((dtype, dtype.size() > 1 && name[0] == other))
    }
}

/// Returns the first 40 bytes at most, escaped to one line of ASCII for an error message.
pub fn printable(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(40)];
    let dots = if start.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", start.escape_ascii())
}

/// Returns NumPy's name of a dtype or, if `field` is `Complex`, of complex numbers whose parts have this dtype. Returns
/// `None` if NumPy has no such type.
fn name_of(dtype: DType, field: Field) -> Option<&'static str> {
    match (field, dtype) {
        (Field::Real, _) => dtype.facts().npy,
        (Field::Complex, DType::F32) => Some("c8"),
        (Field::Complex, DType::F64) => Some("c16"),
        (Field::Complex, _) => None,
    }
}

/// Returns NumPy's name of a dtype, in this machine's byte order. If `field` is `Complex`, it is the name of complex
/// numbers whose parts have this dtype. Returns `None` if NumPy has no such type.
pub fn descr_of(dtype: DType, field: Field) -> Option<String> {
    let name = name_of(dtype, field)?;
    let order = match dtype.size() {
        1 => '|',
        _ if cfg!(target_endian = "little") => '<',
        _ => '>',
    };
    Some(format!("{order}{name}"))
}

/// Returns the bytes of a file before its data (magic string, version and header), in format version 1.0. This version
/// limits the header to less than 64 KiB, which suffices for 64 axes, the most that an array has.
pub fn text(descr: &str, shape: &[usize]) -> Vec<u8> {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let tuple = lengths.join(", ") + comma;
    let growth = lengths.first().map_or(0, |n| GROWTH_DIGITS.saturating_sub(n.len()));
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({tuple}), }}{:growth$}", "");
    let preamble = MAGIC.len() + 4;
    // NumPy pads by 1 to 64 bytes, including the final newline, and never by 0
    let end = preamble + text.len() + 1;
    let length = mutant!(npy_pads_by_none, end.next_multiple_of(ALIGN), end / ALIGN * ALIGN + ALIGN) - preamble;
    let mut bytes = Vec::with_capacity(preamble + length);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(preamble + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}
