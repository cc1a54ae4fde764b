//! Solutions of systems of linear equations, inverses and determinants, by triangular factors.

use super::cofactors::{are_singular, of_singular};
use super::lu::{Factors, factored, in_order};
use super::minors::of_cofactors;
use super::parts::{Call, batch, count};
use super::svd::reduced;
use super::triangular::{TriangularKind, solved, with_columns};
use crate::array::device::Device;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{AxesArg, Shape, View};
use crate::graph::expr::{
    Called, Expr, Operand, binary, cast, choose, composed, reduce, result_of, routine, unary, view,
};
use crate::graph::routine::{MOST_ROWS_OF_SVD, SOLVE, called, solves};
use crate::graph::ufunc::{Fold, arithmetic, float, logic};
use crate::ops::create::iota;
use crate::ops::grad::above;
use smallvec::smallvec;
use std::panic::Location;

/// Returns the solutions X of A·X = B for square matrices A along the last two axes.
///
/// If B has one axis, it is a single right-hand side for all matrices, and X has no axis of columns either. Otherwise
/// each column of the last two axes of B is a right-hand side. The other axes broadcast. f16, bf16 and integers are
/// converted to f32, and the result is f32 or f64. The error is the same as for Gaussian elimination with row
/// exchanges: usually ‖A·X − B‖ is below n·ε·‖A‖·‖X‖ for matrices of n rows, where ε is 2^-23 for f32 and 2^-52 for
/// f64. On the CPU, the result's bits do not depend on the number of threads or the instruction set.
///
/// ```
/// use cupric::{array, linalg::solve};
/// let a = array![[1., 2.], [3., 4.]];
/// assert_eq!(solve(&a, array![5., 11.]).to_vec::<f32>()?, [1., 2.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// An evaluation returns [`ErrorKind::Singular`](crate::ErrorKind::Singular) if a pivot of a matrix is 0. The error
/// message gives the index of the matrix. A GPU reports this error at the next read. The result carries
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square or if the shapes do not fit together.
///
/// The matrices are factorised as by [`lu`](crate::linalg::lu).
#[doc(alias("lu_solve"))]
#[track_caller]
pub fn solve(a: impl Operand, b: impl Operand) -> Expr {
    let call = Call { op: "solve", at: Location::caller() };
    result_of(call.op, call.at, || {
        let [a, b] = call.both(a, b)?;
        quotient(&a, &b, call)
    })
}

/// Returns the solutions X of A·X = B for operands of the same float dtype.
pub(super) fn quotient(a: &Expr, b: &Expr, call: Call) -> Result<Expr> {
    // the matrices are factorised before they are broadcast, so that a matrix with many right-hand sides is factorised
    // once
    let once = |wide: &Expr, b: &Expr| match batch(a) == batch(wide) && is_small(b) {
        true => Ok([at_once(wide, b, call)?]),
        false => Ok([by_factors(wide, b, &factored(a, call)?.broadcast(batch(b), call), false, call)?]),
    };
    with_columns(a, b, call, once).map(|[x]| x)
}

/// Returns whether the routine `solve` solves systems with the right-hand sides `b`.
fn is_small(b: &Expr) -> bool {
    matches!(*b.0.shape.as_slice(), [.., n, columns] if solves(n, columns)) && !b.0.shape.contains(&0)
}

/// Returns the solutions X of A·X = B for small matrices, with the rule for their derivative.
fn at_once(a: &Expr, b: &Expr, call: Call) -> Result<Expr> {
    let (x, factors) = with_factors(a, b, call)?;
    Ok(ruled(x, [a, b], &factors, false, |a, b, _, _, call| at_once(a, b, call), call))
}

/// Returns the solutions X of A·X = B for small matrices, and the factors of the matrices. One routine computes both.
fn with_factors(a: &Expr, b: &Expr, call: Call) -> Result<(Expr, Factors)> {
    let [n, columns] = [2, 1].map(|i| b.0.shape[b.0.shape.len() - i]);
    let params = smallvec![n as u64, n as u64, count(b) as u64, called(call.op), columns as u64];
    let mut results = routine(&SOLVE, smallvec![a.clone(), b.clone()], params, call.at)?;
    let x = results.remove(2);
    // the factors are results of the same call, but do not depend on `b`
    let factors: Vec<Expr> = results.iter().map(|e| e.with_rule(vec![a.clone()], None)).collect();
    Ok((x, Factors::of(&factors, n, call)))
}

/// Returns the inverses of square matrices along the last two axes. The dtypes are the same as for [`solve`]. To solve
/// equations, `solve` is faster and more accurate than a product with the inverse.
///
/// ```
/// use cupric::{array, linalg::inv};
/// let a = array![[2., 0.], [1., 4.]];
/// assert_eq!(inv(&a).to_vec::<f32>()?, [0.5, 0., -0.125, 0.25]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`solve`].
#[doc(alias("inverse"))]
#[track_caller]
pub fn inv(a: impl Operand) -> Expr {
    let call = Call { op: "inv", at: Location::caller() };
    result_of(call.op, call.at, || inverse(&call.floats(a)?, call))
}

/// Returns the inverses of matrices. Errors name the function `op` instead of `inv`.
pub(crate) fn inverted(op: &'static str, a: &Expr, at: Loc) -> Result<Expr> {
    let call = Call { op, at };
    inverse(&call.floats(a)?, call)
}

/// Returns the inverses X of matrices, with the rule for their derivative: −Xᵀ·g·Xᵀ, where g is the gradient with
/// respect to X.
fn inverse(a: &Expr, call: Call) -> Result<Expr> {
    let n = call.square(a)?;
    if a.0.shape.contains(&0) {
        return Ok(a.clone());
    }
    let x = if solves(n, n) {
        with_factors(a, &call.identity(a, n), call)?.0
    } else {
        let factors = factored(a, call)?;
        // the identity with its rows in the order of the factors: in row i, the 1 is in column order[i]
        let order = view(call.op, &factors.order, call.at, |s| View::expand(s, -1));
        let columns = cast(iota(smallvec![n], 0, call.at), order.checked()?.dtype, call.at);
        let exchanged = cast(binary(&logic::equal, order, columns, call.at), a.0.dtype, call.at);
        let y = solved(&factors.packed, &exchanged, TriangularKind::UNIT_LOWER, 0, call)?;
        solved(&factors.packed, &y, TriangularKind::UPPER, 0, call)?
    };
    x.checked()?;
    let of = a.clone();
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let t = call.transposed(&inverse(&of, call)?);
        Ok(vec![unary(&arithmetic::negative, call.product(&t, &call.product(g, &t)), at)])
    };
    Ok(x.with_rule(vec![a.clone()], Some(Box::new(back))))
}

/// Returns the solutions X of A·X = B, or of Aᵀ·X = B if `transposed` is true, from the factors of A, with the rule for
/// their derivative.
pub(super) fn by_factors(a: &Expr, b: &Expr, factors: &Factors, transposed: bool, call: Call) -> Result<Expr> {
    b.checked()?;
    if b.0.shape.contains(&0) {
        return Ok(b.clone());
    }
    let packed = &factors.packed;
    let x = match transposed {
        false => {
            let y = solved(packed, &in_order(b, &factors.order, call), TriangularKind::UNIT_LOWER, 0, call)?;
            solved(packed, &y, TriangularKind::UPPER, 0, call)?
        }
        true => {
            let packed = call.transposed(packed);
            let y = solved(&packed, b, TriangularKind::LOWER, 0, call)?;
            let y = solved(&packed, &y, TriangularKind::UNIT_LOWER.transposed(), 0, call)?;
            in_order(&y, &factors.order.argsort(-1), call)
        }
    };
    x.checked()?;
    Ok(ruled(x, [a, b], factors, transposed, by_factors, call))
}

/// A function that computes solutions with the rule for their derivative, as [`by_factors`] does.
type Solution = fn(&Expr, &Expr, &Factors, bool, Call) -> Result<Expr>;

/// Adds the rule for their derivative to the solutions `x` of the systems `of`: the matrices A and the right-hand sides
/// B. `again` computes the same solutions.
fn ruled(x: Expr, of: [&Expr; 2], factors: &Factors, transposed: bool, again: Solution, call: Call) -> Expr {
    let ([a, b], known) = (of.map(Expr::clone), factors.clone());
    let args = vec![a.clone(), b.clone()];
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let of_b = by_factors(&a, g, &known, !transposed, call)?;
        let x = again(&a, &b, &known, transposed, call)?;
        let of_a = match transposed {
            false => call.product(&of_b, &call.transposed(&x)),
            true => call.product(&x, &call.transposed(&of_b)),
        };
        Ok(vec![unary(&arithmetic::negative, of_a, at), of_b])
    };
    x.with_rule(args, Some(Box::new(back)))
}

/// Returns, for each matrix, the diagonal of the factor U (the pivots), and the sign of the permutation of the rows.
fn pivots(factors: &Factors, a: &Expr, call: Call) -> Result<[Expr; 2]> {
    let diagonal = view(call.op, &factors.packed, call.at, |s| {
        let last = s.len() as isize - 1;
        View::diagonal(s, 0, last - 1, last)
    });
    let is_odd = binary(&logic::equal, binary(&arithmetic::remainder, &factors.exchanges, 2, call.at), 1, call.at);
    let one = call.filled(1.0, Shape::new(), a);
    let minus = call.filled(-1.0, Shape::new(), a);
    Ok([diagonal, choose(is_odd, minus, one, call.at)])
}

/// Returns the transposed inverses of matrices, each multiplied by a number: `by` has one number for each matrix.
fn scaled_inverse(a: &Expr, by: &Expr, call: Call) -> Result<Expr> {
    let inverse = call.transposed(&inverse(a, call)?);
    Ok(binary(&arithmetic::multiply, of_matrices(by, call), inverse, call.at))
}

/// Returns an array of one element for each matrix with two more axes, so that it broadcasts to matrices.
fn of_matrices(e: &Expr, call: Call) -> Expr {
    let e = view(call.op, e, call.at, |s| View::expand(s, -1));
    view(call.op, &e, call.at, |s| View::expand(s, -1))
}

/// Returns the determinants of square matrices along the last two axes: the product of the pivots of [`lu`], with the
/// sign of the permutation of the rows. The result for a singular matrix is 0 or close to 0. If the product overflows,
/// use [`slogdet`]. f16, bf16 and integers are converted to f32, and the result is f32 or f64.
///
/// The derivative consists of the cofactors, which also exist for singular matrices. So does the second derivative, which
/// is computed from the singular value decomposition where a pivot is 0, and from the inverse elsewhere. The third
/// derivative of a singular matrix, and on a GPU the second one of a singular matrix of more than 64 rows, is the error
/// [`ErrorKind::Singular`](crate::ErrorKind::Singular) of its evaluation.
///
/// ```
/// use cupric::{array, linalg::det};
/// let a = array![[1., 2.], [3., 4.]];
/// assert!((det(&a).item::<f32>()? + 2.).abs() < 1e-6);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The result carries [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square.
///
/// [`lu`]: crate::linalg::lu
#[doc(alias("determinant"))]
#[track_caller]
pub fn det(a: impl Operand) -> Expr {
    let call = Call { op: "det", at: Location::caller() };
    result_of(call.op, call.at, || determinant(&call.floats(a)?, call))
}

/// Returns the determinants of matrices, with the rule for their derivative.
fn determinant(a: &Expr, call: Call) -> Result<Expr> {
    call.square(a)?;
    let [diagonal, sign] = pivots(&factored(a, call)?, a, call)?;
    let det = binary(&arithmetic::multiply, diagonal.prod(-1), sign, call.at);
    det.checked()?;
    let of = a.clone();
    let back = move |g: &Expr, at: Loc| Ok(vec![cofactors(&of, g, Call { at, ..call })?]);
    Ok(det.with_rule(vec![a.clone()], Some(Box::new(back))))
}

/// Returns the cofactors of matrices, each matrix multiplied by its number of `by`. The cofactors of a regular matrix are
/// computed from its inverse.
fn cofactors(a: &Expr, by: &Expr, call: Call) -> Result<Expr> {
    let of_regular =
        |of: &Expr| scaled_inverse(of, &binary(&arithmetic::multiply, by, determinant(a, call)?, call.at), call);
    if a.0.shape.contains(&0) {
        return of_regular(a);
    }
    let factors = factored(a, call)?;
    let pivots = pivots(&factors, a, call)?;
    let are_singular = of_matrices(&are_singular(&pivots[0], call), call);
    // a matrix without an inverse would be an error
    let regular = choose(&are_singular, call.identity(a, call.square(a)?), a, call.at);
    let singular = call.times(&of_matrices(by, call), &of_singular(&factors, &pivots, call)?);
    let all = choose(are_singular, singular, of_regular(&regular)?, call.at);
    all.checked()?;
    let (of, times) = (a.clone(), by.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let one = call.filled(1.0, times.0.shape.clone(), &times);
        let of_by = sum_of_products(g, &cofactors(&of, &one, call)?, call);
        Ok(vec![cofactor_changes(&of, g, &times, call)?, of_by])
    };
    Ok(all.with_rule(vec![a.clone(), by.clone()], Some(Box::new(back))))
}

/// Returns the sum of the products of the elements of each two matrices.
fn sum_of_products(a: &Expr, b: &Expr, call: Call) -> Expr {
    let last = AxesArg { axes: Some(smallvec![-2, -1]), keep: false };
    reduce(call.op, Fold::of(&arithmetic::add), &call.times(a, b), &last, call.at)
}

/// Returns the derivatives of the [`cofactors`] of matrices in the directions `g`, each multiplied by its number of `by`.
/// Those of a regular matrix are computed from its inverse.
fn cofactor_changes(a: &Expr, g: &Expr, by: &Expr, call: Call) -> Result<Expr> {
    let n = call.square(a)?;
    if a.0.shape.contains(&0) || n > MOST_ROWS_OF_SVD && Device::with(a.0.device, Device::is_gpu) {
        return regular_changes(a, g, by, call);
    }
    let [pivots, _] = pivots(&factored(a, call)?, a, call)?;
    let are_singular = of_matrices(&are_singular(&pivots, call), call);
    let identity = call.identity(a, n);
    let regular = choose(&are_singular, &identity, a, call.at);
    let of_regular = regular_changes(&regular, g, by, call)?;
    let all = choose(&are_singular, singular_changes(a, g, by, &are_singular, call)?, of_regular, call.at);
    all.checked()?;
    Ok(all)
}

/// Returns [`cofactor_changes`] of regular matrices. The evaluation of a singular matrix is an error.
fn regular_changes(a: &Expr, g: &Expr, by: &Expr, call: Call) -> Result<Expr> {
    let y = scaled_inverse(a, &binary(&arithmetic::multiply, by, determinant(a, call)?, call.at), call)?;
    let found = above(call.op, &y, g, &[a], &[a, by], call.at)?.pop();
    found.ok_or_else(|| Error::with_line(ErrorKind::Internal, call.op, "a derivative is missing", call.at))
}

/// Returns [`cofactor_changes`] of those matrices for which `which` is true. The results for all others are undefined.
fn singular_changes(a: &Expr, g: &Expr, by: &Expr, which: &Expr, call: Call) -> Result<Expr> {
    let identity = call.identity(a, call.square(a)?);
    let factors = reduced(call, &choose(which, a, identity, call.at))?;
    let sign = |e: &Expr| Ok(unary(&arithmetic::sign, determinant(e, call)?, call.at));
    let signs = call.times(&sign(&factors[0])?, &sign(&factors[2])?);
    let all = call.times(&of_matrices(&call.times(by, &signs), call), &of_cofactors(&factors, g, call));
    all.checked()?;
    let operands = [a, g, by, which].map(Expr::clone);
    let back = move |h: &Expr, at: Loc| {
        let (call, [a, g, by, which]) = (Call { at, ..call }, &operands);
        let of_a = above(call.op, &regular_changes(a, g, by, call)?, h, &[a], &[a, g, by], at)?;
        let one = call.filled(1.0, by.0.shape.clone(), by);
        let of_by = sum_of_products(h, &singular_changes(a, g, &one, which, call)?, call);
        // the second derivative of the determinant is symmetric in its directions
        Ok(of_a.into_iter().chain([singular_changes(a, h, by, which, call)?, of_by]).collect())
    };
    Ok(all.with_rule(vec![a.clone(), g.clone(), by.clone()], Some(Box::new(back))))
}

/// Returns the signs of the determinants of square matrices along the last two axes, and the logarithms of their
/// magnitudes: (sign, logabsdet). If a pivot is exactly 0, the matrix is singular, and its results are 0 and −∞. f16,
/// bf16 and integers are converted to f32, and the results are f32 or f64.
///
/// ```
/// use cupric::{array, linalg::slogdet};
/// let (sign, log) = slogdet(array![[1e30, 0.], [0., -1e30]]);
/// assert_eq!(sign.item::<f32>()?, -1.);
/// assert!((log.item::<f32>()? - 60. * 10f32.ln()).abs() < 1e-4);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square.
#[doc(alias("logdet"))]
#[track_caller]
pub fn slogdet(a: impl Operand) -> (Expr, Expr) {
    let call = Call { op: "slogdet", at: Location::caller() };
    let _called = Called::begin(call.op, call.at);
    let build = || {
        let a = call.floats(a)?;
        call.square(&a)?;
        let [diagonal, sign] = pivots(&factored(&a, call)?, &a, call)?;
        let signs = unary(&arithmetic::sign, &diagonal, call.at);
        let sign = binary(&arithmetic::multiply, signs.prod(-1), sign, call.at).with_rule(vec![a.clone()], None);
        let log = composed(|| unary(&float::log, unary(&arithmetic::abs, &diagonal, call.at), call.at).sum(-1));
        log.checked()?;
        let of = a.clone();
        let back = move |g: &Expr, at: Loc| Ok(vec![scaled_inverse(&of, g, Call { at, ..call })?]);
        Ok((sign, log.with_rule(vec![a], Some(Box::new(back)))))
    };
    build().unwrap_or_else(|e: Error| {
        let failed = Expr::failed(e.or_at(call.at), call.at);
        (failed.clone(), failed)
    })
}
