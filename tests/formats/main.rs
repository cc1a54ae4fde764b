//! File formats other than `.npy`, each behind its own feature: files as NumPy and others write and read them, and
//! malformed files. Reading never takes more memory than the file's bytes, or their unpacked size.

mod beyond;
mod complex;
#[path = "../kit/memory.rs"]
mod memory;
mod npz;
mod safetensors;
mod text;

use cupric::{Array, Error, ErrorKind, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder for one test. It is deleted when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("cupric-formats-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a Python program with NumPy as `np` in a folder, and returns what it prints. Returns None if no Python has
/// NumPy, but panics with `CUPRIC_REQUIRE_NUMPY=1`.
pub fn python(folder: &Folder, program: &str) -> Option<String> {
    let python = std::env::var("CUPRIC_PYTHON").unwrap_or_else(|_| "python3".into());
    let run = |program: &str| {
        let mut command = Command::new(&python);
        command.args(["-B", "-c", program]).current_dir(&folder.0).stdin(Stdio::null()).output()
    };
    if !run("import numpy").is_ok_and(|o| o.status.success()) {
        let required = std::env::var_os("CUPRIC_REQUIRE_NUMPY").is_some_and(|v| v == "1");
        assert!(!required, "CUPRIC_REQUIRE_NUMPY=1, but {python} cannot import numpy");
        eprintln!("numpy tests left out: {python} cannot import numpy");
        return None;
    }
    let output = run(&format!("import numpy as np\n{program}")).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Asserts that a call failed, and that the message is one line with the operation, `fact`, and the caller's line.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind, fact: &str) -> Error {
    let e = result.expect_err(fact);
    let text = e.to_string();
    assert_eq!(e.kind(), kind, "{text}");
    assert!(text.contains(fact), "wanted: {fact}\nhave: {text}");
    assert!(text.contains("(tests/formats/"), "{text}");
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
    e
}

/// Asserts that two arrays have the same bits.
#[track_caller]
pub fn same(x: &Array, y: &Array) {
    assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()));
    assert_eq!(x.to_bytes().unwrap(), y.to_bytes().unwrap());
}

/// Arrays of each dtype, with and without axes and elements.
pub fn samples() -> Vec<(String, Array)> {
    let shapes: [&[usize]; 4] = [&[2, 3], &[6], &[], &[0, 3]];
    let of = |dtype: cupric::DType, shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let x = cupric::arange(0, count, 1, cupric::DType::I32).reshape(shape) + 1;
        (format!("{dtype}/{}", shape.len() + count), x.astype(dtype).eval().unwrap())
    };
    cupric::DType::ALL.iter().flat_map(|dtype| shapes.map(|shape| of(*dtype, shape))).collect()
}
