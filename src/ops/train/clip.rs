//! Clipping of derivatives.

use super::state::failed;
use super::tree::{built, leaves, wide};
use crate::base::error::{Error, ErrorKind};
use crate::graph::expr::Expr;
use crate::ops::functions::select;
use crate::ops::grad::Parameters;
use std::panic::Location;

/// Returns the derivatives `grads`, all multiplied by the same number, so that their norm over all elements of all
/// leaves is at most `most` (Pascanu et al., 2013). The norm is computed in f32, or in f64 if a leaf has dtype f64. If
/// the norm is NaN, all results are NaN. If the norm is infinite, finite elements become 0 and infinite elements become
/// NaN.
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
///
/// # Errors
/// The expressions carry [`ErrorKind::Argument`] if `most` is negative or NaN, and [`ErrorKind::DType`] if a leaf is
/// not a float.
#[doc(alias = "clip_grad_norm_")]
#[track_caller]
pub fn clip_by_global_norm<P: Parameters>(grads: &P, most: f64) -> P::With<Expr> {
    const OP: &str = "clip_by_global_norm";
    let (at, list) = (Location::caller(), leaves(grads));
    let wrong = if most.is_nan() || most < 0.0 {
        Some((ErrorKind::Argument, format!("the bound {most} is not a number from 0 on")))
    } else {
        let other = list.iter().find(|g| g.error().is_none() && !g.0.dtype.is_float());
        other.map(|g| (ErrorKind::DType, format!("a leaf has dtype {}; floats are needed", g.0.dtype)))
    };
    if let Some((kind, detail)) = wrong {
        return built(grads, failed(&Error::with_line(kind, OP, detail, at), &list, at), OP, at);
    }
    let squares = list.iter().map(|g| wide(g).square().sum(..));
    let Some(total) = squares.reduce(|a, b| a + b) else { return built(grads, vec![], OP, at) };
    let norm = total.sqrt();
    // a comparison with a NaN norm is false, so the factor becomes `most / NaN`, which is NaN
    let factor = select(norm.less_equal(most), 1.0, most / &norm);
    let clipped = list.iter().map(|g| (wide(g) * &factor).astype(g.0.dtype)).collect();
    built(grads, clipped, OP, at)
}
