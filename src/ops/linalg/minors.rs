//! The derivatives of cofactors, which are the second derivatives of determinants. Singular matrices have them too.
//!
//! A matrix is A = U·diag(s)·Vᵀ. In the directions G and H its determinant has the second derivative
//! det(U)·det(V) · Σ p[i, j]·(B[i, i]·C[j, j] − B[i, j]·C[j, i]), where B = Uᵀ·G·V, C = Uᵀ·H·V, the sum has all i ≠ j, and
//! p[i, j] is the product of all singular values except numbers i and j. The products are computed without a division, so
//! that singular values may be 0. The matrix of the factors of H is the derivative of the cofactors in the direction G.

use super::parts::Call;
use crate::base::layout::View;
use crate::graph::expr::{Expr, binary, choose, scan, unary, view};
use crate::graph::ufunc::{Fold, Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::grad::{flipped, shifted};
use smallvec::smallvec;

/// Returns the derivatives of the cofactors of matrices in the directions `g`, but for the sign det(U)·det(V). The
/// matrices are given by their singular value decompositions.
pub(super) fn of_cofactors([u, s, v]: &[Expr; 3], g: &Expr, call: Call) -> Expr {
    let inner = call.product(&call.transposed(u), &call.product(g, &call.transposed(v)));
    let products = without_two(s, call);
    let diagonal = view(call.op, &inner, call.at, |shape| {
        let last = shape.len() as isize - 1;
        View::diagonal(shape, 0, last - 1, last)
    });
    let on_diagonal = call.along_last(&arithmetic::add, &call.times(&products, &call.row(&diagonal)), true);
    let elsewhere = unary(&arithmetic::negative, call.transposed(&call.times(&products, &inner)), call.at);
    let factors = choose(rows_and_columns(s, &logic::equal, call), on_diagonal, elsewhere, call.at);
    call.product(u, &call.product(&factors, v))
}

/// Compares the number of the row of each element of a matrix with the number of its column. The matrices have as many
/// rows as `s` has numbers.
fn rows_and_columns(s: &Expr, row: &'static Ufunc, call: Call) -> Expr {
    let n = s.0.shape[s.0.shape.len() - 1];
    binary(row, iota(smallvec![n, n], 0, call.at), iota(smallvec![n, n], 1, call.at), call.at)
}

/// Returns, for each two of n numbers, the product of all others, as n × n matrices with zeros on the diagonal. The numbers
/// along the last axis of `s` are not negative, and descend.
fn without_two(s: &Expr, call: Call) -> Expr {
    let (at, axis) = (call.at, s.0.shape.len() - 1);
    let products = |e: &Expr, axis: usize| scan(Fold::of(&arithmetic::multiply), e, axis, at);
    let column = |e: &Expr| view(call.op, e, at, |shape| View::expand(shape, -1));
    // the numbers before the first of the two, those after the second, and those between them
    let before = column(&shifted(&products(s, axis), axis, false, 1.0, at));
    let after = call.row(&shifted(&flipped(&products(&flipped(s, axis, at), axis), axis, at), axis, true, 1.0, at));
    let above = rows_and_columns(s, &logic::less, call);
    let next = choose(&above, call.row(s), 1.0, at);
    let between = shifted(&products(&next, axis + 1), axis + 1, false, 1.0, at);
    let all = call.times(&call.times(&before, &between), &after);
    // a product that overflowed is not multiplied by 0
    let least = call.apply(&arithmetic::minimum, &between, &after);
    let all = choose(binary(&logic::equal, least, 0.0, at), 0.0, all, at);
    let upper = choose(above, all, 0.0, at);
    call.plus(&upper, &call.transposed(&upper))
}
