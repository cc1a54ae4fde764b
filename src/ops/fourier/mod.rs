//! Discrete Fourier transforms: the functions of the Array API's `fft`. They are built from calls of the routine `fft`
//! (`graph/routine/fft.rs`), which transforms one axis whose length has no prime factor above 7. For other lengths,
//! Bluestein's method makes three such calls. Real numbers are transformed as half as many complex numbers if their
//! number is even and half of it has no such factor.

mod axis;
mod frequencies;
mod signal;

pub use frequencies::{fftfreq, fftshift, ifftshift, rfftfreq};
pub use signal::{dct, fftconvolve, idct, istft, stft};

use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, AxesArg, AxisList, Integers, IntoAxes, SliceItem, View};
use crate::graph::expr::{Called, Expr, Operand, binary, cast, choose, operand, result_of, strong, unary, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::complex::{Complex, ComplexOperand, Parts};
use crate::ops::create::iota;
use crate::ops::functions::join;
use crate::ops::movement::pad_constant;
use axis::{is_by_halves, reals_of_transform, transform, transform_of_reals};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// The factor by which the results of a Fourier transform of n numbers are multiplied. Transforms with the same `Norm`
/// in both directions are inverse to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Norm {
    /// The factor is 1 for the forward transform, and 1/n for the inverse one.
    #[default]
    Backward,
    /// The factor is 1/√n in both directions.
    Ortho,
    /// The factor is 1/n for the forward transform, and 1 for the inverse one.
    Forward,
}

/// The options of a Fourier transform: its axes, the lengths of the transforms, and the factor by which the results are
/// multiplied. A function that takes options also accepts one axis, a list of axes, or `..` for all axes in place of
/// the options.
///
/// ```
/// use cupric::fft::{Norm, Options, rfft};
/// let x = cupric::array![1., 1., 1., 1.];
/// assert_eq!(rfft(&x, -1).real().to_vec::<f32>()?, [4., 0., 0.]);
/// let z = rfft(&x, Options::new(-1).lengths(8).norm(Norm::Forward));
/// assert_eq!(z.shape()?, [5]);
/// assert_eq!(z.real().to_vec::<f32>()?[0], 0.5);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    axes: AxesArg,
    lengths: Option<SmallVec<[isize; 6]>>,
    norm: Norm,
}

impl Options {
    /// Creates the options of transforms along axes. A negative axis counts from the end.
    pub fn new(axes: impl IntoAxes) -> Options {
        Options { axes: axes.into_axes(), lengths: None, norm: Norm::default() }
    }

    /// Sets the lengths of the transforms, one for each axis. The input is cut or padded with zeros to these lengths
    /// along the axes. For [`irfft`], [`irfftn`] and [`hfft`] they are the lengths of the result. NumPy and the Array
    /// API call them `n` and `s`.
    #[doc(alias("n", "s"))]
    pub fn lengths(self, lengths: impl Integers) -> Options {
        Options { lengths: Some(lengths.integers()), ..self }
    }

    /// Sets the factor of the results. The default is [`Norm::Backward`].
    pub fn norm(self, norm: Norm) -> Options {
        Options { norm, ..self }
    }
}

impl<T: IntoAxes> From<T> for Options {
    fn from(axes: T) -> Options {
        Options::new(axes)
    }
}

/// The direction of a Fourier transform.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Inverse,
}

impl Direction {
    fn opposite(self) -> Direction {
        match self {
            Direction::Forward => Direction::Inverse,
            Direction::Inverse => Direction::Forward,
        }
    }
}

/// The factor of the results of a transform of n numbers: 1, 1/n or 1/√n.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    One,
    Length,
    Root,
}

impl Scale {
    fn of(norm: Norm, direction: Direction) -> Scale {
        match (norm, direction) {
            (Norm::Ortho, _) => Scale::Root,
            (Norm::Backward, Direction::Inverse) | (Norm::Forward, Direction::Forward) => Scale::Length,
            (Norm::Backward, Direction::Forward) | (Norm::Forward, Direction::Inverse) => Scale::One,
        }
    }
}

/// A call of a public function: its name and the caller's line, which errors report.
#[derive(Clone, Copy)]
struct Call {
    op: &'static str,
    at: Loc,
}

impl Call {
    fn error(self, kind: ErrorKind, detail: String) -> Error {
        Error::with_line(kind, self.op, detail, self.at)
    }
}

/// The axes to transform, in the order in which the caller names them, each with the length of its transform if the
/// caller sets one.
type Along = SmallVec<[(usize, Option<usize>); 4]>;

/// Returns the axes that `options` name for an operand of `ndim` axes, with their lengths. If `one` is true, anything
/// but exactly one axis is an error.
fn along(options: &Options, ndim: usize, one: bool, call: Call) -> Result<Along> {
    let named: AxisList = match &options.axes.axes {
        _ if options.axes.keep => {
            let detail = "`keep` is for reductions; name the axes themselves".to_string();
            return Err(call.error(ErrorKind::Argument, detail));
        }
        // `..` stands for all axes, or for the last k axes if there are k lengths
        None => {
            let count = options.lengths.as_ref().map_or(ndim, |l| l.len().min(ndim));
            (ndim - count..ndim).collect()
        }
        Some(list) => {
            options.axes.resolve(ndim).map_err(|f| f.at(call.op, call.at))?;
            let list = list.iter().map(|axis| layout::normalize_axis(*axis, ndim));
            list.collect::<Result<_, _>>().map_err(|f| f.at(call.op, call.at))?
        }
    };
    if named.is_empty() || one && named.len() != 1 {
        let wanted = if one { "one axis" } else { "one axis or more" };
        return Err(call.error(ErrorKind::Axis, format!("{} axes; {wanted} is needed", named.len())));
    }
    let Some(lengths) = &options.lengths else { return Ok(named.iter().map(|axis| (*axis, None)).collect()) };
    if lengths.len() != named.len() {
        let detail = format!("{} lengths for {} axes", lengths.len(), named.len());
        return Err(call.error(ErrorKind::Argument, detail));
    }
    if let Some(low) = lengths.iter().find(|n| **n < 1) {
        return Err(call.error(ErrorKind::Argument, format!("length {low}; a transform has at least one number")));
    }
    Ok(named.iter().zip(lengths).map(|(axis, n)| (*axis, Some(*n as usize))).collect())
}

/// Converts an operand to the dtype in which it is transformed: f64 stays f64, and every other dtype becomes f32.
fn floats(x: &Expr, call: Call) -> Result<Expr> {
    x.checked()?;
    let x = strong(x.clone(), call.at);
    let dtype = if x.0.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    Ok(cast(x, dtype, call.at))
}

/// Returns the real and the imaginary parts of an operand, as floats. The imaginary parts of a real operand are zeros.
fn numbers(x: Parts, call: Call) -> Result<[Expr; 2]> {
    match x {
        Parts::Real(x) => {
            let x = floats(&x, call)?;
            let zeros = Expr::fill_on(x.0.device, Scalar::Float(0.0), x.0.shape.clone(), x.0.dtype, call.at);
            Ok([x, zeros])
        }
        Parts::Complex(z) => Ok([floats(z.real(), call)?, floats(z.imag(), call)?]),
    }
}

/// Cuts an axis to length `n`, or pads it with zeros at its end.
fn resized(x: &Expr, axis: usize, n: usize, call: Call) -> Result<Expr> {
    let have = x.checked()?.shape[axis];
    if n < have {
        return Ok(part(x, axis, [0, n], 1, call));
    }
    let mut widths: SmallVec<[(usize, usize); 6]> = smallvec![(0, 0); x.0.shape.len()];
    widths[axis].1 = n - have;
    Ok(if n == have { x.clone() } else { pad_constant(call.op, x, &widths, Scalar::Float(0.0), call.at) })
}

/// Returns a view of the elements `first..end` along an axis, in their order (`step` 1) or in reverse order
/// (`step` −1).
fn part(x: &Expr, axis: usize, [first, end]: [usize; 2], step: isize, call: Call) -> Expr {
    view(call.op, x, call.at, |shape| {
        let mut items: SmallVec<[SliceItem; 6]> =
            smallvec![SliceItem::Range { start: None, end: None, step: 1 }; shape.len()];
        items[axis] = SliceItem::Range { start: Some(first as isize), end: Some(end as isize), step: 1 };
        let cut = View::slice(shape, &items)?;
        if step == 1 {
            return Ok(cut);
        }
        Ok(View::flip(&cut.shape, &[axis]).after(&cut))
    })
}

/// Returns every `step`-th element along an axis, beginning with element `first`.
fn strided(x: &Expr, axis: usize, first: isize, step: isize, call: Call) -> Expr {
    view(call.op, x, call.at, |shape| {
        let mut items: SmallVec<[SliceItem; 6]> =
            smallvec![SliceItem::Range { start: None, end: None, step: 1 }; shape.len()];
        items[axis] = SliceItem::Range { start: Some(first), end: None, step };
        View::slice(shape, &items)
    })
}

/// Implements [`fft`], [`fftn`] and their inverses: transforms complex numbers along the axes of `options`, one after
/// another. With `one`, the options must name exactly one axis.
fn complex(op: &'static str, x: Parts, options: Options, one: bool, direction: Direction, at: Loc) -> Complex {
    let call = Call { op, at };
    let scale = Scale::of(options.norm, direction);
    let build = || {
        let mut parts = numbers(x, call)?;
        for (axis, n) in along(&options, parts[0].0.shape.len(), one, call)? {
            parts = resized_parts(&parts, axis, n, call)?;
            parts = transform(parts, axis, direction, scale, call)?;
        }
        Ok(parts)
    };
    finish(call, build)
}

fn resized_parts(parts: &[Expr; 2], axis: usize, n: Option<usize>, call: Call) -> Result<[Expr; 2]> {
    let n = n.unwrap_or(parts[0].checked()?.shape[axis]);
    Ok([resized(&parts[0], axis, n, call)?, resized(&parts[1], axis, n, call)?])
}

/// Returns the complex numbers with these real and imaginary parts, or complex numbers that carry the error.
fn finish(call: Call, build: impl FnOnce() -> Result<[Expr; 2]>) -> Complex {
    let _called = Called::begin(call.op, call.at);
    let [re, im] = build().unwrap_or_else(|e| {
        let failed = Expr::failed(e.or_at(call.at), call.at);
        [failed.clone(), failed]
    });
    Complex::pair(call.op, re, im, call.at)
}

/// Implements [`rfft`], [`rfftn`] and [`ihfft`]: transforms real numbers along the axes of `options`, and returns the
/// first half of the results along the last axis (see [`half_spectrum`]).
fn from_real(op: &'static str, x: Expr, options: Options, one: bool, scale: Scale, at: Loc) -> Complex {
    let call = Call { op, at };
    let build = || half_spectrum(&x, along(&options, x.checked()?.shape.len(), one, call)?, scale, call);
    finish(call, build)
}

/// Transforms real numbers along axes. Along the last axis in `axes`, only the first ⌊n/2⌋ + 1 of the n results are
/// returned, because the others are the conjugates of the returned results.
fn half_spectrum(x: &Expr, mut axes: Along, scale: Scale, call: Call) -> Result<[Expr; 2]> {
    let (last, n) = axes.pop().unwrap_or_default();
    let x = floats(x, call)?;
    let x = resized(&x, last, n.unwrap_or(x.0.shape[last]), call)?;
    let n = x.checked()?.shape[last];
    let mut parts = if is_by_halves(n) {
        transform_of_reals(&x, last, scale, call)?
    } else {
        let parts = transform(numbers(Parts::Real(x), call)?, last, Direction::Forward, scale, call)?;
        parts.map(|e| part(&e, last, [0, n / 2 + 1], 1, call))
    };
    for (axis, n) in axes {
        parts = resized_parts(&parts, axis, n, call)?;
        parts = transform(parts, axis, Direction::Forward, scale, call)?;
    }
    Ok(parts)
}

/// Implements [`irfft`], [`irfftn`] and [`hfft`]: transforms complex numbers back to real numbers. Along the last of
/// the named axes, the input holds only the first half of a transform, like the result of [`rfft`].
fn to_real(op: &'static str, x: Parts, options: Options, one: bool, scale: Scale, at: Loc) -> Expr {
    let call = Call { op, at };
    result_of(op, at, || {
        let parts = numbers(x, call)?;
        let axes = along(&options, parts[0].0.shape.len(), one, call)?;
        of_half_spectrum(parts, axes, scale, call)
    })
}

/// Returns the real numbers whose transform is `parts`. Along the last axis in `axes`, `parts` holds only the first
/// half of the transform, as [`half_spectrum`] returns it. If this half has m numbers, and no length is set for the
/// axis, the result has 2·(m − 1) numbers along it.
fn of_half_spectrum(mut parts: [Expr; 2], mut axes: Along, scale: Scale, call: Call) -> Result<Expr> {
    let (last, n) = axes.pop().unwrap_or_default();
    for (axis, n) in axes {
        parts = resized_parts(&parts, axis, n, call)?;
        parts = transform(parts, axis, Direction::Inverse, scale, call)?;
    }
    let have = parts[0].checked()?.shape[last];
    let n = n.unwrap_or(2 * have.saturating_sub(1));
    if n == 0 || have == 0 {
        let detail = format!("{have} numbers along axis {last} are the transform of no real number; set lengths");
        return Err(call.error(ErrorKind::Shape, detail));
    }
    let parts = resized_parts(&parts, last, Some(n / 2 + 1), call)?;
    if is_by_halves(n) {
        return reals_of_transform(parts, last, n, scale, call);
    }
    let [re, _] = transform(hermitian(&parts, last, n, call)?, last, Direction::Inverse, scale, call)?;
    Ok(re)
}

/// Returns all `n` numbers of a transform of real numbers along an axis. `re` and `im` are the first half of these
/// numbers; the function appends their conjugates. The imaginary parts of the first number and, for even n, of the
/// middle one are taken as 0.
fn hermitian([re, im]: &[Expr; 2], axis: usize, n: usize, call: Call) -> Result<[Expr; 2]> {
    let at = call.at;
    let position = iota(im.checked()?.shape.clone(), axis, at);
    let is_real = binary(&logic::equal, &position, 0, at);
    let is_real = match n.is_multiple_of(2) {
        true => binary(&logic::logical_or, is_real, binary(&logic::equal, &position, n / 2, at), at),
        false => is_real,
    };
    let im = choose(is_real, 0.0, im, at);
    let rest = |e: &Expr| part(e, axis, [1, n.div_ceil(2)], -1, call);
    let conjugates = unary(&arithmetic::negative, rest(&im), at);
    if n < 3 {
        return Ok([re.clone(), im]);
    }
    Ok([
        join(call.op, vec![re.clone(), rest(re)], axis as isize, at),
        join(call.op, vec![im, conjugates], axis as isize, at),
    ])
}

/// Returns the discrete Fourier transform of real or complex numbers along one axis: X_k = Σ_j x_j exp(−2πi·j·k/n).
///
/// A transform of any length n takes O(n log n) operations. The root mean square of the error is at most 0.5·ε·log2(n)
/// times the root mean square of the result, where ε is 2^-23 for f32 and 2^-52 for f64. f16, bf16 and integers are
/// converted to f32. On the CPU, the result's bits do not depend on the number of threads, on the instruction set, or
/// on what else is transformed in the same call. A GPU transforms f64 only if it supports f64.
///
/// ```
/// use cupric::{array, fft};
/// let z = fft::fft(array![1., 0., 0., 0.], -1);
/// assert_eq!(z.real().to_vec::<f32>()?, [1., 1., 1., 1.]);
/// let back = fft::ifft(&z, -1).real().to_vec::<f32>()?;
/// assert_eq!(back, [1., 0., 0., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The real and the imaginary part carry [`ErrorKind::Axis`] if the operand does not have the axis or if the options
/// name more than one, [`ErrorKind::Shape`] if the axis has length 0, and [`ErrorKind::Argument`] if
/// [`Options::lengths`] sets a length below 1. An evaluation returns [`ErrorKind::LimitExceeded`] for more than 2^28
/// numbers on a GPU, and [`ErrorKind::Unsupported`] for f64 on a GPU without f64.
///
/// References: T. G. Stockham, High-speed convolution and correlation, AFIPS 28 (1966). For lengths with a prime factor
/// above 7: L. I. Bluestein, A linear filtering approach to the computation of the discrete Fourier transform, IEEE
/// Transactions on Audio 18 (1970).
#[track_caller]
pub fn fft(x: impl ComplexOperand, options: impl Into<Options>) -> Complex {
    complex("fft", x.parts(), options.into(), true, Direction::Forward, Location::caller())
}

/// Returns the inverse discrete Fourier transform of complex numbers along one axis: x_j = 1/n·Σ_k X_k exp(2πi·j·k/n).
/// This is the inverse of [`fft`], with the same dtypes and errors.
#[track_caller]
pub fn ifft(x: impl ComplexOperand, options: impl Into<Options>) -> Complex {
    complex("ifft", x.parts(), options.into(), true, Direction::Inverse, Location::caller())
}

/// Returns the discrete Fourier transform of real or complex numbers along several axes: [`fft`] along one axis after
/// another, with the same dtypes and errors.
///
/// ```
/// use cupric::{array, fft};
/// let z = fft::fftn(array![[1., 2.], [3., 4.]], ..);
/// assert_eq!(z.real().to_vec::<f32>()?, [10., -2., -4., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("fft2"))]
#[track_caller]
pub fn fftn(x: impl ComplexOperand, options: impl Into<Options>) -> Complex {
    complex("fftn", x.parts(), options.into(), false, Direction::Forward, Location::caller())
}

/// Returns the inverse of [`fftn`]: [`ifft`] along one axis after another.
#[doc(alias("ifft2"))]
#[track_caller]
pub fn ifftn(x: impl ComplexOperand, options: impl Into<Options>) -> Complex {
    complex("ifftn", x.parts(), options.into(), false, Direction::Inverse, Location::caller())
}

/// Returns the first ⌊n/2⌋ + 1 numbers of the discrete Fourier transform of n real numbers along one axis. The other
/// numbers are not returned, because they are the conjugates of the returned numbers.
///
/// ```
/// use cupric::{array, fft};
/// let z = fft::rfft(array![1., 2., 3., 4.], -1);
/// assert_eq!(z.real().to_vec::<f32>()?, [10., -2., -2.]);
/// assert_eq!(z.imag().to_vec::<f32>()?, [0., 2., 0.]);
/// assert_eq!(fft::irfft(&z, -1).to_vec::<f32>()?, [1., 2., 3., 4.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// # Errors
/// The errors are the same as for [`fft`].
#[track_caller]
pub fn rfft(x: impl Operand, options: impl Into<Options>) -> Complex {
    let (at, options) = (Location::caller(), options.into());
    let scale = Scale::of(options.norm, Direction::Forward);
    from_real("rfft", operand(x, at), options, true, scale, at)
}

/// Returns the inverse of [`rfft`]: the real numbers along one axis whose transform begins with the given numbers. For
/// m given numbers the result has 2·(m − 1) numbers, unless [`Options::lengths`] sets another length n, such as an odd
/// one. The imaginary parts of number 0 and, for an even n, of number n/2 are ignored.
///
/// # Errors
/// The errors are the same as for [`fft`]. If only one number is given and no length is set, the result would have no
/// elements, and it carries [`ErrorKind::Shape`].
#[track_caller]
pub fn irfft(x: impl ComplexOperand, options: impl Into<Options>) -> Expr {
    let options = options.into();
    let scale = Scale::of(options.norm, Direction::Inverse);
    to_real("irfft", x.parts(), options, true, scale, Location::caller())
}

/// Returns the discrete Fourier transform of real numbers along several axes: [`rfft`] along the last of the named
/// axes, and then [`fft`] along the others.
#[doc(alias("rfft2"))]
#[track_caller]
pub fn rfftn(x: impl Operand, options: impl Into<Options>) -> Complex {
    let (at, options) = (Location::caller(), options.into());
    let scale = Scale::of(options.norm, Direction::Forward);
    from_real("rfftn", operand(x, at), options, false, scale, at)
}

/// Returns the inverse of [`rfftn`], as real numbers. For m given numbers along the last of the named axes, the result
/// has 2·(m − 1) numbers, unless [`Options::lengths`] sets another length. The errors are the same as for [`irfft`].
#[doc(alias("irfft2"))]
#[track_caller]
pub fn irfftn(x: impl ComplexOperand, options: impl Into<Options>) -> Expr {
    let options = options.into();
    let scale = Scale::of(options.norm, Direction::Inverse);
    to_real("irfftn", x.parts(), options, false, scale, Location::caller())
}

/// Returns the discrete Fourier transform of a Hermitian sequence along one axis, as real numbers. The input is the
/// first half of the sequence, because the other half consists of the conjugates of these numbers. The result is
/// [`irfft`] of the conjugated input, but multiplied by the factor of a forward transform instead of an inverse one
/// (see [`Norm`]).
///
/// ```
/// use cupric::{array, fft};
/// assert_eq!(fft::hfft(array![1., 2., 1.], -1).to_vec::<f32>()?, [6., 0., -2., 0.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn hfft(x: impl ComplexOperand, options: impl Into<Options>) -> Expr {
    let (at, options) = (Location::caller(), options.into());
    let _called = Called::begin("hfft", at);
    let scale = Scale::of(options.norm, Direction::Forward);
    let conjugates = match x.parts() {
        Parts::Real(x) => Parts::Real(x),
        Parts::Complex(z) => Parts::Complex(z.conj()),
    };
    to_real("hfft", conjugates, options, true, scale, at)
}

/// Returns the inverse of [`hfft`]: the first half of the Hermitian sequence whose transform is the input. The result
/// is the conjugate of [`rfft`] of the input, but multiplied by the factor of an inverse transform instead of a forward
/// one (see [`Norm`]).
#[track_caller]
pub fn ihfft(x: impl Operand, options: impl Into<Options>) -> Complex {
    let (at, options) = (Location::caller(), options.into());
    let _called = Called::begin("ihfft", at);
    let scale = Scale::of(options.norm, Direction::Inverse);
    from_real("ihfft", operand(x, at), options, true, scale, at).conj()
}
