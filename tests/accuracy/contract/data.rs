//! The operands of the trials: special values, a function's domain, all magnitudes, the limits of integer types.

use crate::kit::{Dice, number};
use cupric::DType;

/// The operands of a trial, as bits.
pub struct Data {
    /// One list for each operand; all lists have the same length.
    pub columns: Vec<Vec<u64>>,
    /// For each operand, values that combine freely. None if only the combinations in `columns` have a reference.
    pub axes: Option<Vec<Vec<u64>>>,
}

/// ±0, edges of the subnormals, ±1, ±max, ±∞, NaN, a NaN with a payload, and numbers at which functions change.
fn special_floats(dtype: DType) -> Vec<u64> {
    let max = number::place(dtype, number::round(dtype, number::largest(dtype)));
    let normal = number::place(dtype, number::round(dtype, number::smallest_normal(dtype)));
    let mut all = vec![];
    for place in [0, 1, normal - 1, normal, max, max + 1] {
        all.extend([number::at_place(dtype, place), number::at_place(dtype, place) | sign(dtype)]);
    }
    // a quiet NaN, and a NaN with a payload and a sign
    all.push(number::at_place(dtype, max + 1) | 1 << (mantissa(dtype) - 1));
    all.push(number::at_place(dtype, max + 1) | 1 << (mantissa(dtype) - 1) | 5 | sign(dtype));
    for x in [1.0, 0.5, 2.0, 1.5, 3.0, 2.5] {
        all.extend([number::round(dtype, x), number::round(dtype, -x)]);
    }
    all
}

fn sign(dtype: DType) -> u64 {
    1 << (8 * dtype.size() - 1)
}

fn mantissa(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 10,
        DType::BF16 => 7,
        DType::F32 => 23,
        _ => 52,
    }
}

fn special_integers(dtype: DType) -> Vec<u64> {
    let (lo, hi) = number::range(dtype);
    let mut all: Vec<i128> = vec![0, 1, 2, 3, 5, 7, 8, 15, 16, 31, 32, 33, 63, 64, lo, lo + 1, hi, hi - 1];
    if lo < 0 {
        all.extend([-1, -2, -3, -7, -8, -31, -32, -64]);
    }
    all.into_iter().filter(|x| (lo..=hi).contains(x)).map(|x| number::wrap(dtype, x)).collect()
}

fn specials(dtype: DType) -> Vec<u64> {
    match dtype {
        DType::Bool => vec![0, 1],
        d if d.is_float() => special_floats(d),
        d => special_integers(d),
    }
}

/// Random numbers of a function's domain, and bit patterns of every magnitude.
fn usual(dtype: DType, domain: [f64; 2], count: usize, random: &mut Dice) -> Vec<u64> {
    if dtype == DType::Bool {
        return (0..count).map(|_| random.next() & 1).collect();
    }
    let (lo, hi) = (domain[0], domain[1]);
    let of = |i: usize, r: &mut Dice| -> u64 {
        let any = r.next() >> (64 - 8 * dtype.size());
        if !dtype.is_float() {
            // a small number, or any bits
            return match i % 3 {
                0 => number::wrap(dtype, r.within(-100.0, 101.0) as i128),
                _ => any,
            };
        }
        match i % 4 {
            0 | 1 => number::round(dtype, r.within(lo, hi)),
            2 => {
                let top = if r.next() & 1 == 0 { lo } else { hi };
                number::round(dtype, top * 2f64.powf(-24.0 * r.unit()))
            }
            _ => any,
        }
    };
    (0..count).map(|i| of(i, random)).collect()
}

/// Returns operands for a function whose operands have these dtypes.
pub fn operands(dtypes: &[DType], domain: [f64; 2], seed: u64) -> Data {
    let mut random = Dice::from(seed);
    let axes: Vec<Vec<u64>> = dtypes
        .iter()
        .map(|d| match d.size() {
            1 if *d != DType::Bool => (0..256).collect(),
            _ => [specials(*d), usual(*d, domain, 26, &mut random)].concat(),
        })
        .collect();
    let some = |d: DType, n: usize| -> Vec<u64> {
        let all = specials(d);
        // the list begins with zeros, extremes and NaN, so we choose evenly from all of it
        let n = n.min(all.len());
        (0..n).map(|i| all[i * all.len() / n]).collect()
    };
    let mut columns: Vec<Vec<u64>> = match dtypes {
        [d] if d.size() < 2 => vec![(0..if *d == DType::Bool { 2 } else { 256 }).collect()],
        [d] => vec![specials(*d)],
        [a, b] => {
            let (x, y) = (some(*a, 26), some(*b, 26));
            let pairs = || x.iter().flat_map(|p| y.iter().map(move |q| (*p, *q)));
            vec![pairs().map(|p| p.0).collect(), pairs().map(|p| p.1).collect()]
        }
        [a, b, c] => {
            let (x, y, z) = (some(*a, 9), some(*b, 9), some(*c, 9));
            let triples = || {
                x.iter().flat_map(|p| y.iter().flat_map(move |q| std::iter::repeat_n((*p, *q), 1))).collect::<Vec<_>>()
            };
            let all: Vec<_> = triples().into_iter().flat_map(|(p, q)| z.iter().map(move |r| [p, q, *r])).collect();
            (0..3).map(|i| all.iter().map(|t| t[i]).collect()).collect()
        }
        _ => vec![],
    };
    for (column, d) in columns.iter_mut().zip(dtypes) {
        column.extend(usual(*d, domain, 390, &mut random));
    }
    Data { columns, axes: Some(axes) }
}

/// Numbers that `astype` may get wrong: near the middle of two narrower floats, and limits of integer types.
pub fn conversions(dtype: DType) -> Vec<u64> {
    let mut all = vec![];
    if dtype.is_float() {
        for (bits, scales) in [(8, [-130, -3, 0, 20, 100]), (11, [-20, -14, 0, 3, 15]), (24, [-140, -20, 0, 7, 100])] {
            for scale in scales {
                for odd in [1.0, 2.0, 3.0] {
                    // 1.0…01 with one bit more than the narrower type has, and numbers slightly beside it
                    let middle = (2f64.powi(bits) + odd) * 2f64.powi(scale - bits);
                    for off in [0.0, 2f64.powi(-13), -2f64.powi(-13), 2f64.powi(-27), -2f64.powi(-27), 2f64.powi(-50)] {
                        all.extend([
                            number::round(dtype, middle * (1.0 + off)),
                            number::round(dtype, -middle * (1.0 + off)),
                        ]);
                    }
                }
            }
        }
        for integer in DType::ALL.into_iter().filter(|d| d.is_integer()) {
            let (lo, hi) = number::range(integer);
            for edge in [lo as f64, hi as f64] {
                for off in [-1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5] {
                    all.push(number::round(dtype, edge + off));
                }
                let place = number::place(dtype, number::round(dtype, edge));
                all.extend([number::at_place(dtype, place - 1), number::at_place(dtype, place + 1)]);
            }
        }
    } else if dtype != DType::Bool {
        let (lo, hi) = number::range(dtype);
        let mut wide = vec![];
        for bits in [8, 11, 24, 53] {
            for scale in 0..10 {
                for odd in [1i128, 2, 3] {
                    let middle = ((1i128 << bits) + odd) << (scale * 5);
                    wide.extend([-1, 0, 1].map(|off| middle + off));
                    wide.extend([-1, 0, 1].map(|off| -middle + off));
                }
            }
        }
        return wide.into_iter().filter(|x| (lo..=hi).contains(x)).map(|x| number::wrap(dtype, x)).collect();
    }
    all
}
