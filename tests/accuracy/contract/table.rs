//! Compares the table of functions with the contract (both have the same functions), and references with mpmath.

use super::bound::{Bound, Real, judge};
use super::entry::{self, Entry};
use super::golden;
use super::page;
use crate::kit::{operations, say};
use cupric::{DType, testing};
use std::collections::HashSet;

fn known(function: &str) -> bool {
    operations::find(function).is_some() || testing::row(function).is_some()
}

#[test]
fn every_line_has_its_function() {
    let mut seen = HashSet::new();
    for e in entry::all() {
        assert!(seen.insert(e.name()), "contract.csv: {} is listed twice", e.name());
        assert!(known(&e.function), "contract.csv: {}: no such function", e.name());
        let named = matches!(e.bound, Bound::Named(_));
        let reduces = testing::row(&e.function).is_none();
        assert!(!named || reduces, "contract.csv: {}: {:?} is a bound of reductions", e.name(), e.bound);
        if let Some(row) = testing::row(&e.function) {
            assert!(row.takes(e.dtype, e.gpu()), "contract.csv: {}: the table does not take this type", e.name());
        }
    }
}

/// Bounds of planned functions are in a separate list. A function's line leaves that list when it is built.
#[test]
fn planned_lines_are_of_functions_that_are_not_there() {
    let mut seen = HashSet::new();
    for p in testing::planned_contract() {
        let name = format!("{} {} {}", p.function, p.dtype, if p.gpu { "gpu" } else { "cpu" });
        assert!(testing::promised(p.function, p.dtype, p.gpu).is_none(), "contract.csv: {name} is there and planned");
        assert!(testing::row(p.function).is_none(), "contract.csv: {name} is planned, but the table has it");
        assert!(seen.insert(name.clone()), "contract.csv: {name} is planned twice");
    }
}

#[test]
fn every_function_has_its_lines() {
    let mut missing = vec![];
    let has =
        |f: &str, d: DType, b: &str| entry::all().iter().any(|e| e.function == f && e.dtype == d && e.backend == b);
    for row in testing::rows() {
        for dtype in DType::ALL {
            // u8 and i32 stand for all integer types that a function converts to f32
            let stood_for = row.floats_integers() && !dtype.is_float();
            if stood_for && !matches!(dtype, DType::U8 | DType::I32) {
                continue;
            }
            for (backend, gpu) in [("cpu", false), ("gpu", true)] {
                if row.takes(dtype, gpu) && !has(row.name(), dtype, backend) {
                    missing.push(format!("{},{dtype},{backend}", row.name()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "contract.csv lacks {} lines:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn every_operation_has_its_lines() {
    let mut wanted = HashSet::new();
    for o in operations::OPERATIONS.iter().filter(|o| !o.types.is_empty()) {
        for t in o.types.split(' ') {
            wanted.insert(format!("cpu::{}::{t}", o.name));
            wanted.insert(format!("gpu::{}::{t}", o.name));
        }
    }
    // prints each entry, to compare the contract before and after a change of its file
    if std::env::var_os("CUPRIC_CONTRACT_PRINT").is_some() {
        entry::all().iter().for_each(|e| say(&format!("{},{},{},{}", e.function, e.dtype, e.backend, e.text)));
    }
    let have: HashSet<String> = entry::all().iter().filter(|e| e.operation().is_some()).map(Entry::name).collect();
    let mut wrong: Vec<_> = wanted.symmetric_difference(&have).collect();
    wrong.sort();
    assert!(wrong.is_empty(), "only in the list or only in contract.csv: {wrong:?}");
}

/// Functions that only move or compare bits, and so need no reference values.
const MOVES: [&str; 15] = [
    "minimum",
    "maximum",
    "fmin",
    "fmax",
    "clip",
    "negative",
    "positive",
    "abs",
    "sign",
    "relu",
    "hard_tanh",
    "copysign",
    "nextafter",
    "select",
    "astype",
];

#[test]
fn every_f64_function_has_its_golden_values() {
    let mut wrong = vec![];
    for row in testing::rows() {
        let computes = row.takes(DType::F64, false) && row.result(DType::F64) == DType::F64;
        let points = golden::points(row.name()).map_or(0, |g| g.results.len());
        if points != if computes && !MOVES.contains(&row.name()) { 714 } else { 0 } {
            wrong.push(format!("{}: {points} points", row.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// f64 references judge f32 and narrower types, so they must be accurate too. An f64 ULP is 2^-29 of f32's.
#[test]
fn references_agree_with_mpmath() {
    let mut wrong = vec![];
    for row in testing::rows() {
        let (Some(golden), Some(exact)) = (golden::points(row.name()), row.exact()) else { continue };
        let bound = testing::reference_bound(row.name()).unwrap_or(Bound::Ulp(8.0, 0.0));
        let mut worst = (0.0, [0.0; 3]);
        for (key, want) in &golden.results {
            let x = key.map(f64::from_bits);
            // we skip operands and results outside the range of f32
            let in_f32 = |v: f64| v == 0.0 || (2f64.powi(-149)..2f64.powi(128)).contains(&v.abs());
            if !in_f32(want.value) || !x.iter().all(|v| in_f32(*v)) {
                continue;
            }
            let got = exact(x[0], x[1], x[2]);
            let (ulps, right) = judge(&bound, 0.0, DType::F64, Real { ..*want }, &x[..row.arity()], got.to_bits());
            worst = if ulps > worst.0 { (ulps, x) } else { worst };
            if !right {
                wrong.push(format!("{}({x:?}): exact {:e}, reference {got:e}: {ulps} ULP", row.name(), want.value));
            }
        }
        if std::env::var_os("CUPRIC_CONTRACT_STATS").is_some() {
            say(&format!("reference {} {:.2} ULP of f64 at {:?}", row.name(), worst.0, worst.1));
        }
    }
    assert!(wrong.is_empty(), "{} points:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// The page has the figures of the run that wrote it. This run does not compare them, but none exceeds its bound.
#[test]
fn the_accuracy_page_is_whole() {
    let page = page::lines();
    let mut wrong = vec![];
    for e in entry::all().iter().filter(|e| page::has_floats(e)) {
        match page.get(&e.name()) {
            None => wrong.push(format!("{}: no line", e.name())),
            Some(line) if line.bound != e.text => wrong.push(format!("{}: bound {}", e.name(), line.bound)),
            Some(line) if !(0.0..=1.0).contains(&line.share) => wrong.push(format!("{}: {}", e.name(), line.share)),
            Some(line) => {
                let plain = e.text.parse::<f64>().unwrap_or(f64::INFINITY);
                // on a GPU an error below the smallest normal number is allowed, whatever its size in ULP
                if !e.gpu() && line.ulps.is_some_and(|u| u > plain) {
                    wrong.push(format!("{}: {:?} ULP", e.name(), line.ulps));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "CUPRIC_BLESS=1 writes them:\n{}", wrong.join("\n"));
    let lines = entry::all().iter().filter(|e| page::has_floats(e)).count();
    assert!(page.len() == lines, "{} lines on the page, {lines} in the contract", page.len());
}

#[test]
fn the_grammar_of_bounds() {
    let grammar = [
        ("0", Bound::Exact),
        ("1.5", Bound::Ulp(1.5, 0.0)),
        ("3+2^-126", Bound::Ulp(3.0, f64::from(f32::MIN_POSITIVE))),
        ("large:4", Bound::Large(4.0)),
        ("max:4:2^-24", Bound::Max(4.0, f64::from(f32::EPSILON) / 2.0)),
        ("lgamma:10:1e-6", Bound::Lgamma(10.0, 1e-6, 0.0)),
        ("lgamma:2:2^-4:2^-3", Bound::Lgamma(2.0, 0.0625, 0.125)),
        ("tree", Bound::Named("tree".into())),
    ];
    for (text, bound) in grammar {
        assert_eq!(Bound::parse(text), bound, "{text}");
    }
    let one = Entry {
        function: "exp".into(),
        dtype: DType::F16,
        backend: "cpu".into(),
        bound: Bound::parse("1"),
        text: "1".into(),
    };
    assert_eq!(one.name(), "cpu::exp::f16");
}
