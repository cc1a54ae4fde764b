//! Eigenvalues and eigenvectors of general matrices, as in LAPACK's `dgeevx`: balancing, the reduction to Hessenberg
//! form, the QR iteration to real Schur form, and back substitution. All additions have a fixed order.

// one index addresses several arrays in these loops, so iterators would not be simpler
#![allow(clippy::needless_range_loop)]

mod balance;
mod hessenberg;
mod schur;
mod vectors;

use super::{Numbers, power, zeros};
use balance::Balance;
pub(in crate::cpu) use schur::SWEEPS;

/// The real Schur form T of a matrix. T is 0 below its diagonal, except in 2 × 2 blocks on the diagonal, each of which
/// has a pair of complex eigenvalues. The diagonal elements of a block are equal, and its other two elements have
/// opposite signs.
pub(in crate::cpu) struct Schur<'a> {
    n: usize,
    /// T in C order. If no eigenvectors are wanted, only the diagonal blocks of T are computed.
    t: &'a mut [f64],
    /// The transpose of the orthogonal matrix Z, with `balanced matrix = Z·T·Zᵀ`. Empty if no eigenvectors are wanted.
    z: &'a mut [f64],
    balance: Balance,
    /// The factor by which eigenvalues are multiplied, because the matrix was scaled to magnitudes near 1.
    unscale: f64,
    /// The largest magnitude of an element of T.
    most: f64,
    /// The real and imaginary parts of the eigenvalues of T, in the order of its diagonal. In a complex pair, the
    /// eigenvalue with the positive imaginary part is first.
    re: Numbers,
    im: Numbers,
}

/// The error of a QR iteration that has not found all eigenvalues within the maximum number of sweeps.
pub(in crate::cpu) struct NotConverged;

impl<'a> Schur<'a> {
    /// Computes the Schur form of the n × n matrix at the start of `memory`, whose elements have magnitudes of at most
    /// `2^exponent`. If eigenvectors are wanted, `memory` has n² more numbers. `sweeps` limits the QR iteration: see
    /// [`SWEEPS`].
    pub fn new(
        memory: &'a mut [f64],
        n: usize,
        exponent: i32,
        with_vectors: bool,
        sweeps: usize,
    ) -> Result<Schur<'a>, NotConverged> {
        let (t, rest) = memory.split_at_mut(n * n);
        let z = &mut rest[..if with_vectors { n * n } else { 0 }];
        let scale = power(-exponent);
        t.iter_mut().for_each(|x| *x *= scale);
        let balance = Balance::of(t, n);
        hessenberg::reduce(t, z, n, &balance.active);
        let (re, im) = (zeros(n), zeros(n));
        let mut schur = Schur { n, t, z, balance, unscale: power(exponent), most: 0.0, re, im };
        schur.iterate(sweeps)?;
        schur.most = schur.t.iter().fold(0.0, |most, x| x.abs().max(most));
        Ok(schur)
    }

    /// Returns the real and the imaginary part of eigenvalue `k`.
    pub fn value(&self, k: usize) -> [f64; 2] {
        [self.re[k] * self.unscale, self.im[k] * self.unscale]
    }
}
