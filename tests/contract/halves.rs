//! Every f16 and every bf16 through every function of one operand.

use super::bound::{Bound, judge};
use super::entry::{self, Entry};
use super::report::{Passed, Report};
use crate::common::{self, number};
use cupric::testing::{self, Row};
use cupric::{DType, Device};

/// Results that may differ from the correctly rounded ones, where the bound is not `0`.
const CPU: usize = 24;
const GPU: usize = 112;

fn check(entry: &Entry, row: Row, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let result = row.result(d);
    let Some(exact) = row.exact() else { return Err("no exact function of floats".into()) };
    let all: Vec<u64> = (0..1 << 16).collect();
    let x = common::array(d, &all, &[1 << 16], device).map_err(|e| e.to_string())?;
    let actual = common::read(&row.apply(&[x.into()])).map_err(|e| e.to_string())?;
    let floor = if entry.gpu() { 2f64.powi(-126) } else { 0.0 };
    let (mut differ, mut wrong, mut worst, mut first) = (0, 0, 0f64, None);
    for (bits, got) in all.iter().zip(&actual) {
        let x = number::real(d, *bits);
        let want = exact(x, 0.0, 0.0);
        let (steps, right, same) = if result.is_float() {
            let (steps, right) = judge(&entry.bound, floor, result, want.into(), &[x], *got);
            let same = number::round(result, want) == *got || want.is_nan() && right;
            (steps, right || row.keeps_nan() && bits == got, same)
        } else {
            (0.0, want as u64 == *got, want as u64 == *got)
        };
        // a subnormal operand that a GPU flushed is another matter: the layouts' trials judge it
        let tiny = d == DType::BF16 && entry.gpu() && x != 0.0 && x.abs() < number::smallest_normal(d);
        differ += (!same && !tiny) as usize;
        if !right && !tiny {
            wrong += 1;
            if first.is_none() || steps > worst {
                let (x, got) = (number::show(d, *bits), number::show(result, *got));
                let want =
                    number::show(result, if result.is_float() { number::round(result, want) } else { want as u64 });
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
    Ok(Passed { elements: actual.len(), worst: differ as f64, unsupported: false })
}

/// One trial for each function of one operand.
pub fn run(report: &mut Report, device: &Device, dtype: DType) {
    let backend = report.backend;
    for entry in entry::all().iter().filter(|e| e.backend == backend && e.dtype == dtype) {
        if let Some(row) = testing::row(&entry.function).filter(|r| r.arity() == 1) {
            report.trial(&format!("{}::exhaustive", entry.name()), || check(entry, row, device));
        }
    }
}
