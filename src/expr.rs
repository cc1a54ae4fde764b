//! Floor 3: the expression: a node of a DAG that has not run yet.
//!
//! Shape and dtype are inferred when a node is built; what does not fit becomes a node that carries its error. About
//! ten kinds of node exist, and every operation of the library is made of them.

mod build;

pub(crate) use build::ufunc;

use crate::buffer::Buffer;
use crate::dtype::{DType, Element, Scalar, sealed::Sealed};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layout::{self, Axes, AxesArg, IndexMode, Layout, Shape, View};
use crate::ufunc::{Fold, Ufunc};
use half::{bf16, f16};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;
use std::sync::Arc;

/// An operation that has not run yet. Cheap to build and to clone; does nothing until asked.
///
/// ```
/// use cupric::array;
/// let x = array![1., 2., 3.];
/// let y = &x * 2.0 + 1.0;               // an Expr: nothing has run
/// assert_eq!(y.shape()?, [3]);
/// assert_eq!(y.to_vec::<f32>()?, [3., 5., 7.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an expression does nothing until it is evaluated"]
pub struct Expr(pub(crate) Arc<Node>);

/// One node of the DAG.
pub(crate) struct Node {
    pub kind: Kind,
    pub shape: Shape,
    pub dtype: DType,
    /// The device of the stored arrays below; 0 where there is none.
    pub device: u32,
    pub location: &'static Location<'static>,
}

/// What a node is.
pub(crate) enum Kind {
    /// A stored array.
    Leaf(Buffer, Box<Layout>),
    /// A Rust number, or an expression of such numbers: it has no dtype of its own yet.
    Weak(Scalar),
    /// Every element is this number.
    Fill(Scalar),
    /// The index along an axis, as i32.
    Iota(usize),
    /// Word `word` of the random block of the element's row-major index, as u32.
    Philox {
        word: u8,
        seed: u64,
        stream: u32,
    },
    /// A row of the table; operands have the dtypes that its class asks for, and broadcast.
    Ufunc(&'static Ufunc, SmallVec<[Expr; 3]>),
    /// `astype`.
    Cast(Expr),
    View(Box<View>, Expr),
    /// The elements in C order under another shape, where no view can say it.
    Reshape(Expr),
    /// Sorted axes, which go away.
    Reduce(Fold, Axes, Expr),
    /// Operands of one dtype with the batch axes broadcast: [.., m, k] × [.., k, n].
    Matmul(Expr, Expr),
    /// Elements of the second along an axis, at the positions of the first (i32 or i64); its axes take that axis' place.
    Take {
        indices: Expr,
        source: Expr,
        axis: usize,
        mode: IndexMode,
    },
    Concat(usize, Vec<Expr>),
    Failed(Error),
}

impl Node {
    /// The nodes below, in order.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (some, many): (SmallVec<[&Expr; 3]>, &[Expr]) = match &self.kind {
            Kind::Leaf(..) | Kind::Weak(_) | Kind::Fill(_) | Kind::Iota(_) | Kind::Philox { .. } | Kind::Failed(_) => {
                (smallvec![], &[])
            }
            Kind::Ufunc(_, args) => (smallvec![], args),
            Kind::Concat(_, args) => (smallvec![], args),
            Kind::Cast(a) | Kind::View(_, a) | Kind::Reshape(a) | Kind::Reduce(_, _, a) => (smallvec![a], &[]),
            Kind::Matmul(a, b) => (smallvec![a, b], &[]),
            Kind::Take { indices, source, .. } => (smallvec![indices, source], &[]),
        };
        some.into_iter().chain(many)
    }

    fn take_children(&mut self, into: &mut Vec<Expr>) {
        match std::mem::replace(&mut self.kind, Kind::Iota(0)) {
            Kind::Leaf(..) | Kind::Weak(_) | Kind::Fill(_) | Kind::Iota(_) | Kind::Philox { .. } | Kind::Failed(_) => {}
            Kind::Ufunc(_, args) => into.extend(args),
            Kind::Concat(_, args) => into.extend(args),
            Kind::Cast(a) | Kind::View(_, a) | Kind::Reshape(a) | Kind::Reduce(_, _, a) => into.push(a),
            Kind::Matmul(a, b) => into.extend([a, b]),
            Kind::Take { indices, source, .. } => into.extend([indices, source]),
        }
    }
}

impl Drop for Node {
    // a chain of a million nodes must not take a million stack frames
    fn drop(&mut self) {
        if self.children().next().is_none() {
            return;
        }
        let mut stack = Vec::new();
        self.take_children(&mut stack);
        while let Some(expr) = stack.pop() {
            if let Some(mut node) = Arc::into_inner(expr.0) {
                node.take_children(&mut stack);
            }
        }
    }
}

/// An operand: an expression, or a number that has no dtype yet.
#[derive(Clone)]
#[doc(hidden)]
pub enum Arg {
    /// An expression.
    Expr(Expr),
    /// A number.
    Scalar(Scalar),
}

/// What an operation takes: an [`Array`](crate::Array), an [`Expr`], a reference to one, or a Rust number.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operand of cupric",
    label = "an Array, an Expr, a reference to one of them, or a Rust number is wanted here"
)]
pub trait Operand: Sealed {
    #[doc(hidden)]
    fn into_arg(self) -> Arg;
}

impl Sealed for Expr {}
impl Operand for Expr {
    fn into_arg(self) -> Arg {
        match self.0.kind {
            Kind::Weak(s) => Arg::Scalar(s),
            _ => Arg::Expr(self),
        }
    }
}
impl Sealed for &Expr {}
impl Operand for &Expr {
    fn into_arg(self) -> Arg {
        self.clone().into_arg()
    }
}

macro_rules! numbers {
    ($($t:ty: |$v:ident| $e:expr;)*) => { $(
        impl Operand for $t {
            fn into_arg(self) -> Arg {
                let $v = self;
                Arg::Scalar($e)
            }
        }
        impl Sealed for &$t {}
        impl Operand for &$t {
            fn into_arg(self) -> Arg {
                (*self).into_arg()
            }
        }
    )* };
}
impl Sealed for usize {}
impl Sealed for isize {}
numbers! {
    bool: |v| v.scalar(); u8: |v| v.scalar(); i8: |v| v.scalar(); u16: |v| v.scalar(); i16: |v| v.scalar();
    u32: |v| v.scalar(); i32: |v| v.scalar(); u64: |v| v.scalar(); i64: |v| v.scalar();
    f16: |v| v.scalar(); bf16: |v| v.scalar(); f32: |v| v.scalar(); f64: |v| v.scalar();
    usize: |v| Scalar::Int(v as i128); isize: |v| Scalar::Int(v as i128);
}

type Loc = &'static Location<'static>;

impl Expr {
    pub(crate) fn node(kind: Kind, shape: Shape, dtype: DType, device: u32, location: Loc) -> Expr {
        Expr(Arc::new(Node { kind, shape, dtype, device, location }))
    }

    pub(crate) fn failed(error: Error, location: Loc) -> Expr {
        Expr::node(Kind::Failed(error), smallvec![], DType::F32, 0, location)
    }

    pub(crate) fn fill(value: Scalar, shape: Shape, dtype: DType, location: Loc) -> Expr {
        Expr::node(Kind::Fill(value), shape, dtype, 0, location)
    }

    /// The error that the expression carries.
    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.0.kind {
            Kind::Failed(e) => Some(e),
            _ => None,
        }
    }

    /// The node, or the carried error.
    pub(crate) fn checked(&self) -> Result<&Node> {
        match &self.0.kind {
            Kind::Failed(e) => Err(e.clone()),
            _ => Ok(&self.0),
        }
    }

    /// The lengths of the axes.
    ///
    /// # Errors
    /// The error that the expression carries.
    pub fn shape(&self) -> Result<&[usize]> {
        Ok(&self.checked()?.shape)
    }

    /// The number of axes.
    ///
    /// # Errors
    /// The error that the expression carries.
    pub fn ndim(&self) -> Result<usize> {
        Ok(self.checked()?.shape.len())
    }

    /// The number of elements.
    ///
    /// # Errors
    /// The error that the expression carries.
    pub fn size(&self) -> Result<usize> {
        Ok(layout::product(&self.checked()?.shape))
    }

    /// The element type.
    ///
    /// # Errors
    /// The error that the expression carries.
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.checked()?.dtype)
    }
}

/// Runs a fallible construction; its error becomes a node.
pub(crate) fn carry(location: Loc, build: impl FnOnce() -> Result<Expr>) -> Expr {
    build().unwrap_or_else(|e| Expr::failed(e.or_at(location), location))
}

/// The first error among expressions, and the device they share.
pub(crate) fn common<'a>(op: &str, args: impl Iterator<Item = &'a Expr> + Clone, at: Loc) -> Result<u32> {
    if let Some(e) = args.clone().find_map(Expr::error) {
        return Err(e.clone());
    }
    let mut device = 0;
    for a in args.clone() {
        match (device, a.0.device) {
            (_, 0) => {}
            (0, d) => device = d,
            (d, e) if mutant!(operands_on_two_devices, true, d == e) => {}
            (d, e) => {
                let name = |id| args.clone().find(|a| a.0.device == id).map_or(String::new(), device_name);
                return Err(Error::new(
                    ErrorKind::DeviceMismatch,
                    op,
                    format!("operands are on {} and {}; move one with to_device", name(d), name(e)),
                    at,
                ));
            }
        }
    }
    Ok(device)
}

/// The name of the device of the stored arrays below.
pub(crate) fn device_name(expr: &Expr) -> String {
    buffer_below(expr).map_or_else(|| format!("device {}", expr.0.device), |b| b.device_name().to_string())
}

/// Any stored array below.
pub(crate) fn buffer_below(expr: &Expr) -> Option<&Buffer> {
    let mut at = expr;
    loop {
        if let Kind::Leaf(b, _) = &at.0.kind {
            return Some(b);
        }
        at = at.0.children().find(|c| c.0.device != 0)?;
    }
}

/// `astype`: nothing for the same type, and no detour by an integer type that held every value.
pub(crate) fn cast(e: Expr, to: DType, at: Loc) -> Expr {
    if e.error().is_some() || e.0.dtype == to && !matches!(e.0.kind, Kind::Weak(_)) {
        return e;
    }
    match &e.0.kind {
        Kind::Weak(s) => Expr::fill(*s, smallvec![], to, at),
        Kind::Cast(from) if from.0.dtype.widens_to(e.0.dtype) => cast(from.clone(), to, at),
        _ => {
            let (shape, device) = (e.0.shape.clone(), e.0.device);
            Expr::node(Kind::Cast(e), shape, to, device, at)
        }
    }
}

/// A number alone becomes a 0-d array of its default dtype.
pub(crate) fn strong(e: Expr, at: Loc) -> Expr {
    match &e.0.kind {
        Kind::Weak(s) => Expr::fill(*s, smallvec![], s.default_dtype(), at),
        _ => e,
    }
}

/// An operand that must be an array: a number becomes one.
pub(crate) fn operand(a: impl Operand, at: Loc) -> Expr {
    match a.into_arg() {
        Arg::Expr(e) => e,
        Arg::Scalar(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
    }
}

/// A view: of a stored array it is a new layout; views of views and of fills fold.
pub(crate) fn view(op: &str, e: &Expr, at: Loc, make: impl FnOnce(&[usize]) -> Result<View, Fault>) -> Expr {
    carry(at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let v = make(&e.0.shape).map_err(|f| f.at(op, at))?;
        Ok(apply_view(e, v, at))
    })
}

fn apply_view(e: Expr, v: View, at: Loc) -> Expr {
    if v.is_identity_of(&e.0.shape) {
        return e;
    }
    let (dtype, device, shape) = (e.0.dtype, e.0.device, v.shape.clone());
    match &e.0.kind {
        Kind::Leaf(b, l) => Expr::node(Kind::Leaf(b.clone(), Box::new(l.view(&v))), shape, dtype, device, at),
        Kind::Fill(s) => Expr::node(Kind::Fill(*s), shape, dtype, device, at),
        Kind::View(inner, below) => {
            Expr::node(Kind::View(Box::new(v.after(inner)), below.clone()), shape, dtype, device, at)
        }
        _ => Expr::node(Kind::View(Box::new(v), e), shape, dtype, device, at),
    }
}

/// The same elements in C order under another shape.
pub(crate) fn reshape(op: &str, e: &Expr, to: &[isize], at: Loc) -> Expr {
    carry(at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let shape = layout::reshape_arg(&e.0.shape, to).map_err(|f| f.at(op, at))?;
        if shape == e.0.shape {
            return Ok(e);
        }
        let (dtype, device) = (e.0.dtype, e.0.device);
        if let Kind::Leaf(b, l) = &e.0.kind
            && let Some(l) = l.reshape(&shape)
        {
            return Ok(Expr::node(Kind::Leaf(b.clone(), Box::new(l)), shape, dtype, device, at));
        }
        if let Some(v) = View::reshape(&e.0.shape, &shape) {
            return Ok(apply_view(e, v, at));
        }
        Ok(Expr::node(Kind::Reshape(e), shape, dtype, device, at))
    })
}

/// A reduction along axes; `keep` leaves them with length 1. The operand has the dtype of the result already.
pub(crate) fn reduce(op: &'static str, fold: Fold, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    carry(at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let shape = e.0.shape.clone();
        let sorted = axes.resolve(shape.len()).map_err(|f| f.at(op, at))?;
        let n = layout::product(sorted.iter().map(|d| &shape[*d]));
        let kept: Shape = (0..shape.len()).filter(|d| !sorted.contains(d)).map(|d| shape[d]).collect();
        // what no elements give
        let empty = match fold {
            Fold::Ufunc(row) => row.reduce.and_then(|r| r.empty),
            Fold::ArgMin | Fold::ArgMax => None,
        };
        if empty.is_none() && n == 0 && !kept.contains(&0) {
            let detail = format!("shape {:?} has no elements along axes {:?}", shape.as_slice(), sorted.as_slice());
            return Err(Error::new(ErrorKind::Shape, op, detail, at));
        }
        let index = matches!(fold, Fold::ArgMin | Fold::ArgMax);
        if index && n > i32::MAX as usize {
            return Err(Error::new(ErrorKind::LimitExceeded, op, format!("{n} positions do not fit i32"), at));
        }
        let dtype = if index { DType::I32 } else { e.0.dtype };
        let device = e.0.device;
        // no elements: the same number everywhere, and no kernel
        if n == 0
            && !kept.contains(&0)
            && let Some(number) = empty
        {
            // lengths that only a 0 beside them made possible
            layout::size_of_shape(&kept).map_err(|f| f.at(op, at))?;
            let number = if number.is_finite() { Scalar::Int(number as i128) } else { Scalar::Float(number) };
            let full: Shape = match axes.keep {
                true => (0..shape.len()).map(|d| if sorted.contains(&d) { 1 } else { shape[d] }).collect(),
                false => kept,
            };
            return Ok(Expr::node(Kind::Fill(number), full, dtype, device, at));
        }
        // nothing to reduce: a position is 0, everything else is the value
        let out = if sorted.is_empty() {
            if index { Expr::node(Kind::Fill(Scalar::Int(0)), shape.clone(), dtype, device, at) } else { e }
        } else {
            Expr::node(Kind::Reduce(fold, sorted.clone(), e), kept, dtype, device, at)
        };
        if !axes.keep {
            return Ok(out);
        }
        let mut full = shape.clone();
        let mut v = View::identity(&[]);
        for d in &sorted {
            full[*d] = 1;
        }
        v = View::reshape(&out.0.shape, &full).unwrap_or(v);
        Ok(apply_view(out, v, at))
    })
}
