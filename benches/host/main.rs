//! `cargo bench --bench host`: the time that the host spends on work for a GPU. Cold and warm starts are timed in new
//! processes: this program runs itself with an empty folder for the cache on disk, and then again with the filled
//! folder.

#[path = "../../examples/common/mod.rs"]
mod common;

use clap::Parser;
use cupric::{Array, Device, Expr, Result, eval_many};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const ABOUT: &str =
    "Times what a GPU costs the host: starts with an empty and with a filled cache on disk, evaluations that are
enqueued, and short reads. The first GPU is taken. The drivers' own caches on disk are off for the starts, where a variable turns
them off (Mesa's and NVIDIA's).";

#[derive(Parser)]
#[command(about = ABOUT)]
struct Options {
    /// Time one start and print it; this program runs itself with this option
    #[arg(long, hide = true)]
    start: bool,
    /// What cargo passes; without it one start is timed
    #[arg(long, hide = true)]
    bench: bool,
}

/// The number of kernels of the large plan.
const KERNELS: usize = 300;
/// The number of samples of which each time is the median. `STARTS` is the number for starts of a process.
const SAMPLES: usize = 15;
const STARTS: usize = 3;

fn main() -> ExitCode {
    let options: Options = common::arguments("host");
    // `cargo test --benches` passes no `--bench`; it only tests that the program runs
    common::finish("host", if options.start || !options.bench { start() } else { all() })
}

/// Names of measurements, and their milliseconds.
type Times = Vec<(String, f64)>;
type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn all() -> Outcome {
    let device = Device::gpu()?;
    println!("{device}");
    println!("\n{:<56}{:>12}{:>12}", "a process's first", "cold, ms", "warm, ms");
    let folder = std::env::temp_dir().join(format!("cupric-host-{}", std::process::id()));
    let mut starts = vec![];
    for _ in 0..STARTS {
        let (cold, warm) = (child(&folder), child(&folder));
        let _ = std::fs::remove_dir_all(&folder);
        starts.push((cold?, warm?));
    }
    for (row, (name, _)) in starts[0].0.iter().enumerate() {
        let middle = |of: fn(&(Times, Times)) -> &Times| {
            let mut times: Vec<f64> = starts.iter().map(|s| of(s)[row].1).collect();
            times.sort_unstable_by(f64::total_cmp);
            times[times.len() / 2]
        };
        println!("{name:<56}{:>12.1}{:>12.1}", middle(|s| &s.0), middle(|s| &s.1));
    }
    println!("\n{:<56}{:>12}", "every later", "µs");
    let x = Array::from_vec(vec![1.5f32; 1024], [1024])?.to_device(&device)?;
    let row = |name: &str, time: Duration| println!("{name:<56}{:>12.2}", time.as_secs_f64() * 1e6);
    row("x * 2 + x enqueued, of 1,024 elements, mean of 1,000", enqueue(&device, &x)? / 1000);
    row("4 KiB read, nothing enqueued", median(|| x.to_vec::<f32>().map(drop))?);
    row("x * 2 + x of 1,024 elements, with the read of the result", median(|| fused(&x).to_vec::<f32>().map(drop))?);
    row("eval_many of 1,000 kernels, to its return", thousand(&device)?);
    Ok(())
}

/// Starts this program as a new process, and returns the times that it prints.
fn child(folder: &Path) -> std::result::Result<Times, Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--start").env("CUPRIC_CACHE_DIR", folder);
    command.env("MESA_SHADER_CACHE_DISABLE", "true").env("__GL_SHADER_DISK_CACHE", "0");
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let times = String::from_utf8_lossy(&output.stdout);
    let time = |line: &str| line.split_once('\t').and_then(|(name, ms)| Some((name.to_string(), ms.parse().ok()?)));
    Ok(times.lines().filter_map(time).collect())
}

/// Prints how long the first steps of this process take, in milliseconds.
fn start() -> Outcome {
    let since = |name: &str, start: Instant| println!("{name}\t{}", start.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let device = match Device::gpu() {
        Ok(device) => device,
        Err(e) => {
            println!("{e}");
            return Ok(());
        }
    };
    since("device opened", begun);
    let x = Array::from_vec(vec![1.5f32; 1024], [1024])?.to_device(&device)?;
    let first = Instant::now();
    fused(&x).to_vec::<f32>()?;
    since("kernel, with the read of its result", first);
    let expressions = kernels(&device)?;
    let plan = Instant::now();
    eval_many(&expressions)?;
    since("plan of 300 kernels, to the end of its submission", plan);
    device.synchronize()?;
    since("the same, to the end of its kernels", plan);
    Ok(())
}

fn fused(x: &Array) -> Expr {
    x * 2.0 + x
}

/// Returns expressions that need different kernels: the base-3 digits of an expression's number choose its operations.
/// Their lengths differ too, so that no two of them become one kernel.
fn kernels(device: &Device) -> Result<Vec<Expr>> {
    let kernel = |n: usize| {
        let x = Array::from_vec(vec![1.5f32; 64 + n], [64 + n])?.to_device(device)?;
        Ok((0..6).fold(&x * 1.5, |y, digit| match n / 3usize.pow(digit) % 3 {
            0 => y.abs() + 1.0,
            1 => -y,
            _ => y.sqrt(),
        }))
    };
    (0..KERNELS).map(kernel).collect()
}

/// Returns the median of several runs, after one run that is not timed.
fn median(mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    run()?;
    let mut times = vec![];
    for _ in 0..SAMPLES * 5 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// Returns the host's time for 1,000 evaluations, without waiting for the device: the median of several thousands.
fn enqueue(device: &Device, x: &Array) -> Result<Duration> {
    let mut times = vec![];
    for _ in 0..=SAMPLES {
        device.synchronize()?;
        let start = Instant::now();
        for _ in 0..1000 {
            fused(x).eval()?;
        }
        times.push(start.elapsed());
    }
    times[1..].sort_unstable();
    Ok(times[1 + SAMPLES / 2])
}

/// Returns the host's time for one `eval_many` of 1,000 kernels. Their lengths differ, so no two become one kernel.
fn thousand(device: &Device) -> Result<Duration> {
    let array = |n: usize| Array::from_vec(vec![1.5f32; 64 + n], [64 + n])?.to_device(device);
    let arrays = (0..1000).map(array).collect::<Result<Vec<_>>>()?;
    let mut times = vec![];
    for _ in 0..=SAMPLES {
        let roots: Vec<Expr> = arrays.iter().map(fused).collect();
        device.synchronize()?;
        let (start, before) = (Instant::now(), device.stats().kernels);
        eval_many(&roots)?;
        times.push(start.elapsed());
        assert_eq!(device.stats().kernels - before, 1000);
    }
    times[1..].sort_unstable();
    Ok(times[1 + SAMPLES / 2])
}
