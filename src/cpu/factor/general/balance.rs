//! Balancing: rows and columns are exchanged so that eigenvalues which stand alone are found exactly, and the others are
//! scaled so that rows and columns have norms of similar magnitude (James, Langou and Lowery, *On matrix balancing and
//! eigenvector computation*, 2014: the norms include the diagonal).

use super::super::{Numbers, power};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// What balancing has done to a matrix.
pub(super) struct Balance {
    /// Row i of the balanced matrix is row `order[i]` of the matrix.
    pub order: SmallVec<[usize; 32]>,
    /// The factor by which row i of a vector of the balanced matrix is multiplied: a power of two.
    pub scale: Numbers,
    /// The rows that are not triangular already.
    pub active: Range<usize>,
}

/// The most sweeps of scaling. Few are usual: a sweep goes on only if a norm becomes smaller by 5 %.
const SWEEPS: usize = 64;

/// The exponent of the largest factor and, negated, of the smallest.
const LARGEST: i32 = 250;

impl Balance {
    /// Balances a matrix of n rows.
    pub fn of(a: &mut [f64], n: usize) -> Balance {
        let mut balance = Balance { order: (0..n).collect(), scale: smallvec![1.0; n], active: 0..n };
        // rows whose other active elements are 0 move to the end, and then such columns to the front
        while let Some(i) = balance.alone(|i, j| a[i * n + j] == 0.0) {
            balance.active.end -= 1;
            balance.exchange(a, i, balance.active.end);
        }
        while let Some(j) = balance.alone(|j, i| a[i * n + j] == 0.0) {
            balance.exchange(a, j, balance.active.start);
            balance.active.start += 1;
        }
        for _ in 0..SWEEPS {
            if !balance.sweep(a, n) {
                break;
            }
        }
        balance
    }

    /// Returns the last active line whose other elements are 0.
    fn alone(&self, is_zero: impl Fn(usize, usize) -> bool) -> Option<usize> {
        self.active.clone().rev().find(|i| self.active.clone().all(|j| j == *i || is_zero(*i, j)))
    }

    /// Exchanges two rows, and the columns of the same numbers.
    fn exchange(&mut self, a: &mut [f64], i: usize, j: usize) {
        let n = self.order.len();
        self.order.swap(i, j);
        for k in 0..n {
            a.swap(i * n + k, j * n + k);
        }
        for k in 0..n {
            a.swap(k * n + i, k * n + j);
        }
    }

    /// Scales each active row and column once. Returns whether one has changed.
    fn sweep(&mut self, a: &mut [f64], n: usize) -> bool {
        let mut changed = false;
        let active = self.active.clone();
        for i in active.clone() {
            let norm = |at: &dyn Fn(usize) -> usize| active.clone().map(|k| a[at(k)] * a[at(k)]).sum::<f64>().sqrt();
            let [column, row] = [norm(&|k| k * n + i), norm(&|k| i * n + k)];
            if column == 0.0 || row == 0.0 {
                continue;
            }
            let scaled = |e: i32| column * power(e) + row * power(-e);
            let mut e = 0;
            while e < LARGEST && column * power(2 * e + 1) < row {
                e += 1;
            }
            while e > -LARGEST && column * power(2 * e - 1) > row {
                e -= 1;
            }
            let whole = self.scale[i] * power(e);
            if scaled(e) >= 0.95 * scaled(0) || !(power(-LARGEST)..=power(LARGEST)).contains(&whole) {
                continue;
            }
            self.scale[i] = whole;
            changed = true;
            a[i * n..(i + 1) * n].iter_mut().for_each(|x| *x *= power(-e));
            a[i..].iter_mut().step_by(n).for_each(|x| *x *= power(e));
        }
        changed
    }
}
