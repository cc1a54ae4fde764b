//! Computes the principal components of handwritten digits by a singular value decomposition of all images, and shows
//! how few numbers describe an image.
//!
//! ```text
//! cargo run --release --example pca -- --components 16
//! ```

mod common;

use clap::Parser;
use common::picture::{self, FIRE, palette};
use common::say;
use cupric::linalg::{Mode, svd};
use cupric::{Array, DType, Device, Expr, eval_all, keep, s};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
/// Pixels along a side of an image.
const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
/// The side of the square that is drawn for a pixel, in pixels of the picture.
const SCALE: usize = 6;

/// Computes the principal components of handwritten digits.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Number of components that describe an image, at most 64
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = common::positive)]
    components: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "pca.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("pca");
    common::finish("pca", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let kept = options.components.min(PIXELS);
    let data = Array::from_npy(DATA)?.to_device(&device)?;
    let images = data.slice(s![.., ..PIXELS]).astype(DType::F32);
    let mean = images.mean(0).eval()?;
    let centred = (&images - &mean).eval()?;
    let started = Instant::now();
    // the rows of vt are the directions along which images differ most, in order
    let (_, sizes, vt) = svd(&centred, Mode::Reduced);
    let [sizes, vt] = eval_all([&sizes, &vt])?;
    device.synchronize()?;
    let took = started.elapsed().as_secs_f64();
    say(format_args!("{device}: components of {} images in {:.1} ms", centred.shape()[0], took * 1e3))?;
    let variance = sizes.square();
    let share = variance.slice(s![..kept]).sum(..) / variance.sum(..) * 100.0;
    say(format_args!("{kept} of {PIXELS} components have {:.1} % of the variance", share.item::<f32>()?))?;
    let basis = vt.slice(s![..kept]);
    let rebuilt = (centred.matmul(basis.t()).matmul(&basis) + &mean).eval()?;
    let error = (&rebuilt - &images).square().mean(..).sqrt();
    say(format_args!("rebuilt from them, a pixel is {:.2} of 16 off", error.item::<f32>()?))?;
    // the components, then a row of eight digits, then a row of the same digits rebuilt
    let sign = vt.abs().max(keep(-1));
    let rows = kept.div_ceil(SIDE);
    let components = (&vt / sign * 0.5 + 0.5).slice(s![..rows * SIDE]);
    let digits = |x: &Expr| (x.slice(s![..SIDE]) / 16.0).clip(0.0, 1.0);
    let tiles = cupric::concat([&components, &digits(&images), &digits(&rebuilt)], 0);
    draw(&tiles, rows + 2, &options.out)
}

/// Draws images with values from 0 to 1, eight in a row.
fn draw(tiles: &Expr, rows: usize, out: &PathBuf) -> Result<()> {
    let grid = tiles.reshape([rows, SIDE, SIDE, SIDE]).swapaxes(1, 2).reshape([rows * SIDE, PIXELS]);
    let large = grid.repeat(SCALE, 0).repeat(SCALE, 1);
    let colours = Array::from_vec(palette(&FIRE, 256), [256, 3])?.to_device(&tiles.eval()?.device())?;
    let rgb = colours.take((large * 255.0).astype(DType::I32), 0).round().astype(DType::U8);
    let (columns, rows) = (PIXELS * SCALE, rows * SIDE * SCALE);
    picture::save(&picture::from_rgb(columns, rows, rgb.to_vec::<u8>()?)?, out)?;
    say(format_args!("the picture is in {}", out.display()))?;
    Ok(())
}
