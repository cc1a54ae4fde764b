//! Floor 9: arrays from nothing and from Rust data. Creation functions are lazy and have no device: they run where
//! the expression that uses them runs.

use crate::array::Array;
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, ErrorKind, Result};
use crate::expr::{Arg, Expr, Kind, Operand, carry, cast, ufunc};
use crate::layout::{self, IntoShape, Shape, shape_arg};
use crate::ufunc::{arithmetic, logic};
use half::{bf16, f16};
use smallvec::smallvec;
use std::panic::Location;

type Loc = &'static Location<'static>;

fn filled(op: &'static str, shape: impl IntoShape, value: Scalar, dtype: DType, at: Loc) -> Expr {
    carry(at, || Ok(Expr::fill(value, shape_arg(shape).map_err(|f| f.at(op, at))?, dtype, at)))
}

/// Zeros.
///
/// ```
/// use cupric::{DType, zeros};
/// assert_eq!(zeros([2, 2], DType::I32).to_vec::<i32>()?, [0; 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn zeros(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("zeros", shape, Scalar::Int(0), dtype, Location::caller())
}

/// Ones.
#[track_caller]
pub fn ones(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("ones", shape, Scalar::Int(1), dtype, Location::caller())
}

/// Zeros: nothing uninitialised is ever readable.
#[track_caller]
pub fn empty(shape: impl IntoShape, dtype: DType) -> Expr {
    filled("empty", shape, Scalar::Int(0), dtype, Location::caller())
}

/// A number everywhere, of its default dtype: f32, i32 or bool (`.astype` for another).
///
/// ```
/// assert_eq!(cupric::full([2], 1.5).to_vec::<f32>()?, [1.5, 1.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn full(shape: impl IntoShape, value: impl Operand) -> Expr {
    let at = Location::caller();
    match value.into_arg() {
        Arg::Scalar(s) => filled("full", shape, s, s.default_dtype(), at),
        Arg::Expr(e) => crate::expr::view("full", &e, at, |from| layout::View::broadcast_to(from, &shape_arg(shape)?)),
    }
}

macro_rules! like {
    ($($(#[$doc:meta])+ $name:ident $value:expr;)*) => { $(
        $(#[$doc])+
        #[track_caller]
        pub fn $name(x: &Expr) -> Expr {
            let at = Location::caller();
            carry(at, || {
                let node = x.checked()?;
                let e = Expr::node(Kind::Fill(Scalar::Int($value)), node.shape.clone(), node.dtype, 0, at);
                Ok(on_device_of(x, e, at))
            })
        }
    )* };
}
like! {
    /// Zeros of the shape, dtype and device of another array.
    zeros_like 0;
    /// Ones of the shape, dtype and device of another array.
    ones_like 1;
    /// Zeros of the shape, dtype and device of another array.
    empty_like 0;
}

/// A number everywhere, with the shape, dtype and device of another array.
#[track_caller]
pub fn full_like(x: &Expr, value: impl Operand) -> Expr {
    let at = Location::caller();
    carry(at, || {
        let node = x.checked()?;
        match value.into_arg() {
            Arg::Scalar(s) if mutant!(error_forgotten, true, s.promote_with(node.dtype) == Some(node.dtype)) => {
                Ok(on_device_of(x, Expr::fill(s, node.shape.clone(), node.dtype, at), at))
            }
            Arg::Scalar(s) => {
                let detail = format!("{s} does not fit dtype {}", node.dtype);
                Err(Error::new(ErrorKind::Argument, "full_like", detail, at))
            }
            Arg::Expr(e) => {
                let e = cast(e, node.dtype, at);
                Ok(crate::expr::view("full_like", &e, at, |from| layout::View::broadcast_to(from, &node.shape)))
            }
        }
    })
}

/// A generator that runs where `x` lives: the node carries x's device without reading it.
fn on_device_of(x: &Expr, e: Expr, at: Loc) -> Expr {
    match &e.0.kind {
        Kind::Fill(s) => Expr::node(Kind::Fill(*s), e.0.shape.clone(), e.0.dtype, x.0.device, at),
        _ => e,
    }
}

/// The index along an axis, as i32.
pub(crate) fn iota(shape: Shape, axis: usize, at: Loc) -> Expr {
    Expr::node(Kind::Iota(axis), shape, DType::I32, 0, at)
}

fn binary(row: &'static crate::ufunc::Ufunc, a: impl Operand, b: impl Operand, at: Loc) -> Expr {
    ufunc(row, smallvec![a.into_arg(), b.into_arg()], at)
}

/// `start`, `start + step`, … below `stop` (above it for a negative step), of the numbers' default dtype.
///
/// ```
/// use cupric::arange;
/// assert_eq!(arange(0, 10, 3).to_vec::<i32>()?, [0, 3, 6, 9]);
/// assert_eq!(arange(1.0, 2.0, 0.5).to_vec::<f32>()?, [1., 1.5]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn arange(start: impl Operand, stop: impl Operand, step: impl Operand) -> Expr {
    let at = Location::caller();
    carry(at, || {
        let number = |a: Arg| match a {
            Arg::Scalar(s) => Ok(s),
            Arg::Expr(_) => Err(Error::new(ErrorKind::Argument, "arange", "takes Rust numbers", at)),
        };
        let all = [number(start.into_arg())?, number(stop.into_arg())?, number(step.into_arg())?];
        let float = all.iter().any(|s| matches!(s, Scalar::Float(_)));
        let (n, dtype) = if float {
            let [a, b, s] = all.map(Scalar::as_f64);
            let n = ((b - a) / s).ceil();
            if s == 0.0 || !n.is_finite() {
                return Err(Error::new(ErrorKind::Argument, "arange", format!("no range from {a} to {b} by {s}"), at));
            }
            (n.max(0.0) as usize, DType::F32)
        } else {
            let [a, b, s] = all.map(Scalar::as_i128);
            if s == 0 {
                return Err(Error::new(ErrorKind::Argument, "arange", format!("no range from {a} to {b} by 0"), at));
            }
            let span = if s > 0 { b - a } else { a - b };
            let n = if span > 0 { (span - 1) / s.abs() + 1 } else { 0 };
            let wide = all.iter().map(|s| s.default_dtype()).max_by_key(|d| d.size()).unwrap_or(DType::I32);
            (usize::try_from(n).unwrap_or(usize::MAX), if wide == DType::Bool { DType::I32 } else { wide })
        };
        let shape: Shape = smallvec![n];
        layout::size_of_shape(&shape).map_err(|f| f.at("arange", at))?;
        if n > i32::MAX as usize {
            return Err(Error::new(ErrorKind::LimitExceeded, "arange", format!("{n} elements; positions are i32"), at));
        }
        let i = cast(iota(shape, 0, at), dtype, at);
        let steps = binary(&arithmetic::multiply, i, Expr::fill(all[2], smallvec![], dtype, at), at);
        Ok(binary(&arithmetic::add, steps, Expr::fill(all[0], smallvec![], dtype, at), at))
    })
}

/// `n` numbers from `a` to `b`, both included, as f32.
///
/// ```
/// assert_eq!(cupric::linspace(0.0, 1.0, 5).to_vec::<f32>()?, [0., 0.25, 0.5, 0.75, 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn linspace(a: f64, b: f64, n: usize) -> Expr {
    let at = Location::caller();
    carry(at, || {
        if n > i32::MAX as usize {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "linspace",
                format!("{n} elements; positions are i32"),
                at,
            ));
        }
        let i = iota(smallvec![n], 0, at);
        let x = cast(i.clone(), DType::F32, at);
        let step = if n > 1 { (b - a) / (n - 1) as f64 } else { 0.0 };
        let line = binary(&arithmetic::add, binary(&arithmetic::multiply, x, step, at), a, at);
        if n < 2 {
            return Ok(line);
        }
        // the last is b itself, whatever rounding does
        let last = binary(&logic::equal, i, n - 1, at);
        Ok(ufunc(&logic::SELECT, smallvec![last.into_arg(), b.into_arg(), line.into_arg()], at))
    })
}

/// The n × n identity matrix.
///
/// ```
/// use cupric::{DType, eye};
/// assert_eq!(eye(2, DType::F32).to_vec::<f32>()?, [1., 0., 0., 1.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn eye(n: usize, dtype: DType) -> Expr {
    let at = Location::caller();
    carry(at, || {
        let shape: Shape = smallvec![n, n];
        layout::size_of_shape(&shape).map_err(|f| f.at("eye", at))?;
        if n > i32::MAX as usize {
            return Err(Error::new(ErrorKind::LimitExceeded, "eye", format!("{n} rows; positions are i32"), at));
        }
        let same = binary(&logic::equal, iota(shape.clone(), 0, at), iota(shape, 1, at), at);
        Ok(cast(same, dtype, at))
    })
}

/// Rust data that `array!` takes: numbers, and arrays of them to any depth.
pub trait Literal: crate::dtype::sealed::Sealed {
    /// The element type in the array: f64 literals are stored as f32.
    type Stored: Element;
    #[doc(hidden)]
    fn shape(shape: &mut Vec<usize>);
    #[doc(hidden)]
    fn flatten(self, into: &mut Vec<Self::Stored>);
}

macro_rules! literals {
    ($($t:ty => $s:ty;)*) => { $(
        impl Literal for $t {
            type Stored = $s;
            fn shape(_: &mut Vec<usize>) {}
            fn flatten(self, into: &mut Vec<$s>) {
                into.push(self as $s)
            }
        }
    )* };
}
literals! {
    bool => bool; u8 => u8; i8 => i8; u16 => u16; i16 => i16; u32 => u32; i32 => i32; u64 => u64; i64 => i64;
    f32 => f32; f64 => f32;
}
macro_rules! halves {
    ($($t:ty)*) => { $(
        impl Literal for $t {
            type Stored = $t;
            fn shape(_: &mut Vec<usize>) {}
            fn flatten(self, into: &mut Vec<$t>) {
                into.push(self)
            }
        }
    )* };
}
halves! { f16 bf16 }

/// Elements with their type kept, to any depth of `[..; N]`.
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

/// What `array!` makes of nested literals.
#[doc(hidden)]
pub trait LiteralArray {
    /// The stored element type.
    type Stored: Element;
    /// Appends the lengths.
    fn lengths(shape: &mut Vec<usize>);
    /// Appends the elements.
    fn gather(self, into: &mut Vec<Self::Stored>);
}
impl<T: Literal> LiteralArray for T {
    type Stored = T::Stored;
    fn lengths(_: &mut Vec<usize>) {}
    fn gather(self, into: &mut Vec<T::Stored>) {
        self.flatten(into)
    }
}
impl<T: LiteralArray, const N: usize> LiteralArray for [T; N] {
    type Stored = T::Stored;
    fn lengths(shape: &mut Vec<usize>) {
        shape.push(N);
        T::lengths(shape);
    }
    fn gather(self, into: &mut Vec<T::Stored>) {
        self.into_iter().for_each(|x| x.gather(into));
    }
}

/// An array of nested literals, on the CPU: `array![[1., 2.], [3., 4.]]`. f64 literals are stored as f32, every other
/// type as it is.
///
/// ```
/// use cupric::{DType, array};
/// assert_eq!(array![[1., 2.], [3., 4.]].dtype(), DType::F32);
/// assert_eq!(array![1, 2, 3].dtype(), DType::I32);
/// assert_eq!(array![true, false].shape(), [2]);
/// ```
#[macro_export]
macro_rules! array {
    ($($items:tt)*) => { $crate::literal([$($items)*]) };
}

/// What [`array!`](crate::array) calls.
#[doc(hidden)]
#[track_caller]
pub fn literal<T: LiteralArray>(items: T) -> Array {
    let (mut shape, mut elements) = (vec![], vec![]);
    T::lengths(&mut shape);
    items.gather(&mut elements);
    Array::adopt(elements, &shape, Location::caller())
}

impl<T: Elements, const N: usize> From<[T; N]> for Array {
    #[track_caller]
    fn from(items: [T; N]) -> Array {
        let (mut shape, mut elements) = (vec![N], vec![]);
        T::lengths(&mut shape);
        items.into_iter().for_each(|x| x.gather(&mut elements));
        Array::adopt(elements, &shape, Location::caller())
    }
}

impl<T: Element> From<Vec<T>> for Array {
    #[track_caller]
    fn from(elements: Vec<T>) -> Array {
        let n = elements.len();
        Array::adopt(elements, &[n], Location::caller())
    }
}

impl<T: Element> TryFrom<Vec<Vec<T>>> for Array {
    type Error = Error;

    /// Rows of one length.
    #[track_caller]
    fn try_from(rows: Vec<Vec<T>>) -> Result<Array> {
        let at = Location::caller();
        let columns = rows.first().map_or(0, Vec::len);
        if let Some((i, r)) = rows.iter().enumerate().find(|(_, r)| r.len() != columns) {
            let detail = format!("row 0 has {columns} elements, row {i} has {}", r.len());
            return Err(Error::new(ErrorKind::Shape, "Array::try_from", detail, at));
        }
        let shape = [rows.len(), columns];
        Ok(Array::adopt(rows.into_iter().flatten().collect(), &shape, at))
    }
}
