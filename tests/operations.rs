//! What operations mean, what they refuse, and what they cost: on the CPU, and on a GPU where there is one. One program,
//! because each test that has counters or late errors of its own has a device of its own (`kit::own`).

mod kit;
/// What a thread allocates at most.
#[path = "fuzz/memory.rs"]
mod memory;

mod array_api;
mod bites;
mod boxes;
mod chains;
mod check;
mod cooperative;
mod counts;
mod debug;
mod distributions;
mod errors;
mod files;
mod folds;
mod found;
mod fours;
mod golden;
mod guide;
mod halves;
mod indexed;
mod int64;
mod interpreter;
#[cfg(feature = "kernels")]
mod kernel_programs;
#[cfg(feature = "kernels")]
mod kernel_slips;
#[cfg(feature = "kernels")]
mod kernels;
mod keys;
mod lanes;
mod masks;
mod meaning;
mod movement;
mod moves;
mod overlap;
mod peaks;
mod places;
mod plans;
mod print;
mod products;
mod products_more;
mod quantiles;
#[cfg(all(feature = "gpu", feature = "kernels"))]
mod raw;
mod refusals;
mod routines;
mod scans;
mod searching;
mod segments;
mod semantics;
mod sets;
mod sort;
mod sorting;
mod statistics;
mod stumbles;
mod take;
mod tasks;
mod tiles;
mod views;
mod worth;
mod writes;
mod writes_at;
