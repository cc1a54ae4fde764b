//! f16 and bf16 on the CPU: a formula has the bits of the same formula in f32, rounded once at the end. Kernels widen
//! these elements while they fold them, and round results in stores.

use crate::kit::{dice::Dice, read};
use cupric::{DType::*, *};

type Function = fn(&Array) -> Expr;

/// Functions that round only their result.
const FUNCTIONS: [(&str, Function); 13] = [
    ("sum", |x| x.sum(-1)),
    ("total", |x| x.sum(..)),
    ("sum of columns", |x| x.sum(0)),
    ("sum of a transpose", |x| x.t().sum(-1)),
    ("sum of squares", |x| x.square().sum(-1)),
    ("mean", |x| x.mean(-1)),
    ("var", |x| x.var(-1)),
    ("max", |x| x.max(-1)),
    ("softmax", |x| x.softmax(-1)),
    ("layer_norm", |x| x.layer_norm(-1, 1e-5)),
    ("rms_norm", |x| x.rms_norm(-1, 1e-5)),
    ("x * 2 + x", |x| x * 2.0 + x),
    ("exp", |x| x.exp()),
];

/// Shapes with rows below, at and above a block of 2,048 elements, and with rows that are no whole number of vectors.
const SHAPES: [[usize; 2]; 9] =
    [[1, 1], [5, 63], [129, 130], [40, 771], [3, 2047], [3, 2048], [3, 2049], [2, 5000], [1, 40_003]];

/// Returns elements of a normal distribution, three of them replaced by `special`, as they are in `dtype`.
fn operand(shape: [usize; 2], dtype: DType, special: Option<f32>, dice: &mut Dice) -> Array {
    let mut list: Vec<f32> = (0..shape[0] * shape[1]).map(|_| 3.0 * dice.normal() as f32).collect();
    for at in [0, list.len() / 2, list.len() - 1] {
        list[at] = special.unwrap_or(list[at]);
    }
    Array::from_vec(list, shape).unwrap().astype(dtype).eval().unwrap()
}

#[test]
fn a_formula_rounds_once() {
    let mut dice = Dice::new(16);
    for shape in SHAPES {
        for dtype in [F16, BF16] {
            for special in [None, Some(f32::NAN), Some(f32::INFINITY), Some(-0.0), Some(1e-6)] {
                let x = operand(shape, dtype, special, &mut dice);
                let wide = x.astype(F32).eval().unwrap();
                for (name, f) in FUNCTIONS {
                    let got = read(&f(&x).astype(dtype)).unwrap();
                    let want = read(&f(&wide).astype(dtype)).unwrap();
                    assert_eq!(got, want, "{name} of {shape:?} {dtype}, special {special:?}");
                }
            }
        }
    }
}
