//! The example programs, as people run them: help, wrong arguments, and a small run of each on every device.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Each example with arguments of a small run, and what that prints.
const EXAMPLES: [(&str, &[&str], &str); 11] = [
    ("tour", &[], "in f16"),
    ("show_plan", &["--rows", "10", "--columns", "7"], "1 kernel"),
    ("kmeans", &["--colours", "4", "--iterations", "2"], "loss"),
    ("heat", &["--size", "24", "--steps", "30", "--frames", "2"], "total heat"),
    ("life", &["--size", "24", "--steps", "30", "--frames", "2"], "are alive"),
    ("neighbours", &["--k", "3"], "accuracy"),
    ("pagerank", &["--pages", "100", "--links", "1000", "--steps", "5"], "the ranks sum to"),
    ("mandelbrot", &["--width", "30", "--height", "20", "--steps", "20"], "are inside"),
    (
        "gpt_block",
        &["--batch", "1", "--tokens", "9", "--heads", "2", "--width", "16", "--runs", "1", "--profile"],
        "total",
    ),
    ("digits", &["--epochs", "1", "--batch", "256"], "accuracy="),
    ("strip", &["--height", "20"], "× 20 pixels"),
];

/// Builds the examples where that has not been done, and gives their folder.
fn folder() -> PathBuf {
    let exe = std::env::current_exe().expect("a test program");
    let target = exe.parent().and_then(|deps| deps.parent()).expect("a target folder").to_path_buf();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if target.ends_with("release") {
        cargo.arg("--release");
    }
    // with exactly the features of this program, `default` among them, the library is built already
    cargo.arg("--no-default-features");
    let features = [
        ("default", cfg!(feature = "default")),
        ("gpu", cfg!(feature = "gpu")),
        ("kernels", cfg!(feature = "kernels")),
        ("rayon", cfg!(feature = "rayon")),
        ("ndarray", cfg!(feature = "ndarray")),
        ("serde", cfg!(feature = "serde")),
        ("image", cfg!(feature = "image")),
        ("dlpack", cfg!(feature = "dlpack")),
        ("interop", cfg!(feature = "interop")),
        ("testing", cfg!(feature = "testing")),
    ];
    for (name, _) in features.into_iter().filter(|(_, is_on)| *is_on) {
        cargo.args(["--features", name]);
    }
    assert!(cargo.status().expect("cargo").success(), "the examples do not build");
    target.join("examples")
}

fn run(folder: &std::path::Path, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(folder.join(name));
    // pictures go where nobody looks
    command.args(arguments).current_dir(std::env::temp_dir()).env_remove("CUPRIC_DEVICE");
    command.output().unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What a program said when it failed: a line that begins with its name. A driver may print lines of its own.
fn complaint(name: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let own: Vec<&str> = text.lines().filter(|l| l.starts_with(&format!("{name}: "))).collect();
    assert_eq!(own.len(), 1, "{name}: {text}");
    assert!(!text.contains("panicked"), "{name}: {text}");
    own[0].to_string()
}

#[test]
fn examples_behave() {
    let folder = folder();
    let mut devices = vec!["cpu"];
    if cfg!(feature = "gpu") && cupric::Device::gpu().is_ok() {
        devices.push("gpu");
    }
    let picture = std::env::temp_dir().join(format!("cupric-example-{}.png", std::process::id()));
    let picture = picture.to_str().expect("a path");
    for (name, small, prints) in EXAMPLES {
        let help = run(&folder, name, &["--help"]);
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("--device cpu|gpu|gpu:N|best"), "{name} --help: {text}");
        let wrong = run(&folder, name, &["--nonsense"]);
        assert_eq!(wrong.status.code(), Some(2), "{name}: an unknown option");
        assert!(complaint(name, &wrong).contains("unknown option --nonsense"));
        for device in ["abacus", "gpu:4711"] {
            let absent = run(&folder, name, &["--device", device]);
            assert_eq!(absent.status.code(), Some(1), "{name} --device {device}");
            complaint(name, &absent);
        }
        for device in &devices {
            let mut arguments = vec!["--device", device];
            arguments.extend(small);
            if let Some(option) = ["--out", "--plot"].into_iter().find(|o| text.contains(&format!("{o} FILE"))) {
                arguments.extend([option, picture]);
            }
            let done = run(&folder, name, &arguments);
            let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success() && said.contains(prints), "{name} on {device}: {said}{erred}");
            if arguments.contains(&picture) {
                let bytes = std::fs::read(picture).unwrap_or_else(|e| panic!("{name}: {picture}: {e}"));
                assert!(bytes.starts_with(b"\x89PNG"), "{name}: no PNG");
                std::fs::remove_file(picture).expect("the picture goes");
                let mut nowhere = arguments.clone();
                *nowhere.last_mut().expect("a path") = "/nonexistent/picture.png";
                let unwritable = run(&folder, name, &nowhere);
                assert_eq!(unwritable.status.code(), Some(1), "{name}: a picture that cannot be written");
                complaint(name, &unwritable);
            }
        }
    }
}
