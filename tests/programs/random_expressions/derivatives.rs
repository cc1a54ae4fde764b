//! Derivatives of random programs, compared with `jvp`, and with differences in a random direction. A part of each
//! program is inside checkpoints, and the whole inside a compiled function, which must not change a bit. Half of the
//! programs also read the result of a routine, such as a sort or a factorisation.
//!
//! First we add small noise to the leaves, so that no two elements are equal and none is at a kink. If a program's
//! differences at two distances disagree, there is a kink or jump nearby, and only `grad` and `jvp` are compared.

use super::generate::generate;
use super::program::{Program, build};
use crate::kit::stage::Stage;
use crate::kit::{Dice, read};
use cupric::*;

/// What surrounds the nodes of a program, besides the functions that they name.
#[derive(Clone, Debug, Default)]
struct Around {
    /// A routine, as its index in [`ROUTINES`], and a node: the routine's result for this node is added to the
    /// program's result.
    routine: Option<(usize, usize)>,
    /// The nodes with which checkpoints begin. Each contains the rest of the program, so that they are nested.
    checkpoints: Vec<usize>,
    /// A node whose derivative is replaced by an equal one.
    ruled: Option<usize>,
}

impl Around {
    fn random(dice: &mut Dice, p: &Program) -> Around {
        let n = p.nodes.len();
        let floats: Vec<usize> = (0..n).filter(|i| p.nodes[*i].dtype == DType::F64).collect();
        let mut checkpoints: Vec<usize> = (0..1 + dice.below(3)).map(|_| dice.below(n + 1)).collect();
        checkpoints.sort_unstable();
        let mut one =
            |share: usize| dice.one_in(share).then(|| floats.get(dice.below(floats.len())).copied()).flatten();
        let (node, ruled) = (one(2), one(3));
        Around { routine: node.map(|node| (dice.below(ROUTINES.len()), node)), checkpoints, ruled }
    }

    /// The same program without checkpoints and rules.
    fn plain(&self) -> Around {
        Around { checkpoints: vec![], ruled: None, ..self.clone() }
    }
}

/// A smooth matrix of 4 × 4 elements of a vector, with separate eigenvalues and singular values.
fn matrix(x: &Expr) -> Expr {
    let v = x.slice(s![..4]);
    (v.expand_dims(1) * v.cos().expand_dims(0)) * 0.3 + (arange(1, 5, 1, DType::F64) * 2.0).diag(0)
}

/// Functions that are not loop nests, of a vector of eight different numbers between −1 and 1.
const ROUTINES: [fn(&Expr) -> Expr; 18] = [
    |x| fft::rfft(x, -1).abs(),
    |x| fft::irfft(Complex::new(x.slice(s![..4]), x.slice(s![4..])), -1).square(),
    |x| x.sort(0) * x.square().take_along_axis(x.argsort(0), 0),
    |x| x.topk(3, 0, true).0.square(),
    |x| x.median(0),
    |x| x.quantile(0.3, 0, QuantileMethod::Linear).square(),
    |x| select(x.greater(0.0), f64::NAN, x).nanquantile(0.4, 0, QuantileMethod::Linear),
    |x| linalg::expm(matrix(x) * 0.3),
    |x| linalg::inv(matrix(x)),
    |x| linalg::det(matrix(x)),
    |x| linalg::solve(matrix(x), x.slice(s![4..])),
    |x| linalg::solve_triangular(matrix(x), x.slice(s![4..]), linalg::Triangle::Upper),
    |x| linalg::cholesky(matrix(x).matmul(matrix(x).t()), linalg::Triangle::Lower),
    |x| {
        let (_, l, u) = linalg::lu(matrix(x));
        l.matmul(u.tanh())
    },
    |x| {
        let (q, r) = linalg::qr(matrix(x), linalg::Mode::Reduced);
        q.square() + r
    },
    |x| {
        let (w, v) = linalg::eigh(matrix(x) + matrix(x).t());
        (&v * w.tanh().expand_dims(-2)).matmul(v.t())
    },
    |x| {
        let (u, s, v) = linalg::svd(matrix(x), linalg::Mode::Reduced);
        (u * s.tanh().expand_dims(-2)).matmul(v)
    },
    |x| matrix(x).matrix_norm(.., MatrixNorm::Two),
];

/// The sum of a routine's results for elements of an expression.
fn of_routine(number: usize, x: &Expr) -> Expr {
    let flat = (x * 0.7).tanh().reshape([-1]);
    let others = arange(1, 9, 1, DType::F64).sin() * 0.9;
    ROUTINES[number](&concat([flat, others], 0).slice(s![..8])).sum(..)
}

/// The result of a program with these leaves: its first root of f64. None if there is none.
fn result(p: &Program, leaves: &[(usize, Expr)], around: &Around, d: &Device) -> Option<Expr> {
    let root = p.roots.iter().copied().find(|r| p.nodes[*r].dtype == DType::F64)?;
    Some(rest(p, root, leaves, &mut vec![], around, 0, d))
}

/// Builds the nodes after `e`, and returns the result. `depth` checkpoints have begun.
fn rest(
    p: &Program,
    root: usize,
    leaves: &[(usize, Expr)],
    e: &mut Vec<Expr>,
    around: &Around,
    depth: usize,
    d: &Device,
) -> Expr {
    for i in e.len()..=p.nodes.len() {
        if around.checkpoints.get(depth) == Some(&i) {
            return checkpoint(|| rest(p, root, leaves, e, around, depth + 1, d));
        }
        let Some(spec) = p.nodes.get(i) else { break };
        let leaf = leaves.iter().find(|(number, _)| *number == i);
        let node = leaf.map_or_else(|| build(spec, e, d), |(_, leaf)| leaf.clone());
        e.push(match around.ruled == Some(i) {
            true => with_vjp(&node, [&node], |g| [g.positive()]),
            false => node,
        });
    }
    match around.routine {
        Some((number, node)) => &e[root] + of_routine(number, &e[node]) * 0.125,
        None => e[root].clone(),
    }
}

fn noise(dice: &mut Dice, shape: &[usize], d: &Device) -> Array {
    let numbers: Vec<f64> = (0..shape.iter().product()).map(|_| dice.within(-1.0, 1.0)).collect();
    Array::from_vec(numbers, shape).unwrap().to_device(d).unwrap()
}

fn value(e: &Expr) -> Result<f64> {
    e.to_device(&Device::cpu())?.astype(DType::F64).item::<f64>()
}

/// Whether two results are equal but for rounding. A derivative inside a checkpoint may be rounded in other places.
fn close(a: &[u64], b: &[u64]) -> bool {
    let largest = a.iter().map(|x| f64::from_bits(*x).abs()).filter(|x| x.is_finite()).fold(0.0, f64::max);
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from_bits(*a), f64::from_bits(*b)));
    a.len() == b.len()
        && (a == b || pairs().all(|(x, y)| (x - y).abs() <= 1e-9 * largest || x == y || x.is_nan() && y.is_nan()))
}

/// Compares the value, the gradients and the `jvp` inside checkpoints and a compiled function with the plain ones. The
/// value must have the same bits.
fn repeated(
    p: &Program,
    leaves: &[(usize, Expr)],
    around: &Around,
    directions: &[Array],
    d: &Device,
) -> Option<String> {
    let numbers: Vec<usize> = leaves.iter().map(|(number, _)| *number).collect();
    let all = |leaves: Vec<Expr>, around: &Around| -> Vec<Expr> {
        let leaves: Vec<(usize, Expr)> = numbers.iter().copied().zip(leaves).collect();
        let Some(y) = result(p, &leaves, around, d) else { return vec![] };
        let (mut list, loss) = (vec![y.clone()], (&y * &y).sum(..));
        for ((_, x), u) in leaves.iter().zip(directions) {
            list.extend(grad_or_zeros(&loss, [x]));
            if grad(&y.sum(..), [x])[0].shape().is_ok() {
                list.push(jvp(&y, [x], [u]));
            }
        }
        list
    };
    let of: Vec<Expr> = leaves.iter().map(|(_, e)| e.clone()).collect();
    let bits = |list: Result<Vec<Array>>| -> Result<Vec<Vec<u64>>> {
        let canonical = |b: u64| if f64::from_bits(b).is_nan() { u64::MAX } else { b };
        list?.iter().map(|a| Ok(read(a)?.into_iter().map(canonical).collect())).collect()
    };
    let plain = bits(eval_many(&all(of.clone(), &around.plain())));
    let compiled = Compiled::new(|x: Vec<Expr>| all(x, around));
    let found = [("checkpoints", bits(eval_many(&all(of.clone(), around)))), ("compiled", bits(compiled.call(&of)))];
    for (how, found) in found {
        let why = match (&plain, found) {
            (Err(a), Err(b)) if a.kind() == b.kind() => continue,
            (Ok(a), Ok(b))
                if a.len() == b.len() && a.first() == b.first() && a.iter().zip(&b).all(|(a, b)| close(a, b)) =>
            {
                continue;
            }
            (Ok(a), Ok(b)) => {
                let at = a.iter().zip(&b).position(|(a, b)| a != b);
                let reals =
                    |list: &[Vec<u64>]| at.map(|i| list[i].iter().map(|b| f64::from_bits(*b)).collect::<Vec<_>>());
                format!("result {at:?}: {:?}, not {:?}", reals(&b), reals(a))
            }
            (a, b) => format!("{:?} without, {:?} with", a.as_ref().err(), b.err()),
        };
        return Some(format!("{how}, {around:?}: {why}"));
    }
    None
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
    let around = Around::random(dice, p);
    let plain = around.plain();
    let Some(y) = result(p, &leaves, &plain, d) else { return Ok(Outcome::LeftOut) };
    let shape = y.shape().map_err(|e| e.to_string())?.to_vec();
    if shape.contains(&0) {
        return Ok(Outcome::LeftOut);
    }
    let weights = noise(dice, &shape, d);
    let of: Vec<Expr> = leaves.iter().map(|(_, e)| e.clone()).collect();
    let directions: Vec<Array> = of.iter().map(|e| noise(dice, e.shape().unwrap(), d)).collect();
    // a derivative's graph does not depend on the device
    if !d.is_gpu()
        && let Some(why) = repeated(p, &leaves, &around, &directions, d)
    {
        return Err(why);
    }
    let loss = |leaves: &[(usize, Expr)]| result(p, leaves, &plain, d).map(|y| (y * &weights).sum(..));
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
    // if the terms cancel in exact arithmetic, or directions of size 1 do inside `jvp`, only rounding errors are left, which
    // differ
    let of_directions =
        directions.iter().map(|u| value(&Expr::from(u).abs().sum(..))).sum::<std::result::Result<f64, _>>();
    let of_directions = of_directions.map_err(|e| e.to_string())?;
    if (total - forward).abs() > 1e-12 * size + 1e-15 * of_directions && size > 1e-12 {
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
