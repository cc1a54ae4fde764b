//! Shows what the library makes of an expression: the kernels it would run, and on a GPU their shaders.
//!
//! ```text
//! cargo run --release --example show_plan -- --expr softmax --device gpu
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{DType, Device, Expr, Rng, arange, maximum, zeros};
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The operands of the expressions. No expression is computed.
struct Inputs {
    /// `rows` × `columns`
    x: Expr,
    /// `rows` × `columns`
    y: Expr,
    /// `columns` × `columns`
    weights: Expr,
    /// `columns`
    bias: Expr,
    /// The indices of every second row of x, backwards from the last one.
    picks: Expr,
}

type Make = fn(&Inputs) -> Expr;

const EXPRESSIONS: [(&str, &str, Make); 10] = [
    ("chain", "(x * 2.5 + y).sin().exp() - 1.0", |i| (&i.x * 2.5 + &i.y).sin().exp() - 1.0),
    ("standardize", "(x - x.mean(0)) / (x.std(0) + 1e-6)", |i| (&i.x - i.x.mean(0)) / (i.x.std(0) + 1e-6)),
    ("softmax", "x.softmax(-1)", |i| i.x.softmax(-1)),
    ("layer_norm", "x.layer_norm(-1, 1e-5) * bias", |i| i.x.layer_norm(-1, 1e-5) * &i.bias),
    ("variance", "x.var(..)", |i| i.x.var(..)),
    ("distance", "(x - y).square().sum(-1).sqrt()", |i| (&i.x - &i.y).square().sum(-1).sqrt()),
    ("matmul_bias_relu", "maximum(x.matmul(weights) + bias, 0.0)", |i| maximum(i.x.matmul(&i.weights) + &i.bias, 0.0)),
    ("transpose_sum", "x.t().sum(0)", |i| i.x.t().sum(0)),
    ("take", "x.take(picks, 0) * 0.5", |i| i.x.take(&i.picks, 0) * 0.5),
    ("noise", "x + Rng::new(0).normal([columns], DType::F32)", |i| {
        &i.x + Rng::new(0).normal(i.bias.shape().unwrap_or(&[1]), DType::F32)
    }),
];

/// Shows the plan of an expression: its kernels, and on a GPU their WGSL.
#[derive(Parser)]
struct Options {
    /// Which expression; --list shows them
    #[arg(long, value_name = "NAME", default_value = "softmax", value_parser = EXPRESSIONS.map(|(name, ..)| name))]
    expr: String,
    /// Rows of its operands
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = common::positive)]
    rows: usize,
    /// Columns of its operands
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = common::positive)]
    columns: usize,
    /// Type of its operands
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = ["f32", "f16", "i32"])]
    dtype: String,
    /// Device to plan for
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// List the expressions and exit
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("show_plan");
    common::finish("show_plan", run(&options))
}

fn run(options: &Options) -> Result<()> {
    if options.list {
        let lines = EXPRESSIONS.map(|(name, formula, _)| format!("{name:18}{formula}"));
        return Ok(say(lines.join("\n"))?);
    }
    let Some((_, formula, make)) = EXPRESSIONS.iter().find(|(name, ..)| *name == options.expr) else {
        return Err(format!("there is no expression '{}'", options.expr).into());
    };
    let dtype = match options.dtype.as_str() {
        "f16" => DType::F16,
        "i32" => DType::I32,
        _ => DType::F32,
    };
    let Options { rows, columns, .. } = *options;
    let device: Device = options.device.parse()?;
    // a plan depends on the operands' shapes, types and memory order, never on their values
    let blank = |shape: &[usize]| Ok::<Expr, cupric::Error>(zeros(shape, dtype).to_device(&device)?.into());
    let inputs = Inputs {
        x: blank(&[rows, columns])?,
        y: blank(&[rows, columns])?,
        weights: blank(&[columns, columns])?,
        bias: blank(&[columns])?,
        picks: (rows as i64 - arange(1, rows + 1, 2, DType::I32)).to_device(&device)?.into(),
    };
    let expression = make(&inputs);
    let (gives, lengths) = (expression.dtype()?, expression.shape()?);
    say(format_args!("{formula}\nx: {dtype} {rows} × {columns}, the result: {gives} {lengths:?}"))?;

    // the plan shows what `eval` would do; no kernel runs
    let plan = expression.plan()?;
    say(format_args!("on {device}\n\n{plan}"))?;

    let shaders = plan.wgsl();
    if shaders.is_empty() {
        return Ok(say("The CPU runs these kernels as they are; with --device gpu their WGSL is shown here.")?);
    }
    for (number, shader) in shaders.iter().enumerate() {
        say(format_args!("// --- kernel {number} ---\n\n{}", shader.trim_end()))?;
    }
    Ok(())
}
