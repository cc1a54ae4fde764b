//! Records of the steps that a device runs while a profile or a timer is on: the step, its source line, and its times.

use super::Bindings;
use crate::base::error::Loc;
use crate::base::layout::Shape;
use crate::base::platform::Instant;
use crate::plan::kernel::{ExecutionPlan, Step};
use std::time::Duration;

/// The level of detail of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// The time that the device is busy, without slowing down the run.
    Busy,
    /// Each step of each plan, with its own time.
    Steps,
}

/// The clock with which a recording measures times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "a CPU has the host's clock alone"))]
pub(crate) enum Clock {
    /// The device's own clock.
    Device,
    /// The host's clock, around each step, on a device that works while the host waits.
    Host,
    /// The host's clock, around each step, on an asynchronous device. The host waits for the device before and after
    /// the step.
    HostWithWaits,
}

/// A step that ran while a recording was on.
#[derive(Clone, Debug)]
pub(crate) struct StepNote {
    /// The last operation of the step, or `clear` for a clear.
    pub name: &'static str,
    /// The kind of kernel, `routine` or `clear`.
    pub kind: &'static str,
    /// The lengths of the index space: the outer part, then the inner part. For a routine, the shape of its first
    /// result.
    pub shape: Shape,
    /// The caller's line.
    pub line: Option<Loc>,
    /// The bytes read and written, as defined by [`Step::bytes`].
    pub bytes: (u64, u64),
    /// Whether the step counts as a kernel. A clear does not, and neither does a further pass of the kernel before it.
    pub is_kernel: bool,
    /// Whether the step is a further pass of the kernel recorded before it.
    pub continues: bool,
    /// The time at which the host ran or enqueued the step. This time and the two below are relative to the beginning
    /// of the recording.
    pub enqueued: Duration,
    /// The times at which the step began and ended. Both are zero until a GPU's times are read.
    pub start: Duration,
    pub end: Duration,
    /// The duration of the step. It is less than `end - start` if the device paused within the step.
    pub time: Duration,
}

impl StepNote {
    /// Describes step `n` of a plan, which begins now, for a recording that began at `began`.
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
    /// The steps, in the order in which they were enqueued or ended. Empty with [`Detail::Busy`].
    pub steps: Vec<StepNote>,
    /// The total time during which at least one step ran, or `None` if the device has no clock for the requested
    /// detail.
    pub busy: Option<Duration>,
    pub clock: Clock,
    /// Whether all steps were recorded: no other recording replaced this one, and no time was lost.
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
