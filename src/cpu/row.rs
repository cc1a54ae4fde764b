//! Row kernels: reductions that depend on one another along the same rows. A row (or a block of rows side by side) goes
//! through all its passes before the next one begins, so that main memory is read once. Values that a later pass reads
//! again are kept in scratch. `reduce/` runs row kernels in the same way as reduce kernels, so their reductions have
//! the same bits.

use super::reduce::{self, Reduce};
use crate::base::error::Result;
use crate::plan::kernel::Kernel;

/// Prepares a kernel over at least one outer index.
pub(super) fn prepare(kernel: &Kernel, aliased: &[bool]) -> Result<Reduce> {
    reduce::prepare(kernel, aliased)
}
