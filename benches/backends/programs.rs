//! Whole programs as rows: a step of k-means, a training step, an attention block, an epoch over the digits. Python
//! peers run the same programs from `benches/python/programs.py`.

use crate::work::{Fill, Run, Work, work};
use cupric::{Array, DType, Device, Expr, Result, arange, eval_all, s, select, zeros_like};

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits.npy");
/// Clusters of the k-means step.
const K: usize = 64;
/// Hidden units and classes of the training step.
const MLP: [usize; 2] = [512, 10];
/// Pixels, hidden units and classes of the digits.
const NET: [usize; 3] = [64, 128, 10];
const IMAGES: usize = 1437;
const BATCH: usize = 32;

/// Returns the programs in one dtype. The shape of a row is the shape of the data that a step reads.
pub fn table(dtype: DType) -> Vec<Work> {
    let small = Fill::Uniform(-0.05, 0.05);
    let peers = "numpy torch jax cupy";
    vec![
        work("kmeans", "k-means step, 64 clusters", dtype, &[&[65_536, 32]])
            .takes_in("a", -1.0, 1.0)
            .with("c", dtype, |s| vec![K, s[1]], Fill::Uniform(-1.0, 1.0))
            .moves_elements(|s| [(s[0] * s[1] + K * s[1]) as f64, (K * s[1]) as f64])
            .operations(|s| 4.0 * (s[0] * s[1] * K) as f64)
            .run(|x| kmeans(&x[0], &x[1]))
            .python(peers, "programs.kmeans(xp, a, c)"),
        work("mlp", "MLP training step, 512 hidden", dtype, &[&[1024, 784]])
            .takes_in("a", 0.0, 1.0)
            .with("i", DType::I32, |s| vec![s[0]], Fill::Below(MLP[1] as i32))
            .with("w1", dtype, |s| vec![s[1], MLP[0]], small)
            .with("b1", dtype, |_| vec![MLP[0]], small)
            .with("w2", dtype, |_| MLP.to_vec(), small)
            .with("b2", dtype, |_| vec![MLP[1]], small)
            .moves_elements(|s| {
                let weights = s[1] * MLP[0] + MLP[0] * MLP[1];
                [(s[0] * s[1] + weights) as f64, weights as f64]
            })
            .operations(|s| (s[0] * (4 * s[1] * MLP[0] + 6 * MLP[0] * MLP[1])) as f64)
            .program(mlp)
            .python(peers, "make:programs.Mlp(xp, jax, a, i, [w1, b1, w2, b2])"),
        work("attention", "attention block", dtype, &[&[8, 8, 256, 64]])
            .with("a", dtype, |s| vec![s[0], s[2], s[1] * s[3]], Fill::Uniform(-1.0, 1.0))
            .with("wq", dtype, |s| vec![s[1] * s[3]; 2], small)
            .with("wk", dtype, |s| vec![s[1] * s[3]; 2], small)
            .with("wv", dtype, |s| vec![s[1] * s[3]; 2], small)
            .with("wo", dtype, |s| vec![s[1] * s[3]; 2], small)
            .moves_elements(|s| {
                let states = s.iter().product::<usize>();
                [(states + 4 * (s[1] * s[3]).pow(2)) as f64, states as f64]
            })
            .operations(|s| {
                let (width, rows) = (s[1] * s[3], s[0] * s[2]);
                (8 * rows * width * width + 4 * rows * s[2] * width) as f64
            })
            .program(attention)
            .python("numpy jax cupy", "programs.attention(xp, a, wq, wk, wv, wo, shape)")
            .python("torch", "programs.attention_torch(xp, a, wq, wk, wv, wo, shape)"),
        net("digits", "digits epoch", dtype, IMAGES),
        net("digits_step", "digits training step", dtype, BATCH),
    ]
}

/// Returns the row of training the digits network over `images` images, in batches.
fn net(name: &'static str, text: &'static str, dtype: DType, images: usize) -> Work {
    let small = Fill::Uniform(-0.05, 0.05);
    work(name, text, dtype, &[&[images, NET[0]]])
        .with("w1", DType::F32, |_| NET[..2].to_vec(), Fill::Uniform(-0.2, 0.2))
        .with("b1", DType::F32, |_| vec![NET[1]], small)
        .with("w2", DType::F32, |_| NET[1..].to_vec(), Fill::Uniform(-0.2, 0.2))
        .with("b2", DType::F32, |_| vec![NET[2]], small)
        .moves_elements(|s| [(s[0] * (s[1] + 1)) as f64, 0.0])
        .operations(|s| (s[0] * (4 * s[1] * NET[1] + 6 * NET[1] * NET[2])) as f64)
        .program(move |x, _, device| digits(x, device, dtype, images))
        .python("numpy torch jax cupy", format!("make:programs.Digits(xp, jax, [w1, b1, w2, b2], dtype, {images})"))
}

/// Returns the centres after one step of k-means: the mean of the points that are nearest to each old centre.
fn kmeans(points: &Expr, centres: &Expr) -> Expr {
    // |p - c|² without |p|², which is the same for every centre and so does not change which centre is nearest
    let distance = centres.square().sum(1) - points.matmul(centres.t()) * 2.0;
    let nearest = distance.argmin(-1).expand_dims(1).equal(arange(0, K, 1, DType::I32));
    let count = nearest.count_nonzero(0).maximum(1).expand_dims(1).astype(DType::F32);
    let member = match points.dtype() {
        Ok(dtype) => nearest.astype(dtype),
        Err(_) => nearest,
    };
    member.t().matmul(points) / count
}

/// The results of the forward pass of a network of two layers, with parameters in the order weights, biases, weights,
/// biases.
struct Layers {
    hidden: Expr,
    scores: Expr,
}

fn forward(x: &Expr, p: &[Expr; 4]) -> Layers {
    let hidden = (x.matmul(&p[0]) + &p[1]).relu();
    let scores = hidden.matmul(&p[2]) + &p[3];
    Layers { hidden, scores }
}

fn gradients(x: &Expr, layers: &Layers, d: &Expr, w2: &Expr) -> [Expr; 4] {
    let back = select(layers.hidden.greater(0.0), d.matmul(w2.t()), 0.0);
    [x.t().matmul(&back), back.sum(0), layers.hidden.t().matmul(d), d.sum(0)]
}

/// A step of stochastic gradient descent on one batch, with everything in the row's dtype.
fn mlp(mut x: Vec<Array>, s: &[usize], _: &Device) -> Result<Run> {
    let mut p = x.split_off(2);
    let (dtype, batch) = (x[0].dtype(), s[0] as f64);
    let target = x[1].expand_dims(1).equal(arange(0, MLP[1], 1, DType::I32)).astype(dtype).eval()?;
    Ok(Box::new(move || {
        let now: [Expr; 4] = std::array::from_fn(|i| (*p[i]).clone());
        let layers = forward(&x[0], &now);
        let d = ((layers.scores.softmax(-1) - &target) / batch).astype(dtype);
        let g = gradients(&x[0], &layers, &d, &now[2]);
        let g = eval_all(g.each_ref())?;
        // the expressions hold handles on the weights; once they are dropped, the writes below are in place
        drop((now, layers));
        for (p, g) in p.iter_mut().zip(&g) {
            p.update(|p| p - g * 0.1)?;
        }
        Ok(p.clone())
    }))
}

fn attention(x: Vec<Array>, s: &[usize], _: &Device) -> Result<Run> {
    let [batch, heads, length, width] = [s[0], s[1], s[2], s[3]];
    Ok(Box::new(move || {
        let split = |w: &Array| x[0].matmul(w).reshape([batch, length, heads, width]).permute_dims([0, 2, 1, 3]);
        let (q, k, v) = (split(&x[1]), split(&x[2]), split(&x[3]));
        let scores = q.matmul(k.matrix_transpose()) / (width as f64).sqrt();
        let mixed = scores.softmax(-1).matmul(&v).permute_dims([0, 2, 1, 3]);
        let out = mixed.reshape([batch, length, heads * width]).matmul(&x[4]) + &*x[0];
        Ok(vec![out.eval()?])
    }))
}

/// An epoch of Adam in batches of 32. The passes have the row's dtype; the parameters and their moments are f32.
fn digits(p: Vec<Array>, device: &Device, dtype: DType, images: usize) -> Result<Run> {
    let raw = Array::from_npy(DIGITS)?.to_device(device)?;
    let x = (raw.slice(s![..IMAGES, ..NET[0]]).astype(DType::F32) / 8.0 - 1.0).astype(dtype).eval()?;
    let labels = raw.slice(s![..IMAGES, NET[0]]).expand_dims(1);
    let y = labels.equal(arange(0, NET[2], 1, DType::I32)).astype(DType::F32).eval()?;
    let state = |p: Array| Ok([zeros_like(&p).eval()?, zeros_like(&p).eval()?, p]);
    let mut state = p.into_iter().map(state).collect::<Result<Vec<[Array; 3]>>>()?;
    let mut step = 0;
    Ok(Box::new(move || {
        for from in (0..images).step_by(BATCH) {
            step += 1;
            let rows = s![from..from + BATCH];
            train(&x.slice(rows), &y.slice(rows), &mut state, step, dtype)?;
        }
        Ok(state.iter().map(|[_, _, p]| p.clone()).collect())
    }))
}

fn train(x: &Expr, y: &Expr, state: &mut [[Array; 3]], step: i32, dtype: DType) -> Result<()> {
    let p: [Expr; 4] = std::array::from_fn(|i| state[i][2].astype(dtype));
    let layers = forward(x, &p);
    let batch = y.shape()?[0] as f64;
    let d = ((layers.scores.astype(DType::F32).softmax(-1) - y) / batch).astype(dtype);
    let g = eval_all(gradients(x, &layers, &d, &p[2]).each_ref())?;
    drop((p, layers));
    let rate = 0.002 * (1.0 - f64::powi(0.999, step)).sqrt() / (1.0 - f64::powi(0.9, step));
    for ([mean, square, value], g) in state.iter_mut().zip(&g) {
        let g = g.astype(DType::F32);
        mean.update(|m| m * 0.9 + &g * 0.1)?;
        square.update(|v| v * 0.999 + g.square() * 0.001)?;
        value.update(|w| w - &*mean * rate / (square.sqrt() + 1e-8))?;
    }
    Ok(())
}
