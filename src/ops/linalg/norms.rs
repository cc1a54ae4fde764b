//! Norms of vectors and matrices, and condition numbers.

use super::solve::inverted;
use super::svd::values as singular_values;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, IntoAxes, View};
use crate::graph::expr::{
    Called, Expr, Operand, Reach, binary, cast, choose, composed, operand, reduce, reshape, result_of, strong, unary,
    view,
};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::functions::{count, kept, named, narrow, norm_at, sum_in_its_type, wide};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// The norm that [`Expr::matrix_norm`] computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MatrixNorm {
    /// The square root of the sum of the squares of all elements (NumPy's `"fro"`).
    Frobenius,
    /// The maximum column sum of magnitudes (the 1-norm).
    One,
    /// The minimum column sum of magnitudes.
    MinusOne,
    /// The maximum row sum of magnitudes (the ∞-norm).
    Infinity,
    /// The minimum row sum of magnitudes.
    MinusInfinity,
    /// The largest singular value (the spectral norm).
    Two,
    /// The smallest singular value.
    MinusTwo,
    /// The sum of all singular values.
    Nuclear,
}

/// # Norms
impl Expr {
    /// Returns the 2-norms of the vectors along axes: the square roots of the sums of squares. With `..`, all elements
    /// are one vector. This is NumPy's `norm(x)`, and for a matrix also its Frobenius norm.
    ///
    /// It is the same as [`vector_norm(axes, 2.0)`](Expr::vector_norm), which also has other orders.
    /// [`matrix_norm`](Expr::matrix_norm) has the norms of matrices.
    ///
    /// ```
    /// let x = cupric::array![[3., 0.], [0., -4.]];
    /// assert_eq!(x.norm(..).item::<f32>()?, 5.);
    /// assert_eq!(x.norm(-1).to_vec::<f32>()?, [3., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("dist"))]
    #[track_caller]
    pub fn norm(&self, axes: impl IntoAxes) -> Expr {
        let _called = Called::begin("norm", Location::caller());
        named("norm", self.vector_norm(axes, 2.0), Location::caller())
    }

    /// Returns the norms of the vectors along axes. If several axes are named, all elements along them together are one
    /// vector. `order` is any number except NaN:
    ///
    /// | `order` | norm |
    /// |---|---|
    /// | 2 | the square root of the sum of squares |
    /// | 1 | the sum of magnitudes |
    /// | 0 | the number of elements that are not 0 |
    /// | `INF`, `-INF` | the largest magnitude, the smallest magnitude |
    /// | any other p | (Σ abs(x)^p)^(1/p) |
    ///
    /// Integers and bool become f32; f16 and bf16 are computed in f32. Squares and powers that would overflow or underflow
    /// are scaled, so the norm is right wherever its dtype can represent it. The norm of a vector without elements is 0,
    /// or ∞ for a negative order. For the order −∞ such a vector has no norm, and the expression carries an error.
    ///
    /// ```
    /// use cupric::{INF, array};
    /// let x = array![[3., -4.], [0., 2.]];
    /// assert_eq!(x.vector_norm(-1, 2.0).to_vec::<f32>()?, [5., 2.]);
    /// assert_eq!(x.vector_norm(-1, 0.0).to_vec::<f32>()?, [2., 1.]);
    /// assert_eq!(x.vector_norm(.., INF).item::<f32>()?, 4.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn vector_norm(&self, axes: impl IntoAxes, order: f64) -> Expr {
        let at = Location::caller();
        let axes = axes.into_axes();
        result_of("vector_norm", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            axes.check(e.0.shape.len()).map_err(|f| f.at("vector_norm", at))?;
            if order.is_nan() {
                return Err(Error::with_line(ErrorKind::Argument, "vector_norm", "the order is NaN", at));
            }
            Ok(narrow(vector_norm(&e, &axes, order, at), &e, at))
        })
    }

    /// Returns the norms of the matrices along two axes: first the axis of the rows, then the axis of the columns (`..`
    /// for one matrix, `(-2, -1)` for several). [`MatrixNorm`] lists the norms. Integers and bool become f32; f16 and
    /// bf16 are computed in f32. On a GPU, the norms that need singular values (`Two`, `MinusTwo` and `Nuclear`) have
    /// the limits of [`svdvals`](crate::linalg::svdvals).
    ///
    /// The norm of a matrix without elements is 0, with these exceptions: the expression carries an error for
    /// `MinusOne` if there are no columns, for `MinusInfinity` if there are no rows, and for `MinusTwo` in both cases.
    ///
    /// ```
    /// use cupric::{MatrixNorm, array};
    /// let x = array![[1., -2.], [3., 4.]];
    /// assert_eq!(x.matrix_norm((-2, -1), MatrixNorm::One).item::<f32>()?, 6.);
    /// assert_eq!(x.matrix_norm(.., MatrixNorm::Infinity).item::<f32>()?, 7.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn matrix_norm(&self, axes: impl IntoAxes, norm: MatrixNorm) -> Expr {
        let at = Location::caller();
        let axes = axes.into_axes();
        result_of("matrix_norm", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            matrix_norm(&e, &axes, norm, at)
        })
    }
}

/// Returns the condition numbers ‖x‖·‖x⁻¹‖ of matrices along the last two axes, for the given norm: NumPy's
/// `cond(x, p)`. The default `None` stands for [`MatrixNorm::Two`]. The result is f64 for f64, and f32 for every other
/// dtype.
///
/// For [`MatrixNorm::Two`] the result is the largest singular value divided by the smallest, and for
/// [`MatrixNorm::MinusTwo`] the smallest divided by the largest. With these two norms, the matrices need not be square,
/// and a singular matrix gives ∞ or 0. For the other norms, the inverse is computed.
///
/// ```
/// use cupric::{MatrixNorm, array, linalg::cond};
/// let x = array![[4., 0.], [0., 0.5]];
/// assert_eq!(cond(&x, None).item::<f32>()?, 8.);
/// assert_eq!(cond(&x, MatrixNorm::Frobenius).item::<f32>()?, 8.125);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`svd`](crate::linalg::svd) and [`inv`](crate::linalg::inv). The result also carries
/// [`ErrorKind::Shape`] if the matrices have no elements.
#[doc(alias = "condition")]
#[track_caller]
pub fn cond(x: impl Operand, norm: impl Into<Option<MatrixNorm>>) -> Expr {
    const OP: &str = "cond";
    let at = Location::caller();
    let (x, norm) = (operand(x, at), norm.into().unwrap_or(MatrixNorm::Two));
    result_of(OP, at, || {
        let x = wide(&x, at);
        x.checked()?;
        if x.0.shape.iter().rev().take(2).any(|n| *n == 0) {
            let detail = format!("shape {:?} has no elements along an axis", x.0.shape.as_slice());
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        if !matches!(norm, MatrixNorm::Two | MatrixNorm::MinusTwo) {
            let inverse = inverted(OP, &x, at)?;
            let axes = AxesArg { axes: Some(smallvec![-2, -1]), keep: false };
            let [a, b] = [matrix_norm(&x, &axes, norm, at)?, matrix_norm(&inverse, &axes, norm, at)?];
            return Ok(binary(&arithmetic::multiply, a, b, at));
        }
        let s = singular_values(OP, &x, at)?;
        let last = AxesArg { axes: Some(smallvec![-1]), keep: false };
        let [most, least] =
            [&arithmetic::maximum, &arithmetic::minimum].map(|row| reduce(OP, Fold::of(row), &s, &last, at));
        // a matrix of zeros is singular too, but the quotient would be 0/0
        let is_zero = binary(&logic::equal, &most, 0.0, at);
        let (of_zero, up, down) = match norm == MatrixNorm::Two {
            true => (f64::INFINITY, most, least),
            false => (0.0, least, most),
        };
        Ok(choose(is_zero, of_zero, binary(&arithmetic::divide, up, down, at), at))
    })
}

fn sum(op: &'static str, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    sum_in_its_type(op, e, axes, at)
}

/// Returns the maximum or minimum (`row`) of magnitudes along axes. The maximum of no elements is 0.
fn extreme(op: &'static str, magnitudes: &Expr, axes: &AxesArg, row: &'static Ufunc, at: Loc) -> Expr {
    if std::ptr::eq(row, &arithmetic::maximum) && count(magnitudes, axes) == 0 {
        // the sum of no elements is 0, in the shape that the result needs
        return sum(op, magnitudes, axes, at);
    }
    reduce(op, Fold::of(row), magnitudes, axes, at)
}

/// Returns the norms of the vectors along axes, in f64 for an f64 operand and in f32 for any other.
fn vector_norm(e: &Expr, axes: &AxesArg, order: f64, at: Loc) -> Expr {
    const OP: &str = "vector_norm";
    if order == 0.0 {
        let is_there = cast(strong(e.clone(), at), DType::Bool, at);
        // the elements are counted in integers, which is exact
        let counted = mutant!(nonzeros_counted_in_f32, cast(is_there, DType::F32, at), is_there);
        return cast(sum_in_its_type(OP, &counted, axes, at), wide(e, at).0.dtype, at);
    }
    let x = wide(e, at);
    if order == 2.0 {
        return norm_at(OP, &x, e.0.dtype, axes, at);
    }
    let magnitudes = unary(&arithmetic::abs, &x, at);
    match order {
        1.0 => sum(OP, &magnitudes, axes, at),
        f64::INFINITY => extreme(OP, &magnitudes, axes, &arithmetic::maximum, at),
        f64::NEG_INFINITY => extreme(OP, &magnitudes, axes, &arithmetic::minimum, at),
        p => with_slope(composed(|| of_powers(OP, &magnitudes, axes, p, at)), x, axes.clone(), p),
    }
}

/// Returns (Σ m^p)^(1/p) of magnitudes m. Where a power could overflow or underflow, the magnitudes are divided by the
/// one whose power is largest.
fn of_powers(op: &'static str, magnitudes: &Expr, axes: &AxesArg, p: f64, at: Loc) -> Expr {
    let norm = |m: &Expr, axes: &AxesArg| {
        let powers = binary(&arithmetic::pow, m, p, at);
        binary(&arithmetic::pow, sum(op, &powers, axes, at), 1.0 / p, at)
    };
    let n = count(magnitudes, axes) as f64;
    if n == 0.0 {
        return norm(magnitudes, axes);
    }
    let row = if p > 0.0 { &arithmetic::maximum } else { &arithmetic::minimum };
    let top = reduce(op, Fold::of(row), magnitudes, &kept(axes), at).stop_gradient();
    let both = |a, b| binary(&logic::logical_and, a, b, at);
    // powers from `low` to `high` have full precision, and so has their sum
    let (low, high) = if top.0.dtype == DType::F64 { (-960, 1022) } else { (-100, 126) };
    let power = binary(&arithmetic::pow, &top, p, at);
    let is_low = binary(&logic::less, &power, 2f64.powi(low), at);
    let is_high = binary(&logic::greater, &power, 2f64.powi(high) / n, at);
    // 0 and ∞ have the right powers, and do not divide
    let divides = both(binary(&logic::greater, &top, 0.0, at), unary(&logic::isfinite, &top, at));
    let divides = both(divides, binary(&logic::logical_or, is_low, is_high, at));
    let divisor = choose(divides, top, 1.0, at);
    let scaled = norm(&binary(&arithmetic::divide, magnitudes, &divisor, at), &kept(axes));
    let norm = binary(&arithmetic::multiply, scaled, divisor, at);
    match axes.keep {
        true => norm,
        false => view(op, &norm, at, |shape| Ok(View::drop_axes(shape, &axes.resolve(shape.len())?))),
    }
}

/// Returns a norm of order p with the rule for its derivative, which is sign(x)·(|x| / norm)^(p − 1) for an element x.
/// At x = 0 the derivative is 0, like the derivative of |x|.
fn with_slope(norm: Expr, x: Expr, axes: AxesArg, p: f64) -> Expr {
    if norm.error().is_some() {
        return norm;
    }
    let (of, out, along) = (x.clone(), norm.clone(), axes.clone());
    let back = move |g: &Expr, at: Loc| {
        let reduced = axes.resolve(of.0.shape.len()).map_err(|f| f.at("grad", at))?;
        let spread = |e: &Expr| {
            let mut shape = of.0.shape.clone();
            reduced.iter().for_each(|d| shape[*d] = 1);
            reshape("grad", e, &layout::lengths(&shape), at)
        };
        let ratio = binary(&arithmetic::divide, unary(&arithmetic::abs, &of, at), spread(&out), at);
        let slope = binary(&arithmetic::pow, ratio, p - 1.0, at);
        let d = binary(&arithmetic::multiply, spread(g), slope, at);
        let d = binary(&arithmetic::multiply, d, unary(&arithmetic::sign, &of, at), at);
        Ok(vec![choose(binary(&logic::equal, &of, 0.0, at), 0.0, d, at)])
    };
    norm.with_rule_of(vec![x], Some(Box::new(back)), Reach::Along(along))
}

/// Returns a norm that is computed from singular values: `Two`, `MinusTwo` or `Nuclear`. `named` are the axes of the
/// rows and the columns.
fn of_singular_values(e: &Expr, named: [usize; 2], keep: bool, norm: MatrixNorm, at: Loc) -> Result<Expr> {
    const OP: &str = "matrix_norm";
    let mut order: Vec<isize> = (0..e.0.shape.len()).filter(|d| !named.contains(d)).map(|d| d as isize).collect();
    order.extend(named.map(|d| d as isize));
    let turned = view(OP, e, at, |s| View::permute(s, &order));
    let s = singular_values(OP, &turned, at)?;
    let last = AxesArg { axes: Some(smallvec![-1]), keep: false };
    let folded = if norm == MatrixNorm::Nuclear {
        sum(OP, &s, &last, at)
    } else {
        let row = if norm == MatrixNorm::Two { &arithmetic::maximum } else { &arithmetic::minimum };
        extreme(OP, &s, &last, row, at)
    };
    let mut kept = narrow(folded, e, at);
    let mut sorted = named;
    sorted.sort_unstable();
    for axis in sorted.into_iter().filter(|_| keep) {
        kept = view(OP, &kept, at, |s| View::expand(s, axis as isize));
    }
    Ok(kept)
}

fn matrix_norm(e: &Expr, axes: &AxesArg, norm: MatrixNorm, at: Loc) -> Result<Expr> {
    const OP: &str = "matrix_norm";
    let ndim = e.0.shape.len();
    let sorted = axes.resolve(ndim).map_err(|f| f.at(OP, at))?;
    if sorted.len() != 2 {
        let detail = format!("{} axes of shape {:?}; a matrix norm needs two", sorted.len(), e.0.shape.as_slice());
        return Err(Error::with_line(ErrorKind::Axis, OP, detail, at));
    }
    if norm == MatrixNorm::Frobenius {
        return Ok(narrow(norm_at(OP, &wide(e, at), e.0.dtype, axes, at), e, at));
    }
    // the first axis that the caller names is the axis of the rows; `sorted` has lost this order
    let named: Vec<usize> = match &axes.axes {
        Some(a) => a.iter().filter_map(|d| layout::normalize_axis(*d, ndim).ok()).collect(),
        None => sorted.to_vec(),
    };
    if matches!(norm, MatrixNorm::Two | MatrixNorm::MinusTwo | MatrixNorm::Nuclear) {
        return of_singular_values(e, [named[0], named[1]], axes.keep, norm, at);
    }
    let (summed, other, row) = match norm {
        MatrixNorm::One => (named[0], named[1], &arithmetic::maximum),
        MatrixNorm::MinusOne => (named[0], named[1], &arithmetic::minimum),
        MatrixNorm::Infinity => (named[1], named[0], &arithmetic::maximum),
        MatrixNorm::MinusInfinity
        | MatrixNorm::Frobenius
        | MatrixNorm::Two
        | MatrixNorm::MinusTwo
        | MatrixNorm::Nuclear => (named[1], named[0], &arithmetic::minimum),
    };
    let along = |d: usize, keep: bool| AxesArg { axes: Some(smallvec![d as isize]), keep };
    let magnitudes = unary(&arithmetic::abs, wide(e, at), at);
    let sums = sum(OP, &magnitudes, &along(summed, true), at);
    let kept = extreme(OP, &sums, &along(other, true), row, at);
    let kept = narrow(kept, e, at);
    if axes.keep {
        return Ok(kept);
    }
    Ok(view(OP, &kept, at, |shape| Ok(View::drop_axes(shape, &sorted))))
}
