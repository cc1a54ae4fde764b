//! The derivative of each kind of node.

use super::formula::{Call, product};
use super::reverse::{Adjoint, Walk, broadcast, restored, zeros_like};
use super::view::{cut, transposed};
use super::{iota, lengths};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, Combine, IndexMode, Shape, View};
use crate::graph::expr::{Expr, NodeOp, carry, cast, reduce, reshape, scan, view};
use crate::graph::ufunc::{Fold, Partial, SUM_OF_CHAINS, Ufunc, arithmetic, float, logic};
use crate::ops::functions::{binary, choose, join, matmul_at, unary};
use crate::ops::index::flat_along;
use smallvec::{SmallVec, smallvec};

const OP: &str = "grad";

/// Returns the sum along axes, which may be none.
pub(super) fn sum(e: &Expr, axes: impl Iterator<Item = usize>, at: Loc) -> Expr {
    let axes: SmallVec<[isize; 6]> = axes.map(|d| d as isize).collect();
    match axes.is_empty() {
        true => e.clone(),
        false => reduce(OP, Fold::of(&arithmetic::add), e, &AxesArg { axes: Some(axes), keep: false }, at),
    }
}

/// Adds the derivatives with respect to the sources of a node, from that with respect to the node.
pub(super) fn back(walk: &mut Walk, e: &Expr, g: Adjoint) -> Result<()> {
    let at = walk.at;
    if let Some(rule) = e.0.rule.clone() {
        let Some(back) = &rule.back else { return Ok(()) };
        for (operand, d) in rule.operands.iter().zip(back(&g.masked(at), at)?) {
            walk.add_plain(operand, d);
        }
        return Ok(());
    }
    let args = &e.0.args;
    match (&e.0.op, &args[..]) {
        (NodeOp::Ufunc(row), _) => ufunc(walk, e, row, &g)?,
        (NodeOp::Cast, [x]) => walk.add(x, Adjoint { value: cast(g.value, x.0.dtype, at), ..g }),
        (NodeOp::View(v), [x]) => walk.add_part(x, v, g.masked(at)),
        (NodeOp::Reshape, [x]) => walk.add_plain(x, reshape(OP, &g.masked(at), &lengths(&x.0.shape), at)),
        (NodeOp::Reduce(fold, axes), [x]) => {
            let g = g.masked(at);
            let d = reduction(e, *fold, axes, x, &g, at)
                .ok_or_else(|| walk.without_derivative(e, " as a fold of your own"))?;
            walk.add_plain(x, d);
        }
        (NodeOp::Scan { fold, axis }, [x]) => {
            let g = g.masked(at);
            let d = scanned(e, *fold, *axis, x, &g, at).ok_or_else(|| walk.without_derivative(e, ""))?;
            walk.add_plain(x, d);
        }
        (NodeOp::Matmul, [a, b]) => {
            let g = g.masked(at);
            if walk.is_active(a) {
                walk.add_plain(a, of_left(&g, a, b, at));
            }
            if walk.is_active(b) {
                walk.add_plain(b, of_right(&g, a, b, at));
            }
        }
        (NodeOp::Take { axis, mode, along: false, .. }, [i, x]) => {
            let g = g.masked(at);
            walk.add_plain(x, untaken(x, i, *axis, *mode, &g, at));
        }
        (NodeOp::Take { axis, mode, along: true, .. }, [i, x]) => {
            let g = g.masked(at);
            walk.add_plain(x, untaken_along(x, i, *axis, *mode, &g, at)?);
        }
        (NodeOp::Concat { axis }, _) => {
            let (g, mut from) = (g.masked(at), 0);
            for x in args {
                let to = from + x.0.shape[*axis];
                walk.add_plain(x, cut(&g, *axis, from, to, at));
                from = to;
            }
        }
        (NodeOp::Scatter { axis, mode, combine: Combine::Set, name }, [x, i, values, ..]) => {
            // the positions differ, or a composite states its own rule
            let g = g.masked(at);
            let take = NodeOp::Take { axis: *axis, mode: *mode, along: false, name };
            let taken = |from: Expr| {
                let (dtype, device) = (from.0.dtype, e.0.device);
                Expr::node(take.clone(), smallvec![i.clone(), from], values.0.shape.clone(), dtype, device, at)
            };
            let scatter = NodeOp::Scatter { axis: *axis, mode: *mode, combine: Combine::Set, name };
            let mut with_zeros = args.clone();
            with_zeros[0] = g.clone();
            with_zeros[2] = zeros_like(values, at);
            walk.add_plain(x, Expr::node(scatter, with_zeros, e.0.shape.clone(), e.0.dtype, e.0.device, at));
            let d = match args.get(3) {
                Some(is_written) => {
                    let mut ones: Shape = smallvec![1; values.0.shape.len()];
                    ones[*axis] = values.0.shape[*axis];
                    choose(reshape(OP, is_written, &lengths(&ones), at), taken(g), 0.0, at)
                }
                None => taken(g),
            };
            walk.add_plain(values, d);
        }
        _ => return Err(walk.without_derivative(e, "")),
    }
    Ok(())
}

/// An elementwise function: by the formulas of its row. The mask passes through it, because each element of the result
/// depends on one element of each operand.
fn ufunc(walk: &mut Walk, e: &Expr, row: &'static Ufunc, g: &Adjoint) -> Result<()> {
    let (at, args) = (walk.at, &e.0.args);
    if std::ptr::eq(row, &logic::SELECT) {
        let [condition, a, b] = &args[..] else { return Err(walk.without_derivative(e, "")) };
        let condition = broadcast(condition, &e.0.shape, at);
        for (branch, condition) in [(a, condition.clone()), (b, unary(&logic::logical_not, &condition, at))] {
            if walk.is_active(branch) {
                let mask = match &g.mask {
                    Some(mask) => binary(&logic::logical_and, mask, &condition, at),
                    None => condition,
                };
                walk.add(branch, Adjoint { value: g.value.clone(), mask: Some(mask) });
            }
        }
        return Ok(());
    }
    let partials = row.derivative.ok_or_else(|| walk.without_derivative(e, ""))?;
    for (i, x) in args.iter().enumerate().filter(|(_, x)| walk.is_active(x)).collect::<Vec<_>>() {
        match partials.get(i) {
            Some(Partial::Zero) => {}
            Some(Partial::Unknown) | None => {
                return Err(walk.without_derivative(e, &format!(" with respect to its operand {i}")));
            }
            Some(partial) => {
                let Some(formula) = partial.formula() else { continue };
                let call = Call { operands: args, result: e, cotangent: &g.value, at };
                walk.add(x, Adjoint { value: call.value(&formula), mask: g.mask.clone() });
            }
        }
    }
    Ok(())
}

fn reduction(e: &Expr, fold: Fold, axes: &[usize], x: &Expr, g: &Expr, at: Loc) -> Option<Expr> {
    let shape = &x.0.shape;
    let back = |e: &Expr| restored(e, shape, axes, at);
    Some(match fold {
        f if f == Fold::of(&arithmetic::add) || f == *SUM_OF_CHAINS => back(g),
        f if f == Fold::of(&arithmetic::maximum) || f == Fold::of(&arithmetic::minimum) => {
            // equal elements share the derivative
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

/// For each element, the product of all other elements along axes: the product of those before it times that of those
/// after it. Unlike a quotient, this is exact if an element is 0.
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

pub(super) fn flipped(e: &Expr, axis: usize, at: Loc) -> Expr {
    view(OP, e, at, |s| Ok(View::flip(s, &[axis])))
}

/// Returns the elements along an axis moved by one position, to the end or to the front, with 1 in the free position.
fn shifted(e: &Expr, axis: usize, to_front: bool, at: Loc) -> Expr {
    let (n, mut shape) = (e.0.shape[axis], e.0.shape.clone());
    shape[axis] = 1;
    let one = Expr::fill_on(e.0.device, crate::Scalar::Float(1.0), shape, e.0.dtype, at);
    match to_front {
        true => join(OP, vec![cut(e, axis, 1, n, at), one], axis as isize, at),
        false => join(OP, vec![one, cut(e, axis, 0, n - 1, at)], axis as isize, at),
    }
}

fn scanned(e: &Expr, fold: Fold, axis: usize, x: &Expr, g: &Expr, at: Loc) -> Option<Expr> {
    let n = x.0.shape[axis];
    Some(match fold {
        f if f == Fold::of(&arithmetic::add) => {
            flipped(&scan(Fold::of(&arithmetic::add), &flipped(g, axis, at), axis, at), axis, at)
        }
        f if f == Fold::of(&arithmetic::multiply) => {
            // with respect to element j: the product of those before it, times the sum over k of g[k] and the product
            // of those after it up to k
            let sums = recurrence(g.clone(), cut(x, axis, 1, n, at), axis, at);
            binary(&arithmetic::multiply, sums, shifted(e, axis, false, at), at)
        }
        f if f == Fold::of(&float::logaddexp) => {
            // results never decrease, so the factors from one to the one before are at most 1
            let ratio = |a: &Expr, b: &Expr| {
                let same = binary(&logic::equal, a, b, at);
                choose(same, 1.0, unary(&float::exp, binary(&arithmetic::subtract, a, b, at), at), at)
            };
            let factors = ratio(&cut(e, axis, 0, n - 1, at), &cut(e, axis, 1, n, at));
            binary(&arithmetic::multiply, recurrence(g.clone(), factors, axis, at), ratio(x, e), at)
        }
        f if f == Fold::of(&arithmetic::maximum) || f == Fold::of(&arithmetic::minimum) => {
            // each result is the last element so far that equals it
            let place = iota(axis, &x.0.shape, at);
            let is_new = binary(&logic::equal, x, e, at);
            let picked = scan(Fold::of(&arithmetic::maximum), &choose(is_new, place, 0, at), axis, at);
            untaken_along(x, &picked, axis, IndexMode::Clip, g, at).unwrap_or_else(|e| Expr::failed(e, at))
        }
        _ => return None,
    })
}

/// Returns s, where s[j] = g[j] + a[j] · s[j + 1] along an axis, and s[n − 1] = g[n − 1]. Steps of doubled length
/// combine, so there are log₂ n of them.
fn recurrence(g: Expr, a: Expr, axis: usize, at: Loc) -> Expr {
    let (n, mut sums, mut factors, mut step) = (g.0.shape[axis], g, a, 1);
    while step < n {
        // element j has the sum up to j + step, and factor j leads from there to j
        let added = binary(&arithmetic::multiply, &factors, cut(&sums, axis, step, n, at), at);
        let front = binary(&arithmetic::add, cut(&sums, axis, 0, n - step, at), added, at);
        sums = join(OP, vec![front, cut(&sums, axis, n - step, n, at)], axis as isize, at);
        if 2 * step < n {
            let further = cut(&factors, axis, step, n - step, at);
            factors = binary(&arithmetic::multiply, cut(&factors, axis, 0, n - 2 * step, at), further, at);
        }
        step *= 2;
    }
    sums
}

/// The derivative of a product [.., m, k] × [.., k, n] with respect to the first operand.
fn of_left(g: &Expr, a: &Expr, b: &Expr, at: Loc) -> Expr {
    let ndim = g.0.shape.len();
    if is_shared(a) && ndim > 2 && is_whole(b, g) {
        // the batch becomes a part of the summed axis: one product, instead of a sum of a batch of products
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

/// The derivative of a product with respect to the second operand.
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

/// Returns whether an operand of a product has a matrix for each element of the batch, and none is empty.
fn is_whole(e: &Expr, g: &Expr) -> bool {
    let batch = |e: &Expr| -> Shape { e.0.shape[..e.0.shape.len() - 2].into() };
    batch(e) == batch(g) && !e.0.shape.contains(&0) && !g.0.shape.contains(&0)
}

/// The derivative of `take`: adds each element at its position.
fn untaken(x: &Expr, i: &Expr, axis: usize, mode: IndexMode, g: &Expr, at: Loc) -> Expr {
    let mut wanted = lengths(&x.0.shape);
    wanted[axis] = layout::product(&i.0.shape) as isize;
    let (values, flat) = (reshape(OP, g, &wanted, at), reshape(OP, i, &[-1], at));
    let (zeros, axis) = (zeros_like(x, at), axis as isize);
    match mode {
        // the positions were checked when the result was computed
        IndexMode::Check | IndexMode::Clip => zeros.index_add_clip(axis, flat, values),
        IndexMode::Wrap => zeros.index_add_wrap(axis, flat, values),
    }
}

/// The derivative of `take_along_axis`: adds each element at its position along an axis.
pub(super) fn untaken_along(x: &Expr, i: &Expr, axis: usize, mode: IndexMode, g: &Expr, at: Loc) -> Result<Expr> {
    let shape = &x.0.shape;
    let n = shape[axis];
    if shape.contains(&0) || i.0.shape.contains(&0) {
        return Ok(zeros_like(x, at));
    }
    let place = match mode {
        IndexMode::Check => i.clone(),
        IndexMode::Clip => i.clip(0, n - 1),
        IndexMode::Wrap => binary(&arithmetic::remainder, i, n, at),
    };
    let place = cast(place, DType::I32, at);
    if i.0.shape[axis] == 1 {
        // one position in each row: a choice, which fuses with what reads it
        let is_there = binary(&logic::equal, iota(axis, shape, at), broadcast(&place, shape, at), at);
        return Ok(choose(is_there, broadcast(g, shape, at), 0.0, at));
    }
    let size = layout::product(shape);
    if size > i32::MAX as usize {
        let detail = format!("an array of {size} elements, whose positions must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, OP, detail, at));
    }
    let flat = flat_along(place, axis, shape, &i.0.shape, at);
    let zeros = reshape(OP, &zeros_like(x, at), &[-1], at);
    let sums = zeros.index_add_clip(0, reshape(OP, &flat, &[-1], at), reshape(OP, g, &[-1], at));
    Ok(reshape(OP, &sums, &lengths(shape), at))
}
