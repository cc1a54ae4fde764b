//! What a device notes of the steps that it runs while a profile or a timer is on: which step, from which line, and when.

use super::{Bindings, Line};
use crate::base::layout::Shape;
use crate::plan::kernel::{Plan, Step};
use std::time::{Duration, Instant};

/// What a recording notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// How long the device is busy, at no cost to what runs.
    Busy,
    /// Each step of each plan, with a time of its own.
    Steps,
}

/// The clock by which a recording tells times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "a CPU has the host's clock alone"))]
pub(crate) enum Clock {
    /// The device's own.
    Device,
    /// The host's, around each step, on a device that works while the host waits.
    Host,
    /// The host's, around each step of a device that works by itself: the host waited for it before and after the step.
    HostWithWaits,
}

/// A step that ran while a recording was on.
#[derive(Clone, Debug)]
pub(crate) struct StepNote {
    /// The operation that the step ends in; `clear` for a clear.
    pub name: &'static str,
    /// The kind of kernel, or `routine`, or `clear`.
    pub kind: &'static str,
    /// The lengths of the index space: of its outer part, then of its inner part. Those of the first result of a routine.
    pub shape: Shape,
    /// The caller's line.
    pub line: Option<Line>,
    /// The bytes read and written, by the definition of [`Step::bytes`].
    pub bytes: (u64, u64),
    /// Whether the step counts as a kernel: a clear does not, nor does a further pass of the kernel before it.
    pub is_kernel: bool,
    /// Whether it is a further pass of the kernel that was noted before it.
    pub continues: bool,
    /// When the host ran or enqueued the step. This time and the two below are counted from the beginning of the recording.
    pub enqueued: Duration,
    /// When the step began and ended. Until a GPU's times are read, both are zero.
    pub start: Duration,
    pub end: Duration,
    /// How long the step took: less than from `start` to `end` where the device paused within the step.
    pub time: Duration,
}

impl StepNote {
    /// Describes step number `n` of a plan, which begins now on a recording that began at `began`.
    pub fn of(plan: &Plan, n: usize, bindings: &Bindings<'_>, began: Instant) -> StepNote {
        let step = &plan.steps[n];
        let (name, kind, shape) = match step {
            Step::Nest(kernel) => {
                (kernel.name, kernel.kind.name(), kernel.outer.iter().chain(&kernel.inner).copied().collect())
            }
            Step::Routine(call) => {
                (call.row.name, "routine", call.results.first().map_or_else(Shape::new, |w| w.meta.shape.clone()))
            }
            Step::Clear { temp } => ("clear", "clear", std::iter::once(plan.temps[*temp]).collect()),
        };
        StepNote {
            name,
            kind,
            shape,
            line: plan.node_of(n).and_then(|node| bindings.line(node)),
            bytes: step.bytes(),
            is_kernel: step.is_kernel(),
            continues: step.continues(),
            enqueued: began.elapsed(),
            start: Duration::ZERO,
            end: Duration::ZERO,
            time: Duration::ZERO,
        }
    }
}

/// What was noted while a recording was on.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The steps, in the order in which they were enqueued or ended; none with [`Detail::Busy`].
    pub steps: Vec<StepNote>,
    /// How long at least one step ran, in all; `None` if the device has no clock for what was asked.
    pub busy: Option<Duration>,
    pub clock: Clock,
    /// Whether everything that ran was noted: no other recording took the place of this one, and no time was lost.
    pub is_complete: bool,
}

impl Recording {
    /// The recording of a device that has no clock for what was asked, or whose recording was replaced before it noted anything.
    pub fn nothing(clock: Clock, is_complete: bool) -> Recording {
        Recording { steps: vec![], busy: None, clock, is_complete }
    }
}

/// Returns how long at least one of the intervals lasts, in all: their common time counts once.
pub(crate) fn busy(mut intervals: Vec<(Duration, Duration)>) -> Duration {
    intervals.sort_unstable();
    let (mut sum, mut until) = (Duration::ZERO, Duration::ZERO);
    for (start, end) in intervals {
        sum += end.saturating_sub(start.max(until));
        until = until.max(end);
    }
    sum
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;

    crate::testing::unit_tests!(backend_record: common_time_counts_once);

    fn common_time_counts_once() {
        let ms = Duration::from_millis;
        let of = |list: &[(u64, u64)]| busy(list.iter().map(|(a, b)| (ms(*a), ms(*b))).collect());
        assert_eq!(of(&[]), ms(0));
        assert_eq!(of(&[(10, 20), (0, 5)]), ms(15));
        assert_eq!(of(&[(0, 10), (5, 7), (8, 12), (12, 13), (20, 19)]), ms(13));
    }
}
