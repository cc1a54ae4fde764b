//! Finds the operands of a derivative among the nodes of a graph.
//!
//! A view of a stored array is itself a stored array with another layout, so the node of `w.t()` does not have the node
//! of `w` as an operand. Two stored arrays are related if they are in the same buffer. Their strides then tell which
//! view of the operand the node is.

use crate::base::layout::{self, Shape, Strides, View};
use crate::base::shared::Shared;
use crate::graph::expr::{Expr, Node, NodeOp};
use crate::plan::KeyHasher;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// How a node is related to an operand.
pub(super) enum Relation {
    /// The node is the operand.
    Same,
    /// The node is this view of the operand.
    View(View),
    /// The node is this view of the operand's elements in C order.
    Flat(View),
    /// The node shares elements with the operand, but is not a view of it.
    Overlaps,
}

/// The layout of an array in its buffer: the shape, the strides, and the offset of the first element.
type StoredLayout<'a> = (&'a Shape, &'a Strides, usize);

/// The operands of a derivative. `by_node` finds an operand by the identity of its node, and `by_array` by the array
/// whose memory it shares.
pub(super) struct OperandSet<'a> {
    pub of: &'a [&'a Expr],
    by_node: HashMap<*const Node, Vec<usize>, BuildHasherDefault<KeyHasher>>,
    by_array: HashMap<u64, Vec<usize>, BuildHasherDefault<KeyHasher>>,
}

impl<'a> OperandSet<'a> {
    pub fn of(of: &'a [&'a Expr]) -> OperandSet<'a> {
        let mut operands = OperandSet { of, by_node: HashMap::default(), by_array: HashMap::default() };
        for (i, e) in of.iter().enumerate() {
            match e.0.stored() {
                Some((buffer, ..)) => operands.by_array.entry(buffer.hash_of_array()).or_default().push(i),
                None => operands.by_node.entry(Shared::as_ptr(&e.0)).or_default().push(i),
            }
        }
        operands
    }

    /// Makes a set of the operands `of` in which only an operand's own node is related to the operand. So views of a
    /// stored operand are not found.
    pub fn exactly(of: &'a [&'a Expr]) -> OperandSet<'a> {
        let mut operands = OperandSet { of, by_node: HashMap::default(), by_array: HashMap::default() };
        for (i, e) in of.iter().enumerate() {
            operands.by_node.entry(Shared::as_ptr(&e.0)).or_default().push(i);
        }
        operands
    }

    /// Finds the operands of the derivative to which `node` is related. Returns for each its index in `of`, and how
    /// `node` is related to it.
    pub fn related(&self, node: &Expr) -> Vec<(usize, Relation)> {
        let list = match node.0.stored() {
            Some((buffer, ..)) if !self.by_array.is_empty() => self.by_array.get(&buffer.hash_of_array()),
            _ => self.by_node.get(&Shared::as_ptr(&node.0)),
        };
        let Some(list) = list else { return vec![] };
        list.iter().filter_map(|i| Some((*i, relation(node, self.of[*i])?))).collect()
    }
}

/// Returns how a node is related to an operand, or `None` if they are not related.
fn relation(node: &Expr, operand: &Expr) -> Option<Relation> {
    if Shared::ptr_eq(&node.0, &operand.0) {
        return Some(Relation::Same);
    }
    // A stored array with a derivative rule, such as the result of `stop_gradient`, is not related to other arrays by
    // its memory, because derivatives pass through the rule.
    let has_rule = node.0.rule.is_some() || operand.0.rule.is_some();
    let ((a, strides, offset), (b, whole, begin)) = (node.0.stored()?, operand.0.stored()?);
    if has_rule || !a.is_of_one_array(b) || node.0.dtype != operand.0.dtype {
        return None;
    }
    let (is, from) = ((&node.0.shape, strides, offset), (&operand.0.shape, whole, begin));
    if is == from {
        return Some(Relation::Same);
    }
    if let Some(v) = between(from, is) {
        return Some(Relation::View(v));
    }
    if layout::is_c_contiguous(from.0, whole) {
        let flat: Shape = smallvec![layout::product(from.0)];
        if let Some(v) = between((&flat, &smallvec![1], begin), is) {
            return Some(Relation::Flat(v));
        }
    }
    (!are_disjoint(from, is)).then_some(Relation::Overlaps)
}

/// Returns why an expression cannot be an operand of a derivative, or `None` if it can.
pub(super) fn refusal(operand: &Expr) -> Option<&'static str> {
    let n = &operand.0;
    if n.rule.is_some() {
        return None;
    }
    // A view node cannot be an operand of a derivative. A further view of this view is built directly as a view of the
    // node's operand, so derivatives would not pass through the node.
    if matches!(n.op, NodeOp::View(_) | NodeOp::Reshape) {
        return Some(
            "is a view of an expression, and is not found below further views of it; name the expression that it is a view of, or make the view an expression of its own by `view.positive()`",
        );
    }
    if n.is_constant() {
        return Some(
            "is a fill that is not computed yet (such as `zeros` or `full`), so it is a number and not an array; evaluate it first",
        );
    }
    let overlaps = n.layout().is_some_and(|l| l.may_overlap_itself());
    overlaps.then_some(
        "has elements that share memory, as those of a broadcast or of windows do; name the array that it is a view of",
    )
}

/// Describes the array `is` as a view of the array `of`, which is in the same buffer. Returns `None` if it is not a
/// view.
fn between(of: StoredLayout, is: StoredLayout) -> Option<View> {
    let (n, m) = (is.0.len(), of.0.len());
    // A distance in the buffer is converted to indices along the axes of `of`, like a number to its digits: each
    // stride, from the largest to the smallest, divides the remainder that the larger strides leave.
    let long = of.0.iter().enumerate().filter(|(_, n)| **n > 1);
    let mut axes: SmallVec<[usize; 6]> = long.map(|(d, _)| d).collect();
    axes.sort_by_key(|d| std::cmp::Reverse(of.1[*d].unsigned_abs()));
    let digits = |mut x: isize, set: &mut dyn FnMut(usize, isize)| -> bool {
        for d in &axes {
            let Some(q) = x.checked_div(of.1[*d]) else { return false };
            set(*d, q);
            x -= q * of.1[*d];
        }
        x == 0
    };
    let zeros = |n: usize| (0..n).map(|_| 0isize);
    let mut v = View { shape: is.0.clone(), offset: zeros(m).collect(), coef: zeros(m * n).collect() };
    let difference = isize::try_from(is.2).ok()? - isize::try_from(of.2).ok()?;
    let offset = &mut v.offset;
    if !digits(difference, &mut |d, q| offset[d] = q) {
        return None;
    }
    for k in (0..n).filter(|k| is.0[*k] > 1) {
        let coef = &mut v.coef;
        if !digits(is.1[k], &mut |d, q| coef[d * n + k] = q) {
            return None;
        }
    }
    // each index of the view must be an index of the array
    for d in 0..m {
        let length = isize::try_from(of.0[d]).ok()?;
        if let Some((low, high)) = layout::span_of(is.0, &v.coef[d * n..][..n])
            && (v.offset[d] + low < 0 || v.offset[d] + high >= length)
        {
            return None;
        }
    }
    Some(v)
}

/// Returns whether two arrays in one buffer certainly have no element in common.
fn are_disjoint(a: StoredLayout, b: StoredLayout) -> bool {
    let span = |p: StoredLayout| layout::span_of(p.0, p.1).map(|(low, high)| (low + p.2 as isize, high + p.2 as isize));
    // a span is the first and the last offset in the buffer that an array uses; an empty array has none
    let (Some((low_a, high_a)), Some((low_b, high_b))) = (span(a), span(b)) else { return true };
    if high_a < low_b || high_b < low_a {
        return true;
    }
    // Each element's offset in the buffer is written as a number whose digits count the strides of both arrays, largest
    // first. An array then has a range of values for each digit. Arrays whose ranges for one digit do not overlap are
    // disjoint, provided that the smaller digits never carry into a larger one.
    let steps = |p: StoredLayout| -> Vec<isize> {
        p.0.iter().zip(p.1).filter(|(n, s)| **n > 1 && **s != 0).map(|(_, s)| s.abs()).collect()
    };
    let mut places: Vec<isize> = steps(a).into_iter().chain(steps(b)).collect();
    places.push(1);
    places.sort_unstable_by(|x, y| y.cmp(x));
    places.dedup();
    let first = low_a.min(low_b);
    let digits = |p: StoredLayout, low: isize| -> Vec<(isize, isize)> {
        let mut rest = low - first;
        places
            .iter()
            .map(|step| {
                let digit = rest / step;
                rest -= digit * step;
                let length: isize = (p.0.iter().zip(p.1).filter(|(n, s)| **n > 1 && s.abs() == *step))
                    .map(|(n, _)| *n as isize - 1)
                    .sum();
                (digit, digit + length)
            })
            .collect()
    };
    let (da, db) = (digits(a, low_a), digits(b, low_b));
    let mut below = 0isize;
    for (i, step) in places.iter().enumerate().rev() {
        if below >= *step {
            return false;
        }
        below = below.saturating_add(step.saturating_mul(da[i].1.max(db[i].1)));
    }
    da.iter().zip(&db).any(|(x, y)| x.1 < y.0 || y.1 < x.0)
}
