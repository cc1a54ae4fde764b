//! Distributions that are drawn by inverting their distribution functions. Each number is computed from one uniform
//! number, and no number is rejected.

use super::{
    add, choose, computed_in, finite, inside, placed, positive, scale as scale_of, times, unit_exponential, words_of,
    wrong,
};
use crate::base::dtype::DType;
use crate::base::error::{Loc, Result};
use crate::base::layout::IntoShape;
use crate::graph::expr::{Expr, binary, cast, result_of, unary};
use crate::graph::ufunc::{arithmetic, float, logic, special};
use crate::ops::random::{Rng, is_float, word_constant};
use std::panic::Location;

/// Distributions of floats. `dtype` is a float type; f16 and bf16 are computed in f32 and rounded at the end. The
/// parameters are numbers. To draw with an array of parameters, draw from the standard distribution and scale:
/// `rng.exponential(1.0, [3], DType::F32) * &scales`.
///
/// # Errors
/// The expressions carry [`ErrorKind::Argument`](crate::ErrorKind) for a parameter that is out of its range, infinite
/// or NaN; [`ErrorKind::DType`](crate::ErrorKind) for a dtype that is not a float type; and
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind) for more than 2^32 − 1 elements.
impl Rng {
    /// Builds a draw of floats. `make` computes the result from random words, in the dtype that [`computed_in`] returns
    /// for `dtype`. The result is then cast to `dtype`.
    fn floats(
        &mut self,
        op: &'static str,
        shape: impl IntoShape,
        dtype: DType,
        at: Loc,
        make: impl FnOnce(&dyn Fn(u8) -> Expr, DType) -> Result<Expr>,
    ) -> Expr {
        self.draw(op, shape, at, |word| {
            is_float(op, dtype, at)?;
            Ok(cast(make(word, computed_in(dtype))?, dtype, at))
        })
    }

    /// Draws from the exponential distribution with mean `scale`: −`scale` · log(1 − v), where v is uniform in (0, 1).
    /// No number is 0 or infinite before it is rounded to `dtype`. For f32 and scale 1, the smallest number is 2^-33,
    /// small numbers are about 2^-32 apart, and the largest number is 16.6.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).exponential(2.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 2.0).abs() < 0.1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "standard_exponential")]
    #[track_caller]
    pub fn exponential(&mut self, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "exponential";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let scale = scale_of(OP, "the scale", scale, wide, at)?;
            Ok(times(unit_exponential(word, 0, wide, at), scale, at))
        })
    }

    /// Draws from the Gumbel distribution for maxima, with mode `loc`. The result is `loc` − `scale` · log(x), where x
    /// is drawn from the exponential distribution with mean 1.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).gumbel(0.0, 1.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 0.5772).abs() < 0.05);      // Euler's constant
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn gumbel(&mut self, loc: f64, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "gumbel";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let (loc, scale) = (finite(OP, "the mode", loc, wide, at)?, scale_of(OP, "the scale", scale, wide, at)?);
            let e = unary(&float::log, unit_exponential(word, 0, wide, at), at);
            Ok(placed(e, loc, -scale, at))
        })
    }

    /// Draws from the Laplace distribution, whose density is exp(−|x − `loc`| / `scale`) / (2 · `scale`). The result is
    /// `loc` ± `scale` · y with a random sign, where y is drawn from the exponential distribution with mean 1.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).laplace(3.0, 1.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 3.0).abs() < 0.1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn laplace(&mut self, loc: f64, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "laplace";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let (loc, scale) = (finite(OP, "the mean", loc, wide, at)?, scale_of(OP, "the scale", scale, wide, at)?);
            let e = unit_exponential(word, 0, wide, at);
            let below = binary(&logic::less, word(words_of(wide)), word_constant(1 << 31, at), at);
            let signed = choose(below, unary(&arithmetic::negative, &e, at), &e, at);
            Ok(placed(signed, loc, scale, at))
        })
    }

    /// Draws from the logistic distribution: `loc` + `scale` · log(u / (1 − u)), where u is uniform in (0, 1).
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).logistic(3.0, 1.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 3.0).abs() < 0.1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn logistic(&mut self, loc: f64, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "logistic";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let (loc, scale) = (finite(OP, "the mean", loc, wide, at)?, scale_of(OP, "the scale", scale, wide, at)?);
            Ok(placed(unary(&special::logit, inside(word, 0, wide, at), at), loc, scale, at))
        })
    }

    /// Draws from the Cauchy distribution, which has no mean: `loc` + `scale` · tan(π·(u − 1/2)), where u is uniform in
    /// (0, 1).
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).cauchy(0.0, 1.0, [10_000], DType::F32);
    /// let inside = x.abs().less(1.0).astype(DType::F32).mean(..).item::<f32>()?;
    /// assert!((inside - 0.5).abs() < 0.03);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "standard_cauchy")]
    #[track_caller]
    pub fn cauchy(&mut self, loc: f64, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "cauchy";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let (loc, scale) = (finite(OP, "the median", loc, wide, at)?, scale_of(OP, "the scale", scale, wide, at)?);
            let turn = add(inside(word, 0, wide, at), -0.5, at);
            Ok(placed(unary(&special::tanpi, turn, at), loc, scale, at))
        })
    }

    /// Draws from the log-normal distribution: exp(`mean` + `sigma` · z), where z is drawn from the standard normal
    /// distribution. `mean` and `sigma` are the mean and the standard deviation of the logarithm.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).lognormal(0.0, 1.0, [10_000], DType::F32);
    /// assert!(x.log().mean(..).item::<f32>()?.abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn lognormal(&mut self, mean: f64, sigma: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "lognormal";
        let at = Location::caller();
        let wide = computed_in(dtype);
        let z = self.normal_at(OP, shape, wide, at);
        result_of(OP, at, || {
            is_float(OP, dtype, at)?;
            z.checked()?;
            let (mean, sigma) =
                (finite(OP, "the mean", mean, wide, at)?, scale_of(OP, "the deviation", sigma, wide, at)?);
            Ok(cast(unary(&float::exp, placed(z, mean, sigma, at), at), dtype, at))
        })
    }

    /// Draws from the Weibull distribution with shape parameter `a` and scale 1. The result is x^(1/`a`), where x is
    /// drawn from the exponential distribution with mean 1.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).weibull(1.0, [10_000], DType::F32);          // an exponential
    /// assert!((x.mean(..).item::<f32>()? - 1.0).abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn weibull(&mut self, a: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "weibull";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let a = positive(OP, "the shape parameter", a, wide, at)?;
            let log = unary(&float::log, unit_exponential(word, 0, wide, at), at);
            Ok(unary(&float::exp, binary(&arithmetic::divide, log, a, at), at))
        })
    }

    /// Draws from the Pareto distribution of the second kind (Lomax distribution) with shape parameter `a`, like
    /// NumPy's `pareto`. The result is exp(x / `a`) − 1, where x is drawn from an exponential distribution with mean 1.
    /// For the classical Pareto distribution with mode m, add 1 to the result and multiply by m.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).pareto(3.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 0.5).abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn pareto(&mut self, a: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "pareto";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let a = positive(OP, "the shape parameter", a, wide, at)?;
            let e = unit_exponential(word, 0, wide, at);
            Ok(unary(&float::expm1, binary(&arithmetic::divide, e, a, at), at))
        })
    }

    /// Draws from the Rayleigh distribution: the length of a vector of two normal numbers with mean 0 and standard
    /// deviation `scale`. It is computed as `scale` · √(2·x), where x is drawn from the exponential distribution with
    /// mean 1.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).rayleigh(1.0, [10_000], DType::F32);
    /// assert!((x.square().mean(..).item::<f32>()? - 2.0).abs() < 0.1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn rayleigh(&mut self, scale: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "rayleigh";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            let scale = scale_of(OP, "the scale", scale, wide, at)?;
            let e = times(unit_exponential(word, 0, wide, at), 2.0, at);
            Ok(times(unary(&float::sqrt, e, at), scale, at))
        })
    }

    /// Draws from the triangular distribution from `left` to `right`, whose density is largest at `mode`.
    ///
    /// ```
    /// use cupric::{DType, Rng};
    /// let x = Rng::new(1).triangular(0.0, 1.0, 2.0, [10_000], DType::F32);
    /// assert!((x.mean(..).item::<f32>()? - 1.0).abs() < 0.05);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn triangular(&mut self, left: f64, mode: f64, right: f64, shape: impl IntoShape, dtype: DType) -> Expr {
        const OP: &str = "triangular";
        let at = Location::caller();
        self.floats(OP, shape, dtype, at, |word, wide| {
            for (name, v) in [("the left end", left), ("the mode", mode), ("the right end", right)] {
                finite(OP, name, v, wide, at)?;
            }
            let width = finite(OP, "the width", right - left, wide, at)?;
            if !(left <= mode && mode <= right && left < right) {
                let detail =
                    format!("{left}, {mode} and {right} are not a left end, mode and right end in ascending order");
                return Err(wrong(OP, detail, at));
            }
            // `split` is the probability of a number left of the mode; on both sides of the mode, the inverse of the
            // distribution function is a square root
            let split = (mode - left) / width;
            let u = inside(word, 0, wide, at);
            let rising = unary(&float::sqrt, times(&u, split, at), at);
            let rest = add(times(&u, -1.0, at), 1.0, at);
            let falling = unary(&float::sqrt, times(rest, 1.0 - split, at), at);
            let from_left = placed(rising, left, width, at);
            let from_right = placed(falling, right, -width, at);
            Ok(choose(binary(&logic::less, u, split, at), from_left, from_right, at))
        })
    }
}
