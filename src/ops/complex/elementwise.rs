//! The elementwise functions of complex numbers.
//!
//! Special values are those that the Array API standard lists, except in three lines, where they are C99's: two lines
//! for the square root of ±∞ + bi were wrong up to revision 2024.12
//! ([corrected](https://github.com/data-apis/array-api/pull/987) later), and the zero in tanh(∞ + bi) has the sign of
//! sin(2b) ([an open question](https://github.com/data-apis/array-api/issues/1006)).

use super::formulas::{self, Parts2};
use super::{Complex, ComplexOperand, Parts, operators};
use crate::base::dtype::{DType, Scalar};
use crate::graph::expr::{Expr, Inner, binary, cast, unary};
use crate::graph::ufunc::{arithmetic, float};
use crate::ops::functions::select;
use std::panic::Location;

/// Functions that are computed by several operations of both parts.
///
/// The error of a result w is at most 4·ε·|w| on the CPU and 12·ε·|w| on a GPU, where ε is that of the dtype of the
/// parts (see [`DType::finfo`]), or the smallest normal number if that is more. f16 and bf16 compute in f32, and each
/// part is rounded once more. So the smaller part of a result may have a larger relative error than the larger one.
/// [`Complex::pow`] states its own error.
impl Complex {
    formulas::functions! {
        /// Returns e to the power of the numbers. The result for a real number is real.
        exp,
        /// Returns exp(z) − 1, without cancellation near 0.
        #[doc(alias("exp_m1"))]
        expm1,
        /// Returns the natural logarithms, with imaginary parts from −π to π. There is no cancellation where the
        /// magnitude is near 1.
        #[doc(alias("ln"))]
        log,
        /// Returns log(1 + z), without cancellation near 0.
        #[doc(alias("ln_1p"))]
        log1p,
        /// Returns the logarithms to base 2.
        log2,
        /// Returns the logarithms to base 10.
        log10,
        /// Returns the square roots with a real part of at least 0. The imaginary part of the result has the sign of
        /// the number's imaginary part.
        sqrt,
        /// Returns the numbers divided by their magnitudes, and 0 for 0.
        #[doc(alias("sgn"))]
        sign,
        /// Returns the sines.
        sin,
        /// Returns the cosines.
        cos,
        /// Returns the tangents.
        tan,
        /// Returns the hyperbolic sines.
        sinh,
        /// Returns the hyperbolic cosines.
        cosh,
        /// Returns the hyperbolic tangents.
        tanh,
        /// Returns the arc sines, with real parts from −π/2 to π/2. The branch cuts are the real numbers beyond −1 and
        /// 1; on a cut, the sign of the imaginary part tells the side.
        #[doc(alias("arcsin"))]
        asin,
        /// Returns the arc cosines, with real parts from 0 to π. The branch cuts are those of [`Complex::asin`].
        #[doc(alias("arccos"))]
        acos,
        /// Returns the arc tangents, with real parts from −π/2 to π/2. The branch cuts are the imaginary numbers beyond
        /// −i and i; on a cut, the sign of the real part tells the side.
        #[doc(alias("arctan"))]
        atan,
        /// Returns the inverse hyperbolic sines, with imaginary parts from −π/2 to π/2. The branch cuts are those of
        /// [`Complex::atan`].
        #[doc(alias("arcsinh"))]
        asinh,
        /// Returns the inverse hyperbolic cosines, with real parts of at least 0 and imaginary parts from −π to π. The
        /// branch cut is the real numbers below 1; on the cut, the sign of the imaginary part tells the side.
        #[doc(alias("arccosh"))]
        acosh,
        /// Returns the inverse hyperbolic tangents, with imaginary parts from −π/2 to π/2. The branch cuts are those of
        /// [`Complex::asin`].
        #[doc(alias("arctanh"))]
        atanh,
    }

    /// Raises the numbers to the powers of the exponents, complex or real, which broadcast: exp(exponent · log(z)),
    /// and 1 where the exponent is 0. The error is that of the other functions, times 1 + |exponent · log(z)|.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![3., 0.], array![4., 1.]);
    /// let square = z.pow(2);
    /// assert!((square.real() - array![-7., -1.]).abs().max(..).item::<f32>()? < 1e-5);
    /// let e = z.pow(Complex::new(0.0, 1.0)); // i to the power of i is exp(−π/2)
    /// assert!((e.real().to_vec::<f32>()?[1] - 0.20787957).abs() < 1e-6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("power"))]
    #[track_caller]
    pub fn pow(&self, exponent: impl ComplexOperand) -> Complex {
        let at = Location::caller();
        let exponent = match exponent.parts() {
            Parts::Real(x) => operators::wide(&x, self, at),
            Parts::Complex(w) => w,
        };
        let to = self.re.0.dtype.promote(exponent.re.0.dtype).unwrap_or(DType::F32);
        let (z, w) = (self.wide(), exponent.wide());
        let inner = Inner::begin();
        let (a, b) = formulas::log(&z.re, &z.im);
        let (c, d) = (&w.re, &w.im);
        let (re, im) = formulas::exp(&(c * &a - d * &b), &(c * &b + d * &a));
        let is_zero = c.equal(0.0) & d.equal(0.0);
        let parts = (select(&is_zero, 1.0, re), select(is_zero, 0.0, im));
        Complex::result(inner, parts, to)
    }

    /// Returns the parts in the dtype in which functions compute: f32 for f16 and bf16, and their own otherwise.
    #[track_caller]
    pub(super) fn wide(&self) -> Complex {
        let at = Location::caller();
        let part = |e: &Expr| if e.0.dtype.is_half() { cast(e.clone(), DType::F32, at) } else { e.clone() };
        Complex { re: part(&self.re), im: part(&self.im) }
    }

    /// Ends the inner operations of a function, and returns its results in a dtype.
    #[track_caller]
    pub(super) fn result(inner: Inner, (re, im): Parts2, to: DType) -> Complex {
        let at = Location::caller();
        let [re, im] = inner.end([re, im]).map(|e| cast(e, to, at));
        Complex { re, im }
    }
}

/// Functions of single operations.
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

    /// Returns the numbers unchanged.
    #[track_caller]
    pub fn positive(&self) -> Complex {
        Complex { re: self.re.positive(), im: self.im.positive() }
    }

    /// Rounds both parts to the nearest whole numbers, ties to even: see [`Expr::round`].
    #[track_caller]
    pub fn round(&self) -> Complex {
        Complex { re: self.re.round(), im: self.im.round() }
    }

    /// Returns whether both parts are equal to those of the other operand, complex or real. NaN equals nothing.
    ///
    /// ```
    /// use cupric::{Complex, array};
    /// let z = Complex::new(array![1., 2.], array![0., 1.]);
    /// assert_eq!(z.equal(array![1., 2.]).to_vec::<bool>()?, [true, false]);
    /// assert_eq!(z.not_equal(&z).to_vec::<bool>()?, [false, false]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("eq"))]
    #[track_caller]
    pub fn equal(&self, other: impl ComplexOperand) -> Expr {
        match other.parts() {
            Parts::Real(x) => self.re.equal(x).logical_and(self.im.equal(0.0)),
            Parts::Complex(z) => self.re.equal(z.re).logical_and(self.im.equal(z.im)),
        }
    }

    /// Returns whether a part differs from that of the other operand, complex or real: the opposite of
    /// [`Complex::equal`].
    #[doc(alias("ne"))]
    #[track_caller]
    pub fn not_equal(&self, other: impl ComplexOperand) -> Expr {
        self.equal(other).logical_not()
    }

    /// Returns whether a part is NaN.
    #[track_caller]
    pub fn isnan(&self) -> Expr {
        self.re.isnan().logical_or(self.im.isnan())
    }

    /// Returns whether a part is infinite, also if the other part is NaN.
    #[track_caller]
    pub fn isinf(&self) -> Expr {
        self.re.isinf().logical_or(self.im.isinf())
    }

    /// Returns whether both parts are finite.
    #[track_caller]
    pub fn isfinite(&self) -> Expr {
        self.re.isfinite().logical_and(self.im.isfinite())
    }
}
