//! Trials of functions that move elements and keep every bit, and of differences of neighbours. The same call on an
//! array of positions shows where elements go; `movement.rs` compares such calls with NumPy.

use super::bound::{Bound, Real, judge};
use super::data;
use super::entry::Entry;
use super::layouts::{by_turns, cases};
use super::page::Figure;
use super::report::{Passed, Report};
use super::rules;
use super::underflow::Underflow;
use crate::kit::operations::Params;
use crate::kit::{self, Dice, number};
use cupric::{DType, Device, ErrorKind, Expr, eye_shifted, indices, tri};

/// One call: its array, the other operands, the shape, and the bits that the result must have.
struct Matrix<'a> {
    entry: &'a Entry,
    x: Expr,
    shape: [usize; 2],
    bits: &'a [u64],
    underflow: Underflow,
}

/// The exact sum of two numbers, as the rounded sum and the rest.
fn exact(a: f64, b: f64) -> Real {
    let s = a + b;
    let t = s - a;
    let rest = (a - (s - t)) + (b - t);
    Real { value: s, rest: if rest.is_finite() { rest } else { 0.0 } }
}

/// What one element must be.
enum Want {
    Bits(u64),
    /// By the contract's bound, or within the f64 error. The first `Real` is exact; the others are of flushed operands.
    Judged(Vec<Real>, f64),
    /// A value, and the largest allowed error.
    Near(f64, f64),
}

impl Matrix<'_> {
    fn params(&self, axis: isize) -> Params {
        Params::axis(axis)
    }

    /// The call and what its elements must be, or None if the function needs another shape.
    fn trial(&self, axis: isize, d: &Device) -> Result<Option<(Expr, Vec<Want>)>, cupric::Error> {
        let ([r, c], f) = (self.shape, self.entry.function.as_str());
        let build = self.entry.operation().expect("an entry").build;
        let along = if axis == 0 { r } else { c };
        Ok(match f {
            "gradient" if along < 2 => None,
            "diff" | "ediff1d" | "gradient" | "trapezoid" => {
                let e = build(std::slice::from_ref(&self.x), &self.params(axis));
                Some((e, self.differences(axis)))
            }
            _ => {
                let indices: Vec<u64> = {
                    let mut dice = Dice::from(31);
                    (0..r * c).map(|_| dice.between(-(along as i64), along as i64 - 1) as u32 as u64).collect()
                };
                let args = |x: Expr, d: &Device| -> Result<[Expr; 2], cupric::Error> {
                    Ok([x, kit::array(DType::I32, &indices, &[r, c], d)?.into()])
                };
                let e = build(&args(self.x.clone(), d)?, &self.params(axis));
                // the same call on positions ≥ 2, so that 0 and 1 in the result mean filled elements
                let numbers: Vec<u64> = (0..(r * c) as u64).map(|i| i + 2).collect();
                let cpu = Device::cpu();
                let positions: Expr = kit::array(DType::I32, &numbers, &[r, c], &cpu)?.into();
                let places = kit::read(&build(&args(positions, &cpu)?, &self.params(axis)))?;
                let one = if self.entry.dtype.is_float() { number::round(self.entry.dtype, 1.0) } else { 1 };
                let bits = |p: u64| match p {
                    0 => 0,
                    1 => one,
                    p => self.bits[p as usize - 2],
                };
                Some((e, places.into_iter().map(|p| Want::Bits(bits(p))).collect()))
            }
        })
    }

    fn real(&self, i: usize, j: usize) -> f64 {
        let bits = self.bits[i * self.shape[1] + j];
        let d = self.entry.dtype;
        if d.is_float() { number::real(d, bits) } else { number::integer(d, bits) as f32 as f64 }
    }

    /// What the difference of two elements must be.
    fn difference(&self, after: [usize; 2], before: [usize; 2]) -> Want {
        let (d, c) = (self.entry.dtype, self.shape[1]);
        let [a, b] = [after, before].map(|[i, j]| self.bits[i * c + j]);
        if d == DType::Bool {
            return Want::Bits(a ^ b);
        }
        if !d.is_float() {
            return Want::Bits(number::wrap(d, number::integer(d, a) - number::integer(d, b)));
        }
        let floor = if self.entry.gpu() { 2f64.powi(-126) } else { 0.0 };
        let flushed = if self.underflow.flushes { rules::flushed(d, [a, b, 0]) } else { vec![] };
        let all = [[a, b, 0]].into_iter().chain(flushed);
        Want::Judged(all.map(|[a, b, _]| exact(number::real(d, a), -number::real(d, b))).collect(), floor)
    }

    fn differences(&self, axis: isize) -> Vec<Want> {
        let [r, c] = self.shape;
        let d = self.entry.dtype;
        let result = self.entry.operation().map_or(d, |o| (o.result)(d));
        let u = if result == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let g = if self.entry.gpu() { 2.0 } else { 1.0 };
        let least = if self.entry.gpu() { 2f64.powi(-126) } else { number::smallest_normal(result) * u };
        // we always allow 1 ULP of the result; f16 and bf16 are rounded once more
        let near = |want: f64, error: f64| {
            let ulp = number::ulp(result, want);
            let half = matches!(result, DType::F16 | DType::BF16);
            Want::Near(want, least + if half { error + ulp } else { error.max(ulp) })
        };
        let n = if axis == 0 { r } else { c };
        // the index of element `k` along the axis, in the row or column `other`
        let at = |k: usize, other: usize| if axis == 0 { [k, other] } else { [other, k] };
        let value = |p: [usize; 2]| self.real(p[0], p[1]);
        match self.entry.function.as_str() {
            "diff" => {
                let (rows, columns) = if axis == 0 { (r.saturating_sub(1), c) } else { (r, c.saturating_sub(1)) };
                let next = |i: usize, j: usize| if axis == 0 { [i + 1, j] } else { [i, j + 1] };
                let all = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
                all.map(|(i, j)| self.difference(next(i, j), [i, j])).collect()
            }
            "ediff1d" => {
                let place = |k: usize| [k / c, k % c];
                let first = (0..c).map(|j| Want::Bits(self.bits[j]));
                let inside = (1..r * c).map(|k| self.difference(place(k), place(k - 1)));
                first.chain(inside).chain([Want::Bits(self.bits[0])]).collect()
            }
            "gradient" => {
                let all = (0..r).flat_map(|i| (0..c).map(move |j| (i, j)));
                all.map(|(i, j)| {
                    let (k, other) = if axis == 0 { (i, j) } else { (j, i) };
                    let (low, high) = (k.saturating_sub(1), (k + 1).min(n - 1));
                    let distance = 0.75 * (high - low) as f64;
                    let want = (value(at(high, other)) - value(at(low, other))) / distance;
                    let flushed = [high, low].map(|k| self.underflow.operand(value(at(k, other))));
                    near(want, g * 4.0 * u * want.abs() + (flushed[0] + flushed[1]) / distance)
                })
                .collect()
            }
            _ => {
                let others = if axis == 0 { c } else { r };
                let flushed_sum = if self.underflow.flushes { self.underflow.half(result, 0) } else { 0.0 };
                (0..others)
                    .map(|other| {
                        let pairs: Vec<f64> = (1..n).map(|k| value(at(k - 1, other)) + value(at(k, other))).collect();
                        let l = (pairs.len().max(1) as f64).log2().ceil();
                        let all: f64 = pairs.iter().map(|p| p.abs()).sum();
                        // errors from flushed operands and from flushed intermediate sums
                        let operand = |k: usize| self.underflow.operand(value(at(k, other)));
                        let flushed: f64 = (1..n).map(|k| operand(k - 1) + operand(k) + flushed_sum).sum();
                        near(pairs.iter().sum::<f64>() * 0.375, ((l + 16.0) * u * all + flushed) * 0.375)
                    })
                    .collect()
            }
        }
    }
}

/// Compares a result with what it must be, and keeps the worst error.
fn held(entry: &Entry, dtype: DType, got: &[u64], want: &[Want], worst: &mut Figure) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} elements, not {}", got.len(), want.len()));
    }
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let value = number::real(dtype, *got);
        let (right, share, wanted) = match want {
            Want::Bits(bits) => {
                // a function that replaces elements by zero keeps a NaN, but a narrow type may lose its payload
                let chooses = ["tri", "dia"].iter().any(|name| entry.function.starts_with(name));
                let nan = chooses && [*got, *bits].iter().all(|b| number::is_nan(dtype, *b));
                (got == bits || nan, 0.0, number::show(dtype, *bits))
            }
            Want::Judged(all, floor) => {
                let judged = |real: &Real| judge(&entry.bound, *floor, dtype, *real, &[], *got);
                let (real, (ulps, first)) = (all[0], judged(&all[0]));
                let right = first || all.iter().any(|real| judged(real).1);
                // an expected NaN or infinity has an infinite distance, and is right
                let far = !real.value.is_finite() || !first;
                let share =
                    if let Bound::Ulp(u, _) = entry.bound { if far { 0.0 } else { ulps.min(u) / u } } else { 0.0 };
                (right, share, format!("{:e}", real.value))
            }
            // if sums may overflow or an operand is not finite, the order of the additions decides
            Want::Near(want, error) if !want.is_finite() || want.abs() + error > number::largest(dtype) / 8.0 => {
                (want.is_finite() || !value.is_finite(), 0.0, format!("{want:e}"))
            }
            Want::Near(want, error) => {
                let off = (value - want).abs();
                (off <= *error, off / error, format!("{want:e} ± {error:e}"))
            }
        };
        if !right {
            return Err(format!("element {i}: expected {wanted}, got {}", number::show(dtype, *got)));
        }
        if share > worst.share {
            *worst = Figure { share, ulps: None, at: format!("element {i}"), of: String::new() };
        }
    }
    Ok(())
}

fn copies(entry: &Entry, layout: &str, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let operands = data::operands(&[d], [-1e3, 1e3], 29);
    let refused = |e: &cupric::Error| entry.gpu() && d.size() == 8 && e.kind() == ErrorKind::Unsupported;
    let cases = match cases(layout, &[d], &operands, device) {
        Ok(c) => c,
        Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
        Err(e) => return Err(e.to_string()),
    };
    let result = entry.operation().map_or(d, |o| (o.result)(d));
    // GPUs do not flush f64
    let underflow = Underflow { flushes: Underflow::of(device).flushes && d != DType::F64 };
    let mut passed = Passed::default();
    for case in cases.iter().take(3) {
        let (x, shape) = match case.shape[..] {
            [r, c] => (case.operands[0].clone(), [r, c]),
            [n] => (case.operands[0].expand_dims(0), [1, n]),
            _ => (case.operands[0].expand_dims(0).expand_dims(0), [1, 1]),
        };
        if case.values[0].is_empty() {
            // `movement.rs` tests the calls that take a value of the array's type as an argument
            continue;
        }
        for axis in [0isize, -1] {
            let matrix = Matrix { entry, x: x.clone(), shape, bits: &case.values[0], underflow };
            let made = matrix.trial(axis, device).map_err(|e| e.to_string())?;
            let Some((e, want)) = made else { continue };
            let got = match e.eval() {
                Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
                r => r.map_err(|e| format!("{shape:?} axis {axis}: {e}"))?,
            };
            let bits = kit::read(&got).map_err(|e| e.to_string())?;
            held(entry, result, &bits, &want, &mut passed.worst).map_err(|e| format!("{shape:?} axis {axis}: {e}"))?;
            passed.elements += bits.len();
        }
    }
    Ok(passed)
}

/// Generators whose elements depend only on their position, and what they must return.
fn generated(entry: &Entry, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let bits = |x: i64| if d.is_float() { number::round(d, x as f64) } else { number::wrap(d, x.into()) };
    let mut passed = Passed::default();
    for ([rows, columns], k) in [([3, 5], 0), ([5, 3], 1), ([4, 4], -2), ([1, 100], 50), ([0, 3], 0), ([3, 3], 9)] {
        let places = || (0..rows as i64).flat_map(move |i| (0..columns as i64).map(move |j| (i, j)));
        let (e, want): (Expr, Vec<i64>) = match entry.function.as_str() {
            "tri" => (tri(rows, columns, k as isize, d), places().map(|(i, j)| (j - i <= k).into()).collect()),
            "eye_shifted" => {
                (eye_shifted(rows, columns, k as isize, d), places().map(|(i, j)| (j - i == k).into()).collect())
            }
            _ => (indices([rows, columns], d), places().map(|p| p.0).chain(places().map(|p| p.1)).collect()),
        };
        let got = match e.to_device(device) {
            Err(e) if entry.gpu() && d.size() == 8 && e.kind() == ErrorKind::Unsupported => {
                return Ok(Passed { unsupported: true, ..Passed::default() });
            }
            r => kit::read(&*r.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?,
        };
        if got != want.iter().map(|x| bits(*x)).collect::<Vec<_>>() {
            return Err(format!("[{rows}, {columns}] with {k}: {got:?} instead of {want:?}"));
        }
        passed.elements += got.len();
    }
    Ok(passed)
}

/// Functions that return positions, along one axis and in two dimensions.
fn positions(entry: &Entry, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let values: Vec<u64> = (0..128).map(|i| i * 37 % 128).collect();
    let x = match kit::array(d, &values, &[values.len()], device) {
        Err(e) if entry.gpu() && d.size() == 8 && e.kind() == ErrorKind::Unsupported => {
            return Ok(Passed { unsupported: true, ..Passed::default() });
        }
        r => r.map_err(|e| e.to_string())?,
    };
    let mut passed = Passed::default();
    for axis in [0isize, -1] {
        let build = entry.operation().ok_or("no entry")?.build;
        let want = values.iter().map(|v| match (entry.function.as_str(), axis) {
            ("ravel_multi_index", _) => v * 128 + v,
            (_, 0) => v / 16,
            _ => v % 16,
        });
        let got = kit::read(&build(&[(*x).clone()], &Params::axis(axis))).map_err(|e| e.to_string())?;
        if got != want.collect::<Vec<_>>() {
            return Err(format!("axis {axis}: {got:?}"));
        }
        passed.elements += got.len();
    }
    Ok(passed)
}

/// Runs the trials of one line of the contract.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    match entry.function.as_str() {
        "tri" | "eye_shifted" | "indices" => report.trial(&format!("{name}::places"), || generated(entry, device)),
        "unravel_index" | "ravel_multi_index" => {
            report.trial(&format!("{name}::places"), || positions(entry, device));
        }
        _ => {
            for layout in by_turns(entry) {
                report.trial(&format!("{name}::{layout}"), || copies(entry, layout, device));
            }
        }
    }
}
