//! The reduction of a matrix to Hessenberg form by Householder reflectors. In a Hessenberg matrix, all elements below
//! the first subdiagonal are 0.

use super::super::{Numbers, loops, reflector, zeros};
use std::ops::Range;

/// Adds `by` times `row` to the row `to`.
pub(super) fn add(to: &mut [f64], by: f64, row: &[f64]) {
    to.iter_mut().zip(row).for_each(|(to, x)| *to += by * x);
}

/// Multiplies `columns` of the given rows from the left by I − tau·v·vᵀ. A row has n elements, and v has an element for
/// each row.
fn reflect(rows: &mut [f64], n: usize, columns: Range<usize>, v: &[f64], tau: f64, sums: &mut [f64]) {
    let sums = &mut sums[..columns.len()];
    sums.fill(0.0);
    for (row, x) in rows.chunks_exact(n).zip(v) {
        add(sums, *x, &row[columns.clone()]);
    }
    for (row, x) in rows.chunks_exact_mut(n).zip(v) {
        add(&mut row[columns.clone()], -tau * x, sums);
    }
}

/// Reduces the active rows and columns of the n × n matrix A to Hessenberg form H = Zᵀ·A·Z. Overwrites `a` with H, and
/// writes Zᵀ to `z` unless `z` is empty.
pub(super) fn reduce(a: &mut [f64], z: &mut [f64], n: usize, active: &Range<usize>) {
    let loops = loops();
    let mut sums = zeros(n);
    z.fill(0.0);
    z.iter_mut().step_by(n + 1).for_each(|x| *x = 1.0);
    for k in active.start..active.end.saturating_sub(2) {
        let rows = k + 1..active.end;
        let mut v: Numbers = rows.clone().map(|i| a[i * n + k]).collect();
        let [beta, tau] = reflector(&mut v, loops);
        for i in rows.clone() {
            a[i * n + k] = if i == k + 1 { beta } else { 0.0 };
        }
        if tau == 0.0 {
            continue;
        }
        reflect(&mut a[rows.start * n..rows.end * n], n, k + 1..n, &v, tau, &mut sums);
        for row in a[..rows.end * n].chunks_exact_mut(n) {
            let row = &mut row[rows.clone()];
            let along = loops.dot(row, &v);
            add(row, -tau * along, &v);
        }
        if !z.is_empty() {
            reflect(&mut z[rows.start * n..rows.end * n], n, active.clone(), &v, tau, &mut sums);
        }
    }
}
