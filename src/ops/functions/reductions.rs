//! Reductions over axes, and functions that are built from them: means and variances. A method that computes 16-bit
//! floats or integers in f32 casts its operand to f32 first ([`wide`]), and casts to the dtype of its result at the end
//! ([`narrow`]).

use super::squares::Spread;
use super::sums::{count, exact_sum, expanded, gone, kept, mean_at, narrow, narrow_sum, sum_in_its_type, wide};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc};
use crate::base::layout::{AxesArg, IntoAxes};
use crate::graph::expr::{Expr, Reach, binary, cast, reduce, result_of, rounded, strong};
use crate::graph::ufunc::{ARGMAX, ARGMIN, arithmetic, logic};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// Builds the variance, or the standard deviation if `root` is true. The dtype is the operand's dtype, or f32 for integers
/// and bool.
fn spread(op: &'static str, e: &Expr, axes: &AxesArg, correction: f64, root: bool, at: Loc) -> Expr {
    let x = wide(e, at);
    // two passes over the elements, because mean(x²) − mean(x)² would lose precision by cancellation
    let deviation = binary(&arithmetic::subtract, &x, mean_at(op, &x, &kept(axes), at), at);
    let n = count(&x, axes) as f64;
    let degrees = (n - correction).max(mutant!(negative_degrees_of_freedom, f64::NEG_INFINITY, 0.0));
    let [n, degrees] = [n, degrees].map(|v| Expr::fill(Scalar::Float(v), smallvec![], x.0.dtype, at));
    let spread = Spread { op, from: e.0.dtype, n, degrees, root }.of(&x, &deviation, axes, at);
    expanded(narrow(spread, e, at), e, axes, at)
}

/// Clips an interpolated value to the interval from `low` to `high`. The derivative is that of the value, also where it
/// is clipped: the value lies in the interval but for its rounding error, and the derivative of a clip would be split
/// at `low == high`.
pub(crate) fn within(value: Expr, [low, high]: [&Expr; 2], at: Loc) -> Expr {
    let clipped = binary(&arithmetic::minimum, binary(&arithmetic::maximum, &value, low, at), high, at);
    match mutant!(clip_of_equal_bounds, false, true) {
        true => clipped.with_rule_of(vec![value], Some(Box::new(|g, _| Ok(vec![g.clone()]))), Reach::SameElement),
        false => clipped,
    }
}

macro_rules! reductions {
    ($($(#[$doc:meta])+ $name:ident |$e:ident, $axes:ident, $at:ident| $body:expr;)*) => {
        /// # Reductions
        impl Expr { $(
            $(#[$doc])+
            #[track_caller]
            pub fn $name(&self, axes: impl IntoAxes) -> Expr {
                let $at = Location::caller();
                result_of(stringify!($name), $at, || {
                    self.checked()?;
                    let ($e, $axes) = (&strong(self.clone(), $at), &axes.into_axes());
                    $axes.check($e.0.shape.len()).map_err(|f| f.at(stringify!($name), $at))?;
                    Ok($body)
                })
            }
        )* }
    };
}

reductions! {
    /// Returns the sum along one or several axes (`..` for all of them), or 0 if there are no elements. The result does
    /// not have these axes; [`keep`](crate::keep) leaves them with length 1. Signed integers and bool become i64,
    /// unsigned integers u64; float dtypes are kept, and f16 and bf16 accumulate in f32.
    ///
    /// ```
    /// use cupric::{array, keep};
    /// let x = array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.sum(0).to_vec::<f32>()?, [4., 6.]);
    /// assert_eq!(x.sum(..).item::<f32>()?, 10.);
    /// assert_eq!(x.sum(keep(-1)).shape()?, [2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("sum_axis", "sum_all"))]
    sum |e, axes, at| sum_in_its_type("sum", e, axes, at);
    /// Returns the product along axes, or 1 if there are no elements. The dtypes are as in [`Expr::sum`]: signed
    /// integers and bool become i64, unsigned integers u64, and float dtypes are kept.
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.prod(0).to_vec::<f32>()?, [3., 8.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("product", "prod_axis"))]
    prod |e, axes, at| {
        let x = cast(e.clone(), e.0.dtype.sum(), at);
        reduce("prod", Fold::of(&arithmetic::multiply), &x, axes, at)
    };
    /// Returns the smallest element along axes, or NaN if any element is NaN. The result carries an error if there are
    /// no elements along the axes.
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.min(0).to_vec::<f32>()?, [1., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("amin", "min_axis"))]
    min |e, axes, at| reduce("min", Fold::of(&arithmetic::minimum), e, axes, at);
    /// Returns the largest element along axes, or NaN if any element is NaN. The result carries an error if there are
    /// no elements along the axes.
    ///
    /// ```
    /// use cupric::{array, keep};
    /// let x = array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.max(0).to_vec::<f32>()?, [3., 4.]);
    /// assert_eq!(x.max(keep(-1)).shape()?, [2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("amax", "max_axis"))]
    max |e, axes, at| reduce("max", Fold::of(&arithmetic::maximum), e, axes, at);
    /// Returns the mean along axes, or NaN if there are no elements. f16 and bf16 are computed in f32 and rounded at
    /// the end. For integers and bool, the result is f32: the exact sum, rounded once, is divided by the number of
    /// elements.
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(x.mean(0).to_vec::<f32>()?, [2., 3.]);
    /// assert_eq!(x.mean(..).item::<f32>()?, 2.5);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("mean_axis", "mean_all"))]
    mean |e, axes, at| {
        if e.0.dtype.is_float() {
            return Ok(narrow(mean_at("mean", e, axes, at), e, at));
        }
        let sum = exact_sum("mean", e, &gone(axes), at);
        expanded(binary(&arithmetic::divide, sum, count(e, axes) as f64, at), e, axes, at)
    };
    /// Returns the variance along axes: the mean of the squared deviations from the mean, like NumPy's `var` with
    /// `ddof=0`. For another correction, use [`Expr::var_corrected`].
    ///
    /// ```
    /// let x = cupric::array![1., 3., 5., 7.];
    /// assert_eq!(x.var(..).item::<f32>()?, 5.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("var_axis"))]
    var |e, axes, at| spread("var", e, axes, 0.0, false, at);
    /// Returns the standard deviation along axes, like NumPy's `std` with `ddof=0`. For another correction, use
    /// [`Expr::std_corrected`].
    ///
    /// ```
    /// let x = cupric::array![[1., 3.], [0., 8.]];
    /// assert_eq!(x.std(-1).to_vec::<f32>()?, [1., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("std_axis"))]
    std |e, axes, at| spread("std", e, axes, 0.0, true, at);
    /// Returns whether any element along axes is true (not 0), or false if there are no elements.
    ///
    /// ```
    /// let x = cupric::array![[0, 2], [0, 0]];
    /// assert_eq!(x.any(-1).to_vec::<bool>()?, [true, false]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    any |e, axes, at| reduce("any", Fold::of(&logic::logical_or), &cast(e.clone(), DType::Bool, at), axes, at);
    /// Returns whether all elements along axes are true (not 0), or true if there are no elements.
    ///
    /// ```
    /// let x = cupric::array![[1., 2.], [3., -4.]];
    /// assert_eq!(x.greater(0.0).all(-1).to_vec::<bool>()?, [true, false]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    all |e, axes, at| reduce("all", Fold::of(&logic::logical_and), &cast(e.clone(), DType::Bool, at), axes, at);
    /// Returns the number of elements along axes that are true (not 0), as i64.
    ///
    /// ```
    /// let x = cupric::array![[0, 2, 3], [0, 0, 1]];
    /// assert_eq!(x.count_nonzero(-1).to_vec::<i64>()?, [2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    count_nonzero |e, axes, at| {
        let count = narrow_sum("count_nonzero", &cast(e.clone(), DType::Bool, at), axes, at);
        cast(count, DType::I64, at)
    };
    /// Returns the position, as i64, of the smallest element along one axis. With `..` it is the position in C order in
    /// the whole array. The first of several equal elements is chosen. If there are NaNs, the first NaN is chosen.
    ///
    /// ```
    /// let x = cupric::array![[1., 5.], [7., 2.]];
    /// assert_eq!(x.argmin(-1).to_vec::<i64>()?, [0, 1]);
    /// assert_eq!(x.argmin(..).item::<i64>()?, 0);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("arg_min"))]
    argmin |e, axes, at| position("argmin", *ARGMIN, e, axes, at)?;
    /// Returns the position, as i64, of the largest element along one axis. With `..` it is the position in C order in
    /// the whole array. The first of several equal elements is chosen. If there are NaNs, the first NaN is chosen.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 5.], [7., 2.]];
    /// assert_eq!(x.argmax(-1).to_vec::<i64>()?, [1, 0]);
    /// assert_eq!(x.argmax(..).item::<i64>()?, 2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("arg_max"))]
    argmax |e, axes, at| position("argmax", *ARGMAX, e, axes, at)?;
}

fn position(op: &'static str, fold: Fold, e: &Expr, axes: &AxesArg, at: Loc) -> crate::Result<Expr> {
    if axes.axes.as_ref().is_some_and(|a| a.len() != 1) {
        let detail =
            format!("axes {:?}: expected one axis, or `..` for all of them", axes.axes.as_deref().unwrap_or_default());
        return Err(Error::with_line(ErrorKind::Axis, op, detail, at));
    }
    // f16 and bf16 values are first rounded to their dtype and then compared in f32
    let e = if e.0.dtype.is_half() { cast(rounded(e, at), DType::F32, at) } else { e.clone() };
    // kernels count positions in 32 bits; the result is i64, as in NumPy
    Ok(cast(reduce(op, fold, &e, axes, at), DType::I64, at))
}

/// # Variances with a correction
impl Expr {
    /// Returns the variance along axes: the sum of squared deviations divided by n − `correction`, where n is the
    /// number of elements along the axes. `correction` is NumPy's `ddof`. If n − `correction` is negative, the sum is
    /// divided by 0. Squares may leave the range of the dtype; only the variance itself must be representable.
    ///
    /// ```
    /// let x = cupric::array![1., 3., 5.];
    /// assert_eq!(x.var_corrected(.., 1.0).item::<f32>()?, 4.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn var_corrected(&self, axes: impl IntoAxes, correction: f64) -> Expr {
        let at = Location::caller();
        result_of("var_corrected", at, || {
            self.checked()?;
            let (e, axes) = (strong(self.clone(), at), axes.into_axes());
            axes.check(e.0.shape.len()).map_err(|f| f.at("var_corrected", at))?;
            Ok(spread("var", &e, &axes, correction, false, at))
        })
    }

    /// Returns the standard deviation along axes: the square root of the variance that [`Expr::var_corrected`] returns
    /// for the same `correction` (NumPy's `ddof`).
    ///
    /// ```
    /// let x = cupric::array![1., 3., 5.];
    /// assert_eq!(x.std_corrected(.., 1.0).item::<f32>()?, 2.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn std_corrected(&self, axes: impl IntoAxes, correction: f64) -> Expr {
        let at = Location::caller();
        result_of("std_corrected", at, || {
            self.checked()?;
            let (e, axes) = (strong(self.clone(), at), axes.into_axes());
            axes.check(e.0.shape.len()).map_err(|f| f.at("std_corrected", at))?;
            Ok(spread("std", &e, &axes, correction, true, at))
        })
    }
}
