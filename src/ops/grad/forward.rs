//! The placeholder with which [`jvp`](super::jvp) builds a derivative, and the check that the derivative is a function of
//! the placeholder that can be differentiated.

use crate::base::dtype::Scalar;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::shared::Shared;
use crate::graph::expr::{Expr, Node, cast_always};
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

/// What [`check`] knows about a node.
#[derive(Clone, Copy, Default)]
struct Dependence {
    /// Whether the node's value is computed from the placeholder.
    reads: bool,
    /// Whether derivatives pass from the node to the placeholder.
    passes: bool,
}

/// Checks that derivatives with respect to the placeholder pass through each node of `list` that is computed from it.
/// Otherwise the derivative of `list` would silently lack a term.
///
/// # Errors
/// Returns an error that names the first operation whose derivative is lost.
pub(super) fn check(list: &[Expr], placeholder: &Expr, at: Loc) -> Result<()> {
    let mut known: HashMap<*const Node, Dependence, BuildHasherDefault<KeyHasher>> = HashMap::default();
    let mut stack: Vec<(&Expr, bool)> = list.iter().map(|e| (e, false)).collect();
    while let Some((e, is_ready)) = stack.pop() {
        let key = Shared::as_ptr(&e.0);
        if known.contains_key(&key) {
            continue;
        }
        if !is_ready {
            stack.push((e, true));
            let operands = e.0.rule.iter().flat_map(|rule| &rule.operands);
            stack.extend(e.0.args.iter().chain(operands).map(|a| (a, false)));
            continue;
        }
        let of = |a: &Expr| known.get(&Shared::as_ptr(&a.0)).copied().unwrap_or_default();
        let is_placeholder = Shared::ptr_eq(&e.0, &placeholder.0);
        let stops = !e.0.dtype.is_float() || e.0.rule.as_ref().is_some_and(|rule| rule.back.is_none());
        let reads = is_placeholder || e.0.args.iter().any(|a| of(a).reads);
        let passes = is_placeholder || !stops && e.0.sources().iter().any(|a| of(a).passes);
        known.insert(key, Dependence { reads, passes });
    }
    // Only nodes that the derivative visits matter: the inner operations of a call with a rule have none.
    let mut seen: HashSet<*const Node, BuildHasherDefault<KeyHasher>> = HashSet::default();
    let mut stack: Vec<&Expr> = list.iter().collect();
    while let Some(e) = stack.pop() {
        let key = Shared::as_ptr(&e.0);
        let Some(own) = known.get(&key).filter(|own| own.reads || own.passes) else { continue };
        if !seen.insert(key) {
            continue;
        }
        if own.reads && !own.passes {
            let (name, line) = (e.0.op.name(), e.0.location);
            let detail = format!(
                "{name}, called at {line}, reads the cotangent but passes no derivative on to it; the function of with_vjp must be linear in its argument and must not stop its derivatives"
            );
            return Err(Error::with_line(ErrorKind::Argument, "jvp", detail, at));
        }
        stack.extend(e.0.sources());
    }
    Ok(())
}
