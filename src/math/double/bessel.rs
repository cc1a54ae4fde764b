//! The modified Bessel functions of the first kind of orders 0 and 1, in f64. All coefficients are our own near-minimax
//! fits (interpolation at Chebyshev nodes in 45 digits).

use super::exp::{exp_parts, scale};
use super::poly;

/// The coefficients of I₀(x) as a polynomial of x², for |x| <= 8. The largest relative error is 2^-56. All terms are
/// positive, so nothing cancels.
pub(super) const I0: [f64; 18] = [
    1.0,
    0.25,
    0.015625,
    0.0004340277777777778,
    6.781684027777758e-06,
    6.781684027778203e-08,
    4.7095027970619e-10,
    2.402807549583671e-12,
    9.385966986098854e-15,
    2.896903414473123e-17,
    7.242257588753194e-20,
    1.4963370838452556e-22,
    2.5977414368153943e-25,
    3.8439551522008304e-28,
    4.888364886932104e-31,
    5.566132785039442e-34,
    4.596006867582227e-37,
    7.1563841038704715e-40,
];
/// The coefficients of I₁(x)/x as a polynomial of x², for |x| <= 8. The largest relative error is 2^-56.
pub(super) const I1: [f64; 17] = [
    0.5,
    0.0625,
    0.002604166666666667,
    5.425347222222213e-05,
    6.781684027778059e-07,
    5.651403356476159e-09,
    3.363930569400616e-11,
    1.5017547178772907e-13,
    5.214426141593576e-16,
    1.44845153192735e-18,
    3.291941257933586e-21,
    6.234584831530237e-24,
    9.994221689502959e-27,
    1.3687885297024527e-29,
    1.6696390898900487e-32,
    1.47105648860311e-35,
    2.4334892279361836e-38,
];
/// The coefficients of √x·e^-x·I₀(x) as a polynomial of 16/x - 1, for x >= 8. The largest relative error is 2^-53.8.
pub(super) const I0_FAR: [f64; 26] = [
    0.4021765094450081,
    0.0033605519836678944,
    0.00013621607439186705,
    1.1143033787545386e-05,
    1.4838475687894938e-06,
    2.9735996224521226e-07,
    8.872214307451732e-08,
    3.932437699533459e-08,
    2.15488936175863e-08,
    7.566352487698237e-09,
    -6.750552282740284e-09,
    -1.346629294837396e-08,
    -5.394456734259438e-09,
    7.737147033780934e-09,
    7.406235049001522e-09,
    -3.905230623712341e-09,
    -5.91556056510856e-09,
    2.1053080134403423e-09,
    3.5985362919394714e-09,
    -1.1448789558755036e-09,
    -1.5930354799216344e-09,
    5.122212147228388e-10,
    4.4789181847911815e-10,
    -1.5066113686101474e-10,
    -5.905024573995148e-11,
    2.0820835852793106e-11,
];
/// The coefficients of √x·e^-x·I₁(x) as a polynomial of 16/x - 1, for x >= 8. The largest relative error is 2^-55.4.
pub(super) const I1_FAR: [f64; 26] = [
    0.38939845902587233,
    -0.009749577193235768,
    -0.00021923576383382282,
    -1.5038547197358572e-05,
    -1.8349101357991557e-06,
    -3.4838567401229716e-07,
    -1.0001282610189342e-07,
    -4.312778920167609e-08,
    -2.337446787242448e-08,
    -8.43880090582137e-09,
    6.737493433374833e-09,
    1.408852075202545e-08,
    5.963645798166707e-09,
    -7.816968266767898e-09,
    -7.863004697555056e-09,
    3.803814960536081e-09,
    6.202984113000443e-09,
    -1.992076551203188e-09,
    -3.75344338735913e-09,
    1.0715528639398075e-09,
    1.657764699456319e-09,
    -4.798751536934023e-10,
    -4.6561597954216946e-10,
    1.417650842869536e-10,
    6.135932778393812e-11,
    -1.9677083272584384e-11,
];

/// Returns |x| and two approximations of a Bessel function. The first, for |x| <= 8, is the polynomial `near` of x².
/// The second, for |x| >= 8, is the polynomial `far` of 16/|x| - 1, divided by √|x|.
#[inline(always)]
fn parts<const N: usize>(x: f64, near: [f64; N], far: [f64; 26]) -> (f64, f64, f64) {
    let a = x.abs();
    let z = a * a;
    // the division by √|x| comes last, so that the second approximation is 0 for x = ∞
    (a, poly(z, near), poly(16.0 / a - 1.0, far) / a.sqrt())
}

/// Clamps x to ±720. Both I₀ and I₁ overflow beyond these bounds.
#[inline(always)]
fn bounded(x: f64) -> f64 {
    let x = if x > 720.0 { 720.0 } else { x };
    if x < -720.0 { -720.0 } else { x }
}

/// Returns I₀(x), the modified Bessel function of the first kind of order 0.
#[inline(always)]
pub(crate) fn i0(x: f64) -> f64 {
    let (a, near, far) = parts(bounded(x), I0, I0_FAR);
    let (p, k) = exp_parts(a);
    if a > 8.0 { scale(far * p, k) } else { near }
}

/// Returns e^-|x|·I₀(x).
#[inline(always)]
pub(crate) fn i0e(x: f64) -> f64 {
    let (a, near, far) = parts(x, I0, I0_FAR);
    let (p, k) = exp_parts(if a > 8.0 { -8.0 } else { -a });
    if a > 8.0 { far } else { scale(near * p, k) }
}

/// Returns I₁(x), the modified Bessel function of the first kind of order 1.
#[inline(always)]
pub(crate) fn i1(x: f64) -> f64 {
    let (a, near, far) = parts(bounded(x), I1, I1_FAR);
    let (p, k) = exp_parts(a);
    (if a > 8.0 { scale(far * p, k) } else { a * near }).copysign(x)
}

/// Returns e^-|x|·I₁(x).
#[inline(always)]
pub(crate) fn i1e(x: f64) -> f64 {
    let (a, near, far) = parts(x, I1, I1_FAR);
    let (p, k) = exp_parts(if a > 8.0 { -8.0 } else { -a });
    (if a > 8.0 { far } else { scale(a * near * p, k) }).copysign(x)
}
