//! Arrays to NumPy and back in one process, by the example `exchange`; also PyTorch if it is installed.

#[path = "../../kit/features.rs"]
mod features;

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Builds the shared library of the example.
fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("a test program");
    let target = exe.parent().and_then(|deps| deps.parent()).expect("a target folder").to_path_buf();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--example", "exchange"]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if target.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.args(features::arguments());
    assert!(cargo.status().expect("cargo").success(), "the example does not build");
    let (before, behind) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    target.join("examples").join(format!("{before}exchange{behind}"))
}

#[test]
fn examples_behave_with_python() {
    let python = std::env::var("CUPRIC_PYTHON").unwrap_or_else(|_| "python3".into());
    let numpy = Command::new(&python).args(["-c", "import numpy"]).stdin(Stdio::null()).output();
    if !numpy.is_ok_and(|o| o.status.success()) {
        let required = std::env::var_os("CUPRIC_REQUIRE_NUMPY").is_some_and(|v| v == "1");
        assert!(!required, "CUPRIC_REQUIRE_NUMPY=1, but {python} cannot import numpy");
        println!("numpy tests left out: {python} cannot import numpy");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/exchange.py");
    let done =
        Command::new(&python).arg("-B").arg(script).arg(library()).stdin(Stdio::null()).output().expect("Python");
    let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    println!("{said}");
    assert!(done.status.success(), "{said}{erred}");
    assert!(said.contains("NumPy") && said.contains("an error: from_dlpack: no dtype has code 5, 128 bits"), "{said}");
}
