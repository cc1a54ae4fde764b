//! Recognises handwritten digits by their nearest neighbours. One matrix product gives all distances, `argtopk` finds
//! the nearest images, and a running sum counts their votes.
//!
//! ```text
//! cargo run --release --example neighbours -- --k 5
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{Array, DType, Device, Expr, Rng, arange, s};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
const PIXELS: usize = 64;
const DIGITS: usize = 10;

/// Recognises handwritten digits by their nearest neighbours.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Maximum number of neighbours that vote
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = common::positive)]
    k: usize,
    /// Seed of the choice of test images
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A .npy file, u8, 64 pixels and a label a row [default: the digits in examples/data]
    #[arg(long, value_name = "FILE", default_value = DATA, hide_default_value = true)]
    data: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("neighbours");
    common::finish("neighbours", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { k, seed, ref data, .. } = *options;
    let device: Device = options.device.parse()?;
    let data = load(data)?.to_device(&device)?;
    let images = data.shape()[0];
    let tests = images / 5;
    if tests == 0 || images - tests < k {
        return Err(format!("{images} images are too few for {k} neighbours").into());
    }
    let order = Rng::new(seed).permutation(images).to_device(&device)?;
    let data = data.take(&order, 0).astype(DType::F32).eval()?;
    let (pixels, labels) = (data.slice(s![.., ..PIXELS]), data.slice(s![.., PIXELS]).astype(DType::I32));
    let (known, asked) = (pixels.slice(s![tests..]), pixels.slice(s![..tests]));
    let (names, truth) = (labels.slice(s![tests..]).eval()?, labels.slice(s![..tests]).eval()?);
    say(format_args!("{device}: {tests} images to name, {} to compare them with", images - tests))?;

    let started = Instant::now();
    // |a - b|² is |a|² - 2 a·b + |b|²; |a|² is left out, because it is the same for all neighbours of an image
    let squares: Expr = known.square().sum(1);
    let distances = squares - asked.matmul(known.t()) * 2.0;
    let nearest = distances.argtopk(k, 1, false).eval()?;
    // ballots[i, j] is 1 in the column of neighbour j's digit; votes[i, j] are the votes of neighbours 0 to j
    let ballots = names.take(&nearest, 0).expand_dims(-1).equal(arange(0, DIGITS, 1, DType::I32));
    let votes = ballots.cumulative_sum(1);
    let correct = votes.argmax(-1).equal(truth.expand_dims(1)).astype(DType::F32).mean(0).to_vec::<f32>()?;
    let seconds = started.elapsed().as_secs_f64();

    for (i, share) in correct.iter().enumerate() {
        say(format_args!("{:3} neighbour{}  accuracy {share:.4}", i + 1, if i == 0 { " " } else { "s" }))?;
    }
    say(format_args!("{seconds:.3} s"))?;
    Ok(())
}

/// Reads the images. Each row has the pixels of an image, and then its digit.
fn load(path: &Path) -> Result<Array> {
    let data = Array::from_npy(path)?;
    let fits = data.dtype() == DType::U8 && data.ndim() == 2 && data.shape()[1] == PIXELS + 1;
    if !fits {
        let (shape, dtype) = (data.shape(), data.dtype());
        return Err(
            format!("{}: {shape:?} of {dtype}; a row of {PIXELS} pixels and a label is u8", path.display()).into()
        );
    }
    if data.slice(s![.., PIXELS]).greater_equal(DIGITS).any(..).item::<bool>()? {
        return Err(format!("{}: a label is not a digit", path.display()).into());
    }
    Ok(data)
}
