//! The number of kernels of training steps. A change that needs more kernels must explain it.

use crate::kit::own;
use cupric::*;

fn random(rng: &mut Rng, shape: &[usize]) -> Array {
    rng.normal(shape, DType::F32).eval().unwrap()
}

/// Returns how many kernels compute the expressions together.
fn kernels(expressions: &[&Expr]) -> usize {
    plan_many(expressions.iter().copied()).unwrap().kernels()
}

#[test]
fn a_step_of_digits() {
    let mut rng = Rng::new(1);
    let [x, w1, b1, w2, b2] =
        [&[32, 64][..], &[64, 128], &[128], &[128, 10], &[10]].map(|shape| random(&mut rng, shape));
    let y = Array::from_vec((0..32).map(|i| i % 10).collect::<Vec<i32>>(), [32]).unwrap();
    let logits = (x.matmul(&w1) + &b1).relu().matmul(&w2) + &b2;
    let loss = logits.cross_entropy(&y).mean(..);
    let grads = grad(&loss, [&w1, &b1, &w2, &b2]);
    let all: Vec<&Expr> = [&loss].into_iter().chain(&grads).collect();
    assert!(kernels(&all) <= 11, "{} kernels", kernels(&all));
}

#[test]
fn cross_entropy_by_label() {
    let mut rng = Rng::new(1);
    let logits = random(&mut rng, &[512, 100]);
    let y = Array::from_vec((0..512).map(|i| i % 100).collect::<Vec<i32>>(), [512]).unwrap();
    let loss = logits.cross_entropy(&y).mean(..);
    let [d] = grad(&loss, [&logits]);
    assert!(kernels(&[&loss, &d]) <= 3, "{} kernels", kernels(&[&loss, &d]));
}

#[test]
fn a_softmax_with_its_derivative() {
    let mut rng = Rng::new(1);
    let [x, w] = [(); 2].map(|()| random(&mut rng, &[64, 100]));
    let p = x.softmax(-1);
    let [d] = grad(&(&p * &w).sum(..), [&x]);
    // the derivative reads the result, and needs no exponentials and sums of the softmax
    assert_eq!(kernels(&[&p, &d]), 2);
}

/// The batch size, the number of tokens, the width and the number of heads of a transformer block.
type Size = [usize; 4];

/// Returns the weights of a block of a transformer.
fn weights(rng: &mut Rng, [.., c, _]: Size) -> [Array; 8] {
    let shapes: [&[usize]; 8] = [&[c, 3 * c], &[c, c], &[c, 4 * c], &[4 * c, c], &[c], &[c], &[c], &[c]];
    shapes.map(|shape| random(rng, shape))
}

/// Returns a transformer block's result: attention and a network of two layers, each after a layer norm.
fn block(x: &Expr, weights: &[Array; 8], [b, t, c, h]: Size) -> Expr {
    let [qkv, out, up, down, gain1, bias1, gain2, bias2] = weights;
    let norm = |e: &Expr, gain: &Array, bias: &Array| e.layer_norm(-1, 1e-5) * gain + bias;
    let heads = |e: Expr| e.reshape([b, t, h, c / h]).permute_dims([0, 2, 1, 3]);
    let all = norm(x, gain1, bias1).matmul(qkv);
    let part = |i: usize| heads(all.slice(s![.., .., i * c..(i + 1) * c]));
    let scores = part(0).matmul(part(1).permute_dims([0, 1, 3, 2])) / ((c / h) as f32).sqrt();
    let read = scores.softmax(-1).matmul(part(2)).permute_dims([0, 2, 1, 3]).reshape([b, t, c]);
    let x = x + read.matmul(out);
    &x + norm(&x, gain2, bias2).matmul(up).gelu().matmul(down)
}

#[test]
fn a_transformer_block() {
    let (mut rng, size) = (Rng::new(1), [4, 16, 64, 4]);
    let (x, weights) = (random(&mut rng, &[4, 16, 64]), weights(&mut rng, size));
    let loss = block(&x, &weights, size).square().mean(..);
    let grads = grad_many(&loss, &weights);
    let list: Vec<&Expr> = [&loss].into_iter().chain(&grads).collect();
    assert!(kernels(&list) <= 40, "{} kernels", kernels(&list));
}

#[test]
fn the_plan_of_48_blocks_is_kept() {
    let d = own(&Device::cpu());
    let (mut rng, size) = (Rng::new(1), [1, 4, 8, 2]);
    let here = |e: &Array| e.to_device(&d).unwrap();
    let x = here(&random(&mut rng, &[1, 4, 8]));
    let layers: Vec<[Array; 8]> = (0..48).map(|_| weights(&mut rng, size).map(|w| here(&w))).collect();
    let step = || {
        let y = layers.iter().fold(Expr::from(&x), |x, weights| block(&x, weights, size));
        let loss = y.square().mean(..);
        let grads = grad_many(&loss, layers.iter().flatten());
        eval_many([&loss].into_iter().chain(&grads)).unwrap()
    };
    step();
    let before = d.stats().prepares;
    step();
    assert_eq!(d.stats().prepares, before, "the plan was made again");
}
