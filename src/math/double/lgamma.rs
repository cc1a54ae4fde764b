//! The logarithm of the gamma function of f64.

use super::exp::{LN2_HI, LN2_LO};
use super::incomplete::{stirling_rest, two_product, two_sum};
use super::pi::sinpi;
use super::pow::log2_sum;
use crate::math::Fused;
use std::f64::consts::LOG2_E;

/// Returns ln |Γ(x)|. The library function is accurate for positive x, but not near the zeros at negative x.
#[inline(always)]
pub(crate) fn lgamma(x: f64) -> f64 {
    // for |x| below 2^-70 the result is -ln |x|, and at the negative integers it is ∞
    if (x < -super::power(-70)) & (x != x.floor()) { of_negative(-x) } else { libm::lgamma(x) }
}

/// Returns (a + 1)·…·(a + 8) as a sum of two f64, for a < 8. With b = a·(a + 9), a factor from the beginning and one from
/// the end have the product b + 8, b + 14, b + 18 or b + 20.
#[inline(always)]
fn rising(a: f64) -> (f64, f64) {
    let (b, b_low) = two_product((a, 0.0), two_sum(a, 9.0));
    let pair = |c: f64| {
        let (s, s_low) = two_sum(b, c);
        (s, s_low + b_low)
    };
    two_product(two_product(pair(8.0), pair(14.0)), two_product(pair(18.0), pair(20.0)))
}

/// Returns ln |Γ(-a)| for a positive a that is not an integer. By the reflection formula, |Γ(-a)| is π divided by
/// |sin(π·a)|·Γ(a + 1) (DLMF 5.5.3). Γ(a + 1) is computed by Stirling's formula (DLMF 5.11.1). Below 8, the recurrence
/// raises a by 8 first.
///
/// Near its zeros, the result is a small difference of large logarithms. So these logarithms and their factors are sums
/// of two f64, as in [`super::pow`]. The error of the sine is the largest one. It is 2^-53 of the sine, which changes
/// the result by 2^-53, however large the logarithms are.
#[inline(always)]
fn of_negative(a: f64) -> f64 {
    let low = a < 8.0;
    let (z, z_low) = if low { two_sum(a, 8.0) } else { (a, 0.0) };
    let (n, n_low) = if low { rising(a) } else { (1.0, 0.0) };
    // log2 of (a + 1)·…·(a + 8) / |sin(π·a)|
    let s = sinpi(a).abs();
    let q = n / s;
    let q_low = ((-q).fused(s, n) + n_low) / s;
    let (first, first_low) = log2_sum(q);
    // (z + 1/2)·log2(z)
    let (l, l_low) = log2_sum(z);
    let (c, c_low) = two_sum(z, 0.5);
    let (second, second_low) = two_product((c, c_low + z_low), (l, l_low + z_low / z * LOG2_E));
    let (t, t_low) = two_sum(first, -second);
    let t_low = t_low + ((first_low + q_low / q * LOG2_E) - second_low);
    let (t, t_low) = two_product((t, t_low), (LN2_HI, LN2_LO));
    let (r, r_low) = two_sum(t, z);
    // 0.2257… is ln √(π/2)
    r + (r_low + (t_low + z_low) + (0.22579135264472744 - stirling_rest(z)))
}
