//! What the functions of this folder share: checks of operands, and short names for operations on matrices.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, Shape, SliceItem, View};
use crate::graph::expr::{Expr, binary, cast, choose, reduce, strong, view};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{matmul_at, wide};
use crate::plan::kernel::Fold;
use smallvec::{SmallVec, smallvec};

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

    /// Returns matrices in the dtype in which factorisations compute, and the lengths of their two axes.
    pub fn matrices(self, x: &Expr) -> Result<(Expr, [usize; 2])> {
        x.checked()?;
        let x = wide(&strong(x.clone(), self.at), self.at);
        let [.., m, n] = x.checked()?.shape[..] else {
            let detail = format!("shape {:?} has fewer than the two axes of a matrix", x.0.shape.as_slice());
            return Err(self.error(ErrorKind::Shape, detail));
        };
        Ok((x, [m, n]))
    }

    /// Returns square matrices, and the length of their axes.
    pub fn square(self, x: &Expr) -> Result<(Expr, usize)> {
        let (x, [m, n]) = self.matrices(x)?;
        if m != n {
            let detail = format!("shape {:?} does not hold square matrices", x.0.shape.as_slice());
            return Err(self.error(ErrorKind::Shape, detail));
        }
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

    /// Returns the first rows and columns of matrices.
    pub fn corner(self, x: &Expr, [rows, columns]: [usize; 2]) -> Expr {
        view(self.op, x, self.at, |s| {
            let mut items: SmallVec<[SliceItem; 6]> =
                smallvec![SliceItem::Range { start: None, end: None, step: 1 }; s.len()];
            let last = s.len() - 1;
            items[last - 1] = SliceItem::Range { start: None, end: Some(rows as isize), step: 1 };
            items[last] = SliceItem::Range { start: None, end: Some(columns as isize), step: 1 };
            View::slice(s, &items)
        })
    }

    /// Returns the columns of matrices from number `first` on.
    pub fn columns_from(self, x: &Expr, first: usize) -> Expr {
        view(self.op, x, self.at, |s| {
            let mut items: SmallVec<[SliceItem; 6]> =
                smallvec![SliceItem::Range { start: None, end: None, step: 1 }; s.len()];
            items[s.len() - 1] = SliceItem::Range { start: Some(first as isize), end: None, step: 1 };
            View::slice(s, &items)
        })
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

    /// Returns the identity matrix for a batch of matrices.
    pub fn identity(self, like: &Expr, n: usize) -> Expr {
        let shape: Shape = smallvec![n, n];
        let same = binary(&logic::equal, iota(shape.clone(), 0, self.at), iota(shape, 1, self.at), self.at);
        let mut full: Shape = like.0.shape[..like.0.shape.len() - 2].into();
        full.extend([n, n]);
        view(self.op, &cast(same, like.0.dtype, self.at), self.at, |s| View::broadcast_to(s, &full))
    }

    /// Returns zeros of a shape, with the dtype and on the device of `like`.
    pub fn zeros(self, like: &Expr, shape: Shape) -> Expr {
        Expr::fill_on(like.0.device, Scalar::Float(0.0), shape, like.0.dtype, self.at)
    }

    /// Returns a fold along the last axis, which is kept with length 1 if `keep` is set.
    pub fn along_last(self, row: &'static Ufunc, x: &Expr, keep: bool) -> Expr {
        reduce(self.op, Fold::of(row), x, &AxesArg { axes: Some(smallvec![-1]), keep }, self.at)
    }
}

/// Returns the number of matrices along the last two axes.
pub(super) fn count(x: &Expr) -> usize {
    layout::product(&x.0.shape[..x.0.shape.len() - 2])
}

/// Returns the shape of a batch with other axes at the end.
pub(super) fn shaped(x: &Expr, last: &[usize]) -> Shape {
    let mut shape: Shape = x.0.shape[..x.0.shape.len() - 2].into();
    shape.extend(last.iter().copied());
    shape
}

/// Returns the distance from 1 to the next number of a dtype.
pub(super) fn epsilon(dtype: DType) -> f64 {
    if dtype == DType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) }
}
