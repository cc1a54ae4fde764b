//! Folds rows of a few elements, each in one lane: several rows at the same time, so that the elements at one place of
//! these rows fill a vector register.

// the loops run over the lanes of several arrays
#![allow(clippy::needless_range_loop)]

use super::row_source::RowSource;
use super::squares::SIDE;

/// The number of rows that are folded together. More were measured to be slower.
const TOGETHER: usize = 8;

/// Sets each element of `out` to the fold of the `n` elements of a row, from the first to the last.
///
/// # Safety
/// The source has `n` elements for each element of `out`, and `n` is at least 1.
#[inline(always)]
pub(super) unsafe fn short_rows<S: RowSource>(n: usize, source: S, out: &mut [S::Element]) {
    let rows = out.len();
    let turns = size_of::<S::Element>() == 4 && n >= SIDE;
    // SAFETY: the rows exist, and have at least `SIDE` elements each if they are read as squares.
    unsafe {
        if rows < TOGETHER {
            for (row, out) in out.iter_mut().enumerate() {
                [*out] = row_by_row::<1, S>(n, source.row(row));
            }
            return;
        }
        // the last group may fold some rows of the group before it again, with the same results
        let out = out.as_mut_ptr();
        if turns {
            for row in (0..rows).step_by(TOGETHER) {
                let row = row.min(rows - TOGETHER);
                *out.add(row).cast::<[[S::Element; SIDE]; 2]>() = by_squares(n, source.row(row));
            }
            return;
        }
        for row in (0..rows).step_by(TOGETHER) {
            let row = row.min(rows - TOGETHER);
            *out.add(row).cast::<[S::Element; TOGETHER]>() = row_by_row::<TOGETHER, S>(n, source.row(row));
        }
    }
}

/// Folds `R` rows, whose elements are read one by one.
///
/// # Safety
/// The source has `n` elements in each of `R` rows, and `n` is at least 1.
#[inline(always)]
unsafe fn row_by_row<const R: usize, S: RowSource>(n: usize, source: S) -> [S::Element; R] {
    // SAFETY: the caller ensures that the elements exist.
    unsafe {
        let mut lanes = [source.read(0); R];
        for r in 1..R {
            lanes[r] = source.row(r).read(0);
        }
        for i in 1..n {
            for r in 0..R {
                lanes[r] = S::combine(lanes[r], source.row(r).read(i));
            }
        }
        lanes
    }
}

/// Folds [`TOGETHER`] rows, whose elements are read in squares and transposed.
///
/// # Safety
/// The source has `n` elements in each of [`TOGETHER`] rows, and `n` is at least [`SIDE`].
#[inline(always)]
unsafe fn by_squares<S: RowSource>(n: usize, source: S) -> [[S::Element; SIDE]; 2] {
    // SAFETY: the caller ensures that the elements exist: the first square begins at 0, and the last one ends at `n`.
    unsafe {
        let below = source.row(SIDE);
        let squares = [source.columns(0), below.columns(0)];
        let mut lanes = [squares[0][0], squares[1][0]];
        add_columns::<S>(&mut lanes, &squares, 1);
        let mut done = SIDE;
        while done < n {
            // the first columns of the last square may be in the square before it, too
            let from = done.min(n - SIDE);
            let first = mutant!(last_square_twice, 0, done - from);
            add_columns::<S>(&mut lanes, &[source.columns(from), below.columns(from)], first);
            done += SIDE;
        }
        lanes
    }
}

/// Combines the columns of two squares, from column `first` on, into the lanes of their rows.
#[inline(always)]
fn add_columns<S: RowSource>(
    lanes: &mut [[S::Element; SIDE]; 2],
    columns: &[[[S::Element; SIDE]; SIDE]; 2],
    first: usize,
) {
    for i in 0..SIDE {
        if i >= first {
            for half in 0..2 {
                for r in 0..SIDE {
                    lanes[half][r] = S::combine(lanes[half][r], columns[half][i][r]);
                }
            }
        }
    }
}
