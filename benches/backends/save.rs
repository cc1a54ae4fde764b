//! Reports as JSON: written to a file, kept under a name, and compared with an earlier run.

use crate::machine;
use crate::measure::Record;
use crate::peers::Time;
use crate::report::figure;
use crate::timing;
use crate::work::shape_text;
use serde_json::{Map, Value, json};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// A change of time below this factor counts as noise. Chosen by hand.
const NOISE: f64 = 1.1;

/// Returns the path of a report, which is given by the name under which it was kept, or as a file.
pub fn find(name: &str) -> PathBuf {
    if name.ends_with(".json") { PathBuf::from(name) } else { kept(name) }
}

/// Returns the path at which `--save NAME` keeps a report.
pub fn kept(name: &str) -> PathBuf {
    machine::target().join("cupric-bench").join(format!("{name}.json"))
}

/// Fails if a file cannot be written. Called before a long run, so that it does not fail at the end.
pub fn check_writable(path: &Path) -> Result<(), String> {
    let existed = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|e| format!("{}: {e}", path.display()))?;
    if !existed {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

pub fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

pub fn read(path: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let report: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if report["rows"].is_array() { Ok(report) } else { Err(format!("{}: not a report", path.display())) }
}

/// Returns a row of the report. `limit_ms` and `fraction` are null if the row has no limit.
pub fn row(r: &Record) -> Value {
    let mut peers = Map::new();
    for peer in &r.peers {
        let value = match (&peer.time, peer.time.ms()) {
            (Time::Endless, _) => json!({"ms": null, "ratio": null, "over_ms": timing::ENDLESS}),
            (_, Some(ms)) => json!({"ms": ms, "ratio": r.ratio(peer)}),
            _ => continue,
        };
        peers.insert(peer.name.clone(), value);
    }
    // infinity, which JSON does not have, means that one device has a NaN where the other has a number
    let ulp = r.ulp.map(|u| if u.is_finite() { json!(u) } else { json!("NaN") });
    let mut row = json!({
        "work": r.work, "text": r.text, "dtype": r.dtype, "shape": r.shape, "device": r.device,
        "ms": r.ms(), "ms_min": r.samples.min(), "ms_max": r.samples.max(), "spread": r.samples.spread(),
        "ms_gpu": r.gpu_ms(),
        "bytes": r.bytes as u64, "flops": r.flops as u64, "limit_ms": r.limit_ms(), "fraction": r.fraction(),
        "limit": r.limit_text, "rounds": r.samples.len(), "noise": r.noise.to_json(), "ulp": ulp, "memory": r.memory,
        "peers": peers,
    });
    if r.noise.is_felt() {
        row["disturbed"] = json!(true);
    }
    if let Some(error) = &r.error {
        row["error"] = json!(error);
    }
    row
}

/// Lists the rows that became slower or faster since an earlier report.
pub fn compare(name: &str, old: &Value, new: &[Record]) -> Vec<String> {
    let mut changes: Vec<(f64, String)> = vec![];
    let (mut same, mut alone) = (0, 0);
    let empty = vec![];
    let rows = old["rows"].as_array().unwrap_or(&empty);
    for r in new.iter().filter(|r| r.error.is_none()) {
        let matches = |o: &&Value| {
            o["work"] == json!(r.work)
                && o["dtype"] == json!(r.dtype)
                && o["shape"] == json!(r.shape)
                && o["device"] == json!(r.device)
        };
        let Some((then, earlier)) = rows.iter().find(matches).and_then(|o| Some((o["ms"].as_f64()?, o))) else {
            alone += 1;
            continue;
        };
        let times = r.ms() / then;
        // the factor by which the machine itself has become slower, from the row's limit then and now
        let drift = match (earlier["limit_ms"].as_f64(), r.limit_ms()) {
            (Some(then), Some(now)) if then > 0.0 => now / then,
            _ => 1.0,
        };
        let change = times / drift;
        // a row has changed only if both its time and its time relative to the limit have changed
        let slower = times.min(change) > NOISE;
        if !slower && times.max(change) > 1.0 / NOISE {
            same += 1;
            continue;
        }
        let label = format!("{} {} {} on {}", r.text, r.dtype, shape_text(&r.shape), r.device);
        let word = if slower { "slower" } else { "faster" };
        let factor = figure(if slower { change } else { 1.0 / change });
        let (then, now) = (timing::text(then), timing::text(r.ms()));
        let limit = if drift == 1.0 { String::new() } else { format!(", the machine's limit ×{}", figure(drift)) };
        changes.push((change, format!("{label}: {factor}× {word}, {then} then, {now} now{limit}")));
    }
    changes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let slower = changes.iter().filter(|c| c.0 > 1.0).count();
    let faster = changes.len() - slower;
    let commit = old["commit"].as_str().unwrap_or("an unknown commit");
    let mut lines = vec![format!(
        "Compared with {name} ({commit}): {slower} slower, {faster} faster, {same} as before, {alone} new"
    )];
    lines.extend(changes.into_iter().map(|(_, line)| format!("  {line}")));
    lines
}
