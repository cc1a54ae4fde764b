//! Checks whether two reports of the same rows agree, because a figure that a second run does not reproduce means
//! nothing.

use crate::report::figure;
use crate::work::shape_text;
use serde_json::{Value, json};

/// Two shares of the limit are near if their ratio is at most `NEAR`. The part `MOST` of the rows must have near
/// shares.
const NEAR: f64 = 1.1;
const MOST: f64 = 0.9;

/// A row that both reports have, with its shares of the limit in the two reports.
struct Pair {
    label: String,
    shares: [f64; 2],
    disturbed: bool,
}

impl Pair {
    fn apart(&self) -> f64 {
        let [a, b] = self.shares;
        (a / b).max(b / a)
    }
}

/// Lists the rows whose shares of the limit differ by more than a tenth, and returns whether nine rows in ten agree.
pub fn agree(a: &Value, b: &Value) -> (Vec<String>, bool) {
    let mut pairs = pairs(a, b);
    pairs.sort_by(|x, y| y.apart().total_cmp(&x.apart()));
    let line = |p: &Pair| {
        let note = if p.disturbed { ", disturbed" } else { "" };
        let [a, b] = p.shares;
        format!("  {}: {a:.3} and {b:.3}, {}×{note}", p.label, figure(p.apart()))
    };
    let far = |p: &&Pair| p.apart() > NEAR;
    let mut lines: Vec<String> = pairs.iter().filter(far).map(line).collect();
    let near = pairs.len() - lines.len();
    let part = near as f64 / pairs.len().max(1) as f64;
    let holds = part >= MOST && !pairs.is_empty();
    for (i, report) in [a, b].into_iter().enumerate() {
        let quiet = match report["quiet"]["quiet"].as_bool() {
            Some(true) => "the machine was quiet",
            Some(false) => "the machine was not quiet",
            None => "it is not known whether the machine was quiet",
        };
        let typical = report["quiet"]["typical"].as_f64();
        let state = typical.map_or(String::new(), |s| format!(", and itself did typically {} of its best", figure(s)));
        lines.insert(i, format!("report {}: {quiet}{state}", i + 1));
    }
    let verdict = if holds { "the reports agree" } else { "the reports do not agree" };
    lines.push(format!(
        "{verdict}: in {near} of {} rows ({:.0} %) the shares of the limit are within {:.0} %",
        pairs.len(),
        100.0 * part,
        100.0 * (NEAR - 1.0)
    ));
    (lines, holds)
}

/// Returns the rows that have a share of the limit in both reports.
fn pairs(a: &Value, b: &Value) -> Vec<Pair> {
    let empty = vec![];
    let rows = |report: &'_ Value| report["rows"].as_array().unwrap_or(&empty).clone();
    let other = rows(b);
    let same = |x: &Value, y: &Value| ["work", "dtype", "shape", "device"].iter().all(|key| x[key] == y[key]);
    let mut pairs = vec![];
    for x in rows(a) {
        let Some(y) = other.iter().find(|y| same(&x, y)) else { continue };
        let (Some(first), Some(second)) = (x["fraction"].as_f64(), y["fraction"].as_f64()) else { continue };
        let shape: Vec<usize> =
            x["shape"].as_array().into_iter().flatten().filter_map(|n| Some(n.as_u64()? as usize)).collect();
        let text = |key: &str| x[key].as_str().unwrap_or("").to_string();
        pairs.push(Pair {
            label: format!("{} {} {} on {}", text("text"), text("dtype"), shape_text(&shape), text("device")),
            shares: [first, second],
            disturbed: [&x, y].iter().any(|r| r["disturbed"] == Value::Bool(true)),
        });
    }
    pairs
}

/// Tests that two reports agree if one row in ten differs, and disagree if more do; part of `cargo test --benches`.
pub fn check() -> Result<(), String> {
    let report = |shares: &[f64]| {
        let row = |(i, f): (usize, &f64)| json!({"work": "add", "text": "a + b", "dtype": "f32", "shape": [i], "device": "cpu", "fraction": f});
        json!({"rows": shares.iter().enumerate().map(row).collect::<Vec<_>>(), "quiet": {"quiet": true}})
    };
    let shares = [0.5; 10];
    let mut other = shares;
    other[3] = 0.8;
    let one = agree(&report(&shares), &report(&other));
    other[4] = 0.4;
    let two = agree(&report(&shares), &report(&other));
    let none = agree(&report(&[]), &report(&[]));
    let listed = two.0.iter().any(|l| l.contains("a + b f32 3 on cpu: 0.500 and 0.800, 1.60×"));
    let holds = one.1 && !two.1 && !none.1 && listed;
    if holds { Ok(()) } else { Err(format!("reports are compared wrongly: {one:?} {two:?} {none:?}")) }
}
