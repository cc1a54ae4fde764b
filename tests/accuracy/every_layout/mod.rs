//! Stages 5 and 6: every operation at special values at every position of a vector, and in 32 layouts.
//!
//! `CUPRIC_TRIAL=gpu::exp::f16 cargo test --release --features testing --test accuracy every_layout` runs only the
//! trials whose names begin with this string;
//! `CUPRIC_STAGE_TYPES=f32,u8,f16` runs only operands of these types. The references, bounds and data are those of
//! `contract.rs`; products, gathers and joins are compared with the scalar interpreter of expressions.

mod moves;
mod places;
mod positions;

use crate::contract::elementwise;
use crate::contract::entry::{self, Entry};
use crate::contract::report::Report;
use crate::kit::{self, operations::Suite, stage::Stage};
use cupric::{DType, Device, testing};
use std::sync::LazyLock;

/// The operand types that this run tests.
static TYPES: LazyLock<Vec<DType>> = LazyLock::new(|| {
    let list = std::env::var("CUPRIC_STAGE_TYPES").unwrap_or_default();
    let named = |n: &str| kit::dtype(n.trim()).unwrap_or_else(|| panic!("CUPRIC_STAGE_TYPES: {n} is no type"));
    let some: Vec<DType> = list.split(',').filter(|n| !n.is_empty()).map(named).collect();
    if some.is_empty() { DType::ALL.to_vec() } else { some }
});

/// The contract's lines for a backend.
fn entries(backend: &str) -> impl Iterator<Item = &'static Entry> {
    entry::all().iter().filter(move |e| e.backend == backend && TYPES.contains(&e.dtype))
}

/// Calls `f` with each elementwise function of one file of the function table, or with each conversion.
fn elementwise_of(backend: &'static str, family: &'static str, mut f: impl FnMut(&elementwise::Trial)) {
    for e in entries(backend) {
        match testing::row(&e.function) {
            Some(row) if row.family() == family => f(&elementwise::Trial::new(e, Some(row), row.result(e.dtype))),
            None if e.function == "astype" && family == "astype" => {
                // four target types for each type; over all types, every target occurs
                let at = DType::ALL.iter().position(|d| *d == e.dtype).unwrap_or(0);
                for k in [1, 5, 8, 10] {
                    let to = DType::ALL[(at + k) % DType::ALL.len()];
                    if TYPES.contains(&to) {
                        f(&elementwise::Trial::new(e, None, to));
                    }
                }
            }
            _ => {}
        }
    }
}

fn on(backend: &'static str, number: u32, name: &'static str, what: &str, test: impl FnOnce(&mut Report, &Device)) {
    let device = match backend {
        "cpu" => Device::cpu(),
        _ => match kit::gpu(1) {
            Some(d) => d,
            None => return,
        },
    };
    let mut stage = Stage::new(number, name, &device);
    let mut report = Report::new("trust", backend);
    let before = device.stats().compiles;
    test(&mut report, &device);
    stage.count(report.trials());
    if device.is_gpu() {
        kit::say(&format!("trust: gpu {name}, {what}: {} pipelines", device.stats().compiles - before));
    }
    drop(stage);
    report.finish(&format!("{name}, {what}"), &device);
}

fn special_values(backend: &'static str, family: &'static str) {
    on(backend, 5, "special values", family, |report, device| {
        elementwise_of(backend, family, |trial| positions::run(report, trial, device));
    });
}

fn layouts_of(backend: &'static str, family: &'static str) {
    on(backend, 6, "layouts", family, |report, device| match family {
        "reductions" => entries(backend)
            .filter(|e| e.is_of(Suite::Reductions) || e.is_of(Suite::Rows))
            .filter(|e| !e.stood_for())
            .for_each(|e| places::reduction(report, e, device)),
        "moves" => TYPES.iter().for_each(|d| moves::run(report, *d, device)),
        _ => elementwise_of(backend, family, |trial| places::elementwise(report, trial, device)),
    });
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
    special_values_of_arithmetic: |b| special_values(b, "arithmetic");
    special_values_of_float: |b| special_values(b, "float");
    special_values_of_special: |b| special_values(b, "special");
    special_values_of_logic: |b| special_values(b, "logic");
    special_values_of_conversions: |b| special_values(b, "astype");
    layouts_of_arithmetic: |b| layouts_of(b, "arithmetic");
    layouts_of_float: |b| layouts_of(b, "float");
    layouts_of_special: |b| layouts_of(b, "special");
    layouts_of_logic: |b| layouts_of(b, "logic");
    layouts_of_conversions: |b| layouts_of(b, "astype");
    layouts_of_reductions: |b| layouts_of(b, "reductions");
    layouts_of_products_and_moves: |b| layouts_of(b, "moves");
}
