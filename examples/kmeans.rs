//! Paints a photograph with a few colours, found by k-means: the distances and the means are matrix products.
//!
//! ```text
//! cargo run --release --example kmeans -- --colours 12
//! ```

mod common;

use common::picture::{INK, Picture};
use common::{Args, Progress, say};
use cupric::{Array, DType, Device, Rng, arange, eval_all, s, select};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

fn main() -> ExitCode {
    let args = Args::new("kmeans", "Paints a photograph with a few colours, found by k-means.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("photo", "FILE", "a PNG [the photograph in examples/data]")
        .option("colours", "K", "how many colours to use [12]")
        .option("iterations", "N", "at most so many; it ends when nothing changes [40]")
        .option("seed", "N", "of the pixels that it starts from [0]")
        .option("out", "FILE", "where to put the picture [kmeans.png]")
        .flag("quiet", "no progress bar")
        .parse();
    common::finish("kmeans", run(&args))
}

fn run(args: &Args) -> Result<()> {
    let (k, iterations) = (args.positive("colours", 12), args.positive("iterations", 40));
    let (seed, out) = (args.get("seed", 0), args.get("out", PathBuf::from("kmeans.png")));
    let file = args.get("photo", PathBuf::from(PHOTO));
    let device: Device = args.device().parse()?;
    let photo = Picture::open(&file)?;
    let pixels = photo.width * photo.height;
    if k > pixels {
        return Err(format!("{k} colours are more than the {pixels} pixels of {}", file.display()).into());
    }
    say(format_args!("{device}: {} × {} pixels, {k} colours", photo.width, photo.height))?;

    // one row a pixel; it starts from the colours of k of them
    let x = Array::from_slice(&photo.rgb, [pixels, 3])?.to_device(&device)?.astype(DType::F32).eval()?;
    // i32 holds the number of every pixel in half of the bytes
    let start = Rng::new(seed).permutation(pixels).slice(s![..k]).astype(DType::I32).to_device(&device)?;
    let mut centres = x.take(start, 0).eval()?;

    let mut progress = Progress::new("iterations", iterations, args.has("quiet"));
    let (started, mut last) = (Instant::now(), f32::INFINITY);
    for iteration in 1..=iterations {
        let [loss, nearest] = assign(&x, &centres)?;
        // row i of the one-hot matrix is 1 in the column of pixel i's colour, so a product with it sums a colour's pixels
        let one_hot = nearest.expand_dims(1).equal(arange(0, k, 1, DType::I32)).astype(DType::F32).eval()?;
        let count = one_hot.sum(0).expand_dims(1);
        let mean = one_hot.t().matmul(&x) / &count;
        // a colour that no pixel chose stays where it is
        centres.update(|c| select(count.greater(0), mean, c))?;

        let loss = loss.item::<f32>()?;
        progress.say(format_args!("iteration {iteration:3}  loss {loss:.3}"))?;
        progress.step("");
        if loss == last {
            break;
        }
        last = loss;
    }
    drop(progress);

    let [loss, nearest] = assign(&x, &centres)?;
    let colours = centres.round().astype(DType::U8).eval()?;
    let painted = Picture::from_rgb(photo.width, photo.height, colours.take(&nearest, 0).to_vec::<u8>()?);
    let share = nearest.expand_dims(1).equal(arange(0, k, 1, DType::I32)).mean(0).to_vec::<f32>()?;
    sheet(photo, painted, &colours.to_vec::<u8>()?, &share).save(&out)?;
    say(format_args!("loss {:.3}, {:.2} s", loss.item::<f32>()?, started.elapsed().as_secs_f64()))?;
    say(format_args!("the picture is in {}", out.display()))?;
    Ok(())
}

/// The mean squared distance of the pixels from their colours, in steps of 1/255, and which colour is nearest to each pixel.
fn assign(x: &Array, centres: &Array) -> Result<[Array; 2]> {
    // |x - c|² = |x|² - 2 x·c + |c|², and the first term is the same for every colour
    let score = (centres.square().sum(-1) - x.matmul(centres.t()) * 2.0).eval()?;
    let loss = (score.min(-1) + x.square().sum(-1)).mean(..);
    Ok(eval_all([&loss, &score.argmin(-1).astype(DType::I32)])?)
}

/// Before and after, and under them the colours, each as wide as its share of the pixels.
fn sheet(before: Picture, after: Picture, colours: &[u8], share: &[f32]) -> Picture {
    const STRIP: usize = 40;
    let parts = [("the photograph".into(), before), (format!("{} colours", share.len()), after)];
    let pair = Picture::sheet(&parts, 2);
    let mut sheet = Picture::new(pair.width, pair.height + STRIP + 16, [255; 3]);
    sheet.paste(&pair, 0, 0);
    let (mut at, room) = (16.0, (pair.width - 32) as f32);
    let mut order: Vec<usize> = (0..share.len()).collect();
    order.sort_by(|a, b| share[*b].total_cmp(&share[*a]));
    for i in order {
        let next = at + share[i] * room;
        let colour = colours.get(i * 3..i * 3 + 3).map_or(INK, |c| [c[0], c[1], c[2]]);
        sheet.rectangle(at.round() as usize, pair.height, (next.round() - at.round()) as usize, STRIP, colour);
        at = next;
    }
    sheet
}
