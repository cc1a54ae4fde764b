//! The meaning of an expression: a scalar interpreter, the reference of the random tests.
//!
//! It walks the expression itself, never its plan, and computes one element at a time in f64 or i128 with the exact
//! functions of the table; each float carries a bound on how far an evaluation may be off. From the plan it takes one
//! thing: which values are stored, for there f16 and bf16 are rounded.

mod element;

mod place;
mod routine;

use super::number;
pub use super::number::Real;

use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{Binding, Expr, Node, NodeOp};
use crate::layout::IndexMode;
use crate::plan::{self, Stored};
use crate::ufunc::{Class, Extreme, Fold, Ufunc};
use place::{broadcast_places, each_index, groups, read, view_places};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// How exactly a device computes.
#[derive(Clone, Copy)]
struct Rules {
    gpu: bool,
}

/// The elements of an expression in C order.
#[derive(Clone, Debug)]
pub struct Interpreted {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// The element type.
    pub dtype: DType,
    /// What the elements are.
    pub elements: Elements,
}

/// Elements, by what they are computed in.
#[derive(Clone, Debug)]
pub enum Elements {
    /// Integers and bool; none where rounding errors decide.
    Integers(Vec<Option<i128>>),
    /// Floats of any width.
    Floats(Vec<Real>),
}

impl Elements {
    fn integers(&self) -> &[Option<i128>] {
        match self {
            Elements::Integers(v) => v,
            Elements::Floats(_) => &[],
        }
    }

    fn floats(&self) -> &[Real] {
        match self {
            Elements::Floats(v) => v,
            Elements::Integers(_) => &[],
        }
    }

    fn pick(&self, at: impl Iterator<Item = usize>) -> Elements {
        match self {
            Elements::Integers(v) => Elements::Integers(at.map(|i| v[i]).collect()),
            Elements::Floats(v) => Elements::Floats(at.map(|i| v[i]).collect()),
        }
    }

    fn map(&self, f: impl Fn(Real) -> Real) -> Elements {
        match self {
            Elements::Integers(v) => Elements::Integers(v.clone()),
            Elements::Floats(v) => Elements::Floats(v.iter().map(|x| f(*x)).collect()),
        }
    }
}

/// Where f16 and bf16 values are stored.
enum Halves {
    /// It depends on the plan: an evaluation rounds them or not.
    Anywhere,
    /// By node, as the plan of an evaluation has it.
    Planned(HashMap<*const Node, Stored>),
}

/// An interpreter that remembers the results that it was asked for.
pub struct Interpreter {
    // the expression keeps its node's address from being used again
    known: HashMap<*const Node, (Expr, Rc<Interpreted>)>,
    halves: Halves,
    rules: Rules,
}

/// What an expression is, for an evaluation of it alone on its device.
///
/// # Errors
/// The error that the expression carries; an index out of range; reading what is stored.
pub fn interpret(e: &Expr) -> Result<Interpreted> {
    let r = Interpreter::planned(&[e])?.interpret(e)?;
    Ok(Rc::try_unwrap(r).unwrap_or_else(|r| (*r).clone()))
}

impl Interpreter {
    /// For expressions on a device whose plans are not known: f16 and bf16 may be rounded after each step or not.
    pub fn new(device: &Device) -> Interpreter {
        Interpreter { known: HashMap::new(), halves: Halves::Anywhere, rules: Rules { gpu: device.is_gpu() } }
    }

    /// For these expressions, evaluated together.
    ///
    /// # Errors
    /// An error that one of them carries; those of planning.
    pub fn planned(roots: &[&Expr]) -> Result<Interpreter> {
        let device = roots.iter().map(|e| e.0.device).find(|d| *d != 0).unwrap_or(0);
        let device = Device::of(device);
        let stored = plan::stored(roots, device.backend().caps())?;
        let halves = Halves::Planned(stored);
        Ok(Interpreter { known: HashMap::new(), halves, rules: Rules { gpu: device.is_gpu() } })
    }

    /// Whether the plan stores an expression: for all that read it (true), or only for some.
    pub fn is_stored(&self, e: &Expr) -> Option<bool> {
        match &self.halves {
            Halves::Anywhere => None,
            Halves::Planned(stored) => stored.get(&(&*e.0 as *const Node)).map(|s| *s == Stored::Always),
        }
    }

    /// Whether the plan stores an f16 or bf16 value below an expression that was not stored before.
    pub fn rounds_below(&self, e: &Expr) -> bool {
        let (mut stack, mut seen) = (vec![e], HashSet::new());
        while let Some(x) = stack.pop() {
            for c in &x.0.args {
                let computed = !(c.0.is_stored() || c.0.is_constant());
                if computed && c.0.dtype.is_half() && self.is_stored(c).is_some() {
                    return true;
                }
                if seen.insert(&*c.0 as *const Node) {
                    stack.push(c);
                }
            }
        }
        false
    }

    /// The elements of an expression.
    ///
    /// # Errors
    /// As [`interpret`].
    pub fn interpret(&mut self, e: &Expr) -> Result<Rc<Interpreted>> {
        e.checked()?;
        let mut stack: Vec<(&Expr, bool)> = vec![(e, false)];
        // values on the way, until their last reader has run
        let mut values: HashMap<*const Node, Rc<Interpreted>> = HashMap::new();
        let mut order: Vec<&Expr> = vec![];
        let mut readers: HashMap<*const Node, usize> = HashMap::new();
        while let Some((x, ready)) = stack.pop() {
            let p: *const Node = &*x.0;
            if ready {
                order.push(x);
                continue;
            }
            if readers.contains_key(&p) {
                continue;
            }
            readers.insert(p, 0);
            stack.push((x, true));
            if !self.known.contains_key(&p) {
                stack.extend(x.0.args.iter().map(|c| (c, false)));
            }
        }
        for x in &order {
            if !self.known.contains_key(&(&*x.0 as *const Node)) {
                for c in &x.0.args {
                    *readers.entry(&*c.0).or_default() += 1;
                }
            }
        }
        for x in order {
            let p: *const Node = &*x.0;
            if let Some((_, v)) = self.known.get(&p) {
                values.insert(p, v.clone());
                continue;
            }
            let args: Vec<Rc<Interpreted>> =
                x.0.args.iter().filter_map(|c| values.get(&(&*c.0 as *const Node)).cloned()).collect();
            let args: Vec<&Interpreted> = args.iter().map(|a| &**a).collect();
            let elements = self.store(x, self.node(x, &args)?);
            let value = Interpreted { shape: x.0.shape.to_vec(), dtype: x.0.dtype, elements };
            values.insert(p, Rc::new(value));
            for c in &x.0.args {
                let left = readers.entry(&*c.0).or_default();
                *left -= 1;
                if *left == 0 {
                    values.remove(&(&*c.0 as *const Node));
                }
            }
        }
        match values.remove(&(&*e.0 as *const Node)) {
            Some(v) => {
                self.known.insert(&*e.0, (e.clone(), v.clone()));
                Ok(v)
            }
            None => Err(Error::new(ErrorKind::Internal, "interpret", "a node was not reached", e.0.location)),
        }
    }

    /// What a reader of the node finds.
    fn store(&self, x: &Expr, elements: Elements) -> Elements {
        let dtype = x.0.dtype;
        let exact = x.0.is_stored() || x.0.is_constant();
        if !dtype.is_half() || exact {
            return elements;
        }
        match &self.halves {
            Halves::Anywhere => elements.map(|r| r.perhaps_rounded(dtype)),
            Halves::Planned(stored) => match stored.get(&(&*x.0 as *const Node)) {
                Some(Stored::Always) => elements.map(|r| r.rounded(dtype)),
                Some(Stored::ForSome) => elements.map(|r| r.perhaps_rounded(dtype)),
                None => elements,
            },
        }
    }

    fn node(&self, x: &Expr, args: &[&Interpreted]) -> Result<Elements> {
        let n = &*x.0;
        let size: usize = n.shape.iter().product();
        Ok(match &n.op {
            NodeOp::Stored(_) => read(x)?,
            NodeOp::Fill | NodeOp::Number => {
                let s = n.number().unwrap_or(Scalar::Int(0));
                match n.dtype.is_float() {
                    true => Elements::Floats(vec![Real::exact(number::scalar_real(s, n.dtype)); size]),
                    false => Elements::Integers(vec![Some(number::scalar_integer(s, n.dtype)); size]),
                }
            }
            NodeOp::Iota(axis) => {
                let mut out = Vec::with_capacity(size);
                each_index(&n.shape, |i| out.push(Some(number::wrap(n.dtype, i[*axis] as i128))));
                Elements::Integers(out)
            }
            NodeOp::Philox { word } => {
                let Binding::Random { seed, stream } = n.binding else { return Ok(Elements::Integers(vec![])) };
                let draw = |i: usize| philox([i as u32, 0, stream, 0], seed)[*word as usize & 3];
                Elements::Integers((0..size).map(|i| Some(draw(i) as i128)).collect())
            }
            NodeOp::Ufunc(row) => self.ufunc(row, n, args),
            NodeOp::Cast => cast(args[0], n.dtype),
            NodeOp::View(v) => args[0].elements.pick(view_places(v, &args[0].shape).into_iter()),
            NodeOp::Reshape => args[0].elements.clone(),
            NodeOp::Reduce(fold, axes) => self.reduce(*fold, axes, n, args[0]),
            NodeOp::Matmul => self.matmul(n, args[0], args[1]),
            NodeOp::Take { axis, mode } => take(n, *axis, *mode, args[0], args[1])?,
            NodeOp::Concat { axis } => {
                let (outer, inner) = (n.shape[..*axis].iter().product::<usize>(), &n.shape[axis + 1..]);
                let inner: usize = inner.iter().product();
                let places = (0..outer).flat_map(|o| {
                    let run = move |(k, a): (usize, &&Interpreted)| {
                        let len = a.shape[*axis] * inner;
                        (o * len..(o + 1) * len).map(move |i| (k, i))
                    };
                    args.iter().enumerate().flat_map(run)
                });
                match n.dtype.is_float() {
                    true => Elements::Floats(places.map(|(k, i)| args[k].elements.floats()[i]).collect()),
                    false => Elements::Integers(places.map(|(k, i)| args[k].elements.integers()[i]).collect()),
                }
            }
            NodeOp::Routine { row, params, part } => routine::reference(row, params, *part as usize, n, args)?,
            NodeOp::Failed => return x.checked().map(|_| Elements::Integers(vec![])),
        })
    }

    fn ufunc(&self, row: &'static Ufunc, n: &Node, args: &[&Interpreted]) -> Elements {
        let size: usize = n.shape.iter().product();
        let places: Vec<Vec<usize>> = args.iter().map(|a| broadcast_places(&a.shape, &n.shape)).collect();
        let operand = args[args.len() - 1].dtype;
        let truth = |k: usize| args[0].elements.integers()[places[0][k]];
        if row.class == Class::Select {
            return if n.dtype.is_float() {
                let at = |i: usize, k: usize| args[i].elements.floats()[places[i][k]];
                let one = |k: usize| match truth(k) {
                    Some(c) => at(2 - (c != 0) as usize, k),
                    None => at(1, k).either(at(2, k)),
                };
                Elements::Floats((0..size).map(one).collect())
            } else {
                let at = |i: usize, k: usize| args[i].elements.integers()[places[i][k]];
                let one = |k: usize| match truth(k) {
                    Some(c) => at(2 - (c != 0) as usize, k),
                    None => at(1, k).filter(|a| at(2, k) == Some(*a)),
                };
                Elements::Integers((0..size).map(one).collect())
            };
        }
        if !operand.is_float() {
            let mut x = [None; 3];
            let one = |k: usize| {
                (0..args.len()).for_each(|i| x[i] = args[i].elements.integers()[places[i][k]]);
                element::integer(row, operand, n.dtype, &x[..args.len()])
            };
            return Elements::Integers((0..size).map(one).collect());
        }
        let mut x = [Real::exact(0.0); 3];
        let mut gather = |k: usize| {
            for i in 0..args.len() {
                x[i] = args[i].elements.floats()[places[i][k]];
                if row.properties.rounds_first && operand.is_half() {
                    x[i] = x[i].rounded(operand);
                }
            }
            x
        };
        if n.dtype.is_float() {
            let bound = element::bound(row, operand, self.rules);
            let one = |k: usize| element::float(row, bound, operand, self.rules, &gather(k)[..args.len()]);
            Elements::Floats((0..size).map(one).collect())
        } else {
            let one = |k: usize| element::question(row, &gather(k)[..args.len()]).map(|b| b as i128);
            Elements::Integers((0..size).map(one).collect())
        }
    }

    fn reduce(&self, fold: Fold, axes: &[usize], n: &Node, x: &Interpreted) -> Elements {
        let groups = groups(&x.shape, axes);
        let integers = |f: &dyn Fn(&[usize]) -> Option<i128>| Elements::Integers(groups.iter().map(|g| f(g)).collect());
        let row = fold.row;
        if fold.gives_position() {
            let sign = if fold.picks() == Some(Extreme::Largest) { -1 } else { 1 };
            return integers(&|g| position(&x.elements, g, sign));
        }
        if !n.dtype.is_float() {
            let v = x.elements.integers();
            return integers(&|g| {
                let all = g.iter().map(|i| v[*i]);
                all.reduce(|a, b| element::integer(row, n.dtype, n.dtype, &[a, b])).flatten()
            });
        }
        let v = x.elements.floats();
        let bound = element::bound(row, n.dtype, self.rules);
        let one = |g: &Vec<usize>| {
            let list: Vec<Real> = g.iter().map(|i| v[*i]).collect();
            match row.name {
                "add" => self.sum(n.dtype, &list),
                "multiply" => self.product(n.dtype, &list),
                _ => list
                    .into_iter()
                    .reduce(|a, b| element::float(row, bound, n.dtype, self.rules, &[a, b]))
                    .unwrap_or(Real::unknown()),
            }
        };
        Elements::Floats(groups.iter().map(one).collect())
    }

    /// A sum in any order: by a tree over lanes of at most 16.
    fn sum(&self, dtype: DType, list: &[Real]) -> Real {
        let dtype = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let levels = (list.len().max(1) as f64).log2().ceil() + 16.0;
        self.total(dtype, list, levels)
    }

    /// A sum whose rounding errors are at most `steps` half spacings of the sum of magnitudes.
    fn total(&self, dtype: DType, list: &[Real], steps: f64) -> Real {
        // −0 is the neutral element
        let (mut sum, mut size, mut error) = (-0.0, 0.0, 0.0);
        for x in list {
            (sum, size, error) = (sum + x.value, size + x.value.abs(), error + x.error);
        }
        if error == f64::INFINITY {
            return Real::unknown();
        }
        if !sum.is_finite() {
            // infinities meet, or there is a NaN: in any order
            let finite: f64 = list.iter().map(|x| x.value.abs()).filter(|x| x.is_finite()).sum();
            let sure = finite < number::largest(dtype) / 2.0;
            return if sure { Real::exact(sum) } else { Real::unknown() };
        }
        if size + error > number::largest(dtype) / 2.0 {
            return Real::unknown();
        }
        let unit = if dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        // multiples of one number that are small beside it are summed without an error
        let grain = list.iter().filter(|x| x.value != 0.0).map(|x| grain(x.value)).fold(f64::INFINITY, f64::min);
        let tiny = if self.rules.gpu { number::smallest_normal(dtype) } else { number::spacing(dtype, 0.0) };
        if error == 0.0 && (size == 0.0 || grain >= tiny && size <= grain / unit) {
            return Real::exact(sum);
        }
        // products may be too small for the type
        let tiny = list.len() as f64 * tiny;
        let reference = list.len() as f64 * 2f64.powi(-53) * size;
        Real { value: sum, error: error + steps * unit * (size + error) + tiny + reference }
    }

    fn product(&self, dtype: DType, list: &[Real]) -> Real {
        let dtype = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let mut p = Real::exact(1.0);
        let (mut large, mut small) = (1f64, 1f64);
        for x in list {
            let error = p.value.abs() * x.error + x.value.abs() * p.error + x.error * p.error;
            p = Real { value: p.value * x.value, error };
            large *= x.value.abs().max(1.0);
            small *= if x.value == 0.0 { 1.0 } else { x.value.abs().min(1.0) };
        }
        let extreme = large > number::largest(dtype) || small < number::smallest_normal(dtype);
        if p.error.is_nan() || list.iter().any(|x| x.is_unknown()) || extreme {
            let sure = list.iter().any(|x| x.value.is_nan()) && list.iter().all(|x| x.error == 0.0);
            return if sure { Real::exact(f64::NAN) } else { Real::unknown() };
        }
        if p.value == 0.0 && p.error == 0.0 {
            return p;
        }
        let unit = if dtype == DType::F64 { 2f64.powi(-53) } else { 2f64.powi(-24) };
        let g = if self.rules.gpu { 2.0 } else { 1.0 };
        let tiny = if self.rules.gpu { number::smallest_normal(dtype) } else { 0.0 };
        Real { error: p.error + g * (list.len() as f64 + 16.0) * unit * (p.value.abs() + p.error) + tiny, ..p }
    }

    fn matmul(&self, n: &Node, a: &Interpreted, b: &Interpreted) -> Elements {
        let nd = n.shape.len();
        let (rows, columns, k) = (n.shape[nd - 2], n.shape[nd - 1], a.shape[a.shape.len() - 1]);
        let batch = &n.shape[..nd - 2];
        let left = broadcast_places(&a.shape[..a.shape.len() - 2], batch);
        let right = broadcast_places(&b.shape[..b.shape.len() - 2], batch);
        let at = |i: usize, l: usize| {
            let (m, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
            (left[m] * rows * k + row * k + l, right[m] * k * columns + l * columns + column)
        };
        let size: usize = n.shape.iter().product();
        if !n.dtype.is_float() {
            let (x, y) = (a.elements.integers(), b.elements.integers());
            let one = |i: usize| {
                (0..k).try_fold(0i128, |s, l| {
                    let (p, q) = at(i, l);
                    Some(number::wrap(n.dtype, s + x[p]?.wrapping_mul(y[q]?)))
                })
            };
            return Elements::Integers((0..size).map(one).collect());
        }
        let (x, y) = (a.elements.floats(), b.elements.floats());
        let dtype = if n.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let one = |i: usize| {
            let products: Vec<Real> = (0..k)
                .map(|l| {
                    let (p, q) = at(i, l);
                    let (p, q) = (x[p], y[q]);
                    if p.is_unknown() || q.is_unknown() {
                        return Real::unknown();
                    }
                    let value = p.value * q.value;
                    let mut error = 0.0;
                    if p.error + q.error > 0.0 {
                        error = p.value.abs() * q.error + q.value.abs() * p.error + p.error * q.error;
                    }
                    // f64 holds the product of two f32, but not of two f64
                    if dtype == DType::F64 && value.is_finite() && p.value.mul_add(q.value, -value) != 0.0 {
                        error += number::spacing(dtype, value);
                    }
                    Real { value, error }
                })
                .collect();
            // a sum of zeros begins with the first or with +0
            if products.iter().all(|p| p.value == 0.0 && p.error == 0.0) {
                let sure = products.iter().all(|p| p.value.is_sign_positive());
                return Real { value: 0.0, error: if sure { 0.0 } else { number::spacing(dtype, 0.0) } };
            }
            self.total(dtype, &products, k as f64 / 2.0 + 16.0)
        };
        Elements::Floats((0..size).map(one).collect())
    }
}

/// The largest power of two that a number is a multiple of.
fn grain(x: f64) -> f64 {
    if !x.is_finite() {
        return f64::INFINITY;
    }
    let zeros = (x.to_bits() | 1 << 52).trailing_zeros().min(52) as i32;
    number::spacing(DType::F64, x) * 2f64.powi(zeros)
}

fn cast(x: &Interpreted, to: DType) -> Elements {
    let from = x.dtype;
    match (&x.elements, to.is_float()) {
        (Elements::Integers(v), false) => {
            Elements::Integers(v.iter().map(|x| x.map(|x| number::wrap(to, x))).collect())
        }
        (Elements::Integers(v), true) => Elements::Floats(v.iter().map(|x| element::to_float(*x, to)).collect()),
        (Elements::Floats(v), true) => {
            // to a wider type the value goes as it is; f16 and bf16 differ in both directions
            let widens = to == DType::F64 || to == DType::F32 && from.is_half();
            Elements::Floats(v.iter().map(|x| if widens { *x } else { x.rounded(to) }).collect())
        }
        (Elements::Floats(v), false) => {
            let seen = |x: &Real| if from.is_half() { x.rounded(from) } else { *x };
            Elements::Integers(v.iter().map(|x| element::to_integer(seen(x), to)).collect())
        }
    }
}

/// The first smallest element (largest with sign −1), or the first NaN.
fn position(elements: &Elements, group: &[usize], sign: i128) -> Option<i128> {
    match elements {
        Elements::Integers(v) => {
            let all: Option<Vec<i128>> = group.iter().map(|i| v[*i].map(|x| sign * x)).collect();
            (0i128..).zip(all?).min_by_key(|(_, x)| *x).map(|(k, _)| k)
        }
        Elements::Floats(v) => {
            let of = |i: &usize| Real { value: sign as f64 * v[*i].value, error: v[*i].error };
            let all: Vec<Real> = group.iter().map(of).collect();
            if all.iter().any(|x| x.is_unknown()) {
                return None;
            }
            if let Some(k) = all.iter().position(|x| x.value.is_nan()) {
                return Some(k as i128);
            }
            let best = (1..all.len()).fold(0, |b, k| if all[k].value < all[b].value { k } else { b });
            let sure = all
                .iter()
                .enumerate()
                .all(|(k, x)| k == best || x.low() > all[best].high() || x.error == 0.0 && all[best].error == 0.0);
            sure.then_some(best as i128)
        }
    }
}

fn take(n: &Node, axis: usize, mode: IndexMode, indices: &Interpreted, source: &Interpreted) -> Result<Elements> {
    let length = source.shape[axis] as i128;
    let count: usize = indices.shape.iter().product();
    let inner: usize = source.shape[axis + 1..].iter().product();
    let mut places = Vec::with_capacity(n.shape.iter().product());
    for k in 0..n.shape.iter().product::<usize>() {
        let (o, i, l) = (k / (count * inner), k / inner % count, k % inner);
        let at = match (indices.elements.integers()[i], mode) {
            (None, _) => None,
            (Some(at), IndexMode::Clip) => Some(at.clamp(0, length - 1)),
            (Some(at), IndexMode::Wrap) => Some(at.rem_euclid(length)),
            (Some(at), IndexMode::Check) if (0..length).contains(&at) => Some(at),
            (Some(at), IndexMode::Check) => {
                let detail = format!("index {at} is out of range for {length} positions");
                return Err(Error::new(ErrorKind::Index, "take", detail, n.location));
            }
        };
        places.push(at.map(|at| (o * length as usize + at as usize) * inner + l));
    }
    Ok(match &source.elements {
        Elements::Integers(v) => Elements::Integers(places.iter().map(|p| p.and_then(|p| v[p])).collect()),
        Elements::Floats(v) => Elements::Floats(places.iter().map(|p| p.map_or(Real::unknown(), |p| v[p])).collect()),
    })
}

/// Philox4x32-10 (Salmon et al. 2011): four words for a counter.
fn philox(mut c: [u32; 4], seed: u64) -> [u32; 4] {
    let mut key = [seed as u32, (seed >> 32) as u32];
    for _ in 0..10 {
        let low = 0xD251_1F53u64 * c[0] as u64;
        let high = 0xCD9E_8D57u64 * c[2] as u64;
        c = [(high >> 32) as u32 ^ c[1] ^ key[0], high as u32, (low >> 32) as u32 ^ c[3] ^ key[1], low as u32];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    c
}
