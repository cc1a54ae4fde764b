//! Writes at computed positions (`put`, `put_along_axis`, `set_at`), and reads at positions along several axes
//! (`take_at`).
//!
//! The code that writes the values is in `ops/index/writes.rs`.

use super::modes::{IntoIndex, IntoIndices};
use super::positions;
use super::writes::{Places, at_most_i32, in_axis, written};
use crate::array::Array;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, Shape, View};
use crate::graph::expr::{Arg, Expr, NodeOp, Operand, binary, common, reshape, result_of, strong, view};
use crate::graph::ufunc::arithmetic;
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

/// # Positions in the whole array
impl Expr {
    /// Returns a copy in which the elements at integer positions are replaced by values. The positions may have any
    /// shape. They count all elements of the array in C order, and negative positions count from the end. The values
    /// broadcast to the shape of the positions, and are cast as in [`Array::assign`]. If a position occurs several
    /// times, the last value in C order is kept.
    ///
    /// `x.update(|x| x.put(..))` writes to the array itself, in place if nothing else holds its memory. A CPU then
    /// accesses only the elements at the positions. A GPU does so only if there are few positions and none can be out
    /// of range ([`Clip`](crate::Clip), [`Wrap`](crate::Wrap)). If the number of positions exceeds a 16th of the number
    /// of elements, a GPU needs 32 bits of additional memory for each element of the array.
    ///
    /// NumPy's `put` repeats the values if there are too few of them. Here the values broadcast, or the call is an
    /// error.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.put(array![0, -1, 0], array![10, 20, 30]).to_vec::<i32>()?, [30, 2, 3, 4, 5, 20]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// A position out of range is an error as for [`Expr::take`]. The expression carries an [`ErrorKind::DType`] error
    /// if the positions are not integers or if the cast of the values is not `same_kind`, [`ErrorKind::Shape`] if the
    /// values do not broadcast, and [`ErrorKind::LimitExceeded`] if the array or the positions have 2^31 elements or
    /// more.
    #[track_caller]
    pub fn put(&self, indices: impl IntoIndex, values: impl Operand) -> Expr {
        put(self, indices, values, Location::caller())
    }

    /// Returns a copy in which elements along an axis are replaced by values, each at its own integer position. If
    /// there are several values for one element, the last in C order is kept.
    ///
    /// For `indices` of shape `[m, k]` and axis 1, the value at `[i, j]` replaces the element at `[i, indices[i, j]]`,
    /// as in [`Expr::take_along_axis`]. The indices have as many axes as the array, and broadcast to the array's
    /// lengths along all axes except `axis`. The values broadcast to the resulting shape, and are cast as in
    /// [`Array::assign`].
    ///
    /// ```
    /// use cupric::{array, keep};
    /// let x = array![[3., 1.], [2., 5.]];
    /// let y = x.put_along_axis(x.argmax(keep(1)), 0.0, 1);
    /// assert_eq!(y.to_vec::<f32>()?, [0., 1., 2., 0.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries the errors of [`Expr::put`], [`ErrorKind::Axis`] if the axis does not exist, and
    /// [`ErrorKind::Shape`] if the shape of the positions does not fit the array.
    #[doc(alias = "scatter")]
    #[track_caller]
    pub fn put_along_axis(&self, indices: impl IntoIndex, values: impl Operand, axis: impl Integer) -> Expr {
        put_along(self, indices, values, axis.saturated(), Location::caller())
    }

    /// Returns the elements at integer positions along several axes, like NumPy's `x[i, j]`. There is one operand of
    /// positions for each of the first axes. The operands broadcast, and element k of the result is `x[i[k], j[k]]`.
    /// The axes of the positions replace the first axes of the array. Negative positions count from the end. The
    /// elements keep their dtype and bits.
    ///
    /// The axes that have positions are merged into one. This copies the array if its strides do not allow a view.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.take_at((array![0, 1, -1], array![2, 0, -1])).to_vec::<i32>()?, [3, 4, 6]);
    /// // positions that broadcast pick a grid
    /// assert_eq!(x.take_at((array![[1], [0]], array![0, 2])).to_vec::<i32>()?, [4, 6, 1, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// A position out of range is an error as for [`Expr::take`]. The expression carries an [`ErrorKind::Argument`]
    /// error if there are no operands of positions, or more of them than the array has axes; [`ErrorKind::DType`] if
    /// the positions are not integers; [`ErrorKind::Shape`] if they do not broadcast; and [`ErrorKind::LimitExceeded`]
    /// if the product of the lengths of these axes is 2^31 or more.
    #[doc(alias = "gather_nd")]
    #[track_caller]
    pub fn take_at(&self, indices: impl IntoIndices) -> Expr {
        take_at(self, indices.into_indices(), Location::caller())
    }
}

impl Array {
    /// Writes values to the elements at integer positions along several axes, like NumPy's `x[i, j] = v`. The positions
    /// are given as for [`Expr::take_at`]. The value broadcasts to the shape of the result that `take_at` returns for
    /// these positions, and is cast as in [`Array::assign`]. If an element is written several times, it keeps the last
    /// value in C order.
    ///
    /// # Errors
    /// Returns the errors of [`Expr::take_at`], including the error for a position out of range, and the errors of
    /// [`Array::assign`]. After an error the array is unchanged.
    ///
    /// ```
    /// use cupric::array;
    /// let mut x = array![[1, 2, 3], [4, 5, 6]];
    /// x.set_at((array![0, 1], array![2, 0]), array![30, 40])?;
    /// x.set_at((-1,), 7)?;
    /// assert_eq!(x.to_vec::<i32>()?, [1, 2, 30, 7, 7, 7]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("index_put", "index_copy", "index_fill"))]
    #[track_caller]
    pub fn set_at(&mut self, indices: impl IntoIndices, value: impl Operand) -> Result<()> {
        set_at(self, indices.into_indices(), value, Location::caller())
    }
}

/// Combines the positions along the first axes of a shape, one operand for each axis, into positions that count the
/// elements of these axes in C order.
fn of_axes(op: &'static str, indices: Vec<Expr>, shape: &Shape, mode: IndexMode, at: Loc) -> Result<Places> {
    if indices.is_empty() || indices.len() > shape.len() {
        let (given, shape) = (indices.len(), shape.as_slice());
        let detail =
            format!("positions for {given} axes of shape {shape:?}; at least one axis, and at most all, have them");
        return Err(Error::with_line(ErrorKind::Argument, op, detail, at));
    }
    let lead = &shape[..indices.len()];
    let mut below = layout::product(lead);
    at_most_i32(op, below, "places along the axes", at)?;
    if indices.len() == 1 {
        let alone = indices.into_iter().next().map(|i| positions(op, i, (0, shape), mode, at));
        let at = alone.unwrap_or_else(|| Err(Error::with_line(ErrorKind::Internal, op, "no positions", at)))?;
        return Ok(Places { at, mode });
    }
    let mut common: Shape = smallvec![];
    for i in &indices {
        common = layout::broadcast(&common, &i.checked()?.shape).map_err(|f| f.at(op, at))?;
    }
    let mut sum: Option<Expr> = None;
    for (axis, i) in indices.into_iter().enumerate() {
        let i = in_axis(op, i, (axis, shape), mode, at)?;
        below /= shape[axis].max(1);
        let term = if below == 1 { i } else { binary(&arithmetic::multiply, i, below, at) };
        sum = Some(match sum {
            None => term,
            Some(sum) => binary(&arithmetic::add, sum, term, at),
        });
    }
    let at = sum.ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "no positions", at))?;
    // each position is in the range of its axis, so the combined position is in range too
    Ok(Places { at, mode: IndexMode::Clip })
}

fn operands(args: Vec<Arg>, at: Loc) -> Vec<Expr> {
    args.into_iter().map(|a| operand_of(a, at)).collect()
}

fn operand_of(a: Arg, at: Loc) -> Expr {
    match a {
        Arg::Expr(e) => strong(e, at),
        Arg::Scalar(s) => Expr::fill(s, smallvec![], s.default_dtype(), at),
    }
}

fn take_at(source: &Expr, (indices, mode): (Vec<Arg>, IndexMode), at: Loc) -> Expr {
    const OP: &str = "take_at";
    result_of(OP, at, || {
        let (source, indices) = (strong(source.clone(), at), operands(indices, at));
        let device = common(OP, std::iter::once(&source).chain(&indices), at)?;
        let shape = source.0.shape.clone();
        let lead = indices.len();
        let Places { at: i, mode } = of_axes(OP, indices, &shape, mode, at)?;
        let mut out: Shape = i.checked()?.shape.clone();
        out.extend(shape[lead..].iter().copied());
        layout::size_of_shape(&out).map_err(|f| f.at(OP, at))?;
        let mut joined: Shape = smallvec![layout::product(&shape[..lead])];
        joined.extend(shape[lead..].iter().copied());
        let source = reshape(OP, &source, &layout::lengths(&joined), at);
        let dtype = source.checked()?.dtype;
        let take = NodeOp::Take { axis: 0, mode, along: false, name: OP };
        Ok(Expr::node(take, smallvec![i, source], out, dtype, device, at))
    })
}

/// Converts positions along an axis to positions that count all elements of an array of shape `shape` in C order. `i`
/// has the shape `wanted`; its own indices are used as the positions along the other axes. The results fit i32, because
/// the number of elements does.
pub(super) fn flat_along(i: Expr, axis: usize, shape: &Shape, wanted: &Shape, at: Loc) -> Expr {
    let steps = layout::c_strides(shape);
    let mut sum = binary(&arithmetic::multiply, i, steps[axis], at);
    for d in (0..shape.len()).filter(|d| *d != axis && wanted[*d] > 1) {
        let own = Expr::node(NodeOp::Iota(d), smallvec![], wanted.clone(), DType::I32, 0, at);
        sum = binary(&arithmetic::add, sum, binary(&arithmetic::multiply, own, steps[d], at), at);
    }
    sum
}

fn put(array: &Expr, indices: impl IntoIndex, values: impl Operand, at: Loc) -> Expr {
    const OP: &str = "put";
    let ((indices, mode), values) = (indices.into_index(at), values.into_arg());
    result_of(OP, at, || {
        let array = strong(array.clone(), at);
        common(OP, [&array, &indices].into_iter(), at)?;
        let all: Shape = smallvec![layout::product(&array.0.shape)];
        let places = Places { at: positions(OP, indices, (0, &all), mode, at)?, mode };
        let lead = array.0.shape.len();
        written(OP, (array, lead), places, values, at)
    })
}

fn put_along(array: &Expr, indices: impl IntoIndex, values: impl Operand, axis: isize, at: Loc) -> Expr {
    const OP: &str = "put_along_axis";
    let ((indices, mode), values) = (indices.into_index(at), values.into_arg());
    result_of(OP, at, || {
        let array = strong(array.clone(), at);
        common(OP, [&array, &indices].into_iter(), at)?;
        let shape = array.0.shape.clone();
        let axis = layout::normalize_axis(axis, shape.len()).map_err(|f| f.at(OP, at))?;
        if indices.0.shape.len() != shape.len() {
            let (a, b) = (shape.as_slice(), indices.0.shape.as_slice());
            let detail = format!("an array of shape {a:?} and indices of shape {b:?} have not as many axes");
            return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
        }
        at_most_i32(OP, layout::product(&shape), "elements", at)?;
        let mut wanted = shape.clone();
        wanted[axis] = indices.0.shape[axis];
        layout::size_of_shape(&wanted).map_err(|f| f.at(OP, at))?;
        let indices = view(OP, &indices, at, |from| View::broadcast_to(from, &wanted));
        indices.checked()?;
        let i = in_axis(OP, indices, (axis, &shape), mode, at)?;
        let sum = flat_along(i, axis, &shape, &wanted, at);
        let lead = shape.len();
        written(OP, (array, lead), Places { at: sum, mode: IndexMode::Clip }, values, at)
    })
}

fn set_at(array: &mut Array, (indices, mode): (Vec<Arg>, IndexMode), value: impl Operand, at: Loc) -> Result<()> {
    const OP: &str = "set_at";
    let (indices, value) = (operands(indices, at), value.into_arg());
    let own: &Expr = array;
    let own = own.clone();
    common(OP, std::iter::once(&own).chain(&indices), at)?;
    let lead = indices.len();
    let places = of_axes(OP, indices, &own.0.shape, mode, at)?;
    let value = written(OP, (own, lead), places, value, at)?;
    array.write_all(Arg::Expr(value), OP, at)
}
