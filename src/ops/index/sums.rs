//! Sums by key: each value has an integer key, and is added to the sum whose index is the key. The routine
//! `segment_sum` adds floats in a fixed order. A scatter adds integers, because their sum does not depend on the order.

use super::take;
use crate::array::device::Device;
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, Shape, View};
use crate::graph::expr::{Args, Expr, NodeOp, binary, cast, choose, common, reshape, routine, view};
use crate::graph::routine::{ARGSORT, Routine, SUM_BY_KEY};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::IndexMode;
use smallvec::{SmallVec, smallvec};

/// Adds slices of `values` to the floats of an array. Slice i along the axis is added at the position that key i gives.
/// Keys are integers in the range of the axis.
pub(super) fn added(op: &'static str, array: &Expr, axis: usize, keys: Expr, values: &Expr, at: Loc) -> Result<Expr> {
    let (shape, dtype) = (&array.0.shape, array.0.dtype);
    if keys.checked()?.shape.contains(&0) || shape.contains(&0) {
        return Ok(array.clone());
    }
    // `to_front` moves the axis to the front, and `back` moves it back to its position
    let to_front: SmallVec<[isize; 6]> =
        std::iter::once(axis).chain((0..shape.len()).filter(|d| *d != axis)).map(|d| d as isize).collect();
    let back: SmallVec<[isize; 6]> =
        (1..=axis).chain(std::iter::once(0)).chain(axis + 1..shape.len()).map(|d| d as isize).collect();
    let turned = view(op, values, at, |s| View::permute(s, &to_front));
    let sums = floats_by_key(op, keys.clone(), &turned, shape[axis], at)?;
    let sums = view(op, &sums, at, |s| View::permute(s, &back));
    let wide = cast(array.clone(), sums.checked()?.dtype, at);
    let added = cast(binary(&arithmetic::add, wide, sums, at), dtype, at);
    let rule = move |g: &Expr, at: Loc| Ok(vec![g.clone(), take(g, keys.clone(), axis as isize, IndexMode::Clip, at)]);
    Ok(added.with_rule(vec![array.clone(), values.clone()], Some(Box::new(rule))))
}

/// Returns the sums of bools. An element of the result is true if it was true in `array` or if one of the values for it
/// is true. `scatter` adds the operands, which are cast to u32.
pub(super) fn any_of(array: &Expr, values: &Expr, scatter: impl Fn(Expr, Expr) -> Expr, at: Loc) -> Expr {
    let number = |e: &Expr| cast(e.clone(), DType::U32, at);
    binary(&logic::not_equal, scatter(number(array), number(values)), 0, at)
}

/// Returns the sums of `values` along the first axis by key: sum k adds the elements whose key is k. There are `count`
/// sums, in the dtype of [`Expr::sum`]. Keys are integers with one axis. An element whose key is `count` or more is
/// left out.
pub(crate) fn sums_by_key(op: &'static str, keys: Expr, values: &Expr, count: usize, at: Loc) -> Result<Expr> {
    let mut shape = values.checked()?.shape.clone();
    let dtype = values.0.dtype;
    shape[0] = count;
    layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    if dtype.is_float() {
        let sums = floats_by_key(op, keys.clone(), values, count, at)?;
        // adding 0 turns a sum of −0 (the sum of no terms, or of −0 alone) into +0
        let sums = cast(binary(&arithmetic::add, sums, 0.0, at), dtype, at);
        let rule = move |g: &Expr, at: Loc| Ok(vec![by_key(g, &keys, count, at)]);
        return Ok(sums.with_rule(vec![values.clone()], Some(Box::new(rule))));
    }
    let dtype = dtype.sum();
    shape[0] = count + 1;
    layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
    let device = common(op, [&keys, values].into_iter(), at)?;
    let zeros = Expr::fill_on(device, 0i64.scalar(), shape.clone(), dtype, at);
    // elements whose key is too large are added to an additional last sum, which is cut off below
    let keys = cast(binary(&arithmetic::minimum, cast(keys, DType::U32, at), count, at), DType::I32, at);
    let scatter = NodeOp::Scatter { axis: 0, mode: IndexMode::Clip, combine: Combine::Add, name: op };
    let args: Args = smallvec![zeros, keys, cast(values.clone(), dtype, at)];
    let all = Expr::node(scatter, args, shape, dtype, device, at);
    let part = layout::SliceItem::Range { start: None, end: Some(count as isize), step: 1 };
    Ok(view(op, &all, at, |s| View::slice(s, &[part])))
}

/// Returns the derivative of [`sums_by_key`] with respect to the values. Each value gets the derivative of the sum to
/// which it was added, or 0 if its key is too large.
fn by_key(g: &Expr, keys: &Expr, count: usize, at: Loc) -> Expr {
    let wide = cast(keys.clone(), DType::U32, at);
    let taken =
        take(g, cast(binary(&arithmetic::minimum, &wide, i32::MAX, at), DType::I32, at), 0, IndexMode::Clip, at);
    // the derivative is 0 for elements whose key is too large, because they belong to no sum
    let mut rows: SmallVec<[isize; 6]> = smallvec![1; taken.0.shape.len()];
    rows[0] = -1;
    let is_added = reshape("grad", &binary(&logic::less, wide, count, at), &rows, at);
    choose(is_added, taken, 0.0, at)
}

/// Computes the sums of [`sums_by_key`] for floats. The result is f32 (f64 for f64), and the sum of no terms is −0.
fn floats_by_key(op: &'static str, keys: Expr, values: &Expr, count: usize, at: Loc) -> Result<Expr> {
    let of: Shape = values.checked()?.shape.clone();
    let device = common(op, [&keys, values].into_iter(), at)?;
    let (rows, length) = (of[0], layout::product(&of[1..]));
    let mut shape = of;
    shape[0] = count;
    let dtype = if values.0.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    if rows == 0 || length == 0 || count == 0 {
        return Ok(Expr::fill_on(device, Scalar::Float(-0.0), shape, dtype, at));
    }
    if rows.max(count) > i32::MAX as usize {
        let detail = format!("{rows} keys of {count} sums; their numbers must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let keys = cast(binary(&arithmetic::minimum, cast(keys, DType::U32, at), count, at), DType::U32, at);
    let values = reshape(op, values, &[rows as isize, length as isize], at);
    // an expression without a device may later be evaluated on any device
    let needs_order = device == 0 || Device::of(device).backend().caps().wgsl;
    let (keys, values) = match mutant!(keys_of_sums_not_sorted, false, needs_order) {
        true => in_order(op, keys, values, count, at)?,
        false => (keys, values),
    };
    let sums = first_of(&SUM_BY_KEY, smallvec![keys, values], [count, length, rows], op, at)?;
    Ok(reshape(op, &sums, &layout::lengths(&shape), at))
}

/// Calls a routine that has one result, with the integer parameters `params`.
pub(crate) fn first_of(row: &'static Routine, args: Args, params: [usize; 3], op: &str, at: Loc) -> Result<Expr> {
    let results = routine(row, args, params.into_iter().map(|p| p as u64).collect(), at)?;
    results.into_iter().next().ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "no result", at))
}

/// Sorts keys in ascending order, and moves the elements of `values` along the first axis in the same way. The keys are
/// at most `count`. The sort is stable.
pub(super) fn in_order(op: &'static str, keys: Expr, values: Expr, count: usize, at: Loc) -> Result<(Expr, Expr)> {
    let (rows, device) = (keys.checked()?.shape[0], common(op, [&keys, &values].into_iter(), at)?);
    if rows == 1 {
        return Ok((keys, values));
    }
    // the time of a sort grows with the number of bits of its keys, so the narrowest dtype is used
    let narrow = match count {
        0..=0xff => DType::U8,
        0x100..=0xffff => DType::U16,
        _ => DType::U32,
    };
    let order = first_of(&ARGSORT, smallvec![cast(keys.clone(), narrow, at)], [rows, 0, rows], op, at)?;
    let order = cast(order, DType::I32, at);
    let taken = |from: Expr| {
        let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
        let (shape, dtype) = (from.0.shape.clone(), from.0.dtype);
        Expr::node(take, smallvec![order.clone(), from], shape, dtype, device, at)
    };
    Ok((taken(keys), taken(values)))
}
