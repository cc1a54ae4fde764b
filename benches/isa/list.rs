//! The expressions whose kernels are measured: from the bench `backends`, from the examples, and from neural networks.

use cupric::DType::{BF16, F16, F32};
use cupric::{
    Array, Attention, Conv, DType, Device, Expr, Rng, arange, attention, bf16, concat, f16, grad, keep, s, select,
    stack,
};
use std::sync::{Mutex, PoisonError};

/// A row: expressions that are evaluated together.
pub struct Row {
    pub name: &'static str,
    pub build: fn() -> Vec<Expr>,
    /// Whether the kernels differ between cards, so that each card has a row of its own.
    pub by_card: bool,
}

/// The side of most matrices: 64 MiB of f32, more than any card's caches.
const N: usize = 4096;

/// The device on which operands are made as random arrays, or `None` for operands of zeros.
static DEVICE: Mutex<Option<Device>> = Mutex::new(None);

/// Makes the operands of all further rows random arrays on a device, so that the rows can be evaluated there.
pub fn on(device: &Device) {
    *DEVICE.lock().unwrap_or_else(PoisonError::into_inner) = Some(device.clone());
}

/// Returns an operand: an array on the device of [`on`], with random elements from 0 to 1 or integers below `below`.
/// Without a device it is an array of zeros.
fn operand<T: cupric::Element + bytemuck::Pod>(shape: &[usize], below: usize) -> Expr {
    let Some(device) = DEVICE.lock().unwrap_or_else(PoisonError::into_inner).clone() else { return zeros::<T>(shape) };
    let mut rng = Rng::new(shape.iter().sum::<usize>() as u64);
    let random = match T::DTYPE.is_float() {
        true => rng.uniform(shape, T::DTYPE),
        false => rng.integers(0, below, shape, T::DTYPE),
    };
    // an error is reported where the row is evaluated
    random.eval_on(&device).map_or(random, Into::into)
}

/// Returns an array of zeros. Nothing reads or writes it, so the system need not provide physical memory.
fn zeros<T: cupric::Element + bytemuck::Pod>(shape: &[usize]) -> Expr {
    let count: usize = shape.iter().product();
    let elements: Vec<T> = match size_of::<T>() {
        1 => bytemuck::cast_vec(vec![0u8; count]),
        2 => bytemuck::cast_vec(vec![0u16; count]),
        4 => bytemuck::cast_vec(vec![0u32; count]),
        _ => bytemuck::cast_vec(vec![0u64; count]),
    };
    match Array::from_vec(elements, shape) {
        Ok(array) => array.into(),
        Err(error) => unreachable!("the number of elements fits the shape: {error}"),
    }
}

fn of(dtype: DType, shape: &[usize]) -> Expr {
    match dtype {
        F16 => operand::<f16>(shape, 0),
        BF16 => operand::<bf16>(shape, 0),
        _ => operand::<f32>(shape, 0),
    }
}

fn x(dtype: DType) -> Expr {
    of(dtype, &[N, N])
}

/// Calls `f` with a large matrix.
fn one(dtype: DType, f: impl Fn(Expr) -> Expr) -> Vec<Expr> {
    vec![f(x(dtype))]
}

/// Calls `f` with two large matrices.
fn two(dtype: DType, f: impl Fn(Expr, Expr) -> Expr) -> Vec<Expr> {
    vec![f(x(dtype), x(dtype))]
}

/// Returns the matrix product of arrays of these shapes.
fn product(dtype: DType, a: &[usize], b: &[usize]) -> Vec<Expr> {
    vec![of(dtype, a).matmul(of(dtype, b))]
}

fn twenty(x: Expr) -> Expr {
    (0..5).fold(x, |x, _| (x * 0.9 - 0.3).abs() + 0.1)
}

/// Attention of 8 texts, 8 heads, 256 tokens and 64 numbers, written as products and a softmax as in the bench
/// `backends`.
fn attention_of(dtype: DType) -> Vec<Expr> {
    let [q, k, v] = [(); 3].map(|()| of(dtype, &[8, 8, 256, 64]));
    let scores = q.matmul(k.matrix_transpose()) / 8.0;
    vec![scores.softmax(-1).matmul(v)]
}

fn layer_norm(dtype: DType) -> Vec<Expr> {
    vec![x(dtype).layer_norm(-1, 1e-5) * of(dtype, &[N]) + of(dtype, &[N])]
}

fn rms_norm(dtype: DType) -> Vec<Expr> {
    vec![x(dtype).rms_norm(-1, 1e-5) * of(dtype, &[N])]
}

/// Returns the loss and the gradients of a step of `examples/digits.rs`, with its 32 images.
fn digits(dtype: DType) -> Vec<Expr> {
    let parameters = [of(F32, &[64, 128]), of(F32, &[128]), of(F32, &[128, 10]), of(F32, &[10])];
    let [w1, b1, w2, b2] = parameters.each_ref().map(|p| p.astype(dtype));
    let (images, labels) = (of(dtype, &[32, 64]), operand::<i32>(&[32], 10));
    let hidden = (images.matmul(w1) + b1).relu();
    let loss = (hidden.matmul(w2) + b2).astype(F32).cross_entropy(labels).sum(..);
    let gradients = grad(&(&loss * (of(F32, &[]) / 32.0)), parameters.each_ref());
    [vec![loss], gradients.to_vec()].concat()
}

/// Returns the results of a step of Adam for a large matrix.
fn adam() -> Vec<Expr> {
    let [w, m, v, g] = [(); 4].map(|()| x(F32));
    let m = m * 0.9 + &g * 0.1;
    let v = v * 0.999 + g.square() * 0.001;
    let w = w - &m * 0.01 / (v.sqrt() + 1e-8);
    vec![w, m, v]
}

/// Returns the centres after a step of k-means, as in the bench `backends`.
fn kmeans() -> Vec<Expr> {
    let (points, centres) = (of(F32, &[65_536, 32]), of(F32, &[64, 32]));
    let distance = centres.square().sum(1) - points.matmul(centres.t()) * 2.0;
    let nearest = distance.argmin(-1).expand_dims(1).equal(arange(0, 64, 1, DType::I32));
    let count = nearest.count_nonzero(0).maximum(1).expand_dims(1).astype(F32);
    vec![nearest.astype(F32).t().matmul(points) / count]
}

const fn row(name: &'static str, build: fn() -> Vec<Expr>) -> Row {
    Row { name, build, by_card: false }
}

const fn by_card(name: &'static str, build: fn() -> Vec<Expr>) -> Row {
    Row { name, build, by_card: true }
}

pub const ROWS: &[Row] = &[
    row("add", || two(F32, |a, b| a + b)),
    row("mul_add", || vec![x(F32) * x(F32) + x(F32)]),
    row("scale", || one(F32, |a| a * 2.5 + 1.2)),
    row("bias", || vec![x(F32) + of(F32, &[N])]),
    row("select", || two(F32, |a, b| select(a.greater(0.0), &a, b))),
    row("divide", || two(F32, |a, b| a / b)),
    row("reciprocal", || one(F32, |a| a.reciprocal())),
    row("sqrt", || one(F32, |a| a.sqrt())),
    row("exp", || one(F32, |a| a.exp())),
    row("log", || one(F32, |a| a.log())),
    row("tanh", || one(F32, |a| a.tanh())),
    row("sigmoid", || one(F32, |a| a.sigmoid())),
    row("sin", || one(F32, |a| a.sin())),
    row("cos", || one(F32, |a| a.cos())),
    row("tan", || one(F32, |a| a.tan())),
    row("erf", || one(F32, |a| a.erf())),
    row("gelu", || one(F32, |a| a.gelu())),
    row("pow", || two(F32, |a, b| a.pow(b))),
    row("20 operations", || one(F32, twenty)),
    row("5-point stencil", || {
        let a = x(F32);
        let mid = a.slice(s![1..-1, 1..-1]);
        let sides =
            a.slice(s![..-2, 1..-1]) + a.slice(s![2.., 1..-1]) + a.slice(s![1..-1, ..-2]) + a.slice(s![1..-1, 2..]);
        vec![mid * 0.5 + sides * 0.125]
    }),
    row("transpose + add", || two(F32, |a, b| a.t() + b)),
    row("i32 add", || vec![operand::<i32>(&[N, N], 100) + operand::<i32>(&[N, N], 100)]),
    row("i64 add", || vec![operand::<i64>(&[N, N], 100) + operand::<i64>(&[N, N], 100)]),
    row("f16 add", || two(F16, |a, b| a + b)),
    row("f16 mul_add", || vec![x(F16) * x(F16) + x(F16)]),
    row("f16 sqrt", || one(F16, |a| a.sqrt())),
    row("f16 exp", || one(F16, |a| a.exp())),
    row("f16 log", || one(F16, |a| a.log())),
    row("f16 tanh", || one(F16, |a| a.tanh())),
    row("f16 sin", || one(F16, |a| a.sin())),
    row("f16 erf", || one(F16, |a| a.erf())),
    row("f16 gelu", || one(F16, |a| a.gelu())),
    row("f16 pow", || two(F16, |a, b| a.pow(b))),
    row("f16 divide", || two(F16, |a, b| a / b)),
    row("f16 transpose + add", || two(F16, |a, b| a.t() + b)),
    row("bf16 add", || two(BF16, |a, b| a + b)),
    row("f32 to f16", || one(F32, |a| a.astype(F16))),
    row("f16 to f32", || one(F16, |a| a.astype(F32))),
    row("f32 to bf16", || one(F32, |a| a.astype(BF16))),
    row("u8 to f32", || vec![operand::<u8>(&[N, N], 256).astype(F32) / 255.0]),
    row("sum of all", || one(F32, |a| a.sum(..))),
    row("sum of rows", || one(F32, |a| a.sum(1))),
    row("sum of columns", || one(F32, |a| a.sum(0))),
    row("sum of rows of 64", || vec![of(F32, &[100_000, 64]).sum(1)]),
    row("f16 sum of all", || one(F16, |a| a.sum(..))),
    row("max of all", || one(F32, |a| a.max(..))),
    row("argmax of rows", || one(F32, |a| a.argmax(-1))),
    row("variance of columns", || one(F32, |a| a.var(0))),
    row("softmax", || one(F32, |a| a.softmax(-1))),
    row("f16 softmax", || one(F16, |a| a.softmax(-1))),
    row("softmax of rows of 256", || vec![of(F32, &[16384, 256]).softmax(-1)]),
    row("softmax of rows of 16384", || vec![of(F32, &[1024, 16_384]).softmax(-1)]),
    row("softmax of rows of 32768", || vec![of(F32, &[512, 32_768]).softmax(-1)]),
    row("softmax of rows of 128", || vec![of(F32, &[100_000, 128]).softmax(-1)]),
    row("layer norm", || layer_norm(F32)),
    row("f16 layer norm", || layer_norm(F16)),
    row("rms norm", || rms_norm(F32)),
    row("f16 rms norm", || rms_norm(F16)),
    row("standardize rows", || one(F32, |a| (&a - a.mean(keep(1))) / a.std(keep(1)))),
    row("cumulative sum of rows", || one(F32, |a| a.cumulative_sum(1))),
    row("f16 cumulative sum of rows", || one(F16, |a| a.cumulative_sum(1))),
    row("cumulative sum of a vector", || vec![of(F32, &[N * N]).cumulative_sum(0)]),
    by_card("matmul 4096", || product(F32, &[N, N], &[N, N])),
    row("matmul 1024", || product(F32, &[1024, 1024], &[1024, 1024])),
    row("matmul 256", || product(F32, &[256, 256], &[256, 256])),
    row("f16 matmul 1024", || product(F16, &[1024, 1024], &[1024, 1024])),
    by_card("f16 matmul 4096", || product(F16, &[N, N], &[N, N])),
    row("matmul + bias + relu", || vec![(x(F32).matmul(x(F32)) + of(F32, &[N])).relu()]),
    row("matmul of 64 × 128³", || product(F32, &[64, 128, 128], &[64, 128, 128])),
    row("matmul by 8 columns", || product(F32, &[N, N], &[N, 8])),
    row("matrix @ vector", || product(F32, &[N, N], &[N])),
    row("matrix of 1000 columns @ vector", || product(F32, &[N, 1000], &[1000])),
    row("vector @ matrix", || product(F32, &[N], &[N, N])),
    row("f16 matrix @ vector", || product(F16, &[N, N], &[N])),
    row("attention", || attention_of(F32)),
    row("f16 attention", || attention_of(F16)),
    row("causal attention", || {
        let [q, k, v] = [(); 3].map(|()| of(F32, &[8, 8, 256, 64]));
        vec![attention(q, k, v, Attention::default().causal())]
    }),
    row("conv2d 3 × 3", || vec![of(F32, &[32, 64, 56, 56]).conv2d(of(F32, &[64, 64, 3, 3]), Conv::default())]),
    row("digits step", || digits(F32)),
    row("f16 digits step", || digits(F16)),
    row("adam", adam),
    row("k-means step", kmeans),
    row("concat of 4", || vec![concat([(); 4].map(|()| of(F32, &[1024, N])), 0)]),
    row("stack of 4", || vec![stack([(); 4].map(|()| of(F32, &[1024, N])), -1)]),
    row("take rows", || vec![x(F32).take(operand::<i32>(&[N], N), 0)]),
    row("one_hot", || vec![operand::<i32>(&[N], N).one_hot(N, F32)]),
    row("sort rows", || one(F32, |a| a.sort(-1))),
    row("argsort rows", || one(F32, |a| a.argsort(-1))),
    row("bincount", || vec![operand::<i32>(&[N * N], 256).bincount(256)]),
    row("random uniform", || vec![Rng::new(1).uniform([N, N], F32)]),
    row("random normal", || vec![Rng::new(1).normal([N, N], F32)]),
];
