//! Helpers of convolutions and pools: the windows of an expression as a view, the interleaving of slices, and
//! expressions that define their own derivative.

use super::options::Windows;
use crate::base::dtype::Scalar;
use crate::base::error::Loc;
use crate::base::layout::{self, Shape, View, product};
use crate::graph::expr::{Back, Expr, Reach, reshape, unary, view};
use crate::graph::ufunc::arithmetic;
use crate::ops::functions::join;
use crate::ops::movement::pad_constant;
use smallvec::{SmallVec, smallvec};

/// The number of elements of a 3 × 3 window. Windows with at most this many elements are combined without a reduction:
/// each element becomes an operand of a kernel. At most this many phases are interleaved by [`interleaved`], with a
/// kernel for each. A phase is the set of results whose positions have the same remainder modulo the stride.
pub(super) const FEW: usize = 9;

/// Returns every index of an array of the given shape, in C order.
pub(super) fn every(shape: &[usize]) -> impl Iterator<Item = SmallVec<[usize; 3]>> {
    (0..product(shape)).map(|i| {
        let mut rest = i;
        let digit = |n: &usize| {
            let digit = rest % n;
            rest /= n;
            digit
        };
        let mut index: SmallVec<[usize; 3]> = shape.iter().rev().map(digit).collect();
        index.reverse();
        index
    })
}

/// Interleaves arrays, called phases, along the spatial axes, which begin at axis `first`. Element `stride · q + r` of
/// the result is element q of phase r. `phases` has one array for each index r of an array of shape `strides`, in C
/// order.
pub(super) fn interleaved(
    op: &'static str,
    mut phases: Vec<Expr>,
    strides: &[usize],
    first: usize,
    at: Loc,
) -> Option<Expr> {
    for (j, stride) in strides.iter().enumerate().rev().filter(|(_, stride)| **stride > 1) {
        let axis = first + j;
        let interleaved = |list: &[Expr]| {
            let list = list.iter().map(|e| view(op, e, at, |s| View::expand(s, axis as isize + 1))).collect();
            let all = join(op, list, axis as isize + 1, at);
            let mut to: SmallVec<[isize; 6]> = all.0.shape.iter().map(|n| *n as isize).collect();
            if all.error().is_none() {
                let phases = to.remove(axis + 1);
                to[axis] = to[axis].saturating_mul(phases);
            }
            reshape(op, &all, &to, at)
        };
        phases = phases.chunks(*stride).map(interleaved).collect();
    }
    phases.pop()
}

/// Makes a view from its shape and its steps. A step `(d, k, n)` moves n elements along axis d of the operand for each
/// element along axis k of the result.
pub(super) fn affine(shape: Shape, operand_ndim: usize, steps: &[(usize, usize, usize)]) -> View {
    let n = shape.len();
    let mut v = View { shape, offset: smallvec![0; operand_ndim], coef: smallvec![0; operand_ndim * n] };
    for (from, to, step) in steps {
        v.coef[from * n + to] = *step as isize;
    }
    v
}

/// Pads an expression with the number `with` before and after each spatial axis, as far as the windows `all` extend
/// beyond the axis. The spatial axes begin at axis `first`.
pub(super) fn padded(op: &'static str, e: &Expr, first: usize, all: &[Windows], with: Scalar, at: Loc) -> Expr {
    if e.error().is_some() || !all.iter().any(Windows::is_padded) {
        return e.clone();
    }
    let mut widths = vec![(0, 0); e.0.shape.len()];
    for (width, w) in widths[first..].iter_mut().zip(all) {
        *width = (w.before, w.after());
    }
    pad_constant(op, e, &widths, with, at)
}

/// Returns the windows along the spatial axes, which begin at axis `first`, as a view. Each spatial axis then counts
/// windows, and new last axes count the elements within a window.
pub(super) fn windows(op: &'static str, e: &Expr, first: usize, all: &[Windows], with: Scalar, at: Loc) -> Expr {
    let e = padded(op, e, first, all, with, at);
    view(op, &e, at, |s| {
        let n = s.len();
        let mut shape: Shape = s.into();
        let mut steps: Vec<(usize, usize, usize)> = (0..n).map(|d| (d, d, 1)).collect();
        for (j, w) in all.iter().enumerate() {
            shape[first + j] = w.count;
            shape.push(w.window);
            steps[first + j].2 = w.stride;
            steps.push((first + j, n + j, w.dilation));
        }
        layout::size_of_shape(&shape)?;
        Ok(affine(shape, n, &steps))
    })
}

/// Returns the expression with `back` as its derivative rule. If the expression is a constant without operands, such as
/// the sum of no elements, it is wrapped in an operation first, because a leaf of the graph has no derivative.
pub(super) fn ruled(e: Expr, operands: Vec<Expr>, (back, reach): (Back, Reach), at: Loc) -> Expr {
    let e = if e.0.args.is_empty() { unary(&arithmetic::positive, e, at) } else { e };
    e.with_rule_of(operands, Some(back), reach)
}
