//! Draws a formula, its plan, and its time on the CPU and on another device: a part of the README's picture.
//!
//! ```text
//! cargo run --release --example overview -- --device gpu --out overview.png
//! ```

mod common;

use clap::Parser;
use common::{picture, plot, say};
use cupric::{Array, DType, Device, Expr, NewAxis, linspace, s, stack};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const FORMULA: [&str; 2] =
    ["let z = (&x * 3.0).sin() * (&y * 2.0).cos()", "    * (-(x.square() + y.square()) / 4.0).exp();"];
/// Number of timed evaluations, whose median is shown.
const SAMPLES: usize = 21;
const TEXT_WIDTH: usize = 520;

/// Draws a formula, its plan, and its time on the CPU and on another device.
#[derive(Parser)]
struct Options {
    /// Device to compare with the CPU
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// Rows and columns of the operands
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = common::positive)]
    size: usize,
    /// The height of the picture, in pixels
    #[arg(long, value_name = "N", default_value_t = 220, value_parser = common::positive)]
    height: usize,
    /// Where to put the picture
    #[arg(long, value_name = "FILE", default_value = "overview.png")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("overview");
    common::finish("overview", run(&options))
}

fn formula(x: &Expr, y: &Expr) -> Expr {
    (x * 3.0).sin() * (y * 2.0).cos() * (-(x.square() + y.square()) / 4.0).exp()
}

/// Returns the formula over a square from −2 to 2, `n` points wide, whose operands are on a device.
fn over_square(n: usize, device: &Device) -> cupric::Result<Expr> {
    let line = linspace(-2.0, 2.0, n, DType::F32);
    let ones = cupric::ones([n, n], DType::F32);
    let on_device = |e: Expr| Ok::<Expr, cupric::Error>(e.eval()?.to_device(device)?.into());
    let x = on_device(&ones * &line)?;
    let y = on_device(&ones * line.slice(s![.., NewAxis]))?;
    Ok(formula(&x, &y))
}

/// Returns the median time of an evaluation in milliseconds, and its result on the CPU.
fn time(z: &Expr, device: &Device) -> cupric::Result<(f64, Array)> {
    let result = z.eval()?;
    device.synchronize()?;
    let mut times = [0.0; SAMPLES];
    for time in &mut times {
        let begun = Instant::now();
        let again = z.eval()?;
        device.synchronize()?;
        *time = begun.elapsed().as_secs_f64() * 1e3;
        drop(again);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok((times[SAMPLES / 2], result.to_device(&Device::cpu())?))
}

fn run(options: &Options) -> Result<()> {
    let Options { size, height, ref out, .. } = *options;
    let device: Device = options.device.parse()?;
    let z = over_square(size, &Device::cpu())?;
    let plan = z.plan()?.to_string();
    let mut lines: Vec<String> = FORMULA.map(String::from).to_vec();
    lines.push(format!("x, y: {size} × {size}, f32"));
    // show the plan's first line without its end, which is the number of temporaries
    lines.extend(plan.lines().next().and_then(|line| line.rsplit_once(", ")).map(|(line, _)| line.to_string()));

    let (milliseconds, on_cpu) = time(&z, &Device::cpu())?;
    let threads = std::thread::available_parallelism()?;
    lines.push(format!("CPU, {threads} threads: {milliseconds:.2} ms"));
    if device.is_gpu() {
        let (milliseconds, there) = time(&over_square(size, &device)?, &device)?;
        let far = (&there - &on_cpu).abs().max(..).item::<f32>()?;
        let kind = if device.is_software() { "software GPU" } else { "GPU" };
        lines.push(format!("{kind} {}: {milliseconds:.2} ms", device.name()));
        lines.push(format!("largest difference of the results: {far:.1e}"));
    }
    lines.iter().try_for_each(say)?;

    let pixels = coloured(&over_square(height, &Device::cpu())?)?;
    let words = cupric::full([height, TEXT_WIDTH, 3], 255, DType::U8);
    let both = cupric::concat([words, pixels], 1).eval()?;
    let mut drawn = picture::from_rgb(TEXT_WIDTH + height, height, both.to_vec::<u8>()?)?;
    let step = (height / (lines.len() + 1)) as u32;
    plot::write(&mut drawn, (0..).map(|i| [4, step / 2 + i * step]).zip(lines.iter().map(String::as_str)))?;
    picture::save(&drawn, out)?;
    say(format_args!("the picture is {}", out.display()))?;
    Ok(())
}

/// Colours numbers from −1 to 1: blue below 0, copper above.
fn coloured(z: &Expr) -> cupric::Result<Expr> {
    let share = |e: &Expr| e.clip(0.0, 1.0);
    let (up, down) = (share(z), share(&-z));
    let channel = |of_up: f64, of_down: f64| 255.0 - &up * of_up - &down * of_down;
    Ok(stack([channel(87.0, 235.0), channel(171.0, 160.0), channel(224.0, 60.0)], -1).round().astype(DType::U8))
}
