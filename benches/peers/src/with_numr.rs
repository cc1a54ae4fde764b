//! The rows that numr runs, on the CPU.

use crate::{Error, Row, Run, repeat};
use half::f16;
use numr::algorithm::SpecialFunctions;
use numr::ops::{ConditionalOps, LogicalOps, RandomOps, StatisticalOps, UnaryOps};
use numr::prelude::{CpuClient, CpuDevice, CpuRuntime};
use numr::{dtype::DType, error::Result, runtime::Runtime};

type Tensor = numr::tensor::Tensor<CpuRuntime>;

fn client() -> CpuClient {
    CpuRuntime::default_client(&CpuDevice::new())
}

fn input(i: &crate::Input) -> Result<Tensor> {
    let device = CpuDevice::new();
    match &i.dtype[..] {
        "i32" if i.fill == "permutation" => {
            let indices: Vec<i64> = i.indices().into_iter().map(|n| n as i64).collect();
            Tensor::from_slice(&indices, &i.shape, &device)
        }
        "i32" => Tensor::from_slice(&i.integers(), &i.shape, &device),
        "bool" => {
            let truths: Vec<u8> = i.truths().into_iter().map(u8::from).collect();
            Tensor::from_slice(&truths, &i.shape, &device)
        }
        "f16" => {
            let halves: Vec<f16> = i.floats().into_iter().map(f16::from_f32).collect();
            Tensor::from_slice(&halves, &i.shape, &device)
        }
        "f64" => {
            let doubles: Vec<f64> = i.floats().into_iter().map(f64::from).collect();
            Tensor::from_slice(&doubles, &i.shape, &device)
        }
        _ => Tensor::from_slice(&i.floats(), &i.shape, &device),
    }
}

/// Returns the numbers from n - 1 down to 0.
fn descending(n: usize) -> Result<Tensor> {
    let indices: Vec<i64> = (0..n as i64).rev().collect();
    Tensor::from_slice(&indices, &[n], &CpuDevice::new())
}

fn cdf(x: &Tensor) -> Result<Tensor> {
    client().erf(&x.mul_scalar(std::f64::consts::FRAC_1_SQRT_2)?)?.mul_scalar(0.5)?.add_scalar(0.5)
}

fn black_scholes(x: &[Tensor]) -> Result<Tensor> {
    let (a, k, t) = (&x[0], &x[1], &x[2]);
    let q = t.sqrt()?.mul_scalar(0.3)?;
    let d = a.div(k)?.log()?.add(&t.mul_scalar(0.065)?)?.div(&q)?;
    let price = t.mul_scalar(-0.02)?.exp()?.mul(k)?;
    let call = a.mul(&cdf(&d)?)?.sub(&price.mul(&cdf(&d.sub(&q)?)?)?)?;
    call.sub(a)?.add(&price)
}

fn stencil(x: &[Tensor]) -> Result<Tensor> {
    let [m, n] = [x[0].shape()[0] - 2, x[0].shape()[1] - 2];
    let part = |i: usize| {
        let weight = [0.0625, 0.125, 0.25][usize::from(i % 2 == 1) + 2 * usize::from(i == 4)];
        x[0].narrow(0, i / 3, m)?.narrow(1, i % 3, n)?.mul_scalar(weight)
    };
    (1..9).try_fold(part(0)?, |sum, i| sum.add(&part(i)?))
}

/// A loop of small operations.
fn steps(x: &[Tensor], count: usize) -> Result<Tensor> {
    (0..count).try_fold(x[0].clone(), |y, i| if i % 2 == 0 { y.mul_scalar(0.999) } else { y.add(&x[1]) })
}

fn grow(x: &[Tensor]) -> Result<Tensor> {
    let query = x[2].unsqueeze(1)?;
    let mut out = query.clone();
    for n in 1..=x[0].shape()[0] {
        let scores = x[0].narrow(0, 0, n)?.matmul(&query)?.mul_scalar(0.125)?;
        out = scores.softmax(0)?.t()?.matmul(&x[1].narrow(0, 0, n)?)?;
    }
    Ok(out)
}

/// Returns the function of a row that is one expression of its inputs.
fn expression(work: &str) -> Option<fn(&[Tensor]) -> Result<Tensor>> {
    Some(match work {
        "add" | "add_small" => |x| x[0].add(&x[1]),
        "scale" => |x| x[0].mul_scalar(2.5)?.add_scalar(1.2),
        "hypot" => |x| client().square(&x[0])?.add(&client().square(&x[1])?)?.sqrt(),
        "exp" => |x| x[0].exp(),
        "log" => |x| x[0].log(),
        "sin" => |x| x[0].sin(),
        "tanh" => |x| x[0].tanh(),
        "erf" => |x| client().erf(&x[0]),
        "cast" => |x| x[0].to_dtype(DType::F16),
        "chain" => {
            |x| (0..5).try_fold(x[0].clone(), |x, _| x.mul_scalar(0.9)?.add_scalar(-0.3)?.abs()?.add_scalar(0.1))
        }
        "and" => |x| client().logical_and(&x[0], &x[1]),
        "select" => |x| client().where_cond(&x[2], &x[0], &x[1]),
        "black_scholes" => black_scholes,
        "stencil" => stencil,
        "sum" | "sum_all" => |x| x[0].sum(&(0..x[0].ndim()).collect::<Vec<_>>(), false),
        "max" => |x| x[0].max(&[0], false),
        "dot" => |x| x[0].unsqueeze(0)?.matmul(&x[1].unsqueeze(1)?),
        "sum_rows" | "sum_middle" => |x| x[0].sum(&[1], false),
        "sum_columns" => |x| x[0].sum(&[0], false),
        "argmax" => |x| x[0].argmax(0, false),
        "argmax_rows" => |x| x[0].argmax(1, false),
        "var_columns" => |x| client().var(&x[0], &[0], false, 0),
        "standardize" => |x| x[0].sub(&x[0].mean(&[0], true)?)?.div(&client().std(&x[0], &[0], true, 0)?),
        "softmax" => |x| x[0].softmax(-1),
        "transpose" => |x| x[0].t()?.contiguous(),
        "permute" => |x| x[0].permute(&[2, 0, 1])?.contiguous(),
        "flip" => |x| x[0].flip(0)?.contiguous(),
        "take" | "gather" => |x| x[0].index_select(0, &x[1]),
        "take_columns" => |x| x[0].index_select(1, &x[1]),
        "take_descending" => |x| x[0].index_select(0, &descending(x[0].numel())?),
        "concat" => |x| Tensor::cat(&[&x[0], &x[1]], 0),
        "matmul" | "matmul_batched" | "skinny" => |x| x[0].matmul(&x[1]),
        "matvec" => |x| x[0].matmul(&x[1].unsqueeze(1)?),
        "vecmat" => |x| x[1].unsqueeze(0)?.matmul(&x[0]),
        "matvec_t" => |x| x[0].t()?.matmul(&x[1].unsqueeze(1)?),
        "linear" => |x| x[1].matmul(&x[0].t()?),
        "weight" => |x| x[0].matmul(&x[1].t()?),
        "distances" => |x| {
            let d = x[0].unsqueeze(1)?.sub(&x[1].unsqueeze(0)?)?;
            client().square(&d)?.sum(&[2], false)?.sqrt()
        },
        "grow" => grow,
        _ => return None,
    })
}

pub fn run(row: &Row) -> std::result::Result<Option<Run>, Error> {
    let shape = row.shape.clone();
    match &row.work[..] {
        "normal" => return Ok(repeat(move || client().randn(&shape, DType::F32))),
        "upload" => {
            let host = row.inputs.first().ok_or("too few inputs")?.floats();
            return Ok(repeat(move || Tensor::from_slice(&host, &shape, &CpuDevice::new())));
        }
        _ => {}
    }
    let Some(count) = row.shape.first().copied() else { return Ok(None) };
    let x: Vec<Tensor> = row.inputs.iter().map(input).collect::<Result<_>>()?;
    Ok(match &row.work[..] {
        "loop" => repeat(move || steps(&x, count)),
        "download" => repeat(move || x[0].try_to_vec::<f32>()),
        "layer_norm" => {
            let width = [*row.shape.last().ok_or("no axes")?];
            let one = Tensor::ones(&width, DType::F32, &CpuDevice::new())?;
            let zero = Tensor::zeros(&width, DType::F32, &CpuDevice::new())?;
            repeat(move || x[0].layer_norm(&one, &zero, 1e-5))
        }
        work => expression(work).and_then(|f| repeat(move || f(&x))),
    })
}
