//! The derivative of each kind of node. Those of elementwise functions, such as `tanh`, are in their rows of the table
//! (`graph/ufunc/float.rs` and its neighbours). A *source* of a node is an expression to which the node's derivative is
//! passed on: an operand of the node, or an operand of its derivative rule.

use super::adjoint::{Adjoint, broadcast, restored, sum, zeros};
use super::formula::{Variables, formula, product};
use super::iota;
use super::view::{cut, transposed};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IndexMode, Shape, View, lengths};
use crate::graph::expr::{Expr, NodeOp, binary, carry, cast, choose, reshape, scan, unary, view};
use crate::graph::ufunc::{Fold, Partial, SUM_OF_CHAINS, Ufunc, arithmetic, float, logic};
use crate::ops::functions::{join, matmul_at};
use crate::ops::index::{Clip, Wrap, untaken_along};
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
    Part(Box<View>, Expr),
}

fn plain(value: Expr) -> To {
    To::Whole(Adjoint { value, mask: None })
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
            // derivatives that are zeros are left out, because adding zeros would cost a kernel
            let is_zero = |d: &Expr| d.0.is_constant() && d.0.number().is_some_and(|s| s.as_f64() == 0.0);
            let list = back(&g.masked(at), at)?.into_iter().enumerate();
            return Ok(list.filter(|(_, d)| !is_zero(d)).map(|(i, d)| (i, plain(d))).collect());
        }
        let args = &e.0.args;
        if let NodeOp::Ufunc(row) = &e.0.op {
            return self.ufunc(row, &g);
        }
        if let (NodeOp::Cast, [x]) = (&e.0.op, &args[..]) {
            return Ok(smallvec![(0, To::Whole(Adjoint { value: cast(g.value, x.0.dtype, at), ..g }))]);
        }
        let g = g.masked(at);
        Ok(match (&e.0.op, &args[..]) {
            (NodeOp::View(v), [_]) => smallvec![(0, To::Part(v.clone(), g))],
            (NodeOp::Reshape, [x]) => smallvec![(0, plain(reshape(OP, &g, &lengths(&x.0.shape), at)))],
            (NodeOp::Reduce(fold, axes), [x]) => {
                let d = reduction(e, *fold, axes, x, &g, at).ok_or_else(|| self.without_derivative(""))?;
                smallvec![(0, plain(d))]
            }
            (NodeOp::Scan { fold, axis }, [x]) => {
                let d = scanned(e, *fold, *axis, x, &g, at).ok_or_else(|| self.without_derivative(""))?;
                smallvec![(0, plain(d?))]
            }
            (NodeOp::Matmul, [a, b]) => {
                let left = (self.is_active)(0).then(|| (0, plain(of_left(&g, a, b, at))));
                let right = (self.is_active)(1).then(|| (1, plain(of_right(&g, a, b, at))));
                left.into_iter().chain(right).collect()
            }
            (NodeOp::Take { axis, mode, along: false, .. }, [i, x]) => {
                smallvec![(1, plain(untaken(x, i, *axis, *mode, &g, at)))]
            }
            (NodeOp::Take { axis, mode, along: true, .. }, [i, x]) => {
                smallvec![(1, plain(untaken_along(x, i, *axis, *mode, &g, at)?))]
            }
            (NodeOp::Concat { axis }, _) => {
                let mut from = 0;
                let part = |x: &Expr| {
                    let begin = from;
                    from += x.0.shape[*axis];
                    plain(cut(&g, *axis, begin, from, at))
                };
                args.iter().map(part).enumerate().collect()
            }
            _ => return Err(self.without_derivative("")),
        })
    }

    /// Builds the derivatives of an elementwise function from the formulas in its row of the ufunc table. The mask of
    /// `g` is also the mask of the results, because each element of the result depends on one element of each operand.
    fn ufunc(&self, row: &'static Ufunc, g: &Adjoint) -> Result<Found> {
        let (e, at, args) = (self.node, self.at, &self.node.0.args);
        let mut found = Found::new();
        if let ([condition, _, _], true) = (&args[..], std::ptr::eq(row, &logic::SELECT)) {
            let condition = broadcast(condition, &e.0.shape, at);
            for (i, condition) in [(1, condition.clone()), (2, unary(&logic::logical_not, &condition, at))] {
                let mask = match &g.mask {
                    Some(mask) => binary(&logic::logical_and, mask, &condition, at),
                    None => condition,
                };
                found.push((i, To::Whole(Adjoint { value: g.value.clone(), mask: Some(mask) })));
            }
            return Ok(found);
        }
        let partials = row.derivative.ok_or_else(|| self.without_derivative(""))?;
        for i in (0..args.len()).filter(|i| (self.is_active)(*i)) {
            match partials.get(i) {
                Some(Partial::Zero) => {}
                Some(Partial::Unknown) | None => {
                    return Err(self.without_derivative(&format!(" with respect to its operand {i}")));
                }
                Some(partial) => {
                    let Some(formula) = formula(*partial) else { continue };
                    let call = Variables { operands: args, result: e, cotangent: &g.value, at };
                    found.push((i, To::Whole(Adjoint { value: call.value(&formula), mask: g.mask.clone() })));
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

fn reduction(e: &Expr, fold: Fold, axes: &[usize], x: &Expr, g: &Expr, at: Loc) -> Option<Expr> {
    let shape = &x.0.shape;
    let back = |e: &Expr| restored(e, shape, axes, at);
    Some(match fold {
        f if f == Fold::of(&arithmetic::add) || f == *SUM_OF_CHAINS => back(g),
        f if f == Fold::of(&arithmetic::maximum) || f == Fold::of(&arithmetic::minimum) => {
            // the elements that equal the maximum or minimum share the derivative equally
            let is_picked = binary(&logic::equal, x, back(e), at);
            let count = sum(&cast(is_picked.clone(), x.0.dtype, at), axes.iter().copied(), at);
            choose(is_picked, back(&binary(&arithmetic::divide, g, count, at)), 0.0, at)
        }
        f if f == Fold::of(&arithmetic::multiply) => product(back(g), all_others(x, axes, at), at),
        f if f == Fold::of(&float::logaddexp) => {
            let share = unary(&float::exp, binary(&arithmetic::subtract, x, back(e), at), at);
            product(back(g), share, at)
        }
        _ => return None,
    })
}

/// Returns, for each element, the product of all other elements along axes. It is the product of the elements before it
/// times the product of the elements after it, so no division by an element, which may be 0, is needed.
fn all_others(x: &Expr, axes: &[usize], at: Loc) -> Expr {
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
        let before = shifted(&scan(Fold::of(&arithmetic::multiply), &rows, kept, at), kept, false, at);
        let reversed = flipped(&rows, kept, at);
        let after =
            shifted(&flipped(&scan(Fold::of(&arithmetic::multiply), &reversed, kept, at), kept, at), kept, true, at);
        let others = reshape(OP, &binary(&arithmetic::multiply, before, after, at), &lengths(&full), at);
        Ok(view(OP, &others, at, |s| View::permute(s, &inverse)))
    })
}

/// Returns the elements in reverse order along an axis.
fn flipped(e: &Expr, axis: usize, at: Loc) -> Expr {
    view(OP, e, at, |s| Ok(View::flip(s, &[axis])))
}

/// Moves the elements along an axis by one position, to the front or to the end. The free position gets the value 1.
fn shifted(e: &Expr, axis: usize, to_front: bool, at: Loc) -> Expr {
    let (n, mut shape) = (e.0.shape[axis], e.0.shape.clone());
    shape[axis] = 1;
    let one = Expr::fill_on(e.0.device, crate::Scalar::Float(1.0), shape, e.0.dtype, at);
    match to_front {
        true => join(OP, vec![cut(e, axis, 1, n, at), one], axis as isize, at),
        false => join(OP, vec![one, cut(e, axis, 0, n - 1, at)], axis as isize, at),
    }
}

fn scanned(e: &Expr, fold: Fold, axis: usize, x: &Expr, g: &Expr, at: Loc) -> Option<Result<Expr>> {
    Some(Ok(match fold {
        f if f == Fold::of(&arithmetic::add) => {
            flipped(&scan(Fold::of(&arithmetic::add), &flipped(g, axis, at), axis, at), axis, at)
        }
        f if f == Fold::of(&arithmetic::multiply) => {
            // The derivative with respect to element j is the product of the elements before j, times the sum, over all
            // k from j on, of g[k] · (the product of the elements after j up to k).
            let sums = recurrence(g, &later(x, axis, 1, at), axis, at);
            binary(&arithmetic::multiply, sums, shifted(e, axis, false, at), at)
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

/// Returns `s` with `s[j] = g[j] + a[j] · s[j + 1]` along an axis and `s[n − 1] = g[n − 1]`. Each step combines
/// elements that are twice as far apart as in the previous step, so log₂ n steps suffice.
fn recurrence(g: &Expr, a: &Expr, axis: usize, at: Loc) -> Expr {
    let shape = &g.0.shape;
    let (n, mut sums, mut factors, mut step) = (shape[axis], g.clone(), a.clone(), 1);
    while step < n {
        // Before this step, `sums[j]` has the terms of the result s[j] that come from g[j] up to g[j + step − 1].
        // `factors[j]` is the factor of s[j + step] in s[j].
        let has_more = binary(&logic::less, iota(axis, shape, at), n - step, at);
        let next = |e: &Expr| later(e, axis, step, at);
        let added = binary(&arithmetic::multiply, &factors, next(&sums), at);
        let sum = binary(&arithmetic::add, &sums, choose(&has_more, added, 0.0, at), at);
        factors = choose(has_more, binary(&arithmetic::multiply, &factors, next(&factors), at), 0.0, at);
        sums = sum;
        step *= 2;
    }
    sums
}

/// Returns the elements `step` positions later along an axis. Positions after the end get the last element. A gather
/// reads the elements, so that `e` is stored in memory and not computed again for each step of a recurrence.
fn later(e: &Expr, axis: usize, step: usize, at: Loc) -> Expr {
    let place = binary(&arithmetic::add, iota(0, &smallvec![e.0.shape[axis]], at), step, at);
    let take = NodeOp::Take { axis, mode: IndexMode::Clip, along: false, name: OP };
    Expr::node(take, smallvec![place, e.clone()], e.0.shape.clone(), e.0.dtype, e.0.device, at)
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
        IndexMode::Check | IndexMode::CheckFromStart | IndexMode::Clip => zeros.index_add(axis, Clip(flat), values),
        IndexMode::Wrap => zeros.index_add(axis, Wrap(flat), values),
    }
}
