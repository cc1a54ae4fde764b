//! Trials of reductions and of the functions of rows (softmax and its like).

use super::bound::{Bound, Real};
use super::data::Data;
use super::dd::Dd;
use super::entry::Entry;
use super::layouts::{Case, LAYOUTS, by_turns, cases};
use super::page::Figure;
use super::report::{Passed, Report};
use super::underflow::{self, Underflow};
use crate::kit::operations::{Operation, Params, Suite};
use crate::kit::{self, Dice, number};
use cupric::{AxesArg, DType, Device, ErrorKind, Expr, IntoAxes};

/// What layer_norm and rms_norm add, exact in every type.
const EPSILON: f64 = 1.0 / 131072.0;

/// The right result of one element.
enum Want {
    Bits(u64),
    /// The value, and how far a result may be from it.
    Near(Real, f64),
}

pub struct Trial<'a> {
    entry: &'a Entry,
    /// The function, or of one that ignores NaN the function that it is of the other elements.
    function: &'a str,
    ignores_nan: bool,
    result: DType,
    underflow: Underflow,
}

impl<'a> Trial<'a> {
    pub fn new(entry: &'a Entry, device: &Device) -> Trial<'a> {
        Trial {
            entry,
            function: without_nan(&entry.function),
            ignores_nan: entry.function.starts_with("nan"),
            result: entry.operation().map_or(entry.dtype, |o| (o.result)(entry.dtype)),
            underflow: Underflow::of(device),
        }
    }

    fn operation(&self) -> &'static Operation {
        self.entry.operation().unwrap_or_else(|| panic!("no operation {}", self.entry.function))
    }

    fn apply(&self, x: &Expr, axes: AxesArg) -> Expr {
        (self.operation().build)(std::slice::from_ref(x), &Params::along(axes).epsilon(EPSILON))
    }

    /// Whether the result has the shape of the operand.
    fn keeps_shape(&self) -> bool {
        self.operation().keeps_shape()
    }

    /// The sums or products of the integers up to each.
    fn whole_so_far(&self, bits: &[u64]) -> Vec<Want> {
        let is_sum = self.entry.function == "cumulative_sum";
        let next = |so_far: &mut i128, b: &u64| {
            let x = number::integer(self.entry.dtype, *b);
            *so_far = if is_sum { *so_far + x } else { so_far.wrapping_mul(x) };
            Some(Want::Bits(number::wrap(self.result, *so_far)))
        };
        bits.iter().scan(if is_sum { 0 } else { 1 }, next).collect()
    }

    /// The right results of the elements that are reduced together.
    fn want(&self, bits: &[u64]) -> Vec<Want> {
        let (d, f) = (self.entry.dtype, self.function);
        if self.ignores_nan && bits.iter().any(|b| number::is_nan(d, *b)) {
            return self.want_without_nan(bits);
        }
        match f {
            "sum" | "prod" if !d.is_float() => {
                let ints = bits.iter().map(|b| number::integer(d, *b));
                let x = if f == "sum" { ints.sum() } else { ints.fold(1i128, i128::wrapping_mul) };
                return vec![Want::Bits(number::wrap(self.result, x))];
            }
            "cumulative_sum" | "cumulative_prod" if !d.is_float() => return self.whole_so_far(bits),
            "any" | "all" | "count_nonzero" => {
                let truth = |b: &&u64| {
                    if d.is_float() { number::real(d, **b) != 0.0 } else { number::integer(d, **b) != 0 }
                };
                let n = bits.iter().filter(truth).count();
                return vec![Want::Bits(match f {
                    "any" => (n > 0) as u64,
                    "all" => (n == bits.len()) as u64,
                    _ => n as u64,
                })];
            }
            "ptp" => return vec![self.range(bits)],
            "min" | "max" | "argmin" | "argmax" | "cummin" | "cummax" => {
                let sign = if f.ends_with("max") { -1.0 } else { 1.0 };
                let less = |a: u64, b: u64| {
                    if !d.is_float() {
                        let (a, b) = (number::integer(d, a), number::integer(d, b));
                        return if sign < 0.0 { a > b } else { a < b };
                    }
                    let (a, b) = (sign * number::real(d, a), sign * number::real(d, b));
                    // the first NaN wins; the position of a zero does not depend on its sign
                    let tie = a == 0.0 && b == 0.0 && !f.starts_with("arg");
                    !b.is_nan() && (a.is_nan() || a < b || tie && a.is_sign_negative() && b.is_sign_positive())
                };
                let mut best = 0;
                let mut best_so_far = vec![];
                (0..bits.len()).for_each(|i| {
                    if less(bits[i], bits[best]) {
                        best = i
                    }
                    best_so_far.push(Want::Bits(bits[best]));
                });
                if f.starts_with("cum") {
                    return best_so_far;
                }
                return vec![Want::Bits(if f.starts_with("arg") { best as u64 } else { bits[best] })];
            }
            "mean" if !d.is_float() => {
                // the exact sum is rounded once, and so is the quotient
                let sum: i128 = bits.iter().map(|b| number::integer(d, *b)).sum();
                let mean = Dd::whole(sum) / (bits.len() as f64).into();
                if bits.is_empty() {
                    return vec![Want::Near(f64::NAN.into(), 0.0)];
                }
                let ulp = number::ulp(self.result, mean.hi);
                let allowed = if self.entry.gpu() { 3.5 } else { 1.5 } * ulp;
                return vec![Want::Near(Real { value: mean.hi, rest: mean.lo }, allowed)];
            }
            _ => {}
        }
        let seen = |b: &u64| match d.is_float() {
            true => number::real(d, *b),
            false => number::real(DType::F32, number::round_integer(DType::F32, number::integer(d, *b))),
        };
        let x: Vec<f64> = bits.iter().map(seen).collect();
        let (want, errors) = self.floats(&x);
        let g = self.entry.gpu();
        let near = |(w, error): (Real, f64)| {
            let ulp = number::ulp(self.result, w.value);
            let half = matches!(self.result, DType::F16 | DType::BF16);
            let allowed = if half { error + ulp } else { error.max(ulp) };
            Want::Near(w, allowed + if g { 2f64.powi(-126) } else { 0.0 })
        };
        want.into_iter().zip(errors).map(near).collect()
    }

    /// The right results of those elements that are not NaN.
    fn want_without_nan(&self, bits: &[u64]) -> Vec<Want> {
        let (d, f) = (self.entry.dtype, self.function);
        let places: Vec<usize> = (0..bits.len()).filter(|i| !number::is_nan(d, bits[*i])).collect();
        let left: Vec<u64> = places.iter().map(|i| bits[*i]).collect();
        match (f, left.is_empty()) {
            ("argmin" | "argmax", true) => vec![Want::Bits(-1i64 as u64)],
            ("min" | "max", true) => vec![Want::Near(f64::NAN.into(), 0.0)],
            ("argmin" | "argmax", false) => {
                let at = |w: Want| if let Want::Bits(b) = w { Want::Bits(places[b as usize] as u64) } else { w };
                self.want(&left).into_iter().map(at).collect()
            }
            _ => self.want(&left),
        }
    }

    /// The largest less the smallest.
    fn range(&self, bits: &[u64]) -> Want {
        let d = self.entry.dtype;
        if !d.is_float() {
            let ints = || bits.iter().map(|b| number::integer(d, *b));
            let (most, least) = (ints().max().unwrap_or(0), ints().min().unwrap_or(0));
            return Want::Bits(number::wrap(d, most - least));
        }
        let real = || bits.iter().map(|b| number::real(d, *b));
        let (most, least) = (real().fold(f64::NEG_INFINITY, f64::max), real().fold(f64::INFINITY, f64::min));
        let range = if real().any(f64::is_nan) { f64::NAN } else { most - least };
        match self.entry.gpu() && range.is_finite() {
            true => Want::Near(range.into(), number::ulp(d, range) + 2f64.powi(-126)),
            false => Want::Bits(number::round(d, range)),
        }
    }

    /// Results and bounds by CONTRACT.md.
    fn floats(&self, x: &[f64]) -> (Vec<Real>, Vec<f64>) {
        let u = if self.result == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let g = if self.entry.gpu() { 2.0 } else { 1.0 };
        let (n, l) = (x.len() as f64, (x.len().max(1) as f64).log2().ceil());
        let t = (l + 16.0) * u;
        let real = |d: Dd| Real { value: d.hi, rest: d.lo };
        let one = |d: Dd, e: f64| (vec![real(d)], vec![e]);
        let only = |v: f64| (vec![v.into()], vec![0.0]);
        let every = |f: &dyn Fn(f64) -> f64| (x.iter().map(|x| f(*x).into()).collect(), vec![0.0; x.len()]);
        let sum = |f: &dyn Fn(f64) -> Dd| x.iter().fold(Dd::from(0.0), |s, x| s + f(*x));
        let finite = x.iter().all(|x| x.is_finite());
        let max = x.iter().fold(f64::NEG_INFINITY, |m, x| if m.is_nan() || x.is_nan() { f64::NAN } else { m.max(*x) });
        let absolute = sum(&|x| x.abs().into()).hi;
        // exp(x − max), where −∞ leaves nothing
        let power = |x: f64| if x == f64::NEG_INFINITY { 0.0.into() } else { (Dd::from(x) - max.into()).exp() };
        let mean = sum(&|x| x.into()) / n.into();
        let var = sum(&|x| (Dd::from(x) - mean) * (Dd::from(x) - mean)) / n.into();
        let h = self.underflow.half(self.result, 0);
        // flushed operands, and results on the way
        let flushed: f64 = x.iter().map(|x| self.underflow.operand(*x)).sum();
        let flushed = flushed + if self.underflow.flushes { n * h } else { 0.0 };
        match self.function {
            "sum" if finite => one(sum(&|x| x.into()), t * absolute + flushed),
            "sum" => only(x.iter().sum()),
            "cumulative_sum" => self.sums_so_far(x, u),
            "cumulative_prod" => products_so_far(x, g * u),
            "prod" if finite => {
                let p = x.iter().fold(Dd::from(1.0), |p, x| p * (*x).into());
                one(p, g * (n + 16.0) * u * p.hi.abs())
            }
            "prod" => only(x.iter().product()),
            "mean" if finite && n > 0.0 => one(mean, (t * absolute + flushed) / n),
            "mean" => only(x.iter().sum::<f64>() / n),
            "var" if finite && n > 0.0 => one(var, 2.0 * t * var.hi),
            "std" if finite && n > 0.0 => {
                let s = var.sqrt().hi;
                one(var.sqrt(), 2.0 * t * s + 2.0 * h / s.max((2.0 * h).sqrt()))
            }
            "var" | "std" => only(f64::NAN),
            "logsumexp" if max.is_finite() => {
                let r = sum(&power).ln() + max.into();
                one(r, g * ((2.0 * l + 24.0) * u + 4.0 * u * r.hi.abs().max(max.abs())))
            }
            "logsumexp" => only(max),
            "logcumsumexp" => logs_so_far(x, u, matches!(&self.entry.bound, Bound::Named(b) if b == "lse")),
            "softmax" | "log_softmax" if !max.is_finite() => every(&|_| f64::NAN),
            "softmax" => {
                let total = sum(&power);
                let y = |x: &f64| power(*x) / total;
                let bound = |x: &f64| match y(x).hi {
                    0.0 => 0.0,
                    r => g * ((8.0 + max - x) * u + t) * r,
                };
                (x.iter().map(|x| real(y(x))).collect(), x.iter().map(bound).collect())
            }
            "log_softmax" => {
                let log = sum(&power).ln();
                let y = |x: &f64| match x.is_finite() {
                    true => real(Dd::from(*x) - max.into() - log),
                    false => (*x).into(),
                };
                let bound = |x: &f64| g * (4.0 * l + 32.0 + 2.0 * (max - x)) * u;
                (x.iter().map(y).collect(), x.iter().map(bound).collect())
            }
            "layer_norm" if finite => {
                let s = (var + EPSILON.into()).sqrt();
                let y = |x: &f64| (Dd::from(*x) - mean) / s;
                let bound = |x: &f64| {
                    let y = y(x).hi.abs();
                    g * (t * (absolute / n / s.hi + 2.0 * y) + 4.0 * u * (y + y))
                };
                (x.iter().map(|x| real(y(x))).collect(), x.iter().map(bound).collect())
            }
            "rms_norm" if finite => {
                let s = (sum(&|x| Dd::from(x) * x.into()) / n.into() + EPSILON.into()).sqrt();
                let y = |x: &f64| Dd::from(*x) / s;
                let bound = |x: &f64| g * (t + 8.0 * u) * y(x).hi.abs();
                (x.iter().map(|x| real(y(x))).collect(), x.iter().map(bound).collect())
            }
            "rms_norm" if !max.is_nan() => every(&|x| if x.is_infinite() { f64::NAN } else { 0.0 }),
            "layer_norm" | "rms_norm" => every(&|_| f64::NAN),
            other => panic!("{other} has no reference"),
        }
    }

    /// Each the sum of the elements so far, with the bound of that sum. `u` is half a spacing.
    fn sums_so_far(&self, x: &[f64], u: f64) -> (Vec<Real>, Vec<f64>) {
        let h = if self.underflow.flushes { self.underflow.half(self.result, 0) } else { 0.0 };
        let (mut sum, mut absolute, mut flushed, mut plain) = (Dd::from(-0.0), 0.0, 0.0, -0.0);
        let mut next = |(i, x): (usize, &f64)| {
            (sum, absolute, plain) = (sum + (*x).into(), absolute + x.abs(), plain + x);
            flushed += self.underflow.operand(*x) + h;
            let t = ((i as f64 + 1.0).log2().ceil() + 16.0) * u;
            let exact = Real { value: sum.hi, rest: sum.lo };
            if plain.is_finite() { (exact, t * absolute + flushed) } else { (plain.into(), 0.0) }
        };
        x.iter().enumerate().map(&mut next).unzip()
    }

    fn right(&self, want: &Want, got: u64) -> bool {
        let (w, allowed) = match want {
            Want::Bits(b) => return *b == got || number::is_nan(self.result, *b) && number::is_nan(self.result, got),
            Want::Near(w, allowed) => (w, *allowed),
        };
        let got = number::real(self.result, got);
        if w.value.is_nan() || got.is_nan() || w.value.is_infinite() || got.is_infinite() {
            return w.value.is_nan() && got.is_nan() || w.value == got;
        }
        ((got - w.value) - w.rest).abs() <= allowed
    }

    /// Runs the cases along several axes.
    pub fn check(&self, cases: &[Case], data: &str) -> Result<Passed, String> {
        let mut passed = Passed::default();
        for case in cases {
            for axes in axes_of(&case.shape) {
                // special values would only make every column NaN; others are about rows alone
                if data != "usual" && axes.axes.as_deref() != Some(&[-1]) {
                    continue;
                }
                let many = axes.axes.as_ref().is_some_and(|a| a.len() > 1);
                if many && self.operation().one_axis {
                    continue;
                }
                match self.one(case, &axes)? {
                    Some((n, worst)) => {
                        passed.elements += n;
                        if worst.worse(&passed.worst) {
                            passed.worst = worst;
                        }
                    }
                    None => passed.unsupported = true,
                }
            }
        }
        Ok(passed)
    }

    /// One evaluation: elements and the worst share of a bound; none where the device lacks the type.
    fn one(&self, case: &Case, axes: &Along) -> Result<Option<(usize, Figure)>, String> {
        let (shape, along) = (&case.shape, describe(axes));
        let (groups, mut wanted_shape) = groups(shape, axes);
        if self.keeps_shape() {
            wanted_shape = shape.clone();
        }
        let positions = ["min", "max", "argmin", "argmax", "ptp"].contains(&self.function);
        let nothing = positions && groups.iter().any(Vec::is_empty);
        let result = self.apply(&case.operands[0], axes.into()).eval();
        let result = match result {
            Ok(_) if nothing => return Err(format!("{along} of {shape:?}: a result of nothing, not an error")),
            Err(e) if nothing && e.kind() == ErrorKind::Shape => return Ok(Some((0, Figure::default()))),
            Err(e) if self.refusable(&e) => return Ok(None),
            Err(e) => return Err(format!("{along} of {shape:?}: {e}")),
            Ok(r) => r,
        };
        if result.shape() != wanted_shape || result.dtype() != self.result {
            let (s, d) = (result.shape(), result.dtype());
            return Err(format!("{along} of {shape:?}: {d} {s:?}, not {} {wanted_shape:?}", self.result));
        }
        let actual = kit::read(&result).map_err(|e| format!("{along} of {shape:?}: {e}"))?;
        let mut worst = Figure::default();
        for (g, group) in groups.iter().enumerate() {
            let bits: Vec<u64> = group.iter().map(|k| case.values[0][*k]).collect();
            for (i, want) in self.want(&bits).iter().enumerate() {
                let at = if self.keeps_shape() { group[i] } else { g };
                let got = actual[at];
                if let Want::Near(w, allowed) = want
                    && w.value.is_finite()
                    && *allowed > 0.0
                {
                    let share = (number::real(self.result, got) - w.value - w.rest).abs() / allowed;
                    if share > worst.share {
                        let at = format!("result {at} along {along} of {shape:?}");
                        worst = Figure { share, at, ..Figure::default() };
                    }
                }
                if !self.right(want, got) {
                    return Err(self.report(&bits, &along, shape, at, want, got, i));
                }
            }
        }
        Ok(Some((actual.len(), worst)))
    }

    #[allow(clippy::too_many_arguments)]
    fn report(&self, x: &[u64], along: &str, shape: &[usize], at: usize, want: &Want, got: u64, i: usize) -> String {
        let d = self.entry.dtype;
        let some: Vec<String> = x.iter().take(6).map(|b| number::show(d, *b)).collect();
        let some = format!("{}{}", some.join(", "), if x.len() > 6 { ", .." } else { "" });
        let (expected, by) = match want {
            Want::Bits(b) => (number::show(self.result, *b), String::new()),
            Want::Near(w, allowed) => {
                let error = (number::real(self.result, got) - w.value - w.rest).abs();
                let ulps = error / number::ulp(self.result, w.value);
                let shown = number::show(self.result, number::round(self.result, w.value));
                (shown, format!(": {ulps:.3} ULP, error {error:e}, bound {allowed:e} ({:?})", self.entry.bound))
            }
        };
        let (n, got, here) =
            (x.len(), number::show(self.result, got), x.get(i).map_or(String::new(), |b| number::show(d, *b)));
        format!(
            "{along} of {shape:?}, result {at} from {n} elements ({some}), there {here}: expected {expected}, got {got}{by}"
        )
    }

    pub fn refusable(&self, e: &cupric::Error) -> bool {
        // integers are summed in 64 bits
        let summed = self.function == "mean" && !self.entry.dtype.is_float();
        let wide = self.entry.dtype.size() == 8 || self.result.size() == 8 || summed;
        self.entry.gpu() && wide && e.kind() == ErrorKind::Unsupported
    }
}

/// Axes as the public API takes them: a list or all, kept or not.
#[derive(Clone)]
struct Along {
    axes: Option<Vec<isize>>,
    keep: bool,
}

impl From<&Along> for AxesArg {
    fn from(a: &Along) -> AxesArg {
        match (&a.axes, a.keep) {
            (None, false) => (..).into_axes(),
            (None, true) => cupric::keep(..).into_axes(),
            (Some(list), false) => list.as_slice().into_axes(),
            (Some(list), true) => cupric::keep(list.as_slice()).into_axes(),
        }
    }
}

fn describe(axes: &Along) -> String {
    let list = axes.axes.as_ref().map_or("all axes".into(), |a| format!("axes {:?}", a.as_slice()));
    format!("{list}{}", if axes.keep { " kept" } else { "" })
}

/// The axes that are tried on a shape.
fn axes_of(shape: &[usize]) -> Vec<Along> {
    let along = |axes: &[isize]| Along { axes: Some(axes.to_vec()), keep: false };
    let kept = |axes: &[isize]| Along { axes: Some(axes.to_vec()), keep: true };
    let all = Along { axes: None, keep: false };
    match shape.len() {
        0 => vec![all],
        1 => vec![along(&[0]), all],
        2 => vec![along(&[-1]), along(&[0]), all, kept(&[-1])],
        _ => vec![along(&[-1]), along(&[1]), along(&[0, 2]), kept(&[0, 1])],
    }
}

/// The flat indices that are reduced together, in C order, and the shape of the results.
fn groups(shape: &[usize], axes: &Along) -> (Vec<Vec<usize>>, Vec<usize>) {
    let n = shape.len() as isize;
    let list: Option<Vec<isize>> = axes.axes.as_ref().map(|a| a.iter().map(|d| (d + n) % n.max(1)).collect());
    let gone = |d: usize| list.as_ref().is_none_or(|l| l.contains(&(d as isize)));
    let kept: Vec<usize> = (0..shape.len()).filter(|d| !gone(*d)).collect();
    let mut all = vec![vec![]; kept.iter().map(|d| shape[*d]).product()];
    for k in 0..shape.iter().product() {
        let index = |d: usize| k / shape[d + 1..].iter().product::<usize>() % shape[d];
        all[kept.iter().fold(0, |g, d| g * shape[*d] + index(*d))].push(k);
    }
    let ones = (0..shape.len()).map(|d| if gone(d) { 1 } else { shape[d] });
    (all, if axes.keep { ones.collect() } else { kept.iter().map(|d| shape[*d]).collect() })
}

/// The function that one which ignores NaN is of the elements that are not.
fn without_nan(function: &str) -> &str {
    function.strip_prefix("nan").unwrap_or(function)
}

/// Elements whose reductions stay finite; `special` ones hold ∞, NaN and zeros, a few in each run of 53.
pub fn elements(entry: &Entry, kind: &str, n: usize) -> Vec<u64> {
    let d = entry.dtype;
    let mut random = Dice::from(entry.topic().bytes().fold(11, |h, b| h * 31 % 1_000_003 + b as u64));
    let f = without_nan(&entry.function);
    let (spread, of_rows) = (matches!(f, "var" | "std"), entry.is_of(Suite::Rows));
    (0..n)
        .map(|i| {
            if !d.is_float() {
                let mixed = ["any", "all", "count_nonzero"].contains(&f) && i / 53 % 3 > 0;
                return match (f, i % 5) {
                    _ if mixed => (i / 53 % 3 == 1) as u64,
                    _ if d == DType::Bool => random.next() & 1,
                    // squares of these stay finite in f32
                    _ if of_rows && d.size() == 8 => {
                        let low = if d.is_unsigned_integer() { 0.0 } else { -1e6 };
                        number::wrap(d, random.within(low, 1e6) as i128)
                    }
                    // 64 bits whose sum does not fit 64 bits
                    ("mean", 0) if d.size() == 8 => random.next() >> 1 | 1 << 62,
                    ("mean", 1) => random.next() >> (64 - 8 * d.size()),
                    ("var" | "std" | "logsumexp", _) => number::wrap(d, random.within(0.0, 101.0) as i128),
                    (_, 0..3) => number::wrap(d, random.within(-4.0, 5.0) as i128),
                    _ => random.next() >> (64 - 8 * d.size()),
                };
            }
            // some here and there, and all of some rows
            if f != entry.function && (i % 7 == 3 || i / 53 % 9 == 4) {
                return number::round(d, f64::NAN);
            }
            if kind == "special" && i % 53 % 17 == 5 {
                let all = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0, f64::NEG_INFINITY, -0.0];
                // one kind of a special value in most rows, all of them in the last
                let row = i / 53;
                return number::round(d, if row % 8 == 7 { all[i % 7] } else { all[row % 8 % 7] });
            }
            if kind == "special" && i / 53 % 11 == 10 {
                return number::round(d, [f64::NEG_INFINITY, 0.0, -0.0][i / 53 / 11 % 3]);
            }
            if kind == "subnormal" {
                return underflow::draw(d, &mut random);
            }
            let z = random.normal();
            let x = match f {
                "prod" | "cumulative_prod" => (0.01 * z).exp() * if random.next() & 1 == 0 { 1.0 } else { -1.0 },
                // a mean of ten thousand times the spread, where the type can say it
                _ if spread && matches!(d, DType::F32 | DType::F64) && i % 2 == 0 => 1e4 + z,
                _ if spread && matches!(d, DType::F32 | DType::F64) => 1e4 - z,
                _ if spread => 100.0 + 10.0 * z,
                "any" | "all" | "count_nonzero" => {
                    if i / 53 % 3 == 1 {
                        z
                    } else {
                        (random.next() & 1) as f64
                    }
                }
                // some runs lie where exp overflows
                _ if of_rows => 4.0 * z + if i / 53 % 5 == 4 { 900.0 } else { 0.0 },
                _ => z,
            };
            number::round(d, x)
        })
        .collect()
}

/// The elements computed: steps in their own type that give back what they were given.
fn behind(trial: &Trial, shape: [usize; 2], device: &Device) -> Result<Passed, String> {
    let d = trial.entry.dtype;
    let values = elements(trial.entry, "usual", shape[0] * shape[1]);
    let computed = kit::array(d, &values, &shape, device).map(|x| match d {
        DType::Bool => x.logical_not().not_equal(true),
        // twice and half of it are exact
        d if d.is_float() => (&x * 0.5) * 2.0,
        _ => (&x + 1) * 3 - &x * 2 - 3,
    });
    match computed {
        Ok(e) => trial.check(&[Case { operands: vec![e], shape: shape.to_vec(), values: vec![values] }], "behind"),
        Err(e) if trial.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
        Err(e) => Err(format!("the operands: {e}")),
    }
}

/// The trials of one line.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    let trial = Trial::new(entry, device);
    let exact = entry.bound == Bound::Exact;
    assert!(exact || matches!(entry.bound, Bound::Named(_) | Bound::Ulp(..)), "{name}: {:?}", entry.bound);
    let data = Data { columns: vec![elements(entry, "usual", 37 * 53)], axes: None };
    let layouts = match (entry.stood_for(), device.is_gpu()) {
        (false, _) => by_turns(entry),
        (true, gpu) => LAYOUTS[..!gpu as usize].to_vec(),
    };
    for layout in layouts {
        report.trial(&format!("{name}::{layout}"), || {
            let cases = match cases(layout, &[entry.dtype], &data, device) {
                Ok(mut c) => {
                    if layout == "contiguous" {
                        // a matrix, and three axes
                        let case = &c[0];
                        let shaped = |shape: &[usize]| {
                            let e = case.operands[0].reshape(shape.iter().map(|n| *n as isize).collect::<Vec<_>>());
                            Case { operands: vec![e], shape: shape.to_vec(), values: case.values.clone() }
                        };
                        c = vec![shaped(&[37, 53]), shaped(&[37, 1, 53])];
                    }
                    c
                }
                Err(e) if trial.refusable(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
                Err(e) => return Err(format!("the operands: {e}")),
            };
            trial.check(&cases, "usual")
        });
    }
    let shaped = |kind: &'static str, shape: [usize; 2]| {
        let values = elements(entry, kind, shape[0] * shape[1]);
        let made = kit::array(entry.dtype, &values, &shape, device);
        move |trial: &Trial| match made {
            Ok(a) => {
                trial.check(&[Case { operands: vec![a.into()], shape: shape.to_vec(), values: vec![values] }], kind)
            }
            Err(e) if trial.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
            Err(e) => Err(format!("the operands: {e}")),
        }
    };
    // around tiles, blocks and workgroups; and the same behind steps in the operand's type
    let by_rows = trial.operation().several_passes || trial.function == "mean";
    let sizes = [[16, 200], [28, 119], [65, 100], [3, 4096]];
    for [r, c] in sizes.into_iter().take(if !by_rows || entry.stood_for() && device.is_gpu() { 0 } else { 4 }) {
        let tiles = shaped("tiles", [r, c]);
        report.trial(&format!("{name}::tiles_{r}x{c}"), || tiles(&trial));
    }
    for [r, c] in [[16, 200], [65, 257]].into_iter().take(if by_rows { 2 - device.is_gpu() as usize } else { 0 }) {
        report.trial(&format!("{name}::behind_{r}x{c}"), || behind(&trial, [r, c], device));
    }
    if entry.dtype.is_float() && ["sum", "cumulative_sum", "mean", "var", "std"].contains(&trial.function) {
        let subnormal = shaped("subnormal", [37, 53]);
        report.trial(&format!("{name}::subnormal"), || subnormal(&trial));
    }
    if entry.dtype.is_float() {
        let special = shaped("special", [37, 53]);
        report.trial(&format!("{name}::special"), || special(&trial));
    }
    if !device.is_gpu() && !entry.stood_for() {
        let large = shaped("usual", [3, 20_011]);
        report.trial(&format!("{name}::large"), || large(&trial));
    }
}

/// The logarithms of the sums of the exponentials up to each, with the bound `lse` of the CPU or `lse_so_far`.
fn logs_so_far(x: &[f64], u: f64, whole: bool) -> (Vec<Real>, Vec<f64>) {
    // the sum of exp(x - max) so far
    let (mut sum, mut max) = (Dd::from(0.0), f64::NEG_INFINITY);
    let mut next = |(i, x): (usize, &f64)| {
        if x.is_nan() || max.is_nan() || max == f64::INFINITY || x.is_infinite() {
            max = if x.is_nan() || max.is_nan() { f64::NAN } else { max.max(*x) };
        } else if *x > max {
            let before = if max.is_infinite() { 0.0.into() } else { sum * (Dd::from(max) - (*x).into()).exp() };
            (sum, max) = (before + 1.0.into(), *x);
        } else {
            sum = sum + (Dd::from(*x) - max.into()).exp();
        }
        if !max.is_finite() {
            return (max.into(), 0.0);
        }
        let (r, l) = (sum.ln() + max.into(), (i as f64 + 1.0).log2().ceil());
        let size = r.hi.abs().max(max.abs());
        let allowed = if whole { 2.0 * l + 24.0 + 4.0 * size } else { 4.0 * l + 48.0 + (l + 8.0) * size };
        (Real { value: r.hi, rest: r.lo }, allowed * u)
    };
    x.iter().enumerate().map(&mut next).unzip()
}

/// The products of the elements up to each, with the bound of a product of so many.
fn products_so_far(x: &[f64], unit: f64) -> (Vec<Real>, Vec<f64>) {
    let (mut product, mut plain) = (Dd::from(1.0), 1.0);
    let mut next = |(i, x): (usize, &f64)| {
        (product, plain) = (product * (*x).into(), plain * x);
        let exact = Real { value: product.hi, rest: product.lo };
        match plain.is_finite() {
            true => (exact, (i as f64 + 17.0) * unit * product.hi.abs()),
            false => (plain.into(), 0.0),
        }
    };
    x.iter().enumerate().map(&mut next).unzip()
}
