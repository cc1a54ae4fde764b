//! `--isa`: the same rows with several instruction sets of the CPU. The library chooses a set once per process, so each
//! set is measured by its own process, one after another, and this process shows the shares of the limit side by side.
//! The shares of different sets are comparable because each row's limit is measured beside it.

use crate::common::{say, wrong};
use crate::isa::{Isa, isa};
use crate::work::shape_text;
use crate::{save, timing};
use serde_json::{Value, json};
use std::process::Command;

fn name(isa: Isa) -> String {
    format!("{isa:?}").to_lowercase()
}

/// Returns the name of the CPU in reports, with its instruction set if `CUPRIC_ISA` forces one.
pub fn cpu() -> String {
    std::env::var_os("CUPRIC_ISA").map_or("cpu".into(), |_| format!("cpu {}", name(isa())))
}

/// Returns the instruction sets of this machine, the best first.
fn available() -> Vec<String> {
    let sets: &[Isa] = match isa() {
        Isa::Avx512 => &[Isa::Avx512, Isa::Avx2, Isa::Portable],
        Isa::Avx2 => &[Isa::Avx2, Isa::Portable],
        Isa::Neon => &[Isa::Neon, Isa::Portable],
        Isa::Portable => &[Isa::Portable],
    };
    sets.iter().map(|set| name(*set)).collect()
}

/// Returns the sets that an option names. A set that the machine lacks is an error, because the library would use
/// another.
fn wanted(names: &[String]) -> Vec<String> {
    let sets = available();
    if let Some(lacking) = names.iter().find(|name| *name != "all" && !sets.contains(name)) {
        wrong("backends", format!("--isa: this machine has {}, not '{lacking}'", sets.join(", ")));
    }
    if names.iter().any(|name| name == "all") { sets } else { names.to_vec() }
}

/// Runs this program once for each set, with the same arguments, and returns one report of all rows. If `timed` is
/// false, the processes write no reports, and the result is none.
pub fn run(names: &[String], timed: bool) -> Result<Option<Value>, String> {
    let fault = |e: std::io::Error| e.to_string();
    let sets = wanted(names);
    let mut reports = vec![];
    for set in &sets {
        say(format!("--- {set} ---")).map_err(fault)?;
        let part = save::kept(&format!("isa-{set}"));
        part.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(fault)?;
        let mut process = Command::new(std::env::current_exe().map_err(fault)?);
        process.args(std::env::args_os().skip(1)).arg("--part").arg(&part).env("CUPRIC_ISA", set);
        if !process.status().map_err(fault)?.success() {
            return Err(format!("the process of {set} failed"));
        }
        if timed {
            reports.push(save::read(&part)?);
            say("").map_err(fault)?;
        }
    }
    if !timed {
        return Ok(None);
    }
    table(&sets, &reports).iter().try_for_each(say).map_err(fault)?;
    Ok(Some(joined(&reports)))
}

/// Joins reports into one report of all rows. The machine counts as quiet if it was quiet during each of them.
fn joined(reports: &[Value]) -> Value {
    let list =
        |key: &str| reports.iter().flat_map(|r| r[key].as_array().cloned().unwrap_or_default()).collect::<Vec<_>>();
    let mut all = reports[0].clone();
    for report in reports {
        for (of, key) in [(&report["limits"], "/limits"), (&report["machine"]["devices"], "/machine/devices")] {
            let known = all.pointer_mut(key).and_then(Value::as_object_mut);
            known.into_iter().for_each(|known| known.extend(of.as_object().cloned().unwrap_or_default()));
        }
    }
    let sum = |key: &str| json!(reports.iter().filter_map(|r| r["quiet"][key].as_f64()).sum::<f64>());
    (all["quiet"]["disturbed"], all["quiet"]["seconds"]) = (sum("disturbed"), sum("seconds"));
    let noisy = reports.iter().map(|r| &r["quiet"]["quiet"]).find(|quiet| **quiet != json!(true));
    if let Some(noisy) = noisy {
        all["quiet"]["quiet"] = noisy.clone();
    }
    (all["rows"], all["plot"]) = (json!(list("rows")), json!(list("plot")));
    all
}

/// Returns the lines of the table of shares. A line has a row of the benchmark, and for each set the median and the
/// share of the limit.
fn table(sets: &[String], reports: &[Value]) -> Vec<String> {
    let line = |cells: [&str; 3], sets: Vec<String>| {
        format!("{:<30} {:<6} {:<13}{}", cells[0], cells[1], cells[2], sets.concat()).trim_end().to_string()
    };
    let head = line(["work", "dtype", "shape"], sets.iter().map(|set| format!("{set:>11}   share")).collect());
    let rule = "─".repeat(head.chars().count());
    let rows = |report: &Value| report["rows"].as_array().cloned().unwrap_or_default();
    let mut lines = vec![head, rule];
    for row in rows(&reports[0]) {
        let same = |other: &Value| ["work", "dtype", "shape"].iter().all(|key| other[*key] == row[*key]);
        let of = |report: &Value| {
            let found = rows(report).into_iter().find(same).unwrap_or_default();
            let median = found["ms"].as_f64().filter(|ms| ms.is_finite()).map_or("—".into(), timing::text);
            let share = found["fraction"].as_f64().map_or("—".into(), |share| format!("{share:.2}"));
            let mark = if found["disturbed"] == json!(true) { '~' } else { ' ' };
            format!("{median:>11} {share:>6}{mark}")
        };
        let shape: Vec<usize> =
            row["shape"].as_array().into_iter().flatten().filter_map(|n| Some(n.as_u64()? as usize)).collect();
        let text = |key: &str| row[key].as_str().unwrap_or("").to_string();
        lines.push(line([&text("text"), &text("dtype"), &shape_text(&shape)], reports.iter().map(of).collect()));
    }
    lines
}

/// Tests that the table shows a row's results of all sets side by side; part of `cargo test --benches`.
pub fn check() -> Result<(), String> {
    let report = |set: &str, share: f64| {
        let row = json!({"work": "add", "text": "a + b", "dtype": "f16", "shape": [7], "device": set, "ms": 2.0, "fraction": share});
        json!({"rows": [row], "limits": {set: {}}, "machine": {"devices": {set: ""}}, "quiet": {"quiet": share > 0.5, "disturbed": 1}})
    };
    let (sets, reports) = (["avx512".into(), "avx2".into()], [report("cpu avx512", 0.9), report("cpu avx2", 0.16)]);
    let (lines, all) = (table(&sets, &reports), joined(&reports));
    let shown: Vec<&str> = lines[2].split_whitespace().collect();
    let holds = shown == ["a", "+", "b", "f16", "7", "2.00", "ms", "0.90", "2.00", "ms", "0.16"]
        && all["rows"].as_array().is_some_and(|rows| rows.len() == 2 && rows[1]["device"] == "cpu avx2")
        && all["limits"].as_object().is_some_and(|limits| limits.len() == 2)
        && all["quiet"] == json!({"quiet": false, "disturbed": 2.0, "seconds": 0.0});
    if holds { Ok(()) } else { Err(format!("instruction sets are compared wrongly: {lines:?} {all}")) }
}
