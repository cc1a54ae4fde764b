//! The rows that candle runs, on the CPU.

use crate::{Error, Row, Run, repeat};
use candle_core::{D, DType, Device, Result, Tensor};

fn dtype(name: &str) -> DType {
    match name {
        "f16" => DType::F16,
        "f64" => DType::F64,
        _ => DType::F32,
    }
}

pub fn inputs(row: &Row) -> Result<Vec<Tensor>> {
    let make = |i: &crate::Input| match &i.dtype[..] {
        "i32" if i.fill == "uniform" => Tensor::from_vec(i.integers(), &i.shape[..], &Device::Cpu),
        "bool" => {
            let truths: Vec<u8> = i.truths().into_iter().map(u8::from).collect();
            Tensor::from_vec(truths, &i.shape[..], &Device::Cpu)
        }
        "i32" => {
            let indices: Vec<u32> = i.indices().into_iter().map(|n| n as u32).collect();
            Tensor::from_vec(indices, &i.shape[..], &Device::Cpu)
        }
        name => Tensor::from_vec(i.floats(), &i.shape[..], &Device::Cpu)?.to_dtype(dtype(name)),
    };
    row.inputs.iter().map(make).collect()
}

fn cdf(x: &Tensor) -> Result<Tensor> {
    (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)
}

fn black_scholes(x: &[Tensor]) -> Result<Tensor> {
    let (a, k, t) = (&x[0], &x[1], &x[2]);
    let q = (t.sqrt()? * 0.3)?;
    let d = (((a / k)?.log()? + (t * 0.065)?)? / &q)?;
    let price = ((t * -0.02)?.exp()? * k)?;
    let call = ((a * cdf(&d)?)? - (&price * cdf(&(&d - &q)?)?)?)?;
    (call - a)? + price
}

fn stencil(x: &[Tensor]) -> Result<Tensor> {
    let (m, n) = x[0].dims2()?;
    let part = |i: usize| {
        let weight = [0.0625, 0.125, 0.25][usize::from(i % 2 == 1) + 2 * usize::from(i == 4)];
        x[0].narrow(0, i / 3, m - 2)?.narrow(1, i % 3, n - 2)? * weight
    };
    (1..9).try_fold(part(0)?, |sum, i| sum + part(i)?)
}

fn descending(n: usize) -> Result<Tensor> {
    Tensor::from_vec((0..n as u32).rev().collect::<Vec<_>>(), n, &Device::Cpu)
}

fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Loops of small operations.
fn loops(x: &[Tensor], work: &str, count: usize) -> Result<Tensor> {
    match work {
        "loop" => (0..count).try_fold(x[0].clone(), |y, i| if i % 2 == 0 { y * 0.999 } else { y + &x[1] }),
        "set_rows" => {
            let row = x[1].unsqueeze(0)?;
            (0..count).try_for_each(|i| x[0].slice_set(&row, 0, i))?;
            Ok(x[0].clone())
        }
        "slice_mut" => {
            for i in 0..count {
                let row = ((x[0].narrow(0, i, 1)? * 0.5)? + x[1].unsqueeze(0)?)?;
                x[0].slice_set(&row, 0, i)?;
            }
            Ok(x[0].clone())
        }
        _ => {
            let mut out = x[2].unsqueeze(0)?;
            for n in 1..=count {
                let scores = (x[2].unsqueeze(0)?.matmul(&x[0].narrow(0, 0, n)?.t()?)? * 0.125)?;
                out = softmax(&scores)?.matmul(&x[1].narrow(0, 0, n)?)?;
            }
            Ok(out)
        }
    }
}

/// The function of a row that is one expression of its inputs.
type Expression = fn(&[Tensor]) -> Result<Tensor>;

fn layout_or_product(work: &str) -> Option<Expression> {
    Some(match work {
        "transpose" => |x| x[0].t()?.contiguous(),
        "permute" => |x| x[0].permute((2, 0, 1))?.contiguous(),
        "flip" => |x| x[0].flip(&[0]),
        "take" | "gather" => |x| x[0].index_select(&x[1], 0),
        "take_columns" => |x| x[0].index_select(&x[1], 1),
        "take_descending" => |x| x[0].index_select(&descending(x[0].elem_count())?, 0),
        "concat" => |x| Tensor::cat(&[&x[0], &x[1]], 0),
        "stencil" => stencil,
        "matmul" | "matmul_batched" | "skinny" => |x| x[0].matmul(&x[1]),
        "matvec" => |x| x[0].matmul(&x[1].unsqueeze(1)?),
        "vecmat" => |x| x[1].unsqueeze(0)?.matmul(&x[0]),
        "matvec_t" => |x| x[0].t()?.matmul(&x[1].unsqueeze(1)?),
        "linear" => |x| x[1].matmul(&x[0].t()?),
        "weight" => |x| x[0].broadcast_matmul(&x[1].t()?),
        "distances" => |x| x[0].unsqueeze(1)?.broadcast_sub(&x[1].unsqueeze(0)?)?.sqr()?.sum(2)?.sqrt(),
        _ => return None,
    })
}

fn elementwise_or_reduction(work: &str) -> Option<Expression> {
    Some(match work {
        "add" | "add_small" => |x| &x[0] + &x[1],
        "scale" => |x| x[0].affine(2.5, 1.2),
        "hypot" => |x| (x[0].sqr()? + x[1].sqr()?)?.sqrt(),
        "exp" => |x| x[0].exp(),
        "log" => |x| x[0].log(),
        "sin" => |x| x[0].sin(),
        "tanh" => |x| x[0].tanh(),
        "erf" => |x| x[0].erf(),
        "cast" => |x| x[0].to_dtype(DType::F16),
        "chain" => |x| (0..5).try_fold(x[0].clone(), |x, _| x.affine(0.9, -0.3)?.abs()?.affine(1.0, 0.1)),
        "sum" | "sum_all" => |x| x[0].sum_all(),
        "max" => |x| x[0].max_all(),
        "dot" => |x| x[0].dot(&x[1]),
        "sum_rows" => |x| x[0].sum(1),
        "sum_columns" => |x| x[0].sum(0),
        "standardize" => |x| {
            let d = x[0].broadcast_sub(&x[0].mean_keepdim(0)?)?;
            d.broadcast_div(&d.sqr()?.mean_keepdim(0)?.sqrt()?)
        },
        "softmax" => |x| softmax(&x[0]),
        "layer_norm" => |x| {
            let d = x[0].broadcast_sub(&x[0].mean_keepdim(D::Minus1)?)?;
            d.broadcast_div(&(d.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?)
        },
        "argmax" => |x| x[0].argmax(0),
        "argmax_rows" => |x| x[0].argmax(1),
        "sum_middle" => |x| x[0].sum(1),
        // candle divides by n - 1 instead of n, which is as much work
        "var_columns" => |x| x[0].var(0),
        "count_columns" => |x| x[0].to_dtype(DType::U32)?.sum(0),
        "select" => |x| x[2].where_cond(&x[0], &x[1]),
        "black_scholes" => black_scholes,
        _ => return None,
    })
}

pub fn run(row: &Row) -> std::result::Result<Option<Run>, Error> {
    let (shape, work) = (row.shape.clone(), row.work.clone());
    match &row.work[..] {
        name if name.starts_with("train_") => return crate::candle_training::run(row),
        // candle has no product of integers
        "matmul" if row.dtype == "i32" => return Ok(None),
        "normal" => return Ok(repeat(move || Tensor::randn(0f32, 1.0, &shape[..], &Device::Cpu))),
        "upload" => {
            let host = row.inputs.first().ok_or("too few inputs")?.floats();
            return Ok(repeat(move || Tensor::from_slice(&host, &shape[..], &Device::Cpu)));
        }
        "download" => {
            let x = inputs(row)?;
            return Ok(repeat(move || x[0].to_vec1::<f32>()));
        }
        "loop" | "set_rows" | "slice_mut" | "grow" => {
            let x = inputs(row)?;
            return Ok(repeat(move || loops(&x, &work, shape[0])));
        }
        _ => {}
    }
    let expression = elementwise_or_reduction(&work).or_else(|| layout_or_product(&work));
    let Some(f) = expression else { return Ok(None) };
    let x = inputs(row)?;
    Ok(repeat(move || f(&x)))
}
