//! Functions that are computed from singular values: least squares, pseudoinverses and ranks.

use super::parts::{Call, epsilon};
use super::svd::{reduced, values};
use crate::base::error::{ErrorKind, Loc, Result};
use crate::base::layout::{AxesArg, View};
use crate::graph::expr::{Arg, Expr, Operand, binary, cast, choose, common, operand, result_of, unary, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{count as count_of, sum_in_its_type};
use smallvec::smallvec;
use std::panic::Location;

mod sealed {
    pub trait Tolerance {}
}

/// A relative tolerance below which singular values count as 0: a number, an array with a number for each matrix, or
/// `None` for max(m, n)·ε, where ε is 2^-23 for f32 and 2^-52 for f64. The shape of an array broadcasts with the axes
/// of the matrices before the last two. A number that is negative or NaN is an error; an array is not checked.
pub trait Tolerance: sealed::Tolerance {
    #[doc(hidden)]
    fn into_tolerance(self) -> Option<Arg>;
}
impl<T: Operand> sealed::Tolerance for T {}
impl<T: Operand> Tolerance for T {
    fn into_tolerance(self) -> Option<Arg> {
        Some(self.into_arg())
    }
}
impl sealed::Tolerance for Option<f64> {}
impl Tolerance for Option<f64> {
    fn into_tolerance(self) -> Option<Arg> {
        self.map(Operand::into_arg)
    }
}

/// Returns the Moore–Penrose pseudoinverses of matrices: the result has shape [.., n, m] for matrices of shape
/// [.., m, n]. Singular values of at most `rcond` times the largest one count as 0. `rcond` may be an array, with a
/// number for each matrix. The default `None` stands for max(m, n)·ε, where ε is 2^-23 for f32 and 2^-52 for f64. f16,
/// bf16 and integers are converted to f32, and the result is f32 or f64.
///
/// ```
/// use cupric::{array, linalg::pinv};
/// let p = pinv(&array![[2., 0.], [0., 0.], [0., 4.]], None);
/// assert!(p.allclose(&array![[0.5, 0., 0.], [0., 0., 0.25]], 1e-5, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Derivatives
/// The derivative is valid where the rank does not change (Golub and Pereyra, 1973), even if singular values are equal.
///
/// # Errors
/// The errors are the same as for [`svd`](super::svd()). The result also carries [`ErrorKind::Argument`] if `rcond` is
/// negative or NaN.
#[doc(alias("pseudoinverse", "inv", "pinverse"))]
#[track_caller]
pub fn pinv(x: impl Operand, rcond: impl Tolerance) -> Expr {
    let at = Location::caller();
    let (x, rcond) = (operand(x, at), rcond.into_tolerance());
    result_of("pinv", at, || pseudoinverse(Call { op: "pinv", at }, &x, &rcond))
}

/// Returns the least-squares solutions x of `a · x = b`: the x with the smallest ‖a·x − b‖. If several x reach this
/// minimum, the result is the x with the smallest ‖x‖ among them. `a` has shape [.., m, n]. `b` is a vector of length
/// m, or has shape [.., m, k]. The axes before the last two broadcast. The result has shape [.., n] or [.., n, k].
///
/// Singular values of `a` of at most `rcond` times the largest one count as 0. The default `None` stands for
/// max(m, n)·ε, as in [`pinv`]. NumPy also returns residuals, rank and singular values; see [`matrix_rank`] and
/// [`svdvals`](super::svdvals()).
///
/// ```
/// use cupric::{array, linalg::lstsq};
/// // a line through three points
/// let a = array![[0., 1.], [1., 1.], [2., 1.]];
/// let x = lstsq(&a, &array![1., 3., 5.], None);
/// assert!(x.allclose(&array![2., 1.], 1e-5, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Derivatives
/// The derivative is valid where the rank of `a` does not change.
///
/// # Errors
/// The errors are the same as for [`pinv`]. The result also carries [`ErrorKind::Shape`] if `b` does not have m rows.
#[track_caller]
pub fn lstsq(a: impl Operand, b: impl Operand, rcond: impl Tolerance) -> Expr {
    let at = Location::caller();
    let rcond = rcond.into_tolerance();
    result_of("lstsq", at, || {
        let call = Call { op: "lstsq", at };
        let [a, b] = call.both(a, b)?;
        let [m, _] = call.matrix(&a)?;
        let (of_a, of_b) = (a.0.shape.as_slice(), b.0.shape.as_slice());
        let is_vector = of_b.len() == 1;
        if of_b.is_empty() || of_b[if is_vector { 0 } else { of_b.len() - 2 }] != m {
            let detail = format!("shapes {of_a:?} and {of_b:?}: the second does not have the {m} rows of the first");
            return Err(call.error(ErrorKind::Shape, detail));
        }
        let column = if is_vector { view(call.op, &b, at, |s| View::expand(s, 1)) } else { b.clone() };
        let found = solution(call, &a, &column, &rcond)?;
        let last = found.checked()?.shape.len() - 1;
        Ok(if is_vector { view(call.op, &found, at, |s| Ok(View::drop_axes(s, &[last]))) } else { found })
    })
}

/// Returns the ranks of matrices of shape [.., m, n], in i64: how many singular values are larger than `rcond` times
/// the largest one. `rcond` may be an array, with a number for each matrix, which broadcasts. The default `None` stands for max(m, n)·ε, where ε is 2^-23 for f32 and 2^-52 for f64. Dtypes other
/// than f64 are computed in f32.
///
/// ```
/// use cupric::{array, linalg::matrix_rank};
/// assert_eq!(matrix_rank(&array![[1., 2.], [2., 4.]], None).item::<i64>()?, 1);
/// let x = array![[4., 0.], [0., 1.]];
/// assert_eq!(matrix_rank(&x, array![0.1, 0.5]).to_vec::<i64>()?, [2, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`svd`](super::svd()). The result also carries [`ErrorKind::Argument`] if `rcond` is
/// negative or NaN.
#[track_caller]
pub fn matrix_rank(x: impl Operand, rcond: impl Tolerance) -> Expr {
    let at = Location::caller();
    let (x, rcond) = (operand(x, at), rcond.into_tolerance());
    result_of("matrix_rank", at, || {
        let call = Call { op: "matrix_rank", at };
        let (x, sides) = call.matrices(&x)?;
        let s = values(call.op, &x, at)?;
        let counts = is_large(call, &s, sides, &rcond)?;
        Ok(sum_in_its_type(call.op, &counts, &AxesArg { axes: Some(smallvec![-1]), keep: false }, at))
    })
}

/// Returns whether each of the singular values `s` is larger than `rcond` times the largest one. The others count as 0.
/// The matrices have shape [m, n], and `None` stands for max(m, n)·ε.
fn is_large(call: Call, s: &Expr, [m, n]: [usize; 2], rcond: &Option<Arg>) -> Result<Expr> {
    let (at, dtype) = (call.at, s.0.dtype);
    let factor = match rcond {
        None => (m.max(n) as f64 * epsilon(dtype)).into_expr(),
        Some(Arg::Scalar(factor)) if factor.as_f64() >= 0.0 => factor.as_f64().into_expr(),
        Some(Arg::Scalar(factor)) => {
            return Err(call.error(ErrorKind::Argument, format!("rcond is {factor}; it must be 0 or more")));
        }
        Some(Arg::Expr(each)) => {
            common(call.op, [s, each].into_iter(), at)?;
            view(call.op, &cast(each.clone(), dtype, at), at, |shape| View::expand(shape, -1))
        }
    };
    factor.checked()?;
    let is_empty = count_of(s, &AxesArg { axes: Some(smallvec![-1]), keep: true }) == 0;
    let largest = if is_empty { s.clone() } else { call.along_last(&arithmetic::maximum, s, true) };
    Ok(binary(&logic::greater, s, binary(&arithmetic::multiply, largest, factor, at), at))
}

/// Returns Vᵀ and U of the reduced singular value decomposition, and the reciprocals of the singular values. For a
/// value that counts as 0, the reciprocal is replaced by 0.
fn inverted(call: Call, x: &Expr, rcond: &Option<Arg>) -> Result<[Expr; 3]> {
    let (x, sides) = call.matrices(x)?;
    let [u, s, v] = reduced(call, &x)?;
    let counts = is_large(call, &s, sides, rcond)?;
    let reciprocal = binary(&arithmetic::divide, 1.0, choose(&counts, &s, 1.0, call.at), call.at);
    let is_nan = call.apply(&logic::not_equal, &s, &s);
    let kept = call.apply(&logic::logical_or, &counts, &is_nan);
    Ok([v, u, choose(kept, choose(is_nan, &s, reciprocal, call.at), 0.0, call.at)])
}

fn pseudoinverse(call: Call, x: &Expr, rcond: &Option<Arg>) -> Result<Expr> {
    let (x, _) = call.matrices(x)?;
    let [v, u, reciprocals] = inverted(call, &x, rcond)?;
    let scaled = call.times(&call.transposed(&v), &call.row(&reciprocals));
    let p = call.product(&scaled, &call.transposed(&u));
    let (of, rcond) = (x.clone(), rcond.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let p = pseudoinverse(call, &of, &rcond)?;
        // a batch of tolerances may have made several pseudoinverses of one matrix
        Ok(vec![like(call, derivative(call, &of, &p, g), &of)])
    };
    Ok(p.with_rule(vec![x], Some(Box::new(back))))
}

fn solution(call: Call, a: &Expr, b: &Expr, rcond: &Option<Arg>) -> Result<Expr> {
    let [v, u, reciprocals] = inverted(call, a, rcond)?;
    let along = call.product(&call.transposed(&u), b);
    let x = call.product(&call.transposed(&v), &call.times(&call.transposed(&call.row(&reciprocals)), &along));
    x.checked()?;
    let (of_a, of_b, rcond) = (a.clone(), b.clone(), rcond.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let p = pseudoinverse(call, &of_a, &rcond)?;
        let of_b_back = call.product(&call.transposed(&p), g);
        let back = derivative(call, &of_a, &p, &call.product(g, &call.transposed(&of_b)));
        Ok(vec![like(call, back, &of_a), like(call, of_b_back, &of_b)])
    };
    Ok(x.with_rule(vec![a.clone(), b.clone()], Some(Box::new(back))))
}

/// Sums a gradient along the axes along which `operand` was broadcast, so that it gets the operand's shape.
fn like(call: Call, g: Expr, operand: &Expr) -> Expr {
    let extra = g.0.shape.len() - operand.0.shape.len();
    let axes: smallvec::SmallVec<[isize; 6]> = (0..g.0.shape.len())
        .filter(|d| *d < extra || operand.0.shape[d - extra] != g.0.shape[*d])
        .map(|d| d as isize)
        .collect();
    if axes.is_empty() {
        return g;
    }
    let summed = sum_in_its_type(call.op, &g, &AxesArg { axes: Some(axes), keep: true }, call.at);
    let leading: Vec<usize> = (0..extra).collect();
    view(call.op, &summed, call.at, |s| Ok(View::drop_axes(s, &leading)))
}

/// Returns the gradient with respect to x, given the gradient g with respect to the pseudoinverse p of x. It is
/// −pᵀ·g·pᵀ + (I − x·p)·gᵀ·p·pᵀ + pᵀ·p·gᵀ·(I − p·x).
fn derivative(call: Call, x: &Expr, p: &Expr, g: &Expr) -> Expr {
    let t = |e: &Expr| call.transposed(e);
    let product = |a: &Expr, b: &Expr| call.product(a, b);
    let (gt, pt) = (t(g), t(p));
    let first = unary(&arithmetic::negative, product(&product(&pt, g), &pt), call.at);
    let a = product(&product(&gt, p), &pt);
    let second = call.minus(&a, &product(x, &product(p, &a)));
    let b = product(&pt, &product(p, &gt));
    let third = call.minus(&b, &product(&product(&b, p), x));
    call.plus(&first, &call.plus(&second, &third))
}
