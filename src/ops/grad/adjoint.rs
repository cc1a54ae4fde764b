//! The derivative with respect to one node, and functions that bring a derivative into the shape of an operand.

use crate::base::dtype::Scalar;
use crate::base::error::Loc;
use crate::base::layout::{self, AxesArg, Shape, View, lengths};
use crate::graph::expr::{Expr, carry, choose, reduce, reshape, view};
use crate::graph::ufunc::{Fold, arithmetic};
use smallvec::SmallVec;

/// The derivative with respect to a node. Where the mask is false, the derivative is 0, whatever `value` is. The mask
/// exists because a branch of `select` that was not taken may have the value 0 · ∞, which must not become NaN.
#[derive(Clone)]
pub(super) struct Adjoint {
    pub value: Expr,
    pub mask: Option<Expr>,
}

impl Adjoint {
    /// Returns the derivative as one expression, which is 0 where the mask is false.
    pub fn masked(&self, at: Loc) -> Expr {
        match &self.mask {
            Some(mask) => choose(mask, &self.value, 0.0, at),
            None => self.value.clone(),
        }
    }
}

/// Returns the sum along `axes`, or `e` itself if `axes` is empty.
pub(super) fn sum(e: &Expr, axes: impl Iterator<Item = usize>, at: Loc) -> Expr {
    let axes: SmallVec<[isize; 6]> = axes.map(|d| d as isize).collect();
    match axes.is_empty() {
        true => e.clone(),
        false => reduce("grad", Fold::of(&arithmetic::add), e, &AxesArg { axes: Some(axes), keep: false }, at),
    }
}

/// Brings a derivative into the shape of an operand: sums it along the axes along which the operand was broadcast.
pub(super) fn unbroadcast(d: &Expr, shape: &Shape, at: Loc) -> Expr {
    if d.error().is_none() && d.0.shape == *shape {
        return d.clone();
    }
    carry(at, || {
        let full = layout::broadcast(&d.checked()?.shape, shape).map_err(|f| f.at("grad", at))?;
        let lead = full.len() - shape.len();
        let axes = (0..full.len()).filter(|k| *k < lead || shape[*k - lead] == 1 && full[*k] != 1);
        let summed = match d.0.shape == full {
            true => sum(d, axes, at),
            false => sum(&broadcast(d, &full, at), axes, at),
        };
        Ok(reshape("grad", &summed, &lengths(shape), at))
    })
}

/// Returns an expression broadcast to a shape.
pub(super) fn broadcast(e: &Expr, shape: &[usize], at: Loc) -> Expr {
    view("grad", e, at, |s| View::broadcast_to(s, shape))
}

/// Broadcasts a derivative along the axes that a reduction removed. `shape` is the shape before the reduction.
pub(super) fn restored(e: &Expr, shape: &[usize], axes: &[usize], at: Loc) -> Expr {
    view("grad", e, at, |_| Ok(View::restored(shape, axes)))
}

/// Returns a fill of zeros of a shape, with the dtype and device of another expression.
pub(super) fn zeros(shape: Shape, like: &Expr, at: Loc) -> Expr {
    Expr::fill_on(like.0.device, Scalar::Float(0.0), shape, like.0.dtype, at)
}
