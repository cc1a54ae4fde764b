//! Arrays: views, writes, reads, files, printing, errors, dtypes and promotion.

#[path = "../kit/mod.rs"]
mod kit;
/// Measures the peak of a thread's memory allocations.
#[path = "../kit/memory.rs"]
mod memory;

mod array_api;
mod check;
mod errors;
mod files;
mod golden;
mod guide;
mod guide_support;
mod malformed;
mod messages;
mod names;
mod newcomers;
mod overlap;
mod positions;
mod print;
mod refusals;
mod semantics;
mod slices;
mod take;
mod views;
mod writes;
mod writes_at;
