//! Checkpoints: the same bits as without them, less memory, a single plan, and what may be inside them.

use super::noise;
use crate::kit::*;
use cupric::DType::*;
use cupric::*;

const LAYERS: usize = 12;

/// Builds a part of a network, inside a checkpoint or without one.
fn part(is_kept: bool, build: impl FnOnce() -> Expr) -> Expr {
    if is_kept { build() } else { checkpoint(build) }
}

/// Two products, a dropout, a shortcut connection and a softmax.
fn layer(h: &Expr, [v, w]: &[Array; 2], rng: &mut Rng) -> Expr {
    let inner = h.matmul(v).gelu().dropout(0.1, rng).matmul(w);
    (h + inner).softmax(-1) * 3.0
}

fn weights(d: &Device, t: DType, n: usize, layers: usize) -> Vec<[Array; 2]> {
    let dice = &mut Dice::new(5);
    let mut one =
        |shape: &[usize]| noise(dice, shape, -0.3, 0.3, &Device::cpu()).astype(t).eval().unwrap().to_device(d).unwrap();
    (0..layers).map(|_| [one(&[n, 4 * n]), one(&[4 * n, n])]).collect()
}

/// The loss of a network, and its derivatives with respect to all weights.
fn network(is_kept: bool, x: &Array, weights: &[[Array; 2]]) -> Vec<Expr> {
    let mut rng = Rng::new(3);
    let mut h: Expr = x.into();
    for w in weights {
        h = part(is_kept, || layer(&h, w, &mut rng));
    }
    let loss = h.square().mean(..);
    let list = grad_many(&loss, weights.iter().flatten());
    std::iter::once(loss).chain(list).collect()
}

fn bits(list: &[Expr]) -> Vec<Vec<u64>> {
    let list: Vec<Array> = eval_all_of(list);
    list.iter().map(|a| read(a).unwrap()).collect()
}

fn eval_all_of(list: &[Expr]) -> Vec<Array> {
    eval_many(list).unwrap_or_else(|e| panic!("{e}"))
}

on_devices! {

fn derivatives_have_the_same_bits_as_without_checkpoints(d: &Device) {
    for t in [F32, F16, F64] {
        if !has(d, t) {
            continue;
        }
        let w = weights(d, t, 8, 3);
        let x = noise(&mut Dice::new(1), &[5, 8], -1.0, 1.0, &Device::cpu()).astype(t).eval().unwrap().to_device(d).unwrap();
        let (kept, again) = (bits(&network(true, &x, &w)), bits(&network(false, &x, &w)));
        if t == F16 {
            // f16 is rounded where a value is stored, and a checkpoint stores other values
            for (a, b) in kept.iter().flatten().zip(again.iter().flatten()) {
                let (a, b) = (number::real(t, *a), number::real(t, *b));
                assert!((a - b).abs() <= 2e-3 * a.abs().max(0.02), "{a} and {b}");
            }
        } else {
            assert_eq!(kept, again, "{t}");
        }
    }
}

// The value and the first derivatives have equal bits; higher derivatives may be rounded differently.
fn nested_checkpoints_have_the_same_derivatives(d: &Device) {
    let w = noise(&mut Dice::new(2), &[4, 4], -0.5, 0.5, &Device::cpu()).astype(F32).eval().unwrap().to_device(d).unwrap();
    let x = noise(&mut Dice::new(3), &[3, 4], -1.0, 1.0, &Device::cpu()).astype(F32).eval().unwrap().to_device(d).unwrap();
    let f = |is_kept: bool| {
        let h = part(is_kept, || {
            let a = part(is_kept, || x.matmul(&w).tanh());
            let b = part(is_kept, || a.matmul(w.t()).softmax(-1) + &a);
            b.logsumexp(-1).sin()
        });
        let y = (part(is_kept, || h.expand_dims(1) * &w.sum(0)) + h.expand_dims(1)).sum(..);
        let [dx, dw] = grad(&y, [&x, &w]);
        let [more] = grad(&(dx.square().sum(..) + dw.sin().sum(..)), [&w]);
        let forward = jvp(&y, [&w], [&w]);
        [y, dx, dw, more, forward]
    };
    let close = |a: &Array, b: &Array| a.allclose(b, 2e-6, 2e-6, false).item::<bool>().unwrap();
    let (kept, again) = (eval_all_of(&f(true)), eval_all_of(&f(false)));
    for (i, (a, b)) in kept.iter().zip(&again).enumerate() {
        assert!(close(a, b), "result {i}: {a} and {b}");
    }
    assert_eq!(bits(&f(true)[..3]), bits(&f(false)[..3]));
}

fn steps_of_training_prepare_one_plan(d: &Device) {
    let d = &own(d);
    let w = weights(d, F32, 8, 3);
    let x = ones([5, 8], F32).to_device(d).unwrap();
    eval_all_of(&network(false, &x, &w));
    let before = d.stats().prepares;
    for _ in 0..20 {
        eval_all_of(&network(false, &x, &w));
    }
    assert_eq!(d.stats().prepares, before);
}

}

/// The peak memory of an evaluation beyond its operands, and its number of kernels.
fn cost(is_kept: bool) -> (usize, u64) {
    let d = own(&Device::cpu());
    let w = weights(&d, F32, 16, LAYERS);
    let x = ones([256, 16], F32).to_device(&d).unwrap();
    let list = network(is_kept, &x, &w);
    let (used, kernels) = (d.memory().used, d.stats().kernels);
    let results = eval_all_of(&list);
    let bytes: usize = results.iter().map(|a| a.size() * 4).sum();
    (d.memory().peak - used - bytes, d.stats().kernels - kernels)
}

#[test]
fn a_chain_of_checkpoints_keeps_one_result_a_layer() {
    let ((kept, few), (again, many)) = (cost(true), cost(false));
    println!("{kept} bytes by {few} kernels without checkpoints, {again} by {many} with them");
    assert!(again * 5 < kept * 2, "{again} bytes, and {kept} without checkpoints");
}

#[test]
fn the_derivative_computes_products_again() {
    let d = Device::cpu();
    let (w, x) = (weights(&d, F32, 16, 4), ones([256, 16], F32));
    let products = |is_kept: bool| {
        let list = network(is_kept, &x.eval().unwrap(), &w);
        list[1].plan().unwrap().to_string().matches(": matmul [").count()
    };
    println!("{} products, {} with checkpoints", products(true), products(false));
    assert!(products(false) >= products(true) + 4);
}

#[test]
fn captured_expressions_and_views_are_operands() {
    let (x, w) = (array![1., 2., 3., 4.], array![[0.5, 2.], [1., -1.]]);
    let h = x.sin();
    let f = |is_kept: bool| {
        let y = part(is_kept, || {
            let square = h.reshape([2, 2]) * &x.reshape([2, 2]);
            square.matmul(&w).matmul(w.t()) * w.slice(s![0]) * &h.sum(..)
        });
        grad(&y.sum(..), [&x, &w, &h])
    };
    let (kept, again) = (eval_all_of(&f(true)), eval_all_of(&f(false)));
    for (a, b) in kept.iter().zip(&again) {
        assert!(a.allclose(b, 1e-6, 1e-6, false).item::<bool>().unwrap(), "{a} and {b}");
    }
    // an expression that was made outside the checkpoint is returned unchanged
    let [d] = grad(&checkpoint(|| h.clone()).sum(..), [&h]);
    assert_eq!(d.to_vec::<f32>().unwrap(), [1.0; 4]);
    let unread = checkpoint(|| (&x * 2.0).sum(..));
    assert!(grad(&unread, [&w])[0].eval().unwrap_err().to_string().contains("does not read operand 0"));
}

/// The elements of an expression of f64.
fn real(e: &Expr) -> Vec<f64> {
    e.to_vec().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_derivative_that_is_passed_on_is_found_by_jvp() {
    let (x, w, b) = (array![[1f64, 2.], [3., -4.]], array![[0.5f64, 2.], [1., -1.]], array![0.25f64, 1.]);
    let narrow = x.astype(F32);
    let functions: [(&str, &dyn Fn() -> Expr); 14] = [
        ("add", &|| &x + 1.0),
        ("sum", &|| x.sum(0)),
        ("sum of all", &|| x.sum(..)),
        ("trace", &|| x.trace(0, 0, 1)),
        ("roll", &|| x.roll(1, 0)),
        ("concat", &|| concat([&x, &(&x * 2.0)], 1)),
        ("transpose", &|| x.t() + 1.0),
        ("reshape of a transpose", &|| (&x + 1.0).t().reshape([4])),
        ("broadcast", &|| x.expand_dims(0).broadcast_to([3, 2, 2]) + 1.0),
        ("cast", &|| (&x.astype(F32) + 1.0).astype(F64)),
        ("bias", &|| x.matmul(&w) + &x),
        ("read twice", &|| (&x + 1.0) + x.sin()),
        ("convolution", &|| x.reshape([1, 1, 2, 2]).conv2d(w.reshape([1, 1, 2, 2]), Conv::default().padding(1))),
        ("one part of two", &|| concat([x.slice(s![0]), x.slice(s![1]) + 1.0], 0)),
    ];
    for (name, f) in functions {
        let want = real(&jvp(&f(), [&x], [&w]));
        let nested = checkpoint(|| checkpoint(|| checkpoint(f).positive()));
        let ruled = checkpoint(|| {
            let y = f();
            with_vjp(&y, [&y], |g| [g.clone()])
        });
        for y in [checkpoint(f), checkpoint(|| checkpoint(f)), nested, ruled] {
            assert_eq!(real(&jvp(&y, [&x], [&w])), want, "{name}");
        }
        let compiled = Compiled::new(|u: Expr| jvp(&checkpoint(f), [&x], [&u]));
        assert_eq!(real(&compiled.call(&w).unwrap()), want, "{name}, compiled");
    }
    let of_bias = jvp(&checkpoint(|| x.matmul(&w) + &b), [&b], [array![1f64, 2.]]);
    assert_eq!(real(&of_bias), [1., 2., 1., 2.]);
    let of_narrow = jvp(&checkpoint(|| narrow.astype(F64) + 1.0), [&narrow], [&w]);
    assert_eq!(real(&of_narrow), [0.5, 2., 1., -1.]);
}

#[test]
fn expressions_outside_are_found_by_the_second_derivative() {
    let (x, w) = (array![1f64, 2.], array![3f64, 5.]);
    // the derivative with respect to `scale` is `h` itself
    let h = (&x * &w).sum(..);
    let scale = array![2f64].sum(..).positive();
    let [d] = grad(&checkpoint(|| &h * &scale), [&scale]);
    assert_eq!(real(&grad(&d, [&h])[0]), [1.]);
    assert_eq!(real(&grad(&d, [&x])[0]), [3., 5.]);
    // the derivative is the cotangent, which is an expression of the caller
    let v = w.square();
    let [d] = vjp(&checkpoint(|| &x + 1.0), &v, [&x]);
    assert_eq!(real(&grad(&d.square().sum(..), [&v])[0]), [18., 50.]);
    let [d] = vjp(&checkpoint(|| x.reshape([2, 1]).broadcast_to([2, 3])), v.expand_dims(1), [&x]);
    assert_eq!(real(&grad(&d.square().sum(..), [&v])[0]), [162., 450.]);
}

#[test]
fn calls_with_several_results_are_repeated() {
    let x = array![1f64, -2., 3., 0.5];
    let [a] = grad(&checkpoint(|| fft::rfft(&x, -1).abs()).square().sum(..), [&x]);
    let [b] = grad(&fft::rfft(&x, -1).abs().square().sum(..), [&x]);
    assert_eq!(real(&a), real(&b));
    // the derivative of the exponential of a number
    let m = array![[2f64]];
    let [d] = grad(&checkpoint(|| linalg::expm(&m)).sum(..), [&m]);
    assert!((real(&d)[0] - 2f64.exp()).abs() < 1e-12, "{d:?}");
    let a = array![[2f64, 1.], [1., 3.]];
    let f = |is_kept: bool| {
        let z = part(is_kept, || {
            let (w, v) = linalg::eigh(&a);
            (&v * w.tanh().expand_dims(-2)).matmul(v.t())
        });
        let of_rows = fft::fft(Complex::new(&z, &z), -1).real() * array![[1f64, 2.], [3., 5.]];
        grad(&of_rows.sum(..), [&a])[0].clone()
    };
    assert_eq!(real(&f(false)), real(&f(true)));
    for (got, want) in real(&f(false)).iter().zip([-0.0641, 0.2432, 0.2432, -0.2662]) {
        assert!((got - want).abs() < 1e-4, "{got}, not {want}");
    }
}

/// A checkpoint that contains the derivative of another one: its own derivative repeats the inner repetition apart from
/// the inner first computation.
#[test]
fn derivatives_inside_checkpoints_are_repeated_apart() {
    let (x, w) = (array![[1f64, 2.], [3., -4.]], array![[0.5f64, 2.], [1., -1.]]);
    let f = |is_kept: bool| {
        let d = checkpoint(|| {
            let y = part(is_kept, || x.matmul(&w).tanh().matmul(w.t()).sin());
            grad(&y.square().sum(..), [&x])[0].clone() * &y
        });
        grad(&d.square().sum(..), [&x])[0].clone()
    };
    let products = |e: &Expr| e.plan().unwrap().to_string().matches(": matmul [").count();
    let (kept, again) = (products(&f(true)), products(&f(false)));
    println!("{kept} products, {again} with a checkpoint inside");
    // each of the two products in the inner checkpoint is computed four more times; three times if its repetition by the
    // outer derivative were the same as its repetition by the inner one
    assert_eq!(again, kept + 8);
    assert!(f(true).allclose(f(false), 1e-12, 1e-12, false).item::<bool>().unwrap());
}

/// A function that compares its argument or stops its derivatives is an error instead of a wrong `jvp`.
#[test]
fn jvp_needs_linear_functions() {
    let (x, u) = (array![1f64, 2.], array![3f64, 5.]);
    let of = |y: &Expr| jvp(y, [&x], [&u]);
    let text = |y: &Expr| of(y).eval().map(|a| a.to_string()).unwrap_or_else(|e| e.to_string());
    assert_eq!(
        real(&of(&with_vjp(&x.square(), [&x], {
            let x = x.clone();
            move |g| [g * &x * 2.0]
        }))),
        [6., 20.]
    );
    for y in [
        with_vjp(&x.square(), [&x], |g| [g.stop_gradient()]),
        with_vjp(&x.square(), [&x], |g| [select(g.greater(0.0), g, 0.0)]),
        with_vjp(&x.square(), [&x], |g| [g.astype(I32).astype(F64)]),
    ] {
        let text = text(&y);
        assert!(text.contains("passes no derivative on to it") && text.contains("with_vjp must be linear"), "{text}");
        assert!(text.contains(file!()), "{text}");
        // the gradient calls the function with numbers
        assert!(grad(&y.sum(..), [&x])[0].eval().is_ok());
    }
}

/// A function that is not linear has no `jvp`: its derivative at 0 would be a wrong result.
#[test]
fn jvp_refuses_functions_that_are_not_linear() {
    type Rule = fn(&Expr) -> Expr;
    let (x, u) = (array![1f64, 2.], array![3f64, 5.]);
    let with = |rule: Rule| with_vjp(&x.square(), [&x], move |g| [rule(g)]);
    let curved: [(&str, Rule); 24] = [
        ("square", |g| g.square()),
        ("multiply", |g| g * g),
        ("multiply", |g| g * (g * 0.5).exp()),
        ("tanh", |g| g.tanh() * 2.0),
        ("sin", |g| (g * 2.0).sin()),
        ("abs", |g| g.abs()),
        ("clip", |g| g.clip(-1.0, 1.0)),
        ("maximum", |g| g.maximum(0.0)),
        ("relu", |g| g.relu()),
        ("round", |g| (g * 4.0).round() / 4.0),
        ("sign", |g| g.sign()),
        ("remainder", |g| g.remainder(1.0)),
        ("divide", |g| 2.0 / g),
        ("pow", |g| g.pow(3.0)),
        ("add", |g| g + 1.0),
        ("subtract", |g| 1.0 - g),
        ("select", |g| select(array![true, false], g, 1.0)),
        ("concat", |g| concat([g.slice(0..1), cupric::ones([1], F64)], 0)),
        ("max", |g| g.max(..).broadcast_to([2])),
        ("cumulative_prod", |g| g.cumprod(0)),
        ("matmul", |g| g.matmul(g) * array![1f64, 1.]),
        ("divide", |g| g.softmax(-1)),
        ("divide", |g| g / g.norm(..)),
        ("add", |g| checkpoint(|| g + 1.0)),
    ];
    for (name, rule) in curved {
        let y = with(rule);
        for y in [y.clone(), &y * 3.0, y.sum(..), checkpoint(|| with_vjp(&x.square(), [&x], move |g| [rule(g)]))] {
            let e = jvp(&y, [&x], [&u]).eval().expect_err(name);
            let text = e.to_string();
            assert!(e.kind() == ErrorKind::Argument && text.contains("with_vjp must be linear"), "{name}: {text}");
            assert!(text.contains(file!()), "{name}: {text}");
        }
        assert!(jvp(&y, [&x], [&u]).eval().unwrap_err().to_string().contains(name), "{name}");
        // the gradient calls the function with numbers
        assert!(grad(&y.sum(..), [&x])[0].eval().is_ok(), "{name}");
    }
    let straight: [(Rule, [f64; 2]); 14] = [
        (|g| g.clone(), [3., 5.]),
        (|g| -g / 2.0, [-1.5, -2.5]),
        (|g| g + cupric::zeros([2], F64), [3., 5.]),
        (|g| g * 2.0 + g.flip(0), [11., 13.]),
        (|g| select(array![true, false], g, 0.0), [3., 0.]),
        (|g| select(array![true, false], g, g * 2.0), [3., 10.]),
        (|g| concat([g.slice(1..2), cupric::zeros([1], F64)], 0), [0., 3.]),
        (|g| g.sum(..).broadcast_to([2]), [8., 8.]),
        (|g| g.cumsum(0), [8., 5.]),
        (|g| g.matmul(array![[1f64, 2.], [0., 1.]]), [13., 5.]),
        (|g| g.take(array![1, 1], 0), [0., 8.]),
        (|g| g.deg2rad().rad2deg(), [3., 5.]),
        (|g| checkpoint(|| g.flip(0) * 2.0), [10., 6.]),
        (|g| fft::ifft(&fft::fft(g, -1), -1).real().clone(), [3., 5.]),
    ];
    for (i, (rule, wanted)) in straight.into_iter().enumerate() {
        for y in [with(rule), checkpoint(|| with_vjp(&x.square(), [&x], move |g| [rule(g)]))] {
            let found = real(&jvp(&y, [&x], [&u]));
            assert!(
                found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12),
                "rule {i}: {found:?}, not {wanted:?}"
            );
        }
    }
}

#[test]
fn a_long_chain_of_checkpoints_is_dropped_without_recursion() {
    let x = array![1.];
    let mut h: Expr = (&x).into();
    for _ in 0..20_000 {
        h = checkpoint(|| (&h * 0.5).sin());
    }
    let [d] = grad(&h.sum(..), [&x]);
    drop(h);
    drop(d);
}
