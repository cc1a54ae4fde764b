//! What a power failure would leave of a file that is written: the order in which content, name and folder reach the
//! disk. A process of its own, whose calls of `fdatasync` and `fsync` are seen.
#![cfg(target_os = "linux")]

use cupric::{Array, array};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::sync::Mutex;

/// What was on its way to the disk: bytes and whether it was a folder, and what the path held at that time.
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
        // SAFETY: a descriptor that the caller keeps open, and which is given back unclosed.
        let file = unsafe { File::from_raw_fd(fd) };
        let about = file.metadata().unwrap();
        let seen = path.exists().then(|| Array::from_npy(path).unwrap().to_vec().unwrap());
        SEEN.lock().unwrap().push(Sync { folder: about.is_dir(), length: about.len(), seen });
        assert_eq!(std::os::fd::IntoRawFd::into_raw_fd(file), fd);
    }
    0
}

// The program's own functions come before those of the C library.

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
    // what has no disk is not waited for
    array![1.0].to_npy("/dev/null").unwrap();
    let pipe = File::open("/dev/null").unwrap();
    array![1.0].to_npy(format!("/proc/self/fd/{}", pipe.as_raw_fd())).ok();
    assert!(SEEN.lock().unwrap().is_empty());
    *PATH.lock().unwrap() = None;
    std::fs::remove_dir_all(dir).unwrap();
}
