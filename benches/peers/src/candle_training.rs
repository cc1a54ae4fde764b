//! candle's training steps: the steps of `benches/backends/training.rs`, with a `Var` per parameter as usual in candle.

use crate::with_candle::inputs;
use crate::{Error, Row, Run, repeat};
use candle_core::{D, Result, Tensor, Var};

const HEADS: usize = 8;
const RATE: f64 = 0.01;

type Loss = fn(p: &[Var], x: &Tensor, y: &Tensor) -> Result<Tensor>;

/// Returns the loss function of a row, its parameters, its inputs and its labels.
fn parts(row: &Row) -> std::result::Result<(Loss, Vec<Var>, Tensor, Tensor), Error> {
    let loss = match &row.work[..] {
        "train_cnn" => cnn,
        "train_forward" | "train_block" => block,
        _ => mlp as Loss,
    };
    let mut all = inputs(row)?;
    let (Some(y), Some(x)) = (all.pop(), all.pop()) else { return Err("too few inputs".into()) };
    Ok((loss, all.iter().map(Var::from_tensor).collect::<Result<_>>()?, x, y))
}

pub fn run(row: &Row) -> std::result::Result<Option<Run>, Error> {
    let (loss, p, x, y) = parts(row)?;
    if row.work == "train_forward" {
        return Ok(repeat(move || loss(&p, &x, &y)));
    }
    Ok(repeat(move || {
        let loss = loss(&p, &x, &y)?;
        let gradients = loss.backward()?;
        for p in &p {
            if let Some(g) = gradients.get(p) {
                p.set(&(p.as_tensor() - (g * RATE)?)?)?;
            }
        }
        Ok::<_, candle_core::Error>(loss)
    }))
}

/// Returns the loss of the first step, and its gradients if the row has gradients.
pub fn values(row: &Row) -> std::result::Result<Vec<Vec<f32>>, Error> {
    let (loss, p, x, y) = parts(row)?;
    let loss = loss(&p, &x, &y)?;
    let mut all = vec![vec![loss.to_scalar()?]];
    if row.work != "train_forward" {
        let gradients = loss.backward()?;
        for p in &p {
            all.push(gradients.get(p).ok_or("no gradient")?.flatten_all()?.to_vec1()?);
        }
    }
    Ok(all)
}

fn dense(x: &Tensor, p: &[Var]) -> Result<Tensor> {
    x.matmul(&p[0])?.broadcast_add(&p[1])
}

fn cross_entropy(scores: &Tensor, y: &Tensor) -> Result<Tensor> {
    let scores = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?;
    let logs = scores.broadcast_sub(&scores.exp()?.sum_keepdim(1)?.log()?)?;
    logs.gather(&y.unsqueeze(1)?, 1)?.mean_all()?.neg()
}

fn mlp(p: &[Var], x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let last = p.len() - 2;
    let hidden = p[..last].chunks(2).try_fold(x.clone(), |x, p| dense(&x, p)?.relu())?;
    cross_entropy(&dense(&hidden, &p[last..])?, y)
}

fn cnn(p: &[Var], x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let layer = |x: Tensor, p: &[Var]| {
        let y = x.conv2d(&p[0], 1, 1, 1, 1)?.broadcast_add(&p[1].reshape((1, (), 1, 1))?)?.relu()?;
        let (n, c, h, w) = y.dims4()?;
        // pool by maxima, because the derivative of candle's `max_pool2d` is a quarter of the true one
        y.reshape((n, c, h / 2, 2, w / 2, 2))?.max(5)?.max(3)
    };
    let features = p[..4].chunks(2).try_fold(x.clone(), layer)?.flatten_from(1)?;
    cross_entropy(&dense(&features, &p[4..])?, y)
}

fn norm(x: &Tensor, p: &[Var]) -> Result<Tensor> {
    let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let x = x.broadcast_div(&(x.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?)?;
    x.broadcast_mul(&p[0])?.broadcast_add(&p[1])
}

fn block(p: &[Var], x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (n, length, width) = x.dims3()?;
    // reshape to two axes, because candle copies a weight for each entry of a batch
    let x = x.reshape((n * length, width))?;
    let all = dense(&norm(&x, &p[..2])?, &p[2..4])?.reshape((n, length, 3, HEADS, width / HEADS))?;
    let part = |i| all.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?, part(2)?);
    let scores = (q.matmul(&k.t()?)? / ((width / HEADS) as f64).sqrt())?;
    let e = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
    let read = e.broadcast_div(&e.sum_keepdim(D::Minus1)?)?.matmul(&v)?.transpose(1, 2)?;
    let x = (dense(&read.reshape((n * length, width))?, &p[4..6])? + x)?;
    let hidden = dense(&norm(&x, &p[6..8])?, &p[8..10])?.gelu_erf()?;
    let out = (dense(&hidden, &p[10..])? + x)?;
    (out - y.reshape((n * length, width))?)?.sqr()?.mean_all()
}
