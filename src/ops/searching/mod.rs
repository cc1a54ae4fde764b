//! Where values stand among sorted ones: `searchsorted`, `digitize`, `interp`, and histograms (`ops/searching/histogram.rs`).
//!
//! A search is an expression: the steps of a binary search, unrolled, each of which loads one of the sorted elements, compares it
//! and moves on. On a GPU it is one kernel, with what is made of the positions; on the CPU, whose kernels hold fewer values, a few.

mod histogram;

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{SliceItem, View};
use crate::graph::expr::{Expr, Operand, carry, cast, common, operand, view};
use crate::graph::ufunc::{Ufunc, arithmetic, float, logic};
use crate::ops::functions::{binary, choose, promoted, unary, wide};
use crate::ops::index::take;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

type Loc = &'static Location<'static>;

/// Where [`searchsorted`] puts a value that equals sorted ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// Before them: the position is the number of elements that are less.
    Left,
    /// After them: the position is the number of elements that are less or equal.
    Right,
}

/// For each value the position, as i64, at which it can be inserted in an array that is sorted in ascending order, so that the
/// array stays sorted. The result has the shape of `x`. Values of two types are compared as [`Expr::less`] compares them; a NaN
/// counts as the greatest value, as in [`Expr::sort`].
///
/// With a `sorter` the array need not be sorted: the sorter has the positions of its elements in ascending order, as
/// [`Expr::argsort`] gives them. Of an array that is not in order, the positions are unspecified, but between 0 and its length.
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
/// [`ErrorKind::Shape`] if the array has not one axis, or the sorter another length; [`ErrorKind::DType`] if the sorter is not
/// of integers, or the values cannot be compared; [`ErrorKind::LimitExceeded`] if the array has 2^31 elements or more. A position
/// of the sorter that is out of range is an error as in [`Expr::take`], where the search meets it.
#[doc(alias = "search_sorted")]
#[doc(alias = "bucketize")]
#[track_caller]
pub fn searchsorted(sorted: impl Operand, x: impl Operand, side: Side, sorter: Option<&Expr>) -> Expr {
    const OP: &str = "searchsorted";
    let at = Location::caller();
    let (sorted, x) = (operand(sorted, at), operand(x, at));
    carry(at, || {
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

impl Expr {
    /// For each element the number, as i64, of the bin that it falls into: of bins that ascend it is the `i` for which
    /// `bins[i - 1] <= x < bins[i]`, and with `right` true that for which `bins[i - 1] < x <= bins[i]`; of bins that descend that for
    /// which `bins[i - 1] > x >= bins[i]`, and with `right` `bins[i - 1] >= x > bins[i]`. It is 0 before all bins and
    /// their number after them. Whether the bins ascend is found by comparing the first with the last.
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
    /// [`ErrorKind::Shape`] if the bins have not one axis; [`ErrorKind::DType`] if the two cannot be compared;
    /// [`ErrorKind::LimitExceeded`] for 2^31 bins or more.
    #[track_caller]
    pub fn digitize(&self, bins: impl Operand, right: bool) -> Expr {
        const OP: &str = "digitize";
        let at = Location::caller();
        let (x, bins) = (operand(self, at), operand(bins, at));
        carry(at, || {
            common(OP, [&x, &bins].into_iter(), at)?;
            let n = length(OP, "the array of bins", &bins, at)?;
            let side = if right { Side::Left } else { Side::Right };
            let descend =
                (n > 1).then(|| binary(&logic::greater, element(&bins, 0, at), element(&bins, n - 1, at), at));
            Ok(cast(count_before(&bins, &x, side, descend.as_ref(), at), DType::I64, at))
        })
    }
}

/// The value at each of `x` of the line through points `(xp[i], fp[i])`, whose `xp` are finite and ascend: between two points on
/// the straight line from one to the other, before the first point its value and after the last point that one's. NaN gives NaN.
/// Of points with one `xp` the last one counts there.
///
/// The result has the shape of `x` and the float type to which the three are promoted (f32 for integers); f16 and bf16 are computed in
/// f32. It lies between the values of the two points.
///
/// ```
/// use cupric::{array, interp};
/// let y = interp(array![0., 1.5, 9.], array![1., 2., 3.], array![10., 20., 0.]);
/// assert_eq!(y.to_vec::<f32>()?, [10., 15., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Shape`] if `xp` and `fp` are not two arrays of one axis of the same length, or are empty; [`ErrorKind::DType`] if
/// the three have no common type; [`ErrorKind::LimitExceeded`] for 2^31 points or more.
#[track_caller]
pub fn interp(x: impl Operand, xp: impl Operand, fp: impl Operand) -> Expr {
    const OP: &str = "interp";
    let at = Location::caller();
    let (x, xp, fp) = (operand(x, at), operand(xp, at), operand(fp, at));
    carry(at, || {
        let all = [&x, &xp, &fp];
        common(OP, all.into_iter(), at)?;
        let n = length(OP, "the array of points", &xp, at)?;
        if n == 0 || fp.0.shape != xp.0.shape {
            let (a, b) = (xp.0.shape.as_slice(), fp.0.shape.as_slice());
            let detail = format!("points of shapes {a:?} and {b:?}; one of each is needed, and as many of both");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        let out = promoted(OP, all.into_iter(), at)?.float();
        let compute = if out == DType::F64 { DType::F64 } else { DType::F32 };
        let [x, xp, fp] = all.map(|e| cast(wide(e, at), compute, at));
        Ok(cast(line_through(&x, &xp, &fp, n, at), out, at))
    })
}

/// What `interp` computes, of `n` points, all in one type.
fn line_through(x: &Expr, xp: &Expr, fp: &Expr, n: usize, at: Loc) -> Expr {
    let less = |a: &Expr, b: &Expr| binary(&arithmetic::subtract, a, b, at);
    let times = |a: &Expr, b: &Expr| binary(&arithmetic::multiply, a, b, at);
    if n == 1 {
        let value = element(fp, 0, at);
        return choose(unary(&logic::isnan, x, at), x, value, at);
    }
    // the interval of x: of positions before the first and after the last one, the nearest
    let count = count_first(xp, |v| binary(&logic::less_equal, v, x, at), x, None, at);
    let i = binary(&arithmetic::subtract, count, int(1, at), at);
    let end = |e: &Expr, start: Option<isize>, end: Option<isize>| {
        let part = view("interp", e, at, |s| View::slice(s, &[SliceItem::Range { start, end, step: 1 }]));
        take(&part, i.clone(), 0, IndexMode::Clip, at)
    };
    let [(x0, x1), (f0, f1)] = [xp, fp].map(|e| (end(e, None, Some(-1)), end(e, Some(1), None)));
    // where two points are farther apart than the largest number, all is halved
    let is_far = unary(&logic::isinf, less(&x1, &x0), at);
    let half = Expr::fill(Scalar::Float(mutant!(gaps_overflow, 1.0, 0.5)), smallvec![], x.0.dtype, at);
    let halved = |e: &Expr| choose(&is_far, times(e, &half), e, at);
    let [from, here, to] = [&x0, x, &x1].map(halved);
    // both shares come of quotients, because 1 less the other would lose what is near 0
    let width = less(&to, &from);
    let share = |part: Expr| binary(&arithmetic::divide, part, &width, at);
    let (to_first, to_second) = (share(less(&to, &here)), share(less(&here, &from)));
    let between = binary(&arithmetic::add, times(&f0, &to_first), times(&f1, &to_second), at);
    let (low, high) = (binary(&arithmetic::minimum, &f0, &f1, at), binary(&arithmetic::maximum, &f0, &f1, at));
    // NaN where a value is NaN, as the bounds are then
    let between = binary(&arithmetic::minimum, binary(&arithmetic::maximum, between, low, at), high, at);
    let before = choose(binary(&logic::less_equal, x, x0, at), f0, between, at);
    // of last points with one `xp` the last one counts, so this goes first
    choose(binary(&logic::greater_equal, x, x1, at), f1, before, at)
}

/// The length of an operand of one axis, which a search can count in i32.
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

/// An i32 of its own.
fn int(v: usize, at: Loc) -> Expr {
    Expr::fill(Scalar::Int(v as i128), smallvec![], DType::I32, at)
}

/// An element of an array of one axis, as a view.
fn element(e: &Expr, i: usize, at: Loc) -> Expr {
    view("slice", e, at, |s| View::slice(s, &[SliceItem::Index(i as isize)]))
}

/// For each x how many elements of a sorted array of one axis are before it, as i32, with NaN the greatest of all. Where `descend` is
/// true the array is in descending order, and the number is of those that are not before it, which come first then.
fn count_before(sorted: &Expr, x: &Expr, side: Side, descend: Option<&Expr>, at: Loc) -> Expr {
    let n = sorted.0.shape[0];
    if n == 0 || !x.0.dtype.is_float() {
        return count_first(sorted, |v| binary(compare(side), v, x, at), x, descend, at);
    }
    let nan = unary(&logic::isnan, x, at);
    let both = sorted.0.dtype.promote(x.0.dtype).filter(|_| side == Side::Left && sorted.0.dtype.is_float());
    match both {
        // a NaN is after all numbers, and on the right side after other NaNs too
        None => {
            let count = count_first(sorted, |v| binary(compare(side), v, x, at), x, descend, at);
            let all = int(n, at);
            choose(nan, descend.map_or(all.clone(), |d| choose(d, int(0, at), all, at)), count, at)
        }
        // a GPU has no nextafter of f64
        Some(DType::F64) => {
            let before = |v: Expr| {
                let number = binary(&logic::greater, &nan, unary(&logic::isnan, &v, at), at);
                binary(&logic::logical_or, binary(&logic::less, v, x, at), number, at)
            };
            count_first(sorted, before, x, descend, at)
        }
        // what is less than x is at most the number before it, and what is less than NaN at most ∞: one comparison a step
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

/// The comparison of a sorted element with x that says whether it is before x.
fn compare(side: Side) -> &'static Ufunc {
    match side {
        Side::Left => &logic::less,
        Side::Right => &logic::less_equal,
    }
}

/// For each x the number of elements at the start of an array of one axis that are `before` it, as i32, where those after them are
/// not; with `descend` true the other way round.
///
/// The steps of the search have the lengths 2^k, …, 2, 1, whatever the data are, and none leaves the array: the first step looks
/// at the element at 2^k − 1 and goes either to the start or to the last 2^k − 1 elements (Knuth, The Art of Computer Programming,
/// volume 3, section 6.2.1, exercise 12: Shar's method).
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
    // the position of the last element that is known to count; −1 is before all
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
