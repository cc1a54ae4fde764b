//! Reductions over all elements, rows, columns and middle axes, and functions along rows that use them.

use super::shared::{ARRAYS, LARGE, MILLIONS, SQUARE, SWEEP, TEN_MILLION};
use crate::work::{Fill, Work, work};
use cupric::{Array, DType, DType::*, Expr};

/// Long rows, many short rows, and rows of an odd length.
const ROWS: &[&[usize]] = &[&[1_000, 10_000], &[100_000, 64], &[4_096, 771]];

pub fn rows() -> Vec<Work> {
    let mut rows = sums();
    rows.extend(other_axes_and_types());
    rows.extend(rows_of_matrices());
    rows
}

fn sums() -> Vec<Work> {
    let square = |name, text, f: fn(&[Array]) -> Expr| work(name, text, F32, SQUARE).takes("a").moves(1, 0).run(f);
    vec![
        work("sum", "sum", F32, SWEEP)
            .flat()
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].sum(..))
            .python(ARRAYS, "a.sum()")
            .python("numexpr", "sum(a)")
            .python("numba", "a.sum()"),
        work("max", "max", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].max(..))
            .python(ARRAYS, "a.max()"),
        work("dot", "dot", F32, &[MILLIONS[0], LARGE[0], LARGE[1]])
            .flat()
            .takes("a b")
            .moves(2, 0)
            .run(|x| x[0].matmul(&x[1]))
            .python("numpy torch jax cupy", "xp.dot(a, b)")
            .python("mlx", "a @ b"),
        work("dot", "f64 dot", F64, TEN_MILLION)
            .flat()
            .takes("a b")
            .moves(2, 0)
            .run(|x| x[0].matmul(&x[1]))
            .python("numpy torch jax cupy", "xp.dot(a, b)"),
        work("sum", "f16 sum", F16, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].sum(..))
            .python(ARRAYS, "a.sum()"),
        work("standardize", "standardize columns", F32, &[&[50_000, 1_000]])
            .takes("a")
            // the means need the whole input before the first output can be written
            .moves(1, 0)
            .moves(1, 1)
            .run(|x| (&x[0] - x[0].mean(0)) / x[0].std(0))
            .python("numpy jax cupy mlx", "(a - a.mean(0)) / a.std(0)")
            .python("torch", "(a - a.mean(0)) / a.std(0, correction=0)"),
        square("sum_rows", "sum over rows", |x| x[0].sum(1)).python(ARRAYS, "a.sum(1)"),
        square("sum_columns", "sum over columns", |x| x[0].sum(0)).python(ARRAYS, "a.sum(0)"),
        square("sum_all", "sum over all", |x| x[0].sum(..)).python(ARRAYS, "a.sum()"),
    ]
}

fn rows_of_matrices() -> Vec<Work> {
    let mut rows: Vec<Work> = [F32, F16].into_iter().flat_map(|dtype| [softmax(dtype), layer_norm(dtype)]).collect();
    let row = |name, text, f: fn(&[Array]) -> Expr| work(name, text, F32, ROWS).takes("a").moves(1, 1).run(f);
    let text = "d = a - a.max(-1, keepdims=True)\nreturn d - xp.log(xp.exp(d).sum(-1, keepdims=True))";
    rows.push(
        row("log_softmax", "log-softmax over rows", |x| x[0].log_softmax(-1))
            .python("numpy cupy mlx", text)
            .python("torch", "xp.log_softmax(a, -1)")
            .python("jax", "jax.nn.log_softmax(a, -1)"),
    );
    rows.push(
        row("rms_norm", "RMS norm over rows", |x| x[0].rms_norm(-1, 1e-5))
            .python("numpy cupy jax", "a / xp.sqrt((a * a).mean(-1, keepdims=True) + 1e-5)")
            .python("torch", "xp.nn.functional.rms_norm(a, a.shape[-1:], eps=1e-5)")
            .python("mlx", "xp.fast.rms_norm(a, None, 1e-5)"),
    );
    rows.push(
        work("layer_norm_affine", "layer norm with weight and bias", F32, ROWS)
            .takes("a")
            .with("w", F32, |s| vec![s[1]], Fill::Uniform(0.5, 1.5))
            .with("b", F32, |s| vec![s[1]], Fill::Uniform(-1.0, 1.0))
            .moves(1, 1)
            .run(|x| x[0].layer_norm(-1, 1e-5) * &x[1] + &x[2])
            .python("numpy cupy jax", format!("{} * w + b", norm("d = a - a.mean(-1, keepdims=True)")))
            .python("torch", "xp.nn.functional.layer_norm(a, a.shape[-1:], w, b)")
            .python("mlx", "xp.fast.layer_norm(a, w, b, 1e-5)"),
    );
    rows
}

/// Returns the Python text of a norm over rows whose centred elements are `d`.
fn norm(d: &str) -> String {
    format!("{d}\nreturn d / xp.sqrt((d * d).mean(-1, keepdims=True) + F(1e-5))")
}

fn softmax(dtype: DType) -> Work {
    let text = if dtype == F32 { "softmax over rows" } else { "f16 softmax over rows" };
    work("softmax", text, dtype, ROWS)
        .takes("a")
        .moves(1, 1)
        .run(|x| x[0].softmax(-1))
        .python("numpy cupy", "e = xp.exp(a - a.max(-1, keepdims=True))\nreturn e / e.sum(-1, keepdims=True)")
        .python("torch mlx", "xp.softmax(a, -1)")
        .python("jax", "jax.nn.softmax(a, -1)")
}

fn layer_norm(dtype: DType) -> Work {
    let text = if dtype == F32 { "layer norm over rows" } else { "f16 layer norm over rows" };
    work("layer_norm", text, dtype, ROWS)
        .takes("a")
        .moves(1, 1)
        .run(|x| x[0].layer_norm(-1, 1e-5))
        .python("numpy cupy jax", norm("d = a - a.mean(-1, keepdims=True)"))
        .python("torch", "xp.nn.functional.layer_norm(a, a.shape[-1:])")
        .python("mlx", "xp.fast.layer_norm(a, None, None, 1e-5)")
}

fn other_axes_and_types() -> Vec<Work> {
    vec![
        work("sum", "i32 sum", I32, MILLIONS)
            .flat()
            .takes_in("a", -100.0, 100.0)
            .moves(1, 0)
            .run(|x| x[0].sum(..))
            .python(ARRAYS, "a.sum()"),
        work("argmax", "argmax", F32, TEN_MILLION)
            .flat()
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].argmax(..))
            .python(ARRAYS, "a.argmax()"),
        work("argmax_rows", "argmax over rows", F32, &[&[1_000, 10_000]])
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].argmax(1))
            .python(ARRAYS, "a.argmax(1)"),
        work("sum_middle", "sum over a middle axis", F32, &[&[100, 1_000, 100]])
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].sum(1))
            .python(ARRAYS, "a.sum(1)"),
        work("sum_outer_inner", "sum over the first and last axis", F32, &[&[100, 1_000, 100]])
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].sum([0, 2]))
            .python(ARRAYS, "a.sum((0, 2))"),
        work("var_columns", "variance over columns", F32, &[&[50_000, 200]])
            .takes("a")
            .moves(1, 0)
            .run(|x| x[0].var(0))
            .python("numpy jax cupy mlx", "a.var(0)")
            .python("torch", "a.var(0, correction=0)"),
        work("count", "count of truths", Bool, TEN_MILLION)
            .flat()
            .with("a", Bool, |s| s.to_vec(), Fill::Below(2))
            .moves(1, 0)
            .run(|x| x[0].count_nonzero(..))
            .python("numpy torch jax cupy", "xp.count_nonzero(a)"),
        work("count_columns", "count of truths over columns", Bool, &[&[1_000_000, 64]])
            .with("a", Bool, |s| s.to_vec(), Fill::Below(2))
            .moves(1, 0)
            .run(|x| x[0].count_nonzero(0))
            .python("numpy jax cupy", "xp.count_nonzero(a, axis=0)")
            .python("torch", "xp.count_nonzero(a, dim=0)"),
    ]
}
