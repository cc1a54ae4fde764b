//! The Cholesky factorisation of symmetric positive definite matrices.

use super::Triangle;
use super::parts::{Call, count, half};
use super::triangular::{TriangularKind, solved};
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Expr, Operand, binary, result_of, routine};
use crate::graph::routine::{CHOLESKY, MOST_ROWS_OF_CHOLESKY as BLOCK};
use crate::graph::ufunc::arithmetic;
use smallvec::smallvec;
use std::panic::Location;

/// A lower triangular matrix as a tree of blocks. The blocks are joined to one array at the end.
enum Lower {
    Block(Expr),
    /// A matrix that is divided at row and column `at`: into the triangle `first` at the upper left, the rectangle
    /// `below` it, and the triangle `second` at the lower right.
    Divided {
        at: usize,
        first: Box<Lower>,
        below: Expr,
        second: Box<Lower>,
    },
}

/// Returns the Cholesky factors of symmetric positive definite matrices along the last two axes: the lower triangular L
/// with L·Lᵀ = A, or the upper triangular U with Uᵀ·U = A. Their diagonals are positive.
///
/// Only the elements of A in the named triangle are read. The other elements may hold anything, and have derivative 0.
/// In the result the other elements are 0. f16, bf16 and integers are converted to f32, and the result is f32 or f64.
/// For matrices of n rows ‖A − L·Lᵀ‖ is at most n·ε·‖A‖, where ε is 2^-23 for f32 and 2^-52 for f64. On the CPU, the
/// result's bits do not depend on the number of threads or the instruction set.
///
/// ```
/// use cupric::{array, linalg::{Triangle, cholesky}};
/// let a = array![[4., 2.], [2., 10.]];
/// assert_eq!(cholesky(&a, Triangle::Lower).to_vec::<f32>()?, [2., 0., 1., 3.]);
/// assert_eq!(cholesky(&a, Triangle::Upper).to_vec::<f32>()?, [2., 1., 0., 3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// An evaluation returns [`ErrorKind::Singular`](crate::ErrorKind::Singular) if a matrix is not positive definite or
/// has a NaN. The error message gives the index of the matrix. A GPU reports this error at the next read. The result
/// carries [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square, and
/// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if `triangle` has a unit diagonal.
///
/// Large matrices are factorised by recursion on halves: F. G. Gustavson, Recursion leads to automatic variable
/// blocking for dense linear-algebra algorithms, IBM J. Res. Dev. 41 (1997). The formula of the derivative is from
/// I. Murray, Differentiation of the Cholesky decomposition (2016).
#[track_caller]
pub fn cholesky(a: impl Operand, triangle: Triangle) -> Expr {
    let call = Call { op: "cholesky", at: Location::caller() };
    result_of(call.op, call.at, || {
        let kind = TriangularKind::of(triangle);
        if kind.is_unit {
            let detail = "a Cholesky factor has no unit diagonal; name Triangle::Lower or Triangle::Upper".to_string();
            return Err(call.error(crate::base::error::ErrorKind::Argument, detail));
        }
        let a = call.floats(a)?;
        call.square(&a)?;
        if !kind.is_upper {
            return factor(&a, call);
        }
        Ok(call.transposed(&factor(&call.transposed(&a), call)?))
    })
}

/// Returns the lower triangular factors L of matrices, with the rule for their derivative.
fn factor(a: &Expr, call: Call) -> Result<Expr> {
    if a.0.shape.contains(&0) {
        return Ok(a.clone());
    }
    let n = call.square(a)?;
    let mut bands = vec![];
    lower(a, [n, 0], call)?.bands(n, &[], &mut bands, call);
    let l = match bands.len() {
        1 => bands.remove(0),
        _ => call.join(bands, -2),
    };
    l.checked()?;
    let of = a.clone();
    let back = move |g: &Expr, at: Loc| Ok(vec![derivative(&of, g, Call { at, ..call })?]);
    Ok(l.with_rule(vec![a.clone()], Some(Box::new(back))))
}

/// Factorises a block of `n` rows and columns on the diagonal of the caller's matrices. `first` is the row of the
/// caller's matrices at which the block begins; error messages need it.
fn lower(a: &Expr, [n, first]: [usize; 2], call: Call) -> Result<Lower> {
    if n <= BLOCK {
        let params = smallvec![n as u64, count(a) as u64, first as u64];
        return Ok(Lower::Block(routine(&CHOLESKY, smallvec![a.clone()], params, call.at)?.remove(0)));
    }
    let at = half(n, BLOCK);
    let top = lower(&call.block(a, 0..at, 0..at), [at, first], call)?;
    let right = top.solve(&call.transposed(&call.block(a, at..n, 0..at)), first, call)?;
    let below = call.transposed(&right);
    let rest = call.minus(&call.block(a, at..n, at..n), &call.product(&below, &right));
    rest.checked()?;
    let second = lower(&rest, [n - at, first + at], call)?;
    Ok(Lower::Divided { at, first: Box::new(top), below, second: Box::new(second) })
}

impl Lower {
    /// Returns the solution X of L·X = B, where L is this matrix. L begins at row `first` of the caller's matrices.
    fn solve(&self, b: &Expr, first: usize, call: Call) -> Result<Expr> {
        match self {
            Lower::Block(l) => solved(l, b, TriangularKind::LOWER, first, call),
            Lower::Divided { at, first: top, below, second } => {
                let rows = b.0.shape[b.0.shape.len() - 2];
                let x = top.solve(&call.rows(b, 0..*at), first, call)?;
                let rest = call.minus(&call.rows(b, *at..rows), &call.product(below, &x));
                rest.checked()?;
                Ok(call.join(vec![x, second.solve(&rest, first + at, call)?], -2))
            }
        }
    }

    /// Appends the rows of this triangle, over all columns of the whole matrix, to `bands`: one array for each block on
    /// the diagonal. `before` holds the parts of these rows to the left of this triangle. `n` is the number of columns
    /// from the first column of this triangle to the last one of the whole matrix.
    fn bands(&self, n: usize, before: &[Expr], bands: &mut Vec<Expr>, call: Call) {
        match self {
            Lower::Block(l) => {
                let mut parts = before.to_vec();
                parts.push(l.clone());
                let mut shape = l.0.shape.clone();
                let last = shape.len() - 1;
                if n > shape[last] {
                    shape[last] = n - shape[last];
                    parts.push(call.filled(0.0, shape, l));
                }
                bands.push(if parts.len() == 1 { parts.remove(0) } else { call.join(parts, -1) });
            }
            Lower::Divided { at, first, below, second } => {
                // the parts at the left have as many rows as this triangle, and each half takes its own rows from them
                let mine = |parts: &[Expr], from: usize, to: usize| -> Vec<Expr> {
                    parts.iter().map(|part| call.rows(part, from..to)).collect()
                };
                let rows = below.0.shape[below.0.shape.len() - 2];
                first.bands(n, &mine(before, 0, *at), bands, call);
                let mut left = mine(before, *at, *at + rows);
                left.push(below.clone());
                second.bands(n - at, &left, bands, call);
            }
        }
    }
}

/// Returns the gradient with respect to the matrices `a`, whose lower triangles are read, given the gradient `g` with
/// respect to their factors.
fn derivative(a: &Expr, g: &Expr, call: Call) -> Result<Expr> {
    let at = call.at;
    let l = factor(a, call)?;
    // returns the elements below the diagonal, and half of the diagonal
    let halved = |x: &Expr| binary(&arithmetic::multiply, binary(&arithmetic::add, x.tril(0), x.tril(-1), at), 0.5, at);
    let p = halved(&call.product(&call.transposed(&l), &g.tril(0)));
    let upper = TriangularKind::LOWER.transposed();
    let lt = call.transposed(&l);
    let y = super::triangular::ruled(&lt, &binary(&arithmetic::add, &p, call.transposed(&p), at), upper, call)?;
    Ok(halved(&super::triangular::ruled(&lt, &call.transposed(&y), upper, call)?))
}
