//! Faults that were found from outside, each as the program that showed it. A file a theme; every test here was red
//! before the fault was mended.

#[path = "../kit/mod.rs"]
mod kit;
#[path = "../kit/memory.rs"]
mod peak_memory;

mod creation;
mod files;
mod folding;
mod limits;
mod lines;
mod lists;
mod memory;
mod plans;
mod planted;
mod products;
mod rows;
mod sums;
mod writes;
