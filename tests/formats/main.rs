//! Files of other formats than `.npy`, each behind a feature of its own: as NumPy and others make and read them, and as nobody should
//! make them. Whatever a file says, reading it takes no more memory than it has bytes, or than these unpack to.

mod beyond;
#[path = "../kit/memory.rs"]
mod memory;
mod npz;
mod safetensors;
mod text;

use cupric::{Array, Error, ErrorKind, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder of a test's own, which is gone with this value.
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

/// Runs a Python program with NumPy as `np` in a folder, and gives what it prints. None where no Python has NumPy, unless
/// `CUPRIC_REQUIRE_NUMPY=1`.
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

/// The error of something that must fail: one short line with the operation, a fact, and the caller's line.
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

/// Whether two arrays are the same to the bit.
#[track_caller]
pub fn same(x: &Array, y: &Array) {
    assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()));
    assert_eq!(x.to_bytes().unwrap(), y.to_bytes().unwrap());
}

/// An array of each dtype, of shapes with and without axes and elements.
pub fn samples() -> Vec<(String, Array)> {
    let shapes: [&[usize]; 4] = [&[2, 3], &[6], &[], &[0, 3]];
    let of = |dtype: cupric::DType, shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let x = cupric::arange(0, count, 1, cupric::DType::I32).reshape(shape) + 1;
        (format!("{dtype}/{}", shape.len() + count), x.astype(dtype).eval().unwrap())
    };
    cupric::DType::ALL.iter().flat_map(|dtype| shapes.map(|shape| of(*dtype, shape))).collect()
}
