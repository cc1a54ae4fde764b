//! candle, on the CPU.

use crate::{Error, Row, Run};
use candle_core::{D, DType, Device, Result, Tensor};
use std::hint::black_box;

/// Makes a repetition of a function of tensors. Small inputs are run once here, so that an error shows before the timing.
fn repeat(x: Vec<Tensor>, f: impl Fn(&[Tensor]) -> Result<Tensor> + 'static) -> Result<Option<Run>> {
    if x.iter().all(|t| t.elem_count() < 1 << 20) {
        f(&x)?;
    }
    Ok(Some(Box::new(move || drop(black_box(f(&x))))))
}

fn dtype(name: &str) -> DType {
    match name {
        "f16" => DType::F16,
        "f64" => DType::F64,
        _ => DType::F32,
    }
}

fn inputs(row: &Row) -> Result<Vec<Tensor>> {
    let make = |i: &crate::Input| match &i.dtype[..] {
        "i32" => {
            let indices: Vec<u32> = i.indices().into_iter().map(|n| n as u32).collect();
            Tensor::from_vec(indices, &i.shape[..], &Device::Cpu)
        }
        name => Tensor::from_vec(i.floats(), &i.shape[..], &Device::Cpu)?.to_dtype(dtype(name)),
    };
    row.inputs.iter().map(make).collect()
}

pub fn run(row: &Row) -> std::result::Result<Option<Run>, Error> {
    let f: fn(&[Tensor]) -> Result<Tensor> = match &row.work[..] {
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
        "softmax" => |x| {
            let e = x[0].broadcast_sub(&x[0].max_keepdim(D::Minus1)?)?.exp()?;
            e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
        },
        "layer_norm" => |x| {
            let d = x[0].broadcast_sub(&x[0].mean_keepdim(D::Minus1)?)?;
            d.broadcast_div(&(d.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?)
        },
        "transpose" => |x| x[0].t()?.contiguous(),
        "take" => |x| x[0].index_select(&x[1], 0),
        "concat" => |x| Tensor::cat(&[&x[0], &x[1]], 0),
        "matmul" | "matmul_batched" => |x| x[0].matmul(&x[1]),
        "normal" => {
            let shape = row.shape.clone();
            return Ok(repeat(vec![], move |_| Tensor::randn(0f32, 1.0, &shape[..], &Device::Cpu))?);
        }
        _ => return Ok(None),
    };
    Ok(repeat(inputs(row)?, f)?)
}
