//! The derivatives of functions that are made of several operations, where their own rule is better than the rules of
//! the operations, or where those have none.

use super::rules::untaken_along;
use crate::base::error::{Loc, Result};
use crate::base::layout::IndexMode;
use crate::graph::expr::Expr;
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::functions::{binary, choose, unary};

/// Returns `y`, which has the elements of `x` at positions along an axis. `positions` makes them, as integers in the
/// range of the axis, when a derivative is asked for.
pub(crate) fn as_gather(
    y: &Expr,
    x: &Expr,
    axis: usize,
    positions: impl Fn(&Expr, Loc) -> Result<Expr> + Send + Sync + 'static,
) -> Expr {
    if !x.0.dtype.is_float() {
        return y.clone();
    }
    let of = x.clone();
    let back = move |g: &Expr, at: Loc| {
        let i = positions(&of, at)?;
        Ok(vec![untaken_along(&of, &i, axis, IndexMode::Clip, g, at)?])
    };
    y.with_rule(vec![x.clone()], Some(Box::new(back)))
}

/// Returns the square root of a sum of squares. Its derivative is 0 where it is 0, as that of a constant; the derivative
/// of `sqrt` would be infinite, and NaN after the multiplication with the derivatives of the squares.
pub(crate) fn root_or_zero(squares: Expr, at: Loc) -> Expr {
    let root = unary(&float::sqrt, &squares, at);
    if root.error().is_some() {
        return root;
    }
    let out = root.clone();
    let back = move |g: &Expr, at: Loc| {
        let d = binary(&arithmetic::divide, binary(&arithmetic::multiply, g, 0.5, at), &out, at);
        Ok(vec![choose(binary(&logic::equal, &out, 0.0, at), 0.0, d, at)])
    };
    root.with_rule(vec![squares], Some(Box::new(back)))
}
