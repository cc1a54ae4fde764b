//! The machine's limits, which are measured in turn with each row. The limit of memory is the time to move as many
//! arrays as the row, of the same size and layout in memory: the best of plain and streaming stores, on one thread and
//! on all. The limit of operations is the time of as many operations in chains of multiply-adds.

use crate::flow::{Flow, Pass};
use crate::timing::{Clock, Samples};
use crate::work::Case;
use cupric::{Array, DType, Device, Result, ones};
use std::collections::HashMap;
use std::hint::black_box;

/// The size of the arrays with which the rates in the report's summary are measured: 400 MB, which no cache holds.
const SUMMARY: f64 = 400e6;
/// Multiply-adds of each chain in one call, chosen by hand: enough that starting the threads takes little of the time.
const MULTIPLY_ADDS: usize = 1 << 15;
/// A way that at first takes more than this many times as long as the best way is not measured beside the row.
const HOPELESS: f64 = 1.4;

/// What a limit measures: passes over memory, or operations.
enum Kind {
    Memory(Vec<Pass>),
    /// Multiply-adds in f32 or f64.
    Fma32,
    Fma64,
}

/// One of the ways to run a limit's loop. The fastest way counts.
#[derive(Clone, Copy, Debug)]
struct Way {
    threads: usize,
    streaming: bool,
}

/// A limit of a row, with all ways that may be the fastest, ready to be timed in turn with the row.
pub struct Limit {
    kind: Kind,
    /// The row's bytes or operations, divided by the bytes or operations of one call.
    scale: f64,
    ways: Vec<(Way, Clock)>,
}

impl Limit {
    /// Returns the limits of a case on the CPU: one of memory and one of operations, each if the case has such work.
    pub fn of(case: &Case<'_>) -> Vec<Limit> {
        if case.work.unlimited {
            return vec![];
        }
        let mut limits = vec![];
        let (flows, flops) = (case.flows(), case.flops());
        if flows.iter().any(|f| f.bytes() > 0.0) {
            limits.push(Limit::memory(&flows));
        }
        if flops > 0.0 {
            limits.push(Limit::operations(case.work.dtype == DType::F64, flops));
        }
        limits
    }

    /// Returns the limit of passes over memory.
    pub fn memory(flows: &[Flow]) -> Limit {
        let passes: Vec<Pass> = flows.iter().map(Pass::new).collect();
        let moved: f64 = passes.iter().map(Pass::bytes).sum();
        let wanted: f64 = flows.iter().map(Flow::bytes).sum();
        let writes = passes.iter().any(Pass::writes);
        let all = rayon::current_num_threads();
        let threads = if all > 1 { vec![1, all] } else { vec![1] };
        let streaming: &[bool] = if writes { &[false, true] } else { &[false] };
        let ways = threads.iter().flat_map(|t| streaming.iter().map(|s| Way { threads: *t, streaming: *s })).collect();
        Limit::new(Kind::Memory(passes), wanted / moved, ways)
    }

    /// Returns the limit of `wanted` operations in f32, or in f64 if `double` is true.
    pub fn operations(double: bool, wanted: f64) -> Limit {
        let threads = rayon::current_num_threads();
        let (kind, each) = match double {
            true => (Kind::Fma64, crate::simd::fma_f64_ops(MULTIPLY_ADDS)),
            false => (Kind::Fma32, crate::simd::fma_f32_ops(MULTIPLY_ADDS)),
        };
        Limit::new(kind, wanted / (threads as f64 * each), vec![Way { threads, streaming: false }])
    }

    /// Tries each way, and keeps the ways that may turn out to be the fastest.
    fn new(kind: Kind, scale: f64, ways: Vec<Way>) -> Limit {
        let mut limit = Limit { kind, scale, ways: vec![] };
        let mut tried: Vec<(Way, Clock, f64)> = vec![];
        for way in ways {
            let (mut clock, mut samples) = (Clock::default(), Samples::default());
            clock.calibrate(|| limit.once(way));
            (0..2).for_each(|_| clock.sample(&mut samples, || limit.once(way)));
            tried.push((way, clock, samples.min()));
        }
        let best = tried.iter().map(|t| t.2).fold(f64::INFINITY, f64::min);
        limit.ways = tried.into_iter().filter(|t| t.2 <= HOPELESS * best).map(|t| (t.0, t.1)).collect();
        limit
    }

    /// Returns the number of ways that are kept.
    pub fn ways(&self) -> usize {
        self.ways.len()
    }

    fn once(&mut self, way: Way) {
        match &mut self.kind {
            Kind::Memory(passes) => passes.iter_mut().for_each(|pass| pass.run(way.threads, way.streaming)),
            Kind::Fma32 => drop(rayon::broadcast(|_| black_box(crate::simd::fma_f32(MULTIPLY_ADDS)))),
            Kind::Fma64 => drop(rayon::broadcast(|_| black_box(crate::simd::fma_f64(MULTIPLY_ADDS)))),
        }
    }

    /// Measures a way once, and adds a sample: the milliseconds that the row's work would take at this limit.
    pub fn sample(&mut self, way: usize, into: &mut Samples) {
        let (way, clock) = self.ways[way];
        let mut samples = Samples::default();
        clock.sample(&mut samples, || self.once(way));
        into.push(samples.median() * self.scale);
    }

    /// Returns the milliseconds of one call of the best way. A call before it does not count.
    pub fn quick(&mut self) -> f64 {
        let mut best = f64::INFINITY;
        for (way, _) in self.ways.clone() {
            self.once(way);
            best = best.min(crate::timing::time(|| self.once(way)));
        }
        best * self.scale
    }

    /// Returns the name of a way in the report.
    pub fn text(&self, way: usize) -> String {
        let Way { threads, streaming } = self.ways[way].0;
        let threads = if threads == 1 { "one thread".to_string() } else { format!("{threads} threads") };
        match self.kind {
            Kind::Memory(_) if streaming => format!("memory, {threads}, streaming stores"),
            Kind::Memory(_) => format!("memory, {threads}"),
            Kind::Fma32 => format!("f32 multiply-adds, {threads}"),
            Kind::Fma64 => format!("f64 multiply-adds, {threads}"),
        }
    }

    /// Returns the best median of the ways, in milliseconds.
    fn best(&mut self) -> f64 {
        let mut best = f64::INFINITY;
        for way in 0..self.ways.len() {
            let mut samples = Samples::default();
            (0..5).for_each(|_| self.sample(way, &mut samples));
            best = best.min(samples.median());
        }
        best
    }
}

/// Returns the CPU's rates for the head of a report, per second: bytes copied, bytes read, operations in f32 and in
/// f64.
pub fn summary() -> [f64; 4] {
    let copy = Flow { arrays: 1, read: SUMMARY, write: SUMMARY };
    let read = Flow { arrays: 1, read: SUMMARY, write: 0.0 };
    let rate = |mut limit: Limit, amount: f64| amount / limit.best() * 1e3;
    [
        rate(Limit::memory(&[copy]), copy.bytes()),
        rate(Limit::memory(&[read]), read.bytes()),
        rate(Limit::operations(false, 1e9), 1e9),
        rate(Limit::operations(true, 1e9), 1e9),
    ]
}

/// A GPU's limits, measured with simple kernels of the library, because the harness has no other way to run kernels.
#[derive(Default)]
pub struct Gpu {
    copies: HashMap<usize, f64>,
    fma: Option<f64>,
}

impl Gpu {
    /// Returns the bytes per second of a kernel that reads and writes `bytes` in all. The kernel negates each element,
    /// which takes no time beside moving it.
    pub fn copy(&mut self, device: &Device, bytes: f64) -> Result<f64> {
        let n = (bytes / 8.0).max(1.0) as usize;
        if let Some(rate) = self.copies.get(&n) {
            return Ok(*rate);
        }
        let from = ones([n], DType::F32).to_device(device)?;
        let mut to = ones([n], DType::F32).to_device(device)?;
        let ms = best(device, || to.assign(-&*from))?;
        let rate = 8.0 * n as f64 / ms * 1e3;
        self.copies.insert(n, rate);
        Ok(rate)
    }

    pub fn summary(&mut self, device: &Device) -> Result<[f64; 2]> {
        // 800 MB in all are far more than any cache holds
        Ok([self.copy(device, 2.0 * SUMMARY)?, self.fma(device)?])
    }

    /// Returns the operations per second of a long chain of products and sums. The library computes formulas as
    /// written, and never contracts them to fused multiply-adds, so the GPU's own peak may be twice this.
    pub fn fma(&mut self, device: &Device) -> Result<f64> {
        const LENGTH: usize = 256;
        const N: usize = 1 << 22;
        if let Some(rate) = self.fma {
            return Ok(rate);
        }
        let x = ones([N], DType::F32).to_device(device)?;
        let y = (&x * 0.5).eval()?;
        let chain = || (0..LENGTH).fold((*x).clone(), |acc, _| acc * &*y + &*x);
        let ms = best(device, || chain().eval().map(|_: Array| ()))?;
        let rate = 2.0 * (LENGTH * N) as f64 / ms * 1e3;
        self.fma = Some(rate);
        Ok(rate)
    }
}

/// Returns the fastest of several samples, in milliseconds.
fn best(device: &Device, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    device.synchronize()?;
    let mut clock = Clock::default();
    let mut failed = Ok(());
    let mut round = |n: usize| {
        let run = |_| f();
        if let Err(e) = (0..n).try_for_each(run).and_then(|()| device.synchronize()) {
            failed = Err(e);
        }
    };
    clock.calibrate_rounds(&mut round);
    let mut samples = Samples::default();
    (0..3).for_each(|_| clock.sample_rounds(&mut samples, &mut round));
    failed.map(|()| samples.min())
}
