//! Linear algebra: factorisations of matrices, and the functions that are computed by them, as in the Array API's
//! `linalg`. A function takes matrices along the last two axes, with any axes before them.
//!
//! For linear equations, routines factorise small blocks (`graph/routine/cholesky.rs`, `lu.rs`, `triangular.rs`). A
//! larger matrix is divided into halves, recursively, and matrix products combine the results for the halves. So
//! everything runs on either backend without copies to the host. The routine gets the position of a block in the
//! caller's matrix, so that error messages name the caller's row.
//!
//! The routines `eigh`, `svd`, `qr` (`graph/routine/factor.rs`) and `eig` (only on a CPU) factorise whole matrices. A
//! CPU computes them in f64; on a GPU, a single workgroup factorises a matrix. All other functions are built from these
//! routines. Results are f64 for f64, and f32 for every other dtype. `refined.rs` computes solutions with twice the
//! usual digits.
//!
//! The rule for a derivative builds the factors again. The planner sees that the new nodes equal the old ones, and
//! computes both once.

mod cholesky;
mod cofactors;
mod derived;
mod eig;
mod eigh;
mod expm;
mod lu;
mod minors;
mod norms;
mod parts;
mod qr;
mod refined;
mod solve;
mod svd;
mod triangular;

pub use cholesky::cholesky;
pub use derived::{Tolerance, lstsq, matrix_rank, pinv};
pub use eig::{eig, eigvals};
pub use eigh::{eigh, eigvalsh};
pub use expm::expm;
pub use lu::lu;
pub use norms::{MatrixNorm, cond};
pub use qr::qr;
pub use refined::solve_refined;
pub(crate) use solve::inverted;
pub use solve::{det, inv, slogdet, solve};
pub use svd::{svd, svdvals};
pub use triangular::{Triangle, solve_triangular};

/// How many vectors (columns of Q, or singular vectors) the factorisation of a matrix that is not square returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// As many vectors as the shorter side of the matrix: NumPy's `mode="reduced"` and `full_matrices=False`.
    #[default]
    Reduced,
    /// A basis of the whole space, so that the matrices of vectors are square: NumPy's `mode="complete"` and
    /// `full_matrices=True`.
    Complete,
}
