//! The derivatives of views. An element of the operand may occur several times in a view; its derivative is the sum of
//! the derivatives with respect to these occurrences.

use super::adjoint::{sum, zeros};
use super::iota;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxisList, Shape, SliceItem, View, lengths};
use crate::graph::expr::{Expr, binary, reshape, view};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::join;
use crate::ops::index::{Clip, added_at};
use smallvec::{SmallVec, smallvec};

const OP: &str = "grad";

/// Axes of a derivative on which the index along one axis of the operand depends, each with its step.
type AxisGroup = SmallVec<[(usize, usize); 2]>;

/// Returns the elements `from..to` of an axis.
pub(crate) fn cut(e: &Expr, axis: usize, from: usize, to: usize, at: Loc) -> Expr {
    let part = |(d, _): (usize, &usize)| match d == axis {
        true => SliceItem::Range { start: Some(from as isize), end: Some(to as isize), step: 1 },
        false => SliceItem::Range { start: None, end: None, step: 1 },
    };
    view(OP, e, at, |s| View::slice(s, &s.iter().enumerate().map(part).collect::<Vec<_>>()))
}

/// Puts zeros before and after the elements along an axis.
fn padded(e: &Expr, axis: usize, before: usize, after: usize, at: Loc) -> Expr {
    if before == 0 && after == 0 {
        return e.clone();
    }
    let side = |n: usize| {
        let mut shape = e.0.shape.clone();
        shape[axis] = n;
        (n > 0).then(|| zeros(shape, e, at))
    };
    let parts: Vec<Expr> = side(before).into_iter().chain([e.clone()]).chain(side(after)).collect();
    join(OP, parts, axis as isize, at)
}

/// Puts `step - 1` zeros between the elements along an axis.
fn dilated(e: &Expr, axis: usize, step: usize, at: Loc) -> Expr {
    if step == 1 {
        return e.clone();
    }
    let length = e.0.shape[axis];
    let wide = view(OP, e, at, |s| View::expand(s, axis as isize + 1));
    let wide = padded(&wide, axis + 1, 0, step - 1, at);
    let mut to = lengths(&e.0.shape);
    to[axis] *= step as isize;
    cut(&reshape(OP, &wide, &to, at), axis, 0, (length - 1) * step + 1, at)
}

/// Adds up the derivatives with respect to several views of one operand. `parts` has the views with their derivatives.
/// If the views are parts along one axis without common elements, their derivatives are concatenated. Otherwise each
/// derivative is padded with zeros to the operand's shape, and all are added.
pub(super) fn of_parts(parts: Vec<(View, Expr)>, operand: &[usize], at: Loc) -> Result<Option<Expr>> {
    if let Some(axis) = (0..operand.len()).find(|axis| parts.len() > 1 && follow(&parts, operand, *axis)) {
        let mut parts = parts;
        parts.sort_by_key(|(v, _)| v.offset[axis]);
        let (mut list, mut end) = (Vec::new(), 0);
        let of_length = |n: usize| {
            let mut shape: Shape = operand.into();
            shape[axis] = n;
            shape
        };
        for (v, g) in &parts {
            let (begin, length) = (v.offset[axis] as usize, part_length(v, operand, axis));
            if begin > end {
                list.push(zeros(of_length(begin - end), g, at));
            }
            list.push(of_view(&v.shifted(axis, v.offset[axis]), &of_length(length), g, at)?);
            end = begin + length;
        }
        if let Some((_, g)) = parts.first().filter(|_| end < operand[axis]) {
            list.push(zeros(of_length(operand[axis] - end), g, at));
        }
        return Ok(Some(join(OP, list, axis as isize, at)));
    }
    let mut total: Option<Expr> = None;
    for (v, g) in &parts {
        let d = of_view(v, operand, g, at)?;
        total = Some(match total {
            Some(total) => binary(&arithmetic::add, total, d, at),
            None => d,
        });
    }
    Ok(total)
}

/// Returns the length along `axis` of a view that is a part of the operand. The part has all elements along the other
/// axes.
fn part_length(v: &View, operand: &[usize], axis: usize) -> usize {
    let rest = (0..operand.len()).filter(|d| *d != axis).fold(1, |n, d| n * operand[d].max(1));
    layout::product(&v.shape) / rest
}

/// Returns whether the views are parts along an axis that follow one another without common elements. Gaps are allowed.
fn follow(parts: &[(View, Expr)], operand: &[usize], axis: usize) -> bool {
    if operand.contains(&0) {
        return false;
    }
    let mut spans = Vec::new();
    for (v, _) in parts {
        let (n, length) = (v.shape.len(), part_length(v, operand, axis));
        // The view may permute the axes of the part, and may split an axis into several. So each axis of the view must
        // belong to only one axis of the operand, and the axes that belong to the same one must count its indices like
        // the digits of a number.
        let leads_once = (0..n)
            .filter(|k| v.shape[*k] > 1)
            .all(|k| (0..operand.len()).filter(|j| v.coef[j * n + k] != 0).count() == 1);
        let whole = |j: usize| {
            let lead = (0..n).filter(|k| v.shape[*k] > 1 && v.coef[j * n + k] != 0);
            let mut digits: SmallVec<[(isize, usize); 6]> = lead.map(|k| (v.coef[j * n + k], v.shape[k])).collect();
            digits.sort_unstable();
            let end = digits.iter().try_fold(1, |end, (step, n)| (*step == end).then(|| end * *n as isize));
            let wanted = if j == axis { length } else { operand[j] };
            end == Some(wanted as isize) && (j == axis || v.offset[j] == 0)
        };
        if !leads_once || !(0..operand.len()).all(whole) {
            return false;
        }
        spans.push((v.offset[axis], length as isize));
    }
    spans.sort_unstable();
    spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
}

/// Returns the derivative with respect to the operand of the view `v`, in the operand's shape. `g` is the derivative
/// with respect to the view.
pub(super) fn of_view(v: &View, operand: &[usize], g: &Expr, at: Loc) -> Result<Expr> {
    let (n, m) = (v.shape.len(), operand.len());
    if operand.contains(&0) || v.shape.contains(&0) {
        return Ok(zeros(operand.into(), g, at));
    }
    // an axis of the view on which no index of the operand depends was broadcast, so it is summed
    let (idle, left): (AxisList, AxisList) =
        (0..n).partition(|k| v.shape[*k] == 1 || (0..m).all(|j| v.coef[j * n + k] == 0));
    let summed = sum(g, idle.iter().copied().filter(|k| v.shape[*k] > 1), at);
    let mut g = reshape(OP, &summed, &lengths(&left.iter().map(|k| v.shape[*k]).collect::<Shape>()), at);
    // `groups` lists, for each axis of the operand, the axes of `g` on which the index along it depends, each with its
    // step
    let mut groups: SmallVec<[AxisGroup; 6]> = operand.iter().map(|_| smallvec![]).collect();
    let (mut first, mut down) = (v.offset.clone(), vec![]);
    for (i, k) in left.iter().enumerate() {
        let mut to = (0..m).filter(|j| v.coef[j * n + k] != 0);
        let (Some(j), None) = (to.next(), to.next()) else { return scattered(v, operand, &g, &left, at) };
        let step = v.coef[j * n + k];
        if step < 0 {
            down.push(i);
            first[j] += step * (v.shape[*k] as isize - 1);
        }
        groups[j].push((i, step.unsigned_abs()));
    }
    if !down.is_empty() {
        g = view(OP, &g, at, |s| Ok(View::flip(s, &down)));
    }
    // in each group the largest step comes first; of two equal steps, the longer axis comes first
    groups.iter_mut().for_each(|group| group.sort_by_key(|(i, step)| std::cmp::Reverse((*step, g.0.shape[*i]))));
    if groups.iter().any(|group| group.len() > 2 && !are_digits(group, &g.0.shape)) {
        let back = view(OP, &g, at, |s| Ok(View::flip(s, &down)));
        return scattered(v, operand, &back, &left, at);
    }
    let order: SmallVec<[isize; 6]> = groups.iter().flatten().map(|(i, _)| *i as isize).collect();
    let shape = g.0.shape.clone();
    if !order.is_sorted() {
        g = view(OP, &g, at, |s| View::permute(s, &order));
    }
    for (j, group) in groups.iter().enumerate() {
        let begin = first[j] as usize;
        g = match group[..] {
            // the whole axis
            [(_, 1)] if g.0.shape[j] == operand[j] => g,
            [(_, long), (_, short)] if !are_digits(group, &shape) => {
                of_windows(&g, j, [long, short], begin, operand[j], at)
            }
            _ => {
                // Axes that count through an axis of the operand like the digits of a number are merged into one. A
                // group without axes becomes an axis of length 1, because it stands for one element.
                let mut merged = lengths(&g.0.shape);
                let length: isize = merged.drain(j..j + group.len()).product();
                merged.insert(j, length);
                g = dilated(&reshape(OP, &g, &merged, at), j, group.last().map_or(1, |(_, step)| *step), at);
                let after = operand[j] - begin - g.checked()?.shape[j];
                padded(&g, j, begin, after, at)
            }
        };
        g.checked()?;
    }
    Ok(g)
}

/// Returns whether the axes in `group`, each given with its step, count through one axis of the operand without gaps or
/// overlaps, like the digits of a number.
fn are_digits(group: &[(usize, usize)], shape: &[usize]) -> bool {
    group.windows(2).all(|pair| pair[0].1 == pair[1].1 * shape[pair[1].0])
}

/// Returns the derivative of a view with sliding windows. Element `i` along `axis` and element `k` along the next axis
/// of `g` belong to the position `begin + i · steps[0] + k · steps[1]` of an axis of `length` elements. In the result,
/// this axis replaces the two axes of `g`. Zeros are put between and around the elements along `axis`, so that the
/// elements for one position form a diagonal of the two axes. Each diagonal is summed.
fn of_windows(g: &Expr, axis: usize, steps: [usize; 2], begin: usize, length: usize, at: Loc) -> Expr {
    let window = g.0.shape[axis + 1];
    let spread = dilated(g, axis, steps[0], at);
    // The diagonals read index p − begin − k · steps[1] of `spread`, for each position p and window element k. The
    // zeros before and after make all these indices valid.
    let before = begin + steps[1] * (window - 1);
    let after = (length - begin).saturating_sub(spread.0.shape[axis]);
    let padded = padded(&spread, axis, before, after, at);
    let diagonals = view(OP, &padded, at, |s| {
        let (n, mut v) = (s.len(), View::identity(s));
        v.shape[axis] = length;
        v.offset[axis] = (before - begin) as isize;
        v.coef[axis * n + axis + 1] = -(steps[1] as isize);
        Ok(v)
    });
    sum(&diagonals, [axis + 1].into_iter(), at)
}

/// Returns the derivative of any view: adds each element of `g` to zeros of the operand's shape, at the position from
/// which the view reads this element. `left` lists the axes of the view that `g` still has.
fn scattered(v: &View, operand: &[usize], g: &Expr, left: &[usize], at: Loc) -> Result<Expr> {
    let size = layout::product(operand);
    if size > i32::MAX as usize {
        let detail = format!("a view of an array of {size} elements; the derivative needs positions that fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, OP, detail, at));
    }
    let (n, strides) = (v.shape.len(), layout::c_strides(operand));
    let shape: Shape = left.iter().map(|k| v.shape[*k]).collect();
    let first: isize = v.offset.iter().zip(&strides).map(|(o, s)| o * s).sum();
    let mut place = Expr::fill_on(g.0.device, Scalar::Int(first as i128), shape.clone(), DType::I32, at);
    for (i, k) in left.iter().enumerate() {
        let step: isize = strides.iter().enumerate().map(|(j, s)| v.coef[j * n + k] * s).sum();
        let along = binary(&arithmetic::multiply, iota(i, &shape, at), step, at);
        place = binary(&arithmetic::add, place, along, at);
    }
    let (place, values) = (reshape(OP, &place, &[-1], at), reshape(OP, g, &[-1], at));
    let sums = added_at(OP, &zeros(smallvec![size], g, at), 0, Clip(place), values, at);
    Ok(reshape(OP, &sums, &lengths(operand), at))
}

/// Returns a view with the last two axes exchanged.
pub(super) fn transposed(e: &Expr, at: Loc) -> Expr {
    view(OP, e, at, |s| {
        let mut axes: SmallVec<[isize; 6]> = s.iter().enumerate().map(|(d, _)| d as isize).collect();
        axes.swap(s.len() - 2, s.len() - 1);
        View::permute(s, &axes)
    })
}
