//! Convolution and correlation of sequences: sums over sliding windows.

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{IntoAxes, SliceItem, View};
use crate::graph::expr::{Expr, Operand, binary, cast, common, operand, reduce, result_of, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::{join, promoted};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// The part of a convolution or correlation that is returned, for sequences of n and m elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WindowMode {
    /// All positions at which the two sequences overlap. The result has n + m − 1 elements.
    Full,
    /// The middle of the full result. The result has as many elements as the longer sequence, max(n, m).
    Same,
    /// The positions at which the shorter sequence lies completely inside the longer one. The result has max(n, m) −
    /// min(n, m) + 1 elements.
    Valid,
}

/// Computes the discrete convolution of two sequences: element k of the full result is Σ a\[i\]·b\[k − i\].
///
/// The convolution is computed directly, as n·m products for sequences of n and m elements, in one pass over the longer
/// sequence and two short passes for the ends. This is efficient if the shorter sequence has up to some hundreds of
/// elements. The result has the promoted dtype, in which integers wrap. For bools, a product is a logical and, and a
/// sum is a logical or. f16 and bf16 are summed in f32.
///
/// # Errors
/// The expression carries an error unless each operand has exactly one axis and at least one element.
///
/// ```
/// use cupric::{WindowMode, array, convolve};
/// let (x, taps) = (array![1., 2., 3.], array![0., 1., 0.5]);
/// assert_eq!(convolve(&x, &taps, WindowMode::Full).to_vec::<f32>()?, [0., 1., 2.5, 4., 1.5]);
/// assert_eq!(convolve(&x, &taps, WindowMode::Same).to_vec::<f32>()?, [1., 2.5, 4.]);
/// assert_eq!(convolve(&x, &taps, WindowMode::Valid).to_vec::<f32>()?, [2.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn convolve(a: impl Operand, b: impl Operand, mode: WindowMode) -> Expr {
    let at = Location::caller();
    let (a, b) = (operand(a, at), operand(b, at));
    result_of("convolve", at, || {
        check("convolve", &a, &b, at)?;
        let (long, short) = if b.0.shape[0] > a.0.shape[0] { (b, a) } else { (a, b) };
        let turned = view("convolve", &short, at, |shape| Ok(View::flip(shape, &[0])));
        windows("convolve", long, turned, mode, at)
    })
}

/// Computes the cross-correlation of two sequences: element k of the full result is Σ a\[k − m + 1 + i\]·b\[i\], for m
/// elements of b. It equals the convolution of a with the reversed b. NumPy's default mode is `Valid`. Dtypes and
/// errors are as in [`convolve`].
///
/// ```
/// use cupric::{WindowMode, array, correlate};
/// let (x, y) = (array![1., 2., 3.], array![0., 1., 0.5]);
/// assert_eq!(correlate(&x, &y, WindowMode::Full).to_vec::<f32>()?, [0.5, 2., 3.5, 3., 0.]);
/// assert_eq!(correlate(&x, &y, WindowMode::Valid).to_vec::<f32>()?, [3.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn correlate(a: impl Operand, b: impl Operand, mode: WindowMode) -> Expr {
    let at = Location::caller();
    let (a, b) = (operand(a, at), operand(b, at));
    result_of("correlate", at, || {
        check("correlate", &a, &b, at)?;
        if b.0.shape[0] <= a.0.shape[0] {
            return windows("correlate", a, b, mode, at);
        }
        // exchanging the operands reverses the result
        let reversed = windows("correlate", b, a, mode, at)?;
        Ok(view("correlate", &reversed, at, |shape| Ok(View::flip(shape, &[0]))))
    })
}

fn check(op: &'static str, a: &Expr, b: &Expr, at: Loc) -> Result<()> {
    common(op, [a, b].into_iter(), at)?;
    let (x, y) = (a.0.shape.as_slice(), b.0.shape.as_slice());
    match (x, y) {
        ([n], [m]) if *n > 0 && *m > 0 => Ok(()),
        _ => {
            let detail = format!("shapes {x:?} and {y:?}: each needs one axis, with at least one element");
            Err(Error::with_line(ErrorKind::Shape, op, detail, at))
        }
    }
}

/// Returns the sums of products of the weights `taps` with the sliding windows of `x`, which is at least as long as
/// `taps`. Windows that extend beyond the ends are computed from short pieces padded with zeros, so `x` itself is never
/// copied.
fn windows(op: &'static str, x: Expr, taps: Expr, mode: WindowMode, at: Loc) -> Result<Expr> {
    let dtype = promoted(op, [&x, &taps].into_iter(), at)?;
    let compute = match dtype == DType::Bool {
        true => dtype,
        false if dtype.is_half() => DType::F32,
        false => dtype.dot(),
    };
    let (x, taps) = (cast(x, compute, at), cast(taps, compute, at));
    let (n, m) = (x.0.shape[0], taps.0.shape[0]);
    // the numbers of windows that extend beyond the left and the right end
    let (left, right) = match mode {
        WindowMode::Full => (m - 1, m - 1),
        WindowMode::Same => (m / 2, m - m / 2 - 1),
        WindowMode::Valid => (0, 0),
    };
    let part = |from: usize, to: usize| {
        let range = SliceItem::Range { start: Some(from as isize), end: Some(to as isize), step: 1 };
        view(op, &x, at, |shape| View::slice(shape, &[range]))
    };
    let zeros = |n: usize| Expr::fill_on(x.0.device, Scalar::Int(0), smallvec![n], compute, at);
    let mut parts = vec![];
    if left > 0 {
        let padded = join(op, vec![zeros(left), part(0, m - 1)], 0, at);
        parts.push(inside(op, &padded, &taps, at));
    }
    parts.push(inside(op, &x, &taps, at));
    if right > 0 {
        let padded = join(op, vec![part(n - (m - 1), n), zeros(right)], 0, at);
        parts.push(inside(op, &padded, &taps, at));
    }
    let all = match parts.len() {
        1 => parts.swap_remove(0),
        _ => join(op, parts, 0, at),
    };
    Ok(cast(all, dtype, at))
}

/// Computes the sums of products for the windows that lie completely inside `x`. The products form a matrix, which is
/// summed along its first axis. Row t has the elements of `x` from element t on, multiplied by element t of `taps`.
fn inside(op: &'static str, x: &Expr, taps: &Expr, at: Loc) -> Expr {
    let (n, m) = (x.0.shape[0], taps.0.shape[0]);
    let shifted = view(op, x, at, |shape| View::sliding_windows(shape, &[(n - m + 1) as isize], &[0]));
    let column = view(op, taps, at, |shape| View::expand(shape, 1));
    let products = binary(&arithmetic::multiply, shifted, column, at);
    let fold = Fold::of(if products.0.dtype == DType::Bool { &logic::logical_or } else { &arithmetic::add });
    reduce(op, fold, &products, &0.into_axes(), at)
}
