//! Products whose epilogue reads an operand again, and products of matrices with an empty axis.

use crate::kit::*;
use cupric::DType::*;
use cupric::*;

on_devices! {

fn an_epilogue_reads_an_operand_again(d: &Device) {
    for dtype in [F32, F64, F16, I32, I64, U8] {
        // not every GPU supports products of integers
        if !has(d, dtype) || d != &Device::cpu() && !dtype.is_float() {
            continue;
        }
        let a = array![1., 2., 3.].astype(dtype).eval().unwrap().to_device(d).unwrap();
        let b = array![4., 5.].astype(dtype).eval().unwrap().to_device(d).unwrap();
        let (c, r) = (a.expand_dims(1), b.expand_dims(0));
        let vec = |e: &Expr| e.astype(F32).to_vec::<f32>().unwrap();
        assert_eq!(vec(&(c.matmul(&r) * &c)), [4., 5., 16., 20., 36., 45.], "{dtype}");
        assert_eq!(vec(&(c.matmul(&r) + &r)), [8., 10., 12., 15., 16., 20.], "{dtype}");
        assert_eq!(vec(&(c.matmul(&r) * &c + &r)), [8., 10., 20., 25., 40., 50.], "{dtype}");
        assert_eq!(vec(&(c.matmul(&r).maximum(&c) - c.matmul(&r))), [0.; 6], "{dtype}");
    }
}

fn an_epilogue_reads_the_columns_of_an_operand(d: &Device) {
    // stride 0 along k: the product and the epilogue load the operand in the same way
    let a = array![2., 3.].to_device(d).unwrap().expand_dims(1).broadcast_to([2, 3]);
    let b = array![[1., 2.], [3., 4.], [5., 6.]].to_device(d).unwrap();
    let e = a.matmul(&b) + a.slice(s![.., ..1]);
    assert_eq!(e.to_vec::<f32>().unwrap(), [20., 26., 30., 39.]);
    let e = a.matmul(&b) + b.slice(s![1, ..]);
    assert_eq!(e.to_vec::<f32>().unwrap(), [21., 28., 30., 40.]);
}

fn sums_of_nothing_are_zeros(d: &Device) {
    for i in 0..27 {
        let [m, k, n] = [i / 9, i / 3 % 3, i % 3].map(|i| [0usize, 1, 65][i]);
        for batch in [None, Some(2), Some(0)] {
            let lead = |r: usize, c: usize| batch.into_iter().chain([r, c]).collect::<Vec<usize>>();
            let filled = |s: Vec<usize>| put(d, vec![1i32; s.iter().product()], &s);
            let (a, b, bias) = (filled(lead(m, k)), filled(lead(k, n)), filled(vec![n]) * -1);
            let count = batch.unwrap_or(1) * m * n;
            for t in [F32, F16, I32] {
                let [a, b, bias] = [&a, &b, &bias].map(|x| x.astype(t).eval().unwrap());
                let what = format!("{t}: [{m}, {k}] × [{k}, {n}], batch {batch:?}");
                let check = |e: &Expr, want: i32| {
                    assert_eq!(e.shape().unwrap(), lead(m, n), "{what}");
                    match e.astype(I32).eval() {
                        Ok(e) => same(&e, &vec![want; count]),
                        Err(e) => panic!("{what}: {e}"),
                    }
                };
                let p = a.matmul(&b);
                check(&p, k as i32);
                check(&(&p + &bias).relu(), (k as i32 - 1).max(0));
                check(&(&p - &bias), k as i32 + 1);
            }
        }
    }
}

// Sums of nothing over views: the operands' buffers are longer than the part that is read, or are empty.
fn sums_of_nothing_of_views(d: &Device) {
    let x = put(d, vec![1f32; 300 * 70], &[300, 70]);
    let (a, b) = (x.slice(s![.., 5..5]), x.slice(s![7..7, ..]));
    same(&a.matmul(&b), &[0f32; 300 * 70]);
    same(&(a.matmul(&b) + &x), &[1f32; 300 * 70]);
    same(&b.t().matmul(a.t()), &[0f32; 300 * 70]);
    // reductions over an empty axis, with many results
    same(&a.sum(1), &[0f32; 300]);
    same(&(a.sum(1) + x.slice(s![.., 0])), &[1f32; 300]);
    let none = zeros([0, 100_000], F32).to_device(d).unwrap();
    same(&none.sum(0), &[0f32; 100_000]);
    same(&((&none + 1.0).prod(0) * 2.0), &[2f32; 100_000]);
}

}
