//! The incomplete gamma functions of f64, divided by Γ(a): P(a, x) is the lower one and Q(a, x) the upper one.

use super::exp::{exp, expm1, pow2_sum, scale};
use super::log::{LOG2_E_LO, log};
use super::normal::erfcx;
use super::poly;
use super::pow::{log2_sum, pow};
use crate::math::Fused;
use std::f64::consts::LOG2_E;

/// The coefficients of p in ln Γ(1 + a) = a·p(a), for 0 <= a <= 1/2. The largest relative error is 2^-50.3.
pub(super) const LGAMMA1P: [f64; 15] = [
    -0.5772156649015326,
    0.8224670334239566,
    -0.4006856343630117,
    0.27058080702838716,
    -0.2073855072199564,
    0.16955634654084417,
    -0.14403955170332317,
    0.1254205154018297,
    -0.11078470184663185,
    0.09762375617357959,
    -0.08269350018754493,
    0.06276533382757131,
    -0.038297917312213464,
    0.015978646066577062,
    -0.0033036782332972643,
];
/// The coefficients of p in Stirling's formula ln Γ(a) = (a - 1/2)·ln a - a + ln √(2π) + p(1/a²)/a, for a >= 8. The
/// largest error is 2^-54, relative to the last term.
pub(super) const STIRLING: [f64; 7] = [
    0.08333333333333333,
    -0.002777777777773988,
    0.0007936507897524059,
    -0.0005952365845057049,
    0.0008414700852503147,
    -0.001890382993887715,
    0.005065905360156132,
];
/// The coefficients of p in 2·atanh s = 2s + s³·p(s²), for |s| <= 0.1716. The largest relative error is 2^-59.3.
const ATANH: [f64; 7] = [
    0.6666666666666734,
    0.39999999999416447,
    0.2857142874200074,
    0.22222198612099708,
    0.18183562347124152,
    0.15314100065729194,
    0.14795465193976873,
];
/// The coefficients of Temme's uniform expansion. Row k contains the coefficients of the powers of η in the term of
/// 1/a^k (DLMF 8.12.9), as many as affect the result for a >= 20 and |η| <= 0.34. They were computed from Stirling's
/// coefficients by the recurrence DLMF 8.12.11, in exact fractions.
#[rustfmt::skip]
pub(super) const TEMME: [[f64; 15]; 12] = [
    [-0.3333333333333333, 0.08333333333333333, -0.014814814814814815, 0.0011574074074074073, 0.0003527336860670194, -0.0001787551440329218, 3.919263178522438e-05, -2.185448510679992e-06, -1.85406221071516e-06, 8.296711340953087e-07, -1.7665952736826078e-07, 6.707853543401498e-09, 1.0261809784240309e-08, -4.382036018453353e-09, 9.14769958223679e-10],
    [-0.001851851851851852, -0.003472222222222222, 0.0026455026455026454, -0.0009902263374485596, 0.00020576131687242798, -4.018775720164609e-07, -1.8098550334489977e-05, 7.64916091608111e-06, -1.6120900894563446e-06, 4.647127802807434e-09, 1.378633446915721e-07, -5.752545603517705e-08, 1.1951628599778148e-08, -1.7543241719747647e-11, -1.0091543710600413e-09],
    [0.004133597883597883, -0.0026813271604938273, 0.0007716049382716049, 2.0093878600823047e-06, -0.0001073665322636516, 5.2923448829120125e-05, -1.2760635188618728e-05, 3.423578734096138e-08, 1.3721957309062934e-06, -6.298992138380055e-07, 1.4280614206064242e-07, -2.0477098421990866e-10, -1.409252991086752e-08, 6.228974084922022e-09, 0.0],
    [0.0006494341563786008, 0.00022947209362139917, -0.0004691894943952557, 0.00026772063206283885, -7.561801671883977e-05, -2.396505113867297e-07, 1.1082654115347302e-05, -5.6749528269915965e-06, 1.4230900732435883e-06, -2.7861080291528143e-11, -1.6958404091930278e-07, 8.099464905388083e-08, -1.9111168485973655e-08, 0.0, 0.0],
    [-0.0008618882909167117, 0.0007840392217200666, -0.0002990724803031902, -1.4638452578843418e-06, 6.641498215465122e-05, -3.968365047179435e-05, 1.1375726970678419e-05, 2.507497226237533e-10, -1.6954149536558305e-06, 8.907507532205309e-07, -2.292934834000805e-07, 0.0, 0.0, 0.0, 0.0],
    [-0.00033679855336635813, -6.972813758365857e-05, 0.0002772753244959392, -0.00019932570516188847, 6.797780477937208e-05, 1.419062920643967e-07, -1.3594048189768693e-05, 8.018470256334202e-06, -2.291481176508095e-06, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0005313079364639922, -0.0005921664373536939, 0.0002708782096718045, 7.902353232660328e-07, -8.153969367561969e-05, 5.61168275310625e-05, -1.8329116582843375e-05, -3.0796134506033047e-09, 3.465155368803609e-06, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.00034436760689237765, 5.171790908260592e-05, -0.00033493161081142234, 0.0002812695154763237, -0.00010976582244684731, -1.2741009095484485e-07, 2.7744451511563645e-05, -1.8263488805711332e-05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [-0.0006526239185953094, 0.0008394987206720873, -0.000438297098541721, -6.969091458420552e-07, 0.00016644846642067547, -0.00012783517679769218, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [-0.0005967612901927463, -7.204895416020011e-05, 0.0006782308837667328, -0.0006401475260262758, 0.00027750107634328704, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0013324454494800656, -0.0019144384985654776, 0.0011089369134596636, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.001579727660730835, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
];

/// From this `a` on, x^a·e^-x / Γ(a + 1) is computed from the ratio x/a.
const LARGE: f64 = 20.0;

/// Returns the last term of Stirling's formula for ln Γ(a), which is p(1/a²)/a, for a >= 8.
#[inline(always)]
pub(super) fn stirling_rest(a: f64) -> f64 {
    let v = 1.0 / a;
    v * poly(v * v, STIRLING)
}

/// Returns 2^(t + low), or 0 if that is below the smallest f64.
#[inline(always)]
fn power_of_two(t: f64, low: f64) -> f64 {
    if t < -1100.0 {
        return 0.0;
    }
    let (p, k) = pow2_sum(if t > 1030.0 { 1030.0 } else { t }, low);
    scale(p, k)
}

/// Returns the sum of two numbers, and its rounding error.
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let c = s - a;
    (s, (a - (s - c)) + (b - c))
}

/// Returns the product of x + x_low and y + y_low, as a sum of two f64.
#[inline(always)]
pub(super) fn two_product((x, x_low): (f64, f64), (y, y_low): (f64, f64)) -> (f64, f64) {
    let p = x * y;
    (p, x.fused(y, -p) + x.fused(y_low, x_low * y))
}

/// log2(e) as a sum of two f64.
pub(super) const LOG2_E_SUM: (f64, f64) = (LOG2_E, LOG2_E_LO);

/// Returns μ - ln(1 + μ) as a sum of two f64, for μ = (x - a)/a with |μ| <= 0.29.
#[inline(always)]
fn log_rest(x: f64, a: f64) -> (f64, f64) {
    // this difference is exact, because x is close to a
    let d = x - a;
    let m = d / a;
    let m_low = (-m).fused(a, d) / a;
    // s = μ/(2 + μ); μ - ln(1 + μ) = s·(μ - s²·(2/3 + …))
    let t = 2.0 + m;
    let t_low = ((2.0 - t) + m) + m_low;
    let s = m / t;
    let s_low = ((-s).fused(t, m) + (m_low - s * t_low)) / t;
    let w = (s * s) * poly(s * s, ATANH);
    let u = m - w;
    two_product((s, s_low), (u, ((m - u) - w) + m_low))
}

/// Returns x^a·e^-x / Γ(a + 1) for a < [`LARGE`].
#[inline(always)]
fn term_small(a: f64, x: f64) -> f64 {
    // for x > 2000 the term is 0, but x^a might overflow
    let x = if x > 2000.0 { 2000.0 } else { x };
    // multiplies by e^(-x/2) twice, because e^-x alone may be subnormal
    let e = exp(-0.5 * x);
    pow(x, a) * e / libm::tgamma(a + 1.0) * e
}

/// Returns x^a·e^-x / Γ(a + 1) for a >= [`LARGE`]. `t` and `low` are given by 2^(t + low) = (x/a)^a·e^(a - x).
#[inline(always)]
fn term_large(a: f64, t: f64, low: f64) -> f64 {
    // 0.398… is 1/√(2π)
    power_of_two(t, low) * (0.3989422804014327 / a.sqrt() * exp(-stirling_rest(a)))
}

/// Returns log2 of (x/a)^a·e^(a - x) as a sum of two f64, for a >= [`LARGE`] and an x that is not close to a.
#[inline(always)]
fn exponent(a: f64, x: f64) -> (f64, f64) {
    let r = x / a;
    let r_low = (-r).fused(a, x) / a;
    // because a is at least `LARGE`, (x/a)^a·e^(a - x) is far below the smallest f64 for ratios up to 1e-60
    let r = if r < 1e-60 { 1e-60 } else { r };
    let (h, low) = log2_sum(r);
    let logs = two_product((a, 0.0), (h, low + r_low / r * LOG2_E));
    let less = two_product(two_sum(x, -a), LOG2_E_SUM);
    let (t, t_low) = two_sum(logs.0, -less.0);
    (t, t_low + (logs.1 - less.1))
}

/// Returns the sum of x^n / ((a + 1)·…·(a + n)) over n = 0, 1, …, for an x that is not much larger than a.
#[inline(always)]
fn series(a: f64, x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (1.0, 1.0, 0);
    // 200 terms are enough: the ratio x/(a + n) of consecutive terms is below 0.72 from the start or, for a below 20,
    // falls quickly
    while (n < 200) & (term > 1e-17 * sum) {
        n += 1;
        term *= x / (a + n as f64);
        sum += term;
    }
    sum
}

/// Returns Q(a, x) divided by x^a·e^-x / Γ(a), for x > 1.1 and x > a. Legendre's continued fraction (DLMF 8.9.2) is
/// evaluated from its last term to its first.
#[inline(always)]
fn fraction(a: f64, x: f64) -> f64 {
    let b = x - a + 1.0;
    let mut n = (30.0 + 120.0 / x).floor();
    let mut rest = b + 2.0 * n;
    while n > 0.0 {
        rest = (b + 2.0 * (n - 1.0)) - n * (n - a) / rest;
        n -= 1.0;
    }
    1.0 / rest
}

/// Returns Q(a, x) for x <= 1.1 and an a that is not much larger than x. Q is 1 - x^a/Γ(1 + a)·(1 + s), where s is the
/// sum of a·(-x)^n/(n!·(a + n)) over n = 1, 2, ….
#[inline(always)]
fn upper_small(a: f64, x: f64) -> f64 {
    let lgamma = if a < 0.5 { a * poly(a, LGAMMA1P) } else { libm::lgamma(1.0 + a) };
    let less = expm1(a * log(x) - lgamma);
    let (mut sum, mut power, mut n) = (0.0, 1.0, 0);
    while n < 20 {
        n += 1;
        let k = n as f64;
        power *= -x / k;
        sum += power / (a + k);
    }
    -less - (1.0 + less) * (a * sum)
}

/// Returns the smaller of P(a, x) and Q(a, x), divided by x^a·e^(a - x)/a^a, for x near a. Uses Temme's expansion (DLMF
/// 8.12.3). The logarithm of the divisor is -η²·a/2.
#[inline(always)]
fn uniform(a: f64, rest: f64, above: bool) -> f64 {
    let eta = (2.0 * rest).sqrt();
    let eta = if above { eta } else { -eta };
    let v = 1.0 / a;
    let (mut sum, mut k) = (0.0, TEMME.len());
    while k > 0 {
        k -= 1;
        sum = sum.fused(v, poly(eta, TEMME[k]));
    }
    let part = sum * (0.3989422804014327 / a.sqrt());
    0.5 * erfcx((a * rest).sqrt()) + if above { part } else { -part }
}

/// Returns P(a, x) and Q(a, x) for positive finite a and x. The smaller of the two has a small relative error.
#[inline(always)]
fn both(a: f64, x: f64) -> (f64, f64) {
    let near = (x - a).abs() < 0.29 * a;
    if (a >= LARGE) & near {
        let rest = log_rest(x, a);
        let (t, low) = two_product(two_product((-a, 0.0), rest), LOG2_E_SUM);
        let r = power_of_two(t, low) * uniform(a, rest.0, x > a);
        return if x > a { (1.0 - r, r) } else { (r, 1.0 - r) };
    }
    // x is far from a, and a is so large that the smaller of P and Q is 0
    if a > 1e100 {
        return if x > a { (1.0, 0.0) } else { (0.0, 1.0) };
    }
    let term = if a < LARGE {
        term_small(a, x)
    } else {
        let (t, low) = exponent(a, x);
        term_large(a, t, low)
    };
    if (x > 1.1) & (x > a) {
        let q = term * (a * fraction(a, x));
        return (1.0 - q, q);
    }
    let p = term * series(a, x);
    // true if Q is computed directly, because Q is small or P is close to 1
    let small = if x <= 0.5 { a * log(x) > -0.4 } else { (x <= 1.1) & (a <= 1.1 * x) };
    if small { (p, upper_small(a, x)) } else { (p, 1.0 - p) }
}

/// Returns P and Q if a or x is 0, negative, infinite or NaN. Returns `None` if both are positive and finite.
#[inline(always)]
fn ends(a: f64, x: f64) -> Option<(f64, f64)> {
    let outside = (a < 0.0) | (x < 0.0) | a.is_nan() | x.is_nan();
    let unclear = ((a == 0.0) & (x == 0.0)) | ((a == f64::INFINITY) & (x == f64::INFINITY));
    if outside | unclear {
        return Some((f64::NAN, f64::NAN));
    }
    if (a == 0.0) | (x == f64::INFINITY) {
        return Some((1.0, 0.0));
    }
    if (x == 0.0) | (a == f64::INFINITY) { Some((0.0, 1.0)) } else { None }
}

/// Returns P(a, x), the lower incomplete gamma function divided by Γ(a).
#[inline(always)]
pub(crate) fn gammainc(a: f64, x: f64) -> f64 {
    let (p, _) = match ends(a, x) {
        Some(ends) => ends,
        None => both(a, x),
    };
    p
}

/// Returns Q(a, x), the upper incomplete gamma function divided by Γ(a).
#[inline(always)]
pub(crate) fn gammaincc(a: f64, x: f64) -> f64 {
    let (_, q) = match ends(a, x) {
        Some(ends) => ends,
        None => both(a, x),
    };
    q
}
