//! Programs: nodes as data, which are built as expressions, and written and read as text.

use super::moves::moved;
use crate::kit::operations::{self, Params};
use crate::kit::{Dice, put};
use cupric::DType::{self, *};
use cupric::*;
use std::fmt;

/// An operand: an earlier node, or a literal number.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Given {
    Node(usize),
    Number(f64),
}

/// One node: an operation on earlier nodes, and the shape and dtype of its result.
#[derive(Clone, PartialEq, Debug)]
pub struct Spec {
    pub op: String,
    pub args: Vec<Given>,
    pub numbers: Vec<i64>,
    pub shape: Vec<usize>,
    pub dtype: DType,
}

/// The nodes in order, and the numbers of those that are results.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    pub nodes: Vec<Spec>,
    pub roots: Vec<usize>,
}

/// Format: `add @0 #2.5 -> f32[2,3]`. An operation's own numbers follow its operands.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        for a in &self.args {
            match a {
                Given::Node(n) => write!(f, " @{n}")?,
                Given::Number(x) => write!(f, " #{x:?}")?,
            }
        }
        for n in &self.numbers {
            write!(f, " {n}")?;
        }
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, " -> {}[{}]", self.dtype, shape.join(","))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(Spec::to_string).collect();
        let roots: Vec<String> = self.roots.iter().map(usize::to_string).collect();
        write!(f, "{} => {}", nodes.join("; "), roots.join(" "))
    }
}

impl Spec {
    fn parse(text: &str) -> Option<Spec> {
        let (left, right) = text.split_once(" -> ")?;
        let (dtype, shape) = right.trim().trim_end_matches(']').split_once('[')?;
        let mut words = left.split_whitespace();
        let op = words.next()?.to_string();
        let mut s = Spec {
            op,
            args: vec![],
            numbers: vec![],
            shape: shape.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect::<Option<_>>()?,
            dtype: DType::ALL.into_iter().find(|d| d.name() == dtype)?,
        };
        for w in words {
            match w.split_at(1) {
                ("@", n) => s.args.push(Given::Node(n.parse().ok()?)),
                ("#", n) => s.args.push(Given::Number(n.parse().ok()?)),
                _ => s.numbers.push(w.parse().ok()?),
            }
        }
        Some(s)
    }

    /// The numbers of the nodes that it reads.
    pub fn operands(&self) -> impl Iterator<Item = usize> {
        self.args.iter().filter_map(|a| if let Given::Node(n) = a { Some(*n) } else { None })
    }

    /// The node as a line of Rust code, in which the arrays are `e0`, `e1`, ….
    fn code(&self, number: usize) -> String {
        let mut args: Vec<String> = self
            .args
            .iter()
            .map(|a| match a {
                Given::Node(n) => format!("&e{n}"),
                Given::Number(x) if self.dtype.is_float() => format!("{x:?}"),
                Given::Number(x) => format!("{}", *x as i64),
            })
            .collect();
        match self.op.as_str() {
            "leaf" | "wild" | "uniform" | "normal" | "integers" | "bernoulli" | "reshape" | "broadcast" => {
                args.push(format!("{:?}", self.shape))
            }
            "astype" => args.push(format!("DType::{:?}", self.dtype)),
            _ => {}
        }
        args.extend(self.numbers.iter().map(i64::to_string));
        format!("let e{number} = {}({}); // {} {:?}", self.op, args.join(", "), self.dtype, self.shape)
    }
}

impl Program {
    pub fn parse(text: &str) -> Option<Program> {
        let (nodes, roots) = text.split_once(" => ")?;
        Some(Program {
            nodes: nodes.split("; ").map(Spec::parse).collect::<Option<_>>()?,
            roots: roots.split_whitespace().map(|r| r.parse().ok()).collect::<Option<_>>()?,
        })
    }

    /// The program without nodes that its results do not need.
    pub fn trimmed(&self) -> Program {
        let mut needed = vec![false; self.nodes.len()];
        self.roots.iter().for_each(|r| needed[*r] = true);
        for i in (0..self.nodes.len()).rev().filter(|i| *i < self.nodes.len()) {
            if needed[i] {
                self.nodes[i].operands().for_each(|o| needed[o] = true);
            }
        }
        let mut number = vec![0; self.nodes.len()];
        let mut out = Program { nodes: vec![], roots: vec![] };
        for (i, s) in self.nodes.iter().enumerate().filter(|(i, _)| needed[*i]) {
            number[i] = out.nodes.len();
            let mut s = s.clone();
            for a in &mut s.args {
                if let Given::Node(n) = a {
                    *n = number[*n];
                }
            }
            out.nodes.push(s);
        }
        out.roots = self.roots.iter().map(|r| number[*r]).collect();
        out
    }

    /// The program as Rust code, for messages.
    pub fn code(&self) -> String {
        let lines: Vec<String> = self.nodes.iter().enumerate().map(|(i, s)| format!("    {}", s.code(i))).collect();
        let roots: Vec<String> = self.roots.iter().map(|r| format!("&e{r}")).collect();
        format!("{}\n    eval_all([{}])?;", lines.join("\n"), roots.join(", "))
    }
}

/// The elements of a leaf: small numbers, so that many results are exact, or wild ones with special values.
fn elements(seed: i64, wild: bool, n: usize, t: DType) -> Vec<f64> {
    let mut d = Dice::new(seed as u64);
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 0.0, 3e38, -3e38, 1e-40, 65504.0, 1e-7];
    (0..n)
        .map(|_| match t {
            Bool => d.below(2) as f64,
            _ if t.is_float() && wild && d.one_in(4) => special[d.below(special.len())],
            _ if t.is_float() && wild => (d.unit() - 0.5) * 2f64.powi(d.between(-20, 20) as i32),
            _ if t.is_float() => d.between(-24, 24) as f64 / 8.0,
            _ if t.is_unsigned_integer() => d.between(0, 9) as f64,
            _ => d.between(-9, 9) as f64,
        })
        .collect()
}

/// Random integers: mostly small, sometimes any bits.
fn integers(seed: i64, n: usize, signed: bool) -> Vec<i64> {
    let mut d = Dice::new(seed as u64);
    let low = if signed { -9 } else { 0 };
    (0..n).map(|_| if d.one_in(9) { d.next() as i64 } else { d.between(low, 9) }).collect()
}

fn leaf(spec: &Spec, d: &Device) -> Expr {
    let (seed, shape, t) = (spec.numbers[0], &spec.shape[..], spec.dtype);
    let n = shape.iter().product();
    let floats = || elements(seed, spec.op == "wild", n, t);
    macro_rules! stored { ($($d:ident $t:ty),*) => { match t {
        $( $d => put(d, integers(seed, n, t.is_signed_integer()).iter().map(|v| *v as $t).collect::<Vec<_>>(), shape), )*
        Bool => put(d, floats().iter().map(|v| *v != 0.0).collect::<Vec<_>>(), shape),
        F16 => put(d, floats().iter().map(|v| f16::from_f64(*v)).collect::<Vec<_>>(), shape),
        BF16 => put(d, floats().iter().map(|v| bf16::from_f64(*v)).collect::<Vec<_>>(), shape),
        F32 => put(d, floats().iter().map(|v| *v as f32).collect::<Vec<_>>(), shape),
        F64 => put(d, floats(), shape),
        other => panic!("{other} is not known here"),
    } } }
    (*stored!(U8 u8, I8 i8, U16 u16, I16 i16, U32 u32, I32 i32, U64 u64, I64 i64)).clone()
}

/// Converts an operation's list of positions to indices.
pub fn positions(numbers: &[i64]) -> Vec<i32> {
    numbers.iter().map(|n| *n as i32).collect()
}

/// Builds the node as a library expression.
pub fn build(spec: &Spec, e: &[Expr], d: &Device) -> Expr {
    let x = || match spec.args[0] {
        Given::Node(n) => &e[n],
        Given::Number(_) => panic!("{spec}: the first operand is a number"),
    };
    let y = || match spec.args[1] {
        Given::Node(n) => &e[n],
        Given::Number(_) => panic!("{spec}: the second operand is a number"),
    };
    let k = |i: usize| spec.numbers[i] as isize;
    let shape = &spec.shape[..];
    // a generator has no device, so we combine it with an operand on the device
    let here = |g: Expr| match spec.dtype {
        Bool => g.logical_or(put(d, vec![false], &[])),
        U32 => g + put(d, vec![0u32], &[]),
        I32 => g + put(d, vec![0i32], &[]),
        _ => g * put(d, vec![1f32], &[]),
    };
    let rng = || Rng::new(spec.numbers[0] as u64);
    match spec.op.as_str() {
        "leaf" | "wild" => leaf(spec, d),
        "uniform" => here(rng().uniform(shape, DType::F32)),
        "normal" => here(rng().normal(shape, DType::F32)),
        "integers" => here(rng().integers(-7, 12, shape, DType::I32)),
        "bernoulli" => here(rng().bernoulli(0.4, shape, DType::Bool)),
        "iota" => {
            let axis = spec.numbers[0] as usize;
            let mut along = vec![1; shape.len()];
            along[axis] = shape[axis];
            here(arange(0, shape[axis] as i32, 1, DType::I32)).reshape(along).broadcast_to(shape)
        }
        "astype" => x().astype(spec.dtype),
        "permute" => x().permute_dims(spec.numbers.iter().map(|n| *n as isize).collect::<Vec<_>>()),
        "flip" => x().flip(k(0) as i32),
        "slice" => {
            let (axis, first, len, step) = (k(0), k(1), k(2), k(3));
            let end = first + step * len;
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; axis as usize];
            items.push(SliceItem::Range { start: Some(first), end: (end >= 0).then_some(end), step });
            items.push(SliceItem::Ellipsis);
            x().slice(items)
        }
        "index" => {
            let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; k(0) as usize];
            items.push(SliceItem::Index(k(1)));
            x().slice(items)
        }
        "expand" => x().expand_dims(k(0)),
        "broadcast" => x().broadcast_to(shape),
        "reshape" => x().reshape(shape),
        "windows" => x().sliding_windows(k(1) as usize, k(0)),
        "diagonal" => x().diagonal(k(0)),
        "roll" | "repeat" | "tile" | "pad" | "tril" | "triu" | "sort" | "argsort" | "segment_sum" => {
            moved(spec, x(), d)
        }
        "take_along_axis_clip" => x().take_along_axis(Clip(y()), k(0)),
        "take" if spec.args.len() == 1 => {
            x().take(put(d, positions(&spec.numbers[1..]), &[spec.numbers.len() - 1]), k(0))
        }
        "index_add" | "index_min" | "index_max" => {
            let Some(operation) = operations::find(&spec.op) else { panic!("no operation {}", spec.op) };
            let at = put(d, positions(&spec.numbers[1..]), &[spec.numbers.len() - 1]);
            (operation.build)(&[x().clone(), at.into(), y().clone()], &Params::axis(k(0)))
        }
        "matmul" | "take_clip" | "take_wrap" | "concat" | "stack" => {
            let Some(operation) = operations::find(&spec.op) else { panic!("no operation {}", spec.op) };
            let axis = spec.numbers.first().map_or(0, |n| *n as isize);
            (operation.build)(&[x().clone(), y().clone()], &Params::axis(axis))
        }
        op => match testing::row(op) {
            Some(_) => of_row(spec, e),
            None => of_axes(spec, x()),
        },
    }
}

/// Builds an elementwise function. A literal operand has no dtype of its own.
fn of_row(spec: &Spec, e: &[Expr]) -> Expr {
    let Some(row) = testing::row(&spec.op) else { panic!("{spec}") };
    let floats = spec.operands().any(|n| e[n].dtype().is_ok_and(|t| t.is_float()));
    let operands: Vec<Expr> = spec
        .args
        .iter()
        .map(|a| match a {
            Given::Node(n) => e[*n].clone(),
            // multiplying a literal by 1 makes an expression that still has no dtype of its own
            Given::Number(x) if floats => multiply(*x, 1.0),
            Given::Number(x) => multiply(*x as i64, 1i64),
        })
        .collect();
    row.apply(&operands)
}

/// Builds a reduction or function of rows. `numbers` has whether axes are kept, then the axes.
fn of_axes(spec: &Spec, x: &Expr) -> Expr {
    let axes: Vec<isize> = spec.numbers[1..].iter().map(|n| *n as isize).collect();
    let axes = if axes.len() == x.ndim().unwrap_or(0) { (..).into_axes() } else { axes.into_axes() };
    let axes = if spec.numbers[0] == 1 { keep(axes) } else { axes };
    let Some(operation) = operations::find(&spec.op) else { panic!("no operation {}", spec.op) };
    (operation.build)(std::slice::from_ref(x), &Params::along(axes).epsilon(0.125))
}

#[test]
fn programs_are_written_as_they_are_read() {
    let text = "leaf 7 -> f32[2,3]; add @0 #2.5 -> f32[2,3]; sum @1 1 0 -> f32[1,3]; leaf 3 -> bool[] => 2 1";
    let program = Program::parse(text).expect("a program");
    assert_eq!(program.to_string(), text);
    assert!(program.nodes[3].shape.is_empty());
    assert_eq!(program.trimmed().nodes.len(), 3);
    assert!(program.code().contains("let e1 = add(&e0, 2.5);"), "{}", program.code());
}
