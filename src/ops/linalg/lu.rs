//! The LU factorisation with partial pivoting: matrices with exchanged rows as products of triangular matrices.

use super::parts::{Call, count, half, shaped};
use super::triangular::{TriangularKind, ruled, solved};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Loc, Result};
use crate::base::layout::{IndexMode, Shape, SliceItem, View};
use crate::graph::expr::{Called, Expr, Operand, binary, cast, routine, view};
use crate::graph::routine::{LU, MOST_COLUMNS_OF_LU as BLOCK};
use crate::graph::ufunc::{arithmetic, logic};

use crate::ops::create::iota;
use crate::ops::index::take_along;
use smallvec::smallvec;
use std::panic::Location;

/// The triangular factors L and U of matrices with exchanged rows.
#[derive(Clone)]
pub(super) struct Factors {
    /// U on and above the diagonal, and L below it. The diagonal of L, which is not stored, is 1.
    pub packed: Expr,
    /// For each row of L·U, the index of the row of the original matrix to which it is equal.
    pub order: Expr,
    /// How many pairs of rows of each matrix were exchanged.
    pub exchanges: Expr,
}

impl Factors {
    /// Returns the factors of matrices of `rows` rows from the results of the routine [`LU`].
    pub fn of(results: &[Expr], rows: usize, call: Call) -> Factors {
        let part = |items: &[SliceItem]| view(call.op, &results[1], call.at, |s| View::slice(s, items));
        let order = SliceItem::Range { start: None, end: Some(rows as isize), step: 1 };
        Factors {
            packed: results[0].clone(),
            order: part(&[SliceItem::Ellipsis, order]),
            exchanges: part(&[SliceItem::Ellipsis, SliceItem::Index(rows as isize)]),
        }
    }

    /// Returns the factors broadcast to the axes `batch`, which come before the axes of a matrix. `exchanges` is not
    /// broadcast.
    pub fn broadcast(&self, batch: &[usize], call: Call) -> Factors {
        let order = view(call.op, &self.order, call.at, |s| {
            let to: Shape = batch.iter().chain(s.last()).copied().collect();
            View::broadcast_to(s, &to)
        });
        Factors { packed: call.broadcast(&self.packed, batch), order, exchanges: self.exchanges.clone() }
    }
}

/// Returns the LU factorisation of matrices A along the last two axes, with exchanged rows: (p, L, U), where row i of
/// L·U is row p_i of A. For A of shape [m, n], and k = min(m, n), the lower triangular L has shape [m, k] and ones on
/// its diagonal, and the upper triangular U has shape [k, n]. p has m elements in i64, and is a permutation of the row
/// indices.
///
/// In each column the first of the elements with the largest magnitude becomes the pivot, so no element of L has a
/// magnitude above 1. A singular matrix has a 0 on the diagonal of U. f16, bf16 and integers are converted to f32, and
/// the factors are f32 or f64. On the CPU, the result's bits do not depend on the number of threads or the instruction
/// set.
///
/// SciPy's `lu` with `p_indices=True` returns the inverse permutation of p, and JAX's `lu` returns the same permutation
/// as this function.
///
/// ```
/// use cupric::{array, linalg::lu};
/// let a = array![[1., 2.], [4., 4.]];
/// let (p, l, u) = lu(&a);
/// assert_eq!(p.to_vec::<i64>()?, [1, 0]);
/// assert_eq!(l.to_vec::<f32>()?, [1., 0., 0.25, 1.]);
/// assert_eq!(u.to_vec::<f32>()?, [4., 4., 0., 1.]);
/// assert_eq!(l.matmul(&u).to_vec::<f32>()?, a.take(&p, 0).to_vec::<f32>()?);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Derivatives
/// L and U have derivatives if the matrices have full rank, as long as the order of the rows stays the same. For other
/// matrices, the evaluation of a derivative returns [`ErrorKind::Singular`](crate::ErrorKind::Singular).
///
/// # Errors
/// The results carry [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the operand has fewer than two axes.
///
/// Large matrices are factorised by recursion on halves of the columns: S. Toledo, Locality of reference in LU
/// decomposition with partial pivoting, SIAM J. Matrix Anal. Appl. 18 (1997). The formula of the derivative is from
/// F. R. de Hoog, R. S. Anderssen and M. A. Lukas, Differentiation of matrix functionals using triangular
/// factorization, Math. Comp. 80 (2011).
#[doc(alias("lu_factor"))]
#[track_caller]
pub fn lu(a: impl Operand) -> (Expr, Expr, Expr) {
    let call = Call { op: "lu", at: Location::caller() };
    let _called = Called::begin(call.op, call.at);
    let build = || {
        let [order, l, u] = triangles(&call.floats(a)?, call)?;
        Ok((cast(order, DType::I64, call.at), l, u))
    };
    build().unwrap_or_else(|e: crate::base::error::Error| {
        let failed = Expr::failed(e.or_at(call.at), call.at);
        (failed.clone(), failed.clone(), failed)
    })
}

/// Returns the order of the rows ([`Factors::order`]), L and U. L and U have the rules for their derivatives.
fn triangles(a: &Expr, call: Call) -> Result<[Expr; 3]> {
    let [m, n] = call.matrix(a)?;
    let f = factored(a, call)?;
    let k = m.min(n);
    let strict = call.block(&f.packed, 0..m, 0..k).tril(-1);
    let position = iota(smallvec![m, k], 0, call.at);
    let diagonal = binary(&logic::equal, position, iota(smallvec![m, k], 1, call.at), call.at);
    let l = call.plus(&strict, &cast(diagonal, a.0.dtype, call.at));
    let u = call.rows(&f.packed, 0..k).triu(0);
    let with_rule = |e: Expr, of_upper: bool| {
        let of = a.clone();
        let back = move |g: &Expr, at: Loc| Ok(vec![derivative(&of, g, of_upper, Call { at, ..call })?]);
        e.with_rule(vec![a.clone()], Some(Box::new(back)))
    };
    Ok([f.order, with_rule(l, false), with_rule(u, true)])
}

/// Returns the gradient with respect to the matrices, given the gradient `g` with respect to U (if `of_upper` is true)
/// or L. Let k = min(m, n), L₁ the first k rows of L, and U₁ the first k columns of U. After the exchange of rows, the
/// k × k block at the top left of each matrix has the gradient L₁⁻ᵀ·Φ·U₁⁻ᵀ, where Φ is `phi`.
fn derivative(a: &Expr, g: &Expr, of_upper: bool, call: Call) -> Result<Expr> {
    if a.0.shape.contains(&0) {
        return Ok(a.clone());
    }
    let [m, n] = call.matrix(a)?;
    let k = m.min(n);
    let [order, l, u] = triangles(a, call)?;
    let t = |e: &Expr| call.transposed(e);
    let (l1, u1) = (call.rows(&l, 0..k), call.block(&u, 0..k, 0..k));
    let by_lower = |x: &Expr| ruled(&t(&l1), x, TriangularKind::UNIT_LOWER.transposed(), call);
    let by_upper = |x: &Expr| Ok(t(&ruled(&u1, &t(x), TriangularKind::UPPER, call)?));
    let (phi, rest) = if of_upper {
        let phi = call.product(&call.block(g, 0..k, 0..k), &t(&u1)).triu(0);
        let [g2, u2] = [g, &u].map(|e| call.block(e, 0..k, k..n));
        (call.minus(&phi, &call.product(&g2, &t(&u2)).tril(-1)), by_lower(&g2)?)
    } else {
        let phi = call.product(&t(&l1), &call.rows(g, 0..k)).tril(-1);
        let [g2, l2] = [g, &l].map(|e| call.rows(e, k..m));
        (call.minus(&phi, &call.product(&t(&l2), &g2).triu(0)), by_upper(&g2)?)
    };
    let square = by_lower(&by_upper(&phi)?)?;
    // the columns to the right of the square part affect only U, and the rows below it affect only L; the gradient of
    // these elements is 0 if `g` belongs to the other factor
    let rest = match (of_upper, m < n) {
        (true, true) | (false, false) => rest,
        _ => call.filled(0.0, shaped(a, &if m < n { [k, n - k] } else { [m - k, k] }), a),
    };
    let whole = call.join(vec![square, rest], if m < n { -1 } else { -2 });
    Ok(in_order(&whole, &order.argsort(-1), call))
}

/// Factorises matrices, by recursion on halves of the columns if they have more than `BLOCK` columns.
pub(super) fn factored(a: &Expr, call: Call) -> Result<Factors> {
    let [m, n] = call.matrix(a)?;
    let above = a.0.shape.len() - 2;
    if a.0.shape.contains(&0) {
        let mut shape = a.0.shape.clone();
        shape.pop();
        let order = cast(iota(shape.clone(), above, call.at), DType::I32, call.at);
        shape.pop();
        let exchanges = Expr::fill_on(a.0.device, Scalar::Int(0), shape, DType::I32, call.at);
        return Ok(Factors { packed: a.clone(), order, exchanges });
    }
    if n > m {
        let left = factored(&call.block(a, 0..m, 0..m), call)?;
        let right = in_order(&call.block(a, 0..m, m..n), &left.order, call);
        let right = solved(&left.packed, &right, TriangularKind::UNIT_LOWER, 0, call)?;
        return Ok(Factors { packed: call.join(vec![left.packed, right], -1), ..left });
    }
    if n <= BLOCK {
        let params = smallvec![m as u64, n as u64, count(a) as u64];
        let results = routine(&LU, smallvec![a.clone()], params, call.at)?;
        return Ok(Factors::of(&results, m, call));
    }
    let at = half(n, BLOCK);
    let left = factored(&call.block(a, 0..m, 0..at), call)?;
    let right = in_order(&call.block(a, 0..m, at..n), &left.order, call);
    let top = solved(&call.rows(&left.packed, 0..at), &call.rows(&right, 0..at), TriangularKind::UNIT_LOWER, 0, call)?;
    let below = call.rows(&left.packed, at..m);
    let rest = call.minus(&call.rows(&right, at..m), &call.product(&below, &top));
    rest.checked()?;
    let rest = factored(&rest, call)?;
    let order = |from: usize, to: usize| {
        let range = SliceItem::Range { start: Some(from as isize), end: Some(to as isize), step: 1 };
        view(call.op, &left.order, call.at, |s| View::slice(s, &[SliceItem::Ellipsis, range]))
    };
    let later = take_along("take_along_axis", &order(at, m), rest.order.clone(), -1, IndexMode::Clip, call.at);
    let first = call.join(vec![call.rows(&left.packed, 0..at), top], -1);
    let second = call.join(vec![in_order(&below, &rest.order, call), rest.packed], -1);
    Ok(Factors {
        packed: call.join(vec![first, second], -2),
        order: call.join(vec![order(0, at), later], -1),
        exchanges: binary(&arithmetic::add, left.exchanges, rest.exchanges, call.at),
    })
}

/// Returns the rows of matrices in another order: row i of the result is row `order[i]` of `x`.
pub(super) fn in_order(x: &Expr, order: &Expr, call: Call) -> Expr {
    let index = view(call.op, order, call.at, |s| View::expand(s, -1));
    take_along("take_along_axis", x, index, -2, IndexMode::Clip, call.at)
}
