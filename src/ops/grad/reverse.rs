//! The backward walk through a graph: it visits the nodes from the results to the operands, adds up the derivatives
//! with respect to each node, and computes from their sum the derivatives with respect to the node's operands.

use super::adjoint::{Adjoint, unbroadcast, zeros};
use super::rules::{DerivativeStep, To};
use super::source::{OperandSet, Relation, refusal};
use super::view::of_parts;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, View, lengths};
use crate::base::shared::Shared;
use crate::graph::expr::{Called, Expr, Node, between, binary, cast, common, reshape};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::KeyHasher;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::ops::Range;

/// What happens if the result does not read an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// The derivative with respect to this operand is an error.
    Refused,
    /// The derivative with respect to this operand is 0.
    Zero,
}

/// The derivatives with respect to one node that the walk has found so far. They are summed when the walk reaches the
/// node.
#[derive(Default)]
struct Sum {
    whole: Option<Adjoint>,
    parts: Vec<(View, Adjoint)>,
    /// Derivatives with respect to views of the node. Each of these views is a view of the node flattened in C order.
    flat: Vec<(View, Adjoint)>,
}

impl Sum {
    fn add(&mut self, d: Adjoint, at: Loc) {
        self.whole = Some(match self.whole.take() {
            None => d,
            Some(old) => {
                // the sum is known to be 0 only where both of its terms are known to be 0
                let mask = match (&old.mask, &d.mask) {
                    (Some(a), Some(b)) => Some(binary(&logic::logical_or, a, b, at)),
                    _ => None,
                };
                let value = binary(&arithmetic::add, old.masked(at), d.masked(at), at);
                Adjoint { value, is_clean: mask.is_some(), mask }
            }
        });
    }

    /// Returns the sum of the derivatives. `shape` is the shape of the node.
    fn total(mut self, shape: &[usize], at: Loc) -> Result<Option<Adjoint>> {
        // most nodes have no views
        if !self.parts.is_empty()
            && let Some(d) = joined(std::mem::take(&mut self.parts), shape, at)?
        {
            self.add(d, at);
        }
        if !self.flat.is_empty()
            && let Some(d) = joined(std::mem::take(&mut self.flat), &[layout::product(shape)], at)?
        {
            self.add(d.moved(|e| reshape("grad", e, &lengths(shape), at)), at);
        }
        Ok(self.whole)
    }
}

/// Adds up the derivatives with respect to several views of one operand. The sum has a mask if all of them have one.
fn joined(parts: Vec<(View, Adjoint)>, operand: &[usize], at: Loc) -> Result<Option<Adjoint>> {
    let counts = parts.iter().all(|(_, g)| g.mask.is_some()).then(|| {
        let count = |(v, g): &(View, Adjoint)| Some((v.clone(), cast(g.mask.clone()?, g.value.0.dtype, at)));
        parts.iter().filter_map(count).collect()
    });
    let value = of_parts(parts.into_iter().map(|(v, g)| (v, g.masked(at))).collect(), operand, at)?;
    let Some(counts) = counts else { return Ok(value.map(Adjoint::plain)) };
    let count = of_parts(counts, operand, at)?;
    let mask = count.map(|count| binary(&logic::greater, count, 0.0, at));
    Ok(value.map(|value| Adjoint { value, is_clean: mask.is_some(), mask }))
}

/// The number of nodes for which a walk allocates its lists at the beginning, about as many as a layer of a network has.
/// For larger graphs the lists grow.
const FEW: usize = 64;

struct Walk<'a> {
    op: &'static str,
    at: Loc,
    /// All nodes that the results are computed from. Each node comes after its operands.
    nodes: Vec<&'a Expr>,
    numbers: HashMap<*const Node, usize, BuildHasherDefault<KeyHasher>>,
    /// The numbers of the expressions to which derivatives pass from the nodes, one node after another. These are the
    /// operands of a node's derivative rule, or the node's own operands if it has no rule. There are none for a node at
    /// which the walk stops. `ends` has the end of each node's part of the list.
    sources: Vec<usize>,
    ends: Vec<usize>,
    /// For each node in `nodes`: whether a derivative with respect to an operand passes through the node.
    active: Vec<bool>,
    sums: Vec<Sum>,
}

/// Returns the derivatives of `y`, multiplied by the cotangent `seed`, which has the shape of `y`.
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

/// Returns the derivatives of several results together: for each operand, the sum of the derivatives of all results,
/// each multiplied by its cotangent (`seeds`).
pub(super) fn together(
    op: &'static str,
    results: &[Expr],
    seeds: Vec<Expr>,
    of: &[&Expr],
    unread: Unread,
    at: Loc,
) -> Result<Vec<Expr>> {
    let _called = Called::begin(op, at);
    common(op, results.iter().chain(of.iter().copied()), at)?;
    let refuse = |what: std::fmt::Arguments, e: &Expr| {
        let detail = format!("{what} has dtype {}, which has no derivatives; floats are needed", e.0.dtype);
        Err(Error::with_line(ErrorKind::DType, op, detail, at))
    };
    if let Some(e) = results.iter().find(|e| !e.0.dtype.is_float()) {
        return refuse(format_args!("the result"), e);
    }
    for (i, e) in of.iter().enumerate() {
        if !e.0.dtype.is_float() {
            return refuse(format_args!("operand {i}"), e);
        }
        if let Some(why) = refusal(e) {
            let detail = format!("operand {i}, of shape {:?}, {why}", e.0.shape.as_slice());
            return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
        }
    }
    // The nodes inside a derivative are marked as inner nodes, so checks for NaN and overflow skip their values. The
    // derivatives themselves are checked.
    let mut derivatives = between(|| {
        let seeds = seeds.into_iter().map(Adjoint::plain);
        let found = Walk::over(op, results, &[], at).run(results, seeds, &OperandSet::of(of), unread)?;
        let derivatives: Vec<Expr> = found.iter().map(|d| d.masked(at)).collect();
        derivatives.iter().try_for_each(|d| d.checked().map(|_| ()))?;
        Ok(derivatives)
    })?;
    for e in &mut derivatives {
        if let Some(node) = Shared::get_mut(&mut e.0) {
            node.inner = false;
        }
    }
    Ok(derivatives)
}

/// Returns the derivatives of a result with respect to float expressions from which it is computed. The walk stops at
/// the expressions `ends`, as if they were independent of each other. For an operand that the result does not read, the
/// derivative is zeros. The derivatives, like the cotangent `seed`, keep their masks, see [`Adjoint::marked`].
pub(crate) fn above(
    op: &'static str,
    y: &Expr,
    seed: &Expr,
    of: &[&Expr],
    ends: &[&Expr],
    at: Loc,
) -> Result<Vec<Expr>> {
    let y = std::slice::from_ref(y);
    between(|| {
        let seed = [Adjoint::of(seed.clone())];
        let found = Walk::over(op, y, ends, at).run(y, seed, &OperandSet::exactly(of), Unread::Zero)?;
        Ok(found.iter().map(|d| d.marked(at)).collect())
    })
}

impl<'a> Walk<'a> {
    /// Lists the nodes from which `results` are computed. The operands of the expressions `ends` are not listed.
    fn over(op: &'static str, results: &'a [Expr], ends: &[&Expr], at: Loc) -> Walk<'a> {
        let stops: HashSet<_> = ends.iter().map(|e| Shared::as_ptr(&e.0)).collect();
        let sources_of = |e: &'a Expr| if stops.contains(&Shared::as_ptr(&e.0)) { &[] } else { e.0.sources() };
        let numbers = HashMap::with_capacity_and_hasher(FEW, BuildHasherDefault::default());
        let (nodes, mut stack) = (Vec::with_capacity(FEW), Vec::with_capacity(FEW));
        let [sources, ends] = [Vec::with_capacity(FEW), Vec::with_capacity(FEW)];
        let mut walk = Walk { op, at, nodes, numbers, sources, ends, active: vec![], sums: vec![] };
        stack.extend(results.iter().map(|e| (e, false)));
        while let Some((e, is_ready)) = stack.pop() {
            let key = Shared::as_ptr(&e.0);
            if is_ready {
                let numbers = sources_of(e).iter().filter_map(|a| walk.numbers.get(&Shared::as_ptr(&a.0)));
                walk.sources.extend(numbers);
                walk.ends.push(walk.sources.len());
                walk.numbers.insert(key, walk.nodes.len());
                walk.nodes.push(e);
            } else if !walk.numbers.contains_key(&key) {
                stack.push((e, true));
                stack.extend(sources_of(e).iter().rev().map(|a| (a, false)));
            }
        }
        walk.active = walk.nodes.iter().map(|_| false).collect();
        walk.sums = walk.nodes.iter().map(|_| Sum::default()).collect();
        walk
    }

    fn run(
        mut self,
        results: &[Expr],
        seeds: impl IntoIterator<Item = Adjoint>,
        operands: &OperandSet,
        unread: Unread,
    ) -> Result<Vec<Adjoint>> {
        let (at, of) = (self.at, operands.of);
        let mut found: Vec<Sum> = of.iter().map(|_| Sum::default()).collect();
        let mut is_read: Vec<bool> = of.iter().map(|_| false).collect();
        // `relations` lists, for each node, the indices of the operands to which it is related, and the kind of the
        // relation (a view, or shared elements)
        let mut relations: Vec<Vec<(usize, Relation)>> = vec![];
        for (number, e) in self.nodes.iter().enumerate() {
            let related = operands.related(e);
            related.iter().for_each(|(i, _)| is_read[*i] = true);
            let stops = e.0.rule.as_ref().is_some_and(|rule| rule.back.is_none());
            let below = self.sources[self.sources_of(number)].iter().any(|n| self.active[*n]);
            self.active[number] = e.0.dtype.is_float() && (!related.is_empty() || below && !stops);
            relations.push(related);
        }
        if unread == Unread::Refused
            && let Some(i) = is_read.iter().position(|read| !read)
        {
            let shape = of[i].0.shape.as_slice();
            let detail = format!(
                "the result does not read operand {i}, of shape {shape:?}; what eval returns no longer depends on what it was computed from"
            );
            return Err(Error::with_line(ErrorKind::Argument, self.op, detail, at));
        }
        for (e, seed) in results.iter().zip(seeds) {
            if let Some(number) = self.numbers.get(&Shared::as_ptr(&e.0)) {
                self.add(*number, To::Whole(seed));
            }
        }
        for number in (0..self.nodes.len()).rev() {
            let (e, sources) = (self.nodes[number], self.sources_of(number));
            let Some(g) = std::mem::take(&mut self.sums[number]).total(&e.0.shape, at)? else { continue };
            g.value.checked()?;
            for (i, relation) in std::mem::take(&mut relations[number]) {
                match relation {
                    Relation::Same => found[i].add(g.clone(), at),
                    Relation::View(v) => found[i].parts.push((v, g.clone())),
                    Relation::Flat(v) => found[i].flat.push((v, g.clone())),
                    Relation::Overlaps => return Err(self.overlap(e, i, of[i])),
                }
            }
            let is_active = |i: usize| self.sources[sources.clone()].get(i).is_some_and(|n| self.active[*n]);
            if !(0..sources.len()).any(is_active) {
                continue;
            }
            let step = DerivativeStep { op: self.op, at, node: e, is_active: &is_active };
            for (i, d) in step.back(g)? {
                if let Some(n) = self.sources[sources.clone()].get(i) {
                    self.add(*n, d);
                }
            }
        }
        let mut derivatives = vec![];
        for (sum, v) in found.into_iter().zip(of) {
            derivatives.push(match sum.total(&v.0.shape, at)? {
                Some(d) => {
                    d.value.checked()?;
                    Adjoint { value: cast(d.value, v.0.dtype, at), ..d }
                }
                None => Adjoint::plain(zeros(v.0.shape.clone(), v, at)),
            });
        }
        Ok(derivatives)
    }

    /// Returns which part of the list `sources` belongs to a node.
    fn sources_of(&self, number: usize) -> Range<usize> {
        number.checked_sub(1).map_or(0, |n| self.ends[n])..self.ends[number]
    }

    /// Adds a derivative with respect to a node to the node's sum. If the node was broadcast, the derivative is first
    /// summed along the broadcast axes.
    fn add(&mut self, number: usize, d: To) {
        if !self.active[number] {
            return;
        }
        let (at, e, sum) = (self.at, self.nodes[number], &mut self.sums[number]);
        match d {
            To::Part(v, d) => sum.parts.push((*v, d)),
            To::Whole(d) => {
                let fits = |part: &Expr| part.0.shape == e.0.shape;
                let d = match fits(&d.value) && d.mask.as_ref().is_none_or(fits) {
                    true => d,
                    false => d.summed(at, |part| unbroadcast(part, &e.0.shape, at)),
                };
                sum.add(Adjoint { value: cast(d.value, e.0.dtype, at), ..d }, at);
            }
        }
    }

    fn overlap(&self, e: &Expr, i: usize, operand: &Expr) -> Error {
        let (part, whole) = (e.0.shape.as_slice(), operand.0.shape.as_slice());
        let detail = format!(
            "the result reads an array of shape {part:?} that shares elements with operand {i}, of shape {whole:?}, but is not a view of it; name the whole array as the operand, or copy it"
        );
        Error::with_line(ErrorKind::Argument, self.op, detail, self.at)
    }
}
