//! `eig`: computes the eigenvalues and eigenvectors of general matrices, on a CPU only.

use super::{Meaning, Meta, Needs, Params, Routine};
use crate::base::caps::Caps;
use crate::base::dtype::Scalar;
use crate::base::error::{ErrorKind, Fault};

/// The table entry of `eig`. The operand has the axes [.., n, n]. The parameters are n, whether eigenvectors are wanted
/// (0 or 1), and the number of matrices. The results are the real and the imaginary parts of the eigenvalues, and then,
/// if wanted, the real and the imaginary parts of the eigenvectors.
pub(crate) static EIG: Routine = Routine {
    name: "eig",
    doc: "The eigenvalues and eigenvectors of general matrices.",
    infer: |operands, params| {
        let mut values = operands[0].clone();
        values.shape.pop();
        let vectors = if params[1] == 0 { 0 } else { 2 };
        Ok([values.clone(), values].into_iter().chain(vec![operands[0].clone(); vectors]).collect())
    },
    needs,
    refuses: Some(|matrix, params| {
        let of = match params[2] {
            1 => "the matrix".to_string(),
            count => format!("matrix {matrix} of the {count} in the batch"),
        };
        let detail = format!("the QR iteration of {of} has not converged");
        (caller(params), Fault::new(ErrorKind::LimitExceeded, detail))
    }),
    apart: None,
    reference,
};

/// Returns how many f64 of working memory the CPU needs for the `eig` of one matrix.
pub(crate) fn eig_work(n: usize, with_vectors: bool) -> usize {
    n.saturating_mul(n).saturating_mul(if with_vectors { 2 } else { 1 })
}

/// Returns the name of the function that the user called.
fn caller(params: &Params) -> &'static str {
    if params[1] == 0 { "eigvals" } else { "eig" }
}

fn needs(_: &[Meta], params: &Params, caps: &Caps) -> Result<Needs, Fault> {
    if caps.wgsl {
        let detail = format!(
            "eigenvalues of matrices that are not symmetric are computed on a CPU, not on {}; use to_device(&Device::cpu())",
            caps.name
        );
        return Err(Fault::new(ErrorKind::Unsupported, detail).of(caller(params)));
    }
    let n = params[0] as usize;
    Ok(super::factor::cpu_needs(n, eig_work(n, params[1] != 0)))
}

/// A complex number: its real and its imaginary part.
type Pair = [f64; 2];

fn times([a, b]: Pair, [c, d]: Pair) -> Pair {
    [a * c - b * d, a * d + b * c]
}

fn minus(x: Pair, y: Pair) -> Pair {
    [x[0] - y[0], x[1] - y[1]]
}

/// Returns the inner product of two vectors: the sum of each element of x times the conjugate of the same element of y.
fn along(x: &[Pair], y: &[Pair]) -> Pair {
    x.iter().zip(y).map(|(x, y)| times(*x, [y[0], -y[1]])).fold([0.0; 2], |s, p| [s[0] + p[0], s[1] + p[1]])
}

/// Subtracts `by` times the vector y from x.
fn subtract(x: &mut [Pair], by: Pair, y: &[Pair]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x = minus(*x, times(by, *y)));
}

/// Makes a vector orthogonal to the vectors `to`, and divides it by its norm.
fn orthonormal(mut x: Vec<Pair>, to: &[Vec<Pair>]) -> Vec<Pair> {
    for _ in 0..3 {
        for q in to {
            let by = along(&x, q);
            subtract(&mut x, by, q);
        }
        let norm = along(&x, &x)[0].sqrt();
        x.iter_mut().for_each(|x| *x = [x[0] / norm, x[1] / norm]);
    }
    x
}

/// The columns of a matrix.
type Columns = Vec<Vec<Pair>>;

fn identity(n: usize) -> Columns {
    (0..n).map(|j| (0..n).map(|i| [f64::from(u8::from(i == j)), 0.0]).collect()).collect()
}

fn product(a: &Columns, b: &Columns) -> Columns {
    let column = |b: &Vec<Pair>| {
        let mut sum = vec![[0.0; 2]; a.len()];
        a.iter().zip(b).for_each(|(a, b)| subtract(&mut sum, [-b[0], -b[1]], a));
        sum
    };
    b.iter().map(column).collect()
}

/// Returns an upper triangular T and a unitary Z with A = Z·T·Zᴴ. Uses the QR iteration with one shift in each round,
/// without first reducing A to a simpler form.
fn triangular(mut t: Columns) -> [Columns; 2] {
    let n = t.len();
    let size = t.iter().map(|x| along(x, x)[0]).sum::<f64>().sqrt();
    let mut z = identity(n);
    for k in (1..n).rev() {
        for round in 0..300 {
            if t[..k].iter().map(|x| x[k][0].abs() + x[k][1].abs()).sum::<f64>() <= 1e-15 * size {
                break;
            }
            // every tenth round uses an arbitrary shift; the other shifts are moved a little, so that none is exactly
            // an eigenvalue
            let by = if round % 10 == 0 { [0.3 * size, 0.7 * size] } else { [1e-14 * size; 2] };
            let shift = minus(t[k][k], by);
            let mut q: Columns = vec![];
            for j in 0..=k {
                let mut x = t[j].clone();
                x[j] = minus(x[j], shift);
                x[k + 1..].fill([0.0; 2]);
                q.push(orthonormal(x, &q));
            }
            q.extend(identity(n).drain(k + 1..));
            let turned = product(&t, &q);
            t = turned.iter().map(|x| q.iter().map(|q| along(x, q)).collect()).collect();
            z = product(&z, &q);
        }
        t[..k].iter_mut().for_each(|x| x[k] = [0.0; 2]);
    }
    [t, z]
}

fn reference(operands: &[Vec<Scalar>], params: &Params) -> Meaning {
    let [n, with_vectors, matrices] = [0, 1, 2].map(|i| params[i] as usize);
    let mut out = vec![vec![]; 4];
    for matrix in operands[0].chunks(n * n).take(matrices) {
        let column = |j: usize| (0..n).map(|i| [matrix[i * n + j].as_f64(), 0.0]).collect();
        let [t, z] = triangular((0..n).map(column).collect());
        let mut vectors = vec![];
        for k in 0..n {
            let mut x = vec![[0.0; 2]; n];
            x[k] = [1.0, 0.0];
            for i in (0..k).rev() {
                let sum = (i + 1..=k).fold([0.0; 2], |sum, j| minus(sum, times(t[j][i], x[j])));
                let [c, d] = minus(t[i][i], t[k][k]);
                let squares = (c * c + d * d).max(1e-300);
                x[i] = times(sum, [c / squares, -d / squares]);
            }
            vectors.push(orthonormal(product(&z, &vec![x]).remove(0), &[]));
        }
        for part in 0..2 {
            out[part].extend((0..n).map(|k| Scalar::Float(t[k][k][part])));
            out[2 + part].extend((0..n * n).map(|at| Scalar::Float(vectors[at % n][at / n][part])));
        }
    }
    out.truncate(if with_vectors == 0 { 2 } else { 4 });
    Ok(out)
}
