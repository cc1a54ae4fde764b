//! Floor 9: files. NumPy's `.npy`: read with limits, so that a hostile file costs no more memory than it has bytes;
//! written as `numpy.save` writes it, byte for byte.
//!
//! A file is a magic string, a version, the length of the header, the header (a Python dictionary literal), the data.

use crate::array::Array;
use crate::dtype::{DType, Element};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::expr::{Expr, strong, view};
use crate::layout::{MAX_NDIM, Shape, View};
use bytemuck::{Pod, allocation::try_zeroed_slice_box};
use half::{bf16, f16};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

type Loc = &'static Location<'static>;
type Fallible<T> = Result<T, Fault>;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read; NumPy's are 118 bytes.
const MAX_HEADER: u64 = 1 << 20;
/// NumPy starts the data at a multiple of this.
const ALIGN: usize = 64;
/// NumPy leaves room for the first length to grow to as many digits, so that a file can be appended to.
const GROWTH_DIGITS: usize = 21;

impl Array {
    /// Reads an array from a NumPy `.npy` file, onto the CPU.
    ///
    /// Format versions 1.0, 2.0 and 3.0, either byte order, C and Fortran order (a Fortran-ordered file becomes a
    /// view: its data is not rearranged); bool, the integers to 64 bits, and floats of 16, 32 and 64 bits.
    /// The file must hold exactly what its header says, not a byte more or less.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the file cannot be read, [`ErrorKind::Format`] where its content is not such an array,
    /// [`ErrorKind::OutOfMemory`].
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-from-{}.npy", std::process::id()));
    /// array![[1., 2.], [3., 4.]].to_npy(&path)?;
    /// let x = Array::from_npy(&path)?;
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert_eq!(x.to_vec::<f32>()?, [1., 2., 3., 4.]);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "load")]
    #[track_caller]
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Array> {
        let (path, at) = (path.as_ref(), Location::caller());
        let read = || {
            let file = File::open(path).map_err(io_fault)?;
            let length = file.metadata().map_err(io_fault)?.len();
            read(file, length, at)
        };
        read().map_err(|f| named(f, path).at("from_npy", at))
    }

    /// Reads an array from the bytes of a NumPy `.npy` file: see [`Array::from_npy`].
    ///
    /// # Errors
    /// As [`Array::from_npy`].
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let bytes = array![1, 2, 3].to_npy_bytes()?;
    /// assert_eq!(Array::from_npy_bytes(&bytes)?.to_vec::<i32>()?, [1, 2, 3]);
    /// assert!(Array::from_npy_bytes(&bytes[..100]).is_err());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_npy_bytes(bytes: &[u8]) -> Result<Array> {
        let at = Location::caller();
        read(bytes, bytes.len() as u64, at).map_err(|f| f.at("from_npy_bytes", at))
    }
}

impl Expr {
    /// Evaluates the expression and writes it to a NumPy `.npy` file, in C order.
    ///
    /// The bytes are those that `numpy.save` writes. They go to a file beside `path` first, which then takes its
    /// name: a reader sees the old content or the new, never a part.
    ///
    /// # Errors
    /// Those of evaluation; [`ErrorKind::DType`] for bf16, which NumPy does not have; [`ErrorKind::Io`].
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-to-{}.npy", std::process::id()));
    /// (array![1., 2.] * 10.0).to_npy(&path)?;
    /// assert_eq!(Array::from_npy(&path)?.to_vec::<f32>()?, [10., 20.]);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "save")]
    #[track_caller]
    pub fn to_npy(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, at) = (path.as_ref(), Location::caller());
        let content = Content::of(self, "to_npy", at)?;
        replace(path, |file| {
            file.write_all(&content.header)?;
            file.write_all(content.data.bytes())
        })
        .map_err(|e| named(io_fault(e), path).at("to_npy", at))
    }

    /// Evaluates the expression and gives the bytes of a NumPy `.npy` file: see [`Expr::to_npy`].
    ///
    /// # Errors
    /// Those of evaluation; [`ErrorKind::DType`] for bf16, which NumPy does not have.
    ///
    /// ```
    /// let bytes = cupric::array![1., 2.].to_npy_bytes()?;
    /// assert_eq!(&bytes[..6], b"\x93NUMPY");
    /// assert_eq!(bytes.len(), 128 + 8);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_npy_bytes(&self) -> Result<Vec<u8>> {
        let content = Content::of(self, "to_npy_bytes", Location::caller())?;
        let mut bytes = content.header;
        bytes.extend_from_slice(content.data.bytes());
        Ok(bytes)
    }
}

fn format_fault(detail: impl Into<String>) -> Fault {
    Fault::new(ErrorKind::Format, detail)
}

fn io_fault(e: io::Error) -> Fault {
    Fault::new(ErrorKind::Io, e.to_string())
}

fn named(fault: Fault, path: &Path) -> Fault {
    Fault::new(fault.kind, format!("{}: {}", path.display(), fault.detail))
}

// --- reading ---

/// An array from `source`, which has `length` bytes. Nothing is allocated that these bytes do not pay for.
fn read(mut source: impl Read, length: u64, at: Loc) -> Fallible<Array> {
    let mut left = length;
    let (version, header_length) = read_preamble(&mut source, &mut left)?;
    if header_length > MAX_HEADER {
        return Err(format_fault(format!("a header of {header_length} bytes; at most {MAX_HEADER} are read")));
    }
    let mut text = vec![0; claim(&mut left, header_length, "the header")?];
    fill(&mut source, &mut text)?;
    let header = Parser { rest: &text, python2: version < 3 }.header()?;
    drop(text);
    let size = header.size()?;
    // the product fits: the size was checked in bytes
    let bytes = (size * header.dtype.size()) as u64;
    if bytes != left {
        let detail = format!("shape {:?} of {} needs {bytes} bytes of data, not {left}", header.shape, header.dtype);
        return Err(format_fault(detail));
    }
    let load = Load { source, size, swap: header.swap, at };
    match header.dtype {
        DType::Bool => load.bools(&header),
        DType::U8 => load.numbers::<u8>(&header),
        DType::I8 => load.numbers::<i8>(&header),
        DType::U16 => load.numbers::<u16>(&header),
        DType::I16 => load.numbers::<i16>(&header),
        DType::U32 => load.numbers::<u32>(&header),
        DType::I32 => load.numbers::<i32>(&header),
        DType::U64 => load.numbers::<u64>(&header),
        DType::I64 => load.numbers::<i64>(&header),
        DType::F16 => load.numbers::<f16>(&header),
        DType::BF16 => load.numbers::<bf16>(&header),
        DType::F32 => load.numbers::<f32>(&header),
        DType::F64 => load.numbers::<f64>(&header),
    }
}

/// Magic string, version, length of the header.
fn read_preamble(source: &mut impl Read, left: &mut u64) -> Fallible<(u8, u64)> {
    let mut start = [0; 8];
    claim(left, 8, "the magic string")?;
    fill(source, &mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(format_fault("not a .npy file: it does not start with \\x93NUMPY"));
    }
    let [.., major, minor] = start;
    let width = match (major, minor) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        _ => return Err(format_fault(format!("format version {major}.{minor}; known are 1.0, 2.0 and 3.0"))),
    };
    let mut field = [0; 4];
    claim(left, width as u64, "the header's length")?;
    fill(source, &mut field[..width])?;
    Ok((major, u32::from_le_bytes(field) as u64))
}

/// Takes `count` of the bytes that are left; an error if there are not as many.
fn claim(left: &mut u64, count: u64, what: &str) -> Fallible<usize> {
    match left.checked_sub(count) {
        Some(rest) => *left = rest,
        None => return Err(format_fault(format!("{what} takes {count} bytes, but {left} are left: it is cut off"))),
    }
    usize::try_from(count).map_err(|_| format_fault(format!("{what} takes {count} bytes")))
}

fn fill(source: &mut impl Read, into: &mut [u8]) -> Fallible<()> {
    source.read_exact(into).map_err(|e| match e.kind() {
        // its length was known: somebody shortened it in the meantime
        io::ErrorKind::UnexpectedEof => format_fault("it ended early"),
        _ => io_fault(e),
    })
}

/// The data, once the header has said what it is.
struct Load<R> {
    source: R,
    size: usize,
    swap: bool,
    at: Loc,
}

impl<R: Read> Load<R> {
    /// Elements are read right into the memory that the array keeps.
    fn elements<T: Pod>(&mut self) -> Fallible<Vec<T>> {
        let no_memory = |()| {
            let detail = format!("no memory for {} bytes", self.size * size_of::<T>());
            Fault::new(ErrorKind::OutOfMemory, detail)
        };
        let mut elements = try_zeroed_slice_box::<T>(self.size).map_err(no_memory)?;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
        fill(&mut self.source, bytes)?;
        if self.swap {
            bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        }
        Ok(elements.into_vec())
    }

    fn numbers<T: Element + Pod>(mut self, header: &Header) -> Fallible<Array> {
        let elements = self.elements::<T>()?;
        header.array(elements, self.at)
    }

    /// A bool with another byte than 0 and 1 is undefined behaviour, so it must not come into being.
    fn bools(mut self, header: &Header) -> Fallible<Array> {
        let bytes = self.elements::<u8>()?;
        if let Some((i, b)) = bytes.iter().enumerate().find(|(_, b)| **b > 1) {
            return Err(format_fault(format!("bool element {i} is the byte {b}, not 0 or 1")));
        }
        // in place: the standard library reuses the memory of a Vec of the same element size
        header.array(bytes.into_iter().map(|b| b != 0).collect::<Vec<bool>>(), self.at)
    }
}

/// What the header says.
struct Header {
    dtype: DType,
    /// The bytes of an element are in the other order than this machine's.
    swap: bool,
    fortran: bool,
    shape: Shape,
}

impl Header {
    /// The number of elements. A zero does not hide lengths that no array could have: strides are made of them all.
    fn size(&self) -> Fallible<usize> {
        let mut lengths = self.shape.iter().map(|n| (*n).max(1));
        let bytes = lengths.try_fold(self.dtype.size(), |product, n| product.checked_mul(n));
        match bytes {
            Some(bytes) if isize::try_from(bytes).is_ok() => Ok(self.shape.iter().product()),
            _ => Err(format_fault(format!("shape {:?} of {} has too many bytes", self.shape, self.dtype))),
        }
    }

    fn array<T: Element>(&self, elements: Vec<T>, at: Loc) -> Fallible<Array> {
        if !self.fortran {
            return Ok(Array::adopt(elements, &self.shape, at));
        }
        // Fortran order is C order with the axes reversed
        let reversed: Shape = self.shape.iter().rev().copied().collect();
        let axes: Vec<isize> = (0..reversed.len() as isize).rev().collect();
        let stored = Array::adopt(elements, &reversed, at);
        let array = view("from_npy", &stored, at, |shape| View::permute(shape, &axes)).eval_at(at);
        array.map_err(|e| Fault::new(e.kind(), e.to_string()))
    }
}

// --- the header's Python literal ---

/// A parser of the one kind of dictionary that there is in a header: three keys in any order, values of three forms.
struct Parser<'a> {
    rest: &'a [u8],
    /// Python 2 wrote long integers as `3L`.
    python2: bool,
}

impl Parser<'_> {
    fn header(mut self) -> Fallible<Header> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.take(b'}') {
            let key = self.string()?;
            self.expect(b':')?;
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
                self.expect(b'}')?;
                break;
            }
        }
        self.skip_space();
        if !self.rest.is_empty() {
            return Err(self.wrong("more after the dictionary"));
        }
        match (descr, fortran, shape) {
            (Some((dtype, swap)), Some(fortran), Some(shape)) => Ok(Header { dtype, swap, fortran, shape }),
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

    /// Skips blank space, then `byte` if it is next.
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

    fn expect(&mut self, byte: u8) -> Fallible<()> {
        if self.take(byte) { Ok(()) } else { Err(self.found(&format!("'{}'", byte as char))) }
    }

    /// What is there where something else should be.
    fn found(&self, wanted: &str) -> Fault {
        match self.rest {
            [] => self.wrong(&format!("its end where {wanted} should be")),
            rest => self.wrong(&format!("{} where {wanted} should be", printable(rest))),
        }
    }
}

impl<'a> Parser<'a> {
    /// A string in either kind of quotes, without escapes.
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

    /// A tuple of lengths: `()`, `(3,)`, `(3, 4)`.
    fn shape(&mut self) -> Fallible<Shape> {
        let mut shape = Shape::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            if shape.len() == MAX_NDIM {
                return Err(self.wrong(&format!("more than {MAX_NDIM} axes")));
            }
            shape.push(self.length()?);
            if !self.take(b',') {
                // to Python (3) is a number
                if shape.len() == 1 {
                    return Err(self.found("','"));
                }
                self.expect(b')')?;
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
            [b'L', rest @ ..] if self.python2 => rest,
            _ => rest,
        };
        Ok(length)
    }

    /// A type such as `<f4`, and whether its bytes are in the other order than this machine's.
    fn descr(&mut self) -> Fallible<(DType, bool)> {
        self.skip_space();
        let unsupported = |name: &[u8]| {
            let name = printable(name);
            format_fault(format!("dtype {name} is not supported; known are b1, i1 to i8, u1 to u8, f2, f4 and f8"))
        };
        if let [b'[' | b'(', ..] = self.rest {
            return Err(unsupported(self.rest));
        }
        let name = self.string()?;
        let dtype = match name {
            [b'<' | b'>' | b'|' | b'=', code @ ..] => match code {
                b"b1" => DType::Bool,
                b"u1" => DType::U8,
                b"i1" => DType::I8,
                b"u2" => DType::U16,
                b"i2" => DType::I16,
                b"u4" => DType::U32,
                b"i4" => DType::I32,
                b"u8" => DType::U64,
                b"i8" => DType::I64,
                b"f2" => DType::F16,
                b"f4" => DType::F32,
                b"f8" => DType::F64,
                _ => return Err(unsupported(name)),
            },
            _ => return Err(unsupported(name)),
        };
        // to NumPy | and = are this machine's order
        let other = if cfg!(target_endian = "little") { b'>' } else { b'<' };
        Ok((dtype, dtype.size() > 1 && name[0] == other))
    }
}

/// The start of what a file holds, for a message: whatever the bytes are, one line of ASCII.
fn printable(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(40)];
    let dots = if start.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{dots}\"", start.escape_ascii())
}

// --- writing ---

/// A file to be: its header, and the elements in C order.
struct Content {
    header: Vec<u8>,
    data: Box<dyn Data>,
}

/// Elements on the host, as the bytes of a file.
trait Data {
    fn bytes(&self) -> &[u8];
}

impl<T: Element> Data for Vec<T> {
    fn bytes(&self) -> &[u8] {
        T::bytes(self)
    }
}

impl Content {
    fn of(expr: &Expr, op: &'static str, at: Loc) -> Result<Content> {
        let expr = &strong(expr.clone(), at);
        let dtype = expr.dtype()?;
        let Some(descr) = descr_of(dtype) else {
            let detail = "NumPy has no bf16; write x.astype(DType::F32), which keeps every value";
            return Err(Error::new(ErrorKind::DType, op, detail, at));
        };
        let array = expr.eval_at(at)?;
        let data: Box<dyn Data> = match dtype {
            DType::Bool => Box::new(array.to_vec::<bool>()?),
            DType::U8 => Box::new(array.to_vec::<u8>()?),
            DType::I8 => Box::new(array.to_vec::<i8>()?),
            DType::U16 => Box::new(array.to_vec::<u16>()?),
            DType::I16 => Box::new(array.to_vec::<i16>()?),
            DType::U32 => Box::new(array.to_vec::<u32>()?),
            DType::I32 => Box::new(array.to_vec::<i32>()?),
            DType::U64 => Box::new(array.to_vec::<u64>()?),
            DType::I64 => Box::new(array.to_vec::<i64>()?),
            DType::F16 => Box::new(array.to_vec::<f16>()?),
            DType::BF16 => Box::new(array.to_vec::<bf16>()?),
            DType::F32 => Box::new(array.to_vec::<f32>()?),
            DType::F64 => Box::new(array.to_vec::<f64>()?),
        };
        Ok(Content { header: header_text(&descr, array.shape()), data })
    }
}

/// NumPy's name of a type in this machine's byte order.
fn descr_of(dtype: DType) -> Option<String> {
    let kind = match dtype {
        DType::Bool => 'b',
        DType::BF16 => return None,
        d if d.is_float() => 'f',
        d if d.is_unsigned_integer() => 'u',
        _ => 'i',
    };
    let order = match dtype.size() {
        1 => '|',
        _ if cfg!(target_endian = "little") => '<',
        _ => '>',
    };
    Some(format!("{order}{kind}{}", dtype.size()))
}

/// All before the data. 64 axes of 20 digits stay far below the 64 KiB of version 1.0.
fn header_text(descr: &str, shape: &[usize]) -> Vec<u8> {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let tuple = lengths.join(", ") + comma;
    let growth = lengths.first().map_or(0, |n| GROWTH_DIGITS.saturating_sub(n.len()));
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({tuple}), }}{:growth$}", "");
    let preamble = MAGIC.len() + 4;
    // NumPy pads by 1 to 64, never by 0
    let length = (preamble + text.len() + 1) / ALIGN * ALIGN + ALIGN - preamble;
    let mut bytes = Vec::with_capacity(preamble + length);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(preamble + length - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Writes a file under another name, then gives it the right one.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // a link keeps its place, its target is replaced
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|m| !m.is_file()) {
        // a device or a pipe must not be replaced; a directory cannot be opened, which is the error to give
        return write(&mut File::options().write(true).open(path)?);
    }
    let (temporary, mut file) = create_beside(path)?;
    let mut whole = || {
        // what was private stays private
        if let Some(old) = old {
            file.set_permissions(old.permissions())?;
        }
        write(&mut file)?;
        fs::rename(&temporary, path)
    };
    let result = whole();
    if result.is_err() {
        // what is left of it is of no use; the first error is the one to tell
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A new file in the directory of `path`, under a name that nobody else takes.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(hidden);
        match File::create_new(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // left behind by a process of the same number
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}
