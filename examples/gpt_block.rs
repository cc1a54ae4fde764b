//! One block of a transformer as in GPT-2, in f16 and in f32: how far apart are the results, and the times?
//!
//! ```text
//! cargo run --release --example gpt_block
//! ```

mod common;

use common::{Args, Progress, say};
use cupric::{Array, DType, Device, Expr, INF, Rng, arange, ones, s, select, zeros};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

struct Options {
    device: String,
    batch: usize,
    tokens: usize,
    heads: usize,
    width: usize,
    runs: usize,
    seed: u64,
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::new("gpt_block", "Runs one transformer block in f32 and in f16.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("batch", "N", "texts [4]")
        .option("tokens", "N", "of each text [128]")
        .option("heads", "N", "of the attention [8]")
        .option("width", "N", "numbers a token; a multiple of --heads [256]")
        .option("runs", "N", "timed, after one that is not [7]")
        .option("seed", "N", "of the weights and the input [0]")
        .flag("quiet", "no progress bar")
        .parse();
    let options = Options {
        device: args.device(),
        batch: args.positive("batch", 4),
        tokens: args.positive("tokens", 128),
        heads: args.positive("heads", 8),
        width: args.positive("width", 256),
        runs: args.positive("runs", 7),
        seed: args.get("seed", 0),
        quiet: args.has("quiet"),
    };
    if options.width % options.heads != 0 {
        args.wrong(format!("--width {} is no multiple of --heads {}", options.width, options.heads));
    }
    common::finish("gpt_block", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let Options { batch, tokens, heads, width, .. } = *options;
    say(format_args!("{device}: {batch} texts of {tokens} tokens, {width} wide, {heads} heads"))?;
    let mut progress = Progress::new("runs", 2 * (options.runs + 1), options.quiet);

    let mut results = vec![];
    for dtype in [DType::F32, DType::F16] {
        // the same draws for both; f16 is rounded from f32
        let mut rng = Rng::new(options.seed);
        let x = rng.normal([batch, tokens, width]).astype(dtype).to_device(&device)?;
        let block = Block::new(options, dtype, &device, &mut rng)?;
        let y = block.forward(&x).eval()?;
        device.synchronize()?;
        progress.step(dtype);
        let mut times = vec![];
        for _ in 0..options.runs {
            let started = Instant::now();
            block.forward(&x).eval()?;
            device.synchronize()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
            progress.step(dtype);
        }
        times.sort_by(f64::total_cmp);
        let (kernels, median) = (block.forward(&x).plan()?.kernels(), times[times.len() / 2]);
        // four square matrices' worth of attention, eight of the perceptron, and the scores and their use
        let products = batch * tokens * width * (12 * width + 2 * tokens);
        let rate = 2.0 * products as f64 / median / 1e6;
        progress.say(format_args!("{dtype}: {kernels} kernels, {median:.3} ms, {rate:.1} GFLOP/s in the products"))?;
        results.push(y.astype(DType::F32).eval()?);
    }
    drop(progress);

    let (y, half) = (&results[0], &results[1]);
    let (difference, largest) = ((half - y).abs().max(..).item::<f32>()?, y.abs().max(..).item::<f32>()?);
    let typical = ((half - y).square().mean(..) / y.square().mean(..)).sqrt().item::<f32>()?;
    say(format_args!("f32 result: mean {:.6}, deviation {:.6}", y.mean(..).item::<f32>()?, y.std(..).item::<f32>()?))?;
    say(format_args!("largest difference {difference:.5}: {:.2e} of the largest value", difference / largest))?;
    say(format_args!("typical difference (root of the mean square): {typical:.2e} of a typical value"))?;
    Ok(())
}

/// The weights and biases of a block.
struct Block {
    heads: usize,
    /// Of the two norms.
    scale: [Array; 2],
    shift: [Array; 2],
    /// To queries, keys and values; out of the attention; into the perceptron; out of it.
    layers: [(Array, Array); 4],
}

impl Block {
    fn new(options: &Options, dtype: DType, device: &Device, rng: &mut Rng) -> Result<Block> {
        let w = options.width;
        let make = |e: Expr| e.astype(dtype).to_device(device);
        let mut layer = |n: usize, m: usize| {
            let weights = make(rng.normal([n, m]) / (n as f64).sqrt())?;
            Ok::<_, cupric::Error>((weights, make(rng.normal([m]) * 0.02)?))
        };
        let layers = [layer(w, 3 * w)?, layer(w, w)?, layer(w, 4 * w)?, layer(4 * w, w)?];
        let (scale, shift) = (make(ones([w], dtype))?, make(zeros([w], dtype))?);
        Ok(Block { heads: options.heads, scale: [scale.clone(), scale], shift: [shift.clone(), shift], layers })
    }

    /// The whole block as one expression.
    fn forward(&self, x: &Expr) -> Expr {
        let x = x + self.attention(&self.norm(0, x));
        let inner = self.layer(2, &self.norm(1, &x)).gelu_tanh();
        x + self.layer(3, &inner)
    }

    fn norm(&self, i: usize, x: &Expr) -> Expr {
        x.layer_norm(-1, 1e-5) * &self.scale[i] + &self.shift[i]
    }

    fn layer(&self, i: usize, x: &Expr) -> Expr {
        let (weights, bias) = &self.layers[i];
        x.matmul(weights) + bias
    }

    /// Every token looks at itself and at those before it, once a head.
    fn attention(&self, x: &Expr) -> Expr {
        let Ok([batch, tokens, width]) = x.shape().map(|s| [s[0], s[1], s[2]]) else { return x.clone() };
        let size = width / self.heads;
        // to (queries, keys, values) × batch × heads × tokens × size, as a view
        let all = self.layer(0, x).reshape([batch, tokens, 3, self.heads, size]).permute_dims([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| all.slice(s![i]));
        let scores = q.matmul(k.matrix_transpose()) / (size as f64).sqrt();
        let position = arange(0, tokens as i64, 1);
        let later = position.greater(position.expand_dims(1));
        let mixed = select(later, -INF, scores).softmax(-1).matmul(v);
        let joined = mixed.permute_dims([0, 2, 1, 3]).reshape([batch, tokens, width]);
        self.layer(1, &joined)
    }
}
