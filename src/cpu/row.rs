//! Row kernels: kernels that go along each row several times, for example because a reduction depends on another
//! reduction of the same row, as in a softmax. Each loop along the row is called a pass. All passes of a row (or of a
//! block of rows side by side) run before the next row begins, so that main memory is read only once. `reduce/` runs
//! row kernels in the same way as reduce kernels, so their reductions have the same bits.

use super::reduce::{self, Reduce};
use crate::base::error::Result;
use crate::plan::kernel::Kernel;

/// Prepares the row kernel of step `number` of a plan, which has at least one outer index.
pub(super) fn prepare(number: usize, kernel: &Kernel, aliased: &[bool]) -> Result<Reduce> {
    reduce::prepare(number, kernel, aliased)
}
