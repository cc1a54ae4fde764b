//! Time in milliseconds: samples, their median and spread, and how often to repeat what is too short for the clock. The
//! durations below are judgements: long enough for steady medians, short enough that a quick run takes a minute.

use crate::quiet;
use std::time::{Duration, Instant};

/// At least so many milliseconds a sample lasts. What interrupts a core for a moment then changes it little.
const SAMPLE: f64 = 5.0;
/// So many milliseconds each contestant (the library, a way to a limit, or a peer) runs before each sample, to fill the caches,
/// and until the system has spread threads that were just woken over the cores, which it does at its ticks (4 ms).
const WARM: f64 = 8.0;
/// A repetition that takes so many milliseconds needs no other before it: what the caches held before is a small part.
const LONG: f64 = 40.0;
/// So many milliseconds a contestant may take for a row, in all rounds together; a run's `patience` multiplies it.
pub const BUDGET: f64 = 500.0;
const ROUNDS: usize = 9;
/// A row's rounds go on, without the peers, until its share is known so well (a third of what two runs may differ by), or there
/// were so many.
pub const KNOWN: f64 = 0.03;
pub const MOST_ROUNDS: usize = 45;
/// A row has so many rounds before its share counts as known: its threads may sleep for some rounds and be awake for others.
pub const LEAST_ROUNDS: usize = 15;
/// Rounds of a row that takes longer than its budget allows.
const FEW_ROUNDS: usize = 5;
/// A contestant whose first call takes longer is timed by that call alone.
pub const SLOW: f64 = 2000.0;
/// A peer whose first call takes longer is ended and has no time.
pub const ENDLESS: f64 = 10_000.0;

/// How long a peer's threads are watched at a time, and how long they are waited for at most.
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

    /// The ratios of samples to those of `other` that were taken in the same round, so that what slowed a whole round changes
    /// nothing.
    pub fn over(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// About how far the median would be from that of another run, relative to it: its standard error, where the samples lie as
    /// those of a normal distribution (1.25 times the deviation, which is 1.48 times half the distance between the quartiles).
    pub fn error(&self) -> f64 {
        1.85 * self.spread() / (self.len() as f64).sqrt()
    }

    /// The larger of two samples in each round.
    pub fn larger(&self, other: &Samples) -> Samples {
        Samples(self.0.iter().zip(&other.0).map(|(a, b)| a.max(*b)).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The value below which the given part of the samples lies, interpolated; NaN without samples.
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

    /// Half the distance between the quartiles, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }
}

/// Times repetitions in batches: a warm-up that does not count, then a batch that does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The number of repetitions in a sample.
    pub batch: usize,
    /// The time of a repetition as `calibrate` found it.
    pub ms: f64,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { batch: 1, ms: 0.0 }
    }
}

/// Milliseconds of one call.
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

    /// As `calibrate`, for a function that is given the number of repetitions.
    pub fn calibrate_rounds(&mut self, f: &mut impl FnMut(usize)) {
        self.batch = 1;
        loop {
            self.ms = time(|| f(self.batch)) / self.batch as f64;
            let wanted = (SAMPLE / self.ms.max(1e-9)).ceil();
            if wanted <= self.batch as f64 * 2.0 {
                self.batch = wanted.max(1.0) as usize;
                return;
            }
            // the number grows by steps of 16 at most, because the first call may be far slower than those that follow
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

    /// The number of rounds that fit the budget at this time of a repetition.
    pub fn rounds(&self, patience: f64) -> usize {
        let round = WARM.max(self.ms) + self.ms * self.batch as f64;
        ((BUDGET * patience / round) as usize).clamp(FEW_ROUNDS, ROUNDS)
    }
}

/// Waits until the threads of a peer's process have stopped, which may spin after their work: OpenMP's for some milliseconds,
/// OpenBLAS's for up to a tenth of a second. What they still do would be taken from whoever has the next turn.
pub fn rest(process: Option<u32>) {
    let start = Instant::now();
    let mut then = process.and_then(quiet::thread_time);
    while start.elapsed() < RESTED {
        std::thread::sleep(STEP);
        let now = process.and_then(quiet::thread_time);
        let Some((before, after)) = then.zip(now) else {
            // where the threads' times are not known, most have stopped by then
            std::thread::sleep(STEP);
            return;
        };
        if after.saturating_sub(before) < STEP / 20 {
            return;
        }
        then = now;
    }
}

/// A time as `150 ns` or `1.23 ms`.
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
