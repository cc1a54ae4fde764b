//! A writer of `.npy` files that grow by rows.

use super::{Field, descr_of, header, io_fault, named, stopped};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{IntoShape, Shape, shape_arg, size_of_shape};
use crate::base::replace::{Replacement, Stopped};
use crate::graph::expr::{Operand, strong};
use std::io::{self, Seek, SeekFrom, Write};
use std::panic::Location;
use std::path::{Path, PathBuf};

/// Writes a NumPy `.npy` file by appending rows, so that neither the array nor its length must be known in advance.
///
/// The rows go to a new file in the same folder. [`NpyWriter::finish`] writes their number into the header and replaces
/// the old file, as [`Expr::to_npy`](crate::Expr::to_npy) does. A writer that is dropped without `finish` removes the
/// new file and leaves the old one as it was.
///
/// ```
/// use cupric::{Array, DType, NpyWriter, array};
/// let path = std::env::temp_dir().join(format!("cupric-doc-append-{}.npy", std::process::id()));
/// let mut file = NpyWriter::create(&path, DType::F32, [2])?;
/// file.append(array![[1., 2.], [3., 4.]])?;
/// file.append(array![[5., 6.]] * 10.0)?;
/// file.finish()?;
/// let x = Array::from_npy(&path)?;
/// assert_eq!(x.shape(), [3, 2]);
/// assert_eq!(x.to_vec::<f32>()?, [1., 2., 3., 4., 50., 60.]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("NpyAppendArray", "open_memmap"))]
#[derive(Debug)]
pub struct NpyWriter {
    to: Replacement,
    path: PathBuf,
    dtype: DType,
    descr: String,
    /// The number of rows, followed by the shape of a row.
    shape: Shape,
    /// The length of the header and all complete rows, in bytes.
    end: u64,
    /// Whether the file may end with an incomplete row, because a write failed and removing its bytes failed too.
    is_torn: bool,
}

impl NpyWriter {
    /// Creates a file to which rows are then appended. Its rows have the given dtype and the shape `row`; `[]` is the
    /// shape of a row of one number.
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] for bf16, which NumPy does not have, [`ErrorKind::Shape`] if a length is negative,
    /// and [`ErrorKind::LimitExceeded`] if a row has too many elements. Returns [`ErrorKind::Io`] if the file cannot be
    /// created, also for a pipe or a device, because the number of rows is written last, at the start of the file.
    #[track_caller]
    pub fn create(path: impl AsRef<Path>, dtype: DType, row: impl IntoShape) -> Result<NpyWriter> {
        const OP: &str = "NpyWriter::create";
        let (path, at) = (path.as_ref(), Location::caller());
        let descr = descr_of(dtype, Field::Real, OP, at)?;
        let row = shape_arg(row).map_err(|f| f.at(OP, at))?;
        let shape: Shape = std::iter::once(0).chain(row).collect();
        size_of_shape(&shape).map_err(|f| f.at(OP, at))?;
        let header = header::text(&descr, &shape);
        let begin = || {
            let mut to = Replacement::begin(path)?;
            if to.is_direct() {
                return Err(io::Error::other("a pipe or device cannot be extended by rows; use Expr::to_npy"));
            }
            to.file.write_all(&header)?;
            Ok(to)
        };
        let to = begin().map_err(|e| named(io_fault(e), path).at(OP, at))?;
        let (path, end) = (path.to_path_buf(), header.len() as u64);
        Ok(NpyWriter { to, path, dtype, descr, shape, end, is_torn: false })
    }

    /// Returns the number of rows that have been appended so far.
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Evaluates `rows` and appends the result to the file. The first axis of `rows` counts the rows, and the other
    /// axes have the shape of one row. A large expression is evaluated block by block, as in
    /// [`Expr::to_npy`](crate::Expr::to_npy).
    ///
    /// # Errors
    /// Returns [`ErrorKind::DType`] if the rows have another dtype than the file, [`ErrorKind::Shape`] if they have
    /// another shape, the errors of the evaluation, and [`ErrorKind::Io`] if the write fails, for example because the
    /// disk is full. After an error, the file has the rows that it had before, and can be extended or finished.
    ///
    /// ```
    /// use cupric::{DType, NpyWriter, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-rows-{}.npy", std::process::id()));
    /// let mut file = NpyWriter::create(&path, DType::F32, [2])?;
    /// let e = file.append(array![[1., 2., 3.]]).unwrap_err();
    /// assert!(e.to_string().starts_with("NpyWriter::append: shape [1, 3] does not fit rows of shape [2]"));
    /// assert_eq!(file.rows(), 0);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn append(&mut self, rows: impl Operand) -> Result<()> {
        const OP: &str = "NpyWriter::append";
        let at = Location::caller();
        let rows = strong(rows.into_expr(), at);
        let (shape, dtype) = (rows.shape()?, rows.dtype()?);
        if dtype != self.dtype {
            let detail = format!("the rows have dtype {dtype}, and the file {}; use astype", self.dtype);
            return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
        }
        let row = &self.shape[1..];
        if shape.is_empty() || shape[1..] != *row {
            let detail =
                format!("shape {shape:?} does not fit rows of shape {row:?}, which need one more axis before it");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        let mut longer = self.shape.clone();
        longer[0] = longer[0].saturating_add(shape[0]);
        size_of_shape(&longer).map_err(|f| f.at(OP, at))?;
        self.whole(OP, at)?;
        let (file, mut end) = (&mut self.to.file, self.end);
        let done = rows.pieces(at, &mut |bytes| {
            end += bytes.len() as u64;
            file.write_all(bytes)
        });
        match done {
            Ok(()) => (self.shape, self.end) = (longer, end),
            Err(e) => {
                self.is_torn = self.cut().is_err();
                return Err(stopped(e, Some(&self.path), OP, at));
            }
        }
        Ok(())
    }

    /// Writes the number of rows, waits until the file is on the disk, and renames it to its final name, which replaces
    /// an existing file.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the file cannot be written. An existing file is then unchanged.
    #[track_caller]
    pub fn finish(mut self) -> Result<()> {
        const OP: &str = "NpyWriter::finish";
        let at = Location::caller();
        self.whole(OP, at)?;
        let header = header::text(&self.descr, &self.shape);
        let file = &mut self.to.file;
        let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&header));
        let NpyWriter { to, path, .. } = self;
        written.and_then(|()| to.finish()).map_err(|e| stopped(Stopped::Io(e), Some(&path), OP, at))
    }

    /// Removes the bytes after the last complete row.
    fn cut(&mut self) -> io::Result<()> {
        self.to.file.set_len(self.end)?;
        self.to.file.seek(SeekFrom::Start(self.end)).map(drop)
    }

    /// Returns an error if the file may end with an incomplete row.
    fn whole(&self, op: &'static str, at: Loc) -> Result<()> {
        match self.is_torn {
            false => Ok(()),
            true => {
                let detail = format!("{}: an earlier write has failed and could not be undone", self.path.display());
                Err(Error::with_line(ErrorKind::Io, op, detail, at))
            }
        }
    }
}
