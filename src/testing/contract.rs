//! Reads the accuracy contract `tests/data/contract.csv`, the only list of error bounds. `docs/CONTRACT.md` documents
//! its format.
//!
//! A line of the file applies to several functions and dtypes. It is expanded to one [`Promise`] for each function,
//! dtype and backend.

use super::number::spacing;
use crate::base::dtype::DType;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The maximum distance of a result from the exact result.
#[derive(Clone, PartialEq, Debug)]
pub enum Bound {
    /// The result must be the correctly rounded one.
    Exact,
    /// The error is at most the sum of a number of ULP (the first field) and an absolute distance (the second field).
    Ulp(f64, f64),
    /// The error is at most the larger of two limits: a number of ULP (the first field), and the second field times
    /// max(|x|, 1), where x is the first operand.
    Max(f64, f64),
    /// The error is at most this many ULP of one number: of the exact result or an operand, whichever has the largest
    /// magnitude.
    Large(f64),
    /// The error is at most a number of ULP (the first field). For an operand x with −11 < x < −2, it may also be as
    /// large as an absolute distance (the second field), and for −18 < x ≤ −11 as large as another (the third field).
    Lgamma(f64, f64, f64),
    /// The tests compute the bound from the data, by the rule of this name. It is used for example for reductions.
    Named(String),
}

impl Bound {
    /// Parses a bound as the contract spells it.
    ///
    /// # Panics
    /// Panics if the text has none of the forms in CONTRACT.md.
    pub fn parse(text: &str) -> Bound {
        let number = |s: &str| {
            let power = s.strip_prefix("2^").and_then(|n| n.parse().ok()).map(|n| 2f64.powi(n));
            power.or_else(|| s.parse().ok()).unwrap_or_else(|| panic!("bound '{text}': '{s}' is no number"))
        };
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["0"] => Bound::Exact,
            ["max", u, a] => Bound::Max(number(u), number(a)),
            ["large", u] => Bound::Large(number(u)),
            ["lgamma", u, a] => Bound::Lgamma(number(u), number(a), 0.0),
            ["lgamma", u, a, b] => Bound::Lgamma(number(u), number(a), number(b)),
            [one] if one.starts_with(|c: char| c.is_ascii_digit()) => match one.split_once('+') {
                Some((u, a)) => Bound::Ulp(number(u), number(a)),
                None => Bound::Ulp(number(one), 0.0),
            },
            [one] => Bound::Named(one.to_string()),
            _ => panic!("bound '{text}' is none that CONTRACT.md knows"),
        }
    }

    /// Returns the bound as two numbers, in ULP and as an absolute distance, for a result of this dtype near `exact`.
    /// The kind of bound determines whether the maximum error is the sum of the two numbers or the larger one.
    pub fn limits(&self, exact: f64, operands: &[f64], dtype: DType) -> (f64, f64) {
        let x = operands.first().copied().unwrap_or(0.0);
        match self {
            Bound::Exact | Bound::Named(_) => (0.0, 0.0),
            Bound::Ulp(u, a) => (*u, *a),
            Bound::Max(u, a) => (*u, a * x.abs().max(1.0)),
            Bound::Large(u) => {
                let largest = operands.iter().fold(exact.abs(), |m, x| m.max(x.abs()));
                (*u, u * spacing(dtype, largest.min(f64::MAX)))
            }
            Bound::Lgamma(u, a, _) if -11.0 < x && x < -2.0 => (*u, *a),
            Bound::Lgamma(u, _, b) => (*u, if -18.0 < x && x <= -11.0 { *b } else { 0.0 }),
        }
    }
}

/// The bound of one function for one dtype on one backend.
#[derive(Clone, Debug)]
pub struct Promise {
    /// The function's name.
    pub function: &'static str,
    /// The dtype of the function's input. For a generator, the dtype of its result.
    pub dtype: DType,
    /// Whether the bound is for a GPU or for the CPU.
    pub gpu: bool,
    /// The bound.
    pub bound: Bound,
    /// The bound as the file spells it.
    pub text: &'static str,
}

const FILE: &str = include_str!("../../tests/data/contract.csv");

/// The start of the line that separates the bounds of existing functions from the bounds of planned functions.
const PLANNED: &str = "# planned";

fn is_there(line: &&str) -> bool {
    !line.starts_with(PLANNED)
}

static PROMISES: LazyLock<Vec<Promise>> =
    LazyLock::new(|| FILE.lines().skip(1).take_while(is_there).flat_map(promises).collect());

/// Expands one line of the file: `functions,dtypes,cpu,gpu`. The last field is empty if GPUs do not support the
/// functions for these dtypes.
fn promises(line: &'static str) -> Vec<Promise> {
    let fields: Vec<&'static str> = line.split(',').collect();
    let [functions, dtypes, cpu, gpu] = fields[..] else { panic!("contract.csv: {line}") };
    let dtypes: Vec<DType> = dtypes.split(' ').flat_map(|name| class(name, line)).collect();
    let mut made = vec![];
    for function in functions.split(' ') {
        for dtype in &dtypes {
            for (gpu, text) in [(false, cpu), (true, gpu)].into_iter().filter(|(_, text)| !text.is_empty()) {
                made.push(Promise { function, dtype: *dtype, gpu, bound: Bound::parse(text), text });
            }
        }
    }
    made
}

/// Returns the dtype with this name, or all integer types for `ints`.
fn class(name: &str, line: &str) -> Vec<DType> {
    let named: Vec<DType> = match name {
        "ints" => DType::ALL.into_iter().filter(|d| d.is_integer()).collect(),
        _ => DType::ALL.into_iter().filter(|d| d.name() == name).collect(),
    };
    assert!(!named.is_empty(), "contract.csv: {line}: unknown dtype {name}");
    named
}

/// Returns every promise of the contract, in the order of its file.
pub fn contract() -> &'static [Promise] {
    &PROMISES
}

/// Returns the promises of planned functions, whose bounds are set before they are implemented.
pub fn planned_contract() -> Vec<Promise> {
    FILE.lines().skip_while(is_there).skip(1).flat_map(promises).collect()
}

/// Returns the bound of a function for a dtype on a backend, if the contract has one.
pub fn promised(function: &str, dtype: DType, gpu: bool) -> Option<&'static Bound> {
    type Index = HashMap<(&'static str, DType, bool), &'static Bound>;
    static INDEX: LazyLock<Index> =
        LazyLock::new(|| PROMISES.iter().map(|p| ((p.function, p.dtype, p.gpu), &p.bound)).collect());
    INDEX.get(&(function, dtype, gpu)).copied()
}
