//! The derivative with respect to one node, and functions that bring a derivative into the shape of an operand.

use crate::base::dtype::Scalar;
use crate::base::error::Loc;
use crate::base::layout::{self, AxesArg, Shape, View, lengths};
use crate::graph::expr::{Back, Expr, NodeOp, Reach, binary, carry, cast, choose, reduce, reshape, unary, view};
use crate::graph::ufunc::{Fold, arithmetic, logic};
use smallvec::SmallVec;

/// The derivative with respect to a node. Where the mask is false, the derivative is 0, whatever `value` is. The mask
/// exists because a branch that was not taken (of `select`, or the smaller operand of `maximum`) may have the value
/// 0 · ∞, which must not become NaN.
#[derive(Clone)]
pub(super) struct Adjoint {
    pub value: Expr,
    pub mask: Option<Expr>,
    /// Whether `value` itself is 0 where the mask is false. Then nothing has to be selected before `value` is returned
    /// or summed. A multiplication by a number that may be infinite ends this.
    pub is_clean: bool,
}

impl Adjoint {
    /// Returns a derivative without a mask.
    pub fn plain(value: Expr) -> Adjoint {
        Adjoint { value, mask: None, is_clean: false }
    }

    /// Returns the derivative that an expression of [`Adjoint::marked`], or another choice between an expression and 0,
    /// describes. Any other expression is a derivative without a mask.
    pub fn of(value: Expr) -> Adjoint {
        if let Some(mask) = mask_of(&value).cloned() {
            return Adjoint { value, mask: Some(mask), is_clean: true };
        }
        let NodeOp::Ufunc(row) = &value.0.op else { return Adjoint::plain(value) };
        let is_choice = std::ptr::eq(*row, &logic::SELECT) && value.0.rule.is_none();
        let (at, shape) = (value.0.location, &value.0.shape);
        let (mask, chosen) = match &value.0.args[..] {
            [mask, chosen, zero] if is_choice && is_zero(zero) => (mask.clone(), chosen),
            [mask, zero, chosen] if is_choice && is_zero(zero) => (unary(&logic::logical_not, mask, at), chosen),
            _ => return Adjoint::plain(value),
        };
        let chosen = broadcast(chosen, shape, at);
        Adjoint { value: chosen, mask: Some(broadcast(&mask, shape, at)), is_clean: false }
    }

    /// Returns the derivative as one expression, which is 0 where the mask is false.
    pub fn masked(&self, at: Loc) -> Expr {
        match &self.mask {
            Some(mask) if !self.is_clean => choose(mask, &self.value, 0.0, at),
            _ => self.value.clone(),
        }
    }

    /// Returns the derivative as one expression, from which [`Adjoint::of`] finds the mask again.
    pub fn marked(&self, at: Loc) -> Expr {
        match &self.mask {
            Some(mask) if self.is_clean && self.value.error().is_none() && mask.error().is_none() => {
                let back: Back = Box::new(|g, _| Ok(vec![g.clone(), g.clone()]));
                self.value.with_rule_of(vec![self.value.clone(), mask.clone()], Some(back), Reach::Masked)
            }
            _ => self.masked(at),
        }
    }

    /// Returns the derivative with other values, which are 0 or unknown where the mask is false.
    pub fn with(&self, value: Expr) -> Adjoint {
        Adjoint { value, mask: self.mask.clone(), is_clean: false }
    }

    /// Returns the derivative, which is also 0 where `mask` is false.
    pub fn only(self, mask: Option<&Expr>, at: Loc) -> Adjoint {
        let mask = match (self.mask, mask) {
            (Some(a), Some(b)) => Some(binary(&logic::logical_and, a, b, at)),
            (a, b) => a.or_else(|| b.cloned()),
        };
        Adjoint { value: self.value, mask, is_clean: false }
    }

    /// Moves or repeats elements by `move_elements`, which is called with the value and with the mask.
    pub fn moved(&self, move_elements: impl Fn(&Expr) -> Expr) -> Adjoint {
        let mask = self.mask.as_ref().map(&move_elements);
        Adjoint { value: move_elements(&self.value), mask, is_clean: self.is_clean }
    }

    /// Moves and adds up elements by `add_up`. A sum is known to be 0 if all its terms are. To find that out, `add_up`
    /// counts the terms that are not: it is also called with an expression that is 1 where the mask is true, and 0
    /// elsewhere.
    pub fn summed(&self, at: Loc, add_up: impl Fn(&Expr) -> Expr) -> Adjoint {
        let count = |mask: &Expr| binary(&logic::greater, add_up(&cast(mask.clone(), self.value.0.dtype, at)), 0.0, at);
        let mask = self.mask.as_ref().map(count);
        Adjoint { value: add_up(&self.masked(at)), is_clean: mask.is_some(), mask }
    }
}

/// Returns the mask of an expression that is known to be 0 where the mask is false, see [`Adjoint::marked`].
pub(super) fn mask_of(e: &Expr) -> Option<&Expr> {
    let rule = e.0.rule.as_ref().filter(|rule| matches!(rule.reach, Reach::Masked))?;
    rule.operands.get(1)
}

/// Returns whether all elements are known to be 0 before they are computed.
pub(super) fn is_zero(e: &Expr) -> bool {
    e.0.is_constant() && e.0.number().is_some_and(|s| s.as_f64() == 0.0)
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
