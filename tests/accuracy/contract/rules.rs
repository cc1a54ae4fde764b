//! What judges an element beside its bound: the signs of zeros, subnormals that a GPU flushed, exact steps.

use crate::kit::number;
use cupric::DType;

/// Selections: a GPU gives their bits, whatever it does to subnormals elsewhere.
pub const SELECTIONS: [&str; 12] = [
    "positive",
    "negative",
    "abs",
    "copysign",
    "minimum",
    "maximum",
    "fmin",
    "fmax",
    "clip",
    "relu",
    "nextafter",
    "select",
];

/// Whether a function may give either zero; others give the one of IEEE 754.
pub fn any_zero(function: &str, gpu: bool) -> bool {
    match function {
        "lerp" | "logaddexp" => true,
        // at −∞, which no standard speaks of
        "silu" | "gelu" | "gelu_tanh" => gpu,
        _ => false,
    }
}

/// What operands may stand for where a GPU flushes subnormals to ±0 or rounds them up to ± the smallest normal;
/// nothing where none of them is subnormal.
pub fn flushed(dtype: DType, bits: [u64; 3]) -> Vec<[u64; 3]> {
    let tiny = number::round(dtype, number::smallest_normal(dtype));
    let negative = |b: u64| number::at_place(dtype, -number::place(dtype, b).abs());
    let stands_for = |b: u64| -> Vec<u64> {
        let place = number::place(dtype, b).unsigned_abs();
        if place > 0 && place < tiny {
            return vec![b, 0, 1 << (8 * dtype.size() - 1), tiny, negative(tiny)];
        }
        vec![b]
    };
    let options = bits.map(stands_for);
    if options.iter().all(|o| o.len() == 1) {
        return vec![];
    }
    let pairs = options[0].iter().flat_map(|a| options[1].iter().map(move |b| (*a, *b)));
    pairs.flat_map(|(a, b)| options[2].iter().map(move |c| [a, b, *c])).collect()
}

/// The next number toward another, on the ladder of the type's numbers.
pub fn nextafter(dtype: DType, x: u64, y: u64) -> u64 {
    let sign = 1u64 << (8 * dtype.size() - 1);
    match (number::place(dtype, x), number::place(dtype, y)) {
        _ if number::is_nan(dtype, x) => x,
        _ if number::is_nan(dtype, y) => y,
        (a, b) if a == b => y,
        (0, b) => 1 | if b < 0 { sign } else { 0 },
        // a step to zero keeps the sign
        (a, b) => number::at_place(dtype, if b > a { a + 1 } else { a - 1 }) | x & sign,
    }
}

/// `astype`: floats saturate to integers, NaN gives 0, anything but 0 is true; everything else is rounded once.
pub fn convert(from: DType, to: DType, bits: u64) -> u64 {
    if from == to {
        return bits;
    }
    if !from.is_float() {
        let x = number::integer(from, bits);
        return if to.is_float() { number::round_integer(to, x) } else { number::wrap(to, x) };
    }
    let x = number::real(from, bits);
    if to == DType::Bool {
        return (x != 0.0) as u64;
    }
    if to.is_float() {
        return number::round(to, x);
    }
    let (lo, hi) = number::range(to);
    number::wrap(to, (x as i128).clamp(lo, hi))
}
