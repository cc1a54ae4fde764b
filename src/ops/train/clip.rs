//! Clipping of derivatives.

use super::state::failed;
use super::tree::{built, leaves, wide};
use crate::base::error::{Error, ErrorKind, Loc};
use crate::base::layout::IntoAxes;
use crate::graph::expr::{Called, Expr, between};
use crate::graph::ufunc::scales;
use crate::ops::functions::{Squares, scale_of, select};
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
    let _called = Called::begin(OP, at);
    let wrong = if most.is_nan() || most < 0.0 {
        Some((ErrorKind::Argument, format!("the bound {most} is not a number from 0 on")))
    } else {
        let other = list.iter().find(|g| g.error().is_none() && !g.0.dtype.is_float());
        other.map(|g| (ErrorKind::DType, format!("a leaf has dtype {}; floats are needed", g.0.dtype)))
    };
    if let Some((kind, detail)) = wrong {
        return built(grads, failed(&Error::with_line(kind, OP, detail, at), &list, at), OP, at);
    }
    // a sum of squares may overflow, which the norm does not
    let norm = between(|| {
        let all = (..).into_axes();
        let squares: Vec<Squares> = list.iter().map(|g| Squares::of(OP, &wide(g), g.0.dtype, true, &all, at)).collect();
        norm_of(&squares, at)
    });
    let Some(norm) = norm else { return built(grads, vec![], OP, at) };
    // a comparison with a NaN norm is false, so the factor becomes `most / NaN`, which is NaN. The scale is a power of
    // two, so that the quotient does not lose digits to underflow
    let is_short = norm.less_equal(most);
    let scale = select(&is_short, 1.0, scale_of(&norm, at));
    let factor = select(is_short, 1.0, most / (&norm * &scale));
    let clipped = list.iter().map(|g| (wide(g) * &scale * &factor).astype(g.0.dtype)).collect();
    built(grads, clipped, OP, at)
}

/// Returns the norm of all elements of several arrays from the sums of squares of each array, or `None` without arrays.
/// If all these sums and their total are in the bounds of [`Squares`], the norm is the square root of the total.
fn norm_of(squares: &[Squares], at: Loc) -> Option<Expr> {
    let totals = squares.iter().map(|s| s.value(at));
    let roots = squares.iter().map(|s| s.root(at));
    let total = totals.reduce(|a, b| a + b)?;
    let root = roots.reduce(|a, b| a.hypot(b))?;
    let [low, high] = scales(total.0.dtype).bounds;
    // a hypot of ∞ and NaN is ∞
    let is_ordinary = total.greater_equal(low).logical_and(total.less_equal(high)).logical_or(total.isnan());
    Some(select(is_ordinary, total.sqrt(), root))
}
