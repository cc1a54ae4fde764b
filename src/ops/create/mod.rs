//! Arrays of generated numbers, and arrays of Rust data. Generated arrays are lazy and have no device: they are
//! computed on the device of the expression that uses them. Only `zeros_like` and the other `…_like` functions use the
//! device of their operand.

mod line;
mod literal;
mod of_array;
mod powers;

pub use literal::{LiteralArray, all_float_literals, literal};
pub use powers::{geomspace, logspace};

use crate::array::{Array, Nested};
use crate::base::dtype::{DType, Element, Scalar};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, IntoShape, Shape, shape_arg};
use crate::graph::expr::{Arg, Expr, NodeOp, Operand, binary, cast, composed, operand, result_of, ufunc};
use crate::graph::ufunc::{arithmetic, logic};
use line::Line;
use smallvec::smallvec;
use std::panic::Location;

fn filled(op: &'static str, shape: impl IntoShape, value: Scalar, dtype: DType, at: Loc) -> Expr {
    result_of(op, at, || Ok(Expr::fill(value, shape_arg(shape).map_err(|f| f.at(op, at))?, dtype, at)))
}

/// Returns an array of zeros of a shape and dtype.
///
/// ```
/// use cupric::{DType, zeros};
/// assert_eq!(zeros([2, 2], DType::I32).to_vec::<i32>()?, [0; 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("new_zeros"))]
#[track_caller]
pub fn zeros(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("zeros", shape, Scalar::Int(0), dtype, Location::caller())
}

/// Returns an array of ones of a shape and dtype.
#[doc(alias("new_ones"))]
#[track_caller]
pub fn ones(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("ones", shape, Scalar::Int(1), dtype, Location::caller())
}

/// Returns an array of zeros, as [`zeros`] does, because cupric never lets a caller read uninitialised memory.
#[track_caller]
pub fn empty(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("empty", shape, Scalar::Int(0), dtype, Location::caller())
}

/// Returns an array filled with a number, which is converted to `dtype` once. The result carries an error if `dtype`
/// cannot hold the number (300 or 1.5 in u8). If `value` is an array, it is cast and broadcast instead.
///
/// ```
/// use cupric::{DType, full};
/// assert_eq!(full([2], 1.5, DType::F32).to_vec::<f32>()?, [1.5, 1.5]);
/// assert_eq!(full([2], 0.1, DType::F64).to_vec::<f64>()?, [0.1, 0.1]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("from_elem"))]
#[track_caller]
pub fn full(shape: impl IntoShape, value: impl Operand, dtype: DType) -> Expr {
    let at = Location::caller();
    result_of("full", at, || match value.into_arg() {
        Arg::Scalar(s) => {
            fits("full", s, dtype, at)?;
            Ok(filled("full", shape, s, dtype, at))
        }
        Arg::Expr(e) => {
            let e = cast(e, dtype, at);
            Ok(crate::graph::expr::view("full", &e, at, |from| layout::View::broadcast_to(from, &shape_arg(shape)?)))
        }
    })
}

/// Returns an error if `dtype` cannot hold a number: an integer outside its range, a float for an integer dtype, or an
/// integer or float for bool.
fn fits(op: &'static str, s: Scalar, dtype: DType, at: Loc) -> Result<()> {
    match s.promote_with(dtype) {
        Some(d) if mutant!(error_forgotten, true, d == dtype) => Ok(()),
        _ => Err(Error::with_line(ErrorKind::Argument, op, format!("{s} does not fit dtype {dtype}"), at)),
    }
}

macro_rules! like {
    ($($(#[$doc:meta])+ $name:ident $value:expr;)*) => { $(
        $(#[$doc])+
        #[track_caller]
        pub fn $name(x: impl Operand) -> Expr {
            let at = Location::caller();
            let x = operand(x, at);
            result_of(stringify!($name), at, || {
                let node = x.checked()?;
                let e = Expr::fill(Scalar::Int($value), node.shape.clone(), node.dtype, at);
                Ok(on_device_of(&x, e, at))
            })
        }
    )* };
}
like! {
    /// Returns zeros with the shape, dtype and device of another array.
    zeros_like 0;
    /// Returns ones with the shape, dtype and device of another array.
    ones_like 1;
    /// Returns zeros with the shape, dtype and device of another array.
    empty_like 0;
}

/// Returns an array filled with a number, with the shape, dtype and device of another array. The result carries an
/// error if the dtype cannot hold the number, as in [`full`]. If `value` is an array, it is cast and broadcast instead,
/// and the result is on the device of `value`.
#[track_caller]
pub fn full_like(x: impl Operand, value: impl Operand) -> Expr {
    let at = Location::caller();
    let x = operand(x, at);
    result_of("full_like", at, || {
        let node = x.checked()?;
        match value.into_arg() {
            Arg::Scalar(s) => {
                fits("full_like", s, node.dtype, at)?;
                Ok(on_device_of(&x, Expr::fill(s, node.shape.clone(), node.dtype, at), at))
            }
            Arg::Expr(e) => {
                let e = cast(e, node.dtype, at);
                Ok(crate::graph::expr::view("full_like", &e, at, |from| layout::View::broadcast_to(from, &node.shape)))
            }
        }
    })
}

/// If `e` is a fill (one number for all elements), returns it with the device of `x`. Returns any other `e` unchanged.
/// The elements of `x` are not read.
fn on_device_of(x: &Expr, e: Expr, at: Loc) -> Expr {
    match e.0.number() {
        Some(s) => Expr::fill_on(x.0.device, s, e.0.shape.clone(), e.0.dtype, at),
        None => e,
    }
}

/// Returns an expression whose elements are their own indices along an axis, as i32.
pub(crate) fn iota(shape: Shape, axis: usize, at: Loc) -> Expr {
    Expr::node(NodeOp::Iota(axis), smallvec![], shape, DType::I32, 0, at)
}

/// Returns `start`, `start + step`, … below `stop` (above it for a negative step), in `dtype`. For an integer dtype,
/// the three arguments must be integers and every element must fit the dtype; otherwise the expression carries an
/// error. In a float dtype the first element is `start`, rounded to the dtype. The error of the other elements is at most
/// 0.6 units in the last place (1.5 for more than 2^18 elements; 1 in f16 and bf16).
///
/// ```
/// use cupric::{DType, arange};
/// assert_eq!(arange(0, 10, 3, DType::I32).to_vec::<i32>()?, [0, 3, 6, 9]);
/// assert_eq!(arange(1.0, 2.0, 0.5, DType::F64).to_vec::<f64>()?, [1., 1.5]);
/// assert!(arange(0, 300, 1, DType::U8).eval().is_err());
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("range"))]
#[track_caller]
pub fn arange(start: impl Operand, stop: impl Operand, step: impl Operand, dtype: DType) -> Expr {
    let at = Location::caller();
    result_of("arange", at, || {
        let wrong = |detail: String| Error::with_line(ErrorKind::Argument, "arange", detail, at);
        let number = |a: Arg| match a {
            Arg::Scalar(s) => Ok(s),
            Arg::Expr(_) => Err(wrong("start, stop and step must be Rust numbers, not arrays".into())),
        };
        let all = [number(start.into_arg())?, number(stop.into_arg())?, number(step.into_arg())?];
        let float = all.iter().find(|s| matches!(s, Scalar::Float(_)));
        if dtype == DType::Bool {
            return Err(Error::with_line(ErrorKind::DType, "arange", "a range of numbers cannot have dtype bool", at));
        }
        if let Some(s) = float
            && !dtype.is_float()
        {
            return Err(wrong(format!("{s} is a float; dtype {dtype} needs integers")));
        }
        let n = if float.is_some() {
            let [a, b, s] = all.map(Scalar::as_f64);
            // huge numbers are multiplied by 0.25, so that the difference of two finite numbers cannot overflow
            let is_huge = a.abs().max(b.abs()) > f64::MAX / 4.0;
            let scale = mutant!(long_range_overflows, 1.0, if is_huge { 0.25 } else { 1.0 });
            let n = ((b * scale - a * scale) / (s * scale)).ceil();
            if s == 0.0 || !n.is_finite() {
                return Err(wrong(format!("there is no range from {a} to {b} in steps of {s}")));
            }
            n.max(0.0) as usize
        } else {
            let [a, b, s] = all.map(Scalar::as_i128);
            if s == 0 {
                return Err(wrong(format!("there is no range from {a} to {b} in steps of 0")));
            }
            let span = if s > 0 { b - a } else { a - b };
            let n = if span > 0 { (span - 1) / s.abs() + 1 } else { 0 };
            if dtype.is_integer() && n > 0 {
                let (low, high) = dtype.integer_range();
                if let Some(v) = [a, a + s * (n - 1)].into_iter().find(|v| !(low..=high).contains(v)) {
                    return Err(wrong(format!("the element {v} does not fit dtype {dtype}")));
                }
            }
            usize::try_from(n).unwrap_or(usize::MAX)
        };
        layout::size_of_shape(&[n]).map_err(|f| f.at("arange", at))?;
        countable("arange", n, at)?;
        if dtype.is_float() {
            let [a, _, s] = all.map(Scalar::as_f64);
            return Ok(match whole_numbers(a, s, n, dtype) {
                Some([a, s]) => cast(integers(a, s, n, DType::I32, at), dtype, at),
                // the step may be far larger than the only element
                None if n < 2 => Expr::fill(Scalar::Float(a), smallvec![n], dtype, at),
                None => {
                    let line = Line::new((a, 0.0), (s, 0.0), n);
                    match mutant!(range_without_its_start, true, line.begins_with(a, dtype)) {
                        true => line.expr(dtype, at),
                        false => with_element(line.expr(dtype, at), 0, a, n, at),
                    }
                }
            });
        }
        Ok(integers(all[0], all[2], n, dtype, at))
    })
}

/// Builds the `n` integers `start`, `start + step`, …. Products and sums may wrap around. The elements are correct
/// nevertheless, because they are computed modulo 2^bits of the dtype and every element fits the dtype.
fn integers(start: Scalar, step: Scalar, n: usize, dtype: DType, at: Loc) -> Expr {
    let build = || {
        let i = cast(iota(smallvec![n], 0, at), dtype, at);
        let number = |s: Scalar| Expr::fill(s, smallvec![], dtype, at);
        let steps = if step.as_i128() == 1 { i } else { binary(&arithmetic::multiply, i, number(step), at) };
        if start.as_i128() == 0 { steps } else { binary(&arithmetic::add, steps, number(start), at) }
    };
    composed(build).wrapping()
}

/// Returns the start and the step of a range of floats as integers, if all elements are integers that are exact in i32
/// and in f64 (in f32 for dtypes other than f64). Such a range takes a third of the time of a [`Line`].
fn whole_numbers(start: f64, step: f64, n: usize, dtype: DType) -> Option<[Scalar; 2]> {
    let most = if dtype == DType::F64 { i32::MAX as f64 } else { (1 << 24) as f64 };
    let last = start + step * n.saturating_sub(1) as f64;
    let is_whole = start.fract() == 0.0 && step.fract() == 0.0;
    (is_whole && [start, step, last].iter().all(|v| v.abs() <= most))
        .then(|| [start, step].map(|v| Scalar::Int(v as i128)))
}

/// Returns an error if there are more elements than i32 can count, because kernels generate an element's index as i32.
pub(crate) fn countable(op: &'static str, n: usize, at: Loc) -> Result<()> {
    match n > i32::MAX as usize {
        true => Err(Error::with_line(
            ErrorKind::LimitExceeded,
            op,
            format!("{n} elements requested; the index of each must fit i32"),
            at,
        )),
        false => Ok(()),
    }
}

/// Returns `n` evenly spaced numbers from `a` to `b`, in a float dtype. The first is `a` and the last is `b`, rounded
/// to the dtype. The error of the other elements is at most 0.6 units in the last place (1.5 for more than 2^18
/// elements; 1 in f16 and bf16). The expression carries [`ErrorKind::DType`] if `dtype` is not a float type.
///
/// ```
/// use cupric::{DType, linspace};
/// assert_eq!(linspace(0.0, 1.0, 5, DType::F32).to_vec::<f32>()?, [0., 0.25, 0.5, 0.75, 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn linspace(a: f64, b: f64, n: usize, dtype: DType) -> Expr {
    linspace_at("linspace", [a, b], n, dtype, Location::caller())
}

/// Builds the result of [`linspace`]. Errors name the operation `op`.
pub(crate) fn linspace_at(op: &'static str, [a, b]: [f64; 2], n: usize, dtype: DType, at: Loc) -> Expr {
    result_of(op, at, || {
        if !dtype.is_float() {
            let detail =
                format!("dtype {dtype} cannot hold the numbers between the ends; use a float type, then astype");
            return Err(Error::with_line(ErrorKind::DType, op, detail, at));
        }
        countable(op, n, at)?;
        if n < 2 {
            return Ok(Expr::fill(Scalar::Float(a), smallvec![n], dtype, at));
        }
        let line = match a.is_finite() && b.is_finite() {
            true => Line::between(a, b, n).expr(dtype, at),
            false => Expr::fill(Scalar::Float(a + (b - a)), smallvec![n], dtype, at),
        };
        // the first and the last element are set to the given numbers, because the computed ones could differ by a
        // rounding error
        let line = mutant!(line_without_its_start, line, with_element(line, 0, a, n, at));
        Ok(with_element(line, n - 1, b, n, at))
    })
}

/// Sets element `k` of a sequence of `n` numbers.
fn with_element(others: Expr, k: usize, value: f64, n: usize, at: Loc) -> Expr {
    let here = binary(&logic::equal, iota(smallvec![n], 0, at), k, at);
    ufunc(&logic::SELECT, smallvec![here.into_arg(), value.into_arg(), others.into_arg()], at)
}

/// Returns the n × n identity matrix, like NumPy's `eye(n)`.
///
/// ```
/// use cupric::{DType, eye};
/// assert_eq!(eye(2, DType::F32).to_vec::<f32>()?, [1., 0., 0., 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias("identity"))]
#[track_caller]
pub fn eye(n: usize, dtype: DType) -> Expr {
    let at = Location::caller();
    result_of("eye", at, || {
        let shape: Shape = smallvec![n, n];
        layout::size_of_shape(&shape).map_err(|f| f.at("eye", at))?;
        countable("eye", n, at)?;
        let same = binary(&logic::equal, iota(shape.clone(), 0, at), iota(shape, 1, at), at);
        Ok(cast(same, dtype, at))
    })
}

/// A type from which an [`Array`] can be made: an element, or arrays `[..; N]` of elements, nested to any depth.
pub trait Elements {
    /// The element type.
    type Item: Element;
    #[doc(hidden)]
    fn lengths(shape: &mut Vec<usize>);
    #[doc(hidden)]
    fn gather(self, into: &mut Vec<Self::Item>);
}
impl<T: Element> Elements for T {
    type Item = T;
    fn lengths(_: &mut Vec<usize>) {}
    fn gather(self, into: &mut Vec<T>) {
        into.push(self)
    }
}
impl<T: Elements, const N: usize> Elements for [T; N] {
    type Item = T::Item;
    fn lengths(shape: &mut Vec<usize>) {
        shape.push(N);
        T::lengths(shape);
    }
    fn gather(self, into: &mut Vec<T::Item>) {
        self.into_iter().for_each(|x| x.gather(into));
    }
}

impl<T: Elements, const N: usize> From<[T; N]> for Array {
    #[track_caller]
    fn from(items: [T; N]) -> Array {
        let (mut shape, mut elements) = (vec![N], vec![]);
        T::lengths(&mut shape);
        items.into_iter().for_each(|x| x.gather(&mut elements));
        Array::given(elements, &shape, "Array::from", Location::caller())
    }
}

impl<T: Element> From<Vec<T>> for Array {
    #[track_caller]
    fn from(elements: Vec<T>) -> Array {
        let n = elements.len();
        Array::given(elements, &[n], "Array::from", Location::caller())
    }
}

macro_rules! from_lists {
    ($($list:ty, [$($generic:tt)*];)*) => { $(
        impl<$($generic)*> TryFrom<$list> for Array {
            type Error = Error;

            /// Converts nested lists as [`Array::from_nested`] does.
            #[track_caller]
            fn try_from(lists: $list) -> Result<Array> {
                Array::from_nested(lists)
            }
        }
    )* };
}
from_lists! {
    Vec<Vec<T>>, [T: Nested];
    Vec<[T; N]>, [T: Nested, const N: usize];
}
