//! Faults that a test injects into a device: a device call that fails, or new allocations that are filled with a
//! pattern. Without the feature `testing`, no faults can be injected: the functions here return constants, and the
//! compiler removes every check.

#[cfg(feature = "testing")]
pub use injector::InjectedFault;
#[cfg(feature = "testing")]
pub(crate) use injector::{FaultInjector, POISON};
#[cfg(not(feature = "testing"))]
pub(crate) use none::FaultInjector;

#[cfg(not(feature = "testing"))]
mod none {
    use crate::base::error::ErrorKind;

    /// Replaces the type of the same name in a build without the feature `testing`. No call fails.
    pub(crate) struct FaultInjector;

    impl FaultInjector {
        pub fn new() -> FaultInjector {
            FaultInjector
        }

        /// Returns `None`, because no call fails in this build.
        #[inline]
        pub fn hit(&self, _site: &'static str) -> Option<ErrorKind> {
            None
        }

        /// Returns false, because no call fails in this build.
        #[inline]
        pub fn hit_alone(&self, _site: &'static str) -> bool {
            false
        }
    }
}

#[cfg(feature = "testing")]
mod injector {
    use crate::base::error::ErrorKind;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
    use std::sync::{Mutex, MutexGuard, OnceLock};

    /// The byte with which fresh memory is filled, so that an element that was never written is noticed. As a float it
    /// is a large negative number, as a bool true, as a signed integer negative, and as an unsigned integer large.
    pub(crate) const POISON: u8 = 0xFB;

    // Bits of `FaultInjector::flags`: whether calls are counted, and whether fresh memory is filled with `POISON`.
    const COUNTS: u8 = 1;
    const POISONS: u8 = 2;

    /// A device call that a test makes fail. The kind of call is named by its site. Sites of a CPU: `allocate`,
    /// `upload`, `download`, `run`, `synchronize`; also `scratch` and `partial results`, whose calls are counted only
    /// if `site` names them. Sites of a GPU: `allocate`, `staging`, `upload`, `layout`, `shader`, `compile`, `bind`,
    /// `pattern`, `submit`, `download` (the mapping of the staging buffer), `numerics`.
    #[derive(Clone, Copy, Debug)]
    pub struct InjectedFault {
        /// The site of the call. `None` counts the calls at all sites together.
        pub site: Option<&'static str>,
        /// Which call at the site fails: the first is 1. If this is 0, no call fails, and calls are only counted.
        pub nth: usize,
        /// Whether all calls after the failing call fail too.
        pub onwards: bool,
        /// The error of the call: `OutOfMemory`, `DeviceLost`, or `Internal`, which represents a failed validation by
        /// wgpu.
        pub kind: ErrorKind,
    }

    #[derive(Default)]
    struct Counting {
        planned: Option<InjectedFault>,
        /// The number of calls at each site since the last call of [`FaultInjector::plan`].
        calls: BTreeMap<&'static str, usize>,
        raised: usize,
    }

    /// The faults that a test injects into a device.
    pub(crate) struct FaultInjector {
        flags: AtomicU8,
        counting: Mutex<Counting>,
    }

    impl FaultInjector {
        /// Returns an injector without planned faults. It fills new memory with [`POISON`] if the environment variable
        /// `CUPRIC_POISON` is `1`.
        pub fn new() -> FaultInjector {
            static ASKED: OnceLock<bool> = OnceLock::new();
            let poison = *ASKED.get_or_init(|| std::env::var("CUPRIC_POISON").is_ok_and(|v| v == "1"));
            FaultInjector { flags: AtomicU8::new(if poison { POISONS } else { 0 }), counting: Mutex::default() }
        }

        fn counting(&self) -> MutexGuard<'_, Counting> {
            self.counting.lock().unwrap_or_else(|e| e.into_inner())
        }

        /// Starts counting calls, and makes the planned call fail if there is one.
        pub fn plan(&self, planned: Option<InjectedFault>) {
            *self.counting() = Counting { planned, ..Counting::default() };
            self.flags.fetch_or(COUNTS, Relaxed);
        }

        /// Stops counting. Returns the number of calls at each site, and the number of failed calls.
        pub fn end(&self) -> (Vec<(&'static str, usize)>, usize) {
            self.flags.fetch_and(!COUNTS, Relaxed);
            let Counting { calls, raised, .. } = std::mem::take(&mut *self.counting());
            (calls.into_iter().collect(), raised)
        }

        /// Sets whether memory is filled with [`POISON`] before it is handed out.
        pub fn set_poison(&self, on: bool) {
            if on {
                self.flags.fetch_or(POISONS, Relaxed)
            } else {
                self.flags.fetch_and(!POISONS, Relaxed)
            };
        }

        /// Returns whether memory is filled with [`POISON`] before it is handed out.
        #[inline]
        pub fn poisons(&self) -> bool {
            self.flags.load(Relaxed) & POISONS != 0
        }

        /// Counts a call at a site, and returns the kind of error that it must return, or `None` if it must not fail.
        #[inline]
        pub fn hit(&self, site: &'static str) -> Option<ErrorKind> {
            if self.flags.load(Relaxed) & COUNTS == 0 { None } else { self.count(site) }
        }

        /// Counts a call at a site that is reached a different number of times in each run, because threads share the
        /// work. Such a call is counted only if the planned fault names the site, so that all other counts are
        /// reproducible. Returns whether the call must fail.
        #[inline]
        pub fn hit_alone(&self, site: &'static str) -> bool {
            self.flags.load(Relaxed) & COUNTS != 0
                && self.counting().planned.is_some_and(|p| p.site == Some(site))
                && self.count(site).is_some()
        }

        #[cold]
        fn count(&self, site: &'static str) -> Option<ErrorKind> {
            let mut c = self.counting();
            *c.calls.entry(site).or_default() += 1;
            let planned = c.planned?;
            let calls = match planned.site {
                Some(wanted) if wanted != site => return None,
                Some(_) => c.calls[site],
                None => c.calls.values().sum(),
            };
            let hit = calls == planned.nth || planned.onwards && calls > planned.nth;
            c.raised += hit as usize;
            hit.then_some(planned.kind)
        }
    }
}
