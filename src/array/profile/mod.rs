//! Profiles of what a device ran. The device notes its steps (`plan/backend/record.rs`); here they become events and rows of
//! a table. `array/profile/table.rs` prints the table, `array/profile/rate.rs` measures how fast the device copies, `array/profile/trace.rs`
//! writes events for Perfetto.

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

/// The clock that a [`Profile`] has its times from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ProfileClock {
    /// The device's own: each kernel of a GPU notes when it begins and when it ends.
    Device,
    /// The host's, around each kernel: on the CPU.
    Host,
    /// The host's, on a GPU without timestamps: the host waited for the GPU before and after each kernel, so the times contain
    /// what a submission takes (some 10 to 100 µs), and nothing overlapped.
    HostWithWaits,
}

/// A step that a device ran: a kernel, a pass of one, a routine, or a clear of memory for a routine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// The operation that the kernel ends in (one kernel may compute many), or the name of the routine; `clear` for a clear.
    pub name: &'static str,
    /// The kind of kernel, as [`Plan`](crate::Plan) prints it: `elementwise`, `reduce inner`, `row`, …; `routine`; `clear`.
    pub kind: &'static str,
    /// The lengths of the loops: of the axes that are kept, then of those that are reduced, neighbours merged where they can be.
    /// The shape of the first result of a routine; the bytes of a clear.
    pub shape: Vec<usize>,
    /// Your line of that operation.
    pub line: Option<&'static Location<'static>>,
    /// Whether the event counts as a kernel. A clear does not, nor does a further pass of the kernel before it.
    pub is_kernel: bool,
    /// When the host enqueued the step, or ran it itself; from the beginning of the profile, as the two times below.
    pub enqueued: Duration,
    /// When it began. A GPU's clock is not the host's: its events are laid beside the host's time as early as none of
    /// them begins before it was enqueued.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// How long it took. Less than from `start` to `end` where the GPU got the step in two submissions.
    pub time: Duration,
    /// The bytes that it reads, as [`Plan::bytes`](crate::Plan::bytes) counts them: each element of each operand once, whatever
    /// caches hold.
    pub bytes_read: u64,
    /// The bytes that it writes.
    pub bytes_written: u64,
}

/// A row of the table that a [`Profile`] prints: all runs of one kind of kernel from one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProfileRow {
    /// As in [`ProfileEvent`].
    pub name: &'static str,
    /// As in [`ProfileEvent`].
    pub kind: &'static str,
    /// As in [`ProfileEvent`].
    pub line: Option<&'static Location<'static>>,
    /// How many kernels and routines they were; a kernel of several passes counts once, a clear not at all.
    pub kernels: u64,
    /// How long they took, with all their passes.
    pub time: Duration,
    /// The bytes that they read.
    pub bytes_read: u64,
    /// The bytes that they wrote.
    pub bytes_written: u64,
}

/// What a device ran while a closure did: see [`Device::profile`]. It prints as a table.
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
    /// Runs `f`, waits for the device, and returns the result of `f` with a [`Profile`] of what the device ran meanwhile: each
    /// kernel with your line, how often it ran, how long that took, and how many bytes it read and wrote.
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
    /// **What is timed.** On the CPU the host's clock is read around each kernel. On a GPU each kernel gets a compute pass of its
    /// own, which notes when it begins and ends, so the kernels themselves take as long as ever, and the host a little longer
    /// for each; on a GPU without timestamps the host waits for the device before and after each kernel, which changes how
    /// the program runs as a whole, and [`Profile::clock`] says so. The first run of a kernel on a software driver compiles it:
    /// profile the second. The same kernels run as without a profile, and while no profile is on, nothing is noted and no clock
    /// is read.
    ///
    /// **Whose kernels.** Those of all threads on this device that are enqueued meanwhile (on the CPU those that begin and end
    /// meanwhile), not those of other devices, a device that [`Device::with_memory_limit`] made of this one included. One
    /// profile or [`Device::time_kernels`] of a device is on at a time: one that begins while another is on takes its place, and
    /// the other then has no events, and says that it is incomplete ([`Profile::is_complete`]).
    ///
    /// # Errors
    /// That of `f`, and those of [`Device::synchronize`].
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

    /// The rows of the table: the runs of one kind of kernel from one line, the longest first.
    pub fn rows(&self) -> impl Iterator<Item = &ProfileRow> {
        self.rows.iter()
    }

    /// Every step that ran, in the order in which they began.
    pub fn events(&self) -> impl Iterator<Item = &ProfileEvent> {
        self.events.iter()
    }

    /// How many kernels and routines ran: by how much the device's [`Stats::kernels`](crate::Stats::kernels) grew.
    pub fn kernels(&self) -> u64 {
        self.rows.iter().map(|row| row.kernels).sum()
    }

    /// The bytes that they read, and those that they wrote.
    pub fn bytes(&self) -> (u64, u64) {
        let sum = |of: fn(&ProfileRow) -> u64| self.rows.iter().map(of).fold(0, u64::saturating_add);
        (sum(|row| row.bytes_read), sum(|row| row.bytes_written))
    }

    /// How long the closure took, with the wait for the device at its end.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How long at least one kernel ran. The times of the rows add up to more where kernels ran at the same time.
    pub fn busy(&self) -> Duration {
        self.busy
    }

    /// The rest of [`Profile::elapsed`], in which no kernel ran: the host built and planned expressions, copied, compiled,
    /// waited, or did the program's other work.
    pub fn idle(&self) -> Duration {
        self.elapsed.saturating_sub(self.busy)
    }

    /// The clock that the times are from.
    pub fn clock(&self) -> ProfileClock {
        match self.clock {
            Clock::Device => ProfileClock::Device,
            Clock::Host => ProfileClock::Host,
            Clock::HostWithWaits => ProfileClock::HostWithWaits,
        }
    }

    /// Whether the profile has the time of everything that ran. It has not if another profile or
    /// [`time_kernels`](Device::time_kernels) of the device took its place, or if the driver refused memory for times.
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

/// Adds up the steps of one kind and line. A further pass of a kernel counts with the kernel, which was noted before it: on a
/// CPU the tasks of a product often do the work of its epilogue, which is another pass and then takes no time.
fn rows(steps: &[StepNote]) -> Vec<ProfileRow> {
    // a line by what it says: the compiler may keep one place of the source as several values
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
