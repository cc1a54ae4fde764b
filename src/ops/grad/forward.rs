//! The placeholder with which [`jvp`](super::jvp) builds a derivative, and the checks that the derivative is a linear
//! function of the placeholder that can be differentiated. The derivatives of the library's functions always are. The
//! function that a user passes to [`with_vjp`](super::with_vjp) need not be.

use super::adjoint::is_zero;
use super::formula::slope;
use crate::base::dtype::Scalar;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::shared::Shared;
use crate::graph::expr::{Expr, Node, NodeOp, Reach, cast_always};
use crate::graph::ufunc::{Fold, Formula, SUM_OF_CHAINS, Ufunc, arithmetic};
use crate::plan::KeyHasher;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

/// Returns an expression of zeros that represents the derivative with respect to `y`. It has no operands, so that every
/// copy of a node that reads it reads this same node, by which the second walk finds it. The rule makes it an expression
/// that derivatives may have as their operand, unlike a plain fill.
pub(super) fn placeholder(y: &Expr, at: Loc) -> Result<Expr> {
    let n = y.checked()?;
    Ok(Expr::fill_on(n.device, Scalar::Float(0.0), n.shape.clone(), n.dtype, at).with_rule(vec![], None))
}

/// Returns the cotangent for the first walk: an expression that has the placeholder as its operand. A view of the
/// placeholder itself would be another fill.
pub(super) fn cotangent(placeholder: &Expr, at: Loc) -> Expr {
    cast_always(placeholder.clone(), placeholder.0.dtype, at)
}

/// What [`Linearity`] knows about a node.
#[derive(Clone, Copy, Default)]
struct Dependence {
    /// Whether the node's value is computed from the placeholder.
    reads: bool,
    /// Whether derivatives pass from the node to the placeholder.
    passes: bool,
    /// Whether the node is known to be 0 before it is computed.
    is_zero: bool,
}

/// The checks that a list of derivatives is linear in the placeholder.
pub(super) struct Linearity<'a> {
    placeholder: &'a Expr,
    at: Loc,
    known: HashMap<*const Node, Dependence, BuildHasherDefault<KeyHasher>>,
    /// The nodes with a derivative rule through which derivatives pass to the placeholder.
    ruled: Vec<&'a Expr>,
}

impl<'a> Linearity<'a> {
    /// Checks each node of `list` that is computed from the placeholder: derivatives with respect to the placeholder must
    /// pass through it, and its operation must be linear. Otherwise the derivative of `list` would silently be wrong. The
    /// operations inside a call with a derivative rule are not checked, see [`Linearity::check_derivative`].
    ///
    /// # Errors
    /// Returns an error that names an operation whose derivative is lost, or that is not linear.
    pub fn check(list: &'a [Expr], placeholder: &'a Expr, at: Loc) -> Result<Linearity<'a>> {
        let mut linearity = Linearity { placeholder, at, known: HashMap::default(), ruled: vec![] };
        linearity.learn(list);
        // Only nodes that the derivative visits matter: the inner operations of a call with a rule have none.
        let mut seen: HashSet<*const Node, BuildHasherDefault<KeyHasher>> = HashSet::default();
        let mut stack: Vec<&Expr> = list.iter().collect();
        while let Some(e) = stack.pop() {
            let own = linearity.of(e);
            if !(own.reads || own.passes) || !seen.insert(Shared::as_ptr(&e.0)) {
                continue;
            }
            if own.reads && !own.passes {
                return Err(linearity.refused(e, "reads the cotangent but passes no derivative on to it"));
            }
            match &e.0.rule {
                Some(rule) if !matches!(rule.reach, Reach::Parts { has_rule: false } | Reach::Masked) => {
                    linearity.ruled.push(e);
                    stack.extend(&rule.operands);
                }
                _ if !linearity.is_linear(e) => return Err(linearity.refused(e, "is not linear in the cotangent")),
                _ => stack.extend(&e.0.args),
            }
        }
        Ok(linearity)
    }

    /// Checks that the derivative of the list with respect to the placeholder does not depend on the placeholder. The
    /// derivative of a linear function is the same everywhere.
    ///
    /// # Errors
    /// Returns an error that names a call with a derivative rule that is not linear.
    pub fn check_derivative(&mut self, derivative: &Expr) -> Result<()> {
        self.learn(std::slice::from_ref(derivative));
        if !self.of(derivative).reads {
            return Ok(());
        }
        let (at, mut kept) = (self.at, vec![]);
        for e in std::mem::take(&mut self.ruled) {
            let Some(rule) = &e.0.rule else { continue };
            let Some(back) = &rule.back else { continue };
            let probe = Expr::fill_on(e.0.device, Scalar::Float(1.0), e.0.shape.clone(), e.0.dtype, at);
            let list = back(&probe, at)?;
            self.learn(&list);
            if list.iter().zip(&rule.operands).any(|(d, of)| self.of(d).reads && self.of(of).passes) {
                return Err(self.refused(e, "is not linear in the cotangent"));
            }
            // the nodes are kept, because a later one at the same address would be taken for one of them
            kept.push(list);
        }
        Err(self.refused(derivative, "depends on the cotangent"))
    }

    fn of(&self, e: &Expr) -> Dependence {
        self.known.get(&Shared::as_ptr(&e.0)).copied().unwrap_or_default()
    }

    /// Finds out how all nodes below a list depend on the placeholder.
    fn learn(&mut self, list: &[Expr]) {
        let mut stack: Vec<(&Expr, bool)> = list.iter().map(|e| (e, false)).collect();
        while let Some((e, is_ready)) = stack.pop() {
            let key = Shared::as_ptr(&e.0);
            if self.known.contains_key(&key) {
                continue;
            }
            if !is_ready {
                stack.push((e, true));
                let operands = e.0.rule.iter().flat_map(|rule| &rule.operands);
                stack.extend(e.0.args.iter().chain(operands).map(|a| (a, false)));
                continue;
            }
            let is_placeholder = Shared::ptr_eq(&e.0, &self.placeholder.0);
            let stops = !e.0.dtype.is_float() || e.0.rule.as_ref().is_some_and(|rule| rule.back.is_none());
            // the operands of a rule without a function are all that the value depends on
            let read = if stops { e.0.sources() } else { &e.0.args[..] };
            let reads = is_placeholder || read.iter().any(|a| self.of(a).reads);
            let passes = is_placeholder || !stops && e.0.sources().iter().any(|a| self.of(a).passes);
            let is_zero = !reads && self.is_zero(e);
            self.known.insert(key, Dependence { reads, passes, is_zero });
        }
    }

    /// Returns whether a node is linear in its operands that pass derivatives on to the placeholder. All other terms of a
    /// sum must be 0. An operation without a derivative counts as linear, because its derivative is an error.
    fn is_linear(&self, e: &Expr) -> bool {
        let args = &e.0.args;
        let passes = |i: usize| self.of(&args[i]).passes;
        is_linear_in(e, &passes, &|i| passes(i) || self.of(&args[i]).is_zero).unwrap_or(true)
    }

    /// Returns whether a node is known to be 0, because it is a linear function of a 0.
    fn is_zero(&self, e: &Expr) -> bool {
        let args = &e.0.args;
        let zero = |i: usize| self.of(&args[i]).is_zero;
        // NaN marks what is undefined, in a sum too
        is_zero(e)
            || e.0.is_constant() && e.0.number().is_some_and(|s| s.as_f64().is_nan())
            || (0..args.len()).any(|i| zero(i) && is_linear_in(e, &|k| k == i, &zero).unwrap_or(false))
    }

    fn refused(&self, e: &Expr, what: &str) -> Error {
        let (name, line) = (e.0.op.name(), e.0.location);
        let detail = format!(
            "{name}, called at {line}, {what}; the function of with_vjp must be linear in its argument and must not stop its derivatives"
        );
        Error::with_line(ErrorKind::Argument, "jvp", detail, self.at)
    }
}

/// Returns whether a node is linear in the operands for which `of` is true, and 0 where they are 0. `is_term` tells for
/// which operands a sum with them changes neither. Returns `None` for operations that have no derivative.
fn is_linear_in(e: &Expr, of: &dyn Fn(usize) -> bool, is_term: &dyn Fn(usize) -> bool) -> Option<bool> {
    let args = &e.0.args;
    Some(match &e.0.op {
        NodeOp::Ufunc(row) => is_linear_row(row, args.len(), of, is_term),
        NodeOp::Reduce(fold, _) => *fold == Fold::of(&arithmetic::add) || *fold == *SUM_OF_CHAINS,
        NodeOp::Scan { fold, .. } => *fold == Fold::of(&arithmetic::add),
        NodeOp::Matmul => of(0) != of(1),
        NodeOp::Concat { .. } => (0..args.len()).all(is_term),
        NodeOp::Cast | NodeOp::View(_) | NodeOp::Reshape => true,
        NodeOp::Take { .. } => of(1),
        NodeOp::Stored(_)
        | NodeOp::Number
        | NodeOp::Fill
        | NodeOp::Iota(_)
        | NodeOp::Philox { .. }
        | NodeOp::Scatter { .. }
        | NodeOp::Routine { .. }
        | NodeOp::Failed => return None,
    })
}

/// Returns whether an elementwise function of `arity` operands is linear in those for which `passes` is true. The formulas
/// of its derivatives tell: none of these operands may occur in the derivatives with respect to them. And where they are
/// 0, the result must be 0. So each other operand has a derivative in which one of them occurs, or it is 0 (`is_term`).
fn is_linear_row(
    row: &'static Ufunc,
    arity: usize,
    passes: &dyn Fn(usize) -> bool,
    is_term: &dyn Fn(usize) -> bool,
) -> bool {
    // their derivatives are 1 between jumps
    if std::ptr::eq(row, &arithmetic::remainder) || std::ptr::eq(row, &arithmetic::fmod) {
        return false;
    }
    let Some(partials) = row.derivative else { return false };
    partials.iter().take(arity).enumerate().all(|(i, partial)| match slope(*partial) {
        None => !passes(i),
        Some(slope) if passes(i) => !reads(&slope.whole, passes),
        Some(slope) => is_term(i) || reads(&slope.whole, passes),
    })
}

/// Returns whether one of the operands for which `passes` is true, or the result, occurs in a formula.
fn reads(formula: &Formula, passes: &dyn Fn(usize) -> bool) -> bool {
    match formula {
        Formula::Operand(i) => passes(*i),
        Formula::Result => true,
        Formula::Cotangent | Formula::Number(_) => false,
        Formula::Call(_, args) => args.iter().any(|a| reads(a, passes)),
    }
}
