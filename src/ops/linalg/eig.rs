//! Eigenvalues and eigenvectors of general matrices.

use super::parts::{Call, count, shaped};
use crate::base::error::Result;
use crate::graph::expr::{Called, Expr, Operand, operand, routine};
use crate::graph::routine::EIG;
use crate::ops::complex::Complex;
use smallvec::smallvec;
use std::panic::Location;

/// Returns the eigenvalues w of square matrices, and eigenvectors as the columns of matrices V: `x·V = V·diag(w)`. The
/// matrices lie along the last two axes. Both results are complex, as in the Array API. f16, bf16 and integers are
/// converted to f32, and the real and imaginary parts of the results are f32 or f64. For symmetric matrices, [`eigh`]
/// is faster and has real results.
///
/// The order of the eigenvalues is arbitrary, but the same in each run. Eigenvalues that are not real come in pairs of
/// conjugates, and the one with a positive imaginary part is first. Each vector has the 2-norm 1, and its element of
/// the largest magnitude is real, as in NumPy. A real eigenvalue has a real vector. A matrix may have fewer independent
/// vectors than rows; then some columns of V are almost equal.
///
/// ```
/// use cupric::{array, linalg::eig};
/// // a rotation by a quarter of a turn
/// let x = array![[0., -1.], [1., 0.]];
/// let (w, v) = eig(&x);
/// assert_eq!(w.real().to_vec::<f32>()?, [0., 0.]);
/// assert_eq!(w.imag().to_vec::<f32>()?, [1., -1.]);
/// let error = v.map(|part| x.matmul(part)) - &v * &w;
/// assert!(error.abs().max(..).item::<f32>()? < 1e-6);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Accuracy
/// The norm of `x·V − V·diag(w)` is usually at most a small multiple of n·ε times the norm of `x`. The result's bits do
/// not depend on the number of threads or the instruction set. A matrix with an infinite or NaN element has NaN
/// results.
///
/// All steps are computed in f64, in the same way as in LAPACK: the matrix is balanced and reduced to Hessenberg form,
/// the QR iteration with double shifts gives the real Schur form, and back substitution gives the vectors.
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `x` has fewer than two axes or if the matrices
/// are not square. An evaluation on a GPU returns [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): move `x`
/// by `to_device(&Device::cpu())` first. If the iteration does not converge, an evaluation returns
/// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) with the index of the matrix; no matrix is known for
/// which this happens. The results have no derivatives.
///
/// [`eigh`]: crate::linalg::eigh
#[doc(alias = "eigenvectors")]
#[track_caller]
pub fn eig(x: impl Operand) -> (Complex, Complex) {
    let at = Location::caller();
    let _called = Called::begin("eig", at);
    let call = Call { op: "eig", at };
    let [a, b, c, d] = parts(call, operand(x, at), true);
    (Complex::pair(call.op, a, b, at), Complex::pair(call.op, c, d, at))
}

/// Returns the eigenvalues of square matrices without the eigenvectors, in the order and dtype of [`eig`].
///
/// ```
/// use cupric::{array, linalg::eigvals};
/// // the roots of z² − 2·z + 5, by the companion matrix
/// let w = eigvals(array![[2., -5.], [1., 0.]]);
/// assert_eq!(w.to_string(), "[1.+2.j 1.-2.j]");
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`eig`].
#[doc(alias = "roots")]
#[track_caller]
pub fn eigvals(x: impl Operand) -> Complex {
    let at = Location::caller();
    let _called = Called::begin("eigvals", at);
    let call = Call { op: "eigvals", at };
    let [a, b, ..] = parts(call, operand(x, at), false);
    Complex::pair(call.op, a, b, at)
}

/// Returns the real and imaginary parts of the eigenvalues, and then the real and imaginary parts of the eigenvectors.
/// If `with_vectors` is false, the parts of the eigenvalues are returned twice instead.
fn parts(call: Call, x: Expr, with_vectors: bool) -> [Expr; 4] {
    let build = || -> Result<[Expr; 4]> {
        let (x, n) = call.squares(&x)?;
        if x.0.shape.contains(&0) {
            let w = call.filled(0.0, shaped(&x, &[n]), &x);
            return Ok([w.clone(), w, x.clone(), x]);
        }
        let params = smallvec![n as u64, u64::from(with_vectors), count(&x) as u64];
        let found = routine(&EIG, smallvec![x], params, call.at)?;
        let part = |i: usize| found[i % found.len()].clone();
        Ok([part(0), part(1), part(2), part(3)])
    };
    build().unwrap_or_else(|e| [(); 4].map(|()| Expr::failed(e.clone(), call.at)))
}
