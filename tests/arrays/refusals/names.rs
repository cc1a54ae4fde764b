//! Refused calls of functions under names of other libraries.

use super::{Case, error, matrix};
use crate::kit::put;
use cupric::DType::*;
use cupric::*;

pub fn names(d: &Device) -> Vec<Case> {
    use ErrorKind as K;
    let (x, five) = (matrix(d), put(d, vec![1f32; 5], &[5]));
    let failed = &x + &five;
    let huge = [1usize << 40, 1 << 40];
    let r = || Rng::new(0);
    vec![
        ("Expr::transpose", K::Axis, error(x.transpose([0, 2]))),
        ("Expr::unsqueeze", K::Axis, error(x.unsqueeze(4))),
        ("Expr::flatten", K::Shape, error(failed.flatten())),
        ("Expr::cumsum", K::Axis, error(x.cumsum(2))),
        ("Expr::cumprod", K::Axis, error(x.cumprod(2))),
        ("Expr::dot", K::Shape, error(x.dot(&x))),
        ("Expr::clamp", K::Shape, error(x.clamp(&five, 1.0))),
        ("Expr::ln", K::Shape, error(failed.ln())),
        ("Expr::powf", K::Shape, error(x.powf(&five))),
        ("Expr::powi", K::Argument, error(x.astype(I32).powi(-1))),
        ("Expr::abs_diff", K::Shape, error(x.abs_diff(&five))),
        ("Expr::copy", K::Shape, error(failed.copy())),
        ("Expr::to", K::Shape, failed.to(d).unwrap_err()),
        ("Expr::on", K::DeviceMismatch, error(x.on(&d.with_memory_limit(1 << 20).expect("a device of its own")))),
        ("Array::zeros", K::LimitExceeded, error(Array::zeros(huge, F32))),
        ("Array::ones", K::LimitExceeded, error(Array::ones(huge, F32))),
        ("Array::empty", K::LimitExceeded, error(Array::empty(huge, F32))),
        ("Array::full", K::Argument, error(Array::full(2, 300, U8))),
        ("Array::arange", K::Argument, error(Array::arange(0, 1, 0, F32))),
        ("Array::linspace", K::DType, error(Array::linspace(0.0, 1.0, 3, I32))),
        ("Array::eye", K::LimitExceeded, error(Array::eye(1 << 40, F32))),
        ("Rng::normal_like", K::DType, error(r().normal_like(x.astype(I32)))),
        ("Rng::uniform_like", K::Shape, error(r().uniform_like(&failed))),
        ("Rng::integers_like", K::DType, error(r().integers_like(0, 9, &x))),
        ("Rng::bernoulli_like", K::Argument, error(r().bernoulli_like(2.0, &x))),
    ]
}
