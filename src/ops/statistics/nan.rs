//! Reductions that ignore NaN. The kernel of a reduction replaces each NaN by a number that does not change the result.
//! Dtypes without NaN are reduced unchanged.

use super::choose;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{AxesArg, IntoAxes};
use crate::graph::expr::{Expr, binary, cast, reduce, result_of, rounded, strong, unary};
use crate::graph::ufunc::{ARGMAX, ARGMIN, Ufunc, arithmetic, logic};
use crate::ops::functions::{Spread, count, expanded, gone, kept, narrow, sum_in_its_type, wide};
use crate::plan::kernel::Fold;
use std::panic::Location;

macro_rules! reductions {
    ($($(#[$doc:meta])+ $name:ident |$e:ident, $axes:ident, $at:ident| $body:expr;)*) => {
        /// # Reductions that ignore NaN
        impl Expr { $(
            $(#[$doc])+
            #[track_caller]
            pub fn $name(&self, axes: impl IntoAxes) -> Expr {
                let $at = Location::caller();
                let $axes = &axes.into_axes();
                result_of(stringify!($name), $at, || {
                    self.checked()?;
                    let $e = &strong(self.clone(), $at);
                    $axes.check($e.0.shape.len()).map_err(|f| f.at(stringify!($name), $at))?;
                    Ok($body)
                })
            }
        )* }
    };
}

reductions! {
    /// Computes, along axes, the sum of the elements that are not NaN, or 0 if there are none. The dtypes are as in
    /// [`Expr::sum`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., f32::NAN], [3., 4.]];
    /// assert_eq!(x.nansum(0).to_vec::<f32>()?, [4., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nansum |e, axes, at| sum_in_its_type("nansum", &without_nan(e, 0.0, at), axes, at);
    /// Computes, along axes, the mean of the elements that are not NaN, or NaN if there are none. The dtypes are as in
    /// [`Expr::mean`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., f32::NAN], [3., 4.]];
    /// assert_eq!(x.nanmean(0).to_vec::<f32>()?, [2., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanmean |e, axes, at| match e.0.dtype.is_float() {
        true => narrow(mean(&wide(e, at), axes, at), e, at),
        false => e.mean(axes.clone()),
    };
    /// Returns, along axes, the smallest element that is not NaN, or NaN if all are NaN. The expression carries an
    /// error if an axis has no elements.
    ///
    /// ```
    /// let x = cupric::array![f32::NAN, 3., 2.];
    /// assert_eq!(x.nanmin(0).item::<f32>()?, 2.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanmin |e, axes, at| extreme("nanmin", e, axes, f64::INFINITY, &arithmetic::minimum, at);
    /// Returns, along axes, the largest element that is not NaN, or NaN if all are NaN. The expression carries an error
    /// if an axis has no elements.
    ///
    /// ```
    /// let x = cupric::array![f32::NAN, 3., 2.];
    /// assert_eq!(x.nanmax(0).item::<f32>()?, 3.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanmax |e, axes, at| extreme("nanmax", e, axes, f64::NEG_INFINITY, &arithmetic::maximum, at);
    /// Computes, along axes, the variance of the elements that are not NaN: the mean of their squared deviations from
    /// their mean. The result is NaN if all elements are NaN. Integers and bool return f32. For another divisor
    /// (NumPy's `ddof`), use [`Expr::nanvar_corrected`].
    ///
    /// ```
    /// let x = cupric::array![1., f32::NAN, 5.];
    /// assert_eq!(x.nanvar(..).item::<f32>()?, 4.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanvar |e, axes, at| spread(e, axes, 0.0, false, at);
    /// Computes, along axes, the standard deviation of the elements that are not NaN: the square root of
    /// [`Expr::nanvar`]. For another divisor (NumPy's `ddof`), use [`Expr::nanstd_corrected`].
    ///
    /// ```
    /// let x = cupric::array![1., f32::NAN, 5.];
    /// assert_eq!(x.nanstd(..).item::<f32>()?, 2.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanstd |e, axes, at| spread(e, axes, 0.0, true, at);
    /// Returns the position of the smallest element that is not NaN, as i64. The position is along one axis, or in C
    /// order if `..` is given. If several elements are equally small, it is the position of the first of these
    /// elements. If all elements are NaN, the result is −1; NumPy raises an error instead, but that would require
    /// reading the data. If all elements are infinities or NaN, the result is the position of an infinity; NumPy may
    /// return the position of a NaN.
    ///
    /// ```
    /// let x = cupric::array![f32::NAN, 3., 2.];
    /// assert_eq!(x.nanargmin(0).item::<i64>()?, 2);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanargmin |e, axes, at| position("nanargmin", e, axes, false, at)?;
    /// Returns the position of the largest element that is not NaN, as i64. The axes, equal elements and NaNs are
    /// treated as in [`Expr::nanargmin`].
    ///
    /// ```
    /// let x = cupric::array![f32::NAN, 3., 2.];
    /// assert_eq!(x.nanargmax(0).item::<i64>()?, 1);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    nanargmax |e, axes, at| position("nanargmax", e, axes, true, at)?;
}

/// # Corrected variances that ignore NaN
impl Expr {
    /// Computes, along axes, the variance of the n elements that are not NaN: the sum of squared deviations from their
    /// mean, divided by n − `correction`, or by 0 if that is negative. The result is NaN if all elements are NaN.
    /// `correction` is NumPy's `ddof`.
    ///
    /// ```
    /// let x = cupric::array![1., f32::NAN, 3., 5.];
    /// assert_eq!(x.nanvar_corrected(.., 1.0).item::<f32>()?, 4.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn nanvar_corrected(&self, axes: impl IntoAxes, correction: f64) -> Expr {
        corrected("nanvar", self, &axes.into_axes(), correction, false, Location::caller())
    }

    /// Computes, along axes, the standard deviation of the elements that are not NaN: the square root of
    /// [`Expr::nanvar_corrected`].
    ///
    /// ```
    /// let x = cupric::array![1., f32::NAN, 3., 5.];
    /// assert_eq!(x.nanstd_corrected(.., 1.0).item::<f32>()?, 2.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn nanstd_corrected(&self, axes: impl IntoAxes, correction: f64) -> Expr {
        corrected("nanstd", self, &axes.into_axes(), correction, true, Location::caller())
    }
}

fn corrected(op: &'static str, e: &Expr, axes: &AxesArg, correction: f64, root: bool, at: Loc) -> Expr {
    result_of(op, at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        axes.check(e.0.shape.len()).map_err(|f| f.at(op, at))?;
        Ok(spread(&e, axes, correction, root, at))
    })
}

/// Replaces each NaN by a number.
fn without_nan(e: &Expr, number: f64, at: Loc) -> Expr {
    match e.0.dtype.is_float() {
        true => choose(unary(&logic::isnan, e, at), number, e, at),
        false => e.clone(),
    }
}

fn sum(e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    sum_in_its_type("nansum", e, axes, at)
}

/// Counts the elements that are not NaN, in the dtype of the elements.
fn numbers(x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    let is_number = unary(&logic::logical_not, unary(&logic::isnan, x, at), at);
    // the elements are counted in integers, because a float may not represent every count
    cast(sum(&is_number, axes, at), x.0.dtype, at)
}

fn mean(x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    binary(&arithmetic::divide, sum(&without_nan(x, 0.0, at), axes, at), numbers(x, axes, at), at)
}

fn extreme(op: &'static str, e: &Expr, axes: &AxesArg, neutral: f64, row: &'static Ufunc, at: Loc) -> Expr {
    let found = reduce(op, Fold::of(row), &without_nan(e, neutral, at), axes, at);
    if !e.0.dtype.is_float() {
        return found;
    }
    let none = reduce(op, Fold::of(&logic::logical_and), &unary(&logic::isnan, e, at), axes, at);
    choose(none, f64::NAN, found, at)
}

/// Computes the variance, or the standard deviation if `root` is true, in the same way as `Expr::var`.
fn spread(e: &Expr, axes: &AxesArg, correction: f64, root: bool, at: Loc) -> Expr {
    if !e.0.dtype.is_float() {
        let (axes, e) = (axes.clone(), e);
        return if root { e.std_corrected(axes, correction) } else { e.var_corrected(axes, correction) };
    }
    let x = wide(e, at);
    let n = numbers(&x, &kept(axes), at);
    let average = binary(&arithmetic::divide, sum(&without_nan(&x, 0.0, at), &kept(axes), at), &n, at);
    // a NaN element contributes 0; if there is an infinity, deviations are infinite or NaN, and so the variance is NaN
    let deviation = choose(unary(&logic::isnan, &x, at), 0.0, binary(&arithmetic::subtract, &x, average, at), at);
    let n = numbers(&x, &gone(axes), at);
    let degrees = binary(&arithmetic::maximum, binary(&arithmetic::subtract, &n, correction, at), 0.0, at);
    let op = if root { "nanstd" } else { "nanvar" };
    let spread = Spread { op, from: e.0.dtype, n, degrees, root }.of(&x, &deviation, axes, at);
    expanded(narrow(spread, e, at), e, axes, at)
}

fn position(op: &'static str, e: &Expr, axes: &AxesArg, largest: bool, at: Loc) -> Result<Expr> {
    if axes.axes.as_ref().is_some_and(|a| a.len() != 1) {
        let list = axes.axes.as_deref().unwrap_or_default();
        let detail = format!("axes {list:?}: expected one axis, or `..` for all of them");
        return Err(Error::with_line(ErrorKind::Axis, op, detail, at));
    }
    let (row, neutral, fold) = match largest {
        true => (&arithmetic::maximum, f64::NEG_INFINITY, *ARGMAX),
        false => (&arithmetic::minimum, f64::INFINITY, *ARGMIN),
    };
    // f16 and bf16 are rounded to their dtype first, and then compared as f32
    let x = match e.0.dtype.is_half() {
        true => cast(rounded(e, at), DType::F32, at),
        false => e.clone(),
    };
    if !x.0.dtype.is_float() || count(&x, axes) == 0 {
        return Ok(cast(reduce(op, fold, &x, axes, at), DType::I64, at));
    }
    let best = extreme(op, &x, &kept(axes), neutral, row, at);
    // `first` is the position of the first element of `x` that equals the extreme value `best`. NaNs are not replaced
    // here, because the replacement of a NaN might be found before a true infinity.
    let first = reduce(op, *ARGMAX, &binary(&logic::equal, &x, best, at), axes, at);
    let none = reduce(op, Fold::of(&logic::logical_and), &unary(&logic::isnan, &x, at), axes, at);
    Ok(choose(none, -1, cast(first, DType::I64, at), at))
}
