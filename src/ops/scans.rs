//! Scans: functions whose result for an element combines all elements up to it along an axis.

use super::reductions::summed_in;
use crate::expr::{Expr, carry, cast, scan, strong};
use crate::kernel::Fold;
use crate::layout;
use crate::ufunc::arithmetic;
use std::panic::Location;

impl Expr {
    /// For each element the sum of those up to it along an axis, itself included. A negative axis counts from the end.
    ///
    /// Types as for [`Expr::sum`]: signed integers and bool give i64, unsigned ones u64; f16 and bf16 accumulate in f32, and
    /// each result is rounded once. A result has at most the error of [`Expr::sum`] of its elements, and depends on those
    /// alone: a NaN or an infinity does not change the results before it. NumPy's `cumsum` without an axis is
    /// `x.reshape([-1]).cumulative_sum(0)`.
    ///
    /// ```
    /// use cupric::array;
    /// let x = array![[1., 2., 3.], [4., 5., 6.]];
    /// assert_eq!(x.cumulative_sum(-1).to_vec::<f32>()?, [1., 3., 6., 4., 9., 15.]);
    /// assert_eq!(x.cumulative_sum(0).to_vec::<f32>()?, [1., 2., 3., 5., 7., 9.]);
    /// let mean_so_far = x.cumulative_sum(1) / array![1., 2., 3.];     // one kernel
    /// assert_eq!(mean_so_far.to_vec::<f32>()?, [1., 1.5, 2., 4., 4.5, 5.]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias = "cumsum")]
    #[track_caller]
    pub fn cumulative_sum(&self, axis: isize) -> Expr {
        let at = Location::caller();
        carry(at, || {
            self.checked()?;
            let e = strong(self.clone(), at);
            let axis = layout::normalize_axis(axis, e.0.shape.len()).map_err(|f| f.at("cumulative_sum", at))?;
            let summed = cast(e.clone(), summed_in(e.0.dtype, e.0.shape[axis]), at);
            let sums = scan(Fold::of(&arithmetic::add), &summed, axis, at);
            Ok(cast(sums, e.0.dtype.sum(), at))
        })
    }
}
