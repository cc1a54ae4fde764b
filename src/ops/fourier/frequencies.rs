//! The frequencies of the results of transforms, and their order.

use super::Call;
use crate::base::dtype::DType;
use crate::base::error::ErrorKind;
use crate::base::layout::{AxesArg, IntoAxes};
use crate::graph::expr::{Expr, Operand, binary, carry, cast, choose, operand, strong};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::create::{countable, iota};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Returns the frequencies of the results of [`fft`](super::fft) of `n` numbers with the distance `d` between samples, in cycles
/// for each unit of `d`: 0, 1, …, ⌈n/2⌉ − 1, −⌊n/2⌋, …, −1, divided by n·d.
///
/// ```
/// use cupric::{DType, fft};
/// assert_eq!(fft::fftfreq(4, 0.5, DType::F32).to_vec::<f32>()?, [0., 0.5, -1., -0.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries an error if `n` is 0 or does not fit i32, or if the dtype is no float.
#[track_caller]
pub fn fftfreq(n: usize, d: f64, dtype: DType) -> Expr {
    let at = Location::caller();
    frequencies(Call { op: "fftfreq", at }, n, false, d, dtype)
}

/// Returns the frequencies of the results of [`rfft`](super::rfft): 0, 1, …, ⌊n/2⌋, divided by n·d. See [`fftfreq`].
///
/// ```
/// use cupric::{DType, fft};
/// assert_eq!(fft::rfftfreq(4, 0.5, DType::F32).to_vec::<f32>()?, [0., 0.5, 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn rfftfreq(n: usize, d: f64, dtype: DType) -> Expr {
    let at = Location::caller();
    frequencies(Call { op: "rfftfreq", at }, n, true, d, dtype)
}

/// Returns the frequencies of all results of a transform of `n` numbers, or those of the first half.
fn frequencies(call: Call, n: usize, half: bool, d: f64, dtype: DType) -> Expr {
    let at = call.at;
    carry(at, || {
        if !dtype.is_float() {
            return Err(call.error(ErrorKind::DType, format!("dtype {dtype}; frequencies are floats")));
        }
        if n == 0 {
            return Err(call.error(ErrorKind::Argument, "0 numbers have no frequencies".to_string()));
        }
        countable(call.op, n, at)?;
        let k = iota(smallvec![if half { n / 2 + 1 } else { n }], 0, at);
        let k = match half {
            true => k,
            false => {
                choose(binary(&logic::less, &k, n.div_ceil(2), at), &k, binary(&arithmetic::subtract, &k, n, at), at)
            }
        };
        // the quotient of f16 and bf16 is computed in f32 and rounded once
        Ok(cast(binary(&arithmetic::divide, cast(k, wide(dtype), at), n as f64 * d, at), dtype, at))
    })
}

fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Moves the number of frequency 0 to the middle of the axes, by [`Expr::roll`]. To move complex numbers, use
/// [`Complex::map`](crate::Complex::map).
///
/// ```
/// use cupric::{array, fft};
/// let x = array![0., 1., -2., -1.];
/// assert_eq!(fft::fftshift(&x, -1).to_vec::<f32>()?, [-2., -1., 0., 1.]);
/// assert_eq!(fft::ifftshift(fft::fftshift(&x, ..), ..).to_vec::<f32>()?, [0., 1., -2., -1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn fftshift(x: impl Operand, axes: impl IntoAxes) -> Expr {
    let at = Location::caller();
    rolled(Call { op: "fftshift", at }, operand(x, at), &axes.into_axes(), false)
}

/// Returns the inverse of [`fftshift`], which differs from it for odd lengths.
#[track_caller]
pub fn ifftshift(x: impl Operand, axes: impl IntoAxes) -> Expr {
    let at = Location::caller();
    rolled(Call { op: "ifftshift", at }, operand(x, at), &axes.into_axes(), true)
}

fn rolled(call: Call, x: Expr, axes: &AxesArg, back: bool) -> Expr {
    carry(call.at, || {
        x.checked()?;
        let x = strong(x, call.at);
        let axes = axes.resolve(x.0.shape.len()).map_err(|f| f.at(call.op, call.at))?;
        let moves: SmallVec<[(usize, usize); 4]> = axes
            .iter()
            .map(|axis| {
                let n = x.0.shape[*axis];
                (*axis, if back { n.div_ceil(2) % n.max(1) } else { n / 2 })
            })
            .collect();
        Ok(crate::ops::movement::rolled(call.op, &x, &moves, call.at))
    })
}
