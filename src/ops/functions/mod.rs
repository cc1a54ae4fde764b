//! Methods and free functions; `operators.rs` has the operators. Macros generate the elementwise functions from the
//! rows of the ufunc table. Most other functions are built from existing operations (such as those in
//! `ops/functions/reductions.rs`), so that planners and backends do not need to know them.

mod bincount;
mod no_operators;
mod operators;
mod reductions;
mod scans;
mod squares;
mod sums;

pub(crate) use reductions::within;
#[cfg(feature = "train")]
pub(crate) use squares::Squares;
pub(crate) use squares::{Spread, norm_at, normalised, scale_beyond, scale_of};
pub(crate) use sums::{count, expanded, gone, kept, mean_at, narrow, sum_at, sum_in_its_type, wide};
// error messages name the trait by its shortest public path
#[doc(hidden)]
pub use no_operators::{UseArrayEqual, UseSizeOrShape, UseSlice, UseUpdate};
#[doc(hidden)]
pub use operators::OnTheLeft;

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, IntoAxes, Shape, View};
use crate::graph::expr::{
    Expr, NodeOp, Operand, Unfit, binary, cast, common, operand, operand_list, reshape, result_of, rounded, ufunc,
    unary, view,
};
use crate::graph::ufunc::logic;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

/// Generates a method of `Expr` from each row of one file of the ufunc table, with an example that doc tests run. A row
/// of two or three operands also becomes a free function. `heading!()` is the heading of the methods.
macro_rules! methods {
    ($($(#[doc = $doc:literal])+ $(#[doc($alias:meta)])? $name:ident $args:tt : $class:ident { $($body:tt)* })*) => {
        #[doc = heading!()]
        impl Expr {
            $( methods!(@method [$($doc)+] [$($alias)?] $name $args $class); )*
        }
        $( methods!(@function [$($doc)+] [$($alias)?] $name $args); )*
    };
    (@method [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident) $class:ident) => {
        $(#[doc = $doc])+
        $(#[doc($alias)])?
        #[doc = methods!(@example1 $class $name)]
        #[track_caller]
        pub fn $name(&self) -> Expr {
            unary(&table::$name, self, Location::caller())
        }
    };
    (@method [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident, $y:ident) $class:ident) => {
        $(#[doc = $doc])+
        $(#[doc($alias)])?
        #[doc = methods!(@example2 $class $name)]
        #[track_caller]
        pub fn $name(&self, other: impl Operand) -> Expr {
            binary(&table::$name, self, other, Location::caller())
        }
    };
    (@method [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident, $y:ident, $z:ident) $class:ident) => {
        $(#[doc = $doc])+
        $(#[doc($alias)])?
        #[doc = methods!(@code2 "0.25, 0.5", "0.5, 0.75", $name)]
        #[track_caller]
        pub fn $name(&self, $y: impl Operand, $z: impl Operand) -> Expr {
            ufunc(&table::$name, smallvec![self.into_arg(), $y.into_arg(), $z.into_arg()], Location::caller())
        }
    };
    (@function [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident)) => {};
    (@function [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident, $y:ident)) => {
        $(#[doc = $doc])+
        $(#[doc($alias)])?
        #[track_caller]
        pub fn $name($x: impl Operand, $y: impl Operand) -> Expr {
            binary(&table::$name, $x, $y, Location::caller())
        }
    };
    (@function [$($doc:literal)+] [$($alias:meta)?] $name:ident ($x:ident, $y:ident, $z:ident)) => {
        $(#[doc = $doc])+
        $(#[doc($alias)])?
        #[track_caller]
        pub fn $name($x: impl Operand, $y: impl Operand, $z: impl Operand) -> Expr {
            ufunc(&table::$name, smallvec![$x.into_arg(), $y.into_arg(), $z.into_arg()], Location::caller())
        }
    };
    (@example1 Integer $name:ident) => { methods!(@code1 "5, 2", $name) };
    (@example1 $class:ident $name:ident) => { methods!(@code1 "0.25, 0.5", $name) };
    (@example2 Integer $name:ident) => { methods!(@code2 "5, 2", "3", $name) };
    (@example2 $class:ident $name:ident) => { methods!(@code2 "0.25, 0.5", "0.5", $name) };
    (@code1 $values:literal, $name:ident) => {
        concat!(
            "\n```\nlet x = cupric::array![", $values, "];\nlet y = x.", stringify!($name),
            "().eval()?;\nassert_eq!(y.shape(), [2]);\n# Ok::<(), cupric::Error>(())\n```"
        )
    };
    (@code2 $values:literal, $other:literal, $name:ident) => {
        concat!(
            "\n```\nlet x = cupric::array![", $values, "];\nlet y = x.", stringify!($name), "(", $other,
            ").eval()?;\nassert_eq!(y.shape(), [2]);\n# Ok::<(), cupric::Error>(())\n```"
        )
    };
}

// The methods and free functions of the ufunc table. There is one module for each file of the table. In the module,
// `table` names that file.
mod of_arithmetic {
    use super::*;
    use crate::graph::ufunc::arithmetic as table;
    macro_rules! heading {
        () => {
            "# Arithmetic"
        };
    }
    crate::graph::ufunc::arithmetic::rows!(methods);
}
mod of_float {
    use super::*;
    use crate::graph::ufunc::float as table;
    macro_rules! heading {
        () => {
            "# Exponentials, logarithms and trigonometry"
        };
    }
    crate::graph::ufunc::float::rows!(methods);
}
mod of_special {
    use super::*;
    use crate::graph::ufunc::special as table;
    macro_rules! heading {
        () => {
            "# Special functions and activations"
        };
    }
    crate::graph::ufunc::special::rows!(methods);
}
mod of_logic {
    use super::*;
    use crate::graph::ufunc::logic as table;
    macro_rules! heading {
        () => {
            "# Comparisons, logic and bits"
        };
    }
    crate::graph::ufunc::logic::rows!(methods);
}
pub use of_arithmetic::*;
pub use of_float::*;
pub use of_logic::*;
pub use of_special::*;

/// Returns `a` where `condition` is true, and `b` elsewhere (NumPy's `where`). The operands broadcast. A number as
/// `condition` is true unless it is 0.
///
/// ```
/// use cupric::{array, select};
/// let x = array![-1., 2.];
/// assert_eq!(select(x.less(0.0), 0.0, &x).to_vec::<f32>()?, [0., 2.]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "where")]
#[track_caller]
pub fn select(condition: impl Operand, a: impl Operand, b: impl Operand) -> Expr {
    let at = Location::caller();
    ufunc(&logic::SELECT, smallvec![condition.into_arg(), a.into_arg(), b.into_arg()], at)
}

/// # Conversion and matrix products
impl Expr {
    /// Converts the elements to another dtype, as Rust's `as` does: a float outside the range of an integer dtype
    /// saturates, and NaN becomes 0 in an integer dtype. As a bool, any value but 0 becomes true. A cast to f16 or bf16
    /// rounds the values, even inside a fused kernel.
    ///
    /// ```
    /// use cupric::{DType, array};
    /// assert_eq!(array![-1.5, 300.].astype(DType::U8).to_vec::<u8>()?, [0, 255]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("to_dtype", "cast", "type_as"))]
    #[track_caller]
    pub fn astype(&self, dtype: DType) -> Expr {
        let at = Location::caller();
        if dtype.is_half() && self.error().is_none() && self.0.dtype == dtype && self.0.untyped().is_none() {
            return rounded(self, at);
        }
        cast(self.clone(), dtype, at)
    }

    /// Returns the matrix product, like NumPy's `matmul`: a 1-D first operand is a row, a 1-D second operand is a
    /// column, and the axes before the last two are batch axes, which broadcast. The expression carries
    /// [`ErrorKind::Shape`] if the shapes do not fit, or if an operand is 0-d.
    ///
    /// The result has the promoted dtype, in which integers wrap. For a wider result of narrow integers, convert one
    /// operand first: `a.astype(DType::I32).matmul(b)`.
    ///
    /// ```
    /// let a = cupric::array![[1., 2.], [3., 4.]];
    /// assert_eq!(a.matmul(&a).to_vec::<f32>()?, [7., 10., 15., 22.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("mm", "bmm", "mv", "matvec", "vecmat", "addmm", "baddbmm"))]
    #[track_caller]
    pub fn matmul(&self, other: impl Operand) -> Expr {
        matmul(self, other)
    }
}

/// Returns the matrix product of two operands, like [`Expr::matmul`].
#[track_caller]
pub fn matmul(a: impl Operand, b: impl Operand) -> Expr {
    let at = Location::caller();
    matmul_at("matmul", &operand(a, at), &operand(b, at), at)
}

/// Builds the matrix product of two operands, neither of which is an untyped number. Errors name the operation `op`.
pub(crate) fn matmul_at(op: &'static str, a: &Expr, b: &Expr, at: Loc) -> Expr {
    result_of(op, at, || {
        let device = common(op, [a, b].iter().copied(), at)?;
        let wrong = |why: &str| {
            let (x, y) = (a.0.shape.as_slice(), b.0.shape.as_slice());
            Error::with_line(ErrorKind::Shape, op, format!("shapes {x:?} and {y:?}: {why}"), at)
        };
        if a.0.shape.is_empty() || b.0.shape.is_empty() {
            return Err(wrong("a 0-d operand has no axis to multiply along; use * instead"));
        }
        let dtype = promoted(op, [a, b].iter().copied(), at)?;
        let row = if a.0.shape.len() == 1 { view(op, a, at, |s| View::expand(s, 0)) } else { a.clone() };
        let col = if b.0.shape.len() == 1 { view(op, b, at, |s| View::expand(s, 1)) } else { b.clone() };
        let (x, y) = (cast(row, dtype.dot(), at), cast(col, dtype.dot(), at));
        let (xs, ys) = (&x.0.shape, &y.0.shape);
        let (xb, m, k) = (&xs[..xs.len() - 2], xs[xs.len() - 2], xs[xs.len() - 1]);
        let (yb, k2, n) = (&ys[..ys.len() - 2], ys[ys.len() - 2], ys[ys.len() - 1]);
        if k != k2 {
            return Err(wrong(&format!("the {k} columns of the first do not match the {k2} rows of the second")));
        }
        let mut shape = layout::broadcast(xb, yb).map_err(|f| wrong(&f.detail))?;
        let batch = shape.len();
        shape.push(m);
        shape.push(n);
        layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
        // Products of narrow integers are summed in i32. The cast reduces the sum modulo 2^bits of the dtype, so the
        // result is the same as a sum in the dtype itself. For bools the i32 sum counts the true products, and the cast
        // tests whether the count is not 0.
        let product = cast(Expr::node(NodeOp::Matmul, smallvec![x, y], shape, dtype.dot(), device, at), dtype, at);
        let mut gone: SmallVec<[usize; 2]> = smallvec![];
        if a.0.shape.len() == 1 {
            gone.push(batch);
        }
        if b.0.shape.len() == 1 {
            gone.push(batch + 1);
        }
        Ok(if gone.is_empty() { product } else { view(op, &product, at, |s| Ok(View::drop_axes(s, &gone))) })
    })
}

/// Returns `e`. If `e` carries an error that this call of `op` caused, the returned error names `op` instead of the
/// function that implements it.
pub(crate) fn named(op: &'static str, e: Expr, at: Loc) -> Expr {
    match e.error() {
        Some(error) if error.location() == Some(at) => Expr::failed(error.clone().named(op), at),
        _ => e,
    }
}

/// Returns the dtype to which the operands are promoted, or f32 if there are no operands.
pub(crate) fn promoted<'a>(op: &str, operands: impl Iterator<Item = &'a Expr>, at: Loc) -> Result<DType> {
    let mut dtypes = operands.map(|e| e.0.dtype);
    let first = dtypes.next().unwrap_or(DType::F32);
    dtypes.try_fold(first, |a, b| {
        a.promote(b).ok_or_else(|| {
            let detail = format!("dtypes {a} and {b} have no common type; use astype");
            Error::with_line(ErrorKind::DType, op, detail, at)
        })
    })
}

/// Joins arrays along an existing axis, like NumPy's `concatenate`. The result has the promoted dtype. With `..` as the
/// axis, the arrays may have any shape: their elements in C order are joined into an array of one axis (NumPy's
/// `axis=None`). The expression carries [`ErrorKind::Shape`] if the shapes differ along other axes.
///
/// ```
/// use cupric::{array, concat};
/// let x = array![1, 2];
/// assert_eq!(concat([&x, &array![3]], 0).to_vec::<i32>()?, [1, 2, 3]);
/// assert_eq!(concat([&x, &array![[3], [4]]], ..).to_vec::<i32>()?, [1, 2, 3, 4]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[doc(alias = "concatenate")]
#[doc(alias = "cat")]
#[doc(alias = "append")]
#[track_caller]
pub fn concat(parts: impl IntoIterator<Item = impl Operand>, axis: impl IntoAxes) -> Expr {
    let at = Location::caller();
    let parts = operand_list(parts, Unfit::Error("concat"), at);
    match axis.into_axes().axes.as_deref() {
        None => join("concat", parts.iter().map(|p| reshape("concat", p, &[-1], at)).collect(), 0, at),
        Some([axis]) => join("concat", parts, *axis, at),
        Some(axes) => {
            let detail = format!("axes {axes:?}: expected one axis, or `..` for the elements in C order");
            Expr::failed(Error::with_line(ErrorKind::Axis, "concat", detail, at), at)
        }
    }
}

/// Joins arrays along a new axis, which is at position `axis` of the result. The expression carries
/// [`ErrorKind::Shape`] if the arrays do not all have the same shape.
///
/// ```
/// use cupric::{array, stack};
/// let x = array![1, 2];
/// assert_eq!(stack([&x, &x], 0).shape()?, [2, 2]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[track_caller]
pub fn stack(parts: impl IntoIterator<Item = impl Operand>, axis: impl Integer) -> Expr {
    let at = Location::caller();
    stack_at("stack", operand_list(parts, Unfit::Error("stack"), at), axis.saturated(), at)
}

/// Joins operands of the same shape along a new axis. Errors name the operation `op`.
pub(crate) fn stack_at(op: &'static str, parts: Vec<Expr>, axis: isize, at: Loc) -> Expr {
    result_of(op, at, || {
        common(op, parts.iter(), at)?;
        if let Some(other) = parts.iter().find(|p| p.0.shape != parts[0].0.shape) {
            let (a, b) = (parts[0].0.shape.as_slice(), other.0.shape.as_slice());
            let detail = format!("shapes {a:?} and {b:?} differ; all must be equal");
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        let expanded = parts.iter().map(|p| view(op, p, at, |s| View::expand(s, axis))).collect();
        Ok(join(op, expanded, axis, at))
    })
}

/// Builds the node that concatenates arrays along an axis. Errors name the operation `op`.
pub(crate) fn join(op: &'static str, parts: Vec<Expr>, axis: isize, at: Loc) -> Expr {
    result_of(op, at, || {
        let device = common(op, parts.iter(), at)?;
        let Some(first) = parts.first() else {
            return Err(Error::with_line(ErrorKind::Argument, op, "at least one array is needed", at));
        };
        let mut shape: Shape = first.0.shape.clone();
        let axis = layout::normalize_axis(axis, shape.len()).map_err(|f| f.at(op, at))?;
        let mut dtype = first.0.dtype;
        let mut total = 0usize;
        for p in &parts {
            let mut other = p.0.shape.clone();
            if other.len() != shape.len() || {
                other[axis] = shape[axis];
                other != shape
            } {
                let (a, b) = (first.0.shape.as_slice(), p.0.shape.as_slice());
                return Err(Error::with_line(
                    ErrorKind::Shape,
                    op,
                    format!("shapes {a:?} and {b:?} differ along other axes than axis {axis}"),
                    at,
                ));
            }
            dtype = dtype.promote(p.0.dtype).ok_or_else(|| {
                let detail = format!("dtypes {dtype} and {} have no common type; use astype", p.0.dtype);
                Error::with_line(ErrorKind::DType, op, detail, at)
            })?;
            total = total.saturating_add(p.0.shape[axis]);
        }
        shape[axis] = total;
        layout::size_of_shape(&shape).map_err(|f| f.at(op, at))?;
        let parts = parts.into_iter().map(|p| cast(p, dtype, at)).collect();
        Ok(Expr::node(NodeOp::Concat { axis }, parts, shape, dtype, device, at))
    })
}
