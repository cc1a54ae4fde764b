//! Programs that must not compile (`tests/compile_fail/cases/*.rs`), and the compiler's messages (`.stderr` files). If
//! its own words would not help the user, attributes and macros of the library add an explanation.
//!
//! The messages are those of the oldest supported compiler; other compilers must only reject the programs. Rewrite:
//! `CUPRIC_BLESS=1 cargo test --release --features testing,interop --test compile_fail`.
//!
//! The test runs `rustc` with the library that this test program was linked with, which takes some seconds. The crate
//! `trybuild` would compile the library and its dependencies again in another folder, and would change the features of
//! dependencies: minutes from a clean build on two cores.

mod names;
#[path = "../kit/stage.rs"]
mod stage;

use cupric::Device;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
}

/// Whether compiler and features are those of the files. Messages list types, which depend on features (`./tests/run`).
fn is_pinned() -> bool {
    let features = ["gpu", "kernels", "rayon", "testing", "ndarray", "serde", "image", "dlpack", "wgpu"];
    let on = [
        cfg!(feature = "gpu"),
        cfg!(feature = "kernels"),
        cfg!(feature = "rayon"),
        cfg!(feature = "testing"),
        cfg!(feature = "ndarray"),
        cfg!(feature = "serde"),
        cfg!(feature = "image"),
        cfg!(feature = "dlpack"),
        cfg!(feature = "wgpu"),
    ];
    let version = rustc().arg("--version").output().expect("rustc runs").stdout;
    let pinned = format!("rustc {}.", env!("CARGO_PKG_RUST_VERSION"));
    features.len() == on.iter().filter(|on| **on).count() && String::from_utf8_lossy(&version).starts_with(&pinned)
}

/// Compiles a program with a built library. Returns the compiler's messages, or `None` if the program compiles.
fn compile(library: &Path, program: &Path, into: &Path) -> Option<String> {
    let mut rustc = rustc();
    rustc.args(["--edition", "2024", "--emit=metadata", "--crate-type=bin", "--diagnostic-width=120"]);
    rustc.arg("-o").arg(into.join(program.file_name().expect("a name")).with_extension("rmeta"));
    rustc.arg("-L").arg(library.parent().expect("a folder"));
    rustc.arg("--extern").arg(format!("cupric={}", library.display()));
    // a path relative to the root gives the same messages in every checkout
    rustc.arg(program.strip_prefix(root()).unwrap_or(program)).current_dir(root());
    let output = rustc.output().expect("rustc runs");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).replace("\r\n", "\n"))
}

/// Removes from a message what varies without a real change: the checkout's path, and library source in notes.
fn normalised(text: &str) -> String {
    let text = text.replace(&format!("{}/", root().display()), "").replace('\\', "/");
    let mut out = String::new();
    let mut within = false;
    for line in text.lines() {
        if let Some((arrow, place)) = line.split_once("--> ").or_else(|| line.split_once("::: ")) {
            let file = place.split(':').next().unwrap_or_default();
            within = !file.starts_with("tests/");
            if within {
                out += &format!("{} --> {file}\n", arrow.trim_end());
                continue;
            }
        }
        // a line of a source snippet: a number, or nothing, before a bar
        let snippet =
            line.split_once('|').is_some_and(|(before, _)| before.chars().all(|c| c == ' ' || c.is_ascii_digit()));
        if !(within && (snippet || line.trim() == "...")) {
            within &= snippet || line.trim_start().starts_with('=');
            out += line.trim_end();
            out.push('\n');
        }
    }
    out
}

/// The built libraries beside this program that are not newer, newest first. Nothing says which one was linked.
fn libraries() -> Vec<PathBuf> {
    let program = std::env::current_exe().expect("this program");
    let modified = |p: &Path| std::fs::metadata(p).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let own = modified(&program);
    let files = std::fs::read_dir(program.parent().expect("a folder")).expect("a folder of libraries");
    let name = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libcupric-"));
    let mut found: Vec<PathBuf> = files
        .map(|f| f.expect("a name").path())
        .filter(|p| name(p) && p.extension().is_some_and(|e| e == "rlib") && modified(p) <= own)
        .collect();
    found.sort_by_key(|p| std::cmp::Reverse(modified(p)));
    found
}

/// A folder beside this program for files of a test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let program = std::env::current_exe().expect("this program");
        let at = program.parent().expect("a folder").join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&at).expect("a folder");
        Folder(at)
    }

    /// The library with which this program was linked: the newest with which a control compiles.
    fn library(&self) -> PathBuf {
        let control = self.0.join("control.rs");
        let text = "use cupric::*;\nfn f(mut x: Array, n: f32) -> Result<()> {\n    x.assign(&x * n + 1.0)\n}\nfn main() {\n    let _ = f;\n}\n";
        std::fs::write(&control, text).expect("a file in the target folder");
        let library = libraries().into_iter().find(|l| compile(l, &control, &self.0).is_none());
        library.expect("a library with which the control compiles")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Compiles a program and compares the messages. Returns an error that describes a difference.
fn check(library: &Path, program: &Path, at: &Path, compare: bool, bless: bool) -> Result<(), String> {
    let shown = program.strip_prefix(root()).unwrap_or(program).display().to_string();
    let Some(text) = compile(library, program, at) else { return Err(format!("{shown} compiles")) };
    let (text, file) = (normalised(&text), program.with_extension("stderr"));
    if text.contains("recursion limit") {
        return Err(format!("{shown}: nobody can read this:\n{text}"));
    }
    if bless && compare {
        return std::fs::write(&file, text).map_err(|e| e.to_string());
    }
    let known = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    // every compiler must give the same error number and the library's own explanation
    let code = |t: &str| t.split_once("error[").and_then(|(_, rest)| Some(rest.split_once(']')?.0.to_string()));
    if compare && known != text || code(&known) != code(&text) {
        return Err(format!("{shown} does not say\n{known}--- but\n{text}"));
    }
    Ok(())
}

#[test]
fn programs_that_must_not_compile() {
    let mut stage = Stage::new(1, "must not compile", &Device::cpu());
    let folder = Folder::new("refused");
    let (library, at) = (folder.library(), &folder.0);
    let files = std::fs::read_dir(root().join("tests/compile_fail/cases")).expect("the folder of programs");
    let mut programs: Vec<PathBuf> = files.map(|f| f.expect("a name").path()).collect();
    programs.retain(|p| p.extension().is_some_and(|e| e == "rs"));
    programs.sort();
    assert!(programs.len() > 30, "{} programs", programs.len());
    let compare = is_pinned();
    let bless = std::env::var_os("CUPRIC_BLESS").is_some_and(|v| v == "1");
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let parts = programs.chunks(programs.len().div_ceil(threads));
        let run = |part: &[PathBuf]| {
            part.iter().filter_map(|p| check(&library, p, at, compare, bless).err()).collect::<Vec<_>>()
        };
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || run(part))).collect();
        threads.into_iter().flat_map(|t| t.join().expect("no panic")).collect()
    });
    stage.count(programs.len());
    assert!(wrong.is_empty(), "{} programs (CUPRIC_BLESS=1 accepts other texts):\n{}", wrong.len(), wrong.join("\n"));
    if !compare {
        eprintln!(
            "another compiler or other features than those of the texts: only that the programs are refused was tested"
        );
    }
}
