//! Derivatives at points where the function is not differentiable, errors, and leaves that share memory.

use crate::kit::{error, on_devices, put, same};
use cupric::*;

/// The derivative of a function's sum with respect to an f32 array.
pub(super) fn slope(d: &Device, x: &[f32], f: impl Fn(&Expr) -> Expr) -> Vec<f32> {
    let x = put::<f32>(d, x, &[x.len()]);
    let [g] = grad(&f(&x).sum(..), [&x]);
    g.to_device(&Device::cpu()).unwrap().to_vec().unwrap()
}

on_devices! {

fn where_there_is_no_derivative_the_result_is_stated(d: &Device) {
    // the branch that `select` discards adds no NaN (in JAX it does)
    assert_eq!(slope(d, &[4., 0., -1.], |x| select(x.greater(0.0), x.sqrt(), 0.0)), [0.25, 0., 0.]);
    assert_eq!(slope(d, &[1., 0.], |x| select(x.equal(0.0), 1.0, x.sin() / x))[1], 0.);
    assert_eq!(slope(d, &[1., 0.], |x| select(x.greater(0.0), x.log() * 3.0, 0.0)), [3., 0.]);
    let shared = |x: &Expr| {
        let root = x.sqrt();
        select(x.greater(0.0), &root, 0.0) + select(x.greater(1.0), &root * 2.0, 0.0)
    };
    assert_eq!(slope(d, &[4., 0.25, -1.], shared), [0.75, 1., 0.]);
    // equal maxima share the derivative
    assert_eq!(slope(d, &[2., 2., 1.], |x| x.max(..)), [0.5, 0.5, 0.]);
    assert_eq!(slope(d, &[3.], |x| maximum(x, 3.0)), [0.5]);
    // kinks and jumps
    assert_eq!(slope(d, &[0., -2.], |x| x.abs() + x.relu()), [0., -1.]);
    assert_eq!(slope(d, &[1.5, -0.5], |x| x.floor() + x.round() + x.sign()), [0., 0.]);
    assert_eq!(slope(d, &[-2., -1., 0.5, 1., 2.], |x| x.clip(-1.0, 1.0)), [0., 1., 1., 1., 0.]);
    // norms of zeros, and the standard deviation of equal numbers
    assert_eq!(slope(d, &[0., 0.], |x| x.vector_norm(.., 2.0)), [0., 0.]);
    assert_eq!(slope(d, &[3., 3.], |x| x.std(..)), [0., 0.]);
    assert_eq!(slope(d, &[0.], |x| hypot(x, 0.0)), [0.]);
    // products with zero factors
    assert_eq!(slope(d, &[2., 0., 3.], |x| x.prod(..)), [0., 6., 0.]);
    assert_eq!(slope(d, &[0., 0., 3.], |x| x.prod(..)), [0., 0., 0.]);
    assert_eq!(slope(d, &[2., 0., 3.], |x| x.cumulative_prod(0)), [1., 8., 0.]);
    // infinite slopes stay infinite, and 0 · log(0) counts as 0
    assert_eq!(slope(d, &[0.], Expr::sqrt), [f32::INFINITY]);
    assert_eq!(slope(d, &[0., 2.], |x| x.pow(2.0)), [0., 4.]);
    assert_eq!(slope(d, &[0., 2.], |x| x.pow(0.0)), [0., 0.]);
    // far from 0 the slope of an activation is 0 or 1, even if parts of its formula overflow
    let far = [f32::NEG_INFINITY, -1e30, -200., 200., 1e30, f32::INFINITY];
    for activation in [Expr::silu, Expr::gelu, Expr::gelu_tanh] {
        assert_eq!(slope(d, &far, activation), [0., 0., 0., 1., 1., 1.]);
    }
    // in the lower tail the slope of gelu is small, and has a small relative error
    let tail = slope(d, &[-3., -5., -8.], Expr::gelu).into_iter().zip([-1.1945647204e-02, -7.1469460018e-06, -3.9796072611e-14]);
    tail.for_each(|(is, exact)| assert!((is as f64 / exact - 1.0).abs() < 1e-5, "{is} for {exact}"));
    // interpolation between equal points, and at the points themselves: the slope of the interval to the right
    let (at, points) = ([0.25, 1., 1.5, 0., 2., -1., 3.], array![0., 1., 2.].to_device(d).unwrap());
    let heights = put::<f32>(d, [0., 0., 4.], &[3]);
    assert_eq!(slope(d, &at, |x| interp(x, &points, &heights)), [0., 4., 4., 0., 4., 0., 0.]);
    assert_eq!(slope(d, &[0., 0., 4.], |fp| interp(0.25, &points, fp)), [0.75, 0.25, 0.]);
    assert_eq!(slope(d, &[0., 1., 2.], |xp| interp(1.0, xp, &heights)), [0., -4., 0.]);
    // several points at one place: beyond them the slope is 0
    assert_eq!(slope(d, &[1., 2., 0.5], |x| interp(x, array![0., 1., 1.].to_device(d).unwrap(), &heights)), [0., 0., 0.]);
    // quantiles of equal numbers
    assert_eq!(slope(d, &[1., 2., 2., 3.], |x| x.median(..)), [0., 0.5, 0.5, 0.]);
    assert_eq!(slope(d, &[1., 2., 2., 3.], |x| x.quantile(0.375, 0, QuantileMethod::Linear)), [0., 0.875, 0.125, 0.]);
    // norms of other orders
    assert_eq!(slope(d, &[0., 0.], |x| x.vector_norm(.., 3.0)), [0., 0.]);
    assert_eq!(slope(d, &[0., -2.], |x| x.vector_norm(.., 3.0)), [0., -1.]);
    assert_eq!(slope(d, &[0., 4.], |x| x.vector_norm(.., 0.5)), [0., 1.]);
    assert_eq!(slope(d, &[0., 4.], |x| x.vector_norm(.., -1.0)), [0., 0.]);
    // infinities in a softmax
    assert_eq!(slope(d, &[f32::NEG_INFINITY; 2], |x| x.logsumexp(0)), [0., 0.]);
    assert_eq!(slope(d, &[0., f32::NEG_INFINITY], |x| x.logsumexp(0)), [1., 0.]);
    assert_eq!(slope(d, &[1e4, -1e4], |x| -x.log_softmax(0).slice(s![1])), [1., -1.]);
}

fn views_of_an_array_count_as_the_array(d: &Device) {
    let w = put::<f32>(d, [1., 2., 3., 4., 5., 6.], &[2, 3]);
    let [g] = grad(&(w.t().slice(s![1..]) * 2.0).sum(..), [&w]);
    same(&g, &[0f32, 2., 2., 0., 2., 2.]);
    let [g] = grad(&w.reshape([3, 2]).slice(s![1]).square().sum(..), [&w]);
    same(&g, &[0f32, 0., 6., 8., 0., 0.]);
    // two columns of one array as separate operands
    let (left, right) = (w.slice(s![.., ..1]).eval().unwrap(), w.slice(s![.., 1..]).eval().unwrap());
    let [a, b] = grad(&(&left * &right).sum(..), [&left, &right]);
    same(&a, &[5f32, 11.]);
    same(&b, &[1f32, 1., 4., 4.]);
    let [a] = grad(&(&left * &right).sum(..), [&left]);
    same(&a, &[5f32, 11.]);
    // a part of an array as an operand, while the expression reads the whole array
    let row = w.slice(s![0]).eval().unwrap();
    let [a, b] = grad(&(&w * &row).sum(..), [&w, &row]);
    assert!(error(&b).contains("shares elements with operand 1"), "{}", error(&b));
    assert!(a.eval().is_err());
    // the same operand twice
    let [a, b] = grad(&w.square().sum(..), [&w, &w]);
    same(&a, &[2f32, 4., 6., 8., 10., 12.]);
    same(&b, &[2f32, 4., 6., 8., 10., 12.]);
    // an expression as an operand, and the array from which it is computed
    let h = &w * 3.0;
    let [of_h, of_w] = grad(&h.square().sum(..), [&h, &w]);
    same(&of_h, &[6f32, 12., 18., 24., 30., 36.]);
    same(&of_w, &[18f32, 36., 54., 72., 90., 108.]);
}

fn equal_arrays_that_were_computed_once_are_two_operands(d: &Device) {
    let zeros = || zeros([2], DType::F32).to_device(d).unwrap() + 0.0;
    let [a, b] = eval_all([&zeros(), &zeros()]).unwrap();
    let [da, db] = grad(&(&a * 2.0 + b.t() * 3.0).sum(..), [&a, &b]);
    same(&da, &[2f32, 2.]);
    same(&db, &[3f32, 3.]);
    let x = put::<f32>(d, [2., 3.], &[2]);
    for frozen in [x.stop_gradient(), x.stop_gradient().eval().unwrap().into()] {
        let [g] = grad(&(&x * &frozen).sum(..), [&frozen]);
        same(&g, &[2f32, 3.]);
        let [g] = grad(&(&x * &frozen).sum(..), [&x]);
        same(&g, &[2f32, 3.]);
    }
}

fn operands_that_views_do_not_pass_through_are_refused(d: &Device) {
    let x = put::<f32>(d, [1., 2., 3., 4., 5., 6.], &[2, 3]);
    let one = |y: &Expr, x: &Expr| { let [g] = grad(y, [x]); g };
    let turned = x.exp().t();
    assert!(error(&one(&turned.sum(..), &turned)).contains("is a view of an expression"));
    let turned = turned.positive();
    let g = one(&turned.matmul(turned.t()).sum(..), &turned);
    let want = turned.sum(keep(0)) * 2.0 + zeros([3, 2], DType::F32).to_device(d).unwrap();
    crate::kit::near(&g, &want.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap().iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), |v| v.abs() * 1e-5);
    let fill = full([2], 3.0, DType::F32);
    assert!(error(&one(&(&fill * x.slice(s![.., ..2])).sum(..), &fill)).contains("is a fill that is not computed yet"));
    let windows = x.reshape([6]).sliding_windows(2, 0);
    assert!(error(&one(&windows.sum(..), &windows)).contains("has elements that share memory"));
}

fn results_of_no_elements_have_the_derivative_0(d: &Device) {
    let (w, none) = (put::<f32>(d, [1., 2., 3.], &[3]), put::<f32>(d, vec![], &[0, 3]));
    let [g] = grad(&none.matmul(&w).square().sum(..), [&w]);
    same(&g, &[0f32, 0., 0.]);
    let [g] = grad(&(w.slice(s![3..]).exp().sum(keep(0)).slice(s![0]) + w.sum(..)), [&w]);
    same(&g, &[1f32, 1., 1.]);
}

fn long_scans_have_derivatives(d: &Device) {
    let n = 3000;
    let x = put::<f32>(d, (0..n).map(|i| (i as f32 * 0.7).sin() * 0.01 + 1.0).collect::<Vec<_>>(), &[n]);
    let [g] = grad(&x.logcumsumexp(0).slice(s![-1]), [&x]);
    let want = x.softmax(0).to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap();
    crate::kit::near(&g, &want.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), |v| v.abs() * 1e-3);
    let [g] = grad(&x.cumulative_prod(0).slice(s![-1]), [&x]);
    let want = (x.prod(..) / &x).to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap();
    crate::kit::near(&g, &want.iter().map(|v| f64::from(*v)).collect::<Vec<_>>(), |v| v.abs() * 1e-3);
}

fn rules_replace_derivatives(d: &Device) {
    let x = put::<f32>(d, [0.25, 1.75], &[2]);
    let rounded = with_vjp(&x.round(), [&x], |g| [g * 2.0]);
    let [g] = grad(&(rounded.reshape([2, 1]) * 5.0).sum(..), [&x]);
    same(&g, &[10f32, 10.]);
    // a custom rule for an array itself, and a view of the result
    let marked = with_vjp(&x, [&x], |g| [g * 7.0]);
    let [g] = grad(&marked.slice(s![1..]).sum(..), [&x]);
    same(&g, &[0f32, 7.]);
    let wrong = with_vjp(&x.exp(), [&x], |g| [g.sum(..)]);
    let [g] = grad(&wrong.sum(..), [&x]);
    let e = error(&g);
    assert!(e.contains("with_vjp: the derivative for operand 0 has shape []; the operand has shape [2]"), "{e}");
    let wrong = with_vjp(&x.exp(), [&x], |g| [g.greater(0.0).astype(DType::I32)]);
    let [g] = grad(&wrong.sum(..), [&x]);
    let e = error(&g);
    assert!(e.contains("with_vjp: the derivative for operand 0 has dtype i32; the operand has dtype f32"), "{e}");
    // an integer operand has no derivative, so the rule may return anything of its shape
    let i = put::<i32>(d, [0, 1], &[2]);
    let taken = with_vjp(&(&x * &i), [&x, &i], |g| [g * 3.0, g.astype(DType::I32)]);
    let [g] = grad(&taken.sum(..), [&x]);
    same(&g, &[3f32, 3.]);
    let [g] = grad(&(x.stop_gradient().slice(s![..1]) * x.slice(s![1..])).sum(..), [&x]);
    same(&g, &[0f32, 0.25]);
    let [g] = grad(&x.stop_gradient().square().sum(..), [&x]);
    same(&g, &[0f32, 0.]);
    same(&x.stop_gradient().slice(s![1..]), &[1.75f32]);
    same(&(x.stop_gradient().t().reshape([1, 2]) + 1.0), &[1.25f32, 2.75]);
}

fn wrong_calls_are_errors_that_name_the_operand(d: &Device) {
    let (x, y) = (put::<f32>(d, [1., 2.], &[2]), put::<f32>(d, [3.], &[1]));
    let one = |y: &Expr, x: &Expr| { let [g] = grad(y, [x]); error(&g) };
    assert!(one(&x.square(), &x).starts_with("grad: the result has shape [2]"), "{}", one(&x.square(), &x));
    assert!(one(&x.sum(..), &y).contains("does not read operand 0, of shape [1]"));
    let whole = put::<i32>(d, [1, 2], &[2]);
    assert!(one(&(&whole * &x).sum(..), &whole).contains("operand 0 has dtype i32"));
    assert!(one(&whole.sum(..), &whole).contains("the result has dtype i64"));
    let e = one(&nextafter(&x, 3.0).sum(..), &x);
    assert!(e.contains("nextafter, called at") && e.contains("has no derivative"), "{e}");
    assert!(e.contains(file!()), "{e}");
    let failed = x.matmul(put::<f32>(d, [1., 2., 3.], &[3]));
    assert_eq!(one(&failed, &x), error(&failed));
    let [g] = vjp(&x.square(), put::<f32>(d, [1., 2., 3.], &[3]), [&x]);
    assert!(error(&g).contains("cannot broadcast"), "{}", error(&g));
    let [a, b] = grad_or_zeros(&x.sum(..), [&x, &y]);
    same(&a, &[1f32, 1.]);
    same(&b, &[0f32]);
    // results that were evaluated are constants
    let kept = x.square().eval().unwrap();
    assert!(one(&kept.sum(..), &x).contains("does not read"));
}

fn gradients_are_the_same_bits_in_one_plan_or_alone(d: &Device) {
    let x = put::<f32>(d, (0..96).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>(), &[8, 12]);
    let w = put::<f32>(d, (0..60).map(|i| (i as f32 * 0.73).cos()).collect::<Vec<_>>(), &[12, 5]);
    let loss = x.matmul(&w).gelu().layer_norm(-1, 1e-5).square().sum(..);
    let [dx, dw] = grad(&loss, [&x, &w]);
    let [_, a, b] = eval_all([&loss, &dx, &dw]).unwrap();
    same(&dx, &a.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap());
    same(&dw, &b.to_device(&Device::cpu()).unwrap().to_vec::<f32>().unwrap());
}

}

#[cfg(feature = "gpu")]
#[test]
fn an_operand_on_another_device_is_an_error() {
    let Some(gpu) = crate::kit::gpu(1) else { return };
    let (x, y) = (put::<f32>(&gpu, [1.], &[1]), put::<f32>(&Device::cpu(), [1.], &[1]));
    let [_, g] = grad(&x.sum(..), [&x, &y]);
    assert!(error(&g).contains("operands are on"), "{}", error(&g));
}

#[test]
fn deep_graphs_are_walked_and_dropped_without_recursion() {
    let x = array![1.0001f32];
    let n = 1_000_000;
    let y = (0..n).fold(Expr::from(&x), |y, i| match i % 3 {
        0 => y * 1.0,
        1 => with_vjp(&y.positive(), [&y], |g| [g.clone()]),
        _ => y.stop_gradient() + y,
    });
    let [g] = grad(&y.sum(..), [&x]);
    assert!(g.shape().is_ok());
    drop(g);
    drop(y);
}

#[test]
fn a_training_step_leaks_nothing_and_learns() {
    let (mut w, mut b) = (array![0.0f32, 0.0], array![0.0f32]);
    let x = array![[1., 2.], [3., 4.], [5., -1.], [0., 1.]];
    let y = array![5., 11., 3., 2.] - 1.0;
    for _ in 0..600 {
        let (loss, (dw, db)) = value_and_grad(&(&w, &b), |(w, b)| (x.matmul(*w) + *b - &y).square().mean(..));
        let [_, dw, db] = eval_all([&loss, &dw, &db]).unwrap();
        drop(loss);
        w.update(|w| w - dw * 0.05).unwrap();
        b.update(|b| b - db * 0.05).unwrap();
    }
    // gradient descent must find y = x[0] + 2 x[1] − 1
    let found: Vec<f32> = [&w, &b].iter().flat_map(|a| a.to_vec::<f32>().unwrap()).collect();
    for (got, want) in found.iter().zip([1f32, 2., -1.]) {
        assert!((got - want).abs() < 1e-2, "{found:?}");
    }
}
