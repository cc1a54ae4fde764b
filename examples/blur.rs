//! Blurs a picture with a Gaussian filter: a product of sliding windows and weights along axis 0, and one along axis 1.
//!
//! ```text
//! cargo run --release --example blur -- --sigma 4
//! ```

mod common;

use clap::Parser;
use common::{picture, say};
use cupric::{Array, DType, Device, Expr, Pad, arange};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

/// Blurs a picture with a Gaussian filter.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// A PNG [default: the photograph in examples/data]
    #[arg(long, value_name = "FILE", default_value = PHOTO, hide_default_value = true)]
    photo: PathBuf,
    /// Standard deviation of the Gaussian filter, in pixels
    #[arg(long, value_name = "N", default_value_t = 3.0)]
    sigma: f64,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "blur.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("blur");
    common::finish("blur", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { sigma, ref photo, ref out, .. } = *options;
    if !(0.1..=100.0).contains(&sigma) {
        common::wrong("blur", format!("--sigma takes 0.1 to 100, not {sigma}"));
    }
    let device: Device = options.device.parse()?;
    let photo = picture::open(photo)?;
    let [width, height] = [photo.width(), photo.height()].map(|n| n as usize);

    let started = Instant::now();
    let pixels = Array::from_slice(&photo, [height, width, 3])?.to_device(&device)?.astype(DType::F32);
    let weights = bell(sigma).to_device(&device)?;
    let rows = along(&pixels, &weights, 0).eval()?;
    let blurred = along(&rows, &weights, 1).round().astype(DType::U8);
    let blurred = picture::from_rgb(width, height, blurred.to_vec::<u8>()?)?;
    let seconds = started.elapsed().as_secs_f64();
    picture::save(&blurred, out)?;
    say(format_args!(
        "{device}: {width} × {height} pixels blurred with {} weights in {seconds:.2} s, in {}",
        weights.size(),
        out.display()
    ))?;
    Ok(())
}

/// Returns the weights of a Gaussian filter out to three standard deviations on each side. Their sum is 1.
fn bell(sigma: f64) -> Expr {
    let reach = (3.0 * sigma).ceil() as i64;
    let distance = arange(-reach, reach + 1, 1, DType::F32) / sigma;
    let weights = (distance.square() * -0.5).exp();
    &weights / weights.sum(..)
}

/// Replaces each element by the weighted sum of its neighbours along an axis. The edges are repeated outwards, so the
/// result has the shape of the picture. Only the padded picture is stored, because windows are views.
fn along(pixels: &Expr, weights: &Array, axis: usize) -> Expr {
    let reach = weights.size() / 2;
    let widths: [(usize, usize); 3] = std::array::from_fn(|d| if d == axis { (reach, reach) } else { (0, 0) });
    pixels.pad(widths, Pad::Edge).sliding_windows(weights.size(), axis).matmul(weights)
}
