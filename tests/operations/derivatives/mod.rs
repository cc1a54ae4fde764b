//! Tests of derivatives: every elementwise function (`rows.rs`) and kind of operation (`structures.rs`) against finite
//! differences of exact or f64 values; error bounds (`bounds.rs`); composites against JAX (`golden.rs`); other functions
//! (`functions.rs`); points without a derivative (`edges.rs`); checkpoints (`checkpoint.rs`), and all functions inside
//! them (`repeated.rs`); numbers of kernels in training (`counts.rs`).

mod bounds;
mod branches;
mod checkpoint;
mod counts;
mod edges;
mod functions;
mod golden;
mod repeated;
mod rows;
mod structures;
mod tails;
mod zeros;

use crate::kit::Dice;
use cupric::*;

/// An array of random f64 numbers between two bounds.
pub(crate) fn noise(dice: &mut Dice, shape: &[usize], low: f64, high: f64, d: &Device) -> Array {
    let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| dice.within(low, high)).collect();
    Array::from_vec(numbers, shape).unwrap().to_device(d).unwrap()
}

/// The value of a 0-d expression as f64.
pub(crate) fn value(e: &Expr) -> f64 {
    e.to_device(&Device::cpu()).unwrap().astype(DType::F64).item::<f64>().unwrap_or_else(|e| panic!("{e}"))
}

/// Compares the derivatives of `f` for each array with fourth-order differences in random directions, and `jvp` with
/// the same numbers, in f64. `close` is the error relative to the sum of the terms' magnitudes. On the CPU, also
/// compares `f` with itself inside checkpoints and compiled functions.
pub(crate) fn check(name: &str, d: &Device, inputs: &[Array], close: f64, f: impl Fn(&[Expr]) -> Expr) {
    let dice = &mut Dice::new(7);
    let leaves: Vec<Expr> = inputs.iter().map(Expr::from).collect();
    let y = f(&leaves);
    let shape = y.shape().unwrap_or_else(|e| panic!("{name}: {e}")).to_vec();
    let weights = noise(dice, &shape, -1.0, 1.0, d);
    let loss = |x: &[Expr]| (f(x) * &weights).sum(..);
    let derivatives = grad_many(&loss(&leaves), &leaves);
    for (i, (x, dx)) in inputs.iter().zip(&derivatives).enumerate() {
        assert_eq!(dx.shape().unwrap_or_else(|e| panic!("{name}: {e}")), x.shape(), "{name}: shape of derivative {i}");
        assert_eq!(dx.dtype().unwrap(), x.dtype(), "{name}: dtype of derivative {i}");
        let direction = noise(dice, x.shape(), -1.0, 1.0, d);
        let moved = |t: f64| {
            let mut at = leaves.clone();
            at[i] = (&direction * t + x).eval().unwrap().into();
            value(&loss(&at))
        };
        let h = 2e-4;
        let difference = (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h);
        let terms = value(&(dx * &direction).abs().sum(..)).max(1e-3);
        let got = value(&(dx * &direction).sum(..));
        assert!(
            (got - difference).abs() <= close * terms,
            "{name}, operand {i}: {got} by grad, {difference} by differences"
        );
        let forward = jvp(&y, [&leaves[i]], [&direction]);
        let forward = value(&(forward * &weights).sum(..));
        assert!((got - forward).abs() <= 1e-12 * terms, "{name}, operand {i}: {got} by grad, {forward} by jvp");
    }
    if !d.is_gpu() {
        repeated::same(name, inputs, &f);
    }
}
