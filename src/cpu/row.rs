//! Row kernels: reductions that depend on one another along the same rows. A row (or a block of short ones, side by
//! side) goes through all its passes before the next, so that main memory is read once. What a later pass needs again
//! is kept in scratch. The walk is that of `reduce.rs`, and so are the bits of the reductions.

use super::program::Bound;
use crate::error::Result;
use crate::kernel::Kernel;

pub(super) fn run(kernel: &Kernel, bound: &Bound<'_>) -> Result<()> {
    super::reduce::run(kernel, bound)
}
