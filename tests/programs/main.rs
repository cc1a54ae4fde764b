//! Whole programs: random ones against the scalar interpreter, against NumPy and against the CPU's bits, and pinned ones
//! whose results never change; and programs that are started again and find what an earlier process has kept on disk.

#[path = "../kit/mod.rs"]
mod kit;

#[cfg(feature = "gpu")]
mod disk;
mod hashes;
mod numpy;
mod page;
mod random_expressions;
#[cfg(feature = "gpu")]
mod same_bits;
