//! Runs one transformer block, as in GPT-2, in f32 and in f16, and compares the results and the times.
//!
//! ```text
//! cargo run --release --example gpt_block -- --profile
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{Array, DType, Device, Expr, INF, Rng, arange, s, select};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Runs one transformer block in f32 and in f16.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Number of texts
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = common::positive)]
    batch: usize,
    /// Tokens of each text
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = common::positive)]
    tokens: usize,
    /// Heads of the attention
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = common::positive)]
    heads: usize,
    /// Numbers per token; a multiple of --heads
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = common::positive)]
    width: usize,
    /// Timed runs, after one run that is not timed
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = common::positive)]
    runs: usize,
    /// Seed of the weights and the input
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print how long the kernels of each source line take
    #[arg(long)]
    profile: bool,
    /// With --profile: where to write a trace of the kernels of the f16 runs, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("gpt_block");
    common::finish("gpt_block", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { batch, tokens, width, heads, runs, seed, .. } = *options;
    if width % heads != 0 {
        common::wrong("gpt_block", format!("--width {width} is no multiple of --heads {heads}"));
    }
    let device: Device = options.device.parse()?;
    say(format_args!("{device}: {batch} texts of {tokens} tokens, {width} wide, {heads} heads"))?;
    let progress = common::progress("runs", runs.saturating_add(1).saturating_mul(2), options.quiet);

    let mut results = vec![];
    for dtype in [DType::F32, DType::F16] {
        // both dtypes use the same random numbers; the f16 values are rounded from f32
        let mut rng = Rng::new(seed);
        let x = rng.normal([batch, tokens, width], DType::F32).astype(dtype).to_device(&device)?;
        let block = Block::new(width, heads, dtype, &device, &mut rng)?;
        let (mut result, mut times) = (x.clone(), vec![]);
        for _ in 0..=runs {
            let started = Instant::now();
            result = block.forward(&x).eval()?;
            device.synchronize()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            progress.set_message(dtype.to_string());
            progress.inc(1);
        }
        // leave out the first run, because it compiled the kernels
        times.remove(0);
        times.sort_by(f64::total_cmp);
        let (kernels, median) = (block.forward(&x).plan()?.kernels(), times[times.len() / 2]);
        // multiply-adds per token: 12 width² for weights (attention 4, perceptron 8), 2 tokens · width for attention
        let products = (batch * tokens * width) as f64 * (12 * width + 2 * tokens) as f64;
        let rate = 2.0 * products / median / 1e6;
        let line = format!("{dtype}: {kernels} kernels, {median:.3} ms, {rate:.1} GFLOP/s in the products");
        progress.suspend(|| say(line))?;
        if options.profile {
            let (_, profile) = device.profile(|| (0..runs).try_for_each(|_| block.forward(&x).eval().map(drop)))?;
            progress.suspend(|| say(&profile))?;
            if let Some(path) = &options.trace {
                profile.to_chrome_trace(path)?;
            }
        }
        results.push(result.astype(DType::F32).eval()?);
    }
    drop(progress);

    let (y, half) = (&results[0], &results[1]);
    let (difference, largest) = ((half - y).abs().max(..), y.abs().max(..));
    let typical = ((half - y).square().mean(..) / y.square().mean(..)).sqrt();
    say(format_args!("f32 result: mean {:.6}, deviation {:.6}", y.mean(..).item::<f32>()?, y.std(..).item::<f32>()?))?;
    say(format_args!("largest difference: {:.2e} of the largest value", (difference / largest).item::<f32>()?))?;
    say(format_args!("typical difference: {:.2e} of a typical value (roots of mean squares)", typical.item::<f32>()?))?;
    Ok(())
}

struct Block {
    heads: usize,
    /// Weights and biases of the layers: queries, keys, values; attention output; perceptron input; perceptron output.
    layers: [(Array, Array); 4],
}

impl Block {
    fn new(w: usize, heads: usize, dtype: DType, device: &Device, rng: &mut Rng) -> Result<Block> {
        let make = |e: Expr| e.astype(dtype).to_device(device);
        let mut layer = |n: usize, m: usize| -> Result<(Array, Array)> {
            Ok((make(rng.normal([n, m], DType::F32) / (n as f64).sqrt())?, make(rng.normal([m], DType::F32) * 0.02)?))
        };
        let layers = [layer(w, 3 * w)?, layer(w, w)?, layer(w, 4 * w)?, layer(4 * w, w)?];
        Ok(Block { heads, layers })
    }

    /// The whole block as one expression.
    fn forward(&self, x: &Expr) -> Expr {
        // a layer norm's own scale and shift are assumed to be part of the next layer's weights and bias
        let x = x + self.attention(&x.layer_norm(-1, 1e-5));
        let inner = self.layer(2, &x.layer_norm(-1, 1e-5)).gelu_tanh();
        x + self.layer(3, &inner)
    }

    fn layer(&self, i: usize, x: &Expr) -> Expr {
        let (weights, bias) = &self.layers[i];
        x.matmul(weights) + bias
    }

    /// Causal self-attention: in each head, every token attends to itself and to the tokens before it.
    fn attention(&self, x: &Expr) -> Expr {
        let [batch, tokens, width] = match x.dims() {
            Ok(dims) => dims,
            Err(e) => return e.into(),
        };
        let size = width / self.heads;
        // a view of shape (queries, keys, values) × batch × heads × tokens × size
        let all = self.layer(0, x).reshape([batch, tokens, 3, self.heads, size]).permute_dims([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| all.slice(s![i]));
        let scores = q.matmul(k.matrix_transpose()) / (size as f64).sqrt();
        let position = arange(0, tokens, 1, DType::I32);
        let later = position.greater(position.expand_dims(1));
        let mixed = select(later, -INF, scores).softmax(-1).matmul(v);
        let joined = mixed.permute_dims([0, 2, 1, 3]).reshape([batch, tokens, width]);
        self.layer(1, &joined)
    }
}
