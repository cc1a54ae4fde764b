//! Derivatives of expressions, which are expressions too.
//!
//! An expression is a graph of operations. [`grad`] walks this graph backwards, from the result to the operands, and
//! builds the derivatives from the same kinds of nodes as any other expression. Nothing is computed meanwhile, and no
//! tape is recorded.
//!
//! `reverse.rs` has the walk, `rules.rs` the derivative of each kind of node, `view.rs` the derivatives of views, and
//! `scans.rs` those of scans and products. `source.rs` finds the operands in the graph, and `forward.rs` has what only
//! [`jvp`] needs. The derivatives of elementwise functions are in the table of ufuncs. A function that is built from
//! several operations may define its own derivative with [`Expr::with_rule`].

mod adjoint;
mod checkpoint;
mod formula;
mod forward;
mod params;
mod reverse;
mod rules;
mod scans;
mod source;
mod view;

pub use checkpoint::checkpoint;
pub use params::{Parameters, value_and_grad};
pub(crate) use params::{built_arrays, missing};
pub(crate) use scans::{flipped, later, recurrence_by, shifted};
pub(crate) use view::cut;

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{Shape, View};
use crate::graph::expr::{Arg, Expr, NodeOp, Operand, by_user, carry, cast, result_of, strong, ufunc, view};
use crate::graph::ufunc::arithmetic;
pub(crate) use reverse::above;
use reverse::{Unread, derivatives};
use smallvec::smallvec;
use std::panic::Location;

/// Returns the derivatives of `y` with respect to operands: for each operand, an expression of its shape and dtype.
///
/// `y` is a 0-d float, such as a loss. An operand is a float array that `y` reads, or an expression from which `y` is
/// computed. A view of an array counts as a part of the array: if `y` reads `w.t()` or `w.slice(..)`, it still has a
/// derivative with respect to `w`. If an operand occurs twice in the list, its derivative is returned twice.
///
/// The results are ordinary expressions. Evaluate them together with `y` by [`eval_all`](crate::eval_all), so that they
/// share kernels with it, or differentiate them again.
///
/// ```
/// use cupric::{array, eval_all, grad};
/// let (w, x) = (array![1., -2., 0.5], array![3., 1., 4.]);
/// let loss = (&w * &x).sum(..).square();
/// let [dw] = grad(&loss, [&w]);
/// let [loss, dw] = eval_all([&loss, &dw])?;
/// assert_eq!(loss.item::<f32>()?, 9.);
/// assert_eq!(dw.to_vec::<f32>()?, [18., 6., 24.]);        // 2 · (w · x) · x
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Values at special points
/// At points where a function has no derivative, the result is defined as follows:
///
/// * The derivatives of `abs` and `relu` at 0 are 0: the mean of the slopes of `abs`, and one of the slopes of `relu`.
/// * Equal operands of `maximum` get half of the derivative each, and equal largest elements get equal shares of the
///   derivative of `max`, because no operand is preferred.
/// * The derivative of `clip` is 1 at its bounds, because an operand there can still change the result.
/// * The derivatives of `std`, the Euclidean norms and `hypot` are 0 where the value is 0: the value is smallest there,
///   and a step along 0 keeps it so.
/// * The derivative of `sqrt` at 0 is infinite, which is its limit. Where a product with it would be NaN, use `select`.
/// * The derivatives of rounding functions and comparisons are 0 everywhere.
/// * `interp` has the slope of the interval to the right of a point, and of the last interval at the last point.
/// * A branch that was not taken adds no NaN: the derivative of `select(x.greater(0.0), x.sqrt(), 0.0)` at 0 is 0. The
///   same holds for the operand that `maximum`, `minimum`, `clip` or `relu` did not pick, and for the elements that `max`
///   along axes or a max pool did not pick.
///
/// Positions (as in `take`) are checked only where the value is computed. If a derivative is evaluated without the
/// value, a position that is out of range is replaced by the nearest valid one.
///
/// # Errors
/// The expressions carry [`ErrorKind::Shape`] if `y` is not 0-d (use [`vjp`]), and [`ErrorKind::DType`] if `y` or an
/// operand is not a float. They carry [`ErrorKind::Argument`] for an operand that `y` does not read (see
/// [`grad_or_zeros`]); for an operand that is a lazy fill (such as [`zeros`](crate::zeros)), an array with overlapping
/// elements, or a view of an expression; and for an operation without a derivative (see [`with_vjp`]). The message then
/// has the name and the line of this operation.
#[doc(alias("gradient", "backward", "autograd"))]
#[track_caller]
pub fn grad<const N: usize>(y: impl Operand, of: [&Expr; N]) -> [Expr; N] {
    let at = Location::caller();
    as_array(of_loss("grad", &y.into_expr(), &of, Unread::Refused, at), at)
}

/// Returns the derivatives of `y` with respect to each operand of a list. It is [`grad`] for a number of operands that
/// is not known at compile time.
///
/// ```
/// use cupric::{array, grad_many};
/// let weights = vec![array![1., 2.], array![3.]];
/// let loss = (weights[0].sum(..) * &weights[1]).sum(..);
/// let derivatives = grad_many(&loss, &weights);
/// assert_eq!(derivatives[0].to_vec::<f32>()?, [3., 3.]);
/// assert_eq!(derivatives[1].to_vec::<f32>()?, [3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// Each expression carries the errors of [`grad`].
#[track_caller]
pub fn grad_many(y: impl Operand, of: impl IntoIterator<Item = impl AsRef<Expr>>) -> Vec<Expr> {
    let at = Location::caller();
    let of: Vec<_> = of.into_iter().collect();
    let of: Vec<&Expr> = of.iter().map(AsRef::as_ref).collect();
    of_loss("grad_many", &y.into_expr(), &of, Unread::Refused, at)
}

/// Returns the derivatives of `y` with respect to operands, as [`grad`] does. The derivative with respect to an operand
/// that `y` does not read is zeros instead of an error.
///
/// ```
/// use cupric::{array, grad, grad_or_zeros};
/// let (used, unused) = (array![1., 2.], array![3.]);
/// let loss = used.square().sum(..);
/// let [_, d] = grad_or_zeros(&loss, [&used, &unused]);
/// assert_eq!(d.to_vec::<f32>()?, [0.]);
/// let [_, d] = grad(&loss, [&used, &unused]);
/// assert!(d.eval().unwrap_err().to_string().contains("does not read operand 1"));
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expressions carry the errors of [`grad`], except the error for an operand that `y` does not read.
#[track_caller]
pub fn grad_or_zeros<const N: usize>(y: impl Operand, of: [&Expr; N]) -> [Expr; N] {
    let at = Location::caller();
    as_array(of_loss("grad_or_zeros", &y.into_expr(), &of, Unread::Zero, at), at)
}

/// Returns the products of a cotangent with the Jacobians of `y`: for each operand, the derivative of the sum of
/// `y · cotangent`. The cotangent broadcasts to the shape of `y`. With a 0-d `y` and the cotangent 1, this is [`grad`].
///
/// ```
/// use cupric::{array, vjp};
/// let x = array![1., 2., 3.];
/// let [d] = vjp(&x.square(), array![1., 0., 10.], [&x]);
/// assert_eq!(d.to_vec::<f32>()?, [2., 0., 60.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expressions carry the errors of [`grad`], except that `y` may have any shape. They carry [`ErrorKind::Shape`] if
/// the cotangent does not broadcast to the shape of `y`.
#[doc(alias = "pullback")]
#[track_caller]
pub fn vjp<const N: usize>(y: impl Operand, cotangent: impl Operand, of: [&Expr; N]) -> [Expr; N] {
    let (at, y, cotangent) = (Location::caller(), y.into_expr(), cotangent.into_arg());
    let built = || {
        let y = strong(y, at);
        let seed = like(&y, cotangent, at)?;
        derivatives("vjp", &y, &of, seed, Unread::Refused, at)
    };
    as_array(built().unwrap_or_else(|e| failed(e, &of, at)), at)
}

/// Returns the product of the Jacobians of `y` with tangents: how much `y` changes, to first order, if each operand
/// changes by its tangent. The tangents broadcast to the shapes of the operands; the result has the shape of `y`.
///
/// The result is computed by two backward walks: the first builds [`vjp`] with a placeholder as the cotangent, and the
/// second differentiates that expression, which is linear in the cotangent. So the function of a [`with_vjp`] must be
/// linear in its argument, and must not evaluate the argument or stop its derivatives. A sum with another expression is
/// linear only if that expression is a fill of zeros, such as [`zeros`](crate::zeros).
///
/// ```
/// use cupric::{array, jvp};
/// let x = array![1., 2., 3.];
/// let d = jvp(&(x.square() * 2.0), [&x], [array![1., 1., 0.5]]);
/// assert_eq!(d.to_vec::<f32>()?, [4., 8., 6.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries the errors of [`vjp`], and [`ErrorKind::Argument`] if the function of a [`with_vjp`] is not
/// linear in its argument, as a clip of it is not, or reads its argument without passing derivatives on to it, as a
/// comparison or `stop_gradient` does. The message has the name and the line of this operation.
#[doc(alias = "pushforward")]
#[track_caller]
pub fn jvp<const N: usize>(y: impl Operand, of: [&Expr; N], tangents: [impl Operand; N]) -> Expr {
    let (at, y, tangents) = (Location::caller(), y.into_expr(), tangents.map(Operand::into_arg));
    result_of("jvp", at, || {
        let y = strong(y, at);
        let placeholder = forward::placeholder(&y, at)?;
        let back = derivatives("jvp", &y, &of, forward::cotangent(&placeholder, at), Unread::Refused, at)?;
        let mut seeds = Vec::new();
        for (x, tangent) in of.iter().zip(tangents) {
            seeds.push(like(x, tangent, at)?);
        }
        let mut linearity = forward::Linearity::check(&back, &placeholder, at)?;
        let derivative = reverse::together("jvp", &back, seeds, &[&placeholder], Unread::Zero, at)?
            .pop()
            .ok_or_else(|| Error::with_line(ErrorKind::Internal, "jvp", "no result", at))?;
        linearity.check_derivative(&derivative)?;
        Ok(derivative)
    })
}

/// Returns `y` with a custom derivative. `back` receives the derivative with respect to `y`, and returns the
/// derivatives with respect to the operands, each in the shape of its operand. The value of `y` does not change.
///
/// `back` must be linear in its argument, as derivatives are. [`grad`], [`vjp`] and [`value_and_grad`] do not check this,
/// so a function that clips its argument works with them. With such a function [`jvp`] is an error. The operands are
/// expressions from which `y` is computed. Derivatives pass through `y` only to these operands.
///
/// ```
/// use cupric::{array, grad, with_vjp};
/// let x = array![0.2, 1.7];
/// // rounds, but passes derivatives unchanged
/// let y = with_vjp(&x.round(), [&x], |g| [g.clone()]);
/// let [d] = grad(&(&y * 3.0).sum(..), [&x]);
/// assert_eq!(d.to_vec::<f32>()?, [3., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries the error of `y` or of an operand. The derivatives carry [`ErrorKind::Shape`] if `back`
/// returns a derivative whose shape differs from its operand's, and [`ErrorKind::DType`] if it returns integers or
/// bools for an operand of floats.
#[doc(alias("custom_vjp", "custom_gradient", "custom_op"))]
#[track_caller]
pub fn with_vjp<const N: usize>(
    y: impl Operand,
    operands: [&Expr; N],
    back: impl Fn(&Expr) -> [Expr; N] + Send + Sync + 'static,
) -> Expr {
    let (at, y) = (Location::caller(), y.into_expr());
    carry(at, || {
        for e in operands {
            e.checked()?;
        }
        let y = strong(y, at);
        // A view of a stored array or of a number is a new node without operands, which would not have the rule. So for
        // such a `y` the rule is given to an identity operation (`positive`), which its views have as their operand.
        let y = match y.checked()?.args.is_empty() {
            true => ufunc(&arithmetic::positive, smallvec![Arg::Expr(y)], at),
            false => y,
        };
        let operands: Vec<Expr> = operands.into_iter().cloned().collect();
        let wanted: Vec<(Shape, DType)> = operands.iter().map(|e| (e.0.shape.clone(), e.0.dtype)).collect();
        Ok(y.with_rule(
            operands,
            Some(Box::new(move |g, at| {
                let list = by_user(|| back(g));
                for (i, (d, (shape, dtype))) in list.iter().zip(&wanted).enumerate() {
                    let (found, is) = (d.checked()?.shape.as_slice(), d.0.dtype);
                    if found != shape.as_slice() {
                        let detail = format!(
                            "the derivative for operand {i} has shape {found:?}; the operand has shape {shape:?}"
                        );
                        return Err(Error::with_line(ErrorKind::Shape, "with_vjp", detail, at));
                    }
                    if dtype.is_float() && !is.is_float() {
                        let detail = format!(
                            "the derivative for operand {i} has dtype {is}; the operand has dtype {dtype}, so a float is needed"
                        );
                        return Err(Error::with_line(ErrorKind::DType, "with_vjp", detail, at));
                    }
                }
                Ok(list.to_vec())
            })),
        ))
    })
}

/// # Derivatives
impl Expr {
    /// Returns an expression with the same values, which derivatives treat as constants. Its derivative with respect to
    /// everything that `self` reads is 0.
    ///
    /// ```
    /// use cupric::{array, grad};
    /// let x = array![2., 3.];
    /// let y = (x.stop_gradient() * &x).sum(..);
    /// let [d] = grad(&y, [&x]);
    /// assert_eq!(d.to_vec::<f32>()?, [2., 3.]);           // not 2x
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "detach")]
    #[track_caller]
    pub fn stop_gradient(&self) -> Expr {
        // a number needs no rule, because it is a constant already
        let is_stopped = self.0.rule.as_ref().is_some_and(|r| r.back.is_none());
        if is_stopped || self.0.is_constant() || self.error().is_some() {
            return self.clone();
        }
        self.with_rule(vec![self.clone()], None)
    }
}

/// Builds the derivatives of `y`, which must be a 0-d float. Errors name the operation `op`.
fn of_loss(op: &'static str, y: &Expr, of: &[&Expr], unread: Unread, at: Loc) -> Vec<Expr> {
    let built = || {
        let y = strong(y.clone(), at);
        let n = y.checked()?;
        if !n.shape.is_empty() {
            let detail = format!(
                "the result has shape {:?}, and must be 0-d; reduce it with sum or mean, or use vjp",
                n.shape.as_slice()
            );
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        let one = Expr::fill_on(n.device, Scalar::Float(1.0), Shape::new(), n.dtype, at);
        derivatives(op, &y, of, one, unread, at)
    };
    built().unwrap_or_else(|e| failed(e, of, at))
}

/// Casts a cotangent or tangent to the dtype of `e`, and broadcasts it to the shape of `e`.
fn like(e: &Expr, value: Arg, at: Loc) -> Result<Expr> {
    let value = match value {
        Arg::Expr(v) => v,
        Arg::Scalar(s) => Expr::fill(s, Shape::new(), s.default_dtype(), at),
    };
    let n = e.checked()?;
    value.checked()?;
    let value = view("vjp", &cast(value, n.dtype, at), at, |s| View::broadcast_to(s, &n.shape));
    value.checked()?;
    Ok(value)
}

/// Returns expressions that carry the error, one for each operand.
fn failed(e: Error, of: &[&Expr], at: Loc) -> Vec<Expr> {
    let failed = Expr::failed(e.or_at(at), at);
    of.iter().map(|_| failed.clone()).collect()
}

fn as_array<const N: usize>(list: Vec<Expr>, at: Loc) -> [Expr; N] {
    let mut list = list.into_iter();
    let missing = || Error::with_line(ErrorKind::Internal, "grad", "a derivative is missing", at);
    std::array::from_fn(|_| list.next().unwrap_or_else(|| Expr::failed(missing(), at)))
}

/// Returns an expression whose elements are their own indices along an axis, as i32.
fn iota(axis: usize, shape: &Shape, at: Loc) -> Expr {
    Expr::node(NodeOp::Iota(axis), smallvec![], shape.clone(), DType::I32, 0, at)
}
