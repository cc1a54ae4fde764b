//! Draws the Mandelbrot set, in smooth colours and with soft edges.
//!
//! ```text
//! cargo run --release --example mandelbrot -- --x -0.7436 --y 0.1318 --span 0.01
//! ```

mod common;

use clap::Parser;
use common::picture::{self, OCEAN, palette};
use common::say;
use cupric::{Array, Clip, DType, Device, Expr, arange, eval_all, select, zeros};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Number of iterations that run as one kernel: z is read and written once for all of them.
const FUSED: usize = 10;
/// A point escapes when its |z|² reaches this bound. The bound is large so that the colours are smooth.
const FAR: f64 = 65536.0;

/// Draws the Mandelbrot set.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Width in pixels
    #[arg(long, value_name = "N", default_value_t = 900, value_parser = common::positive)]
    width: usize,
    /// Height in pixels
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = common::positive)]
    height: usize,
    /// Real part of the centre
    #[arg(long, value_name = "X", default_value_t = -0.7463, allow_hyphen_values = true)]
    x: f64,
    /// Imaginary part of the centre
    #[arg(long, value_name = "Y", default_value_t = 0.1102, allow_hyphen_values = true)]
    y: f64,
    /// Width of the visible region
    #[arg(long, value_name = "S", default_value_t = 0.005)]
    span: f64,
    /// Steps after which a point counts as inside
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = common::positive)]
    steps: usize,
    /// Sample points along each side of a pixel
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = common::positive)]
    samples: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "mandelbrot.png")]
    out: PathBuf,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("mandelbrot");
    common::finish("mandelbrot", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { width, height, samples, x, y, span, steps, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let [columns, rows] = [width, height].map(|n| n.saturating_mul(samples));
    let rounds = steps.div_ceil(FUSED);
    say(format_args!("{device}: {columns} × {rows} points, {rounds} kernels of {FUSED} steps"))?;

    // a row of real parts and a column of imaginary parts, which broadcast to a plane
    let pixel = span / columns as f64;
    let along = |n: usize, centre: f64, step: f64| {
        (arange(0, n, 1, DType::I32).astype(DType::F32) - (n as f64 - 1.0) / 2.0) * step + centre
    };
    let cx = along(columns, x, pixel).to_device(&device)?;
    let cy = along(rows, y, -pixel).expand_dims(1).to_device(&device)?;
    let zero = zeros([rows, columns], DType::F32).to_device(&device)?;
    let mut z = [zero.clone(), zero.clone(), zero];

    let progress = common::progress("rounds", rounds, options.quiet);
    let started = Instant::now();
    for _ in 0..rounds {
        let [mut x, mut y, mut count] = z.each_ref().map(|a| Expr::from(a.clone()));
        for _ in 0..FUSED {
            // where z has not escaped, compute z ← z² + c and count the iteration
            let (xx, yy) = (x.square(), y.square());
            let near = (&xx + &yy).less(FAR);
            let next = (xx - yy + &cx, &x * &y * 2.0 + &cy);
            (x, y) = (select(&near, next.0, x), select(&near, next.1, y));
            count = count + near.astype(DType::F32);
        }
        z = eval_all([&x, &y, &count])?;
        // wait, so that the progress bar shows work that is done and not work that is enqueued
        device.synchronize()?;
        progress.inc(1);
    }
    drop(progress);

    let [x, y, count] = &z;
    let inside = (x.square() + y.square()).less(FAR);
    // the distance beyond the bound gives the fraction of the last iteration that the point needed to escape
    let smooth = count - ((x.square() + y.square()).log2() / FAR.log2()).log2();
    let points = colours(&smooth, &inside, &device)?;
    // each pixel is the mean of its sample points
    let pixels = points.reshape([height, samples, width, samples, 3]).mean((1, 3)).round().astype(DType::U8);
    picture::save(&picture::from_rgb(width, height, pixels.to_vec::<u8>()?)?, out)?;
    let (inside, count) = (inside.mean(..).item::<f32>()?, count.mean(..).item::<f32>()?);
    say(format_args!("{inside:.4} of the points are inside; {count:.3} steps on average"))?;
    say(format_args!("{:.2} s; the picture is in {}", started.elapsed().as_secs_f64(), out.display()))?;
    Ok(())
}

/// Returns a colour for each point, looked up on the device.
fn colours(smooth: &Expr, inside: &Expr, device: &Device) -> Result<Expr> {
    const COLOURS: usize = 2048;
    let map = Array::from_vec(palette(&OCEAN, COLOURS), [COLOURS, 3])?.to_device(device)?;
    // points with small counts form broad bands; the square root makes the colours change faster there
    let turn = smooth.clip(0.0, 1e6).sqrt() / 6.0;
    let index = ((&turn - turn.floor()) * COLOURS).astype(DType::I32);
    Ok(select(inside.expand_dims(-1), 0.0, map.take(Clip(index), 0)))
}
