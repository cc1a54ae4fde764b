//! The formulas of complex functions, for a real part a and an imaginary part b in f32 or f64.
//!
//! The square root and the inverse functions are those of W. Kahan, "Branch Cuts for Complex Elementary Functions, or
//! Much Ado About Nothing's Sign Bit", in The State of the Art in Numerical Analysis, Oxford, 1987. Other functions are
//! mostly sums of terms of one sign, which do not cancel. sin, cos and tan of z are computed from the hyperbolic
//! functions of i·z.
//!
//! For NaN and infinite numbers, each function selects other results where the formula gives wrong ones. The condition
//! of the selection is false for finite numbers, so their derivatives are those of the formula.
//!
//! Each function has `#[track_caller]`, because operators record the caller's line. In a closure they would record a
//! line of this file, so no closure here builds operations.

use crate::base::dtype::DType;
use crate::graph::expr::Expr;
use crate::ops::functions::{copysign, maximum, minimum, select};
use std::f64::consts::{FRAC_PI_2, LN_2, LN_10};

/// The real and the imaginary parts of a result.
pub(super) type Parts2 = (Expr, Expr);

/// Generates a method of `Complex` from each formula of this file.
macro_rules! functions {
    ($($(#[$doc:meta])+ $name:ident,)*) => { $(
        $(#[$doc])+
        #[doc = concat!(
            "\n```\nlet z = cupric::Complex::new(cupric::array![0.25, 0.5], 0.5);\nlet w = z.", stringify!($name),
            "().eval()?;\nassert_eq!(w.shape()?, [2]);\n# Ok::<(), cupric::Error>(())\n```"
        )]
        #[track_caller]
        pub fn $name(&self) -> Complex {
            let _called = Called::begin(stringify!($name), Location::caller());
            let z = self.wide();
            let inner = Inner::begin();
            let parts = formulas::$name(&z.re, &z.im);
            Complex::result(inner, parts, self.typed())
        }
    )* };
}
pub(super) use functions;

/// Returns `double` if the expression is f64, and `single` otherwise.
fn constant(x: &Expr, single: f64, double: f64) -> f64 {
    if x.0.dtype == DType::F64 { double } else { single }
}

/// Returns a number near the largest one whose exponential does not overflow in the expression's dtype.
fn largest_power(x: &Expr) -> f64 {
    constant(x, 88.0, 709.0)
}

/// Returns exp(max(m − L, 0)), where L is `largest_power(m)`. Callers compute with exp(min(m, L)) and multiply by this
/// factor last, because exp(m) alone may overflow where its product with a sine or cosine is finite.
#[track_caller]
fn excess(m: &Expr) -> Expr {
    maximum(m - largest_power(m), 0.0).exp()
}

/// Returns the angle. NaN and ±∞ become 0 where `is_free` is true, because the function's result does not depend on the
/// angle there.
#[track_caller]
fn settled(angle: &Expr, is_free: Expr) -> Expr {
    select(is_free & !angle.isfinite(), 0.0, angle)
}

#[track_caller]
fn is_infinite(a: &Expr, b: &Expr) -> Expr {
    a.isinf() | b.isinf()
}

/// Returns `product`, which is `factor` times the sine of the angle `b`. Returns `zero` instead where `b` is 0 and
/// `factor` is ∞ or NaN.
#[track_caller]
fn zero_wins(b: &Expr, factor: &Expr, zero: &Expr, product: Expr) -> Expr {
    mutant!(complex_zero_times_infinity, product, select(b.equal(0.0) & !factor.isfinite(), zero, product))
}

/// Returns the parts of the complex numbers with the magnitudes `size` and these angles.
#[track_caller]
pub(super) fn turned(size: &Expr, angle: &Expr) -> Parts2 {
    (size * angle.cos(), zero_wins(angle, size, angle, size * angle.sin()))
}

#[track_caller]
pub(super) fn exp(a: &Expr, b: &Expr) -> Parts2 {
    let (e, more) = (minimum(a, largest_power(a)).exp(), excess(a));
    let im = &e * settled(b, a.equal(f64::NEG_INFINITY)).sin() * &more;
    (&e * settled(b, a.isinf()).cos() * &more, zero_wins(b, &(&e * &more), b, im))
}

/// For a ≥ −1, the real part of the result is computed as expm1(a)·cos(b) − 2·sin²(b/2). Where these terms cancel, both
/// are at most as large as the imaginary part, so the error is small compared with the magnitude of the result.
#[track_caller]
pub(super) fn expm1(a: &Expr, b: &Expr) -> Parts2 {
    let angle = settled(b, a.isinf());
    let (low, c, s) = (minimum(a, largest_power(a)), angle.cos(), (&angle * 0.5).sin());
    let near = low.expm1() * &c * excess(a) - 2.0 * (&s * &s);
    (select(a.less(-1.0), low.exp() * c - 1.0, near), exp(a, b).1)
}

#[track_caller]
pub(super) fn sinh(a: &Expr, b: &Expr) -> Parts2 {
    let limit = largest_power(a);
    let (low, more) = (a.clip(-limit, limit), excess(&a.abs()));
    let (sinh, cosh) = (low.sinh(), low.cosh());
    let im = &cosh * b.sin() * &more;
    let angle = settled(b, a.equal(0.0) | a.isinf());
    (sinh * angle.cos() * &more, zero_wins(b, &(cosh * more), b, im))
}

#[track_caller]
pub(super) fn cosh(a: &Expr, b: &Expr) -> Parts2 {
    let limit = largest_power(a);
    let (low, more) = (a.clip(-limit, limit), excess(&a.abs()));
    let (sinh, cosh) = (low.sinh(), low.cosh());
    let im = &sinh * settled(b, a.equal(0.0)).sin() * &more;
    let zero = select(a.less(0.0), -b, b);
    (cosh * settled(b, a.isinf()).cos() * &more, zero_wins(b, &(sinh * more), &zero, im))
}

/// With s = sinh(a) and c = cos(b), the result is (s·cosh(a) + i·sin(b)·c) / (s² + c²). Beyond |a| = 20 the real part
/// is ±1 to the precision of f64, and the imaginary part decreases like exp(−2·|a|).
#[track_caller]
pub(super) fn tanh(a: &Expr, b: &Expr) -> Parts2 {
    let far = mutant!(complex_tanh_cut_at_12, 12.0, 20.0);
    let (low, angle) = (a.clip(-far, far), settled(b, a.isinf()));
    let (s, c) = (low.sinh(), angle.cos());
    let divisor = &s * &s + &c * &c;
    // this is 1, or NaN where the angle is not finite
    let one = &angle * 0.0 + 1.0;
    let re = select(a.abs().greater(far), one.copysign(a), s * low.cosh() / &divisor);
    let re = select(a.equal(0.0) & !b.isfinite(), a, re);
    let im = angle.sin() * c / divisor * (maximum(a.abs() - far, 0.0) * -2.0).exp();
    (re, zero_wins(b, a, b, im))
}

#[track_caller]
pub(super) fn sin(a: &Expr, b: &Expr) -> Parts2 {
    let (im, re) = sinh(b, a);
    (re, im)
}

#[track_caller]
pub(super) fn cos(a: &Expr, b: &Expr) -> Parts2 {
    cosh(&-b, a)
}

#[track_caller]
pub(super) fn tan(a: &Expr, b: &Expr) -> Parts2 {
    let (im, re) = tanh(b, a);
    (re, im)
}

/// Returns both parts times a power of 4, and the factor that undoes this scaling in a square root. The magnitude of
/// the scaled number does not overflow, and it is not subnormal.
#[track_caller]
fn scaled(a: &Expr, b: &Expr) -> (Expr, Expr, Expr) {
    let exponents = if a.0.dtype == DType::F64 { [1022, -960, 54] } else { [126, -96, 24] };
    let [large, small, up] = exponents.map(|exponent| 2f64.powi(exponent));
    let m = maximum(a.abs(), b.abs());
    let (is_large, is_small) = (m.greater(large), m.less(mutant!(small_roots_not_scaled, 0.0, small)));
    let power = select(&is_large, 0.25, select(&is_small, up * up, 1.0));
    (a * &power, b * power, select(is_large, 2.0, select(is_small, 1.0 / up, 1.0)))
}

/// Computes the square root by Kahan's CSQRT. Scaling replaces his tests of floating-point exceptions.
#[track_caller]
pub(super) fn sqrt(a: &Expr, b: &Expr) -> Parts2 {
    let (x, y, back) = scaled(a, b);
    let is_right = x.greater_equal(0.0);
    let large = (select(&is_right, &x, -&x) * 0.5 + x.hypot(&y) * 0.5).sqrt();
    let small = select(large.equal(0.0), &y, &y * 0.5 / &large) * &back;
    let large = large * back;
    let (re, im) = (select(&is_right, &large, small.abs()), select(is_right, small, large.copysign(b)));
    (select(b.isinf(), f64::INFINITY, re), select(b.isinf(), b, im))
}

#[track_caller]
pub(super) fn sign(a: &Expr, b: &Expr) -> Parts2 {
    let (x, y, _) = scaled(a, b);
    let m = x.hypot(&y);
    let is_zero = m.equal(0.0);
    (select(&is_zero, 0.0, x / &m), select(is_zero, 0.0, y / m))
}

/// Returns the logarithm of a + bi. For magnitudes near 1 it is computed from `beyond`, which is a² + b² − 1 without
/// cancellation.
#[track_caller]
fn logarithm(a: &Expr, b: &Expr, beyond: Expr) -> Parts2 {
    let (x, y) = (maximum(a.abs(), b.abs()), minimum(a.abs(), b.abs()));
    let q = y / select(x.equal(0.0), 1.0, &x);
    let far = x.log() + (&q * &q).log1p() * 0.5;
    let re = select(x.greater(0.5) & x.less(1.5), beyond.log1p() * 0.5, far);
    (select(is_infinite(a, b), f64::INFINITY, re), b.atan2(a))
}

#[track_caller]
pub(super) fn log(a: &Expr, b: &Expr) -> Parts2 {
    let (x, y) = (maximum(a.abs(), b.abs()), minimum(a.abs(), b.abs()));
    logarithm(a, b, (&x - 1.0) * (&x + 1.0) + &y * &y)
}

#[track_caller]
pub(super) fn log1p(a: &Expr, b: &Expr) -> Parts2 {
    logarithm(&(a + 1.0), b, a * (a + 2.0) + b * b)
}

#[track_caller]
pub(super) fn log2(a: &Expr, b: &Expr) -> Parts2 {
    let (re, im) = log(a, b);
    (re / LN_2, im / LN_2)
}

#[track_caller]
pub(super) fn log10(a: &Expr, b: &Expr) -> Parts2 {
    let (re, im) = log(a, b);
    (re / LN_10, im / LN_10)
}

/// The square roots √(1 − z) = p + qi and √(1 + z) = r + si, and the imaginary part `im` of asin(z), as in Kahan's
/// article. q and s have opposite signs, so neither p·s − q·r nor p·r − q·s cancels.
struct Roots {
    p: Expr,
    q: Expr,
    r: Expr,
    s: Expr,
    im: Expr,
}

#[track_caller]
fn roots(a: &Expr, b: &Expr) -> Roots {
    let ((p, q), (r, s)) = (sqrt(&(1.0 - a), &-b), sqrt(&(a + 1.0), b));
    // for a huge z the products could overflow, so they are divided by 4, and log(4) is added to the inverse sinh
    let is_huge = maximum(a.abs(), b.abs()).greater(2f64.powi(100));
    let part = select(&is_huge, 0.25, 1.0);
    let rest = select(is_huge, copysign(2.0 * LN_2, b), copysign(0.0, b));
    let im = (&p * (&s * &part) - &q * (&r * &part)).asinh() + rest;
    Roots { im: select(is_infinite(a, b), copysign(f64::INFINITY, b), im), p, q, r, s }
}

/// Computes the arc sine by Kahan's CARCSIN. For an infinite z, the real part is atan2(a, |b|).
#[track_caller]
pub(super) fn asin(a: &Expr, b: &Expr) -> Parts2 {
    let Roots { p, q, r, s, im } = roots(a, b);
    let re = a.atan2(select(is_infinite(a, b), b.abs(), p * r - q * s));
    (select(a.equal(0.0) & b.isnan(), a, re), im)
}

/// Computes the arc cosine by Kahan's CARCCOS. For an infinite z, the real part is atan2(|b|, a).
#[track_caller]
pub(super) fn acos(a: &Expr, b: &Expr) -> Parts2 {
    let Roots { p, r, im, .. } = roots(a, b);
    let re = select(is_infinite(a, b), b.abs().atan2(a), p.atan2(r) * 2.0);
    (select(a.equal(0.0) & b.isnan(), FRAC_PI_2, re), -im)
}

#[track_caller]
pub(super) fn acosh(a: &Expr, b: &Expr) -> Parts2 {
    let (re, im) = acos(a, b);
    (im.abs(), re.copysign(b))
}

#[track_caller]
pub(super) fn asinh(a: &Expr, b: &Expr) -> Parts2 {
    let (im, re) = asin(b, a);
    (re, im)
}

#[track_caller]
pub(super) fn atan(a: &Expr, b: &Expr) -> Parts2 {
    let (im, re) = atanh(b, a);
    (re, im)
}

/// Computes the inverse tanh by Kahan's CARCTANH. For a real part x ≥ 0, with d = |1 − z| and h = |z|, the real part of
/// the result is log1p(4x / d²) / 4. Where d² or h² might underflow or overflow, other formulas are used, which agree
/// to the precision of f64.
#[track_caller]
pub(super) fn atanh(a: &Expr, b: &Expr) -> Parts2 {
    // the formula for x ≥ 0 is used down to −0.25, because it is accurate there too and has a derivative at 0
    let is_right = a.greater(-0.25);
    let x = select(&is_right, a, -a);
    let (d, h) = ((1.0 - &x).hypot(b), x.hypot(b));
    let is_far = h.greater(2f64.powi(30));
    let scale = select(&is_far, &h, 1.0);
    let re = select(is_far, &x / &scale / &scale, (&x * 4.0 / (&d * &d)).log1p() * 0.25);
    let re = select(d.less(mutant!(complex_atanh_near_1, 0.0, 2f64.powi(-55))), (LN_2 - d.log()) * 0.5, re);
    let re = select(is_right, &re, -&re);
    let y = b / &scale;
    let im = (&y * 2.0).atan2((1.0 - &x) / scale * (x + 1.0) - y * b) * 0.5;
    let infinite = is_infinite(a, b);
    let re = select(a.equal(0.0) & b.isnan(), a, re);
    let im = select(&infinite & !b.isnan(), copysign(FRAC_PI_2, b), im);
    (select(infinite, copysign(0.0, a), re), im)
}
