//! Replaces a file's content as a whole. The new content goes to a new file, which has no name where the system has nameless
//! files (Linux), else a temporary name. When the content is on the disk, the file is renamed over the old one.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// The most symbolic links that are followed, as in Linux. More are taken for a cycle.
const LINKS: usize = 40;
/// The most temporary names that are tried. Each name in use belongs to another writer of the same file at the same time, so a
/// few would do; the limit only ends the loop.
const NAMES: usize = 1 << 16;

/// Where a path leads.
enum Target {
    /// A file, or a name under which a file can be made.
    File(PathBuf),
    /// A target that cannot be replaced by name: an open file that is named by its descriptor in `/proc`, or a path without a
    /// last name (`/`, `..`).
    Other,
}

/// Gives the file at `path` the content that `write` writes. Writes directly to a device or a pipe.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let to = target(path)?;
    let old = fs::metadata(path).ok();
    let Target::File(to) = to else { return straight(path, old.as_ref(), write) };
    if old.as_ref().is_some_and(|m| !m.is_file()) {
        return straight(path, old.as_ref(), write);
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut new = New::beside(&to, folder)?;
    // the new file gets the old one's permissions before its content, so that a private file stays private
    if let Some(old) = &old {
        new.file.set_permissions(old.permissions())?;
    }
    write(&mut new.file)?;
    // the content must be on the disk before the name is: if the power fails, a name without content would lose old and new
    synced(new.file.sync_data())?;
    new.take_the_place_of(&to, old.is_some())?;
    sync_folder(folder)
}

/// Writes directly to a target that must not be replaced. A directory gives the system's error of opening it for writing.
fn straight(path: &Path, old: Option<&Metadata>, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let is_file = old.is_some_and(Metadata::is_file);
    write(&mut File::options().write(true).truncate(is_file).open(path)?)
}

/// Follows links to the file that they name, whether it is there yet or not.
fn target(path: &Path) -> io::Result<Target> {
    let mut at = path.to_path_buf();
    for _ in 0..LINKS {
        let Some(name) = at.file_name() else { return Ok(Target::Other) };
        let folder = at.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder)?;
        // links in /proc lead to open files, which may have another name by now, or none
        if cfg!(target_os = "linux") && folder.starts_with("/proc") {
            return Ok(Target::Other);
        }
        let here = folder.join(name);
        match fs::read_link(&here) {
            Ok(next) => at = folder.join(next),
            Err(_) => return Ok(Target::File(here)),
        }
    }
    Err(io::Error::other("too many links lead to one another"))
}

/// Turns a sync's failure into success if the file system does not offer the call, because it has no disk to wait for.
fn synced(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// Waits until a folder is on the disk: renaming a file changes its folder.
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

/// The new file, until it takes the place of the old one.
struct New<'a> {
    file: File,
    folder: &'a Path,
    /// The beginning of its temporary names, the same for every write of one file.
    stem: String,
    /// Its temporary name, if it has one. Dropping this value removes the file under that name, so that a failed write leaves
    /// nothing behind.
    name: Option<PathBuf>,
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = fs::remove_file(name);
        }
    }
}

impl<'a> New<'a> {
    fn beside(to: &Path, folder: &'a Path) -> io::Result<New<'a>> {
        let stem = stem(to.file_name().unwrap_or_default());
        match nameless::create(folder) {
            Some(file) => Ok(New { file, folder, stem, name: None }),
            None => New::named(folder, stem),
        }
    }

    /// A new file under a temporary name, for systems on which every file has one.
    fn named(folder: &'a Path, stem: String) -> io::Result<New<'a>> {
        for n in 0..NAMES {
            let name = name(folder, &stem, n);
            let mut made = File::create_new(&name);
            if is_taken(&made) && is_left_behind(&name) {
                made = File::create_new(&name);
            }
            match made {
                Ok(file) if claim(&file, &name) => return Ok(New { file, folder, stem, name: Some(name) }),
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
        }
        Err(io::Error::other("no temporary name is free"))
    }

    /// Gives the new file its final name.
    fn take_the_place_of(mut self, to: &Path, replaces: bool) -> io::Result<()> {
        if self.name.is_none() {
            if !replaces {
                let linked = nameless::link(&self.file, to);
                // if another process has made a file of that name meanwhile, it is replaced below
                if !is_taken(&linked) {
                    return linked;
                }
            }
            self.link()?;
        }
        if let Some(name) = &self.name {
            fs::rename(name, to)?;
        }
        self.name = None;
        Ok(())
    }

    /// Gives a temporary name to a file without a name, because only a named file can be renamed over another.
    fn link(&mut self) -> io::Result<()> {
        // the lock tells other writers that the name is in use. Where locks do not work nobody removes the file, so the only
        // harm is that it stays for good if the process ends before the renaming
        let _ = self.file.try_lock();
        for n in 0..NAMES {
            let name = name(self.folder, &self.stem, n);
            let mut linked = nameless::link(&self.file, &name);
            if is_taken(&linked) && is_left_behind(&name) {
                linked = nameless::link(&self.file, &name);
            }
            if !is_taken(&linked) {
                self.name = linked.is_ok().then_some(name);
                return linked;
            }
        }
        Err(io::Error::other("no temporary name is free"))
    }
}

/// The beginning of the temporary names of a file: a hash of its name, because the name with a suffix could be too long.
fn stem(name: &OsStr) -> String {
    // FNV-1a
    let hash = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, hash);
    format!(".cupric-{hash:016x}")
}

fn name(folder: &Path, stem: &str, n: usize) -> PathBuf {
    folder.join(format!("{stem}-{n}.tmp"))
}

/// Whether making a file failed because its name exists already.
fn is_taken<T>(made: &io::Result<T>) -> bool {
    made.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists)
}

/// Locks a file that was just made under a temporary name, to mark it as in use. Returns false if another process locked it
/// first: it takes the file for one that was left behind, and removes it.
fn claim(file: &File, name: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, name),
        Err(fs::TryLockError::WouldBlock) => false,
        // on a file system without locks no process removes files of others
        Err(fs::TryLockError::Error(_)) => true,
    }
}

/// Removes a file if a process left it behind when it ended, that is, if no process holds its lock. Returns whether the file
/// was removed.
fn is_left_behind(name: &Path) -> bool {
    if cfg!(not(unix)) {
        // here a file that was removed and made anew cannot be told from the old one, so nothing is removed
        return false;
    }
    let Ok(file) = File::open(name) else { return false };
    // the lock is held until the name is gone, so that no two processes remove it
    file.try_lock().is_ok() && is_at(&file, name) && fs::remove_file(name).is_ok()
}

/// Whether the name still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, name: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::symlink_metadata(name)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// On other systems an open file cannot lose its name.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Files without a name (`O_TMPFILE`). If the process ends before it has named such a file, the system removes the file.
#[cfg(all(target_os = "linux", not(miri)))]
mod nameless {
    use std::ffi::{CString, c_char, c_int};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;

    // a function of the C library, which `std` links anyway
    unsafe extern "C" {
        fn linkat(from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_int) -> c_int;
    }
    const AT_FDCWD: c_int = -100;
    const AT_SYMLINK_FOLLOW: c_int = 0x400;

    /// The flag `O_TMPFILE`, whose value depends on the architecture because it contains `O_DIRECTORY`; `None` for an
    /// architecture that is not listed here, which then uses temporary names.
    const fn flag() -> Option<c_int> {
        if cfg!(any(target_arch = "x86", target_arch = "x86_64", target_arch = "riscv64")) {
            Some(0o20_200_000)
        } else if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
            Some(0o20_040_000)
        } else {
            None
        }
    }

    /// The path in `/proc` that names an open file.
    fn descriptor(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }

    /// Makes a file without a name; `None` if the file system has no such files, or if `/proc` is missing, which `link` needs.
    pub fn create(folder: &Path) -> Option<File> {
        let file = File::options().write(true).custom_flags(flag()?).open(folder).ok()?;
        Path::new(&descriptor(&file)).exists().then_some(file)
    }

    /// Gives the file a name, which must be free.
    pub fn link(file: &File, name: &Path) -> io::Result<()> {
        let old = CString::new(descriptor(file))?;
        let new = CString::new(name.as_os_str().as_bytes())?;
        // SAFETY: `linkat` is declared with its C signature; both strings end in a zero byte and outlive the call.
        match unsafe { linkat(AT_FDCWD, old.as_ptr(), AT_FDCWD, new.as_ptr(), AT_SYMLINK_FOLLOW) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(any(not(target_os = "linux"), miri))]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub fn create(_: &Path) -> Option<File> {
        None
    }

    pub fn link(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(feature = "testing", unix, not(miri)))]
mod tests {
    use super::*;
    use std::io::Write;

    crate::testing::unit_tests!(io_replace: what_a_process_left_behind_is_removed_by_the_next_write);

    /// Takes the path of systems without nameless files, with a file that a killed process left behind.
    fn what_a_process_left_behind_is_removed_by_the_next_write() {
        let folder = std::env::temp_dir().join(format!("cupric-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let names = || {
            let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
            let mut all: Vec<String> = fs::read_dir(&folder).unwrap().map(name).collect();
            all.sort();
            all
        };
        let to = folder.join("x.npy");
        let (stem, first) = (|| stem(OsStr::new("x.npy")), name(&folder, &stem(OsStr::new("x.npy")), 0));
        fs::write(&first, "left behind").unwrap();
        let mut one = New::named(&folder, stem()).unwrap();
        assert_eq!(one.name.as_ref(), Some(&first));
        assert_eq!(one.file.metadata().unwrap().len(), 0);
        // a second writer at the same time takes another name, and does not remove the first one's file
        let two = New::named(&folder, stem()).unwrap();
        assert_eq!(two.name, Some(name(&folder, &stem(), 1)));
        one.file.write_all(b"one").unwrap();
        one.take_the_place_of(&to, false).unwrap();
        assert_eq!((fs::read(&to).unwrap(), names().len()), (b"one".to_vec(), 2));
        drop(two);
        assert_eq!(names(), ["x.npy"], "what fails leaves nothing");
        // after the renaming the temporary name no longer leads to the file, so nobody takes it for one left behind
        assert!(!is_at(&File::open(&to).unwrap(), &first));
        // `replace` uses a nameless file where it can; a file left behind under its first temporary name is removed too
        fs::write(&first, "left behind").unwrap();
        replace(&to, |file| file.write_all(b"two")).unwrap();
        assert_eq!((fs::read(&to).unwrap(), names()), (b"two".to_vec(), vec!["x.npy".to_string()]));
        fs::remove_dir_all(&folder).unwrap();
    }
}
