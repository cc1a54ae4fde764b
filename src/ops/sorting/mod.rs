//! `sort` and `argsort`, which call routines of the backends (`graph/routine`). The functions in `partial.rs` are built
//! from these two.

pub(crate) mod partial;

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{self, IntoSortAxis, SliceItem, SortAxis, View};
use crate::graph::expr::{Expr, result_of, routine, strong, view};
use crate::graph::routine::{ARGSORT, Params, Routine, SELECT, SORT};
use crate::ops::functions::join;
use crate::ops::index::as_gather;
use smallvec::smallvec;
use std::panic::Location;

/// # Sorting
impl Expr {
    /// Returns the array with the elements along an axis sorted in ascending order, or in descending order if the axis
    /// is wrapped in [`descending`](crate::descending). A negative axis counts from the end.
    ///
    /// The sort is stable, NaNs come last in either order, and −0 equals +0, as in NumPy's stable sort. Element i of
    /// the result is the element at the i-th position that [`Expr::argsort`] returns, with unchanged bits (the sign of
    /// a zero and the bits of a NaN are kept). NumPy's `axis=None` is `x.reshape([-1]).sort(0)`.
    ///
    /// A GPU uses a radix sort, which takes linear time. The CPU uses a sorting network for rows of up to 256 elements.
    /// For longer rows it uses a quicksort if the machine has AVX-512 and elements have 4 or 8 bytes, and a radix sort
    /// otherwise. A sort allocates the result and at most one more array of that size.
    ///
    /// ```
    /// use cupric::{array, descending};
    /// let x = array![[3., 1., 2.], [6., 5., 4.]];
    /// assert_eq!(x.sort(-1).to_vec::<f32>()?, [1., 2., 3., 4., 5., 6.]);
    /// assert_eq!(x.sort(descending(1)).to_vec::<f32>()?, [3., 2., 1., 6., 5., 4.]);
    /// assert_eq!(x.sort(0).to_vec::<f32>()?, [3., 1., 2., 6., 5., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries an error if the array does not have the axis, or if the axis has 2^32 elements or more.
    #[doc(alias("msort"))]
    #[track_caller]
    pub fn sort(&self, axis: impl IntoSortAxis) -> Expr {
        sorted(&SORT, self, axis.into_sort_axis(), Location::caller())
    }

    /// Returns, as i64, the positions that sort the elements along an axis, in the order of [`Expr::sort`]. Equal
    /// elements keep their order, and so do NaNs.
    ///
    /// ```
    /// use cupric::{array, descending};
    /// let x = array![3, 1, 2, 1];
    /// assert_eq!(x.argsort(0).to_vec::<i64>()?, [1, 3, 2, 0]);
    /// assert_eq!(x.argsort(descending(0)).to_vec::<i64>()?, [0, 2, 1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::sort`].
    #[doc(alias = "arg_sort_last_dim")]
    #[track_caller]
    pub fn argsort(&self, axis: impl IntoSortAxis) -> Expr {
        sorted(&ARGSORT, self, axis.into_sort_axis(), Location::caller())
    }
}

/// Sorts along an axis. The routine sorts along the last axis, so the given axis is moved there first.
pub(crate) fn sorted(row: &'static Routine, e: &Expr, axis: SortAxis, at: &'static Location<'static>) -> Expr {
    result_of(row.name, at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let shape = &e.0.shape;
        let along = layout::normalize_axis(axis.axis, shape.len()).map_err(|f| f.at(row.name, at))?;
        let length = shape[along];
        if length < 2 || shape.contains(&0) {
            // a row of one element is sorted already, and the element's position is 0
            let is_sort = row == &SORT;
            let zeros = || Expr::fill_on(e.0.device, Scalar::Int(0), shape.clone(), DType::I64, at);
            return Ok(if is_sort { e.clone() } else { zeros() });
        }
        let sorted = along_axis(row, &e, along, axis.descending, &[], at)?;
        Ok(match row == &SORT {
            true => {
                as_gather(&sorted, &e, along, move |e, at| along_axis(&ARGSORT, e, along, axis.descending, &[], at))
            }
            false => sorted,
        })
    })
}

/// Returns three elements of each row along the last axis of an array, as if the row were sorted: the elements at the
/// positions `low` and `high`, and the last element. `high` is `low` or the position after it. Rows must have two
/// elements or more.
pub(crate) fn selected(e: &Expr, [low, high]: [usize; 2], at: &'static Location<'static>) -> Result<Expr> {
    let axis = e.checked()?.shape.len() - 1;
    let places = [low, high, e.0.shape[axis] - 1];
    let found = along_axis(&SELECT, e, axis, false, &[low as u64, high as u64], at)?;
    Ok(as_gather(&found, e, axis, move |e, at| {
        let order = along_axis(&ARGSORT, e, axis, false, &[], at)?;
        let parts = places.map(|i| {
            let one = SliceItem::Range { start: Some(i as isize), end: Some(i as isize + 1), step: 1 };
            view("argsort", &order, at, |s| View::slice(s, &[SliceItem::Ellipsis, one]))
        });
        Ok(join("argsort", parts.to_vec(), axis as isize, at))
    }))
}

/// Calls a routine for the rows along an axis. The routine works along the last axis, so the given axis is moved there
/// first, and back afterwards. Rows must have two elements or more. The parameters of the routine are the length of a
/// row, whether the order descends, the number of all elements, and `more`.
pub(crate) fn along_axis(
    row: &'static Routine,
    e: &Expr,
    axis: usize,
    descending: bool,
    more: &[u64],
    at: &'static Location<'static>,
) -> Result<Expr> {
    let shape = &e.0.shape;
    let last = shape.len() - 1;
    let mut axes: Vec<isize> = (0..shape.len() as isize).collect();
    // the same exchange of two axes moves the axis to the end and back
    axes.swap(axis, last);
    let turned = |e: &Expr| view(row.name, e, at, |shape| View::permute(shape, &axes));
    let mut params: Params = smallvec![shape[axis] as u64, u64::from(descending), layout::product(shape) as u64];
    params.extend_from_slice(more);
    let results = routine(row, smallvec![turned(e)], params, at)?;
    first(&results, row.name, at).map(turned)
}

fn first<'a>(results: &'a [Expr], name: &str, at: &'static Location<'static>) -> Result<&'a Expr> {
    results.first().ok_or_else(|| Error::with_line(ErrorKind::Internal, name, "no result", at))
}
