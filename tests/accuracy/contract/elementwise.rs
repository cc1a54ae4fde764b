//! Trials of the elementwise functions, `select` and `astype`.

use super::bound::{Bound, Real, judge, share};
use super::data::{self, Data};
use super::entry::Entry;
use super::golden;
use super::layouts::{Case, LAYOUTS, cases};
use super::page::{self, Figure};
use super::report::{Passed, Report};
use super::rules;
use crate::kit::{self, number};
use cupric::testing::Row;
use cupric::{DType, Device, ErrorKind, Expr, Result};

/// What one element of a result must be.
pub enum Want {
    Bits(u64),
    Near(Real),
}

/// One function with the dtypes of its operands and result, and its reference.
pub struct Trial<'a> {
    pub entry: &'a Entry,
    row: Option<Row>,
    bound: Bound,
    /// `dtypes` are the operands' dtypes as stored; `operand` is the dtype in which the function computes.
    pub dtypes: Vec<DType>,
    operand: DType,
    result: DType,
}

impl<'a> Trial<'a> {
    /// Makes the trial of an entry for one dtype of the result.
    pub fn new(entry: &'a Entry, row: Option<Row>, result: DType) -> Trial<'a> {
        let dtype = entry.dtype;
        let (dtypes, operand) = match row {
            Some(r) if r.name() == "select" => (vec![DType::Bool, dtype, dtype], dtype),
            Some(r) => (vec![dtype; r.arity()], r.operand(dtype)),
            None => (vec![dtype], dtype),
        };
        Trial { entry, row, bound: entry.bound.clone(), dtypes, operand, result }
    }

    /// The prefix of the names of this function's trials.
    pub fn name(&self) -> String {
        match self.row {
            Some(_) => self.entry.name(),
            None => format!("{}::to_{}", self.entry.name(), self.result),
        }
    }

    /// The seed of the random operands. It is the same for both backends.
    pub fn seed(&self) -> u64 {
        seed(&format!("{}{}", self.entry.topic(), self.result))
    }

    /// An operand as the function sees it: float functions convert integers to f32.
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
        let Some(row) = self.row else { return Want::Bits(rules::convert(self.entry.dtype, self.result, bits[0])) };
        if row.name() == "select" {
            return Want::Bits(if bits[0] & 0xff != 0 { bits[1] } else { bits[2] });
        }
        if row.name() == "positive" {
            return Want::Bits(bits[0]);
        }
        if row.name() == "nextafter" {
            return Want::Bits(rules::nextafter(self.entry.dtype, bits[0], bits[1]));
        }
        // logical functions ask whether a float is not zero
        if self.operand.is_float() || self.entry.dtype.is_float() {
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

    /// Returns how far an element is off, in ULP, and whether it is right.
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
        // a zero must have the sign that IEEE 754 gives it
        let got = number::real(self.result, actual);
        let free = rules::any_zero(&self.entry.function, gpu);
        if real.value == 0.0 && got == 0.0 && !free && real.value.is_sign_negative() != got.is_sign_negative() {
            right = false;
        }
        (ulps, right)
    }

    /// Whether the result is right on a GPU that takes a subnormal operand as ±0 or as ± the smallest normal number.
    fn flushed(&self, bits: [u64; 3], actual: u64) -> bool {
        let d = self.entry.dtype;
        let applies = self.entry.gpu() && d.is_float() && self.result.is_float() && d != DType::F16;
        let Some(row) = self.row.filter(|r| applies && !rules::SELECTIONS.contains(&r.name())) else { return false };
        rules::flushed(d, bits).into_iter().any(|b| {
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
            && let Some(golden) = golden::points(row.name())
        {
            // for 0, NaN and infinities the reference in the function table is good enough
            let special = |b: &u64| {
                let x = f64::from_bits(*b);
                x == 0.0 || x.is_nan() || x.is_infinite()
            };
            let given = data::operands(&self.dtypes, domain, seed);
            let mut columns = golden.columns.clone();
            if exact_bound {
                // f64 computes these functions exactly and rounds once, so all other operands have a reference too
                columns.iter_mut().zip(&given.columns).for_each(|(c, g)| c.extend(g));
                return Data { columns, axes: given.axes };
            }
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
        Ok((kit::read(&result)?, result.shape().to_vec(), compiled))
    }

    /// Returns an element's figures if it is right; otherwise its error in ULP and a message.
    pub fn element(&self, bits: [u64; 3], got: u64, shape: &[usize], k: usize) -> Result<Figure, (f64, String)> {
        let want = self.want(bits);
        let (ulps, right) = self.judge(&want, bits, got);
        if !right && !self.flushed(bits, got) {
            return Err((ulps, self.describe(shape, k, bits, &want, got, ulps)));
        }
        match if right { self.share(&want, bits, got, ulps) } else { 0.0 } {
            0.0 => Ok(Figure::default()),
            share => Ok(Figure { share, ulps: Some(ulps), ..Figure::default() }),
        }
    }

    fn check(&self, layout: &str, data: &Data, device: &Device, compiles: &mut Compiles) -> Result<Passed, String> {
        match cases(layout, &self.dtypes, data, device) {
            Ok(c) => self.check_cases(&c, device, compiles),
            Err(e) if self.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
            Err(e) => Err(format!("the operands: {e}")),
        }
    }

    /// Evaluates the cases and judges every element.
    pub fn check_cases(&self, cases: &[Case], device: &Device, compiles: &mut Compiles) -> Result<Passed, String> {
        let mut passed = Passed::default();
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
                    Ok(figure) if figure.share > passed.worst.share => {
                        passed.worst = Figure { at: self.operands(bits), ..figure };
                    }
                    Ok(_) => {}
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

    /// Whether an error is expected: an adapter without 64-bit types returns one.
    pub fn refusable(&self, e: &cupric::Error) -> bool {
        let wide = |d: &DType| matches!(d, DType::I64 | DType::U64 | DType::F64);
        let has = self.dtypes.iter().any(wide) || wide(&self.result);
        self.entry.gpu() && has && e.kind() == ErrorKind::Unsupported
    }

    fn operands(&self, bits: [u64; 3]) -> String {
        let each: Vec<String> = self.dtypes.iter().zip(bits).map(|(d, b)| number::show(*d, b)).collect();
        each.join(", ")
    }

    /// Returns which share of the bound the error of a right result takes.
    fn share(&self, want: &Want, bits: [u64; 3], got: u64, ulps: f64) -> f64 {
        let Want::Near(real) = want else { return 0.0 };
        let x = bits.map(|b| self.seen(b));
        let unit = number::ulp(self.result, real.value);
        let error = ((number::real(self.result, got) - real.value) - real.rest).abs();
        let floor = if self.entry.gpu() { 2f64.powi(-126) } else { 0.0 };
        let share = share(&self.bound, [error, ulps], real.value, &x[..self.dtypes.len()], self.result, unit, floor);
        if share.is_finite() { share } else { 0.0 }
    }

    fn describe(&self, shape: &[usize], k: usize, bits: [u64; 3], want: &Want, got: u64, ulps: f64) -> String {
        let expected = match want {
            Want::Bits(b) => number::show(self.result, *b),
            Want::Near(r) => {
                format!("{} ({:e} exactly)", number::show(self.result, number::round(self.result, r.value)), r.value)
            }
        };
        let (inputs, got) = (self.operands(bits), number::show(self.result, got));
        format!(
            "f({inputs}) at {k} of {shape:?}: expected {expected}, got {got}: {ulps:.3} ULP, bound {:?}",
            self.bound
        )
    }
}

/// Counts the pipelines that are compiled after the first evaluation of a function and dtype.
#[derive(Default)]
pub struct Compiles {
    seen: bool,
    later: u64,
}

/// Computes a seed from a string.
fn seed(text: &str) -> u64 {
    text.bytes().fold(7, |h: u64, b| h.wrapping_mul(31).wrapping_add(b as u64))
}

/// Runs the trials of one line of the contract.
pub fn run(report: &mut Report, entry: &Entry, row: Option<Row>, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    let dtype = entry.dtype;
    let half = matches!(dtype, DType::F16 | DType::BF16);
    // other tests measure these entries over far more operands and write their lines of the accuracy page
    if row.is_some_and(|r| half && r.arity() == 1) || page::swept(entry) {
        report.others.insert(name.clone());
    }
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
                0 => Ok(Passed::default()),
                n => Err(format!("{n} pipelines were compiled after the first: a layout became shader text")),
            });
        }
    }
}
