//! Faults that a test plans for a device: a call that fails, memory that comes filled with a pattern. Without the feature
//! `testing` there are none, and every question about them is answered at compile time.

#[cfg(feature = "testing")]
pub use injector::InjectedFault;
#[cfg(feature = "testing")]
pub(crate) use injector::{FaultInjector, POISON};
#[cfg(not(feature = "testing"))]
pub(crate) use none::FaultInjector;

#[cfg(not(feature = "testing"))]
mod none {
    use crate::error::ErrorKind;

    /// Stands in a device where a build with tests has the planned faults.
    pub(crate) struct FaultInjector;

    impl FaultInjector {
        pub fn new() -> FaultInjector {
            FaultInjector
        }

        /// Whether this call is to fail, and as what.
        #[inline]
        pub fn hit(&self, _site: &'static str) -> Option<ErrorKind> {
            None
        }

        /// Whether this call is to fail, at a site of its own.
        #[inline]
        pub fn hit_alone(&self, _site: &'static str) -> bool {
            false
        }
    }
}

#[cfg(feature = "testing")]
mod injector {
    use crate::error::ErrorKind;
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
    use std::sync::{Mutex, MutexGuard, OnceLock};

    /// The byte that fresh memory is filled with. A result that was never written then shows: as f16 and f32 it is a large
    /// negative number, as a bool true, as an integer not small.
    pub(crate) const POISON: u8 = 0xFB;

    // bits of `FaultInjector::flags`
    const COUNTS: u8 = 1;
    const POISONS: u8 = 2;

    /// A call of a device that is to fail. Sites of a CPU: `allocate`, `upload`, `download`, `run`, `synchronize`; of a
    /// GPU: `allocate`, `staging`, `upload`, `layout`, `shader`, `compile`, `bind`, `submit`, `download` (the mapping).
    #[derive(Clone, Copy, Debug)]
    pub struct InjectedFault {
        /// `None` counts the calls of all sites together.
        pub site: Option<&'static str>,
        /// Which call, from 1; 0 only counts.
        pub nth: usize,
        /// Whether all later ones fail too.
        pub onwards: bool,
        /// `OutOfMemory`, `DeviceLost`, or `Internal`: what wgpu's validation refuses.
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
        /// A device without planned faults. `CUPRIC_POISON=1` in the environment has every device's memory poisoned.
        pub fn new() -> FaultInjector {
            static ASKED: OnceLock<bool> = OnceLock::new();
            let poison = *ASKED.get_or_init(|| std::env::var("CUPRIC_POISON").is_ok_and(|v| v == "1"));
            FaultInjector { flags: AtomicU8::new(if poison { POISONS } else { 0 }), counting: Mutex::default() }
        }

        fn counting(&self) -> MutexGuard<'_, Counting> {
            self.counting.lock().unwrap_or_else(|e| e.into_inner())
        }

        /// Counts calls from now on, and lets one fail.
        pub fn plan(&self, planned: Option<InjectedFault>) {
            *self.counting() = Counting { planned, ..Counting::default() };
            self.flags.fetch_or(COUNTS, Relaxed);
        }

        /// Ends the counting; gives how many calls there were at each site, and how many failed.
        pub fn end(&self) -> (Vec<(&'static str, usize)>, usize) {
            self.flags.fetch_and(!COUNTS, Relaxed);
            let Counting { calls, raised, .. } = std::mem::take(&mut *self.counting());
            (calls.into_iter().collect(), raised)
        }

        /// Has memory filled with [`POISON`] before it is handed out, or not.
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

        /// Whether this call is to fail, and as what.
        #[inline]
        pub fn hit(&self, site: &'static str) -> Option<ErrorKind> {
            if self.flags.load(Relaxed) & COUNTS == 0 { None } else { self.count(site) }
        }

        /// Whether this call is to fail, at a site that each run reaches a different number of times, because threads take
        /// turns. Such a site counts only if the planned fault names it.
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
