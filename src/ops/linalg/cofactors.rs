//! The cofactors of matrices, which are the derivatives of the determinant. Singular matrices have cofactors too.
//!
//! The cofactors of a regular matrix follow from its inverse. A singular matrix is A = Pᵀ·L·U with pivots of 0 on the
//! diagonal of U. Let U₁ be U with 1 in place of these pivots, and N the inverse of U₁. In N·U the columns of all other
//! pivots are columns of the identity, and between the pivots of 0 it is strictly upper triangular, with elements of −N.
//! So the adjugate of A is a multiple of one product: c·det(U₁) times the column of N that belongs to the first pivot of
//! 0, times the row of N·L⁻¹·P that belongs to the last one. c is the product of the elements of N in the row of each
//! pivot of 0 and the column of the next one. It is 0 if the rank of A is below n − 1.

use super::lu::{Factors, in_order};
use super::parts::Call;
use super::triangular::{TriangularKind, solved};
use crate::base::dtype::DType;
use crate::base::error::Result;
use crate::base::layout::{IndexMode, Shape, View};
use crate::graph::expr::{Expr, binary, cast, choose, scan, unary, view};
use crate::graph::ufunc::{Fold, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::join;
use crate::ops::index::take_along;

/// Returns, for each matrix, whether a pivot is 0.
pub(super) fn are_singular(pivots: &Expr, call: Call) -> Expr {
    call.along_last(&logic::logical_or, &is_zero(pivots, call), false)
}

fn is_zero(e: &Expr, call: Call) -> Expr {
    binary(&logic::equal, e, 0.0, call.at)
}

/// Returns the cofactors of the singular ones of matrices, from their triangular factors, the pivots, and the signs of
/// the permutations of the rows. The results for regular matrices are undefined.
pub(super) fn of_singular(factors: &Factors, [pivots, sign]: &[Expr; 2], call: Call) -> Result<Expr> {
    let (at, n) = (call.at, call.square(&factors.packed)?);
    let apply = |row, a: &Expr, b: &Expr| call.apply(row, a, b);
    let expand = |e: &Expr, axis: isize| view(call.op, e, at, |s| View::expand(s, axis));
    let shape: Shape = pivots.0.shape.clone();
    let position = iota(shape.clone(), shape.len() - 1, at);
    let gone = is_zero(pivots, call);
    // the first and the last pivot of 0, and the one before each element
    let first = call.along_last(&arithmetic::minimum, &choose(&gone, &position, n as i64, at), true);
    let latest = choose(&gone, &position, -1, at);
    let last = call.along_last(&arithmetic::maximum, &latest, true);
    let upto = scan(Fold::of(&arithmetic::maximum), &latest, shape.len() - 1, at);
    let mut none = shape.clone();
    none[shape.len() - 1] = 1;
    let before = view(call.op, &upto, at, |s| {
        let mut part = View::identity(s);
        part.shape[s.len() - 1] = n - 1;
        Ok(part)
    });
    let none = cast(Expr::fill_on(pivots.0.device, crate::Scalar::Int(-1), none, DType::I32, at), upto.0.dtype, at);
    let before = join(call.op, vec![none, before], -1, at);

    let identity = call.identity(&factors.packed, n);
    let upper =
        choose(apply(&logic::logical_and, &is_one(&identity, call), &expand(&gone, -1)), 1.0, &factors.packed, at);
    let inverse = solved(&upper, &identity, TriangularKind::UPPER, 0, call)?;
    let next = take_along(call.op, &inverse, expand(&before, -2), -2, IndexMode::Clip, at);
    let next = view(call.op, &next, at, |s| Ok(View::drop_axes(s, &[s.len() - 2])));
    let follows = apply(&logic::logical_and, &gone, &binary(&logic::greater, &position, &first, at));
    // each pivot contributes a factor: its own value, or the element of N between it and the pivot of 0 before it
    let factor = choose(&gone, choose(follows, next, 1.0, at), pivots, at);
    let scale = apply(&arithmetic::multiply, &call.along_last(&arithmetic::multiply, &factor, false), sign);

    let column = take_along(call.op, &inverse, expand(&first, -2), -1, IndexMode::Clip, at);
    let row = take_along(call.op, &inverse, expand(&last, -1), -2, IndexMode::Clip, at);
    let lower = call.transposed(&factors.packed);
    let row = solved(&lower, &call.transposed(&row), TriangularKind::UNIT_LOWER.transposed(), 0, call)?;
    let row = in_order(&row, &factors.order.argsort(-1), call);
    let scaled = call.times(&row, &expand(&expand(&scale, -1), -1));
    Ok(call.times(&scaled, &call.transposed(&column)))
}

fn is_one(e: &Expr, call: Call) -> Expr {
    unary(&logic::logical_not, is_zero(e, call), call.at)
}
