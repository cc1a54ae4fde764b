//! Learning rates as functions of the step, which counts from 0.

use std::f64::consts::PI;

/// Returns the learning rate of a step. The rate rises linearly from 0 at step 0 to `rate` at step `steps`, and then
/// stays at `rate`. If `steps` is 0, the rate is always `rate`.
///
/// ```
/// use cupric::train::warm_up;
/// assert_eq!([0, 5, 10, 99].map(|step| warm_up(step, 0.5, 10)), [0., 0.25, 0.5, 0.5]);
/// ```
pub fn warm_up(step: u64, rate: f64, steps: u64) -> f64 {
    if step >= steps { rate } else { rate * (step as f64 / steps as f64) }
}

/// Returns the learning rate of a step. The rate falls from `rate` at step 0 to `last` at step `steps`, along half a
/// cosine (Loshchilov and Hutter, 2017), and then stays at `last`. If `steps` is 0, the rate is always `last`.
///
/// ```
/// use cupric::train::cosine;
/// assert_eq!([0, 10, 99].map(|step| cosine(step, 1.0, 0.0, 10)), [1., 0., 0.]);
/// assert!((cosine(5, 1.0, 0.0, 10) - 0.5).abs() < 1e-12);
/// ```
#[doc(alias = "cosine_decay")]
pub fn cosine(step: u64, rate: f64, last: f64, steps: u64) -> f64 {
    if step >= steps {
        return last;
    }
    let part = 0.5 * (1.0 + (PI * (step as f64 / steps as f64)).cos());
    rate * part + last * (1.0 - part)
}
