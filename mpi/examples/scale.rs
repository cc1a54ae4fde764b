//! The performance model of docs/SCALE.md: fits its constants to collectives timed here, and prints its predictions.
//!
//! ```text
//! mpirun -n 2 target/release/examples/scale            # times collectives, and fits latency and bandwidth
//! cargo run --release --example scale -- --predict     # the tables of docs/SCALE.md; measures nothing
//! ```

use cupric::{DType, Result, arange};
use cupric_mpi::{Comm, Reduce};
use std::time::Instant;

/// A network: seconds of a short message, bytes per second of a long one, and bytes that a rank adds per second.
#[derive(Clone, Copy)]
struct Network {
    name: &'static str,
    latency: f64,
    bandwidth: f64,
    adds: f64,
}

/// docs/SCALE.md gives the sources of these constants.
const NETWORKS: [Network; 3] = [
    Network { name: "Gigabit Ethernet, TCP", latency: 24.6e-6, bandwidth: 0.116e9, adds: 5e9 },
    Network { name: "40 Gb/s Ethernet, usNIC", latency: 1.93e-6, bandwidth: 4.65e9, adds: 5e9 },
    Network { name: "InfiniBand, UCX", latency: 0.90e-6, bandwidth: 10.3e9, adds: 5e9 },
];

impl Network {
    /// Seconds of an all-reduce by a ring: 2 (n - 1) messages of 1/n of the array, half of which are added.
    fn ring(self, n: f64, bytes: f64) -> f64 {
        let part = (n - 1.0) / n * bytes;
        2.0 * (n - 1.0) * self.latency + 2.0 * part / self.bandwidth + part / self.adds
    }

    /// Seconds of an all-reduce by recursive doubling: the whole array in each of log2 n steps.
    fn tree(self, n: f64, bytes: f64) -> f64 {
        n.log2().ceil() * (self.latency + bytes / self.bandwidth + bytes / self.adds)
    }

    /// Seconds of an all-reduce by halving and doubling (Rabenseifner): the bytes of a ring in 2 log2 n steps.
    fn halving(self, n: f64, bytes: f64) -> f64 {
        let part = (n - 1.0) / n * bytes;
        2.0 * n.log2().ceil() * self.latency + 2.0 * part / self.bandwidth + part / self.adds
    }

    /// Seconds of the fastest of the three methods, and of the 24 bytes by which the ranks agree on the call before.
    fn all_reduce(self, n: f64, bytes: f64) -> f64 {
        let best = self.ring(n, bytes).min(self.tree(n, bytes)).min(self.halving(n, bytes));
        if n < 2.0 { 0.0 } else { self.tree(n, 24.0) + best }
    }

    fn all_gather(self, n: f64, bytes: f64) -> f64 {
        // first a collective of the lengths, then n - 1 steps of a ring, and an agreement before each of the two
        let lengths = n.log2().ceil() * (self.latency + 8.0 * n / self.bandwidth);
        2.0 * self.tree(n, 24.0) + lengths + (n - 1.0) * self.latency + (n - 1.0) / n * bytes / self.bandwidth
    }
}

const RANKS: [f64; 6] = [1.0, 8.0, 64.0, 512.0, 4096.0, 10_000.0];

fn predict() {
    let head = RANKS.map(|n| format!("{n:.0}")).join(" | ");
    println!("all_reduce of 400 MB: milliseconds by ring, by halving, by tree\n| network | {head} |");
    for net in NETWORKS {
        let cell = |n: f64| match n < 2.0 {
            true => "0".into(),
            false => {
                let [a, b, c] = [net.ring(n, 4e8), net.halving(n, 4e8), net.tree(n, 4e8)].map(|t| t * 1e3);
                format!("{a:.0}, {b:.0}, {c:.0}")
            }
        };
        println!("| {} | {} |", net.name, RANKS.map(cell).join(" | "));
    }
    println!("\nbytes at which a ring is as fast as a tree, 64 ranks");
    for net in NETWORKS {
        let sizes = (0..400).map(|i| 1.1f64.powi(i));
        let cross = sizes.into_iter().find(|b| net.ring(64.0, *b) < net.tree(64.0, *b)).unwrap_or(f64::NAN);
        println!("{}: {:.0} KiB", net.name, cross / 1024.0);
    }
    println!(
        "\na data-parallel step: 100 M weights in f32, 16,384 tokens a rank at 20 TFLOP/s; efficiency without and with overlap"
    );
    println!("| network | {head} |");
    // 6 operations per weight and token; two thirds of the time is the backward pass, which hides all buckets but one
    let step = 6.0 * 1e8 * 16_384.0 / 20e12;
    for net in NETWORKS {
        let cell = |n: f64| {
            let buckets = (4e8f64 / (16.0 * 1048576.0)).ceil();
            let each = net.all_reduce(n, 4e8 / buckets);
            let plain = step / (step + each * buckets);
            let hidden = (each * (buckets - 1.0) - step * 2.0 / 3.0).max(0.0) + each;
            format!("{:.2}, {:.2}", plain, step / (step + hidden))
        };
        println!("| {} | {} |", net.name, RANKS.map(cell).join(" | "));
    }
    println!("\nbuckets at 512 ranks, 400 MB in all: seconds of all, and of the last, which nothing hides");
    for net in NETWORKS {
        let cell = |bytes: f64| {
            let count = (4e8 / bytes).ceil();
            let each = net.all_reduce(512.0, bytes);
            format!("{:.3} and {:.4}", each * count, each)
        };
        println!("| {} | {} |", net.name, [4096.0, 65536.0, 1048576.0, 16777216.0, 4e8].map(cell).join(" | "));
    }
    println!(
        "\na product of 65,536² f32, the left side divided by rows, 1 TFLOP/s a rank, the result gathered: seconds, efficiency"
    );
    println!("| network | {head} |");
    let work = 2.0 * 65_536f64.powi(3) / 1e12;
    for net in NETWORKS {
        let cell = |n: f64| {
            let time = work / n + if n > 1.0 { net.all_gather(n, 4.0 * 65_536f64.powi(2)) } else { 0.0 };
            format!("{:.2}, {:.2}", time, work / n / time)
        };
        println!("| {} | {} |", net.name, RANKS.map(cell).join(" | "));
    }
    println!("\nk-means: 10^9 rows of 16, 64 centres, 20 Mrow/s a rank: seconds a step, efficiency");
    println!("| network | {head} |");
    for net in NETWORKS {
        let cell = |n: f64| {
            let work = 1e9 / 20e6 / n;
            let time = work + net.all_reduce(n, 4.0 * (64.0 * 17.0 + 1.0));
            format!("{time:.4}, {:.2}", work / time)
        };
        println!("| {} | {} |", net.name, RANKS.map(cell).join(" | "));
    }
}

/// Returns the seconds of a collective: the median over the runs, on the slowest rank.
fn time(comm: &Comm, runs: usize, mut collective: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = vec![];
    for run in 0..runs + 3 {
        comm.barrier()?;
        let started = Instant::now();
        collective()?;
        // the first three runs plan and warm up, and do not count
        if run >= 3 {
            times.push(started.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    comm.all_reduce(cupric::array![times[times.len() / 2]], Reduce::Max)?.item::<f64>()
}

/// Fits `seconds = a + b · bytes` by least squares of the relative errors, so that short messages count too.
fn fit(points: &[(f64, f64)]) -> (f64, f64) {
    let sum = |f: &dyn Fn(f64, f64) -> f64| points.iter().map(|(x, t)| f(*x, *t) / (t * t)).sum::<f64>();
    let (w, x, xx, t, xt) = (sum(&|_, _| 1.0), sum(&|x, _| x), sum(&|x, _| x * x), sum(&|_, t| t), sum(&|x, t| x * t));
    let b = (w * xt - x * t) / (w * xx - x * x);
    ((t - b * x) / w, b)
}

fn measure(comm: &Comm) -> Result<()> {
    let sizes = [1usize, 256, 4096, 65_536, 1 << 20, 1 << 22, 1 << 24];
    for name in ["barrier", "all_reduce", "broadcast", "all_gather"] {
        let mut points = vec![];
        for n in sizes {
            let x = arange(0, n, 1, DType::F32).eval()?;
            let runs = (2_000_000 / n).clamp(5, 100);
            let seconds = time(comm, runs, || match name {
                "barrier" => comm.barrier(),
                "all_reduce" => comm.all_reduce(&x, Reduce::Sum).map(drop),
                "broadcast" => comm.broadcast(&x, 0).map(drop),
                _ => comm.all_gather(&x, 0).map(drop),
            })?;
            points.push((4.0 * n as f64, seconds));
            if name == "barrier" {
                break;
            }
        }
        if comm.rank() == 0 {
            let (a, b) = if points.len() > 1 { fit(&points) } else { (points[0].1, 0.0) };
            let off = |(x, t): &(f64, f64)| format!("{:.1} us ({:+.0} %)", t * 1e6, ((a + b * x) / t - 1.0) * 100.0);
            let all: Vec<String> = points.iter().map(off).collect();
            println!("{} ranks, {name}: {:.1} us + {:.3} ns a byte; {}", comm.size(), a * 1e6, b * 1e9, all.join(", "));
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    if std::env::args().any(|arg| arg == "--help") {
        println!("Usage: [mpirun -n N] scale [--predict]");
        return Ok(());
    }
    if std::env::args().any(|arg| arg == "--predict") {
        predict();
        return Ok(());
    }
    Comm::run(measure)
}
