//! The accuracy contract: tests every line of `contract.csv`, in every layout, against independent references.
//!
//! `CUPRIC_TRIAL=cpu::exp::f16::transposed cargo test --release --features testing --test accuracy contract` runs only
//! the trials whose names begin with this string;
//! `CUPRIC_CONTRACT_STATS=1` prints each trial's worst error, `CUPRIC_CONTRACT_ALL=1` every failure.

pub mod bound;
pub mod composites;
pub mod data;
pub mod dd;
pub mod doubles;
pub mod elementwise;
pub mod entry;
pub mod golden;
pub mod halves;
pub mod layouts;
pub mod matmul;
pub mod moves;
pub mod others;
pub mod page;
pub mod reduce;
pub mod report;
pub mod rules;
pub mod table;
pub mod underflow;
mod zeros;
use crate::kit::{self, operations::Suite, stage::Stage};
use cupric::{DType, Device, testing};
use report::Report;

fn on(backend: &'static str, test: impl FnOnce(&mut Report, &Device), family: &str) {
    let device = match backend {
        "cpu" => Device::cpu(),
        _ => match kit::gpu(1) {
            Some(d) => d,
            None => return,
        },
    };
    let mut report = Report::new("contract", backend);
    // the exhaustive tests report their own stages
    let mut stage = (!family.starts_with("all of")).then(|| Stage::new(6, "contract: functions in 7 layouts", &device));
    let before = device.stats().compiles;
    test(&mut report, &device);
    if device.is_gpu() {
        kit::say(&format!("contract: gpu {family}: {} pipelines", device.stats().compiles - before));
    }
    if let Some(stage) = &mut stage {
        stage.count(report.trials());
    }
    report.finish(family, &device);
}

/// Tests the elementwise functions of one file of the function table.
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

fn reductions(backend: &'static str, suite: Suite, family: &str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if entry.is_of(suite) {
                reduce::run(report, entry, device);
            }
        }
    };
    on(backend, run, family);
}

fn others(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if entry.is_of(Suite::Others) && entry.function != "astype" {
                others::run(report, entry, device);
            }
        }
    };
    on(backend, run, "gathers, joins and generators");
}

fn moves(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend) {
            if entry.is_of(Suite::Moves) {
                moves::run(report, entry, device);
            }
        }
    };
    on(backend, run, "moves and differences");
}

fn matmul(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend && e.function == "matmul") {
            matmul::run(report, entry, device);
        }
    };
    on(backend, run, "matmul");
}

fn composites(backend: &'static str) {
    let run = |report: &mut Report, device: &Device| {
        for entry in entry::all().iter().filter(|e| e.backend == backend && e.is_of(Suite::Composites)) {
            composites::run(report, entry, device);
        }
    };
    on(backend, run, "composites");
}

fn exhaustive(backend: &'static str, dtype: DType) {
    on(backend, |report, device| halves::run(report, device, dtype), &format!("all of {dtype}"));
}

/// Defines each backend's tests, which call the same functions.
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
    reductions_of_numbers: |b| reductions(b, Suite::Reductions, "reductions");
    functions_of_rows: |b| reductions(b, Suite::Rows, "rows");
    matrix_products: matmul;
    what_is_made_of_others: composites;
    gathers_joins_and_generators: others;
    moves_and_differences: moves;
    all_of_f16: |b| exhaustive(b, DType::F16);
    all_of_bf16: |b| exhaustive(b, DType::BF16);
}
