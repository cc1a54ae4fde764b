//! Finds whether the machine did other work during a measurement: the CPU time of other processes, and the time that
//! the hypervisor took from a virtual machine, both from `/proc`. On other systems the report says that this is
//! unknown.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The seconds of one tick, in which `/proc` counts time. It is a constant of Linux, whatever its timer does.
const TICK: f64 = 0.01;
/// Other work up to this part of all cores' time counts as no disturbance of a measurement. Chosen by hand.
const FELT: f64 = 0.02;
/// A row is disturbed if its state of the machine is off the run's typical one by more than this factor, set by hand.
const OFF: f64 = 1.15;
/// Seconds of other work that may be an error of the coarse ticks.
const COARSE: f64 = 0.04;
/// How long the machine is watched before a run.
const BEFORE: Duration = Duration::from_millis(1000);

/// Seconds of CPU time since the machine or a process started.
#[derive(Clone, Copy, Default)]
struct Times {
    /// The time of all processes.
    all: f64,
    /// The time of this process and its workers.
    own: f64,
    /// The time that the hypervisor gave to other virtual machines.
    steal: f64,
}

/// Watches a span of time: records the CPU times at its start.
pub struct Watch {
    start: Instant,
    then: Option<Times>,
    workers: Vec<u32>,
}

/// The disturbance of a span of time, in seconds. The CPU times are none if they are not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    pub wall: f64,
    pub other: Option<f64>,
    pub steal: Option<f64>,
    /// The machine's speed before and after the span as a part of its best speed; see `sentinel.rs`.
    pub state: Option<f64>,
    /// The median of the rows' states in the run, once it is known.
    pub typical: Option<f64>,
}

impl Watch {
    /// Begins a span. `workers` are the processes whose work is the run's own.
    pub fn start(workers: Vec<u32>) -> Watch {
        Watch { start: Instant::now(), then: now(&workers), workers }
    }

    /// Ends the span. If a worker has ended meanwhile, the time of other processes is not known.
    pub fn end(&self) -> Noise {
        let wall = self.start.elapsed().as_secs_f64();
        let (Some(then), Some(now)) = (self.then, now(&self.workers)) else {
            return Noise { wall, ..Noise::default() };
        };
        let other = (now.all - then.all) - (now.own - then.own);
        Noise { wall, other: Some(other.max(0.0)), steal: Some(now.steal - then.steal), ..Noise::default() }
    }
}

impl Noise {
    /// Returns the CPU seconds, over all cores, that other work took, or 0 if this is not known.
    pub fn taken(&self) -> f64 {
        self.other.unwrap_or(0.0) + self.steal.unwrap_or(0.0)
    }

    /// Returns whether the times of the span are off, by other work or because the machine itself was slower or faster
    /// than in most of the run. A row's share of its limit depends on the speed of memory, so such rows are not
    /// comparable.
    pub fn is_felt(&self) -> bool {
        self.others_are_felt() || self.off() > OFF - 1.0
    }

    /// Returns how far the machine's state is from the run's typical one, relative to the smaller, or 0 if unknown.
    fn off(&self) -> f64 {
        self.state.zip(self.typical).map_or(0.0, |(a, b)| (a / b).max(b / a) - 1.0)
    }

    /// Returns how much the span was disturbed, for a comparison of two spans.
    pub fn badness(&self) -> f64 {
        self.taken() / (self.wall * cores()).max(1e-9) + self.off()
    }

    /// Returns whether other processes took so much time that the times of the span are off.
    pub fn others_are_felt(&self) -> bool {
        self.taken() > FELT * self.wall * cores() + COARSE
    }

    /// Returns the parts of all cores' time that other processes and the hypervisor took, as the report shows them.
    pub fn to_json(self) -> Value {
        let part = |seconds: f64| (seconds / (self.wall * cores()) * 1e4).round() / 1e4;
        let state = self.state.map(|s| (s * 1e3).round() / 1e3);
        json!({"other": self.other.map(part), "steal": self.steal.map(part), "state": state})
    }

    pub fn text(&self) -> String {
        let percent = |s: Option<f64>| s.map(|s| format!("{:.1} %", 100.0 * s / (self.wall * cores())));
        match (percent(self.other), percent(self.steal)) {
            (Some(other), Some(steal)) => format!("others had {other} of the cores, {steal} was stolen"),
            _ => "what others did is not known here".into(),
        }
    }
}

impl std::ops::Add for Noise {
    type Output = Noise;

    /// Returns the noise of two spans together.
    fn add(self, o: Noise) -> Noise {
        // leave out a row whose noise is not known because a worker has ended
        let sum = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or(0.0)));
        Noise {
            wall: self.wall + o.wall,
            other: sum(self.other, o.other),
            steal: sum(self.steal, o.steal),
            ..Noise::default()
        }
    }
}

/// Watches the machine for a moment before a run.
pub fn before() -> Noise {
    let watch = Watch::start(vec![]);
    std::thread::sleep(BEFORE);
    watch.end()
}

/// Returns whether a run counts as quiet: other work took little time before and during it, and disturbed at most one
/// row in twenty. Returns null if this is not known.
pub fn verdict(before: Noise, during: Noise, disturbed: usize, rows: usize) -> Value {
    let part = |n: Noise| n.other.map(|_| n.taken() / (n.wall * cores()).max(1e-9));
    match (part(before), part(during)) {
        (Some(before), Some(during)) => json!(before < 5.0 * FELT && during < FELT && 20 * disturbed <= rows),
        _ => Value::Null,
    }
}

/// Returns the system's load averages over 1, 5 and 15 minutes.
pub fn load() -> Option<Vec<f64>> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').take(3).map(|n| n.parse().ok()).collect()
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

fn now(workers: &[u32]) -> Option<Times> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    // the fields are user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; a guest's time is part of
    // user's
    let busy = [0, 1, 2, 5, 6].iter().map(|i| ticks.get(*i)).sum::<Option<f64>>()?;
    let own =
        std::iter::once(std::process::id()).chain(workers.iter().copied()).map(of_process).sum::<Option<f64>>()?;
    Some(Times { all: busy * TICK, own, steal: ticks.get(7)? * TICK })
}

/// Returns the CPU time of a process and all its threads.
fn of_process(id: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // the name, in brackets, may contain anything
    let (_, rest) = text.rsplit_once(')')?;
    let field = |i: usize| rest.split_whitespace().nth(i)?.parse::<f64>().ok();
    Some((field(11)? + field(12)?) * TICK)
}

/// Returns the time that all threads of a process have run, to the nanosecond, or none if the system does not tell.
#[cfg(target_os = "linux")]
pub fn thread_time(id: u32) -> Option<Duration> {
    use std::ffi::{c_int, c_long};
    #[repr(C)]
    struct Time {
        seconds: c_long,
        nanoseconds: c_long,
    }
    // declared by hand, because `std` links the C library anyway
    unsafe extern "C" {
        fn clock_getcpuclockid(process: c_int, clock: *mut c_int) -> c_int;
        fn clock_gettime(clock: c_int, time: *mut Time) -> c_int;
    }
    let (mut clock, mut time) = (0, Time { seconds: 0, nanoseconds: 0 });
    // SAFETY: both pointers are valid for writes during the calls; a process that does not exist gives an error.
    let found = unsafe { clock_getcpuclockid(id as c_int, &mut clock) == 0 && clock_gettime(clock, &mut time) == 0 };
    found.then(|| Duration::new(time.seconds as u64, time.nanoseconds as u32))
}

#[cfg(not(target_os = "linux"))]
pub fn thread_time(_: u32) -> Option<Duration> {
    None
}
