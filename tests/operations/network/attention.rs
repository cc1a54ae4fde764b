//! Attention, compared with plain loops and the plain formula; its number of kernels and its memory.

use super::*;
use crate::derivatives::noise;
use cupric::DType::*;

/// Attention of one head by plain loops. `reads(query, key)` is added to the score.
fn plain(q: &Host<f64>, k: &Host<f64>, v: &Host<f64>, scale: f64, reads: impl Fn(usize, usize) -> f64) -> Host<f64> {
    let (d, m) = (q.shape[1], k.shape[0]);
    Host::of(&[q.shape[0], v.shape[1]], |at| {
        let score =
            |j: usize| (0..d).map(|c| q.data[at[0] * d + c] * k.data[j * d + c]).sum::<f64>() * scale + reads(at[0], j);
        let most = (0..m).map(score).fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> =
            (0..m).map(|j| if most == f64::NEG_INFINITY { 0.0 } else { (score(j) - most).exp() }).collect();
        let sum: f64 = shares.iter().sum();
        (0..m).map(|j| shares[j] * v.data[j * v.shape[1] + at[1]]).sum::<f64>() / if sum == 0.0 { 1.0 } else { sum }
    })
}

/// Attention by the plain formula softmax(q·kᵀ·scale)·v.
fn formula(q: &Expr, k: &Expr, v: &Expr, is_causal: bool) -> Expr {
    let [.., n, d] = *q.shape().unwrap() else { panic!("two axes") };
    let m = k.shape().unwrap()[k.ndim().unwrap() - 2];
    let scores = q.matmul(k.swapaxes(-1, -2)) * (1.0 / (d as f64).sqrt());
    let scores = if is_causal { select(tri(n, m, 0, Bool), &scores, f64::NEG_INFINITY) } else { scores };
    scores.softmax(-1).matmul(v)
}

fn options(is_causal: bool) -> Attention {
    if is_causal { Attention::default().causal() } else { Attention::default() }
}

on_devices! {

fn attention_is_that_of_loops(d: &Device) {
    let dice = &mut Dice::new(4);
    let low = f64::NEG_INFINITY;
    for t in [F32, F64, F16, BF16] {
        if !has(d, t) {
            continue;
        }
        let bound = |v: f64| match t {
            F64 | F32 => 2e-6 * v.abs().max(1.0),
            F16 => 4e-3 * v.abs().max(1.0),
            _ => 4e-2 * v.abs().max(1.0),
        };
        for (n, m, c, e) in [(1, 1, 1, 1), (5, 7, 4, 3), (7, 5, 3, 2), (33, 40, 8, 8)] {
            let mut host = |shape: &[usize]| Host::of(shape, |_| dice.between(-8, 8) as f64 / 8.0);
            let (q, k, v, bias) = (host(&[n, c]), host(&[m, c]), host(&[m, e]), host(&[n, m]));
            let [a, b, x, y] = [&q, &k, &v, &bias].map(|h| put(t, h, d));
            let scale = 1.0 / (c as f64).sqrt();
            near(&attention(&a, &b, &x, options(false)), &plain(&q, &k, &v, scale, |_, _| 0.0).data, bound);
            let causal = plain(&q, &k, &v, 0.5, |i, j| if j <= i { 0.0 } else { low });
            near(&attention(&a, &b, &x, options(true).scale(0.5)), &causal.data, bound);
            let added = plain(&q, &k, &v, scale, |i, j| bias.data[i * m + j]);
            near(&attention(&a, &b, &x, options(false).mask(&y)), &added.data, bound);
            // the first query must not read any key
            let masked = plain(&q, &k, &v, scale, |i, j| if i > 0 && bias.data[i * m + j] > 0.0 { 0.0 } else { low });
            let rows = arange(0, n as i64, 1, I32).expand_dims(1).greater(0).to_device(d).unwrap();
            let mask = y.greater(0.0).logical_and(rows);
            let got = attention(&a, &b, &x, options(false).mask(mask));
            assert_eq!(got.dtype().unwrap(), t);
            near(&got, &masked.data, bound);
            // operands are views with other axis orders, and leading axes that broadcast
            let wide = a.t().eval().unwrap();
            let heads = attention(wide.t().expand_dims(0), b.broadcast_to([3, m, c]), &x, options(false));
            assert_eq!(heads.shape().unwrap(), [3, n, e]);
            near(&heads.slice(s![1]), &plain(&q, &k, &v, scale, |_, _| 0.0).data, bound);
        }
    }
}

fn blocks_equal_the_plain_formula(d: &Device) {
    // 40 MiB of scores, which are computed in two blocks
    let n = 1280;
    let dice = &mut Dice::new(6);
    let mut one = |c: usize| noise(dice, &[2, 3, n, c], -1.0, 1.0, &Device::cpu()).astype(F32).eval().unwrap().to_device(d).unwrap();
    let (q, k, v, weights) = (one(4), one(4), one(2), one(2));
    // a software driver takes seconds for each variant, so a run takes one of them
    for is_causal in [false, true].into_iter().filter(|c| !d.is_gpu() || in_turn(usize::from(*c), 2)) {
        let all = |y: &Expr| {
            let list = grad(&(y * &weights).sum(..), [&q, &k, &v]);
            let [dq, dk, dv] = list;
            eval_all([y, &dq, &dk, &dv]).unwrap()
        };
        let got = all(&attention(&q, &k, &v, options(is_causal)));
        let want = all(&formula(&q, &k, &v, is_causal));
        for (i, (a, b)) in got.iter().zip(&want).enumerate() {
            assert!(a.allclose(b, 1e-4, 2e-5, false).item::<bool>().unwrap(), "result {i}, causal {is_causal}");
        }
    }
}

fn wrong_operands_are_errors(d: &Device) {
    let x = ones([3, 4], F32).to_device(d).unwrap();
    let short = ones([2, 4], F32).to_device(d).unwrap();
    // heads on the last axis but one, as in other libraries
    let by_keys = |n: usize| zeros([2, n, 4, 32], F32);
    for (keys, values) in [(10, 10), (64, 10)] {
        let e = attention(by_keys(64), by_keys(keys), by_keys(values), Attention::default());
        fails(e.clone(), ErrorKind::Shape, "attention: queries of shape [2, 64, 4, 32], keys of shape");
        let e = e.eval().unwrap_err().to_string();
        assert!(e.contains("[.., heads, queries or keys, width]") && e.contains("swapaxes(-3, -2)"), "{e}");
    }
    fails(attention(&x, x.t(), &x, options(false)), ErrorKind::Shape, "attention: queries of shape [3, 4], keys of shape [4, 3]");
    fails(attention(&x, &x, &short, options(false)), ErrorKind::Shape, "as many keys as values");
    fails(attention(&x, x.slice(s![0]), &x, options(false)), ErrorKind::Shape, "at least two axes");
    fails(attention(&x, x.astype(I32), &x, options(false)), ErrorKind::DType, "an operand has dtype i32");
    fails(attention(&x, &x, &x, options(false).mask(ones([3, 3], I32))), ErrorKind::DType, "the mask has dtype i32");
    fails(attention(&x, &x, &x, options(false).mask(ones([2, 3], F32))), ErrorKind::Shape, "attention");
}

}

#[test]
fn small_attention_has_the_kernels_of_the_formula() {
    let x = ones([2, 3, 64, 16], F32).eval().unwrap();
    let e = Expr::from(&x);
    assert_eq!(kernels(&attention(&x, &x, &x, options(false))), kernels(&formula(&e, &e, &e, false)));
    let loss = |y: Expr| grad(&y.square().sum(..), [&x])[0].clone();
    assert_eq!(kernels(&loss(attention(&x, &x, &x, options(false)))), kernels(&loss(formula(&e, &e, &e, false))));
}

#[test]
fn the_scores_of_one_block_are_alive() {
    let d = own(&Device::cpu());
    // 128 MiB of scores, which are computed in four blocks
    let [q, k, v] = [(1, 8192), (2, 4096), (3, 4096)]
        .map(|(seed, n)| Rng::new(seed).normal([1, n, 8], F32).eval().unwrap().to_device(&d).unwrap());
    let result = 8192 * 8 * 4;
    let used = d.memory().used;
    attention(&q, &k, &v, options(false)).eval().unwrap();
    let forward = d.memory().peak - used;
    let y = attention(&q, &k, &v, options(false));
    let [dq, dk, dv] = grad(&y.square().sum(..), [&q, &k, &v]);
    eval_all([&y, &dq, &dk, &dv]).unwrap();
    let both = d.memory().peak - used;
    println!("{forward} bytes forward, {both} with derivatives, of 128 MiB of scores");
    let block = 32 << 20;
    // the scores of a block, and their softmax
    assert!(forward <= 2 * block + 4 * result + (1 << 20), "{forward}");
    // memory for one block: the scores, the softmax, both derivatives, and one more array of that size
    assert!(both <= 5 * block + 16 * result + (1 << 20), "{both}");
}
