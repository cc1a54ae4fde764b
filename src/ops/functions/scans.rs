//! Scans: functions whose result at an element combines all elements up to it along an axis.

use super::join;
use super::sums::summed_in;
use crate::array::device::Device;
use crate::base::dtype::{DType, Scalar};
use crate::base::error::{Error, ErrorKind};
use crate::base::layout::{self, IntoScanAxis, SliceItem, View};
use crate::graph::expr::{Expr, cast, result_of, scan, strong, view};
use crate::graph::ufunc::{Neutral, Ufunc, arithmetic, float};
use crate::plan::kernel::Fold;
use std::panic::Location;

/// # Cumulative functions
impl Expr {
    /// Returns the cumulative sum along an axis: the result at each position is the sum of the elements up to and
    /// including that position. A negative axis counts from the end. The axis may be wrapped:
    /// [`reverse`](crate::reverse) scans from the end, [`exclusive`](crate::exclusive) leaves out the element at each
    /// position, and [`include_initial`](crate::include_initial) adds the sum of no elements, 0, in front.
    ///
    /// The dtypes are as in [`Expr::sum`]: signed integers and bool become i64, unsigned integers u64; f16 and bf16
    /// accumulate in f32, and each result is rounded once. The error of a result is at most the error of [`Expr::sum`]
    /// of the same elements. A result depends only on these elements, so a NaN or an infinity does not change the
    /// results before its position. NumPy's `cumsum` without an axis is `x.reshape([-1]).cumulative_sum(0)`.
    ///
    /// ```
    /// use cupric::{array, reverse};
    /// let x = array![[1., 2., 3.], [4., 5., 6.]];
    /// assert_eq!(x.cumulative_sum(-1).to_vec::<f32>()?, [1., 3., 6., 4., 9., 15.]);
    /// assert_eq!(x.cumulative_sum(0).to_vec::<f32>()?, [1., 2., 3., 5., 7., 9.]);
    /// assert_eq!(x.cumulative_sum(reverse(1)).to_vec::<f32>()?, [6., 5., 3., 15., 11., 6.]);
    /// let mean_so_far = x.cumulative_sum(1) / array![1., 2., 3.];     // one kernel
    /// assert_eq!(mean_so_far.to_vec::<f32>()?, [1., 1.5, 2., 4., 4.5, 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cumulative_sum(&self, axis: impl IntoScanAxis) -> Expr {
        scanned(&arithmetic::add, self, axis, |dtype, length| [summed_in(dtype, length), dtype.sum()])
    }

    /// Returns the cumulative product along an axis: the result at each position is the product of the elements up to
    /// and including that position. The axis may be wrapped in `reverse`, `exclusive` or `include_initial`, as for
    /// [`Expr::cumulative_sum`]. Signed integers and bool become i64, unsigned integers u64, and float dtypes are kept.
    ///
    /// ```
    /// use cupric::{array, exclusive};
    /// assert_eq!(array![2., 3., 4.].cumulative_prod(0).to_vec::<f32>()?, [2., 6., 24.]);
    /// assert_eq!(array![2, 3, 4].cumulative_prod(exclusive(0)).to_vec::<i64>()?, [1, 2, 6]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn cumulative_prod(&self, axis: impl IntoScanAxis) -> Expr {
        scanned(&arithmetic::multiply, self, axis, |dtype, _| [dtype.sum(); 2])
    }

    /// Returns the cumulative maximum along an axis, in the operand's dtype. From the first NaN on, the results are
    /// NaN. The axis can be given as `exclusive(axis)` or `include_initial(axis)`, as for [`Expr::cumulative_sum`]. The
    /// result then begins with the maximum of no elements: the lowest value of the dtype, −∞ for floats.
    ///
    /// ```
    /// use cupric::array;
    /// assert_eq!(array![1., 3., 2., 5.].cummax(0).to_vec::<f32>()?, [1., 3., 3., 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "maximum.accumulate")]
    #[doc(alias = "cumulative_max")]
    #[track_caller]
    pub fn cummax(&self, axis: impl IntoScanAxis) -> Expr {
        scanned(&arithmetic::maximum, self, axis, |dtype, _| [dtype; 2])
    }

    /// Returns the cumulative minimum along an axis, in the operand's dtype. From the first NaN on, the results are
    /// NaN. The axis can be given as `exclusive(axis)` or `include_initial(axis)`, as for [`Expr::cumulative_sum`]. The
    /// result then begins with the minimum of no elements: the highest value of the dtype, ∞ for floats.
    ///
    /// ```
    /// use cupric::{array, reverse};
    /// let x = array![4, 1, 3, 2];
    /// assert_eq!(x.cummin(0).to_vec::<i32>()?, [4, 1, 1, 1]);
    /// assert_eq!(x.cummin(reverse(0)).to_vec::<i32>()?, [1, 1, 2, 2]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "minimum.accumulate")]
    #[doc(alias = "cumulative_min")]
    #[track_caller]
    pub fn cummin(&self, axis: impl IntoScanAxis) -> Expr {
        scanned(&arithmetic::minimum, self, axis, |dtype, _| [dtype; 2])
    }

    /// Returns the logarithm of the cumulative sum of exponentials along an axis, without overflow. From the first NaN
    /// on, the results are NaN. The axis may be wrapped in `reverse`, `exclusive` or `include_initial`, as for
    /// [`Expr::cumulative_sum`]. The result for no elements is −∞.
    ///
    /// The scan combines pairs as [`logaddexp`](crate::logaddexp) does, in one pass. Integers and bool become f32.
    /// Dtypes other than f64 are combined in f64 on the CPU, and in f32 on a GPU or if the operand has no device. Each
    /// combination in f32 rounds, as in NumPy's `logaddexp.accumulate`, but a result depends on a chain of only about
    /// log₂ n combinations.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![100., 100., f32::NEG_INFINITY];
    /// let y = x.logcumsumexp(0).to_vec::<f32>()?;
    /// assert_eq!(y, [100., 100.693146, 100.693146]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// # Errors
    /// The expression carries [`ErrorKind::Axis`] if there is no such axis, and [`ErrorKind::Argument`] if the axis is
    /// both `exclusive` and `include_initial`.
    #[doc(alias = "logaddexp.accumulate")]
    #[track_caller]
    pub fn logcumsumexp(&self, axis: impl IntoScanAxis) -> Expr {
        let on_cpu = self.0.device != 0 && !Device::of(self.0.device).is_gpu();
        scanned(
            &float::logaddexp,
            self,
            axis,
            match on_cpu {
                true => |dtype, _| [DType::F64, dtype.float()],
                false => |dtype, _| [if dtype == DType::F64 { dtype } else { DType::F32 }, dtype.float()],
            },
        )
    }
}

/// Builds the scan of a ufunc, `row`. `types` receives the operand's dtype and the length of the axis, and returns the
/// dtype in which elements are combined and the dtype of the result.
#[track_caller]
fn scanned(row: &'static Ufunc, e: &Expr, axis: impl IntoScanAxis, types: fn(DType, usize) -> [DType; 2]) -> Expr {
    let (at, given) = (Location::caller(), axis.into_scan_axis());
    let fold = Fold::of(row);
    let name = fold.cumulative();
    result_of(name, at, || {
        e.checked()?;
        let e = strong(e.clone(), at);
        let axis = layout::normalize_axis(given.axis, e.0.shape.len()).map_err(|f| f.at(name, at))?;
        if given.exclusive && given.include_initial {
            let detail = "exclusive and include_initial cannot be combined, because include_initial already contains the results of an exclusive scan";
            return Err(Error::with_line(ErrorKind::Argument, name, detail, at));
        }
        let length = e.0.shape[axis];
        let [combined, result] = types(e.0.dtype, length);
        let turned = |e: &Expr| match given.reverse {
            true => view(name, e, at, |shape| Ok(View::flip(shape, &[axis]))),
            false => e.clone(),
        };
        let upto = cast(scan(fold, &cast(turned(&e), combined, at), axis, at), result, at);
        let begun = match given.exclusive || given.include_initial {
            false => upto,
            true if given.exclusive && length == 0 => upto,
            true => {
                let mut shape = e.0.shape.clone();
                shape[axis] = 1;
                let none = Expr::fill_on(e.0.device, of_none(row, result), shape, result, at);
                let end = given.exclusive.then_some(length as isize - 1);
                let mut items = vec![SliceItem::Range { start: None, end: None, step: 1 }; e.0.shape.len()];
                items[axis] = SliceItem::Range { start: None, end, step: 1 };
                let rest = view(name, &upto, at, |shape| View::slice(shape, &items));
                join(name, vec![none, rest], axis as isize, at)
            }
        };
        Ok(turned(&begun))
    })
}

/// Returns the result of scanning no elements with a ufunc, in a dtype.
fn of_none(row: &Ufunc, dtype: DType) -> Scalar {
    let (least, greatest) = dtype.integer_range();
    match row.reduce.map(|r| r.neutral) {
        Some(Neutral::One) => Scalar::Int(1),
        Some(Neutral::Lowest) if dtype.is_float() => Scalar::Float(f64::NEG_INFINITY),
        Some(Neutral::Highest) if dtype.is_float() => Scalar::Float(f64::INFINITY),
        Some(Neutral::Lowest) => Scalar::Int(least),
        Some(Neutral::Highest) => Scalar::Int(greatest),
        Some(Neutral::Zero) | None => Scalar::Int(0),
    }
}
