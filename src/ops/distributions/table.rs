//! Tables of weights. To draw a number, 64 random bits are looked up in the table. The draw is exact on every device,
//! because the table holds integers.

use super::wrong;
use crate::array::Array;
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Expr, binary, cast};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::index::take;
use crate::ops::random::mul_high_wide;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;

/// The cumulative sums of weights, and the last sum as `total`. The weights are multiplied by a power of two, so that
/// the last sum is between 2^60 and 2^61, and rounded down to integers.
pub(super) struct Table {
    sums: Expr,
    total: u64,
}

/// Returns an error if a weight is negative, infinite or NaN, if all are 0, or if there are more weights than i32 can
/// count.
pub(super) fn check(op: &'static str, weights: &[f64], at: Loc) -> Result<()> {
    if weights.len() > i32::MAX as usize {
        let detail = format!("{} weights; their positions must fit i32", weights.len());
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let bad = |w: &f64| !(w.is_finite() && *w >= 0.0);
    match weights.iter().position(bad) {
        Some(i) => Err(wrong(op, format!("weight {i} is {}; weights must be finite and not negative", weights[i]), at)),
        None if weights.iter().all(|w| *w == 0.0) => {
            Err(wrong(op, format!("{} weights, all of which are 0", weights.len()), at))
        }
        None => Ok(()),
    }
}

impl Table {
    /// Makes the table of weights on a device. Each weight is rounded down by less than 2^-60 of the sum.
    pub(super) fn new(op: &'static str, weights: &[f64], device: &Device, at: Loc) -> Result<Table> {
        check(op, weights, at)?;
        let largest = weights.iter().fold(0.0f64, |m, w| m.max(*w));
        // the weights are scaled near 1 first, because a sum of very large weights would overflow. The scaling takes
        // two factors, because 2^1074 is infinite in f64.
        let exponent = largest.log2().floor().clamp(-1022.0, 1023.0) as i32;
        let halves = (-exponent / 2, -exponent - -exponent / 2);
        let near_one = |w: f64| w * 2f64.powi(halves.0) * 2f64.powi(halves.1);
        let sum: f64 = weights.iter().map(|w| near_one(*w)).sum();
        let unit = 2f64.powi(61 - sum.log2().ceil() as i32);
        let mut total = 0u64;
        let mut sums: Vec<u64> = Vec::new();
        if sums.try_reserve_exact(weights.len()).is_err() {
            let detail = format!("there is no memory for a table of {} weights", weights.len());
            return Err(Error::with_line(ErrorKind::OutOfMemory, op, detail, at));
        }
        for w in weights {
            total += (near_one(*w) * unit) as u64;
            sums.push(total);
        }
        let n = sums.len();
        let sums = Array::adopt(sums, &[n], at).to_device(device)?;
        Ok(Table { sums: (*sums).clone(), total })
    }

    /// Returns a position in the weights for each pair of random words, as i64. The probability of a position is its
    /// weight divided by the sum of the weights. The two words make a random integer from 0 to `total` − 1. The result
    /// is the first position whose cumulative sum is above this integer, found by binary search.
    pub(super) fn positions(&self, high: Expr, low: Expr, at: Loc) -> Expr {
        let n = self.sums.0.shape[0];
        let shape = high.0.shape.clone();
        let number = |v: usize| Expr::fill(Scalar::Int(v as i128), smallvec![], DType::I32, at);
        let drawn = mul_high_wide(high, low, self.total, at);
        let mut position = Expr::fill_on(self.sums.0.device, Scalar::Int(0), shape, DType::I32, at);
        let mut step = n.next_power_of_two();
        while step > 1 {
            step /= 2;
            // clipping turns a position beyond the end into the last one, whose sum is above every drawn number
            let probe = binary(&arithmetic::add, &position, number(step - 1), at);
            let sum = take(&self.sums, probe, 0, IndexMode::Clip, at);
            let passed = binary(&logic::less_equal, sum, &drawn, at);
            let moved = binary(&arithmetic::multiply, cast(passed, DType::I32, at), number(step), at);
            position = binary(&arithmetic::add, &position, moved, at);
        }
        cast(position, DType::I64, at)
    }
}
