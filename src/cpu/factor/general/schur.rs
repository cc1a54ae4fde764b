//! The QR iteration with double shifts (Francis), which transforms a Hessenberg matrix to a real Schur form, as in
//! LAPACK's `dlahqr` and `dlanv2`. An element is tested for being negligible as in Ahues and Tisseur (1997).

use super::{NotConverged, Schur};

/// How many iterations each eigenvalue may take on average. Two or three are usual.
pub(in crate::cpu) const SWEEPS: usize = 60;

/// The relative size below which an element is negligible compared with its neighbours.
const ULP: f64 = f64::EPSILON;

/// Returns the length of the vector (a, b), without overflow or underflow.
pub(super) fn length(a: f64, b: f64) -> f64 {
    let (most, least) = (a.abs().max(b.abs()), a.abs().min(b.abs()));
    if most == 0.0 { 0.0 } else { most * (1.0 + (least / most) * (least / most)).sqrt() }
}

/// The two shifts of a QR iteration, which are either both real or conjugate to each other.
struct Shifts {
    re: [f64; 2],
    im: f64,
}

impl Shifts {
    /// Returns the eigenvalues of the matrix [[a, b], [c, d]] as shifts. If they are real, both shifts are the
    /// eigenvalue nearer to d.
    fn of([a, b, c, d]: [f64; 4]) -> Shifts {
        let s = a.abs() + b.abs() + c.abs() + d.abs();
        if s == 0.0 {
            return Shifts { re: [0.0; 2], im: 0.0 };
        }
        let [a, b, c, d] = [a / s, b / s, c / s, d / s];
        let middle = (a + d) / 2.0;
        let det = (a - middle) * (d - middle) - b * c;
        let root = det.abs().sqrt();
        if det >= 0.0 {
            return Shifts { re: [middle * s; 2], im: root * s };
        }
        let (x, y) = (middle + root, middle - root);
        Shifts { re: [if (x - d).abs() <= (y - d).abs() { x * s } else { y * s }; 2], im: 0.0 }
    }
}

/// A Householder reflection I − t·v·vᵀ of two or three rows, with v = (1, v₁, v₂).
struct Reflection {
    v: [f64; 3],
    t: f64,
    /// The first element of the vector after the reflection; its other elements are 0.
    first: f64,
}

impl Reflection {
    fn of(x: [f64; 3]) -> Reflection {
        let rest = length(x[1], x[2]);
        if rest == 0.0 {
            return Reflection { v: [1.0, 0.0, 0.0], t: 0.0, first: x[0] };
        }
        let first = -length(x[0], rest).copysign(x[0]);
        let below = x[0] - first;
        Reflection { v: [1.0, x[1] / below, x[2] / below], t: (first - x[0]) / first, first }
    }

    /// Applies the reflection to two or three neighbouring rows of n elements, in columns `from..end`.
    fn rows(&self, rows: &mut [f64], n: usize, from: usize, end: usize) {
        let [_, v1, v2] = self.v;
        let (first, rest) = rows.split_at_mut(n);
        let (second, third) = rest.split_at_mut(n);
        let (first, second) = (&mut first[from..end], &mut second[from..end]);
        if third.is_empty() {
            for (x, y) in first.iter_mut().zip(second) {
                let sum = self.t * (*x + v1 * *y);
                *x -= sum;
                *y -= sum * v1;
            }
            return;
        }
        for ((x, y), z) in first.iter_mut().zip(second).zip(&mut third[from..end]) {
            let sum = self.t * (*x + v1 * *y + v2 * *z);
            *x -= sum;
            *y -= sum * v1;
            *z -= sum * v2;
        }
    }

    /// Applies the reflection to `count` neighbouring columns, beginning with column `k`. Each row has n elements.
    fn columns(&self, rows: &mut [f64], n: usize, k: usize, count: usize) {
        for row in rows.chunks_exact_mut(n) {
            let x = &mut row[k..k + count];
            let sum = self.t * x.iter().zip(&self.v).map(|(x, v)| x * v).sum::<f64>();
            x.iter_mut().zip(&self.v).for_each(|(x, v)| *x -= sum * v);
        }
    }
}

impl Schur<'_> {
    fn at(&self, i: usize, j: usize) -> f64 {
        self.t[i * self.n + j]
    }

    /// Transforms T to a real Schur form. Returns an error if the eigenvalues need more than `sweeps` iterations each
    /// on average (see [`SWEEPS`]).
    pub(super) fn iterate(&mut self, sweeps: usize) -> Result<(), NotConverged> {
        let (n, active) = (self.n, self.balance.active.clone());
        for i in (0..n).filter(|i| !active.contains(i)) {
            self.re[i] = self.at(i, i);
        }
        let mut left = sweeps.saturating_mul(active.len().max(10));
        let mut end = active.end;
        while end > active.start {
            let mut since = 0;
            let first = loop {
                let first = self.small(active.start, end);
                if first > active.start {
                    self.t[first * n + first - 1] = 0.0;
                }
                if first + 2 >= end {
                    break first;
                }
                left = left.checked_sub(1).ok_or(NotConverged)?;
                since += 1;
                self.sweep(first, end, since);
            };
            match end - first {
                1 => self.re[first] = self.at(first, first),
                _ => self.split(first),
            }
            end = first;
        }
        Ok(())
    }

    /// Returns the first row of the last block within the rows `start..end`. A block begins in row k if the element in
    /// row k and column k − 1 is negligible.
    fn small(&self, start: usize, end: usize) -> usize {
        let smallest = f64::MIN_POSITIVE * (self.n as f64 / ULP);
        let is_small = |k: usize| {
            let below = self.at(k, k - 1).abs();
            if below <= smallest {
                return true;
            }
            let (d, before) = (self.at(k, k), self.at(k - 1, k - 1));
            let mut size = before.abs() + d.abs();
            if size == 0.0 {
                size += if k >= start + 2 { self.at(k - 1, k - 2).abs() } else { 0.0 };
                size += if k + 1 < end { self.at(k + 1, k).abs() } else { 0.0 };
            }
            if below > ULP * size {
                return false;
            }
            let above = self.at(k - 1, k).abs();
            let (most, least) = (below.max(above), below.min(above));
            let (far, near) = (d.abs().max((before - d).abs()), d.abs().min((before - d).abs()));
            let s = far + most;
            least * (most / s) <= smallest.max(ULP * (near * (far / s)))
        };
        (start + 1..end).rev().find(|k| is_small(*k)).unwrap_or(start)
    }

    /// Performs one QR iteration on rows `first..end`. `since` counts the iterations for the current eigenvalue,
    /// including this one.
    fn sweep(&mut self, first: usize, end: usize, since: usize) {
        let (n, last) = (self.n, end - 1);
        // use an exceptional shift at iterations 10, 20, … to end a possible cycle
        let exceptional = |x: f64, y: f64, d: f64| {
            let s = x.abs() + y.abs();
            [0.75 * s + d, -0.4375 * s, s, 0.75 * s + d]
        };
        let shifts = Shifts::of(match mutant!(exceptional_shifts_left_out, 1, since % 20) {
            10 => exceptional(self.at(first + 1, first), self.at(first + 2, first + 1), self.at(first, first)),
            0 => exceptional(self.at(last, last - 1), self.at(last - 1, last - 2), self.at(last, last)),
            _ => [self.at(last - 1, last - 1), self.at(last - 1, last), self.at(last, last - 1), self.at(last, last)],
        });
        let (start, mut x) = self.start(first, last, &shifts);
        let with_vectors = !self.z.is_empty();
        let (top, right) = if with_vectors { (0, n) } else { (first, end) };
        for k in start..last {
            let count = (end - k).min(3);
            if k > start {
                x = [self.at(k, k - 1), self.at(k + 1, k - 1), if count == 3 { self.at(k + 2, k - 1) } else { 0.0 }];
            }
            let reflection = Reflection::of(x);
            if k > start {
                self.t[k * n + k - 1] = reflection.first;
                (1..count).for_each(|i| self.t[(k + i) * n + k - 1] = 0.0);
            } else if start > first {
                // Multiply by 1 − t instead of negating. If the last two elements of `x` were so small that they were
                // taken as 0, the reflection changes nothing and t is 0.
                self.t[k * n + k - 1] *= 1.0 - reflection.t;
            }
            reflection.rows(&mut self.t[k * n..(k + count) * n], n, k, right);
            reflection.columns(&mut self.t[top * n..(k + 4).min(end) * n], n, k, count);
            if with_vectors {
                let active = &self.balance.active;
                reflection.rows(&mut self.z[k * n..(k + count) * n], n, active.start, active.end);
            }
        }
    }

    /// Returns the row at which an iteration begins, and the vector from which its first reflection is made. The row is
    /// `first`, or a later row if two consecutive elements below the diagonal are small enough.
    fn start(&self, first: usize, last: usize, shifts: &Shifts) -> (usize, [f64; 3]) {
        let [x, y] = shifts.re;
        let mut m = last - 2;
        loop {
            let (d, below) = (self.at(m, m), self.at(m + 1, m));
            let s = (d - y).abs() + shifts.im.abs() + below.abs();
            let below = below / s;
            let v = [
                below * self.at(m, m + 1) + (d - x) * ((d - y) / s) + shifts.im * (shifts.im / s),
                below * (d + self.at(m + 1, m + 1) - x - y),
                below * self.at(m + 2, m + 1),
            ];
            let s = v[0].abs() + v[1].abs() + v[2].abs();
            let v = v.map(|v| if s == 0.0 { v } else { v / s });
            if m == first {
                return (m, v);
            }
            let around = self.at(m - 1, m - 1).abs() + d.abs() + self.at(m + 1, m + 1).abs();
            if self.at(m, m - 1).abs() * (v[1].abs() + v[2].abs()) <= ULP * v[0].abs() * around {
                return (m, v);
            }
            m -= 1;
        }
    }

    /// Rotates the 2 × 2 block of rows k and k + 1. If its eigenvalues are real, it becomes triangular; otherwise its
    /// diagonal elements become equal. Stores the eigenvalues.
    fn split(&mut self, k: usize) {
        let (n, end) = (self.n, k + 2);
        let block = [self.at(k, k), self.at(k, k + 1), self.at(k + 1, k), self.at(k + 1, k + 1)];
        let ([a, b, c, d], [cos, sin]) = standard(block);
        let rotate = |x: &mut f64, y: &mut f64| (*x, *y) = (cos * *x + sin * *y, cos * *y - sin * *x);
        if !self.z.is_empty() {
            let (x, y) = self.t[k * n..end * n].split_at_mut(n);
            x[end..].iter_mut().zip(&mut y[end..]).for_each(|(x, y)| rotate(x, y));
            for row in self.t[..k * n].chunks_exact_mut(n) {
                let (x, y) = row.split_at_mut(k + 1);
                rotate(&mut x[k], &mut y[0]);
            }
            let (x, y) = self.z[k * n..end * n].split_at_mut(n);
            x.iter_mut().zip(y).for_each(|(x, y)| rotate(x, y));
        }
        (self.t[k * n + k], self.t[k * n + k + 1]) = (a, b);
        (self.t[(k + 1) * n + k], self.t[(k + 1) * n + k + 1]) = (c, d);
        let im = if c == 0.0 { 0.0 } else { b.abs().sqrt() * c.abs().sqrt() };
        (self.re[k], self.im[k]) = (a, im);
        (self.re[k + 1], self.im[k + 1]) = (d, -im);
    }
}

/// Returns the standard form of the 2 × 2 block [a, b, c, d] (see [`Schur`]), and the cosine and sine of the rotation
/// that transforms the block to it.
fn standard([a, b, c, d]: [f64; 4]) -> ([f64; 4], [f64; 2]) {
    if c == 0.0 {
        return ([a, b, c, d], [1.0, 0.0]);
    }
    if b == 0.0 {
        return ([d, -c, 0.0, a], [0.0, 1.0]);
    }
    if a == d && b.is_sign_positive() != c.is_sign_positive() {
        return ([a, b, c, d], [1.0, 0.0]);
    }
    let difference = a - d;
    let p = 0.5 * difference;
    let most = b.abs().max(c.abs());
    let least = b.abs().min(c.abs()) * 1f64.copysign(b) * 1f64.copysign(c);
    let scale = p.abs().max(most);
    let z = (p / scale) * p + (most / scale) * least;
    if z >= 4.0 * ULP {
        // the block has two different real eigenvalues, so make it triangular
        let z = p + (scale.sqrt() * z.sqrt()).copysign(p);
        let tau = length(c, z);
        return ([d + z, b - c, 0.0, d - (most / z) * least], [z / tau, c / tau]);
    }
    // the eigenvalues are complex or nearly equal, so make the diagonal elements equal
    let sigma = b + c;
    let tau = length(sigma, difference);
    let cos = (0.5 * (1.0 + sigma.abs() / tau)).sqrt();
    let sin = -(p / (tau * cos)) * 1f64.copysign(sigma);
    let [x, y, z, w] = [a * cos + b * sin, b * cos - a * sin, c * cos + d * sin, d * cos - c * sin];
    let [a, b, c, d] = [x * cos + z * sin, y * cos + w * sin, z * cos - x * sin, w * cos - y * sin];
    let middle = 0.5 * (a + d);
    if c == 0.0 {
        return ([middle, b, 0.0, middle], [cos, sin]);
    }
    if b == 0.0 {
        return ([middle, -c, 0.0, middle], [-sin, cos]);
    }
    if b.is_sign_positive() != c.is_sign_positive() {
        return ([middle, b, c, middle], [cos, sin]);
    }
    let (root_b, root_c) = (b.abs().sqrt(), c.abs().sqrt());
    let p = (root_b * root_c).copysign(c);
    let tau = 1.0 / (b + c).abs().sqrt();
    let (x, y) = (root_b * tau, root_c * tau);
    ([middle + p, b - c, 0.0, middle - p], [cos * x - sin * y, cos * y + sin * x])
}
