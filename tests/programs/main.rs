//! Whole programs: random ones, compared with the scalar interpreter, NumPy and the CPU's bits; pinned ones, whose
//! results never change; and programs that start again and reuse a cache on disk.

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
