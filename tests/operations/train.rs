//! Optimisers, compared with loops over f64 numbers, and the parts of a training loop.

use crate::kit::{error, has, on_devices, put, same};
use cupric::train::{Adam, Sgd, clip_by_global_norm, cosine, eval_tree, warm_up};
use cupric::*;

const START: [f64; 3] = [1.5, -2.0, 0.25];
const STEPS: usize = 50;

/// The slope for number i of the loss Σ (i + 1) · (x − i)² / 2, so that each number has a different derivative.
fn slope(i: usize, x: f64) -> f64 {
    (i as f64 + 1.0) * (x - i as f64)
}

fn loss(x: &Expr) -> Expr {
    let i = arange(0, 3, 1, x.dtype().unwrap());
    ((&i + 1.0) * (x - &i).square() * 0.5).sum(..)
}

fn numbers(a: &Expr) -> Vec<f64> {
    a.to_device(&Device::cpu()).unwrap().astype(DType::F64).to_vec().unwrap()
}

fn close(name: &str, got: &Expr, want: &[f64], within: f64) {
    for (got, want) in numbers(got).iter().zip(want) {
        assert!((got - want).abs() <= within * want.abs().max(1.0), "{name}: {got}, not {want}");
    }
}

/// What Adam computes for one number, by a plain loop.
fn adam_by_hand(adam: &Adam, i: usize) -> f64 {
    let (mut x, mut m, mut v) = (START[i], 0.0, 0.0);
    let [b1, b2] = adam.betas;
    for step in 1..=STEPS as i32 {
        let g = slope(i, x);
        m = b1 * m + (1.0 - b1) * g;
        v = b2 * v + (1.0 - b2) * g * g;
        let (m, v): (f64, f64) = (m / (1.0 - b1.powi(step)), v / (1.0 - b2.powi(step)));
        x -= adam.rate * (m / (v.sqrt() + adam.epsilon) + adam.decay * x);
    }
    x
}

fn sgd_by_hand(sgd: &Sgd, i: usize) -> f64 {
    let (mut x, mut m) = (START[i], 0.0);
    for _ in 0..STEPS {
        let g = slope(i, x);
        m = sgd.momentum * m + g;
        x -= sgd.rate * if sgd.nesterov { g + sgd.momentum * m } else { m };
    }
    x
}

on_devices! {

fn adam_computes_what_a_loop_does(d: &Device) {
    for dtype in [DType::F32, DType::F64].into_iter().filter(|t| has(d, *t)) {
        for decay in [0.0, 0.1] {
            let adam = Adam { decay, ..Adam::new(0.05) };
            let mut params = (put::<f32>(d, START.map(|x| x as f32), &[3]).astype(dtype).eval().unwrap(),);
            let mut state = adam.init(&params).unwrap();
            for _ in 0..STEPS {
                let (loss, grads) = value_and_grad(&params, |(x,)| loss(x));
                let (next, next_state) = adam.update(&params, &grads, &state);
                let (_, next, next_state) = eval_tree(&(loss, next, next_state)).unwrap();
                (params, state) = (next, next_state);
            }
            let want: Vec<f64> = (0..3).map(|i| adam_by_hand(&adam, i)).collect();
            close(&format!("{dtype}, decay {decay}"), &params.0, &want, 2e-4);
            assert_eq!(params.0.dtype(), dtype);
        }
    }
}

fn sgd_computes_what_a_loop_does(d: &Device) {
    for (momentum, nesterov) in [(0.0, false), (0.8, false), (0.8, true)] {
        let sgd = Sgd { momentum, nesterov, ..Sgd::new(0.05) };
        let mut params = vec![put::<f32>(d, START.map(|x| x as f32), &[3])];
        let mut state = sgd.init(&params).unwrap();
        for _ in 0..STEPS {
            let (_, grads) = value_and_grad(&params, |p| loss(&p[0]));
            (params, state) = eval_tree(&sgd.update(&params, &grads, &state)).unwrap();
        }
        let want: Vec<f64> = (0..3).map(|i| sgd_by_hand(&sgd, i)).collect();
        close(&format!("momentum {momentum}, nesterov {nesterov}"), &params[0], &want, 1e-4);
    }
}

fn steps_of_halves_have_a_state_of_f32(d: &Device) {
    for dtype in [DType::F16, DType::BF16].into_iter().filter(|t| has(d, *t)) {
        let params = [put::<f32>(d, [1., 2.], &[2]).astype(dtype).eval().unwrap()];
        let adam = Adam::new(0.5);
        let state = adam.init(&params).unwrap();
        let (next, (_, m, v)) = eval_tree(&adam.update(&params, &params, &state)).unwrap();
        assert_eq!([next[0].dtype(), m[0].dtype(), v[0].dtype()], [dtype, DType::F32, DType::F32]);
        same(&next[0].astype(DType::F32), &[0.5f32, 1.5]);
    }
}

fn a_norm_over_all_leaves_is_clipped(d: &Device) {
    let grads = (put::<f32>(d, [3., 0.], &[2]), [put::<f32>(d, [4.], &[1])]);
    let (a, [b]) = clip_by_global_norm(&grads, 2.5);
    same(&a, &[1.5f32, 0.]);
    same(&b, &[2f32]);
    let (a, [b]) = clip_by_global_norm(&grads, 5.0);
    same(&a, &[3f32, 0.]);
    same(&b, &[4f32]);
    let zero = [put::<f32>(d, [0.], &[1])];
    let [z] = clip_by_global_norm(&zero, 1.0);
    same(&z, &[0f32]);
}

}

#[test]
fn steps_of_other_numbers_run_the_same_plan() {
    let mut params = vec![array![1.5, -2.0, 0.25]];
    let mut adam = Adam::new(0.01);
    let mut state = adam.init(&params).unwrap();
    let mut keys = vec![];
    for step in 0..100 {
        adam.rate = cosine(step, 0.01, 0.001, 100);
        let (loss, grads) = value_and_grad(&params, |p| loss(&p[0]));
        let (next, next_state) = adam.update(&params, &grads, &state);
        let before = Device::cpu().stats().prepares;
        let (_, next, next_state) = eval_tree(&(loss, next, next_state)).unwrap();
        keys.push(Device::cpu().stats().prepares - before);
        (params, state) = (next, next_state);
    }
    // other tests run at the same time and prepare plans too, so the count is not exact
    let prepared = keys[1..].iter().filter(|n| **n > 0).count();
    assert!(prepared < 50, "{prepared} of 99 steps prepared a plan: {keys:?}");
}

#[test]
fn learning_rates_have_their_values() {
    assert_eq!([0, 1, 4, 5].map(|step| warm_up(step, 2.0, 4)), [0.0, 0.5, 2.0, 2.0]);
    assert_eq!(warm_up(0, 2.0, 0), 2.0);
    assert_eq!([0, 4, 5].map(|step| cosine(step, 2.0, 0.5, 4)), [2.0, 0.5, 0.5]);
    assert!((cosine(1, 2.0, 0.5, 4) - (0.5 + 0.75 * (1.0 + 0.5f64.sqrt()))).abs() < 1e-12);
    assert_eq!(cosine(0, 2.0, 0.5, 0), 0.5);
}

#[test]
fn trees_that_do_not_fit_are_errors() {
    let (params, grads) = (vec![array![1., 2.]], vec![array![1., 2., 3.]]);
    let sgd = Sgd::new(0.1);
    let state = sgd.init(&params).unwrap();
    let (next, _) = sgd.update(&params, &grads, &state);
    let e = error(&next[0]);
    assert!(e.starts_with("Sgd::update: parameter 0 has shape [2]; its derivative has shape [3]"), "{e}");
    let (next, _) = sgd.update(&params, &Vec::<Array>::new(), &state);
    let e = error(&next[0]);
    assert!(e.contains("there are 1 parameters and 0 leaves of the derivative"), "{e}");
    let e = Adam::new(0.1).init(&vec![array![1, 2]]).unwrap_err().to_string();
    assert!(e.contains("Adam::init: a parameter has dtype i32; floats are needed"), "{e}");
    let failed = array![1., 2.].matmul(array![1., 2., 3.]);
    let (next, _) = sgd.update(&params, &vec![failed.clone()], &state);
    assert_eq!(error(&next[0]), error(&failed));
}
