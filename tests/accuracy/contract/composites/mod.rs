//! Trials of functions built from others: products, norms, statistics and elementwise composites. Each trial has
//! operands, calls, and a reference computed by plain loops in double-double numbers or i128.

mod elementwise;
mod network;
mod orders;
mod products;
mod segments;
mod sets;
mod statistics;

use super::bound::{Bound, Real, judge};
use super::dd::Dd;
use super::entry::Entry;
use super::layouts::{LAYOUTS, by_turns};
use super::page::Figure;
use super::report::{Passed, Report};
use super::underflow::Underflow;
use crate::kit::{self, Dice, number};
use cupric::*;

/// Rows and columns of the operands, and the length of the axis that is summed.
const M: usize = 5;
const N: usize = 4;
const K: usize = 67;

/// What one element of the result must be.
enum Want {
    Bits(u64),
    /// The exact value, the largest allowed error, and the operands (for bounds that depend on them).
    Near(Real, f64, Vec<f64>),
    /// Accepts any answer, because a rounding error may decide it.
    Either,
}

/// An expression, and what each element of its result must be.
struct Call {
    what: &'static str,
    e: Expr,
    dtype: DType,
    want: Vec<Want>,
}

struct Trial<'a> {
    entry: &'a Entry,
    d: DType,
    turned: bool,
    device: &'a Device,
    dice: Dice,
    underflow: Underflow,
}

/// The elements as bits in C order, and the shape.
type Values = (Vec<u64>, Vec<usize>);

impl Trial<'_> {
    fn name(&self) -> &str {
        &self.entry.function
    }

    /// The dtype of results that are floats: the operand's own dtype if it is a float, otherwise f32.
    fn float(&self) -> DType {
        if self.d.is_float() { self.d } else { DType::F32 }
    }

    /// Half the spacing of numbers near 1 in the type in which the functions compute.
    fn u(&self) -> f64 {
        if self.float() == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) }
    }

    fn draw(&mut self, shape: &[usize]) -> Values {
        let (d, n) = (self.d, shape.iter().product());
        let of = |dice: &mut Dice| match d {
            DType::Bool => dice.next() & 1,
            d if d.is_float() => number::round(d, dice.normal()),
            d if dice.one_in(2) => number::wrap(d, dice.between(0, 5) as i128),
            d => dice.next() >> (64 - 8 * d.size()),
        };
        ((0..n).map(|_| of(&mut self.dice)).collect(), shape.to_vec())
    }

    /// Draws values so small that no power or square of them overflows.
    fn small(&mut self, shape: &[usize]) -> Values {
        let (d, n) = (self.d, shape.iter().product());
        let of = |dice: &mut Dice| match d {
            DType::Bool => dice.next() & 1,
            d if d.is_float() => number::round(d, dice.normal()),
            d if d.is_unsigned_integer() => dice.between(0, 100) as u64,
            d => number::wrap(d, dice.between(-100, 100) as i128),
        };
        ((0..n).map(|_| of(&mut self.dice)).collect(), shape.to_vec())
    }

    /// Makes an array of the values. It is stored with its axes reversed if the trial uses the transposed layout.
    fn array(&self, v: &Values) -> Result<Expr> {
        let (bits, shape) = v;
        if !self.turned || shape.len() < 2 {
            return Ok(kit::array(self.d, bits, shape, self.device)?.into());
        }
        let back: Vec<usize> = shape.iter().rev().copied().collect();
        let stored: Vec<u64> = kit::every_index(&back)
            .iter()
            .map(|i| bits[i.iter().rev().zip(shape).fold(0, |flat, (i, n)| flat * n + i)])
            .collect();
        Ok(kit::array(self.d, &stored, &back, self.device)?.t())
    }

    /// Converts a value to the number that a float function computes with.
    fn real(&self, bits: u64) -> f64 {
        match self.d.is_float() {
            true => number::real(self.d, bits),
            false => number::real(DType::F32, number::round_integer(DType::F32, number::integer(self.d, bits))),
        }
    }

    fn reals(&self, bits: &[u64]) -> Vec<f64> {
        bits.iter().map(|b| self.real(*b)).collect()
    }

    /// A float result whose largest allowed error is computed from its operands.
    fn near(&self, exact: Dd, allowed: f64) -> Want {
        let t = self.float();
        let ulp = number::ulp(t, exact.hi);
        let half = matches!(t, DType::F16 | DType::BF16);
        let allowed = if half { allowed + ulp } else { allowed.max(ulp) };
        Want::Near(Real { value: exact.hi, rest: exact.lo }, allowed, vec![])
    }

    /// A result that is judged by the contract's bound, as a number of ULP.
    fn by_bound(&self, exact: impl Into<Real>, operands: &[f64]) -> Want {
        Want::Near(exact.into(), 0.0, operands.to_vec())
    }

    fn check(&mut self) -> Result<Passed, String> {
        let calls = match self.name() {
            "vector_norm" | "matrix_norm" | "average" | "cov" | "corrcoef" => self.statistics(),
            "clip_lower" | "clip_upper" | "nan_to_num" | "heaviside" | "modf" | "frexp" | "ldexp" | "divmod"
            | "polyval" | "round_to" | "isclose" | "allclose" => self.elementwise(),
            "sort"
            | "argsort"
            | "lexsort"
            | "partition"
            | "argpartition"
            | "topk"
            | "searchsorted"
            | "digitize"
            | "cummax_with_positions"
            | "cummin_with_positions"
            | "histogram"
            | "histogram2d"
            | "median"
            | "quantile"
            | "percentile"
            | "nanmedian"
            | "nanquantile"
            | "nanpercentile"
            | "interp" => self.orders(),
            "index_add" | "segment_sum" | "bincount_weighted" | "histogram_weighted" | "reduce_at" => self.segments(),
            "nonzero" | "argwhere" | "flatnonzero" | "isin" | "unique_values" | "unique_counts" | "unique_inverse"
            | "unique_all" | "intersect" | "union" | "setdiff" => self.sets(),
            name if name.starts_with("conv") && name.ends_with('d') => self.convolutions(),
            name if name.contains("_pool") => self.pools(),
            "dropout" => self.dropout(),
            _ => self.products(),
        };
        let lacks = |e: &Error| self.entry.gpu() && e.kind() == ErrorKind::Unsupported;
        let none = || Passed { unsupported: true, ..Passed::default() };
        let calls = match calls {
            Ok(calls) => calls,
            Err(e) if lacks(&e) => return Ok(none()),
            Err(e) => return Err(e.to_string()),
        };
        let mut passed = Passed::default();
        for call in calls {
            let got = match kit::read(&call.e) {
                Err(e) if lacks(&e) && self.d.size() == 8 => return Ok(none()),
                got => got.map_err(|e| format!("{}: {e}", call.what))?,
            };
            let dtype = call.e.dtype().map_err(|e| e.to_string())?;
            if dtype != call.dtype || got.len() != call.want.len() {
                return Err(format!(
                    "{}: {} of {dtype}, not {} of {}",
                    call.what,
                    got.len(),
                    call.want.len(),
                    call.dtype
                ));
            }
            for (i, (got, want)) in got.iter().zip(&call.want).enumerate() {
                let figure =
                    self.judged(dtype, *got, want).map_err(|why| format!("{}: element {i}: {why}", call.what))?;
                if figure.worse(&passed.worst) {
                    passed.worst = Figure { at: format!("element {i} of {}", call.what), ..figure };
                }
            }
            passed.elements += got.len();
        }
        Ok(passed)
    }

    /// Returns which share of its bound an element's error takes, or a message if the element is wrong.
    fn judged(&self, t: DType, got: u64, want: &Want) -> Result<Figure, String> {
        let floor = if self.entry.gpu() { 2f64.powi(-126) } else { 0.0 };
        let show = |bits: u64| number::show(t, bits);
        match want {
            Want::Either => Ok(Figure::default()),
            Want::Bits(b) => {
                let nan = number::is_nan(t, *b) && number::is_nan(t, got);
                let tiny =
                    t.is_float() && self.entry.gpu() && (number::real(t, got) - number::real(t, *b)).abs() <= floor;
                if *b == got || nan || tiny {
                    Ok(Figure::default())
                } else {
                    Err(format!("{}, not {}", show(got), show(*b)))
                }
            }
            Want::Near(exact, allowed, operands) => {
                let error = ((number::real(t, got) - exact.value) - exact.rest).abs();
                let (ulps, right) = judge(&self.entry.bound, floor, t, *exact, operands, got);
                // a named bound has no ULP limit, so the error allowed for these operands alone decides
                if *allowed > 0.0 && matches!(self.entry.bound, Bound::Named(_)) {
                    let share = error / (allowed + floor);
                    return match share <= 1.0 {
                        true => Ok(Figure { share, ..Figure::default() }),
                        false => {
                            Err(format!("{}, not {:e}: error {error:e}, bound {allowed:e}", show(got), exact.value))
                        }
                    };
                }
                match right {
                    true => {
                        let share = if self.entry.bound == Bound::Exact {
                            0.0
                        } else {
                            ulps / self.entry.bound.limits(1.0, &[], t).0
                        };
                        let share = if share <= 1.0 { share } else { 0.0 };
                        Ok(Figure { share, ulps: Some(ulps), ..Figure::default() })
                    }
                    false => Err(format!("{}, not {:e}: {ulps} ULP", show(got), exact.value)),
                }
            }
        }
    }
}

/// Runs the trials of one line of the contract.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    // on a GPU each type has its own kernels; to save time, a run takes each layout in one turn of eight
    let both = by_turns(entry).len() == LAYOUTS.len();
    let own = entry.topic().len() + kit::number_of(entry.dtype);
    let layouts = [("contiguous", false), ("transposed", true)];
    let takes = |k: usize| both || kit::in_turn(own + 4 * k, 8);
    for (_, (layout, turned)) in layouts.into_iter().enumerate().filter(|(k, _)| takes(*k)) {
        let seed = entry.topic().bytes().fold(7, |h, b| h * 31 % 1_000_003 + b as u64);
        let underflow = Underflow::of(device);
        let mut trial = Trial { entry, d: entry.dtype, turned, device, dice: Dice::new(seed), underflow };
        report.trial(&format!("{name}::{layout}"), || trial.check());
    }
}
