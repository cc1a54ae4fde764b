//! Judges one element of a result by a bound of `contract.csv`.

use crate::kit::number;
use cupric::DType;

pub use cupric::testing::Bound;

/// Which share of the bound an error (absolute, and in ULP; for f16 and bf16 in steps) takes. `unit` is the ULP.
pub fn share(bound: &Bound, error: [f64; 2], exact: f64, operands: &[f64], dtype: DType, unit: f64, floor: f64) -> f64 {
    let [error, ulps] = error;
    if ulps == 0.0 || *bound == Bound::Exact {
        return 0.0;
    }
    let (u, a) = bound.limits(exact, operands, dtype);
    let both = matches!(bound, Bound::Ulp(..)) && a > 0.0;
    // a limit that does not apply is 0; the division by it gives infinity, which `min` ignores
    let share = if both { error / (u * unit + a) } else { (ulps / u).min(error / a) };
    share.min(error / floor)
}

/// The exact result: the nearest f64 `value`, and the `rest` that remains when the exact number is not an f64.
#[derive(Clone, Copy, Debug)]
pub struct Real {
    pub value: f64,
    pub rest: f64,
}

impl From<f64> for Real {
    fn from(value: f64) -> Real {
        Real { value, rest: 0.0 }
    }
}

/// Judges one float: its error in ULP (steps for f16 and bf16) and whether the bound allows it.
///
/// An absolute error up to `floor` is always allowed, except by the bound `0`.
pub fn judge(bound: &Bound, floor: f64, dtype: DType, exact: Real, operands: &[f64], actual: u64) -> (f64, bool) {
    let (want, got) = (exact.value, number::real(dtype, actual));
    if want.is_nan() || got.is_nan() {
        return (f64::INFINITY, want.is_nan() && got.is_nan());
    }
    let correct = number::round(dtype, want);
    let half = matches!(dtype, DType::F16 | DType::BF16);
    let (u, a) = bound.limits(want, operands, dtype);
    let top = number::largest(dtype) + number::ulp(dtype, f64::MAX);
    let far = want.abs() > number::largest(dtype) + (u + 1.0) * number::ulp(dtype, f64::MAX);
    if want.is_infinite() || far {
        let right = got == f64::INFINITY.copysign(want);
        return (if right { 0.0 } else { f64::INFINITY }, right);
    }
    let error = match got.is_infinite() {
        // infinity is one step above the largest number
        true => ((top.copysign(got) - want) - exact.rest).abs(),
        false => ((got - want) - exact.rest).abs(),
    };
    let steps = (number::place(dtype, actual) - number::place(dtype, correct)).abs() as f64;
    let ulps = if half || top.is_infinite() && got.is_infinite() { steps } else { error / number::ulp(dtype, want) };
    if *bound == Bound::Exact {
        return (ulps, actual == correct);
    }
    let close = match bound {
        Bound::Ulp(..) => a > 0.0 && error <= u * number::ulp(dtype, want) + a,
        _ => error <= a,
    };
    (ulps, ulps <= u || close || error <= floor)
}

#[test]
fn one_step_too_far_is_seen() {
    let check = |text: &str, d: DType, exact: f64, steps: i64| {
        let right = number::round(d, exact);
        let got = number::at_place(d, number::place(d, right) + steps);
        judge(&Bound::parse(text), 0.0, d, exact.into(), &[1.0], got).1
    };
    for d in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for exact in [1.0, 1.5, -3.0, number::smallest_normal(d), number::largest(d) * 0.75] {
            assert!(check("0", d, exact, 0) && !check("0", d, exact, 1) && !check("0", d, exact, -1), "{d} {exact:e}");
            assert!(check("1", d, exact, 1) && !check("1", d, exact, 2), "{d} {exact:e}");
            assert!(check("large:2", d, exact, 2) || exact.abs() < 1.0, "{d} {exact:e}");
        }
        // one step above the largest number is infinity, and it is accepted only there
        assert!(check("1", d, number::largest(d), 1), "{d}");
        assert!(!check("1", d, number::largest(d) * 0.5, i64::from(d != DType::F64) << 20 | 4), "{d}");
        let nan = number::round(d, f64::NAN);
        let zero = |exact: f64, got: u64| judge(&Bound::parse("0"), 0.0, d, exact.into(), &[0.0], got).1;
        assert!(zero(f64::NAN, nan) && !zero(0.0, nan) && !zero(f64::NAN, 0));
        assert!(zero(-0.0, number::round(d, -0.0)) && !zero(-0.0, 0));
        assert!(zero(f64::INFINITY, number::round(d, f64::INFINITY)));
        assert!(!zero(f64::INFINITY, number::round(d, number::largest(d))));
    }
}
