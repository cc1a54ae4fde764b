//! Reads and writes `docs/ACCURACY.md`, which has the worst error that a run found for each line of the contract with
//! floats. With `CUPRIC_BLESS=1` each test writes the lines that it measured.

use super::entry::{self, Entry};
use cupric::{DType, Device, testing};
use std::collections::HashMap;
use std::sync::Mutex;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ACCURACY.md");
const HEAD: &str = "\
# Measured accuracy

This page lists the largest error that the tests have found for each line of the accuracy contract that concerns floats. Each
row has the bound (CONTRACT.md defines its notation), the share of the bound that the error reached, the error in ULP (for f16
and bf16 in steps of the type; for reductions none, because their bounds depend on the data), the operand at which it occurred,
and the inputs that were tested. The tests write the page:
`CUPRIC_BLESS=1 cargo test --release --features testing --test accuracy -- contract sweep`.
The errors depend on the driver, the instruction set and the phase of the sweep. Every run of the tests checks the bounds.
";
const COLUMNS: &str = "| function | dtype | on | bound | share | ULP | at | of |\n|---|---|---|---|---|---|---|---|\n";

/// Only one test writes the page at a time, because the tests of a program run in parallel.
static WRITING: Mutex<()> = Mutex::new(());

/// The worst error that a test found for one line of the contract.
#[derive(Clone, Default)]
pub struct Figure {
    /// The share of the bound that the error takes.
    pub share: f64,
    pub ulps: Option<f64>,
    pub at: String,
    /// The set of operands that were tried.
    pub of: String,
}

impl Figure {
    pub fn worse(&self, other: &Figure) -> bool {
        self.share > other.share
    }
}

/// One line of the page.
pub struct Line {
    pub bound: String,
    pub share: f64,
    pub ulps: Option<f64>,
}

fn read() -> String {
    std::fs::read_to_string(PATH).unwrap_or_default()
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    (cells.len() == 8 && cells[0] != "function").then_some(cells)
}

fn key(cells: &[&str]) -> String {
    format!("{}::{}::{}", cells[2], cells[0], cells[1])
}

/// Reads the page's lines, by the names of the contract's entries.
pub fn lines() -> HashMap<String, Line> {
    let number = |c: &str| c.parse::<f64>().ok();
    let text = read();
    let line = |c: Vec<&str>| {
        let share = number(c[4]).unwrap_or_else(|| panic!("ACCURACY.md: {}: share {}", key(&c), c[4]));
        (key(&c), Line { bound: c[3].into(), share, ulps: number(c[5]) })
    };
    text.lines().filter_map(cells).map(line).collect()
}

/// Whether the page has a line for an entry. It has none for functions of integers to integers, which must be exact.
pub fn has_floats(entry: &Entry) -> bool {
    entry.dtype.is_float() || entry.text != "0"
}

/// Whether the tests of `sweep.rs` measure an entry, instead of those of `contract.rs`.
pub fn swept(entry: &Entry) -> bool {
    let swept = |r: testing::Row| {
        let half = matches!(entry.dtype, DType::F16 | DType::BF16) && r.arity() > 1;
        r.name() != "select" && (half || entry.dtype == DType::F32)
    };
    testing::row(&entry.function).is_some_and(swept)
}

/// The hardware and software with which a device computes.
fn machine(device: &Device) -> String {
    if !device.is_gpu() {
        return format!("{}, instruction set {}", std::env::consts::ARCH, testing::instruction_set());
    }
    // a test's device has a memory limit and so a suffix " #…" in its name, which we remove
    let hardware = device.name().split(" #").next().unwrap_or_default();
    format!("{hardware}, driver {}", device.driver().unwrap_or_default())
}

/// With `CUPRIC_BLESS=1`, writes figures into the page. They are given by the entries' names.
pub fn bless(device: &Device, figures: &HashMap<String, Figure>) {
    if std::env::var_os("CUPRIC_BLESS").is_none_or(|v| v != "1") || figures.is_empty() {
        return;
    }
    let _guard = WRITING.lock().unwrap_or_else(|e| e.into_inner());
    let old = read();
    let mut rows: HashMap<String, String> =
        old.lines().filter_map(|l| cells(l).map(|c| (key(&c), l.to_string()))).collect();
    let on = |name: &str| old.lines().find(|l| l.starts_with(&format!("* {name}: "))).unwrap_or_default().to_string();
    let mut machines = [on("cpu"), on("gpu")];
    machines[usize::from(device.is_gpu())] =
        format!("* {}: {}", if device.is_gpu() { "gpu" } else { "cpu" }, machine(device));
    let mut text = format!("{HEAD}\n{}\n\n{COLUMNS}", machines.join("\n"));
    for e in entry::all().iter().filter(|e| has_floats(e)) {
        if let Some(f) = figures.get(&e.name()) {
            let ulps = f.ulps.map_or("–".into(), |u| format!("{u:.3}"));
            let (ulps, at) = if f.share == 0.0 { ("0".into(), "exact") } else { (ulps, &f.at[..]) };
            rows.insert(
                e.name(),
                format!(
                    "| {} | {} | {} | {} | {:.3} | {ulps} | {at} | {} |",
                    e.function, e.dtype, e.backend, e.text, f.share, f.of
                ),
            );
        }
        if let Some(row) = rows.get(&e.name()) {
            text.push_str(row);
            text.push('\n');
        }
    }
    std::fs::write(PATH, text).unwrap_or_else(|e| panic!("{PATH}: {e}"));
}
