//! Archives of named arrays, like those of `numpy.savez`: ZIP files whose members are `.npy` files.

use super::zip::{Member, check_name, directory};
use super::zip_writer::Writer;
use crate::array::Array;
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result};
use crate::base::replace::{Stopped, replace};
use crate::graph::expr::{Expr, Operand, strong};
use crate::io::{self, Field, Length, format_fault, io_fault, named, opened, stopped};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::panic::Location;
use std::path::{Path, PathBuf};

type Fallible<T> = Result<T, Fault>;

/// The default limit of a member's unpacked length divided by its packed length.
const RATIO: u64 = 100;
/// A member that unpacks to at most this many bytes is read whatever its packed length is, because 16 MiB do not
/// exhaust memory.
const FREE: u64 = 16 << 20;

/// An archive of named arrays, `.npz`, like those of `numpy.savez` and `numpy.savez_compressed`: a
/// [ZIP](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT) file whose members are
/// [`.npy`](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) files, stored or deflated. (Feature
/// `npz`.)
///
/// Opening an archive reads only the names of its arrays. An array is read on request, onto the CPU. An array's name is
/// the name of its member without `.npy`. Names may contain slashes (`encoder/kernel`), as in many checkpoints; names
/// are never used as paths.
///
/// Memory is allocated only for existing data: for a stored (uncompressed) member its size, and for a compressed member
/// at most twice the size of the data that has been unpacked. A member of more than 16 MiB that unpacks to more than
/// 100 times its packed length is an error; [`Npz::max_ratio`] changes this limit. These limits hold for each array,
/// not for the sum of all arrays, because [`Npz::read`] reads one array at a time.
///
/// ```
/// use cupric::{Npz, array, save_npz_compressed};
/// let path = std::env::temp_dir().join(format!("cupric-doc-{}.npz", std::process::id()));
/// save_npz_compressed(&path, [("weights", array![[1., 2.], [3., 4.]]), ("bias", array![0.5, -0.5])])?;
/// let mut archive = Npz::open(&path)?;
/// assert_eq!(archive.names().collect::<Vec<_>>(), ["weights", "bias"]);
/// assert_eq!(archive.read("bias")?.to_vec::<f32>()?, [0.5, -0.5]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Debug)]
pub struct Npz<R = File> {
    source: R,
    members: Vec<Member>,
    /// The indices of `members`, ordered by the members' names.
    sorted: Vec<usize>,
    path: Option<PathBuf>,
    ratio: u64,
}

/// Returns the name of the array that a member holds.
fn name_of(member: &Member) -> &str {
    member.name.strip_suffix(".npy").unwrap_or(&member.name)
}

impl Npz {
    /// Opens an `.npz` archive (like `numpy.load`), and reads the names of its arrays. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the file cannot be read, and [`ErrorKind::OutOfMemory`] if memory is too small.
    /// Returns [`ErrorKind::Format`] if it is not a supported archive: if it is cut off, is in several parts, or has
    /// members that overlap, two members with the same name, or names that are paths to a place outside the archive
    /// (`../x`, `/x`, `C:\x`).
    ///
    /// ```
    /// let e = cupric::Npz::open("no such file.npz").unwrap_err();
    /// assert_eq!(e.kind(), cupric::ErrorKind::Io);
    /// assert!(e.to_string().starts_with("Npz::open: no such file.npz: "));
    /// ```
    #[doc(alias = "load")]
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<Npz> {
        let (path, at) = (path.as_ref(), Location::caller());
        let archive = opened(path).and_then(|file| Npz::of(file, Some(path.to_path_buf())));
        archive.map_err(|f| named(f, path).at("Npz::open", at))
    }
}

impl<R: Read + Seek> Npz<R> {
    /// Reads the directory of an archive from a seekable reader, for example `std::io::Cursor::new(bytes)`. (Feature
    /// `npz`.)
    ///
    /// # Errors
    /// Returns the errors of [`Npz::open`].
    ///
    /// ```
    /// use cupric::{Npz, NpzWriter, array};
    /// let mut writer = NpzWriter::new(vec![]);
    /// writer.write("x", array![1, 2, 3])?;
    /// let bytes = writer.finish()?;
    /// let mut archive = Npz::new(std::io::Cursor::new(&bytes))?;
    /// assert_eq!(archive.read("x")?.to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn new(reader: R) -> Result<Npz<R>> {
        let at = Location::caller();
        Npz::of(reader, None).map_err(|f| f.at("Npz::new", at))
    }

    fn of(mut source: R, path: Option<PathBuf>) -> Fallible<Npz<R>> {
        let members = directory(&mut source)?;
        let mut sorted: Vec<usize> = (0..members.len()).collect();
        sorted.sort_unstable_by_key(|i| name_of(&members[*i]));
        let twice = sorted.windows(2).find(|pair| name_of(&members[pair[0]]) == name_of(&members[pair[1]]));
        if let Some(pair) = twice {
            return Err(format_fault(format!("two members are named {}", name_of(&members[pair[0]]))));
        }
        Ok(Npz { source, members, sorted, path, ratio: RATIO })
    }

    /// Sets the limit of a member's unpacked length divided by its packed length. The default is 100; the compression
    /// method deflate reaches 1,032. Members that unpack to at most 16 MiB are always allowed. (Feature `npz`.)
    ///
    /// ```
    /// use cupric::{DType, Npz, NpzWriter, zeros};
    /// let mut writer = NpzWriter::compressed(vec![]);
    /// writer.write("x", zeros([17 << 20], DType::U8))?;
    /// let bytes = std::io::Cursor::new(writer.finish()?);
    /// assert!(Npz::new(bytes.clone())?.read("x").unwrap_err().to_string().contains("max_ratio"));
    /// assert_eq!(Npz::new(bytes)?.max_ratio(1032).read("x")?.size(), 17 << 20);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[must_use]
    pub fn max_ratio(mut self, ratio: u64) -> Npz<R> {
        self.ratio = ratio;
        self
    }

    /// Returns the arrays' names, in the order of the archive's directory. (Feature `npz`.)
    ///
    /// ```
    /// # use cupric::{Npz, NpzWriter, array};
    /// # let mut writer = NpzWriter::new(vec![]);
    /// # writer.write("b", array![1])?;
    /// # writer.write("a", array![2])?;
    /// # let archive = Npz::new(std::io::Cursor::new(writer.finish()?))?;
    /// assert_eq!(archive.names().collect::<Vec<_>>(), ["b", "a"]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(name_of)
    }

    /// Reads the array with a name onto the CPU. It supports the same `.npy` files as [`Array::from_npy`]. (Feature
    /// `npz`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if no array has the name, [`ErrorKind::Format`] if the member is not a `.npy`
    /// file or its checksum is wrong, [`ErrorKind::LimitExceeded`] if the member exceeds [`Npz::max_ratio`], and
    /// [`ErrorKind::Unsupported`] if it is encrypted or compressed by another method than deflate. Returns
    /// [`ErrorKind::Io`] if reading fails, and [`ErrorKind::OutOfMemory`] if memory is too small.
    ///
    /// ```
    /// # use cupric::{Npz, NpzWriter, array};
    /// # let mut writer = NpzWriter::new(vec![]);
    /// # writer.write("x", array![1.5])?;
    /// # let mut archive = Npz::new(std::io::Cursor::new(writer.finish()?))?;
    /// assert_eq!(archive.read("x")?.to_vec::<f32>()?, [1.5]);
    /// assert!(archive.read("y").unwrap_err().to_string().contains("no array y; there are x"));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn read(&mut self, name: &str) -> Result<Array> {
        self.find(name, Field::Real, "Npz::read", Location::caller())
    }

    /// Reads a range of rows (indices along the first axis) of an array onto the CPU, like [`Array::from_npy_rows`].
    /// Only these rows are held in memory, so an array of an archive may exceed memory. Of a compressed array, all rows
    /// before the range are unpacked again by each call; [`save_npz`] does not compress, and other rows of its arrays are
    /// not read. `choose` gets the number of rows and returns the range to read. The checksum of the array is not
    /// checked, because it is the checksum of all rows. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] if the array has no axes, [`ErrorKind::Index`] if it does not have the rows of the
    /// range, and the errors of [`Npz::read`].
    ///
    /// ```
    /// use cupric::{Npz, array, save_npz};
    /// let path = std::env::temp_dir().join(format!("cupric-doc-npz-rows-{}.npz", std::process::id()));
    /// save_npz(&path, [("x", array![[1., 2.], [3., 4.], [5., 6.]])])?;
    /// let mut archive = Npz::open(&path)?;
    /// let last = archive.read_rows("x", |n| n - 1..n)?;
    /// assert_eq!(last.to_vec::<f32>()?, [5., 6.]);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn read_rows(&mut self, name: &str, choose: impl FnOnce(usize) -> Range<usize>) -> Result<Array> {
        let at = Location::caller();
        let array = self.place(name).and_then(|i| {
            let (member, source) = (&self.members[i], &mut self.source);
            let read = || {
                if member.is_stored() {
                    let start = member.begin(source)?;
                    return io::rows_of(source, start..start + member.size, Length::Known, choose, at);
                }
                check_ratio(member, self.ratio)?;
                let content = Forward { content: member.open(source)?, at: 0 };
                io::rows_of(content, 0..member.size, Length::Claimed, choose, at)
            };
            of_array(member, read)
        });
        array.map_err(|f| self.named(f).at("Npz::read_rows", at))
    }

    /// Reads the array called `name`. If `field` is `Complex`, the array has a last axis of length 2 for the real and
    /// imaginary parts.
    pub(crate) fn find(&mut self, name: &str, field: Field, op: &'static str, at: Loc) -> Result<Array> {
        let array = self.place(name).and_then(|i| self.load(i, field, at));
        array.map_err(|f| self.named(f).at(op, at))
    }

    /// Returns the index in `members` of the array called `name`.
    fn place(&self, name: &str) -> Fallible<usize> {
        let found = self.sorted.binary_search_by_key(&name, |i| name_of(&self.members[*i]));
        found.map(|found| self.sorted[found]).map_err(|_| self.absent(name))
    }

    /// Reads all arrays, in the order of [`Npz::names`]. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns the errors of [`Npz::read`].
    ///
    /// ```
    /// # use cupric::{Npz, NpzWriter, array};
    /// # let mut writer = NpzWriter::new(vec![]);
    /// # writer.write("x", array![1.5])?;
    /// # let mut archive = Npz::new(std::io::Cursor::new(writer.finish()?))?;
    /// for (name, x) in archive.read_all()? {
    ///     assert_eq!((name.as_str(), x.shape()), ("x", &[1][..]));
    /// }
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn read_all(&mut self) -> Result<Vec<(String, Array)>> {
        let at = Location::caller();
        let mut arrays = vec![];
        for i in 0..self.members.len() {
            let array = self.load(i, Field::Real, at).map_err(|f| self.named(f).at("Npz::read_all", at))?;
            arrays.push((name_of(&self.members[i]).to_string(), array));
        }
        Ok(arrays)
    }

    fn named(&self, fault: Fault) -> Fault {
        match &self.path {
            Some(path) => named(fault, path),
            None => fault,
        }
    }

    fn absent(&self, name: &str) -> Fault {
        let names: Vec<&str> = self.names().take(8).collect();
        let more = if self.members.len() > names.len() { ", …" } else { "" };
        let detail = format!("there is no array {name}; there are {}{more}", names.join(", "));
        Fault::new(ErrorKind::Argument, detail)
    }

    fn load(&mut self, i: usize, field: Field, at: Loc) -> Fallible<Array> {
        let (member, source) = (&self.members[i], &mut self.source);
        let read = || {
            check_ratio(member, self.ratio)?;
            let mut content = member.open(source)?;
            let length = if member.is_stored() { Length::Known(member.size) } else { Length::Claimed(member.size) };
            let array = io::read(&mut content, length, field, at)?;
            content.check()?;
            Ok(array)
        };
        of_array(member, read)
    }
}

/// Returns an error if a member unpacks to more than `ratio` times its bytes.
fn check_ratio(member: &Member, ratio: u64) -> Fallible<()> {
    let (packed, size) = (member.packed, member.size);
    if member.is_stored() || size <= FREE || size / ratio.max(1) <= packed {
        return Ok(());
    }
    let detail = format!(
        "{packed} bytes would unpack to {size}, more than {ratio} times as many; Npz::max_ratio raises the limit"
    );
    Err(Fault::new(ErrorKind::LimitExceeded, detail))
}

/// The content of a compressed member. It moves forward by unpacking, and never backward.
struct Forward<R> {
    content: R,
    /// The number of bytes that were unpacked.
    at: u64,
}

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.content.read(into)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: Read> Seek for Forward<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let skipped = if let SeekFrom::Start(to) = to { to.checked_sub(self.at) } else { None };
        let skipped = skipped.ok_or(std::io::ErrorKind::Unsupported)?;
        match std::io::copy(&mut self.by_ref().take(skipped), &mut std::io::sink())? {
            count if count == skipped => Ok(self.at),
            _ => {
                Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the compressed data ends before these rows"))
            }
        }
    }
}

/// Reads a member, which must be a `.npy` file, by `read`. Errors name the member.
fn of_array(member: &Member, read: impl FnOnce() -> Fallible<Array>) -> Fallible<Array> {
    let is_npy = Path::new(&*member.name).extension().is_some_and(|ending| ending == "npy");
    let array = if is_npy { read() } else { Err(format_fault("its name does not end in .npy")) };
    array.map_err(|f| Fault::new(f.kind, format!("member {}: {}", member.name, f.detail)))
}

/// Writes an archive of named arrays, one after another: see [`Npz`]. (Feature `npz`.) The output is complete only
/// after [`NpzWriter::finish`]. To write a file, [`save_npz`] is shorter, and replaces an existing file as a whole.
///
/// ```
/// use cupric::{NpzWriter, array};
/// let mut writer = NpzWriter::compressed(vec![]);
/// writer.write("x", array![1., 2.])?;
/// writer.write("twice x", array![1., 2.] * 2.0)?;
/// let bytes: Vec<u8> = writer.finish()?;
/// assert_eq!(&bytes[..4], b"PK\x03\x04");
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Debug)]
pub struct NpzWriter<W: Write> {
    to: Writer<W>,
    compress: bool,
}

impl<W: Write> NpzWriter<W> {
    /// Begins an archive whose members are stored uncompressed, like `numpy.savez`. (Feature `npz`.)
    pub fn new(to: W) -> NpzWriter<W> {
        NpzWriter { to: Writer::new(to), compress: false }
    }

    /// Begins an archive whose members are compressed, like `numpy.savez_compressed`. (Feature `npz`.)
    pub fn compressed(to: W) -> NpzWriter<W> {
        NpzWriter { to: Writer::new(to), compress: true }
    }

    /// Evaluates an array or expression and adds it under a name. This allocates memory for the elements of an
    /// expression and, in a compressed archive, for the compressed bytes. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Argument`] if the name already exists, is empty, ends in `/`, is longer than 65,531 bytes,
    /// or is a path to a place outside the archive. Also returns the errors of [`Expr::to_npy`].
    ///
    /// ```
    /// let mut writer = cupric::NpzWriter::new(vec![]);
    /// writer.write("layer/bias", cupric::array![1., 2.])?;
    /// assert!(writer.write("layer/bias", cupric::array![1., 2.]).is_err());
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn write(&mut self, name: &str, array: impl Operand) -> Result<()> {
        const OP: &str = "NpzWriter::write";
        let at = Location::caller();
        self.write_at(name, &array.into_expr(), Field::Real, OP, at).map_err(|e| stopped(e, None, OP, at))
    }

    /// Adds an array under a name. If `field` is `Complex`, the last axis contains the real and imaginary parts.
    pub(crate) fn write_at(
        &mut self,
        name: &str,
        array: &Expr,
        field: Field,
        op: &'static str,
        at: Loc,
    ) -> Result<(), Stopped> {
        let wrong = |detail: String| Error::with_line(ErrorKind::Argument, op, detail, at);
        let file = format!("{name}.npy");
        if name.is_empty() || name.ends_with('/') || file.len() > usize::from(u16::MAX) {
            return Err(wrong(format!(
                "a name of {} bytes; a name must have 1 to 65,531 bytes and must not end in /",
                name.len()
            ))
            .into());
        }
        check_name(&file).map_err(wrong)?;
        if self.to.names.contains(&file) {
            return Err(wrong(format!("the archive already has an array {name}")).into());
        }
        let array = &strong(array.clone(), at);
        let header = io::header_of(array, field, op, at)?;
        // if the output is not seekable, the writer may read the elements twice, so evaluate the array once here
        let array = if self.to.is_seekable() { array } else { &array.eval_at(at)?.into() };
        let bytes = array.size()?.saturating_mul(array.dtype()?.size());
        let size = bytes.saturating_add(header.len()) as u64;
        let added = self.to.add(&file, size, self.compress, &mut |give| {
            give(&header)?;
            array.pieces(at, give)
        });
        added.map_err(|e| match e {
            Stopped::Io(e) => Stopped::Io(std::io::Error::new(e.kind(), format!("member {file}: {e}"))),
            Stopped::Failed(e) => Stopped::Failed(e),
        })
    }

    /// Writes the archive's directory (the list of its members), and returns the underlying writer. (Feature `npz`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Io`] if the output cannot be written.
    #[track_caller]
    pub fn finish(self) -> Result<W> {
        let at = Location::caller();
        self.to.finish().map_err(|e| io_fault(e).at("NpzWriter::finish", at))
    }
}

/// Writes named arrays to an uncompressed archive `.npz`, like `numpy.savez`: see [`Npz`]. Arrays and expressions are
/// evaluated and written one by one, large expressions block by block. The file replaces an existing one as a whole, as
/// with [`Expr::to_npy`]. (Feature `npz`.)
///
/// # Errors
/// Returns the errors of [`NpzWriter::write`], and [`ErrorKind::Io`] if the file cannot be written. After an error, an
/// existing file is unchanged.
///
/// ```
/// use cupric::{Npz, array, save_npz};
/// let path = std::env::temp_dir().join(format!("cupric-doc-save-{}.npz", std::process::id()));
/// let (x, y) = (array![1., 2.], array![[3., 4.]]);
/// save_npz(&path, [("x", &x), ("y", &y)])?;
/// assert_eq!(Npz::open(&path)?.read("y")?.shape(), [1, 2]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("savez"))]
#[track_caller]
pub fn save_npz<N: AsRef<str>, A: Operand>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, A)>,
) -> Result<()> {
    save(path.as_ref(), arrays, false, "save_npz")
}

/// Writes named arrays to a compressed archive `.npz`, like `numpy.savez_compressed`: see [`save_npz`]. (Feature
/// `npz`.)
///
/// # Errors
/// Returns the errors of [`save_npz`].
///
/// ```
/// use cupric::{DType, save_npz_compressed, zeros};
/// let path = std::env::temp_dir().join(format!("cupric-doc-compressed-{}.npz", std::process::id()));
/// save_npz_compressed(&path, [("x", zeros([1000], DType::F64))])?;
/// assert!(std::fs::metadata(&path).unwrap().len() < 500);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("savez_compressed"))]
#[track_caller]
pub fn save_npz_compressed<N: AsRef<str>, A: Operand>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, A)>,
) -> Result<()> {
    save(path.as_ref(), arrays, true, "save_npz_compressed")
}

#[track_caller]
fn save<N: AsRef<str>, A: Operand>(
    path: &Path,
    arrays: impl IntoIterator<Item = (N, A)>,
    compress: bool,
    op: &'static str,
) -> Result<()> {
    let at = Location::caller();
    let done = replace(path, |file| {
        let is_seekable = file.stream_position().is_ok();
        let mut writer =
            NpzWriter { to: if is_seekable { Writer::seekable(file) } else { Writer::new(file) }, compress };
        for (name, array) in arrays {
            writer.write_at(name.as_ref(), &array.into_expr(), Field::Real, op, at)?;
        }
        writer.to.finish()?;
        Ok(())
    });
    done.map_err(|e| stopped(e, Some(path), op, at))
}
