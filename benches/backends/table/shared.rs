//! What the parts of the table share: names of peers, sizes, and how a formula is written for each Python module.

use crate::work::Work;

/// Python modules that take the same text for operations on arrays.
pub const ARRAYS: &str = "numpy torch jax cupy mlx";
pub const EVERY: &str = "numpy torch jax cupy mlx numexpr numba";
/// The modules of `EVERY` by how they name functions: numexpr `exp`, numba `np.exp`, the others `xp.exp`.
const FORMULAS: [&str; 3] = ["numexpr", "numba", "numpy torch jax cupy mlx"];

pub const SWEEP: &[&[usize]] = &[&[1_000], &[10_000], &[100_000], &[1_000_000], &[10_000_000], &[100_000_000]];
pub const TEN_MILLION: &[&[usize]] = &[&[10_000_000]];
/// Ten million elements, and as many that no cache holds a part of them.
pub const LARGE: &[&[usize]] = &[&[10_000_000], &[100_000_000]];
pub const MILLIONS: &[&[usize]] = &[&[1_000_000], &[10_000_000]];
pub const SQUARE: &[&[usize]] = &[&[10_000, 10_000]];

/// Gives a row's formula to all modules. In `text` `FN` stands before each function's name, for the module's prefix.
pub fn formula(w: Work, text: &str) -> Work {
    let prefixes = ["", "np.", "xp."];
    FORMULAS.into_iter().zip(prefixes).fold(w, |w, (peers, prefix)| w.python(peers, text.replace("FN", prefix)))
}
