//! Products, gathers and joins of operands in the 32 layouts, against the scalar interpreter of expressions.

use super::places::{PLACES, by_turns, cases};
use crate::contract::data::Data;
use crate::contract::report::{Passed, Report};
use crate::kit::{self, Dice, number};
use cupric::testing::{ElementList, interpret};
use cupric::{Clip, DType, Device, ErrorKind, Expr, Wrap, concat, stack};

/// Compares a result with the interpreter's. Returns the number of elements, or a message about the first wrong one.
fn compare(what: &str, e: &Expr) -> Result<usize, String> {
    let result = e.eval().map_err(|e| format!("{what}: {e}"))?;
    let want = interpret(e).map_err(|e| format!("{what}: the interpreter: {e}"))?;
    let got = kit::read(&result).map_err(|e| format!("{what}: {e}"))?;
    let d = want.dtype;
    if result.shape() != want.shape || result.dtype() != d || got.len() != want.shape.iter().product::<usize>() {
        let (s, t) = (result.shape(), result.dtype());
        return Err(format!("{what}: {t} {s:?}, not {d} {:?}", want.shape));
    }
    for (k, g) in got.iter().enumerate() {
        let (right, expected) = match &want.elements {
            ElementList::Integers(v) => {
                let Some(w) = v[k] else { return Err(format!("{what}: the interpreter does not know element {k}")) };
                (number::wrap(d, w) == *g, number::show(d, number::wrap(d, w)))
            }
            ElementList::Floats(v) => {
                let (w, x) = (v[k], number::real(d, *g));
                if w.is_unknown() {
                    return Err(format!("{what}: the interpreter does not know element {k}"));
                }
                let ulps = (x - w.value).abs() / number::ulp(d, w.value);
                let shown = number::show(d, number::round(d, w.value));
                (w.allows(x), format!("{shown} ± {:e}: {ulps:.3} ULP", w.error))
            }
        };
        if !right {
            let got = number::show(d, *g);
            return Err(format!("{what}: element {k} of {:?}: got {got}, expected {expected}", want.shape));
        }
    }
    Ok(got.len())
}

fn elements(d: DType, n: usize, random: &mut Dice) -> Vec<u64> {
    let one = |r: &mut Dice| match d {
        DType::Bool => r.next() & 1,
        d if d.is_float() => number::round(d, r.normal()),
        d if r.next() & 7 == 0 => r.next() >> (64 - 8 * d.size()),
        d => number::wrap(d, r.within(-9.0, 10.0) as i128),
    };
    (0..n).map(|_| one(random)).collect()
}

/// Multiplies the operand with a contiguous matrix on either side.
fn products(x: &Expr, shape: &[usize], d: DType, random: &mut Dice, device: &Device) -> Result<usize, String> {
    let n = shape.len();
    let mut plain = |rows: usize, columns: usize| {
        kit::array(d, &elements(d, rows * columns, random), &[rows, columns], device).map_err(|e| e.to_string())
    };
    let right = plain(shape[n - 1], 3)?;
    let left = plain(2, shape[n.saturating_sub(2)])?;
    let (right, left): (Expr, Expr) = (right.into(), left.into());
    let mut seen = compare("operand × matrix", &x.matmul(&right))? + compare("matrix × operand", &left.matmul(x))?;
    if n == 2 {
        seen += compare("operand × its transpose", &x.matmul(x.t()))?;
    }
    Ok(seen)
}

fn gathers(x: &Expr, shape: &[usize], device: &Device) -> Result<usize, String> {
    let mut seen = 0;
    for axis in [0, shape.len() - 1] {
        let n = shape[axis] as i64;
        let list = |v: &[i64]| -> Result<Expr, String> {
            let bits: Vec<u64> = v.iter().map(|i| *i as u32 as u64).collect();
            Ok(kit::array(DType::I32, &bits, &[v.len()], device).map_err(|e| e.to_string())?.into())
        };
        let axis = axis as isize;
        if n > 0 {
            seen += compare("take", &x.take(&list(&[n - 1, 0, -1, -n, n / 2])?, axis))?;
            seen += compare("take_clip", &x.take(Clip(&list(&[-3, 0, n, n + 7])?), axis))?;
            seen += compare("take_wrap", &x.take(Wrap(&list(&[-1, n, 2 * n + 1])?), axis))?;
        }
        // an empty list of positions
        seen += compare("take of nothing", &x.take(&list(&[])?, axis))?;
    }
    Ok(seen)
}

fn joins(x: &Expr, shape: &[usize], d: DType, random: &mut Dice, device: &Device) -> Result<usize, String> {
    let n = shape.iter().product();
    let other: Expr = kit::array(d, &elements(d, n, random), shape, device).map_err(|e| e.to_string())?.into();
    let mut seen = compare("stack", &stack([x, &other, x], 0))? + compare("stack last", &stack([&other, x], -1))?;
    if !shape.is_empty() {
        seen += compare("concat", &concat([x, &other, x], 0))? + compare("concat last", &concat([&other, x], -1))?;
    }
    Ok(seen)
}

/// The trials of one type: a product of a 0-d operand and a gather from one are errors, so they have none.
pub fn run(report: &mut Report, d: DType, device: &Device) {
    let backend = if device.is_gpu() { "gpu" } else { "cpu" };
    let mut random = Dice::from(d as u64 * 7919 + 5);
    let data = Data { columns: vec![elements(d, 997, &mut random)], axes: None };
    let refusable = |e: &cupric::Error| device.is_gpu() && e.kind() == ErrorKind::Unsupported && d.size() == 8;
    for what in ["matmul", "take", "concat"] {
        let name = format!("{backend}::{what}::{d}");
        for (k, layout) in by_turns(&name, device).filter(|(k, _)| *k < PLACES.len()) {
            let name = format!("{name}::{layout}");
            if !report.wants(&name) || what != "concat" && layout == "scalar" {
                continue;
            }
            report.trial(&name, || {
                let made = match cases(k, &[d], &data, device) {
                    Ok(c) => c,
                    Err(e) if refusable(&e) => return Ok(Passed { unsupported: true, ..Passed::default() }),
                    Err(e) => return Err(format!("the operands: {e}")),
                };
                let mut passed = Passed::default();
                for c in &made {
                    let x = &c.operands[0];
                    let seen = match what {
                        "matmul" => products(x, &c.shape, d, &mut random, device),
                        "take" => gathers(x, &c.shape, device),
                        _ => joins(x, &c.shape, d, &mut random, device),
                    };
                    passed.elements += seen.map_err(|e| format!("{:?}: {e}", c.shape))?;
                }
                Ok(passed)
            });
        }
    }
}
