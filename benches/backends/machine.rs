//! The machine, the versions and the commit that a report names.

use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns cargo's target folder, found from the path of the harness itself, which is in `target/release/deps`.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().ok();
    let found = exe.as_deref().and_then(|exe| exe.ancestors().nth(3)).map(Path::to_path_buf);
    found.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"))
}

/// Returns the first line that a command prints, or an empty string if it cannot run.
fn line(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().ok().filter(|o| o.status.success());
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("").trim().to_string()
}

/// Returns a value from a file of `/proc`, such as `model name` of `cpuinfo`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let found = text.lines().find(|l| l.starts_with(name))?;
    Some(found.split_once(':')?.1.trim().to_string())
}

/// Describes the machine: processor, cores, memory, system, devices.
pub fn machine(devices: &[(String, String)]) -> Value {
    let cpu =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| line("sysctl", &["-n", "machdep.cpu.brand_string"]));
    let cpu = if cpu.is_empty() { std::env::consts::ARCH.to_string() } else { cpu };
    let kib = field("/proc/meminfo", "MemTotal").and_then(|m| m.split(' ').next()?.parse::<f64>().ok());
    let bytes = kib.map(|k| k * 1024.0).or_else(|| line("sysctl", &["-n", "hw.memsize"]).parse().ok());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let names: Map<String, Value> = devices.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    json!({
        "cpu": cpu, "cores": cores, "threads": rayon::current_num_threads(),
        "memory_gib": bytes.map(|b| (b / f64::from(1 << 30)).round()),
        "os": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH), "devices": names,
    })
}

pub fn versions<'a>(peers: impl Iterator<Item = &'a (String, String)>) -> Value {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut all = Map::new();
    all.insert("cupric".into(), json!(env!("CARGO_PKG_VERSION")));
    all.insert("rustc".into(), json!(line(&rustc, &["-V"])));
    all.extend(peers.map(|(name, version)| (name.clone(), json!(version))));
    Value::Object(all)
}

/// Returns the commit, followed by `+` if tracked files differ from it, or null outside a repository.
pub fn commit() -> Value {
    let hash = line("git", &["rev-parse", "--short=12", "HEAD"]);
    if hash.is_empty() {
        return Value::Null;
    }
    let changed = !line("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    json!(format!("{hash}{}", if changed { "+" } else { "" }))
}
