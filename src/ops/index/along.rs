//! `take_along_axis`, which uses a separate index for each element of the result. The module also checks indices that
//! are used in arithmetic and not to load elements.

use super::modes::IntoIndex;
use super::positions;
use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Integer, Shape, View};
use crate::graph::expr::{Expr, NodeOp, array_below, between, binary, cast, common, result_of, strong, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

/// # Positions along an axis
impl Expr {
    /// Returns elements along an axis at integer positions, with a separate position for each element of the result.
    /// Use it with the results of `argsort`, `argmax` and similar functions. The elements keep their dtype and bits.
    ///
    /// For indices of shape `[m, k]` and axis 1, the result has shape `[m, k]`, and its element `[i, j]` is
    /// `x[i, indices[i, j]]`. The indices have as many axes as the array. Along `axis` they may have any length; along
    /// the other axes both shapes broadcast.
    ///
    /// Negative indices count from the end, and an index out of range is an error as for [`Expr::take`]. The expression
    /// carries an [`ErrorKind::DType`] error if the indices are not integers, and an [`ErrorKind::Shape`] error if the
    /// shapes do not fit.
    ///
    /// ```
    /// use cupric::{array, keep};
    /// let x = array![[3., 1.], [2., 5.]];
    /// assert_eq!(x.take_along_axis(array![[1, 0], [0, -1]], 1).to_vec::<f32>()?, [1., 3., 2., 5.]);
    /// let largest = x.take_along_axis(x.argmax(keep(0)), 0);
    /// assert_eq!(largest.to_vec::<f32>()?, [3., 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("gather", "take_along_dim"))]
    #[track_caller]
    pub fn take_along_axis(&self, indices: impl IntoIndex, axis: impl Integer) -> Expr {
        let at = Location::caller();
        let (indices, mode) = indices.into_index(at);
        take_along("take_along_axis", self, indices, axis.saturated(), mode, at)
    }
}

/// Builds the expression of [`Expr::take_along_axis`] for a call of `op`.
pub(crate) fn take_along(
    op: &'static str,
    source: &Expr,
    indices: Expr,
    axis: isize,
    mode: IndexMode,
    at: Loc,
) -> Expr {
    result_of(op, at, || {
        let source = strong(source.clone(), at);
        let device = common(op, [&source, &indices].into_iter(), at)?;
        let axis = layout::normalize_axis(axis, source.0.shape.len()).map_err(|f| f.at(op, at))?;
        let (from, wanted) = (&source.0.shape, &indices.0.shape);
        if wanted.len() != from.len() {
            let (a, b) = (from.as_slice(), wanted.as_slice());
            let detail = format!("an array of shape {a:?} and indices of shape {b:?} have not as many axes");
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        // along `axis` the array and the indices keep their lengths; along the other axes they broadcast
        let along = |shape: &Shape, n: usize| -> Shape {
            let mut shape = shape.clone();
            shape[axis] = n;
            shape
        };
        let common = layout::broadcast(&along(from, 1), &along(wanted, 1)).map_err(|f| f.at(op, at))?;
        let (out, from) = (along(&common, wanted[axis]), along(&common, from[axis]));
        layout::size_of_shape(&out).map_err(|f| f.at(op, at))?;
        let i = positions(op, indices, (axis, &from), mode, at)?;
        let i = view(op, &i, at, |s| View::broadcast_to(s, &out));
        let source = view(op, &source, at, |s| View::broadcast_to(s, &from));
        source.checked()?;
        i.checked()?;
        let dtype = source.0.dtype;
        Ok(Expr::node(NodeOp::Take { axis, mode, along: true, name: op }, smallvec![i, source], out, dtype, device, at))
    })
}

/// Returns integer positions as i64. If a position is negative or not less than `length`, the evaluation fails as it
/// does for [`Expr::take`]. `mode` is one that checks.
///
/// The check is a gather from one element that is broadcast to `length` elements. It adds 0 to the position, so that the
/// planner cannot leave it out. A gather reads memory, so the element is one of an array that the positions are computed
/// from: then the check runs in the kernel that uses the positions.
pub(crate) fn checked_positions(
    op: &'static str,
    positions: Expr,
    length: usize,
    mode: IndexMode,
    at: Loc,
) -> Result<Expr> {
    let dtype = positions.0.dtype;
    if !dtype.is_integer() {
        let detail = format!("positions have dtype {dtype}; integers are needed");
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    if length > i32::MAX as usize {
        let detail = format!("{length} positions; a check of them must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let (shape, device) = (positions.0.shape.clone(), positions.0.device);
    if length == 0 && !shape.contains(&0) {
        let detail = "no position is in range, because an axis has length 0";
        return Err(Error::with_line(ErrorKind::Index, op, detail, at));
    }
    // a kernel checks i32 and i64 indices, and takes half as long for i32
    let fits = dtype.size() < 4 || dtype == DType::I32;
    let i = cast(positions, if fits { DType::I32 } else { DType::I64 }, at);
    let element = match array_below(&i).filter(|array| !array.0.shape.contains(&0)) {
        Some(array) => view(op, array, at, |s| Ok(first(s))),
        None => Expr::node(NodeOp::Iota(0), smallvec![], smallvec![1], DType::I32, 0, at),
    };
    let element = view(op, &element, at, |s| View::broadcast_to(s, &[length.max(1)]));
    element.checked()?;
    let (take, read) = (NodeOp::Take { axis: 0, mode, along: false, name: op }, element.0.dtype);
    // a check of the user for NaN or overflow ignores the element, which is not a part of the result
    let zero = between(|| {
        let found = Expr::node(take, smallvec![i.clone(), element], shape, read, device, at);
        binary(&logic::bitwise_and, cast(found, DType::I32, at), 0, at)
    });
    Ok(cast(binary(&arithmetic::add, i, zero, at), DType::I64, at))
}

/// Returns the view of the element of an array whose index is 0 along every axis, as a 0-d array.
fn first(shape: &[usize]) -> View {
    View { shape: smallvec![], offset: smallvec![0; shape.len()], coef: smallvec![] }
}
