//! Times the kernels of the rows on the machine's own GPU, beside their modelled shares of its memory speed.

use crate::Options;
use crate::budget::{self, Measured};
use crate::cards;
use crate::driver::{Driver, Result};
use crate::list::{self, Row};
use cupric::testing::{Tile, Tiles, gpu_with_tiles, kernels_within, shader_checks};
use cupric::{Device, Expr, ProfileEvent, eval_many};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a row is evaluated before it is timed. The first evaluation compiles its kernels. On an H100, kernels that
/// ran right after a long compilation took up to four times as long, probably because the card's clock had fallen.
const WARM: Duration = Duration::from_millis(400);
/// The least number of evaluations before a row is timed.
const LEAST: usize = 3;
/// How often a row is timed. The median of a kernel's times is printed.
const ROUNDS: usize = 9;
/// The number of evaluations between two waits for the device, for the time of an evaluation including the host's work.
const BATCH: usize = 16;

/// Times rows on the first GPU, and prints a line for each kernel. `rate` is the number of operations that the modelled
/// card issues while it moves a byte.
pub fn run(rows: &[&Row], rate: f64, options: &Options) -> Result<()> {
    let peers = options.python.as_deref().map_or(Ok(vec![]), times_of_peers)?;
    let device = Device::gpu()?;
    list::on(&device);
    let driver = device.driver().unwrap_or_default();
    println!("{}, {driver}, {}", device.name(), device.api().unwrap_or_default());
    println!("{:#?}\n{:#?}", device.limits(), device.numerics()?);
    #[cfg(feature = "wgpu")]
    println!("{:?}\n{:?}", device.wgpu_device()?.features(), device.wgpu_device()?.limits());
    let copy = copy_rate(&device)?;
    println!("a copy moves {:.0} GB/s\n", copy / 1e9);
    println!(
        "{:36} {:26} {:>20} {:>9} {:>7} {:>6} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "row", "kernel", "shape", "µs", "GB/s", "share", "modelled", "GFLOP/s", "eval µs", "PyTorch", "CuPy"
    );
    let kept = budget::figures()?;
    let time_all = |device: &Device| {
        for row in rows {
            if let Err(error) = time(device, row, copy, rate, &kept, &peers) {
                println!("{:36} {error}", row.name);
            }
        }
    };
    if options.tiles.is_empty() {
        time_all(&device);
        // not every driver reports statistics
        if let Err(error) = statistics(rows, options.card.as_deref().unwrap_or("h100")) {
            println!("\nno statistics of kernels: {error}");
        }
        return Ok(());
    }
    for text in &options.tiles {
        let tile = tile(text)?;
        // every wide product takes the tile
        let device = gpu_with_tiles(Tiles { single: tile, half: tile, plain: tile, busy: 0, long: 0 })?;
        list::on(&device);
        println!("tile {tile}");
        time_all(&device);
    }
    Ok(())
}

/// Parses a tile in the format of the option `--tiles`.
fn tile(text: &str) -> Result<Tile> {
    let parts = text.split('x').map(|part| part.trim().parse::<u8>()).collect::<std::result::Result<Vec<_>, _>>();
    match parts.as_deref() {
        Ok(&[rows, columns, down, across, depth]) => {
            Ok(Tile { rows, columns, matrices: 1, each: [down, across], depth, unrolled: depth.min(16), padded: true })
        }
        _ => Err(format!("{text} is not a tile, such as 128x64x8x4x16").into()),
    }
}

/// Prints what the card's driver reports about each kernel, such as its registers. The kernels are planned for a card
/// of `cards/`.
fn statistics(rows: &[&Row], card: &str) -> Result<()> {
    let checks = shader_checks().ok_or("this build has no GPUs")?;
    let caps = cards::caps(card)?;
    let driver = Driver::open(checks, true)?;
    println!("\nstatistics of {} by {}, plans for {card}", driver.name, driver.version);
    for row in rows {
        let expressions = (row.build)();
        let (_, kernels) = kernels_within(&expressions.iter().collect::<Vec<_>>(), &caps)?;
        for (n, kernel) in kernels.iter().enumerate() {
            match driver.compile(&kernel.wgsl) {
                Ok(compiled) => println!("{:36} {n} {} {:?}", row.name, kernel.kind, compiled.statistics),
                Err(error) => println!("{:36} {n} {} {error}", row.name, kernel.kind),
            }
        }
    }
    Ok(())
}

/// Returns how many bytes a second the device reads and writes when it copies.
fn copy_rate(device: &Device) -> Result<f64> {
    let ((), profile) = device.profile(|| Ok(()))?;
    profile.copy_rate().ok_or_else(|| "the rate of copies could not be measured".into())
}

/// Returns the times of other libraries, each as the row, the library and the microseconds.
fn times_of_peers(python: &Path) -> Result<Vec<[String; 3]>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/python/kernels.py");
    let output = Command::new(python).arg(script).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} failed", python.display()).into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields = |line: &str| line.split('\t').map(str::to_string).collect::<Vec<_>>().try_into().ok();
    Ok(text.lines().filter_map(fields).collect())
}

fn time(device: &Device, row: &Row, copy: f64, rate: f64, kept: &[Measured], peers: &[[String; 3]]) -> Result<()> {
    let expressions: Vec<Expr> = (row.build)();
    let expressions: Vec<&Expr> = expressions.iter().collect();
    let evaluate = || device.scope(|| eval_many(&expressions).map(drop));
    evaluate()?;
    device.synchronize()?;
    let begin = Instant::now();
    while begin.elapsed() < WARM {
        (0..LEAST).try_for_each(|_| evaluate())?;
        device.synchronize()?;
    }
    let mut rounds: Vec<Vec<ProfileEvent>> = vec![];
    for _ in 0..ROUNDS {
        let ((), profile) = device.profile(evaluate)?;
        rounds.push(profile.events().cloned().collect());
    }
    let mut whole: Vec<f64> = vec![];
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        (0..BATCH).try_for_each(|_| evaluate())?;
        device.synchronize()?;
        whole.push(begin.elapsed().as_secs_f64() * 1e6 / BATCH as f64);
    }
    let first = rounds[0].clone();
    let of_peer = |name: &str| {
        let is_it = |peer: &&[String; 3]| peer[0] == row.name && peer[1] == name;
        peers.iter().find(is_it).map_or("", |peer| peer[2].as_str())
    };
    let mut kernel = 0;
    for (n, event) in first.iter().enumerate() {
        let times: Vec<Duration> = rounds.iter().filter_map(|events| events.get(n)).map(|event| event.time).collect();
        let micros = median(times.iter().map(|time| time.as_secs_f64() * 1e6).collect());
        let bytes = (event.bytes_read + event.bytes_written) as f64;
        let elements = event.shape.iter().product::<usize>() as f64;
        let share = bytes / (micros * 1e-6) / copy;
        // the budgets name a plan's kernels by their numbers; further passes and clears have no number
        let name = format!("{kernel} {}", event.kind);
        let budget = kept.iter().find(|m| m.row == row.name && m.kernel == name);
        let modelled = budget.map(|m| crate::modelled_share(rate, bytes / elements, m.vector));
        let flops =
            if event.kind == "matmul" { format!("{:.0}", 2.0 * elements / micros / 1e3) } else { String::new() };
        println!(
            "{:36} {:26} {:>20} {micros:>9.1} {:>7.0} {:>5.0}% {:>8} {flops:>9} {:>9} {:>9} {:>9}",
            if n == 0 { row.name } else { "" },
            format!("{}: {}{}", event.kind, event.name, if event.is_kernel { "" } else { " (pass)" }),
            format!("{:?}", event.shape),
            bytes / micros / 1e3,
            100.0 * share,
            modelled.map_or(String::new(), |share| format!("{:.0}%", 100.0 * share)),
            if n == 0 { format!("{:.1}", median(whole.clone())) } else { String::new() },
            if n == 0 { of_peer("PyTorch") } else { "" },
            if n == 0 { of_peer("CuPy") } else { "" },
        );
        kernel += usize::from(event.is_kernel);
    }
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}
