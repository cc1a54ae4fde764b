//! Random programs against NumPy: `numpy/run.py` makes them and computes NumPy's results; this side runs them lazily
//! through the public API and sends back the results. NumPy is an independent reference, while the interpreter of the
//! other tests has the same authors as the library.
//!
//! `CUPRIC_RANDOM=n` runs n programs, `CUPRIC_SEED=n` one, `CUPRIC_PROGRAM='{…}'` the one that a failure printed;
//! `CUPRIC_PYTHON` names the Python to use. If no Python has NumPy, the test prints that and passes, unless
//! `CUPRIC_REQUIRE_NUMPY=1`.

mod execute;

use crate::kit::{self, on_devices, stage::Stage};
use cupric::{DType, Device};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Command, Stdio};
use std::sync::Once;

fn python() -> String {
    std::env::var("CUPRIC_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Whether there is a Python with NumPy. If not, writes a line to the real standard error.
fn has_numpy() -> bool {
    let version = Command::new(python()).args(["-c", "import numpy"]).stdin(Stdio::null()).output();
    if version.is_ok_and(|o| o.status.success()) {
        return true;
    }
    let required = std::env::var_os("CUPRIC_REQUIRE_NUMPY").is_some_and(|v| v == "1");
    assert!(!required, "CUPRIC_REQUIRE_NUMPY=1, but {} cannot import numpy", python());
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let _ = writeln!(std::io::stderr(), "numpy tests left out: {} cannot import numpy", python());
    });
    false
}

/// Runs one worker: a Python process asks, this loop answers. Returns the number of programs, or a failure report.
fn worker(d: &Device, arguments: &[String]) -> Result<usize, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/numpy/run.py");
    let mut child = Command::new(python())
        .arg("-B")
        .arg(script)
        .args(arguments)
        // one thread for each, because there are as many workers as cores
        .env("OPENBLAS_NUM_THREADS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{}: {e}", python()))?;
    let (Some(answers), Some(questions)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("no pipes".into());
    };
    let mut answers = BufWriter::new(answers);
    let mut report = None;
    for line in BufReader::new(questions).lines() {
        let line = line.map_err(|e| e.to_string())?;
        let question: Value = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))?;
        if !question["done"].is_null() {
            report = Some(question);
            break;
        }
        // a write only fails if Python has ended; its exit status then tells why
        let _ = match execute::execute(&question, d) {
            Err(why) => writeln!(answers, "{}", json!({ "error": why })),
            Ok(results) => {
                let heads: Vec<Value> = results.iter().map(|(t, shape, b)| json!([t.name(), shape, b.len()])).collect();
                let mut sent = writeln!(answers, "{}", json!({ "ok": heads }));
                for (_, _, bytes) in &results {
                    sent = sent.and(answers.write_all(bytes));
                }
                sent
            }
        };
        let _ = answers.flush();
    }
    drop(answers);
    let status = child.wait().map_err(|e| e.to_string())?;
    let Some(report) = report.filter(|_| status.success()) else {
        return Err(format!("run.py {} ended with {status}; its message is above", arguments.join(" ")));
    };
    match report["failures"].as_str() {
        Some("") | None => Ok(report["done"].as_u64().unwrap_or(0) as usize),
        Some(text) => Err(text.into()),
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

on_devices! {

fn random_programs_against_numpy(d: &Device) {
    if !has_numpy() {
        return;
    }
    let mut stage = Stage::new(7, "random programs against NumPy", d);
    let usual = match (d.is_gpu(), kit::takes_all()) {
        (false, _) => 20_000,
        (true, false) => 300,
        (true, true) => 2000,
    };
    let count = number("CUPRIC_RANDOM").unwrap_or(kit::scaled(usual) as u64);
    let types: Vec<&str> = DType::ALL.into_iter().filter(|t| kit::has(d, *t)).map(DType::name).collect();
    let device = if d.is_gpu() { "gpu" } else { "cpu" };
    let fixed = |more: &[String]| [&["--device".into(), device.into(), "--types".into(), types.join(",")], more].concat();
    let one = |name: &str, value: String| fixed(&[name.into(), value]);
    let work: Vec<Vec<String>> = if let Ok(program) = std::env::var("CUPRIC_PROGRAM") {
        vec![one("--program", program)]
    } else if let Some(seed) = number("CUPRIC_SEED") {
        vec![one("--seed", seed.to_string())]
    } else {
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64).min(count).clamp(1, 8);
        // as for other random programs, but each worker takes a range of seeds; on a GPU always the same ones
        let turn = if d.is_gpu() || kit::takes_all() { 0 } else { kit::turn() };
        let first = number("CUPRIC_FROM").unwrap_or(turn * count);
        let part = |k: u64| [first + count * k / workers, first + count * (k + 1) / workers].map(|n| n.to_string());
        (0..workers).map(|k| fixed(&[&["--range".to_string()], &part(k)[..]].concat())).collect()
    };
    let results: Vec<Result<usize, String>> = std::thread::scope(|s| {
        let threads: Vec<_> = work.iter().map(|a| s.spawn(move || worker(d, a))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a worker panicked".into()))).collect()
    });
    let failures: Vec<&str> = results.iter().filter_map(|r| r.as_ref().err().map(String::as_str)).collect();
    stage.count(results.iter().filter_map(|r| r.as_ref().ok()).sum());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
}
