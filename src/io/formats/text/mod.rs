//! Tables of numbers in text files, for example CSV. `text/read.rs` reads a table and splits its lines into fields.
//! `text/chunks.rs` reads a table in blocks of rows. `text/number.rs` reads and writes single numbers.

mod chunks;
mod number;
mod read;

use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result};
use crate::base::replace::replace;
use crate::graph::expr::{Expr, strong};
use crate::io::{io_fault, named, opened, printable};
pub use chunks::TextChunks;
use half::{bf16, f16};
use number as numbers;
use read::TextTable;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::panic::Location;
use std::path::Path;

/// The format of a table of numbers in a text file: the delimiter of its columns, and the lines and columns that are
/// read. (Feature `text`.)
///
/// [`TextFormat::new`] is the format of `numpy.loadtxt` and `numpy.savetxt`. [`TextFormat::csv`] is the format of
/// [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), with quoted fields.
///
/// ```
/// use cupric::{Array, DType, TextFormat};
/// let text = "time, name, height\n0.5, \"a, b\", 3\n1.5, c, 4.25\n";
/// let format = TextFormat::csv().names(["height", "time"]);
/// let x = Array::from_text_reader(text.as_bytes(), DType::F64, &format)?;
/// assert_eq!(x.to_vec::<f64>()?, [3., 0.5, 4.25, 1.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TextFormat {
    delimiter: Option<char>,
    quotes: bool,
    comments: Option<String>,
    skip: u64,
    header: bool,
    columns: Option<Vec<usize>>,
    names: Option<Vec<String>>,
    missing: Option<String>,
    most: Option<usize>,
}

impl Default for TextFormat {
    fn default() -> TextFormat {
        TextFormat::new()
    }
}

impl TextFormat {
    /// Creates a format with white space between columns, and comments from `#` to the end of the line, like
    /// `numpy.loadtxt`. (Feature `text`.)
    pub fn new() -> TextFormat {
        TextFormat {
            delimiter: None,
            quotes: false,
            comments: Some("#".into()),
            skip: 0,
            header: false,
            columns: None,
            names: None,
            missing: None,
            most: None,
        }
    }

    /// Creates a format with commas between columns, quotes around fields that need them (`"a, b"`, in which `""` is a
    /// quote), and no comments. (Feature `text`.)
    pub fn csv() -> TextFormat {
        TextFormat { delimiter: Some(','), quotes: true, comments: None, ..TextFormat::new() }
    }

    /// Sets the delimiter between columns, such as `';'` or `'\t'`. White space around a number is ignored. (Feature
    /// `text`.)
    #[must_use]
    pub fn delimiter(mut self, delimiter: char) -> TextFormat {
        self.delimiter = Some(delimiter);
        self
    }

    /// Sets the string that begins a comment, which ends with its line; `""` means no comments. If fields may be
    /// quoted, only a whole line can be a comment. (Feature `text`.)
    #[must_use]
    pub fn comments(mut self, begin: impl Into<String>) -> TextFormat {
        self.comments = Some(begin.into()).filter(|begin| !begin.is_empty());
        self
    }

    /// Skips this many lines at the start of the file, whatever they contain. (Feature `text`.)
    #[must_use]
    pub fn skip_rows(mut self, lines: u64) -> TextFormat {
        self.skip = lines;
        self
    }

    /// Skips the first line that is neither blank nor a comment. This line usually has the names of the columns.
    /// (Feature `text`.)
    #[must_use]
    pub fn header(mut self) -> TextFormat {
        self.header = true;
        self
    }

    /// Sets the names of columns. When a file is read, only the columns with these names in its header are read, in
    /// this order. When a file is written, its first line has these names. (Feature `text`.)
    #[must_use]
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> TextFormat {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Reads only these columns, counted from 0, in this order. Other columns may contain anything or be missing.
    /// (Feature `text`.)
    #[must_use]
    pub fn columns(mut self, columns: impl IntoIterator<Item = usize>) -> TextFormat {
        self.columns = Some(columns.into_iter().collect());
        self
    }

    /// Sets the value of empty fields, such as `"nan"` or `"0"`. Without this setting, an empty field is an error.
    /// (Feature `text`.)
    #[must_use]
    pub fn missing(mut self, number: impl Into<String>) -> TextFormat {
        self.missing = Some(number.into());
        self
    }

    /// Reads at most this many rows of numbers. To read a large table in blocks of rows, use [`TextChunks`]. (Feature
    /// `text`.)
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> TextFormat {
        self.most = Some(rows);
        self
    }

    /// Returns an error if the format contradicts itself.
    fn check(&self, op: &'static str, at: Loc) -> Result<()> {
        let wrong = |detail: String| Err(Error::with_line(ErrorKind::Argument, op, detail, at));
        if let Some(c) = self.delimiter
            && (matches!(c, '\n' | '\r' | '"' | '.' | '+' | '-') || c.is_ascii_alphanumeric())
        {
            return wrong(format!("the delimiter {c:?} may be part of a number, or of a line's end"));
        }
        if self.columns.is_some() && self.names.is_some() {
            return wrong("columns are chosen both by position and by name".into());
        }
        Ok(())
    }
}

impl Array {
    /// Reads a table of numbers from a text file into an array on the CPU. The array always has two axes: rows and
    /// columns. (Feature `text`.)
    ///
    /// Numbers are rounded once, to the nearest number of the dtype. Float dtypes also accept `inf` and `nan`, in upper
    /// or lower case, and bool accepts `true`, `false`, 1 and 0. Empty lines are skipped. All lines must have as many
    /// columns as the first, unless columns are chosen. Memory is allocated as lines arrive. [`TextChunks`] reads a table
    /// that does not fit into memory.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Format`], with line and column, if a field is not a number of the dtype (a fraction for an
    /// integer dtype, a number out of range) or if lines have different lengths. Returns [`ErrorKind::Argument`] if the
    /// format contradicts itself, [`ErrorKind::Io`] if the file cannot be read, and [`ErrorKind::OutOfMemory`] if
    /// memory is too small.
    ///
    /// ```
    /// use cupric::{Array, DType, TextFormat};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-{}.txt", std::process::id()));
    /// std::fs::write(&path, "# x y\n1 2.5\n3 1e-3\n").unwrap();
    /// let x = Array::from_text(&path, DType::F32, &TextFormat::new())?;
    /// assert_eq!(x.shape(), [2, 2]);
    /// assert_eq!(x.to_vec::<f32>()?, [1., 2.5, 3., 0.001]);
    /// let e = Array::from_text(&path, DType::I32, &TextFormat::new()).unwrap_err();
    /// assert!(e.to_string().contains(".txt: line 2, column 2 (character 3): \"2.5\" is not a number of dtype i32"));
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("loadtxt", "genfromtxt", "read_csv"))]
    #[track_caller]
    pub fn from_text(path: impl AsRef<Path>, dtype: DType, format: &TextFormat) -> Result<Array> {
        const OP: &str = "from_text";
        let (path, at) = (path.as_ref(), Location::caller());
        format.check(OP, at)?;
        let array = opened(path).and_then(|file| load(BufReader::new(file), dtype, format, at));
        array.map_err(|f| named(f, path).at(OP, at))
    }

    /// Reads a table like [`Array::from_text`] from any buffered reader, such as a slice of bytes or a
    /// `std::io::BufReader`. (Feature `text`.)
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_text`].
    ///
    /// ```
    /// use cupric::{Array, DType, TextFormat};
    /// let format = TextFormat::csv().delimiter(';').missing("nan");
    /// let x = Array::from_text_reader("1;;3\n4;5;6\n".as_bytes(), DType::F32, &format)?;
    /// assert_eq!(x.isnan().count_nonzero(..).item::<i64>()?, 1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_text_reader(reader: impl BufRead, dtype: DType, format: &TextFormat) -> Result<Array> {
        const OP: &str = "from_text_reader";
        let at = Location::caller();
        format.check(OP, at)?;
        load(reader, dtype, format, at).map_err(|f| f.at(OP, at))
    }
}

fn load(reader: impl BufRead, dtype: DType, format: &TextFormat, at: Loc) -> Result<Array, Fault> {
    rows(&mut TextTable::begin(reader, format)?, usize::MAX, dtype, at).map_err(|mut f| {
        if f.kind == ErrorKind::OutOfMemory {
            f.detail += "; TextChunks reads a table in blocks of rows";
        }
        f
    })
}

/// Reads the next rows of a table, at most `most`.
fn rows<R: BufRead>(table: &mut TextTable<R>, most: usize, dtype: DType, at: Loc) -> Result<Array, Fault> {
    fn of<T: Element>(
        table: &mut TextTable<impl BufRead>,
        most: usize,
        parse: impl Fn(&str) -> Option<T>,
        at: Loc,
    ) -> Result<Array, crate::base::error::Fault> {
        let (elements, shape) = table.read(most, parse)?;
        Ok(Array::adopt(elements, &shape, at).into_scope("from_text", at)?)
    }
    match dtype {
        DType::Bool => of(table, most, numbers::boolean, at),
        DType::U8 => of::<u8>(table, most, |t| t.parse().ok(), at),
        DType::I8 => of::<i8>(table, most, |t| t.parse().ok(), at),
        DType::U16 => of::<u16>(table, most, |t| t.parse().ok(), at),
        DType::I16 => of::<i16>(table, most, |t| t.parse().ok(), at),
        DType::U32 => of::<u32>(table, most, |t| t.parse().ok(), at),
        DType::I32 => of::<i32>(table, most, |t| t.parse().ok(), at),
        DType::U64 => of::<u64>(table, most, |t| t.parse().ok(), at),
        DType::I64 => of::<i64>(table, most, |t| t.parse().ok(), at),
        DType::F16 => of::<f16>(table, most, |t| numbers::narrow(t, f16::from_f32, f16::is_finite), at),
        DType::BF16 => of::<bf16>(table, most, |t| numbers::narrow(t, bf16::from_f32, bf16::is_finite), at),
        DType::F32 => of::<f32>(table, most, |t| numbers::float(t, f32::is_finite), at),
        DType::F64 => of::<f64>(table, most, |t| numbers::float(t, f64::is_finite), at),
    }
}

// --- writing ---

/// # Text files
impl Expr {
    /// Evaluates the expression, which must have one or two axes, and writes it to a text file: one line for each row,
    /// or for each element of a vector. Each float is written with the fewest digits that read back as the same number.
    /// f16 and bf16 use the digits that f32 needs. (Feature `text`.)
    ///
    /// Only the delimiter of the format (a space if it has none) and the names are used. The file replaces an existing
    /// one as a whole, as with [`Expr::to_npy`].
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the expression does not have one or two axes, or if there are not as many names
    /// as columns. Returns [`ErrorKind::Argument`] if the format cannot represent a name, the errors of the evaluation,
    /// and [`ErrorKind::Io`] if the file cannot be written.
    ///
    /// ```
    /// use cupric::{Array, DType, TextFormat, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-to-{}.csv", std::process::id()));
    /// let x = array![[1., 0.1], [2., 1e-20]];
    /// x.to_text(&path, &TextFormat::csv().names(["n", "value"]))?;
    /// assert_eq!(std::fs::read_to_string(&path).unwrap(), "n,value\n1.0,0.1\n2.0,1e-20\n");
    /// let y = Array::from_text(&path, DType::F32, &TextFormat::csv().header())?;
    /// assert!(cupric::array_equal(&x, &y)?);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("savetxt", "to_csv"))]
    #[track_caller]
    pub fn to_text(&self, path: impl AsRef<Path>, format: &TextFormat) -> Result<()> {
        const OP: &str = "to_text";
        let (path, at) = (path.as_ref(), Location::caller());
        let (array, head) = self.table(format, OP, at)?;
        let write = |file: &mut File| {
            let mut to = BufWriter::new(file);
            save(&array, &head, format, &mut to)?;
            to.flush()
        };
        replace(path, write).map_err(|e| named(io_fault(e), path).at(OP, at))
    }

    /// Writes a table like [`Expr::to_text`] to any writer, and returns the writer. (Feature `text`.)
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_text`].
    ///
    /// ```
    /// use cupric::{TextFormat, array};
    /// let text = array![[1, 2], [3, 4]].to_text_writer(vec![], &TextFormat::new())?;
    /// assert_eq!(text, b"1 2\n3 4\n");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_text_writer<W: Write>(&self, mut to: W, format: &TextFormat) -> Result<W> {
        const OP: &str = "to_text_writer";
        let at = Location::caller();
        let (array, head) = self.table(format, OP, at)?;
        save(&array, &head, format, &mut to).map_err(|e| io_fault(e).at(OP, at))?;
        Ok(to)
    }

    /// Evaluates the expression. Returns the array to be written, and the line of column names to be written before it.
    fn table(&self, format: &TextFormat, op: &'static str, at: Loc) -> Result<(Array, String)> {
        format.check(op, at)?;
        let error = |kind, detail: String| Error::with_line(kind, op, detail, at);
        let expr = strong(self.clone(), at);
        let columns = match *expr.shape()? {
            [_] => 1,
            [_, columns] => columns,
            ref shape => {
                let detail = format!("shape {shape:?} has {} axes; a table has 1 or 2", shape.len());
                return Err(error(ErrorKind::Shape, detail));
            }
        };
        let mut head = String::new();
        if let Some(names) = &format.names {
            if names.len() != columns {
                let detail = format!("{} names for {columns} columns", names.len());
                return Err(error(ErrorKind::Shape, detail));
            }
            for (i, name) in names.iter().enumerate() {
                if i > 0 {
                    head.push(format.delimiter.unwrap_or(' '));
                }
                format.write_name(name, &mut head).map_err(|detail| error(ErrorKind::Argument, detail))?;
            }
            head.push('\n');
        }
        // a GPU may report errors of the evaluation late, but not later than when the result is copied to the CPU. So
        // after this copy, no error of the evaluation can occur while the file is written
        Ok((expr.moved(&Device::cpu(), op, at)?, head))
    }
}

impl TextFormat {
    /// Appends the name of a column, in quotes if it needs them.
    fn write_name(&self, name: &str, to: &mut String) -> Result<(), String> {
        let is_split = match self.delimiter {
            Some(c) => name.contains(c),
            None => name.contains(char::is_whitespace),
        };
        let is_odd = is_split
            || name.is_empty()
            || name.trim() != name
            || name.contains(['"', '\n', '\r'])
            || self.comments.as_ref().is_some_and(|begin| name.contains(begin.as_str()));
        if !is_odd {
            to.push_str(name);
        } else if self.quotes {
            // writing to a string does not fail
            let _ = write!(to, "\"{}\"", name.replace('"', "\"\""));
        } else {
            return Err(format!("the name {} cannot be written without quotes", printable(name.as_bytes())));
        }
        Ok(())
    }
}

fn save(array: &Array, head: &str, format: &TextFormat, to: &mut impl Write) -> io::Result<()> {
    fn of<T: Element>(
        array: &Array,
        format: &TextFormat,
        to: &mut impl Write,
        write: impl Fn(T, &mut String),
    ) -> io::Result<()> {
        let columns = if array.ndim() == 2 { array.shape()[1] } else { 1 };
        let elements = array.to_vec::<T>().map_err(io::Error::other)?;
        let mut line = String::new();
        for row in 0..array.shape()[0] {
            line.clear();
            for (i, element) in elements[row * columns..][..columns].iter().enumerate() {
                if i > 0 {
                    line.push(format.delimiter.unwrap_or(' '));
                }
                write(*element, &mut line);
            }
            line.push('\n');
            to.write_all(line.as_bytes())?;
        }
        Ok(())
    }
    to.write_all(head.as_bytes())?;
    match array.dtype() {
        DType::Bool => of(array, format, to, |v: bool, t| t.push(if v { '1' } else { '0' })),
        DType::U8 => of(array, format, to, numbers::plain::<u8>),
        DType::I8 => of(array, format, to, numbers::plain::<i8>),
        DType::U16 => of(array, format, to, numbers::plain::<u16>),
        DType::I16 => of(array, format, to, numbers::plain::<i16>),
        DType::U32 => of(array, format, to, numbers::plain::<u32>),
        DType::I32 => of(array, format, to, numbers::plain::<i32>),
        DType::U64 => of(array, format, to, numbers::plain::<u64>),
        DType::I64 => of(array, format, to, numbers::plain::<i64>),
        // convert to f32 and write the digits of that number, which read back as the same f16 or bf16
        DType::F16 => of(array, format, to, |v: f16, t| numbers::plain(v.to_f32(), t)),
        DType::BF16 => of(array, format, to, |v: bf16, t| numbers::plain(v.to_f32(), t)),
        DType::F32 => of(array, format, to, numbers::plain::<f32>),
        DType::F64 => of(array, format, to, numbers::plain::<f64>),
    }
}
