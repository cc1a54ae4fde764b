//! `solve_triangular` on the CPU. The columns of the right-hand sides are cut into blocks, which tasks share. A task
//! copies a block to memory of its own, solves the system there, and copies the solution to the result.

use super::linear::{Lowest, ROWS, Real, compiled, in_tasks, minus_row, minus_rows};
use super::operands::{Refused, RoutineMemory, SharedTarget};
use super::small::{self, Small};
use crate::base::dtype::DType;
use crate::graph::routine::{UNIT, UPPER};

/// The maximum number of columns of a block. 64 rows of 64 f64 are 32 KiB, which fit into an L1 cache.
const COLUMNS: usize = 64;

/// Runs the routine `solve_triangular` on the operands of `call`.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    if call.call.operands[0].meta.dtype == DType::F64 {
        each_block::<f64>(call, of_f64)
    } else {
        // the methods that build the expression have converted every other dtype to f32 or f64
        each_block::<f32>(call, of_f32)
    }
}

/// Solves a triangular system in place. The arguments are the matrix, the block of right-hand sides (which the solution
/// replaces), the number of columns of the block, and the kind of the system (bits such as [`UPPER`]).
pub(super) type SubstituteFunction<T> = fn(&[T], &mut [T], usize, u64);

compiled!(pub(super) of_f32, substitute::<f32>(a: &[f32], block: &mut [f32], columns: usize, kind: u64) -> ());
compiled!(pub(super) of_f64, substitute::<f64>(a: &[f64], block: &mut [f64], columns: usize, kind: u64) -> ());

fn each_block<T: Small>(call: &mut RoutineMemory<'_>, substitute: SubstituteFunction<T>) -> Result<(), Refused> {
    let params = &call.call.params;
    let (n, kind, columns) = (params[0] as usize, params[3], params[4] as usize);
    let (a, from, Some(to)) = (call.operand::<T>(0), call.operand::<T>(1), call.result::<T>(0)) else { return Ok(()) };
    let (to, lowest, blocks) = (SharedTarget(to), Lowest::new(), columns.div_ceil(COLUMNS));
    if n <= small::MOST && n * columns <= small::MOST * small::MOST {
        let systems = from.len() / (n * columns);
        in_tasks(systems.div_ceil(small::WIDTH), n * (n + 4) * (columns + 4), |[first, end]| {
            let systems = [first * small::WIDTH, (end * small::WIDTH).min(systems)];
            // SAFETY: the result has as many elements as the right-hand sides, and only this task writes these systems.
            unsafe { small::solve_triangular([a, from], [n, columns], kind, systems, to, &lowest) };
        });
        return lowest.found().map_or(Ok(()), |place| Err(Refused(place)));
    }
    let width = columns.min(COLUMNS);
    in_tasks(from.len() / (n * columns) * blocks, n * (n / 2 + 4) * width, |[first, end]| {
        let mut memory = vec![T::ZERO; n * width];
        for unit in first..end {
            let (matrix, column) = (unit / blocks, unit % blocks * COLUMNS);
            let width = width.min(columns - column);
            let a = &a[matrix * n * n..(matrix + 1) * n * n];
            if let (0, Some(row)) = (kind & UNIT, (0..n).find(|i| a[i * n + i] == T::ZERO)) {
                lowest.note(matrix * n + row);
            }
            let block = &mut memory[..n * width];
            for (i, row) in block.chunks_exact_mut(width).enumerate() {
                let at = (matrix * n + i) * columns + column;
                row.copy_from_slice(&from[at..at + width]);
            }
            substitute(a, block, width, kind);
            for (i, row) in block.chunks_exact(width).enumerate() {
                let target = to.at((matrix * n + i) * columns + column);
                // SAFETY: the result has as many elements as the right-hand sides, and only this task writes these
                // columns.
                unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), target, width) };
            }
        }
    });
    lowest.found().map_or(Ok(()), |place| Err(Refused(place)))
}

/// Solves one system, as [`SubstituteFunction`] describes.
#[inline(always)]
fn substitute<T: Real>(a: &[T], x: &mut [T], columns: usize, kind: u64) {
    let n = x.len() / columns;
    let is_upper = kind & UPPER != 0;
    if columns == 1 {
        return substitute_one(a, x, kind);
    }
    for step in 0..n {
        let i = if is_upper { n - 1 - step } else { step };
        let (before, rest) = x.split_at_mut(i * columns);
        let (row, after) = rest.split_at_mut(columns);
        // the rows of the solution that are already known, and the elements of the matrix that multiply them
        let (known, factors) =
            if is_upper { (&*after, &a[i * n + i + 1..(i + 1) * n]) } else { (&*before, &a[i * n..i * n + i]) };
        // the known rows are subtracted in the order in which they were computed
        let place = |k: usize| if is_upper { factors.len() - 1 - k } else { k };
        let whole = factors.len() / ROWS * ROWS;
        for k in (0..whole).step_by(ROWS) {
            let [a, b, c, d] = [place(k), place(k + 1), place(k + 2), place(k + 3)];
            let known = |at: usize| &known[at * columns..(at + 1) * columns];
            let rows = [known(a), known(b), known(c), known(d)];
            minus_rows(row, [factors[a], factors[b], factors[c], factors[d]], rows);
        }
        for at in (whole..factors.len()).map(place) {
            minus_row(row, factors[at], &known[at * columns..(at + 1) * columns]);
        }
        if kind & UNIT == 0 {
            let pivot = a[i * n + i];
            for x in row {
                *x = *x / pivot;
            }
        }
    }
}

/// Solves a system for one right-hand side. Each element is computed by the same operations in the same order as in
/// [`substitute`]. But as soon as an element is known, it is subtracted from all later ones, and these subtractions do
/// not depend on each other.
#[inline(always)]
fn substitute_one<T: Real>(a: &[T], x: &mut [T], kind: u64) {
    let n = x.len();
    let is_upper = kind & UPPER != 0;
    for step in 0..n {
        let i = if is_upper { n - 1 - step } else { step };
        if kind & UNIT == 0 {
            x[i] = x[i] / a[i * n + i];
        }
        let known = x[i];
        let later = if is_upper { 0..i } else { i + 1..n };
        for (x, row) in x[later.clone()].iter_mut().zip(a[later.start * n..].chunks_exact(n)) {
            *x = *x - row[i] * known;
        }
    }
}
