//! Recordings for profiles and timers: a list of the steps that a device ran during some time, with the source line and
//! the times of each step.

use super::Bindings;
use crate::base::error::Loc;
use crate::base::layout::Shape;
use crate::base::platform::Instant;
use crate::plan::kernel::{ExecutionPlan, Step};
use std::time::Duration;

/// The level of detail of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// Records only how long the device was busy, which does not slow down the run.
    Busy,
    /// Records each step of each plan with its own time.
    Steps,
}

/// The clock with which a recording measures times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "a CPU has the host's clock alone"))]
pub(crate) enum Clock {
    /// The device's own clock.
    Device,
    /// The host's clock, read before and after each step, on a device that runs steps while the host waits.
    Host,
    /// The host's clock, read before and after each step, on an asynchronous device. The host waits for the device each
    /// time, which slows down the run.
    HostWithWaits,
}

/// A step that ran while a recording was on.
#[derive(Clone, Debug)]
pub(crate) struct StepNote {
    /// The name of the last operation that the step computes, or `clear` if it only fills memory with zeros.
    pub name: &'static str,
    /// The kind of the kernel, or `routine` or `clear` for a step that is no kernel.
    pub kind: &'static str,
    /// The lengths of the kernel's outer dimensions, followed by the lengths of its inner (reduced or scanned)
    /// dimensions. For a routine, the shape of its first result.
    pub shape: Shape,
    /// The caller's source line.
    pub line: Option<Loc>,
    /// The bytes read and written, as defined by [`Step::bytes`].
    pub bytes: (u64, u64),
    /// Whether the step counts as a kernel or routine. A clear does not, and neither does a step with `continues`.
    pub is_kernel: bool,
    /// Whether the step continues the kernel recorded before it, so that both count as one kernel.
    pub continues: bool,
    /// The time at which the host ran or enqueued the step. `enqueued`, `start` and `end` count from the beginning of
    /// the recording.
    pub enqueued: Duration,
    /// The times at which the step began and ended. For a step on a GPU, both are zero until the GPU's clock values are
    /// read.
    pub start: Duration,
    pub end: Duration,
    /// The duration of the step. It is less than `end - start` if the device paused within the step.
    pub time: Duration,
}

impl StepNote {
    /// Returns a note for step `n` of a plan. The step begins now, and the recording began at `began`.
    pub fn of(plan: &ExecutionPlan, n: usize, bindings: &Bindings<'_>, began: Instant) -> StepNote {
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

/// The result of a recording.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The steps, in the order in which a CPU ended them or a GPU enqueued them. The list is empty with
    /// [`Detail::Busy`].
    pub steps: Vec<StepNote>,
    /// The total time during which at least one step ran, or `None` if the device has no clock for the requested
    /// detail.
    pub busy: Option<Duration>,
    pub clock: Clock,
    /// Whether the recording contains everything: no other recording replaced this one, and no time of a step was lost.
    pub is_complete: bool,
}

impl Recording {
    /// Returns the recording of a device that has no clock for the requested detail, or of a recording that was
    /// replaced before it recorded anything.
    pub fn nothing(clock: Clock, is_complete: bool) -> Recording {
        Recording { steps: vec![], busy: None, clock, is_complete }
    }
}

/// Returns the total time that is covered by at least one of the intervals. Overlapping time counts once.
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
