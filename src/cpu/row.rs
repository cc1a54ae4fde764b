//! Row kernels: reductions that depend on one another along the same rows. A row (or a block of short ones, side by
//! side) goes through all its passes before the next, so that main memory is read once. What a later pass needs again
//! is kept in scratch. The walk is that of `reduce.rs`, and so are the bits of the reductions.

use super::reduce::{self, Reduce};
use crate::error::Result;
use crate::kernel::Kernel;

/// Prepares a kernel over at least one outer index.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Reduce> {
    reduce::prepare(kernel, aliased)
}
