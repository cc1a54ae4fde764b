//! `lu` on the CPU. Tasks share the panels (matrices with few columns) of a batch. The columns of a panel are
//! eliminated in order, [`BLOCK`] columns at a time, in a copy whose rows are adjacent. The columns after a block are
//! updated when all pivots of the block are known. This delay changes no bit, because each element is updated by the
//! same columns in the same order.

use super::linear::{ROWS, Real, compiled, in_tasks, minus_row, minus_rows};
use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::small::{self, Small};
use crate::base::dtype::DType;

/// The number of columns of a block.
pub(super) const BLOCK: usize = 2 * ROWS;

/// Runs the routine `lu` on the operands of `call`.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        each_panel::<f64>(call, of_f64);
    } else {
        // the methods that build the expression have converted every other dtype to f32 or f64
        each_panel::<f32>(call, of_f32);
    }
    Ok(())
}

/// A block of [`BLOCK`] neighbouring columns, as an array of rows.
pub(super) type PanelBlock<T> = [[T; BLOCK]];

/// Factorises a panel in place. The arguments are the panel, its number of columns, the list of its row numbers, and
/// scratch for a block, which has as many rows as the panel. Exchanges rows of the panel as the pivots require, and
/// exchanges the entries of the list in the same way. Returns how many pairs of rows were exchanged.
pub(super) type PanelFunction<T> = fn(&mut [T], usize, &mut [i32], &mut PanelBlock<T>) -> i32;

compiled!(
    pub(super) of_f32,
    factorise::<f32>(panel: &mut [f32], n: usize, order: &mut [i32], block: &mut PanelBlock<f32>) -> i32
);
compiled!(
    pub(super) of_f64,
    factorise::<f64>(panel: &mut [f64], n: usize, order: &mut [i32], block: &mut PanelBlock<f64>) -> i32
);

fn each_panel<T: Small>(call: &mut RoutineMemory<'_>, factorise: PanelFunction<T>) {
    let [rows, columns] = [0, 1].map(|i| call.call.params[i] as usize);
    let (from, Some(to), Some(orders)) = (call.operand::<T>(0), call.result::<T>(0), call.result::<i32>(1)) else {
        return;
    };
    let (to, orders, size) = (SharedTarget(to), SharedTarget(orders), rows * columns);
    if rows.max(columns) <= small::MOST {
        let groups = (from.len() / size).div_ceil(small::WIDTH);
        in_tasks(groups, size * (columns + 8), |[first, end]| {
            let matrices = [first * small::WIDTH, (end * small::WIDTH).min(from.len() / size)];
            // SAFETY: for each matrix, the first result has `rows · columns` elements and the second result has
            // `rows + 1`. Only this task uses the elements of its matrices.
            unsafe { small::lu(from, [rows, columns], matrices, to, orders) };
        });
        return;
    }
    in_tasks(from.len() / size, size * columns / 2 + size, |[first, end]| {
        let mut block = vec![[T::ZERO; BLOCK]; rows];
        for matrix in first..end {
            let from = &from[matrix * size..(matrix + 1) * size];
            // SAFETY: for each matrix, the first result has `rows · columns` elements and the second result has
            // `rows + 1`. Only this task uses the elements of its matrices. They are written before they are read.
            let (panel, order) = unsafe {
                let panel = to.at(matrix * size);
                std::ptr::copy_nonoverlapping(from.as_ptr(), panel, size);
                let order = orders.at(matrix * (rows + 1));
                (0..=rows).for_each(|i| order.add(i).write(i as i32));
                (std::slice::from_raw_parts_mut(panel, size), std::slice::from_raw_parts_mut(order, rows + 1))
            };
            order[rows] = factorise(panel, columns, &mut order[..rows], &mut block);
        }
    });
}

/// Exchanges rows `low` and `high` of `a`, which has `n` columns, except for the columns `first..end` of the current
/// block.
#[inline(always)]
fn exchange<T: Real>(a: &mut [T], n: usize, [low, high]: [usize; 2], [first, end]: [usize; 2]) {
    let (top, rest) = a.split_at_mut(high * n);
    let (x, y) = (&mut top[low * n..(low + 1) * n], &mut rest[..n]);
    x[..first].swap_with_slice(&mut y[..first]);
    x[end..].swap_with_slice(&mut y[end..]);
}

/// Eliminates the columns of a block in order. `first` is the index of the block's first column in the panel, which is
/// also the row of the first pivot. Writes to `pivots` the row that each pivot was exchanged from.
#[inline(always)]
fn eliminate<T: Real>(block: &mut PanelBlock<T>, first: usize, pivots: &mut [usize]) {
    for (c, pivot) in pivots.iter_mut().enumerate() {
        let k = first + c;
        // a comparison with NaN is false, so NaN is the pivot only if it is on the diagonal and all other elements are
        // 0 or NaN
        let mut largest = T::ZERO;
        *pivot = k;
        for (i, row) in block.iter().enumerate().skip(k) {
            let size = row[c].abs();
            if size > largest {
                (*pivot, largest) = (i, size);
            }
        }
        block.swap(k, *pivot);
        let mut top = block[k];
        let divisor = top[c];
        // all columns of the block are updated, because a whole row is a vector. Column `c` and the columns before it
        // must not change here, so `top` is 0 in them
        top[..=c].fill(T::ZERO);
        for row in &mut block[k + 1..] {
            let factor = if divisor != T::ZERO { row[c] / divisor } else { row[c] };
            for j in 0..BLOCK {
                row[j] = row[j] - factor * top[j];
            }
            // this store comes last, because loading a vector from memory where a single number was just stored is slow
            row[c] = factor;
        }
    }
}

/// Factorises one panel, as [`PanelFunction`] describes.
#[inline(always)]
fn factorise<T: Real>(a: &mut [T], n: usize, order: &mut [i32], block: &mut PanelBlock<T>) -> i32 {
    let mut exchanges = 0;
    for first in (0..n).step_by(BLOCK) {
        let end = (first + BLOCK).min(n);
        let width = end - first;
        for (to, from) in block.iter_mut().zip(a.chunks_exact(n)).skip(first) {
            // the compiler inlines a copy of known length; otherwise it calls a function
            match from[first..].first_chunk() {
                Some(whole) if width == BLOCK => *to = *whole,
                _ => to[..width].copy_from_slice(&from[first..end]),
            }
        }
        let mut pivots = [0; BLOCK];
        eliminate(block, first, &mut pivots[..width]);
        for (k, pivot) in (first..end).zip(pivots).filter(|(k, pivot)| k != pivot) {
            mutant!(rows_of_a_panel_stay, (), exchange(a, n, [k, pivot], [first, end]));
            order.swap(k, pivot);
            exchanges += 1;
        }
        for (from, to) in block.iter().zip(a.chunks_exact_mut(n)).skip(first) {
            match to[first..].first_chunk_mut() {
                Some(whole) if width == BLOCK => *whole = *from,
                _ => to[first..end].copy_from_slice(&from[..width]),
            }
        }
        if end == n {
            break;
        }
        // the block has all [`BLOCK`] columns, because only the last block may have fewer, and other columns follow
        // this block
        let (top, below) = a.split_at_mut(end * n);
        let top = &mut top[first * n..];
        for i in 1..BLOCK {
            let (above, row) = top.split_at_mut(i * n);
            for k in 0..i {
                let factor = row[first + k];
                minus_row(&mut row[end..n], factor, &above[k * n + end..(k + 1) * n]);
            }
        }
        for row in below.chunks_exact_mut(n) {
            for half in [0, ROWS] {
                let above = |k: usize| &top[(half + k) * n + end..(half + k + 1) * n];
                let (factors, target) = row[first + half..].split_at_mut(end - first - half);
                let factors = [factors[0], factors[1], factors[2], factors[3]];
                minus_rows(target, factors, [above(0), above(1), above(2), above(3)]);
            }
        }
    }
    exchanges
}
