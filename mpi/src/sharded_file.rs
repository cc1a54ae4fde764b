//! Sharded arrays in one `.npy` file, of which each rank reads and writes its own rows.

use crate::call::{Call, Fallible, Fault, settle};
use crate::comm::Comm;
use crate::sharded::Sharded;
use cupric::{Array, DType, ErrorKind, Expr, Result, s, zeros};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

impl<'a> Sharded<'a> {
    /// Reads a `.npy` file, and divides its rows (axis 0) among the ranks. Each rank reads only its own rows, so the
    /// file may be larger than the memory of a machine. All ranks must see the file.
    ///
    /// # Errors
    /// Every rank returns the errors of [`Array::from_npy_rows`], or [`ErrorKind::Shape`] if ranks see different files.
    #[track_caller]
    pub fn from_npy(comm: &'a Comm, path: impl AsRef<Path>) -> Result<Sharded<'a>> {
        let mut length = 0;
        let choose = |n| {
            length = n;
            comm.shard(n)
        };
        let local = Array::from_npy_rows(path, choose);
        let local = local.map_err(Fault::from);
        settle(Sharded::of_file(comm, Call::new("Sharded::from_npy"), local, length))
    }

    /// Makes a sharded array from this rank's rows of a file with `length` rows.
    fn of_file(comm: &'a Comm, call: Call, local: Fallible<Array>, length: usize) -> Fallible<Sharded<'a>> {
        let call = match &local {
            Ok(local) => call.of(local.dtype(), &[&[length], &local.shape()[1..]].concat()),
            Err(_) => call,
        };
        comm.agreed(call, local).map(|local| Sharded::of_part(comm, local, 0, length))
    }

    /// Maps a `.npy` file into memory, and divides its rows (axis 0) among the ranks. Each rank reads its own rows, and
    /// only when they are used, so even its own rows may exceed the memory of a machine. All ranks must see the file.
    ///
    /// # Safety
    /// Nobody may change the file while the array or a view of it exists, as for [`Array::map_npy`].
    ///
    /// # Errors
    /// Every rank returns the errors of [`Array::map_npy`], or [`ErrorKind::Shape`] for an array without axes, or if
    /// the ranks see different files.
    #[track_caller]
    pub unsafe fn map_npy(comm: &'a Comm, path: impl AsRef<Path>) -> Result<Sharded<'a>> {
        // SAFETY: the caller promises that nobody changes the file.
        let whole = unsafe { Array::map_npy(path) }.map_err(Fault::from);
        let length = whole.as_ref().map_or(0, |x| x.shape().first().copied().unwrap_or(0));
        let local = whole.and_then(|x| match x.ndim() {
            0 => Err(Fault::new(ErrorKind::Shape, "the array has no axes, and so no rows")),
            _ => Ok(x.slice(s![comm.shard(length)]).eval()?),
        });
        settle(Sharded::of_file(comm, Call::new("Sharded::map_npy"), local, length))
    }
}

impl<L: AsRef<Expr>> Sharded<'_, L> {
    /// Writes the array to one `.npy` file. Each rank writes its own rows, so the array must be divided along axis 0,
    /// and all ranks must see the same file system. An existing file of this name is replaced after all ranks have
    /// written. If a rank fails, the existing file stays as it is.
    ///
    /// The result of [`Sharded::map`] is computed and written block by block, as by
    /// [`Expr::to_npy`](cupric::Expr::to_npy), so a rank's part need not fit into its memory.
    ///
    /// # Errors
    /// Every rank returns [`ErrorKind::Axis`] if the array is divided along another axis, [`ErrorKind::Io`] with the
    /// rank that could not write, or [`ErrorKind::DType`] for bf16, which NumPy does not have.
    #[track_caller]
    pub fn to_npy(&self, path: impl AsRef<Path>) -> Result<()> {
        let result = self.written(path.as_ref(), Call::new("Sharded::to_npy"));
        settle(result.map_err(|fault| fault.of("Sharded::to_npy")))
    }

    #[track_caller]
    fn written(&self, path: &Path, call: Call) -> Fallible<()> {
        let comm = self.comm();
        if self.axis() != 0 {
            let detail = format!("the array is divided along axis {}, not by rows; use reshard(0)", self.axis());
            return Err(Fault::new(ErrorKind::Axis, detail));
        }
        let header = header(self.dtype(), &self.shape())?;
        // a path that is not a regular file, such as a device, cannot be replaced
        let is_special = fs::metadata(path).is_ok_and(|about| !about.is_file());
        let target = if is_special { path.to_path_buf() } else { beside(path) };
        let of = |step: &str| call.clone().with(step).of(self.dtype(), &self.shape());
        let made = match comm.rank() {
            0 => created(&target, &header, is_special),
            _ => Ok(()),
        };
        let written = comm.agreed(of("create"), made.map_err(|e| about(e, path))).and_then(|()| {
            let row = self.dtype().size().saturating_mul(crate::exchange::row(&self.shape()));
            let start = header.len() as u64 + comm.shard(self.length()).start as u64 * row as u64;
            let write = || {
                let file = OpenOptions::new().write(true).open(&target).map_err(|e| about(e, path))?;
                let mut rows = Rows { file, at: start, error: None };
                let written = self.local().as_ref().to_bytes_writer(&mut rows).map(|_| ());
                written.map_err(|e| rows.error.take().map_or(Fault::from(e), |e| about(e, path)))?;
                if is_special { Ok(()) } else { rows.file.sync_data().map_err(|e| about(e, path)) }
            };
            comm.agreed(of("write"), write())
        });
        if is_special {
            return written;
        }
        let renamed = match (comm.rank(), &written) {
            (0, Ok(())) => fs::rename(&target, path).map_err(|e| about(e, path)),
            _ => Ok(()),
        };
        if comm.rank() == 0 && (written.is_err() || renamed.is_err()) {
            fs::remove_file(&target).ok();
        }
        written?;
        comm.agreed(of("rename"), renamed)
    }
}

/// Writes into a file from a position on.
struct Rows {
    file: File,
    at: u64,
    /// The error of the write that failed.
    error: Option<io::Error>,
}

impl Write for Rows {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write_all_at(bytes, self.at) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(bytes.len())
            }
            Err(e) => {
                let again = io::Error::new(e.kind(), e.to_string());
                self.error = Some(e);
                Err(again)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn about(error: io::Error, path: &Path) -> Fault {
    Fault::new(ErrorKind::Io, format!("{}: {error}", path.display()))
}

/// Returns the path of the temporary file, beside the final file, into which the ranks write.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    path.with_file_name(name)
}

/// Creates the file, and writes its header.
fn created(path: &Path, header: &[u8], is_special: bool) -> io::Result<()> {
    let file = if is_special { OpenOptions::new().write(true).open(path)? } else { File::create(path)? };
    file.write_all_at(header, 0)
}

/// Returns the bytes of a file before its data, made from the file of an empty array by replacing the shape.
#[track_caller]
fn header(dtype: DType, shape: &[usize]) -> Fallible<Vec<u8>> {
    let empty = zeros([0], dtype).to_npy_bytes()?;
    let text = String::from_utf8_lossy(&empty);
    let wrong = || Fault::new(ErrorKind::Internal, "the header of an empty array has no type");
    let descr = text.split("'descr': '").nth(1).and_then(|s| s.split('\'').next()).ok_or_else(wrong)?;
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", lengths.join(", "));
    // the magic, the version 1.0, and the length of the text, which ends with a newline at a multiple of 64
    let before = 10;
    let end = (before + text.len() + 1).next_multiple_of(64);
    let length = u16::try_from(end - before).map_err(|_| wrong())?;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.resize(end - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}
