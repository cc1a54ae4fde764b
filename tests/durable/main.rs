//! What remains of a written file after a power failure: the order in which contents, name and folder reach the disk. A
//! separate process that replaces `fdatasync` and `fsync` to record their calls.
#![cfg(target_os = "linux")]

use cupric::{Array, array};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::sync::Mutex;

/// One recorded call: whether it was for a folder, how many bytes, and what the file at the path held at that time.
#[derive(Debug, PartialEq)]
struct Sync {
    folder: bool,
    length: u64,
    seen: Option<Vec<f32>>,
}

static PATH: Mutex<Option<PathBuf>> = Mutex::new(None);
static SEEN: Mutex<Vec<Sync>> = Mutex::new(vec![]);

fn note(fd: i32) -> i32 {
    if let Some(path) = &*PATH.lock().unwrap() {
        // SAFETY: the caller keeps the descriptor open; the file gives it back below without closing it.
        let file = unsafe { File::from_raw_fd(fd) };
        let about = file.metadata().unwrap();
        let seen = path.exists().then(|| Array::from_npy(path).unwrap().to_vec().unwrap());
        SEEN.lock().unwrap().push(Sync { folder: about.is_dir(), length: about.len(), seen });
        assert_eq!(std::os::fd::IntoRawFd::into_raw_fd(file), fd);
    }
    0
}

// The linker prefers these functions of the program to those of the C library.

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: i32) -> i32 {
    note(fd)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: i32) -> i32 {
    note(fd)
}

#[test]
fn content_comes_before_the_name_and_the_folder_last() {
    let dir = std::env::temp_dir().join(format!("cupric-durable-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("x.npy");
    *PATH.lock().unwrap() = Some(path.clone());
    let mut old = None;
    for x in [array![1.0, 2.0], array![3.0, 4.0]] {
        x.to_npy(&path).unwrap();
        let new = Some(x.to_vec::<f32>().unwrap());
        let mut seen = std::mem::take(&mut *SEEN.lock().unwrap());
        assert_eq!(seen.len(), 2, "{seen:?}");
        let (folder, file) = (seen.pop().unwrap(), seen.pop().unwrap());
        assert_eq!(file, Sync { folder: false, length: 128 + 8, seen: old }, "the file, whole, before its name");
        assert_eq!((folder.folder, &folder.seen), (true, &new), "the folder, after it");
        old = new;
    }
    // writing to a device or a pipe does not call fsync, because there is no disk to wait for
    array![1.0].to_npy("/dev/null").unwrap();
    let pipe = File::open("/dev/null").unwrap();
    array![1.0].to_npy(format!("/proc/self/fd/{}", pipe.as_raw_fd())).ok();
    assert!(SEEN.lock().unwrap().is_empty());
    *PATH.lock().unwrap() = None;
    std::fs::remove_dir_all(dir).unwrap();
}
