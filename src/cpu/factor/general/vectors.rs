//! Computes eigenvectors by back substitution in the real Schur form, as in LAPACK's `dtrevc` and `dgeev`.

use super::hessenberg::add;
use super::schur::length;
use super::{Schur, zeros};
use crate::cpu::factor::loops;

/// A complex number as its real and its imaginary part.
type Pair = [f64; 2];

fn times([a, b]: Pair, [c, d]: Pair) -> Pair {
    [a * c - b * d, a * d + b * c]
}

fn minus(x: Pair, y: Pair) -> Pair {
    [x[0] - y[0], x[1] - y[1]]
}

/// Returns the complex quotient x / y for y ≠ 0, by Smith's method.
fn over([a, b]: Pair, [c, d]: Pair) -> Pair {
    if c.abs() >= d.abs() {
        let (ratio, by) = (d / c, c + d * (d / c));
        [(a + b * ratio) / by, (b - a * ratio) / by]
    } else {
        let (ratio, by) = (c / d, d + c * (c / d));
        [(a * ratio + b) / by, (b * ratio - a) / by]
    }
}

fn size(x: Pair) -> f64 {
    x[0].abs().max(x[1].abs())
}

/// The magnitude above which a vector is scaled down, so that the next step of a substitution does not overflow.
const LARGE: f64 = (1u128 << 100) as f64;

impl Schur<'_> {
    /// Writes the real and imaginary parts of the eigenvector of eigenvalue k. The vector has norm 1, and its largest
    /// element is real. The vectors of a pair of complex eigenvalues are conjugate to each other.
    pub fn vector(&self, k: usize, re: &mut [f64], im: &mut [f64]) {
        let n = self.n;
        let (mut x, mut y) = (zeros(n), zeros(n));
        let first = if self.im[k] < 0.0 { k - 1 } else { k };
        let is_complex = self.im[first] != 0.0;
        let end = if is_complex { first + 2 } else { first + 1 };
        x[first] = 1.0;
        if is_complex {
            // Let w be the imaginary part of the eigenvalue. The first row of block − eigenvalue·I gives the
            // eigenvector (b, i·w) of the block, and the second row gives (i·w, c), which is a multiple of it.
            let [b, c] = [self.t[first * n + first + 1], self.t[(first + 1) * n + first]];
            if b.abs() >= c.abs() {
                y[first + 1] = self.im[first] / b;
            } else {
                (x[first], y[first], x[first + 1]) = (0.0, self.im[first] / c, 1.0);
            }
        }
        self.substitute(first, end, &mut x, &mut y);
        // multiply by Z, which gives the eigenvector of the balanced matrix, and then undo the balancing
        let mut of_balanced = [zeros(n), zeros(n)];
        for (to, from) in of_balanced.iter_mut().zip([&x, &y]).take(if is_complex { 2 } else { 1 }) {
            for j in 0..end {
                add(to, from[j], &self.z[j * n..(j + 1) * n]);
            }
        }
        for i in 0..n {
            let (row, scale) = (self.balance.order[i], self.balance.scale[i]);
            (re[row], im[row]) = (of_balanced[0][i] * scale, of_balanced[1][i] * scale);
        }
        normalise(re, im, is_complex);
        if first < k {
            im.iter_mut().for_each(|x| *x = -*x);
        }
    }

    /// Computes the elements before `first` of an eigenvector x + i·y of T by back substitution. The elements
    /// `first..end` are given, and all later elements are 0.
    fn substitute(&self, first: usize, end: usize, x: &mut [f64], y: &mut [f64]) {
        let (n, loops) = (self.n, loops());
        let least = (f64::EPSILON * self.most).max(f64::MIN_POSITIVE);
        let value = [self.re[first], self.im[first]];
        // replace a pivot that is 0 within the rounding errors of the matrix
        let pivot = |p: Pair| if size(p) < least { [least, 0.0] } else { p };
        let is_complex = value[1] != 0.0;
        let mut i = first;
        while i > 0 {
            i -= 1;
            let sum = |row: usize, x: &[f64], y: &[f64]| {
                let t = &self.t[row * n + i + 1..row * n + end];
                let of = |x: &[f64]| -loops.dot(t, &x[i + 1..end]);
                [of(x), if is_complex { of(y) } else { 0.0 }]
            };
            let r = sum(i, x, y);
            let d = minus([self.t[i * n + i], 0.0], value);
            if i == 0 || self.t[i * n + i - 1] == 0.0 {
                [x[i], y[i]] = over(r, pivot(d));
            } else {
                // solve the two equations of a 2 × 2 block by elimination, beginning with the larger pivot
                let (h, q) = (i - 1, sum(i - 1, x, y));
                let [b, c] = [[self.t[h * n + i], 0.0], [self.t[i * n + h], 0.0]];
                let a = minus([self.t[h * n + h], 0.0], value);
                let ((a, b, q), (c, d, r)) =
                    if size(a) >= size(c) { ((a, b, q), (c, d, r)) } else { ((c, d, r), (a, b, q)) };
                let a = pivot(a);
                let factor = over(c, a);
                let low = over(minus(r, times(factor, q)), pivot(minus(d, times(factor, b))));
                [x[i], y[i]] = low;
                [x[h], y[h]] = over(minus(q, times(b, low)), a);
            }
            let from = if i > 0 && self.t[i * n + i - 1] != 0.0 { i - 1 } else { i };
            let most = (from..=i).fold(0.0, |most: f64, j| most.max(size([x[j], y[j]])));
            if most > LARGE {
                x[from..end].iter_mut().for_each(|x| *x /= most);
                y[from..end].iter_mut().for_each(|y| *y /= most);
            }
            i = from;
        }
    }
}

/// Divides a vector by its norm. A complex vector is also multiplied by a factor of magnitude 1 that makes its largest
/// element real. Of several equally large elements, the first becomes real.
fn normalise(re: &mut [f64], im: &mut [f64], is_complex: bool) {
    let most = re.iter().zip(&*im).fold(0.0, |most: f64, (x, y)| most.max(size([*x, *y])));
    let squares = |x: f64, y: f64| (x / most) * (x / most) + (y / most) * (y / most);
    let norm = most * re.iter().zip(&*im).map(|(x, y)| squares(*x, *y)).sum::<f64>().sqrt();
    for x in re.iter_mut().chain(im.iter_mut()) {
        *x /= norm;
    }
    if !is_complex {
        return;
    }
    let (mut largest, mut at) = (0.0, 0);
    for i in 0..re.len() {
        let square = re[i] * re[i] + im[i] * im[i];
        if square > largest {
            (largest, at) = (square, i);
        }
    }
    let r = length(re[at], im[at]);
    let turn = [re[at] / r, -im[at] / r];
    for i in 0..re.len() {
        [re[i], im[i]] = times([re[i], im[i]], turn);
    }
    im[at] = 0.0;
}
