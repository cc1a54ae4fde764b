//! Helpers of the linear algebra functions: checks of operands, and short names for operations on matrices.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, Shape, SliceItem, View};
use crate::graph::expr::{Expr, Operand, Unfit, binary, cast, choose, common, operand, operands, reduce, strong, view};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{join, matmul_at, promoted};
use crate::plan::kernel::Fold;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// The maximum length of the shorter side of a matrix; a longer one is an error. A matrix of this size is divided into
/// blocks, and its expression has about 10^5 nodes.
const MOST: usize = 1 << 16;

/// The name of a public function that was called, and the caller's source line. Errors report both.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub op: &'static str,
    pub at: Loc,
}

impl Call {
    pub fn error(self, kind: ErrorKind, detail: String) -> Error {
        Error::with_line(kind, self.op, detail, self.at)
    }

    /// Converts an operand to the dtype in which the linear algebra functions compute: f64 stays f64, and every other
    /// dtype becomes f32.
    pub fn floats(self, x: impl Operand) -> Result<Expr> {
        let x = strong(operand(x, self.at), self.at);
        let dtype = float_of(x.checked()?.dtype);
        Ok(cast(x, dtype, self.at))
    }

    /// Converts two operands to the same dtype: f64 if their promoted dtype is f64, and f32 otherwise.
    pub fn both(self, a: impl Operand, b: impl Operand) -> Result<[Expr; 2]> {
        let [a, b] = operands([a.into_arg(), b.into_arg()], Unfit::Float, self.at);
        common(self.op, [&a, &b].into_iter(), self.at)?;
        let dtype = float_of(promoted(self.op, [&a, &b].into_iter(), self.at)?);
        Ok([cast(a, dtype, self.at), cast(b, dtype, self.at)])
    }

    /// Returns the numbers of rows and columns of matrices along the last two axes. Returns an error if there are fewer
    /// than two axes, or if both sides are longer than [`MOST`].
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

    /// Returns the number of rows of square matrices along the last two axes, or an error if they are not square.
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

    /// Converts matrices like [`Call::floats`], and returns them with their numbers of rows and columns.
    pub fn matrices(self, x: &Expr) -> Result<(Expr, [usize; 2])> {
        let x = self.floats(x)?;
        let sides = self.matrix(&x)?;
        Ok((x, sides))
    }

    /// Converts square matrices like [`Call::floats`], and returns them with their number of rows.
    pub fn squares(self, x: &Expr) -> Result<(Expr, usize)> {
        let x = self.floats(x)?;
        let n = self.square(&x)?;
        Ok((x, n))
    }

    /// Returns the matrix product a·b.
    pub fn product(self, a: &Expr, b: &Expr) -> Expr {
        matmul_at(self.op, a, b, self.at)
    }

    pub fn transposed(self, x: &Expr) -> Expr {
        view(self.op, x, self.at, |s| {
            let mut axes: SmallVec<[isize; 6]> = (0..s.len() as isize).collect();
            let last = axes.len() - 1;
            axes.swap(last - 1, last);
            View::permute(s, &axes)
        })
    }

    /// Applies the elementwise function `row`, such as `add`, to `a` and `b`.
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

    /// Returns each vector along the last axis as a matrix of one row, which broadcasts over the rows of other
    /// matrices.
    pub fn row(self, x: &Expr) -> Expr {
        view(self.op, x, self.at, |s| View::expand(s, s.len() as isize - 1))
    }

    /// Returns a view of the given rows and columns of matrices.
    pub fn block(self, x: &Expr, rows: Range<usize>, columns: Range<usize>) -> Expr {
        let range =
            |r: Range<usize>| SliceItem::Range { start: Some(r.start as isize), end: Some(r.end as isize), step: 1 };
        view(self.op, x, self.at, |s| View::slice(s, &[SliceItem::Ellipsis, range(rows), range(columns)]))
    }

    /// Returns a view of the given rows of matrices, with all columns.
    pub fn rows(self, x: &Expr, rows: Range<usize>) -> Expr {
        let columns = x.0.shape.last().copied().unwrap_or_default();
        self.block(x, rows, 0..columns)
    }

    /// Broadcasts matrices so that the axes before the last two have the lengths `batch`.
    pub fn broadcast(self, x: &Expr, batch: &[usize]) -> Expr {
        view(self.op, x, self.at, |s| {
            let to: Shape = batch.iter().chain(&s[s.len() - 2..]).copied().collect();
            View::broadcast_to(s, &to)
        })
    }

    /// Joins blocks of matrices along an axis. `axis` must be negative, and counts from the end.
    pub fn join(self, parts: Vec<Expr>, axis: isize) -> Expr {
        join(self.op, parts, axis, self.at)
    }

    /// Keeps some elements of matrices and replaces the others by 0. `keeps` is called with two expressions, the row
    /// number and the column number of each element, and returns an expression that is true for the elements to keep.
    pub fn masked(self, x: &Expr, keeps: impl FnOnce(&Expr, &Expr) -> Expr) -> Expr {
        let shape: Shape = x.0.shape[x.0.shape.len() - 2..].into();
        let is_kept = keeps(&iota(shape.clone(), 0, self.at), &iota(shape, 1, self.at));
        choose(is_kept, x, 0.0, self.at)
    }

    /// Returns square matrices with zeros on the diagonal and all other elements unchanged.
    pub fn off_diagonal(self, x: &Expr) -> Expr {
        self.masked(x, |i, j| self.apply(&logic::not_equal, i, j))
    }

    /// Returns identity matrices of n rows. They have the dtype of `like`, and the same axes before the last two as
    /// `like`.
    pub fn identity(self, like: &Expr, n: usize) -> Expr {
        let shape: Shape = smallvec![n, n];
        let same = binary(&logic::equal, iota(shape.clone(), 0, self.at), iota(shape, 1, self.at), self.at);
        self.broadcast(&cast(same, like.0.dtype, self.at), batch(like))
    }

    /// Returns an array of the given shape whose elements are all `value`, with the dtype and on the device of `like`.
    pub fn filled(self, value: f64, shape: Shape, like: &Expr) -> Expr {
        Expr::fill_on(like.0.device, Scalar::Float(value), shape, like.0.dtype, self.at)
    }

    /// Reduces an array along its last axis by the function `row`, such as `maximum`. If `keep` is true, the axis is
    /// kept with length 1.
    pub fn along_last(self, row: &'static Ufunc, x: &Expr, keep: bool) -> Expr {
        reduce(self.op, Fold::of(row), x, &AxesArg { axes: Some(smallvec![-1]), keep }, self.at)
    }
}

/// Returns the dtype in which the linear algebra functions compute if an operand has the given dtype.
fn float_of(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Returns the row at which a matrix of `n` rows is divided in two: about n / 2, rounded up to a multiple of `block`.
/// `n` must be greater than `block`.
pub(super) fn half(n: usize, block: usize) -> usize {
    (n / 2).next_multiple_of(block)
}

/// Returns the batch shape of an array of matrices: the lengths of all axes before the last two.
pub(super) fn batch(x: &Expr) -> &[usize] {
    &x.0.shape[..x.0.shape.len() - 2]
}

/// Returns the number of matrices: the product of the lengths of all axes before the last two.
pub(super) fn count(x: &Expr) -> usize {
    layout::product(batch(x))
}

/// Returns the shape of `x` with `last` in place of the last two axes.
pub(super) fn shaped(x: &Expr, last: &[usize]) -> Shape {
    let mut shape: Shape = batch(x).into();
    shape.extend(last.iter().copied());
    shape
}

/// Returns the machine epsilon of a dtype: the distance from 1 to the next larger number.
pub(super) fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}
