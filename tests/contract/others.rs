//! Trials of what is neither elementwise nor a reduction: gathers and joins, which copy bits, and generators, which
//! have no operand (their dtype in the contract is that of the result).

use super::bound::{Bound, judge};
use super::data;
use super::entry::Entry;
use super::layouts::{LAYOUTS, cases};
use super::page::Figure;
use super::report::{Passed, Report};
use crate::common::{self, Random, number};
use cupric::{DType, Device, ErrorKind, Expr, Rng, arange, concat, linspace, stack};

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// Philox4x32-10, from its paper.
fn philox(index: u32, stream: u32) -> [u32; 4] {
    let (mut c, mut k) = ([index, 0, stream, 0], [SEED as u32, (SEED >> 32) as u32]);
    for _ in 0..10 {
        let p = [0xd251_1f53u64 * c[0] as u64, 0xcd9e_8d57u64 * c[2] as u64];
        c = [(p[1] >> 32) as u32 ^ c[1] ^ k[0], p[1] as u32, (p[0] >> 32) as u32 ^ c[3] ^ k[1], p[0] as u32];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

/// The elements of a matrix in C order with their index.
fn at(values: &[u64], columns: usize, i: usize, j: usize) -> u64 {
    values[i * columns + j]
}

/// What a gather or join of a matrix must be, by both axes.
type Copy = (Expr, Vec<usize>, Vec<u64>);

fn copies(function: &str, x: &Expr, shape: [usize; 2], v: &[u64], device: &Device) -> Result<Vec<Copy>, cupric::Error> {
    let [r, c] = shape;
    let mut random = Random(17);
    let mut all = vec![];
    for axis in [0isize, -1] {
        let rows = axis == 0;
        let n = if rows { r } else { c };
        // every position in an order of its own, some twice, and counted from the end
        let picks: Vec<i64> = (0..n + 5).map(|_| random.between(-(n as f64), n as f64).floor() as i64).collect();
        let from = |i: i64| if i < 0 { (i + n as i64) as usize } else { i as usize };
        match function {
            "take" if n > 0 => {
                let bits: Vec<u64> = picks.iter().map(|i| *i as u32 as u64).collect();
                let indices = common::array(DType::I32, &bits, &[bits.len()], device)?;
                let m = picks.len();
                let (want, shape): (Vec<u64>, _) = if rows {
                    ((0..m * c).map(|k| at(v, c, from(picks[k / c]), k % c)).collect(), vec![m, c])
                } else {
                    ((0..r * m).map(|k| at(v, c, k / m, from(picks[k % m]))).collect(), vec![r, m])
                };
                all.push((x.take(&indices, axis), shape, want));
            }
            "take" => {}
            "concat" => {
                let part = if rows { x.slice(cupric::s![1.., ..]) } else { x.slice(cupric::s![.., 1..]) };
                let (want, shape): (Vec<u64>, _) = if rows {
                    let again = v.iter().skip(c).copied();
                    (v.iter().copied().chain(again).collect(), vec![r + r.saturating_sub(1), c])
                } else {
                    let tail = c.saturating_sub(1);
                    let row = |i: usize| (0..c).chain(1..c.max(1)).map(move |j| (i, j));
                    ((0..r).flat_map(row).map(|(i, j)| at(v, c, i, j)).collect(), vec![r, c + tail])
                };
                all.push((concat([x, &part], axis), shape, want));
            }
            _ => {
                let (want, shape): (Vec<u64>, _) = if rows {
                    ([v, v].concat(), vec![2, r, c])
                } else {
                    (v.iter().flat_map(|b| [*b, *b]).collect(), vec![r, c, 2])
                };
                all.push((stack([x, x], axis), shape, want));
            }
        }
    }
    Ok(all)
}

fn copy(entry: &Entry, layout: &str, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let operands = data::operands(&[d], [-1e3, 1e3], 29);
    let refused = |e: &cupric::Error| entry.gpu() && d.size() == 8 && e.kind() == ErrorKind::Unsupported;
    let cases = match cases(layout, &[d], &operands, device) {
        Ok(c) => c,
        Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
        Err(e) => return Err(e.to_string()),
    };
    let mut passed = Passed::default();
    for case in cases.iter().take(6) {
        // a matrix with the case's strides, where it has two axes
        let (x, shape) = match case.shape[..] {
            [r, c] => (case.operands[0].clone(), [r, c]),
            [n] => (case.operands[0].expand_dims(0), [1, n]),
            _ => (case.operands[0].expand_dims(0).expand_dims(0), [1, 1]),
        };
        let all = copies(&entry.function, &x, shape, &case.values[0], device).map_err(|e| e.to_string())?;
        for (e, shape, want) in all {
            let result = match e.eval() {
                Err(e) if refused(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
                r => r.map_err(|e| format!("{:?}: {e}", case.shape))?,
            };
            if result.shape() != shape || result.dtype() != d {
                return Err(format!("{:?}: {} {:?}, not {d} {shape:?}", case.shape, result.dtype(), result.shape()));
            }
            let got = common::read(&result).map_err(|e| e.to_string())?;
            // to the bit, a NaN's payload too
            if let Some(i) = (0..want.len()).find(|i| got[*i] != want[*i]) {
                let [want, got] = [want[i], got[i]].map(|b| number::show(d, b));
                return Err(format!("{:?}: element {i} of {shape:?}: expected {want}, got {got}", case.shape));
            }
            passed.elements += got.len();
        }
    }
    Ok(passed)
}

/// The values of a generator: expression, exact value and error that is allowed, by element.
fn generator(entry: &Entry, which: usize) -> (Expr, Vec<f64>, Vec<f64>) {
    const N: usize = 20_000;
    let words = |stream: u32| (0..N as u32).map(move |i| philox(i, stream));
    let unit = |w: u32| (w >> 8) as f64 * 2f64.powi(-24);
    let mut rng = Rng::new(SEED);
    // other streams than the first
    (0..which).for_each(|_| drop(rng.uniform([1])));
    let stream = which as u32;
    let g = if entry.gpu() { 2.0 } else { 1.0 };
    let none = vec![0.0; N];
    match entry.function.as_str() {
        "uniform" => (rng.uniform([N]), words(stream).map(|w| unit(w[0])).collect(), none),
        "integers" => {
            let (lo, hi) = [(-3, 4), (i32::MIN, i32::MAX), (0, 1_000_000_007)][which];
            let width = (hi as i64 - lo as i64) as u64;
            let want = words(stream).map(|w| (lo as i64 + ((w[0] as u64 * width) >> 32) as i64) as f64).collect();
            (rng.integers(lo, hi, [N]), want, none)
        }
        "bernoulli" => {
            let p = [0.3, 0.5, 1e-3][which];
            // p as f32 holds it
            let want = words(stream).map(|w| f64::from(unit(w[0]) < p as f32 as f64)).collect();
            (rng.bernoulli(p, [N]), want, none)
        }
        "normal" => {
            let radius = |w: [u32; 4]| (-2.0 * (((w[0] >> 8) + 1) as f64 * 2f64.powi(-24)).ln()).sqrt();
            let turn = |w: [u32; 4]| (std::f64::consts::TAU * unit(w[1])).cos();
            let want = words(stream).map(|w| radius(w) * turn(w)).collect();
            let allowed = words(stream).map(|w| g * 20.0 * 2f64.powi(-24) * radius(w)).collect();
            (rng.normal([N]), want, allowed)
        }
        "arange" if entry.dtype == DType::I32 => {
            let (a, step) = [(0, 1), (-7, 3), (1_000_000, -11)][which];
            (arange(a, a + step * N as i32, step), (0..N).map(|i| (a + step * i as i32) as f64).collect(), none)
        }
        _ => {
            let (a, b) = [(0.0, 1.0), (-1.0, 3.0), (1e6, -1e3)][which];
            let Bound::Large(u) = entry.bound else { panic!("{}: {:?}", entry.name(), entry.bound) };
            let top = f64::abs(a).max(f64::abs(b));
            let allowed = vec![u * number::ulp(DType::F32, top); N];
            if entry.function == "linspace" {
                let want = (0..N).map(|i| a + (b - a) * i as f64 / (N - 1) as f64).collect();
                return (linspace(a, b, N), want, allowed);
            }
            let step = (b - a) / N as f64;
            (arange(a, a + (N as f64 - 0.5) * step, step), (0..N).map(|i| a + step * i as f64).collect(), allowed)
        }
    }
}

fn generate(entry: &Entry, which: usize, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let (e, want, allowed) = generator(entry, which);
    let result = e.to_device(device).map_err(|e| e.to_string())?;
    if result.shape() != [want.len()] || result.dtype() != d {
        return Err(format!("{} {:?}, not {d} [{}]", result.dtype(), result.shape(), want.len()));
    }
    let got = common::read(&result).map_err(|e| e.to_string())?;
    let mut worst = Figure::default();
    for (i, got) in got.iter().enumerate() {
        if !d.is_float() {
            if number::wrap(d, want[i] as i128) != *got {
                return Err(format!("element {i}: expected {}, got {}", want[i], number::show(d, *got)));
            }
            continue;
        }
        let error = (number::real(d, *got) - want[i]).abs();
        let (ulps, right) = judge(&Bound::Exact, 0.0, d, want[i].into(), &[], *got);
        let near = allowed[i] > 0.0 && error <= allowed[i].max(number::ulp(d, want[i]));
        if !(right || near) {
            let want = number::show(d, number::round(d, want[i]));
            let got = number::show(d, *got);
            return Err(format!("element {i}: expected {want}, got {got}: error {error:e}, {:e} allowed", allowed[i]));
        }
        let share = if allowed[i] > 0.0 { error / allowed[i].max(number::ulp(d, want[i])) } else { 0.0 };
        if share > worst.share {
            let at = format!("element {i} of the {which}. sequence");
            worst = Figure { share, ulps: Some(ulps), at, of: String::new() };
        }
    }
    Ok(Passed { elements: got.len(), worst, unsupported: false })
}

/// The trials of one line.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    if ["take", "concat", "stack"].contains(&entry.function.as_str()) {
        for layout in LAYOUTS {
            report.trial(&format!("{name}::{layout}"), || copy(entry, layout, device));
        }
        return;
    }
    for which in 0..3 {
        report.trial(&format!("{name}::{which}"), || generate(entry, which, device));
    }
}
