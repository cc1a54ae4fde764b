//! Complex numbers: a pair of real expressions, the real and the imaginary parts. Complex numbers are not a dtype, for
//! these reasons:
//!
//! * Products, quotients and functions of both parts fuse, broadcast, run on every device and have derivatives without
//!   a change to the planner, backends or shaders, and without a convention about the derivative of a complex number.
//!   Complex dtypes would need two more compute types. Each row of the ufunc table would need two more columns, and a
//!   number in a plan would need more than 64 bits.
//! * SIMD vectors suit two arrays better than interleaved numbers, so the routine `fft` has real and imaginary parts as
//!   operands.
//!
//! The disadvantages: an interleaved array, such as NumPy's, is read through views with step 2, and a file of complex
//! numbers holds two arrays. The parts of `Complex` are private, so a dtype could replace them later.

mod operators;

pub use operators::ComplexOperand;
pub(crate) use operators::Parts;

use crate::array::device::Device;
use crate::array::eval_all;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoAxes, SliceItem, View};
use crate::graph::expr::{Expr, Operand, binary, carry, cast, choose, common, composed, operand, unary, view};
use crate::graph::ufunc::{arithmetic, float, logic};
use crate::ops::functions::{promoted, stack_at};
use std::fmt;
use std::panic::Location;

/// An array of complex numbers: stored numbers, or a computation that has not run yet, like an [`Expr`]. It has the
/// operators of an [`Expr`], with complex and real operands.
///
/// The numbers are two real expressions, the real and the imaginary parts, of the same shape and the same float dtype.
/// Both parts fuse like other expressions, have derivatives with respect to real arrays, and run on every device. To
/// apply an operation that changes only shapes or positions to both parts, use [`Complex::map`].
///
/// ```
/// use cupric::{Complex, array};
/// let z = Complex::new(array![3., 0.], array![4., 1.]);
/// assert_eq!(z.abs().to_vec::<f32>()?, [5., 1.]);
/// let w = (&z * &z + 1.0).eval()?; // both parts are computed together
/// assert_eq!(w.real().to_vec::<f32>()?, [-6., 0.]);
/// assert_eq!(w.imag().to_vec::<f32>()?, [24., 0.]);
/// assert_eq!(w.map(|part| part.reshape([2, 1])).shape()?, [2, 1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[must_use]
#[derive(Clone)]
pub struct Complex {
    re: Expr,
    im: Expr,
}

/// Construction, parts and conversion.
impl Complex {
    /// Returns the complex numbers with these real and imaginary parts, which broadcast. Integers and bools become f32;
    /// two floats of different dtypes are promoted.
    ///
    /// # Errors
    /// The parts carry an error if their shapes do not broadcast or their dtypes have no common dtype.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![1., 2.], -1.0);
    /// assert_eq!(z.to_string(), "[1.-1.j 2.-1.j]");
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn new(re: impl Operand, im: impl Operand) -> Complex {
        let at = Location::caller();
        Complex::pair("complex", operand(re, at), operand(im, at), at)
    }

    /// Returns complex numbers from a real array whose last axis has length 2 and holds the real and the imaginary part
    /// of each number. This is the memory layout of NumPy's `complex64` and `complex128`. Both parts are views.
    ///
    /// # Errors
    /// The parts carry [`ErrorKind::Shape`] if the last axis has another length.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let x = array![[1., 2.], [3., 4.]];
    /// let z = Complex::from_interleaved(&x);
    /// assert_eq!(z.imag().to_vec::<f32>()?, [2., 4.]);
    /// assert_eq!(z.to_interleaved().to_vec::<f32>()?, x.to_vec::<f32>()?);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("view_as_complex", "view"))]
    #[track_caller]
    pub fn from_interleaved(x: impl Operand) -> Complex {
        const OP: &str = "from_interleaved";
        let at = Location::caller();
        let x = operand(x, at);
        let part = |i: usize| {
            carry(at, || {
                let shape = &x.checked()?.shape;
                if shape.last() != Some(&2) {
                    let detail = format!("shape {:?}; the last axis must have length 2", shape.as_slice());
                    return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
                }
                Ok(view(OP, &x, at, |s| View::slice(s, &[SliceItem::Ellipsis, SliceItem::Index(i as isize)])))
            })
        };
        Complex::pair(OP, part(0), part(1), at)
    }

    /// Returns a real array with an additional last axis of length 2, which holds the real and the imaginary part of
    /// each number: the inverse of [`Complex::from_interleaved`].
    #[doc(alias("view_as_real"))]
    #[track_caller]
    pub fn to_interleaved(&self) -> Expr {
        stack_at("to_interleaved", vec![self.re.clone(), self.im.clone()], -1, Location::caller())
    }

    /// Returns the complex numbers with these magnitudes and angles in radians, which broadcast.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::polar(array![2., 3.], array![0., 1.]);
    /// assert!((z.angle().to_vec::<f32>()?[1] - 1.).abs() < 1e-6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn polar(abs: impl Operand, angle: impl Operand) -> Complex {
        let at = Location::caller();
        let (abs, angle) = (operand(abs, at), operand(angle, at));
        let part = |row| binary(&arithmetic::multiply, &abs, unary(row, &angle, at), at);
        Complex::pair("polar", part(&float::cos), part(&float::sin), at)
    }

    /// Returns the real parts.
    #[doc(alias("re"))]
    pub fn real(&self) -> &Expr {
        &self.re
    }

    /// Returns the imaginary parts.
    #[doc(alias("im"))]
    pub fn imag(&self) -> &Expr {
        &self.im
    }

    /// Applies a function to the real and to the imaginary parts. The function may be any operation that moves
    /// elements: reshapes, slices, transposes, broadcasts, gathers, `flip`, `roll`, `pad` with zeros, `astype`.
    ///
    /// ```
    /// use cupric::{Complex, array, s};
    /// let z = Complex::new(array![[1., 2.], [3., 4.]], 1.0);
    /// assert_eq!(z.map(|part| part.t().slice(s![0])).real().to_vec::<f32>()?, [1., 3.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn map(&self, f: impl Fn(&Expr) -> Expr) -> Complex {
        Complex::pair("map", f(&self.re), f(&self.im), Location::caller())
    }

    /// Returns the lengths of the axes.
    ///
    /// # Errors
    /// Returns the error that a part carries, if any.
    pub fn shape(&self) -> Result<&[usize]> {
        self.im.shape()?;
        self.re.shape()
    }

    /// Returns the number of axes.
    ///
    /// # Errors
    /// Returns the error that a part carries, if any.
    pub fn ndim(&self) -> Result<usize> {
        self.shape().map(<[usize]>::len)
    }

    /// Returns the number of complex numbers.
    ///
    /// # Errors
    /// Returns the error that a part carries, if any.
    pub fn size(&self) -> Result<usize> {
        self.shape().map(|shape| shape.iter().product())
    }

    /// Returns the dtype of the parts: f32 for NumPy's complex64, f64 for complex128.
    ///
    /// # Errors
    /// Returns the error that a part carries, if any.
    pub fn dtype(&self) -> Result<DType> {
        self.im.shape()?;
        self.re.dtype()
    }

    /// Computes both parts together, like [`eval_all`](crate::eval_all).
    ///
    /// # Errors
    /// Returns the errors of [`Expr::eval`].
    #[track_caller]
    pub fn eval(&self) -> Result<Complex> {
        let [re, im] = eval_all([&self.re, &self.im])?;
        Ok(Complex { re: re.into(), im: im.into() })
    }

    /// Computes both parts and copies them to a device.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::to_device`].
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Complex> {
        let z = self.eval()?;
        Ok(Complex { re: z.re.to_device(device)?.into(), im: z.im.to_device(device)?.into() })
    }

    /// Builds complex numbers from a real and an imaginary part, after converting both to the same float dtype and
    /// broadcasting them to the same shape. Errors name the operation `op`.
    pub(crate) fn pair(op: &'static str, re: Expr, im: Expr, at: Loc) -> Complex {
        let both = || {
            common(op, [&re, &im].into_iter(), at)?;
            let parts = [&re, &im].map(|part| match part.0.dtype.is_float() || part.0.untyped().is_some() {
                true => part.clone(),
                false => cast(part.clone(), DType::F32, at),
            });
            let typed = parts.iter().filter(|part| part.0.untyped().is_none());
            let dtype = promoted(op, typed, at)?;
            let [re, im] = parts.map(|part| if part.0.dtype == dtype { part } else { cast(part, dtype, at) });
            if re.0.shape == im.0.shape {
                return Ok((re, im));
            }
            let shape = layout::broadcast(&re.0.shape, &im.0.shape).map_err(|f| f.at(op, at))?;
            let wide = |part: &Expr| view(op, part, at, |s| View::broadcast_to(s, &shape));
            Ok((wide(&re), wide(&im)))
        };
        let (re, im) = both().unwrap_or_else(|e: Error| {
            let failed = Expr::failed(e.or_at(at), at);
            (failed.clone(), failed)
        });
        Complex { re, im }
    }
}

/// Functions of complex numbers.
impl Complex {
    /// Returns the complex conjugates: the imaginary parts change their sign.
    #[doc(alias("conjugate"))]
    #[track_caller]
    pub fn conj(&self) -> Complex {
        Complex { re: self.re.clone(), im: unary(&arithmetic::negative, &self.im, Location::caller()) }
    }

    /// Returns the magnitudes: [`Expr::hypot`] of both parts. No intermediate result overflows.
    #[doc(alias("absolute", "magnitude", "norm"))]
    #[track_caller]
    pub fn abs(&self) -> Expr {
        binary(&float::hypot, &self.re, &self.im, Location::caller())
    }

    /// Returns the angles in radians, from −π to π: [`Expr::atan2`] of the imaginary and the real parts.
    #[doc(alias("arg", "phase"))]
    #[track_caller]
    pub fn angle(&self) -> Expr {
        binary(&float::atan2, &self.im, &self.re, Location::caller())
    }

    /// Returns e to the power of each number. If a number's imaginary part is 0, the imaginary part of its result is 0.
    ///
    /// ```
    /// use cupric::{Complex, PI, array};
    /// let z = Complex::new(array![0., 1.], array![PI as f32, 0.]).exp().eval()?;
    /// assert!((z.real().to_vec::<f32>()?[0] + 1.).abs() < 1e-6);
    /// assert_eq!(z.imag().to_vec::<f32>()?[1], 0.);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn exp(&self) -> Complex {
        let at = Location::caller();
        let abs = unary(&float::exp, &self.re, at);
        let part = |row| binary(&arithmetic::multiply, &abs, unary(row, &self.im, at), at);
        // without this choice, a real number with an infinite exponential would get the imaginary part ∞ · sin(0) = NaN
        let is_real = binary(&logic::equal, &self.im, 0.0, at);
        let im = composed(|| choose(is_real, &self.im, part(&float::sin), at));
        Complex::pair("exp", part(&float::cos), im, at)
    }

    /// Returns the natural logarithms, with imaginary parts from −π to π. The real part is the logarithm of
    /// [`Complex::abs`], so its relative error is large for numbers whose magnitude is close to 1.
    #[doc(alias("ln"))]
    #[track_caller]
    pub fn log(&self) -> Complex {
        let at = Location::caller();
        let log = unary(&float::log, binary(&float::hypot, &self.re, &self.im, at), at);
        Complex::pair("log", log, binary(&float::atan2, &self.im, &self.re, at), at)
    }

    /// Returns the square roots with a real part of at least 0. The imaginary part of the result has the sign of the
    /// number's imaginary part.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![-4., 3.], array![0., 4.]).sqrt();
    /// assert_eq!(z.real().to_vec::<f32>()?, [0., 2.]);
    /// assert_eq!(z.imag().to_vec::<f32>()?, [2., 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn sqrt(&self) -> Complex {
        let at = Location::caller();
        let half = |e: Expr| binary(&arithmetic::multiply, e, 0.5, at);
        let abs = half(binary(&float::hypot, &self.re, &self.im, at));
        // both terms are halved before they are added, because the sum of the magnitude and the real part may be
        // infinite
        let sum = binary(&arithmetic::add, half(unary(&arithmetic::abs, &self.re, at)), abs, at);
        let large = unary(&float::sqrt, sum, at);
        let quotient = binary(&arithmetic::divide, half(unary(&arithmetic::abs, &self.im, at)), &large, at);
        let is_zero = binary(&logic::equal, &large, 0.0, at);
        let small = composed(|| choose(is_zero, &large, quotient, at));
        let is_right = binary(&logic::greater_equal, &self.re, 0.0, at);
        let re = choose(&is_right, &large, &small, at);
        let im = binary(&float::copysign, choose(&is_right, &small, &large, at), &self.im, at);
        Complex::pair("sqrt", re, im, at)
    }

    /// Returns the squares.
    #[track_caller]
    pub fn square(&self) -> Complex {
        operators::multiply(self, self, Location::caller())
    }

    /// Returns 1 / z. The method is the same as for the operator `/`.
    #[track_caller]
    pub fn reciprocal(&self) -> Complex {
        let at = Location::caller();
        let one = Complex::pair("reciprocal", Expr::number(Scalar::Float(1.0), at), self.zeros(at), at);
        operators::divide(&one, self, at)
    }

    /// Returns zeros with the shape and dtype of the parts.
    fn zeros(&self, at: Loc) -> Expr {
        carry(at, || {
            let node = self.re.checked()?;
            Ok(Expr::fill_on(node.device, Scalar::Float(0.0), node.shape.clone(), node.dtype, at))
        })
    }

    /// Returns the sums along axes: see [`Expr::sum`].
    #[track_caller]
    pub fn sum(&self, axes: impl IntoAxes) -> Complex {
        let axes = axes.into_axes();
        let (re, im) = (self.re.sum(axes.clone()), self.im.sum(axes));
        Complex { re, im }
    }

    /// Returns the means along axes: see [`Expr::mean`].
    #[track_caller]
    pub fn mean(&self, axes: impl IntoAxes) -> Complex {
        let axes = axes.into_axes();
        let (re, im) = (self.re.mean(axes.clone()), self.im.mean(axes));
        Complex { re, im }
    }

    /// Returns the products of matrices, like [`Expr::matmul`]. The other operand may be real. A product of two complex
    /// operands is computed by four real products.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![[0., 1.], [1., 0.]], array![[1., 0.], [0., 1.]]);
    /// let w = z.matmul(&z).eval()?;
    /// assert_eq!(w.real().to_vec::<f32>()?, [0., 0., 0., 0.]);
    /// assert_eq!(w.imag().to_vec::<f32>()?, [0., 2., 2., 0.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("dot"))]
    #[track_caller]
    pub fn matmul(&self, other: impl ComplexOperand) -> Complex {
        match other.parts() {
            Parts::Real(x) => Complex { re: self.re.matmul(&x), im: self.im.matmul(&x) },
            Parts::Complex(z) => {
                let re = self.re.matmul(&z.re) - self.im.matmul(&z.im);
                Complex { re, im: self.re.matmul(&z.im) + self.im.matmul(&z.re) }
            }
        }
    }
}

impl fmt::Display for Complex {
    /// Formats the numbers as NumPy does, `[1.+2.j 3.-1.j]`. Each part is formatted with the same options as an
    /// [`Expr`]. Errors are formatted as `<error: …>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::array::print::complex::write(&self.re, &self.im, f)
    }
}

impl fmt::Debug for Complex {
    /// Formats dtype and shape. Nothing is evaluated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.dtype(), self.shape()) {
            (Ok(dtype), Ok(shape)) => write!(f, "Complex({dtype}, {shape:?})"),
            (Err(e), _) | (_, Err(e)) => write!(f, "Complex(<error: {e}>)"),
        }
    }
}
