//! Functions built from sorts and scans: the first elements in order, partitions, `lexsort`, and running extremes with
//! their positions.

use super::{along_axis, sorted};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, SliceItem, SortAxis, View};
use crate::graph::expr::{
    Called, Expr, Operand, binary, cast, choose, common, operand, result_of, scan, strong, unary, view,
};
use crate::graph::routine::{ARGSORT, ARGTOPK, SORT};
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::iota;
use crate::ops::functions::{join, named};
use crate::ops::index::take_along;
use crate::plan::kernel::{Fold, IndexMode};
use std::panic::Location;

/// `topk` selects the elements without a sort if the axis is at least this many times as long as `k`. Otherwise it
/// sorts the whole axis, because a single thread sorts the selected elements, which is slow if there are many. Chosen
/// by hand; no benchmark compares other values.
const FEW: usize = 16;

/// # Largest elements and partitions
impl Expr {
    /// Returns the `k` largest elements along an axis in descending order, or the `k` smallest in ascending order if
    /// `largest` is false. The second result has their positions along the axis, as i64. Evaluating values and
    /// positions together sorts only once.
    ///
    /// The results are the first `k` elements of [`Expr::sort`] and [`Expr::argsort`] in the same order: equal elements
    /// keep their order, and a NaN is selected only if no numbers are left. (PyTorch's `topk` treats NaN as the
    /// largest.) If `k` is at most a sixteenth of the axis's length, these elements are selected in linear time,
    /// without sorting the axis. Otherwise the whole axis is sorted.
    ///
    /// ```
    /// use cupric::{array, eval_all};
    /// let x = array![[3., 1., 2.], [6., 5., 4.]];
    /// let (values, positions) = x.topk(2, -1, true);
    /// let [values, positions] = eval_all([&values, &positions])?;
    /// assert_eq!(values.to_vec::<f32>()?, [3., 2., 6., 5.]);
    /// assert_eq!(positions.to_vec::<i64>()?, [0, 2, 0, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry [`ErrorKind::Argument`] if `k` exceeds the length of the axis, [`ErrorKind::Axis`] if the
    /// array does not have the axis, and the errors of [`Expr::sort`].
    #[doc(alias = "top_k")]
    #[track_caller]
    pub fn topk(&self, k: usize, axis: impl Integer, largest: bool) -> (Expr, Expr) {
        let axis = axis.saturated();
        const OP: &str = "topk";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let both = first_in_order(OP, self, k, axis, largest, at).map(|(e, axis, positions)| {
            let values = take_along("take_along_axis", &e, positions.clone(), axis as isize, IndexMode::Clip, at);
            (named(OP, values, at), positions)
        });
        pair(both, at)
    }

    /// Returns the positions along an axis, as i64, of the `k` largest elements, or of the `k` smallest if `largest` is
    /// false: the second result of [`Expr::topk`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![3., 1., 2.];
    /// assert_eq!(x.argtopk(2, 0, true).to_vec::<i64>()?, [0, 2]);
    /// assert_eq!(x.argtopk(2, 0, false).to_vec::<i64>()?, [1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::topk`].
    #[track_caller]
    pub fn argtopk(&self, k: usize, axis: impl Integer, largest: bool) -> Expr {
        let at = Location::caller();
        result_of("argtopk", at, || {
            first_in_order("argtopk", self, k, axis.saturated(), largest, at).map(|(_, _, positions)| positions)
        })
    }

    /// Returns the array partitioned along an axis. At position `kth`, the result has the element that [`Expr::sort`]
    /// would put there. No element before this position is greater, and no element after it is less. A negative `kth`
    /// counts from the end. NaN counts as the greatest value.
    ///
    /// NumPy does not specify the order of the other elements. Here the whole axis is sorted by [`Expr::sort`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![7, 1, 9, 3];
    /// assert_eq!(x.partition(1, 0).to_vec::<i32>()?[1], 3);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Index`] if the axis has no position `kth`, [`ErrorKind::Axis`] if the array
    /// does not have the axis, and the errors of [`Expr::sort`].
    #[doc(alias("kthvalue"))]
    #[track_caller]
    pub fn partition(&self, kth: impl Integer, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "partition";
        let at = Location::caller();
        result_of(OP, at, || {
            let (e, axis) = parted(OP, self, kth.saturated(), axis, at)?;
            Ok(named(OP, sorted(&SORT, &e, ascending(axis), at), at))
        })
    }

    /// Returns the positions along an axis, as i64, from which [`Expr::partition`] takes its elements. They are the
    /// positions that [`Expr::argsort`] returns.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![7, 1, 9, 3];
    /// assert_eq!(x.argpartition(1, 0).to_vec::<i64>()?[1], 3);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::partition`].
    #[track_caller]
    pub fn argpartition(&self, kth: impl Integer, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "argpartition";
        let at = Location::caller();
        result_of(OP, at, || {
            let (e, axis) = parted(OP, self, kth.saturated(), axis, at)?;
            Ok(named(OP, sorted(&ARGSORT, &e, ascending(axis), at), at))
        })
    }

    /// Returns the cumulative maximum along an axis, as [`Expr::cummax`] does, and the positions of these maxima along
    /// the axis, as i64.
    ///
    /// If several elements equal the maximum so far, the position of the first of these elements is returned, as in
    /// [`Expr::argmax`]. (PyTorch's `cummax` returns the last one.) From the first NaN on, all positions are the
    /// position of this NaN. −0 and +0 are equal, so a later zero of the other sign does not change the position.
    ///
    /// ```
    /// use cupric::array;
    /// let (values, positions) = array![1., 3., 2., 3., 5.].cummax_with_positions(0);
    /// assert_eq!(values.to_vec::<f32>()?, [1., 3., 3., 3., 5.]);
    /// assert_eq!(positions.to_vec::<i64>()?, [0, 1, 1, 1, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry [`ErrorKind::Axis`] if the array does not have the axis, and [`ErrorKind::LimitExceeded`]
    /// if the axis has 2^31 elements or more.
    #[track_caller]
    pub fn cummax_with_positions(&self, axis: impl Integer) -> (Expr, Expr) {
        let at = Location::caller();
        pair(running("cummax_with_positions", &arithmetic::maximum, self, axis.saturated(), at), at)
    }

    /// Returns the cumulative minimum along an axis, and the positions of these minima along the axis, as i64. Equal
    /// elements and NaNs are treated as in [`Expr::cummax_with_positions`].
    ///
    /// ```
    /// use cupric::array;
    /// let (values, positions) = array![4, 1, 3, 1].cummin_with_positions(0);
    /// assert_eq!(values.to_vec::<i32>()?, [4, 1, 1, 1]);
    /// assert_eq!(positions.to_vec::<i64>()?, [0, 1, 1, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry the errors of [`Expr::cummax_with_positions`].
    #[track_caller]
    pub fn cummin_with_positions(&self, axis: impl Integer) -> (Expr, Expr) {
        let at = Location::caller();
        pair(running("cummin_with_positions", &arithmetic::minimum, self, axis.saturated(), at), at)
    }
}

/// Returns the positions along an axis, as i64, that sort by several keys, like NumPy's `lexsort`. The last key is the
/// most important one; elements that are equal in it are sorted by the last but one, and so on. The keys have the same
/// shape. Elements whose keys are all equal keep their order, and NaNs come last. Each key is sorted once.
///
/// ```
/// use cupric::{array, lexsort};
/// let (first_names, last_names) = (array![2, 1, 1], array![5, 5, 3]);
/// assert_eq!(lexsort([&first_names, &last_names], 0).to_vec::<i64>()?, [2, 1, 0]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Argument`] if there are no keys, [`ErrorKind::Shape`] if their shapes differ,
/// [`ErrorKind::Axis`] if the keys do not have the axis, and the errors of [`Expr::sort`].
#[track_caller]
pub fn lexsort(keys: impl IntoIterator<Item = impl Operand>, axis: impl Integer) -> Expr {
    let axis = axis.saturated();
    const OP: &str = "lexsort";
    let at = Location::caller();
    let keys: Vec<Expr> = keys.into_iter().map(|k| operand(k, at)).collect();
    result_of(OP, at, || {
        common(OP, keys.iter(), at)?;
        let Some((first, others)) = keys.split_first() else {
            return Err(Error::with_line(ErrorKind::Argument, OP, "at least one key is needed", at));
        };
        if let Some(other) = others.iter().find(|k| k.0.shape != first.0.shape) {
            let (a, b) = (first.0.shape.as_slice(), other.0.shape.as_slice());
            let detail = format!("keys of shapes {a:?} and {b:?}; all must have the same shape");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        let axis = layout::normalize_axis(axis, first.0.shape.len()).map_err(|f| f.at(OP, at))?;
        let argsort = |key: &Expr| sorted(&ARGSORT, key, ascending(axis), at);
        let pick = |from: &Expr, order: &Expr| {
            take_along("take_along_axis", from, order.clone(), axis as isize, IndexMode::Clip, at)
        };
        // a stable sort by a more important key keeps the order of less important keys among equal elements
        let order = others.iter().fold(argsort(first), |order, key| pick(&order, &argsort(&pick(key, &order))));
        Ok(named(OP, order, at))
    })
}

/// Returns two expressions. If there is an error, both expressions carry it.
fn pair(both: Result<(Expr, Expr)>, at: Loc) -> (Expr, Expr) {
    both.unwrap_or_else(|e| {
        let failed = Expr::failed(e.or_at(at), at);
        (failed.clone(), failed)
    })
}

fn ascending(axis: usize) -> SortAxis {
    SortAxis { axis: axis as isize, descending: false }
}

fn range(op: &str, e: &Expr, axis: usize, start: Option<isize>, end: Option<isize>, at: Loc) -> Expr {
    view(op, e, at, |shape| {
        let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; shape.len()];
        items[axis] = SliceItem::Range { start, end, step: 1 };
        View::slice(shape, &items)
    })
}

/// Returns the operand with a definite dtype, and its axis as an index that is not negative.
fn along(op: &'static str, e: &Expr, axis: isize, at: Loc) -> Result<(Expr, usize)> {
    e.checked()?;
    let e = strong(e.clone(), at);
    let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at(op, at))?;
    Ok((e, axis))
}

/// Returns the operand and its axis, after checking that the axis has a position `kth`.
fn parted(op: &'static str, e: &Expr, kth: isize, axis: isize, at: Loc) -> Result<(Expr, usize)> {
    let (e, axis) = along(op, e, axis, at)?;
    let n = e.0.shape[axis];
    if kth >= n as isize || kth < -(n as isize) {
        let detail = format!("axis {axis} of shape {:?} has no position {kth}", e.0.shape.as_slice());
        return Err(Error::with_line(ErrorKind::Index, op, detail, at));
    }
    Ok((e, axis))
}

/// Returns the operand, its axis, and the positions along this axis of the first `k` elements in sorted order.
fn first_in_order(
    op: &'static str,
    e: &Expr,
    k: usize,
    axis: isize,
    largest: bool,
    at: Loc,
) -> Result<(Expr, usize, Expr)> {
    let (e, axis) = along(op, e, axis, at)?;
    if k > e.0.shape[axis] {
        let detail = format!("{k} elements requested of axis {axis} of shape {:?}", e.0.shape.as_slice());
        return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
    }
    let n = e.0.shape[axis];
    if n > 1 && (1..=n / FEW).contains(&k) && !e.0.shape.contains(&0) {
        let positions = named(op, along_axis(&ARGTOPK, &e, axis, largest, &[k as u64], at)?, at);
        return Ok((e, axis, positions));
    }
    let order = sorted(&ARGSORT, &e, SortAxis { axis: axis as isize, descending: largest }, at);
    let positions = named(op, range(op, &order, axis, None, Some(k as isize), at), at);
    Ok((e, axis, positions))
}

/// Builds the running maxima or minima (`row` is the ufunc maximum or minimum), and their positions.
fn running(op: &'static str, row: &'static Ufunc, e: &Expr, axis: isize, at: Loc) -> Result<(Expr, Expr)> {
    let (e, axis) = along(op, e, axis, at)?;
    let n = e.0.shape[axis];
    if n > i32::MAX as usize {
        let detail = format!("axis {axis} has {n} elements; their positions must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let values = named(op, scan(Fold::of(row), &e, axis, at), at);
    if n < 2 || e.0.shape.contains(&0) {
        return Ok((values, Expr::fill_on(e.0.device, Scalar::Int(0), e.0.shape.clone(), DType::I64, at)));
    }
    // The extreme changes at an element if it is not equal to the previous extreme. A NaN is not equal to itself, so
    // the extremes after the first NaN, which are all NaN, are excluded.
    let before = range(op, &values, axis, None, Some(-1), at);
    let after = range(op, &values, axis, Some(1), None, at);
    let changes = binary(&logic::not_equal, &after, &before, at);
    let changes = match e.0.dtype.is_float() {
        true => binary(&logic::greater, changes, unary(&logic::isnan, &before, at), at),
        false => changes,
    };
    let mut shape = e.0.shape.clone();
    shape[axis] = n - 1;
    let own = binary(&arithmetic::add, iota(shape.clone(), axis, at), 1, at);
    shape[axis] = 1;
    let first = Expr::fill_on(e.0.device, Scalar::Int(0), shape, DType::I32, at);
    let marks = join(op, vec![first, choose(changes, own, 0, at)], axis as isize, at);
    // the running extreme of an element is at the position of the last change up to that element
    let positions = scan(Fold::of(&arithmetic::maximum), &marks, axis, at);
    Ok((values, cast(named(op, positions, at), DType::I64, at)))
}
