//! Whole programs: random ones against the scalar interpreter, against NumPy and against the CPU's bits, and pinned ones
//! whose results never change.

mod kit;

mod hashes;
mod numpy;
mod random_expr;
#[cfg(feature = "gpu")]
mod same_bits;
