//! What is checked on which device.

use crate::error::{Error, ErrorKind, Result};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, PoisonError, RwLock};

/// What [`Device::check`](crate::Device::check) looks for in results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Check {
    /// A NaN where no operand has one.
    Nan,
    /// An infinity where no operand has one.
    Inf,
    /// An integer that has wrapped: of `+`, `-`, `*`, `pow`, `floor_divide`, `square`, `abs`, `negative`, a sum or product along axes, one
    /// up to each element, or a matrix product; or that a conversion has saturated or cut. Bits that a shift drops are no overflow, nor
    /// is a quotient by 0. Not looked at are `gcd` and `lcm`, and sums at positions and by keys (`index_add`, `segment_sum`).
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

    /// What the check has found, for messages.
    pub(super) fn finding(self) -> &'static str {
        match self {
            Check::Nan => "the result has a NaN where no operand has one",
            Check::Inf => "the result has an infinity where no operand has one",
            Check::Overflow => "the result does not fit its dtype",
        }
    }
}

/// `the check nan`.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the check {}", self.word())
    }
}

/// The checks that are on, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted(u8);

impl Wanted {
    pub fn new(checks: impl IntoIterator<Item = Check>) -> Wanted {
        Wanted(checks.into_iter().fold(0, |bits, check| bits | 1 << check as u8))
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

    /// Reads a list such as `nan,inf`.
    fn parse(list: &str) -> Result<Wanted> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        let check = |word: &str| {
            Check::ALL.into_iter().find(|check| check.word() == word).ok_or_else(|| {
                let detail = format!("unknown check '{word}'; known are nan, inf and overflow");
                Error::with_line(ErrorKind::Argument, "CUPRIC_CHECK", detail, None)
            })
        };
        Ok(Wanted::new(names.map(check).collect::<Result<Vec<_>>>()?))
    }
}

/// What `CUPRIC_CHECK` asks of every device. The variable is read once, because each evaluation asks.
static OF_ALL: LazyLock<Result<Wanted>> =
    LazyLock::new(|| Wanted::parse(&std::env::var_os("CUPRIC_CHECK").unwrap_or_default().to_string_lossy()));

/// What was asked of devices, by their numbers, and whether there is an entry.
static OF_DEVICES: LazyLock<RwLock<HashMap<u32, Wanted>>> = LazyLock::new(RwLock::default);
static IS_ANY_SET: AtomicBool = AtomicBool::new(false);

/// The checks of a device. Fails if `CUPRIC_CHECK` names a check that there is not.
pub(crate) fn of_device(device: u32) -> Result<Wanted> {
    let of_all = OF_ALL.as_ref().map_err(Error::clone)?;
    if !IS_ANY_SET.load(Ordering::Relaxed) {
        return Ok(*of_all);
    }
    Ok(*OF_DEVICES.read().unwrap_or_else(PoisonError::into_inner).get(&device).unwrap_or(of_all))
}

/// Sets the checks of a device, in place of what `CUPRIC_CHECK` asks.
pub(crate) fn set(device: u32, wanted: Wanted) {
    OF_DEVICES.write().unwrap_or_else(PoisonError::into_inner).insert(device, wanted);
    IS_ANY_SET.store(true, Ordering::Relaxed);
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(check_wanted: lists_of_checks);

    fn lists_of_checks() {
        let parsed = |list| Wanted::parse(list).map(|w| w.checks().collect::<Vec<_>>()).map_err(|e| e.to_string());
        assert_eq!(parsed(""), Ok(vec![]));
        assert_eq!(parsed(" inf,nan ,"), Ok(vec![Check::Nan, Check::Inf]));
        assert_eq!(
            parsed("nan,nam"),
            Err("CUPRIC_CHECK: unknown check 'nam'; known are nan, inf and overflow".to_string())
        );
    }
}
