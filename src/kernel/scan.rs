//! The tree of a scan: in which order [`Op::Scan`](super::Op::Scan) combines the elements of a row up to each of them.
//!
//! A row is cut into *blocks* of [`SCAN_BLOCK`] elements, a block into *runs* of [`SCAN_RUN`] elements, a power of two of them.
//!
//! 1. Within a run each element is combined with those before it one after another: `x0`, `x0·x1`, `(x0·x1)·x2`, …
//! 2. The totals of a block's runs are scanned by Sklansky's network: for `step` = 1, 2, 4, …, each total whose number has
//!    the bit `step` is combined with the last total of the `step` totals before its own group of `step`. So the totals up to
//!    number `i` are those of groups of 2^k neighbours, one for each bit of `i + 1`, each a pairwise tree.
//! 3. An element of a block is the totals of the runs before its own, combined with what 1 gives for it.
//! 4. The totals of blocks are a row, which is scanned by these rules. An element of the row is the blocks before its own,
//!    combined with what 3 gives for it.
//!
//! A total is what the last element of its run or block gets.
//!
//! Where nothing stands before (the first run of a block, the first block), the neutral element may be combined: it changes no
//! bit. So an element passes at most `⌈log2 i⌉ + 2` combinations and three more for each level of blocks on its way into the result
//! of element `i`, about as many as in a pairwise sum. The tree depends on nothing but the number of an element: not on the row's
//! length, on threads, lanes, instruction sets, strides, windows, fusion, or on whether a row is scanned in one kernel or in
//! several (`plan/scan.rs`). No element is combined into a result before its own, so a NaN does not reach those.
//!
//! The CPU has the tree in the loop form `scan` of `simd.rs` and in `cpu/scan.rs`, a GPU in `shaders/lib/scan.wgsl`.

pub(crate) use crate::simd::{SCAN_BLOCK, SCAN_RUN};
