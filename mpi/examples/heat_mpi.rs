//! Simulates heat in a plate that is divided among ranks. Before each step, neighbouring ranks exchange edge rows.
//!
//! ```text
//! mpirun -n 4 target/release/examples/heat_mpi --out heat.png
//! ```
//!
//! A cell depends on its neighbours only, so the picture has the same bits for any number of ranks.

mod common;

use clap::Parser;
use common::{Result, device, hash, say, say_traffic};
use cupric::{Array, DType, Expr, arange, concat, hypot, s, select};
use cupric_mpi::Comm;
use image::{ImageFormat, RgbImage};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// The share of the temperature difference that flows between neighbours in a step. Above 1/4, temperatures oscillate.
const RATE: f64 = 0.24;

/// Simulates heat in a plate, on several ranks.
#[derive(Parser)]
#[command(name = "heat_mpi")]
struct Options {
    /// Where each rank computes
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "cpu")]
    device: String,
    /// Cells along a side
    #[arg(long, value_name = "N", default_value_t = 192, value_parser = common::positive)]
    size: usize,
    /// Steps in time
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = common::positive)]
    steps: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "heat_mpi.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("heat_mpi");
    common::finish("heat_mpi", Comm::run(|comm| run(comm, &options)))
}

fn run(comm: &Comm, options: &Options) -> Result<()> {
    let (n, steps) = (options.size, options.steps);
    if n < comm.size() {
        return Err(format!("{n} rows of cells are fewer than {} ranks", comm.size()).into());
    }
    let device = device(comm, &options.device)?;
    let rows = comm.shard(n);
    say(comm, format_args!("{} ranks on {device}: {n} × {n} cells, {steps} steps", comm.size()))?;

    let y = ((arange(rows.start, rows.end, 1, DType::F32) + 0.5) / n).expand_dims(1);
    let x = (arange(0, n, 1, DType::F32) + 0.5) / n;
    let disc = |cx: f64, cy: f64, r: f64| hypot(&x - cx, &y - cy).less(r);
    let heat = select(disc(0.25, 0.3, 0.13), 1.0, select(disc(0.75, 0.78, 0.07), 0.8, 0.0));
    let mut heat = heat.astype(DType::F32).to_device(&device)?;
    let started = Instant::now();
    for _ in 0..steps {
        let (above, below) = comm.halo(&heat, 1)?;
        heat = step(&heat, above.as_ref(), below.as_ref()).eval()?;
    }
    let took = started.elapsed().as_secs_f64();

    let whole = comm.gather(&heat, 0)?;
    let saved = match &whole {
        Some(whole) => draw(whole).and_then(|picture| {
            let saved = picture.save_with_format(&options.out, ImageFormat::Png);
            saved.map_err(|error| format!("{}: {error}", options.out.display()).into())
        }),
        None => Ok(()),
    };
    saved?;
    say(comm, format_args!("{took:.2} s, {:.0} steps a second", steps as f64 / took))?;
    say_traffic(comm)?;
    if let Some(whole) = whole {
        say(comm, format_args!("the picture is in {}", options.out.display()))?;
        say(comm, format_args!("hash of the heat: {:016x}", hash(&[whole])?))?;
    }
    Ok(())
}

/// Returns this rank's rows after a step. `above` is the last row of the previous rank, and `below` the first row of
/// the next rank. At the plate's edges a cell is its own neighbour, so no heat leaves.
fn step(heat: &Array, above: Option<&Array>, below: Option<&Array>) -> Expr {
    let edge = |row: Option<&Array>, own: Expr| row.map_or(own, Expr::from);
    let top = edge(above, heat.slice(s![..1]));
    let bottom = edge(below, heat.slice(s![-1..]));
    let tall = concat([top, heat.into(), bottom], 0);
    let wide = concat([heat.slice(s![.., ..1]), heat.into(), heat.slice(s![.., -1..])], 1);
    let vertical = tall.slice(s![..-2]) + tall.slice(s![2..]);
    let horizontal = wide.slice(s![.., ..-2]) + wide.slice(s![.., 2..]);
    heat + (vertical + horizontal - heat * 4.0) * RATE
}

/// Draws temperatures in colours from black through red and yellow to white.
fn draw(heat: &Array) -> Result<RgbImage> {
    let size = u32::try_from(heat.shape()[0])?;
    let value = heat.clip(0.0, 1.0).sqrt().expand_dims(-1);
    let start = Array::from_vec(vec![0f32, 1.0, 2.0], [3])?.to_device(&heat.device())?;
    let rgb = ((value * 3.0 - start).clip(0.0, 1.0) * 255.0).round().astype(DType::U8);
    RgbImage::from_raw(size, size, rgb.to_vec::<u8>()?).ok_or_else(|| "too few bytes for the picture".into())
}
