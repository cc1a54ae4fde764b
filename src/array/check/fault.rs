//! Finds the elements at which a single graph node's result has a fault (a NaN, an infinity or an integer overflow)
//! although the node's operands have none.

use super::{Numbers, call, has_any};
use crate::array::check::Check;
use crate::base::dtype::{Compute, DType, Scalar};
use crate::base::layout::{AxesArg, product};
use crate::base::shared::Shared;
use crate::graph::expr::{Args, Expr, Node, NodeOp, cast, reduce, scan};
use crate::graph::ufunc::{Class, Ufunc, arithmetic, logic};
use smallvec::smallvec;

/// Returns which elements of a node's result have a fault (a NaN, an infinity or an overflow) although no operand
/// element that they depend on has one. Returns `None` if that cannot happen. Some library functions consist of several
/// inner nodes; `before` maps these to the elements that depend on a fault in the function's operands.
pub(super) fn of(node: &Expr, check: Check, before: Option<&Numbers>) -> Option<Expr> {
    if product(&node.0.shape) == 0 || !computes(node) {
        return None;
    }
    match check {
        Check::Nan | Check::Inf => appears(node, check, before?),
        Check::Overflow if node.0.wraps => None,
        Check::Overflow => overflows(node),
    }
}

/// Returns whether a node computes new numbers, instead of moving its operands' numbers or returning a constant.
fn computes(node: &Expr) -> bool {
    let op = &node.0.op;
    let is_made_of_several =
        matches!(op, NodeOp::Reduce(..) | NodeOp::Scan { .. } | NodeOp::Scatter { .. } | NodeOp::Routine { .. });
    is_made_of_several
        || matches!(op, NodeOp::Cast | NodeOp::Matmul)
        || matches!(op, NodeOp::Ufunc(row) if row.class != Class::Select)
}

/// Returns the function that tests a float for a kind of fault, or `None` if the fault concerns integers.
fn test_for(check: Check) -> Option<&'static Ufunc> {
    match check {
        Check::Nan => Some(&logic::isnan),
        Check::Inf => Some(&logic::isinf),
        Check::Overflow => None,
    }
}

/// Returns which elements of an operand are NaN or infinite (`check` selects which), as bool. For an inner node of a
/// library function, returns instead which elements depend on a fault in the function's operands, as i32. Returns
/// `None` if no element can have a fault.
pub(super) fn of_operand(operand: &Expr, check: Check, before: &Numbers) -> Option<Expr> {
    if operand.0.inner {
        return before.get(&Shared::as_ptr(&operand.0)).cloned();
    }
    let may_have_one = operand.0.dtype.is_float() && product(&operand.0.shape) > 0;
    may_have_one.then(|| Some(call(test_for(check)?, [operand.clone()]))).flatten()
}

/// Returns which elements of a node's result are NaN or infinite (`check` selects which) although no operand element
/// that they depend on is NaN or infinite.
fn appears(node: &Expr, check: Check, before: &Numbers) -> Option<Expr> {
    if !node.0.dtype.is_float() {
        return None;
    }
    let mut appears = call(test_for(check)?, [node.clone()]);
    for (n, operand) in node.0.args.iter().enumerate() {
        let Some(faults) = of_operand(operand, check, before) else { continue };
        let alone = call(&logic::logical_not, [has_any(node, n, faults)]);
        appears = mutant!(faults_of_operands_count, appears, call(&logic::logical_and, [appears, alone]));
    }
    Some(appears)
}

/// Returns which integer results differ from exact integer arithmetic, because they have wrapped or because a
/// conversion has saturated or truncated. The operation is repeated in f32, with a relative error of about 2^-24 per
/// step. A wrapped integer is off by a multiple of the type's range. So a result has wrapped if it differs from the f32
/// result by more than half of the range.
fn overflows(node: &Expr) -> Option<Expr> {
    let Node { op, args, dtype, shape, device, location: at, .. } = &*node.0;
    if !dtype.is_integer() {
        return None;
    }
    let wide = || -> Args { args.iter().map(|a| cast(a.clone(), DType::F32, at)).collect() };
    let wraps = |row: &Ufunc| !row.properties.keeps_range && row.on_cpu(Compute::F32);
    let exact = if matches!(op, NodeOp::Cast) {
        return Some(is_cut(node));
    } else if matches!(op, NodeOp::Matmul) || matches!(op, NodeOp::Ufunc(row) if wraps(row)) {
        Expr::node(op.clone(), wide(), shape.clone(), DType::F32, *device, at)
    } else if let NodeOp::Reduce(fold, axes) = op
        && fold.function().is_some_and(wraps)
    {
        let axes = Some(axes.iter().map(|d| *d as isize).collect());
        reduce("check", *fold, &wide()[0], &AxesArg { axes, keep: false }, at)
    } else if let NodeOp::Scan { fold, axis } = op
        && fold.function().is_some_and(wraps)
    {
        scan(*fold, &wide()[0], *axis, at)
    } else {
        return None;
    };
    let number = |x: f64, dtype| Expr::fill(Scalar::Float(x), smallvec![], dtype, at);
    let half_of_the_range =
        number((dtype.size() as f64 * 8.0 - mutant!(overflow_beyond_the_whole_range, -1.0, 1.0)).exp2(), DType::F32);
    let difference = call(&arithmetic::subtract, [exact.clone(), cast(node.clone(), DType::F32, at)]);
    let mut wrapped = call(&logic::greater, [call(&arithmetic::abs, [difference]), half_of_the_range]);
    if let (NodeOp::Ufunc(_), [_, _]) = (op, &args[..]) {
        // In integer arithmetic, a quotient by 0 and 0 to a negative power are defined as 0. In f32 they are infinite,
        // but they are not overflows.
        let is_zero = |operand: &Expr| {
            let zero = Expr::fill(Scalar::Int(0), smallvec![], operand.0.dtype, at);
            call(&logic::equal, [operand.clone(), zero])
        };
        let has_zero = call(&logic::logical_or, [is_zero(&args[0]), is_zero(&args[1])]);
        let by_rule = call(&logic::logical_and, [call(&logic::isinf, [exact]), has_zero]);
        wrapped = call(&logic::logical_and, [wrapped, call(&logic::logical_not, [by_rule])]);
    }
    Some(wrapped)
}

/// Returns which elements a conversion to an integer type changes by more than dropping the fraction, for example by
/// saturating.
fn is_cut(node: &Expr) -> Expr {
    let Node { args, dtype, location: at, .. } = &*node.0;
    let from = &args[0];
    if !from.0.dtype.is_float() {
        // an integer keeps its value if converting it back gives the same integer and its sign stays the same
        let back = cast(node.clone(), from.0.dtype, at);
        let differs = call(&logic::not_equal, [back, from.clone()]);
        let signs = [node, from].map(|e| call(&logic::signbit, [e.clone()]));
        return call(&logic::logical_or, [differs, call(&logic::logical_xor, signs)]);
    }
    // f16 cannot represent the bounds of most integer types, so compare in f32 or f64
    let wide = if from.0.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let whole = call(&arithmetic::trunc, [cast(from.clone(), wide, at)]);
    let bits = dtype.size() as f64 * 8.0;
    let [low, high] = match dtype.is_signed_integer() {
        true => [-(bits - 1.0).exp2(), (bits - 1.0).exp2()],
        false => [0.0, bits.exp2()],
    };
    let bound = |x: f64| Expr::fill(Scalar::Float(x), smallvec![], wide, at);
    let reaches = call(&logic::greater_equal, [whole.clone(), bound(low)]);
    let fits = call(&logic::logical_and, [reaches, call(&logic::less, [whole, bound(high)])]);
    call(&logic::logical_not, [fits])
}
