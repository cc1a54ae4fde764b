//! The accuracy contract: every line of `contract.csv`, in every layout, against references of its own.
//!
//! `CUPRIC_TRIAL=cpu::exp::f16::transposed cargo test --release --test contract` runs the trials whose names begin so;
//! `CUPRIC_CONTRACT_STATS=1` prints each trial's worst error, `CUPRIC_CONTRACT_ALL=1` every failure.

#[path = "contract/bound.rs"]
mod bound;
mod common;
#[path = "contract/data.rs"]
mod data;
#[path = "contract/elementwise.rs"]
mod elementwise;
#[path = "contract/entry.rs"]
mod entry;
#[path = "contract/golden.rs"]
mod golden;
#[path = "contract/layouts.rs"]
mod layouts;
#[path = "contract/report.rs"]
mod report;
#[path = "contract/table.rs"]
mod table;

use cupric::{Device, testing};
use report::Report;
use std::sync::Mutex;

/// The GPU's counters are those of one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn on(backend: &'static str, test: impl FnOnce(&mut Report, &Device), family: &str) {
    let device = match backend {
        "cpu" => Device::cpu(),
        _ => match common::gpu(1) {
            Some(d) => d,
            None => return,
        },
    };
    let _guard = device.is_gpu().then(|| ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner()));
    let mut report = Report::new(backend);
    let before = device.stats().compiles;
    test(&mut report, &device);
    if device.is_gpu() {
        common::say(&format!("contract: gpu {family}: {} pipelines", device.stats().compiles - before));
    }
    report.finish(family);
}

/// The elementwise functions of one file of the table.
fn family(backend: &'static str, family: &str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if let Some(row) = testing::row(&entry.function).filter(|r| r.family() == family) {
                elementwise::run(report, entry, Some(row), device);
            }
        }
    };
    on(backend, run, family);
}

fn astype(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend && e.function == "astype") {
            elementwise::run(report, entry, None, device);
        }
    };
    on(backend, run, "astype");
}

#[test]
fn cpu_arithmetic() {
    family("cpu", "arithmetic");
}

#[test]
fn cpu_float() {
    family("cpu", "float");
}

#[test]
fn cpu_special() {
    family("cpu", "special");
}

#[test]
fn cpu_logic() {
    family("cpu", "logic");
}

#[test]
fn cpu_astype() {
    astype("cpu");
}
