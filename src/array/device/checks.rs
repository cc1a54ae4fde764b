//! Sets which checks a device makes of its results.

use super::Device;
use crate::array::check::{self, Check, WantedChecks};

impl Device {
    /// Checks every evaluation and every write on the device for NaNs, infinities and overflow, starting now. This
    /// replaces the checks that `CUPRIC_CHECK=nan,inf,overflow` requests for all devices; an empty list turns checks
    /// off. The first operation whose result has such a fault although its operands have none returns an
    /// [`ErrorKind::Check`](crate::ErrorKind::Check) error, with the operation and your source line.
    ///
    /// Values that a `select` discards do not count, and neither do faults that `isnan`, `isinf` or `isfinite` test
    /// for. So [`nan_to_num`](crate::Expr::nan_to_num) repairs its operand. For sorts, counts, selections by masks and
    /// writes at positions, only the device knows which elements of the result depend on which elements of the
    /// operands, so the check assumes that all depend on all: faults in discarded elements count, and if an operand
    /// already has a NaN, no further NaN is found. A call such as `isclose`, `logsumexp` or a draw of random numbers is
    /// checked by its result, not by its inner operations. Numbers that have not been combined with an array
    /// (`Expr::from(-1.0).sqrt()`) are computed immediately and not checked. Values of f16 and bf16 are checked in f32,
    /// as kernels hold them, and again where an evaluation stores them.
    ///
    /// A check is an additional result of the same evaluation, and the call waits for it, also on a GPU and in the
    /// `_async` methods. A write computes its value an additional time before it writes, and elements that a slice of
    /// an expression leaves out may be computed. At most 65,536 operations are checked together. If no check is on,
    /// nothing is added to what runs.
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
