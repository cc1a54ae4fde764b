//! Gamma, chi-square, beta and Dirichlet distributions, by Marsaglia and Tsang's method ("A simple method for
//! generating gamma variables", ACM TOMS 26, 2000). Each try computes a candidate and accepts or rejects it. A draw
//! computes enough tries that all of them fail with a probability below 2^-64.

use super::{add, choose, computed_in, inside, positive, scale as scale_of, times, unit_exponential};
use crate::base::dtype::DType;
use crate::base::error::{Loc, Result};
use crate::base::layout::{IntoShape, Shape};
use crate::graph::expr::{Called, Expr, binary, cast, composed, result_of, unary};
use crate::graph::ufunc::{arithmetic, float, logic, special};
use crate::math::double;
use crate::ops::functions::stack_at;
use crate::ops::random::{Rng, drawn_shape, is_float, normal_of};
use std::panic::Location;

/// Gamma distributions, and distributions derived from them. For each number, a draw computes up to 15 candidates,
/// depending on the shape parameter, and returns one that the rejection test accepts. Each candidate takes one stream
/// of random words (two for f64). A shape parameter below 1 takes one more.
///
/// # Errors
/// The expressions carry [`ErrorKind::Argument`](crate::ErrorKind) unless shape parameters are positive and finite and
/// a scale is finite and not negative; [`ErrorKind::DType`](crate::ErrorKind) for a dtype that is not a float type; and
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind) for more than 2^32 − 1 elements.
impl Rng {
    /// Draws from the gamma distribution with shape parameter `a` and mean `a` · `scale`.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).gamma(2.5, 2.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 5.0).abs() < 0.2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "standard_gamma")]
    #[track_caller]
    pub fn gamma(&mut self, a: f64, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "gamma";
        let at = Location::caller();
        result_of(OP, at, || {
            let (shape, wide) = self.gamma_arguments(OP, shape, dtype, at)?;
            let a = positive(OP, "the shape parameter", a, wide, at)?;
            let scale = scale_of(OP, "the scale", scale, wide, at)?;
            let log = self.log_of_small(a, &shape, wide, at);
            let g = composed(|| self.gamma_of_large(a, &shape, wide, at));
            let g = match log {
                Some(log) => times(g, unary(&float::exp, log, at), at),
                None => g,
            };
            Ok(cast(times(g, scale, at), dtype, at))
        })
    }

    /// Draws from the chi-square distribution with `df` degrees of freedom: twice a number from the gamma distribution
    /// with shape parameter `df / 2` and scale 1.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).chisquare(3.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 3.0).abs() < 0.15);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "chi2")]
    #[track_caller]
    pub fn chisquare(&mut self, df: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "chisquare";
        let at = Location::caller();
        result_of(OP, at, || {
            let (shape, wide) = self.gamma_arguments(OP, shape, dtype, at)?;
            let a = positive(OP, "the number of degrees of freedom", df, wide, at)? / 2.0;
            let log = self.log_of_small(a, &shape, wide, at);
            let g = composed(|| self.gamma_of_large(a, &shape, wide, at));
            let g = match log {
                Some(log) => times(g, unary(&float::exp, log, at), at),
                None => g,
            };
            Ok(cast(times(g, 2.0, at), dtype, at))
        })
    }

    /// Draws from the beta distribution with shape parameters `a` and `b`: x / (x + y), where x and y are drawn from
    /// gamma distributions with these shape parameters. The result is computed from the logarithms of x and y, which do
    /// not underflow for small parameters.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).beta(2.0, 6.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 0.25).abs() < 0.02);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn beta(&mut self, a: f64, b: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "beta";
        let at = Location::caller();
        result_of(OP, at, || {
            let (shape, wide) = self.gamma_arguments(OP, shape, dtype, at)?;
            let (a, b) =
                (positive(OP, "the first shape", a, wide, at)?, positive(OP, "the second shape", b, wide, at)?);
            let (x, y) = (self.log_gamma(a, &shape, wide, at), self.log_gamma(b, &shape, wide, at));
            let odds = binary(&arithmetic::subtract, x, y, at);
            Ok(cast(unary(&special::sigmoid, odds, at), dtype, at))
        })
    }

    /// Draws from the Dirichlet distribution with the k shape parameters `alpha`: k numbers with the sum 1 along an
    /// additional last axis of length k. The numbers are drawn from gamma distributions and divided by their sum,
    /// computed as a softmax of their logarithms.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).dirichlet(&[1.0, 2.0, 5.0], [1000], DType::F32).eval()?;
    /// assert_eq!(x.shape(), [1000, 3]);
    /// assert!((x.sum(1) - 1.0).abs().max(..).item::<f32>()? < 1e-6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn dirichlet(&mut self, alpha: &[f64], shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "dirichlet";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let logs = result_of(OP, at, || {
            let (shape, wide) = self.gamma_arguments(OP, shape, dtype, at)?;
            if alpha.is_empty() {
                return Err(super::wrong(OP, "there are no shape parameters".into(), at));
            }
            for a in alpha {
                positive(OP, "a shape parameter", *a, wide, at)?;
            }
            let parts = alpha.iter().map(|a| self.log_gamma(*a, &shape, wide, at)).collect();
            Ok(stack_at(OP, parts, -1, at))
        });
        cast(logs.softmax(-1), dtype, at)
    }

    fn gamma_arguments(
        &mut self,
        op: &'static str,
        shape: impl IntoShape,
        dtype: DType,
        at: Loc,
    ) -> Result<(Shape, DType)> {
        is_float(op, dtype, at)?;
        Ok((drawn_shape(op, shape, at)?, computed_in(dtype)))
    }

    /// Draws the logarithm of a gamma number with shape parameter `a`.
    fn log_gamma(&mut self, a: f64, shape: &Shape, wide: DType, at: Loc) -> Expr {
        let small = self.log_of_small(a, shape, wide, at);
        let log = unary(&float::log, composed(|| self.gamma_of_large(a, shape, wide, at)), at);
        match small {
            Some(small) => add(log, small, at),
            None => log,
        }
    }

    /// Draws the logarithm of u^(1/a) with a uniform u, if `a` is below 1. The product of u^(1/a) and a gamma number of
    /// shape a + 1 is a gamma number of shape a.
    fn log_of_small(&mut self, a: f64, shape: &Shape, wide: DType, at: Loc) -> Option<Expr> {
        let stream = (a < 1.0).then(|| self.take_stream())?;
        let e = unit_exponential(&|k| stream.word(k, shape, at), 0, wide, at);
        Some(times(e, -1.0 / a, at))
    }

    /// Draws a gamma number of shape `a`, or of shape a + 1 if `a` is below 1. The result is d·v with v = (1 + y)³,
    /// where y = c·x for a normal number x. This v is accepted if log(u) < x²/2 + d·(1 − v + log v) for a uniform
    /// number u. The expression in parentheses is computed from y, because its direct form cancels.
    fn gamma_of_large(&mut self, a: f64, shape: &Shape, wide: DType, at: Loc) -> Expr {
        let a = if a < 1.0 { a + 1.0 } else { a };
        let d = a - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        // Each pass of this loop makes one try. The probability that no try is accepted is below 2^-64. Any accepted
        // try can be the result, because tries are independent.
        let mut v: Option<Expr> = None;
        for _ in 0..tries(a) {
            let stream = self.take_stream();
            let x = normal_of(&|k| stream.word(k, shape, at), 0, wide, at);
            let y = times(&x, c, at);
            let root = add(&y, 1.0, at);
            let cube = times(times(&root, &root, at), &root, at);
            // in f64 the normal number uses all words of its stream, so u takes another stream
            let (stream, first) = if wide == DType::F64 { (self.take_stream(), 0) } else { (stream, 2) };
            let u = inside(&|k| stream.word(k, shape, at), first, wide, at);
            // `bend` is 3·(log(1 + y) − y − y²) − y³; where 1 + y is negative it is NaN, and the try is rejected
            let square = times(&y, &y, at);
            let log = binary(&arithmetic::subtract, unary(&float::log1p, &y, at), &y, at);
            let bend = times(binary(&arithmetic::subtract, log, &square, at), 3.0, at);
            let bend = binary(&arithmetic::subtract, bend, times(square, &y, at), at);
            let limit = add(times(times(&x, &x, at), 0.5, at), times(bend, d, at), at);
            let accepted = binary(&logic::less, unary(&float::log, u, at), limit, at);
            v = Some(match v {
                None if a >= ALMOST_NORMAL => cube,
                None => choose(accepted, cube, 1.0, at),
                Some(v) => choose(accepted, cube, v, at),
            });
        }
        match v {
            Some(v) => times(v, d, at),
            None => Expr::fill(crate::base::dtype::Scalar::Float(a), shape.clone(), wide, at),
        }
    }
}

/// If the shape parameter has this value or more, every try is accepted without a test, because less than a fraction of
/// 2^-30 of the tries would be rejected.
const ALMOST_NORMAL: f64 = (1u64 << 40) as f64;

/// Returns how many tries are needed so that all fail with a probability below 2^-64, for a shape parameter of 1 or
/// more. A try is accepted with the probability e^d · √d · Γ(a) · d^−a / √(2π), the integral of the accepted density.
fn tries(a: f64) -> usize {
    if a >= ALMOST_NORMAL {
        return 1;
    }
    // the probability of acceptance grows with a, so a is limited: for a large a the logarithms would cancel
    let a = a.min(1000.0);
    let d = a - 1.0 / 3.0;
    let log = d + 0.5 * d.ln() + double::lgamma(a) - a * d.ln() - 0.5 * std::f64::consts::TAU.ln();
    let rejected = (-log.exp_m1()).max(1e-9);
    (64.0 * std::f64::consts::LN_2 / -rejected.ln()).ceil() as usize
}

#[cfg(feature = "testing")]
mod tests {
    use super::tries;

    crate::testing::unit_tests!(distributions_gamma: tries_are_as_many_as_needed);

    fn tries_are_as_many_as_needed() {
        // for a = 1, one try in 21 is rejected
        assert_eq!((tries(1.0), tries(2.0), tries(1e6), tries(1e15)), (15, 12, 5, 1));
    }
}
