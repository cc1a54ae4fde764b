//! The frequencies that belong to the results of Fourier transforms (`fftfreq`, `rfftfreq`), and shifts of the results
//! that move frequency 0 to the middle (`fftshift`) and back (`ifftshift`).

use super::Call;
use crate::base::dtype::DType;
use crate::base::error::ErrorKind;
use crate::base::layout::{AxesArg, IntoAxes};
use crate::graph::expr::{Expr, Operand, binary, cast, choose, operand, result_of, strong};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::create::{countable, iota};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Returns the frequencies that belong to the results of [`fft`](super::fft) for `n` samples at distance `d` from each
/// other: 0, 1, …, ⌈n/2⌉ − 1, −⌊n/2⌋, …, −1, divided by n·d. The unit is cycles per unit of `d`. The result is an array
/// of `n` elements.
///
/// ```
/// use cupric::{DType, fft};
/// assert_eq!(fft::fftfreq(4, 0.5, DType::F32).to_vec::<f32>()?, [0., 0.5, -1., -0.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Argument`] if `n` is 0, [`ErrorKind::LimitExceeded`] if `n` does not fit i32,
/// and [`ErrorKind::DType`] if `dtype` is not a float.
#[track_caller]
pub fn fftfreq(n: usize, d: f64, dtype: DType) -> Expr {
    let at = Location::caller();
    frequencies(Call { op: "fftfreq", at }, n, false, d, dtype)
}

/// Returns the frequencies that belong to the results of [`rfft`](super::rfft) for `n` real samples at distance `d`
/// from each other: 0, 1, …, ⌊n/2⌋, divided by n·d. The unit is cycles per unit of `d`. The result is an array of ⌊n/2⌋
/// + 1 elements. It carries the same errors as [`fftfreq`].
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

/// Returns the frequencies for `n` samples at distance `d`: the result of [`rfftfreq`] if `half` is true, and otherwise
/// the result of [`fftfreq`].
fn frequencies(call: Call, n: usize, half: bool, d: f64, dtype: DType) -> Expr {
    let at = call.at;
    result_of(call.op, at, || {
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
        // for f16 and bf16, the quotient is computed in f32 and rounded once
        Ok(cast(binary(&arithmetic::divide, cast(k, wide(dtype), at), n as f64 * d, at), dtype, at))
    })
}

fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Moves frequency 0, which a Fourier transform stores first, to the middle of each named axis. Elements that leave at
/// one end of an axis come in at the other, as in [`Expr::roll`]. To shift complex numbers, use
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

/// Returns the inverse of [`fftshift`]: moves frequency 0 from the middle of each named axis to its start. Along an
/// axis of odd length, the two functions shift by different numbers of elements.
#[track_caller]
pub fn ifftshift(x: impl Operand, axes: impl IntoAxes) -> Expr {
    let at = Location::caller();
    rolled(Call { op: "ifftshift", at }, operand(x, at), &axes.into_axes(), true)
}

fn rolled(call: Call, x: Expr, axes: &AxesArg, back: bool) -> Expr {
    result_of(call.op, call.at, || {
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
