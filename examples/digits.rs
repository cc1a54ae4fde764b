//! Trains a classifier on handwritten digits: a network of two layers, whose gradients `grad` derives.
//!
//! ```text
//! cargo run --release --example digits -- --device best --dtype f32
//! ```
//!
//! The data stays on the device. A training step is one `eval_all` for the loss and the gradients and a few writes in
//! place for the weights; the host reads back three numbers an epoch.

mod common;

use clap::Parser;
use common::{plot, say};
use cupric::{Array, DType, Device, Expr, Rng, eval_all, full, grad, s, select, stack, zeros, zeros_like};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
const PIXELS: usize = 64;
const HIDDEN: usize = 128;
const DIGITS: usize = 10;
const LEARNING_RATE: f64 = 0.008;
/// In standard deviations of a pixel.
const NOISE: f64 = 0.5;

/// Trains a small neural network on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Type of the numbers in the forward and the backward pass
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16"])]
    dtype: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = common::positive)]
    epochs: usize,
    /// Images a step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = common::positive)]
    batch: usize,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A .npy file, u8, 64 pixels and a label a row [default: the digits in examples/data]
    #[arg(long, value_name = "FILE", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
    /// Where to draw the loss
    #[arg(long, value_name = "FILE", default_value = "digits-loss.png")]
    plot: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("digits");
    common::finish("digits", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let mut rng = Rng::new(options.seed);
    let dtype = if options.dtype == "f16" { DType::F16 } else { DType::F32 };
    let data = Digits::load(options, dtype, &device, &mut rng)?;
    let mut net = Network::new(dtype, &device, &mut rng)?;
    let (images, tests) = (data.train_y.shape()[0], data.test_y.shape()[0]);
    let batch = options.batch.min(images);
    let steps = images.div_ceil(batch).saturating_mul(options.epochs);
    say(format_args!("{device}: {images} images to train on, {tests} to test, {steps} steps"))?;

    let progress = common::progress("training", steps, options.quiet);
    let (mut losses, mut accuracy, mut step) = (vec![], 0.0, 0);
    let started = Instant::now();
    for epoch in 1..=options.epochs {
        // one kernel shuffles the images and adds a little noise, so that the network does not learn them by heart
        let order = rng.permutation(images).astype(DType::I32).to_device(&device)?;
        let noise = rng.normal([images, PIXELS], DType::F32) * NOISE;
        let x = (data.train_x.take(&order, 0) + noise).astype(dtype).eval()?;
        let y = data.train_y.take(&order, 0).eval()?;
        let mut total = zeros((), DType::F32).to_device(&device)?;
        for from in (0..images).step_by(batch) {
            // a batch is a view, which costs nothing; its end clamps, so the last one may be smaller
            let rows = s![from..from + batch];
            let rate = LEARNING_RATE * (1.0 - step as f64 / steps as f64);
            step += 1;
            let loss = net.train(&x.slice(rows), &y.slice(rows), step, rate)?;
            total.update(|t| t + &loss)?;
            progress.inc(1);
        }
        // everything above was only enqueued; this waits for it
        let report = [&total / images, net.accuracy(&data), net.scale.clone().into()];
        let report = stack(report, 0).to_vec::<f32>()?;
        let [loss, correct, scale] = report[..] else { return Err("three numbers were expected".into()) };
        accuracy = correct;
        losses.push(f64::from(loss));
        let scaled = if net.dtype == DType::F16 { format!("  loss scale {scale:.0}") } else { String::new() };
        let line = format!("epoch {epoch:3}  loss {loss:.6}  test accuracy {accuracy:.4}{scaled}");
        progress.suspend(|| say(line))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);

    plot::line_chart(&options.plot, "Handwritten digits", "epoch", "training loss", &losses)?;
    say(format_args!("the loss is drawn in {}", options.plot.display()))?;
    let device = if device.is_gpu() { "gpu" } else { "cpu" };
    let epochs = options.epochs;
    say(format_args!("device={device} dtype={dtype} epochs={epochs} accuracy={accuracy:.4} seconds={seconds:.2}"))?;
    Ok(())
}

/// The images, standardized, and which digit each one is; four fifths to train, one to test.
struct Digits {
    train_x: Array,
    train_y: Array,
    test_x: Array,
    test_y: Array,
}

impl Digits {
    fn load(options: &Options, dtype: DType, device: &Device, rng: &mut Rng) -> Result<Digits> {
        let raw = Array::from_npy(&options.data)?;
        check(&raw, &options.data)?;
        let images = raw.shape()[0];
        let order = rng.permutation(images).astype(DType::I32).to_device(device)?;
        let raw = raw.to_device(device)?.take(&order, 0).eval()?;
        let split = images * 4 / 5;
        let pixels = [raw.slice(s![..split, ..PIXELS]), raw.slice(s![split.., ..PIXELS])];
        let digits = [raw.slice(s![..split, PIXELS]), raw.slice(s![split.., PIXELS])];

        // the test images take no part in the statistics
        let (mean, spread) = (pixels[0].mean(0).eval()?, pixels[0].std(0).eval()?);
        // some pixels are always blank: nothing is divided by a spread of zero, or of rounding
        let spread = select(spread.greater(1e-3), &spread, 1.0).eval()?;
        let standard = |x: &Expr| ((x - &mean) / &spread).astype(dtype).eval();
        Ok(Digits {
            train_x: standard(&pixels[0])?,
            train_y: digits[0].astype(DType::I32).eval()?,
            test_x: standard(&pixels[1])?,
            test_y: digits[1].astype(DType::I32).eval()?,
        })
    }
}

/// The file must be what the network was made for; its own form was checked when it was read.
fn check(raw: &Array, path: &Path) -> Result<()> {
    let (shape, dtype) = (raw.shape(), raw.dtype());
    let problem = match shape {
        [images, columns] if *images >= 10 && *columns == PIXELS + 1 && dtype == DType::U8 => {
            match raw.slice(s![.., PIXELS]).max(..).item::<u8>()? {
                digit if usize::from(digit) < DIGITS => return Ok(()),
                digit => format!("{digit} is no digit"),
            }
        }
        _ => format!("digits are u8 of shape [10 or more, {}], not {dtype} of shape {shape:?}", PIXELS + 1),
    };
    Err(format!("{}: {problem}", path.display()).into())
}

/// A weight or a bias, with the running means of its gradient and of its square that Adam keeps; all f32.
struct Parameter {
    value: Array,
    mean: Array,
    square: Array,
}

impl Parameter {
    fn new(value: Expr, device: &Device) -> Result<Parameter> {
        // the values are drawn on the device itself
        let value = value.to_device(device)?;
        let (mean, square) = (zeros_like(&value).eval()?, zeros_like(&value).eval()?);
        Ok(Parameter { value, mean, square })
    }

    /// A step of Adam (Kingma and Ba, 2015), written over the old values: it allocates nothing.
    fn descend(&mut self, gradient: &Expr, step: i32, rate: f64) -> Result<()> {
        let (b1, b2) = (0.9, 0.999);
        // the means start at zero, and would be too small at first
        let rate = rate * (1.0 - f64::powi(b2, step)).sqrt() / (1.0 - f64::powi(b1, step));
        self.mean.update(|m| m * b1 + gradient * (1.0 - b1))?;
        self.square.update(|v| v * b2 + gradient.square() * (1.0 - b2))?;
        self.value.update(|w| w - &self.mean * rate / (self.square.sqrt() + 1e-8))?;
        Ok(())
    }
}

/// 64 pixels, 128 hidden units with relu, 10 digits.
struct Network {
    /// Weights and biases of the first layer, then of the second.
    parameters: [Parameter; 4],
    /// Of the two passes. The parameters, the softmax and the loss are f32 in any case.
    dtype: DType,
    /// What the gradients are multiplied by on their way back, so that f16 does not flush small ones to zero.
    scale: Array,
}

impl Network {
    fn new(dtype: DType, device: &Device, rng: &mut Rng) -> Result<Network> {
        // He's start: relu halves the variance, the factor 2 restores it
        let mut weights = |n: usize, m: usize| rng.normal([n, m], DType::F32) * (2.0 / n as f64).sqrt();
        let parameters = [
            Parameter::new(weights(PIXELS, HIDDEN), device)?,
            Parameter::new(zeros([HIDDEN], DType::F32), device)?,
            Parameter::new(weights(HIDDEN, DIGITS), device)?,
            Parameter::new(zeros([DIGITS], DType::F32), device)?,
        ];
        let scale = if dtype == DType::F16 { 32768.0 } else { 1.0 };
        Ok(Network { parameters, dtype, scale: full((), scale, DType::F32).to_device(device)? })
    }

    /// A score for each digit; its softmax is the probability.
    fn forward(&self, x: &Expr) -> Expr {
        let [w1, b1, w2, b2] = self.parameters.each_ref().map(|p| p.value.astype(self.dtype));
        let hidden = (x.matmul(w1) + b1).relu();
        (hidden.matmul(w2) + b2).astype(DType::F32)
    }

    /// The loss summed over a batch, then the scaled gradients of its mean, one for each parameter.
    fn gradients(&self, x: &Expr, y: &Expr) -> Result<[Array; 5]> {
        let loss = self.forward(x).cross_entropy(y).sum(..);
        let scaled = &loss * (&self.scale / y.size()?);
        let [d_w1, d_b1, d_w2, d_b2] = grad(&scaled, self.parameters.each_ref().map(|p| &*p.value));
        // together, since they share nearly everything
        Ok(eval_all([&loss, &d_w1, &d_b1, &d_w2, &d_b2])?)
    }

    /// One step of the training; gives the loss summed over the batch.
    fn train(&mut self, x: &Expr, y: &Expr, step: usize, rate: f64) -> Result<Array> {
        let [loss, gradients @ ..] = self.gradients(x, y)?;
        if self.dtype == DType::F32 {
            for (parameter, g) in self.parameters.iter_mut().zip(&gradients) {
                parameter.descend(g, step as i32, rate)?;
            }
            return Ok(loss);
        }
        // f16 ends at 65,504: where a gradient went beyond, the step counts as one with gradient zero and the scale is
        // halved; else it grows a little. The device decides, the host need not wait.
        let finite = gradients.iter().map(|g| g.isfinite().all(..)).reduce(|a, b| a.logical_and(b));
        let finite = finite.ok_or("no gradients")?.eval()?;
        for (parameter, g) in self.parameters.iter_mut().zip(&gradients) {
            let g = select(&finite, g.astype(DType::F32) / &self.scale, 0.0);
            parameter.descend(&g, step as i32, rate)?;
        }
        self.scale.update(|s| select(&finite, s * 1.001, s * 0.5))?;
        Ok(loss)
    }

    /// The part of the test images whose digit gets the highest score.
    fn accuracy(&self, data: &Digits) -> Expr {
        self.forward(&data.test_x).argmax(-1).astype(DType::I32).equal(&data.test_y).mean(..)
    }
}
