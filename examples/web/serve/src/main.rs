//! Builds the web page of `examples/web`, or a page around any crate, and serves it on this machine.
//!
//! ```text
//! cargo run --release --manifest-path examples/web/Cargo.toml -p cupric-serve
//! cargo run --release --manifest-path examples/web/Cargo.toml -p cupric-serve -- --crate PATH
//! ```

mod own;
mod server;
mod sizes;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use walrus::FunctionId;
use walrus::ir::{Instr, InstrLocId, TernOp, TernaryOp, VisitorMut, dfs_pre_order_mut};
use wasm_bindgen_cli_support::Bindgen;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Builds the page of examples/web and serves it on this machine alone.

Usage: cupric-serve [OPTIONS]

      --crate <PATH>      build a page around the crate in this folder instead: both modules, and a page to start
                          from if there is none, in PATH/site
      --port <N>          port to listen at [default: 8097; 0: any]
      --no-build          serve what was built before
      --build-only        build, and end
      --test              open the page in a headless Chromium, let it test itself, and end
      --hashes            compute the golden hashes in node, and end
      --quick             compile for tests: faster to build, larger and slower
      --cpu               build a page without WebGPU, which computes on the CPU alone
      --sizes             list what is in each module, and its size after compression
      --browser <PATH>    the Chromium of --test [default: chromium]
      --screenshot <FILE> where --test puts a picture of the page
  -h, --help              print this
";

/// The WebAssembly modules that are built, and their compiler flags. Every browser with WebGPU has the vector
/// instructions of `plain`. The page loads `relaxed` if the browser also has a multiply-add that rounds once.
const MODULES: [(&str, &str); 2] = [("relaxed", "--cfg cupric_relaxed_simd"), ("plain", "")];
struct Options {
    own: Option<PathBuf>,
    port: u16,
    builds: bool,
    serves: bool,
    tests: bool,
    hashes: bool,
    quick: bool,
    cpu: bool,
    sizes: bool,
    browser: String,
    screenshot: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match arguments(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("cupric-serve: {problem} (try --help)");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cupric-serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Option<Options>> {
    let mut options = Options {
        own: None,
        port: 8097,
        builds: true,
        serves: true,
        tests: false,
        hashes: false,
        quick: false,
        cpu: false,
        sizes: false,
        browser: "chromium".into(),
        screenshot: None,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--crate" => options.own = Some(value()?.into()),
            "--port" => options.port = value()?.parse().map_err(|_| "a port is a number from 0 to 65535")?,
            "--no-build" => options.builds = false,
            "--build-only" => options.serves = false,
            "--hashes" => options.hashes = true,
            "--quick" => options.quick = true,
            "--cpu" => options.cpu = true,
            "--sizes" => options.sizes = true,
            "--test" => options.tests = true,
            "--browser" => options.browser = value()?,
            "--screenshot" => options.screenshot = Some(value()?.into()),
            other => return Err(format!("unknown argument '{other}'").into()),
        }
    }
    if options.cpu && (options.quick || options.tests || options.hashes) {
        return Err("--cpu excludes --quick, --test and --hashes, whose modules use WebGPU".into());
    }
    if options.own.is_some() && (options.hashes || options.cpu || options.sizes || options.screenshot.is_some()) {
        return Err(
            "--crate excludes --hashes, --cpu, --sizes and --screenshot, which are for the page of examples/web".into(),
        );
    }
    if options.sizes && (!options.builds || options.hashes) {
        return Err("--sizes excludes --no-build and --hashes, which build no page".into());
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the folder of the page is missing")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let compile = |flags: &str| compile(root, &target, options, flags);
    if options.hashes {
        return hashes(&target, compile);
    }
    if let Some(folder) = &options.own {
        let site = own::site(folder)?;
        if options.builds {
            own::build(folder, options.quick)?;
        }
        let files = server::files_below(&site)?;
        return if options.serves { serve(options, site, files) } else { Ok(()) };
    }
    let site = target.join("site");
    if options.builds {
        println!("building the page; the first time takes some minutes");
        for (name, flags) in MODULES {
            let compiled = compile(flags)?;
            bind(&compiled.join("cupric_page.wasm"), &site.join(name))?;
            if options.sizes {
                sizes::list(&compiled.join("cupric_page.wasm"))?;
                let packed = sizes::compressed(&site.join(name).join("cupric_page_bg.wasm"))?;
                println!("{name}: {:.3} MiB after compression with brotli", packed as f64 / f64::from(1 << 20));
            }
            if options.tests {
                bind(&compiled.join("cupric_hashes.wasm"), &site.join(name))?;
            }
        }
        for file in std::fs::read_dir(root.join("site"))? {
            let file = file?;
            std::fs::copy(file.path(), site.join(file.file_name()))?;
        }
        std::fs::copy(root.join("../data/digits.npy"), site.join("digits.npy"))?;
        own::write_loader(&site, "cupric_page")?;
    }
    if options.serves { serve(options, site, server::files_of_the_page()) } else { Ok(()) }
}

/// Serves the files of a folder until the process ends, or tests the page.
fn serve(options: &Options, site: PathBuf, files: Vec<server::Served>) -> Result<()> {
    let port = if options.tests { 0 } else { options.port };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|e| format!("port {port} of this machine cannot be used: {e}"))?;
    let port = listener.local_addr()?.port();
    let address = format!("127.0.0.1:{port}");
    let (sender, reports) = channel();
    let server = server::Server::new(port, site, files, sender);
    std::thread::spawn(move || server.serve(&listener));
    if options.tests {
        return match options.own {
            Some(_) => own::test(options, &address, &reports),
            None => test(options, &address, &reports),
        };
    }
    println!("the page is at http://{address}/ (Ctrl-C ends)");
    for report in reports {
        println!("{report}");
    }
    Ok(())
}

/// Writes a module for the page and the JavaScript that loads it into a folder.
fn bind(compiled: &Path, folder: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen.input_path(compiled).remove_name_section(true);
    bindgen.web(true).map_err(|e| e.to_string())?;
    write(&mut bindgen, folder)?;
    let name = compiled.file_stem().unwrap_or_default().to_string_lossy();
    let bytes = std::fs::metadata(folder.join(format!("{name}_bg.wasm")))?.len();
    println!("{}: {name}, {:.2} MB", folder.display(), bytes as f64 / 1e6);
    Ok(())
}

/// The functions of the library whose calls become an instruction of relaxed SIMD (`src/math/fused.rs`).
const MULTIPLY_ADDS: [(&str, TernaryOp); 2] =
    [("cupric_f32x4_madd", TernaryOp::F32x4RelaxedMadd), ("cupric_f64x2_madd", TernaryOp::F64x2RelaxedMadd)];

/// Writes a module and its JavaScript into a folder. Replaces calls of [`MULTIPLY_ADDS`] by instructions.
fn write(bindgen: &mut Bindgen, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut output = bindgen.typescript(false).generate_output().map_err(|e| format!("{e:#}"))?;
    let module = output.wasm_mut();
    let mut calls = Calls(HashMap::new());
    for (name, op) in MULTIPLY_ADDS {
        // only the module for relaxed SIMD exports these functions
        if let Ok(function) = module.exports.get_func(name) {
            calls.0.insert(function, op);
            module.exports.remove(name).map_err(|e| format!("{e:#}"))?;
        }
    }
    for (_, function) in module.funcs.iter_local_mut() {
        let entry = function.entry_block();
        dfs_pre_order_mut(&mut calls, function, entry);
    }
    output.emit(folder).map_err(|e| format!("{e:#}").into())
}

/// The functions whose calls are replaced, each with the instruction that replaces them.
struct Calls(HashMap<FunctionId, TernaryOp>);

impl VisitorMut for Calls {
    fn visit_instr_mut(&mut self, instruction: &mut Instr, _: &mut InstrLocId) {
        if let Instr::Call(call) = instruction
            && let Some(op) = self.0.get(&call.func)
        {
            *instruction = Instr::TernOp(TernOp { op: *op });
        }
    }
}

/// Computes the golden hashes of the library's tests in node with each module, and compares them with the hashes of
/// other machines. In an engine that rounds the products of `relaxed`, the library must return an error.
fn hashes(target: &Path, compile: impl Fn(&str) -> Result<PathBuf>) -> Result<()> {
    println!("building the golden hashes for WebAssembly");
    let folder = |name: &str| target.join("hashes").join(name);
    for (name, flags) in MODULES {
        let module = compile(flags)?.join("cupric_hashes.wasm");
        let mut bindgen = Bindgen::new();
        bindgen.input_path(module).nodejs(true).map_err(|e| e.to_string())?;
        write(&mut bindgen, &folder(name))?;
        compute(name, &folder(name), &[])?;
    }
    // on x86 V8 rounds products if it may not use this extension; on other processors it ignores the flag
    match compute("relaxed, products rounded", &folder("relaxed"), &["--no-enable-fma3"]) {
        Err(e) if !e.to_string().contains("this engine rounds the products of relaxed SIMD") => Err(e),
        _ => Ok(()),
    }
}

/// Computes the golden hashes with the module of a folder, and compares them with the hashes of other machines.
fn compute(name: &str, folder: &Path, flags: &[&str]) -> Result<()> {
    const KNOWN: &str = include_str!("../../../../tests/data/hashes.txt");
    // node 20 has relaxed SIMD behind this flag; later versions ignore it
    let script = "require('v8').setFlagsFromString('--experimental-wasm-relaxed-simd');
        process.stdout.write(require('./cupric_hashes.js').all())";
    let node = Command::new("node").args(flags).args(["-e", script]).current_dir(folder).output()?;
    if !node.status.success() {
        return Err(format!("node failed: {}", String::from_utf8_lossy(&node.stderr)).into());
    }
    let found = String::from_utf8_lossy(&node.stdout).into_owned();
    let (found, known): (Vec<&str>, Vec<&str>) = (found.lines().collect(), KNOWN.lines().collect());
    let wrong: Vec<&&str> = found.iter().filter(|line| !known.contains(line)).collect();
    println!("{} of {} golden hashes are right in WebAssembly ({name})", found.len() - wrong.len(), known.len());
    if wrong.is_empty() && found.len() == known.len() {
        return Ok(());
    }
    Err(format!("other bits than on other machines, such as {:?}", &wrong[..wrong.len().min(10)]).into())
}

/// Compiles the page for WebAssembly with these flags. For tests it compiles the golden hashes too, in the same call,
/// so that the library is compiled only once. Returns the folder of the modules.
fn compile(root: &Path, target: &Path, options: &Options, flags: &str) -> Result<PathBuf> {
    let profile = if options.quick { "quick" } else { "page" };
    let hashes = options.quick || options.hashes || options.tests;
    let packages: &[&str] = if hashes { &["-p", "cupric-page", "-p", "cupric-hashes"] } else { &["-p", "cupric-page"] };
    let built = cargo(&root.join("Cargo.toml"), target, profile, flags)
        .args(packages)
        .args(options.cpu.then_some("--no-default-features"))
        .status()?;
    if !built.success() {
        return Err(NOT_BUILT.into());
    }
    Ok(target.join("wasm32-unknown-unknown").join(profile))
}

const NOT_BUILT: &str = "the module was not built (is the target there? rustup target add wasm32-unknown-unknown)";

/// Returns a command of cargo that compiles libraries for WebAssembly with these flags.
fn cargo(manifest: &Path, target: &Path, profile: &str, flags: &str) -> Command {
    // this limit of inlining makes the module smaller by 7 %; the page's rates stay within 10 %
    let inlining = "-C llvm-args=-inline-threshold=50";
    let flags = format!("-C target-feature=+simd128 -C link-arg=-zstack-size=4194304 {inlining} {flags}");
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command
        .args(["build", "--profile", profile, "--target", "wasm32-unknown-unknown", "--lib"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// A browser and the folder of its profile. It is killed when this value is dropped.
struct Browser(Child, PathBuf);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

/// Starts Chromium without a window, with a new and empty profile.
fn chromium(options: &Options, more: &[String]) -> Result<Browser> {
    // each `RandomState` has other keys; an existing folder, of whomever, is an error
    let profile = std::env::temp_dir().join(format!("cupric-page-{:016x}", RandomState::new().build_hasher().finish()));
    std::fs::create_dir(&profile).map_err(|e| format!("{} cannot be made: {e}", profile.display()))?;
    let mut command = Command::new(&options.browser);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--enable-unsafe-webgpu",
            "--use-webgpu-adapter=swiftshader",
            "--enable-features=Vulkan",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // the page's tests open a window, which hides the page
            "--disable-popup-blocking",
            "--window-size=1280,2500",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Ok(Browser(child, profile)),
        Err(e) => {
            let _ = std::fs::remove_dir(&profile);
            Err(format!("{} cannot be started: {e}", options.browser).into())
        }
    }
}

/// Opens the page in a browser that has no window, and compares what it reports with this machine's results.
fn test(options: &Options, address: &str, reports: &std::sync::mpsc::Receiver<String>) -> Result<()> {
    let mut on_cpu = HashMap::new();
    // the turn, which changes with each commit, selects the random trials
    let turn = std::env::var("CUPRIC_TURN").ok().and_then(|turn| turn.parse::<u32>().ok()).unwrap_or(0);
    let browser = chromium(options, &[format!("http://{address}/?test={turn}")])?;
    let (mut passed, mut failed) = (0, vec![]);
    loop {
        let report = reports
            .recv_timeout(Duration::from_secs(170))
            .map_err(|_| format!("the page did not finish its tests; {passed} passed before"))?;
        let (kind, rest) = report.split_once('\n').unwrap_or((&report, ""));
        match kind {
            "end" => break,
            "note" => println!("{rest}"),
            "pass" => passed += 1,
            "fail" => failed.push(rest.to_string()),
            "program" => match compare(rest, &mut on_cpu) {
                Ok(()) => passed += 1,
                Err(problem) => failed.push(problem),
            },
            other => failed.push(format!("a report of kind '{other}'")),
        }
    }
    if let Some(path) = &options.screenshot {
        drop(browser);
        let mut browser =
            chromium(options, &[format!("--screenshot={}", path.display()), format!("http://{address}/?show")])?;
        browser.0.wait()?;
        println!("a picture of the page is in {}", path.display());
    }
    failed.iter().for_each(|problem| println!("failed: {problem}"));
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { Ok(()) } else { Err("the page's tests failed".into()) }
}

/// Compares the elements of a program's result. Results of the CPU must have the same bits as on other machines, which
/// `tests/data/page.txt` contains. Results of a GPU must equal the CPU's within 1e-5 of the largest element. A report
/// has the device, the name of the program, and a word for each element.
fn compare(report: &str, on_cpu: &mut HashMap<String, Vec<f32>>) -> Result<(), String> {
    const KNOWN: &str = include_str!("../../../../tests/data/page.txt");
    let fields: Vec<&str> = report.splitn(3, '\n').collect();
    let [on, name, words] = fields[..] else { return Err(format!("a strange report: {report:.60}")) };
    let found: Vec<f32> =
        words.split(' ').filter_map(|w| u32::from_str_radix(w, 16).ok()).map(f32::from_bits).collect();
    if on == "cpu" {
        let known = KNOWN.lines().filter_map(|line| line.rsplit_once(' ')).find(|(known, _)| *known == name);
        let (_, known) = known.ok_or_else(|| format!("tests/data/page.txt has no program '{name}'"))?;
        let same = known == format!("{:016x}", hash(&found));
        on_cpu.insert(name.to_string(), found);
        return if same { Ok(()) } else { Err(format!("{name} on the cpu: not the bits of other machines")) };
    }
    let want = on_cpu.get(name).ok_or_else(|| format!("{name}: the cpu has not reported yet"))?;
    if found.len() != want.len() {
        return Err(format!("{name} on the {on}: {} elements instead of {}", found.len(), want.len()));
    }
    let largest = want.iter().fold(1.0f32, |m, x| m.max(x.abs()));
    let far = found.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    if far <= largest * 1e-5 { Ok(()) } else { Err(format!("{name} on the {on}: {far} away, of {largest}")) }
}

/// Returns a hash of elements: FNV-1a over their bits, all NaNs alike.
fn hash(elements: &[f32]) -> u64 {
    let canonical = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
    let bytes = elements.iter().map(canonical).flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3))
}
