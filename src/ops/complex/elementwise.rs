//! The elementwise functions of complex numbers.
//!
//! Results for NaN, ±∞ and ±0 are those that the Array API standard lists, with two exceptions that follow C99. For the
//! square root of ±∞ + bi, two entries of the standard were wrong up to revision 2024.12
//! ([corrected](https://github.com/data-apis/array-api/pull/987) later). The zero in tanh(∞ + bi) has the sign of
//! sin(2b) ([an open question](https://github.com/data-apis/array-api/issues/1006)).

use super::formulas::{self, Parts2};
use super::{Complex, ComplexOperand, Parts, operators};
use crate::base::dtype::{DType, Scalar};
use crate::graph::expr::{Called, Expr, Inner, binary, cast, unary};
use crate::graph::ufunc::{arithmetic, float};
use std::panic::Location;

/// Exponential functions, logarithms, roots, trigonometric and hyperbolic functions.
///
/// The absolute error of a result w is at most 4·ε·|w| on the CPU and 12·ε·|w| on a GPU, or the smallest normal number
/// if that is larger. ε is the machine epsilon of the parts' dtype (see [`DType::finfo`]). f16 and bf16 are computed in
/// f32, and each part is rounded once more. The bound depends on |w|, so the smaller part of w may have a larger
/// relative error. [`Complex::pow`] states its own error.
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
        /// Returns the arc sines, with real parts from −π/2 to π/2. The branch cuts are the real numbers below −1 and
        /// above 1; on a cut, the sign of the imaginary part tells the side.
        #[doc(alias("arcsin"))]
        asin,
        /// Returns the arc cosines, with real parts from 0 to π. The branch cuts are the real numbers below −1 and
        /// above 1.
        #[doc(alias("arccos"))]
        acos,
        /// Returns the arc tangents, with real parts from −π/2 to π/2. The branch cuts are the imaginary numbers below
        /// −i and above i; on a cut, the sign of the real part tells the side.
        #[doc(alias("arctan"))]
        atan,
        /// Returns the inverse hyperbolic sines, with imaginary parts from −π/2 to π/2. The branch cuts are the
        /// imaginary numbers below −i and above i.
        #[doc(alias("arcsinh"))]
        asinh,
        /// Returns the inverse hyperbolic cosines, with real parts of at least 0 and imaginary parts from −π to π. The
        /// branch cut is the real numbers below 1; on the cut, the sign of the imaginary part tells the side.
        #[doc(alias("arccosh"))]
        acosh,
        /// Returns the inverse hyperbolic tangents, with imaginary parts from −π/2 to π/2. The branch cuts are the real
        /// numbers below −1 and above 1.
        #[doc(alias("arctanh"))]
        atanh,
    }

    /// Returns the numbers with both parts in the dtype in which functions compute: f32 for f16 and bf16, and otherwise
    /// their own dtype.
    #[track_caller]
    pub(super) fn wide(&self) -> Complex {
        let at = Location::caller();
        let part = |e: &Expr| if e.0.dtype.is_half() { cast(e.clone(), DType::F32, at) } else { e.clone() };
        Complex { re: part(&self.re), im: part(&self.im) }
    }

    /// Ends `inner`, which marks operations as details of one function, and returns the parts cast to the dtype `to`.
    /// Without a dtype the operands are numbers, and the parts keep theirs.
    #[track_caller]
    pub(super) fn result(inner: Inner, (re, im): Parts2, to: Option<DType>) -> Complex {
        let at = Location::caller();
        let [re, im] = inner.end([re, im]).map(|e| match to {
            Some(to) => cast(e, to, at),
            None => e,
        });
        Complex { re, im }
    }
}

/// Conjugates, magnitudes, angles, rounding, comparisons and tests.
impl Complex {
    /// Returns the complex conjugates: the imaginary parts change their sign.
    #[doc(alias("conjugate"))]
    #[track_caller]
    pub fn conj(&self) -> Complex {
        let _called = Called::begin("conj", Location::caller());
        Complex { re: self.re.clone(), im: unary(&arithmetic::negative, &self.im, Location::caller()) }
    }

    /// Returns the magnitudes: [`Expr::hypot`] of both parts. No intermediate result overflows.
    #[doc(alias("absolute", "magnitude", "norm"))]
    #[track_caller]
    pub fn abs(&self) -> Expr {
        let _called = Called::begin("abs", Location::caller());
        binary(&float::hypot, &self.re, &self.im, Location::caller())
    }

    /// Returns the angles in radians, from −π to π: [`Expr::atan2`] of the imaginary and the real parts.
    #[doc(alias("arg", "phase"))]
    #[track_caller]
    pub fn angle(&self) -> Expr {
        let _called = Called::begin("angle", Location::caller());
        binary(&float::atan2, &self.im, &self.re, Location::caller())
    }

    /// Returns the squares.
    #[track_caller]
    pub fn square(&self) -> Complex {
        let _called = Called::begin("square", Location::caller());
        operators::multiply(self, self, Location::caller())
    }

    /// Returns 1 / z. The method is the same as for the operator `/`.
    #[track_caller]
    pub fn reciprocal(&self) -> Complex {
        let at = Location::caller();
        let _called = Called::begin("reciprocal", at);
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

    /// Returns whether both parts are equal to the parts of the other operand, complex or real. NaN equals nothing.
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
        let _called = Called::begin("equal", Location::caller());
        match other.parts() {
            Parts::Real(x) => self.re.equal(x).logical_and(self.im.equal(0.0)),
            Parts::Complex(z) => self.re.equal(z.re).logical_and(self.im.equal(z.im)),
        }
    }

    /// Returns whether the real or the imaginary parts differ from the other operand's, complex or real. It is the
    /// opposite of [`Complex::equal`].
    #[doc(alias("ne"))]
    #[track_caller]
    pub fn not_equal(&self, other: impl ComplexOperand) -> Expr {
        let _called = Called::begin("not_equal", Location::caller());
        self.equal(other).logical_not()
    }

    /// Returns whether the real or the imaginary part of each number is NaN.
    #[track_caller]
    pub fn isnan(&self) -> Expr {
        let _called = Called::begin("isnan", Location::caller());
        self.re.isnan().logical_or(self.im.isnan())
    }

    /// Returns whether the real or the imaginary part of each number is infinite, even if the other part is NaN.
    #[track_caller]
    pub fn isinf(&self) -> Expr {
        let _called = Called::begin("isinf", Location::caller());
        self.re.isinf().logical_or(self.im.isinf())
    }

    /// Returns whether both parts are finite.
    #[track_caller]
    pub fn isfinite(&self) -> Expr {
        let _called = Called::begin("isfinite", Location::caller());
        self.re.isfinite().logical_and(self.im.isfinite())
    }
}
