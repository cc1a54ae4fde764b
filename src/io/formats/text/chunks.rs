//! Reads a table of numbers in blocks of rows.

use super::read::TextTable;
use super::{TextFormat, rows};
use crate::array::Array;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result};
use crate::io::{io_fault, named};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::iter::FusedIterator;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// An iterator over blocks of rows of a table of numbers in a text file, such as CSV, which need not fit into memory.
/// (Feature `text`.)
///
/// Each block is an array on the CPU with the given number of rows and all columns; the last block may have fewer rows.
/// A table without rows has no blocks. The lines before the first row are skipped once, and [`TextFormat::max_rows`]
/// limits the rows of all blocks together. Values, columns and errors are as in [`Array::from_text`]. After an error the
/// iterator ends.
///
/// ```
/// use cupric::{DType, TextChunks, TextFormat};
/// let path = std::env::temp_dir().join(format!("cupric-doc-chunks-{}.csv", std::process::id()));
/// std::fs::write(&path, "x,y\n1,10\n2,20\n3,30\n").unwrap();
/// let mut sum = 0.0;
/// for block in TextChunks::open(&path, DType::F64, &TextFormat::csv().header(), 2)? {
///     sum += block?.sum(..).item::<f64>()?;                  // blocks of shapes [2, 2] and [1, 2]
/// }
/// assert_eq!(sum, 66.0);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("read_csv", "chunksize", "loadtxt"))]
#[must_use = "an iterator does nothing until it is advanced"]
pub struct TextChunks<R = BufReader<File>> {
    /// `None` after the last row or an error.
    table: Option<TextTable<R>>,
    dtype: DType,
    rows: usize,
    path: Option<PathBuf>,
    at: Loc,
}

impl TextChunks {
    /// Opens a text file, whose table is read in blocks of `rows` rows. (Feature `text`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if `rows` is 0 or the format contradicts itself, [`ErrorKind::Io`] if the file
    /// cannot be read, and [`ErrorKind::Format`] if its header is not one of the format.
    ///
    /// ```
    /// use cupric::{DType, TextChunks, TextFormat};
    /// let e = TextChunks::open("no such file.csv", DType::F32, &TextFormat::csv(), 1000).unwrap_err();
    /// assert!(e.to_string().starts_with("TextChunks::open: no such file.csv: "));
    /// ```
    #[track_caller]
    pub fn open(path: impl AsRef<Path>, dtype: DType, format: &TextFormat, rows: usize) -> Result<TextChunks> {
        const OP: &str = "TextChunks::open";
        let (path, at) = (path.as_ref(), Location::caller());
        check(format, rows, OP, at)?;
        let table = File::open(path).map_err(io_fault).and_then(|file| TextTable::begin(BufReader::new(file), format));
        let table = table.map_err(|f| named(f, path).at(OP, at))?;
        Ok(TextChunks { table: Some(table), dtype, rows, path: Some(path.to_path_buf()), at })
    }
}

impl<R: BufRead> TextChunks<R> {
    /// Reads a table in blocks of `rows` rows from any buffered reader. (Feature `text`.)
    ///
    /// # Errors
    /// Returns the errors of [`TextChunks::open`].
    ///
    /// ```
    /// use cupric::{DType, TextChunks, TextFormat};
    /// let blocks = TextChunks::new("1 2\n3 4\n5 6\n".as_bytes(), DType::I32, &TextFormat::new(), 2)?;
    /// let shapes = blocks.map(|block| Ok(block?.shape().to_vec()));
    /// assert_eq!(shapes.collect::<cupric::Result<Vec<_>>>()?, [[2, 2], [1, 2]]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn new(reader: R, dtype: DType, format: &TextFormat, rows: usize) -> Result<TextChunks<R>> {
        const OP: &str = "TextChunks::new";
        let at = Location::caller();
        check(format, rows, OP, at)?;
        let table = TextTable::begin(reader, format).map_err(|f| f.at(OP, at))?;
        Ok(TextChunks { table: Some(table), dtype, rows, path: None, at })
    }

    fn named(&self, fault: Fault) -> Error {
        let fault = match &self.path {
            Some(path) => named(fault, path),
            None => fault,
        };
        fault.at("TextChunks", self.at)
    }
}

fn check(format: &TextFormat, rows: usize, op: &'static str, at: Loc) -> Result<()> {
    if rows == 0 {
        return Err(Error::with_line(ErrorKind::Argument, op, "blocks of 0 rows; use at least 1", at));
    }
    format.check(op, at)
}

impl<R: BufRead> Iterator for TextChunks<R> {
    type Item = Result<Array>;

    fn next(&mut self) -> Option<Result<Array>> {
        let table = self.table.as_mut()?;
        match rows(table, self.rows, self.dtype, self.at) {
            Ok(block) if block.shape()[0] > 0 => Some(Ok(block)),
            Ok(_) => {
                self.table = None;
                None
            }
            Err(fault) => {
                self.table = None;
                Some(Err(self.named(fault)))
            }
        }
    }
}

impl<R: BufRead> FusedIterator for TextChunks<R> {}

impl<R> std::fmt::Debug for TextChunks<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TextChunks({} rows of {})", self.rows, self.dtype)
    }
}
