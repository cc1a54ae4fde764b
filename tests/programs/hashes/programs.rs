//! The programs of `tests/data/programs.txt` as expressions. Their elements are made here, so that changes of the
//! random programs elsewhere change no hash.

use crate::kit::{Dice, put};
use crate::random_expressions::program::{Given, Program, Spec, build};
use cupric::DType::{self, *};
use cupric::{Device, Expr};

/// Multiples of 1/8 below 4 but not 0, small integers; with `wild`, floats of all magnitudes and special values.
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

/// A pinned program and its name.
pub struct Pinned {
    pub name: String,
    pub program: Program,
}

/// Parses the programs of a file, in order.
pub fn parse(text: &str) -> Vec<Pinned> {
    let one = |line: &str| {
        let (name, text) = line.split_once(": ").unwrap_or_else(|| panic!("no name: {line}"));
        let program = Program::parse(text).unwrap_or_else(|| panic!("no program: {text}"));
        let inexact = program.nodes.iter().any(|s| s.op == "matmul" && !exact(&program, s));
        assert!(!inexact, "{name}: an inexact product");
        Pinned { name: name.to_string(), program }
    };
    text.lines().filter(|l| !l.starts_with('#')).map(one).collect()
}

/// All pinned programs.
pub fn pinned() -> Vec<Pinned> {
    parse(include_str!("../../data/programs.txt"))
}

/// The name of each program, and its results on a device.
pub fn all(d: &Device) -> Vec<(String, Vec<Expr>)> {
    pinned().iter().map(|p| (p.name.clone(), p.results(d))).collect()
}

const VIEWS: [&str; 9] = ["permute", "flip", "slice", "index", "expand", "broadcast", "reshape", "windows", "diagonal"];

fn computes(s: &Spec) -> bool {
    !VIEWS.contains(&s.op.as_str()) && !["leaf", "wild"].contains(&s.op.as_str())
}

impl Pinned {
    pub fn results(&self, d: &Device) -> Vec<Expr> {
        let mut all: Vec<Expr> = vec![];
        for s in &self.program.nodes {
            let e = if ["leaf", "wild"].contains(&s.op.as_str()) { leaf(s, d) } else { build(s, &all, d) };
            let name = &self.name;
            assert_eq!((e.shape().ok(), e.dtype().ok()), (Some(&s.shape[..]), Some(s.dtype)), "{name}: {s}");
            all.push(e);
        }
        self.program.roots.iter().map(|r| all[*r].clone()).collect()
    }

    /// Why a changed result might not change the hash: too few operations, or too few distinct finite numbers.
    pub fn weakness(&self) -> Option<String> {
        let (nodes, roots) = (&self.program.nodes, &self.program.roots);
        let product = self.name.starts_with("product");
        let steps = self.program.trimmed().nodes.iter().filter(|s| computes(s)).count();
        if steps < if product { 2 } else { 4 } {
            return Some(format!("{steps} steps"));
        }
        if product && !self.reads_an_operand_again() {
            return Some("an epilogue that reads no operand".to_string());
        }
        let mut numbers: Vec<f64> = vec![];
        for (r, e) in roots.iter().zip(self.results(&Device::cpu())) {
            // a product of leaves alone does not show a change of the other operations
            if computes(&nodes[*r]) && nodes[*r].dtype.is_float() {
                numbers.extend(e.astype(F64).to_vec::<f64>().unwrap_or_else(|e| panic!("{}: {e}", self.name)));
            }
        }
        let mut finite: Vec<f64> = numbers.iter().copied().filter(|x| x.is_finite()).collect();
        let (all, share) = (numbers.len(), finite.len() * 100 / numbers.len().max(1));
        finite.sort_by(f64::total_cmp);
        finite.dedup();
        let weak = all < 48 || share < 60 || finite.len() < 24;
        weak.then(|| format!("{all} elements, {share} % finite, {} different", finite.len()))
    }

    /// Whether a leaf that the product reads is also an operand of later operations.
    fn reads_an_operand_again(&self) -> bool {
        let nodes = &self.program.nodes;
        let below = |from: Vec<usize>, stop: &str| {
            let (mut seen, mut open) = (vec![false; nodes.len()], from);
            while let Some(n) = open.pop() {
                if !std::mem::replace(&mut seen[n], true) && nodes[n].op != stop {
                    open.extend(nodes[n].operands());
                }
            }
            seen
        };
        let Some(at) = nodes.iter().position(|s| s.op == "matmul") else { return false };
        let roots = self.program.roots.iter().copied().filter(|r| computes(&nodes[*r])).collect();
        let (used, again) = (below(nodes[at].operands().collect(), ""), below(roots, "matmul"));
        let epilogue = (at + 1..nodes.len()).any(|n| computes(&nodes[n]) && below(vec![n], "")[at] && again[n]);
        epilogue && (0..at).any(|n| used[n] && again[n] && !computes(&nodes[n]))
    }
}

/// Whether a product's operands are leaves or views of leaves: sums of 64ths below 2^18 are then exact.
fn exact(p: &Program, product: &Spec) -> bool {
    product.args.iter().all(|a| {
        let mut at = a;
        loop {
            let Given::Node(n) = at else { return false };
            let s = &p.nodes[*n];
            if !VIEWS.contains(&s.op.as_str()) {
                return s.op == "leaf";
            }
            at = &s.args[0];
        }
    })
}
