//! The elements of the operands of reductions, and which of them are NaN or special.

use super::super::entry::Entry;
use super::super::underflow;
use crate::kit::operations::Suite;
use crate::kit::{Dice, number};
use cupric::DType;

/// The plain function of a NaN-ignoring one: `sum` for `nansum`.
pub fn without_nan(function: &str) -> &str {
    function.strip_prefix("nan").unwrap_or(function)
}

/// Elements whose reductions stay finite. The kind `special` has ∞, NaN and zeros, a few in each row of 53.
pub fn elements(entry: &Entry, kind: &str, n: usize) -> Vec<u64> {
    let d = entry.dtype;
    let mut random = Dice::from(entry.topic().bytes().fold(11, |h, b| h * 31 % 1_000_003 + b as u64));
    let f = without_nan(&entry.function);
    let (spread, of_rows) = (matches!(f, "var" | "std"), entry.is_of(Suite::Rows));
    (0..n)
        .map(|i| {
            if !d.is_float() {
                let mixed = ["any", "all", "count_nonzero"].contains(&f) && i / 53 % 3 > 0;
                return match (f, i % 5) {
                    _ if mixed => (i / 53 % 3 == 1) as u64,
                    _ if d == DType::Bool => random.next() & 1,
                    // integers whose squares do not overflow f32
                    _ if of_rows && d.size() == 8 => {
                        let low = if d.is_unsigned_integer() { 0.0 } else { -1e6 };
                        number::wrap(d, random.within(low, 1e6) as i128)
                    }
                    // 64-bit integers whose sum does not fit into 64 bits
                    ("mean", 0) if d.size() == 8 => random.next() >> 1 | 1 << 62,
                    ("mean", 1) => random.next() >> (64 - 8 * d.size()),
                    ("var" | "std" | "logsumexp", _) => number::wrap(d, random.within(0.0, 101.0) as i128),
                    (_, 0..3) => number::wrap(d, random.within(-4.0, 5.0) as i128),
                    _ => random.next() >> (64 - 8 * d.size()),
                };
            }
            // NaN at some elements, and at all elements of some rows
            if f != entry.function && (i % 7 == 3 || i / 53 % 9 == 4) {
                return number::round(d, f64::NAN);
            }
            if kind == "special" && i % 53 % 17 == 5 {
                let all = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0, f64::NEG_INFINITY, -0.0];
                // most rows have one kind of special value, and every eighth row has all kinds
                let row = i / 53;
                return number::round(d, if row % 8 == 7 { all[i % 7] } else { all[row % 8 % 7] });
            }
            if kind == "special" && i / 53 % 11 == 10 {
                return number::round(d, [f64::NEG_INFINITY, 0.0, -0.0][i / 53 / 11 % 3]);
            }
            if kind == "subnormal" {
                return underflow::draw(d, &mut random);
            }
            let z = random.normal();
            let x = match f {
                "prod" | "cumulative_prod" => (0.01 * z).exp() * if random.next() & 1 == 0 { 1.0 } else { -1.0 },
                // the mean is 10,000 times the spread, if the type can represent that
                _ if spread && matches!(d, DType::F32 | DType::F64) && i % 2 == 0 => 1e4 + z,
                _ if spread && matches!(d, DType::F32 | DType::F64) => 1e4 - z,
                _ if spread => 100.0 + 10.0 * z,
                "any" | "all" | "count_nonzero" => {
                    if i / 53 % 3 == 1 {
                        z
                    } else {
                        (random.next() & 1) as f64
                    }
                }
                // in some rows exp of the elements overflows
                _ if of_rows => 4.0 * z + if i / 53 % 5 == 4 { 900.0 } else { 0.0 },
                _ => z,
            };
            number::round(d, x)
        })
        .collect()
}
