//! Puts pictures side by side in one of a given size: what the page of the project shows is made by it (`docs/picture.sh`).
//!
//! ```text
//! cargo run --release --example strip -- --pictures mandelbrot.png,heat.png --height 240
//! ```

mod common;

use common::picture::Picture;
use common::{Args, say};
use cupric::{Array, DType, Device, Expr, NewAxis, arange, concat, full, maximum, minimum, s};
use std::path::PathBuf;
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/china.png");

fn main() -> ExitCode {
    let args = Args::new("strip", "Puts pictures side by side, each made as high as the others.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("pictures", "FILES", "PNG files, with commas between them [the photograph in examples/data]")
        .option("height", "N", "of the strip, in pixels [200]")
        .option("out", "FILE", "where to put the picture [strip.png]")
        .parse();
    common::finish("strip", run(&args))
}

fn run(args: &Args) -> Result<()> {
    let (height, out) = (args.positive("height", 200), args.get("out", PathBuf::from("strip.png")));
    let files: String = args.get("pictures", PHOTO.into());
    let device: Device = args.device().parse()?;
    let gap = full([height, 8, 3], 255.0, DType::F32).to_device(&device)?;

    let mut parts = vec![];
    for file in files.split(',') {
        let picture = Picture::open(file)?;
        let pixels = Array::from_slice(&picture.rgb, [picture.height, picture.width, 3])?.to_device(&device)?;
        let width = (picture.width * height / picture.height.max(1)).max(1);
        if !parts.is_empty() {
            parts.push(Expr::from(&gap));
        }
        parts.push(resized(&pixels.astype(DType::F32), [picture.height, picture.width], [height, width]));
    }
    let strip = concat(&parts, 1).round().astype(DType::U8).eval()?;

    let [rows, columns, _] = strip.dims()?;
    Picture::from_rgb(columns, rows, strip.to_vec::<u8>()?).save(&out)?;
    say(format_args!("{device}: {columns} × {rows} pixels in {}", out.display()))?;
    Ok(())
}

/// Each new pixel is the mean of the part of the picture that it covers: a product with such a matrix along the rows, and one along
/// the columns.
fn resized(pixels: &Expr, [rows, columns]: [usize; 2], [height, width]: [usize; 2]) -> Expr {
    let along_rows = covers(height, rows).matmul(pixels.reshape([rows, columns * 3])).reshape([height, columns, 3]);
    covers(width, columns).matmul(along_rows)
}

/// How much of each of `old` pixels in a line lies under each of `new` ones, in shares of the new one: `new` × `old`.
fn covers(new: usize, old: usize) -> Expr {
    let scale = old as f64 / new as f64;
    let starts = |n: usize| arange(0, n, 1, DType::I32).astype(DType::F32);
    let (from, at) = ((starts(new) * scale).slice(s![.., NewAxis]), starts(old));
    let shared = minimum(&from + scale, &at + 1.0) - maximum(&from, &at);
    shared.clip(0.0, 1.0) / scale
}
