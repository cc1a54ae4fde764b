//! `svd` on the CPU: square matrices are reduced to bidiagonal form, and the implicit QR iteration then finds the
//! singular values. The matrices of singular vectors are stored as strips of 16 neighbouring rows (see
//! `factor/mod.rs`). Each rotation of the iteration combines two columns of such a matrix, for all rows of a strip
//! together, one row in each SIMD lane.

use super::factor::bidiagonal::reduce;
use super::factor::{MatrixSource, Numbers, Reflectors, Rotations, Sink, StripRow, WIDTH, each_matrix, loops, power};
use super::operands::{Refused, RoutineMemory};
use smallvec::SmallVec;

/// Runs the routine `svd` for all matrices of a call.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    let params = &call.call.params;
    let (n, with_vectors) = (params[0] as usize, params[1] != 0);
    let source = MatrixSource::of(call);
    let Some(values) = Sink::of(call, 0) else { return Ok(()) };
    let vectors = if with_vectors { Sink::of(call, 1).zip(Sink::of(call, 2)) } else { None };
    let count = call.call.operands[0].meta.size() / (n * n).max(1);
    let work = crate::graph::routine::svd_work(n, with_vectors);
    let one = |matrix: usize, memory: &mut [f64]| {
        let found = factor(&source, matrix * n * n, n, with_vectors, memory);
        // SAFETY: for each matrix, the results have `n` singular values, `n · n` elements of left vectors, and as many
        // of right vectors. Only one task factorises a matrix, so nothing else uses these elements.
        unsafe { write(found.as_ref(), [matrix * n, matrix * n * n], n, values, vectors) };
    };
    each_matrix(call, count, [n, work], one);
    Ok(())
}

/// The factors of one square matrix: the singular values in any order and with either sign, the strips that hold the
/// left and the right singular vectors (see [`StripRow`]), and the indices of the values in descending order of
/// magnitude.
struct Found<'a> {
    values: Numbers,
    left: &'a [StripRow],
    right: &'a [StripRow],
    order: SmallVec<[usize; 32]>,
}

/// Computes the singular values of the matrix that begins at element `first` of the operand, and with `with_vectors`
/// also its singular vectors. `memory` holds the vectors and intermediate values. Returns `None` if an element is not
/// finite, or if the iteration does not converge.
fn factor<'a>(
    source: &MatrixSource<'_>,
    first: usize,
    n: usize,
    with_vectors: bool,
    memory: &'a mut [f64],
) -> Option<Found<'a>> {
    let loops = loops();
    let exponent = source.exponent([first, first + n * n])?;
    let scale = power(-exponent);
    let (a, rest) = memory.split_at_mut(n * n);
    a.iter_mut().enumerate().for_each(|(i, x)| *x = source.get(first + i) * scale);
    let strips = if with_vectors { n.div_ceil(WIDTH) * WIDTH * n } else { 0 };
    let (left, rest) = rest.split_at_mut(strips);
    let (right, rest) = rest.split_at_mut(strips);
    let (of_left, rest) = rest.split_at_mut(Reflectors::size(n, n));
    let mut of_left = Reflectors::new(of_left, n);
    let mut of_right = Reflectors::new(&mut rest[..Reflectors::size(n, n)], n);
    let mut b = reduce(a, n, [&mut of_left, &mut of_right], loops);
    let [left, right] = [left, right].map(|strips| strips.as_chunks_mut().0);
    of_left.product(left, loops);
    of_right.product(right, loops);
    let (mut on_left, mut on_right) = (Rotations::new(left, n), Rotations::new(right, n));
    if !b.solve([&mut on_left, &mut on_right], loops) {
        return None;
    }
    let mut order: SmallVec<[usize; 32]> = (0..n).collect();
    order.sort_by(|i, j| b.d[*j].abs().total_cmp(&b.d[*i].abs()));
    let unscale = power(exponent);
    let values = b.d.iter().map(|x| x * unscale).collect();
    Some(Found { values, left, right, order })
}

/// Writes the singular values of a matrix from element `at[0]` of `values` on, and its left and right singular vectors
/// from element `at[1]` of each result in `vectors` on. If `found` is `None`, all these elements become NaN.
///
/// # Safety
/// `values` has `n` elements from `at[0]` on, and each result in `vectors`, if given, has `n · n` elements from `at[1]`
/// on. Nothing else uses these elements meanwhile.
unsafe fn write(found: Option<&Found<'_>>, at: [usize; 2], n: usize, values: Sink, vectors: Option<(Sink, Sink)>) {
    let part = |strips: &[StripRow], row: usize, i: usize| strips[row / WIDTH * n + i][row % WIDTH];
    for i in 0..n {
        let x = found.map_or(f64::NAN, |f| f.values[f.order[i]]);
        // SAFETY: `i` is below n, and the caller ensures that n elements begin at `at[0]`, which nothing else uses.
        unsafe { values.set(at[0] + i, x.abs()) };
        let Some((left, right)) = vectors else { continue };
        for row in 0..n {
            let u = found.map_or(f64::NAN, |f| part(f.left, row, f.order[i]));
            // `values` gets the absolute value, so the right vector of a negative value is negated
            let v = found.map_or(f64::NAN, |f| part(f.right, row, f.order[i]) * 1f64.copysign(x));
            // SAFETY: `row` and `i` are below n, and the caller ensures that n · n elements of `left` and of `right`
            // begin at `at[1]`, which nothing else uses.
            unsafe {
                left.set(at[1] + row * n + i, u);
                right.set(at[1] + i * n + row, v);
            }
        }
    }
}
