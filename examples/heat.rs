//! Simulates heat in a copper plate with insulating walls. The flow between neighbouring cells is the difference of two
//! views that are shifted by a cell; both views are updated in place.
//!
//! ```text
//! cargo run --release --example heat
//! ```

mod common;

use clap::Parser;
use common::picture::{self, FIRE, palette};
use common::say;
use cupric::{Array, DType, Device, Expr, arange, eval_all, hypot, minimum, s, select};
use image::RgbImage;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The plate's side in metres. `DIFFUSIVITY` is the thermal diffusivity of copper in m²/s.
const SIDE: f64 = 0.1;
const DIFFUSIVITY: f64 = 1.11e-4;
/// The share of the temperature difference that flows between neighbours in a step. Above 1/4, temperatures oscillate.
const RATE: f64 = 0.24;

/// Simulates heat in a copper plate with insulating walls.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Cells along a side
    #[arg(long, value_name = "N", default_value_t = 192, value_parser = common::positive)]
    size: usize,
    /// Steps in time
    #[arg(long, value_name = "N", default_value_t = 8000, value_parser = common::positive)]
    steps: usize,
    /// Number of pictures; the time between them grows
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = common::positive)]
    frames: usize,
    /// Where to put the pictures
    #[arg(long, value_name = "FILE", default_value = "heat.png")]
    out: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("heat");
    common::finish("heat", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { size: n, steps, frames: count, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let (mut heat, wall) = plate(n, &device)?;
    // the rates of flow to the cell below and to the cell on the right, which are 0 where either cell is a wall
    let free = select(&wall, 0.0, RATE).eval()?;
    let to_below = minimum(free.slice(s![..-1, ..]), free.slice(s![1.., ..])).eval()?;
    let to_right = minimum(free.slice(s![.., ..-1]), free.slice(s![.., 1..])).eval()?;
    let seconds = |step: usize| step as f64 * RATE * (SIDE / n as f64).powi(2) / DIFFUSIVITY;
    // heat spreads twice as far in four times the time, so the times of the pictures grow with the square
    let shown = |frame: usize| (steps as f64 * (frame as f64 / (count.max(2) - 1) as f64).powi(2)).round() as usize;
    say(format_args!("{device}: {n} × {n} cells, {steps} steps, {:.2} s of heat", seconds(steps)))?;

    let (total, energy) = (heat.sum(..).eval()?, heat.square().sum(..).eval()?);
    let progress = common::progress("steps", steps, options.quiet);
    let (mut frames, started) = (vec![], Instant::now());
    for step in 0..=steps {
        while frames.len() < count && shown(frames.len()) == step {
            frames.push((format!("{:.2} s", seconds(step)), draw(&heat, &wall)?));
        }
        if step == steps {
            break;
        }
        // compute both flows before any temperature changes
        let [down, right] = eval_all([
            &((heat.slice(s![..-1, ..]) - heat.slice(s![1.., ..])) * &to_below),
            &((heat.slice(s![.., ..-1]) - heat.slice(s![.., 1..])) * &to_right),
        ])?;
        // what leaves a cell arrives at its neighbour, so no heat is lost
        heat.slice_mut(s![..-1, ..]).update(|from| from - &down)?;
        heat.slice_mut(s![1.., ..]).update(|to| to + &down)?;
        heat.slice_mut(s![.., ..-1]).update(|from| from - &right)?;
        heat.slice_mut(s![.., 1..]).update(|to| to + &right)?;
        progress.inc(1);
    }
    device.synchronize()?;
    drop(progress);
    let took = started.elapsed().as_secs_f64();

    picture::save(&picture::sheet(&frames, 4)?, out)?;
    let change = (heat.sum(..) / &total - 1.0).item::<f32>()?;
    let left = (heat.square().sum(..) / &energy).item::<f32>()?;
    say(format_args!("total heat {:.3}, changed by {change:.1e} of it", total.item::<f32>()?))?;
    say(format_args!("sum of squares {:.3}, of which {left:.4} is left", energy.item::<f32>()?))?;
    say(format_args!("{took:.2} s, {:.0} steps a second", steps as f64 / took))?;
    say(format_args!("the pictures are in {}", out.display()))?;
    Ok(())
}

/// Returns the temperatures of a cold plate with two hot spots, and a mask of its walls.
fn plate(n: usize, device: &Device) -> Result<(Array, Array)> {
    let along = (arange(0, n, 1, DType::I32).astype(DType::F32) + 0.5) / n;
    let (x, y) = (along.clone(), along.expand_dims(1));
    let disc = |cx: f64, cy: f64, r: f64| hypot(&x - cx, &y - cy).less(r);
    let heat = select(disc(0.25, 0.3, 0.13), 1.0, select(disc(0.75, 0.78, 0.07), 0.8, 0.0));
    let within = |v: &Expr, from: f64, to: f64| v.greater(from) & v.less(to);
    // one wall with a gap, and a ring that opens to the left
    let upright = within(&x, 0.49, 0.51) & !within(&y, 0.44, 0.52);
    let ring = disc(0.75, 0.25, 0.17) & !disc(0.75, 0.25, 0.15) & !(x.less(0.75) & within(&y, 0.21, 0.29));
    Ok((heat.to_device(device)?, (upright | ring).to_device(device)?))
}

/// Draws the temperatures. Colours are looked up on the device, and only the picture's bytes are read back.
fn draw(heat: &Array, wall: &Array) -> Result<RgbImage> {
    let n = heat.shape()[0];
    let colours = Array::from_vec(palette(&FIRE, 256), [256, 3])?.to_device(&heat.device())?;
    // the square root makes low temperatures more visible
    let rgb = colours.take((heat.clip(0.0, 1.0).sqrt() * 255.0).astype(DType::I32), 0);
    let rgb = select(wall.expand_dims(-1), 128.0, rgb).round().astype(DType::U8);
    picture::from_rgb(n, n, rgb.to_vec::<u8>()?)
}
