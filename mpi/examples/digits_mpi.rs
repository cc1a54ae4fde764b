//! Trains a classifier on handwritten digits on several ranks, with the same bits for any number of them.
//!
//! ```text
//! mpirun -n 4 target/release/examples/digits_mpi --epochs 5
//! ```
//!
//! The training is data-parallel: every rank has all weights, and computes the gradients of its shards of each batch.
//! The sum of these gradients is the same on all ranks, so all ranks make the same step.

mod common;

use clap::Parser;
use common::{Result, device, hash, say, say_traffic};
use cupric::{Array, Compiled, DType, Device, Expr, Rng, concat, grad_many, s, stack, zeros};
use cupric_mpi::Comm;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/digits.npy");
const PIXELS: usize = 64;
const HIDDEN: usize = 64;
const DIGITS: usize = 10;
/// The share of the velocity that a step keeps. `RATE` is the learning rate.
const MOMENTUM: f64 = 0.9;
const RATE: f64 = 0.05;

/// Trains a small neural network on handwritten digits, on several ranks.
#[derive(Parser)]
#[command(name = "digits_mpi")]
struct Options {
    /// Where each rank computes
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "cpu")]
    device: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = common::positive)]
    epochs: usize,
    /// Images per training step, divided among the shards
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = common::positive)]
    batch: usize,
    /// Shards of a batch, each computed by one rank; the bits of the result depend on this number
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = common::positive)]
    shards: usize,
    /// Seed of the initial weights and of the order of the images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A .npy file of u8 with 64 pixels and a label per row [default: the digits in examples/data]
    #[arg(long, value_name = "FILE", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("digits_mpi");
    common::finish("digits_mpi", Comm::run(|comm| run(comm, &options)))
}

fn run(comm: &Comm, options: &Options) -> Result<()> {
    let device = device(comm, &options.device)?;
    let shards = options.shards;
    // rank 0 reads the file; the other ranks contribute no rows to `all_gather`
    let raw = comm.agree(if comm.rank() == 0 {
        Array::from_npy(&options.data)
    } else {
        zeros([0, PIXELS + 1], DType::U8).eval()
    })?;
    let raw = comm.all_gather(&raw, 0)?.to_device(&device)?;
    let images = raw.shape()[0];
    if raw.ndim() != 2 || raw.shape()[1] != PIXELS + 1 || raw.dtype() != DType::U8 || images < 10 {
        let detail = format!("digits are u8 of shape [10 or more, 65], not {} of shape {:?}", raw.dtype(), raw.shape());
        return Err(format!("{}: {detail}", options.data.display()).into());
    }
    let mut rng = Rng::new(options.seed);
    let train = images * 4 / 5;
    let order = rng.permutation(images).astype(DType::I32).to_device(&device)?;
    let raw = raw.take(&order, 0).eval()?;
    // pixels are numbers from 0 to 16
    let x = ((raw.slice(s![.., ..PIXELS]).astype(DType::F32) - 6.0) / 6.0).eval()?;
    let y = raw.slice(s![.., PIXELS]).astype(DType::I32).eval()?;
    let (test_x, test_y) = (x.slice(s![train..]).eval()?, y.slice(s![train..]).eval()?);
    let batch = options.batch.min(train);
    say(comm, format_args!("{} ranks on {device}: {train} images, {shards} shards a step", comm.size()))?;

    let mut weights = initial(&mut rng, &device)?;
    let mut velocity = zeros([weights.iter().map(|w| w.size()).sum::<usize>()], DType::F32).to_device(&device)?;
    let gradient = Compiled::new(|(weights, x, y): (Vec<Expr>, Expr, Expr)| gradient(&weights, &x, &y));
    let started = Instant::now();
    for epoch in 1..=options.epochs {
        let order = rng.permutation(train).astype(DType::I32).to_device(&device)?;
        let (x, y) = (x.take(&order, 0).eval()?, y.take(&order, 0).eval()?);
        for from in (0..train).step_by(batch) {
            let n = batch.min(train - from);
            // this rank's shards of the batch; a shard may be empty
            let mut parts = vec![];
            for shard in comm.shard(shards) {
                let (a, b) = (from + n * shard / shards, from + n * (shard + 1) / shards);
                parts.push(match a < b {
                    true => gradient.call(&(&weights, x.slice(s![a..b]), y.slice(s![a..b])))?,
                    false => zeros(velocity.shape(), DType::F32).to_device(&device)?,
                });
            }
            let parts = match parts.is_empty() {
                true => zeros([0, velocity.size()], DType::F32).to_device(&device)?,
                false => stack(&parts, 0).eval()?,
            };
            let sum = comm.sum_in_order(&parts)?;
            velocity = (&velocity * MOMENTUM + sum / n).eval()?;
            step(&mut weights, &velocity)?;
        }
        let found = scores(&weights, &test_x).argmax(-1).astype(DType::I32);
        let correct = found.equal(&test_y).mean(..).item::<f32>()?;
        say(comm, format_args!("epoch {epoch:2}  test accuracy {correct:.4}"))?;
    }
    say(comm, format_args!("{:.2} s", started.elapsed().as_secs_f64()))?;
    say_traffic(comm)?;
    say(comm, format_args!("hash of the weights: {:016x}", hash(&weights)?))?;
    Ok(())
}

fn initial(rng: &mut Rng, device: &Device) -> Result<Vec<Array>> {
    // He initialisation: relu halves the variance, and the factor 2 restores it
    let mut normal = |n: usize, m: usize| rng.normal([n, m], DType::F32) * (2.0 / n as f64).sqrt();
    let zero = |n: usize| zeros([n], DType::F32);
    let all = [normal(PIXELS, HIDDEN), zero(HIDDEN), normal(HIDDEN, DIGITS), zero(DIGITS)];
    Ok(all.iter().map(|w| w.to_device(device)).collect::<cupric::Result<_>>()?)
}

fn scores(weights: &[impl AsRef<Expr>], x: &Expr) -> Expr {
    let [w1, b1, w2, b2] = [0, 1, 2, 3].map(|i| weights[i].as_ref());
    (x.matmul(w1) + b1).relu().matmul(w2) + b2
}

/// Returns the gradient of the loss, summed over the images: one vector with the derivatives for all weights.
fn gradient(weights: &[Expr], x: &Expr, y: &Expr) -> Expr {
    let loss = scores(weights, x).cross_entropy(y).sum(..);
    let all: Vec<Expr> = grad_many(&loss, weights).iter().map(|g| g.reshape(-1)).collect();
    concat(&all, 0)
}

fn step(weights: &mut [Array], velocity: &Array) -> Result<()> {
    let mut at = 0;
    for w in weights {
        let change = velocity.slice(s![at..at + w.size()]).reshape(w.shape());
        at += w.size();
        w.update(|w| w - change * RATE)?;
    }
    Ok(())
}
