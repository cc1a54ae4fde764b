//! Gaussian-process regression: fits a curve to noisy points, with a band of uncertainty. Gradient steps find the
//! length scale, amplitude and noise that make the points most likely, by derivatives of a Cholesky factorisation.
//!
//! ```text
//! cargo run --release --example gp
//! ```

mod common;

use clap::Parser;
use common::picture;
use common::say;
use cupric::linalg::{Triangle, cholesky, solve_triangular};
use cupric::{Array, DType, Device, Expr, PI, Rng, eval_all, eye, full, grad, linspace, s, select, stack};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Rows and columns of the picture. `TOP` is the largest value that it shows.
const PICTURE: [usize; 2] = [360, 720];
const TOP: f64 = 2.7;

/// Gaussian-process regression: fits a curve to noisy points, with a band of uncertainty.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Number of noisy points
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = common::positive)]
    points: usize,
    /// Steps along the gradient of the likelihood
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = common::positive)]
    rounds: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "gp.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("gp");
    common::finish("gp", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let device: Device = options.device.parse()?;
    let (x, y) = points(options.points, &device)?;
    // the logarithms of length, amplitude and noise
    let mut p = full([3], -1.0, DType::F32).to_device(&device)?;
    let started = Instant::now();
    let (mut first, mut last) = (None, 0.0);
    for round in 0..options.rounds {
        let unlikely = Process::new(&x, &y, &p).unlikely();
        let [g] = grad(&unlikely, [&p]);
        // the steps become shorter; they find the most likely values to a few digits
        let step = &g / (g.square().sum(..).sqrt() + 1.0) * (0.3 / (1.0 + round as f64 / 20.0));
        let [value, next] = eval_all([&unlikely, &(&p - step)])?;
        last = value.item::<f32>()?;
        first.get_or_insert(last);
        p = next;
    }
    let took = started.elapsed().as_secs_f64();
    let name = format!("{device}: {} points, {} rounds in {:.0} ms", options.points, options.rounds, took * 1e3);
    say(format_args!(
        "{name}: the negative logarithm of the likelihood went from {:.1} to {last:.1}",
        first.unwrap_or(last)
    ))?;
    let found = p.exp().to_vec::<f32>()?;
    say(format_args!(
        "length {:.3}, amplitude {:.3}, noise {:.3} (the points were made with 0.150)",
        found[0], found[1], found[2]
    ))?;
    let at = linspace(0.0, 1.0, PICTURE[1], DType::F32).to_device(&device)?;
    let (mean, deviation) = Process::new(&x, &y, &p).at(&at);
    let [mean, deviation] = eval_all([&mean, &deviation])?;
    let truth = curve(&at);
    let inside = (&truth - &mean).abs().less_equal(&deviation * 2.0).mean(..).item::<f32>()?;
    say(format_args!("{:.0} % of the true curve lies in the band of two deviations", inside * 100.0))?;
    draw([&x, &y, &mean, &deviation], &options.out)
}

/// Returns the true curve, from which the points are taken.
fn curve(x: &Expr) -> Expr {
    (x * (3.0 * PI)).sin() * (1.0 + x) + (x * (2.0 * PI)).cos() * 0.4
}

/// Returns noisy points of the curve. There are none between x = 0.4 and x = 0.65.
fn points(n: usize, device: &Device) -> Result<(Array, Array)> {
    let mut rng = Rng::new(1);
    let at = rng.uniform([n], DType::F32) * 0.75;
    let x = &at + select(at.greater(0.4), 0.25, 0.0);
    let y = curve(&x) + rng.normal([n], DType::F32) * 0.15;
    Ok((x.to_device(device)?, y.to_device(device)?))
}

/// A Gaussian process that is conditioned on points.
struct Process<'a> {
    x: &'a Expr,
    length: Expr,
    amplitude: Expr,
    /// The Cholesky factor of the covariance of the points, noise included.
    factor: Expr,
    /// The solution z of `factor · z = y`, where y are the values of the points.
    z: Expr,
}

impl<'a> Process<'a> {
    fn new(x: &'a Expr, y: &Expr, logarithms: &Expr) -> Process<'a> {
        let [length, amplitude, noise] = [0, 1, 2].map(|i| logarithms.slice(s![i]).exp());
        let shared = covariance(x, x, &length, &amplitude);
        let points = x.size().unwrap_or_default();
        let noisy = shared + eye(points, DType::F32) * (noise.square() + 1e-5);
        let factor = cholesky(noisy, Triangle::Lower);
        let z = solve_triangular(&factor, y, Triangle::Lower);
        Process { x, length, amplitude, factor, z }
    }

    /// Returns the negative logarithm of the points' likelihood, up to a constant.
    fn unlikely(&self) -> Expr {
        self.z.square().sum(..) * 0.5 + self.factor.diagonal(0).log().sum(..)
    }

    /// Returns the mean and the standard deviation of the curve at the positions `x`.
    fn at(&self, x: &Expr) -> (Expr, Expr) {
        let shared = covariance(self.x, x, &self.length, &self.amplitude);
        let v = solve_triangular(&self.factor, shared, Triangle::Lower);
        let mean = self.z.matmul(&v);
        let variance = self.amplitude.square() - v.square().sum(0);
        (mean, variance.clip(0.0, f64::INFINITY).sqrt())
    }
}

/// Returns the squared-exponential covariance between the curve's values at the positions `a` and at the positions `b`.
fn covariance(a: &Expr, b: &Expr, length: &Expr, amplitude: &Expr) -> Expr {
    let apart = (a.expand_dims(1) - b.expand_dims(0)) / length;
    (apart.square() * -0.5).exp() * amplitude.square()
}

/// Draws the band, the mean and the points.
fn draw([x, y, mean, deviation]: [&Expr; 4], out: &Path) -> Result<()> {
    let [rows, columns] = PICTURE;
    let device = mean.eval()?.device();
    let height = linspace(TOP, -TOP, rows, DType::F32).to_device(&device)?.expand_dims(1);
    let from_mean = (&height - mean).abs();
    let pixel = 2.0 * TOP / rows as f64;
    // the squared distance to the nearest point, in pixels
    let across = linspace(0.0, 1.0, columns, DType::F32).to_device(&device)?.expand_dims(1);
    let dx = (across - x) * columns as f64;
    let dy = (height.expand_dims(2) - y) / pixel;
    let nearest = (dx.square() + dy.square()).min(-1);
    let colour = |channel: usize| {
        let [paper, band, line, dot] =
            [[255, 255, 255], [205, 222, 250], [37, 99, 200], [45, 52, 64]].map(|c| c[channel]);
        let under = select(from_mean.less_equal(deviation * 2.0), band, paper);
        let curve = select(from_mean.less_equal(1.2 * pixel), line, under);
        select(nearest.less_equal(9.0), dot, curve).astype(DType::U8)
    };
    let rgb = stack([colour(0), colour(1), colour(2)], -1);
    picture::save(&picture::from_rgb(columns, rows, rgb.to_vec::<u8>()?)?, out)?;
    say(format_args!("the picture is in {}", out.display()))?;
    Ok(())
}
