//! The accuracy contract: every line of `contract.csv`, in every layout, against references of its own.
//!
//! `CUPRIC_TRIAL=cpu::exp::f16::transposed cargo test --release --features testing --test contract` runs the trials whose names begin so;
//! `CUPRIC_CONTRACT_STATS=1` prints each trial's worst error, `CUPRIC_CONTRACT_ALL=1` every failure.

#[path = "contract/bound.rs"]
mod bound;
mod common;
#[path = "contract/data.rs"]
mod data;
#[path = "contract/dd.rs"]
mod dd;
#[path = "contract/elementwise.rs"]
mod elementwise;
#[path = "contract/entry.rs"]
mod entry;
#[path = "contract/golden.rs"]
mod golden;
#[path = "contract/halves.rs"]
mod halves;
#[path = "contract/layouts.rs"]
mod layouts;
#[path = "contract/matmul.rs"]
mod matmul;
#[path = "contract/others.rs"]
mod others;
#[path = "contract/page.rs"]
mod page;
#[path = "contract/reduce.rs"]
mod reduce;
#[path = "contract/report.rs"]
mod report;
#[path = "contract/rules.rs"]
mod rules;
#[path = "support/stage.rs"]
mod stage;
#[path = "contract/table.rs"]
mod table;

#[path = "contract/underflow.rs"]
mod underflow;

use cupric::{DType, Device, testing};
use report::Report;
use stage::Stage;
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
    // the exhaustive tests write lines of their own
    let mut stage = (!family.starts_with("all of")).then(|| Stage::new(6, "contract: functions in 7 layouts", &device));
    let before = device.stats().compiles;
    test(&mut report, &device);
    if device.is_gpu() {
        common::say(&format!("contract: gpu {family}: {} pipelines", device.stats().compiles - before));
    }
    if let Some(stage) = &mut stage {
        stage.count(report.trials());
    }
    report.finish(family, &device);
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

fn reductions(backend: &'static str, functions: &'static [&'static str], family: &str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if functions.contains(&entry.function.as_str()) {
                reduce::run(report, entry, device);
            }
        }
    };
    on(backend, run, family);
}

fn others(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if entry::OTHERS.contains(&entry.function.as_str()) {
                others::run(report, entry, device);
            }
        }
    };
    on(backend, run, "gathers, joins and generators");
}

fn matmul(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend && e.function == "matmul") {
            matmul::run(report, entry, device);
        }
    };
    on(backend, run, "matmul");
}

fn exhaustive(backend: &'static str, dtype: DType) {
    on(backend, |report, device| halves::run(report, device, dtype), &format!("all of {dtype}"));
}

/// Each backend's tests, by the same functions.
macro_rules! tests {
    ($($backend:ident { $($name:ident: $test:expr;)* })*) => { $(
        mod $backend {
            use super::*;
            const BACKEND: &str = stringify!($backend);
            $(
                #[test]
                fn $name() {
                    $test(BACKEND);
                }
            )*
        }
    )* };
    ($($name:ident: $test:expr;)*) => {
        tests! { cpu { $($name: $test;)* } gpu { $($name: $test;)* } }
    };
}

tests! {
    arithmetic: |b| family(b, "arithmetic");
    float: |b| family(b, "float");
    special: |b| family(b, "special");
    logic: |b| family(b, "logic");
    conversions: astype;
    reductions_of_numbers: |b| reductions(b, &entry::REDUCTIONS, "reductions");
    functions_of_rows: |b| reductions(b, &entry::ROWS, "rows");
    matrix_products: matmul;
    gathers_joins_and_generators: others;
    all_of_f16: |b| exhaustive(b, DType::F16);
    all_of_bf16: |b| exhaustive(b, DType::BF16);
}
