//! Trees of expressions: evaluation, and the norm of all leaves.

use crate::array::{Array, eval_many};
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::Expr;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// Returns the leaves of a tree in its order.
pub(super) fn leaves<P: Parameters>(tree: &P) -> Vec<&Expr> {
    let mut list = vec![];
    tree.leaves(&mut list);
    list
}

/// Returns a tree of the same form with the expressions of a list.
pub(super) fn built<P: Parameters>(tree: &P, list: Vec<Expr>, op: &'static str, at: Loc) -> P::With<Expr> {
    let mut list = list.into_iter();
    let missing = || {
        let detail = "the method `with` of the parameters asks for more leaves than `leaves` lists";
        Expr::failed(Error::with_line(ErrorKind::Argument, op, detail, at), at)
    };
    tree.with(&mut || list.next().unwrap_or_else(missing))
}

/// Evaluates a tree of expressions in one plan, and returns a tree of arrays of the same form. Trees in a tuple are one
/// tree.
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
/// The errors of [`eval_many`]; [`ErrorKind::Argument`] if the tree's method `with` asks for more leaves than `leaves`
/// lists.
#[track_caller]
pub fn eval_tree<P: Parameters>(tree: &P) -> Result<P::With<Array>> {
    let at = Location::caller();
    let mut arrays = eval_many(leaves(tree))?.into_iter();
    let mut is_short = false;
    let no_array = || Array::from_vec(Vec::<f32>::new(), [0]);
    let spare = no_array()?;
    let made = tree.with(&mut || {
        arrays.next().unwrap_or_else(|| {
            is_short = true;
            spare.clone()
        })
    });
    match is_short {
        true => {
            let detail = "the method `with` of the tree asks for more leaves than `leaves` lists";
            Err(Error::with_line(ErrorKind::Argument, "eval_tree", detail, at))
        }
        false => Ok(made),
    }
}

/// Returns a tree of derivatives whose norm, over all elements of all leaves, is at most `most`: all leaves are
/// multiplied by the same number. The norm is computed in f32, or in f64 for leaves of f64.
///
/// ```
/// use cupric::array;
/// use cupric::train::clip_by_global_norm;
/// let grads = (array![3.], array![[4.]]);
/// let (a, b) = clip_by_global_norm(&grads, 1.0);
/// assert!(a.allclose(array![0.6], 1e-6, 0.0, false).item::<bool>()?);
/// assert!(b.allclose(array![[0.8]], 1e-6, 0.0, false).item::<bool>()?);
/// let (a, _) = clip_by_global_norm(&grads, 10.0);
/// assert_eq!(a.to_vec::<f32>()?, [3.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn clip_by_global_norm<P: Parameters>(grads: &P, most: f64) -> P::With<Expr> {
    let at = Location::caller();
    let list = leaves(grads);
    let squares = list.iter().map(|g| wide(g).square().sum(..));
    let Some(total) = squares.reduce(|a, b| a + b) else { return built(grads, vec![], "clip_by_global_norm", at) };
    let norm = total.sqrt();
    let factor = crate::select(norm.greater(most), most / &norm, 1.0);
    let clipped = list.iter().map(|g| (wide(g) * &factor).astype(g.0.dtype)).collect();
    built(grads, clipped, "clip_by_global_norm", at)
}

/// Returns an expression in the dtype in which a step is computed: 16-bit floats become f32.
pub(super) fn wide(e: &Expr) -> Expr {
    if e.0.dtype.is_half() { e.astype(DType::F32) } else { e.clone() }
}
