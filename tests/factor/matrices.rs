//! Matrices that are difficult to factorise, and their norms, computed on the host in f64.

use crate::kit::{Dice, put};
use cupric::{DType::*, *};

/// A matrix on the host, in C order.
#[derive(Clone)]
pub struct Matrix {
    pub m: usize,
    pub n: usize,
    pub x: Vec<f64>,
}

impl Matrix {
    pub fn of(m: usize, n: usize, mut f: impl FnMut(usize, usize) -> f64) -> Matrix {
        Matrix { m, n, x: (0..m * n).map(|i| f(i / n, i % n)).collect() }
    }

    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.x[i * self.n + j]
    }

    pub fn t(&self) -> Matrix {
        Matrix::of(self.n, self.m, |i, j| self.at(j, i))
    }

    pub fn times(&self, b: &Matrix) -> Matrix {
        let mut x = vec![0.0; self.m * b.n];
        for i in 0..self.m {
            let to = &mut x[i * b.n..(i + 1) * b.n];
            for k in 0..self.n {
                let a = self.at(i, k);
                to.iter_mut().zip(&b.x[k * b.n..]).for_each(|(to, b)| *to += a * b);
            }
        }
        Matrix { m: self.m, n: b.n, x }
    }

    /// Multiplies each column by a number.
    pub fn scaled(&self, by: &[f64]) -> Matrix {
        Matrix::of(self.m, self.n, |i, j| self.at(i, j) * by[j])
    }

    pub fn minus(&self, b: &Matrix) -> Matrix {
        Matrix::of(self.m, self.n, |i, j| self.at(i, j) - b.at(i, j))
    }

    pub fn identity(n: usize) -> Matrix {
        Matrix::of(n, n, |i, j| f64::from(u8::from(i == j)))
    }

    /// The Frobenius norm, without overflow.
    pub fn norm(&self) -> f64 {
        let most = self.x.iter().fold(0f64, |m, x| m.max(x.abs()));
        if most == 0.0 { 0.0 } else { most * self.x.iter().map(|x| (x / most) * (x / most)).sum::<f64>().sqrt() }
    }

    /// Rounds the numbers to a dtype.
    pub fn rounded(&self, t: DType) -> Matrix {
        let x = self.x.iter().map(|x| if t == F64 { *x } else { f64::from(*x as f32) });
        Matrix { x: x.collect(), ..*self }
    }

    pub fn array(&self, d: &Device, t: DType) -> Array {
        let shape = [self.m, self.n];
        if t == F64 {
            put(d, self.x.clone(), &shape)
        } else {
            put(d, self.x.iter().map(|x| *x as f32).collect::<Vec<_>>(), &shape)
        }
    }
}

/// A random matrix.
pub fn random(m: usize, n: usize, seed: u64) -> Matrix {
    let dice = &mut Dice::new(seed);
    Matrix::of(m, n, |_, _| dice.normal())
}

/// A symmetric matrix with these eigenvalues: a diagonal matrix between random Householder reflections.
pub fn with_values(values: &[f64], seed: u64) -> Matrix {
    let n = values.len();
    let mut a = Matrix::identity(n).scaled(values);
    for round in 0..3 {
        let v = random(n, 1, seed + round);
        let scale = 2.0 / v.x.iter().map(|x| x * x).sum::<f64>();
        let h = Matrix::of(n, n, |i, j| f64::from(u8::from(i == j)) - scale * v.x[i] * v.x[j]);
        a = h.times(&a).times(&h);
    }
    Matrix::of(n, n, |i, j| a.at(i.max(j), i.min(j)))
}

/// Symmetric matrices with their names. All numbers are values of `t`.
pub fn symmetric(n: usize, t: DType) -> Vec<(&'static str, Matrix)> {
    let (tiny, huge) = if t == F64 { (3e-310, 1e305) } else { (3e-40, 3e35) };
    let r = random(n, n, n as u64);
    let random = Matrix::of(n, n, |i, j| r.at(i, j) + r.at(j, i));
    let values = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<_>>();
    let one = random.x.first().copied().unwrap_or(1.0).abs() + 1.0;
    let scaled = |s: f64| Matrix::of(n, n, |i, j| random.at(i, j) / one * s);
    let list = vec![
        ("random", random.clone()),
        ("hilbert", Matrix::of(n, n, |i, j| 1.0 / (i + j + 1) as f64)),
        (
            "wilkinson",
            Matrix::of(n, n, |i, j| match i.abs_diff(j) {
                0 => (n as f64 - 1.0) / 2.0 - i.min(n - 1 - i) as f64,
                1 => 1.0,
                _ => 0.0,
            }),
        ),
        ("graded", Matrix::of(n, n, |i, j| random.at(i, j) * 0.3f64.powi((i + j) as i32))),
        ("graded upwards", Matrix::of(n, n, |i, j| random.at(i, j) * 0.3f64.powi((2 * n - i - j) as i32))),
        ("clustered", with_values(&values(&|i| 1.0 + 1e-7 * i as f64), 5)),
        ("repeated", with_values(&values(&|i| [1.0, 1.0, -2.0][i % 3]), 6)),
        ("of low rank", with_values(&values(&|i| if i < n / 3 { 1.0 + i as f64 } else { 0.0 }), 7)),
        ("ones", Matrix::of(n, n, |_, _| 1.0)),
        ("diagonal", Matrix::of(n, n, |i, j| if i == j { (i * 7 % 5) as f64 - 2.0 } else { 0.0 })),
        ("antidiagonal", Matrix::of(n, n, |i, j| f64::from(u8::from(i + j + 1 == n)))),
        ("zero", Matrix::of(n, n, |_, _| 0.0)),
        ("tiny", scaled(tiny)),
        ("huge", scaled(huge)),
    ];
    list.into_iter().map(|(name, a)| (name, a.rounded(t))).collect()
}
