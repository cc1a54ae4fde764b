//! The Poisson and binomial distributions for arrays of parameters. A draw inverts the distribution function at one
//! uniform number. No draw is rejected, so a draw costs the same for all parameters.
//!
//! A normal number w is computed from the uniform number. The result is the floor of x, a continuous approximation of
//! the quantile at w. Both distributions use the method of Giles ("Algorithm 955: approximation of the inverse Poisson
//! cumulative distribution function", ACM TOMS 42, 2016). With the mean μ, the variance σ², the probability p ≤ 1/2 (0
//! for a Poisson distribution) and q = 1 − p, the quantile is
//!
//! x = μ + σ²·y + 1/2 + log(t/y)/L(y) + c, where t = w/σ and L(y) = log(1 + q·y) − log(1 − p·y).
//!
//! y has the sign of t and satisfies t²/2 = (1/q + y)·log(1 + q·y) + (1/p − y)·log(1 − p·y). The right side of this
//! equation is called the deviance. It is the leading term of Temme's expansions of the incomplete gamma and beta
//! functions.
//!
//! Without c, the error of x is below 0.03. The correction c was fitted to this error at integers x of 4 or more. With
//! it, each probability is off by less than 10^-5 (2·10^-5 for a binomial distribution of 12 or more trials, and
//! 2·10^-4 for one of fewer). The results 0, 1 and 2 are decided by comparing the uniform number with their exact
//! probabilities.

use super::{Words, add, choose, fine, times};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::Loc;
use crate::graph::expr::{Expr, Operand, binary, cast, unary};
use crate::graph::ufunc::{arithmetic, float, logic, special};
use crate::ops::random::word_constant;
use smallvec::smallvec;

/// If |t| is below this number, the quantile is computed by series in t, because its formula in the module's head loses
/// digits by cancellation. t is the normal number divided by the standard deviation.
const NEAR: f64 = 0.2;
/// The number of steps of Newton's method for y, the unknown of the equation in the module's head. A third step would
/// change only numbers that are drawn less than once in 10^6 times.
const STEPS: usize = 2;
/// The unknown y is limited to this fraction of the distance from 0 to the nearest pole of log(1 + q·y) − log(1 − p·y),
/// where p is the probability of success (0 for a Poisson distribution) and q = 1 − p.
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

/// Tests whether a parameter is at least 0 and at most `most`. The result is false for NaN.
fn within(e: &Expr, most: impl Operand, at: Loc) -> Expr {
    let not_above = binary(&logic::less_equal, e, most, at);
    binary(&logic::logical_and, binary(&logic::greater_equal, e, 0, at), not_above, at)
}

/// Draws from the Poisson distribution. The means have the dtype `wide` and the shape of the draw. The result is −1 for
/// a mean outside 0 to 2^62.
pub(super) fn poisson(mean: &Expr, word: Words, wide: DType, at: Loc) -> Expr {
    let law = Law { mean, variance: mean, trials: None, wide, at };
    let log = unary(&arithmetic::negative, mean, at);
    let number = law.number(&log, [mean.clone(), times(mean, 0.5, at)], word);
    choose(within(mean, 2f64.powi(62), at), number, -1, at)
}

/// Draws from the binomial distribution. `trials` (i64) and `p` (of the dtype `wide`) have the shape of the draw. The
/// result is −1 for a `p` outside 0 to 1 and for a number of trials outside 0 to 2^53.
pub(super) fn binomial(trials: &Expr, p: &Expr, word: Words, wide: DType, at: Loc) -> Expr {
    let n = &cast(trials.clone(), wide, at);
    // the less probable outcome of a trial is counted, and its probability is `rare`
    let rare = &least(p, minus(1.0, p, at), at);
    let usual = &minus(1.0, rare, at);
    let mean = &times(n, rare, at);
    let variance = &times(mean, usual, at);
    let law = Law { mean, variance, trials: Some(Trials { n, rare, usual }), wide, at };
    let log = times(n, unary(&float::log1p, unary(&arithmetic::negative, rare, at), at), at);
    let odds = &over(rare, usual, at);
    let ratios = [times(n, odds, at), times(minus(n, 1.0, at), times(odds, 0.5, at), at)];
    // for few trials, rounding errors may count one success more than there are trials
    let number = least(law.number(&log, ratios, word), trials, at);
    let number = choose(less(0.5, p, at), minus(trials, &number, at), number, at);
    let valid = binary(&logic::logical_and, within(p, 1.0, at), within(trials, 1i64 << 53, at), at);
    choose(valid, number, -1, at)
}

/// Computes a normal number from the words of a uniform number. The normal number decreases as the uniform number
/// grows. The function applies the inverse of the normal distribution function Φ in the lower tail, where Φ is small,
/// and then sets the sign.
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

/// The number of trials, the probability of a trial's less probable outcome, and the probability of the other outcome.
struct Trials<'a> {
    n: &'a Expr,
    rare: &'a Expr,
    usual: &'a Expr,
}

/// A binomial distribution, or a Poisson distribution if `trials` is `None`.
struct Law<'a> {
    mean: &'a Expr,
    variance: &'a Expr,
    trials: Option<Trials<'a>>,
    wide: DType,
    at: Loc,
}

impl Law<'_> {
    /// Returns the drawn number, as i64, which may exceed the number of trials. `log` is the logarithm of P(0), the
    /// probability of the result 0. `ratios` are P(1) / P(0) and P(2) / P(1).
    fn number(&self, log: &Expr, ratios: [Expr; 2], word: Words) -> Expr {
        let at = self.at;
        let whole = unary(&arithmetic::floor, self.mean, at);
        let above = self.above(&whole, &normal(word, self.wide, at));
        // both terms are added as integers, because for a large mean the sum has too many digits for a float
        let many = add(cast(whole, DType::I64, at), cast(above, DType::I64, at), at);
        // `one` and `two` are the probabilities of the results 1 and 2; `of_one` to `of_three` are the probabilities
        // that the result is at least 1, 2 and 3
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

    /// Returns the quantile for the normal number `w`, minus `whole` (the whole part of the mean), rounded down.
    fn above(&self, whole: &Expr, w: &Expr) -> Expr {
        let at = self.at;
        let t = &over(w, unary(&float::sqrt, self.variance, at), at);
        let is_near = &less(unary(&arithmetic::abs, t, at), NEAR, at);
        // y is a series in powers of t. Each of its coefficients is a polynomial in a = q − p, given by a flag (true if
        // it has only odd powers) and the coefficients of the powers of a²
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
        // Newton's method starts from only two terms of the series. With more terms the start would have the wrong sign
        // for a large t, which occurs for small means.
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

    /// Returns a correction of the quantile x, which the module's head calls c. It is a sum of fractions with fitted
    /// coefficients. The first fraction depends on x and the mean. For a binomial distribution there are two more: the
    /// same fraction with x counted from the other end of the distribution, and one that matters only for few trials.
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

    /// Returns L(y) = log(1 + q·y) − log(1 − p·y), and the deviance (1/q + y)·log(1 + q·y) + (1/p − y)·log(1 − p·y),
    /// whose derivative is L(y).
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

    /// Clamps y, the unknown of Newton's method, to an interval in which log(1 + q·y) − log(1 − p·y) is finite. p and q
    /// are the probabilities of a trial's two outcomes.
    fn inside(&self, y: Expr) -> Expr {
        let at = self.at;
        match &self.trials {
            None => largest(y, -WITHIN, at),
            Some(Trials { rare, usual, .. }) => {
                least(largest(y, over(-WITHIN, *usual, at), at), over(WITHIN, *rare, at), at)
            }
        }
    }

    /// Returns a polynomial in a², multiplied by a if `odd` is true. a = q − p is the difference of the probabilities
    /// of a trial's two outcomes, and 1 for a Poisson distribution.
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

    /// Evaluates a polynomial in x by Horner's method; the constant coefficient comes first.
    fn polynomial(&self, x: &Expr, coefficients: &[Expr]) -> Expr {
        let Some((last, others)) = coefficients.split_last() else { return x.clone() };
        others.iter().rfold(last.clone(), |sum, c| add(times(sum, x, self.at), c, self.at))
    }
}
