//! The zeros of lgamma at negative numbers, where the contract allows an absolute error: the result is the logarithm of
//! a product near 1, which is computed here with twice the digits.

use super::bound::{Real, judge};
use super::dd::Dd;
use super::entry;
use crate::kit::{has, put};
use cupric::{DType, Device};

/// ζ(2), ζ(3), … ζ(9).
#[allow(clippy::excessive_precision, reason = "the digits of mpmath, as it prints them")]
const ZETA: [f64; 8] = [
    1.6449340668482264,
    1.2020569031595942,
    1.0823232337111382,
    1.0369277551433699,
    1.0173430619844492,
    1.0083492773819228,
    1.0040773561979443,
    1.0020083928260821,
];

/// ln |Γ(x)| for x = −n + δ with |δ| ≤ 0.0125: Γ(1 + δ) divided by x·(x + 1)·…·(x + n).
fn exact(x: f64) -> f64 {
    let n = -x.round();
    let mut product = Dd::from(1.0);
    for k in 0..=n as i32 {
        // these sums are exact
        product = product * Dd::from(x + f64::from(k));
    }
    let d = x + n;
    let terms = ZETA.iter().enumerate().map(|(i, z)| z * (-d).powi(i as i32 + 2) / (i as f64 + 2.0));
    let of_gamma = terms.rev().sum::<f64>() - 0.5772156649015329 * d;
    of_gamma - product.abs().ln().hi
}

#[test]
fn lgamma_near_its_zeros() {
    assert!((exact(-3.0 + 1e-3) - 5.117253430432412).abs() < 1e-14);
    let mut x = vec![];
    for n in 12..=17 {
        let factorial: f64 = (1..=n).map(f64::from).product();
        for k in 0..300 {
            // closer and closer to a zero, and on both sides of it
            let off = 1.0 + [1.0, -1.0][k % 2] * 0.9f64.powi(k as i32 / 2) * 0.5;
            for side in [1.0, -1.0] {
                x.push(-f64::from(n) + side * off / factorial);
                x.push(-f64::from(n) + side * off * 10f64.powi(-2 - (k % 9) as i32) * 0.5);
            }
        }
    }
    // an offset below the spacing of the numbers leads to a pole
    x.retain(|x: &f64| x.fract() != 0.0);
    for d in [Some(Device::cpu()), crate::kit::gpu(1)].into_iter().flatten().filter(|d| has(d, DType::F64)) {
        let name = format!("{}::lgamma::f64", if d.is_gpu() { "gpu" } else { "cpu" });
        let bound = &entry::all().iter().find(|e| e.name() == name).unwrap().bound;
        let got = put(&d, x.clone(), &[x.len()]).lgamma().to_vec::<f64>().unwrap();
        let mut worst = (0.0, 0.0);
        for (x, got) in x.iter().zip(&got) {
            let want = exact(*x);
            if (got - want).abs() > worst.0 {
                worst = ((got - want).abs(), *x);
            }
            let (ulps, is_right) = judge(bound, 0.0, DType::F64, Real::from(want), &[*x], got.to_bits());
            assert!(is_right, "{name}: lgamma({x:?}) is {got:e}, not {want:e}: {ulps} ULP, {:e}", (got - want).abs());
        }
        crate::kit::say(&format!("{name}: the largest error near a zero is {:e} at {:?}", worst.0, worst.1));
    }
}
