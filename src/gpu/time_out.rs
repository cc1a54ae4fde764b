//! How long a wait for a device goes on without progress before it fails. The time grows with the work that the device
//! has not finished, so that a slow device or a busy machine does not end a correct program.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The time-out without `CUPRIC_TIMEOUT`. 10 s were chosen by hand; no benchmark compares other values.
const DEFAULT: Duration = Duration::from_secs(10);
/// How much the time-out grows for each unfinished pipeline that runs for the first time, because a driver may compile
/// it only then. A kernel within `Caps::max_cost` compiles in less than a second on an idle machine. 20 s leave a
/// margin for a busy machine.
const FIRST_RUN: Duration = Duration::from_secs(20);
/// The number of unfinished operations for which the time-out is added once more, for a graphics card. A slow card with
/// a tenth of its time for this process does as many in 10 s.
const OPERATIONS_OF_A_CARD: f64 = (1u64 << 36) as f64;
/// The same for a driver that computes on the CPU. It does as many in less than a second on an idle machine, and in
/// 10 s on a machine on which some twenty other programs run.
const OPERATIONS_OF_SOFTWARE: f64 = (1u64 << 26) as f64;
/// The time-outs that a driver on the CPU has without any work, because other programs use the same processors.
const BASE_OF_SOFTWARE: f64 = 3.0;
/// The most time-outs that a wait goes on without progress, however much work is unfinished. Chosen by hand: 5 minutes
/// by default.
const MOST: f64 = 30.0;
/// How many times as long a self-test waits. A self-test decides what a device runs, which must not depend on the load
/// of the machine.
pub(super) const PATIENCE: u32 = 30;

/// The work of a submission.
#[derive(Clone, Copy, Default)]
pub(super) struct SubmittedWork {
    /// How many pipelines it runs for the first time.
    pub first_runs: u64,
    /// About how many scalar operations it computes.
    pub operations: u64,
}

/// Returns about how many operations a dispatch computes whose loops are not known. Its invocations are assumed to
/// perform 64 operations each, and as many for each word that is bound. Chosen by hand; no benchmark compares other
/// values.
pub(super) fn operations_of_loops(invocations: u64, bytes: u64) -> u64 {
    invocations.saturating_add(bytes / 4).saturating_mul(64)
}

/// The time-out of a device, and the work that it has not finished.
pub(super) struct TimeOut {
    /// `CUPRIC_TIMEOUT`.
    base: Duration,
    is_software: bool,
    unfinished: Arc<Unfinished>,
}

#[derive(Default)]
struct Unfinished {
    first_runs: AtomicU64,
    operations: AtomicU64,
}

impl TimeOut {
    /// Returns the time-out that `CUPRIC_TIMEOUT` states, or 10 s.
    pub fn of_environment(is_software: bool) -> TimeOut {
        let seconds = std::env::var("CUPRIC_TIMEOUT").ok().and_then(|v| v.trim().parse::<f64>().ok());
        let base = seconds.filter(|s| *s > 0.0).and_then(|s| Duration::try_from_secs_f64(s).ok());
        TimeOut { base: base.unwrap_or(DEFAULT), is_software, unfinished: Arc::default() }
    }

    /// Makes all waits of the device as patient as those of a self-test.
    pub fn be_patient(&mut self) {
        self.base = self.base.saturating_mul(PATIENCE);
    }

    /// Adds submitted work. The returned function removes it, when the device has finished it.
    pub fn begin(&self, work: SubmittedWork) -> impl FnOnce() + Send + 'static {
        // the sum of all submissions must not overflow
        let work = SubmittedWork { operations: work.operations.min(1 << 48), ..work };
        self.unfinished.first_runs.fetch_add(work.first_runs, Relaxed);
        self.unfinished.operations.fetch_add(work.operations, Relaxed);
        let unfinished = self.unfinished.clone();
        move || {
            unfinished.first_runs.fetch_sub(work.first_runs, Relaxed);
            unfinished.operations.fetch_sub(work.operations, Relaxed);
        }
    }

    /// Returns how long a wait may go on without progress now.
    pub fn now(&self) -> Duration {
        let first_runs = self.unfinished.first_runs.load(Relaxed).min(u32::MAX as u64) as u32;
        let operations = self.unfinished.operations.load(Relaxed) as f64;
        let (base, most) = match self.is_software {
            true => (BASE_OF_SOFTWARE, OPERATIONS_OF_SOFTWARE),
            false => (1.0, OPERATIONS_OF_A_CARD),
        };
        let times = mutant!(time_out_of_any_work, base, (base + operations / most).min(MOST));
        let grown = Duration::try_from_secs_f64(self.base.as_secs_f64() * times).unwrap_or(Duration::MAX);
        grown.saturating_add(FIRST_RUN.saturating_mul(first_runs))
    }
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(gpu_time_out: it_grows_with_unfinished_work, it_has_a_limit);

    fn of(is_software: bool) -> TimeOut {
        TimeOut { base: Duration::from_secs(10), is_software, unfinished: Arc::default() }
    }

    fn it_grows_with_unfinished_work() {
        let seconds = |n| Duration::from_secs(n);
        for (is_software, idle, unit) in [(false, 10, 1 << 36), (true, 30, 1 << 26)] {
            let mut time_out = of(is_software);
            assert_eq!(time_out.now(), seconds(idle));
            let first = time_out.begin(SubmittedWork { first_runs: 2, operations: unit });
            assert_eq!(time_out.now(), seconds(idle + 10 + 2 * 20));
            let second = time_out.begin(SubmittedWork { first_runs: 0, operations: 2 * unit });
            assert_eq!(time_out.now(), seconds(idle + 30 + 2 * 20));
            first();
            assert_eq!(time_out.now(), seconds(idle + 20));
            second();
            assert_eq!(time_out.now(), seconds(idle));
            time_out.be_patient();
            assert_eq!(time_out.now(), seconds(30 * idle));
        }
    }

    fn it_has_a_limit() {
        let time_out = of(true);
        let _first =
            time_out.begin(SubmittedWork { first_runs: 0, operations: operations_of_loops(u64::MAX, u64::MAX) });
        assert_eq!(time_out.now(), Duration::from_secs(300));
        let endless = TimeOut { base: Duration::MAX, is_software: false, unfinished: Arc::default() };
        assert_eq!(endless.now(), Duration::MAX);
    }
}
