//! Time: samples, their median and spread, and how often to repeat what is too short for the clock.

use std::time::{Duration, Instant};

/// A sample lasts about so long.
const SAMPLE: f64 = 2.0;
/// So long each has the machine for itself before a sample.
const WARM: f64 = 4.0;
/// Once round the table, a row may take so many milliseconds for each contestant.
pub const BUDGET: f64 = 250.0;
const MOST_ROUNDS: usize = 7;
/// What takes longer the first time is timed once.
pub const SLOW: f64 = 2000.0;
/// What takes longer is not waited for.
pub const ENDLESS: f64 = 10_000.0;

/// Milliseconds of one repetition, several times.
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

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The value below which a part of the samples lies; NaN of nothing.
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

    /// The lower quartile: what a machine gives when it is left alone, without the luck of the very best.
    pub fn undisturbed(&self) -> f64 {
        self.quantile(0.25)
    }

    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// Half the distance between the quartiles, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }
}

/// Times repetitions in batches: a warm-up that does not count, then two batches that do.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Repetitions in a sample.
    pub batch: usize,
    /// Of a repetition, roughly.
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

    /// The same for a function that repeats by itself.
    pub fn calibrate_rounds(&mut self, f: &mut impl FnMut(usize)) {
        self.batch = 1;
        loop {
            self.ms = time(|| f(self.batch)) / self.batch as f64;
            let wanted = (SAMPLE / self.ms.max(1e-9)).ceil();
            if wanted <= self.batch as f64 * 2.0 {
                self.batch = wanted.max(1.0) as usize;
                return;
            }
            // the first call may be far slower than those that follow: up in steps
            self.batch = (wanted.min(self.batch as f64 * 16.0)) as usize;
        }
    }

    pub fn sample(&self, into: &mut Samples, mut f: impl FnMut()) {
        self.sample_rounds(into, &mut |n| (0..n).for_each(|_| f()));
    }

    pub fn sample_rounds(&self, into: &mut Samples, f: &mut impl FnMut(usize)) {
        // the others' arrays go out of the caches, one's own come back: not all of them at once
        f((WARM / self.ms.max(1e-9)).ceil().clamp(1.0, 2.0 * self.batch as f64) as usize);
        for _ in 0..2 {
            into.push(time(|| f(self.batch)) / self.batch as f64);
        }
    }

    /// How many rounds to give what takes so long.
    pub fn rounds(&self, patience: f64) -> usize {
        let round = self.ms * (1 + 2 * self.batch) as f64;
        ((BUDGET * patience / round) as usize).clamp(2, MOST_ROUNDS)
    }
}

/// Lets other processes' threads, which spin for a while after their work, come to rest.
pub fn rest() {
    std::thread::sleep(Duration::from_millis(10));
}

/// `150 ns`, `1.23 ms`.
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
