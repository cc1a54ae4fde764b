//! The derivative of each kind of node. Those of elementwise functions, such as `tanh`, are in their rows of the table
//! (`graph/ufunc/float.rs` and its neighbours). A *source* of a node is an expression to which the node's derivative is
//! passed on: an operand of the node, or an operand of its derivative rule.

use super::adjoint::{Adjoint, broadcast, is_zero, restored, sum, zeros};
use super::formula::{Case, Slope, Variables, product, slope};
use super::scans::{all_others, any_from_here, scanned};
use super::view::{cut, transposed};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, IndexMode, Shape, View, lengths};
use crate::graph::expr::{Expr, NodeOp, Reach, binary, carry, cast, reduce, reshape, unary, view};
use crate::graph::ufunc::{Fold, Form, OfSquares, Partial, SUM_OF_CHAINS, Ufunc, arithmetic, float, logic, squares};
use crate::ops::functions::matmul_at;
use crate::ops::index::{Clip, Wrap, added_at, untaken_along};
use smallvec::{SmallVec, smallvec};

const OP: &str = "grad";

/// One step of the backward walk: from the derivative with respect to a node to the derivatives with respect to its
/// sources, which are its operands or the operands of its derivative rule.
pub(super) struct DerivativeStep<'a> {
    /// The name of the operation and the line of the caller, for error messages.
    pub op: &'static str,
    pub at: Loc,
    pub node: &'a Expr,
    /// Whether the derivative with respect to the source with this index is wanted.
    pub is_active: &'a dyn Fn(usize) -> bool,
}

/// A derivative with respect to an operand of a node or of its derivative rule, or to a part of the operand.
pub(super) enum To {
    Whole(Adjoint),
    /// A derivative with respect to a view of the operand.
    Part(Box<View>, Adjoint),
}

fn plain(value: Expr) -> To {
    To::Whole(Adjoint::plain(value))
}

/// Derivatives with respect to the operands of a node or of its derivative rule, each with the index of the operand.
type Found = SmallVec<[(usize, To); 2]>;

impl DerivativeStep<'_> {
    /// Returns the derivatives with respect to the sources of the node, which are its operands or the operands of its
    /// derivative rule. `g` is the derivative with respect to the node itself.
    pub fn back(&self, g: Adjoint) -> Result<Found> {
        let (e, at) = (self.node, self.at);
        if let Some(rule) = &e.0.rule {
            let Some(back) = &rule.back else { return Ok(Found::new()) };
            let cotangent = if matches!(rule.reach, Reach::Parts { .. }) { g.marked(at) } else { g.masked(at) };
            // derivatives that are zeros are left out, because adding zeros would cost a kernel
            let list = back(&cotangent, at)?.into_iter().enumerate().filter(|(_, d)| !is_zero(d));
            let mut found = Found::new();
            for (i, d) in list {
                found.push((i, To::Whole(reached(&rule.reach, d, &g, at)?)));
            }
            return Ok(found);
        }
        let args = &e.0.args;
        if let NodeOp::Ufunc(row) = &e.0.op {
            return self.ufunc(row, &g);
        }
        if let (NodeOp::Cast, [x]) = (&e.0.op, &args[..]) {
            return Ok(smallvec![(0, To::Whole(Adjoint { value: cast(g.value, x.0.dtype, at), ..g }))]);
        }
        Ok(match (&e.0.op, &args[..]) {
            (NodeOp::View(v), [_]) => smallvec![(0, To::Part(v.clone(), g))],
            (NodeOp::Reshape, [x]) => {
                smallvec![(0, To::Whole(g.moved(|part| reshape(OP, part, &lengths(&x.0.shape), at))))]
            }
            (NodeOp::Reduce(fold, _), [_]) if is_scale(*fold) => Found::new(),
            (NodeOp::Reduce(fold, axes), [x]) => {
                let d = reduction(e, *fold, axes, x, &g, at).ok_or_else(|| self.without_derivative(""))?;
                smallvec![(0, To::Whole(d))]
            }
            (NodeOp::Scan { fold, axis }, [x]) => {
                let value = scanned(e, *fold, *axis, x, &g.masked(at), at);
                let value = value.ok_or_else(|| self.without_derivative(""))??;
                let mask = g.mask.as_ref().map(|mask| any_from_here(mask, *axis, at));
                smallvec![(0, To::Whole(Adjoint { value, is_clean: mask.is_some(), mask }))]
            }
            (NodeOp::Matmul, [a, b]) => {
                // The mask ends here. To find out which rows have no element that was taken would need another
                // reduction for each layer of a network.
                let g = g.masked(at);
                let left = (self.is_active)(0).then(|| (0, plain(of_left(&g, a, b, at))));
                let right = (self.is_active)(1).then(|| (1, plain(of_right(&g, a, b, at))));
                left.into_iter().chain(right).collect()
            }
            (NodeOp::Take { axis, mode, along: false, .. }, [i, x]) => {
                smallvec![(1, To::Whole(g.summed(at, |part| untaken(x, i, *axis, *mode, part, at))))]
            }
            (NodeOp::Take { axis, mode, along: true, .. }, [i, x]) => {
                let back = |part: &Expr| carry(at, || untaken_along(x, i, *axis, *mode, part, at));
                smallvec![(1, To::Whole(g.summed(at, back)))]
            }
            (NodeOp::Concat { axis }, _) => {
                let mut from = 0;
                let part = |x: &Expr| {
                    let begin = from;
                    from += x.0.shape[*axis];
                    To::Whole(g.moved(|part| cut(part, *axis, begin, from, at)))
                };
                args.iter().map(part).enumerate().collect()
            }
            _ => return Err(self.without_derivative("")),
        })
    }

    /// Builds the derivatives of an elementwise function from the formulas in its row of the ufunc table. The mask of
    /// `g` is also a mask of the results, because each element of the result depends on one element of each operand.
    fn ufunc(&self, row: &'static Ufunc, g: &Adjoint) -> Result<Found> {
        let (e, at, args) = (self.node, self.at, &self.node.0.args);
        let mut found = Found::new();
        let partials = row.derivative.ok_or_else(|| self.without_derivative(""))?;
        for i in (0..args.len()).filter(|i| (self.is_active)(*i)) {
            match partials.get(i) {
                Some(Partial::Zero) => {}
                Some(Partial::Unknown) | None => {
                    return Err(self.without_derivative(&format!(" with respect to its operand {i}")));
                }
                Some(partial) => {
                    let Some(slope) = slope(*partial) else { continue };
                    let call = Variables { operands: args, result: e, cotangent: &g.value, at };
                    found.push((i, To::Whole(chained(&call, &slope, g))));
                }
            }
        }
        Ok(found)
    }

    /// Returns the error for an operation without a derivative.
    fn without_derivative(&self, why: &str) -> Error {
        let (name, line) = (self.node.0.op.name(), self.node.0.location);
        let detail = format!("{name}, called at {line}, has no derivative{why}; define one with with_vjp");
        Error::with_line(ErrorKind::Argument, self.op, detail, self.at)
    }
}

/// Returns the derivative with respect to an operand of an elementwise function, from the derivative `g` with respect to
/// the function's result.
fn chained(call: &Variables, slope: &Slope, g: &Adjoint) -> Adjoint {
    let is_clean = g.is_clean && call.is_linear(&slope.whole);
    let Some(Case { condition, is, value }) = &slope.case else {
        return Adjoint { is_clean, ..g.with(call.value(&slope.whole)) };
    };
    let condition = broadcast(&call.value(condition), &call.result.0.shape, call.at);
    let mask = if *is { condition } else { unary(&logic::logical_not, &condition, call.at) };
    let value = if is_clean { &slope.whole } else { value };
    Adjoint { is_clean, ..g.with(call.value(value)).only(Some(&mask), call.at) }
}

/// Returns the derivative `d` with respect to an operand of a derivative rule, with the mask that follows from the mask of
/// `g`, the derivative with respect to the rule's node.
fn reached(reach: &Reach, d: Expr, g: &Adjoint, at: Loc) -> Result<Adjoint> {
    Ok(match reach {
        Reach::Anything | Reach::Parts { .. } => Adjoint::of(d),
        Reach::SameElement | Reach::Masked => Adjoint::of(d).only(g.mask.as_ref(), at),
        Reach::Along(_) if g.mask.is_none() => Adjoint::of(d),
        Reach::Along(axes) => {
            let (shape, named) = (d.0.shape.clone(), AxesArg { keep: true, ..axes.clone() });
            let axes = named.resolve(shape.len()).map_err(|f| f.at(OP, at))?;
            let any = |mask: &Expr| match mask.0.shape.len() == shape.len() {
                true => broadcast(&reduce(OP, Fold::of(&logic::logical_or), mask, &named, at), &shape, at),
                false => restored(mask, &shape, &axes, at),
            };
            let mask = g.mask.as_ref().map(any);
            Adjoint::of(d).only(mask.as_ref(), at)
        }
        Reach::Picked(picks) => {
            let mask = picks(g.mask.as_ref(), at)?;
            Adjoint { value: d, is_clean: mask.is_some(), mask }
        }
    })
}

fn reduction(e: &Expr, fold: Fold, axes: &[usize], x: &Expr, g: &Adjoint, at: Loc) -> Option<Adjoint> {
    let shape = &x.0.shape;
    let back = |e: &Expr| restored(e, shape, axes, at);
    let with = |value| Adjoint { value, mask: g.mask.as_ref().map(back), is_clean: false };
    Some(match fold {
        f if f == Fold::of(&arithmetic::add) || f == *SUM_OF_CHAINS => g.moved(back),
        f if f == Fold::of(&arithmetic::maximum) || f == Fold::of(&arithmetic::minimum) => {
            // the elements that equal the maximum or minimum share the derivative equally
            let is_picked = binary(&logic::equal, x, back(e), at);
            let count = sum(&cast(is_picked.clone(), x.0.dtype, at), axes.iter().copied(), at);
            with(back(&binary(&arithmetic::divide, &g.value, count, at))).only(Some(&is_picked), at)
        }
        f if f == Fold::of(&arithmetic::multiply) => with(product(back(&g.value), all_others(x, axes, at), at)),
        f if f == Fold::of(&float::logaddexp) => {
            let share = unary(&float::exp, binary(&arithmetic::subtract, x, back(e), at), at);
            with(product(back(&g.value), share, at))
        }
        f if matches!(f.form, Form::SumOf { gives: OfSquares::Sum, .. }) => {
            let axes = AxesArg { axes: Some(axes.iter().map(|d| *d as isize).collect()), keep: false };
            let scale = squares(x.0.dtype, OfSquares::Scale, f.state.len() == 3);
            let scale = back(&reduce(OP, scale, x, &axes, at));
            // the square of the scale may overflow
            let twice = binary(&arithmetic::multiply, product(back(&g.value), scale.clone(), at), 2.0, at);
            with(product(product(x.clone(), scale, at), twice, at))
        }
        _ => return None,
    })
}

/// Returns whether a fold has few values, so that its derivative is 0 wherever it exists.
fn is_scale(fold: Fold) -> bool {
    matches!(fold.form, Form::SumOf { gives: OfSquares::Scale | OfSquares::Inverse, .. })
}

/// Returns the derivative of a matrix product [.., m, k] × [.., k, n] with respect to the first operand.
fn of_left(g: &Expr, a: &Expr, b: &Expr, at: Loc) -> Expr {
    let ndim = g.0.shape.len();
    if is_shared(a) && ndim > 2 && is_whole(b, g) {
        // All matrices of the batch share `a`, so the derivative is a sum over the batch. The batch axes become a part
        // of the summed axis: this takes one product, instead of one for each matrix and a sum of the results.
        let rows = |e: &Expr, last: usize| {
            let order: Vec<isize> =
                [last].into_iter().chain((0..ndim).filter(|d| *d != last)).map(|d| d as isize).collect();
            let turned = view(OP, e, at, |s| View::permute(s, &order));
            reshape(OP, &turned, &[e.0.shape[last] as isize, -1], at)
        };
        let d = matmul_at(OP, &rows(g, ndim - 2), &transposed(&rows(b, ndim - 2), at), at);
        return reshape(OP, &d, &lengths(&a.0.shape), at);
    }
    matmul_at(OP, g, &transposed(b, at), at)
}

/// Returns the derivative of a matrix product [.., m, k] × [.., k, n] with respect to the second operand.
fn of_right(g: &Expr, a: &Expr, b: &Expr, at: Loc) -> Expr {
    if is_shared(b) && g.0.shape.len() > 2 && is_whole(a, g) {
        let flat = |e: &Expr| reshape(OP, e, &[-1, e.0.shape[e.0.shape.len() - 1] as isize], at);
        let d = matmul_at(OP, &transposed(&flat(a), at), &flat(g), at);
        return reshape(OP, &d, &lengths(&b.0.shape), at);
    }
    matmul_at(OP, &transposed(a, at), g, at)
}

/// Returns whether an operand of a product has one matrix for the whole batch.
fn is_shared(e: &Expr) -> bool {
    e.0.shape[..e.0.shape.len() - 2].iter().all(|n| *n == 1)
}

/// Returns whether an operand of a product has a matrix for each element of the batch, and neither the operand nor the
/// derivative `g` is empty.
fn is_whole(e: &Expr, g: &Expr) -> bool {
    let batch = |e: &Expr| -> Shape { e.0.shape[..e.0.shape.len() - 2].into() };
    batch(e) == batch(g) && !e.0.shape.contains(&0) && !g.0.shape.contains(&0)
}

/// Returns the derivative of `take`: adds each element of `g` to zeros of the shape of `x`, at the position from which
/// `take` read.
fn untaken(x: &Expr, i: &Expr, axis: usize, mode: IndexMode, g: &Expr, at: Loc) -> Expr {
    let mut wanted = lengths(&x.0.shape);
    wanted[axis] = layout::product(&i.0.shape) as isize;
    let (values, flat) = (reshape(OP, g, &wanted, at), reshape(OP, i, &[-1], at));
    let (zeros, axis) = (zeros(x.0.shape.clone(), x, at), axis as isize);
    match mode {
        // the positions are not checked again, because they are checked when the result is computed
        IndexMode::Check | IndexMode::CheckFromStart | IndexMode::Clip => {
            added_at(OP, &zeros, axis, Clip(flat), values, at)
        }
        IndexMode::Wrap => added_at(OP, &zeros, axis, Wrap(flat), values, at),
    }
}
