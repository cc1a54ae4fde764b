//! Twenty programs whose results are compared with those of other machines: on the CPU bit for bit, on a GPU within a
//! bound. A test of the library keeps hashes of the CPU's results in `tests/data/page.txt`.

use cupric::{DType, Device, Expr, Result, Rng, concat, s, select};

/// A program: its name, and the expression over two operands of 60 × 50 f32.
pub type Program = (&'static str, fn(&Expr, &Expr) -> Expr);

pub const PROGRAMS: [Program; 20] = [
    ("a sum of products", |x, y| x * y + x),
    ("exponentials", |x, _| (-x.square()).exp() * 2.0 + 1.0),
    ("sines", |x, y| (x * 3.0).sin() + y.cos()),
    ("logarithms", |x, _| x.abs().log1p().sqrt()),
    ("a chain of forty steps", |x, y| (0..40).fold(x * 1.0, |e, i| (e * 0.9 + y) * 0.5 - i as f64 * 0.01)),
    ("gelu and erf", |x, y| x.gelu() + y.erf()),
    ("the sum of all", |x, _| x.sum(..)),
    ("means of columns", |x, _| x.mean(0)),
    ("the largest of rows", |x, y| (x - y).max(1)),
    ("standardised rows", |x, _| x.layer_norm(-1, 1e-5)),
    ("softmax", |x, _| x.softmax(-1)),
    ("cumulative sums", |x, _| x.cumulative_sum(1)),
    ("sorted rows", |x, _| x.sort(1)),
    ("a product of matrices", |x, y| x.matmul(y.t())),
    ("transposed and reversed", |x, _| x.t().flip(0) * 2.0),
    ("a join", |x, y| concat([x, y], 1)),
    ("half precision", |x, y| (x.astype(DType::F16) * y.astype(DType::F16)).astype(DType::F32)),
    ("a choice", |x, y| select(x.greater(y), x, y * 0.5)),
    ("whole numbers", |x, _| (x * 100.0).astype(DType::I32).floor_divide(7).astype(DType::F32)),
    ("random numbers", |x, _| x + Rng::new(5).normal([60, 50], DType::F32)),
];

/// Runs a program on a device, and returns the elements of its result.
pub async fn run(device: &Device, number: usize) -> Result<Vec<f32>> {
    let all = Rng::new(3).uniform([60, 100], DType::F32) * 4.0 - 2.0;
    let all = all.to_device(device)?;
    let (x, y) = (all.slice(s![.., ..50]), all.slice(s![.., 50..]));
    PROGRAMS[number].1(&x, &y).to_vec_async::<f32>().await
}
