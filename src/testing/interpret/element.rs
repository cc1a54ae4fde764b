//! Interprets elementwise functions and conversions, one element at a time.

use super::Rules;
use crate::base::dtype::DType;
use crate::graph::ufunc::Ufunc;
use crate::testing::contract::{Bound, promised};
use crate::testing::number::{
    BoundedReal, largest, nearest, nearest_to_integer, saturate, smallest_normal, spacing, width, wrap,
};

/// Returns the float type in which a function of this dtype computes.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// Computes a function of integers or bools, or returns `None` if an operand is unknown.
pub(super) fn integer(row: &Ufunc, operand: DType, result: DType, x: &[Option<i128>]) -> Option<i128> {
    let mut v = [0; 3];
    for (v, x) in v.iter_mut().zip(x) {
        *v = (*x)?;
    }
    Some(wrap(result, row.exact_int?(v[0], v[1], v[2], width(operand))))
}

/// Calls `see` with all combinations of values of the operands. The values of an inexact operand are the lowest and the
/// highest number within its error, and 0 if it is between them, because many functions have a pole there. The only
/// value of an exact operand is its own.
fn corners(x: &[BoundedReal], mut see: impl FnMut([f64; 3])) {
    let mut ends = [[0.0; 3]; 3];
    let mut count = [1; 3];
    for (i, x) in x.iter().enumerate() {
        ends[i] = [x.low(), x.high(), 0.0];
        count[i] = match x.error > 0.0 {
            true if x.low() <= 0.0 && x.high() >= 0.0 => 3,
            true => 2,
            false => 1,
        };
    }
    for i in 0..count[0] {
        for j in 0..count[1] {
            (0..count[2]).for_each(|k| see([ends[0][i], ends[1][j], ends[2][k]]));
        }
    }
}

/// Computes a function of floats that returns a bool, or returns `None` if numbers within the operands' errors may give
/// different results.
pub(super) fn question(row: &Ufunc, x: &[BoundedReal]) -> Option<bool> {
    let f = row.exact?;
    let mut v = [0.0; 3];
    v.iter_mut().zip(x).for_each(|(v, x)| *v = x.value);
    // the sign of a NaN is unspecified, so either answer is right
    if row.name == "signbit" && v[0].is_nan() {
        return None;
    }
    if x.iter().all(|x| x.error == 0.0) {
        return Some(f(v[0], v[1], v[2]) != 0.0);
    }
    if x.iter().any(|x| x.is_unknown()) {
        return None;
    }
    if matches!(row.name, "equal" | "not_equal") {
        let apart = x[0].low() > x[1].high() || x[0].high() < x[1].low();
        return apart.then_some(row.name == "not_equal");
    }
    let answer = f(v[0], v[1], v[2]) != 0.0;
    let mut same = true;
    corners(x, |c| same &= (f(c[0], c[1], c[2]) != 0.0) == answer);
    same.then_some(answer)
}

/// Returns the contract's bound for a function that computes in this type.
pub(super) fn bound(row: &Ufunc, dtype: DType, rules: Rules) -> &'static Bound {
    let dtype = wide(dtype);
    // the variants of nextafter for f16 and bf16 have no lines of their own in the contract; they are exact
    promised(row.name, dtype, rules.gpu).unwrap_or(&Bound::Exact)
}

/// Returns the bound as an absolute error, for a result of at most this magnitude and these operands.
fn allowance(bound: &Bound, dtype: DType, result: f64, x: &[f64]) -> f64 {
    let ulp = spacing(dtype, result);
    let (ulps, distance) = bound.limits(result, x, dtype);
    match bound {
        Bound::Exact | Bound::Named(_) => ulp / 2.0,
        Bound::Ulp(..) => ulps * ulp + distance,
        // these bounds allow the larger of the two limits
        Bound::Max(..) | Bound::Large(_) | Bound::Lgamma(..) => (ulps * ulp).max(distance),
    }
}

/// Returns true if, for operands within their errors, a function may have values far outside the range between its
/// values at the ends of the errors.
fn hides_more(row: &Ufunc, operands: &[BoundedReal], v: &[f64; 3]) -> bool {
    match row.name {
        "remainder" | "fmod" | "floor_divide" => {
            let periods = (v[0] / v[1]).abs() + 1.0;
            let moved = operands[0].error + operands[1].error * periods;
            // if the operands change within their errors, a remainder may wrap around, to values between the values at
            // the ends
            let rest = (v[0] % v[1]).abs();
            let wraps = row.name != "floor_divide" && moved > 0.0 && rest.min(v[1].abs() - rest) <= moved;
            moved.is_nan() || moved > v[1].abs() / 4.0 || wraps
        }
        // a power of a negative number is NaN unless the exponent is an integer
        "pow" => operands[0].low() < 0.0 && operands[1].error > 0.0,
        "sin" | "cos" | "tan" => operands[0].error > 0.5,
        // an error of more than about a tenth of the function's period
        "sinpi" | "cospi" | "tanpi" | "sinc" => operands[0].error > 0.15,
        // poles: at x = 1, and where q is 0 or a negative integer
        "zeta" => operands[0].low() <= 1.0 && operands[0].high() >= 1.0 || operands[1].low() <= 0.0,
        // poles at 0 and below, and a jump at 0
        "beta" | "betaln" => operands[0].low() <= 0.0 || operands[1].low() <= 0.0,
        "gammainc" | "gammaincc" => operands[0].low() <= 0.0,
        // poles at 0 and at each negative integer
        "lgamma" | "digamma" => {
            let (low, high) = (operands[0].low(), operands[0].high());
            low <= 0.0 && (low.floor() != high.floor() || low == low.floor())
        }
        _ => false,
    }
}

/// Computes a function of floats, with an error bound.
pub(super) fn float(row: &Ufunc, bound: &Bound, dtype: DType, rules: Rules, x: &[BoundedReal]) -> BoundedReal {
    if row.name.starts_with("nextafter") {
        return next_after(dtype, x[0], x[1]);
    }
    let Some(f) = row.exact else { return BoundedReal::unknown() };
    if x.iter().any(|x| x.is_unknown()) {
        return BoundedReal::unknown();
    }
    let dtype = wide(dtype);
    let selects = row.properties.never_rounds;
    let rounds_well = selects || !rules.gpu && *bound == Bound::Exact;
    let basic = matches!(bound, Bound::Exact) || matches!(bound, Bound::Ulp(u, _) if *u <= 1.0);
    let tiny = smallest_normal(dtype);
    let mut operands = [BoundedReal::exact(0.0); 3];
    operands.iter_mut().zip(x).for_each(|(o, x)| *o = *x);
    let operands = &mut operands[..x.len()];
    if row.name == "copysign" && x[1].value.is_nan() {
        return BoundedReal::unknown();
    }
    if rules.gpu && !selects {
        // a driver may flush a subnormal operand to 0, or replace it with the smallest normal number
        for x in operands.iter_mut().filter(|x| x.value != 0.0 && x.value.abs() < tiny) {
            x.error += tiny;
        }
    }
    let mut v = [0.0; 3];
    v.iter_mut().zip(&*operands).for_each(|(v, x)| *v = x.value);
    let r = f(v[0], v[1], v[2]);
    let inexact = operands.iter().any(|x| x.error > 0.0);
    let mut spread = 0f64;
    if inexact {
        corners(operands, |c| {
            let y = f(c[0], c[1], c[2]);
            // zeros of both signs are possible: an error of the smallest subnormal number marks the sign as unknown
            let either_zero = y == 0.0 && r == 0.0 && y.is_sign_negative() != r.is_sign_negative();
            let off = match either_zero {
                true => spacing(dtype, 0.0),
                false if y == r || y.is_nan() && r.is_nan() => 0.0,
                false => (y - r).abs(),
            };
            spread = if off.is_nan() { f64::INFINITY } else { spread.max(off) };
        });
        // if the operands change within their errors, a smooth function may exceed its values at the ends of the
        // errors, so the spread is doubled. The factor 2 was chosen by hand; no test compares other values
        if !selects && !basic {
            spread *= 2.0;
        }
        if !spread.is_finite() || hides_more(row, operands, &v) {
            return BoundedReal::unknown();
        }
    }
    if !r.is_finite() {
        return if spread == 0.0 { BoundedReal::exact(r) } else { BoundedReal::unknown() };
    }
    if selects {
        return BoundedReal { value: r, error: spread };
    }
    let magnitude = r.abs() + spread;
    let mut allowed = allowance(bound, dtype, magnitude, &v[..x.len()]);
    if magnitude + allowed > largest(dtype) {
        let sure = r.abs() - spread - allowed > largest(dtype) + spacing(dtype, f64::MAX);
        let rounded = nearest(dtype, r);
        return match spread == 0.0 && rounds_well || sure {
            true => BoundedReal::exact(rounded),
            false => BoundedReal::unknown(),
        };
    }
    if rounds_well {
        return match spread == 0.0 {
            true => BoundedReal::exact(nearest(dtype, r)),
            false => BoundedReal { value: r, error: spread + spacing(dtype, magnitude) / 2.0 },
        };
    }
    // a GPU may return a neighbour of the correctly rounded result, but a result that needs no rounding must be exact
    if rules.gpu && basic && spread == 0.0 && nearest(dtype, r) == r && (r == 0.0 || r.abs() >= tiny) {
        return BoundedReal::exact(r);
    }
    if rules.gpu {
        allowed = allowed.max(spacing(dtype, magnitude)) + tiny;
    }
    // the exact function computes in f64, so its result has an error too. 4 and 64 spacings of f64 were chosen by hand;
    // even 64 are negligible compared with the bounds of f32
    let own = match reference_bound(row.name) {
        Some(own) => allowance(&own, DType::F64, magnitude, &v[..x.len()]),
        None => (if dtype == DType::F64 { 4.0 } else { 64.0 }) * spacing(DType::F64, magnitude),
    };
    BoundedReal { value: r, error: spread + allowed + own }
}

/// Returns the error bound of a function's exact version (`Row::exact`), which computes in f64, if it is more than 8
/// ULP. The bound is negligible compared with the bounds of f32 results, for which the exact version is the reference.
#[must_use]
pub fn reference_bound(function: &str) -> Option<Bound> {
    Some(match function {
        // near a zero of lgamma the error is absolute
        "lgamma" => Bound::Max(16.0, 1e-14),
        "lerp" | "logaddexp" | "gelu_tanh" => Bound::Large(8.0),
        // in the tail, the relative error of the result is the relative error of an exponent times that exponent, which
        // may be large
        "gelu" | "erfcx" => Bound::Ulp(512.0, 0.0),
        "ndtr" => Bound::Ulp(2048.0, 0.0),
        // near a zero of digamma the error is absolute
        "digamma" => Bound::Ulp(64.0, 1e-13),
        "zeta" => Bound::Ulp(1024.0, 0.0),
        // errors come from exponents of several hundred, and from the logarithms of the recurrence that raises an
        // argument to 20
        "beta" | "gammainc" | "gammaincc" => Bound::Ulp(65536.0, 0.0),
        "betaln" => Bound::Large(1024.0),
        "i0" | "i0e" | "i1" | "i1e" => Bound::Ulp(128.0, 0.0),
        // a relative error of 1e-12 is enough for a reference of f32 results
        "log_ndtr" | "erfcinv" | "ndtri" => Bound::Ulp(4096.0, 0.0),
        _ => return None,
    })
}

/// Returns the next number of the type after `x` in the direction of `y`.
fn next_after(dtype: DType, x: BoundedReal, y: BoundedReal) -> BoundedReal {
    if x.is_unknown() || y.is_unknown() {
        return BoundedReal::unknown();
    }
    let step = 2.0 * spacing(dtype, x.value);
    if x.value.is_nan() || y.value.is_nan() {
        return BoundedReal::exact(f64::NAN);
    }
    if x.error > 0.0 || y.error > 0.0 {
        return BoundedReal { value: x.value, error: x.error + step };
    }
    let (x, y) = (x.value, y.value);
    if x == y {
        return BoundedReal::exact(y);
    }
    let smallest = spacing(dtype, 0.0);
    if x == 0.0 {
        return BoundedReal::exact(smallest.copysign(y));
    }
    if x.is_infinite() {
        return BoundedReal::exact(largest(dtype).copysign(x));
    }
    // the spacing below a power of two is half the spacing above it
    let away = (y > x) == (x > 0.0);
    let unit = spacing(dtype, x);
    let below = x.abs() - unit / 2.0;
    let halved = spacing(dtype, below) < unit;
    let next = match (away, halved) {
        (true, _) => x.abs() + unit,
        (false, true) => below,
        (false, false) => x.abs() - unit,
    };
    BoundedReal::exact(if next > largest(dtype) { f64::INFINITY } else { next }.copysign(x))
}

/// Converts a float to an integer or bool, or returns `None` if numbers within its error give different results.
pub(super) fn to_integer(x: BoundedReal, to: DType) -> Option<i128> {
    if x.is_unknown() {
        return None;
    }
    if to == DType::Bool {
        return match x.error == 0.0 {
            true => Some((x.value != 0.0) as i128),
            false => (x.value.abs() > x.error).then_some(1),
        };
    }
    let (low, high) = (saturate(to, x.low()), saturate(to, x.high()));
    (low == high).then_some(low)
}

/// Converts an integer to a float.
pub(super) fn to_float(x: Option<i128>, to: DType) -> BoundedReal {
    x.map_or(BoundedReal::unknown(), |x| BoundedReal::exact(nearest_to_integer(to, x)))
}
