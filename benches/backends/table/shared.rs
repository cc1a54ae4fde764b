//! Helpers that the parts of the table share: names of peers, sizes, and a formula's text for each Python module.

use crate::work::Work;

/// The Python modules in which operations on arrays are written alike, so that one text serves all.
pub const ARRAYS: &str = "numpy torch jax cupy mlx";
pub const EVERY: &str = "numpy torch jax cupy mlx numexpr numba";
/// The modules of `EVERY`, grouped by how they name functions: numexpr `exp`, numba `np.exp`, the others `xp.exp`.
const FORMULAS: [&str; 3] = ["numexpr", "numba", "numpy torch jax cupy mlx"];

pub const SWEEP: &[&[usize]] = &[&[1_000], &[10_000], &[100_000], &[1_000_000], &[10_000_000], &[100_000_000]];
pub const TEN_MILLION: &[&[usize]] = &[&[10_000_000]];
/// Ten million elements, and so many that the caches hold almost nothing of them.
pub const LARGE: &[&[usize]] = &[&[10_000_000], &[100_000_000]];
pub const MILLIONS: &[&[usize]] = &[&[1_000_000], &[10_000_000]];
pub const SQUARE: &[&[usize]] = &[&[10_000, 10_000]];

/// Adds a row's formula for all Python modules. In `text`, `FN` before a function's name is the module's prefix.
pub fn formula(w: Work, text: &str) -> Work {
    let prefixes = ["", "np.", "xp."];
    FORMULAS.into_iter().zip(prefixes).fold(w, |w, (peers, prefix)| w.python(peers, text.replace("FN", prefix)))
}
