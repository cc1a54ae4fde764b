//! Derivatives of every elementwise function, compared with differences of its exact f64 reference.

use super::value;
use crate::kit::{Dice, has, on_devices, put};
use cupric::testing::{self, Row};
use cupric::*;

/// Operands in a function's domain, but not so near to its ends that differences would leave it.
fn operands(row: &Row, dice: &mut Dice, n: usize) -> Vec<Vec<f64>> {
    let [low, high] = row.domain();
    // for a wide domain, numbers near 0, where the function is neither flat nor huge
    let (low, high) = (low.max(-8.0), high.min(8.0));
    let inner = (high - low) * 0.02;
    (0..row.arity()).map(|_| (0..n).map(|_| dice.within(low + inner, high - inner)).collect()).collect()
}

/// The derivative of the exact reference with respect to an operand, by a sixth-order difference, and its
/// uncertainty.
fn difference(row: &Row, at: &[f64], by: usize) -> (f64, f64) {
    let exact = row.exact().unwrap();
    let h = 1e-3 * at[by].abs().max(0.1);
    let f = |t: f64| {
        let mut x = [0.0; 3];
        x[..at.len()].copy_from_slice(at);
        x[by] += t;
        exact(x[0], x[1], x[2])
    };
    let d = |k: f64| (f(k * h) - f(-k * h)) / (2.0 * k * h);
    let sixth = 1.5 * d(1.0) - 0.6 * d(2.0) + 0.1 * d(3.0);
    let fourth = (4.0 * d(1.0) - d(2.0)) / 3.0;
    let largest = (-3..=3).map(|k| f(f64::from(k)).abs()).fold(0.0, f64::max);
    (sixth, (sixth - fourth).abs() + largest * 1e-14 / h)
}

on_devices! {

fn every_row_has_the_derivative_of_its_reference(d: &Device) {
    let dice = &mut Dice::new(11);
    let mut seen = 0;
    for row in testing::rows() {
        let returns_floats = row.takes(DType::F32, d.is_gpu()) && row.result(DType::F32) == DType::F32;
        let Some(derivatives) = row.derivatives().filter(|_| returns_floats && row.name() != "select") else { continue };
        let dtypes = [DType::F64, DType::F32].into_iter().filter(|t| has(d, *t) && row.takes(*t, d.is_gpu()));
        for dtype in dtypes {
            let n = 64;
            let columns = operands(&row, dice, n);
            // the reference gets the operands rounded to f32
            let columns: Vec<Vec<f64>> = match dtype {
                DType::F32 => columns.iter().map(|c| c.iter().map(|x| f64::from(*x as f32)).collect()).collect(),
                _ => columns,
            };
            let inputs: Vec<Expr> =
                columns.iter().map(|c| put::<f64>(d, c.clone(), &[n]).astype(dtype).eval().unwrap().into()).collect();
            for by in (0..row.arity()).filter(|by| derivatives[*by] == "formula" || derivatives[*by] == "zero") {
                let y = row.apply(&inputs);
                let [dx] = grad(&y.sum(..), [&inputs[by]]);
                let got = dx.astype(DType::F64).to_device(&Device::cpu()).unwrap().to_vec::<f64>();
                let got = got.unwrap_or_else(|e| panic!("{}: {e}", row.name()));
                for (i, got) in got.iter().enumerate() {
                    let at: Vec<f64> = columns.iter().map(|c| c[i]).collect();
                    let (want, uncertain) = difference(&row, &at, by);
                    if !want.is_finite() || uncertain > 1e-3 * want.abs().max(1.0) {
                        // near a jump or a pole the difference is too uncertain
                        continue;
                    }
                    seen += 1;
                    let eps = if dtype == DType::F64 { 1e-9 } else { 4e-5 };
                    let close = eps * want.abs().max(1.0) + 8.0 * uncertain;
                    assert!((got - want).abs() <= close, "{} of {dtype} at {at:?}, operand {by}: {got}, not {want}", row.name());
                }
            }
        }
    }
    assert!(seen > 4000, "only {seen} points were compared");
}

fn gradients_of_halves_are_those_of_f32(d: &Device) {
    for dtype in [DType::F16, DType::BF16].into_iter().filter(|t| has(d, *t)) {
        let x = put::<f32>(d, (0..60).map(|i| i as f32 / 30.0 - 1.0).collect::<Vec<_>>(), &[5, 12]);
        let loss = |x: &Expr| (x.t().matmul(x).tanh() * x.softmax(1).sum(0)).sum(..);
        let halves = x.astype(dtype).eval().unwrap();
        let [got] = grad(&loss(&halves), [&halves]);
        assert_eq!(got.dtype().unwrap(), dtype);
        let wide: Expr = halves.astype(DType::F32).eval().unwrap().into();
        let [want] = grad(&loss(&wide), [&wide]);
        let error = value(&((got.astype(DType::F32) - &want).abs().max(..) / want.abs().max(..)));
        let unit = if dtype == DType::F16 { 2f64.powi(-11) } else { 2f64.powi(-8) };
        assert!(error <= 8.0 * unit, "{dtype}: {error}");
    }
}

}

#[test]
fn every_row_of_floats_states_its_derivative() {
    for row in testing::rows() {
        let returns_floats = row.takes(DType::F32, false) && row.result(DType::F32) == DType::F32;
        if !returns_floats {
            continue;
        }
        let stated = row.derivatives().unwrap_or_else(|| panic!("{}: no key `derivative`", row.name()));
        assert!(
            stated.len() >= row.arity(),
            "{}: {} derivatives of {} operands",
            row.name(),
            stated.len(),
            row.arity()
        );
    }
}
