//! Softmax and its logarithms, the layer norm and the root mean square norm. They are built from other operations.

use crate::base::error::Loc;
use crate::base::layout::{AxesArg, IntoAxes, View};
use crate::graph::expr::{
    Expr, Operand, Reach, binary, choose, composed, reduce, result_of, strong, ufunc, unary, view,
};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::functions::{count, kept, narrow, normalised, sum_at, wide};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// Builds the result of a function along axes. Checks the axes, calls `f` with the operand in f64 or f32, and casts the
/// result to the operand's dtype, or to f32 for integers and bool.
fn over(op: &'static str, e: &Expr, axes: impl IntoAxes, at: Loc, f: impl FnOnce(&Expr, &AxesArg) -> Expr) -> Expr {
    result_of(op, at, || {
        e.checked()?;
        let (e, axes) = (strong(e.clone(), at), axes.into_axes());
        axes.check(e.0.shape.len()).map_err(|fault| fault.at(op, at))?;
        Ok(narrow(f(&wide(&e, at), &axes), &e, at))
    })
}

/// Returns the largest element along axes. Derivatives treat it as a constant: the callers subtract it only to avoid
/// overflow, and their results do not depend on it.
fn largest(op: &'static str, x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    reduce(op, Fold::of(&arithmetic::maximum), x, &kept(axes), at).stop_gradient()
}

/// Returns the softmax of `x`, exp / sum, with its derivative p · (g − Σ g · p). The general derivative would divide
/// each element three times, and would read the exponentials too.
pub(super) fn shares(exp: &Expr, sum: Expr, x: &Expr, axes: AxesArg, at: Loc) -> Expr {
    let p = binary(&arithmetic::divide, exp, sum, at);
    let (of, along) = (p.clone(), axes.clone());
    let back = move |g: &Expr, at: Loc| {
        let sum = sum_at(&binary(&arithmetic::multiply, g, &of, at), &axes, at);
        Ok(vec![binary(&arithmetic::multiply, binary(&arithmetic::subtract, g, sum, at), &of, at)])
    };
    p.with_rule_of(vec![x.clone()], Some(Box::new(back)), Reach::Along(along))
}

/// # Softmax and normalisation
impl Expr {
    /// Returns the softmax along axes, exp(x) / Σ exp(x), with the shape of the array. The largest element is
    /// subtracted first, so the exponentials do not overflow. Integers and bool become f32; f16 and bf16 are computed
    /// in f32.
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Axis`](crate::ErrorKind::Axis) if an axis does not exist.
    ///
    /// ```
    /// let p = cupric::array![1., 1., 1., 1.].softmax(-1);
    /// assert_eq!(p.to_vec::<f32>()?, [0.25; 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn softmax(&self, axes: impl IntoAxes) -> Expr {
        let at = Location::caller();
        over("softmax", self, axes, at, |x, axes| {
            if count(x, axes) == 0 {
                return x.clone();
            }
            let y = unary(&float::exp, binary(&arithmetic::subtract, x, largest("softmax", x, axes, at), at), at);
            shares(&y, sum_at(&y, &kept(axes), at), x, kept(axes), at)
        })
    }

    /// Returns the logarithm of the softmax along axes, x − log(Σ exp(x)), with the shape of the array. It is accurate
    /// where [`Expr::softmax`] underflows. The dtypes and errors are as in [`Expr::softmax`].
    ///
    /// ```
    /// let x = cupric::array![0., 0.].log_softmax(-1);
    /// assert!((x.exp().sum(..).item::<f32>()? - 1.0).abs() < 1e-6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, axes: impl IntoAxes) -> Expr {
        let at = Location::caller();
        over("log_softmax", self, axes, at, |x, axes| {
            if count(x, axes) == 0 {
                return x.clone();
            }
            let shifted = binary(&arithmetic::subtract, x, largest("log_softmax", x, axes, at), at);
            let sum = sum_at(&unary(&float::exp, &shifted, at), &kept(axes), at);
            binary(&arithmetic::subtract, shifted, unary(&float::log, sum, at), at)
        })
    }

    /// Returns log(Σ exp(x)) along axes, without overflow of the exponentials. The result does not have these axes, and
    /// is −∞ if there are no elements. The dtypes and errors are as in [`Expr::softmax`].
    ///
    /// ```
    /// let x = cupric::array![1000., 1000.].logsumexp(..).item::<f32>()?;
    /// assert!((x - (1000. + 2f32.ln())).abs() < 1e-3);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("log_sum_exp"))]
    #[track_caller]
    pub fn logsumexp(&self, axes: impl IntoAxes) -> Expr {
        let at = Location::caller();
        composed(|| over("logsumexp", self, axes, at, |x, axes| logsumexp_at(x, axes, at)))
    }

    /// Subtracts the mean from the array and divides by the standard deviation, both along axes (layer normalization):
    /// returns (x − mean) / sqrt(var + eps), with the shape of the array. The variance is the sum of the squared
    /// deviations divided by their number n (NumPy's `ddof=0`). There is no learned scale or bias; multiply and add
    /// them afterwards. Squares may overflow or underflow. The dtypes and errors are as in [`Expr::softmax`].
    ///
    /// ```
    /// let x = cupric::array![[1., 3.], [0., 8.]];
    /// assert_eq!(x.layer_norm(-1, 0.0).to_vec::<f32>()?, [-1., 1., -1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_norm(&self, axes: impl IntoAxes, eps: f64) -> Expr {
        let at = Location::caller();
        over("layer_norm", self, axes, at, |x, axes| normalised("layer_norm", x, self.0.dtype, axes, (true, eps), at))
    }

    /// Divides the array by its root mean square along axes: returns x / sqrt(mean(x²) + eps), with the shape of the
    /// array. There is no learned scale; multiply by it afterwards. Squares may overflow or underflow. The dtypes and errors
    /// are as in [`Expr::softmax`].
    ///
    /// ```
    /// let x = cupric::array![2., -2., 2., 2.];
    /// assert_eq!(x.rms_norm(-1, 0.0).to_vec::<f32>()?, [1., -1., 1., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn rms_norm(&self, axes: impl IntoAxes, eps: f64) -> Expr {
        let at = Location::caller();
        over("rms_norm", self, axes, at, |x, axes| normalised("rms_norm", x, self.0.dtype, axes, (false, eps), at))
    }
}

/// Returns the logarithm of a sum of exponentials. Where the sum is 0, all exponentials are 0, and the derivative is
/// defined as 0.
fn log_or_flat(sum: Expr, at: Loc) -> Expr {
    let log = unary(&float::log, &sum, at);
    if log.error().is_some() {
        return log;
    }
    let of = sum.clone();
    let back = move |g: &Expr, at: Loc| {
        let d = binary(&arithmetic::divide, g, &of, at);
        Ok(vec![choose(binary(&logic::equal, &of, 0.0, at), 0.0, d, at)])
    };
    log.with_rule_of(vec![sum], Some(Box::new(back)), Reach::SameElement)
}

fn logsumexp_at(x: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    if count(x, axes) == 0 {
        // Each result is the logarithm of an empty sum, −∞. The maximum of no elements would be an error.
        let zero = sum_at(x, axes, at);
        return unary(&float::log, zero, at);
    }
    let max = largest("logsumexp", x, axes, at);
    // an infinite maximum is not subtracted, because ∞ − ∞ is NaN
    let finite = unary(&logic::isfinite, &max, at);
    let shift = ufunc(
        &logic::SELECT,
        smallvec![
            finite.into_arg(),
            (&max).into_arg(),
            mutant!(logsumexp_of_infinities, (&max).into_arg(), 0.0.into_arg())
        ],
        at,
    );
    let sum = sum_at(&unary(&float::exp, binary(&arithmetic::subtract, x, &shift, at), at), &kept(axes), at);
    let out = binary(&arithmetic::add, log_or_flat(sum, at), shift, at);
    if axes.keep { out } else { drop_axes(&out, axes, at) }
}

/// Removes the axes of length 1 that a reduction kept.
fn drop_axes(e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    view("squeeze", e, at, |shape| Ok(View::drop_axes(shape, &axes.resolve(shape.len())?)))
}
