//! Factorisations of matrices, and what is computed by them: the functions of the Array API's `linalg`. A function takes
//! matrices along the last two axes, with any axes before them.
//!
//! For linear equations, routines factorise small blocks (`graph/routine/cholesky.rs`, `lu.rs`, `triangular.rs`). A larger
//! matrix is divided into halves, again and again, whose parts are multiplied by the library's own products. So everything
//! runs on either backend without a trip to the host. The routines `eigh`, `svd` and `qr` (`graph/routine/factor.rs`)
//! factorise whole matrices. The rest are composites.

mod cholesky;
mod derived;
mod eigh;
mod lu;
mod parts;
mod qr;
mod solve;
mod svd;
mod triangular;

pub use cholesky::cholesky;
pub use derived::{cond, lstsq, matrix_rank, pinv};
pub use eigh::{eigh, eigvalsh};
pub use lu::lu;
pub use qr::qr;
pub use solve::{det, inv, slogdet, solve};
pub(crate) use svd::values as singular_values;
pub use svd::{svd, svdvals};
pub use triangular::{Triangle, solve_triangular};

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Shape, SliceItem, View};
use crate::graph::expr::{Expr, Operand, binary, cast, common, operand, strong, view};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::{join, matmul_at, promoted};
use smallvec::SmallVec;
use std::ops::Range;

/// The number of rows of the largest matrix. Its expression has some 10^5 nodes.
const MOST: usize = 1 << 16;

/// A call of a function: its name and the caller's line.
#[derive(Clone, Copy)]
struct Call {
    op: &'static str,
    at: Loc,
}

impl Call {
    fn error(self, kind: ErrorKind, detail: String) -> Error {
        Error::with_line(kind, self.op, detail, self.at)
    }

    /// Returns an operand as floats that factorisations are computed in: f64, or else f32.
    fn floats(self, x: impl Operand) -> Result<Expr> {
        let x = strong(operand(x, self.at), self.at);
        let dtype = if x.checked()?.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(cast(x, dtype, self.at))
    }

    /// Returns two operands as floats of the same type.
    fn both(self, a: impl Operand, b: impl Operand) -> Result<[Expr; 2]> {
        let (a, b) = (operand(a, self.at), operand(b, self.at));
        common(self.op, [&a, &b].into_iter(), self.at)?;
        let (a, b) = (strong(a, self.at), strong(b, self.at));
        let promoted = promoted(self.op, [&a, &b].into_iter(), self.at)?;
        let dtype = if promoted == DType::F64 { DType::F64 } else { DType::F32 };
        Ok([cast(a, dtype, self.at), cast(b, dtype, self.at)])
    }

    /// Returns the numbers of rows and columns of matrices along the last two axes.
    fn matrix(self, x: &Expr) -> Result<[usize; 2]> {
        let shape = x.checked()?.shape.as_slice();
        let [.., rows, columns] = *shape else {
            let detail = format!("shape {shape:?} has fewer than the two axes of a matrix");
            return Err(self.error(ErrorKind::Shape, detail));
        };
        if rows > MOST || columns > MOST {
            let detail = format!("a matrix of {rows} rows and {columns} columns; at most {MOST} are factorised");
            return Err(self.error(ErrorKind::LimitExceeded, detail));
        }
        Ok([rows, columns])
    }

    /// Returns the number of rows of square matrices along the last two axes.
    fn square(self, x: &Expr) -> Result<usize> {
        let [rows, columns] = self.matrix(x)?;
        if rows != columns {
            let shape = x.0.shape.as_slice();
            let detail =
                format!("shape {shape:?}: the matrices have {rows} rows and {columns} columns, and must be square");
            return Err(self.error(ErrorKind::Shape, detail));
        }
        Ok(rows)
    }

    /// Returns a view of a part of the rows and columns.
    fn block(self, x: &Expr, rows: Range<usize>, columns: Range<usize>) -> Expr {
        let range =
            |r: Range<usize>| SliceItem::Range { start: Some(r.start as isize), end: Some(r.end as isize), step: 1 };
        view(self.op, x, self.at, |s| View::slice(s, &[SliceItem::Ellipsis, range(rows), range(columns)]))
    }

    /// Returns a view of a part of the rows.
    fn rows(self, x: &Expr, rows: Range<usize>) -> Expr {
        let columns = x.0.shape.last().copied().unwrap_or_default();
        self.block(x, rows, 0..columns)
    }

    /// Returns a view of the transposed matrices.
    fn transposed(self, x: &Expr) -> Expr {
        view(self.op, x, self.at, |s| {
            let mut axes: SmallVec<[isize; 6]> = (0..s.len() as isize).collect();
            let last = s.len() - 1;
            axes.swap(last - 1, last);
            View::permute(s, &axes)
        })
    }

    /// Returns the same values broadcast to a batch: the axes before the last two.
    fn broadcast(self, x: &Expr, batch: &[usize]) -> Expr {
        view(self.op, x, self.at, |s| {
            let to: Shape = batch.iter().chain(&s[s.len() - 2..]).copied().collect();
            View::broadcast_to(s, &to)
        })
    }

    /// Joins blocks along an axis, which counts from the end.
    fn join(self, parts: Vec<Expr>, axis: isize) -> Expr {
        join(self.op, parts, axis, self.at)
    }

    fn product(self, a: &Expr, b: &Expr) -> Expr {
        matmul_at(self.op, a, b, self.at)
    }

    fn minus(self, a: &Expr, b: &Expr) -> Expr {
        binary(&arithmetic::subtract, a, b, self.at)
    }

    /// Returns an array of equal numbers on the device of another.
    fn filled(self, value: f64, shape: Shape, like: &Expr) -> Expr {
        Expr::fill_on(like.0.device, Scalar::Float(value), shape, like.0.dtype, self.at)
    }
}

/// Returns where a matrix of more than `block` rows is divided: a multiple of `block`.
fn half(n: usize, block: usize) -> usize {
    (n / 2).next_multiple_of(block)
}

/// Returns the shape of a batch of matrices: the axes before the last two.
fn batch(x: &Expr) -> &[usize] {
    &x.0.shape[..x.0.shape.len() - 2]
}

/// Returns the number of matrices.
fn count(x: &Expr) -> u64 {
    layout::product(batch(x)) as u64
}

/// How many vectors a factorisation of a matrix that is not square returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// As many as the shorter side of the matrix: NumPy's `mode="reduced"` and `full_matrices=False`.
    #[default]
    Reduced,
    /// A basis of the whole space: square matrices of vectors. NumPy's `mode="complete"` and `full_matrices=True`.
    Complete,
}
