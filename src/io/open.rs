//! Opens files for reading, recognises files of another format, and converts errors of files.

use super::header::MAGIC;
use crate::base::error::{ErrorKind, Fault, Result};
use std::fs::File;
use std::io;
use std::path::Path;

/// Converts an I/O error of a read or a write to a fault. Data that a decoder (of a compressed archive, for example)
/// cannot decode is a format fault, not an I/O fault.
pub fn io_fault(e: io::Error) -> Fault {
    let kind = if e.kind() == io::ErrorKind::InvalidData { ErrorKind::Format } else { ErrorKind::Io };
    Fault::new(kind, e.to_string())
}

/// Returns the fault with the path of the file.
pub fn named(fault: Fault, path: &Path) -> Fault {
    Fault::new(fault.kind, format!("{}: {}", path.display(), fault.detail))
}

/// Opens a file for reading. Returns an error for a folder, which the system opens too.
pub fn opened(path: &Path) -> Result<File, Fault> {
    let file = File::open(path).map_err(io_fault)?;
    if file.metadata().map_err(io_fault)?.is_dir() {
        return Err(Fault::new(ErrorKind::Io, "this is a folder, not a file"));
    }
    Ok(file)
}

/// Returns which format a file has that begins with these bytes and is not of the wanted format, as the end of a
/// message. The result is empty if the format is not known.
pub fn instead(start: &[u8]) -> &'static str {
    let formats: [(&[u8], &str); 3] = [
        (MAGIC, "; it is a .npy file, which Array::from_npy reads"),
        (b"PK\x03\x04", "; it is a zip archive, such as .npz, which Npz reads (feature `npz`)"),
        (b"\x89HDF", "; it is an HDF5 file, which cupric does not read"),
    ];
    formats.iter().find(|(begin, _)| start.starts_with(begin)).map_or("", |(_, hint)| hint)
}
