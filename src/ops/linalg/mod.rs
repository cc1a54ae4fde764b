//! Factorisations of matrices, and what is computed by them: the functions of the Array API's `linalg`. A function takes
//! matrices along the last two axes, with any axes before them.
//!
//! For linear equations, routines factorise small blocks (`graph/routine/cholesky.rs`, `lu.rs`, `triangular.rs`). A larger
//! matrix is divided into halves, again and again, whose parts are multiplied by the library's own products. So everything
//! runs on either backend without a trip to the host. The blocks of a Cholesky factor are joined last: until then they are a
//! tree. The position of a block within the caller's matrix is a parameter, so that messages name the caller's row. The
//! routines `eigh`, `svd`, `qr` (`graph/routine/factor.rs`) and `eig` (only on a CPU) factorise whole matrices. `svd` takes square matrices: of
//! others it factorises the R of `qr`. The rest are composites. Derivatives are rules that find the factors again, which are
//! equal nodes for the planner. `refined.rs` is formulas and products whose sums are exact.
//!
//! The price of the halves is some copies, and a plan of some hundred kernels for 1,000 rows. `eigh`, `svd` and `qr` run on
//! a CPU in f64 (`cpu/factor/`), and on a GPU with one workgroup for a matrix. Results are f64 for f64, and f32 for every
//! other dtype. A routine refuses an integer of 64 bits, which its table entry interprets: an element of the operand, or
//! the position of a matrix and a row.

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

/// How many vectors a factorisation of a matrix that is not square returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// As many as the shorter side of the matrix: NumPy's `mode="reduced"` and `full_matrices=False`.
    #[default]
    Reduced,
    /// A basis of the whole space: square matrices of vectors. NumPy's `mode="complete"` and `full_matrices=True`.
    Complete,
}
