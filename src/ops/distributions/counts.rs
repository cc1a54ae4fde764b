//! Poisson's and the binomial distribution of arrays of parameters, by inversion of one uniform number: no tries, so that a draw
//! costs the same whatever the parameters are.
//!
//! The number is the floor of a continuous quantile x of a normal number w, found in the manner of Giles ("Algorithm 955:
//! approximation of the inverse Poisson cumulative distribution function", ACM TOMS 42, 2016), for both distributions at once.
//! With the mean μ, the variance σ², the probability p ≤ 1/2 (0 of Poisson's) and q = 1 − p it is
//!
//! x = μ + σ²·y + 1/2 + log(t/y)/L(y) + c, where t = w/σ and L(y) = log(1 + q·y) − log(1 − p·y).
//!
//! y has the sign of t and the deviance t²/2 = (1/q + y)·log(1 + q·y) + (1/p − y)·log(1 − p·y), the leading term of Temme's
//! expansions of the incomplete gamma and beta functions, and the logarithm is their next term. What is left is below 0.03, and c was
//! fitted to it where x is an integer of 4 or more, so that the probability of a number is off by less than 10^-5 (the binomial
//! one of up to 11 trials by less than 2·10^-4). Whether it is 0, 1 or 2 is decided by their own probabilities.

use super::{Words, add, choose, fine, times};
use crate::base::dtype::{DType, Scalar};
use crate::graph::expr::{Expr, Operand, cast};
use crate::graph::ufunc::{arithmetic, float, logic, special};
use crate::ops::functions::{binary, unary};
use crate::ops::random::word_constant;
use smallvec::smallvec;
use std::panic::Location;

type Loc = &'static Location<'static>;

/// |t| below which y and the logarithm are taken from their series in t, because the formulas cancel.
const NEAR: f64 = 0.2;
/// Steps of Newton's method from a start of two terms of the series: a third one changes no number but some that are drawn less than
/// once in 10^6 times.
const STEPS: usize = 2;
/// The share of the way from 0 to a pole of L that y never leaves.
const WITHIN: f64 = 0.98;

fn minus(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::subtract, a, b, at)
}

fn over(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::divide, a, b, at)
}

fn largest(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::maximum, a, b, at)
}

fn least(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&arithmetic::minimum, a, b, at)
}

fn less(a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    binary(&logic::less, a, b, at)
}

/// Whether a parameter is at least 0 and at most another number; false for NaN.
fn within(e: &Expr, most: impl Operand, at: Loc) -> Expr {
    let not_above = binary(&logic::less_equal, e, most, at);
    binary(&logic::logical_and, binary(&logic::greater_equal, e, 0, at), not_above, at)
}

/// Numbers of events of means, which have the type `wide` and the shape of the draw: −1 of those that are not in 0 to 2^62.
pub(super) fn poisson(mean: &Expr, word: Words, wide: DType, at: Loc) -> Expr {
    let law = Law { mean, variance: mean, trials: None, wide, at };
    let log = unary(&arithmetic::negative, mean, at);
    let number = law.number(&log, [mean.clone(), times(mean, 0.5, at)], word);
    choose(within(mean, 2f64.powi(62), at), number, -1, at)
}

/// Numbers of successes of trials, i64, of probabilities `p` of the type `wide`; both have the shape of the draw. −1 where p is not
/// in 0 to 1, or the number of trials not in 0 to 2^53.
pub(super) fn binomial(trials: &Expr, p: &Expr, word: Words, wide: DType, at: Loc) -> Expr {
    let n = &cast(trials.clone(), wide, at);
    // of the rarer outcome
    let rare = &least(p, minus(1.0, p, at), at);
    let usual = &minus(1.0, rare, at);
    let mean = &times(n, rare, at);
    let variance = &times(mean, usual, at);
    let law = Law { mean, variance, trials: Some(Trials { n, rare, usual }), wide, at };
    let log = times(n, unary(&float::log1p, unary(&arithmetic::negative, rare, at), at), at);
    let odds = &over(rare, usual, at);
    let ratios = [times(n, odds, at), times(minus(n, 1.0, at), times(odds, 0.5, at), at)];
    // rounding errors of a few trials may count one more than there are
    let number = least(law.number(&log, ratios, word), trials, at);
    let number = choose(less(0.5, p, at), minus(trials, &number, at), number, at);
    let valid = binary(&logic::logical_and, within(p, 1.0, at), within(trials, 1i64 << 53, at), at);
    choose(valid, number, -1, at)
}

/// A normal number, the larger the smaller the uniform number of the same words is, by the inverse of Φ on the side where that is
/// small.
fn normal(word: Words, wide: DType, at: Loc) -> Expr {
    let (is_small, tail) = if wide == DType::F64 {
        let v = fine(word, 0, wide, at);
        (less(&v, 0.5, at), least(&v, minus(1.0, &v, at), at))
    } else {
        let folded = least(word(0), unary(&logic::bitwise_invert, word(0), at), at);
        let tail = fine(&|_| folded.clone(), 0, wide, at);
        (less(word(0), word_constant(1 << 31, at), at), tail)
    };
    let low = unary(&special::ndtri, tail, at);
    choose(is_small, unary(&arithmetic::negative, &low, at), &low, at)
}

/// The number of trials, and the probabilities of the rarer outcome and of the other.
struct Trials<'a> {
    n: &'a Expr,
    rare: &'a Expr,
    usual: &'a Expr,
}

/// A binomial distribution, or Poisson's, which has no number of trials.
struct Law<'a> {
    mean: &'a Expr,
    variance: &'a Expr,
    trials: Option<Trials<'a>>,
    wide: DType,
    at: Loc,
}

impl Law<'_> {
    /// The number that is drawn, as i64, of the logarithm of the probability of 0, and of the ratios of the probabilities of 1 and 0,
    /// and of 2 and 1. It may be beyond the number of trials.
    fn number(&self, log: &Expr, ratios: [Expr; 2], word: Words) -> Expr {
        let at = self.at;
        let whole = unary(&arithmetic::floor, self.mean, at);
        let above = self.above(&whole, &normal(word, self.wide, at));
        // apart, because a float has no digits for both of a large mean
        let many = add(cast(whole, DType::I64, at), cast(above, DType::I64, at), at);
        // the probabilities of 1, 2, 3 and more
        let one = times(unary(&float::exp, log, at), &ratios[0], at);
        let two = times(&one, &ratios[1], at);
        let of_one = unary(&arithmetic::negative, unary(&float::expm1, log, at), at);
        let of_two = minus(&of_one, one, at);
        let of_three = minus(&of_two, two, at);
        let v = fine(word, 0, self.wide, at);
        let passes = |tail: Expr| less(&v, tail, at);
        let few = add(cast(passes(of_one), DType::I64, at), cast(passes(of_two), DType::I64, at), at);
        choose(passes(of_three), largest(many, 3, at), few, at)
    }

    /// The quantile of a normal number, less the whole part of the mean, rounded down.
    fn above(&self, whole: &Expr, w: &Expr) -> Expr {
        let at = self.at;
        let t = &over(w, unary(&float::sqrt, self.variance, at), at);
        let is_near = &less(unary(&arithmetic::abs, t, at), NEAR, at);
        // the series that t²/2 has in y, reversed; with a = q − p
        let terms = [(true, vec![1. / 6.])];
        let more = [
            (false, vec![-1. / 48., 1. / 144.]),
            (true, vec![1. / 240., -1. / 2160.]),
            (false, vec![-13. / 23040., -1. / 1280., 1. / 69120.]),
        ];
        let series = |terms: &[(bool, Vec<f64>)]| {
            let terms: Vec<Expr> = terms.iter().map(|(odd, c)| self.in_skew(*odd, c)).collect();
            times(t, add(times(self.polynomial(t, &terms), t, at), 1.0, at), at)
        };
        // with more terms the start would have the wrong sign where t is large, as it is of small means
        let mut y = self.inside(series(&terms));
        for _ in 0..STEPS {
            let (slope, deviance) = self.deviance(&y);
            let root = unary(&float::sqrt, times(largest(deviance, 0.0, at), 2.0, at), at);
            let root = binary(&float::copysign, root, &y, at);
            let step = over(times(minus(&root, t, at), &root, at), slope, at);
            y = self.inside(minus(&y, step, at));
        }
        let bend = over(unary(&float::log, over(t, &y, at), at), self.deviance(&y).0, at);
        let y = choose(is_near, series(&[&terms[..], &more[..]].concat()), &y, at);
        let near = [
            self.in_skew(true, &[-1. / 6.]),
            self.in_skew(false, &[1. / 48., -7. / 144.]),
            self.in_skew(true, &[7. / 720., -7. / 6480.]),
        ];
        let bend = add(choose(is_near, self.polynomial(t, &near), bend, at), 0.5, at);
        let away = times(self.variance, y, at);
        let rest = self.rest(&add(add(self.mean, &away, at), &bend, at));
        let above = add(add(minus(self.mean, whole, at), away, at), add(bend, rest, at), at);
        unary(&arithmetic::floor, above, at)
    }

    /// What the two terms leave at the quantile x, by fractions that were fitted to it: of x and μ, and the same from the other end;
    /// and of few trials some more.
    fn rest(&self, x: &Expr) -> Expr {
        let at = self.at;
        let of = |x: Expr, mean: Expr| {
            let x = times(largest(x, 1.0, at), 44.9, at);
            over(1.0, add(add(x, times(mean, 5.7, at), at), -16.0, at), at)
        };
        let low = of(x.clone(), self.mean.clone());
        match &self.trials {
            None => unary(&arithmetic::negative, low, at),
            Some(Trials { n, rare, usual }) => {
                let high = of(minus(add(*n, 1.0, at), x, at), times(*n, *usual, at));
                let away = add(over(add(times(x, 2.0, at), -1.0, at), *n, at), -1.0, at);
                let skew = times(minus(*usual, *rare, at), 0.0154, at);
                let more = over(add(skew, times(away, 0.0054, at), at), *n, at);
                minus(high, add(low, more, at), at)
            }
        }
    }

    /// L(y), the derivative of the deviance, and the deviance.
    fn deviance(&self, y: &Expr) -> (Expr, Expr) {
        let at = self.at;
        let log1p = |x: &Expr| unary(&float::log1p, x, at);
        match &self.trials {
            None => {
                let log = log1p(y);
                let deviance = minus(times(add(y, 1.0, at), &log, at), y, at);
                (log, deviance)
            }
            Some(Trials { rare, usual, .. }) => {
                let more = log1p(&times(*usual, y, at));
                let fewer = log1p(&unary(&arithmetic::negative, times(*rare, y, at), at));
                let of_more = times(add(over(1.0, *usual, at), y, at), &more, at);
                let of_fewer = times(minus(over(1.0, *rare, at), y, at), &fewer, at);
                (minus(more, fewer, at), add(of_more, of_fewer, at))
            }
        }
    }

    /// y where L has a value.
    fn inside(&self, y: Expr) -> Expr {
        let at = self.at;
        match &self.trials {
            None => largest(y, -WITHIN, at),
            Some(Trials { rare, usual, .. }) => {
                least(largest(y, over(-WITHIN, *usual, at), at), over(WITHIN, *rare, at), at)
            }
        }
    }

    /// A polynomial in a² with a = q − p, times a if it is odd. Of Poisson's distribution a is 1.
    fn in_skew(&self, odd: bool, coefficients: &[f64]) -> Expr {
        let number = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], self.wide, self.at);
        match &self.trials {
            None => number(coefficients.iter().sum()),
            Some(Trials { rare, usual, .. }) => {
                let skew = minus(*usual, *rare, self.at);
                let square = times(&skew, &skew, self.at);
                let coefficients: Vec<Expr> = coefficients.iter().map(|c| number(*c)).collect();
                let even = self.polynomial(&square, &coefficients);
                if odd { times(even, skew, self.at) } else { even }
            }
        }
    }

    /// A polynomial in x, the constant first, by Horner's scheme.
    fn polynomial(&self, x: &Expr, coefficients: &[Expr]) -> Expr {
        let Some((last, others)) = coefficients.split_last() else { return x.clone() };
        others.iter().rfold(last.clone(), |sum, c| add(times(sum, x, self.at), c, self.at))
    }
}
