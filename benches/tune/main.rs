//! `cargo bench --bench tune`: which tile a GPU's wide products take. It times each candidate on the adapter at hand, sees that all
//! give the same bits, and keeps the best for f32 and for f16 on disk, where devices that are opened later find them.

#[path = "../../examples/common/mod.rs"]
mod common;

use clap::Parser;
use cupric::tuning::{self, Tile, Tiles};
use cupric::{Array, DType, Device, Result, Rng};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const ABOUT: &str =
    "Times the tiles of wide matrix products on a GPU and keeps the best ones on disk, for each adapter, driver and
version of cupric. Devices that are opened later take them; no bit of a result depends on the tile.";

const ENVIRONMENT: &str =
    "CUPRIC_DEVICE=gpu:N chooses the adapter (the first one by default), CUPRIC_CACHE_DIR the folder of what is kept.";

#[derive(Parser)]
#[command(about = ABOUT, after_help = ENVIRONMENT)]
struct Options {
    /// Small products alone; for software drivers, which take hours for the large ones
    #[arg(long)]
    quick: bool,
    /// Keep nothing
    #[arg(long)]
    dry: bool,
    /// Remove what is kept, time nothing
    #[arg(long)]
    forget: bool,
    /// Print the tiles by vendor, time nothing
    #[arg(long)]
    table: bool,
    /// What cargo passes; without it the tiles are printed alone
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows, columns and k of the products that are timed: a square that leaves most of a card idle, one that fills it, one with a short k,
/// and a layer of a neural network.
const SHAPES: [[usize; 3]; 5] =
    [[512, 512, 512], [1024, 1024, 1024], [2048, 2048, 256], [2048, 2048, 2048], [1000, 4096, 1000]];
const QUICK: [[usize; 3]; 2] = [[256, 256, 256], [512, 512, 128]];

/// How often each candidate computes each product, in turn with the others.
const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 3;

/// A candidate must be faster than what the device takes now by so much to be kept: less is noise.
const WORTH: f64 = 0.97;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let options: Options = common::arguments("tune");
    let outcome = match () {
        // `cargo test --benches` passes no `--bench`: it looks whether the program runs
        () if options.table || !options.bench => {
            table();
            Ok(())
        }
        () if options.forget => forget(),
        () => tune(options.quick, !options.dry),
    };
    common::finish("tune", outcome)
}

/// Prints the tiles by vendor.
fn table() {
    println!("{:<18}{:<46}source", "vendor", "tile");
    for v in tuning::VENDORS {
        println!("{:<18}{:<46}{}", v.name, v.tiles.single.to_string(), v.source);
    }
}

/// The adapter that the environment names, or the first.
fn adapter() -> Result<Device> {
    match std::env::var("CUPRIC_DEVICE") {
        Ok(name) if name.starts_with("gpu:") => name.parse(),
        _ => Device::gpu(),
    }
}

fn forget() -> Outcome {
    let device = adapter()?;
    match tuning::kept(&device) {
        None => println!("{device}: there is no cache on disk"),
        Some([None, None]) => println!("{device}: nothing is kept"),
        Some(_) if tuning::keep(&device, [None; 2]) => println!("{device}: forgotten"),
        Some(_) => return Err("the cache on disk cannot be written".into()),
    }
    Ok(())
}

fn tune(is_quick: bool, keeps: bool) -> Outcome {
    table();
    let device = adapter()?;
    let now = tuning::tiles(&device).ok_or("the device has no workgroups")?;
    println!("\n{device}");
    println!("  f32 now: {}\n  f16 now: {}", now.single, now.half);
    let mut tiles = tuning::candidates(&device);
    let left_out = tuning::CANDIDATES.len() - tiles.len();
    // what the device takes comes first, so that the others are compared with it
    for own in [now.half, now.single] {
        tiles.retain(|t| *t != own);
        tiles.insert(0, own);
    }
    println!("  {} candidates; {left_out} more exceed the device's limits", tiles.len());
    let mut kept = tuning::kept(&device).unwrap_or_default();
    for (n, dtype) in [DType::F32, DType::F16].into_iter().enumerate() {
        if dtype == DType::F16 && tuning::has_cooperative_matrices(&device) {
            println!("\n{dtype}: products run by cooperative matrices, which take no tile");
            continue;
        }
        let own = if n == 0 { now.single } else { now.half };
        let best = best(&device, &tiles, own, dtype, is_quick)?;
        println!("{dtype}: {}{best}", if best == own { "nothing is faster than " } else { "best is " });
        // where nothing is faster, the table, or what was kept before, stays in force
        if best != own {
            kept[n] = Some(best);
        }
    }
    match keeps {
        false => println!("\nnothing is kept (--dry)"),
        true if tuning::keep(&device, kept) => println!("\nkept on disk; --forget removes it"),
        true => println!("\nnot kept: there is no cache on disk (CUPRIC_CACHE_DIR is empty), or it cannot be written"),
    }
    Ok(())
}

/// A candidate with a device that takes it for every wide product.
struct Candidate {
    tile: Tile,
    device: Device,
    /// Milliseconds of each product: the median of the rounds.
    times: Vec<f64>,
    has_other_bits: bool,
}

/// Times all candidates, prints them, and returns the best.
fn best(device: &Device, tiles: &[Tile], own: Tile, dtype: DType, is_quick: bool) -> Result<Tile> {
    let open = |tile: &Tile| {
        let device = tuning::with_tiles(device, Tiles { single: *tile, half: *tile, busy: 0 })?;
        Ok(Candidate { tile: *tile, device, times: vec![], has_other_bits: false })
    };
    let mut all = tiles.iter().map(open).collect::<Result<Vec<_>>>()?;
    let (shapes, rounds) = if is_quick { (&QUICK[..], ROUNDS_QUICK) } else { (&SHAPES[..], ROUNDS) };
    for shape in shapes {
        time(&mut all, *shape, dtype, rounds)?;
    }
    let now = tuning::tiles(device).unwrap_or(Tiles { single: own, half: own, busy: 0 });
    let plain = all.iter().find(|c| c.tile == Tile::plain()).map(|c| c.times.clone());
    // where a product has too few of a tile, the device takes the plain one instead
    let effective = |c: &Candidate| -> Vec<f64> {
        let taken = |(n, [m, columns, _]): (usize, &[usize; 3])| match &plain {
            Some(plain) if !tuning::takes(&now, c.tile, *m, *columns) => plain[n],
            _ => c.times[n],
        };
        shapes.iter().enumerate().map(taken).collect()
    };
    let base = all.iter().find(|c| c.tile == own).map_or_else(|| all[0].times.clone(), effective);
    let score = |c: &Candidate| {
        let ratios: f64 = effective(c).iter().zip(&base).map(|(time, base)| (time / base).ln()).sum();
        (ratios / base.len() as f64).exp()
    };
    print!("\n{:<46}", format!("{dtype}, ms"));
    shapes.iter().for_each(|[m, n, k]| print!("{:>16}", format!("{m}×{n}×{k}")));
    println!("{:>12}", "in all");
    for c in &all {
        print!("{:<46}", c.tile.to_string());
        c.times.iter().for_each(|time| print!("{time:>16.3}"));
        println!("{:>12.3}{}", score(c), if c.has_other_bits { "  other bits: not taken" } else { "" });
    }
    let right = all.iter().filter(|c| !c.has_other_bits);
    let found = right.min_by(|a, b| score(a).total_cmp(&score(b)));
    Ok(found.filter(|c| score(c) < WORTH).map_or(own, |c| c.tile))
}

/// Times a product by all candidates, in turn.
fn time(all: &mut [Candidate], [m, n, k]: [usize; 3], dtype: DType, rounds: usize) -> Result<()> {
    let operand =
        |seed, shape: [usize; 2]| (Rng::new(seed).uniform(shape, DType::F32) * 2.0 - 1.0).astype(dtype).eval();
    let (a, b) = (operand(1, [m, k])?, operand(2, [k, n])?);
    let mut operands = vec![];
    for c in all.iter() {
        operands.push((a.to_device(&c.device)?, b.to_device(&c.device)?));
    }
    let mut times = vec![vec![]; all.len()];
    let mut bits: Option<Vec<f32>> = None;
    let progress = common::progress("products", all.len() * (rounds + 1), false);
    // the first round compiles and compares
    for round in 0..=rounds {
        for (i, (c, (a, b))) in all.iter_mut().zip(&operands).enumerate() {
            progress.set_message(format!("{dtype} {m}×{n}×{k}, round {round} of {rounds}, {}", c.tile));
            let (product, took) = run(&c.device, a, b)?;
            match round {
                0 => {
                    let have = product.astype(DType::F32).to_vec::<f32>()?;
                    let want = bits.get_or_insert_with(|| have.clone());
                    c.has_other_bits |= have.iter().zip(&*want).any(|(x, y)| x.to_bits() != y.to_bits());
                }
                _ => times[i].push(took.as_secs_f64() * 1e3),
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    for (c, times) in all.iter_mut().zip(&mut times) {
        times.sort_unstable_by(f64::total_cmp);
        c.times.push(times[times.len() / 2]);
    }
    Ok(())
}

/// A product, and how long the device took for it by its clock, or else by the host's.
fn run(device: &Device, a: &Array, b: &Array) -> Result<(Array, Duration)> {
    let start = Instant::now();
    let (product, took) = device.time_kernels(|| a.matmul(b).eval())?;
    Ok((product, took.unwrap_or_else(|| start.elapsed())))
}
