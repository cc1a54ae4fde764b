//! Random formulas in which every operation rounds once, fused on a GPU, compared with the CPU's bits: sums,
//! differences, products, selections, conversions and integers; before and after reductions, in row kernels, after
//! matrix products. Operands include ∞, NaN, −0 and numbers so different that a sum loses one of them.
//!
//! `CUPRIC_RANDOM=5000` runs that many formulas of each kind, `CUPRIC_SEED=n` the one that a failure names.

#![cfg(feature = "gpu")]

use crate::kit::stage::Stage;
use crate::kit::{self, Dice, gpu, has, noise, put, scaled, seeds};
use cupric::DType::{self, *};
use cupric::testing::{Row, row};
use cupric::*;
use std::fmt::Write;

/// One step of a formula. Operands are given by the indices of earlier steps.
#[derive(Clone, Debug)]
enum Step {
    Input(usize),
    /// A matrix product of small whole numbers, which is exact in any order.
    Product,
    Call(&'static str, Vec<usize>),
    /// An operation with a literal, on the right or on the left.
    Number(&'static str, usize, f64, bool),
    Cast(usize, DType),
    /// A quotient whose operands are limited, so that the result is never subnormal.
    Quotient(usize, usize),
    /// A reduction along an axis, which is kept with length 1. Sums have two elements, so that only one order exists.
    Fold(&'static str, usize, isize),
}

/// The operands that all formulas on a device may use.
struct Given {
    inputs: Vec<Array>,
    factors: [Array; 2],
}

const ROWS: usize = 6;
const COLUMNS: usize = 22;
const INPUTS: usize = 3;
const NUMBERS: [f64; 12] = [0.0, 1.0, -1.0, 0.1, 3.0, 1e8, 1e-30, 1e30, 2.5, 0.5, -0.0, 7.0];

impl Given {
    fn new(device: &Device, dtype: DType, subnormals: bool) -> Given {
        let tiny = if subnormals { 1e-41 } else { 1e-30 };
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 0.0, 1e20, -1e20, tiny, 1e-20, f32::MAX, 1.0];
        let mut dice = Dice::new(77);
        let inputs = (0..INPUTS as u64)
            .map(|i| {
                let mut v = noise(i, ROWS * COLUMNS);
                for x in &mut v {
                    match dice.below(12) {
                        0 => *x = *dice.of(&special),
                        1 => *x *= 1e10,
                        2 => *x = (*x * 10.0).round(),
                        _ => *x *= 100.0,
                    }
                }
                put(&Device::cpu(), v, &[ROWS, COLUMNS]).astype(dtype).eval().unwrap().to_device(device).unwrap()
            })
            .collect();
        let whole = |n: usize, shape: [usize; 2]| {
            let v: Vec<f32> = (0..n).map(|i| (i * 7 % 9) as f32 - 4.5).collect();
            put(&Device::cpu(), v, &shape).astype(dtype).eval().unwrap().to_device(device).unwrap()
        };
        Given { inputs, factors: [whole(ROWS * 3, [ROWS, 3]), whole(3 * COLUMNS, [3, COLUMNS])] }
    }

    fn build(&self, steps: &[Step]) -> Expr {
        let mut made: Vec<Expr> = vec![];
        for step in steps {
            let e = match step {
                Step::Input(n) => (*self.inputs[*n]).clone(),
                Step::Product => self.factors[0].matmul(&self.factors[1]),
                Step::Call(name, args) => {
                    let args: Vec<Expr> = args.iter().map(|a| made[*a].clone()).collect();
                    row(name).unwrap().apply(&args)
                }
                Step::Number("add", a, v, false) => &made[*a] + *v,
                Step::Number("subtract", a, v, false) => &made[*a] - *v,
                Step::Number("subtract", a, v, true) => *v - &made[*a],
                Step::Number(_, a, v, _) => &made[*a] * *v,
                Step::Cast(a, t) => made[*a].astype(*t),
                Step::Quotient(a, b) => made[*a].clip(0.01, 3e4) / made[*b].clip(0.02, 2e4),
                Step::Fold("max", a, axis) => made[*a].max(keep(*axis)),
                Step::Fold("min", a, axis) => made[*a].min(keep(*axis)),
                Step::Fold(_, a, axis) => {
                    let two = if *axis == 0 { s![1..3, ..] } else { s![.., 1..3] };
                    made[*a].slice(two).sum(keep(*axis))
                }
            };
            made.push(e);
        }
        made.pop().unwrap()
    }
}

fn one_of(d: &mut Dice, names: &[&'static str]) -> &'static str {
    names[d.below(names.len())]
}

/// A random formula in `types[0]`, with conversions to the other types. `folds`: it contains a reduction or a product.
fn formula(seed: u64, types: &[DType], folds: bool) -> Vec<Step> {
    let mut d = Dice::new(seed);
    let mut steps: Vec<Step> = (0..INPUTS).map(Step::Input).collect();
    let mut kinds: Vec<DType> = vec![types[0]; INPUTS];
    // formulas with only sums, differences and products test simplification best
    let plain = d.below(4) > 0;
    let want = INPUTS + 4 + d.below(9);
    let fold_at = if folds { INPUTS + d.below(want - INPUTS) } else { usize::MAX };
    if folds && d.one_in(4) {
        steps.push(Step::Product);
        kinds.push(types[0]);
    }
    while steps.len() < want {
        let n = steps.len();
        let floats: Vec<usize> = (0..n).filter(|i| kinds[*i].is_float()).collect();
        let integers: Vec<usize> = (0..n).filter(|i| kinds[*i] == I32).collect();
        // often the latest step, so that formulas become deep
        let pick = |d: &mut Dice, of: &[usize]| if d.one_in(2) { of[of.len() - 1] } else { *d.of(of) };
        let a = pick(&mut d, &floats);
        // often an operand of the other operand, as in (x + y) − x
        let parts: Vec<usize> = match &steps[a] {
            Step::Call(_, args) => args.iter().copied().filter(|i| kinds[*i].is_float()).collect(),
            Step::Number(_, i, ..) | Step::Fold(_, i, _) => vec![*i],
            _ => vec![],
        };
        let b = match d.below(8) {
            0 => a,
            1..=3 if !parts.is_empty() => *d.of(&parts),
            _ => *d.of(&floats),
        };
        if n >= fold_at && !steps.iter().any(|s| matches!(s, Step::Fold(..))) {
            let name = *d.of(&["max", "min", "sum"]);
            steps.push(Step::Fold(name, a, d.below(2) as isize));
            kinds.push(kinds[a]);
            continue;
        }
        let wider = kinds[a].promote(kinds[b]).unwrap();
        let (step, kind) = match d.below(if plain { 16 } else { 24 }) {
            0..=2 => (Step::Call("add", vec![a, b]), wider),
            3..=6 => (Step::Call("subtract", vec![a, b]), wider),
            7..=8 => (Step::Call("multiply", vec![a, b]), wider),
            9..=14 => {
                let name = *d.of(&["add", "subtract", "multiply"]);
                // often the previous literal, as in (x + c) − c
                let before = match &steps[a] {
                    Step::Number(_, _, v, _) if d.one_in(3) => *v,
                    _ => *d.of(&NUMBERS),
                };
                (Step::Number(name, a, before, name == "subtract" && d.one_in(2)), kinds[a])
            }
            15 => (Step::Call(one_of(&mut d, &["negative", "abs", "square", "positive"]), vec![a]), kinds[a]),
            16 => (Step::Call(one_of(&mut d, &["floor", "ceil", "trunc", "round", "sign", "sqrt"]), vec![a]), kinds[a]),
            17 => (Step::Call(one_of(&mut d, &["minimum", "maximum", "fmin", "fmax"]), vec![a, b]), wider),
            18 => (Step::Quotient(a, b), wider),
            19 => {
                let t = *d.of(types);
                (Step::Cast(a, t), t)
            }
            20 => {
                let name = *d.of(&["less", "greater_equal", "equal", "not_equal"]);
                steps.push(Step::Call(name, vec![a, b]));
                kinds.push(Bool);
                let (x, y) = (*d.of(&floats), *d.of(&floats));
                (Step::Call("select", vec![n, x, y]), kinds[x].promote(kinds[y]).unwrap())
            }
            21 => (Step::Cast(a, I32), I32),
            22 if !integers.is_empty() => {
                let (i, j) = (*d.of(&integers), *d.of(&integers));
                (Step::Call(one_of(&mut d, &["add", "multiply", "bitwise_xor", "minimum"]), vec![i, j]), I32)
            }
            23 if !integers.is_empty() => (Step::Cast(*d.of(&integers), types[0]), types[0]),
            _ => continue,
        };
        steps.push(step);
        kinds.push(kind);
    }
    // the last step must be a float
    while !kinds[steps.len() - 1].is_float() {
        let last = steps.len() - 1;
        steps.push(Step::Cast(last, types[0]));
        kinds.push(types[0]);
    }
    steps
}

/// The bits of the elements, where all NaNs have the same bits.
fn bits(e: &Array) -> Vec<u64> {
    fn of<T: Element>(e: &Array) -> Vec<u64> {
        e.to_vec::<T>().unwrap().into_iter().map(kit::canonical).collect()
    }
    match e.dtype() {
        F16 => of::<f16>(e),
        F32 => of::<f32>(e),
        F64 => of::<f64>(e),
        t => panic!("a result of {t}"),
    }
}

/// Runs formulas, and returns the differences as text. If the two devices split a formula into different kernels, f16
/// may be rounded at different places, so such formulas with f16 are left out.
fn run(seeds: &[u64], types: &[DType], folds: bool, gpu: &Device, stage: &mut Stage) -> Vec<String> {
    let numerics = gpu.numerics().unwrap().expect("a GPU has them");
    assert!(numerics.rounding && numerics.negative_zero && numerics.infinity, "{numerics:?}");
    let [here, there] = [&Device::cpu(), gpu].map(|d| Given::new(d, types[0], numerics.subnormals));
    let mut wrong = vec![];
    let (mut left_out, total) = (0, seeds.len());
    for &seed in seeds {
        let steps = formula(seed, types, folds);
        let (a, b) = (here.build(&steps), there.build(&steps));
        let plans = [&a, &b].map(|e| e.plan().unwrap());
        let kernels = plans[1].kernels();
        if types.contains(&F16) && what_runs(&plans[0]) != what_runs(&plans[1]) {
            left_out += 1;
            continue;
        }
        stage.count(1);
        let (want, got) = (a.eval().unwrap(), b.eval().unwrap_or_else(|e| panic!("seed {seed}: {e}\n{steps:?}")));
        let (want, got) = (bits(&want), bits(&got));
        let Some(at) = want.iter().zip(&got).position(|(a, b)| a != b) else { continue };
        let mut text =
            format!("seed {seed}: element {at} is {:#x}, not {:#x}, in {kernels} kernels", got[at], want[at]);
        for (i, s) in steps.iter().enumerate() {
            let _ = write!(text, "\n    {i}: {s:?}");
        }
        wrong.push(text);
    }
    assert!(left_out * 3 < total, "{left_out} of {total} left out");
    wrong
}

/// A plan's text without schedules and modelled times, which differ between devices.
fn what_runs(plan: &Plan) -> String {
    let of_a_device = ["schedule:", "pass 1:", "indices first:", "modelled time:", "stored:", "f16:"];
    let text = plan.to_string();
    let lines = text.lines().filter(|l| !of_a_device.iter().any(|s| l.trim_start().starts_with(s)));
    lines.collect::<Vec<_>>().join("\n")
}

fn many(name: &'static str, base: u64, count: usize, types: &[DType], folds: bool) {
    let Some(device) = gpu(1) else { return };
    let mut stage = Stage::new(7, name, &device);
    if types.iter().any(|t| !has(&device, *t)) {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let count = number("CUPRIC_RANDOM").unwrap_or(scaled(count) as u64);
    let seeds: Vec<u64> = match number("CUPRIC_SEED") {
        Some(seed) if (base..base + 1_000_000).contains(&seed) => vec![seed],
        Some(_) => return,
        None => seeds(base, count as usize, true).collect(),
    };
    let mut wrong = run(&seeds, types, folds, &device, &mut stage);
    wrong.sort_by_key(String::len);
    println!("{count} formulas of {types:?}, {} differ", wrong.len());
    let shown = wrong.iter().take(6).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {count} formulas differ from the CPU's bits\n{shown}", wrong.len());
}

#[test]
fn formulas_of_f32() {
    many("the CPU's bits: f32", 0, 300, &[F32], false);
}

#[test]
fn formulas_of_f64() {
    many("the CPU's bits: f64", 1_000_000, 150, &[F64], false);
}

#[test]
fn formulas_of_mixed_floats() {
    many("the CPU's bits: mixed", 2_000_000, 150, &[F32, F64, F16], false);
}

#[test]
fn formulas_of_f16() {
    many("the CPU's bits: f16", 3_000_000, 100, &[F16, F32], false);
}

#[test]
fn formulas_around_reductions_of_f32() {
    many("the CPU's bits: reductions", 4_000_000, 200, &[F32], true);
}

#[test]
fn formulas_around_reductions_of_f64() {
    many("the CPU's bits: reductions", 5_000_000, 60, &[F64], true);
}

#[test]
fn formulas_around_reductions_of_f16() {
    many("the CPU's bits: reductions", 6_000_000, 40, &[F16], true);
}

/// The formulas use names that exist in the table of functions.
#[test]
fn functions_are_in_the_table() {
    for name in ["add", "select", "square", "positive", "fmax", "bitwise_xor", "greater_equal"] {
        assert_eq!(row(name).as_ref().map(Row::name), Some(name));
    }
}
