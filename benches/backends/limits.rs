//! The machine's limits, measured in the same run as each row: how fast as many bytes as the row's can be copied or read (the
//! best of plain and streaming stores, on one thread and on all), and how fast multiply-adds can run.

use crate::timing::{Clock, Samples};
use crate::work::Case;
use cupric::{Array, DType, Device, Result, ones};
use std::collections::HashMap;
use std::hint::black_box;

/// The bytes of the arrays for which the report's summary states the rates: 40 MB, as the rows of ten million f32 have.
const SUMMARY: f64 = 40e6;
/// Multiply-adds of each chain in one call: enough that starting the threads takes little of the time. A judgement.
const MULTIPLY_ADDS: usize = 1 << 15;

/// What is measured: bytes copied, bytes read, or operations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    Copy,
    Read,
    /// Multiply-adds in f32 or f64.
    Fma32,
    Fma64,
}

/// One way to reach a limit. The fastest way of a kind is the limit.
#[derive(Clone, Copy, Debug)]
struct Way {
    kind: Kind,
    threads: bool,
    streaming: bool,
}

/// A way over `words` words of 64 bits, ready to be timed in turn with a row. `amount` is its bytes or operations.
pub struct Probe {
    way: Way,
    words: usize,
    clock: Clock,
    amount: f64,
}

/// The memory in which the host's limits are measured, and the fastest way of each kind and size that was tried.
#[derive(Default)]
pub struct Host {
    from: Vec<u64>,
    to: Vec<u64>,
    best: HashMap<(Kind, usize), Way>,
}

impl Host {
    /// Returns the fastest way of a kind at a size; the ways of a size are tried once.
    pub fn probe(&mut self, kind: Kind, bytes: f64) -> Probe {
        let words = match kind {
            Kind::Copy => (bytes / 16.0) as usize,
            Kind::Read => (bytes / 8.0) as usize,
            Kind::Fma32 | Kind::Fma64 => 0,
        };
        if self.from.len() < words {
            self.from.resize(words, 0x3f80_0000_3f80_0000);
        }
        if kind == Kind::Copy && self.to.len() < words {
            self.to.resize(words, 1);
        }
        if let Some(way) = self.best.get(&(kind, words)) {
            let mut probe = Probe::new(*way, words);
            probe.calibrate(self);
            return probe;
        }
        // all ways of a kind do the same amount of work, so their times can be compared
        let mut ways = ways(kind);
        let first = ways.remove(0);
        let (mut best, mut ms) = self.try_way(first, words);
        for way in ways {
            let (probe, other) = self.try_way(way, words);
            if other < ms {
                (best, ms) = (probe, other);
            }
        }
        self.best.insert((kind, words), best.way);
        best
    }

    fn try_way(&mut self, way: Way, words: usize) -> (Probe, f64) {
        let mut probe = Probe::new(way, words);
        probe.calibrate(self);
        let mut samples = Samples::default();
        (0..2).for_each(|_| probe.sample(self, &mut samples));
        (probe, samples.median())
    }

    /// The rate at the summary's size in bytes or operations a second.
    pub fn rate(&mut self, kind: Kind) -> f64 {
        let probe = self.probe(kind, if kind == Kind::Copy { 2.0 * SUMMARY } else { SUMMARY });
        let mut samples = Samples::default();
        (0..4).for_each(|_| probe.sample(self, &mut samples));
        probe.rate(&samples)
    }
}

fn ways(kind: Kind) -> Vec<Way> {
    let way = |threads, streaming| Way { kind, threads, streaming };
    match kind {
        Kind::Copy => vec![way(false, false), way(true, false), way(false, true), way(true, true)],
        Kind::Read => vec![way(false, false), way(true, false)],
        Kind::Fma32 | Kind::Fma64 => vec![way(true, false)],
    }
}

impl Probe {
    fn new(way: Way, words: usize) -> Probe {
        let threads = rayon::current_num_threads() as f64;
        let amount = match way.kind {
            Kind::Copy => 16.0 * words as f64,
            Kind::Read => 8.0 * words as f64,
            Kind::Fma32 => threads * crate::simd::fma_f32_ops(MULTIPLY_ADDS),
            Kind::Fma64 => threads * crate::simd::fma_f64_ops(MULTIPLY_ADDS),
        };
        Probe { way, words, clock: Clock::default(), amount }
    }

    fn once(&self, host: &mut Host) {
        let from = &host.from[..self.words];
        match self.way {
            Way { kind: Kind::Copy, threads, streaming } => {
                let copy = if streaming { crate::simd::copy_streaming } else { <[u64]>::copy_from_slice };
                let to = &mut host.to[..self.words];
                if !threads {
                    return copy(black_box(to), from);
                }
                let chunk = self.words.div_ceil(rayon::current_num_threads()).max(1);
                rayon::scope(|s| {
                    for (from, to) in from.chunks(chunk).zip(to.chunks_mut(chunk)) {
                        s.spawn(move |_| copy(to, from));
                    }
                });
            }
            Way { kind: Kind::Read, threads: false, .. } => {
                black_box(crate::simd::read(black_box(from)));
            }
            Way { kind: Kind::Read, .. } => {
                let chunk = self.words.div_ceil(rayon::current_num_threads()).max(1);
                rayon::scope(|s| {
                    for from in from.chunks(chunk) {
                        s.spawn(move |_| {
                            black_box(crate::simd::read(from));
                        });
                    }
                });
            }
            Way { kind: Kind::Fma32, .. } => {
                rayon::broadcast(|_| black_box(crate::simd::fma_f32(MULTIPLY_ADDS)));
            }
            Way { kind: Kind::Fma64, .. } => {
                rayon::broadcast(|_| black_box(crate::simd::fma_f64(MULTIPLY_ADDS)));
            }
        }
    }

    fn calibrate(&mut self, host: &mut Host) {
        let mut clock = Clock::default();
        clock.calibrate(|| self.once(host));
        self.clock = clock;
    }

    /// Adds a few samples.
    pub fn sample(&self, host: &mut Host, into: &mut Samples) {
        self.clock.sample(into, || self.once(host));
    }

    pub fn counts_operations(&self) -> bool {
        matches!(self.way.kind, Kind::Fma32 | Kind::Fma64)
    }

    /// Bytes or operations a second. Other processes only ever slow a limit, so quick samples count: of multiply-adds the
    /// quickest, which no cache can make too quick, and of copies and reads the lower quartile.
    pub fn rate(&self, samples: &Samples) -> f64 {
        let ms = match self.way.kind {
            Kind::Copy | Kind::Read => samples.undisturbed(),
            Kind::Fma32 | Kind::Fma64 => samples.min(),
        };
        self.amount / ms * 1e3
    }
}

/// A GPU's limits, measured with simple kernels of the library, because the harness has no other way to run any.
#[derive(Default)]
pub struct Gpu {
    copies: HashMap<usize, f64>,
    fma: Option<f64>,
}

impl Gpu {
    /// Bytes a second of a kernel that reads and writes `bytes` in all. It negates each element, which takes no time beside
    /// moving it.
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
        // 800 MB are far more than any cache holds
        Ok([self.copy(device, 20.0 * SUMMARY)?, self.fma(device)?])
    }

    /// Operations a second of a long chain of products and sums. The library computes formulas as written and never contracts
    /// them to fused multiply-adds, so the GPU's own peak may be twice this.
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

/// The quickest of several samples, in milliseconds.
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

/// Which rates limit a case on the host: one of bytes, one of operations; none where a case has no such work.
pub fn kinds(case: &Case<'_>) -> (Option<Kind>, Option<Kind>) {
    if case.work.unlimited {
        return (None, None);
    }
    let bytes = if case.work.reads { Kind::Read } else { Kind::Copy };
    let fma = if case.work.dtype == DType::F64 { Kind::Fma64 } else { Kind::Fma32 };
    ((case.bytes() > 0.0).then_some(bytes), (case.flops() > 0.0).then_some(fma))
}
