//! Chooses the operands of a run.

use crate::kit::{Dice, number, share};
use cupric::DType;
use cupric::testing::Row;

/// A run's first bit pattern: `CUPRIC_PHASE`, or one that depends on the turn. All runs of a commit have the same.
pub fn phase(stride: u64) -> u64 {
    match std::env::var("CUPRIC_PHASE") {
        Ok(text) => text.parse::<u64>().unwrap_or_else(|e| panic!("CUPRIC_PHASE={text}: {e}")) % stride,
        Err(_) => share::turn() % stride,
    }
}

/// A last operand at which the function cancels or overflows, given its first operands. None if there is no such value.
fn critical(function: &str, x: &[f64], choice: u64) -> Option<f64> {
    let y = match (function, x) {
        ("add", [a]) => -a,
        // the y for which e^x + e^y = 1
        ("logaddexp", [a]) => (-a.exp()).ln_1p(),
        ("lerp", [a, b]) => a / (a - b),
        // exponents for a power at the largest, smallest normal or smallest number of f32 or f16
        ("pow", [a]) => [128.0, -126.0, -149.0, 16.0, -14.0, -24.0][choice as usize % 6] / a.abs().log2(),
        _ => return None,
    };
    y.is_finite().then_some(y)
}

/// Operands of functions of two or three: random bits, a function's domain, similar magnitudes, equal numbers.
pub fn tuples(row: &Row, dtype: DType, phase: u64, n: usize) -> Vec<Vec<u32>> {
    let name = row.name().bytes().fold(7u64, |h, b| h.wrapping_mul(31).wrapping_add(b as u64));
    let mut random = Dice::from(name.wrapping_add(phase << 32));
    let [lo, hi] = row.domain();
    let near = |x: f64| number::round(dtype, x) as u32;
    let mask = u32::MAX >> (32 - 8 * dtype.size());
    let mut columns = vec![Vec::with_capacity(n); row.arity()];
    for i in 0..n {
        let mut first = 0u32;
        let mut before = vec![];
        for (k, column) in columns.iter_mut().enumerate() {
            let any = (random.next() >> 32) as u32 & mask;
            let sign = if any & 1 == 0 { 1.0 } else { -1.0 };
            let bits = match i % 8 {
                0..3 => any,
                3..5 => near(random.within(lo, hi)),
                // small numbers, at which many functions are not trivial
                5 => near(random.within(-40.0, 40.0) * 0.5f64.powf(random.within(0.0, 24.0))),
                7 if i % 16 == 15 && any & 2 == 0 && k < row.arity() - 1 => near(random.within(lo, hi)),
                _ if k == 0 => any,
                6 => near(number::real(dtype, first as u64) * sign * 2f64.powf(random.within(-30.0, 30.0))),
                // a few representable numbers away from the first operand
                _ => first.wrapping_add((any % 9).wrapping_sub(4)) & mask,
            };
            let last = if i % 16 == 15 && k > 0 { critical(row.name(), &before, random.next() >> 60) } else { None };
            let bits = last.map_or(bits, |y| near(y).wrapping_add((any % 9).wrapping_sub(4)) & mask);
            first = if k == 0 { bits } else { first };
            before.push(number::real(dtype, bits as u64));
            column.push(bits);
        }
    }
    columns
}
