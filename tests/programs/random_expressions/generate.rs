//! Makes random programs that test something: shapes and types fit, and rounding errors do not decide elements.

use super::program::{Given, Program, Spec, build};
use crate::kit::Dice;
use crate::kit::operations::{self, Operation};
use cupric::DType::{self, *};
use cupric::testing::{self, ElementList, Interpreter, Row};
use cupric::{Device, Expr};
use std::sync::LazyLock;

/// The functions of the table except the common ones, which every second node uses anyway.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(testing::rows);

const COMPARE: [&str; 6] = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"];

/// Makes the program of a seed. Node `0` is a leaf; one program in twelve starts with more leaves than a kernel takes.
pub fn generate(seed: u64, types: &[DType], device: &Device, most: usize) -> Program {
    let mut d = Dice::new(seed);
    // a few are larger than a tile, than a row kernel's row, or than a workgroup
    let large: [&[usize]; 6] = [&[4097], &[70, 129], &[3, 5000], &[1030, 17], &[20_011], &[2, 3, 1500]];
    let (shape, limit) = if d.one_in(60) { (large[d.below(6)].to_vec(), 40_000) } else { (random_shape(&mut d), 3000) };
    let mut made = Made::new(device, device.is_gpu(), limit);
    let first = made.leaf(&mut d, shape.clone(), types);
    made.accept(first);
    if d.one_in(12) {
        let (dtype, count) = (*d.of(types), 9 + d.below(6));
        let leaves = made.nodes.len();
        for _ in 0..count {
            let op = "leaf".into();
            made.accept(Spec { op, args: vec![], numbers: vec![d.between(0, 1 << 40)], shape: shape.clone(), dtype });
        }
        // a sum of all these leaves
        let op = if dtype == Bool { "bitwise_xor" } else { "add" };
        let mut sum = leaves;
        for leaf in leaves + 1..leaves + count {
            let args = vec![Given::Node(sum), Given::Node(leaf)];
            made.accept(Spec { op: op.into(), args, numbers: vec![], shape: shape.clone(), dtype });
            sum = made.nodes.len() - 1;
        }
    }
    let want = made.nodes.len() + d.below(most);
    for _ in 0..want * 4 {
        if made.nodes.len() >= want {
            break;
        }
        if let Some(spec) = made.propose(&mut d, types) {
            made.accept(spec);
        }
    }
    let mut roots = vec![made.nodes.len() - 1];
    for _ in 0..d.below(3) {
        roots.push(d.below(made.nodes.len()));
    }
    Program { nodes: made.nodes, roots }
}

/// A program under construction.
pub struct Made {
    pub nodes: Vec<Spec>,
    exprs: Vec<Expr>,
    meaning: Interpreter,
    gpu: bool,
    /// The largest number of elements of a node.
    limit: usize,
}

fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let n = a.len().max(b.len());
    let at = |s: &[usize], d: usize| if d + s.len() >= n { s[d + s.len() - n] } else { 1 };
    (0..n)
        .map(|d| match (at(a, d), at(b, d)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

impl Made {
    /// An empty program. `meaning` is the device whose error bounds decide which nodes are useful.
    pub fn new(meaning: &Device, gpu: bool, limit: usize) -> Made {
        Made { nodes: vec![], exprs: vec![], meaning: Interpreter::new(meaning), gpu, limit }
    }

    /// Adds a node, unless it is useless: an element that rounding errors decide tests nothing.
    pub fn accept(&mut self, spec: Spec) {
        if spec.shape.iter().product::<usize>() > self.limit || spec.shape.len() > 6 {
            return;
        }
        let e = build(&spec, &self.exprs, &Device::cpu());
        let Ok(value) = self.meaning.interpret(&e) else { return };
        let clear = match &value.elements {
            ElementList::Integers(v) => v.iter().all(Option::is_some),
            ElementList::Floats(v) => {
                v.iter().all(|x| x.error == 0.0 || x.error <= 0.05 * (1.0 + x.value.abs()) && x.value.is_finite())
            }
        };
        if clear {
            self.nodes.push(spec);
            self.exprs.push(e);
        }
    }

    pub fn leaf(&self, d: &mut Dice, shape: Vec<usize>, types: &[DType]) -> Spec {
        let op = match d.below(30) {
            0 => "wild",
            1 => "uniform",
            2 => "normal",
            3 => "integers",
            4 => "bernoulli",
            _ => "leaf",
        };
        let dtype = match op {
            "uniform" | "normal" => F32,
            "integers" => I32,
            "bernoulli" => Bool,
            _ => *d.of(types),
        };
        let op = if types.contains(&dtype) { op } else { "leaf" };
        let dtype = if types.contains(&dtype) { dtype } else { types[0] };
        Spec { op: op.into(), args: vec![], numbers: vec![d.between(0, 1 << 40)], shape, dtype }
    }

    /// Makes a new node from existing ones; `None` if the random choices do not fit together.
    fn propose(&self, d: &mut Dice, types: &[DType]) -> Option<Spec> {
        let n = self.nodes.len();
        let pick = |d: &mut Dice| if d.one_in(3) { d.below(n) } else { n - 1 - d.below(n.min(3)) };
        let a = pick(d);
        let (s, t) = (self.nodes[a].shape.clone(), self.nodes[a].dtype);
        let nd = s.len();
        let node = |op: &str, args: &[usize], numbers: Vec<i64>, shape: Vec<usize>, dtype: DType| {
            let args = args.iter().map(|a| Given::Node(*a)).collect();
            Some(Spec { op: op.into(), args, numbers, shape, dtype })
        };
        match d.below(33) {
            0 => {
                let shape = if d.one_in(3) { random_shape(d) } else { s };
                Some(self.leaf(d, shape, types))
            }
            1 => {
                let axis = if nd > 0 { d.below(nd) } else { return None };
                node("iota", &[], vec![axis as i64], s, I32)
            }
            2..=4 => {
                let op = if t.is_float() {
                    let all = ["negative", "abs", "relu", "square", "exp", "tanh", "sqrt", "sigmoid", "floor", "round"];
                    *d.of(&all)
                } else {
                    *d.of(&["negative", "abs", "square", "sign", "bitwise_invert", "logical_not", "relu", "tanh"])
                };
                self.row(testing::row(op)?, &[a])
            }
            5..=9 => {
                let b = pick(d);
                self.binary(d, a, b)
            }
            10 | 11 => {
                // any function of the table
                let row = *d.of(&ROWS);
                let args: Vec<usize> = (0..row.arity()).map(|i| if i == 0 { a } else { pick(d) }).collect();
                self.row(row, &args)
            }
            12 | 13 => self.with_number(d, a),
            14 => {
                let (b, c) = (pick(d), pick(d));
                let shape = broadcast(&broadcast(&s, &self.nodes[b].shape)?, &self.nodes[c].shape)?;
                if self.nodes[c].dtype != Bool {
                    return None;
                }
                node("select", &[c, a, b], vec![], shape, t.promote(self.nodes[b].dtype)?)
            }
            15 => node("astype", &[a], vec![], s, *d.of(types)),
            16..=23 => self.view(d, a),
            24 | 25 => self.reduce(d, a),
            26 => self.product(a, pick(d)),
            27..=29 => {
                let b = pick(d);
                self.moved(d, a, b)
            }
            _ => {
                let b = pick(d);
                self.gather(d, a, b)
            }
        }
    }

    /// A node with a function of the table, applied to nodes.
    pub fn row(&self, row: Row, args: &[usize]) -> Option<Spec> {
        let select = row.name() == "select";
        let mut shape = vec![];
        for a in args {
            shape = broadcast(&shape, &self.nodes[*a].shape)?;
        }
        if select && self.nodes[args[0]].dtype != Bool {
            return None;
        }
        let own = &args[select as usize..];
        let first = self.nodes[own[0]].dtype;
        let t = own[1..].iter().try_fold(first, |t, a| t.promote(self.nodes[*a].dtype))?;
        if !row.takes(t, self.gpu) {
            return None;
        }
        let args = args.iter().map(|a| Given::Node(*a)).collect();
        Some(Spec { op: row.name().into(), args, numbers: vec![], shape, dtype: row.result(t) })
    }

    pub fn binary(&self, d: &mut Dice, a: usize, b: usize) -> Option<Spec> {
        if d.one_in(5) {
            return self.row(testing::row(COMPARE[d.below(COMPARE.len())])?, &[a, b]);
        }
        let t = self.nodes[a].dtype.promote(self.nodes[b].dtype)?;
        let op = if t.is_float() {
            *d.of(&["add", "subtract", "multiply", "divide", "minimum", "maximum"])
        } else if t == Bool {
            *d.of(&["add", "multiply", "bitwise_and", "bitwise_or", "bitwise_xor", "minimum", "maximum"])
        } else {
            let some = ["add", "subtract", "multiply", "floor_divide", "remainder", "fmod", "minimum", "maximum"];
            let bits = ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "pow"];
            *d.of(&[&some[..], &bits[..]].concat())
        };
        self.row(testing::row(op)?, &[a, b])
    }

    /// A node with a function of a node and a literal, in either order.
    pub fn with_number(&self, d: &mut Dice, a: usize) -> Option<Spec> {
        let Spec { shape, dtype, .. } = self.nodes[a].clone();
        if dtype == Bool {
            return None;
        }
        let (op, number) = if dtype.is_float() {
            (*d.of(&["add", "subtract", "multiply", "minimum", "maximum"]), d.between(-16, 16) as f64 / 4.0)
        } else {
            let all = ["add", "multiply", "floor_divide", "remainder", "bitwise_and", "bitwise_right_shift"];
            (*d.of(&all), d.between(0, 9) as f64)
        };
        let mut args = vec![Given::Node(a), Given::Number(number)];
        if d.one_in(3) {
            args.reverse();
        }
        Some(Spec { op: op.into(), args, numbers: vec![], shape, dtype })
    }

    fn view(&self, d: &mut Dice, a: usize) -> Option<Spec> {
        let (s, dtype) = (self.nodes[a].shape.clone(), self.nodes[a].dtype);
        let nd = s.len();
        let made = |op: &str, numbers: Vec<i64>, shape: Vec<usize>| {
            Some(Spec { op: op.into(), args: vec![Given::Node(a)], numbers, shape, dtype })
        };
        let kind = d.below(9);
        let x = if nd > 0 { d.below(nd) } else { 0 };
        if nd == 0 && !matches!(kind, 0 | 4 | 5 | 6) {
            return None;
        }
        let mut shape = s.clone();
        match kind {
            0 => {
                let mut p: Vec<usize> = (0..nd).collect();
                for i in (1..nd).rev() {
                    p.swap(i, d.below(i + 1));
                }
                made("permute", p.iter().map(|a| *a as i64).collect(), p.iter().map(|a| s[*a]).collect())
            }
            1 => made("flip", vec![x as i64], shape),
            2 => {
                if s[x] == 0 {
                    return None;
                }
                let step = *d.of(&[1isize, 1, 2, 3, -1, -2]);
                let first = d.below(s[x]);
                let room = if step > 0 { (s[x] - 1 - first) / step as usize } else { first / (-step) as usize };
                let len = d.below(room + 1) + !d.one_in(20) as usize;
                shape[x] = len;
                made("slice", vec![x as i64, first as i64, len as i64, step as i64], shape)
            }
            3 => {
                if s[x] == 0 {
                    return None;
                }
                let at = d.below(s[x]);
                shape.remove(x);
                made("index", vec![x as i64, at as i64], shape)
            }
            4 => {
                let x = d.below(nd + 1);
                shape.insert(x, 1);
                made("expand", vec![x as i64], shape)
            }
            5 => {
                shape = s.iter().map(|n| if *n == 1 { 1 + d.below(4) } else { *n }).collect();
                if d.one_in(2) {
                    shape.insert(0, 1 + d.below(3));
                }
                made("broadcast", vec![], shape)
            }
            6 => {
                let size = s.iter().product();
                made("reshape", vec![], shape_of_size(d, size))
            }
            7 => {
                if s[x] < 2 {
                    return None;
                }
                let w = 1 + d.below(s[x].min(4));
                shape[x] -= w - 1;
                shape.push(w);
                made("windows", vec![x as i64, w as i64], shape)
            }
            _ => {
                if nd < 2 {
                    return None;
                }
                let offset = d.between(-1, 1);
                let (rows, columns) = (s[nd - 2] as i64, s[nd - 1] as i64);
                let n = (rows - (-offset).max(0)).min(columns - offset.max(0)).max(0) as usize;
                shape = s[..nd - 2].to_vec();
                shape.push(n);
                made("diagonal", vec![offset], shape)
            }
        }
    }

    fn reduce(&self, d: &mut Dice, a: usize) -> Option<Spec> {
        let (s, t) = (&self.nodes[a].shape, self.nodes[a].dtype);
        let nd = s.len();
        let (rows, mut all): (Vec<&Operation>, Vec<&Operation>) =
            operations::along_axes().partition(|o| o.several_passes);
        // sums are twice as likely as other reductions
        all.insert(0, all[0]);
        let operation = if d.one_in(4) { *d.of(&rows) } else { *d.of(&all) };
        let mut axes: Vec<usize> = (0..nd).filter(|_| d.one_in(2)).collect();
        if operation.one_axis {
            axes = if nd == 0 || d.one_in(3) { (0..nd).collect() } else { vec![d.below(nd)] };
        }
        if axes.is_empty() && nd > 0 {
            return None;
        }
        let keep = d.one_in(2);
        let gone = |x: usize| axes.contains(&x) && !operation.keeps_shape();
        let shape = (0..nd).filter_map(|x| if gone(x) { keep.then_some(1) } else { Some(s[x]) }).collect();
        let dtype = (operation.result)(t);
        let numbers = std::iter::once(keep as i64).chain(axes.iter().map(|x| *x as i64)).collect();
        Some(Spec { op: operation.name.into(), args: vec![Given::Node(a)], numbers, shape, dtype })
    }

    pub fn product(&self, a: usize, b: usize) -> Option<Spec> {
        let (x, y) = (&self.nodes[a], &self.nodes[b]);
        let (m, n) = (x.shape.len(), y.shape.len());
        if m == 0 || n == 0 || x.shape[m - 1] != y.shape[n.saturating_sub(2)] {
            return None;
        }
        let mut shape = broadcast(&x.shape[..m.max(2) - 2], &y.shape[..n.max(2) - 2])?;
        if m > 1 {
            shape.push(x.shape[m - 2]);
        }
        if n > 1 {
            shape.push(y.shape[n - 1]);
        }
        let dtype = x.dtype.promote(y.dtype)?;
        let args = vec![Given::Node(a), Given::Node(b)];
        Some(Spec { op: "matmul".into(), args, numbers: vec![], shape, dtype })
    }

    fn gather(&self, d: &mut Dice, a: usize, b: usize) -> Option<Spec> {
        let (s, t) = (&self.nodes[a].shape, self.nodes[a].dtype);
        let nd = s.len();
        if nd == 0 {
            return None;
        }
        let x = d.below(nd);
        let (other, u) = (&self.nodes[b].shape, self.nodes[b].dtype);
        let made = |op: &str, args: &[usize], numbers: Vec<i64>, shape: Vec<usize>, dtype: DType| {
            let args = args.iter().map(|a| Given::Node(*a)).collect();
            Some(Spec { op: op.into(), args, numbers, shape, dtype })
        };
        let mut shape = s.clone();
        match d.below(5) {
            0 => {
                if s[x] == 0 {
                    return None;
                }
                let n = s[x] as i64;
                let at: Vec<i64> = (0..1 + d.below(6)).map(|_| d.between(-n, n - 1)).collect();
                shape[x] = at.len();
                made("take", &[a], [vec![x as i64], at].concat(), shape, t)
            }
            1 => {
                if s[x] == 0 || !u.is_integer() || other.len() > 2 {
                    return None;
                }
                let op = *d.of(&["take_clip", "take_wrap"]);
                shape.splice(x..x + 1, other.iter().copied());
                made(op, &[a, b], vec![x as i64], shape, t)
            }
            2 => {
                // casts that writes allow: integers into signed ones, unsigned ones into unsigned ones
                let casts = u.is_integer() && t.is_integer() && (u.is_unsigned_integer() || t.is_signed_integer());
                if other != s || !casts || s[x] == 0 || s[x] > 100 {
                    return None;
                }
                let n = s[x] as i64;
                let at = (0..n).map(|_| d.between(-n, n - 1)).collect();
                let op = *d.of(&["index_add", "index_min", "index_max"]);
                made(op, &[a, b], [vec![x as i64], at].concat(), shape, t)
            }
            3 => {
                if other.len() != nd || (0..nd).any(|k| k != x && s[k] != other[k]) {
                    return None;
                }
                shape[x] += other[x];
                made("concat", &[a, b], vec![x as i64], shape, t.promote(u)?)
            }
            _ => {
                if other != s {
                    return None;
                }
                shape.insert(x, 2);
                made("stack", &[a, b], vec![x as i64], shape, t.promote(u)?)
            }
        }
    }
}

/// A random shape of at most five axes with this number of elements.
fn shape_of_size(d: &mut Dice, mut left: usize) -> Vec<usize> {
    if left == 0 {
        return vec![0, 1 + d.below(4)];
    }
    let mut shape = vec![];
    while left > 1 && shape.len() < 4 {
        let divisors: Vec<usize> = (1..=left).filter(|k| left.is_multiple_of(*k)).collect();
        let k = *d.of(&divisors);
        shape.push(k);
        left /= k;
    }
    if left > 1 {
        shape.push(left);
    }
    shape
}

fn random_shape(d: &mut Dice) -> Vec<usize> {
    let nd = d.below(5);
    let lengths: Vec<usize> = (0..nd)
        .map(|_| match d.below(12) {
            0 => 1,
            1 if d.one_in(4) => 0,
            2 => 17,
            3 => 33,
            _ => 1 + d.below(6),
        })
        .collect();
    let mut product = 1;
    let fits = |n: usize| {
        product *= n.max(1);
        if product > 1500 { 1 } else { n }
    };
    lengths.into_iter().map(fits).collect()
}
