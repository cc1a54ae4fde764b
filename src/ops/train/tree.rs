//! Trees of expressions (see [`Parameters`]): their leaves, and their evaluation.

use crate::array::{Array, eval_many};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::Expr;
use crate::ops::grad::{Parameters, built_arrays};
use std::panic::Location;

/// Returns the leaves of a tree (its expressions), in the order of the tree.
pub(super) fn leaves<P: Parameters>(tree: &P) -> Vec<&Expr> {
    let mut list = vec![];
    tree.leaves(&mut list);
    list
}

/// Returns a tree of the same form as `tree`, with the expressions of a list as its leaves.
pub(super) fn built<P: Parameters>(tree: &P, list: Vec<Expr>, op: &'static str, at: Loc) -> P::With<Expr> {
    let mut list = list.into_iter();
    let missing = || {
        let detail = "the method `with` of the parameters asks for more leaves than `leaves` lists";
        Expr::failed(Error::with_line(ErrorKind::Argument, op, detail, at), at)
    };
    tree.with(&mut || list.next().unwrap_or_else(missing))
}

/// A tree of the same form as the first field, with the expressions of the list as its leaves.
pub(super) struct Same<'a, P>(pub &'a P, pub Vec<Expr>);

impl<P: Parameters> Parameters for Same<'_, P> {
    type With<U> = P::With<U>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        list.extend(&self.1);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> P::With<U> {
        self.0.with(next)
    }
}

/// Evaluates a tree of expressions in one plan, and returns a tree of arrays of the same form. A tuple of trees is a
/// tree, so several trees can be evaluated together.
///
/// ```
/// use cupric::array;
/// use cupric::train::eval_tree;
/// let x = array![1., 2.];
/// let (sum, [double, half]) = eval_tree(&(x.sum(..), [&x * 2.0, &x * 0.5]))?;
/// assert_eq!(sum.item::<f32>()?, 3.);
/// assert_eq!(double.to_vec::<f32>()?, [2., 4.]);
/// assert_eq!(half.to_vec::<f32>()?, [0.5, 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// Returns the errors of [`eval_many`], and [`ErrorKind::Argument`] if the tree's method `with` asks for more leaves
/// than `leaves` lists.
#[track_caller]
pub fn eval_tree<P: Parameters>(tree: &P) -> Result<P::With<Array>> {
    let at = Location::caller();
    built_arrays(tree, eval_many(leaves(tree))?, "eval_tree", at)
}

/// Converts an expression of 16-bit floats to f32, the dtype in which a step of an optimiser is computed. Returns any
/// other expression unchanged.
pub(super) fn wide(e: &Expr) -> Expr {
    if e.0.dtype.is_half() { e.astype(DType::F32) } else { e.clone() }
}
