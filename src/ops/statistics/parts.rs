//! Rounding to decimals, and splitting numbers into fractions, mantissas and exponents.

use super::{choose, common_float, floating, named};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc};
use crate::graph::expr::{Called, Expr, Operand, binary, cast, common, operand, result_of, strong, ufunc, unary};
use crate::graph::ufunc::{arithmetic, float, logic};
use smallvec::smallvec;
use std::panic::Location;

/// # Rounding and parts of numbers
impl Expr {
    /// Rounds to a number of decimals; halves are rounded to even. A negative number of decimals rounds to tens,
    /// hundreds, and so on.
    ///
    /// Like NumPy's `round`, this function rounds x · 10^decimals to an integer and divides the integer by 10^decimals.
    /// The product itself has a rounding error, so a number very near a half may be rounded up or down. If the product
    /// is so large that it has no fraction, x is returned unchanged. For integers the result is exact, but wraps if it
    /// does not fit the dtype.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![1.234, -2.5].round_to(1).to_vec::<f32>()?, [1.2, -2.5]);
    /// assert_eq!(array![15, 25, -149].round_to(-1).to_vec::<i32>()?, [20, 20, -150]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "round")]
    #[doc(alias = "around")]
    #[track_caller]
    pub fn round_to(&self, decimals: i32) -> Expr {
        let at = Location::caller();
        result_of("round_to", at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            Ok(match (e.0.dtype, decimals) {
                (d, 0) if d.is_float() => unary(&arithmetic::round, e, at),
                (d, n) if d.is_float() => cast(round_float(&e, n, at), d, at),
                (DType::Bool, _) | (_, 0..) => e,
                (_, n) => round_integer(&e, n.unsigned_abs(), at),
            })
        })
    }

    /// Splits numbers into the fraction and the whole part. Both parts have the sign of the number and are exact. The
    /// fraction of an infinity is 0. Integers are converted to f32.
    ///
    /// ```
    /// use cupric::array;
    /// let (fraction, whole) = array![1.5, -2.25].modf();
    /// assert_eq!((fraction.to_vec::<f32>()?, whole.to_vec::<f32>()?), (vec![0.5, -0.25], vec![1., -2.]));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn modf(&self) -> (Expr, Expr) {
        let at = Location::caller();
        let _called = Called::begin("modf", at);
        let x = floating(self, at);
        let whole = unary(&arithmetic::trunc, &x, at);
        let rest = binary(&arithmetic::subtract, &x, &whole, at);
        // an infinity has the fraction 0, because ∞ − ∞ would be NaN
        let rest = choose(unary(&logic::isinf, &x, at), 0.0, rest, at);
        let fraction = binary(&float::copysign, rest, &x, at);
        (named("modf", fraction, at), named("modf", whole, at))
    }

    /// Splits numbers into the mantissa, whose magnitude is at least 0.5 and less than 1, and the exponent, as i32: the
    /// number is `mantissa · 2^exponent`. ±0, ∞ and NaN are their own mantissas, with exponent 0. Mantissa and exponent
    /// are exact. Integers are converted to f32.
    ///
    /// ```
    /// use cupric::array;
    /// let (mantissa, exponent) = array![8., -0.75].frexp();
    /// assert_eq!((mantissa.to_vec::<f32>()?, exponent.to_vec::<i32>()?), (vec![0.5, -0.75], vec![4, 0]));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn frexp(&self) -> (Expr, Expr) {
        let at = Location::caller();
        let _called = Called::begin("frexp", at);
        let x = floating(self, at);
        if x.error().is_some() {
            return (x.clone(), x);
        }
        let (mantissa, exponent) = frexp(&x, at);
        (cast(mantissa, x.0.dtype, at), cast(exponent, DType::I32, at))
    }

    /// Computes x · 2^n for each element x of the array. The result is rounded only once, even if it is subnormal. n
    /// must hold integers, of any integer dtype, and the operands broadcast. If x is an integer array, the result is
    /// f32. The expression carries [`ErrorKind::DType`] if n does not hold integers.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![0.5, 3.].ldexp(array![4, -1]).to_vec::<f32>()?, [8., 1.5]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "scalbn")]
    #[track_caller]
    pub fn ldexp(&self, n: impl Operand) -> Expr {
        ldexp(self, n)
    }
}

/// Returns the largest n for which 2^n is finite in a float type, and the type's number of significant bits.
fn format(compute: DType) -> (i32, i32) {
    if compute == DType::F64 { (1023, 53) } else { (127, 24) }
}

/// Rounds the elements of `e` to n decimals, in f32 or f64.
fn round_float(e: &Expr, n: i32, at: Loc) -> Expr {
    let x = cast(e.clone(), common_float(e.0.dtype, e.0.dtype), at);
    let (largest, bits) = format(x.0.dtype);
    // `most` is the exponent of the largest power of ten in the type, and `deepest` is the decimal place of the first
    // nonzero digit of the type's smallest subnormal number
    let (most, deepest) = if largest == 1023 { (308, 324) } else { (38, 45) };
    let times = |x: &Expr, by: f64| binary(&arithmetic::multiply, x, by, at);
    if n < 0 {
        let places = n.unsigned_abs() as i32;
        if places > most {
            // half of 10^places is above the largest number of the type, so every finite number is rounded to 0
            let zero = times(&x, 0.0);
            return choose(unary(&logic::isfinite, &x, at), zero, &x, at);
        }
        let power = 10f64.powi(places);
        let whole = unary(&arithmetic::round, binary(&arithmetic::divide, &x, power, at), at);
        return choose(unary(&logic::isfinite, &x, at), times(&whole, power), &x, at);
    }
    // rounding to more than this many decimals changes no number of the type
    if n > deepest + bits {
        return x;
    }
    // the number is multiplied in two steps, because 10^n may be infinite in the type
    let (first, second) = (10f64.powi(n.min(most)), 10f64.powi((n - most).max(0)));
    let scaled = times(&times(&x, first), second);
    let whole = unary(&arithmetic::round, &scaled, at);
    let back = binary(&arithmetic::divide, &whole, second, at);
    let back = binary(&arithmetic::divide, back, first, at);
    // a product of 2^(bits − 1) or more has no fraction, so x is kept; infinities and NaN are kept too
    let has_fraction = binary(&logic::less, unary(&arithmetic::abs, &scaled, at), 2f64.powi(bits - 1), at);
    choose(has_fraction, back, &x, at)
}

/// Rounds integers to a multiple of 10^n. A number halfway between two multiples is rounded to the even multiple.
fn round_integer(e: &Expr, n: u32, at: Loc) -> Expr {
    let (least, most) = e.0.dtype.integer_range();
    let power = 10i128.checked_pow(n).unwrap_or(i128::MAX);
    let number = |v: i128| Expr::fill(Scalar::Int(v), smallvec![], e.0.dtype, at);
    if power > most {
        // the nearest multiples are 0 and ±10^n, and ±10^n wraps in the dtype
        let unsigned = |v: i128| Scalar::Int(v);
        let wrapped = |v: i128| {
            let width = 8 * e.0.dtype.size() as u32;
            let low = v.rem_euclid(1i128 << width);
            if low > most { low - (1i128 << width) } else { low }
        };
        let mut out = number(0);
        if power / 2 < most {
            let above = binary(&logic::greater, e, number(power / 2), at);
            out = choose(above, Expr::fill(unsigned(wrapped(power)), smallvec![], e.0.dtype, at), out, at);
        }
        if -(power / 2) > least {
            let below = binary(&logic::less, e, number(-(power / 2)), at);
            out = choose(below, number(wrapped(-power)), out, at);
        }
        // the product with 0 is a constant 0 of the shape and on the device of the operand
        return binary(&arithmetic::add, binary(&arithmetic::multiply, e, number(0), at), out, at);
    }
    let quotient = binary(&arithmetic::floor_divide, e, number(power), at);
    let rest = binary(&arithmetic::remainder, e, number(power), at);
    let half = number(power / 2);
    let odd = binary(&logic::bitwise_and, &quotient, number(1), at);
    let at_half = binary(&logic::logical_and, binary(&logic::equal, &rest, &half, at), odd, at);
    let up = binary(&logic::logical_or, binary(&logic::greater, &rest, &half, at), at_half, at);
    let whole = binary(&arithmetic::add, quotient, cast(up, e.0.dtype, at), at);
    binary(&arithmetic::multiply, whole, number(power), at)
}

/// Returns the mantissa and the exponent, both as floats. A few multiplications by powers of two, which are exact,
/// bring the number between 0.5 and 1. The exponent of each power of two is half of the exponent before it.
fn frexp(x: &Expr, at: Loc) -> (Expr, Expr) {
    let x = cast(x.clone(), common_float(x.0.dtype, x.0.dtype), at);
    let (largest, _) = format(x.0.dtype);
    let top = (largest + 1) / 2;
    let plain =
        binary(&logic::logical_and, unary(&logic::isfinite, &x, at), binary(&logic::not_equal, &x, 0.0, at), at);
    // 0, infinities and NaN have no exponent; they are replaced by 0.5, which no step changes
    let mut m = choose(&plain, unary(&arithmetic::abs, &x, at), 0.5, at);
    let mut exponent = binary(&arithmetic::multiply, &m, 0.0, at);
    let mut step = |from_below: bool, by: i32| {
        let (limit, factor, count) = match from_below {
            true => (2f64.powi(-by), 2f64.powi(by), -by),
            false => (2f64.powi(by), 2f64.powi(-by), by),
        };
        let row = if from_below { &logic::less } else { &logic::greater_equal };
        let moves = binary(row, &m, limit, at);
        m = choose(&moves, binary(&arithmetic::multiply, &m, factor, at), &m, at);
        exponent = choose(&moves, binary(&arithmetic::add, &exponent, count as f64, at), &exponent, at);
    };
    // the exponent of a subnormal number may be below −`largest`, so the first step is done twice
    step(true, top);
    let halves = || std::iter::successors(Some(top), |s| (*s > 1).then_some(s / 2));
    halves().for_each(|by| step(true, by));
    halves().for_each(|by| step(false, by));
    // the number is now at least 0.5 and below 2
    let half = binary(&logic::greater_equal, &m, 1.0, at);
    m = choose(&half, binary(&arithmetic::multiply, &m, 0.5, at), &m, at);
    exponent = choose(&half, binary(&arithmetic::add, &exponent, 1.0, at), &exponent, at);
    let mantissa = choose(plain, binary(&float::copysign, m, &x, at), &x, at);
    (mantissa, exponent)
}

/// Computes x · 2^n. The dtypes and errors are as in [`Expr::ldexp`].
#[track_caller]
pub fn ldexp(x: impl Operand, n: impl Operand) -> Expr {
    let at = Location::caller();
    let (x, n) = (operand(x, at), operand(n, at));
    result_of("ldexp", at, || {
        common("ldexp", [&x, &n].into_iter(), at)?;
        if !(n.0.dtype.is_integer() || n.0.dtype == DType::Bool) {
            let detail = format!("the exponents have dtype {}; integers are needed", n.0.dtype);
            return Err(Error::with_line(ErrorKind::DType, "ldexp", detail, at));
        }
        let out = x.0.dtype.float();
        let x = cast(x, common_float(out, out), at);
        let (largest, bits) = format(x.0.dtype);
        // three factors can reach exponents up to `most`; beyond that the result is 0 or infinite for every x
        let most = 2 * (largest + bits) + 2;
        let n = if n.0.dtype.size() < 4 { cast(n, DType::I32, at) } else { n };
        let bound = |v: i32| Scalar::Int((v as i128).max(n.0.dtype.integer_range().0));
        let fill = |v: i32| Expr::fill(bound(v), smallvec![], n.0.dtype, at).into_arg();
        let clamped = ufunc(&arithmetic::clip, smallvec![(&n).into_arg(), fill(-most), fill(most)], at);
        let (mut left, mut y) = (cast(clamped, DType::I32, at), x);
        // A factor 2^step_down leaves an exponent `left` below −`bits`. If the product is then subnormal, it may have
        // been rounded, but the final result is 0. So no result is rounded twice.
        let (lowest, step_down) = (1 - largest, 1 - largest + bits);
        for _ in 0..2 {
            let (above, below) = (binary(&logic::greater, &left, largest, at), binary(&logic::less, &left, lowest, at));
            let part = choose(&above, largest, choose(&below, step_down, 0, at), at);
            let number = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], y.0.dtype, at);
            let factor = choose(below, number(2f64.powi(step_down)), number(1.0), at);
            let factor = choose(above, number(2f64.powi(largest)), factor, at);
            (left, y) = (binary(&arithmetic::subtract, &left, part, at), binary(&arithmetic::multiply, &y, factor, at));
        }
        let y = binary(&arithmetic::multiply, &y, power_of_two(&left, largest, y.0.dtype, at), at);
        Ok(named("ldexp", cast(y, out, at), at))
    })
}

/// Returns 2^n exactly, for n between 1 − `largest` and `largest`, as a product of one factor for each bit of n.
fn power_of_two(n: &Expr, largest: i32, dtype: DType, at: Loc) -> Expr {
    let is_negative = binary(&logic::less, n, 0, at);
    let magnitude = unary(&arithmetic::abs, n, at);
    let mut power: Option<Expr> = None;
    for bit in 0..=largest.ilog2() {
        let step = 1i32 << bit;
        let number = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], dtype, at);
        let factor = choose(&is_negative, number(2f64.powi(-step)), number(2f64.powi(step)), at);
        let has = binary(&logic::bitwise_and, &magnitude, step, at);
        let factor = choose(has, factor, number(1.0), at);
        power = Some(match power {
            None => factor,
            Some(p) => binary(&arithmetic::multiply, p, factor, at),
        });
    }
    power.unwrap_or_else(|| n.clone())
}
