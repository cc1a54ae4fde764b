//! Training steps as rows: compiled functions that return the loss and the new parameters, with gradients by
//! `grad_many`. The peers run the same steps from `benches/python/training.py` and
//! `benches/peers/src/candle_training.rs`. Each peer must compute the same loss and gradients before it is timed.

use crate::work::{Fill, Run, Work, elements, work};
use cupric::{Array, Attention, Compiled, Conv, DType, Expr, attention, eval_many, grad_many, s};

const CLASSES: usize = 10;
const HEADS: usize = 8;
const RATE: f64 = 0.01;

/// A loss, computed from the parameters `p`, the inputs `x`, and the labels or target values `y`.
type Loss = fn(p: &[Expr], x: &Expr, y: &Expr) -> Expr;

/// A parameter: name, shape and size. Its elements are in ±size; a size of 0 marks a gain, with elements near 1.
type Parameter = (&'static str, fn(&[usize]) -> Vec<usize>, f64);
type Parameters = &'static [Parameter];

const DIGITS: Parameters = &[
    ("w1", |s| vec![s[1], 128], 0.2),
    ("b1", |_| vec![128], 0.1),
    ("w2", |_| vec![128, CLASSES], 0.2),
    ("b2", |_| vec![CLASSES], 0.1),
];
const MLP: Parameters = &[
    ("w1", |s| vec![s[1]; 2], 0.1),
    ("b1", |s| vec![s[1]], 0.1),
    ("w2", |s| vec![s[1]; 2], 0.1),
    ("b2", |s| vec![s[1]], 0.1),
    ("w3", |s| vec![s[1], CLASSES], 0.1),
    ("b3", |_| vec![CLASSES], 0.1),
];
const CNN: Parameters = &[
    ("w1", |s| vec![32, s[1], 3, 3], 0.5),
    ("b1", |_| vec![32], 0.1),
    ("w2", |_| vec![64, 32, 3, 3], 0.1),
    ("b2", |_| vec![64], 0.1),
    ("w3", |s| vec![64 * (s[2] / 4) * (s[3] / 4), CLASSES], 0.05),
    ("b3", |_| vec![CLASSES], 0.1),
];
const BLOCK: Parameters = &[
    ("g1", |s| vec![s[2]], 0.0),
    ("b1", |s| vec![s[2]], 0.1),
    ("w1", |s| vec![s[2], 3 * s[2]], 0.1),
    ("b2", |s| vec![3 * s[2]], 0.1),
    ("w2", |s| vec![s[2]; 2], 0.1),
    ("b3", |s| vec![s[2]], 0.1),
    ("g2", |s| vec![s[2]], 0.0),
    ("b4", |s| vec![s[2]], 0.1),
    ("w3", |s| vec![s[2], 4 * s[2]], 0.1),
    ("b5", |s| vec![4 * s[2]], 0.1),
    ("w4", |s| vec![4 * s[2], s[2]], 0.05),
    ("b6", |s| vec![s[2]], 0.1),
];

/// Returns the rows. The shape of a row is the shape of its inputs.
pub fn rows() -> Vec<Work> {
    let block: &[&[usize]] = &[&[8, 128, 256]];
    vec![
        classifier("train_digits", "training step, digits", &[&[32, 64]], DIGITS, "mlp", mlp)
            .operations(|s| (s[0] * (4 * s[1] * 128 + 6 * 128 * CLASSES)) as f64),
        classifier("train_mlp", "training step, MLP", &[&[1024, 512]], MLP, "mlp", mlp)
            .operations(|s| (s[0] * (10 * s[1] * s[1] + 6 * s[1] * CLASSES)) as f64),
        classifier("train_cnn", "training step, CNN", &[&[64, 1, 28, 28]], CNN, "cnn", cnn).operations(|s| {
            // the first convolution needs no derivative by its input; the second has a quarter of the pixels
            let each = 4 * 9 * s[1] * 32 + 6 * 9 * 32 * 64 / 4 + 6 * 64 * CLASSES / 16;
            (s[0] * s[2] * s[3] * each) as f64
        }),
        row("train_forward", "transformer block, forward", block, BLOCK, "block", block_loss, false)
            .with("y", DType::F32, |s| s.to_vec(), Fill::Hashed(-1.0, 1.0))
            .operations(block_operations),
        row("train_block", "training step, transformer block", block, BLOCK, "block", block_loss, true)
            .with("y", DType::F32, |s| s.to_vec(), Fill::Hashed(-1.0, 1.0))
            .operations(|s| 3.0 * block_operations(s)),
    ]
}

fn block_operations(s: &[usize]) -> f64 {
    elements(s) * (24 * s[2] + 4 * s[1]) as f64
}

fn classifier(
    name: &'static str,
    text: &'static str,
    shapes: &[&[usize]],
    parameters: Parameters,
    peer: &'static str,
    loss: Loss,
) -> Work {
    row(name, text, shapes, parameters, peer, loss, true).with(
        "y",
        DType::I32,
        |s| vec![s[0]],
        Fill::Hashed(0.0, CLASSES as f64),
    )
}

/// Returns the row of a training step, or of the loss alone, without its labels, which the caller adds. `peer` is the
/// function of `benches/python/training.py` that does the same.
fn row(
    name: &'static str,
    text: &'static str,
    shapes: &[&[usize]],
    parameters: Parameters,
    peer: &'static str,
    loss: Loss,
    trains: bool,
) -> Work {
    let names: Vec<&str> = parameters.iter().map(|(name, ..)| *name).collect();
    let kind = if trains { "True" } else { "False" };
    let text_of_peers = format!("make:training.step(xp, jax, training.{peer}, [{}], x, y, {kind})", names.join(", "));
    let with = |w: Work, (name, shape, size): &Parameter| {
        let [low, high] = if *size == 0.0 { [0.9, 1.1] } else { [-size, *size] };
        w.with(name, DType::F32, *shape, Fill::Hashed(low, high))
    };
    parameters
        .iter()
        .fold(work(name, text, DType::F32, shapes), with)
        .with("x", DType::F32, |s| s.to_vec(), Fill::Hashed(-1.0, 1.0))
        .pass(1, move |s| {
            let count = parameters.iter().map(|(_, shape, _)| elements(&shape(s))).sum::<f64>();
            [4.0 * (count + elements(s)), if trains { 4.0 * count } else { 0.0 }]
        })
        .program(move |x, _, _| Ok(if trains { step(x, loss) } else { forward(x, loss) }))
        .checked(move |x| {
            let (p, [x, y]) = split(x);
            let p: Vec<Expr> = p.iter().map(Expr::from).collect();
            let loss = loss(&p, &x, &y);
            let gradients = if trains { grad_many(&loss, &p) } else { vec![] };
            eval_many(std::iter::once(loss).chain(gradients))
        })
        .python("torch jax", text_of_peers)
}

/// Divides the arrays into the parameters, and the inputs with their labels.
fn split(mut arrays: Vec<Array>) -> (Vec<Array>, [Array; 2]) {
    let data = arrays.split_off(arrays.len() - 2);
    (arrays, data.try_into().expect("two arrays"))
}

fn forward(arrays: Vec<Array>, loss: Loss) -> Run {
    let (p, [x, y]) = split(arrays);
    let loss = Compiled::new(move |(p, x, y): (Vec<Expr>, Expr, Expr)| loss(&p, &x, &y));
    Box::new(move || Ok(vec![loss.call(&(&p, &x, &y))?]))
}

/// A step of stochastic gradient descent on one batch.
fn step(arrays: Vec<Array>, loss: Loss) -> Run {
    let (mut p, [x, y]) = split(arrays);
    let step = Compiled::new(move |(p, x, y): (Vec<Expr>, Expr, Expr)| {
        let loss = loss(&p, &x, &y);
        let next: Vec<Expr> = p.iter().zip(grad_many(&loss, &p)).map(|(p, g)| p - g * RATE).collect();
        (loss, next)
    });
    Box::new(move || {
        let (loss, next) = step.call(&(&p, &x, &y))?;
        p = next;
        Ok(vec![loss])
    })
}

/// Returns the length of an axis of an expression that has no error.
fn length(e: &Expr, axis: usize) -> usize {
    e.shape().map_or(0, |shape| shape[axis])
}

fn mlp(p: &[Expr], x: &Expr, y: &Expr) -> Expr {
    let last = p.len() - 2;
    let hidden = p[..last].chunks(2).fold(x.clone(), |x, p| (x.matmul(&p[0]) + &p[1]).relu());
    (hidden.matmul(&p[last]) + &p[last + 1]).cross_entropy(y).mean(..)
}

fn cnn(p: &[Expr], x: &Expr, y: &Expr) -> Expr {
    let layer = |x: Expr, p: &[Expr]| {
        let bias = p[1].reshape([-1, 1, 1]);
        (x.conv2d(&p[0], Conv::default().padding(1)) + bias).relu().max_pool2d(2)
    };
    let features = p[..4].chunks(2).fold(x.clone(), layer).reshape([length(x, 0) as isize, -1]);
    (features.matmul(&p[4]) + &p[5]).cross_entropy(y).mean(..)
}

/// Returns the mean squared error of a transformer block that applies layer norm before attention and perceptron.
fn block_loss(p: &[Expr], x: &Expr, y: &Expr) -> Expr {
    let [n, length, width] = [0, 1, 2].map(|axis| length(x, axis));
    let norm = |x: &Expr, p: &[Expr]| x.layer_norm(-1, 1e-5) * &p[0] + &p[1];
    let dense = |x: Expr, p: &[Expr]| x.matmul(&p[0]) + &p[1];
    let heads = |x: Expr| x.reshape([n, length, HEADS, width / HEADS]).permute_dims([0, 2, 1, 3]);
    let all = dense(norm(x, &p[..2]), &p[2..4]);
    let [q, k, v] = [0, 1, 2].map(|i| heads(all.slice(s![.., .., i * width..(i + 1) * width])));
    let read = attention(q, k, v, Attention::default()).permute_dims([0, 2, 1, 3]).reshape([n, length, width]);
    let x = dense(read, &p[4..6]) + x;
    let out = dense(dense(norm(&x, &p[6..8]), &p[8..10]).gelu(), &p[10..]) + x;
    (out - y).square().mean(..)
}
