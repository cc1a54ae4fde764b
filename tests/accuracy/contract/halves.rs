//! Tests each function of one operand at every f16 and every bf16 value.

use super::bound::{Bound, judge};
use super::entry::{self, Entry};
use super::page::Figure;
use super::report::{Passed, Report};
use super::rules::{self, SELECTIONS};
use super::underflow::Underflow;
use crate::kit::stage::Stage;
use crate::kit::{self, number};
use cupric::testing::{self, Row};
use cupric::{DType, Device};

/// How many results may differ from the correctly rounded ones if the bound is not `0`.
const CPU: usize = 24;
const GPU: usize = 112;

fn check(entry: &Entry, row: Row, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let result = row.result(d);
    let Some(exact) = row.exact() else { return Err("no exact function of floats".into()) };
    let all: Vec<u64> = (0..1 << 16).collect();
    let x = kit::array(d, &all, &[1 << 16], device).map_err(|e| e.to_string())?;
    let actual = kit::read(&row.apply(&[x.into()])).map_err(|e| e.to_string())?;
    let floor = if entry.gpu() { 2f64.powi(-126) } else { 0.0 };
    // values that a GPU may use for a subnormal bf16; f16 has none because it is widened to f32
    let stand_ins = |bits: u64| match d == DType::BF16 && entry.gpu() && !SELECTIONS.contains(&row.name()) {
        true => rules::flushed(d, [bits, 0, 0]),
        false => vec![],
    };
    // if a device flushes a subnormal operand or result, we do not count the right result as different
    let underflow = Underflow::of(device);
    let flushed = |x: f64| result == DType::BF16 && underflow.operand(x) > 0.0;
    let (mut differ, mut wrong, mut worst, mut first) = (0, 0, 0f64, None);
    let mut figure = Figure::default();
    for (bits, got) in all.iter().zip(&actual) {
        let judged = |bits: u64| -> (f64, bool, bool) {
            let x = number::real(d, bits);
            let want = exact(x, 0.0, 0.0);
            if row.keeps_nan() || !result.is_float() {
                let same = *got == if row.keeps_nan() { bits } else { want as u64 };
                return (if same { 0.0 } else { f64::INFINITY }, same, same);
            }
            let (steps, near) = judge(&entry.bound, floor, result, want.into(), &[x], *got);
            let y = number::real(result, *got);
            let free = want != 0.0 || y != 0.0 || rules::any_zero(row.name(), entry.gpu());
            let right = near && (free || want.is_sign_negative() == y.is_sign_negative());
            let same = number::round(result, want) == *got || want.is_nan() && near;
            (steps, right, same || right && (flushed(x) || flushed(want)))
        };
        let (steps, right, same) = judged(*bits);
        if !right && stand_ins(*bits).into_iter().any(|b| judged(b[0]).1) {
            continue;
        }
        differ += !same as usize;
        if right && !same && steps > figure.ulps.unwrap_or(0.0) {
            let share = steps / if steps > 1.0 { steps } else { 1.0 };
            figure = Figure { share, ulps: Some(steps), at: number::show(d, *bits), of: String::new() };
        }
        if !right {
            wrong += 1;
            if first.is_none() || steps > worst {
                let want = exact(number::real(d, *bits), 0.0, 0.0);
                let want = if result.is_float() { number::round(result, want) } else { want as u64 };
                let [x, want, got] = [(d, *bits), (result, want), (result, *got)].map(|(d, b)| number::show(d, b));
                first = Some(format!("f({x}): expected {want}, got {got}"));
            }
        }
        worst = if steps.is_finite() { worst.max(steps) } else { worst };
    }
    let limit = match (&entry.bound, entry.gpu()) {
        (Bound::Exact, _) => 0,
        (_, false) => CPU,
        (_, true) => GPU,
    };
    if let Some(text) = first {
        return Err(format!("{wrong} of 65536 beyond the bound; the worst: {text}: {worst} steps"));
    }
    if differ > limit {
        return Err(format!("{differ} of 65536 differ from the correctly rounded result, more than {limit}"));
    }
    figure.of = match differ {
        0 => "all 65,536".into(),
        n => format!("all 65,536: {n} not correctly rounded, {limit} allowed"),
    };
    Ok(Passed { elements: actual.len(), worst: figure, unsupported: false })
}

/// Runs one trial for each function of one operand.
pub fn run(report: &mut Report, device: &Device, dtype: DType) {
    let backend = report.backend;
    let mut stage = Stage::new(2, "f16, bf16 unary, exhaustive", device);
    for entry in entry::all().iter().filter(|e| e.backend == backend && e.dtype == dtype) {
        if let Some(row) = testing::row(&entry.function).filter(|r| r.arity() == 1) {
            report.trial(&format!("{}::exhaustive", entry.name()), || check(entry, row, device));
            stage.count(1);
        }
    }
}
