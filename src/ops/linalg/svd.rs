//! The singular value decomposition. The routine `svd` takes only square matrices. A matrix with more rows than columns
//! is first factorised by `qr`, and the routine gets the factor R. A matrix with more columns than rows is transposed
//! first.

use super::parts::{Call, count, shaped};
use super::{Mode, qr};
use crate::base::error::{Loc, Result};
use crate::base::layout::View;
use crate::graph::expr::{Called, Expr, Operand, binary, choose, operand, result_of, routine, unary, view};
use crate::graph::routine::{SVD, spectrum_params};
use crate::graph::ufunc::{arithmetic, logic};
use smallvec::smallvec;
use std::panic::Location;

/// Returns the singular value decomposition of matrices: U, the singular values s in descending order, and Vᵀ, such
/// that `x = U · diag(s) · Vᵀ`. The columns of U and the rows of Vᵀ are orthonormal. The matrices lie along the last
/// two axes and have shape [m, n]. With [`Mode::Reduced`] there are min(m, n) left and min(m, n) right vectors; with
/// [`Mode::Complete`] there are m left and n right vectors. f16, bf16 and integers are converted to f32, and the result
/// is f32 or f64.
///
/// ```
/// use cupric::{array, linalg::{Mode, svd}};
/// let x = array![[3., 0.], [4., 5.], [0., 0.]];
/// let (u, s, vt) = svd(&x, Mode::Reduced);
/// assert_eq!(u.shape()?, [3, 2]);
/// assert!((&u * &s).matmul(&vt).allclose(&x, 1e-5, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Accuracy
/// The norm of `U·diag(s)·Vᵀ − x` is at most a small multiple of max(m, n)·ε times the norm of `x`, and the norms of
/// `UᵀU − I` and `VᵀV − I` are at most a small multiple of max(m, n)·ε. The CPU factorises square matrices in f64
/// (reduction to bidiagonal form, then the QR iteration of Golub and Kahan); a GPU computes in the operand's dtype
/// (Hestenes' one-sided Jacobi method). Both backends first factorise a matrix that is not square by
/// [`qr`](super::qr()). The signs of the vectors are arbitrary but the same in each run, and so is the basis of the
/// vectors of equal singular values. A matrix with an infinite or NaN element has NaN results.
///
/// # Derivatives
/// The results have derivatives with `Mode::Reduced`, or if the matrices are square. The derivatives of U and Vᵀ are
/// infinite or NaN if singular values are equal, unless the cotangent does not depend on their vectors. If the matrices
/// are not square, the same holds for singular values of 0. The derivative of s is not affected.
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `x` has fewer than two axes. On a GPU, matrices
/// whose shorter side has more than 64 elements give [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded):
/// move `x` by `to_device(&Device::cpu())` first.
#[doc(alias = "singular")]
#[track_caller]
pub fn svd(x: impl Operand, mode: Mode) -> (Expr, Expr, Expr) {
    let at = Location::caller();
    let _called = Called::begin("svd", at);
    let x = operand(x, at);
    let call = Call { op: "svd", at };
    let found = match mode {
        Mode::Reduced => reduced(call, &x),
        Mode::Complete => complete(call, &x),
    };
    match found {
        Ok(list) => list.into(),
        Err(e) => [(); 3].map(|()| Expr::failed(e.clone(), at)).into(),
    }
}

/// Returns the singular values of matrices in descending order, without the singular vectors. The shapes and dtypes of
/// the operand and of the values are the same as for [`svd`].
///
/// ```
/// use cupric::{array, linalg::svdvals};
/// assert_eq!(svdvals(&array![[0., 2.], [-3., 0.]]).to_vec::<f32>()?, [3., 2.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`svd`].
#[track_caller]
pub fn svdvals(x: impl Operand) -> Expr {
    let at = Location::caller();
    let x = operand(x, at);
    result_of("svdvals", at, || values("svdvals", &x, at))
}

/// Returns the singular values of matrices, with the rule for their derivative. Errors name the function `op`.
pub(super) fn values(op: &'static str, x: &Expr, at: Loc) -> Result<Expr> {
    let call = Call { op, at };
    let (x, [m, n]) = call.matrices(x)?;
    if x.0.shape.contains(&0) {
        return Ok(call.filled(0.0, shaped(&x, &[m.min(n)]), &x));
    }
    let tall = if m < n { call.transposed(&x) } else { x.clone() };
    let square = if m == n { tall } else { qr::factors(call, &tall, Mode::Reduced)?.1 };
    let params = spectrum_params(op, m.min(n), false, count(&square));
    let found = routine(&SVD, smallvec![square], params, at)?;
    let of = x.clone();
    let back = move |g: &Expr, at: Loc| {
        let call = Call { op, at };
        let [u, _, v] = reduced(call, &of)?;
        Ok(vec![call.product(&call.times(&u, &call.row(g)), &v)])
    };
    Ok(found[0].with_rule(vec![x], Some(Box::new(back))))
}

/// Returns U, s and Vᵀ of square matrices of n rows, without rules for their derivatives.
fn of_square(call: Call, x: Expr, n: usize) -> Result<[Expr; 3]> {
    let params = spectrum_params(call.op, n, true, count(&x));
    let found = routine(&SVD, smallvec![x], params, call.at)?;
    Ok([found[1].clone(), found[0].clone(), found[2].clone()])
}

/// Returns U, s and Vᵀ with min(m, n) left and right vectors, and the rules for their derivatives.
pub(super) fn reduced(call: Call, x: &Expr) -> Result<[Expr; 3]> {
    let (x, [m, n]) = call.matrices(x)?;
    let k = m.min(n);
    if x.0.shape.contains(&0) {
        let [u, s, v] = [shaped(&x, &[m, k]), shaped(&x, &[k]), shaped(&x, &[k, n])];
        return Ok([u, s, v].map(|shape| call.filled(0.0, shape, &x)));
    }
    let [u, s, v] = match m.cmp(&n) {
        std::cmp::Ordering::Equal => of_square(call, x.clone(), n)?,
        std::cmp::Ordering::Greater => {
            let (q, r) = qr::factors(call, &x, Mode::Reduced)?;
            let [u, s, v] = of_square(call, r, k)?;
            [call.product(&q, &u), s, v]
        }
        std::cmp::Ordering::Less => {
            // the transpose has the left and right vectors exchanged
            let (q, r) = qr::factors(call, &call.transposed(&x), Mode::Reduced)?;
            let [u, s, v] = of_square(call, r, k)?;
            [call.transposed(&v), s, call.transposed(&call.product(&q, &u))]
        }
    };
    // if m < n, U and Vᵀ are views; `positive` makes a new node for each, to which the derivative rule is attached
    let ruled = |e: Expr, number: usize| {
        let of = x.clone();
        let back = move |g: &Expr, at: Loc| {
            let call = Call { at, ..call };
            Ok(vec![derivative(call, &reduced(call, &of)?, g, number)])
        };
        let own = if m < n { unary(&arithmetic::positive, e, call.at) } else { e };
        own.with_rule(vec![x.clone()], Some(Box::new(back)))
    };
    Ok([ruled(u, 0), ruled(s, 1), ruled(v, 2)])
}

/// Returns U, s and Vᵀ with square U and V.
fn complete(call: Call, x: &Expr) -> Result<[Expr; 3]> {
    let (x, [m, n]) = call.matrices(x)?;
    if m == n {
        return reduced(call, &x);
    }
    if m < n {
        let [u, s, v] = complete(call, &call.transposed(&x))?;
        return Ok([call.transposed(&v), s, call.transposed(&u)]);
    }
    let (q, r) = qr::factors(call, &x, Mode::Complete)?;
    if x.0.shape.contains(&0) {
        let [s, v] = [shaped(&x, &[n]), shaped(&x, &[n, n])].map(|shape| call.filled(0.0, shape, &x));
        return Ok([q, s, v]);
    }
    let [u, s, v] = of_square(call, call.block(&r, 0..n, 0..n), n)?;
    let first = call.product(&call.block(&q, 0..m, 0..n), &u);
    Ok([call.join(vec![first, call.block(&q, 0..m, n..m)], -1), s, v])
}

/// Returns the gradient with respect to the matrices, given the gradient `g` with respect to U (`number` 0), s (1) or
/// Vᵀ (2) (Townsend, *Differentiating the singular value decomposition*, 2016).
fn derivative(call: Call, [u, s, v]: &[Expr; 3], g: &Expr, number: usize) -> Expr {
    let t = |e: &Expr| call.transposed(e);
    let along = call.row(s);
    if number == 1 {
        return call.product(&call.times(u, &call.row(g)), v);
    }
    let squares = call.times(&along, &along);
    let differences = call.minus(&squares, &t(&squares));
    let k = s.0.shape[s.0.shape.len() - 1];
    let differences = call.plus(&differences, &call.identity(&differences, k));
    // the singular vectors whose gradient is `g`, as columns; for Vᵀ, the vectors and `g` are transposed
    let (own, g) = if number == 0 { (u.clone(), g.clone()) } else { (t(v), t(g)) };
    let inner = call.product(&t(&own), &g);
    let inner =
        quotient(call, &call.minus(&inner, &t(&inner)), &differences, |a, b, at| binary(&arithmetic::divide, a, b, at));
    let inner = call.off_diagonal(&inner);
    let [.., side, _] = *own.0.shape.as_slice() else { return own };
    // The part of `g` that is orthogonal to all columns of `own`, divided by the singular values. Square matrices of
    // vectors leave no such part.
    let outside = (side > k).then(|| {
        let rest = call.minus(&g, &call.product(&own, &call.product(&t(&own), &g)));
        let along = view(call.op, &along, call.at, |s| View::broadcast_to(s, &rest.0.shape));
        quotient(call, &rest, &along, |a, b, at| {
            binary(&arithmetic::multiply, a, binary(&arithmetic::divide, 1.0, b, at), at)
        })
    });
    let with_outside = |inside: Expr, outside: Option<Expr>| match outside {
        Some(outside) => call.plus(&inside, &outside),
        None => inside,
    };
    if number == 0 {
        let inside = call.product(u, &call.times(&inner, &along));
        return call.product(&with_outside(inside, outside), v);
    }
    let inside = call.product(&call.times(&t(&along), &inner), v);
    let outside = outside.map(|e| t(&e));
    call.product(u, &with_outside(inside, mutant!(rows_outside_of_v_forgotten, None, outside)))
}

/// Returns a / b, and 0 for 0 / 0. Vectors of equal singular values have no derivative, but a function that does not
/// depend on them has one.
///
/// `divide` divides two expressions of equal shape. The derivatives are quotients of the same kind, so that they depend on
/// their own dividend being 0, and not on `a`.
fn quotient(call: Call, a: &Expr, b: &Expr, divide: fn(&Expr, &Expr, Loc) -> Expr) -> Expr {
    let are_zero = [a, b].map(|e| binary(&logic::equal, e, 0.0, call.at));
    let are_zero = call.apply(&logic::logical_and, &are_zero[0], &are_zero[1]);
    let result = choose(are_zero, 0.0, divide(a, b, call.at), call.at);
    if result.error().is_some() {
        return result;
    }
    let (by, of) = (b.clone(), result.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let of_b = unary(&arithmetic::negative, call.times(g, &of), at);
        Ok(vec![quotient(call, g, &by, divide), quotient(call, &of_b, &by, divide)])
    };
    result.with_rule(vec![a.clone(), b.clone()], Some(Box::new(back)))
}
