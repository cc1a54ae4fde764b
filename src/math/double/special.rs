//! The error function of f64 and its relatives, and roots.

use super::exp::{exp, exp_sum, product, quotient, scale};
use super::log::log;
use super::poly;
use crate::math::Fused;

/// The coefficients of e in erf x = x + x·e(x²), for |x| <= 1. The largest relative error is 2^-56.3.
pub(super) const ERF: [f64; 13] = [
    0.1283791670955126,
    -0.3761263890318375,
    0.11283791670954857,
    -0.0268661706450729,
    0.005223977624780903,
    -0.0008548326978744282,
    0.00012055331036983818,
    -1.4925593509154587e-05,
    1.6460972856880406e-06,
    -1.6350025675128035e-07,
    1.4657883028901787e-08,
    -1.1365678612494145e-09,
    5.945283372317167e-11,
];
/// The coefficients of g in (t + 2)·e^(t²)·erfc t = g((t - 2)/(t + 2)), for 0.49 <= t <= 27.3. The largest relative
/// error is 2^-53.3.
pub(super) const ERFCX: [f64; 22] = [
    1.021582705242023,
    -0.6871606844138092,
    0.2794720925560524,
    -0.036442231507101346,
    -0.02151066188918501,
    0.0064791850776427075,
    0.003090612045371353,
    -0.000837296261802821,
    -0.0006630732013325959,
    3.4373584811597854e-05,
    0.00014446706966512015,
    3.4135598609868045e-05,
    -2.16699414257394e-05,
    -1.60736814123805e-05,
    -1.2393615608042316e-06,
    3.557572606603137e-06,
    2.2969587053075456e-06,
    3.879771487168341e-08,
    -9.999020102511085e-07,
    -2.075612742421986e-07,
    2.893377209130088e-07,
    -3.256224574362419e-08,
];
/// The coefficients of g in (t + 5)·e^(t²/2)·Φ(-t) = g((t - 5)/(t + 5)), for 0.98 <= t <= 38.7. The largest relative
/// error is 2^-54.5.
pub(super) const MILLS: [f64; 20] = [
    0.769193049750063,
    -0.6653825028900574,
    0.4953056159699735,
    -0.3135331566712129,
    0.16502036617053442,
    -0.06911863870979729,
    0.02079506679716695,
    -0.0029933767099329135,
    -0.0007978693790090756,
    0.0005448984915519155,
    -5.937574236381164e-05,
    -4.975960538750687e-05,
    1.6680616311844346e-05,
    3.969940929776111e-06,
    -2.765501311788927e-06,
    -3.140196735484755e-07,
    4.2275450672719535e-07,
    1.596948935024636e-08,
    -5.190075121437872e-08,
    5.0314837295262385e-09,
];
/// The coefficients of p in Φ(x) = 1/2 + x·p(x²), for |x| <= 1. The largest relative error is 2^-56 for x >= 0, and
/// 2^-53.8 near -1. Φ is the distribution function of the standard normal.
pub(super) const PHI: [f64; 10] = [
    0.3989422804014326,
    -0.06649038006689949,
    0.009973557009906561,
    -0.0011873282141942,
    0.00011543468057423154,
    -9.444633052648442e-06,
    6.659213046627088e-07,
    -4.116360019135112e-08,
    2.2223347676125306e-09,
    -8.926334881107372e-11,
];
/// The coefficients of erfinv(x)/x as a polynomial of w - 3, where w = -ln(1 - x²) <= 6. The largest relative error is
/// 2^-28.5.
pub(in crate::math) const ERFINV: [f64; 12] = [
    1.623_542_009_813_222_3,
    0.241_630_393_920_128_08,
    -0.005_738_163_447_755_912,
    -0.000_836_156_790_308_181_6,
    0.000_195_099_430_673_286_32,
    -1.273_409_124_158_534_6e-5,
    -1.766_725_748_227_009e-6,
    4.554_248_720_810_931_6e-7,
    -1.952_472_042_748_586e-8,
    -6.304_453_426_604_124e-9,
    6.795_452_482_335_871e-10,
    3.533_048_200_139_270_3e-11,
];
/// The coefficients of erfinv(x)/x as a polynomial of √w - 3.2, where w = -ln(1 - x²) and 6 <= w <= 16. The largest
/// relative error is 2^-28.
pub(in crate::math) const ERFINV_TAIL: [f64; 10] = [
    3.033_636_565_016_795,
    1.004_692_458_097_761,
    0.005_973_904_838_199_978,
    -0.004_294_464_135_938_505,
    0.002_941_606_785_950_247,
    -0.001_991_355_586_067_612,
    0.001_119_215_624_351_445_8,
    -0.000_362_395_179_516_147_07,
    -8.776_727_522_265_051e-5,
    0.000_102_073_888_901_571_53,
];
/// The coefficients of erfinv(x)/x as a polynomial of √w - 5, where w = -ln(1 - x²) and 16 <= w <= 37. The largest
/// relative error is 2^-32.
pub(super) const ERFINV_FAR: [f64; 9] = [
    4.8499064016623805,
    1.010300472053019,
    -0.00013872699204535012,
    -0.00021511201283241525,
    7.60399406935703e-05,
    -1.9435521474175306e-05,
    4.420690958867021e-06,
    -1.251712164954581e-06,
    3.3515454297304693e-07,
];

/// The coefficients of a polynomial of t³/v for [`cbrt`], where t is the cube root of v with 5 correct bits. The
/// polynomial is the factor that improves t to 23 correct bits.
pub(super) const CBRT: [f64; 5] = [
    1.87595182427177009643,
    -1.88497979543377169875,
    1.621429720105354466140,
    -0.758397934778766047437,
    0.145996192886612446982,
];

/// Returns erf x for |x| <= 1.
#[inline(always)]
fn erf_small(x: f64) -> f64 {
    x.fused(poly(x * x, ERF), x)
}

/// Returns erfc t for 1/2 <= t <= 27.3.
#[inline(always)]
fn erfc_large(t: f64) -> f64 {
    // t² is computed exactly as z + low, because an error of t² would become a relative error of e^-t²
    let z = t * t;
    let low = t.fused(t, -z);
    let (p, p_low, k) = exp_sum(-z, -low);
    let d = t + 2.0;
    let g = poly((t - 2.0) / d, ERFCX);
    // the rounding error of t + 2
    let d_low = if t < 2.0 { (2.0 - d) + t } else { (t - d) + 2.0 };
    scale(quotient(product(g, (p, p_low)), (d, d_low)), k)
}

/// Returns the error function of x, which is 1 in f64 from x = 6 on.
#[inline(always)]
pub(crate) fn erf(x: f64) -> f64 {
    let a = x.abs();
    let small = erf_small(a);
    let large = 1.0 - erfc_large(if a > 6.0 { 6.0 } else { a });
    (if a < 1.0 { small } else { large }).copysign(x)
}

/// Returns 1 - erf x, computed without cancellation. For x >= 27.3 the value is below 2^-1075, so the result is 0.
#[inline(always)]
pub(crate) fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let r = erfc_large(if a > 27.3 { 27.3 } else { a });
    let r = if x < 0.0 { 2.0 - r } else { r };
    let small = (-x).fused(poly(x * x, ERF), 1.0 - x);
    if a < 0.85 { small } else { r }
}

/// Returns x·Φ(x), the exact gelu: Φ is the distribution function of the standard normal. |x|·Φ(-|x|) is 0 in f64 for
/// |x| >= 38.7.
#[inline(always)]
pub(crate) fn gelu(x: f64) -> f64 {
    let a = x.abs();
    let t = if a > 38.7 { 38.7 } else { a };
    let z = t * t;
    let low = t.fused(t, -z);
    let (p, p_low, k) = exp_sum(-0.5 * z, -0.5 * low);
    let d = t + 5.0;
    let g = poly((t - 5.0) / d, MILLS);
    let d_low = if t < 5.0 { (5.0 - d) + t } else { (t - d) + 5.0 };
    // x·Φ(x) is max(x, 0) minus the tail |x|·Φ(-|x|)
    let n = product(t, product(g, (p, p_low)));
    let tail = scale(quotient(n, (d, d_low)), k);
    let r = (if x < 0.0 { 0.0 } else { x }) - tail;
    let small = x * x.fused(poly(x * x, PHI), 0.5);
    (if a < 1.0 { small } else { r }).copysign(x)
}

/// Returns the inverse of the error function. A polynomial approximates it with a relative error of 2^-28, and one step
/// of Halley's method improves the result.
#[inline(always)]
pub(crate) fn erfinv(x: f64) -> f64 {
    let a = x.abs();
    let w = -log((1.0 - a) * (1.0 + a));
    let v = w.sqrt();
    let far = if w < 16.0 { poly(v - 3.2, ERFINV_TAIL) } else { poly(v - 5.0, ERFINV_FAR) };
    let y = a * if w < 6.0 { poly(w - 3.0, ERFINV) } else { far };
    // `error` is erf y - a. For a > 0.85 it is computed from erfc, because 1 - a is then exact
    let error = if a > 0.85 { (1.0 - a) - erfc_large(y) } else { y.fused(poly(y * y, ERF), y - a) };
    // 0.886… is √π/2; u is the error divided by erf's derivative
    let u = error * 0.886_226_925_452_758 * exp(y * y);
    let r = y - u / y.fused(u, 1.0);
    let r = if a < 1.0 { r } else { f64::NAN };
    (if a == 1.0 { f64::INFINITY } else { r }).copysign(x)
}

/// Returns the cube root, computed as in FreeBSD. Dividing the upper word of the bits by 3 gives 5 correct bits (the
/// added constant corrects the exponent's bias). A polynomial improves them to 23 bits, and one step of Newton's method
/// to all bits.
#[inline(always)]
pub(crate) fn cbrt(x: f64) -> f64 {
    let a = x.abs();
    let small = a < f64::MIN_POSITIVE;
    // the factor 2^54 makes a subnormal x normal; the cube root of 2^54 is 2^18
    let v = if small { a * 18_014_398_509_481_984.0 } else { a };
    let t = f64::from_bits((((v.to_bits() >> 32) as u32 / 3 + 715_094_163) as u64) << 32);
    let t = t * poly((t * t) * (t / v), CBRT);
    // rounds t to 23 bits, so that t² is exact
    let t = f64::from_bits((t.to_bits() + 0x8000_0000) & 0xffff_ffff_c000_0000);
    let r = v / (t * t);
    let t = t.fused((r - t) / (t + t + r), t);
    let t = if small { t * (1.0 / 262_144.0) } else { t };
    (if (a > 0.0) & (a < f64::INFINITY) { t } else { a }).copysign(x)
}

/// Returns √(x² + y²). Both operands are scaled by a power of two if their squares would overflow or become subnormal.
#[inline(always)]
pub(crate) fn hypot(x: f64, y: f64) -> f64 {
    let (u, v) = (x.abs(), y.abs());
    let m = if u > v { u } else { v };
    let (large, small) = (m > super::power(500), m < super::power(-450));
    let s = if large { super::power(-600) } else { 1.0 };
    let s = if small { super::power(600) } else { s };
    let b = if large { super::power(600) } else { 1.0 };
    let b = if small { super::power(-600) } else { b };
    let (p, q) = (u * s, v * s);
    let r = p.fused(p, q * q).sqrt() * b;
    if (u == f64::INFINITY) | (v == f64::INFINITY) { f64::INFINITY } else { r }
}
