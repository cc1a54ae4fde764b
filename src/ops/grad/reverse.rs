//! The walk backwards through a graph.

use super::source::{Relation, relation};
use super::view::of_parts;
use super::{lengths, rules};
use crate::base::dtype::Scalar;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Shape, View};
use crate::graph::expr::{Expr, Node, between, carry, cast, common, reshape, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{binary, choose};
use std::collections::HashMap;
use std::sync::Arc;

/// What becomes of an operand that the result does not read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// The derivative is an error.
    Refused,
    /// The derivative is 0.
    Zero,
}

/// A derivative with respect to a node. Where the mask is false, the derivative is 0, whatever the value is: a branch of
/// `select` that was not taken may have a value of 0 · ∞, which must not become NaN.
#[derive(Clone)]
pub(super) struct Adjoint {
    pub value: Expr,
    pub mask: Option<Expr>,
}

impl Adjoint {
    /// Returns the derivative with the mask applied.
    pub fn masked(&self, at: Loc) -> Expr {
        match &self.mask {
            Some(mask) => choose(mask, &self.value, 0.0, at),
            None => self.value.clone(),
        }
    }
}

/// The derivatives that a node has got so far: those of the whole, and those of views of it.
#[derive(Default)]
struct Sum {
    whole: Option<Adjoint>,
    parts: Vec<(View, Expr)>,
    /// Views of the elements in C order.
    flat: Vec<(View, Expr)>,
}

impl Sum {
    fn add(&mut self, d: Adjoint, at: Loc) {
        self.whole = Some(match self.whole.take() {
            None => d,
            Some(old) => {
                // the sum is 0 where both are
                let mask = match (&old.mask, &d.mask) {
                    (Some(a), Some(b)) => Some(binary(&logic::logical_or, a, b, at)),
                    _ => None,
                };
                Adjoint { value: binary(&arithmetic::add, old.masked(at), d.masked(at), at), mask }
            }
        });
    }

    /// Adds up the derivatives, for a node of this shape.
    fn total(mut self, shape: &[usize], at: Loc) -> Result<Option<Adjoint>> {
        let plain = |value| Adjoint { value, mask: None };
        if let Some(d) = of_parts(std::mem::take(&mut self.parts), shape, at)? {
            self.add(plain(d), at);
        }
        if let Some(d) = of_parts(std::mem::take(&mut self.flat), &[layout::product(shape)], at)? {
            self.add(plain(reshape("grad", &d, &lengths(shape), at)), at);
        }
        Ok(self.whole)
    }
}

pub(super) struct Walk {
    pub op: &'static str,
    pub at: Loc,
    /// The nodes, operands before results.
    nodes: Vec<Expr>,
    numbers: HashMap<*const Node, usize>,
    /// For each node: whether a derivative with respect to an operand passes through it, and what it has got.
    active: Vec<bool>,
    sums: Vec<Sum>,
}

/// Returns the derivatives of `y`, multiplied by a cotangent of its shape.
pub(super) fn derivatives(
    op: &'static str,
    y: &Expr,
    of: &[&Expr],
    seed: Expr,
    unread: Unread,
    at: Loc,
) -> Result<Vec<Expr>> {
    together(op, std::slice::from_ref(y), vec![seed], of, unread, at)
}

/// Returns the derivatives of several results together: the sums of those of each result, multiplied by its cotangent.
pub(super) fn together(
    op: &'static str,
    results: &[Expr],
    seeds: Vec<Expr>,
    of: &[&Expr],
    unread: Unread,
    at: Loc,
) -> Result<Vec<Expr>> {
    common(op, results.iter().chain(of.iter().copied()), at)?;
    for (what, e) in results.iter().map(|e| ("the result", e)).chain(of.iter().map(|e| ("an operand", *e))) {
        if !e.0.dtype.is_float() {
            let detail = format!("{what} has dtype {}, which has no derivatives; floats are needed", e.0.dtype);
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
    }
    // checks of values ignore what is inside of a derivative
    let mut derivatives = between(|| Walk::over(op, results, at).run(results, seeds, of, unread))?;
    for e in &mut derivatives {
        if let Some(node) = Arc::get_mut(&mut e.0) {
            node.inner = false;
        }
    }
    Ok(derivatives)
}

impl Walk {
    /// Lists the nodes that results are made of.
    fn over(op: &'static str, results: &[Expr], at: Loc) -> Walk {
        let mut walk = Walk { op, at, nodes: vec![], numbers: HashMap::new(), active: vec![], sums: vec![] };
        let mut stack: Vec<(&Expr, bool)> = results.iter().map(|e| (e, false)).collect();
        while let Some((e, is_ready)) = stack.pop() {
            let key = Arc::as_ptr(&e.0);
            if walk.numbers.contains_key(&key) {
                continue;
            }
            if is_ready {
                walk.numbers.insert(key, walk.nodes.len());
                walk.nodes.push(e.clone());
                continue;
            }
            stack.push((e, true));
            let unseen = e.0.sources().iter().rev().filter(|a| !walk.numbers.contains_key(&Arc::as_ptr(&a.0)));
            stack.extend(unseen.map(|a| (a, false)));
        }
        walk.active = vec![false; walk.nodes.len()];
        walk.sums.resize_with(walk.nodes.len(), Sum::default);
        walk
    }

    fn run(mut self, results: &[Expr], seeds: Vec<Expr>, of: &[&Expr], unread: Unread) -> Result<Vec<Expr>> {
        let at = self.at;
        let mut found: Vec<Sum> = of.iter().map(|_| Sum::default()).collect();
        let mut is_read = vec![false; of.len()];
        // what each node is to the operands
        let mut relations: Vec<Vec<(usize, Relation)>> = Vec::with_capacity(self.nodes.len());
        for (number, e) in self.nodes.iter().enumerate() {
            let related: Vec<(usize, Relation)> =
                of.iter().enumerate().filter_map(|(i, v)| Some((i, relation(e, v)?))).collect();
            related.iter().for_each(|(i, _)| is_read[*i] = true);
            let stops = e.0.rule.as_ref().is_some_and(|rule| rule.back.is_none());
            let below = e.0.sources().iter().any(|a| self.number(a).is_some_and(|n| self.active[n]));
            self.active[number] = e.0.dtype.is_float() && (!related.is_empty() || below && !stops);
            relations.push(related);
        }
        if unread == Unread::Refused
            && let Some(i) = is_read.iter().position(|read| !read)
        {
            let shape = of[i].0.shape.as_slice();
            let detail = format!("the result does not read operand {i}, of shape {shape:?}");
            return Err(Error::with_line(ErrorKind::Argument, self.op, detail, at));
        }
        for (e, seed) in results.iter().zip(seeds) {
            self.add(e, Adjoint { value: seed, mask: None });
        }
        for number in (0..self.nodes.len()).rev() {
            let e = self.nodes[number].clone();
            let Some(g) = std::mem::take(&mut self.sums[number]).total(&e.0.shape, at)? else { continue };
            g.value.checked()?;
            for (i, relation) in std::mem::take(&mut relations[number]) {
                match relation {
                    Relation::Same => found[i].add(g.clone(), at),
                    Relation::View(v) => found[i].parts.push((v, g.masked(at))),
                    Relation::Flat(v) => found[i].flat.push((v, g.masked(at))),
                    Relation::Overlaps => return Err(self.overlap(&e, i, of[i])),
                }
            }
            if e.0.sources().iter().any(|a| self.is_active(a)) {
                rules::back(&mut self, &e, g)?;
            }
        }
        let mut derivatives = Vec::with_capacity(of.len());
        for (sum, v) in found.into_iter().zip(of) {
            let total = sum.total(&v.0.shape, at)?.map(|g| g.masked(at));
            derivatives.push(match total {
                Some(d) => {
                    d.checked()?;
                    cast(d, v.0.dtype, at)
                }
                None => Expr::fill_on(v.0.device, Scalar::Float(0.0), v.0.shape.clone(), v.0.dtype, at),
            });
        }
        Ok(derivatives)
    }

    fn number(&self, e: &Expr) -> Option<usize> {
        self.numbers.get(&Arc::as_ptr(&e.0)).copied()
    }

    pub fn is_active(&self, e: &Expr) -> bool {
        self.number(e).is_some_and(|n| self.active[n])
    }

    /// Adds a derivative with respect to a node. Where the node was broadcast, the derivative is summed.
    pub fn add(&mut self, e: &Expr, d: Adjoint) {
        let (Some(number), at) = (self.number(e), self.at) else { return };
        if !self.active[number] {
            return;
        }
        let d = match (d.value.0.shape == e.0.shape, &d.mask) {
            (true, None) => Adjoint { value: cast(d.value, e.0.dtype, at), mask: None },
            (true, Some(mask)) if mask.0.shape == e.0.shape => {
                Adjoint { value: cast(d.value, e.0.dtype, at), mask: d.mask }
            }
            _ => Adjoint { value: cast(unbroadcast(&d.masked(at), &e.0.shape, at), e.0.dtype, at), mask: None },
        };
        self.sums[number].add(d, at);
    }

    pub fn add_plain(&mut self, e: &Expr, value: Expr) {
        self.add(e, Adjoint { value, mask: None });
    }

    /// Adds the derivative with respect to a view of a node.
    pub fn add_part(&mut self, e: &Expr, v: &View, value: Expr) {
        if let Some(number) = self.number(e).filter(|n| self.active[*n]) {
            self.sums[number].parts.push((v.clone(), value));
        }
    }

    /// The error for an operation without a derivative.
    pub fn without_derivative(&self, e: &Expr, why: &str) -> Error {
        let (name, line) = (e.0.op.name(), e.0.location);
        let detail = format!("{name}, called at {line}, has no derivative{why}; state it with with_vjp");
        Error::with_line(ErrorKind::Argument, self.op, detail, self.at)
    }

    fn overlap(&self, e: &Expr, i: usize, operand: &Expr) -> Error {
        let (part, whole) = (e.0.shape.as_slice(), operand.0.shape.as_slice());
        let detail = format!(
            "the result reads an array of shape {part:?} that shares elements with operand {i}, of shape {whole:?}, but is not a view of it; name the whole array as the operand, or copy it"
        );
        Error::with_line(ErrorKind::Argument, self.op, detail, self.at)
    }
}

/// Returns a derivative in the shape of an operand: the sum along the axes along which the operand was broadcast.
fn unbroadcast(d: &Expr, shape: &Shape, at: Loc) -> Expr {
    carry(at, || {
        let full = layout::broadcast(&d.checked()?.shape, shape).map_err(|f| f.at("grad", at))?;
        let lead = full.len() - shape.len();
        let axes = (0..full.len()).filter(|k| *k < lead || shape[*k - lead] == 1 && full[*k] != 1);
        let summed = rules::sum(&broadcast(d, &full, at), axes, at);
        Ok(reshape("grad", &summed, &lengths(shape), at))
    })
}

/// Returns an expression broadcast to a shape.
pub(super) fn broadcast(e: &Expr, shape: &[usize], at: Loc) -> Expr {
    view("grad", e, at, |s| View::broadcast_to(s, shape))
}

/// Returns a derivative along reduced axes, which have length 1 again.
pub(super) fn restored(e: &Expr, shape: &[usize], axes: &[usize], at: Loc) -> Expr {
    let mut ones: Shape = shape.into();
    axes.iter().for_each(|d| ones[*d] = 1);
    broadcast(&reshape("grad", e, &lengths(&ones), at), shape, at)
}

/// Returns a fill of zeros with the shape, dtype and device of another expression.
pub(super) fn zeros_like(e: &Expr, at: Loc) -> Expr {
    Expr::fill_on(e.0.device, Scalar::Float(0.0), e.0.shape.clone(), e.0.dtype, at)
}
