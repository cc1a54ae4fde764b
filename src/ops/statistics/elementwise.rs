//! Elementwise functions that are composed of other functions: tolerances, replacement of NaN, bounds, `divmod` and
//! `heaviside`.

use super::{choose, common_float, floating, named};
use crate::base::dtype::DType;
use crate::base::error::Loc;
use crate::base::layout::IntoAxes;
use crate::graph::expr::{
    Arg, Called, Expr, Operand, Unfit, binary, cast, composed, operands, reduce, result_of, strong, ufunc, unary,
};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// # Closeness, quotients and bounds
impl Expr {
    /// Tests whether elements are equal within tolerances: abs(a − b) ≤ `atol` + `rtol` · abs(b), where a is the
    /// element of the array and b is the element of `other`. The operands broadcast, and the result is bool. An
    /// infinity is close only to an equal one. NaN is close to NaN if `equal_nan` is true. NumPy's defaults are 1e-5
    /// for `rtol` and 1e-8 for `atol`.
    ///
    /// The comparison is in f64 if one operand is f64, otherwise in f32. The difference of two integers is computed
    /// exactly before it is converted.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 1.00001, 2.];
    /// assert_eq!(x.isclose(1.0, 1e-4, 0.0, false).to_vec::<bool>()?, [true, true, false]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn isclose(&self, other: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Expr {
        isclose(self, other, rtol, atol, equal_nan)
    }

    /// Tests whether all elements are equal within tolerances, as defined by [`Expr::isclose`]. The result is a 0-d
    /// expression of dtype bool, which is true if there are no elements.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1., 2.];
    /// assert!(x.allclose(&x * 1.000001, 1e-5, 1e-8, false).item::<bool>()?);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn allclose(&self, other: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Expr {
        allclose(self, other, rtol, atol, equal_nan)
    }

    /// Replaces NaN by 0, ∞ by the largest finite number of the dtype, and −∞ by the lowest finite number. Integers and
    /// bool are returned unchanged.
    ///
    /// ```
    /// use cupric::{NAN, INF, array};
    /// let x = array![1., NAN as f32, INF as f32];
    /// assert_eq!(x.nan_to_num().to_vec::<f32>()?, [1., 0., f32::MAX]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn nan_to_num(&self) -> Expr {
        let at = Location::caller();
        result_of("nan_to_num", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            let largest = match e.0.dtype {
                DType::F16 => 65504.0,
                DType::BF16 => f32::from_bits(0x7f7f_0000) as f64,
                DType::F32 => f32::MAX as f64,
                DType::F64 => f64::MAX,
                DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 => return Ok(e),
                DType::U32 | DType::I32 | DType::U64 | DType::I64 => return Ok(e),
            };
            let args = smallvec![(&e).into_arg(), (-largest).into_arg(), largest.into_arg()];
            let finite = ufunc(&arithmetic::clip, args, at);
            Ok(choose(unary(&logic::isnan, &e, at), 0.0, finite, at))
        })
    }

    /// Replaces NaN, ∞ and −∞ by the given numbers. Integers and bool are returned unchanged.
    ///
    /// ```
    /// use cupric::{NAN, INF, array};
    /// let x = array![1., NAN as f32, -INF as f32];
    /// assert_eq!(x.nan_to_num_with(-1.0, 9.0, -9.0).to_vec::<f32>()?, [1., -1., -9.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "nan_to_num")]
    #[track_caller]
    pub fn nan_to_num_with(&self, nan: f64, positive_infinity: f64, negative_infinity: f64) -> Expr {
        let at = Location::caller();
        result_of("nan_to_num_with", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            if !e.0.dtype.is_float() {
                return Ok(e);
            }
            let is = |x: f64| binary(&logic::equal, &e, x, at);
            let without = choose(is(f64::NEG_INFINITY), negative_infinity, &e, at);
            let without = choose(is(f64::INFINITY), positive_infinity, without, at);
            Ok(choose(unary(&logic::isnan, &e, at), nan, without, at))
        })
    }

    /// Returns two results of a division (NumPy's `divmod`): the quotient rounded down, as in [`Expr::floor_divide`],
    /// and the remainder, as in [`Expr::remainder`].
    ///
    /// ```
    /// use cupric::array;
    /// let (q, r) = array![7, -7].divmod(3);
    /// assert_eq!((q.to_vec::<i32>()?, r.to_vec::<i32>()?), (vec![2, -3], vec![1, 2]));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn divmod(&self, other: impl Operand) -> (Expr, Expr) {
        let at = Location::caller();
        let _called = Called::begin("divmod", at);
        let (a, b) = (self.into_arg(), other.into_arg());
        let quotient = ufunc(&arithmetic::floor_divide, smallvec![a.clone(), b.clone()], at);
        let remainder = ufunc(&arithmetic::remainder, smallvec![a, b], at);
        (named("divmod", quotient, at), named("divmod", remainder, at))
    }

    /// Returns the Heaviside step function: 0 for negative numbers, 1 for positive ones, `at_zero` for 0, and NaN for
    /// NaN. Integers are converted to f32.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![-2., 0., 3.].heaviside(0.5).to_vec::<f32>()?, [0., 0.5, 1.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn heaviside(&self, at_zero: impl Operand) -> Expr {
        heaviside(self, at_zero)
    }

    /// Replaces each element below a bound by the bound, like [`Expr::clip`] with only the lower bound. The result is
    /// NaN if the element or the bound is NaN.
    ///
    /// ```
    /// assert_eq!(cupric::array![-1., 2.].clip_lower(0.0).to_vec::<f32>()?, [0., 2.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "clamp_min")]
    #[track_caller]
    pub fn clip_lower(&self, lowest: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("clip_lower", at);
        named("clip_lower", binary(&arithmetic::maximum, self, lowest, at), at)
    }

    /// Replaces each element above a bound by the bound, like [`Expr::clip`] with only the upper bound. The result is
    /// NaN if the element or the bound is NaN.
    ///
    /// ```
    /// assert_eq!(cupric::array![-1., 2.].clip_upper(0.0).to_vec::<f32>()?, [-1., 0.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "clamp_max")]
    #[track_caller]
    pub fn clip_upper(&self, highest: impl Operand) -> Expr {
        let at = Location::caller();
        let _called = Called::begin("clip_upper", at);
        named("clip_upper", binary(&arithmetic::minimum, self, highest, at), at)
    }
}

/// Tests whether the elements of two operands are equal within tolerances: abs(a − b) ≤ `atol` + `rtol` · abs(b). The
/// details are as in [`Expr::isclose`].
#[track_caller]
pub fn isclose(a: impl Operand, b: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Expr {
    let at = Location::caller();
    let (a, b) = (a.into_arg(), b.into_arg());
    close("isclose", [a, b], [rtol, atol], equal_nan, at)
}

/// Tests whether all elements of two operands are equal within tolerances, as defined by [`isclose`]. The result is a
/// 0-d expression of dtype bool, which is true if there are no elements.
#[track_caller]
pub fn allclose(a: impl Operand, b: impl Operand, rtol: f64, atol: f64, equal_nan: bool) -> Expr {
    let at = Location::caller();
    let _called = Called::begin("allclose", at);
    let each = close("allclose", [a.into_arg(), b.into_arg()], [rtol, atol], equal_nan, at);
    reduce("allclose", Fold::of(&logic::logical_and), &each, &(..).into_axes(), at)
}

fn close(op: &'static str, pair: [Arg; 2], [rtol, atol]: [f64; 2], equal_nan: bool, at: Loc) -> Expr {
    let build = || {
        let are_numbers = pair.iter().all(|a| matches!(a, Arg::Scalar(_)));
        let [x, y] = match are_numbers {
            // two numbers are compared in f64
            true => pair.map(|a| match a {
                Arg::Scalar(s) => Expr::fill(s, smallvec![], DType::F64, at),
                Arg::Expr(e) => e,
            }),
            false => operands(pair, Unfit::Default, at),
        };
        let (p, q) = (x.checked()?.dtype, y.checked()?.dtype);
        let compute = common_float(p, q);
        let [a, b] = [&x, &y].map(|e| cast(e.clone(), compute, at));
        let difference = match p.is_integer() && q.is_integer() {
            true => whole_difference(p.promote(q), &x, &y, at).map(|d| cast(d, compute, at)),
            false => None,
        };
        let difference =
            difference.unwrap_or_else(|| unary(&arithmetic::abs, binary(&arithmetic::subtract, &a, &b, at), at));
        let relative = binary(&arithmetic::multiply, unary(&arithmetic::abs, &b, at), rtol, at);
        let tolerance = binary(&arithmetic::add, relative, atol, at);
        let within = binary(&logic::less_equal, difference, tolerance, at);
        let within = binary(&logic::logical_and, within, unary(&logic::isfinite, &b, at), at);
        let mut close = binary(&logic::logical_or, within, binary(&logic::equal, &a, &b, at), at);
        if equal_nan {
            let both = binary(&logic::logical_and, unary(&logic::isnan, &a, at), unary(&logic::isnan, &b, at), at);
            close = binary(&logic::logical_or, close, both, at);
        }
        Ok(named(op, close, at))
    };
    // `composed` exempts intermediate results from checks for NaN, infinities and wrapped integers: ∞ − ∞ and negative
    // integers cast to an unsigned type do not affect the result
    composed(|| result_of(op, at, build))
}

/// Returns the magnitude of the difference of two integers, in the unsigned type of their common dtype, which can hold
/// every such difference.
fn whole_difference(dtype: Option<DType>, a: &Expr, b: &Expr, at: Loc) -> Option<Expr> {
    let dtype = dtype?;
    let (a, b) = (cast(a.clone(), dtype, at), cast(b.clone(), dtype, at));
    let [large, small] = [&arithmetic::maximum, &arithmetic::minimum].map(|row| binary(row, &a, &b, at));
    Some(binary(&arithmetic::subtract, cast(large, dtype.raw(), at), cast(small, dtype.raw(), at), at))
}

/// Returns the Heaviside step function: 0 for negative numbers, 1 for positive ones, `at_zero` for 0, and NaN for NaN.
/// Integers are converted to f32.
#[track_caller]
pub fn heaviside(x: impl Operand, at_zero: impl Operand) -> Expr {
    let at = Location::caller();
    let [x, at_zero] = operands([x.into_arg(), at_zero.into_arg()], Unfit::Float, at);
    result_of("heaviside", at, || {
        let x = floating(&x, at);
        x.checked()?;
        let sides = choose(binary(&logic::less, &x, 0.0, at), 0.0, 1.0, at);
        // the comparisons are false for NaN, so its result is set to NaN here
        let sides = choose(unary(&logic::isnan, &x, at), &x, cast(sides, x.0.dtype, at), at);
        Ok(named("heaviside", choose(binary(&logic::equal, &x, 0.0, at), at_zero, sides, at), at))
    })
}
