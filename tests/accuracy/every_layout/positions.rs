//! Tests 16 × 16 special values at the first position of a vector, inside it, in its tail, and alone.

use crate::contract::elementwise::Trial;
use crate::contract::report::{Passed, Report};
use crate::kit::{self, number};
use cupric::{DType, Device, Expr, s};

/// Where the special value lies among ordinary ones: the name, its position, and the vector's length.
const POSITIONS: [(&str, usize, usize); 4] = [("first", 0, 35), ("inside", 21, 35), ("tail", 34, 35), ("alone", 0, 1)];

/// On a GPU, at most so many special values are tried in separate arrays; each turn takes others.
const OWN: usize = 256;

/// ±0, subnormals, ±1, ±max, ±∞, NaN, a NaN with a payload and a sign; the edges of integers and of their widths.
fn specials(d: DType) -> [u64; 16] {
    if d == DType::Bool {
        return std::array::from_fn(|i| (i & 1) as u64);
    }
    if !d.is_float() {
        let (lo, hi) = number::range(d);
        let w = number::width(d) as i128;
        let signed = [0, 1, -1, 2, -2, 3, 6, -7, lo, lo + 1, hi, hi - 1, w - 1, w, 100, -100];
        let unsigned = [0, 1, 2, 3, 5, 6, 13, 100, hi, hi - 1, hi / 2, hi / 2 + 1, w - 1, w, w + 1, 2 * w];
        return if lo < 0 { signed } else { unsigned }.map(|x| number::wrap(d, x));
    }
    let sign = 1 << (8 * d.size() - 1);
    let infinity = number::round(d, f64::INFINITY);
    let quiet = number::round(d, f64::NAN) & !sign;
    let normal = number::round(d, number::smallest_normal(d));
    let of = |x: f64| number::round(d, x);
    let max = of(number::largest(d));
    [
        0,
        sign,
        1,
        (normal - 1) | sign,
        normal,
        of(1.0),
        of(-1.0),
        of(0.5),
        of(1.5),
        of(-2.5),
        max,
        max | sign,
        infinity,
        infinity | sign,
        quiet,
        quiet | sign | 5,
    ]
}

/// All combinations of special values, with one value for each operand.
fn combinations(dtypes: &[DType]) -> Vec<[u64; 3]> {
    let all: Vec<[u64; 16]> = dtypes.iter().map(|d| specials(*d)).collect();
    match &all[..] {
        [x] => x.iter().map(|x| [*x, 0, 0]).collect(),
        [x, y] => x.iter().flat_map(|x| y.iter().map(|y| [*x, *y, 0])).collect(),
        [x, y, z] => {
            (0..512).map(|k| [x[k / 16 % 16], y[k % 16], z[(k / 16 * 5 + k * 3 + k / 256 * 7) % 16]]).collect()
        }
        _ => vec![],
    }
}

/// An ordinary value, at which no function does anything special.
fn usual(d: DType) -> u64 {
    match d {
        DType::Bool => 1,
        d if d.is_float() => number::round(d, 0.75),
        d => number::wrap(d, 3),
    }
}

/// The operands: for each combination a vector of `length` elements, in which only the one at `at` is special.
fn runs(trial: &Trial, all: &[[u64; 3]], at: usize, length: usize, device: &Device) -> cupric::Result<Vec<Expr>> {
    let one = |(i, d): (usize, &DType)| {
        let of = |v: &[u64; 3]| (0..length).map(|k| if k == at { v[i] } else { usual(*d) }).collect::<Vec<_>>();
        let bits: Vec<u64> = all.iter().flat_map(of).collect();
        Ok(kit::array(*d, &bits, &[all.len(), length], device)?.into())
    };
    trial.dtypes.iter().enumerate().map(one).collect()
}

fn check(trial: &Trial, at: usize, length: usize, turn: usize, device: &Device) -> Result<Passed, String> {
    let mut passed = Passed::default();
    let refused = |e: &cupric::Error| trial.refusable(e);
    let mut all = combinations(&trial.dtypes);
    // a tail is only at the end of an array, so it needs separate arrays; otherwise one holds all vectors
    let apart = !device.is_gpu() || at + 1 == length;
    if device.is_gpu() && apart && all.len() > OWN {
        all.rotate_left(turn * OWN % 256);
        all.truncate(OWN);
    }
    let operands = match runs(trial, &all, at, length, device) {
        Ok(o) => o,
        Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..passed }),
        Err(e) => return Err(format!("the operands: {e}")),
    };
    let results: Vec<Expr> = if apart {
        (0..all.len()).map(|k| trial.apply(&operands.iter().map(|o| o.slice(s![k])).collect::<Vec<_>>())).collect()
    } else {
        let flat = |o: &Expr| o.reshape([(all.len() * length) as isize]);
        vec![trial.apply(&operands.iter().map(flat).collect::<Vec<_>>())]
    };
    let arrays = match cupric::eval_many(&results) {
        Ok(a) => a,
        Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..passed }),
        Err(e) => return Err(e.to_string()),
    };
    let mut got: Vec<u64> = vec![];
    for a in &arrays {
        got.extend(kit::read(a).map_err(|e| e.to_string())?);
    }
    if got.len() != all.len() * length {
        return Err(format!("{} elements, not {}", got.len(), all.len() * length));
    }
    let mut beside = [0; 3];
    beside.iter_mut().zip(&trial.dtypes).for_each(|(b, d)| *b = usual(*d));
    let mut neighbour: Option<u64> = None;
    let mut wrong = vec![];
    for (k, g) in got.iter().enumerate() {
        let (run, place) = (k / length, k % length);
        passed.elements += 1;
        if place == at {
            match trial.element(all[run], *g, &[length], at) {
                Ok(figure) if figure.share > passed.worst.share => passed.worst = figure,
                Ok(_) => {}
                Err((ulps, text)) => wrong.push((ulps, text)),
            }
            continue;
        }
        // the ordinary elements are right, and do not depend on the special value beside them
        match neighbour {
            None => match trial.element(beside, *g, &[length], place) {
                Ok(_) => neighbour = Some(*g),
                Err(e) => wrong.push(e),
            },
            Some(n) if n != *g => {
                let shown: Vec<String> = trial.dtypes.iter().zip(all[run]).map(|(d, b)| number::show(*d, b)).collect();
                let text = format!("beside {} an element at {place} is {g:#x}, not {n:#x}", shown.join(", "));
                wrong.push((f64::INFINITY, text));
            }
            Some(_) => {}
        }
    }
    let count = wrong.len();
    match wrong.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)) {
        None => Ok(passed),
        Some((_, text)) => Err(format!("{count} of {} elements wrong; the worst: {text}", passed.elements)),
    }
}

/// Runs the four trials of one function and type. On a GPU a run takes one of them, and the next run another one.
pub fn run(report: &mut Report, trial: &Trial, device: &Device) {
    let name = trial.name();
    if !report.wants(&name) {
        return;
    }
    for (turn, (position, at, length)) in POSITIONS.into_iter().enumerate() {
        let turn = turn + trial.seed() as usize % 64;
        if device.is_gpu() && !kit::in_turn(turn, 4) {
            continue;
        }
        report.trial(&format!("{name}::{position}"), || check(trial, at, length, turn, device));
    }
}

#[test]
fn sixteen_special_values_are_apart() {
    for d in DType::ALL.into_iter().filter(|d| *d != DType::Bool) {
        let mut all = specials(d).to_vec();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16, "{d}");
    }
}
