//! Runs a network of two layers that another program has trained: its weights come from a safetensors file, with the names that PyTorch gives
//! them (`Sequential(Linear, ReLU, Linear)`), and results go to an archive `.npz`, which NumPy reads.
//!
//! ```text
//! cargo run --release --features formats --example mlp_file -- --model model.safetensors --data rows.npy --save out.npz
//! ```

mod common;

use common::{Args, say};
use cupric::{Array, DType, Device, Expr, Rng, SafeTensors, save_npz};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Rows that are made where no file has them.
const ROWS: usize = 8;

fn main() -> ExitCode {
    let args = Args::new("mlp_file", "Runs a network of two layers from a safetensors file.")
        .option("device", "cpu|gpu|gpu:N|best", "where to compute [best]")
        .option("model", "FILE", "0.weight, 0.bias, 2.weight and 2.bias, as safetensors; it must be given")
        .option("data", "FILE", "a .npy file, a row for each input [8 rows of normal numbers]")
        .option("seed", "N", "of those numbers [0]")
        .option("save", "FILE", "where inputs, outputs and classes go [mlp_file.npz]")
        .parse();
    common::finish("mlp_file", run(&args))
}

fn run(args: &Args) -> Result<()> {
    let Some(model) = args.try_get::<PathBuf>("model") else { args.wrong("--model FILE must be given") };
    let (seed, save) = (args.get("seed", 0), args.get("save", PathBuf::from("mlp_file.npz")));
    let device: Device = args.device().parse()?;
    let [first, second] = load(&model)?;
    let inputs = first.inputs();
    let data = match args.try_get::<PathBuf>("data") {
        Some(path) => rows(&path, inputs)?,
        None => Rng::new(seed).normal([ROWS, inputs], DType::F32).eval()?,
    };
    let x = data.to_device(&device)?;
    let hidden = first.apply(&x, &device)?.maximum(0.0);
    let outputs = second.apply(&hidden, &device)?.eval()?;
    let classes = outputs.argmax(1);
    save_npz(&save, [("inputs", Expr::from(&x)), ("outputs", Expr::from(&outputs)), ("classes", classes)])?;
    let sizes = [inputs, first.outputs(), second.outputs()].map(|n| n.to_string()).join(" → ");
    say(format_args!("{device}: {sizes}, {} rows, written to {}", x.shape()[0], save.display()))?;
    Ok(())
}

/// A layer of a network: `x · weightᵀ + bias`.
struct Linear {
    /// A row for each output.
    weight: Array,
    bias: Array,
}

impl Linear {
    fn inputs(&self) -> usize {
        self.weight.shape()[1]
    }

    fn outputs(&self) -> usize {
        self.weight.shape()[0]
    }

    fn apply(&self, x: &Expr, device: &Device) -> Result<Expr> {
        Ok(x.matmul(self.weight.to_device(device)?.t()) + self.bias.to_device(device)?)
    }
}

/// The two layers of a model, whose shapes fit each other.
fn load(path: &Path) -> Result<[Linear; 2]> {
    let mut file = SafeTensors::open(path)?;
    let mut tensor = |name: String, axes: usize| -> Result<Array> {
        let x = file.read(&name)?;
        if x.ndim() != axes || !x.dtype().is_float() {
            let (n, dtype) = (x.ndim(), x.dtype());
            return Err(
                format!("{}: {name} has {n} axes of {dtype}; {axes} of floats are needed", path.display()).into()
            );
        }
        Ok(x.astype(DType::F32).eval()?)
    };
    let mut layer = |n: usize| -> Result<Linear> {
        Ok(Linear { weight: tensor(format!("{n}.weight"), 2)?, bias: tensor(format!("{n}.bias"), 1)? })
    };
    let layers = [layer(0)?, layer(2)?];
    let [first, second] = &layers;
    let fits = first.outputs() == second.inputs() && layers.iter().all(|l| l.bias.size() == l.outputs());
    if !fits {
        let shapes = layers.iter().map(|l| format!("{:?} and {:?}", l.weight.shape(), l.bias.shape()));
        let shapes = shapes.collect::<Vec<_>>().join(", then ");
        return Err(format!("{}: the layers do not fit: {shapes}", path.display()).into());
    }
    Ok(layers)
}

/// The inputs of a file.
fn rows(path: &Path, inputs: usize) -> Result<Array> {
    let x = Array::from_npy(path)?;
    if x.ndim() != 2 {
        return Err(format!("{}: shape {:?} is not that of rows", path.display(), x.shape()).into());
    }
    if x.shape()[1] != inputs {
        let n = x.shape()[1];
        return Err(format!("{}: rows of {n} numbers, and the network takes {inputs}", path.display()).into());
    }
    Ok(x.astype(DType::F32).eval()?)
}
