//! The method [`Device::check`], which selects the faults that a device looks for in its results.

use super::Device;
use crate::array::check::{self, Check, WantedChecks};

impl Device {
    /// Checks the results of every evaluation and every write on the device for NaNs, infinities and overflow, starting
    /// now. The first operation whose result has a fault although its operands have none returns an
    /// [`ErrorKind::Check`](crate::ErrorKind::Check) error with your source line. The given list replaces the checks
    /// that `CUPRIC_CHECK=nan,inf,overflow` requests for all devices; an empty list turns checks off.
    ///
    /// * Values that a `select` discards do not count, and neither do faults that `isnan`, `isinf` or `isfinite` test
    ///   for. So the result of [`nan_to_num`](crate::Expr::nan_to_num) passes the check.
    /// * For sorts, counts, selections by masks and writes at positions, every result element counts as depending on
    ///   every operand element. So faults in discarded elements count, and if an operand has a NaN, no further NaN is
    ///   found.
    /// * A call such as `isclose`, `logsumexp` or a draw of random numbers is checked by its result, not by its inner
    ///   operations.
    /// * Numbers that have not been combined with an array (`Expr::from(-1.0).sqrt()`) are not checked.
    /// * Values of f16 and bf16 are checked in f32, as kernels hold them, and again where an evaluation stores them.
    ///
    /// A call waits for its check, also on a GPU and in the `_async` methods, and a write computes its value twice. At
    /// most 65,536 operations are checked together. Checks cost nothing while they are off.
    ///
    /// ```
    /// use cupric::{Check, Device, ErrorKind, array};
    /// let device = Device::cpu().with_memory_limit(1 << 20)?;
    /// device.check([Check::Nan]);
    /// let x = array![4., 0., 1.].to_device(&device)?;
    /// let y = (x.log() * 0.0 + 1.0).eval();        // 0 · −∞ is NaN
    /// let error = y.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Check);
    /// assert!(error.to_string().starts_with("multiply: the result has a NaN where no operand has one"));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("debug_nans", "detect_anomaly", "seterr", "errstate"))]
    pub fn check(&self, checks: impl IntoIterator<Item = Check>) {
        check::set(self.backend().checks(), WantedChecks::new(checks));
    }
}
