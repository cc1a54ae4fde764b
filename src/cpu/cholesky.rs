//! `cholesky` on the CPU. Tasks share the matrices of a batch. The lower triangle of each matrix is copied in
//! transposed form and then factorised in place, so that the columns of the lower factor are contiguous.

use super::linear::{Lowest, ROWS, Real, compiled, in_tasks, minus_row, minus_rows};
use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::small::{self, Small};
use crate::base::dtype::DType;
use std::cmp::Ordering;

/// Factorises all matrices of the operand of `call`.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        each_matrix::<f64>(call, of_f64)
    } else {
        // every other dtype has been converted to f32 when the expression was built
        each_matrix::<f32>(call, of_f32)
    }
}

/// Factorises an `n × n` matrix in place, where `n` is the second argument. The matrix is the lower triangle of a
/// symmetric matrix, in transposed form. If a pivot is not positive, stops and returns the pivot's row.
type Function<T> = fn(&mut [T], usize) -> Option<usize>;

compiled!(of_f32, factorise::<f32>(memory: &mut [f32], n: usize) -> Option<usize>);
compiled!(of_f64, factorise::<f64>(memory: &mut [f64], n: usize) -> Option<usize>);

fn each_matrix<T: Small>(call: &mut RoutineMemory<'_>, factorise: Function<T>) -> Result<(), Refused> {
    let n = call.call.params[0] as usize;
    let (from, Some(to)) = (call.operand::<T>(0), call.result::<T>(0)) else { return Ok(()) };
    let (to, lowest) = (SharedTarget(to), Lowest::new());
    if n <= small::MOST {
        let count = from.len() / (n * n);
        in_tasks(count.div_ceil(small::WIDTH), n * n * (n + 8), |[first, end]| {
            let matrices = [first * small::WIDTH, (end * small::WIDTH).min(count)];
            // SAFETY: the result has as many elements as the operand, and only this task uses these matrices.
            unsafe { small::cholesky(from, n, matrices, to, &lowest) };
        });
        return lowest.found().map_or(Ok(()), |place| Err(Refused(place)));
    }
    in_tasks(from.len() / (n * n), n * n * n / 6 + n * n, |[first, end]| {
        let mut memory = vec![T::ZERO; n * n];
        for matrix in first..end {
            let from = &from[matrix * n * n..(matrix + 1) * n * n];
            for (i, row) in from.chunks_exact(n).enumerate() {
                memory[i..].iter_mut().step_by(n).zip(&row[..=i]).for_each(|(to, x)| *to = *x);
            }
            if let Some(row) = factorise(&mut memory, n) {
                lowest.note(matrix * n + row);
            }
            // SAFETY: the result has as many elements as the operand, and only this task uses this matrix. The memory
            // is filled with zeros before the slice is created, so all elements are initialised.
            let result = unsafe {
                let result = to.at(matrix * n * n);
                std::ptr::write_bytes(result, 0, n * n);
                std::slice::from_raw_parts_mut(result, n * n)
            };
            for (i, row) in result.chunks_exact_mut(n).enumerate() {
                row[..=i].iter_mut().zip(memory[i..].iter().step_by(n)).for_each(|(to, x)| *to = *x);
            }
        }
    });
    lowest.found().map_or(Ok(()), |place| Err(Refused(place)))
}

/// Factorises one matrix, as [`Function`] describes. Subtracts multiples of each row from all later rows, for [`ROWS`]
/// rows at a time.
#[inline(always)]
fn factorise<T: Real>(u: &mut [T], n: usize) -> Option<usize> {
    for first in (0..n).step_by(ROWS) {
        let end = (first + ROWS).min(n);
        for k in first..end {
            let (top, below) = u.split_at_mut((k + 1) * n);
            let row = &mut top[k * n..];
            if row[k].partial_cmp(&T::ZERO) != Some(Ordering::Greater) {
                return Some(k);
            }
            let root = row[k].sqrt();
            row[k] = root;
            for x in &mut row[k + 1..] {
                *x = *x / root;
            }
            for i in k + 1..end {
                minus_row(&mut below[(i - k - 1) * n + i..(i - k) * n], row[i], &row[i..]);
            }
        }
        let (top, below) = u.split_at_mut(end * n);
        let Some(rows) = top.get(first * n..).filter(|rows| rows.len() == ROWS * n) else { break };
        for i in end..n {
            let part = |k: usize| &rows[k * n + i..(k + 1) * n];
            let [a, b, c, d] = [part(0), part(1), part(2), part(3)];
            let target = &mut below[(i - end) * n + i..(i - end + 1) * n];
            minus_rows(target, [a[0], b[0], c[0], d[0]], [a, b, c, d]);
        }
    }
    None
}
