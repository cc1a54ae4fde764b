//! Balancing of a matrix before its eigenvalues are computed. Rows and columns are exchanged so that isolated
//! eigenvalues, which are diagonal elements, are found exactly. The remaining rows and columns are scaled to similar
//! norms, as in James, Langou and Lowery, *On matrix balancing and eigenvector computation*, 2014.

use super::super::{Numbers, power};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// The exchanges and scale factors that balancing has applied to a matrix.
pub(super) struct Balance {
    /// Row i of the balanced matrix is row `order[i]` of the original matrix.
    pub order: SmallVec<[usize; 32]>,
    /// Powers of two. Element i of an eigenvector of the balanced matrix is multiplied by `scale[i]` to get the
    /// eigenvector of the original matrix.
    pub scale: Numbers,
    /// The rows without an isolated eigenvalue. The diagonal elements of all rows before and after this range are
    /// isolated eigenvalues.
    pub active: Range<usize>,
}

/// The maximum number of sweeps that scale all rows and columns. A few are usually enough, because a row and its column
/// are scaled only if this reduces the sum of their norms by more than 5 %.
const SWEEPS: usize = 64;

/// All scale factors are between 2^−`LARGEST` and 2^`LARGEST`.
const LARGEST: i32 = 250;

impl Balance {
    /// Balances a matrix of n rows.
    pub fn of(a: &mut [f64], n: usize) -> Balance {
        let mut balance = Balance { order: (0..n).collect(), scale: smallvec![1.0; n], active: 0..n };
        // Move each active row to the end if all its active elements but the diagonal one are 0. Then move each active
        // column to the front if all its active elements but the diagonal one are 0. The diagonal elements of these
        // rows and columns are isolated eigenvalues.
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

    /// Returns the last active row (or column) whose active elements are 0, except the diagonal one. `is_zero(i, j)`
    /// returns whether element j of row (or column) i is 0.
    fn alone(&self, is_zero: impl Fn(usize, usize) -> bool) -> Option<usize> {
        self.active.clone().rev().find(|i| self.active.clone().all(|j| j == *i || is_zero(*i, j)))
    }

    /// Exchanges rows i and j of a matrix, and columns i and j.
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

    /// Scales each active row and its column once. Returns whether any of them has changed.
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
