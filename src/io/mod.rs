//! Floor 5: files in NumPy's format `.npy`. Reading allocates no more memory than the size of the file (or about twice
//! the data of a pipe), whatever the header claims, so a hostile file cannot exhaust memory. Writing produces the same
//! bytes as `numpy.save`.
//!
//! A file consists of a magic string, a version, the length of the header, the header (`io/header.rs`), and the data.
//! Writing replaces an existing file as a whole (`base/replace.rs`).

mod append;
#[cfg(any(feature = "npz", feature = "safetensors", feature = "mmap", feature = "text"))]
pub(crate) mod formats;
mod header;
mod open;
mod rows;

#[cfg(feature = "npz")]
pub(crate) use rows::rows_of;

pub use append::NpyWriter;
#[cfg(feature = "mmap")]
pub(crate) use header::Header;
#[cfg(any(feature = "npz", feature = "safetensors", feature = "mmap", feature = "text"))]
pub(crate) use header::format_fault;
#[cfg(any(feature = "npz", feature = "safetensors", feature = "text"))]
pub(crate) use header::printable;

use crate::array::Array;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result, room};
use crate::base::layout::{Shape, View};
use crate::base::replace::{Stopped, replace};
use crate::graph::expr::{Expr, view};
use bytemuck::{Pod, allocation::try_zeroed_slice_box};
use half::{bf16, f16};
pub(crate) use header::Field;
#[cfg(not(feature = "mmap"))]
use header::Header;
use header::MAGIC;
#[cfg(not(any(feature = "npz", feature = "safetensors", feature = "mmap", feature = "text")))]
use header::format_fault;
pub(crate) use open::{instead, io_fault, named, opened};
use std::io::{self, Read, Write};
use std::panic::Location;
use std::path::Path;

type Fallible<T> = Result<T, Fault>;

/// The longest header that is read, in bytes. NumPy writes 118 bytes for an array of few axes. Chosen by hand: 1 MiB
/// suffices for other writers and is a small allocation.
const MAX_HEADER: u64 = 1 << 20;
/// The first allocation in bytes if the length of the source is unknown or may be wrong. Chosen by hand: 64 KiB is
/// little memory and needs few reads; no benchmark compares other values.
const FIRST: usize = 64 << 10;

impl Array {
    /// Reads an array from a NumPy `.npy` file, like `numpy.load`, onto the CPU or the device of the current
    /// [`Device::scope`](crate::Device::scope).
    ///
    /// The function reads format versions 1.0, 2.0 and 3.0, either byte order, and C and Fortran order. A
    /// Fortran-ordered file becomes a view, without rearranging its data. The supported dtypes are bool, the integers
    /// up to 64 bits, and floats of 16, 32 and 64 bits; `Complex::from_npy` reads complex numbers. The file must have
    /// exactly the length that its header describes. A pipe (`/dev/stdin`) is read to its end; memory is allocated as
    /// its bytes arrive.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Format`] if its content is not a supported
    /// `.npy` array, and [`ErrorKind::OutOfMemory`] if memory is too small.
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
        read_file(path, Field::Real, at).map_err(|mut f| {
            if f.kind == ErrorKind::OutOfMemory {
                f.detail += "; a file that is mapped (map_npy) needs none";
            }
            named(f, path).at("from_npy", at)
        })
    }

    /// Reads an array from the bytes of a NumPy `.npy` file: see [`Array::from_npy`].
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_npy`].
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
        read(bytes, Length::Known(bytes.len() as u64), Field::Real, at).map_err(|f| f.at("from_npy_bytes", at))
    }
}

/// # NumPy files
impl Expr {
    /// Evaluates the expression and writes it to a NumPy `.npy` file, in C order.
    ///
    /// The bytes are the same as those of `numpy.save`. They are written to a new file, which replaces the old one as
    /// soon as it is completely on the disk. So a reader finds either the old or the new content, even after a crash.
    /// For a small file, waiting for the disk takes most of the time. If `path` is a symbolic link, the link is kept
    /// and its target is written. A device or a pipe is written to directly.
    ///
    /// A process that is killed while it writes leaves a file `.cupric-*.tmp` in the same folder.
    ///
    /// The elements of an array on the CPU are written from its own memory. An expression of more than 16 MiB is
    /// evaluated block by block if its rows can be computed separately, as in [`Expr::chunks`], so the result need not
    /// fit into memory. It is evaluated as a whole if blocks could change a bit of the result: if a half-precision
    /// value may be rounded on the way, or if a GPU computes sums.
    ///
    /// # Errors
    /// Returns the errors of the evaluation, [`ErrorKind::DType`] for bf16, which NumPy does not have, and
    /// [`ErrorKind::Io`] if the file cannot be written.
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
        write_file(path.as_ref(), self, Field::Real, Location::caller())
    }

    /// Evaluates the expression and returns the bytes of a NumPy `.npy` file: see [`Expr::to_npy`].
    ///
    /// # Errors
    /// Returns the errors of the evaluation, and [`ErrorKind::DType`] for bf16, which NumPy does not have.
    ///
    /// ```
    /// let bytes = cupric::array![1., 2.].to_npy_bytes()?;
    /// assert_eq!(&bytes[..6], b"\x93NUMPY");
    /// assert_eq!(bytes.len(), 128 + 8);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_npy_bytes(&self) -> Result<Vec<u8>> {
        const OP: &str = "to_npy_bytes";
        let at = Location::caller();
        let header = header_of(self, Field::Real, OP, at)?;
        let size = self.size()?.saturating_mul(self.dtype()?.size());
        let mut bytes = room(header.len().saturating_add(size), OP, at)?;
        bytes.extend_from_slice(&header);
        let done = self.pieces(at, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        });
        done.map_err(|e| stopped(e, None, OP, at))?;
        Ok(bytes)
    }
}

/// Converts the reason why a write stopped to an error. An error of the evaluation is returned unchanged; an I/O error
/// gets the path.
pub(crate) fn stopped(e: Stopped, path: Option<&Path>, op: &'static str, at: Loc) -> Error {
    match e {
        Stopped::Failed(e) => e,
        Stopped::Io(e) => match path {
            Some(path) => named(io_fault(e), path).at(op, at),
            None => io_fault(e).at(op, at),
        },
    }
}

// --- reading ---

/// How many bytes a source of data has.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// The source certainly has this many bytes, for example because it is a file of this length.
    Known(u64),
    /// The source has this many bytes according to the directory of an archive, which may be wrong.
    #[cfg_attr(not(feature = "npz"), allow(dead_code))]
    Claimed(u64),
    Unknown,
}

/// Reads an array from a file.
pub(crate) fn read_file(path: &Path, field: Field, at: Loc) -> Fallible<Array> {
    let file = opened(path)?;
    let about = file.metadata().map_err(io_fault)?;
    // a pipe has no known length, nor does a file that the system generates while it is read (in /proc, for example)
    let is_known = about.is_file() && about.len() > 0;
    read(file, if is_known { Length::Known(about.len()) } else { Length::Unknown }, field, at)
}

/// Reads an array from `source`. If `field` is `Complex`, the array has a last axis of length 2. Allocates at most the
/// length of the source or, if the length is unknown or only claimed, twice the bytes that have arrived (64 KiB at
/// first).
pub(crate) fn read(source: impl Read, length: Length, field: Field, at: Loc) -> Fallible<Array> {
    let mut source = ByteSource::new(source, length);
    let header = read_header(&mut source, field)?;
    data_bytes(&header, source.left)?;
    Load { source, size: header.size()?, swap: header.swap, at }.any(&header)
}

/// Returns the number of data bytes that a header describes. Returns an error if `left`, the number of bytes left in
/// the source, is known and differs.
fn data_bytes(header: &Header, left: Option<u64>) -> Fallible<u64> {
    // the product does not overflow, because `Header::size` has checked the number of bytes
    let bytes = (header.size()? * header.dtype.size()) as u64;
    if let Some(left) = left
        && mutant!(shape_believed, bytes < left, bytes != left)
    {
        let detail = format!("shape {:?} of {} needs {bytes} bytes of data, not {left}", header.shape, header.dtype);
        return Err(format_fault(detail));
    }
    Ok(bytes)
}

/// Reads the elements of an array in C order from little-endian bytes. `source` must have at least as many bytes.
#[cfg(feature = "safetensors")]
pub(crate) fn read_elements(source: impl Read, dtype: DType, shape: Shape, at: Loc) -> Fallible<Array> {
    let header = Header { dtype, field: Field::Real, swap: cfg!(target_endian = "big"), fortran: false, shape };
    let size = header.size()?;
    let source = ByteSource::new(source, Length::Known((size * dtype.size()) as u64));
    Load { source, size, swap: header.swap, at }.any(&header)
}

/// Reads the header at the beginning of a file, and returns it with the bytes after it.
#[cfg(feature = "mmap")]
pub(crate) fn split_header(file: &[u8]) -> Fallible<(Header, &[u8])> {
    let mut source = ByteSource::new(file, Length::Known(file.len() as u64));
    let header = read_header(&mut source, Field::Real)?;
    Ok((header, source.from))
}

fn read_header(source: &mut ByteSource<impl Read>, field: Field) -> Fallible<Header> {
    let (version, header_length) = read_preamble(source)?;
    if header_length > mutant!(header_length_believed, 1 << 28, MAX_HEADER) {
        return Err(format_fault(format!(
            "a header of {header_length} bytes is too long; at most {MAX_HEADER} are read"
        )));
    }
    let text = mutant!(
        header_length_believed,
        source.fill(&mut vec![0; header_length as usize]).map(|()| vec![])?,
        source.take_vec(header_length, "the header")?
    );
    Header::parse(&text, version, field)
}

/// Reads the magic string, the version and the header's length. Returns the major version and the length.
fn read_preamble(source: &mut ByteSource<impl Read>) -> Fallible<(u8, u64)> {
    let mut start = [0; 8];
    let (first, others) = start.split_at_mut(1);
    let empty = |f: Fault| if f.kind == ErrorKind::Format { format_fault("the file is empty") } else { f };
    source.take(first, "the magic string").map_err(empty)?;
    source.take(others, "the rest of the magic string")?;
    if !start.starts_with(MAGIC) {
        let detail = format!("not a .npy file: it does not start with \\x93NUMPY{}", instead(&start));
        return Err(format_fault(detail));
    }
    let [.., major, minor] = start;
    let width = match (major, minor) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        _ => {
            return Err(format_fault(format!(
                "format version {major}.{minor} is not supported; supported are 1.0, 2.0 and 3.0"
            )));
        }
    };
    let mut field = [0; 4];
    source.take(&mut field[..width], "the header's length")?;
    Ok((major, u32::from_le_bytes(field) as u64))
}

/// A source of bytes. `left` is the number of bytes that no call of `claim` has reserved yet, if the length is known.
struct ByteSource<R> {
    from: R,
    left: Option<u64>,
    /// Whether the source certainly has `left` more bytes, for example because it is a file of known length.
    is_there: bool,
}

impl<R: Read> ByteSource<R> {
    fn new(from: R, length: Length) -> ByteSource<R> {
        let (left, is_there) = match length {
            Length::Known(n) => (Some(n), true),
            Length::Claimed(n) => (Some(n), false),
            Length::Unknown => (None, false),
        };
        ByteSource { from, left, is_there }
    }

    /// Claims `count` bytes before they are read. Returns an error if fewer bytes are left; `what` names the bytes in
    /// the message.
    fn claim(&mut self, count: u64, what: &str) -> Fallible<usize> {
        if let Some(left) = &mut self.left {
            match left.checked_sub(count) {
                Some(rest) => *left = rest,
                None => {
                    let detail = format!("{what} has {count} bytes, but only {left} are left: the file is cut off");
                    return Err(format_fault(detail));
                }
            }
        }
        usize::try_from(count).map_err(|_| format_fault(format!("{what} has {count} bytes, more than memory can hold")))
    }

    fn take(&mut self, into: &mut [u8], what: &str) -> Fallible<()> {
        self.claim(into.len() as u64, what)?;
        self.fill(into)
    }

    fn take_vec(&mut self, count: u64, what: &str) -> Fallible<Vec<u8>> {
        let count = self.claim(count, what)?;
        let mut bytes = vec![];
        self.grow::<u8>(&mut bytes, count)?;
        Ok(bytes)
    }

    /// Fills `into` with the next bytes, which must have been claimed.
    fn fill(&mut self, into: &mut [u8]) -> Fallible<()> {
        // if a file ends before its known length, another process has shortened it in the meantime
        let early = |e: &io::Error| e.kind() == io::ErrorKind::UnexpectedEof;
        self.from
            .read_exact(into)
            .map_err(|e| if early(&e) { format_fault("the data ended early") } else { io_fault(e) })
    }

    /// Reads `count` elements. If the bytes are known to exist, one step reads all of them. Otherwise each step doubles
    /// the number of elements that have arrived, so that memory is allocated only as bytes arrive.
    fn grow<T: Pod>(&mut self, elements: &mut Vec<T>, count: usize) -> Fallible<()> {
        while elements.len() < count {
            let have = elements.len();
            let step = match self.is_there {
                true => count,
                false => have.max(FIRST / size_of::<T>()).min(count - have),
            };
            elements.try_reserve_exact(step).map_err(|_| {
                let detail = format!("no memory for {} bytes", (have + step).saturating_mul(size_of::<T>()));
                Fault::new(ErrorKind::OutOfMemory, detail)
            })?;
            elements.resize(have + step, T::zeroed());
            self.fill(bytemuck::cast_slice_mut(&mut elements[have..]))?;
        }
        Ok(())
    }

    /// Returns an error if the source has more bytes.
    fn end(&mut self) -> Fallible<()> {
        let mut one = [0];
        match self.from.read_exact(&mut one) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(e) => Err(io_fault(e)),
            Ok(()) => Err(format_fault("the file has more data than its header describes")),
        }
    }
}

/// The data of a file whose header has been read.
struct Load<R> {
    source: ByteSource<R>,
    size: usize,
    swap: bool,
    at: Loc,
}

impl<R: Read> Load<R> {
    /// Reads the elements directly into the memory of the array.
    fn elements<T: Pod>(&mut self) -> Fallible<Vec<T>> {
        let mut elements = match self.source.is_there {
            // the system provides memory that is already zeroed, so this is cheaper than `grow`, which writes zeros
            // itself
            true => {
                let detail = || format!("no memory for {} bytes", self.size * size_of::<T>());
                let zeroed = try_zeroed_slice_box::<T>(self.size);
                let mut elements = zeroed.map_err(|()| Fault::new(ErrorKind::OutOfMemory, detail()))?.into_vec();
                self.source.fill(bytemuck::cast_slice_mut(&mut elements))?;
                elements
            }
            false => {
                let mut elements = vec![];
                self.source.grow::<T>(&mut elements, self.size)?;
                self.source.end()?;
                elements
            }
        };
        if mutant!(npy_order_of_bytes_ignored, false, self.swap) {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut elements);
            bytes.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
        }
        Ok(elements)
    }

    /// Reads the array that the header describes.
    fn any(self, header: &Header) -> Fallible<Array> {
        match header.dtype {
            DType::Bool => self.bools(header),
            DType::U8 => self.numbers::<u8>(header),
            DType::I8 => self.numbers::<i8>(header),
            DType::U16 => self.numbers::<u16>(header),
            DType::I16 => self.numbers::<i16>(header),
            DType::U32 => self.numbers::<u32>(header),
            DType::I32 => self.numbers::<i32>(header),
            DType::U64 => self.numbers::<u64>(header),
            DType::I64 => self.numbers::<i64>(header),
            DType::F16 => self.numbers::<f16>(header),
            DType::BF16 => self.numbers::<bf16>(header),
            DType::F32 => self.numbers::<f32>(header),
            DType::F64 => self.numbers::<f64>(header),
        }
    }

    fn numbers<T: Element + Pod>(mut self, header: &Header) -> Fallible<Array> {
        let elements = self.elements::<T>()?;
        shaped(elements, header, self.at)
    }

    /// Reads bools. Each byte is checked first, because a bool with a byte other than 0 and 1 is undefined behaviour.
    fn bools(mut self, header: &Header) -> Fallible<Array> {
        let bytes = self.elements::<u8>()?;
        if let Some((i, b)) = bytes.iter().enumerate().find(|(_, b)| **b > mutant!(bool_byte_believed, 127, 1)) {
            return Err(format_fault(format!("bool element {i} is the byte {b}, not 0 or 1")));
        }
        // this does not allocate again, because the standard library collects into the same `Vec` if element sizes are
        // equal
        shaped(bytes.into_iter().map(|b| b != 0).collect::<Vec<bool>>(), header, self.at)
    }
}

/// Makes the array that a header describes from elements in the order of the file.
fn shaped<T: Element>(elements: Vec<T>, header: &Header, at: Loc) -> Fallible<Array> {
    let ndim = header.shape.len();
    let mut shape: Shape = header.shape.clone();
    if header.fortran {
        shape.reverse();
    }
    // the parts of a complex number are next to each other in either order
    shape.extend((header.field == Field::Complex).then_some(2));
    let stored = Array::adopt(elements, &shape, at).into_scope("from_npy", at)?;
    if !header.fortran {
        return Ok(stored);
    }
    // Fortran order is C order with the axes reversed, so the array is a transposed view of the unchanged elements
    let axes: Vec<isize> = (0..ndim).rev().chain(ndim..shape.len()).map(|axis| axis as isize).collect();
    Ok(view("from_npy", &stored, at, |shape| View::permute(shape, &axes)).eval_at(at)?)
}

// --- writing ---

/// Writes an expression to a file.
pub(crate) fn write_file(path: &Path, expr: &Expr, field: Field, at: Loc) -> Result<()> {
    let header = header_of(expr, field, "to_npy", at)?;
    let done = replace(path, |file| {
        file.write_all(&header)?;
        expr.pieces(at, &mut |bytes| file.write_all(bytes))
    });
    done.map_err(|e| stopped(e, Some(path), "to_npy", at))
}

/// Returns the header of a `.npy` file for an expression. If `field` is `Complex`, the last axis contains the real and
/// imaginary parts, and the header omits it.
pub(crate) fn header_of(expr: &Expr, field: Field, op: &'static str, at: Loc) -> Result<Vec<u8>> {
    let shape = expr.shape()?;
    let parts = (field == Field::Complex) as usize;
    Ok(header::text(&descr_of(expr.dtype()?, field, op, at)?, &shape[..shape.len() - parts]))
}

/// Returns NumPy's name of a dtype, or an error if NumPy does not have the type.
fn descr_of(dtype: DType, field: Field, op: &'static str, at: Loc) -> Result<String> {
    header::descr_of(dtype, field).ok_or_else(|| {
        let detail = match field {
            Field::Real => "NumPy has no bf16; write x.astype(DType::F32), which keeps every value".into(),
            Field::Complex => {
                format!("NumPy has no complex numbers of {dtype}; use z.map(|part| part.astype(DType::F32))")
            }
        };
        Error::with_line(ErrorKind::DType, op, detail, at)
    })
}
