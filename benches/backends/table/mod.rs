//! The table of rows. A new row is one entry in a file of `table/`: the work, its bytes and operations, and how each
//! Python peer writes it. Rust peers have their own tables in `benches/peers`, by the same names of rows.
//!
//! Bytes are those that must move: each cache line of each input is read once, and each output is written once. A
//! multiply-add counts as two operations.

mod elementwise;
mod factors;
mod layouts;
mod loops;
mod orders;
mod products;
mod reductions;
mod shared;
mod transfers;

use crate::work::{Case, Work};
use crate::{programs, training};
use cupric::DType::{self, F16, F32};

/// The rows that `--quick` runs: name, dtype, shape.
const QUICK: [(&str, DType, &[usize]); 24] = [
    ("add", F32, &[10_000]),
    ("add", F32, &[100_000]),
    ("add", F32, &[1_000_000]),
    ("add", F32, &[10_000_000]),
    ("add_into", F32, &[10_000_000]),
    ("scale", F32, &[10_000_000]),
    ("hypot", F32, &[10_000_000]),
    ("exp", F32, &[10_000]),
    ("exp", F32, &[100_000]),
    ("exp", F32, &[1_000_000]),
    ("exp", F32, &[10_000_000]),
    ("sum", F32, &[10_000]),
    ("sum", F32, &[100_000]),
    ("sum", F32, &[1_000_000]),
    ("sum", F32, &[10_000_000]),
    ("add", F16, &[10_000_000]),
    ("cast", F32, &[10_000_000]),
    ("softmax", F32, &[1_000, 10_000]),
    ("transpose", F32, &[10_000, 10_000]),
    ("matmul", F32, &[1024, 1024]),
    ("matmul", F16, &[1024, 1024]),
    ("chain", F32, &[10_000_000]),
    ("add_small", F32, &[8]),
    ("attention", F32, &[8, 8, 256, 64]),
];

/// Whether `--quick` runs a case. With `any_size` (for `--sizes`) a row of one axis matches at any length.
pub fn is_quick(case: &Case<'_>, any_size: bool) -> bool {
    QUICK.iter().any(|(name, dtype, shape)| {
        let same_shape = *shape == &case.shape[..] || any_size && case.work.flat;
        *name == case.work.name && *dtype == case.work.dtype && same_shape
    })
}

pub fn table() -> Vec<Work> {
    let mut rows = elementwise::rows();
    rows.extend(reductions::rows());
    rows.extend(layouts::rows());
    rows.extend(orders::rows());
    rows.extend(products::rows());
    rows.extend(factors::rows());
    rows.extend(loops::rows());
    rows.extend(transfers::rows());
    rows.extend([F32, F16].into_iter().flat_map(programs::table));
    rows.extend(training::rows());
    rows
}
