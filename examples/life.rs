//! Conway's Game of Life on a board that wraps around at its edges. Rolled copies of the board count the neighbours.
//!
//! ```text
//! cargo run --release --example life -- --size 256 --steps 1000
//! ```

mod common;

use clap::Parser;
use common::{picture, say};
use cupric::{Array, DType, Device, Rng, eval_all, select};
use image::RgbImage;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Conway's Game of Life on a board that wraps around at its edges.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Cells along a side
    #[arg(long, value_name = "N", default_value_t = 192, value_parser = common::positive)]
    size: usize,
    /// Generations
    #[arg(long, value_name = "N", default_value_t = 800, value_parser = common::positive)]
    steps: usize,
    /// Number of pictures; the time between them grows
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = common::positive)]
    frames: usize,
    /// Seed of the first generation
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where to put the pictures
    #[arg(long, value_name = "FILE", default_value = "life.png")]
    out: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("life");
    common::finish("life", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { size: n, steps, frames: count, seed, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let mut board = Rng::new(seed).bernoulli(0.3, [n, n], DType::U8).to_device(&device)?;
    // for how many generations each cell has lived, for the picture
    let mut age = board.astype(DType::I32).eval()?;
    say(format_args!("{device}: {n} × {n} cells, {} of them alive", board.count_nonzero(..).item::<i64>()?))?;

    let shown = |frame: usize| (steps as f64 * (frame as f64 / (count.max(2) - 1) as f64).powi(2)).round() as usize;
    let progress = common::progress("generations", steps, options.quiet);
    let (mut frames, started) = (vec![], Instant::now());
    for step in 0..=steps {
        while frames.len() < count && shown(frames.len()) == step {
            frames.push((format!("{step}"), draw(&age)?));
        }
        if step == steps {
            break;
        }
        // add three rows, then three columns of these sums, and subtract the cell itself
        let rows = (board.roll(-1, 0) + &board + board.roll(1, 0)).eval()?;
        let around = rows.roll(-1, 1) + &rows + rows.roll(1, 1) - &board;
        let alive = around.equal(3) | around.equal(2) & board.equal(1);
        [board, age] = eval_all([&alive.astype(DType::U8), &select(&alive, &age + 1, 0)])?;
        progress.inc(1);
    }
    device.synchronize()?;
    drop(progress);
    let took = started.elapsed().as_secs_f64();

    picture::save(&picture::sheet(&frames, 4)?, out)?;
    let (alive, oldest) = (board.count_nonzero(..).item::<i64>()?, age.max(..).item::<i32>()?);
    say(format_args!("after {steps} generations {alive} cells are alive, the oldest for {oldest} generations"))?;
    say(format_args!("{took:.2} s, {:.0} generations a second", steps as f64 / took))?;
    say(format_args!("the pictures are in {}", out.display()))?;
    Ok(())
}

/// Draws the board: young cells are bright, old cells are blue, and dead cells are dark.
fn draw(age: &Array) -> Result<RgbImage> {
    let n = age.shape()[0];
    let young = 1.0 / age.clip(1, 1000).astype(DType::F32).sqrt();
    let channel = |new: f64, old: f64, dead: f64| select(age.greater(0), &young * (new - old) + old, dead);
    let rgb = cupric::stack([channel(252.0, 58.0, 8.0), channel(232.0, 104.0, 8.0), channel(180.0, 190.0, 24.0)], -1);
    picture::from_rgb(n, n, rgb.astype(DType::U8).to_vec::<u8>()?)
}
