//! The singular value decomposition of square matrices: the reduction to upper bidiagonal form by Householder
//! reflectors, and the implicit QR iteration of Golub and Kahan for the bidiagonal matrix, after LINPACK's `dsvdc`.

// one index addresses several arrays in these loops, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

use super::{FactorLoops, Numbers, Reflectors, Rotations, RowPart, each_part, reflector, sums_of_parts, zeros};

/// An upper bidiagonal matrix: `d` is the diagonal, and `e` has the n − 1 elements above the diagonal, followed by 0.
pub(in crate::cpu) struct Bidiagonal {
    pub d: Numbers,
    pub e: Numbers,
}

/// How many QR steps each singular value may take on average. Two are usual.
const STEPS: usize = 30;

/// The matrix is scaled to magnitudes near 1. Magnitudes below this count as 0, because their squares could underflow.
const TINY: f64 = 1e-140;

/// Reduces the n × n matrix A, stored in `a`, to the bidiagonal matrix Uᵀ·A·V, and overwrites `a`. The orthogonal
/// matrices U and V are products of reflectors, which are added to `left` (for U) and to `right` (for V).
pub(in crate::cpu) fn reduce(
    a: &mut [f64],
    n: usize,
    [left, right]: [&mut Reflectors<'_>; 2],
    loops: &FactorLoops,
) -> Bidiagonal {
    let mut b = Bidiagonal { d: Numbers::new(), e: Numbers::new() };
    // the previous step has not yet subtracted its change v·yᵀ + z·uᵀ from the matrix; this step subtracts it when it
    // reads a row
    let [mut v, mut y, mut z, mut u, mut new] = [0; 5].map(|_| zeros(n));
    let mut sums = sums_of_parts(n);
    for k in 0..n {
        for i in k..n {
            new[i] = a[i * n + k] - (v[i] * y[k] + z[i] * u[k]);
        }
        let [beta, tau] = reflector(&mut new[k..], loops);
        b.d.push(beta);
        left.push(k, &new[k..], tau);
        let next = k + 1;
        if next == n {
            b.e.push(0.0);
            break;
        }
        let (of_v, of_y, of_z, of_u, own) = (&v, &y, &z, &u, &new);
        each_part([k, n], false, &mut a[k * n..], &mut sums, |RowPart { first, rows, sums }| {
            for (i, row) in (first..n).zip(rows) {
                let changes = [&of_y[next..], &of_u[next..]];
                loops.update(&mut row[next..], changes, [of_v[i], of_z[i]], (own[i], &mut sums[next..]), &of_y[next..]);
            }
        });
        std::mem::swap(&mut v, &mut new);
        y[next..].iter_mut().zip(&sums[next..n]).for_each(|(y, sum)| *y = tau * sum);
        // row k of the matrix after the reflection from the left; y has the factor 1, because element k of v is 1
        u[next..].iter_mut().zip(&a[k * n + next..][..n - next]).zip(&y[next..]).for_each(|((u, a), y)| *u = a - y);
        let [beta, tau] = reflector(&mut u[next..], loops);
        b.e.push(beta);
        right.push(next, &u[next..], tau);
        let along = loops.dot(&y[next..], &u[next..]);
        let (of_u, of_v) = (&u, &v);
        each_part([next, n], false, &mut a[next * n..], &mut sums, |RowPart { first, rows, sums }| {
            for (i, row) in (first..n).zip(rows) {
                sums[i] = tau * (loops.dot(&row[next..], &of_u[next..]) - of_v[i] * along);
            }
        });
        z[next..].copy_from_slice(&sums[next..n]);
    }
    b
}

/// Returns the cosine and sine of the rotation that maps (f, g) to (r, 0), and r.
fn rotation(f: f64, g: f64) -> [f64; 3] {
    let r = (f * f + g * g).sqrt();
    if r < TINY {
        let (f, g) = (f * 1e150, g * 1e150);
        let large = (f * f + g * g).sqrt();
        return if large > 0.0 { [f / large, g / large, large * 1e-150] } else { [1.0, 0.0, 0.0] };
    }
    [f / r, g / r, r]
}

impl Bidiagonal {
    /// Replaces the diagonal by the singular values, which may be negative. Applies all rotations to the matrices U and
    /// V. Returns false if the iteration does not converge.
    pub fn solve(&mut self, [left, right]: [&mut Rotations<'_>; 2], loops: &FactorLoops) -> bool {
        let mut steps = STEPS * self.d.len();
        let mut end = self.d.len();
        while end > 0 {
            let start = self.start_of_block(end);
            if start + 1 == end {
                end -= 1;
                continue;
            }
            let zero = self.zero_on_diagonal(start, end);
            match zero {
                Some(at) if at + 1 == end => self.clear_column(start, end, right, loops),
                Some(at) => self.clear_row(at, end, left, loops),
                None if steps == 0 => return false,
                None => {
                    steps -= 1;
                    self.step(start, end, [&mut *left, &mut *right], loops);
                }
            }
        }
        left.apply(loops);
        right.apply(loops);
        true
    }

    /// Returns the first row of the last block of rows before row `end`. A block begins after a negligible element
    /// above the diagonal, which this function sets to 0.
    fn start_of_block(&mut self, end: usize) -> usize {
        let small = |k: &usize| {
            let beside = self.d[*k].abs() + self.d[k + 1].abs();
            self.e[*k].abs() <= TINY + f64::EPSILON * beside
        };
        let Some(at) = (0..end - 1).rev().find(small) else { return 0 };
        self.e[at] = 0.0;
        at + 1
    }

    /// Sets the last negligible diagonal element of the block `start..end` to 0, and returns its index. Returns `None`
    /// if no diagonal element is negligible.
    fn zero_on_diagonal(&mut self, start: usize, end: usize) -> Option<usize> {
        let small = |k: &usize| {
            let before = if *k > start { self.e[k - 1].abs() } else { 0.0 };
            let after = if k + 1 < end { self.e[*k].abs() } else { 0.0 };
            self.d[*k].abs() <= TINY + f64::EPSILON * (before + after)
        };
        let at = (start..end).rev().find(small)?;
        self.d[at] = 0.0;
        Some(at)
    }

    /// For a block whose last diagonal element is 0: rotates columns so that the element above it becomes 0 too.
    fn clear_column(&mut self, start: usize, end: usize, right: &mut Rotations<'_>, loops: &FactorLoops) {
        let mut f = std::mem::take(&mut self.e[end - 2]);
        for j in (start..end - 1).rev() {
            let [c, s, r] = rotation(self.d[j], f);
            self.d[j] = r;
            if j > start {
                f = -s * self.e[j - 1];
                self.e[j - 1] *= c;
            }
            right.push([j, end - 1], c, s, loops);
        }
    }

    /// For a block whose diagonal element in row `at` is 0: rotates rows so that the element to its right becomes 0
    /// too.
    fn clear_row(&mut self, at: usize, end: usize, left: &mut Rotations<'_>, loops: &FactorLoops) {
        let mut f = std::mem::take(&mut self.e[at]);
        for j in at + 1..end {
            let [c, s, r] = rotation(self.d[j], f);
            self.d[j] = r;
            f = -s * self.e[j];
            self.e[j] *= c;
            left.push([j, at], c, s, loops);
        }
    }

    /// Performs one QR step with a shift on the block of rows `start..end`.
    fn step(&mut self, start: usize, end: usize, [left, right]: [&mut Rotations<'_>; 2], loops: &FactorLoops) {
        let (d, e) = (&mut self.d, &mut self.e);
        let last = end - 1;
        let all = [d[last], d[last - 1], e[last - 1], d[start], e[start]];
        let scale = all.iter().fold(0f64, |m, x| m.max(x.abs()));
        let [sp, before, above, first, beside] = all.map(|x| x / scale);
        let half = ((before + sp) * (before - sp) + above * above) / 2.0;
        let c = (sp * above) * (sp * above);
        let shift = if half != 0.0 || c != 0.0 { c / (half + (half * half + c).sqrt().copysign(half)) } else { 0.0 };
        let mut f = (first + sp) * (first - sp) + shift;
        let mut g = first * beside;
        for j in start..last {
            let [c, s, r] = rotation(f, g);
            if j > start {
                e[j - 1] = r;
            }
            f = c * d[j] + s * e[j];
            e[j] = c * e[j] - s * d[j];
            g = s * d[j + 1];
            d[j + 1] *= c;
            right.push([j, j + 1], c, s, loops);
            let (of, [c, s, r]) = ([f, g], rotation(f, g));
            d[j] = r;
            f = c * e[j] + s * d[j + 1];
            d[j + 1] = c * d[j + 1] - s * e[j];
            g = s * e[j + 1];
            e[j + 1] *= c;
            left.push_exact([j, j + 1], of, [c, s, r], loops);
        }
        e[last - 1] = f;
    }
}
