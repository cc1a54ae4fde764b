//! Small matrices in large batches: 16 of them are computed together, one in each lane of vectors. Each lane computes what
//! `lu.rs` and `triangular.rs` compute, in the same order, so only NaN and the signs of zeros may differ. The size of a matrix
//! decides which way is taken, not the size of the batch, so a matrix has the same bits alone and in a batch.

// a loop over lanes walks several arrays together
#![allow(clippy::needless_range_loop)]

use super::linear::{Lowest, Real, compiled};
use super::operands::SharedTarget;
use crate::graph::routine::{UNIT, UPPER};

/// The number of matrices that are computed together.
pub(super) const WIDTH: usize = 16;

/// The most rows and columns of a small matrix.
pub(super) const MOST: usize = 16;

/// An element of each matrix.
type Lanes<T> = [T; WIDTH];

/// Copies `count` matrices of as many elements as there are lanes. Lanes without a matrix become 0.
fn load<T: Real>(from: &[T], to: &mut [Lanes<T>]) {
    let size = to.len();
    to.fill([T::ZERO; WIDTH]);
    for (lane, from) in from.chunks_exact(size).enumerate() {
        for (to, x) in to.iter_mut().zip(from) {
            to[lane] = *x;
        }
    }
}

/// Copies lanes to as many matrices.
///
/// # Safety
/// The target has `count · from.len()` elements from `first` on, which nothing else uses meanwhile.
unsafe fn store<T: Copy>(from: &[Lanes<T>], to: SharedTarget<T>, first: usize, count: usize) {
    for lane in 0..count {
        for (i, x) in from.iter().enumerate() {
            // SAFETY: the caller ensures it.
            unsafe { to.set(first + lane * from.len() + i, x[lane]) };
        }
    }
}

/// Eliminates the columns of matrices of as many columns, with exchanged rows. The list has the numbers of the rows, and then
/// how many pairs were exchanged.
type Factorise<T> = fn(&mut [Lanes<T>], usize, &mut [Lanes<i32>]);

compiled!(factors_of_f32, factorise::<f32>(a: &mut [Lanes<f32>], n: usize, order: &mut [Lanes<i32>]) -> ());
compiled!(factors_of_f64, factorise::<f64>(a: &mut [Lanes<f64>], n: usize, order: &mut [Lanes<i32>]) -> ());

/// The functions of an element type.
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

/// Factorises the matrices from number `first` to before `end`, of `rows` rows.
///
/// # Safety
/// The results have an element for each of `from`, and `rows + 1` numbers for each matrix, which nothing else uses meanwhile.
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
        // SAFETY: the caller ensures it.
        unsafe {
            store(&a, to, matrix * size, count);
            store(&order, orders, matrix * (rows + 1), count);
        }
    }
}

/// See [`Factorise`].
#[inline(always)]
fn factorise<T: Real>(a: &mut [Lanes<T>], n: usize, order: &mut [Lanes<i32>]) {
    let rows = order.len() - 1;
    for k in 0..n.min(rows) {
        let (mut largest, mut pivot) = ([T::ZERO; WIDTH], [k as i32; WIDTH]);
        for i in k..rows {
            let x = &a[i * n + k];
            for l in 0..WIDTH {
                // a comparison with NaN is false, so NaN is a pivot only where all others are 0
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

/// Exchanges two values in some lanes.
#[inline(always)]
fn exchange<T: Copy>(x: &mut Lanes<T>, y: &mut Lanes<T>, is_chosen: &[bool; WIDTH]) {
    for l in 0..WIDTH {
        let (a, b) = (x[l], y[l]);
        x[l] = if is_chosen[l] { b } else { a };
        y[l] = if is_chosen[l] { a } else { b };
    }
}

/// Solves systems for right sides of as many columns, where the right sides are. The last argument is the kind of the systems.
type Substitute<T> = fn(&[Lanes<T>], &mut [Lanes<T>], usize, u64);

compiled!(solutions_of_f32, substitute::<f32>(a: &[Lanes<f32>], x: &mut [Lanes<f32>], columns: usize, kind: u64) -> ());
compiled!(solutions_of_f64, substitute::<f64>(a: &[Lanes<f64>], x: &mut [Lanes<f64>], columns: usize, kind: u64) -> ());

/// Solves the systems from number `first` to before `end`, of `n` rows, for `columns` right sides. Notes zeros on diagonals.
///
/// # Safety
/// The result has an element for each of `from`, which nothing else uses meanwhile.
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
        // SAFETY: the caller ensures it.
        unsafe { store(&x, to, matrix * n * columns, count) };
    }
}

/// See [`Substitute`].
#[inline(always)]
fn substitute<T: Real>(a: &[Lanes<T>], x: &mut [Lanes<T>], columns: usize, kind: u64) {
    let n = x.len() / columns;
    let is_upper = kind & UPPER != 0;
    for step in 0..n {
        let i = if is_upper { n - 1 - step } else { step };
        let (before, rest) = x.split_at_mut(i * columns);
        let (row, after) = rest.split_at_mut(columns);
        for known in 0..step {
            // in the order in which they became known
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
