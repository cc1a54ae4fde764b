//! The derivatives of scans and of products along axes.

use super::adjoint::{restored, sum};
use super::iota;
use super::view::cut;
use crate::Scalar;
use crate::base::dtype::DType;
use crate::base::error::{Loc, Result};
use crate::base::layout::{self, IndexMode, Shape, View, lengths};
use crate::graph::expr::{Expr, NodeOp, Reach, binary, carry, cast, choose, reshape, scan, unary, view};
use crate::graph::ufunc::{Fold, arithmetic, float, logic};
use crate::ops::functions::join;
use crate::ops::index::untaken_along;
use smallvec::smallvec;

const OP: &str = "grad";

/// Returns, for each element, whether the mask is true for it or a later element along an axis.
pub(super) fn any_from_here(mask: &Expr, axis: usize, at: Loc) -> Expr {
    let number = flipped(&cast(mask.clone(), DType::I32, at), axis, at);
    let any = flipped(&scan(Fold::of(&arithmetic::maximum), &number, axis, at), axis, at);
    binary(&logic::greater, any, 0, at)
}

/// Returns, for each element, the product of all other elements along axes. It is the product of the elements before it
/// times the product of the elements after it, so no division by an element, which may be 0, is needed.
pub(super) fn all_others(x: &Expr, axes: &[usize], at: Loc) -> Expr {
    let ndim = x.0.shape.len();
    let order: Vec<isize> =
        (0..ndim).filter(|d| !axes.contains(d)).chain(axes.iter().copied()).map(|d| d as isize).collect();
    let mut inverse = vec![0isize; ndim];
    order.iter().enumerate().for_each(|(to, from)| inverse[*from as usize] = to as isize);
    let turned = view(OP, x, at, |s| View::permute(s, &order));
    carry(at, || {
        let full = turned.checked()?.shape.clone();
        let kept = ndim - axes.len();
        let mut merged: Shape = full[..kept].into();
        merged.push(layout::product(&full[kept..]));
        let rows = reshape(OP, &turned, &lengths(&merged), at);
        let before = shifted(&scan(Fold::of(&arithmetic::multiply), &rows, kept, at), kept, false, 1.0, at);
        let reversed = flipped(&rows, kept, at);
        let after = shifted(
            &flipped(&scan(Fold::of(&arithmetic::multiply), &reversed, kept, at), kept, at),
            kept,
            true,
            1.0,
            at,
        );
        // the number of zeros among the other elements
        let along = |e: &Expr| restored(&sum(e, std::iter::once(kept), at), &merged, &[kept], at);
        let own = count_zeros(&rows, at);
        let zeros = binary(&arithmetic::subtract, along(&own), own, at);
        let nothing = along(&binary(&arithmetic::multiply, &rows, 0.0, at));
        let others = zero_wins(binary(&arithmetic::multiply, before, after, at), &zeros, nothing, at);
        let others = reshape(OP, &others, &lengths(&full), at);
        Ok(view(OP, &others, at, |s| View::permute(s, &inverse)))
    })
}

/// Returns 1 for each element that is 0, and 0 for all others.
fn count_zeros(e: &Expr, at: Loc) -> Expr {
    cast(binary(&logic::equal, e, 0.0, at), e.0.dtype, at)
}

/// Returns products with 0 in place of NaN where a factor is 0, because there the other factors overflowed. `zeros` is the
/// number of factors that are 0, and `nothing` is 0, or NaN if a factor is infinite or NaN. Derivatives are those of the
/// given products.
fn zero_wins(product: Expr, zeros: &Expr, nothing: Expr, at: Loc) -> Expr {
    let has_zero = binary(&logic::greater, zeros, 0.0, at);
    let has_overflow = binary(&logic::logical_and, has_zero, unary(&logic::isnan, &product, at), at);
    let value = choose(has_overflow, nothing, &product, at);
    value.with_rule_of(vec![product], Some(Box::new(|g, _| Ok(vec![g.clone()]))), Reach::SameElement)
}

/// Returns the elements in reverse order along an axis.
pub(crate) fn flipped(e: &Expr, axis: usize, at: Loc) -> Expr {
    view(OP, e, at, |s| Ok(View::flip(s, &[axis])))
}

/// Moves the elements along an axis by one position, to the front or to the end. The free position gets the number `free`.
pub(crate) fn shifted(e: &Expr, axis: usize, to_front: bool, free: f64, at: Loc) -> Expr {
    let (n, mut shape) = (e.0.shape[axis], e.0.shape.clone());
    shape[axis] = 1;
    let one = Expr::fill_on(e.0.device, Scalar::Float(free), shape, e.0.dtype, at);
    match to_front {
        true => join(OP, vec![cut(e, axis, 1, n, at), one], axis as isize, at),
        false => join(OP, vec![one, cut(e, axis, 0, n - 1, at)], axis as isize, at),
    }
}

/// Returns the derivative of a scan, or `None` if the fold has none. `e` is the scan of `x`.
pub(super) fn scanned(e: &Expr, fold: Fold, axis: usize, x: &Expr, g: &Expr, at: Loc) -> Option<Result<Expr>> {
    Some(Ok(match fold {
        f if f == Fold::of(&arithmetic::add) => {
            flipped(&scan(Fold::of(&arithmetic::add), &flipped(g, axis, at), axis, at), axis, at)
        }
        f if f == Fold::of(&arithmetic::multiply) => {
            // The derivative with respect to element j is the product of the elements before j, times the sum, over all
            // k from j on, of g[k] · (the product of the elements after j up to k).
            let times_0 = binary(&arithmetic::multiply, x, 0.0, at);
            let all = restored(&sum(&times_0, std::iter::once(axis), at), &x.0.shape, &[axis], at);
            let multiply = |[a]: &[Expr; 1], [b]: &[Expr; 1]| {
                let zeros = binary(&arithmetic::add, count_zeros(a, at), count_zeros(b, at), at);
                [zero_wins(binary(&arithmetic::multiply, a, b, at), &zeros, all.clone(), at)]
            };
            let [sums] = recurrence_by([g.clone()], [later(x, axis, 1, at)], axis, at, multiply);
            let so_far = |e: &Expr| shifted(&scan(Fold::of(&arithmetic::add), e, axis, at), axis, false, 0.0, at);
            let zeros = so_far(&count_zeros(x, at));
            let before = zero_wins(shifted(e, axis, false, 1.0, at), &zeros, so_far(&times_0), at);
            binary(&arithmetic::multiply, sums, before, at)
        }
        f if f == Fold::of(&float::logaddexp) => {
            // The results `e` never decrease along the axis, so the ratio exp(e[j] − e[j + 1]) of a result to the next
            // one is at most 1.
            let ratio = |a: &Expr, b: &Expr| {
                let same = binary(&logic::equal, a, b, at);
                choose(same, 1.0, unary(&float::exp, binary(&arithmetic::subtract, a, b, at), at), at)
            };
            let factors = ratio(e, &later(e, axis, 1, at));
            binary(&arithmetic::multiply, recurrence(g, &factors, axis, at), ratio(x, e), at)
        }
        f if f == Fold::of(&arithmetic::maximum) || f == Fold::of(&arithmetic::minimum) => {
            // the derivative of each result goes to one element: the last element equal to the result, among the
            // elements up to the result's position
            let place = iota(axis, &x.0.shape, at);
            let is_new = binary(&logic::equal, x, e, at);
            let picked = scan(Fold::of(&arithmetic::maximum), &choose(is_new, place, 0, at), axis, at);
            return Some(untaken_along(x, &picked, axis, IndexMode::Clip, g, at));
        }
        _ => return None,
    }))
}

/// Returns `s` with `s[j] = g[j] + a[j] · s[j + 1]` along an axis and `s[n − 1] = g[n − 1]`.
fn recurrence(g: &Expr, a: &Expr, axis: usize, at: Loc) -> Expr {
    let [sums] =
        recurrence_by([g.clone()], [a.clone()], axis, at, |[a], [b]| [binary(&arithmetic::multiply, a, b, at)]);
    sums
}

/// Computes the recurrence `s[j] = g[j] + a[j] · s[j + 1]` of numbers that consist of N parts, such as complex numbers.
/// Each step combines elements that are twice as far apart as in the previous step, so log₂ n steps suffice.
pub(crate) fn recurrence_by<const N: usize>(
    g: [Expr; N],
    a: [Expr; N],
    axis: usize,
    at: Loc,
    multiply: impl Fn(&[Expr; N], &[Expr; N]) -> [Expr; N],
) -> [Expr; N] {
    let shape = g[0].0.shape.clone();
    let (n, mut sums, mut factors, mut step) = (shape[axis], g, a, 1);
    while step < n {
        // Before this step, `sums[j]` has the terms of the result s[j] that come from g[j] up to g[j + step − 1].
        // `factors[j]` is the factor of s[j + step] in s[j].
        let has_more = binary(&logic::less, iota(axis, &shape, at), n - step, at);
        let kept = |e: Expr| choose(&has_more, e, 0.0, at);
        let next = |parts: &[Expr; N]| parts.each_ref().map(|e| later(e, axis, step, at));
        let added = multiply(&factors, &next(&sums)).map(kept);
        factors = multiply(&factors, &next(&factors)).map(kept);
        for (sum, added) in sums.iter_mut().zip(added) {
            *sum = binary(&arithmetic::add, &*sum, added, at);
        }
        step *= 2;
    }
    sums
}

/// Returns the elements `step` positions later along an axis. Positions after the end get the last element. A gather
/// reads the elements, so that `e` is stored in memory and not computed again for each step of a recurrence.
pub(crate) fn later(e: &Expr, axis: usize, step: usize, at: Loc) -> Expr {
    let place = binary(&arithmetic::add, iota(0, &smallvec![e.0.shape[axis]], at), step, at);
    let take = NodeOp::Take { axis, mode: IndexMode::Clip, along: false, name: OP };
    Expr::node(take, smallvec![place, e.clone()], e.0.shape.clone(), e.0.dtype, e.0.device, at)
}
