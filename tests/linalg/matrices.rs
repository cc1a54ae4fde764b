//! Matrices on the host, in f64, and their norms.

use crate::kit::{Dice, factor_bound, numbers};
use cupric::*;

/// A batch of matrices of the same shape.
#[derive(Clone)]
pub struct Matrices {
    pub count: usize,
    pub rows: usize,
    pub columns: usize,
    pub elements: Vec<f64>,
}

impl Matrices {
    pub fn of(count: usize, rows: usize, columns: usize, mut make: impl FnMut(usize, usize) -> f64) -> Matrices {
        let size = rows * columns;
        let elements = (0..count * size).map(|e| make(e % size / columns, e % columns)).collect();
        Matrices { count, rows, columns, elements }
    }

    pub fn random(dice: &mut Dice, count: usize, rows: usize, columns: usize) -> Matrices {
        Matrices::of(count, rows, columns, |_, _| dice.within(-1.0, 1.0))
    }

    /// Reads the elements of an expression whose last two axes are matrices.
    pub fn read(e: &Expr, count: usize, rows: usize, columns: usize) -> Matrices {
        let (shape, elements) = numbers(e).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(elements.len(), count * rows * columns, "shape {shape:?}");
        assert_eq!(shape[shape.len() - 2..], [rows, columns]);
        Matrices { count, rows, columns, elements }
    }

    /// Makes an array [count, rows, columns] of a type. Also rounds the elements here to that type.
    pub fn put(&mut self, d: &Device, t: DType) -> Array {
        if t == DType::F32 {
            self.elements.iter_mut().for_each(|x| *x = *x as f32 as f64);
        }
        let shape = [self.count, self.rows, self.columns];
        let x = Array::from_vec(self.elements.clone(), shape).unwrap().astype(t).eval().unwrap();
        x.to_device(d).unwrap()
    }

    pub fn at(&self, matrix: usize, i: usize, j: usize) -> f64 {
        self.elements[(matrix * self.rows + i) * self.columns + j]
    }

    pub fn t(&self) -> Matrices {
        let mut e = 0;
        Matrices::of(self.count, self.columns, self.rows, |i, j| {
            let matrix = e / (self.rows * self.columns);
            e += 1;
            self.at(matrix, j, i)
        })
    }

    pub fn times(&self, other: &Matrices) -> Matrices {
        assert_eq!(self.columns, other.rows);
        let mut elements = vec![0.0; self.count * self.rows * other.columns];
        for (row, out) in elements.chunks_mut(other.columns.max(1)).enumerate() {
            let (matrix, i) = (row / self.rows, row % self.rows);
            for k in 0..self.columns {
                let x = self.at(matrix, i, k);
                let from = (matrix * other.rows + k) * other.columns;
                out.iter_mut().zip(&other.elements[from..]).for_each(|(o, y)| *o += x * y);
            }
        }
        Matrices { columns: other.columns, elements, ..*self }
    }

    pub fn minus(&self, other: &Matrices) -> Matrices {
        let elements = self.elements.iter().zip(&other.elements).map(|(a, b)| a - b).collect();
        Matrices { elements, ..*self }
    }

    /// The Frobenius norm of each matrix.
    pub fn norms(&self) -> Vec<f64> {
        let size = self.rows * self.columns;
        let norm = |m: &[f64]| {
            let largest = m.iter().fold(0f64, |l, x| l.max(x.abs()));
            let scale = if largest > 0.0 { largest } else { 1.0 };
            m.iter().map(|x| (x / scale) * (x / scale)).sum::<f64>().sqrt() * scale
        };
        (0..self.count).map(|i| norm(&self.elements[i * size..(i + 1) * size])).collect()
    }
}

/// The machine epsilon of a type.
pub fn eps(t: DType) -> f64 {
    if t == DType::F64 { 2f64.powi(-52) } else { 2f64.powi(-23) }
}

/// Asserts that the norm of each difference is within its bound in the contract times a size, and that the size is not
/// NaN.
#[track_caller]
pub fn hold(error: &str, name: &str, off: &Matrices, sizes: &[f64], t: DType) {
    let n = off.rows.max(off.columns).max(1) as f64;
    let bound = factor_bound(error);
    for (i, (off, size)) in off.norms().iter().zip(sizes).enumerate() {
        let share = off / (n * eps(t) * size);
        assert!(*off == 0.0 || share <= bound, "{name} {t}: matrix {i} is off by {share} · n ε of {size:e}");
    }
}
