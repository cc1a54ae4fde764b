//! Blurs a picture: two products of windows with a bell of weights, one along the rows and one along the columns.
//!
//! ```text
//! cargo run --release --example blur -- --sigma 4
//! ```

mod common;

use common::picture::Picture;
use common::{Args, say};
use cupric::{Array, DType, Device, Expr, Pad, arange};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

fn main() -> ExitCode {
    let args = Args::new("blur", "Blurs a picture with a bell of weights.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("photo", "FILE", "a PNG [the photograph in examples/data]")
        .option("sigma", "N", "the bell's standard deviation, in pixels [3]")
        .option("out", "FILE", "where to put the picture [blur.png]")
        .parse();
    common::finish("blur", run(&args))
}

fn run(args: &Args) -> Result<()> {
    let (sigma, out) = (args.get("sigma", 3.0), args.get("out", PathBuf::from("blur.png")));
    if !(0.1..=100.0).contains(&sigma) {
        args.wrong(format!("--sigma takes 0.1 to 100, not {sigma}"));
    }
    let device: Device = args.device().parse()?;
    let photo = Picture::open(args.get("photo", PathBuf::from(PHOTO)))?;

    let started = Instant::now();
    let pixels = Array::from_slice(&photo.rgb, [photo.height, photo.width, 3])?.to_device(&device)?.astype(DType::F32);
    let weights = bell(sigma).to_device(&device)?;
    let rows = along(&pixels, &weights, 0).eval()?;
    let blurred = along(&rows, &weights, 1).round().astype(DType::U8);
    let picture = Picture::from_rgb(photo.width, photo.height, blurred.to_vec::<u8>()?);
    let seconds = started.elapsed().as_secs_f64();
    picture.save(&out)?;
    say(format_args!(
        "{device}: {} × {} pixels blurred with {} weights in {seconds:.2} s, in {}",
        photo.width,
        photo.height,
        weights.size(),
        out.display()
    ))?;
    Ok(())
}

/// The weights of a bell, as far as three standard deviations: their sum is 1.
fn bell(sigma: f64) -> Expr {
    let reach = (3.0 * sigma).ceil() as i64;
    let distance = arange(-reach, reach + 1, 1, DType::F32) / sigma;
    let weights = (distance.square() * -0.5).exp();
    &weights / weights.sum(..)
}

/// Each element becomes the weighted sum of its neighbours along an axis; beyond an edge the edge goes on. The result is as long as the
/// picture, and nothing but the padded picture is stored: windows are views.
fn along(pixels: &Expr, weights: &Array, axis: usize) -> Expr {
    let reach = weights.size() / 2;
    let widths: [(usize, usize); 3] = std::array::from_fn(|d| if d == axis { (reach, reach) } else { (0, 0) });
    pixels.pad(widths, Pad::Edge).sliding_windows(weights.size(), axis).matmul(weights)
}
