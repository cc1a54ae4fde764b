//! Searches in sorted arrays: `searchsorted`, `digitize`, `interp`, and histograms (`ops/searching/histogram.rs`).
//!
//! A search is an expression that contains all steps of a binary search. Each step loads one of the sorted elements,
//! and compares it with the value. On a GPU the search and the elementwise functions of its result are one kernel. On
//! the CPU they are a few kernels, because a CPU kernel holds fewer values.

mod histogram;

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{SliceItem, View};
use crate::graph::expr::{Expr, Operand, Reach, Unfit, binary, cast, choose, common, operands, result_of, unary, view};
use crate::graph::ufunc::{Ufunc, arithmetic, float, logic};
use crate::ops::functions::{promoted, wide, within};
use crate::ops::index::take;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

/// The side of equal elements on which [`searchsorted`] puts a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Before the equal elements: the position is the number of elements that are less than the value.
    Left,
    /// After the equal elements: the position is the number of elements that are less than or equal to the value.
    Right,
}

/// Returns, for each value of `x`, the position (i64) at which it can be inserted into an ascending array so that the
/// array stays sorted. The result has the shape of `x`. Values of different dtypes are compared as by [`Expr::less`]. A
/// NaN counts as the greatest value, as in [`Expr::sort`].
///
/// With a `sorter` the array need not be sorted: the sorter has the positions that sort the array in ascending order,
/// as [`Expr::argsort`] returns them. If the array is not in order, the results are unspecified positions between 0 and
/// the length of the array.
///
/// A search takes about log₂ n steps, all in one kernel on a GPU.
///
/// ```
/// use cupric::{Side, array, searchsorted};
/// let sorted = array![1., 2., 2., 5.];
/// let x = array![0., 2., 9.];
/// assert_eq!(searchsorted(&sorted, &x, Side::Left, None).to_vec::<i64>()?, [0, 1, 4]);
/// assert_eq!(searchsorted(&sorted, &x, Side::Right, None).to_vec::<i64>()?, [0, 3, 4]);
/// let (y, order) = (array![5, 1, 2], array![1, 2, 0]);
/// assert_eq!(searchsorted(&y, 3, Side::Left, Some(&order)).item::<i64>()?, 2);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Shape`] if the array does not have exactly one axis, or if the sorter has a
/// different length. It carries [`ErrorKind::DType`] if the sorter does not hold integers, or if the values of `x`
/// cannot be compared with the array's elements, and [`ErrorKind::LimitExceeded`] if the array has 2^31 elements or
/// more. If the search reads a position of the sorter that is out of range, this is an error, reported as in
/// [`Expr::take`].
#[doc(alias = "search_sorted")]
#[doc(alias = "bucketize")]
#[track_caller]
pub fn searchsorted(sorted: impl Operand, x: impl Operand, side: Side, sorter: Option<&Expr>) -> Expr {
    const OP: &str = "searchsorted";
    let at = Location::caller();
    let [sorted, x] = operands([sorted.into_arg(), x.into_arg()], Unfit::Default, at);
    result_of(OP, at, || {
        common(OP, [&sorted, &x].into_iter().chain(sorter), at)?;
        let n = length(OP, "the sorted array", &sorted, at)?;
        let ordered = match sorter {
            None => sorted,
            Some(order) => {
                if order.0.shape[..] != [n] {
                    let shape = order.0.shape.as_slice();
                    let detail = format!("a sorter of shape {shape:?} for an array of {n} elements");
                    return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
                }
                take(&sorted, order.clone(), 0, IndexMode::Check, at)
            }
        };
        ordered.checked()?;
        Ok(cast(count_before(&ordered, &x, side, None, at), DType::I64, at))
    })
}

/// # Search in sorted values
impl Expr {
    /// Returns, for each element x, the index of the bin that contains it, as i64. For ascending bins, the index is the
    /// `i` with `bins[i - 1] <= x < bins[i]`, or with `bins[i - 1] < x <= bins[i]` if `right` is true. For descending
    /// bins, the index is the `i` with `bins[i - 1] > x >= bins[i]`, or with `bins[i - 1] >= x > bins[i]` if `right` is
    /// true. The index is 0 for an element before all bins, and the length of `bins` for an element after them. The
    /// bins count as descending if the first element of `bins` is greater than the last.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0.5, 1.0, 7.0];
    /// assert_eq!(x.digitize(array![1., 2., 4.], false).to_vec::<i64>()?, [0, 1, 3]);
    /// assert_eq!(x.digitize(array![1., 2., 4.], true).to_vec::<i64>()?, [0, 0, 3]);
    /// assert_eq!(x.digitize(array![4., 2., 1.], false).to_vec::<i64>()?, [3, 2, 0]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the bins do not have exactly one axis, [`ErrorKind::DType`] if
    /// they cannot be compared with the elements, and [`ErrorKind::LimitExceeded`] for 2^31 bins or more.
    #[track_caller]
    pub fn digitize(&self, bins: impl Operand, right: bool) -> Expr {
        const OP: &str = "digitize";
        let at = Location::caller();
        let [x, bins] = operands([self.into_arg(), bins.into_arg()], Unfit::Default, at);
        result_of(OP, at, || {
            common(OP, [&x, &bins].into_iter(), at)?;
            let n = length(OP, "the array of bins", &bins, at)?;
            let side = if right { Side::Left } else { Side::Right };
            let descend =
                (n > 1).then(|| binary(&logic::greater, element(&bins, 0, at), element(&bins, n - 1, at), at));
            Ok(cast(count_before(&bins, &x, side, descend.as_ref(), at), DType::I64, at))
        })
    }
}

/// Interpolates linearly between the points `(xp[i], fp[i])`, and returns the value at each element of `x`. `xp` must
/// be ascending. Between a finite and an infinite point the result is the value of the finite one. Between −∞ and ∞ it
/// is the value of both points if they are equal, and otherwise NaN. The result is the first element of `fp` before the first point, and the last element of
/// `fp` after the last point. The result for NaN is NaN. If several points have the same `xp`, the last of these points
/// is used there.
///
/// The result has the shape of `x` and the float dtype to which the three operands are promoted (f32 for integers); f16
/// and bf16 are computed in f32. Each result lies between the values of the two neighbouring points.
///
/// ```
/// use cupric::{array, interp};
/// let y = interp(array![0., 1.5, 9.], array![1., 2., 3.], array![10., 20., 0.]);
/// assert_eq!(y.to_vec::<f32>()?, [10., 15., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Shape`] if `xp` and `fp` are not two arrays of one axis of the same length, or
/// are empty. It carries [`ErrorKind::DType`] if the three operands have no common dtype, and
/// [`ErrorKind::LimitExceeded`] for 2^31 points or more.
#[track_caller]
pub fn interp(x: impl Operand, xp: impl Operand, fp: impl Operand) -> Expr {
    const OP: &str = "interp";
    let at = Location::caller();
    let [x, xp, fp] = operands([x.into_arg(), xp.into_arg(), fp.into_arg()], Unfit::Float, at);
    result_of(OP, at, || {
        let all = [&x, &xp, &fp];
        common(OP, all.into_iter(), at)?;
        let n = length(OP, "the array of points", &xp, at)?;
        if n == 0 || fp.0.shape != xp.0.shape {
            let (a, b) = (xp.0.shape.as_slice(), fp.0.shape.as_slice());
            let detail = format!("points of shapes {a:?} and {b:?}; both must have the same length, at least 1");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        let out = promoted(OP, all.into_iter(), at)?.float();
        let compute = if out == DType::F64 { DType::F64 } else { DType::F32 };
        let [x, xp, fp] = all.map(|e| cast(wide(e, at), compute, at));
        Ok(cast(line_through(&x, &xp, &fp, n, at), out, at))
    })
}

/// Computes `interp` with `n` points, all operands in one dtype.
fn line_through(x: &Expr, xp: &Expr, fp: &Expr, n: usize, at: Loc) -> Expr {
    let less = |a: &Expr, b: &Expr| binary(&arithmetic::subtract, a, b, at);
    let times = |a: &Expr, b: &Expr| binary(&arithmetic::multiply, a, b, at);
    if n == 1 {
        let value = element(fp, 0, at);
        return choose(unary(&logic::isnan, x, at), x, value, at);
    }
    // `i` is the index of the interval that contains x; `take` below clips it to the indices of the first and the last
    // interval
    let count = count_first(xp, |v| binary(&logic::less_equal, v, x, at), x, None, at);
    let i = binary(&arithmetic::subtract, count, int(1, at), at);
    let end = |e: &Expr, start: Option<isize>, end: Option<isize>| {
        let part = view("interp", e, at, |s| View::slice(s, &[SliceItem::Range { start, end, step: 1 }]));
        take(&part, i.clone(), 0, IndexMode::Clip, at)
    };
    let [(x0, x1), (f0, f1)] = [xp, fp].map(|e| (end(e, None, Some(-1)), end(e, Some(1), None)));
    // if two points are farther apart than the largest finite number, x and the positions of both points are halved
    let is_far = unary(&logic::isinf, less(&x1, &x0), at);
    let half = Expr::fill(Scalar::Float(mutant!(gaps_overflow, 1.0, 0.5)), smallvec![], x.0.dtype, at);
    let halved = |e: &Expr| choose(&is_far, times(e, &half), e, at);
    let [from, here, to] = [&x0, x, &x1].map(halved);
    // both weights are quotients, because a weight computed as 1 minus the other would lose precision near 0
    let width = less(&to, &from);
    let share = |part: Expr| binary(&arithmetic::divide, part, &width, at);
    let (to_first, to_second) = (share(less(&to, &here)), share(less(&here, &from)));
    let between = binary(&arithmetic::add, times(&f0, &to_first), times(&f1, &to_second), at);
    // If a point is infinitely far away, both weights are NaN or one is 0. The value of the finite point is used, as in
    // NumPy, and between two infinite points their common value.
    let finite = |e: &Expr| unary(&logic::isfinite, e, at);
    let is_first = binary(&logic::logical_or, finite(&x0), binary(&logic::equal, &f0, &f1, at), at);
    let second = choose(finite(&x1), &f1, f64::NAN, at);
    let is_number = unary(&logic::logical_not, unary(&logic::isnan, x, at), at);
    let infinite = binary(&logic::logical_and, unary(&logic::isinf, &width, at), is_number, at);
    let between =
        mutant!(infinite_points, between.clone(), choose(&infinite, choose(is_first, &f0, second, at), between, at));
    let (low, high) = (binary(&arithmetic::minimum, &f0, &f1, at), binary(&arithmetic::maximum, &f0, &f1, at));
    // if `f0` or `f1` is NaN, the bounds are NaN, and so is the result
    let clipped = within(between.clone(), [&low, &high], at);
    let before = choose(binary(&logic::less_equal, x, &x0, at), &f0, clipped, at);
    // this test is the outermost, so that if several last points have the same `xp`, the last of them is used
    let y = choose(binary(&logic::greater_equal, x, &x1, at), &f1, before, at);
    // the derivatives are those of the line also at its ends, where `y` is one of the points
    let behind =
        binary(&logic::logical_or, binary(&logic::greater, x, &x1, at), binary(&logic::less_equal, &x1, &x0, at), at);
    let line = choose(binary(&logic::less, x, x0, at), f0, choose(behind, f1, between, at), at);
    // a line to an infinite point has no slope, and its end is that point alone
    let line = choose(infinite, &y, line, at);
    let of = mutant!(slopes_end_at_points, y.clone(), line);
    y.with_rule_of(vec![of], Some(Box::new(|g, _| Ok(vec![g.clone()]))), Reach::SameElement)
}

/// Returns the length of an operand of one axis. Returns an error if the length does not fit i32, because a search
/// counts in i32.
fn length(op: &'static str, what: &str, e: &Expr, at: Loc) -> Result<usize> {
    match e.0.shape[..] {
        [n] if n <= i32::MAX as usize => Ok(n),
        [n] => {
            let detail = format!("{what} has {n} elements; positions among them must fit i32");
            Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at))
        }
        _ => {
            let detail = format!("{what} has shape {:?}; one axis is needed", e.0.shape.as_slice());
            Err(Error::with_line(ErrorKind::Shape, op, detail, at))
        }
    }
}

fn int(v: usize, at: Loc) -> Expr {
    Expr::fill(Scalar::Int(v as i128), smallvec![], DType::I32, at)
}

/// Returns an element of an array of one axis, as a view.
fn element(e: &Expr, i: usize, at: Loc) -> Expr {
    view("slice", e, at, |s| View::slice(s, &[SliceItem::Index(i as isize)]))
}

/// Returns, for each x, how many elements of a sorted array of one axis are before x, as i32. An element is before x if
/// it is less than x, or with [`Side::Right`] if it is less than or equal to x. NaN is the greatest value. If `descend`
/// is true, the array is descending, and the result is the number of leading elements that are not before x.
fn count_before(sorted: &Expr, x: &Expr, side: Side, descend: Option<&Expr>, at: Loc) -> Expr {
    let n = sorted.0.shape[0];
    if n == 0 || !x.0.dtype.is_float() {
        return count_first(sorted, |v| binary(compare(side), v, x, at), x, descend, at);
    }
    let nan = unary(&logic::isnan, x, at);
    let both = sorted.0.dtype.promote(x.0.dtype).filter(|_| side == Side::Left && sorted.0.dtype.is_float());
    match both {
        // if x is NaN, all elements are before it: numbers are less than NaN, and `Side::Right` also counts other NaNs
        None => {
            let count = count_first(sorted, |v| binary(compare(side), v, x, at), x, descend, at);
            let all = int(n, at);
            choose(nan, descend.map_or(all.clone(), |d| choose(d, int(0, at), all, at)), count, at)
        }
        // a GPU has no nextafter for f64, so each step makes two comparisons, which treat NaN as the greatest value
        Some(DType::F64) => {
            let before = |v: Expr| {
                let number = binary(&logic::greater, &nan, unary(&logic::isnan, &v, at), at);
                binary(&logic::logical_or, binary(&logic::less, v, x, at), number, at)
            };
            count_first(sorted, before, x, descend, at)
        }
        // `most` is the largest float below x (∞ if x is NaN, and NaN if x is −∞); an element is less than x if it is
        // at most `most`, so each step needs only one comparison
        Some(dtype) => {
            let x = cast(x.clone(), dtype, at);
            let number = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], dtype, at);
            let lowest = binary(&logic::equal, &x, number(f64::NEG_INFINITY), at);
            let below = binary(&float::nextafter, &x, number(f64::NEG_INFINITY), at);
            let most = choose(lowest, number(f64::NAN), below, at);
            let most = choose(nan, number(f64::INFINITY), most, at);
            count_first(sorted, |v| binary(&logic::less_equal, v, &most, at), &x, descend, at)
        }
    }
}

/// Returns the comparison that tests whether an element of a sorted array is before x.
fn compare(side: Side) -> &'static Ufunc {
    match side {
        Side::Left => &logic::less,
        Side::Right => &logic::less_equal,
    }
}

/// Returns, for each x, the number of leading elements of an array of one axis that are `before` x, as i32. All other
/// elements must not be `before` x. If `descend` is true, the result is the number of leading elements that are not
/// `before` x.
///
/// The steps have the lengths 2^k, …, 2, 1 for any data, where 2^k is the largest power of two up to n. No step leaves
/// the array of n elements: the first step compares the element at 2^k − 1, and continues either in the first or in the
/// last 2^k − 1 elements (Knuth, The Art of Computer Programming, volume 3, section 6.2.1, exercise 12: Shar's method).
fn count_first(sorted: &Expr, before: impl Fn(Expr) -> Expr, x: &Expr, descend: Option<&Expr>, at: Loc) -> Expr {
    let n = sorted.0.shape[0];
    if n == 0 {
        return Expr::fill_on(x.0.device, Scalar::Int(0), x.0.shape.clone(), DType::I32, at);
    }
    let counts = |v: Expr| match descend {
        None => before(v),
        Some(d) => binary(&logic::not_equal, before(v), d, at),
    };
    let mut step = 1usize << n.ilog2();
    // `last` is the position of the last element that is known to be counted, or −1 if there is none yet
    let start = Expr::fill(Scalar::Int(-1), smallvec![], DType::I32, at);
    let mut last = choose(counts(element(sorted, step - 1, at)), int(n - step, at), start, at);
    step /= 2;
    while step > 0 {
        let further = binary(&arithmetic::add, &last, int(step, at), at);
        last = choose(counts(take(sorted, further.clone(), 0, IndexMode::Clip, at)), further, last, at);
        step /= 2;
    }
    binary(&arithmetic::add, last, int(1, at), at)
}
