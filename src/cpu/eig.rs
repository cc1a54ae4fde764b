//! The routine `eig` on the CPU: eigenvalues and eigenvectors of general matrices, computed by `factor/general/`.

use super::factor::general::{SWEEPS, Schur};
use super::factor::{MatrixSource, Sink, each_matrix, zeros};
use super::linear::Lowest;
use super::operands::{Refused, RoutineMemory};

/// Computes the eigenvalues and eigenvectors of all matrices of `call`. If the iteration does not converge, returns the
/// index of the first matrix for which it does not.
pub(super) fn run(call: &mut RoutineMemory<'_>) -> Result<(), Refused> {
    let params = &call.call.params;
    let (n, with_vectors, count) = (params[0] as usize, params[1] != 0, params[2] as usize);
    let source = MatrixSource::of(call);
    let (Some(re), Some(im)) = (Sink::of(call, 0), Sink::of(call, 1)) else { return Ok(()) };
    let vectors = Sink::of(call, 2).zip(Sink::of(call, 3));
    let lowest = Lowest::new();
    let one = |matrix: usize, memory: &mut [f64]| {
        let first = matrix * n * n;
        let found = source.exponent([first, first + n * n]).map(|exponent| {
            memory[..n * n].iter_mut().enumerate().for_each(|(i, x)| *x = source.get(first + i));
            Schur::new(memory, n, exponent, with_vectors, SWEEPS)
        });
        let found = match found {
            Some(Err(_)) => return lowest.note(matrix),
            Some(Ok(found)) => Some(found),
            // if an element of the matrix is not finite, all results are NaN
            None => None,
        };
        for k in 0..n {
            let [x, y] = found.as_ref().map_or([f64::NAN; 2], |found| found.value(k));
            // SAFETY: each result has n values for each matrix, and only the task of this matrix writes them.
            unsafe {
                re.set(matrix * n + k, x);
                im.set(matrix * n + k, y);
            }
        }
        let Some((re, im)) = vectors else { return };
        let mut parts = [zeros(n), zeros(n)];
        for k in 0..n {
            let [x, y] = &mut parts;
            match &found {
                Some(found) => found.vector(k, x, y),
                None => {
                    x.fill(f64::NAN);
                    y.fill(f64::NAN);
                }
            }
            for row in 0..n {
                let at = first + row * n + k;
                // SAFETY: each result has n · n elements for each matrix, and only the task of this matrix writes them.
                unsafe {
                    re.set(at, x[row]);
                    im.set(at, y[row]);
                }
            }
        }
    };
    each_matrix(call, count, [n, crate::graph::routine::eig_work(n, with_vectors)], one);
    lowest.found().map_or(Ok(()), |matrix| Err(Refused(matrix)))
}

#[cfg(feature = "testing")]
mod tests {
    use super::*;
    use crate::graph::routine::{EIG, Params};

    crate::testing::unit_tests!(cpu_eig: an_iteration_that_does_not_converge_is_an_error);

    fn an_iteration_that_does_not_converge_is_an_error() {
        let mut memory = vec![0.0; 18];
        memory[..9].copy_from_slice(&[0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
        assert!(Schur::new(&mut memory.clone(), 3, 0, true, 0).is_err());
        assert!(Schur::new(&mut memory, 3, 0, true, SWEEPS).is_ok());
        let error = |vectors, count| EIG.refuses.map(|refuses| refuses(2, &Params::from_slice(&[3, vectors, count])));
        let text =
            |vectors, count| error(vectors, count).map_or_else(String::new, |(op, f)| format!("{op}: {}", f.detail));
        assert_eq!(text(1, 4), "eig: the QR iteration of matrix 2 of the 4 in the batch has not converged");
        assert_eq!(text(0, 1), "eigvals: the QR iteration of the matrix has not converged");
    }
}
