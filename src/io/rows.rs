//! Reads some rows of a `.npy` file, which may be a member of an archive.

use super::{ByteSource, Fallible, Field, Length, Load, data_bytes, io_fault, named, opened, read_header};
use crate::array::Array;
use crate::base::error::{ErrorKind, Fault, Loc, Result};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::panic::Location;
use std::path::Path;

impl Array {
    /// Reads a range of rows (indices along the first axis) of a NumPy `.npy` file onto the CPU. Other rows are not
    /// read. `choose` gets the number of rows and returns the range to read. So several processes can each read a part
    /// of a file that is too large for the memory of one of them.
    ///
    /// # Errors
    /// Returns the errors of [`Array::from_npy`], [`ErrorKind::Shape`] if the array has no axes, and
    /// [`ErrorKind::Index`] if the file does not have the rows of the range.
    ///
    /// ```
    /// use cupric::{Array, array};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-rows-{}.npy", std::process::id()));
    /// array![[1., 2.], [3., 4.], [5., 6.], [7., 8.]].to_npy(&path)?;
    /// let half = Array::from_npy_rows(&path, |n| n / 2..n)?;
    /// assert_eq!(half.to_vec::<f32>()?, [5., 6., 7., 8.]);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn from_npy_rows(path: impl AsRef<Path>, choose: impl FnOnce(usize) -> Range<usize>) -> Result<Array> {
        let (path, at) = (path.as_ref(), Location::caller());
        some_rows(path, choose, at).map_err(|f| named(f, path).at("from_npy_rows", at))
    }
}

fn some_rows(path: &Path, choose: impl FnOnce(usize) -> Range<usize>, at: Loc) -> Fallible<Array> {
    let file = opened(path)?;
    let length = file.metadata().map_err(io_fault)?.len();
    rows_of(file, 0..length, Length::Known, choose, at)
}

/// Reads a range of rows of the `.npy` file that is in the bytes `within` of `file`. The file's position must be at the
/// start of these bytes, and is moved only forward. `length` states whether the bytes are certainly there.
pub(crate) fn rows_of(
    mut file: impl Read + Seek,
    within: Range<u64>,
    length: fn(u64) -> Length,
    choose: impl FnOnce(usize) -> Range<usize>,
    at: Loc,
) -> Fallible<Array> {
    let mut source = ByteSource::new(&mut file, length(within.end - within.start));
    let mut header = read_header(&mut source, Field::Real)?;
    let bytes = data_bytes(&header, source.left)?;
    let Some(n) = header.shape.first().copied() else {
        return Err(Fault::new(ErrorKind::Shape, "an array without axes has no rows"));
    };
    let rows = choose(n);
    if rows.start > rows.end || rows.end > n {
        return Err(Fault::new(ErrorKind::Index, format!("rows {}..{} of {n} rows", rows.start, rows.end)));
    }
    // in Fortran order, the elements of a column are contiguous, so each range of contiguous bytes has only one element
    // of a row
    let row = if n == 0 || mutant!(npy_rows_in_c_order, false, header.fortran) {
        header.dtype.size()
    } else {
        bytes as usize / n
    };
    header.shape[0] = rows.len();
    let size = header.size()?;
    let [step, run, skip] = [n, rows.len(), rows.start].map(|rows| rows * row);
    let from = within.end - bytes + skip as u64;
    let bytes = (size * header.dtype.size()) as u64;
    let runs = Runs { file, from, step, run, left: run };
    let source = ByteSource::new(runs.take(bytes), length(bytes));
    Load { source, size, swap: header.swap, at }.any(&header)
}

/// Reads ranges of bytes in a file (*runs*), which all have the same length and the same distance from each other.
struct Runs<R> {
    file: R,
    /// The offset in the file at which the current range (*run*) starts.
    from: u64,
    /// The number of bytes from the start of a range (*run*) to the start of the next.
    step: usize,
    /// `run` is the length of each range (*run*) in bytes, and `left` is the number of bytes of the current range that
    /// have not been read.
    run: usize,
    left: usize,
}

impl<R: Read + Seek> Read for Runs<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.from += self.step as u64;
            self.left = self.run;
        }
        self.file.seek(SeekFrom::Start(self.from + (self.run - self.left) as u64))?;
        let most = into.len().min(self.left);
        let n = self.file.read(&mut into[..most])?;
        self.left -= n;
        Ok(n)
    }
}
