//! The tree of a scan: in which order [`Op::Scan`](super::Op::Scan) combines the elements of a row up to each of them.
//!
//! A row is cut into *blocks* of [`SCAN_BLOCK`] elements, a block into *runs* of [`SCAN_RUN`] elements; the number of runs in a
//! block is a power of two. The total of a run or block is what its last element gets by the steps below.
//!
//! 1. Within a run each element is combined with those before it one after another: `x0`, `x0·x1`, `(x0·x1)·x2`, …
//! 2. The totals of a block's runs, numbered from 0, are scanned by Sklansky's network: for `step` = 1, 2, 4, …, each total
//!    whose number has the bit `step` is combined with the last total of the group of `step` neighbours before its own group.
//!    So scanned total `i` is made of groups of 2^k neighbours, one for each bit set in `i + 1`, each a pairwise tree.
//! 3. Within a block each element is the scanned total of the runs before its own, combined with what step 1 gives for it.
//! 4. The totals of the blocks are a row of their own, scanned by these same steps. In the whole row each element is the
//!    scanned total of the blocks before its own, combined with what step 3 gives for it.
//!
//! In the first run of a block and in the first block there is no total before; a backend may combine with the neutral element
//! there, which changes no bit. On its way into the result of element `i`, an element passes at most `⌈log2 i⌉ + 2`
//! combinations and three more for each level of block totals, about as many as in a pairwise sum. The tree depends on an
//! element's number alone: not on the row's length, threads, lanes, instruction sets, strides, windows, fusion, or on whether a
//! row is scanned in one kernel or in several (`plan/scan.rs`). No element enters the result of an earlier one, so a NaN never
//! reaches results before it.
//!
//! The CPU has the tree in the loop form `scan` of `simd.rs` and in `cpu/scan.rs`, a GPU in `shaders/lib/scan.wgsl`.

pub(crate) use crate::math::simd::{SCAN_BLOCK, SCAN_RUN};
