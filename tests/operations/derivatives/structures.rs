//! Derivatives of every kind of operation, compared with differences in f64.

use super::{check, noise};
use crate::kit::{Dice, has, on_devices};
use cupric::*;

/// Random arrays of these shapes; None if the device lacks f64.
fn arrays(shapes: &[&[usize]], d: &Device) -> Option<Vec<Array>> {
    let dice = &mut Dice::new(3);
    has(d, DType::F64).then(|| shapes.iter().map(|s| noise(dice, s, 0.4, 2.0, d)).collect())
}

macro_rules! structures {
    ($d:ident; $($name:literal [$($shape:expr),*] |$x:ident| $body:expr;)*) => { $(
        if let Some(inputs) = arrays(&[$(&$shape),*], $d) {
            check($name, $d, &inputs, 2e-8, |$x| $body);
        }
    )* };
}

on_devices! {

fn of_elementwise_expressions(d: &Device) {
    structures! { d;
        "broadcast" [[3, 4], [4], [3, 1], []] |x| (&x[0] * &x[1] + &x[2]) / &x[3];
        "read twice" [[5]] |x| &x[0] * &x[0].exp() + &x[0];
        "select" [[6], [6]] |x| select(x[0].greater(1.0), &x[0] * &x[1], x[1].square());
        "casts" [[6]] |x| x[0].astype(DType::F64).astype(DType::I32).astype(DType::F64) * &x[0];
        "clip" [[9], [9], [9]] |x| x[0].clip(&x[1], &x[1] + &x[2]);
        "powers" [[5], [5]] |x| x[0].pow(3) + x[0].pow(&x[1]) + x[1].pow(0.5) + x[0].pow(1) + x[0].pow(0);
        "lerp" [[4], [4], [4]] |x| lerp(&x[0], &x[1], &x[2]);
    }
}

fn of_reductions(d: &Device) {
    structures! { d;
        "sum" [[3, 4, 2]] |x| x[0].square().sum((0, 2));
        "sum of all" [[3, 4]] |x| x[0].exp().sum(..);
        "mean" [[3, 4]] |x| x[0].square().mean(keep(1));
        "var and std" [[3, 5]] |x| x[0].var(1) + x[0].std(1) * x[0].std_corrected(1, 1.0);
        "prod" [[3, 4]] |x| x[0].prod(0);
        "prod of two axes" [[2, 3, 2]] |x| x[0].prod((0, 2));
        "max and min" [[3, 7]] |x| x[0].max(1) * x[0].min(1);
        "logsumexp" [[3, 4]] |x| (&x[0] * 5.0).logsumexp(1);
        "softmax" [[3, 4]] |x| (&x[0] * 3.0).softmax(1);
        "softmax of columns" [[3, 4]] |x| x[0].softmax(0);
        "log_softmax" [[3, 4]] |x| x[0].log_softmax(-1);
        "layer_norm" [[3, 6]] |x| x[0].layer_norm(-1, 1e-5);
        "rms_norm" [[3, 6]] |x| x[0].rms_norm(-1, 1e-5);
        "norms" [[3, 4]] |x| x[0].vector_norm(1, 2.0) + x[0].vector_norm(1, 1.0) + x[0].vector_norm(1, 3.0) * x[0].vector_norm(1, INF);
        "norm" [[3, 4]] |x| x[0].norm(..);
        "Frobenius" [[3, 4]] |x| x[0].matrix_norm(.., MatrixNorm::Frobenius);
        "median" [[3, 6]] |x| x[0].median(1);
        "quantile" [[2, 40]] |x| x[0].quantile(0.3, 1, QuantileMethod::Linear);
    }
}

fn of_scans_and_sorts(d: &Device) {
    structures! { d;
        "cumulative_sum" [[3, 5]] |x| x[0].cumulative_sum(1).square();
        "cumulative_sum, reversed" [[4, 3]] |x| x[0].cumulative_sum(reverse(0)).square();
        "cumulative_prod" [[2, 7]] |x| x[0].cumulative_prod(1);
        "cumulative_prod, exclusive" [[7]] |x| x[0].cumulative_prod(exclusive(0));
        "logcumsumexp" [[2, 6]] |x| (&x[0] * 4.0).logcumsumexp(1);
        "cummax" [[2, 9]] |x| x[0].cummax(1) + x[0].cummin(reverse(1));
        "sort" [[3, 8]] |x| x[0].sort(1) * arange(0, 8, 1, DType::F64);
        "sort, descending" [[8, 3]] |x| x[0].sort(descending(0)) * arange(0, 3, 1, DType::F64);
        "topk" [[2, 40]] |x| x[0].topk(2, 1, true).0;
        "diff" [[8]] |x| x[0].diff(1, 0).square();
    }
}

fn of_products(d: &Device) {
    structures! { d;
        "matmul" [[3, 4], [4, 2]] |x| x[0].matmul(&x[1]);
        "of vectors" [[4], [4]] |x| x[0].matmul(&x[1]);
        "matrix and vector" [[3, 4], [4]] |x| x[0].matmul(&x[1]);
        "vector and matrix" [[3], [3, 4]] |x| x[0].matmul(&x[1]);
        "batch" [[2, 3, 4], [2, 4, 5]] |x| x[0].matmul(&x[1]);
        "shared right" [[2, 3, 4], [4, 5]] |x| x[0].matmul(&x[1]);
        "shared left" [[3, 4], [2, 4, 5]] |x| x[0].matmul(&x[1]);
        "broadcast batch" [[2, 1, 3, 4], [5, 4, 2]] |x| x[0].matmul(&x[1]);
        "transposed" [[4, 3], [2, 4]] |x| x[0].t().matmul(x[1].t());
        "einsum" [[2, 3, 4], [4, 3, 5]] |x| einsum("bij,jik->bk", [&x[0], &x[1]]);
        "outer" [[3], [4]] |x| x[0].outer(&x[1]);
        "attention" [[2, 4, 3], [2, 5, 3], [2, 5, 3]] |x| {
            (x[0].matmul(x[1].matrix_transpose()) / 3f64.sqrt()).softmax(-1).matmul(&x[2])
        };
        "layer" [[6, 4], [4, 5], [5]] |x| (x[0].matmul(&x[1]) + &x[2]).gelu().layer_norm(-1, 1e-5);
    }
}

fn of_views_and_copies(d: &Device) {
    structures! { d;
        "transpose and slice" [[4, 6]] |x| x[0].t().slice(s![1..5;2, ..]).square();
        "slice downwards" [[9]] |x| x[0].slice(s![7..1;-2]).square();
        "index" [[4, 6]] |x| x[0].slice(s![2]) * x[0].slice(s![0]);
        "flip" [[4, 3]] |x| x[0].flip(0) * &x[0];
        "diagonal" [[4, 4]] |x| x[0].diagonal(1).square();
        "windows" [[9]] |x| x[0].sliding_windows(3, 0).square();
        "windows of an expression" [[3, 9]] |x| x[0].exp().sliding_windows(4, 1).square();
        "strided windows" [[11]] |x| x[0].exp().sliding_windows(3, 0).slice(s![..;2]).square();
        "windows in two axes" [[6, 5]] |x| x[0].exp().sliding_windows([3, 2], [0, 1]).square();
        "reshape" [[4, 6]] |x| x[0].exp().reshape([3, 8]).square() * arange(0, 8, 1, DType::F64);
        "reshape of a view" [[4, 6]] |x| x[0].t().reshape([24]).square() * arange(0, 24, 1, DType::F64);
        "broadcast_to" [[3, 1]] |x| x[0].broadcast_to([2, 3, 4]).square();
        "concat" [[2, 3], [4, 3]] |x| concat([&x[0], &x[1], &x[0]], 0).square();
        "stack" [[3], [3]] |x| stack([&x[0], &x[1]], 1).square();
        "split" [[6, 2]] |x| x[0].slice(s![..2]).sum(..) * x[0].slice(s![2..]).square();
        "split of an expression" [[6, 4]] |x| {
            let e = x[0].exp();
            e.slice(s![.., ..1]).square() + e.slice(s![.., 1..3]).sum(keep(1)) * e.slice(s![.., 3..])
        };
        "pad" [[5]] |x| x[0].pad([(2, 1)], Pad::Reflect).square();
        "roll" [[5]] |x| x[0].roll(2, 0) * &x[0];
        "repeat and tile" [[3]] |x| x[0].repeat(2, 0) * x[0].tile([2]);
        "triangle" [[4, 4]] |x| x[0].tril(0).square();
        "overlapping reads" [[8]] |x| x[0].slice(s![1..]) * x[0].slice(s![..-1]);
    }
}

fn of_gathers_and_scatters(d: &Device) {
    if !has(d, DType::F64) {
        return;
    }
    let put = |v: Vec<i32>, shape: &[usize]| Array::from_vec(v, shape).unwrap().to_device(d).unwrap();
    let i = put(vec![2, 0, -1, 2], &[4]);
    let rows = put(vec![1, 0, 2, 2], &[2, 2]);
    let along = put(vec![1, 0, 1, 3, 3, -1], &[2, 3]);
    let one = put(vec![3, 0], &[2, 1]);
    let labels = put(vec![3, 1], &[2]);
    let [knots, heights] = [array![0., 1., 2.], array![0., 3., 4.]].map(|a| a.to_device(d).unwrap());
    structures! { d;
        "take" [[3, 2]] |x| x[0].take(&i, 0).square();
        "take by two axes" [[2, 3]] |x| x[0].exp().take(&rows, 1).square();
        "take_wrap" [[3, 2]] |x| x[0].take(Wrap(&i * 5), 0).square();
        "take_clip" [[3, 2]] |x| x[0].take(Clip(&i * 5), 0).square();
        "take_along_axis" [[2, 4]] |x| x[0].take_along_axis(&along, 1).square();
        "one along an axis" [[2, 4]] |x| x[0].log_softmax(1).take_along_axis(&one, 1);
        "index_add" [[3, 2], [4, 2]] |x| x[0].index_add(0, &i, &x[1]).square();
        "segment_sum" [[4, 2]] |x| x[0].segment_sum(i.clip(0, 2), 3).square();
        "put" [[6], [4]] |x| x[0].put(&i, &x[1]).square();
        "put_along_axis" [[2, 4], [2, 3]] |x| x[0].put_along_axis(&along, &x[1], 1).square();
        "index_max" [[3], [4]] |x| x[0].index_max(0, &i, &x[1]).square();
        "cross_entropy" [[2, 4]] |x| (&x[0] * 3.0).cross_entropy(&labels);
        "interp" [[5]] |x| interp(x[0].clip(0.5, 1.9), &knots, &heights).square();
        "select_many" [[6]] |x| select_many([x[0].less(0.8), x[0].less(1.4)], [x[0].exp(), x[0].sin()], x[0].sqrt());
    }
}

fn of_derivatives(d: &Device) {
    structures! { d;
        "second derivative" [[5]] |x| {
            let [g] = grad(&x[0].exp().sin().sum(..), [&x[0]]);
            g.square()
        };
        "Hessian times vector" [[4], [4, 4]] |x| {
            let [g] = grad(&(x[0].matmul(&x[1]) * 0.2).square().exp().log1p().sum(..), [&x[0]]);
            let [h] = grad(&(g * arange(1, 5, 1, DType::F64)).sum(..), [&x[0]]);
            h
        };
        "third derivative" [[3]] |x| {
            let [g] = grad(&x[0].pow(4).sum(..), [&x[0]]);
            let [h] = grad(&g.sum(..), [&x[0]]);
            h
        };
        "through softmax twice" [[2, 4]] |x| {
            let [g] = grad(&x[0].softmax(1).square().sum(..), [&x[0]]);
            g.square()
        };
    }
}

}
