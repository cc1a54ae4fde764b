//! The derivatives of functions that take elements at positions along an axis.

use super::modes::Clip;
use super::places::flat_along;
use super::scatter::added_at;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IndexMode, View};
use crate::graph::expr::{Expr, NodeOp, Operand, binary, cast, choose, reshape, ufunc, view};
use crate::graph::ufunc::{arithmetic, logic};
use smallvec::smallvec;

/// Returns `y` with the derivative rule of a gather. The elements of `y` are elements of `x` at positions along an
/// axis. `positions` computes these positions when a derivative is built, as integers in the range of the axis.
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

/// Returns the derivative of `take_along_axis`: adds each element of `g` to zeros of the shape of `x`, at the position
/// along the axis from which `take_along_axis` read it. `i` holds these positions.
pub(crate) fn untaken_along(x: &Expr, i: &Expr, axis: usize, mode: IndexMode, g: &Expr, at: Loc) -> Result<Expr> {
    const OP: &str = "grad";
    let shape = &x.0.shape;
    let n = shape[axis];
    let zeros = Expr::fill_on(x.0.device, Scalar::Float(0.0), shape.clone(), x.0.dtype, at);
    if shape.contains(&0) || i.0.shape.contains(&0) {
        return Ok(zeros);
    }
    let place = match mode {
        IndexMode::Check | IndexMode::CheckFromStart => i.clone(),
        IndexMode::Clip => ufunc(&arithmetic::clip, smallvec![i.into_arg(), 0.into_arg(), (n - 1).into_arg()], at),
        IndexMode::Wrap => binary(&arithmetic::remainder, i, n, at),
    };
    let place = cast(place, DType::I32, at);
    if i.0.shape[axis] == 1 {
        // If there is one position for each slice along the axis, the derivative is a choice between `g` and 0. A
        // choice fuses with the kernel that reads it.
        let spread = |e: &Expr| view(OP, e, at, |s| View::broadcast_to(s, shape));
        let number = Expr::node(NodeOp::Iota(axis), smallvec![], shape.clone(), DType::I32, 0, at);
        let is_there = binary(&logic::equal, number, spread(&place), at);
        return Ok(choose(is_there, spread(g), 0.0, at));
    }
    let size = layout::product(shape);
    if size > i32::MAX as usize {
        let detail = format!("an array of {size} elements, whose positions must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, OP, detail, at));
    }
    let flat = flat_along(place, axis, shape, &i.0.shape, at);
    let zeros = reshape(OP, &zeros, &[-1], at);
    let sums = added_at(OP, &zeros, 0, Clip(reshape(OP, &flat, &[-1], at)), reshape(OP, g, &[-1], at), at);
    Ok(reshape(OP, &sums, &layout::lengths(shape), at))
}
