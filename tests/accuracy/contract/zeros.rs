//! lgamma at negative numbers. The result is the logarithm of a quotient, which is computed here with twice the digits.
//! Near the zeros the quotient is near 1, and the contract allows an absolute error.

use super::bound::{Real, judge};
use super::dd::Dd;
use super::entry;
use crate::kit::{Dice, has, put, scaled};
use cupric::{DType, Device};

/// The coefficients of Stirling's series, the numerators and denominators of B(2k) / (2k·(2k − 1)).
const STIRLING: [(f64, f64); 8] = [
    (1.0, 12.0),
    (-1.0, 360.0),
    (1.0, 1260.0),
    (-1.0, 1680.0),
    (1.0, 1188.0),
    (-691.0, 360_360.0),
    (1.0, 156.0),
    (-3617.0, 122_400.0),
];

/// ln √(2π), to 32 digits.
const LN_SQRT_2PI: Dd = Dd { hi: 0.9189385332046728, lo: -3.878294158067242e-17 };

/// Returns ln |Γ(x)| for −100 < x < 0: the logarithm of Γ(x + m) by Stirling's series, where x + m is about 40, minus that
/// of |x·(x + 1)·…·(x + m − 1)|.
fn exact(x: f64) -> Dd {
    let m = (40.0 - x).floor();
    // the factors have few digits near the zero of the product, and each sum is exact in twice the digits
    let factor = |k: f64| Dd::from(x) + Dd::from(k);
    let product = |from: f64, to: f64| {
        let mut p = Dd::from(1.0);
        let mut k = from;
        while k < to {
            p = p * factor(k);
            k += 1.0;
        }
        p.abs()
    };
    // each part of the product stays below the largest f64
    let logs = product(0.0, (m / 2.0).floor()).ln() + product((m / 2.0).floor(), m).ln();
    let z = factor(m);
    let w = Dd::from(1.0) / (z * z);
    let series = STIRLING.iter().rev().fold(Dd::from(0.0), |r, (n, d)| r * w + Dd::from(*n) / Dd::from(*d));
    (z - Dd::from(0.5)) * z.ln() - z + LN_SQRT_2PI + series / z - logs
}

/// Returns the f64 nearest to a zero of lgamma, between a pole and a number at which lgamma is negative. Returns `None`
/// if lgamma is negative at all numbers there.
fn zero(pole: f64, inside: f64) -> Option<f64> {
    // the bits of negative numbers grow with the magnitude
    let step = if inside < pole { 1 } else { -1 };
    let (mut high, mut low) = (pole.to_bits() as i64 + step, inside.to_bits() as i64);
    if exact(f64::from_bits(high as u64)).hi < 0.0 {
        return None;
    }
    while (high - low).abs() > 1 {
        let middle = low + (high - low) / 2;
        *(if exact(f64::from_bits(middle as u64)).hi < 0.0 { &mut low } else { &mut high }) = middle;
    }
    Some(f64::from_bits(high as u64))
}

/// Returns the zeros between −17 and −2. From −17 on, lgamma is negative even at the numbers next to a pole.
fn zeros() -> Vec<f64> {
    let ends = (2..=17).flat_map(|n| [-f64::from(n), -f64::from(n) - 1.0].map(|pole| (pole, -f64::from(n) - 0.5)));
    ends.filter_map(|(pole, inside)| zero(pole, inside)).collect()
}

/// Returns the zeros and the poles with their neighbours, numbers closer and closer to them, and random numbers.
fn points() -> Vec<f64> {
    let mut x = vec![];
    for center in zeros().into_iter().chain((0..=40).map(|n| -f64::from(n))) {
        for k in -20..=20 {
            x.push(f64::from_bits(center.to_bits().wrapping_add_signed(k)));
        }
        for k in 1..=50 {
            x.extend([1.0, -1.0].map(|side| center + side * 0.7 * 0.5f64.powi(k)));
        }
    }
    let mut dice = Dice::new(64);
    for (low, high) in [(-2.0, 0.0), (-11.0, -2.0), (-18.0, -11.0), (-90.0, -18.0)] {
        x.extend((0..scaled(3000)).map(|_| dice.within(low, high)));
    }
    x.extend((0..scaled(1000)).map(|_| -(10f64.powf(dice.within(-30.0, 0.0)))));
    // at the poles the result is infinite
    x.retain(|x: &f64| *x < -1e-300 && x.fract() != 0.0);
    x
}

#[test]
fn lgamma_near_its_zeros() {
    // the values of mpmath
    let known = [
        (-0.5, 1.2655121234846454, 2.832344371981691e-17),
        (-2.5, -0.056243716497674054, 3.2275963968268973e-18),
        (-17.3125, -33.07303627768777, 1.0404654330791438e-15),
    ];
    for (x, value, rest) in known {
        let error = exact(x) - Dd::from(value) - Dd::from(rest);
        assert!(error.hi.abs() < 1e-26, "{x}: {:?}", exact(x));
    }
    assert_eq!(zeros().len(), 29);
    let x = points();
    let want: Vec<Real> = x.iter().map(|x| exact(*x)).map(|v| Real { value: v.hi, rest: v.lo }).collect();
    for d in [Some(Device::cpu()), crate::kit::gpu(1)].into_iter().flatten().filter(|d| has(d, DType::F64)) {
        let name = format!("{}::lgamma::f64", if d.is_gpu() { "gpu" } else { "cpu" });
        let bound = &entry::all().iter().find(|e| e.name() == name).unwrap().bound;
        let got = put(&d, x.clone(), &[x.len()]).lgamma().to_vec::<f64>().unwrap();
        let mut worst = (0.0, 0.0);
        for ((x, want), got) in x.iter().zip(&want).zip(&got) {
            let error = (got - want.value - want.rest).abs();
            if want.value.abs() < 1.0 && error > worst.0 {
                worst = (error, *x);
            }
            let (ulps, is_right) = judge(bound, 0.0, DType::F64, *want, &[*x], got.to_bits());
            assert!(is_right, "{name}: lgamma({x:?}) is {got:e}, not {:e}: {ulps} ULP, {error:e}", want.value);
        }
        crate::kit::say(&format!("{name}: the largest error of results below 1 is {:e} at {:?}", worst.0, worst.1));
    }
}
