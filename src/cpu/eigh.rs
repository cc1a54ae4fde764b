//! `eigh` on the CPU: symmetric matrices are reduced to tridiagonal form, whose eigenvalues the implicit QL iteration
//! finds. The iteration rotates pairs of columns of the matrix of eigenvectors. This matrix is stored as strips of 16
//! rows, one row for each SIMD lane (see `factor/mod.rs`).

use super::factor::tridiagonal::reduce;
use super::factor::{MatrixSource, Numbers, Reflectors, Rotations, Sink, StripRow, WIDTH, each_matrix, loops, power};
use super::operands::{Refused, RoutineMemory};
use smallvec::SmallVec;

/// Computes the eigenvalues and eigenvectors of all matrices of a call.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    let params = &call.call.params;
    let (n, with_vectors) = (params[0] as usize, params[1] != 0);
    let source = MatrixSource::of(call);
    let Some(values) = Sink::of(call, 0) else { return Ok(()) };
    let vectors = if with_vectors { Sink::of(call, 1) } else { None };
    let count = call.call.operands[0].meta.size() / (n * n).max(1);
    let work = crate::graph::routine::eigh_work(n, with_vectors);
    let one = |matrix: usize, memory: &mut [f64]| {
        let found = factor(&source, matrix * n * n, n, with_vectors, memory);
        // SAFETY: for each matrix, the results have `n` eigenvalues and `n · n` elements of eigenvectors. Only one task
        // factorises a matrix, so nothing else uses these elements.
        unsafe { write(found.as_ref(), [matrix * n, matrix * n * n], n, values, vectors) };
    };
    each_matrix(call, count, [n, work], one);
    Ok(())
}

/// The result for one matrix: the eigenvalues in any order, the eigenvectors as strips of 16 rows (see [`StripRow`]),
/// and the indices of the eigenvalues in ascending order.
struct Found<'a> {
    values: Numbers,
    strips: &'a [StripRow],
    order: SmallVec<[usize; 32]>,
}

/// Computes the eigenvalues of the matrix that begins at element `first` of the operand and, if `with_vectors` is true,
/// its eigenvectors. `memory` holds the eigenvectors and intermediate values. Returns `None` if an element is not
/// finite or if the iteration does not converge.
fn factor<'a>(
    source: &MatrixSource<'_>,
    first: usize,
    n: usize,
    with_vectors: bool,
    memory: &'a mut [f64],
) -> Option<Found<'a>> {
    let loops = loops();
    // read only the lower triangle, because the upper triangle may contain anything
    let lower = |i: usize| source.exponent([first + i * n, first + i * n + i + 1]);
    let exponent = (0..n).try_fold(i32::MIN, |most, i| Some(most.max(lower(i)?)))?;
    let scale = power(-exponent);
    let (a, rest) = memory.split_at_mut(n * n);
    for i in 0..n {
        for j in i..n {
            a[i * n + j] = source.get(first + mutant!(upper_triangle_read, i * n + j, j * n + i)) * scale;
        }
    }
    let strips = if with_vectors { n.div_ceil(WIDTH) * WIDTH * n } else { 0 };
    let (strips, rest) = rest.split_at_mut(strips);
    let mut reflectors = Reflectors::new(&mut rest[..Reflectors::size(n, n)], n);
    let mut t = reduce(a, n, &mut reflectors, loops);
    let strips = strips.as_chunks_mut().0;
    reflectors.product(strips, loops);
    let mut rotations = Rotations::new(strips, n);
    if !t.solve(&mut rotations, loops) {
        return None;
    }
    let mut order: SmallVec<[usize; 32]> = (0..n).collect();
    order.sort_by(|i, j| t.d[*i].total_cmp(&t.d[*j]));
    let unscale = power(exponent);
    let values = t.d.iter().map(|x| x * unscale).collect();
    Some(Found { values, strips, order })
}

/// Writes the eigenvalues of a matrix to `values`, starting at element `at[0]`, and its eigenvectors to `vectors`,
/// starting at element `at[1]`. If `found` is `None`, writes NaN instead.
///
/// # Safety
/// `values` has `n` elements from `at[0]` on, and `vectors`, if given, has `n · n` elements from `at[1]` on. Nothing
/// else uses these elements meanwhile.
unsafe fn write(found: Option<&Found<'_>>, at: [usize; 2], n: usize, values: Sink, vectors: Option<Sink>) {
    for i in 0..n {
        let x = found.map_or(f64::NAN, |f| f.values[f.order[i]]);
        // SAFETY: `i` is below n, and the caller ensures that n elements begin at `at[0]`, which nothing else uses.
        unsafe { values.set(at[0] + i, x) };
        let Some(vectors) = vectors else { continue };
        for row in 0..n {
            let x = found.map_or(f64::NAN, |f| f.strips[row / WIDTH * n + f.order[i]][row % WIDTH]);
            // SAFETY: `row` and `i` are below n, and the caller ensures that n · n elements begin at `at[1]`, which
            // nothing else uses.
            unsafe { vectors.set(at[1] + row * n + i, x) };
        }
    }
}
