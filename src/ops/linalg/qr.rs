//! The QR factorisation.

use super::Mode;
use super::parts::{Call, count, shaped};
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Called, Expr, Operand, binary, operand, routine, unary};
use crate::graph::routine::{QR, qr_params};
use crate::graph::ufunc::{arithmetic, logic};
use smallvec::smallvec;
use std::panic::Location;

/// Returns the factors Q and R of matrices: `x = Q · R`, where the columns of Q are orthonormal and R is upper
/// triangular. The matrices lie along the last two axes and have shape [m, n]. With [`Mode::Reduced`], Q has min(m, n)
/// columns and R has min(m, n) rows. With [`Mode::Complete`], Q has m columns and R has m rows. f16, bf16 and integers
/// are converted to f32, and the result is f32 or f64.
///
/// ```
/// use cupric::{array, linalg::{Mode, qr}};
/// let x = array![[3., 1.], [4., 2.], [0., 2.]];
/// let (q, r) = qr(&x, Mode::Reduced);
/// assert_eq!((q.shape()?.to_vec(), r.shape()?.to_vec()), (vec![3, 2], vec![2, 2]));
/// assert!(q.matmul(&r).allclose(&x, 1e-5, 1e-6, false).item::<bool>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Accuracy
/// The norm of `Q·R − x` is at most a small multiple of max(m, n)·ε times the norm of `x`, and the norm of `Qᵀ·Q − I`
/// is at most a small multiple of max(m, n)·ε. Both backends use Householder reflectors, so the elements on R's
/// diagonal may be negative, as in LAPACK. The CPU computes in f64. A matrix with an infinite or NaN element has NaN
/// results.
///
/// # Derivatives
/// Q and R have derivatives with `Mode::Reduced`, if the matrices have at least as many rows as columns and the columns
/// are linearly independent.
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if `x` has fewer than two axes. On a GPU, matrices
/// of more than about 1,000 rows and columns give [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded): move
/// `x` by `to_device(&Device::cpu())` first.
#[track_caller]
pub fn qr(x: impl Operand, mode: Mode) -> (Expr, Expr) {
    let at = Location::caller();
    let _called = Called::begin("qr", at);
    let x = operand(x, at);
    match factors(Call { op: "qr", at }, &x, mode) {
        Ok(both) => both,
        Err(e) => (Expr::failed(e.clone(), at), Expr::failed(e, at)),
    }
}

/// Returns the factors Q and R of matrices, with the rules for their derivatives if these exist.
pub(super) fn factors(call: Call, x: &Expr, mode: Mode) -> Result<(Expr, Expr)> {
    let (x, [m, n]) = call.matrices(x)?;
    let columns = if mode == Mode::Complete { m } else { m.min(n) };
    let shapes = [shaped(&x, &[m, columns]), shaped(&x, &[columns, n])];
    for shape in &shapes {
        crate::base::layout::size_of_shape(shape).map_err(|f| f.at(call.op, call.at))?;
    }
    let [of_q, of_r] = shapes;
    if x.0.shape.contains(&0) {
        // for matrices without columns, the complete Q is the identity; every other result here has no elements
        let q = if n == 0 && columns == m { call.identity(&x, m) } else { call.filled(0.0, of_q, &x) };
        return Ok((q, call.filled(0.0, of_r, &x)));
    }
    let params = qr_params(call.op, [m, n], columns, count(&x));
    let results = routine(&QR, smallvec![x.clone()], params, call.at)?;
    if m < n || columns > n {
        return Ok((results[0].clone(), results[1].clone()));
    }
    let ruled = |number: usize| {
        let of = x.clone();
        let back = move |g: &Expr, at: Loc| {
            let call = Call { at, ..call };
            let (q, r) = factors(call, &of, mode)?;
            Ok(vec![derivative(call, [&q, &r], g, number)])
        };
        results[number].with_rule(vec![x.clone()], Some(Box::new(back)))
    };
    Ok((ruled(0), ruled(1)))
}

/// Returns the gradient with respect to the matrices: (gQ + Q · S) · R⁻ᵀ. Here gQ and gR are the gradients with respect
/// to Q and R. If `number` is 0, gQ is `g` and gR is 0; otherwise gR is `g` and gQ is 0. S is the symmetric matrix
/// whose lower triangle is the lower triangle of R · gRᵀ − gQᵀ · Q (Seeger and others, *Auto-differentiating linear
/// algebra*, 2017).
fn derivative(call: Call, [q, r]: [&Expr; 2], g: &Expr, number: usize) -> Expr {
    let inner = match number {
        0 => unary(&arithmetic::negative, call.product(&call.transposed(g), q), call.at),
        _ => call.product(r, &call.transposed(g)),
    };
    let lower = call.masked(&inner, |i, j| call.apply(&logic::greater_equal, i, j));
    let below = call.masked(&inner, |i, j| call.apply(&logic::greater, i, j));
    let both = call.plus(&lower, &call.transposed(&below));
    let sum = call.product(q, &both);
    let sum = if number == 0 { call.plus(g, &sum) } else { sum };
    call.product(&sum, &call.transposed(&inverse(call, r)))
}

/// Returns the inverses of upper triangular matrices. Inverts the diagonal elements first. Each step then computes the
/// inverses of diagonal blocks of twice the size.
pub(super) fn inverse(call: Call, r: &Expr) -> Expr {
    let n = r.0.shape[r.0.shape.len() - 1];
    let diagonal = call.masked(r, |i, j| call.apply(&logic::equal, i, j));
    let ones = call.plus(&diagonal, &call.off_diagonal(&call.filled(1.0, smallvec![n, n], r)));
    let one = binary(&arithmetic::divide, 1.0, &ones, call.at);
    let mut inverse = call.masked(&one, |i, j| call.apply(&logic::equal, i, j));
    let mut size = 1;
    while size < n {
        let above = call.masked(r, |i, j| {
            let block = |e: &Expr, size: usize| binary(&arithmetic::floor_divide, e, size, call.at);
            let same = call.apply(&logic::equal, &block(i, 2 * size), &block(j, 2 * size));
            let other = call.apply(&logic::not_equal, &block(i, size), &block(j, size));
            let upper = call.apply(&logic::less, i, j);
            call.apply(&logic::logical_and, &call.apply(&logic::logical_and, &same, &other), &upper)
        });
        let change = call.product(&call.product(&inverse, &above), &inverse);
        inverse = call.minus(&inverse, &change);
        size *= 2;
    }
    inverse
}
