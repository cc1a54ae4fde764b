//! Replaces a file as a whole. The new content goes to a temporary file in the same folder. When the content is on the
//! disk, the file is renamed over the old one.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The maximum number of symbolic links to follow, as in Linux. More are treated as a cycle.
const LINKS: usize = 40;

/// Replaces the content of the file at `path` with what `write` writes. A device, a pipe or an open file that is named
/// by its descriptor in `/proc` is written to directly.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    let to = match target(path)? {
        Some(to) if old.as_ref().is_none_or(Metadata::is_file) => to,
        _ => {
            let is_file = old.is_some_and(|old| old.is_file());
            return write(&mut File::options().write(true).truncate(is_file).open(path)?);
        }
    };
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut new = New::create(folder)?;
    // the new file gets the permissions of the old file before it gets its content, so that private content is never
    // readable by others
    if let Some(old) = &old {
        new.file.set_permissions(old.permissions())?;
    }
    write(&mut new.file)?;
    // wait until the content is on the disk before the rename. Otherwise a power failure could leave the name with an
    // empty file, and both the old and the new content would be lost
    synced(new.file.sync_data())?;
    fs::rename(&new.name, &to)?;
    new.is_renamed = true;
    sync_folder(folder)
}

/// Follows symbolic links to the file that they name, whether it exists or not. Returns `None` if a rename cannot
/// replace the file: for an open file in `/proc`, or a path that does not end in a file name (`/`, `..`).
fn target(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        let Some(name) = at.file_name() else { return Ok(None) };
        let folder = at.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder)?;
        // links in /proc refer to open files, which may have been renamed or deleted since they were opened
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

/// Treats a failed sync as a success if the file system does not support the call, because such a file system has no
/// disk to wait for.
fn synced(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Waits until the list of a folder's files is on the disk, because renaming a file changes that list.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder) {
        Ok(folder) => synced(folder.sync_all()),
        // a folder may be writable but not readable, and then it cannot be opened
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A temporary file. Dropping it before it is renamed removes the file, so that a failed write leaves nothing behind.
struct New {
    file: File,
    name: PathBuf,
    is_renamed: bool,
}

impl New {
    fn create(folder: &Path) -> io::Result<New> {
        // the process id and a counter make the name unique among running processes. If a process that was killed has
        // left a file of that name, the loop tries the next number
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNT.fetch_add(1, Relaxed);
            let name = folder.join(format!(".cupric-{}-{number}.tmp", crate::base::platform::process_id()));
            match File::create_new(&name) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok(New { file: made?, name, is_renamed: false }),
            }
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(&self.name);
        }
    }
}
