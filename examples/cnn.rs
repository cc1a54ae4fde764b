//! Trains a convolutional network on handwritten digits, with the optimisers and the loss scaling of `cupric::train`.
//!
//! ```text
//! cargo run --release --features train --example cnn -- --device best --dtype f16
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::train::{Adam, AdamState, Batches, LossScale, cosine, eval_tree, he_normal};
use cupric::{Array, Conv, DType, Device, Expr, Parameters, Rng, s, value_and_grad, zeros};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
const SIDE: usize = 8;
const DIGITS: usize = 10;
const RATE: f64 = 0.006;
/// Standard deviation of the noise that is added to training images, whose pixels range from 0 to 1.
const NOISE: f64 = 0.03;

/// Trains a convolutional network on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Type of the numbers in the forward and the backward pass
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16"])]
    dtype: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = common::positive)]
    epochs: usize,
    /// Images per training step
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = common::positive)]
    batch: usize,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A .npy file of u8 with 64 pixels and a label per row [default: the digits in examples/data]
    #[arg(long, value_name = "FILE", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("cnn");
    common::finish("cnn", run(&options))
}

/// Weights and biases of two convolutions and two dense layers; all f32.
struct Net<T> {
    layers: [(T, T); 4],
}

impl<T: Parameters> Parameters for Net<T> {
    type With<U> = Net<T::With<U>>;
    fn leaves<'a>(&'a self, list: &mut Vec<&'a Expr>) {
        self.layers.leaves(list);
    }
    fn with<U>(&self, next: &mut dyn FnMut() -> U) -> Net<T::With<U>> {
        Net { layers: self.layers.with(next) }
    }
}

impl Net<Array> {
    fn new(rng: &mut Rng, device: &Device) -> Result<Net<Array>> {
        let shapes: [&[usize]; 4] = [&[16, 1, 3, 3], &[32, 16, 3, 3], &[32 * 4 * 4, 64], &[64, DIGITS]];
        let mut layers = vec![];
        for shape in shapes {
            let outputs = if let [outputs, _, _, _] = shape { vec![*outputs, 1, 1] } else { vec![shape[1]] };
            let weights = he_normal(shape, DType::F32, rng).to_device(device)?;
            layers.push((weights, zeros(outputs, DType::F32).to_device(device)?));
        }
        Ok(Net { layers: layers.try_into().map_err(|_| "four layers")? })
    }

    /// Returns scores (logits) of the ten digits for images of shape [n, 1, 8, 8].
    fn forward(&self, x: &Expr, dropout: Option<&mut Rng>) -> Expr {
        // both the forward and the backward pass have the dtype of the images
        let dtype = x.dtype().unwrap_or(DType::F32);
        let [c1, c2, d1, d2] = self.layers.each_ref().map(|(w, b)| (w.astype(dtype), b.astype(dtype)));
        let x = (x.conv2d(&c1.0, Conv::default().padding(1)) + c1.1).relu();
        let x = (x.conv2d(&c2.0, Conv::default().padding(1)) + c2.1).relu().max_pool2d(2);
        let x = (x.reshape([-1, 32 * 4 * 4]).matmul(d1.0) + d1.1).relu();
        let x = dropout.map_or(x.clone(), |rng| x.dropout(0.4, rng));
        (x.matmul(d2.0) + d2.1).astype(DType::F32)
    }
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let dtype = if options.dtype == "f16" { DType::F16 } else { DType::F32 };
    let mut rng = Rng::new(options.seed);
    let (train, test) = load(options, dtype, &device, &mut rng)?;
    let batch = options.batch.min(train.1.size());
    let steps = train.1.size() / batch * options.epochs;
    say(format_args!("{device}: {} images to train on, {} to test, {steps} steps", train.1.size(), test.1.size()))?;

    let mut net = Net::new(&mut rng, &device)?;
    let mut adam = Adam { decay: 0.1, ..Adam::new(RATE) };
    let scaling = LossScale { start: if dtype == DType::F16 { 32768.0 } else { 1.0 }, interval: 200 };
    let mut state: AdamState<Net<Array>> = adam.init(&net)?;
    let mut scale = scaling.init(&net)?;

    let progress = common::progress("training", steps, options.quiet);
    let (mut accuracy, mut step, started) = (0.0, 0, Instant::now());
    for epoch in 0..options.epochs {
        let mut last = None;
        for batch in Batches::new(&train, batch, options.seed.wrapping_add(epoch as u64))?.drop_last() {
            let (x, y) = batch?;
            adam.rate = cosine(step, RATE, 0.0, steps as u64);
            let x = &x + rng.normal(x.shape(), dtype) * NOISE;
            let (loss, grads) = value_and_grad(&net, |net| {
                scaling.scale(net.forward(&x, Some(&mut rng)).cross_entropy(&y).mean(..), &scale)
            });
            // in f16 a step whose derivatives overflow changes nothing but the scale
            let grads = scaling.unscale(&grads, &scale);
            let next = adam.update(&net, &grads, &state);
            let (next, next_scale) = scaling.update(&grads, &scale, &(&net, &state), &next);
            let loss = loss / &scale[0];
            (last, ((net, state), scale)) = {
                let (loss, next, next_scale) = eval_tree(&(loss, next, next_scale))?;
                (Some(loss), (next, next_scale))
            };
            step += 1;
            progress.inc(1);
        }
        // everything above was only enqueued; this waits for it
        let loss = last.ok_or("no batch")?.item::<f32>()?;
        let right = net.forward(&test.0, None).argmax(-1).astype(DType::I32).equal(&test.1);
        accuracy = right.mean(..).item::<f32>()?;
        let line = format!("epoch {:3}  loss {loss:.4}  test accuracy {accuracy:.4}", epoch + 1);
        progress.suspend(|| say(line))?;
    }
    drop(progress);
    let (seconds, device) = (started.elapsed().as_secs_f64(), if device.is_gpu() { "gpu" } else { "cpu" });
    let epochs = options.epochs;
    say(format_args!("device={device} dtype={dtype} epochs={epochs} accuracy={accuracy:.4} seconds={seconds:.2}"))?;
    Ok(())
}

/// Loads images, of shape [n, 1, 8, 8] with values from 0 to 1, and their digits: 4/5 for training, 1/5 for testing.
fn load(options: &Options, dtype: DType, device: &Device, rng: &mut Rng) -> Result<((Array, Array), (Array, Array))> {
    let raw = Array::from_npy(&options.data)?;
    let (images, columns) = match raw.shape() {
        [images, columns] if *images >= 10 && *columns == SIDE * SIDE + 1 && raw.dtype() == DType::U8 => {
            (*images, *columns)
        }
        shape => {
            let found = format!("{} of shape {shape:?}", raw.dtype());
            return Err(
                format!("{}: digits are u8 of shape [10 or more, 65], not {found}", options.data.display()).into()
            );
        }
    };
    let digit = raw.slice(s![.., columns - 1]).max(..).item::<u8>()?;
    if usize::from(digit) >= DIGITS {
        return Err(format!("{}: {digit} is not a digit", options.data.display()).into());
    }
    let order = rng.permutation(images).astype(DType::I32).to_device(device)?;
    let raw = raw.to_device(device)?.take(&order, 0).eval()?;
    let part = |rows: Expr| -> Result<(Array, Array)> {
        let x = rows.slice(s![.., ..columns - 1]).astype(dtype) / 16.0;
        let y = rows.slice(s![.., columns - 1]).astype(DType::I32);
        Ok((x.reshape([-1, 1, SIDE as isize, SIDE as isize]).eval()?, y.eval()?))
    };
    let split = images * 4 / 5;
    Ok((part(raw.slice(s![..split]))?, part(raw.slice(s![split..]))?))
}
