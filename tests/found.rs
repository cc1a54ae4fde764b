//! Faults that were found from outside, each as the program that showed it. A file a theme; every test here was red
//! before the fault was mended.

mod support;

/// What a thread allocates at most.
#[path = "fuzz/memory.rs"]
mod memory;

mod found {
    mod creation;
    mod files;
    mod folding;
    mod limits;
    mod lines;
    mod memory;
    mod plans;
    mod planted;
    mod products;
    mod rows;
    mod sums;
    mod writes;
}
