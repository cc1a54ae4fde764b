//! The implementation of the set functions. A call sorts the elements in one evaluation. The length of the result
//! depends on the elements, so each function returns a future, which waits for the number of distinct elements.

use super::{UniqueAll, UniqueCounts, UniqueInverse};
use crate::array::{Array, eval_all};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, Shape, SliceItem, SortAxis, View};
use crate::graph::expr::{
    Args, Called, Expr, NodeOp, Operand, Unfit, binary, called, cast, common, operands, reshape, result_of, ufunc, view,
};
use crate::graph::routine::{ARGSORT, SORT};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::join;
use crate::ops::masks::{compressed, positions};
use crate::ops::sorting::sorted;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;

/// The axis and the order of the sorts: flattened elements have one axis, and are sorted in ascending order.
const FIRST: SortAxis = SortAxis { axis: 0, descending: false };

/// Returns the distinct elements of an array, in ascending order.
pub(super) fn distinct(op: &'static str, e: &Expr, at: Loc) -> impl Future<Output = Result<Array>> + Send + use<> {
    let _called = Called::begin(op, at);
    let sorted = flat(op, e, at).and_then(|x| sorted(&SORT, &x, FIRST, at).eval_at(at));
    let selecting = sorted.and_then(|sorted| compressed(op, &sorted, is_first(op, &sorted, at), at));
    async move { selecting?.await }
}

/// Returns the distinct elements of an array, and how often each occurs.
pub(super) fn counted(
    op: &'static str,
    e: &Expr,
    at: Loc,
) -> impl Future<Output = Result<UniqueCounts>> + Send + use<> {
    let _called = Called::begin(op, at);
    let sorted = flat(op, e, at).and_then(|x| sorted(&SORT, &x, FIRST, at).eval_at(at));
    let finding = sorted.and_then(|sorted| Ok((positions(op, &is_first(op, &sorted, at), at)?, sorted)));
    async move {
        let (starts, sorted) = finding?;
        let starts = starts.await?;
        let [values, counts] = both([picked(op, &sorted, &starts, at), lengths(op, &starts, sorted.size(), at)], at)?;
        Ok(UniqueCounts { values, counts })
    }
}

/// Returns the distinct elements of an array, and for each element of the array the index of its value among them.
pub(super) fn with_inverse(
    op: &'static str,
    e: &Expr,
    at: Loc,
) -> impl Future<Output = Result<UniqueInverse>> + Send + use<> {
    let _called = Called::begin(op, at);
    let finding = Groups::of(op, e, at).and_then(|groups| {
        let values = compressed(op, &groups.sorted, (*groups.is_first).clone(), at)?;
        Ok((values, groups.inverse(op, &e.checked()?.shape, at)?))
    });
    async move {
        let (values, inverse_indices) = finding?;
        Ok(UniqueInverse { values: values.await?, inverse_indices })
    }
}

/// Returns the distinct elements of an array, the positions of their first occurrences, the index of each element's
/// value among the distinct elements, and the counts.
pub(super) fn with_all(op: &'static str, e: &Expr, at: Loc) -> impl Future<Output = Result<UniqueAll>> + Send + use<> {
    let _called = Called::begin(op, at);
    let finding = Groups::of(op, e, at).and_then(|groups| {
        let starts = positions(op, &groups.is_first, at)?;
        Ok((starts, groups.inverse(op, &e.checked()?.shape, at)?, groups))
    });
    async move {
        let (starts, inverse_indices, groups) = finding?;
        let starts = starts.await?;
        let picked = |from: &Expr| picked(op, from, &starts, at);
        // the sort is stable, so the first of equal elements in sorted order is also the first in the array
        let [values, indices] = both([picked(&groups.sorted), picked(&groups.order)], at)?;
        let counts = lengths(op, &starts, groups.sorted.size(), at).eval_at(at)?;
        Ok(UniqueAll { values, indices, inverse_indices, counts })
    }
}

/// Returns the distinct elements of `x` that are in `other`, or, if `is_common` is false, that are not in `other`.
pub(super) fn chosen(
    op: &'static str,
    x: &Expr,
    other: Expr,
    is_common: bool,
    at: Loc,
) -> impl Future<Output = Result<Array>> + Send + use<> {
    let _called = Called::begin(op, at);
    let finding = compared(op, x, other, at).map(|[x, other]| (distinct(op, &x, at), other));
    async move {
        let (values, other) = finding?;
        let values = values.await?;
        let is_in = isin(op, &values, other, at);
        let opposite = || called(op, at, || ufunc(&logic::logical_not, smallvec![(&is_in).into_arg()], at));
        let mask = if is_common { is_in } else { opposite() };
        mask.checked()?;
        compressed(op, &values, mask, at)?.await
    }
}

/// Returns the distinct elements of two arrays together: their union.
pub(super) fn of_both(
    op: &'static str,
    x: &Expr,
    other: Expr,
    at: Loc,
) -> impl Future<Output = Result<Array>> + Send + use<> {
    let _called = Called::begin(op, at);
    let joined = of_one_type(op, x, other, at)
        .and_then(|[x, other]| Ok(join(op, vec![flat(op, &x, at)?, flat(op, &other, at)?], 0, at)));
    let finding = joined.map(|joined| distinct(op, &joined, at));
    async move { finding?.await }
}

/// Flattens an array in C order to an array of one axis.
fn flat(op: &'static str, e: &Expr, at: Loc) -> Result<Expr> {
    let flat = reshape(op, e, &[-1], at);
    flat.checked()?;
    Ok(flat)
}

/// Returns the elements `from..to` of an array of one axis.
fn part(op: &'static str, e: &Expr, from: isize, to: isize, at: Loc) -> Expr {
    let range = SliceItem::Range { start: Some(from), end: Some(to), step: 1 };
    view(op, e, at, |shape| View::slice(shape, &[range]))
}

/// Returns, for each sorted element, whether it differs from the previous one.
fn is_first(op: &'static str, sorted: &Array, at: Loc) -> Expr {
    let _called = Called::begin(op, at);
    let n = sorted.size() as isize;
    let first = Expr::fill_on(sorted.0.device, Scalar::Int(1), smallvec![n.min(1) as usize], DType::Bool, at);
    if n < 2 {
        return first;
    }
    let differs = binary(&logic::not_equal, part(op, sorted, 1, n, at), part(op, sorted, 0, n - 1, at), at);
    join(op, vec![first, differs], 0, at)
}

/// Returns the elements at the given positions, which must be in range.
fn picked(op: &'static str, e: &Expr, positions: &Expr, at: Loc) -> Expr {
    result_of(op, at, || {
        let shape = positions.checked()?.shape.clone();
        let n = layout::product(&e.checked()?.shape);
        if n > i32::MAX as usize {
            let detail = format!("{n} elements; their positions must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        let i = cast(positions.clone(), DType::I32, at);
        let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
        Ok(Expr::node(take, smallvec![i, e.clone()], shape, e.0.dtype, e.0.device, at))
    })
}

/// Returns how many elements each group of equal sorted elements has. The groups begin at the positions `starts`, and
/// all groups together have `size` elements.
fn lengths(op: &'static str, starts: &Array, size: usize, at: Loc) -> Expr {
    let _called = Called::begin(op, at);
    let n = starts.size() as isize;
    if n == 0 {
        return (**starts).clone();
    }
    let end = Expr::fill_on(starts.0.device, Scalar::Int(size as i128), smallvec![1], DType::I64, at);
    let ends = join(op, vec![part(op, starts, 1, n, at), end], 0, at);
    binary(&arithmetic::subtract, ends, starts, at)
}

fn both([a, b]: [Expr; 2], at: Loc) -> Result<[Array; 2]> {
    eval_all([&a, &b]).map_err(|e| e.or_at(at))
}

/// An array's elements in sorted order, in which equal elements form groups.
struct Groups {
    /// The position of each sorted element in the array.
    order: Array,
    sorted: Array,
    /// Whether each sorted element differs from the previous one.
    is_first: Array,
}

impl Groups {
    fn of(op: &'static str, e: &Expr, at: Loc) -> Result<Groups> {
        let flat = flat(op, e, at)?.eval_at(at)?;
        let order = sorted(&ARGSORT, &flat, FIRST, at).eval_at(at)?;
        let sorted = picked(op, &flat, &order, at).eval_at(at)?;
        let is_first = is_first(op, &sorted, at).eval_at(at)?;
        Ok(Groups { order, sorted, is_first })
    }

    /// Returns, for each element of the array, the index of its group of equal elements.
    fn inverse(&self, op: &'static str, shape: &[usize], at: Loc) -> Result<Array> {
        let (n, device) = (self.order.size(), self.order.0.device);
        let back: Vec<isize> = shape.iter().map(|n| *n as isize).collect();
        if n == 0 {
            return reshape(op, &self.order, &back, at).eval_at(at);
        }
        let upto = cast(self.is_first.cumulative_sum(0), DType::U32, at);
        let number = binary(&arithmetic::subtract, upto, 1, at);
        // each position occurs once, so the maximum of 0 and the group's index is that index
        let zeros = Expr::fill_on(device, Scalar::Int(0), smallvec![n], DType::U32, at);
        let order = cast((*self.order).clone(), DType::I32, at);
        let scatter = NodeOp::Scatter { axis: 0, mode: IndexMode::Clip, combine: Combine::Max, name: op };
        let args: Args = smallvec![zeros, order, number];
        let placed = Expr::node(scatter, args, smallvec![n], DType::U32, device, at);
        reshape(op, &cast(placed, DType::I64, at), &back, at).eval_at(at)
    }
}

/// Casts two operands that are compared with each other to their common dtype. A number that the dtype of the other
/// operand cannot hold equals none of its elements, so an empty array replaces `other`.
fn compared(op: &'static str, x: &Expr, other: Expr, at: Loc) -> Result<[Expr; 2]> {
    let is_outside = |s: &Expr, of: &Expr| {
        s.0.untyped().is_some_and(|s| of.0.untyped().is_none() && s.promote_with(of.0.dtype).is_none())
    };
    if !(is_outside(x, &other) || is_outside(&other, x)) {
        return of_one_type(op, x, other, at);
    }
    let [x, other] = operands([x.into_arg(), other.into_arg()], Unfit::Default, at);
    let device = common(op, [&x, &other].into_iter(), at)?;
    let none = Expr::fill_on(device, Scalar::Int(0), smallvec![0], x.0.dtype, at);
    Ok([x, none])
}

/// Casts two operands to their common dtype.
fn of_one_type(op: &'static str, a: &Expr, b: Expr, at: Loc) -> Result<[Expr; 2]> {
    let [a, b] = operands([a.into_arg(), b.into_arg()], Unfit::Error(op), at);
    common(op, [&a, &b].into_iter(), at)?;
    let (x, y) = (a.0.dtype, b.0.dtype);
    let dtype = x.promote(y).ok_or_else(|| {
        let detail = format!("dtypes {x} and {y} have no common type; use astype");
        Error::with_line(ErrorKind::DType, op, detail, at)
    })?;
    Ok([cast(a, dtype, at), cast(b, dtype, at)])
}

/// Returns, for each element of `x`, whether it is among `elements`. A binary search finds the last sorted element that
/// is not greater than the element of `x`, and compares the two elements.
pub(super) fn isin(op: &'static str, x: &Expr, elements: Expr, at: Loc) -> Expr {
    result_of(op, at, || {
        let [x, elements] = compared(op, x, elements, at)?;
        let device = common(op, [&x, &elements].into_iter(), at)?;
        let shape: Shape = x.0.shape.clone();
        let n = layout::product(&elements.0.shape);
        if n > i32::MAX as usize {
            let detail = format!("{n} elements to search in; their positions must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        if n == 0 || shape.contains(&0) {
            return Ok(Expr::fill_on(device, Scalar::Int(0), shape, DType::Bool, at));
        }
        let sorted = sorted(&SORT, &flat(op, &elements, at)?, FIRST, at);
        sorted.checked()?;
        let dtype = sorted.0.dtype;
        let found = |i: &Expr| {
            let take = NodeOp::Take { axis: 0, mode: IndexMode::Clip, along: false, name: op };
            Expr::node(take, smallvec![i.clone(), sorted.clone()], shape.clone(), dtype, device, at)
        };
        let mut first = Expr::fill_on(device, Scalar::Int(0), shape.clone(), DType::I32, at);
        let mut left = n;
        while left > 1 {
            let half = left / 2;
            let middle = binary(&arithmetic::add, &first, half, at);
            let is_upper = binary(&logic::less_equal, found(&middle), &x, at);
            first = ufunc(&logic::SELECT, smallvec![is_upper.into_arg(), middle.into_arg(), first.into_arg()], at);
            left -= half;
        }
        Ok(binary(&logic::equal, found(&first), &x, at))
    })
}
