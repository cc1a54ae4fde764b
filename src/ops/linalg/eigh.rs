//! Eigenvalues and eigenvectors of symmetric matrices.

use super::parts::{Call, count, shaped};
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Called, Expr, Operand, cast, operand, result_of, routine};
use crate::graph::routine::{EIGH, spectrum_params};
use crate::graph::ufunc::arithmetic;
use smallvec::smallvec;
use std::panic::Location;

/// Returns the eigenvalues w of symmetric matrices in ascending order, and their eigenvectors as the columns of
/// orthogonal matrices V: `x = V · diag(w) · Vᵀ`. The matrices lie along the last two axes. Only the elements on and
/// below the diagonal are read. f16, bf16 and integers are converted to f32, and the result is f32 or f64.
///
/// ```
/// use cupric::{array, linalg::eigh};
/// let (w, v) = eigh(&array![[2., 1.], [1., 2.]]);
/// assert_eq!(w.to_vec::<f32>()?, [1., 3.]);
/// let x = (&v * &w).matmul(v.t());
/// assert!(x.allclose(&array![[2., 1.], [1., 2.]], 1e-5, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Accuracy
/// The norm of `x·V − V·diag(w)` is at most a small multiple of n·ε times the norm of `x`, and the norm of `Vᵀ·V − I`
/// is at most a small multiple of n·ε. The sign of each vector, and the basis of the vectors of equal eigenvalues, are
/// arbitrary but the same in each run. A matrix with an infinite or NaN element has NaN results.
///
/// The CPU computes in f64 (Householder reflectors, then the implicit QL iteration). A GPU computes in the operand's
/// dtype (Jacobi's method).
///
/// # Derivatives
/// The derivatives are with respect to symmetric matrices. If eigenvalues are equal, the derivative of the vectors is
/// infinite or NaN, but the derivative of the eigenvalues is finite.
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `x` has fewer than two axes or if the matrices
/// are not square. On a GPU, matrices of more than 64 rows give
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded): move `x` by `to_device(&Device::cpu())` first.
#[doc(alias("eig", "eigenvectors"))]
#[track_caller]
pub fn eigh(x: impl Operand) -> (Expr, Expr) {
    let at = Location::caller();
    let _called = Called::begin("eigh", at);
    let x = operand(x, at);
    match factors(Call { op: "eigh", at }, &x) {
        Ok(both) => both,
        Err(e) => (Expr::failed(e.clone(), at), Expr::failed(e, at)),
    }
}

/// Returns the eigenvalues of symmetric matrices in ascending order, without the eigenvectors. Only the elements on and
/// below the diagonal are read, and the dtype is the same as for [`eigh`].
///
/// ```
/// use cupric::{array, linalg::eigvalsh};
/// assert_eq!(eigvalsh(&array![[2., 1.], [1., 2.]]).to_vec::<f32>()?, [1., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`eigh`].
#[doc(alias = "eigvals")]
#[track_caller]
pub fn eigvalsh(x: impl Operand) -> Expr {
    let at = Location::caller();
    let x = operand(x, at);
    result_of("eigvalsh", at, || {
        let call = Call { op: "eigvalsh", at };
        let (wide, n) = call.squares(&x)?;
        if wide.0.shape.contains(&0) {
            return Ok(call.filled(0.0, shaped(&wide, &[n]), &wide));
        }
        let results = routine(&EIGH, smallvec![wide.clone()], spectrum_params(call.op, n, false, count(&wide)), at)?;
        let of = wide.clone();
        let back = move |g: &Expr, at: Loc| {
            let call = Call { op: "eigvalsh", at };
            let (_, v) = factors(call, &of)?;
            Ok(vec![values_back(call, g, &v)])
        };
        Ok(results[0].with_rule(vec![wide], Some(Box::new(back))))
    })
}

/// Returns the eigenvalues and eigenvectors of symmetric matrices, with the rules for their derivatives.
fn factors(call: Call, x: &Expr) -> Result<(Expr, Expr)> {
    let (x, n) = call.squares(x)?;
    if x.0.shape.contains(&0) {
        return Ok((call.filled(0.0, shaped(&x, &[n]), &x), x));
    }
    let results = routine(&EIGH, smallvec![x.clone()], spectrum_params(call.op, n, true, count(&x)), call.at)?;
    // each rule calls `factors` again; the planner sees that the new nodes equal the old ones, and computes both once
    let of = x.clone();
    let values = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let (_, v) = factors(call, &of)?;
        Ok(vec![values_back(call, g, &v)])
    };
    let of = x.clone();
    let vectors = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let (w, v) = factors(call, &of)?;
        let t = call.transposed(&v);
        let differences = call.minus(&call.row(&w), &call.transposed(&call.row(&w)));
        // the differences on the diagonal are 0: adding 1 avoids a division by 0, and `off_diagonal` then drops the
        // diagonal
        let differences = call.plus(&differences, &call.identity(&differences, w.0.shape[w.0.shape.len() - 1]));
        let inner = call.apply(&arithmetic::divide, &call.product(&t, g), &differences);
        let inner = call.off_diagonal(&inner);
        Ok(vec![symmetric(call, &call.product(&call.product(&v, &inner), &t))])
    };
    let w = results[0].with_rule(vec![x.clone()], Some(Box::new(values)));
    let v = results[1].with_rule(vec![x], Some(Box::new(vectors)));
    Ok((w, v))
}

/// Returns the gradient with respect to the matrices, given the gradient g with respect to their eigenvalues:
/// V · diag(g) · Vᵀ.
fn values_back(call: Call, g: &Expr, v: &Expr) -> Expr {
    call.product(&call.times(v, &call.row(g)), &call.transposed(v))
}

/// Returns the symmetric parts of matrices: (x + xᵀ) / 2.
fn symmetric(call: Call, x: &Expr) -> Expr {
    let half = cast(Expr::number(crate::Scalar::Float(0.5), call.at), x.0.dtype, call.at);
    call.times(&call.plus(x, &call.transposed(x)), &half)
}
