//! Runs a network of two layers that another program has trained. Its weights come from a safetensors file, with
//! PyTorch's names for `Sequential(Linear, ReLU, Linear)`. The results go to an `.npz` archive, which NumPy reads.
//!
//! ```text
//! cargo run --release --features formats --example mlp_file -- \
//!     --model model.safetensors --data rows.npy --save out.npz
//! ```

mod common;

use clap::Parser;
use common::say;
use cupric::{Array, DType, Device, Expr, Rng, SafeTensors, save_npz};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Number of random input rows, if no file is given.
const ROWS: usize = 8;

/// Runs a network of two layers from a safetensors file.
#[derive(Parser)]
struct Options {
    /// Where to compute
    #[arg(long, value_name = "cpu|gpu|gpu:N|best", default_value = "best")]
    device: String,
    /// A safetensors file of 0.weight, 0.bias, 2.weight and 2.bias
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// A .npy file with a row for each input [default: 8 rows of random normal numbers]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Seed of the random inputs
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where to write inputs, outputs and classes
    #[arg(long, value_name = "FILE", default_value = "mlp_file.npz")]
    save: PathBuf,
}

fn main() -> ExitCode {
    let options: Options = common::arguments("mlp_file");
    common::finish("mlp_file", run(&options))
}

fn run(options: &Options) -> Result<()> {
    let Options { model, data, seed, save, .. } = options;
    let device: Device = options.device.parse()?;
    let [first, second] = load(model)?;
    let inputs = first.inputs();
    let data = match data {
        Some(path) => rows(path, inputs)?,
        None => Rng::new(*seed).normal([ROWS, inputs], DType::F32).eval()?,
    };
    let x = data.to_device(&device)?;
    let hidden = first.apply(&x, &device)?.maximum(0.0);
    let outputs = second.apply(&hidden, &device)?.eval()?;
    let classes = outputs.argmax(1);
    save_npz(save, [("inputs", Expr::from(&x)), ("outputs", Expr::from(&outputs)), ("classes", classes)])?;
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

/// Reads the two layers of a model, and checks that their shapes fit each other.
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

/// Reads the inputs from a .npy file, and checks that each row has `inputs` numbers.
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
