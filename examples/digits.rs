//! Trains a classifier on handwritten digits: a network of two layers, whose gradients come from `grad`.
//!
//! ```text
//! cargo run --release --example digits -- --device best --dtype f32
//! ```
//!
//! The data stays on the device. A training step is a compiled function of the state and a batch, which runs as one
//! plan. The host reads back three numbers per epoch.
//!
//! With `--device gpu:0,gpu:1` each device has a copy of the state. Each device computes the gradients of its part of a
//! batch, and updates its copy with the sum of the gradients of all devices.

mod common;

use clap::Parser;
use common::{picture, plot, say};
use cupric::{
    Array, Compiled, DType, Device, Expr, Rng, concat, devices, full, grad, s, select, stack, zeros, zeros_like,
};
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
const PIXELS: usize = 64;
const HIDDEN: usize = 128;
const DIGITS: usize = 10;
const LEARNING_RATE: f64 = 0.008;
/// Decay rates of Adam's running means of the gradients and of their squares.
const BETAS: [f64; 2] = [0.9, 0.999];
/// Standard deviation of the noise that is added to training images, relative to the standard deviation of a pixel.
const NOISE: f64 = 0.5;

/// Trains a small neural network on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Where to compute; several devices, as in gpu:0,gpu:1, share each batch
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Type of the numbers in the forward and the backward pass
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16"])]
    dtype: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = common::positive)]
    epochs: usize,
    /// Images per training step
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = common::positive)]
    batch: usize,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A .npy file of u8 with 64 pixels and a label per row [default: the digits in examples/data]
    #[arg(long, value_name = "FILE", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
    /// Where to draw the loss
    #[arg(long, value_name = "FILE", default_value = "digits-loss.png")]
    plot: PathBuf,
    /// Where to draw test images with the network's answers [default: nowhere]
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("digits");
    common::finish("digits", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let all: Vec<Device> = options.device.split(',').map(str::parse).collect::<cupric::Result<_>>()?;
    let device = all.first().ok_or("no device")?;
    let mut rng = Rng::new(options.seed);
    let dtype = if options.dtype == "f16" { DType::F16 } else { DType::F32 };
    let data = Digits::load(options, dtype, device, &mut rng)?;
    let state = initial(dtype, device, &mut rng)?;
    let mut states: Vec<State<Array>> = all.iter().map(|device| copy(&state, device)).collect::<cupric::Result<_>>()?;
    let (images, tests) = (data.train_y.shape()[0], data.test_y.shape()[0]);
    let batch = options.batch.min(images);
    let steps = images.div_ceil(batch).saturating_mul(options.epochs);
    let names = all.iter().map(Device::to_string).collect::<Vec<_>>().join(" and ");
    say(format_args!("{names}: {images} images to train on, {tests} to test, {steps} steps"))?;

    // `step` is a training step on one device; `part` and `finish` are the two halves of a step on several devices
    let step = Compiled::new(|(state, x, y, numbers): (State<Expr>, Expr, Expr, Expr)| {
        let found = gradients(&state, &x, &y, &numbers, dtype);
        update(state, &found, &numbers, dtype)
    });
    let part = Compiled::new(|(state, x, y, numbers): (State<Expr>, Expr, Expr, Expr)| {
        let found = gradients(&state, &x, &y, &numbers, dtype);
        concat(found.map(|g| g.reshape([-1])), 0)
    });
    let finish = Compiled::new(|(state, sum, numbers): (State<Expr>, Expr, Expr)| {
        let mut from = 0;
        let found = SHAPES.map(|shape| {
            let (begin, size) = (from, shape.iter().product::<usize>());
            from += size;
            sum.slice(s![begin..from]).reshape(shape)
        });
        update(state, &found, &numbers, dtype)
    });
    let progress = common::progress("training", steps, options.quiet);
    let (mut losses, mut accuracy, mut done) = (vec![], 0.0, 0);
    let started = Instant::now();
    for epoch in 1..=options.epochs {
        // one kernel shuffles the images and adds a little noise, so that the network does not learn them by heart
        let order = rng.permutation(images).astype(DType::I32).to_device(device)?;
        let noise = rng.normal([images, PIXELS], DType::F32) * NOISE;
        let x = (data.train_x.take(&order, 0) + noise).astype(dtype).eval()?;
        let y = data.train_y.take(&order, 0).eval()?;
        for (state, device) in states.iter_mut().zip(&all) {
            state.4 = zeros((), DType::F32).to_device(device)?;
        }
        // the learning rate and the number of images of each step
        let each = |i: usize| [rate(done + i, steps), batch.min(images - i * batch) as f32];
        let numbers: Vec<f32> = (0..images.div_ceil(batch)).flat_map(each).collect();
        let numbers = devices::broadcast(Array::from_vec(numbers, [-1, 2])?, &all)?;
        for (i, from) in (0..images).step_by(batch).enumerate() {
            // a batch is a view, which costs nothing; the slice's end is clamped, so the last batch may be smaller
            let (rows, now) = (s![from..from + batch], s![i]);
            let (x, y) = (x.slice(rows), y.slice(rows));
            if let [state] = &mut states[..] {
                *state = step.call(&(&*state, x, y, numbers[0].slice(now)))?;
            } else {
                let (x, y) = (devices::scatter(x, &all, 0)?, devices::scatter(y, &all, 0)?);
                let of = |d: usize| part.call(&(&states[d], &x[d], &y[d], numbers[d].slice(now)));
                let sums = devices::all_reduce(&(0..all.len()).map(of).collect::<cupric::Result<Vec<_>>>()?)?;
                for (d, state) in states.iter_mut().enumerate() {
                    *state = finish.call(&(&*state, &sums[d], numbers[d].slice(now)))?;
                }
            }
            done += 1;
            progress.inc(1);
        }
        // everything above was only enqueued; this waits for it
        let (weights, .., scale, total) = &states[0];
        let weights: Vec<Expr> = weights.iter().map(Expr::from).collect();
        let found = scores(&weights, &data.test_x, dtype).argmax(-1).astype(DType::I32);
        let report = stack([total / images, found.equal(&data.test_y).mean(..), scale.into()], 0).to_vec::<f32>()?;
        let [loss, correct, scale] = report[..] else { return Err("three numbers were expected".into()) };
        accuracy = correct;
        losses.push(f64::from(loss));
        let scaled = if dtype == DType::F16 { format!("  loss scale {scale:.0}") } else { String::new() };
        let line = format!("epoch {epoch:3}  loss {loss:.6}  test accuracy {accuracy:.4}{scaled}");
        progress.suspend(|| say(line))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);

    plot::line_chart(&options.plot, "Handwritten digits", "epoch", "training loss", &losses)?;
    say(format_args!("the loss is drawn in {}", options.plot.display()))?;
    draw_answers(options, &states[0], &data, dtype)?;
    let kinds = all.iter().map(|device| if device.is_gpu() { "gpu" } else { "cpu" }).collect::<Vec<_>>().join(",");
    let epochs = options.epochs;
    let results = format!("accuracy={accuracy:.4} seconds={seconds:.2} weights={}", hashes(&states)?);
    say(format_args!("device={kinds} dtype={dtype} epochs={epochs} {results}"))?;
    Ok(())
}

/// Returns a hash of the bits of each device's weights, by which two runs can be compared.
fn hashes(states: &[State<Array>]) -> Result<String> {
    let hash = |state: &State<Array>| {
        let mut hasher = DefaultHasher::new();
        for weights in &state.0 {
            hasher.write(&weights.to_bytes()?);
        }
        Ok(format!("{:016x}", hasher.finish()))
    };
    Ok(states.iter().map(hash).collect::<Result<Vec<_>>>()?.join(","))
}

/// With `--answers`, draws the first test images, each below the network's answer and the answer's probability.
fn draw_answers(options: &Options, state: &State<Array>, data: &Digits, dtype: DType) -> Result<()> {
    const COUNT: usize = 18;
    const COLUMNS: usize = 6;
    const LARGER: usize = 8;
    let Some(file) = &options.answers else { return Ok(()) };
    let count = COUNT.min(data.test_y.shape()[0]);
    let weights: Vec<Expr> = state.0.iter().map(Expr::from).collect();
    let chances = scores(&weights, &data.test_x, dtype).slice(s![..count]).astype(DType::F32).softmax(-1);
    let (sure, found) = (chances.max(-1).to_vec::<f32>()?, chances.argmax(-1).to_vec::<i64>()?);
    let light = 255.0 - data.test_pixels.slice(s![..count]) * (255.0 / 16.0);
    let light = light.reshape([count, 8, 1, 8, 1, 1]).broadcast_to([count, 8, LARGER, 8, LARGER, 3]);
    let bytes = light.round().astype(DType::U8).to_vec::<u8>()?;
    let side = 8 * LARGER;
    let parts = (bytes.chunks_exact(side * side * 3).zip(found).zip(sure))
        .map(|((part, digit), sure)| {
            let caption = format!("{digit}  {:.0} %", sure * 100.0);
            Ok((caption, picture::from_rgb(side, side, part.to_vec())?))
        })
        .collect::<Result<Vec<_>>>()?;
    picture::save(&picture::sheet(&parts, COLUMNS)?, file)?;
    say(format_args!("the network's answers are drawn in {}", file.display()))?;
    Ok(())
}

/// The standardized images (`x`) and their digits (`y`): four fifths for training, one fifth for testing.
struct Digits {
    train_x: Array,
    train_y: Array,
    test_x: Array,
    test_y: Array,
    /// The test images as they are in the file, from 0 to 16.
    test_pixels: Expr,
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
        // a pixel that is blank in all images has a spread of zero, up to rounding: divide it by 1
        let spread = select(spread.greater(1e-3), &spread, 1.0).eval()?;
        let standard = |x: &Expr| ((x - &mean) / &spread).astype(dtype).eval();
        Ok(Digits {
            train_x: standard(&pixels[0])?,
            train_y: digits[0].astype(DType::I32).eval()?,
            test_x: standard(&pixels[1])?,
            test_y: digits[1].astype(DType::I32).eval()?,
            test_pixels: pixels[1].clone(),
        })
    }
}

/// Checks that the array from the file has the shape, the dtype and the labels that the network needs.
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

/// The state that a step reads and returns: the weights and biases of both layers, the running means of their
/// gradients, the running means of the squared gradients, the loss scale (which keeps f16 from flushing small gradients
/// to zero), and the loss summed over the epoch's images so far. All are f32.
type State<T> = (Vec<T>, Vec<T>, Vec<T>, T, T);

/// The shapes of the results of `gradients`: the gradients of the weights and biases, and the loss.
const SHAPES: [&[usize]; 5] = [&[PIXELS, HIDDEN], &[HIDDEN], &[HIDDEN, DIGITS], &[DIGITS], &[]];

/// Returns the state before the first step. The network has 64 pixels, 128 hidden units with relu, and 10 digits.
fn initial(dtype: DType, device: &Device, rng: &mut Rng) -> Result<State<Array>> {
    // He initialisation: relu halves the variance, and the factor 2 restores it
    let mut weights = vec![];
    for shape in &SHAPES[..4] {
        let value = match shape {
            [n, _] => rng.normal(shape.to_vec(), DType::F32) * (2.0 / *n as f64).sqrt(),
            _ => zeros(shape.to_vec(), DType::F32),
        };
        // the values are drawn on the device itself
        weights.push(value.to_device(device)?);
    }
    let means = || weights.iter().map(|w| zeros_like(w).eval()).collect::<cupric::Result<_>>();
    let (means, squares) = (means()?, means()?);
    let scale = if dtype == DType::F16 { 32768.0 } else { 1.0 };
    let [scale, total] = [scale, 0.0].map(|value| full((), value, DType::F32).to_device(device));
    Ok((weights, means, squares, scale?, total?))
}

/// Returns the state on a device. Arrays that are there already are not copied.
fn copy(state: &State<Array>, device: &Device) -> cupric::Result<State<Array>> {
    let list = |arrays: &[Array]| arrays.iter().map(|x| x.to_device(device)).collect::<cupric::Result<_>>();
    let (weights, means, squares, scale, total) = state;
    Ok((list(weights)?, list(means)?, list(squares)?, scale.to_device(device)?, total.to_device(device)?))
}

/// Returns scores (logits) of the ten digits. The scores and the weights are f32; the computation between them has
/// the type `dtype`.
fn scores(weights: &[Expr], x: &Expr, dtype: DType) -> Expr {
    let w: Vec<Expr> = weights.iter().map(|w| w.astype(dtype)).collect();
    let hidden = (x.matmul(&w[0]) + &w[1]).relu();
    (hidden.matmul(&w[2]) + &w[3]).astype(DType::F32)
}

/// Returns the gradients of a batch's mean loss, times the loss scale, and the loss summed over the images `x`, which
/// are the whole batch or one device's part of it.
fn gradients(state: &State<Expr>, x: &Expr, y: &Expr, numbers: &Expr, dtype: DType) -> [Expr; 5] {
    let (weights, .., scale, _) = state;
    let loss = scores(weights, x, dtype).cross_entropy(y).sum(..);
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| &weights[i]);
    let [a, b, c, d] = grad(&(&loss * (scale / numbers.slice(s![1]))), [a, b, c, d]);
    [a, b, c, d, loss]
}

/// Returns the state after a step of Adam (Kingma and Ba, 2015).
fn update(state: State<Expr>, found: &[Expr; 5], numbers: &Expr, dtype: DType) -> State<Expr> {
    let [b1, b2] = BETAS;
    let (mut weights, mut means, mut squares, mut scale, total) = state;
    let [gradients @ .., loss] = found;
    let (mut gradients, rate) = (gradients.to_vec(), numbers.slice(s![0]));
    if dtype == DType::F16 {
        // the largest f16 is 65,504: if a gradient overflowed, the step uses zero gradients and halves the scale;
        // otherwise the scale grows a little. The device decides, so the host need not wait.
        let finite = gradients.iter().fold(Expr::from(true), |all, g| all.logical_and(g.isfinite().all(..)));
        gradients.iter_mut().for_each(|g| *g = select(&finite, &*g / &scale, 0.0));
        scale = select(&finite, &scale * 1.001, &scale * 0.5);
    }
    for (i, g) in gradients.iter().enumerate() {
        means[i] = &means[i] * b1 + g * (1.0 - b1);
        squares[i] = &squares[i] * b2 + g.square() * (1.0 - b2);
        weights[i] = &weights[i] - &means[i] * &rate / (squares[i].sqrt() + 1e-8);
    }
    (weights, means, squares, scale, total + loss)
}

/// Returns the learning rate of a step. Adam's means start at zero and are too small at first; the rate corrects this.
fn rate(step: usize, steps: usize) -> f32 {
    let [a, b] = BETAS.map(|b| 1.0 - b.powi(step as i32 + 1));
    (LEARNING_RATE * (1.0 - step as f64 / steps as f64) * b.sqrt() / a) as f32
}
