//! Floor 3: the expression: a node of a DAG that has not run yet.
//!
//! Shape and dtype are inferred when a node is built; what does not fit becomes a node that carries its error. About
//! ten kinds of node exist, and every operation of the library is made of them.

use crate::buffer::Buffer;
use crate::dtype::{Compute, DType, Element, Scalar, sealed::Sealed};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layout::{self, Axes, AxesArg, IndexMode, Layout, Shape, View};
use crate::ufunc::{Class, Fold, Ufunc, logic};
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
        Ok(self.checked()?.shape.iter().product())
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
            (d, e) if d == e => {}
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

/// An elementwise function of operands.
pub(crate) fn ufunc(row: &'static Ufunc, args: SmallVec<[Arg; 3]>, at: Loc) -> Expr {
    carry(at, || build_ufunc(row, args, at))
}

fn dtype_error(row: &Ufunc, dtypes: &[DType], at: Loc) -> Error {
    let list: Vec<_> = dtypes.iter().map(|d| d.name()).collect();
    let detail = match row.name {
        _ if dtypes.len() > 1 && dtypes.iter().any(|d| *d != dtypes[0]) => {
            format!("dtypes {} have no common type for it; use astype", list.join(" and "))
        }
        _ => format!("dtype {} is not supported", list[0]),
    };
    Error::new(ErrorKind::DType, row.name, detail, at)
}

fn build_ufunc(row: &'static Ufunc, args: SmallVec<[Arg; 3]>, at: Loc) -> Result<Expr> {
    let device = common(row.name, args.iter().filter_map(as_expr), at)?;
    if args.iter().all(|a| as_expr(a).is_none()) {
        return fold_scalars(row, &args, at);
    }
    // the operands whose types are promoted: select's condition has its own
    let first = (row.class == Class::Select) as usize;
    let own: SmallVec<[DType; 3]> = args[first..].iter().filter_map(as_expr).map(|e| e.0.dtype).collect();
    let mut dtype = match own.split_first() {
        Some((d, rest)) => rest.iter().try_fold(*d, |a, b| a.promote(*b)),
        None => {
            // select of two numbers: the type of an array of them
            let d = |i: usize| scalar_of(&args[i]).map(Scalar::default_dtype);
            d(1).and_then(|a| a.promote(d(2)?))
        }
    };
    if row.class == Class::Compare && own.len() == 2 {
        if let Some(e) = compare_mixed_signs(row, &args, own[0], own[1], at) {
            return Ok(e);
        }
    }
    for a in &args[first..] {
        let (Some(s), Some(d)) = (scalar_of(a), dtype) else { continue };
        let Some(p) = s.promote_with(d) else {
            if row.class == Class::Compare {
                return Ok(compare_outside(row, &args, d, device, at));
            }
            return Err(Error::new(ErrorKind::Argument, row.name, format!("{s} does not fit dtype {d}"), at));
        };
        dtype = Some(p);
    }
    let dtype = dtype.ok_or_else(|| match own.is_empty() {
        true => Error::new(ErrorKind::DType, row.name, "the two numbers have no common type", at),
        false => dtype_error(row, &own, at),
    })?;
    let operand = row.class.operand(dtype);
    let takes = match row.class {
        Class::FloatOnly => operand.is_float(),
        Class::Select => true,
        _ => row.on_cpu(operand.compute()),
    };
    if !takes {
        return Err(dtype_error(row, if own.is_empty() { &[DType::Bool] } else { &own }, at));
    }
    if row.name == "pow"
        && operand.is_integer()
        && let Some(Scalar::Int(n)) = scalar_of(&args[1])
        && n < 0
    {
        return Err(Error::new(
            ErrorKind::Argument,
            row.name,
            format!("{dtype} to the negative power {n}; use astype to a float type first"),
            at,
        ));
    }
    let row = match (row.half, operand) {
        (Some(h), DType::F16) => h[0],
        (Some(h), DType::BF16) => h[1],
        _ => row,
    };
    let mut shape: Option<Shape> = None;
    for e in args.iter().filter_map(as_expr) {
        shape = Some(match shape {
            None => e.0.shape.clone(),
            Some(s) if s == e.0.shape => s,
            Some(s) => layout::broadcast(&s, &e.0.shape).map_err(|f| f.at(row.name, at))?,
        });
    }
    let operands = args.into_iter().enumerate().map(|(i, a)| {
        let to = if i < first { DType::Bool } else { operand };
        match a {
            Arg::Expr(e) => cast(e, to, at),
            Arg::Scalar(s) => Expr::fill(s, smallvec![], to, at),
        }
    });
    let kind = Kind::Ufunc(row, operands.collect());
    Ok(Expr::node(kind, shape.unwrap_or_default(), row.class.result(dtype), device, at))
}

fn as_expr(a: &Arg) -> Option<&Expr> {
    match a {
        Arg::Expr(e) => Some(e),
        Arg::Scalar(_) => None,
    }
}

fn scalar_of(a: &Arg) -> Option<Scalar> {
    match a {
        Arg::Expr(_) => None,
        Arg::Scalar(s) => Some(*s),
    }
}

/// A comparison of a signed with an unsigned type that no common type of the device may hold: by sign first.
fn compare_mixed_signs(row: &'static Ufunc, args: &[Arg], a: DType, b: DType, at: Loc) -> Option<Expr> {
    let (Arg::Expr(x), Arg::Expr(y)) = (&args[0], &args[1]) else { return None };
    let swapped = a.is_unsigned_integer() && b.is_signed_integer();
    if !(swapped || a.is_signed_integer() && b.is_unsigned_integer()) {
        return None;
    }
    let (signed, unsigned) = if swapped { (b, a) } else { (a, b) };
    if unsigned.size() < 4 || signed.size() > unsigned.size() {
        return None;
    }
    let s = if swapped { y } else { x };
    let negative = ufunc(&logic::signbit, smallvec![Arg::Expr(s.clone())], at);
    let to_unsigned = |e: &Expr| Arg::Expr(cast(e.clone(), unsigned, at));
    let compared = ufunc(row, smallvec![to_unsigned(x), to_unsigned(y)], at);
    // what the comparison says of a negative number and any unsigned one
    let if_negative = match row.name {
        "not_equal" => true,
        "less" | "less_equal" => !swapped,
        "greater" | "greater_equal" => swapped,
        _ => false,
    };
    Some(if if_negative {
        ufunc(&logic::logical_or, smallvec![Arg::Expr(negative), Arg::Expr(compared)], at)
    } else {
        let positive = ufunc(&logic::logical_not, smallvec![Arg::Expr(negative)], at);
        ufunc(&logic::logical_and, smallvec![Arg::Expr(positive), Arg::Expr(compared)], at)
    })
}

/// A comparison of an integer array with a number outside its type: the answer is the same for every element.
fn compare_outside(row: &'static Ufunc, args: &[Arg], dtype: DType, device: u32, at: Loc) -> Expr {
    let left = scalar_of(&args[0]);
    let number = left.or(scalar_of(&args[1])).map_or(0, Scalar::as_i128);
    let shape = args.iter().find_map(as_expr).map(|e| e.0.shape.clone()).unwrap_or_default();
    // the array is below the number, or above it
    let below = number > dtype.integer_range().1;
    let first_is_less = below == left.is_none();
    let answer = match row.name {
        "not_equal" => true,
        "less" | "less_equal" => first_is_less,
        "greater" | "greater_equal" => !first_is_less,
        _ => false,
    };
    Expr::node(Kind::Fill(Scalar::Bool(answer)), shape, DType::Bool, device, at)
}

/// A function of numbers alone gives a number: computed now, in f64 or 64-bit integers.
fn fold_scalars(row: &'static Ufunc, args: &[Arg], at: Loc) -> Result<Expr> {
    let scalars: SmallVec<[Scalar; 3]> = args.iter().filter_map(scalar_of).collect();
    if let [Scalar::Int(a), Scalar::Int(b)] = scalars[..] {
        let truth = match row.name {
            "equal" => Some(a == b),
            "not_equal" => Some(a != b),
            "less" => Some(a < b),
            "less_equal" => Some(a <= b),
            "greater" => Some(a > b),
            "greater_equal" => Some(a >= b),
            _ => None,
        };
        if let Some(t) = truth {
            return Ok(Expr::node(Kind::Weak(Scalar::Bool(t)), smallvec![], DType::Bool, 0, at));
        }
        // a negative number and one beyond i64 have no common type
        if a.min(b) < 0 && a.max(b) > i64::MAX as i128 {
            return Err(dtype_error(row, &[DType::I64, DType::U64], at));
        }
    }
    let wide = |s: &Scalar| match s {
        Scalar::Bool(_) => DType::Bool,
        Scalar::Int(v) if i64::try_from(*v).is_ok() => DType::I64,
        Scalar::Int(_) => DType::U64,
        Scalar::Float(_) => DType::F64,
    };
    let first = (row.class == Class::Select) as usize;
    let dtype = scalars[first..].iter().map(wide).reduce(|a, b| match (a, b) {
        (a, b) if a == b => a,
        (DType::F64, _) | (_, DType::F64) => DType::F64,
        (DType::U64, _) | (_, DType::U64) => DType::U64,
        _ => DType::I64,
    });
    let mut dtype = dtype.unwrap_or(DType::F64);
    if matches!(row.class, Class::Float | Class::FloatOnly) {
        dtype = DType::F64;
    }
    if row.class == Class::Logical {
        dtype = DType::Bool;
    }
    let compute = dtype.compute();
    let Some(loops) = row.loops[compute as usize] else { return Err(dtype_error(row, &[dtype], at)) };
    if row.name == "pow" && dtype != DType::F64 && scalars[1].as_i128() < 0 {
        return Err(Error::new(ErrorKind::Argument, row.name, "an integer to a negative power", at));
    }
    let mut bits = [0u64; 4];
    for (i, s) in scalars.iter().enumerate() {
        bits[i] = s.bits(if i < first { DType::Bool } else { dtype });
    }
    let p = |i: usize| bits[i..].as_ptr() as *const u8;
    let mut out = [0u64; 1];
    // SAFETY: each pointer leads to one aligned element of at least the compute type's size; out is apart.
    unsafe { loops.get()(1, p(0), p(1), p(2), out.as_mut_ptr() as *mut u8) };
    let result = match row.class.result(dtype) {
        DType::Bool => Compute::Bool,
        _ => compute,
    };
    let value = Scalar::from_bits(out[0], result);
    Ok(Expr::node(Kind::Weak(value), smallvec![], value.default_dtype(), 0, at))
}

/// `astype`: nothing for the same type.
pub(crate) fn cast(e: Expr, to: DType, at: Loc) -> Expr {
    if e.error().is_some() || e.0.dtype == to && !matches!(e.0.kind, Kind::Weak(_)) {
        return e;
    }
    match &e.0.kind {
        Kind::Weak(s) => Expr::fill(*s, smallvec![], to, at),
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
        let n: usize = sorted.iter().map(|d| shape[*d]).product();
        let kept: Shape = (0..shape.len()).filter(|d| !sorted.contains(d)).map(|d| shape[d]).collect();
        let no_identity = match fold {
            Fold::Ufunc(row) => matches!(row.name, "minimum" | "maximum"),
            Fold::ArgMin | Fold::ArgMax => true,
        };
        if no_identity && n == 0 && !kept.contains(&0) {
            let detail = format!("shape {:?} has no elements along axes {:?}", shape.as_slice(), sorted.as_slice());
            return Err(Error::new(ErrorKind::Shape, op, detail, at));
        }
        let index = matches!(fold, Fold::ArgMin | Fold::ArgMax);
        if index && n > i32::MAX as usize {
            return Err(Error::new(ErrorKind::LimitExceeded, op, format!("{n} positions do not fit i32"), at));
        }
        let dtype = if index { DType::I32 } else { e.0.dtype };
        let device = e.0.device;
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
