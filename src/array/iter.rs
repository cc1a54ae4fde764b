//! Iteration over the rows of an array.

use super::Array;
use crate::base::error::Loc;
use crate::base::layout::{SliceItem, View};
use crate::graph::expr::{Expr, view};
use std::iter::FusedIterator;
use std::ops::Range;
use std::panic::Location;

/// An iterator over the rows of an [`Array`]: views of its positions along the first axis. [`Array::iter`] returns it.
#[derive(Clone, Debug)]
pub struct RowIter<'a> {
    array: &'a Array,
    rest: Range<usize>,
    at: Loc,
}

impl RowIter<'_> {
    fn row(&self, i: usize) -> Expr {
        view("iter", &self.array.0, self.at, |shape| View::slice(shape, &[SliceItem::Index(i as isize)]))
    }
}

impl Iterator for RowIter<'_> {
    type Item = Expr;
    fn next(&mut self) -> Option<Expr> {
        self.rest.next().map(|i| self.row(i))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
    fn nth(&mut self, n: usize) -> Option<Expr> {
        self.rest.nth(n).map(|i| self.row(i))
    }
}

impl DoubleEndedIterator for RowIter<'_> {
    fn next_back(&mut self) -> Option<Expr> {
        self.rest.next_back().map(|i| self.row(i))
    }
}

impl ExactSizeIterator for RowIter<'_> {}
impl FusedIterator for RowIter<'_> {}

impl<'a> IntoIterator for &'a Array {
    type Item = Expr;
    type IntoIter = RowIter<'a>;
    /// Iterates over the rows, as [`Array::iter`] does.
    #[track_caller]
    fn into_iter(self) -> RowIter<'a> {
        self.iter()
    }
}

impl Array {
    /// Iterates over the rows: a view for each position along the first axis, without that axis, so the elements of an
    /// array of one axis are 0-d. Nothing is copied or computed. An array of no axis has no rows.
    ///
    /// To compute with all rows, use an operation along an axis, which is one kernel; to read all elements, use
    /// [`to_vec`](Expr::to_vec) or [`to_nested`](Expr::to_nested).
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// let mut sums = vec![];
    /// for row in &x {
    ///     sums.push(row.sum(..).item::<i64>()?);
    /// }
    /// assert_eq!(sums, [3, 7]);
    /// assert_eq!(x.iter().rev().next().unwrap().to_vec::<i32>()?, [3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("outer_iter", "rows", "axis_iter"))]
    #[track_caller]
    pub fn iter(&self) -> RowIter<'_> {
        RowIter { array: self, rest: 0..self.shape().first().copied().unwrap_or(0), at: Location::caller() }
    }
}
