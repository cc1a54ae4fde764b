//! Measures a row on a device. The library, its limits and the peers take turns, in another order in each round, so
//! that a drift of the machine's speed affects all of them alike. A share or a ratio is the median over the rounds.

use crate::limits::{Gpu, Limit};
use crate::peers::{Time, Timed, Worker};
use crate::quiet::{Noise, Watch};
use crate::sentinel::Sentinel;
use crate::timing::{self, Clock, Samples};
use crate::ulp;
use crate::work::{Case, Run};
use cupric::{Array, DType, Device, Result};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

/// A row that is disturbed is measured again, at most this many times in all.
const ATTEMPTS: usize = 3;

/// A device and the name that options and reports use for it.
#[derive(Clone)]
pub struct Target {
    pub name: String,
    pub device: Device,
}

/// The results of a row on a device.
pub struct Record {
    pub work: String,
    pub text: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub device: String,
    pub samples: Samples,
    /// The time of the kernels by the GPU's own clock. There are no samples if it has no clock.
    pub gpu: Samples,
    pub bytes: f64,
    pub flops: f64,
    /// The time that the row would take at its limit, with a sample for each of the row's, or none without a limit.
    pub limit: Samples,
    /// The name of the limit: the way that was fastest. On a GPU there is no name.
    pub limit_text: Option<String>,
    pub peers: Vec<Timed>,
    /// The largest difference from the first device's result, in units in the last place.
    pub ulp: Option<f64>,
    pub noise: Noise,
    /// The maximum number of bytes that a repetition had in use besides its inputs, if this is measured.
    pub memory: Option<usize>,
    pub error: Option<String>,
}

impl Record {
    fn new(case: &Case<'_>, target: &Target) -> Record {
        Record {
            work: case.work.name.into(),
            text: case.work.text.into(),
            dtype: case.work.dtype.name().into(),
            shape: case.shape.clone(),
            device: target.name.clone(),
            samples: Samples::default(),
            gpu: Samples::default(),
            bytes: case.bytes(),
            flops: case.flops(),
            limit: Samples::default(),
            limit_text: None,
            peers: vec![],
            ulp: None,
            noise: Noise::default(),
            memory: None,
            error: None,
        }
    }

    pub fn ms(&self) -> f64 {
        self.samples.median()
    }

    /// Returns the median of the times by the GPU's own clock, if there are any.
    pub fn gpu_ms(&self) -> Option<f64> {
        (!self.gpu.is_empty()).then(|| self.gpu.median())
    }

    pub fn limit_ms(&self) -> Option<f64> {
        (!self.limit.is_empty()).then(|| self.limit.median())
    }

    pub fn fraction(&self) -> Option<f64> {
        Some(self.limit.over(&self.samples).median()).filter(|f| f.is_finite())
    }

    /// Returns a peer's time divided by the row's time, or none if the peer has no time.
    pub fn ratio(&self, peer: &Timed) -> Option<f64> {
        match &peer.time {
            Time::Samples(s) if !s.is_empty() => Some(s.over(&self.samples).median()),
            _ => None,
        }
    }

    /// Returns whether the row is more than a tenth faster than its limit. Then the limit is wrong; a tenth may be
    /// noise.
    pub fn too_good(&self) -> bool {
        self.fraction().is_some_and(|f| f > 1.1)
    }

    /// Returns whether the rate is stated in operations rather than bytes. A row with more than 4 operations per byte
    /// is limited by arithmetic on common machines.
    pub fn computes(&self) -> bool {
        self.flops > 4.0 * self.bytes
    }

    /// Returns the rate, in GFLOP/s if the row computes, and otherwise in GB/s.
    pub fn rate(&self) -> f64 {
        (if self.computes() { self.flops } else { self.bytes }) / self.ms() / 1e6
    }
}

/// The state that a run keeps from row to row.
#[derive(Default)]
pub struct Bench {
    pub workers: Vec<Worker>,
    pub gpus: HashMap<String, Gpu>,
    /// A factor on the time that a row may take: 1 for `--quick`, else 2.
    pub patience: f64,
    /// Watches the speed of the machine itself, if this is wanted.
    pub sentinel: Option<Sentinel>,
}

/// A contestant, which is timed once in each round: the row, a way to a limit, or a peer.
#[derive(Clone, Copy)]
enum Slot {
    Row,
    /// The index of a limit, and of one of its ways.
    Limit(usize, usize),
    /// The index of a worker, and of one of its peers.
    Peer(usize, usize),
}

/// The samples of all slots from one attempt to measure a row.
#[derive(Default)]
struct Attempt {
    row: Samples,
    gpu: Samples,
    /// The samples of each way of each limit.
    limits: Vec<Vec<Samples>>,
    /// The peers of each worker, with their samples.
    peers: Vec<Vec<Timed>>,
    noise: Noise,
}

/// A row that is ready to run, and the number of repetitions for a sample.
struct Ready<'a> {
    run: Run,
    device: &'a Device,
    enqueued: bool,
    clock: Clock,
    failed: Result<()>,
}

impl Ready<'_> {
    fn repeat(&mut self, n: usize) {
        let mut all = || -> Result<()> {
            for _ in 0..n {
                black_box((self.run)()?);
            }
            if self.enqueued { Ok(()) } else { self.device.synchronize() }
        };
        if self.failed.is_ok() {
            self.failed = all();
        }
    }

    fn sample(&mut self, row: &mut Samples, gpu: &mut Samples) -> Result<()> {
        let clock = self.clock;
        if self.enqueued {
            // each repetition begins with nothing enqueued, and the wait before it is not timed
            let mut each = Samples::default();
            for _ in 0..clock.batch.max(1) {
                self.device.synchronize()?;
                each.push(timing::time(|| self.repeat(1)));
            }
            row.push(each.median());
        } else {
            clock.sample_rounds(row, &mut |n| self.repeat(n));
        }
        // these runs are not timed by the wall clock too, because reading the GPU's clock takes time itself
        if self.device.is_gpu() {
            let device = self.device;
            let batch = || {
                self.repeat(clock.batch);
                Ok(())
            };
            if let (_, Some(time)) = device.time_kernels(batch)? {
                gpu.push(time.as_secs_f64() * 1e3 / clock.batch as f64);
            }
        }
        Ok(())
    }
}

impl Bench {
    /// Restricts further rows to the peers of these names.
    pub fn only(&mut self, names: &[&str]) {
        self.workers.iter_mut().for_each(|w| w.only(names));
    }

    /// Measures a case on a device. The first device stores its result in `reference`; others compare with it.
    pub fn measure(&mut self, case: &Case<'_>, target: &Target, reference: &mut Option<Vec<Array>>) -> Record {
        let mut record = Record::new(case, target);
        if let Err(e) = self.fill(case, target, reference, &mut record) {
            record.error = Some(e.to_string());
        }
        record
    }

    fn fill(
        &mut self,
        case: &Case<'_>,
        t: &Target,
        reference: &mut Option<Vec<Array>>,
        out: &mut Record,
    ) -> Result<()> {
        let device = &t.device;
        let mut run = case.build(device)?;
        device.synchronize()?;
        let start = Instant::now();
        let results = run()?;
        device.synchronize()?;
        let first = start.elapsed().as_secs_f64() * 1e3;
        match reference {
            Some(expected) => out.ulp = ulp::largest(expected, &results)?,
            None => *reference = Some(results),
        }

        out.memory = memory(case, device)?;

        let mut ready = Ready { run, device, enqueued: case.work.enqueued, clock: Clock::default(), failed: Ok(()) };
        let once = first > timing::SLOW;
        if !once {
            let mut clock = Clock::default();
            clock.calibrate_rounds(&mut |n| ready.repeat(n));
            ready.clock = clock;
        }
        let kind = if device.is_gpu() { "gpu" } else { "cpu" };
        let values = if self.workers.is_empty() { vec![] } else { case.values()? };
        let prepared: Vec<Vec<Timed>> = self.workers.iter_mut().map(|w| w.prepare(case, kind, &values)).collect();
        let mut limits = if device.is_gpu() { vec![] } else { Limit::of(case) };

        let mut best: Option<Attempt> = None;
        for _ in 0..ATTEMPTS {
            let mut attempt = Attempt { peers: prepared.clone(), ..Attempt::default() };
            if once {
                attempt.row.push(first);
            }
            self.rounds(&mut ready, &mut limits, &mut attempt)?;
            ready.failed.clone()?;
            // only work of other processes counts here: another speed of the machine outlasts a row, so `again`
            // measures it
            let quiet = !attempt.noise.others_are_felt();
            if best.as_ref().is_none_or(|b| attempt.noise.badness() < b.noise.badness()) {
                best = Some(attempt);
            }
            // a row that takes very long is not measured again
            if quiet || once {
                break;
            }
        }
        let found = best.unwrap_or_default();
        (out.limit, out.limit_text) = match device.is_gpu() {
            true => (self.gpu_limit(case, t, found.row.len())?, None),
            false => host_limit(&limits, &found.limits),
        };
        (out.samples, out.gpu, out.noise) = (found.row, found.gpu, found.noise);
        out.peers = found.peers.into_iter().flatten().collect();
        Ok(())
    }

    /// Takes a sample of every slot in each of several rounds.
    fn rounds(&mut self, ready: &mut Ready<'_>, limits: &mut [Limit], into: &mut Attempt) -> Result<()> {
        let mut slots = vec![Slot::Row];
        slots.extend(limits.iter().enumerate().flat_map(|(i, l)| (0..l.ways()).map(move |way| Slot::Limit(i, way))));
        slots.extend(
            into.peers.iter().enumerate().flat_map(|(w, peers)| (0..peers.len()).map(move |p| Slot::Peer(w, p))),
        );
        into.limits = limits.iter().map(|l| vec![Samples::default(); l.ways()]).collect();
        let once = !into.row.is_empty();
        let rounds = if once { 1 } else { ready.clock.rounds(self.patience) };
        let watch = Watch::start(self.workers.iter().filter_map(Worker::id).collect());
        let state = self.state();
        let start = Instant::now();
        for round in 0..timing::MOST_ROUNDS {
            if round >= rounds {
                // the row and its limits go on until the share is known, but the peers do not
                let spent = start.elapsed().as_secs_f64() * 1e3;
                let known = round >= timing::LEAST_ROUNDS && share(&into.row, &into.limits).error() < timing::KNOWN;
                if once || known || round > rounds && spent > 4.0 * timing::BUDGET * self.patience {
                    break;
                }
                slots.retain(|slot| !matches!(slot, Slot::Peer(..)));
            }
            for i in 0..slots.len() {
                match slots[(i + round) % slots.len()] {
                    Slot::Row if once => {}
                    Slot::Row => ready.sample(&mut into.row, &mut into.gpu)?,
                    Slot::Limit(i, way) => limits[i].sample(way, &mut into.limits[i][way]),
                    Slot::Peer(w, p) => {
                        if self.workers[w].sample(&mut into.peers[w][p], self.patience) {
                            timing::rest(self.workers[w].id());
                        }
                    }
                }
            }
        }
        into.noise = watch.end();
        into.noise.state = state.zip(self.state()).map(|(a, b)| a.min(b));
        Ok(())
    }

    /// Returns the machine's present speed as a part of its best speed, if this is watched.
    fn state(&mut self) -> Option<f64> {
        self.sentinel.as_mut().map(Sentinel::state)
    }

    /// Returns the limit on a GPU, as `samples` equal samples. It is measured once for each size.
    fn gpu_limit(&mut self, case: &Case<'_>, target: &Target, samples: usize) -> Result<Samples> {
        let mut out = Samples::default();
        // a GPU's rate of f64 is not measured, so there is no limit
        let unknown = case.flops() > 0.0 && case.work.dtype == DType::F64;
        if case.work.unlimited || case.work.transfer || unknown {
            return Ok(out);
        }
        let gpu = self.gpus.entry(target.name.clone()).or_default();
        let mut limit = case.bytes() / gpu.copy(&target.device, case.bytes())? * 1e3;
        if case.flops() > 0.0 {
            limit = limit.max(case.flops() / gpu.fma(&target.device)? * 1e3);
        }
        (0..samples).for_each(|_| out.push(limit));
        Ok(out)
    }
}

/// Returns the maximum number of bytes that a repetition of a checked row has in use besides its inputs, or none if
/// making the inputs took more. It opens a device for this, because a device knows only the peak since it was opened.
fn memory(case: &Case<'_>, device: &Device) -> Result<Option<usize>> {
    if !case.work.is_checked() {
        return Ok(None);
    }
    let device = device.with_memory_limit(1 << 40)?;
    let mut run = case.build(&device)?;
    device.synchronize()?;
    let before = device.memory();
    run()?;
    device.synchronize()?;
    let peak = device.memory().peak;
    Ok((peak > before.peak).then(|| peak - before.used))
}

/// Returns the share of the limit in each round, or the times of a row without a limit.
fn share(row: &Samples, limits: &[Vec<Samples>]) -> Samples {
    best_ways(limits)
        .into_iter()
        .map(|(_, s)| s.clone())
        .reduce(|a, b| a.larger(&b))
        .map_or(row.clone(), |l| l.over(row))
}

/// Returns the way of each limit that has the smallest median, and its samples.
fn best_ways(limits: &[Vec<Samples>]) -> Vec<(usize, &Samples)> {
    let median = |(_, s): &(usize, &Samples)| s.median();
    limits.iter().filter_map(|ways| ways.iter().enumerate().min_by(|a, b| median(a).total_cmp(&median(b)))).collect()
}

/// Returns the limit in each round: the largest of the limits, each by the way that has the smallest median.
fn host_limit(limits: &[Limit], samples: &[Vec<Samples>]) -> (Samples, Option<String>) {
    let mut found: Option<(Samples, String)> = None;
    for (limit, (way, best)) in limits.iter().zip(best_ways(samples)) {
        found = Some(match found {
            None => (best.clone(), limit.text(way)),
            Some((other, text)) => {
                let text = if best.median() > other.median() { limit.text(way) } else { text };
                (other.larger(best), text)
            }
        });
    }
    found.map_or((Samples::default(), None), |(s, text)| (s, Some(text)))
}
