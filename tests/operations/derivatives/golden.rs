//! Results and derivatives, compared with JAX's: `data/make_derivatives.py` writes the file.

use crate::kit::{has, on_devices};
use cupric::DType::*;
use cupric::*;

/// Builds the function that a line of the file names.
fn function(name: &str, x: &[Expr]) -> Expr {
    let (a, b) = (&x[0], x.get(1).unwrap_or(&x[0]));
    let indices = |i: usize| x[i].astype(I32);
    match name {
        "softmax" => a.softmax(-1),
        "softmax_columns" => a.softmax(0),
        "log_softmax" => a.log_softmax(-1),
        "logsumexp" => a.logsumexp(-1),
        "layer_norm" | "layer_norm_flat" => a.layer_norm(-1, 1e-3),
        "rms_norm" => a.rms_norm(-1, 1e-3),
        "vector_norm_1" => a.vector_norm(-1, 1.0),
        "vector_norm_2" => a.vector_norm(-1, 2.0),
        "vector_norm_3" => a.vector_norm(-1, 3.0),
        "vector_norm_inf" => a.vector_norm(-1, f64::INFINITY),
        "cross_entropy" => a.cross_entropy(indices(1)),
        "std" => a.std(-1),
        "var" => a.var(0),
        "attention" | "attention_sharp" => attention(a, b, &x[2], Attention::default()),
        "attention_causal" => attention(a, b, &x[2], Attention::default().causal()),
        "sort" => a.sort(-1),
        "sort_ties" => a.sort(0),
        "topk" => a.topk(2, -1, true).0,
        "max_ties" => a.max(-1),
        "min_ties" => a.min(0),
        "maximum_ties" => maximum(a, b),
        "cumulative_sum" => a.cumulative_sum(-1),
        "cumulative_prod" | "cumulative_prod_zeros" => a.cumulative_prod(-1),
        "logcumsumexp" => a.logcumsumexp(1),
        "prod" => a.prod(-1),
        "prod_zeros" => a.prod(0),
        "logaddexp" => logaddexp(a, b),
        "hypot" => hypot(a, b),
        "take" => a.take(indices(1), 0),
        "take_along" => a.take_along_axis(indices(1), 1),
        "index_add" => a.index_add(0, indices(2), b),
        "segment_sum" => a.segment_sum(indices(1), 4),
        "median" => a.median(-1),
        "median_even" => a.median(0),
        "quantile" => a.quantile(0.3, -1, QuantileMethod::Linear),
        "where" => select(a.greater(0.0), a.sqrt(), 0.0),
        "matmul" => a.matmul(b),
        "einsum" => einsum("bij,bkj->ik", [a, b]),
        name => panic!("no function for {name}"),
    }
}

on_devices! {

fn derivatives_equal_those_of_jax(d: &Device) {
    let mut wrong = vec![];
    let t = if has(d, F64) { F64 } else { F32 };
    for line in include_str!("../../data/derivatives.txt").lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, count) = (fields[0], fields[1].parse::<usize>().unwrap());
        let all: Vec<Array> = fields[2..].chunks(2).map(|pair| {
            let numbers = |text: &str| text.split_whitespace().map(|t| t.parse::<f64>().unwrap()).collect::<Vec<_>>();
            let shape: Vec<usize> = numbers(pair[0]).iter().map(|n| *n as usize).collect();
            Array::from_vec(numbers(pair[1]), shape).unwrap()
        }).collect();
        let (operands, rest) = all.split_at(all.len() - count - 2);
        let x: Vec<Expr> = operands.iter().map(|a| a.astype(t).to_device(d).unwrap().into()).collect();
        let y = function(name, &x);
        let list = grad_many(&(&y * rest[1].astype(t).to_device(d).unwrap()).sum(..), &x[..count]);
        for (i, (got, want)) in std::iter::once(&y).chain(&list).zip([&rest[0]].into_iter().chain(&rest[2..])).enumerate() {
            let got = got.to_device(&Device::cpu()).unwrap_or_else(|e| panic!("{name}: {e}")).astype(F64);
            assert_eq!(got.shape().unwrap(), want.shape(), "{name}: result {i}");
            let scale = want.abs().max(..).item::<f64>().unwrap().max(1.0);
            let error = (&got - want).abs().max(..).item::<f64>().unwrap();
            let close = if t == F64 { 1e-12 } else { 1e-5 } * scale * if name == "layer_norm_flat" { 1e5 } else { 1.0 };
            if !matches!(error.partial_cmp(&close), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)) {
                wrong.push(format!("{name}: result {i} is off by {error}, at most {close}: {got:?}, not {want:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

}
