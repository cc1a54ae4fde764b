//! Profiles of what a device ran. The device records each kernel and routine that it runs, and this module turns the
//! records into events and rows of a table.

mod rate;
mod table;
mod trace;

use crate::array::device::Device;
use crate::base::error::Result;
use crate::plan::backend::{Clock, Detail, Recording, StepNote};
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

/// The clock by which the times of a [`Profile`] were measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProfileClock {
    /// The device's own clock: each kernel on a GPU records when it begins and ends.
    Device,
    /// The host's clock, read before and after each kernel. Used on the CPU.
    Host,
    /// The host's clock, on a GPU without timestamp queries. The host waited for the GPU before and after each kernel,
    /// so the times include the cost of a submission (about 10 to 100 µs), and no two kernels ran at the same time.
    HostWithWaits,
}

/// One step that a device ran: a kernel, one pass of a kernel with several passes, a routine (such as `bincount`), or a
/// clear, which sets the memory of a routine to 0.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// The name of the last operation that a kernel computes (one kernel may compute many), or the name of a routine,
    /// or `clear`.
    pub name: &'static str,
    /// The kind of kernel, as printed by [`Plan`](crate::Plan): `elementwise`, `reduce inner`, `row`, …; or `routine`,
    /// or `clear`.
    pub kind: &'static str,
    /// The lengths of the kernel's loops: first the kept axes, then the reduced axes. Neighbouring axes are merged
    /// where possible. For a routine, the shape of its first result. For a clear, the number of bytes that are set to
    /// 0.
    pub shape: Vec<usize>,
    /// The source line in your program of the operation with this `name`.
    pub line: Option<&'static Location<'static>>,
    /// Whether the event counts as a kernel. Clears do not count, and neither do the second and later passes of a
    /// kernel.
    pub is_kernel: bool,
    /// When the host enqueued the step, or ran it itself, as the time since the start of the profile.
    pub enqueued: Duration,
    /// When the step began, as the time since the start of the profile. A GPU's clock is not synchronised with the
    /// host's clock, so all events are shifted by the same time such that none begins before it was enqueued.
    pub start: Duration,
    /// When the step ended, as the time since the start of the profile.
    pub end: Duration,
    /// How long the step took. This is less than `end - start` if the GPU received the step in two submissions.
    pub time: Duration,
    /// The bytes that the step reads: each element of each operand counts once, regardless of caches, as in
    /// [`Plan::bytes`](crate::Plan::bytes).
    pub bytes_read: u64,
    /// The bytes that the step writes. Each element counts once, regardless of caches.
    pub bytes_written: u64,
}

/// A row of the table that a [`Profile`] prints: all runs of one kind of kernel from one source line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileRow {
    /// The last operation that the kernels compute, or the name of the routine, as in [`ProfileEvent::name`].
    pub name: &'static str,
    /// The kind of kernel, or `routine` or `clear`, as in [`ProfileEvent::kind`].
    pub kind: &'static str,
    /// The source line in your program of the operation, as in [`ProfileEvent::line`].
    pub line: Option<&'static Location<'static>>,
    /// The number of kernels and routines that the row covers. A kernel with several passes counts once; clears do not
    /// count.
    pub kernels: u64,
    /// The total time of the row's kernels and routines, including all passes.
    pub time: Duration,
    /// How many bytes the row's kernels and routines read.
    pub bytes_read: u64,
    /// How many bytes the row's kernels and routines wrote.
    pub bytes_written: u64,
}

/// A record of what a device ran during a closure, made by [`Device::profile`]. `Display` prints it as a table.
#[derive(Clone)]
pub struct Profile {
    device: Device,
    clock: Clock,
    is_complete: bool,
    elapsed: Duration,
    busy: Duration,
    events: Vec<ProfileEvent>,
    rows: Vec<ProfileRow>,
}

impl Device {
    /// Runs `f`, waits for the device, and returns the result of `f` with a [`Profile`] of what the device ran
    /// meanwhile. The profile lists each kernel with your source line, how often it ran, how long that took, and how
    /// many bytes it read and wrote.
    ///
    /// ```
    /// use cupric::{DType, Device, ones};
    /// let device = Device::best()?;
    /// let x = ones([1000, 100], DType::F32).to_device(&device)?;
    /// let (y, profile) = device.profile(|| {
    ///     let e = x.exp().eval()?;              // the lines of these two
    ///     (&e / e.sum(0)).eval()                // are in the table
    /// })?;
    /// println!("{profile}");
    /// assert_eq!(y.shape(), [1000, 100]);
    /// assert_eq!(profile.kernels(), 3);
    /// for row in profile.rows() {
    ///     assert!(row.line.is_some_and(|at| at.file() == file!()), "{row:?}");
    /// }
    /// # Ok::<(), cupric::Error>(())
    /// ```
    ///
    /// **What is timed.**
    ///
    /// * On the CPU, the host's clock is read before and after each kernel.
    /// * On a GPU, each kernel gets its own compute pass, which records when it begins and ends. The kernels take as
    ///   long as without a profile, but the host takes a little longer for each.
    /// * On a GPU without timestamps, the host waits for the device before and after each kernel, which changes the
    ///   timing of the whole program. [`Profile::clock`] reports this.
    ///
    /// The first run of a kernel may include its compilation, so profile the second run. While no profile is active,
    /// nothing is recorded and no clock is read.
    ///
    /// **Which kernels.** A profile contains the kernels that any thread enqueues on this device meanwhile (on the CPU,
    /// the kernels that begin and end meanwhile). It does not contain kernels of other devices, including devices made
    /// from this one by [`Device::with_memory_limit`]. Only one profile or [`Device::time_kernels`] of a device is
    /// active at a time. If another one begins, the earlier profile loses its events and is incomplete
    /// ([`Profile::is_complete`]).
    ///
    /// # Errors
    /// Returns the error of `f`, or the errors of [`Device::synchronize`].
    #[doc(alias("profiler", "trace", "timeline"))]
    #[track_caller]
    pub fn profile<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<(T, Profile)> {
        let (value, recording, elapsed) = self.recorded("profile", Detail::Steps, f, Location::caller())?;
        Ok((value, Profile::new(self, recording, elapsed)))
    }
}

impl Profile {
    fn new(device: &Device, recording: Recording, elapsed: Duration) -> Profile {
        let Recording { mut steps, busy, clock, is_complete } = recording;
        let rows = rows(&steps);
        steps.sort_by_key(|step| step.start);
        let busy = busy.unwrap_or_else(|| crate::plan::backend::busy(steps.iter().map(|s| (s.start, s.end)).collect()));
        let events = steps.into_iter().map(event).collect();
        Profile { device: device.clone(), clock, is_complete, elapsed, busy, events, rows }
    }

    /// Returns the rows of the printed table: one for each kind of kernel and source line, sorted by descending time.
    pub fn rows(&self) -> impl Iterator<Item = &ProfileRow> {
        self.rows.iter()
    }

    /// Returns all steps that ran, in the order in which they began.
    pub fn events(&self) -> impl Iterator<Item = &ProfileEvent> {
        self.events.iter()
    }

    /// Returns how many kernels and routines ran. [`Stats::kernels`](crate::Stats::kernels) increases by the same
    /// number.
    pub fn kernels(&self) -> u64 {
        self.rows.iter().map(|row| row.kernels).sum()
    }

    /// Returns how many bytes the kernels and routines read, and how many they wrote.
    pub fn bytes(&self) -> (u64, u64) {
        let sum = |of: fn(&ProfileRow) -> u64| self.rows.iter().map(of).fold(0, u64::saturating_add);
        (sum(|row| row.bytes_read), sum(|row| row.bytes_written))
    }

    /// Returns how long the closure took, including the wait for the device at its end.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Returns for how long at least one kernel was running. If kernels ran in parallel, this is less than the sum of
    /// their times.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// Returns for how long no kernel was running, which is [`Profile::elapsed`] minus [`Profile::busy`]. In this time
    /// the host built and planned expressions, copied, compiled, waited, or ran other code of the program.
    pub fn idle(&self) -> Duration {
        self.elapsed.saturating_sub(self.busy)
    }

    /// Returns which clock measured the times.
    pub fn clock(&self) -> ProfileClock {
        match self.clock {
            Clock::Device => ProfileClock::Device,
            Clock::Host => ProfileClock::Host,
            Clock::HostWithWaits => ProfileClock::HostWithWaits,
        }
    }

    /// Returns whether the profile has the times of everything that ran. Returns false if another profile or
    /// [`time_kernels`](Device::time_kernels) of the device has replaced this one, or if the driver could not allocate
    /// memory for times.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("device", &self.device.name())
            .field("clock", &self.clock)
            .field("is_complete", &self.is_complete)
            .field("elapsed", &self.elapsed)
            .field("busy", &self.busy)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn event(step: StepNote) -> ProfileEvent {
    ProfileEvent {
        name: step.name,
        kind: step.kind,
        shape: step.shape.to_vec(),
        line: step.line,
        is_kernel: step.is_kernel,
        enqueued: step.enqueued,
        start: step.start,
        end: step.end,
        time: step.time,
        bytes_read: step.bytes.0,
        bytes_written: step.bytes.1,
    }
}

/// Adds up the recorded steps of each kind and source line. The second and later passes of a kernel are added to the
/// row of that kernel, whose first pass was recorded just before.
fn rows(steps: &[StepNote]) -> Vec<ProfileRow> {
    // compare lines by their content, because the compiler may store one source location as several values
    let key = |s: &StepNote| (s.name, s.kind, s.line.map(|at| (at.file(), at.line())));
    let mut found: HashMap<_, usize> = HashMap::new();
    let mut rows: Vec<ProfileRow> = vec![];
    let mut of_the_one_before = None;
    for step in steps {
        let n = of_the_one_before.filter(|_| step.continues).unwrap_or_else(|| {
            *found.entry(key(step)).or_insert_with(|| {
                let (name, kind, line) = (step.name, step.kind, step.line);
                let (kernels, time, bytes_read, bytes_written) = (0, Duration::ZERO, 0, 0);
                rows.push(ProfileRow { name, kind, line, kernels, time, bytes_read, bytes_written });
                rows.len() - 1
            })
        });
        of_the_one_before = Some(n);
        let row = &mut rows[n];
        row.kernels += u64::from(step.is_kernel);
        row.time += step.time;
        row.bytes_read = row.bytes_read.saturating_add(step.bytes.0);
        row.bytes_written = row.bytes_written.saturating_add(step.bytes.1);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.time));
    rows
}
