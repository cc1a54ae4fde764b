//! Linear algebra: factorisations of matrices, and the functions that are computed by them, as in the Array API's
//! `linalg`. A function takes matrices along the last two axes, with any axes before them.
//!
//! For linear equations, routines factorise small blocks (`graph/routine/cholesky.rs`, `lu.rs`, `triangular.rs`). A
//! larger matrix is divided into halves, recursively, and matrix products combine the results for the halves. So
//! everything runs on either backend without copies to the host. The blocks of a Cholesky factor are joined last; until
//! then they are kept as a tree. The position of a block within the caller's matrix is a parameter of the routine, so
//! that error messages name the row of the caller's matrix.
//!
//! The routines `eigh`, `svd`, `qr` (`graph/routine/factor.rs`) and `eig` (only on a CPU) factorise whole matrices. The
//! routine `svd` takes only square matrices; for other matrices it gets the factor R of `qr`. All other functions are
//! built from these. The rule for a derivative builds the factors again; the planner sees that the new nodes equal the
//! old ones, and computes both once. `refined.rs` computes solutions with twice the usual digits, from products whose
//! sums are exact.
//!
//! The recursion on halves costs some copies, and a plan of some hundred kernels for 1,000 rows. `eigh`, `svd` and `qr`
//! run on a CPU in f64 (`cpu/factor/`). On a GPU, a single workgroup factorises a matrix. Results are f64 for f64, and
//! f32 for every other dtype. A routine that rejects its input while it runs reports one integer of 64 bits: an element
//! of the operand, or the position of a matrix and a row in it. The function `refuses` of its table entry converts this
//! integer into an error.

mod cholesky;
mod derived;
mod eig;
mod eigh;
mod expm;
mod lu;
mod norms;
mod parts;
mod qr;
mod refined;
mod solve;
mod svd;
mod triangular;

pub use cholesky::cholesky;
pub use derived::{lstsq, matrix_rank, pinv};
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
