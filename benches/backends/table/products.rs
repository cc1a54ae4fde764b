//! Matrix products of every shape, and distances between points.

use super::shared::ARRAYS;
use crate::work::{Fill, Work, elements, work};
use cupric::{DType, DType::*, WindowMode, convolve, einsum};

const PRODUCTS: &[&[usize]] =
    &[&[16, 16], &[64, 64], &[128, 128], &[256, 256], &[512, 512], &[1024, 1024], &[2048, 2048], &[4096, 4096]];
const SYMMETRIC: Fill = Fill::Uniform(-1.0, 1.0);

pub fn rows() -> Vec<Work> {
    let mut rows: Vec<Work> = [F32, F64, F16].map(squares).into_iter().collect();
    rows.push(
        work("matmul", "i32 matmul", I32, &[&[512, 512]])
            .takes_in("a b", -100.0, 100.0)
            .moves(2, 1)
            .unlimited()
            .run(|x| x[0].matmul(&x[1]))
            .python(ARRAYS, "a @ b"),
    );
    rows.push(
        work("matmul_batched", "batched matmul", F32, &[&[64, 128, 128]])
            .takes_in("a b", -1.0, 1.0)
            .moves(2, 1)
            .operations(|s| 2.0 * elements(s) * s[2] as f64)
            .run(|x| x[0].matmul(&x[1]))
            .python(ARRAYS, "a @ b"),
    );
    rows.push(
        work("einsum", "einsum bhqd,bhkd->bhqk", F32, &[&[8, 8, 256, 64]])
            .takes_in("q k", -1.0, 1.0)
            .moves_elements(|s| [2.0 * elements(s), (s[0] * s[1] * s[2] * s[2]) as f64])
            .operations(|s| 2.0 * elements(s) * s[2] as f64)
            .run(|x| einsum("bhqd,bhkd->bhqk", [&x[0], &x[1]]))
            .python(ARRAYS, "xp.einsum('bhqd,bhkd->bhqk', q, k)"),
    );
    rows.push(
        work("convolve", "convolution with 64 taps", F32, &[&[1_000_000]])
            .flat()
            .takes("a")
            .with("k", F32, |_| vec![64], SYMMETRIC)
            .moves(1, 1)
            .operations(|s| 128.0 * elements(s))
            .run(|x| convolve(&x[0], &x[1], WindowMode::Valid))
            .python("numpy jax cupy", "xp.convolve(a, k, mode='valid')")
            .python("torch", "xp.nn.functional.conv1d(a[None, None], k.flip(0)[None, None])[0, 0]"),
    );
    rows.extend(vectors());
    rows.extend(skinny());
    rows.push(
        work("distances", "distances by broadcasting", F32, &[&[2_000, 3]])
            .takes_in("a b", -1.0, 1.0)
            .moves_elements(|s| [2.0 * elements(s), (s[0] * s[0]) as f64])
            .operations(|s| (3 * s[0] * s[0] * s[1]) as f64)
            .run(|x| (x[0].expand_dims(1) - x[1].expand_dims(0)).square().sum(-1).sqrt())
            .python(ARRAYS, "xp.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(-1))"),
    );
    rows
}

fn squares(dtype: DType) -> Work {
    // products below 256 are measured only in f32, because f64 and f16 would use the same kernel
    let shapes = if dtype == F32 { PRODUCTS } else { &PRODUCTS[3..] };
    work("matmul", "matmul", dtype, shapes)
        .takes_in("a b", -1.0, 1.0)
        .moves(2, 1)
        .operations(|s| 2.0 * elements(s) * s[1] as f64)
        .run(|x| x[0].matmul(&x[1]))
        .python(ARRAYS, "a @ b")
}

/// Returns rows of products of a matrix and a vector, on either side.
fn vectors() -> Vec<Work> {
    let row = |name, text, dtype, shapes| {
        work(name, text, dtype, shapes)
            .with("a", dtype, |s| s.to_vec(), SYMMETRIC)
            .moves_elements(|s| [elements(s), 0.0])
            .operations(|s| 2.0 * elements(s))
    };
    let large: &[&[usize]] =
        &[&[256, 256], &[512, 512], &[1_000, 1_000], &[2_048, 2_048], &[8_192, 8_192], &[10_000, 8]];
    let matvec = |text, dtype, shapes| {
        row("matvec", text, dtype, shapes)
            .with("b", dtype, |s| vec![s[1]], SYMMETRIC)
            .run(|x| x[0].matmul(&x[1]))
            .python(ARRAYS, "a @ b")
    };
    // a layer of a network applied to one sample, whose weights are read from memory
    let linear = |text, dtype| {
        row("linear", text, dtype, &[&[4_096, 4_096]])
            .with("b", dtype, |s| vec![1, s[1]], SYMMETRIC)
            .run(|x| x[1].matmul(x[0].t()))
            .python(ARRAYS, "b @ a.T")
    };
    vec![
        linear("row @ transposed matrix", F32),
        linear("f16 row @ transposed matrix", F16),
        matvec("matrix @ vector", F32, large),
        matvec("f16 matrix @ vector", F16, &large[3..4]),
        row("vecmat", "vector @ matrix", F32, &large[..5])
            .with("b", F32, |s| vec![s[0]], SYMMETRIC)
            .run(|x| x[1].matmul(&x[0]))
            .python(ARRAYS, "b @ a"),
        row("matvec_t", "transposed matrix @ vector", F32, &large[3..])
            .with("b", F32, |s| vec![s[0]], SYMMETRIC)
            .run(|x| x[0].t().matmul(&x[1]))
            .python(ARRAYS, "a.T @ b"),
    ]
}

/// Returns rows of products of m × k and k × n matrices that are far from square. A shape ends with m, k and n.
fn skinny() -> Vec<Work> {
    fn sizes(s: &[usize]) -> [usize; 3] {
        [s[..s.len() - 2].iter().product(), s[s.len() - 2], s[s.len() - 1]]
    }
    let row = |name, text, shapes| {
        work(name, text, F32, shapes)
            .with("a", F32, |s| s[..s.len() - 1].to_vec(), SYMMETRIC)
            .moves_elements(|s| {
                let [m, k, n] = sizes(s);
                [(m * k + k * n) as f64, (m * n) as f64]
            })
            .operations(|s| 2.0 * sizes(s).iter().map(|n| *n as f64).product::<f64>())
    };
    vec![
        row("skinny", "m x k @ k x n", &[&[4_096, 64, 4_096], &[4_096, 4_096, 64], &[104, 1_536, 384]])
            .with("b", F32, |s| s[1..].to_vec(), SYMMETRIC)
            .run(|x| x[0].matmul(&x[1]))
            .python(ARRAYS, "a @ b"),
        row("weight", "x @ transposed weight", &[&[104, 1_536, 384], &[8, 13, 1_536, 384]])
            .with("b", F32, |s| vec![s[s.len() - 1], s[s.len() - 2]], SYMMETRIC)
            .run(|x| x[0].matmul(x[1].t()))
            .python(ARRAYS, "a @ b.T"),
    ]
}
