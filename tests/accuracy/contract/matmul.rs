//! Trials of the matrix product.

use super::bound::Real;
use super::dd::Dd;
use super::entry::Entry;
use super::page::Figure;
use super::report::{Passed, Report};
use super::underflow::{self, Underflow};
use crate::kit::{self, Dice, number};
use cupric::{DType, Device, Expr, s};

/// The shape of one product, and the layout of its operands.
struct Case {
    layout: &'static str,
    m: usize,
    k: usize,
    n: usize,
}

const CASES: [Case; 28] = [
    Case { layout: "contiguous", m: 48, k: 64, n: 80 },
    Case { layout: "contiguous", m: 8, k: 1000, n: 8 },
    Case { layout: "transposed", m: 33, k: 65, n: 37 },
    Case { layout: "transposed", m: 64, k: 32, n: 16 },
    Case { layout: "negative", m: 21, k: 34, n: 19 },
    Case { layout: "broadcast", m: 20, k: 31, n: 12 },
    Case { layout: "batch", m: 9, k: 17, n: 11 },
    Case { layout: "scalar", m: 1, k: 1, n: 1 },
    Case { layout: "vector", m: 1, k: 257, n: 1 },
    Case { layout: "empty", m: 3, k: 0, n: 4 },
    Case { layout: "empty", m: 0, k: 5, n: 4 },
    Case { layout: "empty", m: 3, k: 5, n: 0 },
    Case { layout: "odd", m: 1, k: 3, n: 5 },
    Case { layout: "odd", m: 127, k: 1, n: 129 },
    Case { layout: "odd", m: 5, k: 1025, n: 3 },
    Case { layout: "odd", m: 1, k: 63, n: 255 },
    Case { layout: "odd", m: 65, k: 33, n: 1 },
    Case { layout: "empty", m: 65, k: 0, n: 70 },
    Case { layout: "empty", m: 1, k: 0, n: 65 },
    Case { layout: "broadcast", m: 65, k: 1, n: 65 },
    Case { layout: "again", m: 65, k: 1, n: 70 },
    Case { layout: "again", m: 1, k: 1, n: 65 },
    Case { layout: "again", m: 5, k: 1, n: 1 },
    Case { layout: "again", m: 17, k: 17, n: 17 },
    Case { layout: "subnormal", m: 9, k: 2, n: 70 },
    Case { layout: "subnormal", m: 33, k: 17, n: 12 },
    Case { layout: "subnormal", m: 4, k: 257, n: 5 },
    Case { layout: "subnormal", m: 70, k: 3, n: 70 },
];

/// Makes the matrices a and b, stored in the case's layout.
fn operands(case: &Case, d: DType, a: &[u64], b: &[u64], device: &Device) -> Result<(Expr, Expr), cupric::Error> {
    let (m, k, n) = (case.m, case.k, case.n);
    let make = |bits: &[u64], shape: &[usize]| -> Result<Expr, cupric::Error> {
        Ok(kit::array(d, bits, shape, device)?.into())
    };
    // stores a matrix with its two axes exchanged
    let turned = |v: &[u64], r: usize, c: usize| -> Vec<u64> { (0..r * c).map(|i| v[i % r * c + i / r]).collect() };
    Ok(match case.layout {
        "transposed" => (make(&turned(a, m, k), &[k, m])?.t(), make(&turned(b, k, n), &[n, k])?.t()),
        "negative" => {
            let back: Vec<u64> = a.iter().rev().copied().collect();
            let spaced: Vec<u64> = b.iter().flat_map(|x| [*x, 0x3c00]).collect();
            (make(&back, &[m, k])?.slice(s![..;-1, ..;-1]), make(&spaced, &[k, 2 * n])?.slice(s![.., ..;2]))
        }
        "broadcast" => {
            let column: Vec<u64> = (0..k).map(|i| b[i * n]).collect();
            (make(&a[..k], &[1, k])?.broadcast_to([m, k]), make(&column, &[k, 1])?.broadcast_to([k, n]))
        }
        "batch" => (make(a, &[3, m, k])?, make(b, &[k, n])?),
        // an axis that `expand_dims` adds has stride 0
        "again" if k == 1 => (make(a, &[m])?.expand_dims(1), make(b, &[n])?.expand_dims(0)),
        "vector" => (make(a, &[k])?, make(b, &[k])?),
        _ => (make(a, &[m, k])?, make(b, &[k, n])?),
    })
}

/// Draws the operands' bits. Returns None for the layout "subnormal" if the type is not a float.
fn draws(case: &Case, d: DType, random: &mut Dice) -> Option<(Vec<u64>, Vec<u64>)> {
    let (m, k, n) = (case.m, case.k, case.n);
    let batch = if case.layout == "batch" { 3 } else { 1 };
    let mut draw = |count: usize| -> Vec<u64> {
        let mut one = || match d {
            DType::Bool => random.next() & 1,
            d if d.is_float() => number::round(d, random.normal()),
            d => random.next() >> (64 - 8 * d.size()),
        };
        (0..count).map(|_| one()).collect()
    };
    let (mut a, mut b) = (draw(batch * m * k), draw(k * n));
    if case.layout == "subnormal" {
        if !d.is_float() {
            return None;
        }
        // the left matrix is subnormal; one column in three of the right matrix is too
        a.iter_mut().for_each(|a| *a = underflow::draw(d, random));
        let small = |(i, b): (usize, &mut u64)| {
            if i % n % 3 == 2 {
                *b = underflow::draw(d, random)
            }
        };
        b.iter_mut().enumerate().for_each(small);
    }
    Some((a, b))
}

fn check(case: &Case, entry: &Entry, device: &Device, random: &mut Dice) -> Result<Passed, String> {
    let (m, k, n, d) = (case.m, case.k, case.n, entry.dtype);
    let Some((a, b)) = draws(case, d, random) else { return Ok(Passed::default()) };
    let (mut left, mut right) = (a.clone(), b.clone());
    if case.layout == "broadcast" {
        // on the left all rows are the same, on the right all columns
        left = (0..m * k).map(|i| a[i % k]).collect();
        right = (0..k * n).map(|i| b[i / n * n]).collect();
    }
    let what = case.text();
    let refused = |e: &cupric::Error| entry.gpu() && d.size() == 8 && e.kind() == cupric::ErrorKind::Unsupported;
    let none = Passed { unsupported: true, ..Passed::default() };
    let product = operands(case, d, &a, &b, device).and_then(|(x, y)| {
        let product = x.matmul(&y);
        if case.layout == "again" { product.maximum(&x).minimum(&y).eval() } else { product.eval() }
    });
    let product = match product {
        Ok(p) => p,
        Err(e) if refused(&e) => return Ok(none),
        Err(e) => return Err(format!("{what}: {e}")),
    };
    let shape: &[usize] = match case.layout {
        "batch" => &[3, m, n],
        "vector" => &[],
        _ => &[m, n],
    };
    if product.shape() != shape || product.dtype() != d {
        return Err(format!("{what}: {} {:?}, not {d} {shape:?}", product.dtype(), product.shape()));
    }
    let actual = kit::read(&product).map_err(|e| format!("{what}: {e}"))?;
    let judge = Judge { case, d, left, right, underflow: Underflow::of(device) };
    let mut worst = Figure::default();
    for (at, got) in actual.iter().enumerate() {
        if !d.is_float() {
            judge.integer(at, *got)?;
            continue;
        }
        let share = judge.float(at, *got)?;
        if share > worst.share {
            let at = format!("element {at} of {what}, {}", case.layout);
            worst = Figure { share, at, ..Figure::default() };
        }
    }
    Ok(Passed { elements: actual.len(), worst, unsupported: false })
}

impl Case {
    fn text(&self) -> String {
        format!("[{}, {}] x [{}, {}]", self.m, self.k, self.k, self.n)
    }
}

/// Compares the elements of a product with the exact product of its operands.
struct Judge<'a> {
    case: &'a Case,
    d: DType,
    left: Vec<u64>,
    right: Vec<u64>,
    underflow: Underflow,
}

impl Judge<'_> {
    /// Judges an integer or bool: it must be exact, and it wraps at the width of the result.
    fn integer(&self, at: usize, got: u64) -> Result<(), String> {
        let (k, n, d) = (self.case.k, self.case.n, self.d);
        let (row, column) = (at / n, at % n);
        let product = |i: usize| {
            number::integer(d, self.left[row * k + i]).wrapping_mul(number::integer(d, self.right[i * n + column]))
        };
        let mut want = number::wrap(d, (0..k).map(product).fold(0, i128::wrapping_add));
        if self.case.layout == "again" {
            let [low, high] = self.beside(row, column).map(|x| number::integer(d, x));
            want = number::wrap(d, number::integer(d, want).max(low).min(high));
        }
        if want != got {
            let [want, got] = [want, got].map(|b| number::show(d, b));
            return Err(format!("{}: element {at}: expected {want}, got {got}", self.case.text()));
        }
        Ok(())
    }

    /// Returns which share of its bound a float's error takes.
    fn float(&self, at: usize, got: u64) -> Result<f64, String> {
        let (k, n, d) = (self.case.k, self.case.n, self.d);
        let (row, column) = (at / n, at % n);
        let u = if d == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        // f64 products would underflow in the reference, so one factor is scaled by 2^600
        let power = if self.case.layout == "subnormal" && d == DType::F64 { 600 } else { 0 };
        let scale = 2f64.powi(power);
        let (mut sum, mut size, mut flushed) = (Dd::from(0.0), 0.0, 0.0);
        for i in 0..k {
            let (x, y) = (number::real(d, self.left[row * k + i]), number::real(d, self.right[i * n + column]));
            flushed += self.underflow.operand(x) * y.abs() + self.underflow.operand(y) * x.abs();
            let x = x * scale;
            sum = sum + Dd::from(x) * y.into();
            size += (x * y).abs();
        }
        let mut want = Real { value: sum.hi, rest: sum.lo };
        if self.case.layout == "again" {
            let [low, high] = self.beside(row, column).map(|x| number::real(d, x));
            let clamped = want.value.max(low).min(high);
            want = if clamped == want.value { want } else { clamped.into() };
        }
        let ulp = number::ulp(d, want.value / scale) * scale;
        let roundings = if self.underflow.flushes { 2.0 } else { 1.0 } * k as f64;
        let lost = roundings * self.underflow.half(d, power) + flushed * scale;
        let by_data = (k as f64 / 2.0 + 16.0) * u * size + lost;
        let allowed = if matches!(d, DType::F16 | DType::BF16) { by_data + ulp } else { by_data.max(ulp) };
        let error = (number::real(d, got) * scale - want.value - want.rest).abs();
        // the error is NaN if the result is: that is a failure too
        if error.is_nan() || error > allowed {
            let row: Vec<String> = (0..k.min(4)).map(|i| number::show(d, self.left[row * k + i])).collect();
            return Err(format!(
                "{}: element {at} (row begins {}): expected {}, got {}: {:.3} ULP, error {error:e}, bound {allowed:e}",
                self.case.text(),
                row.join(", "),
                number::show(d, number::round(d, want.value / scale)),
                number::show(d, got),
                error / ulp,
            ));
        }
        Ok(error / allowed)
    }

    /// The elements of both operands that broadcasting combines for an element of the result.
    fn beside(&self, row: usize, column: usize) -> [u64; 2] {
        let at = |v: &[u64], rows: usize, columns: usize| {
            v[if rows == 1 { 0 } else { row } * columns + if columns == 1 { 0 } else { column }]
        };
        let Case { m, k, n, .. } = *self.case;
        [at(&self.left, m, k), at(&self.right, k, n)]
    }
}

/// Runs the trials of one line of the contract.
pub fn run(report: &mut Report, entry: &Entry, device: &Device) {
    if !report.wants(&entry.name()) {
        return;
    }
    for (i, case) in CASES.iter().enumerate() {
        let mut random = Dice::from(97 * (i as u64 + 1));
        let name = format!("{}::{}_{}x{}x{}", entry.name(), case.layout, case.m, case.k, case.n);
        report.trial(&name, || check(case, entry, device, &mut random));
    }
}
