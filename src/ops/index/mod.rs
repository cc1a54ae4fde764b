//! Slices and other views, and `take`. `along.rs` has `take_along_axis`. `scatter.rs` has `index_add`, `index_min` and
//! `index_max`; for floats, the code that adds is in `sums.rs`, and the code that finds minima and maxima in
//! `extremes.rs`. `places.rs` has `put`, `put_along_axis`, `set_at` and `take_at`; `writes.rs` has the code that writes
//! their values. `modes.rs` has `Clip` and `Wrap`.

mod along;
mod derivatives;
mod extremes;
mod modes;
mod places;
mod scatter;
mod sums;
mod writes;

pub(crate) use along::{checked_positions, take_along};
pub(crate) use derivatives::{as_gather, untaken_along};
pub use modes::{Clip, IntoIndex, IntoIndices, Wrap};
pub(crate) use scatter::added_at;
pub(crate) use sums::{first_of, sums_by_key};

use crate::base::dtype::DType;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::layout::{self, Integer, Integers, IntoAxes, IntoShape, Shape, SliceItems, View, shape_arg};
use crate::graph::expr::{Expr, NodeOp, Operand, cast, common, reshape, result_of, strong, ufunc, view};
use crate::graph::ufunc::{arithmetic, logic};
use crate::plan::kernel::IndexMode;
use smallvec::smallvec;
use std::panic::Location;

/// Makes the items of a slice for [`slice`](crate::Expr::slice), such as `s![a..b;step, a..=b, .., ..., NewAxis, -1]`.
/// `..` is one whole axis, and `...` is all remaining axes. `a..=b` includes the element at `b`, even if `b` counts
/// from the end of the axis, as in `1..=-1`.
///
/// ```
/// use cupric::{array, s, NewAxis};
/// let x = array![[1, 2, 3], [4, 5, 6]];
/// assert_eq!(x.slice(s![.., ..;-1]).to_vec::<i32>()?, [3, 2, 1, 6, 5, 4]);
/// assert_eq!(x.slice(s![..., 0]).to_vec::<i32>()?, [1, 4]);
/// assert_eq!(x.slice(s![-1, 1..]).to_vec::<i32>()?, [5, 6]);
/// assert_eq!(x.slice(s![.., 0..=1]).to_vec::<i32>()?, [1, 2, 4, 5]);
/// assert_eq!(x.slice(s![NewAxis, 0]).shape()?, [1, 3]);
/// # Ok::<(), cupric::Error>(())
/// ```
#[macro_export]
macro_rules! s {
    (@items [$($done:expr),*]) => {{
        // this lint is allowed because `3..0;-2`, NumPy's `3:0:-2`, is a valid item
        #[allow(clippy::reversed_empty_ranges)]
        let items: [$crate::SliceItem; _] = [$($done),*];
        items
    }};
    (@items [$($done:expr),*] ...) => { $crate::s!(@items [$($done,)* $crate::SliceItem::Ellipsis]) };
    (@items [$($done:expr),*] ..., $($rest:tt)*) => {
        $crate::s!(@items [$($done,)* $crate::SliceItem::Ellipsis] $($rest)*)
    };
    // this rule reports NumPy's `::2` as an error, because the rules below would parse it as the start of a path
    (@items [$($done:expr),*] :: $step:literal $($rest:tt)*) => { $crate::s!(@items [] : : $step $($rest)*) };
    (@items [$($done:expr),*] $item:expr; $step:expr) => {
        $crate::s!(@items [$($done,)* $crate::Stepped::stepped($item, $step)])
    };
    (@items [$($done:expr),*] $item:expr; $step:expr, $($rest:tt)*) => {
        $crate::s!(@items [$($done,)* $crate::Stepped::stepped($item, $step)] $($rest)*)
    };
    (@items [$($done:expr),*] $item:expr) => { $crate::s!(@items [$($done,)* $crate::SliceItem::from($item)]) };
    (@items [$($done:expr),*] $item:expr, $($rest:tt)*) => {
        $crate::s!(@items [$($done,)* $crate::SliceItem::from($item)] $($rest)*)
    };
    (@items [$($done:expr),*] $($wrong:tt)*) => {
        compile_error!(concat!(
            "`", stringify!($($wrong)*), "` is no item of `s!`. Write `..` for NumPy's `:`, `a..b` for `a:b`, `a..b;2` for `a:b:2`, ",
            "`..;-1` for `::-1`; `...`, `NewAxis` and integers are as in NumPy: x[:, 0] is x.slice(s![.., 0])"
        ))
    };
    ($($items:tt)*) => { $crate::s!(@items [] $($items)*) };
}

/// # Slices and views
impl Expr {
    /// Returns a part of the array as a view, without a copy. The items are an integer, a range, a tuple of these, or
    /// made by the macro [`s!`](crate::s), which also has steps and `...`.
    ///
    /// The bounds of a range are clamped to the axis, as in NumPy. An integer selects one position and removes its
    /// axis. The expression carries an error if an integer is out of range.
    ///
    /// ```
    /// use cupric::{arange, s};
    /// let x = arange(0, 12, 1, cupric::DType::I32).reshape([3, 4]);
    /// assert_eq!(x.slice(s![1, ..]).to_vec::<i32>()?, [4, 5, 6, 7]);
    /// assert_eq!(x.slice(s![..2, ..;-2]).to_vec::<i32>()?, [3, 1, 7, 5]);
    /// assert_eq!(x.slice((.., 2..)).shape()?, [3, 2]);
    /// assert_eq!(x.slice(-1).to_vec::<i32>()?, [8, 9, 10, 11]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("narrow", "index", "get_slice"))]
    #[track_caller]
    pub fn slice(&self, items: impl SliceItems) -> Expr {
        view("slice", self, Location::caller(), |shape| View::slice(shape, items.items().as_ref()))
    }

    /// Returns the transpose: a view with all axes in reverse order.
    ///
    /// ```
    /// let x = cupric::array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.t().to_vec::<i32>()?, [1, 4, 2, 5, 3, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn t(&self) -> Expr {
        view("t", self, Location::caller(), |shape| {
            let axes: Vec<isize> = (0..shape.len() as isize).rev().collect();
            View::permute(shape, &axes)
        })
    }

    /// Returns a view with the axes in another order: axis i of the result is axis `axes[i]` of the array.
    ///
    /// ```
    /// let x = cupric::zeros([2, 3, 4], cupric::DType::F32);
    /// assert_eq!(x.permute_dims([2, 0, 1]).shape()?, [4, 2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("permute", "permuted_axes"))]
    #[track_caller]
    pub fn permute_dims(&self, axes: impl IntoAxes) -> Expr {
        let axes = axes.into_axes();
        view("permute_dims", self, Location::caller(), |shape| match &axes.axes {
            Some(a) => View::permute(shape, a),
            None => Ok(View::identity(shape)),
        })
    }

    /// Returns a view with the last two axes exchanged. The expression carries [`ErrorKind::Shape`] if there are fewer
    /// than two axes.
    ///
    /// ```
    /// let x = cupric::zeros([7, 2, 3], cupric::DType::F32);
    /// assert_eq!(x.matrix_transpose().shape()?, [7, 3, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("mT"))]
    #[track_caller]
    pub fn matrix_transpose(&self) -> Expr {
        view("matrix_transpose", self, Location::caller(), |shape| {
            let n = shape.len() as isize;
            if n < 2 {
                return Err(crate::base::error::Fault::new(
                    ErrorKind::Shape,
                    format!("shape {shape:?} has fewer than the two axes of a matrix"),
                ));
            }
            let axes: Vec<isize> = (0..n - 2).chain([n - 1, n - 2]).collect();
            View::permute(shape, &axes)
        })
    }

    /// Returns the elements, in C order, in an array of another shape, like NumPy's `reshape`. One length may be −1; it
    /// is computed from the others. The result is a view if strides can express it, and otherwise a copy.
    ///
    /// ```
    /// use cupric::arange;
    /// assert_eq!(arange(0, 6, 1, cupric::DType::I32).reshape([2, -1]).shape()?, [2, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("view", "into_shape", "view_as", "reshape_as", "unflatten"))]
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Expr {
        reshape("reshape", self, &shape.into_shape(), Location::caller())
    }

    /// Returns a view with a new axis of length 1, which is at position `axis` of the result.
    ///
    /// ```
    /// let x = cupric::array![1., 2., 3.];
    /// assert_eq!(x.expand_dims(0).shape()?, [1, 3]);
    /// assert_eq!(x.expand_dims(-1).shape()?, [3, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("insert_axis"))]
    #[track_caller]
    pub fn expand_dims(&self, axis: impl Integer) -> Expr {
        view("expand_dims", self, Location::caller(), |shape| View::expand(shape, axis.saturated()))
    }

    /// Returns a view without the given axes, which must have length 1. With `..`, the view leaves out all axes of
    /// length 1. The expression carries [`ErrorKind::Shape`] if a given axis has another length.
    ///
    /// ```
    /// let x = cupric::zeros([1, 3, 1], cupric::DType::F32);
    /// assert_eq!(x.squeeze(0).shape()?, [3, 1]);
    /// assert_eq!(x.squeeze(..).shape()?, [3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("remove_axis"))]
    #[track_caller]
    pub fn squeeze(&self, axes: impl IntoAxes) -> Expr {
        let axes = axes.into_axes();
        view("squeeze", self, Location::caller(), |shape| {
            let named = match axes.axes {
                Some(_) => axes.resolve(shape.len())?,
                None => (0..shape.len()).filter(|d| shape[*d] == 1).collect(),
            };
            View::squeeze(shape, &named)
        })
    }

    /// Returns a view of the elements with a larger shape, by NumPy's broadcasting rules: axes of length 1 are
    /// repeated, and new axes are added in front.
    ///
    /// ```
    /// let x = cupric::array![1, 2];
    /// assert_eq!(x.broadcast_to([2, 2]).to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("expand", "broadcast", "expand_as"))]
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Expr {
        view("broadcast_to", self, Location::caller(), |from| View::broadcast_to(from, &shape_arg(shape)?))
    }

    /// Returns a view with the elements in reverse order along the given axes, or along all axes with `..`.
    ///
    /// ```
    /// let x = cupric::array![[1, 2], [3, 4]];
    /// assert_eq!(x.flip(-1).to_vec::<i32>()?, [2, 1, 4, 3]);
    /// assert_eq!(x.flip(..).to_vec::<i32>()?, [4, 3, 2, 1]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("fliplr", "flipud", "invert_axis"))]
    #[track_caller]
    pub fn flip(&self, axes: impl IntoAxes) -> Expr {
        let axes = axes.into_axes();
        view("flip", self, Location::caller(), |shape| Ok(View::flip(shape, &axes.resolve(shape.len())?)))
    }

    /// Returns the diagonal of the last two axes, as the last axis of a view. A positive `offset` selects a diagonal
    /// above the main one, and a negative one a diagonal below it.
    ///
    /// ```
    /// let x = cupric::array![[1, 2, 3], [4, 5, 6]];
    /// assert_eq!(x.diagonal(0).to_vec::<i32>()?, [1, 5]);
    /// assert_eq!(x.diagonal(1).to_vec::<i32>()?, [2, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn diagonal(&self, offset: isize) -> Expr {
        view("diagonal", self, Location::caller(), |shape| View::diagonal(shape, offset, -2, -1))
    }

    /// Returns all windows of `window` neighbouring elements along an axis, as a view. The axis then counts the
    /// windows, and a new last axis counts the elements within a window.
    ///
    /// For windows over several axes, `window` has one length for each axis, and the result has one new axis for each,
    /// in the order of `axes`. With `..`, the windows cover all axes.
    ///
    /// ```
    /// use cupric::{DType, arange};
    /// let x = arange(0, 5, 1, DType::I32).sliding_windows(3, 0);
    /// assert_eq!(x.to_vec::<i32>()?, [0, 1, 2, 1, 2, 3, 2, 3, 4]);
    ///
    /// let image = arange(0, 12, 1, DType::F32).reshape([3, 4]);
    /// let windows = image.sliding_windows([2, 3], [0, 1]);
    /// assert_eq!(windows.shape()?, [2, 2, 2, 3]);
    /// assert_eq!(windows.max((-2, -1)).to_vec::<f32>()?, [6., 7., 10., 11.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("unfold", "windows"))]
    #[doc(alias = "sliding_window_view")]
    #[track_caller]
    pub fn sliding_windows(&self, window: impl Integers, axes: impl IntoAxes) -> Expr {
        let (window, axes) = (window.integers(), axes.into_axes());
        view("sliding_windows", self, Location::caller(), |shape| {
            let all = || (0..shape.len() as isize).collect();
            View::sliding_windows(shape, &window, &axes.axes.unwrap_or_else(all))
        })
    }

    /// Returns the elements along an axis at integer positions. Negative positions count from the end. The axes of the
    /// indices replace `axis`, so indices with n axes make a result with n − 1 more axes than the array.
    ///
    /// An index out of range is an error, whose message contains the index. An evaluation on the CPU and every write
    /// into an array return the error immediately. After an evaluation on a GPU, the next read or `synchronize` returns
    /// it. To replace an index out of range by a valid one instead, use [`Clip`] or [`Wrap`]. All functions that accept
    /// an [`IntoIndex`] behave in this way.
    ///
    /// If one kernel finds several indices out of range, the message contains any one of them. If at least 16,384 more
    /// operations with such checks run before the read, the message contains neither the index nor the line of the
    /// call.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4], [5, 6]];
    /// assert_eq!(x.take(array![2, 0, -1], 0).to_vec::<i32>()?, [5, 6, 1, 2, 5, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("index_select", "embedding"))]
    #[track_caller]
    pub fn take(&self, indices: impl IntoIndex, axis: impl Integer) -> Expr {
        let at = Location::caller();
        let (indices, mode) = indices.into_index(at);
        take(self, indices, axis.saturated(), mode, at)
    }
}

pub(crate) fn take(source: &Expr, indices: Expr, axis: isize, mode: IndexMode, at: &'static Location<'static>) -> Expr {
    result_of("take", at, || {
        let source = strong(source.clone(), at);
        let device = common("take", [&source, &indices].into_iter(), at)?;
        let shape = &source.0.shape;
        let axis = layout::normalize_axis(axis, shape.len()).map_err(|f| f.at("take", at))?;
        let i = positions("take", indices, (axis, shape), mode, at)?;
        let mut out: Shape = shape[..axis].into();
        out.extend(i.0.shape.iter().copied());
        out.extend(shape[axis + 1..].iter().copied());
        layout::size_of_shape(&out).map_err(|f| f.at("take", at))?;
        let dtype = source.0.dtype;
        Ok(Expr::node(
            NodeOp::Take { axis, mode, along: false, name: "take" },
            smallvec![i, source],
            out,
            dtype,
            device,
            at,
        ))
    })
}

/// Converts indices to a dtype that kernels accept: i32, or the original dtype if the indices are to be checked and
/// have 32 or 64 bits. In mode `Check`, the length is added to negative indices, because they count from the end. In
/// the other modes, kernels clip or wrap the indices.
fn positions(
    op: &'static str,
    indices: Expr,
    (axis, shape): (usize, &Shape),
    mode: IndexMode,
    at: &'static Location<'static>,
) -> Result<Expr> {
    let dtype = indices.0.dtype;
    if !dtype.is_integer() {
        let detail = format!("indices have dtype {dtype}; integers are needed");
        return Err(Error::with_line(ErrorKind::DType, op, detail, at));
    }
    let n = shape[axis];
    if n > i32::MAX as usize {
        let detail = format!("axis {axis} has length {n}; the positions along it must fit i32");
        return Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at));
    }
    let wanted = layout::product(&indices.0.shape);
    if n == 0 && wanted != 0 {
        let detail =
            format!("axis {axis} of shape {shape:?} has length 0, so none of the {wanted} positions is in range");
        return Err(Error::with_line(ErrorKind::Index, op, detail, at));
    }
    // kernels clip and wrap only i32 positions, so indices of wider dtypes are first mapped into the range of i32, each
    // to a position that selects the same element
    let i = match (dtype, mode) {
        (DType::I64 | DType::U32 | DType::U64, IndexMode::Wrap)
            if mutant!(positions_saturate, dtype != DType::U32, true) =>
        {
            ufunc(&arithmetic::remainder, smallvec![indices.into_arg(), n.into_arg()], at)
        }
        (DType::I64, IndexMode::Clip) => {
            ufunc(&arithmetic::clip, smallvec![indices.into_arg(), i32::MIN.into_arg(), i32::MAX.into_arg()], at)
        }
        (DType::U32 | DType::U64, IndexMode::Clip | IndexMode::Wrap) => {
            ufunc(&arithmetic::minimum, smallvec![indices.into_arg(), i32::MAX.into_arg()], at)
        }
        _ => indices,
    };
    // a checked index keeps its dtype, so that the error message contains the value that the caller passed
    let keeps = mode == IndexMode::Check && dtype.size() >= 4;
    let i = if keeps { i } else { cast(i, DType::I32, at) };
    if mode != IndexMode::Check || !dtype.is_signed_integer() {
        return Ok(i);
    }
    let negative = ufunc(&logic::less, smallvec![(&i).into_arg(), 0.into_arg()], at);
    let from_end = ufunc(&arithmetic::add, smallvec![(&i).into_arg(), n.into_arg()], at);
    Ok(ufunc(&logic::SELECT, smallvec![negative.into_arg(), from_end.into_arg(), (&i).into_arg()], at))
}
