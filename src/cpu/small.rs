//! `lu`, `solve_triangular`, `solve` and `cholesky` for batches of small matrices. 16 matrices are computed together:
//! each SIMD lane computes another matrix. A lane does the same operations in the same order as `lu.rs`,
//! `triangular.rs` and `cholesky.rs`, so only NaN and the signs of zeros may differ from their results. This file
//! computes every matrix that is small enough, whatever the size of the batch. So a matrix has the same bits alone and
//! in a batch.

// a loop over lanes uses its index for several arrays
#![allow(clippy::needless_range_loop)]

use super::linear::{Lowest, Real, compiled};
use super::operands::SharedTarget;
use super::transpose::transpose;
use crate::graph::routine::{MOST_IN_LANES, UNIT, UPPER};

/// The number of matrices that are computed together.
pub(super) const WIDTH: usize = 16;

/// The maximum number of rows and of columns of a small matrix.
pub(super) const MOST: usize = MOST_IN_LANES;

/// The elements of [`WIDTH`] matrices at the same row and column, one for each lane.
type Lanes<T> = [T; WIDTH];

/// Copies up to [`WIDTH`] matrices from contiguous memory to the lanes. Each matrix has `to.len()` elements. Lanes
/// without a matrix are filled with 0.
fn load<T: Real>(from: &[T], to: &mut [Lanes<T>]) {
    let (size, count) = (to.len(), (from.len() / to.len()).min(WIDTH));
    if count < WIDTH {
        to.fill([T::ZERO; WIDTH]);
    }
    // SAFETY: the source has `count` matrices of `size` elements, and the target has `size` rows of [`WIDTH`] lanes.
    // They do not overlap, because the target is borrowed mutably.
    unsafe { transpose(from.as_ptr(), size as isize, to.as_mut_ptr().cast(), WIDTH as isize, size, count) };
}

/// Copies the first `count` lanes to `count` matrices, one after another in memory.
///
/// # Safety
/// The target has `count · from.len()` elements from element `first` on, and nothing else uses these elements during
/// the call. `count` is at most [`WIDTH`].
unsafe fn store<T: Copy>(from: &[Lanes<T>], to: SharedTarget<T>, first: usize, count: usize) {
    let size = from.len();
    // SAFETY: the source has `size` rows of [`WIDTH`] lanes. The caller ensures that the target's elements exist and
    // that nothing else uses them.
    unsafe { transpose(from.as_ptr().cast::<T>(), WIDTH as isize, to.at(first), size as isize, count, size) };
}

/// Factorises the matrices of all lanes in place, with row exchanges. The arguments are the matrices, their number of
/// columns, a list, and right-hand sides. The list holds the row numbers and, as its last entry, the number of
/// exchanged pairs of rows. The right-hand sides have as many rows as the matrices, or none. They are replaced by the
/// solutions for the lower triangular factors.
type Factorise<T> = fn(&mut [Lanes<T>], usize, &mut [Lanes<i32>], &mut [Lanes<T>]);

compiled!(
    factors_of_f32,
    factorise::<f32>(a: &mut [Lanes<f32>], n: usize, order: &mut [Lanes<i32>], x: &mut [Lanes<f32>]) -> ()
);
compiled!(
    factors_of_f64,
    factorise::<f64>(a: &mut [Lanes<f64>], n: usize, order: &mut [Lanes<i32>], x: &mut [Lanes<f64>]) -> ()
);

/// An element type with its functions for [`WIDTH`] matrices at once.
pub(super) trait Small: Real {
    const FACTORISE: Factorise<Self>;
    const SUBSTITUTE: Substitute<Self>;
    const CHOLESKY: Cholesky<Self>;
}

impl Small for f32 {
    const FACTORISE: Factorise<f32> = factors_of_f32;
    const SUBSTITUTE: Substitute<f32> = solutions_of_f32;
    const CHOLESKY: Cholesky<f32> = lower_of_f32;
}

impl Small for f64 {
    const FACTORISE: Factorise<f64> = factors_of_f64;
    const SUBSTITUTE: Substitute<f64> = solutions_of_f64;
    const CHOLESKY: Cholesky<f64> = lower_of_f64;
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
        T::FACTORISE(&mut a, columns, &mut order, &mut []);
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe {
            store(&a, to, matrix * size, count);
            store(&order, orders, matrix * (rows + 1), count);
        }
    }
}

/// Factorises the matrices of all lanes, as [`Factorise`] describes.
#[inline(always)]
fn factorise<T: Real + Swapped>(a: &mut [Lanes<T>], n: usize, order: &mut [Lanes<i32>], right: &mut [Lanes<T>]) {
    let rows = order.len() - 1;
    let columns = right.len() / rows;
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
            if !pivot.contains(&(i as i32)) {
                continue;
            }
            let (top, below) = a.split_at_mut(i * n);
            for (x, y) in top[k * n..(k + 1) * n].iter_mut().zip(below) {
                exchange(x, y, &pivot, i as i32);
            }
            let (top, below) = right.split_at_mut(i * columns);
            for (x, y) in top[k * columns..].iter_mut().take(columns).zip(below) {
                exchange(x, y, &pivot, i as i32);
            }
            let (top, below) = order.split_at_mut(i);
            exchange(&mut top[k], &mut below[0], &pivot, i as i32);
            for l in 0..WIDTH {
                order[rows][l] += i32::from(pivot[l] == i as i32);
            }
        }
        let (top, below) = a.split_at_mut((k + 1) * n);
        let top = &top[k * n..];
        let (known, unknown) = right.split_at_mut((k + 1) * columns);
        let known = &known[k * columns..];
        for (i, row) in below.chunks_exact_mut(n).enumerate() {
            let mut factor = row[k];
            for l in 0..WIDTH {
                let divided = factor[l] / top[k][l];
                factor[l] = if top[k][l] != T::ZERO { divided } else { factor[l] };
            }
            row[k] = factor;
            for (x, y) in row[k + 1..].iter_mut().zip(&top[k + 1..]) {
                minus(x, &factor, y);
            }
            for (x, y) in unknown[i * columns..].iter_mut().zip(known) {
                minus(x, &factor, y);
            }
        }
    }
}

/// Subtracts the product of `factor` and `y` from `x` in every lane. The lanes are copied first, because the compiler
/// uses vectors only if it knows that the operands do not overlap.
#[inline(always)]
fn minus<T: Real>(x: &mut Lanes<T>, factor: &Lanes<T>, y: &Lanes<T>) {
    let (mut rest, y) = (*x, *y);
    for l in 0..WIDTH {
        rest[l] = rest[l] - factor[l] * y[l];
    }
    *x = rest;
}

/// An element of lanes whose values can be exchanged.
trait Swapped: Copy {
    /// Returns `a` and `b`, exchanged if `is_chosen` is true. The bits are combined by integer operations, because for
    /// a plain choice the compiler emits masked stores, which are slow on some CPUs.
    fn swapped(a: Self, b: Self, is_chosen: bool) -> [Self; 2];
}

macro_rules! swapped {
    ($t:ty, $bits:ty, $to:expr, $from:expr) => {
        impl Swapped for $t {
            #[inline(always)]
            fn swapped(a: $t, b: $t, is_chosen: bool) -> [$t; 2] {
                let (a, b): ($bits, $bits) = ($to(a), $to(b));
                let difference = (a ^ b) & (is_chosen as $bits).wrapping_neg();
                [$from(a ^ difference), $from(b ^ difference)]
            }
        }
    };
}
swapped!(f32, u32, f32::to_bits, f32::from_bits);
swapped!(f64, u64, f64::to_bits, f64::from_bits);
swapped!(i32, i32, i32::from, i32::from);

/// Exchanges `x` and `y` in the lanes in which `pivot` is `row`. As in [`minus`], the lanes are copied first.
#[inline(always)]
fn exchange<T: Swapped>(x: &mut Lanes<T>, y: &mut Lanes<T>, pivot: &Lanes<i32>, row: i32) {
    let (mut a, mut b) = (*x, *y);
    for l in 0..WIDTH {
        [a[l], b[l]] = T::swapped(a[l], b[l], pivot[l] == row);
    }
    (*x, *y) = (a, b);
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
            note_zeros(&matrices, n, matrix, count, lowest);
        }
        T::SUBSTITUTE(&matrices, &mut x, columns, kind);
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe { store(&x, to, matrix * n * columns, count) };
    }
}

/// Computes the lower Cholesky factors of the symmetric matrices of all lanes in place. The arguments are the matrices,
/// of which only the lower triangle is read, and their number of rows. Returns for each lane the first row whose pivot
/// is not positive, or the number of rows.
type Cholesky<T> = fn(&mut [Lanes<T>], usize) -> Lanes<i32>;

compiled!(lower_of_f32, lower::<f32>(a: &mut [Lanes<f32>], n: usize) -> Lanes<i32>);
compiled!(lower_of_f64, lower::<f64>(a: &mut [Lanes<f64>], n: usize) -> Lanes<i32>);

/// Computes the lower Cholesky factors of the matrices with the indices `first..end`, each with `n` rows. Records in
/// `lowest` the rows whose pivot is not positive.
///
/// # Safety
/// `to` has as many elements as `from`, and nothing else uses the elements of these matrices during the call.
pub(super) unsafe fn cholesky<T: Small>(
    from: &[T],
    n: usize,
    [first, end]: [usize; 2],
    to: SharedTarget<T>,
    lowest: &Lowest,
) {
    let mut a = vec![[T::ZERO; WIDTH]; n * n];
    for matrix in (first..end).step_by(WIDTH) {
        let count = WIDTH.min(end - matrix);
        load(&from[matrix * n * n..(matrix + count) * n * n], &mut a);
        let refused = T::CHOLESKY(&mut a, n);
        for (lane, row) in refused.iter().enumerate().take(count).filter(|(_, row)| **row < n as i32) {
            lowest.note((matrix + lane) * n + *row as usize);
        }
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe { store(&a, to, matrix * n * n, count) };
    }
}

/// Computes the factors of all lanes, as [`Cholesky`] describes.
#[inline(always)]
fn lower<T: Real>(a: &mut [Lanes<T>], n: usize) -> Lanes<i32> {
    let mut refused = [n as i32; WIDTH];
    for k in 0..n {
        let mut pivot = a[k * n + k];
        for l in 0..WIDTH {
            // a comparison with NaN is false
            let row = if pivot[l] > T::ZERO { n as i32 } else { k as i32 };
            refused[l] = refused[l].min(row);
            pivot[l] = pivot[l].sqrt();
        }
        a[k * n + k] = pivot;
        a[k * n + k + 1..(k + 1) * n].fill([T::ZERO; WIDTH]);
        for i in k + 1..n {
            let mut factor = a[i * n + k];
            for l in 0..WIDTH {
                factor[l] = factor[l] / pivot[l];
            }
            a[i * n + k] = factor;
            for j in k + 1..=i {
                let y = a[j * n + k];
                minus(&mut a[i * n + j], &factor, &y);
            }
        }
    }
    refused
}

/// Square matrices `a` of `n` rows, their right-hand sides `b` of `columns` columns, and the results: the solutions
/// `x`, and the factors with the order of their rows if they are wanted.
pub(super) struct SmallSystems<'a, T> {
    pub a: &'a [T],
    pub b: &'a [T],
    pub n: usize,
    pub columns: usize,
    pub x: SharedTarget<T>,
    pub factors: Option<(SharedTarget<T>, SharedTarget<i32>)>,
}

/// Solves the systems with the indices `first..end`. Records in `lowest` the rows in which a pivot is 0.
///
/// # Safety
/// For each system, `x` has `n · columns` elements, the factors have `n · n`, and the order has `n + 1`. Nothing else
/// uses these elements during the call.
pub(super) unsafe fn solve<T: Small>(systems: &SmallSystems<'_, T>, [first, end]: [usize; 2], lowest: &Lowest) {
    let &SmallSystems { a, b, n, columns, x, factors } = systems;
    let (mut packed, mut right) = (vec![[T::ZERO; WIDTH]; n * n], vec![[T::ZERO; WIDTH]; n * columns]);
    let mut order = vec![[0; WIDTH]; n + 1];
    for matrix in (first..end).step_by(WIDTH) {
        let count = WIDTH.min(end - matrix);
        load(&a[matrix * n * n..(matrix + count) * n * n], &mut packed);
        load(&b[matrix * n * columns..(matrix + count) * n * columns], &mut right);
        (0..n).for_each(|i| order[i] = [i as i32; WIDTH]);
        order[n] = [0; WIDTH];
        T::FACTORISE(&mut packed, n, &mut order, &mut right);
        note_zeros(&packed, n, matrix, count, lowest);
        T::SUBSTITUTE(&packed, &mut right, columns, UPPER);
        // SAFETY: the caller ensures that these elements exist and that nothing else uses them.
        unsafe {
            store(&right, x, matrix * n * columns, count);
            if let Some((factors, orders)) = factors {
                store(&packed, factors, matrix * n * n, count);
                store(&order, orders, matrix * (n + 1), count);
            }
        }
    }
}

/// Records in `lowest` the first row with a 0 on the diagonal, for each of `count` matrices of `n` rows. The matrix of
/// the first lane has the index `first`.
fn note_zeros<T: Real>(a: &[Lanes<T>], n: usize, first: usize, count: usize, lowest: &Lowest) {
    for lane in 0..count {
        if let Some(row) = (0..n).find(|i| a[i * n + i][lane] == T::ZERO) {
            lowest.note((first + lane) * n + row);
        }
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
            let factor = a[i * n + k];
            let above = if is_upper { &after[(k - i - 1) * columns..] } else { &before[k * columns..] };
            for (x, y) in row.iter_mut().zip(above) {
                minus(x, &factor, y);
            }
        }
        if kind & UNIT == 0 {
            let pivot = a[i * n + i];
            for x in row {
                let mut quotient = *x;
                for l in 0..WIDTH {
                    quotient[l] = quotient[l] / pivot[l];
                }
                *x = quotient;
            }
        }
    }
}
