//! Puts pictures side by side, scaled to the same height. `docs/picture.sh` makes the README's picture with it.
//!
//! ```text
//! cargo run --release --example strip -- --pictures mandelbrot.png,heat.png --height 240
//! ```

mod common;

use clap::Parser;
use common::{picture, say};
use cupric::{Array, DType, Device, Expr, NewAxis, arange, concat, full, maximum, minimum, s};
use std::path::PathBuf;
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

/// Puts pictures side by side, scaled to the same height.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// PNG files, with commas between them [default: the photograph in examples/data]
    #[arg(long, value_name = "FILES", value_delimiter = ',', default_value = PHOTO, hide_default_value = true)]
    pictures: Vec<PathBuf>,
    /// Height of the strip, in pixels
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = common::positive)]
    height: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "strip.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("strip");
    common::finish("strip", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { height, ref pictures, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let gap = full([height, 8, 3], 255.0, DType::F32).to_device(&device)?;

    let mut parts = vec![];
    for file in pictures {
        let picture = picture::open(file)?;
        let [columns, rows] = [picture.width(), picture.height()].map(|n| n as usize);
        let pixels = Array::from_slice(&picture, [rows, columns, 3])?.to_device(&device)?;
        let width = (columns * height / rows.max(1)).max(1);
        if !parts.is_empty() {
            parts.push(Expr::from(&gap));
        }
        parts.push(resized(&pixels.astype(DType::F32), [rows, columns], [height, width]));
    }
    let strip = concat(&parts, 1).round().astype(DType::U8).eval()?;

    let [rows, columns, _] = strip.dims()?;
    picture::save(&picture::from_rgb(columns, rows, strip.to_vec::<u8>()?)?, out)?;
    say(format_args!("{device}: {columns} × {rows} pixels in {}", out.display()))?;
    Ok(())
}

/// Scales a picture. Each new pixel is the mean of the part of the picture that it covers. This takes one matrix
/// product along the rows and one along the columns.
fn resized(pixels: &Expr, [rows, columns]: [usize; 2], [height, width]: [usize; 2]) -> Expr {
    let along_rows = covers(height, rows).matmul(pixels.reshape([rows, columns * 3])).reshape([height, columns, 3]);
    covers(width, columns).matmul(along_rows)
}

/// Returns a `new` × `old` matrix: the share of each new pixel that lies over each old pixel, along one axis.
fn covers(new: usize, old: usize) -> Expr {
    let scale = old as f64 / new as f64;
    let starts = |n: usize| arange(0, n, 1, DType::I32).astype(DType::F32);
    let (from, at) = ((starts(new) * scale).slice(s![.., NewAxis]), starts(old));
    let shared = minimum(&from + scale, &at + 1.0) - maximum(&from, &at);
    shared.clip(0.0, 1.0) / scale
}
