//! The expression: a graph of operations that have not run yet.
//!
//! Shape and dtype are inferred when a node is built. An operation that does not fit its operands becomes a node that
//! carries the error. Every operation of the library is built from the few kinds of nodes in [`NodeOp`].

mod build;
mod copies;
mod making;
mod node;
mod operand;
mod rows;

pub(crate) use build::{at_once, binary, choose, rounded, routine, ufunc, unary};
pub(crate) use copies::{array_below, number, scoped};
pub(crate) use making::{Called, Inner, PublicCall, between, by_user, called, composed, result_of};
use making::{NodeContext, call, context, making, of_call};
pub(crate) use node::{Args, Back, Binding, Node, NodeOp, Order, Reach, Role, Rule};
pub use operand::{Arg, Operand};
pub(crate) use operand::{Unfit, operand, operand_list, operands};
pub(crate) use rows::{Rows, doubts};

use crate::base::buffer::Buffer;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind, Fault, Loc, Result};
use crate::base::layout::{self, AxesArg, Layout, Shape, Strides, View};
use crate::base::shared::{Shared, Unique};
use crate::graph::ufunc::Fold;
use smallvec::smallvec;
use std::panic::Location;

/// An operation that has not run yet. It is cheap to build and to clone, and does nothing until it is evaluated.
///
/// ```
/// use cupric::array;
/// let x = array![1., 2., 3.];
/// let y = &x * 2.0 + 1.0;               // an Expr: nothing has run
/// assert_eq!(y.shape()?, [3]);
/// assert_eq!(y.to_vec::<f32>()?, [3., 5., 7.]);
/// # Ok::<(), cupric::Error>(())
/// ```
///
/// | methods | sections of this page |
/// |---|---|
/// | values | [Evaluation](#evaluation), [Evaluation in blocks of rows](#evaluation-in-blocks-of-rows), [Plans and memory order](#plans-and-memory-order), [Transfers and reading](#transfers-and-reading), [Nested lists](#nested-lists), [Printing](#printing) |
/// | files and other libraries | [NumPy files](#numpy-files), [Text files](#text-files), [Images](#images), [Arrays of ndarray](#arrays-of-ndarray), [Names of other libraries](#names-of-other-libraries) |
/// | shapes and views | [Shape and dtype](#shape-and-dtype), [Slices and views](#slices-and-views), [Order, repetition and splitting](#order-repetition-and-splitting), [Insertion and deletion](#insertion-and-deletion), [Padding](#padding), [Triangles and diagonals](#triangles-and-diagonals) |
/// | indexing | [Positions along an axis](#positions-along-an-axis), [Positions in the whole array](#positions-in-the-whole-array), [Updates at positions](#updates-at-positions), [Masks](#masks), [Choices and flat positions](#choices-and-flat-positions) |
/// | elementwise functions | [Arithmetic](#arithmetic), [Exponentials, logarithms and trigonometry](#exponentials-logarithms-and-trigonometry), [Special functions and activations](#special-functions-and-activations), [Comparisons, logic and bits](#comparisons-logic-and-bits), [Rounding and parts of numbers](#rounding-and-parts-of-numbers), [Closeness, quotients and bounds](#closeness-quotients-and-bounds), [Polynomials](#polynomials), [Conversion and matrix products](#conversion-and-matrix-products) |
/// | reductions | [Reductions](#reductions), [Variances with a correction](#variances-with-a-correction), [Reductions that ignore NaN](#reductions-that-ignore-nan), [Corrected variances that ignore NaN](#corrected-variances-that-ignore-nan), [Cumulative functions](#cumulative-functions), [Differences and integrals](#differences-and-integrals) |
/// | statistics and counts | [Ranges, averages and covariances](#ranges-averages-and-covariances), [Medians and quantiles](#medians-and-quantiles), [Histograms](#histograms), [Counts of integers](#counts-of-integers), [Sums of segments](#sums-of-segments) |
/// | sorting, searching and sets | [Sorting](#sorting), [Largest elements and partitions](#largest-elements-and-partitions), [Search in sorted values](#search-in-sorted-values), [Sets](#sets) |
/// | linear algebra | [Products](#products), [Norms](#norms), the module [`linalg`](crate::linalg) |
/// | neural networks | [Convolutions](#convolutions), [Pooling](#pooling), [Softmax and normalisation](#softmax-and-normalisation), [Regularisation](#regularisation), [Classes](#classes), [Derivatives](#derivatives) |
#[derive(Clone)]
#[must_use = "an expression does nothing until it is evaluated"]
pub struct Expr(pub(crate) Shared<Node>);

/// The parts of a new node that differ in their sizes between operations.
type Parts = (NodeOp, Binding, Args, Shape);

/// # Shape and dtype
impl Expr {
    /// Makes a node whose operation, binding, operands and shape `parts` returns. The caller may add operands and axes.
    /// `parts` is called last: if its results existed during a call that may panic, the compiler would keep them in
    /// memory to drop them then, and move them from there.
    #[inline(always)]
    fn made(parts: impl FnOnce() -> Parts, dtype: DType, device: u32, location: Loc) -> Unique<Node> {
        let NodeContext { inner, scope } = context();
        let mut node = Unique::new(|| {
            let (op, binding, args, shape) = parts();
            let (wraps, rule, order) = (false, None, None);
            Node { op, args, binding, shape, dtype, device, inner, wraps, rule, scope, order, call: None, location }
        });
        if let Some(call) = call() {
            (node.call, node.location) = (Some(call.name), call.at);
        }
        node
    }

    /// Makes the node of an operation. The caller has checked that the operands' dtypes, shapes and devices fit. If
    /// `device` is 0, the node has the device of the first operand that has one.
    pub(crate) fn node(op: NodeOp, args: Args, shape: Shape, dtype: DType, device: u32, location: Loc) -> Expr {
        let of_operands = || args.iter().map(|a| a.0.device).find(|d| *d != 0).unwrap_or(0);
        let device = if device == 0 { of_operands() } else { device };
        Expr(Expr::made(|| (op, Binding::None, args, shape), dtype, device, location).share())
    }

    /// Makes a node without operands.
    pub(crate) fn leaf(op: NodeOp, binding: Binding, shape: Shape, dtype: DType, device: u32, location: Loc) -> Expr {
        Expr(Expr::made(|| (op, binding, Args::new(), shape), dtype, device, location).share())
    }

    pub(crate) fn failed(error: Error, location: Loc) -> Expr {
        Expr::leaf(NodeOp::Failed, Binding::Failure(of_call(error)), smallvec![], DType::F32, 0, location)
    }

    pub(crate) fn fill(value: Scalar, shape: Shape, dtype: DType, location: Loc) -> Expr {
        Expr::fill_on(0, value, shape, dtype, location)
    }

    /// Makes a fill (an array whose elements all equal one number) on a device. If the result of an operation on an
    /// array is a known number, this fill replaces the operation, and the result stays on the array's device.
    pub(crate) fn fill_on(device: u32, value: Scalar, shape: Shape, dtype: DType, location: Loc) -> Expr {
        Expr::leaf(NodeOp::Fill, Binding::Number(value), shape, dtype, device, location)
    }

    /// Makes a 0-d fill.
    #[inline]
    pub(crate) fn fill_0d(value: Scalar, dtype: DType, location: Loc) -> Expr {
        let parts = || (NodeOp::Fill, Binding::Number(value), Args::new(), Shape::new());
        Expr(Expr::made(parts, dtype, 0, location).share())
    }

    /// Makes the node of a number that has no dtype yet. It takes its dtype from the array that it is combined with.
    pub(crate) fn number(value: Scalar, location: Loc) -> Expr {
        let dtype = value.default_dtype();
        Expr::leaf(NodeOp::Number, Binding::Number(value), smallvec![], dtype, 0, location)
    }

    /// Marks an integer operation that overflows (wraps) by design, so that overflow checks skip it. The expression
    /// must be new: if something else also holds its node, it is not marked.
    pub(crate) fn wrapping(mut self) -> Expr {
        if let Some(node) = Shared::get_mut(&mut self.0) {
            node.wraps = true;
        }
        self
    }

    /// Makes the node of an array that is in memory.
    pub(crate) fn stored(buffer: Buffer, layout: &Layout, dtype: DType, location: Loc) -> Expr {
        let mut node = Expr::unbound(&layout.shape, &layout.strides, dtype, buffer.device_id(), location);
        node.binding = Binding::Array { buffer, offset: layout.offset };
        Expr(node.share())
    }

    /// Makes the node of an array that is in memory, to which the caller binds a buffer.
    #[inline(always)]
    pub(crate) fn unbound(shape: &Shape, strides: &Strides, dtype: DType, device: u32, location: Loc) -> Unique<Node> {
        let parts = || (NodeOp::Stored(Strides::new()), Binding::None, Args::new(), Shape::new());
        let mut node = Expr::made(parts, dtype, device, location);
        layout::extend(&mut node.shape, shape);
        if let NodeOp::Stored(own) = &mut node.op {
            layout::extend(own, strides);
        }
        node
    }

    /// Returns the error that the expression carries, if any.
    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.0.binding {
            Binding::Failure(e) => Some(e),
            Binding::None | Binding::Array { .. } | Binding::Number(_) | Binding::Random { .. } => None,
        }
    }

    /// Returns the node, or the error that the expression carries.
    pub(crate) fn checked(&self) -> Result<&Node> {
        match self.error() {
            Some(e) => Err(e.clone()),
            None => Ok(&self.0),
        }
    }

    /// Returns the shape: the length of each axis.
    ///
    /// # Errors
    /// Returns the error that the expression carries, if any.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3], cupric::DType::F32);
    /// assert_eq!(x.t().shape()?, [3, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn shape(&self) -> Result<&[usize]> {
        Ok(&self.checked()?.shape)
    }

    /// Returns the number of axes.
    ///
    /// # Errors
    /// Returns the error that the expression carries, if any.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3], cupric::DType::F32);
    /// assert_eq!(x.expand_dims(0).ndim()?, 3);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("ndimension"))]
    pub fn ndim(&self) -> Result<usize> {
        Ok(self.checked()?.shape.len())
    }

    /// Returns the number of elements: 1 for a 0-d expression, 0 if an axis has length 0.
    ///
    /// # Errors
    /// Returns the error that the expression carries, if any.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3], cupric::DType::F32);
    /// assert_eq!(x.flip(0).size()?, 6);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("numel", "nelement"))]
    pub fn size(&self) -> Result<usize> {
        Ok(layout::product(&self.checked()?.shape))
    }

    /// Returns the shape as an array, for a known number of axes: `let [rows, columns] = x.dims()?`.
    ///
    /// # Errors
    /// Returns an error of [`ErrorKind::Shape`] if the number of axes is not `N`, or the error that the expression
    /// carries.
    ///
    /// ```
    /// let x = cupric::array![[1., 2., 3.], [4., 5., 6.]];
    /// let [rows, columns] = x.dims()?;
    /// assert_eq!((rows, columns), (2, 3));
    /// let e = x.dims::<3>().unwrap_err();
    /// assert!(e.to_string().starts_with("dims: shape [2, 3] has 2 axes, where 3 are needed"));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("dims2", "dims3", "dim"))]
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> Result<[usize; N]> {
        let (shape, at) = (self.shape()?, Location::caller());
        shape.try_into().map_err(|_| {
            let detail = format!("shape {shape:?} has {} axes, where {N} are needed", shape.len());
            Error::with_line(ErrorKind::Shape, "dims", detail, at)
        })
    }

    /// Returns the dtype of the elements. For a number that has not been combined with an array yet, returns the dtype
    /// of an array made from this number alone.
    ///
    /// # Errors
    /// Returns the error that the expression carries, if any.
    ///
    /// ```
    /// use cupric::{DType, array};
    /// assert_eq!((array![1, 2] * 0.5).dtype()?, DType::F32);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.checked()?.dtype)
    }
}

/// Builds an expression by `build`. If that fails, returns an expression that carries the error. The error gets
/// `location` as the caller's line unless it has one already.
pub(crate) fn carry(location: Loc, build: impl FnOnce() -> Result<Expr>) -> Expr {
    build().unwrap_or_else(|e| Expr::failed(e.or_at(location), location))
}

/// Returns the number of the device that all the expressions are on, or 0 if none of them has a device.
///
/// # Errors
/// Returns the first error that one of the expressions carries, or an error if they are on different devices.
pub(crate) fn common<'a>(op: &str, args: impl Iterator<Item = &'a Expr> + Clone, at: Loc) -> Result<u32> {
    let (mut device, mut other) = (0, 0);
    for a in args.clone() {
        if let Some(e) = a.error() {
            return Err(e.clone());
        }
        match (device, a.0.device) {
            (_, 0) => {}
            (0, d) => device = d,
            (d, e) if mutant!(operands_on_two_devices, true, d == e) => {}
            (_, e) => other = if other == 0 { e } else { other },
        }
    }
    if other == 0 {
        return Ok(device);
    }
    let name = |id| args.clone().find(|a| a.0.device == id).map_or(String::new(), device_name);
    let detail = format!("operands are on {} and {}; move one with to_device", name(device), name(other));
    Err(Error::with_line(ErrorKind::DeviceMismatch, op, detail, at))
}

/// Returns the name of the expression's device, which is stored with every array that the expression reads. If it reads
/// no array, returns "device" and the device's number.
pub(crate) fn device_name(expr: &Expr) -> String {
    buffer_below(expr).map_or_else(|| format!("device {}", expr.0.device), |b| b.device_name().to_string())
}

/// Returns the buffer of one of the stored arrays that the expression reads. An expression with a device reads at least
/// one, unless it consists only of a fill on a device.
pub(crate) fn buffer_below(expr: &Expr) -> Option<&Buffer> {
    array_below(expr)?.0.stored().map(|(buffer, ..)| buffer)
}

/// Converts an expression to a dtype. Makes no cast if the dtype is the same, converts a number immediately, and drops
/// an earlier cast of an integer or bool to a wider integer type, because that cast changed no value.
pub(crate) fn cast(e: Expr, to: DType, at: Loc) -> Expr {
    if e.error().is_some() || e.0.dtype == to && e.0.untyped().is_none() {
        return e;
    }
    if let Some(s) = e.0.untyped() {
        return Expr::fill(s, smallvec![], to, at);
    }
    if let (NodeOp::Cast, [from]) = (&e.0.op, &e.0.args[..])
        && from.0.dtype.widens_to(e.0.dtype)
    {
        return cast(from.clone(), to, at);
    }
    cast_always(e, to, at)
}

/// Makes a cast even if the expression has the dtype already. For f16 and bf16, this rounds each element, which a
/// kernel otherwise keeps as f32.
pub(crate) fn cast_always(e: Expr, to: DType, at: Loc) -> Expr {
    let (shape, device) = (layout::copied(&e.0.shape), e.0.device);
    Expr::node(NodeOp::Cast, smallvec![e], shape, to, device, at)
}

/// Turns an expression that is a number into a 0-d fill of the number's default dtype. Returns any other expression
/// unchanged.
pub(crate) fn strong(e: Expr, at: Loc) -> Expr {
    match e.0.untyped() {
        Some(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
        None => e,
    }
}

/// Makes a view of an expression. A view of a stored array is a stored array with another layout. A view of a view
/// becomes a single view, and a view of a fill becomes a fill.
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
    let (dtype, device) = (e.0.dtype, e.0.device);
    // a node with a derivative rule is not replaced, because its rule would be lost
    let has_rule = e.0.rule.is_some();
    if let Some((buffer, strides, offset)) = e.0.stored().filter(|_| !has_rule) {
        let layout = Layout::view_of(strides, offset, &v);
        return Expr::stored(buffer.clone(), &layout, dtype, at);
    }
    if let Some(s) = e.0.number() {
        let fill = Expr::fill_on(device, s, v.shape, dtype, at).called_as(&e);
        return match &e.0.rule {
            Some(rule) => fill.with_rule(rule.operands.clone(), None),
            None => fill,
        };
    }
    let (v, below) = match (&e.0.op, &e.0.args[..]) {
        (NodeOp::View(inner), [below]) if !has_rule => (v.after(inner), below.clone()),
        _ => (v, e),
    };
    let shape = v.shape.clone();
    Expr::node(NodeOp::View(Box::new(v)), smallvec![below], shape, dtype, device, at)
}

/// Reshapes an expression; its elements keep their C order. Makes a view if strides can express the new shape, and a
/// `Reshape` node otherwise.
pub(crate) fn reshape(op: &str, e: &Expr, to: &[isize], at: Loc) -> Expr {
    carry(at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let is_same =
            |shape: &[usize]| shape.len() == to.len() && shape.iter().zip(to).all(|(n, to)| *n as isize == *to);
        if is_same(&e.0.shape) {
            return Ok(e);
        }
        let shape = layout::reshape_arg(&e.0.shape, to).map_err(|f| f.at(op, at))?;
        if shape == e.0.shape {
            return Ok(e);
        }
        let (dtype, device) = (e.0.dtype, e.0.device);
        if let Some((buffer, ..)) = e.0.stored().filter(|_| e.0.rule.is_none())
            && let Some(l) = e.0.layout().and_then(|l| l.reshape(&shape))
        {
            return Ok(Expr::stored(buffer.clone(), &l, dtype, at));
        }
        if let Some(v) = View::reshape(&e.0.shape, &shape) {
            return Ok(apply_view(e, v, at));
        }
        let base = reshaped_from(&e);
        if base.0.shape == shape {
            return Ok(base.clone());
        }
        if let Some(v) = View::reshape(&base.0.shape, &shape) {
            return Ok(apply_view(base.clone(), v, at));
        }
        Ok(Expr::node(NodeOp::Reshape, smallvec![base.clone()], shape, dtype, device, at))
    })
}

/// Returns the expression that is left when all reshapes at the end of `e` are removed. Reshapes keep the order of
/// elements, so one reshape of that expression equals the whole chain, with at most one copy.
fn reshaped_from(mut e: &Expr) -> &Expr {
    loop {
        match (&e.0.op, &e.0.args[..]) {
            _ if e.0.rule.is_some() => return e,
            (NodeOp::Reshape, [below]) => e = below,
            (NodeOp::View(v), [below]) if View::reshape(&below.0.shape, &e.0.shape).is_some_and(|r| r == **v) => {
                e = below;
            }
            _ => return e,
        }
    }
}

/// Makes a reduction along axes. The caller has cast the operand to the dtype whose elements the fold combines. With
/// `keep`, a view adds the reduced axes again with length 1, so the reduction is the same node with and without `keep`.
pub(crate) fn reduce(op: &'static str, fold: Fold, e: &Expr, axes: &AxesArg, at: Loc) -> Expr {
    carry(at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let shape = layout::copied(&e.0.shape);
        let sorted = axes.resolve(shape.len()).map_err(|f| f.at(op, at))?;
        let n = layout::product(sorted.iter().map(|d| &shape[*d]));
        let mut kept = Shape::new();
        for (d, n) in shape.iter().enumerate() {
            if !sorted.contains(&d) {
                kept.push(*n);
            }
        }
        let empty = fold.empty();
        if empty.is_none() && n == 0 && !kept.contains(&0) {
            let detail = format!("shape {:?} has no elements along axes {:?}", shape.as_slice(), sorted.as_slice());
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        fold.takes(e.0.dtype).map_err(|f| f.at(op, at))?;
        if fold.counts() && n > i32::MAX as usize {
            let detail = format!("the reduced axes have {n} elements; their positions must fit i32");
            return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
        }
        let dtype = fold.result_type(e.0.dtype);
        let device = e.0.device;
        // a reduction of no elements is a known number and needs no kernel
        if n == 0
            && !kept.contains(&0)
            && let Some(number) = empty
        {
            // the operand has no elements, but the result lacks the axes of length 0, so it may have more elements than
            // a shape allows
            layout::size_of_shape(&kept).map_err(|f| f.at(op, at))?;
            // a float stays a float, because an integer would lose the sign of −0
            let number = if dtype.is_float() { Scalar::Float(number) } else { Scalar::Int(number as i128) };
            let full: Shape = match axes.keep {
                true => (0..shape.len()).map(|d| if sorted.contains(&d) { 1 } else { shape[d] }).collect(),
                false => kept,
            };
            // the rule keeps the operand as a source of the result, with the derivative 0
            let fill = Expr::fill_on(device, number, full, dtype, at);
            return Ok(if dtype.is_float() { fill.with_rule(vec![e], None) } else { fill });
        }
        // a reduction along no axis reduces each element separately: a plain fold returns the element itself, and any
        // other fold reduces a new last axis of length 1
        let out = match sorted.is_empty() {
            true if fold.is_plain() => e,
            true => {
                let one: Shape = shape.iter().copied().chain([1]).collect();
                let e = View::reshape(&shape, &one).map_or(e.clone(), |v| apply_view(e, v, at));
                Expr::node(NodeOp::Reduce(fold, smallvec![shape.len()]), smallvec![e], kept, dtype, device, at)
            }
            false => Expr::node(NodeOp::Reduce(fold, layout::copied(&sorted)), smallvec![e], kept, dtype, device, at),
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

/// Makes an inclusive scan along an axis: each element of the result combines the operand's elements up to and
/// including its own. The caller has checked the axis, and cast the operand to the dtype of the result.
pub(crate) fn scan(fold: Fold, e: &Expr, axis: usize, at: Loc) -> Expr {
    carry(at, || {
        e.checked()?;
        let shape = e.0.shape.clone();
        // with one element along the axis, or no elements at all, the result is the operand, so no node is made
        if shape[axis] < 2 || shape.contains(&0) {
            return Ok(e.clone());
        }
        let (dtype, device) = (e.0.dtype, e.0.device);
        Ok(Expr::node(NodeOp::Scan { fold, axis }, smallvec![e.clone()], shape, dtype, device, at))
    })
}
