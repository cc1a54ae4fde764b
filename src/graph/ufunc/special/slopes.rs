//! Derivatives of special functions that are differences of nearly equal numbers for some operands. There, each is computed
//! as a product or a sum of terms of one sign, which also has accurate derivatives.
//!
//! `tests/data/fit_special.py` prints the coefficients.

use crate::graph::ufunc::Formula;
use crate::graph::ufunc::formula::select;
use crate::math::double::LOG;

/// 2/√π.
const SCALE: f64 = std::f64::consts::FRAC_2_SQRT_PI;

/// Returns the polynomial with these coefficients, lowest first.
fn polynomial(x: &Formula, coefficients: &[f64]) -> Formula {
    let mut lowered = coefficients.iter().rev();
    let highest = Formula::from(lowered.next().copied().unwrap_or(0.0));
    lowered.fold(highest, |sum, c| if let Formula::Number(n) = sum { x * n + *c } else { sum * x + *c })
}

/// From here on, the derivatives of `erfcx` and `log_ndtr` are computed from [`excess`]. Below, a difference has lost
/// three bits at most.
const FAR: f64 = 2.0;

/// Returns k(x) = 1 / (√π·erfcx(x)) − x for x ≥ 2. It is 1/(2x) at ∞, times a rational function of 1/x², which agrees
/// with k to 2^-54.
fn excess(x: &Formula) -> Formula {
    const ABOVE: [f64; 9] = [
        1.0,
        42.32543588163178,
        676.027561136725,
        5192.81654145838,
        20260.18175861275,
        38987.27165083667,
        33058.31056132478,
        9434.935226364903,
        382.93531838713574,
    ];
    const BELOW: [f64; 9] = [
        1.0,
        43.32543588163177,
        716.8529970183675,
        5810.605948769246,
        24635.29049731584,
        54070.26508030607,
        56982.858000150416,
        24171.347405891618,
        2647.0825484291368,
    ];
    let inverse = x.reciprocal();
    let square = inverse.square();
    inverse * 0.5 * (polynomial(&square, &ABOVE) / polynomial(&square, &BELOW))
}

/// Returns the derivative of `erfcx`, whose result is `out`: 2x·erfcx(x) − 2/√π.
pub(super) fn erfcx_slope(x: &Formula, out: &Formula) -> Formula {
    let k = excess(x);
    select(x.greater(FAR), &k / (x + &k) * -SCALE, x * out * 2.0 - SCALE)
}

/// Returns the derivative of `log_ndtr`, the density of the normal distribution divided by its distribution function.
pub(super) fn log_ndtr_slope(x: &Formula) -> Formula {
    let w = x * -std::f64::consts::FRAC_1_SQRT_2;
    let far = (&w + excess(&w)) * std::f64::consts::SQRT_2;
    select(w.greater(FAR), far, w.erfcx().reciprocal() * 0.797_884_560_802_865_4)
}

/// From this magnitude on, [`i0e_slope`] and [`i1e_slope`] are multiples of the function.
const LARGE: f64 = 24.0;

/// Returns −f(x) / (2x) times the polynomial in 1/|x| with these coefficients, where `out` is f(x).
fn decay(x: &Formula, out: &Formula, coefficients: &[f64]) -> Formula {
    out / x * -0.5 * polynomial(&x.abs().reciprocal(), coefficients)
}

/// Returns the derivative of `i0e`, whose result is `out`: I₁e(x) − sign(x)·I₀e(x). The polynomial is
/// 2x·(1 − I₁(x)/I₀(x)) to 2^-53.
pub(super) fn i0e_slope(x: &Formula, out: &Formula) -> Formula {
    const FAR: [f64; 11] = [
        1.0,
        0.24999999999988237,
        0.25000000011222345,
        0.3906249584690904,
        0.8125078318768675,
        2.0948484995042893,
        6.49499514432472,
        20.48976774837454,
        157.83445845247735,
        -591.5824804155036,
        9947.093040595399,
    ];
    select(x.abs().greater(LARGE), decay(x, out, &FAR), x.i1e() - x.sign() * out)
}

/// Returns the derivative of `i1e`, whose result is `out`: I₀e(x) − (sign(x) + 1/x)·I₁e(x). The polynomial is
/// −2x·(I₀(x)/I₁(x) − 1 − 1/x) to 2^-53.
pub(super) fn i1e_slope(x: &Formula, out: &Formula) -> Formula {
    const FAR: [f64; 11] = [
        1.0,
        -0.7499999999998602,
        -0.7500000001333434,
        -0.9843749506432641,
        -1.687509310537438,
        -3.7079679450786687,
        -10.193423402483042,
        -30.26143866543635,
        -204.04882834739948,
        660.9874708628435,
        -12074.359856790217,
    ];
    let near = x.i0e() - select(x.equal(0.0), 0.5, out * (x.sign() + x.reciprocal()));
    select(x.abs().greater(LARGE), decay(x, out, &FAR), near)
}

/// From this a on, [`gamma_density`] uses Stirling's formula.
const STIRLING: f64 = 20.0;

/// Returns x^(a − 1)·e^−x / Γ(a), the derivative of `gammainc` with respect to x. For a large a, the logarithms of these
/// factors are large and nearly cancel. With x = a·(1 + m), the logarithm of x times the result is
/// −a·(m − ln(1 + m)) + ln √(a/(2π)) − r(a), where r is the last term of Stirling's formula (DLMF 5.11.1).
pub(super) fn gamma_density(a: &Formula, x: &Formula) -> Formula {
    const REST: [f64; 5] = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0];
    let m = (x - a) / a;
    // where s is small, ln(1 + m) is 2s + s³·p(s²) with the polynomial of the logarithm, and m − 2s is m·s
    let s = (x - a) / (x + a);
    let near = &s * (&m - s.square() * polynomial(&s.square(), &LOG));
    let log = select(m.less(-0.5), (x / a).log(), m.log1p());
    let lost = select(s.abs().less(0.17), near, &m - log);
    let inverse = a.reciprocal();
    let rest = &inverse * polynomial(&inverse.square(), &REST);
    // 0.398… is 1/√(2π). At x = 0 the exponential is 0
    let far = (-(a * lost) - rest).exp() / a.rsqrt() * 0.398_942_280_401_432_7 / select(x.greater(0.0), x, 1.0);
    let usual = ((a - 1.0).xlogy(x) - x - a.lgamma()).exp();
    select(x.equal(f64::INFINITY), 0.0, select(a.greater(STIRLING), far, usual))
}
