//! Activations of f64 that have parameters or that are defined piece by piece, and products with logarithms.

use super::exp::expm1;
use super::log::{log, log1p};

/// SELU's λ, and λ·α, as Klambauer and others derive them ("Self-normalizing neural networks", 2017).
const SELU: f64 = 1.0507009873554804934193349852946;
const SELU_ALPHA: f64 = 1.7580993408473768599402175208123;

/// Returns ln(x / (1 - x)), the logit of x.
#[inline(always)]
pub(crate) fn logit(x: f64) -> f64 {
    // 2x - 1 is exact for x >= 1/4, and 1 - x is exact for x >= 1/2. For x < 1/4, ln x and -ln(1 - x) do not cancel, so
    // `low` is accurate
    let above = x > 0.5;
    let n = (2.0 * x - 1.0).abs();
    let middle = log1p(n / (if above { 1.0 - x } else { x }));
    let low = log(x) - log1p(-x);
    let r = if above { middle } else { -middle };
    let r = if x < 0.25 { low } else { r };
    if x == 0.5 { 0.0 } else { r }
}

/// Returns x·ln y, which is 0 if x is 0 and y is not NaN.
#[inline(always)]
pub(crate) fn xlogy(x: f64, y: f64) -> f64 {
    let r = x * log(y);
    if (x == 0.0) & !y.is_nan() { 0.0 } else { r }
}

/// Returns x·ln(1 + y), which is 0 if x is 0 and y is not NaN.
#[inline(always)]
pub(crate) fn xlog1py(x: f64, y: f64) -> f64 {
    let r = x * log1p(y);
    if (x == 0.0) & !y.is_nan() { 0.0 } else { r }
}

/// Returns -x·ln x, which is 0 at 0 and -∞ for negative x.
#[inline(always)]
pub(crate) fn entr(x: f64) -> f64 {
    let r = -x * log(x);
    let r = if x < 0.0 { f64::NEG_INFINITY } else { r };
    if x == 0.0 { 0.0 } else { r }
}

/// Returns x / 6 + 1/2 for x between -3 and 3, 0 for smaller x, and 1 for larger x.
#[inline(always)]
pub(crate) fn hard_sigmoid(x: f64) -> f64 {
    let c = if x < -3.0 { -3.0 } else { x };
    let c = if c > 3.0 { 3.0 } else { c };
    (c + 3.0) / 6.0
}

/// Returns x · hard_sigmoid(x). For x = -∞ the result is -0.
#[inline(always)]
pub(crate) fn hard_swish(x: f64) -> f64 {
    let r = x * hard_sigmoid(x);
    if x <= -3.0 { -0.0 } else { r }
}

/// Returns x for x >= 0, and alpha·(e^x - 1) for x < 0.
#[inline(always)]
pub(crate) fn elu(x: f64, alpha: f64) -> f64 {
    let r = alpha * expm1(x);
    if x >= 0.0 { x } else { r }
}

/// Returns λ·x for x >= 0, and λ·α·(e^x - 1) for x < 0.
#[inline(always)]
pub(crate) fn selu(x: f64) -> f64 {
    let r = SELU_ALPHA * expm1(x);
    if x >= 0.0 { SELU * x } else { r }
}
