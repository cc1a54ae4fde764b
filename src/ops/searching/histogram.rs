//! Histograms: a search among the edges finds the bin of each element, and `bincount` counts the bins. A large array is
//! counted block by block, so that the bins of all elements are never in memory together.

use super::{count_first, element, int, length};
use crate::array::in_blocks;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoAxes, SliceItem, View};
use crate::graph::expr::{
    Arg, Args, Called, Expr, Operand, Unfit, binary, cast, choose, common, operand, operands, reduce, reshape,
    result_of, routine, strong, unary, view,
};
use crate::graph::routine::BINCOUNT;
use crate::graph::ufunc::{Ufunc, arithmetic, logic};
use crate::ops::create::{iota, linspace_at};
use crate::ops::functions::{named, wide};
use crate::ops::index::sums_by_key;
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// # Histograms
impl Expr {
    /// Counts the elements in each of `bins` bins of equal width. Returns the counts as i64, and the `bins + 1` edges.
    ///
    /// The bins divide `range`, or by default the span from the smallest element to the largest. A bin includes its
    /// lower edge but not its upper one; the last bin includes both. Elements outside the range and NaNs are not
    /// counted. A range of width 0 is widened by 0.5 at both ends. The default range of an array without elements is 0
    /// to 1.
    ///
    /// The edges have the array's float dtype, f32 for integers, and the counts are exact for the returned edges. The
    /// edges of a given range are computed by [`linspace`](crate::linspace), with an error of at most 0.6 units in the
    /// last place.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0.5, 1., 1.5, 4., 9.];
    /// let (counts, edges) = x.histogram(2, Some((0.0, 4.0)));
    /// assert_eq!(counts.to_vec::<i64>()?, [3, 1]);
    /// assert_eq!(edges.to_vec::<f32>()?, [0., 2., 4.]);
    /// assert_eq!(x.histogram(2, None).0.to_vec::<i64>()?, [4, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry [`ErrorKind::Argument`] if `bins` is 0, if an end of the range is not finite, or if the
    /// range decreases. They carry [`ErrorKind::LimitExceeded`] for 2^31 bins or more. Without a `range`, an evaluation
    /// returns [`ErrorKind::Argument`] if an element is NaN or infinite; a GPU reports it like a position out of range
    /// in [`Expr::take`].
    #[doc(alias = "histc")]
    #[track_caller]
    pub fn histogram(&self, bins: usize, range: Option<(f64, f64)>) -> (Expr, Expr) {
        const OP: &str = "histogram";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let both = || -> Result<(Expr, Expr)> {
            self.checked()?;
            let x = strong(self.clone(), at);
            let edges = equal_bins(OP, &x, bins, range, at)?;
            let counts = in_all(&[&x], bins, at, |block| counted(OP, bin_of(&block[0], &edges, bins, at), bins, at))?;
            Ok((counts, edges))
        };
        both().unwrap_or_else(|e| {
            let failed = Expr::failed(e.or_at(at), at);
            (failed.clone(), failed)
        })
    }

    /// Counts the elements in each bin between neighbouring edges, as i64. The edges must be an ascending array of one
    /// axis; n edges define n − 1 bins. A bin includes its lower edge but not its upper one; the last bin includes
    /// both.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0.5, 1., 1.5, 4., 9.];
    /// assert_eq!(x.histogram_with_edges(array![0., 1., 4.]).to_vec::<i64>()?, [1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the edges do not have exactly one axis, or are empty. It carries
    /// [`ErrorKind::DType`] if the edges cannot be compared with the elements, and [`ErrorKind::LimitExceeded`] for
    /// 2^31 bins or more.
    #[track_caller]
    pub fn histogram_with_edges(&self, edges: impl Operand) -> Expr {
        const OP: &str = "histogram_with_edges";
        let at = Location::caller();
        let [x, edges] = operands([self.into_arg(), edges.into_arg()], Unfit::Default, at);
        result_of(OP, at, || {
            common(OP, [&x, &edges].into_iter(), at)?;
            let n = length(OP, "the array of edges", &edges, at)?;
            if n == 0 {
                return Err(Error::with_line(ErrorKind::Shape, OP, "at least one edge is needed", at));
            }
            in_all(&[&x], n - 1, at, |block| counted(OP, bin_of(&block[0], &edges, n - 1, at), n - 1, at))
        })
    }

    /// Sums the weights of the elements in each of `bins` bins (NumPy's `histogram` with weights). Returns the sums and
    /// the edges. The weights broadcast to the array's shape. The bins and edges are as in [`Expr::histogram`]; the
    /// dtypes of the sums and the order of additions are as in [`Expr::segment_sum`]. On the CPU, an array of 2^22 elements
    /// or more is added by blocks, and the sums of the blocks are then added in their order.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0.5, 1., 1.5, 4., 9.];
    /// let (sums, _) = x.histogram_weighted(array![1., 2., 4., 8., 16.], 2, Some((0.0, 4.0)));
    /// assert_eq!(sums.to_vec::<f32>()?, [7., 8.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry [`ErrorKind::Shape`] if the weights do not broadcast to the array's shape, and the errors
    /// of [`Expr::histogram`] and [`Expr::segment_sum`].
    #[doc(alias = "weighted_histogram")]
    #[track_caller]
    pub fn histogram_weighted(&self, weights: impl Operand, bins: usize, range: Option<(f64, f64)>) -> (Expr, Expr) {
        const OP: &str = "histogram_weighted";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let (x, weights) = with_weights(operand(self, at), weights, at);
        let both = || -> Result<(Expr, Expr)> {
            common(OP, [&x, &weights].into_iter(), at)?;
            let edges = equal_bins(OP, &x, bins, range, at)?;
            let weights = view(OP, &weights, at, |s| View::broadcast_to(s, &x.0.shape));
            weights.checked()?;
            let sums = in_all(&[&x, &weights], bins, at, |block| {
                summed(OP, bin_of(&block[0], &edges, bins, at), &block[1], bins, at)
            })?;
            Ok((sums, edges))
        };
        both().unwrap_or_else(|e| {
            let failed = Expr::failed(e.or_at(at), at);
            (failed.clone(), failed)
        })
    }

    /// Sums the weights of the elements in each bin between neighbouring edges. The weights and the dtype of the sums
    /// are as in [`Expr::histogram_weighted`], and the edges are as in [`Expr::histogram_with_edges`].
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![0.5, 1., 1.5, 4., 9.];
    /// let sums = x.histogram_with_edges_weighted(array![1, 2, 4, 8, 16], array![0., 1., 4.]);
    /// assert_eq!(sums.to_vec::<i64>()?, [1, 14]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::histogram_weighted`] and [`Expr::histogram_with_edges`].
    #[track_caller]
    pub fn histogram_with_edges_weighted(&self, weights: impl Operand, edges: impl Operand) -> Expr {
        const OP: &str = "histogram_with_edges_weighted";
        let at = Location::caller();
        let [x, edges] = operands([self.into_arg(), edges.into_arg()], Unfit::Default, at);
        let (x, weights) = with_weights(x, weights, at);
        result_of(OP, at, || {
            common(OP, [&x, &weights, &edges].into_iter(), at)?;
            let n = length(OP, "the array of edges", &edges, at)?;
            if n == 0 {
                return Err(Error::with_line(ErrorKind::Shape, OP, "at least one edge is needed", at));
            }
            let weights = view(OP, &weights, at, |s| View::broadcast_to(s, &x.0.shape));
            weights.checked()?;
            in_all(&[&x, &weights], n - 1, at, |block| {
                summed(OP, bin_of(&block[0], &edges, n - 1, at), &block[1], n - 1, at)
            })
        })
    }

    /// Counts pairs of elements in two dimensions (NumPy's `histogram2d`). Each element forms a pair with the element
    /// of `y` at the same position, and the pairs in each of `bins[0]` × `bins[1]` bins are counted. Returns the counts
    /// as i64, and the edges along both axes, as in [`Expr::histogram`]. A pair is not counted if one of its elements
    /// is outside its range. The bins along the first axis are for the elements of the array, and the bins along the
    /// second for the elements of `y`. `ranges` has a range for each axis.
    ///
    /// ```
    /// use cupric::array;
    /// let (x, y) = (array![0., 1., 1.], array![5., 5., 7.]);
    /// let (counts, _, _) = x.histogram2d(&y, [2, 2], None);
    /// assert_eq!(counts.to_vec::<i64>()?, [1, 0, 1, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expressions carry [`ErrorKind::Shape`] if the two shapes differ, and the errors of [`Expr::histogram`].
    #[track_caller]
    pub fn histogram2d(
        &self,
        y: impl Operand,
        bins: [usize; 2],
        ranges: Option<[(f64, f64); 2]>,
    ) -> (Expr, Expr, Expr) {
        const OP: &str = "histogram2d";
        let at = Location::caller();
        let _called = Called::begin(OP, at);
        let (x, y) = (operand(self, at), operand(y, at));
        let all = || -> Result<(Expr, Expr, Expr)> {
            common(OP, [&x, &y].into_iter(), at)?;
            if x.0.shape != y.0.shape {
                let (a, b) = (x.0.shape.as_slice(), y.0.shape.as_slice());
                let detail = format!("shapes {a:?} and {b:?} differ; both must be equal");
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            let [ex, ey] = [
                equal_bins(OP, &x, bins[0], ranges.map(|r| r[0]), at)?,
                equal_bins(OP, &y, bins[1], ranges.map(|r| r[1]), at)?,
            ];
            let places = bins[0].saturating_mul(bins[1]);
            if places >= i32::MAX as usize {
                let detail = format!("{} × {} bins; their number must fit i32", bins[0], bins[1]);
                return Err(Error::with_line(ErrorKind::LimitExceeded, OP, detail, at));
            }
            let counts = in_all(&[&x, &y], places, at, |block| {
                let (i, j) = (bin_of(&block[0], &ex, bins[0], at), bin_of(&block[1], &ey, bins[1], at));
                let outside = |i: &Expr, n: usize| binary(&logic::equal, i, int(n, at), at);
                let none = binary(&logic::logical_or, outside(&i, bins[0]), outside(&j, bins[1]), at);
                let row = binary(&arithmetic::multiply, i, int(bins[1], at), at);
                let place = choose(none, int(places, at), binary(&arithmetic::add, row, j, at), at);
                counted(OP, place, places, at)
            })?;
            Ok((reshape(OP, &counts, &[bins[0] as isize, bins[1] as isize], at), ex, ey))
        };
        all().unwrap_or_else(|e| {
            let failed = Expr::failed(e.or_at(at), at);
            (failed.clone(), failed.clone(), failed)
        })
    }
}

/// Returns an operand and its weights. A weight that is a number is at least as precise as the elements: f64 for
/// elements of f64, so that the sums keep its digits.
fn with_weights(x: Expr, weights: impl Operand, at: Loc) -> (Expr, Expr) {
    let weights = match weights.into_arg() {
        Arg::Scalar(s) if x.0.dtype == DType::F64 => Expr::fill(s, smallvec![], DType::F64, at),
        weights @ (Arg::Scalar(_) | Arg::Expr(_)) => operands([weights], Unfit::Default, at)[0].clone(),
    };
    (x, weights)
}

/// Returns the edges of bins of equal width.
fn equal_bins(op: &'static str, x: &Expr, bins: usize, range: Option<(f64, f64)>, at: Loc) -> Result<Expr> {
    if bins == 0 {
        return Err(Error::with_line(ErrorKind::Argument, op, "at least one bin is needed", at));
    }
    if bins >= i32::MAX as usize {
        let detail = format!("{bins} bins; their number must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let dtype = x.0.dtype.float();
    let empty = x.0.shape.contains(&0).then_some((0.0, 1.0));
    if let Some((low, high)) = range.or(empty) {
        if !low.is_finite() || !high.is_finite() || low > high {
            let detail = format!("the range {low} to {high} must be finite and must not decrease");
            return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
        }
        let ends = if low == high { [low - 0.5, high + 0.5] } else { [low, high] };
        return Ok(linspace_at(op, ends, bins + 1, dtype, at));
    }
    let extreme = |row: &'static Ufunc| wide(&reduce(op, Fold::of(row), x, &(..).into_axes(), at), at);
    let (low, high) = (extreme(&arithmetic::minimum), extreme(&arithmetic::maximum));
    let one = binary(&logic::equal, &low, &high, at);
    let compute = low.0.dtype;
    let number = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], compute, at);
    let half = choose(one, number(0.5), number(0.0), at);
    let (low, high) = (binary(&arithmetic::subtract, low, &half, at), binary(&arithmetic::add, high, &half, at));
    // this is NumPy's formula for the edges, except that the last edge is the largest element itself
    let width = binary(&arithmetic::divide, binary(&arithmetic::subtract, &high, &low, at), number(bins as f64), at);
    let i = iota(smallvec![bins + 1], 0, at);
    let steps = binary(&arithmetic::multiply, cast(i.clone(), compute, at), width, at);
    let finite = binary(&logic::logical_and, unary(&logic::isfinite, &low, at), unary(&logic::isfinite, &high, at), at);
    let edges = choose(binary(&logic::equal, i, int(bins, at), at), high, binary(&arithmetic::add, steps, low, at), at);
    let edges = cast(edges, dtype, at);
    if x.0.dtype.is_float() { checked(op, edges, finite, at) } else { Ok(edges) }
}

/// Returns the edges. Their evaluation fails unless `finite` is true.
fn checked(op: &'static str, edges: Expr, finite: Expr, at: Loc) -> Result<Expr> {
    let code = binary(&arithmetic::subtract, cast(finite, DType::I32, at), 1, at);
    let code = reshape(op, &code, &[1], at);
    let count = routine(&BINCOUNT, smallvec![code], smallvec![1, 1], at)?.into_iter().next();
    let count = count.ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "no result", at))?;
    // the choice only makes the edges depend on the check
    Ok(choose(binary(&logic::equal, count, 1, at), edges, f64::NAN, at))
}

/// Returns the index of the bin that contains each element, as i32, or `bins` for an element that is in no bin.
fn bin_of(x: &Expr, edges: &Expr, bins: usize, at: Loc) -> Expr {
    // `before` is 0 for a NaN, because no edge is less than or equal to a NaN
    let before = count_first(edges, |v| binary(&logic::less_equal, v, x, at), x, None, at);
    let none = binary(&logic::equal, &before, int(0, at), at);
    // an element that is not below the first edge is in bin `before - 1`; this is `bins` if the element is not below
    // the last edge
    let bin = choose(none, int(bins, at), binary(&arithmetic::subtract, &before, int(1, at), at), at);
    if bins == 0 {
        return bin;
    }
    choose(binary(&logic::equal, x, element(edges, bins, at), at), int(bins - 1, at), bin, at)
}

/// The minimum number of elements of a block for each bin. The results of all blocks together then have at most an
/// eighth of the bytes of f32 operands.
const ELEMENTS_OF_A_BIN: usize = 16;

/// Counts or sums the elements in each bin of expressions of equal shape. `count` does so for one block of the
/// expressions. Large expressions are divided into blocks, whose results are added in their order.
fn in_all(list: &[&Expr], bins: usize, at: Loc, count: impl Fn(&[Expr]) -> Result<Expr>) -> Result<Expr> {
    let shape = &list[0].0.shape;
    let whole: Args = list.iter().map(|e| (*e).clone()).collect();
    let whole = count(&whole)?;
    let mut axes: Vec<usize> = (0..shape.len()).collect();
    axes.sort_by_key(|axis| std::cmp::Reverse(shape[*axis]));
    let Some(blocks) = in_blocks(list, &axes, bins.saturating_mul(ELEMENTS_OF_A_BIN)) else { return Ok(whole) };
    let mut counts = blocks.iter().map(|block| count(block));
    let first = counts.next().unwrap_or_else(|| Ok(whole.clone()))?;
    let sum = counts.try_fold(first, |sum, counts| Ok(binary(&arithmetic::add, sum, counts?, at)))?;
    // the derivative is that of the whole: the derivative of each block would have the size of the whole operand
    Ok(sum.with_rule(vec![whole], Some(Box::new(|g, _| Ok(vec![g.clone()])))))
}

/// Counts the elements in each bin. Elements in no bin have the index `bins`; they are counted too, and the count is
/// dropped.
fn counted(op: &'static str, bin: Expr, bins: usize, at: Loc) -> Result<Expr> {
    bin.checked()?;
    layout::size_of_shape(&[bins + 1]).map_err(|f| f.at(op, at))?;
    let all = routine(&BINCOUNT, smallvec![bin], smallvec![bins as u64 + 1], at)?;
    let all = all.into_iter().next().ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "no result", at))?;
    let part = SliceItem::Range { start: None, end: Some(bins as isize), step: 1 };
    Ok(named(op, view(op, &all, at, |s| View::slice(s, &[part])), at))
}

/// Sums the weights of the elements in each bin. `bin` has the index of the bin of each element.
fn summed(op: &'static str, bin: Expr, weights: &Expr, bins: usize, at: Loc) -> Result<Expr> {
    let flat = |e: &Expr| reshape(op, e, &[-1], at);
    bin.checked()?;
    Ok(named(op, sums_by_key(op, flat(&bin), &flat(weights), bins, at)?, at))
}
