//! Compares the f64 functions of a GPU with the CPU's, at far more operands than the golden values have.

use super::bound::{Bound, Real, judge};
use super::entry;
use crate::kit::{self, Dice, number, stage::Stage};
use cupric::{DType, Device, Expr, testing};

/// Powers of two at which the operand, its square or its cube leaves the range of f64.
const EXPONENTS: [i32; 8] = [-1022, -537, -511, -341, 341, 511, 512, 1022];

/// Operands of a function: most come from its domain; one in four has any exponent; one in sixteen lies close to the
/// limits of the type, or to where a square or a cube overflows or underflows.
fn operands(row: &testing::Row, n: usize) -> Vec<Vec<u64>> {
    let mut dice = Dice::new(
        kit::seed_of_turn(0) ^ row.name().bytes().fold(11, |h: u64, b| h.wrapping_mul(31).wrapping_add(b as u64)),
    );
    let [low, high] = row.domain();
    let mut draw = |k: usize| match k % 4 {
        _ if k % 16 == 1 => {
            let exponent = EXPONENTS[dice.below(EXPONENTS.len())] + dice.below(3) as i32 - 1;
            dice.within(-2.0, 2.0) * 2f64.powi(exponent.clamp(-1022, 1022))
        }
        0 => f64::from_bits(dice.next()),
        _ => dice.within(low, high),
    };
    (0..row.arity()).map(|_| (0..n).map(|k| draw(k).to_bits()).collect()).collect()
}

/// The sum of the CPU's and the GPU's bound of a function: the most by which the two results may differ.
fn together(row: &testing::Row) -> Option<Bound> {
    let of = |backend: &str| {
        let name = format!("{backend}::{}::f64", row.name());
        entry::all().iter().find(|e| e.name() == name).map(|e| e.bound.clone())
    };
    match (of("cpu")?, of("gpu")?) {
        (Bound::Exact, Bound::Exact) => Some(Bound::Exact),
        (Bound::Exact, other) | (other, Bound::Exact) => Some(other),
        (Bound::Ulp(u, a), Bound::Ulp(v, b)) => Some(Bound::Ulp(u + v, a + b)),
        (Bound::Max(u, a), Bound::Max(v, b)) => Some(Bound::Max(u + v, a + b)),
        (Bound::Large(u), Bound::Large(v)) => Some(Bound::Large(u + v)),
        (Bound::Lgamma(u, a, e), Bound::Lgamma(v, b, f)) => Some(Bound::Lgamma(u + v, a + b, e + f)),
        _ => None,
    }
}

#[test]
fn doubles_of_a_gpu_are_those_of_the_cpu() {
    let Some(gpu) = kit::gpu(1).filter(|d| d.supports(DType::F64)) else { return };
    let mut stage = Stage::new(4, "f64 on a GPU beside the CPU", &gpu);
    let n = kit::scaled(20_000);
    let mut wrong = vec![];
    for row in testing::rows().into_iter().filter(|r| r.takes(DType::F64, true) && r.result(DType::F64) == DType::F64) {
        let Some(bound) = together(&row).filter(|_| row.name() != "select") else {
            continue;
        };
        let columns = operands(&row, n);
        let on = |d: &Device| -> Vec<u64> {
            let x: Vec<Expr> = columns.iter().map(|c| kit::array(DType::F64, c, &[n], d).unwrap().into()).collect();
            kit::read(&row.apply(&x).eval().unwrap()).unwrap()
        };
        let (want, got) = (on(&Device::cpu()), on(&gpu));
        stage.count(1);
        let mut worst = (0.0, String::new());
        let mut failed = 0;
        for k in 0..n {
            let x: Vec<f64> = columns.iter().map(|c| f64::from_bits(c[k])).collect();
            let exact = Real::from(f64::from_bits(want[k]));
            let (ulps, right) = judge(&bound, 2f64.powi(-126), DType::F64, exact, &x, got[k]);
            if !right {
                failed += 1;
                if ulps >= worst.0 {
                    worst = (
                        ulps,
                        format!(
                            "{}({x:?}) is {:e} on the CPU, {:e} on {}: {ulps:.2} ULP",
                            row.name(),
                            exact.value,
                            number::real(DType::F64, got[k]),
                            gpu.name()
                        ),
                    );
                }
            }
        }
        if failed > 0 {
            wrong.push(format!("{failed} of {n}: {}", worst.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
