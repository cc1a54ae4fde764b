//! The exact results of reductions and functions of rows, and the errors that `CONTRACT.md` allows.

use super::super::bound::{Bound, Real};
use super::super::dd::Dd;
use super::{EPSILON, Trial, Want};
use crate::kit::number;
use cupric::DType;

impl Trial<'_> {
    /// The cumulative sums or products of integers.
    fn whole_so_far(&self, bits: &[u64]) -> Vec<Want> {
        let is_sum = self.entry.function == "cumulative_sum";
        let next = |so_far: &mut i128, b: &u64| {
            let x = number::integer(self.entry.dtype, *b);
            *so_far = if is_sum { *so_far + x } else { so_far.wrapping_mul(x) };
            Some(Want::Bits(number::wrap(self.result, *so_far)))
        };
        bits.iter().scan(if is_sum { 0 } else { 1 }, next).collect()
    }

    /// The exact results for the elements that are reduced together.
    pub(super) fn want(&self, bits: &[u64]) -> Vec<Want> {
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
                    // the first NaN wins; −0 is less than +0, but `argmin` and `argmax` take them as equal
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
                // the library rounds the exact sum once, and then the quotient
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

    /// The exact results if the elements that are NaN are ignored.
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

    /// The largest element minus the smallest.
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

    /// The exact results of a float function, and the errors that CONTRACT.md allows.
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
        // exp(x − max), which is 0 for −∞
        let power = |x: f64| if x == f64::NEG_INFINITY { 0.0.into() } else { (Dd::from(x) - max.into()).exp() };
        let mean = sum(&|x| x.into()) / n.into();
        let var = sum(&|x| (Dd::from(x) - mean) * (Dd::from(x) - mean)) / n.into();
        let h = self.underflow.half(self.result, 0);
        // errors from flushed operands and flushed intermediate results
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
                let std = deviation(x);
                (vec![std], vec![2.0 * t * std.value + 2.0 * h])
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

    /// The cumulative sums, each with the bound of a sum of so many elements. `u` is half a spacing.
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
}

/// The standard deviation. Scales small elements, because the reference's squares of small f64 would underflow.
fn deviation(x: &[f64]) -> Real {
    let scale = if x.iter().all(|x| x.abs() < 2f64.powi(-400)) { 2f64.powi(600) } else { 1.0 };
    let (n, sum) =
        (Dd::from(x.len() as f64), |f: &dyn Fn(f64) -> Dd| x.iter().fold(Dd::from(0.0), |s, x| s + f(x * scale)));
    let mean = sum(&|x| x.into()) / n;
    let std = (sum(&|x| (Dd::from(x) - mean) * (Dd::from(x) - mean)) / n).sqrt();
    Real { value: std.hi / scale, rest: std.lo / scale }
}

/// The cumulative logsumexp, with the bound `lse` of the CPU or the GPU's `lse_so_far`.
fn logs_so_far(x: &[f64], u: f64, whole: bool) -> (Vec<Real>, Vec<f64>) {
    // the sum of exp(x − max) over the elements so far
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

/// The cumulative products, each with the bound of a product of so many elements.
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
