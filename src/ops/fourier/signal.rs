//! Functions of signals that are computed by Fourier transforms: convolutions, cosine transforms, and the short-time
//! Fourier transform. They are built from other expressions, so their results fuse with other operations and have
//! derivatives.

use super::axis::{interleaved, positions, product, transform};
use super::{
    Along, Call, Direction, Norm, Options, Scale, along, finish, floats, half_spectrum, numbers, of_half_spectrum,
    part, resized, strided,
};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{ErrorKind, Result};
use crate::base::layout::{self, IntoAxes, View};
use crate::graph::expr::{
    Expr, Operand, Unfit, binary, cast, choose, common, operand, operands, reshape, result_of, unary, view,
};
use crate::graph::routine::is_smooth;
use crate::graph::ufunc::{arithmetic, logic, special};
use crate::ops::complex::{Complex, ComplexOperand};
use crate::ops::functions::join;
use crate::ops::movement::pad_constant;
use crate::ops::statistics::WindowMode;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Returns the convolution of real arrays along one axis or several. The convolution is computed by Fourier transforms.
/// Along one axis, this takes O(n log n) operations for a result of n elements, while [`convolve`](crate::convolve)
/// takes as many as the product of the two lengths. This is SciPy's `signal.fftconvolve`, except that with
/// [`WindowMode::Same`] the result has the length of the longer operand instead of the length of the first.
///
/// Both operands need the same number of axes. Axes that are not named broadcast. The result is f64 if one operand is
/// f64, and f32 otherwise. The absolute error of each element is about ε·log2(n) times the product of the 2-norms of
/// the two operands, even if the element itself is much smaller than that product.
///
/// ```
/// use cupric::{WindowMode, array, fft};
/// let (x, taps) = (array![1., 2., 3.], array![0., 1., 2.]);
/// let y = fft::fftconvolve(&x, &taps, WindowMode::Full, 0).round().to_vec::<f32>()?;
/// assert_eq!(y, [0., 1., 4., 7., 6.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Shape`] if the operands have different numbers of axes, if one of them has no
/// elements along a named axis, or if the other axes do not broadcast. It carries [`ErrorKind::Axis`] if the operands
/// do not have a named axis.
#[track_caller]
pub fn fftconvolve(a: impl Operand, b: impl Operand, mode: WindowMode, axes: impl IntoAxes) -> Expr {
    let at = Location::caller();
    let (call, options) = (Call { op: "fftconvolve", at }, Options::new(axes));
    let [a, b] = operands([a.into_arg(), b.into_arg()], Unfit::Float, at);
    result_of(call.op, at, || {
        common(call.op, [&a, &b].into_iter(), at)?;
        let [mut a, mut b] = [floats(&a, call)?, floats(&b, call)?];
        if a.0.dtype != b.0.dtype {
            (a, b) = (cast(a, DType::F64, at), cast(b, DType::F64, at));
        }
        let (x, y) = (a.0.shape.clone(), b.0.shape.clone());
        let axes = along(&options, x.len(), false, call)?;
        let fits = |axis: usize| match axes.iter().any(|(named, _)| *named == axis) {
            true => x[axis] > 0 && y[axis] > 0,
            false => x[axis] == y[axis] || x[axis] == 1 || y[axis] == 1,
        };
        if x.len() != y.len() || !(0..x.len()).all(fits) {
            let detail = format!(
                "shapes {:?} and {:?}: both need as many axes, with elements along each named one, and the others broadcast",
                &x[..],
                &y[..]
            );
            return Err(call.error(ErrorKind::Shape, detail));
        }
        let lengths = axes.iter().map(|(axis, _)| {
            let full = x[*axis].saturating_add(y[*axis]) - 1;
            (*axis, Some((full..).find(|n| is_smooth(*n)).unwrap_or(full)))
        });
        let lengths: Along = lengths.collect();
        let of = |e: &Expr| half_spectrum(e, lengths.clone(), Scale::One, call);
        let mut result = of_half_spectrum(product(&of(&a)?, &of(&b)?, at), lengths.clone(), Scale::Length, call)?;
        for (axis, _) in axes {
            let (short, long) = (x[axis].min(y[axis]), x[axis].max(y[axis]));
            let (first, count) = match mode {
                WindowMode::Full => (0, long + short - 1),
                WindowMode::Same => ((short - 1) / 2, long),
                WindowMode::Valid => (short - 1, long - short + 1),
            };
            result = part(&result, axis, [first, first + count], 1, call);
        }
        Ok(result)
    })
}

/// Returns the cosine transform of type II of real numbers along one axis of length n: y_k = 2·Σ_j
/// x_j·cos(π·k·(2j+1)/(2n)). This is SciPy's `fft.dct`.
///
/// With [`Norm::Backward`], the default, the result is this y. [`Norm::Ortho`] divides y by √(2n), and y_0 also by √2.
/// [`Norm::Forward`] divides y by 2n.
///
/// ```
/// use cupric::{array, fft};
/// let y = fft::dct(array![1., 1., 1., 1.], -1);
/// assert_eq!(y.to_vec::<f32>()?, [8., 0., 0., 0.]);
/// assert_eq!(fft::idct(&y, -1).to_vec::<f32>()?, [1., 1., 1., 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`fft`](super::fft).
///
/// The algorithm is described in J. Makhoul, A fast cosine transform in one and two dimensions, IEEE Transactions on
/// ASSP 28 (1980).
#[track_caller]
pub fn dct(x: impl Operand, options: impl Into<Options>) -> Expr {
    let (at, options) = (Location::caller(), options.into());
    let (call, x) = (Call { op: "dct", at }, operand(x, at));
    result_of(call.op, at, || {
        let (x, axis, n) = one_axis(&x, &options, call)?;
        // x becomes its elements at even positions, followed by its elements at odd positions in reverse order
        let odd = view(call.op, &strided(&x, axis, 1, 2, call), at, |shape| Ok(View::flip(shape, &[axis])));
        let x = join(call.op, vec![strided(&x, axis, 0, 2, call), odd], axis as isize, at);
        let zeros = Expr::fill_on(x.0.device, Scalar::Float(0.0), x.0.shape.clone(), x.0.dtype, at);
        let [re, im] = transform([x, zeros], axis, Direction::Forward, Scale::One, call)?;
        let [c, s] = quarter_turns(&re, axis, n, call);
        let times = |a: &Expr, b: &Expr| binary(&arithmetic::multiply, a, b, at);
        let y = binary(&arithmetic::add, times(&re, &c), times(&im, &s), at);
        Ok(match options.norm {
            Norm::Backward => binary(&arithmetic::multiply, y, 2.0, at),
            Norm::Forward => binary(&arithmetic::divide, y, n, at),
            Norm::Ortho => times(&y, &ortho(&y, axis, [1.0 / n as f64, 2.0 / n as f64].map(f64::sqrt), call)),
        })
    })
}

/// Returns the inverse of [`dct`] with the same norm, along one axis of length n. It is the cosine transform of type
/// III, divided by 2n with [`Norm::Backward`], the default.
///
/// # Errors
/// The errors are the same as for [`fft`](super::fft).
#[track_caller]
pub fn idct(x: impl Operand, options: impl Into<Options>) -> Expr {
    let (at, options) = (Location::caller(), options.into());
    let (call, x) = (Call { op: "idct", at }, operand(x, at));
    result_of(call.op, at, || {
        let (y, axis, n) = one_axis(&x, &options, call)?;
        let times = |a: &Expr, b: &Expr| binary(&arithmetic::multiply, a, b, at);
        let y = match options.norm {
            Norm::Backward => binary(&arithmetic::multiply, y, 0.5, at),
            Norm::Forward => binary(&arithmetic::multiply, y, n, at),
            Norm::Ortho => times(&y, &ortho(&y, axis, [n as f64, n as f64 / 2.0].map(f64::sqrt), call)),
        };
        // element k of `mirrored` is y[n - k], except that element 0 is 0
        let mut widths: SmallVec<[(usize, usize); 6]> = smallvec![(0, 0); y.0.shape.len()];
        widths[axis].0 = 1;
        let mirrored = pad_constant(call.op, &part(&y, axis, [1, n], -1, call), &widths, Scalar::Float(0.0), at);
        let [c, s] = quarter_turns(&y, axis, n, call);
        let re = binary(&arithmetic::add, times(&y, &c), times(&mirrored, &s), at);
        let im = binary(&arithmetic::subtract, times(&y, &s), times(&mirrored, &c), at);
        let [v, _] = transform([re, im], axis, Direction::Inverse, Scale::Length, call)?;
        // the first half of v holds the elements at even positions, and the rest the elements at odd positions in
        // reverse order
        let half = n.div_ceil(2);
        let (even, odd) =
            (part(&v, axis, [0, half], 1, call), resized(&part(&v, axis, [half, n], -1, call), axis, half, call)?);
        Ok(part(&interleaved([even, odd], axis, call), axis, [0, n], 1, call))
    })
}

/// Returns the operand as floats, with the one axis that `options` name, and the length of this axis, which must be at
/// least 1. The axis is cut or padded with zeros if `options` set its length.
fn one_axis(x: &Expr, options: &Options, call: Call) -> Result<(Expr, usize, usize)> {
    let x = floats(x, call)?;
    let (axis, wanted) = along(options, x.0.shape.len(), true, call)?[0];
    let x = resized(&x, axis, wanted.unwrap_or(x.0.shape[axis]), call)?;
    let n = x.checked()?.shape[axis];
    if n == 0 {
        let detail = format!("axis {axis} of shape {:?} has length 0", x.0.shape.as_slice());
        return Err(call.error(ErrorKind::Shape, detail));
    }
    Ok((x, axis, n))
}

/// Returns cos(π·k/2n) and sin(π·k/2n) for each position k along an axis of length `n`.
fn quarter_turns(like: &Expr, axis: usize, n: usize, call: Call) -> [Expr; 2] {
    let k = cast(positions(like, axis, n, call.at), like.0.dtype, call.at);
    let turns = binary(&arithmetic::divide, k, 2 * n, call.at);
    [unary(&special::cospi, &turns, call.at), unary(&special::sinpi, &turns, call.at)]
}

/// Returns an array of factors along an axis: `first` at position 0, and `other` at all other positions.
fn ortho(like: &Expr, axis: usize, [first, other]: [f64; 2], call: Call) -> Expr {
    let n = like.0.shape[axis];
    let is_first = binary(&logic::equal, positions(like, axis, n, call.at), 0, call.at);
    let filled = |x: f64| Expr::fill(Scalar::Float(x), smallvec![], like.0.dtype, call.at);
    choose(is_first, filled(first), filled(other), call.at)
}

/// Returns the short-time Fourier transform of real signals along the last axis: cuts each signal into overlapping
/// segments as long as the window, multiplies each segment by the window, and transforms it by [`rfft`](super::rfft).
/// Segment f begins at element f·hop. For a window of n elements, the result has the shape […, segments, ⌊n/2⌋ + 1].
///
/// Elements after the last complete segment are left out. PyTorch's `stft` with `center=False` returns the same
/// numbers, but with the last two axes in the other order.
///
/// ```
/// use cupric::{DType, PI, arange, array, fft};
/// let fade = 0.5 - 0.5 * (arange(0, 4, 1, DType::F32) * (2.0 * PI / 4.0)).cos(); // a Hann window
/// let x = array![1., 2., 3., 4., 5., 6.];
/// let z = fft::stft(&x, &fade, 2);
/// assert_eq!(z.shape()?, [2, 3]);
/// assert_eq!(z.real().to_vec::<f32>()?, [6., -3., 0., 10., -5., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The real and the imaginary part carry [`ErrorKind::Shape`] if the window does not have exactly one axis, is empty,
/// or is longer than the signal, and [`ErrorKind::Argument`] if `hop` is 0.
#[track_caller]
pub fn stft(x: impl Operand, window: impl Operand, hop: usize) -> Complex {
    let at = Location::caller();
    let call = Call { op: "stft", at };
    let (x, window) = (operand(x, at), operand(window, at));
    let build = || {
        let (x, window, n) = windowed(&x, &window, hop, call)?;
        let last = x.0.shape.len().wrapping_sub(1);
        let have = x.0.shape.last().copied().unwrap_or(0);
        if have < n {
            let detail = format!("a window of {n} elements is longer than the last axis of shape {:?}", &x.0.shape[..]);
            return Err(call.error(ErrorKind::Shape, detail));
        }
        let parts = view(call.op, &x, at, |shape| View::sliding_windows(shape, &[n as isize], &[-1]));
        let parts = strided(&parts, last, 0, hop as isize, call);
        let parts = binary(&arithmetic::multiply, parts, &window, at);
        half_spectrum(&parts, smallvec![(last + 1, None)], Scale::One, call)
    };
    finish(call, build)
}

/// Returns the signals whose short-time Fourier transform is `z`: the inverse of [`stft`] with the same window and hop.
/// Each segment is transformed back and multiplied by the window. Where segments overlap, they are added. Each sum is
/// divided by the sum of the squares of the windows at the same element. If this sum of squares is below 1e-10, as at
/// the first element for a Hann window, the element is not divided.
///
/// For a window of n elements, the result has (segments − 1)·hop + n elements along the last axis.
///
/// ```
/// use cupric::{array, fft};
/// let (x, window) = (array![1., 2., 3., 4., 5., 6.], array![1., 2., 2., 1.]);
/// let back = fft::istft(fft::stft(&x, &window, 2), &window, 2);
/// assert_eq!(back.round().to_vec::<f32>()?, [1., 2., 3., 4., 5., 6.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The expression carries [`ErrorKind::Shape`] if the last axis of `z` does not have ⌊n/2⌋ + 1 elements, or if there is
/// no axis of segments before it. It also carries the errors of [`stft`].
#[track_caller]
pub fn istft(z: impl ComplexOperand, window: impl Operand, hop: usize) -> Expr {
    let at = Location::caller();
    let call = Call { op: "istft", at };
    let window = operand(window, at);
    result_of(call.op, at, || {
        let [re, im] = numbers(z.parts(), call)?;
        let (re, window, n) = windowed(&re, &window, hop, call)?;
        let im = cast(im, re.0.dtype, at);
        let shape = re.0.shape.clone();
        let [.., count, half] = shape[..] else {
            return Err(call.error(ErrorKind::Shape, format!("shape {:?} has no axis of parts", &shape[..])));
        };
        if half != n / 2 + 1 || count == 0 {
            let detail = format!("shape {:?} is not that of parts for a window of {n} elements", &shape[..]);
            return Err(call.error(ErrorKind::Shape, detail));
        }
        let lengths: Along = smallvec![(shape.len() - 1, Some(n))];
        let parts = of_half_spectrum([re, im], lengths, Scale::Length, call)?;
        let sums = overlapped(&binary(&arithmetic::multiply, parts, &window, at), hop, call)?;
        let squares = binary(&arithmetic::multiply, &window, &window, at);
        let squares = view(call.op, &squares, at, |_| View::broadcast_to(&[n], &[count, n]));
        let weights = overlapped(&squares, hop, call)?;
        let is_small = binary(&logic::less, &weights, 1e-10, at);
        Ok(binary(&arithmetic::divide, sums, choose(is_small, 1.0, &weights, at), at))
    })
}

/// Returns a signal and a window as floats of one dtype, with the length of the window. Returns an error if the window
/// does not have exactly one axis with elements, or if `hop` is 0.
fn windowed(x: &Expr, window: &Expr, hop: usize, call: Call) -> Result<(Expr, Expr, usize)> {
    common(call.op, [x, window].into_iter(), call.at)?;
    let [mut x, mut window] = [floats(x, call)?, floats(window, call)?];
    if x.0.dtype != window.0.dtype {
        (x, window) = (cast(x, DType::F64, call.at), cast(window, DType::F64, call.at));
    }
    match window.0.shape[..] {
        [n] if n > 0 && hop > 0 => Ok((x, window, n)),
        [n] if n > 0 => {
            Err(call.error(ErrorKind::Argument, "hop 0; parts begin at least one element apart".to_string()))
        }
        ref shape => {
            Err(call.error(ErrorKind::Shape, format!("a window of shape {shape:?}; it needs one axis, with elements")))
        }
    }
}

/// Adds overlapping segments of signals. `parts` has the shape […, count, n], and segment f begins at element f·hop of
/// the result.
fn overlapped(parts: &Expr, hop: usize, call: Call) -> Result<Expr> {
    let at = call.at;
    let shape = parts.checked()?.shape.clone();
    let (axis, n) = (shape.len() - 2, shape[shape.len() - 1]);
    let (count, pieces) = (shape[axis], n.div_ceil(hop));
    let length = (count - 1).saturating_mul(hop).saturating_add(n);
    // each segment is cut into pieces of `hop` elements; piece j of segment f is added to piece f + j of the result
    let parts = resized(parts, axis + 1, pieces.saturating_mul(hop), call)?;
    let mut sum: Option<Expr> = None;
    for j in 0..pieces {
        let piece = part(&parts, axis + 1, [j * hop, (j + 1) * hop], 1, call);
        let mut widths: SmallVec<[(usize, usize); 6]> = smallvec![(0, 0); shape.len()];
        widths[axis] = (j, pieces - 1 - j);
        let piece = pad_constant(call.op, &piece, &widths, Scalar::Float(0.0), at);
        sum = Some(match sum {
            None => piece,
            Some(sum) => binary(&arithmetic::add, sum, piece, at),
        });
    }
    let Some(sum) = sum else { return Err(call.error(ErrorKind::Internal, "a window without elements".to_string())) };
    let mut whole: SmallVec<[isize; 6]> = shape[..axis].iter().map(|n| *n as isize).collect();
    whole.push(layout::product(&[count + pieces - 1, hop]) as isize);
    let sum = reshape(call.op, &sum, &whole, at);
    resized(&sum, axis, length, call)
}
