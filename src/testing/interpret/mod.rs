//! A scalar interpreter of expressions, the reference implementation for the random tests.
//!
//! The interpreter evaluates the expression itself, not its plan. It computes one element at a time in f64 or i128 with
//! the exact functions of the function table. Each float has a bound on the error that an evaluation may have. The
//! interpreter uses the plan only to find out which values are stored in memory, because f16 and bf16 are rounded where
//! they are stored.

mod element;

mod place;
mod routine;
mod scatter;
mod sums;

use super::number;
pub use super::number::BoundedReal;
pub use element::reference_bound;

use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::IndexMode;
use crate::graph::expr::{Binding, Expr, Node, NodeOp};
use crate::graph::ufunc::{Class, Extreme, Fold, Form, OfSquares, Ufunc, scales};
use crate::plan::{self, Stored};
use place::{broadcast_places, each_index, groups, read, view_places};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// Selects which bounds of the accuracy contract apply: those for a GPU if `gpu`, otherwise those for the CPU.
#[derive(Clone, Copy)]
struct Rules {
    gpu: bool,
}

/// The elements of an expression in C order.
#[derive(Clone, Debug)]
pub struct Interpreted {
    /// The lengths of the axes.
    pub shape: Vec<usize>,
    /// The element type.
    pub dtype: DType,
    /// The elements, in C order.
    pub elements: ElementList,
}

/// Elements, as integers or floats.
#[derive(Clone, Debug)]
pub enum ElementList {
    /// Integers and bools. `None` is an unknown element, whose value depends on rounding errors.
    Integers(Vec<Option<i128>>),
    /// Floats of any type.
    Floats(Vec<BoundedReal>),
}

impl ElementList {
    fn integers(&self) -> &[Option<i128>] {
        match self {
            ElementList::Integers(v) => v,
            ElementList::Floats(_) => &[],
        }
    }

    fn floats(&self) -> &[BoundedReal] {
        match self {
            ElementList::Floats(v) => v,
            ElementList::Integers(_) => &[],
        }
    }

    fn pick(&self, at: impl Iterator<Item = usize>) -> ElementList {
        match self {
            ElementList::Integers(v) => ElementList::Integers(at.map(|i| v[i]).collect()),
            ElementList::Floats(v) => ElementList::Floats(at.map(|i| v[i]).collect()),
        }
    }

    fn map(&self, f: impl Fn(BoundedReal) -> BoundedReal) -> ElementList {
        match self {
            ElementList::Integers(v) => ElementList::Integers(v.clone()),
            ElementList::Floats(v) => ElementList::Floats(v.iter().map(|x| f(*x)).collect()),
        }
    }
}

/// Which f16 and bf16 nodes are stored, and therefore rounded.
enum Halves {
    /// The plan is not known, so an evaluation may round each node or not.
    Anywhere,
    /// The nodes of any type that the plan of one evaluation stores.
    Planned(HashMap<*const Node, Stored>),
}

/// An interpreter. It caches the elements of each expression that it has interpreted.
pub struct Interpreter {
    // the key is the address of a node; the expression is stored too, so that it stays alive and no later node gets the
    // same address
    known: HashMap<*const Node, (Expr, Rc<Interpreted>)>,
    halves: Halves,
    rules: Rules,
}

/// Interprets an expression that is evaluated alone on its device.
///
/// # Errors
/// Returns the error that the expression carries, the errors of planning, and an error if an index is out of range, a
/// routine rejects a value, or an array cannot be read from its device.
pub fn interpret(e: &Expr) -> Result<Interpreted> {
    let r = Interpreter::planned(&[e])?.interpret(e)?;
    Ok(Rc::try_unwrap(r).unwrap_or_else(|r| (*r).clone()))
}

impl Interpreter {
    /// Makes an interpreter for expressions on a device, without a plan: each f16 or bf16 node may be rounded or not.
    pub fn new(device: &Device) -> Interpreter {
        Interpreter { known: HashMap::new(), halves: Halves::Anywhere, rules: Rules { gpu: device.is_gpu() } }
    }

    /// Makes an interpreter for these expressions, evaluated together.
    ///
    /// Returns an error that one of the expressions carries, or an error of planning.
    pub fn planned(roots: &[&Expr]) -> Result<Interpreter> {
        let device = roots.iter().map(|e| e.0.device).find(|d| *d != 0).unwrap_or(0);
        let device = Device::of(device);
        let stored = plan::stored(roots, device.backend().caps())?;
        let halves = Halves::Planned(stored);
        Ok(Interpreter { known: HashMap::new(), halves, rules: Rules { gpu: device.is_gpu() } })
    }

    /// Returns whether the plan stores an expression: `Some(true)` if all its readers load it, `Some(false)` if only
    /// some do, `None` if it is not stored or there is no plan.
    pub fn is_stored(&self, e: &Expr) -> Option<bool> {
        match &self.halves {
            Halves::Anywhere => None,
            Halves::Planned(stored) => stored.get(&(&*e.0 as *const Node)).map(|s| *s == Stored::Always),
        }
    }

    /// Returns true if the plan stores an f16 or bf16 value that the expression depends on, other than an array that is
    /// already in memory.
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

    /// Reads the arrays that an expression depends on, so that [`Interpreter::interpret`] does not wait for a device. A
    /// page in a browser cannot wait for its GPU.
    ///
    /// Returns an error if an array cannot be read.
    pub async fn load(&mut self, e: &Expr) -> Result<()> {
        let (mut stack, mut seen) = (vec![e], HashSet::new());
        while let Some(x) = stack.pop() {
            let p: *const Node = &*x.0;
            if !seen.insert(p) || self.known.contains_key(&p) {
                continue;
            }
            stack.extend(&x.0.args);
            if x.0.is_stored() {
                let value = Interpreted { shape: x.0.shape.to_vec(), dtype: x.0.dtype, elements: read(x).await? };
                self.known.insert(p, (x.clone(), Rc::new(value)));
            }
        }
        Ok(())
    }

    /// Interprets an expression.
    ///
    /// Returns the same errors as [`interpret`].
    pub fn interpret(&mut self, e: &Expr) -> Result<Rc<Interpreted>> {
        e.checked()?;
        let mut stack: Vec<(&Expr, bool)> = vec![(e, false)];
        // the elements of nodes; they are dropped after the last node that reads them is computed
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
            None => Err(Error::with_line(ErrorKind::Internal, "interpret", "a node was not reached", e.0.location)),
        }
    }

    /// Returns a node's elements as other nodes read them: f16 and bf16 elements are rounded if the node is stored.
    fn store(&self, x: &Expr, elements: ElementList) -> ElementList {
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

    fn node(&self, x: &Expr, args: &[&Interpreted]) -> Result<ElementList> {
        let n = &*x.0;
        let size: usize = n.shape.iter().product();
        Ok(match &n.op {
            NodeOp::Stored(_) => pollster::block_on(read(x))?,
            NodeOp::Fill | NodeOp::Number => {
                let s = n.number().unwrap_or(Scalar::Int(0));
                match n.dtype.is_float() {
                    true => ElementList::Floats(vec![BoundedReal::exact(number::scalar_real(s, n.dtype)); size]),
                    false => ElementList::Integers(vec![Some(number::scalar_integer(s, n.dtype)); size]),
                }
            }
            NodeOp::Iota(axis) => {
                let mut out = Vec::with_capacity(size);
                each_index(&n.shape, |i| out.push(Some(number::wrap(n.dtype, i[*axis] as i128))));
                ElementList::Integers(out)
            }
            NodeOp::Philox { word } => {
                let Binding::Random { seed, stream } = n.binding else { return Ok(ElementList::Integers(vec![])) };
                let own = |i: usize| philox([i as u32 / 4, 0, stream, *word as u32 % 4], seed)[i % 4];
                let draw = |i: usize| match word / 4 {
                    0 => own(i),
                    1 => own(i - i % 2),
                    _ => own(i - i % 2 + 1).wrapping_add(if i % 2 == 1 { 1 << 30 } else { 0 }),
                };
                ElementList::Integers((0..size).map(|i| Some(draw(i) as i128)).collect())
            }
            NodeOp::Ufunc(row) => self.ufunc(row, n, args),
            NodeOp::Cast => cast(args[0], n.dtype),
            NodeOp::View(v) => args[0].elements.pick(view_places(v, &args[0].shape).into_iter()),
            NodeOp::Reshape => args[0].elements.clone(),
            NodeOp::Reduce(fold, axes) => self.reduce(*fold, axes, n, args[0]),
            NodeOp::Scan { fold, axis } => self.scan(*fold, *axis, n, args[0]),
            NodeOp::Matmul => self.matmul(n, args[0], args[1]),
            NodeOp::Take { axis, mode, along, .. } => take(n, (*axis, *along), *mode, args[0], args[1])?,
            NodeOp::Concat { axis } => {
                let [outer, inner] = [&n.shape[..*axis], &n.shape[axis + 1..]].map(|s| s.iter().product::<usize>());
                let places = (0..outer).flat_map(|o| {
                    let run = move |(k, a): (usize, &&Interpreted)| {
                        let len = a.shape[*axis] * inner;
                        (o * len..(o + 1) * len).map(move |i| (k, i))
                    };
                    args.iter().enumerate().flat_map(run)
                });
                match n.dtype.is_float() {
                    true => ElementList::Floats(places.map(|(k, i)| args[k].elements.floats()[i]).collect()),
                    false => ElementList::Integers(places.map(|(k, i)| args[k].elements.integers()[i]).collect()),
                }
            }
            NodeOp::Scatter { axis, mode, combine, .. } => scatter::scatter(n, (*axis, *mode, *combine), args)?,
            NodeOp::Routine { row, params, part } => routine::reference(row, params, *part as usize, n, args)?,
            NodeOp::Failed => return x.checked().map(|_| ElementList::Integers(vec![])),
        })
    }

    fn ufunc(&self, row: &'static Ufunc, n: &Node, args: &[&Interpreted]) -> ElementList {
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
                ElementList::Floats((0..size).map(one).collect())
            } else {
                let at = |i: usize, k: usize| args[i].elements.integers()[places[i][k]];
                let one = |k: usize| match truth(k) {
                    Some(c) => at(2 - (c != 0) as usize, k),
                    None => at(1, k).filter(|a| at(2, k) == Some(*a)),
                };
                ElementList::Integers((0..size).map(one).collect())
            };
        }
        if !operand.is_float() {
            let mut x = [None; 3];
            let one = |k: usize| {
                (0..args.len()).for_each(|i| x[i] = args[i].elements.integers()[places[i][k]]);
                element::integer(row, operand, n.dtype, &x[..args.len()])
            };
            return ElementList::Integers((0..size).map(one).collect());
        }
        let mut x = [BoundedReal::exact(0.0); 3];
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
            ElementList::Floats((0..size).map(one).collect())
        } else {
            let one = |k: usize| element::question(row, &gather(k)[..args.len()]).map(|b| b as i128);
            ElementList::Integers((0..size).map(one).collect())
        }
    }
}

fn cast(x: &Interpreted, to: DType) -> ElementList {
    let from = x.dtype;
    match (&x.elements, to.is_float()) {
        (ElementList::Integers(v), false) => {
            ElementList::Integers(v.iter().map(|x| x.map(|x| number::wrap(to, x))).collect())
        }
        (ElementList::Integers(v), true) => ElementList::Floats(v.iter().map(|x| element::to_float(*x, to)).collect()),
        (ElementList::Floats(v), true) => {
            // a wider type holds each value exactly, but f16 cannot hold all values of bf16, nor bf16 all values of f16
            let widens = to == DType::F64 || to == DType::F32 && from.is_half();
            ElementList::Floats(v.iter().map(|x| if widens { *x } else { x.rounded(to) }).collect())
        }
        (ElementList::Floats(v), false) => {
            let seen = |x: &BoundedReal| if from.is_half() { x.rounded(from) } else { *x };
            ElementList::Integers(v.iter().map(|x| element::to_integer(seen(x), to)).collect())
        }
    }
}

/// Returns the position along an axis to which `mode` maps an index, or `None` if the index is unknown.
fn position(index: Option<i128>, length: i128, mode: IndexMode, n: &Node) -> Result<Option<i128>> {
    let Some(at) = index else { return Ok(None) };
    Ok(Some(match mode {
        IndexMode::Clip => at.clamp(0, length - 1),
        IndexMode::Wrap => at.rem_euclid(length),
        IndexMode::Check | IndexMode::CheckFromStart if (0..length).contains(&at) => at,
        IndexMode::Check | IndexMode::CheckFromStart => {
            let detail = format!("index {at} is out of range for {length} positions");
            return Err(Error::with_line(ErrorKind::Index, n.op.name(), detail, n.location));
        }
    }))
}

fn take(
    n: &Node,
    (axis, along): (usize, bool),
    mode: IndexMode,
    indices: &Interpreted,
    source: &Interpreted,
) -> Result<ElementList> {
    let length = source.shape[axis] as i128;
    let inner: usize = source.shape[axis + 1..].iter().product();
    // the number of indices along the axis; with `along`, each of the `outer × inner` elements has its own indices
    let count: usize = if along { indices.shape[axis] } else { indices.shape.iter().product() };
    let mut places = Vec::with_capacity(n.shape.iter().product());
    for k in 0..n.shape.iter().product::<usize>() {
        let (o, i, l) = (k / (count * inner), k / inner % count, k % inner);
        let at = position(indices.elements.integers()[if along { k } else { i }], length, mode, n)?;
        places.push(at.map(|at| (o * length as usize + at as usize) * inner + l));
    }
    Ok(match &source.elements {
        ElementList::Integers(v) => ElementList::Integers(places.iter().map(|p| p.and_then(|p| v[p])).collect()),
        ElementList::Floats(v) => {
            ElementList::Floats(places.iter().map(|p| p.map_or(BoundedReal::unknown(), |p| v[p])).collect())
        }
    })
}

/// Computes the four words of Philox4x32-10 (Salmon et al. 2011) for a counter.
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
