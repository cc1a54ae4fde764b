//! File names, links, pipes and signals that caused problems with `.npy` files.
#![cfg(unix)]

use cupric::{Array, ErrorKind, array};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A folder for one test. It is deleted when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cupric-found-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
    fn names(&self) -> Vec<String> {
        let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut all: Vec<String> = std::fs::read_dir(&self.0).unwrap().map(name).collect();
        all.sort();
        all
    }
    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn values(path: &Path) -> Vec<f32> {
    Array::from_npy(path).unwrap().to_vec::<f32>().unwrap()
}

#[test]
fn names_as_long_as_the_system_takes() {
    let dir = Folder::new("long");
    for length in [5, 230, 243, 244, 250, 255] {
        let name = format!("{}.npy", "n".repeat(length - 4));
        let path = dir.file(&name);
        // as a new file, and replacing an old one
        for x in [1.0, 2.0] {
            (array![1.0] * x).to_npy(&path).unwrap();
            assert_eq!(values(&path), [x as f32]);
        }
        assert_eq!(dir.names(), [name]);
        std::fs::remove_file(path).unwrap();
    }
    let e = array![1.0].to_npy(dir.file(&"n".repeat(256))).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(dir.names().is_empty());
}

#[test]
fn a_link_to_nothing_yet_is_written_through() {
    let dir = Folder::new("dangling");
    std::fs::create_dir(dir.file("sub")).unwrap();
    // a chain of relative links through another folder
    symlink("sub/second", dir.file("first")).unwrap();
    symlink("../real.npy", dir.file("sub/second")).unwrap();
    array![1.0].to_npy(dir.file("first")).unwrap();
    assert!(dir.file("first").symlink_metadata().unwrap().is_symlink());
    assert!(dir.file("sub/second").symlink_metadata().unwrap().is_symlink());
    assert!(dir.file("real.npy").symlink_metadata().unwrap().is_file());
    array![2.0].to_npy(dir.file("first")).unwrap();
    assert_eq!(values(&dir.file("real.npy")), [2.0]);
    assert_eq!(dir.names(), ["first", "real.npy", "sub"]);
    // a circle of links, and a link into a missing folder
    symlink("round", dir.file("round")).unwrap();
    symlink("no/such/file", dir.file("lost")).unwrap();
    for name in ["round", "lost"] {
        let e = array![1.0].to_npy(dir.file(name)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Io, "{e}");
        assert!(dir.file(name).symlink_metadata().unwrap().is_symlink());
    }
}

/// A descriptor's path means the open file, not the file that now has its name.
#[cfg(target_os = "linux")]
#[test]
fn an_open_descriptor_is_written_as_it_is() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    let dir = Folder::new("descriptor");
    let path = dir.file("out.npy");
    let open = std::fs::File::create(&path).unwrap();
    let number = open.metadata().unwrap().ino();
    array![3.0].to_npy(format!("/proc/self/fd/{}", open.as_raw_fd())).unwrap();
    assert_eq!(path.metadata().unwrap().ino(), number);
    assert_eq!(values(&path), [3.0]);
    std::fs::remove_file(&path).unwrap();
    array![4.0].to_npy(format!("/dev/fd/{}", open.as_raw_fd())).unwrap();
    assert!(dir.names().is_empty());
    assert_eq!(open.metadata().unwrap().len(), 128 + 4);
}

// --- a process that is killed ---

/// A command that runs one of the tests below in a separate process.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("CUPRIC_TEST_FOLDER", dir);
    command
}

/// In a child process, writes files to a few names until it is killed, or for a limited time.
#[test]
fn a_process_that_writes() {
    let Some(dir) = std::env::var_os("CUPRIC_TEST_FOLDER") else { return };
    let dir = PathBuf::from(dir);
    for i in 0..2000 {
        let x = cupric::full([1 << 18], i as f32, cupric::DType::F32).eval().unwrap();
        x.to_npy(dir.join("old.npy")).unwrap();
        x.to_npy(dir.join(format!("new-{i}.npy"))).unwrap();
        if i >= 4 {
            std::fs::remove_file(dir.join(format!("new-{}.npy", i - 4))).unwrap();
        }
    }
}

#[test]
fn a_killed_process_leaves_whole_files() {
    let dir = Folder::new("killed");
    for (round, signal) in ["INT", "TERM", "KILL"].iter().cycle().take(12).enumerate() {
        let mut writer = child("files::a_process_that_writes", &dir.0).stdout(Stdio::null()).spawn().unwrap();
        while dir.names().len() < 2 && writer.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(7 * round as u64 % 31));
        let send = |signal: &str, to: u32| {
            assert!(Command::new("kill").args([format!("-{signal}"), to.to_string()]).status().unwrap().success());
        };
        send(signal, writer.id());
        // a background process ignores SIGINT, and so do the processes that it starts
        for _ in 0..100 {
            if writer.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if writer.try_wait().unwrap().is_none() {
            send("KILL", writer.id());
        }
        assert!(!writer.wait().unwrap().success());
        for name in dir.names() {
            // a temporary file of the killed process
            if name.starts_with(".cupric-") && name.ends_with(".tmp") {
                std::fs::remove_file(dir.file(&name)).unwrap();
                continue;
            }
            let numbered = name.strip_prefix("new-").and_then(|n| n.strip_suffix(".npy"));
            assert!(name == "old.npy" || numbered.is_some_and(|n| n.parse::<u32>().is_ok()), "{name} is left");
            let x = values(&dir.file(&name));
            assert!(x.len() == 1 << 18 && x.iter().all(|v| *v == x[0]), "{name} is a mixture");
            std::fs::remove_file(dir.file(&name)).unwrap();
        }
    }
}

// --- pipes ---

/// What reading a pipe gives if these pieces are written to it.
fn through(pipe: &Path, pieces: Vec<Vec<u8>>) -> cupric::Result<Array> {
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut to = std::fs::File::options().write(true).open(pipe).unwrap();
            // the write may fail because the reader stopped early
            let _ = pieces.iter().try_for_each(|p| to.write_all(p).and_then(|_| to.flush()));
        });
        Array::from_npy(pipe)
    })
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let dir = Folder::new("pipe");
    let pipe = dir.fifo("pipe");
    for x in [
        array![1, 2, 3],
        array![[1, 2], [3, 4]].t().eval().unwrap(),
        cupric::arange(0, 1_000_003, 1, cupric::DType::I32).eval().unwrap(),
    ] {
        let bytes = x.to_npy_bytes().unwrap();
        let got = through(&pipe, vec![bytes.clone()]).unwrap();
        assert_eq!((got.shape(), got.to_vec::<i32>().unwrap()), (x.shape(), x.to_vec::<i32>().unwrap()));
        // pieces with odd sizes
        let got = through(&pipe, bytes.chunks(4099).map(<[u8]>::to_vec).collect()).unwrap();
        assert_eq!(got.to_vec::<i32>().unwrap(), x.to_vec::<i32>().unwrap());
    }
    let bools = array![true, false, true];
    let got = through(&pipe, vec![bools.to_npy_bytes().unwrap()]).unwrap();
    assert_eq!(got.to_vec::<bool>().unwrap(), [true, false, true]);
    let empty = cupric::zeros([0, 3], cupric::DType::F64).to_npy_bytes().unwrap();
    assert_eq!(through(&pipe, vec![empty]).unwrap().shape(), [0, 3]);
    // too few bytes, too many, and none
    let bytes = array![1, 2, 3].to_npy_bytes().unwrap();
    for (pieces, fact) in [
        (vec![bytes[..bytes.len() - 1].to_vec()], "the data ended early"),
        (vec![bytes[..60].to_vec()], "the data ended early"),
        (vec![vec![]], "the file is empty"),
        (vec![bytes.clone(), vec![0]], "more data than its header describes"),
        (vec![b"hello, this is no array".to_vec()], "not a .npy file"),
    ] {
        let e = through(&pipe, pieces).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Format, "{e}");
        assert!(e.to_string().contains(fact), "{e}");
    }
    // an array can be written to a pipe too
    let writer = pipe.clone();
    let writing = std::thread::spawn(move || array![5.0].to_npy(writer).unwrap());
    assert_eq!(values(&pipe), [5.0]);
    writing.join().unwrap();
    assert_eq!(dir.names(), ["pipe"]);
}

/// In a child process, reads an array from the standard input.
#[test]
fn a_process_that_reads() {
    if std::env::var_os("CUPRIC_TEST_FOLDER").is_some() {
        let x = Array::from_npy("/dev/stdin").unwrap();
        x.to_npy(PathBuf::from(std::env::var_os("CUPRIC_TEST_FOLDER").unwrap()).join("copy.npy")).unwrap();
    }
}

#[test]
fn the_standard_input_is_a_file_too() {
    let dir = Folder::new("stdin");
    let bytes = cupric::arange(0, 100_000, 1, cupric::DType::I32).to_npy_bytes().unwrap();
    let mut reader =
        child("files::a_process_that_reads", &dir.0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    reader.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(reader.wait().unwrap().success());
    assert_eq!(std::fs::read(dir.file("copy.npy")).unwrap(), bytes);
}
