//! Whether the machine did other work while something was measured: the CPU time of other processes, and what the machine
//! below a virtual one took, by `/proc`. Elsewhere nothing is known, and the report says that.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The seconds of one of the ticks that `/proc` counts in: a constant of Linux, whatever its timer does.
const TICK: f64 = 0.01;
/// The part of all cores' time up to which others' work is not felt: a judgement.
const FELT: f64 = 0.02;
/// The factor from a run's typical state of the machine that makes a row's state another one: a judgement.
const OFF: f64 = 1.15;
/// Seconds of others' work that the ticks' coarseness may feign.
const COARSE: f64 = 0.04;
/// How long the machine is watched before a run.
const BEFORE: Duration = Duration::from_millis(1000);

/// Seconds of CPU time since the machine or a process started.
#[derive(Clone, Copy, Default)]
struct Times {
    /// Of all processes.
    all: f64,
    /// Of this process and its workers.
    own: f64,
    /// What the machine below a virtual one gave to others.
    steal: f64,
}

/// A watch over a span of time.
pub struct Watch {
    start: Instant,
    then: Option<Times>,
    workers: Vec<u32>,
}

/// What happened in a span, in seconds; the CPU times are none where they are not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    pub wall: f64,
    pub other: Option<f64>,
    pub steal: Option<f64>,
    /// The part of its best that the machine itself did before and after: see `sentinel.rs`.
    pub state: Option<f64>,
    /// The median of the rows' states in the run, once it is known.
    pub typical: Option<f64>,
}

impl Watch {
    /// Begins a span. `workers` are the processes whose work is the run's own.
    pub fn start(workers: Vec<u32>) -> Watch {
        Watch { start: Instant::now(), then: now(&workers), workers }
    }

    /// Ends the span. A worker that ended meanwhile makes others' time unknown.
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
    /// Seconds of all cores that others had; 0 where that is not known.
    pub fn taken(&self) -> f64 {
        self.other.unwrap_or(0.0) + self.steal.unwrap_or(0.0)
    }

    /// Whether the times of the span are off, by others' work or because the machine itself was slower or faster than in most
    /// of the run: a row's share of its limit depends on how fast memory is, so rows of different states are not comparable.
    pub fn is_felt(&self) -> bool {
        self.others_are_felt() || self.off() > OFF - 1.0
    }

    /// How far the machine's state is from the run's typical one, relative to the smaller; 0 where that is not known.
    fn off(&self) -> f64 {
        self.state.zip(self.typical).map_or(0.0, |(a, b)| (a / b).max(b / a) - 1.0)
    }

    /// How much the span was disturbed: a measure for comparing two spans.
    pub fn badness(&self) -> f64 {
        self.taken() / (self.wall * cores()).max(1e-9) + self.off()
    }

    /// Whether others had so much that the times of the span are off.
    pub fn others_are_felt(&self) -> bool {
        self.taken() > FELT * self.wall * cores() + COARSE
    }

    /// The part of all cores' time that others had, and that was stolen, as the report shows them.
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

    /// The noise of two spans together.
    fn add(self, o: Noise) -> Noise {
        // a row whose noise is not known, since a worker ended, is left out
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

/// Whether a run counts as quiet: others had little before and during it, and disturbed at most one row in twenty. Null where
/// that is not known.
pub fn verdict(before: Noise, during: Noise, disturbed: usize, rows: usize) -> Value {
    let part = |n: Noise| n.other.map(|_| n.taken() / (n.wall * cores()).max(1e-9));
    match (part(before), part(during)) {
        (Some(before), Some(during)) => json!(before < 5.0 * FELT && during < FELT && 20 * disturbed <= rows),
        _ => Value::Null,
    }
}

/// The system's averages of running processes over 1, 5 and 15 minutes.
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
    // user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; a guest's time is part of user's
    let busy = [0, 1, 2, 5, 6].iter().map(|i| ticks.get(*i)).sum::<Option<f64>>()?;
    let own =
        std::iter::once(std::process::id()).chain(workers.iter().copied()).map(of_process).sum::<Option<f64>>()?;
    Some(Times { all: busy * TICK, own, steal: ticks.get(7)? * TICK })
}

/// The CPU time of a process and all its threads.
fn of_process(id: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // the name, in brackets, may contain anything
    let (_, rest) = text.rsplit_once(')')?;
    let field = |i: usize| rest.split_whitespace().nth(i)?.parse::<f64>().ok();
    Some((field(11)? + field(12)?) * TICK)
}

/// The time that all threads of a process have run, to the nanosecond; none where the system does not tell.
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
    // SAFETY: both pointers are valid for writes for the calls' length; a process that is not there gives an error.
    let found = unsafe { clock_getcpuclockid(id as c_int, &mut clock) == 0 && clock_gettime(clock, &mut time) == 0 };
    found.then(|| Duration::new(time.seconds as u64, time.nanoseconds as u32))
}

#[cfg(not(target_os = "linux"))]
pub fn thread_time(_: u32) -> Option<Duration> {
    None
}
