//! Complex numbers: a pair of real expressions, the real and the imaginary parts. Complex numbers are not a dtype, for
//! these reasons:
//!
//! * Operations on two real parts fuse, broadcast, run on every device and have derivatives without a change to the
//!   planner, backends or shaders. A dtype would need new compute types, new columns in the ufunc table, and numbers of
//!   more than 64 bits in plans.
//! * SIMD vectors suit two arrays better than interleaved numbers.
//!
//! The disadvantage is that an interleaved array, such as NumPy's, is read through views with step 2.

mod elementwise;
mod formulas;
mod operators;
mod products;

pub use operators::ComplexOperand;
pub(crate) use operators::Parts;

use crate::array::device::Device;
use crate::array::eval_all;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoAxes, IntoScanAxis, SliceItem, View};
use crate::graph::expr::{Called, Expr, Operand, binary, carry, cast, common, operand, result_of, unary, view};
use crate::graph::ufunc::{arithmetic, float};
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
/// Results for NaN, infinite numbers and zeros of either sign are those that the Array API standard lists, on the CPU
/// and on GPUs. The standard leaves open products and quotients of two complex numbers with a part that is not finite.
/// These follow the textbook formula and Smith's method, as in NumPy, and not Annex G of C99.
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
    /// two floats of different dtypes are promoted. If both parts are Rust numbers, they keep their digits and adopt
    /// the dtype of the numbers that they are combined with.
    ///
    /// # Errors
    /// The parts carry an error if their shapes do not broadcast or their dtypes have no common dtype.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![1., 2.], -1.0);
    /// assert_eq!(z.to_string(), "[1.-1.j 2.-1.j]");
    /// let w = Complex::new(0.0, std::f64::consts::PI) + Complex::new(array![1f64], 0.0);
    /// assert_eq!(w.imag().to_vec::<f64>()?, [std::f64::consts::PI]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn new(re: impl Operand, im: impl Operand) -> Complex {
        let at = Location::caller();
        Complex::pair("complex", re.into_expr(), im.into_expr(), at)
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
            result_of(OP, at, || {
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
        let _called = Called::begin("polar", at);
        let (abs, angle) = (abs.into_expr(), angle.into_expr());
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

    /// Builds complex numbers from a real and an imaginary part. Both are converted to the same float dtype and
    /// broadcast to the same shape. Two numbers without a dtype become two floats without a dtype. Errors name the
    /// operation `op`.
    pub(crate) fn pair(op: &'static str, re: Expr, im: Expr, at: Loc) -> Complex {
        let both = || {
            common(op, [&re, &im].into_iter(), at)?;
            if let (Some(a), Some(b)) = (re.0.untyped(), im.0.untyped()) {
                let float = |s: Scalar| Expr::number(Scalar::Float(s.as_f64()), at);
                return Ok((float(a), float(b)));
            }
            let parts = [&re, &im].map(|part| match part.0.dtype.is_float() || part.0.untyped().is_some() {
                true => part.clone(),
                false => cast(part.clone(), DType::F32, at),
            });
            let typed = parts.iter().filter(|part| part.0.untyped().is_none());
            let dtype = promoted(op, typed, at)?;
            let [re, im] = parts.map(|part| cast(part, dtype, at));
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

/// Reductions, scans and matrix products.
impl Complex {
    /// Returns zeros with the shape and dtype of the parts.
    fn zeros(&self, at: Loc) -> Expr {
        carry(at, || {
            let node = self.re.checked()?;
            if node.untyped().is_some() {
                return Ok(Expr::number(Scalar::Float(0.0), at));
            }
            Ok(Expr::fill_on(node.device, Scalar::Float(0.0), node.shape.clone(), node.dtype, at))
        })
    }

    /// Returns the dtype of the parts, or `None` if they are numbers without a dtype.
    fn typed(&self) -> Option<DType> {
        self.re.0.untyped().is_none().then_some(self.re.0.dtype)
    }

    /// Returns numbers without a dtype in the dtype of another operand, and any other numbers unchanged.
    fn like(&self, other: &Complex, at: Loc) -> Complex {
        match (self.typed(), other.typed()) {
            (None, Some(dtype)) => {
                Complex { re: cast(self.re.clone(), dtype, at), im: cast(self.im.clone(), dtype, at) }
            }
            (None, None) | (Some(_), _) => self.clone(),
        }
    }

    /// Returns the sums along axes: see [`Expr::sum`].
    #[track_caller]
    pub fn sum(&self, axes: impl IntoAxes) -> Complex {
        let _called = Called::begin("sum", Location::caller());
        let axes = axes.into_axes();
        let (re, im) = (self.re.sum(axes.clone()), self.im.sum(axes));
        Complex { re, im }
    }

    /// Returns the means along axes: see [`Expr::mean`].
    #[track_caller]
    pub fn mean(&self, axes: impl IntoAxes) -> Complex {
        let _called = Called::begin("mean", Location::caller());
        let axes = axes.into_axes();
        let (re, im) = (self.re.mean(axes.clone()), self.im.mean(axes));
        Complex { re, im }
    }

    /// Returns the cumulative sums along an axis: see [`Expr::cumulative_sum`].
    #[doc(alias = "cumsum")]
    #[track_caller]
    pub fn cumulative_sum(&self, axis: impl IntoScanAxis) -> Complex {
        let _called = Called::begin("cumulative_sum", Location::caller());
        let axis = axis.into_scan_axis();
        let (re, im) = (self.re.cumulative_sum(axis), self.im.cumulative_sum(axis));
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
        let _called = Called::begin("matmul", Location::caller());
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
