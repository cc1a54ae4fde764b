//! Time in milliseconds: samples, their median and spread, and how often to repeat work that is too short for the
//! clock. The durations below are chosen by hand: long enough for steady medians, short enough that a quick run takes a
//! minute.

use crate::quiet;
use std::time::{Duration, Instant};

/// The least duration of a sample, in milliseconds. A short interruption of a core then changes it little.
const SAMPLE: f64 = 5.0;
/// The milliseconds for which each contestant (the library, a way to a limit, or a peer) runs before each sample. This
/// fills the caches, and gives the system time to spread woken threads over the cores, which it does at its ticks (4
/// ms).
const WARM: f64 = 8.0;
/// A repetition that takes this many milliseconds needs no warm-up, because the caches' first content matters little.
const LONG: f64 = 40.0;
/// The milliseconds that a contestant may take for a row, in all rounds together. They are multiplied by `patience`.
pub const BUDGET: f64 = 500.0;
const ROUNDS: usize = 9;
/// A row's rounds go on, without the peers, until the relative error of its share is below `KNOWN` (a third of the
/// difference that two runs may have), or until there were `MOST_ROUNDS`.
pub const KNOWN: f64 = 0.03;
pub const MOST_ROUNDS: usize = 45;
/// The rounds before a row's share counts as known, because its threads may sleep in some rounds and not in others.
pub const LEAST_ROUNDS: usize = 15;
/// The number of rounds of a row that takes longer than its budget allows.
const FEW_ROUNDS: usize = 5;
/// A contestant whose first call takes more milliseconds than this is timed by that call alone.
pub const SLOW: f64 = 2000.0;
/// A peer whose first call takes more milliseconds than this is ended, and has no time.
pub const ENDLESS: f64 = 10_000.0;

/// How long a peer's threads are watched at a time. `RESTED` is the longest wait for them.
const STEP: Duration = Duration::from_millis(3);
const RESTED: Duration = Duration::from_millis(200);

/// Samples: each is the mean time of one repetition, in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, ms: f64) {
        self.0.push(ms);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the ratios of the samples to the samples of `other` from the same rounds. A slow round thus changes
    /// nothing.
    pub fn over(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Returns about how far the median would be from the median of another run, relative to it: the standard error of
    /// the median for samples of a normal distribution (1.25 times the deviation, which is 1.48 times half the distance
    /// between the quartiles).
    pub fn error(&self) -> f64 {
        1.85 * self.spread() / (self.len() as f64).sqrt()
    }

    /// Returns the larger of the two samples of each round.
    pub fn larger(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(a, b)| a.max(*b)).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// Returns the value below which the part `part` of the samples lies, interpolated, or NaN without samples.
    fn quantile(&self, part: f64) -> f64 {
        let sorted = self.sorted();
        let at = part * sorted.len().saturating_sub(1) as f64;
        match (sorted.get(at.floor() as usize), sorted.get(at.ceil() as usize)) {
            (Some(a), Some(b)) => a + (b - a) * at.fract(),
            _ => f64::NAN,
        }
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Returns half the distance between the quartiles, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }
}

/// Times repetitions in batches: a warm-up that does not count, then a batch that does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The number of repetitions in a sample.
    pub batch: usize,
    /// The milliseconds of a repetition, as `calibrate` found them.
    pub ms: f64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { batch: 1, ms: 0.0 }
    }
}

/// Returns the milliseconds of one call.
pub fn time(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64() * 1e3
}

impl Clock {
    /// Finds how many repetitions make a sample.
    pub fn calibrate(&mut self, mut f: impl FnMut()) {
        self.calibrate_rounds(&mut |n| (0..n).for_each(|_| f()));
    }

    /// Finds how many repetitions make a sample, for a function that gets the number of repetitions.
    pub fn calibrate_rounds(&mut self, f: &mut impl FnMut(usize)) {
        self.batch = 1;
        loop {
            self.ms = time(|| f(self.batch)) / self.batch as f64;
            let wanted = (SAMPLE / self.ms.max(1e-9)).ceil();
            if wanted <= self.batch as f64 * 2.0 {
                self.batch = wanted.max(1.0) as usize;
                return;
            }
            // the number grows at most 16-fold at a time, because the first call may be far slower than later calls
            self.batch = (wanted.min(self.batch as f64 * 16.0)) as usize;
        }
    }

    pub fn sample(&self, into: &mut Samples, mut f: impl FnMut()) {
        self.sample_rounds(into, &mut |n| (0..n).for_each(|_| f()));
    }

    pub fn sample_rounds(&self, into: &mut Samples, f: &mut impl FnMut(usize)) {
        let warm = if self.ms > LONG { 0.0 } else { (WARM / self.ms.max(1e-9)).ceil() };
        if warm > 0.0 {
            f((warm as usize).clamp(1, 2 * self.batch));
        }
        into.push(time(|| f(self.batch)) / self.batch as f64);
    }

    /// Returns the number of rounds that fit into the budget if a repetition takes `ms`.
    pub fn rounds(&self, patience: f64) -> usize {
        let round = WARM.max(self.ms) + self.ms * self.batch as f64;
        ((BUDGET * patience / round) as usize).clamp(FEW_ROUNDS, ROUNDS)
    }
}

/// Waits until the threads of a peer's process are idle. Threads may spin after their work: OpenMP's for some
/// milliseconds, OpenBLAS's for up to a tenth of a second. This would slow the contestant that has the next turn.
pub fn rest(process: Option<u32>) {
    let start = Instant::now();
    let mut then = process.and_then(quiet::thread_time);
    while start.elapsed() < RESTED {
        std::thread::sleep(STEP);
        let now = process.and_then(quiet::thread_time);
        let Some((before, after)) = then.zip(now) else {
            // if the threads' times are not known, wait one step more, after which most have stopped
            std::thread::sleep(STEP);
            return;
        };
        if after.saturating_sub(before) < STEP / 20 {
            return;
        }
        then = now;
    }
}

/// Formats a time as `150 ns` or `1.23 ms`.
pub fn text(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => "—".into(),
        ms if ms < 1e-3 => format!("{:.0} ns", ms * 1e6),
        ms if ms < 0.1 => format!("{:.1} µs", ms * 1e3),
        ms if ms < 1.0 => format!("{:.0} µs", ms * 1e3),
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1e3 => format!("{ms:.1} ms"),
        ms => format!("{:.2} s", ms / 1e3),
    }
}
