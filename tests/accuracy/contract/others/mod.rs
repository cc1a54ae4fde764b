//! Trials of functions that are neither elementwise nor reductions: gathers and joins, which copy bits, and generators,
//! which have no operand (their dtype in the contract is the result's).

mod draws;

use super::bound::{Bound, Real, judge};
use super::data;
use super::dd::Dd;
use super::entry::Entry;
use super::layouts::{by_turns, cases};
use super::page::Figure;
use super::report::{Passed, Report};
use crate::kit::{self, Dice, number};
use cupric::{DType, Device, ErrorKind, Expr, Rng, arange, concat, geomspace, linspace, logspace, stack};

const SEED: u64 = 0x0123_4567_89ab_cdef;

/// The random number generator Philox4x32-10, written from its paper.
fn philox(block: u32, stream: u32, number: u32) -> [u32; 4] {
    let (mut c, mut k) = ([block, 0, stream, number], [SEED as u32, (SEED >> 32) as u32]);
    for _ in 0..10 {
        let p = [0xd251_1f53u64 * c[0] as u64, 0xcd9e_8d57u64 * c[2] as u64];
        c = [(p[1] >> 32) as u32 ^ c[1] ^ k[0], p[1] as u32, (p[0] >> 32) as u32 ^ c[3] ^ k[1], p[0] as u32];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

/// Element (i, j) of a matrix that is stored in C order.
fn at(values: &[u64], columns: usize, i: usize, j: usize) -> u64 {
    values[i * columns + j]
}

/// The result of combining two elements, given as bits, by `index_add` and similar functions.
fn combined(function: &str, dtype: DType, a: u64, b: u64) -> u64 {
    if dtype.is_float() {
        let (x, y) = (number::real(dtype, a), number::real(dtype, b));
        // for the extremes, −0 is less than +0, and a NaN wins in both directions
        let is_less = x < y || x == y && x.is_sign_negative();
        return match (x.is_nan(), y.is_nan()) {
            (true, _) => a,
            (_, true) => b,
            _ if (function == "index_min") == is_less => a,
            _ => b,
        };
    }
    let unused = 64 - 8 * dtype.size() as u32;
    // shifted to the upper bits, the integers compare as their type does
    let (x, y) = (a << unused, b << unused);
    let is_less = if dtype.is_signed_integer() { (x as i64) < y as i64 } else { x < y };
    match function {
        "index_add" if dtype == DType::Bool => a | b,
        "index_add" => x.wrapping_add(y) >> unused,
        "index_min" => {
            if is_less {
                a
            } else {
                b
            }
        }
        _ => {
            if is_less {
                b
            } else {
                a
            }
        }
    }
}

/// One call of a gather or join, and the shape and bits of its result. There is one along each axis.
type Copy = (Expr, Vec<usize>, Vec<u64>);

fn copies(function: &str, x: &Expr, shape: [usize; 2], v: &[u64], device: &Device) -> Result<Vec<Copy>, cupric::Error> {
    let [r, c] = shape;
    let mut random = Dice::from(17);
    let mut all = vec![];
    for axis in [0isize, -1] {
        let rows = axis == 0;
        let n = if rows { r } else { c };
        // positions in random order, some repeated, some negative (counted from the end)
        let picks: Vec<i64> = (0..n + 5).map(|_| random.within(-(n as f64), n as f64).floor() as i64).collect();
        let from = |i: i64| if i < 0 { (i + n as i64) as usize } else { i as usize };
        match function {
            "take" if n > 0 => {
                let bits: Vec<u64> = picks.iter().map(|i| *i as u32 as u64).collect();
                let indices = kit::array(DType::I32, &bits, &[bits.len()], device)?;
                let m = picks.len();
                let (want, shape): (Vec<u64>, _) = if rows {
                    ((0..m * c).map(|k| at(v, c, from(picks[k / c]), k % c)).collect(), vec![m, c])
                } else {
                    ((0..r * m).map(|k| at(v, c, k / m, from(picks[k % m]))).collect(), vec![r, m])
                };
                all.push((x.take(&indices, axis), shape, want));
            }
            "take" | "index_add" | "index_min" | "index_max" if n == 0 || v.is_empty() => {}
            "index_add" | "index_min" | "index_max" => {
                let bits: Vec<u64> = picks.iter().map(|i| *i as u32 as u64).collect();
                let indices = kit::array(DType::I32, &bits, &[bits.len()], device)?;
                let (m, dtype) = (picks.len(), x.dtype()?);
                let of = if rows { [m, c] } else { [r, m] };
                let values: Vec<u64> = (0..of[0] * of[1]).map(|k| v[k * 31 % v.len()]).collect();
                let mut want = v.to_vec();
                for (k, value) in values.iter().enumerate() {
                    let (i, j) = (k / of[1], k % of[1]);
                    let place = if rows { from(picks[i]) * c + j } else { i * c + from(picks[j]) };
                    want[place] = combined(function, dtype, want[place], *value);
                }
                let values = kit::array(dtype, &values, &of, device)?;
                let build = kit::operations::find(function).expect("an entry").build;
                let params = kit::operations::Params::axis(axis);
                all.push((build(&[x.clone(), indices.into(), values.into()], &params), vec![r, c], want));
            }
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
        // a matrix with the case's strides if it has two axes; a vector becomes one row
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
            let got = kit::read(&result).map_err(|e| e.to_string())?;
            // bits must be equal, including a NaN's payload if the function only moves elements
            let computes = entry.function.starts_with("index_") && d.is_float();
            let any_nan = |i: &usize| computes && [got[*i], want[*i]].iter().all(|b| number::is_nan(d, *b));
            if let Some(i) = (0..want.len()).find(|i| got[*i] != want[*i] && !any_nan(i)) {
                let [want, got] = [want[i], got[i]].map(|b| number::show(d, b));
                return Err(format!("{:?}: element {i} of {shape:?}: expected {want}, got {got}", case.shape));
            }
            passed.elements += got.len();
        }
    }
    Ok(passed)
}

/// The length of the generated sequences.
const N: usize = 20_000;

/// The random words of a stream: four for each element.
fn words(stream: usize) -> impl Iterator<Item = [u32; 4]> {
    (0..N as u32).map(move |i| [0, 1, 2, 3].map(|k| philox(i / 4, stream as u32, k)[i as usize % 4]))
}

/// The two words of an element's normal number: a pair of elements shares them, and the odd one adds a quarter turn.
fn pairs(stream: usize) -> impl Iterator<Item = [u32; 4]> {
    let own = move |i: u32| philox(i / 4, stream as u32, 0)[i as usize % 4];
    (0..N as u32).map(move |i| [own(i & !1), own(i | 1).wrapping_add(if i & 1 == 1 { 1 << 30 } else { 0 }), 0, 0])
}

/// As many upper bits of the word as the type's mantissa holds (for f64, of the two words from `first` on), in [0, 1).
fn unit(d: DType, w: [u32; 4], first: usize) -> f64 {
    match d {
        DType::F16 => (w[first] >> 21) as f64 * 2f64.powi(-11),
        DType::BF16 => (w[first] >> 24) as f64 * 2f64.powi(-8),
        DType::F64 => ((w[first] >> 5) as f64 * 2f64.powi(26) + (w[first + 1] >> 6) as f64) * 2f64.powi(-53),
        _ => (w[first] >> 8) as f64 * 2f64.powi(-24),
    }
}

/// Calls a generator, and gives what it must return.
fn generator(entry: &Entry, which: usize) -> (Expr, Wanted) {
    let mut rng = Rng::new(SEED);
    // skips streams, so that the trial does not use only the first
    (0..which).for_each(|_| drop(rng.uniform([1], DType::F32)));
    let d = entry.dtype;
    let exactly = |want: Vec<f64>| Wanted::Floats(want.into_iter().map(|x| (x.into(), Bound::Exact, 0.0)).collect());
    match entry.function.as_str() {
        "uniform" => (rng.uniform([N], d), exactly(words(which).map(|w| unit(d, w, 0)).collect())),
        "integers" => integers(d, which, &mut rng),
        "bernoulli" => {
            let p = [0.3, 0.5, 1e-3][which];
            let bits = |w: [u32; 4]| (w[0] as u64) << 32 | w[1] as u64;
            let want = words(which).map(|w| (bits(w) as f64) < p * 2f64.powi(64));
            let want = if d.is_float() {
                exactly(want.map(f64::from).collect())
            } else {
                Wanted::Integers(want.map(i128::from).collect())
            };
            (rng.bernoulli(p, [N], d), want)
        }
        "normal" => normal(entry, which, &mut rng),
        "exponential" | "gumbel" | "laplace" | "truncated_normal" => draws::log_of_uniform(entry, which, &mut rng),
        "logspace" | "geomspace" => ratios(entry, which),
        "arange" if !d.is_float() => integer_range(d, which),
        _ => line(entry, which),
    }
}

fn integers(d: DType, which: usize, rng: &mut Rng) -> (Expr, Wanted) {
    let (lo, hi): (i64, i64) = match d {
        DType::U8 => [(0, 2), (3, 200), (0, 255)][which],
        DType::I64 => [(-3, 4), (i64::MIN, i64::MAX), (-(1 << 40), 1 << 40)][which],
        DType::U64 => [(0, 10), (7, i64::MAX), (1 << 40, 1 << 55)][which],
        _ => [(-3, 4), (i32::MIN as i64, i32::MAX as i64), (0, 1_000_000_007)][which],
    };
    let width = hi.wrapping_sub(lo) as u64;
    let draw = |w: [u32; 4]| ((((w[0] as u64) << 32 | w[1] as u64) as u128 * width as u128) >> 64) as u64;
    let want = words(which).map(|w| lo.wrapping_add(draw(w) as i64) as i128).collect();
    (rng.integers(lo, hi, [N], d), Wanted::Integers(want))
}

fn normal(entry: &Entry, which: usize, rng: &mut Rng) -> (Expr, Wanted) {
    let d = entry.dtype;
    let g = if entry.gpu() { 2.0 } else { 1.0 };
    // the step of the first uniform number, and the rounding unit
    let (one, u) = match d {
        DType::F64 => (2f64.powi(-53), 2f64.powi(-53)),
        _ => (2f64.powi(-24), 2f64.powi(-24)),
    };
    // normal numbers of f16 and bf16 are rounded from f32
    let part = |w: [u32; 4], second: usize| match d {
        DType::F64 => unit(d, w, 2 * second),
        _ => (w[second] >> 8) as f64 * 2f64.powi(-24),
    };
    // −log(u); for u near 1 it is computed by log1p of −(1 − u)
    let log = |u: f64| if u > 0.5 { (-(1.0 - u)).ln_1p() } else { u.ln() };
    let radius = |w: [u32; 4]| (-2.0 * log(part(w, 0) + one)).sqrt();
    let turn = |w: [u32; 4]| (std::f64::consts::TAU * part(w, 1)).cos();
    let step = |x: f64| if matches!(d, DType::F16 | DType::BF16) { number::ulp(d, x) } else { 0.0 };
    let want = |w: [u32; 4]| {
        let x = radius(w) * turn(w);
        (x.into(), Bound::Exact, g * 20.0 * u * radius(w) + step(x))
    };
    let drawn: Vec<[u32; 4]> = if d == DType::F64 { words(which).collect() } else { pairs(which).collect() };
    (rng.normal([N], d), Wanted::Floats(drawn.into_iter().map(want).collect()))
}

fn integer_range(d: DType, which: usize) -> (Expr, Wanted) {
    let (a, step, n): (i64, i64, usize) = match d {
        DType::U8 => [(0, 1, 256), (3, 7, 36), (250, -3, 84)][which],
        DType::U64 => [(0, 1, N), (1 << 60, 1 << 44, N), (1 << 62, -11, N)][which],
        DType::I64 => [(0, 1, N), (i64::MIN, 1 << 49, N), (i64::MAX, -(1 << 49), N)][which],
        _ => [(0, 1, N), (-7, 3, N), (1_000_000, -11, N)][which],
    };
    let element = |i: usize| a as i128 + step as i128 * i as i128;
    let stop = (element(n - 1) as i64).saturating_add(step.signum());
    (arange(a, stop, step, d), Wanted::Integers((0..n).map(element).collect()))
}

/// Trials of `linspace`, and of `arange` with floats.
fn line(entry: &Entry, which: usize) -> (Expr, Wanted) {
    let last = match entry.dtype {
        DType::F32 => (-3e38, 3e38),
        DType::F64 => (-1.7e308, 1.7e308),
        _ => (100.0, -70.0),
    };
    let (a, b) = [(-1.0, 1.0), (1e4, -1e2), last][which];
    // we use a quarter of each end, so that the difference is not infinite
    let parts = |n: f64| (Dd::from(b * 0.25) - Dd::from(a * 0.25)) / n.into();
    let (e, step) = match entry.function.as_str() {
        "linspace" => (linspace(a, b, N, entry.dtype), parts((N - 1) as f64)),
        _ => {
            let step = parts(N as f64).hi * 4.0;
            let stop = if which == 2 { b } else { a + (N as f64 - 0.5) * step };
            (arange(a, stop, step, entry.dtype), Dd::from(step * 0.25))
        }
    };
    let exact = |i: usize| {
        let quarter = Dd::from(a * 0.25) + step * (i as f64).into();
        Real { value: quarter.hi * 4.0, rest: quarter.lo * 4.0 }
    };
    let n = e.size().unwrap_or(0);
    (e, Wanted::Floats((0..n).map(|i| (exact(i), entry.bound.clone(), 0.0)).collect()))
}

/// Trials of `logspace` and `geomspace`, with a double-double exponential function as the reference.
fn ratios(entry: &Entry, which: usize) -> (Expr, Wanted) {
    let d = entry.dtype;
    let between = |a: Dd, b: Dd, n: usize, i: usize| a + (b - a) * (i as f64).into() / ((n - 1) as f64).into();
    let real = |x: Dd, sign: f64| (Real { value: x.hi * sign, rest: x.lo * sign }, entry.bound.clone(), 0.0);
    // also a short sequence, whose positions are not split into two parts
    let n = if which == 1 { 5001 } else { N };
    if entry.function == "logspace" {
        let far = match d {
            DType::F32 => (-37.0, 38.0),
            DType::F64 => (-307.0, 308.0),
            _ => (-4.0, 4.75),
        };
        let (a, b, base) = [(-2.0, 3.0, 10.0), (4.0, -4.0, 2.7), (far.0, far.1, 10.0)][which];
        let log = Dd::from(base).ln();
        let want = (0..n).map(|i| real((between(Dd::from(a), Dd::from(b), n, i) * log).exp(), 1.0)).collect();
        return (logspace(a, b, n, base, d), Wanted::Floats(want));
    }
    let far = match d {
        DType::F32 => (1e-37, 3e38),
        // for larger numbers the reference's logarithm would compute a subnormal exponential
        DType::F64 => (1e-300, 1e300),
        _ => (1e-4, 6e4),
    };
    let (a, b): (f64, f64) = [(1e-3, 1e3), (-700.0, -0.25), far][which];
    let (low, high) = (Dd::from(a.abs()).ln(), Dd::from(b.abs()).ln());
    let want = |i: usize| match i {
        0 => real(Dd::from(a), 1.0),
        i if i == n - 1 => real(Dd::from(b), 1.0),
        i => real(between(low, high, n, i).exp(), a.signum()),
    };
    (geomspace(a, b, n, d), Wanted::Floats((0..n).map(want).collect()))
}

/// What a generator must return.
enum Wanted {
    Integers(Vec<i128>),
    /// The exact value, its bound in the contract's notation, and an absolute error that is allowed too.
    Floats(Vec<(Real, Bound, f64)>),
}

fn generate(entry: &Entry, which: usize, device: &Device) -> Result<Passed, String> {
    let d = entry.dtype;
    let (e, want) = generator(entry, which);
    let result = match e.to_device(device) {
        Err(e) if entry.gpu() && d.size() == 8 && e.kind() == ErrorKind::Unsupported => {
            return Ok(Passed { unsupported: true, ..Passed::default() });
        }
        r => r.map_err(|e| e.to_string())?,
    };
    let n = match &want {
        Wanted::Integers(v) => v.len(),
        Wanted::Floats(v) => v.len(),
    };
    if result.shape() != [n] || result.dtype() != d || n < 30 {
        return Err(format!("{} {:?}, not {d} [{n}]", result.dtype(), result.shape()));
    }
    let got = kit::read(&result).map_err(|e| e.to_string())?;
    let mut worst = Figure::default();
    let floats = match want {
        Wanted::Integers(want) => {
            for (i, (want, got)) in want.iter().zip(&got).enumerate() {
                if number::wrap(d, *want) != *got {
                    return Err(format!("element {i}: expected {want}, got {}", number::show(d, *got)));
                }
            }
            vec![]
        }
        Wanted::Floats(want) => want,
    };
    for (i, ((want, bound, allowed), got)) in floats.iter().zip(&got).enumerate() {
        let error = ((number::real(d, *got) - want.value) - want.rest).abs();
        let (ulps, right) = judge(bound, 0.0, d, *want, &[], *got);
        let allowed = if *allowed > 0.0 { allowed.max(number::ulp(d, want.value)) } else { 0.0 };
        let near = allowed > 0.0 && error <= allowed;
        if !(right || near) {
            let want = number::show(d, number::round(d, want.value));
            let got = number::show(d, *got);
            return Err(format!(
                "element {i}: expected {want}, got {got}: {ulps} ULP, {allowed:e} allowed or {bound:?}"
            ));
        }
        let share = match bound {
            Bound::Ulp(u, _) => ulps / u,
            _ if allowed > 0.0 => error / allowed,
            _ => 0.0,
        };
        if share > worst.share {
            let at = format!("element {i} of the {which}. sequence");
            worst = Figure { share, ulps: Some(ulps), at, of: String::new() };
        }
    }
    Ok(Passed { elements: got.len(), worst, unsupported: false })
}

/// Runs the trials of one line of the contract.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    let name = entry.name();
    if !report.wants(&name) {
        return;
    }
    if entry.function == "index_add" && entry.dtype.is_float() {
        return super::composites::run(report, entry, device);
    }
    if ["take", "concat", "stack", "index_add", "index_min", "index_max"].contains(&entry.function.as_str()) {
        for layout in by_turns(entry) {
            report.trial(&format!("{name}::{layout}"), || copy(entry, layout, device));
        }
        return;
    }
    for which in 0..3 {
        report.trial(&format!("{name}::{which}"), || generate(entry, which, device));
    }
}
