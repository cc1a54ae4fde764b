//! `index_add`, `index_min` and `index_max`, which combine values with the elements at computed positions.

use super::extremes::Extremes;
use super::modes::IntoIndex;
use super::positions;
use super::sums::{added, any_of};
use super::writes::in_axis;
use crate::array::device::Device;
use crate::array::prepared;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout::{self, Combine, IndexMode, Integer, Shape};
use crate::graph::expr::{Args, Expr, NodeOp, Operand, cast, common, composed, result_of, strong, ufunc};
use crate::graph::ufunc::{Ufunc, logic};
use smallvec::smallvec;
use std::panic::Location;

/// # Updates at positions
impl Expr {
    /// Returns a copy in which `values` are added to the elements along an axis at integer positions, like NumPy's
    /// `add.at`. If a position occurs twice, both values are added.
    ///
    /// The positions have one axis. Negative positions count from the end, and a position out of range is an error as
    /// for [`Expr::take`]. The values broadcast to the array's shape with the length along the axis replaced by the
    /// number of positions. They are cast as in [`Array::assign`](crate::Array::assign).
    ///
    /// `x.update(|x| x.index_add(..))` changes the array itself, but copies it once on the way. For integers it copies
    /// nothing if nothing else holds the array's memory; on a GPU this also requires positions that cannot be out of
    /// range ([`Clip`](crate::Clip), [`Wrap`](crate::Wrap)).
    ///
    /// A sum of integers wraps. A sum of bools is true if any term is true. Floats are added in an order that depends
    /// only on the positions, so the result has the same bits each time. f16 and bf16 are added in f32 and rounded
    /// once, with the error bound of [`Expr::sum`]. The time is linear in the number of values. To add floats, a GPU
    /// first sorts the positions.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![10, 20, 30];
    /// assert_eq!(x.index_add(0, array![0, 2, -1], array![1, 2, 3]).to_vec::<i32>()?, [11, 20, 35]);
    /// assert_eq!(array![0.5, 1.].index_add(0, array![1, 1], array![0.25, 4.]).to_vec::<f32>()?, [0.5, 5.25]);
    /// let counts = cupric::zeros([3], cupric::DType::I64).index_add(0, array![2, 0, 2, 2], 1);
    /// assert_eq!(counts.to_vec::<i64>()?, [1, 0, 3]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "scatter_add")]
    #[doc(alias = "add.at")]
    #[doc(alias = "add_at")]
    #[track_caller]
    pub fn index_add(&self, axis: impl Integer, indices: impl IntoIndex, values: impl Operand) -> Expr {
        added_at("index_add", self, axis.saturated(), indices, values, Location::caller())
    }

    /// Returns a copy in which each element at one of the integer positions along an axis is replaced by the minimum of
    /// the element and the values for its position, like NumPy's `minimum.at`. Positions and values are as for
    /// [`Expr::index_add`]. Values that are floats or bools are sorted first, because devices have no atomic minimum
    /// for them. NaN counts as less than all other values, and −0 as less than +0.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![10, 20, 30];
    /// assert_eq!(x.index_min(0, array![1, 1, 2], array![7, 5, 90]).to_vec::<i32>()?, [10, 5, 30]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "scatter_min")]
    #[track_caller]
    pub fn index_min(&self, axis: impl Integer, indices: impl IntoIndex, values: impl Operand) -> Expr {
        scatter("index_min", self, axis.saturated(), indices, values, Combine::Min, Location::caller())
    }

    /// Returns a copy in which each element at one of the integer positions along an axis is replaced by the maximum of
    /// the element and the values for its position, like NumPy's `maximum.at`. Positions and values are as for
    /// [`Expr::index_add`]. Values that are floats or bools are sorted first, because devices have no atomic maximum
    /// for them. NaN counts as greater than all other values, and +0 as greater than −0.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1, 2], [3, 4]];
    /// assert_eq!(x.index_max(1, array![0], array![[2], [2]]).to_vec::<i32>()?, [2, 2, 3, 4]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "scatter_max")]
    #[track_caller]
    pub fn index_max(&self, axis: impl Integer, indices: impl IntoIndex, values: impl Operand) -> Expr {
        scatter("index_max", self, axis.saturated(), indices, values, Combine::Max, Location::caller())
    }
}

/// Builds the expression of [`Expr::index_add`] for a call of `op`.
pub(crate) fn added_at(
    op: &'static str,
    array: &Expr,
    axis: isize,
    indices: impl IntoIndex,
    values: impl Operand,
    at: Loc,
) -> Expr {
    scatter(op, array, axis, indices, values, Combine::Add, at)
}

fn scatter(
    op: &'static str,
    array: &Expr,
    axis: isize,
    indices: impl IntoIndex,
    values: impl Operand,
    combine: Combine,
    at: Loc,
) -> Expr {
    let values = values.into_arg();
    let (indices, mode) = indices.into_index(at);
    result_of(op, at, || -> Result<Expr> {
        let array = strong(array.clone(), at);
        common(op, [&array, &indices].into_iter(), at)?;
        let (shape, dtype) = (&array.0.shape, array.0.dtype);
        let axis = layout::normalize_axis(axis, shape.len()).map_err(|f| f.at(op, at))?;
        if indices.0.shape.len() != 1 {
            let detail = format!("indices of shape {:?}; one axis is needed", indices.0.shape.as_slice());
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        let mut wanted: Shape = shape.clone();
        wanted[axis] = indices.0.shape[0];
        layout::size_of_shape(&wanted).map_err(|f| f.at(op, at))?;
        let given = indices.clone();
        let indices = positions(op, indices, (axis, shape), mode, at)?;
        let values = prepared(values, &wanted, dtype, op, at)?;
        let device = common(op, [&array, &indices, &values].into_iter(), at)?;
        if combine == Combine::Add && dtype.is_float() {
            let keys = in_axis(op, given, (axis, shape), mode, at)?;
            return added(op, &array, axis, keys, &values, at);
        }
        if combine == Combine::Add && dtype == DType::Bool {
            let along = Along { op, axis, mode, combine: Combine::Max, device, indices, at };
            return Ok(any_of(&array, &values, |array, values| along.scatter(array, values), at));
        }
        if !dtype.is_integer() {
            return Extremes { op, combine, mode, axis, device, at }.of(array, given, &values, &wanted);
        }
        let along = Along { op, axis, mode, combine, device, indices, at };
        // an expression without a device may later be evaluated on any device
        let may_be_on_gpu = device == 0 || Device::of(device).backend().caps().wgsl;
        Ok(match combine.lacks_wgsl_atomic(dtype.size()) && may_be_on_gpu {
            true => along.by_words(&array, &values),
            false => along.scatter(array, values),
        })
    })
}

/// The parameters that the scatters of one call share. A call needs one scatter, or two if it combines 64-bit integers
/// word by word.
struct Along {
    op: &'static str,
    axis: usize,
    mode: IndexMode,
    combine: Combine,
    device: u32,
    indices: Expr,
    at: Loc,
}

impl Along {
    fn scatter(&self, array: Expr, values: Expr) -> Expr {
        let (shape, dtype) = (array.0.shape.clone(), array.0.dtype);
        let Along { axis, mode, combine, .. } = *self;
        let op = NodeOp::Scatter { axis, mode, combine, name: self.op };
        Expr::node(op, smallvec![array, self.indices.clone(), values], shape, dtype, self.device, self.at)
    }

    /// Computes the minimum or maximum of 64-bit integers by two scatters of 32-bit words. The first scatter finds the
    /// best high word for each element. The second finds the best low word among the candidates with that high word;
    /// every other candidate takes part with a low word that never wins (`last`).
    fn by_words(&self, array: &Expr, values: &Expr) -> Expr {
        composed(|| self.combined_words(array, values))
    }

    fn combined_words(&self, array: &Expr, values: &Expr) -> Expr {
        let (at, dtype) = (self.at, array.0.dtype);
        let call = |row: &'static Ufunc, args: Args| ufunc(row, args.into_iter().map(Operand::into_arg).collect(), at);
        let number = |n: i64, dtype| Expr::fill(n.scalar(), smallvec![], dtype, at);
        let shift = || number(32, dtype);
        let high_type = if dtype == DType::I64 { DType::I32 } else { DType::U32 };
        let high = |x: &Expr| cast(call(&logic::bitwise_right_shift, smallvec![x.clone(), shift()]), high_type, at);
        let highest = self.scatter(high(array), high(values));
        let take = NodeOp::Take { axis: self.axis, mode: self.mode, along: false, name: "take" };
        let shape = values.0.shape.clone();
        let taken =
            Expr::node(take, smallvec![self.indices.clone(), highest.clone()], shape, high_type, self.device, at);
        let last = if self.combine == Combine::Min { u32::MAX as i64 } else { 0 };
        let low = |x: &Expr, of: &Expr| {
            let is_it = call(&logic::equal, smallvec![high(x), of.clone()]);
            call(&logic::SELECT, smallvec![is_it, cast(x.clone(), DType::U32, at), number(last, DType::U32)])
        };
        let lowest = self.scatter(low(array, &highest), low(values, &taken));
        let high = call(&logic::bitwise_left_shift, smallvec![cast(highest, dtype, at), shift()]);
        call(&logic::bitwise_or, smallvec![high, cast(lowest, dtype, at)])
    }
}
