//! The example programs as users run them: help, wrong arguments, and a small run of each on every device.

#[path = "../kit/features.rs"]
mod features;

use std::path::PathBuf;
use std::process::{Command, Output};

/// Each example, its arguments for a small run, and a part of what that run prints.
const EXAMPLES: [(&str, &[&str], &str); 19] = [
    ("tour", &[], "in f16"),
    ("show_plan", &["--rows", "10", "--columns", "7"], "1 kernel"),
    ("kmeans", &["--colours", "4", "--iterations", "2"], "loss"),
    ("heat", &["--size", "24", "--steps", "30", "--frames", "2"], "total heat"),
    ("heat_control", &["--size", "16", "--steps", "6", "--rounds", "3"], "error 0."),
    ("life", &["--size", "24", "--steps", "30", "--frames", "2"], "are alive"),
    ("neighbours", &["--k", "3"], "accuracy"),
    ("pagerank", &["--pages", "100", "--links", "1000", "--steps", "5"], "the ranks sum to"),
    ("mandelbrot", &["--width", "30", "--height", "20", "--steps", "20"], "are inside"),
    (
        "gpt_block",
        &["--batch", "1", "--tokens", "9", "--heads", "2", "--width", "16", "--runs", "1", "--profile"],
        "total",
    ),
    ("digits", &["--epochs", "1", "--batch", "256", "--answers", "digits-answers.png"], "answers are drawn"),
    ("chars", &["--steps", "2", "--batch", "2", "--write", "3"], "of unseen text"),
    ("strip", &["--height", "20"], "× 20 pixels"),
    ("blur", &["--sigma", "1"], "pixels blurred with 7 weights"),
    ("spectrogram", &["--samples", "3000", "--window", "100"], "15 transforms of 100 samples"),
    ("overview", &["--size", "50", "--height", "60"], "1 kernel"),
    ("pca", &["--components", "10"], "10 of 64 components"),
    ("gp", &["--points", "20", "--rounds", "2"], "lies in the band"),
    ("kalman", &["--filters", "100", "--steps", "2"], "bodies seen well"),
];

/// Builds the examples if that was not done yet, and returns their folder.
fn folder() -> PathBuf {
    let exe = std::env::current_exe().expect("a test program");
    let target = exe.parent().and_then(|deps| deps.parent()).expect("a target folder").to_path_buf();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--examples"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if target.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.args(features::arguments());
    assert!(cargo.status().expect("cargo").success(), "the examples do not build");
    target.join("examples")
}

fn run(folder: &std::path::Path, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(folder.join(name));
    // example programs write their pictures to the temporary folder
    command.args(arguments).current_dir(std::env::temp_dir()).env_remove("CUPRIC_DEVICE");
    command.output().unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The error message of a program: the line that begins with its name. Drivers may print other lines.
fn complaint(name: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let own: Vec<&str> = text.lines().filter(|l| l.starts_with(&format!("{name}: "))).collect();
    assert_eq!(own.len(), 1, "{name}: {text}");
    assert!(!text.contains("panicked"), "{name}: {text}");
    own[0].to_string()
}

/// The available devices, by the names that the programs take.
fn devices() -> Vec<&'static str> {
    let has_gpu = cfg!(feature = "gpu") && cupric::Device::gpu().is_ok();
    if has_gpu { vec!["cpu", "gpu"] } else { vec!["cpu"] }
}

#[test]
fn examples_behave() {
    let (folder, devices) = (folder(), devices());
    let picture = std::env::temp_dir().join(format!("cupric-example-{}.png", std::process::id()));
    let picture = picture.to_str().expect("a path");
    for (name, small, prints) in EXAMPLES {
        let help = run(&folder, name, &["--help"]);
        let text = String::from_utf8_lossy(&help.stdout).into_owned();
        assert!(help.status.success() && text.contains("--device <cpu|gpu|gpu:N|best>"), "{name} --help: {text}");
        let wrong = run(&folder, name, &["--nonsense"]);
        assert_eq!(wrong.status.code(), Some(2), "{name}: an unknown option");
        assert!(complaint(name, &wrong).contains("unexpected argument '--nonsense'"));
        for device in ["abacus", "gpu:4711"] {
            let absent = run(&folder, name, &["--device", device]);
            assert_eq!(absent.status.code(), Some(1), "{name} --device {device}");
            complaint(name, &absent);
        }
        for device in &devices {
            let mut arguments = vec!["--device", device];
            arguments.extend(small);
            if let Some(option) = ["--out", "--plot"].into_iter().find(|o| text.contains(&format!("{o} <FILE>"))) {
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

/// Two GPUs train the same network as one GPU with both halves of a batch; the CPU and a GPU train together.
#[cfg(target_os = "linux")]
#[test]
fn examples_behave_on_several_devices() {
    const MANIFESTS: &str = "/usr/share/vulkan/icd.d";
    let (programs, devices) = (folder(), devices());
    let own = |kind: &str| std::env::temp_dir().join(format!("cupric-several-{}.{kind}", std::process::id()));
    let (picture, copy) = (own("png"), own("json"));
    let train = |devices: &str, drivers: Option<&str>| -> Vec<String> {
        let mut command = Command::new(programs.join("digits"));
        command.args(["--device", devices, "--epochs", "2", "--batch", "250", "--quiet", "--plot"]).arg(&picture);
        command.envs(drivers.map(|files| ("VK_DRIVER_FILES", files)));
        let done = command.output().expect("digits");
        let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{devices}: {said}{erred}");
        assert_eq!(said.lines().filter(|line| line.starts_with("epoch")).count(), 2, "{said}");
        // a hash of the bits of each device's weights
        let hashes = said.rsplit_once("weights=").expect("hashes").1;
        hashes.trim().split(',').map(str::to_string).collect()
    };
    assert_eq!(train(&format!("cpu,{}", devices[devices.len() - 1]), None).len(), 2);
    // the software driver, listed twice, gives two GPUs
    let find = |entry: std::fs::DirEntry| Some(entry.path()).filter(|p| p.to_string_lossy().contains("/lvp_icd"));
    let driver = std::fs::read_dir(MANIFESTS).ok().and_then(|all| all.flatten().find_map(find));
    if let (Some(driver), true) = (driver, devices.len() > 1) {
        std::fs::copy(&driver, &copy).expect("a copy of the manifest");
        let files = format!("{}:{}", driver.display(), copy.display());
        let [one, two] = ["gpu:0,gpu:0", "gpu:0,gpu:1"].map(|devices| train(devices, Some(&files)));
        std::fs::remove_file(&copy).expect("the copy goes");
        assert_eq!(one, two);
        assert_eq!(two[0], two[1]);
    }
    std::fs::remove_file(&picture).expect("the picture goes");
}

/// The convolutional network learns the digits in both dtypes, and the same seed gives the same numbers.
#[cfg(feature = "train")]
#[test]
fn examples_behave_with_a_convolutional_network() {
    const NAME: &str = "cnn";
    let programs = folder();
    let help = run(&programs, NAME, &["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--device <cpu|gpu|gpu:N|best>"));
    for (arguments, status, fact) in [
        (&["--nonsense"][..], 2, "unexpected argument '--nonsense'"),
        (&["--dtype", "f64"], 2, "[possible values: f32, f16]"),
        (&["--epochs", "0"], 2, "a number above 0 is needed"),
        (&["--device", "abacus"], 1, "abacus"),
        (&["--data", "/nonexistent/digits.npy"], 1, "/nonexistent/digits.npy"),
    ] {
        let output = run(&programs, NAME, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let text = complaint(NAME, &output);
        assert!(text.contains(fact), "{text}");
    }
    let accuracy = |arguments: &[&str]| -> f64 {
        let done = run(&programs, NAME, arguments);
        let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{arguments:?}: {said}{erred}");
        let number = said.rsplit_once("accuracy=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{arguments:?}: {said}"))
    };
    for dtype in ["f32", "f16"] {
        let found = accuracy(&["--device", "cpu", "--dtype", dtype, "--quiet"]);
        assert!(found >= 0.985, "{dtype}: {found}");
    }
    for device in devices() {
        accuracy(&["--device", device, "--epochs", "1", "--batch", "512", "--quiet"]);
    }
}

/// What a program that must succeed prints.
fn prints(folder: &std::path::Path, name: &str, arguments: &[&str]) -> String {
    let done = run(folder, name, arguments);
    let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name} {arguments:?}: {said}{erred}");
    said.into_owned()
}

/// A training that was saved goes on where it ended, in f32 and f16; files that are no state give errors.
#[cfg(feature = "train")]
#[test]
fn examples_behave_when_a_training_is_resumed() {
    let (programs, own) = (folder(), |kind: &str| {
        std::env::temp_dir()
            .join(format!("cupric-chars-{}.{kind}", std::process::id()))
            .to_str()
            .expect("a path")
            .to_string()
    });
    let (state, picture) = (own("safetensors"), own("png"));
    for dtype in ["f32", "f16"] {
        let small =
            ["--device", "cpu", "--dtype", dtype, "--batch", "2", "--write", "3", "--quiet", "--plot", &picture];
        let first = prints(&programs, "chars", &[&small[..], &["--steps", "4", "--save", &state]].concat());
        assert!(first.contains("steps 0 to 4") && first.contains(&format!("dtype={dtype} steps=4")), "{first}");
        let next = prints(&programs, "chars", &[&small[..], &["--steps", "2", "--resume", &state]].concat());
        assert!(next.contains("steps 4 to 6"), "{next}");
        // the loss of unseen text, for the same sequences: training goes on from the saved weights
        let loss = |text: &str| -> f64 {
            let number = text.rsplit_once(" loss=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            number.unwrap_or_else(|| panic!("{text}"))
        };
        assert!(loss(&next) < loss(&first), "{first}{next}");
    }
    std::fs::write(&state, b"no such thing").expect("a file");
    for file in [&state[..], "/nonexistent/state.safetensors"] {
        let wrong = run(&programs, "chars", &["--device", "cpu", "--resume", file, "--plot", &picture]);
        assert_eq!(wrong.status.code(), Some(1), "{file}");
        assert!(complaint("chars", &wrong).contains(file), "{wrong:?}");
    }
    [&state, &picture].into_iter().for_each(|file| std::fs::remove_file(file).expect("the file goes"));
}

/// The network of `digits` learns as well in f16 as in f32, and other programs run in f16.
#[test]
fn examples_behave_in_f16() {
    let programs = folder();
    let picture = std::env::temp_dir().join(format!("cupric-f16-{}.png", std::process::id()));
    let picture = picture.to_str().expect("a path");
    for dtype in ["f32", "f16"] {
        let arguments = ["--device", "cpu", "--dtype", dtype, "--quiet", "--plot", picture];
        let said = prints(&programs, "digits", &arguments);
        let number = said.rsplit_once("accuracy=").and_then(|(_, rest)| rest.split(' ').next()?.parse::<f64>().ok());
        assert!(number.is_some_and(|n| n >= 0.98), "{dtype}: {said}");
    }
    for device in devices() {
        let arguments = ["--device", device, "--dtype", "f16", "--size", "16", "--steps", "6", "--rounds", "3"];
        let said = prints(&programs, "heat_control", &[&arguments[..], &["--quiet", "--out", picture]].concat());
        assert!(said.contains("dtype=f16 error 0."), "{device}: {said}");
    }
    std::fs::remove_file(picture).expect("the picture goes");
}

/// For a wrong argument, a program prints one line and exits with status 2 before it computes anything.
#[test]
fn examples_behave_when_arguments_are_wrong() {
    let folder = folder();
    let wrong: [(&str, &[&str], &str); 11] = [
        ("kmeans", &["--colours", "0"], "invalid value '0' for '--colours <K>': a number above 0 is needed"),
        ("kmeans", &["--colours", "-3"], "invalid value '-3' for '--colours <K>'"),
        ("kmeans", &["--colours="], "invalid value '' for '--colours <K>'"),
        ("kmeans", &["--colours"], "a value is required for '--colours <K>'"),
        ("kmeans", &["--color", "3"], "a similar argument exists: '--colours'"),
        ("kmeans", &["--quiet=1"], "unexpected value '1' for '--quiet'"),
        ("kmeans", &["stray"], "unexpected argument 'stray'"),
        ("digits", &["--dtype", "f64"], "[possible values: f32, f16]"),
        ("show_plan", &["--expr", "sofmax"], "a similar value exists: 'softmax'"),
        ("gpt_block", &["--heads", "3"], "--width 256 is no multiple of --heads 3"),
        ("blur", &["--sigma", "-3"], "--sigma takes 0.1 to 100, not -3"),
    ];
    for (name, arguments, fact) in wrong {
        let output = run(&folder, name, arguments);
        assert_eq!(output.status.code(), Some(2), "{name} {arguments:?}");
        let text = complaint(name, &output);
        assert!(text.contains(fact) && text.ends_with("(try --help)"), "{text}");
        assert!(output.stdout.is_empty(), "{name} {arguments:?}");
    }
    // if an option is repeated the last value counts, and a number may be negative
    let twice = run(&folder, "neighbours", &["--k=1", "--device", "abacus", "--k", "2", "--device", "cpu"]);
    assert!(String::from_utf8_lossy(&twice.stdout).contains("  2 neighbours"), "{twice:?}");
    let picture = std::env::temp_dir().join(format!("cupric-left-{}.png", std::process::id()));
    let path = picture.to_str().expect("a path");
    let arguments = ["--device", "cpu", "--width", "3", "--height", "2", "--steps", "9", "--out", path];
    let left = run(&folder, "mandelbrot", &[&arguments[..], &["--x", "-.7", "--y", "-1e-1"]].concat());
    assert!(left.status.success(), "{left:?}");
    std::fs::remove_file(&picture).expect("the picture goes");
    // without a terminal, a program shows no progress bar
    assert!(!String::from_utf8_lossy(&left.stderr).contains('█'), "{left:?}");
}

/// A file name may be any name that the system allows; other arguments must be text.
#[cfg(unix)]
#[test]
fn examples_behave_with_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let raw = std::ffi::OsStr::from_bytes(b"\xff");
    let program = folder().join("kmeans");
    let run = |option: &str| Command::new(&program).arg(option).arg(raw).output().expect("kmeans");
    let (photo, device) = (run("--photo"), run("--device"));
    assert_eq!((photo.status.code(), device.status.code()), (Some(1), Some(2)));
    complaint("kmeans", &photo);
    assert!(complaint("kmeans", &device).contains("invalid UTF-8"));
}

/// The example runs a network that Python wrote, Python reads the example's archive, and malformed files give errors.
#[cfg(feature = "formats")]
#[test]
fn examples_behave_with_a_network_of_a_file() {
    use cupric::{Array, DType, array, save_safetensors};
    const NAME: &str = "mlp_file";
    let (programs, work) = (folder(), std::env::temp_dir().join(format!("cupric-mlp-{}", std::process::id())));
    std::fs::create_dir_all(&work).expect("a folder");
    let path = |name: &str| work.join(name).to_str().expect("a path").to_string();
    let (model, data, saved) = (path("model.safetensors"), path("data.npy"), path("out.npz"));
    let help = run(&programs, NAME, &["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--device <cpu|gpu|gpu:N|best>"));
    let fails = |arguments: &[&str], status: i32, fact: &str| {
        let output = run(&programs, NAME, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let text = complaint(NAME, &output);
        assert!(text.contains(fact), "{text}");
    };
    fails(&["--nonsense"], 2, "unexpected argument '--nonsense'");
    fails(&[], 2, "--model");
    fails(&["--model", &model], 1, "model.safetensors: ");
    std::fs::write(&model, b"no such thing").expect("a file");
    fails(&["--model", &model], 1, "model.safetensors: ");
    let eye = array![[1., 0.], [0., 1.]];
    let write = |layers: &[(&str, &Array)]| {
        save_safetensors(&model, layers.iter().map(|(n, x)| (n, *x)), [("made by", "cupric")]).expect("a model");
    };
    write(&[("0.weight", &eye), ("0.bias", &array![0., 0.]), ("2.weight", &eye)]);
    fails(&["--model", &model], 1, "there is no tensor \"2.bias\"");
    write(&[("0.weight", &eye), ("0.bias", &array![0.]), ("2.weight", &array![1.]), ("2.bias", &array![0.])]);
    fails(&["--model", &model], 1, "2.weight has 1 axes");
    write(&[("0.weight", &eye), ("0.bias", &array![0., -1.]), ("2.weight", &eye), ("2.bias", &array![0.5, 0.])]);
    array![[1., 2., 3.]].to_npy(&data).expect("data");
    fails(&["--model", &model, "--data", &data], 1, "rows of 3 numbers, and the network takes 2");
    fails(&["--model", &model, "--save", "/nonexistent/out.npz"], 1, "/nonexistent/out.npz: ");
    array![[1., 2.], [-3., 9.]].astype(DType::F64).to_npy(&data).expect("data");
    let arguments = ["--model", &model, "--data", &data, "--save", &saved];
    let mut devices = vec!["cpu"];
    if cfg!(feature = "gpu") && cupric::Device::gpu().is_ok() {
        devices.push("gpu");
    }
    let python = std::env::var("CUPRIC_PYTHON").unwrap_or_else(|_| "python3".into());
    let python = |program: &str| {
        let mut command = Command::new(&python);
        command.args(["-B", "-c", program]).current_dir(&work).output()
    };
    let has_numpy = python("import numpy").is_ok_and(|o| o.status.success());
    let required = std::env::var_os("CUPRIC_REQUIRE_NUMPY").is_some_and(|v| v == "1");
    assert!(has_numpy || !required, "CUPRIC_REQUIRE_NUMPY=1, but there is no NumPy");
    for device in devices {
        let done = run(&programs, NAME, &[&arguments[..], &["--device", device]].concat());
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && said.contains("2 rows"), "{said}{}", String::from_utf8_lossy(&done.stderr));
        let mut archive = cupric::Npz::open(&saved).expect("an archive");
        assert_eq!(archive.names().collect::<Vec<_>>(), ["inputs", "outputs", "classes"]);
        assert_eq!(archive.read("outputs").expect("outputs").to_vec::<f32>().expect("f32"), [1.5, 1., 0.5, 8.]);
        assert_eq!(archive.read("classes").expect("classes").to_vec::<i64>().expect("i64"), [0, 1]);
        if !has_numpy {
            continue;
        }
        let program = PYTHON_WRITES.replace("MODEL", "theirs.safetensors");
        let wrote = python(&program).expect("python");
        assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
        let (theirs, rows) = (path("theirs.safetensors"), path("rows.npy"));
        let done = run(&programs, NAME, &["--model", &theirs, "--data", &rows, "--save", &saved, "--device", device]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let read = python(PYTHON_READS).expect("python");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    }
    if !has_numpy {
        eprintln!("numpy tests left out: no Python with NumPy");
    }
    std::fs::remove_dir_all(&work).expect("the folder goes");
}

/// Writes a model in the safetensors format, following the format's description.
#[cfg(feature = "formats")]
const PYTHON_WRITES: &str = r#"
import json
import numpy as np
r = np.random.default_rng(7)
layers = {"0.weight": (32, 20), "0.bias": (32,), "2.weight": (5, 32), "2.bias": (5,)}
layers = {name: r.normal(size=shape).astype("f4") for name, shape in layers.items()}
head, at = {"__metadata__": {"format": "np"}}, 0
for name, x in layers.items():
    head[name] = {"dtype": "F32", "shape": x.shape, "data_offsets": [at, at + x.nbytes]}
    at += x.nbytes
text = json.dumps(head).encode()
with open("MODEL", "wb") as f:
    f.write(len(text).to_bytes(8, "little") + text + b"".join(x.tobytes() for x in layers.values()))
np.save("rows.npy", r.normal(size=(11, 20)).astype("f4"))
np.savez("layers.npz", **layers)
"#;

#[cfg(feature = "formats")]
const PYTHON_READS: &str = r#"
import numpy as np
w, out, x = np.load("layers.npz"), np.load("out.npz"), np.load("rows.npy")
assert (out["inputs"] == x).all()
y = np.maximum(x @ w["0.weight"].T + w["0.bias"], 0) @ w["2.weight"].T + w["2.bias"]
assert np.allclose(out["outputs"], y, rtol=1e-4, atol=1e-4)
assert (out["classes"] == y.argmax(1)).all()
"#;

/// Fits a line to the points of a CSV file; files without points give errors.
#[cfg(feature = "text")]
#[test]
fn examples_behave_with_a_line_of_a_file() {
    const NAME: &str = "fit";
    let programs = folder();
    let file = std::env::temp_dir().join(format!("cupric-fit-{}.csv", std::process::id()));
    let path = file.to_str().expect("a path");
    let fails = |arguments: &[&str], status: i32, fact: &str| {
        let output = run(&programs, NAME, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        let text = complaint(NAME, &output);
        assert!(text.contains(fact), "{text}");
    };
    let mut devices = vec!["cpu"];
    if cfg!(feature = "gpu") && cupric::Device::gpu().is_ok() {
        devices.push("gpu");
    }
    for device in devices {
        let says = |arguments: &[&str], fact: &str| {
            let done = run(&programs, NAME, &[&["--device", device], arguments].concat());
            let (said, erred) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            assert!(done.status.success() && said.contains(fact), "{said}{erred}");
        };
        says(&["--made", path], "of 200 rows");
        std::fs::write(&file, "time,\"name\",height\n0,a,-1\n1,\"b, c\",1.5\n4,d,9\n").expect("a file");
        says(
            &["--data", path, "--x", "time", "--y", "height"],
            "height = 2.5000 time - 1.0000, R² = 1.0000, of 3 rows",
        );
    }
    fails(&["--data", path], 1, "x");
    fails(&["--nonsense"], 2, "unexpected argument '--nonsense'");
    std::fs::write(&file, "x,y\n1,2\n1,3\n").expect("a file");
    fails(&["--data", path], 1, "all x are the same");
    std::fs::write(&file, "x,y\n1,2\n1,no\n").expect("a file");
    fails(&["--data", path], 1, "line 3");
    std::fs::remove_file(&file).expect("the file goes");
    fails(&["--data", path], 1, "cupric-fit-");
}

/// An RGB picture's bytes, width and height.
fn read(path: &std::path::Path) -> (Vec<u8>, usize, usize) {
    let picture = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    (picture.into_raw(), width, height)
}

/// A picture blurred along one axis by plain loops in f64. Each number is the weighted sum of its neighbours; beyond an
/// edge, the edge's number continues.
fn blurred(pixels: &[f64], [width, height]: [usize; 2], sigma: f64, along_rows: bool) -> Vec<f64> {
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f64> = (-reach..=reach).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..height as i64 {
        for x in 0..width as i64 {
            for channel in 0..3 {
                let neighbour = |d: i64| {
                    let (x, y) = if along_rows { (x + d, y) } else { (x, y + d) };
                    let (x, y) = (x.clamp(0, width as i64 - 1) as usize, y.clamp(0, height as i64 - 1) as usize);
                    pixels[(y * width + x) * 3 + channel]
                };
                out.push((-reach..=reach).zip(&weights).map(|(d, w)| w * neighbour(d)).sum::<f64>() / total);
            }
        }
    }
    out
}

#[test]
fn examples_behave_and_blur_as_plain_loops_do() {
    let folder = folder();
    let photo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data/china.png");
    let (pixels, width, height) = read(&photo);
    let pixels: Vec<f64> = pixels.into_iter().map(f64::from).collect();
    for sigma in [0.7, 2.5] {
        let wanted = blurred(&blurred(&pixels, [width, height], sigma, false), [width, height], sigma, true);
        for device in devices() {
            let out = std::env::temp_dir().join(format!("cupric-blur-{}-{device}.png", std::process::id()));
            let path = out.to_str().expect("a path in UTF-8");
            let output = run(&folder, "blur", &["--sigma", &sigma.to_string(), "--device", device, "--out", path]);
            assert!(output.status.success(), "{device}: {}", String::from_utf8_lossy(&output.stderr));
            let (found, w, h) = read(&out);
            std::fs::remove_file(&out).expect("the picture goes");
            assert_eq!((w, h), (width, height));
            // close to a half, a sum in f32 and one in f64 may round to different integers
            let furthest = found.iter().zip(&wanted).map(|(f, w)| (f64::from(*f) - w).abs()).fold(0.0, f64::max);
            assert!(found.len() == wanted.len() && furthest < 0.501, "{device} sigma {sigma}: {furthest}");
        }
    }
}
