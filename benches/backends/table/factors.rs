//! Decompositions of matrices, systems of equations, and Fourier transforms.

use crate::work::{Fill, Work, elements, work};
use cupric::DType::F32;
use cupric::linalg::{self, Mode, Triangle};
use cupric::{Array, Complex, Expr, SliceItem, eval_many, eye, fft, s};

const MATRICES: &[&[usize]] = &[&[10_000, 4, 4], &[1_000, 32, 32], &[100, 100], &[500, 500], &[1_500, 1_500]];
const SIGNALS: &[&[usize]] = &[&[1_000, 256], &[1_000, 1_024], &[1_000, 4_096], &[65_536], &[1_048_576]];
const MODULES: &str = "numpy torch jax cupy scipy";

/// Returns the sum of n³ over all matrices.
fn cubes(s: &[usize]) -> f64 {
    elements(s) * s[s.len() - 1] as f64
}

/// Returns a row for the matrix `a` with elements in −1..1. The operations are counted as usual for LAPACK.
fn row(name: &'static str, text: &'static str, flops: fn(&[usize]) -> f64, f: fn(&[Array]) -> Vec<Expr>) -> Work {
    work(name, text, F32, MATRICES)
        .takes_in("a", -1.0, 1.0)
        .moves(1, 1)
        .operations(flops)
        .program(move |x, _, _| Ok(Box::new(move || eval_many(f(&x)))))
}

pub fn rows() -> Vec<Work> {
    let solve = |x: &[Array]| vec![linalg::solve(&x[0], &x[1])];
    // the identity plus a small matrix is positive definite; only one triangle is read, so it need not be symmetric
    let cholesky = |x: &[Array]| {
        let n = x[0].shape()[x[0].ndim() - 1];
        vec![linalg::cholesky(&x[0] * (0.5 / n as f64) + eye(n, F32), Triangle::Lower)]
    };
    let qr = |x: &[Array]| {
        let (q, r) = linalg::qr(&x[0], Mode::Reduced);
        vec![q, r]
    };
    let eigh = |x: &[Array]| {
        let (values, vectors) = linalg::eigh(&x[0]);
        vec![values, vectors]
    };
    let eig = |x: &[Array]| {
        let (values, vectors) = linalg::eig(&x[0]);
        vec![values.real().clone(), values.imag().clone(), vectors.real().clone(), vectors.imag().clone()]
    };
    let svd = |x: &[Array]| {
        let (u, values, v) = linalg::svd(&x[0], Mode::Reduced);
        vec![u, values, v]
    };
    vec![
        row("solve", "solve, as many right sides", |s| 8.0 / 3.0 * cubes(s), solve)
            .with("b", F32, |s| s.to_vec(), Fill::Uniform(-1.0, 1.0))
            .python(MODULES, "xp.linalg.solve(a, b)"),
        row("cholesky", "Cholesky", |s| cubes(s) / 3.0, cholesky)
            .python(
                "numpy jax cupy",
                "xp.linalg.cholesky(a * (0.5 / a.shape[-1]) + xp.eye(a.shape[-1], dtype='float32'))",
            )
            .python("torch", "xp.linalg.cholesky(a * (0.5 / a.shape[-1]) + xp.eye(a.shape[-1]).to(a))")
            .python(
                "scipy",
                "xp.linalg.cholesky(a * (0.5 / a.shape[-1]) + np.eye(a.shape[-1], dtype='float32'), lower=True)",
            ),
        row("qr", "QR", |s| 8.0 / 3.0 * cubes(s), qr)
            .python("numpy torch jax cupy", "xp.linalg.qr(a)")
            .python("scipy", "xp.linalg.qr(a, mode='economic')"),
        row("eigh", "eigh", |s| 9.0 * cubes(s), eigh).python(MODULES, "xp.linalg.eigh(a)"),
        row("svd", "SVD", |s| 22.0 * cubes(s), svd).python(MODULES, "xp.linalg.svd(a, full_matrices=False)"),
        row("eig", "eig", |s| 25.0 * cubes(s), eig).python("numpy torch jax", "xp.linalg.eig(a)"),
        fourier(),
        from_reals(),
        to_reals(),
    ]
}

/// Transforms of real numbers along the last axis.
fn from_reals() -> Work {
    work("rfft", "FFT of real numbers", F32, SIGNALS)
        .takes_in("a", -1.0, 1.0)
        .moves(1, 1)
        .operations(|s| 2.5 * elements(s) * (s[s.len() - 1] as f64).log2())
        .program(|x, _, _| {
            Ok(Box::new(move || {
                let y = fft::rfft(&x[0], -1);
                eval_many([y.real(), y.imag()])
            }))
        })
        .python("numpy torch cupy scipy", "xp.fft.rfft(a)")
        .python("jax", "make:(lambda f: lambda: f(a))(jax.jit(xp.fft.rfft))")
}

/// Transforms back to real numbers along the last axis. Each operand has as many numbers as the result, of which the
/// first half and one more are used.
fn to_reals() -> Work {
    work("irfft", "inverse FFT to real numbers", F32, SIGNALS)
        .takes_in("a b", -1.0, 1.0)
        .moves(1, 1)
        .operations(|s| 2.5 * elements(s) * (s[s.len() - 1] as f64).log2())
        .program(|x, _, _| {
            let n = x[0].shape()[x[0].ndim() - 1] as isize;
            // the other libraries' operands are contiguous too
            let first = |e: &Array| e.slice(s![SliceItem::Ellipsis, ..n / 2 + 1]).contiguous().eval();
            let [re, im] = [first(&x[0])?, first(&x[1])?];
            Ok(Box::new(move || eval_many([fft::irfft(Complex::new(&re, &im), -1)])))
        })
        .python("numpy cupy scipy", "make:(lambda c: lambda: xp.fft.irfft(c))((a + 1j * b).astype('complex64')[..., :a.shape[-1] // 2 + 1].copy())")
        .python("torch", "make:(lambda c: lambda: xp.fft.irfft(c))(xp.complex(a, b)[..., :a.shape[-1] // 2 + 1].contiguous())")
        .python("jax", "make:(lambda f, c: lambda: f(c))(jax.jit(xp.fft.irfft), (a + 1j * b).astype('complex64')[..., :a.shape[-1] // 2 + 1])")
}

/// Transforms of complex numbers along the last axis.
fn fourier() -> Work {
    work("fft", "FFT of complex numbers", F32, SIGNALS)
        .takes_in("a b", -1.0, 1.0)
        .moves(2, 2)
        .operations(|s| 5.0 * elements(s) * (s[s.len() - 1] as f64).log2())
        .program(|x, _, _| {
            Ok(Box::new(move || {
                let y = fft::fft(Complex::new(&x[0], &x[1]), -1);
                eval_many([y.real(), y.imag()])
            }))
        })
        .python("numpy cupy scipy", "make:(lambda c: lambda: xp.fft.fft(c))((a + 1j * b).astype('complex64'))")
        .python("torch", "make:(lambda c: lambda: xp.fft.fft(c))(xp.complex(a, b))")
        .python("jax", "make:(lambda f, c: lambda: f(c))(jax.jit(xp.fft.fft), (a + 1j * b).astype('complex64'))")
}
