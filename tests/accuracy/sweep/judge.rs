//! Judges the results of a function on a backend: whether each is right, and which has the largest error.

use crate::contract::bound::{Bound, judge, share};
use crate::contract::page::Figure;
use crate::contract::rules;
use crate::kit::number;
use cupric::DType;
use cupric::testing::{Exact, Row};
use rayon::prelude::*;

/// The result of a sweep.
#[derive(Clone, Default)]
pub struct Found {
    pub elements: u64,
    pub wrong: u64,
    /// A message about the first wrong element.
    pub first: Option<String>,
    /// The largest share of its bound that a right result took, and that result's error in ULP and operands.
    pub share: f64,
    pub ulps: f64,
    pub at: [u32; 3],
}

impl Found {
    /// Merges two results, in any order. If the shares are equal, it keeps the one with the smaller operand.
    pub fn or(self, other: Found) -> Found {
        let (elements, wrong) = (self.elements + other.elements, self.wrong + other.wrong);
        let (mut a, b) = if (self.share, other.at) >= (other.share, self.at) { (self, other) } else { (other, self) };
        a.first = a.first.take().or(b.first);
        Found { elements, wrong, ..a }
    }
}

/// A function of a dtype, with its bound and backend.
pub struct Judge {
    row: Row,
    dtype: DType,
    pub bound: Bound,
    pub gpu: bool,
    exact: Option<Exact>,
    result: DType,
    any_zero: bool,
    selects: bool,
    floor: f64,
}

/// The exact results in f64, with which both backends are compared; `nextafter` has none, so it gives zeros.
pub fn reference(row: &Row, dtype: DType, columns: &[Vec<u32>]) -> Vec<f64> {
    let n = columns[0].len();
    let Some(exact) = row.exact() else { return vec![0.0; n] };
    let real = |k: usize, i: usize| columns.get(k).map_or(0.0, |c| number::real(dtype, c[i] as u64));
    (0..n).into_par_iter().map(|i| exact(real(0, i), real(1, i), real(2, i))).collect()
}

/// The spacing of f32 numbers at `x`.
fn ulp(x: f64) -> f64 {
    let e = (x.to_bits() >> 52 & 0x7ff).clamp(1023 - 126, 1023 + 127);
    f64::from_bits((e - 23) << 52)
}

impl Judge {
    pub fn new(row: Row, dtype: DType, bound: Bound, gpu: bool) -> Judge {
        Judge {
            exact: row.exact(),
            dtype,
            result: row.result(dtype),
            any_zero: rules::any_zero(row.name(), gpu),
            selects: rules::SELECTIONS.contains(&row.name()),
            floor: if gpu { 2f64.powi(-126) } else { 0.0 },
            row,
            bound,
            gpu,
        }
    }

    /// Judges the results for the operands from index `start` on.
    pub fn all(&self, columns: &[Vec<u32>], start: usize, exact: &[f64], got: &[u32]) -> Found {
        let mut found = Found { elements: got.len() as u64, ..Found::default() };
        for (i, (want, got)) in exact.iter().zip(got).enumerate() {
            let at = |k: usize| columns.get(k).map_or(0, |c| c[start + i]);
            self.one([at(0), at(1), at(2)], *want, *got, &mut found);
        }
        found
    }

    fn one(&self, at: [u32; 3], want: f64, got: u32, found: &mut Found) {
        if self.row.exact().is_none() || self.row.keeps_nan() || self.result == DType::Bool {
            return self.bits(at, want, got, found);
        }
        if self.dtype != DType::F32 {
            return self.slow(at, want, got, found);
        }
        let y = f32::from_bits(got);
        if self.bound == Bound::Exact {
            // the f64 is exact, or it rounds to the same f32 as the exact result
            let right = (want as f32).to_bits() == got || want.is_nan() && y.is_nan();
            return if right {
            } else {
                self.slow(at, want, got, found)
            };
        }
        let x = at.map(|b| f32::from_bits(b) as f64);
        let ordinary = want.abs() <= f32::MAX as f64 && want != 0.0 && y.is_finite();
        let unit = ulp(want);
        let error = (y as f64 - want).abs();
        let share =
            share(&self.bound, [error, error / unit], want, &x[..self.row.arity()], DType::F32, unit, self.floor);
        if !ordinary || share.is_nan() || share > 1.0 {
            return self.slow(at, want, got, found);
        }
        if share > found.share {
            *found = Found { share, ulps: error / unit, at, ..std::mem::take(found) };
        }
    }

    /// Judges a result that must have the exact bits.
    fn bits(&self, at: [u32; 3], want: f64, got: u32, found: &mut Found) {
        let want = match self.row.name() {
            "nextafter" => rules::nextafter(self.dtype, at[0] as u64, at[1] as u64) as u32,
            "positive" => at[0],
            _ => want as u32,
        };
        let nan = number::is_nan(self.result, want as u64) && number::is_nan(self.result, got as u64);
        if want != got && (!nan || self.row.keeps_nan()) {
            self.wrong(at, want as u64, got, f64::INFINITY, found);
        }
    }

    /// Judges a result that the quick test does not accept, by all rules of the contract.
    fn slow(&self, at: [u32; 3], want: f64, got: u32, found: &mut Found) {
        let bits = at.map(u64::from);
        let zero = |want: f64| {
            let y = number::real(self.result, got as u64);
            self.any_zero || want != 0.0 || y != 0.0 || want.is_sign_negative() == y.is_sign_negative()
        };
        let judged = |bits: [u64; 3], want: f64| {
            let x = bits.map(|b| number::real(self.dtype, b));
            judge(&self.bound, self.floor, self.result, want.into(), &x[..self.row.arity()], got as u64)
        };
        let (ulps, right) = judged(bits, want);
        if right && zero(want) {
            let share =
                if ulps.is_finite() && self.dtype != DType::F32 { self.share(bits, want, got, ulps) } else { 0.0 };
            if share > found.share {
                *found = Found { share, ulps, at, ..std::mem::take(found) };
            }
            return;
        }
        if self.gpu
            && !self.selects
            && let Some(exact) = self.exact
        {
            let stands = |b: [u64; 3]| {
                let x = b.map(|b| number::real(self.dtype, b));
                judged(b, exact(x[0], x[1], x[2])).1
            };
            if rules::flushed(self.dtype, bits).into_iter().any(stands) {
                return;
            }
        }
        self.wrong(at, number::round(self.result, want), got, ulps, found);
    }

    /// Returns which share of its bound the error of a right result takes.
    fn share(&self, bits: [u64; 3], want: f64, got: u32, ulps: f64) -> f64 {
        let x = bits.map(|b| number::real(self.dtype, b));
        let error = (number::real(self.result, got as u64) - want).abs();
        let unit = number::ulp(self.result, want);
        let share = share(&self.bound, [error, ulps], want, &x[..self.row.arity()], self.result, unit, self.floor);
        if share.is_finite() { share } else { 0.0 }
    }

    fn wrong(&self, at: [u32; 3], want: u64, got: u32, ulps: f64, found: &mut Found) {
        found.wrong += 1;
        if found.first.is_none() {
            let operands: Vec<String> =
                at.iter().take(self.row.arity()).map(|b| number::show(self.dtype, *b as u64)).collect();
            let (want, got) = (number::show(self.result, want), number::show(self.result, got as u64));
            let operands = operands.join(", ");
            let bound = &self.bound;
            found.first = Some(format!("f({operands}): expected {want}, got {got}: {ulps:.3} ULP, bound {bound:?}"));
        }
    }

    /// Returns the figure of the worst result for the accuracy page.
    pub fn figure(&self, found: &Found, of: &str) -> Figure {
        let operands = found.at.iter().take(self.row.arity()).map(|b| number::show(self.dtype, *b as u64));
        let at = operands.collect::<Vec<_>>().join(", ");
        Figure { share: found.share, ulps: Some(found.ulps), at, of: of.into() }
    }
}
