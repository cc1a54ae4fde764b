//! The grammar of `contract.csv`'s bounds, and the judgement of one element by a bound.

use crate::kit::number;
use cupric::DType;

/// How far a result may be from the exact one.
#[derive(Clone, PartialEq, Debug)]
pub enum Bound {
    /// Correctly rounded.
    Exact,
    /// ULP and an absolute distance.
    Ulp(f64, f64),
    /// ULP below 1e5, and beyond.
    SinCos(f64, f64),
    /// The larger of ULP and a distance relative to max(|x|, 1).
    Max(f64, f64),
    /// ULP of the larger of the result and the largest operand.
    Large(f64),
    /// ULP, or an absolute distance where −11 < x < −2.
    Lgamma(f64, f64),
    /// Computed from the data of a reduction.
    Named(String),
}

impl Bound {
    pub fn parse(text: &str) -> Bound {
        let number = |s: &str| s.parse::<f64>().unwrap_or_else(|e| panic!("bound '{text}': {e}"));
        let parts: Vec<&str> = text.split(':').collect();
        match parts[..] {
            ["0"] => Bound::Exact,
            ["sincos", u, v] => Bound::SinCos(number(u), number(v)),
            ["max", u, a] => Bound::Max(number(u), number(a)),
            ["large", u] => Bound::Large(number(u)),
            ["lgamma", u, a] => Bound::Lgamma(number(u), number(a)),
            [one] if one.starts_with(|c: char| c.is_ascii_digit()) => {
                // the plus of `3+1.18e-38`, not one in an exponent
                match one.split_once('+') {
                    Some((u, a)) if !u.ends_with('e') => Bound::Ulp(number(u), number(a)),
                    _ => Bound::Ulp(number(one), 0.0),
                }
            }
            [one] => Bound::Named(one.to_string()),
            _ => panic!("bound '{text}' is none that CONTRACT.md knows"),
        }
    }

    /// Whether whatever this bound allows the other one allows too.
    pub fn within(&self, other: &Bound) -> bool {
        use Bound::*;
        // the contract spells constants with eight digits
        let le = |a: f64, b: f64| a <= b * (1.0 + 1e-6);
        match (self, other) {
            (Exact, Named(_)) => false,
            (Exact, _) => true,
            (Ulp(u, 0.0), SinCos(v, w)) => le(*u, v.min(*w)),
            (Ulp(u, 0.0), Max(v, _) | Large(v) | Lgamma(v, _)) => le(*u, *v),
            (Ulp(u, a), Ulp(v, b)) => le(*u, *v) && le(*a, *b),
            (SinCos(u, v), SinCos(w, x)) | (Max(u, v), Max(w, x)) | (Lgamma(u, v), Lgamma(w, x)) => {
                le(*u, *w) && le(*v, *x)
            }
            (SinCos(u, v), Ulp(w, _)) => le(u.max(*v), *w),
            (Large(u), Large(v)) => le(*u, *v),
            (Named(a), Named(b)) => a == b,
            _ => false,
        }
    }

    /// The ULP that count, and the absolute error beside them.
    fn limits(&self, exact: f64, operands: &[f64], dtype: DType) -> (f64, f64) {
        let x = operands.first().copied().unwrap_or(0.0);
        match self {
            Bound::Exact | Bound::Named(_) => (0.0, 0.0),
            Bound::Ulp(u, a) => (*u, *a),
            Bound::SinCos(u, v) => (if x.abs() <= 1e5 { *u } else { *v }, 0.0),
            Bound::Max(u, a) => (*u, a * x.abs().max(1.0)),
            Bound::Large(u) => {
                let largest = operands.iter().fold(exact.abs(), |m, x| m.max(x.abs()));
                (*u, u * number::ulp(dtype, largest.min(f64::MAX)))
            }
            Bound::Lgamma(u, a) => (*u, if -11.0 < x && x < -2.0 { *a } else { 0.0 }),
        }
    }

    /// The share of what the bound allows that an error takes: absolute, and in ULP (steps for f16 and bf16). `unit` is the ULP.
    pub fn share(&self, error: [f64; 2], exact: f64, operands: &[f64], dtype: DType, unit: f64, floor: f64) -> f64 {
        let [error, ulps] = error;
        if ulps == 0.0 || *self == Bound::Exact {
            return 0.0;
        }
        let (u, a) = self.limits(exact, operands, dtype);
        let both = matches!(self, Bound::Ulp(..)) && a > 0.0;
        // an alternative that does not apply divides by zero
        let bound = if both { error / (u * unit + a) } else { (ulps / u).min(error / a) };
        bound.min(error / floor)
    }
}

/// The exact result: a number, and what it leaves out of a number that no f64 holds.
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
/// `floor` is an absolute error that is always allowed, but by the bound `0`.
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
        // past the largest number comes infinity, and only there
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
