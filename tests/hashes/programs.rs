//! The programs of `tests/data/programs.txt` as expressions. Their elements are made here, so that a change of the random
//! programs elsewhere changes no hash.

use super::program::{Given, Program, Spec, build};
use crate::support::{Dice, put};
use cupric::DType::{self, *};
use cupric::{Device, Expr};

/// Multiples of 1/8 below 4 and never 0, small integers; `wild` floats of all magnitudes, with special values.
fn elements(seed: u64, wild: bool, n: usize, t: DType) -> Vec<f64> {
    let mut d = Dice::new(seed);
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 0.0, 3e38, -3e38, 1e-40, 65504.0, 1e-7];
    let mut one = || match t {
        Bool => d.below(2) as f64,
        _ if t.is_float() && wild && d.one_in(4) => special[d.below(special.len())],
        _ if t.is_float() && wild => (d.unit() - 0.5) * 2f64.powi(d.between(-20, 20) as i32),
        _ if t.is_float() => d.between(1, 24) as f64 / if d.one_in(2) { 8.0 } else { -8.0 },
        _ => d.between(-9, 9) as f64,
    };
    (0..n).map(|_| one()).collect()
}

fn leaf(s: &Spec, d: &Device) -> Expr {
    let n = s.shape.iter().product();
    let v = elements(s.numbers[0] as u64, s.op == "wild", n, s.dtype);
    let array = match s.dtype {
        Bool => put(d, v.iter().map(|v| *v != 0.0).collect::<Vec<_>>(), &s.shape),
        I32 => put(d, v.iter().map(|v| *v as i32).collect::<Vec<_>>(), &s.shape),
        F32 => put(d, v.iter().map(|v| *v as f32).collect::<Vec<_>>(), &s.shape),
        F64 => put(d, v, &s.shape),
        t => panic!("no pinned program has {t}"),
    };
    (*array).clone()
}

/// Each program by its name: its results on a device.
pub fn all(d: &Device) -> Vec<(String, Vec<Expr>)> {
    let lines = include_str!("../data/programs.txt").lines().filter(|l| !l.starts_with('#'));
    let program = |line: &str| {
        let (name, text) = line.split_once(": ").unwrap_or_else(|| panic!("no name: {line}"));
        let p = Program::parse(text).unwrap_or_else(|| panic!("no program: {text}"));
        let mut all: Vec<Expr> = vec![];
        for s in &p.nodes {
            let e = if ["leaf", "wild"].contains(&s.op.as_str()) { leaf(s, d) } else { build(s, &all, d) };
            assert_eq!((e.shape().ok(), e.dtype().ok()), (Some(&s.shape[..]), Some(s.dtype)), "{name}: {s}");
            all.push(e);
        }
        assert!(p.nodes.iter().all(|s| s.op != "matmul" || exact(&p, s)), "{name}: an inexact product");
        (name.to_string(), p.roots.iter().map(|r| all[*r].clone()).collect())
    };
    lines.map(program).collect()
}

/// Whether a product's operands are leaves or views of leaves: sums of 64ths below 2^18 need no rounding.
fn exact(p: &Program, product: &Spec) -> bool {
    let views = ["permute", "flip", "slice", "index", "expand", "broadcast", "reshape", "windows", "diagonal"];
    product.args.iter().all(|a| {
        let mut at = a;
        loop {
            let Given::Node(n) = at else { return false };
            let s = &p.nodes[*n];
            if !views.contains(&s.op.as_str()) {
                return s.op == "leaf";
            }
            at = &s.args[0];
        }
    })
}
