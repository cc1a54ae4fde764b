//! The tree of a scan: the order in which [`Op::Scan`](super::Op::Scan) combines, for each element of a row, the
//! elements up to it.
//!
//! A row is cut into *blocks* of [`SCAN_BLOCK`] elements, and a block into *runs* of [`SCAN_RUN`] elements. The number
//! of runs in a block is a power of two. The total of a run or block is the value that the steps below compute for its
//! last element.
//!
//! 1. Within a run, each element is combined with those before it one after another: `x0`, `x0·x1`, `(x0·x1)·x2`, …
//! 2. The totals of a block's runs, numbered from 0, are scanned by Sklansky's network. For `step` = 1, 2, 4, …, each
//!    total whose number has the bit `step` is combined with the last total of the group of `step` neighbours before
//!    its own group. So scanned total `i` consists of groups of 2^k neighbours, one for each bit set in `i + 1`, and
//!    each group is a pairwise tree.
//! 3. Within a block, each element is the scanned total of the runs before its own run, combined with its result of
//!    step 1.
//! 4. The totals of the blocks form another row, which is scanned by the same steps. In the whole row, each element is
//!    the scanned total of the blocks before its own, combined with its value from step 3.
//!
//! The first run of a block and the first block have no total before them. There, a backend may combine with the
//! neutral element, which changes no bit. An element passes through at most `⌈log2 i⌉ + 2` combinations on its way to
//! the result of element `i`, and through three more each time that block totals form another row. That is about as
//! many as in a pairwise sum.
//!
//! The order of combinations for an element depends only on its position in the row. It does not depend on the row's
//! length, threads, lanes, strides or fusion, or on whether one or several kernels scan a row (`plan/scan.rs`). No
//! element contributes to the result of an earlier one, so a NaN never affects results before it.
//!
//! This order is implemented for the CPU by `math/simd/scans.rs`, `math/simd/transposed_scans.rs` and `cpu/scan.rs`, and for
//! GPUs by `shaders/lib/scan.wgsl`.

pub(crate) use crate::math::simd::{SCAN_BLOCK, SCAN_RUN};
