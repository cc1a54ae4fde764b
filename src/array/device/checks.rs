//! Which checks a device makes of results.

use super::Device;
use crate::array::check::{self, Check, Wanted};

impl Device {
    /// Looks for NaNs, infinities and overflow in every evaluation and every write on the device from now on, in place of what
    /// `CUPRIC_CHECK=nan,inf,overflow` asks of all devices; an empty list ends it. The first operation whose result has one where its
    /// operands have none is an [`ErrorKind::Check`](crate::ErrorKind::Check) error with the operation and the line on which you wrote it.
    ///
    /// What only a `select` discards does not count, and neither does what is asked about by `isnan`, `isinf` or `isfinite`: so
    /// [`nan_to_num`](crate::Expr::nan_to_num) mends what it is given. Where the elements of a result depend on which others only the
    /// device knows (sorts, counts, choices by masks, writes at positions), all of it depends on all: what they discard counts, and of an
    /// operand with a NaN no further one is found. A call such as `isclose`, `logsumexp` or a draw of random numbers is judged by its
    /// result, not by what it is made of. Numbers that have met no array (`Expr::from(-1.0).sqrt()`) are computed at once, unchecked.
    /// Values of f16 and bf16 are checked as kernels hold them, in f32, and once more where an evaluation stores them.
    ///
    /// A check is one more result of the same evaluation, and the call waits for it, also on a GPU and in the `_async` methods; a write
    /// computes its value once more, before it writes, and elements that a slice of an expression leaves out may be
    /// computed. At most 65,536 operations are checked at once. Where no check is on, nothing is added to what runs.
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
        check::set(self.backend().checks(), Wanted::new(checks));
    }
}
