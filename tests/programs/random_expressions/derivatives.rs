//! Derivatives of random programs, compared with `jvp`, and with differences in a random direction.
//!
//! First we add small noise to the leaves, so that no two elements are equal and none is at a kink. If a program's
//! differences at two distances disagree, there is a kink or jump nearby, and only `grad` and `jvp` are compared.

use super::generate::generate;
use super::program::{Program, build};
use crate::kit::Dice;
use crate::kit::stage::Stage;
use cupric::*;

/// The result of a program with these leaves: its last root. None if that is not a float.
fn result(p: &Program, leaves: &[(usize, Expr)], d: &Device) -> Option<Expr> {
    let mut e: Vec<Expr> = vec![];
    for (i, spec) in p.nodes.iter().enumerate() {
        let leaf = leaves.iter().find(|(number, _)| *number == i);
        e.push(leaf.map_or_else(|| build(spec, &e, d), |(_, leaf)| leaf.clone()));
    }
    let y = p.roots.iter().map(|r| &e[*r]).find(|y| y.dtype().is_ok_and(|t| t == DType::F64))?;
    Some(y.clone())
}

fn noise(dice: &mut Dice, shape: &[usize], d: &Device) -> Array {
    let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| dice.within(-1.0, 1.0)).collect();
    Array::from_vec(numbers, shape).unwrap().to_device(d).unwrap()
}

fn value(e: &Expr) -> Result<f64> {
    e.to_device(&Device::cpu())?.astype(DType::F64).item::<f64>()
}

/// How the check of a program ended.
enum Outcome {
    Compared,
    /// The program is not smooth, so only `grad` and `jvp` were compared.
    WithoutDifferences,
    /// The program reads no float, or has infinite or NaN derivatives.
    LeftOut,
    /// One of the operations has no derivative.
    Without(String),
}

fn compare(p: &Program, seed: u64, d: &Device) -> std::result::Result<Outcome, String> {
    let dice = &mut Dice::new(seed ^ 0x9e37);
    let mut leaves = vec![];
    for (i, spec) in p.nodes.iter().enumerate().filter(|(_, s)| s.op == "leaf" && s.dtype == DType::F64) {
        let moved = build(spec, &[], d) + noise(dice, &spec.shape, d) * 0.03 + 0.01;
        leaves.push((i, Expr::from(moved.eval().map_err(|e| e.to_string())?)));
    }
    let Some(y) = result(p, &leaves, d) else { return Ok(Outcome::LeftOut) };
    let shape = y.shape().map_err(|e| e.to_string())?.to_vec();
    if shape.contains(&0) {
        return Ok(Outcome::LeftOut);
    }
    let weights = noise(dice, &shape, d);
    let of: Vec<Expr> = leaves.iter().map(|(_, e)| e.clone()).collect();
    let directions: Vec<Array> = of.iter().map(|e| noise(dice, e.shape().unwrap(), d)).collect();
    let loss = |leaves: &[(usize, Expr)]| result(p, leaves, d).map(|y| (y * &weights).sum(..));
    let Some(at) = loss(&leaves) else { return Ok(Outcome::LeftOut) };
    let (mut total, mut terms, mut forward, mut forward_terms) = (0.0, 0.0, 0.0, 0.0);
    for (x, u) in of.iter().zip(&directions) {
        let [g] = grad_or_zeros(&at, [x]);
        let sum = match value(&(&g * u).sum(..)) {
            Ok(sum) => sum,
            Err(e) if e.to_string().contains("has no derivative") => {
                let text = e.to_string();
                let name = text.split(": ").nth(1).and_then(|t| t.split(',').next()).unwrap_or(&text);
                return Ok(Outcome::Without(name.to_string()));
            }
            Err(e) => return Err(e.to_string()),
        };
        total += sum;
        terms += value(&(&g * u).abs().sum(..)).map_err(|e| e.to_string())?;
        if grad(&at, [x])[0].shape().is_ok() {
            let tangent = jvp(&y, [x], [u]) * &weights;
            forward += value(&tangent.sum(..)).map_err(|e| e.to_string())?;
            forward_terms += value(&tangent.abs().sum(..)).map_err(|e| e.to_string())?;
        }
    }
    let size = f64::max(terms, forward_terms);
    if !(total.is_finite() && forward.is_finite() && size.is_finite()) {
        return Ok(Outcome::LeftOut);
    }
    // if the terms cancel in exact arithmetic, only their rounding errors are left, which differ
    if (total - forward).abs() > 1e-12 * size && size > 1e-12 {
        return Err(format!("{total} by grad, {forward} by jvp; the terms sum to {terms} and {forward_terms}"));
    }
    // differences across many small jumps have a slope, but the derivative is 0
    let jumps = |op: &str| ["floor", "ceil", "trunc", "round", "floor_divide", "astype"].contains(&op);
    if p.nodes.iter().any(|s| jumps(&s.op)) {
        return Ok(Outcome::WithoutDifferences);
    }
    let moved = |t: f64| -> std::result::Result<f64, String> {
        let step = |((i, e), u): (&(usize, Expr), &Array)| Ok((*i, Expr::from((u * t + e).eval()?)));
        let leaves: Result<Vec<_>> = leaves.iter().zip(&directions).map(step).collect();
        let leaves = leaves.map_err(|e| e.to_string())?;
        loss(&leaves).map_or(Ok(0.0), |e| value(&e).map_err(|e| e.to_string()))
    };
    let mut differences = [0.0; 2];
    for (difference, h) in differences.iter_mut().zip([1e-5, 3e-5]) {
        let (near, far) = (moved(h)? - moved(-h)?, moved(2.0 * h)? - moved(-2.0 * h)?);
        *difference = (8.0 * near - far) / (12.0 * h);
    }
    let [a, b] = differences;
    let size = size.max(a.abs()).max(1.0);
    // the rounding error of a difference of large numbers
    let magnitude = value(&(&y * &weights).abs().sum(..)).map_err(|e| e.to_string())?;
    let rounding = magnitude * 1e-14 / 1e-5;
    if !(a.is_finite() && (a - b).abs() <= 1e-6 * size && rounding <= 1e-6 * size && size < 1e12) {
        return Ok(Outcome::WithoutDifferences);
    }
    if (total - a).abs() > 1e-5 * size {
        return Err(format!("{total} by grad, {a} and {b} by differences"));
    }
    Ok(Outcome::Compared)
}

/// Checks random programs of f64, integers and bools.
pub fn of_random_programs(d: &Device) {
    if !crate::kit::has(d, DType::F64) {
        return;
    }
    let mut stage = Stage::new(7, "derivatives of random expressions", d);
    let count =
        super::number("CUPRIC_RANDOM").map_or(crate::kit::scaled(if d.is_gpu() { 8 } else { 600 }), |n| n as usize);
    let seeds = crate::kit::seeds(40_000_000 + super::number("CUPRIC_FROM").unwrap_or(0), count, d.is_gpu());
    let seeds: Vec<u64> = super::number("CUPRIC_SEED").map_or_else(|| seeds.collect(), |seed| vec![seed]);
    let (mut compared, mut dual, mut without, mut failures) = (0, 0, vec![], vec![]);
    for seed in &seeds {
        let p = generate(*seed, &[DType::F64, DType::F64, DType::I32, DType::Bool], d, 24).trimmed();
        stage.count(1);
        match super::quiet(|| compare(&p, *seed, d)) {
            Ok(Outcome::Compared) => (compared, dual) = (compared + 1, dual + 1),
            Ok(Outcome::WithoutDifferences) => dual += 1,
            Ok(Outcome::LeftOut) => {}
            Ok(Outcome::Without(name)) => without.push(name),
            Err(why) => failures.push(format!("seed {seed}: {why}\n{}", p.code())),
        }
        if failures.len() >= 5 {
            break;
        }
    }
    without.sort();
    println!(
        "{} programs: {dual} compared with jvp, {compared} with differences; without a derivative: {without:?}",
        seeds.len()
    );
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // a quarter is compared on average; fewer than a twentieth of 60 happens once in 100,000 runs
    assert!(compared * 20 > seeds.len() || seeds.len() < 6, "only {compared} of {} were compared", seeds.len());
}
