//! Draws the Mandelbrot set, in smooth colours and with soft edges.
//!
//! ```text
//! cargo run --release --example mandelbrot -- --x -0.7436 --y 0.1318 --span 0.01
//! ```

mod common;

use common::picture::{OCEAN, Picture, palette};
use common::{Args, Progress, say};
use cupric::{Array, DType, Device, Expr, arange, eval_all, select, zeros};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Steps that run as one kernel: z is read and written once for all of them.
const FUSED: usize = 10;
/// |z|² from which on a point is gone; far out, so that the colours are smooth.
const FAR: f64 = 65536.0;

struct Options {
    device: String,
    size: [usize; 2],
    centre: [f64; 2],
    span: f64,
    steps: usize,
    samples: usize,
    out: PathBuf,
    quiet: bool,
}

fn main() -> ExitCode {
    let args = Args::new("mandelbrot", "Draws the Mandelbrot set.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("width", "N", "in pixels [900]")
        .option("height", "N", "in pixels [600]")
        .option("x", "X", "of the centre [-0.745]")
        .option("y", "Y", "of the centre [0.113]")
        .option("span", "S", "width of what is seen [0.025]")
        .option("steps", "N", "after which a point counts as inside [600]")
        .option("samples", "N", "across and down a pixel [2]")
        .option("out", "FILE", "where to put the picture [mandelbrot.png]")
        .flag("quiet", "no progress bar")
        .parse();
    let options = Options {
        device: args.device(),
        size: [args.positive("width", 900), args.positive("height", 600)],
        centre: [args.get("x", -0.745), args.get("y", 0.113)],
        span: args.get("span", 0.025),
        steps: args.positive("steps", 600),
        samples: args.positive("samples", 2),
        out: args.get("out", "mandelbrot.png".into()),
        quiet: args.has("quiet"),
    };
    common::finish("mandelbrot", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let ([width, height], samples) = (options.size, options.samples);
    let [columns, rows] = [width * samples, height * samples];
    let rounds = options.steps.div_ceil(FUSED);
    say(format_args!("{device}: {columns} × {rows} points, {} steps in {rounds} kernels", rounds * FUSED))?;

    // a row of real parts and a column of imaginary ones; they become a plane where they meet
    let pixel = options.span / columns as f64;
    let along = |n: usize, centre: f64, step: f64| {
        (arange(0, n as i64, 1).astype(DType::F32) - (n as f64 - 1.0) / 2.0) * step + centre
    };
    let cx = along(columns, options.centre[0], pixel).to_device(&device)?;
    let cy = along(rows, options.centre[1], -pixel).expand_dims(1).to_device(&device)?;
    let zero = zeros([rows, columns], DType::F32).to_device(&device)?;
    let mut z = [zero.clone(), zero.clone(), zero];

    let mut progress = Progress::new("rounds", rounds, options.quiet);
    let started = Instant::now();
    for _ in 0..rounds {
        let [mut x, mut y, mut count] = z.each_ref().map(|a| Expr::from(a.clone()));
        for _ in 0..FUSED {
            // z ← z² + c where it is still near, and one more step counted
            let (xx, yy) = (x.square(), y.square());
            let near = (&xx + &yy).less(FAR);
            let next = (xx - yy + &cx, &x * &y * 2.0 + &cy);
            (x, y) = (select(&near, next.0, x), select(&near, next.1, y));
            count = count + near.astype(DType::F32);
        }
        z = eval_all([&x, &y, &count])?.try_into().map_err(|_| "three results were expected")?;
        // the bar shows work done, not work that waits
        device.synchronize()?;
        progress.step("");
    }
    drop(progress);

    let [x, y, count] = &z;
    let inside = (x.square() + y.square()).less(FAR);
    // how far beyond the border a point got says which part of its last step was needed
    let smooth = count - ((x.square() + y.square()).log2() / FAR.log2()).log2();
    Picture::from_rgb(width, height, colours(&smooth, &inside, options)?).save(&options.out)?;
    say(format_args!(
        "inside {:.4} of the picture, mean count {:.3}",
        inside.mean(..).item::<f32>()?,
        count.mean(..).item::<f32>()?
    ))?;
    say(format_args!("{:.2} s; the picture is in {}", started.elapsed().as_secs_f64(), options.out.display()))?;
    Ok(())
}

/// A colour for each point, on the device, and of each pixel's points the mean.
fn colours(smooth: &Expr, inside: &Expr, options: &Options) -> Result<Vec<u8>> {
    const COLOURS: usize = 2048;
    let ([width, height], samples) = (options.size, options.samples);
    let map = Array::from_vec(palette(&OCEAN, COLOURS), [COLOURS, 3])?.to_device(&inside.eval()?.device())?;
    // the first steps make the broad bands; the root of the count spreads them evenly
    let turn = smooth.clip(0.0, 1e6).sqrt() / 6.0;
    let index = ((&turn - turn.floor()) * COLOURS as f64).astype(DType::I32);
    let rgb = select(inside.expand_dims(-1), 0.0, map.take_clip(index, 0));
    let rgb = rgb.reshape([height, samples, width, samples, 3]).mean((1, 3));
    Ok(rgb.round().astype(DType::U8).to_vec::<u8>()?)
}
