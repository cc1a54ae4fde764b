//! Which checks a device makes of results, and the search for work that it does twice.

use super::Device;
use crate::check::{self, Check, Wanted};
use crate::debug::{self, Repeat, RepeatedWork};

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

    /// Looks for work that is done twice, in every evaluation and every write on the device from now on, in place of what
    /// `CUPRIC_DEBUG=again,copy` asks of all devices; an empty list ends it. What was found before is forgotten.
    /// [`Device::repeated_work`] gives what is found; and the program's logger gets a line (of the [`log`] crate, at the level
    /// `debug`, with the target `cupric::again` or `cupric::copy`) when an operation of one of your lines is found the first
    /// time, the tenth, the hundredth, and so on.
    ///
    /// [`Repeat::Again`]: an operation that an evaluation has computed, and a later one computes again, because the [`Expr`](crate::Expr)
    /// was evaluated twice, or is a part of two expressions that were evaluated one after the other. To compute it once, keep
    /// the [`Array`](crate::Array) that `eval` gives, or evaluate both together by [`eval_all`](crate::eval_all). An operation that is
    /// computed again only for another one that is found is left out, and so are views, numbers, and ranges within other work. Two
    /// expressions that say the same, written twice, are two.
    ///
    /// [`Repeat::Copy`]: a write that would have been in place, had no other array or expression held the memory; it took new memory,
    /// with a copy of what the write does not replace.
    ///
    /// Where nothing is looked for, an evaluation pays one relaxed load of an atomic number.
    ///
    /// ```
    /// use cupric::{Device, Repeat, array};
    /// let device = Device::cpu().with_memory_limit(1 << 20)?;
    /// device.find_repeats([Repeat::Again, Repeat::Copy]);
    /// let mut x = array![1., 2., 3.].to_device(&device)?;
    /// let y = x.exp();
    /// let (sum, max) = (y.sum(..).eval()?, y.max(..).eval()?); // the same exp, twice
    /// x.update(|x| x * sum / max)?;                            // `y` still holds the old numbers
    /// let found = device.repeated_work();
    /// let of = |kind| found.rows().filter(move |row| row.kind == kind).map(|row| row.operation).collect::<Vec<_>>();
    /// assert_eq!(of(Repeat::Again), ["exp"]);
    /// assert_eq!(of(Repeat::Copy), ["update"]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("detect_recompute"))]
    pub fn find_repeats(&self, kinds: impl IntoIterator<Item = Repeat>) {
        debug::set(self.id(), kinds);
    }

    /// The work that the device has done twice since [`Device::find_repeats`] was called, or by `CUPRIC_DEBUG=again,copy` since the
    /// program began. It prints as a table:
    ///
    /// ```text
    /// kind   operation  count  line
    /// again  exp           12  src/main.rs:17
    /// copy   update         1  src/main.rs:21
    /// ```
    ///
    /// ```
    /// use cupric::{Device, Repeat, array};
    /// let device = Device::cpu().with_memory_limit(1 << 20)?;
    /// device.find_repeats([Repeat::Copy]);
    /// let mut x = array![1., 2., 3.].to_device(&device)?;
    /// for step in 0..3 {
    ///     let before = x.clone();
    ///     x.update(|x| x * 0.5)?;
    ///     assert_eq!(before.shape(), x.shape());
    /// }
    /// let found = device.repeated_work();
    /// println!("{found}");
    /// assert_eq!(found.rows().map(|row| (row.operation, row.count)).collect::<Vec<_>>(), [("update", 3)]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    pub fn repeated_work(&self) -> RepeatedWork {
        debug::repeated_work(self.id())
    }
}
