//! Trials of the elementwise functions, `select` and `astype`.

use super::bound::{Bound, Real, judge};
use super::data::{self, Data};
use super::entry::Entry;
use super::golden;
use super::layouts::{Case, LAYOUTS, cases};
use super::report::{Passed, Report};
use crate::common::{self, number};
use cupric::testing::Row;
use cupric::{DType, Device, ErrorKind, Expr, Result};

/// What a result must be.
pub enum Want {
    Bits(u64),
    Near(Real),
}

/// A function with its types and its reference.
pub struct Trial<'a> {
    pub entry: &'a Entry,
    row: Option<Row>,
    bound: Bound,
    /// Of the operands as stored, and as the function sees them.
    pub dtypes: Vec<DType>,
    operand: DType,
    result: DType,
}

/// Selections: a GPU gives their bits, whatever it does to subnormals elsewhere.
const SELECTIONS: [&str; 12] = [
    "positive",
    "negative",
    "abs",
    "copysign",
    "minimum",
    "maximum",
    "fmin",
    "fmax",
    "clip",
    "relu",
    "nextafter",
    "select",
];

impl<'a> Trial<'a> {
    /// For one type of result.
    pub fn new(entry: &'a Entry, row: Option<Row>, result: DType) -> Trial<'a> {
        let dtype = entry.dtype;
        // the table may promise more than the contract asks, and is held to it
        let promised =
            row.filter(|_| !entry.gpu() || dtype == DType::F32).map(|r| Bound::parse(&r.bound(dtype, entry.gpu())));
        let bound = promised.filter(|b| b.within(&entry.bound)).unwrap_or(entry.bound.clone());
        let (dtypes, operand) = match row {
            Some(r) if r.name() == "select" => (vec![DType::Bool, dtype, dtype], dtype),
            Some(r) => (vec![dtype; r.arity()], r.operand(dtype)),
            None => (vec![dtype], dtype),
        };
        Trial { entry, row, bound, dtypes, operand, result }
    }

    /// The first part of the names of its trials.
    pub fn name(&self) -> String {
        match self.row {
            Some(_) => self.entry.name(),
            None => format!("{}::to_{}", self.entry.name(), self.result),
        }
    }

    /// The same on both backends.
    pub fn seed(&self) -> u64 {
        seed(&format!("{}{}", self.entry.topic(), self.result))
    }

    /// An operand as the function sees it: integers of float functions are f32.
    fn seen(&self, bits: u64) -> f64 {
        let dtype = self.entry.dtype;
        if self.operand == DType::F32 && !dtype.is_float() {
            return number::real(DType::F32, number::round_integer(DType::F32, number::integer(dtype, bits)));
        }
        number::real(dtype, bits)
    }

    fn exact(&self, row: Row, x: [f64; 3]) -> Want {
        match row.exact() {
            Some(f) => Want::Near(f(x[0], x[1], x[2]).into()),
            None => panic!("{} has no exact function of floats", row.name()),
        }
    }

    pub fn want(&self, bits: [u64; 3]) -> Want {
        let Some(row) = self.row else { return Want::Bits(convert(self.entry.dtype, self.result, bits[0])) };
        if row.name() == "select" {
            return Want::Bits(if bits[0] & 0xff != 0 { bits[1] } else { bits[2] });
        }
        if row.name() == "positive" {
            return Want::Bits(bits[0]);
        }
        if row.name() == "nextafter" {
            return nextafter(self.entry.dtype, bits);
        }
        if self.operand.is_float() {
            if self.entry.dtype == DType::F64
                && let Some(exact) = golden::points(row.name()).and_then(|g| g.results.get(&bits))
            {
                return Want::Near(*exact);
            }
            let x = bits.map(|b| self.seen(b));
            return match self.exact(row, x) {
                Want::Near(r) if !self.result.is_float() => Want::Bits(number::wrap(self.result, r.value as i128)),
                want => want,
            };
        }
        let x = bits.map(|b| number::integer(self.entry.dtype, b));
        match row.exact_int() {
            Some(f) => Want::Bits(number::wrap(self.result, f(x[0], x[1], x[2], number::width(self.entry.dtype)))),
            None => panic!("{} has no exact function of integers", row.name()),
        }
    }

    /// Whether an element is right, and how far it is off, in ULP.
    fn judge(&self, want: &Want, bits: [u64; 3], actual: u64) -> (f64, bool) {
        let real = match want {
            Want::Bits(w) => {
                let nan = number::is_nan(self.result, *w) && number::is_nan(self.result, actual);
                let any_nan = self.row.is_none_or(|r| !r.keeps_nan()) && self.entry.dtype != self.result;
                let right = *w == actual || nan && (any_nan || self.row.is_some_and(|r| r.name() == "nextafter"));
                return (if right { 0.0 } else { f64::INFINITY }, right);
            }
            Want::Near(r) => *r,
        };
        let gpu = self.entry.gpu();
        let floor = if gpu { 2f64.powi(-126) } else { 0.0 };
        let x = bits.map(|b| self.seen(b));
        let x = &x[..self.dtypes.len()];
        let (ulps, mut right) = judge(&self.bound, floor, self.result, real, x, actual);
        // a zero has the sign that IEEE 754 gives it
        let got = number::real(self.result, actual);
        let free = match self.entry.function.as_str() {
            "lerp" | "logaddexp" => true,
            // at −∞, which no standard speaks of
            "silu" | "gelu" | "gelu_tanh" => gpu,
            _ => false,
        };
        if real.value == 0.0 && got == 0.0 && !free && real.value.is_sign_negative() != got.is_sign_negative() {
            right = false;
        }
        (ulps, right)
    }

    /// On a GPU a subnormal operand may count as ±0 or ± the smallest normal.
    fn flushed(&self, bits: [u64; 3], actual: u64) -> bool {
        let d = self.entry.dtype;
        let applies = self.entry.gpu() && d.is_float() && self.result.is_float() && d != DType::F16;
        let Some(row) = self.row.filter(|r| applies && !SELECTIONS.contains(&r.name())) else { return false };
        let tiny = number::round(d, number::smallest_normal(d));
        let negative = |b: u64| number::at_place(d, -number::place(d, b).abs());
        let stands_for = |b: u64| -> Vec<u64> {
            let place = number::place(d, b).unsigned_abs();
            if place > 0 && place < tiny {
                return vec![b, 0, 1 << (8 * d.size() - 1), tiny, negative(tiny)];
            }
            vec![b]
        };
        let options = bits.map(stands_for);
        if options.iter().all(|o| o.len() == 1) {
            return false;
        }
        let all = options[0].iter().flat_map(|a| options[1].iter().map(move |b| (*a, *b)));
        let mut all = all.flat_map(|(a, b)| options[2].iter().map(move |c| [a, b, *c]));
        all.any(|b| {
            let x = b.map(|b| self.seen(b));
            match self.exact(row, x) {
                Want::Near(r) => {
                    let n = self.dtypes.len();
                    judge(&self.bound, 2f64.powi(-126), self.result, r, &x[..n], actual).1
                }
                Want::Bits(_) => false,
            }
        })
    }

    pub fn apply(&self, operands: &[Expr]) -> Expr {
        match self.row {
            Some(row) => row.apply(operands),
            None => operands[0].astype(self.result),
        }
    }

    pub fn data(&self, seed: u64) -> Data {
        let exact_bound = self.bound == Bound::Exact;
        let domain = self.row.map_or([-1e3, 1e3], |r| r.domain());
        if self.operand == DType::F64
            && let Some(row) = self.row
            && !exact_bound
            && let Some(golden) = golden::points(row.name())
        {
            // special operands have special results, for which the table's own reference is good enough
            let special = |b: &u64| {
                let x = f64::from_bits(*b);
                x == 0.0 || x.is_nan() || x.is_infinite()
            };
            let given = data::operands(&self.dtypes, domain, seed);
            let mut columns = golden.columns.clone();
            for k in 0..given.columns[0].len() {
                let at: Vec<u64> = given.columns.iter().map(|c| c[k]).collect();
                if at.iter().all(|b| special(b) || at.len() > 1 && f64::from_bits(*b).abs() == 1.0)
                    && at.iter().any(special)
                {
                    columns.iter_mut().zip(at).for_each(|(c, b)| c.push(b));
                }
            }
            return Data { columns, axes: None };
        }
        let mut data = data::operands(&self.dtypes, domain, seed);
        if self.row.is_none() {
            data.columns[0].extend(data::conversions(self.entry.dtype));
        }
        data
    }

    fn run(&self, case: &Case, device: &Device, first: bool) -> Result<(Vec<u64>, Vec<usize>, u64)> {
        let before = device.stats().compiles;
        let result = self.apply(&case.operands).eval()?;
        let compiled = if first { 0 } else { device.stats().compiles - before };
        Ok((common::read(&result)?, result.shape().to_vec(), compiled))
    }

    /// What is wrong with an element, and its error in ULP; or the error of a right one.
    pub fn element(&self, bits: [u64; 3], got: u64, shape: &[usize], k: usize) -> Result<f64, (f64, String)> {
        let want = self.want(bits);
        let (ulps, right) = self.judge(&want, bits, got);
        match right || self.flushed(bits, got) {
            true => Ok(if ulps.is_finite() { ulps } else { 0.0 }),
            false => Err((ulps, self.describe(shape, k, bits, &want, got, ulps))),
        }
    }

    fn check(&self, layout: &str, data: &Data, device: &Device, compiles: &mut Compiles) -> Result<Passed, String> {
        match cases(layout, &self.dtypes, data, device) {
            Ok(c) => self.check_cases(&c, device, compiles),
            Err(e) if self.refusable(&e) => Ok(Passed { elements: 0, worst: 0.0, unsupported: true }),
            Err(e) => Err(format!("the operands: {e}")),
        }
    }

    /// Runs cases and judges every element.
    pub fn check_cases(&self, cases: &[Case], device: &Device, compiles: &mut Compiles) -> Result<Passed, String> {
        let mut passed = Passed { elements: 0, worst: 0.0, unsupported: false };
        let mut wrong = 0;
        let mut worst: Option<(f64, String)> = None;
        for case in cases {
            let (actual, shape, compiled) = match self.run(case, device, !compiles.seen) {
                Ok(r) => r,
                Err(e) if self.refusable(&e) => return Ok(Passed { unsupported: true, ..passed }),
                Err(e) => return Err(format!("{e}")),
            };
            if !actual.is_empty() {
                compiles.seen = true;
            }
            compiles.later += compiled;
            if shape != case.shape || actual.len() != case.values[0].len() {
                return Err(format!("shape {shape:?} with {} elements, not {:?}", actual.len(), case.shape));
            }
            passed.elements += actual.len();
            for (k, got) in actual.iter().enumerate() {
                let mut bits = [0; 3];
                bits.iter_mut().zip(&case.values).for_each(|(b, v)| *b = v[k]);
                match self.element(bits, *got, &case.shape, k) {
                    Ok(ulps) => passed.worst = passed.worst.max(ulps),
                    Err((ulps, text)) => {
                        wrong += 1;
                        if worst.as_ref().is_none_or(|w| ulps > w.0) {
                            worst = Some((ulps, text));
                        }
                    }
                }
            }
        }
        match worst {
            None => Ok(passed),
            Some((_, text)) => Err(format!("{wrong} of {} elements wrong; the worst: {text}", passed.elements)),
        }
    }

    /// An adapter may lack 64-bit types, and then says so.
    pub fn refusable(&self, e: &cupric::Error) -> bool {
        let wide = |d: &DType| matches!(d, DType::I64 | DType::U64 | DType::F64);
        let has = self.dtypes.iter().any(wide) || wide(&self.result);
        self.entry.gpu() && has && e.kind() == ErrorKind::Unsupported
    }

    fn describe(&self, shape: &[usize], k: usize, bits: [u64; 3], want: &Want, got: u64, ulps: f64) -> String {
        let inputs: Vec<String> = self.dtypes.iter().zip(bits).map(|(d, b)| number::show(*d, b)).collect();
        let expected = match want {
            Want::Bits(b) => number::show(self.result, *b),
            Want::Near(r) => {
                format!("{} ({:e} exactly)", number::show(self.result, number::round(self.result, r.value)), r.value)
            }
        };
        let (inputs, got) = (inputs.join(", "), number::show(self.result, got));
        format!(
            "f({inputs}) at {k} of {shape:?}: expected {expected}, got {got}: {ulps:.3} ULP, bound {:?}",
            self.bound
        )
    }
}

/// Pipelines made after the first evaluation of a function and dtype.
#[derive(Default)]
pub struct Compiles {
    seen: bool,
    later: u64,
}

/// The next number toward another, on the ladder of the type's numbers.
fn nextafter(dtype: DType, bits: [u64; 3]) -> Want {
    let (x, y) = (number::real(dtype, bits[0]), number::real(dtype, bits[1]));
    let sign = 1u64 << (8 * dtype.size() - 1);
    Want::Bits(match (number::place(dtype, bits[0]), number::place(dtype, bits[1])) {
        _ if x.is_nan() => bits[0],
        _ if y.is_nan() => bits[1],
        (a, b) if a == b => bits[1],
        (0, b) => 1 | if b < 0 { sign } else { 0 },
        // a step to zero keeps the sign
        (a, b) => number::at_place(dtype, if b > a { a + 1 } else { a - 1 }) | bits[0] & sign,
    })
}

/// `astype`: floats saturate to integers, NaN gives 0, anything but 0 is true; everything else is rounded once.
fn convert(from: DType, to: DType, bits: u64) -> u64 {
    if from == to {
        return bits;
    }
    if !from.is_float() {
        let x = number::integer(from, bits);
        return if to.is_float() { number::round_integer(to, x) } else { number::wrap(to, x) };
    }
    let x = number::real(from, bits);
    if to == DType::Bool {
        return (x != 0.0) as u64;
    }
    if to.is_float() {
        return number::round(to, x);
    }
    let (lo, hi) = number::range(to);
    number::wrap(to, (x as i128).clamp(lo, hi))
}

/// A seed from a text.
fn seed(text: &str) -> u64 {
    text.bytes().fold(7, |h: u64, b| h.wrapping_mul(31).wrapping_add(b as u64))
}

/// The trials of one line.
pub fn run(report: &mut Report, entry: &Entry, row: Option<Row>, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    let dtype = entry.dtype;
    let targets: Vec<DType> = match row {
        Some(r) => vec![r.result(dtype)],
        None => DType::ALL.to_vec(),
    };
    for result in targets {
        let trial = Trial::new(entry, row, result);
        let (name, data) = (trial.name(), trial.data(trial.seed()));
        let mut compiles = Compiles::default();
        for layout in LAYOUTS {
            report.trial(&format!("{name}::{layout}"), || trial.check(layout, &data, device, &mut compiles));
        }
        if device.is_gpu() {
            report.trial(&format!("{name}::pipelines"), || match compiles.later {
                0 => Ok(Passed { elements: 0, worst: 0.0, unsupported: false }),
                n => Err(format!("{n} pipelines were compiled after the first: a layout became shader text")),
            });
        }
    }
}
