//! `lu` on the CPU: one panel after another, in tasks. Columns are eliminated in order, a block of them at a time: the columns
//! behind the block are updated when all its pivots are known, which changes no bit, because each element is updated by the
//! same columns in the same order.

use super::linear::{ROWS, Real, compiled, in_tasks, minus_row, minus_rows};
use super::operands::{Operands, Refused, Target};
use crate::base::dtype::DType;

/// The columns of a block.
const BLOCK: usize = 2 * ROWS;

/// Runs the routine.
pub(super) fn run(call: &mut Operands<'_>) -> Result<(), Refused> {
    match call.call.operands[0].meta.dtype {
        DType::F64 => each_panel::<f64>(call, of_f64),
        // the methods convert every other dtype
        _ => each_panel::<f32>(call, of_f32),
    }
    Ok(())
}

/// Factorises a panel of as many columns, and puts its rows in order, also in the list of their numbers. Returns how many
/// pairs of rows it has exchanged.
type Function<T> = fn(&mut [T], usize, &mut [i32]) -> i32;

compiled!(of_f32, factorise::<f32>(panel: &mut [f32], columns: usize, order: &mut [i32]) -> i32);
compiled!(of_f64, factorise::<f64>(panel: &mut [f64], columns: usize, order: &mut [i32]) -> i32);

fn each_panel<T: Real>(call: &mut Operands<'_>, factorise: Function<T>) {
    let [rows, columns] = [0, 1].map(|i| call.call.params[i] as usize);
    let (from, Some(to), Some(orders)) = (call.operand::<T>(0), call.result::<T>(0), call.result::<i32>(1)) else {
        return;
    };
    let (to, orders, size) = (Target(to), Target(orders), rows * columns);
    in_tasks(from.len() / size, size * columns / 2 + size, |[first, end]| {
        for matrix in first..end {
            let from = &from[matrix * size..(matrix + 1) * size];
            // SAFETY: the results have `rows · columns` and `rows + 1` elements for each matrix, which only this task uses.
            // They are written before they are read.
            let (panel, order) = unsafe {
                let panel = to.at(matrix * size);
                std::ptr::copy_nonoverlapping(from.as_ptr(), panel, size);
                let order = orders.at(matrix * (rows + 1));
                (0..=rows).for_each(|i| order.add(i).write(i as i32));
                (std::slice::from_raw_parts_mut(panel, size), std::slice::from_raw_parts_mut(order, rows + 1))
            };
            order[rows] = factorise(panel, columns, &mut order[..rows]);
        }
    });
}

/// Exchanges two different rows.
#[inline(always)]
fn exchange<T: Real>(a: &mut [T], n: usize, low: usize, high: usize) {
    let (top, rest) = a.split_at_mut(high * n);
    top[low * n..(low + 1) * n].swap_with_slice(&mut rest[..n]);
}

/// See [`Function`].
#[inline(always)]
fn factorise<T: Real>(a: &mut [T], n: usize, order: &mut [i32]) -> i32 {
    let m = order.len();
    let mut exchanges = 0;
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        for k in first..end {
            // a comparison with NaN is false, so NaN is a pivot only where all others are 0
            let (mut pivot, mut largest) = (k, T::ZERO);
            for i in k..m {
                let size = a[i * n + k].abs();
                if size > largest {
                    (pivot, largest) = (i, size);
                }
            }
            if pivot != k {
                exchange(a, n, k, pivot);
                order.swap(k, pivot);
                exchanges += 1;
            }
            let (top, below) = a.split_at_mut((k + 1) * n);
            let top = &top[k * n..];
            for row in below.chunks_exact_mut(n) {
                if top[k] != T::ZERO {
                    row[k] = row[k] / top[k];
                }
                let factor = row[k];
                minus_row(&mut row[k + 1..end], factor, &top[k + 1..end]);
            }
        }
        let (top, below) = a.split_at_mut(end * n);
        let top = &mut top[first * n..];
        for i in 1..end - first {
            let (above, row) = top.split_at_mut(i * n);
            for k in 0..i {
                let factor = row[first + k];
                minus_row(&mut row[end..n], factor, &above[k * n + end..(k + 1) * n]);
            }
        }
        if end == n {
            break;
        }
        // the block is whole, because columns follow
        for row in below.chunks_exact_mut(n) {
            for half in [0, ROWS] {
                let rows: [&[T]; ROWS] = std::array::from_fn(|k| &top[(half + k) * n + end..(half + k + 1) * n]);
                let factors = std::array::from_fn(|k| row[first + half + k]);
                minus_rows(&mut row[end..], factors, rows);
            }
        }
    }
    exchanges
}
