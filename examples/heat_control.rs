//! Finds the heating that warms a plate to a given picture. The simulation is one expression, so `value_and_grad` can
//! differentiate it with respect to the power of every heater.
//!
//! ```text
//! cargo run --release --features train --example heat_control
//! ```

mod common;

use clap::Parser;
use common::picture::{self, FIRE, palette};
use common::say;
use cupric::train::{Adam, cosine, eval_tree};
use cupric::{Array, DType, Device, Expr, arange, full, hypot, select, value_and_grad};
use image::RgbImage;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The share of the temperature difference that flows between neighbours in a step. Above 1/4, temperatures oscillate.
const FLOW: f64 = 0.2;
/// The temperature that a heater at full power adds to its cell in a step.
const POWER: f64 = 0.08;
/// The temperature that a cell at temperature 1 loses in a step. Radiation grows with the temperature's fourth power.
const RADIATION: f64 = 0.02;
const LEARNING_RATE: f64 = 0.1;

/// Finds the heating that warms a plate to a given picture.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Type of the numbers in the simulation
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16"])]
    dtype: String,
    /// Cells along a side, each with a heater
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = common::positive)]
    size: usize,
    /// Steps in time
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = common::positive)]
    steps: usize,
    /// Steps of the optimiser
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = common::positive)]
    rounds: usize,
    /// Where to put the pictures
    #[arg(long, value_name = "FILE", default_value = "heat_control.png")]
    out: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("heat_control");
    common::finish("heat_control", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { size: n, steps, rounds, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let dtype = if options.dtype == "f16" { DType::F16 } else { DType::F32 };
    let (target, flow) = (face(n).to_device(&device)?, flow(n).astype(dtype).to_device(&device)?);
    // a heater's power is the sigmoid of a parameter, so it stays between 0 and 1
    let mut heating = full([n, n], -2.0, DType::F32).to_device(&device)?;
    say(format_args!("{device}: {n} × {n} heaters, {steps} steps in time, {rounds} rounds"))?;

    let progress = common::progress("rounds", rounds, options.quiet);
    let (mut state, mut first, mut last) = (Adam::new(LEARNING_RATE).init(&heating)?, 0.0, 0.0);
    let started = Instant::now();
    for round in 0..rounds {
        let adam = Adam::new(cosine(round as u64, LEARNING_RATE, 0.0, rounds as u64));
        let miss = |heating: &Array| (simulated(heating, &flow, steps, dtype) - &target).square().sum(..);
        let (loss, derivative) = value_and_grad(&heating, miss);
        let (next, next_state) = adam.update(&heating, &derivative, &state);
        let (loss, next, next_state) = eval_tree(&(loss, next, next_state))?;
        (heating, state) = (next, next_state);
        if round == 0 || (round + 1) % 20 == 0 || round + 1 == rounds {
            last = (loss.item::<f32>()? / (n * n) as f32).sqrt();
            first = if round == 0 { last } else { first };
            progress.suspend(|| say(format_args!("round {:4}  error {last:.4}", round + 1)))?;
        }
        progress.inc(1);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);

    let reached = simulated(&heating, &flow, steps, dtype).eval()?;
    let parts = [("wanted", &target), ("heating", &heating.sigmoid().eval()?), ("reached", &reached)];
    let parts =
        parts.map(|(name, part)| Ok((name.to_string(), draw(part)?))).into_iter().collect::<Result<Vec<_>>>()?;
    picture::save(&picture::sheet(&parts, 3)?, out)?;
    say(format_args!("the pictures are in {}", out.display()))?;
    let device = if device.is_gpu() { "gpu" } else { "cpu" };
    say(format_args!("device={device} dtype={dtype} error {first:.4} -> {last:.4} seconds={seconds:.2}"))?;
    Ok(())
}

/// Returns the temperatures of a plate that starts cold, after some steps. In each step heat flows to neighbouring
/// cells, heaters add heat, and radiation removes some.
fn simulated(heating: &Array, flow: &Array, steps: usize, dtype: DType) -> Expr {
    let power = (heating.sigmoid() * POWER).astype(dtype);
    // the plate starts cold, so in the first step nothing flows and the heaters only add heat
    (1..steps).fold(power.clone(), |heat, _| {
        let flows = flow.matmul(&heat) + heat.matmul(flow);
        &heat + flows + &power - heat.square().square() * RADIATION
    })
}

/// Returns a matrix of second differences, without flow at the edges. Multiplied from the left it gives the flow along
/// columns, and multiplied from the right the flow along rows.
fn flow(n: usize) -> Expr {
    let row = arange(0, n, 1, DType::I32);
    let distance = (&row - row.expand_dims(1)).abs();
    let beside = select(distance.equal(1), FLOW, 0.0);
    select(distance.equal(0), -beside.sum(1), beside.clone())
}

/// Returns the temperatures of a face that smiles.
fn face(n: usize) -> Expr {
    let along = (arange(0, n, 1, DType::I32).astype(DType::F32) + 0.5) / n;
    let (x, y) = (along.clone(), along.expand_dims(1));
    let disc = |cx: f64, cy: f64, r: f64| hypot(&x - cx, &y - cy).less(r);
    let smile = disc(0.5, 0.5, 0.32) & !disc(0.5, 0.5, 0.24) & y.greater(0.55);
    select(disc(0.35, 0.35, 0.08) | disc(0.65, 0.35, 0.08) | smile, 0.9, select(disc(0.5, 0.5, 0.45), 0.4, 0.1))
}

/// Draws values from 0 to 1. Colours are looked up on the device, and only the picture's bytes are read back.
fn draw(values: &Array) -> Result<RgbImage> {
    const SCALE: usize = 4;
    let n = values.shape()[0] * SCALE;
    let colours = Array::from_vec(palette(&FIRE, 256), [256, 3])?.to_device(&values.device())?;
    let large = values.astype(DType::F32).repeat(SCALE, 0).repeat(SCALE, 1);
    let rgb = colours.take((large.clip(0.0, 1.0) * 255.0).astype(DType::I32), 0);
    picture::from_rgb(n, n, rgb.round().astype(DType::U8).to_vec::<u8>()?)
}
