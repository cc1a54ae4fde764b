//! Sums of parts of an array: by keys (`segment_sum`, `bincount_weighted`) and between positions (`reduce_at`).

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, Shape, SliceItem, View, include_initial};
use crate::graph::expr::{
    Args, Expr, Operand, binary, cast, choose, common, operand, reshape, result_of, strong, view,
};
use crate::graph::routine::REDUCE_AT;
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{join, named};
use crate::ops::index::{checked_positions, first_of, sums_by_key, take};
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// # Sums of segments
impl Expr {
    /// Sums rows (elements along the first axis) by segment. `segments` has one integer, the segment number, for each
    /// row, in any order. Row `s` of the result is the sum of the rows whose segment number is `s`, or 0 if there are
    /// none. The result has `count` rows.
    ///
    /// The dtypes and the rounding error of a sum are as in [`Expr::sum`]. Each evaluation returns the same bits,
    /// because the order of additions depends only on positions, not on the number of threads of the CPU. The sums take
    /// linear time. For floats, a GPU first sorts the rows by segment with a radix sort, and then builds each sum from
    /// partial sums of 8, 64, … neighbouring rows.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2.], [3., 4.], [5., 6.]];
    /// assert_eq!(x.segment_sum(array![2, 0, 2], 3).to_vec::<f32>()?, [3., 4., 0., 0., 6., 8.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] unless `segments` has exactly one axis, of the same length as the
    /// array's first axis, and [`ErrorKind::DType`] if `segments` does not hold integers. It carries
    /// [`ErrorKind::LimitExceeded`] if `count` or the number of rows is 2^31 or more, and on a GPU also if the array or
    /// the result has 2^32 elements or more. The evaluation returns [`ErrorKind::Index`] if a segment number is not in
    /// `0..count`, reported as in [`Expr::take`].
    #[doc(alias = "unsorted_segment_sum")]
    #[doc(alias = "scatter_sum")]
    #[doc(alias = "group_by")]
    #[track_caller]
    pub fn segment_sum(&self, segments: impl Operand, count: usize) -> Expr {
        const OP: &str = "segment_sum";
        let at = Location::caller();
        let (x, segments) = (self.clone(), operand(segments, at));
        result_of(OP, at, || {
            x.checked()?;
            let x = strong(x, at);
            common(OP, [&x, &segments].into_iter(), at)?;
            let (of, keys) = (x.0.shape.as_slice(), segments.0.shape.as_slice());
            if keys.len() != 1 || of.first() != keys.first() {
                let detail =
                    format!("segments of shape {keys:?} for an array of shape {of:?}; one is needed for each row");
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            let keys = checked_positions(OP, segments, count, IndexMode::CheckFromStart, at)?;
            Ok(named(OP, sums_by_key(OP, keys, &x, count, at)?, at))
        })
    }

    /// Sums, for each of the values `0..length`, the weights at the positions where the value occurs. The array may
    /// have any shape, but its elements must be integers. The weights broadcast to the array's shape. This is NumPy's
    /// `bincount` with weights. The dtypes, the order of additions and the errors are as in [`Expr::segment_sum`], so
    /// integer weights are summed exactly, as integers.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1, 3, 1];
    /// assert_eq!(x.bincount_weighted(array![0.5, 2., 0.25], 4).to_vec::<f32>()?, [0., 0.75, 0., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the weights do not broadcast to the array's shape, and the errors
    /// of [`Expr::segment_sum`].
    #[doc(alias = "bincount")]
    #[doc(alias = "weighted_bincount")]
    #[track_caller]
    pub fn bincount_weighted(&self, weights: impl Operand, length: usize) -> Expr {
        const OP: &str = "bincount_weighted";
        let at = Location::caller();
        let (x, weights) = (self.clone(), operand(weights, at));
        result_of(OP, at, || {
            x.checked()?;
            let x = strong(x, at);
            common(OP, [&x, &weights].into_iter(), at)?;
            let weights = view(OP, &weights, at, |s| View::broadcast_to(s, &x.0.shape));
            weights.checked()?;
            let keys = checked_positions(OP, reshape(OP, &x, &[-1], at), length, IndexMode::CheckFromStart, at)?;
            Ok(named(OP, sums_by_key(OP, keys, &reshape(OP, &weights, &[-1], at), length, at)?, at))
        })
    }

    /// Sums the parts of an axis that begin at the given positions, like NumPy's `add.reduceat`. Element `i` of the
    /// result is the sum from `positions[i]` up to but not including `positions[i + 1]`; the last sum extends to the
    /// end of the axis. If `positions[i + 1]` is not larger than `positions[i]`, element `i` of the result is the
    /// element at `positions[i]` alone. `positions` must have one axis; its length becomes the length of the summed
    /// axis. A negative axis counts from the end.
    ///
    /// The dtypes and the rounding error of a sum are as in [`Expr::sum`], and the order of additions depends only on
    /// positions. Positions must be integers in `0..n`, where n is the length of the axis. Any other position,
    /// including a negative one, is an error, reported as in [`Expr::take`]. On the CPU the time grows with the total
    /// length of the summed parts, and on a GPU with the length of the axis and the number of positions.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 2., 3., 4., 5., 6.];
    /// assert_eq!(x.reduce_at(array![0, 2, 3], 0).to_vec::<f32>()?, [3., 3., 15.]);
    /// assert_eq!(x.reduce_at(array![4, 1, 3], 0).to_vec::<f32>()?, [5., 5., 15.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Shape`] if the positions do not have exactly one axis, [`ErrorKind::Axis`]
    /// if the array does not have the axis, and [`ErrorKind::DType`] if the positions are not integers. It carries
    /// [`ErrorKind::LimitExceeded`] if the axis has 2^31 elements or more, and on a GPU also if the array or the result
    /// has 2^32 elements or more. The evaluation returns [`ErrorKind::Index`] if a position is out of range.
    #[doc(alias = "reduceat")]
    #[doc(alias = "add.reduceat")]
    #[track_caller]
    pub fn reduce_at(&self, positions: impl Operand, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "reduce_at";
        let at = Location::caller();
        let (x, positions) = (self.clone(), operand(positions, at));
        result_of(OP, at, || {
            x.checked()?;
            let x = strong(x, at);
            common(OP, [&x, &positions].into_iter(), at)?;
            let axis = layout::normalize_axis(axis, x.0.shape.len()).map_err(|f| f.at(OP, at))?;
            if positions.0.shape.len() != 1 {
                let detail = format!("positions of shape {:?}; one axis is needed", positions.0.shape.as_slice());
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            let positions = checked_positions(OP, positions, x.0.shape[axis], IndexMode::CheckFromStart, at)?;
            let others = (0..x.0.shape.len()).filter(|d| *d != axis);
            let to_front: SmallVec<[isize; 6]> = std::iter::once(axis).chain(others).map(|d| d as isize).collect();
            let turned = view(OP, &x, at, |s| View::permute(s, &to_front));
            let sums = match x.0.dtype.is_float() {
                true => of_floats(OP, &turned, positions, at)?,
                false => of_integers(OP, &turned, positions, at),
            };
            let back = (1..=axis).chain(std::iter::once(0)).chain(axis + 1..x.0.shape.len());
            let back: SmallVec<[isize; 6]> = back.map(|d| d as isize).collect();
            Ok(named(OP, view(OP, &sums, at, |s| View::permute(s, &back)), at))
        })
    }
}

/// Sums floats along the first axis between neighbouring positions. The positions have been checked to be in range.
fn of_floats(op: &'static str, x: &Expr, positions: Expr, at: Loc) -> Result<Expr> {
    let of = x.checked()?.shape.clone();
    let (rows, length, count) = (of[0], layout::product(&of[1..]), positions.checked()?.shape[0]);
    let mut shape: Shape = of;
    shape[0] = count;
    layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    if count == 0 || length == 0 {
        return Ok(Expr::fill_on(x.0.device, crate::base::dtype::Scalar::Float(0.0), shape, x.0.dtype, at));
    }
    let values = reshape(op, x, &[rows as isize, length as isize], at);
    let args: Args = smallvec![cast(positions, DType::U32, at), values];
    let sums = first_of(&REDUCE_AT, args, [count, length, rows], op, at)?;
    let lengths: SmallVec<[isize; 6]> = shape.iter().map(|n| *n as isize).collect();
    Ok(cast(reshape(op, &sums, &lengths, at), x.0.dtype, at))
}

/// Sums integers or bools along the first axis between neighbouring positions. The positions have been checked to be in
/// range. Each sum is the difference of the cumulative sums up to two positions, which is right even if the cumulative
/// sums wrap.
fn of_integers(op: &'static str, x: &Expr, positions: Expr, at: Loc) -> Expr {
    let rows = x.0.shape[0];
    let so_far = x.cumulative_sum(include_initial(0));
    let part = SliceItem::Range { start: Some(1), end: None, step: 1 };
    let others = view(op, &positions, at, |s| View::slice(s, &[part]));
    let end = Expr::fill(crate::base::dtype::Scalar::Int(rows as i128), smallvec![1], DType::I64, at);
    let next = match positions.0.shape[0] {
        0 => positions.clone(),
        _ => join(op, vec![others, end], 0, at),
    };
    let after = binary(&arithmetic::add, &positions, 1, at);
    let next = choose(binary(&logic::greater, &next, &positions, at), next, after, at);
    let up_to = |i: Expr| take(&so_far, i, 0, IndexMode::Clip, at);
    binary(&arithmetic::subtract, up_to(next), up_to(positions), at)
}
