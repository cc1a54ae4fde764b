//! Measures a row on a device: the library, the limits and the peers in turn, in several rounds, so that a drift of the
//! machine's speed reaches all of them alike.

use crate::limits::{self, Gpu, Host, Kind, Probe};
use crate::peers::{Time, Timed, Worker};
use crate::timing::{self, Clock, Samples};
use crate::ulp;
use crate::work::Case;
use cupric::{Array, DType, Device, Result};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

/// A device under the name that options and reports use.
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
    /// The time of a GPU's kernels by its own clock; no samples where it has none.
    pub gpu: Samples,
    pub bytes: f64,
    pub flops: f64,
    pub limit_ms: Option<f64>,
    pub peers: Vec<Timed>,
    /// The largest difference from the first device's result, in units in the last place.
    pub ulp: Option<f64>,
    pub error: Option<String>,
}

impl Record {
    pub fn ms(&self) -> f64 {
        self.samples.median()
    }

    /// The median of the times by the GPU's own clock.
    pub fn gpu_ms(&self) -> Option<f64> {
        (!self.gpu.is_empty()).then(|| self.gpu.median())
    }

    pub fn fraction(&self) -> Option<f64> {
        self.limit_ms.map(|limit| limit / self.ms()).filter(|f| f.is_finite())
    }

    /// Whether the row is more than a tenth faster than its limit, which then must be wrong; a tenth may be noise.
    pub fn too_good(&self) -> bool {
        self.fraction().is_some_and(|f| f > 1.1)
    }

    /// Whether the rate is stated in operations rather than bytes: a row with more than 4 operations a byte is bound by
    /// computing on common machines.
    pub fn computes(&self) -> bool {
        self.flops > 4.0 * self.bytes
    }

    /// The rate in GFLOP/s if the row computes, else in GB/s.
    pub fn rate(&self) -> f64 {
        (if self.computes() { self.flops } else { self.bytes }) / self.ms() / 1e6
    }
}

/// What a run keeps from row to row.
#[derive(Default)]
pub struct Bench {
    pub workers: Vec<Worker>,
    pub host: Host,
    pub gpus: HashMap<String, Gpu>,
    /// A factor on the time that a row may take: 1 for `--quick`, else 2.
    pub patience: f64,
}

impl Bench {
    /// Measures a case on a device. `reference` holds the result of the first device, which sets it; others compare with it.
    pub fn measure(&mut self, case: &Case<'_>, target: &Target, reference: &mut Option<Vec<Array>>) -> Record {
        let mut record = Record {
            work: case.work.name.into(),
            text: case.work.text.into(),
            dtype: case.work.dtype.name().into(),
            shape: case.shape.clone(),
            device: target.name.clone(),
            samples: Samples::default(),
            gpu: Samples::default(),
            bytes: case.bytes(),
            flops: case.flops(),
            limit_ms: None,
            peers: vec![],
            ulp: None,
            error: None,
        };
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

        let mut failed = Ok(());
        let mut rounds_of = |n: usize| {
            let mut all = || -> Result<()> {
                for _ in 0..n {
                    black_box(run()?);
                }
                if case.work.enqueued { Ok(()) } else { device.synchronize() }
            };
            if failed.is_ok() {
                failed = all();
            }
        };
        let mut clock = Clock::default();
        let rounds = if first > timing::SLOW {
            out.samples.push(first);
            1
        } else {
            clock.calibrate_rounds(&mut rounds_of);
            clock.rounds(self.patience)
        };
        let kind = if device.is_gpu() { "gpu" } else { "cpu" };
        let mut peers: Vec<Vec<Timed>> = self.workers.iter_mut().map(|w| w.prepare(case, kind)).collect();
        let mut probes = self.probes(case, device);
        for _ in 0..rounds {
            if case.work.enqueued {
                device.synchronize()?;
                out.samples.push(timing::time(|| rounds_of(1)));
            } else if out.samples.len() != 1 {
                clock.sample_rounds(&mut out.samples, &mut rounds_of);
            }
            // these runs are not among the samples by wall clock, because reading the GPU's clock takes time itself
            if device.is_gpu() {
                let batch = || {
                    rounds_of(clock.batch);
                    Ok(())
                };
                if let (_, Some(time)) = device.time_kernels(batch)? {
                    out.gpu.push(time.as_secs_f64() * 1e3 / clock.batch as f64);
                }
            }
            for (probe, samples) in &mut probes {
                probe.sample(&mut self.host, samples);
            }
            for (worker, times) in self.workers.iter_mut().zip(&mut peers) {
                for peer in times {
                    worker.sample(peer);
                    if matches!(peer.time, Time::Samples(_)) {
                        timing::rest();
                    }
                }
            }
        }
        failed?;
        out.peers = peers.into_iter().flatten().collect();
        out.limit_ms = match device.is_gpu() {
            true => self.gpu_limit(case, t)?,
            false => host_limit(case, &probes),
        };
        Ok(())
    }

    /// The probes of the host's limits for a case, none for a GPU, each with samples to come.
    fn probes(&mut self, case: &Case<'_>, device: &Device) -> Vec<(Probe, Samples)> {
        if device.is_gpu() {
            return vec![];
        }
        let (bytes, fma) = limits::kinds(case);
        let probe = |kind: Kind| (self.host.probe(kind, case.bytes()), Samples::default());
        bytes.into_iter().chain(fma).map(probe).collect()
    }

    fn gpu_limit(&mut self, case: &Case<'_>, target: &Target) -> Result<Option<f64>> {
        if case.work.unlimited || case.work.transfer {
            return Ok(None);
        }
        let gpu = self.gpus.entry(target.name.clone()).or_default();
        let mut limit = case.bytes() / gpu.copy(&target.device, case.bytes())? * 1e3;
        if case.flops() > 0.0 {
            if case.work.dtype == DType::F64 {
                // a GPU's rate of f64 is not measured, so there is no limit
                return Ok(None);
            }
            limit = limit.max(case.flops() / gpu.fma(&target.device)? * 1e3);
        }
        Ok(Some(limit))
    }
}

fn host_limit(case: &Case<'_>, probes: &[(Probe, Samples)]) -> Option<f64> {
    let ms = |(probe, samples): &(Probe, Samples)| {
        let amount = if probe.counts_operations() { case.flops() } else { case.bytes() };
        amount / probe.rate(samples) * 1e3
    };
    probes.iter().map(ms).reduce(f64::max)
}
