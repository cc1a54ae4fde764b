//! Solutions of systems of linear equations whose matrix is triangular.

use super::parts::{Call, batch, count, half};
use crate::base::error::{ErrorKind, Loc, Result};
use crate::base::layout::{self, View};
use crate::graph::expr::{Expr, Operand, result_of, routine, unary, view};
use crate::graph::routine::{SOLVE_TRIANGULAR, UNIT, UPPER, called};
use crate::graph::ufunc::arithmetic;
use smallvec::smallvec;
use std::panic::Location;

/// The triangle of a matrix that an operation reads. The other elements are not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Triangle {
    /// The elements on the diagonal and below it.
    Lower,
    /// The elements on the diagonal and above it.
    Upper,
    /// The elements below the diagonal. The elements on the diagonal are taken as 1.
    UnitLower,
    /// The elements above the diagonal. The elements on the diagonal are taken as 1.
    UnitUpper,
}

/// The kind of a triangular matrix: upper or lower, and whether the elements on its diagonal are taken as 1 (unit).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TriangularKind {
    pub is_upper: bool,
    pub is_unit: bool,
}

impl TriangularKind {
    pub const LOWER: TriangularKind = TriangularKind { is_upper: false, is_unit: false };
    pub const UPPER: TriangularKind = TriangularKind { is_upper: true, is_unit: false };
    pub const UNIT_LOWER: TriangularKind = TriangularKind { is_upper: false, is_unit: true };

    pub fn of(triangle: Triangle) -> TriangularKind {
        match triangle {
            Triangle::Lower => TriangularKind::LOWER,
            Triangle::Upper => TriangularKind::UPPER,
            Triangle::UnitLower => TriangularKind::UNIT_LOWER,
            Triangle::UnitUpper => TriangularKind { is_unit: true, ..TriangularKind::UPPER },
        }
    }

    /// Returns the kind of the transposed matrix.
    pub fn transposed(self) -> TriangularKind {
        TriangularKind { is_upper: !self.is_upper, ..self }
    }
}

/// The maximum number of rows of a matrix that the routine `solve_triangular` solves. Larger matrices are divided in
/// two, recursively.
const BLOCK: usize = 64;

/// Returns the solutions X of A·X = B for triangular matrices A along the last two axes. Only the named triangle of A
/// is read.
///
/// If B has one axis, it is a single right-hand side for all matrices, and X has no axis of columns either. Otherwise
/// each column of the last two axes of B is a right-hand side. The other axes broadcast. f16, bf16 and integers are
/// converted to f32, and the result is f32 or f64. The error is the same as for substitution: (A + E)·X = B with |E| ≤
/// n·ε·|A| for matrices of n rows, where ε is 2^-23 for f32 and 2^-52 for f64.
///
/// ```
/// use cupric::{array, linalg::{Triangle, solve_triangular}};
/// let a = array![[2., 0.], [1., 4.]];
/// assert_eq!(solve_triangular(&a, array![2., 9.], Triangle::Lower).to_vec::<f32>()?, [1., 2.]);
/// assert_eq!(solve_triangular(&a, array![2., 9.], Triangle::UnitLower).to_vec::<f32>()?, [2., 7.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// An evaluation returns [`ErrorKind::Singular`] if the diagonal of a matrix has a 0. The error message gives the index
/// of the matrix. A GPU reports this error at the next read. The result carries [`ErrorKind::Shape`] if the matrices
/// are not square or if the shapes do not fit together.
///
/// Large systems are solved by recursion on halves: E. Elmroth, F. Gustavson, I. Jonsson and B. Kågström, Recursive
/// blocked algorithms and hybrid data structures for dense matrix library software, SIAM Review 46 (2004).
#[doc(alias("trsm", "triangular_solve"))]
#[track_caller]
pub fn solve_triangular(a: impl Operand, b: impl Operand, triangle: Triangle) -> Expr {
    let call = Call { op: "solve_triangular", at: Location::caller() };
    result_of(call.op, call.at, || {
        let [a, b] = call.both(a, b)?;
        with_columns(&a, &b, call, |a, b| Ok([ruled(a, b, TriangularKind::of(triangle), call)?])).map(|[x]| x)
    })
}

/// Calls `solve` with square matrices and right-hand sides, which are broadcast to the same batch (the axes before the
/// last two). If `b` has one axis, it becomes a column for the call, and this axis is removed from the results.
pub(super) fn with_columns<const N: usize>(
    a: &Expr,
    b: &Expr,
    call: Call,
    solve: impl FnOnce(&Expr, &Expr) -> Result<[Expr; N]>,
) -> Result<[Expr; N]> {
    let n = call.square(a)?;
    let is_one = b.0.shape.len() == 1;
    let b = if is_one { view(call.op, b, call.at, |s| View::expand(s, 1)) } else { b.clone() };
    let wrong = |why: &str| {
        let (x, y) = (a.0.shape.as_slice(), b.0.shape.as_slice());
        let y = if is_one { &y[..1] } else { y };
        call.error(ErrorKind::Shape, format!("shapes {x:?} and {y:?}: {why}"))
    };
    let [.., rows, _] = *b.checked()?.shape.as_slice() else {
        return Err(wrong("a right side has at least one axis"));
    };
    if rows != n {
        return Err(wrong(&format!("matrices of {n} rows need right sides of {n} rows, not {rows}")));
    }
    let common = layout::broadcast(batch(a), batch(&b)).map_err(|f| wrong(&f.detail))?;
    let (a, b) = (call.broadcast(a, &common), call.broadcast(&b, &common));
    a.checked()?;
    b.checked()?;
    let found = solve(&a, &b)?;
    found.iter().try_for_each(|x| x.checked().map(drop))?;
    let without = |x: Expr| view(call.op, &x, call.at, |s| Ok(View::drop_axes(s, &[s.len() - 1])));
    Ok(if is_one { found.map(without) } else { found })
}

/// Returns the solutions X of A·X = B for triangular matrices A, with the rule for their derivative. A and B have the
/// same axes before the last two.
pub(super) fn ruled(a: &Expr, b: &Expr, kind: TriangularKind, call: Call) -> Result<Expr> {
    b.checked()?;
    if b.0.shape.contains(&0) {
        return Ok(b.clone());
    }
    let x = solved(a, b, kind, 0, call)?;
    let (of, right) = (a.clone(), b.clone());
    let back = move |g: &Expr, at: Loc| {
        let call = Call { at, ..call };
        let of_b = ruled(&call.transposed(&of), g, kind.transposed(), call)?;
        let x = ruled(&of, &right, kind, call)?;
        let of_a = unary(&arithmetic::negative, call.product(&of_b, &call.transposed(&x)), at);
        let of_a = match (kind.is_upper, kind.is_unit as isize) {
            (true, k) => of_a.triu(k),
            (false, k) => of_a.tril(-k),
        };
        Ok(vec![of_a, of_b])
    };
    Ok(x.with_rule(vec![a.clone(), b.clone()], Some(Box::new(back))))
}

/// Returns the solutions X of A·X = B, without a rule for their derivative. The matrices A are triangular blocks on the
/// diagonal of the caller's matrices; the blocks begin at row `first` of these matrices.
pub(super) fn solved(a: &Expr, b: &Expr, kind: TriangularKind, first: usize, call: Call) -> Result<Expr> {
    a.checked()?;
    b.checked()?;
    let [.., n, columns] = *b.0.shape.as_slice() else { return Ok(b.clone()) };
    if n <= BLOCK {
        let bits = if kind.is_upper { UPPER } else { 0 } | if kind.is_unit { UNIT } else { 0 } | called(call.op);
        let params = smallvec![n as u64, count(b) as u64, first as u64, bits, columns as u64];
        return Ok(routine(&SOLVE_TRIANGULAR, smallvec![a.clone(), b.clone()], params, call.at)?.remove(0));
    }
    let at = half(n, BLOCK);
    let [top, rest] = [0..at, at..n].map(|rows| call.block(a, rows.clone(), rows));
    let [x, y] = [0..at, at..n].map(|rows| call.rows(b, rows));
    if kind.is_upper {
        let y = solved(&rest, &y, kind, first + at, call)?;
        let x = call.minus(&x, &call.product(&call.block(a, 0..at, at..n), &y));
        return Ok(call.join(vec![solved(&top, &x, kind, first, call)?, y], -2));
    }
    let x = solved(&top, &x, kind, first, call)?;
    let y = call.minus(&y, &call.product(&call.block(a, at..n, 0..at), &x));
    Ok(call.join(vec![x, solved(&rest, &y, kind, first + at, call)?], -2))
}
