//! Runs the tour of `docs/TOUR.md` and prints its results: `cargo run --release --example tour`.

mod common;

use clap::Parser;
use common::say;
use cupric::{DType, Device, Rng, array, eval_all, keep, s, select};
use std::process::ExitCode;

/// A tour of the library: prints the results of the lines in docs/TOUR.md.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("tour");
    common::finish("tour", tour(&options.device))
}

fn tour(device: &str) -> Result<(), Box<dyn std::error::Error>> {
    let device: Device = device.parse()?;
    say(format_args!("on {device}"))?;

    // random numbers are the same on every device; `to_device` evaluates the expression on that device
    let x = Rng::new(0).normal([1000, 64], DType::F32).to_device(&device)?;
    // shapes broadcast as in NumPy; the whole computation is three kernels
    let z = ((&x - x.mean(0)) / (x.std(0) + 1e-6)).eval()?;
    say(format_args!("standardized: {z}"))?;

    // `softmax` is an Expr: nothing has run yet, and the plan shows what would run
    let e = (&z - z.max(keep(-1))).exp();
    let softmax = &e / e.sum(keep(-1));
    say(softmax.plan()?)?;
    // one kernel, which reads each row once
    let p = softmax.eval()?;

    // work that several results share is done once
    let (best, sure) = (p.argmax(-1), p.max(-1).mean(..));
    let [best, sure] = eval_all([&best, &sure])?;
    // views cost nothing; printing reads back what it prints
    say(format_args!("the first five: {}, sure by {sure}", best.slice(s![..5])))?;

    // a strided view becomes an array of its own; writes happen in place where nothing else holds the memory
    let mut w = p.slice(s![..8, ..;2]).eval()?;
    w.update(|w| w * 0.9 + 0.1)?;
    // NumPy's w[0, :] = 1
    w.set(s![0, ..], 1.0)?;
    let half = select(w.greater(0.5), &w, 0.0).astype(DType::F16);
    say(format_args!("in f16: {}", half.matmul(half.t()).sum(..).item::<cupric::f16>()?))?;

    // an expression carries its error until it is evaluated; the message names the line that made the error
    if let Err(error) = (&w + array![1., 2., 3.]).eval() {
        say(error)?;
    }
    Ok(())
}
