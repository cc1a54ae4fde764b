//! Restricts an expression to a part of an axis. For each kind of node, a rule says how a part of its elements is
//! computed from parts of its operands. With these rules, a result that exceeds memory can be computed part by part,
//! with the same bits as if it were computed whole.
//!
//! A node without a rule for the axis, such as a scan or a sort along it, is computed whole. An operand that every part
//! needs completely, such as the mean of a column, is also computed whole. Such nodes and operands are evaluated once,
//! before the parts.

use super::{Args, Expr, NodeOp, Role, reshape, view};
use crate::base::layout::{self, View, lengths};
use crate::base::shared::Shared;
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, HashSet};

/// The indices `from..to` along an axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Part {
    pub axis: usize,
    pub from: usize,
    pub to: usize,
}

impl Part {
    fn length(self) -> usize {
        self.to - self.from
    }

    /// Returns a part of at least two indices that contains this one. The order of a sum depends on how its operand is
    /// stored, and the order of storage ignores axes of length 1. A part of one index could therefore change the bits
    /// of a sum.
    fn wide(self, length: usize) -> Part {
        match mutant!(rows_alone, false, self.length() < 2 && length > 1) {
            true if self.to < length => Part { to: self.to + 1, ..self },
            true => Part { from: self.from - 1, ..self },
            false => self,
        }
    }

    /// Returns this part of a node as a view of `e`. Along the part's axis, the first index of `e` stands for the index
    /// `begin` of the node.
    fn of(self, e: &Expr, begin: usize) -> Expr {
        let make = |shape: &[usize]| {
            let mut v = View::identity(shape);
            v.shape[self.axis] = self.length();
            v.offset[self.axis] = (self.from - begin) as isize;
            Ok(v)
        };
        view("slice", e, e.0.location, make)
    }
}

/// What a part of a node needs of an operand: nothing, the whole operand, or a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Nothing,
    Whole,
    Part(Part),
}

/// The identity of a node: its address.
fn id(e: &Expr) -> usize {
    Shared::as_ptr(&e.0).addr()
}

/// Returns whether a part of a node is a view that costs nothing. If so, the node's operands need not be examined.
fn is_leaf(e: &Expr) -> bool {
    match e.0.op.role() {
        Role::Memory | Role::Constant | Role::Generator => true,
        Role::Elementwise | Role::View | Role::Gather | Role::Reduction | Role::Scan | Role::Product | Role::Whole => {
            false
        }
    }
}

/// Returns what a part of a node needs of each operand, or `None` if the node must be computed whole along the part's
/// axis.
fn needs(e: &Expr, p: Part) -> Option<SmallVec<[Need; 3]>> {
    let n = &*e.0;
    let along = |axis: usize| Need::Part(Part { axis, ..p });
    // operands broadcast, with their last axes aligned
    let aligned = |a: &Expr| {
        let axis = (p.axis + a.0.shape.len()).checked_sub(n.shape.len());
        let axis = axis.filter(|axis| a.0.shape[*axis] == n.shape[p.axis]);
        axis.map_or(Need::Whole, along)
    };
    Some(match &n.op {
        NodeOp::Ufunc(_) | NodeOp::Cast => n.args.iter().map(aligned).collect(),
        NodeOp::View(v) => smallvec![of_view(v, p, &n.args[0].0.shape)],
        NodeOp::Reshape => smallvec![of_reshape(e, p)?],
        NodeOp::Reduce(_, axes) => {
            let kept = (0..n.args[0].0.shape.len()).filter(|d| !axes.contains(d)).nth(p.axis)?;
            smallvec![along(kept)]
        }
        NodeOp::Scan { axis, .. } if *axis != p.axis => smallvec![Need::Part(p)],
        NodeOp::Matmul => {
            // only the left operand has the axis of the product's rows, and only the right operand has the axis of its
            // columns
            let owner = n.shape.len() - p.axis;
            let need = |(i, a): (usize, &Expr)| if owner + i == 2 || owner > 2 { aligned(a) } else { Need::Whole };
            n.args.iter().enumerate().map(need).collect()
        }
        NodeOp::Take { axis, along: true, .. } => {
            smallvec![Need::Part(p), if *axis == p.axis { Need::Whole } else { Need::Part(p) }]
        }
        NodeOp::Take { axis, along: false, .. } => {
            let positions = n.args[0].0.shape.len();
            match p.axis.checked_sub(*axis) {
                None => smallvec![Need::Whole, Need::Part(p)],
                Some(d) if d < positions => smallvec![along(d), Need::Whole],
                Some(d) => smallvec![Need::Whole, along(axis + 1 + d - positions)],
            }
        }
        NodeOp::Concat { axis } if *axis != p.axis => n.args.iter().map(|_| Need::Part(p)).collect(),
        NodeOp::Concat { .. } => {
            let mut begin = 0;
            let need = |a: &Expr| {
                let end = begin + a.0.shape[p.axis];
                let (from, to) = (p.from.max(begin), p.to.min(end));
                let part = Part { axis: p.axis, from: from.saturating_sub(begin), to: to.saturating_sub(begin) };
                begin = end;
                if from < to { Need::Part(part) } else { Need::Nothing }
            };
            n.args.iter().map(need).collect()
        }
        NodeOp::Scatter { axis, .. } if *axis != p.axis => {
            // operands 0 and 2 (the array and the values) have the axis; operands 1 and 3 (the positions and the
            // condition) do not
            let need = |(i, _): (usize, &Expr)| if i.is_multiple_of(2) { Need::Part(p) } else { Need::Whole };
            n.args.iter().enumerate().map(need).collect()
        }
        NodeOp::Routine { row, params, .. } if n.args.iter().all(|a| row.is_apart(p.axis, &a.0.shape, params)) => {
            n.args.iter().map(|_| Need::Part(p)).collect()
        }
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::Scan { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Failed => return None,
    })
}

/// Returns what a part of a view needs of an operand of this shape. A step along the part's axis moves along one or
/// more axes of the operand. Along the first of these axes, the part needs all indices from the lowest to the highest
/// one that it reads.
fn of_view(v: &View, p: Part, shape: &[usize]) -> Need {
    let n = v.shape.len();
    let Some(axis) = (0..shape.len()).find(|j| v.coef[j * n + p.axis] != 0) else { return Need::Whole };
    let (mut first, mut last) = (v.offset[axis], v.offset[axis]);
    for (d, length) in v.shape.iter().enumerate() {
        let coef = v.coef[axis * n + d];
        let (from, to) = if d == p.axis { (p.from, p.to - 1) } else { (0, length - 1) };
        let ends = [coef * from as isize, coef * to as isize];
        first += ends[0].min(ends[1]);
        last += ends[0].max(ends[1]);
    }
    Need::Part(Part { axis, from: first as usize, to: last as usize + 1 })
}

/// Returns what a part of a reshaped node needs of its operand: the rows that hold the part's elements from the first
/// to the last one, because the node and its operand have their elements in the same order. All axes before the part's
/// axis must have length 1.
fn of_reshape(e: &Expr, p: Part) -> Option<Need> {
    let (to, from) = (&e.0.shape, &e.0.args[0].0.shape);
    if to[..p.axis].iter().any(|n| *n != 1) {
        return None;
    }
    let axis = from.iter().position(|n| *n != 1)?;
    let (row, row_before) = (layout::product(&to[p.axis + 1..]), layout::product(&from[axis + 1..]));
    Some(Need::Part(Part { axis, from: p.from * row / row_before, to: (p.to * row).div_ceil(row_before) }))
}

/// Builds a part of a node from its operands `args`. `needs` says of each operand whether it is whole or a part.
fn build(e: &Expr, p: Part, needs: &[Need], mut args: Args) -> Expr {
    let n = &*e.0;
    let mut shape = n.shape.clone();
    shape[p.axis] = p.length();
    match (&n.op, needs) {
        (NodeOp::View(v), [need]) => {
            let mut v = v.as_ref().clone();
            let columns = n.shape.len();
            for j in 0..v.offset.len() {
                v.offset[j] += v.coef[j * columns + p.axis] * p.from as isize;
            }
            if let Need::Part(part) = need {
                v = v.shifted(part.axis, part.from as isize);
            }
            v.shape = shape;
            view("view", &args[0], n.location, |_| Ok(v))
        }
        (NodeOp::Reshape, [Need::Part(part)]) => {
            let row_before = layout::product(&n.args[0].0.shape[part.axis + 1..]);
            let row = layout::product(&shape[p.axis + 1..]);
            let flat = reshape("reshape", &args[0], &[-1], n.location);
            let wanted = Part { axis: 0, from: p.from * row, to: p.to * row };
            reshape("reshape", &wanted.of(&flat, part.from * row_before), &lengths(&shape), n.location)
        }
        (NodeOp::Concat { axis }, _) if *axis == p.axis && args.len() == 1 => args.remove(0),
        (NodeOp::Routine { row, params, part }, _) => {
            let params = row.part_params(params, n.shape[p.axis], p.length());
            e.resized(NodeOp::Routine { row, params, part: *part }, args, shape)
        }
        (op, _) => e.resized(op.clone(), args, shape),
    }
}

/// A graph with more nodes than this is not computed part by part. A node counts once for each different part of it
/// that is needed.
const MOST: usize = 1 << 16;

/// An expression that can be computed part by part along an axis.
#[derive(Clone)]
pub(crate) struct Rows {
    root: Expr,
    axis: usize,
    /// The largest size in bytes that a node of the graph needs for one index along the axis.
    pub row_bytes: usize,
    /// The nodes that are computed whole, before the parts.
    pub wholes: Vec<Expr>,
    /// The results of the nodes in `wholes`. The key is the identity (address) of the node.
    known: HashMap<usize, Expr>,
}

impl Rows {
    /// Determines how parts of an expression, of `rows` indices each, are computed. Returns `None` if the expression
    /// can only be computed whole. The expression must have elements.
    pub fn of(root: &Expr, axis: usize, rows: usize) -> Option<Rows> {
        let length = root.0.shape[axis];
        // examine a part from the middle, because parts at the ends may need less
        let from = (length - rows) / 2;
        let mut found = Rows {
            root: root.clone(),
            axis,
            row_bytes: bytes(root).div_ceil(length),
            wholes: vec![],
            known: HashMap::new(),
        };
        let mut seen = HashSet::new();
        let mut stack = vec![(root, Part { axis, from, to: from + rows })];
        while let Some((e, p)) = stack.pop() {
            // an operand without elements, such as the operands of a product over an axis of length 0, cannot be
            // divided into parts
            if seen.len() > MOST || e.0.shape.contains(&0) {
                return None;
            }
            if is_leaf(e) || !seen.insert((id(e), p)) {
                continue;
            }
            // if a part of a node is much larger than the part of the result that needs it, its elements would be
            // computed again for many parts of the result
            let is_large = p.length() as u128 * length as u128
                > 4 * rows as u128 * e.0.shape[p.axis] as u128 + 16 * length as u128;
            let Some(needs) = needs(e, p).filter(|_| !is_large) else {
                if id(e) == id(root) {
                    return None;
                }
                found.wholes.push(e.clone());
                continue;
            };
            found.row_bytes = found.row_bytes.max(bytes(e).div_ceil(length));
            for (a, need) in e.0.args.iter().zip(needs) {
                match need {
                    Need::Part(p) => stack.push((a, p.wide(a.0.shape[p.axis]))),
                    Need::Whole if !is_leaf(a) => found.wholes.push(a.clone()),
                    Need::Whole => {}
                    Need::Nothing if a.0.shape[p.axis] == 0 => {}
                    // this part needs nothing of the operand, but other parts do, so some part of the operand is
                    // examined anyway
                    Need::Nothing => {
                        let to = a.0.shape[p.axis].min(rows);
                        stack.push((a, Part { from: 0, to, ..p }.wide(a.0.shape[p.axis])));
                    }
                }
            }
        }
        found.wholes.sort_by_key(id);
        found.wholes.dedup_by_key(|e| id(e));
        Some(found)
    }

    /// Returns the `Rows` of an array that is in memory already. The parts of this array are views.
    pub fn whole(array: &Expr) -> Rows {
        Rows { root: array.clone(), axis: 0, row_bytes: 0, wholes: vec![], known: HashMap::new() }
    }

    /// Records in `known` the result of each node of `wholes`. `results` yields them in the order of `wholes`.
    pub fn know(&mut self, results: impl Iterator<Item = Expr>) {
        self.known = self.wholes.iter().map(id).zip(results).collect();
    }

    /// Returns the expression of the indices `from..to` along the axis.
    pub fn part(&self, from: usize, to: usize) -> Expr {
        let wanted = Part { axis: self.axis, from, to };
        let first = wanted.wide(self.root.0.shape[self.axis]);
        let mut made: HashMap<(usize, Part), Expr> = HashMap::new();
        let mut stack = vec![(&self.root, first)];
        while let Some((e, p)) = stack.last().copied() {
            let key = (id(e), p);
            let whole = self.known.get(&key.0);
            let needs = if whole.is_some() || made.contains_key(&key) { None } else { needs(e, p) };
            let Some(needs) = needs else {
                made.entry(key).or_insert_with(|| p.of(whole.unwrap_or(e), 0));
                stack.pop();
                continue;
            };
            let waiting = stack.len();
            let mut args = Args::new();
            for (a, need) in e.0.args.iter().zip(&needs) {
                match need {
                    Need::Nothing => {}
                    Need::Whole => args.push(self.known.get(&id(a)).unwrap_or(a).clone()),
                    Need::Part(exact) => {
                        let wide = exact.wide(a.0.shape[exact.axis]);
                        match made.get(&(id(a), wide)) {
                            Some(part) => args.push(exact.of(part, wide.from)),
                            None => stack.push((a, wide)),
                        }
                    }
                }
            }
            if stack.len() == waiting {
                made.insert(key, build(e, p, &needs, args));
                stack.pop();
            }
        }
        made.get(&(id(&self.root), first)).map_or_else(|| wanted.of(&self.root, 0), |part| wanted.of(part, first.from))
    }
}

/// Returns the size of a node's elements in bytes.
fn bytes(e: &Expr) -> usize {
    layout::product(&e.0.shape).saturating_mul(e.0.dtype.size())
}

/// The reasons why the bits of a part could differ from the bits of the whole result.
#[derive(Clone, Copy, Default)]
pub(crate) struct Doubts {
    /// A node below the root of the expression has a half-precision type. Its values are rounded only if the planner
    /// stores them.
    pub rounds: bool,
    /// A node reduces, scans, multiplies matrices, or is a routine. On a GPU, the order of additions depends on the
    /// sizes of the kernel.
    pub sums: bool,
}

/// Returns the reasons why parts of an expression could have other bits than the whole, or all reasons if the graph of
/// the expression is too large to be examined.
pub(crate) fn doubts(root: &Expr) -> Doubts {
    let mut doubts = Doubts::default();
    let mut seen = HashSet::new();
    let mut stack = vec![root];
    while let Some(e) = stack.pop() {
        if is_leaf(e) || !seen.insert(id(e)) {
            continue;
        }
        if seen.len() > MOST {
            return Doubts { rounds: true, sums: true };
        }
        let role = e.0.op.role();
        let moves = matches!(e.0.op, NodeOp::Reshape | NodeOp::Concat { .. });
        doubts.sums |= role.has_inner_space() || role == Role::Whole && !moves;
        doubts.rounds |= e.0.dtype.is_half() && id(e) != id(root);
        stack.extend(e.0.args.iter());
    }
    doubts
}
