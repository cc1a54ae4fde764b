//! Numbers with a constant ratio: `logspace` and `geomspace`.
//!
//! Each number is 2^E, for evenly spaced exponents E. A relative error of E appears in the result multiplied by about
//! E. So E is computed as the sum of two terms, and the first term is exact. The integer part of the first term becomes
//! a power of two. The remainder plus the second term is small, so its error is small too.

use super::line::{DoubleF64, add, exponent, on_grid, scaled, times, two_sum};
use super::{binary, countable, iota};
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::graph::expr::{Expr, cast, result_of, ufunc};
use crate::graph::ufunc::{Ufunc, arithmetic, float, logic};
use smallvec::smallvec;
use std::panic::Location;

/// The largest magnitude of an exponent that [`logspace`] and [`geomspace`] accept. 2^1100 is already outside the range
/// of every dtype.
const LARGEST: f64 = 4096.0;

fn product(a: DoubleF64, b: DoubleF64) -> DoubleF64 {
    let p = a.0 * b.0;
    two_sum(p, a.0.mul_add(b.0, -p) + (a.0 * b.1 + a.1 * b.0))
}

fn quotient(a: DoubleF64, k: f64) -> DoubleF64 {
    let high = a.0 / k;
    two_sum(high, ((-high).mul_add(k, a.0) + a.1) / k)
}

/// Returns the binary logarithm of a positive number, in about twice the precision of f64.
fn log2(x: f64) -> DoubleF64 {
    // x = m · 2^k with m between √½ and √2
    let k = exponent(x);
    let k = if scaled(x, -k) < std::f64::consts::FRAC_1_SQRT_2 { k - 1 } else { k };
    let m = scaled(x, -k);
    let near = m.log2();
    // `near` is rounded to f64; one step of Newton's method makes it more precise. For this step, 2^near is computed as
    // the series of e^t with t = near · ln 2. 24 terms are enough for |t| ≤ ln 2 / 2.
    const LN_2: DoubleF64 = (std::f64::consts::LN_2, 2.3190468138462996e-17);
    let t = times(LN_2, near);
    let power = (1..=24).rev().fold((1.0, 0.0), |sum, i| add((1.0, 0.0), quotient(product(t, sum), i as f64)));
    let rest = ((m - power.0) - power.1) / (power.0 * LN_2.0);
    add((k as f64, 0.0), two_sum(near, rest))
}

/// Builds `n` powers of two whose exponents begin with `start` and are `step` apart.
fn powers(start: DoubleF64, step: DoubleF64, n: usize, dtype: DType, at: Loc) -> Expr {
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let bits = if wide == DType::F64 { 53 } else { 24 };
    let constant = |v: f64| Expr::fill(Scalar::Float(v), smallvec![], wide, at);
    let integer = |v: i64| Expr::fill(Scalar::Int(v as i128), smallvec![], DType::I32, at);
    let sum = |a: &Expr, b: &Expr| binary(&arithmetic::add, a, b, at);
    let less = |a: &Expr, b: &Expr| binary(&arithmetic::subtract, a, b, at);
    let times_number = |a: &Expr, k: f64| binary(&arithmetic::multiply, a, constant(k), at);
    let call = |row: &'static Ufunc, a: &Expr| ufunc(row, smallvec![crate::graph::expr::Arg::Expr(a.clone())], at);

    let end = add(start, times(step, n.saturating_sub(1) as f64)).0;
    // the product of a position and a multiple of 2^grid is exact, and so are sums of such products
    let grid = exponent(start.0.abs().max(end.abs())) + 1 - bits;
    let cut = |x: DoubleF64| {
        let high = on_grid(x.0, grid);
        (high, (x.0 - high) + x.1)
    };
    let (base_high, base_low) = cut(start);
    let i = iota(smallvec![n], 0, at);
    /// In f32, if the sequence is long, the lowest `LOW` bits of an element's position are multiplied by the step
    /// separately. Otherwise the rounding errors of the products would be visible in the result.
    const LOW: i32 = 12;
    let (exact, rest) = if wide == DType::F64 || n <= 1 << (LOW + 1) {
        let (high, low) = cut(step);
        let j = cast(i, wide, at);
        (sum(&times_number(&j, high), &constant(base_high)), sum(&times_number(&j, low), &constant(base_low)))
    } else {
        let shift = |e: &Expr, k: i32| binary(&logic::bitwise_right_shift, e, integer(k as i64), at);
        let p = shift(&sum(&i, &integer(1 << (LOW - 1))), LOW);
        let q = less(&i, &binary(&logic::bitwise_left_shift, &p, integer(LOW as i64), at));
        let (p, q) = (cast(p, wide, at), cast(q, wide, at));
        let (high, low) = cut(times(step, scaled(1.0, LOW)));
        let short = on_grid(step.0, exponent(step.0) - LOW);
        let (a, b) = (sum(&times_number(&p, high), &constant(base_high)), times_number(&q, short));
        // `s` and `lost` are two terms whose sum is exactly a + b
        let s = sum(&a, &b);
        let t = less(&s, &a);
        let lost = sum(&less(&a, &less(&s, &t)), &less(&b, &t));
        let fine = sum(&times_number(&q, (step.0 - short) + step.1), &constant(base_low));
        (s, sum(&lost, &sum(&times_number(&p, low), &fine)))
    };
    let whole = call(&arithmetic::round, &exact);
    let rest = sum(&less(&exact, &whole), &rest);
    // The power of two is split into two factors. As a single number in f32 it may be infinite (2^128) although the
    // result is not, or it may not be a normal number (2^-149).
    let half = call(&arithmetic::floor, &times_number(&whole, 0.5));
    let power = |e: &Expr| call(&float::exp2, e);
    let scaled = binary(&arithmetic::multiply, power(&rest), power(&half), at);
    cast(binary(&arithmetic::multiply, scaled, power(&less(&whole, &half)), at), dtype, at)
}

/// Returns an error for arguments that both [`logspace`] and [`geomspace`] reject.
fn checked(op: &'static str, numbers: &[f64], n: usize, dtype: DType, at: Loc) -> Result<()> {
    if !dtype.is_float() {
        let detail = format!("dtype {dtype} cannot hold the numbers between the ends; use a float type, then astype");
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
        return Err(Error::with_line(
            ErrorKind::Argument,
            op,
            format!("{x} is not finite; the ends and the base must be finite numbers"),
            at,
        ));
    }
    countable(op, n, at)
}

/// Returns `n` powers of a positive base with evenly spaced exponents, from `base^a` to `base^b`, in a float dtype. The
/// error of an element is at most 2 units in the last place (4 on a GPU; 1 in f16 and bf16). NumPy uses
/// base 10 by default.
///
/// The expression carries [`ErrorKind::DType`] if `dtype` is not a float type. It carries [`ErrorKind::Argument`] if an
/// argument is not finite, if the base is not positive, or if an exponent is far outside the range of every float
/// dtype.
///
/// ```
/// use cupric::{DType, logspace};
/// assert_eq!(logspace(0.0, 3.0, 4, 2.0, DType::F32).to_vec::<f32>()?, [1., 2., 4., 8.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn logspace(a: f64, b: f64, n: usize, base: f64, dtype: DType) -> Expr {
    const OP: &str = "logspace";
    let at = Location::caller();
    result_of(OP, at, || {
        checked(OP, &[a, b, base], n, dtype, at)?;
        if base <= 0.0 {
            return Err(Error::with_line(ErrorKind::Argument, OP, format!("the base {base} is not positive"), at));
        }
        let log = log2(base);
        let (start, end) = (times(log, a), times(log, b));
        if start.0.abs().max(end.0.abs()) > LARGEST {
            let detail = format!("{base} to the power of {a} or {b} is outside the range of every float type");
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        let step = product(log, quotient(two_sum(b, -a), n.saturating_sub(1).max(1) as f64));
        Ok(powers(start, step, n, dtype, at))
    })
}

/// Returns `n` numbers with a constant ratio from `a` to `b`, in a float dtype. Both ends must have the same sign and
/// must not be 0. The first number is `a` and the last is `b`, rounded to the dtype. The error of the other numbers is
/// at most 2 units in the last place (4 on a GPU; 1 in f16 and bf16).
///
/// The expression carries [`ErrorKind::DType`] if `dtype` is not a float type, and [`ErrorKind::Argument`] if the ends
/// have different signs or if one of them is 0, infinite or NaN.
///
/// ```
/// use cupric::{DType, geomspace};
/// assert_eq!(geomspace(1.0, 8.0, 4, DType::F32).to_vec::<f32>()?, [1., 2., 4., 8.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn geomspace(a: f64, b: f64, n: usize, dtype: DType) -> Expr {
    const OP: &str = "geomspace";
    let at = Location::caller();
    result_of(OP, at, || {
        checked(OP, &[a, b], n, dtype, at)?;
        if a == 0.0 || b == 0.0 || (a < 0.0) != (b < 0.0) {
            let detail = format!("the ends {a} and {b} must both be positive or both be negative");
            return Err(Error::with_line(ErrorKind::Argument, OP, detail, at));
        }
        if n < 2 {
            return Ok(Expr::fill(Scalar::Float(a), smallvec![n], dtype, at));
        }
        let (start, end) = (log2(a.abs()), log2(b.abs()));
        let step = quotient(add(end, (-start.0, -start.1)), (n - 1) as f64);
        let inside = powers(start, step, n, dtype, at);
        let inside = if a < 0.0 {
            ufunc(&arithmetic::negative, smallvec![crate::graph::expr::Arg::Expr(inside)], at)
        } else {
            inside
        };
        // both ends are set to the given numbers, because the computed ones could differ by a rounding error
        let i = iota(smallvec![n], 0, at);
        let at_end = |k: usize, value: f64, others: Expr| {
            let here = binary(&logic::equal, &i, k, at);
            let value = Expr::fill(Scalar::Float(value), smallvec![], dtype, at);
            ufunc(&logic::SELECT, [here, value, others].into_iter().map(crate::graph::expr::Arg::Expr).collect(), at)
        };
        Ok(at_end(n - 1, b, at_end(0, a, inside)))
    })
}
