//! What the functions of this folder share: checks of operands, and short names for operations on matrices.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, Shape, SliceItem, View};
use crate::graph::expr::{Expr, Operand, binary, cast, choose, common, operand, reduce, strong, view};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{join, matmul_at, promoted};
use crate::plan::kernel::Fold;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// The largest number of rows, or else of columns, of a matrix that is divided into blocks. Its expression has some 10^5
/// nodes.
const MOST: usize = 1 << 16;

/// A call of a function: its name and the caller's line.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub op: &'static str,
    pub at: Loc,
}

impl Call {
    pub fn error(self, kind: ErrorKind, detail: String) -> Error {
        Error::with_line(kind, self.op, detail, self.at)
    }

    /// Returns an operand as floats that matrices are computed in: f64, or else f32. Results keep this dtype.
    pub fn floats(self, x: impl Operand) -> Result<Expr> {
        let x = strong(operand(x, self.at), self.at);
        let dtype = float_of(x.checked()?.dtype);
        Ok(cast(x, dtype, self.at))
    }

    /// Returns two operands as floats of the same type.
    pub fn both(self, a: impl Operand, b: impl Operand) -> Result<[Expr; 2]> {
        let (a, b) = (operand(a, self.at), operand(b, self.at));
        common(self.op, [&a, &b].into_iter(), self.at)?;
        let (a, b) = (strong(a, self.at), strong(b, self.at));
        let dtype = float_of(promoted(self.op, [&a, &b].into_iter(), self.at)?);
        Ok([cast(a, dtype, self.at), cast(b, dtype, self.at)])
    }

    /// Returns the numbers of rows and columns of matrices along the last two axes.
    pub fn matrix(self, x: &Expr) -> Result<[usize; 2]> {
        let shape = x.checked()?.shape.as_slice();
        let [.., rows, columns] = *shape else {
            let detail = format!("shape {shape:?} has fewer than the two axes of a matrix");
            return Err(self.error(ErrorKind::Shape, detail));
        };
        if rows.min(columns) > MOST {
            let detail = format!("a matrix of {rows} rows and {columns} columns; the shorter side has at most {MOST}");
            return Err(self.error(ErrorKind::LimitExceeded, detail));
        }
        Ok([rows, columns])
    }

    /// Returns the number of rows of square matrices along the last two axes.
    pub fn square(self, x: &Expr) -> Result<usize> {
        let [rows, columns] = self.matrix(x)?;
        if rows != columns {
            let shape = x.0.shape.as_slice();
            let detail =
                format!("shape {shape:?}: the matrices have {rows} rows and {columns} columns, and must be square");
            return Err(self.error(ErrorKind::Shape, detail));
        }
        Ok(rows)
    }

    /// Returns matrices as [`Call::floats`], with the numbers of rows and columns.
    pub fn matrices(self, x: &Expr) -> Result<(Expr, [usize; 2])> {
        let x = self.floats(x)?;
        let sides = self.matrix(&x)?;
        Ok((x, sides))
    }

    /// Returns square matrices as [`Call::floats`], with the number of rows.
    pub fn squares(self, x: &Expr) -> Result<(Expr, usize)> {
        let x = self.floats(x)?;
        let n = self.square(&x)?;
        Ok((x, n))
    }

    /// Returns the matrix product.
    pub fn product(self, a: &Expr, b: &Expr) -> Expr {
        matmul_at(self.op, a, b, self.at)
    }

    /// Returns the transposes of matrices.
    pub fn transposed(self, x: &Expr) -> Expr {
        view(self.op, x, self.at, |s| {
            let mut axes: SmallVec<[isize; 6]> = (0..s.len() as isize).collect();
            let last = axes.len() - 1;
            axes.swap(last - 1, last);
            View::permute(s, &axes)
        })
    }

    /// Returns the result of a function of two operands.
    pub fn apply(self, row: &'static Ufunc, a: &Expr, b: &Expr) -> Expr {
        binary(row, a, b, self.at)
    }

    pub fn plus(self, a: &Expr, b: &Expr) -> Expr {
        self.apply(&arithmetic::add, a, b)
    }

    pub fn minus(self, a: &Expr, b: &Expr) -> Expr {
        self.apply(&arithmetic::subtract, a, b)
    }

    pub fn times(self, a: &Expr, b: &Expr) -> Expr {
        self.apply(&arithmetic::multiply, a, b)
    }

    /// Returns vectors as the rows of matrices with one row, so that they broadcast along columns.
    pub fn row(self, x: &Expr) -> Expr {
        view(self.op, x, self.at, |s| View::expand(s, s.len() as isize - 1))
    }

    /// Returns a view of a part of the rows and columns.
    pub fn block(self, x: &Expr, rows: Range<usize>, columns: Range<usize>) -> Expr {
        let range =
            |r: Range<usize>| SliceItem::Range { start: Some(r.start as isize), end: Some(r.end as isize), step: 1 };
        view(self.op, x, self.at, |s| View::slice(s, &[SliceItem::Ellipsis, range(rows), range(columns)]))
    }

    /// Returns a view of a part of the rows.
    pub fn rows(self, x: &Expr, rows: Range<usize>) -> Expr {
        let columns = x.0.shape.last().copied().unwrap_or_default();
        self.block(x, rows, 0..columns)
    }

    /// Returns the same values broadcast to a batch: the axes before the last two.
    pub fn broadcast(self, x: &Expr, batch: &[usize]) -> Expr {
        view(self.op, x, self.at, |s| {
            let to: Shape = batch.iter().chain(&s[s.len() - 2..]).copied().collect();
            View::broadcast_to(s, &to)
        })
    }

    /// Joins blocks along an axis, which counts from the end.
    pub fn join(self, parts: Vec<Expr>, axis: isize) -> Expr {
        join(self.op, parts, axis, self.at)
    }

    /// Keeps the elements of square matrices for whose positions `keeps`, an expression of the row's and the column's
    /// number, is true. The others become 0.
    pub fn masked(self, x: &Expr, keeps: impl FnOnce(&Expr, &Expr) -> Expr) -> Expr {
        let shape: Shape = x.0.shape[x.0.shape.len() - 2..].into();
        let is_kept = keeps(&iota(shape.clone(), 0, self.at), &iota(shape, 1, self.at));
        choose(is_kept, x, 0.0, self.at)
    }

    /// Returns the elements off the diagonal of square matrices, and zeros on it.
    pub fn off_diagonal(self, x: &Expr) -> Expr {
        self.masked(x, |i, j| self.apply(&logic::not_equal, i, j))
    }

    /// Returns identity matrices of n rows for a batch, with the dtype and on the device of `like`.
    pub fn identity(self, like: &Expr, n: usize) -> Expr {
        let shape: Shape = smallvec![n, n];
        let same = binary(&logic::equal, iota(shape.clone(), 0, self.at), iota(shape, 1, self.at), self.at);
        self.broadcast(&cast(same, like.0.dtype, self.at), batch(like))
    }

    /// Returns an array of equal numbers with the dtype and on the device of another.
    pub fn filled(self, value: f64, shape: Shape, like: &Expr) -> Expr {
        Expr::fill_on(like.0.device, Scalar::Float(value), shape, like.0.dtype, self.at)
    }

    /// Returns a fold along the last axis, which is kept with length 1 if `keep` is set.
    pub fn along_last(self, row: &'static Ufunc, x: &Expr, keep: bool) -> Expr {
        reduce(self.op, Fold::of(row), x, &AxesArg { axes: Some(smallvec![-1]), keep }, self.at)
    }
}

/// Returns the dtype in which matrices of a dtype are computed.
fn float_of(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Returns where a matrix of more than `block` rows is divided: a multiple of `block`.
pub(super) fn half(n: usize, block: usize) -> usize {
    (n / 2).next_multiple_of(block)
}

/// Returns the shape of a batch of matrices: the axes before the last two.
pub(super) fn batch(x: &Expr) -> &[usize] {
    &x.0.shape[..x.0.shape.len() - 2]
}

/// Returns the number of matrices.
pub(super) fn count(x: &Expr) -> usize {
    layout::product(batch(x))
}

/// Returns the shape of a batch with other axes at the end.
pub(super) fn shaped(x: &Expr, last: &[usize]) -> Shape {
    let mut shape: Shape = batch(x).into();
    shape.extend(last.iter().copied());
    shape
}

/// Returns the distance from 1 to the next number of a dtype.
pub(super) fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}
