//! Fits a line to two columns of a CSV file, by least squares.
//!
//! ```text
//! cargo run --release --features text --example fit -- --data measured.csv --x time --y height
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{Array, DType, Device, Expr, Rng, TextFormat, eval_all, linspace, s, stack};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Fits a line to two columns of a CSV file.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// A CSV file with a header [default: a generated file, see --made]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Name of the column of the independent variable
    #[arg(long, value_name = "NAME", default_value = "x")]
    x: String,
    /// Name of the column of the dependent variable
    #[arg(long, value_name = "NAME", default_value = "y")]
    y: String,
    /// Without --data: the file for 200 generated points near y = 2.5 x - 1
    #[arg(long, value_name = "FILE", default_value = "fit.csv")]
    made: PathBuf,
    /// Seed of the generated points
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("fit");
    common::finish("fit", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { x, y, made, seed, .. } = options;
    let device: Device = options.device.parse()?;
    let file = match &options.data {
        Some(file) => file,
        None => {
            make(made, *seed)?;
            made
        }
    };
    // a GPU may have no f64
    let dtype = if device.supports(DType::F64) { DType::F64 } else { DType::F32 };
    let table = Array::from_text(file, dtype, &TextFormat::csv().names([x, y]))?.to_device(&device)?;
    let rows = table.shape()[0];
    if rows < 2 {
        return Err(format!("{}: {rows} rows; a line takes two", file.display()).into());
    }
    let (slope, start, share) = line(&table.slice(s![.., 0]), &table.slice(s![.., 1]))?;
    if !slope.is_finite() {
        return Err(format!("{}: all {x} are the same, or a number is not finite", file.display()).into());
    }
    let sign = if start < 0.0 { '-' } else { '+' };
    say(format_args!("{device}: {y} = {slope:.4} {x} {sign} {:.4}, R² = {share:.4}, of {rows} rows", start.abs()))?;
    Ok(())
}

/// Returns the slope and intercept of the least-squares line, and the share of the variance of `y` that it explains.
fn line(x: &Expr, y: &Expr) -> Result<(f64, f64, f64)> {
    let [mean_x, mean_y] = eval_all([&x.mean(..), &y.mean(..)])?;
    let (dx, dy) = (x - &mean_x, y - &mean_y);
    let slope = (&dx * &dy).sum(..) / dx.square().sum(..);
    let start = &mean_y - &slope * &mean_x;
    let rest = (&dy - &slope * &dx).square().sum(..);
    let share = 1.0 - rest / dy.square().sum(..);
    let all = stack(&[slope, start, share], 0).to_vec_as::<f64>()?;
    Ok((all[0], all[1], all[2]))
}

/// Writes noisy points of the line y = 2.5 x - 1, as a CSV file with a header.
fn make(file: &Path, seed: u64) -> Result<()> {
    let x = linspace(0.0, 10.0, 200, DType::F64);
    let y = &x * 2.5 - 1.0 + Rng::new(seed).normal([200], DType::F64) * 0.5;
    Ok(stack(&[x, y], 1).eval()?.to_text(file, &TextFormat::csv().names(["x", "y"]))?)
}
