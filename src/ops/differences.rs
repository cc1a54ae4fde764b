//! Differences of neighbouring elements, gradients, and the trapezoidal rule.

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, IntoAxes, Shape, SliceItem, View};
use crate::graph::expr::{
    Expr, Operand, Unfit, binary, cast, common, operand_list, operands, reduce, reshape, result_of, strong, view,
};
use crate::graph::ufunc::{arithmetic, logic};
use crate::ops::functions::join;
use crate::plan::kernel::Fold;
use std::panic::Location;

/// Returns the elements from `start` up to `end` along an axis, as a view. Negative bounds count from the end.
fn range(op: &str, e: &Expr, axis: usize, start: Option<isize>, end: Option<isize>, at: Loc) -> Expr {
    view(op, e, at, |shape| {
        let whole = SliceItem::Range { start: None, end: None, step: 1 };
        let mut items = vec![whole; shape.len()];
        items[axis] = SliceItem::Range { start, end, step: 1 };
        View::slice(shape, &items)
    })
}

/// Returns the differences `x[i + 1] − x[i]` of neighbouring elements along an axis. For bools, returns whether
/// neighbours differ.
fn difference(op: &str, e: &Expr, axis: usize, at: Loc) -> Expr {
    let (after, before) = (range(op, e, axis, Some(1), None, at), range(op, e, axis, None, Some(-1), at));
    let row = if e.error().is_none() && e.0.dtype == DType::Bool { &logic::not_equal } else { &arithmetic::subtract };
    binary(row, after, before, at)
}

/// Returns the operand and the index of the axis, counted from the front. Returns an error if the operand carries one
/// or if the axis does not exist.
fn along(op: &'static str, e: &Expr, axis: isize, at: Loc) -> Result<(Expr, usize)> {
    e.checked()?;
    let e = strong(e.clone(), at);
    let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at(op, at))?;
    Ok((e, axis))
}

/// # Differences and integrals
impl Expr {
    /// Computes the differences of neighbouring elements along an axis, `x[i + 1] − x[i]`, `n` times in succession.
    /// Each time the axis gets shorter by one element, until it is empty. The result has the array's dtype. Differences
    /// of integers wrap on overflow. Differences of bools are true where neighbours differ.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![1, 4, 9, 16];
    /// assert_eq!(x.diff(1, 0).to_vec::<i32>()?, [3, 5, 7]);
    /// assert_eq!(x.diff(2, 0).to_vec::<i32>()?, [2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn diff(&self, n: usize, axis: impl Integer) -> Expr {
        differences(self, n, axis.saturated(), [None, None], Location::caller())
    }

    /// Joins `prepend` before the array and `append` after it along the axis, and then computes differences like
    /// [`Expr::diff`]. If `prepend` or `append` is 0-d, it is broadcast to one element along the axis.
    ///
    /// ```
    /// use cupric::{DType, array, zeros};
    /// let x = array![1, 4, 9];
    /// assert_eq!(x.diff_with(1, 0, Some(&zeros((), DType::I32)), None).to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(x.diff_with(1, 0, None, Some(&array![10, 20])).to_vec::<i32>()?, [3, 5, 1, 10]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn diff_with(&self, n: usize, axis: impl Integer, prepend: Option<&Expr>, append: Option<&Expr>) -> Expr {
        differences(self, n, axis.saturated(), [prepend, append], Location::caller())
    }

    /// Returns the differences of neighbouring elements in C order as an array of one axis, with the elements of
    /// `to_begin` before them and the elements of `to_end` after them. `to_begin` and `to_end` are cast to the array's
    /// dtype, as in [`Array::assign`](crate::Array::assign).
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 4], [9, 16]];
    /// assert_eq!(x.ediff1d(None, None).to_vec::<i32>()?, [3, 5, 7]);
    /// assert_eq!(x.ediff1d(Some(&array![0]), Some(&array![99])).to_vec::<i32>()?, [0, 3, 5, 7, 99]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn ediff1d(&self, to_begin: Option<&Expr>, to_end: Option<&Expr>) -> Expr {
        const OP: &str = "ediff1d";
        let at = Location::caller();
        result_of(OP, at, || {
            let others = [to_begin, to_end].into_iter().flatten();
            common(OP, std::iter::once(self).chain(others), at)?;
            let flat = reshape(OP, self, &[-1], at);
            let dtype = flat.checked()?.dtype;
            let end = |e: Option<&Expr>| -> Result<Option<Expr>> {
                let Some(e) = e else { return Ok(None) };
                let [_, e] = operands([(&flat).into_arg(), e.into_arg()], Unfit::Error(OP), at);
                let own = e.checked()?.dtype;
                if !own.casts_same_kind(dtype) {
                    let detail = format!("elements of dtype {own} cannot be joined with dtype {dtype}; use astype");
                    return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
                }
                Ok(Some(reshape(OP, &cast(e, dtype, at), &[-1], at)))
            };
            let middle = difference(OP, &flat, 0, at);
            let parts: Vec<Expr> = [end(to_begin)?, Some(middle), end(to_end)?].into_iter().flatten().collect();
            Ok(if parts.len() == 1 { parts[0].clone() } else { join(OP, parts, 0, at) })
        })
    }

    /// Computes the gradient along an axis. The elements are samples at distance `spacing` from each other. For an
    /// element with two neighbours, the gradient is `(x[i + 1] − x[i − 1]) / (2 · spacing)`. At the ends of an axis of
    /// n elements, it is `(x[1] − x[0]) / spacing` and `(x[n − 1] − x[n − 2]) / spacing` (NumPy's `edge_order=1`).
    /// Integers and bool are converted to f32. The result has the shape of the array.
    ///
    /// The expression carries an [`ErrorKind::Shape`] error if the axis has fewer than two elements.
    ///
    /// ```
    /// let x = cupric::array![1., 2., 4., 8.];
    /// assert_eq!(x.gradient(1.0, 0).to_vec::<f32>()?, [1., 1.5, 3., 4.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn gradient(&self, spacing: f64, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "gradient";
        let at = Location::caller();
        result_of(OP, at, || {
            let (e, axis) = along(OP, self, axis, at)?;
            let n = e.0.shape[axis];
            if n < 2 {
                let detail = format!("axis {axis} of {:?} has fewer than two elements", e.0.shape.as_slice());
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            let dtype = e.0.dtype.float();
            let e = cast(e, dtype, at);
            // for f16 and bf16, the difference is kept in f32 until the quotient is stored
            let slope = |after: Expr, before: Expr, distance: f64| {
                binary(&arithmetic::divide, binary(&arithmetic::subtract, after, before, at), distance, at)
            };
            let part = |start, end| range(OP, &e, axis, start, end, at);
            let first = slope(part(Some(1), Some(2)), part(None, Some(1)), spacing);
            let inside = slope(part(Some(2), None), part(None, Some(-2)), 2.0 * spacing);
            let last = slope(part(Some(-1), None), part(Some(-2), Some(-1)), spacing);
            let parts = if n == 2 { vec![first, last] } else { vec![first, inside, last] };
            Ok(join(OP, parts, axis as isize, at))
        })
    }

    /// Integrates along an axis by the trapezoidal rule. The elements are samples at distance `spacing` from each
    /// other. The result is the sum of `(x[i] + x[i + 1]) / 2 · spacing`, which is 0 for fewer than two samples.
    /// Integers and bool are converted to f32; f16 and bf16 accumulate in f32.
    ///
    /// ```
    /// let x = cupric::array![1., 2., 4.];
    /// assert_eq!(x.trapezoid(0.5, 0).item::<f32>()?, 2.25);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "trapz")]
    #[track_caller]
    pub fn trapezoid(&self, spacing: f64, axis: impl Integer) -> Expr {
        let axis = axis.saturated();
        const OP: &str = "trapezoid";
        let at = Location::caller();
        result_of(OP, at, || {
            let (e, axis) = along(OP, self, axis, at)?;
            let dtype = e.0.dtype.float();
            let wide = cast(e, if dtype.is_half() { DType::F32 } else { dtype }, at);
            let pairs = binary(
                &arithmetic::add,
                range(OP, &wide, axis, Some(1), None, at),
                range(OP, &wide, axis, None, Some(-1), at),
                at,
            );
            let sum = reduce(OP, Fold::of(&arithmetic::add), &pairs, &(axis as isize).into_axes(), at);
            Ok(cast(binary(&arithmetic::multiply, sum, spacing / 2.0, at), dtype, at))
        })
    }
}

fn differences(x: &Expr, n: usize, axis: isize, around: [Option<&Expr>; 2], at: Loc) -> Expr {
    const OP: &str = "diff";
    let given = std::iter::once(x).chain(around.into_iter().flatten());
    let mut typed = operand_list(given, Unfit::Error(OP), at).into_iter();
    result_of(OP, at, || {
        common(OP, typed.as_slice().iter(), at)?;
        let x = typed.next().unwrap_or_else(|| x.clone());
        let (mut e, axis) = along(OP, &x, axis, at)?;
        if around.iter().any(Option::is_some) {
            let mut one: Shape = e.0.shape.clone();
            one[axis] = 1;
            let beside = |other: Expr| match other.0.shape.is_empty() {
                true => view(OP, &other, at, |s| View::broadcast_to(s, &one)),
                false => other,
            };
            let [before, after] = around.map(|other| other.and_then(|_| typed.next()).map(beside));
            let parts: Vec<Expr> = [before, Some(e), after].into_iter().flatten().collect();
            e = join(OP, parts, axis as isize, at);
        }
        let length = e.checked()?.shape[axis];
        for _ in 0..n.min(length) {
            e = difference(OP, &e, axis, at);
        }
        Ok(e)
    })
}
