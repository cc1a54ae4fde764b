//! The kinds of faults that results are checked for, and which of them are checked on which device.

use crate::base::error::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// A kind of fault that [`Device::check`](crate::Device::check) looks for in results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Check {
    /// A NaN in the result of an operation whose operands have none.
    Nan,
    /// An infinity in the result of an operation whose operands have none.
    Inf,
    /// An integer overflow: a result that has wrapped, or a conversion that has saturated or truncated a number.
    ///
    /// * Checked: `+`, `-`, `*`, `pow`, `floor_divide`, `square`, `abs`, `negative`, sums and products along axes,
    ///   cumulative sums and products, matrix products, and conversions.
    /// * Not checked: `gcd`, `lcm`, `index_add` and `segment_sum`.
    /// * Not overflows: bits that a shift drops, and the result of a division by 0.
    Overflow,
}

impl Check {
    pub(crate) const ALL: [Check; 3] = [Check::Nan, Check::Inf, Check::Overflow];

    fn word(self) -> &'static str {
        match self {
            Check::Nan => "nan",
            Check::Inf => "inf",
            Check::Overflow => "overflow",
        }
    }

    /// Returns the sentence that an error message uses for this kind of fault.
    pub(super) fn finding(self) -> &'static str {
        match self {
            Check::Nan => "the result has a NaN where no operand has one",
            Check::Inf => "the result has an infinity where no operand has one",
            Check::Overflow => "the result does not fit its dtype",
        }
    }
}

/// Formats the check for messages, for example as `the check nan`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check {}", self.word())
    }
}

/// A set of checks that are on, stored as one bit for each [`Check`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WantedChecks(u8);

impl WantedChecks {
    pub fn new(checks: impl IntoIterator<Item = Check>) -> WantedChecks {
        WantedChecks(checks.into_iter().fold(0, |bits, check| bits | 1 << check as u8))
    }

    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    pub fn has(self, check: Check) -> bool {
        self.0 & 1 << check as u8 != 0
    }

    pub fn checks(self) -> impl Iterator<Item = Check> {
        Check::ALL.into_iter().filter(move |check| self.has(*check))
    }

    /// Parses a list of checks, such as `nan,inf`.
    fn parse(list: &str) -> Result<WantedChecks> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let check = |word: &str| {
            Check::ALL.into_iter().find(|check| check.word() == word).ok_or_else(|| {
                let detail = format!("unknown check '{word}'; expected nan, inf or overflow");
                Error::with_line(ErrorKind::Argument, "CUPRIC_CHECK", detail, None)
            })
        };
        Ok(WantedChecks::new(names.map(check).collect::<Result<Vec<_>>>()?))
    }
}

/// The checks that `CUPRIC_CHECK` requests for every device. The environment variable is read once and cached, because
/// every evaluation needs it.
static OF_ALL: LazyLock<Result<WantedChecks>> =
    LazyLock::new(|| WantedChecks::parse(&std::env::var_os("CUPRIC_CHECK").unwrap_or_default().to_string_lossy()));

/// The bit that is set once [`set`] has been called for a device, even with an empty list of checks.
const IS_ASKED: u8 = 1 << 7;

/// Returns the checks of a device: the checks that the program has set for the device, otherwise the checks that the
/// environment variable `CUPRIC_CHECK` requests. Returns an error if the variable names an unknown check.
#[inline]
pub(crate) fn of_device(asked: &AtomicU8) -> Result<WantedChecks> {
    let of_all = OF_ALL.as_ref().map_err(Error::clone)?;
    let asked = asked.load(Relaxed);
    Ok(if asked & IS_ASKED == 0 { *of_all } else { WantedChecks(asked & !IS_ASKED) })
}

/// Sets the checks of a device. They replace the checks that `CUPRIC_CHECK` requests.
pub(crate) fn set(asked: &AtomicU8, wanted: WantedChecks) {
    asked.store(wanted.0 | IS_ASKED, Relaxed);
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(check_wanted: lists_of_checks);

    fn lists_of_checks() {
        let parsed =
            |list| WantedChecks::parse(list).map(|w| w.checks().collect::<Vec<_>>()).map_err(|e| e.to_string());
        assert_eq!(parsed(""), Ok(vec![]));
        assert_eq!(parsed(" inf,nan ,"), Ok(vec![Check::Nan, Check::Inf]));
        assert_eq!(
            parsed("nan,nam"),
            Err("CUPRIC_CHECK: unknown check 'nam'; expected nan, inf or overflow".to_string())
        );
    }
}
