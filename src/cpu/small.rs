//! `lu` and `solve_triangular` for batches of small matrices. 16 matrices are computed together: each SIMD lane
//! computes another matrix. A lane does the same operations in the same order as `lu.rs` and `triangular.rs`, so only
//! NaN and the signs of zeros may differ from their results. This file computes every matrix that is small enough,
//! whatever the size of the batch. So a matrix has the same bits alone and in a batch.

// a loop over lanes uses its index for several arrays
#![allow(clippy::needless_range_loop)]

use super::linear::{Lowest, Real, compiled};
use super::operands::SharedTarget;
use crate::graph::routine::{UNIT, UPPER};

/// The number of matrices that are computed together.
pub(super) const WIDTH: usize = 16;

/// The maximum number of rows and of columns of a small matrix.
pub(super) const MOST: usize = 16;

/// The elements of [`WIDTH`] matrices at the same row and column, one for each lane.
type Lanes<T> = [T; WIDTH];

/// Copies up to [`WIDTH`] matrices from contiguous memory to the lanes. Each matrix has `to.len()` elements. Lanes
/// without a matrix are filled with 0.
fn load<T: Real>(from: &[T], to: &mut [Lanes<T>]) {
    let size = to.len();
    to.fill([T::ZERO; WIDTH]);
    for (lane, from) in from.chunks_exact(size).enumerate() {
        for (to, x) in to.iter_mut().zip(from) {
            to[lane] = *x;
        }
    }
}

/// Copies the first `count` lanes to `count` matrices, one after another in memory.
///
/// # Safety
/// The target has `count · from.len()` elements from element `first` on, and nothing else uses these elements during
/// the call.
unsafe fn store<T: Copy>(from: &[Lanes<T>], to: SharedTarget<T>, first: usize, count: usize) {
    for lane in 0..count {
        for (i, x) in from.iter().enumerate() {
            // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
            unsafe { to.set(first + lane * from.len() + i, x[lane]) };
        }
    }
}

/// Factorises the matrices of all lanes in place, with row exchanges. The arguments are the matrices, their number of
/// columns, and a list. The list holds the row numbers and, as its last entry, the number of exchanged pairs of rows.
type Factorise<T> = fn(&mut [Lanes<T>], usize, &mut [Lanes<i32>]);

compiled!(factors_of_f32, factorise::<f32>(a: &mut [Lanes<f32>], n: usize, order: &mut [Lanes<i32>]) -> ());
compiled!(factors_of_f64, factorise::<f64>(a: &mut [Lanes<f64>], n: usize, order: &mut [Lanes<i32>]) -> ());

/// An element type with its functions for [`WIDTH`] matrices at once.
pub(super) trait Small: Real {
    const FACTORISE: Factorise<Self>;
    const SUBSTITUTE: Substitute<Self>;
}

impl Small for f32 {
    const FACTORISE: Factorise<f32> = factors_of_f32;
    const SUBSTITUTE: Substitute<f32> = solutions_of_f32;
}

impl Small for f64 {
    const FACTORISE: Factorise<f64> = factors_of_f64;
    const SUBSTITUTE: Substitute<f64> = solutions_of_f64;
}

/// Factorises the matrices with the indices `first..end`. Writes the factors to `to`. Writes to `orders`, for each
/// matrix, the numbers of its rows, followed by the number of exchanged pairs of rows.
///
/// # Safety
/// `to` has as many elements as `from`, and `orders` has `rows + 1` elements for each matrix. Nothing else uses the
/// elements of these matrices during the call.
pub(super) unsafe fn lu<T: Small>(
    from: &[T],
    [rows, columns]: [usize; 2],
    [first, end]: [usize; 2],
    to: SharedTarget<T>,
    orders: SharedTarget<i32>,
) {
    let size = rows * columns;
    let mut a = vec![[T::ZERO; WIDTH]; size];
    let mut order = vec![[0; WIDTH]; rows + 1];
    for matrix in (first..end).step_by(WIDTH) {
        let count = WIDTH.min(end - matrix);
        load(&from[matrix * size..(matrix + count) * size], &mut a);
        (0..rows).for_each(|i| order[i] = [i as i32; WIDTH]);
        order[rows] = [0; WIDTH];
        T::FACTORISE(&mut a, columns, &mut order);
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe {
            store(&a, to, matrix * size, count);
            store(&order, orders, matrix * (rows + 1), count);
        }
    }
}

/// Factorises the matrices of all lanes, as [`Factorise`] describes.
#[inline(always)]
fn factorise<T: Real>(a: &mut [Lanes<T>], n: usize, order: &mut [Lanes<i32>]) {
    let rows = order.len() - 1;
    for k in 0..n.min(rows) {
        let (mut largest, mut pivot) = ([T::ZERO; WIDTH], [k as i32; WIDTH]);
        for i in k..rows {
            let x = &a[i * n + k];
            for l in 0..WIDTH {
                // a comparison with NaN is false, so NaN is the pivot only if it is on the diagonal and all other
                // elements are 0 or NaN
                let is_larger = x[l].abs() > largest[l];
                largest[l] = if is_larger { x[l].abs() } else { largest[l] };
                pivot[l] = if is_larger { i as i32 } else { pivot[l] };
            }
        }
        for i in k + 1..rows {
            let is_pivot: [bool; WIDTH] = std::array::from_fn(|l| pivot[l] == i as i32);
            if !is_pivot.contains(&true) {
                continue;
            }
            let (top, below) = a.split_at_mut(i * n);
            for (x, y) in top[k * n..(k + 1) * n].iter_mut().zip(below) {
                exchange(x, y, &is_pivot);
            }
            let (top, below) = order.split_at_mut(i);
            exchange(&mut top[k], &mut below[0], &is_pivot);
            for l in 0..WIDTH {
                order[rows][l] += i32::from(is_pivot[l]);
            }
        }
        let (top, below) = a.split_at_mut((k + 1) * n);
        let top = &top[k * n..];
        for row in below.chunks_exact_mut(n) {
            let mut factor = row[k];
            for l in 0..WIDTH {
                let divided = factor[l] / top[k][l];
                factor[l] = if top[k][l] != T::ZERO { divided } else { factor[l] };
            }
            row[k] = factor;
            for (x, y) in row[k + 1..].iter_mut().zip(&top[k + 1..]) {
                for l in 0..WIDTH {
                    x[l] = x[l] - factor[l] * y[l];
                }
            }
        }
    }
}

/// Exchanges `x` and `y` in the lanes for which `is_chosen` is true.
#[inline(always)]
fn exchange<T: Copy>(x: &mut Lanes<T>, y: &mut Lanes<T>, is_chosen: &[bool; WIDTH]) {
    for l in 0..WIDTH {
        let (a, b) = (x[l], y[l]);
        x[l] = if is_chosen[l] { b } else { a };
        y[l] = if is_chosen[l] { a } else { b };
    }
}

/// Solves the triangular systems of all lanes in place. The arguments are the matrices, the right-hand sides (which the
/// solutions replace), their number of columns, and the kind of the systems (bits such as [`UPPER`]).
type Substitute<T> = fn(&[Lanes<T>], &mut [Lanes<T>], usize, u64);

compiled!(solutions_of_f32, substitute::<f32>(a: &[Lanes<f32>], x: &mut [Lanes<f32>], columns: usize, kind: u64) -> ());
compiled!(solutions_of_f64, substitute::<f64>(a: &[Lanes<f64>], x: &mut [Lanes<f64>], columns: usize, kind: u64) -> ());

/// Solves the systems with the indices `first..end`, each with `n` rows and `columns` right-hand sides. Records in
/// `lowest` the rows in which the diagonal is 0.
///
/// # Safety
/// `to` has as many elements as `from`, and nothing else uses the elements of these systems during the call.
pub(super) unsafe fn solve_triangular<T: Small>(
    [a, from]: [&[T]; 2],
    [n, columns]: [usize; 2],
    kind: u64,
    [first, end]: [usize; 2],
    to: SharedTarget<T>,
    lowest: &Lowest,
) {
    let mut matrices = vec![[T::ZERO; WIDTH]; n * n];
    let mut x = vec![[T::ZERO; WIDTH]; n * columns];
    for matrix in (first..end).step_by(WIDTH) {
        let count = WIDTH.min(end - matrix);
        load(&a[matrix * n * n..(matrix + count) * n * n], &mut matrices);
        load(&from[matrix * n * columns..(matrix + count) * n * columns], &mut x);
        if kind & UNIT == 0 {
            for lane in 0..count {
                if let Some(row) = (0..n).find(|i| matrices[i * n + i][lane] == T::ZERO) {
                    lowest.note((matrix + lane) * n + row);
                }
            }
        }
        T::SUBSTITUTE(&matrices, &mut x, columns, kind);
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe { store(&x, to, matrix * n * columns, count) };
    }
}

/// Solves the systems of all lanes, as [`Substitute`] describes.
#[inline(always)]
fn substitute<T: Real>(a: &[Lanes<T>], x: &mut [Lanes<T>], columns: usize, kind: u64) {
    let n = x.len() / columns;
    let is_upper = kind & UPPER != 0;
    for step in 0..n {
        let i = if is_upper { n - 1 - step } else { step };
        let (before, rest) = x.split_at_mut(i * columns);
        let (row, after) = rest.split_at_mut(columns);
        for known in 0..step {
            // the rows of the solution that are already known are subtracted in the order in which they were computed
            let k = if is_upper { n - 1 - known } else { known };
            let factor = &a[i * n + k];
            let above = if is_upper { &after[(k - i - 1) * columns..] } else { &before[k * columns..] };
            for (x, y) in row.iter_mut().zip(above) {
                for l in 0..WIDTH {
                    x[l] = x[l] - factor[l] * y[l];
                }
            }
        }
        if kind & UNIT == 0 {
            let pivot = &a[i * n + i];
            for x in row {
                for l in 0..WIDTH {
                    x[l] = x[l] / pivot[l];
                }
            }
        }
    }
}
