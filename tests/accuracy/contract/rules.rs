//! Rules that judge an element besides its bound: signs of zeros, subnormals that a GPU flushed, exact steps.

use crate::kit::number;
use cupric::DType;

/// Functions that select or compare elements. A GPU returns exact bits here even if it flushes subnormals elsewhere.
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

/// Whether a function may return +0 or −0 where the result is zero; others must follow IEEE 754.
pub fn any_zero(function: &str, gpu: bool) -> bool {
    match function {
        "lerp" | "logaddexp" => true,
        // their limit at −∞ is a zero, whose sign no standard defines
        "silu" | "gelu" | "gelu_tanh" => gpu,
        _ => false,
    }
}

/// The values that operands may have on a GPU that flushes subnormals to ±0 or rounds them up to ± the smallest normal
/// number. The list is empty if no operand is subnormal.
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

/// The neighbour of a number toward another number, among all numbers of the type.
pub fn nextafter(dtype: DType, x: u64, y: u64) -> u64 {
    let sign = 1u64 << (8 * dtype.size() - 1);
    match (number::place(dtype, x), number::place(dtype, y)) {
        _ if number::is_nan(dtype, x) => x,
        _ if number::is_nan(dtype, y) => y,
        (a, b) if a == b => y,
        (0, b) => 1 | if b < 0 { sign } else { 0 },
        // a step to zero keeps the sign of `x`
        (a, b) => number::at_place(dtype, if b > a { a + 1 } else { a - 1 }) | x & sign,
    }
}

/// The rule of `astype`: floats saturate to integers, NaN gives 0, nonzero is true; other values are rounded once.
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
