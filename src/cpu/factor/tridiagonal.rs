//! The eigenvalues of symmetric matrices: the reduction to tridiagonal form by Householder reflectors, and the implicit
//! QL iteration for the tridiagonal matrix (Golub and Van Loan, *Matrix Computations*, 8.3; EISPACK's `imtql2`).

// one index addresses several arrays in these loops, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

use super::{FactorLoops, Numbers, Reflectors, Rotations, RowPart, each_part, reflector, sums_of_parts, zeros};

/// A symmetric tridiagonal matrix: `d` is the diagonal, and `e` has the n − 1 elements beside the diagonal, followed by
/// 0.
pub(in crate::cpu) struct Tridiagonal {
    pub d: Numbers,
    pub e: Numbers,
}

/// How many QL steps each eigenvalue may take on average. Two are usual.
const STEPS: usize = 30;

/// Reduces a symmetric n × n matrix A, whose upper triangle is in `a`, to tridiagonal form. Overwrites `a`, and adds to
/// `to` the reflectors whose product Q makes Qᵀ·A·Q tridiagonal. Each step reads and writes the matrix only once: one
/// loop subtracts the previous step's change from a row and multiplies the row by the new vector.
pub(in crate::cpu) fn reduce(a: &mut [f64], n: usize, to: &mut Reflectors<'_>, loops: &FactorLoops) -> Tridiagonal {
    let mut t = Tridiagonal { d: Numbers::new(), e: Numbers::new() };
    // the previous step has not yet subtracted its change v·wᵀ + w·vᵀ from the matrix
    let [mut v, mut w] = [0; 2].map(|_| zeros(n));
    let mut sums = sums_of_parts(n);
    for k in 0..n {
        let row = &mut a[k * n..(k + 1) * n];
        for j in k..n {
            row[j] -= v[k] * w[j] + w[k] * v[j];
        }
        t.d.push(row[k]);
        let [beta, tau] = reflector(&mut row[k + 1..], loops);
        t.e.push(beta);
        if k + 1 == n {
            break;
        }
        to.push(k + 1, &row[k + 1..], tau);
        let (done, rest) = a.split_at_mut((k + 1) * n);
        let new = &done[k * n..];
        let (before, change) = (&v, &w);
        each_part([k + 1, n], true, rest, &mut sums, |RowPart { first, rows, sums }| {
            for (i, row) in (first..n).zip(rows) {
                row[i] -= before[i] * change[i] + change[i] * before[i];
                let (own, sums) = sums[i..].split_at_mut(1);
                let changes = [&change[i + 1..], &before[i + 1..]];
                let by = [before[i], change[i]];
                let dot = loops.update(&mut row[i + 1..], changes, by, (new[i], sums), &new[i + 1..]);
                own[0] += row[i] * new[i] + dot;
            }
        });
        v[k + 1..].copy_from_slice(&new[k + 1..]);
        let (v, w) = (&v[k + 1..], &mut w[k + 1..]);
        w.iter_mut().zip(&sums[k + 1..n]).for_each(|(w, sum)| *w = tau * sum);
        let half = 0.5 * tau * loops.dot(w, v);
        w.iter_mut().zip(v).for_each(|(w, v)| *w -= half * v);
    }
    t
}

impl Tridiagonal {
    /// Replaces the diagonal by the eigenvalues, and adds all rotations to `rotations`. Returns false if the iteration
    /// does not converge.
    pub fn solve(&mut self, rotations: &mut Rotations<'_>, loops: &FactorLoops) -> bool {
        let n = self.d.len();
        // The iteration begins at the start of the diagonal, and takes fewer steps if the elements there are small. So
        // the matrix is reversed if its last diagonal element is smaller than its first.
        let turned = n > 0 && self.d[0].abs() > self.d[n - 1].abs();
        if turned {
            self.d.reverse();
            self.e[..n - 1].reverse();
        }
        let norm = self.d.iter().chain(&self.e).fold(0f64, |m, x| m.max(x.abs()));
        let mut steps = STEPS * n;
        for l in 0..n {
            loop {
                let small = |m: usize| {
                    let beside = self.d[m].abs() + self.d[m + 1].abs();
                    self.e[m].abs() <= f64::EPSILON * beside + 1e-100 * norm
                };
                let m = (l..n - 1).find(|m| small(*m)).unwrap_or(n - 1);
                if m == l {
                    break;
                }
                if steps == 0 {
                    return false;
                }
                steps -= 1;
                self.step(l, m, |i, c, s| {
                    let both = if turned { [n - 2 - i, n - 1 - i] } else { [i + 1, i] };
                    rotations.push(both, c, s, loops);
                });
            }
        }
        if turned {
            self.d.reverse();
        }
        rotations.apply(loops);
        true
    }

    /// Performs a QL step with Wilkinson's shift on rows `l` to `m`. Calls `rotate` for each rotation of rows i + 1 and
    /// i, with i, the cosine and the sine.
    fn step(&mut self, l: usize, m: usize, mut rotate: impl FnMut(usize, f64, f64)) {
        let (d, e) = (&mut self.d, &mut self.e);
        let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
        let root = (half * half + 1.0).sqrt();
        let mut g = d[m] - d[l] + e[l] / (half + root.copysign(half));
        let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
        for i in (l..m).rev() {
            let (f, b) = (s * e[i], c * e[i]);
            let r = (f * f + g * g).sqrt();
            e[i + 1] = r;
            if r < 1e-150 {
                // f and g are negligible compared with the norm, so the matrix can be split into two blocks here
                d[i + 1] -= p;
                e[m] = 0.0;
                return;
            }
            (s, c) = (f / r, g / r);
            g = d[i + 1] - p;
            let t = (d[i] - g) * s + 2.0 * c * b;
            p = s * t;
            d[i + 1] = g + p;
            g = c * t - b;
            rotate(i, c, s);
        }
        d[l] -= p;
        e[l] = g;
        e[m] = 0.0;
    }
}
