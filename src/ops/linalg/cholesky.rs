//! The Cholesky factorisation.

use super::Triangle;
use super::parts::{Call, count, half};
use super::triangular::{TriangularKind, solved};
use crate::base::error::{Loc, Result};
use crate::graph::expr::{Expr, Operand, binary, carry, routine};
use crate::graph::routine::{CHOLESKY, MOST_ROWS_OF_CHOLESKY as BLOCK};
use crate::graph::ufunc::arithmetic;
use smallvec::smallvec;
use std::panic::Location;

/// A lower triangular matrix, as parts that are not joined yet.
enum Lower {
    Block(Expr),
    /// The parts of a matrix that is divided at a row and the column of the same number.
    Divided {
        at: usize,
        first: Box<Lower>,
        below: Expr,
        second: Box<Lower>,
    },
}

/// Returns the Cholesky factors of symmetric positive definite matrices along the last two axes: the lower triangular L with
/// L·Lᵀ = A, or the upper triangular U with Uᵀ·U = A. Their diagonals are positive.
///
/// Only the triangle that is named is read; the other may hold anything, and has derivative 0. The other triangle of the
/// result is 0. f16, bf16 and integers are converted to f32, and the result is f32 or f64. For matrices of n rows
/// ‖A − L·Lᵀ‖ is at most n·ε·‖A‖, where ε is 2^-23 for f32 and 2^-52 for f64. On the CPU the bits do not depend on threads or
/// the instruction set.
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
/// An evaluation returns [`ErrorKind::Singular`](crate::ErrorKind::Singular) with the number of a matrix that is not positive
/// definite, also if it has a NaN; a GPU reports it at the next read. The result carries
/// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the matrices are not square, and
/// [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a triangle with a unit diagonal.
///
/// By recursion on halves: F. G. Gustavson, Recursion leads to automatic variable blocking for dense linear-algebra
/// algorithms, IBM J. Res. Dev. 41 (1997). The derivative is that of I. Murray, Differentiation of the Cholesky decomposition
/// (2016).
#[track_caller]
pub fn cholesky(a: impl Operand, triangle: Triangle) -> Expr {
    let call = Call { op: "cholesky", at: Location::caller() };
    carry(call.at, || {
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

/// Returns the lower factors, with their derivative.
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

/// Factorises a block of n rows on the diagonal, whose first row is `first` of the caller's matrices.
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
    /// Returns X for L·X = B.
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

    /// Adds the rows of the blocks on the diagonal, from the first column to the last, in bands. `before` holds what is left
    /// of these rows in larger matrices, and `n` counts the columns from here to the last.
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
                // the parts before keep their rows in order: a block takes as many as it has
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

/// Returns the derivative with respect to the matrices whose lower triangles are read.
fn derivative(a: &Expr, g: &Expr, call: Call) -> Result<Expr> {
    let at = call.at;
    let l = factor(a, call)?;
    // half of a diagonal is that of the lower triangle and of the transposed one together
    let halved = |x: &Expr| binary(&arithmetic::multiply, binary(&arithmetic::add, x.tril(0), x.tril(-1), at), 0.5, at);
    let p = halved(&call.product(&call.transposed(&l), &g.tril(0)));
    let upper = TriangularKind::LOWER.transposed();
    let lt = call.transposed(&l);
    let y = super::triangular::ruled(&lt, &binary(&arithmetic::add, &p, call.transposed(&p), at), upper, call)?;
    Ok(halved(&super::triangular::ruled(&lt, &call.transposed(&y), upper, call)?))
}
