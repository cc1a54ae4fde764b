//! Products whose epilogue reads an operand again.

use crate::{on_devices, support::*};
use cupric::DType::*;
use cupric::*;

on_devices! {

fn an_epilogue_reads_an_operand_again(d: &Device) {
    for dtype in [F32, F64, F16, I32, I64, U8] {
        // a product of integers is not for every device
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
    // stride 0 along k: the operand's load and the epilogue's are the same
    let a = array![2., 3.].to_device(d).unwrap().expand_dims(1).broadcast_to([2, 3]);
    let b = array![[1., 2.], [3., 4.], [5., 6.]].to_device(d).unwrap();
    let e = a.matmul(&b) + a.slice(s![.., ..1]);
    assert_eq!(e.to_vec::<f32>().unwrap(), [20., 26., 30., 39.]);
    let e = a.matmul(&b) + b.slice(s![1, ..]);
    assert_eq!(e.to_vec::<f32>().unwrap(), [21., 28., 30., 40.]);
}

}
