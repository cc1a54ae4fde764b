//! A GPU's cache on disk: a process starts with the shaders that an earlier one has parsed, and no state of the cache
//! file changes a result. Each start is this test program, run again as a child process.

use crate::kit::*;
use cupric::testing::parsed;
use cupric::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder for one test. It is deleted with its contents when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("cupric-disk-{}-{test}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    /// The only file in the folder.
    #[track_caller]
    fn file(&self) -> PathBuf {
        let files: Vec<PathBuf> = fs::read_dir(&self.0).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a child prints: how many shaders it parsed (`None` without a cache), and its results.
#[derive(PartialEq, Debug)]
struct Start {
    parsed: Option<u64>,
    results: String,
}

fn begin(folder: &Path, end: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test_name(module_path!(), "a_start"), "--nocapture"]);
    command.env("CUPRIC_CACHE_DIR", folder).env("CUPRIC_CHILD", end).env_remove("CUPRIC_STAGES");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for a child and reads what it printed. `None` if there is no GPU.
#[track_caller]
fn ended(child: Child) -> Option<Start> {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    let line = |name: &str| text.lines().find_map(|l| l.strip_prefix(name).map(str::to_string));
    if line("no gpu").is_some() {
        return None;
    }
    // a child that ends by `abort` has printed its results before
    let Some(results) = line("results ") else { panic!("{}\n{text}", output.status) };
    let number = |name: &str| line(name).and_then(|n| n.parse().ok());
    Some(Start { parsed: number("parsed "), results })
}

#[track_caller]
fn start(folder: &Path) -> Option<Start> {
    ended(begin(folder, "exit"))
}

/// The program of the child processes, with kernels of each kind. As a normal test it does nothing.
#[test]
fn a_start() {
    let Some(end) = std::env::var_os("CUPRIC_CHILD") else { return };
    let Some(d) = gpu(1) else {
        println!("\nno gpu");
        return;
    };
    let x = put(&d, noise(1, 64 * 64), &[64, 64]);
    let (row, column) = (x.sum(0), x.exp().mean(1));
    let all = eval_all([
        &(&x * 2.0 + 1.0).sqrt(),
        &(&x / row),
        &(&x - column.reshape([64, 1])),
        &x.matmul(&x).tanh(),
        &x.cumulative_sum(0),
        &x.sort(1),
    ]);
    let mut hash = 0u64;
    for array in all.unwrap() {
        for x in array.to_vec::<f32>().unwrap() {
            hash = hash.rotate_left(5) ^ (x.to_bits() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    let numerics = d.numerics().unwrap();
    println!("\nresults {hash:x} {numerics:?}");
    parsed(&d).iter().for_each(|n| println!("parsed {n}"));
    if end == "killed" {
        // new shaders are written after a second, so this waits longer
        std::thread::sleep(std::time::Duration::from_secs(4));
        std::process::abort();
    }
}

#[test]
fn the_second_start_parses_nothing() {
    let folder = Folder::new("second");
    let Some(first) = start(&folder.0) else { return };
    assert!(first.parsed.unwrap() >= 6, "{first:?}");
    let written = fs::metadata(folder.file()).unwrap().modified().unwrap();
    let second = start(&folder.0).unwrap();
    assert_eq!(second, Start { parsed: Some(0), ..first });
    // there were no new shaders, so the file was not written
    assert_eq!(fs::metadata(folder.file()).unwrap().modified().unwrap(), written);
}

#[test]
fn a_killed_process_leaves_its_shaders() {
    let folder = Folder::new("killed");
    let Some(first) = ended(begin(&folder.0, "killed")) else { return };
    assert_eq!(start(&folder.0).unwrap(), Start { parsed: Some(0), ..first });
}

#[test]
fn starts_side_by_side() {
    let folder = Folder::new("beside");
    let children = [(); 3].map(|()| begin(&folder.0, "exit"));
    let [Some(first), Some(_), Some(_)] = children.map(ended) else { return };
    assert_eq!(start(&folder.0).unwrap(), Start { parsed: Some(0), ..first });
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing() {
    let folder = Folder::new("damaged");
    let Some(first) = start(&folder.0) else { return };
    let file = folder.file();
    let good = fs::read(&file).unwrap();
    let changed = |n: usize| {
        let mut bytes = good.clone();
        bytes[n] ^= 0x10;
        bytes
    };
    let half = good.len() / 2;
    for bytes in [vec![], good[..half].to_vec(), changed(3), changed(half), changed(good.len() - 1), vec![b'x'; 5000]] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(start(&folder.0).unwrap(), first);
        // the file was replaced by a valid one
        assert_eq!(folder.file(), file);
        assert_eq!(start(&folder.0).unwrap().parsed, Some(0));
    }
    // a folder at the file's path can be neither read nor replaced
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::write(file.join("a file"), "").unwrap();
    assert_eq!(start(&folder.0).unwrap(), first);
    assert_eq!(folder.file(), file);
    // and a cache folder that is really a file cannot contain one
    assert_eq!(start(&std::env::current_exe().unwrap()).unwrap(), first);
}

#[test]
fn an_empty_name_keeps_nothing() {
    let Some(first) = start(Path::new("")) else { return };
    assert_eq!(first.parsed, None);
}
