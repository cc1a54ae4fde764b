//! Functions of f64.

#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    libm::exp(x)
}

#[inline(always)]
pub(crate) fn exp2(x: f64) -> f64 {
    libm::exp2(x)
}

#[inline(always)]
pub(crate) fn expm1(x: f64) -> f64 {
    libm::expm1(x)
}

#[inline(always)]
pub(crate) fn log(x: f64) -> f64 {
    libm::log(x)
}

#[inline(always)]
pub(crate) fn log2(x: f64) -> f64 {
    libm::log2(x)
}

#[inline(always)]
pub(crate) fn log10(x: f64) -> f64 {
    libm::log10(x)
}

#[inline(always)]
pub(crate) fn log1p(x: f64) -> f64 {
    libm::log1p(x)
}

#[inline(always)]
pub(crate) fn sin(x: f64) -> f64 {
    libm::sin(x)
}

#[inline(always)]
pub(crate) fn cos(x: f64) -> f64 {
    libm::cos(x)
}

#[inline(always)]
pub(crate) fn tan(x: f64) -> f64 {
    libm::tan(x)
}

#[inline(always)]
pub(crate) fn asin(x: f64) -> f64 {
    libm::asin(x)
}

#[inline(always)]
pub(crate) fn acos(x: f64) -> f64 {
    libm::acos(x)
}

#[inline(always)]
pub(crate) fn atan(x: f64) -> f64 {
    libm::atan(x)
}

#[inline(always)]
pub(crate) fn sinh(x: f64) -> f64 {
    libm::sinh(x)
}

#[inline(always)]
pub(crate) fn cosh(x: f64) -> f64 {
    libm::cosh(x)
}

#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    libm::tanh(x)
}

#[inline(always)]
pub(crate) fn asinh(x: f64) -> f64 {
    libm::asinh(x)
}

#[inline(always)]
pub(crate) fn acosh(x: f64) -> f64 {
    libm::acosh(x)
}

#[inline(always)]
pub(crate) fn atanh(x: f64) -> f64 {
    libm::atanh(x)
}

#[inline(always)]
pub(crate) fn cbrt(x: f64) -> f64 {
    libm::cbrt(x)
}

#[inline(always)]
pub(crate) fn erf(x: f64) -> f64 {
    libm::erf(x)
}

#[inline(always)]
pub(crate) fn erfc(x: f64) -> f64 {
    libm::erfc(x)
}

#[inline(always)]
pub(crate) fn erfinv(x: f64) -> f64 {
    let a = x.abs();
    let w = -((1.0 - a) * (1.0 + a)).ln();
    let mut r = if w < 5.0 { a * 0.886 } else { w.sqrt() };
    let mut i = 0;
    while i < 60 {
        let e = if a > 0.5 { (1.0 - a) - libm::erfc(r) } else { libm::erf(r) - a };
        let u = e * 0.886226925452758 * (r * r).exp();
        r -= u / (1.0 + r * u);
        i += 1;
    }
    let r = if a == 1.0 { f64::INFINITY } else if a <= 1.0 { r } else { f64::NAN };
    r.copysign(x)
}

#[inline(always)]
pub(crate) fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
pub(crate) fn softplus(x: f64) -> f64 {
    if x > 0.0 { x + log1p(exp(-x)) } else { log1p(exp(x)) }
}

#[inline(always)]
pub(crate) fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + exp(-x)) }
}

#[inline(always)]
pub(crate) fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2) }
}

#[inline(always)]
pub(crate) fn gelu_tanh(x: f64) -> f64 {
    silu_like(x, 1.5957691216057308 * (x + 0.044715 * x * x * x))
}

#[inline(always)]
fn silu_like(x: f64, z: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x / (1.0 + exp(-z)) }
}

#[inline(always)]
pub(crate) fn rsqrt(x: f64) -> f64 {
    1.0 / x.sqrt()
}

#[inline(always)]
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

#[inline(always)]
pub(crate) fn atan2(y: f64, x: f64) -> f64 {
    libm::atan2(y, x)
}

#[inline(always)]
pub(crate) fn hypot(x: f64, y: f64) -> f64 {
    libm::hypot(x, y)
}

#[inline(always)]
pub(crate) fn logaddexp(a: f64, b: f64) -> f64 {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    if hi == lo { hi + std::f64::consts::LN_2 } else { hi + log1p(exp(lo - hi)) }
}

/// The exact remainder with the sign of `x`, IEEE 754's and C's `fmod`.
#[inline(always)]
pub(crate) fn fmod(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let q = (a / b).floor();
    if q < 4_503_599_627_370_496.0 {
        // q is the quotient or one more, so the remainder is representable and the fma exact.
        let r = (-q).mul_add(b, a);
        (if r < 0.0 { r + b } else { r }).copysign(x)
    } else {
        x % y
    }
}

/// The remainder with the sign of the divisor: Python's and NumPy's `%`.
#[inline(always)]
pub(crate) fn remainder(x: f64, y: f64) -> f64 {
    let m = fmod(x, y);
    let crosses = (m != 0.0) & ((y < 0.0) != (m < 0.0));
    let m = if crosses { m + y } else { m };
    if m == 0.0 { (0.0 as f64).copysign(y) } else { m }
}

/// NumPy's `//`: the floor of the exact quotient, found from the exact remainder; `x // 0` is `x / 0`.
#[inline(always)]
pub(crate) fn floor_divide(x: f64, y: f64) -> f64 {
    let m = fmod(x, y);
    let crosses = (m != 0.0) & ((y < 0.0) != (m < 0.0));
    let d = (x - m) / y;
    let d = if crosses { d - 1.0 } else { d };
    let f = d.floor();
    let f = if d - f > 0.5 { f + 1.0 } else { f };
    let q = x / y;
    let f = if d == 0.0 { (0.0 as f64).copysign(q) } else { f };
    if y == 0.0 { q } else { f }
}

/// The next number after `x` in the direction of `y`.
#[inline(always)]
pub(crate) fn nextafter(x: f64, y: f64) -> f64 {
    let tiny = f64::from_bits(1).copysign(y);
    let away = (y > x) == (x > 0.0);
    let b = x.to_bits();
    let step = f64::from_bits(if away { b.wrapping_add(1) } else { b.wrapping_sub(1) });
    let r = if x == 0.0 { tiny } else { step };
    let r = if x == y { y } else { r };
    if x.is_nan() | y.is_nan() { x + y } else { r }
}

/// From `a` to `b` as `t` goes from 0 to 1, exact at both ends.
#[inline(always)]
pub(crate) fn lerp(a: f64, b: f64, t: f64) -> f64 {
    t.mul_add(b, (-t).mul_add(a, a))
}

/// `(f, q)` with x·2/π = q + f modulo 4, |f| <= 1/2, for x of at most 24 significant bits; the low two bits of q count.
///
/// Beyond 2^50 x is brought back into [2^23, 2^50), where it is a whole number, by a power of two; 2/π times that power,
/// without its multiples of 4, is held in three parts. The first two have at most 29 bits, so that their products with
/// x are exact; the third reaches to 2^-109.
#[inline(always)]
pub(crate) fn quarter_turns(x: f64) -> (f64, u32) {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let a = x.abs();
    let (p, q, r) = (a >= power(50), a >= power(77), a >= power(104));
    let pick = |c: [f64; 4]| {
        let v = if p { c[1] } else { c[0] };
        let v = if q { c[2] } else { v };
        if r { c[3] } else { v }
    };
    let x = x * pick([1.0, power(-27), power(-54), power(-81)]);
    let t = x * pick(TURN_HI);
    let k = t + ROUND;
    let f = t - (k - ROUND);
    let mid = pick(TURN_MID);
    let l = x.mul_add(mid, f) + ROUND;
    let f = x.mul_add(mid, f - (l - ROUND));
    (x.mul_add(pick(TURN_LO), f), (k.to_bits() as u32).wrapping_add(l.to_bits() as u32))
}

/// 2^n.
const fn power(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

const TURN_HI: [f64; 4] = [0.6366197727620602, -0.552946051582694, 1.2910009510815144, -1.313905093818903];
const TURN_MID: [f64; 4] = [-3.9447882200366324e-10, 3.054809009916948e-10, 1.3865150867709009e-09, -1.4592781601152627e-09];
const TURN_LO: [f64; 4] = [-3.260751408868143e-19, -7.799845648143895e-20, -4.641286873209999e-19, 2.801978957814423e-19];
