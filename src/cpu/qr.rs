//! `qr` on the CPU by Householder reflectors, which are applied in groups of four. Q and R are stored as strips of 16
//! neighbouring columns (see `factor/mod.rs`), so that each SIMD lane works on one column. Threads share the strips of
//! a large matrix.

use super::factor::{
    FactorLoops, MatrixSource, Numbers, Reflectors, Sink, StripRow, WIDTH, each_matrix, each_strip, loops, power,
    reflector, transposed,
};
use super::operands::{Refused, RoutineMemory};
use smallvec::SmallVec;

/// The numbers of rows (`m`) and columns (`n`) of a matrix, and the number of columns of its factor Q.
#[derive(Clone, Copy)]
struct Size {
    m: usize,
    n: usize,
    columns: usize,
}

/// Runs the routine `qr` for all matrices of a call.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    let params = &call.call.params;
    let [m, n, columns] = [0, 1, 2].map(|i| params[i] as usize);
    let size = Size { m, n, columns };
    let source = MatrixSource::of(call);
    let Some((q, r)) = Sink::of(call, 0).zip(Sink::of(call, 1)) else { return Ok(()) };
    let count = call.call.operands[0].meta.size() / (m * n).max(1);
    let work = crate::graph::routine::qr_work(m, n, columns);
    let one = |matrix: usize, memory: &mut [f64]| {
        // SAFETY: for each matrix, the results have `m · columns` elements of Q and `columns · n` elements of R. Only
        // one task factorises a matrix, so nothing else uses these elements.
        unsafe {
            match factor(&source, matrix * m * n, size, memory) {
                Some(found) => found.write(matrix, size, [q, r]),
                None => {
                    (0..m * columns).for_each(|i| q.set(matrix * m * columns + i, f64::NAN));
                    (0..columns * n).for_each(|i| r.set(matrix * columns * n + i, f64::NAN));
                }
            }
        }
    };
    each_matrix(call, count, [m.max(n), work], one);
    Ok(())
}

/// The factors of one matrix, as strips of m rows each (see [`StripRow`]). The matrix was divided by `scale` before the
/// factorisation, so the elements of `r` still have to be multiplied by `scale`.
struct Found<'a> {
    r: &'a [StripRow],
    q: &'a [StripRow],
    scale: f64,
}

/// Computes the factors Q and R of the matrix that begins at element `first` of the operand. `memory` holds the factors
/// and the reflectors. Returns `None` if an element is not finite.
fn factor<'a>(source: &MatrixSource<'_>, first: usize, size: Size, memory: &'a mut [f64]) -> Option<Found<'a>> {
    let (loops, Size { m, n, columns }) = (loops(), size);
    let exponent = source.exponent([first, first + m * n])?;
    let scale = power(-exponent);
    let (r, rest) = memory.split_at_mut(n.div_ceil(WIDTH) * WIDTH * m);
    let (q, rest) = rest.split_at_mut(columns.div_ceil(WIDTH) * WIDTH * m);
    let [r, q] = [r, q].map(|strips| strips.as_chunks_mut::<WIDTH>().0);
    for (i, row) in r.iter_mut().enumerate() {
        let (strip, row_number) = (i / m, i % m);
        for (l, x) in row.iter_mut().enumerate() {
            let column = strip * WIDTH + l;
            *x = if column < n { source.get(first + row_number * n + column) * scale } else { 0.0 };
        }
    }
    let mut reflectors = Reflectors::new(&mut rest[..Reflectors::size(m, m.min(n))], m);
    for strip in 0..m.min(n).div_ceil(WIDTH) {
        let (done, later) = r.split_at_mut((strip + 1) * m);
        let own = &mut done[strip * m..];
        let groups = strip * WIDTH / 4..((strip + 1) * WIDTH).min(m.min(n)).div_ceil(4);
        for g in groups.clone() {
            let end = (4 * g + 4).min(m.min(n));
            panel(own, 4 * g..end, &mut reflectors, loops);
            let t = transposed(reflectors.triangle(g));
            loops.reflect(&mut own[4 * g..], &reflectors.group(g)[4 * g..], &t, end - strip * WIDTH);
        }
        let triangles: SmallVec<[_; 8]> = groups.clone().map(|g| transposed(reflectors.triangle(g))).collect();
        each_strip(later, m, |_, strip| {
            for (g, t) in groups.clone().zip(&triangles) {
                loops.reflect(&mut strip[4 * g..], &reflectors.group(g)[4 * g..], t, 0);
            }
        });
    }
    let triangles: SmallVec<[_; 8]> = (0..reflectors.count()).map(|g| reflectors.triangle(g)).collect();
    each_strip(q, m, |i, strip| {
        strip.fill([0.0; WIDTH]);
        strip.iter_mut().skip(WIDTH * i).take(WIDTH).enumerate().for_each(|(l, row)| row[l] = 1.0);
        for (g, t) in triangles.iter().enumerate().rev() {
            // the vectors of group g are 0 before row 4 · g, so the group does not change a unit vector whose 1 is in
            // an earlier row
            if 4 * g < WIDTH * (i + 1) {
                loops.reflect(&mut strip[4 * g..], &reflectors.group(g)[4 * g..], t, 0);
            }
        }
    });
    Some(Found { r, q, scale: power(exponent) })
}

/// Computes the Householder reflectors of up to four neighbouring columns of a strip, and adds them to `reflectors`.
/// Each reflector is applied to the columns after its own before the next reflector is computed.
fn panel(
    strip: &mut [StripRow],
    columns: std::ops::Range<usize>,
    reflectors: &mut Reflectors<'_>,
    loops: &FactorLoops,
) {
    let column = |strip: &[StripRow], from: usize, lane: usize| -> Numbers {
        strip[from..].iter().map(|row| row[lane]).collect()
    };
    for k in columns.clone() {
        let mut v = column(strip, k, k % WIDTH);
        let [beta, tau] = reflector(&mut v, loops);
        strip[k..].iter_mut().for_each(|row| row[k % WIDTH] = 0.0);
        strip[k][k % WIDTH] = beta;
        for j in k + 1..columns.end {
            let factor = tau * loops.dot(&column(strip, k, j % WIDTH), &v);
            strip[k..].iter_mut().zip(&v).for_each(|(row, v)| row[j % WIDTH] -= factor * v);
        }
        reflectors.push(k, &v, tau);
    }
}

impl Found<'_> {
    /// Writes Q and R of the matrix with the index `matrix` in the batch to the results `q` and `r`.
    ///
    /// # Safety
    /// For this matrix, `q` has `m · columns` elements and `r` has `columns · n` elements. Nothing else uses these
    /// elements meanwhile.
    unsafe fn write(&self, matrix: usize, Size { m, n, columns }: Size, [q, r]: [Sink; 2]) {
        let part = |strips: &[StripRow], row: usize, column: usize| strips[column / WIDTH * m + row][column % WIDTH];
        for i in 0..m {
            for j in 0..columns {
                // SAFETY: `i` is below m and `j` below `columns`, and the caller ensures that `q` has m · columns
                // elements for this matrix, which nothing else uses.
                unsafe { q.set((matrix * m + i) * columns + j, part(self.q, i, j)) };
            }
        }
        for i in 0..columns {
            for j in 0..n {
                let x = if i <= j { part(self.r, i, j) * self.scale } else { 0.0 };
                // SAFETY: `i` is below `columns` and `j` below n, and the caller ensures that `r` has columns · n
                // elements for this matrix, which nothing else uses.
                unsafe { r.set((matrix * columns + i) * n + j, x) };
            }
        }
    }
}
