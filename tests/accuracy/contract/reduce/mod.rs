//! Trials of reductions, and of functions of rows such as softmax.

mod elements;
mod reference;

pub use elements::elements;
use elements::without_nan;

use super::bound::{Bound, Real};
use super::data::Data;
use super::entry::Entry;
use super::layouts::{Case, LAYOUTS, by_turns, cases};
use super::page::Figure;
use super::report::{Passed, Report};
use super::underflow::Underflow;
use crate::kit::operations::{Operation, Params};
use crate::kit::{self, number};
use cupric::{AxesArg, DType, Device, ErrorKind, Expr, IntoAxes};

/// The epsilon of layer_norm and rms_norm, which every float type represents exactly.
const EPSILON: f64 = 1.0 / 131072.0;

/// What one element of the result must be.
enum Want {
    Bits(u64),
    /// The exact value, and the largest allowed error.
    Near(Real, f64),
}

pub struct Trial<'a> {
    entry: &'a Entry,
    /// The function; for one that ignores NaN, the plain function that it applies to the other elements.
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

    /// Evaluates the cases along several axes.
    pub fn check(&self, cases: &[Case], data: &str) -> Result<Passed, String> {
        let mut passed = Passed::default();
        for case in cases {
            for axes in axes_of(&case.shape) {
                // special values would make every column NaN; the other kinds of data are made for rows only
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

    /// Evaluates one case. Returns the number of elements and the worst figure, or None if the device lacks the type.
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
        // integers are summed in 64 bits, so their mean needs a 64-bit type
        let summed = self.function == "mean" && !self.entry.dtype.is_float();
        let wide = self.entry.dtype.size() == 8 || self.result.size() == 8 || summed;
        self.entry.gpu() && wide && e.kind() == ErrorKind::Unsupported
    }
}

/// The axes of a call: a list or all axes, and whether they are kept with length 1.
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

/// The axes along which the trials reduce an array of this shape.
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

/// The flat indices of the elements that are reduced together, in C order, and the shape of the result.
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

/// Reduces computed elements: an elementwise expression in the operand's type, whose value is the operand itself.
fn behind(trial: &Trial, shape: [usize; 2], device: &Device) -> Result<Passed, String> {
    let d = trial.entry.dtype;
    let values = elements(trial.entry, "usual", shape[0] * shape[1]);
    let computed = kit::array(d, &values, &shape, device).map(|x| match d {
        DType::Bool => x.logical_not().not_equal(true),
        // halving and doubling a float is exact
        d if d.is_float() => (&x * 0.5) * 2.0,
        _ => (&x + 1) * 3 - &x * 2 - 3,
    });
    match computed {
        Ok(e) => trial.check(&[Case { operands: vec![e], shape: shape.to_vec(), values: vec![values] }], "behind"),
        Err(e) if trial.refusable(&e) => Ok(Passed { unsupported: true, ..Passed::default() }),
        Err(e) => Err(format!("the operands: {e}")),
    }
}

/// Runs the trials of one line of the contract.
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
                        // as a matrix and as an array of three axes
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
    // sizes near multiples of tiles, blocks and workgroups; also as computed elements
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
