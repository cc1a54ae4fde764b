//! Paints a photograph with a few colours, found by k-means: the distances and the means are matrix products.
//!
//! ```text
//! cargo run --release --example kmeans -- --colours 12
//! ```

mod common;

use clap::Parser;
use common::{picture, say};
use cupric::{Array, DType, Device, Rng, arange, eval_all, s, select};
use image::{Rgb, RgbImage, imageops};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

/// Paints a photograph with a few colours, found by k-means.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// A PNG [default: the photograph in examples/data]
    #[arg(long, value_name = "FILE", default_value = PHOTO, hide_default_value = true)]
    photo: PathBuf,
    /// How many colours to use
    #[arg(long, value_name = "K", default_value_t = 12, value_parser = common::positive)]
    colours: usize,
    /// Maximum number of steps; the program stops when nothing changes
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = common::positive)]
    iterations: usize,
    /// Seed of the choice of the first colours
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "kmeans.png")]
    out: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("kmeans");
    common::finish("kmeans", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { photo: ref file, colours: k, iterations, seed, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let photo = picture::open(file)?;
    let [width, height] = [photo.width(), photo.height()].map(|n| n as usize);
    let pixels = width * height;
    if k > pixels {
        return Err(format!("{k} colours are more than the {pixels} pixels of {}", file.display()).into());
    }
    say(format_args!("{device}: {width} × {height} pixels, {k} colours"))?;

    // one row per pixel; the first colours are the colours of k random pixels
    let x = Array::from_slice(&photo, [pixels, 3])?.to_device(&device)?.astype(DType::F32).eval()?;
    // i32 can hold the index of every pixel, in half of the bytes of i64
    let start = Rng::new(seed).permutation(pixels).slice(s![..k]).astype(DType::I32).to_device(&device)?;
    let mut centres = x.take(start, 0).eval()?;

    let progress = common::progress("iterations", iterations, options.quiet);
    let (started, mut last) = (Instant::now(), f32::INFINITY);
    for iteration in 1..=iterations {
        let [loss, nearest] = assign(&x, &centres)?;
        // row i of `one_hot` is 1 in the column of pixel i's colour, so its product with x adds up each colour's pixels
        let one_hot = nearest.expand_dims(1).equal(arange(0, k, 1, DType::I32)).astype(DType::F32).eval()?;
        let count = one_hot.sum(0).expand_dims(1);
        let mean = one_hot.t().matmul(&x) / &count;
        // a colour that is nearest to no pixel does not change
        centres.update(|c| select(count.greater(0), mean, c))?;

        let loss = loss.item::<f32>()?;
        progress.suspend(|| say(format_args!("iteration {iteration:3}  loss {loss:.3}")))?;
        progress.inc(1);
        if loss == last {
            break;
        }
        last = loss;
    }
    drop(progress);

    let [loss, nearest] = assign(&x, &centres)?;
    let colours = centres.round().astype(DType::U8).eval()?;
    let painted = picture::from_rgb(width, height, colours.take(&nearest, 0).to_vec::<u8>()?)?;
    let share = nearest.expand_dims(1).equal(arange(0, k, 1, DType::I32)).mean(0).to_vec::<f32>()?;
    picture::save(&sheet(photo, painted, &colours.to_vec::<u8>()?, &share)?, out)?;
    say(format_args!("loss {:.3}, {:.2} s", loss.item::<f32>()?, started.elapsed().as_secs_f64()))?;
    say(format_args!("the picture is in {}", out.display()))?;
    Ok(())
}

/// Returns the mean squared distance of pixels from their nearest colours (0 to 255), and the nearest colours' indices.
fn assign(x: &Array, centres: &Array) -> Result<[Array; 2]> {
    // |x - c|² = |x|² - 2 x·c + |c|², and the first term is the same for every colour
    let score = (centres.square().sum(-1) - x.matmul(centres.t()) * 2.0).eval()?;
    let loss = (score.min(-1) + x.square().sum(-1)).mean(..);
    Ok(eval_all([&loss, &score.argmin(-1).astype(DType::I32)])?)
}

/// Puts the picture before and after side by side, and below them the colours, each as wide as its share of the pixels.
fn sheet(before: RgbImage, after: RgbImage, colours: &[u8], share: &[f32]) -> Result<RgbImage> {
    const STRIP: u32 = 40;
    let parts = [("the photograph".into(), before), (format!("{} colours", share.len()), after)];
    let pair = picture::sheet(&parts, 2)?;
    let (width, height) = pair.dimensions();
    let mut sheet = RgbImage::from_pixel(width, height + STRIP + 16, Rgb([255; 3]));
    imageops::replace(&mut sheet, &pair, 0, 0);
    let (mut at, room) = (16.0, (width - 32) as f32);
    let mut order: Vec<usize> = (0..share.len()).collect();
    order.sort_by(|a, b| share[*b].total_cmp(&share[*a]));
    for i in order {
        let next = at + share[i] * room;
        let colour = Rgb([colours[i * 3], colours[i * 3 + 1], colours[i * 3 + 2]]);
        let part = RgbImage::from_pixel((next.round() - at.round()) as u32, STRIP, colour);
        imageops::replace(&mut sheet, &part, at.round() as i64, height.into());
        at = next;
    }
    Ok(sheet)
}
