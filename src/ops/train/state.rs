//! The state of an optimiser: a tree of the same form as the tree of parameters. It starts with zeros.

use super::tree::{Same, built, eval_tree, leaves, wide};
use crate::array::Array;
use crate::base::dtype::Scalar;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Called, Expr};
use crate::ops::grad::Parameters;

/// Returns a tree of zeros with the shapes and dtypes of the parameters, but with f32 instead of 16-bit floats.
pub(super) fn zeros<P: Parameters>(params: &P, op: &'static str, at: Loc) -> Result<P::With<Array>> {
    let _called = Called::begin(op, at);
    let mut list = vec![];
    for p in leaves(params) {
        let n = p.checked()?;
        if !n.dtype.is_float() {
            let detail = format!("a parameter has dtype {}; floats are needed", n.dtype);
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
        list.push(Expr::fill_on(n.device, Scalar::Float(0.0), n.shape.clone(), wide(p).0.dtype, at));
    }
    eval_tree(&Same(params, list))
}

/// Returns the leaves of the trees in `others`, each of which is given with a name for messages. Returns an error for
/// the first tree whose leaves differ from the parameters in number or in shape.
pub(super) fn lists<'a, const N: usize>(
    op: &'static str,
    params: &[&Expr],
    others: [(&str, Vec<&'a Expr>); N],
    at: Loc,
) -> Result<[Vec<&'a Expr>; N]> {
    for (what, list) in &others {
        let misfit = params.iter().zip(list).position(|(p, e)| p.0.shape != e.0.shape);
        if let Some(e) = params.iter().copied().chain(list.iter().copied()).find_map(Expr::error) {
            return Err(e.clone());
        }
        if let Some(e) = list.iter().find(|e| *what == "state" && !e.0.dtype.is_float()) {
            let detail = format!("a leaf of the state has dtype {}; floats are needed", e.0.dtype);
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
        let detail = match misfit {
            _ if params.len() != list.len() => {
                format!("there are {} parameters and {} leaves of the {what}", params.len(), list.len())
            }
            Some(i) => {
                let (p, e) = (params[i].0.shape.as_slice(), list[i].0.shape.as_slice());
                format!("parameter {i} has shape {p:?}; its {what} has shape {e:?}")
            }
            None => continue,
        };
        return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
    }
    Ok(others.map(|(_, list)| list))
}

/// Returns the next parameters and the next momenta of an optimiser that keeps one momentum for each parameter. `step`
/// gets a parameter and its derivative, both in the dtype of the momentum, and the momentum. It returns the next
/// parameter and the next momentum.
pub(super) fn stepped<P: Parameters>(
    op: &'static str,
    params: &P,
    grads: &impl Parameters,
    state: &impl Parameters,
    at: Loc,
    step: impl Fn(Expr, Expr, &Expr) -> (Expr, Expr),
) -> (P::With<Expr>, P::With<Expr>) {
    let _called = Called::begin(op, at);
    let list = leaves(params);
    let (next, state) = match lists(op, &list, [("derivative", leaves(grads)), ("state", leaves(state))], at) {
        Err(e) => (failed(&e, &list, at), failed(&e, &list, at)),
        Ok([g, m]) => {
            let one = |((p, g), m): ((&&Expr, &Expr), &Expr)| {
                let (next, state) = step(p.astype(m.0.dtype), g.astype(m.0.dtype), m);
                (next.astype(p.0.dtype), state)
            };
            list.iter().zip(g).zip(m).map(one).unzip()
        }
    };
    (built(params, next, op, at), built(params, state, op, at))
}

/// Returns one expression for each parameter, all of which carry the error.
pub(super) fn failed(e: &Error, params: &[&Expr], at: Loc) -> Vec<Expr> {
    params.iter().map(|_| Expr::failed(e.clone(), at)).collect()
}
