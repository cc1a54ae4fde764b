//! Trains a small transformer on a text, character by character, and then lets it write a continuation of the text.
//!
//! ```text
//! cargo run --release --features train,safetensors --example chars
//! ```
//!
//! By default the text is this library's guide. `--save FILE` saves the state of the training, and `--resume FILE`
//! continues from a saved state.

mod common;

use clap::Parser;
use common::{plot, say};
use cupric::train::{
    Adam, AdamState, LossScale, clip_by_global_norm, cosine, eval_tree, glorot_uniform, named, warm_up, with_named,
};
use cupric::{
    Array, Attention, DType, Device, Expr, Rng, SafeTensors, arange, attention, ones, s, save_safetensors,
    value_and_grad,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const GUIDE: [&str; 5] = [
    include_str!("../src/guide/laziness.md"),
    include_str!("../src/guide/views.md"),
    include_str!("../src/guide/devices.md"),
    include_str!("../src/guide/derivatives.md"),
    include_str!("../src/guide/accuracy.md"),
];
/// Length of a sequence, in characters: the network reads this many characters at once.
const LENGTH: usize = 64;
const WIDTH: usize = 64;
const HEADS: usize = 4;
const BLOCKS: usize = 2;
const RATE: f64 = 0.003;
/// Steps between two lines of the report.
const REPORT: usize = 50;

/// Trains a small transformer to write like the text of a file.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Type of the numbers in the forward and the backward pass
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16"])]
    dtype: String,
    /// Steps of training
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = common::positive)]
    steps: usize,
    /// Sequences of text per training step
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = common::positive)]
    batch: usize,
    /// Characters to write at the end
    #[arg(long, value_name = "N", default_value_t = 400)]
    write: usize,
    /// Seed of every random draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A text in UTF-8 [default: this library's guide]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Where to save the state of the training
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// A saved state to continue from; the text must be the same
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Where to draw the loss
    #[arg(long, value_name = "FILE", default_value = "chars-loss.png")]
    plot: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("chars");
    common::finish("chars", run(&options))
}

/// The embeddings of characters and of positions, the weights of each block, and the last layer norm's gain; all f32.
type Weights = (Array, Array, Vec<[Array; 6]>, Array);

/// The state from which training continues: weights, state of the optimiser, loss scale.
type State = (Weights, AdamState<Weights>, [Array; 2]);

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let dtype = if options.dtype == "f16" { DType::F16 } else { DType::F32 };
    let mut rng = Rng::new(options.seed);
    let text = Text::load(options, &device)?;
    let mut adam = Adam { decay: 0.01, ..Adam::new(RATE) };
    let scaling = LossScale { start: if dtype == DType::F16 { 1024.0 } else { 1.0 }, interval: 200 };
    let weights = initial(text.vocabulary.len(), &mut rng, &device)?;
    let mut state: State = (weights.clone(), adam.init(&weights)?, scaling.init(&weights)?);
    if let Some(file) = &options.resume {
        state =
            with_named(&state, SafeTensors::open(file)?.read_all()?).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    let done = state.1.0.item::<f32>()? as u64;
    let (read, size, steps) = (text.train.size(), text.vocabulary.len(), options.steps);
    say(format_args!(
        "{device}: {read} characters to read, {size} different ones, steps {done} to {}",
        done + steps as u64
    ))?;

    let progress = common::progress("training", steps, options.quiet);
    let (mut losses, mut sum, mut last, started) = (vec![], 0.0, f32::NAN, Instant::now());
    for step in 0..steps {
        adam.rate = warm_up(step as u64 + 1, cosine(step as u64, RATE, RATE / 20.0, steps as u64), 50);
        let (x, y) = text.sequences(&text.train, options.batch, &mut rng)?;
        let (weights, moments, scale) = &state;
        let (loss, grads) = value_and_grad(weights, |weights| {
            scaling.scale(scores(weights, &x, dtype).cross_entropy(&y).mean(..), scale)
        });
        let grads = clip_by_global_norm(&scaling.unscale(&grads, scale), 1.0);
        let next = adam.update(weights, &grads, moments);
        let ((next, moments), next_scale) = scaling.update(&grads, scale, &(weights, moments), &next);
        let (loss, next) = eval_tree(&(loss / &scale[0], (next, moments, next_scale)))?;
        state = next;
        sum += f64::from(loss.item::<f32>()?);
        if (step + 1) % REPORT == 0 || step + 1 == steps {
            losses.push(sum / (step % REPORT + 1) as f64);
            sum = 0.0;
            // the fixed seed draws the same test sequences for every report
            let (x, y) = text.sequences(&text.test, 64, &mut Rng::new(1))?;
            last = scores(&state.0, &x, dtype).cross_entropy(&y).mean(..).item::<f32>()?;
            let line = format!("step {:5}  loss {:.3}  of unseen text {last:.3}", step + 1, losses[losses.len() - 1]);
            progress.suspend(|| say(line))?;
        }
        progress.inc(1);
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(progress);

    if let Some(file) = &options.save {
        save_safetensors(file, named(&state)?, [("text", text.vocabulary.iter().collect::<String>())])?;
        say(format_args!("the state is in {}", file.display()))?;
    }
    plot::line_chart(&options.plot, "A text, character by character", "50 steps", "training loss", &losses)?;
    say(format_args!("the loss is drawn in {}", options.plot.display()))?;
    say(format_args!("--\n{}\n--", text.written(&state.0, options.write, dtype, &mut rng)?))?;
    let device = if device.is_gpu() { "gpu" } else { "cpu" };
    say(format_args!("device={device} dtype={dtype} steps={steps} loss={last:.3} seconds={seconds:.2}"))?;
    Ok(())
}

/// A text as indices into `vocabulary`: the first nine tenths for training, the last tenth for testing.
struct Text {
    vocabulary: Vec<char>,
    train: Array,
    test: Array,
}

impl Text {
    fn load(options: &Options, device: &Device) -> Result<Text> {
        let (name, text) = match &options.text {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
                (file.display().to_string(), text)
            }
            None => ("the guide".to_string(), GUIDE.concat()),
        };
        let mut vocabulary: Vec<char> = text.chars().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let numbers = text.chars().map(|c| vocabulary.binary_search(&c).map_or(0, |n| n as i32)).collect::<Vec<_>>();
        let (count, split) = (numbers.len(), numbers.len() * 9 / 10);
        if count - split <= LENGTH + 1 {
            return Err(format!("{name}: {count} characters; at least {} are needed", 10 * LENGTH + 20).into());
        }
        let all = Array::from_vec(numbers, [count])?.to_device(device)?;
        let [train, test] = [all.slice(s![..split]).eval()?, all.slice(s![split..]).eval()?];
        Ok(Text { vocabulary, train, test })
    }

    /// Returns random sequences of a text, and as targets the same sequences shifted by one character.
    fn sequences(&self, text: &Array, count: usize, rng: &mut Rng) -> Result<(Array, Array)> {
        let first = rng.integers(0, (text.size() - LENGTH) as i64, [count, 1], DType::I32).to_device(&text.device())?;
        let positions = &first + arange(0, LENGTH + 1, 1, DType::I32).to_device(&text.device())?;
        let sequences = text.take(positions, 0).eval()?;
        Ok((sequences.slice(s![.., ..-1]).eval()?, sequences.slice(s![.., 1..]).eval()?))
    }

    /// Continues the beginning of the test text. Draws each character by its probability, at temperature 0.7.
    fn written(&self, weights: &Weights, count: usize, dtype: DType, rng: &mut Rng) -> Result<String> {
        let mut read: Vec<i32> = self.test.slice(s![..LENGTH]).to_vec()?;
        let mut out = String::new();
        for _ in 0..count {
            let x = Array::from_slice(&read[read.len() - LENGTH..], [1, LENGTH])?.to_device(&self.test.device())?;
            let scores = scores(weights, &x, dtype).slice(s![0, -1]).to_device(&Device::cpu())?;
            let next = rng.categorical(scores / 0.7, 0).astype(DType::I32).item::<i32>()?;
            out.push(self.vocabulary[next as usize]);
            read.push(next);
        }
        Ok(out)
    }
}

/// Returns random weights for a new network.
fn initial(size: usize, rng: &mut Rng, device: &Device) -> Result<Weights> {
    let (c, f) = (WIDTH, DType::F32);
    let here = |e: Expr| e.to_device(device);
    let blocks = (0..BLOCKS).map(|_| {
        let matrices = [[c, 3 * c], [c, c], [c, 4 * c], [4 * c, c]].map(|shape| here(glorot_uniform(shape, f, rng)));
        let [qkv, out, up, down] = matrices;
        Ok([qkv?, out?, up?, down?, here(ones([c], f))?, here(ones([c], f))?])
    });
    let blocks = blocks.collect::<Result<Vec<_>>>()?;
    let embeddings = [[size, c], [LENGTH, c]].map(|shape| here(rng.normal(shape, f) * 0.1));
    let [characters, positions] = embeddings;
    Ok((characters?, positions?, blocks, here(ones([c], f))?))
}

/// Returns scores (logits) of the next character at each position of `sequences`, which have the shape [n, LENGTH].
fn scores((characters, positions, blocks, gain): &Weights, sequences: &Array, dtype: DType) -> Expr {
    let n = sequences.shape()[0];
    let norm = |x: &Expr, gain: &Array| (x.astype(DType::F32).layer_norm(-1, 1e-5) * gain).astype(dtype);
    let heads = |x: Expr| x.reshape([n, LENGTH, HEADS, WIDTH / HEADS]).permute_dims([0, 2, 1, 3]);
    let mut x = (characters.take(sequences, 0) + positions).astype(dtype);
    for weights in blocks {
        let [qkv, out, up, down] = [0, 1, 2, 3].map(|i| weights[i].astype(dtype));
        let all = norm(&x, &weights[4]).matmul(qkv);
        let [q, k, v] = [0, 1, 2].map(|i| heads(all.slice(s![.., .., i * WIDTH..(i + 1) * WIDTH])));
        let read = attention(q, k, v, Attention::default().causal());
        x = x + read.permute_dims([0, 2, 1, 3]).reshape([n, LENGTH, WIDTH]).matmul(out);
        let hidden = norm(&x, &weights[5]).matmul(up).gelu_tanh();
        x = x + hidden.matmul(down);
    }
    norm(&x, gain).matmul(characters.t().astype(dtype)).astype(DType::F32)
}
