//! Faults that a test plans for a device: a call that fails, memory that comes filled with a pattern. Without the feature
//! `testing` there are none: the functions here then return constants, and the compiler removes every check.

#[cfg(feature = "testing")]
pub use injector::InjectedFault;
#[cfg(feature = "testing")]
pub(crate) use injector::{FaultInjector, POISON};
#[cfg(not(feature = "testing"))]
pub(crate) use none::FaultInjector;

#[cfg(not(feature = "testing"))]
mod none {
    use crate::base::error::ErrorKind;

    /// Replaces the type of the same name in a build without the feature `testing`: no call fails.
    pub(crate) struct FaultInjector;

    impl FaultInjector {
        pub fn new() -> FaultInjector {
            FaultInjector
        }

        /// Returns `None`, since no call is to fail.
        #[inline]
        pub fn hit(&self, _site: &'static str) -> Option<ErrorKind> {
            None
        }

        /// Returns false, since no call is to fail.
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

    /// The byte that fresh memory is filled with, so that an element that was never written shows: as a float it is a large
    /// negative number, as a bool true, as a signed integer negative, as an unsigned one large.
    pub(crate) const POISON: u8 = 0xFB;

    // Bits of `FaultInjector::flags`: whether calls are counted, and whether fresh memory is filled with `POISON`.
    const COUNTS: u8 = 1;
    const POISONS: u8 = 2;

    /// A call of a device that is to fail, named by its site. Sites of a CPU: `allocate`, `upload`, `download`, `run`,
    /// `synchronize`; also `scratch` and `partial results`, which count only if named. Sites of a GPU: `allocate`, `staging`,
    /// `upload`, `layout`, `shader`, `compile`, `bind`, `pattern`, `submit`, `download` (the mapping), `numerics`.
    #[derive(Clone, Copy, Debug)]
    pub struct InjectedFault {
        /// The site of the call; `None` counts the calls of all sites together.
        pub site: Option<&'static str>,
        /// Which call at the site fails, counted from 1. With 0 no call fails, and calls are only counted.
        pub nth: usize,
        /// Whether all later calls fail too.
        pub onwards: bool,
        /// The error of the call: `OutOfMemory`, `DeviceLost`, or `Internal`, which stands for what wgpu's validation refuses.
        pub kind: ErrorKind,
    }

    #[derive(Default)]
    struct Counting {
        planned: Option<InjectedFault>,
        /// Calls at each site since the fault was planned.
        calls: BTreeMap<&'static str, usize>,
        raised: usize,
    }

    /// The faults that a test plans for a device.
    pub(crate) struct FaultInjector {
        flags: AtomicU8,
        counting: Mutex<Counting>,
    }

    impl FaultInjector {
        /// Returns an injector without planned faults. It fills memory if the environment has `CUPRIC_POISON=1`.
        pub fn new() -> FaultInjector {
            static ASKED: OnceLock<bool> = OnceLock::new();
            let poison = *ASKED.get_or_init(|| std::env::var("CUPRIC_POISON").is_ok_and(|v| v == "1"));
            FaultInjector { flags: AtomicU8::new(if poison { POISONS } else { 0 }), counting: Mutex::default() }
        }

        fn counting(&self) -> MutexGuard<'_, Counting> {
            self.counting.lock().unwrap_or_else(|e| e.into_inner())
        }

        /// Counts calls from now on, and lets the planned ones fail, if any are planned.
        pub fn plan(&self, planned: Option<InjectedFault>) {
            *self.counting() = Counting { planned, ..Counting::default() };
            self.flags.fetch_or(COUNTS, Relaxed);
        }

        /// Ends the counting; returns how many calls there were at each site, and how many failed.
        pub fn end(&self) -> (Vec<(&'static str, usize)>, usize) {
            self.flags.fetch_and(!COUNTS, Relaxed);
            let Counting { calls, raised, .. } = std::mem::take(&mut *self.counting());
            (calls.into_iter().collect(), raised)
        }

        /// Decides whether memory is filled with [`POISON`] before it is handed out.
        pub fn set_poison(&self, on: bool) {
            if on {
                self.flags.fetch_or(POISONS, Relaxed)
            } else {
                self.flags.fetch_and(!POISONS, Relaxed)
            };
        }

        /// Whether memory is filled before it is handed out.
        #[inline]
        pub fn poisons(&self) -> bool {
            self.flags.load(Relaxed) & POISONS != 0
        }

        /// Counts a call at a site, and returns the kind of its error if it is to fail.
        #[inline]
        pub fn hit(&self, site: &'static str) -> Option<ErrorKind> {
            if self.flags.load(Relaxed) & COUNTS == 0 { None } else { self.count(site) }
        }

        /// Says whether a call fails at a site that every run reaches a different number of times, because threads share the
        /// work. Such a site counts only if the planned fault names it, so that the other counts repeat from run to run.
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
