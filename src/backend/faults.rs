//! Faults that a test plans for a device: a call that fails, memory that comes filled with a pattern. One load of a
//! flag where no test did.

use crate::error::ErrorKind;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// What fresh memory is filled with: large negative numbers as f16 and f32, a true bool, no small integer.
pub(crate) const POISON: u8 = 0xFB;

const COUNTS: u8 = 1;
const POISONS: u8 = 2;

/// A call that is to fail.
#[derive(Clone, Copy)]
pub(crate) struct Planned {
    pub site: Option<&'static str>,
    /// Which call at the site, from 1.
    pub nth: usize,
    /// Whether all later calls fail too.
    pub onwards: bool,
    pub kind: ErrorKind,
}

#[derive(Default)]
struct Counting {
    planned: Option<Planned>,
    /// Calls at each site since the plan was made.
    calls: BTreeMap<&'static str, usize>,
    raised: usize,
}

/// A device's planned faults.
pub(crate) struct Faults {
    flags: AtomicU8,
    counting: Mutex<Counting>,
}

impl Faults {
    /// None; the environment variable `CUPRIC_POISON=1` has every device's memory poisoned.
    pub fn new() -> Faults {
        static ASKED: OnceLock<bool> = OnceLock::new();
        let poison = *ASKED.get_or_init(|| std::env::var("CUPRIC_POISON").is_ok_and(|v| v == "1"));
        Faults { flags: AtomicU8::new(if poison { POISONS } else { 0 }), counting: Mutex::default() }
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts calls from now on, and lets one fail.
    pub fn plan(&self, planned: Option<Planned>) {
        *self.counting() = Counting { planned, ..Counting::default() };
        self.flags.fetch_or(COUNTS, Relaxed);
    }

    /// Ends the plan; how many calls there were at each site, and how many failed.
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

    #[inline]
    pub fn poisons(&self) -> bool {
        self.flags.load(Relaxed) & POISONS != 0
    }

    /// Whether this call is to fail, and as what.
    #[inline]
    pub fn hit(&self, site: &'static str) -> Option<ErrorKind> {
        if self.flags.load(Relaxed) & COUNTS == 0 { None } else { self.count(site) }
    }

    /// The same at a site that is reached a different number of times in each run, as threads take turns: it counts only
    /// in a plan that names it. Whether the call fails.
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
