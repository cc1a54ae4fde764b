//! Replaces a file as a whole: writes the new content to a temporary file in the same folder, waits until it is on the
//! disk, and renames the temporary file over the old file.

use crate::base::error::Error;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The maximum number of symbolic links to follow, as in Linux. A longer chain of links is treated as a cycle.
const LINKS: usize = 40;

/// Why a file could not be written.
pub(crate) enum Stopped {
    /// Writing to the file failed.
    Io(io::Error),
    /// The content of the file could not be computed.
    Failed(Error),
}

impl From<io::Error> for Stopped {
    fn from(e: io::Error) -> Stopped {
        Stopped::Io(e)
    }
}

impl From<Error> for Stopped {
    fn from(e: Error) -> Stopped {
        Stopped::Failed(e)
    }
}

/// Replaces the content of the file at `path` by the bytes that `write` writes. A device, a pipe or an open file in
/// `/proc` is written to directly.
pub(crate) fn replace<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let mut new = Replacement::begin(path)?;
    write(&mut new.file)?;
    Ok(new.finish()?)
}

/// A file that is being written. If it is dropped before [`Replacement::finish`], the old file stays as it was.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub file: File,
    /// The temporary name of the new file, and its final name. `None` for a device or a pipe, which is written to
    /// directly.
    names: Option<(PathBuf, PathBuf)>,
}

impl Replacement {
    /// Creates the temporary file, or opens the device or pipe at `path`.
    pub fn begin(path: &Path) -> io::Result<Replacement> {
        let old = fs::metadata(path).ok();
        let to = match target(path)? {
            Some(to) if old.as_ref().is_none_or(Metadata::is_file) => to,
            _ => {
                let is_file = old.is_some_and(|old| old.is_file());
                let file = File::options().write(true).truncate(is_file).open(path)?;
                return Ok(Replacement { file, names: None });
            }
        };
        let (file, name) = create(to.parent().unwrap_or(Path::new(".")))?;
        let new = Replacement { file, names: Some((name, to)) };
        // the new file gets the permissions of the old file before it gets content, so that private content is never
        // readable by others
        if let Some(old) = &old {
            new.file.set_permissions(old.permissions())?;
        }
        Ok(new)
    }

    /// Returns whether the target is a device or a pipe, which is written to directly.
    pub fn is_direct(&self) -> bool {
        self.names.is_none()
    }

    /// Waits until the content is on the disk, and renames the new file over the old one.
    pub fn finish(mut self) -> io::Result<()> {
        let Some((name, to)) = &self.names else { return Ok(()) };
        // If the content were not on the disk before the rename, a power failure could leave an empty file, and both
        // the old and the new content would be lost.
        synced(self.file.sync_data())?;
        fs::rename(name, to)?;
        let folder = to.parent().unwrap_or(Path::new(".")).to_path_buf();
        self.names = None;
        sync_folder(&folder)
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some((name, _)) = &self.names {
            let _ = fs::remove_file(name);
        }
    }
}

/// Follows symbolic links to the file that they name, whether the file exists or not. Returns `None` if the file cannot
/// be replaced by a rename: for an open file in `/proc`, or a path that does not end in a file name (`/`, `..`).
fn target(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        let Some(name) = at.file_name() else { return Ok(None) };
        let folder = at.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder)?;
        // links in /proc refer to open files, whose names may have changed since they were opened
        if cfg!(target_os = "linux") && folder.starts_with("/proc") {
            return Ok(None);
        }
        let here = folder.join(name);
        match fs::read_link(&here) {
            Ok(next) => at = folder.join(next),
            Err(_) => return Ok(Some(here)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// Treats a failed sync as a success if the file system does not support syncing, because there is no disk to wait for.
fn synced(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Waits until the entries of a folder are on the disk, because a rename changes them.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => synced(folder.sync_all()),
        // a folder that is writable but not readable cannot be opened, so it cannot be synced either
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Creates a temporary file in a folder, and returns the file and its path.
fn create(folder: &Path) -> io::Result<(File, PathBuf)> {
    // The process id and a counter make the name unique among running processes. If a killed process has left a file
    // with the name, the loop tries the next number.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNT.fetch_add(1, Relaxed);
        let name = folder.join(format!(".cupric-{}-{number}.tmp", crate::base::platform::process_id()));
        match File::create_new(&name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok((made?, name)),
        }
    }
}
